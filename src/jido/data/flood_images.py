"""What a simulated landscape looks like on a day, dry or under water; see :mod:`jido.data.floods`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jido.data.surfaces import (
    GRASS,
    OPTICAL,
    PIXELS,
    ROOFS,
    SIGNATURES,
    STRAW,
    SURFACES,
    TREE,
    brightness,
    corners,
    echoes_of,
    field,
    finer,
    mixed,
    patches,
    photographed,
    speckled,
    spectra_of,
)

_SOIL, _WATER = SURFACES.index("soil"), SURFACES.index("water")
_BARE_TREE, _MUD, _SNOW, _FLOOD = range(len(SURFACES), len(SURFACES) + 4)

# One row per further surface, as in SIGNATURES: reflectance in %, backscatter VV, VH in dB.
_FURTHER = np.array([
    [5,   7,  9, 11, 14, 16, 17, 18, 20, 13,   -11, -17],  # tree without leaves
    [7,   9, 11, 12, 13, 14, 14, 14, 13, 10,   -13, -22],  # mud, wet soil
    [80, 80, 78, 77, 75, 73, 70, 68, 12,  9,   -20, -26],  # wet snow
    [5,   6,  5,  5,  4,  4,  3,  3,  1,  1,   -21, -29],  # flood, clear; muddy water is mixed into it
], dtype=np.float32)  # fmt: skip
_MUDDY = np.array([8, 12, 15, 15, 11, 10, 8, 7, 2, 1], dtype=np.float32) / 100
_GREEN = np.array([4, 8, 5, 6, 4, 4, 3, 3, 1, 1], dtype=np.float32) / 100  # algae

# Metres up to which water hides a third of a surface (e-folding), in the order of SURFACES and the further
# ones: roofs and crowns stay in sight, grass for a hand's breadth, roads not at all.
_STANDS = np.array([99, 99, 99, 0, 0, 25, 1.5, 0.2, 0.4, 0, 0, 0, 0, 8, 0, 0.3, 0], dtype=np.float32)

# Days of the year at which a crop is green, ripe and harvested; the last one is permanent grassland.
_CROPS = np.array([[80, 185, 210], [130, 250, 280], [150, 280, 310], [105, 200, 225], [50, 330, 365]])


@dataclass(frozen=True, eq=False)
class Place:
    """What does not change between two dates; planes are (y, x) pixels.

    Args:
        covers: of SURFACES, float32 (surface, y, x), without water, adding up to 1.
        height: of buildings in metres.
        arable: share of the low plants and the soil that is sown.
        plot: number of the field that a pixel lies in.
        crop: of each field, a row of the table of crops.
        shift: days by which each field is late.
        high: rank of the height of the ground, 0..1.
        bright: how bright each surface is around here.
        spectra: reflectance (surface, band).
        echo: power (VV and VH, surface).
    """

    covers: np.ndarray
    height: np.ndarray
    arable: np.ndarray
    plot: np.ndarray
    crop: np.ndarray
    shift: np.ndarray
    high: np.ndarray
    bright: np.ndarray
    spectra: np.ndarray
    echo: np.ndarray


@dataclass(frozen=True, eq=False)
class Day:
    """A day at a place; planes are (y, x) pixels.

    Args:
        number: day of the year, 1..365.
        usual: bool, the place of rivers, sea and lakes.
        depth_m: of all water.
        event: 0..1, share of the water that is the event's.
        mud: 0..1, how wet and muddy bare ground is.
        rubble: 0..1, share of the roofs that are gone.
        turbid: of the flood, 0..1.
        snow: share of the ground under snow, the highest.
    """

    number: int
    usual: np.ndarray
    depth_m: np.ndarray
    event: np.ndarray
    mud: np.ndarray
    rubble: np.ndarray
    turbid: float
    snow: float


def settle(
    rng: np.random.Generator, covers: np.ndarray, height: np.ndarray, lcz: np.ndarray, terrain: np.ndarray
) -> Place:
    """A place with fields on its open land, LCZ D and F and some of 9."""
    side = covers.shape[-1]
    plot = _plots(rng, side)
    n = int(plot.max()) + 1
    rows = len(SURFACES) + len(_FURTHER)
    share = np.array([0] * 9 + [0.5] + [0] * 4 + [0.9, 0, 0.7, 0], dtype=np.float32)[lcz]
    signatures = np.concatenate([SIGNATURES, _FURTHER])
    whole = covers / covers.sum(axis=0)
    return Place(
        covers=np.concatenate([whole, np.zeros((len(_FURTHER), side, side), dtype=np.float32)]),
        height=height,
        arable=finer(share),
        plot=plot,
        crop=rng.choice(len(_CROPS), n, p=rng.dirichlet(np.full(len(_CROPS), 1.5))),
        shift=rng.normal(0, 9, n),
        high=(terrain.argsort(axis=None).argsort() / terrain.size).reshape(terrain.shape).astype(np.float32),
        bright=brightness(rng, rows, side // PIXELS),
        spectra=spectra_of(rng, signatures),
        echo=echoes_of(rng, signatures),
    )


def _plots(rng: np.random.Generator, side: int) -> np.ndarray:
    """Numbers of fields of 100 m to 300 m, int (y, x), in rows that are slightly bent."""
    turn = rng.uniform(0, np.pi / 2)
    y, x = np.mgrid[:side, :side].astype(np.float32) + 3 * finer(patches(rng, 1, side // PIXELS)[0])
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    row = np.floor((across - across.min()) / rng.uniform(9, 20)).astype(np.int64)
    width, start = rng.uniform(12, 30, row.max() + 1), rng.uniform(0, 30, row.max() + 1)
    column = np.floor((along - along.min() + start[row]) / width[row]).astype(np.int64)
    return row * (column.max() + 1) + column


# --- covers of a day ------------------------------------------------------------------------------


def covers_on(rng: np.random.Generator, place: Place, day: Day) -> np.ndarray:
    """Covers (surface, y, x) on a day: season, rubble, snow, mud and water, adding up to 1."""
    covers = place.covers.copy()
    _grow(rng, covers, place, day.number)
    gone = covers[ROOFS] * day.rubble
    covers[ROOFS] -= gone
    covers[_SOIL] += 0.5 * gone.sum(axis=0)
    covers[_MUD] += 0.5 * gone.sum(axis=0)
    wet = covers[_SOIL] * day.mud
    silted = covers[[GRASS, STRAW, 3, 4]] * np.maximum(2 * day.mud - 1, 0)  # mud lies on roads and grass too
    covers[_SOIL] -= wet
    covers[[GRASS, STRAW, 3, 4]] -= silted
    covers[_MUD] += wet + silted.sum(axis=0)
    if day.snow > 0:
        white = np.clip((place.high - 1 + day.snow) / 0.1, 0, 0.95)
        seen = covers[[GRASS, STRAW, _SOIL, _MUD]] * white
        covers[[GRASS, STRAW, _SOIL, _MUD]] -= seen
        covers[_SNOW] += seen.sum(axis=0)
    return _under_water(rng, covers, day)


def _grow(rng: np.random.Generator, covers: np.ndarray, place: Place, number: int) -> None:
    """The season: fields are green, ripe, stubble or bare; grass dries up; trees have leaves or none."""
    start, ripe, end = _CROPS[place.crop].T
    late = number - place.shift
    green = np.clip((late - start) / 30, 0, 1) * np.clip((ripe - late) / 20, 0, 1)
    straw = np.clip((late - ripe + 20) / 20, 0, 1) * np.where(
        late < end, 1, np.clip(1 - (late - end) / 40, 0, 0.6)
    )
    state = np.stack([green, straw, 1 - np.minimum(green + straw, 1)])
    state = (state / state.sum(axis=0)).astype(np.float32)[:, place.plot]
    sown = covers[[GRASS, STRAW, _SOIL]] * place.arable
    covers[[GRASS, STRAW, _SOIL]] += state * sown.sum(axis=0) - sown
    hot = np.exp(-(((number - 220) / 45) ** 2)) * rng.uniform(0, 0.6)
    dried = covers[GRASS] * hot * (1 - place.arable)
    covers[GRASS] -= dried
    covers[STRAW] += dried
    leaves = np.clip((number - 95) / 30, 0.25, 1) * np.clip((325 - number) / 30, 0.25, 1)
    covers[_BARE_TREE] += covers[TREE] * (1 - leaves)
    covers[TREE] *= leaves


def _under_water(rng: np.random.Generator, covers: np.ndarray, day: Day) -> np.ndarray:
    """Rivers and lakes in their place; the flood between what stands out of it."""
    bed, wet, event, depth = (
        ndimage.gaussian_filter(plane.astype(np.float32), 0.5)
        for plane in (day.usual, day.depth_m > 0, day.event * day.usual, day.depth_m)
    )
    full = np.minimum(bed, wet)
    muddy = np.minimum(full, event) * day.turbid
    over = np.clip((wet - full) / np.maximum(1 - bed, 1e-3), 0, 1)  # share of the land in the pixel
    covers = covers * (1 - bed)
    drowned = covers * over * (1 - np.exp(-depth / np.maximum(_STANDS, 1e-3)[:, None, None]))
    clear = np.exp(-depth * rng.uniform(4, 8)) * (1 - 0.7 * day.turbid)  # the ground is seen through it
    covers -= drowned
    covers[_WATER] += full - muddy
    covers[_FLOOD] += muddy + drowned.sum(axis=0) * (1 - clear)
    covers[_MUD] += bed - full + drowned.sum(axis=0) * clear
    return covers


# --- images ---------------------------------------------------------------------------------------


def optical_image(
    rng: np.random.Generator,
    place: Place,
    day: Day,
    covers: np.ndarray,
    cloud: np.ndarray,
    shadow: np.ndarray,
) -> np.ndarray:
    """Reflectance (10, y, x) float32, through this day's air; clouds hide, shadows darken."""
    side, n = covers.shape[-1], len(OPTICAL)
    spectra = place.spectra.copy()
    tint = rng.uniform(0, 1)
    spectra[_WATER] = (1 - tint) * spectra[_WATER] + tint * _GREEN
    spectra[_WATER] += rng.uniform(0, 0.25) * (_MUDDY - spectra[_WATER])
    spectra[[GRASS, TREE]] *= rng.lognormal(0, 0.08, (2, n))
    sun = 1 / np.tan(np.radians(25 + 35 * np.sin(np.pi * np.clip((day.number - 30) / 300, 0, 1))))
    image = mixed(covers, spectra, place.bright, place.height * sun)
    muddy = np.clip(day.turbid + 0.25 * finer(patches(rng, 1, side // PIXELS)[0]), 0, 1)
    change = _MUDDY - spectra[_FLOOD]
    image += (covers[_FLOOD] * muddy)[None] * change.astype(np.float32)[:, None, None]
    white = np.linspace(0.62, 0.42, n, dtype=np.float32)[:, None, None]
    dark = np.linspace(0.55, 0.75, n, dtype=np.float32)[:, None, None]
    image *= 1 - dark * shadow
    image += (white - image) * cloud
    veil = np.maximum(field(rng, side, side / 12), 0) * rng.gamma(1.5, 0.006)
    image += veil * np.linspace(1, 0.15, n, dtype=np.float32)[:, None, None]
    return photographed(rng, image).astype(np.float32)


def clouds(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds and their shadows, 0..1 float32 (y, x) each; none on one day in three."""
    share = max(rng.uniform(-0.03, 0.06), 0.0)
    if share == 0:
        return np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    shape = field(rng, side, side / 26) + 0.3 * field(rng, side, 3)
    thick = np.clip((shape - np.quantile(shape, 1 - share)) / 0.25 + 0.3, 0, 1).astype(np.float32)
    away = rng.uniform(12, 45, 2) * rng.choice([-1, 1], 2)
    shade = ndimage.shift(thick, away, order=1, mode="constant")
    return thick, np.clip(shade * (1 - thick), 0, 1)


def radar_image(rng: np.random.Generator, place: Place, day: Day, covers: np.ndarray) -> np.ndarray:
    """Backscatter VV and VH in dB, float32 (2, y, x).

    Smooth bare fields are as dark as water, wind makes water bright, and water under trees and between
    walls reflects twice.
    """
    echo = place.echo.copy()
    echo[:, [_WATER, _FLOOD]] *= 10 ** (0.1 * rng.uniform(0, 4))  # wind
    echo[:, [GRASS, STRAW, _SOIL, _MUD]] *= 10 ** (0.1 * rng.normal(0, 1))  # moisture
    fields = [GRASS, STRAW, _SOIL, _MUD]
    rough = 10 ** (0.1 * np.clip(rng.normal(-1, 2, place.plot.max() + 1), -8, 2.5)).astype(np.float32)
    low = np.tensordot(echo[:, fields], covers[fields], axes=1)
    power = np.tensordot(echo, covers, axes=1) + low * place.arable * (rough[place.plot] - 1)
    water = covers[_FLOOD]
    crowns = (covers[TREE] + covers[_BARE_TREE]) * np.minimum(water / np.maximum(1 - covers[TREE], 0.2), 1)
    power += np.array([0.25, 0.03], dtype=np.float32)[:, None, None] * crowns
    around = ndimage.uniform_filter(water, 3)
    power += corners(rng, covers, place.height) * (1 + 1.5 * np.minimum(2 * around, 1))
    return speckled(rng, power).astype(np.float32)
