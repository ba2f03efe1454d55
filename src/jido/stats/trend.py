"""Is there a trend, and how steep: Mann-Kendall's test, Sen's slope, change against a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import rankdata

from jido.errors import JidoError

EXACT = 10
"""Up to so many values, none of them tied, the distribution of S is counted out (Kendall 1975)."""

MIN_YEARS = 3
"""Fewer years do not stand for a period of five."""

_SIGNIFICANT = 0.05  # of a lag, in Hamed and Rao's correction
_HIGHEST = 0.95  # correlation of neighbours that a short series is believed to have


@dataclass(frozen=True)
class Trend:
    """What a series does over time.

    Args:
        n: values that are not missing.
        s: Mann-Kendall's S: pairs that rise less pairs that fall.
        tau: S over the number of pairs, -1..1.
        p: two-sided, of no trend.
        slope: Sen's, unit of the values by unit of time.
        lower: of the slope; NaN where none is claimed.
        upper: of the slope.
        intercept: value of the line at time 0: half of the values lie above the line.
        inflation: what serial correlation multiplied the variance of S by; 1 without correction.
    """

    n: int
    s: float
    tau: float
    p: float
    slope: float
    lower: float
    upper: float
    intercept: float
    inflation: float = 1.0

    def line(self, times: np.ndarray) -> np.ndarray:
        """Values of the trend line, shape as given."""
        return self.intercept + self.slope * np.asarray(times, dtype=np.float64)


def trend(times: np.ndarray, values: np.ndarray, *, correction: str = "none", level: float = 0.95) -> Trend:
    """Mann-Kendall's test with ties, and Sen's slope with its interval.

    S sums sign(y_j - y_i) over pairs i < j; var S = (n (n - 1) (2 n + 5) - sum t (t - 1) (2 t + 5)) / 18
    with t the sizes of tied groups; z = (S -+ 1) / sqrt(var S) (Mann 1945, doi 10.2307/1907187; Kendall
    1975; Gilbert 1987, section 16.4). Sen's slope is the median of the slopes of all pairs; its interval
    takes the ordered slopes number (N - C) / 2 and (N + C) / 2 + 1 of N, C = z sqrt(var S), between whole
    numbers by line (Sen 1968, doi 10.1080/01621459.1968.10480934; Gilbert 1987, section 16.5). It claims
    nothing where these lie beyond the first and last slope.

    The test takes years for independent. Where a dry year follows a dry year it sees trends that are none: of
    21 years with a correlation of .5 from year to year in 21 of 100 series instead of 5. The corrections as
    published lose much of their use in so short a series (22 and 11 of 100; and 9 and 9 where years *are*
    independent); ``lag1`` brings 6 and 4 (``tests/test_trend.py``), but takes a fall that bends for
    correlation and is then too careful.

    Args:
        times: years or other numbers, (n,), all different; they need not be in order.
        values: (n,), NaN = missing.
        correction: of the variance of S for serial correlation, a name of :data:`CORRECTIONS`.
        level: of the interval of the slope, two-sided.

    Returns:
        All NaN from fewer than two values; p = 1 and no interval where all values are the same.

    Raises:
        JidoError: when the two differ in length, a time is no number or comes twice, or nobody knows the
            correction.
    """
    if correction not in CORRECTIONS:
        raise JidoError(f"No correction is called {correction!r}: choose one of {', '.join(CORRECTIONS)}.")
    t, y = _in_order(times, values)
    n = len(y)
    if n < 2:
        return Trend(n, *[np.nan] * 7)
    one, two = np.triu_indices(n, 1)
    rises = np.sign(y[two] - y[one])
    slopes = np.sort((y[two] - y[one]) / (t[two] - t[one]))
    s, slope = float(rises.sum()), float(np.median(slopes))
    _, tied = np.unique(y, return_counts=True)
    variance = float(n * (n - 1) * (2 * n + 5) - (tied * (tied - 1) * (2 * tied + 5)).sum()) / 18
    inflation = CORRECTIONS[correction](t, y - slope * t) if variance > 0 else 1.0
    sd = np.sqrt(variance * inflation)
    exact = n <= EXACT and correction == "none" and tied.max() == 1
    lower, upper = _slope_interval(slopes, float(ndtri((1 + level) / 2)) * sd)
    return Trend(
        n=n,
        s=s,
        tau=s / len(rises),
        p=_exact_p(s, n) if exact else _normal_p(s, sd),
        slope=slope,
        lower=lower,
        upper=upper,
        intercept=float(np.median(y - slope * t)),
        inflation=inflation,
    )


def _in_order(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and values in order of time, missing values left out."""
    t, y = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or t.shape != y.shape:
        raise JidoError(f"Times of shape {t.shape} do not fit values of shape {y.shape}: give one for each.")
    if not np.isfinite(t).all():
        raise JidoError("A time is missing or infinite: leave out values without a time.")
    known, counts = np.unique(t, return_counts=True)
    if (counts > 1).any():
        raise JidoError(
            f"The time {known[counts > 1][0]:g} comes {counts.max()} times: make one value of them first."
        )
    kept = np.argsort(t)
    kept = kept[np.isfinite(y[kept])]
    return t[kept], y[kept]


