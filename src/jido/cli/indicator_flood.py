"""``jido indicator flood``: two dates in, a map and a table of cells out; or a model from labelled pairs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table, progress_bar
from jido.cli.indicator_parts import (
    CellsFile,
    DistrictId,
    Districts,
    Grid,
    GridCrs,
    IdField,
    MinCoverage,
    Output,
    Zoom,
)
from jido.cli.options import Crs, JsonFlag, Preset, PresetChoice, Quiet, Resample, Restart, Seed


class MethodChoice(StrEnum):
    """Ways to learn."""

    boosting = "boosting"
    net = "net"
    cells = "cells"
    by_index = "index"


class ValueChoice(StrEnum):
    """What stands in the column ``value``."""

    share = "share"
    hectares = "hectares"


UNKNOWN = (
    "Nobody says which event each pair is of (--groups): figures may be too good, and maps get no intervals."
)
PROMISED = (
    "In a new event at most {aimed_error:.0%} of the sure pixels are wrong, with a chance of {trust:.0%}; "
    "{rest:.0%} of the pixels are sure."
)
NOTHING_PROMISED = (
    "Nothing can be promised of the pixels of a new event (it takes 9 events or more): maps never say unsure."
)

VECTORS = {".gpkg", ".geojson", ".json", ".shp", ".kml", ".kmz", ".parquet", ".csv"}
"""Ends of files of polygons; anything else holds masks."""


def flood(
    before: Annotated[Path, typer.Argument(help="Image before; with --labels a folder or archive of them.")],
    after: Annotated[Path, typer.Argument(help="Image after, on the same grid; with --labels a folder.")],
    output: Output,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model package: makes a map and a table.", metavar="FOLDER")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="Masks named like the images, or polygons: trains a model package instead."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Value or colour of the target in masks; repeat it.", metavar="VALUE"),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the target is called on maps.")] = "flooded",
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="Column that tells the event of each image.", metavar="FILE:COLUMN"),
    ] = None,
    method: Annotated[
        MethodChoice | None, typer.Option("--method", help="Way to learn; boosting without it.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Of events, for the figures; 0: none are given.", min=0)
    ] = None,
    tile: Annotated[int, typer.Option("--tile", help="Side of training tiles in pixels.", min=32)] = 256,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings of the training.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out pairs that cannot be read, and say so.")
    ] = False,
    value: Annotated[
        ValueChoice, typer.Option("--value", help="Share of each cell, or hectares.")
    ] = ValueChoice.share,
    buildings: Annotated[
        Path | None,
        typer.Option(
            "--buildings", help="Share of each pixel that is built: damage is of buildings.", metavar="RASTER"
        ),
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option(
            "--population", help="People per pixel: a ranked list for relief too.", metavar="RASTER"
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Length of that list.", min=1)] = 10,
    pixels: Annotated[
        int | None,
        typer.Option("--pixels", help="Side of cells of images without a place, in pixels.", min=1),
    ] = None,
    clouds: Annotated[
        Path | None,
        typer.Option(
            "--clouds", help="SCL, QA_PIXEL or a mask (not 0 = hidden) on the same grid.", metavar="RASTER"
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="Mask of what is true, for a panel of the picture.", metavar="RASTER"),
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option("--dates", help="Days of both images, BEFORE,AFTER; else from names and tags."),
    ] = None,
    cells: CellsFile = None,
    id_field: IdField = "id",
    grid: Grid = 1000.0,
    grid_crs: GridCrs = None,
    zoom: Zoom = None,
    districts: Districts = None,
    district_id: DistrictId = "id",
    min_coverage: MinCoverage = 0.5,
    convert: Annotated[
        bool, typer.Option("--convert", help="Convert numbers to those of the training, where possible.")
    ] = False,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    crs: Crs = None,
    resample: Resample = None,
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Flooded ground or damage from an image before and one after.

    With --model: a map (.map.tif), the share of each cell with an interval that knows how models err in new
    events, and with --population where to go first. With --labels: a model is trained on pairs, judged on
    events that were held out.
    """
    from jido.cli.indicator_flood_map import map_pair
    from jido.errors import ModelError

    if (model is None) == (labels is None):
        raise ModelError("Give --model to make a map and a table, or --labels to train a model: one of them.")
    learned = {"method": method.value if method else None, "folds": folds}
    laid = {"buildings": buildings, "population": population, "districts": districts, "truth": truth}
    if model is None:
        _leave_out(laid | {"clouds": clouds, "dates": dates, "cells": cells, "zoom": zoom}, goes="model")
        _train(
            before, after, output, labels, target=tuple(target or ()), name=name, groups=groups,
            config=config, preset=preset.value, seed=seed, tile=tile, crs=crs, skip_bad=skip_bad,
            restart=restart, json=json, quiet=quiet,
            given={key: value for key, value in (learned | {"cell": pixels}).items() if value is not None},
        )  # fmt: skip
        return
    unused = {"groups": groups, "config": config} | ({} if truth else {"target": target})
    _leave_out(learned | unused, goes="labels")
    place = {
        "cells": cells, "id_field": id_field, "grid": grid, "grid_crs": grid_crs, "zoom": zoom,
        "resample": resample.value if resample else None,
    }  # fmt: skip
    further = laid | {
        "top": top, "district_id": district_id, "value": value.value, "min_coverage": min_coverage,
        "pixels": pixels, "target": tuple(target or ()),
    }  # fmt: skip
    days = [day.strip() for day in dates.split(",")] if dates else []
    map_pair(
        before, after, output, model, clouds=clouds, days=days, crs=crs, convert=convert, restart=restart,
        place=place, further=further, seed=seed, json=json, quiet=quiet,
    )  # fmt: skip


