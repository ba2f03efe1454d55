"""Augmentation of whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence

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


def turned_and_shifted(images: Tensor, *, shift: int, generator: torch.Generator) -> Tensor:
    """Each image turned and mirrored (D4) and moved by up to ``shift`` pixels, mirrored at its rim.

    One look-up of pixels for the whole batch, in the number type of the images, before they become
    floats.

    Args:
        images: (B, C, S, S) of any type, on any device.
        shift: pixels in both directions, fewer than S.
        generator: of the draws, on the CPU.
    """
    side, place = images.shape[-1], images.device
    flips = torch.randint(2, (3, len(images), 1), generator=generator).bool().to(place)
    moved = torch.randint(-shift, shift + 1, (2, len(images), 1), generator=generator).to(place)
    along = torch.arange(side, device=place)
    along = torch.where(flips[:2], along.flip(0), along) + moved  # (2, B, S)
    along = along.abs()
    rows, columns = torch.where(along >= side, 2 * (side - 1) - along, along)
    rows = rows * side
    down, across = torch.where(flips[2], columns, rows), torch.where(flips[2], rows, columns)
    source = (down[:, :, None] + across[:, None, :]).flatten(1)  # (B, S * S)
    flat = images.flatten(2)
    return flat.gather(2, source[:, None].expand_as(flat)).view(images.shape)


def all_symmetries(images: Tensor) -> list[Tensor]:
    """The 8 turned and mirrored views of images (B, C, S, S)."""
    turned = [images.rot90(quarter, (2, 3)) for quarter in range(4)]
    return [view for one in turned for view in (one, one.flip(3))]


def back_from_symmetries(views: Sequence[Tensor]) -> Tensor:
    """Maps (8, B, K, H, W) turned back: the first of them, whatever view it was made from.

    Args:
        views: maps of the views of :func:`all_symmetries`, in their order.
    """
    back = [view.flip(3) if place % 2 else view for place, view in enumerate(views)]
    return torch.stack([one.rot90(-(place // 2), (2, 3)) for place, one in enumerate(back)])


class PaperViews:
    """The augmentation of the scene paper (Vir 2025, arXiv 2510.15527), for whole batches, by kornia.

    Mirrored both ways, turned by up to 90 degrees, brightness, contrast, saturation and hue
    changed, blurred, a rectangle erased. Draws come from torch's own state.

    Args:
        colour: whether the bands are red, green and blue; others are changed in brightness and
            contrast, each apart.
    """

    def __init__(self, *, colour: bool) -> None:
        import kornia.augmentation as ka

        jitter = ka.ColorJitter(0.3, 0.3, 0.3, 0.1, p=1.0) if colour else _bands_changed
        self._steps = [
            ka.RandomHorizontalFlip(p=0.5),
            ka.RandomVerticalFlip(p=0.5),
            ka.RandomRotation(90.0, p=1.0),
            jitter,
            ka.RandomGaussianBlur((3, 3), (0.1, 2.0), p=1.0),
        ]
        self._erase = ka.RandomErasing(p=0.5)

    def __call__(self, images: Tensor, *, mean: Tensor, sd: Tensor) -> Tensor:
        """Changed and normalised images.

        Args:
            images: (B, C, S, S) float32, 0..1.
            mean: (C, 1, 1) of each band over the training images, 0..1.
            sd: (C, 1, 1) standard deviation of each band.
        """
        for step in self._steps:
            images = step(images)
        return self._erase((images - mean) / sd)


def _bands_changed(images: Tensor) -> Tensor:
    """Brightness and contrast of each band of each image changed by up to .3."""
    gain, offset = (torch.rand(2, *images.shape[:2], 1, 1, device=images.device) * 2 - 1) * 0.3
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * (1 + gain) + mean * (1 + offset)
