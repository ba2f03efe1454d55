"""The page on which experts put clusters in order, and the one on which their owner sees how far they agree.

Each expert has a link with a token of their own in its path: nobody answers as somebody else, and two experts
can use one browser. There is no cookie, so no other page can answer for anybody. Clusters are asked for by
their number, pictures by theirs; no path comes from a browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jido.data.tile_clusters import Clusters
from jido.errors import LabelsError
from jido.stats.questions import CANNOT_SAY
from jido.web.rank_owner import agreement, graph, lines, said_so_far
from jido.web.rank_pictures import Pictures
from jido.web.rank_state import SIGNS, Standing, asked, expected, standing, told_step
from jido.web.rank_store import Expert, RankStore, StaleError, Step
from jido.web.serve import same_secret, site, vendored

LAST = 40
"""Steps that the page lists."""

NO_LINK = "This link is not, or no longer, one of those that were given out: open it as it was sent to you."


def rank_site(store: RankStore, clusters: Clusters, pictures: Pictures) -> Starlette:
    """The pages of all experts and of their owner.

    Args:
        store: of the answers; it knows the tokens.
        clusters: what is put in order.
        pictures: of :func:`~jido.web.rank_state.asked` clusters, in their order.
    """
    pages = _Pages(store, clusters, pictures)
    mine, owner = "/expert/{token}/", "/owner/{token}/"
    return site(
        [
            Route(mine, pages.page("rank.html")),
            Route(mine + "state", pages.state),
            Route(mine + "order.txt", pages.order),
            *(Route(mine + name, pages.step(name), methods=["POST"]) for name in _GIVEN),
            Route(mine + "undo", pages.undo, methods=["POST"]),
            Route(owner, pages.page("rank_owner.html")),
            Route(owner + "state", pages.agreement),
            Route(owner + "experts.txt", pages.experts),
            *(Route(who + "sheet/{cluster:int}", pages.sheet) for who in (mine, owner)),
            *(Route(who + "tile/{cluster:int}/{tile:int}", pages.tile) for who in (mine, owner)),
        ],
        own_tokens=True,
    )


def links(store: RankStore, address: str) -> dict[str, Any]:
    """``links``: the name of each expert and where they answer; ``owner``: where their owner looks.

    Args:
        store: of the answers.
        address: of the server, with a slash at its end.
    """
    found = {expert.name: f"{address}expert/{expert.token}/" for expert in store.experts}
    return {"links": found, "owner": f"{address}owner/{store.owner}/"}


class _Pages:
    """What is answered to whom."""

    def __init__(self, store: RankStore, clusters: Clusters, pictures: Pictures) -> None:
        self.store, self.clusters, self.pictures = store, clusters, pictures
        self.names = asked(clusters)
        self.known = expected(clusters, self.names)

    def expert(self, request: Request) -> Expert:
        """Who has the token of a link."""
        for one in self.store.experts:
            if same_secret(one.token, request.path_params["token"]):
                return one
        raise HTTPException(403, NO_LINK)

    def let_in(self, request: Request) -> None:
        """Refuse whose token is nobody's."""
        if not request.url.path.startswith("/owner/"):
            self.expert(request)
        elif not same_secret(self.store.owner, request.path_params["token"]):
            raise HTTPException(403, NO_LINK)

    def page(self, name: str) -> Callable[[Request], Response]:
        """A vendored file for those who are let in."""

        def show(request: Request) -> Response:
            self.let_in(request)
            return vendored(request, name)

        return show

    def sheet(self, request: Request) -> Response:
        """The first tiles of a cluster in one picture."""
        self.let_in(request)
        return _picture(self.pictures.sheet(request.path_params["cluster"]))

    def tile(self, request: Request) -> Response:
        """One tile of a cluster."""
        self.let_in(request)
        return _picture(self.pictures.one(request.path_params["cluster"], request.path_params["tile"]))

    def state(self, request: Request) -> Response:
        """All that the page of an expert shows."""
        return JSONResponse(self.shown(self.expert(request)))

    def shown(self, expert: Expert) -> dict[str, Any]:
        """The same as values."""
        steps, seen = self.store.steps(expert)
        now = standing(self.names, steps)
        pair = now.question(self.known, seed=expert.id)
        return {
            "expert": expert.name,
            "seen": seen,
            "clusters": [
                {"name": name, "kind": self.clusters.kind_of(name), "tiles": len(self.clusters.members(name)),
                 "pictures": count}
                for name, count in zip(self.names, self.pictures.counts, strict=True)
            ],
            "whole": self.pictures.whole,
            "rows": now.board.rows,
            "aside": now.board.aside,
            "question": None if pair is None else {"left": pair[0], "right": pair[1]},
            "conflict": now.conflict(),
            "graph": graph(now.order),
            "progress": now.progress(),
            "steps": _listed(steps, now),
        }  # fmt: skip

    def order(self, request: Request) -> Response:
        """The line of an expert, as ``--from`` reads it."""
        expert = self.expert(request)
        text = standing(self.names, self.store.steps(expert)[0]).text
        if not text:
            raise LabelsError("Nothing is in order yet: answer a question, or lay two clusters in rows.")
        return _text(f"{text}  # {expert.name}\n", "order.txt")

    def step(self, kind: str) -> Callable[[Request], Any]:
        """Save an answer, rows, or what is taken back."""

        async def save(request: Request) -> Response:
            given = await _body(request)
            return await run_in_threadpool(self._save, request, kind, given)

        return save

    def _save(self, request: Request, kind: str, given: dict[str, Any]) -> Response:
        expert = self.expert(request)
        return self._changed(expert, lambda seen: self._add(expert, kind, given, seen), given)

    def _add(self, expert: Expert, kind: str, given: dict[str, Any], seen: int) -> None:
        steps, changes = self.store.steps(expert)
        fits = _GIVEN[kind](given, standing(self.names, steps)) if changes == seen else {}
        self.store.add(expert, kind, fits, seen=seen)

    async def undo(self, request: Request) -> Response:
        """Take back the last step."""
        given = await _body(request)
        expert = await run_in_threadpool(self.expert, request)
        return await run_in_threadpool(
            self._changed, expert, lambda seen: self.store.undo(expert, seen=seen), given
        )

    def _changed(self, expert: Expert, change: Callable[[int], None], given: dict[str, Any]) -> Response:
        """Change something, and tell the page how things stand; 409 when it had not seen the last change."""
        seen = given.get("seen")
        if not isinstance(seen, int):
            raise LabelsError("A step tells how many changes its page has seen.")
        try:
            change(seen)
        except StaleError as err:
            return JSONResponse({"error": str(err), "state": self.shown(expert)}, status_code=409)
        return JSONResponse(self.shown(expert))

    def agreement(self, request: Request) -> Response:
        """All that the page of the owner shows."""
        self.let_in(request)
        names = [{"name": name, "kind": self.clusters.kind_of(name)} for name in self.names]
        return JSONResponse({"clusters": names, **agreement(self.store, self.clusters)})

    def experts(self, request: Request) -> Response:
        """The lines of all experts."""
        self.let_in(request)
        return _text(lines(said_so_far(self.store, self.clusters), self.clusters), "experts.txt")


