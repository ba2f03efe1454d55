"""Writing polygons piece by piece: GeoPackage with its QGIS style inside, or GeoParquet."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyogrio
import shapely
from pyproj import CRS

from jido.errors import OutputError
from jido.io.files import replacing

LAYER = "polygons"

Columns = dict[str, np.ndarray]
"""Name -> values; NaN becomes null."""


class PolygonFile(Protocol):
    """A file of polygons that grows."""

    def write(self, polygons: np.ndarray, columns: Columns) -> None:
        """Append polygons (n,), perhaps none; columns are the same every time."""

    def set_style(self, qml: str) -> None:
        """Say how it looks; once, at the end."""

    def close(self) -> None:
        """No more follows."""


@contextmanager
def polygon_file(target: str | Path, crs: CRS | None) -> Iterator[PolygonFile]:
    """A new file of polygons, written beside and moved to ``target`` at the end.

    Args:
        target: ``.gpkg``, or ``.parquet`` (needs pyarrow).
        crs: of all polygons, ``None`` where they have no place on Earth.

    Raises:
        OutputError: when the suffix is another one, pyarrow is missing, or the place cannot be written.
    """
    kind = _KINDS.get(Path(target).suffix.lower())
    if kind is None:
        raise OutputError(f"Polygons cannot be written as {target}: end the name with .gpkg or .parquet.")
    if kind is _GeoParquet and importlib.util.find_spec("pyarrow") is None:
        raise OutputError(f"{target} needs pyarrow: pip install pyarrow, or end the name with .gpkg.")
    with replacing(target) as fresh, closing(kind(fresh, crs)) as file:
        yield file


class _GeoPackage:
    def __init__(self, path: Path, crs: CRS | None) -> None:
        self._path, self._crs = path, crs.to_wkt() if crs else None

    def write(self, polygons: np.ndarray, columns: Columns) -> None:
        self._append(LAYER, shapely.to_wkb(polygons), columns, geometry_type="Polygon", crs=self._crs)

    def set_style(self, qml: str) -> None:
        """In the table where QGIS keeps and looks for styles; it has no standard."""
        texts = {
            "f_table_catalog": "",
            "f_table_schema": "",
            "f_table_name": LAYER,
            "f_geometry_column": "geom",
            "styleName": LAYER,
            "styleQML": qml,
            "styleSLD": "",
            "description": "",
            "owner": "",
            "ui": "",
        }
        row = {name: np.array([text], dtype=object) for name, text in texts.items()}
        row["useAsDefault"] = np.array([True])
        row["update_time"] = np.array(["now"], dtype="datetime64[ms]")
        self._append("layer_styles", None, row, geometry_type=None, layer_options={"FID": "id"})

    def _append(self, layer: str, geometry: np.ndarray | None, columns: Columns, **options: object) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # where there is none
            pyogrio.raw.write(
                self._path,
                geometry,
                list(columns.values()),
                list(columns),
                layer=layer,
                driver="GPKG",
                append=self._path.exists(),
                **options,
            )

    def close(self) -> None:
        """Every write has closed it."""


class _GeoParquet:
    """Source: GeoParquet 1.0.0, https://geoparquet.org/releases/v1.0.0."""

    def __init__(self, path: Path, crs: CRS | None) -> None:
        from pyarrow import parquet

        said = crs.to_json_dict() if crs else None  # null: not known; left out it would be degrees
        column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": said}
        geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
        self._metadata = {"geo": json.dumps(geo)}
        self._open = partial(parquet.ParquetWriter, path)
        self._writer: Any = None

    def write(self, polygons: np.ndarray, columns: Columns) -> None:
        import pyarrow

        text = pyarrow.string()  # a column without rows does not tell
        values = {
            name: pyarrow.array(column, text if column.dtype == object else None, from_pandas=True)
            for name, column in columns.items()
        }
        values["geometry"] = pyarrow.array(shapely.to_wkb(polygons), pyarrow.binary())
        table = pyarrow.table(values, metadata=self._metadata)
        self._writer = self._writer or self._open(table.schema)
        self._writer.write_table(table)

    def set_style(self, qml: str) -> None:
        """The format has no place for it."""

    def close(self) -> None:
        if self._writer:
            self._writer.close()


_KINDS: dict[str, Callable[[Path, CRS | None], PolygonFile]] = {".gpkg": _GeoPackage, ".parquet": _GeoParquet}
