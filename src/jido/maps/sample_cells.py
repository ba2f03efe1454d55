"""The mapped cells of a map by stratum, counted and drawn strip by strip: memory does not grow with the map.

A cell is counted or drawn by its *rank*, its number among the cells of its stratum from the top, so that
cells drawn in the second pass over the map are exactly those that a list of all of them would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from jido.errors import ImageError, LabelsError
from jido.geo import NO_CLASS, geodesic_area, pixel_size_m, same_place
from jido.io import ClassMap, Progress
from jido.io.areas import read_areas
from jido.io.target import RASTERS
from jido.labels import ClassScheme, Labels
from jido.maps.assess import covered

OUTSIDE = "outside"
"""Stratum of mapped cells that a file of strata says nothing of."""

MOST_STRATA = 65_536
"""Values of a raster of strata lie below."""

SAME = 0.01
"""Cells by which the corners of a raster of strata may lie beside those of the map."""


class Zones(Protocol):
    """What divides a map into strata."""

    count: int
    """Strata are numbered from 0 to count - 1; some may have no cell."""

    def name(self, zone: int) -> str:
        """What a stratum is called."""

    def burn(self, top: int, place: np.ndarray) -> np.ndarray:
        """Number of the stratum of every cell of a strip (y, x) that begins in row ``top``."""


class Undivided:
    """One stratum."""

    count = 1

    def name(self, zone: int) -> str:
        """Its name."""
        return "all"

    def burn(self, top: int, place: np.ndarray) -> np.ndarray:
        """0 everywhere."""
        return np.zeros_like(place)


class ByClass:
    """The classes of the map."""

    def __init__(self, scheme: ClassScheme) -> None:
        self._labels = scheme.labels
        self.count = len(scheme.classes)

    def name(self, zone: int) -> str:
        """The label."""
        return self._labels[zone]

    def burn(self, top: int, place: np.ndarray) -> np.ndarray:
        """The place of the class."""
        return place.copy()


class ByRaster:
    """The values of a raster on the same cells; where it has no data, cells are :data:`OUTSIDE`."""

    count = MOST_STRATA + 1

    def __init__(self, source: ClassMap, grid: GeoBox) -> None:
        self._map = source
        if self._map.grid.shape != grid.shape or not same_place(self._map.grid, grid, cells=SAME):
            raise LabelsError(
                f"{source.path} has other cells than the map: bring it to the grid of the map, or give its "
                "strata as polygons."
            )
        self._rows: Iterator[np.ndarray] = iter(())

    def name(self, zone: int) -> str:
        """The label of the value where the raster has one, else the value."""
        return OUTSIDE if zone == MOST_STRATA else self._map.land_class(zone).label

    def burn(self, top: int, place: np.ndarray) -> np.ndarray:
        """The values."""
        if top == 0:
            self._rows = (row for codes, _ in self._map.strips() for row in codes)
        zone = np.stack(list(islice(self._rows, len(place))))
        known = zone != NO_CLASS
        if (wrong := zone[known & ((zone < 0) | (zone >= MOST_STRATA))]).size:
            raise LabelsError(
                f"{self._map.path} holds {wrong[0]}: number strata from 0 to {MOST_STRATA - 1}."
            )
        return np.where(known, zone, MOST_STRATA)


class ByPolygons:
    """Polygons with a name; a later one lies on top, cells in none are :data:`OUTSIDE`."""

    def __init__(self, path: Path, grid: GeoBox, *, field: str | None) -> None:
        if field is None:
            raise LabelsError(f"{path} holds polygons: name the column of the strata with --strata-field.")
        if grid.crs is None:
            raise LabelsError(f"The map has no CRS, so the polygons of {path} have no place on it.")
        areas = read_areas(path, id_field=field)
        if OUTSIDE in areas.ids:
            raise LabelsError(f"{path}: a stratum cannot be called {OUTSIDE!r}, as the rest of the map is.")
        move = areas.crs.transformer_to_crs(grid.crs, always_xy=True)
        self._polygons = shapely.transform(
            areas.geometry, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1]))
        )
        self._names, self._grid = areas.ids.tolist(), grid
        self.count = len(self._names) + 1

    def name(self, zone: int) -> str:
        """The text in the column."""
        return OUTSIDE if zone == len(self._names) else str(self._names[zone])

    def burn(self, top: int, place: np.ndarray) -> np.ndarray:
        """The polygon that holds the centre of a cell."""
        part = self._grid[top : top + len(place), :]
        near = np.flatnonzero(shapely.intersects(self._polygons, shapely.box(*part.boundingbox.bbox)))
        if not len(near):
            return np.full_like(place, len(self._names))
        return rasterize(
            [(self._polygons[i], int(i)) for i in near],
            out_shape=place.shape,
            transform=part.affine,
            fill=len(self._names),
            dtype=np.int32,
        ).astype(np.int64)


@contextmanager
def zones_of(strata: str | Path, scheme: ClassScheme, grid: GeoBox, *, field: str | None) -> Iterator[Zones]:
    """Strata as a person names them: ``class``, ``none``, or a raster or polygons in a file.

    Raises:
        LabelsError: when a raster has other cells than the map, polygons lack the column, or nothing can be
            read.
    """
    path = Path(strata)
    if strata == "class":
        yield ByClass(scheme)
    elif strata == "none":
        yield Undivided()
    elif not path.exists():
        raise LabelsError(f"Strata are class, none, or a file, and {path} does not exist.")
    elif path.suffix.lower() in RASTERS:
        try:
            source = ClassMap(path)
        except ImageError as err:
            raise LabelsError(
                f"{path} holds no strata: give whole numbers in one band, or polygons."
            ) from err
        with source:
            yield ByRaster(source, grid)
    else:
        yield ByPolygons(path, grid, field=field)


class Strip(NamedTuple):
    """Rows of a map from ``top``.

    ``place`` of the class and number of the stratum, ``zone``, (y, x), -1 where nothing is drawn; ``zeros``:
    cells with code 0.
    """

    top: int
    place: np.ndarray
    zone: np.ndarray
    zeros: int


@dataclass(frozen=True, eq=False)
class Cells:
    """The mapped cells of a map.

    Args:
        source: the map.
        scheme: its classes.
        zones: its strata.
        within: only cells inside these, in the CRS of the map.
        progress: told how far a pass is.
    """

    source: ClassMap
    scheme: ClassScheme
    zones: Zones
    within: Labels | None = None
    progress: Progress | None = None

    def strips(self, what: str) -> Iterator[Strip]:
        """The map from the top; no data and code 0 are not mapped.

        Raises:
            ImageError: for codes that are no class.
        """
        grid, top = self.source.grid, 0
        places = np.full(256, -1)
        places[list(self.scheme.codes)] = np.arange(len(self.scheme.codes))
        for codes, _ in self.source.strips():
            mapped = (codes != NO_CLASS) & (codes != 0)
            place = np.where(mapped, places[np.where((codes > 0) & (codes < 256), codes, 0)], -1)
            self._require_known(codes[mapped & (place < 0)])
            zero = codes == 0
            if self.within is not None:
                inside = covered(self.within, grid[top : top + len(codes), :])
                place[~inside], zero = -1, zero & inside
            zone = self.zones.burn(top, place)
            zone[place < 0] = -1
            yield Strip(top, place, zone, int(np.count_nonzero(zero)))
            top += len(codes)
            if self.progress:
                self.progress(what, top, grid.shape.y)

    def _require_known(self, codes: np.ndarray) -> None:
        if len(unknown := np.unique(codes)):
            some = ", ".join(map(str, unknown[:5].tolist()))
            raise ImageError(
                f"{self.source.path} holds {some}{' and more' * (len(unknown) > 5)}, which is no class of "
                f"{self.scheme.name!r}: give a class map, or say what its codes mean with --classes."
            )


class Counted(NamedTuple):
    """Cells and km² by stratum (H,) (km² ``None`` without a CRS), cells by class (K,), by square (Y, X).

    ``zeros``: cells with code 0, which are in none of these.
    """

    zones: np.ndarray
    km2: np.ndarray | None
    classes: np.ndarray
    squares: np.ndarray
    zeros: int


def count_cells(cells: Cells, *, side: int) -> Counted:
    """The first pass: how many cells there are.

    Args:
        cells: of the map.
        side: of the squares in cells.
    """
    height, width = cells.source.grid.shape
    area = row_areas(cells.source.grid)
    zones, km2 = np.zeros(cells.zones.count, np.int64), np.zeros(cells.zones.count)
    classes = np.zeros(len(cells.scheme.classes), np.int64)
    squares = np.zeros((-(-height // side), -(-width // side)), np.int64)
    zeros = 0
    for top, place, zone, unnamed in cells.strips("counting the cells"):
        zeros += unnamed
        mapped = place >= 0
        rows = np.arange(top, top + len(place))
        zones += np.bincount(zone[mapped], minlength=len(zones))
        classes += np.bincount(place[mapped], minlength=len(classes))
        if area is not None:
            weights = np.repeat(area[rows], mapped.sum(axis=1))
            km2 += np.bincount(zone[mapped], weights=weights, minlength=len(km2))
        np.add.at(
            squares, rows // side, np.add.reduceat(mapped, np.arange(0, width, side), axis=1, dtype=np.int64)
        )
    return Counted(zones, None if area is None else km2, classes, squares, zeros)


def row_areas(grid: GeoBox) -> np.ndarray | None:
    """Area in km² of a cell of every row (Y,); ``None`` without a CRS.

    A projection that is right to 1 % is taken at its word, as by :func:`~jido.geo.pixel_size_m`; in degrees
    and web Mercator it is measured on the ellipsoid, in the middle of the row.
    """
    if grid.crs is None:
        return None
    high, wide = pixel_size_m(grid)
    unit = grid.crs.proj.axis_info[0].unit_conversion_factor or 1.0
    stated = abs(grid.resolution.y * unit), abs(grid.resolution.x * unit)
    if not grid.crs.geographic and np.allclose((high, wide), stated, rtol=1e-9):
        return np.full(grid.shape.y, high * wide / 1e6)
    turn = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + np.array([grid.shape.x // 2, 0])
    cells = turn + np.arange(grid.shape.y)[:, None, None] * [0, 1]
    placed = shapely.transform(shapely.polygons(cells), lambda xy: np.column_stack(grid.affine * tuple(xy.T)))
    return geodesic_area(placed, grid.crs.proj) / 1e6


def pick(
    cells: Cells, ranks: Sequence[np.ndarray], numbered: Callable[[Strip], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The second pass: cells (n, 2) of these ranks by row and column, and the part (n,) of each.

    Args:
        cells: of the map.
        ranks: sorted, of each part.
        numbered: number of the part (y, x) of every cell of a strip, -1 for none.
    """
    seen = np.zeros(len(ranks), np.int64)
    found: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    for strip in cells.strips("drawing"):
        part = numbered(strip)
        here = seen + np.bincount(part[part >= 0], minlength=len(ranks))
        for k in np.flatnonzero(here > seen).tolist():
            first, end = np.searchsorted(ranks[k], (seen[k], here[k]))
            if end > first:
                at = np.flatnonzero(part == k)[ranks[k][first:end] - seen[k]]
                row, col = np.divmod(at, part.shape[1])
                found.append(np.column_stack([row + strip.top, col]))
                owner.append(np.full(end - first, k))
        seen = here
    cell, part = np.concatenate(found), np.concatenate(owner)
    order = np.lexsort((cell[:, 1], cell[:, 0]))
    return cell[order], part[order]
