"""Flooded ground, or damaged buildings, by cell from a map of the target.

A map of probabilities or classes is summed up over cells. What it says is not the share of ground that is
flooded: it misses, it sees floods where there are none, and how much differs by event. With events held out
(:mod:`jido.stats.event_shares`) the share of each cell is set right and has an interval; without them it is
what the map says, and no interval is claimed. Kim et al. 2022 (doi 10.3389/fenvs.2022.969758) judge damage
per cell too: damaged or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError, JidoError
from jido.geo import Raster, Window, same_place
from jido.indicators.aggregate import Dependence, aggregate
from jido.indicators.cells import Cells
from jido.indicators.shares import Placed, cell_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING, IndicatorTable
from jido.io import Progress
from jido.io.cell_table import write_rows
from jido.stats.binary import cell_shares
from jido.stats.event_shares import EventShares

Value = Literal["share", "hectares"]


class Image(Protocol):
    """What is read window by window: a :class:`~jido.io.Scene`, a :class:`~jido.geo.Raster`, a map."""

    @property
    def geobox(self) -> GeoBox: ...  # noqa: D102

    def read(self, window: Window | None = None) -> Raster: ...  # noqa: D102


HECTARE_M2 = 1e4

NOT_SEEN = "Pixels where the map says nothing (no data on one of the dates, cloud, abstention left empty)."
NO_INTERVAL = "No event was held out, so nothing is known of what the map errs in a new one: no interval."
COMMON = (
    "error of the event shared by all cells, the rest as the held-out events say; use the column common_se"
)
SOURCE = (
    "cells: Kim et al. 2022, doi 10.3389/fenvs.2022.969758; correction: Olofsson et al. 2014, eq. 9, by event"
)


def require_fit(shares: EventShares | None, threshold: float | None) -> float | None:
    """The threshold from which on a pixel counts; refuses another one than that of the held-out events.

    Args:
        shares: what they say, or ``None``.
        threshold: that was asked for; ``None`` takes theirs, or means of probabilities without them.

    Raises:
        JidoError: when the two differ, or the threshold is no share.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise JidoError(f"A pixel counts from a probability above 0 and up to 1, not {threshold:g}.")
    if shares is None:
        return threshold
    if threshold is not None and threshold != shares.threshold:
        theirs = "mean probabilities" if shares.threshold is None else f"pixels from {shares.threshold:g} on"
        raise JidoError(
            f"The held-out events were judged by {theirs}, not from {threshold:g} on: leave the threshold "
            "out, or judge them again."
        )
    return shares.threshold


def counted(plane: np.ndarray, threshold: float | None) -> np.ndarray:
    """What each pixel counts: its probability, or 1 from the threshold on; NaN stays.

    Raises:
        ImageError: when a value is not 0..1.
    """
    plane = np.asarray(plane, dtype=np.float64)
    if ((plane < -ROUNDING) | (plane > 1 + ROUNDING)).any():
        raise ImageError(
            f"The map goes from {np.nanmin(plane):g} to {np.nanmax(plane):g}, but a probability is 0 to 1, a "
            "class of the target 0 or 1: divide percentages by 100, or name the band of the probability."
        )
    if threshold is None:
        return plane
    return np.where(np.isnan(plane), np.nan, plane >= threshold)


