"""From pixels with gaps to what a net can take: the only place where NaN becomes a number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import distance_transform_edt

LEAST_KNOWN = 0.25
"""Share of a window that a band must show."""


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
        Where a band is the same everywhere its standard deviation is given as 1.
    """
    sums = np.zeros((3, bands))
    for block in blocks:
        values = block.astype(np.float64)
        known = np.isfinite(values)
        values[~known] = 0
        sums += [part.sum(axis=(0, 2, 3)) for part in (known, values, values**2)]
    count = np.maximum(sums[0], 1)
    mean = sums[1] / count
    sd = np.sqrt(np.maximum(sums[2] / count - mean**2, 0))
    return mean.astype(np.float32), np.where(sd > 0, sd, 1).astype(np.float32)
