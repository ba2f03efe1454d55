"""``jido score tiles``: images in, a folder of tiles out, one for each cell of ground."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jido.cli.console import note, print_facts, print_json, progress_bar
from jido.cli.options import Crs, JsonFlag, Quiet, ResampleChoice

if TYPE_CHECKING:
    from odc.geo import Geometry

    from jido.indicators.cells import Cells


def tiles(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Image files: of the same ground they are stacked, side by side they are a mosaic.",
            metavar="IMAGE...",
        ),
    ],
    grid: Annotated[
        str,
        typer.Option(
            "--grid",
            help="The cells: squares of equal area (1km, 500m), slippy tiles of a zoom (z14), or a file of "
            "polygons.",
            metavar="1km|500m|z14|FILE",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the tiles.", metavar="TILES")],
    id_field: Annotated[
        str, typer.Option("--id-field", help="Column with the ids of the polygons.", metavar="NAME")
    ] = "id",
    side: Annotated[
        int | None,
        typer.Option(
            "--side",
            help="Of a tile in pixels, a multiple of 8; such that a pixel is about one of the image without.",
            min=8,
            metavar="PX",
        ),
    ] = None,
    min_coverage: Annotated[
        float,
        typer.Option("--min-coverage", help="Share of a cell that must be seen for a tile.", min=0, max=1),
    ] = 0.5,
    crs: Crs = None,
    resample: Annotated[
        ResampleChoice | None,
        typer.Option(
            "--resample", help="Instead of bilinear, and of the mean of an area (average) for large pixels."
        ),
    ] = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Cut images into tiles of one size, one for each cell of a grid or polygon of a file.

    Writes TILES/images/ID.tif and TILES/tiles.gpkg with the outline of every cell, the share of it that was
    seen (coverage) and the pixels with data (n). Cells of which too little was seen have no tile.
    """
    from jido.indicators.tile_cutting import cut_tiles, look_at_images, plan_tiles

    start = time.perf_counter()
    require_tiles_place(output, [*images, *([Path(grid)] if Path(grid).exists() else [])])
    mosaic = look_at_images(images, crs)
    cells = chosen_cells(grid, id_field, mosaic.extent)
    plan = plan_tiles(cells, mosaic, side=side, resample=resample and resample.value)
    with progress_bar(quiet=quiet or json) as progress:
        written = cut_tiles(mosaic, cells, plan, output, min_coverage=min_coverage, progress=progress)
    for text in (*cells.notes, *plan.notes):
        note(text, quiet=quiet)
    facts = {
        "tiles": str(output),
        "cells": len(cells),
        "written": written,
        "images": len(mosaic.pieces),
        "side": plan.side,
        "pixel_m": list(plan.pixel_m),
        "dtype": mosaic.dtype,
        "seconds": round(time.perf_counter() - start, 1),
    }
    if json:
        print_json(facts)
        return
    size = " x ".join(f"{metres:.3g}" for metres in plan.pixel_m)
    print_facts(
        {
            "Images": f"{len(mosaic.pieces)} side by side; where they overlap the first counts",
            "Cells": f"{len(cells):,} ({cells.kind})",
            "Tiles": f"{written:,} of {plan.side} x {plan.side} pixels of {size} m, {mosaic.dtype}",
            "Too little seen": f"{len(cells) - written:,} (coverage below {min_coverage:g})",
            "Folder": output,
        }
    )


def require_tiles_place(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace a folder that holds anything but tiles, or what is read.

    Raises:
        OutputError: when it does.
    """
    from jido.data.score_tiles import IMAGES, TABLE
    from jido.errors import OutputError
    from jido.io import require_place

    require_place(output, folder=True)
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    other = [name for name in held if TABLE not in held or name not in (IMAGES, TABLE)]
    if other:
        raise OutputError(
            f"{output} holds {other[0]}, which no cutting of tiles has made and a new one would take away: "
            "choose another folder with -o."
        )
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{path} lies in {output}, which would be replaced: choose another folder.")


# -- the cells ---------------------------------------------------------------------------------


def chosen_cells(grid: str, id_field: str, extent: Geometry) -> Cells:
    """Squares, slippy tiles (ids ``row_column``) or polygons; none of them in degrees.

    Raises:
        ImageError: when ``grid`` is none of them, or gives no cells here.
        LabelsError: when the file holds no polygons with ids.
    """
    from dataclasses import replace

    import numpy as np
    from odc.geo import CRS
    from odc.geo.crs import norm_crs_or_error

    from jido.cli.indicator_parts import polygons
    from jido.errors import ImageError
    from jido.indicators.cells import grid_cells, projected, tile_cells

    if found := re.fullmatch(r"z(\d{1,2})", grid):
        cells = tile_cells(extent, zoom=int(found[1]))
        parts = [text.split("/") for text in cells.ids]
        return replace(cells, ids=np.array([f"{y}_{x}" for _, x, y in parts], dtype=object))
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(km|m)", grid):
        return grid_cells(extent, size_m=float(found[1]) * (1000 if found[2] == "km" else 1))
    if not Path(grid).is_file():
        raise ImageError(
            f"--grid {grid} is neither a size such as 1km or 500m, nor a zoom such as z14, nor a file of "
            "polygons."
        )
    cells = polygons(Path(grid), id_field)
    if not cells.crs.geographic:
        return cells
    crs = norm_crs_or_error(extent.crs)
    crs = CRS.utm(extent) if crs.geographic else crs
    return replace(cells, geometry=projected(cells.geometry, cells.crs, crs), crs=crs)