def _normal_p(s: float, sd: float) -> float:
    z = max(abs(s) - 1, 0) / sd if sd > 0 else 0.0
    return float(2 * ndtr(-z))


def _exact_p(s: float, n: int) -> float:
    """Share of the n! orders whose S is at least as far from 0 (Kendall 1975)."""
    orders = np.ones(1)
    for k in range(2, n + 1):  # the k-th value falls below 0 to k - 1 of those before it
        orders = np.convolve(orders, np.ones(k))
    pairs = n * (n - 1) / 2
    far = np.abs(pairs - 2 * np.arange(len(orders))) >= abs(s)
    return float(orders[far].sum() / orders.sum())


def _slope_interval(slopes: np.ndarray, reach: float) -> tuple[float, float]:
    """Between the ordered slopes of these ranks; NaN when they lie beyond the ends, or nothing varies."""
    count = len(slopes)
    first, last = (count - reach) / 2, (count + reach) / 2 + 1
    if not reach > 0 or first < 1 or last > count:
        return np.nan, np.nan
    lower, upper = np.interp([first, last], np.arange(1, count + 1), slopes)
    return float(lower), float(upper)


# -- serial correlation --------------------------------------------------------------------------------


def autocorrelation(times: np.ndarray, values: np.ndarray, *, lags: int) -> np.ndarray:
    """Correlation with the value 1, 2, ... steps later, (lags,).

    A step is the smallest distance of two times. For a whole series it is the usual sum of products over
    the sum of squares; with gaps the mean product of the pairs that there are stands for the others.

    Args:
        times: (n,) in order.
        values: (n,) without NaN, trend taken out.
        lags: how many.

    Returns:
        0 where no pair is so far apart, and where the values do not vary.
    """
    n, found = len(values), np.zeros(lags)
    apart = values - values.mean()
    square = float(apart @ apart) / max(n, 1)
    if n < 3 or not square > 0:
        return found
    away = np.subtract.outer(times, times) / np.diff(times).min()
    product = np.multiply.outer(apart, apart)
    for lag in range(1, lags + 1):
        pairs = np.abs(away - lag) < 0.25
        if pairs.any():
            found[lag - 1] = product[pairs].mean() / square * max(1 - lag / n, 0)
    return found


def ar1_inflation(rho: float, n: int) -> float:
    """How many years tell of a mean what one independent year tells, when each takes rho of the last.

    1 + 2 sum_k (1 - k / n) rho^k, summed up (Matalas and Langbein 1962, doi 10.1029/JZ067i009p03441).
    """
    lag = np.arange(1, n)
    return float(1 + 2 * ((1 - lag / n) * rho**lag).sum())


def lag1(times: np.ndarray, detrended: np.ndarray) -> float:
    """Correlation of neighbours freed of its bias, 0 to .95; 0 from fewer than six values.

    What is left beside a fitted line alternates more than the errors did: r is too low by (2 + 4 rho) / n
    (used for this by Hamed 2009, doi 10.1016/j.jhydrol.2009.01.040). Chance below 0 earns no trust.

    Args:
        times: (n,) in order.
        detrended: (n,) without NaN, trend taken out.
    """
    n = len(detrended)
    if n < 6:
        return 0.0
    (r,) = autocorrelation(times, detrended, lags=1)
    return min(max((n * float(r) + 2) / (n - 4), 0.0), _HIGHEST)


def _none(times: np.ndarray, detrended: np.ndarray) -> float:
    return 1.0


