"""Nightlight transfer on EuroSAT: what a net that learned light from daytime tiles is worth beside floors.

python experiments/poverty_transfer.py [--preset smoke|cpu] [--seeds 0,1,2] [--data DIR] [--out DIR] [--json]

Targets: log(1 + nightlight) and log(1 + people per 100 m cell) of Sentinel-2 tiles of 640 m. Folds: five
bands of longitude with as many tiles each; training tiles within 10 km of the test band are left out. Light
classes, net, filters and penalties come from the training bands alone; inner folds and intervals keep stripes
of one degree of longitude whole. The index fills unknown population with its mean: these tiles (nearly all of
the sea) have no population here. Ours: the compact scene net on three classes of light, ridge on its pooled
features. cpu: about 35 minutes on one core; finished rows (a fold, a seed) are kept, nets go on where they
stood. filters.png shows what single filters of the first net answer to.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rows import Rows, write_results

from jido.data.chip_reading import read_chips
from jido.data.chips import Chips
from jido.labels import Folds
from jido.methods.figures.filters import correlations, filter_figure, telling_filters
from jido.methods.nightlights import LightNet, activation_maps, features, light_classes, train_on_light
from jido.methods.random_features import draw_filters, random_features
from jido.methods.scene_config import load_scene_config
from jido.methods.transfer import on_sphere_m, ridge_in_range
from jido.stats.intervals import Figure, figure
from jido.stats.regression import Resampling
from jido.stats.ridge import nested_constant, nested_neighbours
from jido.stats.survey import agreement, r_squared
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"tiles": 400, "filters": 16, "net": {"epochs": 1, "batch": 32, "settings": {"width": 8}}},
    "cpu": {"tiles": 6000, "filters": 512, "net": {"epochs": 6, "batch": 64, "settings": {"stages": 3}}},
}
BANDS, BUFFER_M, STRIPE = 5, 10_000.0, 1.0
"""Folds, metres between training and test, and degrees of longitude that are one piece of evidence."""

BUILT = ("Highway", "Industrial", "Residential")
"""Classes of EuroSAT that stand for urban: the index has no town and country."""

OURS, RANDOM = "ours", "random features"
BOTH, LIT = f"{OURS} + {RANDOM}", " + nightlight"
HISTOGRAM, NEAREST, CONSTANT = "colour histogram", "nightlight, k-NN", "constant"
REDRAWN = 1000
"""Draws of stripes for the difference of two arms."""


class Bench:
    """The tiles, their folds, and the rows that are done."""

    def __init__(self, data: Path, out: Path, preset: str) -> None:
        self.facts, self.out = PRESETS[preset], out
        index = pd.read_csv(data / "eurosat_index.csv.gz")
        filled = index["pop_density"][index["pop_density"].duplicated()].mode()
        unknown = filled[filled > 0]  # the mean, 2,687 times; 0 is a number of people
        index.loc[index["pop_density"].isin(unknown), "pop_density"] = np.nan
        chosen = np.sort(np.random.default_rng(0).permutation(len(index))[: self.facts["tiles"]])
        self.index = index.iloc[chosen].reset_index(drop=True)
        self.chips = self._tiles(data)
        lon = self.index["lon"].to_numpy()
        band = np.searchsorted(np.quantile(lon, np.arange(1, BANDS) / BANDS), lon, side="right")
        xyz = on_sphere_m(self.index[["lon", "lat"]].to_numpy())
        self.folds = Folds(band, "bands of longitude", xy=xyz, buffer=BUFFER_M)
        self.stripe = BANDS * np.floor(lon / STRIPE).astype(int) + band
        self.light = self.index["night_lights"].to_numpy()
        self.targets = {
            "nightlight": np.log1p(self.light),
            "population": np.log1p(self.index["pop_density"].to_numpy()),
        }
        self.rows = Rows(out / "rows.jsonl")

    def _tiles(self, data: Path) -> Chips:
        """Images in the order of the index."""
        chips = read_chips(sorted(data.glob("*.zip")), labelled=False)
        place = {name: i for i, name in enumerate(chips.name.tolist())}
        return chips.subset(np.array([place[name] for name in self.index["path"]]))

    def done(self, fold: int, seed: int) -> dict[str, Any] | None:
        """A finished row."""
        return self.rows.get({"fold": fold, "seed": seed, **self.facts})

    def row(self, fold: int, seed: int) -> dict[str, Any]:
        """Predictions of all arms for one fold, finished or new."""
        if (found := self.done(fold, seed)) is not None:
            return found
        started = time.process_time()
        train, test = self.folds.split(fold)
        sets, seconds = self._features(train, fold, seed)
        predicted = {name: self._predicted(name, sets, train, test, seed) for name in self.targets}
        seconds["all"] = round(time.process_time() - started, 1)
        told = {"train": len(train), "test": len(test), "cpu_seconds": seconds, "predicted": predicted}
        return self.rows.add({"fold": fold, "seed": seed, **self.facts}, told)

    def _features(
        self, train: np.ndarray, fold: int, seed: int
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Features (N, D) of each set, learned from the training bands, and CPU seconds."""
        begun = time.process_time()
        filters = draw_filters(self.chips, which=train, count=self.facts["filters"], seed=seed)
        random = random_features(self.chips, filters)
        between = time.process_time()
        net = self._net_features(train, fold, seed)
        seconds = {RANDOM: round(between - begun, 1), OURS: round(time.process_time() - between, 1)}
        sets = {OURS: net, RANDOM: random, BOTH: np.hstack([net, random]), HISTOGRAM: histograms(self.chips)}
        return sets, seconds

    def _net_features(self, train: np.ndarray, fold: int, seed: int) -> np.ndarray:
        """Features (N, D) of the net of a fold, which are kept: they cost most."""
        kept = self.out / f"{Rows.key({'fold': fold, 'seed': seed, **self.facts})}.npy"
        if kept.exists():
            return np.load(kept)
        net = self._net(train, fold, seed)
        found = features(self.chips, net)
        if not (picture := self.out / "filters.png").exists():
            self._draw(net, found, train, picture)
        np.save(kept, found)
        return found

    def _net(self, train: np.ndarray, fold: int, seed: int) -> LightNet:
        """The net of a fold: it sees light and tiles of the training bands alone."""
        seen = np.full(len(self.light), np.nan)
        seen[train] = self.light[train]
        given = {"least_steps": 0, "judge_every": 1000, **self.facts["net"]}
        config = load_scene_config(given=given, seed=seed)
        work = self.out / f"net-{fold}-{seed}"
        work.mkdir(exist_ok=True)
        net = train_on_light(self.chips, light_classes(seen), which=train, config=config, work=work)
        shutil.rmtree(work)
        return net

    def _predicted(
        self, target: str, sets: dict[str, np.ndarray], train: np.ndarray, test: np.ndarray, seed: int
    ) -> dict[str, list[float]]:
        """What each arm says of the test tiles whose target is known."""
        y = self.targets[target]
        train, test = (part[np.isfinite(y[part])] for part in (train, test))
        rows = np.concatenate([train, test])
        pair = [(np.arange(len(train)), np.arange(len(train), len(rows)))]
        of = {"groups": self.stripe[rows], "seed": seed}
        chosen = {name: x[rows] for name, x in sets.items()}
        found = {}
        if target != "nightlight":
            dim = np.log1p(self.light[rows, None])
            chosen |= {f"{name}{LIT}": np.hstack([chosen[name], dim]) for name in (OURS, RANDOM, BOTH)}
            found[NEAREST] = nested_neighbours(self.light[rows], y[rows], pair, **of).predicted
        found |= {name: ridge_in_range(x, y[rows], pair, **of)[0] for name, x in chosen.items()}
        found[CONSTANT] = nested_constant(y[rows], pair).predicted
        return {name: one[len(train) :].round(4).tolist() for name, one in found.items()}

    def _draw(self, net: LightNet, seen: np.ndarray, train: np.ndarray, path: Path) -> None:
        """Figure of single filters, on tiles that the net has not seen."""
        held = np.setdiff1d(np.arange(len(self.chips)), train)
        chips, found, light = self.chips.subset(held), seen[held], self.light[held]
        filters = telling_filters(found, light, count=6).tolist()
        told = zip(filters, correlations(found, light, filters), strict=True)
        names = {i: f": r with nightlight {r:+.2f}".replace("0.", ".") for i, r in told}
        maps = partial(activation_maps, chips, net, finer=4)
        filter_figure(chips, found, maps, path, filters=filters, names=names, tops=5)

    def arms(self, rows: list[dict[str, Any]], target: str) -> dict[str, np.ndarray]:
        """Predictions (seeds, N) of each arm, NaN where a fold is missing or the target is not known."""
        y, seeds = self.targets[target], sorted({row["seed"] for row in rows})
        found: dict[str, np.ndarray] = {}
        for row in rows:
            test = self.folds.split(row["fold"])[1]
            for name, values in row["predicted"][target].items():
                place = found.setdefault(name, np.full((len(seeds), len(y)), np.nan))
                place[seeds.index(row["seed"]), test[np.isfinite(y[test])]] = values
        return found


