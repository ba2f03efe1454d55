"""Tiles on disk: arrays that grow tile by tile, and the record that says they are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import shapely

from jido.data.tiles import Tiles
from jido.geo import Band
from jido.geo.radiometry import Radiometry
from jido.labels import Labels

IMAGES, MASKS, VALID, RECORD = "images.npy", "masks.npy", "valid.npy", "tiles.json"

VERSION = 2
"""Of the record; tiles of another version are cut again."""


class GrowingArray:
    """An ``.npy`` file to which rows are added; its length is written when it is closed.

    A file that is written is refused when the disk is full, while a map of a file that is longer
    than the disk kills the process.

    Args:
        path: the file.
        shape: of a row.
        dtype: of the numbers.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype | str) -> None:
        self.length = 0
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._row = int(np.prod(shape)) * self._dtype.itemsize
        self._file = path.open("wb")
        self._head()
        self._start = self._file.tell()

    def _head(self) -> None:
        """The header; numpy leaves room in it for any length."""
        descr = np.lib.format.dtype_to_descr(self._dtype)
        facts = {"descr": descr, "fortran_order": False, "shape": (self.length, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, facts)

    def append(self, row: np.ndarray) -> None:
        """Add one row."""
        self._file.write(np.ascontiguousarray(row, dtype=self._dtype).data)
        self.length += 1

    def cut(self, length: int) -> None:
        """Drop all rows from this one on."""
        self.length = length
        self._file.seek(self._start + length * self._row)
        self._file.truncate()

    def __enter__(self) -> GrowingArray:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._head()
        finally:
            self._file.close()


def cutting_key(inputs: Mapping[str, Sequence[tuple[str, int, int]]], **options: Any) -> dict[str, Any]:
    """All that tiles depend on, as it stands in their record."""
    key = {"version": VERSION, "inputs": inputs, "options": options}
    return json.loads(json.dumps(key, default=str))


def labels_key(labels: Labels | None) -> str | None:
    """Hash by which polygons are known again."""
    if labels is None:
        return None
    digest = hashlib.sha256(str(labels.crs).encode())
    for wkb in shapely.to_wkb(labels.geometry):
        digest.update(wkb)
    digest.update(np.asarray(labels.codes, dtype=np.int64).tobytes())
    return digest.hexdigest()


def tiles_record(
    *,
    key: Mapping[str, Any],
    images: Sequence[str],
    groups: Sequence[str],
    groups_as_named: Sequence[str] | None,
    tiles: Sequence[tuple[int, int, int]],
    complete: bool,
    bands: Sequence[Band],
    pixel_m: tuple[float, float] | None,
    radiometry: Radiometry | None,
    touching: np.ndarray | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """All of :class:`~jido.data.tiles.Tiles` but the arrays, JSON-ready.

    Args:
        key: of :func:`cutting_key`.
        images: names.
        groups: of each image.
        groups_as_named: before those that show the same ground were joined; ``None`` where none were.
        tiles: of each tile the number of its image, row and column.
        complete: all pixels have data.
        bands: of the images.
        pixel_m: size of a pixel.
        radiometry: of the images.
        touching: places of the polygons that lie on images.
        notes: sentences.
    """
    return {
        "key": key,
        "images": images,
        "groups": groups,
        "groups_as_named": groups_as_named,
        "tiles": tiles,
        "complete": complete,
        "bands": [asdict(band) for band in bands],
        "pixel_m": pixel_m,
        "radiometry": None if radiometry is None else radiometry.to_dict(),
        "touching": None if touching is None else touching.tolist(),
        "notes": notes,
    }


def stored_tiles(work: Path, *, key: Mapping[str, Any], labels: Labels | None) -> Tiles | None:
    """Tiles in a folder when they are whole and were cut from the same; else ``None``."""
    try:
        record = json.loads((work / RECORD).read_text(encoding="utf-8"))
        return _tiles(work, record, labels) if record["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None  # half of it has gone, or somebody has been at it: it is cut again


def _tiles(work: Path, record: Mapping[str, Any], labels: Labels | None) -> Tiles:
    rows = np.array(record["tiles"], dtype=np.int64)
    images, masks = (np.load(work / name, mmap_mode="r") for name in (IMAGES, MASKS))
    valid = None if record["complete"] else np.load(work / VALID, mmap_mode="r")
    named = record["groups_as_named"]
    if len({len(part) for part in (rows, images, masks, rows if valid is None else valid)}) > 1:
        raise ValueError("The arrays are not of one length.")
    return Tiles(
        images=images,
        masks=masks,
        valid=valid,
        source=np.array(record["images"])[rows[:, 0]],
        place=rows[:, 1:],
        group=np.array(record["groups"])[rows[:, 0]],
        group_as_named=None if named is None else np.array(named)[rows[:, 0]],
        bands=tuple(map(Band.from_dict, record["bands"])),
        pixel_m=None if record["pixel_m"] is None else tuple(record["pixel_m"]),
        radiometry=None if record["radiometry"] is None else Radiometry.from_dict(record["radiometry"]),
        labels=None if labels is None else labels.subset(np.array(record["touching"], dtype=np.int64)),
        notes=tuple(record["notes"]),
    )
