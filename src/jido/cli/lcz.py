"""``jido lcz``: Local Climate Zones from images and polygons."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar, refuse_errors, show_problems
from jido.cli.options import (
    ClassField,
    Crs,
    GroupField,
    Images,
    JsonFlag,
    Layer,
    Preset,
    PresetChoice,
    Quiet,
    Resample,
    Seed,
)

app = typer.Typer(help="Local Climate Zones.", no_args_is_help=True)


class LczMethod(StrEnum):
    """Ways to learn Local Climate Zones."""

    forest = "forest"


@app.callback()
def _noun() -> None:
    """Local Climate Zones."""


@app.command("train")
def train(
    images: Images,
    labels: Annotated[Path, typer.Option("--labels", help="Training polygons.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model package.")],
    method: Annotated[LczMethod, typer.Option("--method", help="How to learn.")] = LczMethod.forest,
    folds: Annotated[int, typer.Option("--folds", help="Number of folds; polygons are kept whole.")] = 5,
    leaky: Annotated[
        bool, typer.Option("--leaky", help="Also print the (too good) figure of a random pixel split.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings of the method.")
    ] = None,
    preset: Preset = PresetChoice.cpu,
    seed: Seed = 0,
    crs: Crs = None,
    resample: Resample = None,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Train on all polygons, judge on held-out ones, write a model package."""
    from jido.errors import FoldsError, LabelsError
    from jido.io import Scene, read_labels, require_package_place
    from jido.labels import check_labels
    from jido.methods.forest import load_config, train_forest

    require_package_place(output)
    settings = load_config(config, preset=preset.value, seed=seed)
    with Scene(images, crs=crs, resample=resample) as scene:
        for text in scene.notes:
            note(text, quiet=quiet)
        found = read_labels(labels, layer=layer, class_field=class_field, group_field=group_field, crs=crs)
        with naming(labels, LabelsError):
            problems = check_labels(found, geobox=settings.grid(scene.geobox)).problems
            refuse_errors(problems)
        show_problems(problems, quiet=quiet)
        with naming(labels, LabelsError, FoldsError), progress_bar(quiet=quiet or json) as progress:
            model = train_forest(
                scene, found, config=settings, folds=folds, leaky_too=leaky, progress=progress
            )
        model.save(output)
    evaluation = model.evaluation
    told = evaluation["labels"]
    if told["without_cells"]:
        note(f"warning: {told['without_cells']} of {told['given']} labels gave no cell.", quiet=quiet)
    if told["merged_groups"]:
        many = told["merged_groups"]
        said = "group touches" if many == 1 else "groups touch"
        text = f"{many} {said} another one of their class and are judged with it."
        note(f"note: {text}", quiet=quiet)
    if json:
        result = {"model": str(output), **{k: evaluation[k] for k in ("metrics", "folds", "seconds")}}
        print_json(result | {k: evaluation[k] for k in ("leaky",) if k in evaluation})
    else:
        print_training(evaluation)
        print(f"Model package: {output}")


def print_training(evaluation: dict[str, Any]) -> None:
    """The held-out figures of a model."""
    from jido.maps.report import statement
    from jido.stats.words import NAMES, text

    print(statement(evaluation))
    rows = [[NAMES.get(k, k), text(v)] for k, v in evaluation["metrics"].items()]
    print_table(["held out", "value [95 % interval]"], rows)
    if "leaky" in evaluation:
        oa = text(evaluation["leaky"]["metrics"]["oa"])
        print(f"LEAKING random pixel split, not to be quoted: overall accuracy {oa}")
