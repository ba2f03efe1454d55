"""Do accumulated errors help a U-Net to miss less? The ginseng paper's two stages against fair rivals.

python experiments/two_stage.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Courts (2.4 % of the pixels, split by image). A rival has as many epochs as both stages together; epoch
and threshold of every row are chosen on validation, the test tiles give the figures. Three seeds for
the baseline, the paper's two stages and the variant that is best on validation (turned tiles: beside a
baseline with turned tiles), one for other rows.
cpu: 3 hours on 2 quiet cores. Finished rows are kept and trainings go on where they stood.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, write_results
from scipy.ndimage import label

from jido.data.cutting import cut_tiles
from jido.data.splits import split_tiles
from jido.data.tiles import Tiles, packed
from jido.geo import drop_small, hysteresis
from jido.methods.figures.curves import draw_losses, moving_sd, table2_markdown
from jido.methods.segment import judge
from jido.methods.stage import Data, Stage
from jido.methods.two_stage import TwoStage, TwoStageConfig
from jido.stats.binary import binary_summary, counts_at

HERE = Path(__file__).resolve().parent
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"width": 4, "depth": 2, "onset": 1, "until": 2, "epochs": 1, "tiles_per_epoch": 16, "tile": 64},
    # tiles of 128 pixels: four times the steps for the same time, and a small net needs steps
    "cpu": {"width": 16, "onset": 34, "until": 38, "epochs": 34, "tiles_per_epoch": 704, "tile": 128},
    "full": {"width": 64, "onset": 100, "until": 250, "epochs": 400, "batch": 48, "passes": 3, "tile": 256},
}
SHORT = {"onset": 16, "until": 20, "epochs": 16}
"""cpu: epochs of the rows with label noise and of two losses; compared among themselves only."""
SHARED: dict[str, Any] = {"batch": 8, "passes": 1, "branch": "", "branch_at": None}
SIGNED: dict[str, Any] = {"heads": ("missed", "false_alarm"), "combine": "signed"}
VARIANTS: dict[str, dict[str, Any]] = {
    "two-stage": {},
    "two-stage, from stage 1": {"start": "stage 1"},
    "two-stage, misses only": {"heads": ("missed",)},
    "two-stage, signed": SIGNED,
    "two-stage, out of fold, signed": {"out_of_fold": 2, **SIGNED},
    "two-stage, Focal-Tversky": {"loss": "focal_tversky"},
    "two-stage, turned tiles": {"augment": True},
}
MORE: dict[str, dict[str, Any]] = {
    "two-stage, no outlines": {"rim": 2},
    "two-stage, false alarms only": {"heads": ("false_alarm",)},
    "two-stage, out of fold": {"out_of_fold": 2},
}
"""For ``full`` only."""
RULES = {"two-stage, mean": "mean", "two-stage, target output alone": "target"}
"""The net of ``two-stage``, at the epoch that is best for its union, read in another way."""
CLEANED = {"two-stage, cleaned": "two-stage", "baseline, cleaned": "baseline"}
"""The same net and threshold, then hysteresis and a smallest piece, both chosen on validation."""
RIVALS: dict[str, dict[str, Any]] = {
    "stage 1": {},
    "baseline": {},
    "turned tiles": {"augment": True},
    "pos_weight 5": {"loss": "pos_weight_bce"},
    "OHEM": {"loss": "ohem_bce"},
    "Focal-Tversky": {"loss": "focal_tversky"},
    "SoftIoU": {"loss": "soft_iou"},
    "BCE + IoU": {"loss": "bce_iou"},
}
LOSSES = {"BCE": "baseline", "SoftIoU": "SoftIoU", "Focal-Tversky": "Focal-Tversky", "BCE + IoU": "BCE + IoU"}
FIGURES = (
    "iou",
    "precision",
    "recall",
    "fn_tp",
    "fp_tp",
    "pr_auc",
    "val_iou",
    "unsteady",
    "onset_iou",
    "cfdr",
)


def load(data: Path, work: Path, preset: str) -> tuple[Tiles, np.ndarray]:
    """The tiles and their parts, as the data set gives them; smoke takes one in twenty."""
    folders = [data / part for part in ("train", "val", "test")]
    images, masks = ([folder / kind for folder in folders] for kind in ("images", "masks"))
    table, side = data / "tiles.csv", PRESETS[preset]["tile"]
    tiles = cut_tiles(images, masks=masks, work=work, side=side, groups=f"{table}:source_image")
    part = split_tiles(tiles, table=f"{table}:split").part
    if preset == "smoke":
        few = np.arange(0, len(tiles), 20)
        tiles, part = tiles.subset(few), part[few]
    return tiles, part


def without_polygons(tiles: Tiles, which: np.ndarray, share: float, seed: int) -> Tiles:
    """Label noise: a share of the connected pieces of target in some tiles is dropped."""
    rng, masks = np.random.default_rng(seed), tiles.masks.copy()
    for i in which:
        pieces, n = label(tiles.mask(np.array([i]))[0])
        kept = np.flatnonzero(rng.random(n) >= share) + 1
        masks[i] = packed(np.isin(pieces, kept)[None])[0]
    return replace(tiles, masks=masks)


def cleaned(stage: Stage, test: np.ndarray, threshold: float) -> dict[str, Any]:
    """Figures of test tiles after the cleaning that serves validation best."""
    scores = {id(which): stage.scores(which) for which in (stage.data.validation, test)}

    def counts(which: np.ndarray, high: float, cells: int) -> np.ndarray:
        found = (hysteresis(score, low=threshold, high=high) for score in scores[id(which)])
        return stage.counts(which, packed(np.stack([drop_small(mask, cells=cells) for mask in found])))

    ways = [(max(high, threshold), cells) for high in (0, 0.7, 0.8, 0.9, 0.95) for cells in (0, 20, 50, 100)]
    ious = [float(binary_summary(counts(stage.data.validation, *way))["iou"]) for way in ways]
    found = {
        name: float(value) for name, value in binary_summary(counts(test, *ways[np.argmax(ious)])).items()
    }
    return {name: value if np.isfinite(value) else None for name, value in found.items()} | {
        "val_iou": max(ious),
        "cleaning": ways[np.argmax(ious)],
        "pr_auc": None,
    }


class Bench:
    """Rows on some tiles: every row is trained, judged and kept."""

    def __init__(self, tiles: Tiles, part: np.ndarray, out: Path, preset: str) -> None:
        self.tiles, self.part, self.out, self.preset = tiles, part, out, preset
        self.rows = Rows(out / "rows.jsonl")
        train, validation = (np.flatnonzero(part == name) for name in ("train", "val"))
        self.key = Data(tiles, train, validation).key

    def row(self, arm: str, seed: int, *, noise: float | None = None, short: bool = False) -> dict[str, Any]:
        """A finished row, or a new one; ``noise``: share of the training polygons that is dropped."""
        trained = "two-stage" if arm in RULES else CLEANED.get(arm, arm)
        changed = {**VARIANTS, **MORE, **RIVALS}[trained] | (SHORT if short and self.preset == "cpu" else {})
        config = TwoStageConfig(**{**SHARED, **PRESETS[self.preset], **changed, "seed": seed})
        told = {"arm": arm, "noise": noise, "preset": self.preset, "data": self.key}
        facts = told | config.model_dump(mode="json")
        if (done := self.rows.get(facts)) is not None:
            return done
        start = time.perf_counter()
        train = np.flatnonzero(self.part == "train")
        tiles = without_polygons(self.tiles, train, noise, seed) if noise else self.tiles
        course = f"{config.loss}-{config.until}{'-turned' * config.augment}"
        folder = self.out / f"{course}-{noise or 0:g}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        method = TwoStage(Data(tiles, train, np.flatnonzero(self.part == "val")), config, folder)
        if trained in {**VARIANTS, **MORE} and trained.startswith("two-stage"):
            first = method.stage_one()
            errors = method.out_of_fold() if config.out_of_fold else None
            stage = method.stage_two(first, errors, name=trained)
        elif arm == "stage 1":
            stage = first = method.stage_one()
        else:
            stage = first = method.stage_one(collect=False, until=config.until + config.epochs)
        if arm in RULES:
            stage.config = config.model_copy(update={"combine": RULES[arm]})
        found = self.figures(stage, first)
        if arm in CLEANED:
            found |= cleaned(stage, np.flatnonzero(self.part == "test"), found["threshold"])
        two, folds = stage.number == 2, config.out_of_fold
        found["epochs_in_all"] = config.until * (1 + folds) + config.epochs * (two or arm != "stage 1")
        return self.rows.add(facts, found | {"seconds": time.perf_counter() - start})

    def figures(self, stage: Stage, first: Stage) -> dict[str, Any]:
        """What a row says of a trained stage; ``half_*``: at a score of .5, as in the paper."""
        test = np.flatnonzero(self.part == "test")
        judged = judge(stage, test)
        half = binary_summary(counts_at(stage.histogram(test), 0.5))
        curve = np.array([row["iou"] or 0.0 for row in stage.rows])
        return {
            **{name: figure["value"] for name, figure in judged.metrics.items()},
            **{f"half_{name}": float(half[name]) for name in ("iou", "fn_tp", "fp_tp") if half["iou"] > 0},
            "val_iou": judged.validation_iou,
            "threshold": judged.threshold,
            "unsteady": float(np.nanmean(moving_sd(curve[-25:]))) if len(curve) > 10 else None,
            "best_epoch": stage.best["epoch"],
            "onset_iou": first.onset_iou,
            "cfdr": first.errors.ratio(first.data.train),
            "history": stage.rows,
        }


def run(bench: Bench, seeds: list[int]) -> tuple[list[dict[str, Any]], str]:
    """All rows, those of the claim first; and the variant that is best on validation.

    Two stages come before their baseline, which goes on from the same stage 1.
    """
    first, full = seeds[0], bench.preset == "full"
    kept = [bench.row(arm, first) for arm in (*VARIANTS, "stage 1", "baseline", *RULES, *CLEANED)]
    best = max((row for row in kept if row["arm"] in VARIANTS), key=lambda row: row["val_iou"])["arm"]
    rival = "turned tiles" if VARIANTS[best].get("augment") else "baseline"
    claim = dict.fromkeys(("two-stage", "stage 1", "baseline", best, rival))
    kept += [bench.row(arm, seed) for seed in seeds[1:] for arm in claim]
    rest = [arm for arm in (*RIVALS, *(MORE if full else ())) if arm not in claim]
    if full:
        kept += [
            bench.row(arm, seed) for arm in (*VARIANTS, *RULES) if arm not in claim for seed in seeds[1:]
        ]
    kept += [
        bench.row(arm, s, short=arm in ("SoftIoU", "BCE + IoU"))
        for arm in rest
        for s in (seeds if full else seeds[:1])
    ]
    kept += [
        bench.row(arm, first, noise=noise, short=True)
        for noise in (0.0, 0.1, 0.2, 0.3)
        for arm in ("two-stage", "baseline")
    ]
    return kept, best


def main() -> None:
    """Run the rows, print the table, draw the comparison of losses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/courts")
    parser.add_argument("--out", type=Path, default=Path("runs/two_stage"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out = args.out / args.preset
    (out / "tiles").mkdir(parents=True, exist_ok=True)
    bench = Bench(*load(args.data, out / "tiles", args.preset), out, args.preset)
    rows, best = run(bench, [int(seed) for seed in args.seeds.split(",")])
    text = mean_table(rows, ("arm", "noise", "epochs_in_all"), FIGURES)
    told = {row["arm"]: row["history"] for row in reversed(rows)}
    shortest = min(len(told[arm]) for arm in LOSSES.values())  # a longer training begins like a shorter one
    draw_losses({name: told[arm][:shortest] for name, arm in LOSSES.items()}, out / "losses.png")
    text += "\n\n" + table2_markdown(told["stage 1"] + told["two-stage"])
    print(json.dumps({"rows": rows, "best": best}) if args.json else text)
    if args.preset != "smoke":
        hours = sum(row["seconds"] for row in rows) / 3600
        machine = f"{os.cpu_count()} cores, {platform.machine()}, {hours:.1f} h in all"
        command = f"`python experiments/two_stage.py --preset {args.preset} --seeds {args.seeds}`"
        write_results("two_stage", f"{text}\n\nBest on validation: {best}. {command}; {machine}.")


if __name__ == "__main__":
    main()
