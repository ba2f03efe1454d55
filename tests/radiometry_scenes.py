"""Simulated scenes for the radiometry guard: landscapes of the Earth as numbers of every kind."""

import numpy as np

from jido.geo import identify
from jido.geo.radiometry import Stated, describe

S2 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
L8 = ("B2", "B3", "B4", "B5", "B6", "B7")
AS_LANDSAT = [0, 1, 2, 7, 8, 9]

# Reflectance in % of the bands of S2: round values after the USGS Spectral Library 7 (doi
# 10.3133/ds1035), for snow and ice Warren 1982 (doi 10.1029/RG020i001p00067), for water the
# MARIDA spectra (doi 10.1371/journal.pone.0262247).
SURFACES = {
    "forest": [2, 4, 2.5, 7, 20, 26, 28, 30, 14, 6],
    "conifer": [1.5, 2.5, 1.8, 4, 11, 14, 15, 16, 7, 3],
    "grass": [4, 8, 6, 13, 28, 34, 36, 38, 26, 14],
    "straw": [8, 12, 16, 19, 22, 24, 26, 27, 34, 26],
    "soil": [8, 12, 17, 20, 22, 24, 26, 28, 35, 30],
    "sand": [15, 24, 34, 38, 40, 42, 44, 46, 55, 52],
    "gypsum": [45, 52, 57, 59, 60, 61, 61, 61, 50, 35],
    "salt": [35, 40, 42, 43, 44, 44, 43, 42, 20, 12],
    "snow": [92, 92, 90, 89, 88, 87, 85, 83, 10, 8],
    "ice": [60, 62, 58, 55, 50, 47, 42, 38, 3, 2],
    "sea": [5, 3, 1.5, 1, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2],
    "lake": [2, 3, 1.5, 1.2, 1, 0.9, 0.8, 0.7, 0.4, 0.3],
    "silt": [10, 13, 14, 12, 7, 7, 5, 4.5, 1, 0.7],
    "paddy": [6, 8, 7, 9, 11, 12, 12, 12, 6, 3],
    "concrete": [18, 21, 23, 25, 26, 27, 28, 29, 32, 30],
    "asphalt": [7, 8, 9, 10, 10, 11, 11, 12, 14, 13],
    "tile": [6, 9, 19, 23, 25, 27, 28, 29, 33, 30],
    "blue roof": [25, 20, 13, 13, 15, 18, 20, 21, 25, 20],
    "cloud": [70, 70, 70, 71, 72, 72, 72, 72, 50, 38],
    "char": [4, 5, 6, 7, 9, 10, 11, 12, 19, 20],
    "lava": [4, 4.5, 5, 5.5, 6, 6.2, 6.5, 7, 8, 8],
}
TOWN = {"asphalt": 3, "concrete": 2, "tile": 2, "grass": 2, "forest": 1, "lake": 1}
LANDS = {
    "forest": {"forest": 2, "conifer": 1},
    "snow": {"snow": 1},
    "snow and forest": {"snow": 2, "conifer": 1},
    "ice": {"ice": 1},
    "open sea": {"sea": 1},
    "turbid estuary": {"silt": 1},
    "lakes": {"lake": 1, "forest": 1},
    "sand desert": {"sand": 1},
    "oasis": {"sand": 4, "grass": 1},
    "gypsum dunes": {"gypsum": 1},
    "salt flat": {"salt": 1},
    "lava": {"lava": 1},
    "town": TOWN,
    "dense city": {"concrete": 1, "asphalt": 1},
    "tiled roofs": {"tile": 3, "asphalt": 1},
    "blue roofs": {"blue roof": 1, "concrete": 5},
    "cloud deck": {"cloud": 1},
    "cloud over sea": {"cloud": 1, "sea": 1},
    "burnt forest": {"char": 3, "conifer": 1},
    "rice paddies": {"paddy": 3, "grass": 1},
    "winter fields": {"soil": 3, "straw": 2, "conifer": 1},
    "summer fields": {"grass": 3, "forest": 1},
}


