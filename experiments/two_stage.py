"""Do accumulated errors help a U-Net to miss less? The ginseng paper's two stages against fair rivals.

python experiments/two_stage.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Courts (2.4 % of the pixels, split by image). Stage 1 and stage 2 together have as many epochs as each
rival; the threshold of every row is the best one on validation, the test tiles give the figures.
Three seeds for the baseline, the paper's two stages and the variant that is best on validation; one
for the other rows. cpu: see LEDGER; a row that is finished is kept, a training goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, write_results
from scipy.ndimage import label

from jido.data.cutting import cut_tiles
from jido.data.splits import split_tiles
from jido.data.tiles import Tiles, packed
from jido.methods.curves import moving_sd
from jido.methods.segment import judge
from jido.methods.stage import Data, Stage
from jido.methods.two_stage import TwoStage, TwoStageConfig

HERE = Path(__file__).resolve().parent
LEDGER = "cpu: 3 hours on 2 cores"
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"width": 4, "depth": 2, "onset": 1, "until": 2, "epochs": 1, "tiles_per_epoch": 16},
    "cpu": {"width": 16, "onset": 30, "until": 40, "epochs": 30},
    "full": {"width": 64, "onset": 100, "until": 250, "epochs": 400, "batch": 48, "passes": 3},
}
SHARED: dict[str, Any] = {"batch": 8, "passes": 1, "branch": "", "branch_at": None}
"""Before the preset has its say."""

SIGNED = {"heads": ("missed", "false_alarm"), "combine": "signed"}
MISSED = {"heads": ("missed",)}
VARIANTS: dict[str, dict[str, Any]] = {
    "two-stage": {},
    "two-stage, from stage 1": {"start": "stage 1"},
    "two-stage, mean": {"combine": "mean"},
    "two-stage, misses only": MISSED,
    "two-stage, false alarms only": {"heads": ("false_alarm",)},
    "two-stage, no outlines": {"rim": 2},
    "two-stage, signed": SIGNED,
    "two-stage, out of fold": {"out_of_fold": 2},
    "two-stage, out of fold, signed": {"out_of_fold": 2, **SIGNED},
    "two-stage, Focal-Tversky": {"loss": "focal_tversky"},
    "two-stage, turned tiles": {"augment": True},
}
RIVALS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "pos_weight 5": {"loss": "pos_weight_bce"},
    "OHEM": {"loss": "ohem_bce"},
    "Focal-Tversky": {"loss": "focal_tversky"},
    "SoftIoU": {"loss": "soft_iou"},
    "BCE + IoU": {"loss": "bce_iou"},
    "baseline, turned tiles": {"augment": True},
}
NOISE = (0.1, 0.2, 0.3)


def load(data: Path, work: Path) -> tuple[Tiles, np.ndarray]:
    """The tiles and their parts, as the data set gives them."""
    folders = [data / part for part in ("train", "val", "test")]
    images, masks = ([folder / kind for folder in folders] for kind in ("images", "masks"))
    table = data / "tiles.csv"
    tiles = cut_tiles(images, masks=masks, work=work, groups=f"{table}:source_image")
    return tiles, split_tiles(tiles, table=f"{table}:split").part


def without_polygons(tiles: Tiles, which: np.ndarray, share: float, seed: int) -> Tiles:
    """Label noise: a share of the connected pieces of target in some tiles is dropped."""
    rng, masks = np.random.default_rng(seed), tiles.masks.copy()
    for i in which:
        pieces, n = label(tiles.mask(np.array([i]))[0])
        kept = np.flatnonzero(rng.random(n) >= share) + 1
        masks[i] = packed(np.isin(pieces, kept)[None])[0]
    return replace(tiles, masks=masks)


class Bench:
    """Rows on some tiles: every row is trained, judged and kept."""

    def __init__(self, tiles: Tiles, part: np.ndarray, rows: Rows, out: Path, preset: str) -> None:
        self.tiles, self.part, self.rows, self.out, self.preset = tiles, part, rows, out, preset

    def config(self, seed: int, **settings: Any) -> TwoStageConfig:
        """Settings of a row."""
        return TwoStageConfig(**{**SHARED, **PRESETS[self.preset], **settings, "seed": seed})

    def row(self, arm: str, seed: int, noise: float = 0.0) -> dict[str, Any]:
        """A finished row, or a new one."""
        two, settings = arm in VARIANTS, {**VARIANTS, **RIVALS}.get(arm, {})
        config = self.config(seed, **settings)
        facts = {"arm": arm, "noise": noise, "preset": self.preset, **config.model_dump(mode="json")}
        if (done := self.rows.get(facts)) is not None:
            return done
        start = time.perf_counter()
        train = np.flatnonzero(self.part == "train")
        tiles = without_polygons(self.tiles, train, noise, seed) if noise else self.tiles
        folder = self.out / f"{config.loss}{'-turned' * config.augment}-{noise:g}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        method = TwoStage(Data(tiles, train, np.flatnonzero(self.part == "val")), config, folder)
        if two:
            first = method.stage_one()
            stage = method.stage_two(first, method.out_of_fold() if config.out_of_fold else None, name=arm)
        else:
            stage = first = method.stage_one(collect=False, until=config.until + config.epochs)
        return self.rows.add(facts, self.figures(stage, first) | {"seconds": time.perf_counter() - start})

    def figures(self, stage: Stage, first: Stage) -> dict[str, Any]:
        """What a row says of a trained stage."""
        judged = judge(stage, np.flatnonzero(self.part == "test"))
        curve = np.array([row["iou"] or 0.0 for row in stage.rows if row["stage"] == stage.number])
        return {
            **{name: figure["value"] for name, figure in judged.metrics.items()},
            "val_iou": judged.validation_iou,
            "threshold": judged.threshold,
            "unsteady": float(np.nanmean(moving_sd(curve))) if len(curve) > 10 else None,
            "best_epoch": stage.best["epoch"],
            "onset_iou": first.onset_iou,
            "cfdr": first.errors.ratio(first.data.train),
        }


def best_variant(rows: list[dict[str, Any]]) -> str:
    """The variant of the method with the highest validation IoU, turned tiles aside."""
    mine = [r for r in rows if r["arm"] in VARIANTS and not r["noise"] and not r["augment"]]
    return max(mine, key=lambda r: r["val_iou"])["arm"]


def run(bench: Bench, seeds: list[int]) -> tuple[list[dict[str, Any]], str]:
    """All rows in the order of their weight, so that a short ledger has the claims first."""
    first, kept = seeds[0], []
    kept += [bench.row(arm, first) for arm in ("baseline", *VARIANTS)]
    best = best_variant(kept)
    kept += [
        bench.row(arm, seed) for seed in seeds[1:] for arm in dict.fromkeys(("baseline", "two-stage", best))
    ]
    kept += [bench.row(arm, first) for arm in RIVALS if arm != "baseline"]
    kept += [
        bench.row(arm, first, noise)
        for noise in NOISE
        for arm in dict.fromkeys(("baseline", "two-stage", best))
    ]
    return kept, best


def table(rows: list[dict[str, Any]], best: str) -> str:
    """Means over seeds, with standard deviations where there are three."""
    names = (
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
    head = ["arm", "polygons dropped", "seeds", "epochs", *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for arm, noise in dict.fromkeys((row["arm"], row["noise"]) for row in rows):
        mine = [row for row in rows if (row["arm"], row["noise"]) == (arm, noise)]
        shown = []
        for name in names:
            values = [row[name] for row in mine if row[name] is not None]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 2 else ""
            shown.append(f"{np.mean(values):.3f}{spread}" if values else "")
        epochs = f"{mine[0]['until']} + {mine[0]['epochs']}"
        bold = "**" if arm in ("baseline", "two-stage", best) and not noise else ""
        lines.append(f"| {bold}{arm}{bold} | {noise:.0%} | {len(mine)} | {epochs} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/courts")
    parser.add_argument("--out", type=Path, default=Path("runs/two_stage"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    out = args.out / args.preset
    (out / "tiles").mkdir(parents=True, exist_ok=True)
    bench = Bench(*load(args.data, out / "tiles"), Rows(out / "rows.jsonl"), out, args.preset)
    rows, best = run(bench, [int(seed) for seed in args.seeds.split(",")])
    text = table(rows, best)
    print(json.dumps({"rows": rows, "best": best}) if args.json else text)
    if args.preset != "smoke":
        hours = sum(row["seconds"] for row in rows) / 3600
        machine = f"{os.cpu_count()} cores, {platform.machine()}, {hours:.1f} h in all"
        command = f"`python experiments/two_stage.py --preset {args.preset} --seeds {args.seeds}`"
        write_results("two_stage", f"{text}\n\nBest on validation: {best}. {command}; {machine}.")


if __name__ == "__main__":
    main()
