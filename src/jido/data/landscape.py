"""The land of a simulated orthophoto, and all that stands on it but fields; see :mod:`jido.data.fields`."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from jido.data.canvas import Canvas, Plot, place, smooth, stripes

_ROWS, _FILM_HOUSES, _CAR_PARKS, _HOUSES, _TREES = 1.2, 0.8, 0.3, 2.5, 8.0  # a hectare

# Tones red, green, blue, 0..1, as on a screen.
CROPS = np.array([
    [0.36, 0.46, 0.25],  # rice, green
    [0.52, 0.56, 0.33],  # rice, ripening
    [0.64, 0.58, 0.44],  # stubble
    [0.53, 0.43, 0.33],  # soil, dry
    [0.41, 0.33, 0.27],  # soil, moist
    [0.27, 0.38, 0.22],  # vegetables
    [0.43, 0.46, 0.31],  # grass
    [0.50, 0.47, 0.36],  # fallow
], dtype=np.float32)  # fmt: skip
_SOILS = CROPS[2:5]
_CONIFER, _BROADLEAF = np.array([[0.19, 0.27, 0.17], [0.33, 0.40, 0.21]], dtype=np.float32)
_ASPHALT, _CONCRETE, _DITCH = np.array(
    [[0.42, 0.42, 0.43], [0.66, 0.64, 0.60], [0.25, 0.28, 0.22]], dtype=np.float32
)
NETS = np.array([
    [0.16, 0.17, 0.20],  # black
    [0.19, 0.26, 0.38],  # blue
    [0.44, 0.49, 0.56],  # silver
], dtype=np.float32)  # fmt: skip
FADED = np.array([0.46, 0.42, 0.37], dtype=np.float32)  # any of them after six years
_FILMS = np.array([[0.80, 0.83, 0.86], [0.68, 0.72, 0.75], [0.21, 0.22, 0.25]], dtype=np.float32)
_ROOFS = np.array([
    [0.25, 0.35, 0.55], [0.62, 0.36, 0.26], [0.55, 0.55, 0.55], [0.27, 0.42, 0.34], [0.78, 0.76, 0.72],
], dtype=np.float32)  # fmt: skip
_CARS = np.array([
    [0.90, 0.90, 0.90], [0.10, 0.10, 0.12], [0.62, 0.64, 0.66], [0.35, 0.35, 0.38], [0.55, 0.14, 0.13],
    [0.16, 0.25, 0.48],
], dtype=np.float32)  # fmt: skip


def landscape(rng: np.random.Generator, shape: tuple[int, ...], pixel_m: float) -> Canvas:
    """Plots of crops, forest and roads."""
    metre = 1 / pixel_m
    mottle = smooth(rng, shape, 1.5 * metre)
    hills = smooth(rng, shape, 45 * metre) + 0.3 * smooth(rng, shape, 6 * metre) + 0.1 * mottle
    canvas = Canvas(
        rng=rng,
        pixel_m=pixel_m,
        tone=np.zeros((3, *shape), dtype=np.float32),
        height=np.zeros(shape, dtype=np.float32),
        taken=np.zeros(shape, dtype=bool),
        forest=hills > 1.05 * ndtri(1 - rng.uniform(0.15, 0.4)),
        grain=smooth(rng, shape, 0.8),
        mottle=mottle,
        lie=rng.uniform(0, np.pi / 2),
    )
    # farm roads follow the land, so plots are slightly bent
    y, x = (np.arange(n, dtype=np.float32) * np.float32(pixel_m) for n in shape)
    bend = 2.5 * smooth(rng, shape, 50 * metre)
    cos, sin = np.float32(math.cos(canvas.lie)), np.float32(math.sin(canvas.lie))
    u, v = x * cos + y[:, None] * sin + bend, y[:, None] * cos - x * sin + bend
    _sow(canvas, u - u.min(), v - v.min())
    _grow(canvas)
    side = max(shape) * pixel_m
    for _ in range(1 + rng.poisson(side / 600) if side > 100 else 0):
        _pave(canvas, x, y[:, None])
    return canvas


def _sow(canvas: Canvas, u: np.ndarray, v: np.ndarray) -> None:
    """Rows of plots, each with its crop and its ridges; bunds, tracks and ditches between them."""
    rng, whole = canvas.rng, (slice(None), slice(None))
    edges = np.cumsum(rng.uniform(8, 26, int(v.max() / 8) + 2)).astype(np.float32)
    row = np.searchsorted(edges, v)
    width = rng.uniform(15, 60, len(edges)).astype(np.float32)
    along = u / width[row] + rng.random(len(edges), dtype=np.float32)[row]
    column = along.astype(np.int32)
    columns = int(column.max()) + 1
    plot, n = row * columns + column, len(edges) * columns
    season = rng.dirichlet(np.ones(len(CROPS)))
    colour = CROPS[rng.choice(len(CROPS), n, p=season)] * rng.lognormal(0, 0.1, (n, 1))
    colour = (colour * rng.lognormal(0, 0.04, (n, 3))).astype(np.float32)
    period = rng.uniform(0.6, 1.4, n).astype(np.float32)
    ridge = (rng.choice([0, 0.03, 0.1], n) * rng.random(n)).astype(np.float32)  # m, half its height
    wave = np.sin(2 * np.pi * np.where((rng.random(n) < 0.7)[plot], v, u) / period[plot])
    patchy = 0.08 * smooth(rng, u.shape, 5 / canvas.pixel_m)[None]
    canvas.paint(whole, np.array(True), np.moveaxis(colour[plot], -1, 0) * (1 + patchy), ridge[plot] * wave)
    beyond = edges[row] - v  # m to the next row
    side = np.minimum(beyond, np.abs(along - np.rint(along)) * width[row])
    canvas.paint(whole, side < 0.5, CROPS[6] * np.float32(rng.lognormal(0, 0.1)), 0.15)
    kind = rng.choice(3, len(edges), p=[0.55, 0.25, 0.2])[row]
    canvas.paint(whole, (kind == 1) & (beyond < 2.8), _CONCRETE * np.float32(rng.uniform(0.8, 1)), 0.0)
    canvas.paint(whole, (kind == 2) & (beyond < 1.2), _DITCH, -0.8)


def _grow(canvas: Canvas) -> None:
    """Forest: crowns of 2 m to 6 m, kinds of trees in groups."""
    rng, shape, metre = canvas.rng, canvas.taken.shape, 1 / canvas.pixel_m
    crowns = 0.7 * canvas.mottle + 0.7 * smooth(rng, shape, 2.5 * metre) + 0.15 * canvas.grain
    kind = smooth(rng, shape, 9 * metre) + 0.5 * crowns + rng.normal(0, 0.7)
    share = np.clip(0.5 + 0.4 * kind, 0, 1)[None]
    tone = _CONIFER[:, None, None] * (1 - share) + _BROADLEAF[:, None, None] * share
    window = slice(None), slice(None)
    canvas.paint(window, canvas.forest, tone * (1 + 0.06 * crowns[None]), np.maximum(5 + crowns, 1))


def _pave(canvas: Canvas, x: np.ndarray, y: np.ndarray) -> None:
    """A bent road through all of the image, with verges and a line in the middle."""
    rng, whole = canvas.rng, (slice(None), slice(None))
    angle, half = rng.uniform(0, np.pi), rng.uniform(2.2, 4)
    shape = canvas.taken.shape
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    across = x * cos + y * sin + 8 * smooth(rng, shape, 60 / canvas.pixel_m)
    away = np.abs(across - across[rng.integers(shape[0]), rng.integers(shape[1])])
    canvas.paint(whole, away < half + 1.5, CROPS[6], 0.0)
    canvas.paint(whole, away < half, _ASPHALT * np.float32(rng.uniform(0.8, 1.25)), 0.1)
    canvas.paint(whole, away < 0.12, _FILMS[1], 0.1)
    canvas.taken |= away < half + 1
    canvas.forest &= ~canvas.taken


# --- what looks like fields, and all the rest -----------------------------------------------------


def furnish(canvas: Canvas) -> None:
    """Everything else that stands on the land."""
    rng = canvas.rng
    extent = np.array(canvas.taken.shape[::-1]) * canvas.pixel_m
    villages = rng.uniform(0, extent, (1 + int(canvas.hectares / 4), 2))
    sizes = {
        _mulch: (_ROWS, (12, 40), (8, 22)),
        _film_house: (_FILM_HOUSES, (15, 45), (6, 24)),
        _car_park: (_CAR_PARKS, (20, 45), (16, 30)),
        _house: (_HOUSES, (8, 20), (6, 12)),
        _tree: (_TREES, (2, 7), (2, 7)),
    }
    for build, (number, lengths, widths) in sizes.items():
        for _ in range(rng.poisson(number * canvas.hectares)):
            length, width = rng.uniform(*lengths), rng.uniform(*widths)
            near = villages[rng.integers(len(villages))] if build in (_house, _car_park) else None
            plot = place(canvas, max(length, width), min(length, width), around=near, tries=20)
            if plot:
                build(canvas, plot)


def _mulch(canvas: Canvas, plot: Plot) -> None:
    """An open plot in ridges: bare, under crop, or under black or silver film."""
    rng = canvas.rng
    soil = _SOILS[rng.integers(len(_SOILS))] * rng.lognormal(0, 0.1)
    covers = np.array([soil * 0.9, CROPS[5], NETS[0] * 1.25, NETS[2]])
    cover = covers[rng.choice(4, p=[0.3, 0.25, 0.3, 0.15])] * rng.lognormal(0, 0.1)
    period, duty = rng.uniform(0.9, 2), rng.uniform(0.35, 0.65)
    across = plot.v if rng.random() < 0.8 else plot.u
    across = across + 0.05 * canvas.mottle[plot.window]
    ridges = stripes(across, period, duty, canvas.pixel_m)
    height = 0.15 * np.cos(2 * np.pi * (across / period - 0.5))
    tone = soil[:, None, None] + ridges * (cover - soil)[:, None, None]
    canvas.paint(plot.window, plot.inside, tone * (1 + 0.05 * canvas.mottle[plot.window]), height)


def _film_house(canvas: Canvas, plot: Plot) -> None:
    """Arched film houses side by side, or low tunnels; film new or old, or under a shade net."""
    rng = canvas.rng
    bay = rng.uniform(1.6, 2.6) if rng.random() < 0.35 else rng.uniform(5.5, 8)
    gap = rng.uniform(0.08, 0.3)
    across = (plot.v + plot.width / 2) / bay
    arch = np.clip(1 - ((2 * (across % 1) - 1) / (1 - gap)) ** 2, 0, None)
    whole = np.floor(across) < max(1, math.floor(plot.width / bay + 0.15))  # no half houses
    film = _FILMS[rng.choice(len(_FILMS), p=[0.5, 0.3, 0.2])] * rng.lognormal(0, 0.06)
    ribs = 1 + 0.04 * np.cos(2 * np.pi * plot.u / rng.uniform(1.5, 3))
    height = 0.38 * bay * np.sqrt(arch) if bay > 3 else 0.5 * np.sqrt(arch)
    soil = CROPS[rng.integers(3, len(CROPS))]
    canvas.paint(plot.window, plot.inside & whole, soil, 0.0)
    tone = film[:, None, None] * ribs
    canvas.paint(plot.window, plot.inside & whole & (arch > 0), tone, height)


def _car_park(canvas: Canvas, plot: Plot) -> None:
    """Asphalt, white lines, cars in double rows."""
    rng = canvas.rng
    canvas.paint(plot.window, plot.inside, _ASPHALT * rng.uniform(0.8, 1.2), 0.05)
    u, v = plot.u + plot.length / 2, plot.v + plot.width / 2
    lane, slot = (np.maximum(at, 0).astype(int) for at in (v / 16, u / 2.6))
    deep = np.where(v % 16 < 5, v % 16, v % 16 - 11)  # m from the end of a slot of 5 m
    in_slot = (deep >= 0) & (deep < 5)
    aside = np.abs(u / 2.6 % 1 - 0.5)
    inner = plot.depth > 0.5
    canvas.paint(plot.window, inner & in_slot & (aside > 0.46), _FILMS[0], 0.05)
    bank = 2 * lane + (v % 16 > 8)
    cars = rng.integers(len(_CARS) + 3, size=(int(bank.max()) + 1, int(slot.max()) + 1))[bank, slot]
    car = (cars < len(_CARS)) & in_slot & (np.abs(deep - 2.5) < 2.1) & (aside < 0.34)
    tone = np.moveaxis(_CARS[np.minimum(cars, len(_CARS) - 1)], -1, 0)
    canvas.paint(plot.window, inner & car, tone, 1.4)


def _house(canvas: Canvas, plot: Plot) -> None:
    """A yard and a gabled roof on it."""
    rng = canvas.rng
    canvas.paint(plot.window, plot.inside, _CONCRETE * rng.uniform(0.7, 1), 0.0)
    height = rng.uniform(2.5, 5) + 0.45 * (plot.width / 2 - np.abs(plot.v))
    roof = _ROOFS[rng.integers(len(_ROOFS))] * rng.lognormal(0, 0.12)
    canvas.paint(plot.window, plot.depth > rng.uniform(0.5, 1.5), roof, height)


def _tree(canvas: Canvas, plot: Plot) -> None:
    """A tree or bush in the open."""
    radius = plot.width / 2 * (1 + 0.12 * canvas.mottle[plot.window])
    dome = 1 - (plot.u**2 + plot.v**2) / radius**2
    share = canvas.rng.random()
    height = 1.3 * plot.width * np.sqrt(np.maximum(dome, 0)) * (1 + 0.12 * canvas.grain[plot.window])
    above = (dome > 0) & (height > canvas.height[plot.window])  # it may stand in the forest
    canvas.paint(plot.window, above, _CONIFER * (1 - share) + _BROADLEAF * share, height)
