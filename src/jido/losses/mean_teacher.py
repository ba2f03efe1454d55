"""What a student learns from people and from its teacher: soft labels where there are any, and consistency.

Tarvainen and Valpola 2017, arXiv 1703.01780.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def soft_cross_entropy(logits: Tensor, shares: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, K) against shares (B, K) that add up to 1."""
    return -(shares * logits.log_softmax(1)).sum(1).mean()


def consistency(logits: Tensor, said: Tensor) -> Tensor:
    """Mean squared difference of the probabilities of logits (B, K) from those of a teacher (B, K)."""
    return (logits.softmax(1) - said).square().mean()


class MeanTeacherLoss(nn.Module):
    """Cross-entropy of those with labels plus ``weight`` times the consistency of all.

    Attributes:
        weight: of the consistency; whoever trains lets it rise.
    """

    weight = 0.0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            logits: (B, K) of the student.
            targets: (B, 2 K): shares of the classes, NaN without a label; what the teacher says.
        """
        shares, said = targets.chunk(2, 1)
        known = shares.isfinite().all(1)
        loss = soft_cross_entropy(logits[known], shares[known]) if known.any() else logits.sum() * 0
        return loss + self.weight * consistency(logits, said) if self.weight else loss


def ramp_up(done: float) -> float:
    """From nearly 0 to 1 while ``done`` rises from 0 to 1: exp(-5 (1 - done)^2), of the same paper."""
    return float(torch.exp(torch.tensor(-5.0 * (1 - min(max(done, 0.0), 1.0)) ** 2)))
