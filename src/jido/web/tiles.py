"""Map tiles out of rasters: what may be asked for, and how it looks."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from functools import lru_cache

import numpy as np
from rio_tiler.io import Reader
from starlette.exceptions import HTTPException

from jido.web.colours import class_pixels, composite_pixels, hatch_pixels, png, ramp_pixels
from jido.web.layers import Layer
from jido.web.rasters import PLANE, RasterFile, Rasters, scaled

EARTH = 2 * 20037508.342789244
"""Metres of web Mercator around the Earth."""

SIZE = 256
"""Pixels along a tile."""

CACHE = 64 << 20
"""Bytes of tiles that are kept."""

FINEST = 24
"""Zoom beyond which a browser enlarges by itself."""

Stretch = tuple[tuple[float, float], ...]
"""For each shown band the values that are darkest and brightest."""


def maxzoom(layer: Layer) -> int:
    """The finest tiles worth making: cells of a map keep their true shape some zooms further."""
    finer = 1 if layer.kind == "image" else 3
    return min(layer.raster.maxzoom + finer, FINEST) if layer.raster else FINEST


class Tiles:
    """Makes tiles and keeps the last ones."""

    def __init__(self, rasters: Rasters) -> None:
        self.rasters = rasters
        self._kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def tile(
        self, layer: Layer, z: int, x: int, y: int, *, bands: tuple[int, ...], stretch: Stretch | None
    ) -> bytes:
        """The PNG of a tile; clear where the layer is not.

        Raises:
            HTTPException: 404 when there is no such tile.
        """
        if layer.raster is None or not (layer.raster.minzoom <= z <= maxzoom(layer)):
            raise HTTPException(404, f"There are no tiles of zoom {z} here.")
        if not (0 <= x < 2**z and 0 <= y < 2**z):
            raise HTTPException(404, f"There is no tile {x}, {y} at zoom {z}.")
        if not _touches(layer.bounds, z, x, y):
            return empty()
        key = (layer.id, z, x, y, bands, stretch)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._made(layer, z, x, y, bands, stretch)
        with self._lock:
            self._bytes += len(made) - len(self._kept.pop(key, b""))
            self._kept[key] = made
            while self._bytes > CACHE:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def _made(
        self, layer: Layer, z: int, x: int, y: int, bands: tuple[int, ...], stretch: Stretch | None
    ) -> bytes:
        file = layer.raster
        if file is None:
            return empty()
        smooth = "bilinear" if layer.kind == "image" else "nearest"
        path, planes = self.rasters.source(file, bands, z)
        with self.rasters.take(path) as opened:
            block = _read(opened.reader, file, (z, x, y), planes, smooth)
        if block is None or np.ma.getmaskarray(block).all():
            return empty()
        return png(self._pixels(layer, block, bands, stretch))

    def _pixels(
        self, layer: Layer, block: np.ma.MaskedArray, bands: tuple[int, ...], stretch: Stretch | None
    ) -> np.ndarray:
        if layer.kind == "classes":
            return class_pixels(block[0], layer.classes)
        if layer.kind == "unsure":
            return hatch_pixels((block[0] == 1).filled(False))
        scales = layer.raster.scales if layer.raster else ()
        values = scaled(block, [scales[band - 1] for band in bands])
        limits = stretch or self.stretch(layer, bands)
        return ramp_pixels(values[0], *limits[0]) if len(bands) == 1 else composite_pixels(values, limits)

    def stretch(self, layer: Layer, bands: tuple[int, ...]) -> Stretch:
        """What is darkest and brightest when nobody says otherwise.

        The whole range of percent, shares and of pictures of bytes; else the 2nd and 98th percentile.
        """
        if layer.kind in ("percent", "share"):
            return ((0.0, 100.0 if layer.kind == "percent" else 1.0),) * len(bands)
        if layer.raster and layer.raster.dtype == "uint8" and layer.raster.colours and len(bands) == 3:
            return ((0.0, 255.0),) * 3
        return tuple((low, high) for low, high, _ in self.histogram(layer, bands))

    def histogram(self, layer: Layer, bands: tuple[int, ...]) -> tuple[tuple[float, float, list[int]], ...]:
        """2nd and 98th percentile of each band, and how many of some pixels lie in 32 steps between them."""
        return _histograms(self.rasters, layer, bands)


def _read(
    reader: Reader, file: RasterFile, place: tuple[int, int, int], planes: tuple[int, ...], resampling: str
) -> np.ma.MaskedArray | None:
    """The pixels of a tile (C, 256, 256); ``None`` where nothing of it is in the file.

    Only the part of the tile that the file covers is warped: the whole of a tile of a coarse zoom would be
    warped at the resolution of the file, which takes a minute for a small one.
    """
    z, x, y = place
    pixel = EARTH / 2**z / SIZE
    left, top = x * SIZE * pixel - EARTH / 2, EARTH / 2 - y * SIZE * pixel
    west, south, east, north = file.extent
    cols = max(math.floor((west - left) / pixel), 0), min(math.ceil((east - left) / pixel), SIZE)
    rows = max(math.floor((top - north) / pixel), 0), min(math.ceil((top - south) / pixel), SIZE)
    if cols[0] >= cols[1] or rows[0] >= rows[1]:
        return None
    box = (left + cols[0] * pixel, top - rows[1] * pixel, left + cols[1] * pixel, top - rows[0] * pixel)
    part = reader.part(
        box,
        bounds_crs=PLANE,
        dst_crs=PLANE,
        indexes=planes,
        width=cols[1] - cols[0],
        height=rows[1] - rows[0],
        reproject_method=resampling,
    ).array
    block = np.ma.MaskedArray(np.zeros((len(planes), SIZE, SIZE), dtype=part.dtype), mask=True)
    block[:, slice(*rows), slice(*cols)] = part
    return block


@lru_cache(maxsize=256)
def _histograms(
    rasters: Rasters, layer: Layer, bands: tuple[int, ...]
) -> tuple[tuple[float, float, list[int]], ...]:
    sample = rasters.sample(layer.raster, bands) if layer.raster else np.empty((len(bands), 0))
    return tuple(_histogram(values[np.isfinite(values)]) for values in sample)


def _histogram(values: np.ndarray) -> tuple[float, float, list[int]]:
    if not values.size:
        return 0.0, 1.0, []
    low, high = (float(f"{v:.5g}") for v in np.percentile(values, (2, 98)))
    if low == high:
        low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    counts, _ = np.histogram(values, bins=32, range=(low, high))
    return low, high, counts.tolist()


@lru_cache(maxsize=1)
def empty() -> bytes:
    """A clear tile."""
    return png(np.zeros((SIZE, SIZE, 4), dtype=np.uint8))


def _touches(bounds: tuple[float, float, float, float], z: int, x: int, y: int) -> bool:
    west, south, east, north = bounds
    left, top = _place(west, north, z)
    right, bottom = _place(east, south, z)
    return left < x + 1 and right >= x and top < y + 1 and bottom >= y


def _place(lon: float, lat: float, z: int) -> tuple[float, float]:
    """Where a place lies among the tiles of a zoom (web Mercator)."""
    lat = math.radians(min(max(lat, -85.06), 85.06))
    up = math.asinh(math.tan(lat)) / math.pi
    return (lon / 360 + 0.5) * 2**z, (1 - up) / 2 * 2**z


def tiles_over(bounds: tuple[float, float, float, float], z: int) -> list[tuple[int, int]]:
    """Columns and rows of the tiles of a zoom that touch bounds."""
    (left, top), (right, bottom) = _place(bounds[0], bounds[3], z), _place(bounds[2], bounds[1], z)
    last = 2**z - 1
    cols = range(max(int(left), 0), min(int(right), last) + 1)
    rows = range(max(int(top), 0), min(int(bottom), last) + 1)
    return [(x, y) for y in rows for x in cols]
