"""What lies in a zip or a tar: its ordinary files, read one after the other."""

from __future__ import annotations

import gzip
import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from jido.errors import ImageError

ZIPS, TARS = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    RuntimeError,  # a password is wanted
    NotImplementedError,  # packed in a way that Python does not know
)


class Member(NamedTuple):
    """An ordinary file of an archive: place among all members from 1, path, bytes, a way to read them."""

    place: int
    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is called like an archive."""
    return path.name.lower().endswith((*ZIPS, *TARS)) and path.is_file()


def members(archive: Path, suffixes: tuple[str, ...]) -> Iterator[Member]:
    """Ordinary files with these suffixes in the order of an archive; hidden ones and links are left alone.

    A member can be read until the next one is asked for.

    Raises:
        ImageError: when a path leads out of the archive.
        OSError: or one of :data:`DAMAGED`, when the archive cannot be read.
    """
    for member in _files(archive):
        name = posixpath.normpath(member.name.replace("\\", "/"))  # as some packers on Windows write
        if not name.lower().endswith(suffixes):
            continue
        if name.startswith(("/", "../")) or name[1:2] == ":":  # C:
            raise ImageError(
                f"{archive} holds {member.name!r}, which would be written outside of its folder: do not "
                "trust it."
            )
        if not is_hidden(name.split("/")):
            yield member._replace(name=name)


def damaged(archive: object, err: Exception, *, doing: str = "read") -> ImageError:
    """What to say of an archive, or a member of one, that cannot be read."""
    reason = " ".join(str(err).split()).rstrip(". ") or "it ends too early"
    return ImageError(f"{archive} cannot be {doing} ({reason}): get it again.")


def _files(archive: Path) -> Iterator[Member]:
    if archive.name.lower().endswith(ZIPS):
        with zipfile.ZipFile(archive) as packed:
            for place, info in enumerate(packed.infolist(), start=1):
                if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                    yield Member(place, info.filename, info.file_size, partial(packed.open, info))
    else:
        with tarfile.open(archive) as tape:
            for place, member in enumerate(tape, start=1):
                if member.isreg():
                    yield Member(place, member.name, member.size, partial(_bytes, tape, member))


def _bytes(tape: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tape.extractfile(member)
    if file is None:
        raise tarfile.ReadError(f"{member.name} is no ordinary file")
    return file


def is_hidden(parts: Iterable[str]) -> bool:
    """Whether a path, as its parts, is hidden or one of those that macOS adds."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
