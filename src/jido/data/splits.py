"""Training, validation and test tiles that do not leak: by image, by group, or strips with a gap."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jido.data.tiles import POSITIVE_SHARE, Tiles
from jido.errors import FoldsError, LabelsError
from jido.io.tables import image_column, split_place

LOG = logging.getLogger("jido")

PARTS = ("train", "val", "test")

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""How people write the parts; case does not matter."""

FEW = 5
"""With fewer images than this, each is cut into strips."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which tiles are trained on, which decide, and which are looked at once.

    Args:
        part: (N,) ``train``, ``val``, ``test``, or empty for tiles in the gap between two strips.
        kind: in words, for reports.
        leaks: whether tiles of two parts show the same ground.
    """

    part: np.ndarray
    kind: str
    leaks: bool = False

    def places(self, part: str) -> np.ndarray:
        """Places of the tiles of one part, in order."""
        return np.flatnonzero(self.part == part)


def split_tiles(
    tiles: Tiles,
    *,
    table: str | None = None,
    groups: str | None = None,
    seed: int = 0,
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    positive_share: float = POSITIVE_SHARE,
) -> Split:
    """Deal tiles out to training, validation and test.

    Groups are kept whole, and those with positive tiles are spread over the parts. Where images are
    the groups, there are fewer than 5 and none overlap, each of them is cut along its longer side into
    train, gap, val, gap, test: tiles of two parts are at least a tile apart. A table rules over all
    that; when it parts images that show the same ground, the split leaks and says so.

    Args:
        tiles: of :func:`~jido.data.cutting.cut_tiles`.
        table: ``FILE:COLUMN`` that names train, val or test (training, validation, valid, dev,
            testing) for each image.
        groups: ``FILE:COLUMN`` that the groups of the tiles are from, for ``kind``.
        seed: of the draw.
        shares: of the tiles for training, validation and test.
        positive_share: a tile with more target than this share of its pixels is a positive one.

    Raises:
        LabelsError: when training or validation lacks positive tiles, or the table cannot be read.
        FoldsError: when the table tears a named group apart, or there are too few groups.
    """
    if len(shares) != 3 or min(shares) <= 0:
        raise FoldsError(f"Tiles cannot be split into shares of {shares}: give three numbers above 0.")
    positive = tiles.positive(positive_share)
    joined = tiles.group_as_named is not None
    named = tiles.group if tiles.group_as_named is None else tiles.group_as_named
    by_image = bool((named == tiles.source).all())
    if table is not None:
        split = _as_given(tiles, named, table)
    elif by_image and not joined and len(np.unique(tiles.source)) < FEW:
        split = _strips(tiles, shares)
    else:
        split = _by_group(tiles, positive, groups, by_image=by_image, seed=seed, shares=shares)
    _require_enough(split, positive, tiles)
    return split


def _as_given(tiles: Tiles, named: np.ndarray, table: str) -> Split:
    names, number = np.unique(tiles.source, return_inverse=True)
    said = image_column(table, names.tolist())
    wrong = sorted({word for word in said.values() if word.lower() not in WORDS})
    path, column = split_place(table)
    if wrong:
        raise LabelsError(
            f"{path} holds {', '.join(map(repr, wrong[:3]))} in column {column!r}: write train, val or test."
        )
    part = np.array([WORDS[said[name].lower()] for name in names])[number]
    if torn := _torn(named, part):
        raise FoldsError(
            f"{path} puts group {torn[0]} into {torn[1]}, which would leak: give all its images one part."
        )
    if torn := _torn(tiles.group, part):
        LOG.warning(
            "%s puts images that show the same ground (%s and others) into %s: the figures will be too good.",
            path,
            *torn,
        )
        return Split(part, f"as given in {path.name} (leaking)", leaks=True)
    return Split(part, f"as given in {path.name}")


def _torn(group: np.ndarray, part: np.ndarray) -> tuple[str, str] | None:
    """The first group with tiles in several parts, and these parts in words."""
    for name in np.unique(group):
        parts = np.unique(part[group == name])
        if len(parts) > 1:
            return str(name), " and ".join(parts)
    return None


