"""Statistics of districts that are known of some of them, told of all by features of their tiles (READ).

What is told of a district whose statistic is known comes from trees that had seen neither it nor its
neighbours in the same square of land, so both can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from odc.geo import CRS
from scipy.special import ndtri

from jido.data.places import SIDES_M, squares
from jido.errors import LabelsError
from jido.indicators.aggregate import overlaps
from jido.indicators.cells import Cells
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING, IndicatorTable, indicator_table
from jido.methods.district_vector import FEWEST, DistrictConfig, train_districts

FORMULA = (
    "boosted trees on mean, spread, number and correlations of the principal components of the features of a "
    "district's tiles, with their squares and products"
)
SOURCE = "READ: Han et al. 2020 (AAAI)"
ERRORS = (
    "value +- a quantile of the errors in districts held out, the jackknife with folds of Barber et al. "
    "2021, doi 10.1214/20-AOS1965; usually right, without a guarantee"
)
ALIKE = "It holds for districts like those with a figure; nothing is known of other countries and years."


def district_figures(
    features: np.ndarray,
    cells: Cells,
    districts: Cells,
    figures: Mapping[str, float],
    *,
    name: str,
    coverage: np.ndarray,
    n: np.ndarray,
    sheet: MethodSheet,
    config: DistrictConfig | None = None,
) -> tuple[IndicatorTable, dict[str, Any]]:
    """A statistic of all districts that were seen, and how well it is told in districts held out.

    A tile counts in the district that holds the most of it. Columns ``figure`` (as given), ``held_out`` (1:
    by trees that have not seen the figure, 0: there was none to see) and ``tiles``.

    Args:
        features: (N, D) of tiles; one with a NaN is left out.
        cells: of these tiles, N.
        districts: larger cells.
        figures: id of a district -> its statistic; those of districts too little seen teach nothing.
        name: of the statistic.
        coverage: share of each tile's cell that was seen, (N,).
        n: pixels with data, (N,).
        sheet: of the tiles, for what both share: bands, dates, least coverage.
        config: settings of the trees.

    Returns:
        The table, and the figures of :func:`~jido.methods.district_vector.train_districts`.

    Raises:
        LabelsError: as :func:`~jido.methods.district_vector.train_districts`, and when no tile lies in a
            district.
    """
    config, ids = config or DistrictConfig(), districts.ids.astype(str)
    used = np.isfinite(features).all(axis=1)
    shares = overlaps(cells, districts).multiply(used).tocsr()
    place = np.asarray(shares.argmax(axis=0)).ravel()
    inside = np.asarray(shares.max(axis=0).todense()).ravel() > 0
    if not inside.any():
        raise LabelsError(f"No tile lies in one of the {len(ids)} districts: check the CRS of both.")
    features, owner = features[inside], ids[place[inside]]
    seen = np.minimum(shares @ (cells.area_m2 * coverage) / districts.area_m2, 1)
    known = {one: figures[one] for one in ids[seen >= sheet.min_coverage - ROUNDING] if one in figures}
    teachers = np.isin(ids, list(known))
    square, side_m = _land(districts, teachers)
    groups = {one: str(number) for one, number in zip(ids[teachers], square, strict=True)}
    model = train_districts(features, owner, known, groups=groups, config=config)
    told, values, _, _ = model.predict(features, owner)
    held = model.evaluation["held_out"]
    value = dict(zip(told.tolist(), values.tolist(), strict=True)) | held
    half, z = np.full(len(ids), model.reach), float(ndtri((1 + config.level) / 2))
    columns = {
        "figure": np.array([figures.get(one, np.nan) for one in ids]),
        "held_out": np.array([float(one in held) for one in ids]),
        "tiles": np.bincount(place[inside], minlength=len(ids)).astype(float),
    }
    table = indicator_table(
        districts,
        np.array([value.get(one, np.nan) for one in ids]),
        half / z,  # so that the interval is the quantile itself
        coverage=seen,
        n=shares @ n,
        sheet=_sheet(sheet, name, config.level, districts.kind, side_m),
        columns=columns,
    )
    return table, {name: part for name, part in model.evaluation.items() if name != "held_out"}


def _land(districts: Cells, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Number (G,) of the square of land of each chosen district, and the side of a square in metres.

    The largest with which there are as many squares as districts are needed.
    """
    middle = shapely.get_coordinates(shapely.centroid(districts.geometry[chosen]))
    lonlat = np.column_stack(districts.crs.transformer_to_crs(CRS("EPSG:4326"))(*middle.T))
    for side in SIDES_M:
        square = squares(lonlat, side)
        if square.max(initial=-1) + 1 >= FEWEST:
            break
    return square, side


def _sheet(sheet: MethodSheet, name: str, level: float, kind: str, side_m: float) -> MethodSheet:
    """What a reader has to know."""
    return replace(
        sheet,
        indicator=name,
        formula=FORMULA,
        source=SOURCE,
        unit=f"unit of {name}",
        error_model=f"{ERRORS}. Districts whose middles lie in one square of {side_m / 1000:g} km were held "
        "out together.",
        cells=f"{kind}, from {sheet.cells}",
        level=level,
        limits=(ALIKE, *(text for text in sheet.limits if text.startswith("Model package"))),
        numbers={},
    )
