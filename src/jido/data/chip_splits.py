"""Training, validation and test images: as a table says, at random, or by place so that nothing leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jido.data.chips import Chips
from jido.data.places import LATITUDE, LONGITUDE, nearest_m, square_side_m, squares, usual_distance_m
from jido.data.splits import PARTS, WORDS
from jido.errors import FoldsError, LabelsError
from jido.io.tables import image_column, require_column, split_place

TRAIN, VAL, TEST = PARTS


@dataclass(frozen=True, eq=False)
class ChipSplit:
    """Which images are trained on, which decide, and which are looked at once.

    Args:
        part: (N,) ``train``, ``val``, ``test``, or empty for images that are not used.
        kind: in words, for reports.
        leaks: whether images beside a test image may be trained on: true unless coordinates show that
            none is.
        touching: share of the test images (of the validation images where there are none) that are
            nearer to a training image than the diagonal of an image; ``None`` without coordinates of both.
        group: (N,) number of what counts as one piece of evidence for intervals: a square of land, or
            the image where its place is unknown.
        buffer_m: images nearer than this to a later part are not used.
        notes: what was found or assumed, a sentence each.
    """

    part: np.ndarray
    kind: str
    leaks: bool
    touching: float | None
    group: np.ndarray
    buffer_m: float = 0.0
    notes: tuple[str, ...] = ()

    def places(self, part: str) -> np.ndarray:
        """Places of the images of one part, in order."""
        return np.flatnonzero(self.part == part)


def require_splittable(
    *, table: str | None, by_place: bool, places: str | Path | None = None, ground_m: float | None = None
) -> None:
    """Refuse what :func:`split_chips` or ``with_places`` would refuse, before all images are read.

    Args:
        table: ``FILE:COLUMN`` as for :func:`split_chips`.
        by_place: as for :func:`split_chips`.
        places: table of places.
        ground_m: as for :func:`split_chips`.

    Raises:
        LabelsError: when a table cannot be read, or lacks the column.
        FoldsError: when the options exclude each other, or make no sense.
    """
    _require_options(table, by_place, ground_m)
    if table is not None:
        path, column = split_place(table)
        require_column(path, (column,))
    if places is not None:
        for words in (LONGITUDE, LATITUDE):
            require_column(places, words)


def split_chips(
    chips: Chips,
    *,
    table: str | None = None,
    by_place: bool = False,
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    block_m: float | None = None,
    buffer_m: float | None = None,
    ground_m: float | None = None,
) -> ChipSplit:
    """Deal images out to training, validation and test: at random within each class, unless told otherwise.

    The draw depends on the names of the images and not on their order.

    Args:
        chips: with a class each.
        table: ``FILE:COLUMN`` that names train, val or test (training, validation, valid, dev,
            testing) of each image; an image without is not used.
        by_place: deal out whole squares of land; images nearer to a later part than ``buffer_m`` are
            not used.
        shares: of the images for training, validation and test.
        seed: of the draw.
        block_m: side of the squares in metres; by default as large as leaves 60 of them, and at least
            4 images.
        buffer_m: by default the diagonal of an image.
        ground_m: side of an image in metres where its file does not tell; by default the most frequent
            distance from one image to the next.

    Raises:
        LabelsError: when the table cannot be read or does not fit the images, or an image has no class.
        FoldsError: when a class is too small, places are missing, or there are too few squares.
    """
    _require_sound(chips, table, by_place, shares, block_m, buffer_m, ground_m)
    land = _Land.under(chips, block_m, ground_m)
    notes, gap = list(land.notes if land else ()), 0.0
    if table is not None:
        part, kind = _as_given(chips, table)
    elif not by_place:
        part, kind = _at_random(chips, shares, seed), "random images"
    elif land is None:
        raise FoldsError(
            "No image has a place, so they cannot be split by place: give a table with the latitude and "
            "longitude of each (--places)."
        )
    else:
        gap = land.diagonal_m if buffer_m is None else buffer_m
        part, kind, left = _by_place(chips, land, shares, seed, gap)
        notes += left
    notes += _require_enough(chips, part, kind) + _twins(chips, part)
    held = TEST if (part == TEST).any() else VAL  # what the figures will be of
    touching = None if land is None else land.touching(part, held)
    proven = touching == 0 and land is not None and bool(land.known[part != ""].all())
    return ChipSplit(
        part=part,
        kind=kind + _leak(touching, proven=proven, by_table=table is not None, held=held),
        leaks=not proven,
        touching=touching,
        group=np.arange(len(chips)) if land is None else land.groups(),
        buffer_m=gap,
        notes=tuple(notes),
    )


def _require_sound(
    chips: Chips,
    table: str | None,
    by_place: bool,
    shares: Sequence[float],
    *metres: float | None,
) -> None:
    if len(shares) != 3 or min(shares) <= 0:
        raise FoldsError(f"Images cannot be split into shares of {shares}: give three numbers above 0.")
    _require_options(table, by_place, *metres)
    if unknown := int(np.count_nonzero(chips.label < 0)):
        raise LabelsError(
            f"{unknown:,} images have no class, so they cannot be split: put them into folders."
        )


def _require_options(table: str | None, by_place: bool, *metres: float | None) -> None:
    if table is not None and by_place:
        raise FoldsError(f"Images are split as {table} says or by place, not both: give one of the two.")
    for length in metres:
        if length is not None and not length > 0:
            raise FoldsError(f"{length:g} m is no length: give a number above 0.")


def _leak(touching: float | None, *, proven: bool, by_table: bool, held: str) -> str:
    if proven:
        return ""
    if touching:
        word = "test" if held == TEST else "validation"
        return f" (leaking: {touching:.0%} of the {word} images touch a training image)"
    known = "whether neighbours stand on both sides is not known"
    return f" ({known})" if by_table else " (leaking: neighbours may stand on both sides)"


# -- land --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Land:
    """Where the images are.

    ``lonlat``: (N, 2). ``known``: (N,) whether it is. ``diagonal_m``: of an image. ``side_m``: of a square.
    """

    lonlat: np.ndarray
    known: np.ndarray
    diagonal_m: float
    side_m: float
    notes: tuple[str, ...]

    @classmethod
    def under(cls, chips: Chips, block_m: float | None, ground_m: float | None) -> _Land | None:
        """``None`` where nobody knows enough."""
        if chips.lonlat is None:
            return None
        notes: tuple[str, ...] = ()
        if chips.pixel_m is not None:
            height, width = (chips.side * size for size in chips.pixel_m)
        else:
            side = ground_m or usual_distance_m(chips.lonlat)
            if side is None:
                return None
            if ground_m is None:
                how = "the most frequent distance from one to the next"
                notes = (f"The side of an image was taken for {side:,.0f} m, {how}.",)
            height = width = side
        known = np.isfinite(chips.lonlat).all(axis=1)
        square = block_m or square_side_m(chips.lonlat, max(height, width))
        return cls(chips.lonlat, known, float(np.hypot(height, width)), square, notes)

    def touching(self, part: np.ndarray, held: str) -> float | None:
        """Share of the images of a part with a training image nearer than the diagonal."""
        here, train = ((part == name) & self.known for name in (held, TRAIN))
        if not here.any() or not train.any():
            return None
        return float((nearest_m(self.lonlat[here], self.lonlat[train]) < self.diagonal_m).mean())

    def groups(self) -> np.ndarray:
        """Number of the square of each image; an image without a place has its own."""
        number = squares(self.lonlat, self.side_m)
        unknown = number < 0
        number[unknown] = number.max(initial=-1) + 1 + np.arange(np.count_nonzero(unknown))
        return number

    def near(self, here: np.ndarray, there: np.ndarray, gap: float) -> np.ndarray:
        """Images of a mask (N,) nearer than a gap to one of another mask."""
        found = here.copy()
        found[here] = nearest_m(self.lonlat[here], self.lonlat[there]) < gap
        return found


# -- three ways --------------------------------------------------------------------------------


def _as_given(chips: Chips, table: str) -> tuple[np.ndarray, str]:
    path, column = split_place(table)
    said = image_column(table, chips.name.tolist(), complete=False)
    wrong = sorted({word for word in said.values() if word and word.lower() not in WORDS})
    if wrong:
        raise LabelsError(
            f"{path} holds {', '.join(map(repr, wrong[:3]))} in column {column!r}: write train, val or test."
        )
    part = [WORDS.get(said[name].lower(), "") for name in chips.name.tolist()]
    return np.array(part, dtype="<U5"), f"as given in {path.name}, column {column}"


def _at_random(chips: Chips, shares: Sequence[float], seed: int) -> np.ndarray:
    """Shares of each class; each has at least one image in each part."""
    rng = np.random.default_rng(seed)
    part = np.full(len(chips), TRAIN, dtype="<U5")
    by_name = np.argsort(chips.name)
    for label, name in enumerate(chips.classes):
        members = rng.permutation(by_name[chips.label[by_name] == label])
        if len(members) < len(PARTS):
            raise FoldsError(
                f"The class {name!r} has {len(members)} images but training, validation and test need one "
                "each: add images, or say with a table what each is for."
            )
        val, test = (max(round(len(members) * share / sum(shares)), 1) for share in shares[1:])
        test = min(test, len(members) - 2)
        val = min(val, len(members) - test - 1)
        part[members[:val]], part[members[val : val + test]] = VAL, TEST
    return part


def _by_place(
    chips: Chips, land: _Land, shares: Sequence[float], seed: int, gap: float
) -> tuple[np.ndarray, str, list[str]]:
    """Whole squares of land, and images near a square of a later part left out."""
    if not land.known.all():
        lost = chips.name[~land.known]
        raise FoldsError(
            f"{len(lost):,} images have no place, {lost[0]} for one, so they cannot be split by place: give "
            "a table with the latitude and longitude of each, or leave them out."
        )
    square = land.groups()
    count = np.zeros((square.max() + 1, len(chips.classes)))
    np.add.at(count, (square, chips.label), 1)
    if len(count) < len(PARTS):
        what = f"The images lie in {len(count)} squares of {_km(land.side_m)}"
        raise FoldsError(
            f"{what}, but training, validation and test need one each: give smaller squares or more images."
        )
    part = np.array(PARTS)[_dealt(count, shares, seed)][square]
    blocked = np.zeros(len(part), dtype=bool)
    for later, earlier in ((TEST, (TRAIN, VAL)), (VAL, (TRAIN,))):
        here = np.isin(part, earlier) & ~blocked
        blocked |= land.near(here, (part == later) & ~blocked, gap)
    part = np.where(blocked, "", part)
    kind = f"by place: {len(count)} squares of {_km(land.side_m)} with a gap of {_km(gap)}"
    left = np.count_nonzero(blocked)
    return part, kind, [f"{left:,} images in the gaps between the parts are not used."] if left else []


def _dealt(count: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Part (B,) of each square with so many images (B, K) of each class; no part stays empty.

    Large squares come first, those of about one size in any order; each goes where it brings the classes
    nearest to their shares.
    """
    total = count.sum(axis=0)
    target = np.outer(shares, total) / sum(shares)
    weight = 1 / np.maximum(target, 1)  # a rare class counts as much as a frequent one
    order = np.random.default_rng(seed).permutation(len(count))
    order = order[np.argsort(-np.floor(np.log2(count[order].sum(axis=1))), kind="stable")]
    have, part = np.zeros_like(target), np.empty(len(count), dtype=np.int64)
    empty = np.ones(len(target), dtype=bool)
    for i, square in enumerate(order):
        more = (((have + count[square] - target) ** 2 - (have - target) ** 2) * weight).sum(axis=1)
        last = len(order) - i <= empty.sum()  # as many squares as parts without one
        part[square] = np.argmin(np.where(empty | (not last), more, np.inf))
        have[part[square]] += count[square]
        empty[part[square]] = False
    return part


