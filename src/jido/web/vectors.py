"""Polygons and points of a file as a page shows them: GeoJSON, and columns to colour them by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
import shapely
from geopandas import GeoDataFrame
from pyproj.exceptions import CRSError

from jido.errors import LabelsError
from jido.io.features import read_features, style_colours
from jido.labels import lcz_scheme
from jido.web.colours import OWN, own_colour
from jido.web.rasters import PLANE, WORLD

if TYPE_CHECKING:
    from jido.web.reports import Report

AT_ONCE = 5_000
"""Features that a page loads as a whole; of more it asks for those in view."""

MOST = 20_000
"""Features of one answer; the largest ones."""

VERTICES = 600_000
"""Corners of one answer."""

COLUMNS = 40
"""Columns that are shown."""

DISTINCT = 24
"""Values of a column up to which they are classes."""

CLASS_COLUMNS = ("lcz", "label", "class", "code", "folder")
"""Columns by which features are coloured first, the likeliest first; then numbers, ``value`` before all."""

FARTHEST = (180.5, 90.5, 180.5, 90.5)
"""Degrees of longitude and latitude that can be meant; rounding reaches a little beyond the Earth."""

SHOWN = (0.02, 0.98)
"""Quantiles between which colours change, as on the maps of indicators."""


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Features of one layer of a file.

    Args:
        title: of the layer.
        frame: geometries in degrees, or on the plane as if it were web Mercator.
        placed: whether they have a place on Earth.
        columns: what they can be coloured by, each ``{"name", "classes"}`` or ``{"name", "low", "high"}``.
    """

    title: str
    frame: GeoDataFrame
    placed: bool
    columns: tuple[dict[str, Any], ...]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        west, south, east, north = (float(v) for v in self.frame.total_bounds)
        return max(west, WORLD[0]), max(south, WORLD[1]), min(east, WORLD[2]), min(north, WORLD[3])

    @property
    def at_once(self) -> bool:
        """Whether all features are few enough for one answer."""
        few = len(self.frame) <= AT_ONCE
        return few and int(shapely.get_num_coordinates(self.frame.geometry).sum()) <= VERTICES

    def geojson(
        self, *, bbox: tuple[float, float, float, float] | None = None, zoom: float = 22
    ) -> dict[str, Any]:
        """Features as GeoJSON, the largest ones where there are too many.

        Args:
            bbox: west, south, east, north; only what touches it.
            zoom: outlines leave out what is smaller than half a pixel there.
        """
        frame = self.frame
        if bbox is not None:
            frame = frame.iloc[np.sort(frame.sindex.query(shapely.box(*bbox)))]
        found = len(frame)
        west, south, east, north = shapely.bounds(frame.geometry.to_numpy()).T
        largest = np.argsort((west - east) * (north - south), kind="stable")[:MOST]
        pixel = 360 / 256 / 2**zoom
        shapes = shapely.simplify(frame.geometry.to_numpy()[largest], pixel / 2)
        corners = np.cumsum(shapely.get_num_coordinates(shapes))
        few = np.argsort(largest[: max(int(np.searchsorted(corners, VERTICES)), 1)])
        keep = largest[few]
        rounded = shapely.transform(shapes[few], lambda xy: np.round(xy, 8))
        rows = _plain(frame.iloc[keep].drop(columns=frame.geometry.name))
        features = [
            {"type": "Feature", "id": int(number), "properties": row, "geometry": json.loads(text)}
            for number, row, text in zip(frame.index[keep], rows, shapely.to_geojson(rounded), strict=True)
        ]
        return {"type": "FeatureCollection", "features": features, "found": found, "shown": len(features)}


