"""Scene classification from scratch on EuroSAT RGB: the balanced-attention paper's nets, and a compact one.

python experiments/eurosat.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Every row is trained for the paper's random split, of which 42 % of the test tiles touch a training tile, and
again for the spatial split, where none does. The epoch is chosen on validation, the test tiles give the
figures once. cpu: 2.5 hours on 2 quiet cores. full: the paper's nets and ablations, on a GPU.
Finished rows are kept and trainings go on where they stood.
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

from jido.data.chip_reading import read_chips
from jido.data.chip_splits import ChipSplit, split_chips
from jido.data.chips import Chips
from jido.methods.classify import train_classification
from jido.methods.scene_config import SceneConfig, load_scene_config

HERE = Path(__file__).resolve().parent
SPLITS = {"paper": "vir_seed42", "spatial": "torchgeo_spatial"}
FEW = "gem0"
"""30 + 20 tiles per class, joined: 50 to learn from and none to choose on; 19,500 to judge."""

PAPER_WEIGHTS = [1, 0.8, 1.3, 1, 1.3, 1, 1.3, 0.8, 1, 0.8]
"""Of the classes in alphabetical order, in the loss of the paper's balanced net."""

SMALL: dict[str, Any] = {"settings": {"stages": 2}, "epochs": 14, "judge_every": 7}
MEDIUM: dict[str, Any] = {"settings": {"stages": 3}, "epochs": 36, "judge_every": 6}
LARGE: dict[str, Any] = {"settings": {"width": 64, "stages": 3}, "epochs": 60, "judge_every": 5}
FEW_LABELS: dict[str, Any] = {"settings": {"stages": 3}, "epochs": 400, "batch": 64}
CPU: dict[str, dict[str, Any]] = {
    "compact, 3 minutes": SMALL,
    "compact with balanced attention, 3 minutes": SMALL
    | {"settings": {"stages": 2, "attention": "balanced"}, "epochs": 11, "judge_every": 11},
    "compact, 10 minutes": MEDIUM,
    "compact, 60 minutes": LARGE,
}
BALANCED: dict[str, dict[str, Any]] = {
    "balanced": {},
    "balanced, SE only": {"settings": {"attention": "squeeze"}},
    "balanced, CoordAtt only": {"settings": {"attention": "coordinate"}},
    "balanced, fixed alpha": {"settings": {"attention": "fixed"}},
    "balanced, no DropBlock": {"settings": {"dropped": 0.0}},
    "balanced, flat class weights": {"class_weights": None},
    "balanced, weights from confusion": {"class_weights": "confusion"},
}
CLAIMED = {
    "baseline": 0.9430,
    "cbam": 0.9598,
    "balanced": 0.9723,
    "compact, 3 minutes": 0.9723,
    "compact, 10 minutes": 0.98,
    "compact, 60 minutes": 0.985,
    "compact, large": 0.989,
    "few labels": 0.8243,
}
"""The paper's figure, or the aim; 50 labels a class: ResNet-50 from scratch (Brigato et al. 2021, DEIC)."""

FIGURES = ("claim", "oa", "views_oa", "kappa", "mcc", "val_oa", "ece", "gap", "epochs", "minutes")


def arm_config(arm: str, preset: str, classes: tuple[str, ...], seed: int) -> SceneConfig:
    """Settings of a row."""
    if preset == "smoke":
        return load_scene_config(preset="smoke", seed=seed)
    if arm in ("baseline", "cbam") or arm in BALANCED:
        net = "balanced" if arm in BALANCED else arm
        given = BALANCED.get(arm, {})
        if net == "balanced":
            given = {"class_weights": dict(zip(classes, PAPER_WEIGHTS, strict=True))} | given
        return load_scene_config(net=net, preset="full", given=given, seed=seed)  # type: ignore[arg-type]
    if arm == "compact, large":
        return load_scene_config(preset="full", seed=seed)
    given = FEW_LABELS if arm == "few labels" else CPU[arm]
    return load_scene_config(given={"least_steps": 0, **given}, seed=seed)


