"""From class codes to the outlines of whole objects, by bands of rows, in whole numbers only.

An object is a 4-connected set of cells of one class, as in GDAL. A band of rows gives the sides that
part its cells from those of other classes, directed so that their object lies to the left, and says
which of its pieces go on from the row above. Sides become rings only when no later row can touch
their object: nothing is cut at the border of a band, so nothing has to be sewn together again, and
the outlines are those of the whole array however high the bands are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import shapely
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

NO_CLASS = np.iinfo(np.int64).min
"""Code of cells that belong to no object."""


class Objects(NamedTuple):
    """Whole objects of a class raster.

    Args:
        polygons: valid polygons (n,), coordinates (column, row) of cell corners, a vertex at every turn
            and nowhere else; holes are kept.
        codes: their classes, int64 (n,).
        cells: their numbers of cells, int64 (n,).
        totals: sums over their cells of the values that came with the codes, int64 (n,).
        peaks: highest of these values, int64 (n,).
    """

    polygons: np.ndarray
    codes: np.ndarray
    cells: np.ndarray
    totals: np.ndarray
    peaks: np.ndarray


class _Sides(NamedTuple):
    """Straight borders from vertex to vertex, the owner to their left.

    A vertex is numbered ``row * (width + 1) + column``, the owner is the number of a piece.
    """

    start: np.ndarray
    stop: np.ndarray
    owner: np.ndarray


class _Pieces(NamedTuple):
    """Parts of objects: class, number of cells, sum and highest of values."""

    codes: np.ndarray
    cells: np.ndarray
    totals: np.ndarray
    peaks: np.ndarray


def trace_objects(bands: Iterable[tuple[np.ndarray, np.ndarray]], *, width: int) -> Iterator[Objects]:
    """The objects of a raster that is handed over in bands of rows from the top.

    Memory holds one band, the outlines of the objects that reach into its last row, and at most as
    much again of objects that end meanwhile.

    Args:
        bands: pairs of class codes int64 (y, x), :data:`NO_CLASS` where there is none, and of values
            int64 (y, x) that are summed over every object (exact to 2**53) and of which the highest is
            kept; heights as you like.
        width: of all bands.

    Yields:
        Objects that no later row can touch, many at a time; the last time perhaps none.
    """
    tracer = _Tracer(width)
    for codes, values in bands:
        tracer.add(codes, values)
        if tracer.fresh > tracer.held:  # going through all that is open at every band would cost too much
            yield tracer.settle()
    tracer.add(np.full((1, width), NO_CLASS), np.zeros((1, width), dtype=np.int64))
    yield tracer.settle()


class _Tracer:
    """Pieces and sides of objects that are not given out yet, and which pieces are linked."""

    def __init__(self, width: int) -> None:
        self.width, self.row = width, 0
        self.above = np.full(width, NO_CLASS)
        self.above_owner = np.zeros(width, dtype=np.int64)
        self.pieces: list[_Pieces] = []
        self.sides: list[_Sides] = []
        self.links: list[np.ndarray] = []
        self.count = self.held = self.fresh = 0

    def add(self, codes: np.ndarray, values: np.ndarray) -> None:
        """Take the next rows."""
        owner, pieces = _pieces(codes, values)
        owner += self.count
        meet = (codes[0] == self.above) & (self.above != NO_CLASS)
        self.links.append(np.stack([self.above_owner[meet], owner[0, meet]]))
        self.pieces.append(pieces)
        self.count += len(pieces.codes)
        rows, owners = np.vstack([self.above, codes]), np.vstack([self.above_owner, owner])
        self.sides.append(_sides(rows, owners, self.row))
        self.fresh += len(self.sides[-1].start)
        self.row += len(codes)
        self.above, self.above_owner = codes[-1], owner[-1]

    def settle(self) -> Objects:
        """Give out what is whole; keep what reaches into the last row."""
        above, below = np.concatenate(self.links, axis=1)
        count, number = _connected(above, below, self.count)
        pieces = _summed(_Pieces(*map(np.concatenate, zip(*self.pieces, strict=True))), number, count)
        sides = _Sides(*map(np.concatenate, zip(*self.sides, strict=True)))
        sides = sides._replace(owner=number[sides.owner])
        goes_on = np.zeros(count, dtype=bool)
        goes_on[number[self.above_owner[self.above != NO_CLASS]]] = True
        whole, borders = _chosen(pieces, sides, ~goes_on & (pieces.codes != NO_CLASS))
        pieces, sides = _chosen(pieces, sides, goes_on)
        self.pieces, self.sides, self.links = [pieces], [sides], []
        self.count, self.held, self.fresh = len(pieces.codes), len(sides.start), 0
        self.above_owner = (np.cumsum(goes_on) - 1)[number[self.above_owner]]
        return Objects(_polygons(borders, self.width + 1), *whole)


def _connected(one: np.ndarray, other: np.ndarray, count: int) -> tuple[int, np.ndarray]:
    """Number of groups among ``count`` things when these pairs belong together, and the group of each."""
    pairs = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    groups, number = connected_components(pairs, directed=False)
    return groups, number.astype(np.int64)


def _pieces(codes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, _Pieces]:
    """The 4-connected pieces of one array: number of the piece of each cell (y, x), and the pieces.

    Runs of cells along a row are pieces already; equal neighbours below link them.
    """
    first = np.ones(codes.shape, dtype=bool)
    first[:, 1:] = codes[:, 1:] != codes[:, :-1]
    run = (np.cumsum(first) - 1).reshape(codes.shape)
    meet = (codes[1:] == codes[:-1]) & (codes[1:] != NO_CLASS) & (first[1:] | first[:-1])
    count, number = _connected(run[:-1][meet], run[1:][meet], int(run[-1, -1]) + 1)
    starts = np.flatnonzero(first)
    runs = _Pieces(
        codes.ravel()[starts],
        np.diff(starts, append=codes.size),
        np.add.reduceat(values.ravel(), starts),
        np.maximum.reduceat(values.ravel(), starts),
    )
    return number[run], _summed(runs, number, count)


def _summed(pieces: _Pieces, number: np.ndarray, count: int) -> _Pieces:
    """Pieces of one number put together."""
    codes = np.empty(count, dtype=np.int64)
    codes[number] = pieces.codes
    cells, totals = (
        np.bincount(number, weights=part, minlength=count).astype(np.int64)
        for part in (pieces.cells, pieces.totals)
    )
    peaks = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(peaks, number, pieces.peaks)
    return _Pieces(codes, cells, totals, peaks)


def _chosen(pieces: _Pieces, sides: _Sides, chosen: np.ndarray) -> tuple[_Pieces, _Sides]:
    """Some pieces with their sides, numbered anew."""
    start, stop, owner = (column[chosen[sides.owner]] for column in sides)
    place = np.cumsum(chosen) - 1
    return _Pieces(*(column[chosen] for column in pieces)), _Sides(start, stop, place[owner])


def _sides(codes: np.ndarray, owner: np.ndarray, row: int) -> _Sides:
    """All sides of the cells from the second row on, and those between it and the first.

    Args:
        codes: (1 + y, x), first the row above.
        owner: pieces (1 + y, x).
        row: of the raster in which the second row stands.
    """
    across = codes.shape[1] + 1
    found = []
    above, below = codes[:-1], codes[1:]
    for inner, outer, is_top in ((above, below, 0), (below, above, 1)):
        y, x0, x1 = _straight(inner, outer)
        west, east = (row + y) * across + np.stack([x0, x1])
        start, stop = (east, west) if is_top else (west, east)
        found.append((start, stop, owner[y + is_top, x0]))
    columns = np.pad(below, ((0, 0), (1, 1)), constant_values=NO_CLASS).T
    for inner, outer, is_right in ((columns[1:], columns[:-1], 0), (columns[:-1], columns[1:], 1)):
        x, y0, y1 = _straight(inner, outer)
        north, south = (row + np.stack([y0, y1])) * across + x
        start, stop = (south, north) if is_right else (north, south)
        found.append((start, stop, owner[y0 + 1, x - is_right]))
    return _Sides(*map(np.concatenate, zip(*found, strict=True)))


def _straight(inner: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where an inner class meets another outside, in straight pieces: line, first place, place behind."""
    side = (inner != outer) & (inner != NO_CLASS)
    goes_on = side[:, 1:] & side[:, :-1] & (inner[:, 1:] == inner[:, :-1])
    first, last = side.copy(), side.copy()
    first[:, 1:] &= ~goes_on
    last[:, :-1] &= ~goes_on
    line, begin = np.nonzero(first)
    return line, begin, np.nonzero(last)[1] + 1


