"""SSMMRL: self-supervised multi-modal representation learning (Nawaz et al. 2025, doi 10.3390/rs17081335).

Three branches see two augmented views of the same place, radar and multispectral bands stacked, and
no negative samples: *online* learns; *target* follows it; *fusion* joins both views with attention.
The loss is L1 + L2 + L3, one term for each pair of branches. The paper publishes the branches, the
attention, dynamic convolution and the sum, but no layer sizes and no formulas: those are ours.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from jido.losses.selfsup import ThreeBranches, decorrelation
from jido.methods.keywords import Share
from jido.methods.pretext import Factory, Pretext, follow, frozen_copy, mlp, rising

Fusion = Literal["attention", "mean", "none"]


class AttentionFusion(nn.Module):
    """Joins vectors of two views: for each channel a softmax over the two says what counts.

    Args:
        channels: of the vectors.
        reduction: channels over hidden ones.
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(B, channels) of two such."""
        both = torch.stack([one, other])  # (2, B, D)
        return (self.weigh(both).softmax(dim=0) * both).sum(0)


class MeanFusion(nn.Module):
    """Joins vectors of two views by their mean."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(B, channels) of two such."""
        return (one + other) / 2


class SSMMRL(Pretext):
    """The three branches.

    Args:
        factory: of the encoder.
        hidden: channels inside projectors and predictors.
        projected: channels of what is compared.
        tau: share of its weights that the target keeps in a step, at first; 1 in the end.
        fusion: how the fusion branch joins the views; without it L2 and L3 fall away, which is BYOL.
        weights: of L1, L2, L3.
        decorrelated: weight of a term that keeps the channels of what is compared apart; not in the paper,
            0 for the method without it. More of it is better for frozen vectors and worse for fine-tuning.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        hidden: PositiveInt = 512,
        projected: PositiveInt = 128,
        tau: Share = 0.98,
        fusion: Fusion = "attention",
        weights: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (1.0, 1.0, 1.0),
        decorrelated: NonNegativeFloat = 0.2,
    ) -> None:
        super().__init__()
        self.encoder, self.tau, self.decorrelated = factory(), tau, decorrelated
        channels = self.encoder.out_channels
        self.project, self.predict = mlp(channels, hidden, projected), mlp(projected, hidden, projected)
        self.target = frozen_copy(nn.Sequential(self.encoder, self.project))
        self.fuse: nn.Module | None = None
        if fusion != "none":
            self.fuse = AttentionFusion(channels) if fusion == "attention" else MeanFusion()
            self.project_fused = mlp(channels, hidden, projected)
            self.predict_fused = mlp(projected, hidden, projected)
        first, second, third = weights
        self.loss = ThreeBranches(online_target=first, online_fusion=second, fusion_target=third)

    def forward(self, views: Tensor) -> Tensor:
        """L1 + L2 + L3 of two views of the same patches."""
        seen = self.encoder(views)  # (2 B, D)
        projected = self.project(seen)
        online = self.predict(projected).float().chunk(2)
        with torch.no_grad():
            target = self.target(views).float().chunk(2)
        if self.fuse is None:
            loss = self.loss(online, target)
        else:
            fused = self.project_fused(self.fuse(*seen.chunk(2)))
            loss = self.loss(online, target, fused.float(), self.predict_fused(fused).float())
        if self.decorrelated:
            one, other = projected.float().chunk(2)
            loss = loss + self.decorrelated * (decorrelation(one) + decorrelation(other))
        return loss

    def follow(self, done: float) -> None:
        """The target follows the online branch, ever more slowly."""
        follow(self.target, nn.Sequential(self.encoder, self.project), rising(self.tau, done))
