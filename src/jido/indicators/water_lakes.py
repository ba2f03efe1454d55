"""Water bodies over many dates: one row for each with its last area, level, trend, change and forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import JidoError
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable, indicator_table
from jido.indicators.water_areas import with_levels
from jido.indicators.water_figures import draw_lake
from jido.indicators.water_scene import WaterDates
from jido.indicators.water_series import (
    BLUEDOT,
    HypsometricCurve,
    Observations,
    Rules,
    WaterSeries,
    dry_classes,
    water_series,
)
from jido.stats.forecast import Forecast, forecast
from jido.stats.trend import MIN_YEARS, Trend, change_since, trend

FORECAST_YEARS = 8
"""Years from which on a forecast of the next one is made: fewer cannot say how far it errs."""

CORRECTION = "lag1"
"""Of the trend test, for years that are like the one before."""


@dataclass(frozen=True)
class LakeRules:
    """How dates become a series.

    Args:
        every: ``month`` or ``year``.
        statistic: ``median`` or ``max`` of the valid dates.
        rules: which dates count.
        baseline: first and last year of the baseline of SDG 6.6.1.
        period: years held against it; the last five without it.
    """

    every: str = "year"
    statistic: str = "median"
    rules: Rules = BLUEDOT
    baseline: tuple[int, int] = (2000, 2004)
    period: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Lake:
    """A water body over time; what too few valid dates cannot tell is ``None``."""

    name: str
    series: WaterSeries | None
    line: Trend | None
    ahead: Forecast | None
    reason: str


def observations(found: WaterDates) -> Observations:
    """A row for each body and date; what is not cloud and was not seen lowers the coverage."""
    days, bodies = len(found.days), len(found.bodies)
    coverage = found.column("coverage")
    return Observations(
        dates=np.repeat(np.array(found.days, dtype="datetime64[D]"), bodies),
        body=np.tile(found.bodies.ids.astype(str), days),
        area=found.column("area_m2").ravel(),
        se=found.column("se").ravel(),
        coverage=np.minimum(coverage + found.cloud, 1).ravel(),
        cloud=found.cloud.ravel(),
    )


def lakes(seen: Observations, names: list[str], how: LakeRules) -> list[Lake]:
    """The series of every body, its trend and what the next year may bring."""
    return [_lake(seen, name, how) for name in names]


def _lake(seen: Observations, name: str, how: LakeRules) -> Lake:
    try:
        series = water_series(seen, name, every=how.every, statistic=how.statistic, rules=how.rules)
    except JidoError as err:
        return Lake(name, None, None, None, str(err))
    known = np.isfinite(series.value)
    if not known.any():
        return Lake(name, None, None, None, str(series.reason[0]))
    line = ahead = None
    if known.sum() >= MIN_YEARS:
        line = trend(series.years, series.value, correction=CORRECTION)
    if how.every == "year" and known.sum() >= FORECAST_YEARS and known[-1]:
        ahead = forecast(series.value[None], lowest=0.0)
    return Lake(name, series, line, ahead, "")


def lake_table(
    found: WaterDates,
    series: list[Lake],
    seen: Observations,
    how: LakeRules,
    *,
    sheet: MethodSheet,
    nominal: Mapping[str, float],
    curves: Mapping[str, HypsometricCurve],
) -> IndicatorTable:
    """A row for each body: the area of its last period with a valid date, in m².

    Columns: ``period`` of the value; ``level`` = area / nominal area with its bounds; ``slope`` (Sen's, m² a
    year) with bounds and ``trend_p`` (Mann-Kendall); ``change_percent`` (SDG 6.6.1) with bounds;
    ``dry_class`` and its ``percentile``; ``forecast`` of the next year with bounds; ``volume`` with its
    ``volume_se``; ``valid_dates``; ``reason`` why a body is empty.

    Args:
        found: of the images.
        series: of :func:`lakes`.
        seen: of :func:`observations`.
        how: rules of the series.
        sheet: how water was measured.
        nominal: body -> area at nominal level, m².
        curves: body -> hypsometric curve, areas in m².

    Raises:
        JidoError: when a nominal area or a curve is of no body, or an area is not above 0.
    """
    _require_known(nominal, found, "nominal area")
    _require_known(curves, found, "hypsometric curve")
    if bad := [name for name, area in nominal.items() if not area > 0]:
        raise JidoError(f"The nominal area of {bad[0]!r} is {nominal[bad[0]]:g}: give square metres above 0.")
    rows = [_row(lake, how, nominal.get(lake.name, np.nan), curves.get(lake.name)) for lake in series]
    value, se = (np.array([row.pop(name) for row in rows], dtype=np.float64) for name in ("value", "se"))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    last = np.array([_last(seen, lake) for lake in series])
    table = indicator_table(
        found.bodies,
        value,
        se,
        coverage=last,
        n=found.column("n").max(axis=0),
        sheet=sheet,
        bounds=(0.0, np.inf),
        columns=columns,
    )
    return with_levels(table)


def _last(seen: Observations, lake: Lake) -> float:
    """Highest coverage of the body on a date of the period of its value, clouds left out."""
    if lake.series is None:
        return 0.0
    place = int(np.flatnonzero(np.isfinite(lake.series.value))[-1])
    period = lake.series.periods[place]
    mine = (seen.body == lake.name) & (seen.dates.astype(lake.series.periods.dtype) == period)
    return float(np.nanmax((seen.coverage - seen.cloud)[mine]))


def _row(lake: Lake, how: LakeRules, nominal: float, curve: HypsometricCurve | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("value", "se", "slope", "slope_lower", "slope_upper", "trend_p", "change_percent", "change_lower",
         "change_upper", "percentile", "forecast", "forecast_lower", "forecast_upper", "volume", "volume_se"),
        np.nan,
    )  # fmt: skip
    row |= {"nominal_m2": nominal, "valid_dates": 0.0, "period": "", "dry_class": "", "reason": lake.reason}
    series = lake.series
    if series is None:
        return row
    last = int(np.flatnonzero(np.isfinite(series.value))[-1])
    row |= {"value": series.value[last], "se": series.se[last], "period": str(series.periods[last])}
    row["valid_dates"] = float(series.valid.sum())
    if lake.line is not None:
        line = lake.line
        row |= {"slope": line.slope, "slope_lower": line.lower, "slope_upper": line.upper, "trend_p": line.p}
    if how.every == "year":
        row |= _of_years(series, how, last)
    if lake.ahead is not None:
        lower, upper = (float(part[0.95][0]) for part in (lake.ahead.lower, lake.ahead.upper))
        row |= {"forecast": lake.ahead.value[0], "forecast_lower": lower, "forecast_upper": upper}
    if curve is not None:
        volume, se, _ = curve.stored(series.value[[last]], series.se[[last]])
        row |= {"volume": volume[0], "volume_se": se[0]}
    return row


def _of_years(series: WaterSeries, how: LakeRules, last: int) -> dict[str, Any]:
    """Change since the baseline and dryness of the last year."""
    years = series.periods.astype("datetime64[Y]").astype(int) + 1970
    final = int(years[last])
    change = change_since(
        years,
        series.value,
        baseline=how.baseline,
        period=how.period or (max(final - 4, how.baseline[1] + 1), final),
    )
    dry = dry_classes(series.value)
    return {
        "change_percent": change.value,
        "change_lower": change.lower,
        "change_upper": change.upper,
        "percentile": dry.percentile[last],
        "dry_class": str(dry.label[last]),
    }


def _require_known(given: Mapping[str, object], found: WaterDates, what: str) -> None:
    known = set(found.bodies.ids)
    if lost := [name for name in given if name not in known]:
        raise JidoError(
            f"A {what} was given for {lost[0]!r}, but there is no such water body; the first is "
            f"{found.bodies.ids[0]!r}: use the same ids."
        )


def date_rows(found: WaterDates, seen: Observations, how: LakeRules) -> list[dict[str, Any]]:
    """A row for each body and date: area with interval, coverage, clouds, and why a date does not count."""
    refused = how.rules.refused(seen)
    return [
        {
            "id": str(seen.body[i]),
            "date": str(seen.dates[i]),
            "value": seen.area[i],
            "lower": max(seen.area[i] - 1.96 * seen.se[i], 0.0),
            "upper": seen.area[i] + 1.96 * seen.se[i],
            "se": seen.se[i],
            "seen": seen.coverage[i] - seen.cloud[i],
            "cloud": seen.cloud[i],
            "reason": str(refused[i]),
        }
        for i in range(len(seen.area))
    ]


def draw_lakes(
    series: list[Lake], seen: Observations, stem: Path, *, rules: Rules, most: int = 12
) -> list[Path]:
    """A picture of each body with a trend, of at most so many; ids that are no file names are numbered."""
    files: list[Path] = []
    for number, lake in enumerate(series, start=1):
        if lake.series is None or lake.line is None or len(files) == most:
            continue
        named = lake.name if lake.name.replace("-", "").replace("_", "").isalnum() else str(number)
        target = stem.with_name(f"{stem.name}.{named}.png")
        shown: dict[str, Any] = {"rules": rules, "line": lake.line, "ahead": lake.ahead, "unit": "m²"}
        files.append(draw_lake(seen, lake.series, target, **shown))
    return files
