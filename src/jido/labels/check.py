"""The lint of labels: what a map maker should know before an hour of training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from jido.errors import LabelsError
from jido.geo import lattice
from jido.labels.labels import Labels, Problem

MIN_GROUPS = 3
"""With fewer polygons a class cannot be trained, tuned and tested on polygons of its own."""

DOMINANT = 2 / 3
"""A polygon with more than this share of a class is most of the class: it decides the map and the score."""

SLIVER = 0.01
"""Shares of a polygon below this are drawing accuracy: no overlap, not outside, not too small."""

WINDOW = 2048
"""Side in pixels of the windows in which labels are counted."""

LON_LAT = CRS("EPSG:4326")


@dataclass(frozen=True)
class LabelReport:
    """What :func:`check_labels` found.

    Args:
        table: ``{label: {"polygons": n, "pixels": n}}`` in scheme order for the classes present;
            pixels are those with image data, ``None`` without an image.
        problems: what the reader repaired, then the findings.
    """

    table: dict[str, dict[str, int | None]]
    problems: tuple[Problem, ...]

    @property
    def harmful(self) -> tuple[Problem, ...]:
        """The problems that forbid training or would harm it."""
        return tuple(problem for problem in self.problems if problem.level != "repaired")

    def to_dict(self) -> dict[str, object]:
        """The report as plain values: number of polygons, table of the classes, problems."""
        return {
            "polygons": sum(row["polygons"] or 0 for row in self.table.values()),
            "classes": self.table,
            "problems": [problem._asdict() for problem in self.problems],
        }


def check_labels(
    labels: Labels, *, geobox: GeoBox | None = None, valid: np.ndarray | None = None
) -> LabelReport:
    """Findings about labels, alone or on the grid of an image.

    - ``error``: ``one-class``; training refuses (:func:`require_trainable`).
    - ``warning``, would harm training: ``overlap`` of classes, ``few-polygons`` in a class
      (fewer than :data:`MIN_GROUPS`), ``small`` polygons (no pixel centre, or less than a pixel),
      ``dominant`` polygons (more than :data:`DOMINANT` of a class).
    - ``repaired``, used with that repair: ``other-crs``, ``partly-outside``, ``outside``, ``no-data``.

    Areas are measured in an equal-area projection, whatever the CRS of the labels.

    Args:
        labels: what is checked.
        geobox: grid of the image.
        valid: bool (y, x) on that grid, where the image has data; everywhere when not given.

    Raises:
        LabelsError: when no polygon lies inside the image.
    """
    if geobox is None:
        pixels = None
        seen = used = np.arange(len(labels))
        weight = shapely.area(_moved(labels, _equal_area(labels)))
        findings: list[Problem] = []
    else:
        inside = _share_inside(labels, geobox)
        burned, pixels = _pixels(labels, geobox, valid)
        seen, used, weight = np.flatnonzero(inside), np.flatnonzero(pixels), pixels
        findings = [
            *_other_crs(labels, geobox),
            *_outside(inside),
            *_no_data(burned, pixels),
            *_small(labels, geobox, inside, burned),
        ]
    findings += [
        *_one_class(labels, used, "" if geobox is None else " inside the image"),
        *_few_polygons(labels, used),
        *_dominant(labels, used, weight),
        *_overlaps(labels, seen),
    ]
    return LabelReport(_table(labels, pixels), (*labels.notes, *findings))


def require_trainable(labels: Labels) -> None:
    """Refuse labels that no model can be trained with.

    Raises:
        LabelsError: when there are fewer than 2 classes.
    """
    for problem in _one_class(labels, np.arange(len(labels))):
        raise LabelsError(problem.message)


def _pixels(labels: Labels, geobox: GeoBox, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each item, and those of them with data; window by window, whatever the image's size."""
    burned = np.zeros(len(labels), dtype=np.int64)
    pixels = np.zeros(len(labels), dtype=np.int64)
    here = labels.to_crs(geobox.crs)
    for tile in lattice((geobox.shape.y, geobox.shape.x), tile=WINDOW):
        item = here.burn(geobox[tile.core]).item
        taken = item >= 0
        burned += np.bincount(item[taken], minlength=len(labels))
        seen = taken if valid is None else taken & valid[tile.core]
        pixels += np.bincount(item[seen], minlength=len(labels))
    return burned, pixels


