"""Do probabilities mean what they say, and does "sure" keep its promise, on groups that no model has seen?

python experiments/calibration.py [--preset smoke|cpu] [--only NAME] [--data DIR] [--json]

Hong Kong (forest, 5 folds of polygons), courts (a small U-Net, images) and EuroSAT RGB (a compact scene net,
squares of land). Calibration: of Hong Kong crosswise over groups; of the others fitted on validation groups
and judged on test groups. Promise: of all held-out groups half choose calibration and threshold, the other
half judges, 200 times. cpu: half an hour on one thread. What models said is kept, so a second start goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from eurosat import load as eurosat_tiles
from rows import mean_table, write_results
from two_stage import load as court_tiles

import jido
from jido.geo import cell_grid
from jido.labels import group_kfold
from jido.methods.cells import sample_cells, touching_groups
from jido.methods.forest import ForestConfig, held_out
from jido.methods.scene import SceneTraining
from jido.methods.scene_config import load_scene_config
from jido.methods.scene_data import SceneData
from jido.methods.segment_trust import rows_of
from jido.methods.stage import Data
from jido.methods.two_stage import TwoStage, TwoStageConfig
from jido.stats.abstention import pooled_accept_threshold
from jido.stats.binary import best_threshold
from jido.stats.calibration import calibration
from jido.stats.calibrators import cross_calibrated, fit_calibration

HERE = Path(__file__).resolve().parent
ERRORS = (0.05, 0.10)
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"trees": 10, "epochs": 1, "width": 4, "until": 3, "tiles": 16, "resplits": 5},
    "cpu": {"trees": 300, "epochs": 4, "width": 16, "until": 20, "tiles": 704, "resplits": 200},
}
BEFORE_AFTER = ("ece before", "ece after", "brier before", "brier after")
KEPT = (
    "kept",
    "kept where promised",
    "answered",
    "realised",
    "nothing promised",
    "answered, all groups choose",
)
Held = dict[str, np.ndarray]
"""p (n, K) as the model says it, truth, group, pixels (n,) each; test: whether a row is not of validation."""


def hong_kong(data: Path, out: Path, preset: str) -> Held:
    """Every labelled cell by a forest that has not seen its fold."""
    config = ForestConfig(trees=PRESETS[preset]["trees"])
    labels = jido.read_labels(data / "hong_kong_lcz.gpkg")
    with jido.Scene(sorted(data.glob("landsat8_*.tif"))) as scene:
        cells = sample_cells(scene, labels, config)
        cells = replace(cells, group=touching_groups(cells, cell_grid(scene.geobox, config.cell)))
    folds = group_kfold(cells.group, cells.y, k=5, seed=0)
    p = held_out(cells, folds, config, len(labels.scheme.classes))
    ones = np.ones(len(p))
    return {"p": p, "truth": cells.y, "group": cells.group, "pixels": ones, "test": ones > 0}


def courts(data: Path, out: Path, preset: str) -> Held:
    """Pixels of images, as steps of a score; the threshold for the best IoU of validation is .5."""
    chosen = PRESETS[preset]
    tiles, part = court_tiles(data, out, preset)
    config = TwoStageConfig(
        width=chosen["width"], depth=3, tile=tiles.side, tiles_per_epoch=chosen["tiles"], batch=8,
        augment=True, stages=1, epochs=1, onset=1, until=2, branch="", branch_at=None,
    )  # fmt: skip
    train, validation, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    method = TwoStage(Data(tiles, train, validation), config, out)
    stage = method.stage_one(collect=False, until=chosen["until"]).take_best()
    histograms = [stage.histograms(which) for which in (validation, test)]
    p, truth, group, pixels = rows_of(np.concatenate(histograms), best_threshold(histograms[0].sum(0)))
    return {"p": p, "truth": truth, "group": group, "pixels": pixels, "test": group >= len(histograms[0])}


def eurosat(data: Path, out: Path, preset: str) -> Held:
    """Tiles of land of which the net has seen none; label smoothing makes it too modest."""
    chips, splits = eurosat_tiles(data, preset)
    split = splits["spatial"]
    train, validation, test = (np.flatnonzero(split.part == name) for name in ("train", "val", "test"))
    epochs = PRESETS[preset]["epochs"]
    config = load_scene_config(given={"least_steps": 0, "epochs": epochs, "judge_every": epochs})
    training = SceneTraining(SceneData(chips, train, validation), config).run(out)
    held = np.concatenate([validation, test])
    p, truth, group = training.probabilities(held), chips.label[held], split.group[held]
    return {"p": p, "truth": truth, "group": group, "pixels": np.ones(len(p)), "test": np.isin(held, test)}


ARMS: dict[str, Callable[[Path, Path, str], Held]] = {
    "lcz_hongkong": hong_kong,
    "courts": courts,
    "eurosat": eurosat,
}


def calibrated(held: Held, *, target: bool) -> dict[str, Any]:
    """Figures before and after, on test groups or crosswise; of a target also those of pixels called so."""
    p, truth, group, pixels, test = held.values()
    if test.all():
        fitted = fit_calibration(p, truth, group)
        after = cross_calibrated(p, truth, group)
    else:
        fitted = fit_calibration(p[~test], truth[~test], group[~test], weights=pixels[~test], target=target)
        after = fitted.apply(p)
    said, parts = p.argmax(1), {"": test}
    if target:
        parts[", called target"] = test & (said == 1)
    found = {}
    for name, which in parts.items():
        facts: dict[str, Any] = {"groups": len(np.unique(group[which])), "kind": fitted.kind}
        for when, q in (("before", p), ("after", after)):
            figures = calibration(q[which], truth[which], said=said[which], weights=pixels[which])
            facts |= {f"{key} {when}": figures[key] for key in ("ece", "brier")}
        found[name] = facts
    return found


def promised(held: Held, error: float, *, target: bool, resplits: int) -> dict[str, Any]:
    """Half of the groups choose, the other half judges: how often, and of how much, the promise is kept."""
    p, truth, group, pixels = (held[name] for name in ("p", "truth", "group", "pixels"))
    _, number = np.unique(group, return_inverse=True)
    said, rows = p.argmax(1), []
    counts = said == 1 if target else np.ones(len(p), bool)

    def chosen_by(one: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Confidence (n,), threshold and share answered, learned from the rows ``one``."""
        fitted = fit_calibration(p[one], truth[one], number[one], weights=pixels[one], target=target)
        confidence, here = fitted.apply(p)[np.arange(len(p)), said], one & counts
        right, weights = (said == truth)[here], pixels[here]
        return confidence, *pooled_accept_threshold(
            confidence[here], right, number[here], error=error, weights=weights
        )

    for seed in range(resplits):
        half = np.random.default_rng(seed).permutation(number.max() + 1)[: (number.max() + 1) // 2]
        one = np.isin(number, half)
        confidence, below, _ = chosen_by(one)
        there = ~one & counts
        sure = there & (confidence >= below)
        wrong, answered = pixels[sure & (said != truth)].sum(), pixels[sure].sum()
        rows.append((answered / pixels[there].sum(), wrong / answered if answered else np.nan))
    share, realised = np.array(rows).T
    some = np.isfinite(realised)
    return {
        "promised": error,
        "kept": float((~(realised > error)).mean()),
        "kept where promised": float((realised[some] <= error).mean()) if some.any() else None,
        "answered": float(share.mean()),
        "nothing promised": float(1 - some.mean()),
        "realised": float(realised[some].mean()) if some.any() else None,
        "answered, all groups choose": chosen_by(np.ones(len(p), bool))[2],
    }


def run(
    data: Path, out: Path, preset: str, arms: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the calibration and of the promises; what a model said is read where it is known."""
    figures, promises = [], []
    for arm in arms:
        place, target = out / preset / arm, arm == "courts"
        place.mkdir(parents=True, exist_ok=True)
        kept = place / "held.npz"
        if not kept.exists():
            np.savez(kept, **ARMS[arm](data / arm, place, preset))
        with np.load(kept) as file:
            held = {name: file[name] for name in ("p", "truth", "group", "pixels", "test")}
        figures += [{"data": arm + name} | row for name, row in calibrated(held, target=target).items()]
        for error in ERRORS:
            told = promised(held, error, target=target, resplits=PRESETS[preset]["resplits"])
            promises.append({"data": arm + ", called target" * target, **told})
    return figures, promises


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--only", choices=ARMS, help="one of the data sets; RESULTS.md stays")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures, promises = run(args.data, args.out, args.preset, [args.only] if args.only else list(ARMS))
    tables = (
        mean_table(figures, ("data", "groups", "kind"), BEFORE_AFTER, digits=4),
        mean_table(promises, ("data", "promised"), KEPT, digits=3),
    )
    text = "\n\n".join(tables)
    print(json.dumps({"calibration": figures, "promises": promises}) if args.json else text)
    if args.preset != "smoke" and not args.only:
        machine = f"{os.cpu_count()} threads of one core, {platform.machine()}"
        command = f"`python experiments/calibration.py --preset {args.preset}`"
        write_results("calibration", f"{text}\n\n{command}; seed 0, 200 resplits; {machine}.")


if __name__ == "__main__":
    main()
