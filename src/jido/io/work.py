"""The folder in which something long keeps what it has done, so that it can go on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jido.errors import FoldsError, ImageError, LabelsError, OutputError

LOG = logging.getLogger("jido")

REFUSED = (FoldsError, ImageError, LabelsError)
"""Errors of what was given, raised before anything long is done."""


@contextmanager
def working_folder(target: str | Path, *, restart: bool = False) -> Iterator[Path]:
    """A hidden folder beside what is being made; it goes when all went well, else it is kept.

    It also goes when the first thing that happens is that images, labels or a split are refused.

    Args:
        target: what is being made.
        restart: begin with an empty one.

    Raises:
        OutputError: when it cannot be made.
    """
    target = Path(target)
    work = target.with_name(f".{target.name}.run")
    if restart:
        shutil.rmtree(work, ignore_errors=True)
    made = [parent for parent in work.parents if not parent.exists()]
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"Cannot write {target}: {err.strerror}; choose another place with -o.") from err
    begun = any(work.iterdir())
    try:
        yield work
    except BaseException as err:
        if any(work.iterdir()) and (begun or not isinstance(err, REFUSED)):
            LOG.info("What is done is kept beside %s: the same command goes on with it.", target)
        else:
            shutil.rmtree(work, ignore_errors=True)
            for parent in made:
                with suppress(OSError):  # something else is in it
                    parent.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)
