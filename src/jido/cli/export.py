"""``jido kmz`` and ``jido canopy``: a map for Google Earth, and for urban climate models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar, refuse_to_overwrite
from jido.cli.options import JsonFlag, Quiet

Map = Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")]
Band = Annotated[
    int | None, typer.Option("--band", min=1, help="Band of the classes; of an LCZ map 2 is lczFilter.")
]


def kmz(
    map_: Map,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file for Google Earth, .kmz.")],
    band: Band = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Write a class map for Google Earth: colours, legend, and how accurate it is.

    A large map becomes an overview and parts that are loaded when one comes near.
    """
    from jido.errors import ImageError
    from jido.io.kmz import write_kmz
    from jido.maps import find_report
    from jido.maps.report import statement

    refuse_to_overwrite(output, (map_,))
    facts = find_report(map_)
    said = statement(facts["evaluation"]) if facts else ""
    with naming(map_, ImageError), progress_bar(quiet=quiet or json) as progress:
        result = write_kmz(map_, output, band=band, note=said, progress=progress)
    if json:
        facts = {"pictures": result.pictures, "classes": result.classes, "coarser": result.coarser}
        print_json({"kmz": result.path} | facts)
        return
    print(
        f"Google Earth: {result.path}\n{_number(result.pictures, 'picture')}, "
        f"{_number(len(result.classes), 'class', 'classes')}"
    )
    if result.coarser > 1:
        note(
            f"The map is large: a pixel stands for {result.coarser:.2g} x {result.coarser:.2g} cells.",
            quiet=quiet,
        )


def _number(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def canopy(
    map_: Map,
    output: Annotated[Path, typer.Option("--output", "-o", help="The parameters, a GeoTIFF.")],
    band: Band = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Write the canopy parameters of a map of Local Climate Zones for urban climate models.

    A band each for building fraction, height, height-to-width ratio and urban fraction, by class.
    """
    from jido.errors import ImageError
    from jido.maps.canopy import write_canopy

    refuse_to_overwrite(output, (map_,))
    with naming(map_, ImageError), progress_bar(quiet=quiet or json) as progress:
        result = write_canopy(map_, output, band=band, progress=progress)
    if json:
        print_json({"canopy": result.path, "bands": result.bands, "cells": result.cells})
        return
    print_table(["band", "unit"], list(result.bands.items()))
    print(f"Canopy: {result.path}\n{result.cells:,} cells, values of a table by class: not measured")
