"""Intervals that do not take neighbouring pixels for independent evidence."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from jido.labels import ClassScheme
from jido.stats.confusion import summary


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
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Figure]:
    """Every figure of :func:`~jido.stats.confusion.summary` with an interval over groups.

    Whole groups (polygons) are drawn with replacement, because the pixels of one polygon are one
    piece of evidence. The interval speaks of *new polygons like these*, not of the whole map.

    Args:
        matrices: (G, K, K) counts, one matrix per group.
        scheme: the K classes.
        level: coverage aimed at.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        Figure name -> value and bounds; bounds are ``None`` with fewer than 5 groups.
    """
    point = summary(matrices.sum(0), scheme)
    groups = len(matrices)
    if groups < 5:
        return {name: figure(float(value)) for name, value in point.items()}
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    flat = counts @ matrices.reshape(groups, -1)
    drawn = summary(flat.reshape(draws, *matrices.shape[1:]), scheme)
    tail = (1 - level) / 2
    result = {}
    for name, value in point.items():
        finite = drawn[name][np.isfinite(drawn[name])]
        if not len(finite):
            result[name] = figure(float(value))
            continue
        lower, upper = np.quantile(finite, [tail, 1 - tail])
        result[name] = figure(float(value), float(lower), float(upper))
    return result
