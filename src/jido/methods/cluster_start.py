"""What deep clustering begins with: a net without classes, fresh or one that has learned something else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.stack import stack_of
from jido.errors import ImageError, ModelError
from jido.geo import Band
from jido.methods.cluster_config import ClusterConfig
from jido.methods.encoder_package import EncoderPackage
from jido.methods.net import NetModel
from jido.nets import build_net

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Start:
    """What the vectors begin with.

    Args:
        net: images (B, C, S, S) -> vectors (B, D).
        channels: D.
        order: places of the bands of the tiles, in the order in which the net takes them.
        side: of the images in pixels.
        moments: mean and standard deviation (C,) of each band by which they are normalised; without them
            those of the tiles.
    """

    net: nn.Module
    channels: int
    order: tuple[int, ...]
    side: int
    moments: tuple[np.ndarray, np.ndarray] | None = None


def fresh(chips: Chips, config: ClusterConfig) -> Start:
    """A compact net with fresh weights, without its classes.

    Raises:
        ModelError: for settings that the net does not have.
        ImageError: for tiles that are too small for it.
    """
    from jido.train import seeded

    order = stack_of(chips.bands).order
    with seeded(config.seed):
        net: Any = build_net("compact", in_channels=len(order), out_channels=2, **config.net)
    side = min(config.side, chips.side) // 2 * 2
    if side < net.least:
        raise ImageError(
            f"Tiles of {side} pixels are too small for this net: give {net.least} or more with side, larger "
            "tiles, or a net of fewer stages."
        )
    return Start(*_headless(net), order, side)


def of_scene_net(model: NetModel, chips: Chips) -> Start:
    """A net that knows classes of tiles, without them: of ``jido score label`` or ``jido scene train``.

    Raises:
        ModelError: when it is of another kind, or reads bands that the tiles lack.
    """
    here = [band.name for band in chips.bands]
    if model.config.patch is None or not hasattr(model.net, "features"):
        raise ModelError(
            "The start has no class for a whole image: give a model of jido score label or jido scene train, "
            "or an encoder of jido lcz pretrain."
        )
    if missing := [band.name for band in model.bands if band.name not in here]:
        raise ModelError(
            f"The start reads bands {', '.join(missing)} that are missing; the tiles have {', '.join(here)}: "
            "give another start, or none."
        )
    order = tuple(here.index(band.name) for band in model.bands)
    mean, sd = (np.array(values, np.float32) for values in (model.config.mean, model.config.sd))
    return Start(*_headless(model.net), order, model.config.patch, (mean, sd))


def of_encoder(package: EncoderPackage, chips: Chips, config: ClusterConfig) -> Start:
    """An encoder that has learned without labels; tiles get pixels of its size where both are known.

    Raises:
        ModelError: when it has learned from other bands, pixels or numbers, or tiles have several dates.
    """
    stack = stack_of(chips.bands)
    if stack.dates > 1:
        raise ModelError(
            f"The tiles have {stack.dates} dates, but an encoder sees one: give tiles of one date, or no "
            "--start."
        )
    side = config.side
    if package.pixel_m and chips.pixel_m:
        side = round(chips.side * chips.pixel_m[0] / package.pixel_m[0])
    side = max(min(side, chips.side), 1)
    pixel_m = None
    if chips.pixel_m is not None:
        height, width = chips.pixel_m
        pixel_m = (height * chips.side / side, width * chips.side / side)
    package.require_fit(stack, chips.radiometry, pixel_m)
    encoder = package.encoder(stack.sensors)
    return Start(encoder, encoder.out_channels, stack.order, side)


def _headless(net: Any) -> tuple[nn.Module, int]:
    """A scene net without its classes: the mean of what it sees, and how many numbers that are."""
    import torch

    parts = torch.nn.Sequential(
        copy.deepcopy(net.features), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with torch.inference_mode():
        some = torch.zeros(1, net.in_channels, 4 * net.least, 4 * net.least)
        return parts.float(), int(parts.eval()(some).shape[1])


def sensor_runs(bands: Sequence[Band]) -> dict[str, int]:
    """Number of bands of each run of one sensor; names begin with that of the sensor."""
    runs = [
        (sensor, len(list(some))) for sensor, some in groupby(bands, key=lambda band: band.sensor or "image")
    ]
    return {f"{sensor} {place}": count for place, (sensor, count) in enumerate(runs, start=1)}


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Images averaged to ``side`` pixels over what has data; 0 where nothing has.

    Args:
        images: (N, C, S, S) float32, NaN = no data, S of ``side`` or more.
        side: of the result in pixels.

    Returns:
        (N, C, side, side) float32.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    values = torch.from_numpy(images)
    known = values.isfinite()
    found = adaptive_avg_pool2d(values.where(known, torch.zeros(())), side)
    share = adaptive_avg_pool2d(known.float(), side)
    return (found / share.clamp(min=1e-6)).numpy()
