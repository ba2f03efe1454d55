"""Radar before water is sought in it: decibels, with less speckle.

Means are of power, not of decibels, whose mean lies 0.5 to 2.5 dB too low under speckle.
"""

from __future__ import annotations

import numpy as np

from jido.errors import ImageError
from jido.geo import Band, neighbourhood_mean_sd

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD images in high resolution (ESA)."""

FEWEST = 100
"""Pixels with data from which on numbers tell decibels from power: a few roofs may all be above 0 dB."""


def require_decibels(plane: np.ndarray, band: Band) -> None:
    """Refuse radar that is not in decibels: its threshold and its edges would be others.

    Args:
        plane: (y, x), NaN = no data.
        band: of the image; the unit that it states is believed when the numbers allow it.

    Raises:
        ImageError: when the unit is another, or none of at least :data:`FEWEST` numbers is below 0, as in
            linear power.
    """
    lowest = float(np.fmin.reduce(plane, axis=None, initial=np.inf))
    if band.unit not in ("dB", "") or (lowest >= 0 and np.isfinite(plane).sum() >= FEWEST):
        said = f"in {band.unit!r}" if band.unit else "without a unit"
        raise ImageError(
            f"Band {band.name} is {said} and its lowest number is {lowest:.3g}: the water threshold is one "
            "of decibels, so give 10 log10 of the linear power."
        )


def lee(decibels: np.ndarray, *, radius: int = 3, looks: float = LOOKS) -> np.ndarray:
    """Speckle averaged away where the ground is even, less where it is not: decibels, float32 (y, x).

    mean + k (power - mean), k = (1 - Cu² / C²) / (1 + Cu²) and not below 0, with C the local coefficient
    of variation and Cu² = 1 / looks that of speckle. Source: Lee 1980, doi 10.1109/TPAMI.1980.4766994.

    Args:
        decibels: (y, x), NaN = no data; ``radius`` pixels more are needed around a window.
        radius: of the square, in pixels.
        looks: equivalent number of looks of the image.
    """
    power = _power(decibels)
    mean, sd = neighbourhood_mean_sd(power, radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.maximum(1 - (mean / sd) ** 2 / looks, 0) / (1 + 1 / looks)
    return _decibels(mean + np.where(sd > 0, k, 0) * (power - mean))


def _power(decibels: np.ndarray) -> np.ndarray:
    return np.power(10, np.asarray(decibels, dtype=np.float32) / 10)


def _decibels(power: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, 10 * np.log10(power), np.nan).astype(np.float32)
