"""Intervals that do not take neighbouring pixels for independent evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from scipy.special import stdtrit

from jido.labels import ClassScheme
from jido.stats.confusion import (
    confusion_by_group,
    f1_per_class,
    producers_accuracy,
    summary,
    users_accuracy,
)

MIN_GROUPS = 5
"""With fewer groups no interval is claimed."""

_LOWEST = {"kappa": -1.0, "mcc": -1.0}  # every other figure starts at 0; all end at 1
_NO_SPREAD = 1e-9  # what rounding leaves of a standard error of 0


class Figure(TypedDict):
    """A figure with its 95 % interval; bounds are ``None`` where none is claimed."""

    value: float | None
    lower: float | None
    upper: float | None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def figure(value: float, lower: float = np.nan, upper: float = np.nan) -> Figure:
    """A :class:`Figure` with NaN turned into ``None``."""
    return {"value": _number(value), "lower": _number(lower), "upper": _number(upper)}


def cluster_bootstrap(
    matrices: np.ndarray,
    scheme: ClassScheme,
    *,
    level: float | None = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Figure]:
    """Every figure of :func:`~jido.stats.confusion.summary` with an interval over groups.

    Whole groups (polygons) are drawn with replacement, because the pixels of one polygon are one
    piece of evidence. The interval speaks of *new polygons like these*, not of the whole map.

    It is value +- t * standard error: the standard deviation of the draws, times sqrt(G / (G - 1))
    because a bootstrap of few groups comes out too narrow, and Student's t with G - 1 degrees of
    freedom; cut where the figure ends (Hesterberg 2015, doi 10.1080/00031305.2015.1089789).
    Quantiles of the draws serve worse: a draw has fewer different groups than the sample, so its
    macro F1 is lower, and such an interval lies too low. What it covers is measured in
    ``experiments/interval_coverage.py``. Limits:

    - Classes are not drawn apart: with one to three polygons of a class its spread is not to be
      seen. Where the mix of classes was fixed the interval is rather too wide.
    - Of held-out folds it speaks of models that learned from all folds but one. The model of the
      map, which learned from all, tends to be better, so its figure lies above the interval more
      often than ``level`` says. Folds also share training polygons, which the interval does not
      know (Bates et al. 2024, doi 10.1080/01621459.2023.2197686).
    - A figure near 1 rests on the few groups that are wrong: its bounds are too narrow.

    Args:
        matrices: (G, K, K) counts, one matrix per group.
        scheme: the K classes.
        level: coverage aimed at; ``None`` claims no interval.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        Figure name -> value and bounds. Bounds are ``None`` when fewer than 5 groups carry the
        figure (OAu: built ones), when more than ``1 - level`` of the draws leave it undefined, and
        when all draws agree: groups that show no spread do not tell how far new ones may differ.
    """
    names = list(summary(matrices.sum(0), scheme))

    def statistic(cm: np.ndarray) -> np.ndarray:
        return np.stack(list(summary(cm, scheme).values()), axis=-1)

    lowest = np.array([_LOWEST.get(name, 0.0) for name in names])
    carried = np.full(len(names), len(matrices))
    if scheme.built:
        built = np.isin(scheme.codes, list(scheme.built))
        carried[names.index("oa_u")] = np.count_nonzero(matrices[:, built].sum((1, 2)))
    figures = bootstrap_figures(
        matrices,
        statistic,
        lowest=lowest,
        highest=np.ones(len(names)),
        carried=carried,
        level=level,
        draws=draws,
        seed=seed,
    )
    return dict(zip(names, figures, strict=True))


def per_class(
    matrices: np.ndarray,
    scheme: ClassScheme,
    *,
    level: float | None = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row per class: ``class``, ``name``, cells of ``truth`` and ``predicted``, and figures.

    The figures ``f1``, ``producers_accuracy`` and ``users_accuracy`` carry the interval of
    :func:`cluster_bootstrap`, which takes the same arguments.
    """
    cm, k = matrices.sum(0), len(scheme.classes)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        figures = (f1_per_class(drawn), producers_accuracy(drawn), users_accuracy(drawn))
        return np.concatenate(figures, axis=-1)

    true, said = (np.count_nonzero(matrices.sum(axis), axis=0) for axis in (2, 1))
    carried = np.concatenate([true, true, said])
    found = bootstrap_figures(
        matrices,
        statistic,
        lowest=np.zeros(3 * k),
        highest=np.ones(3 * k),
        carried=carried,
        level=level,
        draws=draws,
        seed=seed,
    )
    return [
        {
            "class": cls.label,
            "name": cls.name,
            "truth": int(cm[i].sum()),
            "predicted": int(cm[:, i].sum()),
            "f1": found[i],
            "producers_accuracy": found[k + i],
            "users_accuracy": found[2 * k + i],
        }
        for i, cls in enumerate(scheme.classes)
    ]