class Bench:
    """Rows on the tiles: every row is trained, judged and kept."""

    def __init__(self, chips: Chips, splits: dict[str, ChipSplit], out: Path, preset: str) -> None:
        self.chips, self.splits, self.out, self.preset = chips, splits, out, preset
        self.rows = Rows(out / "rows.jsonl")

    def row(self, arm: str, split: str, seed: int) -> dict[str, Any]:
        """A finished row, or a new one."""
        config = arm_config(arm, self.preset, self.chips.classes, seed)
        told = {"arm": arm, "split": split, "preset": self.preset}
        facts = told | config.model_dump(mode="json")
        if (done := self.rows.get(facts)) is not None:
            return done
        work = self.out / f"{arm}-{split}-{seed}".replace(" ", "_")
        work.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        result = train_classification(self.chips, self.splits[split], config=config, work=work)
        found = result.model.evaluation
        figures = {name: figure["value"] for name, figure in found["one_view"].items()}
        return self.rows.add(
            facts,
            figures
            | {
                "claim": CLAIMED.get(arm) if split != "spatial" else None,
                "views_oa": found["eight_views"]["oa"]["value"],
                "val_oa": found["validation_oa"],
                "ece": found["calibration"]["ece"],
                "gap": found["calibration"]["gap"],
                "touching": found["folds"]["touching"],
                "minutes": sum(row["seconds"] for row in result.training.rows) / 60,
                "cpu_minutes": (time.process_time() - start) / 60,
                "fusion": result.training.rows[-1]["fusion"],
                "device": found["device"],
                "macs": found["cost"]["macs"],
            },
        )


def load(data: Path, preset: str) -> tuple[Chips, dict[str, ChipSplit]]:
    """The tiles and their splits; smoke takes one in thirty."""
    chips, table = read_chips(sorted(data.glob("*.zip"))), data / "eurosat_index.csv.gz"
    columns = SPLITS | {"few": FEW}
    splits = {name: split_chips(chips, table=f"{table}:{column}") for name, column in columns.items()}
    few = splits["few"]
    splits["few"] = replace(few, part=np.where(few.part == "val", "train", few.part))
    if preset != "smoke":
        return chips, splits
    some = np.arange(0, len(chips), 30)
    return chips.subset(some), {
        name: replace(split, part=split.part[some], group=split.group[some]) for name, split in splits.items()
    }


def run(bench: Bench, seeds: list[int]) -> list[dict[str, Any]]:
    """All rows of a preset, those of the claim first."""
    if bench.preset == "smoke":
        return [bench.row("compact, 3 minutes", split, seeds[0]) for split in SPLITS]
    if bench.preset == "cpu":
        quick, attentive, medium, large = CPU
        kept = [bench.row(quick, split, seed) for split in SPLITS for seed in seeds]
        kept += [bench.row(attentive, "paper", seed) for seed in seeds]
        kept += [bench.row("few labels", "few", seed) for seed in seeds]
        kept += [bench.row(medium, split, seed) for split in SPLITS for seed in seeds[:1]]
        return kept + [bench.row(large, split, seeds[0]) for split in SPLITS]
    arms = ("balanced", "cbam", "baseline", "compact, large", *list(BALANCED)[1:])
    return [bench.row(arm, split, seed) for arm in arms for split in SPLITS for seed in seeds]


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("smoke", "cpu", "full"), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/eurosat")
    parser.add_argument("--out", type=Path, default=Path("runs/eurosat"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bench = Bench(*load(args.data, args.preset), args.out / args.preset, args.preset)
    rows = run(bench, [int(seed) for seed in args.seeds.split(",")])
    text = mean_table(rows, ("arm", "split"), FIGURES)
    print(json.dumps({"rows": rows}) if args.json else text)
    if args.preset != "smoke":
        hours = sum(row["minutes"] for row in rows) / 60
        machine = (
            f"{os.cpu_count()} cores, {platform.machine()}, {rows[0]['device']}, {hours:.1f} h of training"
        )
        command = f"`python experiments/eurosat.py --preset {args.preset} --seeds {args.seeds}`"
        write_results(f"eurosat-{args.preset}", f"{text}\n\n{command}; {machine}.")


if __name__ == "__main__":
    main()
