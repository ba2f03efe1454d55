"""What the numbers of a band can mean: one table, and the way from one kind of numbers to another.

Sources: Sentinel-2 products are reflectance x 10000, from processing baseline 04.00 on with 1000
added (Sentinel-2 Products Specification Document 14.9 and later, ``BOA_ADD_OFFSET``); Landsat
Collection 2 level 2: Landsat 8-9 Collection 2 Level 2 Science Product Guide (USGS LSDS-1619);
level 1: Landsat 8 Data Users Handbook (USGS LSDS-1574), before the division by the sine of the sun's
elevation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jido.geo.bands import Band


@dataclass(frozen=True)
class Kind:
    """One meaning of numbers: ``number = scale * quantity + offset`` of a physical quantity.

    The quantity is reflectance (0..1), temperature in kelvin, or backscattered power (linear).

    Args:
        name: in words, unique.
        family: the bands that it is for (see :func:`family`); empty for all.
        scale: numbers for one unit of the quantity.
        offset: the number for nothing.
        curve: ``decibel`` and ``root`` are the other two ways from power to numbers; ``none`` when
            the numbers do not tell the quantity.
        sensor: the only sensor whose products come so; empty for any.
        unit: of a band converted to this kind.
        level: processing level of products of this kind, ``1`` or ``2``; empty when both.
    """

    name: str
    family: str
    scale: float = 1.0
    offset: float = 0.0
    curve: Literal["linear", "decibel", "root", "none"] = "linear"
    sensor: str = ""
    unit: str = "DN"
    level: str = ""

    def to_quantity(self, numbers: np.ndarray) -> np.ndarray:
        """Reflectance, kelvin or power from numbers, shape as given."""
        if self.curve == "decibel":
            return np.power(10, numbers / 10)
        if self.curve == "root":
            return np.square(numbers)
        return (numbers - self.offset) / self.scale

    def from_quantity(self, quantity: np.ndarray) -> np.ndarray:
        """The opposite of :meth:`to_quantity`; the decibels of no power are NaN."""
        if self.curve == "decibel":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(quantity > 0, 10 * np.log10(quantity), np.nan)
        if self.curve == "root":
            return np.sqrt(np.maximum(quantity, 0))
        return quantity * self.scale + self.offset


# Of two kinds that fit equally well the upper one is taken.
_TABLE = (
    Kind("reflectance", "optical", unit="reflectance"),
    Kind("reflectance + 0.1", "optical", offset=0.1, sensor="sentinel-2", unit=""),
    Kind("reflectance in percent", "optical", 100, unit="%"),
    Kind("reflectance x 10000", "optical", 1e4),
    Kind("reflectance x 10000 + 1000", "optical", 1e4, 1e3, sensor="sentinel-2"),
    Kind("Collection 2 numbers", "optical", 1 / 2.75e-5, 0.2 / 2.75e-5, sensor="landsat-8", level="2"),
    Kind("level-1 numbers", "optical", 5e4, 5e3, curve="none", sensor="landsat-8", level="1"),
    Kind("kelvin", "thermal", unit="K"),
    Kind("degrees Celsius", "thermal", offset=-273.15, unit="degC"),
    Kind("Collection 2 temperature numbers", "thermal", 1 / 0.00341802, -149 / 0.00341802, level="2"),
    Kind("level-1 thermal numbers", "thermal", curve="none", level="1"),
    Kind("decibels", "radar", curve="decibel", unit="dB"),
    Kind("linear power", "radar", unit="linear"),
    Kind("amplitude", "radar", curve="root", unit="amplitude"),
    Kind("uncalibrated radar numbers", "radar", curve="none"),
    Kind("numbers from 0 to 1", "image", curve="none"),
    Kind("16-bit numbers", "image", curve="none"),
    Kind("8-bit numbers", "", curve="none"),
)

KINDS = {kind.name: kind for kind in _TABLE}
"""Name -> kind, the more usual ones first."""

OFFSET_PAIRS = {
    "reflectance": "reflectance + 0.1",
    "reflectance x 10000": "reflectance x 10000 + 1000",
}
"""Kinds that differ by nothing but the offset of baseline 04.00 and later."""


@dataclass(frozen=True)
class Conversion:
    """From one kind of numbers to another, by their names; plain data.

    Args:
        source: name of the kind of the numbers given.
        target: name of the kind of the numbers wanted.
    """

    source: str
    target: str

    def apply(self, numbers: np.ndarray) -> np.ndarray:
        """The same quantities as numbers of the other kind, float32, shape as given; NaN stays NaN."""
        quantity = KINDS[self.source].to_quantity(np.asarray(numbers, dtype=np.float64))
        return KINDS[self.target].from_quantity(quantity).astype(np.float32)


def family(band: Band) -> str:
    """Which kinds a band can be of: ``optical``, ``thermal``, ``radar``, ``image`` or ``other``.

    ``image`` are bands named by nothing but a colour or their place: aerial images, and files
    that say nothing; ``other`` is all else (heights, indices, ...).
    """
    if band.sensor == "sentinel-1":
        return "radar"
    if band.common_name.startswith("lwir"):
        return "thermal"
    if band.sensor == "aerial" or re.fullmatch(r"(?i)band[ _]?\d+(@\d+)?", band.name):
        return "image"
    return "optical" if band.wavelength_nm else "other"


def kinds_of(family: str, sensor: str) -> list[Kind]:
    """What numbers of a family and sensor can be, the more usual ones first."""
    return [k for k in _TABLE if k.family in (family, "") and k.sensor in (sensor, "") and family != "other"]
