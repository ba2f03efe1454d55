"""Water of a series of images: a threshold for every date from its own shores, then areas by body or cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from jido.errors import ImageError
from jido.geo import INDICES, Tile, Window, lattice
from jido.indicators.cells import Cells
from jido.indicators.green import NOT_SEEN, require_roles
from jido.indicators.shares import BAND_PIXELS, Placed, cell_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable, indicator_table
from jido.indicators.uncertainty import missing_dates_variance
from jido.indicators.water import HALO, SIGNALS, EdgeZone, Shore, fixed_shore
from jido.indicators.water_areas import (
    ERROR_MODEL,
    PARTS_HALO,
    BodyAreas,
    Pieces,
    body_areas,
    cut_bodies,
    water_parts,
)
from jido.indicators.water_radar import lee, require_decibels
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

TILE = 1024
"""Side in pixels of the windows in which shores are sought."""

FORMULAS = {
    "ndwi": "NDWI = (green - nir) / (green + nir) (McFeeters 1996)",
    "mndwi": "MNDWI = (green - swir16) / (green + swir16) (Xu 2006)",
    "awei_sh": "AWEIsh = blue + 2.5 green - 1.5 (nir + swir16) - 0.25 swir22 (Feyisa et al. 2014)",
    "awei_nsh": "AWEInsh = 4 (green - swir16) - (0.25 nir + 2.75 swir22) (Feyisa et al. 2014)",
    "VV": "backscatter VV in dB, Lee filter of 7 x 7 pixels (Lee 1980), water below the threshold",
    "VH": "backscatter VH in dB, Lee filter of 7 x 7 pixels (Lee 1980), water below the threshold",
}


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
    """

    days: tuple[str, ...]
    bodies: Cells
    areas: tuple[BodyAreas, ...]
    shores: tuple[Shore, ...]
    cloud: np.ndarray
    correction: tuple[str, ...]
    notes: tuple[str, ...]

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
        method: a name of :data:`~jido.indicators.water.SIGNALS`.
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
    areas, shores, clouds = [], [], []
    for place in range(len(series.images)):
        read = partial(water_signal, series, place, method)
        shore = _shore(read, series, place, placed.window, method, threshold, seed)
        sums = cell_sums(
            placed, series.geobox, partial(_parts, read, shore), pixels=BAND_PIXELS // 3, progress=progress
        )
        shores.append(shore)
        areas.append(body_areas(pieces, sums, shore))
        hidden = np.bincount(pieces.owner, sums.total[CLOUD], minlength=len(bodies))
        clouds.append(hidden / bodies.area_m2)
    told = tuple(series.correction), tuple(series.notes)
    return WaterDates(series.days, bodies, tuple(areas), tuple(shores), np.stack(clouds), *told)


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


def _grown(window: Window, shape: tuple[int, int], halo: int) -> tuple[Window, Window]:
    """A window with a margin inside the image, and where the window lies in it."""
    rows, cols = (
        slice(max(side.start - halo, 0), min(side.stop + halo, size))
        for side, size in zip(window, shape, strict=True)
    )
    inner = tuple(
        slice(side.start - wide.start, side.stop - wide.start)
        for side, wide in zip(window, (rows, cols), strict=True)
    )
    return (rows, cols), (inner[0], inner[1])


def _shore(
    read: partial[tuple[np.ndarray, np.ndarray]],
    series: Series,
    place: int,
    within: Window,
    method: str,
    threshold: float | None,
    seed: int,
) -> Shore:
    """Threshold, land and water of a date, from the shores where the bodies lie."""
    signal, shape = SIGNALS[method], (series.geobox.shape.y, series.geobox.shape.x)
    if threshold is not None:
        return Shore(signal, threshold)
    zone = EdgeZone(signal, shape, start=signal.start)
    more = SPECKLE if method in RADAR else 0
    for tile in lattice(shape, tile=TILE, halo=HALO):
        if _apart(tile, within):
            continue
        wide, inner = _grown(tile.read, shape, more)
        plane, mixing = (part[inner] for part in read(wide))
        zone.add(plane, tile, mixing=mixing)
    try:
        return zone.shore(seed=seed)
    except ImageError as err:
        series.notes.append(f"{series.days[place]}: {err}")
        return fixed_shore(signal)


