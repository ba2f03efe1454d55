"""Labelled spectra: a table with a row per pixel or region, a column per band, its class and its scene."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jido.errors import LabelsError
from jido.geo import Band, identify

CLASSES = ("class", "material", "label")
SCENES = ("scene", "name", "image", "event")
"""What the columns may be called when nobody says."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Spectra with a class.

    Args:
        values: reflectance 0..1, float64 (n, C); a table with other numbers is refused in training.
        bands: of the columns.
        classes: (n,) text.
        scenes: (n,) text, the image that each is from; ``None`` where nobody knows, so that none can be
            held out.
        image: name of the table, for what is said.

    Raises:
        LabelsError: when lengths differ, or there is no spectrum.
    """

    values: np.ndarray
    bands: tuple[Band, ...]
    classes: np.ndarray
    scenes: np.ndarray | None
    image: str = "the spectra"

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.values.shape != (count, len(self.bands)) or count == 0:
            raise LabelsError(
                f"{self.image} holds spectra of shape {self.values.shape} for {count} classes and "
                f"{len(self.bands)} bands: give a row for each class and a column for each band."
            )
        if self.scenes is not None and len(self.scenes) != count:
            raise LabelsError(f"{self.image} names {len(self.scenes)} scenes for {count} spectra.")

    def __len__(self) -> int:
        return len(self.classes)

    def select(self, chosen: np.ndarray) -> Spectra:
        """Some of the spectra, by mask or place."""
        scenes = None if self.scenes is None else self.scenes[chosen]
        return Spectra(self.values[chosen], self.bands, self.classes[chosen], scenes, self.image)


def read_spectra(path: str | Path, *, classes: str = "", scenes: str = "") -> Spectra:
    """Spectra of a CSV (also ``.gz``); columns that are named as bands of Sentinel-2 are its bands.

    Args:
        path: the table.
        classes: column of the class; the first of :data:`CLASSES` without it.
        scenes: column of the scene; the first of :data:`SCENES` without it, and none where there is none.

    Raises:
        LabelsError: when it cannot be read, lacks a column that was named or a class, has no column of a
            band, or a cell that is no number.
    """
    path = Path(path)
    head, rows = _rows(path)
    chosen = _column(path, head, classes, CLASSES)
    if chosen is None:
        raise LabelsError(
            f"{path} has no column {' or '.join(CLASSES)}, only {', '.join(head)}: name that of the class, "
            f"{path.name}:CLASS."
        )
    scene = _column(path, head, scenes, SCENES)
    known = [name for name in head if identify([name])[0].wavelength_nm]
    bands = [band for band in identify(known) if band.sensor == "sentinel-2"]
    if not bands:
        raise LabelsError(
            f"{path} has no column of a band of Sentinel-2, only {', '.join(head)}: name them B4."
        )
    values = np.array([[_number(path, line, row, b.name) for b in bands] for line, row in rows])
    labels = np.array([row[chosen].strip() for _, row in rows], dtype=object)
    names = None if scene is None else np.array([row[scene].strip() for _, row in rows], dtype=object)
    keep = (labels != "") & np.isfinite(values).all(axis=1)
    if names is not None and (names[keep] == "").any():
        raise LabelsError(
            f"{path} has rows without a scene in column {scene!r}: fill it in, or name no scene."
        )
    canonical = tuple(band.renamed(_padded(band.name)) for band in bands)
    return Spectra(values, canonical, labels, names, path.name).select(keep)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            rows = [(table.line_num, row) for row in table]
            head = list(table.fieldnames or ())
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as err:
        raise LabelsError(f"{path} cannot be read as a table of spectra ({err}): give a CSV file.") from err
    if not rows:
        raise LabelsError(f"{path} holds no spectrum: give a row for each.")
    return head, rows


def _column(path: Path, head: Sequence[str], named: str, usual: Sequence[str]) -> str | None:
    if named and named not in head:
        raise LabelsError(f"{path} has no column {named!r}, only {', '.join(head)}: name one of them.")
    return named or next((name for name in head if name.strip().lower() in usual), None)


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float:
    try:
        return float(row[name]) if (row[name] or "").strip() else np.nan
    except (TypeError, ValueError):
        raise LabelsError(
            f"{path}, line {line}: {row[name]!r} in column {name} is no number: correct it or leave it empty."
        ) from None


def _padded(name: str) -> str:
    """``B4`` as ``B04``, as in the table of bands."""
    digits = name.upper().removeprefix("B")
    return f"B{int(digits):02d}" if digits.isdigit() else f"B{digits}"
