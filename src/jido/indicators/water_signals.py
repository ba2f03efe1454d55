"""Planes in which water and land differ: indices of reflectance, and radar in decibels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


def _itself(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    return plane


def _difference(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    """What is above the line of a normalised difference."""
    return bands[0] - bands[1]


def _power(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    """Linear power of decibels."""
    return np.power(10, np.asarray(plane, dtype=np.float32) / 10)


@dataclass(frozen=True)
class Signal:
    """A plane in which water and land differ.

    Args:
        start: fixed threshold between them, as published.
        step: least difference of the two sides of an edge, in the unit of the plane.
        low: where its histogram begins; what lies below is counted in the first bin.
        high: where it ends.
        above: water lies above the threshold; with radar it lies below.
        mixing: (plane, bands of the index in order) -> what a pixel of land and water has in proportion
            to its parts: a sum of reflectances, or power. Ratios and decibels do not mix so.
        bins: of the histogram.
    """

    start: float
    step: float
    low: float
    high: float
    above: bool = True
    mixing: Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray] = _itself
    bins: int = 400

    @property
    def width(self) -> float:
        """Of a bin: the threshold is exact to that."""
        return (self.high - self.low) / self.bins


SIGNALS: dict[str, Signal] = {
    "ndwi": Signal(0.0, 0.25, -1.0, 1.0, mixing=_difference),
    "mndwi": Signal(0.0, 0.25, -1.0, 1.0, mixing=_difference),
    "awei_sh": Signal(0.0, 0.25, -2.0, 2.0),
    "awei_nsh": Signal(0.0, 0.25, -2.0, 2.0),
    "VV": Signal(-16.0, 3.0, -40.0, 10.0, above=False, mixing=_power),
    "VH": Signal(-23.0, 3.0, -45.0, 5.0, above=False, mixing=_power),
}
