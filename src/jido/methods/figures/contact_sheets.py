"""Contact sheets: many small images with their ids below them, for people to look through."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jido.data.chips import Chips
from jido.geo import Band
from jido.io import replacing
from jido.methods.figures.pictures import GREY, PERCENTILES

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

MOST = 60
"""Images of a page, about: whole rows of them."""

SAMPLE = 256
"""Images whose pixels tell how colours are stretched."""

MARGIN, GAP, LINE = 24, 12, 1.35
"""Pixels around the page and between images; height of a line of text in sizes of its letters."""

TITLE, NAME, SMALLEST = 20, 13, 9
"""Sizes of letters in pixels; names shrink to the smallest before they are cut."""

PAPER, INK, FAINT, BORDER = "white", "#1A1A1A", "#666666", "#BBBBBB"


def contact_sheet(
    chips: Chips,
    which: np.ndarray,
    target: str | Path,
    *,
    title: str,
    captions: Sequence[str] | None = None,
    columns: int = 5,
    side_px: int = 160,
) -> Path:
    """Images side by side with their ids below them, as PNG of the same bytes every time.

    Shown are the bands called red, green and blue, else the first three, else the first one in grey. Whole
    numbers of 0-255 are shown as they are; anything else is stretched, each band from its 2nd to its 98th
    percentile over all ``chips``: the same colour is the same number on every sheet of a set. No data is
    grey. More than about 60 images go on further pages ``target_2.png``, ``target_3.png``.

    Args:
        chips: where the images come from; ``name`` is what stands below them.
        which: (n,) places of those that are shown, in order.
        target: the PNG.
        title: above the images.
        captions: (n,) a further line below each image.
        columns: images in a row.
        side_px: side of an image on the sheet in pixels.

    Returns:
        The first page.

    Raises:
        ValueError: when there is not one caption for every image.
        OutputError: when a file cannot be written.
    """
    target, which = Path(target), np.asarray(which)
    if captions is not None and len(captions) != len(which):
        raise ValueError(f"{len(which)} images have {len(captions)} captions: give one for each.")
    stretch = stretch_of(chips)
    per_page = max(MOST // columns, 1) * columns
    pages = max(-(-len(which) // per_page), 1)
    for page in range(pages):
        some = slice(page * per_page, (page + 1) * per_page)
        images = chips.images[which[some]]
        pictures = [stretch.colours(image) for image in images]
        names = [str(name) for name in chips.name[which[some]]]
        more = list(captions[some]) if captions is not None else []
        words = f"{len(which):,} image{'s' * (len(which) != 1)}"
        words += f", page {page + 1} of {pages}" if pages > 1 else ""
        words += stretch.said + ", grey: no data" * bool(np.isnan(images[:, stretch.bands]).any())
        sheet = _page(pictures, names, more, title=title, words=words, columns=columns, side=side_px)
        path = target if page == 0 else target.with_name(f"{target.stem}_{page + 1}{target.suffix}")
        with replacing(path) as fresh:
            sheet.save(fresh, format="PNG", compress_level=3)  # twice as fast, a twentieth larger
    return target


# -- colours -----------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """Which bands are shown, and which numbers are black and white."""

    bands: list[int]
    low: np.ndarray
    high: np.ndarray
    said: str

    def colours(self, image: np.ndarray) -> np.ndarray:
        """An image (C, S, S) as colours uint8 (S, S, 3); no data grey."""
        shown = image[self.bands].astype(np.float32)
        known = np.isfinite(shown).all(axis=0)
        span = np.where(self.high > self.low, self.high - self.low, np.inf)
        values = 255 * (shown - self.low[:, None, None]) / span[:, None, None]
        values[self.high <= self.low] = GREY
        values[:, ~known] = GREY
        colours: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        return colours


def stretch_of(chips: Chips) -> Stretch:
    """How the images of a set are shown, told by some that are spread over all of them."""
    bands = _shown(chips.bands)
    at = np.unique(np.linspace(0, len(chips) - 1, min(SAMPLE, len(chips))).astype(np.int64))
    values = chips.images[at][:, bands].transpose(1, 0, 2, 3).reshape(3, -1)
    eight_bit = values.dtype == np.uint8
    values = values[:, np.isfinite(values).all(axis=0)].astype(np.float64)
    if values.size and not eight_bit:  # bytes with something missing are float32 too
        eight_bit = bool((values % 1 == 0).all() and values.min() >= 0 and 1 < values.max() <= 255)
    if eight_bit or not values.size:
        return Stretch(bands, np.zeros(3), np.full(3, 255.0), "")
    low, high = np.percentile(values, PERCENTILES, axis=1)
    return Stretch(bands, low, high, ", colours from the 2nd to the 98th percentile of the set")


def _shown(bands: Sequence[Band]) -> list[int]:
    """Places of red, green and blue, else of the first three bands, else of the first one."""
    named = [
        next((i for i, band in enumerate(bands) if name in (band.common_name, band.name.lower())), None)
        for name in ("red", "green", "blue")
    ]
    found = [i for i in named if i is not None]
    return found if len(found) == 3 else [0, 1, 2] if len(bands) >= 3 else [0, 0, 0]


# -- the page ----------------------------------------------------------------------------------


def _page(
    pictures: Sequence[np.ndarray],
    names: Sequence[str],
    captions: Sequence[str],
    *,
    title: str,
    words: str,
    columns: int,
    side: int,
) -> Image:
    """A page: title, a line of words, and rows of images with one or two lines below each."""
    from PIL import Image, ImageDraw

    width = columns * (side + GAP) - GAP + 2 * MARGIN
    lines = _wrapped(title, _font(TITLE, bold=True), width - 2 * MARGIN)
    size = _fitting([*names, *captions], side)
    below = round((1 + bool(captions)) * size * LINE) + 4
    top = MARGIN + round(len(lines) * TITLE * LINE + NAME * LINE) + GAP
    height = top + -(-len(pictures) // columns) * (side + below + GAP) - GAP + MARGIN
    sheet = Image.new("RGB", (width, height if pictures else top + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + i * TITLE * LINE), line, INK, _font(TITLE, bold=True))
    draw.text((MARGIN, MARGIN + len(lines) * TITLE * LINE), words, FAINT, _font(NAME))
    for i, (colours, name) in enumerate(zip(pictures, names, strict=True)):
        x = MARGIN + i % columns * (side + GAP)
        y = top + i // columns * (side + below + GAP)
        sheet.paste(_resized(colours, side), (x, y))
        draw.rectangle((x - 1, y - 1, x + side, y + side), outline=BORDER)
        _centred(draw, name, x, y + side + 4, side, size, INK)
        if captions:
            _centred(draw, captions[i], x, y + side + 4 + round(size * LINE), side, size, FAINT)
    return sheet


def _resized(colours: np.ndarray, side: int) -> Image:
    """An image brought to the side of a sheet: small ones by whole pixels, large ones by means."""
    from PIL import Image

    how = Image.Resampling.NEAREST if len(colours) < side else Image.Resampling.BOX
    return Image.fromarray(colours).resize((side, side), how)


@cache
def _font(size: int, *, bold: bool = False) -> FreeTypeFont:
    """The letters that come with matplotlib."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / name, size)


def _fitting(texts: Sequence[str], width: int) -> int:
    """The largest size of letters in which all texts are no wider than an image."""
    for size in range(NAME, SMALLEST, -1):
        if all(_font(size).getlength(text) <= width for text in texts):
            return size
    return SMALLEST


def _centred(draw: ImageDraw, text: str, x: int, y: int, width: int, size: int, colour: str) -> None:
    """A line below an image; of one that is too long the middle is left out."""
    font, shown, kept = _font(size), text, len(text)
    while font.getlength(shown) > width and kept > 2:
        kept -= 1
        shown = f"{text[: -(-kept // 2)]}…{text[len(text) - kept // 2 :]}"
    draw.text((x + (width - font.getlength(shown)) / 2, y), shown, colour, font)


def _wrapped(text: str, font: FreeTypeFont, width: int) -> list[str]:
    """Lines of a title that fit the page."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
