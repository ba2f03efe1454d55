"""A task: a few rows of tiles, read, predicted, blended, and turned into bytes of the map.

Every executor runs the same tasks, and every prediction has one thread and batches of one size, so
the bytes do not depend on who did the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from jido.geo import coarse_valid
from jido.io import Scene
from jido.maps.plan import Plan
from jido.methods import Model

NODATA = 255
"""Of every band of a map: 0 is a value of the ``abstain`` band."""

QUANTA = 250
"""Steps of a quantised probability: 0 .. 250 stand for 0 .. 1, so a step is exactly 0.4 %."""

STRIP = 1024
"""Columns turned into bytes at a time: what fits the cache of a core."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted probabilities (K, y, x) and weights (y, x), float32, of rows that others add to."""

    values: np.ndarray
    weights: np.ndarray

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.values + other.values, self.weights + other.weights)


@dataclass
class Counts:
    """What was seen in the images.

    Args:
        empty_pixels: pixels without data in any band of the model.
        partial_pixels: pixels that lack some of the bands; the model was given a stand-in there.
        cells_with_data: cells of which at least half of the pixels have data.
    """

    empty_pixels: int = 0
    partial_pixels: int = 0
    cells_with_data: int = 0

    def add(self, other: Counts) -> None:
        """Sum in place."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True, eq=False)
class Done:
    """What a task gives back.

    Args:
        planes: uint8 (y, band, x), the rows that are the task's own.
        top: sums of the seam above them, ``None`` in the first task or without overlap.
        bottom: sums of the seam below them, ``None`` in the last task or without overlap.
        counts: what was seen.
        tiles: number of tiles.
    """

    planes: np.ndarray
    top: Sums | None
    bottom: Sums | None
    counts: Counts
    tiles: int


@dataclass(frozen=True, eq=False)
class TileIn:
    """A tile as it was read: float32 (C, side, side), NaN where there is no data."""

    row: int
    col: int
    pixels: np.ndarray
    valid: np.ndarray
    counts: Counts


def read_tile(scene: Scene, model: Model, plan: Plan, row: int, col: int) -> TileIn:
    """The pixels of a tile with its halo; what lies outside the scene is NaN."""
    side, step, halo = plan.tile, plan.step * plan.stride, plan.halo
    y, x = row * step - halo, col * step - halo
    height, width = scene.geobox.shape
    rows, cols = slice(max(y, 0), min(y + side, height)), slice(max(x, 0), min(x + side, width))
    data = scene.pixels((rows, cols), [band.name for band in model.bands])
    if data.shape[1:] != (side, side):
        inside, data = data, np.full((len(data), side, side), np.nan, dtype=np.float32)
        data[:, rows.start - y : rows.stop - y, cols.start - x : cols.stop - x] = inside
    core = slice(halo, halo + plan.core * plan.stride)
    finite = np.isfinite(data[:, core, core])
    cells = plan.own_window(row, col)
    if finite.all():
        valid = np.ones((plan.core, plan.core), dtype=bool)
        return TileIn(row, col, data, valid, Counts(cells_with_data=valid[cells].size))
    seen = finite.any(axis=0)
    if not seen.any():
        data = data[:0, :0, :0].copy()  # many of them may wait for a batch to fill
    valid = coarse_valid(seen, plan.stride)
    own = tuple(slice(0, side.stop * plan.stride) for side in cells)
    counts = Counts(
        empty_pixels=int((~seen[own]).sum()),
        partial_pixels=int((seen[own] & ~finite.all(axis=0)[own]).sum()),
        cells_with_data=int(valid[cells].sum()),
    )
    return TileIn(row, col, data, valid, counts)


def _batches(tiles: Iterable[TileIn], size: int) -> Iterator[list[TileIn]]:
    """Groups with ``size`` tiles that have data; tiles without any ride along."""
    group: list[TileIn] = []
    full = 0
    for tile in tiles:
        group.append(tile)
        full += bool(tile.valid.any())
        if full == size:
            yield group
            group, full = [], 0
    if group:
        yield group


def _predict(model: Model, group: list[TileIn], size: int) -> list[np.ndarray | None]:
    """Probabilities (K, core, core) of each tile, ``None`` where it has no data."""
    full = [tile.pixels for tile in group if tile.valid.any()]
    if not full:
        return [None] * len(group)
    blank = np.full_like(full[0], np.nan)
    batch = np.stack(full + [blank] * (size - len(full)))  # always of one size: the same bytes
    found = iter(model.predict(batch))
    return [next(found) if tile.valid.any() else None for tile in group]


Answer = tuple[TileIn, "np.ndarray | None"]


def predicted(
    model: Model,
    scene: Scene,
    plan: Plan,
    tasks: Iterable[int],
    *,
    pool: Executor | None = None,
    ahead: int = 0,
) -> Iterator[tuple[int, Iterator[Answer]]]:
    """Tasks and their tiles in lattice order, each with its probabilities.

    Without a pool all runs in the calling thread; with one, reading does and ``ahead`` batches
    wait for the pool.
    """

    def reading(task: int) -> Iterator[TileIn]:
        for row in plan.tile_rows(task):
            for col in range(plan.tiles[1]):
                yield read_tile(scene, model, plan, row, col)

    def jobs() -> Iterator[tuple[int, list[TileIn], Future[list[np.ndarray | None]] | None]]:
        for task in tasks:
            for group in _batches(reading(task), plan.batch):
                yield task, group, pool.submit(_predict, model, group, plan.batch) if pool else None

    def answers() -> Iterator[tuple[int, Answer]]:
        waiting: deque[tuple[int, list[TileIn], Future[list[np.ndarray | None]] | None]] = deque()
        source = jobs()
        try:
            while True:
                while len(waiting) <= ahead and (job := next(source, None)):
                    waiting.append(job)
                if not waiting:
                    return
                task, group, future = waiting.popleft()
                found = future.result() if future else _predict(model, group, plan.batch)
                for pair in zip(group, found, strict=True):
                    yield task, pair
        finally:
            for _, _, future in waiting:
                if future:
                    future.cancel()

    for task, group in groupby(answers(), key=lambda item: item[0]):
        yield task, (answer for _, answer in group)


def blend(
    model: Model, plan: Plan, task: int, answers: Iterable[Answer], *, probabilities: bool = False
) -> Done:
    """Add up the tiles of a task; holds one row of tiles across the scene."""
    width, seam = plan.shape[1], plan.overlap if task > 0 else 0
    held = Sums(
        np.zeros((len(model.scheme.classes), plan.core, width), np.float32),
        np.zeros((plan.core, width), np.float32),
    )
    taper, counts, tiles = plan.taper(), Counts(), 0
    planes: list[np.ndarray] = []
    top: Sums | None = None
    rows = plan.tile_rows(task)
    for row, of_row in groupby(answers, key=lambda answer: answer[0].row):
        for tile, found in of_row:
            tiles += 1
            counts.add(tile.counts)
            if found is not None:
                _add(held, plan, tile, found, taper)
        complete = plan.start(row + 1) - plan.start(row)
        lead = seam if row == rows[0] else 0
        if lead:
            top = Sums(held.values[:, :lead].copy(), held.weights[:lead].copy())
        planes.append(planes_of(held, slice(lead, complete), model, probabilities=probabilities))
        _move_up(held, complete)
    bottom = None
    if task + 1 < plan.tasks and plan.overlap:
        bottom = Sums(held.values[:, : plan.overlap].copy(), held.weights[: plan.overlap].copy())
    return Done(np.concatenate(planes), top, bottom, counts, tiles)


def _add(held: Sums, plan: Plan, tile: TileIn, found: np.ndarray, taper: np.ndarray) -> None:
    """Add a tile to the row of tiles; cells without data or without a finite answer have no say."""
    ys, xs = plan.core_window(tile.row, tile.col)
    here = slice(0, ys.stop - ys.start), slice(0, xs.stop - xs.start)
    found, valid, weight = found[:, *here], tile.valid[here], taper[here]
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.isfinite(found.sum())
    if not whole:
        valid = valid & np.isfinite(found).all(axis=0)
    if not valid.all():
        found, weight = np.where(valid, found, np.float32(0)), np.where(valid, weight, np.float32(0))
    held.values[:, here[0], xs] += found * weight if plan.overlap else found
    held.weights[here[0], xs] += weight


def _move_up(held: Sums, rows: int) -> None:
    """Drop the first rows and make room for as many new ones."""
    for part in (held.values, held.weights):
        left = max(part.shape[-2] - rows, 0)
        part[..., :left, :] = part[..., rows:, :].copy()
        part[..., left:, :] = 0


def planes_of(sums: Sums, rows: slice, model: Model, *, probabilities: bool = False) -> np.ndarray:
    """Bytes (y, band, x) of some rows: class code, confidence in %, abstention, then all probabilities.

    The class is the most probable one as the model says it; confidence (of that class), abstention and
    probabilities are calibrated. :data:`NODATA` where nothing has a weight. Probabilities are quantised to
    :data:`QUANTA` steps.
    """
    k, (height, width) = len(model.scheme.classes), sums.weights[rows].shape
    out = np.empty((height, 3 + (k if probabilities else 0), width), np.uint8)
    codes = np.array(model.scheme.codes, dtype=np.uint8)
    for x in range(0, width, STRIP):
        strip = slice(x, x + STRIP)
        values, weights = sums.values[:, rows, strip], sums.weights[rows, strip]
        empty = weights == 0
        scale = 1 / np.maximum(weights, np.float32(1e-20))
        top, best = values[0].copy(), np.zeros(empty.shape, np.uint8)
        for i in range(1, k):
            higher = values[i] > top
            best *= ~higher  # arithmetic: writing through a mask takes ten times as long
            best += higher * np.uint8(i)
            np.maximum(top, values[i], out=top)
        if model.calibration.kind == "none":
            top *= scale
        else:
            values, scale = model.calibration.apply(values * scale, axis=0), np.float32(1)
            top = np.take_along_axis(values, best[None], axis=0)[0]
        planes = [codes.take(best, mode="clip"), np.rint(top * 100), top < model.abstain_below]
        if probabilities:
            planes += [np.rint(plane * scale * QUANTA) for plane in values]
        for band, plane in enumerate(planes):
            out[:, band, strip] = plane
        if empty.any():
            np.copyto(out[:, :, strip], np.uint8(NODATA), where=empty[:, None])
    return out


def run_task(model: Model, scene: Scene, plan: Plan, task: int, *, probabilities: bool = False) -> Done:
    """One task from reading to bytes, in the calling thread."""
    _, answers = next(predicted(model, scene, plan, [task]))
    return blend(model, plan, task, answers, probabilities=probabilities)
