"""Images wherever people keep them: files, folders, archives. Everything comes out as a list of names."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import rasterio

from jido.errors import ImageError
from jido.io.files import replacing

IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".webp", ".jp2")
"""What counts as an image in a folder or an archive; case does not matter."""

BESIDE = (".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".j2w", ".wld", ".prj", ".xml", ".ovr", ".msk")
"""Files beside an image that say where it lies or which pixels count."""

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


class Listed(NamedTuple):
    """An image of a list.

    ``name``: its file name, with the folders before it where names repeat. ``path``: where it can be
    read. ``inside``: its path in the folder or archive that was given. ``shown``: its path as a person
    knows it, archives taken for folders. All but ``path`` with ``/``.
    """

    name: str
    path: Path
    inside: str
    shown: str


def list_images(given: Sequence[str | Path], *, work: Path) -> list[Listed]:
    """All images of files, folders (with the folders in them) and archives, each once.

    In the order of ``given``, inside a folder or archive by path. Hidden files do not count. Images
    of an archive are unpacked below ``work`` and kept there for the next time; links in it are left
    alone. A file that is named is taken whatever its suffix.

    Args:
        given: image files, folders, ``.zip``, ``.tar`` or ``.tar.gz``.
        work: folder for unpacked images.

    Raises:
        ImageError: when something is missing, holds no image, is damaged, or an archive would write
            outside of its folder.
        OutputError: when ``work`` cannot be written.
    """
    found: dict[Path, tuple[str, str]] = {}
    for one in map(Path, given):
        folder = _unpacked(one, work) if is_archive(one) else one
        paths = [one] if one.is_file() and folder is one else images_below(folder)
        if not paths:
            raise no_image(one)
        for path in paths:
            inside = path.name if path is one else path.relative_to(folder).as_posix()
            shown = one.as_posix() if path is one else f"{one.as_posix()}/{inside}"
            found.setdefault(path.resolve(), (inside, shown))
    names = _told_apart([shown for _, shown in found.values()])
    return [Listed(name, path, *where) for name, (path, where) in zip(names, found.items(), strict=True)]


def input_state(given: Sequence[str | Path]) -> list[tuple[str, int, int]]:
    """Path, size in bytes and time of the last change in ns of all that :func:`list_images` would read.

    Raises:
        ImageError: when something is missing.
    """
    state = []
    for one in map(Path, given):
        files = [one] if not one.is_dir() else images_below(one, (*IMAGE_SUFFIXES, *BESIDE))
        try:
            facts = [(str(path.resolve()), path.stat()) for path in files]
        except OSError as err:
            raise ImageError(f"{err.filename} does not exist.") from err
        state += [(path, fact.st_size, fact.st_mtime_ns) for path, fact in facts]
    return state


def no_image(given: Path) -> ImageError:
    """What to say of something given in which there is no image."""
    if not given.exists():
        return ImageError(f"{given} does not exist.")
    known = ", ".join(IMAGE_SUFFIXES)
    return ImageError(f"{given} holds no image: give a file, folder or archive with {known}.")


@contextmanager
def damage_is_an_error() -> Iterator[None]:
    """Inside, a PNG that is cut short is an error; GDAL's fast way gives whatever lay in memory."""
    with rasterio.Env(GDAL_PNG_WHOLE_IMAGE_OPTIM="NO"):  # seen in GDAL 3.10
        yield


def images_below(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Files with these suffixes below a folder, by path; hidden ones and what macOS adds left out."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()]
    seen = [path for path in found if not _hidden(path.relative_to(folder).parts)]
    return sorted(seen, key=lambda path: path.relative_to(folder).as_posix())


def _hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _told_apart(shown: Sequence[str]) -> list[str]:
    """The shortest ends of paths, of one part or more, that tell them apart."""
    parts = [PurePosixPath(text).parts for text in shown]
    names = [path[-1] for path in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        count = Counter(names)
        names = [
            "/".join(path[-depth:]) if count[name] > 1 else name
            for name, path in zip(names, parts, strict=True)
        ]
    return names


# -- archives ----------------------------------------------------------------------------------


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
        if not _hidden(name.split("/")):
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


def _unpacked(archive: Path, work: Path) -> Path:
    """The folder with the images of an archive; unpacked again only when the archive has changed."""
    state = "|".join(map(str, input_state([archive])[0]))
    folder = work / "unpacked" / f"{archive.name}-{hashlib.sha256(state.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            try:
                for member in members(archive, (*IMAGE_SUFFIXES, *BESIDE)):
                    place = fresh / member.name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with member.open() as source, place.open("wb") as file:
                        shutil.copyfileobj(source, file)
            except DAMAGED as err:
                raise damaged(archive, err, doing="unpacked") from err
    return folder
