"""Poverty from images by cell: scores of an ensemble, their change between years, districts.

What the members of an ensemble say differently of a cell tells how well the order of cells is known. It
does not tell how well a score that is made of what people see in images measures poverty: only a survey can.

An interval is that of one further member, mean +- t sqrt(1 + 1/M) sd with M - 1 degrees of freedom: a normal
one lies in it with the stated probability. Errors that a member has in all cells and years are not modelled:
a difference, a district, a rank is computed in each member, and the interval taken of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy.spatial import cKDTree
from scipy.special import ndtri
from scipy.stats import rankdata

from jido.errors import ImageError, JidoError, LabelsError
from jido.indicators.aggregate import Dependence, aggregate, overlaps
from jido.indicators.cells import Cells
from jido.indicators.correlation import fit_correlation
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING, IndicatorTable
from jido.stats.intervals import Figure, figure, member_interval, member_reach
from jido.stats.regression import correlate

if TYPE_CHECKING:
    from jido.data.chips import Chips
    from jido.data.score_tiles import ScoreTiles

SCORE = (0.0, 1.0)
"""Bounds of a score that respects experts' orders; what a survey counts has none."""

ALIKE = 1e-3
"""Part of the side of a cell by which two outlines of it may differ."""

CENTRES, NEIGHBOURS = 100, 16
"""Cells, and neighbours of each, from which the correlation length of values is fitted."""

SPREAD = (
    "Spread of an ensemble whose members learned from resampled experts, clusters (or survey places) and "
    "seeds. It says how well the order of cells is known, not how well the score measures poverty. The "
    "interval is that of one further member, mean +- t sqrt(1 + 1/M) sd; of cells in one year the model's."
)
PAIRED = "Differences are taken in each member: what a member errs in both years cancels."
UNPAIRED = "The earlier year is a table without members: errors of the two years are taken for independent."
SEASON = (
    "The years may show one place in different seasons (bare fields, then green ones), under other light and "
    "by another sensor: a part of the change is theirs."
)
ORDINAL = "A score orders cells: twice the score is not twice the wealth, and 0 is not nobody."
TRANSFER = "Members may err alike where the land is unlike that of the training: no interval knows that."
BY_MEMBERS = "each district is computed in every member, so whatever members have in common is in it"


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of N cells of one year, or their change; NaN where too little was seen.

    Args:
        ids: (N,) text, all different.
        value: mean of the members, (N,).
        lower: of the interval, (N,); NaN where none is claimed.
        upper: of the interval, (N,).
        se: standard deviation of the members, (N,).
        coverage: share of the cell that was seen, 0..1, (N,).
        n: pixels with data, (N,).
        members: (M, N); ``None`` where a table is all that is known of a year.
        cells: their outlines; ``None`` where nobody knows where they lie.
        level: of the intervals.
        bounds: lowest and highest possible value; finite for a score that orders.
        notes: what was left out, a sentence each.
    """

    ids: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    se: np.ndarray
    coverage: np.ndarray
    n: np.ndarray
    members: np.ndarray | None
    cells: Cells | None
    level: float = 0.95
    bounds: tuple[float, float] = SCORE
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> np.ndarray:
        """Bool (N,): cells without a value."""
        return np.asarray(np.isnan(self.value))

    @property
    def ordinal(self) -> bool:
        """Whether it only orders cells, as a score of experts' orders does."""
        return bool(np.isfinite(self.bounds).all())


