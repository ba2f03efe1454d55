"""Ratios of two weighted sums with standard errors and intervals: what accuracy and area are made of.

:mod:`jido.stats.design` and :mod:`jido.stats.design_clusters` say where they come from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from jido.errors import JidoError
from jido.stats.intervals import Figure, figure

Interval = Literal["wilson", "wald"]

NO_SPREAD = 1e-9
"""What rounding leaves of a standard error of 0."""


class DesignFigure(Figure):
    """A figure with its interval and standard error; ``None`` where none is claimed."""

    se: float | None


@dataclass(frozen=True)
class DesignEstimates:
    """What a probability sample says of a map; classes in the order of their places.

    Args:
        oa: overall accuracy.
        users: user's accuracy by class; ``None`` for a class that no unit is mapped as.
        producers: producer's accuracy by class; ``None`` for a class that was not found.
        areas: share of the area that truly is of each class; they sum to 1.
        matrix: (K, K) estimated shares of the area, truth in rows, map in columns.
        units: sampled units by stratum.
        level: coverage aimed at.
        interval: how bounds were made.
        notes: sentences on what could not be claimed.
    """

    oa: DesignFigure
    users: tuple[DesignFigure, ...]
    producers: tuple[DesignFigure, ...]
    areas: tuple[DesignFigure, ...]
    matrix: tuple[tuple[float, ...], ...]
    units: tuple[int, ...]
    level: float
    interval: Interval
    notes: tuple[str, ...]

    def areas_in(self, total: float) -> tuple[DesignFigure, ...]:
        """The areas in the unit of ``total``, the area of the whole map."""

        def times(value: float | None) -> float | None:
            return None if value is None else value * total

        return tuple(
            DesignFigure(
                value=times(a["value"]), lower=times(a["lower"]), upper=times(a["upper"]), se=times(a["se"])
            )
            for a in self.areas
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-ready."""
        return asdict(self)


def require_level(level: float, interval: Interval) -> None:
    """Refuse what no interval can be made of."""
    if interval not in ("wilson", "wald") or not 0 < level < 1:
        raise JidoError(
            f"interval is wilson or wald and level lies between 0 and 1, not {interval!r} and {level}."
        )


def checked_places(
    mapped: np.ndarray,
    reference: np.ndarray,
    part: np.ndarray,
    parts: int,
    classes: int | None,
    *,
    called: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Places of map class, true class and part (stratum or cluster, as ``called``), int64 (n,), and K."""
    given = [np.asarray(a) for a in (mapped, reference, part)]
    if len({a.shape for a in given}) > 1 or given[0].ndim != 1 or not given[0].size:
        raise JidoError(
            f"A map class, a true class and a {called} belong to each unit, but there are {given[0].shape}, "
            f"{given[1].shape} and {given[2].shape} of them."
        )
    k = int(max(given[0].max(), given[1].max())) + 1 if classes is None else classes
    for what, places, end in zip(("mapped", "reference", called), given, (k, k, parts), strict=True):
        if places.dtype.kind not in "iu" or places.min() < 0 or places.max() >= end:
            raise JidoError(
                f"{what} holds whole numbers from 0 to {end - 1}, but goes from {places.min()} to "
                f"{places.max()} ({places.dtype}): leave out units without a label, and tell how many."
            )
    a, b, c = (places.astype(np.int64) for places in given)
    return a, b, c, k


def indicators(mapped: np.ndarray, reference: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What is counted, and of what, (n, 1 + 3 K) both: overall, user's, producer's, areas."""
    said = (mapped[:, None] == np.arange(k)).astype(np.float64)
    true = (reference[:, None] == np.arange(k)).astype(np.float64)
    both, one = said * true, np.ones((len(mapped), 1))
    y = np.hstack([both.sum(axis=1, keepdims=True), both, both, true])
    return y, np.hstack([one, said, true, np.broadcast_to(one, true.shape)])


def sums_by(values: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Sums (H, F) of rows (n, F) that lie in one part."""
    sums = np.zeros((parts, values.shape[1]))
    np.add.at(sums, part, values)
    return sums


def ratios(
    y: np.ndarray, x: np.ndarray, stratum: np.ndarray, weight: np.ndarray, *, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ratios (F,) and standard errors; the variance of a stratum counts ``factor`` (H,) times."""
    counts, whole = np.bincount(stratum), weight @ x
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.minimum((weight @ y) / whole, 1.0)  # NaN where a class is never mapped, or never found
        rest = y - np.where(whole > 0, value, 0.0) * x
        apart = rest - (sums_by(rest, stratum, len(counts)) / counts[:, None])[stratum]
        squares = sums_by(apart**2, stratum, len(counts))
        return value, np.sqrt((factor / np.maximum(counts - 1, 1)) @ squares) / whole


def effective_units(
    value: np.ndarray, se: np.ndarray, x: np.ndarray, weight: np.ndarray, *, known: np.ndarray, left: float
) -> np.ndarray:
    """Units (F,) of a simple sample that would know as much; NaN where that is not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        kish = np.where(known, (weight @ x) ** 2 / (weight**2 @ x**2), np.nan) / left  # all seen: no doubt
        return np.where(se > NO_SPREAD, value * (1 - value) / se**2, np.where(np.isnan(se), np.nan, kish))


def estimates(
    value: np.ndarray,
    se: np.ndarray,
    size: np.ndarray,
    shares: np.ndarray,
    *,
    reach: np.ndarray | float,
    units: np.ndarray,
    level: float,
    interval: Interval,
    notes: tuple[str, ...],
) -> DesignEstimates:
    """All figures with their bounds.

    Args:
        value: ratios (1 + 3 K,), in the order of :func:`indicators`.
        se: their standard errors.
        size: effective units of each, for Wilson's bounds.
        shares: (K, K) of the area.
        reach: half of Wald's interval in standard errors, for each or all; NaN where no bounds are claimed.
        units: by stratum, or by cluster.
        level: coverage aimed at.
        interval: kind of bounds.
        notes: sentences.
    """
    lower, upper = _bounds(value, se, size if interval == "wilson" else None, z=reach)
    figures = tuple(_figure(*row) for row in zip(value, se, lower, upper, strict=True))
    k = len(shares)
    return DesignEstimates(
        oa=figures[0],
        users=figures[1 : k + 1],
        producers=figures[k + 1 : 2 * k + 1],
        areas=figures[2 * k + 1 :],
        matrix=tuple(tuple(row) for row in shares.tolist()),
        units=tuple(units.tolist()),
        level=level,
        interval=interval,
        notes=notes,
    )


def _bounds(
    value: np.ndarray, se: np.ndarray, size: np.ndarray | None, *, z: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (F,), Wilson's where sizes are given; NaN where none are claimed."""
    if size is None:
        middle, half = value, np.where(se > NO_SPREAD, z * se, np.nan)
    else:
        middle = (value + z**2 / (2 * size)) / (1 + z**2 / size)
        half = z / (1 + z**2 / size) * np.sqrt(value * (1 - value) / size + z**2 / (4 * size**2))
    lower, upper = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return np.minimum(lower, value), np.maximum(upper, value)  # exact at 0 and 1


def _figure(value: float, se: float, lower: float, upper: float) -> DesignFigure:
    return DesignFigure(**figure(value, lower, upper), se=figure(se)["value"])
