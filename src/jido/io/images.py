"""Images where they lie: files, folders, members of archives; found by name, read as bytes, not unpacked."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jido.errors import ImageError
from jido.io.archives import IMAGE_SUFFIXES, images_below, no_image
from jido.io.members import DAMAGED, Member, damaged, is_archive, members

LARGEST = 1 << 29
"""Bytes that one image may have; more is no image of a class, or an archive made to fill the memory."""


class Place(NamedTuple):
    """Where an image lies.

    ``name``: its path in the folder or archive that was given, with as many folders around it as tell
    it from all others. ``folder``: the folder it lies in, empty where it lies in none of its own.
    ``source``: its file, or the archive. ``member``: its place among all members from 1; 0 for a file.
    """

    name: str
    folder: str
    source: Path
    member: int

    def __str__(self) -> str:
        return f"{self.name} (member {self.member:,} of {self.source})" if self.member else str(self.source)


def find_images(given: Sequence[str | Path]) -> list[Place]:
    """All images of files, folders (with the folders in them) and archives, each once.

    In the order of ``given``, inside a folder by path, inside an archive in its own order. Hidden
    files and links in archives do not count. A file that is named is taken whatever its suffix.

    Args:
        given: image files, folders, ``.zip``, ``.tar`` or ``.tar.gz``.

    Raises:
        ImageError: when something is missing, holds no image, or is an archive that is damaged or
            names a file outside of it.
    """
    found: dict[tuple[Path, int], tuple[Place, str]] = {}
    for one in map(Path, given):
        places = _in_archive(one) if is_archive(one) else _in_folder(one)
        if not places:
            raise no_image(one)
        outer = one.resolve()
        for place in places:
            key = (outer if place.member else place.source.resolve(), place.member)
            shown = f"{one.as_posix()}/{place.name}" if place.member else place.source.as_posix()
            found.setdefault(key, (place, shown))
    return _told_apart(list(found.values()))


def _in_folder(one: Path) -> list[Place]:
    """Images of a file or a folder; one beside folders with images lies in no folder of its own."""
    if one.is_file():
        folder = one.resolve().parent.name
        return [Place(f"{folder}/{one.name}", folder, one, 0)]
    paths = images_below(one)
    inner = [PurePosixPath(path.relative_to(one).as_posix()) for path in paths]
    around = one.resolve().name if all(len(path.parts) == 1 for path in inner) else ""
    return [
        Place(str(PurePosixPath(around, path)), path.parent.name or around, source, 0)
        for path, source in zip(inner, paths, strict=True)
    ]


def _in_archive(archive: Path) -> list[Place]:
    """Images of an archive; of a name that occurs twice the last, which unpacking would leave."""
    try:
        last = {member.name: member.place for member in members(archive, IMAGE_SUFFIXES)}
    except (*DAMAGED, OSError) as err:
        raise damaged(archive, err) from err
    return [
        Place(name, posixpath.basename(posixpath.dirname(name)), archive, place)
        for name, place in sorted(last.items(), key=lambda item: item[1])
    ]


def _told_apart(found: Sequence[tuple[Place, str]]) -> list[Place]:
    """Places whose names are all different: those that repeat grow by the folders before them."""
    places = [place for place, _ in found]
    names, more = [place.name for place in places], 0
    longest = max((shown.count("/") for _, shown in found), default=0)
    while len(count := Counter(names)) < len(names) and more <= longest:
        more += 1
        names = [
            "/".join(shown.split("/")[-(place.name.count("/") + 1 + more) :]) if count[name] > 1 else name
            for name, (place, shown) in zip(names, found, strict=True)
        ]
    return [place._replace(name=name) for place, name in zip(places, names, strict=True)] if more else places


def image_bytes(places: Iterable[Place]) -> Iterator[tuple[Place, bytes | ImageError]]:
    """Places and what lies there, in their order; an error for an image that cannot be read.

    Args:
        places: as :func:`find_images` gives them, some may be left out.

    Raises:
        ImageError: when an archive as a whole can no longer be read.
    """
    for (source, packed), some in groupby(places, key=lambda place: (place.source, place.member > 0)):
        if packed:
            yield from _from_archive(source, some)
        else:
            yield from ((place, _from_file(place)) for place in some)


def _from_file(place: Place) -> bytes | ImageError:
    try:
        with place.source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return file.read() if size <= LARGEST else _too_large(place)
    except OSError as err:
        return ImageError(f"{place} cannot be read ({err.strerror}): make it readable.")


def _from_archive(archive: Path, some: Iterable[Place]) -> Iterator[tuple[Place, bytes | ImageError]]:
    wanted = iter(some)
    place = next(wanted, None)
    try:
        for member in members(archive, IMAGE_SUFFIXES):
            if place is None:
                return
            if member.place == place.member:
                yield place, _from_member(place, member)
                place = next(wanted, None)
    except (*DAMAGED, OSError) as err:
        raise damaged(archive, err) from err
    if place is not None:
        raise ImageError(f"{archive} was changed while it was read: start again.")


def _from_member(place: Place, member: Member) -> bytes | ImageError:
    if member.size > LARGEST:
        return _too_large(place)
    try:
        with member.open() as file:
            return file.read()
    except (*DAMAGED, OSError) as err:
        return damaged(place, err)


def _too_large(place: Place) -> ImageError:
    return ImageError(f"{place} has more than {LARGEST / 1e6:,.0f} MB: cut it into smaller images.")
