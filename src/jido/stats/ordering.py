"""Partial orders of clusters: what experts write, what machines find, and how far two orders agree.

Two forms of text are in use (Ahn et al. 2023, doi 10.1038/s41467-023-42122-8). Experts write whole chains,
``3=4=6>1=2=7>0``; a combined order has a relation a line, ``0<1``. In both ``a>b`` and ``b<a`` say that ``a``
is the more developed one, ``a=b`` that the two are on one level; signs may be mixed within a chain.

Rules:

- Names that are equal are merged into a *group*; relations hold between groups and follow from each other.
- An order may leave names out (:attr:`Order.skipped`) and pairs open: of these it says nothing.
- An order may name clusters that have no tiles, such as uninhabited land at the lower end. They stay in the
  order and keep what follows through them (``1<22`` and ``22<3`` give ``1<3``), but there is nothing to show
  of them: :meth:`Order.among` leaves them out before a path is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.special import stdtr
from scipy.stats import mannwhitneyu, rankdata

from jido.errors import JidoError, LabelsError
from jido.stats.partial_order import Order, Statement, order_of, ordered, weak_order

__all__ = [
    "TESTS",
    "Order",
    "Statement",
    "kendall_tau",
    "merged_neighbours",
    "order_from_values",
    "order_of",
    "parse_chains",
    "parse_relations",
    "tau_matrix",
    "to_chains",
    "to_relations",
    "weak_order",
]

_SIGN = re.compile(r"\s*([<>=])\s*")
_NAME = re.compile(r"[^\s<>=,;#]+")


def parse_chains(text: str, *, names: Iterable[str] = ()) -> tuple[Order, ...]:
    """One order per line, as experts write them: ``3=4=6>1=2=7>0``.

    A line may hold several chains, parted by commas or semicolons; a name alone stands in the order without
    a relation. Empty lines and what follows a ``#`` are passed over.

    Args:
        text: the lines.
        names: that were asked for; what a line leaves out of them is its ``skipped``.

    Raises:
        LabelsError: when a line cannot be read or contradicts itself; it names line and relations.
    """
    asked = list(names)
    return tuple(_order_of_chains([line], asked) for line in _lines(text))


def parse_relations(text: str, *, names: Iterable[str] = ()) -> Order:
    """One order from all lines: ``0<1``, ``1=2=3``; a line may be a whole chain too.

    Args and errors are those of :func:`parse_chains`.
    """
    return _order_of_chains(_lines(text), list(names))


def to_chains(order: Order) -> str:
    """One line, highest first; several chains parted by ``, `` where the order leaves pairs open."""
    left, chains = sorted(order.steps), []
    while left:
        chain = [left[0][0]]
        while step := next((step for step in left if step[0] == chain[-1]), None):
            left.remove(step)
            chain.append(step[1])
        chains.append(chain)
    chained = {i for chain in chains for i in chain}
    chains += [[i] for i in range(len(order.groups)) if i not in chained]
    return ", ".join(">".join("=".join(order.groups[i]) for i in reversed(chain)) for chain in chains)


def to_relations(order: Order) -> str:
    """Relations ``a<b`` between the first names of groups, a line each, then a line of equals per group."""
    first = [group[0] for group in order.groups]
    lines = [f"{first[low]}<{first[high]}" for low, high in sorted(order.steps)]
    stepped = {i for step in order.steps for i in step}
    lines += ["=".join(group) for i, group in enumerate(order.groups) if len(group) > 1 or i not in stepped]
    return "".join(line + "\n" for line in lines)


def kendall_tau(one: Order, other: Order) -> float:
    """Kendall's tau-b of two orders over the pairs of which both say something.

    Sum of the products of the signs, over the root of the product of the numbers of pairs that are not
    equal in the one and in the other (Kendall 1945, doi 10.1093/biomet/33.3.239). Of the ten experts of Ahn
    et al. 2023 it gives the published matrix to all its digits; tau-a, tau-c and gamma do not.

    Returns:
        -1..1; NaN where there is no such pair, or all such pairs are equal in one of the two.
    """
    names = [name for name in one.names if name in set(other.names)]
    upper = np.triu_indices(len(names), 1)
    x, y = one.signs(names)[upper], other.signs(names)[upper]
    both = ~np.isnan(x + y)
    size = np.sqrt(np.sum(x[both] ** 2) * np.sum(y[both] ** 2))
    return float(np.sum(x[both] * y[both]) / size) if size else np.nan


def tau_matrix(orders: Sequence[Order]) -> np.ndarray:
    """:func:`kendall_tau` of every two of E orders, (E, E)."""
    return np.array([[kendall_tau(one, other) for other in orders] for one in orders])


def merged_neighbours(unlike: np.ndarray, limit: float) -> list[list[int]]:
    """Cut a row of things into groups inside which no two are too unlike.

    Starting from each alone, the two neighbouring groups whose largest unlikeness is smallest are merged,
    as long as it is below ``limit`` (complete linkage along the row).

    Args:
        unlike: (n, n) symmetric, of things in their order.
        limit: unlikeness that two things of a group must not reach.

    Returns:
        Positions, a list per group, in order.
    """
    groups = [[i] for i in range(len(unlike))]
    widest = [float(unlike[i, i + 1]) for i in range(len(unlike) - 1)]
    while widest and min(widest) < limit:
        at = widest.index(min(widest))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
        del widest[at]
        for i in range(max(at - 1, 0), min(at + 1, len(widest))):
            widest[i] = float(unlike[groups[i][0] : groups[i + 1][0], groups[i + 1]].max())
    return groups


def order_from_values(
    values: Mapping[str, np.ndarray], *, level: float = 0.05, test: str = "welch", equals: bool = False
) -> Order:
    """A machine-made order: clusters compared by a value of their tiles, such as nightlights.

    Every two clusters are tested, two-sided, and the p-values corrected for their number (Holm 1979). What
    differs significantly gets a relation, along the order of the clusters' places: their means (``welch``),
    or the means of the ranks of their values among all values (``mann-whitney``). All relations lead the
    same way along one row, so they cannot contradict each other; what follows from two of them holds too,
    also where its own test missed the level, and a relation that its test gives against the row is left out.

    Pairs without a significant difference stay open, because that is no proof of equality. With ``equals``
    nothing stays open: :func:`merged_neighbours` cuts the row into groups of equals inside which no two
    clusters differ significantly; clusters of different groups need not differ significantly.

    The tests take tiles for independent, which neighbouring tiles are not.

    Args:
        values: cluster -> (n,) values of its tiles, NaN = no data. Clusters with fewer than two values are
            ``skipped``.
        level: probability of any false relation that is allowed.
        test: a name of :data:`TESTS`: ``welch`` (1947, doi 10.1093/biomet/34.1-2.28) for means,
            ``mann-whitney`` for values that lie far from a normal distribution.
        equals: groups of equals instead of open pairs.

    Raises:
        JidoError: when nobody knows the test, or fewer than two clusters have two values.
    """
    if test not in TESTS:
        raise JidoError(f"No test is called {test!r}: choose one of {', '.join(TESTS)}.")
    finite = {name: np.asarray(v, dtype=np.float64)[np.isfinite(v)] for name, v in values.items()}
    kept = {name: v for name, v in finite.items() if len(v) > 1}
    if len(kept) < 2:
        raise JidoError(
            f"{len(kept)} of {len(values)} clusters have two values or more: an order takes two of them."
        )
    place, p = TESTS[test](list(kept.values()))
    row = np.argsort(place, kind="stable")
    names, p = [list(kept)[i] for i in row], _holm(p)[np.ix_(row, row)]
    if equals:
        groups = merged_neighbours(-p, -level)
        return weak_order(([names[i] for i in group] for group in groups), names=values)
    found = zip(*np.nonzero(np.triu(p <= level, 1)), strict=True)
    order = order_of((Statement(names[i], "<", names[j]) for i, j in found), names=names)
    single = [(name,) for name in order.skipped]
    return ordered([*order.groups, *single], np.pad(order.below, (0, len(single))), values)


def _welch(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means, and p-values of Welch's t-test of every two clusters, (K, K)."""
    mean = np.array([v.mean() for v in values])
    n = np.array([len(v) for v in values])
    error = np.array([v.var(ddof=1) for v in values]) / n
    both = error[:, None] + error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean[:, None] - mean) / np.sqrt(both)
        freedom = both**2 / (error**2 / (n - 1) + (error**2 / (n - 1))[:, None])
    p = 2 * stdtr(np.where(both > 0, freedom, 1), -np.where(both > 0, t, 0))
    return mean, np.where(both > 0, p, mean[:, None] == mean)  # two clusters without spread: equal or not


