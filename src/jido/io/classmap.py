"""Reading a class map by strips of rows, and what its classes are called."""

from __future__ import annotations

import colorsys
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError
from jido.geo import NO_CLASS
from jido.io.raster import Progress
from jido.io.style import read_classes
from jido.labels import LandClass

CONFIDENCE = {"class": "confidence", "lcz": "classProbability"}
"""Class band of a map package -> the band that holds its confidence in percent."""

STRIP = 1 << 20
"""Cells that are handed out at a time."""

BLOCK_ROWS = 1024
"""Rows that are read at a time at most, however high the blocks of the file are."""


class ClassMap:
    """A class map, open for reading.

    Its ``crs`` is ``None`` where it has no place on Earth, as a map of a plain image.

    Args:
        path: a map of Jido, or any raster of whole numbers.
        band: the band with the classes, from 1; without it that of a map package, or the only one.

    Raises:
        ImageError: when it cannot be read or holds no whole numbers.
    """

    def __init__(self, path: str | Path, *, band: int | None = None) -> None:
        self.path = Path(path)
        self._source = _open(self.path)
        try:
            names = [name or f"band{i}" for i, name in enumerate(self._source.descriptions, start=1)]
            self._band = self._choose(names, band)
        except BaseException:
            self._source.close()
            raise
        self.crs = CRS.from_wkt(self._source.crs.to_wkt()) if self._source.crs else None
        self.grid = GeoBox(self._source.shape, self._source.transform, self.crs)
        confidence = CONFIDENCE.get(names[self._band - 1])
        self._confidence = names.index(confidence) + 1 if confidence in names else None
        self._named = read_classes(self.path)
        self._palette: dict[int, tuple[int, ...]] = {}
        with suppress(ValueError):  # there is none
            self._palette = self._source.colormap(self._band)

    def _choose(self, names: Sequence[str], band: int | None) -> int:
        if band is None and len(names) > 1 and names[0] not in CONFIDENCE:
            raise ImageError(
                f"{self.path} has the bands {', '.join(names)}: choose the one with classes with --band."
            )
        band = band or 1
        if band <= len(names) and names[band - 1] in (*CONFIDENCE.values(), "abstain"):
            raise ImageError(
                f"Band {band} of {self.path} ({names[band - 1]}) holds no classes: leave --band out."
            )
        if band > len(names):
            raise ImageError(
                f"{self.path} has {len(names)} bands, no band {band}: choose another with --band."
            )
        kind = self._source.dtypes[band - 1]
        if np.dtype(kind).kind not in "iu":
            raise ImageError(
                f"Band {band} of {self.path} is {kind}, and classes are whole numbers: give a class map, or "
                "its class band with --band."
            )
        return band

    @property
    def band(self) -> int:
        """Of the classes, from 1."""
        return self._band

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """The classes that are named beside the map; none where nothing is."""
        return tuple(self._named.values())

    @property
    def has_confidence(self) -> bool:
        """Whether the values that come with the classes say anything."""
        return self._confidence is not None

    @property
    def target(self) -> LandClass | None:
        """The other one of two classes of which one is the background; ``None`` on any other map."""
        others = [c for c in self._named.values() if c.label.casefold() != "background"]
        return others[0] if (len(self._named), len(others)) == (2, 1) else None

    def land_class(self, code: int) -> LandClass:
        """What is known of a class; the code is its label and its colour arbitrary where nothing is."""
        if code in self._named:
            return self._named[code]
        hue = code * (math.sqrt(5) - 1) / 2 % 1  # neighbours on the wheel are far apart in code
        wheel = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 0.85)]
        red, green, blue = self._palette.get(code, wheel)[:3]
        return LandClass(code, str(code), "", f"#{red:02X}{green:02X}{blue:02X}")

    def codes(self, names: Sequence[str]) -> list[int]:
        """Codes of classes that a person names by code, label or name.

        Raises:
            ImageError: when one is not known; a map without class names takes any whole number.
        """
        return [self._code(name) for name in names]

    def _code(self, name: str) -> int:
        for c in self._named.values():
            if name.casefold() in (str(c.code), c.label.casefold(), c.name.casefold()):
                return c.code
        if self._named:
            known = ", ".join(c.label for c in self._named.values())
            raise ImageError(f"{self.path} has no class {name!r}, only {known}: choose one of them.")
        try:
            return int(name)
        except ValueError:
            raise ImageError(
                f"{self.path} has no class names, so {name!r} means nothing: give the code of the class."
            ) from None

    def strips(
        self, *, only: Sequence[int] = (), progress: Progress | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes and percent of confidence, int64 (y, x), by strips of rows from the top.

        Codes are :data:`~jido.geo.NO_CLASS` without data, and where a class is not among ``only``
        when that names some. Percent are 0 where the map has none.

        Raises:
            ImageError: when the file is damaged.
        """
        height, width = self.grid.shape
        rows = max(STRIP // width, 1)
        block = min(self._source.block_shapes[self._band - 1][0], BLOCK_ROWS)
        step = math.ceil(rows / block) * block  # no block is unpacked twice
        for top in range(0, height, step):
            planes = self._read(top, min(top + step, height))
            for y in range(0, planes.shape[1], rows):
                yield _values(planes[:, y : y + rows], only)
            if progress:
                progress("tracing the objects", min(top + step, height), height)

    def _read(self, top: int, end: int) -> np.ma.MaskedArray:
        window = DiskWindow.from_slices((top, end), (0, self.grid.shape.x))
        bands = [self._band, self._confidence] if self._confidence else [self._band]
        try:
            return self._source.read(bands, window=window, masked=True)
        except RasterioError as err:
            raise ImageError(f"{self.path} is damaged or cut short ({err}): get it again.") from err

    def __enter__(self) -> ClassMap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()


def _open(path: Path) -> rasterio.DatasetReader:
    if not path.exists():
        raise ImageError(f"{path} does not exist.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map of a plain image
            return rasterio.open(path)
    except RasterioError as err:
        raise ImageError(f"{path} is not a map that can be read ({err}): give a class map.") from err


def _values(planes: np.ma.MaskedArray, only: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Codes and percent of a strip (class and perhaps confidence, y, x); a cell needs data in both."""
    codes = planes.data[0].astype(np.int64)
    codes[np.ma.getmaskarray(planes).any(axis=0)] = NO_CLASS
    if only:
        codes[~np.isin(codes, only)] = NO_CLASS
    return codes, planes.data[1].astype(np.int64) if len(planes) > 1 else np.zeros_like(codes)
