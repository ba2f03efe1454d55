"""Square tiles of images with a binary mask, held on disk as plain arrays: what segmentation learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jido.data.patches import band_moments
from jido.geo import Band
from jido.geo.radiometry import Radiometry
from jido.labels import Labels

POSITIVE_SHARE = 0.001
"""A tile with more target than this is a positive one: 0.1 % of its pixels, as in the ginseng paper."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """N tiles of S x S pixels; arrays may be maps of files (``np.load(..., mmap_mode="r")``).

    Args:
        images: (N, C, S, S) in the number type of the files; what lies outside an image or has no
            data holds any number.
        masks: (N, S * S / 8) uint8, packed bits of the rows (``np.packbits``), 1 = target.
        valid: as ``masks``, 1 = the pixel has data in all bands; ``None`` where all have.
        source: (N,) name of the image that each tile is from.
        place: (N, 2) row and column of its first pixel in that image.
        group: (N,) what must not be split between training and test.
        group_as_named: (N,) the same before groups that show the same ground were joined; ``None``
            where none were.
        bands: the C bands.
        pixel_m: height and width of a pixel in metres, ``None`` where the images have no place on Earth.
        radiometry: what the numbers of the images mean, ``None`` where nobody knows.
        labels: the polygons that the masks were made from, ``None`` for masks.
        notes: what was found or left out on the way, a sentence each.
    """

    images: np.ndarray
    masks: np.ndarray
    valid: np.ndarray | None
    source: np.ndarray
    place: np.ndarray
    group: np.ndarray
    bands: tuple[Band, ...]
    group_as_named: np.ndarray | None = None
    pixel_m: tuple[float, float] | None = None
    radiometry: Radiometry | None = None
    labels: Labels | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """Side S of a tile in pixels."""
        return self.images.shape[-1]

    def mask(self, which: np.ndarray) -> np.ndarray:
        """Masks (n, S, S) bool of some tiles, given by their places."""
        return unpacked(self.masks[which], self.side)

    def pixels(self, which: np.ndarray) -> np.ndarray:
        """Images (n, C, S, S) float32 of some tiles, NaN = no data."""
        images = self.images[which].astype(np.float32)
        if self.valid is not None:
            known = unpacked(self.valid[which], self.side)
            np.copyto(images, np.float32(np.nan), where=~known[:, None])
        return images

    def shares(self) -> np.ndarray:
        """Share (N,) of target among the pixels of each tile."""
        return np.bitwise_count(self.masks).sum(axis=1, dtype=np.int64) / self.side**2

    def positive(self, share: float = POSITIVE_SHARE) -> np.ndarray:
        """Bool (N,): tiles with more target than this share of their pixels."""
        return self.shares() > share

    def subset(self, which: np.ndarray) -> Tiles:
        """Some of the tiles, by mask or place, in memory; keeps the files as they are."""
        names = ("images", "masks", "valid", "source", "place", "group", "group_as_named")
        arrays = {name: getattr(self, name) for name in names}
        chosen: dict[str, Any] = {name: None if one is None else one[which] for name, one in arrays.items()}
        return replace(self, **chosen)

    def moments(self, which: np.ndarray | None = None, *, at_once: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) float32 of each band over all pixels with data.

        Args:
            which: places of the tiles that count; all without it.
            at_once: tiles in memory.
        """
        places = np.arange(len(self)) if which is None else which
        return band_moments((self.pixels(some) for some in batches(places, at_once)), len(self.bands))


def packed(masks: np.ndarray) -> np.ndarray:
    """Bits (n, S * S / 8) uint8 of bool masks (n, S, S); S * S is divisible by 8."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def unpacked(bits: np.ndarray, side: int) -> np.ndarray:
    """Bool masks (n, side, side) of packed bits (n, side * side / 8)."""
    return np.unpackbits(bits, axis=1).reshape(-1, side, side).view(bool)


def batches(places: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Places in groups of ``size``, in order; the last one may be smaller."""
    for start in range(0, len(places), size):
        yield places[start : start + size]


def draw_epoch(
    positive: np.ndarray, *, seed: tuple[int, ...], ratio: float | None = 2.0, size: int | None = None
) -> np.ndarray:
    """Places (size,) of the tiles of one epoch, drawn from the seed alone.

    Positive tiles are drawn ``ratio`` times as often as negative ones, whatever their numbers, with
    replacement; without a ratio, or where there is one kind only, every tile comes once.

    Args:
        positive: bool (N,).
        seed: of the draw, for instance (seed of the training, epoch).
        ratio: positive to negative tiles; ``None`` for all tiles in a random order.
        size: number of draws; N without it.
    """
    rng = np.random.default_rng(seed)
    n, count = len(positive), np.count_nonzero(positive)
    if ratio is None or count in (0, n):
        order = rng.permutation(n)
        return order if size is None else np.resize(order, size)
    weight = np.where(positive, ratio / count, 1 / (n - count)) / (ratio + 1)
    return rng.choice(n, size=size or n, p=weight)