def _mann_whitney(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean ranks among all values, and p-values of the Mann-Whitney test of every two clusters, (K, K)."""
    ends = np.cumsum([len(v) for v in values])[:-1]
    place = np.array([ranks.mean() for ranks in np.split(rankdata(np.concatenate(values)), ends)])
    p = np.ones((len(values),) * 2)
    for i, j in combinations(range(len(values)), 2):
        found = mannwhitneyu(values[i], values[j])
        along = (found.statistic - len(values[i]) * len(values[j]) / 2) * (place[i] - place[j]) > 0
        p[i, j] = p[j, i] = found.pvalue if along else 1
    return place, p


TESTS: dict[str, Callable[[list[np.ndarray]], tuple[np.ndarray, np.ndarray]]] = {
    "welch": _welch,
    "mann-whitney": _mann_whitney,
}
"""Test -> places of clusters in the row, and p-values of every two."""


def _holm(p: np.ndarray) -> np.ndarray:
    """p-values of all pairs, corrected for their number, (K, K)."""
    upper = np.triu_indices(len(p), 1)
    ranked = np.argsort(p[upper])
    steps = np.arange(len(ranked), 0, -1)
    found = np.ones_like(p)
    corrected = np.empty(len(ranked))
    corrected[ranked] = np.minimum(np.maximum.accumulate(p[upper][ranked] * steps), 1)
    found[upper] = corrected
    return np.minimum(found, found.T)


def _lines(text: str) -> list[tuple[str, str]]:
    """(where, line) of lines that say something."""
    lines = ((f"line {i}", line.split("#")[0].strip()) for i, line in enumerate(text.splitlines(), start=1))
    return [(where, line) for where, line in lines if line]


def _order_of_chains(lines: list[tuple[str, str]], asked: list[str]) -> Order:
    """The order that lines of chains give together."""
    said, alone = [], []
    for where, line in lines:
        for chain in re.split(r"[,;]", line):
            names, signs = _chain(chain.strip(), where)
            said += [Statement(*one, where) for one in zip(names[:-1], signs, names[1:], strict=True)]
            alone += names if len(names) == 1 else []
    found = order_of(said, names=asked)
    single = [(name,) for name in dict.fromkeys(alone) if name not in found.names]
    below = np.pad(found.below, (0, len(single)))
    return ordered([*found.groups, *single], below, asked) if single else found


def _chain(chain: str, where: str) -> tuple[list[str], list[str]]:
    """Names and signs of a chain."""
    parts = _SIGN.split(chain.lstrip("\ufeff"))
    names, signs = parts[::2], parts[1::2]
    for name in names:
        if not _NAME.fullmatch(name):
            raise LabelsError(
                f"{chain!r} ({where}) cannot be read: {name!r} is no name of a cluster; write chains such as "
                "3=4>1>0, with names that hold no spaces."
            )
    return names, signs
