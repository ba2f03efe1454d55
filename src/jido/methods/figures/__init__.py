"""All figures of a segmentation training in one folder."""

from __future__ import annotations

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
from jido.methods.figures.pieces import Stage2
from jido.methods.segment import Segmentation

CHOICE = 512
"""Tiles, those with most target first, from which pictures choose what they show."""

SHOWN = 6
"""Tiles in the picture of both stages."""

HISTORY, TABLE = "history.csv", "table2.md"

CURVES = ("loss", "iou", "stability", "fn_tp", "fp_tp", "cfdr")
PICTURES = ("errors", "recovered", "false_positives", "stages")
"""Names of the PNG, the latter of two stages."""

FILES = {HISTORY, TABLE, *(f"{name}.png" for name in (*CURVES, *PICTURES))}
"""All that a folder of figures may hold."""


def require_figures_place(folder: str | Path, *, beside: str | Path | None = None) -> None:
    """Refuse a folder that holds other things, before hours of training.

    Args:
        folder: is to hold figures alone: what is in it is replaced.
        beside: folder of the model.

    Raises:
        OutputError: when it cannot be written, is a file, holds anything but figures, or when one of
            the two folders lies in the other.
    """
    folder = Path(folder)
    if beside is not None:
        one, other = folder.resolve(), Path(beside).resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise OutputError(
                f"Figures in {folder} and a model in {beside} would replace each other: give another folder "
                "with --figures."
            )
    foreign = sorted({path.name for path in folder.iterdir()} - FILES) if folder.is_dir() else []
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
        shown = result.judged[np.argsort(-tiles.shares()[result.judged], kind="stable")][:CHOICE]
        truth = tiles.mask(shown)
        before, after = (judged.stage.scores(shown) >= judged.threshold for judged in (first, second))
        recovered_picture(tiles, shown, truth, before, after, fresh / "recovered.png")
        false_positives_picture(tiles, shown, truth, before, after, fresh / "false_positives.png")
        few = np.arange(0, len(shown), max(len(shown) // (2 * SHOWN), 1))[:SHOWN]
        said: Stage2 = after[few]
        if second.stage.heads == ("error",) and second.stage.config.combine == "union":
            target, error = second.stage.outputs(shown[few]).swapaxes(0, 1) >= second.threshold
            said = (target, error)
        stages_picture(tiles, shown[few], truth[few], before[few], said, fresh / "stages.png")
