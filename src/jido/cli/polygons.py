"""``jido polygons``: the objects of a map as polygons with class, probability and area."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import naming, print_json, progress_bar, refuse_to_overwrite
from jido.cli.options import JsonFlag, Quiet


def polygons(
    map_: Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The polygons, .gpkg or .parquet.")],
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="Only this class: code, label or name; repeat it. Without it all classes, but of a target "
            "and its background the target alone.",
            metavar="NAME",
        ),
    ] = None,
    min_area: Annotated[float, typer.Option("--min-area", min=0, help="m²; drop smaller objects.")] = 0,
    min_peak: Annotated[
        float,
        typer.Option(
            "--min-peak",
            min=0,
            max=1,
            help="Drop objects whose highest confidence is lower, 0..1. This is hysteresis thresholding: "
            "weak cells make no object unless one among them is sure.",
        ),
    ] = 0,
    simplify: Annotated[
        float,
        typer.Option("--simplify", min=0, help="Metres an outline may leave the cells; neighbours may gap."),
    ] = 0,
    band: Annotated[int | None, typer.Option("--band", min=1, help="Band of the classes.")] = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Write every object of a class map as a polygon, whole, with class, probabilities and area.

    A map without CRS gives polygons in columns and rows of its image, and no areas.
    """
    from jido.errors import ImageError
    from jido.maps import polygonise
    from jido.maps.report import area_text

    refuse_to_overwrite(output, (map_,))
    with naming(map_, ImageError), progress_bar(quiet=quiet or json) as progress:
        result = polygonise(
            map_,
            output,
            band=band,
            classes=class_ or (),
            min_area=min_area,
            min_peak=min_peak,
            simplify=simplify,
            progress=progress,
        )
    if json:
        print_json(result.to_dict())
        return
    area = ", coordinates are those of the image's pixels: it has no place on Earth"
    if result.area_m2 is not None:
        area = f", {area_text(result.area_m2)}"
    print(f"Polygons: {result.path}\n{result.objects:,} objects{area}")
    if result.target:
        print(f"Only {result.target} was outlined; --class background outlines what lies around it.")
    if result.dropped:
        reasons = [f"below {min_area:g} m²"] * bool(min_area)
        reasons += [f"nowhere as sure as {min_peak:g}"] * bool(min_peak)
        in_all = "" if result.dropped_area_m2 is None else f", {area_text(result.dropped_area_m2)} in all"
        print(f"{result.dropped:,} objects {' or '.join(reasons)} were dropped{in_all}")
