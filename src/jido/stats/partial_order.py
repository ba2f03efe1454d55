"""A partial order of clusters: groups of equals, direct steps between them, and paths through it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jido.errors import LabelsError


class Statement(NamedTuple):
    """What is said of two names: ``left < right``, ``left > right`` or ``left = right``, and where."""

    left: str
    sign: str
    right: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.left}{self.sign}{self.right}" + (f" ({self.where})" if self.where else "")


@dataclass(frozen=True)
class Order:
    """A partial order of names; :func:`order_of` makes one from statements.

    Args:
        groups: names that are equal, each group once, the lowest level first.
        steps: positions (lower, higher) of groups, direct steps only: none that follows from others.
        skipped: names that were asked for and are not in the order.

    Raises:
        LabelsError: when a name comes twice, or the steps do not lead upwards or are not direct.
    """

    groups: tuple[tuple[str, ...], ...]
    steps: frozenset[tuple[int, int]]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names, n = self.names, len(self.groups)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise LabelsError(f"Cluster {twice[0]} is in the order twice: name it in one group.")
        if not all(0 <= low < high < n for low, high in self.steps) or not all(self.groups):
            raise LabelsError("Steps of an order lead from a group to a later one: make it with order_of().")
        if len(self.steps) != np.count_nonzero(_direct(self.below)):
            raise LabelsError("An order holds a step that follows from others: make it with order_of().")

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the lowest level first."""
        return tuple(name for group in self.groups for name in group)

    @cached_property
    def below(self) -> np.ndarray:
        """(G, G) whether the group of the row is less developed than that of the column."""
        found = np.zeros((len(self.groups),) * 2, dtype=bool)
        for low, high in self.steps:
            found[low, high] = True
        return _closed(found)

    @property
    def levels(self) -> dict[str, int]:
        """Name -> level: 0 where nothing is lower, else one more than the highest that is lower."""
        return {
            name: level
            for group, level in zip(self.groups, _levels(self.below), strict=True)
            for name in group
        }

    def signs(self, names: Sequence[str]) -> np.ndarray:
        """What the order says of every pair, (n, n).

        1 where the name of the row is the more developed one, -1 where it is the less developed one, 0 where
        the two are equal, NaN where the order says nothing, as it does of names that it does not hold.
        """
        group = {name: i for i, members in enumerate(self.groups) for name in members}
        place = np.array([group.get(name, -1) for name in names], dtype=int)
        said = np.full((len(self.groups) + 1,) * 2, np.nan)  # the last row and column: not in the order
        said[:-1, :-1][self.below] = -1
        said[:-1, :-1][self.below.T] = 1
        np.fill_diagonal(said[:-1, :-1], 0)
        return said[np.ix_(place, place)]

    def among(self, names: Iterable[str]) -> Order:
        """The order of these names alone, with all that follows through the others.

        ``skipped`` are those of ``names`` that the order does not hold.
        """
        asked = list(dict.fromkeys(names))
        groups = [tuple(name for name in group if name in set(asked)) for group in self.groups]
        kept = [i for i, group in enumerate(groups) if group]
        return ordered([groups[i] for i in kept], self.below[np.ix_(kept, kept)], asked)

    @cached_property
    def _log_ways(self) -> tuple[list[list[int]], np.ndarray]:
        """Groups one step above each group, and the log of the number of ways from it to a top."""
        above: list[list[int]] = [[] for _ in self.groups]
        for low, high in sorted(self.steps):
            above[low].append(high)
        ways = np.zeros(len(self.groups))
        for i in reversed(range(len(self.groups))):
            if above[i]:
                ways[i] = np.logaddexp.reduce(ways[above[i]])
        return above, ways

    @cached_property
    def _starts(self) -> list[int]:
        higher = {high for _, high in self.steps}
        return [i for i in range(len(self.groups)) if self._log_ways[0][i] and i not in higher]

    @property
    def log_paths(self) -> float:
        """Natural log of the number of paths; -inf where there is none."""
        return float(np.logaddexp.reduce(self._log_ways[1][self._starts], initial=-np.inf))

    def sample_path(self, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
        """A path: groups from a lowest to a highest one by direct steps, the lowest first.

        Every path is equally likely. They are counted from the top down and never listed: 40 levels of three
        groups have 10^19. A group that stands in no relation is a path of one group, of which
        nothing can be learned: it is never drawn.

        Raises:
            LabelsError: when no two groups stand in a relation.
        """
        if not self._starts:
            raise LabelsError(
                f"The order of {len(self.names)} clusters holds no relation < or >, so it has no path: "
                "say of two clusters at least which is the more developed one."
            )
        above, ways = self._log_ways
        choices, path = self._starts, []
        while choices:
            weight = np.exp(ways[choices] - ways[choices].max())
            path.append(choices[rng.choice(len(choices), p=weight / weight.sum())])
            choices = above[path[-1]]
        return tuple(self.groups[i] for i in path)


def order_of(statements: Iterable[Statement], *, names: Iterable[str] = ()) -> Order:
    """The order that follows from statements.

    Args:
        statements: of any number of pairs, in any sequence; saying a thing twice does no harm.
        names: that were asked for; those without a statement are ``skipped``.

    Raises:
        LabelsError: when statements contradict each other, with the fewest that do, or a sign is unknown.
    """
    said = list(statements)
    for one in said:
        if one.sign not in ("<", ">", "=") or one.left == one.right:
            raise LabelsError(f"{one} says nothing: write a<b, a>b or a=b of two different clusters.")
    names = list(names)
    known = sorted({name for one in said for name in (one.left, one.right)}, key=natural)
    place = {name: i for i, name in enumerate(known)}
    ways = [way for one in said for way in _upwards(one)]
    ends = np.array([[place[low], place[high]] for low, high in ways], dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(ways)), tuple(ends)), shape=(len(known),) * 2)
    count, member = connected_components(graph, connection="strong") if known else (0, np.zeros(0, int))
    strict = [one for one in said if one.sign != "="]
    if any(member[place[one.left]] == member[place[one.right]] for one in strict):
        circle = ", ".join(map(str, circle_of(said)))
        raise LabelsError(f"The order contradicts itself: {circle} cannot all hold; take back one of them.")
    below = np.zeros((count, count), dtype=bool)
    for one in strict:
        low, high = _upwards(one)[0]
        below[member[place[low]], member[place[high]]] = True
    groups = [tuple(name for name in known if member[place[name]] == i) for i in range(count)]
    return ordered(groups, _closed(below), names)


