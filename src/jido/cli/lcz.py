"""``jido lcz``: Local Climate Zones from images and polygons."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from jido.cli.console import (
    naming,
    note,
    print_json,
    print_table,
    progress_bar,
    refuse_errors,
    refuse_to_overwrite,
    show_problems,
)
from jido.cli.lcz_pretrain import pretrain
from jido.cli.options import (
    AcceptedError,
    ClassField,
    Config,
    Crs,
    GroupField,
    Images,
    JsonFlag,
    KeepClouds,
    Layer,
    Preset,
    PresetChoice,
    Quiet,
    Resample,
    Seed,
)

app = typer.Typer(help="Local Climate Zones.", no_args_is_help=True)
app.command("pretrain")(pretrain)


class LczMethod(StrEnum):
    """Ways to learn Local Climate Zones."""

    forest = "forest"
    cnn = "cnn"
    ssmmrl = "ssmmrl"


@app.callback()
def _noun() -> None:
    """Local Climate Zones."""


@app.command("train")
def train(
    images: Images,
    labels: Annotated[Path, typer.Option("--labels", help="Training polygons.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model package.")],
    method: Annotated[LczMethod, typer.Option("--method", help="How to learn.")] = LczMethod.forest,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Package of jido lcz pretrain, where the nets begin.", metavar="PKG"),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Number of folds; polygons are kept whole.")] = 5,
    leaky: Annotated[
        bool, typer.Option("--leaky", help="Also print the (too good) figure of a random pixel split.")
    ] = False,
    error: AcceptedError = 0.10,
    config: Config = None,
    preset: Preset = PresetChoice.cpu,
    seed: Seed = 0,
    crs: Crs = None,
    resample: Resample = None,
    keep_clouds: KeepClouds = False,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Train on all polygons, judge on held-out ones, write a model package.

    forest: features of pixels, no torch. cnn: a net from scratch. ssmmrl: a net that begins with an encoder
    of jido lcz pretrain.
    """
    from jido.errors import FoldsError, LabelsError
    from jido.geo import cell_grid
    from jido.io import Scene, read_labels, require_package_place
    from jido.io.raster import Clouds
    from jido.labels import check_labels

    require_package_place(output)
    refuse_to_overwrite(output, [encoder])
    settings, training = _method(method, config, preset.value, seed, encoder=encoder, leaky=leaky)
    clouds: Clouds = "show" if keep_clouds else "hide"
    with Scene(images, crs=crs, resample=resample, clouds=clouds) as scene:
        for text in scene.notes:
            note(text, quiet=quiet)
        found = read_labels(labels, layer=layer, class_field=class_field, group_field=group_field, crs=crs)
        with naming(labels, LabelsError):
            problems = check_labels(found, geobox=cell_grid(scene.geobox, settings.cell)).problems
            refuse_errors(problems)
        show_problems(problems, quiet=quiet)
        with naming(labels, LabelsError, FoldsError), progress_bar(quiet=quiet or json) as progress:
            model = training(scene, found, config=settings, folds=folds, error=error, progress=progress)
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


def _method(
    method: LczMethod,
    config: Path | None,
    preset: str,
    seed: int,
    *,
    encoder: Path | None,
    leaky: bool,
) -> tuple[Any, Any]:
    """Settings, and what trains with them; options that do not suit a method are refused."""
    from jido.errors import ModelError

    if method is LczMethod.forest:
        from jido.methods import forest

        if encoder:
            raise ModelError("A forest has no encoder: give --method ssmmrl, or leave out --encoder.")
        return forest.load_config(config, preset=preset, seed=seed), partial(
            forest.train_forest, leaky_too=leaky
        )
    from jido.methods import lcz_net
    from jido.methods.encoder_package import EncoderPackage
    from jido.methods.pretrain import require_torch

    if leaky:
        raise ModelError("--leaky is for --method forest only: leave it out.")
    if method is LczMethod.ssmmrl and encoder is None:
        raise ModelError(
            "--method ssmmrl needs --encoder PKG: make one with jido lcz pretrain IMAGE... -o PKG, or train "
            "from scratch with --method cnn."
        )
    if method is LczMethod.cnn and encoder:
        raise ModelError("--method cnn learns from scratch: give --method ssmmrl, or leave out --encoder.")
    require_torch()
    begin = EncoderPackage.load(encoder) if encoder else None
    return lcz_net.load_config(config, preset=preset, seed=seed), partial(
        lcz_net.train_lcz_net, encoder=begin
    )


def print_training(evaluation: dict[str, Any]) -> None:
    """The held-out figures of a model."""
    from jido.maps.report import statement
    from jido.stats.words import NAMES, text

    print(statement(evaluation))
    rows = [[NAMES.get(k, k), text(v)] for k, v in evaluation["metrics"].items()]
    print_table(["held out", "value [95 % interval]"], rows)
    if "promise" in evaluation["unsure"]:
        print(evaluation["unsure"]["promise"])
    if "leaky" in evaluation:
        oa = text(evaluation["leaky"]["metrics"]["oa"])
        print(f"LEAKING random pixel split, not to be quoted: overall accuracy {oa}")
