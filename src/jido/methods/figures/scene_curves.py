"""Curves of scene classification: what happened over the epochs, and whether confidences can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.methods.figures.curves import COLOURS, over_epochs
from jido.methods.figures.history import Rows, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG = "#009E73", "#D55E00"
"""Green and vermilion of Okabe and Ito 2008: answers that were right and wrong."""

FIRST = 0.622
"""Weight of coordinate attention that a balanced block begins with: the sigmoid of .5."""

BARS = 20
"""Of the histograms of confidence, between 0 and 1."""


def training_figure(rows: Rows, *, best: int) -> Figure:
    """Loss, accuracy of the validation images and the learning rate over the epochs, side by side.

    Args:
        rows: the history of a :class:`~jido.methods.scene.SceneTraining`, one row or more.
        best: the epoch whose weights were kept.
    """
    figure, (losses, right, rate) = _panels(3, height=3.3)
    _line(losses, rows, "loss", label="training", colour=COLOURS[0])
    _line(losses, rows, "val_loss", label="validation", colour=COLOURS[1])
    losses.set_title("Loss")
    _line(right, rows, "val_oa", label="validation", colour=COLOURS[1])
    right.set_title("Accuracy on validation images")
    _line(rate, rows, "learning_rate", label="rate", colour=COLOURS[2])
    rate.set_title("Learning rate")
    for axis in (losses, right):
        axis.axvline(best, color="0.4", linewidth=0.8, linestyle=":", label=f"kept: epoch {best}")
    for axis in (losses, right, rate):
        _finish(axis)
    rate.set_ylim(0, 1.05 * max(np.nanmax(values(rows, "learning_rate"), initial=0), 1e-12))
    return figure


def fusion_figure(rows: Rows) -> Figure:
    """Weight of coordinate attention in every balanced block over the epochs.

    Args:
        rows: the history, with one weight or more in ``fusion``.
    """
    import matplotlib

    figure, (axis,) = _panels(1, height=3.4, width=8.5)
    weights = np.array([row["fusion"] for row in rows], dtype=np.float64)  # (epochs, blocks)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, weights.shape[1]))
    epochs = [row["epoch"] for row in rows]
    for number, (block, colour) in enumerate(zip(weights.T, colours, strict=True), start=1):
        axis.plot(epochs, block, color=colour, linewidth=1.3, label=f"block {number}", **_mark(len(rows)))
    low, high = min(weights.min(), FIRST), max(weights.max(), FIRST)
    axis.set_ylim(max(low - 0.03, 0), min(high + 0.03, 1))
    axis.axhline(FIRST, color="0.4", linewidth=0.8, linestyle=":", label=f"at first: {FIRST}")
    axis.set_ylabel("weight of coordinate attention\n(the rest: squeeze-excitation)")
    _finish(axis, legend=False)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return figure


def confidence_figure(
    reliability: Sequence[dict[str, Any]], confidence: np.ndarray, right: np.ndarray
) -> Figure:
    """Accuracy against confidence, and how sure right and wrong answers were.

    Args:
        reliability: rows of :func:`~jido.stats.calibration.reliability`.
        confidence: (n,) highest probability of each answer, 0..1.
        right: (n,) bool, whether it was right.
    """
    figure, (diagram, sure) = _panels(2, height=3.7)
    draw_reliability(diagram, reliability, of="images")
    bins = np.linspace(0, 1, BARS + 1).tolist()
    for which, colour, name in ((right, RIGHT, "right"), (~right, WRONG, "wrong")):
        label = f"{name}: {np.count_nonzero(which):,}"
        sure.hist(confidence[which], bins, color=colour, alpha=0.55, label=label)
        sure.hist(confidence[which], bins, color=colour, histtype="step", linewidth=1.2)
    sure.set(xlim=(0, 1), xlabel="confidence", ylabel="images", yscale="log")
    sure.set_ylim(bottom=0.7)
    sure.set_title("Confidence of right and of wrong answers")
    _with_grid(sure)
    return figure


def draw_reliability(diagram: Axes, reliability: Sequence[dict[str, Any]], *, of: str) -> None:
    """Accuracy against confidence.

    Args:
        diagram: where to draw.
        reliability: rows of :func:`~jido.stats.calibration.reliability`.
        of: what was counted, such as ``images``.
    """
    lower, upper, accuracy, mean = (
        np.array([row[name] for row in reliability]) for name in ("lower", "upper", "accuracy", "confidence")
    )
    diagram.bar(lower, accuracy, upper - lower, align="edge", color=COLOURS[5], edgecolor="white")
    diagram.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle=":", label="as sure as right")
    diagram.plot(mean, accuracy, "o", color="0.15", markersize=4, label="mean confidence of the bin")
    for row in reliability:
        middle = (row["lower"] + row["upper"]) / 2
        diagram.text(middle, 0.015, f"{row['n']:,}", ha="center", va="bottom", fontsize=7.5, rotation=90)
    diagram.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right")
    diagram.set_title(f"Reliability; in the bars: number of {of}")
    _with_grid(diagram)


def _with_grid(axis: Axes) -> None:
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="best", framealpha=0.85, edgecolor="none", fontsize=8)


def _panels(count: int, *, height: float, width: float = 11) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _line(axis: Axes, rows: Rows, name: str, *, label: str, colour: str) -> None:
    """One column over the epochs that have a number of it; none without any."""
    numbers = values(rows, name)
    known = np.isfinite(numbers)
    if known.any():
        epochs = np.array([row["epoch"] for row in rows])
        axis.plot(
            epochs[known], numbers[known], color=colour, linewidth=1.4, label=label, **_mark(known.sum())
        )


def _mark(count: int) -> dict[str, Any]:
    """A mark at every point of a short line: one of a single point is not seen without."""
    return {"marker": "o", "markersize": 3.5} if count <= 20 else {}


def _finish(axis: Axes, *, legend: bool = True) -> None:
    over_epochs(axis)
    if not any(len(np.atleast_1d(line.get_ydata())) and line.get_linestyle() != ":" for line in axis.lines):
        axis.text(0.5, 0.5, "no numbers", transform=axis.transAxes, ha="center", color="0.4")
    if legend and len(axis.lines) > 1:
        axis.legend(frameon=False, fontsize=8)
