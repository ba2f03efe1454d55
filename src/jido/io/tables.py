"""One column of a table about images: which site each is from, or what it is used for."""

from __future__ import annotations

from collections.abc import Sequence
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


def image_column(text: str, names: Sequence[str]) -> dict[str, str]:
    """What a column of a table says of each image.

    The names of the images stand in the column in which most of them are found, the first of these;
    with or without suffix and folders, in any case.

    Args:
        text: ``FILE:COLUMN``; CSV, TSV, or anything that GDAL reads as a table.
        names: of the images, as :func:`~jido.io.archives.list_images` gives them.

    Returns:
        image name -> cell, without the spaces around it.

    Raises:
        LabelsError: when the table cannot be read, lacks the column, an image or its cell, or says
            two things of one image.
    """
    path, asked = split_place(text)
    columns = _columns(path)
    column = next((name for name in columns if name.lower() == asked.lower()), None)
    if column is None:
        raise LabelsError(f"{path} has no column {asked!r}, only {', '.join(columns) or 'none'}.")
    rows = {field: _rows(cells, names) for field, cells in columns.items()}
    best = max(rows, key=lambda field: len(rows[field]))  # the first one of several
    missing = [name for name in names if name not in rows[best]]
    if missing:
        where = f"in column {best!r}" if rows[best] else f"in any of its columns {', '.join(columns)}"
        raise LabelsError(
            f"{path} lacks {_some(missing)} of {len(names)} images; looked for the names {where}: "
            "add a row for each."
        )
    said = {name: {columns[column][row] for row in rows[best][name]} for name in names}
    if twice := [name for name in names if len(said[name]) > 1]:
        cells = " and ".join(map(repr, sorted(said[twice[0]])[:2]))
        raise LabelsError(f"{path} says {cells} of {twice[0]} in column {column!r}: keep one row of them.")
    if empty := [name for name in names if not min(said[name])]:
        raise LabelsError(f"{path} says nothing of {_some(empty)} in column {column!r}: fill it in.")
    return {name: min(said[name]) for name in names}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _columns(path: Path) -> dict[str, list[str]]:
    """All columns of a table as text; empty where nothing stands."""
    if not path.is_file():
        raise LabelsError(f"{path} does not exist: give a table as FILE:COLUMN.")
    try:
        if path.suffix.lower() in TEXTS:
            return _text_columns(path)
        meta, _, _, values = pyogrio.raw.read(path, read_geometry=False, datetime_as_string=True)
    except (DataSourceError, DataLayerError, ValueError, OSError) as err:
        reason = str(err).split(";")[0].strip().rstrip(".")
        raise LabelsError(f"{path} cannot be read as a table ({reason}): give a CSV file.") from err
    return {
        str(field): ["" if is_null(cell) else str(cell).strip() for cell in column.tolist()]
        for field, column in zip(meta["fields"], values, strict=True)
    }


def _text_columns(path: Path) -> dict[str, list[str]]:
    import pandas

    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    frame = pandas.read_csv(
        path, sep=max(",;\t", key=header.count), encoding="utf-8-sig", dtype=str, keep_default_na=False
    )  # as text: image 012 is not image 12
    return {str(field).strip(): [str(cell).strip() for cell in frame[field]] for field in frame.columns}


def _rows(cells: Sequence[str], names: Sequence[str]) -> dict[str, list[int]]:
    """Rows in which images are named: a whole name counts before one without its folders."""
    whole: dict[str, list[int]] = {}
    last: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        key = _key(cell)
        whole.setdefault(key, []).append(row)
        last.setdefault(key.rpartition("/")[2], []).append(row)
    found = {name: whole.get(_key(name)) or last.get(_key(name)) for name in names if _key(name)}
    return {name: rows for name, rows in found.items() if rows}


def _key(text: str) -> str:
    """A name without suffix, small, with ``/``."""
    text = text.replace("\\", "/").casefold()
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if text.endswith(suffix)), "")
    return text.removesuffix(suffix)
