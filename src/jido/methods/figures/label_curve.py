"""Accuracy against the number of labels, a line per learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.methods.figures.curves import COLOURS, MARKS, STYLES, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("per_class", "fraction")
"""Columns of the two ways to count labels, a panel each."""

EDGE = 1.5
"""The axis begins at the first budget divided by this and ends at the last one times this."""

NAME, LETTER, LINE, LINES = 0.65, 0.075, 0.2, 4
"""Inches of a name's mark, of its letters, and of a line of names; lines that the panels leave room for."""


def draw_label_curve(rows: Sequence[Mapping[str, Any]], path: str | Path, *, unit: str) -> Path:
    """Overall accuracy over the number of labels, with its intervals, as PNG.

    Labels per class and shares of all labels have a panel each, as wide as they have budgets. The bars of
    several learners stand a little beside each other, so that none hides another.

    Args:
        rows: of ``LabelCurve.summary``, one or more.
        path: of the PNG.
        unit: what is labelled: ``samples`` or ``groups``.

    Raises:
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    learners = list(dict.fromkeys(row["learner"] for row in rows))
    panels = {kind: sorted({row[kind] for row in rows if row[kind] is not None}) for kind in KINDS}
    panels = {kind: budgets for kind, budgets in panels.items() if budgets}
    widths = [max(len(budgets), 2) for budgets in panels.values()]
    width = 6 if len(panels) == 1 else 9.5
    columns = min(len(learners), max(int(width / (NAME + LETTER * max(map(len, learners)))), 1))
    more = max(-(-len(learners) // columns) - LINES, 0)
    figure = Figure(figsize=(width, 4.6 + LINE * more), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw={"width_ratios": widths})[
        0
    ]
    for axis, (kind, budgets) in zip(axes, panels.items(), strict=True):
        for number, name in enumerate(learners):
            part = [row for row in rows if row["learner"] == name and row[kind] is not None]
            places = np.array([row[kind] for row in part]) * _aside(budgets, number, len(learners))
            _line(axis, places, part, number=number, label=name)
        _budgets(axis, kind, budgets, unit)
    axes[0].set_ylabel("overall accuracy (%)")
    claimed = any(row["oa"]["lower"] is not None for row in rows)
    figure.suptitle(
        "Bars: 95 % interval over draws of labels and test groups" if claimed else "No interval is claimed",
        fontsize=9,
        color="0.3",
    )
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return save(figure, Path(path))


def _aside(budgets: Sequence[float], number: int, count: int) -> float:
    """Factor by which a learner's points stand beside their budget on the logarithmic axis."""
    span = np.log(budgets[-1] / budgets[0]) + 2 * np.log(EDGE)
    nearest = np.diff(np.log(budgets)).min(initial=span)
    step = min(0.018 * span, 0.5 * nearest / count)  # bars of two budgets are never mixed
    return float(np.exp(step * (number - (count - 1) / 2)))


def _line(
    axis: Axes, places: np.ndarray, rows: Sequence[Mapping[str, Any]], *, number: int, label: str
) -> None:
    """One learner: a line through its means, and a bar where an interval is claimed."""
    value, lower, upper = (
        100 * np.array([row["oa"][end] for row in rows], dtype=np.float64)
        for end in ("value", "lower", "upper")
    )
    axis.errorbar(
        places,
        value,
        yerr=np.nan_to_num([value - lower, upper - value]),
        color=COLOURS[number % len(COLOURS)],
        linestyle=STYLES[number // len(COLOURS) % len(STYLES)],
        marker=MARKS[number % len(MARKS)],
        markersize=5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2.5,
        label=label,
    )


def _budgets(axis: Axes, kind: str, budgets: Sequence[float], unit: str) -> None:
    """A logarithmic axis with a tick at every budget and nowhere else."""
    axis.set_xscale("log")
    texts = [f"{budget:g}" if kind == "per_class" else f"{100 * budget:g} %" for budget in budgets]
    axis.set_xticks(budgets, texts)
    axis.minorticks_off()
    axis.set_xlim(budgets[0] / EDGE, budgets[-1] * EDGE)
    words = "labelled {} per class" if kind == "per_class" else "share of the {} of each class"
    axis.set_xlabel(words.format(unit))
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
