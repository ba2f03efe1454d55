"""A net that compares two dates, for every pixel or for grid cells, trained on tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.patches import normalise
from jido.data.tiles import Tiles, batches
from jido.errors import ModelError
from jido.io import Progress
from jido.labels import ClassScheme
from jido.methods.change_config import ChangeConfig
from jido.methods.net import NetConfig, NetModel
from jido.nets import Setting, build_net

if TYPE_CHECKING:
    from torch import Tensor

    from jido.train import Learner

SEEN = 8
"""Pixels that tiles of a map share, for each pixel of the net's coarsest grid."""


@dataclass(eq=False)
class ChangeTraining:
    """A net that learns the target from tiles of two dates.

    Bands of both dates have one mean and one spread: the encoder sees both, and what differs between the
    dates as a whole is left for it to see.

    Args:
        tiles: of two dates.
        train: places of those that it learns from.
        config: the settings.
    """

    tiles: Tiles
    train: np.ndarray
    config: ChangeConfig

    def __post_init__(self) -> None:
        mean, sd = self.tiles.moments(self.train)
        one = mean.reshape(2, -1)
        both = np.sqrt((sd.reshape(2, -1) ** 2).mean(0) + one.var(0))
        self.mean, self.sd = np.tile(one.mean(0), 2), np.tile(np.where(both > 0, both, 1), 2)

    @property
    def cells(self) -> bool:
        """Whether grid cells are judged, and not pixels."""
        return self.config.method == "cells"

    @property
    def net_settings(self) -> dict[str, Setting]:
        """What builds the net."""
        config = self.config
        depth = min(config.depth, 3) if self.cells else config.depth
        bands = len(self.tiles.bands)
        return {
            "in_channels": bands, "out_channels": 1, "depth": depth, "width": config.width,
            "dates": config.dates,
        }  # fmt: skip

    @cached_property
    def learner(self) -> Learner:
        """The net, its loss and its optimiser, with first weights of the seed."""
        import torch

        from jido.losses import LOSSES
        from jido.train import Learner, cosine, seeded

        config = self.config
        with seeded(config.seed):
            net = build_net("change_patch" if self.cells else "change_unet", **self.net_settings)

        def optimisers(net: Any) -> list[Any]:
            inner = [weight for weight in net.parameters() if weight.ndim > 1]
            rest = [weight for weight in net.parameters() if weight.ndim < 2]
            groups = [
                {"params": inner, "weight_decay": config.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ]
            return [torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)]

        steps = config.epochs * self.steps
        return Learner(
            net,
            LOSSES["bce" if self.cells else config.loss](),
            optimisers=optimisers,
            schedule=lambda step: min(1.0, (step + 1) / 20) * cosine(step / steps),
            average=config.average,
            precision=config.precision,
        )

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return max(len(self.train) // self.config.batch, 1)

    def images(self, which: np.ndarray) -> Tensor:
        """Normalised images (n, C, S, S), 0 where there is no data."""
        import torch

        return torch.from_numpy(normalise(self.tiles.pixels(which), self.mean, self.sd)[0])

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Tiles of an epoch, turned, mirrored and mixed, with what is to be learned."""
        import torch

        from jido.train import dihedral

        config = self.config
        rng = np.random.default_rng((config.seed, epoch))
        draws = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        order = rng.permutation(self.train)
        for which in batches(np.resize(order, self.steps * config.batch), config.batch):
            images = self.images(which)
            targets = torch.from_numpy(self.tiles.mask(which)[:, None]).float()
            if self.cells:
                images, targets = self._patches(images, targets, rng)
            images, targets = dihedral(images, targets, generator=draws)
            images = self._lit(images, rng)
            if rng.random() < config.mixed and not self.cells:
                images, targets = _swapped(images, targets, rng)
            yield images, targets.mean((1, 2, 3))[:, None] if self.cells else targets

    def _patches(self, images: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Windows around random cells, as many as fit into the tiles, with the target of their cells."""
        import torch

        config, side = self.config, self.tiles.side
        count = len(images) * (side // config.patch) ** 2
        owner = rng.integers(len(images), size=count)
        corner = rng.integers(0, side - config.patch + 1, (count, 2))
        rim = (config.patch - config.cell) // 2
        inner = slice(rim, rim + config.cell)
        found = [
            (tile[..., y : y + config.patch, x : x + config.patch] for tile in (images[i], targets[i]))
            for i, (y, x) in zip(owner.tolist(), corner.tolist(), strict=True)
        ]
        seen, cells = zip(*found, strict=True)
        return torch.stack(seen), torch.stack([cell[..., inner, inner] for cell in cells])

    def _lit(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Images of both dates, and of each apart, brighter or darker."""
        import torch

        if not self.config.jitter:
            return images
        n, bands = images.shape[:2]
        common, apart = (
            rng.normal(0, self.config.jitter, (n, 1, 1)),
            rng.normal(0, self.config.jitter, (n, 2, 1)),
        )
        gain = np.exp(common + apart).repeat(bands // 2, 2).reshape(n, bands, 1, 1)
        dark = (self.mean / self.sd).reshape(-1, 1, 1)
        factor, offset = (torch.from_numpy(part.astype(np.float32)) for part in (gain, dark * (gain - 1)))
        return images * factor + offset

    def run(self, *, progress: Progress | None = None) -> ChangeTraining:
        """Train to the last epoch.

        Raises:
            ModelError: when the loss is no number any more.
        """
        from jido.train import train

        def after(loss: float) -> None:
            if not np.isfinite(loss):
                raise ModelError("The loss is no number any more: take a lower learning_rate.")
            if progress:
                progress("training", self.learner.epoch, self.config.epochs)

        train(self.learner, self.batches, until=self.config.epochs, after_epoch=after, seed=self.config.seed)
        return self

    def model(self, scheme: ClassScheme, *, threshold: float = 0.5, **facts: Any) -> NetModel:
        """The net as a model for maps; ``facts``: more arguments of :class:`~jido.methods.net.NetModel`."""
        config, net = self.config, self.learner.judged
        overlap = SEEN * net.divisor
        where: dict[str, Any] = {"tile": max(self.tiles.side, 4 * overlap), "overlap": overlap}
        if self.cells:
            where = {"patch": config.patch, "stride": config.cell, "tile": config.patch + 15 * config.cell}
        settings = NetConfig(
            net="change_patch" if self.cells else "change_unet",
            settings=self.net_settings,
            mean=tuple(self.mean.tolist()),
            sd=tuple(self.sd.tolist()),
            precision=config.precision,
            threshold=threshold,
            views=config.views,
            **where,
        )
        tiles = self.tiles
        return NetModel(
            net=net, config=settings, bands=tiles.bands, scheme=scheme, pixel_m=tiles.pixel_m,
            labels=tiles.labels, radiometry=tiles.radiometry, **facts,
        )  # fmt: skip


def _swapped(images: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A rectangle of each image from another one of the batch (CutMix, Yun et al. 2019, arXiv 1905.04899)."""
    n, side = len(images), images.shape[-1]
    other = rng.permutation(n)
    height, width = rng.integers(side // 4, 3 * side // 4, 2)
    y, x = int(rng.integers(side - height)), int(rng.integers(side - width))
    images, targets = images.clone(), targets.clone()
    for part in (images, targets):
        part[..., y : y + height, x : x + width] = part[other][..., y : y + height, x : x + width]
    return images, targets
