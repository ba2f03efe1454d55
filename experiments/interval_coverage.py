"""What do the 95 % intervals of the forest's figures cover?

python experiments/interval_coverage.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--json]

In simulated cities polygons are drawn, the forest is judged as Jido does it, and its map is held against
hundreds of new polygons, drawn by the same procedure around the old ones: the truth. In cities of 96 x 96
cells they crowd: the new ones lie nearer to the old ones than these to each other. Cases:

- folds: the interval from folds by polygon, as Jido prints it; truth of the map's own model.
- fold models: the same interval; truth of the models of the folds, each of which lacks a fold.
- split: 30 % of the polygons held out once; truth of the very model that they judged.
- pixels: binomial intervals, as if pixels were independent (OA only).
- whole map: the interval from folds; OA of the whole map, which polygons picked by hand do not estimate.

Columns: covered, its Wilson interval, share of truths above the interval, value minus truth, its sd, width.
cpu: 200 cities of each size, an hour on one core; full: 1000, two days.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rows import Rows, write_results
from scipy.stats import binomtest

from jido.data import City, simulate_city
from jido.labels import Labels, few_labels, group_kfold
from jido.methods.cells import Samples, cell_features
from jido.methods.forest import ForestConfig, fit_forest, probabilities
from jido.stats import Figure, cluster_bootstrap, confusion, confusion_by_group, figure, summary

PRESETS: dict[str, tuple[int, tuple[int, ...], dict[str, Any]]] = {  # cities, sizes, settings of judge
    "smoke": (3, (64,), {"polygons": (30, 40), "trees": 5, "new": 30}),
    "cpu": (200, (96, 160), {"polygons": (30, 170), "trees": 100, "new": 600}),
    "full": (1000, (96, 160), {"polygons": (30, 170), "trees": 300, "new": 2000}),
}


def samples_of(city: City, labels: Labels, config: ForestConfig) -> tuple[np.ndarray, np.ndarray, Samples]:
    """Features of every cell (cells, F), the places of the labelled cells, and their samples."""
    image, side = np.concatenate([city.radar.data, city.optical.data]), len(city.lcz)
    planes = cell_features(image, city.radar.bands + city.optical.bands, config, image.shape[-1] // side)
    features, item = planes.reshape(len(planes), -1).T, labels.burn(city.grid).item.ravel()
    at, affine = np.flatnonzero(item >= 0), city.grid.affine
    x, y = affine.c + affine.a * (at % side + 0.5), affine.f + affine.e * (at // side + 0.5)
    place, xy = labels.scheme.index(labels.codes[item[at]]), np.column_stack([x, y])
    return features, at, Samples(features[at], y=place, item=item[at], group=labels.groups[item[at]], xy=xy)


def judge(seed: int, *, cells: int, polygons: tuple[int, int], trees: int, new: int) -> dict[str, Any]:
    """Simulate a city, judge the forest in it, look at new polygons."""
    start = time.perf_counter()
    n = int(np.random.default_rng([seed, 1]).integers(*polygons, endpoint=True))
    city = simulate_city(seed, cells=cells)
    labels = city.polygons(n, seed=1000 * seed)
    draws = range(1, math.ceil(new / n) + 1)  # each of n, to have the same mix of classes
    burned = [city.polygons(n, seed=1000 * seed + i, avoid=labels).burn(city.grid) for i in draws]
    fresh = np.concatenate([np.flatnonzero(codes) for codes, _ in burned])
    config = ForestConfig(trees=trees, seed=seed)
    features, at, samples = samples_of(city, labels, config)
    scheme, k, lcz = labels.scheme, len(labels.scheme.classes), labels.scheme.index(city.lcz).ravel()

    def map_from(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The map after learning from the samples ``train``, and its matrix over the new polygons."""
        mapped = probabilities(fit_forest(samples, train, config), features, k).argmax(1)
        return mapped, confusion(lcz[fresh], mapped[fresh], k)

    def intervals(said: np.ndarray, test: np.ndarray) -> tuple[dict[str, Figure], dict[str, Figure]]:
        """Over polygons, and as if over independent pixels, of what was said of the samples ``test``."""
        matrices = confusion_by_group(samples.y[test], said[test], samples.group[test], k)
        oa = float((said[test] == samples.y[test]).mean())
        half = 1.96 * math.sqrt(oa * (1 - oa) / len(test))
        return cluster_bootstrap(matrices, scheme), {"oa": figure(oa, oa - half, oa + half)}

    whole, of_map = map_from(np.arange(len(at)))
    held, of_folds = np.zeros_like(samples.y), np.zeros_like(of_map)
    for train, test in group_kfold(samples.group, samples.y, k=5, seed=seed):
        mapped, matrix = map_from(train)
        held[test], of_folds = mapped[at[test]], of_folds + matrix
    first = few_labels(samples.group, samples.y, fraction=0.7, seed=seed)
    mapped, of_split = map_from(np.flatnonzero(first))
    folds, pixels = intervals(held, np.arange(len(at)))
    split, split_pixels = intervals(mapped[at], np.flatnonzero(~first))
    cases = {"folds": (folds, of_map), "fold models": (folds, of_folds), "split": (split, of_split)}
    cases |= {"folds, pixels": (pixels, of_map), "split, pixels": (split_pixels, of_split)}
    row: dict[str, Any] = {"drawn": n, "whole_map": float((whole == lcz).mean()), "cases": {}}
    for case, (figures, matrix) in cases.items():
        truth = summary(matrix, scheme)
        row["cases"][case] = {name: {**f, "truth": float(truth[name])} for name, f in figures.items()}
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def coverage(found: pd.DataFrame) -> pd.Series:
    """How often the truth lies in the interval, and the 95 % interval of that share (Wilson)."""
    inside, off = found["truth"].between(found["lower"], found["upper"]), found["value"] - found["truth"]
    share = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    line = {"cities": len(found), "covered": inside.mean(), "from": share.low, "to": share.high}
    line |= {"above": (found["truth"] > found["upper"]).mean(), "off": off.mean(), "sd": off.std(ddof=0)}
    return pd.Series(line | {"width": (found["upper"] - found["lower"]).mean()})


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Coverage per size, case and figure; of OA also per third of the cities by number of polygons."""
    for row in rows:
        row["cases"]["whole map"] = {"oa": {**row["cases"]["folds"]["oa"], "truth": row["whole_map"]}}
    thirds = np.array_split(sorted(rows, key=lambda row: (row["drawn"], row["seed"])), 3)
    every = pd.DataFrame(
        {"cells": row["cells"], "case": case, "figure": name, "polygons": f"{low}-{high}", **found}
        for part, low, high in ((part, part[0]["drawn"], part[-1]["drawn"]) for part in thirds if len(part))
        for row in part
        for case, figures in row["cases"].items()
        for name, found in figures.items()
    ).dropna(subset=["lower", "truth"])
    both = pd.concat([every.assign(polygons="all"), every[every["figure"] == "oa"]])
    both = both.sort_values("cells", kind="stable")
    parts = both.groupby(["cells", "case", "figure", "polygons"], sort=False)
    return parts.apply(coverage, include_groups=False).reset_index().round(3)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", help="comma-separated cities; those of the preset without it")
    parser.add_argument("--out", type=Path, default=Path("runs/interval_coverage"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cities, sizes, settings = PRESETS[args.preset]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else range(cities)
    wanted = [{"seed": seed, "cells": cells, **settings} for cells in sizes for seed in seeds]
    done = Rows(args.out / "rows.jsonl")
    rows = [done.get(city) or done.add(city, judge(**city)) for city in wanted]
    found = table(rows)
    lines = [found.columns, ["---"] * found.shape[1], *found.astype({"cities": int}).to_numpy()]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    print(json.dumps({"coverage": found.to_dict("records")}) if args.json else text)
    if args.preset != "smoke" and not args.seeds:
        hours = sum(row["seconds"] for row in rows) / 3600
        text += f"\n\n`python experiments/interval_coverage.py --preset {args.preset}`, {hours:.1f} CPU h."
        write_results("interval_coverage", text)


if __name__ == "__main__":
    main()
