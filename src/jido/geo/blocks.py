"""Means and spreads over blocks and neighbourhoods of pixels that leave out missing ones.

Every sum runs in a fixed order for each pixel, so a tile gives the same bits as the whole scene.
"""

from __future__ import annotations

import numpy as np
from odc.geo.geobox import GeoBox
from scipy.ndimage import correlate1d

from jido.geo.raster import pixel_size_m


def block_sum(data: np.ndarray, size: int) -> np.ndarray:
    """Sums over blocks: (..., H, W) -> (..., H // size, W // size) float64; a rest is left out."""
    height, width = data.shape[-2] // size * size, data.shape[-1] // size * size
    data = data[..., :height, :width]
    across = sum((data[..., i::size] for i in range(1, size)), start=data[..., 0::size].astype(np.float64))
    return sum((across[..., i::size, :] for i in range(1, size)), start=across[..., 0::size, :])


def _spread(total: np.ndarray, squares: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation from sums; NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
        variance = squares / count - mean**2
    return mean, np.sqrt(np.maximum(variance, 0))


def block_mean_sd(data: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the pixels with data in each block of every plane.

    (C, H, W) -> two arrays (C, H // size, W // size) float32, NaN where a block holds no data.
    """
    if size == 1:
        return data, np.where(np.isfinite(data), np.float32(0), np.float32(np.nan))
    pairs = []
    for plane in data:  # one at a time: the sums are float64
        seen = np.isfinite(plane)
        filled = np.where(seen, plane, 0).astype(np.float64)
        mean_sd = _spread(block_sum(filled, size), block_sum(filled**2, size), block_sum(seen, size))
        pairs.append([moment.astype(np.float32) for moment in mean_sd])
    means, spreads = zip(*pairs, strict=True)
    return np.stack(means), np.stack(spreads)


def neighbourhood_mean_sd(data: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the square of ``2 radius + 1`` pixels around each pixel.

    (H, W) -> two arrays of that shape, float32; only pixels with data count, and what lies
    outside the array is missing, not mirrored.
    """
    ones = np.ones(2 * radius + 1)

    def around(values: np.ndarray) -> np.ndarray:
        rows = correlate1d(values, ones, axis=0, mode="constant", cval=0.0)
        return correlate1d(rows, ones, axis=1, mode="constant", cval=0.0)

    seen = np.isfinite(data)
    filled = np.where(seen, data, 0).astype(np.float64)
    mean, sd = _spread(around(filled), around(filled**2), around(seen.astype(np.float64)))
    return mean.astype(np.float32), sd.astype(np.float32)


def coarser(geobox: GeoBox, size: int) -> GeoBox:
    """The grid of the blocks of ``size`` x ``size`` pixels, same upper left corner."""
    from affine import Affine

    shape = (geobox.shape.y // size, geobox.shape.x // size)
    a = geobox.affine
    larger = Affine(a.a * size, a.b * size, a.c, a.d * size, a.e * size, a.f)
    return GeoBox(shape, larger, geobox.crs)


def cell_stride(pixel_m: tuple[float, float], cell_m: float) -> int:
    """How many pixels of this size (height, width in metres) make one cell of ``cell_m``, at least 1."""
    return max(1, round(cell_m / max(pixel_m)))


def cell_grid(geobox: GeoBox, cell_m: float) -> GeoBox:
    """The cells of an image, of ``cell_m`` metres or of one pixel where that is larger."""
    return coarser(geobox, cell_stride(pixel_size_m(geobox), cell_m))


def coarse_valid(valid: np.ndarray, size: int) -> np.ndarray:
    """Bool mask of the blocks in which at least half of the pixels have data; (H, W) bool in."""
    return block_sum(valid, size) * 2 >= size * size