def _polygons(sides: _Sides, across: int) -> np.ndarray:
    """The polygon of every owner (0, 1, ...), all of whose sides are here.

    At most vertices of an object one side arrives and one leaves. Where two of its cells touch at
    the corner only, it is two and two, and the outline turns right, away from the cell that it
    came along: so a hole that touches the shell there stays a hole.
    """
    if not len(sides.start):
        return np.empty(0, dtype=object)
    east, south, west, north = range(4)
    step = sides.stop - sides.start
    heading = np.where(step > 0, np.where(step < across, east, south), np.where(step > -across, west, north))
    low = sides.start.min()
    own = sides.owner * (sides.start.max() - low + 1) - low  # vertices of one owner after those of another
    leaving = (own + sides.start) * 4 + heading
    arriving = (own + sides.stop) * 4 + (heading + 1) % 4
    order = np.argsort(leaving)  # the first side of an owner leaves its upper left corner: on the shell
    before = np.argsort(arriving[order])  # the k-th that arrives goes on with the k-th that leaves
    path, ring, first = _rings(before)
    start, heading = sides.start[order], heading[order]
    turn = heading[path] != heading[before[path]]
    corner = start[path][turn]
    outlines = shapely.linearrings(corner % across, corner // across, indices=ring[turn])
    return shapely.polygons(outlines, indices=sides.owner[order][first])


def _rings(before: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rings of things of which each comes after one other.

    Args:
        before: the one that each comes after, (n,).

    Returns:
        All things (n,), ring by ring, each ring in its order from its first thing on; the number of
        the ring of each of those (n,); the first thing of every ring, ascending.
    """
    count = len(before)
    after = np.empty(count, dtype=np.int64)
    after[before] = np.arange(count)
    _, number = connected_components(_one_each(after), connection="strong")
    first = np.sort(np.unique(number, return_index=True)[1])
    after[before[first]] = np.roll(first, -1)  # from the end of a ring to the next: one way through all
    path = breadth_first_order(_one_each(after), first[0], return_predecessors=False)
    begins = np.zeros(count, dtype=bool)
    begins[first] = True
    return path, np.cumsum(begins[path]) - 1, first


def _one_each(after: np.ndarray) -> csr_array:
    """The graph in which each thing leads to one other."""
    count = len(after)
    return csr_array((np.ones(count, dtype=bool), after, np.arange(count + 1)), shape=(count, count))
