"""The tile lattice: which pixels are read and written together.

Tiles lie on one lattice anchored at the upper left pixel of the scene, whoever works on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jido.geo.raster import Window


@dataclass(frozen=True)
class Tile:
    """One tile.

    Args:
        core: the pixels this tile is responsible for; cores tile the scene without gap or overlap.
        read: the core with its halo, cut at the edge of the scene.
    """

    core: Window
    read: Window

    @property
    def inner(self) -> Window:
        """Where the core lies inside what was read."""
        (rows, cols), (read_rows, read_cols) = self.core, self.read
        return (
            slice(rows.start - read_rows.start, rows.stop - read_rows.start),
            slice(cols.start - read_cols.start, cols.stop - read_cols.start),
        )


def scaled(window: Window, stride: int) -> Window:
    """A window of pixels as a window of cells of ``stride`` x ``stride`` pixels."""
    rows, cols = window
    return (
        slice(rows.start // stride, rows.stop // stride),
        slice(cols.start // stride, cols.stop // stride),
    )


def lattice(shape: tuple[int, int], *, tile: int, halo: int = 0) -> Iterator[Tile]:
    """Tiles of a scene, row by row from the upper left.

    Args:
        shape: rows and columns of the scene.
        tile: side of a core in pixels, at least 1; the last ones are smaller.
        halo: pixels read around a core, at least 0.

    Raises:
        ValueError: when ``tile`` or ``halo`` is out of range.
    """
    if tile < 1 or halo < 0:
        raise ValueError(f"tile must be >= 1 and halo >= 0, not {tile} and {halo}.")
    height, width = shape
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            y1, x1 = min(y + tile, height), min(x + tile, width)
            yield Tile(
                core=(slice(y, y1), slice(x, x1)),
                read=(
                    slice(max(y - halo, 0), min(y1 + halo, height)),
                    slice(max(x - halo, 0), min(x1 + halo, width)),
                ),
            )
