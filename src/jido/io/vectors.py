"""Labels from other people's files: KML, GeoPackage, GeoJSON, Shapefile, CSV points, label rasters.

A reader only finds what stands in the file; :func:`~jido.io.repair.to_labels` then judges it the same
way for every format: it mends what can be mended and says so in ``Labels.notes``, and refuses the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import rasterio
import shapely
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.errors import RasterioError

from jido.errors import LabelsError, OutputError
from jido.io.files import replacing
from jido.io.repair import Asked, Found, is_null, to_labels
from jido.io.vector_kinds import require_own
from jido.labels import ClassScheme, Labels, Problem, lcz_scheme

CLASS_FIELDS = ("lcz", "class", "code", "label", "landcover", "type", "name")
"""Names of class columns, the likeliest first; case does not matter."""

GROUP_FIELDS = ("polygon_id", "group", "group_id", "site", "city")
"""Names of group columns, the likeliest first; case does not matter."""

FORMATS = "KML, KMZ, GeoPackage, GeoJSON, Shapefile, CSV or GeoTIFF"


class _Table(NamedTuple):
    """Features as they stand in a file: geometries (or None), columns, CRS and the layer's name."""

    geometry: np.ndarray
    columns: dict[str, list[Any]]
    crs: str | None
    layer: str = ""


