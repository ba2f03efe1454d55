"""What the files of a scene say of their numbers, and a sample of its pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

import numpy as np

from jido.geo.radiometry import Radiometry, Stated, describe
from jido.io.origin import Origin
from jido.io.raster import Scene

WINDOW = 64
"""Side of a window of the sample; a divisor of the usual blocks, so that each lies in one block."""

PIXELS = 65_536
"""Pixels of the sample, at most."""

SAFE = re.compile(r"S2[A-D]_MSIL([12])[AC]_\d{8}T\d{6}_N(\d{4})")
"""Level and processing baseline in the name of a Sentinel-2 product."""

LANDSAT = re.compile(r"L[COTEM]0?\d_L([12])[A-Z]{2}_\d{6}_\d{8}")
"""Level in the name of a Landsat Collection product."""

LEVEL = re.compile(r"(?i)\blevel[-_ ]?([12])")
"""Level in what a tag says."""


def describe_scene(scene: Scene, *, seed: int = 0) -> Radiometry:
    """What the numbers of a scene are: from its metadata and a sample of its pixels.

    Reads at most 64 windows of 64 x 64 pixels, more only when next to nothing lies in them. The
    sensing date is never used: an archive can be processed anew at any time.

    Args:
        scene: the images.
        seed: of the places of the windows.
    """
    return describe(sample_pixels(scene, seed=seed), scene.bands, stated(scene))


def sample_pixels(scene: Scene, *, seed: int = 0) -> np.ndarray:
    """Pixels of windows spread over the scene: float32 (band, n), NaN where there is no data.

    The windows lie where rows and columns of a jittered lattice cross. A lattice that meets next to
    no data is followed by a denser one.
    """
    height, width = scene.geobox.shape
    for side in (8, 16, 32):
        rows, cols = (_starts(length, side, np.random.default_rng(seed)) for length in (height, width))
        found = []
        for y, x in product(rows, cols):
            data = scene.read((slice(y, min(y + WINDOW, height)), slice(x, min(x + WINDOW, width)))).data
            data = data.reshape(len(data), -1)
            some = (np.isfinite(data) & (data != 0)).any(axis=0)
            found.append(data[:, some] if some.any() else data[:, ::16])
        pixels = np.concatenate(found, axis=1)
        if pixels.shape[1] >= WINDOW**2 or len(rows) * len(cols) < side**2:
            break
    return pixels[:, :: -(-pixels.shape[1] // PIXELS)]


def _starts(length: int, side: int, rng: np.random.Generator) -> list[int]:
    """First pixels of up to ``side`` windows along an axis, each in its share of it."""
    places = np.arange(-(-length // WINDOW))
    return [int(rng.choice(share)) * WINDOW for share in np.array_split(places, min(side, len(places)))]


def stated(scene: Scene) -> list[Stated]:
    """What the files say of each band of the scene; nothing of those that were converted."""
    return [
        Stated(image=one.image) if band.name in scene.conversions else _stated(one)
        for one, band in zip(scene.origins(), scene.bands, strict=True)
    ]


def _stated(one: Origin) -> Stated:
    offset, level, words = _from_tags(one.tags, one.place)
    if one.without_offset and offset:
        offset = False  # it is taken away already
    return Stated(
        image=one.image,
        unit=one.unit,
        offset=offset,
        level=level,
        dtype=one.dtype,
        words=", ".join([f"unit {one.unit}"] * bool(one.unit) + words),
    )


def _from_tags(tags: Mapping[str, str], path: str) -> tuple[bool | None, str, list[str]]:
    """Offset, level, and where they stand; a tag outranks the name of the product."""
    offset, level, words = None, "", []
    if product := SAFE.search(" ".join([path, *tags.values()])):
        offset, level, words = int(product[2]) >= 400, product[1], [product[0]]
    elif product := LANDSAT.search(path):
        level, words = product[1], [product[0]]
    for key, value in sorted(tags.items()):
        name = key.upper()
        if name.endswith("PROCESSING_BASELINE") and re.fullmatch(r"\d\d\.\d\d", value):
            offset, words = float(value) >= 4, [*words, f"{key} {value}"]
        elif re.search(r"LEVEL|UNIT|PRODUCT", name) and (found := LEVEL.search(value)):
            level, words = found[1], [*words, f"{key}: {value}"]
    for key, value in sorted(tags.items()):
        if re.search(r"(?i)(BOA|RADIO)_ADD_OFFSET", key) and re.fullmatch(r"-?\d+(\.0*)?", value):
            offset, words = float(value) != 0, [*words, f"{key} {value}"]
    return offset, level, words
