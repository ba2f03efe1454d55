"""A simulated city and its countryside: Sentinel-1, Sentinel-2, the true Local Climate Zones.

Made for tests, tutorials and experiments that need the truth everywhere. Smooth random fields
become an LCZ map of 100 m cells; each 10 m pixel gets surface covers after its LCZ; covers become
reflectance by linear mixing and backscatter by adding powers. What makes maps of real cities hard
is simulated on purpose: neighbourhoods of 300 m to 1500 m deviate together, so the pixels of one
polygon are alike and two polygons of a class are not; noise and speckle are correlated in space;
and every city has its own roofs, season, soil and atmosphere. Never a substitute for real images:
the accuracy of a method here says nothing of its accuracy anywhere else.

Sources: covers, heights: Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1, and the urban canopy
table of w2w (Demuzere et al. 2022, doi 10.21105/joss.04432), completed by plausible surface mixes.
Spectra and backscatter: round values, typical of the surfaces at 10 m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox
from scipy import ndimage
from scipy.special import ndtr, ndtri

from jido.data.polygons import draw, outline, untouched
from jido.geo import Band, Raster, band_table
from jido.labels import Labels, lcz_scheme

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

_SURFACES = (
    "bright_roof", "dark_roof", "tile", "asphalt", "concrete", "tree", "bush", "grass", "straw",
    "soil", "sand", "rock", "water",
)  # fmt: skip
_ROOFS, _TREE, _GRASS, _STRAW = slice(0, 3), 5, 7, 8

# One row per LCZ: covers in %, in the order of _SURFACES; building height in m; share of the
# texture that is coarse (large halls) and not fine (houses and yards). Straw is split from grass.
_ZONES = np.array([
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

_OPTICAL = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

# One row per surface: reflectance in % of the bands of _OPTICAL, then backscatter VV, VH in dB.
_SIGNATURES = np.array([
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


@dataclass(frozen=True, eq=False)
class City:
    """A simulated city and countryside, known everywhere.

    Args:
        radar: backscatter VV, VH in dB, 10 m.
        optical: reflectance (0..1) of B02 B03 B04 B05 B06 B07 B08 B8A B11 B12, 10 m.
        lcz: uint8 (Y, X), the true LCZ of each 100 m cell, codes 1..17; a city lacks two of them.
        grid: the 100 m cells; ``radar`` and ``optical`` have ten pixels a side in each.
    """

    radar: Raster
    optical: Raster
    lcz: np.ndarray
    grid: GeoBox

    def polygons(self, n: int, *, seed: int, avoid: Labels | None = None) -> Labels:
        """Training polygons as a person picks them: pure, irregular, some of every class.

        A class at a time gets one polygon until ``n`` are drawn or a class has no room left, so
        classes have equal numbers as far as their area allows. Classes that have no room for 3
        are left out when ``n`` is enough for 3 of each. Another seed with ``avoid`` gives new
        polygons of the same city by the same procedure.

        Args:
            n: number of polygons.
            seed: of the draw.
            avoid: polygons drawn before; no new one overlaps them.

        Returns:
            ``n`` polygons of 5 to 60 cells of one class; they may touch but do not overlap;
            the group is the number of the polygon.

        Raises:
            LabelsError: when ``n`` is below 1 or the city has no room for so many.
        """
        free = np.ones(self.lcz.shape, dtype=bool) if avoid is None else untouched(self.grid, avoid)
        drawn = draw(self.lcz, free, n, np.random.default_rng(seed))
        return Labels(
            geometry=np.array([outline(self.grid, cells) for _, cells in drawn], dtype=object),
            codes=np.array([code for code, _ in drawn], dtype=np.uint8),
            groups=np.arange(n),
            crs=norm_crs_or_error(self.grid.crs),
            scheme=lcz_scheme(),
        )


def simulate_city(seed: int, *, cells: int = 128) -> City:
    """A city of ``cells`` x ``cells`` cells of 100 m; the same seed gives the same city.

    Args:
        seed: of everything; another seed is another city, with other roofs, season and air.
        cells: side of the square in cells, at least 32. 128 cells take 3 seconds and 0.5 GB.

    Raises:
        ValueError: when ``cells`` is below 32.
    """
    if cells < 32:
        raise ValueError(f"A city needs at least 32 x 32 cells, not {cells}.")
    rng = np.random.default_rng(seed)
    lcz = _land_use(rng, cells)
    covers, height = _covers(rng, lcz)
    # a UTM zone per seed, so that two cities do not lie on each other
    left, top, crs = 500_000, 5_600_000, f"EPSG:{32601 + (31 + seed) % 60}"
    box = (left, top - 100 * cells, left + 100 * cells, top)
    fine = GeoBox.from_bbox(box, crs, shape=(PIXELS * cells, PIXELS * cells), tight=True)
    return City(
        radar=Raster(_backscatter(rng, covers, height), _bands("sentinel-1", ("VV", "VH")), fine),
        optical=Raster(_reflectance(rng, covers, height), _bands("sentinel-2", _OPTICAL), fine),
        lcz=lcz,
        grid=GeoBox.from_bbox(box, crs, shape=(cells, cells), tight=True),
    )


def _bands(sensor: str, names: tuple[str, ...]) -> tuple[Band, ...]:
    table = {(band.sensor, band.name): band for band in band_table()}
    return tuple(table[sensor, name] for name in names)


def _field(rng: np.random.Generator, side: int, length: float) -> np.ndarray:
    """Smooth Gaussian noise (side, side), float32, mean 0, standard deviation 1.

    ``length`` is the standard deviation of the smoothing, in cells or pixels of the grid.
    """
    noise = rng.standard_normal((side, side), dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, length, mode="wrap", truncate=3)
    return (noise - noise.mean()) / noise.std()


def _patches(rng: np.random.Generator, n: int, side: int) -> np.ndarray:
    """What neighbourhoods have in common: (n, side, side) fields of 100 m cells, 300 to 1500 m."""
    return np.stack([_field(rng, side, rng.uniform(3, 7.5)) for _ in range(n)])


def _finer(cells: np.ndarray) -> np.ndarray:
    """From cells to pixels, blended over the 50 m around the border of two cells."""
    halves = np.repeat(np.repeat(cells, 2, axis=0), 2, axis=1)
    return ndimage.zoom(halves, PIXELS // 2, order=1, mode="nearest", grid_mode=True)


# --- land use -------------------------------------------------------------------------------------


def _land_use(rng: np.random.Generator, cells: int) -> np.ndarray:
    """The LCZ map, uint8 (cells, cells): zones around centres, water through and beside them."""
    lcz = np.zeros((cells, cells), dtype=np.uint8)
    lacking = (rng.choice([1, 4, 7, 10]), rng.choice([13, 15, 16]))  # no city has them all
    urban = _urbanity(rng, cells)
    tall = _field(rng, cells, 4) + urban

    def assign(where: np.ndarray, field: np.ndarray, shares: Mapping[int, float]) -> None:
        """Codes by the rank of the field, from its lowest to its highest values."""
        drawn = [0 if c in lacking else s * rng.lognormal(0, 0.2) for c, s in shares.items()]
        rank = field[where].argsort().argsort() / max(where.sum(), 1)
        lcz[where] = np.array(list(shares))[np.searchsorted(np.cumsum(drawn) / sum(drawn), rank, "right")]

    # 101 to 107 stand for zones that are divided below
    assign(lcz == 0, urban, {101: 46, 102: 13, 103: 25, 104: 16})
    assign(lcz == 101, _field(rng, cells, 5), {105: 24, 106: 40, 107: 36})
    assign(lcz == 102, _field(rng, cells, 4), {9: 70, 7: 30})
    assign((lcz == 103) & (_field(rng, cells, 4) > 0.6), _field(rng, cells, 4), {8: 60, 10: 40})
    assign(lcz == 103, tall, {6: 45, 5: 30, 4: 25})
    assign(lcz == 104, tall, {3: 38, 2: 35, 1: 27})
    assign(lcz == 105, _field(rng, cells, 4), {16: 60, 15: 40})
    assign(lcz == 106, _field(rng, cells, 4), {14: 60, 13: 40})
    assign(lcz == 107, _field(rng, cells, 4), {12: 45, 11: 55})
    lcz[_wet(rng, cells)] = 17
    return _without_slivers(lcz)


def _urbanity(rng: np.random.Generator, cells: int) -> np.ndarray:
    """High at one to three centres, low far from them; (cells, cells)."""
    y, x = np.mgrid[:cells, :cells] / cells
    centres = rng.uniform(0.25, 0.75, (rng.integers(1, 4), 2))
    away = np.min([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=0)
    return 0.45 * _field(rng, cells, 4) - 4 * away


def _wet(rng: np.random.Generator, cells: int) -> np.ndarray:
    """A sea or lakes, 7 % of the cells, and one winding river, about 200 m wide."""
    relief = _field(rng, cells, cells / 10) + 0.25 * _field(rng, cells, cells / 40)
    across = np.tensordot(rng.choice([-1, 1], 2), np.mgrid[:cells, :cells], axes=1) / cells
    course = np.abs(across - across.mean() + 0.15 * _field(rng, cells, cells / 12))
    return (relief < np.quantile(relief, 0.07)) | (course < np.quantile(course, 2.2 / cells))


def _without_slivers(lcz: np.ndarray) -> np.ndarray:
    """Each cell takes the class that prevails around it."""
    codes = np.unique(lcz)
    votes = [ndimage.gaussian_filter((lcz == code).astype(np.float32), 0.7) for code in codes]
    return codes[np.argmax(votes, axis=0)]


# --- covers ---------------------------------------------------------------------------------------


def _covers(rng: np.random.Generator, lcz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covers (surface, y, x), 0..1, adding up to 1, and building height (y, x) in m, per pixel."""
    cells, k = len(lcz), len(_SURFACES)
    zone = np.moveaxis(_ZONES[lcz - 1], -1, 0).astype(np.float32)
    spread = np.where(np.arange(k) < _TREE, _BUILT_SPREAD, _NATURAL_SPREAD)[:, None, None]
    covers = zone[:k] * np.exp(spread.astype(np.float32) * _patches(rng, k, cells))
    covers[_ROOFS] *= rng.lognormal(0, 0.4, (3, 1, 1))  # the roofs of this city
    dry = ndtr(_DRY_SPREAD * _patches(rng, 1, cells)[0] + rng.normal(-1, 0.4))  # the season of this city
    covers[_STRAW] = covers[_GRASS] * dry
    covers[_GRASS] -= covers[_STRAW]
    fine = np.stack([_finer(plane) for plane in covers / covers.sum(axis=0)])
    height = zone[k] * np.exp(_HEIGHT_SPREAD * _patches(rng, 1, cells)[0])
    coarse = _finer(zone[k + 1])
    _clump(fine, slice(_TREE, _TREE + 1), _texture(rng, coarse))
    _clump(fine, _ROOFS, _texture(rng, coarse) + 0.5 * _streets(rng, PIXELS * cells))
    return fine, _finer(height)


