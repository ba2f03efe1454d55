"""Scene classification from scratch: a class for a whole image.

Vir 2025, arXiv 2510.15527: three nets and their recipes (EuroSAT RGB, random split: 94.30, 95.98 and
97.23 % claimed), and a compact net with a recipe of our own that learns in minutes on a processor:
Muon, a triangular learning rate, running means of the weights, smoothed labels, turned and shifted
images.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches
from jido.errors import ModelError
from jido.io import Progress
from jido.methods.scene_config import SceneConfig
from jido.methods.scene_data import SceneData
from jido.nets import Setting, build_net
from jido.stats.confusion import confusion, f1_per_class

if TYPE_CHECKING:
    from torch import Tensor

    from jido.nets.scene import SceneNet
    from jido.train import Learner

LOG = logging.getLogger("jido")

EVALUATED = 2**20
"""Pixels judged together."""

SAVING = 0.03
"""Share of the time that checkpoints may take: large nets are saved less often."""

WEIGHTS = (0.8, 1.3)
"""Least and largest weight of a class in the loss: what the paper chose by hand."""


@dataclass(eq=False)
class SceneTraining:
    """A training that goes on from epoch to epoch.

    Args:
        data: the images.
        config: the settings.
        rows: the history, a row per epoch.
        best: epoch, validation accuracy and weights of the best epoch so far.
        class_weights: (K,) in the loss; ``None`` while they are equal.
    """

    data: SceneData
    config: SceneConfig
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"oa": -1.0, "epoch": 0, "weights": {}})
    class_weights: list[float] | None = None

    def __post_init__(self) -> None:
        given, config = self.config.class_weights, self.config
        if config.shift >= self.data.chips.side:
            raise ModelError(
                f"Images of {self.data.chips.side} pixels cannot be moved by {config.shift}: give less."
            )
        blind = {
            "patience": config.patience > 0,
            "schedule = 'plateau'": config.schedule == "plateau",
            "class_weights = 'confusion'": given == "confusion",
        }
        if (asked := [name for name, wanted in blind.items() if wanted]) and not len(self.data.validation):
            raise ModelError(f"{asked[0]} needs validation images: give some, or another setting.")
        if isinstance(given, dict):
            if unknown := given.keys() - set(self.data.chips.classes):
                raise ModelError(
                    f"There is a weight for {', '.join(sorted(unknown))}, which is no class of the images: "
                    f"give weights for {', '.join(self.data.chips.classes)}."
                )
            self.class_weights = [given.get(name, 1.0) for name in self.data.chips.classes]

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(len(self.data.train) // self.config.batch, 1)

    @property
    def epochs(self) -> int:
        """Epochs in all: those of the settings, or enough for ``least_steps``."""
        return max(self.config.epochs, math.ceil(self.config.least_steps / self.steps))

    @cached_property
    def learner(self) -> Learner:
        """The net, its loss and its optimiser; first weights depend on the seed alone."""
        from jido.train import Learner, seeded

        with seeded(self.config.seed):
            net = build_scene_net(self.config, self.data.chips)
        learner = Learner(
            net,
            self._loss(),
            optimisers=self._optimisers,
            schedule=self._factor,
            average=self.config.average,
            precision=self.config.precision,
        )
        self.data.hold(learner.device)
        return learner

    def _loss(self) -> Any:
        import torch

        weight = None if self.class_weights is None else torch.tensor(self.class_weights)
        return torch.nn.CrossEntropyLoss(weight, label_smoothing=self.config.label_smoothing)

    def _optimisers(self, net: Any) -> list[Any]:
        import torch

        from jido.train import muon_and_adamw

        config = self.config
        rate, decay = config.learning_rate, config.weight_decay
        if config.optimiser == "muon":
            return muon_and_adamw(net, lr=rate, small_lr=config.small_learning_rate, weight_decay=decay)
        weights = [weight for weight in net.parameters() if weight.requires_grad]
        if config.optimiser == "sgd":
            return [torch.optim.SGD(weights, rate, momentum=0.9, nesterov=True, weight_decay=decay)]
        kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
        return [kind(weights, rate, weight_decay=decay, fused=True)]

    def _factor(self, step: int) -> float:
        """Factor of the learning rate for a step, from 0."""
        from jido.train import cosine, restarts, triangle

        done = step / (self.steps * self.epochs)
        match self.config.schedule:
            case "triangle":
                return triangle(done)
            case "cosine":
                return cosine(done)
            case "restarts":
                return restarts(step / self.steps, first=self.config.restart, factor=2)
        return 1.0  # of plateau the learner's scale

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch, drawn from the seed and the number of the epoch."""
        import torch

        from jido.train import turned_and_shifted

        config, train = self.config, self.data.train
        order = np.random.default_rng((config.seed, epoch)).permutation(train)
        turns = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        for which in batches(order[: self.steps * config.batch], config.batch):
            images = self.data.raw(which, self.learner.device)
            if config.augment == "turned":
                images = turned_and_shifted(images, shift=config.shift, generator=turns)
            if config.augment == "paper":
                values, mean, sd = self.data.ranged(images)
                seen = self._views(values, mean=mean, sd=sd)
            else:
                seen = self.data.normalised(images)
            yield seen, torch.from_numpy(self.data.chips.label[which])

    @cached_property
    def _views(self) -> Any:
        from jido.train import PaperViews

        return PaperViews(colour=self.data.in_colour)

    def probabilities(self, which: np.ndarray, *, views: bool = False) -> np.ndarray:
        """Probabilities (n, K) float32 of images, as the net is now.

        Args:
            which: places of the images.
            views: the mean over the 8 turned and mirrored images.

        Raises:
            ModelError: when they are no numbers.
        """
        import torch

        from jido.train import all_symmetries

        found = [np.empty((0, len(self.data.chips.classes)), np.float32)]
        for some in batches(which, max(EVALUATED // self.data.chips.side**2, 1)):
            images = self.data.normalised(self.data.raw(some, self.learner.device))
            seen = all_symmetries(images) if views else [images]
            said = torch.stack([self.learner.logits(view).softmax(1) for view in seen]).mean(0)
            found.append(said.cpu().numpy())
        if not all(np.isfinite(some).all() for some in found):
            raise self._diverged()
        return np.concatenate(found)

    def _diverged(self) -> ModelError:
        return ModelError(
            f"The net gives no numbers any more after epoch {self.learner.epoch}: take a lower learning_rate."
        )

    # -- the loop ------------------------------------------------------------------------------

    def run(self, work: Path, *, progress: Progress | None = None) -> SceneTraining:
        """Train to the last epoch, or until nothing gets better; goes on from its checkpoint.

        Args:
            work: folder of the checkpoint.
            progress: told the epochs.
        """
        from jido.train import train

        checkpoint = work / "scene.pt"
        if checkpoint.exists():
            self.restore(checkpoint)
        started = saved = time.perf_counter()
        cost = 0.0  # seconds that the last checkpoint has taken
        total = self.steps * self.epochs

        def after_step(step: int, logits: Tensor, targets: Tensor) -> None:
            if progress:
                progress(f"training on {self.learner.device}", self.learner.steps, total)

        def after_epoch(loss: float) -> bool:
            nonlocal started, saved, cost
            if not np.isfinite(loss):
                raise self._diverged()
            self._look(loss)
            now, finished = time.perf_counter(), self._finished()
            self.rows[-1]["seconds"], started = round(now - started, 2), now
            if finished or cost <= SAVING * (now - saved):
                self._save(checkpoint)
                saved = time.perf_counter()
                cost = saved - now
            return finished

        if not self._finished():
            seed = self.config.seed
            train(
                self.learner,
                self.batches,
                until=self.epochs,
                after_step=after_step,
                after_epoch=after_epoch,
                seed=seed,
            )
        self.learner.put(self.best["weights"])
        return self

    def _look(self, loss: float) -> None:
        """See how validation images fare, and what follows from it; without any the last epoch is best."""
        epoch, held, config = self.learner.epoch, self.data.validation, self.config
        net: SceneNet = self.learner.judged  # type: ignore[assignment]
        row: dict[str, Any] = {"epoch": epoch, "loss": loss, "val_loss": None, "val_oa": None}
        factor = self.learner.scale * self._factor(self.learner.steps - 1)
        row["learning_rate"] = factor * config.learning_rate
        row["fusion"] = net.fusion()
        self.rows.append(row)
        last = epoch == self.epochs
        weighing = config.class_weights == "confusion" and epoch == max(self.epochs // 4, 1)
        if not len(held):
            self.best = {"oa": -1.0, "epoch": epoch, "weights": self.learner.weights()} if last else self.best
            return
        if not (last or weighing or epoch % config.judge_every == 0):
            return
        said, true = self.probabilities(held), self.data.chips.label[held]
        right = float((said.argmax(1) == true).mean())
        chosen = said[np.arange(len(true)), true]
        row |= {"val_oa": right, "val_loss": float(-np.log(np.maximum(chosen, 1e-12)).mean())}
        if weighing:
            self.class_weights = weights_from_confusion(confusion(true, said.argmax(1), said.shape[1]))
            self.learner.loss = self._loss().to(self.learner.device)
        if right > self.best["oa"]:
            self.best = {"oa": right, "epoch": epoch, "weights": self.learner.weights()}
        if config.schedule == "plateau":
            self._lower()

    def _lower(self) -> None:
        """Half the learning rate when the validation loss has not fallen for 3 epochs."""
        losses = [row["val_loss"] for row in self.rows if row["val_loss"] is not None]
        since = len(losses) - 1 - int(np.argmin(losses))
        if since and since % 4 == 0:
            self.learner.scale *= 0.5

    def _finished(self) -> bool:
        patience, epoch = self.config.patience, self.learner.epoch
        late = 0 < patience <= epoch - self.best["epoch"]
        return epoch >= self.epochs or late

    # -- checkpoints ---------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Hash of all that the training depends on."""
        facts = self.config.model_dump(mode="json", exclude={"views", "stride"})
        return hashlib.sha256(json.dumps([facts, self.data.key], sort_keys=True).encode()).hexdigest()

    def _save(self, path: Path) -> None:
        held = {"rows": self.rows, "best": self.best, "class_weights": self.class_weights}
        self.learner.save(path, key=self.key, **held)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; one of another training is left aside.

        Raises:
            ModelError: when it cannot be read.
        """
        extra = self.learner.resume(path, self.key)
        if extra is None:
            return
        self.rows, self.best, self.class_weights = (extra[k] for k in ("rows", "best", "class_weights"))
        self.learner.loss = self._loss().to(self.learner.device)


def build_scene_net(config: SceneConfig, chips: Chips) -> SceneNet:
    """A fresh net for some images.

    Raises:
        ModelError: without torch, for settings that the net does not have, and for images too small.
    """
    from jido.nets.cost import cost

    settings = net_settings(config, chips.side)
    net = build_net(config.net, in_channels=len(chips.bands), out_channels=len(chips.classes), **settings)
    found = cost(net, chips.side)
    LOG.info(
        "Net %s: %.3g million parameters, %.3g GMAC for an image.",
        config.net,
        found.parameters / 1e6,
        found.macs / 1e9,
    )
    return net  # type: ignore[return-value]


def net_settings(config: SceneConfig, side: int) -> dict[str, Setting]:
    """What builds the net besides its channels."""
    return {**({"side": side} if config.net == "baseline" else {}), **config.settings}


def weights_from_confusion(cm: np.ndarray) -> list[float]:
    """Weights (K,) of classes in the loss: the more of a class goes wrong, the larger.

    The error ``1 - F1`` of a class over the mean of all, within :data:`WEIGHTS`, and 1 for a class that
    does not occur; the paper chose such weights by hand from its confusion matrix.
    """
    wrong = np.where(cm.sum(1) > 0, 1 - f1_per_class(cm), np.nan)
    mean = np.nanmean(wrong)
    if not mean > 0:
        return [1.0] * len(wrong)
    return np.where(np.isnan(wrong), 1, np.clip(wrong / mean, *WEIGHTS)).round(4).tolist()
