"""What experts say together so far: for who asks them, while they answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from jido.data.orders import EXPERTS, Said, with_uninhabited, write_orders
from jido.data.tile_clusters import Clusters
from jido.errors import LabelsError
from jido.stats.experts import Combination, combine
from jido.stats.ordering import tau_matrix, to_chains
from jido.stats.partial_order import Order
from jido.web.rank_state import Standing, asked, standing
from jido.web.rank_store import Expert, RankStore

MOST_PAIRS = 30
"""Pairs of clusters in dispute that are listed."""


def standings(store: RankStore, clusters: Clusters) -> list[tuple[Expert, Standing]]:
    """Where each expert stands."""
    names = asked(clusters)
    return [(expert, standing(names, store.steps(expert)[0])) for expert in store.experts]


def said_so_far(store: RankStore, clusters: Clusters) -> Said:
    """The orders of those who have put clusters in order, as :func:`jido.data.orders.read_orders` gives them.

    Raises:
        LabelsError: when nobody has.
    """
    heard = [(expert, one) for expert, one in standings(store, clusters) if one.order.names]
    if not heard:
        raise LabelsError(f"No expert has put clusters in order yet in {store.path}: let them answer first.")
    orders, names = tuple(one.order for _, one in heard), tuple(expert.name for expert, _ in heard)
    silent = [expert.name for expert in store.experts if expert.name not in names]
    notes = [f"{name} has put nothing in order, and is left out." for name in silent]
    for name, order in zip(names, orders, strict=True):
        if order.skipped:
            notes.append(f"{name} says nothing of cluster {', '.join(order.skipped)}.")
    return Said(orders, names, tuple(notes))


def agreement(store: RankStore, clusters: Clusters) -> dict[str, Any]:
    """How far each expert is, how far they agree, and what is in dispute.

    Figures are those of :func:`jido.stats.experts.combine`; where it cannot be done, ``why`` says so.
    """
    found = standings(store, clusters)
    heard = [(expert.name, one.order) for expert, one in found if one.order.names]
    orders, combined, why = [order for _, order in heard], None, ""
    try:
        combined = combine(orders, names=asked(clusters)) if len(orders) > 1 else None
    except LabelsError as err:
        why = str(err)
    if len(orders) < 2:
        why = "Agreement takes two experts who have put clusters in order."
    together = combined.order() if combined else orders[0] if orders else None
    return {
        "experts": [_row(expert, one, heard, combined) for expert, one in found],
        "why": why,
        "names": [name for name, _ in heard],
        "tau": [[_number(value) for value in row] for row in tau_matrix(orders)] if orders else [],
        "disputes": disputes(heard, asked(clusters)),
        "graph": None if together is None else graph(with_uninhabited(together, clusters)),
    }


def _row(
    expert: Expert, one: Standing, heard: list[tuple[str, Order]], combined: Combination | None
) -> dict[str, Any]:
    names = [name for name, _ in heard]
    row: dict[str, Any] = {"name": expert.name, "order": one.text, **one.progress()}
    if combined is not None and expert.name in names:
        at = names.index(expert.name)
        row |= {"reliability": _number(combined.reliability[at]), "verdict": combined.verdicts[at]}
        row["against"] = _against(one.order, combined)
    return row


def _against(order: Order, combined: Combination) -> list[str]:
    """Pairs of which an expert says the opposite of all together, the clearest first."""
    said = order.signs(combined.names)
    gap = combined.score[:, None] - combined.score
    rows, columns = np.nonzero((said == -1) & (gap > 0))
    clearest = np.argsort(-gap[rows, columns], kind="stable")[:MOST_PAIRS]
    pairs = [(combined.names[rows[i]], combined.names[columns[i]]) for i in clearest]
    levels = combined.order().levels
    return [f"{low}>{high}" for high, low in pairs if levels[high] != levels[low]]


def disputes(heard: Sequence[tuple[str, Order]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Pairs of clusters of which one expert says > and another <, those that split them most evenly first.

    Args:
        heard: name and order of each expert.
        names: the clusters.

    Returns:
        Of each pair ``left`` and ``right``, and the experts who call the left one the more developed
        (``more``), the less developed (``less``), or both the same (``same``).
    """
    signs = np.array([order.signs(names) for _, order in heard]).reshape(-1, len(names), len(names))
    more, less = (signs == 1).sum(0), (signs == -1).sum(0)
    left, right = np.nonzero(np.triu(np.minimum(more, less), 1))
    strength = np.minimum(more, less)[left, right] + 1e-3 * (more + less)[left, right]
    found = []
    for i in np.argsort(-strength, kind="stable")[:MOST_PAIRS]:
        a, b = int(left[i]), int(right[i])
        who = {
            word: [name for (name, _), sign in zip(heard, signs[:, a, b], strict=True) if sign == value]
            for word, value in (("more", 1), ("less", -1), ("same", 0))
        }
        found.append({"left": names[a], "right": names[b], **who})
    return found


def graph(order: Order) -> dict[str, Any]:
    """An order as boxes and the arrows between them; none that follows from others."""
    levels = order.levels
    return {
        "nodes": [{"members": list(group), "level": levels[group[0]]} for group in order.groups],
        "edges": sorted(map(list, order.steps)),
        "skipped": list(order.skipped),
        "text": to_chains(order),
    }


def lines(said: Said, clusters: Clusters) -> str:
    """``experts.txt``: an expert a line, as ``jido score rank --from`` reads it."""
    with TemporaryDirectory() as folder:
        write_orders(said, said.orders[0], clusters, Path(folder))
        return (Path(folder) / EXPERTS).read_text(encoding="utf-8")


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
