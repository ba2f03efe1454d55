"""The image everything passes through: data, bands, grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo.bands import Band

if TYPE_CHECKING:
    import xarray

Window = tuple[slice, slice]
"""Rows and columns of a grid, both with start and stop."""


@dataclass(frozen=True, eq=False)
class Raster:
    """An image in memory.

    Args:
        data: float32, shape (band, y, x); NaN where there is no data.
        bands: one :class:`Band` per plane, names unique.
        geobox: the grid (CRS, affine, shape).

    Raises:
        ImageError: when the three do not fit each other.
    """

    data: np.ndarray
    bands: tuple[Band, ...]
    geobox: GeoBox

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or self.data.dtype != np.float32:
            raise ImageError(
                f"Raster data must be float32 (band, y, x), not {self.data.dtype} of shape {self.data.shape}."
            )
        if self.data.shape[0] != len(self.bands):
            raise ImageError(f"{self.data.shape[0]} planes of data but {len(self.bands)} bands were named.")
        if self.data.shape[1:] != tuple(self.geobox.shape):
            raise ImageError(
                f"Data of {self.data.shape[1:]} pixels do not fit a grid of {tuple(self.geobox.shape)}."
            )
        if len({band.name for band in self.bands}) != len(self.bands):
            raise ImageError(f"Band names are not unique: {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(band.name for band in self.bands)

    @property
    def valid(self) -> np.ndarray:
        """Bool (y, x): at least one band has data."""
        return np.isfinite(self.data).any(axis=0)

    def band(self, name: str) -> np.ndarray:
        """One plane, shape (y, x), by band name or by STAC common name.

        Raises:
            ImageError: when no band or more than one band answers to the name.
        """
        hits = [i for i, b in enumerate(self.bands) if name in (b.name, b.common_name)]
        if len(hits) != 1:
            found = "no band" if not hits else f"{len(hits)} bands"
            raise ImageError(f"{found} named {name!r} among {', '.join(self.names)}.")
        return self.data[hits[0]]

    def select(self, names: Sequence[str]) -> Raster:
        """The named bands in the given order."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ImageError(
                f"Bands {', '.join(missing)} are missing; the image has {', '.join(self.names)}."
            )
        index = [self.names.index(name) for name in names]
        return Raster(self.data[index], tuple(self.bands[i] for i in index), self.geobox)

    def read(self, window: Window) -> Raster:
        """The pixels of a window as a Raster of their own (a view, no copy)."""
        return Raster(self.data[(slice(None), *window)], self.bands, self.geobox[window])

    def to_xarray(self) -> xarray.DataArray:
        """A DataArray (band, y, x) with coordinates and CRS, for users of the xarray world."""
        from odc.geo.xr import wrap_xr

        array = wrap_xr(self.data, self.geobox, axis=1, dims=None, nodata=float("nan"))
        array = array.rename({array.dims[0]: "band"}).assign_coords(band=list(self.names))
        return array

    @classmethod
    def from_xarray(cls, array: xarray.DataArray) -> Raster:
        """The opposite of :meth:`to_xarray`; takes any (band, y, x) array with a CRS.

        Band names come from the ``band`` coordinate and are looked up in the band table.
        """
        from jido.geo.bands import identify

        geobox = array.odc.geobox
        if geobox is None or geobox.crs is None:
            raise ImageError("The DataArray has no CRS: assign one with array.odc.assign_crs(...).")
        first = array.dims[0]
        names = [str(v) for v in array[first].values] if first in array.coords else []
        names = names or [f"band{i + 1}" for i in range(array.shape[0])]
        return cls(np.asarray(array.values, dtype=np.float32), identify(names), geobox)


def pixel_size_m(geobox: GeoBox) -> tuple[float, float]:
    """Height and width of a pixel in metres, measured on the ground at the centre of the grid.

    Measured along the ellipsoid (WGS84), so a pixel in degrees is not taken for a square, nor one
    of web Mercator for as large as it says. A projection that is right to 1 % there, such as UTM,
    is taken at its word: its 10 m are 10 m.
    """
    if geobox.crs is None:
        raise ImageError("The grid has no CRS, so its pixels have no size in metres.")
    from pyproj import Geod

    height, width = abs(geobox.resolution.y), abs(geobox.resolution.x)
    x, y = geobox.extent.centroid.coords[0]
    dx, dy = np.array([-width, width, 0, 0]) / 2, np.array([0, 0, -height, height]) / 2
    lon, lat = geobox.crs.transformer_to_crs("EPSG:4326")(x + dx, y + dy)
    _, _, (across, along) = Geod(ellps="WGS84").inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    if not geobox.crs.geographic:
        factor = geobox.crs.proj.axis_info[0].unit_conversion_factor or 1.0
        stated = float(height * factor), float(width * factor)
        if not (abs(along / stated[0] - 1) > 0.01 or abs(across / stated[1] - 1) > 0.01):
            return stated
    return float(along), float(across)


def same_place(one: GeoBox, other: GeoBox, *, cells: float) -> bool:
    """Whether grids of one size lie on each other; those without a CRS do.

    Args:
        one: a grid.
        other: a grid of as many rows and columns.
        cells: by which corners may lie beside each other.
    """
    if one.crs is None or other.crs is None:
        return one.crs is None and other.crs is None
    corners = [(0, 0), (one.shape.x, 0), (0, one.shape.y)]
    moved = ~other.affine * one.affine
    shift = max(abs(np.subtract(moved * corner, corner)).max() for corner in corners)
    return bool(shift <= cells) and one.crs.proj.equals(other.crs.proj, ignore_axis_order=True)
