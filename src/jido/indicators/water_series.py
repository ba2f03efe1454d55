"""From areas of water on single dates to years: which dates count, dry years, what is stored.

Trends and the change against a baseline (SDG 6.6.1) of such a series: :mod:`jido.stats.trend`; the year to
come: :mod:`jido.stats.forecast`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import betaincinv, ndtri

from jido.errors import JidoError
from jido.indicators.uncertainty import missing_dates_variance

PERIODS = {"month": "datetime64[M]", "year": "datetime64[Y]"}

DRY_CLASSES = (("D0", 30.0), ("D1", 20.0), ("D2", 10.0), ("D3", 5.0), ("D4", 2.0))
"""Highest percentile of each class of the U.S. Drought Monitor: Svoboda et al. 2002, doi
10.1175/1520-0477-83.8.1181."""

_AFTER = 1.2533  # standard error of a median over that of a mean: sqrt(pi / 2)


@dataclass(frozen=True, eq=False)
class Observations:
    """Water areas as measured, a row for each body and date; sorted by body, then date.

    Args:
        dates: (n,) days, as ``datetime64`` or ISO text, in any order.
        body: (n,) names of the water bodies.
        area: (n,) in any one unit, NaN = not measured.
        se: standard errors of the areas, (n,); NaN claims none.
        coverage: share of the body's frame that was seen, (n,) 0..1.
        cloud: share of it under clouds, (n,) 0..1.

    Raises:
        JidoError: when a date is none, a body has two areas of one day, or the columns do not fit.
    """

    dates: np.ndarray
    body: np.ndarray
    area: np.ndarray
    se: np.ndarray
    coverage: np.ndarray
    cloud: np.ndarray

    def __post_init__(self) -> None:
        try:
            days = np.asarray(self.dates).astype("datetime64[D]")
        except (ValueError, TypeError) as err:
            raise JidoError(f"A date is not written as 2021-07-31 ({err}).") from err
        columns = {"dates": days, "body": np.asarray(self.body).astype(str)}
        for name in ("area", "se", "coverage", "cloud"):
            columns[name] = np.asarray(getattr(self, name), dtype=np.float64)
        for name, column in columns.items():
            if column.shape != (len(days),):
                raise JidoError(f"Column {name!r} has shape {column.shape}, but there are {len(days)} dates.")
        if np.isnat(days).any() or (columns["area"] < 0).any() or (columns["se"] < 0).any():
            raise JidoError(
                "A date is missing, or an area or its standard error below 0: mend or drop the row."
            )
        order = np.lexsort((days, columns["body"]))
        for name, column in columns.items():
            object.__setattr__(self, name, column[order])
        same = (self.body[1:] == self.body[:-1]) & (self.dates[1:] == self.dates[:-1])
        if same.any():
            first = int(same.argmax())
            raise JidoError(
                f"{str(self.body[first])!r} has two areas of {self.dates[first]}: put the tiles of a day "
                "together first, or drop one."
            )


@dataclass(frozen=True)
class Rules:
    """Which dates count; the defaults are those of BlueDot's Water Observatory.

    Args:
        max_cloud: highest share of the frame under clouds.
        min_coverage: least share of it that was seen.
        min_dates: least number of valid dates of a month or year.
    """

    max_cloud: float = 0.2
    min_coverage: float = 0.98
    min_dates: int = 1

    def refused(self, seen: Observations) -> np.ndarray:
        """Why a date does not count, text (n,), empty where it does; an unknown share counts as bad."""
        too_cloudy, too_little = ~(seen.cloud <= self.max_cloud), ~(seen.coverage >= self.min_coverage)
        words = np.where(too_little, f"less than {self.min_coverage:.0%} was seen", "")
        words = np.where(too_cloudy, f"more than {self.max_cloud:.0%} cloud", words)
        return np.where(np.isnan(seen.area), "not measured", words)


BLUEDOT = Rules()


@dataclass(frozen=True, eq=False)
class WaterSeries:
    """One value a month or year of one water body, without holes in the calendar.

    Args:
        body: its name.
        periods: datetime64[M] or [Y] (T,).
        value: (T,), NaN = empty.
        se: standard errors, (T,).
        dates: observations, (T,).
        valid: of these those that count, (T,).
        reason: why a period is empty, text (T,).
        statistic: of the valid dates.
    """

    body: str
    periods: np.ndarray
    value: np.ndarray
    se: np.ndarray
    dates: np.ndarray
    valid: np.ndarray
    reason: np.ndarray
    statistic: str

    @property
    def years(self) -> np.ndarray:
        """Time in years, (T,): 2020 for a year, 2020.5 for its July."""
        months = self.periods.astype("datetime64[M]").astype(np.int64)
        return 1970 + months / 12

    def interval(self, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends (T,), not below 0."""
        reach = ndtri((1 + level) / 2) * self.se
        return np.maximum(self.value - reach, 0), self.value + reach

    def rows(self) -> list[dict[str, Any]]:
        """A row a period, JSON-ready: NaN is ``None``."""
        lower, upper = self.interval()
        names = {"value": self.value, "lower": lower, "upper": upper, "se": self.se}
        return [
            {"body": self.body, "period": str(period), "n": int(self.valid[i]), "dates": int(self.dates[i])}
            | {name: float(column[i]) if np.isfinite(column[i]) else None for name, column in names.items()}
            | {"reason": str(self.reason[i])}
            for i, period in enumerate(self.periods)
        ]


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {"median": np.median, "max": np.max}


