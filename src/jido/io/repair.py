"""What a reader found in a file becomes labels: mend what can be mended and say so, refuse the rest."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from odc.geo import CRS
from pyproj.exceptions import CRSError

from jido.errors import LabelsError
from jido.labels import ClassScheme, Labels, Problem

POLYGON = 3
LINES = (1, 2)
"""Geometry types as numbered by shapely."""


@dataclass(frozen=True)
class Asked:
    """The options of :func:`~jido.io.vectors.read_labels`."""

    scheme: ClassScheme
    layer: str | None
    class_field: str | None
    group_field: str | None
    crs: str | None
    one_class: bool = False


class Found(NamedTuple):
    """What a reader found: per feature geometry, class as written, group; and where classes stand."""

    geometry: np.ndarray
    classes: list[Any]
    groups: np.ndarray
    crs: str | None
    where: str
    notes: tuple[Problem, ...] = ()


def is_null(value: object) -> bool:
    """Whether a cell of a table says nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()


class _Items(NamedTuple):
    """Geometries and the feature of the file each one comes from."""

    geometry: np.ndarray
    feature: np.ndarray

    def kept(self, keep: np.ndarray) -> _Items:
        return _Items(self.geometry[keep], self.feature[keep])


def _repaired(code: str, message: str, features: np.ndarray) -> list[Problem]:
    """One note for all features of a kind: ``message: number``; none when there is no such feature."""
    places = np.unique(features)
    if not len(places):
        return []
    return [
        Problem("repaired", code, f"{message}: {len(places)}.", int(places[0]) if len(places) == 1 else None)
    ]


def to_labels(found: Found, path: Path, asked: Asked) -> Labels:
    """Labels from what a reader found."""
    items, said = _without_empty(_Items(found.geometry, np.arange(len(found.geometry))))
    notes = [*found.notes, *said]
    if asked.one_class:
        codes = np.full(len(found.classes), asked.scheme.codes[-1])
    else:
        codes, said = _codes(found, items.feature, path, asked.scheme)
        notes += said
    items = items.kept(codes[items.feature] > 0)
    for mend in (_split, _flat, _valid):
        items, said = mend(items)
        notes += said
    _refuse_lines(items, path)
    if path.suffix.lower() in (".kml", ".kmz"):
        items, said = _without_pins(items)
        notes += said
    items, said = _without_duplicates(items, codes)
    notes += said
    if not len(items.geometry):
        reasons = " ".join(note.message for note in notes)
        raise LabelsError(f"{path} holds no labels: draw polygons with a class first. {reasons}".strip())
    crs = _crs(found.crs, path, asked)
    _refuse_metres_as_degrees(items, crs, path)
    return Labels(
        geometry=items.geometry,
        codes=codes[items.feature],
        groups=found.groups[items.feature],
        crs=crs,
        scheme=asked.scheme,
        notes=tuple(notes),
    )


def _codes(
    found: Found, features: np.ndarray, path: Path, scheme: ClassScheme
) -> tuple[np.ndarray, list[Problem]]:
    """Class code per feature of the file, 0 where no class is written; only ``features`` count."""
    codes = np.zeros(len(found.classes), dtype=np.int64)
    codings: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for i in features:
        text = found.classes[i]
        if is_null(text):
            continue
        parsed = scheme.parse(text)
        if parsed is None or parsed[0] not in scheme.codes:
            unknown[str(text)] += 1
        else:
            codes[i], coding = parsed
            codings[coding] += 1
    if unknown:
        raise LabelsError(
            f"{path} holds unknown classes {found.where}: {', '.join(map(repr, unknown))}; "
            f"the scheme {scheme.name!r} knows {', '.join(scheme.labels)}: rename them there."
        )
    notes = _repaired("no-class", "Features without a class dropped", features[codes[features] == 0])
    for coding, count in codings.items():
        if _is_foreign(coding, scheme):
            message = f"Classes written as {coding} recoded to those of {scheme.name!r}, features: {count}."
            notes.append(Problem("repaired", "coding", message))
    return codes, notes


