"""``jido score rank``: what experts say of clusters, put together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table
from jido.cli.options import JsonFlag, Quiet

if TYPE_CHECKING:
    from jido.data.orders import Said
    from jido.data.tile_clusters import Clusters
    from jido.stats.experts import Combination
    from jido.stats.partial_order import Order

LEVELS, RELIABILITY, AGREEMENT, PICTURE = "levels.csv", "experts.csv", "tau.csv", "order.png"
"""What a folder of an order holds besides the order and what experts said."""


def rank(
    clusters: Annotated[
        Path,
        typer.Argument(
            help="Folder (or table) of jido score cluster, or a folder of images for each cluster.",
            metavar="CLUSTERS",
        ),
    ],
    orders: Annotated[
        list[Path],
        typer.Option(
            "--from",
            help="Text: an expert a line, 3=4>1>0 (> more developed, = alike), or an expert a file with a "
            "relation a line, 0<1. Repeat it.",
            metavar="FILE",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the combined order.", metavar="ORDER")
    ],
    names: Annotated[
        Path | None,
        typer.Option("--names", help="Text with the name of an expert a line.", metavar="FILE"),
    ] = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Combine experts' orders of clusters, and tell how reliable each expert is.

    Writes ORDER/order.txt (a relation a line), experts.txt (an expert a line), levels.csv, experts.csv,
    tau.csv (agreement of every two experts) and order.png. Clusters that experts do not tell apart stand on
    one level; with fewer than five experts differences must be large for that. An expert who has it upside
    down is found and turned round. Uninhabited clusters that nobody names stand below all.
    """
    from jido.data.orders import read_orders
    from jido.data.tile_clusters import read_clusters

    _require_order_place(output, clusters, [*orders, *([names] if names else [])])
    groups = read_clusters(clusters)
    said = read_orders(orders, groups, names=names)
    combined, order = combined_order(said, groups)
    _write(output, said, combined, order, groups)
    for text in (*groups.notes, *said.notes, *_remarks(said, combined, order)):
        note(text, quiet=quiet)
    facts: dict[str, Any] = {
        "order": str(output / "order.txt"),
        "clusters": len(order.names),
        "levels": max(order.levels.values()) + 1,
        "experts": _experts(said, combined),
    }
    if json:
        print_json(facts)
        return
    rows = [
        [one["expert"], one["clusters"], _told(one["reliability"]), one["verdict"]]
        for one in facts["experts"]
    ]
    if combined is not None:
        print_table(["expert", "clusters", "tau with the others", ""], rows)
    print(f"{facts['clusters']} clusters on {facts['levels']} levels; picture: {output / PICTURE}")
    print(f"Order: {output}")


def combined_order(said: Said, clusters: Clusters) -> tuple[Combination | None, Order]:
    """Scores of clusters by several experts, and the order; that of one expert is taken as it is."""
    from jido.data.orders import with_uninhabited
    from jido.stats.experts import combine

    if len(said.orders) == 1:
        return None, with_uninhabited(said.orders[0], clusters)
    combined = combine(said.orders, names=clusters.names)
    return combined, with_uninhabited(combined.order(), clusters)


def _remarks(said: Said, combined: Combination | None, order: Order) -> list[str]:
    """What a reader of the order has to know, a sentence each."""
    found = []
    for name, verdict in zip(said.names, combined.verdicts if combined else (), strict=False):
        if verdict == "reversed":
            found.append(f"{name} says the opposite of the others, and is turned round.")
    if len(order.groups) == 1:
        found.append("All clusters stand on one level, so no score can be learned: ask more experts.")
    return found


def _require_order_place(output: Path, clusters: Path, inputs: list[Path]) -> None:
    """Refuse a folder that holds other things, or what is read, or that lies among clusters."""
    from jido.data.orders import EXPERTS, ORDER
    from jido.errors import OutputError
    from jido.io import require_place

    require_place(output, folder=True)
    for path in (clusters, *inputs):
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{path} lies in {output}, which would be replaced: choose another folder.")
    if output.resolve().is_relative_to(clusters.resolve()):
        raise OutputError(f"{output} lies in {clusters}, which holds clusters alone: choose another folder.")
    ours = {ORDER, EXPERTS, LEVELS, RELIABILITY, AGREEMENT, PICTURE}
    other = sorted(path.name for path in output.iterdir() if path.name not in ours) if output.is_dir() else []
    if other:
        raise OutputError(f"{output} holds {other[0]}, which is no part of an order: choose another folder.")


def _experts(said: Said, combined: Combination | None) -> list[dict[str, Any]]:
    """A row for each expert."""
    rows = []
    for i, (name, order) in enumerate(zip(said.names, said.orders, strict=True)):
        row: dict[str, Any] = {"expert": name, "clusters": len(order.names)}
        known = combined is not None
        row["reliability"] = round(float(combined.reliability[i]), 4) if known else None  # type: ignore[union-attr]
        row["verdict"] = combined.verdicts[i] if known else ""  # type: ignore[union-attr]
        rows.append(row)
    return rows


def _told(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _write(output: Path, said: Said, combined: Combination | None, order: Order, clusters: Clusters) -> None:
    """All files of the folder, together."""
    from jido.data.orders import write_orders
    from jido.io import replacing
    from jido.io.cell_table import write_rows
    from jido.methods.figures.order import draw_order
    from jido.stats.ordering import tau_matrix

    kinds = {name: clusters.kind_of(name) if name in clusters.names else "" for name in order.names}
    with replacing(output, folder=True) as fresh:
        fresh.mkdir()
        write_orders(said, order, clusters, fresh)
        write_rows(_experts(said, combined), fresh / RELIABILITY)
        tau = tau_matrix(said.orders)
        rows = [
            {"tau of": name, **dict(zip(said.names, map(float, row), strict=True))}
            for name, row in zip(said.names, tau.round(4), strict=True)
        ]
        write_rows(rows, fresh / AGREEMENT)
        write_rows(_level_rows(order, combined, clusters, kinds), fresh / LEVELS)
        draw_order(order, kinds, fresh / PICTURE, combination=combined)


def _level_rows(
    order: Order, combined: Combination | None, clusters: Clusters, kinds: dict[str, str]
) -> list[dict[str, object]]:
    place = {name: i for i, name in enumerate(combined.names)} if combined is not None else {}
    rows: list[dict[str, object]] = []
    for name, level in order.levels.items():
        row: dict[str, object] = {"cluster": name, "level": level, "kind": kinds[name]}
        row["tiles"] = len(clusters.members(name))
        if combined is not None:
            at = place.get(name)
            row["score"] = None if at is None else round(float(combined.score[at]), 4)
            row["error"] = None if at is None else round(float(combined.error[at]), 4)
        rows.append(row)
    return rows
