"""Districts from other people's files: polygons with an id. Opens vector files for the indicators."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import shapely
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import CRSError

from jido.errors import LabelsError
from jido.io.repair import is_null


class Areas(NamedTuple):
    """What stood in a file: valid polygons (n,), ids (n,) text, CRS, and what was mended."""

    geometry: np.ndarray
    ids: np.ndarray
    crs: CRS
    notes: tuple[str, ...]


def read_areas(path: str | Path, *, id_field: str, layer: str | None = None, crs: str | None = None) -> Areas:
    """Polygons of a vector file with their ids; features of one id become one multipolygon.

    Args:
        path: GeoPackage, GeoJSON, Shapefile, or what else GDAL reads.
        id_field: column of the ids, in any case; text is kept as written (``0117`` stays).
        layer: of a file with several.
        crs: of a file that carries none.

    Raises:
        LabelsError: when the file cannot be read, lacks the column, a CRS or polygons, or an id is empty.
    """
    path = Path(path)
    if not path.exists():
        raise LabelsError(f"{path} does not exist.")
    name = _layer(path, layer)
    meta, wkb, columns = _read(path, name)
    column = next((c for c in columns if c.lower() == id_field.lower()), None)
    if column is None:
        raise LabelsError(f"{path} has no column {id_field!r}, only {', '.join(columns) or 'none'}.")
    if meta["crs"] is None and crs is None:
        raise LabelsError(f"{path} has no CRS: give it with --crs EPSG:....")
    try:
        known = CRS(meta["crs"] or crs)
    except CRSError as err:
        raise LabelsError(f"{path} has no CRS and {crs!r} is none: give one such as EPSG:5179.") from err
    ids = _ids(columns[column], column, path)
    geometry, notes = _polygons(shapely.from_wkb(wkb, on_invalid="ignore"), ids, path)
    return Areas(*_merged(geometry, ids), known, notes)


def _layer(path: Path, asked: str | None) -> str:
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except (DataSourceError, DataLayerError) as err:
        raise LabelsError(f"{path} cannot be read as polygons: give a GeoPackage or GeoJSON.") from err
    if asked is None and len(layers) == 1:
        return layers[0]
    if asked in layers:
        return str(asked)
    shown = ", ".join(layers) or "none with geometries"
    raise LabelsError(f"{path} has the layers {shown}: choose one with --layer.")


def _read(path: Path, layer: str) -> tuple[dict[str, Any], np.ndarray, dict[str, list[Any]]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta, _, wkb, values = pyogrio.raw.read(path, layer=layer, force_2d=True, datetime_as_string=True)
    except (DataSourceError, DataLayerError) as err:
        raise LabelsError(f"{path} is damaged or cut short: get it again.") from err
    return meta, wkb, {str(f): v.tolist() for f, v in zip(meta["fields"], values, strict=True)}


def _ids(values: list[Any], column: str, path: Path) -> np.ndarray:
    empty = [i for i, value in enumerate(values, start=1) if is_null(value) or not str(value).strip()]
    if empty:
        raise LabelsError(f"{path}: feature {empty[0]} has nothing in column {column!r}: fill it in.")
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    return np.array([str(v).strip() for v in whole], dtype=object)


def _polygons(geometry: np.ndarray, ids: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    kind = shapely.get_dimensions(geometry)
    if (bad := np.flatnonzero((kind != 2) | shapely.is_missing(geometry) | shapely.is_empty(geometry))).size:
        raise LabelsError(f"{path}: {ids[bad[0]]!r} is no polygon: indicators need areas.")
    broken = np.flatnonzero(~shapely.is_valid(geometry))
    geometry = geometry.copy()
    for i in broken:
        parts = shapely.get_parts(shapely.make_valid(geometry[i]))
        geometry[i] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    if (bad := np.flatnonzero(shapely.is_empty(geometry))).size:
        raise LabelsError(f"{path}: {ids[bad[0]]!r} has no area: draw it again.")
    return geometry, (f"{len(broken)} polygons crossed themselves and were mended.",) if len(broken) else ()


def _merged(geometry: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row per id, in the order of the file."""
    names = list(dict.fromkeys(ids))
    if len(names) == len(ids):
        return geometry, ids
    merged = [shapely.union_all(geometry[ids == name]) for name in names]
    return np.array(merged, dtype=object), np.array(names, dtype=object)
