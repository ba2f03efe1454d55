"""What the experiment of learning without labels learns from, and on what it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jido.data import simulate_city
from jido.data.chip_reading import read_chips
from jido.data.hdf5 import hdf5_groups, read_hdf5
from jido.data.pool import Pool
from jido.data.stack import Stack, stack_of
from jido.data.windows import draw_windows, labelled_windows
from jido.io import Scene, read_labels, write_image, write_labels
from jido.labels import Folds, leave_one_group_out
from jido.methods.cells import touching_groups

LCZ = 17
SHARED = Path(__file__).resolve().parents[2] / "shared/data"


@dataclass(frozen=True, eq=False)
class Task:
    """A data set: patches without labels, patches with them, and how both are used.

    Args:
        pool: to learn from without labels.
        labelled: to learn from and to be judged on.
        y: (n,) classes of the labelled ones, their number ``classes``.
        group: (n,) what must not be split.
        item: (n,) the polygon that a labelled cell was drawn from.
        folds: places to label and places to judge, or folds.
        budgets: labels per class, and shares.
        cap: cells of one polygon that training takes at most.
    """

    pool: Pool
    labelled: Pool
    y: np.ndarray
    classes: int
    group: np.ndarray
    folds: Folds | tuple[np.ndarray, np.ndarray]
    budgets: tuple[int | float, ...]
    item: np.ndarray | None = None
    cap: int = 100


def eurosat(data: Path, preset: str) -> dict[str, Task]:
    """RGB tiles: the pool are those outside the test list of ``gem0``; 500 of them may be labelled.

    cpu: tiles of 32 pixels (means of 2 x 2), every fourth test tile.
    """
    import csv
    import gzip

    chips = read_chips(sorted(data.glob("*.zip")))
    with gzip.open(data / "eurosat_index.csv.gz", "rt") as file:
        parts = {row["path"]: row["gem0"] for row in csv.DictReader(file)}
    part = np.array([parts[name] for name in chips.name])
    images = chips.images
    if preset != "full":
        means = images.reshape(len(images), 3, 32, 2, 32, 2).mean((3, 5), dtype=np.float32)
        images = means.round().astype(np.uint8)
    thin = {"smoke": 400, "cpu": 4, "full": 1}[preset]
    known = np.flatnonzero(np.isin(part, ("train", "val")))
    test = np.flatnonzero(part == "test")[thin // 4 :: thin]
    pool = np.flatnonzero(part != "test")[:: 60 if preset == "smoke" else 1]
    stack, used = stack_of(chips.bands), np.concatenate([known, test])
    unlabelled = Pool.of(images[pool], stack)
    places = np.arange(len(used))
    return {
        "eurosat": Task(
            pool=unlabelled,
            labelled=Pool(images[used], stack, unlabelled.moments),
            y=chips.label[used],
            classes=10,
            group=places,
            folds=(places[: len(known)], places[len(known) :]),
            budgets=(1, 5, 10, 50),
        )
    }


def hongkong(data: Path, preset: str) -> dict[str, Task]:
    """Four Landsat dates; polygons kept whole, a fifth of them for the test.

    ``transductive``: windows without labels may show the test polygons; else none that sees one of their
    pixels is learned from.
    """
    with Scene(sorted(data.glob("landsat8_*.tif"))) as scene:
        labels = read_labels(data / "hong_kong_lcz.gpkg")
        found = labelled_windows(scene, labels, cell_m=100, side=9)
        group = touching_groups(found, scene.geobox)
        names = np.unique(group)
        first = np.array([found.y[group == name][0] for name in names])
        rng = np.random.default_rng(5)
        held = [
            rng.permutation(names[first == c])[: max((first == c).sum() // 5, 1)] for c in np.unique(first)
        ]
        test = np.isin(group, np.concatenate(held))
        burned = labels.to_crs(scene.geobox.crs).burn(scene.geobox).item
        avoid = np.isin(burned, np.unique(found.item[test]))
        n = {"smoke": 300, "cpu": 12_000, "full": 100_000}[preset]
        drawn = {
            "hongkong": draw_windows(scene, n, 9, seed=0, avoid=avoid),
            "hongkong, transductive": draw_windows(scene, n, 9, seed=0),
        }
    tasks = {}
    for name, windows in drawn.items():
        pool = Pool.of(windows.images, windows.stack)
        tasks[name] = Task(
            pool=pool,
            labelled=Pool(found.images, found.stack, pool.moments),
            y=found.y,
            classes=LCZ,
            group=group,
            item=found.item,
            folds=(np.flatnonzero(~test), np.flatnonzero(test)),
            budgets=(1, 5, 0.1, 1.0),
        )
    return tasks


def s1s2(data: Path, preset: str) -> dict[str, Task]:
    """Sentinel-1 and 2 pairs, land cover of 5 scenes; a scene is held out at a time, S1, S2, both."""
    path = data / "s1s2_patches_real.h5"
    chips, source = read_hdf5(path), hdf5_groups(path)
    assert source is not None
    images = np.asarray(chips.images[np.arange(len(chips))])
    codes = np.array([int(name) for name in chips.classes])
    value = np.where(chips.label >= 0, codes[chips.label], -1)
    cover = (value >= 0) & (value < 100)
    common = [code for code in np.unique(value[cover]) if len(np.unique(source[value == code])) > 1]
    use = np.flatnonzero(np.isin(value, common))
    y = np.searchsorted(common, value[use])
    whole = Pool.of(images, stack_of(chips.bands))
    return {
        name: Task(
            pool=lacking(whole, lost),
            labelled=lacking(Pool(images[use], whole.stack, whole.moments), lost),
            y=y,
            classes=len(common),
            group=np.arange(len(use)),
            folds=replace(leave_one_group_out(source[use]), leaks=False),
            budgets=(1, 5, 1.0),
        )
        for name, lost in (("s1s2", ""), ("s1s2, S1 only", "sentinel-2"), ("s1s2, S2 only", "sentinel-1"))
    }


def lacking(pool: Pool, sensor: str) -> Pool:
    """The same patches without a sensor."""
    if not sensor:
        return pool
    kept = [i for i, band in enumerate(pool.stack.bands) if band.sensor != sensor]
    stack: Stack = stack_of([pool.stack.bands[i] for i in kept])
    return Pool(pool.images[:, kept], stack, tuple(part[kept] for part in pool.moments))  # type: ignore[arg-type]


def cities(work: Path, preset: str) -> dict[str, Task]:
    """Simulated cities with radar and optical bands; one city is held out at a time, S1, S2, both."""
    count, cells = {"smoke": (2, 32), "cpu": (4, 96), "full": (8, 192)}[preset]
    pools, found, city = [], [], []
    for seed in range(count):
        files = [work / f"{kind}_{seed}.{end}" for kind, end in (("s1", "tif"), ("s2", "tif"), ("l", "gpkg"))]
        if not files[2].exists():
            made = simulate_city(seed, cells=cells)
            write_image(made.radar, files[0])
            write_image(made.optical, files[1])
            write_labels(made.polygons(90 if cells > 32 else 20, seed=seed), files[2])
        with Scene(files[:2]) as scene:
            n = {"smoke": 100, "cpu": 2500, "full": 20_000}[preset]
            pools.append(draw_windows(scene, n, 32, seed=seed))
            found.append(labelled_windows(scene, read_labels(files[2]), cell_m=100, side=32, cap=20))
        city.append(np.full(len(found[-1]), seed))
    whole = Pool.of(np.concatenate([one.images for one in pools]), pools[0].stack)
    labelled = Pool(np.concatenate([one.images for one in found]), whole.stack, whole.moments)
    group = np.concatenate([1000 * i + one.item for i, one in enumerate(found)])
    return {
        name: Task(
            pool=lacking(whole, lost),
            labelled=lacking(labelled, lost),
            y=np.concatenate([one.y for one in found]),
            classes=LCZ,
            group=group,
            item=group,
            folds=leave_one_group_out(np.concatenate(city)),
            budgets=(1, 5, 1.0),
        )
        for name, lost in (
            ("cities", ""),
            ("cities, S1 only", "sentinel-2"),
            ("cities, S2 only", "sentinel-1"),
        )
    }


def so2sat(data: Path, preset: str) -> dict[str, Task]:
    """So2Sat LCZ42: learns and is labelled from training.h5, judged on validation.h5 and testing.h5 together.

    Without the real files, files of their layout are made from simulated cities: that says nothing of So2Sat.
    """
    names = ("training.h5", "validation.h5", "testing.h5")
    for seed, name in enumerate(names):
        if not (data / name).exists():
            _miniature(data / name, seed, 60 if preset == "smoke" else 600)
    chips = read_hdf5([data / name for name in names])
    train = np.char.startswith(chips.name, "training/")
    places = np.arange(len(chips))
    stack = stack_of(chips.bands)
    pool = Pool.of(chips.subset(places[train]).images, stack)
    split = (places[train], places[~train])
    return {
        "so2sat": Task(
            pool, Pool(chips.images, stack, pool.moments), chips.label, LCZ, places, split, budgets=(0.1, 1.0)
        )
    }


def _miniature(path: Path, seed: int, n: int) -> None:
    """A file of So2Sat's layout from a simulated city: linear radar, reflectance, one-hot labels."""
    import h5py

    city = simulate_city(seed, cells=48)
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(2, 46, (2, n))

    def cut(values: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(values, (32, 32), axis=(1, 2))
        return windows[:, rows * 10 - 11, cols * 10 - 11].transpose(1, 2, 3, 0)

    power = 10 ** (city.radar.data[[1, 0]] / 10)  # VH, VV
    signed = np.sqrt(power / 2) * rng.standard_normal((2, *power.shape))
    radar = [signed[0, 0], signed[1, 0], signed[0, 1], signed[1, 1], *power, *(0.1 * signed[:, 0])]
    with h5py.File(path, "w") as file:
        file["sen1"] = cut(np.stack(radar)).astype(np.float32)
        file["sen2"] = cut(city.optical.data)
        file["label"] = np.eye(LCZ)[city.lcz[rows, cols] - 1]


DATASETS: dict[str, Callable[[Path, str], dict[str, Task]]] = {
    "eurosat": eurosat,
    "hongkong": hongkong,
    "s1s2": s1s2,
    "cities": cities,
    "so2sat": so2sat,
}
PLACES = {"eurosat": "eurosat", "hongkong": "lcz_hongkong", "s1s2": "s1s2_patches"}
