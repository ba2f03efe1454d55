"""Spectral indices: plain functions of arrays of reflectance, same shape in and out.

A pixel whose ratio is 0/0 has no index: it is NaN, never a number near zero. Inputs are float
arrays of one shape, NaN where there is no data; NaN in any input gives NaN. Whole numbers are
computed as float, so that 8-bit counts do not wrap around.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def normalised_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a - b) / (a + b), shape as given, NaN where a + b is 0."""
    a, b = _as_float(a), _as_float(b)
    total = a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total == 0, np.nan, (a - b) / total)


def _as_float(values: np.ndarray) -> np.ndarray:
    """Floats as they are, 8- and 16-bit counts as float32, larger ones as float64."""
    return np.asarray(values, dtype=np.result_type(values, np.float32))


def ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Vegetation, -1..1. Rouse et al. 1974."""
    return normalised_difference(nir, red)


def ndwi(green: np.ndarray, nir: np.ndarray) -> np.ndarray:
    """Open water, -1..1. McFeeters 1996, doi 10.1080/01431169608948714."""
    return normalised_difference(green, nir)


def mndwi(green: np.ndarray, swir16: np.ndarray) -> np.ndarray:
    """Open water against built-up, -1..1. Xu 2006, doi 10.1080/01431160600589179."""
    return normalised_difference(green, swir16)


def ndbi(swir16: np.ndarray, nir: np.ndarray) -> np.ndarray:
    """Built-up, -1..1. Zha et al. 2003, doi 10.1080/01431160304987."""
    return normalised_difference(swir16, nir)


def bsi(swir16: np.ndarray, red: np.ndarray, nir: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Bare soil, -1..1. Rikimaru et al. 2002."""
    return normalised_difference(_as_float(swir16) + _as_float(red), _as_float(nir) + _as_float(blue))


class Index(NamedTuple):
    """A spectral index and the STAC common names of its arguments, in order."""

    function: Callable[..., np.ndarray]
    bands: tuple[str, ...]


INDICES: dict[str, Index] = {
    "ndvi": Index(ndvi, ("nir", "red")),
    "ndwi": Index(ndwi, ("green", "nir")),
    "mndwi": Index(mndwi, ("green", "swir16")),
    "ndbi": Index(ndbi, ("swir16", "nir")),
    "bsi": Index(bsi, ("swir16", "red", "nir", "blue")),
}
