"""A table of square cells as a map: one plane per column, and a picture of any table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.special import ndtri

from jido.geo import Band, Raster
from jido.indicators.table import IndicatorTable
from jido.io import replacing, write_image
from jido.io.style import ramp_qml
from jido.methods.figures.curves import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLANES = ("value", "lower", "upper", "coverage", "n")
RAMP = "viridis"
"""Colours that keep their order in grey and for the colour-blind (Smith and van der Walt 2015)."""

BOTH_SIDES = "RdBu"
"""Colours for what lies on both sides of a centre: red below, blue above (ColorBrewer, Harrower 2003)."""

EMPTY = "#D9D9D9"
SHOWN = (0.02, 0.98)
"""Quantiles between which colours change."""


def cell_raster(table: IndicatorTable) -> Raster | None:
    """The columns :data:`PLANES` on the grid of the cells; ``None`` when they are no squares of one grid."""
    left, bottom, right, top = shapely.bounds(table.cells.geometry).T
    side = float(np.median(right - left))
    size = np.column_stack([right - left, top - bottom])
    square = shapely.area(table.cells.geometry) > (1 - 1e-6) * side**2
    col, row = (left - left.min()) / side, (top.max() - top) / side
    on_grid = np.abs(np.column_stack([col, row]) % 1 - 0.5) > 0.5 - 1e-6
    if not (np.allclose(size, side, rtol=1e-6) and square.all() and on_grid.all()):
        return None
    at = np.rint(row).astype(int), np.rint(col).astype(int)
    shape = int(at[0].max()) + 1, int(at[1].max()) + 1
    data = np.full((len(PLANES), *shape), np.nan, dtype=np.float32)
    for plane, name in zip(data, PLANES, strict=True):
        plane[at] = getattr(table, name)
    place = Affine(side, 0, float(left.min()), 0, -side, float(top.max()))
    units = (table.sheet.unit,) * 3 + ("share", "pixels")
    bands = tuple(Band(name, unit=unit) for name, unit in zip(PLANES, units, strict=True))
    return Raster(data, bands, GeoBox(shape, place, table.cells.crs))


def write_map(table: IndicatorTable, stem: Path, *, centre: float | None = None) -> list[Path]:
    """``STEM.tif`` with its colours in ``STEM.qml``; nothing when the cells are no grid.

    Args:
        table: by cell.
        stem: path without suffix.
        centre: value at which colours change side, 0 for a change; without it they run one way.

    Raises:
        OutputError: when the place cannot be written.
    """
    raster = cell_raster(table)
    if raster is None:
        return []
    target = stem.with_name(f"{stem.name}.tif")
    write_image(raster, target)
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = _limits(table.value, centre)
    ramp, at = colormaps[_ramp(centre)], np.linspace(0, 1, 9)
    colours = {float(low + step * (high - low)): to_hex(ramp(step)) for step in at}
    style = target.with_suffix(".qml")
    with replacing(style) as fresh:
        fresh.write_text(ramp_qml(colours, band=1), encoding="utf-8")
    return [target, style]


def draw_table(table: IndicatorTable, target: Path, *, centre: float | None = None) -> Path:
    """A picture of a table: the value, and how uncertain it is; empty cells grey.

    Of a table that claims no standard error but has bounds, the second panel shows half of what lies between
    these.

    Args:
        table: by cell.
        target: the file.
        centre: as for :func:`write_map`.

    Raises:
        OutputError: when the place cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    one, two = figure.subplots(1, 2, sharex=True, sharey=True)
    unit = table.sheet.unit
    name = table.sheet.indicator
    said = name.lower().endswith(f"({unit.lower()})")  # green (share)
    _draw(one, table, table.value, name if said else f"{name}, {unit}", _ramp(centre), centre)
    half, what = _half_width(table)
    _draw(two, table, half, f"half {what}, {unit}", "cividis")
    empty = int(table.empty.sum())
    cells = f"{len(table.cells)} cells ({table.cells.kind}), {empty} empty (grey)"
    figure.suptitle(f"{cells} · {_when(table.sheet.dates)}", fontsize=10)
    return save(figure, target)


def _half_width(table: IndicatorTable) -> tuple[np.ndarray, str]:
    """How uncertain each cell is (n,), and in words what that is."""
    if not np.isfinite(table.se).any() and np.isfinite(table.upper - table.lower).any():
        return (table.upper - table.lower) / 2, "of upper - lower (no standard error)"
    half = table.se * ndtri((1 + table.sheet.level) / 2)  # not cut where a share ends
    return half, f"the width of the {table.sheet.level:.0%} interval"


def _when(days: Sequence[str]) -> str:
    if not days:
        return "day not known"
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}, {len(days)} dates"


def _ramp(centre: float | None) -> str:
    return RAMP if centre is None else BOTH_SIDES


def _limits(values: np.ndarray, centre: float | None = None) -> tuple[float, float]:
    """Ends of the colours; as far below a centre as above it."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (0.0, 1.0) if centre is None else (centre - 1, centre + 1)
    low, high = (float(limit) for limit in np.quantile(known, SHOWN))
    if centre is not None:
        reach = max(abs(low - centre), abs(high - centre))
        low, high = centre - reach, centre + reach
    if high > low:
        return low, high
    return (low, low + 1) if centre is None else (low - 0.5, low + 0.5)


def _draw(
    axes: Axes, table: IndicatorTable, values: np.ndarray, title: str, ramp: str, centre: float | None = None
) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    paths = [
        Outline.make_compound_path(
            *(Outline(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shapely.get_parts(shape)))
        )
        for shape in table.cells.geometry
    ]
    low, high = _limits(values, centre)
    seen = np.isfinite(values)
    outlines = {kind: [p for p, v in zip(paths, seen, strict=True) if v == kind] for kind in (False, True)}
    axes.add_collection(PathCollection(outlines[False], color=EMPTY))
    drawn = PathCollection(outlines[True], array=values[seen], cmap=ramp, linewidths=0)
    drawn.set_clim(low, high)
    axes.add_collection(drawn)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=7)
    axes.ticklabel_format(style="plain", useOffset=False)
    if seen.any():
        axes.figure.colorbar(drawn, ax=axes, shrink=0.8, extend="both")
    else:
        axes.text(0.5, 0.5, "none claimed", transform=axes.transAxes, ha="center")
