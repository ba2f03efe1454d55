"""A table about images: which site each is from, what it is used for, where it lies."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from jido.errors import LabelsError
from jido.io.archives import IMAGE_SUFFIXES
from jido.io.repair import is_null

SHOWN = 3
"""Names that an error lists, at most."""

TEXTS = (".csv", ".tsv", ".tab", ".txt")


def split_place(text: str) -> tuple[Path, str]:
    r"""File and column of ``FILE:COLUMN``, split at the last colon: ``C:\sites.csv:site`` works.

    Raises:
        LabelsError: when there is no column.
    """
    file, _, column = text.rpartition(":")
    if not file or not column.strip() or "/" in column or "\\" in column:
        raise LabelsError(f"{text!r} names no column of a table: give FILE:COLUMN such as sites.csv:site.")
    return Path(file), column.strip()


def image_column(text: str, names: Sequence[str], *, complete: bool = True) -> dict[str, str]:
    """What a column of a table says of each image.

    The names of the images stand in the column in which most of them are found, the first of these;
    with or without suffix and folders, in any case.

    Args:
        text: ``FILE:COLUMN``; CSV, TSV (both also ``.gz``), or anything that GDAL reads as a table.
        names: of the images, all different.
        complete: the table must say something of every image. Else an empty cell or no row says that
            an image is not used, and all that are used must be among the images.

    Returns:
        image name -> cell, without the spaces around it.

    Raises:
        LabelsError: when the table cannot be read, lacks the column, an image or its cell, or says
            two things of one image.
    """
    path, asked = split_place(text)
    table = _Table(path, names)
    column = table.column((asked,))
    if complete:
        return table.cells(column, names)
    if not table.rows:
        table.require_rows(names)
    table.require_given(column)
    return dict.fromkeys(names, "") | table.cells(column, list(table.rows), empty=True)


def column_names(path: str | Path) -> list[str]:
    """What the columns of a table are called.

    Raises:
        LabelsError: when it cannot be read.
    """
    return list(_columns(Path(path)))


def require_column(path: str | Path, asked: Sequence[str]) -> str:
    """The first column of a table that has one of some names, in any case.

    Raises:
        LabelsError: when the table cannot be read, or has none.
    """
    return _column(Path(path), _columns(Path(path)), asked)


def image_cells(
    path: str | Path, columns: Sequence[Sequence[str]], names: Sequence[str], *, complete: bool = True
) -> list[list[str]]:
    """What several columns of a table say of each image, one list in the order of ``names`` for each.

    Args:
        path: as for :func:`image_column`.
        columns: of each the names that it may have.
        names: of the images, all different.
        complete: the table must say something of every image; else it is empty where it does not.

    Raises:
        LabelsError: as :func:`image_column`.
    """
    table = _Table(Path(path), names)
    known = names if complete else list(table.rows)
    found = [table.cells(table.column(asked), known, empty=not complete) for asked in columns]
    return [[cells.get(name, "") for name in names] for cells in found]


class _Table:
    """A table in which rows of images have been looked for.

    Args:
        path: the file.
        names: of the images.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.columns = path, _columns(path)
        ends = _Ends(names)
        found = {field: ends.rows(cells) for field, cells in self.columns.items()}
        self.best = max(found, key=lambda field: len(found[field]), default="")  # the first one of several
        self.rows = found.get(self.best, {})

    def column(self, asked: Sequence[str]) -> str:
        """The first column that has one of these names, in any case."""
        return _column(self.path, self.columns, asked)

    def cells(self, column: str, names: Sequence[str], *, empty: bool = False) -> dict[str, str]:
        """One cell for each image."""
        self.require_rows(names)
        said = {name: {self.columns[column][row] for row in self.rows[name]} for name in names}
        if twice := [name for name in names if len(said[name]) > 1]:
            cells = " and ".join(map(repr, sorted(said[twice[0]])[:2]))
            raise LabelsError(
                f"{self.path} says {cells} of {twice[0]} in column {column!r}: keep one row of them."
            )
        found = {name: min(said[name]) for name in names}
        silent = [name for name in names if not found[name]]
        if silent and not empty:
            raise LabelsError(
                f"{self.path} says nothing of {_some(silent)} in column {column!r}: fill it in."
            )
        return found

    def require_rows(self, names: Sequence[str]) -> None:
        """Refuse images without a row."""
        if missing := [name for name in names if name not in self.rows]:
            raise LabelsError(
                f"{self.path} lacks {_some(missing)} of {len(names)} images; looked for the names "
                f"{self._where()}: add a row for each."
            )

    def require_given(self, column: str) -> None:
        """Refuse a table that uses images that nobody gave."""
        found = {row for rows in self.rows.values() for row in rows}
        cells = zip(self.columns.get(self.best, ()), self.columns[column], strict=False)
        lost = [name for row, (name, cell) in enumerate(cells) if cell and row not in found]
        if lost:
            raise LabelsError(
                f"{self.path} uses {_some(lost)} in column {column!r}, but no such images were given: give "
                "them too, or empty their cells."
            )

    def _where(self) -> str:
        if self.rows:
            return f"in column {self.best!r}"
        return f"in any of its columns {', '.join(self.columns)}"