def flood_table(
    target: Image,
    cells: Cells,
    *,
    shares: EventShares | None = None,
    buildings: Image | None = None,
    value: Value = "share",
    threshold: float | None = None,
    min_coverage: float = 0.5,
    level: float = 0.95,
    dates: Sequence[str] = (),
    correction: str = "unknown",
    indicator: str = "",
    model: str = "unknown",
    progress: Progress | None = None,
) -> IndicatorTable:
    """The share of each cell that is flooded, or of its buildings that are damaged.

    Args:
        target: map on the grid of the images; its first band is a probability or a class 0/1, NaN = not seen.
        cells: in any CRS.
        shares: what held-out events say; no interval is claimed without.
        buildings: share of each pixel that is built, or a mask 0/1, on the same grid: shares are of buildings
            then, and cells without any are empty.
        value: ``share``, or ``hectares`` of ground (of ground that is built, with buildings).
        threshold: of a probability, from which on a pixel counts; see :func:`require_fit`.
        min_coverage: share of the cell (of its buildings) that has to be seen.
        level: of the intervals.
        dates: of the images, ISO, the one before the event first.
        correction: of the images, for the method sheet.
        indicator: its name; ``flooded ground`` or ``damaged buildings`` without.
        model: name of the package.
        progress: told how far it is.

    Returns:
        A table with the columns ``mapped`` (share that the map says), ``common_se`` (the part of the standard
        error that all cells of the event share), ``weight_m2`` (ground or buildings that the share is of).

    Raises:
        ImageError: when the map is no probability, or the buildings lie on another grid.
        JidoError: when the threshold is not that of the held-out events.
    """
    threshold = require_fit(shares, threshold)
    p, coverage, n, weight = _mapped(target, buildings, cells, threshold, progress)
    p = np.where((coverage < min_coverage - ROUNDING) | (weight <= 0), np.nan, np.clip(p, 0, 1))
    none = np.full(len(cells), np.nan)
    figures, common = (p, none, none, none), none
    if shares is not None:
        figures, common = shares.interval(p, n, level=level), shares.common_se(p)
    scale = weight / HECTARE_M2 if value == "hectares" else np.ones(len(cells))
    columns = {"mapped": p, "common_se": common * scale, "weight_m2": weight}
    of = "ground" if buildings is None else "buildings"
    sheet = _sheet(cells, shares, of, value, threshold, min_coverage, level, tuple(dates), correction, model)
    sheet = replace(sheet, indicator=indicator or sheet.indicator)
    v, lower, upper, se = (part * scale for part in figures)
    bounds = (0.0, 1.0) if value == "share" else (0.0, np.inf)
    return IndicatorTable(cells, v, lower, upper, se, coverage, n, sheet, bounds, columns)


