"""What follows from the steps of an expert: an order, the next question, and what cannot all hold.

An expert answers questions on pairs and lays clusters in rows, the most developed first. What holds is what
follows from both together. It never contradicts itself: a step that does not fit is *open*, shown with the
fewest statements that contradict each other, until the expert has said which of them goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from jido.data.orders import UNINHABITED
from jido.data.tile_clusters import INHABITED, Clusters
from jido.errors import LabelsError
from jido.stats.ordering import to_chains
from jido.stats.partial_order import Order, Statement, circle_of, order_of
from jido.stats.questions import CANNOT_SAY, believe, next_question
from jido.web.rank_store import Step

ROWS = "rows"
"""Where a statement stands that comes from rows; those of answers have the number of their step."""

SIGNS = {">": "is more developed than", "<": "is less developed than", "=": "is the same as"}

QUESTIONS = 2
"""Questions for each cluster after which nearly all pairs are known, where its kind is (test_rank.py)."""

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Board:
    """Clusters in rows of equals, the most developed first, and those of which the expert cannot judge."""

    rows: Rows = ()
    aside: tuple[str, ...] = ()

    def without(self, names: Sequence[str]) -> Board:
        """The same with some clusters taken out of the rows."""
        kept = (tuple(name for name in row if name not in names) for row in self.rows)
        return Board(tuple(row for row in kept if row), self.aside)

    @property
    def placed(self) -> frozenset[str]:
        """All that lie in rows."""
        return frozenset(name for row in self.rows for name in row)

    def steps(self) -> list[Statement]:
        """The fewest statements that say what the rows say."""
        equal = [Statement(a, "=", b, ROWS) for row in self.rows for a, b in pairwise(row)]
        down = (Statement(high[0], ">", low[0], ROWS) for high, low in pairwise(self.rows))
        return [*equal, *down]

    def pairs(self) -> list[Statement]:
        """What the rows say of every two clusters."""
        place = [(i, name) for i, row in enumerate(self.rows) for name in row]
        return [Statement(a, ">" if i < j else "=", b, ROWS) for (i, a), (j, b) in combinations(place, 2)]


@dataclass(frozen=True)
class Standing:
    """Where an expert stands.

    Args:
        names: the clusters that are asked for.
        answers: step -> what was said of a pair and not taken back.
        board: the rows that hold.
        newest: the last answer or rows, when it contradicts what was said before, with the board it needs.
    """

    names: tuple[str, ...]
    answers: Mapping[int, Statement] = field(default_factory=dict)
    board: Board = field(default_factory=Board)
    newest: tuple[Statement | None, Board, int] | None = None

    @cached_property
    def told(self) -> list[Statement]:
        """Answers that hold, also those that say nothing, on clusters that can be judged."""
        return _on(self.answers.values(), self.board)

    @cached_property
    def order(self) -> Order:
        """What follows."""
        return order_of([*_stated(self.told), *self.board.steps()], names=self.names)

    @cached_property
    def judged(self) -> list[str]:
        """Clusters of which the expert can judge."""
        return [name for name in self.names if name not in self.board.aside]

    @cached_property
    def pairs(self) -> tuple[int, int]:
        """Pairs of which the order says something, and all pairs."""
        upper = np.triu_indices(len(self.judged), 1)
        return int(np.isfinite(self.order.signs(self.judged)[upper]).sum()), len(upper[0])

    @property
    def text(self) -> str:
        """The order on one line, ``3=4>1>0``; empty where nothing was said."""
        return to_chains(self.order)

    def question(self, known: Mapping[str, float] | None, *, seed: int) -> tuple[str, str] | None:
        """The pair to ask next; ``None`` when there is none or something is open."""
        if self.newest or self.pairs[0] == self.pairs[1]:
            return None
        prior = {name: known[name] for name in self.judged} if known else None
        belief = believe(self.judged, [*self.told, *self.board.steps()], known=prior)
        return next_question(belief, [*self.told, *self.board.pairs()], seed=seed)

    def progress(self) -> dict[str, Any]:
        """How far it is, in numbers and words."""
        known, pairs = self.pairs
        asked = len(self.told)
        about = min(QUESTIONS * len(self.judged), asked + pairs - known)
        of = f"{asked} of about {about} questions" if asked <= about else f"{asked} questions"
        words = f"{of}; the order is known for {known} of {pairs} pairs"
        return {"asked": asked, "about": about, "known": known, "pairs": pairs, "words": words}

    def conflict(self) -> dict[str, Any] | None:
        """What cannot all hold, in words, and what may go."""
        if self.newest is None:
            return None
        answer, board, step = self.newest
        said = {**self.answers, step: answer} if answer else self.answers
        where = [one._replace(where=str(i)) for i, one in said.items()]
        judged = _stated(_on(where, board))
        held = {name for one in judged for name in (one.left, one.right)}
        rows = [one for one in board.pairs() if {one.left, one.right} <= held]
        circle = circle_of([*judged, *rows])
        choices = _choices(circle, step, rows=answer is None)
        if answer is None and len(against := _against(judged, board)) > 1:
            words = f"Keep the rows, and take back the {len(against)} answers against them"
            choices.append({"words": words, "drop": against, "out": []})
        return {"words": [_in_words(one) for one in circle], "choices": choices}


def standing(names: Sequence[str], steps: Sequence[Step]) -> Standing:
    """Where an expert stands after some steps.

    Args:
        names: the clusters that are asked for.
        steps: as they were taken; only the last answer or rows may contradict those before.

    Raises:
        LabelsError: when earlier ones contradict each other, which a page never saves.
    """
    answers: dict[int, Statement] = {}
    board = before = Board()
    newest = 0
    for step in steps:
        if step.kind == "answer":
            answers[step.id] = Statement(step.body["left"], step.body["sign"], step.body["right"])
            newest = step.id
        elif step.kind == "rows":
            before, newest = board, step.id
            board = Board(tuple(map(tuple, step.body["rows"])), tuple(step.body["aside"]))
        else:
            for one in step.body["drop"]:
                if answers.pop(one, None) is None and one == newest:
                    board = before
            board = board.without(step.body["out"])
    found = Standing(tuple(names), answers, board)
    try:
        _ = found.order
    except LabelsError:
        answer = answers.pop(newest, None)
        held = Standing(tuple(names), answers, before if answer is None else board, (answer, board, newest))
        _ = held.order
        return held
    return found


def asked(clusters: Clusters) -> tuple[str, ...]:
    """The clusters that people put in order: all but the uninhabited ones.

    Raises:
        LabelsError: when fewer than two are left, or a name cannot stand in an order.
    """
    names = tuple(name for name in clusters.names if clusters.kind_of(name) != UNINHABITED)
    if len(names) < 2:
        raise LabelsError(f"{len(names)} of the clusters is inhabited: an order takes two of them.")
    for name in names:
        if set(name) & set("<>=,;#") or name.split() != [name]:
            raise LabelsError(f"{name!r} cannot stand in an order: name clusters without spaces and <>=,;#.")
    return names


def expected(clusters: Clusters, names: Sequence[str]) -> dict[str, float] | None:
    """1 for urban clusters and 0 for rural ones; ``None`` where not all kinds are known."""
    kinds = {name: clusters.kind_of(name) for name in names}
    if not set(kinds.values()) <= set(INHABITED):
        return None
    return {name: float(kind == INHABITED[0]) for name, kind in kinds.items()}


def told_step(step: Step) -> str:
    """A step in words."""
    body = step.body
    if step.kind == "answer":
        return sentence(Statement(body["left"], body["sign"], body["right"]))
    if step.kind == "rows":
        placed = sum(map(len, body["rows"]))
        left_out = f", {len(body['aside'])} that cannot be judged" * bool(body["aside"])
        return f"Rows: {placed} clusters in {len(body['rows'])}{left_out}"
    return "Taken back"


def sentence(one: Statement) -> str:
    """``3>4`` -> ``3 is more developed than 4``."""
    if one.sign == CANNOT_SAY:
        return f"{one.left} and {one.right}: cannot say"
    return f"{one.left} {SIGNS[one.sign]} {one.right}"


def _in_words(one: Statement) -> str:
    if one.where != ROWS:
        return f"You said that {sentence(one)}."
    if one.sign == "=":
        return f"In your rows {one.left} and {one.right} lie side by side."
    return f"In your rows {one.left} lies above {one.right}."


def _choices(circle: Sequence[Statement], newest: int, *, rows: bool) -> list[dict[str, Any]]:
    """What may go so that a circle is open again."""
    found: list[dict[str, Any]] = []
    for one in circle:
        if one.where != ROWS:
            just = " (just now)" if int(one.where) == newest else ""
            words = f"Take back: {sentence(one)}{just}"
            found.append({"words": words, "drop": [int(one.where)], "out": []})
        elif rows:
            found.append({"words": "Put the rows back as they were", "drop": [newest], "out": []})
        else:
            for name in (one.left, one.right):
                found.append({"words": f"Take {name} out of the rows", "drop": [], "out": [name]})
    return [one for i, one in enumerate(found) if one not in found[:i]]


def _against(judged: Sequence[Statement], board: Board) -> list[int]:
    """Steps of the answers that rows contradict."""
    place = {name: i for i, row in enumerate(board.rows) for name in row}
    found = []
    for one in judged:
        if one.left in place and one.right in place:
            gap = place[one.right] - place[one.left]  # rows count downwards
            if one.sign != "<=>"[(gap > 0) - (gap < 0) + 1]:
                found.append(int(one.where))
    return found


def _on(said: Any, board: Board) -> list[Statement]:
    """Statements on clusters that can be judged."""
    return [one for one in said if not {one.left, one.right} & set(board.aside)]


def _stated(said: Sequence[Statement]) -> list[Statement]:
    return [one for one in said if one.sign != CANNOT_SAY]
