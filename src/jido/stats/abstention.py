"""When a map should say "unsure".

Four promises, and what each rests on:

- :func:`accept_threshold`: of the held-out samples a share of ``error`` was wrong. No promise for new ones.
- :func:`group_accept_threshold`: in a new group (an event, a scene) at most ``error`` of the answers are
  wrong, with a chance of ``trust``. It rests on exchangeable groups alone and needs ``trust / (1 - trust)``
  of them: 9 for .9.
- :func:`mean_accept_threshold`: the mean over new groups is at most ``error``. It allows for single groups
  that fail, but without assumptions it takes more groups than there are events: as many as
  ``log(1 - trust) / log(1 - error)``, 45 for .9 and .05, none of which has an error.
- :func:`pooled_accept_threshold`: of all answers in as many new groups, taken together, at most ``error`` is
  wrong, with a chance of ``trust``. For many small groups that are wrong as a whole or not at all (polygons);
  it leans on Student's t and asks for ``1 / error`` groups of one size, or more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import stdtr, stdtrit, xlog1py, xlogy
from scipy.stats import binom

from jido.errors import JidoError

NEVER = 1.01
"""A threshold above every confidence: all is unsure."""

FEW = 0.1
"""Share of a group below which its answers are judged as if they were so many (see below)."""

START = 0.3
"""Share of samples answered at the first threshold of :func:`pooled_accept_threshold`, so at least."""

_ROUNDING = 1e-9


def accept_threshold(confidence: np.ndarray, right: np.ndarray, *, error: float) -> tuple[float, float]:
    """Lowest confidence from which on at most a share ``error`` of held-out samples is wrong.

    Args:
        confidence: (n,) highest class probability of samples that the model has not seen.
        right: (n,) bool, whether the class was right.
        error: share of wrong samples accepted, 0..1.

    Returns:
        The threshold, and the share of samples at or above it. When no threshold reaches the
        aim the threshold is above 1 and the share 0: everything is unsure.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    last_of_tie = np.append(np.diff(confidence[order]) != 0, True)
    fine = np.flatnonzero((wrong <= error) & last_of_tie)
    if not len(fine):
        return NEVER, 0.0
    return float(confidence[order][fine[-1]]), float((fine[-1] + 1) / len(order))


# -- a new group -------------------------------------------------------------------------------


def group_accept_threshold(
    confidence: np.ndarray, right: np.ndarray, groups: np.ndarray, *, error: float, trust: float = 0.9
) -> tuple[float, float]:
    """Lowest confidence from which on the share of wrong answers in a new group is at most ``error``.

    Each held-out group has a confidence of its own above which its answers keep to ``error``, at every higher
    threshold too. Of G of these the one in place ceil((G + 1) trust) from below is enough for a new group
    with a chance of ``trust``: split conformal prediction with a group for a sample (Vovk et al. 2005, doi
    10.1007/b106715; the loss is 0 or 1 by group, so it is conformal risk control too, Angelopoulos et al.
    2022, arXiv 2208.02814). Groups may be of any size and difficulty; the one assumption is that the new one
    comes from where the held-out ones came from, and that the model saw none of them.

    What is promised, to the letter:

    - Wrong answers of the new group <= error x max(answers, :data:`FEW` x samples of the group). Without the
      second part one wrong answer on the top of a group were an error of 100 %.
    - The chance is over held-out groups and new group together, a new group at a time. In one of ten nothing
      is promised; there all answers may be wrong.

    Args:
        confidence: (n,) highest class probability of samples of groups that the model has not seen.
        right: (n,) bool, whether the answer was right.
        groups: (n,) event or scene of each sample.
        error: share of wrong answers accepted, 0..1.
        trust: chance that a new group keeps to it.

    Returns:
        The threshold and the share of a group answered, mean over the held-out groups; a threshold above 1
        and 0 where it cannot be promised: too few groups, or too many that have errors on their top.

    Raises:
        JidoError: when lengths differ, there is no sample, or a share is none.
    """
    by_group = _by_group(confidence, right, groups, error, trust)
    place = int(np.ceil((len(by_group) + 1) * trust - _ROUNDING))
    if place > len(by_group):
        return NEVER, 0.0
    last_bad = np.sort([_last_bad(*group, error) for group in by_group])[place - 1]
    fine = confidence[confidence > last_bad]
    if not len(fine):
        return NEVER, 0.0
    threshold = float(fine.min())
    return threshold, float(np.mean([(said >= threshold).mean() for said, _ in by_group]))


def group_error(confidence: np.ndarray, right: np.ndarray, threshold: float) -> float:
    """Share of wrong answers of one group, as :func:`group_accept_threshold` counts them."""
    answered = confidence >= threshold
    return float((answered & ~right).sum() / max(answered.sum(), FEW * len(right)))


