"""Corrected labels as a GeoPackage that keeps the columns of the file they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from jido.errors import LabelsError
from jido.io.features import VECTORS, read_features
from jido.io.files import replacing
from jido.io.repair import is_null
from jido.io.vectors import CLASS_FIELDS
from jido.labels import ClassScheme, Labels

if TYPE_CHECKING:
    import pandas


def label_columns(path: str | Path, labels: Labels, *, layer: str | None = None) -> pandas.DataFrame | None:
    """The columns of the features that labels were read from, a row for each label.

    A reader splits features, mends them and leaves some out, so a label is found again by where it lies.

    Args:
        path: the file of the labels.
        labels: as :func:`~jido.io.read_labels` gave them.
        layer: of the file, where it has several.

    Returns:
        ``None`` where the file is no table of features (CSV points, a raster).

    Raises:
        LabelsError: when a label lies in no feature of the file.
    """
    path = Path(path)
    if path.suffix.lower() not in VECTORS:
        return None
    frames = read_features(path)
    frame = frames[layer] if layer in frames else next(iter(frames.values()))
    if frame.crs is not None:
        frame = frame.to_crs(labels.crs.proj)
    shapes = shapely.make_valid(shapely.force_2d(frame.geometry.to_numpy()))
    inside, feature = shapely.STRtree(shapes).query(
        shapely.point_on_surface(labels.geometry), predicate="intersects"
    )
    unlike = shapely.area(shapely.symmetric_difference(labels.geometry[inside], shapes[feature]))
    order = np.lexsort((unlike, inside))  # where features overlap the likest one has the label
    found, first = np.unique(inside[order], return_index=True)
    if len(found) < len(labels):
        raise LabelsError(
            f"{path} does not hold the labels that are corrected: give the file they come from."
        )
    rows = frame.iloc[feature[order][first]].reset_index(drop=True)
    added = ["folder"] if path.suffix.lower() in (".kml", ".kmz") else []  # a class that would grow old
    return rows.drop(columns=[rows.geometry.name, *added])


def write_corrected(
    labels: Labels, path: str | Path, *, columns: pandas.DataFrame | None, class_field: str | None = None
) -> None:
    """Write labels with the columns they came with, in which the class now is that of the labels.

    The column ``group`` always holds their groups; ``class`` is added where no column holds classes.

    Args:
        labels: corrected.
        path: a GeoPackage; one that stands there is replaced as a whole.
        columns: a row for each label, empty where it is new; ``None`` writes ``code``, ``label``, ``name``
            and ``group``.
        class_field: the column that holds the class, where its name does not say so.

    Raises:
        OutputError: when the place cannot be written.
    """
    frame = labels.to_geodataframe()
    if columns is not None:
        own = {name: frame[name] for name in ("geometry", "group")}
        names = [name for name in columns.columns if name.casefold() not in own]
        held = columns[names].reset_index(drop=True)
        if not sum(_bring_up(held, name, labels, class_field) for name in names):
            held = held[[name for name in names if name.casefold() != "class"]].assign(
                **{"class": frame["label"]}
            )
        frame = frame[[]].join(held).assign(group=own["group"]).set_geometry(own["geometry"])
    with replacing(path) as fresh:
        frame.to_file(fresh, driver="GPKG", layer="labels", engine="pyogrio")


def _bring_up(held: pandas.DataFrame, name: str, labels: Labels, class_field: str | None) -> bool:
    """Write the classes into a column where it holds others; whether it is a column of classes at all."""
    if name.casefold() not in (*CLASS_FIELDS, (class_field or "").casefold()):
        return False
    told = [_code(labels.scheme, value) for value in held[name]]
    if None in told or not any(told):
        return False
    numbers = held[name].dtype.kind in "iuf"
    words = dict(zip(labels.scheme.codes, labels.scheme.labels, strict=True))
    held[name] = [
        value if old == new else new if numbers else words[new]
        for value, old, new in zip(held[name], told, labels.codes.tolist(), strict=True)
    ]
    return True


def _code(scheme: ClassScheme, value: object) -> int | None:
    """Class code of a cell; 0 where it says nothing, ``None`` where it is no class."""
    if is_null(value):
        return 0
    parsed = scheme.parse(value)
    return parsed[0] if parsed else None
