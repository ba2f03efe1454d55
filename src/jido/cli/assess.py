"""``jido assess``: how good is a map, and may the reference say so?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import naming, print_json, print_table, refuse_to_overwrite, show_problems
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet


def assess(
    map_: Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")],
    reference: Annotated[Path, typer.Option("--reference", help="Labels or label raster to compare with.")],
    training: Annotated[
        Path | None, typer.Option("--training", help="Training labels of a map not made by Jido.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON here.")] = None,
    band: Annotated[int, typer.Option("--band", min=1, help="Band of the map.")] = 1,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    crs: Crs = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Compare a map with a reference; training labels are found and never called accuracy."""
    from jido.errors import LabelsError
    from jido.io import json_text, read_labels, replacing, require_place
    from jido.labels import ClassScheme
    from jido.maps import assess as assess_map
    from jido.maps import find_report

    if reference.exists() and map_.exists() and reference.samefile(map_):
        raise LabelsError(f"{reference} is the map itself: give labels of another origin as --reference.")
    if output:
        refuse_to_overwrite(output, (map_, reference, training))
        require_place(output)
    facts = find_report(map_)
    scheme = ClassScheme.from_dict(facts["scheme"]) if facts and "scheme" in facts else None
    found = read_labels(
        reference, scheme=scheme, layer=layer, class_field=class_field, group_field=group_field, crs=crs
    )
    show_problems(found.notes, quiet=quiet)
    learned = read_labels(training, scheme=scheme, crs=crs) if training else None
    with naming(reference, LabelsError):
        result = assess_map(map_, found, training=learned, band=band)
    if output:
        with replacing(output) as fresh:
            fresh.write_text(json_text(result, indent=1) + "\n", encoding="utf-8")
    if json:
        print_json(result)
    else:
        print_assessment(result, reference.name)


def print_assessment(result: dict[str, Any], name: str) -> None:
    """The fold figures first, then what the reference has to say and whether it may."""
    from jido.maps.report import NAMES, text

    if result["held_out"]:
        folds = result["held_out_folds"]
        print(f"Held-out folds of the model ({folds['kind']}, {folds['k']} folds):")
        quote = "" if result["independent"] else "  <- the figure to quote"
        print(f"  overall accuracy {text(result['held_out']['oa'])}{quote}\n")
    inside = f"{result['overlap'] * 100:.1f} % of them inside the training labels of this map"
    if result["independent"] is None:
        inside = "training labels of this map unknown (give --training)"
    print(f"Reference {name}: {result['cells']:,} cells in {result['groups']} groups, {inside}.")
    if result["unmapped"]:
        print(
            f"{result['unmapped']:,} more cells of the reference have no class on the map and are left out."
        )
    if result["independent"] is False:
        print(
            "NOT INDEPENDENT: the map has learned these labels. What follows is resubstitution, not accuracy."
        )
    else:
        if result["independent"]:
            print("INDEPENDENT of the training labels.")
        print(f"Design: {result['design']}.")
    head = ["agreement", "value [95 % interval]" if result["independent"] else "value"]
    if result["independent"] is False:
        head[0] = "resubstitution"
    rows = [[NAMES.get(k, k), text(v)] for k, v in result["metrics"].items()]
    print_table(head, rows)
    if "outside_training" in result:
        part = result["outside_training"]
        rest = f"{part['groups']} groups wholly outside the training labels"
        print(f"\nOnly the {rest} ({part['cells']:,} cells):")
        rows = [[NAMES.get(k, k), text(v)] for k, v in part["metrics"].items()]
        print_table(["agreement", "value [95 % interval]"], rows)
