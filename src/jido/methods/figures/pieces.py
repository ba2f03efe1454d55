"""Connected pieces of masks: targets that a second stage recovers, and its false alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jido.data.tiles import Tiles, batches

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels of a tile, the last two not inside."""

Stage2 = np.ndarray | tuple[np.ndarray, np.ndarray]
"""What stage 2 says, bool (n, S, S): its only channel, or the target channel and the error channel."""

Said = tuple[np.ndarray, np.ndarray, Stage2]
"""The truth, what stage 1 says and what stage 2 says of n tiles, bool (n, S, S)."""

MOST = 100
"""Pieces that a list holds at most."""

AT_ONCE = 64
"""Tiles whose masks are in memory."""

SAME = 0.25
"""Boxes that share more than this of the smaller one show the same."""


class Piece(NamedTuple):
    """A connected piece of a mask; its pixels share sides, as those of :class:`~jido.geo.Objects` do.

    Args:
        tile: its place among the n tiles.
        box: what just holds it.
        pixels: their number.
        found1: share of them that stage 1 predicts.
        found2: share of them that stage 2 predicts.
        inside: bool (S, S), the piece alone.
    """

    tile: int
    box: Box
    pixels: int
    found1: float
    found2: float
    inside: np.ndarray


def united(stage2: Stage2) -> np.ndarray:
    """What stage 2 says in one array: the union of its channels."""
    return stage2 if isinstance(stage2, np.ndarray) else stage2[0] | stage2[1]


def recovered_pieces(truth: np.ndarray, stage1: np.ndarray, stage2: Stage2) -> list[Piece]:
    """Pieces of the truth of which stage 1 finds less than half and stage 2 more, the :data:`MOST` largest.

    Args:
        truth: bool (n, S, S).
        stage1: what stage 1 says, bool (n, S, S).
        stage2: bool (n, S, S), or the two channels, which are united.
    """
    return _largest(truth, (stage1, united(stage2)), lambda one, two: (one < 0.5) & (two > 0.5))


def false_pieces(truth: np.ndarray, stage1: np.ndarray, stage2: Stage2) -> list[Piece]:
    """The :data:`MOST` largest pieces that stage 2 predicts and that neither overlap nor border any truth.

    Arguments as in :func:`recovered_pieces`.
    """
    found = united(stage2)
    return _largest(truth | found, (stage1, found, truth), lambda one, two, true: true == 0)


def largest_pieces(
    which: np.ndarray, says: Callable[[np.ndarray], Said], *finders: Callable[..., list[Piece]]
) -> list[list[Piece]]:
    """The :data:`MOST` largest pieces of any number of tiles, for each of several kinds.

    Args:
        which: (N,) places of the tiles; the ``tile`` of a piece counts in them.
        says: places (n,) -> what is said of these tiles.
        finders: :func:`recovered_pieces`, :func:`false_pieces`.
    """
    found: list[list[Piece]] = [[] for _ in finders]
    for some in batches(np.arange(len(which)), AT_ONCE):
        said = says(which[some])
        for kept, find in zip(found, finders, strict=True):
            kept += [piece._replace(tile=int(some[piece.tile])) for piece in find(*said)]
            kept.sort(key=lambda piece: -piece.pixels)
            del kept[MOST:]
    return found


def distinct(tiles: Tiles, boxes: Iterable[tuple[int, Box]]) -> Iterator[int]:
    """Numbers of the boxes, in order, without those that an earlier one shows already in another tile.

    Args:
        tiles: tiles, which may overlap in their image.
        boxes: place of a tile, and a box in it.
    """
    seen: dict[str, list[Box]] = {}
    for number, (tile, (top, left, bottom, right)) in enumerate(boxes):
        row, column = (int(at) for at in tiles.place[tile])
        box = (row + top, column + left, row + bottom, column + right)
        others = seen.setdefault(str(tiles.source[tile]), [])
        if not any(_same(box, other) for other in others):
            others.append(box)
            yield number


def _same(one: Box, other: Box) -> bool:
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(height, 0) * max(width, 0) > SAME * smaller


def _largest(masks: np.ndarray, says: Sequence[np.ndarray], wanted: Callable[..., np.ndarray]) -> list[Piece]:
    """The largest pieces of masks, by what others say of them.

    Args:
        masks: (n, S, S).
        says: what stage 1, stage 2 and perhaps others say, (n, S, S) each.
        wanted: takes the shares (k,) of the pieces of a tile that each of them covers; gives bool (k,).
    """
    found: list[tuple[int, int, int, float, float]] = []  # small: a bad net makes 1000 pieces a tile
    for tile, mask in enumerate(masks):
        numbers, count = ndimage.label(mask)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        covered = [
            np.bincount(numbers[one[tile].astype(bool, copy=False)], minlength=count + 1)[1:] / sizes
            for one in says
        ]
        for piece in np.flatnonzero(wanted(*covered)):
            found.append(
                (int(sizes[piece]), tile, int(piece) + 1, float(covered[0][piece]), float(covered[1][piece]))
            )
        found = sorted(found, key=lambda facts: -facts[0])[:MOST]
    pieces = []
    for size, tile, number, found1, found2 in found:
        inside = ndimage.label(masks[tile])[0] == number
        rows, columns = ndimage.find_objects(inside.view(np.uint8))[0]
        box = (rows.start, columns.start, rows.stop, columns.stop)
        pieces.append(Piece(tile, box, size, found1, found2, inside))
    return pieces
