"""``jido score rank``: experts put clusters in order on a page, or in writing; what they say together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table
from jido.cli.options import Host, JsonFlag, Port, Quiet, Token
from jido.errors import JidoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        list[Path] | None,
        typer.Option(
            "--from",
            help="No page, but text: an expert a line, 3=4>1>0 (> more developed, = alike), or an expert a "
            "file with a relation a line, 0<1. Repeat it.",
            metavar="FILE",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the combined order, and of the answers; CLUSTERS_order without it.",
            metavar="ORDER",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option("--names", help="With --from: the name of an expert a line.", metavar="FILE"),
    ] = None,
    experts: Annotated[
        str | None,
        typer.Option("--experts", help="Who answers on the page: 'Kim, Lee'. Others stay.", metavar="NAMES"),
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option(
            "--tiles",
            help="The tiles that were clustered, for the page to show one by one; it shows sheets without.",
            metavar="TILES",
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="No page, but the order by the answers given on it so far.")
    ] = False,
    port: Port = 0,
    host: Host = "127.0.0.1",
    token: Token = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Let experts put clusters in order on a page, or combine orders that they wrote.

    The page gives each expert a link of their own, and its owner one (with --token in it) that shows how far
    they agree. Answers are saved as they are given, in ORDER/answers.sqlite; the same command goes on with
    them. Ctrl-C ends the page and writes the order, as --finish does at any time.

    Writes ORDER/order.txt (a relation a line), experts.txt (an expert a line), levels.csv, experts.csv,
    tau.csv (agreement of every two experts) and order.png. Clusters that experts do not tell apart stand on
    one level; with fewer than five experts differences must be large for that. An expert who has it upside
    down is found and turned round. Uninhabited clusters that nobody names stand below all.
    """
    from jido.cli.score_rank_page import answered, ask_experts, page_pictures
    from jido.data.orders import read_orders
    from jido.data.tile_clusters import read_clusters

    page = {"--experts": experts, "--tiles": tiles, "--token": token, "--finish": finish or None}
    _require_one_way(orders, {"--names": names}, page)
    place = output or clusters.resolve().with_name(f"{clusters.resolve().stem}_order")
    _require_order_place(place, clusters, [*(orders or []), *([names] if names else [])], page=not orders)
    groups = read_clusters(clusters)
    if orders:
        said = read_orders(orders, groups, names=names)
        _finish(said, groups, place, json=json, quiet=quiet)
        return
    if finish:
        _finish(answered(place, groups), groups, place, json=json, quiet=quiet)
        return
    ask_experts(
        place,
        groups,
        page_pictures(clusters, groups, tiles, quiet=quiet or json),
        experts or "",
        json=json,
        host=host,
        port=port,
        token=token,
    )
    _close(groups, place, json=json, quiet=quiet)


def _finish(said: Said, groups: Clusters, output: Path, *, json: bool, quiet: bool) -> None:
    """Write the order, and print what it is."""
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


def _close(groups: Clusters, place: Path, *, json: bool, quiet: bool) -> None:
    """Write the order when the page has ended; what stands in its way is no error, for answers are kept."""
    from jido.cli.score_rank_page import answered

    try:
        said = answered(place, groups)
        if not json:
            _finish(said, groups, place, json=False, quiet=quiet)
            return
        combined, order = combined_order(said, groups)  # the one object has told the links
        _write(place, said, combined, order, groups)
    except JidoError as err:
        note(f"No order is written: {err} The answers are kept in {place}.")


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


def _require_one_way(
    orders: Sequence[Path] | None, written: Mapping[str, object], page: Mapping[str, object]
) -> None:
    """Refuse options of the page beside orders in writing, and the other way round."""
    for name, value in (page if orders else written).items():
        if value is not None:
            here, there = ("the page", "orders in writing") if orders else ("orders in writing", "the page")
            raise JidoError(
                f"{name} is for {here}, not for {there}: leave it out{'' if orders else ', or give --from'}."
            )


def _require_order_place(output: Path, clusters: Path, inputs: list[Path], *, page: bool) -> None:
    """Refuse a folder that holds other things, or what is read, or that lies among clusters."""
    from jido.data.orders import EXPERTS, ORDER
    from jido.errors import OutputError
    from jido.io import require_place
    from jido.web.rank_store import ANSWERS

    require_place(output, folder=True)
    for path in (clusters, *inputs):
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{path} lies in {output}, which would be replaced: choose another folder.")
    if output.resolve().is_relative_to(clusters.resolve()):
        raise OutputError(f"{output} lies in {clusters}, which holds clusters alone: choose another folder.")
    ours = {ORDER, EXPERTS, LEVELS, RELIABILITY, AGREEMENT, PICTURE}
    ours |= {ANSWERS, f"{ANSWERS}-wal", f"{ANSWERS}-shm"} if page else set()
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
    """All files of the folder, together; answers of the page stay where they are."""
    from jido.data.orders import ORDER, write_orders
    from jido.io.cell_table import write_rows
    from jido.io.files import replacing_run
    from jido.methods.figures.order import draw_order
    from jido.stats.ordering import tau_matrix

    kinds = {name: clusters.kind_of(name) if name in clusters.names else "" for name in order.names}
    with replacing_run(output / ORDER) as first:
        fresh = first.parent
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
