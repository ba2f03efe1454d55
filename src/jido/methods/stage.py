"""One training on tiles, from epoch to epoch: its history, its errors, its checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
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
    model_validator,
)

from jido.data.patches import normalise
from jido.data.tiles import POSITIVE_SHARE, Tiles, batches, draw_epoch, packed, unpacked
from jido.errors import ModelError
from jido.io import Progress
from jido.methods.errors import ErrorMask
from jido.nets import Combine, Head
from jido.stats.binary import BINS, best_threshold, binary_summary, counts_at, score_histogram

if TYPE_CHECKING:
    from torch import Tensor

    from jido.train import Learner

LOG = logging.getLogger("jido")

PRECONDITION = 0.95
"""IoU on the training tiles from which errors are the rest of a net that has learned its tiles."""

EVALUATED = 16
"""Tiles judged together."""


class StageConfig(BaseModel):
    """What every epoch of a training depends on; the defaults are the ginseng paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    net: str = "unet"
    width: PositiveInt = Field(64, description="channels at full resolution")
    depth: PositiveInt = Field(3, description="halvings of the resolution")
    loss: str = Field("bce", description="one of jido.losses.LOSSES")
    learning_rate: PositiveFloat = 1e-3
    batch: PositiveInt = 48
    precision: Literal["fp32", "bf16"] = "bf16"
    augment: bool = Field(False, description="turn and mirror tiles; the paper does not")
    positive_share: float = Field(
        POSITIVE_SHARE, ge=0, lt=1, description="a tile with more target than this share is a positive one"
    )
    ratio: NonNegativeFloat = Field(2.0, description="positive to negative tiles drawn; 0: all tiles alike")
    tiles_per_epoch: PositiveInt | None = Field(None, description="draws of an epoch; none: as many as tiles")
    seed: NonNegativeInt = 0
    passes: PositiveInt = Field(3, description="passes over the tiles in an epoch that collects errors")
    every: PositiveInt | None = Field(None, description="steps from one pass to the next, instead of passes")
    heads: tuple[Head, ...] = ("error",)
    combine: Combine = "union"

    @model_validator(mode="after")
    def _heads(self) -> StageConfig:
        if not self.heads or len(set(self.heads)) < len(self.heads):
            raise ModelError("Stage 2 needs one head or more, each of them once.")
        if self.combine == "signed" and "error" in self.heads:
            raise ModelError("An error head has no sign: give missed, false_alarm or both as heads.")
        return self


@dataclass(eq=False)
class Data:
    """Tiles and how they are used.

    Args:
        tiles: all of them.
        train: places of the training tiles.
        validation: places of the tiles on which choices are made.
        mean: of each band over the training tiles, (C,).
        sd: standard deviation of each band, (C,).
    """

    tiles: Tiles
    train: np.ndarray
    validation: np.ndarray
    mean: np.ndarray = field(init=False)
    sd: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.sd = self.tiles.moments(self.train)

    def images(self, which: np.ndarray) -> Tensor:
        """Normalised images (n, C, S, S), 0 where there is no data."""
        import torch

        return torch.from_numpy(normalise(self.tiles.pixels(which), self.mean, self.sd)[0])

    @cached_property
    def key(self) -> str:
        """Hash of the tiles and of how they are used, by which a checkpoint is known again."""
        digest, tiles = hashlib.blake2b(), self.tiles
        held = [tiles.images, tiles.masks, *([] if tiles.valid is None else [tiles.valid])]
        digest.update("\n".join(map(str, tiles.group)).encode())
        for array in (*held, self.train, self.validation):
            for some in batches(np.arange(len(array)), 256):
                digest.update(np.ascontiguousarray(array[some]).data)
        return digest.hexdigest()


