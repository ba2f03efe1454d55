"""Landsat Collection 2, levels 1 and 2: a folder or ``.tar`` with a GeoTIFF for each band and its MTL file.

Level 2 becomes surface reflectance and surface temperature in kelvin by the factors of the MTL file. Level 1
becomes reflectance at the top of the atmosphere, divided by the sine of the sun's elevation (Landsat 8 Data
Users Handbook, USGS LSDS-1574). 0 = no data.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from jido.errors import ImageError
from jido.io.holding import Holding
from jido.io.virtual import BandFile, Product, known_band

MTL = re.compile(r"(?:^|/)L[COTEM]0\d_[^/]*_MTL\.(?:txt|json|xml)$")
"""The file that tells what a product holds; a product has it in up to three formats."""

LONE_BAND = re.compile(r"(?:^|/)L[COTEM]0\d_L\d[A-Z]{2}_[^/]*_(?:S[RT]_)?B\d+\.TIF$", re.IGNORECASE)
"""A band file."""

SENSORS = {
    "LANDSAT_4": "landsat-5",
    "LANDSAT_5": "landsat-5",
    "LANDSAT_7": "landsat-7",
    "LANDSAT_8": "landsat-8",
    "LANDSAT_9": "landsat-8",
}
"""Spacecraft -> the sensor whose bands it has: 4 and 5 number alike, and so do 8 and 9."""

PAN = "8"
"""The panchromatic band, on a grid of its own."""

Groups = Mapping[str, Mapping[str, str]]


def read_landsat(path: Path, holding: Holding, metadata: str) -> Product:
    """A product of Landsat 4 to 9, Collection 2.

    Args:
        path: as it was given.
        holding: its files.
        metadata: path of the MTL file in it.

    Raises:
        ImageError: when the metadata is damaged or of Collection 1, or bands that it names are missing.
    """
    shown = f"{metadata} of {path}"
    groups = _groups(holding.text(metadata), metadata, shown)
    contents, seen = groups.get("PRODUCT_CONTENTS", {}), groups.get("IMAGE_ATTRIBUTES", {})
    level = contents.get("PROCESSING_LEVEL", "")[:2]  # L2SP, L1TP, ...
    sensor = SENSORS.get(seen.get("SPACECRAFT_ID", ""), "") if seen.get("SENSOR_ID") != "MSS" else ""
    if level not in ("L1", "L2") or not sensor:
        raise ImageError(
            f"{shown} is not of Landsat 4 to 9, Collection 2, level 1 or 2: get such a product from the USGS."
        )
    folder = posixpath.dirname(metadata)
    factors = _Factors(groups, shown, sun=_sun(seen, shown) if level == "L1" else 1.0)
    files, left = [], []
    for number, thermal, name in _band_files(contents):
        if number == PAN or (level == "L1" and factors.thermal(number)):
            left.append(f"B{number}")
            continue
        scale, offset = factors.of(number, thermal=thermal)
        band = known_band(sensor, f"B{number}", "K" if thermal else "reflectance")
        files.append(BandFile(band, posixpath.join(folder, name), scale, offset, nodata=0))
    quality = contents.get("FILE_NAME_QUALITY_L1_PIXEL", "")
    codes = BandFile(known_band("", "QA_PIXEL", ""), posixpath.join(folder, quality)) if quality else None
    _require(holding, files, codes)
    note = f"{path.name}: {', '.join(left)} of level 1 (pan and thermal) are not read." if left else ""
    return Product(
        path,
        holding,
        tuple(files),
        quality=codes,
        tags={
            "PROCESSING_LEVEL": f"Level-{level[1]} ({contents['PROCESSING_LEVEL']})",
            "LANDSAT_PRODUCT_ID": contents.get("LANDSAT_PRODUCT_ID", ""),
            "SPACECRAFT_ID": seen["SPACECRAFT_ID"],
            "DATE_ACQUIRED": seen.get("DATE_ACQUIRED", ""),
        },
        day=seen.get("DATE_ACQUIRED", ""),
        clouds=seen.get("CLOUD_COVER", ""),
        notes=(note,) if note else (),
    )


def _require(holding: Holding, files: list[BandFile], codes: BandFile | None) -> None:
    if not files:
        raise ImageError(f"{holding.path} names no band files in its MTL file: get the product again.")
    wanted = [*files, codes] if codes else files
    if lost := [file.band.name for file in wanted if file.name not in holding]:
        raise ImageError(
            f"{holding.path} lacks {', '.join(lost)}, which its MTL file names: get the whole product again."
        )


def _band_files(contents: Mapping[str, str]) -> list[tuple[str, bool, str]]:
    """Number, whether it is surface temperature, and file of each band, by number."""
    found = []
    for key, name in contents.items():
        if match := re.fullmatch(r"FILE_NAME_BAND_(ST_B)?(\d+)", key):
            found.append((match[2], bool(match[1]), name))
    return sorted(found, key=lambda one: int(one[0]))


def _sun(seen: Mapping[str, str], shown: str) -> float:
    """Sine of the sun's elevation."""
    try:
        if (sine := math.sin(math.radians(float(seen["SUN_ELEVATION"])))) > 0:
            return sine
    except (KeyError, ValueError):
        pass
    raise ImageError(f"{shown} states no elevation of the sun above 0: give an image that was taken by day.")


class _Factors:
    """What makes values of the numbers of a band.

    Both levels stand in a level-2 file, with the same keys in other groups.
    """

    def __init__(self, groups: Groups, shown: str, *, sun: float) -> None:
        self._groups, self._shown, self._sun = groups, shown, sun
        two = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
        self._reflectance = two if two in groups else "LEVEL1_RADIOMETRIC_RESCALING"

    def thermal(self, number: str) -> bool:
        """Whether a band of level 1 has no reflectance."""
        return f"REFLECTANCE_MULT_BAND_{number}" not in self._groups.get(self._reflectance, {})

    def of(self, number: str, *, thermal: bool) -> tuple[float, float]:
        """Scale and offset: value = number x scale + offset."""
        group = "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS" if thermal else self._reflectance
        what, end = ("TEMPERATURE", f"ST_B{number}") if thermal else ("REFLECTANCE", number)
        keys = self._groups.get(group, {})
        try:
            scale, offset = (float(keys[f"{what}_{word}_BAND_{end}"]) / self._sun for word in ("MULT", "ADD"))
            if 0 < scale < math.inf and math.isfinite(offset):
                return scale, offset
        except (KeyError, ValueError):
            pass
        raise ImageError(f"{self._shown} states no factors of B{number}: get the product again.")


def _groups(text: str, name: str, shown: str) -> Groups:
    """Group -> key -> value of an MTL file, in any of its three formats."""
    try:
        if name.endswith(".json"):
            found = json.loads(text)["LANDSAT_METADATA_FILE"]
            return {group: {key: str(value) for key, value in keys.items()} for group, keys in found.items()}
        if name.endswith(".xml"):
            return {group.tag: {one.tag: one.text or "" for one in group} for group in ET.fromstring(text)}
    except (ValueError, KeyError, AttributeError, ET.ParseError) as err:
        raise ImageError(
            f"{shown} is damaged or of another collection than 2: get the product again."
        ) from err
    groups: dict[str, dict[str, str]] = {}
    here: dict[str, str] = {}
    for key, value in re.findall(r"^\s*(\w+)\s*=\s*\"?(.*?)\"?\s*$", text, re.MULTILINE):
        if key == "GROUP":
            here = groups.setdefault(value, {})
        elif key != "END_GROUP":
            here[key] = value
    return groups
