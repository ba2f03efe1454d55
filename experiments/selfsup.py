"""Does learning without labels help where labels are few? SSMMRL and its rivals on one harness.

python experiments/selfsup.py [--dataset eurosat|hongkong|s1s2|cities|so2sat|all] [--preset smoke|cpu|full]
    [--seeds 0,1,2] [--arms "A;B"] [--data DIR] [--json]

Every method has the same wall clock, patches, views and evaluation: a linear probe and fine-tuning on
nested labelled subsets, beside a net from scratch and a forest. Epochs are those that fit the clock, from
the time of one epoch measured before on quiet cores; after that other work may run beside. The labelled sets
of a method that was pretrained with several seeds are each met by another of them.
full: one GPU, 200 epochs at 64 pixels. Finished rows are kept and trainings go on where they stood.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, some_of, write_results
from selfsup_data import DATASETS, PLACES, SHARED, Task
from selfsup_tables import by_part, time_to, verdict

import jido
from jido.data.pool import Pool
from jido.data.tiles import batches
from jido.labels import cap_per_group, few_labels
from jido.methods.label_curve import Learn, draw_seed, fine_tuned, forest, linear_probe
from jido.methods.selfsup import PretrainConfig, Pretraining, token_settings
from jido.methods.tune import TuneConfig
from jido.methods.watch import Probe

TUNE_STEPS, TUNE_ROUNDS = 150, 4
"""Batches of a fine-tuning: so many at least, and as many as show every label so often."""

MINUTES = {"eurosat": 6.0, "hongkong": 2.0, "s1s2": 0.75, "cities": 1.0, "so2sat": 0.5}
"""cpu: of one pretraining."""
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"minutes": 0.02, "width": 8, "draws": 2, "steps": 5, "rounds": 0},
    "cpu": {"minutes": MINUTES, "width": 32, "draws": 3},
    "full": {"epochs": 200, "width": 96, "draws": 5, "steps": 2000},
}
CROPS = dict.fromkeys(("gain", "offset", "decibels", "blur", "band_dropout", "sensor_dropout"), 0.0)
"""For methods whose task is what is hidden."""
SLOW = {"learning_rate": 1e-3}
WIDE = {"hidden": 1024, "projected": 512}
"""Projectors twice as wide."""
APART = {"decorrelated": 0.2}
"""Chosen by fine-tuning (selfsup_trials.py --apart) after EuroSAT and Hong Kong had been run with 5."""
METHODS: dict[str, dict[str, Any]] = {
    "SSMMRL": {"method": "ssmmrl", "settings": APART},
    "SimCLR": {"method": "simclr", "settings": WIDE, **SLOW},
    "BYOL": {"method": "byol", **SLOW},
    "MoCo v2": {"method": "moco", "settings": {"tau": 0.98, "temperature": 0.1}, **SLOW},
    "DINO": {"method": "dino", "settings": {"tau": 0.98, "teacher_temperature": 0.07}, **SLOW},
    "MAE": {"method": "mae", "settings": {"hidden_share": 0.5}, "views": CROPS, **SLOW},
    "data2vec": {"method": "data2vec", **SLOW},
}
"""Settings are the best of five trials each: selfsup_trials.py, RESULTS.md."""
ABLATION: dict[str, dict[str, Any]] = {
    "SSMMRL, without fusion": {"settings": {**APART, "fusion": "none"}},
    "SSMMRL, mean for attention": {"settings": {**APART, "fusion": "mean"}},
    "SSMMRL, plain convolutions": {"settings": APART, "encoder": {"kernels": 1}},
    "SSMMRL, without L2": {"settings": {**APART, "weights": [1, 0, 1]}},
    "SSMMRL, channels not kept apart": {"settings": {"decorrelated": 0.0}},
    "SSMMRL, without L3": {"settings": {**APART, "weights": [1, 1, 0]}},
}
"""BYOL is SSMMRL without fusion and with channels not kept apart, but for learning rate and momentum."""
BEST_RIVALS = ("SimCLR", "MoCo v2")
"""Of the trials; they have as many pretraining seeds as SSMMRL."""
TEN_PERCENT = 10
"""Draws of the tenth of the polygons in Hong Kong."""

FIGURES = (
    *("epochs", "minutes", "seconds_per_epoch", "gigabytes", "knn", "spread", "rank"),
    *("seconds_to_lowest", "seconds_to_median"),
)


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
        facts = [self.spent, METHODS, ABLATION, TUNE_STEPS, TUNE_ROUNDS, TuneConfig().model_dump()]
        return Rows.key({"facts": [*facts, task.pool.key, task.labelled.key]})[:8]

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
        seconds = self.clock(arm, config)["seconds"]
        return {**config, "epochs": max(int(60 * minutes / seconds), 2)}

    def facts(self, arm: str, config: dict[str, Any]) -> dict[str, Any]:
        """What rows of a pretraining are known by."""
        return {"arm": arm, "data": self.name, "preset": self.preset, "pool": self.task.pool.key, **config}

    def clock(self, arm: str, config: dict[str, Any]) -> dict[str, float]:
        """Seconds and memory of an epoch, measured once for all seeds, in a process of its own."""
        rows = Rows(self.out / "clock.jsonl")
        told = self.facts(arm, {**config, "seed": None})
        told.pop("epochs", None)
        if (row := rows.get(told)) is None:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
                work = self.out / f"clock-{arm}"
                row = rows.add(told, apart.submit(measure, self.task.pool, config, work).result())
        return row

    def pretrained(self, arm: str, seed: int) -> tuple[dict[str, Any], Callable[[], Pretraining]]:
        """The row of a finished pretraining, and what goes on from its checkpoint."""
        rows, config = Rows(self.out / "rows.jsonl"), self.config(arm, seed)
        facts = self.facts(arm, config)

        @cache
        def training() -> Pretraining:
            work = self.out / f"{arm}-{seed}".replace(" ", "_")
            work.mkdir(parents=True, exist_ok=True)
            found = Pretraining(self.task.pool, PretrainConfig(**config), self.probe(), probe_every=1)
            return found.run(work)

        if (row := rows.get(facts)) is None:
            row = rows.add(facts, self.told(training(), self.clock(arm, config)))
        return row, training

    def probe(self) -> Probe | None:
        """Watches every training: of patches that may be labelled half the groups judge the others."""
        task = self.task
        train = task.folds[0] if isinstance(task.folds, tuple) else None
        if train is None:
            return None
        rng = np.random.default_rng(0)
        some = np.sort(rng.permutation(train)[:1000])
        known = rng.permutation(np.unique(task.group))[::2]
        told = np.isin(task.group[some], known)
        few = Pool(task.labelled.images[some], task.labelled.stack, task.labelled.moments)
        return Probe(few, task.y[some], np.flatnonzero(told), np.flatnonzero(~told))

    @staticmethod
    def told(training: Pretraining, clock: dict[str, float]) -> dict[str, Any]:
        """What a row says of a pretraining; its times are those of the clock, whatever else ran beside it."""
        last, seconds = training.rows[-1], clock["seconds"]
        knn = [(row["epoch"], row["knn"]) for row in training.rows if "knn" in row]
        return {
            "seconds_per_epoch": seconds,
            "minutes": seconds * len(training.rows) / 60,
            "gigabytes": clock["gigabytes"],
            "curve": [(seconds * epoch, value) for epoch, value in knn],
            **{name: last[name] for name in ("loss", "spread", "rank", "knn") if name in last},
        }

    def learners(self, arm: str, trainings: Sequence[Callable[[], Pretraining]]) -> dict[str, Learn]:
        """A linear probe and fine-tuning from encoders: those of a draw from the next of the trainings."""
        task, draws = self.task, max(self.spent["draws"], TEN_PERCENT)
        of = {draw_seed(0, draw): trainings[draw % len(trainings)] for draw in range(draws)}

        @cache
        def vectors(training: Callable[[], Pretraining]) -> np.ndarray:
            return training().vectors(task.labelled, np.arange(len(task.y)))

        def probe(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
            learn = linear_probe(vectors(of[seed]), num_classes=task.classes, groups=task.group)
            return learn(labelled, y, test, seed)

        def tuned(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
            training = of[seed]()
            learn = self.tuned(training.encoder_settings, training.encoder.state_dict())
            return learn(labelled, y, test, seed)

        return {f"{arm}, probe": probe, f"{arm}, tuned": tuned}

    def tuned(self, encoder: dict[str, Any], weights: Any = None) -> Learn:
        """A net that learns from labelled patches, at most ``cap`` of each polygon."""
        task, spent = self.task, self.spent
        learn = fine_tuned(
            task.labelled,
            num_classes=task.classes,
            encoder=encoder,
            weights=weights,
            config=TuneConfig(steps=spent.get("steps", TUNE_STEPS)),
            rounds=spent.get("rounds", TUNE_ROUNDS),
        )

        def capped(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
            item = labelled if task.item is None else task.item[labelled]
            few = cap_per_group(item, cap=task.cap, seed=seed)
            return learn(labelled[few], y[few], test, seed)

        return capped

    def scratch(self, *, tokens: bool = True) -> dict[str, Learn]:
        """What learns from labels alone: both nets, and a forest on means and spreads of the bands."""
        width, side = self.spent["width"], self.task.pool.side
        every = batches(np.arange(len(self.task.y)), 512)
        patches = (self.task.labelled.patches(some).flatten(1, 2) for some in every)
        plain = np.concatenate([np.hstack([one.mean((2, 3)), one.std((2, 3))]) for one in patches])
        first = 2 if side >= 24 else 1
        floors = {
            "forest on means": forest(plain, num_classes=self.task.classes),
            "CNN from scratch": self.tuned({"kind": "residual", "first_stride": first, "width": width}),
        }
        if tokens:
            floors["ViT from scratch"] = self.tuned(token_settings(side, {"width": width}))
        return floors

    def pretrain(self, arms: list[str], seeds: list[int]) -> tuple[list[dict[str, Any]], dict[str, Learn]]:
        """All rows, and what learns from their encoders."""
        rows, learners = [], {}
        for arm in arms:
            many = arm == "SSMMRL" or arm in BEST_RIVALS
            found = [self.pretrained(arm, seed) for seed in (seeds if many else seeds[:1])]
            rows += [row for row, _ in found]
            learners |= self.learners(f"{arm}{self.task.marked}", [training for _, training in found])
        return rows, learners

    def curve(self, learners: dict[str, Learn]) -> jido.LabelCurve:
        """What all are worth with few labels."""
        return jido.label_curve(
            learners,
            self.task.y,
            groups=self.task.group,
            folds=self.task.folds,
            budgets=self.task.budgets,
            draws=self.spent["draws"],
            keep=self.out / f"curve-{self.state}.jsonl",
        )


def measure(pool: Pool, config: dict[str, Any], work: Path) -> dict[str, float]:
    """Seconds of the fastest of three epochs, and the most memory that the process has taken."""
    import torch

    work.mkdir(parents=True, exist_ok=True)
    training = Pretraining(pool, PretrainConfig(**config, epochs=3)).run(work)
    shutil.rmtree(work)
    if torch.cuda.is_available():
        most = torch.cuda.max_memory_allocated()
    else:
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        most = 1024 * int(status["VmHWM"].split()[0])  # ru_maxrss counts what the parent had, too
    return {"seconds": min(row["seconds"] for row in training.rows), "gigabytes": most / 1e9}


def ten_percent(bench: Bench, learners: dict[str, Learn]) -> list[dict[str, Any]]:
    """A tenth of the polygons of every class to learn from, all others to judge on, as for the forest.

    What has learned without labels has seen the pixels of all polygons: transductive.
    """
    task, rows = bench.task, Rows(bench.out / "ten_percent.jsonl")
    found = []
    for draw in range(2 if bench.preset == "smoke" else TEN_PERCENT):
        labelled, seed = few_labels(task.group, task.y, fraction=0.1, seed=draw), draw_seed(0, draw)
        known, test = np.flatnonzero(labelled), np.flatnonzero(~labelled)
        told = {"seed": draw, "preset": bench.preset, "state": bench.state}
        if (row := rows.get(told)) is None:
            said = {name: learn(known, task.y[known], test, seed) for name, learn in learners.items()}
            floor, *_, ours = said
            said[f"mean of {floor} and {ours}"] = said[floor] + said[ours]
            right = {name: float((one.argmax(1) == task.y[test]).mean()) for name, one in said.items()}
            row = rows.add(told, {"oa": right})
        found += [{"arm": name, "oa": oa} for name, oa in row["oa"].items()]
    return found


def report(
    bench: Bench,
    rows: list[dict[str, Any]],
    learners: dict[str, Learn],
    told: dict[str, Any],
    out: Path,
) -> list[str]:
    """Tables of a data set, as lines; its figures are drawn, and what is behind it added to ``told``."""
    time_to(rows)
    curve = bench.curve(learners)
    for readout in ("tuned", "probe"):
        floors = [name for name in curve.learners if not name.endswith(("tuned", "probe"))]
        same = [name for name in curve.learners if name.endswith(readout)]
        lacking = [name for name in same if name.startswith(tuple(ABLATION))]
        whole = [name for name in same if name not in lacking]
        curve.draw(out / f"{bench.out.name}-{readout}.png", learners=[*floors, *whole])
        if lacking:
            curve.draw(out / f"{bench.out.name}-{readout}-parts.png", learners=[*whole[:1], *lacking])
    parts = [] if bench.task.part is None else by_part(curve, bench.task.part)
    told[bench.name] = {"rows": rows, "curve": curve.to_dict(), "parts": parts}
    own, alone = rows[0]["arm"], rows[0]["arm"] == rows[-1]["arm"]
    return [
        f"**{bench.name}**",
        "",
        mean_table(rows, ("arm",), FIGURES),
        "",
        curve.markdown(against=f"{own}, tuned"),
        "",
        *([mean_table(parts, ("learner", "budget"), [*parts[0]][2:]), ""] if parts else []),
        *[verdict(curve, readout) + "\n" for readout in ("tuned", "probe") if own == "SSMMRL" and not alone],
    ]


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
    arms = some_of(parser, args.arms, [*METHODS, *ABLATION]) or [*METHODS]
    told: dict[str, Any] = {}
    for dataset in DATASETS if args.dataset == "all" else [args.dataset]:
        (out / dataset).mkdir(parents=True, exist_ok=True)
        tasks = DATASETS[dataset](args.data / PLACES.get(dataset, dataset), args.preset, out / dataset)
        benches = (
            Bench(name, task, out / name.replace(", ", "-").replace(" ", "_"), args.preset)
            for name, task in tasks
        )
        main_one, text = next(benches), list[str]()
        mine = [*arms, *(ABLATION if dataset == "eurosat" and not args.arms else [])]
        rows, learners = main_one.pretrain(mine, seeds)
        for bench in benches:  # of its variants the first arm
            more, learns = bench.pretrain(arms[:1], seeds)
            if bench.task.marked:  # judged on the same patches
                rows += [{**row, "arm": row["arm"] + bench.task.marked} for row in more]
                learners |= learns
                ten = ten_percent(bench, bench.scratch(tokens=False) | learns)
                text += [
                    f"10 % of the polygons of every class, all others tested, {TEN_PERCENT} draws; "
                    f"SSMMRL{bench.task.marked}:",
                    "",
                    mean_table(ten, ("arm",), ("oa",)),
                    "",
                ]
            else:
                text += report(bench, more, bench.scratch(tokens=False) | learns, told, out)
        text = report(main_one, rows, main_one.scratch() | learners, told, out) + text
        command = f"selfsup.py --dataset {dataset} --preset {args.preset} --seeds {args.seeds}"
        command += f' --arms "{args.arms}"' if args.arms else ""
        text.append(f"`python experiments/{command}`; {os.cpu_count()} cores, {platform.machine()}.")
        if not args.json:
            print("\n".join(text))
        whole = not args.arms and args.seeds == parser.get_default("seeds")
        if args.preset != "smoke" and whole:
            write_results(f"selfsup-{dataset}", "\n".join(text))
    if args.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
