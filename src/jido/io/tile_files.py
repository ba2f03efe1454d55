"""Files of a folder of tiles: an image for each cell of ground, and the table of their outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyogrio
import rasterio
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError

from jido.errors import ImageError
from jido.geo import Band
from jido.io.geotiff import geotiff_profile
from jido.io.raster import NATIVE

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

LAYER, KIND = "tiles", "KIND"
"""Layer of the table, and under which name it says what its cells are."""


def nodata_values(path: str | Path) -> tuple[float | None, ...]:
    """The number that stands for no data in each band of an image, ``None`` where there is none."""
    with rasterio.open(path) as source:
        return tuple(source.nodatavals)


def write_tile(
    pixels: np.ndarray,
    geobox: GeoBox,
    path: Path,
    *,
    bands: Sequence[Band],
    dtype: str,
    nodata: float | None,
    tags: Mapping[str, str],
) -> None:
    """Write a tile as a deflated GeoTIFF; whole numbers are rounded.

    Args:
        pixels: (C, S, S) float32, NaN = no data.
        geobox: where it lies.
        path: the file.
        bands: C of them.
        dtype: of the numbers in the file.
        nodata: number without data; without one a mask tells where whole numbers have none.
        tags: what else the file says of its numbers.
    """
    seen, whole = np.isfinite(pixels), dtype in NATIVE
    if whole:
        ends = np.iinfo(dtype)
        pixels = np.where(seen, np.clip(np.rint(pixels), ends.min, ends.max), nodata or 0).astype(dtype)
    profile = geotiff_profile(geobox, count=len(bands), dtype=dtype, nodata=np.nan)
    profile |= {"nodata": nodata if whole else np.nan, "tiled": False, "blockysize": geobox.shape.y}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as sink:
        sink.write(pixels)
        sink.update_tags(**tags)
        for i, band in enumerate(bands, start=1):
            sink.set_band_description(i, band.name)
            sink.set_band_unit(i, band.unit)
        if whole and nodata is None and not seen.all():
            sink.write_mask(seen.any(axis=0))


def write_tile_table(
    columns: Mapping[str, np.ndarray], outline: np.ndarray, crs: CRS, path: Path, *, kind: str
) -> None:
    """Write the table of a folder of tiles.

    Args:
        columns: (n,) each.
        outline: (n,) polygons.
        crs: of the polygons.
        path: the file.
        kind: of the cells in words.
    """
    from geopandas import GeoDataFrame

    frame = GeoDataFrame(columns, geometry=outline, crs=crs.to_wkt())
    frame.to_file(path, driver="GPKG", layer=LAYER, engine="pyogrio", layer_metadata={KIND: kind})


def read_tile_table(path: Path) -> tuple[GeoDataFrame, str | None]:
    """What :func:`write_tile_table` has written: its rows, and what its cells are, ``None`` if it is silent.

    Raises:
        ImageError: when it is damaged.
    """
    try:
        frame = pyogrio.read_dataframe(path)
        told = pyogrio.read_info(path, layer=0).get("layer_metadata") or {}
    except (DataLayerError, DataSourceError) as err:
        raise ImageError(f"{path} is damaged or cut short: cut the tiles again.") from err
    return frame, told.get(KIND)
