"""Intervals where draws of labels are judged on the same groups, and two methods on the same draws."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from jido.stats.intervals import MIN_GROUPS, Figure, figure

MIN_DRAWS = 3
"""With fewer draws of labels no interval is claimed."""

_NO_SPREAD = 1e-9  # what rounding leaves of a standard error of 0


def crossed_variance(counts: np.ndarray, total: np.ndarray) -> tuple[float, float, float]:
    """Parts of the variance of a mean over draws and groups: of draws, of groups, and of their meeting.

    The first two hold the third already, so the variance of the mean is draws + groups - meeting: two-way
    clusters, Cameron, Gelbach and Miller 2011, doi 10.1198/jbes.2010.07136. Each part is without bias in
    draws and groups that are few.

    Args:
        counts: (D, G) right answers, or a difference of them, of every draw in every group.
        total: (G,) answers in every group.
    """
    draws, groups = counts.shape
    mean = counts.sum(1) / total.sum()  # (D,)
    pull = (counts - mean[:, None] * total) * (groups / total.sum())  # of a group on the ratio, linearised
    of_group = pull.mean(0)
    by_draw = mean.var(ddof=1) / draws
    by_group = (of_group**2).sum() / ((groups - 1) * groups)
    meeting = ((pull - of_group) ** 2).sum() / ((draws - 1) * (groups - 1) * draws * groups)
    return float(by_draw), float(by_group), float(meeting)


def crossed_figure(
    counts: np.ndarray, total: np.ndarray, *, lowest: float = 0.0, level: float | None = 0.95
) -> Figure:
    """Mean over draws of a share of answers, with an interval over draws and groups together.

    Give the difference of two methods' counts for the *paired* interval of the difference: luck with the
    labels drawn, and groups that are hard for both, then have no part in it.

    It is value +- t * standard error. The variance is what a bootstrap that redraws draws and groups jointly
    aims at, in closed form: that bootstrap counts chance three times (Owen 2007, doi 10.1214/07-AOAS122)
    and sees only (D - 1) / D of the spread of D draws, so it covered .77 to .999 where this covers .92 to
    .98 (3 to 10 draws, 8 to 400 groups; ``tests/test_label_curve.py`` repeats some). Student's t has the
    degrees of freedom of Satterthwaite 1946, doi 10.2307/3002019: with 3 draws that differ much it is 4.3.

    The interval speaks of new draws of labels from the same pool and of new groups like these, not of a new
    pool. A share near 1 rests on the few groups that are wrong: its bounds are too narrow.

    Args:
        counts: (D, G) right answers, or a difference of them, of every draw in every group.
        total: (G,) answers in every group, more than 0.
        lowest: where the figure begins: 0, or -1 for differences; it ends at 1.
        level: coverage aimed at; ``None`` claims no interval.

    Returns:
        Value and bounds, 0..1 or -1..1. Bounds are ``None`` with fewer than 3 draws or 5 groups, and where
        nothing differs from its like: what shows no spread does not tell how far new ones may differ.
    """
    value = float(counts.sum(1).mean() / total.sum())
    draws, groups = counts.shape
    if level is None or draws < MIN_DRAWS or groups < MIN_GROUPS:
        return figure(value)
    by_draw, by_group, meeting = crossed_variance(counts, total)
    own = max(by_draw - meeting, 0.0)  # of draws as such
    variance = by_group + own
    if variance < _NO_SPREAD**2:
        return figure(value)
    doubt = by_group**2 / (groups - 1)
    if own:
        doubt += by_draw**2 / (draws - 1) + meeting**2 / ((draws - 1) * (groups - 1))
    freedom = max(variance**2 / doubt, min(draws, groups) - 1)
    half = float(stdtrit(freedom, (1 + level) / 2)) * variance**0.5
    return figure(value, max(value - half, lowest), min(value + half, 1.0))
