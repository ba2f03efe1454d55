"""What people say of tiles: which are drawn for them, and the shares of the classes that they give back."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches
from jido.errors import LabelsError
from jido.io import replacing
from jido.io.tables import image_column

CLASSES = ("urban", "rural", "uninhabited")
"""Classes of a tile, in the order of all columns; of equal shares the first counts."""

AT_ONCE = 256
"""Tiles of which float32 copies are in memory."""

OFF = 0.02
"""How far the shares of a tile may be from 1 together: people write .33 three times."""


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Shares of the classes that people gave some tiles.

    Args:
        name: (n,) ids of the tiles, each once.
        share: (n, 3) float64 in the order of :data:`CLASSES`: the part of the annotators who said so, or how
            sure one of them was. Every row adds up to 1.
        tables: (n,) how many tables say something of a tile; 1 for each where it is left out.

    Raises:
        LabelsError: for no tiles, a tile that comes twice, and shares that are none.
    """

    name: np.ndarray
    share: np.ndarray
    tables: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.name):
            raise LabelsError(
                f"No tile has a label: fill in the columns {', '.join(CLASSES)} of some rows with shares "
                "that add up to 1."
            )
        names, count = np.unique(self.name, return_counts=True)
        if (count > 1).any():
            raise LabelsError(f"The tile {names[count.argmax()]} is labelled twice: keep one row of it.")
        wrong = (self.share < 0).any(1) | ~(np.abs(self.share.sum(1) - 1) <= OFF)
        if wrong.any():
            i = int(wrong.argmax())
            told = ", ".join(f"{part:g}" for part in self.share[i])
            raise LabelsError(
                f"The shares of the tile {self.name[i]} are {told}, which is {self.share[i].sum():.3g} "
                f"together: give {', '.join(CLASSES)} from 0 to 1 that add up to 1."
            )
        object.__setattr__(self, "share", self.share / self.share.sum(1, keepdims=True))

    def __len__(self) -> int:
        return len(self.name)

    @property
    def label(self) -> np.ndarray:
        """(n,) place of the class with the largest share; of equal ones the first."""
        return self.share.argmax(1)

    @property
    def agreement(self) -> float:
        """How often an annotator drawn at random is expected to say :attr:`label`: the mean largest share.

        The labels are those of the same annotators, so it is rather too high for a new one.
        """
        return float(self.share.max(1).mean())

    @property
    def ties(self) -> int:
        """Tiles of which two classes or more have the largest share."""
        return int(np.count_nonzero(np.isclose(self.share, self.share.max(1, keepdims=True)).sum(1) > 1))

    def subset(self, which: np.ndarray) -> SoftLabels:
        """Some of the tiles, by mask or place."""
        tables = None if self.tables is None else self.tables[which]
        return SoftLabels(self.name[which], self.share[which], tables)

    def places(self, names: np.ndarray) -> np.ndarray:
        """(n,) where the tiles stand among others.

        Args:
            names: (N,) ids of the others, each once.

        Raises:
            LabelsError: for tiles that are not among them.
        """
        where = {name: i for i, name in enumerate(names.tolist())}
        if lost := [name for name in self.name.tolist() if name not in where]:
            raise LabelsError(
                f"{len(lost)} labelled tiles ({', '.join(lost[:3])}{', ...' * (len(lost) > 3)}) are not "
                f"among the {len(names)} tiles: give the folder of tiles that was labelled."
            )
        return np.array([where[name] for name in self.name.tolist()])


def read_labels(paths: Sequence[str | Path], names: Sequence[str]) -> SoftLabels:
    """Shares of the tables of one or several people; where several speak of a tile, their mean.

    A table has a column with ids of tiles and the columns ``urban``, ``rural`` and ``uninhabited``. A row
    without numbers says nothing; an empty cell beside a number is 0.

    Args:
        paths: the tables: CSV, or anything that GDAL reads as a table.
        names: ids of all tiles, each once.

    Raises:
        LabelsError: when a table cannot be read, lacks a column, names tiles that there are not, says two
            things of one, or holds shares that are none.
    """
    total, tables = np.zeros((len(names), len(CLASSES))), np.zeros(len(names), dtype=np.int64)
    for path in paths:
        share = _shares(path, names)
        said = np.isfinite(share).all(1)
        total[said] += share[said]
        tables += said
    known = np.flatnonzero(tables)
    return SoftLabels(np.array(names)[known], total[known] / tables[known, None], tables[known])


