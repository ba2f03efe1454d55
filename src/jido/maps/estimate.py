"""What a map will take, before it is made: tiles, memory, disk, and time from a short probe."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from jido.geo import coarser, pixel_size_m
from jido.io import CACHE_MB, Plane, Scene, describe_rows, peak_rss_mb, smaller_levels, write_cog
from jido.maps.engine import band_planes, require_fit
from jido.maps.executors import Work, answered, threads_of
from jido.maps.plan import Plan
from jido.maps.postfilter import gaussian_filter_lcz
from jido.maps.radiometry import require_radiometry
from jido.maps.tasks import NODATA, Answer, blend, read_tile
from jido.methods import Model

PROBE_S = 10.0
"""Seconds of prediction that are timed."""

ROUNDS = 4
"""Answers of every thread that are waited for, however long they take."""

LOOKED_AT = 64
"""Tiles that are read to see how many hold data."""

REPORT_MB = 80
"""What drawing the report takes: matplotlib and one picture."""

SAMPLE = 1024
"""Side in cells of the made-up map on which writing is timed."""


@dataclass(frozen=True)
class Estimate:
    """What a map will take.

    Args:
        tiles: number of tiles.
        tiles_with_data: how many of them will be predicted, from a look at some.
        megapixels: pixels of the scene, in millions.
        cells: rows and columns of the map.
        memory_mb: most memory of the process that maps.
        worker_memory_mb: most memory of each Dask worker; ``None`` without workers.
        disk_mb: most room beside the map until it is finished, the map itself included.
        tiles_per_s: what the probe reached, tiles with data only; ``None`` when it met none.
        seconds: of the whole, on this machine.
    """

    tiles: int
    tiles_with_data: int
    megapixels: float
    cells: tuple[int, int]
    memory_mb: float
    worker_memory_mb: float | None
    disk_mb: float
    tiles_per_s: float | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``jido map --plan``."""
        return asdict(self)


def estimate_map(
    model: Model,
    scene: Scene,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    probabilities: bool = False,
    threads: int | None = None,
    workers: int | None = None,
    convert: bool = False,
    probe_s: float = PROBE_S,
) -> Estimate:
    """Predict for some seconds in the middle of the scene and work out the rest; writes no map.

    Workers are taken to be as fast as threads: the probe uses as many threads, at most one a core.

    Raises:
        ModelError: when the scene does not fit the model, or the tiles do not.
    """
    require_fit(model, scene)
    scene = require_radiometry(model, scene, convert=convert)
    grid = coarser(scene.geobox, model.stride)
    plan = Plan.of(model, (grid.shape.y, grid.shape.x), tile=tile, overlap=overlap)
    planes = band_planes(model, probabilities=probabilities)
    total = plan.tiles[0] * plan.tiles[1]
    full = round(total * _share_with_data(model, scene, plan))
    predictors = min(workers, os.cpu_count() or 1) if workers else threads_of(threads)
    before = peak_rss_mb()
    first, rate = _probe(Work(model, scene, plan), predictors, probe_s)
    slower = predictors / workers if workers else 1.0
    seconds = first + full / rate * slower + _closing_seconds(model, grid, planes)
    seam_mb = (len(model.scheme.classes) + 1) * plan.overlap * plan.shape[1] * 4 / 1e6
    rows_mb = plan.shape[0] * plan.shape[1] * len(planes) / 1e6
    predicting = peak_rss_mb() + REPORT_MB + min(CACHE_MB, rows_mb) + 3 * seam_mb
    return Estimate(
        tiles=total,
        tiles_with_data=full,
        megapixels=round(scene.geobox.shape.y * scene.geobox.shape.x / 1e6, 3),
        cells=plan.shape,
        memory_mb=round(before + REPORT_MB + 6 * seam_mb if workers else predicting, 1),
        worker_memory_mb=round(predicting, 1) if workers else None,
        disk_mb=round(rows_mb * 4 / 3 * 2, 1),  # rows with their overviews, and at worst the same in the COG
        tiles_per_s=round(rate, 2) if np.isfinite(rate) else None,
        seconds=round(seconds, 1),
    )


def _share_with_data(model: Model, scene: Scene, plan: Plan) -> float:
    """From a lattice of tiles over the scene."""
    rows, cols = plan.tiles
    side = int(LOOKED_AT**0.5)
    seen = [
        bool(read_tile(scene, model, plan, row, col).valid.any())
        for row in np.unique(np.linspace(0, rows - 1, side).round().astype(int)).tolist()
        for col in np.unique(np.linspace(0, cols - 1, side).round().astype(int)).tolist()
    ]
    return sum(seen) / len(seen)


class _EnoughError(Exception):
    """The time of the probe is over."""


def _probe(work: Work, threads: int, seconds: float) -> tuple[float, float]:
    """Seconds until every thread has answered, and tiles with data per second from then on.

    Goes on for as long as it takes to see some rounds of answers.
    """
    middle, order = work.plan.tasks // 2, range(work.plan.tasks)
    start, times = time.perf_counter(), []

    def counted(answers: Iterable[Answer]) -> Iterator[Answer]:
        for tile, found in answers:
            yield tile, found
            now = time.perf_counter()
            if found is not None:
                times.append(now)
            enough = len(times) >= ROUNDS * threads or not times
            if enough and now - (times or [start])[0] > seconds:
                raise _EnoughError

    try:
        with closing(answered(work, [*order[middle:], *order[:middle]], threads=threads)) as all_answers:
            for task, answers in all_answers:
                blend(work.model, work.plan, task, counted(answers))
    except _EnoughError:
        pass
    if len(times) <= threads:  # nothing to time
        return time.perf_counter() - start, float("inf")
    return times[threads - 1] - start, (len(times) - threads) / (times[-1] - times[threads - 1])


def _closing_seconds(model: Model, grid: GeoBox, planes: list[Plane]) -> float:
    """Time for filter and COG, from a small made-up map."""
    side = SAMPLE
    rng = np.random.default_rng(0)
    rows = np.zeros((side, len(planes), side), np.uint8)
    rows[:, 0] = np.array(model.scheme.codes, np.uint8)[
        np.add.outer(np.arange(side), np.arange(side)) // 50 % len(model.scheme.codes)
    ]
    rows[:, 1:] = rng.integers(60, 100, rows[:, 1:].shape)
    box = GeoBox((side, side), grid.affine, grid.crs)
    start = time.perf_counter()
    if planes[0].name == "lcz":
        gaussian_filter_lcz(rows[:256, 0], cell_m=pixel_size_m(grid), nodata=NODATA)
    filtering = (time.perf_counter() - start) * side / 256
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "rows.bil").write_bytes(rows.tobytes())
        start = time.perf_counter()
        levels = smaller_levels(file, rows.shape)
        describe_rows(Path(folder) / "map.vrt", levels, box, planes, per_row=len(planes), nodata=NODATA)
        write_cog(Path(folder) / "map.vrt", Path(folder) / "map.tif")
        writing = time.perf_counter() - start
    return (filtering + writing) * grid.shape.y * grid.shape.x / side**2
