"""The zone along the edges of an image: Canny's, where both sides of a threshold meet, with a disk around.

Whether a pixel is in the zone does not depend on how the image was cut into windows, as long as they have
:data:`HALO` pixels around them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter, sobel

from jido.geo import Tile, Window
from jido.indicators.water_signals import Signal

SIGMA = 4.0
"""Of the Gaussian before edges are sought, in pixels (BlueDot)."""

RADIUS = 4
"""Of the disk around each pixel of an edge, in pixels (BlueDot)."""

HALO = 22
"""Pixels to be read around a window: 16 of the Gaussian, 2 of the edges, 4 of the disk."""

MARGIN = HALO - RADIUS
"""Of these around a pixel to tell whether it lies on an edge."""

PURE = 2
"""Pixels of the zone farther than that from an edge are taken for pure land or pure water."""

MIXED = 0.1
"""Least share of the pixels around an edge that lies on each side of the starting threshold."""

PART = 256 + 2 * RADIUS
"""Side in pixels of the parts of a window that are passed over when no shore can lie in them."""

SOBEL = 8 / np.sqrt(2 * np.pi) / SIGMA
"""What Sobel's operator makes of a step of 1 after the Gaussian."""


def grown(window: Window, shape: tuple[int, int], halo: int) -> Window:
    """A window with a margin, as far as the image has pixels there."""
    rows, cols = (
        slice(max(side.start - halo, 0), min(side.stop + halo, size))
        for side, size in zip(window, shape, strict=True)
    )
    return rows, cols