def _is_foreign(coding: str, scheme: ClassScheme) -> bool:
    """Whether a coding writes classes otherwise than by the code, label or name of the scheme."""
    own = {c.code: {str(c.code), c.label.upper(), c.name.upper()} for c in scheme.classes}
    return any(text not in own.get(code, {text}) for text, code in scheme.codings[coding].items())


def _without_empty(items: _Items) -> tuple[_Items, list[Problem]]:
    empty = ~np.isfinite(shapely.bounds(items.geometry)).all(axis=-1)  # None, EMPTY and NaN alike
    said = _repaired("empty-geometry", "Features with an empty geometry dropped", items.feature[empty])
    return items.kept(~empty), said


def _split(items: _Items) -> tuple[_Items, list[Problem]]:
    """Multipart geometries and collections become their parts."""
    geometry, feature = items
    while (shapely.get_type_id(geometry) > POLYGON).any():
        geometry, owner = shapely.get_parts(geometry, return_index=True)
        feature = feature[owner]
    places, parts = np.unique(feature, return_counts=True)
    message = "Multipart features split, their parts keeping one group"
    return _Items(geometry, feature), _repaired("multipart", message, places[parts > 1])


def _flat(items: _Items) -> tuple[_Items, list[Problem]]:
    said = _repaired(
        "z", "Features with Z coordinates, which were dropped", items.feature[shapely.has_z(items.geometry)]
    )
    return _Items(shapely.force_2d(items.geometry), items.feature), said


def _valid(items: _Items) -> tuple[_Items, list[Problem]]:
    """Rings that cross themselves are mended; of what comes out only polygons are kept."""
    broken = ~shapely.is_valid(items.geometry) & (shapely.get_type_id(items.geometry) == POLYGON)
    said = _repaired("invalid", "Features with self-crossing rings mended", items.feature[broken])
    (geometry, feature), _ = _split(_Items(shapely.make_valid(items.geometry[broken]), items.feature[broken]))
    areal = shapely.get_type_id(geometry) == POLYGON
    lost = np.setdiff1d(items.feature[broken], feature[areal])
    said += _repaired("empty-geometry", "Features whose ring encloses no area dropped", lost)
    sound = items.kept(~broken)
    feature = np.concatenate([sound.feature, feature[areal]])
    order = np.argsort(feature, kind="stable")
    return _Items(np.concatenate([sound.geometry, geometry[areal]]), feature).kept(order), said


def _without_pins(items: _Items) -> tuple[_Items, list[Problem]]:
    """Points among the polygons of a KML are pins that somebody left on the map."""
    points = shapely.get_dimensions(items.geometry) == 0
    if points.all() or not points.any():
        return items, []
    return items.kept(~points), _repaired("pin", "Points among polygons dropped", items.feature[points])


def _refuse_lines(items: _Items, path: Path) -> None:
    lines = np.isin(shapely.get_type_id(items.geometry), LINES)
    if lines.any():
        raise LabelsError(f"{path} holds lines among its labels ({lines.sum()}): draw polygons or points.")


def _without_duplicates(items: _Items, codes: np.ndarray) -> tuple[_Items, list[Problem]]:
    keys = list(zip(shapely.to_wkb(shapely.normalize(items.geometry)), codes[items.feature], strict=True))
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    keep = np.zeros(len(keys), dtype=bool)
    keep[list(first.values())] = True
    return items.kept(keep), _repaired("duplicate", "Exact duplicates dropped", items.feature[~keep])


def _crs(in_file: str | None, path: Path, asked: Asked) -> CRS:
    text = in_file or asked.crs
    if text is None:
        raise LabelsError(f"{path} has no CRS: give it with --crs EPSG:....")
    try:
        return CRS(text)
    except CRSError as err:
        raise LabelsError(f"{path}: {text!r} is no CRS: give one such as --crs EPSG:32649.") from err


def _refuse_metres_as_degrees(items: _Items, crs: CRS, path: Path) -> None:
    left, bottom, right, top = shapely.total_bounds(items.geometry)
    if crs.geographic and (max(-left, right) > 360 or max(-bottom, top) > 90):
        raise LabelsError(
            f"{path} says degrees ({crs}) but holds ({left:.0f}, {bottom:.0f}): "
            "write it again with the CRS its coordinates are in."
        )
