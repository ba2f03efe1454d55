"""The history of a two-stage training: what is noted at every epoch, on disk and as the table of the paper.

Ahn, Shin and Choi 2025, "Improving Binary Segmentation Accuracy for Agricultural Land Monitoring through
Two-Stage U-Net Training". A history is a list of rows, one for each epoch of each run; :data:`COLUMNS`
names what a row holds.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jido.errors import JidoError
from jido.io import replacing

Rows = Sequence[Mapping[str, Any]]

COLUMNS: dict[str, type] = {
    "run": str,  # "stage 1", a branch "A" that goes on from it, or a case of stage 2 "A_100-200"
    "stage": int,
    "epoch": int,  # branches go on counting after stage 1, a case of stage 2 counts from 1
    "loss": float,  # on training tiles, of all outputs
    "val_loss": float,  # on held-out tiles, of the target output alone
    "train_iou": float,
    "iou": float,  # this and the next four on held-out tiles
    "precision": float,
    "recall": float,
    "fn_tp": float,
    "fp_tp": float,
    "cfdr": float,  # cumulative false-detection ratio; None where no errors are accumulated
}
SHARED = "stage 1"
"""Name of the run of stage 1 that branches go on from."""

BASELINE = "baseline"
"""Name of a run of stage 1 alone, of as many epochs as both stages: the fair rival."""

FIGURES = ("iou", "fn_tp", "fp_tp")
READINGS = {"mean": "average", "final": "converged", "best": "best epoch"}


def write_history(rows: Rows, path: str | Path) -> None:
    """A history as CSV; ``None`` and what a row lacks become empty.

    Numbers that rows hold beyond :data:`COLUMNS` (the seconds of an epoch) stand in columns behind them.

    Raises:
        OutputError: when the file cannot be written.
    """
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: str | Path) -> list[dict[str, Any]]:
    """The rows of :func:`write_history`; empty becomes ``None``.

    Raises:
        JidoError: when the file cannot be read or is no history.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := COLUMNS.keys() - set(reader.fieldnames or ()):
                raise ValueError(f"column {min(missing)} is missing")
            return [
                {name: COLUMNS.get(name, float)(text) if text else None for name, text in row.items()}
                for row in reader
            ]
    except OSError as err:
        raise JidoError(f"Cannot read {path}: {err.strerror}; give the history of a training.") from err
    except (ValueError, TypeError, csv.Error) as err:  # TypeError: a line that is too long
        raise JidoError(f"{path} is no history of a training: {err}; give the CSV that it wrote.") from err


def cases(rows: Rows) -> list[str]:
    """Names of the runs of stage 2, in the order of the history."""
    return list(dict.fromkeys(row["run"] for row in rows if row["stage"] == 2))


def stage1_of(rows: Rows, case: str) -> Rows:
    """The rows of stage 1 that a case of stage 2 comes from, in the order of epochs.

    ``A_100-250``: the shared run up to where branch A sets in, then the branch, both up to epoch 250. Any
    other name: the shared run and all branches, and where there are none, all rows of stage 1: a baseline
    or a fold is no part of a stage 1 that has a shared run.
    """
    first = [row for row in rows if row["stage"] == 1]
    named = re.fullmatch(r"([^_]+)_\d+-(\d+)", case)
    if not named:
        return [row for row in first if row["run"] == SHARED or is_branch(row["run"])] or first
    end = int(named[2])
    own = [row for row in first if row["run"] == named[1]]
    fork = min((row["epoch"] for row in own), default=end + 1)
    shared = [row for row in first if row["run"] == SHARED and row["epoch"] < fork]
    return sorted((row for row in shared + own if row["epoch"] <= end), key=lambda row: row["epoch"])


def is_branch(run: str) -> bool:
    """Does a run of stage 1 go on from the shared one? Branches are called by one letter."""
    return len(run) == 1


