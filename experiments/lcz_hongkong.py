"""Hong Kong, polygons kept whole: the forest over many draws, beside its floor and the leaky figure.

python experiments/lcz_hongkong.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

A draw takes a share of the polygons of every class for training and tests on all others. Rows:
Jido's forest on the 173 polygons as digitised and on the 172 connected components; the floor, a
random forest on the 36 raw bands; and random pixels 70/30, which leak. cpu: 25 draws, about 6
minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, write_results
from sklearn.ensemble import RandomForestClassifier

import jido
from jido.labels import few_labels
from jido.methods.cells import Samples, sample_cells
from jido.methods.forest import ForestConfig, fit_forest, probabilities
from jido.stats import confusion, summary

HERE = Path(__file__).resolve().parent
PRESETS = {"smoke": (2, 20), "cpu": (25, 300), "full": (100, 1000)}  # draws, trees
ARMS = ("jido", "jido-components", "raw-bands", "random-pixels")


def load(data: Path, config: ForestConfig, groups: str) -> tuple[Samples, jido.Labels]:
    """Labelled cells of the four dates; groups from the polygons or from the label raster."""
    file = "lcz_gt.tif" if groups == "components" else "hong_kong_lcz.gpkg"
    labels = jido.read_labels(data / file)
    with jido.Scene(sorted(data.glob("landsat8_*.tif"))) as scene:
        return sample_cells(scene, labels, config), labels


def draw(
    samples: Samples, labels: jido.Labels, arm: str, fraction: float, seed: int, trees: int
) -> dict[str, Any]:
    """One draw of training polygons: fit, predict all others."""
    start = time.perf_counter()
    if arm == "random-pixels":
        train = np.random.default_rng(seed).random(len(samples.y)) < fraction
    else:
        train = few_labels(samples.group, samples.y, fraction=fraction, seed=seed)
    chosen, rest = np.flatnonzero(train), np.flatnonzero(~train)
    if arm == "raw-bands":
        forest = RandomForestClassifier(200, random_state=seed, n_jobs=-1)
        forest.fit(samples.features[chosen], samples.y[chosen])
    else:
        forest = fit_forest(samples, chosen, ForestConfig(trees=trees, seed=seed))
    guess = probabilities(forest, samples.features[rest], len(labels.scheme.classes)).argmax(1)
    cm = confusion(samples.y[rest], guess, len(labels.scheme.classes))
    figures = {name: float(value) for name, value in summary(cm, labels.scheme).items()}
    return figures | {"train_cells": len(chosen), "seconds": round(time.perf_counter() - start, 2)}


def run(data: Path, out: Path, seeds: list[int], trees: int) -> list[dict[str, Any]]:
    """All rows; finished ones are kept."""
    rows, kept = Rows(out / "rows.jsonl"), []
    for arm in ARMS:
        raw = {"indices": False, "radii": ()} if arm == "raw-bands" else {}
        samples = labels = None
        for fraction in (0.7, 0.1):
            for seed in seeds:
                settings = {"arm": arm, "fraction": fraction, "seed": seed, "trees": trees}
                row = rows.get(settings)
                if row is None:
                    if samples is None or labels is None:
                        groups = "components" if arm == "jido-components" else "polygons"
                        samples, labels = load(data, ForestConfig(**raw), groups)
                    row = rows.add(settings, draw(samples, labels, arm, fraction, seed, trees))
                kept.append(row)
    return kept


def table(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Mean and standard deviation over draws, as values and as Markdown."""
    names = ("oa", "kappa", "oa_u", "oa_bu", "oa_w", "f1_macro")
    lines = ["| arm | polygons for training | draws | " + " | ".join(names) + " |", "|---" * 9 + "|"]
    values = []
    for arm in ARMS:
        for fraction in (0.7, 0.1):
            mine = [r for r in rows if r["arm"] == arm and r["fraction"] == fraction]
            stats = {n: (np.mean([r[n] for r in mine]), np.std([r[n] for r in mine])) for n in names}
            values.append(
                {"arm": arm, "fraction": fraction, "draws": len(mine)} | {n: s[0] for n, s in stats.items()}
            )
            shown = " | ".join(f"{mean:.3f} ± {sd:.3f}" for mean, sd in stats.values())
            mark = "**leaks** " if arm == "random-pixels" else ""
            lines.append(f"| {mark}{arm} | {fraction:.0%} | {len(mine)} | {shown} |")
    return values, "\n".join(lines)


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", help="comma-separated draws; those of the preset without it")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/lcz_hongkong")
    parser.add_argument("--out", type=Path, default=Path("runs/lcz_hongkong"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    draws, trees = PRESETS[args.preset]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else list(range(draws))
    values, text = table(run(args.data, args.out, seeds, trees))
    print(json.dumps({"rows": values}) if args.json else text)
    if args.preset != "smoke" and not args.seeds:
        machine = f"{os.cpu_count()} cores, {platform.machine()}"
        command = f"`python experiments/lcz_hongkong.py --preset {args.preset}`"
        write_results("lcz_hongkong", f"{text}\n\n{command}; seeds 0-{draws - 1}; {machine}.")


if __name__ == "__main__":
    main()
