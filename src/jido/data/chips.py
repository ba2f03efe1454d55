"""Small images of one size with a class each: what scene classification learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from jido.data.patches import band_moments
from jido.data.tiles import batches
from jido.geo import Band
from jido.geo.radiometry import Radiometry


class Images(Protocol):
    """Images (N, C, S, S) that are read from files when they are indexed, along the first axis alone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, S, S)."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers when read."""

    @property
    def size(self) -> int:
        """How many numbers all images hold."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any) -> np.ndarray: ...

    def view(self, which: Any) -> Images:
        """Some of the images, still unread."""


@dataclass(frozen=True, eq=False)
class Chips:
    """N images of S x S pixels.

    Args:
        images: (N, C, S, S) in the number type of the files; float32 with NaN where data is missing. In
            memory, or read when indexed.
        label: (N,) int64 place of the class in ``classes``; -1 where nobody has said one.
        name: (N,) path of each image as in its folder or archive, ``Forest/Forest_1.jpg``.
        classes: names of the classes, in alphabetical order.
        bands: the C bands.
        lonlat: (N, 2) longitude and latitude of the middle of each image in degrees (WGS 84), NaN where
            unknown; ``None`` where no image has any.
        pixel_m: height and width of a pixel in metres, ``None`` where nobody knows.
        radiometry: what the numbers of the images mean, ``None`` where nobody knows.
        notes: what was found or left out on the way, a sentence each.
    """

    images: np.ndarray | Images
    label: np.ndarray
    name: np.ndarray
    classes: tuple[str, ...]
    bands: tuple[Band, ...]
    lonlat: np.ndarray | None = None
    pixel_m: tuple[float, float] | None = None
    radiometry: Radiometry | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """Side S of an image in pixels."""
        return self.images.shape[-1]

    def subset(self, which: np.ndarray) -> Chips:
        """Some of the images, by mask or place, in memory or still unread as here; the classes stay."""
        lonlat = None if self.lonlat is None else self.lonlat[which]
        images = self.images[which] if isinstance(self.images, np.ndarray) else self.images.view(which)
        return replace(self, images=images, label=self.label[which], name=self.name[which], lonlat=lonlat)

    def moments(self, which: np.ndarray, *, at_once: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) float32 of each band over the pixels with data.

        Args:
            which: places of the images that count.
            at_once: images of which float32 copies are in memory.
        """
        return band_moments((self.images[some] for some in batches(which, at_once)), len(self.bands))
