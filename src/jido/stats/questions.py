"""Which two clusters to show next: an active chooser of questions for an expert.

Every cluster has a score; an answer ``a>b``, ``a<b`` or ``a=b`` has the probability of
:mod:`jido.stats.experts` with one discrimination and threshold for all, mixed with a lapse: a share of the
answers is taken for a slip that says nothing. What is known after some answers is a normal distribution
around the most probable scores (Laplace). The next question is the pair whose answer is expected to tell
most: the largest mutual information between answer and scores (Lindley 1956, doi 10.1214/aoms/1177728069;
Houlsby et al. 2011, arXiv 1112.5745). A pair is asked once: a person would say the same again.

Discrimination, threshold and lapse were chosen once on simulated orders of 22 clusters, not on experts'.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import entr, expit, ndtr

from jido.errors import LabelsError
from jido.stats.ordering import Order, Statement, merged_neighbours, weak_order

DISCRIMINATION, THRESHOLD, LAPSE = 4.0, 1.0, 0.1
"""Of answers; the scores of clusters have a standard deviation of 1."""

EQUAL = THRESHOLD / DISCRIMINATION
"""Difference of scores at which ``=`` is about as probable as a relation."""

CANNOT_SAY = "?"
"""Sign of an answer that says nothing; its pair is not asked again."""

_NODES = np.linspace(-4, 4, 21)
"""In equal steps, which integrate these curves far more exactly than as many Gauss-Hermite nodes."""

_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()


@dataclass(frozen=True)
class Belief:
    """What is known of the scores of clusters.

    Args:
        names: the n clusters.
        score: (n,) most probable scores; higher is more developed.
        covariance: (n, n) of the scores.
    """

    names: tuple[str, ...]
    score: np.ndarray
    covariance: np.ndarray

    @property
    def levels(self) -> np.ndarray:
        """(n,) level of each cluster, 0 the lowest.

        :func:`~jido.stats.ordering.merged_neighbours` cuts the row of scores: in a level no two clusters
        differ by :data:`EQUAL` or more.
        """
        row = np.argsort(self.score, kind="stable")
        found = np.empty(len(row), dtype=int)
        gaps = np.abs(self.score[row, None] - self.score[row])
        for level, members in enumerate(merged_neighbours(gaps, EQUAL)):
            found[row[members]] = level
        return found

    def order(self) -> Order:
        """The order of the levels."""
        levels = self.levels
        of_level = [np.flatnonzero(levels == level) for level in range(levels.max(initial=-1) + 1)]
        return weak_order([self.names[i] for i in members] for members in of_level)

    def expected_right(self) -> float:
        """Expected share of the pairs that :meth:`order` has right, if answers come as the model says.

        It grows with the number of questions and hardly knows how careful the person is: after 45 questions
        on 22 clusters it says .80, where .93 of the pairs are right if no answer is wrong, and .74 if one in
        five is (``experiments/orders.py``).
        """
        one, two = np.triu_indices(len(self.names), 1)
        mean, sd = self._gaps(one, two)
        above, below = ndtr((mean - EQUAL) / sd), ndtr((-mean - EQUAL) / sd)
        levels = self.levels
        said = np.sign(levels[one] - levels[two])
        return float(np.choose(said + 1, (below, 1 - above - below, above)).mean()) if len(one) else 1.0

    def information(self) -> np.ndarray:
        """(n, n) mutual information of the answer on each pair and the scores, in bits."""
        one, two = np.triu_indices(len(self.names), 1)
        mean, sd = self._gaps(one, two)
        chance = _answers(mean[:, None] + sd[:, None] * _NODES)
        gain = entr(chance @ _WEIGHTS).sum(0) - entr(chance).sum(0) @ _WEIGHTS
        found = np.zeros((len(self.names),) * 2)
        found[one, two] = found[two, one] = gain / np.log(2)
        return found

    def _gaps(self, one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of differences of scores."""
        own = np.diag(self.covariance)
        variance = own[one] + own[two] - 2 * self.covariance[one, two]
        return self.score[one] - self.score[two], np.sqrt(np.maximum(variance, 1e-12))


def believe(
    names: Sequence[str],
    answers: Sequence[Statement],
    *,
    known: Mapping[str, float] | None = None,
    trust: float = 0.8,
) -> Belief:
    """What is known of the clusters after some answers.

    Args:
        names: the clusters.
        answers: in any sequence, also contradictory ones; the sign ``?`` says nothing.
        known: a number for every cluster that is known beforehand and expected to rise with its score: 1
            for urban and 0 for rural ones, mean nightlight, what other experts said.
        trust: correlation expected between ``known`` and the scores, 0..1.

    Raises:
        LabelsError: when an answer is about a cluster that is not in ``names`` or has an unknown sign, a
            name comes twice, or ``known`` lacks a cluster.
    """
    place = {name: i for i, name in enumerate(names)}
    if len(place) < len(names):
        raise LabelsError(f"{len(names) - len(place)} names of clusters come twice: give each once.")
    _refuse_unknown(answers, place)
    mean, sd = _prior(names, known, trust)
    told = [one for one in answers if one.sign != CANNOT_SAY]
    one, two = (np.array([place[getattr(a, side)] for a in told], dtype=int) for side in ("left", "right"))
    sign = np.array(["<=>".index(a.sign) - 1 for a in told], dtype=int)
    way = np.zeros((len(told), len(names)))  # of the difference by the scores
    way[np.arange(len(told)), one] = 1
    way[np.arange(len(told)), two] = -1
    return Belief(tuple(names), *_laplace(way, sign, mean, sd))


