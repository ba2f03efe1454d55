"""The files of a folder or an archive, read where they lie: nothing is unpacked."""

from __future__ import annotations

import posixpath
from functools import cached_property
from pathlib import Path

from jido.errors import ImageError
from jido.io.members import DAMAGED, TARS, ZIPS, damaged, members

METADATA_BYTES = 20_000_000
"""Largest metadata file that is read; real ones have a hundred thousand."""


class Holding:
    """The files of a folder or an archive.

    Args:
        path: the folder, ``.zip`` or ``.tar``.

    Raises:
        ImageError: when an archive is compressed as a whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        name = path.name.lower()
        if name.endswith(TARS) and not name.endswith(".tar"):
            raise ImageError(
                f"{path} is compressed as a whole, so no window of it can be read: unpack it and give the "
                "folder."
            )
        where = path.resolve().as_posix()
        kind = "zip" if name.endswith(ZIPS) else "tar"
        self._inside = f"{where}/" if path.is_dir() else f"/vsi{kind}/{{{where}}}/"

    @cached_property
    def names(self) -> list[str]:
        """Paths inside with ``/``; of a folder those that lie in it or one folder deeper.

        Raises:
            ImageError: when an archive is damaged or would write outside of its folder.
        """
        if self.path.is_dir():
            found = [*self.path.glob("*"), *self.path.glob("*/*")]
            return sorted(one.relative_to(self.path).as_posix() for one in found if one.is_file())
        try:
            return [member.name for member in members(self.path, ("",))]
        except (OSError, *DAMAGED) as err:
            raise damaged(self.path, err) from err

    def __contains__(self, name: str) -> bool:
        if posixpath.normpath(name).startswith(("/", "..")):
            return False  # what metadata names must lie inside
        return (self.path / name).is_file() if self.path.is_dir() else name in self.names

    def place(self, name: str) -> str:
        """Where GDAL reads a file."""
        return self._inside + name

    def text(self, name: str) -> str:
        """A file of metadata.

        Raises:
            ImageError: when it is damaged, locked by a password, or far too large.
        """
        try:
            data = self._bytes(name)
            if len(data) <= METADATA_BYTES:
                return data.decode()
        except (OSError, UnicodeDecodeError, *DAMAGED) as err:
            raise damaged(f"{name} of {self.path}", err) from err
        raise ImageError(f"{name} of {self.path} is no metadata: it is far too large.")

    def _bytes(self, name: str) -> bytes:
        if self.path.is_dir():
            with (self.path / name).open("rb") as file:
                return file.read(METADATA_BYTES + 1)
        for member in members(self.path, (name.lower(),)):
            if member.name == name:
                with member.open() as file:
                    return file.read(METADATA_BYTES + 1)
        raise FileNotFoundError(f"{name} has gone")
