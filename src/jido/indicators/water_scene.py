"""Water of a series of images: a threshold for every date from its own shores, then areas by body or cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from jido.errors import ImageError
from jido.geo import INDICES, Tile, Window
from jido.indicators.cells import Cells
from jido.indicators.green import require_roles
from jido.indicators.shares import (
    BAND_PIXELS,
    CellSums,
    Placed,
    bands_of_rows,
    cell_sums,
    pixel_areas,
    read_ahead,
    window_sums,
)
from jido.indicators.water import EdgeZone, Shore, fixed_shore, water_plane
from jido.indicators.water_areas import (
    PARTS_HALO,
    SHARE,
    BodyAreas,
    Pieces,
    body_areas,
    cut_bodies,
    water_parts,
)
from jido.indicators.water_blocks import MIXED, WATER, PlainBlocks, runs
from jido.indicators.water_edges import HALO, grown
from jido.indicators.water_months import WaterMonths, YearWater, judged_years
from jido.indicators.water_radar import lee, require_decibels
from jido.indicators.water_signals import SIGNALS
from jido.io import Progress
from jido.io.clouds import cloudy
from jido.io.series import Series

RADAR = ("VV", "VH")
EXACT = ("awei_sh", "awei_nsh")
"""Indices that add bands up and so need reflectance."""

SPECKLE = 3
"""Radius in pixels of the square of the Lee filter: a plain mean makes lakes smaller."""

CLOUD = 6
"""Place of the clouds behind the planes of :func:`~jido.indicators.water_areas.water_parts`."""

SQUARE = 1024
"""Side in pixels of the squares of the image of which shores are taken, those that hold cells."""

STRIP = 256
"""Rows of the windows in which shores are sought."""


@dataclass(frozen=True, eq=False)
class WaterDates:
    """Water in each body on each date.

    Args:
        days: ISO, D of them.
        bodies: n of them.
        areas: of each date.
        shores: of each date.
        cloud: share of each body that the masks call cloud, (D, n).
        correction: what the numbers of each date were taken for.
        notes: what a reader should know.
        years: permanent and seasonal water of the years with enough months.
    """

    days: tuple[str, ...]
    bodies: Cells
    areas: tuple[BodyAreas, ...]
    shores: tuple[Shore, ...]
    cloud: np.ndarray
    correction: tuple[str, ...]
    notes: tuple[str, ...]
    years: tuple[YearWater, ...] = ()

    def column(self, name: str) -> np.ndarray:
        """A field of the areas, (D, n)."""
        return np.stack([getattr(one, name) for one in self.areas])


def water_roles(method: str) -> tuple[str, ...]:
    """Bands that a method needs: STAC common names, or the polarisation."""
    return (method,) if method in RADAR else INDICES[method].bands


def require_water_bands(series: Series, method: str) -> None:
    """Refuse images that lack the bands of a method, with what would work."""
    if method not in RADAR:
        require_roles(series, method)
    elif not series.has(method):
        held = ", ".join(series.images[0].scene.names)
        raise ImageError(f"The images ({held}) have no band {method}: give Sentinel-1, or take an index.")


def water_dates(
    series: Series,
    bodies: Cells,
    *,
    method: str = "mndwi",
    threshold: float | None = None,
    whole: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> WaterDates:
    """Water in every body on every date.

    Args:
        series: the images.
        bodies: outlines that hold all water of a body and no other, or any cells.
        method: a name of :data:`~jido.indicators.water_signals.SIGNALS`.
        threshold: a fixed one for all dates; that of the shores of each date without it. A date that shows
            no shore takes the published one, and its note says so.
        whole: cut large bodies into pieces, between which errors under clouds are less alike; not for
            cells of a grid.
        seed: of the draws from blocks of shore.
        progress: told how many rows are done.

    Raises:
        ImageError: when a band is missing, numbers are no reflectance where an index needs it, or no body
            lies on the images.
    """
    require_water_bands(series, method)
    if method not in RADAR:
        series = series.as_reflectance(water_roles(method), exact=method in EXACT)
    pieces = cut_bodies(bodies) if whole else Pieces(bodies, bodies, np.arange(len(bodies)))
    placed = Placed(pieces.cells, series.geobox)
    areas, shores, clouds, shape = [], [], [], (series.geobox.shape.y, series.geobox.shape.x)
    for place in range(len(series.images)):
        read, plain = partial(water_signal, series, place, method), PlainBlocks(shape)
        shore = _shore(read, series, place, placed.window, method, threshold, seed, plain, progress)
        parts = partial(_parts, read, shore, plain.kinds(shore))
        sums = cell_sums(placed, series.geobox, parts, pixels=BAND_PIXELS // 2, progress=progress)
        shores.append(shore)
        areas.append(body_areas(pieces, sums, shore))
        clouds.append(pieces.by_body(sums.total[CLOUD]) / bodies.area_m2)
    years = _years(series, method, pieces, placed, shores, progress)
    told = tuple(series.correction), tuple(series.notes)
    return WaterDates(series.days, bodies, tuple(areas), tuple(shores), np.stack(clouds), *told, years)


def _years(
    series: Series,
    method: str,
    pieces: Pieces,
    placed: Placed,
    shores: Sequence[Shore],
    progress: Progress | None,
) -> tuple[YearWater, ...]:
    """Permanent and seasonal water of each year with enough months; all its dates are read once more."""
    sums: dict[int, CellSums] = {}
    days, ends, shape = series.days, judged_years(series.days), (series.geobox.shape.y, series.geobox.shape.x)
    places = [place for place, day in enumerate(days) if int(day[:4]) in ends]
    windows = bands_of_rows(series.geobox, within=placed.window)

    def water(at: tuple[Window, int]) -> np.ndarray:
        window, place = at
        tile = Tile(window, grown(window, shape, SPECKLE if method in RADAR else 0))
        return water_plane(water_signal(series, place, method, tile.read)[0][tile.inner], shores[place])

    months = None
    for (window, place), wet in read_ahead(product(windows, places), water):
        year = int(days[place][:4])
        months = months or WaterMonths((wet.shape[0], wet.shape[1]))
        months.take(days[place], wet)
        if place == ends[year]:
            found = window_sums(placed.shares(window), months.kinds(), pixel_areas(series.geobox, window))
            sums[year], months = (sums[year] + found if year in sums else found), None
        if progress and place == places[-1]:
            progress("parting permanent from seasonal water", window[0].stop, placed.window[0].stop)
    return tuple(
        YearWater(year, *(pieces.by_body(part) for part in (*one.total, one.seen_m2[0])))
        for year, one in sums.items()
    )


def water_signal(series: Series, place: int, method: str, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """The plane in which water is sought, and the one that mixes linearly, (y, x) each."""
    signal = SIGNALS[method]
    bands = series.read(place, window, water_roles(method))
    if method not in RADAR:
        plane = INDICES[method].function(*bands).astype(np.float32)
        return plane, signal.mixing(plane, list(bands))
    name = next(band for band in series.images[place].scene.bands if band.name == method)
    require_decibels(bands[0], name)
    plane = lee(bands[0], radius=SPECKLE)
    return plane, signal.mixing(plane, [plane])


def _shore(
    read: partial[tuple[np.ndarray, np.ndarray]],
    series: Series,
    place: int,
    within: Window,
    method: str,
    threshold: float | None,
    seed: int,
    plain: PlainBlocks,
    progress: Progress | None,
) -> Shore:
    """Threshold, land and water of a date, from the shores where the bodies lie; fills ``plain``."""
    signal, shape = SIGNALS[method], (series.geobox.shape.y, series.geobox.shape.x)
    if threshold is not None:
        return Shore(signal, threshold)
    zone = EdgeZone(signal, shape, start=signal.start)
    more = SPECKLE if method in RADAR else 0

    def planes(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        wide = Tile(tile.read, grown(tile.read, shape, more))
        plane, mixing = (part[wide.inner] for part in read(wide.read))
        return plane, mixing

    for tile, (plane, mixing) in read_ahead(_strips(within, shape), planes):
        zone.add(plane, tile, mixing=mixing)
        plain.add(plane, tile)
        if progress:
            progress("seeking shores", tile.core[0].stop, shape[0])
    try:
        return zone.shore(seed=seed)
    except ImageError as err:
        series.notes.append(f"{series.days[place]}: {err}")
        return fixed_shore(signal)


def _strips(within: Window, shape: tuple[int, int]) -> Iterator[Tile]:
    """Strips of :data:`STRIP` rows over the squares of :data:`SQUARE` pixels in which cells lie."""
    rows, cols = (
        slice(side.start // SQUARE * SQUARE, min(-(-side.stop // SQUARE) * SQUARE, size))
        for side, size in zip(within, shape, strict=True)
    )
    for top in range(rows.start, rows.stop, STRIP):
        core = slice(top, min(top + STRIP, rows.stop)), cols
        yield Tile(core, grown(core, shape, HALO))


def _parts(
    read: partial[tuple[np.ndarray, np.ndarray]], shore: Shore, kinds: np.ndarray, window: Window
) -> np.ndarray:
    """Planes of :func:`water_parts` of a window, and where clouds are; what is plain is not read."""
    series, place, _ = read.args
    masks, shape = series.images[place].clouds, (series.geobox.shape.y, series.geobox.shape.x)
    planes = np.zeros((CLOUD + 1, *(side.stop - side.start for side in window)), dtype=np.float32)
    for part, kind in runs(kinds, window):
        here = planes[:, *Tile(part, window).inner]
        if kind != MIXED:
            here[SHARE] = kind == WATER
            continue
        tile = Tile(part, grown(part, shape, PARTS_HALO + SPECKLE))
        plane, mixing = read(tile.read)
        here[:CLOUD] = water_parts(plane, shore, mixing=mixing)[:, *tile.inner]
        if masks is not None:
            here[CLOUD] = cloudy(masks, part)
    return planes
