"""Squares of an image that are land or water throughout: they need not be read a second time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from jido.geo import Tile, Window
from jido.indicators.water import Shore

SIDE = 256
"""Of a square, in pixels; squares lie on one lattice from the upper left pixel."""

LAND, WATER, MIXED = range(3)
"""What a square holds; gaps make it mixed."""


class PlainBlocks:
    """Lowest and highest number of each square and of the pixels beside it; windows add up.

    Args:
        shape: rows and columns of the image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        blocks = [-(-length // SIDE) for length in shape]
        self._low, self._high = np.full((2, *blocks), np.nan, dtype=np.float32)

    def add(self, plane: np.ndarray, tile: Tile) -> None:
        """Take a window.

        Args:
            plane: of ``tile.read``, (y, x), NaN = no data.
            tile: which window of the image that is, with a margin of one pixel or more; its core begins
                where a square does, and ends there or at the rim of the image.
        """
        top, left = (side.start for side in tile.read)
        for row, rows in _squares(tile.core[0]):
            for col, cols in _squares(tile.core[1]):
                first = max(rows.start - 1 - top, 0), max(cols.start - 1 - left, 0)
                part = plane[first[0] : rows.stop + 1 - top, first[1] : cols.stop + 1 - left]
                self._low[row, col], self._high[row, col] = part.min(), part.max()  # NaN where one is

    def kinds(self, shore: Shore) -> np.ndarray:
        """:data:`LAND`, :data:`WATER` or :data:`MIXED` by square, (rows, columns)."""
        low, high = self._low, self._high
        with np.errstate(invalid="ignore"):
            above, below = low > shore.threshold, high <= shore.threshold
            if not shore.signal.above:
                above, below = high < shore.threshold, low >= shore.threshold
        return np.where(above, WATER, np.where(below, LAND, MIXED))


def _squares(side: slice) -> Iterator[tuple[int, slice]]:
    """Number and extent of the squares along one side of a window."""
    for number in range(side.start // SIDE, -(-side.stop // SIDE)):
        yield number, slice(max(number * SIDE, side.start), min((number + 1) * SIDE, side.stop))


def runs(kinds: np.ndarray, window: Window) -> Iterator[tuple[Window, int]]:
    """A window cut into upright parts of one kind each, as wide as they can be.

    Args:
        kinds: of :meth:`PlainBlocks.kinds`.
        window: any window of the image; a column of squares of several kinds counts as mixed.

    Yields:
        A part of the window, and its kind.
    """
    rows, cols = window
    here = kinds[rows.start // SIDE : -(-rows.stop // SIDE)]
    columns = list(_squares(cols))
    along = [kind[0] if (kind == kind[0]).all() else MIXED for kind in (here[:, n] for n, _ in columns)]
    for kind, group in groupby(zip(columns, along, strict=True), key=lambda one: one[1]):
        sides = [side for (_, side), _ in group]
        yield (rows, slice(sides[0].start, sides[-1].stop)), int(kind)
