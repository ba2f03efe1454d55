"""Questions about the order of 22 clusters, answered from the orders of ten real experts; for orders.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import kendalltau

from jido.stats.ordering import Order, Statement
from jido.stats.questions import believe, merge_insertion, next_question

CHOOSERS = ("ours", "merge insertion", "random")
NAMES = [str(i) for i in range(22)]
URBAN = {name: float(int(name) < 11) for name in NAMES}
AIM, AT, MOST = 0.9, 45, 90
LATER = ("ours, tau", "merge insertion, tau", "random, tau", "ours, right", "ours, expected")
"""Figures after AT questions that are shown."""
PAIRS = np.triu_indices(22, 1)


def table_of_answers(
    experts: Sequence[Order], truth: np.ndarray, target: str, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Signs (22, 22) that are answered where ``truth`` would be right."""
    signs = np.stack([order.signs(NAMES)[PAIRS] for order in experts])
    votes = np.stack([(signs == sign).mean(0) for sign in (-1, 0, 1)])
    votes = votes if target == "authors" else np.ones_like(votes)
    votes[truth[PAIRS].astype(int) + 1, np.arange(len(PAIRS[0]))] = 0
    weight, said = votes.sum(0), truth.copy()
    for i in np.flatnonzero(rng.random(len(weight)) < noise * weight / weight.mean()):
        said[PAIRS[0][i], PAIRS[1][i]] = rng.choice((-1, 0, 1), p=votes[:, i] / weight[i])
    said[PAIRS[::-1]] = -said[PAIRS]
    return said


def sorting(rng: np.random.Generator, said: np.ndarray, classes: bool) -> Iterator[tuple[str, str]]:
    """Questions of merge insertion, again from another start when it is through; no pair comes twice."""
    known: set[frozenset[str]] = set()
    while True:
        names = rng.permutation(NAMES).tolist()
        parts = [[n for n in names if URBAN[n] == side] for side in (0, 1)] if classes else [names]
        todo = [(sort, next(sort)) for sort in map(merge_insertion, parts)]
        while todo:
            sort, pair = todo.pop(0)
            if frozenset(pair) not in known:
                known.add(frozenset(pair))
                yield pair
            try:
                todo.append((sort, sort.send("<=>"[int(said[int(pair[0]), int(pair[1])]) + 1])))
            except StopIteration:
                continue


def asked(chooser: str, truth: np.ndarray, said: np.ndarray, classes: bool, run: int) -> dict[str, float]:
    """Questions up to AIM (MOST where it is missed); after AT tau, and the share of right pairs."""
    rng, given, reached, at = np.random.default_rng(run), list[Statement](), MOST, {}
    chance = ((NAMES[PAIRS[0][k]], NAMES[PAIRS[1][k]]) for k in rng.permutation(len(PAIRS[0])))
    rival = chance if chooser == "random" else sorting(rng, said, classes)
    for count in range(MOST):
        belief = believe(NAMES, given, known=URBAN if classes else None)
        levels = belief.levels
        tau = float(kendalltau(levels, truth.mean(1)).statistic) if levels.any() else 0.0
        reached = min(reached, count if tau >= AIM else MOST)
        if count == AT:
            right = float(np.mean((np.sign(levels[:, None] - levels) == truth)[PAIRS]))
            at = {"tau": tau, "right": right, "expected": belief.expected_right()}
        if count >= AT and reached < MOST:
            break
        pair = next_question(belief, given, seed=run) if chooser == "ours" else next(rival)
        one, two = pair or ("", "")
        given.append(Statement(one, "<=>"[int(said[int(one), int(two)]) + 1], two))
    return {chooser: reached, **{f"{chooser}, {name}": value for name, value in at.items()}}
