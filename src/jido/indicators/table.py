"""The contract of every indicator: a row per cell with value, lower, upper, coverage and n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtrit

from jido.errors import JidoError
from jido.indicators.cells import Cells
from jido.indicators.sheet import MethodSheet
from jido.io.cell_table import FORMATS, write_cell_table

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

ROUNDING = 1e-6
"""What shares of pixels in float32 leave of a cell that was seen as a whole."""


@dataclass(frozen=True, eq=False)
class IndicatorTable:
    """An indicator by cell; made by :func:`indicator_table`, which empties what was too little seen.

    Args:
        cells: n of them.
        value: float64 (n,), NaN = empty.
        lower: of the interval; NaN where none is claimed.
        upper: of the interval.
        se: standard error, needed to aggregate; NaN where none is claimed.
        coverage: share of the cell that was seen, 0..1, never NaN.
        n: pixels with data, counted by their share in the cell.
        sheet: how it was measured.
        bounds: lowest and highest possible value.
        columns: more columns (n,).
    """

    cells: Cells
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    se: np.ndarray
    coverage: np.ndarray
    n: np.ndarray
    sheet: MethodSheet
    bounds: tuple[float, float] = (-np.inf, np.inf)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def empty(self) -> np.ndarray:
        """Bool (n,): rows without a value."""
        return np.asarray(np.isnan(self.value))

    def to_geodataframe(self) -> GeoDataFrame:
        """All columns with the geometry of the cells."""
        from geopandas import GeoDataFrame

        names = ("value", "lower", "upper", "coverage", "n", "se")
        own = {name: getattr(self, name) for name in names}
        return GeoDataFrame(
            {"id": self.cells.ids} | own | {"area_m2": self.cells.area_m2} | dict(self.columns),
            geometry=self.cells.geometry,
            crs=self.cells.crs.to_wkt(),
        )

    def benchmark(self, published: Mapping[str, float], *, source: str) -> IndicatorTable:
        """The table with published figures beside its own.

        Columns ``benchmark``, ``difference`` (value - benchmark) and ``agrees`` (1: the published
        figure lies in the interval, 0: not, empty: no figure or no interval).

        Args:
            published: id of the cell -> figure in the unit of the table.
            source: where they were published, for the method sheet.

        Raises:
            JidoError: when an id is not in the table.
        """
        known = set(self.cells.ids)
        if lost := [name for name in published if name not in known]:
            raise JidoError(
                f"A figure was published for {lost[0]!r}, but the table has no such cell; the first is "
                f"{self.cells.ids[0]!r}: use the same ids."
            )
        figure = np.array([published.get(name, np.nan) for name in self.cells.ids], dtype=np.float64)
        judged = np.isfinite(figure) & np.isfinite(self.lower)
        agrees = np.where(judged, (self.lower <= figure) & (figure <= self.upper), np.nan)
        more = {"benchmark": figure, "difference": self.value - figure, "agrees": agrees}
        sheet = replace(self.sheet, benchmark=source)
        return replace(self, columns={**self.columns, **more}, sheet=sheet)

    def write(self, stem: str | Path, *, formats: tuple[str, ...] = FORMATS) -> list[Path]:
        """Write ``STEM.gpkg``, ``.parquet``, ``.csv`` and the method sheet, all of them or none.

        Returns:
            The files, ``STEM.method.json`` and ``STEM.method.md`` last.

        Raises:
            OutputError: when a format is unknown or the place cannot be written.
        """
        return write_cell_table(
            self.to_geodataframe(),
            Path(stem),
            formats=formats,
            sheet=self.sheet.to_dict(),
            page=self.sheet.to_markdown(),
        )


def indicator_table(
    cells: Cells,
    value: np.ndarray,
    se: np.ndarray,
    *,
    coverage: np.ndarray,
    n: np.ndarray,
    sheet: MethodSheet,
    freedom: np.ndarray | float = np.inf,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    columns: Mapping[str, np.ndarray] | None = None,
) -> IndicatorTable:
    """A table with intervals value +- t * se, empty where less than ``sheet.min_coverage`` was seen.

    Args:
        cells: n of them.
        value: (n,), NaN where there is none.
        se: standard errors of a named error model, (n,); NaN claims no interval.
        coverage: share of each cell that was seen, (n,); NaN counts as 0.
        n: pixels with data, (n,).
        sheet: how it was measured.
        freedom: degrees of freedom of ``se``; infinity gives the normal distribution.
        bounds: where the quantity ends: (0, 1) for a share.
        columns: more columns.

    Raises:
        JidoError: when a column has another length, or a standard error is below 0.
    """
    value, se, n = (np.asarray(part, dtype=np.float64) for part in (value, se, n))
    coverage = np.nan_to_num(np.asarray(coverage, dtype=np.float64), nan=0.0)
    more = dict(columns or {})
    for name, part in {"value": value, "se": se, "coverage": coverage, "n": n, **more}.items():
        if part.shape != (len(cells),):
            raise JidoError(f"Column {name!r} has shape {part.shape}, but there are {len(cells)} cells.")
    if (se < 0).any():
        raise JidoError("A standard error is below 0.")
    empty = coverage < sheet.min_coverage - ROUNDING
    value = np.clip(np.where(empty, np.nan, value), *bounds)  # float32 shares add up to 1.0000001
    se = np.where(np.isnan(value), np.nan, se)
    tail = (1 + sheet.level) / 2
    reach = np.where(np.isinf(freedom), ndtri(tail), stdtrit(np.minimum(freedom, 1e9), tail))
    lower, upper = (np.clip(value + sign * reach * se, *bounds) for sign in (-1, 1))
    return IndicatorTable(cells, value, lower, upper, se, coverage, n, sheet, bounds, more)
