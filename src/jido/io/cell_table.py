"""Tables of cells on disk: GeoPackage, GeoParquet, CSV and the method sheet beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jido.errors import OutputError
from jido.io.files import json_text, replacing, replacing_together

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

FORMATS = ("gpkg", "parquet", "csv")


def write_cell_table(
    frame: GeoDataFrame, stem: Path, *, formats: tuple[str, ...], sheet: Mapping[str, object], page: str
) -> list[Path]:
    """Write a table in several formats with its method sheet; all files are replaced together or none.

    Empty numbers are NULL in all formats (nothing between commas in CSV), never 0 and never text. The
    CSV has ``lon`` and ``lat`` of a point inside the cell and no geometry.

    Args:
        frame: the rows.
        stem: path without suffix.
        formats: of :data:`FORMATS`.
        sheet: for ``STEM.method.json``.
        page: Markdown for ``STEM.method.md``.

    Raises:
        OutputError: when a format is unknown, pyarrow is missing, or the place cannot be written.
    """
    if not formats or (unknown := [name for name in formats if name not in FORMATS]):
        shown = unknown[0] if formats else ""
        raise OutputError(f"Tables are not written as {shown!r}: choose of {', '.join(FORMATS)}.")
    suffixes = [*formats, "method.json", "method.md"]
    targets = [stem.with_name(f"{stem.name}.{suffix}") for suffix in suffixes]
    with replacing_together(*targets) as fresh:
        for path, suffix in zip(fresh, suffixes, strict=True):
            if suffix == "gpkg":
                frame.to_file(path, driver="GPKG", layer=stem.name, engine="pyogrio")
            elif suffix == "parquet":
                _write_parquet(frame, path)
            elif suffix == "csv":
                _write_csv(frame, path)
            elif suffix == "method.json":
                path.write_text(json_text(sheet, indent=2) + "\n", encoding="utf-8")
            else:
                path.write_text(page, encoding="utf-8")
    return targets


def write_rows(rows: Sequence[Mapping[str, object]], path: Path) -> Path:
    """A CSV of rows with the same columns; what is ``None`` or NaN is left empty.

    Raises:
        OutputError: when the place cannot be written.
    """
    from pandas import DataFrame

    with replacing(path) as fresh:
        DataFrame(list(rows)).to_csv(fresh, index=False)
    return path


def _write_parquet(frame: GeoDataFrame, path: Path) -> None:
    try:
        frame.to_parquet(path, index=False)
    except ImportError as err:
        raise OutputError("GeoParquet needs pyarrow: pip install 'jido[parquet]'.") from err


def _write_csv(frame: GeoDataFrame, path: Path) -> None:
    points = frame.geometry.representative_point().to_crs("EPSG:4326")
    plain = frame.drop(columns="geometry")
    plain.insert(1, "lon", points.x.round(7))
    plain.insert(2, "lat", points.y.round(7))
    plain.to_csv(path, index=False)
