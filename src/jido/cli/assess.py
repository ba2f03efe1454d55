"""``jido assess``: how good is a map, and may the reference say so?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_json, print_table, refuse_to_overwrite, show_problems
from jido.cli.options import ClassField, Crs, GroupField, JsonFlag, Layer, Quiet

if TYPE_CHECKING:
    from jido.maps import Reference


def assess(
    map_: Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference",
            help="A sample of jido sample with its labels filled in; or labels or a label raster to compare "
            "with. For a map of two classes also polygons of the target alone, outside of which all is "
            "background, or a mask on the cells of the map.",
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
    form: Annotated[
        Path | None, typer.Option("--form", help="CSV form of the sample, where it was given another name.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="A class raster that labels the sample in the place of people."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Also write this: .html a report to sign, with its .json; else JSON."
        ),
    ] = None,
    band: Annotated[int, typer.Option("--band", min=1, help="Band of the map.")] = 1,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    crs: Crs = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Compare a map with a reference; training labels are found and never called accuracy.

    A labelled sample of ``jido sample`` tells accuracy and areas of the whole map, with intervals.
    """
    from jido.errors import LabelsError
    from jido.maps import read_reference

    if reference.exists() and map_.exists() and reference.samefile(map_):
        raise LabelsError(f"{reference} is the map itself: give labels of another origin as --reference.")
    if output:
        _require_places(output, map_, (map_, reference, within, training, form, truth))
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
        form=form,
        truth=truth,
    )
    show_problems(found.notes, quiet=quiet)
    with naming(reference, LabelsError):
        result = found.judge(map_, band=band)
    if output:
        _write(output, map_, found, result, source=reference, band=band)
        note(f"Written: {', '.join(map(str, _outputs(output)))}", quiet=quiet)
    if json:
        print_json(result)
    elif "sample" in result:
        print_sample(result)
    else:
        print_assessment(result, reference.name)


def _outputs(output: Path) -> tuple[Path, ...]:
    """The page to sign and the same for machines, or JSON alone."""
    return (output, output.with_suffix(".json")) if output.suffix.lower() in (".html", ".htm") else (output,)


def _require_places(output: Path, map_: Path, inputs: Sequence[Path | None]) -> None:
    """Refuse what cannot be written, and what must not be lost: the report that knows the training labels."""
    from jido.errors import OutputError
    from jido.io import require_place
    from jido.maps.assess import find_report_file

    known = find_report_file(map_) if map_.is_file() else None
    for place in _outputs(output):
        refuse_to_overwrite(place, inputs)
        require_place(place)
        if known and place.exists() and place.samefile(known[0]):
            raise OutputError(
                f"{place} is the report that was made with {map_} and knows its training labels: give "
                "another name with -o."
            )


def _write(
    output: Path, map_: Path, reference: Reference, result: dict[str, Any], *, source: Path, band: int
) -> None:
    from jido.io import json_text, replacing, replacing_together
    from jido.maps.signed import scheme_of, signed_facts
    from jido.maps.signed_page import signed_page

    places = _outputs(output)
    if len(places) == 1:
        with replacing(output) as fresh:
            fresh.write_text(json_text(result, indent=1) + "\n", encoding="utf-8")
        return
    facts = signed_facts(map_, reference, result, source=source, band=band)
    page = signed_page(facts, map_, scheme_of(map_, reference), band=band)
    with replacing_together(*places) as (fresh_page, fresh_json):
        fresh_page.write_text(page, encoding="utf-8")
        fresh_json.write_text(json_text(facts, indent=1) + "\n", encoding="utf-8")


def print_sample(result: dict[str, Any]) -> None:
    """What a probability sample says, and what is to be known beside it."""
    from jido.maps.report import area_figure, area_number, area_unit, percent
    from jido.maps.signed_parts import PARTS
    from jido.stats.words import NAMES, text

    print(result["statement"] + "\n")
    for sentence in result["notes"]:
        print(f"- {sentence}")
    unit, times = area_unit(result["area"])
    rows = [
        [
            area["class"],
            text(judged["users_accuracy"], digits=2),
            text(judged["producers_accuracy"], digits=2),
            *(area_number(area[key], times) for key in ("pixel_count", "expected")),
            area_figure(area["estimate"], times),
        ]
        for judged, area in zip(result["per_class"], result["area"], strict=True)
        if judged["truth"] or judged["predicted"] or area["pixel_count"]
    ]
    areas = ("counted", "expected", f"estimated area, {unit}")
    print()
    print_table(["class", "user's accuracy", "producer's accuracy", *areas], rows)
    parts = {NAMES[name]: figure for name, figure in result["metrics"].items()}
    parts |= {PARTS[name]: figure for name, figure in result["sample"]["parts"].items() if figure}
    print()
    told = [[name, percent(figure)] for name, figure in parts.items()]
    print_table(["for the whole map, or a part", "value [95 % interval]"], told)


def print_assessment(result: dict[str, Any], reference: str) -> None:
    """The fold figures first, then what the reference has to say and whether it may."""
    from jido.maps.assess import KINDS
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
    claimed = result["kind"] == KINDS["groups"]
    head = ["agreement", "value [95 % interval]" if claimed else "value"]
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
