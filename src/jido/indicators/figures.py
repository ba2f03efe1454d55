"""Pictures of green and happiness: bubbles on a map with an inset, and the lines of two halves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from jido.errors import JidoError
from jido.indicators.green_study import CountryTable
from jido.methods.figures.curves import COLOURS, MARKS, STYLES, save
from jido.stats.regression import Resampling, Rows, moments, slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

EUROPE = (-12.0, 34.0, 42.0, 70.5)
"""Degrees (left, bottom, right, top) of the inset: so narrow that it lies in the Pacific as a whole."""

LAND, EDGE, SEA = "#e4e2de", "#ffffff", "#f7f9fa"
"""Grey that leaves green to the bubbles."""

POINTS_PER_UNIT = 2.2
"""Diameter of a bubble on the world map in points for each unit of size."""

CLOSER = 1.25
"""How much larger bubbles are in the inset."""


def bubble_map(
    lon: np.ndarray,
    lat: np.ndarray,
    colour: np.ndarray,
    size: np.ndarray,
    path: str | Path,
    *,
    colour_name: str = "green",
    size_name: str = "happiness",
    inset: tuple[float, float, float, float] | None = EUROPE,
    outlines: np.ndarray | None = None,
    note: str = "",
) -> Path:
    """Bubbles on a map of the world as PNG: the figure of the talk, green as colour, happiness as size.

    The diameter is proportional to ``size``, from 0, so twice as happy is twice as wide. Small bubbles lie
    on large ones. The colours grow darker evenly, so they can be told apart without seeing green. Rows
    with a NaN are left out. Degrees are drawn as they are (plate carrée), in the inset stretched so that
    shapes in its middle are right.

    Args:
        lon: degrees east (n,).
        lat: degrees north (n,).
        colour: such as a share of green (n,).
        size: above 0, such as a happiness score (n,).
        path: of the PNG.
        colour_name: in the legend.
        size_name: in the legend.
        inset: left, bottom, right, top in degrees of the part that is drawn again, below on the left.
        outlines: polygons in degrees that are drawn beneath.
        note: a line below the map: source, year, what is left out.

    Raises:
        JidoError: when no row is complete, lengths differ, or a place is no degree.
        OutputError: when the file cannot be written.
    """
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    rows = _bubbles(lon, lat, colour, size)
    scale, shades = Normalize(rows[:, 2].min(), rows[:, 2].max()), _greens()
    figure = Figure(figsize=(13, 7))
    world = figure.add_axes((0.015, 0.268, 0.97, 0.72))
    _draw_map(world, rows, outlines, scale, shades, POINTS_PER_UNIT)
    world.set(xlim=(-180, 180), ylim=(-60, 84), aspect="equal")
    if inset is not None:
        left, bottom, right, top = inset
        small = figure.add_axes((0.018, 0.03, 0.255, 0.52), zorder=3)
        _draw_map(small, rows, outlines, scale, shades, POINTS_PER_UNIT * CLOSER)
        stretch = 1 / np.cos(np.deg2rad((bottom + top) / 2))
        small.set(xlim=(left, right), ylim=(bottom, top), aspect=stretch, anchor="SW")
        x, y = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        world.plot(x, y, color="0.25", linewidth=0.8, zorder=2)
    _legends(figure, rows, scale, shades, (colour_name, size_name))
    figure.text(0.985, 0.015, note, ha="right", va="bottom", fontsize=8, color="0.35")
    return save(figure, Path(path))


def _bubbles(*columns: np.ndarray) -> np.ndarray:
    """Complete rows (n, 4): longitude, latitude, colour, size; the largest first."""
    if len({np.shape(part) for part in columns}) != 1:
        raise JidoError(f"Longitude, latitude, colour and size have {[len(part) for part in columns]} rows.")
    rows = np.stack(columns, axis=1).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise JidoError("No row has longitude, latitude, colour and size: there is nothing to draw.")
    if (np.abs(rows[:, :2]) > (180, 90)).any() or (rows[:, 3] <= 0).any():
        raise JidoError(
            "A place lies beyond 180 degrees of longitude or 90 of latitude, or a size is not above 0."
        )
    return np.asarray(rows[np.argsort(-rows[:, 3], kind="stable")])


def _greens() -> Colormap:
    """Yellow-green to dark green without the palest end, which white paper swallows."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("greens", colormaps["YlGn"](np.linspace(0.12, 1, 64)))


def _draw_map(
    axis: Axes, rows: np.ndarray, outlines: np.ndarray | None, scale: Normalize, shades: Colormap, unit: float
) -> None:
    from matplotlib.collections import PolyCollection

    axis.set_facecolor(SEA)
    for value in range(-150, 180, 30):
        axis.axvline(value, color="0.88", linewidth=0.5, zorder=0)
        axis.axhline(value / 2, color="0.88", linewidth=0.5, zorder=0)
    if outlines is not None:
        parts = shapely.get_parts(np.asarray(outlines, dtype=object))
        rings = [shapely.get_coordinates(shapely.get_exterior_ring(one)) for one in parts]
        axis.add_collection(
            PolyCollection(rings, facecolor=LAND, edgecolor=EDGE, linewidth=0.5, zorder=1), autolim=False
        )
    x, y, colour, size = rows.T
    axis.scatter(
        x,
        y,
        s=(size * unit) ** 2,
        c=colour,
        cmap=shades,
        norm=scale,
        edgecolor="0.15",
        linewidth=0.6,
        zorder=4,
    )
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set(color="0.25", linewidth=0.8)


