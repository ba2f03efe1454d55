"""Where a band comes from and what is said there of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What a file, or the catalogue that names it, says of a band.

    Args:
        image: name of the image; bands with the same name were made together.
        place: full path or address of the file.
        tags: all that is said, key -> text.
        unit: as given, else empty.
        dtype: of the numbers on disk, empty when scale and offset are applied.
        without_offset: an offset that the tags tell of was taken away, on disk or on reading.
    """

    image: str
    place: str
    tags: Mapping[str, str]
    unit: str
    dtype: str
    without_offset: bool
