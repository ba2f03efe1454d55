"""Settings of the methods in selfsup.py, chosen on EuroSAT tiles that its tests never see.

python experiments/selfsup_trials.py [--preset smoke|cpu] [--arms "A;B"] [--rates | --apart] [--data DIR]
    [--json]

Every method has as many trials: some epochs without labels at 32 pixels with plain convolutions, then a
linear probe with 1 to 50 labels a class. ``--rates`` instead: how fast a pretrained encoder goes on learning
when it is fine-tuned. ``--apart`` instead: the term of SSMMRL that is not in its paper, judged by a probe and
by fine-tuning. The tiles that judge are every fourth of those that are neither in the test list of ``gem0``
nor among its labelled ones. One seed, 3 draws. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, some_of
from selfsup import CROPS, METHODS, SLOW, TUNE_STEPS, WIDE
from selfsup_data import PLACES, SHARED, eurosat_tiles

import jido
from jido.data.pool import Pool
from jido.data.stack import stack_of
from jido.methods.label_curve import Learn, fine_tuned, linear_probe
from jido.methods.selfsup import PretrainConfig, Pretraining
from jido.methods.tune import TuneConfig

EPOCHS, WIDTH = {"smoke": 1, "cpu": 8}, {"smoke": 8, "cpu": 32}
SLOW_EPOCHS = {"data2vec": 3}
"""One of these takes as long as eight of SSMMRL; selfsup.py has time for five."""
PROBED: dict[str, tuple[int, ...]] = {"smoke": (1, 5), "cpu": (1, 5, 10, 50)}
TUNED: dict[str, tuple[int, ...]] = {"smoke": (1, 5), "cpu": (5, 50)}
"""Labels a class."""

APART = {"decorrelated": 5.0}
MASKED = {"views": CROPS}
MOCO, DINO = (METHODS[name]["settings"] for name in ("MoCo v2", "DINO"))
TRIALS: dict[str, dict[str, dict[str, Any]]] = {
    "ssmmrl": {"best of four": {"settings": APART}, "wide projector": {"settings": {**APART, **WIDE}}},
    "simclr": {"best of four": SLOW, "wide projector": {"settings": WIDE, **SLOW}},
    "byol": {"best of four": SLOW, "wide projector": {"settings": WIDE, **SLOW}},
    "moco": {
        "best of four": {"settings": MOCO, **SLOW},
        "wide projector": {"settings": {**MOCO, **WIDE}, **SLOW},
    },
    "dino": {
        "best of four": {"settings": DINO, **SLOW},
        "wide projector": {"settings": {**DINO, "hidden": 1024, "prototypes": 4096}, **SLOW},
    },
    "mae": {
        "hidden .75": {**MASKED, **SLOW},
        "learning rate .002": MASKED,
        "hidden .5": {"settings": {"hidden_share": 0.5}, **MASKED, **SLOW},
        "hidden .5, learning rate .002": {"settings": {"hidden_share": 0.5}, **MASKED},
        "with all noise": SLOW,
    },
    "data2vec": {
        "hidden .6, tau .99": {**MASKED, **SLOW},
        "learning rate .002": MASKED,
        "tau .98": {"settings": {"tau": 0.98}, **MASKED, **SLOW},
        "tau .996": {"settings": {"tau": 0.996}, **MASKED, **SLOW},
        "with all noise": SLOW,
    },
}
"""Five of MAE and data2vec; of the others, which had four before (RESULTS.md), the best of these and a fifth.
The better ones serve in selfsup.py."""

RATES = (0.03, 0.1, 0.3, 1.0)
"""Of the encoder in fine-tuning, as shares of the head's."""

ENCODERS = ("ssmmrl", "simclr", "mae")
"""Whose first trial's encoders are fine-tuned."""

WEIGHTS = (0.0, 0.2, 1.0, 5.0)
"""Of SSMMRL's term that keeps channels apart."""


