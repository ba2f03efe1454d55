"""Augmentation of whole batches at once."""

from __future__ import annotations

import torch
from torch import Tensor


def dihedral(images: Tensor, targets: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image with its target turned and mirrored: one of the 8 symmetries of the square (D4).

    Args:
        images: (B, C, S, S).
        targets: (B, K, S, S).
        generator: of the draws, on the CPU.
    """
    flags = torch.rand(3, len(images), generator=generator).to(images.device) < 0.5
    for flag, axes in zip(flags[:2, :, None, None, None], (2, 3), strict=True):
        images, targets = (torch.where(flag, x.flip(axes), x) for x in (images, targets))
    turned = flags[2, :, None, None, None]
    images, targets = (torch.where(turned, x.transpose(2, 3), x) for x in (images, targets))
    return images, targets
