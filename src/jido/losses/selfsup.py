"""What self-supervision asks for: pure terms, and a Module for each method.

Vectors are (B, D). ``stopgrad`` stands at the caller's: terms take the target as it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, normalize, smooth_l1_loss, softmax


def cosine_distance(online: Tensor, target: Tensor) -> Tensor:
    """Mean of ``2 - 2 cos``, 0..4: BYOL, Grill et al. 2020, arXiv 2006.07733, equation 2."""
    return 2 - 2 * (normalize(online, dim=1) * normalize(target, dim=1)).sum(1).mean()


def nt_xent(one: Tensor, other: Tensor, *, temperature: float) -> Tensor:
    """SimCLR's loss over all 2 B views: Chen et al. 2020, arXiv 2002.05709, equation 1."""
    both = normalize(torch.cat([one, other]), dim=1)
    similar = both @ both.T / temperature
    similar.fill_diagonal_(float("-inf"))
    n = len(one)
    partner = torch.arange(2 * n, device=one.device).roll(n)
    return cross_entropy(similar, partner)


def info_nce(query: Tensor, key: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """MoCo's loss with a queue (Q, D) of earlier keys: He et al. 2020, arXiv 1911.05722, equation 1."""
    query, key = normalize(query, dim=1), normalize(key, dim=1)
    right = (query * key).sum(1, keepdim=True)
    logits = torch.cat([right, query @ queue.T], dim=1) / temperature
    return cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))


def self_distillation(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    *,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """DINO's cross-entropy with a centred, sharpened teacher: Caron et al. 2021, arXiv 2104.14294."""
    said = softmax((teacher - centre) / teacher_temperature, dim=1)
    return -(said * log_softmax(student / student_temperature, dim=1)).sum(1).mean()


def masked_error(said: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of masked tokens: MAE, He et al. 2022, arXiv 2111.06377.

    Args:
        said: (B, n, P) pixels of each token.
        true: the same, each token with mean 0 and standard deviation 1.
        mask: (B, n) bool, the tokens that were hidden.
    """
    return mse_loss(said[mask], true[mask])


def masked_smooth_l1(said: Tensor, true: Tensor, mask: Tensor, *, beta: float) -> Tensor:
    """data2vec's regression of the teacher at hidden tokens: Baevski et al. 2022, arXiv 2202.03555."""
    return smooth_l1_loss(said[mask], true[mask], beta=beta)


def decorrelation(vectors: Tensor) -> Tensor:
    """How far channels of a batch (B, D) are from a spread of 1 and from saying different things.

    The variance and covariance terms of VICReg with its weights 25 : 1, over 25: Bardes et al. 2022, arXiv
    2105.04906, equations 1 and 3.
    """
    n, channels = vectors.shape
    centred = vectors - vectors.mean(0)
    spread = (centred.var(0) + 1e-4).sqrt()
    covariance = centred.T @ centred / (n - 1)
    off = covariance.square().sum() - covariance.diagonal().square().sum()
    return (1 - spread).relu().mean() + off / channels / 25


class ThreeBranches(nn.Module):
    """SSMMRL's sum of three terms, one per pair of branches: Nawaz et al. 2025, doi 10.3390/rs17081335.

    The exact formulas are not published; these are ours.

    Args:
        online_target: weight of L1, online against target, both ways.
        online_fusion: weight of L2, online against fusion.
        fusion_target: weight of L3, fusion against target.
    """

    def __init__(
        self, *, online_target: float = 1.0, online_fusion: float = 1.0, fusion_target: float = 1.0
    ) -> None:
        super().__init__()
        self.weights = (online_target, online_fusion, fusion_target)

    def forward(
        self,
        online: Sequence[Tensor],
        target: Sequence[Tensor],
        fused: Tensor | None = None,
        predicted: Tensor | None = None,
    ) -> Tensor:
        """The weighed sum; L1 alone where nothing is fused.

        Args:
            online: predictions (B, D) of both views.
            target: projections (B, D) of both views, without gradient.
            fused: projection (B, D) of the fused views.
            predicted: what is predicted from it, (B, D).
        """
        first, second, third = self.weights
        loss = first * (cosine_distance(online[0], target[1]) + cosine_distance(online[1], target[0])) / 2
        if fused is not None and predicted is not None:
            goal = fused.detach()
            loss = loss + second * (cosine_distance(online[0], goal) + cosine_distance(online[1], goal)) / 2
            back = cosine_distance(predicted, target[0]) + cosine_distance(predicted, target[1])
            loss = loss + third * back / 2
        return loss