def histograms(chips: Chips) -> np.ndarray:
    """Shares (N, 96) of 32 steps of each colour."""
    steps = chips.images // 8
    counts = [[np.bincount(band.ravel(), minlength=32) for band in image] for image in steps]
    return np.array(counts, dtype=np.float64).reshape(len(chips), -1) / chips.side**2


def over_seeds(figures: list[Figure]) -> Figure:
    """Means over seeds of the figure and of its bounds, where all have them."""
    means = [
        np.mean([np.nan if one[end] is None else one[end] for one in figures])
        for end in Figure.__annotations__
    ]
    return figure(*means)


def table(bench: Bench, rows: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
    """A line for each arm: r2 and R2 over all tiles, and inside parts of them."""
    y, built = bench.targets[target], bench.index["class"].isin(BUILT).to_numpy()
    parts = {"all": np.full(len(y), True), "built": built, "open": ~built}
    if target != "nightlight":  # among tiles chosen by the target itself r2 would say little
        bright = light_classes(bench.light).label == 2
        parts |= {"bright": bright, "dark": ~bright}
    lines = []
    for name, said in bench.arms(rows, target).items():
        spread = np.std([r_squared(y, one) for one in said], ddof=1) if len(said) > 1 else np.nan
        line: dict[str, Any] = {"target": target, "arm": name, "sd of R2": figure(float(spread))}
        for part, here in parts.items():
            whole = Resampling(groups=bench.stripe[here])
            each = [agreement(y[here], one[here], resampling=whole) for one in said]
            line[f"r2, {part}"] = over_seeds([one.squared_pearson for one in each])
            line[f"R2, {part}"] = over_seeds([one.r_squared for one in each])
        lines.append(line)
    return lines


def gain(bench: Bench, rows: list[dict[str, Any]], target: str, one: str, other: str) -> Figure:
    """How much more R2 an arm has than another: mean over seeds, 95 % of draws of whole stripes."""
    y, arms = bench.targets[target], bench.arms(rows, target)
    names, stripe = np.unique(bench.stripe, return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=REDRAWN)

    def difference(times: np.ndarray) -> float:
        both = [[r_squared(y, said, weights=times[stripe]) for said in arms[name]] for name in (one, other)]
        return float(np.mean(both[0]) - np.mean(both[1]))

    low, high = np.quantile([difference(times) for times in drawn], (0.025, 0.975))
    return figure(difference(np.ones(len(names))), low, high)


GAINS = (
    ("nightlight", OURS, RANDOM),
    ("nightlight", BOTH, RANDOM),
    ("population", OURS, RANDOM),
    ("population", BOTH, RANDOM),
    ("population", RANDOM, NEAREST),
    ("population", f"{OURS}{LIT}", NEAREST),
    ("population", f"{RANDOM}{LIT}", NEAREST),
    ("population", f"{BOTH}{LIT}", NEAREST),
)
"""Which arm is set against which."""


def markdown(lines: list[dict[str, Any]]) -> str:
    """A table; figures inside parts without their intervals."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    rows = [names, ["---"] * len(names)]
    for line in lines:
        cells = [line.get(name, figure(np.nan)) for name in names]
        short = [name.partition(", ")[2] not in ("", "all") for name in names]
        rows.append(
            [
                cell if isinstance(cell, str) else text(figure(cell["value"] or np.nan) if few else cell)
                for cell, few in zip(cells, short, strict=True)
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/eurosat")
    parser.add_argument("--out", type=Path, default=Path("runs/poverty_transfer"))
    parser.add_argument("--finished", action="store_true", help="only seeds all of whose folds are done")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bench = Bench(args.data, args.out / args.preset, args.preset)
    seeds = [int(seed) for seed in args.seeds.split(",")]
    if args.finished:
        seeds = [seed for seed in seeds if all(bench.done(fold, seed) for fold in range(BANDS))]
        if not seeds:
            parser.error("no seed has all of its folds: run without --finished first")
    rows = [bench.row(fold, seed) for seed in seeds for fold in range(BANDS)]
    lines = [line for target in bench.targets for line in table(bench, rows, target)]
    gains = [
        {"target": target, "arm": one, "against": other, "gain in R2": gain(bench, rows, target, one, other)}
        for target, one, other in GAINS
    ]
    seconds = {name: np.mean([row["cpu_seconds"][name] for row in rows]) for name in (OURS, RANDOM, "all")}
    told = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    hours = sum(row["cpu_seconds"]["all"] for row in rows) / 3600
    words = f"CPU a fold: {told}; {hours:.2f} h in all, one core. `python experiments/poverty_transfer.py "
    words += f"--preset {args.preset} --seeds {','.join(map(str, seeds))}`"
    parts = [markdown([line for line in lines if line["target"] == target]) for target in bench.targets]
    printed = "\n\n".join([*parts, markdown(gains), words])
    print(json.dumps({"lines": lines, "gains": gains, "cpu_seconds": seconds}) if args.json else printed)
    if args.preset != "smoke":
        write_results("poverty-transfer", printed)


if __name__ == "__main__":
    main()
