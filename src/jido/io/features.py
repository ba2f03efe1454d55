"""Whatever vectors a file holds, to be looked at: geometries and columns, nothing judged or mended."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from jido.errors import LabelsError

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

VECTORS = (".gpkg", ".geojson", ".json", ".kml", ".kmz", ".shp", ".fgb", ".parquet")
"""Suffixes of vector files."""


def read_features(path: Path) -> dict[str, GeoDataFrame]:
    """Layers with geometries of a vector file, by name, in its order; empty ones are left out.

    The folders of a KML become one layer with a column ``folder``.

    Args:
        path: ends with one of :data:`VECTORS`.

    Raises:
        LabelsError: when the file is no vector file, is damaged, or holds no feature.
    """
    _require_kind(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = _parquet(path) if path.suffix.lower() == ".parquet" else _layers(path)
    except (DataSourceError, DataLayerError, ValueError, OSError) as err:
        raise LabelsError(
            f"{path} cannot be read as polygons or points: give a GeoPackage or GeoJSON."
        ) from err
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    if not frames:
        raise LabelsError(f"{path} holds no polygon and no point.")
    return frames


BEGINS = {".gpkg": b"SQLite format 3\0", ".kmz": b"PK", ".shp": b"\0\0\x27\x0a", ".fgb": b"fgb",
          ".parquet": b"PAR1", ".geojson": b"{", ".json": b"{", ".kml": b"<"}  # fmt: skip
"""How files begin, by suffix; texts after white space."""

LEADING = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"WFS_Capabilities", b"<GDAL_WMS")
"""What a text holds that GDAL takes for a list of other files, or for a service of the internet."""


def _require_kind(path: Path) -> None:
    """Refuse a file that is none of its suffix: GDAL looks at contents, and some lead to other files.

    Raises:
        LabelsError: when it is another kind of file, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as err:
        raise LabelsError(f"{path} cannot be read: {err.strerror}.") from err
    begins = BEGINS[path.suffix.lower()]
    if path.suffix.lower() in (".geojson", ".json") and _links(path.read_bytes()):
        raise LabelsError(
            f"{path} takes its CRS from an address, or is no plain JSON: give it as a GeoPackage."
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip() if len(begins) == 1 else head
    if not text.startswith(begins) or any(word in head for word in LEADING):
        raise LabelsError(
            f"{path} cannot be read as polygons or points: it is no {path.suffix.lower()} inside, or leads "
            "to other files."
        )


def _links(data: bytes) -> bool:
    """Whether a CRS in GeoJSON is a link, which GDAL would follow (of the 2008 GeoJSON, section 3.2)."""
    found = False

    def look(one: dict[str, Any]) -> None:
        nonlocal found
        said = {str(name).lower(): value for name, value in one.items()}
        found |= str(said.get("type")).lower().startswith("link") and "properties" in said

    if re.search(rb"link|\\u", data, re.IGNORECASE):  # the word may be escaped
        try:
            json.loads(data, object_hook=look)
        except (ValueError, RecursionError):  # GDAL reads much that is no JSON
            return True
    return found


def _layers(path: Path) -> dict[str, GeoDataFrame]:
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    frames = {name: pyogrio.read_dataframe(path, layer=name, force_2d=True) for name in names}
    frames = {
        name: frame[~(frame.geometry.isna() | frame.geometry.is_empty)] for name, frame in frames.items()
    }
    if path.suffix.lower() not in (".kml", ".kmz"):
        return frames
    from pandas import concat

    frames = {name: frame.assign(folder=name) for name, frame in frames.items() if len(frame)}
    return {path.stem: concat(frames.values(), ignore_index=True)} if frames else {}


def _parquet(path: Path) -> dict[str, GeoDataFrame]:
    from geopandas import read_parquet

    try:
        frame = read_parquet(path)
    except ImportError as err:
        raise LabelsError(f"{path} needs pyarrow: pip install 'jido[parquet]'.") from err
    return {path.stem: frame[~(frame.geometry.isna() | frame.geometry.is_empty)]}


def style_colours(path: Path) -> dict[str, str]:
    """Class label -> ``#RRGGBB``, of the QGIS style that ``jido polygons`` puts into a file; else empty."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            style = pyogrio.read_dataframe(path, layer="layer_styles")["styleQML"].iloc[0]
        root = ET.fromstring(style)
    except (DataSourceError, DataLayerError, ET.ParseError, KeyError, IndexError, TypeError):
        return {}
    fills = {
        symbol.get("name"): option.get("value", "").split(",")[:3]
        for symbol in root.iter("symbol")
        for option in symbol.iter("Option")
        if option.get("name") == "color"
    }
    return {
        category.get("label", "").split(" ")[0]: colour
        for category in root.iter("category")
        if (colour := _hex(fills.get(category.get("symbol"), [])))
    }


def _hex(parts: list[str]) -> str:
    """``["255", "0", "9"]`` -> ``#FF0009``; empty where that is no colour."""
    levels = [int(part) for part in parts if re.fullmatch(r"\d{1,3}", part, re.ASCII)]
    return "#{:02X}{:02X}{:02X}".format(*levels) if len(levels) == 3 and max(levels) < 256 else ""
