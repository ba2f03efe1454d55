"""``jido assess``: how good is a map, and may the reference say so?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import naming, print_json, print_table, refuse_to_overwrite, show_problems
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet


def assess(
    map_: Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference",
            help="Labels or label raster to compare with. For a map of two classes also polygons of the "
            "target alone, outside of which all is background, or a mask on the cells of the map.",
        ),
    ],
    within: Annotated[
        Path | None, typer.Option("--within", help="With such polygons or a mask: judge only inside these.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Value or colour (#FF0000) of the target in a mask; repeat it."),
    ] = None,
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
    from jido.io import json_text, replacing, require_place
    from jido.maps import read_reference

    if reference.exists() and map_.exists() and reference.samefile(map_):
        raise LabelsError(f"{reference} is the map itself: give labels of another origin as --reference.")
    if output:
        refuse_to_overwrite(output, (map_, reference, within, training))
        require_place(output)
    found = read_reference(
        map_,
        reference,
        within=within,
        training=training,
        layer=layer,
        class_field=class_field,
        group_field=group_field,
        crs=crs,
        target=target or (),
    )
    show_problems(found.notes, quiet=quiet)
    with naming(reference, LabelsError):
        result = found.judge(map_, band=band)
    if output:
        with replacing(output) as fresh:
            fresh.write_text(json_text(result, indent=1) + "\n", encoding="utf-8")
    if json:
        print_json(result)
    else:
        print_assessment(result, reference.name)


def print_assessment(result: dict[str, Any], reference: str) -> None:
    """The fold figures first, then what the reference has to say and whether it may."""
    from jido.maps.report import area_text
    from jido.stats.words import NAMES, text

    if result["held_out"]:
        folds = result["held_out_folds"]
        name = "iou" if "iou" in result["held_out"] else "oa"
        many = f", {folds['k']} folds" if folds["k"] > 1 else ""
        print(f"Held-out {'folds' if many else 'figure'} of the model ({folds['kind']}{many}):")
        quote = "" if result["independent"] or folds["leaks"] else "  <- the figure to quote"
        print(f"  {NAMES[name]}: {text(result['held_out'][name])}{quote}\n")
    inside = f"{result['overlap'] * 100:.1f} % of them inside the training labels of this map"
    if result["independent"] is None:
        inside = "training labels of this map unknown (give --training)"
    many = "s" * (result["groups"] != 1)
    groups = f"group{many}"
    if "block" in result:
        groups = f"square{many} of {result['block']} x {result['block']} cells"
    print(f"Reference {reference}: {result['cells']:,} cells in {result['groups']} {groups}, {inside}.")
    if result["unmapped"]:
        print(
            f"{result['unmapped']:,} more cells of the reference have no class on the map and are left out."
        )
    if result["independent"] is False:
        print(
            "NOT INDEPENDENT: the map has learned these labels. What follows is resubstitution, not accuracy."
        )
    elif result["independent"]:
        print("INDEPENDENT of the training labels.")
    if result["independent"] is not False or "block" in result:
        print(f"Design: {result['design']}.")
    head = ["agreement", "value [95 % interval]" if result["independent"] else "value"]
    if result["independent"] is False:
        head[0] = "resubstitution"
    rows = [[NAMES.get(k, k), text(v)] for k, v in result["metrics"].items()]
    print_table(head, rows)
    if "block" in result:
        (_, wrong), (missed, hit) = result["confusion"]
        mapped, there = (
            f"{cells:,} cells" if m2 is None else f"{cells:,} cells ({area_text(m2)})"
            for cells, m2 in zip((hit + wrong, hit + missed), result["area"].values(), strict=True)
        )
        print(f"Target, by counting: {mapped} on the map, {there} in the reference.")
    if "outside_training" in result:
        part = result["outside_training"]
        rest = f"{part['groups']} group{'s' * (part['groups'] != 1)} wholly outside the training labels"
        print(f"\nOnly the {rest} ({part['cells']:,} cells):")
        rows = [[NAMES.get(k, k), text(v)] for k, v in part["metrics"].items()]
        print_table(["agreement", "value [95 % interval]"], rows)
