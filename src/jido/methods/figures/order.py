"""A picture of an order of clusters: where each stands, how sure that is, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from jido.methods.figures.curves import COLOURS, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from jido.stats.experts import Combination
    from jido.stats.partial_order import Order

KIND_COLOURS = {"urban": COLOURS[1], "rural": COLOURS[2], "uninhabited": COLOURS[0], "": COLOURS[6]}
"""Colour of a kind of cluster."""


def draw_order(
    order: Order, kinds: Mapping[str, str], target: Path, *, combination: Combination | None = None
) -> Path:
    """Clusters by level; with several experts also their scores with 95 % intervals.

    Args:
        order: of the clusters.
        kinds: kind of each cluster, empty where unknown.
        target: the PNG.
        combination: of several experts.

    Raises:
        OutputError: when the place cannot be written.
    """
    from matplotlib.figure import Figure

    rows = max(len(order.names), 4)
    figure = Figure(figsize=(10 if combination else 6, 1.5 + 0.28 * rows), layout="constrained")
    axes = figure.subplots(1, 2 if combination else 1, squeeze=False)[0]
    _levels(axes[0], order, kinds)
    if combination is not None:
        _scores(axes[1], combination, kinds)
    here = [kind for kind in KIND_COLOURS if kind and kind in kinds.values()]
    for kind in here:
        axes[0].plot([], [], "s", color=KIND_COLOURS[kind], label=kind)
    if here:
        axes[0].legend(loc="lower right", fontsize=8, frameon=False)
    return save(figure, target)


def _levels(axes: Axes, order: Order, kinds: Mapping[str, str]) -> None:
    level = [order.levels[group[0]] for group in order.groups]
    taken: dict[int, int] = {}
    at = []
    for i in level:
        taken[i] = taken.get(i, 0) + 1
        at.append((taken[i] - 1, i))
    for low, high in order.steps:
        axes.plot(*zip(at[low], at[high], strict=True), color="0.75", linewidth=1, zorder=1)
    for (x, y), group in zip(at, order.groups, strict=True):
        text = " = ".join(group)
        colour = KIND_COLOURS[kinds.get(group[0], "")]
        box = {"facecolor": "white", "edgecolor": colour, "boxstyle": "round,pad=0.35"}
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box, zorder=2)
    axes.set_xlim(-0.9, max(x for x, _ in at) + 0.9)
    axes.set_ylim(-0.7, max(level) + 0.7)
    axes.set_xticks([])
    axes.set_ylabel("level (0 = least developed)")
    axes.set_title("combined order: in one box what cannot be told apart", fontsize=10)


def reach(freedom: float) -> float:
    """Half a 95 % interval in standard errors of so many degrees of freedom."""
    return float(stdtrit(min(freedom, 1e6), 0.975))


def _scores(axes: Axes, combination: Combination, kinds: Mapping[str, str]) -> None:
    row = np.argsort(combination.score)
    half = reach(combination.freedom) * combination.error
    for y, i in enumerate(row):
        name = combination.names[i]
        colour = KIND_COLOURS[kinds.get(name, "")]
        axes.errorbar(combination.score[i], y, xerr=half[i], fmt="o", color=colour, capsize=2, markersize=4)
    axes.set_yticks(range(len(row)), [combination.names[i] for i in row], fontsize=8)
    axes.set_xlabel("score of the cluster, with 95 % interval")
    axes.set_title(f"what {len(combination.reliability)} experts say together", fontsize=10)
    axes.grid(axis="x", color="0.9")
