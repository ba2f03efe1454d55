"""From pixels with gaps to what a net can take: the only place where NaN becomes a number."""

from __future__ import annotations

import numpy as np


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
