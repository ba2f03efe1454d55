"""Where a net was wrong, one bit per pixel, accumulated over passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from jido.data.tiles import Tiles, packed

if TYPE_CHECKING:
    from jido.nets import Head


class ErrorMask:
    """Errors OR-ed over passes: 8,436 tiles of 256 x 256 take 69 MB.

    A miss lies inside the target and a false alarm outside, so one bit holds both kinds.

    Args:
        masks: (N, S * S / 8) packed target masks of the tiles.
        bits: (N, S * S / 8) errors so far; none without it.
    """

    def __init__(self, masks: np.ndarray, bits: np.ndarray | None = None) -> None:
        self._masks = masks
        self.bits = np.zeros(masks.shape, dtype=np.uint8) if bits is None else bits

    def add(self, which: np.ndarray, predicted: np.ndarray) -> None:
        """Add what is wrong in predictions (n, S * S / 8), packed, of some tiles."""
        self.bits[which] |= predicted ^ self._masks[which]

    def ratio(self, which: np.ndarray) -> float:
        """Cumulative false-detection ratio (CFDR): share of the pixels of some tiles that were ever wrong."""
        return float(np.bitwise_count(self.bits[which]).sum(dtype=np.int64) / (8 * self.bits[which].size))

    def of(self, head: Head, bits: np.ndarray | None = None) -> np.ndarray:
        """Errors (N, S * S / 8) that a head learns: all, misses, or false alarms."""
        bits = self.bits if bits is None else bits
        if head == "error":
            return bits
        return bits & self._masks if head == "missed" else bits & ~self._masks


def without_rim(bits: np.ndarray, tiles: Tiles, *, width: int) -> np.ndarray:
    """Errors without those that lie within ``width`` pixels of the outline of a target.

    Outlines are drawn by hand: a pixel beside one says more about the hand than about the net.

    Args:
        bits: (N, S * S / 8) packed errors.
        tiles: the N tiles.
        width: pixels inside and pixels outside of the outline; 0 changes nothing.
    """
    if not width:
        return bits
    kept = np.empty_like(bits)
    for i in range(len(tiles)):
        mask = tiles.mask(np.array([i]))[0]
        rim = binary_dilation(mask, iterations=width) & ~binary_erosion(
            mask, iterations=width, border_value=1
        )
        kept[i] = bits[i] & ~packed(rim[None])[0]
    return kept
