"""Which mask belongs to which image, and which image before to which after, told by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from jido.data.sheets import Sieve
from jido.errors import ImageError, LabelsError
from jido.io.archives import Listed

ROLES = {
    *("image", "images", "img", "imgs", "photo", "photos", "ortho", "rgb"),
    *("mask", "masks", "msk", "msks", "label", "labels", "annotation", "annotations", "gt", "truth", "seg"),
}
"""Words at either end of a name that say what a file is for, not what it shows."""

TIMES = {"before", "after", "pre", "post", "event", "disaster", "original", "target", "t0", "t1", "t2"}
"""Words of a name that say which of two dates a file shows: ``S2_before_0001``, ``quake_pre_disaster``."""

SHOWN = 3
"""Names that an error lists, at most."""


def pair_masks(
    images: Sequence[Listed], masks: Sequence[Listed]
) -> tuple[list[tuple[Listed, Listed]], list[str]]:
    """Images with their masks, in the order of the images, and what is left over in sentences.

    Names are compared without suffix and case; where that does not tell all files apart, without
    words such as ``_image`` and ``_mask``, and then with the folders. One image and one mask always
    belong together.

    Raises:
        LabelsError: when a file is among both, when names do not tell files apart, or when no image
            has a mask.
    """
    pairs, bare, lost = _matched(images, masks, "image", "mask")
    left = [f"{item.shown} has no mask of its name" for item in bare]
    left += [f"{item.shown} is a mask without an image of its name" for item in lost]
    return pairs, left


def pair_dates(
    before: Sequence[Listed], after: Sequence[Listed]
) -> tuple[list[tuple[Listed, Listed]], list[str]]:
    """Images before with those after, in the order of the former, and what is left over in sentences.

    Names are compared as in :func:`pair_masks`; in the end words such as ``before`` do not count.

    Raises:
        LabelsError: as :func:`pair_masks`.
    """
    pairs, bare, lost = _matched(before, after, "image before", "image after")
    left = [f"{item.shown} has no image after of its name" for item in bare]
    left += [f"{item.shown} has no image before of its name" for item in lost]
    return pairs, left


def _matched(
    images: Sequence[Listed], others: Sequence[Listed], this: str, that: str
) -> tuple[list[tuple[Listed, Listed]], list[Listed], list[Listed]]:
    """Pairs, those of the first kind without a partner, and those of the second."""
    both = {item.path.resolve() for item in images} & {item.path.resolve() for item in others}
    if both:
        raise LabelsError(
            f"{min(both)} is among {_many(this)} and among {_many(that)}: give folders that hold one of them."
        )
    if len(images) == len(others) == 1:
        return [(images[0], others[0])], [], []
    found: list[tuple[dict[str, Listed], dict[str, Listed]]] = []
    for key in (_stem, _bare, _relative, _whole, _timeless):
        one, other = _by(key, images), _by(key, others)
        if len(one) == len(images) and len(other) == len(others):
            found.append((one, other))
    if not found:
        raise LabelsError(
            f"The names of {_many(this)} ({_some(images)}) or of {_many(that)} ({_some(others)}) do not tell "
            f"them apart: give each {this} and its {that.partition(' ')[0]} one name of their own."
        )
    one, other = max(found, key=lambda pair: len(pair[0].keys() & pair[1].keys()))  # the first one of several
    if not one.keys() & other.keys():
        raise LabelsError(
            f"No {that} is named like an {this}: {_many(this)[4:]} are {_some(images)}, {_many(that)[4:]} "
            f"{_some(others)}: give each {that} the name of its {this}."
        )
    bare = [item for key, item in one.items() if key not in other]
    lost = [item for key, item in other.items() if key not in one]
    return [(item, other[key]) for key, item in one.items() if key in other], bare, lost


def _many(kind: str) -> str:
    """``image before``: the images before."""
    noun, _, rest = kind.partition(" ")
    return f"the {noun}s {rest}".strip()


def require_paired(left: Sequence[str], sieve: Sieve) -> None:
    """Refuse images without mask and masks without image, or leave them out and say so.

    Raises:
        ImageError: naming the first ones.
    """
    if sieve.skip_bad:
        sieve.notes += [f"Left out: {sentence}." for sentence in left]
        return
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    sieve.drop(ImageError(f"{'; '.join(left[:SHOWN])}{more}: add what is missing."))


def _by(key: Callable[[Listed], str], items: Sequence[Listed]) -> dict[str, Listed]:
    return {key(item): item for item in items}


def _some(items: Sequence[Listed]) -> str:
    return ", ".join(item.name for item in items[:SHOWN]) + (", ..." if len(items) > SHOWN else "")


def _stem(item: Listed) -> str:
    return PurePosixPath(item.inside).stem.casefold()


def _bare(item: Listed) -> str:
    return _without_role(_stem(item))


def _relative(item: Listed) -> str:
    return _path_without_roles(item.inside)


def _whole(item: Listed) -> str:
    return _path_without_roles(item.shown)


def _path_without_roles(text: str) -> str:
    """The path without folders that only say ``images`` or ``masks``."""
    path = PurePosixPath(text.casefold())
    folders = [_without_role(part) for part in path.parts[:-1] if part not in ROLES]
    return "/".join([*folders, _without_role(path.stem)])


def _without_role(name: str) -> str:
    """A name without the words of :data:`ROLES` at its ends: ``suburb_images``, ``img-7``, ``mask7``."""
    name = re.sub(r"^(image|img|mask|label)s?(?=\d)", "", name)
    words = [word for word in re.split(r"[\s_.-]+", name) if word]
    while len(words) > 1 and words[-1] in ROLES:
        words.pop()
    while len(words) > 1 and words[0] in ROLES:
        words.pop(0)
    return "_".join(words)


def _timeless(item: Listed) -> str:
    """The words of a name that say neither what a file is for nor which date it shows."""
    words = re.split(r"[\s_.-]+", _stem(item))
    return "_".join(word for word in words if word not in ROLES | TIMES)
