"""Masks from other people's files: which of their values is the target, and where it is."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Compression
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError, LabelsError
from jido.geo import Window, lattice
from jido.io.raster import sentence

COLOUR = 1 << 40
"""Added to the 24 bits of a colour, so that no colour is taken for a value; greys are values."""

MOST = 1024
"""Different values in a file from which it is no mask."""

WINDOW = 1024
"""Side of the windows in which masks are looked through."""

SHOWN = 6
"""Values that a sentence lists, at most."""

MIDDLE = 127
"""A lossy mask of 0 and 255 is target above this."""

ENDS, NEAR = 48, 0.9
"""A lossy mask has at least the share ``NEAR`` of its pixels within ``ENDS`` of 0 or 255."""


class Target(NamedTuple):
    """What is target in the masks of a set.

    ``codes``: values, and colours as 24 bits + :data:`COLOUR`. ``above``: values above this are, for
    masks that were stored with loss. ``by_value``: numbers of a palette count, not its colours.
    ``note``: all that in a sentence.
    """

    codes: frozenset[int | float]
    above: int | None
    by_value: bool
    note: str


class MaskFile:
    """A mask on disk, read by window.

    Args:
        path: an image file with one band (and alpha), or with red, green, blue (and alpha).
        by_value: read the numbers of a file with a palette and not its colours.

    Raises:
        ImageError: when it cannot be read or has other bands.
    """

    def __init__(self, path: str | Path, *, by_value: bool = False) -> None:
        self.path = Path(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it lies on its image
                self._source = rasterio.open(path)
        except RasterioError as err:
            raise ImageError(
                f"{path} is not a mask that can be read ({sentence(err)}): get it again."
            ) from err
        source = self._source
        self.geobox = GeoBox(source.shape, source.transform, source.crs.to_wkt() if source.crs else None)
        self.shape: tuple[int, int] = source.shape
        self.lossy = _with_loss(source)
        self._planes = [i for i in source.indexes if source.colorinterp[i - 1] != ColorInterp.alpha]
        colours = len(self._planes) == 3 and source.dtypes[0] == "uint8"
        if len(self._planes) != 1 and not colours:
            source.close()
            raise ImageError(
                f"{path} has {len(self._planes)} bands of {source.dtypes[0]}: give a mask with one band, or "
                "with red, green and blue of 8 bits."
            )
        palette = source.colorinterp[0] == ColorInterp.palette and not by_value
        self._palette = _grey_or_colour(_table(source.colormap(1))) if palette else None

    def codes(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Values or coded colours (y, x), and bool (y, x) where there is data.

        Raises:
            ImageError: when the file is damaged or cut short there.
        """
        try:
            block = self._source.read(self._planes, window=DiskWindow.from_slices(*window), masked=True)
        except RasterioError as err:
            raise ImageError(f"{self.path} is damaged or cut short ({sentence(err)}): get it again.") from err
        data = np.ma.getdata(block)
        known = np.asarray(~np.ma.getmaskarray(block).all(axis=0))
        if data.dtype.kind == "f":
            known &= np.isfinite(data[0])
        if self._palette is not None:
            return self._palette[data[0]], known
        return (data[0] if len(data) == 1 else _grey_or_colour(data)), known

    def read(self, window: Window, target: Target) -> np.ndarray:
        """Bool (y, x): the target; pixels without data are not."""
        codes, known = self.codes(window)
        if target.above is not None:
            return known & (codes > target.above)
        found = np.zeros(codes.shape, dtype=bool)
        for code in target.codes:
            found |= codes == code
        return known & found

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __enter__(self) -> MaskFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _with_loss(source: rasterio.DatasetReader) -> bool:
    """Whether the numbers of a file are only about those that were written."""
    said = source.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION_REVERSIBILITY", "")
    return source.driver == "JPEG" or source.compression == Compression.jpeg or said.startswith("LOSSY")


def _table(palette: dict[int, tuple[int, ...]]) -> np.ndarray:
    """Red, green, blue (3, n) of the numbers of a palette."""
    table = np.zeros((3, max(palette) + 1), dtype=np.uint8)
    for number, colour in palette.items():
        table[:, number] = colour[:3]
    return table


def _grey_or_colour(rgb: np.ndarray) -> np.ndarray:
    """Codes (...) int64 of colours (3, ...) uint8: greys are their value."""
    red, green, blue = rgb.astype(np.int64)
    grey = (red == green) & (green == blue)
    return np.where(grey, red, COLOUR | red << 16 | green << 8 | blue)


