"""Spectral indices: plain functions of arrays of reflectance, same shape in and out.

A pixel whose ratio is 0/0 has no index: it is NaN, never a number near zero. Inputs are float
arrays of one shape, NaN where there is no data; NaN in any input gives NaN. Whole numbers are
computed as float, so that 8-bit counts do not wrap around.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jido.errors import ImageError

MOST_REFLECTANCE = 10.0
"""Beyond that numbers are no reflectance: 16-bit products / 10,000 end at 6.6, and glint seldom passes 2."""


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


def awei_sh(
    blue: np.ndarray, green: np.ndarray, nir: np.ndarray, swir16: np.ndarray, swir22: np.ndarray
) -> np.ndarray:
    """Open water where there are shadows, above 0 for water; needs reflectance, 0..1.

    blue + 2.5 green - 1.5 (nir + swir16) - 0.25 swir22. Feyisa et al. 2014, doi
    10.1016/j.rse.2013.08.029.

    Raises:
        ImageError: when a number is far beyond reflectance.
    """
    blue, green, nir, swir16, swir22 = _reflectance("AWEIsh", blue, green, nir, swir16, swir22)
    return blue + 2.5 * green - 1.5 * (nir + swir16) - 0.25 * swir22


def awei_nsh(green: np.ndarray, nir: np.ndarray, swir16: np.ndarray, swir22: np.ndarray) -> np.ndarray:
    """Open water where there are no shadows, above 0 for water; needs reflectance, 0..1.

    4 (green - swir16) - (0.25 nir + 2.75 swir22). Feyisa et al. 2014, doi 10.1016/j.rse.2013.08.029. The
    bracket takes *both* terms away. A widely used list (Awesome Spectral Indices, package spyndex) has
    + 2.75 swir22: by it soil and roofs, bright in swir22, look like water.

    Raises:
        ImageError: when a number is far beyond reflectance.
    """
    green, nir, swir16, swir22 = _reflectance("AWEInsh", green, nir, swir16, swir22)
    return 4 * (green - swir16) - (0.25 * nir + 2.75 * swir22)


class Wavelengths(NamedTuple):
    """Centres of bands of a platform of Sentinel-2 in nm."""

    red: float
    rededge075: float
    nir: float
    swir16: float


SENTINEL_2_NM: dict[str, Wavelengths] = {
    "S2A": Wavelengths(664.6, 740.5, 832.8, 1613.7),
    "S2B": Wavelengths(665.0, 739.1, 833.0, 1610.4),
}
"""Platform -> centres of its bands, as in Biermann et al. 2020; rededge075: ESA, spectral responses."""


def fdi(
    nir: np.ndarray, rededge075: np.ndarray, swir16: np.ndarray, *, nm: Wavelengths = SENTINEL_2_NM["S2A"]
) -> np.ndarray:
    """Floating Debris Index: NIR above what red edge and SWIR let expect; needs reflectance, 0..1.

    nir - R', R' = rededge075 + (swir16 - rededge075) (nir_nm - red_nm) / (swir16_nm - red_nm) x 10, with
    the *red* wavelength though its band is not used. Biermann et al. 2020, doi 10.1038/s41598-020-62298-z.
    Open water is near 0, floating matter above; foam is as high as debris, Sargassum higher. Thresholds do
    not carry over to :func:`fdi_740`.

    Args:
        nir: B8.
        rededge075: B6.
        swir16: B11.
        nm: of the platform, of :data:`SENTINEL_2_NM`.

    Raises:
        ImageError: when a number is far beyond reflectance.
    """
    return _above_line("FDI", nir, rededge075, swir16, (nm.nir - nm.red) / (nm.swir16 - nm.red) * 10)


def fdi_740(
    nir: np.ndarray, rededge075: np.ndarray, swir16: np.ndarray, *, nm: Wavelengths = SENTINEL_2_NM["S2A"]
) -> np.ndarray:
    """The form of :func:`fdi` in MARIDA's code: the wavelength of the red *edge* (740 nm) for that of red.

    Kikaki et al. 2022, doi 10.1371/journal.pone.0262247. Lower than the paper's form on the same pixels.

    Raises:
        ImageError: when a number is far beyond reflectance.
    """
    factor = (nm.nir - nm.rededge075) / (nm.swir16 - nm.rededge075) * 10
    return _above_line("FDI (740 nm)", nir, rededge075, swir16, factor)


def _above_line(name: str, nir: np.ndarray, edge: np.ndarray, swir: np.ndarray, factor: float) -> np.ndarray:
    nir, edge, swir = _reflectance(name, nir, edge, swir, instead="")
    return np.asarray(nir - (edge + (swir - edge) * factor))


def _reflectance(name: str, *bands: np.ndarray, instead: str = ", or take MNDWI") -> list[np.ndarray]:
    """Bands as floats. A sum with weights changes with the scale of its numbers, a ratio does not."""
    found = [_as_float(band) for band in bands]
    most = max((float(np.fmax.reduce(band, axis=None, initial=-np.inf)) for band in found), default=0.0)
    if most > MOST_REFLECTANCE:
        raise ImageError(
            f"{name} adds bands up, so it needs reflectance (0..1), but a number is {most:g}: divide by the "
            f"scale of the product (10,000 for Sentinel-2, offset taken off){instead}."
        )
    return found


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
    "awei_sh": Index(awei_sh, ("blue", "green", "nir", "swir16", "swir22")),
    "awei_nsh": Index(awei_nsh, ("green", "nir", "swir16", "swir22")),
    "fdi": Index(fdi, ("nir", "rededge075", "swir16")),
    "fdi_740": Index(fdi_740, ("nir", "rededge075", "swir16")),
}
