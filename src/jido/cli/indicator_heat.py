"""``jido indicator heat``: surface temperature by Local Climate Zone, and where to shade first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table, progress_bar
from jido.cli.indicator_parts import (
    CellsFile,
    Clouds,
    Dates,
    Grid,
    GridCrs,
    IdField,
    Images,
    MinCoverage,
    Output,
    beside,
    chosen_cells,
    facts_of,
    in_words,
    opened,
    refuse_inputs,
    stem_and_formats,
    written,
)
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet, Resample, Seed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from jido.geo import Window
    from jido.indicators.cells import Cells
    from jido.indicators.heat_cells import HeatTables
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress, Scene
    from jido.io.series import Series

FIGURES = ("kelvin", "difference")


def heat(
    images: Images,
    output: Output,
    lcz: Annotated[
        Path,
        typer.Option("--lcz", help="Map of Local Climate Zones, or polygons of them.", metavar="MAP|LABELS"),
    ],
    reference: Annotated[
        str, typer.Option("--reference", help="Class to compare with; D, or A where a date shows no D.")
    ] = "",
    band: Annotated[
        str, typer.Option("--band", help="Band of the temperature; Landsat-8 B10 or the one in K without it.")
    ] = "",
    population: Annotated[
        Path | None, typer.Option("--population", help="Raster of people per pixel.", metavar="RASTER")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="NDVI above which ground is green.", min=-1, max=1)
    ] = 0.4,
    dates: Dates = None,
    clouds: Clouds = None,
    cells: CellsFile = None,
    id_field: IdField = "id",
    grid: Grid = 1000.0,
    grid_crs: GridCrs = None,
    min_coverage: MinCoverage = 0.5,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    crs: Crs = None,
    resample: Resample = None,
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Surface temperature of every Local Climate Zone and cell, and where to shade first.

    Writes the temperature of cells above the reference class, with a rank where the images show green
    (hot, little green, many people); a table of classes by date; and what a map of zones says of how cells
    are built.
    """
    from jido.io import require_place
    from jido.io.files import replacing_run

    require_place(output)
    how: dict[str, Any] = {"dates": dates, "clouds": clouds, "crs": crs, "resample": resample}
    with ExitStack() as stack:
        series = stack.enter_context(
            opened(images, ("lwir11",), stac=False, resolution=None, bounds=None, **how)
        )
        refuse_inputs(output, [*series.state(), cells, lcz, population])
        place = chosen_cells(
            cells, id_field, grid=grid, grid_crs=grid_crs, zoom=None, extent=series.geobox.extent
        )
        zones = _zones(lcz, series, stack, layer=layer, class_field=class_field, group_field=group_field)
        progress = stack.enter_context(progress_bar(quiet=quiet or json))
        found = _heat(series, zones, place, reference, band, min_coverage, progress)
        table = _shaded(found, series, place, population, threshold, seed, progress, stack)
    for text in series.notes:
        note(text, quiet=quiet)
    with replacing_run(output) as fresh:
        files = [*written(table, fresh), *_written_classes(found, table, fresh)]
    files = beside(output, files)
    facts = facts_of(table, files, _summary(found))
    if json:
        print_json(facts)
        return
    summary = facts["summary"]
    rows = [(name, in_words(figure)) for name, figure in summary["classes"].items()]
    print_table(("LCZ", f"warmer than {summary['reference']}, K, {summary['date']}"), rows)
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little seen)")
    print(f"Files: {', '.join(path.name for path in files)} in {files[0].resolve().parent}")


def _zones(lcz: Path, series: Series, stack: ExitStack, **fields: Any) -> Any:
    """A map on the grid of the images, or labels."""
    from jido.io import Scene, read_labels
    from jido.io.series import SUFFIXES

    if lcz.suffix.lower() in SUFFIXES:
        return stack.enter_context(Scene([lcz], like=series.geobox, resample="nearest"))
    return read_labels(lcz, **fields)


def _heat(
    series: Series,
    zones: Any,
    place: Cells,
    reference: str,
    band: str,
    min_coverage: float,
    progress: Progress | None,
) -> HeatTables:
    import numpy as np

    from jido.indicators.heat import thermal
    from jido.indicators.heat_cells import heat_tables
    from jido.io.clouds import cloudy

    def clear(masks: Scene) -> Callable[[Window], np.ndarray]:
        return lambda window: np.logical_not(cloudy(masks, window))

    planes = {
        day: thermal(scene, band=band, clear=None if clouds is None else clear(clouds))
        for day, scene, clouds in series.images
    }
    return heat_tables(
        planes, zones, cells=place, reference=reference, min_coverage=min_coverage, progress=progress
    )


def _shaded(
    found: HeatTables,
    series: Series,
    place: Cells,
    population: Path | None,
    threshold: float,
    seed: int,
    progress: Progress | None,
    stack: ExitStack,
) -> IndicatorTable:
    """The temperature of cells, with the rank for shade where the images show green."""
    from jido.indicators.green import GreenConfig, green, people_of
    from jido.indicators.heat_cells import shade_table
    from jido.io import Scene

    excess = found.excess
    if not (series.has("red") and series.has("nir")):
        series.notes.append("The images have no red and near infrared, so no cell is ranked for shade.")
        return excess
    every = GreenConfig(threshold=threshold, months=tuple(range(1, 13)))
    ground, _ = green(series, place, every, seed=seed, progress=progress)
    people = people_of(stack.enter_context(Scene([population])), place) if population else None
    return shade_table(excess, ground.value, green_se=ground.se, people=people, seed=seed)


def _written_classes(found: HeatTables, table: IndicatorTable, output: Path) -> list[Path]:
    """Classes by date, how cells are built, and pictures of both."""
    from dataclasses import replace

    from jido.indicators.heat_figures import draw_classes, draw_shade
    from jido.io.cell_table import write_rows

    stem, formats = stem_and_formats(output)
    flat = [
        {**row, **{f"{name}_{end}": number for name in FIGURES for end, number in row[name].items()}}
        for row in found.rows
    ]
    rows = [{key: part for key, part in row.items() if key not in FIGURES} for row in flat]
    files = [write_rows(rows, stem.with_name(f"{stem.name}.classes.csv"))]
    for name in FIGURES:
        files.append(draw_classes({"": found.rows}, stem.with_name(f"{stem.name}.{name}.png"), of=name))
    if "rank" in table.columns:
        files.append(draw_shade(table, stem.with_name(f"{stem.name}.shade.png")))
    if found.canopy:
        first, *others = found.canopy.items()
        more = {name: one.value for name, one in others}
        built = replace(first[1], columns={**first[1].columns, **more})
        files += built.write(stem.with_name(f"{stem.name}.canopy"), formats=formats)
    return files


def _summary(found: HeatTables) -> dict[str, Any]:
    """The difference of each class over all dates, or on the only one."""
    last = found.rows[-1]["date"]
    rows = [row for row in found.rows if row["date"] == last]
    differences = {row["class"]: row["difference"] for row in rows if row["class"] != row["reference"]}
    return {"date": last, "reference": rows[0]["reference"], "unit": "K", "classes": differences}