def _mapped(
    target: Image, buildings: Image | None, cells: Cells, threshold: float | None, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share, coverage, pixels and m² (ground or buildings) of each cell."""
    grid = target.geobox
    if buildings is not None and not (
        buildings.geobox.shape == grid.shape and same_place(buildings.geobox, grid, cells=0.01)
    ):
        raise ImageError(
            f"The buildings lie on a grid of {tuple(buildings.geobox.shape)} pixels, the map on another of "
            f"{tuple(grid.shape)}: warp them onto the map's."
        )
    placed = Placed(cells, grid)

    def read(window: Window) -> list[np.ndarray]:
        says = counted(target.read(window).data[0], threshold)
        if buildings is None:
            return [says]
        built = np.nan_to_num(buildings.read(window).data[0].astype(np.float64))
        if built.min() < 0 or built.max() > 1 + ROUNDING:
            raise ImageError(
                f"A pixel is built to {built.max():g}: give shares 0 to 1, or a mask of 0 and 1."
            )
        known = np.isfinite(says)
        return [np.where(known, says * built, np.nan), built * known, built]

    sums = cell_sums(placed, grid, read, progress=progress)
    if buildings is None:
        return sums.mean[0], sums.coverage(placed)[0], sums.seen[0], cells.area_m2
    hit, seen, whole = sums.total
    with np.errstate(invalid="ignore", divide="ignore"):
        pixel = np.where(sums.inside > 0, sums.inside_m2 / sums.inside, np.nan)
        on_map = sums.coverage(placed)[2]  # buildings beyond the edge of the map are not known
        share, coverage = hit / seen, np.where(whole > 0, seen / whole, 0) * on_map
        n = np.nan_to_num(seen / pixel)
    return np.where(seen > 0, share, np.nan), coverage, n, whole


def _sheet(
    cells: Cells,
    shares: EventShares | None,
    of: str,
    value: str,
    threshold: float | None,
    min_coverage: float,
    level: float,
    dates: tuple[str, ...],
    correction: str,
    model: str,
) -> MethodSheet:
    what = {"ground": "flooded ground", "buildings": "damaged buildings"}[of]
    pixel = (
        "mean probability" if threshold is None else f"share of pixels with a probability >= {threshold:g}"
    )
    formula, error = f"{pixel} in the cell", NO_INTERVAL
    limits: tuple[str, ...] = (NO_INTERVAL,)
    numbers: dict[str, float] = {}
    if shares is not None:
        alpha, beta, gamma = shares.mean
        formula = (
            f"p = {pixel} in it; share = {alpha:.3f} (1 - p) + {beta:.3f} p {gamma:+.3f} x 4 p (1 - p), "
            "cut to 0..1"
        )
        error = (
            "random coefficients over events held out: what a new event errs as a whole, plus what cells err "
            "on their own, Student's t, stretched where held-out events asked for it"
        )
        limits = shares.limits(level)
        numbers = {"events": shares.events, "held-out cells": shares.cells}
    return MethodSheet(
        indicator=what,
        formula=formula + (" (weighted by what is built of each pixel)" if of == "buildings" else ""),
        source=SOURCE,
        unit="ha" if value == "hectares" else f"share of the {of}",
        bands=("target",),
        correction=correction,
        dates=dates,
        nodata_rule=NOT_SEEN,
        error_model=error,
        cells=cells.kind,
        min_coverage=min_coverage,
        level=level,
        limits=(
            *limits,
            f"What was not seen of a cell is taken to be like the rest. Model package: {model}.",
        ),
        numbers=numbers,
    )


def flood_of(table: IndicatorTable, districts: Cells, shares: EventShares | None) -> IndicatorTable:
    """Districts from cells: shares weighted by ground (or buildings), hectares added up.

    What the event errs is common to all cells, so the interval does not shrink as with independent cells:
    one correlation of errors stands for all pairs, that which gives the sum over all cells the error of
    :meth:`~jido.stats.event_shares.EventShares.total`.

    Args:
        table: of :func:`flood_table`.
        districts: larger cells.
        shares: as there.
    """
    weight, hectares = table.columns["weight_m2"], table.sheet.unit == "ha"
    alike = 1.0 if shares is None else shares.shared(table.columns["mapped"], weight, table.n)
    if hectares:
        scale = np.where(weight > 0, HECTARE_M2 / np.where(weight > 0, weight, 1), np.nan)
        parts = {name: getattr(table, name) * scale for name in ("value", "lower", "upper", "se")}
        table = replace(table, **parts)
    made = aggregate(
        table,
        districts,
        dependence=Dependence(shared=alike),
        field_length_m=float(np.sqrt(np.median(table.cells.area_m2))),
        weights=weight / HECTARE_M2,
        weight_name="hectares of what the share is of",
        total=hectares,
    )
    return replace(made, sheet=replace(made.sheet, dependence=f"{made.sheet.dependence} ({COMMON})"))


# -- images without a place on Earth -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PixelCells:
    """Squares of an image that has no place; arrays (R, C), the upper left cell first.

    Args:
        value: share flooded (damaged); NaN = empty.
        lower: of the interval; NaN where none is claimed.
        upper: of the interval.
        coverage: share of the cell (of its buildings) that was seen.
        n: pixels seen, counted by what is built of them where shares are of buildings.
        mapped: the share that the map says.
        side: of a cell in pixels.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    coverage: np.ndarray
    n: np.ndarray
    mapped: np.ndarray
    side: int

    def rows(self, *, name: str = "") -> list[Mapping[str, object]]:
        """A row per cell: id ``NAME/r3c12``, row, col, value, lower, upper, coverage, n, mapped."""
        columns = ("value", "lower", "upper", "coverage", "n", "mapped")
        before = f"{name}/" if name else ""
        return [
            {"id": f"{before}r{r}c{c}", "row": r, "col": c}
            | {column: float(getattr(self, column)[r, c]) for column in columns}
            for r, c in np.ndindex(*self.value.shape)
        ]

    def write(self, path: str | Path, *, name: str = "") -> Path:
        """The rows as CSV; what is NaN is left empty.

        Raises:
            OutputError: when the place cannot be written.
        """
        return write_rows(self.rows(name=name), Path(path))


def pixel_cells(
    plane: np.ndarray,
    side: int,
    *,
    shares: EventShares | None = None,
    buildings: np.ndarray | None = None,
    threshold: float | None = None,
    min_coverage: float = 0.5,
    level: float = 0.95,
) -> PixelCells:
    """As :func:`flood_table` for squares of ``side`` pixels of an image without a place.

    Args:
        plane: (Y, X) probability or class 0/1 of the target; NaN = not seen.
        side: of a cell in pixels; those at the right and lower edge may be cut.
        shares: what held-out events say of cells; no interval is claimed without.
        buildings: (Y, X) share of each pixel that is built.
        threshold: as :func:`require_fit`.
        min_coverage: share of the cell (of its buildings) that has to be seen.
        level: of the intervals.

    Raises:
        JidoError: when something does not fit.
    """
    says = counted(plane, require_fit(shares, threshold))
    p, coverage, n = cell_shares(says, side, weights=buildings)
    p = np.where(coverage < min_coverage - ROUNDING, np.nan, np.clip(p, 0, 1))
    value, lower, upper = p, np.full(p.shape, np.nan), np.full(p.shape, np.nan)
    if shares is not None:
        value, lower, upper, _ = shares.interval(p, n, level=level)
    return PixelCells(value, lower, upper, coverage, n, p, int(side))
