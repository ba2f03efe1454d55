"""What a score pays when it does not follow an order of clusters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jido.errors import ModelError


def soft_rank(scores: Tensor, *, sharpness: float) -> Tensor:
    """How many others each score lies above, (n,): whole numbers for clear gaps, smooth between them.

    r_j = sum over i != j of sigmoid(sharpness (s_j - s_i)).

    Args:
        scores: (n,).
        sharpness: of the step from not above to above, per unit of the score.
    """
    above = torch.sigmoid(sharpness * (scores[:, None] - scores))
    return above.sum(1) - 0.5  # its own sigmoid(0)


class SoftRankLoss(nn.Module):
    """Ranks of clusters that do not follow a path through the order, and spread inside clusters.

    Han et al. 2020 (KDD, doi 10.1145/3394486.3403347): a path through the order gives clusters from the least
    to the most developed; the loss is the mean squared difference of the soft ranks of their mean scores from
    0, 1, ..., n - 1, plus ``spread`` times the mean variance of the scores inside a cluster.

    Args:
        sharpness: of soft ranks; 30 in the paper, for scores of 0 to 1.
        spread: weight of the variance inside clusters; 4 in the paper.
    """

    def __init__(self, *, sharpness: float = 30.0, spread: float = 4.0) -> None:
        super().__init__()
        if sharpness <= 0 or spread < 0:
            raise ModelError(f"sharpness is above 0 and spread not below it, not {sharpness} and {spread}.")
        self.sharpness, self.spread = sharpness, spread

    def forward(self, scores: Tensor, place: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            scores: (B,) or (B, 1) of tiles.
            place: (B,) int64, place of each tile's cluster on the path, 0 = the least developed; each from 0
                to the largest has a tile.

        Raises:
            ModelError: for a path of one cluster, which teaches nothing, and a place without tiles.
        """
        ranks, variance = self.terms(scores, place)
        return ranks + self.spread * variance

    def terms(self, scores: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the ranks, and mean variance inside clusters; scalars."""
        values, n = scores.flatten(), int(place.max()) + 1
        if n < 2:
            raise ModelError("A path of one cluster has no order to learn from: give paths of two or more.")
        count = torch.bincount(place, minlength=n)
        if not count.all():
            raise ModelError(f"Place {int(count.argmin())} of {n} on the path has no tile: leave it out.")
        mean = torch.zeros(n, dtype=values.dtype, device=values.device).index_add(0, place, values) / count
        wanted = torch.arange(n, device=values.device)
        ranks = (soft_rank(mean, sharpness=self.sharpness) - wanted).square().mean()
        apart = (values - mean[place]).square()
        inside = torch.zeros_like(mean).index_add(0, place, apart) / count
        return ranks, inside.mean()


def limited(scores: Tensor, *, leak: float = 0.05) -> Tensor:
    """Scores kept in 0..1 but for a small slope outside, without which a score beyond could not come back."""
    inside = scores.clamp(0, 1)
    return inside + leak * (scores - inside)
