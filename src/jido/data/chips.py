"""Small images of one size with a class each: what scene classification learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jido.data.patches import band_moments
from jido.data.tiles import batches
from jido.geo import Band
from jido.geo.radiometry import Radiometry


@dataclass(frozen=True, eq=False)
class Chips:
    """N images of S x S pixels in memory.

    Args:
        images: (N, C, S, S) in the number type of the files; float32 with NaN where data is missing.
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

    images: np.ndarray
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
        """Some of the images, by mask or place; the classes stay."""
        lonlat = None if self.lonlat is None else self.lonlat[which]
        chosen = {name: getattr(self, name)[which] for name in ("images", "label", "name")}
        return replace(self, **chosen, lonlat=lonlat)

    def moments(self, which: np.ndarray, *, at_once: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) float32 of each band over the pixels with data.

        Args:
            which: places of the images that count.
            at_once: images of which float32 copies are in memory.
        """
        return band_moments((self.images[some] for some in batches(which, at_once)), len(self.bands))
