"""Writing plain GeoTIFF: images and class codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from jido.geo import Raster
from jido.io.files import replacing
from jido.io.raster import wkt
from jido.labels import ClassScheme


def write_image(raster: Raster, path: str | Path, *, dtype: str = "float32") -> None:
    """Write a Raster as a tiled, deflated GeoTIFF with named bands.

    Args:
        raster: the image.
        path: the file.
        dtype: ``float32``, where NaN is no data, or unsigned whole numbers such as ``uint8``, where 0 is.

    Raises:
        ValueError: when a number of the image is 0 or does not fit into whole numbers.
        OutputError: when the file cannot be written.
    """
    data = raster.data
    if dtype != "float32":
        with np.errstate(invalid="ignore"):  # what does not fit is found below
            data = np.nan_to_num(raster.data).astype(dtype)
        if not np.array_equal(np.where(data == 0, np.nan, data), raster.data, equal_nan=True):
            raise ValueError(f"Not all numbers of the image can be written as {dtype}, where 0 is no data.")
    with replacing(path) as fresh:
        nodata = np.nan if dtype == "float32" else 0
        profile = geotiff_profile(raster.geobox, count=len(raster.bands), dtype=dtype, nodata=nodata)
        with rasterio.open(fresh, "w", **profile) as sink:
            sink.write(data)
            for i, band in enumerate(raster.bands, start=1):
                sink.set_band_description(i, band.name)
                sink.set_band_unit(i, band.unit)


def write_codes(codes: np.ndarray, geobox: GeoBox, path: str | Path, *, scheme: ClassScheme) -> None:
    """Write class codes uint8 (y, x), 0 = none, as a GeoTIFF with the scheme's palette inside."""
    profile = geotiff_profile(geobox, count=1, dtype="uint8", nodata=0)
    with replacing(path) as fresh, rasterio.open(fresh, "w", **profile) as sink:
        sink.write(codes, 1)
        sink.set_band_description(1, scheme.name)
        sink.write_colormap(1, scheme.palette)


def geotiff_profile(geobox: GeoBox, *, count: int, dtype: str, nodata: float) -> dict[str, object]:
    """Creation options of Jido's GeoTIFFs: tiled 256, deflate, BigTIFF when needed."""
    return {
        "driver": "GTiff",
        "height": geobox.shape.y,
        "width": geobox.shape.x,
        "count": count,
        "dtype": dtype,
        "crs": wkt(geobox),
        "transform": geobox.affine,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "predictor": 3 if dtype == "float32" else 2,
        "bigtiff": "if_safer",
    }