def weak_order(groups: Iterable[Sequence[str]], *, names: Iterable[str] = ()) -> Order:
    """The order in which every pair is stated: groups of equals, the lowest first."""
    members = [tuple(group) for group in groups if group]
    return ordered(members, np.triu(np.ones((len(members),) * 2, dtype=bool), 1), names)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts 9 before 10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def ordered(groups: Sequence[tuple[str, ...]], below: np.ndarray, asked: Iterable[str]) -> Order:
    """The canonical form: names and groups of a level in natural order, direct steps."""
    members = [tuple(sorted(group, key=natural)) for group in groups]
    level = _levels(below)
    ranked = sorted(range(len(groups)), key=lambda i: (level[i], natural(members[i][0])))
    low, high = np.nonzero(_direct(below[np.ix_(ranked, ranked)]))
    known = {name for group in members for name in group}
    skipped = tuple(sorted({name for name in asked if name not in known}, key=natural))
    steps = frozenset(zip(low.tolist(), high.tolist(), strict=True))
    return Order(tuple(members[i] for i in ranked), steps, skipped)


def _closed(below: np.ndarray) -> np.ndarray:
    """What follows from relations (Warshall 1962, doi 10.1145/321105.321107)."""
    found = below.copy()
    for i in range(len(found)):
        found |= np.outer(found[:, i], found[i])
    return found


def _direct(below: np.ndarray) -> np.ndarray:
    """Relations of a closed order that do not follow from others."""
    count = below.astype(np.float32)
    return below & ~(count @ count > 0)


def _levels(below: np.ndarray) -> list[int]:
    """Length of the longest way from below to each group of a closed order."""
    level = np.zeros(len(below), dtype=int)
    for i in np.argsort(below.sum(0), kind="stable"):  # what is lower has fewer that are lower still
        level[i] = max(level[below[:, i]] + 1, default=0)
    return [int(i) for i in level]


def _upwards(one: Statement) -> list[tuple[str, str]]:
    """Ways from a name to one that is not lower; both ways between equals."""
    ways = [(one.left, one.right), (one.right, one.left)]
    return ways if one.sign == "=" else ways[:1] if one.sign == "<" else ways[1:]


def circle_of(said: list[Statement]) -> list[Statement]:
    """The fewest statements that contradict each other."""
    out: dict[str, list[tuple[str, Statement]]] = {}
    for one in said:
        for low, high in _upwards(one):
            out.setdefault(low, []).append((high, one))
    found: list[list[Statement]] = []
    for one in said:
        if one.sign != "=":
            low, high = _upwards(one)[0]
            found.extend([one, *back] for back in _way(out, high, low))
    return min(found, key=len)


def _way(out: dict[str, list[tuple[str, Statement]]], start: str, end: str) -> list[list[Statement]]:
    """A shortest way from ``start`` up to ``end``: a list of one, empty where there is none."""
    ways: dict[str, list[Statement]] = {start: []}
    todo = deque([start])
    while todo and end not in ways:
        here = todo.popleft()
        for there, one in out.get(here, []):
            if there not in ways:
                ways[there] = [*ways[here], one]
                todo.append(there)
    return [ways[end]] if end in ways else []
