"""Exact shares of pixels inside polygons: outlines cut along the lines between pixels.

A piece of an outline that stays within one pixel covers, by its height dy, all that lies to its right in
the row; of its own pixel it leaves dy * (1 - mean x). The sum of such pieces along a row is the share of
each pixel; between two crossed pixels of a row all shares are alike (1 or 0, or less where only an edge along
the row cuts them). So those are kept as runs, and a sum over a run is a difference of two running sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from jido.geo import Window

TINY = 1e-9
"""Share of a pixel below which it is taken for rounding."""

SPARSE = 10
"""With fewer than one pixel in so many that is not 0, sums look at these alone: several times as quick."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Pixels of a window that lie in cells: those that an outline crosses, and runs of the same share.

    Args:
        cell: place of the cell, int64 (m,).
        row: of the pixel in the window, (m,).
        col: of the pixel in the window, (m,).
        share: of the pixel that lies in the cell, 0 < share <= 1, float64 (m,).
        run_cell: place of the cell of each run along a row, int64 (k,).
        run_row: its row in the window, (k,).
        start: its first column, (k,).
        stop: the column behind its last one, (k,).
        run_share: of each of its pixels, (k,).
        cells: how many there are in all.
    """

    cell: np.ndarray
    row: np.ndarray
    col: np.ndarray
    share: np.ndarray
    run_cell: np.ndarray
    run_row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    run_share: np.ndarray
    cells: int

    def sums(self, plane: np.ndarray | None = None, weight: np.ndarray | None = None) -> np.ndarray:
        """Sum of share x value (x weight) by cell, float64 (cells,).

        Args:
            plane: finite numbers (y, x) of the window; 1 everywhere without it.
            weight: of the pixels, (y, x).
        """
        if plane is None:
            return self._by_cell(self.share, self.stop - self.start)
        some = plane != 0
        count = np.count_nonzero(some)
        if not count:
            return np.zeros(self.cells)
        if count * SPARSE < plane.size:
            return self._sparse(plane, weight, some.ravel())
        height, width = plane.shape
        along = np.empty((height, width + 1))
        along[:, 0] = 0
        np.multiply(plane, 1.0 if weight is None else weight, out=along[:, 1:])
        edge = self.share * along[self.row, self.col + 1]
        np.cumsum(along, axis=1, out=along)
        return self._by_cell(edge, along[self.run_row, self.stop] - along[self.run_row, self.start])

    def _sparse(self, plane: np.ndarray, weight: np.ndarray | None, some: np.ndarray) -> np.ndarray:
        """Sums of a plane that is 0 nearly everywhere, where it is not (bool (y * x,))."""

        def weighted(row: np.ndarray, col: np.ndarray) -> np.ndarray:
            return plane[row, col] * (np.float64(1) if weight is None else weight[row, col])

        width = plane.shape[1]
        places, line = np.flatnonzero(some), self.run_row * width
        along = np.concatenate([[0.0], np.cumsum(weighted(*np.divmod(places, width)))])
        first, last = (np.searchsorted(places, line + end) for end in (self.start, self.stop))
        edge, at = np.zeros(len(self.cell)), np.flatnonzero(some.take(self.row * width + self.col))
        edge[at] = self.share[at] * weighted(self.row[at], self.col[at])
        return self._by_cell(edge, along[last] - along[first])

    def _by_cell(self, edge: np.ndarray, run: np.ndarray) -> np.ndarray:
        """Sums by cell of what crossed pixels and pixels of runs hold."""
        return np.bincount(self.cell, edge, minlength=self.cells) + np.bincount(
            self.run_cell, self.run_share * run, minlength=self.cells
        )


@dataclass(frozen=True, eq=False)
class Edges:
    """Straight edges of polygons in pixel coordinates, y downwards.

    Args:
        ends: x0, y0, x1, y1 of each, float64 (E, 4).
        sign: +1 or -1, so that inside lies what adds up to 1, (E,).
        cell: place of the polygon, int64 (E,).
    """

    ends: np.ndarray
    sign: np.ndarray
    cell: np.ndarray

    @classmethod
    def of(cls, polygons: np.ndarray, chosen: np.ndarray) -> Edges:
        """Edges of some polygons and multipolygons; those along a row cover nothing and are left out."""
        parts, cell = shapely.get_parts(polygons[chosen], return_index=True)
        cell = np.flatnonzero(chosen)[cell]
        rings, part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        inside = ring[1:] == ring[:-1]
        ends = np.column_stack([xy[:-1], xy[1:]])[inside]
        ring = ring[1:][inside]
        origin = xy[np.searchsorted(ring, ring)]  # near zero, where products of coordinates are exact
        x0, y0, x1, y1 = (ends - np.tile(origin, 2)).T
        turn = np.sign(np.bincount(ring, x0 * y1 - x1 * y0, minlength=len(rings)))
        hole = np.concatenate([[False], part[1:] == part[:-1]])  # the first ring of a part is its shell
        sign = np.where(hole, turn, -turn)[ring]
        kept = ends[:, 1] != ends[:, 3]
        return cls(ends[kept], sign[kept], cell[part[ring]][kept])

    def shares(self, window: Window, cells: int) -> Shares:
        """The pixels of a window that lie in the polygons, ``cells`` in all."""
        rows, cols = window
        x0, y0, x1, y1 = self.ends.T
        here = np.flatnonzero((np.minimum(y0, y1) < rows.stop) & (np.maximum(y0, y1) > rows.start))
        here = here[np.minimum(x0, x1)[here] < cols.stop]
        ends = self.ends[here] - (cols.start, rows.start, cols.start, rows.start)
        height, width = rows.stop - rows.start, cols.stop - cols.start
        ends, which = _cut(ends, 1, height)
        ends, again = _cut(ends, 0, width)
        which = which[again]
        x0, y0, x1, y1 = ends.T
        x0, x1 = np.maximum(x0, 0), np.maximum(x1, 0)  # what lies left of the window covers all of a row
        row, col = (np.floor((one + two) / 2).astype(np.int64) for one, two in ((y0, y1), (x0, x1)))
        dy = (y1 - y0) * self.sign[here][which]
        kept = (row >= 0) & (row < height) & (col < width)
        own = dy * (1 - ((x0 + x1) / 2 - col))
        pixel = (self.cell[here][which] * height + row) * width + col
        return _gathered(pixel[kept], own[kept], dy[kept], (cells, height, width))


def _cut(ends: np.ndarray, axis: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments (P, 4) cut at the whole numbers 0..length of an axis, and from which of (E, 4) each comes."""
    one, two = ends[:, axis], ends[:, axis + 2]
    first = np.maximum(np.floor(np.minimum(one, two)) + 1, 0)
    last = np.minimum(np.ceil(np.maximum(one, two)) - 1, length)
    lines = np.maximum(last - first + 1, 0).astype(np.int64)
    which = np.repeat(np.arange(len(ends)), lines + 1)
    step = np.arange(len(which)) - np.repeat(np.cumsum(lines + 1) - lines - 1, lines + 1)
    rising = (two > one)[which]
    line = np.where(rising, first[which] + step, last[which] - step)  # where the piece ends
    stops = step < lines[which]
    cut = ends[which]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (line - cut[:, axis]) / (cut[:, axis + 2] - cut[:, axis])
    other = 1 - axis
    point = np.empty((len(which), 2))
    point[:, axis] = line
    point[:, other] = cut[:, other] + part * (cut[:, other + 2] - cut[:, other])
    cut[stops, 2:] = point[stops]
    begins = np.flatnonzero(step > 0)
    cut[begins, :2] = point[begins - 1]
    return cut, which


def _gathered(pixel: np.ndarray, own: np.ndarray, dy: np.ndarray, shape: tuple[int, int, int]) -> Shares:
    """Crossed pixels and runs of others, from pieces (P,): their pixel, own share and height."""
    cells, height, width = shape
    order = np.argsort(pixel, kind="stable")
    pixel = pixel[order]
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    pixel = pixel[first]
    own, dy = (np.add.reduceat(part[order], first) if len(first) else part[:0] for part in (own, dy))
    line, col = np.divmod(pixel, width)
    ends_line = np.diff(line, append=-1) != 0
    after = np.cumsum(dy)
    before = after - dy
    begin = np.flatnonzero(np.diff(line, prepend=-1))
    base = np.repeat(before[begin], np.diff(begin, append=len(line)))
    share = np.clip(before - base + own, 0, 1)
    stop = np.where(ends_line, width, np.append(col[1:], 0))
    run = (after - base > TINY) & (stop > col + 1)
    some = share > TINY
    cell, row = np.divmod(line, height)
    edge = cell[some], row[some], col[some], share[some]
    return Shares(*edge, cell[run], row[run], col[run] + 1, stop[run], (after - base)[run], cells)
