"""Are wrong labels found? A tenth of the polygons get another class; where do they stand in the order?

python experiments/label_quality.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Places: Hong Kong (173 polygons), and a simulated city (80 polygons, another city for each draw). The wrong
class is any other one, or one that is easily taken for it (similarity of at least 9/12, Bechtel et al. 2017).
Orders: by suspicion; by self-confidence alone (Northcutt et al. 2021); by agreement, as before. cpu: 5
draws, 75 seconds of one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, write_results
from sklearn.metrics import roc_auc_score

import jido
from jido.io import write_image
from jido.stats.label_quality import suspicious

HERE = Path(__file__).resolve().parent
PRESETS = {"smoke": (1, 10, 32), "cpu": (5, 60, 64), "full": (25, 300, 128)}  # draws, trees, cells of a city
ORDERS = {
    "suspicion": lambda row: row["suspicion"],
    "self-confidence": lambda row: -row["given"],
    "agreement": lambda row: -row["agreement"] + 1e-7 * row["cells"],  # of those alike the largest first
}
FIGURES = ("precision", "auc", "flagged", "flagged_precision", "flagged_recall")


def swapped(labels: jido.Labels, wrong: str, seed: int) -> tuple[jido.Labels, np.ndarray]:
    """The labels with a tenth of them wrong, and which these are."""
    rng, codes = np.random.default_rng(seed), np.array(labels.codes)
    present, weights = np.unique(codes), labels.scheme.weights
    chosen = []
    for i in rng.permutation(len(codes)):
        others = present[present != codes[i]]
        if wrong == "similar":
            alike = weights[labels.scheme.index(codes[i : i + 1])[0], labels.scheme.index(others)]
            others = others[alike >= 9 / 12]
        if len(others):
            codes[i] = rng.choice(others)
            chosen.append(i)
        if len(chosen) == round(len(codes) / 10):
            break
    return replace(labels, codes=codes), np.array(chosen)


def draw(images: list[Path], labels: jido.Labels, wrong: str, seed: int, trees: int) -> list[dict[str, Any]]:
    """Figures of each order: share of the wrong ones among as many first ones, and what is flagged."""
    bad, chosen = swapped(labels, wrong, seed)
    with jido.Scene(images) as scene:
        model = jido.train_forest(scene, bad, config=jido.ForestConfig(trees=trees, seed=seed))
    polygons = model.evaluation["polygons"]
    truth = np.isin([row["item"] for row in polygons], chosen)
    flagged = np.isin([row["item"] for row in suspicious(polygons, most=len(polygons))], chosen)
    found = []
    for name, order in ORDERS.items():
        score = np.array([order(row) for row in polygons])
        first = np.argsort(-score, kind="stable")[: truth.sum()]
        figures = {"order": name, "precision": truth[first].mean(), "auc": roc_auc_score(truth, score)}
        if name == "suspicion":
            figures["flagged"] = len(flagged)
            figures["flagged_precision"] = float(flagged.mean()) if len(flagged) else None
            figures["flagged_recall"] = flagged.sum() / truth.sum()
        found.append({key: value if key == "order" or value is None else float(value)
                      for key, value in figures.items()})  # fmt: skip
    return found


def place_of(name: str, data: Path, seed: int, cells: int, folder: Path) -> tuple[list[Path], jido.Labels]:
    """Images and labels of a place."""
    if name == "hong-kong":
        return sorted(data.glob("landsat8_*.tif")), jido.read_labels(data / "hong_kong_lcz.gpkg")
    seed += 100  # not the cities that the score was chosen on
    city, images = jido.simulate_city(seed, cells=cells), [folder / "radar.tif", folder / "optical.tif"]
    write_image(city.radar, images[0])
    write_image(city.optical, images[1])
    return images, city.polygons(min(80, cells), seed=seed)


def run(data: Path, out: Path, seeds: list[int], trees: int, cells: int) -> list[dict[str, Any]]:
    """All rows; finished ones are kept."""
    rows, kept = Rows(out / "rows.jsonl"), []
    for name in ("hong-kong", "city"):
        for seed in seeds:
            for wrong in ("any", "similar"):
                settings = {"place": name, "wrong": wrong, "seed": seed, "trees": trees, "cells": cells}
                row = rows.get(settings)
                if row is None:
                    with tempfile.TemporaryDirectory() as folder:
                        images, labels = place_of(name, data, seed, cells, Path(folder))
                        row = rows.add(settings, {"orders": draw(images, labels, wrong, seed, trees)})
                kept += [{**settings, **figures} for figures in row["orders"]]
    return kept


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", help="comma-separated draws; those of the preset without it")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/lcz_hongkong")
    parser.add_argument("--out", type=Path, default=Path("runs/label_quality"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    draws, trees, cells = PRESETS[args.preset]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else list(range(draws))
    values = sorted(run(args.data, args.out, seeds, trees, cells), key=lambda r: (r["place"], r["wrong"]))
    text = mean_table(values, ("place", "wrong", "order"), FIGURES, digits=2)
    print(json.dumps({"rows": values}) if args.json else text)
    if args.preset != "smoke" and not args.seeds:
        command = f"`python experiments/label_quality.py --preset {args.preset}`"
        write_results("label_quality", f"{text}\n\n{command}; seeds 0-{draws - 1}.")


if __name__ == "__main__":
    main()
