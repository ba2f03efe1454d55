"""Probabilities made to mean what they say, learned from groups that the model has not seen.

Every group (polygon, image, square of land) has the same weight in what is learned: its samples are right or
wrong together, so one of 600 cells is not thirty times the evidence of one of 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize_scalar

from jido.errors import ModelError
from jido.labels import group_kfold
from jido.stats.calibration import calibration
from jido.stats.intervals import MIN_GROUPS

KINDS = ("none", "temperature", "isotonic")
"""Ways to calibrate, the simplest first."""

LEAST = 1e-3
"""Probability under which a loss grows no more: a forest says 0 where none of its trees voted."""

FOLDS = 5
"""Parts of the groups: each is judged by calibrations of the others."""

STEPS = 20
"""Bins of equal width, and as many of equal weight, that an isotonic curve is fitted to."""

TABLE = 4000
"""Steps of a probability in which a curve is looked up: four of them are a tenth of a percent."""

ROWS = 200_000
"""Rows that a calibration is learned from at most; of more, so many are drawn."""


@dataclass(frozen=True)
class Calibration:
    """What is done to the probabilities of a model.

    ``temperature``: p^(1 / T), made to sum to 1 (Guo et al. 2017, arXiv 1706.04599). ``isotonic``: a curve
    that never falls (Zadrozny and Elkan 2002, doi 10.1145/775047.775151), of the highest probability: what
    it takes off goes to all classes alike, what it adds is taken from the others in proportion. With both the
    most probable class stays so. Of a ``target`` and its background the curve is of the target: a pixel that
    is called so may have less than 1/2, where the threshold of the model was chosen so.

    Args:
        kind: of :data:`KINDS`.
        temperature: T, above 1 where the model is too sure of itself.
        curve: points (said, true) of the isotonic curve, straight lines between them.
        target: whether the curve is of the second of two classes.

    Raises:
        ModelError: for another kind, a temperature that is not above 0, or a curve that falls.
    """

    kind: str = "none"
    temperature: float = 1.0
    curve: tuple[tuple[float, float], ...] = ()
    target: bool = False

    def __post_init__(self) -> None:
        points = np.array(self.curve, dtype=np.float64).reshape(-1, 2)
        rises = (np.diff(points[:, 0]) > 0).all() and (np.diff(points[:, 1]) >= 0).all()
        inside = ((points >= 0) & (points <= 1)).all()
        if self.kind not in KINDS or not 0 < self.temperature < np.inf or not (rises and inside):
            raise ModelError(
                f"A calibration is {', '.join(KINDS)}, of a temperature above 0 or a curve that rises from 0 "
                f"to 1; this one is {self.kind!r}: train the model again."
            )
        if self.kind == "isotonic" and not self.curve:
            raise ModelError("An isotonic calibration has no curve: train the model again.")

    def apply(self, probabilities: np.ndarray, *, axis: int = -1) -> np.ndarray:
        """Calibrated probabilities, of the shape and kind of those given.

        Args:
            probabilities: of K classes, which sum to 1.
            axis: of the classes: -1 of (n, K), 0 of (K, y, x).
        """
        if self.kind == "none":
            return probabilities
        p = np.moveaxis(probabilities, axis, 0)
        if self.kind == "temperature":
            found = p ** p.dtype.type(1 / self.temperature)
            found /= np.maximum(found.sum(axis=0), np.finfo(p.dtype).tiny)
        elif self.target:
            target = self._curve(p[1])
            found = np.stack([1 - target, target])
        else:
            found = self._shared(p)
        return np.moveaxis(found, 0, axis)

    @cached_property
    def _table(self) -> np.ndarray:
        return np.interp(np.linspace(0, 1, TABLE + 1), *np.array(self.curve).T).astype(np.float32)

    def _curve(self, said: np.ndarray) -> np.ndarray:
        """The curve from a table: a tenth of the time of an interpolation, and maps have many cells."""
        return self._table.take(np.rint(said * TABLE).astype(np.int32), mode="clip").astype(said.dtype)

    def _shared(self, p: np.ndarray) -> np.ndarray:
        """Probabilities (K, ...) of which the highest follows the curve, but never below 1 / K."""
        even, best = 1 / len(p), p.argmax(axis=0)[None]
        top = np.take_along_axis(p, best, axis=0)
        wanted = np.maximum(self._curve(top), p.dtype.type(even))
        with np.errstate(divide="ignore", invalid="ignore"):  # of them only the one that is meant is taken
            kept = np.where(wanted < top, (wanted - even) / (top - even), (1 - wanted) / (1 - top))
        kept = np.where(wanted == top, 1, kept).astype(p.dtype)
        found = p * kept + np.where(wanted < top, (1 - kept) * even, 0).astype(p.dtype)
        np.put_along_axis(found, best, wanted, axis=0)
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any] | None) -> Calibration:
        """The opposite of :meth:`to_dict`; nothing is done to the probabilities of an old package (``None``).

        Raises:
            ModelError: when the facts are no calibration.
        """
        if facts is None:
            return cls()
        try:
            curve = tuple((float(said), float(true)) for said, true in facts["curve"])
            return cls(str(facts["kind"]), float(facts["temperature"]), curve, bool(facts["target"]))
        except (KeyError, TypeError, ValueError) as err:
            raise ModelError("The calibration of the package cannot be used: train the model again.") from err


UNCALIBRATED = Calibration()
"""Probabilities as the model says them."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Held-out answers: probabilities (n, K), truth, number of the group and weight, (n,) each."""

    p: np.ndarray
    truth: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    target: bool

    def part(self, which: np.ndarray) -> _Rows:
        return _Rows(self.p[which], self.truth[which], self.group[which], self.weight[which], self.target)

    @property
    def even(self) -> np.ndarray:
        """Weights (n,) with which all groups count alike."""
        _, number = np.unique(self.group, return_inverse=True)
        return np.asarray(self.weight / np.bincount(number, self.weight)[number])

    def losses(self, p: np.ndarray) -> np.ndarray:
        """Mean log loss (G,) of each group when these probabilities (n, K) are said."""
        _, number = np.unique(self.group, return_inverse=True)
        return np.bincount(number, self.even * _loss(p, self.truth))

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to learn from and rows to judge, groups kept whole."""
        return list(group_kfold(self.group, self.truth, k=FOLDS, seed=0))


def _loss(p: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(p[np.arange(len(truth)), truth], LEAST))


def _rows(
    p: np.ndarray, truth: np.ndarray, groups: np.ndarray, weights: np.ndarray | None, target: bool
) -> _Rows:
    _, number = np.unique(groups, return_inverse=True)
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)
    return _Rows(np.asarray(p, dtype=np.float64), np.asarray(truth), number, weights, target)


def fit_calibration(
    probabilities: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    target: bool = False,
) -> Calibration:
    """The calibration that serves groups best which it was not fitted on; none where none serves.

    Each kind is fitted on four fifths of the groups and judged on the last, five times. A kind is taken
    instead of a simpler one where its log loss over groups is lower by more than one standard error of the
    difference (the rule of one standard error, Breiman et al. 1984), and then fitted on all of them. With
    fewer than :data:`~jido.stats.intervals.MIN_GROUPS` groups nothing is done.

    Args:
        probabilities: (n, K) of samples whose group the model has not seen.
        truth: (n,) places of the true classes.
        groups: (n,) polygon, image or square of each sample.
        weights: (n,) number of samples that a row stands for; 1 without it.
        target: whether the second of two classes is a target that a threshold was chosen for.
    """
    rows = _rows(probabilities, truth, groups, weights, target)
    if len(np.unique(rows.group)) < MIN_GROUPS:
        return UNCALIBRATED
    if len(truth) > ROWS:
        rows = rows.part(np.random.default_rng(0).choice(len(truth), ROWS, replace=False))
    chosen, least = "none", rows.losses(rows.p)
    for kind in KINDS[1:]:
        held = rows.p.copy()
        for inside, outside in rows.folds():
            held[outside] = _FIT[kind](rows.part(inside)).apply(rows.p[outside])
        losses = rows.losses(held)
        gain = least - losses
        if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
            chosen, least = kind, losses
    return _FIT[chosen](rows)


def cross_calibrated(
    probabilities: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    target: bool = False,
) -> np.ndarray:
    """Probabilities (n, K) of each fifth of the groups after the calibration fitted on the others.

    Their figures are those to expect of new groups; of probabilities that were calibrated on themselves they
    were too good. Arguments as for :func:`fit_calibration`.
    """
    rows = _rows(probabilities, truth, groups, weights, target)
    if len(np.unique(rows.group)) < MIN_GROUPS:
        return rows.p
    found = rows.p.copy()
    for inside, outside in rows.folds():
        part = rows.part(inside)
        fitted = fit_calibration(part.p, part.truth, part.group, weights=part.weight, target=target)
        found[outside] = fitted.apply(rows.p[outside])
    return found


def calibration_facts(
    before: np.ndarray,
    after: np.ndarray,
    truth: np.ndarray,
    *,
    fitted: Calibration,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """What a report says of a calibration, JSON-ready.

    Args:
        before: (n, K) as the model says them; its class is the most probable one.
        after: (n, K) calibrated by groups other than their own; not used where the maps are not calibrated.
        truth: (n,) places of the true classes.
        fitted: the calibration of the maps, fitted on all groups.
        weights: (n,) number of samples that a row stands for.

    Returns:
        Figures of :func:`~jido.stats.calibration.calibration` after it, ``kind``, ``fitted``, and ``before``:
        the figures without the diagram.
    """
    said = before.argmax(1)
    after = before if fitted.kind == "none" else after  # parts of the groups alone may have wished for more
    figures, plain = (calibration(p, truth, said=said, weights=weights) for p in (after, before))
    del plain["reliability"]
    return {**figures, "kind": fitted.kind, "fitted": fitted.to_dict(), "before": plain}


# -- fitting -----------------------------------------------------------------------------------


def _fit_temperature(rows: _Rows) -> Calibration:
    """The temperature of the least log loss."""
    with np.errstate(divide="ignore"):
        logs = np.log(rows.p)
    weight, true = rows.even, logs[np.arange(len(rows.truth)), rows.truth]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        said = true * scale - np.log(np.exp(logs * scale).sum(axis=1))
        return float(-(weight * np.maximum(said, np.log(LEAST))).sum())

    found = minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded", options={"xatol": 1e-3})
    return Calibration("temperature", round(float(np.exp(found.x)), 6))


def _fit_isotonic(rows: _Rows) -> Calibration:
    """The curve that never falls through what comes true in bins, by least squares."""
    if rows.target:
        said, true = rows.p[:, 1], rows.truth == 1
    else:
        said, true = rows.p.max(axis=1), rows.p.argmax(axis=1) == rows.truth
    weight = rows.even
    order = np.argsort(said, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    equal = said[order][np.searchsorted(share, np.arange(1, STEPS) / STEPS)]
    place = np.searchsorted(np.unique([*np.arange(1, STEPS) / STEPS, *equal]), said, side="right")
    inside = np.bincount(place, weight)
    seen = inside > 0
    x, y = (np.bincount(place, weight * part)[seen] / inside[seen] for part in (said, true))
    pooled, inside = isotonic_regression(y, weights=inside[seen]), inside[seen]
    starts = pooled.blocks[:-1]
    middle = np.add.reduceat(inside * x, starts) / np.add.reduceat(inside, starts)
    points = np.clip(np.column_stack([middle, pooled.x[starts]]), 0, 1).tolist()
    return Calibration("isotonic", curve=tuple((a, b) for a, b in points), target=rows.target)


_FIT = {"none": lambda _: UNCALIBRATED, "temperature": _fit_temperature, "isotonic": _fit_isotonic}
