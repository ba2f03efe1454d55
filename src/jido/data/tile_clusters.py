"""Which cluster each tile is in: what experts put in order and what a score learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from jido.errors import LabelsError
from jido.io.cell_table import write_rows
from jido.io.images import find_images
from jido.io.tables import column_names, image_cells

KINDS = ("urban", "rural", "uninhabited")
"""What a tile is, before it is in a cluster."""

INHABITED = KINDS[:2]
"""What is parted into clusters; the rest is one."""

TABLE, CLASSES = "clusters.csv", "classes.csv"
"""The table of a folder of clusters, and of one of classes."""

COLUMNS = ("id", "cluster", "kind")

SHOWN = 3
"""Tiles that a sentence lists, at most."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """N tiles and the cluster of each.

    Names of clusters are text. Numbers are names and no order: it is people who say which cluster is more
    developed.

    Args:
        ids: (N,) text, all different.
        cluster: (N,) text, name of the cluster of each tile.
        kind: (N,) one of :data:`KINDS`, the same for all tiles of a cluster; empty where nobody knows.
        notes: what was found on the way, a sentence each.

    Raises:
        LabelsError: for ids that come twice, empty names, other kinds, and a cluster of two kinds.
    """

    ids: np.ndarray
    cluster: np.ndarray
    kind: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not len(self.ids):
            raise LabelsError("There are no tiles in any cluster: give at least one.")
        twice = [name for name, n in Counter(self.ids.tolist()).items() if n > 1]
        if twice:
            raise LabelsError(f"{listed(twice)} is in the clusters twice: keep one row for each tile.")
        if empty := [i for i, name in zip(self.ids, self.cluster, strict=True) if not name]:
            raise LabelsError(f"The tile {listed(empty)} has no cluster: name one, or take it away.")
        if other := sorted(set(self.kind.tolist()) - {*KINDS, ""}):
            raise LabelsError(f"{other[0]!r} is no kind of tile: use {', '.join(KINDS)}.")
        for name in self.names:
            if len(kinds := sorted(set(self.kind[self.members(name)].tolist()))) > 1:
                told = " and ".join(kind or "no kind" for kind in kinds[:2])
                raise LabelsError(f"Cluster {name} has tiles of {told}: a cluster is of one kind.")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All clusters: numbers by their size, then other names by the alphabet."""
        return tuple(in_order(set(self.cluster.tolist())))

    def members(self, name: str) -> np.ndarray:
        """Places (n,) of the tiles of a cluster; none where there is no such cluster."""
        return np.flatnonzero(self.cluster == name)

    def kind_of(self, name: str) -> str:
        """What the tiles of a cluster are; empty where nobody knows."""
        return str(self.kind[self.members(name)[0]])

    def cluster_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """(n,) name of the cluster of each of some tiles; empty for tiles that are in none."""
        known = dict(zip(self.ids.tolist(), self.cluster.tolist(), strict=True))
        return np.array([known.get(str(name), "") for name in ids])

    def write(self, path: str | Path) -> Path:
        """Write the table: ``id``, ``cluster``, ``kind``.

        Raises:
            OutputError: when the place cannot be written.
        """
        columns = (self.ids.tolist(), self.cluster.tolist(), self.kind.tolist())
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
        return write_rows(rows, Path(path))


