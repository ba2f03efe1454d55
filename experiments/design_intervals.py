"""Do 95 % intervals of accuracy and area from probability samples hold what they say?

python experiments/design_intervals.py [--preset smoke|cpu] [--json]

Simulated maps of 256 x 256 cells: smooth fields of classes, errors in clumps. From each, samples of 600 cells
are drawn by every design, and the intervals are compared with what a census of the map finds. Maps:

- common: four classes of 40, 30, 20 and 10 %.
- rare: four classes of 70, 20, 9 and 1 %; a quarter of the last is mapped as the first.
- hidden: two classes; the second has 0.5 %, and 0.15 % of what is mapped as the first is truly of it.

Designs: simple random; strata are the classes of the map (equal; proportional with at least 50; Neyman) or of
another, older map (Stehman 2014); two stages, 75 squares of 8 x 8 cells and 8 cells in each.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
from rows import write_results
from scipy.ndimage import gaussian_filter

from jido.stats.design import DesignEstimates, allocate, stratified_accuracy
from jido.stats.design_clusters import cluster_accuracy

PRESETS = {"smoke": (20, 1), "cpu": (1000, 3)}  # samples of a design, maps of a kind
CELLS, N, SIDE, PER_SQUARE = 256, 600, 8, 8
KINDS = {  # shares of the true classes, share of each that is mapped as another
    "common": ((0.4, 0.3, 0.2, 0.1), (0.10, 0.15, 0.15, 0.2)),
    "rare": ((0.70, 0.20, 0.09, 0.01), (0.05, 0.15, 0.2, 0.25)),
    "hidden": ((0.995, 0.005), (0.002, 0.3)),
}
RULES = {"equal": ("equal", 2), "proportional": ("proportional", 50), "neyman": ("neyman", 2)}
DESIGNS = ("simple", *RULES, "other strata", "clusters")
Z = 1.96
FIGURES = ("overall", "user's", "producer's", "area")


def smooth(rng: np.random.Generator, grain: float) -> np.ndarray:
    """Ranks 0..1 of a smooth field."""
    field = gaussian_filter(rng.normal(size=(CELLS, CELLS)), grain, mode="wrap").ravel()
    return np.argsort(np.argsort(field)) / field.size


def mapped_from(truth: np.ndarray, rng: np.random.Generator, wrong: tuple[float, ...]) -> np.ndarray:
    """A map with clumps of errors: the last class is taken for the first, others for the next."""
    error, said = smooth(rng, 2), truth.copy()
    for k, rate in enumerate(wrong):
        mine = np.flatnonzero(truth == k)
        worst = mine[np.argsort(error[mine])[len(mine) - round(rate * len(mine)) :]]
        said[worst] = (k + 1) % len(wrong)
    return said


def simulated(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of the map, of the truth, and of an older map, each (cells,)."""
    shares, wrong = KINDS[kind]
    rng = np.random.default_rng([seed, len(shares)])
    truth = np.searchsorted(np.cumsum(shares)[:-1], smooth(rng, 6), side="right")
    return mapped_from(truth, rng, wrong), truth, mapped_from(truth, rng, (0.25,) * len(wrong))


