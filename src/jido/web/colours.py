"""Colours of pictures: ramps, own palettes, stretches; arrays in, RGBA out."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from jido.labels import LandClass

RAMP = ("#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B",
        "#FDE725")  # fmt: skip
"""Viridis in ten steps (Smith and van der Walt 2015): keeps its order in grey and for the colour-blind."""

OWN = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
"""Classes that come without colours: Okabe and Ito 2008, told apart by the colour-blind; grey last."""

UNSURE = (110, 110, 110, 235)
"""Lines over cells of which the map is unsure."""


def own_colour(place: int) -> str:
    """The colour of the class at a place in a list, from 0; after eight classes they begin again."""
    return OWN[place % len(OWN)]


def ramp_pixels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(y, x) -> uint8 RGBA (y, x, 4) in :data:`RAMP`, clear where NaN."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in RAMP], dtype=np.float64)
    step = np.clip((values - low) / (high - low or 1.0), 0, 1)
    known = np.isfinite(values)
    at = np.where(known, step, 0) * (len(RAMP) - 1)
    colours = [np.interp(at, np.arange(len(RAMP)), stops[:, part]) for part in range(3)]
    return _with_alpha(np.stack(colours, axis=-1), known)


def composite_pixels(bands: np.ndarray, stretch: Sequence[tuple[float, float]]) -> np.ndarray:
    """(3, y, x) -> uint8 RGBA (y, x, 4), each band stretched between two values, clear where one is NaN."""
    parts = [(band - low) / (high - low or 1.0) for band, (low, high) in zip(bands, stretch, strict=True)]
    known = np.isfinite(bands).all(axis=0)
    return _with_alpha(np.nan_to_num(np.clip(np.stack(parts, axis=-1), 0, 1)) * 255, known)


def class_pixels(codes: np.ma.MaskedArray, classes: Sequence[LandClass]) -> np.ndarray:
    """(y, x) of codes -> uint8 RGBA (y, x, 4), clear without data and where a code has no class."""
    known = np.array([c.code for c in classes], dtype=np.int64)
    order = np.argsort(known)
    values = np.ma.getdata(codes).astype(np.int64)
    place = np.clip(np.searchsorted(known[order], values), 0, len(known) - 1)
    found = (known[order][place] == values) & ~np.ma.getmaskarray(codes)
    palette = np.array([c.rgb for c in classes], dtype=np.float64)[order]
    return _with_alpha(palette[place], found)


def hatch_pixels(unsure: np.ndarray) -> np.ndarray:
    """(y, x) bool -> uint8 RGBA (y, x, 4): grey lines that go on from tile to tile, clear elsewhere."""
    rows, cols = np.indices(unsure.shape)
    lines = (rows + cols) % 8 < 3
    pixels = np.zeros((*unsure.shape, 4), dtype=np.uint8)
    pixels[unsure & lines] = UNSURE
    pixels[unsure & ~lines] = (*UNSURE[:3], 60)
    return pixels


def _with_alpha(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    pixels = np.zeros((*known.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.rint(colours)
    pixels[..., 3] = np.where(known, 255, 0)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    """RGBA (y, x, 4) as the bytes of a PNG; packed quickly rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
