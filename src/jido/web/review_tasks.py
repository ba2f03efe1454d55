"""What is looked at one by one: doubted labels, objects that no label touches, points of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS

from jido.errors import JidoError, LabelsError
from jido.io import Package, Progress, read_labels, read_target
from jido.io.corrected import label_columns, write_corrected
from jido.io.design_sample import read_sample, save_labels
from jido.io.work import locked_folder
from jido.labels import ClassScheme, Labels, LandClass
from jido.labels.design_sample import CONFIDENCES, DesignSample
from jido.maps.assess import find_report
from jido.maps.report import labels_from_features
from jido.maps.suspicious import Suspicious, find_suspicious
from jido.web.rasters import PLANE
from jido.web.review_store import Decision, Place

MOST = 2_000
"""Labels and objects of one review: the most suspicious ones."""

ALLOWED = {"label": ("keep", "relabel", "drop", "skip"), "object": ("keep", "add", "skip"),
           "point": ("label", "skip")}  # fmt: skip
"""What may be decided of a kind of item."""

DEGREES = CRS("EPSG:4326")


@dataclass(frozen=True)
class Item:
    """One thing to look at.

    Args:
        id: ``label 12``, ``object 3``, ``point 7``.
        kind: ``label``, ``object`` or ``point``.
        given: label of its class; empty of objects and points.
        said: label of the class that models say, with ``confidence`` 0..1; empty of points.
        suspicion: 0..1, ``None`` of points.
        lon: of a point in it, in degrees.
        lat: the same.
    """

    id: str
    kind: str
    given: str
    said: str
    confidence: float | None
    suspicion: float | None
    lon: float
    lat: float


class Task(Protocol):
    """What a page of review works on.

    ``kind``: ``labels`` or ``points``; ``shapes``: outlines (n,) of the items in degrees; ``classes``: all
    that items may be of; ``choose``: whether a label may be given another one, which is not so where there
    are only a target and its background; ``begun``: what was said before, in another file than the log.
    """

    kind: str
    title: str
    items: tuple[Item, ...]
    shapes: np.ndarray
    classes: tuple[LandClass, ...]
    choose: bool
    begun: Mapping[str, Decision]

    def write(self, decided: Mapping[str, Decision]) -> dict[str, Any]:
        """Write what was decided; JSON-ready facts with ``output``, a path."""


def checked(task: Task, items: Mapping[str, Item], decision: Decision) -> Decision:
    """A decision that means something.

    Raises:
        JidoError: when the item is none of the task's, or cannot be decided so.
    """
    item = items.get(decision.item)
    if item is None or decision.decision not in ALLOWED[item.kind]:
        raise JidoError("There is no such item, or it cannot be decided like that: load the page again.")
    chosen = decision.decision in ("relabel", "label")
    if chosen and not (task.choose and decision.after in [c.label for c in task.classes]):
        raise JidoError(f"{decision.after!r} is none of the classes: choose one of the list.")
    if decision.confidence not in (CONFIDENCES if decision.decision == "label" else ("",)):
        raise JidoError(f"One is sure in one of three degrees, {', '.join(CONFIDENCES)}: choose one.")
    after = {"keep": item.given, "add": item.said}.get(decision.decision, decision.after if chosen else "")
    return replace(decision, after=after)


def places(items: Sequence[Item]) -> dict[str, Place]:
    """What the log knows items by."""
    return {item.id: Place(item.given, item.lon, item.lat) for item in items}


def _degrees(shapes: np.ndarray, crs: CRS) -> np.ndarray:
    """Outlines in longitude and latitude."""
    move = crs.transformer_to_crs(DEGREES, always_xy=True)
    return np.asarray(shapely.transform(shapes, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1]))))


# -- labels ------------------------------------------------------------------------------------


class LabelReview:
    """Labels of a model or a map, the most suspicious first, and a corrected copy of them.

    Args:
        source: folder of a model package, or a map.
        output: the corrected GeoPackage.
        labels: file of the labels: its columns are kept. Without it those that the model or the report holds.
        within: of a map of a target, polygons in which every one was labelled.
        layer: of the file of the labels.
        class_field: the same.
        group_field: the same.
        crs: of files that carry none.
        progress: told how far it is.

    Raises:
        LabelsError: when the file does not hold the labels that were judged.
        JidoError: as :func:`~jido.maps.suspicious.find_suspicious`.
    """

    kind = "labels"

    def __init__(
        self,
        source: Path,
        output: Path,
        *,
        labels: Path | None = None,
        within: Path | None = None,
        layer: str | None = None,
        class_field: str | None = None,
        group_field: str | None = None,
        crs: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._output, self._class_field = output, class_field
        found, known = _doubted(source, labels=labels, within=within, crs=crs, progress=progress)
        options = {"layer": layer, "class_field": class_field, "group_field": group_field, "crs": crs}
        held = _of_file(labels, found.scheme, known, source, **options) if labels else known
        if held is None:
            raise LabelsError(f"{source} does not know the labels it was made from: give them with --labels.")
        self._labels = held
        self._columns = label_columns(labels, self._labels, layer=layer) if labels else None
        target = len(found.scheme.classes) == 2
        of_target = self._labels.codes == found.scheme.codes[-1]
        self._place = np.flatnonzero(of_target if target and source.is_file() else self._labels.codes)
        self._found = found
        self.begun: Mapping[str, Decision] = {}
        left_out = f", the {MOST:,} most suspicious of {len(found.rows):,}" if len(found.rows) > MOST else ""
        self.title = f"Labels of {source.name}{left_out}"
        self.items = tuple(_item(row) for row in found.rows[:MOST])
        self.shapes = _degrees(found.geometry[:MOST], found.crs)
        self.classes, self.choose = found.scheme.classes, not target

    def write(self, decided: Mapping[str, Decision]) -> dict[str, Any]:
        """Write the corrected labels."""
        codes, keep = self._labels.codes.copy(), np.ones(len(self._labels), dtype=bool)
        code = dict(zip(self._labels.scheme.labels, self._labels.scheme.codes, strict=True))
        added = []
        for row, item in enumerate(self.items):
            said = decided.get(item.id)
            place = -1 if item.kind == "object" else self._place[self._found.rows[row]["item"]]
            if said is None:
                continue
            if said.decision == "relabel":
                codes[place] = code[said.after]
            elif said.decision == "drop":
                keep[place] = False
            elif said.decision == "add":
                added.append(row)
        if not keep.any() and not added:
            raise LabelsError("All labels were dropped, so there is nothing to write: keep some.")
        corrected = self._joined(replace(self._labels, codes=codes), keep, added, code)
        columns = self._columns
        if columns is not None:
            columns = columns[keep].reset_index(drop=True).reindex(range(len(corrected)))
        write_corrected(corrected, self._output, columns=columns, class_field=self._class_field)
        changed = int((codes != self._labels.codes)[keep].sum())
        return {"output": str(self._output), "labels": len(corrected), "relabelled": changed,
                "dropped": int((~keep).sum()), "added": len(added)}  # fmt: skip

    def _joined(
        self, labels: Labels, keep: np.ndarray, added: Sequence[int], code: Mapping[str, int]
    ) -> Labels:
        """The labels that are kept and those that are new, each of these a group of its own."""
        kept = labels.subset(keep)
        new = Labels(
            geometry=self._found.geometry[list(added)],
            codes=np.array([code[self.items[row].said] for row in added], dtype=np.int64),
            groups=np.array([f"added {self.items[row].id}" for row in added], dtype=object),
            crs=self._found.crs,
            scheme=labels.scheme,
        ).to_crs(labels.crs)
        return replace(
            kept,
            geometry=np.concatenate([kept.geometry, new.geometry]),
            codes=np.concatenate([kept.codes, new.codes]),
            groups=np.concatenate([kept.groups.astype(str).astype(object), new.groups]),
        )


def _doubted(
    source: Path, *, labels: Path | None, within: Path | None, crs: str | None, progress: Progress | None
) -> tuple[Suspicious, Labels | None]:
    """What is worth a look, and the labels that were learned from, where that is known."""
    if source.is_dir():
        return find_suspicious(source, crs=crs, progress=progress), Package.load(source).labels
    facts = find_report(source)
    several = facts is not None and len(facts["scheme"]["classes"]) > 2
    found = find_suspicious(
        source, labels=None if several else labels, within=within, crs=crs, progress=progress
    )
    if facts is None or not facts["training"] or (labels and not several):
        return found, None
    return found, labels_from_features(facts["training"], found.scheme)


def _of_file(
    path: Path, scheme: ClassScheme, known: Labels | None, source: Path, **options: str | None
) -> Labels:
    """The labels of a file: of a target, or those that were judged."""
    target = None if known else read_target(path, scheme, layer=options["layer"], crs=options["crs"])
    labels = read_labels(path, scheme=scheme, one_class=isinstance(target, Labels), **options)
    if known is not None:
        here = labels.to_crs(known.crs)
        same = len(here) == len(known) and (here.codes == known.codes).all()
        if not same or not shapely.intersects(here.geometry, shapely.point_on_surface(known.geometry)).all():
            raise LabelsError(f"{path} does not hold the labels that {source} has learned from: give those.")
    return labels


def _item(row: Mapping[str, Any]) -> Item:
    given = row["given"] if row["kind"] == "label" else ""
    told = {name: row[name] for name in ("kind", "said", "confidence", "suspicion", "lon", "lat")}
    return Item(id=f"{row['kind']} {row['item']}", given=given, **told)


# -- points of a sample ------------------------------------------------------------------------


class SampleReview:
    """The points of a sample, labelled by one of its interpreters, who sees nothing of the other.

    Args:
        path: the GeoPackage of ``jido sample``.
        interpreter: 1 or 2.

    Raises:
        LabelsError: when it is no GeoPackage of a sample.
    """

    kind = "points"
    choose = True

    def __init__(self, path: Path, *, interpreter: int) -> None:
        if path.suffix.lower() != ".gpkg":
            raise LabelsError(f"{path} is a form to fill in: give the GeoPackage that lies beside it.")
        self.path, self._column = path, interpreter - 1
        sample = read_sample(path)
        order = np.argsort(sample.id)
        self.shapes = _cells(sample)[order]
        self.title = f"Points of {path.name}, interpreter {interpreter}"
        self.classes = sample.scheme.classes
        centres = shapely.get_coordinates(shapely.centroid(self.shapes)).round(6).tolist()
        self.items = tuple(
            Item(f"point {number}", "point", "", "", None, None, lon, lat)
            for number, (lon, lat) in zip(sample.id[order].tolist(), centres, strict=True)
        )
        self.begun: Mapping[str, Decision] = self._said(sample)

    def _said(self, sample: DesignSample) -> dict[str, Decision]:
        """What this interpreter said before; a point with a note alone was looked at and left empty."""
        label = dict(zip(sample.scheme.codes, sample.scheme.labels, strict=True)) | {-1: ""}
        said = {}
        for k, number in enumerate(sample.id.tolist()):
            after, note = label[int(sample.codes[k, self._column])], _own(sample.note[k], self._column)
            if after or note:
                sure, decision = sample.confidence[k, self._column], "label" if after else "skip"
                said[f"point {number}"] = Decision(f"point {number}", decision, after, sure, note)
        return said

    def write(self, decided: Mapping[str, Decision]) -> dict[str, Any]:
        """Put this interpreter's labels into the sample as it stands there now."""
        with locked_folder(self.path):
            sample = read_sample(self.path)
            codes, sure, note = sample.codes.copy(), sample.confidence.copy(), sample.note.copy()
            code = dict(zip(sample.scheme.labels, sample.scheme.codes, strict=True))
            for k, number in enumerate(sample.id.tolist()):
                said = decided.get(f"point {number}")
                codes[k, self._column] = code[said.after] if said and said.after else -1
                sure[k, self._column] = said.confidence if said else ""
                note[k] = _with_own(note[k], self._column, said.note if said else "")
            save_labels(replace(sample, codes=codes, confidence=sure, note=note), self.path)
        labelled = int((codes[:, self._column] >= 0).sum())
        return {"output": str(self.path), "points": len(sample), "labelled": labelled}


def _cells(sample: DesignSample) -> np.ndarray:
    """Outlines (n,) of the cells in degrees; without CRS on the plane, as images without a place."""
    row, col = sample.cell.T
    squares = shapely.box(col, row, col + 1, row + 1)
    grid = Affine(*sample.facts["grid"]["transform"])
    if sample.crs is None and grid.e > 0:  # rows are counted downwards
        grid = Affine.scale(1, -1) * grid
    on_map = shapely.transform(squares, lambda xy: np.column_stack(grid * (xy[:, 0], xy[:, 1])))
    return _degrees(on_map, sample.crs or CRS(PLANE))


SEPARATOR = " | "
"""Between the notes of two interpreters, who share a column; each begins with its number."""


def _own(note: str, column: int) -> str:
    mine = f"{column + 1}: "
    return next((part.removeprefix(mine) for part in note.split(SEPARATOR) if part.startswith(mine)), "")


def _with_own(note: str, column: int, own: str) -> str:
    """The shared note with one interpreter's part of it in place of what that was."""
    mine = f"{column + 1}: "
    others = [part for part in note.split(SEPARATOR) if part and not part.startswith(mine)]
    return SEPARATOR.join([*others, *([mine + own.replace(SEPARATOR, " ")] if own else [])])
