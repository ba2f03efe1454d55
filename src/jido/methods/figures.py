"""All figures of a segmentation training in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jido.data.tiles import Tiles
from jido.errors import OutputError
from jido.io import replacing
from jido.methods.curves import draw_curves, table2_markdown, write_history
from jido.methods.pictures import (
    error_gallery,
    false_positives_picture,
    recovered_picture,
    stages_picture,
)
from jido.methods.pieces import Stage2
from jido.methods.segment import Segmentation

CHOICE = 512
"""Tiles, those with most target first, from which pictures choose what they show."""

SHOWN = 6
"""Tiles in the picture of both stages."""

HISTORY = "history.csv"


def require_figures_place(folder: str | Path) -> None:
    """Refuse a folder that holds other things, before hours of training.

    Raises:
        OutputError: when it is no folder of figures and not empty.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / HISTORY).exists() and (folder.is_file() or any(folder.iterdir())):
        raise OutputError(f"{folder} holds other things than figures: give another folder with --figures.")


def write_figures(result: Segmentation, tiles: Tiles, folder: str | Path) -> None:
    """History as CSV, curves, and, for two stages, table 2 of the paper and its pictures.

    The gallery shows training tiles, the other pictures tiles that the figures are of. Older figures
    in the folder are replaced.

    Raises:
        OutputError: when the folder cannot be written.
    """
    require_figures_place(folder)
    with replacing(folder, folder=True) as fresh:
        fresh.mkdir()
        write_history(result.rows, fresh / HISTORY)
        draw_curves(result.rows, fresh)
        if result.second is None:
            return
        (fresh / "table2.md").write_text(table2_markdown(result.rows) + "\n", encoding="utf-8")
        first, second = result.first, result.second
        train = first.stage.data.train
        error_gallery(tiles.subset(train), first.stage.errors.bits[train], fresh / "errors.png")
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
