"""Nets that give a whole image one class: the three of the balanced-attention paper, and one for laptops.

Vir 2025, arXiv 2510.15527. All are of two parts, ``features`` (B, C, h, w) and ``head``, so that
one can look at what a class was seen in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jido.errors import ModelError
from jido.nets.attention import ATTENTION, CBAM, Balanced, DropBlock
from jido.nets.blocks import Net, conv_bn, double_conv


class SceneNet(Net):
    """A class for an image of any size from ``least`` pixels on.

    Args:
        in_channels: bands.
        out_channels: classes.
    """

    per_pixel, divisor = False, 1
    least = 8
    features: nn.Module
    head: nn.Module

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels) of images (B, in_channels, S, S)."""
        if min(x.shape[2:]) < self.least:
            raise ModelError(
                f"Images of {x.shape[2]} x {x.shape[3]} pixels are too small for this net: give {self.least} "
                "or more, or another net."
            )
        return self.head(self.features(x))

    def fusion(self) -> list[float]:
        """Weight of coordinate attention in each balanced block, from the first; empty without such."""
        return [module.weight for module in self.modules() if isinstance(module, Balanced)]


class ResidualBlock(nn.Module):
    """Convolution, holes, convolution, attention, and a short cut around them.

    Args:
        in_channels: of what comes in.
        out_channels: of what goes out.
        stride: by which height and width are divided.
        attention: one of :data:`~jido.nets.attention.ATTENTION`.
        dropped: share of the pixels that DropBlock takes in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, attention: str, dropped: float = 0.0
    ) -> None:
        super().__init__()
        self.first = conv_bn(in_channels, out_channels, stride=stride)
        self.holes = DropBlock(dropped)
        self.second = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )
        if attention not in ATTENTION:
            raise ModelError(f"There is no attention {attention!r}: use one of {', '.join(ATTENTION)}.")
        self.attention = ATTENTION[attention](out_channels)
        self.around = nn.Sequential()  # nothing is changed
        if stride > 1 or in_channels != out_channels:
            self.around.append(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False))
            self.around.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, out_channels, h / stride, w / stride)."""
        inner = self.attention(self.second(self.holes(self.first(x))))
        return torch.relu(inner + self.around(x))


class CompactNet(SceneNet):
    """Small and quick on processors: half the resolution at once, most work with 64 channels or more.

    64 x 64 pixels are folded into 32 x 32 of four times the bands, then every stage halves them and has
    residual blocks. Width 32 with two stages: .47 M parameters, 51 MMAC for 64 x 64 x 3.

    Args:
        in_channels: bands.
        out_channels: classes.
        width: channels at half resolution; they double with every stage.
        stages: halvings after the first.
        blocks: residual blocks of a stage.
        attention: inside them, one of :data:`~jido.nets.attention.ATTENTION`.

    Raises:
        ModelError: for a net without channels or stages.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 32,
        stages: int = 2,
        blocks: int = 1,
        attention: str = "none",
    ) -> None:
        super().__init__(in_channels, out_channels)
        if min(width, stages) < 1 or blocks < 0:
            raise ModelError(
                f"A net of width {width} with {stages} stages of {blocks} blocks cannot learn: give 1 or "
                "more (blocks: 0 or more)."
            )
        self.least = 2 ** (stages + 2)
        parts: list[nn.Module] = [nn.PixelUnshuffle(2), conv_bn(4 * in_channels, width)]
        for stage in range(stages):
            n = width * 2 ** (stage + 1)
            parts += [conv_bn(n // 2, n, stride=2)]
            parts += [ResidualBlock(n, n, stride=1, attention=attention) for _ in range(blocks)]
        self.features = nn.Sequential(*parts)
        self.head = _pooled(width * 2**stages, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels); an odd row or column is repeated."""
        below, right = x.shape[2] % 2, x.shape[3] % 2
        return super().forward(nn.functional.pad(x, (0, right, 0, below), mode="replicate"))


class BalancedNet(SceneNet):
    """The paper's "12 layers": a stem and 11 residual blocks with both kinds of attention; 97.23 % claimed.

    Args:
        in_channels: bands.
        out_channels: classes.
        attention: one of :data:`~jido.nets.attention.ATTENTION`.
        dropped: share of pixels that DropBlock takes in the last stage; 1/4, 1/2, 3/4 of it before.
        dropout: share of features before the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        attention: str = "balanced",
        dropped: float = 0.2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(in_channels, out_channels)
        parts: list[nn.Module] = [conv_bn(in_channels, 64)]
        before = 64
        for stage, (width, blocks) in enumerate(((64, 3), (128, 3), (256, 3), (512, 2))):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                share = dropped * (stage + 1) / 4
                parts.append(ResidualBlock(before, width, stride=stride, attention=attention, dropped=share))
                before = width
        self.features = nn.Sequential(*parts)
        self.head = _pooled(512, out_channels, dropout=dropout)


class CBAMNet(SceneNet):
    """The paper's second net: double convolutions with CBAM; 95.98 % claimed.

    Args:
        in_channels: bands.
        out_channels: classes.
        dropout: share of features before the last layer.
    """

    least = 32

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float = 0.4) -> None:
        super().__init__(in_channels, out_channels)
        parts: list[nn.Module] = []
        before = in_channels
        for width in (32, 64, 128, 256, 512):
            parts += [double_conv(before, width), *([CBAM(width)] if width > 32 else []), nn.MaxPool2d(2)]
            before = width
        last = nn.Sequential(nn.Conv2d(512, 512, 1, bias=False), nn.BatchNorm2d(512), nn.ReLU(inplace=True))
        self.features = nn.Sequential(*parts, double_conv(512, 512), CBAM(512), last)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(512, 256),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(256, out_channels),
        )


class BaselineNet(SceneNet):
    """The paper's first net: three convolutions and two dense layers; 94.30 % claimed.

    Args:
        in_channels: bands.
        out_channels: classes.
        side: of the images in pixels: its first dense layer has a weight for each place.
        dropout: share of features before the last layer.
    """

    def __init__(self, in_channels: int, out_channels: int, *, side: int = 64, dropout: float = 0.5) -> None:
        super().__init__(in_channels, out_channels)
        self.side = side
        widths = (32, 64, 128)
        parts: list[nn.Module] = []
        for before, width in zip((in_channels, *widths), widths, strict=False):
            parts += [conv_bn(before, width), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*parts)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * (side // 8) ** 2, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(512, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels) of images of ``side`` pixels."""
        if x.shape[2:] != (self.side, self.side):
            raise ModelError(f"This net takes images of {self.side} pixels only, not {x.shape[2]}.")
        return super().forward(x)


def _pooled(channels: int, out_channels: int, *, dropout: float = 0.0) -> nn.Sequential:
    parts = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, out_channels)]
    return nn.Sequential(*parts)
