"""Whatever vectors a file holds, to be looked at: geometries and columns, nothing judged or mended."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from jido.errors import LabelsError
from jido.io.vector_kinds import require_kind

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
    require_kind(path)
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
