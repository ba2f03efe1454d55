"""The grid that STAC items are put on, and where they lie on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox, geobox_union_conservative
from odc.geo.geom import BoundingBox, bbox_union, box
from pyproj.exceptions import CRSError

from jido.errors import ImageError
from jido.geo import Window
from jido.io.stac_items import StacItem

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees of longitude and latitude."""


def common_grid(grids: Sequence[GeoBox | None]) -> GeoBox | None:
    """A grid that holds the pixels of all grids; ``None`` when they do not fit or one is not known."""
    known = [grid for grid in grids if grid is not None]
    try:
        return geobox_union_conservative(known) if len(known) == len(grids) else None
    except ValueError:
        return None


def requested_grid(
    items: Sequence[StacItem], crs: str | None, resolution: float | None, bounds: Bounds | None
) -> GeoBox:
    """The grid asked for; the one that the items share is kept where it agrees with that."""
    shared = common_grid([item.grid for item in items])
    system = _crs(crs, shared)
    if resolution is not None:
        _require_resolution(resolution, system)
    if shared is not None and system == shared.crs:
        size = abs(shared.resolution.x), abs(shared.resolution.y)
        if resolution is None or size == (resolution, resolution):
            return shared if bounds is None else shared.enclosing(_region(items, system, bounds))
    if resolution is None:
        raise ImageError(f"The items have no common grid in {system}: give --resolution in its units.")
    return GeoBox.from_bbox(_region(items, system, bounds), resolution=resolution)


def _crs(crs: str | None, shared: GeoBox | None) -> CRS:
    if crs is None:
        if shared is None or shared.crs is None:
            raise ImageError(
                "The items state no grid, or different ones: give --crs EPSG:.... and --resolution."
            )
        return shared.crs
    try:
        return CRS(crs)
    except CRSError as err:
        raise ImageError(f"--crs {crs!r} is none: give one such as EPSG:32649.") from err


def _require_resolution(resolution: float, crs: CRS) -> None:
    """Refuse metres that are meant for degrees, and the other way round."""
    unit, low, high = ("degrees", 0.0, 1.0) if crs.geographic else ("metres", 0.01, np.inf)
    if not low < resolution < high:
        raise ImageError(
            f"--resolution {resolution:g} cannot be the side of a pixel in {unit}, the unit of {crs}: "
            f"give one such as {'0.0001' if crs.geographic else '10'}, or another --crs."
        )


def _region(items: Sequence[StacItem], crs: CRS, bounds: Bounds | None) -> BoundingBox:
    """What is to be read, in a CRS: the bounds, or else all that the items show."""
    if bounds is None:
        return bbox_union(_footprint(item, crs) for item in items)
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ImageError(
            f"--bounds {west:g} {south:g} {east:g} {north:g} are not west, south, east, north in "
            "degrees of longitude and latitude."
        )
    return box(*bounds, "EPSG:4326").to_crs(crs, resolution=(east - west) / 100).boundingbox


def _footprint(item: StacItem, crs: CRS) -> BoundingBox:
    """Box around what an item shows, in a CRS."""
    shape = item.parsed.safe_geometry(crs)
    if shape is None or not np.isfinite(shape.boundingbox.bbox).all():
        raise ImageError(f"{item.path} states no place, or none that {crs} can show: correct it.")
    return shape.boundingbox


def place_on(item: StacItem, grid: GeoBox) -> Window | None:
    """Rows and columns of a grid that an item may touch, ``None`` when it lies beside."""
    if grid.crs is None:
        raise ImageError("A grid without CRS cannot hold STAC items: give one with a CRS.")
    found = grid.project(_footprint(item, grid.crs).polygon).boundingbox
    # footprints are drawn with few points, and may run a pixel or two beside the image
    down = slice(int(found.bottom) - 2, int(found.top) + 2)
    across = slice(int(found.left) - 2, int(found.right) + 2)
    height, width = grid.shape
    return (down, across) if meet(down, slice(0, height)) and meet(across, slice(0, width)) else None


def meet(one: slice, other: slice) -> bool:
    """Whether two ranges have an index in common."""
    return bool(one.start < other.stop and other.start < one.stop)
