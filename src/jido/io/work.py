"""The folder in which something long keeps what it has done, so that it can go on."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jido.errors import FoldsError, ImageError, LabelsError, OutputError

LOG = logging.getLogger("jido")

LOCK = "lock"
"""File of a working folder that the process at work holds locked."""

REFUSED = (FoldsError, ImageError, LabelsError)
"""Errors of what was given, raised before anything long is done."""


@contextmanager
def locked_folder(target: str | Path) -> Iterator[Path]:
    """A hidden folder beside what is being made, which one process has at a time.

    What is left in it at the end is kept. When nothing is, the folder goes, and so do parents that
    were made for it and stayed empty.

    Args:
        target: what is being made; a link is followed.

    Raises:
        OutputError: when another process has the folder, or it cannot be made.
    """
    place = Path(os.path.realpath(target))
    folder = place.with_name(f".{place.name}.run")
    made = [parent for parent in place.parents if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("wb")
    except OSError as err:
        _remove_empty(folder, made)
        raise OutputError(f"Cannot write {target}: {err.strerror}; choose another place with -o.") from err
    with lock:
        _require_alone(lock, target)
        try:
            yield folder
        finally:
            if not is_begun(folder):
                _remove_empty(folder, made)


def _require_alone(lock: BinaryIO, target: str | Path) -> None:
    """Lock a file until the process ends, however it ends; without effect on Windows.

    Raises:
        OutputError: when another process holds it.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise OutputError(
            f"Another process is writing {target}: wait for it or choose another name with -o."
        ) from err


def _remove_empty(folder: Path, made: list[Path]) -> None:
    """Remove a folder that holds a lock alone, and its parents as far as they are empty."""
    with suppress(OSError):  # the folder was not made
        (folder / LOCK).unlink(missing_ok=True)
    for path in (folder, *made):
        with suppress(OSError):  # something is in it
            path.rmdir()


def is_begun(folder: Path) -> bool:
    """Whether a working folder holds anything."""
    return bool(_held(folder))


def clear_folder(folder: Path) -> None:
    """Remove what is in a working folder, as far as that can be done."""
    for path in _held(folder):
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # it was a folder, and has gone
            path.unlink()


def _held(folder: Path) -> list[Path]:
    """What lies in a working folder, the lock aside; nothing when somebody has removed it."""
    return [path for path in folder.iterdir() if path.name != LOCK] if folder.is_dir() else []


@contextmanager
def working_folder(target: str | Path, *, restart: bool = False) -> Iterator[Path]:
    """A hidden folder beside what is being made; it goes when all went well, else it is kept.

    It also goes when the first thing that happens is that images, labels or a split are refused.

    Args:
        target: what is being made.
        restart: begin with an empty one.

    Raises:
        OutputError: when another process has it, or it cannot be made.
    """
    with locked_folder(target) as work:
        if restart:
            clear_folder(work)
        begun = is_begun(work)
        try:
            yield work
        except BaseException as err:
            if is_begun(work) and (begun or not isinstance(err, REFUSED)):
                LOG.info("What is done is kept beside %s: the same command goes on with it.", target)
            else:
                clear_folder(work)
            raise
        clear_folder(work)
