"""The Gaussian filter that turns single LCZ cells into zones.

Per class: one-hot -> Gaussian of the class's radius and sigma -> highest class wins. Source:
Demuzere et al. 2020, doi 10.1038/s41597-020-00605-z (as in the LCZ Generator, 2021).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

RADIUS_M = {1: 200, **dict.fromkeys((2, 3, 4, 5, 6, 7, 9, 15), 300), 8: 500, 10: 500}
RADIUS_M |= {**dict.fromkeys((11, 12, 13, 14, 16), 200), 17: 50}
SIGMA_M = {1: 100, **dict.fromkeys((2, 3, 4, 5, 6, 7, 9, 15), 150), 8: 250, 10: 250}
SIGMA_M |= {**dict.fromkeys((11, 12, 13, 14, 16), 75), 17: 25}
"""LCZ code -> radius and sigma of its kernel in metres."""


def _cells(metres: float, cell_m: float) -> int:
    """Whole cells within a radius; a cell of 100.0001 m, as in feet, counts as one of 100 m."""
    return int(metres / cell_m + 1e-4)


def reach(cell_m: float) -> int:
    """Cells that the widest kernel reaches."""
    return _cells(max(RADIUS_M.values()), cell_m)


def _kernel(code: int, cell_m: float) -> np.ndarray:
    """One-dimensional kernel, cut at the class's radius, sum 1."""
    radius = _cells(RADIUS_M[code], cell_m)
    offset = np.arange(-radius, radius + 1) * cell_m
    kernel = np.exp(-0.5 * (offset / SIGMA_M[code]) ** 2)
    return kernel / kernel.sum()


def gaussian_filter_lcz(codes: np.ndarray, *, cell_m: tuple[float, float], nodata: int) -> np.ndarray:
    """Filtered LCZ codes, same shape (Y, X) and type; nodata stays where it was and has no say.

    Args:
        codes: LCZ codes 1..17 or ``nodata``.
        cell_m: height and width of a cell in metres.
        nodata: value of cells without a class.
    """

    def smooth(plane: np.ndarray, code: int) -> np.ndarray:
        for axis in (0, 1):
            plane = correlate1d(plane, _kernel(code, cell_m[axis]), axis=axis, mode="constant", cval=0.0)
        return plane

    valid = codes != nodata
    best = np.full(codes.shape, -1.0)
    filtered = codes.copy()
    for code in np.unique(codes[valid]).tolist():
        weight = smooth(valid.astype(np.float64), code)
        score = smooth((codes == code).astype(np.float64), code)
        share = np.divide(score, weight, out=np.zeros_like(score), where=weight > 0)
        better = valid & (share > best)
        best[better] = share[better]
        filtered[better] = code
    return filtered