def _apart(tile: Tile, within: Window) -> bool:
    sides = zip(tile.core, within, strict=True)
    return any(one.stop <= two.start or one.start >= two.stop for one, two in sides)


def _parts(read: partial[tuple[np.ndarray, np.ndarray]], shore: Shore, window: Window) -> np.ndarray:
    """Planes of :func:`water_parts` of a window, and where clouds are."""
    series, place, _ = read.args
    wide, inner = _grown(window, (series.geobox.shape.y, series.geobox.shape.x), PARTS_HALO + SPECKLE)
    plane, mixing = read(wide)
    masks = series.images[place].clouds
    hidden = np.zeros(plane[inner].shape) if masks is None else cloudy(masks, window)
    return np.stack([*water_parts(plane, shore, mixing=mixing)[:, *inner], hidden.astype(np.float32)])


def water_sheet(
    found: WaterDates, *, method: str, fixed: float | None, min_coverage: float, value: str
) -> MethodSheet:
    """How water was measured."""
    rule = (
        f"fixed threshold {fixed:g}"
        if fixed is not None
        else "threshold of each date by Otsu over a zone along Canny's edges (BlueDot Water Observatory)"
    )
    numbers = {f"threshold {day}": one.threshold for day, one in zip(found.days, found.shores, strict=True)}
    return MethodSheet(
        indicator=f"open water ({value})",
        formula=f"{FORMULAS[method]}; {rule}; pixels of the shore count by their share of water",
        source="BlueDot Water Observatory; Otsu 1979; see the formula",
        unit="share" if value == "share" else "m²",
        bands=water_roles(method),
        correction="; ".join(found.correction),
        dates=found.days,
        nodata_rule=" ".join([NOT_SEEN, *found.notes]),
        error_model=ERROR_MODEL
        if np.isfinite([one.se for one in found.shores]).any()
        else "none claimed: the shore is too short, or the threshold fixed",
        cells=found.bodies.kind,
        min_coverage=min_coverage,
        limits=("Reeds, shadows, ice and roofs taken for the other kind are not in the interval.",),
        numbers=numbers,
    )


def water_shares(found: WaterDates, sheet: MethodSheet) -> IndicatorTable:
    """Share of water of each cell, the median over dates that show enough of it.

    Errors of the shore are taken for the same on all dates; dates that clouds hide add the variance between
    dates, for a median times pi / 2.

    Args:
        found: of the cells.
        sheet: how it was measured.

    Returns:
        A table with ``lowest`` and ``highest`` share, ``wet`` (share of the dates with water in at least
        half of the cell) and ``dates``.
    """
    area = found.bodies.area_m2
    coverage = found.column("coverage")
    seen = (coverage >= sheet.min_coverage) & np.isfinite(found.column("area_m2"))
    share = np.where(seen, found.column("area_m2") / area, np.nan)
    se = np.where(seen, found.column("se") / area, np.nan)
    dates, any_date = seen.sum(axis=0), seen.any(axis=0)
    hidden = missing_dates_variance(share, planned=len(share))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_se = np.where(seen, se, 0).sum(axis=0) / dates
    ordered = np.where(any_date, share, 0)

    def by_cell(statistic: str) -> np.ndarray:
        return np.where(any_date, getattr(np, statistic)(ordered, axis=0), np.nan)

    return indicator_table(
        found.bodies,
        by_cell("nanmedian"),
        np.sqrt(mean_se**2 + np.nan_to_num(hidden) * np.where(dates > 2, np.pi / 2, 1)),
        coverage=np.where(any_date, _mean(coverage, seen), coverage.max(axis=0)),
        n=np.where(seen, found.column("n"), 0).sum(axis=0),
        sheet=sheet,
        bounds=(0.0, 1.0),
        columns={
            "lowest": by_cell("nanmin"),
            "highest": by_cell("nanmax"),
            "wet": _mean(share >= 0.5, seen),
            "dates": dates.astype(np.float64),
        },
    )


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the dates that count, (n,); NaN without one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counted, values, 0).sum(axis=0) / counted.sum(axis=0))