def _legends(
    figure: Figure, rows: np.ndarray, scale: Normalize, shades: Colormap, names: tuple[str, str]
) -> None:
    """A bar of colours and a few bubbles below the map."""
    from matplotlib.cm import ScalarMappable

    bar = figure.add_axes((0.32, 0.13, 0.25, 0.022))
    figure.colorbar(ScalarMappable(scale, shades), cax=bar, orientation="horizontal")
    bar.set_title(names[0], fontsize=10, loc="left")
    bar.tick_params(labelsize=9)
    some = np.unique(np.round(np.quantile(rows[:, 3], [0, 0.5, 1]), 1))
    room = figure.add_axes((0.62, 0.07, 0.3, 0.12))
    room.set(xlim=(0, 1), ylim=(0, 1))
    room.axis("off")
    at = 0.12 + 0.28 * np.arange(len(some))
    room.scatter(
        at,
        np.full(len(some), 0.4),
        s=(some * POINTS_PER_UNIT) ** 2,
        c="0.75",
        edgecolor="0.15",
        linewidth=0.6,
    )
    for place, value in zip(at, some, strict=True):
        room.text(place + 0.055, 0.4, f"{value:g}", va="center", fontsize=9)
    room.text(0.06, 0.86, names[1], fontsize=10)


def scatter_study(
    table: CountryTable,
    path: str | Path,
    *,
    richest: int = 30,
    green_name: str = "green",
    gdp_name: str = "gdp a head, US$",
    label: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
) -> Path:
    """Happiness against green and against income, with a line and its 95 % band for each half, as PNG.

    Each line has one predictor, the other one is not held fixed; axes are logarithmic and lines straight
    in logarithms. Bands are pointwise, from countries drawn anew.

    Args:
        table: of countries; those that are not complete are left out.
        path: of the PNG.
        richest: countries of the first half.
        green_name: below its axis.
        gdp_name: below its axis.
        label: names of countries to write beside their points.
        draws: of the bootstrap.
        seed: of the draws.

    Raises:
        JidoError: when countries are too few.
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    used, rich = table.select(table.complete), table.richest(richest)[table.complete]
    figure = Figure(figsize=(11.5, 5.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    halves = {f"the {rich.sum()} richest": rich, f"the {(~rich).sum()} others": ~rich}
    for axis, column, name in zip(axes, (used.green, used.gdp), (green_name, gdp_name), strict=True):
        for number, (words, side) in enumerate(halves.items()):
            part = used.select(side)
            how = Resampling(weights=part.weights, groups=part.groups, draws=draws, seed=seed)
            _draw_half(axis, column[side], part.happiness, how, number=number, words=words)
        _logarithmic(axis, column, name)
        _label(axis, column, used, label)
    axes[0].set_ylabel("happiness")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return save(figure, Path(path))


def _draw_half(axis: Axes, x: np.ndarray, y: np.ndarray, how: Resampling, *, number: int, words: str) -> None:
    """Points, line and band of one half."""
    axis.scatter(
        x, y, s=26, color=COLOURS[number], marker=MARKS[number], alpha=0.75, linewidth=0, label=words
    )
    places = np.linspace(np.log(x.min()), np.log(x.max()), 40)
    value, lower, upper = _band(y, np.log(x), places, how)
    label = f"{words}: line and 95 % band"
    axis.plot(
        np.exp(places), value, color=COLOURS[number], linestyle=STYLES[number], linewidth=1.8, label=label
    )
    axis.fill_between(np.exp(places), lower, upper, color=COLOURS[number], alpha=0.15, linewidth=0)


def _label(axis: Axes, column: np.ndarray, table: CountryTable, names: Sequence[str]) -> None:
    """Names beside points, to the left of those on the right where the axis would cut them."""
    from matplotlib.patheffects import withStroke

    middle = np.sqrt(column.min() * column.max())
    for at in np.flatnonzero(np.isin(table.names, list(names))):
        side = 1 if column[at] < middle else -1
        axis.annotate(
            str(table.names[at]),
            (column[at], table.happiness[at]),
            xytext=(5 * side, 4),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            fontsize=8,
            color="0.2",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )


def _band(y: np.ndarray, x: np.ndarray, at: np.ndarray, how: Resampling) -> np.ndarray:
    """Value, lower and upper end (3, k) of the line through rows (n,) at places (k,)."""
    rows = Rows.complete(y, x, resampling=how)
    rows.require_different(("happiness", "predictor"))

    def statistic(weights: np.ndarray) -> np.ndarray:
        mean, cov = moments(weights, rows.values)
        return np.asarray(mean[:, :1] + slopes(cov, [1], 0) * (at - mean[:, 1:]))

    found = [(one["value"], one["lower"], one["upper"]) for one in rows.figures(statistic)]
    return np.array(found, dtype=np.float64).T


def _logarithmic(axis: Axes, column: np.ndarray, name: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, and more of them over less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    short = column.max() < 10 * column.min()
    axis.set(xscale="log", xlabel=name)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 6, 8) if short else (1, 2, 5)))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
