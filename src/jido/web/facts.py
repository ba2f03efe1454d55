"""What a page is told: the layers with their legends, the reports, and the values at a place."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from jido.errors import ImageError
from jido.web.colours import RAMP, own_colour
from jido.web.layers import Layer, Layers, combinations
from jido.web.rasters import RasterFile
from jido.web.tiles import Tiles, maxzoom

OUTLINES = (5, 3, 4, 1)
"""Own colours for outlines, those that stand out from images."""


def page_facts(shown: Layers, tiles: Tiles) -> dict[str, Any]:
    """All that a page must know before it draws, JSON-ready."""
    bounds = np.array([layer.bounds for layer in shown.layers])
    first = _first_seen(shown)
    reports = {id(layer.report): layer.report for layer in shown.layers if layer.report}
    sheets = {tuple(layer.sheet.items()): layer.group for layer in reversed(shown.layers) if layer.sheet}
    numbers = {key: number for number, key in enumerate(reports)}
    return {
        "title": shown.title,
        "placed": shown.layers[0].placed,
        "bounds": [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()],
        "notes": list(shown.notes),
        "layers": [
            _layer(layer, tiles)
            | {
                "visible": layer.id in first,
                "report": numbers.get(id(layer.report)) if layer.report else None,
            }
            for layer in shown.layers
        ],
        "sheets": [{"group": name, "rows": dict(rows)} for rows, name in sheets.items()],
        "reports": [report.to_dict() for report in reports.values()],
    }


def _first_seen(shown: Layers) -> set[str]:
    """One raster, a map before an image and the last image of a series, and the vectors that were named."""
    rasters = [layer for layer in shown.layers if layer.raster]
    maps = [layer for layer in rasters if layer.classes and layer.classes[0].name]
    images = [layer for layer in rasters if layer.kind in ("image", "cells")]
    images.sort(key=lambda layer: layer.day, reverse=True)
    given = {layer.id for layer in shown.layers if layer.table and (layer.named or not rasters)}
    return given | {layer.id for layer in (maps or images or rasters)[:1]}


def _layer(layer: Layer, tiles: Tiles) -> dict[str, Any]:
    facts: dict[str, Any] = {
        name: getattr(layer, name) for name in ("id", "title", "group", "kind", "day", "bounds")
    }
    if layer.raster:
        return facts | _raster(layer, layer.raster, tiles)
    if layer.table is None:
        return facts
    points = bool((layer.table.frame.geometry.geom_type.isin(["Point", "MultiPoint"])).all())
    return facts | {
        "features": len(layer.table.frame),
        "whole": layer.table.at_once,
        "points": points,
        "columns": list(layer.table.columns),
        "ramp": list(RAMP),
        "color": own_colour(OUTLINES[int(layer.id[1:]) % len(OUTLINES)]),
    }


def _raster(layer: Layer, file: RasterFile, tiles: Tiles) -> dict[str, Any]:
    stat = file.path.stat()
    version = hashlib.sha256(f"{file.path} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:8]
    facts: dict[str, Any] = {
        "tiles": f"tiles/{layer.id}/{{z}}/{{x}}/{{y}}.png?v={version}",
        "minzoom": file.minzoom,
        "maxzoom": maxzoom(layer),
        "bands": list(file.bands),
        "shown": list(layer.bands),
        "choices": list(choices(layer)),
        "combinations": combinations(file) if layer.kind == "image" else {},
    }
    if layer.kind == "classes":
        facts["classes"] = [
            {"code": c.code, "label": " ".join(dict.fromkeys([c.label, c.name])).strip(), "color": c.color}
            for c in layer.classes
        ]
    elif layer.kind in ("percent", "share"):
        (low, high), *_ = tiles.stretch(layer, layer.bands)
        facts |= {
            "ramp": list(RAMP),
            "low": low,
            "high": high,
            "unit": "%" if layer.kind == "percent" else "",
        }
    else:
        facts["ramp"] = list(RAMP)
    return facts


def choices(layer: Layer) -> tuple[int, ...]:
    """Bands of its file that a page may show as this layer, from 1."""
    if layer.raster is None or layer.kind not in ("image", "cells", "share"):
        return layer.bands
    every = range(1, len(layer.raster.bands) + 1)
    if layer.kind != "share":
        return tuple(every)
    return tuple(band for band in every if layer.raster.bands[band - 1].startswith("p_"))


def stretch_facts(layer: Layer, tiles: Tiles, bands: tuple[int, ...]) -> dict[str, Any]:
    """How bands are stretched when nobody says otherwise, and how their values lie."""
    limits = tiles.stretch(layer, bands)
    histograms = tiles.histogram(layer, bands)
    return {
        "bands": [
            {"band": band, "low": low, "high": high, "from": start, "to": end, "counts": counts}
            for band, (low, high), (start, end, counts) in zip(bands, limits, histograms, strict=True)
        ]
    }


def value_facts(shown: Layers, layer: Layer, lon: float, lat: float) -> dict[str, Any]:
    """The values of all bands of a layer's file at a place, as numbers and in words.

    Raises:
        ImageError: when the layer has no pixels, or the file is damaged.
    """
    if layer.raster is None:
        raise ImageError("Polygons tell their values in the page.")
    values = shown.rasters.values(layer.raster, lon, lat)
    if values is None:
        return {"group": layer.group, "values": []}
    here = {one.bands[0]: one for one in shown.layers if one.raster is layer.raster and len(one.bands) == 1}
    rows: list[dict[str, Any]] = [
        {"band": name, "value": None if np.isnan(value) else float(value)}
        | _words(here.get(band), float(value))
        for band, (name, value) in enumerate(zip(layer.raster.bands, values, strict=True), start=1)
    ]
    return {"group": layer.group, "values": rows}


def _words(layer: Layer | None, value: float) -> dict[str, Any]:
    if np.isnan(value):
        return {"text": "no data"}
    kind = layer.kind if layer else "image"
    if layer and kind == "classes":
        found = next((c for c in layer.classes if c.code == value), None)
        if found:
            return {"text": " ".join(dict.fromkeys([found.label, found.name])).strip(), "color": found.color}
    if kind == "percent":
        return {"text": f"{value:g} %"}
    if kind == "unsure":
        return {"text": "unsure" if value == 1 else "sure"}
    return {"text": f"{value:.6g}"}
