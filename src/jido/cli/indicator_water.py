"""``jido indicator water``: open water by cell, or the areas of lakes over the years."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, progress_bar
from jido.cli.indicator_parts import (
    Bounds,
    CellsFile,
    Clouds,
    Dates,
    Grid,
    GridCrs,
    IdField,
    Images,
    MinCoverage,
    Output,
    Resolution,
    Stac,
    Zoom,
    beside,
    chosen_cells,
    everything,
    facts_of,
    in_words,
    opened,
    polygons,
    published,
    refuse_inputs,
    stem_and_formats,
    summary_of,
    written,
)
from jido.cli.options import Crs, JsonFlag, Quiet, Resample, Seed

if TYPE_CHECKING:
    from odc.geo import Geometry

    from jido.indicators.table import IndicatorTable
    from jido.indicators.water_lakes import LakeRules
    from jido.indicators.water_scene import WaterDates


class MethodChoice(StrEnum):
    """What water is seen by."""

    ndwi = "ndwi"
    mndwi = "mndwi"
    awei_sh = "awei-sh"
    awei_nsh = "awei-nsh"
    vv = "vv"
    vh = "vh"


class EveryChoice(StrEnum):
    """Periods of a series."""

    month = "month"
    year = "year"


class StatisticChoice(StrEnum):
    """What stands for a period."""

    median = "median"
    max = "max"


NAMES = {"vv": "VV", "vh": "VH", "awei-sh": "awei_sh", "awei-nsh": "awei_nsh"}


def water(
    images: Images,
    output: Output,
    method: Annotated[
        MethodChoice, typer.Option("--method", help="Index, or polarisation of Sentinel-1 in dB.")
    ] = MethodChoice.mndwi,
    bodies: Annotated[
        Path | None,
        typer.Option(
            "--bodies",
            help="Lakes instead of cells: polygons that hold all water of each and no other.",
            metavar="FILE",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="For all dates; found on the shores of each date without it."),
    ] = None,
    nominal: Annotated[
        Path | None,
        typer.Option("--nominal", help="CSV with columns id and value: nominal areas of bodies, m²."),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", help="CSV with columns id, area (m²) and volume: hypsometric curves."),
    ] = None,
    every: Annotated[
        EveryChoice, typer.Option("--every", help="Period of the series of a body.")
    ] = EveryChoice.year,
    statistic: Annotated[
        StatisticChoice, typer.Option("--statistic", help="Of the valid dates of a period.")
    ] = StatisticChoice.median,
    max_cloud: Annotated[
        float, typer.Option("--max-cloud", help="Of a body on a date that counts.", min=0, max=1)
    ] = 0.2,
    min_valid: Annotated[
        float,
        typer.Option(
            "--min-valid", help="Share of a body inside the image on a date that counts.", min=0, max=1
        ),
    ] = 0.98,
    baseline: Annotated[
        str, typer.Option("--baseline", help="Years of the baseline of SDG 6.6.1.", metavar="FIRST-LAST")
    ] = "2000-2004",
    dates: Dates = None,
    clouds: Clouds = None,
    cells: CellsFile = None,
    id_field: IdField = "id",
    grid: Grid = 1000.0,
    grid_crs: GridCrs = None,
    zoom: Zoom = None,
    min_coverage: MinCoverage = 0.5,
    stac: Stac = False,
    crs: Crs = None,
    resolution: Resolution = None,
    bounds: Bounds = None,
    resample: Resample = None,
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Share of open water of every cell, or with --bodies the areas of lakes: series, trend, forecast.

    The threshold of a date is found on its own shores (BlueDot); pixels of a shore count by their share of
    water. Clouds hide water, they do not dry a lake: dates with too many do not count.
    """
    from jido.errors import ImageError
    from jido.indicators.water_scene import water_dates, water_roles
    from jido.io import require_place
    from jido.io.files import replacing_run

    require_place(output)
    if not bodies and (nominal or curve):
        raise ImageError("--nominal and --curve speak of water bodies: give their polygons with --bodies.")
    name = NAMES.get(method.value, method.value)
    how: dict[str, Any] = {"dates": dates, "clouds": clouds, "stac": stac, "crs": crs, "resample": resample}
    with opened(images, water_roles(name), resolution=resolution, bounds=bounds, **how) as series:
        refuse_inputs(output, [*series.state(), cells, bodies, nominal, curve])
        place = (
            polygons(bodies, id_field)
            if bodies
            else chosen_cells(
                cells, id_field, grid=grid, grid_crs=grid_crs, zoom=zoom, extent=series.geobox.extent
            )
        )
        with progress_bar(quiet=quiet or json) as progress:
            found = water_dates(
                series, place, method=name, threshold=threshold, whole=bodies is not None, seed=seed,
                progress=progress,
            )  # fmt: skip
    for text in [*found.notes, *place.notes]:
        note(text, quiet=quiet)
    told = {"method": name, "fixed": threshold, "min_coverage": min_coverage}
    with replacing_run(output) as fresh:
        if bodies:
            rules = _rules(every, statistic, max_cloud, min_valid, baseline)
            table, files = _lakes(found, fresh, told, rules, nominal=nominal, curve=curve)
        else:
            table, files = _cells(found, fresh, told)
    files = beside(output, files)
    summary = _summary(table, found, None if bodies else series.geobox.extent)
    facts = facts_of(table, files, summary)
    if json:
        print_json(facts)
        return
    print(f"water: {in_words(summary['water'])} {summary['unit']}")
    print(f"{facts['cells']} {'bodies' if bodies else 'cells'}, {facts['empty_cells']} of them empty")
    print(f"Files: {', '.join(path.name for path in files)} in {files[0].resolve().parent}")


