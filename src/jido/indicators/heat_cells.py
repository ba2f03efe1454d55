"""Heat on cells: their temperature, what they are built like, where to shade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jido.errors import JidoError
from jido.geo import Window, pixel_size_m
from jido.indicators.cells import Cells
from jido.indicators.correlation import PixelSample
from jido.indicators.heat import (
    AT_ONCE,
    ClassHeat,
    Image,
    Thermal,
    class_heat,
    lcz_places,
    redrawn,
    reference_place,
    thermal,
)
from jido.indicators.heat_figures import heat_rows
from jido.indicators.shares import CellSums, Placed, bands_of_rows, cell_sums, pixel_areas, window_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING, IndicatorTable, indicator_table
from jido.indicators.uncertainty import corrected_areas, missing_dates_variance
from jido.io import Progress
from jido.labels import ClassScheme, Labels, lcz_scheme
from jido.labels.canopy import UNITS, canopy_parameters
from jido.stats.intervals import MIN_GROUPS

ALL_DATES = 10**9
"""Dates that a mean over some of them speaks of, when it is to hold for others like them."""

CANOPY = {
    "building_fraction": ("area on the ground", False),
    "height_m": ("area of built classes (1-10)", True),
    "h_w": ("area of built classes (1-10)", True),
    "urban_fraction": ("area on the ground", False),
}
"""Canopy parameter -> weights of its mean, whether built classes alone count."""


def excess_table(
    images: Mapping[str, Thermal],
    cells: Cells,
    heat: ClassHeat,
    *,
    reference: str = "",
    planned: int = ALL_DATES,
    min_coverage: float = 0.5,
    progress: Progress | None = None,
) -> IndicatorTable:
    """How much warmer each cell is than the reference class, K, mean over the dates that show the cell.

    Its variance: what the dates of a cell differ by, s² (1 / D - 1 / planned); the part of the cell that was
    not seen, times the variance of a mean at the fitted correlation; the error of the reference, which all
    cells share. With a single date and ``planned`` unsaid no interval is claimed.

    Args:
        images: ISO date -> temperature plane.
        cells: in any CRS.
        heat: of these images, from polygons or a map.
        reference: label of the class; as :func:`~jido.indicators.heat.reference_place`.
        planned: number of dates that the mean is to speak of; the number of images for these alone.
        min_coverage: share of a cell, below which a date does not count for it.
        progress: told how far it is.

    Returns:
        A table with the columns ``dates`` (their number) and ``own_se`` (without the reference's error).
    """
    ref = reference_place(heat, reference)
    base = heat.means(np.ones((1, len(heat.strata))))[0, :, ref]
    drawn = heat.drawn()[:, :, ref]
    shared = heat.errors(drawn.mean(axis=1)) if heat.groups[:, ref].min() >= MIN_GROUPS else np.nan
    found = [_date_cells(images[date], cells, min_coverage, progress) for date in heat.dates]
    kelvin, hidden, coverage, n = (np.stack(part) for part in zip(*found, strict=True))
    counted = np.isfinite(kelvin)
    days, apart = counted.sum(axis=0), kelvin - base[:, None]

    def mean(part: np.ndarray) -> np.ndarray:
        return np.where(days > 0, np.where(counted, part, 0).sum(axis=0) / np.maximum(days, 1), np.nan)

    own = np.sqrt(missing_dates_variance(apart, planned=planned) + mean(hidden))
    free = np.where(days == planned, np.inf, np.where(days > 1, days - 1, np.maximum(days - 1, 0).sum()))
    sheet = MethodSheet(
        indicator="surface temperature above the reference class",
        formula=f"mean over dates of (temperature of the cell - mean of class {heat.scheme.labels[ref]})",
        source="Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1; Landsat 8 Data Users Handbook",
        unit="K",
        bands=tuple(sorted({image.band for image in images.values()})),
        correction=", ".join(sorted({image.kind for image in images.values()})) + "; no air, no emissivity",
        dates=heat.dates,
        nodata_rule="no number, below 180 or above 380 K, clouds where given, and pixels beside all these",
        error_model="differences of dates, unseen parts at the fitted correlation length, and error of the "
        f"reference from redrawing {heat.unit}",
        cells=cells.kind,
        min_coverage=min_coverage,
        limits=(
            "Seen from above in clear weather at one time of day; metal roofs look colder than they are.",
        ),
    )
    return indicator_table(
        cells,
        mean(apart),
        np.hypot(own, shared),
        coverage=np.nan_to_num(mean(coverage)),
        n=np.where(counted, n, 0).sum(axis=0),
        sheet=sheet,
        freedom=np.maximum(free, 1),
        columns={"dates": days.astype(np.float64), "own_se": own},
    )


def _date_cells(
    image: Thermal, cells: Cells, min_coverage: float, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """K, variance by what was not seen, coverage, and pixels seen of each cell; NaN where too few were."""
    grid = image.image.geobox
    placed, reach = Placed(cells, grid), min(grid.shape) / 3 * max(pixel_size_m(grid))
    sample = PixelSample(grid, reach_m=reach)

    def read(window: Window) -> np.ndarray:
        kelvin = image.kelvin(window)
        sample.take(window, kelvin)
        return kelvin[None]

    sums = cell_sums(placed, grid, read, pixels=AT_ONCE, progress=progress)
    coverage, n = sums.coverage(placed)[0], sums.seen[0]
    kept = coverage >= min_coverage - ROUNDING
    part, hidden = kept & (coverage < 1 - ROUNDING), np.zeros(len(cells))
    if part.any():
        hidden[part] = (1 - coverage[part]) * sample.fit().mean_variance(sums.seen_m2[0][part], n[part])
    return np.where(kept, sums.mean[0], np.nan), hidden, coverage, n


def canopy_tables(
    zones: Image,
    cells: Cells,
    *,
    matrices: np.ndarray | None = None,
    scheme: ClassScheme | None = None,
    date: str = "",
    min_coverage: float = 0.5,
    progress: Progress | None = None,
) -> dict[str, IndicatorTable]:
    """Urban canopy parameters of each cell from an LCZ map: means over what is mapped of it.

    Fractions are weighted by area; height and height-to-width ratio by the area of built classes, empty
    where there are none. With held-out matrices the areas are set right by
    :func:`~jido.indicators.uncertainty.corrected_areas`, and intervals come from redrawing their groups; the
    error is that of the map alone, not of the values of the table. Without them no interval is claimed.

    Args:
        zones: map of class codes.
        cells: in any CRS.
        matrices: counts of the map by held-out group, truth in rows, (G, K, K).
        scheme: of the codes; the LCZ without it.
        date: of the map, ISO.
        min_coverage: share of a cell that has to be mapped.
        progress: told how far it is.

    Returns:
        Parameter -> table, with the columns ``area_LABEL`` and ``area_LABEL_se`` in m² of what is mapped.
    """
    scheme = scheme or lcz_scheme()
    placed = Placed(cells, zones.geobox)
    mapped, sums = _class_areas(placed, zones, scheme, progress)
    area, area_se, freedom = mapped, np.full(mapped.shape, np.nan), np.inf
    if matrices is not None:
        area, area_se, freedom = corrected_areas(mapped, matrices)
    present = np.flatnonzero((area > 0).any(axis=0))
    columns = {f"area_{scheme.labels[c]}": area[:, c] for c in present}
    columns |= {f"area_{scheme.labels[c]}_se": area_se[:, c] for c in present}
    tables, table = {}, canopy_parameters(scheme)
    for name, (weight, built_alone) in CANOPY.items():
        counts = (table["height_m"] > 0) * 1.0 if built_alone else np.ones(len(scheme.classes))
        ground = area @ counts
        total, value = area @ (counts * table[name]), np.full(len(cells), np.nan)
        np.divide(total, ground, out=value, where=ground > 0)
        se = np.full(len(cells), np.nan)
        if matrices is not None:
            se = _canopy_se(mapped, value, ground, matrices, np.stack([counts * table[name], counts]))
        sheet = MethodSheet(
            indicator=name,
            formula=f"mean of {name} of the classes, weighted by {weight}",
            source="look-up table of w2w, after Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1",
            unit=UNITS[name],
            bands=("lcz",),
            correction="none" if matrices is None else "class areas by the held-out confusion",
            dates=(date,) if date else (),
            nodata_rule="no class on the map",
            error_model="none claimed" if matrices is None else "held-out groups of the confusion redrawn",
            cells=cells.kind,
            min_coverage=min_coverage,
            limits=("One value stands for each class, however much its places differ.",),
        )
        tables[name] = indicator_table(
            cells,
            value,
            se,
            coverage=sums.coverage(placed)[0],
            n=sums.seen[0],
            sheet=sheet,
            freedom=freedom,
            bounds=(0, 1) if UNITS[name] == "share" else (0, np.inf),
            columns=columns,
        )
    return tables


def _class_areas(
    placed: Placed, zones: Image, scheme: ClassScheme, progress: Progress | None
) -> tuple[np.ndarray, CellSums]:
    """Areas of classes by cell in m², (n, K), and the sums of what is mapped."""
    grid, k = zones.geobox, len(scheme.classes)
    area, none = np.zeros((len(placed.size), k)), np.zeros((1, len(placed.size)))
    sums = CellSums(none[0], none[0], none, none, none)
    for window in bands_of_rows(grid, within=placed.window, pixels=AT_ONCE):
        shares, ground = placed.shares(window), pixel_areas(grid, window)
        place = lcz_places(zones, window, scheme)
        sums += window_sums(shares, np.where(place < 0, np.nan, 0)[None], ground)
        for c in np.flatnonzero(np.bincount(place.ravel() + 1, minlength=k + 1)[1:]):
            area[:, c] += shares.sums(place == c, ground)
        if progress:
            progress("measuring what cells are built like", window[0].stop, placed.window[0].stop)
    return area, sums


def _canopy_se(
    mapped: np.ndarray, value: np.ndarray, ground: np.ndarray, matrices: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """Standard errors (n,) of a ratio of corrected areas (delta method).

    Args:
        mapped: m² by cell and mapped class, (n, K).
        value: the ratio, (n,).
        ground: what it is divided by, (n,).
        matrices: (G, K, K).
        sums: what each true class adds to numerator and denominator, (2, K).
    """
    times = redrawn(np.zeros(len(matrices)), 1000, np.random.default_rng(0))
    found = np.tensordot(times, matrices, axes=1)  # (draws, truth, mapped)
    count = found.sum(axis=1)
    added = np.einsum("sk,bkj->bsj", sums, found)
    added = np.where(count[:, None] > 0, added / np.maximum(count, 1e-9)[:, None], sums)
    covariance = np.cov(added.reshape(len(added), -1), rowvar=False)
    weights = np.hstack([mapped, -value[:, None] * mapped])
    variance = np.einsum("ij,jk,ik->i", weights, covariance, weights, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.maximum(variance, 0)) / ground


def shade_table(
    excess: IndicatorTable,
    green: np.ndarray,
    *,
    green_se: np.ndarray | None = None,
    people: np.ndarray | None = None,
    top: float = 0.1,
    draws: int = 500,
    seed: int = 0,
) -> IndicatorTable:
    """Where to shade first: hot cells with little green and many people.

    Score = people x (share of cells that are cooler + share that are greener) / 2, a cell counting half for
    itself. Benefit adds up over people, so twice as many count twice; heat and green have no common unit,
    so each counts by its place among the cells, both alike. No cell falls behind by being hotter, less
    green or more crowded. ``top_share``: in how many of the draws of excess and green from their errors
    (normal, cells for themselves, the reference's error left out as it moves no rank) the cell is among the
    first; noise is added to values that hold noise already, so it is rather too unsure.

    Args:
        excess: of :func:`excess_table`.
        green: share of each cell, (n,), NaN where unknown.
        green_se: its standard errors, (n,); certain without them.
        people: in each cell, (n,), at least 0; all alike without them.
        top: share of the cells that counts as first.
        draws: from the errors.
        seed: of the draws.

    Returns:
        The table with the columns ``green``, ``people``, ``score``, ``rank`` (1 = first) and ``top_share``;
        NaN where one of the three is unknown, ``top_share`` also where an error is.

    Raises:
        JidoError: when a column does not fit, or fewer than 2 cells are known.
    """
    from scipy.stats import rankdata

    count = len(excess.cells)
    crowd = np.ones(count) if people is None else np.asarray(people, dtype=np.float64)
    errors = np.zeros(count) if green_se is None else np.asarray(green_se, dtype=np.float64)
    shapes = {part.shape for part in (green, crowd, errors)}
    if shapes != {(count,)} or (crowd < 0).any():
        raise JidoError(
            f"Green, its errors and people are {count} numbers, one a cell, and people not below 0."
        )
    known = np.isfinite(excess.value) & np.isfinite(green) & np.isfinite(crowd)
    if known.sum() < 2:
        raise JidoError(
            f"{known.sum()} of {count} cells have a temperature, green and people, so nothing can be ranked: "
            "give images and rasters of the same place."
        )
    heat, bare, crowd, n = excess.value[known], -green[known], crowd[known], int(known.sum())
    errors = np.stack([excess.columns["own_se"][known], errors[known]])

    def score(heat: np.ndarray, bare: np.ndarray) -> np.ndarray:
        return np.asarray(crowd * ((rankdata(heat) - 0.5) / n + (rankdata(bare) - 0.5) / n) / 2)

    rng, first = np.random.default_rng(seed), np.zeros(n)
    for _ in range(draws):
        moved = rng.normal(size=errors.shape) * np.nan_to_num(errors)
        drawn = score(heat + moved[0], np.clip(bare + moved[1], -1, 0))
        first += (rankdata(-drawn, method="min") <= np.ceil(top * n)) & (drawn > 0)
    first[~np.isfinite(errors).all(axis=0)] = np.nan
    here = score(heat, bare)
    columns = dict(excess.columns) | {"green": np.asarray(green, dtype=np.float64)}
    if people is not None:
        columns["people"] = np.asarray(people, dtype=np.float64)
    for name, part in {
        "score": here,
        "rank": rankdata(-here, method="min"),
        "top_share": first / draws,
    }.items():
        columns[name] = np.full(count, np.nan)
        columns[name][known] = part
    rule = "score = people x (share of cells that are cooler + share that are greener) / 2"
    sheet = replace(excess.sheet, formula=f"{excess.sheet.formula}; {rule}, rank 1 = highest score")
    return replace(excess, columns=columns, sheet=sheet)


class HeatTables(NamedTuple):
    """What :func:`heat_tables` finds: rows of classes, excess by cell, canopy parameters by name."""

    classes: ClassHeat
    rows: list[dict[str, Any]]
    excess: IndicatorTable
    canopy: dict[str, IndicatorTable]


def heat_tables(
    images: Mapping[str, Thermal | Image],
    zones: Labels | Image,
    *,
    cells: Cells,
    reference: str = "",
    matrices: np.ndarray | None = None,
    planned: int = ALL_DATES,
    min_coverage: float = 0.5,
    progress: Progress | None = None,
) -> HeatTables:
    """All of heat in one call: classes, the excess of cells, and with a map what these are built like.

    Arguments as those of :func:`~jido.indicators.heat.class_heat`, :func:`excess_table` and
    :func:`canopy_tables`; an image that is no :class:`~jido.indicators.heat.Thermal` is read by
    :func:`~jido.indicators.heat.thermal`.
    """
    planes = {date: one if isinstance(one, Thermal) else thermal(one) for date, one in images.items()}
    heat = class_heat(planes, zones, progress=progress)
    rows = heat_rows(heat, reference=reference)
    options: dict[str, Any] = {"min_coverage": min_coverage, "progress": progress}
    excess = excess_table(planes, cells, heat, reference=reference, planned=planned, **options)
    canopy = {} if isinstance(zones, Labels) else canopy_tables(zones, cells, matrices=matrices, **options)
    return HeatTables(heat, rows, excess, canopy)
