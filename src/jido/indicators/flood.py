"""Flooded ground, or damaged buildings, by cell from a map of the target.

A map of probabilities or classes is summed up over cells. What it says is not the share of ground that is
flooded: it misses, it sees floods where there are none, and how much differs by event. With events held out
(:mod:`jido.stats.event_shares`) the share of each cell is set right and has an interval; without them it is
what the map says, and no interval is claimed. Kim et al. 2022 (doi 10.3389/fenvs.2022.969758) judge damage
per cell too: damaged or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from odc.geo.geobox import GeoBox
from scipy.special import stdtrit

from jido.errors import ImageError, JidoError
from jido.geo import Raster, Window, same_place
from jido.indicators.aggregate import Dependence, aggregate
from jido.indicators.cells import Cells
from jido.indicators.shares import Placed, cell_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING, IndicatorTable
from jido.io import Progress
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


def built_shares(plane: np.ndarray) -> np.ndarray:
    """Share of each pixel that is built, float64; what has no data is not built.

    Raises:
        ImageError: when one is no share.
    """
    built = np.nan_to_num(np.asarray(plane, dtype=np.float64))
    if (off := (built < 0) | (built > 1 + ROUNDING)).any():
        raise ImageError(f"A pixel is built to {built[off][0]:g}: give shares 0 to 1, or a mask of 0 and 1.")
    return built


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
    bands: Sequence[str] = ("target",),
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
        bands: of the images, for the method sheet.
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
    columns = {"mapped": p, "common_se": common, "weight_m2": weight}
    sheet = flood_sheet(
        cells.kind, shares, threshold, buildings=buildings is not None, min_coverage=min_coverage,
        level=level, dates=dates, bands=bands, correction=correction, indicator=indicator, model=model,
    )  # fmt: skip
    table = IndicatorTable(cells, *figures, coverage, n, sheet, (0.0, 1.0), columns)
    return in_hectares(table) if value == "hectares" else table


def in_hectares(table: IndicatorTable) -> IndicatorTable:
    """A table of shares of :func:`flood_table` as hectares of what they are shares of."""
    sheet, columns = replace(table.sheet, unit="ha"), dict(table.columns)
    scale = columns["weight_m2"] / HECTARE_M2
    columns["common_se"] = columns["common_se"] * scale
    parts = {name: getattr(table, name) * scale for name in ("value", "lower", "upper", "se")}
    return replace(table, sheet=sheet, bounds=(0.0, np.inf), columns=columns, **parts)


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
        built = built_shares(buildings.read(window).data[0])
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


def flood_sheet(
    kind: str,
    shares: EventShares | None,
    threshold: float | None,
    *,
    buildings: bool,
    min_coverage: float,
    level: float,
    dates: Sequence[str] = (),
    bands: Sequence[str] = ("target",),
    correction: str = "unknown",
    indicator: str = "",
    model: str = "unknown",
) -> MethodSheet:
    """How shares were measured: arguments as those of :func:`flood_table`; ``kind`` of the cells."""
    of = "buildings" if buildings else "ground"
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
        indicator=indicator or {"ground": "flooded ground", "buildings": "damaged buildings"}[of],
        formula=formula + (" (weighted by what is built of each pixel)" if buildings else ""),
        source=SOURCE,
        unit=f"share of the {of}",
        bands=tuple(bands),
        correction=correction,
        dates=tuple(dates),
        nodata_rule=NOT_SEEN,
        error_model=error,
        cells=kind,
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
    :meth:`~jido.stats.event_shares.EventShares.total`. The interval is as wide as there: Student's t of the
    held-out events, which are few, stretched as their sums asked for.

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
    made = replace(made, sheet=replace(made.sheet, dependence=f"{made.sheet.dependence} ({COMMON})"))
    return made if shares is None else _as_of_an_event(made, shares, hectares=hectares)


def _as_of_an_event(made: IndicatorTable, shares: EventShares, *, hectares: bool) -> IndicatorTable:
    """Intervals of sums over a new event, cut where they end."""
    level = made.sheet.level
    half = made.se * float(stdtrit(shares.freedom, (1 + level) / 2)) * shares.stretch[str(float(level))][3]
    top = made.columns["weight"] if hectares else np.ones(len(made.cells))
    lower, upper = (np.clip(made.value + sign * half, 0, top) for sign in (-1, 1))
    return replace(made, lower=lower, upper=upper, bounds=(0.0, np.inf) if hectares else (0.0, 1.0))