def _table(labels: Labels, pixels: np.ndarray | None) -> dict[str, dict[str, int | None]]:
    return {
        land.label: {
            "polygons": int(mine.sum()),
            "pixels": None if pixels is None else int(pixels[mine].sum()),
        }
        for land in labels.scheme.classes
        if (mine := labels.codes == land.code).any()
    }


# -- geometry ----------------------------------------------------------------------------------


def _moved(labels: Labels, crs: CRS | None) -> np.ndarray:
    """Valid geometries in another CRS; empty where that CRS does not reach."""
    geometry = labels.to_crs(crs).geometry.copy()
    reached = np.isfinite(shapely.bounds(geometry)).all(axis=-1)
    geometry[~reached] = shapely.Polygon()
    return shapely.make_valid(geometry)


def _equal_area(labels: Labels) -> CRS:
    """Lambert's azimuthal equal-area projection about the middle of the labels, in metres."""
    left, bottom, right, top = shapely.total_bounds(_moved(labels, LON_LAT))
    return CRS(f"+proj=laea +lat_0={(bottom + top) / 2} +lon_0={(left + right) / 2} +units=m")


def _share_inside(labels: Labels, geobox: GeoBox) -> np.ndarray:
    """Share of each item inside the image, 0..1."""
    geometry, image = _moved(labels, geobox.crs), geobox.extent.geom
    touched = shapely.intersects(geometry, image)
    if not touched.any():
        raise LabelsError(
            "No polygon lies inside the image: check that labels and image show the same place "
            f"and that the CRS of the labels ({_crs_name(labels.crs)}) is the true one."
        )
    area = shapely.area(geometry)
    share = shapely.area(shapely.intersection(geometry, image)) / np.where(area > 0, area, 1)
    return np.where(area > 0, share, touched)


def _where(labels: Labels, item: int) -> str:
    """Position of an item, to be typed into a map."""
    point = shapely.point_on_surface(labels.subset(np.array([item])).to_crs(LON_LAT).geometry[0])
    return f"lon {point.x:.4f}, lat {point.y:.4f}"


def _crs_name(crs: CRS | None) -> str:
    """``EPSG:32649`` where it has a number, else its name."""
    if crs is None:
        return "no CRS"
    return f"EPSG:{crs.epsg}" if crs.epsg else crs.proj.name


def _names(labels: Labels) -> dict[int, str]:
    return dict(zip(labels.scheme.codes, labels.scheme.labels, strict=True))


# -- findings ----------------------------------------------------------------------------------


def _other_crs(labels: Labels, geobox: GeoBox) -> Iterator[Problem]:
    if labels.crs != geobox.crs:
        theirs, ours = _crs_name(labels.crs), _crs_name(geobox.crs)
        message = f"The labels are in {theirs}, the image in {ours}: they are reprojected."
        yield Problem("repaired", "other-crs", message)


def _outside(inside: np.ndarray) -> Iterator[Problem]:
    partly = np.count_nonzero((inside > 0) & (inside < 1 - SLIVER))
    if partly:
        message = f"Polygons partly outside the image, of which only the inside is used: {partly}."
        yield Problem("repaired", "partly-outside", message)
    wholly = np.count_nonzero(inside == 0)
    if wholly:
        yield Problem("repaired", "outside", f"Polygons outside the image, which are not used: {wholly}.")


def _no_data(burned: np.ndarray, pixels: np.ndarray) -> Iterator[Problem]:
    lost = np.count_nonzero((burned > 0) & (pixels == 0))
    if lost:
        message = f"Polygons where the image has no data, which are not used: {lost}."
        yield Problem("repaired", "no-data", message)


