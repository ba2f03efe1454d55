"""``jido segment``: a target against everything else, pixel by pixel."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from jido.cli.console import note, print_json, print_table, progress_bar
from jido.cli.options import (
    AcceptedError,
    Config,
    Crs,
    JsonFlag,
    Layer,
    Preset,
    PresetChoice,
    Quiet,
    Restart,
    Seed,
)

if TYPE_CHECKING:
    from jido.methods.segment import Segmentation

app = typer.Typer(help="A target against everything else, pixel by pixel.", no_args_is_help=True)


class CaseChoice(StrEnum):
    """Cases of the paper, one or all."""

    a200 = "A_100-200"
    a250 = "A_100-250"
    b250 = "B_100-250"
    b300 = "B_100-300"
    every = "all"


class ManyValues(TyperCommand):
    """A command without arguments whose options take all the words that follow: ``--images A B C``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name an option again before each further word."""
        several = {name for p in self.params if getattr(p, "multiple", False) for name in p.opts}
        spread: list[str] = []
        current, waits = "", False
        for word in args:
            if word.startswith("-") and word != "-":
                name, _, given = word.partition("=")
                current, waits = (name, not given) if name in several else ("", False)
            elif current and not waits:
                spread.append(current)
            else:
                waits = False
            spread.append(word)
        return super().parse_args(ctx, spread)


@app.callback()
def _noun() -> None:
    """A target against everything else, pixel by pixel."""


@app.command("train", cls=ManyValues)
def train(
    images: Annotated[
        list[Path], typer.Option("--images", help="Images, folders or archives.", metavar="PATH...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model package.")],
    masks: Annotated[
        list[Path] | None,
        typer.Option(
            "--masks", help="Masks of the same names: files, folders or archives.", metavar="PATH..."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Polygons of the target, instead of masks.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="Values or colours (#RRGGBB) that are target in masks.", metavar="VALUE..."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the target is called on maps.")] = "target",
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="Column that tells what must not be split.", metavar="FILE:COLUMN"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Column with train, val, test for each image.", metavar="FILE:COLUMN"),
    ] = None,
    stages: Annotated[
        int | None, typer.Option("--stages", min=1, max=2, help="2, the default: learn from errors.")
    ] = None,
    case: Annotated[
        CaseChoice | None,
        typer.Option(
            "--case", help="Epochs of a case of the paper, instead of the preset's; all: the four, compared."
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option("--recall", help="Threshold for this recall of validation pixels, not the best IoU."),
    ] = None,
    tile: Annotated[
        int | None, typer.Option("--tile", min=32, help="Side of the tiles in pixels; the preset's without.")
    ] = None,
    error: AcceptedError = 0.10,
    config: Config = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Folder of figures and CSV; OUTPUT.figures without it.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and say so.")
    ] = False,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    seed: Seed = 0,
    crs: Crs = None,
    layer: Layer = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Train on tiles, choose on validation tiles, judge on test tiles, write a model package."""
    from jido.data.cutting import cut_tiles
    from jido.data.splits import split_tiles
    from jido.errors import LabelsError
    from jido.io import read_labels, require_package_place, working_folder
    from jido.labels import binary_scheme
    from jido.methods.figures import require_figures_place, write_figures
    from jido.methods.segment import train_cases, train_segmentation
    from jido.methods.two_stage import load_config, require_cases, require_net

    if (masks is None) == (labels is None):
        raise LabelsError("Give either --masks or --labels, which say where the target is.")
    require_package_place(output)
    pictures = figures or output.with_name(f"{output.name}.figures")
    require_figures_place(pictures, beside=output, images=[*images, *(masks or ())])
    options = {"stages": stages, "recall": recall, "tile": tile}
    given = {key: value for key, value in options.items() if value is not None}
    settings = load_config(config, preset=preset.value, seed=seed, given=given)
    if case is CaseChoice.every:
        require_cases(settings)
    elif case:
        settings = settings.case(case.value)
    require_net(settings, settings.tile)
    scheme = binary_scheme(name)
    found = read_labels(labels, scheme=scheme, layer=layer, crs=crs, one_class=True) if labels else None
    with working_folder(output, restart=restart) as work, progress_bar(quiet=quiet or json) as progress:
        tiles = cut_tiles(
            images,
            work=work,
            masks=masks,
            labels=found,
            side=settings.tile,
            target=tuple(target or ()),
            groups=groups,
            crs=crs,
            positive_share=settings.positive_share,
            skip_bad=skip_bad,
            progress=progress,
        )
        for text in tiles.notes:
            note(text, quiet=quiet)
        share = settings.positive_share
        parts = split_tiles(tiles, table=split, groups=groups, seed=settings.seed, positive_share=share)
        note(_sizes(parts.part, tiles.positive(share), parts.kind), quiet=quiet)
        training = train_cases if case is CaseChoice.every else train_segmentation
        result = training(
            tiles, parts, config=settings, work=work, scheme=scheme, error=error, progress=progress
        )
        result.model.save(output)
        write_figures(result, tiles, pictures)
    if json:
        evaluation = result.model.evaluation
        told = ("metrics", "folds", "seconds", "judged_on", "tiles", "first_stage", "case", "cases")
        facts = {key: evaluation[key] for key in told if key in evaluation}
        print_json({"model": str(output), **facts, "figures": str(pictures)})
        return
    print_training(result)
    print(f"Model package: {output}\nFigures and history: {pictures}")


