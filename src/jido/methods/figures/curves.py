"""The curves of a two-stage training: figures 3-5 and 7-10 of the ginseng paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jido.io import replacing
from jido.methods.figures.history import (
    BASELINE,
    SHARED,
    Rows,
    cases,
    collected_rows,
    is_branch,
    last_tenth,
    moving_sd,
    read_history,
    stage1_of,
    table2,
    table2_markdown,
    values,
    write_history,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "draw_curves",
    "draw_losses",
    "moving_sd",
    "read_history",
    "save",
    "table2",
    "table2_markdown",
    "write_history",
]

Curve = tuple[str, float, float, Callable[[Rows], np.ndarray]]
"""What follows the name of the run in the legend, width and opacity of the line, and its numbers."""

FITTED = 0.99
"""IoU on the training tiles from which on the paper accumulates errors."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito 2008, colour-blind safe, without yellow, which a line on white does not bear."""

STYLES = ("-", "--", ":")
MARKS = "osD^vPX*"
SMOOTH = 9
"""Epochs of a running mean."""


def draw_curves(rows: Rows, folder: str | Path) -> list[Path]:
    """Loss, IoU, stability, FN/TP, FP/TP and CFDR of a history, as PNG.

    Every case of stage 2 has a panel with the part of stage 1 that it comes from; without a case there is a
    panel of stage 1.

    Args:
        rows: the history, one row or more.
        folder: is made if it is not there.

    Returns:
        The files: loss, iou, stability, fn_tp, fp_tp, cfdr.

    Raises:
        OutputError: when a file cannot be written.
    """
    sd = "standard deviation of held-out IoU\nover the next 10 epochs"
    iou: list[Curve] = [
        (", training tiles", 0.9, 0.45, lambda part: values(part, "train_iou")),
        (", held-out tiles", 1.3, 1.0, lambda part: values(part, "iou")),
    ]
    figures = {
        "loss": _loss(rows),
        "iou": _panels(rows, "IoU", iou, top=1.02),
        "stability": _panels(rows, sd, [("", 1.2, 1.0, lambda part: moving_sd(values(part, "iou")))]),
        "fn_tp": _panels(
            rows, "FN / TP, held-out tiles", [("", 1.2, 1.0, lambda part: values(part, "fn_tp"))]
        ),
        "fp_tp": _panels(
            rows, "FP / TP, held-out tiles", [("", 1.2, 1.0, lambda part: values(part, "fp_tp"))]
        ),
        "cfdr": _cfdr(rows),
    }
    return [save(figure, Path(folder) / f"{name}.png") for name, figure in figures.items()]


