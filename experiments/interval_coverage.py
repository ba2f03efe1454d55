"""What do the 95 % intervals of the forest's figures cover?

Per simulated city polygons are drawn, the forest is judged as Jido does it, and its map is held against
hundreds of new polygons, drawn by the same procedure around the old ones: the truth. Cases:

- ``folds``: the interval from folds by polygon, as Jido prints it; truth of the map's own model.
- ``fold_models``: the same interval; truth of the models of the folds, each of which lacks a fold.
- ``split``: 30 % of the polygons held out once; truth of the very model that they judged.
- ``folds_pixels``, ``split_pixels``: binomial intervals, as if pixels were independent (OA only).

Polygons picked by hand do not estimate the OA of a whole map, whose cells are mixed and lie on borders:
the last line tells how far off they are. Presets: ``smoke``, 3 tiny cities, seconds; ``cpu``, 200 cities,
35 minutes on one core; ``full``, 1000 larger ones, 12 hours. A finished city is a line of ``rows.jsonl``:
an interrupted run goes on. Empty the folder when the code has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from scipy.stats import binomtest

from jido.data import City, simulate_city
from jido.labels import Labels, few_labels, group_kfold
from jido.methods.forest import ForestConfig, Samples, cell_features, fit_forest, probabilities
from jido.stats import Figure, cluster_bootstrap, confusion, confusion_by_group, figure, summary

Row = dict[str, Any]


class Design(BaseModel, frozen=True):
    """How a city is simulated and judged."""

    cells: int = 96
    polygons: tuple[int, int] = (30, 170)
    trees: int = 100
    new_polygons: int = 600


PRESETS = {
    "smoke": (Design(cells=64, polygons=(30, 40), trees=5, new_polygons=30), 3),
    "cpu": (Design(), 200),
    "full": (Design(cells=128, trees=300, new_polygons=2000), 1000),
}


def samples_of(city: City, labels: Labels, config: ForestConfig) -> tuple[np.ndarray, np.ndarray, Samples]:
    """Features of every cell (cells, F), the places of the labelled cells, and their samples."""
    image, side = np.concatenate([city.radar.data, city.optical.data]), len(city.lcz)
    planes = cell_features(image, city.radar.bands + city.optical.bands, config, image.shape[-1] // side)
    features, item = planes.reshape(len(planes), -1).T, labels.burn(city.grid).item.ravel()
    at = np.flatnonzero(item >= 0)
    xy = np.column_stack(city.grid.affine * (at % side + 0.5, at // side + 0.5))
    y = labels.scheme.index(labels.codes[item[at]])
    return features, at, Samples(features[at], y, item[at], labels.groups[item[at]], xy)


def judge(seed: int, design: Design) -> Row:
    """Simulate a city, judge the forest in it, look at new polygons."""
    n = int(np.random.default_rng([seed, 1]).integers(design.polygons[0], design.polygons[1] + 1))
    city = simulate_city(seed, cells=design.cells)
    labels = city.polygons(n, seed=1000 * seed)
    draws = range(1, math.ceil(design.new_polygons / n) + 1)  # each of n, to have the same mix of classes
    new = [city.polygons(n, seed=1000 * seed + i, avoid=labels).burn(city.grid).codes for i in draws]
    new_cells = np.concatenate([np.flatnonzero(codes) for codes in new])
    config = ForestConfig(trees=design.trees, seed=seed)
    features, at, samples = samples_of(city, labels, config)
    scheme, k = labels.scheme, len(labels.scheme.classes)
    lcz = scheme.index(city.lcz).ravel()

    def map_from(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The map after learning from the samples ``train``, and its matrix over the new polygons."""
        mapped = probabilities(fit_forest(samples, train, config), features, k).argmax(1)
        return mapped, confusion(lcz[new_cells], mapped[new_cells], k)

    def intervals(said: np.ndarray, test: np.ndarray) -> tuple[dict[str, Figure], dict[str, Figure]]:
        """Over polygons, and as if over independent pixels, of what was said of the samples ``test``."""
        matrices = confusion_by_group(samples.y[test], said[test], samples.group[test], k)
        oa = float((said[test] == samples.y[test]).mean())
        half = 1.96 * math.sqrt(oa * (1 - oa) / len(test))
        return cluster_bootstrap(matrices, scheme), {"oa": figure(oa, oa - half, oa + half)}

    whole, of_map = map_from(np.arange(len(at)))
    held, of_fold_models = np.zeros_like(samples.y), np.zeros_like(of_map)
    for train, test in group_kfold(samples.group, samples.y, k=5, seed=seed):
        mapped, matrix = map_from(train)
        held[test], of_fold_models = mapped[at[test]], of_fold_models + matrix
    first = few_labels(samples.group, samples.y, fraction=0.7, seed=seed)
    mapped, of_split = map_from(np.flatnonzero(first))
    folds, folds_pixels = intervals(held, np.arange(len(at)))
    split, split_pixels = intervals(mapped[at], np.flatnonzero(~first))
    cases = {"folds": (folds, of_map), "fold_models": (folds, of_fold_models), "split": (split, of_split)}
    cases |= {"folds_pixels": (folds_pixels, of_map), "split_pixels": (split_pixels, of_split)}
    row: Row = {"seed": seed, "polygons": n, "whole_map": float((whole == lcz).mean()), "cases": {}}
    for case, (figures, matrix) in cases.items():
        truth = summary(matrix, scheme)
        row["cases"][case] = {name: {**f, "truth": float(truth[name])} for name, f in figures.items()}
    return row