def _last_bad(confidence: np.ndarray, right: np.ndarray, error: float) -> float:
    """Highest confidence of a group from which on too many are wrong; -inf where it never is so."""
    value, wrong, answers = _answers(confidence, right)
    bad = wrong > error * np.maximum(answers, FEW * len(right)) + _ROUNDING
    return float(value[bad].max(initial=-np.inf))


def _answers(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct confidences, highest first, with the wrong answers and the answers from each one on."""
    value, place = np.unique(-confidence, return_inverse=True)
    return -value, np.bincount(place, ~right).cumsum(), np.bincount(place).cumsum()


def _by_group(
    confidence: np.ndarray, right: np.ndarray, groups: np.ndarray, error: float, trust: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    if not len(confidence) == len(right) == len(groups) > 0:
        raise JidoError(
            f"There are {len(confidence)} confidences, {len(right)} answers judged and {len(groups)} groups: "
            "give one of each a sample, and at least one sample."
        )
    if not 0 <= error < 1 or not 0 < trust < 1:
        raise JidoError(f"error and trust are shares below 1, not {error:g} and {trust:g}.")
    if np.isnan(confidence).any():
        raise JidoError("A confidence is no number: leave out what was not seen.")
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.asarray(groups)[order][1:] != np.asarray(groups)[order][:-1]) + 1
    right = np.asarray(right, dtype=bool)
    return [(confidence[part], right[part]) for part in np.split(order, starts)]


# -- the mean over new groups ------------------------------------------------------------------


def mean_accept_threshold(
    confidence: np.ndarray,
    right: np.ndarray,
    groups: np.ndarray,
    *,
    error: float,
    trust: float = 0.9,
    bound: str = "betting",
    steps: int = 100,
) -> tuple[float, float]:
    """Lowest confidence for which the mean over new groups of the share of wrong answers is <= ``error``.

    Learn then test (Angelopoulos et al. 2021, arXiv 2110.01052): thresholds are tested from the highest down,
    each against "the mean is above ``error``", until one is not refuted at 1 - ``trust`` (fixed sequence, so
    no correction for many tests). With a chance of ``trust`` over held-out groups the mean over all groups of
    their kind keeps to it; some groups will not. The share of a group is that of :func:`group_error`.

    Args:
        confidence: (n,) of samples of groups that the model has not seen.
        right: (n,) bool.
        groups: (n,) event or scene of each sample.
        error: mean share of wrong answers accepted.
        trust: chance that the threshold keeps to it.
        bound: of :data:`BOUNDS`.
        steps: thresholds that are tested.

    Returns:
        As :func:`group_accept_threshold`.

    Raises:
        JidoError: also when the bound is unknown.
    """
    if bound not in BOUNDS:
        raise JidoError(f"{bound!r} is no bound of a mean: choose of {', '.join(BOUNDS)}.")
    by_group = _by_group(confidence, right, groups, error, trust)
    found = NEVER
    for threshold in np.unique(np.quantile(confidence, np.linspace(0, 1, steps), method="lower"))[::-1]:
        losses = np.array([group_error(*group, threshold) for group in by_group])
        if BOUNDS[bound](losses, error) > 1 - trust:
            break
        found = float(threshold)
    return found, float(np.mean([(said >= found).mean() for said, _ in by_group]))


def t_p_value(losses: np.ndarray, mean: float) -> float:
    """Chance of losses as low as these when their mean is above ``mean``, Student's t.

    Assumes that means of so few groups are normal. One group in twenty that fails as a whole is not seen in
    ten groups, so it promises too much where losses are skewed, most where none of the groups has any.
    """
    if len(losses) < 2 or losses.mean() >= mean:
        return 1.0
    spread = losses.std(ddof=1)
    if spread == 0:
        return 0.0
    return float(stdtr(len(losses) - 1, (losses.mean() - mean) / spread * np.sqrt(len(losses))))


def hoeffding_bentkus_p_value(losses: np.ndarray, mean: float) -> float:
    """The same for independent losses 0..1 of any distribution (Bates et al. 2021, arXiv 2101.02703)."""
    n, seen = len(losses), float(losses.mean())
    if seen >= mean:
        return 1.0
    apart = xlogy(seen, seen / mean) + xlog1py(1 - seen, (mean - seen) / (1 - mean)) if mean > 0 else 0.0
    bentkus = np.e * binom.cdf(np.ceil(n * seen - _ROUNDING), n, mean)
    return float(min(np.exp(-n * apart), bentkus, 1.0))


def betting_p_value(losses: np.ndarray, mean: float, *, stakes: int = 50) -> float:
    """The same, from bets on losses below ``mean`` (Waudby-Smith and Ramdas 2024, arXiv 2010.09686).

    Wealth after all bets, prod(1 + stake (mean - loss)), averaged over a grid of fixed stakes from 0 up to
    1 / (1 - mean): its mean is 1 at most if the losses' mean is above ``mean``, so 1 / wealth is a p-value
    (Ville, Markov). Independent losses 0..1 of any distribution; the order of groups does not matter.
    """
    stake = np.linspace(0, 1, stakes) / (1 - mean)
    with np.errstate(divide="ignore"):
        wealth = np.exp(np.log(1 + stake[:, None] * (mean - losses)).sum(axis=1)).mean()
    return float(min(1 / wealth, 1.0))


BOUNDS: dict[str, Callable[[np.ndarray, float], float]] = {
    "betting": betting_p_value,
    "hoeffding-bentkus": hoeffding_bentkus_p_value,
    "t": t_p_value,
}
"""p-values of "the mean is above": the first two hold for any distribution."""


# -- all answers of new groups together --------------------------------------------------------


def pooled_accept_threshold(
    confidence: np.ndarray,
    right: np.ndarray,
    groups: np.ndarray,
    *,
    error: float,
    trust: float = 0.9,
    weights: np.ndarray | None = None,
    steps: int = 100,
) -> tuple[float, float]:
    """Lowest confidence from which on at most ``error`` of the answers in as many new groups is wrong.

    A group loses its wrong answers less ``error`` times its answers; the share of wrong ones among all
    answers keeps to ``error`` where the mean loss is not above 0. Of the G held-out groups and G new ones
    that mean may differ by t s sqrt(2 / G): Student's t of a prediction, s the standard deviation of the
    losses. Groups are of many sizes and few of them fail, for which t alone promises too much, so:

    - the group with the highest loss stands twice, as the new group does in conformal risk control
      (Angelopoulos et al. 2022, arXiv 2208.02814, equation 4), there with the highest loss that is possible;
    - half of the chance to fail, (1 - ``trust``) / 2, is given to t;
    - thresholds are tested downwards until one is not refuted (as in :func:`mean_accept_threshold`), from
      that on which :data:`START` of the samples are answered: higher ones rest on a few groups;
    - fewer than ``1 / error`` groups promise nothing, for one that fails as a whole would break it alone;
      groups of different sizes count as fewer, (sum of sizes)^2 / sum of squares (Kish 1965).

    Distribution-free it is not: what it is worth is measured in ``experiments/calibration.py``. Where groups
    of very different sizes fail as a whole the chance may be .87, not .9 (``tests/test_abstention.py``).
    Nothing is promised of a single group.

    Args:
        confidence: (n,) of samples of groups that the model has not seen.
        right: (n,) bool.
        groups: (n,) polygon, image or square of each sample.
        error: share of wrong answers accepted, 0..1.
        trust: chance that as many new groups keep to it.
        weights: (n,) number of samples that a row stands for; 1 without it.
        steps: thresholds that are tried, quantiles of the confidence.

    Returns:
        The threshold and the share of all samples answered; a threshold above 1 and 0 where nothing can be
        promised.

    Raises:
        JidoError: as :func:`group_accept_threshold`.
    """
    _by_group(confidence, right, groups, error, trust)
    weights = np.ones(len(confidence)) if weights is None else weights
    size = np.bincount(np.unique(groups, return_inverse=True)[1], weights)
    if error * size.sum() ** 2 < (size**2).sum() * (1 - _ROUNDING):
        return NEVER, 0.0
    tried = np.unique(np.quantile(confidence, np.linspace(0, 1, steps), method="lower"))
    answers, wrong = _from_each_on(confidence, right, groups, weights, tried)
    losses = wrong - error * answers
    losses = np.column_stack([losses, losses.max(axis=1)])
    count = losses.shape[1]
    reach = stdtrit(count - 1, (1 + trust) / 2) * np.sqrt(1 / count + 1 / len(size))
    refuted = losses.mean(axis=1) + reach * losses.std(axis=1, ddof=1) <= _ROUNDING
    share = answers.sum(axis=1) / weights.sum()
    first = int(np.flatnonzero(share >= START)[-1])  # shares fall as thresholds rise
    held = np.append(np.flatnonzero(~refuted[: first + 1]), -1).max() + 1
    if held > first:
        return NEVER, 0.0
    return float(tried[held]), float(share[held])


def _from_each_on(
    confidence: np.ndarray, right: np.ndarray, groups: np.ndarray, weights: np.ndarray, tried: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Answers and wrong answers (T, G) of each group from each threshold (T,) on, which rise."""
    _, number = np.unique(groups, return_inverse=True)
    cell = (np.searchsorted(tried, confidence, side="right") - 1) * (number.max() + 1) + number
    shape = len(tried), int(number.max()) + 1
    counts = (np.bincount(cell, part, shape[0] * shape[1]) for part in (weights, weights * (1.0 - right)))
    answers, wrong = (part.reshape(shape)[::-1].cumsum(axis=0)[::-1] for part in counts)
    return answers, wrong
