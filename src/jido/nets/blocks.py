"""What several nets are made of."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


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


class ShortCut(nn.Module):
    """Two convolutions and a short cut around them that may change the number of channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = double_conv(in_channels, out_channels)
        self.around = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, (B, out_channels, h, w)."""
        return self.around(x) + self.body(x)


def folded(net: Net) -> Net:
    """A copy of a net in evaluation that computes the same without its batch normalisations.

    Each is folded into the convolution before it (Jacob et al. 2018, section 3.2, doi
    10.1109/CVPR.2018.00286), which saves a pass over memory; answers differ by rounding only.
    """
    quick = copy.deepcopy(net)
    for module in quick.modules():
        if isinstance(module, nn.Sequential):
            for i, (conv, norm) in enumerate(pairwise(list(module))):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return quick
