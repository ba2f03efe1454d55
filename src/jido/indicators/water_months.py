"""Permanent and seasonal water of a year, as SDG indicator 6.6.1 parts them.

Water in every month is permanent, in some months seasonal (Pekel et al. 2016, doi 10.1038/nature20584, whose
maps the indicator is reported from). A month is water where at least half of its dates are; months that
clouds hid have no say. Whole pixels by the threshold; no error is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jido.errors import JidoError

MIN_MONTHS = 6
"""A pixel seen in fewer months of a year is not judged."""


@dataclass(frozen=True, eq=False)
class YearWater:
    """Water of a year in each body or cell, m² (n,).

    Args:
        year: which one.
        permanent_m2: of pixels that were water in all months seen.
        seasonal_m2: of those that were in some.
        judged_m2: of all that were seen in enough months.
    """

    year: int
    permanent_m2: np.ndarray
    seasonal_m2: np.ndarray
    judged_m2: np.ndarray


def judged_years(days: Sequence[str], *, min_months: int = MIN_MONTHS) -> dict[int, int]:
    """Year -> place of its last date, for years with dates in enough months.

    Args:
        days: ISO, in order.
        min_months: how many are enough.
    """
    months = {day[:7] for day in days}
    last = {int(day[:4]): place for place, day in enumerate(days)}
    return {y: at for y, at in last.items() if sum(month[:4] == f"{y:04}" for month in months) >= min_months}


class WaterMonths:
    """In how many months of a year each pixel was seen, and was water; dates are taken in order.

    Args:
        shape: rows and columns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._month = ""
        self._seen, self._wet, self._months_seen, self._months_wet = np.zeros((4, *shape), dtype=np.uint8)

    def take(self, day: str, water: np.ndarray) -> None:
        """Take a date.

        Args:
            day: ISO.
            water: 1 water, 0 not, NaN not seen, (y, x).

        Raises:
            JidoError: when it is of another year than the dates before, or not after them.
        """
        if self._month and (day[:4] != self._month[:4] or day[:7] < self._month):
            raise JidoError(f"{day} does not follow {self._month} in one year: give one year, in order.")
        if day[:7] != self._month:
            self._close(day[:7])
        self._seen += np.isfinite(water)
        self._wet += water > 0

    def kinds(self, *, min_months: int = MIN_MONTHS) -> np.ndarray:
        """Whether a pixel is permanent water, and whether seasonal: 1 or 0, float32 (2, y, x).

        Args:
            min_months: a pixel seen in fewer is NaN.
        """
        self._close("")
        known = self._months_seen >= max(min_months, 1)
        always = (self._months_wet == self._months_seen) & (self._months_wet > 0)
        kinds = np.stack([always, (self._months_wet > 0) & ~always])
        return np.where(known, kinds, np.nan).astype(np.float32)

    def _close(self, coming: str) -> None:
        """Count the month that has ended."""
        self._months_seen += self._seen > 0
        self._months_wet += (self._seen > 0) & (2 * self._wet >= self._seen)
        self._seen[:], self._wet[:] = 0, 0
        self._month = coming


def year_columns(
    years: Sequence[YearWater], area_m2: np.ndarray, *, min_coverage: float, unit: str
) -> dict[str, np.ndarray]:
    """Columns of a table: permanent and seasonal water by year, empty where too little was judged.

    Args:
        years: of the bodies or cells.
        area_m2: of them, (n,).
        min_coverage: share of a body or cell that must be judged.
        unit: ``share`` (of what was judged) or ``m²``.

    Returns:
        ``permanent_2020``, ``seasonal_2020``, ..., or with m² ``permanent_m2_2020`` and so on.
    """
    columns = {}
    for one in years:
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = 1.0 if unit == "m²" else 1 / one.judged_m2
            enough = one.judged_m2 >= min_coverage * area_m2
            for name, part in (("permanent", one.permanent_m2), ("seasonal", one.seasonal_m2)):
                column = f"{name}_m2_{one.year}" if unit == "m²" else f"{name}_{one.year}"
                columns[column] = np.where(enough & (one.judged_m2 > 0), part * scale, np.nan)
    return columns
