"""Attention inside scene nets: which channels and which places count. All keep the shape (B, C, h, w)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """A weight for each channel, from the means of all (Hu et al. 2018, doi 10.1109/CVPR.2018.00745).

    Args:
        channels: C.
        reduction: C over the number of hidden channels.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Channels times their weights 0..1."""
        return x * self.weigh(x.mean((2, 3), keepdim=True))


class CoordAtt(nn.Module):
    """A weight for each row and each column of a channel (Hou et al. 2021, doi 10.1109/CVPR46437.2021.01350).

    Args:
        channels: C.
        reduction: C over the number of hidden channels.
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.mix = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)
        )
        self.rows = nn.Conv2d(hidden, channels, 1)
        self.columns = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels times the weights 0..1 of their row and of their column."""
        height = x.shape[2]
        strips = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], dim=2)
        mixed = self.mix(strips)  # (B, hidden, h + w, 1)
        rows = self.rows(mixed[:, :, :height]).sigmoid()
        columns = self.columns(mixed[:, :, height:]).sigmoid().transpose(2, 3)
        return x * rows * columns


class CBAM(nn.Module):
    """Weights of channels, then of places (Woo et al. 2018, doi 10.1007/978-3-030-01234-2_1).

    Args:
        channels: C.
        reduction: C over the number of hidden channels.
        kernel: side in pixels of what weighs a place, odd.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.channels = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )
        self.places = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels times the weight of their channel and of their place."""
        pooled = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = x * (self.channels(pooled[0]) + self.channels(pooled[1])).sigmoid()
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * self.places(seen).sigmoid()


class Balanced(nn.Module):
    """Coordinate attention and squeeze-excitation, weighed against each other (Vir 2025, arXiv 2510.15527).

    ``a * CoordAtt(x) + (1 - a) * SE(x)`` with ``a = sigmoid(alpha)``, one number per block.

    Args:
        channels: C.
        learned: whether ``alpha`` is.
    """

    def __init__(self, channels: int, *, learned: bool = True) -> None:
        super().__init__()
        self.coordinate, self.squeeze = CoordAtt(channels), SqueezeExcite(channels)
        self.alpha = nn.Parameter(torch.tensor(0.5), requires_grad=learned)

    @property
    def weight(self) -> float:
        """``a``, the weight of coordinate attention; .622 at first."""
        return float(self.alpha.detach().sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """The weighed sum of both."""
        a = self.alpha.sigmoid()
        return a * self.coordinate(x) + (1 - a) * self.squeeze(x)


class Fixed(Balanced):
    """:class:`Balanced` with the weight that it begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, learned=False)


class NoAttention(nn.Identity):
    """Nothing is weighed."""

    def __init__(self, channels: int) -> None:
        super().__init__()


ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "none": NoAttention,
    "squeeze": SqueezeExcite,
    "coordinate": CoordAtt,
    "cbam": CBAM,
    "balanced": Balanced,
    "fixed": Fixed,
}
"""Name in a config -> what is made for a number of channels."""


class DropBlock(nn.Module):
    """Squares of all channels are set to 0 in training (Ghiasi et al. 2018, arXiv 1810.12890).

    The rest is scaled so that the mean stays. One mask for an image, as in the scene paper.

    Args:
        share: of the pixels that is dropped, about; 0..1.
        size: side of the squares in pixels, odd; the largest odd one that fits where it does not.
    """

    def __init__(self, share: float, *, size: int = 7) -> None:
        super().__init__()
        self.share, self.size = share, size

    def forward(self, x: Tensor) -> Tensor:
        """The images with holes in training, unchanged otherwise."""
        if not self.training or self.share == 0:
            return x
        side = min(self.size, (min(x.shape[2:]) - 1) // 2 * 2 + 1)
        centres = torch.rand(len(x), 1, *x.shape[2:], device=x.device) < self.share / side**2
        holes = nn.functional.max_pool2d(centres.float(), side, stride=1, padding=side // 2)
        kept = 1 - holes
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)
