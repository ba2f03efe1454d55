"""Writing so that nothing half-written stays behind: write beside, then rename. And strict JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio._err import CPLE_BaseError  # what closing a GDAL file raises; rasterio gives no public name
from rasterio.errors import RasterioError

from jido.errors import OutputError

WRITE_ERRORS = (OSError, RasterioError, CPLE_BaseError, DataSourceError, DataLayerError)
"""What Python, rasterio and pyogrio raise when a file cannot be written."""

FULL = 1_000_000
"""With fewer bytes free after a failure the disk is taken for full; GDAL and SQLite do not say so."""


class _WriteError(OutputError):
    """Writing failed midway."""

    def __init__(self, target: str | Path, reason: str) -> None:
        super().__init__(
            f"Cannot write {target}: {reason}; what stood there is kept: "
            "make room or choose another place with -o."
        )
        self.reason = reason


@contextmanager
def replacing(target: str | Path, *, folder: bool = False) -> Iterator[Path]:
    """A path inside a fresh hidden folder beside ``target``; moved to ``target`` on success.

    On any error, and on Ctrl-C, the hidden folder goes and what stood at ``target`` stays.

    Args:
        target: the file to write; a link is followed.
        folder: write a folder, and replace a folder that stands there with all it holds.

    Raises:
        OutputError: when the place cannot be written, the disk is full, or ``target`` is a folder
            where a file is to be written or the other way round.
    """
    place = _place(Path(target), folder=folder)
    with _scratch(place, target) as scratch:
        try:
            fresh = scratch / place.name
            yield fresh
            _move(fresh, place, aside=scratch / "replaced")
        except _WriteError as err:  # something inside: a person knows only the outermost name
            raise _WriteError(target, err.reason) from err
        except WRITE_ERRORS as err:
            raise _WriteError(target, _reason(err, scratch)) from err


@contextmanager
def replacing_together(*targets: str | Path) -> Iterator[list[Path]]:
    """Like :func:`replacing` for files that belong together: all are moved, or none.

    Raises:
        OutputError: as :func:`replacing`; it names the first target.
    """
    places = [_place(Path(target), folder=False) for target in targets]
    with ExitStack() as stack:
        folders = [stack.enter_context(_scratch(p, t)) for p, t in zip(places, targets, strict=True)]
        fresh = [folder / place.name for folder, place in zip(folders, places, strict=True)]
        try:
            yield fresh
            _move_together(list(zip(fresh, places, [f / "replaced" for f in folders], strict=True)))
        except WRITE_ERRORS as err:
            raise _WriteError(targets[0], _reason(err, folders[0])) from err


@contextmanager
def replacing_run(stem: str | Path) -> Iterator[Path]:
    """Like :func:`replacing_together` for all that a run writes, whatever files these turn out to be.

    Args:
        stem: where they belong; any path in their folder.

    Yields:
        A path of the same name in a hidden folder. What lies beside it in the end is moved beside ``stem``.

    Raises:
        OutputError: as :func:`replacing`.
    """
    place = Path(stem).parent.resolve() / Path(stem).name
    with _scratch(place, stem) as scratch:
        try:
            yield scratch / place.name
            made = sorted(path for path in scratch.iterdir() if path.is_file())
            with replacing_together(*(place.with_name(path.name) for path in made)) as fresh:
                for path, there in zip(made, fresh, strict=True):
                    shutil.move(path, there)  # a link may lead to another disk
        except _WriteError as err:  # something inside: a person knows only the outermost name
            raise _WriteError(stem, err.reason) from err
        except WRITE_ERRORS as err:
            raise _WriteError(stem, _reason(err, scratch)) from err


def _move_together(moves: Sequence[tuple[Path, Path, Path]]) -> None:
    """Fresh files to their places; when one cannot go, those that stood there come back."""
    begun: list[tuple[Path, Path]] = []
    try:
        for fresh, place, aside in moves:
            if place.exists():
                place.rename(aside)
            begun.append((place, aside))
            fresh.replace(place)
    except BaseException:
        for place, aside in reversed(begun):
            place.unlink(missing_ok=True)
            if aside.exists():
                aside.rename(place)
        raise


def clear_leftovers(*targets: str | Path) -> None:
    """Remove what a killed process left of :func:`replacing` these files; only for who writes them alone."""
    for place in (Path(os.path.realpath(target)) for target in targets):
        if place.parent.is_dir():
            pattern = re.compile(rf"\.{re.escape(place.name)}\.[a-z0-9_]{{8}}")
            for old in place.parent.iterdir():
                if pattern.fullmatch(old.name) and old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)


def require_place(target: str | Path, *, folder: bool = False) -> None:
    """Refuse what :func:`replacing` would refuse, before an hour of work and not after it.

    Raises:
        OutputError: as :func:`replacing`.
    """
    with _scratch(_place(Path(target), folder=folder), target):
        pass


def _place(target: Path, *, folder: bool) -> Path:
    """Where ``target`` really is, once it is clear that nothing else would be lost there."""
    place = Path(os.path.realpath(target))
    try:
        if place.is_dir() and not folder:
            raise OutputError(f"{target} is a folder: give the name of a file with -o.")
        if place.is_dir() and Path.cwd().is_relative_to(place):
            raise OutputError(f"{target} is the folder you are in: give the name of a new one with -o.")
        if place.exists() and not place.is_dir() and (folder or not place.is_file()):
            kind = "folder" if folder else "ordinary file"
            raise OutputError(f"{target} exists and is no {kind}: choose another name with -o.")
    except OSError as err:
        raise _no_entry(target, err) from err
    return place


@contextmanager
def _scratch(place: Path, target: str | Path) -> Iterator[Path]:
    """A hidden folder beside ``place``; it goes, and so do parents made for it that stayed empty."""
    made: list[Path] = []
    try:
        try:
            made += [parent for parent in place.parents if not parent.exists()]
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        except OSError as err:
            raise _no_entry(target, err) from err
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        for parent in made:
            with suppress(OSError):  # not empty: the result is in it
                parent.rmdir()


def _move(fresh: Path, place: Path, *, aside: Path) -> None:
    """``fresh`` to its place; a folder that stands there steps aside, and back when that fails."""
    try:
        if place.is_dir():
            place.rename(aside)
        fresh.replace(place)
    except BaseException:
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise


def _no_entry(target: str | Path, err: OSError) -> OutputError:
    return OutputError(f"Cannot write {target}: {err.strerror}; choose another place with -o.")


def _reason(err: Exception, folder: Path) -> str:
    if isinstance(err, OSError) and err.errno is not None:
        return os.strerror(err.errno)
    with suppress(OSError):
        if shutil.disk_usage(folder).free < FULL:
            return "the disk is full"
    return " ".join(str(err).split()).rstrip(". ")


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON of plain values, paths and numpy scalars; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
