"""A compact net for the class of a small window, quick enough to train on a laptop.

The 32-64-128 recipe: no convolution at full resolution (pixel-unshuffle stem), stride-2
convolutions with a residual block after each, global mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from jido.nets.blocks import Net, Residual, conv_bn


class PatchNet(Net):
    """Logits of the class of a window: 0.5 million parameters for 10 bands, 17 classes, width 32.

    Args:
        in_channels: bands.
        num_classes: classes.
        width: channels of the stem; the two stages after it have two and four times as many.
    """

    per_pixel = False
    divisor = 2

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, num_classes
        self.features = nn.Sequential(
            nn.PixelUnshuffle(self.divisor),
            conv_bn(in_channels * self.divisor**2, width),
            conv_bn(width, 2 * width, stride=2),
            Residual(2 * width),
            conv_bn(2 * width, 4 * width, stride=2),
            Residual(4 * width),
        )
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of windows (B, in_channels, H, W); H and W even."""
        return self.head(self.features(x).mean(dim=(2, 3)))
