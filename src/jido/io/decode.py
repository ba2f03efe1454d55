"""From the bytes of an image to its pixels: what is damaged is an error, never a picture with grey below."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from jido.errors import ImageError
from jido.io.images import Place
from jido.io.raster import NATIVE, band_names, read_planes, sentence

LONGEST = 4096
"""Pixels along a side; what is larger has more than one class in it."""

DRIVERS = ["GTiff", "JP2OpenJPEG", "PNG", "JPEG", "WEBP", "BMP", "GIF", "HFA"]
"""Formats of one file; a virtual file of GDAL would read other files of whoever opens it."""

OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # with it a PNG that was cut short reads as noise
}

GREYS, COLOURS = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
"""Pillow's modes of 8 bits."""

BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for damaged files."""

AT_ONCE, BYTES_AT_ONCE = 64, 1 << 22
"""Images, and their bytes, that a thread is given at a time."""

MID_GREY, END_OF_JPEG = 128, b"\xff\xd9"


class Kind(NamedTuple):
    """What all images of a set agree in: names of the bands, pixels, type of the numbers."""

    bands: tuple[str, ...]
    height: int
    width: int
    dtype: str

    def __str__(self) -> str:
        bands = "1 band" if len(self.bands) == 1 else f"{len(self.bands)} bands"
        return f"{bands} of {self.width} x {self.height} pixels in {self.dtype}"


class Ground(NamedTuple):
    """Where an image lies: CRS as WKT, and the affine of its pixels."""

    crs: str
    affine: Affine


class Decoded(NamedTuple):
    """An image.

    ``pixels``: (C, y, x) in its own numbers, float32 with NaN where something is missing or the
    numbers are not of :data:`NATIVE`; ``None`` where its kind is not the expected one. ``ground``:
    ``None`` without a place on Earth.
    """

    kind: Kind
    pixels: np.ndarray | None
    ground: Ground | None = None


Read = tuple[Place, "bytes | ImageError"]


@contextmanager
def no_place_needed() -> Iterator[None]:
    """Inside, nobody is warned of images without a place on Earth, in no thread.

    Filters of warnings belong to all threads, so only the one that started the others may change them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def decoded(
    images: Iterable[Read], *, expected: Kind | None, threads: int | None = None
) -> Generator[Decoded | ImageError, None, None]:
    """Images decoded in threads, in their order; an error for one that is damaged.

    Holds some MB ahead of what has been taken, however many there are. To be used inside
    :func:`no_place_needed`.

    Args:
        images: as :func:`~jido.io.images.image_bytes` gives them.
        expected: images of other kinds are not decoded; without one none is.
        threads: as many as cores and at least 2 by default.
    """
    threads = threads or max(os.cpu_count() or 1, 2)
    waiting: deque[Future[list[Decoded | ImageError]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for batch in _batches(images):
            waiting.append(pool.submit(_decode_all, batch, expected))
            if len(waiting) > threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(images: Iterable[Read]) -> Iterator[list[Read]]:
    batch: list[Read] = []
    size = 0
    for image in images:
        batch.append(image)
        size += len(image[1]) if isinstance(image[1], bytes) else 0
        if len(batch) == AT_ONCE or size > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decode_all(batch: Sequence[Read], expected: Kind | None) -> list[Decoded | ImageError]:
    with rasterio.Env(**OPTIONS):
        return [_tried(place, data, expected) for place, data in batch]


def _tried(place: Place, data: bytes | ImageError, expected: Kind | None) -> Decoded | ImageError:
    if isinstance(data, ImageError):
        return data
    if not data:
        return _cut_short(place, ImageError("it is empty"))
    try:
        if form := _form(data):
            return _by_pillow(data, place, expected, form)
        return _by_rasterio(data, place, expected)
    except ImageError as err:
        return err


def _form(data: bytes) -> str:
    """Pillow's name of a format of 8 bits; of PNGs with 16 bits and colours it would drop half."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] <= b"\x08":
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _require_small(place: Place, width: int, height: int) -> None:
    if max(width, height) > LONGEST:
        raise ImageError(
            f"{place} has {width} x {height} pixels, too many for one class: cut it into images of at most "
            f"{LONGEST} x {LONGEST}."
        )


# -- 8 bits: Pillow ----------------------------------------------------------------------------


def _by_pillow(data: bytes, place: Place, expected: Kind | None, form: str) -> Decoded:
    try:
        with Image.open(BytesIO(data), formats=(form,)) as image:
            _require_small(place, *image.size)
            mode = _mode(image, place)
            bands = ("red", "green", "blue") if mode.startswith("RGB") else ("band1",)
            kind = Kind(bands, image.height, image.width, "uint8")
            if kind != expected:
                return Decoded(kind, None)
            progressive = "progressive" in image.info
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except BROKEN as err:
        raise _cut_short(place, err) from err
    pixels = pixels.reshape(kind.height, kind.width, -1).transpose(2, 0, 1)
    if form == "JPEG" and (progressive or not data.endswith(END_OF_JPEG) or _ends_in_grey(pixels)):
        _require_whole_jpeg(data, place)
    return Decoded(kind, _without_alpha(pixels) if mode.endswith("A") else pixels)


def _mode(image: Image.Image, place: Place) -> str:
    """The mode to bring an image to."""
    if image.mode == "CMYK":
        raise ImageError(
            f"{place} holds the inks of a print (CMYK): save it with red, green and blue, or as grey."
        )
    if image.mode not in (*GREYS, *COLOURS):
        raise ImageError(f"{place} holds {image.mode} and not red, green and blue: save it so, or as grey.")
    alpha = "A" if image.has_transparency_data else ""
    return ("RGB" if image.mode in COLOURS else "L") + alpha


def _without_alpha(pixels: np.ndarray) -> np.ndarray:
    """The bands before alpha, NaN where it is 0."""
    clear = pixels[-1] == 0
    return np.where(clear, np.float32(np.nan), pixels[:-1]) if clear.any() else pixels[:-1]


def _ends_in_grey(pixels: np.ndarray) -> bool:
    """Whether the last pixel looks as libjpeg leaves what it has found no data for."""
    return bool((pixels[:, -1, -1] == MID_GREY).all())


def _require_whole_jpeg(data: bytes, place: Place) -> None:
    """Decode a JPEG again where a warning of libjpeg is an error; Pillow hides them."""
    try:
        with MemoryFile(data) as memory, memory.open(driver=["JPEG"]) as source:
            source.read()
    except RasterioError as err:
        said = _all_said(err)
        if "Corrupt JPEG data" in said or "Premature end of JPEG" in said:  # others have no effect
            raise _cut_short(place, err) from err


def _all_said(err: BaseException | None) -> str:
    words = []
    while err is not None:
        words.append(str(err))
        err = err.__cause__
    return " ".join(words)


def _cut_short(place: Place, err: Exception) -> ImageError:
    reason = "no image is in it" if isinstance(err, Image.UnidentifiedImageError) else sentence(err)
    return ImageError(f"{place} is damaged or cut short ({reason}): get it again.")


# -- everything else: GDAL ---------------------------------------------------------------------


def _by_rasterio(data: bytes, place: Place, expected: Kind | None) -> Decoded:
    try:
        with MemoryFile(data) as memory, memory.open(driver=DRIVERS) as source:
            _require_small(place, source.width, source.height)
            planes = [i for i in source.indexes if source.colorinterp[i - 1] != ColorInterp.alpha]
            palette = len(planes) == 1 and source.colorinterp[planes[0] - 1] == ColorInterp.palette
            names = ("red", "green", "blue") if palette else tuple(band_names(source, planes))
            kind = Kind(names, source.height, source.width, _dtype(source, planes, place))
            if kind != expected:
                return Decoded(kind, None)
            pixels = read_planes(place, source, planes)
            if palette:
                pixels = _colours(pixels[0], source.colormap(planes[0]))
            ground = Ground(source.crs.to_wkt(), source.transform) if source.crs else None
    except RasterioError as err:
        raise _cut_short(place, err) from err
    if kind.dtype in NATIVE and np.isfinite(pixels).all():
        pixels = pixels.astype(kind.dtype)
    return Decoded(kind, pixels, ground)


def _dtype(source: rasterio.DatasetReader, planes: Sequence[int], place: Place) -> str:
    """Type of the numbers, float32 where the file scales them."""
    if any((source.scales[i - 1], source.offsets[i - 1]) != (1.0, 0.0) for i in planes):
        return "float32"
    found = {source.dtypes[i - 1] for i in planes}
    if any("complex" in dtype for dtype in found):
        raise ImageError(f"{place} holds complex numbers: give their amplitude or power.")
    return found.pop() if len(found) == 1 else "float32"


def _colours(numbers: np.ndarray, palette: dict[int, tuple[int, ...]]) -> np.ndarray:
    """Numbers (y, x) of a palette as float32 (3, y, x); NaN where there is none or it is clear."""
    table = np.full((3, 257), np.nan, dtype=np.float32)  # the last is for numbers that are missing
    for number, (*colour, alpha) in palette.items():
        if 0 <= number < 256 and alpha > 0:
            table[:, number] = colour
    return table[:, np.where(np.isfinite(numbers), numbers, 256).astype(np.int64)]