def moving_sd(values: Sequence[float | None] | np.ndarray, ahead: int = 10) -> np.ndarray:
    """How unsteady a figure is: its standard deviation over the next epochs (section III.2, figure 8).

    The epoch itself is not among them, and the sum of squares is divided by their number (the paper says
    neither).

    Args:
        values: (n,), a number per epoch.
        ahead: number of epochs that are looked at, 1 or more.

    Returns:
        float64 (n,), NaN where fewer than ``ahead`` follow or one of them is no finite number.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be 1 or more, not {ahead}.")
    numbers = _finite(values)
    sd = np.full(len(numbers), np.nan)
    if len(numbers) > ahead:
        sd[:-ahead] = sliding_window_view(numbers[1:], ahead).std(axis=1)
    return sd


def table2(rows: Rows) -> list[dict[str, Any]]:
    """Table 2 of the paper in three readings, a dict per case of stage 2.

    Keys: ``case``; ``first_epoch``, ``last_epoch`` and ``cfdr`` of the accumulation, ``None`` where it is not
    known; and ``READING_FIGURE_STAGE`` for the :data:`READINGS`, the :data:`FIGURES` and the stages 1 and 2,
    with ``READING_FIGURE_change`` = stage 2 - stage 1 (the paper prints FN/TP the other way round).
    ``None`` stands for what is not defined.

    - ``mean``: over the epochs of accumulation (all of stage 1 if there are none), and all of stage 2. This
      is the paper's table; it counts how fast a net learns as much as how good it gets.
    - ``final``: over the last tenth of the epochs, at least one.
    - ``best``: at the epoch of the highest held-out IoU, ``best_epoch_STAGE``. It is chosen on the tiles that
      it is told of, so it is too good.

    Epochs at which a figure is not defined (FN/TP without any TP) are left out of its mean.
    """
    table: list[dict[str, Any]] = []
    for case in cases(rows):
        before = stage1_of(rows, case)
        after = [row for row in rows if row["stage"] == 2 and row["run"] == case]
        collected = collected_rows(before)
        facts: dict[str, Any] = {
            "case": case,
            "first_epoch": collected[0]["epoch"] if collected else None,
            "last_epoch": collected[-1]["epoch"] if collected else None,
            "cfdr": collected[-1]["cfdr"] if collected else None,
        }
        for stage, whole, averaged in ((1, before, collected or before), (2, after, after)):
            best = _best(whole)
            for reading, part in zip(READINGS, (averaged, last_tenth(whole), best), strict=True):
                for figure in FIGURES:
                    facts[f"{reading}_{figure}_{stage}"] = mean_of(part, figure)
            facts[f"best_epoch_{stage}"] = best[0]["epoch"] if best else None
        for name in [f"{reading}_{figure}" for reading in READINGS for figure in FIGURES]:
            one, two = facts[f"{name}_1"], facts[f"{name}_2"]
            facts[f"{name}_change"] = None if one is None or two is None else two - one
        table.append(facts)
    return table


def table2_markdown(rows: Rows) -> str:
    """:func:`table2` as Markdown, a line per case and reading, with what the readings mean below it."""
    table = table2(rows)
    if not table:
        return "The history holds no second stage.\n"
    named = [
        f"{name} {part}" for name in ("IoU", "FN/TP", "FP/TP") for part in ("stage 1", "stage 2", "change")
    ]
    head = ["case", "epochs", "CFDR", "reading", *named]
    lines = [head, ["---"] * 4 + ["---:"] * 9]
    for facts in table:
        known = facts["cfdr"] is not None
        epochs = f"{facts['first_epoch']}-{facts['last_epoch']}" if known else "–"
        for reading, words in READINGS.items():
            figures = [
                "–" if (value := facts[f"{reading}_{figure}_{part}"]) is None
                else f"{value:{'+' if part == 'change' else ''}.3f}"
                for figure in FIGURES
                for part in (1, 2, "change")
            ]  # fmt: skip
            cfdr = f"{facts['cfdr']:.4f}" if known else "–"
            lines.append([facts["case"], epochs, cfdr, words, *figures])
    notes = (
        "All figures are those of held-out tiles; change = stage 2 - stage 1. Average: over the epochs of "
        "accumulation (stage 1) and over all epochs (stage 2), as in the paper. Converged: over the last "
        "tenth of the epochs. Best epoch: that of the highest IoU on the same tiles, so it is too good. "
        "Stage 2 comes on top of stage 1: a fair rival is one stage of as many epochs in all."
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{notes}\n"


def values(rows: Rows, name: str) -> np.ndarray:
    """One column of a history, float64 (n,), NaN where it has no finite number."""
    return _finite([row.get(name) for row in rows])


def _finite(numbers: Sequence[float | None] | np.ndarray) -> np.ndarray:
    found = np.asarray(numbers, dtype=np.float64)  # None becomes NaN
    return np.where(np.isfinite(found), found, np.nan)


def collected_rows(rows: Rows) -> Rows:
    """The epochs at which errors were accumulated."""
    return [row for row in rows if row.get("cfdr") is not None]


def last_tenth(rows: Rows) -> Rows:
    """The epochs over which a converged figure is averaged: the last tenth, at least one."""
    return rows[-max(len(rows) // 10, 1) :]


def mean_of(rows: Rows, name: str) -> float | None:
    """Mean of a column over the rows that have a finite number; ``None`` without any."""
    known = values(rows, name)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def _best(rows: Rows) -> Rows:
    """The row of the highest held-out IoU, the first of several, as a list; empty when none has any."""
    iou = values(rows, "iou")
    return [rows[int(np.nanargmax(iou))]] if np.isfinite(iou).any() else []
