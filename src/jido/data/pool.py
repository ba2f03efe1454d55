"""Patches without labels: what learning without labels learns from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.patches import band_moments
from jido.data.stack import Stack, stack_of
from jido.data.tiles import batches

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = 20_000
"""Patches from which mean and spread are taken."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Patches without labels.

    Args:
        images: (N, dates * C, S, S), NaN = no data; an array in memory or whatever is indexed like one.
        stack: of which bands they consist.
        moments: mean and standard deviation of each band, (dates * C,) each.
    """

    images: Any
    stack: Stack
    moments: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, images: Any, stack: Stack, *, which: np.ndarray | None = None) -> Pool:
        """Patches with their own mean and standard deviation, of up to 20,000 of them.

        Args:
            images: as above.
            stack: as above.
            which: places of the patches that count; all without it.
        """
        places = np.arange(len(images)) if which is None else which
        some = places[:: max(len(places) // MEASURED, 1)]
        return cls(images, stack, band_moments((images[p] for p in batches(some, 512)), images.shape[1]))

    @classmethod
    def of_chips(cls, chips: Chips) -> Pool:
        """Small images, whatever their classes, bands in the order of their sensors; as :meth:`of`.

        Those of HDF5 files are read as they are needed, unless their bands change places.
        """
        stack, images = stack_of(chips.bands), chips.images
        if stack.order != tuple(range(len(chips.bands))):
            images = np.asarray(images)[:, stack.order]
        return cls.of(images, stack)

    def __len__(self) -> int:
        return len(self.images)

    def patches(self, which: np.ndarray) -> Tensor:
        """Normalised float32 (n, dates, C, S, S), 0 where there is no data."""
        import torch

        values = torch.from_numpy(np.asarray(self.images[which], dtype=np.float32))
        mean, sd = (torch.from_numpy(part)[:, None, None] for part in self.moments)
        values = ((values - mean) / sd).nan_to_num_(0.0, posinf=0.0, neginf=0.0)
        return values.view(len(values), self.stack.dates, -1, *values.shape[2:])

    @property
    def side(self) -> int:
        """Side S of a patch in pixels."""
        return self.images.shape[-1]

    @cached_property
    def key(self) -> str:
        """Hash of the patches, of which a thousand or two are looked at, and of how they are normalised."""
        digest = hashlib.blake2b(f"{self.images.shape} {self.stack.text}".encode())
        digest.update(np.concatenate(self.moments).tobytes())
        for some in batches(np.arange(0, len(self), max(len(self) // 1000, 1)), 256):
            digest.update(np.ascontiguousarray(self.images[some]).data)
        return digest.hexdigest()
