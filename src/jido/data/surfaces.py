"""What a simulated landscape is made of: covers of Local Climate Zones, reflectance, backscatter.

Shared by :mod:`jido.data.synthetic` and :mod:`jido.data.floods`. Sources and purpose are told there.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.special import ndtr, ndtri

from jido.geo import Band, band_table

PIXELS = 10
"""Pixels along one side of a cell: 10 m and 100 m."""

# What makes it hard; tests/test_synthetic.py says what these must bring about. The spreads are
# standard deviations between the neighbourhoods of a class:
_BUILT_SPREAD = 0.80  # of the logarithm of a built cover,
_NATURAL_SPREAD = 0.20  # of a natural cover,
_HEIGHT_SPREAD = 0.35  # of building height,
_BRIGHT_SPREAD = 0.06  # of the brightness of a built surface; natural ones a third of it,
_DRY_SPREAD = 0.5  # of the dryness of grass, in probits,
_ECHO_SPREAD_DB = 1.0  # of backscatter (street orientation, roughness, moisture).
_OPTICAL_NOISE = 0.04  # relative to the reflectance
_LOOKS = 4.0  # before the speckle is smoothed

SURFACES = (
    "bright_roof", "dark_roof", "tile", "asphalt", "concrete", "tree", "bush", "grass", "straw",
    "soil", "sand", "rock", "water",
)  # fmt: skip
ROOFS, TREE, GRASS, STRAW = slice(0, 3), 5, 7, 8

# One row per LCZ: covers in %, in the order of SURFACES; building height in m; share of the
# texture that is coarse (large halls) and not fine (houses and yards). Straw is split from grass.
ZONES = np.array([
    # roofs       paved   tree bush grass - soil sand rock water  height coarse
    [16, 28, 6,   26, 14,   3,  1,  4,  0,  2,   0,  0,  0,    50.0, 0.5],  # 1 compact highrise
    [12, 22, 21,  24, 11,   4,  1,  4,  0,  1,   0,  0,  0,    17.5, 0.3],  # 2 compact midrise
    [9, 16, 30,   21,  9,   6,  2,  5,  0,  2,   0,  0,  0,     6.5, 0.1],  # 3 compact lowrise
    [9, 17, 4,    22, 13,  13,  3, 16,  0,  3,   0,  0,  0,    50.0, 0.6],  # 4 open highrise
    [8, 13, 9,    23, 14,  12,  4, 14,  0,  3,   0,  0,  0,    17.5, 0.5],  # 5 open midrise
    [5, 8, 17,    18,  9,  18,  6, 17,  0,  2,   0,  0,  0,     6.5, 0.1],  # 6 open lowrise
    [32, 20, 16,   5,  3,   4,  3,  5,  0, 12,   0,  0,  0,     4.0, 0.0],  # 7 lightweight lowrise
    [24, 14, 2,   27, 19,   2,  1,  7,  0,  4,   0,  0,  0,     6.5, 0.9],  # 8 large lowrise
    [3, 4, 8,      8,  4,  24,  8, 34,  0,  7,   0,  0,  0,     6.5, 0.3],  # 9 sparsely built
    [9, 15, 2,    21, 13,   3,  3, 10,  0, 18,   1,  5,  0,    10.0, 0.8],  # 10 heavy industry
    [0, 0, 0,      0,  0,  88,  5,  6,  0,  1,   0,  0,  0,     0.0, 0.5],  # A dense trees
    [0, 0, 1,      1,  0,  42,  9, 43,  0,  4,   0,  0,  0,     0.0, 0.5],  # B scattered trees
    [0, 0, 0,      0,  0,  10, 60, 17,  0, 11,   0,  2,  0,     0.0, 0.3],  # C bush, scrub
    [0, 0, 0,      1,  0,   3,  4, 83,  0,  9,   0,  0,  0,     0.0, 0.8],  # D low plants
    [1, 1, 0,     29, 25,   1,  1,  4,  0,  6,   1, 31,  0,     0.0, 0.9],  # E bare rock or paved
    [0, 0, 0,      1,  1,   1,  4,  9,  0, 62,  20,  2,  0,     0.0, 0.9],  # F bare soil or sand
    [0, 0, 0,      0,  0,   1,  0,  1,  0,  0,   1,  0, 97,     0.0, 0.5],  # G water
])  # fmt: skip

OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

# One row per surface: reflectance in % of the bands of OPTICAL, then backscatter VV, VH in dB.
SIGNATURES = np.array([
    [30, 33, 35, 36, 37, 38, 39, 40, 41, 37,   -10, -19],  # bright_roof
    [8,   9, 10, 11, 11, 12, 13, 13, 15, 15,   -10, -19],  # dark_roof
    [7,  11, 20, 24, 26, 28, 30, 31, 35, 31,   -10, -19],  # tile
    [7,   8,  9, 10, 10, 11, 11, 12, 14, 13,   -18, -27],  # asphalt
    [18, 21, 23, 25, 26, 27, 28, 29, 32, 30,   -17, -26],  # concrete
    [3,   5,  3,  8, 25, 32, 34, 36, 16,  7,    -9, -14],  # tree
    [4,   7,  6, 11, 20, 24, 26, 27, 21, 12,   -12, -18],  # bush
    [4,   8,  6, 13, 26, 30, 32, 33, 25, 14,   -14, -21],  # grass
    [8,  12, 16, 19, 22, 24, 26, 27, 34, 26,   -14, -22],  # straw
    [9,  13, 18, 21, 23, 25, 27, 28, 35, 31,   -14, -23],  # soil
    [19, 26, 33, 36, 38, 40, 42, 43, 48, 44,   -19, -27],  # sand
    [13, 16, 19, 21, 22, 23, 24, 25, 28, 26,   -13, -21],  # rock
    [6,   6,  4,  4,  3,  3,  2,  2,  1,  1,   -21, -29],  # water
], dtype=np.float32)  # fmt: skip


def bands(sensor: str, names: tuple[str, ...]) -> tuple[Band, ...]:
    """Rows of the band table."""
    table = {(band.sensor, band.name): band for band in band_table()}
    return tuple(table[sensor, name] for name in names)


def field(rng: np.random.Generator, side: int, length: float) -> np.ndarray:
    """Smooth Gaussian noise (side, side), float32, mean 0, standard deviation 1.

    ``length`` is the standard deviation of the smoothing, in cells or pixels of the grid.
    """
    noise = rng.standard_normal((side, side), dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, length, mode="wrap", truncate=3)
    return (noise - noise.mean()) / noise.std()


def patches(rng: np.random.Generator, n: int, side: int) -> np.ndarray:
    """What neighbourhoods have in common: (n, side, side) fields of 100 m cells, 300 to 1500 m."""
    return np.stack([field(rng, side, rng.uniform(3, 7.5)) for _ in range(n)])


def finer(cells: np.ndarray) -> np.ndarray:
    """From cells to pixels, blended over the 50 m around the border of two cells."""
    halves = np.repeat(np.repeat(cells, 2, axis=0), 2, axis=1)
    return ndimage.zoom(halves, PIXELS // 2, order=1, mode="nearest", grid_mode=True)


# --- covers ---------------------------------------------------------------------------------------


def covers_of(rng: np.random.Generator, lcz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covers (surface, y, x), 0..1, adding up to 1, and building height (y, x) in m, per pixel."""
    cells, k = len(lcz), len(SURFACES)
    zone = np.moveaxis(ZONES[lcz - 1], -1, 0).astype(np.float32)
    spread = np.where(np.arange(k) < TREE, _BUILT_SPREAD, _NATURAL_SPREAD)[:, None, None]
    covers = zone[:k] * np.exp(spread.astype(np.float32) * patches(rng, k, cells))
    covers[ROOFS] *= rng.lognormal(0, 0.4, (3, 1, 1))  # the roofs of this city
    dry = ndtr(_DRY_SPREAD * patches(rng, 1, cells)[0] + rng.normal(-1, 0.4))  # the season of this city
    covers[STRAW] = covers[GRASS] * dry
    covers[GRASS] -= covers[STRAW]
    fine = np.stack([finer(plane) for plane in covers / covers.sum(axis=0)])
    height = zone[k] * np.exp(_HEIGHT_SPREAD * patches(rng, 1, cells)[0])
    coarse = finer(zone[k + 1])
    _clump(fine, slice(TREE, TREE + 1), _texture(rng, coarse))
    _clump(fine, ROOFS, _texture(rng, coarse) + 0.5 * _streets(rng, PIXELS * cells))
    return fine, finer(height)


