"""What a simulated orthophoto is painted on, and how it is photographed; see :mod:`jido.data.fields`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jido.geo import Window

_MARGIN = 1.5  # m between objects


@dataclass(eq=False)
class Canvas:
    """What is painted on. Lengths are in metres, x to the right and y down from the upper left corner.

    Args:
        rng: of all that is painted.
        pixel_m: side of a pixel.
        tone: float32 (3, y, x), 0..1.
        height: float32 (y, x), above the ground.
        taken: bool (y, x), no further object stands here.
        forest: bool (y, x).
        grain: noise of a pixel, float32 (y, x), mean 0, standard deviation 1; texture of all objects.
        mottle: the same of 1.5 m.
        lie: direction of the plots in radians.
    """

    rng: np.random.Generator
    pixel_m: float
    tone: np.ndarray
    height: np.ndarray
    taken: np.ndarray
    forest: np.ndarray
    grain: np.ndarray
    mottle: np.ndarray
    lie: float

    @property
    def hectares(self) -> float:
        """Area of the image."""
        return self.taken.size * self.pixel_m**2 / 1e4

    def paint(self, window: Window, where: np.ndarray, tone: np.ndarray, height: np.ndarray | float) -> None:
        """Tone (3, h, w), or (3,) for all, and height (h, w) ``where`` (h, w) it is wanted."""
        tone = tone if tone.ndim == 3 else tone[:, None, None]
        textured = tone * (1 + 0.03 * self.grain[window] + 0.03 * self.mottle[window])
        np.copyto(self.tone[(slice(None), *window)], textured, where=where)
        np.copyto(self.height[window], height, where=where, casting="same_kind")


class Plot(NamedTuple):
    """A four-sided piece of the canvas: where it is, and coordinates in it."""

    window: Window
    u: np.ndarray  # (h, w), m from the centre along the length
    v: np.ndarray  # (h, w), m from the centre along the width
    depth: np.ndarray  # (h, w), m from the nearest side, positive inside
    corners: np.ndarray  # (4, 2), x and y
    length: float
    width: float

    @property
    def inside(self) -> np.ndarray:
        """Bool (h, w)."""
        return self.depth >= 0


def place(
    canvas: Canvas,
    length: float,
    width: float,
    *,
    skew: float = 0.0,
    around: np.ndarray | None = None,
    tries: int = 60,
) -> Plot | None:
    """A free place for a plot, and it is taken from now on; ``None`` when none was found.

    Args:
        canvas: what the plot is to lie on.
        length: of the plot.
        width: of the plot, at most its length.
        skew: how far the corners may move, relative to the width.
        around: x and y of what it is to be near, 25 m, else it is anywhere.
        tries: places tried; in the first half of them forest is avoided.
    """
    rng = canvas.rng
    extent = np.array(canvas.taken.shape[::-1]) * canvas.pixel_m
    for attempt in range(tries):
        along_plots = canvas.lie + rng.integers(2) * np.pi / 2 + rng.normal(0, 0.05)
        angle = along_plots if rng.random() < 0.6 else rng.uniform(0, np.pi)
        centre = rng.uniform(0, extent) if around is None else rng.normal(around, 25)
        ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2]
        plot = _plot(canvas, centre, angle, ring + rng.uniform(-skew, skew, (4, 2)) * width)
        inside = plot.inside
        seen = np.count_nonzero(inside)
        if seen * canvas.pixel_m**2 < 0.6 * length * width:  # the edge cuts off too much
            continue
        if canvas.taken[plot.window][plot.depth > -_MARGIN].any():
            continue
        if attempt < tries / 2 and np.count_nonzero(canvas.forest[plot.window] & inside) > 0.1 * seen:
            continue
        canvas.taken[plot.window] |= inside
        return plot
    return None


def _plot(canvas: Canvas, centre: np.ndarray, angle: float, ring: np.ndarray) -> Plot:
    """The plot whose corners ``ring`` (4, 2) are given as u and v."""
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ring @ np.array([[cos, sin], [-sin, cos]]) + centre
    rows, cols = canvas.taken.shape
    low = np.floor((corners.min(axis=0) - _MARGIN) / canvas.pixel_m).astype(int)
    high = np.ceil((corners.max(axis=0) + _MARGIN) / canvas.pixel_m).astype(int)
    (left, right), (top, bottom) = (np.clip([low[i], high[i]], 0, n) for i, n in enumerate((cols, rows)))
    x = (np.arange(left, right) + 0.5) * canvas.pixel_m - centre[0]
    y = ((np.arange(top, bottom) + 0.5) * canvas.pixel_m - centre[1])[:, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    sides = np.roll(ring, -1, axis=0) - ring
    to_sides = [
        (du * (v - at_v) - dv * (u - at_u)) / math.hypot(du, dv)
        for (at_u, at_v), (du, dv) in zip(ring, sides, strict=True)
    ]
    length, width = np.ptp(ring, axis=0)
    window = slice(int(top), int(bottom)), slice(int(left), int(right))
    return Plot(window, u, v, np.minimum.reduce(to_sides), corners, length, width)


def smooth(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> np.ndarray:
    """Smooth Gaussian noise (y, x), float32, mean about 0, standard deviation about 1.

    ``length`` is the standard deviation of the smoothing in pixels. Long ones are made on a coarse
    grid, which saves nearly all of the time.
    """
    step = max(1.0, length / 3)
    coarse = [max(16, int(n / step) + 3) for n in shape]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, length / step, mode="wrap", truncate=3)
    noise = (noise - noise.mean()) / noise.std()
    for axis, n in enumerate(shape):
        if step > 1:
            at = np.arange(n, dtype=np.float32) / np.float32(step)
            low = at.astype(int)
            part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
            noise = noise.take(low, axis) * (1 - part) + noise.take(low + 1, axis) * part
    return noise[: shape[0], : shape[1]]


def stripes(across: np.ndarray, period: float, duty: float, pixel_m: float) -> np.ndarray:
    """1 in stripes and 0 between them, (y, x); a pixel on the edge has its share."""
    from_middle = np.abs(across / period % 1 - 0.5)
    return np.clip((duty / 2 - from_middle) * period / pixel_m + 0.5, 0, 1)


# --- light and camera -----------------------------------------------------------------------------


def photograph(canvas: Canvas) -> np.ndarray:
    """What the camera sees: float32 (3, y, x), whole numbers 1..255."""
    rng, shape = canvas.rng, canvas.taken.shape
    light, shadow = _sunlight(rng, canvas.height, canvas.pixel_m)
    light *= np.exp(0.08 * smooth(rng, shape, 70 / canvas.pixel_m))
    sky = np.array([0.42, 0.47, 0.56], dtype=np.float32)  # light in the shadow, blue from the sky
    gain = rng.lognormal(0, 0.1) * rng.lognormal(0, 0.03, 3)
    haze = rng.uniform(0, 0.06) * np.array([0.9, 1.0, 1.2])
    blur, noise, gamma = rng.uniform(0.45, 0.85), rng.uniform(0.008, 0.016), rng.uniform(0.9, 1.15)
    image = np.empty_like(canvas.tone)
    shared = rng.standard_normal(shape, dtype=np.float32)
    for band in range(3):
        seen = canvas.tone[band] * light * (1 - (1 - sky[band]) * shadow)
        seen = ndimage.gaussian_filter(seen, blur, truncate=3)
        # a camera that sees one colour a pixel makes up the others, so noise is shared by neighbours
        grainy = 0.5 * shared + 0.9 * rng.standard_normal(shape, dtype=np.float32)
        seen += np.float32(2 * noise) * ndimage.gaussian_filter(grainy, 0.7, truncate=3)
        tone = np.clip(seen * np.float32(gain[band]) + np.float32(haze[band]), 0, 1)
        image[band] = np.clip(np.rint(255 * tone ** np.float32(gamma)), 1, 255)
    return image


def _sunlight(rng: np.random.Generator, height: np.ndarray, pixel_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Light on the slopes, 1 on the flat, and cast shadow 0..1; both float32 (y, x)."""
    azimuth, elevation = rng.uniform(np.pi * 0.7, np.pi * 1.3), math.radians(rng.uniform(38, 60))
    up, right = math.cos(azimuth), math.sin(azimuth)  # the way to the sun; it is in the south
    down_y, down_x = np.gradient(height, np.float32(pixel_m))
    rise = down_x * np.float32(right) - down_y * np.float32(up)  # towards the sun
    light = 1 - rise / np.float32(math.tan(elevation))
    light /= np.sqrt(1 + down_y**2 + down_x**2)
    light = np.clip(0.3 + 0.7 * light, 0.35, 1.3)  # 0.3 from the sky
    tall = float(height.max())
    step = max(pixel_m, 0.25)
    reach = math.ceil(tall / math.tan(elevation) / step)
    pad = math.ceil(reach * step / pixel_m) + 1
    padded = np.pad(height, pad, mode="edge")
    rows, cols = height.shape
    shadow = np.zeros(height.shape, dtype=bool)
    for i in range(1, reach + 1):
        dy, dx = round(-up * i * step / pixel_m), round(right * i * step / pixel_m)
        towards = padded[pad + dy : pad + dy + rows, pad + dx : pad + dx + cols]
        shadow |= towards > height + np.float32(0.15 + i * step * math.tan(elevation))
    return light, shadow.astype(np.float32)
