"""Intervals for places of a new group: a country or block of which no outcome is known.

Rows of one country err together, so it is countries that are exchangeable, not rows. A quantile of pooled
residuals takes the largest countries for all, and forgets that another country may be unlike every known one.
"""

from __future__ import annotations

import numpy as np

from jido.errors import JidoError

_ROUNDING = 1e-9  # of sums of shares


def highest_level(groups: int) -> float:
    """The most that G groups can promise for a new one: G / (G + 1).

    It may differ from all of them more than they differ from each other, with a chance of 1 / (G + 1).
    """
    return groups / (groups + 1)


def group_conformal(residuals: np.ndarray, groups: np.ndarray, *, level: float) -> float:
    """Half width h of an interval, prediction +- h, for a row of a new group.

    Each of G groups weighs 1 / (G + 1), shared by its rows, and the last 1 / (G + 1) lies at infinity: h is
    the smallest width to which ``level`` of that weight belongs. If the groups, the new one among them, are
    exchangeable and the model saw none of them, a row drawn from the new group lies inside with a chance of
    ``level`` at least: hierarchical conformal prediction, Lee, Barber and Willett 2023, arXiv 2306.06342;
    without the part at infinity it is the CDF pooling of Dunn, Wasserman and Ramdas 2023, doi
    10.1080/01621459.2022.2060112, which promises as much for many groups only.

    What it does not promise:

    - One country: ``level`` is the mean over new countries. In some nearly all rows lie inside, in some few.
    - Residuals of a cross-validation by group: each model saw the other groups, and the one that is used saw
      all. Coverage is close to ``level`` as a rule; the exact promise needs groups that were set aside.
    - Groups unlike these: another continent, another year, another survey.

    Args:
        residuals: (n,) outcome minus prediction of rows whose group the model has not seen; NaN is left out.
        groups: (n,) the group of each row.
        level: share of rows, over new groups, that lie inside.

    Returns:
        h, in units of the residuals.

    Raises:
        JidoError: when ``level`` is no share, or more than so few groups can promise.
    """
    sizes = np.abs(np.asarray(residuals, dtype=np.float64))
    if sizes.shape != np.shape(groups):
        raise JidoError(f"There are {sizes.shape} residuals and {np.shape(groups)} groups: give one a row.")
    known = ~np.isnan(sizes)
    sizes, (names, owner) = sizes[known], np.unique(np.asarray(groups)[known], return_inverse=True)
    count = len(names)
    if not 0 < level < 1:
        raise JidoError(f"The level is a share between 0 and 1, not {level:g}.")
    if level > highest_level(count) + _ROUNDING:
        raise JidoError(
            f"{count} groups promise {highest_level(count):.3f} of a new group at most, not {level:g}: ask "
            f"for less, or give {int(np.ceil(level / (1 - level) - _ROUNDING))} groups."
        )
    weights = 1 / ((count + 1) * np.bincount(owner)[owner])
    order = np.argsort(sizes)
    inside = weights[order].cumsum()
    return float(sizes[order][int(np.searchsorted(inside, level - _ROUNDING))])