# -- what a page may send ----------------------------------------------------------------------


async def _body(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError) as err:
        raise LabelsError("A step is one JSON object.") from err
    if not isinstance(given, dict):
        raise LabelsError("A step is one JSON object.")
    return given


def _answer(given: dict[str, Any], now: Standing) -> dict[str, Any]:
    """An answer on two clusters that are asked."""
    if now.newest:
        raise LabelsError("Say first which of the statements that contradict each other goes.")
    left, sign, right = (given.get(name) for name in ("left", "sign", "right"))
    if left not in now.judged or right not in now.judged or left == right:
        raise LabelsError("An answer is on two clusters that you can judge.")
    if sign not in (*SIGNS, CANNOT_SAY):
        raise LabelsError(f"An answer is one of {' '.join(SIGNS)} {CANNOT_SAY}.")
    return {"left": left, "sign": sign, "right": right}


def _rows(given: dict[str, Any], now: Standing) -> dict[str, Any]:
    """Clusters in rows, each once."""
    if now.newest:
        raise LabelsError("Say first which of the statements that contradict each other goes.")
    rows, aside = given.get("rows"), given.get("aside")
    if not isinstance(rows, list) or not all(isinstance(row, list) and row for row in rows):
        raise LabelsError("Rows are lists of clusters, none of them empty.")
    if not isinstance(aside, list):
        raise LabelsError("Clusters that cannot be judged are a list.")
    named = [name for row in rows for name in row] + aside
    if not all(isinstance(name, str) and name in now.names for name in named) or len(set(named)) < len(named):
        raise LabelsError("Rows hold each cluster once, and no others.")
    return {"rows": rows, "aside": aside}


def _settle(given: dict[str, Any], now: Standing) -> dict[str, Any]:
    """Answers that are taken back, or rows that contradict them, or clusters taken out of rows."""
    drop, out = given.get("drop", []), given.get("out", [])
    may = {*now.answers, *([now.newest[2]] if now.newest else [])}
    if not isinstance(drop, list) or not all(isinstance(one, int) and one in may for one in drop):
        raise LabelsError("Only answers that stand can be taken back.")
    if not isinstance(out, list) or not all(isinstance(one, str) and one in now.board.placed for one in out):
        raise LabelsError("Only clusters that lie in rows can be taken out of them.")
    if not drop and not out:
        raise LabelsError("Say what is to be taken back.")
    return {"drop": drop, "out": out}


_GIVEN: dict[str, Callable[[dict[str, Any], Standing], dict[str, Any]]] = {
    "answer": _answer,
    "rows": _rows,
    "settle": _settle,
}
"""Kind of a step -> what is kept of what a page has sent."""


# -- what is sent ------------------------------------------------------------------------------


def _listed(steps: list[Step], now: Standing) -> list[dict[str, Any]]:
    """The last steps, the newest first; answers that stand can be taken back."""
    stand = {*now.answers, *([now.newest[2]] if now.newest else [])}
    return [
        {
            "id": step.id,
            "words": told_step(step),
            "stands": step.id in now.answers,
            "gone": step.kind == "answer" and step.id not in stand,
        }
        for step in reversed(steps[-LAST:])
    ]


def _picture(data: bytes | None) -> Response:
    if data is None:
        raise HTTPException(404, "There is no such picture.")
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _text(text: str, name: str) -> Response:
    head = {"Content-Disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, headers=head)
