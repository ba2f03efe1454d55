"""What a map of a target and the labels of that target do not agree on: missed by the one or the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import ImageError, LabelsError
from jido.geo import NO_CLASS, Objects, geodesic_area, trace_objects
from jido.io import ClassMap, Progress
from jido.labels import ClassScheme, Labels
from jido.maps.polygons import on_map
from jido.stats.label_quality import LabelQuality, label_quality

LEAST = 0.1
"""Objects less suspicious than that are left out: most are specks."""

USUAL = (0.1, 0.9)
"""Quantiles of the areas of labels between which an object has a plausible size."""

Strips = Iterable[tuple[np.ndarray, np.ndarray]]
"""Codes and percent of confidence (y, x) of a map, from the top."""


class Compared(NamedTuple):
    """Rows as of :class:`~jido.maps.suspicious.Suspicious`, in no order, their geometry (n,) and its CRS."""

    rows: list[dict[str, Any]]
    geometry: np.ndarray
    crs: CRS


class _Cells:
    """Map cells under labels: which label, and the probability of the target."""

    def __init__(self, labels: Labels, grid: GeoBox, target: int) -> None:
        self.labels, self.grid, self.target = labels, grid, target
        self.items: list[np.ndarray] = []
        self.shares: list[np.ndarray] = []

    def watch(self, strips: Strips) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same strips with the target alone."""
        top = 0
        for codes, percent in strips:
            item = self.labels.burn(self.grid[top : top + len(codes), :]).item
            top += len(codes)
            known = (item >= 0) & (codes != NO_CLASS)
            share = np.where(codes == self.target, percent, 100 - percent) / 100
            self.items.append(item[known])
            self.shares.append(share[known])
            yield np.where(codes == self.target, codes, NO_CLASS), percent

    def quality(self) -> tuple[LabelQuality, np.ndarray]:
        """What the map says of the labels, classes background and target, and their numbers of cells."""
        item, share, n = np.concatenate(self.items), np.concatenate(self.shares), len(self.labels)
        said = label_quality(np.column_stack([1 - share, share]), np.ones_like(item), item, n)
        return said, np.bincount(item, minlength=n)


def compare_target(
    path: str | Path,
    scheme: ClassScheme,
    labels: Labels,
    *,
    within: Labels | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Labels of the target by how little of them a map shows, and its objects that no label touches.

    One reading of the map; memory holds a strip of it, the cells under labels, and the objects kept.

    Args:
        path: a map of the two classes, with its confidence.
        scheme: background and target.
        labels: of the target; others are left out.
        within: polygons; objects outside are left out.
        progress: told how far it is.

    Raises:
        ImageError: when the map cannot be read, has no CRS, or holds no confidence.
        LabelsError: when no label of the target lies inside the map.
    """
    place = np.flatnonzero(labels.codes == scheme.codes[-1])
    with ClassMap(path) as source:
        _require_sure(source)
        grid = source.grid
        wanted = labels.subset(place).to_crs(grid.crs)
        area = geodesic_area(wanted.geometry, wanted.crs.proj)
        cells = _Cells(wanted, grid, scheme.codes[-1])
        objects = trace_objects(cells.watch(source.strips(progress=progress)), width=grid.shape.x)
        strange = list(_strange(objects, grid, wanted, within, area))
    if not any(map(len, cells.items)):
        raise LabelsError(f"No label of {scheme.labels[-1]} lies inside {path}: do both show the same place?")
    found, number = cells.quality()
    seen = np.flatnonzero(number)
    shapes = np.array([*wanted.geometry[seen], *(one[0] for one in strange)], dtype=object)
    background, target = scheme.labels
    facts = [
        *(("label", place[i], target, scheme.labels[found.said[i]], found.confidence[i], found.suspicion[i],
           number[i], area[i]) for i in seen),
        *(("object", i, background, target, *one[1:]) for i, one in enumerate(strange)),
    ]  # fmt: skip
    rows = [_row(*of, *there) for of, there in zip(facts, _lonlat(shapes, wanted.crs), strict=True)]
    return Compared(rows, shapes, wanted.crs)


def _require_sure(source: ClassMap) -> None:
    if not source.has_confidence:
        raise ImageError(
            f"{source.path} holds no confidence, so nothing in it is sure: make it with jido map."
        )
    if source.crs is None:
        raise ImageError(f"{source.path} has no CRS, so no label finds its place on it: write it with one.")


def _strange(
    objects: Iterable[Objects], grid: GeoBox, labels: Labels, within: Labels | None, usual: np.ndarray
) -> Iterator[tuple[Any, float, float, int, float]]:
    """Polygon, mean probability, suspicion, cells and m² of objects that no label touches.

    ``usual``: m² of the labels; points have none, and then every size is plausible.
    """
    tree = shapely.STRtree(labels.geometry)
    low, high = np.quantile(usual[usual > 0], USUAL) if (usual > 0).any() else (1.0, np.inf)
    asked = None if within is None else shapely.union_all(within.to_crs(labels.crs).geometry)
    for part in objects:
        polygons = on_map(part.polygons, grid)
        free = np.ones(len(polygons), dtype=bool)
        free[tree.query(polygons, predicate="intersects")[0]] = False
        if asked is not None:
            free &= shapely.intersects(asked, shapely.point_on_surface(polygons))
        polygons, cells = polygons[free], part.cells[free]
        area, mean = geodesic_area(polygons, labels.crs.proj), part.totals[free] / (100 * cells)
        suspicion = mean * np.minimum(1, np.minimum(area / low, high / area))
        for i in np.flatnonzero(suspicion >= LEAST):
            yield polygons[i], float(mean[i]), float(suspicion[i]), int(cells[i]), float(area[i])


def _row(
    kind: str,
    item: int,
    given: str,
    said: str,
    confidence: float,
    suspicion: float,
    cells: int,
    area: float,
    lon: float,
    lat: float,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "item": int(item),
        "given": given,
        "said": said,
        "confidence": round(float(confidence), 4),
        "suspicion": round(float(suspicion), 4),
        "cells": int(cells),
        "area_m2": float(area),
        "lon": lon,
        "lat": lat,
    }


def _lonlat(shapes: np.ndarray, crs: CRS) -> list[list[float]]:
    """Longitude and latitude of a point in each."""
    x, y = shapely.get_coordinates(shapely.point_on_surface(shapes)).T
    move = crs.transformer_to_crs(CRS("EPSG:4326"), always_xy=True)
    return np.column_stack(move(x, y)).round(5).tolist()
