"""Windows cut from scenes: at random places for learning without labels, around labelled cells with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jido.data.labelled import LabelledCells, whole_cells
from jido.data.patches import fill_gaps
from jido.data.stack import Stack, stack_of
from jido.data.tiles import batches
from jido.errors import ImageError, LabelsError
from jido.geo import lattice, pixel_size_m
from jido.geo.raster import Window
from jido.io import Progress, Scene
from jido.labels import Labels, cap_per_group

TILE = 512
"""Side in pixels of the parts of a scene that are read at once."""

SEEN = 0.5
"""Least share of a window that some sensor has seen on some date, or of the pixels of a labelled cell."""

AT_ONCE = 4e6
"""Bytes of windows that are cut out of a part before those with enough data are kept."""

LEAST, USUAL_M = 9, 320.0
"""Side of a window: So2Sat's 320 m, but not less than 9 pixels."""


def window_side(pixel_m: tuple[float, float], stride: int) -> int:
    """Side in pixels of the windows around cells of ``stride`` pixels: even or odd as the cells are."""
    side = max(round(USUAL_M / max(pixel_m)), LEAST, stride)
    return side + (side - stride) % 2


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of scenes in memory.

    Args:
        images: (N, dates * C, S, S) float32 in the units of the bands, NaN = no data.
        stack: of which bands they consist.
    """

    images: np.ndarray
    stack: Stack

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """Side S of a window in pixels."""
        return self.images.shape[-1]


def draw_windows(
    scene: Scene,
    n: int,
    side: int,
    *,
    seed: int,
    avoid: np.ndarray | None = None,
    into: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Windows:
    """Windows at random places of a scene; each part of it is read once, and no window is held twice.

    Args:
        scene: the images.
        n: how many; fewer where too much of the scene has no data or is to be avoided.
        side: of a window in pixels.
        seed: of the draw.
        avoid: bool (y, x), pixels that no window may see.
        into: (n or more, C, side, side) float32, whose first rows become the windows; new memory without it.
        progress: told the parts.

    Raises:
        ImageError: when the scene is smaller than a window, or no window has enough data.
    """
    height, width = scene.geobox.shape
    if min(height, width) < side:
        raise ImageError(f"{scene.paths[0]} is smaller than a window of {side} pixels: take smaller ones.")
    stack = stack_of(scene.bands)
    names = [scene.names[place] for place in stack.order]
    rng = np.random.default_rng(seed)
    many = 2 * n if avoid is None else 4 * n
    corners = np.column_stack([rng.integers(0, length - side + 1, many) for length in (height, width)])
    corners = np.unique(corners, axis=0)
    if avoid is not None:
        corners = corners[_clear(corners, side, avoid)]
    corners = rng.permutation(corners)
    tiles = list(lattice((height, width), tile=TILE))
    number = (corners[:, 0] // TILE) * -(-width // TILE) + corners[:, 1] // TILE
    n = min(n, len(corners))
    images = np.empty((n, len(names), side, side), np.float32) if into is None else into[:n]
    places = len(corners) + np.arange(n)[::-1]  # in the draw, of each row; a free one is last of all
    step = max(int(AT_ONCE / (4 * len(names) * side**2)), 1)
    for done, tile in enumerate(tiles, start=1):
        mine = np.flatnonzero(number == done - 1)
        if len(mine):
            rows, cols = (slice(part.start, part.stop + side) for part in tile.core)
            data = scene.pixels(
                (slice(rows.start, min(rows.stop, height)), slice(cols.start, min(cols.stop, width))), names
            )
            cut = np.lib.stride_tricks.sliding_window_view(data, (side, side), axis=(1, 2))
            for some in batches(mine, step):
                early = some[some < places.max()]
                here = corners[early] - (rows.start, cols.start)
                seen = cut[:, here[:, 0], here[:, 1]].transpose(1, 0, 2, 3)
                enough = _best_seen(seen, stack) >= SEEN
                _keep(images, places, seen[enough], early[enough])
        if progress:
            progress("reading windows", done, len(tiles))
    images = images[: np.count_nonzero(places < len(corners))]
    if not len(images):
        raise ImageError(
            f"{scene.paths[0]} has no window of {side} pixels with enough data: give other images."
        )
    _sort(images, np.argsort(places[: len(images)]))
    fill_gaps(images)
    return Windows(images, stack)


def _clear(corners: np.ndarray, side: int, avoid: np.ndarray) -> np.ndarray:
    """Bool (n,): windows at corners (n, 2) of which no pixel is to be avoided."""
    hit = np.pad(avoid.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (y, x), (y1, x1) = corners.T, (corners + side).T
    return hit[y1, x1] - hit[y, x1] - hit[y1, x] + hit[y, x] == 0


def _keep(images: np.ndarray, places: np.ndarray, found: np.ndarray, where: np.ndarray) -> None:
    """Replace the windows that come last in a draw by found ones that come earlier, in place.

    Args:
        images: (n, C, S, S).
        places: in the draw, (n,) int, all different.
        found: other windows (k, C, S, S).
        where: their places in the draw, (k,) int, rising.
    """
    most = min(len(found), len(places))
    rows = np.argpartition(places, -most)[len(places) - most :]  # no full sort: there may be many parts
    rows = rows[np.argsort(-places[rows])]
    better = np.flatnonzero(where[:most] < places[rows])
    images[rows[better]], places[rows[better]] = found[better], where[better]


def _sort(images: np.ndarray, order: np.ndarray) -> None:
    """Bring images (n, ...) into an order (n,), as ``images[order]`` does, but in place."""
    for start in range(len(order)):
        if order[start] == start:
            continue
        first, row = images[start].copy(), start
        while order[row] != start:
            images[row] = images[order[row]]
            order[row], row = row, order[row]
        images[row], order[row] = first, row


def _best_seen(images: np.ndarray, stack: Stack) -> np.ndarray:
    """Share of the pixels with data (n,) of the sensor and date of which each window shows most."""
    counts = list(stack.sensors.values()) * stack.dates
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    known = np.isfinite(images).mean((2, 3), dtype=np.float32)
    return (np.add.reduceat(known, starts, axis=1) / counts).max(1)


@dataclass(frozen=True, eq=False)
class LabelledWindows(LabelledCells, Windows):
    """Windows around labelled cells."""


def labelled_windows(
    scene: Scene,
    labels: Labels,
    *,
    cell_m: float,
    side: int | None = None,
    cap: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> LabelledWindows:
    """The window around every labelled cell with data; only parts with labels are read.

    Args:
        scene: the images.
        labels: polygons or points.
        cell_m: side of a map cell in metres.
        side: of a window in pixels; :func:`window_side` without it.
        cap: cells of one label at most, drawn at random.
        seed: of that draw.
        progress: told the parts.

    Raises:
        ImageError: when the image is smaller than a cell, or no labelled cell has data.
        LabelsError: when no label lies inside the image.
    """
    stride, grid = whole_cells(scene, cell_m)
    side = side or window_side(pixel_size_m(scene.geobox), stride)
    item = labels.to_crs(grid.crs).burn(grid).item
    rows, cols = np.nonzero(item >= 0)
    if not len(rows):
        raise LabelsError(
            "No label lies inside the image: check the CRS of the labels and that both show the same place."
        )
    item = item[rows, cols]
    if cap is not None:
        kept = cap_per_group(item, cap=cap, seed=seed)
        rows, cols, item = rows[kept], cols[kept], item[kept]
    stack = stack_of(scene.bands)
    corners = np.column_stack([rows, cols]) * stride - (side - stride) // 2
    images = _cut(scene, [scene.names[place] for place in stack.order], corners, side, progress)
    inner = slice((side - stride) // 2, (side + stride) // 2)
    valid = np.isfinite(images[:, :, inner, inner]).any(1)  # half of the cell, as for other methods
    known = valid.mean((1, 2)) >= SEEN
    if not known.any():
        raise ImageError(
            f"{scene.paths[0]} has no data under any label (all nodata there): use images that cover them."
        )
    x, y = grid.affine * (cols[known] + 0.5, rows[known] + 0.5)
    item, images = item[known], images[known]
    fill_gaps(images)
    return LabelledWindows(
        images=images,
        stack=stack,
        y=labels.scheme.index(labels.codes[item]),
        item=item,
        group=labels.groups[item],
        xy=np.column_stack([x, y]),
    )


def _cut(
    scene: Scene, names: list[str], corners: np.ndarray, side: int, progress: Progress | None
) -> np.ndarray:
    """Windows (n, C, side, side) float32 at corners (n, 2) that may lie outside; NaN there."""
    shape = scene.geobox.shape
    images = np.full((len(corners), len(names), side, side), np.nan, dtype=np.float32)
    tile = corners // TILE
    keys = np.unique(tile, axis=0)
    for done, key in enumerate(keys, start=1):
        mine = np.flatnonzero((tile == key).all(1))
        low, high = corners[mine].min(0), corners[mine].max(0) + side
        inside = [(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, shape, strict=True)]
        window: Window = (slice(*inside[0]), slice(*inside[1]))
        data = scene.pixels(window, names)
        pad = [(a - int(b), int(c) - d) for (a, d), b, c in zip(inside, low, high, strict=True)]
        data = np.pad(data, ((0, 0), *pad), constant_values=np.nan)
        cut = np.lib.stride_tricks.sliding_window_view(data, (side, side), axis=(1, 2))
        here = corners[mine] - low
        images[mine] = cut[:, here[:, 0], here[:, 1]].transpose(1, 0, 2, 3)
        if progress:
            progress("reading labelled windows", done, len(keys))
    return images
