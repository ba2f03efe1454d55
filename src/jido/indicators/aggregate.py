"""From cells to districts to a country: weighted means whose errors know that neighbours err alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely
from odc.geo import CRS
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from jido.errors import JidoError
from jido.indicators.cells import Cells, projected
from jido.indicators.table import IndicatorTable, indicator_table

FAR = 7.0
"""Correlation lengths beyond which pairs are left out: there lies 0.7 % of what they would add."""

AT_ONCE = 512

BORDER = "A cell on the border of a district counts as alike throughout; take smaller cells where it matters."

WHOLE = 1e-3
"""Share of a district that straight edges on two maps may differ by: less is not taken for unseen."""


@dataclass(frozen=True)
class Dependence:
    """How the errors of two cells go together: shared + (1 - shared) * exp(-distance / length).

    Args:
        shared: correlation of all cells, however far: a model's or a correction's common error, 0..1.
        length_m: correlation length of the rest in metres; 0 says that it is independent.

    Raises:
        JidoError: when one is out of range.
    """

    shared: float = 0.0
    length_m: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.shared <= 1 or not 0 <= self.length_m < np.inf:
            raise JidoError(f"shared is 0 to 1 and length_m at least 0, not {self.shared}, {self.length_m}.")

    def variance(self, weights: np.ndarray, places: np.ndarray) -> float:
        """Variance of a weighted sum: sum over all pairs of w_i w_j rho_ij.

        Args:
            weights: weight x standard error of each cell, (n,).
            places: x, y, z in metres, (n, 3).
        """
        if np.isnan(weights).any():
            return np.nan
        local = float(weights @ weights)
        if self.length_m > 0 and self.shared < 1:
            local = _near_pairs(weights, places, self.length_m)
        return float(self.shared * weights.sum() ** 2 + (1 - self.shared) * local)

    def words(self) -> str:
        """For the method sheet."""
        return f"correlation {self.shared:g} between all cells, the rest exp(-distance / {self.length_m:g} m)"


def _near_pairs(weights: np.ndarray, places: np.ndarray, length: float) -> float:
    tree, total = cKDTree(places), 0.0
    for start in range(0, len(places), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        pairs = cKDTree(places[part]).sparse_distance_matrix(tree, FAR * length, output_type="coo_matrix")
        total += float(weights[part][pairs.row] @ (weights[pairs.col] * np.exp(-pairs.data / length)))
    return total


def overlaps(cells: Cells, districts: Cells) -> csr_array:
    """Share of the area of each cell that lies in each district, (districts, cells).

    Measured on the map of the cells when that is an equal-area one, else in EPSG:6933.
    """
    equal = cells.crs if cells.crs in (CRS("EPSG:3035"), CRS("EPSG:6933")) else CRS("EPSG:6933")
    small = projected(cells.geometry, cells.crs, equal)
    large = projected(districts.geometry, districts.crs, equal)
    tree, rows, cols, shares = shapely.STRtree(small), [], [], []
    size = shapely.area(small)
    for row, district in enumerate(large):
        shapely.prepare(district)
        found = np.sort(tree.query(district, predicate="intersects"))
        inside = shapely.contains_properly(district, small[found])
        share = np.ones(len(found))
        edge = found[~inside]
        share[~inside] = shapely.area(shapely.intersection(small[edge], district)) / size[edge]
        kept = share > 1e-9
        rows.append(np.full(kept.sum(), row))
        cols.append(found[kept])
        shares.append(share[kept])
    pairs = (np.concatenate(rows), np.concatenate(cols))
    return csr_array((np.concatenate(shares), pairs), shape=(len(large), len(small)))


def aggregate(
    table: IndicatorTable,
    districts: Cells,
    *,
    dependence: Dependence,
    field_length_m: float,
    weights: np.ndarray | None = None,
    weight_name: str = "area in m²",
    total: bool = False,
) -> IndicatorTable:
    """Districts, or a country, from cells; always from the cells, so a country is its districts' sum.

    The value is sum(w v) / sum(w) over cells that are not empty; the part of a cell that lies in the
    district counts. Its variance has two parts. What was seen: sum over pairs of w_i w_j s_i s_j rho_ij
    with the stated dependence. What was not: with u the share of the weight in empty cells, u² times
    the variance of (mean of the seen - mean of the unseen), cells' values varying as they do among the
    seen, correlated over ``field_length_m``.

    Args:
        table: by cell, with standard errors.
        districts: larger cells; the country is a single one.
        dependence: of the errors of two cells, stated, not guessed.
        field_length_m: correlation length of the values of cells, for those not seen.
        weights: of each cell as a whole, (n,): inhabitants; areas when not given. Not below 0.
        weight_name: what they are, for the method sheet.
        total: the value times the sum of the weights (share x m² = m²); weights in parts of the
            district without cells are taken to be as dense as in the rest.

    Returns:
        A table by district, empty where less than ``min_coverage`` of its weight was seen.

    Raises:
        JidoError: when the weights do not fit.
    """
    weight = table.cells.area_m2 if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (len(table.cells),) or not (weight >= 0).all():
        raise JidoError(
            f"Weights must be {len(table.cells)} numbers of at least 0, one a cell: fill the missing ones in."
        )
    shares = overlaps(table.cells, districts)
    rows = [
        _district(table, weight, shares[[i]], float(area), dependence, Dependence(length_m=field_length_m))
        for i, area in enumerate(districts.area_m2)
    ]
    value, se, coverage, n, amount = np.array(rows).T
    factor = amount if total else 1.0
    sheet = replace(
        table.sheet,
        cells=f"{districts.kind}, from {table.sheet.cells}",
        weights=weight_name,
        dependence=dependence.words(),
        limits=(*table.sheet.limits, BORDER),
    )
    bounds = (-np.inf, np.inf) if total else table.bounds
    return indicator_table(
        districts,
        value * factor,
        se * factor,
        coverage=coverage,
        n=n,
        sheet=sheet,
        bounds=bounds,
        columns={"weight": amount},
    )


def _district(
    table: IndicatorTable,
    weight: np.ndarray,
    shares: csr_array,
    area: float,
    dependence: Dependence,
    field: Dependence,
) -> tuple[float, float, float, float, float]:
    """Value, standard error, coverage, n, and sum of the weights of one district."""
    here, share = shares.indices, shares.data
    w = weight[here] * share
    on_cells = min(float((table.cells.area_m2[here] * share).sum()) / area, 1.0)
    whole = w.sum()
    if not whole > 0:
        return np.nan, np.nan, 0.0, 0.0, 0.0
    value, places = table.value[here], table.cells.places_m[here]
    seen = np.isfinite(value)
    coverage = on_cells * float((w * table.coverage[here] * seen).sum() / whole)
    n = float((table.n[here] * share * seen).sum())
    known = w[seen].sum()
    if not known > 0:
        return np.nan, np.nan, coverage, n, whole / on_cells
    part = w[seen] / known
    mean = float(part @ value[seen])
    variance = dependence.variance(part * table.se[here][seen], places[seen])
    unseen = 1 - on_cells * known / whole
    if unseen > WHOLE:
        variance += unseen**2 * _unseen_variance(value, w, seen, places, field)
    return mean, float(np.sqrt(variance)), coverage, n, whole / on_cells


def _unseen_variance(
    value: np.ndarray, w: np.ndarray, seen: np.ndarray, places: np.ndarray, field: Dependence
) -> float:
    """Variance of the difference between the means of seen and unseen cells; NaN from a single cell."""
    part = np.where(seen, w, 0) / w[seen].sum()
    mean = float(part[seen] @ value[seen])
    # a weighted variance about its own mean is too low by the variance of that mean
    lost = field.variance(part[seen], places[seen])
    if seen.sum() < 2 or lost > 0.9:
        return np.nan
    between = float(part[seen] @ (value[seen] - mean) ** 2) / (1 - lost)
    dark = np.where(seen, 0, w)
    if not dark.sum() > 0:  # it lies where there are no cells, in one piece for all that is known
        return between * (1 + lost)
    return between * field.variance(part - dark / dark.sum(), places)