def scored(
    tiles: ScoreTiles,
    members: np.ndarray,
    *,
    interval: tuple[np.ndarray, np.ndarray] | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] = SCORE,
    min_coverage: float = 0.5,
) -> Scored:
    """The scores of tiles, and empty rows for cells of which too little was seen.

    Args:
        tiles: N of them, with the cells that have no tile.
        members: what each says, (M, N), NaN for nothing.
        interval: lower and upper (N,) as the model gives them; :func:`member_interval` without it.
        level: of the intervals.
        bounds: lowest and highest possible value.
        min_coverage: share of a cell below which it is empty.

    Raises:
        JidoError: when the members are not of these tiles, or an id comes twice.
    """
    if members.ndim != 2 or members.shape[1] != len(tiles):
        raise JidoError(
            f"Members of the shape {members.shape} do not fit {len(tiles)} tiles: score them anew."
        )
    ids, outline, coverage, n = tiles.id.astype(object), tiles.outline, tiles.coverage, tiles.n
    members = np.where(coverage < min_coverage - ROUNDING, np.nan, members.astype(np.float64))
    value, lower, upper, se = member_interval(members, level=level, bounds=bounds)
    if interval is not None:
        lower, upper = (np.where(np.isnan(value), np.nan, end) for end in interval)
    if (more := tiles.unseen) is not None and outline is not None:
        pairs = (ids, more.id), (outline, more.outline), (coverage, more.coverage), (n, more.n)
        ids, outline, coverage, n = map(np.concatenate, pairs)
    names, count = np.unique(ids.astype(str), return_counts=True)
    if (count > 1).any():
        raise LabelsError(f"The id {str(names[count.argmax()])!r} stands for {count.max()} tiles: keep one.")
    cells = None if outline is None or tiles.crs is None else Cells(outline, ids, tiles.crs, tiles.kind)
    at = np.where(np.arange(len(ids)) < len(tiles), np.arange(len(ids)), -1)
    value, lower, upper, se = (_taken(part, at) for part in (value, lower, upper, se))
    return Scored(ids, value, lower, upper, se, coverage, n, _taken(members, at), cells, level, bounds)


