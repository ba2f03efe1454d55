"""Shares of cells of a new event (flooded ground, damaged buildings), set right by events held out.

A map has false alarms and misses, and how many differs by event: turbid water, another season, other roofs.
Of what is mapped as dry a share ``alpha`` is flooded in truth, of what is mapped as flooded a share ``beta``:
the two columns of a confusion matrix as Olofsson et al. 2014 use them (doi 10.1016/j.rse.2014.02.015, eq. 9),
with a pair of them for each event (:mod:`jido.stats.event_effects`). The interval of a cell of a new event
holds what events differ by and what cells err on their own; what the event errs all its cells share, so it
does not average out over a district.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from jido.errors import JidoError
from jido.stats.conformal import highest_level
from jido.stats.event_effects import STEPS, Effects, EventSums, fit_effects, parts

LEVELS = (0.8, 0.9, 0.95)
"""Levels of intervals: those at which the held-out events were looked at."""

BANDS = (0.02, 0.98)
"""Shares between which a cell counts as mixed, below as dry, above as flooded: they err differently."""

_ROUNDING = 1e-9

Stretch = tuple[float, float, float, float]


@dataclass(frozen=True)
class EventShares:
    """What held-out events say of the shares of cells; made by :func:`fit_event_shares`.

    Args:
        mean: over events: of what the map calls dry the share flooded in truth (alpha), the same of what it
            calls flooded (beta), and what mixed cells err beside (gamma).
        between: covariance of the three over events, a row each.
        within: variance of a cell's own error in each step of :data:`~jido.stats.event_effects.STEPS`.
        stretch: level -> factors of the intervals of dry, mixed and flooded cells, and of sums over an event.
        clump: variance of sums of neighbouring cells over that of independent ones; NaN: unknown.
        pixels: of the held-out cells, median; NaN: unknown.
        events: their number.
        cells: their number.
        threshold: of the probability above which a pixel counted; ``None``: the mean probability.
    """

    mean: tuple[float, ...]
    between: tuple[tuple[float, ...], ...]
    within: tuple[float, ...]
    stretch: Mapping[str, Stretch]
    clump: float
    pixels: float
    events: int
    cells: int
    threshold: float | None = None

    @property
    def freedom(self) -> float:
        """Degrees of freedom of what events differ by."""
        return self.events - 1.0

    @property
    def highest_level(self) -> float:
        """The most that so few events promise of a new one without an assumption on how they vary."""
        return highest_level(self.events)

    def interval(
        self, p: np.ndarray | float, n: np.ndarray | float = np.nan, *, level: float = 0.95
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Corrected shares of cells of a new event.

        Args:
            p: shares that the map says, 0..1, NaN = not seen.
            n: pixels of the cells. Smaller cells than those held out err more: the variance of their own
                error is taken to grow with one over n, the most it can where neighbours err alike. That
                of larger ones is not taken to be smaller.
            level: of :data:`LEVELS`.

        Returns:
            value, lower, upper (0..1) and standard error, each of the shape of ``p``; NaN where p is.

        Raises:
            JidoError: when a share is none, or the level is not one of these.
        """
        p, common, own = self._variances(p, n)
        line, se = self._effects.line(p), np.sqrt(common + own)
        half = se * _reach(common, own, self.freedom, level) * self._factors(level)[np.digitize(p, BANDS)]
        return np.clip(line, 0, 1), np.clip(line - half, 0, 1), np.clip(line + half, 0, 1), se

    def total(
        self, p: np.ndarray, weights: np.ndarray, n: np.ndarray | float = np.nan, *, level: float = 0.95
    ) -> tuple[float, float, float, float]:
        """Sum over cells of one new event of weight x corrected share: hectares of a district.

        What the event errs is one and the same in all cells and is added up first; the variance of what
        cells err on their own is multiplied by ``clump``, or they are taken to err all alike where that
        is unknown. From a handful of events sums lie outside more often than cells do: what they cover is
        measured in ``experiments/flood_intervals.py``.

        Args:
            p: (n,) shares that the map says; NaN has no say.
            weights: (n,) area, buildings: at least 0.
            n: pixels of the cells.
            level: of :data:`LEVELS`.

        Returns:
            value, lower, upper and standard error.
        """
        p, _, own = self._variances(p, n)
        seen = ~np.isnan(p)
        w, p, alone = np.asarray(weights, dtype=np.float64)[seen], p[seen], np.sqrt(own[seen])
        value, top = float(w @ self._effects.line(p)), float(w.sum())
        common = self._effects.common(w @ parts(p))
        rest = np.array(_together(w * alone, self.clump))
        se = np.sqrt(common + rest)
        half = se * _reach(common, rest, self.freedom, level) * self._factors(level)[3]
        ends = np.clip([value, value - half, value + half], 0, top)
        return float(ends[0]), float(ends[1]), float(ends[2]), float(se)

    def shared(self, p: np.ndarray, weights: np.ndarray, n: np.ndarray | float = np.nan) -> float:
        """The correlation of errors, one for all pairs of cells, that gives their sum that of :meth:`total`.

        It is the ``shared`` of :class:`~jido.indicators.aggregate.Dependence`, 0..1.
        """
        p, common, own = self._variances(p, n)
        errors = np.nan_to_num(np.asarray(weights, dtype=np.float64) * np.sqrt(common + own))
        apart, alike = float(errors @ errors), float(errors.sum() ** 2)
        if not alike > apart:
            return 0.0
        whole = self.total(p, weights, n)[3] ** 2
        return float(np.clip((whole - apart) / (alike - apart), 0, 1))

    def common_se(self, p: np.ndarray) -> np.ndarray:
        """The part of the standard error that all cells of an event share, of the shape of ``p``."""
        return np.sqrt(self._variances(p, np.nan)[1])

    def limits(self, level: float) -> tuple[str, ...]:
        """What an interval of this level cannot know, for a method sheet."""
        return (
            f"{self.events} events were held out. So many can promise {self.highest_level:.3f} of a new one "
            f"at most without an assumption; that the interval holds {level:g} rests on events that differ "
            "by a normal law (Student's t), looked at by predicting each from the others.",
            "The level is a mean over new events like these: in one event nearly all cells lie inside, in "
            "another few. An event unlike them (sensor, season, kind of town) is not promised anything.",
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what is unknown is ``None``."""
        facts = {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(self).items()}
        facts["between"] = [list(row) for row in self.between]
        facts["stretch"] = {level: list(part) for level, part in self.stretch.items()}
        return facts | {name: None for name in ("clump", "pixels") if np.isnan(facts[name])}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> EventShares:
        """The opposite of :meth:`to_dict`.

        Raises:
            JidoError: when something is missing.
        """
        if lost := [name for name in cls.__dataclass_fields__ if name not in facts]:
            raise JidoError(f"What held-out events say of shares lacks {', '.join(lost)}: fit it anew.")
        known = {name: facts[name] for name in cls.__dataclass_fields__}
        known |= {name: np.nan for name in ("clump", "pixels") if known[name] is None}
        known |= {name: tuple(known[name]) for name in ("mean", "within")}
        known["between"] = tuple(map(tuple, known["between"]))
        return cls(**known | {"stretch": {level: tuple(part) for level, part in known["stretch"].items()}})

    @property
    def _effects(self) -> Effects:
        mean, between, within = (np.array(part) for part in (self.mean, self.between, self.within))
        return Effects(mean, between, within, np.empty((0, 3)), self.events)

    def _factors(self, level: float) -> np.ndarray:
        if str(float(level)) not in self.stretch:
            raise JidoError(
                f"Intervals of level {level:g} were not looked at: choose of {', '.join(self.stretch)}."
            )
        return np.array(self.stretch[str(float(level))])

    def _variances(
        self, p: np.ndarray | float, n: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shares as an array, and variances of what their event and what they themselves err."""
        p = np.asarray(p, dtype=np.float64)
        if (off := (p < 0) | (p > 1)).any():
            raise JidoError(
                f"A share of a cell is {p[off].flat[0]:g}: give 0..1, and NaN where nothing was seen."
            )
        with np.errstate(divide="ignore"):
            smaller = np.nan_to_num(self.pixels / np.asarray(n, dtype=np.float64), nan=1.0)
        own = self._effects.own(p) * np.maximum(smaller, 1)
        return p, self._effects.common(parts(p)), own


def fit_event_shares(
    predicted: np.ndarray,
    true: np.ndarray,
    events: np.ndarray,
    *,
    pixels: np.ndarray | float = np.nan,
    patches: np.ndarray | None = None,
    threshold: float | None = None,
) -> EventShares:
    """Learn from cells of events that the model has not seen.

    Then each event is predicted from the others. Where its cells lie outside more often than they should,
    intervals are stretched; with enough events (19 for .95) they may shrink too.

    Args:
        predicted: (n,) share of each cell that the map says.
        true: (n,) its true share; a cell with NaN in either is left out.
        events: (n,) event of each cell, at least 2 different.
        pixels: of each cell.
        patches: (n,) number of the neighbourhood of each cell, such as squares of 4 x 4 cells: how far
            sums over it vary more than sums of independent cells. Unknown without.
        threshold: that made classes of probabilities before they were counted; kept for those who use it.

    Raises:
        JidoError: when lengths differ, a share is none, or there are fewer than 2 events.
    """
    p, t = (np.asarray(part, dtype=np.float64) for part in (predicted, true))
    if not p.shape == t.shape == np.shape(events) or p.ndim != 1:
        raise JidoError(
            f"There are predicted shares of shape {p.shape}, true ones of {t.shape} and events of "
            f"{np.shape(events)}: give one of each a cell."
        )
    known = np.isfinite(p) & np.isfinite(t)
    p, t = p[known], t[known]
    if ((p < 0) | (p > 1) | (t < 0) | (t > 1)).any():
        raise JidoError("A share of a held-out cell is below 0 or above 1: give 0..1, or NaN.")
    names, owner = np.unique(np.asarray(events)[known], return_inverse=True)
    if len(names) < 2:
        raise JidoError(
            f"Shares are set right by events held out, at least 2, not {len(names)}: a single one does not "
            "tell how far a new one may differ."
        )
    sums = EventSums.of(p, t, owner)
    found = fit_effects(sums)
    clump = np.nan if patches is None else _clump(found, p, t, owner, np.asarray(patches)[known])
    sizes = np.broadcast_to(np.asarray(pixels, dtype=np.float64), known.shape)[known]
    return EventShares(
        mean=tuple(found.mean.tolist()),
        between=tuple(map(tuple, found.between.tolist())),
        within=tuple(found.within.tolist()),
        stretch=_stretch(p, t, owner, sums, found, clump),
        clump=clump,
        pixels=float("nan") if np.isnan(sizes).all() else float(np.nanmedian(sizes)),
        events=len(names),
        cells=len(p),
        threshold=threshold,
    )


def _stretch(
    p: np.ndarray, t: np.ndarray, owner: np.ndarray, sums: EventSums, whole: Effects, clump: float
) -> dict[str, Stretch]:
    """What intervals are to be multiplied by, from each event as the others predict it."""
    count = len(sums.count)
    if count < 3:
        return {str(level): (1.0, 1.0, 1.0, 1.0) for level in LEVELS}
    apart, common, own = np.zeros((3, len(p)))
    off, alike, alone = np.zeros((3, count))
    for event in range(count):
        here, others = owner == event, fit_effects(sums.without(event), start=whole)
        error, x = t[here] - others.line(p[here]), parts(p[here])
        apart[here], common[here], own[here] = np.abs(error), others.common(x), others.own(p[here])
        off[event], alike[event] = np.abs(error.sum()), others.common(x.sum(axis=0))
        alone[event] = _together(np.sqrt(own[here]), clump)
    found, band, events, free = {}, np.digitize(p, BANDS), np.arange(count), count - 2.0
    for level in LEVELS:
        ratio = apart / (np.sqrt(common + own) * _reach(common, own, free, level))
        summed = off / (np.sqrt(alike + alone) * _reach(alike, alone, free, level))
        one, two, three = (_factor(ratio[band == k], owner[band == k], level) for k in range(3))
        found[str(level)] = (one, two, three, _factor(summed, events, level))
    return found


def _together(errors: np.ndarray, clump: float) -> float:
    """Variance of a sum of cells by their own errors, weight x standard error each."""
    return float(np.fmin(errors.sum() ** 2, clump * (errors @ errors)))  # NaN: the first


def _factor(ratio: np.ndarray, owner: np.ndarray, level: float) -> float:
    """Quantile of the ratios of held-out cells, events weighing alike; not below 1 where events are few.

    CDF pooling, Dunn, Wasserman and Ramdas 2023, doi 10.1080/01621459.2022.2060112. A part at infinity for
    the new event, as :func:`~jido.stats.conformal.group_conformal` has it, would promise the level whatever
    the law of the differences, and with 20 events give nearly all the widest interval of all.
    """
    if not len(ratio):
        return 1.0
    _, place, size = np.unique(owner, return_inverse=True, return_counts=True)
    order = np.argsort(ratio)
    inside = (1 / (len(size) * size[place]))[order].cumsum()
    found = float(ratio[order][np.searchsorted(inside, level - _ROUNDING)])
    return found if level <= highest_level(len(size)) else max(1.0, found)


def _reach(common: np.ndarray, own: np.ndarray, freedom: float, level: float) -> np.ndarray:
    """Student's t for a sum of two variances of which the second is known (Satterthwaite 1946)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(common > 0, freedom * ((common + own) / common) ** 2, np.inf)
    return np.asarray(stdtrit(np.minimum(free, 1e6), (1 + level) / 2))


def _clump(fit: Effects, p: np.ndarray, t: np.ndarray, owner: np.ndarray, patches: np.ndarray) -> float:
    """Variance of sums over patches over that of as many independent cells, at least 1."""
    left = t - (fit.each[owner] * parts(p)).sum(axis=1)
    z = left / np.sqrt(fit.within[np.digitize(p, STEPS)])
    number = np.unique(patches, return_inverse=True)[1]
    _, place = np.unique(owner * (number.max() + 1) + number, return_inverse=True)
    whole = float(z @ z)
    return max(float((np.bincount(place, z) ** 2).sum()) / whole, 1.0) if whole > 0 else 1.0
