"""``jido labels``: look at labels before an hour of training, and at what it says of them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar, refuse_to_overwrite
from jido.cli.labels_review import review
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet
from jido.cli.segment import ManyValues

SHOWN = 15
"""Rows of the table of suspicious labels."""

app = typer.Typer(help="Check training labels, and find those to look at again.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Check training labels, and find those to look at again."""


@app.command("check")
def check(
    labels: Annotated[Path, typer.Argument(help="KML, KMZ, GeoPackage, GeoJSON, Shapefile, CSV, raster.")],
    image: Annotated[Path | None, typer.Option("--image", help="Image that the labels are for.")] = None,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    crs: Crs = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Table the classes and say what was repaired and what would harm training (exit code 1)."""
    from jido.errors import LabelsError
    from jido.io import Scene, read_labels
    from jido.labels import check_labels

    found = read_labels(labels, layer=layer, class_field=class_field, group_field=group_field, crs=crs)
    if image is None:
        report = check_labels(found)
    else:
        with Scene([image], crs=crs) as scene:
            with progress_bar(quiet=quiet or json) as progress:
                valid = scene.read_valid(progress=progress)
            with naming(labels, LabelsError):
                report = check_labels(found, geobox=scene.geobox, valid=valid)
    if json:
        print_json(report.to_dict())
    else:
        names = dict(zip(found.scheme.labels, (c.name for c in found.scheme.classes), strict=True))
        columns = ["polygons"] if image is None else ["polygons", "pixels"]
        rows = [
            [f"{label} {names[label]}", *(row[c] for c in columns)] for label, row in report.table.items()
        ]
        total = [sum(row[c] or 0 for row in report.table.values()) for c in columns]
        print_table(["class", *columns], [*rows, ["all", *total]])
        for problem in report.problems:
            print(f"{problem.level}: {problem.message}")
        if not report.harmful:
            print("Nothing found that would harm training.")
    raise typer.Exit(1 if report.harmful else 0)


@app.command("suspicious")
def suspicious(
    source: Annotated[
        Path, typer.Argument(help="Folder of a model package, or a map.", metavar="MODEL|MAP.tif")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The labels, ranked, .gpkg or .parquet.")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Of a map of a target: its polygons, instead of the training's."),
    ] = None,
    within: Annotated[
        Path | None,
        typer.Option("--within", help="Of a map of a target: polygons in which every one was labelled."),
    ] = None,
    crs: Crs = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Rank labels by what speaks against them: look at the first ones again.

    Of a model and of its maps: labels of which models that had not seen them say another class. Of a map
    of a target and its background: labels of which little was found, and objects that no label touches.
    """
    from jido.errors import ImageError
    from jido.maps.suspicious import find_suspicious

    refuse_to_overwrite(output, (source, labels, within))
    with naming(source, ImageError), progress_bar(quiet=quiet or json) as progress:
        found = find_suspicious(source, labels=labels, within=within, crs=crs, progress=progress)
    found.write(output)
    number, objects = found.count("label"), found.count("object")
    if json:
        facts = {"suspicious": output, "labels": number, "objects": objects, "flagged": found.flagged}
        print_json(facts | {"rows": found.rows[:SHOWN]})
        return
    print_table(
        ["", "given", "said", "confidence", "suspicion", "cells", "lat, lon"],
        [
            [f"{row['kind']} {row['item']}", row["given"], row["said"], f"{row['confidence']:.2f}",
             f"{row['suspicion']:.2f}", row["cells"], f"{row['lat']:.5f}, {row['lon']:.5f}"]
            for row in found.rows[:SHOWN]
        ],
    )  # fmt: skip
    print(f"Ranked: {output}\n{found.flagged} of {number} labels look like another class")
    if objects:
        print(f"{objects} objects of the map touch no label")
        if within is None:
            note("Outside of what was labelled they are no missed labels: give --within.", quiet=quiet)


app.command("review", cls=ManyValues)(review)
