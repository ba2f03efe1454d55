"""``jido labels``: look at labels before an hour of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import naming, print_json, print_table, progress_bar
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet

app = typer.Typer(help="Check training labels.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Check training labels."""


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
