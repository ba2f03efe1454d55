"""The viewer: maps, images, polygons and tables of indicators on one page, read where they lie."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jido.io import json_text
from jido.web.facts import choices, page_facts, stretch_facts, value_facts
from jido.web.layers import Layer, Layers, read_layers
from jido.web.serve import page, site
from jido.web.tiles import Stretch, Tiles

AT_ONCE = max(2, min(os.cpu_count() or 1, 8))
"""Tiles that are made at the same time; the others wait, and are forgotten when nobody wants them."""

BANDS = re.compile(r"\d{1,4}(,\d{1,4}){0,2}")
DAY = {"Cache-Control": "private, max-age=86400"}
"""Addresses of tiles change with the file, so that a browser may keep them."""


def viewer(paths: Sequence[Path], *, token: str | None = None) -> Starlette:
    """The application that shows files and folders.

    Args:
        paths: maps, images, vectors, tables of indicators, or folders that hold them.
        token: what a browser must bring; see :func:`~jido.web.serve.site`.

    Raises:
        JidoError: when a path cannot be shown.
    """
    return Viewer(read_layers(paths)).app(token)


class Viewer:
    """Routes over layers that were read once; whoever asks names a layer by its id only."""

    def __init__(self, shown: Layers) -> None:
        self.shown = shown
        self.tiles = Tiles(shown.rasters)
        self.by_id = {layer.id: layer for layer in shown.layers}
        self.facts = page_facts(shown, self.tiles)
        self._told = json_text(self.facts).encode()
        self.free = asyncio.Semaphore(AT_ONCE)

    def app(self, token: str | None) -> Starlette:
        """The application."""
        routes = [
            Route("/", page("view.html")),
            Route("/api/layers.json", self.layers),
            Route("/api/features/{layer}.json", self.features),
            Route("/api/stretch/{layer}.json", self.stretch),
            Route("/api/value/{layer}.json", self.value),
            Route("/tiles/{layer}/{z:int}/{x:int}/{y:int}.png", self.tile),
        ]
        return site(routes, token=token)

    async def layers(self, request: Request) -> Response:
        """All that the page must know before it draws."""
        return _json(self._told)

    async def features(self, request: Request) -> Response:
        """Features of a layer, in view or all."""
        layer = self._layer(request)
        if layer.table is None:
            raise HTTPException(404, f"{layer.id} has no polygons.")
        bbox = _floats(request, "bbox", 4)
        zoom = _floats(request, "zoom", 1) or (22.0,)
        box = (bbox[0], bbox[1], bbox[2], bbox[3]) if bbox else None
        table = layer.table
        found = await run_in_threadpool(lambda: table.geojson(bbox=box, zoom=min(max(zoom[0], 0), 24)))
        return _json(json_text(found).encode())

    async def stretch(self, request: Request) -> Response:
        """How bands are stretched by themselves, and how their values lie."""
        layer = self._layer(request)
        bands = _bands(request, layer)
        return _json(json_text(await run_in_threadpool(stretch_facts, layer, self.tiles, bands)).encode())

    async def value(self, request: Request) -> Response:
        """The values of a file at a place."""
        layer = self._layer(request)
        place = (_floats(request, "lon", 1), _floats(request, "lat", 1))
        if not (place[0] and place[1]) or abs(place[0][0]) > 180 or abs(place[1][0]) > 90:
            raise HTTPException(400, "A place is lon=-180..180 and lat=-90..90, in degrees.")
        if layer.raster is None:
            raise HTTPException(404, f"{layer.id} has no pixels.")
        found = await run_in_threadpool(value_facts, self.shown, layer, place[0][0], place[1][0])
        return _json(json_text(found).encode())

    async def tile(self, request: Request) -> Response:
        """A tile of a layer, PNG of 256 x 256 pixels."""
        layer = self._layer(request)
        z, x, y = (request.path_params[name] for name in "zxy")
        bands = _bands(request, layer)
        stretch = _stretch(request, bands)
        async with self.free:
            if await request.is_disconnected():
                return Response(status_code=204)
            made = await run_in_threadpool(self.tiles.tile, layer, z, x, y, bands=bands, stretch=stretch)
        return Response(made, media_type="image/png", headers=DAY)

    def _layer(self, request: Request) -> Layer:
        layer = self.by_id.get(request.path_params["layer"])
        if layer is None:
            raise HTTPException(404, "There is no such layer.")
        return layer


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _floats(request: Request, name: str, count: int) -> tuple[float, ...]:
    """Finite numbers of a query; empty without any."""
    text = request.query_params.get(name)
    if text is None:
        return ()
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise HTTPException(400, f"{name}= takes {count} number{'s' * (count > 1)}.")
    return numbers


def _bands(request: Request, layer: Layer) -> tuple[int, ...]:
    """The bands that are asked for: one or three of those that the layer may show."""
    text = request.query_params.get("bands")
    if text is None:
        return layer.bands
    bands = tuple(map(int, text.split(","))) if BANDS.fullmatch(text) else ()
    if len(bands) not in (1, 3) or not set(bands) <= set(choices(layer)):
        raise HTTPException(400, f"bands= takes one or three of the bands of {layer.id}, from 1.")
    return bands


def _stretch(request: Request, bands: tuple[int, ...]) -> Stretch | None:
    flat = _floats(request, "stretch", 2 * len(bands))
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
    if any(low >= high for low, high in pairs):
        raise HTTPException(400, "stretch= takes the darkest and the brightest value of each band.")
    return pairs or None
