"""What a band is called, measures and may hold: one table for every sensor Jido knows.

Sources: Sentinel-2 spectral responses (Sentinel-2A centre wavelengths, ESA), Landsat-8 band
designations (USGS), STAC ``common_name`` values of the electro-optical extension.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Band:
    """One band of an image.

    Args:
        name: the name the user sees, ``B8A``; unique inside a :class:`~jido.geo.Raster`.
        sensor: ``sentinel-1``, ``sentinel-2``, ``landsat-8`` (and 9), ``landsat-7``,
            ``landsat-5`` (and 4), ``aerial``, or empty when unknown.
        common_name: STAC common name (``red``, ``nir``, ``swir16``), empty when it has none.
        wavelength_nm: centre wavelength in nanometres, or ``None`` (radar, unknown).
        unit: ``reflectance``, ``dB``, ``K``, ``DN``, or empty when unknown.
        valid_range: plausible lowest and highest value in the sensor's own unit, or ``None``.
    """

    name: str
    sensor: str = ""
    common_name: str = ""
    wavelength_nm: float | None = None
    unit: str = ""
    valid_range: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Band:
        """The opposite of ``dataclasses.asdict``, after a way through JSON."""
        limits = facts["valid_range"]
        return cls(**{**facts, "valid_range": None if limits is None else (limits[0], limits[1])})

    def renamed(self, name: str) -> Band:
        """The same band under another name."""
        return replace(self, name=name)


@functools.cache
def band_table() -> tuple[Band, ...]:
    """All bands Jido knows, one row per band, in the order of ``bands.csv``."""
    text = resources.files(__package__).joinpath("bands.csv").read_text(encoding="utf-8")
    return tuple(
        Band(
            name=row["name"],
            sensor=row["sensor"],
            common_name=row["common_name"],
            wavelength_nm=float(row["wavelength_nm"]) if row["wavelength_nm"] else None,
            unit=row["unit"],
            valid_range=(float(row["low"]), float(row["high"])),
        )
        for row in csv.DictReader(text.splitlines())
    )


LEVEL_2 = re.compile(r"^S[RT]_(?=B\d)")
"""What Landsat's level-2 products put before a band: surface reflectance, surface temperature."""


def _bare(name: str) -> str:
    """``b02`` and ``B2`` are one name; ``VV`` and ``vv`` too; ``SR_B4`` is ``B4``."""
    return re.sub(r"^B0*(?=\d)", "B", LEVEL_2.sub("", name.strip().upper()))


QUALITY = frozenset({"SCL", "QA_PIXEL", "QA_RADSAT", "SR_QA_AEROSOL", "ST_QA"})
"""Bands of codes that come with images of several sensors."""


def identify(names: Sequence[str]) -> tuple[Band, ...]:
    """Bands for the names found in a file.

    ``VV`` and ``VH`` are Sentinel-1; codes of quality tell nothing of the sensor, which is for the others
    the first one of the table that knows all of them. Sentinel-2 and Landsat-8 both number their bands:
    names with a padding zero, ``B8A`` or ``B12`` mean Sentinel-2, and so does ``B8`` or ``B11`` without
    ``B10`` (Landsat's ``B8`` is the panchromatic one, on a grid of its own, and its two thermal bands come
    together). Otherwise ``B1``..``B11`` is taken for Landsat-8, and so are ``SR_B1``..``SR_B7`` and
    ``ST_B10`` of level 2 (8 and 9 number alike). Landsat 4 to 7 number otherwise: ``ST_B6``, or ``SR_B5``
    and ``SR_B7`` without ``SR_B6``, are theirs, and their names alone do not tell which. Names that no sensor
    knows are kept as they are, with unknown sensor and unit.
    """
    by_sensor: dict[str, dict[str, Band]] = {}
    for band in band_table():
        by_sensor.setdefault(band.sensor, {})[_bare(band.name)] = band
    radar = by_sensor["sentinel-1"]
    others = {_bare(name) for name in names} - radar.keys() - QUALITY
    padded = any(re.fullmatch(r"[Bb]0\d", name.strip()) for name in names)
    not_landsat = padded or ({"B8", "B11"} & others and "B10" not in others)
    order = ["sentinel-2", "aerial"] if not_landsat else ["landsat-8", "sentinel-2", "aerial"]
    if level_2 := {name.strip().upper() for name in names if LEVEL_2.match(name.strip().upper())}:
        older = "ST_B6" in level_2 or ({"SR_B5", "SR_B7"} <= level_2 and "SR_B6" not in level_2)
        order = [] if older else ["landsat-8"]
    known = next((by_sensor[s] for s in order if others <= by_sensor[s].keys()), {}) | radar
    return tuple(known.get(_bare(name), Band(name)).renamed(name) for name in names)


def unique_names(stacks: Iterable[Sequence[Band]]) -> tuple[Band, ...]:
    """One list of bands for several images; when a name occurs twice, all get ``@place``.

    ``B2`` of the first and of the second image become ``B2@1`` and ``B2@2``. All or none, so that
    it stays known which bands were seen together.
    """
    images = [list(bands) for bands in stacks]
    names = [band.name for bands in images for band in bands]
    if len(set(names)) == len(names):
        return tuple(band for bands in images for band in bands)
    return tuple(
        band.renamed(f"{band.name}@{place}") for place, bands in enumerate(images, start=1) for band in bands
    )
