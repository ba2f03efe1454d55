"""Labels from other people's files: KML, GeoPackage, GeoJSON, Shapefile, CSV points, label rasters.

A reader only finds what stands in the file; :func:`_labels` then judges it the same way for every
format: it mends what can be mended and says so in ``Labels.notes``, and refuses the rest.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import rasterio
import shapely
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import CRSError
from rasterio.errors import RasterioError

from jido.errors import LabelsError, OutputError
from jido.io.files import replacing
from jido.labels import ClassScheme, Labels, Problem, lcz_scheme

CLASS_FIELDS = ("lcz", "class", "code", "label", "landcover", "type", "name")
"""Names of class columns, the likeliest first; case does not matter."""

GROUP_FIELDS = ("polygon_id", "group", "group_id", "site", "city")
"""Names of group columns, the likeliest first; case does not matter."""

FORMATS = "KML, KMZ, GeoPackage, GeoJSON, Shapefile, CSV or GeoTIFF"

POLYGON = 3
LINES = (1, 2)
"""Geometry types as numbered by shapely."""


@dataclass(frozen=True)
class _Asked:
    """The options of :func:`read_labels`."""

    scheme: ClassScheme
    layer: str | None
    class_field: str | None
    group_field: str | None
    crs: str | None


class _Table(NamedTuple):
    """Features as they stand in a file: geometries (or None), columns, CRS and the layer's name."""

    geometry: np.ndarray
    columns: dict[str, list[Any]]
    crs: str | None
    layer: str = ""


class _Found(NamedTuple):
    """What a reader found: per feature geometry, class as written, group; and where classes stand."""

    geometry: np.ndarray
    classes: list[Any]
    groups: np.ndarray
    crs: str | None
    where: str
    notes: tuple[Problem, ...] = ()


def read_labels(
    path: str | Path,
    *,
    scheme: ClassScheme | None = None,
    layer: str | None = None,
    class_field: str | None = None,
    group_field: str | None = None,
    crs: str | None = None,
) -> Labels:
    """Labels of a file.

    KML and KMZ: the class is the name of the folder, every folder is read; where a folder is named
    otherwise, the class is a column or the name of the placemark. CSV: points in columns lon and lat
    (degrees) or x and y (then give ``crs``). GeoTIFF: codes above 0 become one polygon per
    4-connected piece. Everything else that GDAL reads as vectors: the class is a column.

    The group says what must not be split between training and test: a column when there is one
    that tells groups apart, else the feature (its parts stay together); for a raster the
    8-connected piece, so that pieces touching at a corner are never parted.

    Args:
        path: the file.
        scheme: the classes; the 17 Local Climate Zones when not given.
        layer: layer of a GeoPackage, folder of a KML, or band of a raster.
        class_field: class column, else the first of :data:`CLASS_FIELDS` that holds a class.
        group_field: group column, else the first of :data:`GROUP_FIELDS` with two values or more.
        crs: CRS of a file that carries none, ``EPSG:32649``.

    Returns:
        Valid single polygons and points in the CRS of the file; what was mended is in ``notes``.

    Raises:
        LabelsError: when the file is missing or no label file, has no CRS, or holds unknown
            classes, lines, or no labels at all.
    """
    path = Path(path)
    if not path.exists():
        raise LabelsError(f"{path} does not exist.")
    asked = _Asked(scheme or lcz_scheme(), layer, class_field, group_field, crs)
    read = _READERS.get(path.suffix.lower(), _read_vector)
    return _labels(read(path, asked), path, asked)


def write_labels(labels: Labels, path: str | Path, *, layer: str = "labels") -> None:
    """Write labels as GeoPackage or, by suffix, as GeoJSON (then in degrees, as its standard wants).

    Columns ``code``, ``label``, ``name``, ``group``. A file that stood there is replaced as a whole.

    Raises:
        OutputError: when the suffix is another one or the place cannot be written.
    """
    path = Path(path)
    driver = {".gpkg": "GPKG", ".geojson": "GeoJSON"}.get(path.suffix.lower())
    if driver is None:
        raise OutputError(f"Labels cannot be written as {path.name}: end the name with .gpkg or .geojson.")
    if driver == "GeoJSON":
        labels = labels.to_crs(CRS("EPSG:4326"))
    with replacing(path) as fresh:
        labels.to_geodataframe().to_file(fresh, driver=driver, layer=layer, engine="pyogrio")


# -- readers: what stands in the file ----------------------------------------------------------


def _unreadable(path: Path, err: Exception) -> LabelsError:
    reason = str(err).split(";")[0].strip().rstrip(".")
    return LabelsError(f"{path} cannot be read as labels ({reason}): give {FORMATS}.")