def in_order(names: Iterable[str]) -> list[str]:
    """Names as a person lists them: 2 before 10, numbers before words."""
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def listed(names: Sequence[str]) -> str:
    """The first names of several."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


# -- reading -----------------------------------------------------------------------------------


def read_clusters(path: str | Path) -> Clusters:
    """Clusters of a table, of a folder that ``jido score cluster`` has made, or of a folder for each.

    In folders of images the folder that an image lies in names its cluster, its id is ``folder/name`` without
    suffix, and nobody knows the kinds. Empty folders and clusters of one tile are told in the notes.

    Args:
        path: a table (CSV) with ``id``, ``cluster`` and perhaps ``kind``; a folder with such a
            ``clusters.csv``; or a folder with a folder of images for each cluster.

    Raises:
        LabelsError: when the table cannot be read or lacks a column, and as :class:`Clusters`.
        ImageError: when the folder holds no image.
    """
    path = Path(path)
    if path.is_dir() and not (path / TABLE).is_file():
        return _of_folders(path)
    path = path / TABLE if path.is_dir() else path
    try:
        return _of_table(path)
    except LabelsError as err:
        if str(path) in str(err):
            raise
        raise LabelsError(f"{path}: {err}") from err


def _of_table(path: Path) -> Clusters:
    import pandas
    from pandas.errors import ParserError

    found = {name.lower(): name for name in reversed(column_names(path))}
    if missing := [name for name in COLUMNS[:2] if name not in found]:
        told = ", ".join(reversed(found.values())) or "none"
        raise LabelsError(f"{path} has no column {missing[0]!r}, only {told}: give a table of clusters.")
    try:
        with path.open(encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
        frame = pandas.read_csv(path, sep=separator, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    except (UnicodeDecodeError, ParserError) as err:
        raise LabelsError(f"{path} cannot be read as text ({err}): give a CSV file.") from err
    ids, cluster, kind = (
        np.array([text.strip() for text in frame[found[name]]] if name in found else [""] * len(frame))
        for name in COLUMNS
    )
    return Clusters(ids, cluster, kind, _small(cluster))


def _of_folders(path: Path) -> Clusters:
    names = [PurePosixPath(place.name) for place in find_images([path])]
    if loose := [str(name) for name in names if len(name.parts) < 2]:
        raise LabelsError(
            f"{path / loose[0]} lies in no folder of a cluster: put it into one, or take it away."
        )
    cluster = np.array([name.parent.name for name in names])
    ids = np.array([f"{name.parent.name}/{name.stem}" for name in names])
    empty = in_order(one.name for one in path.iterdir() if one.is_dir() and one.name not in set(cluster))
    notes = tuple(f"Cluster {name} holds no image and is left out." for name in empty if name[0] != ".")
    return Clusters(ids, cluster, np.full(len(ids), ""), (*notes, *_small(cluster)))


def _small(cluster: np.ndarray) -> tuple[str, ...]:
    """A word on clusters of one tile, which tell little of what varies inside a cluster."""
    alone = in_order(name for name, n in Counter(cluster.tolist()).items() if n == 1)
    if not alone:
        return ()
    have = "has" if len(alone) == 1 else "have"
    return (f"Cluster {listed(alone)} {have} one tile alone, which is little to judge a cluster by.",)


def read_kinds(path: str | Path, ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """What each tile is, by the table that ``jido score label`` writes.

    Args:
        path: the table with ``class``, or with ``urban``, ``rural`` and ``uninhabited``, of which the largest
            counts; or a folder with such a ``classes.csv``.
        ids: of the tiles; the table must say something of each.

    Returns:
        (n,) each one of :data:`KINDS`.

    Raises:
        LabelsError: when the table cannot be read, lacks a tile, or says something else.
    """
    path = Path(path)
    path = path / CLASSES if path.is_dir() else path
    names = [str(name) for name in ids]
    if "class" in map(str.lower, column_names(path)):
        (said,) = image_cells(path, (("class",),), names)
        kinds = [text.lower() for text in said]
        if other := [text for text in kinds if text not in KINDS]:
            raise LabelsError(f"{path} has the class {other[0]!r}: the classes are {', '.join(KINDS)}.")
        return np.array(kinds)
    cells = image_cells(path, [(kind,) for kind in KINDS], names)
    try:
        shares = np.array(cells, dtype=np.float64)
    except ValueError as err:
        raise LabelsError(f"{path} has a share of a class that is no number ({err}): mend it.") from err
    if not np.isfinite(shares).all():
        lost = [names[place] for place in np.flatnonzero(~np.isfinite(shares).all(axis=0))]
        raise LabelsError(f"{path} has a share of a class that is no number at {listed(lost)}: mend it.")
    return np.array(KINDS)[shares.argmax(0)]
