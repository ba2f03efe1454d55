"""What the indicator commands share: options, cells, images by date, and what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from odc.geo import Geometry

    from jido.indicators.cells import Cells
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress
    from jido.io.series import Series

Images = Annotated[
    list[Path],
    typer.Argument(
        help="Image files or folders of them, any dates; STAC items with --stac.", metavar="IMAGE..."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="The table: .gpkg, .parquet or .csv for one format, any other name for all of them.",
    ),
]
Dates = Annotated[
    str | None,
    typer.Option(
        "--dates", help="Days of the files in their order, 2021-07-05,2021-08-01; else from names and tags."
    ),
]
Clouds = Annotated[
    list[Path] | None,
    typer.Option(
        "--clouds",
        help="Cloud masks, one a date with the day in its name, not 0 = cloud; repeat it. SCL and QA_PIXEL "
        "bands are found without it.",
    ),
]
CellsFile = Annotated[
    Path | None, typer.Option("--cells", help="Your own cells or districts, polygons.", metavar="FILE")
]
IdField = Annotated[str, typer.Option("--id-field", help="Column of their ids.", metavar="NAME")]
Grid = Annotated[
    float, typer.Option("--grid", help="Without --cells: side of equal-area cells in metres.", min=1)
]
GridCrs = Annotated[
    str | None,
    typer.Option(
        "--grid-crs", help="CRS of that grid: EPSG:3035 in Europe, EPSG:6933 elsewhere.", metavar="CRS"
    ),
]
Zoom = Annotated[
    int | None, typer.Option("--zoom", help="Slippy tiles of this zoom instead of a grid.", min=0, max=24)
]
Districts = Annotated[
    Path | None,
    typer.Option(
        "--districts", help="Also a table of these polygons, put together from the cells.", metavar="FILE"
    ),
]
DistrictId = Annotated[
    str, typer.Option("--district-id", help="Column of the ids of the districts.", metavar="NAME")
]
Benchmark = Annotated[
    Path | None,
    typer.Option(
        "--benchmark",
        help="CSV with columns id and value: published figures of districts, or else of cells.",
        metavar="FILE",
    ),
]
MinCoverage = Annotated[
    float,
    typer.Option(
        "--min-coverage", help="Share of a cell that must be seen, else it is empty.", min=0.01, max=1
    ),
]
Stac = Annotated[
    bool, typer.Option("--stac", help="The images are STAC items; those of one day are put together.")
]
Resolution = Annotated[
    float | None, typer.Option("--resolution", help="With --stac: side of a pixel in units of --crs.")
]
Bounds = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option("--bounds", help="With --stac: west south east north in degrees."),
]


WRITTEN = (".gpkg", ".parquet", ".csv", ".tif", ".qml", ".png", ".method.json", ".method.md")
"""Ends of the files of every indicator."""


class CompositeChoice(StrEnum):
    """How dates are put together."""

    median = "median"
    max = "max"


Composite = Annotated[CompositeChoice, typer.Option("--composite", help="How dates are put together.")]


def opened(
    images: Sequence[Path],
    roles: Sequence[str],
    *,
    dates: str | None,
    clouds: Sequence[Path] | None,
    stac: bool,
    crs: str | None,
    resample: str | None,
    resolution: float | None,
    bounds: tuple[float, float, float, float] | None,
) -> Series:
    """The images by date.

    Raises:
        ImageError: when they cannot be put together.
    """
    from jido.errors import ImageError
    from jido.io.series import open_series, open_stac_series

    if stac:
        if dates or clouds:
            raise ImageError("STAC items tell their dates and clouds: leave out --dates and --clouds.")
        grid: dict[str, Any] = {"crs": crs, "resolution": resolution, "bounds": bounds, "resample": resample}
        return open_stac_series(images, roles, **grid)
    if resolution is not None or bounds is not None:
        raise ImageError("--resolution and --bounds go with --stac; other images have a grid of their own.")
    days = dates.split(",") if dates else ()
    return open_series(images, dates=days, clouds=clouds or (), crs=crs, resample=resample)


def chosen_cells(
    file: Path | None, id_field: str, *, grid: float, grid_crs: str | None, zoom: int | None, extent: Geometry
) -> Cells:
    """The user's polygons, slippy tiles, or an equal-area grid over the images."""
    from jido.errors import ImageError
    from jido.indicators.cells import grid_cells, tile_cells

    if file is not None:
        if zoom is not None or grid_crs is not None:
            raise ImageError("--cells brings cells of its own: leave out --zoom and --grid-crs.")
        return polygons(file, id_field)
    return grid_cells(extent, size_m=grid, crs=grid_crs) if zoom is None else tile_cells(extent, zoom=zoom)