def _layers(path: Path) -> dict[str, bool]:
    """Layers of a vector file in order, and whether they have geometries."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {str(name): kind is not None for name, kind in pyogrio.list_layers(path)}
    except (DataSourceError, DataLayerError) as err:
        raise _unreadable(path, err) from err


def _layer(path: Path, name: str) -> _Table:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta, _, wkb, values = pyogrio.raw.read(path, layer=name, datetime_as_string=True)
    except (DataSourceError, DataLayerError) as err:
        raise _unreadable(path, err) from err
    geometry = shapely.from_wkb(wkb, on_invalid="ignore")  # rings that are none become None
    columns = {str(field): column.tolist() for field, column in zip(meta["fields"], values, strict=True)}
    return _Table(geometry, columns, meta["crs"], name)


def _read_vector(path: Path, asked: _Asked) -> _Found:
    layers = [name for name, has_geometry in _layers(path).items() if has_geometry]
    if not layers:
        raise LabelsError(f"{path} has no layer with geometries: give {FORMATS}.")
    if asked.layer is None and len(layers) > 1:
        raise LabelsError(f"{path} has the layers {', '.join(layers)}: choose one with --layer.")
    name = asked.layer or layers[0]
    if name not in layers:
        raise LabelsError(f"{path} has no layer {name!r} with geometries, only {', '.join(layers)}.")
    return _found(_layer(path, name), path, asked)


def _found(table: _Table, path: Path, asked: _Asked) -> _Found:
    """Class and group columns of a table."""
    field = _class_column(table, path, asked)
    groups = _groups(table, field, path, asked)
    return _Found(table.geometry, table.columns[field], groups, table.crs, f"in column {field!r}")


def _read_kml(path: Path, asked: _Asked) -> _Found:
    """Every folder is a layer to GDAL; a second folder ``1`` is ``1 (#2)``, a parent folder is empty."""
    names = list(_layers(path))
    if asked.layer is not None and asked.layer not in names:
        raise LabelsError(f"{path} has no folder {asked.layer!r}, only {', '.join(names)}.")
    tables = [_layer(path, name) for name in names if asked.layer in (None, name)]
    empty = [t.layer for t in tables if not len(t.geometry) and asked.scheme.parse(t.layer)]
    table = _stacked([t for t in tables if len(t.geometry)])
    folders = [t.layer for t in tables for _ in t.geometry]
    if not folders:
        raise LabelsError(f"{path} holds no labels: draw polygons into one folder per class.")
    classes, used = _kml_classes(table, folders, path, asked)
    notes = (Problem("repaired", "empty-folder", f"Class folders without a polygon: {', '.join(empty)}."),)
    return _Found(
        geometry=table.geometry,
        classes=classes,
        groups=_groups(table, used, path, asked),
        crs=table.crs,
        where="as folder or placemark names",
        notes=notes if empty else (),
    )


def _kml_classes(table: _Table, folders: list[str], path: Path, asked: _Asked) -> tuple[list[Any], str]:
    """Folder names where they are classes, else the class column (at the least the placemark's Name)."""
    field = _class_column(table, path, asked)
    if asked.class_field is not None:
        return table.columns[field], field
    return [
        folder if asked.scheme.parse(folder) or _is_null(value) else value
        for folder, value in zip(folders, table.columns[field], strict=True)
    ], field


def _stacked(tables: Sequence[_Table]) -> _Table:
    """Tables below each other; a column that a table lacks is empty there."""
    fields = dict.fromkeys(field for table in tables for field in table.columns)
    columns: dict[str, list[Any]] = {
        field: [v for t in tables for v in t.columns.get(field, [None] * len(t.geometry))] for field in fields
    }
    geometry = np.array([g for table in tables for g in table.geometry], dtype=object)
    return _Table(geometry, columns, "EPSG:4326")


def _read_csv(path: Path, asked: _Asked) -> _Found:
    import pandas

    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        frame = pandas.read_csv(path, sep=max(",;\t", key=header.count), encoding="utf-8-sig")
    except (ValueError, OSError) as err:  # parser and encoding errors of pandas are ValueErrors
        raise _unreadable(path, err) from err
    columns = {str(field).strip(): frame[field].tolist() for field in frame.columns}
    by_name = {field.lower(): field for field in columns}
    for x, y, crs in (("lon", "lat", "EPSG:4326"), ("longitude", "latitude", "EPSG:4326"), ("x", "y", None)):
        if x in by_name and y in by_name:
            xy = np.column_stack([_numbers(columns, by_name[name], path) for name in (x, y)])
            return _found(_Table(shapely.points(xy), columns, crs), path, asked)
    raise LabelsError(
        f"{path} has the columns {', '.join(columns)}: points need lon and lat, or x and y with --crs."
    )


def _numbers(columns: dict[str, list[Any]], field: str, path: Path) -> np.ndarray:
    try:
        return np.array(columns[field], dtype=float)
    except ValueError as err:
        raise LabelsError(f"{path}: column {field!r} holds something that is no number ({err}).") from err


def _read_raster(path: Path, asked: _Asked) -> _Found:
    from rasterio.features import shapes

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a raster without georeference is refused below, by its CRS
            with rasterio.open(path) as source:
                values = source.read(_band(source, path, asked), masked=True)
                transform, crs = source.transform, source.crs
    except RasterioError as err:
        raise _unreadable(path, err) from err
    piece, written = _pieces(np.nan_to_num(values.filled(0), nan=0))
    traced = list(shapes(piece, mask=piece > 0, connectivity=4, transform=transform))
    groups = np.array([int(number) for _, number in traced], dtype=np.int64)
    return _Found(
        geometry=np.array([shapely.geometry.shape(ring) for ring, _ in traced], dtype=object),
        classes=[written[number - 1] for number in groups],
        groups=groups,
        crs=crs.to_wkt() if crs else None,
        where="as values of the raster",
    )


def _band(source: rasterio.DatasetReader, path: Path, asked: _Asked) -> int:
    if asked.layer is None and source.count == 1:
        return 1
    names = [text or f"band{i}" for i, text in enumerate(source.descriptions, start=1)]
    if asked.layer in names:
        return names.index(asked.layer) + 1
    raise LabelsError(f"{path} has the bands {', '.join(names)}: choose the one with labels with --layer.")


def _pieces(codes: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Numbered 8-connected pieces (int32 (y, x), 0 = none) of each code above 0, and their codes."""
    from scipy.ndimage import label

    piece = np.zeros(codes.shape, dtype=np.int32)
    written: list[Any] = []
    for code in np.unique(codes[codes > 0]):
        numbered, count = label(codes == code, structure=np.ones((3, 3)))
        piece += np.where(numbered > 0, numbered + len(written), 0).astype(np.int32)
        written += [code.item()] * count
    return piece, written


_READERS: dict[str, Callable[[Path, _Asked], _Found]] = {
    ".kml": _read_kml,
    ".kmz": _read_kml,
    ".csv": _read_csv,
    ".tif": _read_raster,
    ".tiff": _read_raster,
}


# -- columns -----------------------------------------------------------------------------------


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()


def _named(columns: dict[str, list[Any]], field: str, path: Path) -> str:
    """The column of this name, whatever its case."""
    for column in columns:
        if column.lower() == field.lower():
            return column
    raise LabelsError(f"{path} has no column {field!r}, only {', '.join(columns) or 'none'}.")


def _class_column(table: _Table, path: Path, asked: _Asked) -> str:
    if asked.class_field is not None:
        return _named(table.columns, asked.class_field, path)
    lower = {column.lower(): column for column in table.columns}
    likely = [lower[name] for name in CLASS_FIELDS if name in lower]
    if not likely:
        raise LabelsError(
            f"{path} has no class column among {', '.join(table.columns) or 'no columns'}: "
            "name it with --class-field."
        )
    for column in likely:
        if any(asked.scheme.parse(value) for value in table.columns[column]):
            return column
    return likely[0]


def _groups(table: _Table, class_column: str, path: Path, asked: _Asked) -> np.ndarray:
    """Groups as written in the file, whole numbers or text; else the number of the feature."""
    column = _group_column(table, class_column, path, asked)
    if column is None:
        return np.arange(len(table.geometry))
    values = table.columns[column]
    whole = [isinstance(v, int) or (isinstance(v, float) and v.is_integer()) for v in values]
    if all(whole):
        return np.array(values, dtype=np.int64)
    text = [str(int(v)) if is_whole else str(v) for v, is_whole in zip(values, whole, strict=True)]
    return np.array([f"feature {i}" if _is_null(v) else text[i] for i, v in enumerate(values)])


def _group_column(table: _Table, class_column: str, path: Path, asked: _Asked) -> str | None:
    """A column with one value for all (one city) tells no groups apart and is taken only when asked."""
    if asked.group_field is not None:
        return _named(table.columns, asked.group_field, path)
    lower = {column.lower(): column for column in table.columns if column != class_column}
    for column in (lower[name] for name in GROUP_FIELDS if name in lower):
        if len({str(v) for v in table.columns[column] if not _is_null(v)}) > 1:
            return column
    return None


# -- judging: mend and say, or refuse ----------------------------------------------------------


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


def _labels(found: _Found, path: Path, asked: _Asked) -> Labels:
    """Labels from what a reader found."""
    items, notes = _without_empty(_Items(found.geometry, np.arange(len(found.geometry))))
    codes, said = _codes(found, items.feature, path, asked.scheme)
    notes = [*found.notes, *notes, *said]
    items = items.kept(codes[items.feature] > 0)
    for mend in (_split, _flat, _valid):
        items, said = mend(items)
        notes += said
    _refuse_lines(items, path)
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
    found: _Found, features: np.ndarray, path: Path, scheme: ClassScheme
) -> tuple[np.ndarray, list[Problem]]:
    """Class code per feature of the file, 0 where no class is written; only ``features`` count."""
    codes = np.zeros(len(found.classes), dtype=np.int64)
    codings: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for i in features:
        text = found.classes[i]
        if _is_null(text):
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


def _crs(in_file: str | None, path: Path, asked: _Asked) -> CRS:
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
