"""What STAC items state: which files hold which bands, on which grid, and what their numbers mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.io.origin import Origin

if TYPE_CHECKING:
    from odc.stac import ParsedItem
    from pystac import Asset, Item

BAND_LISTS = ("raster:bands", "eo:bands", "bands")
"""Where the bands of an asset are described: two extensions of STAC 1.0, and STAC 1.1."""

INHERITED = ("nodata", "scale", "offset", "unit", "data_type", "gsd")
"""What an asset or its item may state for all bands (STAC 1.1 common metadata, raster extension 2)."""

PICTURES = {"thumbnail", "overview"}
"""Roles of assets that show the bands but do not hold their values."""


@dataclass(frozen=True)
class StacBand:
    """A band of an item.

    Args:
        uri: local path or remote address of the file.
        number: place in the file, from 1.
        nodata: what the item states, for files that state none themselves.
        scale: values are ``stored * scale + offset``.
        offset: see ``scale``.
        unit: as stated, else empty.
        dtype: of the stored numbers as stated, else empty.
        grid: as stated (projection extension), else ``None``.
    """

    uri: str
    number: int
    nodata: float | None
    scale: float
    offset: float
    unit: str
    dtype: str
    grid: GeoBox | None


@dataclass(frozen=True)
class StacItem:
    """An item: its JSON file, the bands in the order asked for, and what is stated of all of them."""

    path: str
    bands: tuple[StacBand, ...]
    parsed: ParsedItem
    properties: Mapping[str, Any]

    @property
    def day(self) -> str:
        """When it was seen, ``2021-07-05``; empty when it does not say so."""
        when = self.properties.get("datetime") or self.properties.get("start_datetime") or ""
        return str(when)[:10]

    @property
    def grid(self) -> GeoBox | None:
        """The finest grid of its bands; ``None`` when one of them states none."""
        grids = [band.grid for band in self.bands if band.grid is not None]
        if len(grids) < len(self.bands):
            return None
        return min(grids, key=lambda grid: abs(grid.resolution.x))

    def files(self, *, together: bool) -> list[list[int]]:
        """Places among ``bands`` of what is read at once: each band, or all of one file and nodata."""
        found: dict[object, list[int]] = {}
        for place, band in enumerate(self.bands):
            found.setdefault((band.uri, band.nodata) if together else place, []).append(place)
        return list(found.values())

    @property
    def origins(self) -> list[Origin]:
        """What the item says of the numbers of each band."""
        tags = {key: str(value) for key, value in self.properties.items()} | {"id": self.parsed.id}
        return [
            Origin(
                image=Path(self.path).name,
                place=band.uri,
                tags=tags,
                unit=band.unit,
                dtype=band.dtype if (band.scale, band.offset) == (1.0, 0.0) else "",
                without_offset=self._subtracted or bool(band.offset),
            )
            for band in self.bands
        ]

    @property
    def _subtracted(self) -> bool:
        """Whether the publisher took the Sentinel-2 offset away from the files (Earth Search says so)."""
        return any(key.endswith("boa_offset_applied") and value for key, value in self.properties.items())

    @property
    def has_offset(self) -> bool | None:
        """Whether 1000 is added to its reflectance, as from Sentinel-2 processing baseline 04.00 on.

        ``None`` when no baseline is stated, ``False`` when the item states the offset, so that it is applied.
        """
        if self._subtracted or any(band.offset for band in self.bands):
            return False
        found = [str(v) for key, v in self.properties.items() if key.endswith("processing_baseline")]
        return float(found[0]) >= 4 if found and re.fullmatch(r"\d\d\.\d\d", found[0]) else None


def require_one_baseline(items: Sequence[StacItem]) -> None:
    """Refuse Sentinel-2 items with and without 1000 added to the reflectance in one mosaic."""
    kinds = {item.has_offset: item.path for item in items}
    if True in kinds and False in kinds:
        raise ImageError(
            f"{kinds[True]} has 1000 added to its reflectance (processing baseline 04.00 or later) and "
            f"states no offset, {kinds[False]} has not: map them apart, or state raster:offset in the items."
        )


def is_remote(uri: str) -> bool:
    """Whether an address is none of a local file."""
    return "://" in uri or uri.startswith("/vsi")


def read_items(paths: Sequence[Path], bands: Sequence[str]) -> list[StacItem]:
    """The items of item files, item collections and catalogues (with their children), in order.

    Args:
        paths: JSON files.
        bands: names to look for, see :func:`find_band`.

    Raises:
        ImageError: when a file is missing or no STAC, when an item lacks a band or its file, or when
            the ``stac`` extra is not installed.
    """
    try:
        import odc.stac  # noqa: F401
        import pystac  # noqa: F401
    except ImportError as err:
        raise ImageError('STAC items are read with an extra: pip install "jido[stac]".') from err
    items = []
    for path in paths:
        found = [_read_item(where, text, bands) for where, text in _documents(str(path.resolve()))]
        if not found:
            raise ImageError(f"{path} holds no items: give one that does.")
        items += found
    return items


def have_band(paths: Sequence[Path], name: str) -> bool:
    """Whether every item names a band, whatever has become of its file."""
    from pystac import Item

    for path in paths:
        for where, document in _documents(str(path.resolve())):
            try:
                find_band(Item.from_dict({**document, "links": []}, migrate=True), where, name)
            except ImageError:
                return False
    return True


def _documents(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every item below a JSON file with the file it stands in, depth first in the order of the links."""
    from pystac import StacIO
    from pystac.utils import make_absolute_href

    if not is_remote(path) and not Path(path).exists():
        raise ImageError(f"{path} does not exist.")
    try:
        document = StacIO.default().read_json(path)
        kind = document.get("type")
        links = [link["href"] for link in document.get("links", []) if link["rel"] in ("child", "item")]
    except Exception as err:  # pystac raises bare ones where an address does not answer
        raise ImageError(f"{path} is no STAC file: give the JSON of an item or of a catalogue.") from err
    if kind == "Feature":
        yield path, document
    elif kind == "FeatureCollection":
        yield from ((path, feature) for feature in document.get("features", []))
    elif kind in ("Catalog", "Collection"):
        for href in links:
            yield from _documents(make_absolute_href(href, path))
    else:
        raise ImageError(f"{path} is no STAC file: give the JSON of an item or of a catalogue.")