def polygons(file: Path, id_field: str) -> Cells:
    """Cells of a file of polygons."""
    from jido.indicators.cells import Cells
    from jido.io.areas import read_areas

    areas = read_areas(file, id_field=id_field)
    return Cells(areas.geometry, areas.ids, areas.crs, f"polygons of {file.name}", areas.notes)


def published(file: Path) -> dict[str, float]:
    """Published figures: id -> value.

    Raises:
        LabelsError: when the file is no such table.
    """
    import csv

    from jido.errors import LabelsError

    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return {row["id"]: float(row["value"]) for row in csv.DictReader(lines)}
    except (OSError, KeyError, ValueError, TypeError, UnicodeDecodeError) as err:
        raise LabelsError(f"{file} is no table with the columns id and value ({err}): correct it.") from err


def stem_and_formats(output: Path) -> tuple[Path, tuple[str, ...]]:
    """Path without suffix, and which formats it asks for."""
    from jido.io.cell_table import FORMATS

    suffix = output.suffix.lower().removeprefix(".")
    return (output.with_suffix(""), (suffix,)) if suffix in FORMATS else (output, FORMATS)


def refuse_inputs(output: Path, inputs: Sequence[Path | None]) -> None:
    """None of the files that an indicator writes may be one that it reads.

    Raises:
        OutputError: when one is.
    """
    from jido.cli.console import refuse_to_overwrite
    from jido.errors import OutputError
    from jido.io.cell_table import FORMATS

    stem, _ = stem_and_formats(output)
    for suffix in WRITTEN:
        refuse_to_overwrite(stem.with_name(stem.name + suffix), inputs)
    refuse_to_overwrite(output, inputs)
    if any(output.name.lower().endswith(suffix) for suffix in WRITTEN if suffix[1:] not in FORMATS):
        raise OutputError(f"{output} is no name of a table: give .{', .'.join(FORMATS)}, or none for all.")


def written(table: IndicatorTable, output: Path, *, progress: Progress | None = None) -> list[Path]:
    """Table, method sheet, map and picture of an indicator, all or none; the files, the table first."""
    from jido.indicators.cell_map import draw_table, write_map
    from jido.io.files import replacing_run

    with replacing_run(output) as fresh:
        stem, formats = stem_and_formats(fresh)
        files = [*table.write(stem, formats=formats), *write_map(table, stem)]
        files.append(draw_table(table, stem.with_name(f"{stem.name}.png")))
    return beside(output, files)


def beside(output: Path, files: Sequence[Path]) -> list[Path]:
    """Where files are that were written with :func:`~jido.io.files.replacing_run`."""
    return [output.with_name(path.name) for path in files]


def summary_of(table: IndicatorTable) -> dict[str, float | None]:
    """Value and interval of a table of one row, as in all of Jido's JSON."""
    import numpy as np

    row = {"value": table.value[0], "lower": table.lower[0], "upper": table.upper[0]}
    return {name: float(number) if np.isfinite(number) else None for name, number in row.items()}


def facts_of(table: IndicatorTable, files: Sequence[Path], summary: dict[str, Any]) -> dict[str, Any]:
    """The one object of ``--json``."""
    return {
        "table": str(files[0]),
        "cells": len(table.cells),
        "empty_cells": int(table.empty.sum()),
        "summary": summary,
    }


def in_words(figure: Mapping[str, float | None]) -> str:
    """A value with its interval."""
    value, lower, upper = (figure[name] for name in ("value", "lower", "upper"))
    if value is None:
        return "empty"
    return f"{value:.4g}" if lower is None or upper is None else f"{value:.4g} ({lower:.4g} to {upper:.4g})"


def everything(cells: Cells, extent: Geometry) -> Cells:
    """All cells as a single one, as far as the images reach."""
    import numpy as np
    import shapely

    from jido.indicators.cells import Cells

    whole = shapely.union_all(cells.geometry).intersection(extent.to_crs(cells.crs).geom)
    return Cells(np.array([whole], dtype=object), np.array(["all"], dtype=object), cells.crs, "all cells")
