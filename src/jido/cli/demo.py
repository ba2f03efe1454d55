"""``jido demo``: the main job on a simulated city, so that everybody has data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table, progress_bar
from jido.cli.options import JsonFlag, Quiet, Seed


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for inputs, map and report.")] = Path(
        "jido_demo"
    ),
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a city, train on its polygons, map it, and say how good the map is."""
    from jido.maps.demo import run_demo

    with progress_bar(quiet=quiet or json) as progress:
        result = run_demo(output, seed=seed, progress=progress)
    if json:
        print_json(result)
        return
    print_demo(result)
    note(f"Done in {result['seconds']:.0f} s.", quiet=quiet)


def print_demo(result: dict[str, Any]) -> None:
    """One table that shows why the way of judging matters."""
    from jido.stats.words import text

    print_table(
        ["overall accuracy, judged by ...", "value [95 % interval]"],
        [[row["by"], text(row["oa"])] for row in result["judged"]],
    )
    print(f"Map: {result['map']}\nReport: {result['report']}\nInputs: {result['inputs']}")