def _strips(tiles: Tiles, shares: Sequence[float]) -> Split:
    """Each image along its longer side; one that is too short for five tiles is trained on."""
    part = np.full(len(tiles), "train", dtype="<U5")
    short = []
    for name in np.unique(tiles.source):
        here = np.flatnonzero(tiles.source == name)
        place = tiles.place[here] - tiles.place[here].min(axis=0)
        longer = int(np.argmax(place.max(axis=0)))
        strips = _strip_bounds(int(place[:, longer].max()) + tiles.side, tiles.side, shares)
        if strips is None:
            short.append(str(name))
            continue
        part[here] = ""
        for label, (start, stop) in zip(PARTS, strips, strict=True):
            inside = (place[:, longer] >= start) & (place[:, longer] + tiles.side <= stop)
            part[here[inside]] = label
    count = len(np.unique(tiles.source))
    what = "one image" if count == 1 else f"{count} images"
    rest = f"; all of {', '.join(short)} in train, too short for strips" if short else ""
    return Split(part, f"strips of {what} with a gap of one tile{rest}")


def _strip_bounds(length: int, side: int, shares: Sequence[float]) -> list[tuple[int, int]] | None:
    """First and last pixel of three strips of whole tiles, a tile apart; ``None`` where none fit."""
    free = length // side - 2  # what is left beside the two gaps
    if free < 3:
        return None
    train, val = (max(round(free * share / sum(shares)), 1) for share in shares[:2])
    train = min(train, free - 2)
    val = min(val, free - 1 - train)
    ends = [0, train, train + 1, train + 1 + val, train + val + 2]
    return [(0, ends[1] * side), (ends[2] * side, ends[3] * side), (ends[4] * side, length)]


def _by_group(
    tiles: Tiles,
    positive: np.ndarray,
    groups: str | None,
    *,
    by_image: bool,
    seed: int,
    shares: Sequence[float],
) -> Split:
    names, number = np.unique(tiles.group, return_inverse=True)
    size, hits = (np.bincount(number, weights, len(names)) for weights in (None, positive))
    count = np.count_nonzero(hits)
    joined = tiles.group_as_named is not None
    if len(names) < 3 or count < 3:
        hint = " (images of one ground are one group: gdalbuildvrt makes one image of them)" if joined else ""
        raise FoldsError(
            f"Train, val and test need a group with target each, but of {len(names)} groups {count} have "
            f"any{hint}: give more images or smaller groups, or --split FILE:COLUMN."
        )
    rng = np.random.default_rng(seed)
    part = np.empty(len(names), dtype=np.int64)
    for members, weight in ((np.flatnonzero(hits), hits), (np.flatnonzero(hits == 0), size)):
        order = rng.permutation(members)
        part[order] = _dealt(weight[order], shares)
    where = ""
    if groups:
        path, column = split_place(groups)
        where = f" (column {column} of {path.name})"
    kind = ("by image" if by_image else f"by group{where}") + ", overlapping ones together" * joined
    return Split(np.array(PARTS)[part][number], kind)


def _dealt(weights: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Part of each group, in turn the one that lacks most; none stays empty when groups are enough."""
    lacks = np.array(shares) / sum(shares) * weights.sum()
    part = np.empty(len(weights), dtype=np.int64)
    empty = np.ones(len(shares), dtype=bool)
    for i, weight in enumerate(weights):
        last = len(weights) - i <= empty.sum()  # as many groups as parts without one
        part[i] = np.argmax(np.where(empty | (not last), lacks, -np.inf))
        lacks[part[i]] -= weight
        empty[part[i]] = False
    return part


def _require_enough(split: Split, positive: np.ndarray, tiles: Tiles) -> None:
    train, val = (split.places(part) for part in ("train", "val"))
    if not positive[train].any():
        raise LabelsError(
            f"No training tile of {len(tiles)} has any target ({split.kind}): give more images with labels, "
            "or --split FILE:COLUMN."
        )
    if not len(val):
        raise LabelsError(
            f"No tile is left to validate with ({split.kind}): give more or larger images, or a table that "
            "names some val."
        )
    if not positive[val].any():
        raise LabelsError(
            f"None of the {len(val)} tiles to validate with has any target ({split.kind}), so nothing can be "
            "chosen on them: give more images with labels, or --split FILE:COLUMN."
        )