def _sizes(part: Any, positive: Any, kind: str) -> str:
    """How many tiles there are for what."""
    counts = [
        f"{int((part == name).sum())} {word} ({int((positive & (part == name)).sum())} with target)"
        for name, word in (("train", "training"), ("val", "validation"), ("test", "test"))
    ]
    return f"Tiles: {', '.join(counts)}; split {kind}."


def print_training(result: Segmentation) -> None:
    """The figures of both stages beside each other, or those of all cases."""
    from jido.stats.words import NAMES, text

    evaluation = result.model.evaluation
    kind, groups = evaluation["folds"]["kind"], evaluation["groups"]
    print(f"Judged on {evaluation['judged_on']}, {groups} group{'s' * (groups != 1)}, split {kind}.")
    if cases := evaluation.get("cases"):
        _print_cases(cases, chosen=evaluation["case"])
    else:
        judged = [result.first] + ([result.second] if result.second else [])
        names = ["one stage"] if len(judged) == 1 else ["stage 1", "stage 2"]
        rows = [
            [NAMES.get(key, key), *(text(one.metrics[key]) for one in judged)] for key in judged[0].metrics
        ]
        rows.append(["threshold", *(f"{one.threshold:.3f}" for one in judged)])
        print_table(["held out [95 % interval]", *names], rows)
    if "unsure" in evaluation:
        print(evaluation["unsure"]["promise"])
    if result.second:
        first = evaluation["first_stage"]
        onset, met = first["train_iou_at_onset"], "" if first["precondition_met"] else " (should be 0.95)"
        print(f"Train IoU when collecting began {onset:.3f}{met}; CFDR {first['cfdr']:.4f}.")
        if first["validation_iou"] >= evaluation["validation_iou"]:
            print("On the validation tiles stage 2 is no better than stage 1: see docs/two_stage.md.")
        rival = "--stages 1" + (f" --case {evaluation['case']}" if cases else "")
        print(f"The fair rival of two stages is {rival}, which has as many epochs as both together.")


def _print_cases(cases: dict[str, dict[str, Any]], *, chosen: str) -> None:
    """Stage 2 of every case, a column each, with the IoU of stage 1 beneath."""
    from jido.stats.words import NAMES, text

    told = list(cases.values())
    rows = [[NAMES.get(key, key), *(text(one["metrics"][key]) for one in told)] for key in told[0]["metrics"]]
    rows.append(["threshold", *(f"{one['threshold']:.3f}" for one in told)])
    rows.append(["IoU of validation tiles", *(f"{one['validation_iou']:.3f}" for one in told)])
    rows.append(["IoU of stage 1", *(text(one["first_stage"]["metrics"]["iou"]) for one in told)])
    rows.append(["CFDR", *(f"{one['first_stage']['cfdr']:.4f}" for one in told)])
    print_table(["stage 2, held out [95 % interval]", *cases], rows)
    print(f"The model is that of {chosen}, the best on the validation tiles.")