def draw_losses(histories: Mapping[str, Rows], path: str | Path) -> Path:
    """Held-out IoU of one stage for several losses, a line each (figure 3).

    The thick line is the mean over :data:`SMOOTH` epochs, the thin one every epoch: how far it strays
    is what the paper chooses a loss by. The legend gives mean and standard deviation of the last tenth.

    Args:
        histories: name of the loss -> its history; only the rows of stage 1 are drawn.
        path: of the PNG.

    Raises:
        OutputError: when the file cannot be written.
    """
    figure, (axis,) = _canvas(1)
    for number, (name, rows) in enumerate(histories.items()):
        part = [row for row in rows if row["stage"] == 1]
        iou, last = values(part, "iou"), values(last_tenth(part), "iou")
        last = last[np.isfinite(last)]
        spread = f" ± {last.std():.2f}" if len(last) > 1 else ""
        label = f"{name}: {last.mean():.2f}{spread}" if len(last) else name
        if len(part) < 3 * SMOOTH:
            _line(axis, part, iou, label=label, number=number, width=1.3)
            continue
        _line(axis, part, iou, label="_", number=number, width=0.7, alpha=0.35)
        middle, smooth = part[SMOOTH // 2 : -(SMOOTH // 2)], sliding_window_view(iou, SMOOTH).mean(axis=1)
        _line(axis, middle, smooth, label=label, number=number, width=1.8)
    _finish(figure, [axis], "IoU, held-out tiles", top=1.02)
    words = (
        f"Thick: mean over {SMOOTH} epochs. Legend: mean ± standard deviation of the last tenth of the epochs"
    )
    axis.set_title(words, fontsize=10)
    return save(figure, Path(path))


def over_epochs(axis: Axes) -> None:
    """Name and ticks of a horizontal axis of epochs, and a grid behind the lines."""
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axis.get_xlim()
    if high - low < 1:  # one epoch
        axis.set_xlim(low - 1, high + 1)
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> Path:
    """A figure as PNG of 100 dots per inch, the same bytes every time.

    Raises:
        OutputError: when the file cannot be written.
    """
    with replacing(path) as fresh:
        figure.savefig(fresh, dpi=100, format="png", metadata={"Software": None})
    return path


def _canvas(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure for that many panels: one broad one, or two a row."""
    from matplotlib.figure import Figure

    columns = 1 if panels == 1 else 2
    lines = -(-panels // columns)
    figure = Figure(figsize=(8.5, 4.8) if panels == 1 else (11, 0.8 + 3.3 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    return figure, axes[:panels]


def _line(
    axis: Axes, rows: Rows, numbers: np.ndarray, *, label: str, number: int, width: float, alpha: float = 1
) -> None:
    """One line over the epochs of some rows; nothing, not even in the legend, when it has no number."""
    known = np.pad(np.isfinite(numbers), 1)
    if not known.any():
        return
    alone = known[1:-1] & ~known[:-2] & ~known[2:]  # a line of one point is invisible
    axis.plot(
        [row["epoch"] for row in rows],
        numbers,
        color=COLOURS[number % len(COLOURS)],
        linestyle=STYLES[number // len(COLOURS) % len(STYLES)],
        linewidth=width,
        alpha=alpha,
        marker="o" if alone.any() else "",
        markersize=4,
        markevery=np.flatnonzero(alone).tolist(),
        label=label,
    )


def _finish(
    figure: Figure, axes: Sequence[Axes], label: str, *, top: float | None = None, log: bool = False
) -> None:
    """Limits, names of the axes and one legend below all panels."""
    limit = top or _limit(axes)
    legend: dict[str, Any] = {}
    for axis in axes:
        lines = [line for line in axis.lines if not str(line.get_label()).startswith("_")]
        if log and lines:
            axis.set_yscale("log")
        elif not log:
            axis.set_ylim(0, limit)
        axis.set_ylabel(label)
        over_epochs(axis)
        handles, names = axis.get_legend_handles_labels()
        legend |= dict(zip(names, handles, strict=True))
        if not lines:
            axis.text(0.5, 0.5, "no numbers", transform=axis.transAxes, ha="center", color="0.4")
        above = sum(int((_numbers(line) > axis.get_ylim()[1]).sum()) for line in lines)
        if above:
            words = f"{above} points above the axis"
            axis.text(
                0.99, 0.97, words, transform=axis.transAxes, ha="right", va="top", fontsize=8, color="0.3"
            )
    if legend:
        handles, names = list(legend.values()), list(legend)
        columns = len(names) if len(names) < 4 else min(-(-len(names) // 2), 4)
        figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _numbers(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def _limit(axes: Sequence[Axes]) -> float:
    """Top of the axes: the highest number, unless a few are far above all others.

    A net that has learned one epoch finds nearly nothing: FN/TP of 50 would press flat what matters.
    """
    drawn = np.concatenate([np.zeros(0), *(_numbers(line) for axis in axes for line in axis.lines)])
    drawn = drawn[np.isfinite(drawn)]
    return float(min(1.05 * drawn.max(), 1.5 * np.percentile(drawn, 95))) or 1.0 if len(drawn) else 1.0


def _panels(rows: Rows, label: str, curves: Sequence[Curve], *, top: float | None = None) -> Figure:
    """A panel per case, stage 1 against stage 2; one panel of all runs of stage 1 where there is no case."""
    first, groups = _runs(rows, 1), dict[str, dict[str, Rows]]()
    for case in cases(rows):
        after = [row for row in rows if row["stage"] == 2 and row["run"] == case]
        groups[case] = {"stage 1": stage1_of(rows, case), "stage 2": after}
        groups[case] |= {BASELINE: first[BASELINE]} if BASELINE in first else {}
    groups = groups or {"stage 1": {_called(name): part for name, part in first.items()}}
    figure, axes = _canvas(len(groups))
    for axis, (title, parts) in zip(axes, groups.items(), strict=True):
        for number, (name, part) in enumerate(parts.items()):
            for words, width, alpha, numbers in curves:
                text = name + words
                _line(axis, part, numbers(part), label=text, number=number, width=width, alpha=alpha)
        errors = [row["epoch"] for part in parts.values() for row in collected_rows(part)]
        if errors:
            span = min(errors) - 0.5, max(errors) + 0.5
            axis.axvspan(*span, color="0.93", zorder=0, label="stage 1: errors collected")
        if top:
            axis.axhline(FITTED, color="0.4", linewidth=0.8, linestyle=":", label=f"_{FITTED}")
            place = axis.get_yaxis_transform()
            axis.text(0.01, FITTED, f"{FITTED}", transform=place, va="top", fontsize=8, color="0.4")
        axis.set_title("" if title == "stage 2" else title)  # that is the name of one of its lines
    _finish(figure, axes, label, top=top)
    return figure


def _runs(rows: Rows, stage: int) -> dict[str, Rows]:
    """The rows of a stage by run, in the order of the history."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["stage"] == stage:
            runs.setdefault(row["run"], []).append(row)
    return dict(runs)


def _called(run: str) -> str:
    return f"branch {run}" if is_branch(run) else run


def _loss(rows: Rows) -> Figure:
    """Loss of all runs, a panel per stage; their scales differ, since stage 2 has two outputs.

    On held-out tiles it is that of the target output alone.
    """
    stages = [stage for stage in (1, 2) if _runs(rows, stage)] or [1]
    figure, axes = _canvas(len(stages))
    number = count()  # goes on from panel to panel: there is one legend
    for axis, stage in zip(axes, stages, strict=True):
        for name, part in _runs(rows, stage).items():
            colour = next(number)
            for words, column, alpha in (("training", "loss", 0.45), ("held-out", "val_loss", 1.0)):
                loss = values(part, column)
                loss = np.where(loss > 0, loss, np.nan)
                label = f"{_called(name)}, {words} tiles"
                _line(axis, part, loss, label=label, number=colour, width=0.9, alpha=alpha)
        axis.set_title(f"Stage {stage}")
    _finish(figure, axes, "loss", log=True)
    return figure


def _cfdr(rows: Rows) -> Figure:
    """CFDR over the epochs of accumulation, a line per branch, a mark where each case ends (figure 5)."""
    figure, (axis,) = _canvas(1)
    runs = {name: part for name, run in _runs(rows, 1).items() if (part := collected_rows(run))}
    for number, (name, part) in enumerate(runs.items()):
        before = [row for row in runs.get(SHARED, []) if row["epoch"] < part[0]["epoch"]]
        joined = [*before[-1:], *part] if is_branch(name) else part
        _line(axis, joined, values(joined, "cfdr"), label=_called(name), number=number, width=1.4)
    for number, case in enumerate(cases(rows)):
        if end := collected_rows(stage1_of(rows, case))[-1:]:
            label = f"errors for {case}: {end[0]['cfdr']:.4f}"
            point, mark = (end[0]["epoch"], end[0]["cfdr"]), MARKS[number % len(MARKS)]
            axis.plot(*point, mark, color="0.15", mfc="none", ms=9, mew=1.5, label=label)
    top = 1.08 * float(np.nanmax(values(rows, "cfdr"), initial=0))  # nothing is cut off: the jumps matter
    _finish(figure, [axis], "CFDR\n(share of all training pixels ever in error)", top=top)
    words = "Cumulative false-detection ratio of the errors collected in stage 1"
    axis.set_title(words if runs else "No errors were collected in stage 1")
    return figure
