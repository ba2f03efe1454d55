"""From an encoder to classes: a net is trained on few labelled patches, from scratch or from an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from jido.data.pool import Pool
from jido.data.tiles import batches
from jido.errors import ModelError
from jido.nets import Setting, build_net

if TYPE_CHECKING:
    from torch import Tensor

    from jido.nets.encoders import EncoderNet
    from jido.train import Learner

AT_ONCE = 512
"""Patches judged together."""


class TuneConfig(BaseModel):
    """Settings of a training with labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveInt = Field(400, description="batches in all, however few labels there are")
    batch: PositiveInt = 64
    learning_rate: PositiveFloat = 2e-3
    encoder_rate: float = Field(
        0.3, ge=0, le=1, description="learning rate of a pretrained encoder, as a share; 0: it stays as it is"
    )
    weight_decay: NonNegativeFloat = 0.05
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    average: float = Field(0.99, ge=0, lt=1, description="share of the mean of weights kept in a step")
    sensor_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of the patches that lack one of several sensors"
    )
    precision: Literal["fp32", "bf16"] = "bf16"


@dataclass(eq=False)
class Tuning:
    """A net that learns the classes of patches.

    Args:
        pool: the patches.
        y: (N,) their classes.
        train: places of those that it learns from.
        classes: how many there are.
        encoder: settings of the encoder: kind, width, ...
        weights: of a pretrained encoder, by name; those of sensors that the patches lack are left.
        config: the settings.
        seed: of everything.
    """

    pool: Pool
    y: np.ndarray
    train: np.ndarray
    classes: int
    encoder: Mapping[str, Setting]
    weights: Mapping[str, Tensor] | None = None
    config: TuneConfig = field(default_factory=TuneConfig)
    seed: int = 0

    @property
    def net_settings(self) -> dict[str, Setting]:
        """What builds the net besides the number of classes."""
        stack = self.pool.stack
        return {
            "in_channels": stack.dates * len(stack.bands),
            "sensors": stack.text,
            "dates": stack.dates,
            **self.encoder,
        }

    @cached_property
    def learner(self) -> Learner:
        """The net, its loss and its optimiser; first weights depend on the seed and on the encoder alone."""
        import torch

        from jido.train import Learner, seeded, triangle

        config = self.config
        with seeded(self.seed):
            net: EncoderNet = build_net("encoder", out_channels=self.classes, **self.net_settings)  # type: ignore[assignment]
        if self.weights is not None:
            own = net.encoder.state_dict()
            try:
                net.encoder.load_state_dict({name: self.weights[name] for name in own})
            except (KeyError, RuntimeError) as err:
                raise ModelError(
                    "The weights of the encoder are not those of its settings: pretrain again."
                ) from err

        def optimisers(net: Any) -> list[Any]:
            share = 1.0 if self.weights is None else config.encoder_rate
            if not share:
                net.freeze()
            parts = ((net.encoder, share), (net.head, 1.0))
            groups = [
                {"params": list(part.parameters()), "lr": config.learning_rate * rate}
                for part, rate in parts
                if rate
            ]
            return [torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)]

        return Learner(
            net,
            torch.nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
            optimisers=optimisers,
            schedule=lambda step: triangle(step / config.steps),
            average=config.average,
            precision=config.precision,
        )

    def batches(self, _: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches, turned and mirrored: every label as often as any other, give or take one."""
        import torch

        from jido.train import turned_and_shifted, without_one

        config, stack = self.config, self.pool.stack
        rng = np.random.default_rng((self.seed, len(self.train)))
        draws = torch.Generator().manual_seed(self.seed)
        rounds = -(-config.steps * config.batch // len(self.train))
        order = np.concatenate([rng.permutation(self.train) for _ in range(rounds)])
        target = torch.from_numpy(self.y)
        for which in batches(order[: config.steps * config.batch], config.batch):
            patches = self.pool.patches(which).flatten(1, 2)
            patches = turned_and_shifted(patches, shift=0, generator=draws)
            each = patches.unflatten(1, (stack.dates, -1)).flatten(0, 1)
            each = without_one(each, stack.sensors, config.sensor_dropout, generator=draws)
            yield each.view(patches.shape), target[which]

    def run(self) -> Tuning:
        """Train to the last step.

        Raises:
            ModelError: when the loss is no number any more, or weights are of another encoder.
        """
        from jido.train import train

        def require_finite(loss: float) -> None:
            if not np.isfinite(loss):
                raise ModelError("The loss is no number any more: take a lower learning_rate.")

        train(self.learner, self.batches, until=1, after_epoch=require_finite, seed=self.seed)
        return self

    def probabilities(self, which: np.ndarray) -> np.ndarray:
        """Probabilities (n, K) float32 of patches."""
        found = [np.empty((0, self.classes), np.float32)]
        for some in batches(which, AT_ONCE):
            logits = self.learner.logits(self.pool.patches(some).flatten(1, 2))
            found.append(logits.softmax(1).cpu().numpy())
        return np.concatenate(found)
