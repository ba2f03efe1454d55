"""Water by cell as a table, and the method sheet of water."""

from __future__ import annotations

import numpy as np

from jido.indicators.green import NOT_SEEN
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable, indicator_table
from jido.indicators.uncertainty import missing_dates_variance
from jido.indicators.water_areas import ERROR_MODEL
from jido.indicators.water_months import MIN_MONTHS, year_columns
from jido.indicators.water_scene import WaterDates, water_roles

PERMANENT = (
    "Permanent water is water in all months of a year that were seen, seasonal in some, of pixels seen in at "
    f"least {MIN_MONTHS} (SDG 6.6.1; Pekel et al. 2016, doi 10.1038/nature20584); no error is claimed for it."
)

FORMULAS = {
    "ndwi": "NDWI = (green - nir) / (green + nir) (McFeeters 1996)",
    "mndwi": "MNDWI = (green - swir16) / (green + swir16) (Xu 2006)",
    "awei_sh": "AWEIsh = blue + 2.5 green - 1.5 (nir + swir16) - 0.25 swir22 (Feyisa et al. 2014)",
    "awei_nsh": "AWEInsh = 4 (green - swir16) - (0.25 nir + 2.75 swir22) (Feyisa et al. 2014)",
    "VV": "backscatter VV in dB, Lee filter of 7 x 7 pixels (Lee 1980), water below the threshold",
    "VH": "backscatter VH in dB, Lee filter of 7 x 7 pixels (Lee 1980), water below the threshold",
}


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
        limits=(
            "Reeds, shadows, ice and roofs taken for the other kind are not in the interval.",
            *([PERMANENT] if found.years else []),
        ),
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
        half of the cell), ``dates``, and :func:`~jido.indicators.water_months.year_columns`.
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
            **year_columns(found.years, area, min_coverage=sheet.min_coverage, unit="share"),
        },
    )


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the dates that count, (n,); NaN without one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counted, values, 0).sum(axis=0) / counted.sum(axis=0))
