"""Where to go first: people affected by cell, ranked, with how sure the ranks are.

Kim et al. 2022 (doi 10.3389/fenvs.2022.969758) map damage to allocate relief. The order of cells is less
well known than the map lets one believe: ranks are computed in draws of what each cell may be in truth, the
error of the event as a whole being one and the same for all cells of a draw.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from jido.errors import JidoError
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable

DRAWN_AT_MOST = 20_000_000
"""Numbers that all draws hold together."""

EXACT_PEOPLE = "The number of people is taken for exact; it is not, least of all after people have fled."
EVEN = "People of a cell are taken to be affected as its ground (or buildings) is, wherever in it they live."
PLACED = "It says where many people are affected, not what they need, nor who can be reached."
RANKS = (
    "rank_best and rank_worst span the ranks of so many draws: what the event errs is common to all cells of "
    "a draw, what cells err on their own is independent. top_chance: share of draws in which the cell is "
    "among the first {top}."
)
NO_RANKS = "The damage has no interval, so nothing is known of how sure the ranks are."


def relief_table(
    damage: IndicatorTable,
    people: np.ndarray,
    *,
    people_error: float | None = None,
    top: int = 10,
    draws: int = 1000,
    seed: int = 0,
    source: str = "unknown",
) -> IndicatorTable:
    """People affected, share x people, the most first; cells without damage or people known come last.

    The interval is that of the share times the people; with ``people_error`` the distances of both intervals
    from the value are added in squares.

    Args:
        damage: shares by cell (flooded, or of buildings damaged), such as that of
            :func:`~jido.indicators.flood.flood_table`; its column ``common_se`` is the part of the standard
            error that all cells share, none without it.
        people: in each cell, (n,); NaN = not known.
        people_error: standard error of the people of a cell relative to their number, independent between
            cells; ``None``: unknown, and taken for exact.
        top: how long a list is asked for.
        draws: from which ranks are taken.
        seed: of the draws.
        source: of the people, for the method sheet.

    Returns:
        A table in the order of rank with the columns ``rank`` (1 = most people, ties share the mean),
        ``rank_best``, ``rank_worst``, ``top_chance``, ``people``, ``share``. ``sheet.numbers`` says how many
        of the first ``top`` are expected to be there in truth.

    Raises:
        JidoError: when the table holds no shares, the people do not fit, or a number is below its least.
    """
    people = _people(damage, people)
    if people_error is not None and not 0 <= people_error < np.inf:
        raise JidoError(
            f"The error of the people is a share of their number, 0 or more, not {people_error:g}."
        )
    if top < 1 or draws < 1:
        raise JidoError(f"top and draws are 1 or more, not {top} and {draws}.")
    error, tail = people_error or 0.0, (1 + damage.sheet.level) / 2
    value, moved = damage.value * people, float(ndtri(tail)) * error * damage.value * people
    lower = np.maximum(value - np.hypot((damage.value - damage.lower) * people, moved), 0)
    upper = value + np.hypot((damage.upper - damage.value) * people, moved)
    if people_error is None:
        upper = np.minimum(upper, people)
    se = people * np.sqrt(damage.se**2 * (1 + error**2) + (damage.value * error) ** 2)
    columns = _ranks(damage, people, value, error, top, draws, seed)
    order = np.argsort(np.where(np.isnan(value), np.inf, columns["rank"]), kind="stable")
    columns |= {"people": people, "share": damage.value}
    parts = {"value": value, "lower": lower, "upper": upper, "se": se}
    ordered = {name: part[order] for name, part in parts.items()}
    made = replace(
        damage,
        cells=damage.cells.select(order),
        coverage=damage.coverage[order],
        n=damage.n[order],
        bounds=(0.0, np.inf),
        columns={name: part[order] for name, part in columns.items()},
        **ordered,
    )
    return replace(made, sheet=_sheet(made, damage, people_error, top, draws, source))


def _people(damage: IndicatorTable, people: np.ndarray) -> np.ndarray:
    people = np.asarray(people, dtype=np.float64)
    if people.shape != (len(damage.cells),) or (people < 0).any():
        raise JidoError(
            f"People must be {len(damage.cells)} numbers of at least 0, one a cell, NaN where unknown, not "
            f"{people.shape} of them from {np.nanmin(people, initial=0):g} on."
        )
    if damage.bounds != (0.0, 1.0):
        raise JidoError(
            f"The table holds {damage.sheet.unit!r}, not shares of cells: ask for the value 'share' first."
        )
    return people


def _ranks(
    damage: IndicatorTable,
    people: np.ndarray,
    value: np.ndarray,
    error: float,
    top: int,
    draws: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Rank, best and worst of the interval, and the chance to be among the first; NaN where there is none."""
    none = np.full(len(value), np.nan)
    found = {
        "rank": none.copy(),
        "rank_best": none.copy(),
        "rank_worst": none.copy(),
        "top_chance": none.copy(),
    }
    known = np.flatnonzero(np.isfinite(value))
    found["rank"][known] = rankdata(-value[known])
    if not len(known) or np.isnan(damage.se[known]).any():
        return found
    share, se = damage.value[known], damage.se[known]
    common = np.minimum(np.nan_to_num(damage.columns.get("common_se", np.zeros(len(value)))[known]), se)
    rng = np.random.default_rng(seed)
    count = min(draws, max(100, DRAWN_AT_MOST // len(known)))
    free = damage.sheet.numbers.get("events", np.inf) - 1
    event = rng.standard_normal((count, 1)) if np.isinf(free) else rng.standard_t(free, (count, 1))
    own = rng.standard_normal((count, len(known))) * np.sqrt(se**2 - common**2)
    drawn = np.clip(share + event * common + own, 0, 1) * people[known]
    if error > 0:
        drawn *= np.maximum(1 + error * rng.standard_normal(drawn.shape), 0)
    ranks, tail = rankdata(-drawn, axis=1), (1 - damage.sheet.level) / 2
    found["rank_best"][known] = np.quantile(ranks, tail, axis=0, method="lower")
    found["rank_worst"][known] = np.quantile(ranks, 1 - tail, axis=0, method="higher")
    found["top_chance"][known] = (rankdata(-drawn, axis=1, method="ordinal") <= top).mean(axis=0)
    return found


def _sheet(
    made: IndicatorTable,
    damage: IndicatorTable,
    people_error: float | None,
    top: int,
    draws: int,
    source: str,
) -> MethodSheet:
    old = damage.sheet
    chance = made.columns["top_chance"][:top]
    sure = np.isfinite(chance).any()
    numbers = {**old.numbers, "people affected, sum": float(np.nansum(made.value))}
    if sure:
        numbers |= {f"of the first {top} expected there in truth": float(np.nansum(chance)), "draws": draws}
    exact = (
        EXACT_PEOPLE
        if people_error is None
        else f"People of a cell are taken for known to {people_error:.0%} (standard error), each cell alone."
    )
    return replace(
        old,
        indicator="people affected",
        formula=f"({old.formula}) x people of the cell",
        unit="people",
        weights=f"people: {source}",
        error_model=f"{old.error_model}; {RANKS.format(top=top) if sure else NO_RANKS}",
        limits=(*old.limits, exact, EVEN, PLACED),
        numbers=numbers,
    )