def water_series(
    seen: Observations,
    body: str,
    *,
    every: str = "year",
    statistic: str = "median",
    rules: Rules = BLUEDOT,
    shared: float = 1.0,
    planned: int | None = None,
) -> WaterSeries:
    """Median or largest area of the valid dates of each month or year.

    Standard error: of the measurements, which have the correlation ``shared`` among dates; for a median
    also of the dates that were planned but do not count (:func:`missing_dates_variance`, times pi / 2).
    A largest area over fewer dates can only be too small; its error does not know that.

    Args:
        seen: observations of this and perhaps other bodies.
        body: which one.
        every: ``month`` or ``year``.
        statistic: a name of :data:`STATISTICS`.
        rules: which dates count.
        shared: correlation of the errors of two dates: 1, which is careful, says that an index errs at
            the same shore every time; then many dates are no better than one.
        planned: dates wanted in each period, those under clouds with them; the most that any has when not
            given.

    Raises:
        JidoError: when the body, the period or the statistic is not known, ``shared`` is out of range, or
            no valid date shows water, or fewer dates were planned than seen.
    """
    if every not in PERIODS or statistic not in STATISTICS or not 0 <= shared <= 1:
        raise JidoError(
            f"A series is by {' or '.join(PERIODS)}, of the {' or '.join(STATISTICS)}, with shared errors of "
            f"0 to 1, not {every!r}, {statistic!r}, {shared:g}."
        )
    mine = np.flatnonzero(seen.body == body)
    if not len(mine):
        raise JidoError(
            f"There is no water body {body!r}: it is one of {', '.join(np.unique(seen.body)[:5])}."
        )
    refused = rules.refused(seen)[mine]
    good = refused == ""
    area, se = np.where(good, seen.area[mine], np.nan), np.where(good, seen.se[mine], np.nan)
    if good.any() and not (area[good] > 0).any():
        raise JidoError(
            f"Water body {body!r} shows no water on any of {good.sum()} valid dates: nothing to follow."
        )
    period = seen.dates[mine].astype(PERIODS[every])
    periods = np.arange(period.min(), period.max() + 1)
    place = (period - periods[0]).astype(np.int64)
    dates, valid = (np.bincount(place, weight, len(periods)).astype(int) for weight in (None, good))
    planned = int(dates.max()) if planned is None else planned
    by_date = np.full((int(dates.max()), len(periods)), np.nan)
    by_date[np.arange(len(place)) - (np.cumsum(dates) - dates)[place], place] = area
    hidden = missing_dates_variance(by_date, planned=planned)
    value, own = np.full((2, len(periods)), np.nan)
    for i in np.flatnonzero(valid >= max(rules.min_dates, 1)):
        here = np.flatnonzero((place == i) & good)
        value[i] = STATISTICS[statistic](area[here])
        own[i] = _measured(area[here], se[here], statistic, shared)
    variance = own + (np.where(valid > 2, _AFTER**2, 1) * hidden if statistic == "median" else 0)
    reason = [_reason(refused[place == i], rules) if np.isnan(value[i]) else "" for i in range(len(periods))]
    return WaterSeries(body, periods, value, np.sqrt(variance), dates, valid, np.array(reason), statistic)


def _measured(area: np.ndarray, se: np.ndarray, statistic: str, shared: float) -> float:
    """Variance that the errors of the single dates give a median, or the largest area."""
    if statistic == "max":
        return float(se[area.argmax()] ** 2)
    factor = _AFTER**2 if len(se) > 2 else 1.0
    return float(shared * se.mean() ** 2 + (1 - shared) * factor * (se**2).mean() / len(se))


def _reason(refused: np.ndarray, rules: Rules) -> str:
    """Why a period is empty."""
    if not len(refused):
        return "no date"
    bad, counts = np.unique(refused[refused != ""], return_counts=True)
    if len(bad) and (refused != "").all():
        return f"{len(refused)} dates, none valid: {bad[counts.argmax()]}"
    return f"{(refused == '').sum()} valid dates, {rules.min_dates} needed"


