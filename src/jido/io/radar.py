"""Radar images whose polarisations are files of their own: VV and VH, as GRD and RTC products have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from jido.errors import ImageError
from jido.io.holding import Holding
from jido.io.virtual import BandFile, Product, known_band

POLARISED = re.compile(r"(?i)^(.+)[-_.](VV|VH)\.tiff?$")
"""A file of one polarisation; what stands before it names the image."""

MEASURED = re.compile(r"(?i)(?:^|/)measurement/s1[a-d]-[a-z0-9]+-grd[a-z]?-(vv|vh)-[^/]*\.tiff?$")
"""A file of one polarisation in a Sentinel-1 GRD ``.SAFE``."""

TIFF = re.compile(r"(?i)\.tiff?$")

ORDER = ("VV", "VH")


def polarisation(name: str) -> str:
    """``VV`` or ``VH`` where the name of a file ends so; empty elsewhere."""
    found = POLARISED.match(PurePosixPath(name).name)
    return found[2].upper() if found else ""


def read_radar(path: Path, holding: Holding) -> Product | None:
    """The one radar image of VV and VH in a folder or archive; ``None`` where there is none.

    Other images beside it have names that begin like its own (RTC products hold angles and heights).

    Raises:
        ImageError: when there are several.
    """
    stems: dict[str, dict[str, str]] = {}
    for name in holding.names:
        if found := MEASURED.search(name):
            stems.setdefault("", {})[found[1].upper()] = name
        elif found := POLARISED.match(name):
            stems.setdefault(found[1], {})[found[2].upper()] = name
    if len(stems) > 1:
        first, second = sorted(stems)[:2]
        raise ImageError(
            f"{path} holds several radar images ({PurePosixPath(first).name}, {PurePosixPath(second).name}): "
            "give their files, or one folder for each image."
        )
    for stem, files in stems.items():
        others = [name for name in holding.names if TIFF.search(name) and not name.startswith(stem)]
        if len(files) == len(ORDER) and not others:
            return _product(path, holding, files)
    return None


def _product(path: Path, holding: Holding, files: dict[str, str]) -> Product:
    found = [BandFile(known_band("sentinel-1", name, ""), files[name]) for name in ORDER if name in files]
    return Product(path, holding, tuple(found))


def join_pairs(paths: Sequence[Path]) -> list[Path | Product]:
    """Files of VV and VH with one name but for that become one image, at the place of the first of both.

    Raises:
        ImageError: when there are both VV and VH that have no partner.
    """
    known = {path: POLARISED.match(path.name) for path in paths}
    pairs: dict[Path, dict[str, Path]] = {}
    for path, found in known.items():
        if found:
            pairs.setdefault(path.with_name(found[1]), {})[found[2].upper()] = path
    alone = {next(iter(pair)): path for pair in pairs.values() if len(pair) == 1 for path in pair.values()}
    if len(alone) > 1:
        raise ImageError(
            f"{alone['VV']} and {alone['VH']} are no pair, for their names differ in more than VV and VH: "
            "give both polarisations of one image."
        )
    joined: list[Path | Product] = []
    for path in paths:
        pair = pairs[path.with_name(found[1])] if (found := known[path]) else {}
        if len(pair) < len(ORDER):
            joined.append(path)
        elif path == next(iter(pair.values())):
            joined.append(_pair(path, pair))
    return joined


def _pair(path: Path, pair: dict[str, Path]) -> Product:
    holding = Holding(path.parent)
    return _product(path, holding, {name: file.name for name, file in pair.items()})
