"""The one training loop: plain steps over epochs, on whatever processor there is.

An epoch is a function of the learner and of the epoch's number: what is random in it is drawn from
seeds that hold the number, never from the state of a generator. So a training that was cut off and
goes on from its checkpoint ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from jido.io import keep_memory
from jido.nets.blocks import Net, folded

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce every net

Precision = Literal["fp32", "bf16"]
Batch = tuple[Tensor, Tensor]
"""Images (B, C, H, W) and targets (B, K, H, W), float32, on any device."""


class Learner:
    """A net, its loss, its optimiser, and how many epochs it has behind it.

    Adam with the fixed learning rate of the ginseng paper. Devices and precision are Lightning
    Fabric's; images go through the net in channels-last order.

    Args:
        net: the net, with its first weights.
        loss: takes logits and targets, gives a scalar.
        learning_rate: of Adam.
        precision: ``bf16`` computes convolutions in bfloat16 and keeps weights in float32.
        accelerator: of Fabric: ``auto``, ``cpu``, ``cuda``.
    """

    def __init__(
        self,
        net: Net,
        loss: nn.Module,
        *,
        learning_rate: float = 1e-3,
        precision: Precision = "bf16",
        accelerator: str = "auto",
    ) -> None:
        keep_memory()
        self.fabric = Fabric(
            accelerator=accelerator, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true"
        )
        module: Any = net  # torch's annotations do not know memory_format here
        module.to(memory_format=torch.channels_last)
        self.net, self.loss, self.epoch = net, loss, 0
        optimiser = torch.optim.Adam(net.parameters(), lr=learning_rate)
        self._module, self.optimiser = self.fabric.setup(net, optimiser)
        self._quick: Net | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.fabric.device

    def step(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; gives the loss (scalar) and the logits before it."""
        self._quick = None
        self._module.train()
        logits = self._module(self._placed(images))
        loss = self.loss(logits, targets.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimiser.step()
        return loss.detach(), logits.detach()

    def logits(self, images: Tensor) -> Tensor:
        """What the net says of images (B, C, H, W) now: logits (B, K, H, W) float32, in evaluation."""
        if self._quick is None:
            self._quick = folded(self.net.eval())
        with torch.inference_mode(), self.fabric.autocast():
            return self._quick(self._placed(images)).float()

    def _placed(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.net.state_dict().items()}

    def put(self, weights: Mapping[str, Tensor], *, grown: bool = False) -> None:
        """Put weights into the net.

        Args:
            weights: as :meth:`weights` gives them.
            grown: of a net with fewer outputs; the further ones keep the weights that they have.
        """
        held = self.net.state_dict()
        with torch.no_grad():
            for name, value in weights.items():
                place = held[name][: len(value)] if grown and value.ndim else held[name]
                place.copy_(value)
        self._quick = None

    def save(self, path: Path, **extra: Any) -> None:
        """Write all that the next epoch depends on, in one step; ``extra`` of plain values and tensors."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "extra": extra,
        }
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def load(self, path: Path) -> dict[str, Any]:
        """Go on from a file of :meth:`save`; gives its ``extra``. Runs no code from the file."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self._quick = state["epoch"], None
        return state["extra"]


def train(
    learner: Learner,
    batches: Callable[[int], Iterable[Batch]],
    *,
    until: int,
    after_step: Callable[[int, Tensor, Tensor], None] | None = None,
    after_epoch: Callable[[float], None] | None = None,
) -> None:
    """Epochs until the learner has ``until`` of them behind it.

    Args:
        learner: goes on from the epoch it has reached.
        batches: number of an epoch, from 1 -> its batches.
        until: the last epoch.
        after_step: told the number of the step, from 1, the logits before it and its targets.
        after_epoch: told the mean loss of the steps, once ``learner.epoch`` has been raised.
    """
    while learner.epoch < until:
        losses: list[Tensor] = []
        for step, (images, targets) in enumerate(batches(learner.epoch + 1), start=1):
            loss, logits = learner.step(images, targets)
            losses.append(loss)
            if after_step:
                after_step(step, logits, targets)
        learner.epoch += 1
        if after_epoch:
            after_epoch(torch.stack(losses).mean().item())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws from this seed; outside, as if nothing had been drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
