"""Splits that do not leak: by group, by spatial block with a buffer; and few-label subsets.

All functions take arrays with one entry per sample (pixel or item) and give arrays of the same
length back, so a split can be looked at, saved and checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jido.errors import FoldsError


@dataclass(frozen=True, eq=False)
class Folds:
    """A split of samples into ``k`` test folds.

    Args:
        fold: (n,) the fold in which a sample is tested.
        kind: in words, for reports.
        leaks: whether neighbours of one group stand on both sides.
        xy: (n, 2) positions in metres, only when ``buffer`` is used.
        buffer: training samples nearer than this to a test sample (metres) are left out.
    """

    fold: np.ndarray
    kind: str
    leaks: bool = False
    xy: np.ndarray | None = None
    buffer: float = 0.0

    @property
    def k(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    def split(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the test samples of one fold."""
        test = self.fold == fold
        train = ~test
        if self.buffer > 0 and self.xy is not None and test.any():
            from scipy.spatial import cKDTree

            nearest, _ = cKDTree(self.xy[test]).query(self.xy, distance_upper_bound=self.buffer)
            train &= ~np.isfinite(nearest)
        return np.flatnonzero(train), np.flatnonzero(test)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.split(i) for i in range(self.k))

    def to_dict(self) -> dict[str, object]:
        """What reports say of a split."""
        return {"kind": self.kind, "k": self.k, "leaks": self.leaks, "buffer_m": self.buffer}


def _group_classes(groups: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each sample's group, and the most frequent class of each group."""
    _, number = np.unique(groups, return_inverse=True)
    values, place = np.unique(y, return_inverse=True)
    counts = np.zeros((number.max() + 1, len(values)), dtype=np.int64)
    np.add.at(counts, (number, place), 1)
    return number, values[counts.argmax(axis=1)]


def _dealt(units: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each unit: every class is shuffled and dealt out in turn, so folds share classes."""
    fold = np.empty(len(units), dtype=np.int64)
    dealt = 0
    for value in np.unique(units):
        members = rng.permutation(np.flatnonzero(units == value))
        fold[members] = (dealt + np.arange(len(members))) % k
        dealt += len(members)
    return fold


def group_kfold(groups: np.ndarray, y: np.ndarray, *, k: int, seed: int) -> Folds:
    """K folds in which a group is tested as a whole; each class is spread over the folds.

    Raises:
        FoldsError: when there are fewer groups than folds.
    """
    number, classes = _group_classes(groups, y)
    if not 2 <= k <= len(classes):
        raise FoldsError(
            f"{k} folds were asked for but there are {len(classes)} groups: "
            f"use 2 to {len(classes)} folds or add polygons."
        )
    fold = _dealt(classes, k, np.random.default_rng(seed))
    return Folds(fold[number], kind="polygons kept whole")


def leave_one_group_out(groups: np.ndarray) -> Folds:
    """As many folds as groups (cities, events, scenes); each is tested by the others.

    Raises:
        FoldsError: when there is only one group.
    """
    names, number = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise FoldsError("Leave-one-group-out needs at least 2 groups, there is 1.")
    return Folds(number, kind="one group left out")


def spatial_blocks(xy: np.ndarray, y: np.ndarray, *, block: float, k: int, buffer: float, seed: int) -> Folds:
    """K folds of square blocks, with a buffer between training and test.

    Args:
        xy: (n, 2) positions in metres.
        y: (n,) classes, spread over the folds as far as the blocks allow.
        block: side of a block in metres.
        k: number of folds.
        buffer: training samples nearer than this to a test sample are left out; give at least
            the side of the patch a model sees.
        seed: of the draw.

    Raises:
        FoldsError: when fewer blocks than folds hold samples.
    """
    corner = np.floor(xy / block).astype(np.int64)
    _, blocks = np.unique(corner, axis=0, return_inverse=True)
    number, classes = _group_classes(blocks.ravel(), y)
    if not 2 <= k <= len(classes):
        raise FoldsError(
            f"{k} folds were asked for but only {len(classes)} blocks of {block:g} m hold labels: "
            "use smaller blocks or fewer folds."
        )
    fold = _dealt(classes, k, np.random.default_rng(seed))
    return Folds(fold[number], kind=f"spatial blocks of {block:g} m", xy=xy, buffer=buffer)


def random_pixels_leaking(n: int, *, k: int, seed: int) -> Folds:
    """K folds of single pixels at random.

    Neighbouring pixels of one polygon stand on both sides, so the figure is too good; the split
    exists only to show by how much, and reports mark it.
    """
    fold = np.random.default_rng(seed).permutation(n) % k
    return Folds(fold, kind="random pixels (leaking)", leaks=True)


def few_labels(
    groups: np.ndarray,
    y: np.ndarray,
    *,
    per_class: int | None = None,
    fraction: float | None = None,
    seed: int,
) -> np.ndarray:
    """A small training set: whole groups, the same number or the same share in every class.

    The draw is nested: with one seed the smaller set is always part of the larger one.

    Args:
        groups: (n,) group of each sample.
        y: (n,) class of each sample; a group counts for its most frequent class.
        per_class: groups per class, or
        fraction: share of the groups of each class, 0..1, at least one group.
        seed: of the draw.

    Returns:
        Bool (n,): the samples of the chosen groups.
    """
    if (per_class is None) == (fraction is None):
        raise FoldsError("Give either per_class or fraction to few_labels.")
    number, classes = _group_classes(groups, y)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(classes), dtype=bool)
    for value in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == value))
        count = per_class if per_class is not None else round(len(members) * float(fraction or 0))
        chosen[members[: max(int(count), 1)]] = True
    return chosen[number]


def cap_per_group(groups: np.ndarray, *, cap: int, seed: int) -> np.ndarray:
    """Indices of at most ``cap`` samples of each group, drawn at random, in ascending order.

    Large polygons would otherwise dominate a pixel sample.
    """
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    _, number = np.unique(groups[shuffled], return_inverse=True)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(shuffled[order[rank < cap]])