def _taken(part: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Columns (..., n) at places, NaN at -1."""
    return np.where(places < 0, np.nan, part[..., places])


# -- change ------------------------------------------------------------------------------------


def changed(later: Scored, earlier: Scored) -> Scored:
    """Later less earlier, cell by cell and in each member: what a member errs in both years cancels.

    Cells of one year alone are empty. Where the earlier year has no members its errors are taken for
    independent of the later ones; those of one model are alike, so the interval is rather too wide then.

    Raises:
        JidoError: when no cell is in both years, the members are not as many, or a cell lies elsewhere.
    """
    at, before = _matched(later, earlier)
    span = later.bounds[1] - later.bounds[0]
    one, two, members = later.members, earlier.members, None
    if one is None or two is None:
        value = _taken(later.value, at) - _taken(earlier.value, before)
        se = np.hypot(_taken(later.se, at), _taken(earlier.se, before))
        half = (np.nan if one is None else member_reach(len(one), later.level)) * se
        lower, upper = (np.clip(value + sign * half, -span, span) for sign in (-1, 1))
    elif len(one) != len(two):
        raise JidoError(f"The years have {len(one)} and {len(two)} members: score both with the same model.")
    else:
        members = _taken(one, at) - _taken(two, before)
        value, lower, upper, se = member_interval(members, level=later.level, bounds=(-span, span))
    coverage, n = (
        np.fmin(np.nan_to_num(_taken(new, at)), np.nan_to_num(_taken(old, before)))
        for new, old in ((later.coverage, earlier.coverage), (later.n, earlier.n))
    )
    missing = {"later": (at < 0).sum(), "earlier": (before < 0).sum()}
    notes = tuple(f"Cells not in the {year} year are empty: {k}." for year, k in missing.items() if k)
    ids = np.concatenate([later.ids, earlier.ids[before[at < 0]]])
    cells = _united(later, earlier, at, before)
    return Scored(
        ids, value, lower, upper, se, coverage, n, members, cells, later.level, (-span, span), notes
    )  # fmt: skip


def _matched(later: Scored, earlier: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell of both stands in the later and in the earlier year, -1 for nowhere."""
    place = {str(name): i for i, name in enumerate(earlier.ids)}
    before = [place.pop(str(name), -1) for name in later.ids]
    if max(before) < 0:
        raise JidoError(
            f"No cell is in both years: the first one is {str(later.ids[0])!r} in the later and "
            f"{str(earlier.ids[0])!r} in the earlier one; cut both on the same cells."
        )
    at = [*range(len(before)), *[-1] * len(place)]
    return np.array(at), np.array([*before, *place.values()])


def _united(later: Scored, earlier: Scored, at: np.ndarray, before: np.ndarray) -> Cells | None:
    """The cells of both years; one that is not the same place in both is refused."""
    one, two = later.cells, earlier.cells
    if one is None or two is None:
        if one is two:
            return None
        raise ImageError(
            "Nobody knows where the cells of one year lie: cut both years with jido score tiles."
        )
    both, alone = (at >= 0) & (before >= 0), before[at < 0]
    here, there = one.geometry[at[both]], two.geometry[before[both]]
    off = np.abs(shapely.bounds(here) - shapely.bounds(there)).max(axis=1)
    if one.crs != two.crs or (off > ALIKE * np.sqrt(shapely.area(here))).any():
        name = str(one.ids[at[both]][off.argmax()])
        raise ImageError(f"The cell {name!r} lies elsewhere in the other year: cut both on the same cells.")
    geometry = np.concatenate([one.geometry, two.geometry[alone]])
    return Cells(geometry, np.concatenate([one.ids, two.ids[alone]]), one.crs, one.kind)


# -- tables ------------------------------------------------------------------------------------


def score_sheet(
    target: str,
    found: Scored,
    chips: Chips,
    *,
    dates: Sequence[str] = (),
    model: str = "unknown",
    min_coverage: float = 0.5,
    change: bool = False,
) -> MethodSheet:
    """How scores, or their ``change``, were made.

    Args:
        target: what the model was taught: ``development score``, or a column of a survey.
        found: the scores.
        chips: the tiles.
        dates: of the images, ISO.
        model: name of its package.
        min_coverage: share of a cell below which it is empty.
        change: they are a difference of two years.
    """
    taught = f"{target} of survey clusters, learned from features of the tiles around them"
    source = "Jean et al. 2016, doi 10.1126/science.aaf7894"
    if found.ordinal:
        taught = "scores that respect the order of clusters of tiles as experts gave it (soft ranks)"
        source = "siScore: Han et al. 2020 (KDD); Ahn et al. 2023, doi 10.1038/s41467-023-42122-8"
    parts = chips.radiometry.parts if chips.radiometry else ()
    words = [SPREAD, PAIRED if found.members is not None else UNPAIRED][: 1 + change]
    empty, count = int(found.empty.sum()), 0 if found.members is None else len(found.members)
    return MethodSheet(
        indicator=f"change of {target}" if change else target,
        formula=f"{'later - earlier year of the ' if change else ''}mean over an ensemble of {taught}",
        source=source,
        unit="score" if found.ordinal else f"unit of {target}",
        bands=tuple(band.name for band in chips.bands),
        correction="; ".join(", ".join(part.likely) for part in parts if part.likely) or "unknown",
        dates=tuple(dates),
        nodata_rule=" ".join(["Pixels without data in all bands.", *found.notes]),
        error_model=" ".join(words),
        cells="images whose place is not known" if found.cells is None else found.cells.kind,
        min_coverage=min_coverage,
        level=found.level,
        limits=(*[ORDINAL] * found.ordinal, *[SEASON] * change, TRANSFER, f"Model package: {model}."),
        numbers={"members": count, "cells": len(found.ids), "empty cells": empty},
    )


def score_table(found: Scored, sheet: MethodSheet) -> IndicatorTable:
    """Scores on the contract of every indicator; refused (ImageError) where cells have no place."""
    if found.cells is None:
        raise ImageError("Nobody knows where these tiles lie, so they make no map: write rows instead.")
    figures = found.value, found.lower, found.upper, found.se, found.coverage, found.n
    return IndicatorTable(found.cells, *figures, sheet, found.bounds)


def district_table(
    found: Scored,
    table: IndicatorTable,
    districts: Cells,
    *,
    weights: np.ndarray | None = None,
    weight_name: str = "area in m²",
) -> IndicatorTable:
    """Weighted means over districts in every member, and their ranks, 1 for the highest.

    The interval is that of one further member; where a part of a district was not seen, the variance of what
    it may hold is added, as :func:`~jido.indicators.aggregate.aggregate` does. ``rank_best`` and
    ``rank_worst`` span the ranks that members give.

    Args:
        found: scores, or their change, with members.
        table: of these, by :func:`score_table`.
        districts: larger cells.
        weights: of each cell as a whole, (N,): people; areas when not given.
        weight_name: what they are, for the method sheet.

    Raises:
        JidoError: when there are no members, or the weights do not fit.
    """
    if found.members is None:
        raise JidoError("Districts are computed in every member: give the tiles of both years, not a table.")
    sure = replace(table, se=np.zeros(len(found.ids)))  # leaves what the unseen parts may hold
    how: dict[str, Any] = {"dependence": Dependence(), "field_length_m": _field_length(table)}
    out = aggregate(sure, districts, weights=weights, weight_name=weight_name, **how)
    known = (table.cells.area_m2 if weights is None else weights) * ~table.empty
    shares = overlaps(table.cells, districts).multiply(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        members = (shares @ np.nan_to_num(found.members).T).T / shares.sum(axis=1)
    members[:, out.empty] = np.nan
    *_, sd = member_interval(members, level=found.level)
    half = np.hypot(member_reach(len(members), found.level) * sd, ndtri((1 + found.level) / 2) * out.se)
    lower, upper = (np.clip(out.value + sign * half, *found.bounds) for sign in (-1, 1))
    ranks, tail = _ranks(members), (1 - found.level) / 2
    spanned = {
        "rank": _ranks(out.value),
        "rank_best": np.quantile(ranks, tail, axis=0, method="lower"),
        "rank_worst": np.quantile(ranks, 1 - tail, axis=0, method="higher"),
    }
    sheet, columns = replace(out.sheet, dependence=BY_MEMBERS), {**out.columns, **spanned}
    return replace(out, lower=lower, upper=upper, se=np.hypot(sd, out.se), columns=columns, sheet=sheet)


def _ranks(value: np.ndarray) -> np.ndarray:
    """Ranks (..., n), 1 for the highest, ties share the mean; NaN where there is no value."""
    return np.asarray(rankdata(-value, axis=-1, nan_policy="omit"))


def _field_length(table: IndicatorTable) -> float:
    """How far values of cells are alike, m: by a variogram, or as far as cells reach where they are few."""
    places, value = table.cells.places_m[~table.empty], table.value[~table.empty]
    if len(value) < 2:
        return 0.0
    apart = places - places.mean(axis=0)
    flat = apart @ np.linalg.eigh(apart.T @ apart)[1][:, 1:]  # on the plane that lies closest to them
    centre = np.unique(np.linspace(0, len(value) - 1, CENTRES).astype(int))
    step = np.unique(np.geomspace(1, len(value), NEIGHBOURS).astype(int))
    near = cKDTree(flat).query(flat[centre], k=step)[1]
    try:
        return fit_correlation(flat[near, 0], flat[near, 1], value[near], pixel_m=(1.0, 1.0)).length_m
    except JidoError:
        return float(np.ptp(flat, axis=0).max())


def beside(
    table: IndicatorTable, published: Mapping[str, float], *, source: str, ordinal: bool
) -> tuple[IndicatorTable, Figure | None]:
    """A table with existing statistics beside it, and Spearman's correlation of the two.

    Columns ``benchmark`` and ``benchmark_rank``. A score that only orders (``ordinal``) has no unit; anything
    else gets ``difference`` and ``agrees`` of :meth:`IndicatorTable.benchmark` too. The correlation has an
    interval over rows; it is ``None`` with fewer than four rows, or where one does not vary.

    Args:
        table: by district or cell.
        published: id -> figure; an id that is not in the table is refused (JidoError).
        source: where they were published.
        ordinal: whether the table holds scores that only order.
    """
    judged = table.benchmark(published, source=source)
    known = judged.columns["benchmark"]
    left_out = ("difference", "agrees") if ordinal else ()
    columns = {name: part for name, part in judged.columns.items() if name not in left_out}
    try:
        alike = correlate(table.value, known).spearman
    except JidoError:
        alike = None
    return replace(judged, columns={**columns, "benchmark_rank": _ranks(known)}), alike


def overall(found: Scored) -> Figure:
    """Mean over the cells that are not empty, each counting once; no interval without members."""
    seen = ~found.empty
    if found.members is None or not seen.any():
        return figure(found.value[seen].mean() if seen.any() else np.nan)
    means = found.members[:, seen].mean(axis=1, keepdims=True)
    value, lower, upper, _ = member_interval(means, level=found.level, bounds=found.bounds)
    return figure(value[0], lower[0], upper[0])
