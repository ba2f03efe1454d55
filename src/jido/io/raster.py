"""Reading image files by window. The only place where nodata on disk becomes NaN."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError
from jido.geo import Band, Raster, Window, identify, lattice, unique_names
from jido.geo.radiometry import KINDS, Conversion
from jido.io.clouds import hidden
from jido.io.origin import Origin
from jido.io.products import gathered, product_notes
from jido.io.radar import polarisation
from jido.io.virtual import Product, files_of

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

NATIVE = ("uint8", "int8", "uint16", "int16")
"""Numbers that are kept as they are; float32, in which images are read, holds all of them exactly."""

RESAMPLING = ("nearest", "bilinear", "cubic", "average")
"""What ``resample`` may be, as in GDAL."""

Clouds = Literal["hide", "show", "only"]
"""Of a product: bands without data where its mask hides the ground, bands as they are, the mask alone."""

CACHE_MB = 128
"""Block cache of GDAL; its default of 5 % of the machine's memory breaks a fixed budget."""

os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")  # with it a PNG that was cut short reads as noise
os.environ.setdefault("GDAL_CACHEMAX", str(CACHE_MB))  # GDAL looks once, when the first block is read


def band_names(source: rasterio.DatasetReader, planes: Sequence[int]) -> list[str]:
    """Band descriptions of a file; colours, a polarisation in its name, or ``band1`` where it has none."""
    colours = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
    names = []
    for plane in planes:
        text = (source.descriptions[plane - 1] or "").strip()
        names.append(text or colours.get(source.colorinterp[plane - 1], "") or f"band{plane}")
    if names == ["band1"] and (found := polarisation(source.name)):
        return [found]
    if len(set(names)) < len(names):
        names = [f"{name}_{plane}" for name, plane in zip(names, planes, strict=True)]
    return names


def _bands(source: rasterio.DatasetReader, planes: Sequence[int], image: Path | Product) -> list[Band]:
    """Bands of a file; the unit is the one that the file states, never the one the sensor should have."""
    names = band_names(source, planes)
    known = image.bands(names) if isinstance(image, Product) else identify(names)
    return [replace(band, unit=source.units[i - 1] or "") for band, i in zip(known, planes, strict=True)]


def _grid(source: rasterio.DatasetReader, crs: str | None) -> GeoBox:
    """The grid of a file; ``crs`` counts only when the file has none, and it may be ``None`` too."""
    try:
        return GeoBox(source.shape, source.transform, source.crs.to_wkt() if source.crs else crs)
    except (CRSError, ValueError) as err:
        raise ImageError(
            f"{source.name} has no CRS and {crs!r} is none: give one such as --crs EPSG:32649."
        ) from err


def read_planes(
    shown: object, source: rasterio.DatasetReader, index: Sequence[int], disk: DiskWindow | None = None
) -> np.ndarray:
    """Some planes of an open file, float32 (C, y, x): scaled as it states, NaN where it has no data.

    Args:
        shown: what an error calls the file.
        source: the file.
        index: numbers of the planes, from 1.
        disk: part of it, all without one.

    Raises:
        ImageError: when the file is damaged or cut short there.
    """
    try:
        block = source.read(list(index), window=disk, masked=True)
    except RasterioError as err:
        raise ImageError(f"{shown} is damaged or cut short ({sentence(err)}): get it again.") from err
    with np.errstate(over="ignore"):  # nodata of float64 may lie beyond float32
        data = np.ma.getdata(block).astype(np.float32)
    if (mask := np.ma.getmask(block)) is not np.ma.nomask:
        data[mask] = np.nan
    for plane, number in enumerate(index):
        scale, offset = source.scales[number - 1], source.offsets[number - 1]
        if (scale, offset) != (1.0, 0.0):
            data[plane] *= np.float32(scale)
            data[plane] += np.float32(offset)
    if block.dtype.kind == "f":
        data[~np.isfinite(data)] = np.nan
    return data


def wkt(geobox: GeoBox) -> str:
    """The CRS of a grid in words that every library reads; refuses a grid without one."""
    if geobox.crs is None:
        raise ImageError("An image without CRS cannot be put on a grid: give one with --crs EPSG:....")
    return geobox.crs.to_wkt()


def sentence(err: Exception) -> str:
    """A library's message without its line breaks and its final stop."""
    return re.sub(r"\s+", " ", str(err.__cause__ or err)).rstrip(". ")


