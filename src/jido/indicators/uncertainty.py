"""Error models: blocks redrawn, class areas set right by a confusion matrix, dates that are missing."""

from __future__ import annotations

import numpy as np

from jido.errors import JidoError
from jido.indicators.correlation import Correlation, square_correlation

MIN_BLOCKS = 9
"""With fewer blocks no interval is claimed from them; the correlogram of the whole scene gives one."""

LENGTHS = 4.0
"""Side of a block in correlation lengths."""


def block_bootstrap(
    sums: np.ndarray,
    weights: np.ndarray,
    *,
    block_m: float,
    correlation: Correlation,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean over an area with its standard error from redrawing whole blocks.

    Blocks share errors at their borders, so even they are not quite independent. At the fitted length
    the variance of the mean over B blocks is known to be (B - 1) r(S) / (r(b) - r(S)) of what the blocks
    show, r the mean correlation in a square (:func:`square_correlation`) of the side of a block b and
    of all blocks S; it is widened by that (Lahiri 2003, doi 10.1007/978-1-4757-3803-2, on blocks).

    Args:
        sums: sum of value x weight in each block, (B,).
        weights: sum of the weights of what was seen in it, (B,); blocks with 0 are left out.
        block_m: side of a block in metres, about :data:`LENGTHS` correlation lengths.
        correlation: fitted.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Mean, standard error (NaN from fewer than :data:`MIN_BLOCKS`), degrees of freedom.
    """
    seen = weights > 0
    total, weight = sums[seen], weights[seen]
    blocks = len(weight)
    if not blocks:
        return np.nan, np.nan, np.inf
    mean = float(total.sum() / weight.sum())
    if blocks < MIN_BLOCKS:
        return mean, np.nan, np.inf
    rng = np.random.default_rng(seed)
    times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    spread = float(np.std((times @ total) / (times @ weight), ddof=1))
    wider = block_widening(block_m, blocks, correlation)
    return mean, spread * float(np.sqrt(wider * blocks / (blocks - 1))), blocks - 1.0


def block_widening(block_m: float, blocks: int, correlation: Correlation) -> float:
    """What the variance that blocks show is multiplied by, as neighbours of them err alike; at least 1.

    Args:
        block_m: side of a block in metres.
        blocks: how many; with one nothing is known.
        correlation: fitted.
    """
    if blocks < 2:
        return 1.0
    ratio = block_m / correlation.length_m * np.sqrt([1, blocks])
    own, whole = square_correlation(ratio, power=correlation.power)
    return float(max((blocks - 1) * whole / (own - whole), 1.0))


def corrected_areas(
    mapped: np.ndarray, matrices: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Areas of classes, set right by what held-out groups say of the map.

    A map that calls a tenth of the forest a meadow has too little forest however large it is. Of what
    is mapped as j, the share n_kj / n_.j of the held-out sample was truly k (Olofsson et al. 2014, doi
    10.1016/j.rse.2014.02.015, eq. 9, for strata = map classes). Whole groups are redrawn. The error is
    one and the same for all cells: aggregate with ``Dependence(shared=1)``.

    Args:
        mapped: areas by cell and mapped class, (n, K).
        matrices: counts by group, truth in rows, (G, K, K); from places alike in their mix of classes.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Areas by cell and true class (n, K), their standard errors (n, K), degrees of freedom.

    Raises:
        JidoError: when a class is mapped of which no held-out sample was mapped, or there is one group.
    """
    groups = len(matrices)
    if groups < 2:
        raise JidoError("Areas are set right by groups held out, at least 2; give more, or none.")
    known = matrices.sum(axis=(0, 1)) > 0
    if lost := np.flatnonzero((mapped > 0).any(axis=0) & ~known).tolist():
        raise JidoError(
            f"Class number {lost[0]} is on the map, but nothing that was held out was mapped as it: its "
            "area cannot be set right, label some."
        )
    rng = np.random.default_rng(seed)
    times = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    value = mapped @ _truth_given_map(matrices.sum(axis=0))
    mean, square = np.zeros_like(value), np.zeros_like(value)
    for i, drawn in enumerate(np.tensordot(times, matrices, axes=1), start=1):
        apart = mapped @ _truth_given_map(drawn) - value
        step = apart - mean
        mean += step / i
        square += step * (apart - mean)
    se = np.sqrt(square / (draws - 1) * groups / (groups - 1))
    return value, se, groups - 1.0


def _truth_given_map(matrix: np.ndarray) -> np.ndarray:
    """(K mapped, K true) shares; a class without a sample in this draw keeps its name."""
    column = matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = matrix.T / column[:, None]
    return np.where(column[:, None] > 0, shares, np.eye(len(matrix)))


def missing_dates_variance(by_date: np.ndarray, *, planned: int) -> np.ndarray:
    """Variance that a mean over dates gets because clouds hid some of those planned.

    s² (1 / D - 1 / planned) with D the dates seen (Cochran 1977, eq. 2.8, sampling without
    replacement): 0 when all were seen. Cells with one date take the pooled s² of the others. Dates
    are taken as alike; where clouds go with the season this is too small.

    Args:
        by_date: value by date and cell (dates, n), NaN = not seen.
        planned: number of dates wanted.

    Returns:
        (n,); NaN where no date was seen or none can tell how dates differ.

    Raises:
        JidoError: when fewer were planned than seen.
    """
    if planned < len(by_date):
        raise JidoError(f"{len(by_date)} dates were seen but only {planned} planned: count them again.")
    seen = np.isfinite(by_date)
    dates = seen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(seen, by_date, 0).sum(axis=0) / dates
        squares = (np.where(seen, by_date - mean, 0) ** 2).sum(axis=0)
        free = np.maximum(dates - 1, 0)
        pooled = squares.sum() / free.sum() if free.sum() else np.nan
        between = np.where(dates > 1, squares / free, pooled)
        hidden = between * (1 / dates - 1 / planned)
        return np.where(dates == planned, 0.0, np.where(dates > 0, hidden, np.nan))
