"""Heat in figures: differences of classes with intervals, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from jido.indicators.heat import (
    ClassHeat,
    reference_place,
)
from jido.indicators.table import IndicatorTable
from jido.labels import LandClass, lcz_scheme
from jido.stats import Figure, figure
from jido.stats.intervals import MIN_GROUPS

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from matplotlib.axes import Axes

NUMBER = 0.035
"""Room that a number takes in a picture of cells, in its longer side."""


def heat_rows(
    heat: ClassHeat, *, reference: str = "", level: float = 0.95, draws: int = 2000, seed: int = 0
) -> list[dict[str, Any]]:
    """Temperature and surface heat island of each class, by date and over all dates.

    Intervals are value +- t * standard error from redrawing whole groups: they speak of new groups like
    these. A difference takes both classes from the same draws, and the degrees of freedom of the one with
    fewer groups; with fewer than 5 none is claimed. Rows of ``all dates`` are means over the dates that
    show both, and speak of new dates too: what dates differ by beyond their own errors, / D, is added to
    the variance (two-way clusters: Cameron et al. 2011, doi 10.1198/jbes.2010.07136; Satterthwaite's t).

    Args:
        heat: by group.
        reference: label of the class to compare with; as :func:`~jido.indicators.heat.reference_place`.
        level: coverage aimed at.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Rows ``date``, ``class``, ``name``, ``reference``, ``kelvin`` and ``difference`` (figures in K),
        ``groups``, ``pixels``.
    """
    ref, groups, pixels = reference_place(heat, reference), heat.groups, heat.pixels
    point = heat.means(np.ones((1, len(heat.strata))))[0]
    drawn = heat.drawn(draws=draws, seed=seed)
    apart, far, kelvin_se = point - point[:, [ref]], drawn - drawn[:, :, [ref]], heat.errors(drawn)
    se, least = heat.errors(far), np.minimum(groups, groups[:, [ref]])
    freedom = least - 1.0
    if len(heat.dates) > 1:
        count = np.count_nonzero(heat.weight.any(axis=0), axis=0)
        mean, whole, free = _over_dates(heat, apart, far, se, np.minimum(count, count[ref]))
        apart, se, freedom = np.vstack([apart, mean]), np.vstack([se, whole]), np.vstack([freedom, free])
        groups, pixels = np.vstack([groups, count]), np.vstack([pixels, pixels.sum(axis=0)])
        point, kelvin_se = (np.vstack([part, np.full(len(count), np.nan)]) for part in (point, kelvin_se))
    kelvin = _figures(point, kelvin_se, groups - 1.0, groups, level)
    difference = _figures(apart, se, freedom, np.minimum(groups, groups[:, [ref]]), level)
    return [
        {
            "date": [*heat.dates, "all dates"][d],
            "class": heat.scheme.classes[c].label,
            "name": heat.scheme.classes[c].name,
            "reference": heat.scheme.classes[ref].label,
            "kelvin": kelvin[d][c],
            "difference": difference[d][c],
            "groups": int(n),
            "pixels": int(pixels[d, c]),
        }
        for (d, c), n in np.ndenumerate(groups)
        if n
    ]


def _over_dates(
    heat: ClassHeat, apart: np.ndarray, far: np.ndarray, se: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over dates, its standard error and degrees of freedom, (K,), from (D, K) and draws of it."""
    known = np.isfinite(apart)
    days = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known.any(axis=0), np.where(known, apart, 0).sum(axis=0) / days, np.nan)
    fixed = heat.errors(np.where(known, far, 0).sum(axis=1) / days) ** 2
    total = (np.where(known, apart - mean, 0) ** 2).sum(axis=0) / np.maximum(days - 1, 1)
    own = (np.where(known, se, 0) ** 2).sum(axis=0) / days
    among = np.where(days > 1, np.maximum(total - own, 0) / days, np.nan)
    parts = fixed**2 / np.maximum(groups - 1, 1) + among**2 / np.maximum(days - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean, np.sqrt(fixed + among), (fixed + among) ** 2 / parts


def _figures(
    value: np.ndarray, se: np.ndarray, freedom: np.ndarray, groups: np.ndarray, level: float
) -> list[list[Figure]]:
    """Values (D, K) with their intervals; none from too few groups, or where all draws agree."""
    claimed = np.where((groups >= MIN_GROUPS) & (se > 1e-9), se, np.nan)
    half = claimed * stdtrit(np.maximum(np.nan_to_num(freedom), 1), (1 + level) / 2)
    lines = zip(value, value - half, value + half, strict=True)
    return [[figure(*ends) for ends in zip(*line, strict=True)] for line in lines]


def draw_classes(
    tables: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path, *, of: str = "kelvin"
) -> Path:
    """Temperature, or difference, of each class with its interval, a panel for each date, as PNG.

    Args:
        tables: what the classes come from (``polygons``, ``map``) -> rows of :func:`heat_rows`.
        path: of the PNG.
        of: ``kelvin`` or ``difference``.

    Raises:
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    from jido.methods.figures.curves import save

    rows = [row for table in tables.values() for row in table if row[of]["value"] is not None]
    dates = list(dict.fromkeys(row["date"] for row in rows))
    classes = [c for c in lcz_scheme().classes if any(row["class"] == c.label for row in rows)]
    lines, across = -(-len(dates) // 2), min(len(dates), 2)
    picture = Canvas(figsize=(5.8 * across, 0.9 + 2.9 * lines), layout="constrained")
    axes = picture.subplots(lines, across, squeeze=False, sharey=of == "difference").ravel()
    for axis, date in zip(axes, dates, strict=False):
        for number, table in enumerate(tables.values()):
            aside = 0.3 * (number - (len(tables) - 1) / 2)
            part = {row["class"]: row[of] for row in table if row["date"] == date}
            _points(axis, part, classes, aside=aside, mark="os^D"[number % 4])
        axis.set_title(date, fontsize=10)
        axis.set_xticks(range(len(classes)), [c.label for c in classes])
        axis.set_xlim(-0.6, len(classes) - 0.4)
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        if of == "difference":
            axis.axhline(0, color="0.3", linewidth=0.8)
    for axis in axes[len(dates) :]:
        axis.remove()
    words = {"kelvin": "temperature (K)", "difference": f"warmer than LCZ {rows[0]['reference']} (K)"}
    picture.supylabel(words[of], fontsize=10)
    picture.supxlabel("Local Climate Zone; bars: 95 % interval, none where it is not claimed", fontsize=9)
    if len(tables) > 1:
        for number, name in enumerate(tables):
            axes[0].plot([], [], "os^D"[number % 4], color="0.6", markeredgecolor="0.2", label=name)
        picture.legend(loc="outside upper center", ncols=len(tables), frameon=False, fontsize=9)
    return save(picture, Path(path))


def _points(
    axis: Axes, figures: Mapping[str, Figure], classes: Sequence[LandClass], *, aside: float, mark: str
) -> None:
    """A point in the colour of each class, and a bar where an interval is claimed."""
    for place, land in enumerate(classes):
        found = figures.get(land.label)
        if found is None or found["value"] is None:
            continue
        if found["lower"] is not None and found["upper"] is not None:
            ends = [found["lower"], found["upper"]]
            axis.plot(
                [place + aside] * 2, ends, color="0.25", linewidth=1.2, zorder=2, marker="_", markersize=5
            )
        axis.plot(
            place + aside,
            found["value"],
            mark,
            color=land.color,
            markeredgecolor="0.15",
            markersize=7,
            zorder=3,
        )


def draw_shade(table: IndicatorTable, path: str | Path, *, named: int = 10) -> Path:
    """Two maps of a shade table as PNG: how hot cells are, and how surely they are among the first.

    Args:
        table: of :func:`shade_table`.
        path: of the PNG.
        named: first cells that are outlined and numbered.

    Raises:
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    from jido.methods.figures.curves import save

    frame = table.to_geodataframe()
    picture = Canvas(figsize=(12, 5.6), layout="constrained")
    hot, sure = picture.subplots(1, 2)
    grey = {"color": "0.88"}
    frame.plot("value", ax=hot, cmap="magma", legend=True, missing_kwds=grey, legend_kwds={"shrink": 0.75})
    hot.set_title("Warmer than the reference class (K)", fontsize=10)
    options = {"cmap": "YlOrRd", "vmin": 0, "vmax": 1, "legend_kwds": {"shrink": 0.75}}
    frame.plot("top_share", ax=sure, legend=True, missing_kwds=grey, **options)
    sure.set_title("Share of draws in which a cell is among the first", fontsize=10)
    first = frame[frame["rank"] <= named].sort_values("rank")
    for axis in (hot, sure):
        if len(first):
            first.boundary.plot(ax=axis, color="#00B7EB", linewidth=1.6)
        _number(axis, first)
        axis.set_axis_off()
        axis.set_aspect("equal")
    picture.supxlabel(
        f"Outlined: the first {len(first)} cells to shade. Grey: not seen, or no rank", fontsize=9
    )
    return save(picture, Path(path))


def _number(axis: Axes, first: GeoDataFrame) -> None:
    """The rank of each cell in it, or beside it with a line where numbers would lie on each other."""
    if not len(first):
        return
    points = first.geometry.representative_point()
    at = np.column_stack([points.x, points.y])
    left, right, bottom, top = *axis.get_xlim(), *axis.get_ylim()
    moved = spread(at, NUMBER * max(right - left, top - bottom))
    for rank, place, words_at in zip(first["rank"], at, moved, strict=True):
        words = axis.annotate(
            f"{rank:.0f}", place, xytext=words_at, ha="center", va="center", fontsize=7,
            arrowprops=None if (place == words_at).all() else {"arrowstyle": "-", "linewidth": 0.6},
        )  # fmt: skip
        words.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})


def spread(points: np.ndarray, gap: float) -> np.ndarray:
    """Places for labels no nearer to each other than a gap, each as near to its point as is left, (n, 2).

    One after another: the point itself if it is free, else the nearest free one of 12 directions on rings
    around it.

    Args:
        points: (n, 2), the first ones come first.
        gap: least distance, in their unit.
    """
    turn = np.arange(12) * np.pi / 6
    round_ = np.column_stack([np.cos(turn), np.sin(turn)])
    rings = [np.zeros((1, 2)), *(1.01 * gap * size * round_ for size in range(1, len(points) + 1))]
    offsets, found = np.concatenate(rings), np.empty((0, 2))
    for point in points:
        places = point + offsets
        apart = np.hypot(*(places[:, None] - found).transpose(2, 0, 1))
        free = (apart >= gap).all(axis=1)
        found = np.vstack([found, places[free.argmax()]])
    return found