def _hamed_rao(times: np.ndarray, detrended: np.ndarray) -> float:
    """Hamed and Rao 1998, doi 10.1016/S0022-1694(97)00125-X: from ranks, lags that are significant.

    Where strong alternation makes it 0 or less, which no variance is, it is 1. Chance in far lags makes it
    too low: 1.4 instead of 2.3 in 120 years with a correlation of .4.
    """
    n = len(detrended)
    if n < 4:
        return 1.0
    lag = np.arange(1, n)
    r = autocorrelation(times, rankdata(detrended), lags=n - 1)
    r[np.abs(r) < ndtri(1 - _SIGNIFICANT / 2) / np.sqrt(n)] = 0
    found = 1 + 2 / (n * (n - 1) * (n - 2)) * ((n - lag) * (n - lag - 1) * (n - lag - 2) * r).sum()
    return float(found) if found > 0 else 1.0


def _yue_wang(times: np.ndarray, detrended: np.ndarray) -> float:
    """Yue and Wang 2004, doi 10.1023/B:WARM.0000043140.61082.60: from the correlation of neighbours."""
    (r,) = autocorrelation(times, detrended, lags=1)
    return ar1_inflation(float(r), len(detrended))


def _lag1(times: np.ndarray, detrended: np.ndarray) -> float:
    return ar1_inflation(lag1(times, detrended), len(detrended))


CORRECTIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "none": _none,
    "hamed_rao": _hamed_rao,
    "yue_wang": _yue_wang,
    "lag1": _lag1,
}
"""Name -> (times, values without their trend) -> what multiplies the variance of S.

``lag1`` is that of Yue and Wang with the correlation of :func:`lag1`, so it never makes the variance less.
"""


@dataclass(frozen=True)
class Change:
    """Change of a mean area against a baseline.

    Args:
        value: per cent of the baseline, below 0 for a loss; NaN = empty.
        lower: of the interval; NaN where none is claimed.
        upper: of the interval.
        baseline: mean of its years.
        latest: mean of the years held against it.
        correlation: of one year with the next that the interval reckons with.
        reason: why it is empty or has no interval.
    """

    value: float
    lower: float
    upper: float
    baseline: float
    latest: float
    correlation: float
    reason: str = ""


def change_since(
    years: np.ndarray,
    values: np.ndarray,
    *,
    baseline: tuple[int, int] = (2000, 2004),
    period: tuple[int, int] = (2016, 2020),
    level: float = 0.95,
) -> Change:
    """SDG 6.6.1: (mean of a period - mean of the baseline) / mean of the baseline, in per cent.

    The interval is that of the ratio of two means (logarithm, linearised, Student's t with the degrees of
    freedom of Welch) whose spread is that of their years, widened by :func:`ar1_inflation`
    for the correlation of one year with the next. It says whether other years of the same climate could
    have made the change; errors of measurement are in that spread as far as they differ between years.

    Args:
        years: (T,) whole numbers, in any order.
        values: areas (T,), NaN = empty.
        baseline: first and last year, both in it; 2000-2004 is that of the indicator.
        period: held against it.
        level: of the interval.

    Raises:
        JidoError: when a year comes twice or the two differ in length.
    """
    slope = trend(years, values).slope
    known = np.isfinite(values)
    order = np.argsort(years[known])
    t, y = years[known][order], np.asarray(values, dtype=np.float64)[known][order]
    parts = [y[(t >= first) & (t <= last)] for first, last in (baseline, period)]
    n = np.array([len(part) for part in parts])
    if n.min() < MIN_YEARS:
        empty = f"{n[0]} and {n[1]} valid years, {MIN_YEARS} needed in each period"
        return Change(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, empty)
    mean = np.array([part.mean() for part in parts])
    before, after = mean.tolist()
    if not before > 0:
        return Change(np.nan, np.nan, np.nan, before, after, np.nan, "nothing in the baseline")
    rho = lag1(t, y - slope * t)
    value = 100 * (after / before - 1)
    wider = np.array([ar1_inflation(rho, k) for k in n])
    spread = np.array([part.var(ddof=1) for part in parts]) * (n - 1) / (n - wider) * wider / n
    if not after > 0 or not spread.sum() > 0:
        return Change(value, np.nan, np.nan, before, after, rho, "no interval: the years show no spread")
    relative = spread / mean**2
    freedom = relative.sum() ** 2 / (relative**2 / (n - 1)).sum()
    reach = stdtrit(freedom, (1 + level) / 2) * np.sqrt(relative.sum())
    lower, upper = (float(100 * (after / before * np.exp(sign * reach) - 1)) for sign in (-1, 1))
    return Change(value, lower, upper, before, after, rho)
