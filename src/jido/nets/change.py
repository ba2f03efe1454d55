"""What has changed between two dates: one encoder sees both, and what it sees is compared.

After Kim et al. 2022, Frontiers in Environmental Science 10:969758: features of before and of after, and
their difference, side by side. :class:`ChangePatchNet` gives a grid cell its class, as there;
:class:`ChangeUNet` gives every pixel one. Bands come as one stack, those before, then those after.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle

from jido.errors import ModelError
from jido.nets.blocks import Net, conv_bn, double_conv

WIDEST = 8
"""Channels double with every halving of the resolution, up to this many times the first."""


class _Encoder(nn.Module):
    """Features of one date at ``depth`` resolutions, from a half of the image's on.

    Four neighbouring pixels become bands of one: full resolution would cost four times as much.
    """

    def __init__(self, bands: int, *, depth: int, width: int) -> None:
        super().__init__()
        self.widths = [width * min(2**level, WIDEST) for level in range(depth)]
        self.levels = nn.ModuleList(map(double_conv, [4 * bands, *self.widths], self.widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, n, h, w) of each level of (B, bands, H, W)."""
        found: list[Tensor] = []
        x = pixel_unshuffle(x, 2)
        for level, block in enumerate(self.levels):
            x = block(max_pool2d(x, 2) if level else x)
            found.append(x)
        return found


class _ChangeNet(Net):
    """What both have in common.

    Args:
        in_channels: bands of both dates.
        out_channels: classes, or 1 for the logit of a target.
        depth: resolutions of the encoder.
        width: channels at half resolution.
        dates: ``both``; ``after`` looks at the second one only, ``difference`` at what has changed only.
    """

    def __init__(self, in_channels: int, out_channels: int, *, depth: int, width: int, dates: str) -> None:
        super().__init__()
        if in_channels % 2 or dates not in COMPARED:
            raise ModelError(
                f"A change net compares as many bands after as before, not {in_channels} in all, and dates "
                f"are one of {', '.join(COMPARED)}, not {dates!r}."
            )
        self.in_channels, self.out_channels, self.divisor = in_channels, out_channels, 2**depth
        self.dates = dates
        self.encoder = _Encoder(in_channels // 2, depth=depth, width=width)

    def compared(self, x: Tensor) -> list[Tensor]:
        """Features (B, k n, h, w) of each level: those before, those after, and after less before."""
        before, after = x.chunk(2, dim=1)
        if self.dates == "after":
            return self.encoder(after)
        found = []
        for level in self.encoder(torch.cat([before, after])):
            one, other = level.chunk(2)
            gone = other - one
            found.append(gone if self.dates == "difference" else torch.cat([one, other, gone], dim=1))
        return found


COMPARED = {"both": 3, "after": 1, "difference": 1}
"""What a net may see of two dates, and how many times an encoder's channels that makes."""


class ChangeUNet(_ChangeNet):
    """Logits for every pixel: an encoder that sees each date, and one decoder of what is compared.

    Args:
        in_channels: bands of both dates.
        out_channels: classes, or 1 for the logit of a target.
        depth: resolutions of the encoder.
        width: channels at half resolution.
        dates: what is looked at, one of :data:`COMPARED`.

    Raises:
        ModelError: for an odd number of bands, or unknown dates.
    """

    per_pixel = True

    def __init__(
        self, in_channels: int, out_channels: int, *, depth: int = 4, width: int = 16, dates: str = "both"
    ) -> None:
        super().__init__(in_channels, out_channels, depth=depth, width=width, dates=dates)
        widths, times = self.encoder.widths, COMPARED[dates]
        self.join = nn.ModuleList(_mixed(times * n, n) for n in widths)
        self.deepest = conv_bn(widths[-1], widths[-1])
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(conv_bn(below + n, n) for below, n in pairs)
        self.head = nn.Conv2d(widths[0], 4 * out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, H, W) of (B, in_channels, H, W); H and W divisible by ``divisor``."""
        levels = [join(level) for join, level in zip(self.join, self.compared(x), strict=True)]
        y = self.deepest(levels[-1])
        for up, level in zip(self.up, levels[-2::-1], strict=True):
            y = up(torch.cat([interpolate(y, size=level.shape[2:], mode="nearest"), level], dim=1))
        return pixel_shuffle(self.head(y), 2)


class ChangePatchNet(_ChangeNet):
    """Logits for a grid cell, as in the paper: pooled features of before, after and their difference.

    Args:
        in_channels: bands of both dates.
        out_channels: classes, or 1 for the logit of a target.
        depth: resolutions of the encoder.
        width: channels at half resolution.
        dates: what is looked at, one of :data:`COMPARED`.
        dropout: share of features before the last layer.

    Raises:
        ModelError: for an odd number of bands, or unknown dates.
    """

    per_pixel = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        depth: int = 3,
        width: int = 16,
        dates: str = "both",
        dropout: float = 0.2,
    ) -> None:
        super().__init__(in_channels, out_channels, depth=depth, width=width, dates=dates)
        n = self.encoder.widths[-1]
        self.head = nn.Sequential(
            _mixed(COMPARED[dates] * n, n),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(n, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels) of (B, in_channels, S, S); S divisible by ``divisor``."""
        return self.head(self.compared(x)[-1])


def _mixed(in_channels: int, out_channels: int) -> nn.Sequential:
    """Channels mixed at each place."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