def read_labels(
    path: str | Path,
    *,
    scheme: ClassScheme | None = None,
    layer: str | None = None,
    class_field: str | None = None,
    group_field: str | None = None,
    crs: str | None = None,
    one_class: bool = False,
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
        one_class: all features are of the last class of the scheme, whatever their columns say.

    Returns:
        Valid single polygons and points in the CRS of the file; what was mended is in ``notes``.

    Raises:
        LabelsError: when the file is missing or no label file, has no CRS, or holds unknown
            classes, lines, or no labels at all.
    """
    path = Path(path)
    if not path.exists():
        raise LabelsError(f"{path} does not exist.")
    asked = Asked(scheme or lcz_scheme(), layer, class_field, group_field, crs, one_class)
    read = _READERS.get(path.suffix.lower(), _read_vector)
    return to_labels(read(path, asked), path, asked)


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


def read_written(path: Path, scheme: ClassScheme) -> Labels:
    """Labels as :func:`write_labels` wrote them, item for item; nothing is judged or mended again."""
    table = _layer(path, "labels")
    single = shapely.get_num_geometries(table.geometry) == 1  # a layer of one type makes all of them multi
    geometry = np.where(single, shapely.get_geometry(table.geometry, 0), table.geometry)
    return Labels(
        geometry=geometry,
        codes=np.array(table.columns["code"], dtype=np.int64),
        groups=np.array(table.columns["group"], dtype=object),
        crs=CRS(table.crs),
        scheme=scheme,
    )


def names_classes(path: Path, scheme: ClassScheme, *, layer: str | None = None) -> bool:
    """Whether a vector file tells classes of the scheme apart: in a likely column, or as folders of a KML.

    Numbers alone may be those of the features, so they count only where all of them are codes.

    Raises:
        LabelsError: when the file cannot be read.
    """
    names = [layer] if layer else list(_layers(path))
    for table in (_layer(path, name) for name in names):
        columns = [v for field, v in table.columns.items() if field.lower() in CLASS_FIELDS]
        folder = [[table.layer]] if path.suffix.lower() in (".kml", ".kmz") else []
        for values in folder + columns:
            written = [str(value).strip() for value in values if not is_null(value)]
            known = [text for text in written if scheme.parse(text)]
            if known and (len(known) == len(written) or not all(text.isdecimal() for text in known)):
                return True
    return False


# -- readers: what stands in the file ----------------------------------------------------------


def _unreadable(path: Path, err: Exception) -> LabelsError:
    reason = str(err).split(";")[0].strip().rstrip(".")
    return LabelsError(f"{path} cannot be read as labels ({reason}): give {FORMATS}.")


def _layers(path: Path) -> dict[str, bool]:
    """Layers of a vector file in order, and whether they have geometries."""
    require_own(path)
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


def _read_vector(path: Path, asked: Asked) -> Found:
    layers = [name for name, has_geometry in _layers(path).items() if has_geometry]
    if not layers:
        raise LabelsError(f"{path} has no layer with geometries: give {FORMATS}.")
    if asked.layer is None and len(layers) > 1:
        raise LabelsError(f"{path} has the layers {', '.join(layers)}: choose one with --layer.")
    name = asked.layer or layers[0]
    if name not in layers:
        raise LabelsError(f"{path} has no layer {name!r} with geometries, only {', '.join(layers)}.")
    return _found(_layer(path, name), path, asked)


def _found(table: _Table, path: Path, asked: Asked) -> Found:
    """Class and group columns of a table; without classes where all features are of one."""
    if asked.one_class:
        nothing = [None] * len(table.geometry)
        return Found(table.geometry, nothing, _groups(table, "", path, asked), table.crs, "")
    field = _class_column(table, path, asked)
    groups = _groups(table, field, path, asked)
    return Found(table.geometry, table.columns[field], groups, table.crs, f"in column {field!r}")


def _read_kml(path: Path, asked: Asked) -> Found:
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
    return Found(
        geometry=table.geometry,
        classes=classes,
        groups=_groups(table, used, path, asked),
        crs=table.crs,
        where="as folder or placemark names",
        notes=notes if empty else (),
    )


def _kml_classes(table: _Table, folders: list[str], path: Path, asked: Asked) -> tuple[list[Any], str]:
    """Folder names where they are classes, else the class column (at the least the placemark's Name)."""
    if asked.one_class:
        return [None] * len(folders), ""
    field = _class_column(table, path, asked)
    if asked.class_field is not None:
        return table.columns[field], field
    return [
        folder if asked.scheme.parse(folder) or is_null(value) else value
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


def _read_csv(path: Path, asked: Asked) -> Found:
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


def _read_raster(path: Path, asked: Asked) -> Found:
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
    return Found(
        geometry=np.array([shapely.geometry.shape(ring) for ring, _ in traced], dtype=object),
        classes=[written[number - 1] for number in groups],
        groups=groups,
        crs=crs.to_wkt() if crs else None,
        where="as values of the raster",
    )


def _band(source: rasterio.DatasetReader, path: Path, asked: Asked) -> int:
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


_READERS: dict[str, Callable[[Path, Asked], Found]] = {
    ".kml": _read_kml,
    ".kmz": _read_kml,
    ".csv": _read_csv,
    ".tif": _read_raster,
    ".tiff": _read_raster,
}


# -- columns -----------------------------------------------------------------------------------


def _named(columns: dict[str, list[Any]], field: str, path: Path) -> str:
    """The column of this name, whatever its case."""
    for column in columns:
        if column.lower() == field.lower():
            return column
    raise LabelsError(f"{path} has no column {field!r}, only {', '.join(columns) or 'none'}.")


def _class_column(table: _Table, path: Path, asked: Asked) -> str:
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


def _groups(table: _Table, class_column: str, path: Path, asked: Asked) -> np.ndarray:
    """Groups as written in the file, whole numbers or text; else the number of the feature."""
    column = _group_column(table, class_column, path, asked)
    if column is None:
        return np.arange(len(table.geometry))
    values = table.columns[column]
    whole = [isinstance(v, int) or (isinstance(v, float) and v.is_integer()) for v in values]
    if all(whole):
        return np.array(values, dtype=np.int64)
    text = [str(int(v)) if is_whole else str(v) for v, is_whole in zip(values, whole, strict=True)]
    return np.array([f"feature {i}" if is_null(v) else text[i] for i, v in enumerate(values)])


def _group_column(table: _Table, class_column: str, path: Path, asked: Asked) -> str | None:
    """A column with one value for all (one city) tells no groups apart and is taken only when asked."""
    if asked.group_field is not None:
        return _named(table.columns, asked.group_field, path)
    lower = {column.lower(): column for column in table.columns if column != class_column}
    for column in (lower[name] for name in GROUP_FIELDS if name in lower):
        if len({str(v) for v in table.columns[column] if not is_null(v)}) > 1:
            return column
    return None
