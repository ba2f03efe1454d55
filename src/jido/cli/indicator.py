"""``jido indicator``: images in, a table of cells with error bars out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import note, print_facts, print_json, progress_bar
from jido.cli.indicator_debris import debris
from jido.cli.indicator_flood import flood
from jido.cli.indicator_heat import heat
from jido.cli.indicator_parts import (
    Benchmark,
    Bounds,
    CellsFile,
    Clouds,
    Composite,
    CompositeChoice,
    Dates,
    DistrictId,
    Districts,
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
    summary_of,
    written,
)
from jido.cli.indicator_water import water
from jido.cli.options import Crs, JsonFlag, Quiet, Resample, Seed

app = typer.Typer(help="Indicators by cell, with error bars.", no_args_is_help=True)
app.command("debris")(debris)
app.command("flood")(flood)
app.command("heat")(heat)
app.command("water")(water)


class GreenValue(StrEnum):
    """What stands in the column ``value``."""

    share = "share"
    ndvi = "ndvi"
    area = "area"
    per_head = "per-head"


@app.command("green")
def green(
    images: Images,
    output: Output,
    value: Annotated[
        GreenValue,
        typer.Option(
            "--value", help="Share of ground above --threshold, mean NDVI, NDVI-weighted area, or per head."
        ),
    ] = GreenValue.share,
    threshold: Annotated[
        float, typer.Option("--threshold", help="NDVI above which ground is green.", min=-1, max=1)
    ] = 0.4,
    population: Annotated[
        Path | None, typer.Option("--population", help="Raster of people per pixel.", metavar="RASTER")
    ] = None,
    months: Annotated[
        str | None,
        typer.Option("--months", help="Months that count, 5,6,7; without it the summer of the place."),
    ] = None,
    composite: Composite = CompositeChoice.median,
    dates: Dates = None,
    clouds: Clouds = None,
    cells: CellsFile = None,
    id_field: IdField = "id",
    grid: Grid = 1000.0,
    grid_crs: GridCrs = None,
    zoom: Zoom = None,
    districts: Districts = None,
    district_id: DistrictId = "id",
    benchmark: Benchmark = None,
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
    """Green of every cell in summer, from red and near infrared (NDVI).

    Writes the table, its method sheet (.method.md), a map where the cells are a grid, and a picture. Cells
    of which too little was seen are empty, never zero.
    """
    from contextlib import ExitStack

    from jido.geo import INDICES
    from jido.indicators.green import GreenConfig, green_of
    from jido.indicators.green import green as measured
    from jido.io import Scene, require_place
    from jido.io.files import replacing_run

    require_place(output)
    config = GreenConfig(
        value=value.value, threshold=threshold, composite=composite.value, months=_months(months),
        min_coverage=min_coverage,
    )  # fmt: skip
    how: dict[str, Any] = {"dates": dates, "clouds": clouds, "stac": stac, "crs": crs, "resample": resample}
    with ExitStack() as stack:
        series = stack.enter_context(
            opened(images, INDICES["ndvi"].bands, resolution=resolution, bounds=bounds, **how)
        )
        refuse_inputs(output, [*series.state(), cells, districts, population, benchmark])
        place = chosen_cells(
            cells, id_field, grid=grid, grid_crs=grid_crs, zoom=zoom, extent=series.geobox.extent
        )
        larger = polygons(districts, district_id) if districts else None
        figures = published(benchmark) if benchmark else {}
        people = stack.enter_context(Scene([population])) if population else None
        with progress_bar(quiet=quiet or json) as progress:
            table, found = measured(series, place, config, population=people, seed=seed, progress=progress)
    for text in [table.sheet.nodata_rule, *place.notes]:
        note(text, quiet=quiet)
    coarse = green_of(table, found, larger, config.value) if larger else None
    if benchmark:
        judged = (coarse or table).benchmark(figures, source=benchmark.name)
        table, coarse = (table, judged) if coarse else (judged, None)
    with replacing_run(output) as fresh:
        files = written(table, fresh)
        if coarse:
            files += written(coarse, fresh.with_name(f"{output.stem}.districts{output.suffix}"))
    files = beside(output, files)
    whole = green_of(table, found, everything(place, series.geobox.extent), config.value)
    told = {"dates": list(table.sheet.dates), "unit": table.sheet.unit}
    facts = facts_of(table, files, {value.value: summary_of(whole), **told})
    if json:
        print_json(facts)
        return
    _print(facts, files)


def _months(text: str | None) -> tuple[int, ...]:
    from jido.errors import ImageError

    if text is None:
        return ()
    months = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if not all(1 <= month <= 12 for month in months):
        raise ImageError(f"--months {text!r} are none: give numbers from 1 to 12, 6,7,8.")
    return tuple(months)


def _print(facts: dict[str, Any], files: list[Path]) -> None:
    for name, figure in facts["summary"].items():
        if isinstance(figure, dict):
            print(f"{name}: {in_words(figure)} {facts['summary']['unit']}")
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little seen)")
    print_facts({"Files": ", ".join(path.name for path in files), "in": str(files[0].resolve().parent)})