def _small(labels: Labels, geobox: GeoBox, inside: np.ndarray, burned: np.ndarray) -> Iterator[Problem]:
    """Measured in pixels of the image, so no unit matters; points have no size."""
    geometry = _moved(labels, geobox.crs)
    pixel = abs(geobox.resolution.x * geobox.resolution.y)
    polygons = (shapely.get_dimensions(geometry) == 2) & (inside > 0)
    small = polygons & (shapely.area(geometry) < (1 - SLIVER) * pixel)
    for i in np.flatnonzero(polygons & ~small & (burned == 0) & (inside > 1 - SLIVER)):
        alone = geobox.enclosing(Geometry(geometry[i], geobox.crs))  # others may have taken its pixels
        small[i] = not labels.subset(np.array([i])).burn(alone).codes.any()
    for code, name in _names(labels).items():
        mine = np.flatnonzero(small & (labels.codes == code))
        if len(mine):
            yield Problem(
                "warning",
                "small",
                f"Class {name}: polygons smaller than a pixel or without a pixel centre: {len(mine)}, "
                f"the first at {_where(labels, mine[0])}; draw them larger.",
                int(mine[0]) if len(mine) == 1 else None,
            )


def _one_class(labels: Labels, used: np.ndarray, place: str = "") -> Iterator[Problem]:
    present = [name for code, name in _names(labels).items() if code in labels.codes[used]]
    if len(present) < 2:
        found = f"only class {present[0]}" if present else "no class"
        message = (
            f"Training needs at least 2 classes, the labels hold {found}{place}: "
            f"draw polygons of others{place}."
        )
        yield Problem("error", "one-class", message)


def _few_polygons(labels: Labels, used: np.ndarray) -> Iterator[Problem]:
    for code in np.unique(labels.codes):
        mine = used[labels.codes[used] == code]
        groups = len(np.unique(labels.groups[mine]))
        if groups < MIN_GROUPS:
            kind = "usable polygons" if groups == len(mine) else "groups of polygons"
            message = (
                f"Class {_names(labels)[code]} has too few {kind} ({groups}): "
                f"draw at least {MIN_GROUPS}, better 10, in different places."
            )
            yield Problem("warning", "few-polygons", message)


def _dominant(labels: Labels, used: np.ndarray, weight: np.ndarray) -> Iterator[Problem]:
    """``weight``: pixels or area of each item."""
    for code in np.unique(labels.codes[used]):
        mine = used[labels.codes[used] == code]
        groups, number = np.unique(labels.groups[mine], return_inverse=True)
        total = np.bincount(number, weights=weight[mine])
        share = total.max() / total.sum() if total.sum() > 0 else 0.0
        if len(groups) >= MIN_GROUPS and share > DOMINANT:
            largest = mine[number == total.argmax()]
            item = int(largest[weight[largest].argmax()])
            message = (
                f"One polygon holds {share:.0%} of class {_names(labels)[code]} ({_where(labels, item)}): "
                "draw more of the class elsewhere, or make this one smaller."
            )
            yield Problem("warning", "dominant", message, item)


def _overlaps(labels: Labels, seen: np.ndarray) -> Iterator[Problem]:
    """One problem per pair of classes, at the largest overlap."""
    geometry = _moved(labels, _equal_area(labels))
    pairs = seen[shapely.STRtree(geometry[seen]).query(geometry[seen], predicate="intersects").T]
    pairs = pairs[labels.codes[pairs[:, 0]] < labels.codes[pairs[:, 1]]]
    a, b = geometry[pairs[:, 0]], geometry[pairs[:, 1]]
    area = shapely.area(shapely.intersection(a, b))
    smaller = np.minimum(shapely.area(a), shapely.area(b))
    real = np.where(smaller > 0, area >= SLIVER * smaller, ~shapely.touches(a, b))
    pairs, area = pairs[real], area[real]
    classes = labels.codes[pairs]
    for first, second in np.unique(classes, axis=0):
        mine = np.flatnonzero((classes == (first, second)).all(axis=1))
        largest = pairs[mine[area[mine].argmax()]]
        names = _names(labels)
        yield Problem(
            "warning",
            "overlap",
            f"Classes {names[first]} and {names[second]} overlap by {area[mine].sum():,.0f} m² "
            f"(places: {len(mine)}, the largest at {_where(labels, largest[0])}, "
            f"items {largest[0]} and {largest[1]}): "
            "redraw one of them; pixels that both claim are not used.",
            int(largest[0]),
        )
