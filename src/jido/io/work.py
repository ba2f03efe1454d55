"""The folder in which something long keeps what it has done, so that it can go on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jido.errors import OutputError

LOG = logging.getLogger("jido")


@contextmanager
def working_folder(target: str | Path, *, restart: bool = False) -> Iterator[Path]:
    """A hidden folder beside what is being made; it goes when all went well, else it is kept.

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
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"Cannot write {target}: {err.strerror}; choose another place with -o.") from err
    try:
        yield work
    except BaseException:
        if any(work.iterdir()):
            LOG.info("What is done is kept beside %s: the same command goes on with it.", target)
        else:
            work.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)
