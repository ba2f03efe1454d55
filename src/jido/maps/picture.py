"""Pictures of a map for its reports: classes with a legend, folds, points that were looked at."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import rasterio
import shapely
from odc.geo import CRS
from rasterio.errors import NotGeoreferencedWarning

from jido.labels import ClassScheme, Labels, LandClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = 1200
"""Longest side of the map picture in pixels."""

NOTHING = 255
"""What stands for no data in a picture; no class has it."""

HIGH = 6.0
"""Height in inches of the map alone."""

LEGEND = 3.3
"""Width in inches of its legend."""


class Picture(NamedTuple):
    """A map made small enough to look at.

    Args:
        codes: uint8 (y, x), class codes.
        extent: left, right, bottom, top.
        crs: ``None`` where the map has no place on Earth.
        band: name of the band.
    """

    codes: np.ndarray
    extent: tuple[float, float, float, float]
    crs: CRS | None
    band: str


def read_picture(path: str | Path, band: int | None = None) -> Picture:
    """A class band of a map; without ``band`` the one to look at: ``lczFilter``, else the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map of a plain image
        source = rasterio.open(path)
    with source:
        shrink = max(max(source.shape) / PICTURE, 1)
        shape = tuple(max(int(n / shrink), 1) for n in source.shape)
        chosen = band or (2 if source.descriptions[0] == "lcz" else 1)
        left, bottom, right, top = source.bounds
        codes = np.nan_to_num(source.read(chosen, out_shape=shape), nan=NOTHING)
        return Picture(
            codes=np.clip(codes, 0, NOTHING).astype(np.uint8),
            extent=(left, right, bottom, top),
            crs=CRS(source.crs.to_wkt()) if source.crs else None,
            band=source.descriptions[chosen - 1] or "",
        )


def draw_map(
    picture: Picture, scheme: ClassScheme, *, labels: Labels | None = None, polygons: Sequence[Any] = ()
) -> Figure:
    """The class map and, on the right, which fold judged which polygon.

    Args:
        picture: the map.
        scheme: its classes.
        labels: what it was trained on.
        polygons: rows of :func:`~jido.methods.judging.polygon_agreement`.
    """
    from matplotlib.figure import Figure

    panels = 2 if labels and polygons and picture.crs else 1
    canvas = Figure(figsize=(7 * panels, 6.4))
    axes = canvas.subplots(1, panels, sharex=True, sharey=True, squeeze=False)[0]
    show(axes[0], picture, scheme)
    axes[0].set_title("Map" + (" (lczFilter)" if picture.band == "lczFilter" else ""))
    if panels == 2 and labels:
        draw_folds(axes[1], picture, scheme, labels, polygons)
    canvas.tight_layout()
    return canvas


def show(axis: Axes, picture: Picture, scheme: ClassScheme, *, alpha: float = 1.0) -> None:
    """The classes in their colours."""
    colours = np.zeros((256, 4), dtype=np.uint8)
    colours[list(scheme.codes)] = list(scheme.palette.values())
    axis.imshow(colours[picture.codes], extent=picture.extent, interpolation="nearest", alpha=alpha)
    left, right, bottom, top = picture.extent
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    axis.ticklabel_format(useOffset=False, style="plain")
    axis.tick_params(labelsize=7)


def draw_folds(
    axis: Axes, picture: Picture, scheme: ClassScheme, labels: Labels, polygons: Sequence[Any]
) -> None:
    """Training polygons over a pale map."""
    show(axis, picture, scheme, alpha=0.25)
    axis.set_title("Training polygons, coloured by the fold that judged them")
    here = labels.to_crs(picture.crs)
    for row in polygons:
        for part in shapely.get_parts(here.geometry[row["item"]]):
            if part.geom_type == "Polygon":
                axis.fill(*part.exterior.xy, color=f"C{row['fold']}", alpha=0.8, lw=0)
            else:
                axis.plot(*part.xy, ".", color=f"C{row['fold']}")


def folds_figure(picture: Picture, scheme: ClassScheme, labels: Labels, polygons: Sequence[Any]) -> Figure:
    """:func:`draw_folds` alone."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(7, 5.6), layout="constrained")
    draw_folds(canvas.subplots(), picture, scheme, labels, polygons)
    return canvas


def map_figure(
    picture: Picture, scheme: ClassScheme, *, xy: np.ndarray | None = None, right: np.ndarray | None = None
) -> Figure:
    """The map with a legend of the classes in it, and the points of a sample.

    Args:
        picture: the map.
        scheme: its classes.
        xy: (n, 2) points in the CRS of the map.
        right: (n,) bool, where the map was right.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    left, right_end, bottom, top = picture.extent
    across = np.clip(HIGH * (right_end - left) / abs(top - bottom), HIGH / 2, 2 * HIGH)
    canvas = Figure(figsize=(across + LEGEND, HIGH), layout="constrained")
    axis = canvas.subplots()
    show(axis, picture, scheme)
    there = set(np.unique(picture.codes).tolist())
    classes = [c for c in scheme.classes if c.code in there]
    handles: list[Any] = [
        Patch(facecolor=c.color, edgecolor="0.4", linewidth=0.5, label=full_name(c)) for c in classes
    ]
    if xy is not None and right is not None:
        handles += _points(axis, xy, right)
    canvas.legend(handles=handles, loc="outside right upper", fontsize=11, frameon=False)
    axis.tick_params(labelsize=9)
    return canvas


def _points(axis: Axes, xy: np.ndarray, right: np.ndarray) -> list[Any]:
    """Points in black and white, which are told apart without colours."""
    size = np.clip(9000 / len(xy), 8, 40)
    kinds = ((right, "o", 0.5, "point where the map is right"), (~right, "X", 1.5, "point where it is wrong"))
    return [
        axis.scatter(
            xy[which, 0],
            xy[which, 1],
            marker=marker,
            s=times * size,
            c="black",
            edgecolors="white",
            linewidths=0.6,
            label=name,
        )
        for which, marker, times, name in kinds
    ]


def full_name(cls: LandClass) -> str:
    """Label and name of a class; once where both are the same."""
    return " ".join(dict.fromkeys([cls.label, cls.name]))


def reliability_figure(rows: Sequence[dict[str, Any]], *, of: str) -> Figure:
    """The reliability diagram alone; ``of`` says what is counted in its bars."""
    from matplotlib.figure import Figure

    from jido.methods.figures.scene_curves import draw_reliability

    canvas = Figure(figsize=(5.6, 3.9), layout="constrained")
    draw_reliability(canvas.subplots(), rows, of=of)
    return canvas
