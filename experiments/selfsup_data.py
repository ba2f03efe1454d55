"""What the experiment of learning without labels learns from, and on what it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from jido.data import simulate_city
from jido.data.chip_reading import read_chips
from jido.data.chips import Chips
from jido.data.hdf5 import hdf5_groups, read_hdf5
from jido.data.pool import Pool
from jido.data.stack import Stack, stack_of
from jido.data.windows import draw_windows, labelled_windows
from jido.io import Scene, read_labels, write_image, write_labels
from jido.labels import Folds
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
        marked: what is said of its encoders where the first task's patches judge them, too.
        part: of every test patch, in their order: its part of the data set, where parts are told apart.
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
    marked: str = ""
    part: np.ndarray | None = None


Tasks = Iterator[tuple[str, Task]]
"""By name, one after the other: the first is that of all methods, the others are its variants."""


def eurosat_tiles(data: Path, preset: str) -> tuple[Chips, np.ndarray]:
    """All tiles, and (n,) their part in ``gem0``; but for full means of 2 x 2 pixels, 32 x 32."""
    import csv
    import gzip

    chips = read_chips(sorted(data.glob("*.zip")))
    with gzip.open(data / "eurosat_index.csv.gz", "rt") as file:
        parts = {row["path"]: row["gem0"] for row in csv.DictReader(file)}
    if preset != "full":
        means = chips.images.reshape(len(chips), 3, 32, 2, 32, 2).mean((3, 5), dtype=np.float32)
        chips = replace(chips, images=means.round().astype(np.uint8))
    return chips, np.array([parts[name] for name in chips.name])


def eurosat(data: Path, preset: str, out: Path) -> Tasks:
    """RGB tiles: the pool are those outside the test list of ``gem0``; 500 of them may be labelled.

    cpu: tiles of 32 pixels (means of 2 x 2), every fourth test tile: not the quarter on which the ablation
    in RESULTS.md was judged, which had a say in the settings.
    """
    chips, part = eurosat_tiles(data, preset)
    images = chips.images
    thin = {"smoke": 400, "cpu": 4, "full": 1}[preset]
    known = np.flatnonzero(np.isin(part, ("train", "val")))
    test = np.flatnonzero(part == "test")[thin // 2 :: thin]
    pool = np.flatnonzero(part != "test")[:: 60 if preset == "smoke" else 1]
    stack, used = stack_of(chips.bands), np.concatenate([known, test])
    unlabelled = Pool.of(images[pool], stack)
    places = np.arange(len(used))
    yield (
        "eurosat",
        Task(
            pool=unlabelled,
            labelled=Pool(images[used], stack, unlabelled.moments),
            y=chips.label[used],
            classes=10,
            group=places,
            folds=(places[: len(known)], places[len(known) :]),
            budgets=(1, 5, 10, 50),
        ),
    )


def hongkong(data: Path, preset: str, out: Path) -> Tasks:
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
        cells = cKDTree(found.xy[test]).query(found.xy, p=np.inf)[0] / 100
        near = ~test & (cells <= 4.5)  # whose window of 9 cells shows a test cell
        n = {"smoke": 300, "cpu": 12_000, "full": 100_000}[preset]
        drawn = {
            "hongkong": draw_windows(scene, n, 9, seed=0, avoid=avoid),
            "hongkong, transductive": draw_windows(scene, n, 9, seed=0),
        }
    for name, windows in drawn.items():
        pool = Pool.of(windows.images, windows.stack)
        yield (
            name,
            Task(
                pool=pool,
                labelled=Pool(found.images, found.stack, pool.moments),
                y=found.y,
                classes=LCZ,
                group=group,
                item=found.item,
                folds=(np.flatnonzero(~test & ~near), np.flatnonzero(test)),
                budgets=(1, 5, 0.1, 1.0),
                marked=" that saw the test's pixels" if "transductive" in name else "",
            ),
        )


def s1s2(data: Path, preset: str, out: Path) -> Tasks:
    """Sentinel-1 and 2 pairs, land cover of 4 scenes, of which two are held out; S1, S2, both.

    Nothing of the held-out scenes is learned from, with labels or without. Patches of a scene touch: the
    interval speaks of more patches of these two scenes, not of other scenes.
    """
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
    scenes = np.unique(source[use])
    held = np.isin(source, scenes[-2:])
    whole = Pool.of(images[~held], stack_of(chips.bands))
    places = np.arange(len(use))
    both = Task(
        pool=whole,
        labelled=Pool(images[use], whole.stack, whole.moments),
        y=y,
        classes=len(common),
        group=places,
        folds=(places[~held[use]], places[held[use]]),
        budgets=(1, 5, 1.0),
    )
    yield "s1s2", both
    yield from alone("s1s2", both)


def alone(name: str, both: Task) -> Tasks:
    """The same with one sensor."""
    for short, lost in (("S1", "sentinel-2"), ("S2", "sentinel-1")):
        pool, labelled = lacking(both.pool, lost), lacking(both.labelled, lost)
        yield f"{name}, {short} only", replace(both, pool=pool, labelled=labelled)


def lacking(pool: Pool, sensor: str) -> Pool:
    """The same patches without a sensor."""
    kept = [i for i, band in enumerate(pool.stack.bands) if band.sensor != sensor]
    stack: Stack = stack_of([pool.stack.bands[i] for i in kept])
    return Pool(pool.images[:, kept], stack, tuple(part[kept] for part in pool.moments))  # type: ignore[arg-type]


def cities(data: Path, preset: str, out: Path) -> Tasks:
    """Simulated cities with radar and optical bands; S1, S2, both. Does it work in another city?

    Nothing of the last city is learned from, with labels or without, and in further tasks nothing of another
    one; the interval of a task speaks of more polygons of its city, not of other cities.
    """
    count, cells = {"smoke": (2, 32), "cpu": (4, 96), "full": (8, 192)}[preset]
    pools, found = [], []
    for seed in range(count):
        files = [out / f"{kind}_{seed}.{end}" for kind, end in (("s1", "tif"), ("s2", "tif"), ("l", "gpkg"))]
        if not files[2].exists():
            made = simulate_city(seed, cells=cells)
            write_image(made.radar, files[0])
            write_image(made.optical, files[1])
            write_labels(made.polygons(90 if cells > 32 else 20, seed=seed), files[2])
        with Scene(files[:2]) as scene:
            n = {"smoke": 100, "cpu": 2500, "full": 20_000}[preset]
            pools.append(draw_windows(scene, n, 32, seed=seed))
            found.append(labelled_windows(scene, read_labels(files[2]), cell_m=100, side=32, cap=20))
    images = np.concatenate([one.images for one in found])
    y = np.concatenate([one.y for one in found])
    city = np.repeat(np.arange(count), [len(one) for one in found])
    item = 1000 * city + np.concatenate([one.item for one in found])

    def without(held: int) -> Task:
        others = [one.images for one in (*pools[:held], *pools[held + 1 :])]
        pool = Pool.of(np.concatenate(others), pools[0].stack)
        return Task(
            pool=pool,
            labelled=Pool(images, pool.stack, pool.moments),
            y=y,
            classes=LCZ,
            group=item,
            item=item,
            folds=(np.flatnonzero(city != held), np.flatnonzero(city == held)),
            budgets=(1, 5, 1.0),
        )

    last = without(count - 1)
    yield "cities", last
    yield from alone("cities", last)
    for held in range(count - 1):
        yield f"cities, city {held + 1} held out", without(held)


def so2sat(data: Path, preset: str, out: Path) -> Tasks:
    """So2Sat LCZ42: learns and is labelled from training.h5, judged on validation.h5, testing.h5 and both.

    Without the real files, files of their layout are made from simulated cities: that says nothing of So2Sat.
    """
    names = ("training.h5", "validation.h5", "testing.h5")
    real = all((data / name).exists() for name in names)
    if not real:
        data = out / "miniature"
        data.mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(names):
            _miniature(data / name, seed, 60 if preset == "smoke" else 600)
    chips = read_hdf5([data / name for name in names])
    part = np.array([name.split("/")[0] for name in chips.name])
    train, places = part == "training", np.arange(len(chips))
    stack = stack_of(chips.bands)
    pool = Pool.of(chips.subset(places[train]).images, stack)
    split = (places[train], places[~train])
    labelled = Pool(chips.images, stack, pool.moments)
    task = Task(pool, labelled, chips.label, LCZ, places, split, budgets=(0.1, 1.0), part=part[~train])
    yield "so2sat" if real else "so2sat miniature", task


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


DATASETS: dict[str, Callable[[Path, str, Path], Tasks]] = {
    "eurosat": eurosat,
    "hongkong": hongkong,
    "s1s2": s1s2,
    "cities": cities,
    "so2sat": so2sat,
}
PLACES = {"eurosat": "eurosat", "hongkong": "lcz_hongkong", "s1s2": "s1s2_patches", "so2sat": "so2sat"}
