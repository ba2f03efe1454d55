"""Muon: steps of matrices made orthogonal, for fewer epochs.

Jordan 2024, kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

FACTORS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values towards 1; from the source above."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose steps are made orthogonal; for weights of two dimensions and more.

    A convolution (out, in, kh, kw) counts as a matrix (out, in * kh * kw). Weight decay is decoupled.

    Args:
        weights: of convolutions and dense layers, without the last one.
        lr: length of a step; each singular value of a square matrix changes by about as much.
        momentum: share of the step before.
        weight_decay: per step, times ``lr``.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; ``closure`` is not used."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        kept = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(kept, group["momentum"]).flatten(1)
        rows, columns = ahead.shape
        step = orthogonal(ahead) * max(1.0, rows / columns) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(step.view(weight.shape), alpha=-group["lr"])


def orthogonal(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """Nearly ``U V^T`` of a matrix ``U S V^T`` (rows, columns), by Newton-Schulz steps in bfloat16."""
    a, b, c = FACTORS
    x = matrix.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.T).to(matrix.dtype)


def muon_and_adamw(
    net: nn.Module, *, lr: float, small_lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Muon for the inner convolutions and dense layers, AdamW for the first and last ones and all vectors.

    Args:
        net: the net.
        lr: of Muon.
        small_lr: of AdamW.
        weight_decay: of both; vectors have none.
    """
    matrices = [weight for weight in net.parameters() if weight.ndim > 1 and weight.requires_grad]
    inner = {id(weight) for weight in matrices[1:-1]}
    rest = [weight for weight in net.parameters() if weight.requires_grad and id(weight) not in inner]
    groups = [
        {"params": [weight for weight in rest if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in rest if weight.ndim < 2], "weight_decay": 0.0},
    ]
    muon = Muon(matrices[1:-1], lr=lr, weight_decay=weight_decay)
    return [muon, torch.optim.AdamW(groups, lr=small_lr, fused=True)]