class Design:
    """One way to draw from one map, made ready once."""

    def __init__(self, name: str, mapped: np.ndarray, truth: np.ndarray, older: np.ndarray) -> None:
        self.mapped, self.truth, self.clusters = mapped, truth, name == "clusters"
        place = np.arange(CELLS) // SIDE
        squares = (place[:, None] * (CELLS // SIDE) + place).ravel()
        others = {"simple": np.zeros_like(mapped), "other strata": older, "clusters": squares}
        self.owner = others.get(name, mapped)
        self.sizes = np.bincount(self.owner)
        self.cells = np.split(np.argsort(self.owner, kind="stable"), np.cumsum(self.sizes)[:-1])
        self.points = [PER_SQUARE] * (N // PER_SQUARE)
        if not self.clusters:
            rule, least = RULES.get(name, RULES["proportional"])
            right = np.array([(mapped[c] == truth[c]).mean() for c in self.cells]).clip(0.05, 0.95)
            points = allocate(N, self.sizes, rule=rule, shares=right, least=least, most=self.sizes)
            self.points = points.tolist()

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Places of the sampled cells."""
        parts, points = self.cells, self.points
        if self.clusters:
            parts = [parts[i] for i in rng.choice(len(parts), N // PER_SQUARE, replace=False)]
        pairs = zip(parts, points, strict=True)
        return np.concatenate([rng.choice(c, n, replace=False, shuffle=False) for c, n in pairs])

    def estimates(self, at: np.ndarray) -> DesignEstimates:
        """What a sample says."""
        said, true, owner = self.mapped[at], self.truth[at], self.owner[at]
        k = int(self.truth.max()) + 1
        if self.clusters:
            there, place = np.unique(owner, return_inverse=True)
            return cluster_accuracy(said, true, place, self.sizes[there], classes=k)
        return stratified_accuracy(said, true, owner, self.sizes, classes=k, finite=True)


def figures(found: DesignEstimates) -> np.ndarray:
    """Value, lower, upper and standard error of all figures (1 + 3 K, 4)."""
    every = (found.oa, *found.users, *found.producers, *found.areas)
    return np.array([[f["value"], f["lower"], f["upper"], f["se"]] for f in every], dtype=float)


def judged(kind: str, name: str, seed: int, samples: int) -> list[dict[str, Any]]:
    """A row for each figure of each class: how often it was claimed, and how often it held."""
    design, one = Design(name, *simulated(kind, seed)), np.zeros(CELLS**2, dtype=np.int64)
    truth = figures(stratified_accuracy(design.mapped, design.truth, one, np.array([one.size])))[:, 0]
    rng, k = np.random.default_rng([seed, DESIGNS.index(name)]), len(KINDS[kind][0])
    drawn = [design.draw(rng) for _ in range(samples)]
    found = [design.estimates(at) for at in drawn]
    value, lower, upper, se = np.array([figures(f) for f in found]).transpose(2, 0, 1)
    held = pd.DataFrame(np.where(np.isnan(lower), np.nan, (lower <= truth) & (truth <= upper)))
    wald = pd.DataFrame(np.where(np.isnan(value), np.nan, abs(value - truth) <= Z * se))
    notes = np.array([bool(f.notes) for f in found])
    pixels = np.bincount(design.mapped, minlength=k) / one.size - truth[-k:]
    return [
        {
            "map": kind,
            "design": name,
            "figure": FIGURES[(i > 0) + (i > k) + (i > 2 * k)],
            "claimed": held[i].notna().mean(),
            "covered": held[i].mean(),
            "wald": wald[i].mean(),
            "noted where missed": pd.Series(notes[held[i] == 0]).mean(),
            "bias": abs(np.nanmean(value[:, i]) - truth[i]),
            "pixel count": abs(pixels[i - 1 - 2 * k]) if i > 2 * k else np.nan,
        }
        for i in range(len(truth))
    ]


def markdown(rows: pd.DataFrame) -> str:
    """A line for each map and design: coverage over classes and maps, in brackets the least; then biases."""
    lines = [
        [
            "map",
            "design",
            *FIGURES,
            "Wald",
            "claimed",
            "overall missed: noted",
            "bias of area",
            "of pixel count",
        ]
    ]
    for (kind, name), part in rows.groupby(["map", "design"], sort=False):
        by = {figure: part[part["figure"] == figure] for figure in FIGURES}
        held = [f"{f['covered'].mean():.3f} ({f['covered'].min():.3f})" for f in by.values()]
        means = [f"{part[c].mean():.3f}" for c in ("wald", "claimed")]
        means.append(f"{by['overall']['noted where missed'].mean():.3f}")
        off = [f"{100 * by['area'][c].mean():.2f} %" for c in ("bias", "pixel count")]
        lines.append([str(kind), str(name), *held, *means, *off])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    (samples, maps), start = PRESETS[args.preset], time.process_time()
    cases = [(kind, name, seed) for kind in KINDS for name in DESIGNS for seed in range(maps)]
    rows = pd.DataFrame([row for case in cases for row in judged(*case, samples)])
    text = markdown(rows)
    means = rows.groupby(["map", "design", "figure"], sort=False).mean().reset_index()
    print(means.to_json(orient="records") if args.json else text)
    if args.preset != "smoke":
        minutes = (time.process_time() - start) / 60
        text += f"\n\n`python experiments/design_intervals.py --preset {args.preset}`, {minutes:.0f} CPU min."
        write_results("design-intervals", text)


if __name__ == "__main__":
    main()
