"""Writing so that nothing half-written stays behind: write beside, then rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jido.errors import OutputError


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """A path inside a fresh hidden folder beside ``target``; moved to ``target`` on success.

    On any error the folder goes and what stood at ``target`` stays. Works for files and folders.

    Raises:
        OutputError: when the folder of ``target`` cannot be written or the disk is full.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as err:
        raise OutputError(f"Cannot write {target}: {err.strerror}; choose another place with -o.") from err
    try:
        fresh = scratch / target.name
        yield fresh
        old = scratch / "replaced"
        if target.is_dir():
            target.rename(old)
        fresh.replace(target)
    except OSError as err:
        if err.errno is None:  # a library's own OSError (GDAL), already a sentence
            raise
        raise OutputError(
            f"Cannot write {target}: {os.strerror(err.errno)}; what stood there is kept."
        ) from err
    finally:
        _remove(scratch)
