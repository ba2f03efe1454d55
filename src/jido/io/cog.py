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


def smaller_levels(rows: Path, shape: tuple[int, int, int]) -> list[Path]:
    """The file of bytes (y, plane, x), and files beside it of every second cell of the level before.

    They become the overviews: GDAL takes longer to make them than to compress the whole map. Goes
    on until a level fits one block.
    """
    levels, (height, planes, width) = [rows], shape
    while max(height, width) > BLOCK:
        half = rows.with_name(f"half-{levels[-1].name}")
        with levels[-1].open("rb") as source, half.open("wb") as sink:
            for top in range(0, height, BLOCK):
                strip = np.fromfile(source, np.uint8, min(BLOCK, height - top) * planes * width)
                sink.write(np.ascontiguousarray(strip.reshape(-1, planes, width)[::2, :, ::2]).data)
        levels.append(half)
        height, width = -(-height // 2), -(-width // 2)
    return levels


def describe_rows(
    path: Path, levels: Sequence[Path], grid: GeoBox, planes: Sequence[Plane], *, per_row: int, nodata: int
) -> None:
    """Write a GDAL virtual file (VRT) that reads files of plain bytes (y, plane, x) beside it.

    Args:
        path: the ``.vrt``.
        levels: the file of bytes and its smaller levels, in the same folder.
        grid: where it lies.
        planes: the bands, a choice of the planes in the file.
        per_row: planes in the file.
        nodata: value without data, in all of them.
    """
    height, width = grid.shape
    rows, *rest = levels
    smaller = path.with_name(f"half-{path.name}") if rest else None
    if smaller:
        below = GeoBox((-(-height // 2), -(-width // 2)), grid.affine * Affine.scale(2), grid.crs)
        describe_rows(smaller, rest, below, planes, per_row=per_row, nodata=nodata)
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