def _texture(rng: np.random.Generator, coarse: np.ndarray) -> np.ndarray:
    """Standard normal noise per pixel: houses or crowns (15 m) and halls or groves (30 m)."""
    side = len(coarse)
    return np.sqrt(1 - coarse) * field(rng, side, 0.6) + np.sqrt(coarse) * field(rng, side, 1.2)


def _streets(rng: np.random.Generator, side: int) -> np.ndarray:
    """A bent street grid with blocks of 60 m to 120 m: positive inside blocks, variance about 1."""
    turn, block = rng.uniform(0, np.pi / 2), rng.uniform(6, 12)
    y, x = np.mgrid[:side, :side].astype(np.float32) + 6 * finer(patches(rng, 1, side // PIXELS)[0])
    along = np.cos(np.pi * (x * np.cos(turn) + y * np.sin(turn)) / block)
    across = np.cos(np.pi * (y * np.cos(turn) - x * np.sin(turn)) / block)
    return 3 * np.abs(along * across) - 1.2


def _clump(covers: np.ndarray, rows: slice, texture: np.ndarray, *, blur: float = 0.6) -> None:
    """Gather the covers of ``rows`` where the texture is high, in place; their mean is kept.

    For a standard normal texture t and blurred edges s, E Phi((t + c) / s) = Phi(c / sqrt(1 + s^2));
    c is chosen so that this is the share of ``rows``.
    """
    share = np.clip(covers[rows].sum(axis=0), 1e-4, 1 - 1e-4)
    clumped = ndtr((texture + np.sqrt(1 + blur**2) * ndtri(share)) / blur)
    others = (1 - clumped) / (1 - share)
    inside = covers[rows] * (clumped / share)
    covers *= others
    covers[rows] = inside


# --- images ---------------------------------------------------------------------------------------


def reflectance(rng: np.random.Generator, covers: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Mixed spectra in shadow, seen through this city's air, with noise; float32 (10, y, x)."""
    bright = brightness(rng, len(covers), covers.shape[-1] // PIXELS)
    return photographed(rng, mixed(covers, spectra_of(rng, SIGNATURES), bright, height))


def brightness(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """How bright each of ``n`` surfaces is around here, float32 (n, y, x), about 1."""
    bright = np.stack([finer(p) for p in patches(rng, n, cells)])
    spread = np.where(np.arange(n) < TREE, _BRIGHT_SPREAD, _BRIGHT_SPREAD / 3)
    return np.exp(spread[:, None, None].astype(np.float32) * bright)


def spectra_of(rng: np.random.Generator, signatures: np.ndarray) -> np.ndarray:
    """Reflectance (surface, band) of the surfaces of this city, about the ``signatures`` in %."""
    n = len(OPTICAL)
    spectra = signatures[:, :n] / 100 * rng.lognormal(0, 0.13, (len(signatures), 1))
    spectra *= rng.lognormal(0, 0.05, spectra.shape)
    return spectra


def mixed(covers: np.ndarray, spectra: np.ndarray, bright: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Reflectance on the ground, in the shadow of buildings; float32 (10, y, x)."""
    image = np.tensordot(spectra.T.astype(np.float32), covers * bright, axes=1)
    roofs = covers[ROOFS].sum(axis=0)
    shade = 1 - np.exp(-ndimage.uniform_filter(roofs, PIXELS // 2) * height / 12)
    image *= 1 - 0.3 * shade * (1 - 0.5 * roofs)
    return image


def photographed(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A picture (10, y, x) through the air of a day, with noise; the image is changed in place."""
    side, n = image.shape[-1], len(image)
    haze = rng.gamma(2, 0.004) * np.linspace(1, 0.1, n)
    gain = rng.lognormal(0, 0.05) * rng.lognormal(0, 0.04, n)
    shared = field(rng, side, 0.8)
    for band in range(n):
        noise = 0.6 * shared + 0.8 * field(rng, side, 0.8)
        image[band] *= gain[band] * (1 + _OPTICAL_NOISE * noise)
        image[band] += haze[band]
    return np.clip(image, 0.0005, 1)


def backscatter(rng: np.random.Generator, covers: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Powers of surfaces and of walls, with speckle, in dB; float32 (VV and VH, y, x)."""
    power = np.tensordot(echoes_of(rng, SIGNATURES), covers, axes=1)
    power += corners(rng, covers, height)
    return speckled(rng, power)


def echoes_of(rng: np.random.Generator, signatures: np.ndarray) -> np.ndarray:
    """Power (VV and VH, surface) of the surfaces of this city, about the ``signatures`` in dB."""
    echo = (signatures[:, -2:] + rng.normal(0, 0.6, (len(signatures), 2))).astype(np.float32)
    return 10 ** (echo.T / 10)


def corners(rng: np.random.Generator, covers: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Power (VV and VH, y, x) of the double bounce between wall and ground.

    More with more and taller buildings, by the direction of the streets; weak in VH.
    """
    walls = ndimage.uniform_filter(covers[ROOFS].sum(axis=0), 3) * 2.2 * (1 - np.exp(-height / 30))
    turned = 10 ** (0.1 * 1.5 * _ECHO_SPREAD_DB * finer(patches(rng, 1, covers.shape[-1] // PIXELS)[0]))
    return np.array([1, 0.12], dtype=np.float32)[:, None, None] * walls * turned


def speckled(rng: np.random.Generator, power: np.ndarray) -> np.ndarray:
    """Backscatter in dB of a power (VV and VH, y, x), which is changed in place."""
    side = power.shape[-1]
    for polarisation in range(2):
        rough = _ECHO_SPREAD_DB * finer(patches(rng, 1, side // PIXELS)[0])
        # multi-looking and resampling correlate the speckle of neighbours
        speckle = rng.standard_gamma(_LOOKS, (side, side), dtype=np.float32) / _LOOKS
        power[polarisation] *= ndimage.gaussian_filter(speckle, 0.6) * 10 ** (0.1 * rough)
    return 10 * np.log10(power)
