"""Images wherever people keep them: files, folders, archives. Everything comes out as a list of names."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import rasterio

from jido.errors import ImageError
from jido.io.files import replacing
from jido.io.members import DAMAGED, damaged, is_archive, is_hidden, members
from jido.io.products import is_product

IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".webp", ".jp2")
"""What counts as an image in a folder or an archive; case does not matter."""

BESIDE = (".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".j2w", ".wld", ".prj", ".xml", ".ovr", ".msk")
"""Files beside an image that say where it lies or which pixels count."""


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
    alone. A file that is named is taken whatever its suffix, and a product (:mod:`jido.io.products`) is one
    image, read where it lies.

    Args:
        given: image files, products, folders, ``.zip``, ``.tar`` or ``.tar.gz``.
        work: folder for unpacked images.

    Raises:
        ImageError: when something is missing, holds no image, is damaged, or an archive would write
            outside of its folder.
        OutputError: when ``work`` cannot be written.
    """
    found: dict[Path, tuple[str, str]] = {}
    for one in map(Path, given):
        whole = is_product(one)
        folder = _unpacked(one, work) if is_archive(one) and not whole else one
        paths = [one] if whole or (one.is_file() and folder is one) else images_below(folder)
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
    seen = [path for path in found if not is_hidden(path.relative_to(folder).parts)]
    return sorted(seen, key=lambda path: path.relative_to(folder).as_posix())


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
