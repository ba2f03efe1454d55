"""When an image was taken: from its name, or from what is said in the file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from jido.errors import ImageError
from jido.io.products import find_product

DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
"""A day in a name: ``20210705``, ``2021-07-05``. The first one of a product's name is that of sensing."""

TAGS = re.compile(r"(?i)SENSING|ACQUI")
"""Tags that tell when it was seen, not when it was processed."""


def image_day(path: Path) -> str:
    """The day on which an image was taken, ISO; empty when neither name nor file tell it."""
    if found := day_in(path.name):
        return found
    if (product := find_product(path)) is not None:
        return product.day or day_in(product.files[0].name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture has days too
            with rasterio.open(path) as source:
                tags: Mapping[str, str] = source.tags()
    except RasterioError:
        return ""  # whoever opens it says what is wrong
    return next(
        (found for key, text in sorted(tags.items()) if TAGS.search(key) and (found := day_in(text))), ""
    )


def day_in(text: str) -> str:
    """The first day of the calendar in a text, ISO; empty without one."""
    for found in DAY.finditer(text):
        try:
            return date(int(found[1]), int(found[3]), int(found[4])).isoformat()
        except ValueError:
            continue
    return ""


def image_days(paths: Sequence[Path], given: Sequence[str]) -> list[str]:
    """The day of every image, ISO.

    Args:
        paths: the images.
        given: their days in the same order; empty to read them from the images.

    Raises:
        ImageError: when there are more or fewer days than images, one is none, or an image tells none.
    """
    if not given:
        days = [image_day(path) for path in paths]
        if lost := [path for path, day in zip(paths, days, strict=True) if not day]:
            raise ImageError(
                f"{lost[0]} does not say when it was taken: give --dates 2021-07-05,... in the order of the "
                "images."
            )
        return days
    if len(given) != len(paths):
        raise ImageError(f"{len(paths)} images were given but {len(given)} dates: give one for each.")
    try:
        return [date.fromisoformat(text.strip()).isoformat() for text in given]
    except ValueError as err:
        raise ImageError(f"A date is not written as 2021-07-05 ({err}).") from err