def rows_of(seeds: list[int], design: Design, out: Path) -> list[Row]:
    """The rows of these cities; those that ``out`` lacks are made and added."""
    out.mkdir(parents=True, exist_ok=True)
    keys = [hashlib.sha256(f"{design} {seed}".encode()).hexdigest()[:16] for seed in seeds]
    with (out / "rows.jsonl").open("a+", encoding="utf-8") as file:
        file.seek(0)
        rows = {row["key"]: row for row in map(json.loads, file)}
        for seed, key in zip(seeds, keys, strict=True):
            if key not in rows:
                start = time.perf_counter()
                rows[key] = {"key": key, **judge(seed, design), "seconds": time.perf_counter() - start}
                print(json.dumps(rows[key]), file=file, flush=True)
    return [rows[key] for key in keys]


def coverage(rows: list[Row], case: str, name: str) -> Row:
    """How often the truth lies in the interval, and the 95 % interval of that share (Wilson)."""
    found = [row["cases"][case][name] for row in rows if row["cases"][case][name]["lower"] is not None]
    polygons = [row["polygons"] for row in rows]
    line: Row = {
        "case": case,
        "figure": name,
        "polygons": f"{min(polygons)}-{max(polygons)}",
        "cities": len(found),
    }
    if not found:
        return line
    value, lower, upper, truth = np.array(
        [[f[c] for c in ("value", "lower", "upper", "truth")] for f in found]
    ).T
    inside = (lower <= truth) & (truth <= upper)
    share = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    off = value - truth
    numbers = (
        inside.mean(),
        share.low,
        share.high,
        (truth > upper).mean(),
        (upper - lower).mean(),
        off.mean(),
        off.std(),
    )
    names = ("covered", "from", "to", "truth_above", "width", "minus_truth", "sd")
    return line | {key: round(float(v), 4) for key, v in zip(names, numbers, strict=True)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="smoke")
    parser.add_argument("--seeds", help="cities, as 0,1,2")
    parser.add_argument("--cities", type=int, help="the first so many cities, unless --seeds are given")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, default=Path("runs/interval_coverage"))
    args = parser.parse_args()
    design, cities = PRESETS[args.preset]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else list(range(args.cities or cities))
    rows = sorted(rows_of(seeds, design, args.out), key=lambda row: row["polygons"])
    lines = [coverage(rows, case, name) for case, names in rows[0]["cases"].items() for name in names]
    thirds = [rows[len(rows) * i // 3 : len(rows) * (i + 1) // 3] for i in range(3)]
    lines += [coverage(third, case, "oa") for case in rows[0]["cases"] for third in thirds if third]
    minus = {w: [r["cases"]["folds"]["oa"][w] - r["whole_map"] for r in rows] for w in ("value", "truth")}
    off = {w: [round(float(f(d)), 4) for f in (np.mean, np.std)] for w, d in minus.items()}
    seconds = round(sum(row["seconds"] for row in rows))
    if args.json:
        print(json.dumps({"coverage": lines, "oa_minus_whole_map": off, "seconds": seconds}))
        return
    for line in lines:
        print(*(f"{value!s:<12}" for value in line.values()), sep="")
    print(f"OA minus OA of the whole map, mean and sd: {off}; {seconds} s")


if __name__ == "__main__":
    main()
