"""How much of each pixel lies in each cell, and sums by cell, one band of rows at a time.

Shares are exact: outlines are cut along the lines between pixels, and what each piece leaves to its right
is added up along the row, as fonts are drawn (equal to exactextract, Baston 2022, and by far quicker where
thousands of cells cover an image). All happens in pixel coordinates, where a pixel is a unit square
whatever its grid: an affine map keeps ratios of areas, so rotated grids and pixels in degrees need nothing
of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import shapely
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import Window, geodesic_area, pixel_size_m
from jido.indicators.cells import OFF, Cells, ground_area, projected
from jido.indicators.outlines import Edges, Shares
from jido.io import Progress

_Place = TypeVar("_Place")
_Found = TypeVar("_Found")

BAND_PIXELS = 6_000_000
"""Pixels of one band of rows: about 300 MB with what is computed from them."""

BLOCK = 256
"""Rows of the blocks of usual files."""

NODES_M = 5_000.0
"""Metres between pixels whose area on the ground is computed; between them it is interpolated, to 1e-7."""


class Placed:
    """Cells on the pixels of a grid.

    Args:
        cells: in any CRS.
        geobox: the grid.

    Attributes:
        size: areas of the cells in pixels, (n,).
        window: the part of the grid on which cells lie.

    Raises:
        ImageError: when the grid has no CRS, no cell lies on it, or a cell is torn by it (date line).
    """

    def __init__(self, cells: Cells, geobox: GeoBox) -> None:
        if geobox.crs is None:
            raise ImageError("The image has no CRS, so no cell lies on it: give one with --crs EPSG:....")
        moved = projected(cells.geometry, cells.crs, geobox.crs)
        a = ~geobox.affine

        def to_pixels(xy: np.ndarray) -> np.ndarray:
            x, y = xy.T
            return np.column_stack([a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f])

        polygons = shapely.transform(moved, to_pixels)
        self.size = shapely.area(polygons)
        left, top, right, bottom = np.nan_to_num(shapely.bounds(polygons), nan=-1.0).T
        height, width = geobox.shape
        on_grid = (right > 0) & (left < width) & (bottom > 0) & (top < height) & (self.size > 0)
        if not on_grid.any():
            raise ImageError("None of the cells lies on the image: check the CRS of both.")
        if cells.crs != geobox.crs:
            _require_whole(cells, moved, geobox, on_grid)
        self._edges = Edges.of(polygons, on_grid)
        rows = slice(max(int(top[on_grid].min()), 0), min(int(np.ceil(bottom[on_grid].max())), height))
        cols = slice(max(int(left[on_grid].min()), 0), min(int(np.ceil(right[on_grid].max())), width))
        self.window: Window = rows, cols

    def shares(self, window: Window) -> Shares:
        """The pixels of a window that lie in cells."""
        return self._edges.shares(window, len(self.size))


def _require_whole(cells: Cells, moved: np.ndarray, geobox: GeoBox, chosen: np.ndarray) -> None:
    """Refuse cells that have another area on the grid's map: at the date line a ring turns inside out."""
    before = ground_area(cells.geometry[chosen], cells.crs)
    after = ground_area(moved[chosen], norm_crs_or_error(geobox.crs))
    torn = np.flatnonzero(~(np.abs(after / before - 1) < OFF))
    if torn.size:
        raise ImageError(
            f"Cell {cells.ids[chosen][torn[0]]!r} is torn apart on {geobox.crs}, as at the date line: cut it "
            "there into two."
        )


