"""Green: how much of the ground is covered by plants in summer, and how much of it each person has.

Kwon et al. 2021 (EPJ Data Science 10:56, arXiv 2101.00807) take Sentinel-2 images of the summer, June to
September in the north and December to February in the south, and divide the sum of NDVI over a city by its
people. Here the same sum is weighted by the area of the pixels, negative NDVI (water) counts as none, and a
share of ground above a threshold stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from jido.errors import ImageError
from jido.geo import INDICES
from jido.indicators.aggregate import Dependence, aggregate, overlaps
from jido.indicators.cells import Cells
from jido.indicators.composite import Composite
from jido.indicators.correlation import Correlation
from jido.indicators.measure import Measured, measure
from jido.indicators.shares import Placed, bands_of_rows
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable, indicator_table
from jido.indicators.uncertainty import block_bootstrap
from jido.io import Progress, Scene
from jido.io.series import NAME_BANDS, Series

Value = Literal["share", "ndvi", "area", "per-head"]

SUMMERS = {"north": (6, 7, 8, 9), "south": (12, 1, 2)}
"""Months of summer by hemisphere, as Kwon et al. 2021."""

NOT_SEEN = "Pixels without data, and those that the masks call cloud; 0/0 is no index."
FORMULAS = {
    "share": "share of the ground with NDVI > {threshold:g}",
    "ndvi": "mean NDVI",
    "area": "sum of max(NDVI, 0) x area of the pixel (NDVI-weighted green area); what was not seen is taken "
    "to be like the rest of the cell",
    "per-head": "sum of max(NDVI, 0) x area of the pixel (NDVI-weighted green area) / people",
}
UNITS = {"share": "share", "ndvi": "NDVI", "area": "m²", "per-head": "m² per person"}
BOUNDS = {"share": (0.0, 1.0), "ndvi": (-1.0, 1.0), "area": (0.0, np.inf), "per-head": (0.0, np.inf)}
SHARE, NDVI, WEIGHTED = range(3)
"""Places of what is measured."""

COVERED = 0.99
"""Share of a cell that a population raster must cover: people beyond its edge are not nobody."""


@dataclass(frozen=True)
class GreenConfig:
    """What is measured.

    Args:
        value: which quantity stands in the column ``value``; the others stand beside it.
        threshold: NDVI from which ground counts as green.
        composite: how dates are put together.
        months: that count, 1..12; the summer of the place without them.
        min_coverage: share of a cell that must be seen.
        level: of the intervals.
    """

    value: Value = "share"
    threshold: float = 0.4
    composite: Composite = "median"
    months: tuple[int, ...] = ()
    min_coverage: float = 0.5
    level: float = 0.95


def summer_of(series: Series, months: Sequence[int] = ()) -> Series:
    """The images of the summer of the place.

    Args:
        series: the images.
        months: that count instead of June to September in the north, December to February in the south.

    Raises:
        ImageError: when none of the images is of these months.
    """
    latitude = float(series.geobox.extent.centroid.to_crs("EPSG:4326").coords[0][1])
    wanted = tuple(months) or SUMMERS["south" if latitude < 0 else "north"]
    chosen = [i for i, day in enumerate(series.days) if int(day[5:7]) in wanted]
    where = f"{abs(latitude):.0f} degrees {'south' if latitude < 0 else 'north'}"
    if not chosen:
        raise ImageError(
            f"The images are of {', '.join(series.days[:4])}, but at {where} summer is in the months "
            f"{', '.join(map(str, wanted))}: give images of these months, or name others with --months."
        )
    fresh = series.select(chosen)
    if left := len(series.days) - len(chosen):
        fresh.notes.append(f"{left} of {len(series.days)} dates are not of the summer at {where}: left out.")
    if len(years := _summers(fresh.days, wanted)) > 1:
        fresh.notes.append(
            f"The images are of {len(years)} summers ({', '.join(years)}), put together as one: what changed "
            "between them is in the interval; for a single summer give its images alone."
        )
    return fresh


def _summers(days: Sequence[str], months: Sequence[int]) -> list[str]:
    """The summers that days are of: 2021, or 2020/21 where one goes on after New Year."""
    if not {12, 1} <= set(months) or set(months) == set(range(1, 13)):
        return sorted({day[:4] for day in days})
    first = {int(day[:4]) - (int(day[5:7]) < 7) for day in days}
    return [f"{year}/{(year + 1) % 100:02}" for year in sorted(first)]


def green(
    series: Series,
    cells: Cells,
    config: GreenConfig,
    *,
    population: Scene | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[IndicatorTable, Measured]:
    """Green of every cell from images with red and near infrared.

    Args:
        series: the images; those of summer are used.
        cells: in any CRS.
        config: what is measured.
        population: people per pixel, one band.
        seed: of the pixels from which errors are learned.
        progress: told how far it is.

    Returns:
        The table, with ``ndvi``, ``green_share``, ``green_m2`` and, with a population, ``people`` and
        ``green_m2_per_head`` beside the value; and what was measured.

    Raises:
        ImageError: when a band is missing, no image is of summer, nothing was seen, or people are asked
            for without a population raster that covers the cells.
    """
    if config.value == "per-head" and population is None:
        raise ImageError("Green per head needs people: give a raster of them with --population.")
    require_roles(series, "ndvi")
    series = summer_of(series, config.months).as_reflectance(INDICES["ndvi"].bands, exact=False)
    found = measure(
        series,
        cells,
        roles=INDICES["ndvi"].bands,
        index=_ndvi,
        quantities=(
            lambda ndvi: np.heaviside(ndvi - np.float32(config.threshold), np.float32(0)),
            lambda ndvi: ndvi,
            lambda ndvi: np.maximum(ndvi, 0),
        ),
        composite=config.composite,
        seed=seed,
        progress=progress,
    )
    area = cells.area_m2
    columns = {
        "ndvi": found.mean(NDVI),
        "green_share": found.mean(SHARE),
        "green_m2": found.mean(WEIGHTED) * area,
    }
    scale = np.ones(len(cells))
    if population is not None:
        people = people_of(population, cells)
        if lost := int(np.isnan(people).sum()):
            covered = f"covers {len(cells) - lost} of {len(cells)} cells"
            series.notes.append(f"{population.paths[0].name} {covered}: the others have no people.")
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(people > 0, area / people, np.nan)
        columns |= {"people": people, "green_m2_per_head": found.mean(WEIGHTED) * scale}
    quantity = {"share": SHARE, "ndvi": NDVI}.get(config.value, WEIGHTED)
    scale = {"area": area, "per-head": scale}.get(config.value, np.ones(len(cells)))
    table = indicator_table(
        cells,
        found.mean(quantity) * scale,
        found.standard_error(quantity) * scale,
        coverage=found.coverage,
        n=found.n,
        sheet=_sheet(series, cells, config, found, quantity),
        bounds=BOUNDS[config.value],
        columns=columns,
    )
    seen = {name: np.where(table.empty, np.nan, part) for name, part in columns.items() if name != "people"}
    return replace(table, columns=columns | seen), found


def _ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """NDVI; corrected reflectance below 0, as over dark water, counts as 0."""
    return INDICES["ndvi"].function(np.maximum(nir, 0), np.maximum(red, 0))


def green_of(table: IndicatorTable, found: Measured, districts: Cells, value: Value) -> IndicatorTable:
    """Green of districts, or of a whole country, from that of cells.

    Shares and NDVI are weighted by area, green per head by people; areas are added up, those of cells
    not seen taken to be like the others. With one date, whose interval is the spread of places alike, the
    cells are redrawn as blocks (:func:`~jido.indicators.uncertainty.block_bootstrap`): that knows places
    that vary more than others, which one variogram of the whole image does not.

    Args:
        table: of :func:`green`.
        found: its measurements.
        districts: larger cells.
        value: what the table holds.
    """
    quantity = {"share": SHARE, "ndvi": NDVI}.get(value, WEIGHTED)
    dependence = Dependence(shared=found.shared(quantity), length_m=found.noise[quantity].length_m)
    weights = _weights(table) if value == "per-head" else table.cells.area_m2
    if value == "area":  # added up as green per m² of ground
        area = table.cells.area_m2
        parts = {name: getattr(table, name) / area for name in ("value", "lower", "upper", "se")}
        table = replace(table, **parts)
    made = aggregate(
        table,
        districts,
        dependence=dependence,
        field_length_m=found.field[quantity].length_m,
        weights=weights,
        weight_name="people" if value == "per-head" else "area in m²",
        total=value == "area",
    )
    if found.dates > 1:
        return made
    return _redrawn(made, table, weights, found.field[quantity], total=value == "area")


def _redrawn(
    made: IndicatorTable, table: IndicatorTable, weights: np.ndarray, field: Correlation, *, total: bool
) -> IndicatorTable:
    """Districts with the error from redrawing their cells, where that is the larger one."""
    side, shares = float(np.sqrt(np.median(table.cells.area_m2))), overlaps(table.cells, made.cells)
    weights = np.where(table.empty, 0, weights)
    rows = []
    for district in range(len(made.cells)):
        part = shares[[district]]
        weight = part.data * weights[part.indices]
        sums = weight * np.nan_to_num(table.value[part.indices])
        rows.append(block_bootstrap(sums, weight, block_m=side, correlation=field)[1:])
    se, freedom = np.array(rows).T
    se = se * (made.columns["weight"] if total else 1)
    larger = se > np.nan_to_num(made.se, nan=np.inf)
    words = f"{made.sheet.dependence}; where that is larger, from redrawing cells (block bootstrap)"
    sheet = replace(made.sheet, dependence=words)
    return indicator_table(
        made.cells,
        made.value,
        np.where(larger, se, made.se),
        coverage=made.coverage,
        n=made.n,
        sheet=sheet,
        freedom=np.where(larger, freedom, np.inf),
        bounds=made.bounds,
        columns=made.columns,
    )


def _weights(table: IndicatorTable) -> np.ndarray:
    """People of cells; where they are not known, as many to the m² as in the others."""
    people, area = table.columns["people"], table.cells.area_m2
    known = np.isfinite(people)
    density = people[known].sum() / area[known].sum()
    return np.where(known, people, density * area)


def require_roles(series: Series, index: str) -> None:
    """Refuse images that lack a band of an index, with what would work."""
    lacking = [role for role in INDICES[index].bands if not series.has(role)]
    if not lacking:
        return
    others = [name for name, one in INDICES.items() if all(series.has(role) for role in one.bands)]
    shown = f"they have all of {', '.join(others)}" if others else "they have the bands of no index"
    held = ", ".join(series.images[0].scene.names)
    raise ImageError(
        f"{index.upper()} needs {' and '.join(INDICES[index].bands)}, but the images ({held}) have no "
        f"{lacking[0]}; {shown}. Give other images, or name their bands (band descriptions): {NAME_BANDS}."
    )


def people_of(population: Scene, cells: Cells) -> np.ndarray:
    """People in every cell, (n,); NaN where the raster does not cover a cell.

    Pixels count by their share in the cell; pixels without data are nobody, as in WorldPop.

    Raises:
        ImageError: when no cell is covered, or a pixel has fewer people than none.
    """
    try:
        placed = Placed(cells, population.geobox)
    except ImageError as err:
        raise ImageError(f"{population.paths[0]} covers none of the cells ({err})") from err
    people, inside = np.zeros(len(cells)), np.zeros(len(cells))
    for window in bands_of_rows(population.geobox, within=placed.window):
        plane = np.nan_to_num(population.pixels(window, population.names[:1])[0])
        if plane.min() < 0:
            raise ImageError(f"{population.paths[0]} has {plane.min():g} people in a pixel: give counts.")
        shares = placed.shares(window)
        people += shares.sums(plane)
        inside += shares.sums()
    covered = inside >= COVERED * placed.size
    if not covered.any():
        raise ImageError(
            f"{population.paths[0]} covers none of the cells as a whole: give people of the same area."
        )
    return np.where(covered, people, np.nan)


def _sheet(series: Series, cells: Cells, config: GreenConfig, found: Measured, quantity: int) -> MethodSheet:
    noise = found.noise[quantity]
    limits = [
        "Errors that all dates share (calibration, haze of every date) are not in the interval.",
    ]
    if config.composite == "max" and found.dates > 1:
        limits.append("The maximum of noisy dates is too high, the more so the more dates.")
    if config.value == "per-head":
        limits.append("The number of people is taken for exact.")
    if np.isnan(noise.sill):
        limits.append("The images are too small to learn how pixels err alike: no interval is claimed.")
    return MethodSheet(
        indicator=f"green ({config.value})",
        formula="NDVI = (nir - red) / (nir + red), "
        + FORMULAS[config.value].format(threshold=config.threshold),
        source="Kwon et al. 2021, arXiv 2101.00807; NDVI: Rouse et al. 1974",
        unit=UNITS[config.value],
        bands=INDICES["ndvi"].bands,
        correction="; ".join(series.correction),
        dates=series.days,
        nodata_rule=" ".join([NOT_SEEN, *series.notes]),
        error_model=found.error_model(),
        cells=cells.kind,
        min_coverage=config.min_coverage,
        level=config.level,
        limits=tuple(limits),
        numbers={
            "threshold": config.threshold,
            "correlation length in m": noise.length_m,
            "sill": noise.sill,
            "nugget": noise.nugget,
        },
    )
