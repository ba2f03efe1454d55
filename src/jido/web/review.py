"""The page on which labels are corrected and the points of a sample labelled, one by one over the image.

A browser names items, classes and layers by what the server has told it; no path comes from it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import shapely
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jido.errors import ImageError
from jido.io import json_text
from jido.io.repair import POLYGON
from jido.labels import LandClass
from jido.web.layers import Layers, read_layers
from jido.web.review_store import LONGEST_NOTE, Decision, ReviewLog
from jido.web.review_tasks import Task, checked
from jido.web.serve import page, site
from jido.web.view import Viewer

KEYS = "1234567890abcdefghjlpqrvwy"
"""Keys of classes; the others of the alphabet do something else on the page."""

SEEN = 0.01
"""Of the side and the area of an outline: what is smaller is not drawn."""

FIELDS = ("item", "decision", "after", "confidence", "note")
"""Of what a page sends."""


def review_layers(images: Sequence[Path], map_: Path | None = None) -> Layers:
    """What is seen behind an outline: the images, and the classes of a map over them.

    Args:
        images: looked at; classes and probabilities among them are left out, so that an interpreter who
            must not see the map does not.
        map_: the map; its first band of classes is shown.

    Raises:
        ImageError: when no image is left.
        JidoError: when a file cannot be shown.
    """
    shown = read_layers([*([map_] if map_ else []), *images])
    classes = [one for one in shown.layers if map_ and one.kind == "classes"][:1]
    pictures = [one for one in shown.layers if one.kind == "image"]
    if not pictures:
        raise ImageError(
            f"{images[0]} is no image to look at: give the satellite or aerial image with --image."
        )
    return replace(shown, layers=(*classes, *pictures))


class Review:
    """A task, its log, and the routes of its page.

    Args:
        task: what is looked at.
        log: of its items.
        shown: of :func:`review_layers`.

    Raises:
        ImageError: when an image shows another place.
    """

    def __init__(self, task: Task, log: ReviewLog, shown: Layers) -> None:
        _require_same_place(task, shown)
        self.task, self.log = task, log
        self.items = {item.id: item for item in task.items}
        self._place = {item.id: place for place, item in enumerate(task.items)}
        self._viewer = Viewer(shown)
        self._changing = threading.Lock()  # what comes while the file is written must not count as written

    @property
    def decided(self) -> dict[str, Decision]:
        """Item -> what was said of it, here or before."""
        said = {**self.task.begun, **self.log.decided}
        return {item: one for item, one in said.items() if one is not None}

    def app(self, token: str | None = None) -> Starlette:
        """The application; see :func:`~jido.web.serve.site`."""
        routes = [
            Route("/", page("review.html")),
            Route("/api/review.json", self.facts),
            Route("/api/outline.json", self.outline),
            Route("/api/decide", self.decide, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/write", self.write_now, methods=["POST"]),
            Route("/tiles/{layer}/{z:int}/{x:int}/{y:int}.png", self._viewer.tile),
        ]
        return site(routes, token=token)

    def facts(self, request: Request) -> Response:
        """All that the page shows, outlines aside."""
        keys = class_keys(self.task.classes)
        return _json(
            {
                "kind": self.task.kind,
                "title": self.task.title,
                "choose": self.task.choose,
                "items": [asdict(item) for item in self.task.items],
                "classes": [{**asdict(c), "key": keys[c.label]} for c in self.task.classes],
                "decided": {item: asdict(said) for item, said in self.decided.items()},
                "longest_note": LONGEST_NOTE,
                "view": self._viewer.facts,
            }
        )

    def outline(self, request: Request) -> Response:
        """Where an item lies, GeoJSON in degrees, and its bounds."""
        place = self._place.get(request.query_params.get("item", ""))
        if place is None:
            raise HTTPException(404, "There is no such item.")
        shape = self.task.shapes[place]
        drawn = json.loads(shapely.to_geojson(_drawn(shape)))
        return _json({"bounds": shape.bounds, "geometry": drawn})

    async def decide(self, request: Request) -> Response:
        """Save a decision."""
        decision = checked(self.task, self.items, await _sent(request))
        await run_in_threadpool(self._save, decision)
        return _json({"said": asdict(decision)})

    def _save(self, decision: Decision) -> None:
        with self._changing:
            self.log.decide(decision)

    def undo(self, request: Request) -> Response:
        """Take the last decision back."""
        with self._changing:
            item = self.log.undo()
        said = self.decided.get(item) if item else None
        return _json({"item": item, "said": asdict(said) if said else None})

    def write_now(self, request: Request) -> Response:
        """Write the file that is made from the decisions."""
        return _json(self.write())

    def write(self) -> dict[str, Any]:
        """The same, in the process.

        Raises:
            JidoError: when it cannot be written; the decisions are kept.
        """
        with self._changing:
            done = self.task.write(self.decided)
            self.log.written()
        return done | {"log": str(self.log.path), "decided": len(self.decided)}


def _require_same_place(task: Task, shown: Layers) -> None:
    here = shapely.box(*shapely.total_bounds(task.shapes))
    for layer in shown.layers:
        if not shapely.intersects(here, shapely.box(*layer.bounds)):
            raise ImageError(
                f"{layer.group} shows another place than what is to be reviewed: give an image of it."
            )


def class_keys(classes: Sequence[LandClass]) -> dict[str, str]:
    """Label -> the key that chooses it: the label itself where it is one, ``0`` for 10, else the next free.

    Beyond 26 classes there is no key left and the text is empty.
    """
    own = {c.label: "0" if c.label == "10" else c.label.lower() for c in classes}
    keys = {label: key for label, key in own.items() if len(key) == 1 and key in KEYS}
    if len(set(keys.values())) < len(keys):  # a and A
        keys = {}
    free = iter([key for key in KEYS if key not in keys.values()])
    return {c.label: keys.get(c.label) or next(free, "") for c in classes}


def _drawn(shape: Any) -> Any:
    """An outline as a line can show it: without the steps of cells and without small holes."""
    if shapely.get_type_id(shape) != POLYGON:
        return shape
    holes = [ring for ring in shape.interiors if shapely.area(shapely.Polygon(ring)) > SEEN * shape.area]
    west, south, east, north = shape.bounds
    return shapely.simplify(shapely.Polygon(shape.exterior, holes), SEEN * max(east - west, north - south))


async def _sent(request: Request) -> Decision:
    """What a page sends; short texts only."""
    try:
        body = await request.json()
    except (ValueError, RecursionError) as err:
        raise HTTPException(400, "A decision is JSON.") from err
    if not isinstance(body, dict) or not set(body) <= set(FIELDS):
        raise HTTPException(400, f"A decision has the fields {', '.join(FIELDS)}.")
    texts = {name: body.get(name, "") for name in FIELDS}
    if not all(isinstance(text, str) and len(text) <= LONGEST_NOTE for text in texts.values()):
        raise HTTPException(400, f"Fields of a decision are texts of at most {LONGEST_NOTE} letters.")
    note = "".join(letter if letter.isprintable() else " " for letter in texts.pop("note"))
    return Decision(**texts, note=" ".join(note.split()))


def _json(value: dict[str, Any]) -> Response:
    return Response(json_text(value), media_type="application/json")
