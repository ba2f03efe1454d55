"""Does learning without labels help where labels are few? SSMMRL and its rivals on one harness.

python experiments/selfsup.py [--dataset eurosat|hongkong|s1s2|cities|so2sat|all] [--preset smoke|cpu|full]
    [--seeds 0,1,2] [--arms "A;B"] [--data DIR] [--json]

Every method has the same wall clock, patches, views and evaluation: a linear probe and fine-tuning on
nested labelled subsets, beside a net from scratch and a forest. Epochs are those that fit the clock, from
the time of one epoch measured before. cpu: 3 hours on 2 quiet cores. full: one GPU, 200 epochs at 64 pixels.
Finished rows are kept and trainings go on where they stood.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, write_results
from selfsup_data import DATASETS, PLACES, SHARED, Task

import jido
from jido.labels import cap_per_group, few_labels
from jido.methods.label_curve import Learn, forest, linear_probe
from jido.methods.selfsup import PretrainConfig, Pretraining, token_settings
from jido.methods.tune import TuneConfig, Tuning
from jido.methods.watch import Probe

TUNE_STEPS = 300
MINUTES = {"eurosat": 6.5, "hongkong": 2.5, "s1s2": 1.0, "cities": 2.5, "so2sat": 1.0}
"""cpu: of one pretraining."""
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"minutes": 0.02, "width": 8, "draws": 2, "steps": 5},
    "cpu": {"minutes": MINUTES, "width": 32, "draws": 3},
    "full": {"epochs": 200, "width": 96, "draws": 5, "steps": 2000},
}
CROPS = dict.fromkeys(("gain", "offset", "decibels", "blur", "band_dropout", "sensor_dropout"), 0.0)
"""What is hidden is the task of MAE and data2vec; they need no noise."""
SLOW = {"learning_rate": 1e-3}
METHODS: dict[str, dict[str, Any]] = {
    "SSMMRL": {"method": "ssmmrl"},
    "SimCLR": {"method": "simclr", **SLOW},
    "BYOL": {"method": "byol", **SLOW},
    "MoCo v2": {"method": "moco", "settings": {"tau": 0.98, "temperature": 0.1}, **SLOW},
    "DINO": {"method": "dino", "settings": {"tau": 0.98, "teacher_temperature": 0.07}, **SLOW},
    "MAE": {"method": "mae", "views": CROPS, **SLOW},
    "data2vec": {"method": "data2vec", "views": CROPS, **SLOW},
}
"""Settings are the best of four trials each (RESULTS.md); MAE and data2vec were not tuned."""
ABLATION: dict[str, dict[str, Any]] = {
    "SSMMRL, without fusion": {"settings": {"fusion": "none"}},
    "SSMMRL, mean for attention": {"settings": {"fusion": "mean"}},
    "SSMMRL, plain convolutions": {"encoder": {"kernels": 1}},
    "SSMMRL, without L2": {"settings": {"weights": [1, 0, 1]}},
    "SSMMRL, channels not kept apart": {"settings": {"decorrelated": 0.0}},
    "SSMMRL, without L3": {"settings": {"weights": [1, 1, 0]}},
}
"""BYOL is SSMMRL without fusion and with channels not kept apart; all have the same encoder."""
BEST_RIVALS = ("SimCLR", "BYOL")
"""Have as many pretraining seeds as SSMMRL."""
FIGURES = ("epochs", "minutes", "seconds_per_epoch", "knn", "spread", "rank", "seconds_to_knn")


@dataclass(frozen=True, eq=False)
class Bench:
    """Rows of a data set: pretrained encoders, and what they are worth with few labels."""

    name: str
    task: Task
    out: Path
    preset: str

    @property
    def state(self) -> str:
        """Hash of what answers of learners depend on besides their name."""
        task = self.task
        facts = [self.spent, METHODS, ABLATION, TuneConfig().model_dump(), task.pool.key, task.labelled.key]
        return Rows.key({"facts": facts})[:8]

    @property
    def spent(self) -> dict[str, Any]:
        """What the preset spends."""
        return PRESETS[self.preset]

    def config(self, arm: str, seed: int) -> dict[str, Any]:
        """Settings of a pretraining; epochs are those that fit the clock."""
        given = {**METHODS, **ABLATION}[arm]
        encoder = {"width": self.spent["width"], **given.get("encoder", {})}
        batch = min(256, len(self.task.pool) // 2)
        config = {"method": "ssmmrl", **given, "encoder": encoder, "seed": seed, "batch": batch}
        if "epochs" in self.spent:
            return {**config, "epochs": self.spent["epochs"]}
        minutes = self.spent["minutes"]
        minutes = minutes[self.name.split(",")[0].split()[0]] if isinstance(minutes, dict) else minutes
        return {**config, "epochs": max(int(60 * minutes / self.epoch_seconds(arm, config)), 2)}

    def epoch_seconds(self, arm: str, config: dict[str, Any]) -> float:
        """Seconds of an epoch, measured once for all seeds: the fastest of three epochs."""
        rows = Rows(self.out / "clock.jsonl")
        told = {"arm": arm, "data": self.name, "preset": self.preset}
        if (row := rows.get(told)) is None:
            work = self.out / f"clock-{arm}"
            work.mkdir(parents=True, exist_ok=True)
            training = Pretraining(self.task.pool, PretrainConfig(**config, epochs=3)).run(work)
            shutil.rmtree(work)
            row = rows.add(told, {"seconds": min(row["seconds"] for row in training.rows)})
        return row["seconds"]

    def pretrained(self, arm: str, seed: int) -> tuple[dict[str, Any], Pretraining]:
        """A finished pretraining with its row; its checkpoint is kept for the label curves."""
        rows, config = Rows(self.out / "rows.jsonl"), self.config(arm, seed)
        facts = {"arm": arm, "data": self.name, "preset": self.preset, **config}
        work = self.out / f"{arm}-{seed}".replace(" ", "_")
        work.mkdir(parents=True, exist_ok=True)
        training = Pretraining(self.task.pool, PretrainConfig(**config), self.probe(), probe_every=1)
        training.run(work)
        if (row := rows.get(facts)) is None:
            clock = None if "epochs" in self.spent else self.epoch_seconds(arm, config)
            row = rows.add(facts, self.told(training, clock))
        return row, training

    def probe(self) -> Probe | None:
        """Every training is watched by patches that may be labelled, one half judged by the other."""
        train = self.task.folds[0] if isinstance(self.task.folds, tuple) else None
        if train is None:
            return None
        order = np.random.default_rng(0).permutation(train)[:1000]
        half = len(order) // 2
        return Probe(self.task.labelled, self.task.y, order[:half], order[half:])

    @staticmethod
    def told(training: Pretraining, clock: float | None) -> dict[str, Any]:
        """What a row says of a pretraining; its times are those of the clock, whatever else ran beside it."""
        last, epochs = training.rows[-1], len(training.rows)
        seconds = clock or float(np.median([row["seconds"] for row in training.rows]))
        knn = [(row["epoch"], row["knn"]) for row in training.rows if "knn" in row]
        return {
            "seconds_per_epoch": seconds,
            "minutes": seconds * epochs / 60,
            "curve": [(seconds * epoch, value) for epoch, value in knn],
            **{name: last[name] for name in ("loss", "spread", "rank", "knn") if name in last},
        }

    def learners(self, arm: str, training: Pretraining) -> dict[str, Learn]:
        """A linear probe and fine-tuning from an encoder."""
        task = self.task
        vectors = training.vectors(task.labelled, np.arange(len(task.y)))
        weights = {name: value.detach().clone() for name, value in training.encoder.state_dict().items()}
        return {
            f"{arm}, probe": linear_probe(vectors, num_classes=task.classes, groups=task.group),
            f"{arm}, tuned": self.tuned(training.encoder_settings, weights),
        }

    def tuned(self, encoder: dict[str, Any], weights: Any = None) -> Learn:
        """A net that learns from labelled patches, at most ``cap`` of each polygon."""
        task, config = self.task, TuneConfig(steps=self.spent.get("steps", TUNE_STEPS))

        def learn(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
            if task.item is not None:
                labelled = labelled[cap_per_group(task.item[labelled], cap=task.cap, seed=seed)]
            many = (task.labelled, task.y, labelled, task.classes, encoder, weights, config, seed % 2**31)
            return Tuning(*many).run().probabilities(test)

        return learn

    def scratch(self) -> dict[str, Learn]:
        """What learns from labels alone: both nets, and a forest on means and spreads of the bands."""
        width, side = self.spent["width"], self.task.pool.side
        values = self.task.labelled.patches(np.arange(len(self.task.y))).flatten(1, 2)
        plain = np.concatenate([values.mean((2, 3)).numpy(), values.std((2, 3)).numpy()], axis=1)
        first = 2 if side >= 24 else 1
        return {
            "CNN from scratch": self.tuned({"kind": "residual", "first_stride": first, "width": width}),
            "ViT from scratch": self.tuned(token_settings(side, {"width": width})),
            "forest on means": forest(plain, num_classes=self.task.classes),
        }

    def run(self, arms: list[str], seeds: list[int]) -> tuple[list[dict[str, Any]], jido.LabelCurve]:
        """All rows and the label curve of all arms; further seeds of an arm are arms of their own there."""
        rows, learners = [], self.scratch()
        for arm in arms:
            many = arm == "SSMMRL" or arm in BEST_RIVALS
            for seed in seeds if many else seeds[:1]:
                row, training = self.pretrained(arm, seed)
                rows.append(row)
                learners |= self.learners(arm if seed == seeds[0] else f"{arm} (seed {seed})", training)
        curve = jido.label_curve(
            learners,
            self.task.y,
            groups=self.task.group,
            folds=self.task.folds,
            budgets=self.task.budgets,
            draws=self.spent["draws"],
            keep=self.out / f"curve-{self.state}.jsonl",
        )
        return rows, curve


def ten_percent(bench: Bench, learners: dict[str, Learn]) -> list[dict[str, Any]]:
    """A tenth of the polygons of every class to learn from, all others to judge on, as for the forest.

    What has learned without labels has seen the pixels of all polygons: transductive.
    """
    task, rows = bench.task, Rows(bench.out / "ten_percent.jsonl")
    found = []
    for seed in range(2 if bench.preset == "smoke" else 25):
        labelled = few_labels(task.group, task.y, fraction=0.1, seed=seed)
        known, test = np.flatnonzero(labelled), np.flatnonzero(~labelled)
        for name, learn in learners.items():
            told = {"arm": name, "seed": seed, "preset": bench.preset, "state": bench.state}
            if (row := rows.get(told)) is None:
                said = learn(known, task.y[known], test, seed).argmax(1)
                row = rows.add(told, {"oa": float((said == task.y[test]).mean())})
            found.append(row)
    return found


def time_to(rows: list[dict[str, Any]]) -> None:
    """Seconds until the k-NN probe has what the worst method has in the end; ``None`` where it never has."""
    ends = [row["knn"] for row in rows if row.get("knn")]
    for row in rows:
        reached = [second for second, value in row.get("curve", []) if ends and value >= min(ends)]
        row["seconds_to_knn"] = reached[0] if reached else None


def main() -> None:
    """Run the rows, print the tables, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=(*DATASETS, "all"), default="all")
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="of pretraining, comma-separated")
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/selfsup"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out, seeds = args.out / args.preset, [int(seed) for seed in args.seeds.split(",")]
    arms = [name.strip() for name in args.arms.split(";") if name.strip()] or [*METHODS]
    told: dict[str, Any] = {}
    for dataset in DATASETS if args.dataset == "all" else [args.dataset]:
        place = args.data / PLACES.get(dataset, dataset)
        text = []
        (out / dataset).mkdir(parents=True, exist_ok=True)
        for name, task in DATASETS[dataset](place, args.preset, out / dataset).items():
            main_row = (
                name.split()[0] == dataset and "," not in name
            )  # of its variants only the first arm, one seed
            mine = [*arms, *(ABLATION if name == "eurosat" and not args.arms else [])]
            bench = Bench(name, task, out / name.replace(", ", "-").replace(" ", "_"), args.preset)
            rows, curve = bench.run(mine if main_row else mine[:1], seeds if main_row else seeds[:1])
            time_to(rows)
            curve.draw(out / f"{name}.png")
            text += [f"**{name}**", "", mean_table(rows, ("arm",), FIGURES)]
            text += ["", curve.markdown(against=f"{mine[0]}, tuned"), ""]
            if name == "hongkong, transductive":
                ten = ten_percent(
                    bench, bench.scratch() | bench.learners(mine[0], bench.pretrained(mine[0], seeds[0])[1])
                )
                text += [
                    "10 % of the polygons of every class, all others tested, 25 draws; **transductive**:",
                    "",
                    mean_table(ten, ("arm",), ("oa",)),
                    "",
                ]
            told[name] = {"rows": rows, "curve": curve.to_dict()}
        command = (
            f"python experiments/selfsup.py --dataset {dataset} --preset {args.preset} --seeds {args.seeds}"
        )
        text.append(f"`{command}`; {os.cpu_count()} cores, {platform.machine()}.")
        if not args.json:
            print("\n".join(text))
        whole = not args.arms and args.seeds == parser.get_default("seeds")
        if args.preset != "smoke" and whole:
            write_results(f"selfsup-{dataset}", "\n".join(text))
    if args.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