@dataclass(eq=False)
class Stage:
    """A training that goes on from epoch to epoch: a net, its history and the errors it has made.

    Args:
        name: of the run in the history, and of its checkpoint.
        number: 1 or 2.
        stream: of random numbers, by name: stages of one stream draw the same tiles in an epoch.
        learner: the net, its loss and its optimiser.
        data: the tiles.
        config: the settings.
        train: places of the tiles that it learns from.
        collected: places of the tiles whose errors are collected: in the paper, the same.
        targets: packed masks (N, S * S / 8), one for each output.
        errors: what was wrong so far.
    """

    name: str
    number: int
    stream: str
    learner: Learner
    data: Data
    config: StageConfig
    train: np.ndarray
    collected: np.ndarray
    targets: tuple[np.ndarray, ...]
    errors: ErrorMask
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"iou": -1.0, "epoch": 0, "weights": {}})
    onset_iou: float | None = None

    @property
    def heads(self) -> tuple[Head, ...]:
        """What its outputs after the first learn."""
        return self.config.heads if self.number == 2 else ()

    def scores(self, which: np.ndarray) -> np.ndarray:
        """Scores (n, S, S) float32 of the target, as the net is now; 0 where there is no data."""
        return np.concatenate([self._scored(some)[0] for some in batches(which, EVALUATED)])

    def _scored(self, some: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Scores (n, S, S) of tiles that are judged together, and the logits (n, K, S, S) behind them."""
        from jido.nets.heads import target_score

        logits = self.learner.logits(self.data.images(some))
        scores = target_score(logits, self.heads, self.config.combine).cpu().numpy()
        if self.data.tiles.valid is not None:
            scores *= unpacked(self.data.tiles.valid[some], self.data.tiles.side)
        return scores, logits

    def outputs(self, which: np.ndarray) -> np.ndarray:
        """Probabilities (n, K, S, S) float32 of each output: the target and what the heads have learned."""
        found = [self.learner.logits(self.data.images(some)) for some in batches(which, EVALUATED)]
        return np.concatenate([logits.sigmoid().cpu().numpy() for logits in found])

    def predicted(self, which: np.ndarray) -> np.ndarray:
        """Packed predictions (n, S * S / 8) at a score of .5."""
        return np.concatenate([packed(self.scores(some) >= 0.5) for some in batches(which, EVALUATED)])

    def counts(self, which: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """True positives, false positives, false negatives, true negatives (4,) of packed predictions."""
        truth = self.data.tiles.masks[which]
        parts = (truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted)
        return np.array([np.bitwise_count(part).sum(dtype=np.int64) for part in parts])

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch, drawn from the seed, the number of the epoch and the stream."""
        import torch

        from jido.train import dihedral

        config, tiles = self.config, self.data.tiles
        seed = (config.seed, epoch, *self.stream.encode())
        positive = tiles.positive(config.positive_share)[self.train]
        size, ratio = config.tiles_per_epoch, config.ratio or None
        drawn = self.train[draw_epoch(positive, seed=seed, ratio=ratio, size=size)]
        turns = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        for which in batches(drawn, config.batch):
            masks = np.stack([unpacked(bits[which], tiles.side) for bits in self.targets], axis=1)
            images, targets = self.data.images(which), torch.from_numpy(masks).float()
            yield dihedral(images, targets, generator=turns) if config.augment else (images, targets)

    def histograms(self, which: np.ndarray) -> np.ndarray:
        """Score histograms (G, 2, BINS) of some tiles, one for each of their groups in sorted order."""
        groups = self.data.tiles.group[which]
        return np.array([self.histogram(which[groups == group]) for group in np.unique(groups)])

    def histogram(self, which: np.ndarray) -> np.ndarray:
        """Score histogram (2, BINS) of some tiles."""
        return self._judged(which)[0]

    def _judged(self, which: np.ndarray) -> tuple[np.ndarray, float]:
        """Score histogram (2, BINS) of some tiles, and the mean loss of the target output on them.

        What heads learn is not known of tiles whose errors are not collected, so they are left out.
        """
        import torch

        found, losses = np.zeros((2, BINS), dtype=np.int64), []
        for some in batches(which, EVALUATED):
            mask, (scores, logits) = self.data.tiles.mask(some), self._scored(some)
            found += score_histogram(scores, mask)
            target = torch.from_numpy(mask[:, None]).to(logits.device, torch.float32)
            losses.append(len(some) * float(self.learner.loss(logits[:, :1], target)))
        return found, sum(losses) / max(len(which), 1)

    def take_best(self) -> Stage:
        """Put the weights of the epoch with the best validation IoU into the net."""
        self.learner.put(self.best["weights"])
        return self

    # -- the loop ------------------------------------------------------------------------------

    def run(
        self, until: int, *, collect_from: int | None = None, work: Path, progress: Progress | None = None
    ) -> Stage:
        """Train to an epoch, collecting errors after another one; goes on from its checkpoint.

        Args:
            until: last epoch.
            collect_from: errors are collected in the epochs after this one; never without it.
            work: folder of the checkpoint.
            progress: told the epochs.
        """
        from jido.train import train

        checkpoint, key = self.checkpoint(work), self.key(collect_from)
        if checkpoint.exists():
            self.restore(checkpoint, key, until=until)
        steps = -(-(self.config.tiles_per_epoch or len(self.train)) // self.config.batch)
        collected_after = self._collection_steps(steps)
        hits = np.zeros(3, dtype=np.int64)
        started = time.perf_counter()

        def collecting(epoch: int) -> bool:
            return collect_from is not None and epoch > collect_from

        def after_step(step: int, logits: Tensor, targets: Tensor) -> None:
            said, true = logits[:, 0] > 0, targets[:, 0].to(logits.device) > 0
            hits[:] += [int((said & true).sum()), int((said & ~true).sum()), int((~said & true).sum())]
            if collecting(self.learner.epoch + 1) and step in collected_after:
                self._collect()

        def after_epoch(loss: float) -> None:
            nonlocal started
            epoch = self.learner.epoch
            if epoch == collect_from:
                self._check_precondition()
            if not np.isfinite(loss):
                raise ModelError(f"The loss is no number after epoch {epoch}: take a lower learning_rate.")
            held, val_loss = self._judged(self.data.validation)
            figures = {name: float(value) for name, value in binary_summary(counts_at(held, 0.5)).items()}
            best_iou = float(np.nan_to_num(binary_summary(counts_at(held, best_threshold(held)))["iou"]))
            self.rows.append(
                {
                    "run": self.name,
                    "stage": self.number,
                    "epoch": epoch,
                    "loss": loss,
                    "val_loss": val_loss,
                    "train_iou": float(hits[0] / max(hits.sum(), 1)),
                    **{name: value if np.isfinite(value) else None for name, value in figures.items()},
                    "best_iou": best_iou,
                    "cfdr": self.errors.ratio(self.collected) if collecting(epoch) else None,
                    "seconds": round(time.perf_counter() - started, 2),
                }
            )
            if best_iou >= self.best["iou"]:  # at its best threshold, for that is chosen afterwards
                self.best = {"iou": best_iou, "epoch": epoch, "weights": self.learner.weights()}
            self.store(checkpoint, key)
            if progress:
                progress(f"{self.name} on {self.learner.device}", epoch, until)
            started, hits[:] = time.perf_counter(), 0

        train(self.learner, self.batches, until=until, after_step=after_step, after_epoch=after_epoch)
        return self

    def _collection_steps(self, steps: int) -> set[int]:
        """Numbers of the steps after which errors are collected."""
        if self.config.every:
            return set(range(self.config.every, steps + 1, self.config.every)) or {steps}
        passes = self.config.passes
        return {round(steps * (i + 1) / passes) for i in range(passes)}

    def _collect(self) -> None:
        for some in batches(self.collected, EVALUATED):
            self.errors.add(some, self.predicted(some))

    def _check_precondition(self) -> None:
        """Has the net learned its tiles when collecting begins, as the paper wants it?"""
        counts = self.counts(self.train, self.predicted(self.train))
        self.onset_iou = float(binary_summary(counts)["iou"])
        met = "" if self.onset_iou >= PRECONDITION else f": precondition not met, it should be {PRECONDITION}"
        LOG.info("Train IoU is %.3f when collecting of errors begins%s.", self.onset_iou, met)

    # -- checkpoints ---------------------------------------------------------------------------

    def checkpoint(self, work: Path) -> Path:
        """The file that it goes on from."""
        return work / f"{self.name.replace(' ', '')}.pt"

    def key(self, collect_from: int | None) -> str:
        """Hash of all that this stage depends on; epochs to come do not count."""
        other = {"heads", "combine"} if self.number == 1 else {"passes", "every"}
        settings = {name: getattr(self.config, name) for name in StageConfig.model_fields.keys() - other}
        shapes = [[name, *value.shape] for name, value in self.learner.net.state_dict().items()]
        facts = [settings, self.number, self.stream, collect_from, self.data.key, shapes]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for part in (*self.targets, self.train, self.collected):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def store(self, path: Path, key: str) -> None:
        """Write the checkpoint."""
        import torch

        self.learner.save(
            path,
            key=key,
            rows=self.rows,
            best=self.best,
            onset_iou=self.onset_iou,
            errors=torch.from_numpy(self.errors.bits) if self.errors.bits.any() else None,
        )

    def restore(self, path: Path, key: str | None = None, *, until: int | None = None) -> None:
        """Go on from a checkpoint; one of another training (by its key), or beyond an epoch, is left aside.

        Raises:
            ModelError: when it cannot be read.
        """
        import torch

        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if key is not None and held["extra"]["key"] != key:
                LOG.warning("%s is begun anew: settings or tiles have changed.", self.name)
                return
            if until is not None and held["epoch"] > until:
                LOG.warning("%s is begun anew: it has gone beyond epoch %d.", self.name, until)
                return
            extra = self.learner.load(path)
        except (OSError, RuntimeError, KeyError, EOFError, ValueError) as err:
            raise ModelError(f"{path} cannot be read: remove it, or train with --restart.") from err
        self.rows, self.best, self.onset_iou = extra["rows"], extra["best"], extra["onset_iou"]
        self.errors.bits[:] = 0 if extra["errors"] is None else extra["errors"].numpy()
