"""Sentinel-2 products of level 1C and 2A: a ``.SAFE`` folder, or the archive of one.

What is read: the product's metadata, and the band files that it names. Numbers become reflectance,
(number + offset) / quantification value, as the metadata states them: the offset of -1000 comes with
processing baseline 04.00 and later (Sentinel-2 Products Specification Document 14.9, ``BOA_ADD_OFFSET``,
``RADIO_ADD_OFFSET``; 0 = no data, 65535 = saturated).
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from jido.errors import ImageError
from jido.io.holding import Holding
from jido.io.virtual import BandFile, Product, known_band

MTD = re.compile(r"(?:^|/)MTD_MSIL(?:1C|2A)\.xml$")
"""The file that tells what a product holds."""

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Names in the order of ``band_id``."""

IMAGE = re.compile(r"_(B\d[\dA]|SCL)(?:_(\d\d)m)?$")
"""End of the name of a band file, with the side of its pixels in level 2A."""

SATURATED = 65_535
"""Number of pixels that were too bright to be measured."""

OWN_BASELINE = 99
"""Baselines from here on are of products that people made themselves with Sen2Cor."""


def read_safe(path: Path, holding: Holding, metadata: str) -> Product:
    """A Sentinel-2 product.

    Args:
        path: as it was given.
        holding: its files.
        metadata: path of ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml`` in it.

    Raises:
        ImageError: when the metadata is damaged or states too little, or bands that it names are missing.
    """
    facts = _Facts(metadata, holding)
    tags = {key: facts.one(key) for key in ("PRODUCT_URI", "PROCESSING_BASELINE", "PROCESSING_LEVEL")}
    tags["SENSING_TIME"] = facts.one("PRODUCT_START_TIME")
    images = _images(facts, holding, posixpath.dirname(metadata))
    kind = "BOA" if "2A" in tags["PROCESSING_LEVEL"] else "RADIO"
    divisor = facts.number("BOA_QUANTIFICATION_VALUE" if kind == "BOA" else "QUANTIFICATION_VALUE")
    scene_classes = images.pop("SCL", "")
    offsets = _offsets(facts, f"{kind}_ADD_OFFSET", tags["PROCESSING_BASELINE"], images)
    files = [
        BandFile(
            known_band("sentinel-2", name, "reflectance"),
            images[name],
            scale=1 / divisor,
            offset=offsets[name] / divisor,
            nodata=0,
            saturated=SATURATED,
            tags={f"{kind}_ADD_OFFSET": f"{offsets[name]:g}"},
        )
        for name in BANDS
        if name in images
    ]
    return Product(
        path,
        holding,
        tuple(files),
        quality=BandFile(known_band("", "SCL", ""), scene_classes) if scene_classes else None,
        tags=tags,
        day=tags["SENSING_TIME"][:10],
        clouds=facts.first("Cloud_Coverage_Assessment"),
        offset=min(offsets.values()),
        notes=() if scene_classes else (f"{path.name} has no SCL: clouds in it count as ground.",),
    )


class _Facts:
    """What a metadata file states, element by element whatever their namespaces."""

    def __init__(self, name: str, holding: Holding) -> None:
        self.shown = f"{name} of {holding.path}"
        try:
            self._root = ET.fromstring(holding.text(name))
        except ET.ParseError as err:
            raise ImageError(f"{self.shown} is damaged or cut short ({err}): get the product again.") from err

    def every(self, tag: str) -> Iterator[ET.Element]:
        """All elements of a name."""
        return (one for one in self._root.iter() if _plain(one.tag) == tag)

    def first(self, tag: str) -> str:
        """Text of the first element of a name; empty without one."""
        return next((one.text.strip() for one in self.every(tag) if one.text), "")

    def one(self, tag: str) -> str:
        """Text that has to be there."""
        if found := self.first(tag):
            return found
        raise ImageError(f"{self.shown} states no {tag}: get the product again.")

    def number(self, tag: str) -> float:
        """A number above 0 that has to be there."""
        try:
            if 0 < (value := float(self.one(tag))) < math.inf:
                return value
        except ValueError:
            pass
        raise ImageError(
            f"{self.shown} states {tag} {self.one(tag)!r}, which is none: get the product again."
        )


def _plain(tag: str) -> str:
    """The name of an element; before baseline 02.09 level 2A had names such as L2A_... and ..._2A."""
    return tag.rpartition("}")[2].removeprefix("L2A_").removesuffix("_2A")


def _images(facts: _Facts, holding: Holding, root: str) -> dict[str, str]:
    """Band -> path of its finest file, of those that the metadata names."""
    found: dict[str, tuple[str, str]] = {}
    for element in facts.every("IMAGE_FILE"):
        stem = (element.text or "").strip()
        if match := IMAGE.search(stem):
            name, side = match[1], match[2] or ""
            before = found.get(name)
            if before and before[0] == side and before[1] != stem:
                raise ImageError(
                    f"{facts.shown} names several tiles, as products before December 2016 do: give products "
                    "of one tile, as the archive has them today."
                )
            if before is None or side < before[0]:
                found[name] = (side, stem)
    paths = {
        name: posixpath.normpath(posixpath.join(root, f"{stem}.jp2")) for name, (_, stem) in found.items()
    }
    if not paths.keys() - {"SCL"}:
        raise ImageError(f"{facts.shown} names no band files: get the product again.")
    if lost := [name for name in (*BANDS, "SCL") if name in paths and paths[name] not in holding]:
        raise ImageError(
            f"{holding.path} lacks {', '.join(lost)}, which its metadata names: get the whole product again."
        )
    return paths


def _offsets(facts: _Facts, key: str, baseline: str, bands: Collection[str]) -> dict[str, float]:
    """Offset of each band, in the numbers of the files; 0 before baseline 04.00."""
    try:
        offsets = {BANDS[int(one.attrib["band_id"])]: float(one.text or "") for one in facts.every(key)}
        number = float(baseline)
    except (KeyError, IndexError, ValueError) as err:
        raise ImageError(f"{facts.shown} states {key} or its baseline wrongly: get it again.") from err
    lost = [name for name in BANDS if name in bands and not math.isfinite(offsets.get(name, math.nan))]
    if lost and (offsets or 4 <= number < OWN_BASELINE):
        raise ImageError(
            f"{facts.shown} is of processing baseline {baseline} but states no {key} of {', '.join(lost)}, "
            "without which reflectance would be 0.1 too high: get the product again."
        )
    return offsets or dict.fromkeys(BANDS, 0.0)
