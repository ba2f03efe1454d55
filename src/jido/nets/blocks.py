"""What several nets are made of."""

from __future__ import annotations

from torch import Tensor, nn


class Net(nn.Module):
    """Takes (B, ``in_channels``, H, W) and gives logits.

    They are (B, ``out_channels``, H, W) when it is ``per_pixel``, else (B, ``out_channels``). H and W
    must be divisible by ``divisor``.
    """

    in_channels: int
    out_channels: int
    divisor: int
    per_pixel: bool


def conv_bn(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution 3 x 3, batch normalisation, ReLU; height and width divided by ``stride``."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two of them, as in a U-Net."""
    return nn.Sequential(conv_bn(in_channels, out_channels), conv_bn(out_channels, out_channels))


class Residual(nn.Module):
    """What went in plus two convolutions of it (He et al. 2016, doi 10.1109/CVPR.2016.90)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = double_conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, (B, C, h, w)."""
        return x + self.body(x)
