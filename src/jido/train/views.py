"""Two views of the same places for stacked sensors: one geometry for all bands, each sensor its own noise.

Whole batches at once, on the processor where they lie. Values are normalised (mean 0, standard
deviation 1), radar in decibels; a sensor that is all 0 is missing and stays so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from jido.errors import ModelError
from jido.nets.encoders import present

RADAR = ("sentinel-1", "s1", "sar", "radar")
"""How names of radar sensors begin."""


@dataclass(frozen=True)
class ViewSettings:
    """How far two views differ.

    Args:
        least_scale: smallest share of a patch's area that a view shows; Local Climate Zones are told by
            their surroundings, so not less than half.
        gain: optical: bands are multiplied by 1 +- so much.
        offset: optical: and moved by +- so many standard deviations.
        looks: radar: how many, of the speckle. Gaussian noise with a standard deviation of
            10 / ln(10) / sqrt(looks) decibels is added to every pixel, about what power of so many looks has;
            5 decibels are taken to be one standard deviation of a band. Fewer looks are more speckle.
        decibels: radar: and bands are moved by +- so many standard deviations (not decibels).
        blur: share of the views that are blurred.
        band_dropout: share of the bands that are set to 0.
        sensor_dropout: share of the views that lack one sensor, where there are several.

    Raises:
        ModelError: for a scale that is none, no looks, and shares beyond 0..1.
    """

    least_scale: float = 0.5
    gain: float = 0.2
    offset: float = 0.2
    looks: float = 8.0
    decibels: float = 0.3
    blur: float = 0.2
    band_dropout: float = 0.1
    sensor_dropout: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.blur, self.band_dropout, self.sensor_dropout)
        fine = 0 < self.least_scale <= 1 and self.looks > 0 and all(0 <= share <= 1 for share in shares)
        if not fine:
            raise ModelError(
                "Views need a least_scale above 0 and up to 1, looks above 0, and shares (blur, "
                f"band_dropout, sensor_dropout) of 0 to 1, not {self}."
            )


def views(
    patches: Tensor, sensors: Mapping[str, int], settings: ViewSettings, *, generator: torch.Generator
) -> Tensor:
    """Every patch as it might have been seen at another time, from a little elsewhere.

    Args:
        patches: (B, C, S, S) float32, normalised, 0 where there is no data.
        sensors: number of bands of each, in the order in which they are stacked.
        settings: how far views differ.
        generator: of the draws, on the device of the patches.

    Returns:
        (B, C, S, S)
    """
    counts = tuple(sensors.values())
    there = [(part != 0).any(1, keepdim=True) for part in patches.split(counts, dim=1)]
    both = torch.cat([patches, *(mask.to(patches.dtype) for mask in there)], dim=1)
    *moved, masks = _moved(both, settings.least_scale, generator).split((*counts, len(counts)), dim=1)
    seen = [
        (_radar if name.startswith(RADAR) else _optical)(part, settings, generator) * (mask[:, None] > 0.5)
        for name, part, mask in zip(sensors, moved, masks.unbind(1), strict=True)
    ]
    return without_one(torch.cat(seen, dim=1), sensors, settings.sensor_dropout, generator=generator)


def without_one(
    patches: Tensor, sensors: Mapping[str, int], share: float, *, generator: torch.Generator
) -> Tensor:
    """In a share of the patches (B, C, S, S) that have several sensors one of them is taken away."""
    if len(sensors) == 1:
        return patches
    parts = patches.split(tuple(sensors.values()), dim=1)
    there = torch.stack([present(part) for part in parts], 1)
    draws = torch.rand(there.shape, generator=generator, device=there.device)
    chosen = nn.functional.one_hot((draws * there).argmax(1), there.shape[1]).bool()
    lose = torch.rand(len(there), generator=generator, device=there.device) < share
    kept = ~(chosen & (lose & (there.sum(1) > 1))[:, None]).to(patches.device)
    return torch.cat(
        [part * flag[:, None, None, None] for part, flag in zip(parts, kept.unbind(1), strict=True)], dim=1
    )


def _uniform(shape: tuple[int, ...], reach: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator, device=like.device) * 2 - 1) * reach


def _moved(x: Tensor, least_scale: float, generator: torch.Generator) -> Tensor:
    """Turned, mirrored, and a square part of each image brought to its size."""
    batch, place = len(x), x.device
    area = least_scale + (1 - least_scale) * torch.rand(batch, generator=generator, device=place)
    side = area.sqrt()
    quarter = torch.randint(4, (batch,), generator=generator, device=place) * (math.pi / 2)
    mirror = torch.randint(2, (batch,), generator=generator, device=place) * 2.0 - 1
    shift = _uniform((batch, 2), 1.0, x, generator) * (1 - side)[:, None]
    cos, sin = quarter.cos() * side, quarter.sin() * side
    rows = [
        torch.stack([cos * mirror, -sin, shift[:, 0]], 1),
        torch.stack([sin * mirror, cos, shift[:, 1]], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)


def _optical(x: Tensor, settings: ViewSettings, generator: torch.Generator) -> Tensor:
    shape = (*x.shape[:2], 1, 1)
    x = x * (1 + _uniform(shape, settings.gain, x, generator)) + _uniform(
        shape, settings.offset, x, generator
    )
    return _without_bands(_blurred(x, settings.blur, generator), settings.band_dropout, generator)


def _radar(x: Tensor, settings: ViewSettings, generator: torch.Generator) -> Tensor:
    """Speckle multiplies power, so it is added to decibels: Gaussian noise with about its spread."""
    spread = 10 / math.log(10) / math.sqrt(settings.looks) / 5  # 1 standard deviation is taken to be 5 dB
    noise = torch.randn(x.shape, generator=generator, device=x.device) * spread
    return x + noise + _uniform((*x.shape[:2], 1, 1), settings.decibels, x, generator)


def _blurred(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = torch.rand(len(x), generator=generator, device=x.device) < share
    if chosen.any():
        soft = nn.functional.avg_pool2d(x[chosen], 3, stride=1, padding=1, count_include_pad=False)
        x = x.masked_scatter(chosen[:, None, None, None].expand_as(x), soft)
    return x


def _without_bands(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    if x.shape[1] == 1:
        return x
    kept = torch.rand(x.shape[:2], generator=generator, device=x.device) >= share
    return x * kept[:, :, None, None]