def _shares(path: str | Path, names: Sequence[str]) -> np.ndarray:
    """Shares (N, 3) that add up to 1, NaN where a table says nothing."""
    columns = [image_column(f"{path}:{name}", names, complete=False) for name in CLASSES]
    cells = np.array([[column[name] for name in names] for column in columns]).T
    share = np.full(cells.shape, np.nan)
    said = np.flatnonzero((cells != "").any(1))
    for i in said.tolist():
        try:
            share[i] = [float(text.replace(",", ".") or 0) for text in cells[i].tolist()]
        except ValueError as err:
            raise LabelsError(
                f"{path} says {', '.join(map(repr, cells[i].tolist()))} of the tile {names[i]}: give "
                f"{', '.join(CLASSES)} as numbers from 0 to 1."
            ) from err
    try:
        share[said] = SoftLabels(np.array(names)[said], share[said]).share
    except LabelsError as err:
        raise LabelsError(f"{path}: {err}") from err
    return share


# -- what people are asked ---------------------------------------------------------------------


def drawn(n: int, *, over: np.ndarray, seed: int) -> np.ndarray:
    """Places (n,) of tiles to be labelled, in ascending order: one at random of each stretch.

    Stretches differ in length by one tile at most, so all tiles have nearly the same chance, and the shares
    of the classes among the drawn ones are those of all; they lie more evenly than those of a plain draw.

    Args:
        n: how many; all of them where there are no more.
        over: (N,) what they are spread over: tiles with nearly the same number are alike.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(over)), over))  # equal ones in random order
    stretches = np.array_split(order, min(n, len(order)))
    return np.sort([rng.choice(some) for some in stretches])


def along(chips: Chips) -> np.ndarray:
    """What tiles are spread over when some are drawn, (N,): where they lie, else how much there is in them.

    Without places it is the mean difference of neighbouring pixels over the mean brightness: least in water
    and forest, most in towns.
    """
    if chips.lonlat is not None:
        return along_curve(chips.lonlat)
    found = []
    for some in batches(np.arange(len(chips)), AT_ONCE):
        images = chips.images[some].astype(np.float32)
        known = np.isfinite(images)
        light = np.where(known, images, 0).mean(1)
        change = np.abs(np.diff(light, axis=1)).mean((1, 2)) + np.abs(np.diff(light, axis=2)).mean((1, 2))
        found.append(change / np.maximum(np.abs(light).mean((1, 2)), 1e-6))
    return np.concatenate(found)


def along_curve(lonlat: np.ndarray) -> np.ndarray:
    """Rank (N,) of places on a curve that fills the plane: neighbours on it are neighbours on Earth.

    Z-order of 2^16 steps each way; places that nobody knows come last.

    Args:
        lonlat: (N, 2) in degrees, NaN where unknown.
    """
    known = np.isfinite(lonlat).all(1)
    code = np.full(len(lonlat), np.iinfo(np.int64).max)
    if known.any():
        xy = lonlat[known]
        reach = np.maximum(np.ptp(xy, axis=0), 1e-12)
        steps = ((xy - xy.min(0)) / reach * (2**16 - 1)).astype(np.int64)
        bits = [(steps[:, axis] >> i & 1) << (2 * i + axis) for i in range(16) for axis in (0, 1)]
        code[known] = np.sum(bits, axis=0)
    return code


def write_form(names: Sequence[str], path: str | Path) -> None:
    """An empty table for a person to fill in: a row for each tile.

    Raises:
        OutputError: when it cannot be written.
    """
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", *CLASSES])
        table.writerows([name, "", "", ""] for name in names)