def _km(metres: float) -> str:
    return f"{metres / 1000:g} km" if metres >= 10_000 else f"{metres:,.0f} m"


# -- what there is to say ----------------------------------------------------------------------


def _require_enough(chips: Chips, part: np.ndarray, kind: str) -> list[str]:
    """Refuse a split with which nothing can be learned or chosen; say which classes parts lack."""
    counts = {name: np.bincount(chips.label[part == name], minlength=len(chips.classes)) for name in PARTS}
    untaught = [name for name, n in zip(chips.classes, counts[TRAIN], strict=True) if not n]
    if untaught:
        what = f"No image of {', '.join(untaught[:3])} is left to train on ({kind})"
        raise FoldsError(f"{what}: give more of them, or split in another way.")
    if not counts[VAL].any():
        raise FoldsError(f"No image is left to validate with ({kind}): let the split name some val.")
    notes = []
    for name, word in ((VAL, "validation"), (TEST, "test")):
        lacking = [c for c, n in zip(chips.classes, counts[name], strict=True) if not n]
        if lacking and counts[name].any():
            notes.append(f"There is no {word} image of {', '.join(lacking)}.")
    return notes


def _twins(chips: Chips, part: np.ndarray) -> list[str]:
    """Say which images are the same to the last pixel though of two parts, or of two classes."""
    used = np.flatnonzero(part != "")
    digest = [hashlib.blake2b(chips.images[i].tobytes(), digest_size=16).digest() for i in used]
    _, number = np.unique(np.array(digest, dtype="V16"), return_inverse=True)
    notes = []
    for values, what in ((part, "stand in two parts"), (chips.label, "are of two classes")):
        _, value = np.unique(values[used], return_inverse=True)
        pairs, first = np.unique(np.stack([number, value], axis=1), axis=0, return_index=True)
        torn = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
        if len(torn):
            one, other = chips.name[used[np.sort(first[pairs[:, 0] == torn[0]])[:2]]]
            notes.append(
                f"{len(torn):,} images occur twice to the last pixel and {what}: {one} and {other} for one."
            )
    return notes
