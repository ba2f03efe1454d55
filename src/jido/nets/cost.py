"""What a net costs: its weights, and the arithmetic for one image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from jido.nets.blocks import Net


class Cost(NamedTuple):
    """``parameters``: learned numbers. ``macs``: multiplications with an addition for one image."""

    parameters: int
    macs: int


def cost(net: Net, side: int) -> Cost:
    """The cost of a net for an image of ``side`` x ``side`` pixels: its convolutions and dense layers."""
    place = next(net.parameters()).device
    counter = FlopCounterMode(display=False)
    was_training = net.training
    with counter, torch.inference_mode():
        net.eval()(torch.zeros(1, net.in_channels, side, side, device=place))
    net.train(was_training)
    return Cost(sum(weight.numel() for weight in net.parameters()), counter.get_total_flops() // 2)
