"""Orders of clusters in files: what experts hand in, and the folder that ``jido score rank`` makes of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jido.data.tile_clusters import Clusters
from jido.errors import LabelsError
from jido.stats.ordering import parse_chains, parse_relations, to_chains, to_relations
from jido.stats.partial_order import Order, ordered

ORDER, EXPERTS = "order.txt", "experts.txt"
"""The combined order (a relation a line), and those of the experts (one a line)."""

UNINHABITED = "uninhabited"

_SIGNS = re.compile("[<>=]")

_OF = "of the clusters "
"""What a file of a folder of ours begins with, before the mark of the clusters."""

_WIDE = str.maketrans("＜＞＝，；＃", "<>=,;#")
"""Signs of East Asian keyboards."""


@dataclass(frozen=True)
class Said:
    """What experts said.

    Args:
        orders: one of each expert.
        names: of the experts, all different.
        notes: who skipped what, a sentence each.
    """

    orders: tuple[Order, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_orders(paths: Sequence[str | Path], clusters: Clusters, *, names: str | Path | None = None) -> Said:
    """Orders of experts over the clusters, as they wrote them.

    A file whose lines each hold one relation (``3<4``) or equals alone (``1=2=3``), or of which no line holds
    more than half of the clusters, is one expert's; else each line is an expert's chain (``3=4>1``). The
    notes tell which. A folder of ``jido score rank`` gives its experts with their names.

    Clusters that have no tiles may be named: what follows from them for others holds. Uninhabited clusters
    need no expert (:func:`with_uninhabited`).

    Args:
        paths: text files, or folders.
        clusters: what was put in order.
        names: a file with the name of an expert a line; else the names of files, numbered.

    Raises:
        LabelsError: when a file cannot be read, an order contradicts itself (with the relations), none of its
            clusters has tiles, or a folder was made for clusters of other tiles.
    """
    _require_same(paths, clusters)
    asked = [name for name in clusters.names if clusters.kind_of(name) != UNINHABITED]
    read = [_read(path, asked) for path in map(Path, paths)]
    found = [one for experts, _ in read for one in experts]
    orders = tuple(order for _, order in found)
    called = _experts(names, len(found)) if names else _told_apart([name for name, _ in found])
    notes = [text for _, how in read for text in how]
    for name, order in zip(called, orders, strict=True):
        if not set(order.names) & set(clusters.names):
            raise LabelsError(
                f"None of the clusters that {name} put in order ({', '.join(order.names[:3])}, ...) has "
                f"tiles: use the names of the clusters ({', '.join(clusters.names[:3])}, ...)."
            )
        if order.skipped:
            notes.append(f"{name} says nothing of cluster {', '.join(order.skipped)}.")
        if strange := [one for one in order.names if one not in clusters.names]:
            notes.append(f"{name} names cluster {', '.join(strange)}, which has no tiles.")
    return Said(orders, called, tuple(notes))


def write_orders(said: Said, order: Order, clusters: Clusters, folder: Path) -> None:
    """Write the combined order and those of the experts, with their names, as :func:`read_orders` reads them.

    Args:
        said: what experts said.
        order: what they say together.
        clusters: of which tiles they are: the same numbers may be names of others another time.
        folder: an existing one.
    """
    first = f"# {_OF}{mark(clusters)}\n"
    (folder / ORDER).write_text(f"{first}{to_relations(order)}", encoding="utf-8")
    pairs = zip(said.names, said.orders, strict=True)
    lines = [f"{to_chains(one)}  # {' '.join(name.split())}\n" for name, one in pairs]
    (folder / EXPERTS).write_text("".join([first, *lines]), encoding="utf-8")


def mark(clusters: Clusters) -> str:
    """What changes as soon as a tile is in another cluster, or is added or taken away."""
    pairs = sorted(zip(clusters.ids.tolist(), clusters.cluster.tolist(), strict=True))
    return hashlib.sha256("\n".join(map("\t".join, pairs)).encode()).hexdigest()[:16]


def _require_same(paths: Sequence[str | Path], clusters: Clusters) -> None:
    for path in map(Path, paths):
        held = path / ORDER if path.is_dir() else path
        if held.name not in (ORDER, EXPERTS) or not held.is_file():
            continue
        for _, remark in _lines(held):
            if remark.startswith(_OF) and remark != _OF + mark(clusters):
                raise LabelsError(
                    f"{path} was made for clusters of other tiles, so the same names mean other things: "
                    "give its clusters, or ask the experts of these."
                )


def with_uninhabited(order: Order, clusters: Clusters) -> Order:
    """The order with the uninhabited clusters that it leaves out at its lower end.

    Tiles of people who live nowhere need no expert (Ahn et al. 2023, doi 10.1038/s41467-023-42122-8).
    """
    import numpy as np

    empty = [name for name in clusters.names if clusters.kind_of(name) == UNINHABITED]
    lost = tuple(name for name in empty if name not in order.names)
    if not lost or not order.groups:
        return order
    below = np.pad(order.below, ((1, 0), (1, 0)))
    below[0, 1:] = True
    made = ordered([lost, *order.groups], below, [*lost, *order.names])
    return replace(made, skipped=tuple(name for name in order.skipped if name not in lost))


def _read(path: Path, asked: list[str]) -> tuple[list[tuple[str, Order]], list[str]]:
    """Name and order of each expert of a file or folder; how it was read, where that is a question."""
    if path.is_dir():
        inside = [path / name for name in (EXPERTS, ORDER) if (path / name).is_file()]
        if not inside:
            raise LabelsError(f"{path} holds neither {EXPERTS} nor {ORDER}: give what jido score rank made.")
        path = inside[0]
    lines = _lines(path)
    whole = "\n".join(line for line, _ in lines)
    if not _SIGNS.search(whole):
        raise LabelsError(f"{path} states no order: write lines such as 3=4>1>0, or 0<1.")
    try:
        if path.name != EXPERTS and (path.name == ORDER or _of_one_expert(whole)):
            return [(path.stem, parse_relations(whole, names=asked))], _how(path, lines, "one expert's order")
        said = [line for line in lines if line[0].strip()]
        orders = parse_chains(whole, names=asked)
    except LabelsError as err:
        raise LabelsError(f"{path}: {err}") from err
    called = [name if path.name == EXPERTS and name else path.stem for _, name in said]
    how = [] if path.name == EXPERTS else _how(path, lines, f"the orders of {len(said)} experts, one a line")
    return list(zip(called, orders, strict=True)), how


def _lines(path: Path) -> list[tuple[str, str]]:
    """What each line says, and the remark behind it."""
    try:
        text = path.read_text(encoding="utf-8-sig").translate(_WIDE)
    except (OSError, UnicodeDecodeError) as err:
        raise LabelsError(f"{path} cannot be read as text ({err}): give orders of clusters.") from err
    parts = [line.partition("#") for line in text.splitlines()]
    return [(said, remark.strip()) for said, _, remark in parts]


def _how(path: Path, lines: list[tuple[str, str]], words: str) -> list[str]:
    several = sum(bool(said.strip()) for said, _ in lines) > 1
    return [f"{path.name} is read as {words}."] if several else []


def _of_one_expert(text: str) -> bool:
    """Whether lines are relations or equals of one order, or all of few of the clusters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return False
    if all(len(_SIGNS.findall(line)) <= 1 or not set("<>") & set(line) for line in lines):
        return True
    named = [set(re.split(r"[<>=,;\s]+", line)) - {""} for line in lines]
    return all(len(names) <= len(set.union(*named)) / 2 for names in named)


def _experts(path: str | Path, count: int) -> tuple[str, ...]:
    """Names of experts from a file, one a line."""
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as err:
        raise LabelsError(f"{path} cannot be read as text ({err}): give a name a line.") from err
    found = tuple(line for line in lines if line)
    if len(found) != count or len(set(found)) != count:
        raise LabelsError(f"{path} names {len(set(found))} experts, but there are {count} orders: name each.")
    return found


def _told_apart(stems: list[str]) -> tuple[str, ...]:
    """Names of files, numbered where one holds several orders."""
    return tuple(
        f"{stem} {stems[: i + 1].count(stem)}" if stems.count(stem) > 1 else stem
        for i, stem in enumerate(stems)
    )
