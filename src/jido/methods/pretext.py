"""What every way of learning without labels has in common: an encoder, heads, and a loss of two views."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jido.nets.encoders import Encoder

Factory = Callable[[], Encoder]
"""Makes an encoder with fresh weights."""


class Pretext(nn.Module):
    """A task without labels. ``forward`` gives the loss of two views of the same patches.

    Attributes:
        encoder: what is kept when the training is over.
    """

    encoder: Encoder

    def forward(self, views: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            views: (2 B, C, S, S), the first views of B patches, then their second views.
        """
        raise NotImplementedError

    def follow(self, done: float) -> None:
        """What happens after a step: targets move. ``done``: share of the training that is behind, 0..1."""


def mlp(channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Projector or predictor of BYOL: dense, batch normalisation, ReLU, dense."""
    return nn.Sequential(
        nn.Linear(channels, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out_channels),
    )


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that learns by following alone."""
    twin = copy.deepcopy(module)
    for weight in twin.parameters():
        weight.requires_grad_(False)
    return twin


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, tau: float) -> None:
    """``target`` keeps a share ``tau`` of its weights, the rest is ``online``'s; buffers are copied."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), 1 - tau)
    for mine, theirs in zip(target.buffers(), online.buffers(), strict=True):
        mine.copy_(theirs)


def rising(first: float, done: float) -> float:
    """From ``first`` to 1 by a cosine: how BYOL lets its target slow down."""
    return 1 - (1 - first) * (math.cos(math.pi * min(done, 1.0)) + 1) / 2


class Given(nn.Module):
    """A loss for the training loop: the net's answer is the loss already."""

    def forward(self, loss: Tensor, _: Tensor) -> Tensor:
        """The same scalar."""
        return loss
