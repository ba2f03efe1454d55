"""A simulated lake that shrinks: images with clouds, and its true area and volume on every date.

Made for tests, tutorials and users without data. The lake is a bowl with a wavy outline, so area and
volume follow from the geometry in closed form and owe nothing to the pixels. What makes real lakes hard is
simulated on purpose: pixels of the shore are mixed, shallow water shows its bed, the bed that fell dry is
neither land nor water, noise is correlated in space, and every date has its own light and haze. Never a
substitute for real images: the accuracy of a method here says nothing of its accuracy anywhere else.

Spectra and attenuation: round values, typical of the surfaces at 10 m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.data.canvas import smooth
from jido.geo import Raster, identify

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
"""Blue, green, red, nir, swir16, swir22 of Sentinel-2."""

FINE = 16
"""Points along a side of a pixel that say how much of it is water."""

# One row per surface: reflectance in % of the bands.
_GRASS, _SOIL, _TREE, _BED, _WATER = np.array([
    [4,   8,  6, 32, 25, 14],
    [9,  13, 18, 27, 35, 31],
    [3,   5,  3, 34, 16,  7],
    [10, 13, 16, 21, 22, 17],  # wet mud
    [6,   6,  4,  2,  1,  1],  # deep
])[:, :, None, None] / 100  # fmt: skip
_DIM = np.array([0.3, 0.3, 0.9, 6, 60, 80])[:, None, None]  # 1/m, down to the bed and up again

_NOISE = 0.03  # relative to the reflectance
_FLOOR = 0.002  # and what is added to it
_WEATHER = 0.03  # standard deviation of the logarithm of a year's area


@dataclass(frozen=True, eq=False)
class Bowl:
    """The bed of a lake: u ** power * depth_m above its deepest point, u = r / radius(angle).

    Water that stands at the height of u has the area u² times the full one, and the volume is area x
    depth x power / (power + 2): both are integrals over rings of u.

    Args:
        radius_m: mean radius of the full lake.
        waves: of the outline, relative to it: of 2, 3, ... bumps, (k,); together below 1.
        phases: of the waves, radians (k,).
        depth_m: of the full lake at its deepest point.
        power: 2 for a paraboloid, 1 for a cone.
    """

    radius_m: float
    waves: np.ndarray
    phases: np.ndarray
    depth_m: float
    power: float

    def radius(self, angle: np.ndarray) -> np.ndarray:
        """Distance of the full shore from the centre in metres, shape as given."""
        bumps = np.arange(2, len(self.waves) + 2)
        waves = self.waves * np.cos(np.asarray(angle)[..., None] * bumps + self.phases)
        return self.radius_m * (1 + waves.sum(axis=-1))

    @property
    def area_m2(self) -> float:
        """Of the full lake: half the integral of radius², in which the waves are orthogonal."""
        return float(np.pi * self.radius_m**2 * (1 + (self.waves**2).sum() / 2))

    def volume_m3(self, area_m2: np.ndarray) -> np.ndarray:
        """Volume of water that has this area, shape as given."""
        depth = self.depth_m * (np.asarray(area_m2) / self.area_m2) ** (self.power / 2)
        return area_m2 * depth * self.power / (self.power + 2)


@dataclass(frozen=True, eq=False)
class Lake:
    """A lake on several dates; images are made when they are asked for, the same ones every time.

    Args:
        bowl: its bed.
        dates: datetime64[D] (D,), in order.
        area_m2: true area on each date, (D,).
        cloud: share of the pixels under clouds on each date, (D,).
        grid: of the images; the centre of the lake is in the middle.
        seed: of land, clouds, light and noise.
    """

    bowl: Bowl
    dates: np.ndarray
    area_m2: np.ndarray
    cloud: np.ndarray
    grid: GeoBox
    seed: int

    @property
    def volume_m3(self) -> np.ndarray:
        """True volume on each date, (D,)."""
        return self.bowl.volume_m3(self.area_m2)

    def hypsometry(self, *, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
        """A table of areas in m² and volumes in m³, (rows,) each, from an empty to a full lake."""
        area = np.linspace(0, self.bowl.area_m2, rows)
        return area, self.bowl.volume_m3(area)

    def outline(self, date: int | None = None, *, corners: int = 720) -> shapely.Polygon:
        """The shore on a date, or that of the full lake, in the CRS of the grid."""
        full = 1.0 if date is None else np.sqrt(self.area_m2[date] / self.bowl.area_m2)
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        away = full * self.bowl.radius(angle)
        x, y = self._centre
        return shapely.Polygon(np.column_stack([x + away * np.cos(angle), y + away * np.sin(angle)]))

    def clouds(self, date: int) -> np.ndarray:
        """Bool (y, x): the pixels that clouds hide, as many as ``cloud`` says."""
        side = self.grid.shape[0]
        field = smooth(np.random.default_rng([self.seed, date, 1]), tuple(self.grid.shape), side / 12)
        hidden = np.zeros(field.size, dtype=bool)
        hidden[np.argsort(-field, axis=None)[: round(self.cloud[date] * field.size)]] = True
        return hidden.reshape(field.shape)

    def water(self, date: int) -> np.ndarray:
        """Share of water in each pixel, 0..1 (y, x), as if there were no clouds."""
        stand = np.sqrt(self.area_m2[date] / self.bowl.area_m2)
        place = self._place
        share = (place < stand).astype(np.float64)
        row, col = np.nonzero(np.abs(place - stand) <= self._steepest)
        inner = (np.arange(FINE) + 0.5) / FINE
        y, x = np.meshgrid(inner, inner, indexing="ij")
        fine = self._u(row[:, None] + y.ravel(), col[:, None] + x.ravel())
        share[row, col] = (fine < stand).mean(axis=1)
        return share

    def image(self, date: int) -> Raster:
        """Reflectance 0..1 of :data:`BANDS`, NaN under clouds."""
        rng = np.random.default_rng([self.seed, date, 2])
        stand, deepest = np.sqrt(self.area_m2[date] / self.bowl.area_m2), self.bowl.depth_m
        depth = deepest * np.maximum(stand**self.bowl.power - self._place**self.bowl.power, 0)
        ground = np.where(self._place < 1, _BED, self._land)
        wet = _WATER + (ground - _WATER) * np.exp(-_DIM * depth)
        share = self.water(date)
        plain = share * wet + (1 - share) * ground
        shape = tuple(self.grid.shape)
        shared = smooth(rng, shape, 0.8)
        own = np.stack([smooth(rng, shape, 0.8) for _ in BANDS])
        noise = 0.6 * shared + 0.8 * own
        light, haze = rng.lognormal(0, 0.05), rng.gamma(2, 0.004) * np.linspace(1, 0.1, len(BANDS))
        seen = plain * light * (1 + _NOISE * noise) + haze[:, None, None] + _FLOOR * noise
        seen = np.where(self.clouds(date), np.nan, np.clip(seen, 0.0005, 1))
        return Raster(seen.astype(np.float32), identify(BANDS), self.grid)

    @property
    def _centre(self) -> tuple[float, float]:
        height, width = self.grid.shape
        x, y = self.grid.affine * (width / 2, height / 2)
        return float(x), float(y)

    def _u(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """How far out a place is, 0 at the centre, 1 at the full shore; row and column of pixel corners."""
        pixel = self.grid.affine.a
        x, y = (col - self.grid.shape[1] / 2) * pixel, (self.grid.shape[0] / 2 - row) * pixel
        return np.hypot(x, y) / self.bowl.radius(np.arctan2(y, x))

    @cached_property
    def _place(self) -> np.ndarray:
        row, col = np.indices(tuple(self.grid.shape)) + 0.5
        return self._u(row, col)

    @cached_property
    def _steepest(self) -> float:
        """By how much u changes at most from the middle of a pixel to its corner."""
        angle = np.linspace(0, 2 * np.pi, 3600)
        radius = self.bowl.radius(angle)
        slope = np.hypot(1, np.gradient(radius, angle) / radius) / radius
        return float(slope.max() * 1.01 * self.grid.affine.a / np.sqrt(2))

    @cached_property
    def _land(self) -> np.ndarray:
        """Grass, soil and trees in patches, reflectance (band, y, x)."""
        rng, shape = np.random.default_rng([self.seed, 0]), tuple(self.grid.shape)
        weight = np.exp(1.5 * np.stack([smooth(rng, shape, shape[0] / 20) for _ in range(3)]))
        weight /= weight.sum(axis=0)
        parts = zip((_GRASS, _SOIL, _TREE), weight, strict=True)
        return np.asarray(sum(surface * part for surface, part in parts))


def simulate_lake(
    seed: int,
    *,
    pixels: int = 192,
    pixel_m: float = 10.0,
    first_year: int = 2015,
    years: int = 6,
    dates_a_year: int = 12,
    trend: float = -0.05,
    season: float = 0.06,
    cloud: float | Sequence[float] = 0.1,
    depth_m: float = 12.0,
    power: float = 2.0,
) -> Lake:
    """A lake that shrinks, rises in spring and falls in autumn; the same arguments give the same lake.

    Args:
        seed: of everything.
        pixels: side of the square images, at least 64.
        pixel_m: side of a pixel in metres.
        first_year: of the dates.
        years: how many.
        dates_a_year: spread over each year, 1 to 120.
        trend: change of the area in a year, as a share of the first one.
        season: height of the yearly wave, as a share of the area; highest on the first of May.
        cloud: share of the pixels under clouds, 0 to 1: the same on all dates, or one for each.
        depth_m: of the full lake.
        power: of its bed, see :class:`Bowl`.

    Raises:
        ValueError: when an argument is outside its range.
    """
    if pixels < 64:
        raise ValueError(f"The images need at least 64 x 64 pixels, not {pixels}.")
    if not 1 <= dates_a_year <= 120 or years < 1:
        raise ValueError(
            f"A lake has 1 to 120 dates in each of 1 year or more, not {dates_a_year} in {years}."
        )
    if not (pixel_m > 0 and depth_m > 0 and power > 0):
        raise ValueError(f"Lengths and power are above 0, not {pixel_m}, {depth_m}, {power}.")
    rng = np.random.default_rng(seed)
    dates, time = _dates(rng, first_year, years, dates_a_year)
    covered = np.asarray(cloud, dtype=np.float64)
    if covered.shape not in ((), dates.shape):
        raise ValueError(
            f"{len(dates)} dates have {covered.size} shares under clouds: give one, or one each."
        )
    covered = np.broadcast_to(covered, dates.shape)
    if not ((covered >= 0) & (covered <= 1)).all():
        raise ValueError(f"Shares under clouds are 0 to 1, not {covered.min():g} to {covered.max():g}.")
    bowl = _bowl(rng, 0.42 * pixels * pixel_m, depth_m, power)
    weather = rng.normal(0, _WEATHER, years)[time.astype(np.int64)]
    wave = 1 + season * np.cos(2 * np.pi * (time - 1 / 3))
    full = 0.8 * (1 + trend * time) * wave * np.exp(weather)
    area = bowl.area_m2 * np.clip(full, 0.02, 0.97)
    left, top = 500_000, 4_400_000
    grid = GeoBox((pixels, pixels), Affine(pixel_m, 0, left, 0, -pixel_m, top), f"EPSG:{32601 + seed % 60}")
    return Lake(bowl, dates, area, covered, grid, seed)


def _dates(rng: np.random.Generator, first: int, years: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Dates, a little off their even spacing, and the same in years since the first of January."""
    start = np.arange(first, first + years).astype(str).astype("datetime64[Y]").astype("datetime64[D]")
    gap = 365 / each
    day = np.floor((np.arange(each) + rng.uniform(0.1, 0.9, (years, each))) * gap)
    dates = (start[:, None] + day.astype(np.int64)).ravel()
    return dates, (np.arange(years)[:, None] + day / 366).ravel()


def _bowl(rng: np.random.Generator, reach: float, depth_m: float, power: float) -> Bowl:
    """A bed whose full shore is nowhere farther from the centre than ``reach``."""
    waves = rng.uniform(0.3, 1, 5) * np.array([0.16, 0.1, 0.06, 0.04, 0.03])
    phases = rng.uniform(0, 2 * np.pi, 5)
    widest = Bowl(1.0, waves, phases, depth_m, power).radius(np.linspace(0, 2 * np.pi, 3600)).max()
    return Bowl(float(reach / widest), waves, phases, depth_m, power)