def shore_zone(
    plane: np.ndarray, signal: Signal, *, start: float | None, inner: Window | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels no farther than 4 from an edge, and those of them farther than 2, bool (y, x) each.

    Args:
        plane: (y, x), NaN = no data.
        signal: what it is; an edge has at least the strength of its step.
        start: keep edges with both sides of this threshold around them; None keeps all, as BlueDot.
        inner: the part of the plane that is wanted; all of it without.
    """
    rows, cols = inner or (slice(0, plane.shape[0]), slice(0, plane.shape[1]))
    seen = np.isfinite(plane)
    filled = np.where(seen, plane, 0).astype(np.float32)
    edges = np.zeros(plane.shape, dtype=bool)
    wide = grown((rows, cols), plane.shape, RADIUS)
    for core in _parts_of(wide):
        near = _near(filled, seen, core, start)
        if near.any():
            box = _box(near, core, plane.shape)
            found = canny_edges(filled[box.read], seen[box.read], limit=signal.step * SOBEL, inner=box.inner)
            edges[box.core] = found[box.inner]
            edges[core] &= near
    edges, known = edges[wide], seen[wide]
    here = Tile((rows, cols), wide).inner
    zone = _around(edges, RADIUS) & known
    return zone[here], (zone & ~_around(edges, PURE))[here]


def _parts_of(window: Window) -> Iterator[Window]:
    """A window in parts of no more than :data:`PART` pixels a side."""
    rows, cols = window
    for top in range(rows.start, rows.stop, PART):
        for left in range(cols.start, cols.stop, PART):
            yield slice(top, min(top + PART, rows.stop)), slice(left, min(left + PART, cols.stop))


def _near(filled: np.ndarray, seen: np.ndarray, core: Window, start: float | None) -> np.ndarray:
    """Pixels of a part that may lie on an edge, bool (y, x): with both sides of the threshold around."""
    if start is None:
        return seen[core]
    tile = Tile(core, grown(core, seen.shape, RADIUS))
    known = seen[tile.read]
    return _both_sides(known & (filled[tile.read] > start), known)[tile.inner]


def _box(near: np.ndarray, core: Window, shape: tuple[int, int]) -> Tile:
    """The least window that holds all pixels of a mask over ``core``, with what edges need around it."""
    rows, cols = (
        np.flatnonzero(near.any(axis=axis)) + side.start for axis, side in zip((1, 0), core, strict=True)
    )
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    return Tile(box, grown(box, shape, MARGIN))


def _both_sides(wet: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Whether at least :data:`MIXED` of the pixels with data around are wet, and as many are not."""
    if not wet.any() or np.array_equal(wet, seen):
        return np.zeros_like(seen)
    above, count = (_counted(mask).astype(np.float32) for mask in (wet, seen))
    return np.asarray(seen & (above >= MIXED * count) & (above <= (1 - MIXED) * count))


def _counted(mask: np.ndarray) -> np.ndarray:
    """How many pixels of the square of side 2 :data:`RADIUS` + 1 around each are set, uint8 (y, x)."""
    (height, width), shifts = mask.shape, range(2 * RADIUS + 1)
    wide, none = np.pad(mask.view(np.uint8), RADIUS), np.zeros((), np.uint8)
    rows = sum((wide[i : i + height] for i in shifts), start=none)
    return np.asarray(sum((rows[:, i : i + width] for i in shifts), start=none))


def canny_edges(
    filled: np.ndarray, seen: np.ndarray, *, limit: float, inner: Window | None = None
) -> np.ndarray:
    """Canny's edges of one threshold, bool (y, x).

    A pixel is on an edge when the gradient there (Sobel, after a Gaussian of :data:`SIGMA`) is at least
    ``limit``, and no less than on either side along its direction. Weaker edges that hang on such ones
    are left out: how far these reach depends on the window. Pixels without data count neither in the
    Gaussian nor as edges, nor do those beside them. The rest is as in scikit-image.

    Args:
        filled: float32 (y, x), 0 where there is no data.
        seen: bool (y, x).
        limit: of the gradient; scikit-image's 0.2 is a step of 0.25.
        inner: where edges are asked for; all of it without. Edges elsewhere may be wrong.

    Source: Canny 1986, doi 10.1109/TPAMI.1986.4767851.
    """
    smooth = gaussian_filter(filled, SIGMA, mode="constant")
    if not (seen.all() and inner is not None and _has_margin(inner, seen.shape)):  # else nothing is missing
        missing = gaussian_filter((~seen).astype(np.float32), SIGMA, mode="constant", cval=1.0)
        smooth /= np.maximum(1 - missing, 1e-6)
    down, right = sobel(smooth, axis=0), sobel(smooth, axis=1)
    strength = np.sqrt(down**2 + right**2)
    row, col = (side + 1 for side in np.nonzero(strength[1:-1, 1:-1] >= limit))
    kept = np.logical_and.reduce([seen[row + y, col + x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    row, col = row[kept], col[kept]
    y, x = down[row, col], right[row, col]
    steep = np.abs(y) >= np.abs(x)
    slant = np.minimum(np.abs(y), np.abs(x)) / np.maximum(np.abs(y), np.abs(x))
    y, x = np.sign(y).astype(np.int64), np.sign(x).astype(np.int64)
    highest = np.ones(len(row), dtype=bool)
    for side in (1, -1):
        beside = strength[row + side * np.where(steep, y, 0), col + side * np.where(steep, 0, x)]
        across = strength[row + side * y, col + side * x]
        highest &= strength[row, col] >= slant * across + (1 - slant) * beside
    edges = np.zeros(seen.shape, dtype=bool)
    edges[row[highest], col[highest]] = True
    return edges


def _has_margin(inner: Window, shape: tuple[int, int]) -> bool:
    return all(
        side.start >= MARGIN and side.stop + MARGIN <= size for side, size in zip(inner, shape, strict=True)
    )


def _around(edges: np.ndarray, radius: int) -> np.ndarray:
    """The disk around each pixel of an edge; few are, so each is stamped."""
    wide = np.zeros(np.add(edges.shape, 2 * radius), dtype=bool)
    row, col = np.nonzero(edges)
    side = np.arange(2 * radius + 1) - radius
    for y, x in np.argwhere(side[:, None] ** 2 + side**2 <= radius**2):
        wide[row + y, col + x] = True
    return wide[radius:-radius, radius:-radius]