def _plain(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON takes them: no NaN, no dates, no endless text."""
    columns = {}
    for name in frame.columns[:COLUMNS]:
        values = frame[name]
        known = values.notna()
        if pandas.api.types.is_bool_dtype(values) or pandas.api.types.is_numeric_dtype(values):
            known &= np.isfinite(values.astype(float))
            plain = [v if ok else None for v, ok in zip(values.tolist(), known, strict=True)]
        else:
            plain = [str(v)[:200] if ok else None for v, ok in zip(values.tolist(), known, strict=True)]
        columns[str(name)] = plain
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)] or [
        {} for _ in range(len(frame))
    ]


def vector_tables(path: Path) -> list[VectorTable]:
    """The layers of a vector file.

    Raises:
        LabelsError: when it cannot be read or has nothing to show.
    """
    frames = read_features(path)
    colours = style_colours(path) if path.suffix.lower() == ".gpkg" else {}
    return [
        _table(frame, name if len(frames) > 1 else path.stem, path, colours) for name, frame in frames.items()
    ]


def labels_table(report: Report) -> VectorTable:
    """The training labels of a map, with class, fold and agreement."""
    training = report.training or {"features": []}
    frame = GeoDataFrame.from_features(training["features"], crs="EPSG:4326")
    classes = {c["code"]: c for c in report.facts["scheme"]["classes"]}
    frame["class"] = [classes[code]["label"] for code in frame.pop("code")]
    frame["name"] = [
        next(c["name"] for c in classes.values() if c["label"] == label) for label in frame["class"]
    ]
    judged = {row["item"]: row for row in report.facts["evaluation"].get("polygons", [])}
    if judged:
        frame["fold"] = [str(judged[i]["fold"]) if i in judged else None for i in range(len(frame))]
        frame["agreement"] = [judged[i]["agreement"] if i in judged else np.nan for i in range(len(frame))]
    colours = {c["label"]: c["color"] for c in classes.values()}
    return VectorTable("training labels and folds", frame, True, _columns(frame, colours))


def _table(frame: GeoDataFrame, title: str, path: Path, colours: dict[str, str]) -> VectorTable:
    """In degrees; without CRS on the plane, as images without a place."""
    placed = frame.crs is not None
    try:
        if not placed:
            flipped = frame.geometry.affine_transform([1, 0, 0, -1, 0, 0])  # rows are counted downwards
            frame = frame.set_geometry(flipped).set_crs(PLANE)
        frame = frame.to_crs("EPSG:4326")
    except CRSError as err:
        raise LabelsError(f"{path} has a CRS that is not known: give it in another one.") from err
    if not (np.abs(frame.total_bounds) <= FARTHEST).all():  # also NaN
        raise LabelsError(f"{path} has coordinates that do not fit its CRS: correct the CRS in the file.")
    frame = frame.reset_index(drop=True)
    return VectorTable(title, frame, placed, _columns(frame, colours))


def _columns(frame: GeoDataFrame, colours: dict[str, str]) -> tuple[dict[str, Any], ...]:
    """What features can be coloured by, the likeliest first."""
    facts: list[dict[str, Any]] = []
    for name in [n for n in frame.columns if n != frame.geometry.name][:COLUMNS]:
        values = frame[name].dropna()
        if not len(values):
            continue
        number = pandas.api.types.is_numeric_dtype(values) and not pandas.api.types.is_bool_dtype(values)
        distinct = sorted(set(values.tolist()), key=_order) if values.map(np.isscalar).all() else []
        whole = not number or all(float(v).is_integer() for v in distinct[:DISTINCT])
        if 0 < len(distinct) <= DISTINCT and whole and len(distinct) < max(len(frame), 2):
            facts.append({"name": str(name), "classes": _classes(frame, str(name), distinct, colours)})
        elif number and not str(name).lower().endswith("id"):
            finite = values[np.isfinite(values.astype(float))]
            low, high = np.quantile(finite, SHOWN) if len(finite) else (0, 1)
            facts.append({"name": str(name), "low": float(low), "high": float(high)})
    wanted = ("value", *CLASS_COLUMNS)
    first = {name: place for place, name in enumerate(wanted)}
    return tuple(sorted(facts, key=lambda fact: first.get(fact["name"].lower(), len(wanted))))


def _order(value: Any) -> tuple[bool, float, str]:
    """``2`` before ``10`` before ``A``."""
    text = str(value)
    number = not isinstance(value, str) or text.isdecimal()
    return (not number, float(value) if number else 0.0, text)


def _classes(
    frame: GeoDataFrame, name: str, values: Sequence[Any], colours: dict[str, str]
) -> list[dict[str, Any]]:
    """Value, words and colour of every class: the file's own, LCZ's, or ours."""
    lcz = _lcz(frame, name, values)
    rows = []
    for place, value in enumerate(values):
        text = str(value)
        color = colours.get(text) or (lcz[place].color if lcz else own_colour(place))
        words = f"{lcz[place].label} {lcz[place].name}" if lcz else text
        rows.append({"value": value, "label": words, "color": color})
    return rows if len(values) <= len(OWN) or lcz or colours else rows[:DISTINCT]


def _lcz(frame: GeoDataFrame, name: str, values: Sequence[Any]) -> list[Any]:
    """The Local Climate Zone of every value; empty when they are something else.

    Bare numbers are codes of zones only where the column or another one says so.
    """
    if name.lower() not in CLASS_COLUMNS:
        return []
    scheme = lcz_scheme()
    codes = [scheme.parse(value) for value in values]
    named = "name" in frame and any(scheme.parse(v) for v in frame["name"].dropna().unique()[:DISTINCT])
    told = name.lower() == "lcz" or named or not all(str(value).isdecimal() for value in values)
    if not told or not all(codes):
        return []
    by_code = {c.code: c for c in scheme.classes}
    return [by_code[code[0]] for code in codes if code]
