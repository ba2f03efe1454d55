"""The one training loop: plain steps over epochs, on whatever processor there is.

An epoch is a function of the learner and of the epoch's number: what is random in it is drawn from
seeds that hold the number, never from the state of a generator. So a training that was cut off and
goes on from its checkpoint ends with the same bits as one that was not.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from jido.errors import ModelError
from jido.io import keep_memory
from jido.nets.blocks import Net, folded

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce every net

LOG = logging.getLogger("jido")

Precision = Literal["fp32", "bf16"]
Batch = tuple[Tensor, Tensor]
"""Images (B, C, H, W) float32 and what the loss takes as targets, on any device."""


class Learner:
    """A net, its loss, its optimiser, and how many epochs it has behind it.

    Devices and precision are Lightning Fabric's; images go through the net in channels-last order.

    Args:
        net: the net, with its first weights.
        loss: takes logits and targets, gives a scalar.
        learning_rate: of Adam, where no other optimisers are given: that of the ginseng paper.
        optimisers: makes one or more for the net; each weight belongs to one of them.
        schedule: number of a step, from 0 -> factor of all learning rates.
        average: share of the running mean of the weights that is kept in a step; what it holds is judged
            and given away in place of the last weights (EMA); 0: the last weights.
        precision: ``bf16`` computes convolutions in bfloat16 and keeps weights in float32.
        accelerator: of Fabric: ``auto``, ``cpu``, ``cuda``.

    Attributes:
        net: what learns.
        judged: what is judged and given away: the mean of the weights, or ``net``.
        scale: one more factor of all learning rates, for whoever lowers them on the way.
    """

    def __init__(
        self,
        net: Net,
        loss: nn.Module,
        *,
        learning_rate: float = 1e-3,
        optimisers: Callable[[Net], Sequence[torch.optim.Optimizer]] | None = None,
        schedule: Callable[[int], float] | None = None,
        average: float = 0.0,
        precision: Precision = "bf16",
        accelerator: str = "auto",
    ) -> None:
        keep_memory()
        self.fabric = Fabric(
            accelerator=accelerator, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true"
        )
        module: Any = net  # torch's annotations do not know memory_format here
        module.to(memory_format=torch.channels_last)
        self.net, self.loss = net, loss.to(self.fabric.device)
        self.epoch, self.steps, self.scale = 0, 0, 1.0
        self.schedule, self.average = schedule, average
        made = optimisers(net) if optimisers else [torch.optim.Adam(net.parameters(), lr=learning_rate)]
        self._first_rates = [[group["lr"] for group in one.param_groups] for one in made]
        self._module, *self.optimisers = self.fabric.setup(net, *made)
        self.judged: Net = copy.deepcopy(net) if average else net
        self._quick: Net | None = None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.fabric.device

    def step(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the optimisers; gives the loss (scalar) and the logits before it."""
        self._quick = None
        self._module.train()
        factor = self.scale * (self.schedule(self.steps) if self.schedule else 1.0)
        for optimiser, rates in zip(self.optimisers, self._first_rates, strict=True):
            optimiser.zero_grad(set_to_none=True)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        logits = self._module(self._placed(images))
        loss = self.loss(logits, targets.to(self.device))
        self.fabric.backward(loss)
        for optimiser in self.optimisers:
            optimiser.step()
        self.steps += 1
        if self.average:
            self._follow(self.average)
        return loss.detach(), logits.detach()

    @torch.no_grad()
    def _follow(self, kept: float) -> None:
        """The mean of the weights moves towards them; quickly at first, when it holds little."""
        kept = min(kept, (1 + self.steps) / (10 + self.steps))
        (means, counts), (values, theirs) = self._held
        torch._foreach_lerp_(means, values, 1 - kept)
        for count, their in zip(counts, theirs, strict=True):
            count.copy_(their)

    @cached_property
    def _held(self) -> list[tuple[list[Tensor], list[Tensor]]]:
        """What the mean and the net hold: floats, and the rest."""
        held = [list(net.state_dict().values()) for net in (self.judged, self.net)]
        return [
            ([t for t in one if t.is_floating_point()], [t for t in one if not t.is_floating_point()])
            for one in held
        ]

    def logits(self, images: Tensor) -> Tensor:
        """What the judged net says of images (B, C, H, W) now: logits (B, K, ...) float32."""
        if self._quick is None:
            self._quick = folded(self.judged.eval())
        with torch.inference_mode(), self.fabric.autocast():
            return self._quick(self._placed(images)).float()

    def _placed(self, images: Tensor) -> Tensor:
        return images.to(self.device, memory_format=torch.channels_last)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights of the judged net, on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}

    def put(self, weights: Mapping[str, Tensor], *, grown: bool = False) -> None:
        """Put weights into the net, and into the mean of them.

        Args:
            weights: as :meth:`weights` gives them.
            grown: of a net with fewer outputs; the further ones keep the weights that they have.
        """
        with torch.no_grad():
            for held in (self.net.state_dict(), self.judged.state_dict()):
                for name, value in weights.items():
                    place = held[name][: len(value)] if grown and value.ndim else held[name]
                    place.copy_(value)
        self._quick = None

    def save(self, path: Path, **extra: Any) -> None:
        """Write all that the next epoch depends on, in one step; ``extra`` of plain values and tensors."""
        state = {
            "net": self.net.state_dict(),
            "mean": self.judged.state_dict() if self.average else None,
            "optimisers": [one.state_dict() for one in self.optimisers],
            "epoch": self.epoch,
            "steps": self.steps,
            "scale": self.scale,
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
        if self.average:
            self.judged.load_state_dict(state["mean"])
        for optimiser, held in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(held)
        self.epoch, self.steps, self.scale = state["epoch"], state["steps"], state["scale"]
        self._quick = None
        return state["extra"]

    def resume(self, path: Path, key: str) -> dict[str, Any] | None:
        """Go on from a file of :meth:`save`, unless it is of another training; gives its ``extra``.

        Args:
            path: the file.
            key: of this training; the one that was saved must be the same.

        Raises:
            ModelError: when the file cannot be read.
        """
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if held["extra"]["key"] != key:
                LOG.warning("The training is begun anew: settings or images have changed.")
                return None
            return self.load(path)
        except Exception as err:
            raise ModelError(f"{path} cannot be read ({err}): begin again with --restart.") from err


def train(
    learner: Learner,
    batches: Callable[[int], Iterable[Batch]],
    *,
    until: int,
    after_step: Callable[[int, Tensor, Tensor], None] | None = None,
    after_epoch: Callable[[float], bool | None] | None = None,
    seed: int = 0,
) -> None:
    """Epochs until the learner has ``until`` of them behind it.

    Args:
        learner: goes on from the epoch it has reached.
        batches: number of an epoch, from 1 -> its batches.
        until: the last epoch.
        after_step: told the number of the step, from 1, the logits before it and its targets.
        after_epoch: told the mean loss of the steps, once ``learner.epoch`` has been raised; the
            training ends when it says true.
        seed: with the number of an epoch, of what nets and augmentation draw in it.
    """
    while learner.epoch < until:
        losses: list[Tensor] = []
        with seeded(seed * 100_003 + learner.epoch):
            for step, (images, targets) in enumerate(batches(learner.epoch + 1), start=1):
                loss, logits = learner.step(images, targets)
                losses.append(loss)
                if after_step:
                    after_step(step, logits, targets)
        learner.epoch += 1
        if after_epoch and after_epoch(torch.stack(losses).mean().item()):
            return


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws from this seed; outside, as if nothing had been drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