def next_question(belief: Belief, answers: Sequence[Statement], *, seed: int = 0) -> tuple[str, str] | None:
    """The pair to show next, or ``None`` when all have been shown.

    Args:
        belief: what is known after the answers.
        answers: given so far; their pairs are left out.
        seed: decides between pairs that would tell as much; with the same seed and answers the question
            is the same.

    Raises:
        LabelsError: when an answer is about other clusters.
    """
    one, two = np.triu_indices(len(belief.names), 1)
    place = {name: i for i, name in enumerate(belief.names)}
    _refuse_unknown(answers, place)
    shown = np.zeros((len(belief.names),) * 2, dtype=bool)
    for a in answers:
        shown[place[a.left], place[a.right]] = shown[place[a.right], place[a.left]] = True
    left = np.flatnonzero(~shown[one, two])
    if not len(left):
        return None
    gain = belief.information()[one, two][left]
    best = left[gain >= gain.max() - 1e-9]
    rng = np.random.default_rng([seed, len(answers)])
    at = rng.choice(best)
    first, second = rng.permutation([one[at], two[at]])  # which stands left must not tell anything
    return belief.names[first], belief.names[second]


def merge_insertion(names: Sequence[str]) -> Generator[tuple[str, str], str, list[str]]:
    """Questions of a sort that needs few in the worst case, a rival of the chooser.

    Yields pairs and is sent the sign of the answer; returns the names, lowest first. Equals stand side by
    side, and a pair of which nothing can be said is taken for equal. 22 names take at most 71 questions
    (Ford and Johnson 1959, doi 10.2307/2308750; Knuth, The Art of Computer Programming 3, section 5.3.1).
    """
    if len(names) < 2:
        return list(names)
    lower = {}
    for one, two in zip(names[::2], names[1::2], strict=False):
        said = yield one, two
        loser, winner = (one, two) if said == "<" else (two, one)
        lower[winner] = loser
    row = yield from merge_insertion(list(lower))
    waiting: list[tuple[str, str | None]] = [(lower[high], high) for high in row]
    waiting += [(name, None) for name in names[len(lower) * 2 :]]
    row = [waiting[0][0], *row]
    for i in _insertions(len(waiting)):
        name, high = waiting[i]
        start, end = 0, len(row) if high is None else row.index(high)
        while start < end:
            middle = (start + end) // 2
            said = yield name, row[middle]
            start, end = {">": (middle + 1, end), "<": (start, middle)}.get(said, (middle, middle))
        row.insert(start, name)
    return row


def _insertions(count: int) -> list[int]:
    """Places of waiting names in the sequence of insertion: 2 1, 4 3, 10 ... 5; the first stands already."""
    found: list[int] = []
    end, last = 3, 1
    while len(found) < count - 1:
        found += range(min(end, count) - 1, last - 1, -1)
        end, last = end + 2 * last, end
    return found


def _refuse_unknown(answers: Sequence[Statement], place: Mapping[str, int]) -> None:
    for one in answers:
        if one.left not in place or one.right not in place or one.left == one.right:
            raise LabelsError(
                f"The answer {one} is not about two of the {len(place)} clusters that are asked."
            )
        if one.sign not in ("<", ">", "=", CANNOT_SAY):
            raise LabelsError(f"The answer {one} has an unknown sign: give <, >, = or {CANNOT_SAY}.")


def _prior(names: Sequence[str], known: Mapping[str, float] | None, trust: float) -> tuple[np.ndarray, float]:
    """(n,) means and the standard deviation of scores before any answer."""
    if known is None:
        return np.zeros(len(names)), 1.0
    if missing := [name for name in names if not np.isfinite(known.get(name, np.nan))]:
        raise LabelsError(
            f"Nothing is known beforehand of {', '.join(missing)}: give a number for every cluster."
        )
    if not 0 <= trust < 1:
        raise LabelsError(f"A trust of {trust:g} is no correlation from 0 to less than 1: give 0.8, say.")
    value = np.array([known[name] for name in names], dtype=np.float64)
    if not (spread := float(value.std())):
        return np.zeros(len(names)), 1.0
    return trust * (value - value.mean()) / spread, float(np.sqrt(1 - trust**2))


def _answers(gap: np.ndarray) -> np.ndarray:
    """(3, ...) probabilities of ``<``, ``=`` and ``>`` at differences of scores."""
    above = expit(DISCRIMINATION * gap - THRESHOLD)
    below = expit(-DISCRIMINATION * gap - THRESHOLD)
    return (1 - LAPSE) * np.stack([below, 1 - above - below, above]) + LAPSE / 3


def _laplace(way: np.ndarray, sign: np.ndarray, mean: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Most probable scores and their covariance.

    Each step takes every answer for no slip with the probability that the last scores give (EM), so the
    curvature is positive; it takes these probabilities for known, which makes the covariance rather small.
    """
    score, precision = mean.copy(), np.eye(len(mean)) / sd**2
    for _ in range(100):
        gap = way @ score
        x = DISCRIMINATION * gap
        p, q = expit(x + THRESHOLD), expit(THRESHOLD - x)
        chance = _answers(gap)[sign + 1, np.arange(len(sign))]
        sound = DISCRIMINATION * (1 - LAPSE / 3 / chance)
        slope = sound * np.choose(sign + 1, (-p, q - p, q))
        pp, qq = p * (1 - p), q * (1 - q)
        bend = sound * DISCRIMINATION * np.choose(sign + 1, (pp, pp + qq, qq))
        curvature = (way.T * bend) @ way + precision
        step = np.linalg.solve(curvature, way.T @ slope - precision @ (score - mean))
        largest = float(np.abs(step).max(initial=0))
        score = score + step / max(largest, 1)
        if largest < 1e-4:
            break
    return score, np.linalg.inv(curvature)