def land(covers, *, seed, n=3200, light=1.0):
    """Reflectance (10, n): patches of 16 pixels of a cover, with relief, texture and noise."""
    rng = np.random.default_rng(seed)
    share = np.array(list(covers.values()), dtype=float)
    patch = rng.choice(len(covers), n // 16 + 1, p=share / share.sum()).repeat(16)[:n]
    spectra = np.array([SURFACES[name] for name in covers])[patch] / 100
    relief = rng.lognormal(0, 0.2, (n, 1)) * rng.lognormal(0, 0.05, (n, 10))
    return np.maximum(spectra * relief * light, 0.0001).T


def radar(vv, vh, *, seed, spread=2.0):
    """Backscattered power VV, VH (2, 2000) around two means in dB."""
    return 10 ** (np.random.default_rng(seed).normal((vv, vh), spread, (2000, 2)).T / 10)


def kelvin(mean, *, seed):
    """Temperature of two thermal bands (2, 2000)."""
    return np.random.default_rng(seed).normal((mean, mean - 1.5), 4, (2000, 2)).T


def drone(colour, *, seed):
    """8-bit red, green and blue (3, 2000), with shades."""
    rng = np.random.default_rng(seed)
    shade = rng.normal(1, 0.3, 2000)
    return np.clip(np.rint(np.array(colour)[:, None] * shade + rng.normal(0, 6, (3, 2000))), 0, 255)


def stretched(reflectance):
    low, high = np.quantile(reflectance, [0.02, 0.98])
    return np.clip(np.rint((reflectance - low) / (high - low) * 255), 0, 255)


ONE, TENTH, PERCENT = "reflectance", "reflectance + 0.1", "reflectance in percent"
DN, NEW, C2 = "reflectance x 10000", "reflectance x 10000 + 1000", "Collection 2 numbers"
POWER, DB, ROOT = "linear power", "decibels", "amplitude"
K, CELSIUS, C2_HEAT = "kelvin", "degrees Celsius", "Collection 2 temperature numbers"
L1, BYTES = "level 1", "8 bit"

AIR = np.array([[9], [6], [3], [1], [0], [0]]) / 100
"""What the atmosphere adds to the reflectance in the bands of L8."""

NUMBERS = {
    ONE: lambda r: r,
    TENTH: lambda r: r + 0.1,
    PERCENT: lambda r: r * 100,
    DN: lambda r: r * 1e4,
    NEW: lambda r: r * 1e4 + 1000,
    C2: lambda r: (r + 0.2) / 2.75e-5,
    L1: lambda r: ((r + AIR) * 0.8 + 0.1) / 2e-5,
    BYTES: stretched,
    POWER: lambda power: power,
    DB: lambda power: 10 * np.log10(power),
    ROOT: np.sqrt,
    K: lambda kelvin: kelvin,
    CELSIUS: lambda kelvin: kelvin - 273.15,
    C2_HEAT: lambda kelvin: (kelvin - 149) / 0.00341802,
}
"""Kind -> its numbers for reflectance, power or kelvin, before they are rounded."""


def as_kind(kind, quantity):
    """Numbers as files hold them: counts are whole."""
    numbers = NUMBERS[kind](quantity)
    return np.rint(numbers) if kind in (DN, NEW, C2, L1, BYTES, C2_HEAT) else numbers


def seen(values, names=S2, **stated):
    """What the guard makes of pixels (C, n)."""
    told = [Stated(image="scene.tif", **stated)] * len(names)
    return describe(np.asarray(values, dtype=np.float32), identify(names), told)


def town(kind=ONE, *, seed=0):
    """Numbers (10, n) of the town of the training; another seed is another part of it."""
    return as_kind(kind, land(TOWN, seed=seed))


def away(place, kind=ONE):
    """Numbers (10, n) of another landscape."""
    return as_kind(kind, land(LANDS[place], seed=1))


def landsat(kind, *, seed=0, place="town"):
    """What the guard makes of a landscape in the bands of L8."""
    return seen(as_kind(kind, land(LANDS[place], seed=seed)[AS_LANDSAT]), L8)


def mixed_up(*order):
    """What the guard makes of the town with its bands in another order."""
    return seen(town(seed=1)[list(order)])


RADAR, HEAT, RGB = ("VV", "VH"), ("B10", "B11"), ("red", "green", "blue")


def echo(vv, vh, kind=DB, *, seed=1, spread=2.0, **stated):
    """What the guard makes of radar around two means in dB."""
    return seen(as_kind(kind, radar(vv, vh, seed=seed, spread=spread)), RADAR, **stated)


def heat(mean, kind=K, *, seed=1):
    """What the guard makes of two thermal bands around a mean in kelvin."""
    return seen(as_kind(kind, kelvin(mean, seed=seed)), HEAT)


def photo(red, green, blue, *, seed=1):
    """What the guard makes of an 8-bit image of a drone."""
    return seen(drone((red, green, blue), seed=seed), RGB, dtype="uint8")
