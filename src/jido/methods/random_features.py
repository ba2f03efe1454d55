"""Random convolutional features: tiles described by patches of other tiles, without any training.

Rolf et al. 2021 (MOSAIKS), Nature Communications 12:4392, doi 10.1038/s41467-021-24638-z. Small patches of
the images are the filters: drawn at random, whitened, laid over every pixel of a tile, cut off at a threshold
on both sides, and averaged over the tile. A ridge regression on them is the floor that a learned
representation has to beat. Both halves are kept: relu(w * x - 1) and relu(-w * x - 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches
from jido.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

BIAS = 1.0
"""Threshold of an answer."""

ZCA_BIAS = 0.001
"""Added to the eigenvalues of the covariance of the patches: directions without variance are not blown up."""

LEAST_NORM = 1e-8
"""Length of a patch without its mean below which it shows nothing, and is not made longer."""

FILTERS_AT_ONCE = 64
"""What they answer to a tile then stays in a processor's cache."""

IMAGES_AT_ONCE = 256

RANGE_FROM = 1000
"""Images from which the usual range of numbers is taken."""


@dataclass(frozen=True, eq=False)
class RandomFilters:
    """Filters with all that new images need to get the same features.

    Args:
        weights: (K, C, k, k) float32, for images in the range 0..1.
        low: (C,) float32, what becomes 0.
        high: (C,) float32, what becomes 1.
    """

    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is to be saved."""
        return {"weights": self.weights, "low": self.low, "high": self.high}

    @classmethod
    def of_arrays(cls, held: Mapping[str, np.ndarray]) -> RandomFilters:
        """The opposite of :meth:`arrays`."""
        return cls(held["weights"], held["low"], held["high"])


def draw_filters(
    chips: Chips, *, which: np.ndarray | None = None, count: int = 512, size: int = 3, seed: int = 0
) -> RandomFilters:
    """Filters from patches at random places of random images.

    Bytes are divided by 255; other numbers are brought to 0..1 by the 1st and 99th percentile of their band.

    Args:
        chips: images.
        which: places of the images that are drawn from; all without it.
        count: K; there will be 2 K features.
        size: side k of a patch in pixels.
        seed: of the draws.

    Raises:
        ImageError: when images are smaller than a patch, or have hardly any pixel with data.
    """
    if chips.side < size:
        raise ImageError(
            f"Images of {chips.side} pixels hold no patch of {size}: give larger images or a smaller size."
        )
    places = np.arange(len(chips)) if which is None else which
    low, high = _range(chips, places)
    patches = _patches(chips, places, count, size, np.random.default_rng(seed))
    span = (high - low)[:, None, None]
    return RandomFilters(whitened((patches - low[:, None, None]) / span), low, high)


def whitened(patches: np.ndarray, *, zca_bias: float = ZCA_BIAS) -> np.ndarray:
    """Patches as filters float32 (K, C, k, k): their answer is the product of what is whitened on both sides.

    Each patch is brought to mean 0 and length 1; with C = V E V' the covariance of the result and Z = V (E +
    ``zca_bias``)^-1/2 V', the filter is Z Z' times the patch.

    Args:
        patches: (K, C, k, k), finite.
        zca_bias: added to the eigenvalues.
    """
    flat = patches.reshape(len(patches), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(length < LEAST_NORM, 1, length)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    twice = (vectors / (np.maximum(values, 0) + zca_bias)) @ vectors.T  # Z Z'
    return (flat @ twice).reshape(patches.shape).astype(np.float32)


def random_features(chips: Chips, filters: RandomFilters, *, which: np.ndarray | None = None) -> np.ndarray:
    """What filters answer to images, averaged over each of them: float32 (n, 2 K).

    The first K are relu(answer - 1), the others relu(-answer - 1). Pixels whose patch lacks data have no say;
    an image without any whole patch has NaN.

    Args:
        chips: images with the bands of those that the filters are from.
        filters: K of them.
        which: places of the images; all without it.

    Raises:
        ImageError: when the images have another number of bands, or are smaller than a filter.
    """
    import torch

    bands, size = filters.weights.shape[1:3]
    if len(chips.bands) != bands or chips.side < size:
        raise ImageError(
            f"The filters are of {bands} bands and {size} pixels, the images have {len(chips.bands)} bands "
            f"and {chips.side} pixels: give images like those that the filters were drawn from."
        )
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = torch.from_numpy(filters.weights).flatten(1).to(place)
    low, span = (part[:, None, None] for part in (filters.low, filters.high - filters.low))
    places = np.arange(len(chips)) if which is None else which
    found = np.empty((len(places), 2 * len(filters)), np.float32)
    for rows in batches(np.arange(len(places)), IMAGES_AT_ONCE):
        images = (chips.images[places[rows]].astype(np.float32) - low) / span
        with torch.inference_mode():
            seen = [_answers(one, weights, size) for one in torch.from_numpy(images).to(place)]
        found[rows] = torch.stack(seen).cpu().numpy()
    return found


def _answers(image: Tensor, weights: Tensor, size: int) -> Tensor:
    """Mean answers (2 K,) of filters (K, C k k) to an image (C, S, S)."""
    import torch

    patches = torch.nn.functional.unfold(image[None], size)[0]  # (C k k, pixels)
    if image.isnan().any():
        patches = patches[:, patches.isfinite().all(0)]
    above, below = [], []
    for some in weights.split(FILTERS_AT_ONCE):
        answers = some @ patches
        above.append(answers.clamp(min=BIAS).mean(1) - BIAS)  # the mean of relu(answer - 1)
        below.append(-BIAS - answers.clamp(max=-BIAS).mean(1))
    return torch.cat([*above, *below])


def _range(chips: Chips, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What becomes 0 and 1 in each band, (C,) float32 each."""
    bands = len(chips.bands)
    if chips.images.dtype == np.uint8:
        return np.zeros(bands, np.float32), np.full(bands, 255, np.float32)
    some = chips.images[places[:: max(len(places) // RANGE_FROM, 1)]].astype(np.float32)
    if not np.isfinite(some).any(axis=(0, 2, 3)).all():
        raise ImageError("A band of the images has no data at all: leave it out.")
    low, high = np.nanpercentile(some, (1, 99), axis=(0, 2, 3)).astype(np.float32)
    return low, np.where(high > low, high, low + 1)


def _patches(chips: Chips, places: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Patches (count, C, k, k) float32 without gaps; places with gaps are drawn again."""
    free = chips.side - size + 1
    found: list[np.ndarray] = []
    for _ in range(10 * count):
        image = places[rng.integers(len(places), size=1)]
        row, column = rng.integers(free, size=2).tolist()
        patch = chips.images[image][0, :, row : row + size, column : column + size]
        if np.isfinite(patch).all():
            found.append(patch.astype(np.float32))
        if len(found) == count:
            return np.stack(found)
    raise ImageError(
        f"Of {10 * count} patches that were drawn only {len(found)} have data in all bands: leave out images "
        "that are mostly empty."
    )
