"""Losses for a binary target that fills little of an image.

All take logits (B, C, H, W) of any float type and targets of the same shape, 0 or 1, and compute in
float32. Channels are independent questions (a target, an error mask).

**Tiles without target.** No loss leaves them out: a loss that is multiplied by "there is a target"
has no gradient there, however many false positives it sees. BCE and its kin count every pixel alike.
The overlap losses (IoU, Tversky) take their sums over the *whole batch* of a channel, so that such a
tile adds its false positives to the union; in a batch without any target the ``smooth`` term keeps a
gradient that pushes them down.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def batch_sums(probability: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Soft true positives, false positives, false negatives of each channel, each (C,)."""
    axes = (0, 2, 3)
    true_positive = (probability * target).sum(axes)
    return true_positive, probability.sum(axes) - true_positive, target.sum(axes) - true_positive


def soft_iou(probability: Tensor, target: Tensor, *, smooth: float) -> Tensor:
    """Soft intersection over union of the batch, mean over channels (scalar)."""
    hit, false, missed = batch_sums(probability, target)
    return ((hit + smooth) / (hit + false + missed + smooth)).mean()


def tversky_index(probability: Tensor, target: Tensor, *, alpha: float, smooth: float) -> Tensor:
    """Tversky index of each channel (C,); misses weigh ``alpha``, false positives ``1 - alpha``."""
    hit, false, missed = batch_sums(probability, target)
    return (hit + smooth) / (hit + alpha * missed + (1 - alpha) * false + smooth)


class BCELoss(nn.Module):
    """Binary cross-entropy, mean over all pixels: the loss of the paper."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        return binary_cross_entropy_with_logits(logits.float(), target.float())


class PosWeightBCELoss(nn.Module):
    """Binary cross-entropy in which a target pixel weighs as much as several others.

    Args:
        pos_weight: how many; above 1 for a target that must not be missed.
    """

    def __init__(self, pos_weight: float = 5.0) -> None:
        super().__init__()
        self.pos_weight = pos_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        weight = torch.tensor(self.pos_weight, device=logits.device)
        return binary_cross_entropy_with_logits(logits.float(), target.float(), pos_weight=weight)


class OHEMBCELoss(nn.Module):
    """Binary cross-entropy over the hardest pixels of the batch only (online hard example mining).

    Shrivastava et al. 2016, doi 10.1109/CVPR.2016.89, pixel by pixel.

    Args:
        share: of the pixels that are kept, above 0 and at most 1.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}.")
        self.share = share

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        each = binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none").flatten()
        kept = max(int(self.share * each.numel()), 1)
        return each.topk(kept, sorted=False).values.mean()


class SoftIoULoss(nn.Module):
    """One minus the soft intersection over union of the batch.

    Huang et al. 2020, doi 10.1109/LSP.2019.2956367.

    Args:
        smooth: pixels added to intersection and union.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        return 1 - soft_iou(logits.float().sigmoid(), target.float(), smooth=self.smooth)


class BCEIoULoss(nn.Module):
    """Binary cross-entropy and soft IoU loss in equal parts.

    Args:
        smooth: as in :class:`SoftIoULoss`.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.parts = nn.ModuleList([BCELoss(), SoftIoULoss(smooth)])

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        bce, iou = (part(logits, target) for part in self.parts)
        return (bce + iou) / 2


class FocalTverskyLoss(nn.Module):
    """A power of one minus the Tversky index of the batch, mean over channels.

    Abraham and Khan 2019, doi 10.1109/ISBI.2019.8759329, with their alpha .7 and exponent 1 / gamma
    = 3 / 4.

    Args:
        alpha: weight of a miss; a false positive weighs ``1 - alpha``.
        exponent: below 1 it keeps the gradient of what is almost right.
        smooth: pixels added above and below.
    """

    def __init__(self, alpha: float = 0.7, exponent: float = 0.75, smooth: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.exponent, self.smooth = alpha, exponent, smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss (scalar) of logits and targets (B, C, H, W)."""
        index = tversky_index(logits.float().sigmoid(), target.float(), alpha=self.alpha, smooth=self.smooth)
        # at a perfect index a power below 1 has no gradient: the clamp gives 0 instead of NaN
        return (1 - index).clamp_min(1e-7).pow(self.exponent).mean()
