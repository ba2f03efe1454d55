"""How the errors of a map differ between events: random coefficients of shares of cells.

Of what a map calls dry a share ``alpha`` is flooded in truth, of what it calls flooded a share ``beta``: a
cell of which the map says p has

    t = alpha (1 - p) + beta p + gamma 4 p (1 - p) + what the cell errs on its own

where ``gamma`` is what mixed cells, at the shore, err beside that. Each event has its own three, drawn about
a mean (Swamy 1970, doi 10.2307/1913012). What cells err on their own has a variance that is one number in
each step of p, so a few sums by event and step are all that is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS = (0.02, 0.1, 0.3, 0.7, 0.9, 0.98)
"""Shares between which cells err alike on their own."""

PERFECT = np.array([0.0, 1.0, 0.0])
"""alpha, beta and gamma of a map without an error."""

LEAST = 1e-4
"""Least variance, share², of a cell's own error: no cell is known to better than a hundredth."""

ROUNDS = 300
_TINY = 1e-8
_SETTLED = 1e-6


@dataclass(frozen=True, eq=False)
class Effects:
    """What E events differ by, and what their cells err.

    Args:
        mean: of alpha, beta and gamma over events, (3,).
        between: their covariance, (3, 3).
        within: variance of a cell's own error in each step of p, (S,).
        each: the three of each event, (E, 3).
        events: E.
    """

    mean: np.ndarray
    between: np.ndarray
    within: np.ndarray
    each: np.ndarray
    events: int

    def line(self, p: np.ndarray) -> np.ndarray:
        """Mean true shares of cells of which the map says p."""
        return parts(p) @ self.mean

    def common(self, x: np.ndarray) -> np.ndarray:
        """Variance over new events of x (..., 3) times the three, their mean known from E events."""
        return (1 + 1 / self.events) * np.maximum(np.einsum("...i,ij,...j->...", x, self.between, x), 0)

    def own(self, p: np.ndarray) -> np.ndarray:
        """Variance of the own errors of cells; NaN where p is."""
        return np.where(np.isnan(p), np.nan, self.within[np.digitize(np.nan_to_num(p), STEPS)])


def parts(p: np.ndarray) -> np.ndarray:
    """What alpha, beta and gamma are multiplied by in cells of which the map says p, (..., 3)."""
    return np.stack([1 - p, p, 4 * p * (1 - p)], axis=-1)


@dataclass(frozen=True, eq=False)
class EventSums:
    """Sums over the cells of each event and step of p, with x of :func:`parts`.

    Args:
        count: of cells, (E, S).
        xx: products of x with itself, (E, S, 3, 3).
        xt: with the true shares, (E, S, 3).
        tt: of these with themselves, (E, S).
    """

    count: np.ndarray
    xx: np.ndarray
    xt: np.ndarray
    tt: np.ndarray

    @classmethod
    def of(cls, p: np.ndarray, t: np.ndarray, owner: np.ndarray) -> EventSums:
        """Of cells (n,) of the events 0, 1, ... (n,)."""
        events, steps = int(owner.max()) + 1, len(STEPS) + 1
        place, x = owner * steps + np.digitize(p, STEPS), parts(p).T

        def summed(part: np.ndarray) -> np.ndarray:
            return np.bincount(place, part, minlength=events * steps).reshape(events, steps)

        xx = np.array([[summed(one * two) for two in x] for one in x])
        xt = np.array([summed(one * t) for one in x])
        return cls(summed(np.ones(len(p))), xx.transpose(2, 3, 0, 1), xt.transpose(1, 2, 0), summed(t * t))

    def without(self, event: int) -> EventSums:
        """The sums of the other events."""
        return EventSums(*(np.delete(part, event, axis=0) for part in vars(self).values()))

    def own_variance(self, each: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Mean squared residual in each step (S,), events weighing alike; the largest where no cell is.

        Args:
            each: alpha, beta and gamma of the events, (E, 3).
            spread: how well these are known, (E, 3, 3).
        """
        fitted = np.einsum("ei,esij,ej->es", each, self.xx, each)
        unsure = np.einsum("eij,esij->es", spread, self.xx)
        squares = np.maximum(self.tt - 2 * np.einsum("ei,esi->es", each, self.xt) + fitted, 0) + unsure
        share = 1 / self.count.sum(axis=1, keepdims=True)
        cells = (share * self.count).sum(axis=0)
        found = (share * squares).sum(axis=0) / np.where(cells > 0, cells, 1)
        return np.maximum(np.where(cells > 0, found, found.max()), LEAST)


def fit_effects(sums: EventSums, *, start: Effects | None = None) -> Effects:
    """Random coefficients by EM (Laird and Ware 1982, doi 10.2307/2529876), with E - 1 in the covariance.

    With E in its place, as maximum likelihood has it, few events come out too much alike. Events weigh alike,
    however many cells they have; an event without flooded cells says little of beta, and its beta is
    taken to vary as the others' does. The mean is drawn towards a map without an error as far as so few
    events leave it open: by d² / (d² + variance of the mean) for a distance d.

    Args:
        sums: of at least 2 events.
        start: a fit of nearly the same events, to be quick.
    """
    events, steps = sums.count.shape
    mean, between, within = PERFECT, 0.05 * np.eye(3), np.full(steps, 0.05)
    if start is not None:
        mean, between, within = start.each.mean(axis=0), start.between, start.within
    each = np.tile(mean, (events, 1))
    for _ in range(ROUNDS):
        prior = np.linalg.inv(between + _TINY * np.eye(3))
        spread = np.linalg.inv(prior + np.einsum("s,esij->eij", 1 / within, sums.xx))
        known = np.einsum("s,esi->ei", 1 / within, sums.xt)
        each = np.einsum("eij,ej->ei", spread, prior @ mean + known)
        old, mean = np.concatenate([mean, between.ravel(), within]), each.mean(axis=0)
        between = (each - mean).T @ (each - mean) / (events - 1) + spread.mean(axis=0)
        within = sums.own_variance(each, spread)
        if np.abs(np.concatenate([mean, between.ravel(), within]) - old).max() < _SETTLED:
            break
    square = (mean - PERFECT) ** 2
    sure = square / (square + np.diag(between) / events + _TINY)
    return Effects(PERFECT + sure * (mean - PERFECT), between, within, each, events)
