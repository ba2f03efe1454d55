"""Labels to look at again: by what held-out models said of them, or by what a map of a target shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo import CRS

from jido.errors import ImageError, LabelsError, ModelError
from jido.geo import geodesic_area
from jido.io import ClassMap, Package, Progress, polygon_file, polygon_qml, read_labels
from jido.io.target import read_target
from jido.labels import ClassScheme, Labels
from jido.maps.assess import find_report
from jido.maps.missed import compare_target
from jido.maps.reference import find_scheme
from jido.maps.report import labels_from_features
from jido.stats.label_quality import suspicious

POINT_M = 50.0
"""Radius in metres of the circle that stands for a label that is a point."""

DEGREE_M = 111_320.0
"""Metres of a degree of latitude."""


@dataclass(frozen=True, eq=False)
class Suspicious:
    """What is worth a second look, the most suspicious first.

    Args:
        rows: ``kind`` (``label``, or ``object`` of a map that no label touches), ``item`` (place of the
            label, or number of the object), ``given`` and ``said`` (class labels), ``confidence`` (mean
            probability of what is said), ``suspicion`` (both 0..1), ``cells``, ``area_m2``, ``lon``, ``lat``.
        geometry: (n,) of the rows.
        crs: theirs.
        scheme: the classes.
        flagged: how many labels look like another class (:func:`~jido.stats.label_quality.suspicious`), or
            on a map of a target like its background.
    """

    rows: list[dict[str, Any]]
    geometry: np.ndarray
    crs: CRS
    scheme: ClassScheme
    flagged: int

    def count(self, kind: str) -> int:
        """Number of rows of a kind."""
        return sum(row["kind"] == kind for row in self.rows)

    def write(self, path: str | Path) -> None:
        """Write GeoPackage or GeoParquet with a row each and ``code``, that of the class that is said.

        Raises:
            OutputError: when the file cannot be written; what stood there stays.
        """
        crs = self.crs.proj
        points = shapely.get_dimensions(self.geometry) == 0
        radius = POINT_M / (DEGREE_M if crs.is_geographic else crs.axis_info[0].unit_conversion_factor)
        shapes = np.where(points, shapely.buffer(self.geometry, radius), self.geometry)
        code = dict(zip(self.scheme.labels, self.scheme.codes, strict=True))
        columns = {name: _column([row[name] for row in self.rows]) for name in _COLUMNS}
        columns["code"] = np.array([code[row["said"]] for row in self.rows], dtype=np.int64)
        with polygon_file(path, crs) as file:
            file.write(shapes, columns)
            file.set_style(polygon_qml(self.scheme.classes, column="code"))


_COLUMNS = ("kind", "item", "given", "said", "confidence", "suspicion", "cells", "area_m2", "lon", "lat")


def _column(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=object if values and isinstance(values[0], str) else None)


def find_suspicious(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    within: str | Path | None = None,
    crs: str | None = None,
    progress: Progress | None = None,
) -> Suspicious:
    """Rank the labels of a model or a map by how much speaks against them.

    Of a model that was judged label by label, and of its maps: by the held-out probabilities of
    :func:`~jido.stats.label_quality.label_quality`. Of a map of a target and its background: labels of the
    target of which less was found than of the others, and objects of the map that touch no label, by their
    mean probability times how plausible their size is (1 from the smallest to the largest tenth of the
    labels, in proportion beyond). Such a map may have learned from these labels; what it misses all the
    same is the more suspicious.

    Args:
        path: folder of a model package, or a map.
        labels: polygons of the target; those in the report of the map without it.
        within: polygons in which every target was labelled; the whole map without it.
        crs: CRS of files that carry none.
        progress: told how far it is.

    Raises:
        ModelError: when nobody has judged the model label by label.
        ImageError: when the map cannot be read, or holds no confidence.
        LabelsError: when there are no labels, or none inside the map.
    """
    path = Path(path)
    if path.is_dir():
        package = Package.load(path)
        return _judged(path, package.evaluation, package.labels)
    scheme, facts = find_scheme(path), find_report(path)
    if scheme is not None and len(scheme.classes) == 2:
        learned = facts["training"] if facts else None
        places = _target(labels, scheme, crs) if labels else learned and labels_from_features(learned, scheme)
        if not places:
            raise LabelsError(f"{path} does not know the labels it was made from: give some with --labels.")
        inside = read_labels(within, scheme=scheme, crs=crs, one_class=True) if within else None
        found = compare_target(path, scheme, places, within=inside, progress=progress)
        missed = sum(row["kind"] == "label" and row["said"] != row["given"] for row in found.rows)
        return _ranked(found.rows, found.geometry, found.crs, scheme, missed)
    if facts is None:
        with ClassMap(path):
            raise ImageError(f"{path} has no report of its making beside it: give the model that made it.")
    if labels or within:
        raise LabelsError(
            f"{path} is no map of a target and its background: leave out --labels and --within."
        )
    learned = facts["training"]
    known = labels_from_features(learned, ClassScheme.from_dict(facts["scheme"])) if learned else None
    return _judged(path, facts["evaluation"], known)


def _judged(path: Path, evaluation: dict[str, Any], labels: Labels | None) -> Suspicious:
    """Labels by what held-out models said."""
    polygons = evaluation.get("polygons")
    if not polygons or labels is None:
        raise ModelError(
            f"{path} was not judged label by label, as nothing is that learns from tiles or images: give a "
            "map of a target and its background, with --labels."
        )
    if "suspicion" not in polygons[0]:
        raise ModelError(f"{path} was judged by an older Jido, which kept no probabilities: train it again.")
    item = np.array([row["item"] for row in polygons])
    shapes = labels.geometry[item]
    area = geodesic_area(shapes, labels.crs.proj)
    kept = ("item", "said", "confidence", "suspicion", "cells", "lon", "lat")
    rows = [
        {"kind": "label", "given": row["class"], "area_m2": float(m2)} | {name: row[name] for name in kept}
        for row, m2 in zip(polygons, area, strict=True)
    ]
    flagged = len(suspicious(polygons, most=len(polygons)))
    return _ranked(rows, shapes, labels.crs, labels.scheme, flagged)


def _ranked(
    rows: list[dict[str, Any]], geometry: np.ndarray, crs: CRS, scheme: ClassScheme, flagged: int
) -> Suspicious:
    order = sorted(range(len(rows)), key=lambda i: (-rows[i]["suspicion"], rows[i]["kind"], rows[i]["item"]))
    return Suspicious([rows[i] for i in order], geometry[order], crs, scheme, flagged)


def _target(path: str | Path, scheme: ClassScheme, crs: str | None) -> Labels:
    """Polygons of the target in a file of them alone, or of both classes."""
    found = read_target(path, scheme, crs=crs)
    if isinstance(found, Path):
        raise LabelsError(f"{path} is a mask: give polygons with --labels.")
    return found or read_labels(path, scheme=scheme, crs=crs)