class Scene:
    """One or several image files stacked on one grid, read by window.

    The grid is that of the first image. Images on the same grid are read as they are; others are
    refused unless ``resample`` names the method. Scale and offset stored in a file are applied,
    nodata, masks and alpha become NaN band by band.

    A product (Sentinel-2 ``.SAFE``, Landsat Collection 2, as folder or archive; VV and VH as two files) is
    one image: :mod:`jido.io.products`.

    Args:
        paths: image files and products; order gives the order of the bands.
        crs: CRS of images that carry none, ``EPSG:32649``.
        resample: one of :data:`RESAMPLING`, for images on other grids.
        like: the grid itself, instead of that of the first image.
        place_needed: refuse an image without CRS; else its grid has none and its own transform, which
            for a plain JPEG or PNG counts pixels.
        clouds: what a product shows where its ``SCL`` or ``QA_PIXEL`` says that the ground is hidden.

    Attributes:
        masks: names of the masks that products have, whatever ``clouds`` says.

    Raises:
        ImageError: when a file is missing, is no image, lies on another grid, or has no CRS where
            one is needed.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        crs: str | None = None,
        resample: str | None = None,
        like: GeoBox | None = None,
        place_needed: bool = True,
        clouds: Clouds = "hide",
    ) -> None:
        if not paths:
            raise ImageError("No image was given.")
        if resample is not None and resample not in RESAMPLING:
            raise ImageError(f"--resample {resample!r} is not one of {', '.join(RESAMPLING)}.")
        given = [Path(p) for p in paths]
        self._again: Callable[[], Scene] = partial(
            Scene, [str(path.resolve()) for path in given], crs=crs, resample=resample, like=like,
            place_needed=place_needed, clouds=clouds,
        )  # fmt: skip
        images = gathered(given)
        self.paths = [image.path if isinstance(image, Product) else image for image in images]
        self.notes = product_notes(images, hide=clouds == "hide")
        self.conversions: dict[str, Conversion] = {}
        self._stack = ExitStack()
        try:
            self._files = [self._open(image, crs, place_needed, clouds) for image in images]
            self.geobox = _grid(self._files[0], crs) if like is None else like
            self._reference = str(self.paths[0]) if like is None else "the first image"
            self._read_files = sorted(set().union(*map(files_of, self._files, images)))
            self._sources = [
                self._on_grid(s, path, crs, resample) for s, path in zip(self._files, self.paths, strict=True)
            ]
            self._masks = [self._mask(image, clouds) for image in images]
        except BaseException:
            self._stack.close()
            raise
        self._planes = [
            [i for i in s.indexes if s.colorinterp[i - 1] != ColorInterp.alpha] for s in self._sources
        ]
        named = map(_bands, self._sources, self._planes, images)
        self.bands: tuple[Band, ...] = unique_names(named)
        self.masks = tuple(
            one.quality.band.name for one in images if isinstance(one, Product) and one.quality
        )

    def _open(
        self, path: Path | Product, crs: str | None, place_needed: bool, clouds: Clouds
    ) -> rasterio.DatasetReader:
        if isinstance(path, Product):
            mask = path.quality if clouds == "only" else None
            return self._stack.enter_context(path.open([mask] if mask else path.files))
        if not path.exists():
            raise ImageError(f"{path} does not exist.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused below, by its CRS
                source = self._stack.enter_context(rasterio.open(path))
        except RasterioError as err:
            raise ImageError(
                f"{path} is not an image that can be read ({sentence(err)}): give a GeoTIFF or "
                "another raster file."
            ) from err
        if source.crs is None and crs is None and place_needed:
            raise ImageError(f"{path} has no CRS: give it with --crs EPSG:....")
        return source

    def _on_grid(
        self, source: rasterio.DatasetReader, path: Path, crs: str | None, resample: str | None
    ) -> rasterio.DatasetReader:
        """The file itself when it lies on the grid, else a virtual file resampled to it."""
        box = _grid(source, crs)
        if self._fits(box):
            return source
        if resample is None:
            raise ImageError(
                f"{path} lies on another grid than {self._reference}: "
                f"give --resample {'|'.join(RESAMPLING)} to bring it there."
            )
        if box.crs is None or self.geobox.crs is None:
            raise ImageError(f"{path} or {self.paths[0]} has no CRS: give it with --crs EPSG:....")
        if not box.extent.to_crs(wkt(self.geobox)).intersects(self.geobox.extent):
            raise ImageError(f"{path} shows another place than {self._reference}: give images that overlap.")
        self.notes.append(
            f"{path.name} was resampled ({resample}) to the grid of {Path(self._reference).name}."
        )
        return self._warped(source, box, resample)

    def _fits(self, box: GeoBox) -> bool:
        if box.crs != self.geobox.crs or box.shape != self.geobox.shape:
            return False
        shift = np.abs(np.subtract(box.affine[:6], self.geobox.affine[:6])).max()
        return bool(shift <= 1e-6 * abs(box.resolution.x))

    def _warped(self, source: rasterio.DatasetReader, box: GeoBox, resample: str) -> rasterio.DatasetReader:
        # without nodata or alpha what lies outside the file would be 0 and not without data
        bare = source.nodata is None and ColorInterp.alpha not in source.colorinterp
        outside = {"nodata": np.nan, "dtype": "float32"} if bare else {}
        return self._stack.enter_context(
            WarpedVRT(
                source,
                src_crs=wkt(box),
                crs=wkt(self.geobox),
                transform=self.geobox.affine,
                height=self.geobox.shape.y,
                width=self.geobox.shape.x,
                resampling=Resampling[resample],
                UNIFIED_SRC_NODATA="NO",  # a band keeps its values where another one has none
                **outside,
            )
        )

    def _mask(self, image: Path | Product, clouds: Clouds) -> rasterio.DatasetReader | None:
        """The codes that tell where a product does not show the ground, on the grid."""
        if not isinstance(image, Product) or image.quality is None or clouds != "hide":
            return None
        source = self._stack.enter_context(image.open([image.quality]))
        box = _grid(source, None)
        return source if self._fits(box) else self._warped(source, box, "nearest")

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(band.name for band in self.bands)

    def read(self, window: Window | None = None) -> Raster:
        """The pixels of a window (all without one) as a :class:`~jido.geo.Raster`.

        Raises:
            ImageError: when the file is damaged or cut short there.
        """
        height, width = self.geobox.shape
        rows, cols = window or (slice(0, height), slice(0, width))
        return Raster(self.pixels((rows, cols), self.names), self.bands, self.geobox[rows, cols])

    def pixels(self, window: Window, names: Sequence[str]) -> np.ndarray:
        """Some bands of a window, float32 (C, y, x) in the order of ``names``, NaN = no data.

        A band that the images lack has no data.

        Raises:
            ImageError: when the file is damaged or cut short there.
        """
        disk = DiskWindow.from_slices(*window)
        wanted, known = set(names), iter(self.names)
        found: dict[str, np.ndarray] = {}
        for path, source, mask, index in zip(
            self.paths, self._sources, self._masks, self._planes, strict=True
        ):
            here = {name: plane for plane, name in zip(index, known, strict=False) if name in wanted}
            if here:
                planes = read_planes(path, source, list(here.values()), disk)
                if mask is not None:
                    codes = read_planes(path, mask, [1], disk)[0]
                    planes[:, hidden(codes, mask.descriptions[0])] = np.nan
                found |= zip(here, planes, strict=True)
        return self._finished(found, names, window)

    def _finished(self, found: Mapping[str, np.ndarray], names: Sequence[str], window: Window) -> np.ndarray:
        """Bands as they were read, (y, x) each: converted, in the order of ``names``."""
        shape = (len(names), *(side.stop - side.start for side in window))
        image = np.full(shape, np.nan, dtype=np.float32)
        for plane, name in zip(image, names, strict=True):
            if name in found:
                conversion = self.conversions.get(name)
                plane[:] = conversion.apply(found[name]) if conversion else found[name]
        return image

    def converted(self, conversions: Mapping[str, Conversion]) -> Scene:
        """The same open files, read with the numbers of the named bands converted."""
        scene = object.__new__(type(self))  # a copy would open the files again
        scene.__dict__ |= self.__dict__ | {"notes": list(self.notes)}
        scene.conversions = self.conversions | dict(conversions)
        units = {name: KINDS[conversion.target].unit for name, conversion in conversions.items()}
        scene.bands = tuple(replace(band, unit=units.get(band.name, band.unit)) for band in self.bands)
        return scene

    def read_valid(self, *, progress: Progress | None = None) -> np.ndarray:
        """Bool mask (y, x) of the pixels with data in at least one band, read window by window."""
        shape = (self.geobox.shape.y, self.geobox.shape.x)
        valid = np.zeros(shape, dtype=bool)
        tiles = list(lattice(shape, tile=1024))
        for done, tile in enumerate(tiles, start=1):
            valid[tile.core] = self.read(tile.core).valid
            if progress:
                progress("reading the image", done, len(tiles))
        return valid

    def state(self) -> list[tuple[str, int, int]]:
        """Full path, size in bytes and time of the last change in ns of every file that is read.

        Files beside an image and those that a virtual file (VRT) names are among them.

        Raises:
            ImageError: when one has gone.
        """
        try:
            stats = [(path, path.stat()) for path in self._read_files]
        except OSError as err:
            raise ImageError(f"{err.filename} cannot be read any more: put it back and start again.") from err
        return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]

    def origins(self) -> list[Origin]:
        """Where each band comes from and what its file says of it."""
        return [
            Origin(
                image=path.name,
                place=str(path.resolve()),
                tags=source.tags() | source.tags(plane),
                unit=source.units[plane - 1] or "",
                dtype=source.dtypes[plane - 1] if scaling == (1.0, 0.0) else "",
                without_offset=bool(scaling[1]),
            )
            for path, source, planes in zip(self.paths, self._files, self._planes, strict=True)
            for plane in planes
            if (scaling := (source.scales[plane - 1], source.offsets[plane - 1]))
        ]

    def __reduce__(self) -> tuple[Callable[..., Scene], tuple[object, ...]]:
        """Another process opens the files for itself."""
        return _reopened, (self._again, self.conversions)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reopened(again: Callable[[], Scene], conversions: Mapping[str, Conversion]) -> Scene:
    return again().converted(conversions)


def read_image(path: str | Path, *, crs: str | None = None) -> Raster:
    """A whole image file as a :class:`~jido.geo.Raster`. For large scenes use :class:`Scene`."""
    with Scene([path], crs=crs) as scene:
        return scene.read()
