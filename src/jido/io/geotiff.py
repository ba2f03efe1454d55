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


def write_image(raster: Raster, path: str | Path) -> None:
    """Write a Raster as a tiled, deflated GeoTIFF (float32, nodata NaN, named bands)."""
    with replacing(path) as fresh:
        profile = geotiff_profile(raster.geobox, count=len(raster.bands), dtype="float32", nodata=np.nan)
        with rasterio.open(fresh, "w", **profile) as sink:
            sink.write(raster.data)
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
