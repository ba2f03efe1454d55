"""``jido sample``: points whose chances are known, and forms for the people who label them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar
from jido.cli.options import JsonFlag, OwnSeed, Quiet

if TYPE_CHECKING:
    from jido.labels import ClassScheme
    from jido.labels.design_sample import DesignSample

REACH = 1.96
"""Standard errors of half a 95 % interval."""


def sample(
    map_: Annotated[Path, typer.Argument(help="A class map.", metavar="MAP")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The points, .gpkg; forms lie beside it.")],
    n: Annotated[int | None, typer.Option("-n", min=1, help="Points in all.")] = None,
    standard_error: Annotated[
        float | None,
        typer.Option(
            "--standard-error", help="Or: of overall accuracy, 0.02; says how many points it takes."
        ),
    ] = None,
    strata: Annotated[
        str,
        typer.Option(
            help="class, none (simple random), or a file: a raster on the cells of the map, or polygons.",
            metavar="class|none|FILE",
        ),
    ] = "class",
    strata_field: Annotated[
        str | None,
        typer.Option("--strata-field", help="Column of the strata in a file of polygons.", metavar="NAME"),
    ] = None,
    allocation: Annotated[
        str,
        typer.Option(
            help="equal, proportional, neyman, or points by stratum: A=50,B=100 or a CSV file.",
            metavar="RULE",
        ),
    ] = "proportional",
    min_per_stratum: Annotated[
        int | None,
        typer.Option("--min-per-stratum", min=2, help="50, or half of -n in equal parts, without it."),
    ] = None,
    expected_accuracy: Annotated[
        str | None,
        typer.Option(
            "--expected-accuracy",
            help="User's accuracies to plan with, A=.8,B=.9 or a CSV file; without it those of the held-out "
            "labels of the map, or 0.8.",
            metavar="A=.8,...",
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option("--clusters", min=2, help="Draw squares of so many cells a side.", metavar="SIDE"),
    ] = None,
    per_cluster: Annotated[
        int | None, typer.Option("--per-cluster", min=1, help="Cells drawn in each square.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="What the codes of a map not made by Jido mean: 10=forest,20=water, a CSV file, or lcz.",
            metavar="10=NAME,...",
        ),
    ] = None,
    within: Annotated[Path | None, typer.Option("--within", help="Draw only inside these polygons.")] = None,
    band: Annotated[int | None, typer.Option("--band", min=1, help="Band of the classes.")] = None,
    seed: OwnSeed = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Draw cells of a map with known chances, to be labelled by people who do not see the map.

    What they wrote, given to ``jido assess``, makes accuracies and areas of the whole map with intervals.
    """
    from jido.errors import ImageError, JidoError
    from jido.io.design_sample import sample_files, write_sample
    from jido.maps.sample import Clusters, draw_sample

    if (clusters is None) != (per_cluster is None):
        raise JidoError("Give --clusters and --per-cluster, both or neither.")
    sample_files(output)
    with naming(map_, ImageError), progress_bar(quiet=quiet or json) as progress:
        found = draw_sample(
            map_,
            n=n,
            se=standard_error,
            strata=strata,
            strata_field=strata_field,
            allocation=_allocation(allocation),
            least=min_per_stratum,
            accuracies=_numbers(expected_accuracy, "--expected-accuracy") if expected_accuracy else None,
            clusters=Clusters(clusters, per_cluster) if clusters and per_cluster else None,
            classes=_classes(classes),
            band=band,
            within=within,
            seed=seed or 0,
            progress=progress,
        )
    files = write_sample(found, output)
    for text in found.facts["notes"]:
        note(f"note: {text}", quiet=quiet)
    if json:
        print_json(_facts(found, files))
    else:
        _print(found, files, map_)


def _numbers(text: str, option: str) -> dict[str, float]:
    from jido.errors import LabelsError
    from jido.io.design_sample import read_pairs

    try:
        return {name: float(value) for name, value in read_pairs(text).items()}
    except ValueError as err:
        raise LabelsError(f"{option} {text}: values are numbers, as in A=1,B=2.") from err


def _allocation(text: str) -> Any:
    """A rule, or points by stratum."""
    from jido.errors import LabelsError

    if "=" not in text and not text.lower().endswith(".csv"):
        return text
    found = _numbers(text, "--allocation")
    if not all(value.is_integer() and value >= 0 for value in found.values()):
        raise LabelsError(
            f"--allocation {text} holds something that is no number of points: give whole ones."
        )
    return {name: int(value) for name, value in found.items()}


def _classes(text: str | None) -> dict[int, str] | ClassScheme | None:
    from jido.errors import LabelsError
    from jido.io.design_sample import read_pairs
    from jido.labels import lcz_scheme

    if text is None:
        return None
    if text.lower() == "lcz":
        return lcz_scheme()
    try:
        return {int(code): name for code, name in read_pairs(text).items()}
    except ValueError as err:
        raise LabelsError(f"--classes {text}: codes are whole numbers, as in 10=forest,20=water.") from err


def _facts(found: DesignSample, files: list[Path]) -> dict[str, Any]:
    """The JSON of ``jido sample``."""
    from dataclasses import asdict

    return {
        "sample": str(files[0]),
        "files": [str(file) for file in files],
        "points": len(found),
        "strata": [asdict(stratum) for stratum in found.strata],
        **found.facts,
    }


def _print(found: DesignSample, files: list[Path], map_: Path) -> None:
    """What was drawn, what it may be expected to tell, and what to do next."""
    facts, plan = found.facts, found.facts["plan"]
    inside = f" inside {facts['within']}" if facts["within"] else ""
    print(f"Sample: {files[0]}")
    print(f"{_how(found)} from the {facts['cells']:,} mapped cells of {facts['map']}{inside}.")
    if found.kind == "stratified":
        print_table(*_strata(found))
    if plan and plan["se"]:
        print(
            f"To expect: overall accuracy ± {REACH * plan['se']['oa']:.3f} (95 %), if the map is as right as "
            f"anticipated ({plan['source']})."
        )
    forms = ", ".join(file.name for file in files[1:])
    print(f"Forms for two interpreters who do not see the map: {forms}")
    print(f"When they are filled in: jido assess {map_} --reference {files[1]}")


def _strata(found: DesignSample) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of strata."""
    cells = found.facts["cells"]
    rows = [[s.name, f"{s.cells:,}", f"{s.cells / cells:.1%}", f"{s.drawn}"] for s in found.strata]
    expected = (found.facts["plan"]["se"] or {}).get("users_accuracy")
    if expected is None:
        return ["stratum", "cells", "share", "points"], rows
    for row in rows:
        row.append(f"± {REACH * expected[row[0]]:.3f}")
    return ["stratum", "cells", "share", "points", "user's accuracy to expect"], rows


def _how(found: DesignSample) -> str:
    """``400 points in 6 strata, allocation neyman``."""
    facts = found.facts
    if found.kind == "clusters":
        cluster = facts["cluster"]
        return (
            f"{len(found)} points in {cluster['drawn']} of {cluster['clusters']:,} squares of "
            f"{cluster['side']} x {cluster['side']} cells, two stages,"
        )
    if found.kind == "simple":
        return f"{len(found)} points, simple random,"
    return f"{len(found)} points in {len(found.strata)} strata, allocation {facts['allocation']},"
