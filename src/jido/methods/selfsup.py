"""Learning from patches without labels: one loop for SSMMRL and its rivals, and a watch over collapse."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from jido.data.pool import Pool
from jido.data.tiles import batches
from jido.errors import ModelError
from jido.io import Progress
from jido.methods.keywords import checked
from jido.methods.watch import Probe, spread
from jido.nets import Setting

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jido.methods.pretext import Factory, Pretext
    from jido.nets.encoders import Encoder
    from jido.train import Learner, ViewSettings

LOG = logging.getLogger("jido")

METHODS = {
    "ssmmrl": "jido.methods.ssmmrl:SSMMRL",
    "byol": "jido.methods.contrastive:BYOL",
    "simclr": "jido.methods.contrastive:SimCLR",
    "moco": "jido.methods.contrastive:MoCo",
    "dino": "jido.methods.contrastive:DINO",
    "mae": "jido.methods.masked:MAE",
    "data2vec": "jido.methods.masked:Data2Vec",
}
"""Name in a config -> the task it sets itself."""

TOKENS = ("mae", "data2vec")
"""Methods that need an encoder of tokens."""

COLLAPSED, LEAST_RANK = 0.1, 3.0
"""Spread and rank of vectors below which an encoder says nearly the same of everything."""

PATIENT = 3
"""Epochs before a word is said: fresh encoders are narrow, too."""

LOOKED_AT = 1024
"""Patches whose vectors are looked at after an epoch."""

WARM, COOL = 0.1, 0.2
"""Shares of a training until the full learning rate, and until dynamic convolutions have temperature 1."""


class PretrainConfig(BaseModel):
    """Settings of a training without labels."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["ssmmrl", "byol", "simclr", "moco", "dino", "mae", "data2vec"] = "ssmmrl"
    settings: dict[str, Any] = Field(default_factory=dict, description="of the method: tau, fusion, weights")
    encoder: dict[str, Setting] = Field(
        default_factory=dict, description="of the encoder: kind, width, kernels"
    )
    views: dict[str, float] = Field(default_factory=dict, description="how far two views differ")
    positives: Literal["dates", "views"] = Field(
        "dates",
        description="what is compared: two dates of a place where it has several, or one date twice",
    )
    windows: PositiveInt = Field(20_000, description="drawn from the images, at random")
    patch: PositiveInt | None = Field(None, description="side of a window in pixels; 320 m without it")
    epochs: PositiveInt = 50
    batch: int = Field(256, ge=2, description="patches compared with each other")
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.05
    temperature: PositiveFloat = Field(30.0, description="of dynamic convolutions at first; 1 after a fifth")
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: NonNegativeInt = 0


