"""From a map of Local Climate Zones to rasters of canopy parameters for urban climate models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.shutil import copy

from jido.errors import ImageError, OutputError
from jido.geo import NO_CLASS
from jido.io import ClassMap, Progress, geotiff_profile, replacing
from jido.labels import lcz_scheme
from jido.labels.canopy import UNITS, canopy_parameters

SOURCE = "look-up table of w2w by class, after Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1"


@dataclass(frozen=True)
class CanopyResult:
    """What was written.

    Args:
        path: the file.
        bands: parameter -> unit, in the order of the bands.
        cells: number of cells with a class.
    """

    path: Path
    bands: dict[str, str]
    cells: int


def write_canopy(
    path: str | Path, out: str | Path, *, band: int | None = None, progress: Progress | None = None
) -> CanopyResult:
    """Write canopy parameters of a map of Local Climate Zones as a Cloud-Optimised GeoTIFF.

    float32, a band for each parameter of :data:`~jido.labels.canopy.UNITS` with its name and unit, on the
    grid of the map; NaN is no data, where the map has none. These are
    values of a table, not measured ones: every error of the map is in them. The map is read in strips.

    Args:
        path: a map of Local Climate Zones (codes 1 to 17; 0 is no class).
        out: the GeoTIFF.
        band: of the classes, from 1; without it that of a map package, or the only one.
        progress: told how far it is.

    Raises:
        ImageError: when the map cannot be read, has no CRS, or holds other classes.
        OutputError: when the name is of another kind of file or it cannot be written; what stood there stays.
    """
    if Path(out).suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"Canopy parameters cannot be written as {out}: end the name with .tif.")
    scheme = lcz_scheme()
    values = np.stack(list(canopy_parameters(scheme).values())).astype(np.float32)
    table = np.full((len(values), max(scheme.codes) + 1), np.nan, dtype=np.float32)
    table[:, list(scheme.codes)] = values
    with ClassMap(path, band=band) as source, replacing(out) as fresh:
        _require_zones(source)
        plain = fresh.with_name(f"plain-{fresh.name}")
        cells = _write(source, table, plain, progress)
        copy(plain, fresh, driver="COG", compress="DEFLATE", predictor="YES", overview_resampling="NEAREST",
             bigtiff="IF_SAFER")  # fmt: skip
    return CanopyResult(Path(out), dict(UNITS), cells)


def _require_zones(source: ClassMap) -> None:
    if source.crs is None:
        raise ImageError(f"{source.path} has no CRS, and climate models need a place: write it with one.")
    zones = [(cls.code, cls.label) for cls in lcz_scheme().classes]
    other = [cls.label for cls in source.classes if (cls.code, cls.label) not in zones]
    if other:
        raise ImageError(
            f"{source.path} holds {', '.join(other[:3])}, no Local Climate Zones: give a map of these."
        )


def _write(source: ClassMap, table: np.ndarray, path: Path, progress: Progress | None) -> int:
    """Plain rows of parameters; the number of cells with a class."""

    def told(_: str, done: int, total: int) -> None:
        if progress:
            progress("looking up the classes", done, total)

    cells, top = 0, 0
    profile: dict[str, Any] = geotiff_profile(source.grid, count=len(table), dtype="float32", nodata=np.nan)
    with rasterio.open(path, "w", **profile) as sink:
        for i, (name, unit) in enumerate(UNITS.items(), start=1):
            sink.set_band_description(i, name)
            sink.set_band_unit(i, unit)
        sink.update_tags(SOURCE=SOURCE, MAP=source.path.name)
        for codes, _ in source.strips(progress=told):
            zone = np.where(codes == NO_CLASS, 0, codes)
            if zone.min() < 0 or zone.max() >= table.shape[1]:
                strange = zone[(zone < 0) | (zone >= table.shape[1])][0]
                raise ImageError(
                    f"{source.path} holds the code {strange}, and Local Climate Zones are 1 to 17: give a "
                    "map of these, or its band with --band."
                )
            sink.write(table[:, zone], window=((top, top + len(zone)), (0, zone.shape[1])))
            cells, top = cells + int(np.count_nonzero(zone)), top + len(zone)
    return cells