class Trials:
    """Trials on tiles that judge nothing else."""

    def __init__(self, data: Path, preset: str, out: Path) -> None:
        self.preset, self.out, self.rows = preset, out, Rows(out / "trials.jsonl")
        chips, part = eurosat_tiles(data, preset)
        pool, rest = np.flatnonzero(part != "test"), np.flatnonzero(part == "")
        if preset == "smoke":
            pool, rest = pool[::60], rest[::10]
        stack, used = stack_of(chips.bands), rest[::2]
        self.pool = Pool.of(chips.images[pool], stack)
        self.judging = Pool(chips.images[used], stack, self.pool.moments)
        self.y, places = chips.label[used], np.arange(len(used))
        self.folds = (places[::2], places[1::2])

    def epochs(self, method: str) -> int:
        """How long it learns without labels."""
        most = EPOCHS[self.preset]
        return min(most, SLOW_EPOCHS.get(method, most))

    def facts(self, method: str, trial: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a row is known by."""
        told = {"method": method, "trial": trial, "given": given}
        return {**told, "epochs": self.epochs(method), "preset": self.preset}

    def trained(self, method: str, trial: str, given: dict[str, Any]) -> Pretraining:
        """A method after its epochs without labels, or from its checkpoint."""
        encoder = {"width": WIDTH[self.preset], **({} if method in ("mae", "data2vec") else {"kernels": 1})}
        batch = min(256, len(self.pool) // 2)
        epochs = self.epochs(method)
        config = PretrainConfig(method=method, **given, encoder=encoder, batch=batch, epochs=epochs)
        work = self.out / f"{method}-{trial}".replace(" ", "_")
        work.mkdir(parents=True, exist_ok=True)
        return Pretraining(self.pool, config).run(work)

    def probed(self, method: str, trial: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a linear probe makes of it: mean accuracy over the budgets."""
        facts = self.facts(method, trial, given)
        if (row := self.rows.get(facts)) is None:
            vectors = self.trained(method, trial, given).vectors(self.judging, np.arange(len(self.y)))
            learn = linear_probe(vectors, num_classes=10)
            row = self.rows.add(facts, self.judged(learn, PROBED[self.preset]))
        return row

    def tuned(self, method: str, trial: str, given: dict[str, Any], rate: float) -> dict[str, Any]:
        """What fine-tuning at some rate makes of it."""
        facts = {**self.facts(method, trial, given), "rate": rate}
        if (row := self.rows.get(facts)) is not None:
            return row
        training = self.trained(method, trial, given)
        learn = fine_tuned(
            self.judging,
            num_classes=10,
            encoder=training.encoder_settings,
            weights=training.encoder.state_dict(),
            config=TuneConfig(encoder_rate=rate, steps=5 if self.preset == "smoke" else TUNE_STEPS),
            rounds=0,
        )
        return self.rows.add(facts, self.judged(learn, TUNED[self.preset]))

    def apart(self, weight: float) -> list[dict[str, Any]]:
        """A probe and fine-tuning of SSMMRL with some weight of its term."""
        one = ("ssmmrl", f"decorrelated {weight}", {"settings": {"decorrelated": weight}})
        return [
            {**self.probed(*one), "readout": "probe"},
            {**self.tuned(*one, TuneConfig().encoder_rate), "readout": "tuned"},
        ]

    def judged(self, learn: Learn, budgets: tuple[int, ...]) -> dict[str, Any]:
        """Accuracy of a learner: of every budget over its draws, and the mean of these."""
        curve = jido.label_curve({"one": learn}, self.y, folds=self.folds, budgets=budgets, draws=3)
        oa = {n: float(np.mean([r["oa"] for r in curve.rows if r["per_class"] == n])) for n in budgets}
        return {"oa": float(np.mean([*oa.values()])), **{f"oa_{n}": value for n, value in oa.items()}}


def main() -> None:
    """Run the trials and print their table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=EPOCHS, default="cpu")
    parser.add_argument("--arms", default="", help="only these methods, separated by semicolons")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--rates", action="store_true", help="of fine-tuned encoders")
    instead.add_argument("--apart", action="store_true", help="weights of SSMMRL's term")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/selfsup_trials"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    wanted = some_of(parser, args.arms, TRIALS)
    if args.apart and {*wanted} - {"ssmmrl"}:
        parser.error("--apart is of ssmmrl alone: leave --arms out")
    trials = Trials(args.data / PLACES["eurosat"], args.preset, args.out / args.preset)
    if args.rates:
        firsts = [(name, *next(iter(TRIALS[name].items()))) for name in wanted or ENCODERS]
        rows = [trials.tuned(*first, rate) for first in firsts for rate in RATES]
        by, budgets = ("method", "rate"), TUNED[args.preset]
    elif args.apart:
        rows = [row for weight in WEIGHTS for row in trials.apart(weight)]
        by, budgets = ("trial", "readout"), TUNED[args.preset]
    else:
        every = [(name, *trial) for name in wanted or TRIALS for trial in TRIALS[name].items()]
        rows = [trials.probed(*trial) for trial in every]
        by, budgets = ("method", "trial"), PROBED[args.preset]
    figures = ("oa", *(f"oa_{n}" for n in budgets))
    print(json.dumps({"rows": rows}) if args.json else mean_table(rows, by, figures))


if __name__ == "__main__":
    main()
