"""All figures of a segmentation training in one folder."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np

from jido.data.tiles import Tiles
from jido.errors import OutputError
from jido.io import replacing, require_place
from jido.methods.figures.curves import draw_curves, table2_markdown, write_history
from jido.methods.figures.pictures import (
    error_gallery,
    false_positives_picture,
    recovered_picture,
    stages_picture,
)
from jido.methods.figures.pieces import Said, false_pieces, largest_pieces, recovered_pieces
from jido.methods.segment import Segmentation

CHOICE = 512
"""Tiles, those with most target, from which the picture of both stages takes some."""

SHOWN = 6
"""Tiles in the picture of both stages."""

HISTORY, TABLE = "history.csv", "table2.md"

CURVES = ("loss", "iou", "stability", "fn_tp", "fp_tp", "cfdr")
PICTURES = ("errors", "recovered", "false_positives", "stages")
"""Names of the PNG, the latter of two stages."""

FILES = frozenset({HISTORY, TABLE, *(f"{name}.png" for name in (*CURVES, *PICTURES))})
"""All that a folder of figures may hold."""


def require_figures_place(
    folder: str | Path,
    *,
    beside: str | Path | None = None,
    images: Sequence[str | Path] = (),
    files: Set[str] = FILES,
) -> None:
    """Refuse a folder that holds other things, before hours of training.

    Args:
        folder: is to hold figures alone: what is in it is replaced.
        beside: folder of the model.
        images: files and folders that are read; figures in one of them would be read the next time.
        files: names of the figures.

    Raises:
        OutputError: when it cannot be written, is a file, holds anything but figures, lies in a folder
            that is read, or when one of the two folders lies in the other.
    """
    folder = Path(folder)
    if beside is not None:
        one, other = folder.resolve(), Path(beside).resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise OutputError(
                f"Figures in {folder} and a model in {beside} would replace each other: give another folder "
                "with --figures."
            )
    for read in map(Path, images):
        if folder.resolve().is_relative_to(read.resolve()):
            raise OutputError(
                f"Figures in {folder} would be taken for images of {read} the next time: give a place "
                "outside of it with -o, or with --figures."
            )
    foreign = sorted({path.name for path in folder.iterdir()} - files) if folder.is_dir() else []
    if foreign or (folder.exists() and not folder.is_dir()):
        held = f" ({foreign[0]})" if foreign else ""
        raise OutputError(
            f"{folder} holds other things than figures{held}: give another folder with --figures."
        )
    require_place(folder, folder=True)


def write_figures(result: Segmentation, tiles: Tiles, folder: str | Path) -> None:
    """History as CSV, curves, and, for two stages, table 2 of the paper and its pictures.

    The gallery shows training tiles, the other pictures tiles that the figures are of. Older figures
    in the folder are replaced.

    Raises:
        OutputError: when the folder cannot be written, or holds other things.
    """
    require_figures_place(folder)
    with replacing(folder, folder=True) as fresh:
        fresh.mkdir()
        write_history(result.rows, fresh / HISTORY)
        draw_curves(result.rows, fresh)
        if result.second is None or result.errors is None:
            return
        (fresh / TABLE).write_text(table2_markdown(result.rows) + "\n", encoding="utf-8")
        first, second = result.first, result.second
        train = first.stage.data.train
        error_gallery(tiles, result.errors.bits, fresh / "errors.png", which=train)

        def says(which: np.ndarray) -> Said:
            before, after = (judged.stage.scores(which) >= judged.threshold for judged in (first, second))
            return tiles.mask(which), before, after

        recovered, false = largest_pieces(result.judged, says, recovered_pieces, false_pieces)
        recovered_picture(tiles, result.judged, says, recovered, fresh / "recovered.png")
        false_positives_picture(tiles, result.judged, says, false, fresh / "false_positives.png")
        most = result.judged[np.argsort(-tiles.shares()[result.judged], kind="stable")][:CHOICE]
        few = most[:: max(len(most) // (2 * SHOWN), 1)][:SHOWN]
        truth, before, after = says(few)
        if second.stage.heads == ("error",) and second.stage.config.combine == "union":
            target, error = second.stage.outputs(few).swapaxes(0, 1) >= second.threshold
            after = (target, error)
        stages_picture(tiles, few, truth, before, after, fresh / "stages.png")
