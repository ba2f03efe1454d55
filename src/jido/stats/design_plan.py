"""How many cells to draw from each stratum, and what they may be expected to tell."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from jido.errors import JidoError
from jido.stats.design import Rule, allocate, expected_se

LEAST = 50
"""Points that each stratum gets where they are enough: what Olofsson et al. 2014 advise for rare classes."""

TWO = 2
"""Points of a stratum below which nothing tells how they differ."""


@dataclass(frozen=True)
class Expected:
    """Standard errors to expect of an allocation, if the map is as right as was anticipated.

    Args:
        oa: of overall accuracy.
        users: (K,) of user's accuracies; ``None`` where the strata are not the classes.
        areas: (K,) of areas as shares of the whole; as ``users``.
    """

    oa: float
    users: np.ndarray | None
    areas: np.ndarray | None


def planned(
    sizes: np.ndarray,
    shares: np.ndarray,
    *,
    n: int | None = None,
    se: float | None = None,
    rule: Rule = "proportional",
    least: int | None = None,
) -> np.ndarray:
    """Points (H,) int64 to draw from each stratum.

    Strata that hold no more cells than they are to get at least are drawn whole. For a standard error as
    many points are drawn as reach it, with what the least number takes from the rule.

    Args:
        sizes: (H,) cells of each.
        shares: (H,) user's accuracies anticipated; needed for ``se`` and ``neyman``.
        n: points in all.
        se: or the standard error wished for overall accuracy.
        rule: how what is above the least is shared out.
        least: of each stratum; without it 50, or half the points in equal parts where these are fewer.

    Raises:
        JidoError: when both or neither of n and se are given, there are fewer than 2 points a stratum, or
            more than there are cells.
    """
    if n is not None:
        return _shared(n, sizes, shares, rule=rule, least=least)
    if se is None or not 0 < se < 1:
        raise JidoError(
            "Give the number of points, or the standard error that is wished, which lies between 0 and 1, "
            f"not at {se}."
        )

    def reached(n: int) -> bool:
        return _finite_se(_shared(n, sizes, shares, rule=rule, least=least), sizes, shares) <= se

    numbers = range(int(np.minimum(sizes, max(TWO, least or 0)).sum()), int(sizes.sum()))
    n = numbers.start + bisect_left(numbers, True, key=reached)
    return _shared(n, sizes, shares, rule=rule, least=least)


def _shared(n: int, sizes: np.ndarray, shares: np.ndarray, *, rule: Rule, least: int | None) -> np.ndarray:
    """So many points by stratum (H,)."""
    strata, cells = len(sizes), int(sizes.sum())
    if n > cells:
        raise JidoError(f"There are {cells:,} mapped cells to draw {n:,} points from: ask for fewer.")
    least = max(min(LEAST, n // (2 * strata)) if least is None else least, TWO)
    whole = sizes <= least
    rest = n - int(sizes[whole].sum())
    if rest < least * np.count_nonzero(~whole):
        raise JidoError(
            f"{n} points do not give each of {strata} strata {least}: ask for "
            f"{int(np.minimum(sizes, least).sum())} or more, or make fewer strata."
        )
    drawn = sizes.astype(np.int64)
    if not whole.all():
        part = shares[~whole] if rule == "neyman" else None
        drawn[~whole] = allocate(rest, sizes[~whole], rule=rule, shares=part, least=least, most=sizes[~whole])
    return drawn


def _finite_se(drawn: np.ndarray, sizes: np.ndarray, shares: np.ndarray) -> float:
    """Standard error to expect where cells are drawn without replacement; 0 where all of them are."""
    endless, whole = (expected_se(points, sizes, shares) for points in (drawn, sizes))
    return math.sqrt(max(endless**2 - whole**2, 0.0))


def expected(drawn: np.ndarray, sizes: np.ndarray, shares: np.ndarray, *, classes: bool) -> Expected:
    """What standard errors to expect of points (H,) drawn without replacement from strata of so many cells.

    Args:
        drawn: (H,) points.
        sizes: (H,) cells.
        shares: (H,) of the cells of each stratum that are anticipated to be right.
        classes: whether the strata are the classes of the map. Then cells that are wrong are taken to be
            of the other classes in proportion to their sizes on the map.

    Raises:
        JidoError: when all shares are 0 or 1.
    """
    oa = _finite_se(drawn, sizes, shares)
    if not classes or len(sizes) == 1:
        return Expected(oa, None, None)
    weight = sizes / sizes.sum()
    mixed = (1 - shares)[:, None] * weight / (1 - weight)[:, None]  # (H, K): truth inside each stratum
    np.fill_diagonal(mixed, shares)
    areas = [_finite_se(drawn, sizes, np.clip(mixed[:, k], 0, 1)) for k in range(len(sizes))]
    return Expected(oa, np.sqrt(shares * (1 - shares) * (1 / drawn - 1 / sizes)), np.array(areas))
