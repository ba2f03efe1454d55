"""Masks without what nobody asked for: weak pieces and small ones. Pieces are 8-connected."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

AROUND = np.ones((3, 3), dtype=bool)
"""Cells that touch along a side or at a corner belong together."""


def hysteresis(probability: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Bool (y, x): the pieces of cells of at least ``low`` that hold a cell of at least ``high``.

    A weak piece needs one sure cell to count, and then counts whole: fewer false positives than with
    ``low`` alone, fewer torn objects than with ``high`` alone. With both equal it is a threshold.
    Source: Canny 1986, doi 10.1109/TPAMI.1986.4767851, section VII.

    Args:
        probability: (y, x), NaN = no data, which is never chosen.
        low: threshold of the cells of a piece.
        high: threshold that one of them reaches, not below ``low``.

    Raises:
        ValueError: when ``high`` is below ``low``.
    """
    if not low <= high:
        raise ValueError(f"high must not be below low, but {high} is below {low}.")
    number, count = label(probability >= low, structure=AROUND)
    chosen = np.zeros(count + 1, dtype=bool)
    chosen[number[probability >= high]] = True
    return chosen[number]


def drop_small(mask: np.ndarray, *, cells: int) -> np.ndarray:
    """Bool (y, x): the pieces of a mask (y, x) bool that have at least ``cells`` cells."""
    number, count = label(mask, structure=AROUND)
    large = np.bincount(number.ravel(), minlength=count + 1) >= cells
    large[0] = False  # what lies around the pieces
    return large[number]