@dataclass(eq=False)
class Pretraining:
    """A training without labels that goes on from epoch to epoch.

    Args:
        pool: the patches.
        config: the settings.
        probe: labelled patches to watch it by; none without it.
        probe_every: epochs from one look at the probe to the next.
        rows: the history, a row per epoch.

    Raises:
        ModelError: when there are fewer patches than a batch.
    """

    pool: Pool
    config: PretrainConfig
    probe: Probe | None = None
    probe_every: int = 5
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.pool) < self.config.batch:
            raise ModelError(
                f"There are {len(self.pool)} patches but a batch has {self.config.batch}: give more images "
                "or a smaller batch."
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.pool) // self.config.batch

    @property
    def encoder(self) -> Encoder:
        """What learns, and is kept in the end."""
        return self.learner.net.encoder  # type: ignore[return-value]

    @property
    def encoder_settings(self) -> dict[str, Setting]:
        """What builds the encoder: its kind, and what suits the side of the patches unless given."""
        return encoder_settings(self.config, self.pool.side)

    @cached_property
    def view_settings(self) -> ViewSettings:
        """How far two views differ."""
        return view_settings(self.config)

    @cached_property
    def learner(self) -> Learner:
        """The task, its optimiser and its schedule; first weights depend on the seed alone."""
        from jido.methods.pretext import Given
        from jido.train import Learner, cosine, seeded

        total = self.steps * self.config.epochs
        with seeded(self.config.seed):
            task = task_of(self.config, self.pool.stack.sensors, self.pool.side)

        def factor(step: int) -> float:
            done = (step + 1) / total
            return done / WARM if done < WARM else cosine((done - WARM) / (1 - WARM))

        return Learner(
            task,  # type: ignore[arg-type]  # its answer is the loss
            Given(),
            optimisers=self._optimisers,
            schedule=factor,
            precision=self.config.precision,
        )

    def _optimisers(self, net: nn.Module) -> list[Any]:
        import torch

        config = self.config
        weights = [weight for weight in net.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in weights if weight.ndim > 1]},
            {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
        ]
        decay = config.weight_decay
        return [torch.optim.AdamW(groups, config.learning_rate, weight_decay=decay, fused=True)]

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Two views of each patch of a batch, (2 B, C, S, S): first views, then second views."""
        import torch

        from jido.train import views

        config, pool = self.config, self.pool
        rng = np.random.default_rng((config.seed, epoch))
        device = self.learner.device
        draws = torch.Generator(device).manual_seed(config.seed * 100_003 + epoch)
        settings, nothing = self.view_settings, torch.zeros(())
        order = rng.permutation(len(pool))[: self.steps * config.batch]
        for which in batches(order, config.batch):
            patches = pool.patches(np.sort(which))
            dates = rng.permuted(np.tile(np.arange(pool.stack.dates), (len(which), 1)), axis=1)
            rows = np.arange(len(which))[:, None]
            there = patches.flatten(2).any(2).numpy()[rows, dates]
            dates = dates[rows, (~there).argsort(axis=1, stable=True)]  # those without data come last
            last = np.maximum(there.sum(axis=1) - 1, 0) if config.positives == "dates" else 0 * dates[:, 0]
            seen = [patches[rows[:, 0], date] for date in (dates[:, 0], dates[rows[:, 0], last])]
            yield views(torch.cat(seen).to(device), pool.stack.sensors, settings, generator=draws), nothing

    def vectors(self, pool: Pool, which: np.ndarray) -> np.ndarray:
        """What the encoder says of patches, (n, D) float32: the mean over the dates."""
        return encoded(self.encoder, pool, which, autocast=self.learner.fabric.autocast())

    # -- the loop ------------------------------------------------------------------------------

    def run(self, work: Path, *, progress: Progress | None = None) -> Pretraining:
        """Train to the last epoch; goes on from its checkpoint with the same bits.

        Args:
            work: folder of the checkpoint.
            progress: told the steps.

        Raises:
            ModelError: when the loss is no number any more, or the checkpoint cannot be read.
        """
        from jido.nets.dynamic import set_temperature
        from jido.train import train

        checkpoint = work / "pretrain.pt"
        if checkpoint.exists():
            self.restore(checkpoint)
        total = self.steps * self.config.epochs
        task: Pretext = self.learner.net  # type: ignore[assignment]
        started = time.perf_counter()

        def heat() -> None:
            done = self.learner.steps / (COOL * total)
            set_temperature(task, 1 + (self.config.temperature - 1) * max(1 - done, 0))

        def after_step(step: int, loss: Tensor, targets: Tensor) -> None:
            task.follow(self.learner.steps / total)
            heat()
            if progress:
                progress(f"learning without labels on {self.learner.device}", self.learner.steps, total)

        def after_epoch(loss: float) -> None:
            nonlocal started
            seconds = time.perf_counter() - started
            if not np.isfinite(loss):
                raise ModelError(
                    f"The loss is no number any more in epoch {self.learner.epoch}: take a lower "
                    "learning_rate."
                )
            self.rows.append({"epoch": self.learner.epoch, "loss": loss, "seconds": round(seconds, 3)})
            self._look()
            self.learner.save(checkpoint, key=self.key, rows=self.rows)
            started = time.perf_counter()

        heat()
        train(
            self.learner,
            self.batches,
            until=self.config.epochs,
            after_step=after_step,
            after_epoch=after_epoch,
            seed=self.config.seed,
        )
        return self

    def _look(self) -> None:
        """Spread and rank of vectors of some patches, now and then the probe; a word when all are alike."""
        row = self.rows[-1]
        some = np.arange(0, len(self.pool), max(len(self.pool) // LOOKED_AT, 1))
        row["spread"], row["rank"] = spread(self.vectors(self.pool, some))
        row["patches_per_second"] = round(self.steps * self.config.batch / max(row["seconds"], 1e-9), 1)
        epoch, probe = self.learner.epoch, self.probe
        if probe and (epoch % self.probe_every == 0 or epoch == self.config.epochs):
            row["knn"] = probe.accuracy(self.vectors(probe.pool, np.arange(len(probe.pool))))
        alike = [one["spread"] < COLLAPSED or one["rank"] < LEAST_RANK for one in self.rows]
        told = epoch > PATIENT and any(alike[PATIENT - 1 : -1])  # once is enough
        if alike[-1] and epoch >= min(PATIENT, self.config.epochs) and not told:
            LOG.warning(
                "Epoch %d: the encoder says nearly the same of all patches (spread %.2f, "
                "rank %.1f): it has collapsed. Take a lower learning_rate, a tau nearer 1 or another method.",
                epoch,
                row["spread"],
                row["rank"],
            )

    # -- checkpoints ---------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Hash of all that the training depends on."""
        facts = [self.config.model_dump(mode="json"), self.encoder_settings, self.pool.key]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; one of another training is left aside.

        Raises:
            ModelError: when it cannot be read.
        """
        if extra := self.learner.resume(path, self.key):
            self.rows = extra["rows"]


def view_settings(config: PretrainConfig) -> ViewSettings:
    """How far two views differ.

    Raises:
        ModelError: for settings that views do not have.
    """
    from jido.train import ViewSettings

    return ViewSettings(**checked("Views", ViewSettings, config.views, remedy="correct their settings"))


def encoder_settings(config: PretrainConfig, side: int) -> dict[str, Setting]:
    """What builds the encoder for patches of ``side`` pixels: its kind, and what suits them unless given.

    Methods that need tokens get about as many weights as a residual encoder of that width and blocks,
    unless the kind is given, too.

    Raises:
        ModelError: for an encoder that does not suit the method or the patches.
    """
    given, kind = config.encoder, config.encoder.get("kind")
    if config.method in TOKENS and kind not in (None, "tokens"):
        raise ModelError(f"{config.method} needs an encoder of tokens, not {kind!r}: leave out its kind.")
    if given.get("side", side) != side:
        raise ModelError(f"The encoder has a side of {given['side']}, patches of {side}: leave it out.")
    if kind == "tokens":
        return {"side": side, "token": token_side(side), **given}
    if config.method in TOKENS:
        return token_settings(side, given)
    return {"kind": "residual", "first_stride": 2 if side >= 24 else 1, **given}


def token_settings(side: int, residual: Mapping[str, Setting]) -> dict[str, Setting]:
    """An encoder of tokens with about as many weights as a residual one.

    Args:
        side: of the patches in pixels.
        residual: width and blocks of the residual encoder; 64 and 1 without them.

    Raises:
        ModelError: for other settings.
    """

    def alike(*, width: PositiveInt = 64, blocks: PositiveInt = 1) -> dict[str, Setting]:
        return {"width": max(5 * width // 32, 1) * 32, "depth": 4 * blocks}

    remedy = "give these, or kind = 'tokens' and its own: token, width, depth"
    same = alike(**checked("Tokens as large as a residual encoder", alike, residual, remedy=remedy))
    return {"kind": "tokens", "side": side, "token": token_side(side), **same}


def token_side(side: int) -> int:
    """Pixels along a token of a patch of ``side`` pixels."""
    return 4 if side >= 24 else 2


def task_of(config: PretrainConfig, sensors: Mapping[str, int], side: int) -> Pretext:
    """The task of a training on patches of some sensors and this side, with fresh weights.

    Raises:
        ModelError: for settings that the method or the encoder do not have.
    """
    from jido.nets.encoders import build_encoder

    settings = encoder_settings(config, side)
    kind = str(settings.pop("kind"))
    return build_pretext(config.method, lambda: build_encoder(kind, sensors, **settings), config.settings)


def build_pretext(method: str, factory: Factory, settings: Mapping[str, Any]) -> Pretext:
    """The task of a method, with fresh weights.

    Raises:
        ModelError: for settings that the method does not have.
    """
    module, name = METHODS[method].split(":")
    kind = getattr(importlib.import_module(module), name)
    given = checked(f"The method {method!r}", kind, settings)
    try:
        return kind(factory, **given)
    except (TypeError, ValueError, RuntimeError) as err:  # of torch: sizes that are none
        raise ModelError(f"The method {method!r} cannot be set up ({err}): correct its settings.") from err


def encoded(
    encoder: Encoder, pool: Pool, which: np.ndarray, *, autocast: AbstractContextManager[Any] | None = None
) -> np.ndarray:
    """Vectors (n, D) float32 of patches, the mean over the dates that are there; weights stay as they are."""
    import torch

    from jido.nets.encoders import over_dates

    was, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    found = [np.empty((0, encoder.out_channels), np.float32)]
    with torch.inference_mode(), autocast or nullcontext():
        for some in batches(which, 512):
            patches = pool.patches(some).to(device)
            found.append(over_dates(encoder, patches).float().cpu().numpy())
    encoder.train(was)
    return np.concatenate(found)
