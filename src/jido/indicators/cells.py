"""The cells of an indicator: the user's districts, an equal-area grid, or slippy tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from odc.geo import CRS, Geometry
from pyproj import Transformer
from pyproj.exceptions import CRSError

from jido.errors import ImageError, LabelsError
from jido.geo import geodesic_area

EUROPE = (-35.58, 24.6, 44.83, 84.73)
"""Degrees (left, bottom, right, top): area of use of EPSG:3035 in the EPSG registry."""

MERCATOR_LATITUDE = 85.0511
"""Where web Mercator, and with it slippy tiles, end."""

MERCATOR_HALF = 20037508.342789244
"""Half the width of the world in web Mercator, m."""

MAX_CELLS = 1_000_000
LONGEST_M = 1000.0
"""Longer edges are divided before they are projected: over 1 km a straight line bends by 2 cm."""

OFF = 0.01
"""Relative error of a cell's area on the ground beyond which it is not what it is called."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Pieces of ground, a row of the table each.

    Args:
        geometry: (n,) valid polygons and multipolygons, x before y.
        ids: (n,) text, all different.
        crs: of the geometry.
        kind: in words, for the method sheet: ``1 km grid (EPSG:3035)``.
        notes: what was mended or left out while reading.

    Raises:
        LabelsError: when there is none, an id comes twice, or the lists differ in length.
    """

    geometry: np.ndarray
    ids: np.ndarray
    crs: CRS
    kind: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.geometry) == 0:
            raise LabelsError(f"There are no cells ({self.kind}): give an area that has an extent.")
        if len(self.ids) != len(self.geometry):
            raise LabelsError(f"{len(self.geometry)} cells have {len(self.ids)} ids: give one for each.")
        names, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise LabelsError(
                f"The id {str(names[counts > 1][0])!r} stands for {counts.max()} cells ({self.kind}): "
                "merge them, or choose a column that tells them apart."
            )

    def __len__(self) -> int:
        return len(self.geometry)

    @cached_property
    def area_m2(self) -> np.ndarray:
        """Areas on the ellipsoid, m², float64 (n,)."""
        return ground_area(self.geometry, self.crs)

    @cached_property
    def places_m(self) -> np.ndarray:
        """Centroids as geocentric x, y, z in metres, float64 (n, 3): distances without a projection."""
        xy = shapely.get_coordinates(shapely.centroid(self.geometry))
        degrees = Transformer.from_crs(self.crs.proj, "EPSG:4979", always_xy=True)
        lon, lat = degrees.transform(*xy.T)
        centred = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
        return np.column_stack(centred.transform(lon, lat, np.zeros(len(xy))))

    def select(self, chosen: np.ndarray) -> Cells:
        """Some of the cells, by mask or place."""
        return Cells(self.geometry[chosen], self.ids[chosen], self.crs, self.kind, self.notes)


def ground_area(geometry: np.ndarray, crs: CRS) -> np.ndarray:
    """Areas of polygons and multipolygons on the ellipsoid, m², float64 (n,); NaN off the earth."""
    parts, owner = shapely.get_parts(geometry, return_index=True)
    if not len(parts):
        return np.zeros(len(geometry))
    return np.bincount(owner, geodesic_area(parts, crs.proj), minlength=len(geometry))


def projected(geometry: np.ndarray, source: CRS, target: CRS) -> np.ndarray:
    """Polygons in another CRS, long edges divided first; empty where a corner has no place there."""
    if source == target:
        return geometry
    degree = np.pi / 180 * 6378137.0
    axis = source.proj.axis_info[0].unit_conversion_factor or 1.0
    unit = degree if source.geographic else axis
    fine = shapely.segmentize(geometry, LONGEST_M / unit)
    move = Transformer.from_crs(source.proj, target.proj, always_xy=True).transform
    moved: np.ndarray = shapely.transform(fine, move, interleaved=False)
    lost = ~np.isfinite(shapely.bounds(moved)).all(axis=1)
    moved[lost] = shapely.Polygon()
    bad = ~shapely.is_valid(moved)
    moved[bad] = shapely.make_valid(moved[bad])
    return moved


def _extent(extent: Geometry, target: CRS) -> shapely.Geometry:
    """An extent in another CRS; refuses one that is torn at the edge of its map."""
    if extent.crs is None:
        raise ImageError("The area has no CRS, so it lies nowhere: give one with --crs EPSG:....")
    one = np.array([extent.geom], dtype=object)
    if extent.is_empty:
        raise ImageError("The area is empty: give one that has an extent.")
    moved = projected(one, extent.crs, target)
    before, after = ground_area(one, extent.crs)[0], ground_area(moved, target)[0]
    if not abs(after / before - 1) < OFF:
        raise ImageError(
            f"The area does not fit on {target} in one piece ({before / 1e6:.0f} km² become "
            f"{after / 1e6:.0f}), as at the date line: cut it there, or name another CRS."
        )
    return moved[0]


def equal_area_crs(extent: Geometry) -> CRS:
    """EPSG:3035 for an area that lies in Europe as a whole, else EPSG:6933."""
    left, bottom, right, top = _extent(extent, CRS("EPSG:4326")).bounds
    inside = left >= EUROPE[0] and bottom >= EUROPE[1] and right <= EUROPE[2] and top <= EUROPE[3]
    return CRS("EPSG:3035" if inside else "EPSG:6933")


def grid_cells(extent: Geometry, *, size_m: float = 1000.0, crs: CRS | str | None = None) -> Cells:
    """Squares of a grid whose corners are multiples of ``size_m``: those that overlap the area.

    Ids are those of the EEA reference grid, ``1kmE4321N3210``: lower left corner divided by the size.

    Args:
        extent: area with a CRS, such as ``scene.geobox.extent``.
        size_m: side in metres, above 0.
        crs: a projected CRS of true areas; chosen by :func:`equal_area_crs` when not given.

    Raises:
        ImageError: when the CRS is in degrees, when its squares do not have the area that their name
            says (web Mercator: 1.28 km² at 28°), when there are more than :data:`MAX_CELLS`.
    """
    if not size_m > 0:
        raise ImageError(f"A cell has a side above 0 m, not {size_m:g}.")
    try:
        grid = equal_area_crs(extent) if crs is None else CRS(str(crs))
    except CRSError as err:
        raise ImageError(f"{crs!r} is no CRS: give one such as EPSG:3035.") from err
    name = _size_name(size_m)
    if grid.geographic:
        raise ImageError(
            f"{grid} counts in degrees, so its cells are not {name} wide and shrink towards the poles: "
            "leave the CRS of the grid out (EPSG:3035 or EPSG:6933), or name a projected one."
        )
    area = _extent(extent, grid)
    side = size_m / (grid.proj.axis_info[0].unit_conversion_factor or 1.0)
    left, bottom, right, top = np.array(area.bounds) / side
    cols = np.arange(np.floor(left), np.ceil(right))
    rows = np.arange(np.floor(bottom), np.ceil(top))
    if len(cols) * len(rows) > MAX_CELLS:
        raise ImageError(
            f"{len(cols)} x {len(rows)} cells of {name} are more than {MAX_CELLS}: choose larger ones."
        )
    col, row = (part.ravel() for part in np.meshgrid(cols, rows[::-1]))
    boxes = shapely.box(col * side, row * side, (col + 1) * side, (row + 1) * side)
    kept = _overlapping(boxes, area)
    _require_true_area(boxes[kept], grid, size_m)
    ids = [f"{name}E{x:.0f}N{y:.0f}" for x, y in zip(col[kept], row[kept], strict=True)]
    kind = f"{name[:-2]} km grid ({grid})" if name.endswith("km") else f"{name[:-1]} m grid ({grid})"
    return Cells(boxes[kept], np.array(ids, dtype=object), grid, kind)


def _size_name(size_m: float) -> str:
    return f"{size_m / 1000:g}km" if size_m >= 1000 else f"{size_m:g}m"


def _overlapping(boxes: np.ndarray, area: shapely.Geometry) -> np.ndarray:
    """Mask of the boxes that share more than a border, or what rounding makes of it, with the area."""
    shapely.prepare(area)
    kept: np.ndarray = shapely.contains_properly(area, boxes)
    edge = np.flatnonzero(~kept & shapely.intersects(area, boxes))
    common = shapely.area(shapely.intersection(boxes[edge], area))
    kept[edge] = common > 1e-9 * np.minimum(shapely.area(boxes[edge]), shapely.area(area))
    return kept


def _require_true_area(boxes: np.ndarray, crs: CRS, size_m: float) -> None:
    """Refuse squares that are not as large as they are called; the outermost are the worst ones."""
    x, y = shapely.get_coordinates(shapely.centroid(boxes)).T
    ends = np.unique([f(v) for v in (x, y, x + y, x - y) for f in (np.argmin, np.argmax)])
    ratio = ground_area(boxes[ends], crs) / size_m**2
    worst = ratio[np.argmax(np.abs(ratio - 1))]
    if not abs(worst - 1) < OFF:
        raise ImageError(
            f"Squares of {_size_name(size_m)} in {crs} hold {worst:.2f} of the area that their "
            "name says: leave the CRS of the grid out, or name one of equal areas."
        )


def tile_cells(extent: Geometry, *, zoom: int) -> Cells:
    """Slippy tiles (web Mercator) that overlap the area; ids ``zoom/x/y``, y from the north.

    Their areas differ with latitude: :attr:`Cells.area_m2` gives the true ones.

    Raises:
        ImageError: when the zoom is not 0 to 24, there are more than :data:`MAX_CELLS`, or the area
            lies beyond 85.05 degrees.
    """
    if not 0 <= zoom <= 24:
        raise ImageError(f"Zoom {zoom} is none: give 0 to 24.")
    degrees, mercator = CRS("EPSG:4326"), CRS("EPSG:3857")
    world = shapely.box(-180, -MERCATOR_LATITUDE, 180, MERCATOR_LATITUDE)
    inside = shapely.intersection(_extent(extent, degrees), world)
    if shapely.area(inside) == 0:
        raise ImageError("The area lies beyond 85.05 degrees, where there are no tiles: use a grid.")
    area = projected(np.array([inside], dtype=object), degrees, mercator)[0]
    side = 2 * MERCATOR_HALF / 2**zoom
    left, bottom, right, top = area.bounds
    last = 2**zoom - 1
    x0, y0 = (max(int(v // side), 0) for v in (left + MERCATOR_HALF, MERCATOR_HALF - top))
    x1, y1 = (min(int(v // side), last) for v in (right + MERCATOR_HALF, MERCATOR_HALF - bottom))
    if (x1 - x0 + 1) * (y1 - y0 + 1) > MAX_CELLS:
        raise ImageError(f"Tiles of zoom {zoom} are more than {MAX_CELLS}: choose a smaller zoom.")
    x, y = (part.ravel() for part in np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1)))
    west, north = x * side - MERCATOR_HALF, MERCATOR_HALF - y * side
    boxes = shapely.box(west, north - side, west + side, north)
    kept = _overlapping(boxes, area)
    ids = [f"{zoom}/{i}/{j}" for i, j in zip(x[kept], y[kept], strict=True)]
    return Cells(boxes[kept], np.array(ids, dtype=object), mercator, f"slippy tiles of zoom {zoom}")