def _column(path: Path, columns: Mapping[str, object], asked: Sequence[str]) -> str:
    small = {name.lower(): name for name in reversed(list(columns))}
    for name in asked:
        if name.lower() in small:
            return small[name.lower()]
    wanted = " or ".join(map(repr, asked))
    raise LabelsError(
        f"{path} has no column {wanted}, only {', '.join(columns) or 'none'}: add it or name another."
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _columns(path: Path) -> dict[str, list[str]]:
    """All columns of a table as text; empty where nothing stands."""
    if not path.is_file():
        raise LabelsError(f"{path} does not exist: give a table, such as a CSV file.")
    try:
        if path.name.lower().removesuffix(".gz").endswith(TEXTS):
            return _text_columns(path)
        meta, _, _, values = pyogrio.raw.read(path, read_geometry=False, datetime_as_string=True)
    except (DataSourceError, DataLayerError, ValueError, OSError, EOFError, zlib.error) as err:
        reason = str(err).split(";")[0].strip().rstrip(".")
        raise LabelsError(f"{path} cannot be read as a table ({reason}): give a CSV file.") from err
    return {
        str(field): ["" if is_null(cell) else str(cell).strip() for cell in column.tolist()]
        for field, column in zip(meta["fields"], values, strict=True)
    }


def _text_columns(path: Path) -> dict[str, list[str]]:
    import pandas

    packed = path.suffix.lower() == ".gz"
    with gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    frame = pandas.read_csv(
        path,
        sep=max(",;\t", key=header.count),
        encoding="utf-8-sig",
        dtype=str,  # image 012 is not image 12
        keep_default_na=False,
        compression="gzip" if packed else None,
    )
    return {
        str(field).strip(): [str(cell).strip() for cell in frame[field].tolist()] for field in frame.columns
    }


class _Ends:
    """Names of images, to be found in a table that gives them with more or fewer folders.

    Args:
        names: of the images.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._keys = {name: key for name in names if (key := _key(name))}
        self._last = {key.rpartition("/")[2] for key in self._keys.values()}
        # an end that two images share names neither
        self._count = Counter(end for key in self._keys.values() for end in _ends(key))

    def rows(self, cells: Sequence[str]) -> dict[str, list[int]]:
        """Rows in which images are named: a whole name counts before one with other folders."""
        whole: dict[str, list[int]] = {}
        longer: dict[str, list[int]] = {}
        for row, cell in enumerate(cells):
            key = _key(cell)
            if key.rpartition("/")[2] in self._last:
                whole.setdefault(key, []).append(row)
                for end in _ends(key):
                    longer.setdefault(end, []).append(row)
        found = {}
        if whole:
            for name, key in self._keys.items():
                shorter = (whole.get(end) for end in _ends(key) if self._count[end] == 1)
                if rows := whole.get(key) or longer.get(key) or next(filter(None, shorter), None):
                    found[name] = rows
        return found


def _ends(key: str) -> Iterator[str]:
    """A path without its first folder, without its first two, and so on."""
    while "/" in key:
        key = key.partition("/")[2]
        yield key


def _key(text: str) -> str:
    """A name without suffix, small, with ``/``."""
    text = text.replace("\\", "/").casefold()
    return text.rpartition(".")[0] if text.endswith(IMAGE_SUFFIXES) else text
