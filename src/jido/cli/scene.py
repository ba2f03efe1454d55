"""``jido scene``: a class for a whole image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jido.cli.console import naming, note, print_json, print_table, progress_bar, refuse_to_overwrite
from jido.cli.options import AcceptedError, Config, JsonFlag, Preset, PresetChoice, Quiet, Restart

if TYPE_CHECKING:
    from jido.data.chips import Chips
    from jido.methods.classify import Classification

app = typer.Typer(help="A class for a whole image, learned from folders of images.", no_args_is_help=True)

Paths = Annotated[
    list[Path],
    typer.Argument(help="Folders with a folder per class, zips or tars of such.", metavar="PATH..."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what cannot be read or is unlike most, and say so.")
]

LEAKS = "This split LEAKS: the figures are too good for new places. For those use --by-place."


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
        NetChoice, typer.Option("--net", help="compact: for processors; the paper's others want a GPU.")
    ] = NetChoice.compact,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Table and its column with train, val or test.", metavar="FILE:COLUMN"),
    ] = None,
    by_place: Annotated[
        bool, typer.Option("--by-place", help="Split by squares of land, with a gap between them.")
    ] = False,
    places: Annotated[
        Path | None,
        typer.Option("--places", help="Table with lon and lat of each image; else --split's, or the files."),
    ] = None,
    ground: Annotated[
        float | None, typer.Option("--ground", help="Side of an image in metres, where files do not tell.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")] = None,
    views: Annotated[
        bool, typer.Option("--views", help="Predict the mean over 8 turned and mirrored images.")
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help="Pixels between windows of a map; half an image without it."),
    ] = None,
    error: AcceptedError = 0.10,
    config: Config = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder of report and tables; OUTPUT.figures without it.")
    ] = None,
    skip_bad: SkipBad = False,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the training; 0 without it.")] = None,
    split_seed: Annotated[
        int, typer.Option("--split-seed", min=0, help="Of the split, the same whatever --seed.")
    ] = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Train on images, choose on validation images, judge on test images, write a model package.

    Without --split and --by-place images are dealt out at random, 70 : 15 : 15 in every class.
    Neighbours may then stand on both sides, which makes the figure too good for new places.
    A training that was cut off goes on where it stood when the same command is given again.
    """
    from jido.data.chip_reading import read_chips
    from jido.data.chip_splits import require_splittable, split_chips
    from jido.data.places import with_places
    from jido.io import require_package_place, working_folder
    from jido.methods.classify import train_classification
    from jido.methods.figures.scene_page import require_scene_figures_place, write_scene_figures
    from jido.methods.scene_config import load_scene_config

    require_package_place(output)
    pictures = figures or output.with_name(f"{output.name}.figures")
    require_scene_figures_place(pictures, beside=output)
    options = {"epochs": epochs, "stride": stride, "views": views or None, "seed": seed}
    given = {key: value for key, value in options.items() if value is not None}
    settings = load_scene_config(config, net=net.value, preset=preset.value, given=given)
    require_splittable(table=split, by_place=by_place, places=places, ground_m=ground)
    with working_folder(output, restart=restart) as work, progress_bar(quiet=quiet or json) as progress:
        chips = read_chips(paths, least=1 if split else 3, skip_bad=skip_bad, progress=progress)
        chips = with_places(chips, places, split=split)
        parts = split_chips(chips, table=split, by_place=by_place, seed=split_seed, ground_m=ground)
        for text in (*chips.notes, *parts.notes):
            note(text, quiet=quiet)
        if parts.leaks:
            note(LEAKS, quiet=quiet)
        result = train_classification(
            chips, parts, config=settings, work=work, error=error, progress=progress
        )
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
    """Write a table with class, confidence and probabilities of every image."""
    from jido.data.chip_reading import stream_chips
    from jido.errors import ModelError
    from jido.io import require_place
    from jido.methods import load_model
    from jido.methods.classify import write_predictions
    from jido.methods.net import NetModel

    require_place(output)
    refuse_to_overwrite(output, paths)
    loaded = load_model(model)
    if not isinstance(loaded, NetModel) or loaded.config.patch is None:
        raise ModelError(f"{model} is no scene model: give one that jido scene train has made.")
    with naming(model, ModelError), progress_bar(quiet=quiet or json) as progress:
        images = stream_chips(paths, skip_bad=skip_bad, progress=progress)
        count = write_predictions(loaded, _told(images, quiet=quiet), output)
    if json:
        print_json({"table": str(output), "images": sum(count.values()), "classes": count})
        return
    print_table(["class", "images"], [[name, number] for name, number in count.items() if number])
    print(f"Table: {output}")


def _told(some: Iterable[Chips], *, quiet: bool) -> Iterator[Chips]:
    """Images as they come; what was left out is said."""
    for chips in some:
        for text in chips.notes:
            note(text, quiet=quiet)
        yield chips


def print_training(result: Classification) -> None:
    """The figures, with one view and with eight, and what they rest on."""
    from jido.maps.report import judged_on
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
        f"Learned from {evaluation['tiles']['train']:,} images, judged on {judged_on(evaluation)}; "
        f"split: {folds['kind']}."
    )
    if "unsure" in evaluation:
        print(evaluation["unsure"]["promise"])
    if folds["leaks"]:
        print(LEAKS)
