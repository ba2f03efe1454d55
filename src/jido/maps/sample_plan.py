"""How a sample of a map is shared out over its strata, from what is anticipated of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from jido.errors import JidoError
from jido.labels import ClassScheme
from jido.stats.design import Rule
from jido.stats.design_plan import TWO, Expected, expected, planned

ANTICIPATED = 0.8
"""Accuracy that is anticipated where nothing is known."""

SURE = 0.95
"""Anticipated at most, and 1 - 0.95 at least, from held-out labels: a few of them do not tell more."""


@dataclass(frozen=True)
class Wish:
    """What a person asks for; see :func:`jido.maps.sample.draw_sample`."""

    n: int | None
    se: float | None
    allocation: Rule | Mapping[str, int]
    least: int | None
    accuracies: Mapping[str, float]

    def __post_init__(self) -> None:
        if isinstance(self.allocation, Mapping):
            if self.se is not None or self.n not in (None, sum(self.allocation.values())):
                raise JidoError(
                    f"The points of the strata are given, {sum(self.allocation.values())} in all: leave out "
                    "their number and the standard error."
                )
        elif (self.n is None) == (self.se is None):
            raise JidoError("Give the number of points, or the standard error that is wished: one of them.")
        elif self.allocation not in get_args(Rule):
            rules = ", ".join(get_args(Rule))
            raise JidoError(
                f"Points are allocated by {rules}, or as A=50,B=100, and not by {self.allocation!r}."
            )
        for name, share in self.accuracies.items():
            if not 0 <= share <= 1:
                raise JidoError(f"The accuracy expected of {name} lies between 0 and 1, not at {share}.")


@dataclass(frozen=True, eq=False)
class Plan:
    """Points by stratum, and why.

    Args:
        drawn: (H,) points.
        shares: (H,) of the cells of each stratum that are anticipated to be right.
        source: where these come from, in words.
        expected: standard errors to expect; ``None`` where all or nothing is anticipated to be right.
        notes: sentences on what a person has to know.
    """

    drawn: np.ndarray
    shares: np.ndarray
    source: str
    expected: Expected | None
    notes: tuple[str, ...]

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """JSON-ready, by name of the stratum."""

        def named(values: np.ndarray | None) -> dict[str, float] | None:
            return None if values is None else dict(zip(names, values.tolist(), strict=True))

        found = self.expected
        return {
            "accuracy": named(self.shares),
            "source": self.source,
            "se": found
            and {"oa": found.oa, "users_accuracy": named(found.users), "area_share": named(found.areas)},
        }


def held_out(facts: dict[str, Any] | None, scheme: ClassScheme) -> dict[str, float]:
    """User's accuracies of held-out labels in the report of a map, by class; empty without one."""
    rows = facts["evaluation"].get("per_class", []) if facts else []
    figures = {row["class"]: row["users_accuracy"]["value"] for row in rows if row["class"] in scheme.labels}
    return {name: min(max(v, 1 - SURE), SURE) for name, v in figures.items() if v is not None}


def make_plan(
    wish: Wish,
    names: Sequence[str],
    sizes: np.ndarray,
    *,
    held: Mapping[str, float],
    mapped: Mapping[str, int],
    classes: bool,
) -> Plan:
    """Share points out.

    Args:
        wish: what is asked for.
        names: (H,) of the strata.
        sizes: (H,) their cells.
        held: user's accuracies of held-out labels, by class.
        mapped: cells by class.
        classes: whether the strata are the classes.

    Raises:
        JidoError: when a name is unknown, or points cannot be shared out so.
    """
    known = wish.accuracies or held
    if strange := [name for name in wish.accuracies if name not in (*names, *mapped)]:
        raise _unknown(strange[0], names)
    whole = sum(cells * known.get(name, ANTICIPATED) for name, cells in mapped.items()) / sum(mapped.values())
    shares = np.array([known.get(name, ANTICIPATED) if classes or name in known else whole for name in names])
    if isinstance(wish.allocation, Mapping):
        drawn = _given(wish.allocation, names, sizes)
    else:
        drawn = planned(sizes, shares, n=wish.n, se=wish.se, rule=wish.allocation, least=wish.least)
    told = ((shares > 0) & (shares < 1)).any()
    return Plan(
        drawn=drawn,
        shares=shares,
        source=_source(wish, known, mapped),
        expected=expected(drawn, sizes, shares, classes=classes) if told else None,
        notes=tuple(
            f"Stratum {name} holds {cells} cells: all of them are in the sample."
            for name, cells, points in zip(names, sizes.tolist(), drawn.tolist(), strict=True)
            if points == cells
        ),
    )


def _given(wanted: Mapping[str, int], names: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """Points (H,) that a person names by stratum."""
    if strange := [name for name in wanted if name not in names]:
        raise _unknown(strange[0], names)
    drawn = np.array([wanted.get(name, 0) for name in names], dtype=np.int64)
    for name, points, cells in zip(names, drawn.tolist(), sizes.tolist(), strict=True):
        if not min(TWO, cells) <= points <= cells:
            raise JidoError(
                f"Stratum {name} is to get {points} points and holds {cells:,} cells: give each stratum 2 or "
                "more, and no more than it holds."
            )
    return drawn


def _source(wish: Wish, known: Mapping[str, float], mapped: Mapping[str, int]) -> str:
    rest = "" if known.keys() >= mapped.keys() else f"; {ANTICIPATED} where nothing is known"
    if wish.accuracies:
        return f"given{rest}"
    return f"held-out labels of the model{rest}" if known else f"a guess of {ANTICIPATED}"


def _unknown(name: str, names: Sequence[str]) -> JidoError:
    shown = ", ".join(names[:20]) + " ..." * (len(names) > 20)
    return JidoError(f"There is no stratum {name!r}: the map has {shown}.")
