"""U-Net for a class per pixel, as in the two-stage ginseng paper.

Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28, with padding so that the size is kept, batch
normalisation, and He initialisation (He et al. 2015, doi 10.1109/ICCV.2015.123); no dropout.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from jido.nets.blocks import Net, ShortCut, double_conv


class UNet(Net):
    """Encoder and decoder of ``depth`` steps with concatenated skips; logits for every pixel.

    Args:
        in_channels: bands.
        out_channels: classes, or 1 for the logit of a target.
        depth: halvings of the resolution.
        width: channels at full resolution; they double with every halving.
    """

    per_pixel = True
    block: Callable[[int, int], nn.Module] = staticmethod(double_conv)

    def __init__(self, in_channels: int, out_channels: int, *, depth: int = 3, width: int = 16) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.divisor = in_channels, out_channels, 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(map(self.block, [in_channels, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in reversed(widths[:-1]))
        self.merge = nn.ModuleList(self.block(2 * n, n) for n in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, H, W) of (B, in_channels, H, W); H and W divisible by ``divisor``."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))  # (B, 2 n, h, w)
        return self.head(x)


class ResUNet(UNet):
    """A U-Net whose blocks have short cuts (Zhang et al. 2018, doi 10.1109/LGRS.2018.2802944)."""

    block = ShortCut
