"""``jido score label``: tiles for people to label, and from their labels the class of every tile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_facts, print_json, print_table, progress_bar
from jido.cli.options import Config, JsonFlag, OwnSeed, Preset, PresetChoice, Quiet, Restart, SkipBadTiles

if TYPE_CHECKING:
    from jido.data.chips import Chips
    from jido.methods.net import NetModel
    from jido.methods.tile_classes import TileClasses

FORM, TABLE, MODEL, SHEETS, FACTS = "labels.csv", "classes.csv", "model", "sheets", "metrics.json"
"""What the folders hold."""

SHOWN = 25
"""Tiles on the sheet of a class."""

LARGEST = 256
"""Side in pixels of a tile on the sheets that people label."""

LEAKS = (
    "Nobody knows where the tiles lie: held-out tiles may touch tiles that were learned from, so the figures "
    "are rather too good for new places."
)


def label(
    tiles: Annotated[
        Path,
        typer.Argument(
            help="Folder of jido score tiles, or any folder, zip or tar of images.", metavar="TILES"
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the form, or with --labels of the classes."),
    ],
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels",
            help="Filled-in form: id, urban, rural, uninhabited. Repeat it for several people.",
            metavar="FILE",
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Tiles to be labelled.")] = 300,
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder",
            help="Compact model of jido scene train on images like these; tiles are seen by it, too.",
            metavar="MODEL",
        ),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Of the labelled tiles, to judge.")] = 5,
    zoom_ids: Annotated[
        int | None,
        typer.Option("--zoom-ids", min=0, max=24, help="Ids are row_column of slippy tiles of this zoom."),
    ] = None,
    config: Config = None,
    skip_bad: SkipBadTiles = False,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    seed: OwnSeed = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Draw tiles for people to label; with --labels learn from them what every tile is.

    Without --labels: writes OUTPUT/labels.csv, an empty form, and sheets with the tiles that stand in it.
    Write into each row how urban, rural and uninhabited the tile is: from 0 to 1, together 1. With --labels:
    writes OUTPUT/classes.csv (probabilities of all tiles), model/, metrics.json with the figures of held-out
    tiles, and a sheet of each class. Labels of several people are averaged.
    """
    from jido.data.score_tiles import read_tiles
    from jido.methods.tile_classes_config import load_tile_classes_config

    require_label_place(output, [tiles, *(labels or []), *([encoder] if encoder else [])], asked=not labels)
    given = {} if seed is None else {"seed": seed}
    settings = load_tile_classes_config(config, preset=preset.value, given=given)
    first = open_encoder(encoder)
    with progress_bar(quiet=quiet or json) as progress:

        def read() -> Chips:
            found = read_tiles(tiles, ids_at_zoom=zoom_ids, skip_bad=skip_bad, progress=progress)
            for text in found.notes:
                note(text, quiet=quiet)
            return found.chips

        if not labels:
            told = write_label_form(read(), output, n=n, seed=settings.seed)
        else:
            from jido.io import working_folder
            from jido.methods.tile_classes import train_tile_classes
            from jido.methods.tile_classes_labels import read_labels

            begun = time.perf_counter()
            with working_folder(output, restart=restart) as work:
                chips = read()
                result = train_tile_classes(
                    chips,
                    read_labels(labels, chips.name.tolist()),
                    config=settings,
                    work=work,
                    encoder=first,
                    folds=folds,
                    progress=progress,
                )
                told = write_label_classes(result, output)
            told["seconds"] = round(time.perf_counter() - begun, 1)
    if labels and result.evaluation["folds"]["leaks"]:
        note(LEAKS, quiet=quiet)
    if json:
        print_json(told)
    elif labels:
        print_classes(result, told)
    else:
        print_form(told)


def require_label_place(output: Path, inputs: Sequence[Path], *, asked: bool) -> None:
    """Refuse a folder that holds anything but what is to be written, a form that somebody may have filled in.

    Args:
        output: the folder.
        inputs: what is read.
        asked: whether a form is to be written, or classes.

    Raises:
        OutputError: when it does, or when one of the inputs lies in it or it in the tiles.
    """
    from jido.errors import OutputError
    from jido.io import require_place

    require_place(output, folder=True)
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if asked and FORM in held:
        raise OutputError(
            f"{output / FORM} may be filled in already: give it with --labels and another folder with -o, "
            "or choose another folder for a new form."
        )
    ours = {SHEETS} if asked else {TABLE, MODEL, SHEETS, FACTS}
    if other := [name for name in held if name not in ours or (not asked and TABLE not in held)]:
        raise OutputError(
            f"{output} holds {other[0]}, which a new run would take away: choose another folder with -o."
        )
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{path} lies in {output}, which would be replaced: choose another folder.")
    if output.resolve().is_relative_to(inputs[0].resolve()):
        raise OutputError(
            f"{output} lies in {inputs[0]}, so its sheets would be read as tiles the next time: choose "
            "another folder with -o."
        )