def _leave_out(options: dict[str, Any], *, goes: str) -> None:
    """Refuse options that the other use of the command would take.

    Raises:
        ModelError: naming the first.
    """
    from jido.errors import ModelError

    for name, given in options.items():
        if given is not None:
            raise ModelError(f"--{name} goes with --{goes}: leave it out.")


def _train(
    before: Path,
    after: Path,
    output: Path,
    labels: Path | None,
    *,
    target: tuple[str, ...],
    name: str,
    groups: str | None,
    config: Path | None,
    preset: str,
    given: dict[str, Any],
    tile: int,
    crs: str | None,
    skip_bad: bool,
    restart: bool,
    seed: int,
    json: bool,
    quiet: bool,
) -> None:
    from jido.data.cutting import cut_tiles
    from jido.io import require_package_place, working_folder
    from jido.io.vectors import read_labels
    from jido.labels import binary_scheme
    from jido.methods.change import require_cells, train_change
    from jido.methods.change_config import load_change_config

    require_package_place(output)
    settings = load_change_config(config, preset=preset, seed=seed, **given)
    require_cells(settings, tile)
    scheme = binary_scheme(name)
    polygons = labels is not None and labels.suffix.lower() in VECTORS
    shapes = read_labels(labels, scheme=scheme, crs=crs, one_class=True) if labels and polygons else None
    with working_folder(output, restart=restart) as work, progress_bar(quiet=quiet or json) as progress:
        _require_order(before, after, work)
        tiles = cut_tiles(
            [before], after=[after], work=work, masks=None if shapes else [labels] if labels else None,
            labels=shapes, side=tile, target=target, groups=groups, crs=crs, skip_bad=skip_bad,
            progress=progress,
        )  # fmt: skip
        for line in tiles.notes:
            note(line, quiet=quiet)
        if groups is None and settings.folds:
            note(UNKNOWN, quiet=quiet)
        made = train_change(tiles, settings, scheme=scheme, known=groups is not None, progress=progress)
        made.save(output)
    _told(made.evaluation, output, settings.method, json=json)


def _require_order(before: Path, after: Path, work: Path) -> None:
    """Refuse pairs whose names say that they are the other way round."""
    from jido.data.pairing import pair_dates
    from jido.indicators.flood_scene import require_order
    from jido.io.archives import list_images

    for one, two in pair_dates(list_images([before], work=work), list_images([after], work=work))[0]:
        require_order(one.path, two.path)


def _told(evaluation: dict[str, Any], output: Path, method: str, *, json: bool) -> None:
    """What events held out have said."""
    from jido.maps.report import statement
    from jido.stats.words import NAMES, text

    if json:
        told = ("metrics", "folds", "groups", "threshold", "unsure", "seconds")
        facts = {key: evaluation[key] for key in told if key in evaluation}
        print_json({"model": str(output), "metrics": {}, **facts})
        return
    print(statement(evaluation))
    if evaluation:
        rows = [[NAMES.get(key, key), text(figure)] for key, figure in evaluation["metrics"].items()]
        print_table(["held out [95 % interval]", method], rows)
        unsure = evaluation.get("unsure")
        print(PROMISED.format(**unsure, rest=1 - unsure["share"]) if unsure else NOTHING_PROMISED)
    print(f"Model package: {output}")
