"""A water body in one picture: areas with their errors, trend, dry classes, the year to come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.errors import JidoError
from jido.indicators.water_series import (
    BLUEDOT,
    DRY_CLASSES,
    Observations,
    Rules,
    WaterSeries,
    dry_classes,
)
from jido.methods.figures.curves import COLOURS, save
from jido.stats.forecast import Forecast
from jido.stats.trend import Trend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRY_COLOURS = ("#FFFF00", "#FCD37F", "#FFAA00", "#E60000", "#730000")
"""Of D0 .. D4 on the maps of the U.S. Drought Monitor."""

WATER, TREND, AHEAD = COLOURS[0], "0.15", COLOURS[4]


def draw_lake(
    seen: Observations,
    series: WaterSeries,
    path: str | Path,
    *,
    rules: Rules = BLUEDOT,
    line: Trend | None = None,
    ahead: Forecast | None = None,
    row: int = 0,
    unit: str = "km²",
    title: str = "",
) -> Path:
    """Areas of one water body as PNG.

    Single dates are small dots, hollow where they do not count; values of the periods are large, with 95 %
    intervals; a cross at the foot is a period without a value. Bands are the dry classes that so many years
    can tell apart, the lowest one down to the foot of the axis; months, which have seasons, have none.

    Args:
        seen: observations of this and perhaps other bodies.
        series: made of them.
        path: of the PNG.
        rules: those of the series.
        line: its trend, over ``series.years``.
        ahead: forecast of the period after the last.
        row: of this body in the forecast.
        unit: of the areas.
        title: the name of the body when empty.

    Raises:
        JidoError: when the series has no value at all.
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    if not np.isfinite(series.value).any():
        raise JidoError(f"There is nothing to draw of {series.body!r}: {series.reason[0]} in every period.")
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    axis = figure.subplots()
    step = 1 / 12 if series.periods.dtype == "datetime64[M]" else 1.0
    middle = series.years + step / 2
    _values(axis, series, middle)
    _dates(axis, seen, series, rules)
    if line is not None and np.isfinite(line.slope):
        label = f"Sen's slope {line.slope:+.3g} {unit} a year (p = {line.p:.2g})"
        axis.plot(middle, line.line(series.years), color=TREND, linewidth=1.2, linestyle="--", label=label)
    if ahead is not None and np.isfinite(ahead.value[row]):
        _fan(axis, series, ahead, row, middle[-1] + step)
    axis.set_ylim(bottom=max(axis.get_ylim()[0], 0))  # a line may fall below 0, no area does
    if step == 1:
        _bands(axis, series)
    _empty(axis, series, middle)
    axis.set_ylabel(f"water ({unit})")
    axis.set_title(title or series.body, loc="left", fontsize=11)
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    handles, names = axis.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: not names[i].startswith(series.statistic))
    handles, names = [handles[i] for i in order], [names[i] for i in order]
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return save(figure, Path(path))


def _dates(axis: Axes, seen: Observations, series: WaterSeries, rules: Rules) -> None:
    """Single dates, unless each period has just one, which is its value."""
    mine = (seen.body == series.body) & np.isfinite(seen.area)
    good = rules.refused(seen) == ""
    year = seen.dates.astype("datetime64[Y]")
    days = (seen.dates - year.astype("datetime64[D]")).astype(np.int64)
    time = 1970 + year.astype(np.int64) + days / 365.25
    hollow, filled = mine & ~good, mine & good
    if series.dates.max() > 1:
        axis.plot(
            time[filled], seen.area[filled], ".", color=WATER, markersize=4, alpha=0.45, label="valid date"
        )
    if hollow.any():
        style: dict[str, Any] = {"color": "0.45", "markerfacecolor": "none", "markeredgewidth": 0.7}
        label = "date that does not count"
        axis.plot(time[hollow], seen.area[hollow], "o", markersize=3.5, label=label, **style)


def _values(axis: Axes, series: WaterSeries, middle: np.ndarray) -> None:
    lower, upper = series.interval()
    arms = np.nan_to_num([series.value - lower, upper - series.value])
    claimed = np.isfinite(series.se) & (series.se > 0)
    every = "year" if series.periods.dtype == "datetime64[Y]" else "month"
    words = ", 95 % interval" if claimed.any() else ""
    axis.errorbar(
        middle,
        series.value,
        yerr=arms if claimed.any() else None,
        color=WATER,
        marker="o",
        markersize=5,
        linewidth=1.1,
        elinewidth=1,
        capsize=2.5,
        label=f"{series.statistic} of the {every}{words}",
    )


def _fan(axis: Axes, series: WaterSeries, ahead: Forecast, row: int, time: float) -> None:
    """From the last value to the ends of each interval, the widest one palest."""
    last = np.flatnonzero(np.isfinite(series.value))[-1]
    step = series.years[-1] - series.years[-2]
    since, start, value = time - step * (len(series.value) - last), series.value[last], ahead.value[row]
    for number, level in enumerate(sorted(ahead.lower, reverse=True)):
        lower, upper = ahead.lower[level][row], ahead.upper[level][row]
        if np.isfinite(lower):
            axis.fill(
                [since, time, time],
                [start, upper, lower],
                color=AHEAD,
                alpha=0.18 + 0.17 * number,
                linewidth=0,
                label=f"forecast, {100 * level:g} %",
            )
    axis.plot([since, time], [start, value], color=AHEAD, linewidth=1.2)
    axis.plot(time, value, "D", color=AHEAD, markersize=5, label=f"forecast by {ahead.method}")


def _bands(axis: Axes, series: WaterSeries) -> None:
    """Dry classes down to the finest, named at the right; nothing when all values are the same."""
    known = series.value[np.isfinite(series.value)]
    finest = dry_classes(known).finest
    names = [name for name, _ in DRY_CLASSES if name <= finest]
    ends = [float(np.quantile(known, highest / 100, method="weibull")) for _, highest in DRY_CLASSES]
    low, high = axis.get_ylim()
    axis.set_ylim(low, high)
    if known.min() == known.max():
        return
    for number, name in enumerate(names):
        foot = low if name == finest else ends[number + 1]
        if not ends[number] > foot:
            continue
        axis.axhspan(foot, ends[number], color=DRY_COLOURS[number], alpha=0.3, linewidth=0, zorder=0)
        if (ends[number] - foot) / (high - low) > 0.02:  # room for its name
            middle, place = (foot + ends[number]) / 2, axis.get_yaxis_transform()
            axis.text(1.005, middle, name, transform=place, va="center", fontsize=7.5, color="0.3")


def _empty(axis: Axes, series: WaterSeries, middle: np.ndarray) -> None:
    empty = np.isnan(series.value)
    if empty.any():
        foot = axis.get_xaxis_transform()
        axis.plot(
            middle[empty],
            np.full(empty.sum(), 0.02),
            "x",
            transform=foot,
            color="0.35",
            markersize=5,
            label="no value",
        )
