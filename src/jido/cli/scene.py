"""``jido scene``: a class for a whole image."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar
from jido.cli.options import JsonFlag, Preset, PresetChoice, Quiet, Seed

if TYPE_CHECKING:
    from jido.methods.classify import Classification

app = typer.Typer(help="A class for a whole image, learned from folders of images.", no_args_is_help=True)

Paths = Annotated[
    list[Path],
    typer.Argument(help="Folders with a folder per class, zips or tars of such.", metavar="PATH..."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and say so.")]


class NetChoice(StrEnum):
    """A net of our own for processors, and those of the paper."""

    compact = "compact"
    balanced = "balanced"
    cbam = "cbam"
    baseline = "baseline"


@app.command("train")
def train(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model package.")],
    net: Annotated[
        NetChoice, typer.Option("--net", help="Compact for processors; the others want a GPU.")
    ] = (NetChoice.compact),
    split: Annotated[
        str | None,
        typer.Option("--split", help="Column with train, val, test for each image.", metavar="FILE:COLUMN"),
    ] = None,
    by_place: Annotated[
        bool, typer.Option("--by-place", help="Split by blocks of place, with a gap between them.")
    ] = False,
    places: Annotated[
        Path | None, typer.Option("--places", help="Table with lon and lat of each image; that of --split.")
    ] = None,
    ground: Annotated[
        float | None, typer.Option("--ground", help="Side of an image in metres, where files do not tell.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")] = None,
    views: Annotated[
        bool, typer.Option("--views", help="Predict the mean over 8 turned and mirrored images.")
    ] = False,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="Pixels between windows of a map; half an image.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings of the method.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder of report and tables; OUTPUT.figures without it.")
    ] = None,
    skip_bad: SkipBad = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Leave what an interrupted training has done.")
    ] = False,
    preset: Preset = PresetChoice.cpu,
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Train on images, choose on validation images, judge on test images, write a model package.

    Without --split and --by-place images are dealt out at random, 70 : 15 : 15 in every class. Neighbours may
    then stand on both sides, and the figure is too good for new places: the report says so.
    """
    from jido.data.chip_reading import read_chips
    from jido.data.chip_splits import split_chips
    from jido.data.places import with_places
    from jido.io import require_package_place, working_folder
    from jido.methods.classify import train_classification
    from jido.methods.figures.scene_page import require_scene_figures_place, write_scene_figures
    from jido.methods.scene_config import load_scene_config

    require_package_place(output)
    pictures = figures or output.with_name(f"{output.name}.figures")
    require_scene_figures_place(pictures, beside=output)
    options = {"epochs": epochs, "stride": stride, "views": views or None}
    given = {key: value for key, value in options.items() if value is not None}
    settings = load_scene_config(config, net=net.value, preset=preset.value, seed=seed, given=given)
    with working_folder(output, restart=restart) as work, progress_bar(quiet=quiet or json) as progress:
        chips = read_chips(paths, least=1 if split else 3, skip_bad=skip_bad, progress=progress)
        chips = with_places(chips, places, split=split)
        parts = split_chips(chips, table=split, by_place=by_place, seed=settings.seed, ground_m=ground)
        for text in (*chips.notes, *parts.notes):
            note(text, quiet=quiet)
        result = train_classification(chips, parts, config=settings, work=work, progress=progress)
        result.model.save(output)
        write_scene_figures(result, pictures)
    if json:
        evaluation = result.model.evaluation
        told = (
            "metrics",
            "folds",
            "seconds",
            "judged_on",
            "tiles",
            "eight_views",
            "cost",
            "training_seconds",
        )
        facts = {key: evaluation[key] for key in told if key in evaluation}
        print_json({"model": str(output), **facts, "report": str(pictures / "report.html")})
        return
    print_training(result)
    print(f"Model package: {output}\nReport: {pictures / 'report.html'}")


@app.command("predict")
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    paths: Annotated[
        list[Path], typer.Argument(help="Images, folders, zips or tars of them.", metavar="PATH...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The table, CSV.")],
    skip_bad: SkipBad = False,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """A table with class, confidence and probabilities of every image."""
    from jido.data.chip_reading import stream_chips
    from jido.errors import ModelError
    from jido.io import require_place
    from jido.methods import load_model
    from jido.methods.classify import write_predictions
    from jido.methods.net import NetModel

    require_place(output)
    loaded = load_model(model)
    if not isinstance(loaded, NetModel):
        raise ModelError(f"{model} is no scene model: give one that jido scene train has made.")
    with naming(model, ModelError), progress_bar(quiet=quiet or json) as progress:
        count = write_predictions(loaded, stream_chips(paths, skip_bad=skip_bad, progress=progress), output)
    if json:
        print_json({"table": str(output), "images": sum(count.values()), "classes": count})
        return
    print_table(["class", "images"], [[name, number] for name, number in count.items() if number])
    print(f"Table: {output}")


def print_training(result: Classification) -> None:
    """The figures, with one view and with eight, and what they rest on."""
    from jido.stats.words import NAMES, text

    evaluation = result.model.evaluation
    folds = evaluation["folds"]
    print_table(
        ["figure", "value [95 % interval]", "mean of 8 views"],
        [
            [NAMES[name], text(evaluation["one_view"][name]), text(evaluation["eight_views"][name])]
            for name in evaluation["metrics"]
        ],
    )
    print(
        f"{evaluation['tiles']['train']} images to learn from; judged on {evaluation['judged_on']}: "
        f"{evaluation['cells']} images, split {folds['kind']}."
    )
    if folds["leaks"]:
        print("This split LEAKS: the figures are too good for new places. Use --by-place for those.")
