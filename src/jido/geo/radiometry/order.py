"""Whether bands stand in their order: laws that no surface breaks, and how bands go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from jido.geo.radiometry.plausible import BLUE, GREEN, NIR, RED

TOGETHER = 16
"""Pixels in a row whose mean is judged by the laws, so that noise breaks none."""

RANKED = 8192
"""Pixels at most whose ranks are correlated."""


@dataclass(frozen=True)
class Law:
    """A relation of bands that hardly any pixel breaks while the bands stand in their order.

    Limits are well above what 14 real scenes show (forest, crops, city, desert, snow under cloud,
    coast: at most 0.02), and below what most exchanged bands show.

    Args:
        words: what is seen where it is broken.
        limit: share of the pixels that must break it before it counts.
    """

    words: str
    limit: float


LAWS = {
    "blue": Law("blue is brighter than green as no surface is", 0.1),
    "green": Law("green is brighter than blue and red as no surface is", 0.1),
    "red": Law("red is brighter than green as no surface is", 0.1),
    "infrared": Law("neighbouring infrared bands differ as on no surface", 0.1),
    "soil": Law("land is bluer than land is", 0.2),
    "cross": Law("VH is above VV, as nowhere", 0.5),
}
"""Name -> law."""


def broken_laws(reflectance: np.ndarray, wavelengths: np.ndarray) -> dict[str, float]:
    """Share of the pixels that break each law for which the bands are there.

    Args:
        reflectance: (C, N), of the pixels that have data in all bands.
        wavelengths: (C,) in nm.
    """
    blocks = reflectance.shape[1] // TOGETHER
    if blocks == 0:
        return {}
    reflectance = reflectance[:, : blocks * TOGETHER].reshape(len(reflectance), blocks, TOGETHER).mean(axis=2)
    blue, green, red = (
        next(iter(reflectance[(wavelengths >= low) & (wavelengths <= high)]), None)
        for low, high in (BLUE, GREEN, RED)
    )
    plateau = reflectance[(wavelengths >= NIR[0]) & (wavelengths <= NIR[1])]
    if blue is None or green is None or red is None:
        return {}
    ends = np.maximum(blue, red)
    broken: dict[str, float] = {}
    broken["blue"] = np.mean(blue > 1.1 * green + 0.08)
    broken["green"] = np.mean(green > 1.15 * ends + 0.06)
    broken["red"] = np.mean(red > 1.6 * green + 0.08)
    if len(plateau) > 1:
        spread = plateau.max(axis=0) - plateau.min(axis=0)
        broken["infrared"] = np.mean(spread > 0.2 * plateau.max(axis=0) + 0.05)
    if len(plateau):
        land = (plateau[-1] > 1.1 * ends) & (green > 0.12)  # neither water, snow nor cloud
        if land.mean() > 0.02:
            broken["soil"] = np.mean(blue[land] > 1.5 * red[land])
    return {name: round(float(share), 4) for name, share in broken.items()}


def cross_above(values: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """The law of radar: less comes back turned than as it was sent; empty without VV and VH.

    Args:
        values: (C, N) in any kind of numbers, of the pixels that have data in all bands.
        names: of the bands.
    """
    found = {name.upper().split("@")[0]: band for name, band in zip(names, values, strict=True)}
    if not {"VV", "VH"} <= found.keys() or values.shape[1] == 0:
        return {}
    return {"cross": round(float(np.mean(found["VH"] > found["VV"])), 4)}


def rank_correlation(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Spearman's correlation between bands; empty with fewer than 50 pixels or a constant band.

    Args:
        values: (C, N), of the pixels that have data in all bands.
    """
    values = values[:, :: -(-values.shape[1] // RANKED) or 1]
    if values.shape[1] < 50 or len(values) < 2 or (np.ptp(values, axis=1) == 0).any():
        return ()
    ranks = np.stack([rankdata(band) for band in values])
    return tuple(tuple(round(float(c), 3) for c in row) for row in np.corrcoef(ranks))
