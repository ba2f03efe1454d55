"""Simulated floods: a city before and after the water came, from above and by radar, and the truth of it.

Made for tests, tutorials and experiments that need several events with the truth everywhere. The land is
that of :func:`~jido.data.synthetic.simulate_city`; a relief decides where rivers, the sea and ponds are and
which ground the flood covers (:mod:`jido.data.flood_water`). What makes real pairs hard is simulated on
purpose:

- between the dates lie days or half a year: crops grow, ripen and are cut, leaves fall, grass dries up, hills
  are white in some winters; light, haze, veils and clouds with their shadows differ;
- flood water is muddy or dark, shallow water shows its ground, crowns and roofs stand out of it; the water
  that was there before changes its tint and its shore with the tide and the weather;
- mud where the water has been, soil after rain and shadows of clouds look like water;
- radar: smooth fields and wet snow are as dark as water, wind makes water bright, and so do walls and trunks
  that stand in it;
- every event has its own kind, city, season, air, water and mud. Dates are those of northern summers and
  winters.

Never a substitute for real images: the accuracy of a method here says nothing of its accuracy anywhere else.
Spectra, backscatter, depths at which buildings are damaged and people to a house are plausible round values
of our own, no measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from scipy import ndimage

from jido.data.flood_images import Day, Place, clouds, covers_on, optical_image, radar_image, settle
from jido.data.flood_water import KINDS, Water, rise
from jido.data.surfaces import OPTICAL, PIXELS, ROOFS, bands, covers_of, field
from jido.data.synthetic import land_use
from jido.geo import Band, Raster
from jido.io import write_codes, write_image
from jido.labels import ClassScheme, binary_scheme

FLOODS: dict[str, int] = {
    "river-1": 0, "flash-1": 1, "coast-1": 2, "rain-1": 3,
    "river-2": 4, "flash-2": 5, "coast-2": 6, "rain-2": 7,
}  # fmt: skip
"""Events in eight cities, name -> seed; every other seed is another event in another city."""

BUILT = 0.15
"""Share of a pixel under roofs from which on it holds a building."""

# One row per LCZ from 1 to 10: depth in m at which a usual building has minor damage, has major damage, is
# destroyed; then m² of floor for each person. Elsewhere buildings are those of LCZ 9.
_BUILDINGS = np.array([
    [0.6, 2.5, 8.0, 120], [0.5, 2.0, 6.0, 100], [0.3, 1.2, 3.5, 90], [0.6, 2.5, 8.0, 100],
    [0.5, 2.0, 6.0, 90], [0.3, 1.2, 3.5, 90], [0.1, 0.4, 1.0, 20], [0.4, 1.6, 4.5, 900],
    [0.3, 1.1, 3.0, 90], [0.5, 2.0, 6.0, 900],
])  # fmt: skip
_FORCE = {"river": 1.0, "flash": 1.8, "coast": 1.4, "rain": 0.8}  # a metre of fast water does more harm
_CHANCE = 0.4  # standard deviation of the logarithm of the depth that a building withstands
_STOREY_M = 3.2
_ELSEWHERE = 0.01  # share of the buildings on dry ground with minor damage, by wind or hail


@dataclass(frozen=True, eq=False)
class Flood:
    """A flood in a simulated city, known everywhere; planes are (Y, X) pixels of 10 m.

    Args:
        before: reflectance (0..1) of B02 B03 B04 B05 B06 B07 B08 B8A B11 B12; clouds are in the picture.
        after: the same after the event, on the same grid.
        radar_before: backscatter VV, VH in dB, on the same grid.
        radar_after: the same after the event.
        terrain_m: float32, height of the ground.
        depth_m: float32, depth of all water on the day of ``after``, 0 where it is dry.
        flooded: bool, under water after and not before.
        water_before: bool, under water before.
        cloud_before: bool, hidden by a cloud in ``before``.
        cloud_after: bool, hidden by a cloud in ``after``.
        buildings: float32, share of the pixel under roofs before the event.
        damage: uint8, 0 no building, 1 no damage, 2 minor, 3 major, 4 destroyed; by the highest water, so
            also where it has left again.
        population: people in each cell of 100 m, whole numbers.
        dates: of the two images, ISO.
        lcz: uint8, Local Climate Zone of each 100 m cell, 17 where more than half of it was water before.
        grid: the 100 m cells; images have ten pixels a side in each.
        kind: ``river``, ``flash``, ``coast`` or ``rain``.
    """

    before: Raster
    after: Raster
    radar_before: Raster
    radar_after: Raster
    terrain_m: np.ndarray
    depth_m: np.ndarray
    flooded: np.ndarray
    water_before: np.ndarray
    cloud_before: np.ndarray
    cloud_after: np.ndarray
    buildings: np.ndarray
    damage: np.ndarray
    population: Raster
    dates: tuple[str, str]
    lcz: np.ndarray
    grid: GeoBox
    kind: str


def simulate_flood(seed: int, *, cells: int = 64) -> Flood:
    """A flood in a city of ``cells`` x ``cells`` cells of 100 m; the same seed gives the same flood.

    Args:
        seed: of everything. Another seed is another event in another city; the kind of event is that of
            :data:`~jido.data.flood_water.KINDS` in turn.
        cells: side of the square in cells, at least 32. 64 cells take 3 seconds and 0.6 GB.

    Raises:
        ValueError: when ``cells`` is below 32 or the seed below 0.
    """
    if cells < 32 or seed < 0:
        raise ValueError(f"A flood needs at least 32 x 32 cells and a seed from 0, not {cells} and {seed}.")
    rng = np.random.default_rng([seed, 9])
    kind = KINDS[seed % len(KINDS)]
    water = rise(rng, kind, PIXELS * cells)
    land = _meadows(rng, land_use(rng, cells, wet=np.zeros((cells, cells), dtype=bool)), water)
    covers, height = covers_of(rng, land)
    place = settle(rng, covers, height, land, water.terrain_m)
    buildings = np.where(water.before_m > 0, 0, covers[ROOFS].sum(axis=0)).astype(np.float32)
    damage = _damage(rng, water, buildings, land)
    dates, days = _days(rng, water, damage)
    grids = _grids(seed, cells)
    before, after = (_pictures(rng, place, day, grids[1]) for day in days)
    wet = _blocks(water.before_m > 0).mean(axis=(1, 3)) > 0.5
    return Flood(
        before=before[0],
        after=after[0],
        radar_before=before[1],
        radar_after=after[1],
        terrain_m=water.terrain_m,
        depth_m=water.after_m,
        flooded=(water.after_m > 0) & (water.before_m == 0),
        water_before=water.before_m > 0,
        cloud_before=before[2],
        cloud_after=after[2],
        buildings=buildings,
        damage=damage,
        population=_population(rng, buildings, height, land, grids[0]),
        dates=dates,
        lcz=np.where(wet, 17, land).astype(np.uint8),
        grid=grids[0],
        kind=kind,
    )


def write_flood(flood: Flood, folder: str | Path) -> dict[str, Path]:
    """Write a flood as GeoTIFFs with the day in their names: ``before_2021-05-03.tif``.

    ``before``, ``after`` (reflectance), ``radar_before``, ``radar_after`` (dB), ``flooded`` (1 no, 2 yes),
    ``damage`` (0 no building, 1..4), ``population`` (people in a cell of 100 m).

    Returns:
        The paths, by these words.

    Raises:
        OutputError: when the folder cannot be written.
    """
    day = {"before": flood.dates[0], "radar_before": flood.dates[0]}
    words = ("before", "after", "radar_before", "radar_after", "flooded", "damage", "population")
    paths = {word: Path(folder) / f"{word}_{day.get(word, flood.dates[1])}.tif" for word in words}
    for word in ("before", "after", "radar_before", "radar_after", "population"):
        write_image(getattr(flood, word), paths[word])
    grid = flood.after.geobox
    write_codes(1 + flood.flooded.astype(np.uint8), grid, paths["flooded"], scheme=binary_scheme("flooded"))
    write_codes(flood.damage, grid, paths["damage"], scheme=damage_scheme())
    return paths


def damage_scheme() -> ClassScheme:
    """The four degrees of damage of xBD, codes 1..4. Gupta et al. 2019, arXiv 1911.09296."""
    rows = (("none", "#3C9A5F"), ("minor", "#F2D14B"), ("major", "#F08A2C"), ("destroyed", "#B5202A"))
    classes = [
        {"code": i, "label": name, "name": name, "color": colour} for i, (name, colour) in enumerate(rows, 1)
    ]
    return ClassScheme.from_dict({"name": "damage", "classes": classes, "weights": None, "built": ()})


def _meadows(rng: np.random.Generator, land: np.ndarray, water: Water) -> np.ndarray:
    """Half of the cells that the flood reaches are open land: towns know their rivers, not every hollow."""
    if water.kind == "rain":
        return land
    reached = _blocks(water.peak_m > 0).mean(axis=(1, 3)) > 0.1
    open_land = reached & (land <= 10) & (field(rng, len(land), 2.5) > -0.1)
    kind = np.digitize(field(rng, len(land), 3), [-0.9, 0.8])
    return np.where(open_land, np.array([12, 14, 16])[kind], land).astype(np.uint8)


# --- the event ------------------------------------------------------------------------------------


def _damage(rng: np.random.Generator, water: Water, buildings: np.ndarray, land: np.ndarray) -> np.ndarray:
    """By the highest water and the class of building, with chance; uint8 (Y, X)."""
    depth = water.peak_m * np.exp(_CHANCE * field(rng, len(buildings), 0.8)) * _FORCE[water.kind]
    withstood = _BUILDINGS[np.where(land <= 10, land, 9) - 1, :3]
    withstood = np.repeat(np.repeat(withstood, PIXELS, axis=0), PIXELS, axis=1)
    degree = 1 + (depth[..., None] > withstood).sum(axis=-1)
    degree += (degree == 1) & (rng.random(degree.shape) < _ELSEWHERE)
    return np.where(buildings >= BUILT, degree, 0).astype(np.uint8)


def _population(
    rng: np.random.Generator, buildings: np.ndarray, height: np.ndarray, land: np.ndarray, grid: GeoBox
) -> Raster:
    """People where there are floors to live on, in cells of 100 m."""
    floors = _blocks(buildings * np.maximum(height / _STOREY_M, 1)).sum(axis=(1, 3)) * 100
    each = _BUILDINGS[np.where(land <= 10, land, 9) - 1, 3] * rng.lognormal(0, 0.3, land.shape)
    people = rng.poisson(floors / each).astype(np.float32)
    return Raster(people[None], (Band("population", unit="people"),), grid)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Pixels by cells, (Y, 10, X, 10)."""
    cells = len(plane) // PIXELS
    return plane.reshape(cells, PIXELS, cells, PIXELS)


