"""How well predictions agree with a survey: squared correlation and R², pooled and inside groups.

Papers on poverty from images report the squared correlation, r². It forgives a wrong scale and a shift, even
a wrong sign: values that are all too high, and twice too far apart, have r² = 1. R² = 1 - squared errors /
squared deviations from the mean forgives nothing, and falls below 0 where the mean would serve better. A
predictor may correlate and be off, so both are told. And both are told inside parts: over town and country
together a predictor that knows no more than which is which comes out well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jido.errors import JidoError
from jido.stats.intervals import Figure, bootstrap_figures
from jido.stats.regression import ROWS, Resampling

_LEAST = 3  # rows below which a group has no figure of its own
_NO_SPREAD = 1e-9  # what rounding leaves of a spread of 0, relative to the largest number
_LOST = 1e-5  # and of that of a group, relative to the largest distance from the mean of all


@dataclass(frozen=True)
class Agreement:
    """Figures of n rows in groups.

    Args:
        pearson: r, -1 to 1; its sign is what the square hides.
        squared_pearson: r², 0 to 1.
        r_squared: R², 1 at most.
        n: rows with outcome and prediction.
        groups: pieces of evidence that were drawn for the intervals.
    """

    pearson: Figure
    squared_pearson: Figure
    r_squared: Figure
    n: int
    groups: int


def squared_pearson(y: np.ndarray, predicted: np.ndarray, *, weights: np.ndarray | None = None) -> float:
    """Squared correlation of outcome and prediction (n,): the share that the best line would explain.

    The best line is fitted to the truth afterwards, so the prediction itself may be off. NaN where one of
    them does not vary. Rows with a NaN are left out, as in all that follows.
    """
    return float(_figures(_sums(*_rows(y, predicted, weights)).sum(axis=0))[1])


def r_squared(y: np.ndarray, predicted: np.ndarray, *, weights: np.ndarray | None = None) -> float:
    """1 - squared errors / squared deviations of the outcome (n,) from its mean: what is explained as it is.

    Below 0 where the mean of these rows would have erred less; NaN where the outcome does not vary.
    """
    return float(_figures(_sums(*_rows(y, predicted, weights)).sum(axis=0))[2])


def agreement(y: np.ndarray, predicted: np.ndarray, *, resampling: Resampling = ROWS) -> Agreement:
    """The figures over all rows (n,), with intervals.

    Args:
        y: (n,) outcome.
        predicted: (n,) prediction.
        resampling: ``groups`` are redrawn whole (countries, blocks; rows when not given), ``weights`` are of
            rows, such as households.

    Raises:
        JidoError: when lengths differ, a weight is below 0, or no row has both numbers.
    """
    y, predicted, weights, owner = _rows(y, predicted, resampling.weights, resampling.groups)
    sums = _sums(y, predicted, weights, owner)
    return Agreement(*_drawn(sums, _figures, np.full(3, len(sums)), resampling), len(y), len(sums))


def agreement_inside(
    y: np.ndarray, predicted: np.ndarray, parts: np.ndarray, *, resampling: Resampling = ROWS
) -> dict[str, Agreement]:
    """:func:`agreement` inside each part (n,), such as urban and rural, or a country."""
    if len(parts) != len(y):
        raise JidoError(f"The outcome has {len(y)} rows, the parts {len(parts)}: give one a row.")
    found = {}
    for part in np.unique(parts):
        here = np.flatnonzero(np.asarray(parts) == part)
        groups, weights = (
            None if column is None else np.asarray(column)[here]
            for column in (resampling.groups, resampling.weights)
        )
        its = replace(resampling, groups=groups, weights=weights)
        found[str(part)] = agreement(np.asarray(y)[here], np.asarray(predicted)[here], resampling=its)
    return found


def mean_agreement(y: np.ndarray, predicted: np.ndarray, *, resampling: Resampling) -> Agreement:
    """Mean of the figures inside the groups of ``resampling`` (countries), each alike, redrawn as a whole.

    Differences between countries have no part in it. Groups of fewer than 3 rows, and those whose outcome or
    prediction does not vary, have no figure and no say.
    """
    y, predicted, weights, owner = _rows(y, predicted, resampling.weights, resampling.groups)
    own = _figures(_sums(y, predicted, weights, owner))
    own[np.bincount(owner) < _LEAST] = np.nan
    known = ~np.isnan(own)
    pairs = np.stack([np.where(known, own, 0), known], axis=1)
    carried = known.sum(axis=0)
    return Agreement(*_drawn(pairs, _mean, carried, resampling), len(y), int(carried.max()))


def _drawn(
    sums: np.ndarray, figures: Callable[[np.ndarray], np.ndarray], carried: np.ndarray, asked: Resampling
) -> tuple[Figure, Figure, Figure]:
    """The three figures with intervals from groups (G, ...) drawn anew."""
    one, two, three = bootstrap_figures(
        sums,
        figures,
        lowest=np.array([-1.0, 0.0, -np.inf]),
        highest=np.ones(3),
        carried=carried,
        level=asked.level,
        draws=asked.draws,
        seed=asked.seed,
    )
    return one, two, three


def _mean(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 2, 3) of figures and of groups that have them -> their means (..., 3)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0, :] / sums[..., 1, :])


def _rows(
    y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Complete rows: outcome, prediction, weight and number of the group (n,)."""
    y, predicted = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    groups = np.arange(len(y)) if groups is None else np.asarray(groups)
    if lengths := {len(part) for part in (predicted, weights, groups)} - {len(y)}:
        raise JidoError(f"The outcome has {len(y)} rows, another column {lengths.pop()}: they must be alike.")
    if not (weights >= 0).all():
        raise JidoError("A weight is below 0 or missing: give 0 to rows that are not to count.")
    used = np.isfinite(y) & np.isfinite(predicted) & (weights > 0)
    if not used.any():
        raise JidoError(f"None of {len(y)} rows has outcome, prediction and weight: nothing can be judged.")
    return y[used], predicted[used], weights[used], np.unique(groups[used], return_inverse=True)[1]


def _sums(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Weighted sums (G, 9) by group: 1, y, p, y², p², y p, (y - p)², and what is no spread of y and of p.

    Outcome and prediction count from their means over all rows, so that few digits are lost.
    """
    sizes, error = [np.abs(part).max() for part in (y, predicted)], (y - predicted) ** 2
    y, p = (part - np.average(part, weights=weights) for part in (y, predicted))
    apart = [_LOST * np.abs(part).max() for part in (y, p)]
    least = [max(_NO_SPREAD * size, rest) ** 2 for size, rest in zip(sizes, apart, strict=True)]
    columns = [np.ones(len(y)), y, p, y * y, p * p, y * p, error, *np.outer(least, np.ones(len(y)))]
    return np.stack([np.bincount(owner, weights=weights * one) for one in columns], axis=1)


def _figures(sums: np.ndarray) -> np.ndarray:
    """Sums (..., 9) -> r, r² and R² (..., 3)."""
    total, y, p, yy, pp, yp, error, least_y, least_p = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):  # a group without spread
        spread_y, spread_p = yy - y * y / total, pp - p * p / total
        spread_y = np.where(spread_y > least_y, spread_y, np.nan)
        spread_p = np.where(spread_p > least_p, spread_p, np.nan)
        r = np.clip((yp - y * p / total) / np.sqrt(spread_y * spread_p), -1, 1)
        return np.stack([r, r * r, 1 - error / spread_y], axis=-1)