def _read_item(path: str, document: dict[str, Any], bands: Sequence[str]) -> StacItem:
    """Relative addresses count from the file, not from the place where it was published first."""
    from odc.stac import parse_item
    from pystac import Item

    try:
        item = Item.from_dict({**document, "links": []}, migrate=True)
        item.set_self_href(path)
        parsed = parse_item(item)
    except Exception as err:  # both libraries raise errors of many kinds
        raise ImageError(f"{path} is no STAC item that can be understood ({err}): correct it.") from err
    if not item.assets:
        raise ImageError(f"{path} has no assets: give an item that names image files.")
    found = tuple(_band(item, parsed, path, name) for name in bands)
    return StacItem(path, found, parsed, item.properties)


def _band(item: Item, parsed: ParsedItem, path: str, name: str) -> StacBand:
    key, number, facts = find_band(item, path, name)
    uri = str(item.assets[key].get_absolute_href()).removeprefix("file://")
    if not is_remote(uri) and not Path(uri).exists():
        raise ImageError(f"{uri} does not exist, but {path} names it for the band {name}: get it.")
    source = parsed.bands.get((key, 1))
    return StacBand(
        uri=uri,
        number=number,
        nodata=_number(facts, "nodata", path) if "nodata" in facts else None,
        scale=_number(facts, "scale", path, 1.0),
        offset=_number(facts, "offset", path, 0.0),
        unit=str(facts.get("unit", "")),
        dtype=str(facts.get("data_type", "")),
        grid=getattr(source, "geobox", None),
    )


def _number(facts: dict[str, Any], field: str, path: str, default: float = math.nan) -> float:
    """A stated number; JSON has no NaN, so ``"nan"`` and ``"inf"`` are numbers too."""
    try:
        return float(facts.get(field, default))
    except (ValueError, TypeError) as err:
        raise ImageError(
            f"{path} states a {field} that is no number ({facts[field]!r}): correct it."
        ) from err


def find_band(item: Item, path: str, name: str) -> tuple[str, int, dict[str, Any]]:
    """Asset key, place in the file (from 1) and stated facts of the band that answers to a name.

    Names are compared without regard to case: first the key of an asset of one band and ``key.2`` for
    the second band of an asset, then band names, then common names. Where several assets answer equally
    well, the one with the fewest bands and then the smallest ``gsd`` is taken.

    Raises:
        ImageError: when no band or more than one answers.
    """
    hits: dict[tuple[int, int, float], list[tuple[str, int, dict[str, Any]]]] = {}
    for key, asset in item.assets.items():
        bands = [] if PICTURES & set(asset.roles or []) else _asset_bands(item, asset)
        for number, facts in enumerate(bands, start=1):
            plain = [key] if len(bands) == 1 else []
            answers = [*plain, f"{key}.{number}", facts.get("name"), facts.get("common_name")]
            folded = [str(answer).casefold() for answer in answers]
            if name.casefold() in folded:
                kind = folded.index(name.casefold()) - len(folded)  # -4 is the key, -1 the common name
                rank = (kind, len(bands), _number(facts, "gsd", path, math.inf))
                hits.setdefault(rank, []).append((key, number, facts))
    if not hits:
        raise ImageError(
            f"{path} has no band {name!r}, it has {_listed(item)}: "
            "give items with the bands that the model was trained on."
        )
    best = hits[min(hits)]
    if len(best) > 1:
        raise ImageError(
            f"{path} has several bands {name!r} (assets {', '.join(key for key, _, _ in best)}): "
            "use the name of the asset."
        )
    return best[0]


def _asset_bands(item: Item, asset: Asset) -> list[dict[str, Any]]:
    """What is stated for each band of an asset, without the prefixes of the extensions."""
    shared = {k: v for k, v in (_bare(item.properties) | _bare(asset.extra_fields)).items() if k in INHERITED}
    lists = [asset.extra_fields.get(name) or [] for name in BAND_LISTS]
    merged = [
        shared | {k: v for band in bands for k, v in _bare(band or {}).items()}
        for bands in zip_longest(*lists)
    ]
    return merged or [shared]


def _bare(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix("raster:").removeprefix("eo:"): value
        for key, value in fields.items()
        if value is not None
    }


def _listed(item: Item) -> str:
    """The names that bands of an item answer to, at most 20."""
    names = []
    for key, asset in item.assets.items():
        bands = [] if PICTURES & set(asset.roles or []) else _asset_bands(item, asset)
        for number, facts in enumerate(bands, start=1):
            common = facts.get("common_name")
            label = key if len(bands) == 1 else f"{key}.{number}"
            names.append(f"{label} ({common})" if common and common != label else label)
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