def _grids(seed: int, cells: int) -> tuple[GeoBox, GeoBox]:
    """Cells and pixels; a UTM zone per seed, so that two cities do not lie on each other."""
    left, top, crs = 500_000, 5_300_000, f"EPSG:{32601 + (11 + seed) % 60}"
    box = (left, top - 100 * cells, left + 100 * cells, top)
    coarse, fine = (GeoBox.from_bbox(box, crs, shape=(n, n), tight=True) for n in (cells, PIXELS * cells))
    return coarse, fine


# --- the two days ---------------------------------------------------------------------------------


def _days(
    rng: np.random.Generator, water: Water, damage: np.ndarray
) -> tuple[tuple[str, str], tuple[Day, Day]]:
    """Dates, and what they are like: 8 to 180 days apart."""
    after = date(int(rng.integers(2016, 2024)), 1, 1) + timedelta(days=int(rng.integers(365)))
    before = after - timedelta(days=int(rng.integers(8, 181)))
    side = len(damage)
    usual, turbid = water.before_m > 0, rng.uniform(0.1, 1)
    snowy = rng.uniform(0.1, 0.3, 2) * (rng.random(2) < 0.4)
    past = np.clip(ndimage.gaussian_filter(water.peak_m, 1) / 0.1, 0, 1)  # where the water has been
    soaked = np.maximum(past * rng.uniform(0.6, 1), _rain(rng, side, rng.uniform(0.1, 0.7)))
    lost = np.array([0, 0, 0.05, 0.2, 0.7], dtype=np.float32)[damage]
    rubble = np.clip(lost * (1 + 0.5 * field(rng, side, 1)), 0, 1)
    none = np.zeros_like(water.event)
    days = []
    for when, depth, event, mud, gone, snow in (
        (before, water.before_m, none, _rain(rng, side, rng.uniform(0, 0.5)), 0 * rubble, snowy[0]),
        (after, water.after_m, water.event, soaked, rubble, snowy[1]),
    ):
        number = when.timetuple().tm_yday
        winter = number < 75 or number > 340
        days.append(Day(number, usual, depth, event, mud, gone, turbid, snow if winter else 0.0))
    return (before.isoformat(), after.isoformat()), (days[0], days[1])


def _rain(rng: np.random.Generator, side: int, mean: float) -> np.ndarray:
    """How wet the soil is, 0..1: in showers, and in some fields more than in others."""
    return np.clip(mean + 0.25 * field(rng, side, 25) + 0.15 * field(rng, side, 6), 0, 1)


def _pictures(
    rng: np.random.Generator, place: Place, day: Day, grid: GeoBox
) -> tuple[Raster, Raster, np.ndarray]:
    """The picture and the radar image of a day, and the pixels that clouds hide."""
    covers = covers_on(rng, place, day)
    cloud, shadow = clouds(rng, covers.shape[-1])
    seen = Raster(optical_image(rng, place, day, covers, cloud, shadow), bands("sentinel-2", OPTICAL), grid)
    echo = Raster(radar_image(rng, place, day, covers), bands("sentinel-1", ("VV", "VH")), grid)
    return seen, echo, cloud > 0.5