def bands_of_rows(
    geobox: GeoBox, *, within: Window | None = None, pixels: int = BAND_PIXELS
) -> Iterator[Window]:
    """Windows as wide as the grid, or a part of it, from the top, of at most so many pixels or one row.

    They end where rows of blocks of files do, when a row of blocks is not too much.
    """
    height, width = geobox.shape
    rows, cols = within or (slice(0, height), slice(0, width))
    most = max(1, pixels // (cols.stop - cols.start))
    top = rows.start
    while top < rows.stop:
        stop = (top + most) // BLOCK * BLOCK if most >= BLOCK else top + most
        stop = min(max(stop, top + 1), rows.stop)
        yield slice(top, stop), cols
        top = stop


def pixel_areas(geobox: GeoBox, window: Window) -> np.ndarray:
    """Areas of pixels on the ground in m², float64 (y, x).

    Measured on the ellipsoid every :data:`NODES_M` or closer, linear between: pixels in degrees
    shrink towards the poles, those of web Mercator grow.
    """
    rows, cols = window
    apart = max(NODES_M / max(pixel_size_m(geobox)), 1.0)
    y, x = (_nodes(side.start, side.stop, apart) for side in (rows, cols))
    col, row = (part.ravel() for part in np.meshgrid(x, y))
    corners = np.stack([col, row, col + 1, row, col + 1, row + 1, col, row + 1], axis=1).reshape(-1, 2)
    a = geobox.affine
    ground = np.column_stack(
        [a.a * corners[:, 0] + a.b * corners[:, 1] + a.c, a.d * corners[:, 0] + a.e * corners[:, 1] + a.f]
    ).reshape(-1, 4, 2)
    crs = norm_crs_or_error(geobox.crs).proj
    area = np.abs(geodesic_area(shapely.polygons(ground), crs)).reshape(len(y), len(x))
    along = np.stack([np.interp(np.arange(cols.start, cols.stop), x, line) for line in area])
    pixels = np.arange(rows.start, rows.stop)
    down = np.column_stack([np.interp(pixels, y, one) for one in np.eye(len(y))])
    return down @ along


def _nodes(start: int, stop: int, apart: float) -> np.ndarray:
    return np.unique(np.linspace(start, stop - 1, int((stop - start) / apart) + 2).round())


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the pixels of each cell, weighted by share and area; sums of windows add up.

    Args:
        inside: pixels of the cell on the image, counted by share, (n,).
        inside_m2: their area, (n,).
        seen: of these the pixels with data, counted by share, (C, n).
        seen_m2: their area, (C, n).
        total: sum of value x area in m², (C, n).
    """

    inside: np.ndarray
    inside_m2: np.ndarray
    seen: np.ndarray
    seen_m2: np.ndarray
    total: np.ndarray

    def __add__(self, other: CellSums) -> CellSums:
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return CellSums(*(one + two for one, two in parts))

    @property
    def mean(self) -> np.ndarray:
        """Means over what was seen, (C, n); NaN where nothing was."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.seen_m2 > 0, self.total / self.seen_m2, np.nan)

    def coverage(self, placed: Placed) -> np.ndarray:
        """Share of the area of each cell that was seen, 0..1, (C, n); what lies off the image was not."""
        with np.errstate(invalid="ignore", divide="ignore"):
            each = np.where(self.inside > 0, self.inside_m2 / self.inside, 0)
            whole = self.inside_m2 + np.maximum(placed.size - self.inside, 0) * each
            return np.where(whole > 0, np.minimum(self.seen_m2 / whole, 1), 0)


def window_sums(shares: Shares, values: Iterable[np.ndarray], area: np.ndarray) -> CellSums:
    """Sums of one window.

    Args:
        shares: of the window.
        values: C planes, float (y, x) each, NaN = no data.
        area: of the pixels in m², (y, x).
    """
    inside = known = shares.sums(), shares.sums(area)
    before = np.ones(area.shape, dtype=bool)
    seen, total = [], []
    for plane in values:
        has = np.isfinite(plane)
        whole = bool(has.all())
        if not np.array_equal(has, before):  # planes of one image miss the same pixels
            known, before = (inside if whole else (shares.sums(has), shares.sums(has, area))), has
        seen.append(known)
        total.append(shares.sums(plane if whole else np.where(has, plane, 0), area))
    pixels, m2 = (np.stack(part) for part in zip(*seen, strict=True))
    return CellSums(*inside, pixels, m2, np.stack(total))


def cell_sums(
    placed: Placed,
    geobox: GeoBox,
    read: Callable[[Window], Iterable[np.ndarray]],
    *,
    pixels: int = BAND_PIXELS,
    progress: Progress | None = None,
) -> CellSums:
    """Sums by cell over a whole image that is read in bands of rows.

    Args:
        placed: the cells on this grid.
        geobox: the grid.
        read: window -> planes, float (y, x) each, NaN = no data; called in a thread, one window at a time.
        pixels: of one band of rows.
        progress: told how many rows are done.
    """
    sums: CellSums | None = None
    windows = bands_of_rows(geobox, within=placed.window, pixels=pixels)
    for window, planes in read_ahead(windows, read):
        found = window_sums(placed.shares(window), planes, pixel_areas(geobox, window))
        sums = found if sums is None else sums + found
        if progress:
            progress("measuring the cells", window[0].stop, placed.window[0].stop)
    if sums is None:
        raise ImageError("The image has no pixels where the cells lie.")
    return sums


def read_ahead(places: Iterable[_Place], read: Callable[[_Place], _Found]) -> Iterator[tuple[_Place, _Found]]:
    """Places with what was read there; the next one is read while the present one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming: deque[tuple[_Place, Future[_Found]]] = deque()
        for place in places:
            coming.append((place, reader.submit(read, place)))
            if len(coming) > 1:
                done, found = coming.popleft()
                yield done, found.result()
        for done, found in coming:
            yield done, found.result()