@dataclass(frozen=True, eq=False)
class Dryness:
    """How dry each year was among the years known.

    Args:
        percentile: 100 x rank / (years + 1), (T,), NaN = empty.
        lower: of the interval of the percentile among all years of the same climate, (T,).
        upper: of that interval.
        label: ``D0`` .. ``D4``, empty for a year that is not dry or not known, (T,).
        finest: the driest class that so many years can tell apart; empty when none.
    """

    percentile: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    label: np.ndarray
    finest: str


def dry_classes(values: np.ndarray, *, reference: np.ndarray | None = None, level: float = 0.95) -> Dryness:
    """Classes of the U.S. Drought Monitor (:data:`DRY_CLASSES`) from percentiles of the yearly area.

    A year is ranked among the reference years and itself; years that tie share their mean rank. Of n years
    the driest has percentile 100 / (n + 1): it takes 19 years to see D3 and 49 to see D4. The percentile
    that rank i of n independent years truly has follows Beta(i, n + 1 - i). Of a lake that shrinks the last
    years are the driest: the classes speak of its area, not of the weather.

    Args:
        values: (T,), NaN = empty.
        reference: bool (T,), the years to rank among; all when not given.
        level: of the intervals.
    """
    y = np.asarray(values, dtype=np.float64)
    known = np.isfinite(y)
    among = known if reference is None else known & reference
    others = among[None, :] & ~np.eye(len(y), dtype=bool)
    below = (others & (y[None, :] < y[:, None])).sum(axis=1)
    rank = below + 1 + (others & (y[None, :] == y[:, None])).sum(axis=1) / 2
    n = others.sum(axis=1) + 1
    tails = (1 - level) / 2, (1 + level) / 2
    lower, upper = (np.where(known, 100 * betaincinv(rank, n + 1 - rank, tail), np.nan) for tail in tails)
    percentile = np.where(known, 100 * rank / (n + 1), np.nan)
    label, finest = np.full(len(y), "  "), ""
    for name, highest in DRY_CLASSES:
        label[percentile <= highest + 1e-9] = name
        finest = name if 100 / (among.sum() + 1) <= highest + 1e-9 else finest
    return Dryness(percentile, lower, upper, np.char.strip(label), finest)


@dataclass(frozen=True, eq=False)
class HypsometricCurve:
    """Volume by area of a lake or reservoir, as surveyed; sorted by area.

    Between rows it is interpolated without overshoot (Fritsch and Carlson 1980, doi 10.1137/0717021).

    Args:
        area: (k,) at least two, in the unit of the series.
        volume: (k,) in any unit.

    Raises:
        JidoError: when a number is missing or below 0, or volume does not grow with area.
    """

    area: np.ndarray
    volume: np.ndarray

    def __post_init__(self) -> None:
        area, volume = (np.asarray(part, dtype=np.float64) for part in (self.area, self.volume))
        if area.ndim != 1 or area.shape != volume.shape or len(area) < 2:
            raise JidoError(
                f"A curve has a volume for each of 2 areas or more, not {volume.shape} for {area.shape}."
            )
        order = np.argsort(area)
        area, volume = area[order], volume[order]
        if not (np.isfinite(area + volume).all() and area[0] >= 0 and volume[0] >= 0):
            raise JidoError("An area or volume of the curve is missing or below 0.")
        flat = (np.diff(area) <= 0) | (np.diff(volume) <= 0)
        if flat.any():
            i = int(flat.argmax())
            raise JidoError(
                f"Volume must grow with area, but {area[i]:g} has {volume[i]:g} and {area[i + 1]:g} has "
                f"{volume[i + 1]:g}: mend the table."
            )
        object.__setattr__(self, "area", area)
        object.__setattr__(self, "volume", volume)

    def stored(self, area: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Volumes with standard errors (slope of the curve x that of the area), and why one is empty.

        Beyond its ends a curve says nothing, so nothing is said. Its own error is not known to it.

        Args:
            area: (T,), NaN = empty.
            se: standard errors, (T,).

        Returns:
            Volume (T,), standard error (T,), text (T,), empty where there is a volume.
        """
        curve = PchipInterpolator(self.area, self.volume, extrapolate=False)
        first, last = self.area[[0, -1]]
        ends = f"the area is outside the curve, {first:g} to {last:g}"
        outside = (area < first) | (area > last)
        reason = np.where(np.isnan(area), "no area", np.where(outside, ends, ""))
        return curve(area), np.abs(curve.derivative()(area)) * se, reason