class MaskValues:
    """What the masks of a set hold, one file after the other, and what of it is the target.

    Two values in the whole set: the larger one, whatever they are. Masks that were stored with loss
    (JPEG) spread around 0 and 255: above 127. Two colours: the one that is not the most frequent.
    Anything else has to be asked for.

    Args:
        target: values (``"3"``, ``"1,2"``) or colours (``"#FF0000"``) of the target.

    Raises:
        LabelsError: when ``target`` holds something else, or both.
    """

    def __init__(self, target: Sequence[str] = ()) -> None:
        words = [word for text in target for word in re.split(r"[\s,;]+", text) if word]
        self._asked = frozenset(map(_code, words))
        self.by_value = bool(words) and not words[0].startswith("#")
        if len({word.startswith("#") for word in words}) > 1:
            raise LabelsError(f"--target {' '.join(target)} mixes values and colours: give one kind of them.")
        self._counts: Counter[int | float] = Counter()
        self._where: dict[int | float, Path] = {}
        self._exact: set[int | float] = set()
        self._unknown = 0
        self._lossy = False

    def add(self, path: Path) -> None:
        """Look through one more mask; all of it counts, or nothing.

        Raises:
            ImageError: when it cannot be read.
            LabelsError: when it holds too many values for a mask.
        """
        counts: Counter[int | float] = Counter()
        unknown = 0
        with MaskFile(path, by_value=self.by_value) as file:
            for tile in lattice(file.shape, tile=WINDOW):
                codes, known = file.codes(tile.core)
                counts.update(_counted(codes[known]))
                unknown += int(known.size - np.count_nonzero(known))
                if len(counts) > MOST:
                    raise LabelsError(
                        f"{path} holds more than {MOST} different values, so it is no mask: give files with "
                        "one value or colour for the target."
                    )
        self._counts += counts
        self._unknown += unknown
        self._lossy |= file.lossy
        self._exact |= set() if file.lossy else set(counts)
        for code in counts:
            self._where.setdefault(code, path)

    def target(self) -> Target:
        """What is target in all masks seen.

        Raises:
            LabelsError: when none of them holds any, or nobody can tell which value it is.
        """
        codes, above = self._asked, None
        if not codes and self._is_spread():
            above = MIDDLE
            hits = sum(n for code, n in self._counts.items() if code > above)
            said = f"values above {above}"
        else:
            codes = codes or frozenset([self._only()])
            hits = sum(self._counts[code] for code in codes)
            said = _words(sorted(codes))
        if not hits:
            raise LabelsError(
                f"The masks hold no target pixel: {said} not among {self._held()}: give masks with a "
                "target, or say what it is with --target."
            )
        share = hits / (self._counts.total() + self._unknown)
        note = f"Target in the masks: {said} of {self._held()}, {share:.1%} of the pixels."
        return Target(codes, above, self.by_value, note)

    def _is_spread(self) -> bool:
        """Whether these are masks of 0 and 255 that were stored with loss."""
        if not self._lossy or len(self._counts) <= 2 or max(self._counts) >= COLOUR:
            return False
        near = sum(n for code, n in self._counts.items() if min(code, 255 - code) <= ENDS)
        return near >= NEAR * self._counts.total() and self._exact <= {0, 255} and max(self._counts) > MIDDLE

    def _only(self) -> int | float:
        """The one code that can be the target."""
        codes = sorted(self._counts)
        if set(codes) <= {0} or (self._lossy and codes[-1] <= ENDS):
            raise LabelsError(
                f"The masks hold no target pixel, only {self._held()}: give masks with a target, or say what "
                "it is with --target."
            )
        if len(codes) == 1 and self._unknown:
            return codes[0]  # the rest of the masks has no data
        if len(codes) == 1:
            raise LabelsError(f"The masks hold {self._held()} everywhere: give masks with a background too.")
        if len(codes) == 2:
            return codes[1] if codes[1] < COLOUR else self._counts.most_common()[1][0]
        last = codes[-1]
        hint = " Colours in JPEG are blurred: save masks as PNG." if self._lossy and last >= COLOUR else ""
        raise LabelsError(
            f"The masks hold {self._held()} ({_word(last)} first in {self._where[last]}): say which of them "
            f"are the target, such as --target {_word(last)}.{hint}"
        )

    def _held(self) -> str:
        """All values or colours in words, the most frequent ones only when there are many."""
        if not self._counts:
            return "pixels without data"
        often = sorted(code for code, _ in self._counts.most_common(SHOWN))
        more = len(self._counts) - len(often)
        return _words(often) + (f" and {more} more" if more else "")


def _counted(codes: np.ndarray) -> dict[int | float, int]:
    """Code -> number of pixels."""
    if codes.dtype == np.uint8:  # several times as fast as sorting
        counts = np.bincount(codes)
        return {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
    found, numbers = np.unique(codes, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def _code(word: str) -> int | float:
    """Code of a value or a colour as a person writes it."""
    if re.fullmatch("#[0-9A-Fa-f]{6}", word):
        rgb = np.array([[int(word[i : i + 2], 16)] for i in (1, 3, 5)], dtype=np.uint8)
        return int(_grey_or_colour(rgb)[0])
    try:
        return float(word)
    except ValueError as err:
        raise LabelsError(
            f"--target {word} is neither a value such as 255 nor a colour such as #FF0000."
        ) from err


def _word(code: int | float) -> str:
    """A code as a person writes it."""
    return f"#{int(code) - COLOUR:06X}" if code >= COLOUR else f"{code:g}"


def _words(codes: Sequence[int | float]) -> str:
    """Sorted codes in words: ``the values 0, 255``, ``the value 0 and the colour #FF0000``."""
    kinds = {
        "value": [_word(code) for code in codes if code < COLOUR],
        "colour": [_word(code) for code in codes if code >= COLOUR],
    }
    return " and ".join(f"the {kind}{'s' * (len(w) > 1)} {', '.join(w)}" for kind, w in kinds.items() if w)
