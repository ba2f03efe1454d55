"""Images with a class each and how a training uses them, on the device that learns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RANGE_FROM = 1000
"""Images from which the usual range of numbers is taken."""


@dataclass(eq=False)
class SceneData:
    """Images and how they are used.

    Args:
        chips: all of them.
        train: places of the training images.
        validation: places of those on which choices are made; may be none.
        mean: of each band over the training images, (C,).
        sd: standard deviation of each band, (C,).
    """

    chips: Chips
    train: np.ndarray
    validation: np.ndarray
    mean: np.ndarray = field(init=False)
    sd: np.ndarray = field(init=False)
    _stock: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.mean, self.sd = self.chips.moments(self.train)

    def hold(self, device: torch.device) -> None:
        """Keep all images on a GPU where they fill less than a third of its free memory as float32."""
        import torch

        size = 4 * self.chips.images.size
        if device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] // 3:
            self._stock = self._of(np.arange(len(self.chips))).to(device)

    def raw(self, which: np.ndarray, device: torch.device) -> Tensor:
        """Images (n, C, S, S) uint8, or float32 where they are of any other type."""
        import torch

        if self._stock is not None:
            return self._stock[torch.from_numpy(which).to(device)]
        return self._of(which).to(device)

    def _of(self, which: np.ndarray) -> Tensor:
        import torch

        images = self.chips.images[which]
        return torch.from_numpy(images if images.dtype == np.uint8 else images.astype(np.float32))

    def normalised(self, images: Tensor) -> Tensor:
        """Float32 with mean 0 and standard deviation 1 in every band, 0 where there is no data."""
        mean, sd = self._on(images.device, self.mean, self.sd)
        values = (images - mean).div_(sd)
        return values.nan_to_num_(0.0) if images.is_floating_point() else values

    def ranged(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images with their usual range brought to 0..1, and mean and standard deviation there.

        The range is 0..255 of bytes, else the 1st to 99th percentile of each band; no data is the mean.
        """
        low, high, mean, sd = self._on(images.device, *self._range, self.mean, self.sd)
        values = images.float()
        if images.is_floating_point():
            values = values.where(values.isfinite(), mean)
        return (values - low) / (high - low), (mean - low) / (high - low), sd / (high - low)

    @cached_property
    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        images, bands = self.chips.images, len(self.mean)
        if images.dtype == np.uint8:
            return np.zeros(bands, np.float32), np.full(bands, 255, np.float32)
        some = images[self.train[:: max(len(self.train) // RANGE_FROM, 1)]].astype(np.float32)
        low, high = np.nanpercentile(some, (1, 99), axis=(0, 2, 3)).astype(np.float32)
        return low, np.where(high > low, high, low + 1)

    @property
    def in_colour(self) -> bool:
        """Whether the bands are bytes of red, green and blue."""
        names = [band.name for band in self.chips.bands]
        return names == ["red", "green", "blue"] and self.chips.images.dtype == np.uint8

    def _on(self, device: torch.device, *values: np.ndarray) -> list[Tensor]:
        """Values of bands as (C, 1, 1) on a device."""
        import torch

        return [torch.from_numpy(part).to(device)[:, None, None] for part in values]

    @cached_property
    def key(self) -> str:
        """Hash of the images and of how they are used, by which a checkpoint is known again."""
        digest = hashlib.blake2b(json.dumps(self.chips.classes).encode())
        for array in (self.chips.label, self.train, self.validation):
            digest.update(np.ascontiguousarray(array).data)
        for some in batches(np.concatenate([self.train, self.validation]), 1024):
            digest.update(np.ascontiguousarray(self.chips.images[some]).data)
        return digest.hexdigest()
