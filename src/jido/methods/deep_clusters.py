"""A net that learns the groups its own vectors fall into: deep clustering, by Jido's one training loop.

Every epoch groups the vectors of all inhabited tiles, urban and rural ones apart, and a fresh head learns to
tell the groups from two views of each tile, whose vectors shall agree (Caron et al. 2018, doi
10.1007/978-3-030-01264-9_9; Han et al. 2020, doi 10.1145/3394486.3403347). Groups are drawn equally often,
which keeps a large one from swallowing the others (Caron et al., section 3.3).

The code that Ahn et al. 2023 published (DonghyunAhn/development-measure, Stage1/2_train_cluster.py) differs:
it groups urban and rural tiles together while the net learns, does not whiten, has no second view, and
greys half of the images.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.tile_clusters import INHABITED
from jido.data.tiles import batches
from jido.errors import ImageError, ModelError
from jido.io import Progress
from jido.methods.cluster_config import ClusterConfig
from jido.methods.cluster_start import Start, fresh, of_encoder, of_scene_net, sensor_runs, shrunk
from jido.methods.encoder_package import EncoderPackage
from jido.methods.grouping import k_means_labels, whitened
from jido.methods.net import NetModel
from jido.methods.selfsup import COLLAPSED
from jido.methods.watch import spread

if TYPE_CHECKING:
    from torch import Tensor

    from jido.train import Learner, ViewSettings

LOG = logging.getLogger("jido")

PATIENT = 1
"""Epochs before a word is said: fresh nets are narrow, too."""

AT_ONCE = 256
"""Tiles seen together when vectors are taken."""

TILES_PER_GROUP = 10
"""Tiles for each group that the net learns."""

STARTS = 3
"""Of k-means while the net learns: its groups need not be the best."""


@dataclass(eq=False)
class DeepClustering:
    """A training on groups of its own that goes on from epoch to epoch.

    Args:
        chips: all tiles.
        kinds: (N,) what each is; the net learns from urban and rural ones.
        config: the settings.
        start: what it begins with; fresh weights without it.
        rows: the history, a row per epoch: loss, spread and rank of the vectors, share of the tiles that are
            in the largest group, and how far the groups are those of the epoch before (adjusted Rand index).
    """

    chips: Chips
    kinds: np.ndarray
    config: ClusterConfig
    start: EncoderPackage | NetModel | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    _group: np.ndarray | None = field(init=False, default=None)

    @cached_property
    def first(self) -> Start:
        """The net before it learns, and how it wants its images."""
        if isinstance(self.start, EncoderPackage):
            return of_encoder(self.start, self.chips, self.config)
        if isinstance(self.start, NetModel):
            return of_scene_net(self.start, self.chips)
        return fresh(self.chips, self.config)

    @cached_property
    def inhabited(self) -> np.ndarray:
        """Places of the tiles that it learns from."""
        return np.flatnonzero(np.isin(self.kinds, INHABITED))

    @cached_property
    def images(self) -> np.ndarray:
        """(N, C, S, S) float16, normalised and averaged to the side that the net wants; 0 without data."""
        first = self.first
        if self.chips.side < first.side:
            raise ImageError(
                f"Tiles of {self.chips.side} pixels are too small for a net of {first.side}: give larger "
                "tiles or another start."
            )
        mean, sd = first.moments or self.chips.moments(self.inhabited)
        if first.moments is None:
            mean, sd = mean[list(first.order)], sd[list(first.order)]
        found = np.empty((len(self.chips), len(first.order), first.side, first.side), np.float16)
        for some in batches(np.arange(len(self.chips)), AT_ONCE):
            raw = self.chips.images[some][:, first.order].astype(np.float32)
            found[some] = shrunk((raw - mean[:, None, None]) / sd[:, None, None], first.side)
        return found

    @cached_property
    def sensors(self) -> dict[str, int]:
        """Runs of bands of one sensor, as views take them."""
        return sensor_runs([self.chips.bands[place] for place in self.first.order])

    @cached_property
    def groups(self) -> dict[str, int]:
        """Groups of each inhabited kind that the net learns; a kind with fewer than 2 tiles has one."""
        count = {kind: int((self.kinds == kind).sum()) for kind in INHABITED}
        total = max(sum(count.values()), 1)
        return {
            kind: max(min(round(self.config.groups * n / total), n // TILES_PER_GROUP), min(n, 2))
            for kind, n in count.items()
            if n
        }

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        config = self.config
        return min(max(len(self.inhabited) // config.batch, config.least_steps), config.most_steps)

    @cached_property
    def learner(self) -> Learner:
        """The net, its loss and their optimisers; first weights depend on the seed and the start alone."""
        import torch

        from jido.losses.clusters import GroupLoss
        from jido.train import Learner, seeded

        config, first = self.config, self.first
        with seeded(config.seed):
            loss = GroupLoss(first.channels, sum(self.groups.values()), agreement=config.agreement)

        def optimisers(net: Any) -> list[Any]:
            weights = [weight for weight in net.parameters() if weight.requires_grad]
            body = torch.optim.AdamW(
                weights, config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
            return [body, torch.optim.Adam(loss.head.parameters(), config.head_rate)]

        return Learner(first.net, loss, optimisers=optimisers, precision=config.precision)  # type: ignore[arg-type]

    @cached_property
    def view_settings(self) -> ViewSettings:
        """How far two views differ.

        Raises:
            ModelError: for settings that views do not have.
        """
        from jido.train import ViewSettings

        try:
            return ViewSettings(**self.config.views)
        except TypeError as err:
            raise ModelError(f"Views cannot be set up ({err}): correct their settings.") from err

    def vectors(self, which: np.ndarray) -> np.ndarray:
        """What the net sees in tiles, (n, D) float32.

        Raises:
            ModelError: when it gives no numbers.
        """
        import torch

        found = [
            self.learner.logits(torch.from_numpy(self.images[some]).float()).cpu().numpy()
            for some in batches(which, AT_ONCE)
        ]
        vectors = np.concatenate(found)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"The net gives no numbers after epoch {self.learner.epoch}: take a lower learning_rate."
            )
        return vectors

    # -- an epoch ------------------------------------------------------------------------------

    def _regroup(self, epoch: int) -> np.ndarray:
        """Groups (n,) of the inhabited tiles; those of rural tiles go on where those of urban ones end."""
        vectors, config = self.vectors(self.inhabited), self.config
        kinds, group, taken = self.kinds[self.inhabited], np.zeros(len(self.inhabited), np.int64), 0
        for kind, k in self.groups.items():
            mine = np.flatnonzero(kinds == kind)
            points = whitened(vectors[mine], dims=config.dims_of(len(mine)))
            label, _ = k_means_labels(points, k, starts=STARTS, seed=config.seed * 100_003 + epoch)
            group[mine] = taken + label
            taken += k
        self._look(vectors, group)
        return group

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Views (2 B, C, S, S) of the tiles of each batch, first ones, then second ones; and groups (B,)."""
        import torch

        from jido.train import views

        config, device = self.config, self.learner.device
        group = self._group = self._regroup(epoch)
        self.learner.loss.renew()  # type: ignore[operator]
        self.learner.optimisers[1].optimizer.state.clear()
        share = 1 / np.bincount(group)[group]
        rng = np.random.default_rng((config.seed, epoch))
        draws = torch.Generator(device).manual_seed(config.seed * 100_003 + epoch)
        for _ in range(self.steps):
            some = rng.choice(len(group), config.batch, p=share / share.sum())
            tiles = torch.from_numpy(self.images[self.inhabited[some]]).float().to(device)
            seen = [views(tiles, self.sensors, self.view_settings, generator=draws) for _ in range(2)]
            yield torch.cat(seen), torch.from_numpy(group[some])

    def _look(self, vectors: np.ndarray, group: np.ndarray) -> None:
        """How far vectors spread and groups stay, before an epoch; a word when all vectors are alike."""
        from sklearn.metrics import adjusted_rand_score

        apart, rank = spread(vectors)
        largest = float(np.bincount(group).max() / len(group))
        kept = None if self._group is None else float(adjusted_rand_score(self._group, group))
        row = {
            "epoch": self.learner.epoch + 1,
            "spread": apart,
            "rank": rank,
            "largest": largest,
            "kept": kept,
        }
        self.rows.append(row)
        alike = [one["spread"] < COLLAPSED for one in self.rows]
        if alike[-1] and len(alike) > PATIENT and not any(alike[PATIENT:-1]):  # once is enough
            LOG.warning(
                "Epoch %d: the net says nearly the same of all tiles (spread %.2f): it has collapsed. "
                "Take a lower learning_rate, fewer epochs or a lower agreement.",
                self.learner.epoch + 1,
                apart,
            )

    # -- the loop ------------------------------------------------------------------------------

    def run(self, work: Path | None = None, *, progress: Progress | None = None) -> DeepClustering:
        """Learn to the last epoch; goes on from its checkpoint.

        Args:
            work: folder of the checkpoint; none is kept without it.
            progress: told the steps.

        Raises:
            ModelError: when the loss is no number any more, or the checkpoint cannot be read.
        """
        from jido.train import train

        checkpoint = work / "clusters.pt" if work else None
        key = self.key if work else ""
        if checkpoint is not None and checkpoint.exists():
            self.restore(checkpoint)
        total, begun = self.steps * self.config.epochs, time.perf_counter()

        def after_step(step: int, loss: Tensor, targets: Tensor) -> None:
            if progress:
                progress(f"deep clustering on {self.learner.device}", self.learner.steps, total)

        def after_epoch(loss: float) -> None:
            nonlocal begun
            if not np.isfinite(loss):
                raise ModelError(
                    f"The loss is no number any more in epoch {self.learner.epoch}: take a lower "
                    "learning_rate."
                )
            now = time.perf_counter()
            self.rows[-1] |= {"loss": loss, "seconds": round(now - begun, 3)}
            begun = now
            if checkpoint is not None and self._group is not None:
                self.learner.save(checkpoint, key=key, rows=self.rows, group=self._group.tolist())

        seed, epochs = self.config.seed, self.config.epochs
        train(
            self.learner,
            self.batches,
            until=epochs,
            after_step=after_step,
            after_epoch=after_epoch,
            seed=seed,
        )
        return self

    @cached_property
    def key(self) -> str:
        """Hash of all that the training depends on."""
        digest = hashlib.sha256(json.dumps(self.config.model_dump(mode="json"), sort_keys=True).encode())
        digest.update("\n".join(self.kinds.tolist()).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        start = self.start
        held = start.weights if isinstance(start, EncoderPackage) else start.net.state_dict() if start else {}
        for name, value in sorted(held.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; one of another training is left aside.

        Raises:
            ModelError: when it cannot be read.
        """
        if extra := self.learner.resume(path, self.key):
            self.rows, self._group = extra["rows"], np.array(extra["group"])