def _rules(
    every: EveryChoice, statistic: StatisticChoice, max_cloud: float, min_valid: float, baseline: str
) -> LakeRules:
    import re

    from jido.errors import ImageError
    from jido.indicators.water_lakes import LakeRules
    from jido.indicators.water_series import Rules

    years = re.fullmatch(r"(\d{4})-(\d{4})", baseline)
    if years is None or int(years[1]) > int(years[2]):
        raise ImageError(f"--baseline {baseline!r} is none: give its first and last year, 2000-2004.")
    return LakeRules(
        every=every.value,
        statistic=statistic.value,
        rules=Rules(max_cloud=max_cloud, min_coverage=min_valid),
        baseline=(int(years[1]), int(years[2])),
    )


def _cells(found: WaterDates, output: Path, told: dict[str, Any]) -> tuple[IndicatorTable, list[Path]]:
    """The share of water by cell, written."""
    from jido.indicators.water_tables import water_shares, water_sheet

    table = water_shares(found, water_sheet(found, value="share", **told))
    return table, written(table, output)


def _lakes(
    found: WaterDates,
    output: Path,
    told: dict[str, Any],
    rules: LakeRules,
    *,
    nominal: Path | None,
    curve: Path | None,
) -> tuple[IndicatorTable, list[Path]]:
    """The areas of water bodies, written with their series and pictures."""
    from dataclasses import replace

    from jido.indicators.water_lakes import date_rows, draw_lakes, lake_table, lakes, observations
    from jido.indicators.water_months import year_columns
    from jido.indicators.water_tables import water_sheet
    from jido.io.cell_table import write_rows

    seen = observations(found)
    followed = lakes(seen, [str(name) for name in found.bodies.ids], rules)
    told |= {"min_coverage": rules.rules.min_coverage - rules.rules.max_cloud}
    table = lake_table(
        found,
        followed,
        seen,
        rules,
        sheet=water_sheet(found, value="area", **told),
        nominal=published(nominal) if nominal else {},
        curves=_curves(curve) if curve else {},
    )
    area, least = found.bodies.area_m2, told["min_coverage"]
    more = year_columns(found.years, area, min_coverage=least, unit="m²")
    table = replace(table, columns={**table.columns, **more})
    stem, _ = stem_and_formats(output)
    files = written(table, output)
    files.append(write_rows(date_rows(found, seen, rules), stem.with_name(f"{stem.name}.dates.csv")))
    periods = [row for lake in followed if lake.series is not None for row in lake.series.rows()]
    if periods:
        files.append(write_rows(periods, stem.with_name(f"{stem.name}.series.csv")))
    return table, files + draw_lakes(followed, seen, stem, rules=rules.rules)


def _curves(file: Path) -> dict[str, Any]:
    """Hypsometric curves of a CSV: id -> curve."""
    import csv

    import numpy as np

    from jido.errors import LabelsError
    from jido.indicators.water_series import HypsometricCurve

    points: dict[str, list[tuple[float, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                points.setdefault(row["id"], []).append((float(row["area"]), float(row["volume"])))
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as err:
        raise LabelsError(f"{file} is no table of id, area and volume ({err}): correct it.") from err
    return {name: HypsometricCurve(*np.array(part).T) for name, part in points.items()}


def _summary(table: IndicatorTable, found: WaterDates, extent: Geometry | None) -> dict[str, Any]:
    """Water of all cells or bodies together."""
    from jido.indicators.aggregate import Dependence, aggregate

    if extent is None:
        import numpy as np

        parts = {name: float(np.nansum(getattr(table, name))) for name in ("value",)}
        whole: dict[str, float | None] = {**parts, "lower": None, "upper": None}
    else:
        one = aggregate(
            table, everything(table.cells, extent), dependence=Dependence(shared=1.0), field_length_m=0.0
        )
        whole = dict(summary_of(one))
    return {"water": whole, "dates": list(found.days), "unit": table.sheet.unit}
