"""From pixels with gaps to what a net can take: the only place where NaN becomes a number."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy.ndimage import distance_transform_edt

LEAST_KNOWN = 0.25
"""Share of a window that a band must show."""

AT_ONCE = 4e6
"""Bytes of windows whose gaps are looked for at once."""

SAME = 1e-6
"""Spread as a share of the mean up to which a band is the same everywhere: float32 has 7 digits."""


def normalise(batch: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values with mean 0 and standard deviation 1, and where they were known.

    Args:
        batch: images (B, C, H, W) float32, NaN = no data.
        mean: of each band over the training pixels, (C,) float32, in the unit of the band.
        sd: standard deviation of each band, (C,) float32, above 0.

    Returns:
        values (B, C, H, W) float32, 0 (the mean) where there is no data, and ``valid``
        (B, C, H, W) bool, false there.
    """
    values = batch - mean[:, None, None]
    values /= sd[:, None, None]
    valid = np.isfinite(values)
    np.copyto(values, 0, where=~valid)
    return values, valid


def fill_gaps(windows: np.ndarray) -> None:
    """Give pixels without data the value of the nearest one that has some, in place.

    At the rim of an image and beside a cloud a net would else take the gap, which it is shown as the mean,
    for something on the ground. A band that shows less than a quarter of a window, which is what is left in
    the corner of an image, is missing there as a whole.

    Args:
        windows: (n, C, S, S) float, NaN = no data.
    """
    step = max(int(AT_ONCE / (windows.itemsize * math.prod(windows.shape[1:]))), 1)
    for start in range(0, len(windows), step):
        _fill(windows[start : start + step])


def _fill(windows: np.ndarray) -> None:
    """Fill the gaps of a few windows; where they have the same ones the nearest pixels are sought once."""
    known = np.isfinite(windows)
    share = known.mean((2, 3))
    windows[share < LEAST_KNOWN] = np.nan
    nearest: dict[bytes, np.ndarray] = {}
    for i, band in np.argwhere((share >= LEAST_KNOWN) & (share < 1)):
        mask, plane = known[i, band], windows[i, band]
        if (key := mask.tobytes()) not in nearest:
            nearest[key] = distance_transform_edt(~mask, return_distances=False, return_indices=True)
        plane[:] = plane[tuple(nearest[key])]


def band_moments(blocks: Iterable[np.ndarray], bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) float32 of each band over all pixels with data.

    Args:
        blocks: images (n, C, H, W), some at a time, NaN = no data.
        bands: their number C.

    Returns:
        Where a band is the same everywhere, but for rounding, its standard deviation is given as 1.
    """
    first = np.full(bands, np.nan)
    sums = np.zeros((3, bands))
    for block in blocks:
        for band in range(bands):
            plane = block[:, band]
            values = plane[np.isfinite(plane)].astype(np.float64)
            if len(values):
                if np.isnan(first[band]):
                    first[band] = values[0]
                values -= first[band]  # squares of a large mean would swallow a small spread
                sums[:, band] += len(values), values.sum(), np.square(values).sum()
    count = np.maximum(sums[0], 1)
    off = sums[1] / count
    mean = np.nan_to_num(first) + off
    sd = np.sqrt(np.maximum(sums[2] / count - off**2, 0))
    return mean.astype(np.float32), np.where(sd > SAME * np.abs(mean), sd, 1).astype(np.float32)
