"""How the three classes of tiles are learned: two heads judge what is seen.

A logistic regression on statistics of texture, and the student of a mean teacher (Tarvainen and Valpola 2017,
arXiv 1703.01780) on all that is seen. A training takes seconds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.tiles import batches
from jido.errors import ModelError
from jido.methods.tile_classes_config import TileClassesConfig

if TYPE_CHECKING:
    from torch import Tensor

    from jido.nets.blocks import Net
    from jido.nets.tile import TileNet
    from jido.train import Learner

NEVER = -20.0
"""Logit of a class that no label speaks of."""

WARM = 0.1
"""Share of a training until the full learning rate."""


@dataclass(eq=False)
class MeanTeacher:
    """A student that learns from labels and from the mean of its own weights, the teacher.

    Both see a tile in views of their own, and are to say the same of it.

    Args:
        net: the student.
        draw: places of tiles, and a generator -> a view of each, as the net takes it.
        target: (N, K) shares of the classes; NaN for tiles without a label.
        config: the settings.
        seed: of everything that is drawn.
    """

    net: Net
    draw: Callable[[np.ndarray, np.random.Generator], Tensor]
    target: np.ndarray
    config: TileClassesConfig
    seed: int = 0

    def __post_init__(self) -> None:
        known = np.isfinite(self.target).all(1)
        self._known, self._other = np.flatnonzero(known), np.flatnonzero(~known)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self._known) / self.config.batch)

    @property
    def epochs(self) -> int:
        """Epochs in all: those of the settings, or enough for ``least_steps``."""
        return max(self.config.epochs, math.ceil(self.config.least_steps / self.steps))

    @cached_property
    def learner(self) -> Learner:
        """The student, the loss and the optimiser."""
        import torch

        from jido.losses.mean_teacher import MeanTeacherLoss
        from jido.train import Learner, cosine

        config, total = self.config, self.steps * self.epochs

        def factor(step: int) -> float:
            return min((step + 1) / (WARM * total), 1.0) * cosine(step / total)

        def optimisers(net: Net) -> list[Any]:
            rate, decay = config.learning_rate, config.weight_decay
            return [torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)]

        return Learner(
            self.net,
            MeanTeacherLoss(),
            optimisers=optimisers,
            schedule=factor,
            average=config.teacher,
            precision="fp32",
        )

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of labelled and other tiles; shares, and what the teacher says of other views of them."""
        import torch

        from jido.losses.mean_teacher import ramp_up

        config, rng = self.config, np.random.default_rng((self.seed, epoch))
        for step, some in enumerate(batches(rng.permutation(self._known), config.batch)):
            others = rng.choice(self._other, min(len(some), len(self._other)), replace=False)
            which = np.concatenate([some, others if config.consistency else others[:0]])
            done = (epoch - 1 + step / self.steps) / max(config.ramp_up, 1)
            self.learner.loss.weight = config.consistency * ramp_up(done)  # type: ignore[assignment]
            said = self._taught(self.draw(which, rng))
            yield self.draw(which, rng), torch.cat([torch.from_numpy(self.target[which]).float(), said], 1)

    def _taught(self, view: Tensor) -> Tensor:
        """Probabilities (B, K) of the teacher as it is now."""
        import torch

        teacher = self.learner.judged.eval()
        with torch.no_grad(), self.learner.fabric.autocast():
            return teacher(view.to(self.learner.device)).float().softmax(1).cpu()

    def run(self) -> Net:
        """Train to the last epoch; gives the teacher.

        Raises:
            ModelError: when the loss is no number any more.
        """
        from jido.train import train

        def require_finite(loss: float) -> None:
            if not np.isfinite(loss):
                raise ModelError("The loss is no number any more: take a lower learning_rate.")

        train(self.learner, self.batches, until=self.epochs, after_epoch=require_finite, seed=self.seed)
        return self.learner.judged.eval().cpu()


def judging_net(net: TileNet, seen: np.ndarray, share: np.ndarray, config: TileClassesConfig) -> TileNet:
    """A copy of a net whose heads have learned.

    Args:
        net: that has seen the tiles.
        seen: (V, n, F) what it saw of them in V views.
        share: (n, K) shares of the classes; NaN for tiles without a label.
        config: the settings.
    """
    import torch

    from jido.train import seeded

    known = np.isfinite(share).all(1)
    made = copy.deepcopy(net)
    features, head = made.features, made.head
    head.use = config.use
    spread = seen[0, known].std(0)
    features.centre.copy_(torch.from_numpy(seen[0, known].mean(0)))
    features.spread.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1)))  # of what is always the same
    vectors = features.standard(torch.from_numpy(seen))
    target = sharpened(share, config.sharpened)
    if config.use != "net":
        weight, bias = _logistic(
            vectors[:, known, : features.statistics].numpy(), target[known], config.strength
        )
        head.linear.weight.data.copy_(torch.from_numpy(weight))
        head.linear.bias.data.copy_(torch.from_numpy(bias))
    if config.use != "linear":

        def draw(which: np.ndarray, rng: np.random.Generator) -> Tensor:
            return vectors[rng.integers(len(vectors), size=len(which)), which][..., None, None]

        with seeded(config.seed):
            student = type(head.net)(features.out_channels, head.net.out_channels, hidden=config.hidden)
        head.net.load_state_dict(MeanTeacher(student, draw, target, config, config.seed).run().state_dict())
    return made


def sharpened(share: np.ndarray, by: float) -> np.ndarray:
    """Shares (n, K) mixed with 1 for the largest of them, of equal ones the first; NaN stays.

    Args:
        share: (n, K).
        by: 0: as they are, 1: the largest alone.
    """
    known = np.isfinite(share).all(1)
    found = np.full(share.shape, np.nan)
    found[known] = (1 - by) * share[known] + by * np.eye(share.shape[1])[share[known].argmax(1)]
    return found


def _logistic(vectors: np.ndarray, target: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, F) and bias (K,) of a logistic regression on soft labels.

    A tile counts once in all, in parts: for each view and each class that it has a share of.
    """
    from sklearn.linear_model import LogisticRegression

    views, n, _ = vectors.shape
    k = target.shape[1]
    part = np.tile(target.T.ravel() / views, views)  # of a view all tiles as class 0, then as class 1, ...
    y = np.tile(np.repeat(np.arange(k), n), views)
    x = np.concatenate([view for view in vectors for _ in range(k)])
    fitted = LogisticRegression(C=strength, max_iter=2000).fit(x[part > 0], y[part > 0], part[part > 0])
    weight, bias = np.zeros((k, x.shape[1])), np.full(k, NEVER)
    there = fitted.classes_
    weight[there[-len(fitted.coef_) :]], bias[there] = fitted.coef_, 0.0  # of two classes the first is 0
    bias[there[-len(fitted.coef_) :]] = fitted.intercept_
    return weight.astype(np.float32), bias.astype(np.float32)
