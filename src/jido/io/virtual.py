"""Band files that are one image: as one virtual file of GDAL, on the finest grid among them.

GDAL reads its windows from the files, inside of archives too. A coarser band takes the nearest pixel, which
repeats it where the grids are nested, as those of a product are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from affine import Affine
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from jido.errors import ImageError
from jido.geo import Band, band_table
from jido.io.holding import Holding
from jido.io.members import damaged


class BandFile(NamedTuple):
    """A band of a product and the file that holds it alone.

    ``name``: path inside. ``scale`` and ``offset``: value = number x scale + offset; with ``nodata``
    and the unit of ``band`` they are those of the file where they are ``None`` or empty. ``saturated``: a
    number that is no measurement; ``nodata`` has to be known then. ``tags``: what the metadata says of the
    band.
    """

    band: Band
    name: str
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    saturated: int | None = None
    tags: Mapping[str, str] = {}


@dataclass(frozen=True)
class Product:
    """Files that are one image.

    Args:
        path: as it was given.
        holding: where the files are.
        files: the bands in their order.
        quality: the codes that tell of clouds, ``SCL`` or ``QA_PIXEL``; ``None`` without any.
        tags: what the metadata says of all bands.
        day: when it was seen, ISO; empty when the metadata does not tell.
        clouds: share of clouds, 0..100, as the metadata states it; empty when it does not.
        offset: the one that its numbers have, in those of the files; ``None`` where products have none.
        notes: what a reader should know.
    """

    path: Path
    holding: Holding
    files: tuple[BandFile, ...]
    quality: BandFile | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    day: str = ""
    clouds: str = ""
    offset: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def read(self) -> list[Path]:
        """Files on this machine that are read: the archive, or those of the folder."""
        if not self.holding.path.is_dir():
            return [self.holding.path]
        files = [*self.files, self.quality] if self.quality else list(self.files)
        return [self.holding.path / file.name for file in files]

    def bands(self, names: Sequence[str]) -> tuple[Band, ...]:
        """Its bands of these names, in their order; bare ones for codes."""
        known = {file.band.name: file.band for file in self.files}
        return tuple(known.get(name, Band(name)) for name in names)

    def open(self, files: Sequence[BandFile]) -> rasterio.DatasetReader:
        """Some of its files as one virtual image on the finest grid among them.

        Raises:
            ImageError: when a file cannot be read, is not georeferenced, or lies on another ground.
        """
        heads = [self._head(file) for file in files]
        fine = min(heads, key=lambda head: head.pixel)
        root = ET.Element("VRTDataset", rasterXSize=str(fine.width), rasterYSize=str(fine.height))
        ET.SubElement(root, "SRS").text = fine.crs
        ET.SubElement(root, "GeoTransform").text = ", ".join(map(repr, fine.transform))
        _tags(root, self.tags)
        for number, (file, head) in enumerate(zip(files, heads, strict=True), start=1):
            apart = np.abs(np.subtract(head.bounds, fine.bounds)).max()
            if head.crs != fine.crs or apart > 1e-3 * fine.pixel:
                other = files[heads.index(fine)].name
                raise ImageError(
                    f"{file.name} of {self.path} lies on another grid than {other}: give files that "
                    "were made together."
                )
            band = ET.SubElement(root, "VRTRasterBand", dataType=head.gdal_type, band=str(number))
            _fill(band, file, head, fine, self.holding.place(file.name))
        return rasterio.open(ET.tostring(root, encoding="unicode"))

    def _head(self, file: BandFile) -> _Head:
        shown = f"{file.name} of {self.path}"
        try:
            with rasterio.open(self.holding.place(file.name)) as source:
                head = _head(source)
        except RasterioError as err:
            raise damaged(shown, err.__cause__ or err) from err
        if head.planes != 1:
            raise ImageError(f"{shown} has {head.planes} bands: give files of one band each.")
        if not head.crs or head.transform == Affine.identity().to_gdal():
            raise ImageError(
                f"{shown} is not georeferenced: correct the image for the terrain first (for Sentinel-1 "
                "GRD: Range-Doppler terrain correction in SNAP, or an RTC product)."
            )
        return head


class _Head(NamedTuple):
    """What the header of a file says."""

    crs: str
    transform: tuple[float, ...]
    bounds: tuple[float, ...]
    width: int
    height: int
    block: tuple[int, int]
    gdal_type: str
    scale: float
    offset: float
    nodata: float | None
    unit: str
    planes: int
    masked: bool

    @property
    def pixel(self) -> float:
        return abs(self.transform[1])


def _head(source: rasterio.DatasetReader) -> _Head:
    masked = MaskFlags.per_dataset in source.mask_flag_enums[0]
    return _Head(
        source.crs.to_wkt() if source.crs else "",
        source.transform.to_gdal(),
        tuple(source.bounds),
        source.width,
        source.height,
        source.block_shapes[0],
        "Float32" if masked else typename_fwd[dtype_rev[source.dtypes[0]]],
        source.scales[0],
        source.offsets[0],
        math.nan if masked else source.nodata,
        source.units[0] or "",
        source.count,
        masked,
    )


def _fill(band: ET.Element, file: BandFile, head: _Head, fine: _Head, place: str) -> None:
    """What a VRT says of a band; the elements in the order that GDAL writes them in."""

    def say(name: str, text: object) -> None:
        ET.SubElement(band, name).text = str(text)

    _tags(band, file.tags)
    say("Description", file.band.name)
    nodata = head.nodata if file.nodata is None else file.nodata
    if nodata is not None:
        say("NoDataValue", repr(nodata))
    say("UnitType", file.band.unit or head.unit)
    say("Offset", repr(head.offset if file.offset is None else file.offset))
    say("Scale", repr(head.scale if file.scale is None else file.scale))
    source = ET.SubElement(band, "ComplexSource" if head.masked or file.saturated else "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = place
    ET.SubElement(source, "SourceBand").text = "1"
    size = {"RasterXSize": head.width, "RasterYSize": head.height, "DataType": head.gdal_type}
    size |= {"BlockXSize": head.block[1], "BlockYSize": head.block[0]}
    ET.SubElement(source, "SourceProperties", {key: str(value) for key, value in size.items()})
    for name, where in (("SrcRect", head), ("DstRect", fine)):
        rect = {"xOff": 0, "yOff": 0, "xSize": where.width, "ySize": where.height}
        ET.SubElement(source, name, {key: str(value) for key, value in rect.items()})
    if head.masked:  # what the file hides keeps the nodata of the band
        ET.SubElement(source, "UseMaskBand").text = "true"
    elif file.saturated:
        ET.SubElement(source, "NODATA").text = str(file.saturated)


def _tags(element: ET.Element, tags: Mapping[str, str]) -> None:
    if tags:
        listed = ET.SubElement(element, "Metadata")
        for key, value in tags.items():
            ET.SubElement(listed, "MDI", key=key).text = value


def known_band(sensor: str, name: str, unit: str) -> Band:
    """A band of :func:`~jido.geo.band_table` with the unit of its numbers; a bare one where it has none."""
    table = {(band.sensor, band.name): band for band in band_table()}
    return replace(table.get((sensor, name), Band(name)), unit=unit)


def files_of(source: rasterio.DatasetReader, image: Path | Product) -> set[Path]:
    """The files of an image that lie on this machine, with those that a virtual file names."""
    if isinstance(image, Product):
        return {file.resolve() for file in image.read}
    files = {Path(file).resolve() for file in source.files if Path(file).is_file()}
    for file in files - {Path(source.name).resolve()}:
        if file.suffix.lower() == ".vrt":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # judged by the outer file
                with rasterio.open(file) as inner:
                    files = files | files_of(inner, file)
    return files