def judged(
    truth: np.ndarray,
    prediction: np.ndarray,
    groups: np.ndarray,
    scheme: ClassScheme,
    *,
    interval: bool = True,
) -> dict[str, Any]:
    """All that is said of predictions with a truth, JSON-ready.

    Args:
        truth: (n,) places of the true classes in the scheme.
        prediction: (n,) places of the predicted classes.
        groups: (n,) what counts as one piece of evidence.
        scheme: the classes.
        interval: whether bounds are claimed.

    Returns:
        ``metrics``, ``confusion``, ``classes``, ``per_class``, ``cells`` and ``groups`` (numbers).
    """
    matrices = confusion_by_group(truth, prediction, groups, len(scheme.classes))
    level = 0.95 if interval else None
    return {
        "metrics": cluster_bootstrap(matrices, scheme, level=level),
        "confusion": matrices.sum(0).tolist(),
        "classes": list(scheme.labels),
        "per_class": per_class(matrices, scheme, level=level),
        "cells": len(truth),
        "groups": len(matrices),
    }


def bootstrap_figures(
    matrices: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    lowest: np.ndarray,
    highest: np.ndarray,
    carried: np.ndarray,
    level: float | None = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> list[Figure]:
    """Figures of a statistic of counts with an interval over groups, as :func:`cluster_bootstrap`.

    Args:
        matrices: (G, ...) counts, those of one group in a row.
        statistic: sums (..., *) of the counts -> (..., M) figures.
        lowest: (M,) where a figure begins.
        highest: (M,) where it ends.
        carried: (M,) number of groups that have a say in each figure.
        level: coverage aimed at; ``None`` claims no interval.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    point = statistic(matrices.sum(0))
    if level is None or len(matrices) < MIN_GROUPS:
        return [figure(value) for value in point]
    drawn = statistic(_drawn(matrices, draws=draws, seed=seed))
    found = []
    ends = zip(point, drawn.T, lowest, highest, carried.tolist(), strict=True)
    for value, sample, low, high, groups in ends:
        finite = sample[np.isfinite(sample)]
        if groups < MIN_GROUPS or len(finite) < level * draws or finite.std() < _NO_SPREAD:
            found.append(figure(value))
            continue
        reach = stdtrit(groups - 1, (1 + level) / 2) * np.sqrt(groups / (groups - 1))
        half = reach * finite.std(ddof=1)
        found.append(figure(value, max(value - half, low), min(value + half, high)))
    return found


def _drawn(matrices: np.ndarray, *, draws: int, seed: int) -> np.ndarray:
    """Sums (draws, K, K) of groups drawn with replacement, some draws at a time for large numbers."""
    groups = len(matrices)
    rng = np.random.default_rng(seed)
    flat = matrices.reshape(groups, -1).astype(np.float64)  # exact below 2^53, and fast
    at_once = max(1, 4_000_000 // groups)
    parts = [
        rng.multinomial(groups, np.full(groups, 1 / groups), size=min(at_once, draws - i)).astype(np.float64)
        @ flat
        for i in range(0, draws, at_once)
    ]
    return np.concatenate(parts).reshape(draws, *matrices.shape[1:])


def member_interval(
    members: np.ndarray, *, level: float, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lower, upper and standard deviation (N,) of members (M, N); NaN where one has none.

    The interval is that of one further member; a single member claims none.
    """
    mean = members.mean(axis=0)
    sd = members.std(axis=0, ddof=1) if len(members) > 1 else np.full_like(mean, np.nan)
    half = member_reach(len(members), level) * sd
    return mean, np.clip(mean - half, *bounds), np.clip(mean + half, *bounds), sd


def member_reach(count: int, level: float) -> float:
    """Half an interval of one further member, in standard deviations of so many."""
    return float(stdtrit(max(count - 1, 1), (1 + level) / 2) * np.sqrt(1 + 1 / count))