def _texture(rng: np.random.Generator, coarse: np.ndarray) -> np.ndarray:
    """Standard normal noise per pixel: houses or crowns (15 m) and halls or groves (30 m)."""
    side = len(coarse)
    return np.sqrt(1 - coarse) * _field(rng, side, 0.6) + np.sqrt(coarse) * _field(rng, side, 1.2)


def _streets(rng: np.random.Generator, side: int) -> np.ndarray:
    """A bent street grid with blocks of 60 m to 120 m: positive inside blocks, variance about 1."""
    turn, block = rng.uniform(0, np.pi / 2), rng.uniform(6, 12)
    y, x = np.mgrid[:side, :side].astype(np.float32) + 6 * _finer(_patches(rng, 1, side // PIXELS)[0])
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


def _reflectance(rng: np.random.Generator, covers: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Mixed spectra in shadow, seen through this city's air, with noise; float32 (10, y, x)."""
    side, n = covers.shape[-1], len(_OPTICAL)
    bright = np.stack([_finer(p) for p in _patches(rng, len(covers), side // PIXELS)])
    spectra = _SIGNATURES[:, :n] / 100 * rng.lognormal(0, 0.13, (len(covers), 1))
    spectra *= rng.lognormal(0, 0.05, spectra.shape)
    spread = np.where(np.arange(len(covers)) < _TREE, _BRIGHT_SPREAD, _BRIGHT_SPREAD / 3)
    lit = covers * np.exp(spread[:, None, None].astype(np.float32) * bright)
    image = np.tensordot(spectra.T.astype(np.float32), lit, axes=1)
    roofs = covers[_ROOFS].sum(axis=0)
    shade = 1 - np.exp(-ndimage.uniform_filter(roofs, PIXELS // 2) * height / 12)
    image *= 1 - 0.3 * shade * (1 - 0.5 * roofs)
    haze = rng.gamma(2, 0.004) * np.linspace(1, 0.1, n)
    gain = rng.lognormal(0, 0.05) * rng.lognormal(0, 0.04, n)
    shared = _field(rng, side, 0.8)
    for band in range(n):
        noise = 0.6 * shared + 0.8 * _field(rng, side, 0.8)
        image[band] *= gain[band] * (1 + _OPTICAL_NOISE * noise)
        image[band] += haze[band]
    return np.clip(image, 0.0005, 1)


def _backscatter(rng: np.random.Generator, covers: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Powers of surfaces and of walls, with speckle, in dB; float32 (VV and VH, y, x)."""
    side = covers.shape[-1]
    echo = (_SIGNATURES[:, -2:] + rng.normal(0, 0.6, (len(covers), 2))).astype(np.float32)
    power = np.tensordot(10 ** (echo.T / 10), covers, axes=1)
    # double bounce between wall and ground: more with more and taller buildings, weak in VH
    walls = ndimage.uniform_filter(covers[_ROOFS].sum(axis=0), 3) * 2.2 * (1 - np.exp(-height / 30))
    turned = 10 ** (0.1 * 1.5 * _ECHO_SPREAD_DB * _finer(_patches(rng, 1, side // PIXELS)[0]))
    power += np.array([1, 0.12], dtype=np.float32)[:, None, None] * walls * turned
    for polarisation in range(2):
        rough = _ECHO_SPREAD_DB * _finer(_patches(rng, 1, side // PIXELS)[0])
        # multi-looking and resampling correlate the speckle of neighbours
        speckle = rng.standard_gamma(_LOOKS, (side, side), dtype=np.float32) / _LOOKS
        power[polarisation] *= ndimage.gaussian_filter(speckle, 0.6) * 10 ** (0.1 * rough)
    return 10 * np.log10(power)
