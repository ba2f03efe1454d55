"""From plain rows of bytes to one Cloud-Optimised GeoTIFF, by GDAL's own drivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

BLOCK = 512
"""Side of a block of a COG; a level that fits one needs no smaller one."""


@dataclass(frozen=True)
class Plane:
    """One band of a file to be.

    Args:
        name: its description.
        source: its place among the planes of the rows, from 0.
        scale: what a value is multiplied with to give the quantity it stands for.
        palette: value -> (red, green, blue, alpha); only a file of one band can hold one.
    """

    name: str
    source: int
    scale: float = 1.0
    palette: Mapping[int, tuple[int, int, int, int]] | None = None


def describe_rows(
    path: Path, rows: Path, grid: GeoBox, planes: Sequence[Plane], *, per_row: int, nodata: int
) -> None:
    """Write a GDAL virtual file (VRT) that reads a file of plain bytes (y, plane, x) beside it.

    It has overviews, every second cell of the level before, in files beside it as well: GDAL takes
    longer to make them than to compress the whole map.

    Args:
        path: the ``.vrt``.
        rows: the file of bytes, in the same folder.
        grid: where it lies.
        planes: the bands, a choice of the planes in the file.
        per_row: planes in the file.
        nodata: value without data, in all of them.
    """
    height, width = grid.shape
    smaller = None
    if max(height, width) > BLOCK:
        smaller = path.with_name(f"half-{path.name}")
        below = GeoBox((-(-height // 2), -(-width // 2)), grid.affine * Affine.scale(2), grid.crs)
        half = _halved(rows, (height, per_row, width))
        describe_rows(smaller, half, below, planes, per_row=per_row, nodata=nodata)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}" subClass="VRTRawRasterBand">'
        f"<Description>{escape(plane.name)}</Description><NoDataValue>{nodata}</NoDataValue>"
        f"{_scale(plane)}{_colours(plane)}{_overview(smaller, i)}"
        f'<SourceFilename relativetoVRT="1">{escape(rows.name)}</SourceFilename>'
        f"<ImageOffset>{plane.source * width}</ImageOffset><PixelOffset>1</PixelOffset>"
        f"<LineOffset>{per_row * width}</LineOffset></VRTRasterBand>"
        for i, plane in enumerate(planes, start=1)
    )
    srs = escape(grid.crs.to_wkt()) if grid.crs else ""
    transform = ", ".join(repr(v) for v in grid.affine.to_gdal())
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{srs}</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>",
        encoding="utf-8",
    )


def _halved(rows: Path, shape: tuple[int, int, int]) -> Path:
    """A file of every second cell of every second row, beside the one it is made from."""
    half = rows.with_name(f"half-{rows.name}")
    source = np.memmap(rows, dtype=np.uint8, mode="r", shape=shape)
    with half.open("wb") as sink:
        for top in range(0, shape[0], 2 * BLOCK):
            sink.write(np.ascontiguousarray(source[top : top + 2 * BLOCK : 2, :, ::2]).data)
    return half


def _overview(file: Path | None, band: int) -> str:
    if file is None:
        return ""
    return (
        f'<Overview><SourceFilename relativeToVRT="1">{escape(file.name)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></Overview>"
    )


def _scale(plane: Plane) -> str:
    return "" if plane.scale == 1 else f"<Offset>0</Offset><Scale>{plane.scale!r}</Scale>"


def _colours(plane: Plane) -> str:
    if plane.palette is None:
        return "<ColorInterp>Gray</ColorInterp>" if plane.source == 0 else ""
    entries = "".join(
        '<Entry c1="{}" c2="{}" c3="{}" c4="{}"/>'.format(*plane.palette.get(value, (0, 0, 0, 255)))
        for value in range(256)
    )
    return f"<ColorInterp>Palette</ColorInterp><ColorTable>{entries}</ColorTable>"


def write_cog(source: Path, target: Path) -> None:
    """Copy a file of class codes and percentages to a COG with overviews, the same bytes every time."""
    from rasterio.shutil import copy

    copy(
        source,
        target,
        driver="COG",
        compress="DEFLATE",
        level=1,  # three times as fast as the default for a file a tenth larger
        predictor="NO",
        blocksize=BLOCK,
        overviews="AUTO",  # those of the source
        num_threads="ALL_CPUS",
        bigtiff="IF_SAFER",
    )
