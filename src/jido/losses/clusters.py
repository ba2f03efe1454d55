"""What deep clustering asks for: the groups that were found, told by a head, and two views that agree."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


def view_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared distance of the directions of vectors (B, D), 0..4."""
    return (normalize(one, dim=1) - normalize(other, dim=1)).square().sum(1).mean()


class GroupLoss(nn.Module):
    """Cross-entropy on the groups of the last clustering, plus the distance of two views.

    Caron et al. 2018, doi 10.1007/978-3-030-01264-9_9 (DeepCluster), with the second term of Han et al.
    2020, doi 10.1145/3394486.3403347. The head is a part of the loss: it is thrown away with every
    clustering and is of no use afterwards.

    Args:
        channels: D of the vectors.
        groups: most groups that a clustering has.
        agreement: weight of the distance of two views.
    """

    def __init__(self, channels: int, groups: int, *, agreement: float) -> None:
        super().__init__()
        self.head, self.agreement = nn.Linear(channels, groups), agreement
        self.renew()

    def renew(self) -> None:
        """A fresh head, as small as DeepCluster's, drawn from torch's random numbers."""
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, vectors: Tensor, group: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            vectors: (2 B, D), the first views of B images, then their second views.
            group: (B,) int64.
        """
        vectors = vectors.float()
        told = cross_entropy(self.head(vectors), torch.cat([group, group]))
        return told + self.agreement * view_distance(*vectors.chunk(2))
