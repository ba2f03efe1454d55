"""A class map for Google Earth: KMZ with its colours, its legend and the names of its classes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform_bounds
from rasterio.windows import Window

from jido.errors import ImageError, OutputError
from jido.io.classmap import ClassMap
from jido.io.files import replacing
from jido.io.raster import Progress
from jido.labels import LandClass

SIDE = 2048
"""Pixels along a picture, which every graphics card can hold."""

LARGEST = 8 * SIDE
"""Pixels along a map; a larger one is written with fewer."""

OPACITY = "cc"
"""Of the map over the terrain, 80 %, in hexadecimal."""

CLEAR = 255
"""Value of pixels without a class in the pictures."""

DEGREES = "EPSG:4326"

POLE = 90

NAMESPACE = "http://www.opengis.net/kml/2.2"


@dataclass(frozen=True)
class KmzResult:
    """What was written.

    Args:
        path: the file.
        pictures: number of pictures in it; one, or an overview and its parts.
        classes: labels of the classes in it.
        coarser: how many cells of the map a pixel stands for along one side, 1 when all are shown.
    """

    path: Path
    pictures: int
    classes: tuple[str, ...]
    coarser: float


def write_kmz(
    path: str | Path,
    out: str | Path,
    *,
    band: int | None = None,
    note: str = "",
    progress: Progress | None = None,
) -> KmzResult:
    """Write a class map as KMZ: pictures in longitude and latitude, nearest cell, no data clear.

    A map of up to :data:`SIDE` pixels is one picture. A larger one is an overview and parts that Google
    Earth loads when one comes near (regions); beyond :data:`LARGEST` it is thinned out. Memory holds one
    picture. The same map gives the same bytes.

    Args:
        path: a map of Jido, or a raster of whole numbers in one band.
        out: ``.kmz``.
        band: of the classes, from 1; without it that of a map package, or the only one.
        note: shown with the map, how good it is for instance.
        progress: told the pictures.

    Raises:
        ImageError: when the map cannot be read, has no CRS, or holds no class.
        OutputError: when the suffix is another one or the file cannot be written; what stood there stays.

    Source: OGC KML 2.2, 07-147r2: GroundOverlay, Region, ScreenOverlay.
    """
    path, overlays, codes = Path(path), [], set[int]()
    if Path(out).suffix.lower() != ".kmz":
        raise OutputError(f"A map for Google Earth cannot be written as {out}: end the name with .kmz.")
    with (
        ClassMap(path, band=band) as source,
        _in_degrees(source) as seen,
        replacing(out) as fresh,
        zipfile.ZipFile(fresh, "w") as archive,  # stored: pictures are deflated already
    ):
        windows = _pictures(seen.vrt.height, seen.vrt.width)
        for i, window in enumerate(windows):
            picture = seen.read(window)
            found = set(np.unique(picture).tolist()) - {CLEAR}
            if found:
                name = f"files/{i}.png"
                _add(archive, name, _png(picture, source))
                overlays.append(_overlay(name, seen.vrt.window_bounds(window), part=i > 0))
            codes |= found
            if progress:
                progress("drawing", i + 1, len(windows))
        if not codes:
            raise ImageError(f"{path} holds no class anywhere: give a class map, or another --band.")
        classes = [source.land_class(code) for code in sorted(codes)]
        _add(archive, "files/legend.png", _legend(classes))
        _add(archive, "doc.kml", _document(path.stem, note, overlays))
    return KmzResult(Path(out), len(overlays), tuple(cls.label for cls in classes), seen.coarser)


class _Degrees:
    """A class map in longitude and latitude; ``coarser``: cells of the map along a pixel."""

    def __init__(self, source: ClassMap, plain: rasterio.DatasetReader) -> None:
        self.path, self.band = source.path, source.band
        nodata = plain.nodatavals[source.band - 1]
        place, width, height = calculate_default_transform(
            plain.crs, DEGREES, plain.width, plain.height, *plain.bounds
        )
        # its pixels are as many degrees high as wide, which far from the equator leaves out rows
        full = max(width, plain.width), max(height, plain.height)
        self.coarser = max(*full, LARGEST) / LARGEST
        columns, rows = (ceil(side / self.coarser) for side in full)
        self.vrt = WarpedVRT(
            plain,
            crs=DEGREES,
            transform=place * Affine.scale(width / columns, height / rows),
            width=columns,
            height=rows,
            resampling=Resampling.nearest,
            src_nodata=CLEAR if nodata is None else nodata,
            nodata=CLEAR,
        )

    def read(self, window: Window) -> np.ndarray:
        """Codes uint8 (y, x) of a picture, :data:`CLEAR` where there is none."""
        shrink = max(window.width, window.height, SIDE) / SIDE
        shape = ceil(window.height / shrink), ceil(window.width / shrink)
        try:
            codes = self.vrt.read(self.band, window=window, out_shape=shape)
        except RasterioError as err:
            raise ImageError(f"{self.path} is damaged or cut short ({err}): get it again.") from err
        if codes.min() < 0 or codes.max() > CLEAR:
            raise ImageError(f"{self.path} holds codes below 0 or above 254, and a KMZ none: recode them.")
        return np.where(codes == 0, CLEAR, codes).astype(np.uint8)


@contextmanager
def _in_degrees(source: ClassMap) -> Iterator[_Degrees]:
    if source.crs is None:
        raise ImageError(f"{source.path} has no CRS, so it has no place on the globe: write it with one.")
    with rasterio.open(source.path) as plain:
        west, south, east, north = transform_bounds(plain.crs, DEGREES, *plain.bounds)
        if not plain.crs.is_geographic and (west > east or max(north, -south) >= POLE):
            raise ImageError(
                f"{source.path} holds a pole or crosses the 180th meridian, where pictures end: cut it there."
            )
        seen = _Degrees(source, plain)
        with seen.vrt:
            yield seen


def _pictures(height: int, width: int) -> list[Window]:
    """The whole map, and where that is more than a picture its parts."""
    whole = [Window(0, 0, width, height)]
    if max(height, width) <= SIDE:
        return whole
    return whole + [
        Window(left, top, min(SIDE, width - left), min(SIDE, height - top))
        for top in range(0, height, SIDE)
        for left in range(0, width, SIDE)
    ]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """A member without the hour of its making."""
    archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _png(codes: np.ndarray, source: ClassMap) -> bytes:
    """Codes (y, x) with a palette, :data:`CLEAR` transparent."""
    from PIL import Image

    image = Image.fromarray(codes).convert("P")
    palette = [source.land_class(code).rgb for code in range(1, CLEAR)]
    image.putpalette([part for rgb in [(0, 0, 0), *palette, (0, 0, 0)] for part in rgb])
    return _saved(image, transparency=CLEAR)


def _saved(image: Any, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=False, **options)
    return buffer.getvalue()


def _legend(classes: Sequence[LandClass]) -> bytes:
    """A white card with the colour and the name of each class."""
    from PIL import Image, ImageDraw, ImageFont

    font, line, pad = ImageFont.load_default(size=14), 22, 8
    names = [" ".join(dict.fromkeys([cls.label, cls.name])).strip() for cls in classes]
    width = ceil(max(font.getlength(name) for name in names)) + line + 3 * pad
    image = Image.new("RGB", (width, line * len(classes) + 2 * pad), "white")
    draw = ImageDraw.Draw(image)
    for i, (cls, name) in enumerate(zip(classes, names, strict=True)):
        top = pad + i * line
        draw.rectangle((pad, top + 2, pad + line, top + line - 4), fill=cls.color, outline="#666666")
        draw.text((2 * pad + line, top + line // 2 - 1), name, fill="black", font=font, anchor="lm")
    return _saved(image)


def _document(title: str, note: str, overlays: Sequence[ET.Element]) -> bytes:
    root = ET.Element("kml", xmlns=NAMESPACE)
    document = ET.SubElement(root, "Document")
    _texts(document, name=title, open="1", description=note)
    screen = ET.SubElement(document, "ScreenOverlay")
    _texts(screen, name="Classes")
    _texts(ET.SubElement(screen, "Icon"), href="files/legend.png")
    for name, y in (("overlayXY", "1"), ("screenXY", "0.98")):  # upper left corner
        x = "0" if name == "overlayXY" else "0.01"
        ET.SubElement(screen, name, x=x, y=y, xunits="fraction", yunits="fraction")
    document.extend(overlays)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _overlay(href: str, bounds: tuple[float, float, float, float], *, part: bool) -> ET.Element:
    """A picture on the ground; a part is loaded when the screen shows half of its pixels along a side."""
    west, south, east, north = map(repr, bounds)
    overlay = ET.Element("GroundOverlay")
    _texts(overlay, name="Part" if part else "Map")
    if part:
        region = ET.SubElement(overlay, "Region")
        _texts(ET.SubElement(region, "LatLonAltBox"), north=north, south=south, east=east, west=west)
        _texts(ET.SubElement(region, "Lod"), minLodPixels=str(SIDE // 2), maxLodPixels="-1")
    _texts(overlay, color=f"{OPACITY}ffffff", drawOrder=str(int(part)))
    _texts(ET.SubElement(overlay, "Icon"), href=href)
    _texts(ET.SubElement(overlay, "LatLonBox"), north=north, south=south, east=east, west=west)
    return overlay


def _texts(parent: ET.Element, **values: str) -> None:
    """Children that hold a text."""
    for name, value in values.items():
        ET.SubElement(parent, name).text = value
