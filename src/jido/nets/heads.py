"""From the outputs of a net with error heads to one score of the target.

The first output is the target. Further ones have learned where the first stage of a two-stage
training erred: anywhere (``error``), by a miss (``missed``), by a false alarm (``false_alarm``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from jido.nets import Combine, Head

SIGNS: dict[Head, int] = {"missed": 1, "false_alarm": -1}


def target_score(logits: Tensor, heads: tuple[Head, ...] = (), combine: Combine = "union") -> Tensor:
    """Score (B, H, W) 0..1 of the target from logits (B, 1 + heads, H, W).

    ``union``: the highest of the outputs, so that a threshold on it is the union of the masks, as in
    the ginseng paper. ``mean``: their mean. ``signed``: the target's probability, plus that of a
    miss, minus that of a false alarm, cut to 0..1; no ``error`` head, whose sign nobody knows.
    ``target``: the first output alone; the heads have only helped to train it.

    Raises:
        ValueError: when an ``error`` head is to have a sign.
    """
    probability = logits.float().sigmoid()
    if not heads or combine == "target":
        return probability[:, 0]
    if combine == "union":
        return probability.amax(dim=1)
    if combine == "mean":
        return probability.mean(dim=1)
    if "error" in heads:
        raise ValueError("An error head has no sign: collect misses and false alarms apart.")
    signs = torch.tensor([1.0, *(SIGNS[head] for head in heads)], device=logits.device)
    return (probability * signs[:, None, None]).sum(dim=1).clamp(0, 1)


def moved(score: Tensor, threshold: float) -> Tensor:
    """Scores 0..1 with their odds divided by those of the threshold, which so becomes 0.5."""
    if threshold == 0.5:
        return score
    up, down = score * (1 - threshold), (1 - score) * threshold
    return up / (up + down)
