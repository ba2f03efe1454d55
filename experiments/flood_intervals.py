"""Do intervals of cells, and the promise of a map that says "unsure", hold in an event nobody has seen?

python experiments/flood_intervals.py [--preset smoke|cpu|full] [--json]

Three parts:

- cases: simulated events (fields of water; false alarms and misses in clumps, as many as is drawn for the
  event), some held out, one new: coverage of the 95 % intervals of its cells and of its total.
- floods: events of the simulator; boosting on the bands of before, after and their difference learns from
  some of them, the others are held out; each in turn is the new one.
- unsure: held-out groups of very different difficulty, then new ones: what share of answers is wrong under
  the promise by group and under three bounds of the mean; and the same on the floods, 200 resplits.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd
from rows import write_results
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier

from jido.data.floods import simulate_flood
from jido.stats.abstention import BOUNDS, group_accept_threshold, group_error, mean_accept_threshold
from jido.stats.binary import cell_shares
from jido.stats.event_shares import fit_event_shares

PRESETS = {  # cases, floods, of these to learn from, resplits
    "smoke": (2, 4, 1, 1),
    "cpu": (200, 25, 5, 200),
    "full": (1000, 65, 5, 1000),
}
HELD_OUT = (3, 6, 12, 20)
SIDE = 16
Pair = tuple[np.ndarray, np.ndarray]
ERROR, TRUST = 0.05, 0.9


def patches_of(shape: tuple[int, ...]) -> np.ndarray:
    """Squares of 4 x 4 cells."""
    row, col = np.indices(shape) // 4
    return (row * shape[1] + col).ravel()


def drawn_event(rng: np.random.Generator, *, grain: float) -> Pair:
    """Mapped and true shares (12, 12) of cells of 16 x 16 pixels; errors in clumps of ``grain`` pixels."""
    field, error = (
        part / part.std() for part in (gaussian_filter(rng.normal(size=(192, 192)), s) for s in (20, grain))
    )
    water = field > rng.normal(0.5, 0.3)
    false, missed = 1 / (1 + np.exp(-rng.normal([-3.2, -1.8], 0.8)))
    said = np.where(water, norm.cdf(error) > missed, norm.cdf(error) < false)
    return cell_shares(said, SIDE)[0], cell_shares(water, SIDE)[0]


def judged(known: list[Pair], new: Pair) -> dict[str, float]:
    """Coverage, width and errors of the cells of a new event, from held-out ones."""
    p, t = (np.concatenate([event[k].ravel() for event in known]) for k in (0, 1))
    owner = np.repeat(np.arange(len(known)), [event[0].size for event in known])
    patches = np.concatenate([patches_of(event[0].shape) for event in known])
    shares = fit_event_shares(p, t, owner, pixels=SIDE**2, patches=patches)
    said, true = (part.ravel() for part in new)
    value, lower, upper, _ = shares.interval(said, SIDE**2)
    inside, mixed = (lower <= true) & (true <= upper), (said > 0.02) & (said < 0.98)
    total, low, high, _ = shares.total(said, np.ones(said.size))
    return {
        "covered": inside.mean(),
        "mixed cells": inside[mixed].mean() if mixed.any() else np.nan,
        "width": (upper - lower).mean(),
        "error": np.sqrt(((value - true) ** 2).mean()),
        "error as mapped": np.sqrt(((said - true) ** 2).mean()),
        "total covered": float(low <= true.sum() <= high),
        "total width": (high - low) / said.size,
        "total error": abs(total - true.sum()) / said.size,
        "total as mapped": abs(said.sum() - true.sum()) / said.size,
    }


def cases(count: int) -> pd.DataFrame:
    """As many simulated cases, spread over the numbers of held-out events."""
    rows = []
    for seed in range(count):
        events, rng = HELD_OUT[seed % len(HELD_OUT)], np.random.default_rng([seed, 7])
        grain = rng.uniform(1.5, 4)
        every = [drawn_event(rng, grain=grain) for _ in range(events + 1)]
        rows.append({"events held out": events, **judged(every[:-1], every[-1])})
    return pd.DataFrame(rows)


def floods(count: int, learned: int) -> list[Pair]:
    """Probability and truth (Y, X) of simulated floods; boosting has learned from the first ones alone."""
    taught: list[Pair] = []
    found = []
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    for seed in range(count):
        flood = simulate_flood(seed, cells=32)
        one, two = flood.before.data, flood.after.data
        x, y = np.concatenate([one, two, two - one]).reshape(3 * len(one), -1).T, flood.flooded.ravel()
        if seed < learned:
            chosen = np.random.default_rng(seed).choice(len(y), 6000, replace=False)
            taught.append((x[chosen], y[chosen]))
            if seed == learned - 1:
                model.fit(*map(np.concatenate, zip(*taught, strict=True)))
        else:
            found.append((model.predict_proba(x)[:, 1].reshape(flood.flooded.shape), flood.flooded))
    return found


def drawn_groups(rng: np.random.Generator, count: int) -> list[Pair]:
    """Confidence and rightness of 500 samples a group; some groups are hard, some too sure of themselves."""
    groups = []
    for hard, sure in zip(rng.normal(2.5, 1, count), rng.normal(0.3, 0.6, count), strict=True):
        logit = np.abs(rng.normal(hard, 1.5, 500))
        chance = 1 / (1 + np.exp(-np.maximum(logit - sure, 0)))
        groups.append((1 / (1 + np.exp(-logit)), rng.random(500) < chance))
    return groups


def unsure(known: list[Pair], new: list[Pair]) -> list[dict[str, Any]]:
    """What each promise comes to in new groups."""
    confidence, right = (np.concatenate([group[k] for group in known]) for k in (0, 1))
    groups, rows = np.repeat(np.arange(len(known)), [len(group[0]) for group in known]), []
    for name in ("each new group", *BOUNDS):
        args: dict[str, Any] = {"error": ERROR, "trust": TRUST}
        find = group_accept_threshold if name not in BOUNDS else mean_accept_threshold
        threshold, _ = find(confidence, right, groups, **args, **({"bound": name} if name in BOUNDS else {}))
        wrong = np.array([group_error(*group, threshold) for group in new])
        answered = [(said >= threshold).sum() for said, _ in new]
        pooled = sum(((said >= threshold) & ~true).sum() for said, true in new) / max(sum(answered), 1)
        rows.append({
            "promise": name,
            "one new group kept": float(wrong[0] <= ERROR + 1e-9),
            "mean of new groups kept": float(wrong.mean() <= ERROR),
            "all their answers kept": float(pooled <= ERROR),
            "answered": np.mean([(said >= threshold).mean() for said, _ in new]),
        })  # fmt: skip
    return rows


def resplit(maps: list[Pair], count: int) -> pd.DataFrame:
    """Promises on drawn groups, and on the pixels of the floods split anew into held-out and new ones."""
    pixels, rows = [(np.maximum(p, 1 - p).ravel(), ((p >= 0.5) == t).ravel()) for p, t in maps], []
    for seed in range(count):
        rng, held = np.random.default_rng([seed, 11]), (9, 12, 20, 40)[seed % 4]
        drawn = drawn_groups(rng, held + 10)
        rows += [{"groups": "drawn", "held out": held} | row for row in unsure(drawn[:held], drawn[held:])]
        places, most = rng.permutation(len(pixels)), len(pixels) * 3 // 4
        some = [rng.choice(pixels[k][0].size, 2000, replace=False) for k in places]
        mixed = [(pixels[k][0][at], pixels[k][1][at]) for k, at in zip(places, some, strict=True)]
        rows += [{"groups": "floods", "held out": most} | row for row in unsure(mixed[:most], mixed[most:])]
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame, by: list[str], count: str) -> pd.DataFrame:
    """Means of all columns, and how many there were."""
    parts = rows.groupby(by, sort=False)
    return parts.mean().round(3).assign(**{count: parts.size()}).reset_index()


def markdown(rows: pd.DataFrame) -> str:
    """A table without its number of rows."""
    lines = [rows.columns, ["---"] * rows.shape[1], *rows.astype(object).to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    count, events, learned, resplits = PRESETS[args.preset]
    start, maps = time.process_time(), floods(events, learned)
    cells = [(cell_shares(p, SIDE)[0], cell_shares(t, SIDE)[0]) for p, t in maps]
    others = [cells[:k] + cells[k + 1 :] for k in range(len(cells))]
    left = pd.DataFrame([judged(known, new) for known, new in zip(others, cells, strict=True)])
    every = pd.concat([
        cases(count).assign(events="drawn"),
        left.assign(**{"events": "floods", "events held out": len(cells) - 1}),
    ])  # fmt: skip
    found = {
        "cells": table(every, ["events", "events held out"], "cases"),
        "all drawn": table(every[every["events"] == "drawn"], ["events"], "cases"),
        "unsure": table(resplit(maps, resplits), ["groups", "held out", "promise"], "resplits"),
    }
    text = "\n\n".join(f"{markdown(part)}" for part in found.values())
    print(json.dumps({name: part.to_dict("records") for name, part in found.items()}) if args.json else text)
    if args.preset != "smoke":
        minutes = (time.process_time() - start) / 60
        text += f"\n\n`python experiments/flood_intervals.py --preset {args.preset}`, {minutes:.0f} CPU min."
        write_results("flood-intervals", text)


if __name__ == "__main__":
    main()