def open_encoder(path: Path | None) -> NetModel | None:
    """The model by which tiles are seen, too.

    Raises:
        ModelError: when the folder is no package, or holds a model that is no net.
    """
    from jido.errors import ModelError
    from jido.methods import load_model
    from jido.methods.net import NetModel

    if path is None:
        return None
    with naming(path, ModelError):
        model = load_model(path)
        if not isinstance(model, NetModel):
            raise ModelError(f"{path} holds no net: give a compact model of jido scene train.")
    return model


# -- what is written ---------------------------------------------------------------------------


def write_label_form(chips: Chips, folder: Path, *, n: int, seed: int) -> dict[str, Any]:
    """Write an empty form and sheets of the tiles in it; gives their paths.

    Raises:
        OutputError: when the folder cannot be written.
    """
    from jido.io import replacing
    from jido.methods.figures.contact_sheets import contact_sheet
    from jido.methods.tile_classes_labels import along, drawn, write_form

    which = drawn(n, over=along(chips), seed=seed)
    with replacing(folder, folder=True) as fresh:
        (fresh / SHEETS).mkdir(parents=True)
        write_form(chips.name[which].tolist(), fresh / FORM)
        contact_sheet(
            chips,
            which,
            fresh / SHEETS / "tiles.png",
            title=f"{len(which)} tiles to be labelled in {FORM}: urban, rural or uninhabited?",
            side_px=LARGEST,
        )
        pages = len(list((fresh / SHEETS).iterdir()))
    return {
        "form": str(folder / FORM),
        "sheets": str(folder / SHEETS),
        "pages": pages,
        "drawn": len(which),
        "tiles": len(chips),
    }


def write_label_classes(result: TileClasses, folder: Path) -> dict[str, Any]:
    """Write table, model, figures and a sheet of each class; gives what ``--json`` tells.

    Raises:
        OutputError: when the folder cannot be written.
    """
    import numpy as np

    from jido.io import json_text, replacing
    from jido.methods.figures.contact_sheets import contact_sheet
    from jido.methods.tile_classes import write_classes
    from jido.methods.tile_classes_labels import CLASSES

    chips, said, evaluation = result.chips, result.said, result.evaluation
    with replacing(folder, folder=True) as fresh:
        (fresh / SHEETS).mkdir(parents=True)
        count = write_classes(chips.name.tolist(), said, fresh / TABLE)
        (fresh / FACTS).write_text(json_text(evaluation, indent=2) + "\n", encoding="utf-8")
        result.model.save(fresh / MODEL)
        for k, name in enumerate(CLASSES):
            mine = np.flatnonzero(said.argmax(1) == k)
            mine = mine[np.argsort(-said[mine, k], kind="stable")]
            spread = np.linspace(0, len(mine), SHOWN, endpoint=False).astype(np.int64)
            shown = mine[np.unique(spread)[: len(mine)]]
            contact_sheet(
                chips,
                shown,
                fresh / SHEETS / f"{name}.png",
                title=f"{count[name]:,} {name} tiles, {len(shown)} of them from the surest to the least sure",
                captions=[f"{name} {said[i, k]:.2f}" for i in shown],
            )
    kept = ("metrics", "folds", "cross_entropy", "agreement", "tiles")
    return {
        "classes": str(folder / TABLE),
        "model": str(folder / MODEL),
        "count": count,
        **{name: evaluation[name] for name in kept},
    }


def print_form(told: dict[str, Any]) -> None:
    """Where the form is, and what to do with it."""
    print_facts(
        {
            "Tiles": f"{told['drawn']:,} of {told['tiles']:,}, spread evenly, each as likely as the others",
            "Sheets": f"{told['sheets']} ({told['pages']} pages)",
            "Form": told["form"],
        }
    )
    print("Fill in the form, then give it to the same command with --labels.")


def print_classes(result: TileClasses, told: dict[str, Any]) -> None:
    """The figures of held-out tiles, what they rest on, and where the classes are."""
    from jido.stats.words import NAMES, text

    evaluation, tiles = result.evaluation, told["tiles"]
    print_table(
        ["held-out tiles", "value [95 % interval]"],
        [[NAMES[name], text(figure)] for name, figure in evaluation["metrics"].items()],
    )
    print_table(
        ["class", "labelled", "F1", "all tiles"],
        [
            [row["class"], row["truth"], text(row["f1"]), told["count"][row["class"]]]
            for row in evaluation["per_class"]
        ],
    )
    print(
        f"Learned from {tiles['train']:,} labelled tiles and {tiles['without a label']:,} others; "
        f"{evaluation['folds']['k']} folds: {evaluation['folds']['kind']}."
    )
    print(
        f"One annotator drawn at random is expected to name the most frequent answer in "
        f"{evaluation['agreement']:.1%} of the tiles; {evaluation['ties']} have no single one."
    )
    print(f"Classes: {told['classes']}\nModel package: {told['model']}")
