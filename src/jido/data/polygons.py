"""Training polygons as a person draws them on a map of known classes: pure, irregular, by choice."""

from __future__ import annotations

import math

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from jido.errors import LabelsError
from jido.labels import Labels

MIN_CELLS, MAX_CELLS = 5, 60
"""Size of a polygon in cells."""

MIN_PER_CLASS = 3
"""A class with room for fewer polygons is left out, when the number asked for is enough for all."""

TRIES = 200
"""Places tried for a new polygon before its class counts as full."""

Cells = list[tuple[int, int]]


def draw(lcz: np.ndarray, free: np.ndarray, n: int, rng: np.random.Generator) -> list[tuple[int, Cells]]:
    """``n`` pairs of a class and the cells of its polygon, the classes taking turns."""
    if n < 1:
        raise LabelsError(f"At least 1 polygon must be drawn, not {n}.")
    codes = [int(code) for code in np.unique(lcz)]
    room = {code: (lcz == code) & free for code in codes}
    drawn: list[tuple[int, Cells]] = []
    while room and len(drawn) < n:
        for code in rng.permutation(list(room))[: n - len(drawn)].tolist():
            blob = _grow(room[code], code, rng)
            if blob:
                drawn.append((code, blob))
                continue
            del room[code]
            if n >= MIN_PER_CLASS * len(codes) and sum(c == code for c, _ in drawn) < MIN_PER_CLASS:
                drawn = [pair for pair in drawn if pair[0] != code]
    if len(drawn) < n:
        raise LabelsError(
            f"{n} polygons were asked for but there is room for {len(drawn)} in the simulated city of "
            f"{lcz.shape[0]} x {lcz.shape[1]} cells: ask for fewer or simulate more cells."
        )
    return drawn


def _grow(room: np.ndarray, code: int, rng: np.random.Generator) -> Cells:
    """The cells of one new polygon, taken from ``room``; empty when nothing large enough is left."""
    for start in rng.permutation(np.argwhere(room))[:TRIES].tolist():
        wanted = np.clip(rng.lognormal(2.7, 0.5) * (1.6 if code == 17 else 1), MIN_CELLS, MAX_CELLS)
        blob = _blob(room, (start[0], start[1]), int(wanted), rng)
        if len(blob) >= MIN_CELLS:
            room[tuple(np.transpose(blob))] = False
            return blob
    return []


def _blob(room: np.ndarray, start: tuple[int, int], wanted: int, rng: np.random.Generator) -> Cells:
    """At most ``wanted`` cells of ``room``, grown from ``start`` by random neighbours."""
    blob, edge = [start], _beside(start, room)
    while edge and len(blob) < wanted:
        # the nearest of three keeps the blob compact, chance keeps it irregular
        some = rng.integers(len(edge), size=3).tolist()
        cell = edge.pop(min(some, key=lambda i: math.dist(edge[i], start)))
        if cell not in blob:
            blob.append(cell)
            edge += _beside(cell, room)
    return blob


def _beside(cell: tuple[int, int], room: np.ndarray) -> Cells:
    """The cells of ``room`` that share a side with a cell."""
    y, x = cell
    height, width = room.shape
    around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
    return [(j, i) for j, i in around if 0 <= j < height and 0 <= i < width and room[j, i]]


def _squares(grid: GeoBox, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The outlines of cells of the grid."""
    north_up = grid.affine
    left, top = north_up.c + north_up.a * cols, north_up.f + north_up.e * rows
    return shapely.box(left, top + north_up.e, left + north_up.a, top)


def outline(grid: GeoBox, cells: Cells) -> shapely.Polygon:
    """The polygon of cells of the grid that hang together."""
    rows, cols = np.array(cells).T
    return shapely.union_all(_squares(grid, rows, cols))


def untouched(grid: GeoBox, avoid: Labels) -> np.ndarray:
    """Bool (Y, X): cells whose inside no item of ``avoid`` meets."""
    rows, cols = np.indices(tuple(grid.shape))
    inner = shapely.buffer(_squares(grid, rows.ravel(), cols.ravel()), -1e-3, join_style="mitre")
    hit, _ = shapely.STRtree(avoid.to_crs(grid.crs).geometry).query(inner, predicate="intersects")
    free = np.ones(rows.size, dtype=bool)
    free[hit] = False
    return free.reshape(rows.shape)
