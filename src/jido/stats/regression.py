"""Straight lines through few rows: least squares, correlation, mediation, moderation, a split point.

Intervals are percentiles of figures of rows, or whole groups of rows, drawn anew; they follow a skewed
figure, such as an indirect effect. They are taken at Phi(+-t sqrt(G / (G - 1))), t of G - 1 degrees of
freedom, since those of G few groups come out too narrow (the expanded percentile interval of Hesterberg
2015, doi 10.1080/00031305.2015.1089789). What causes what no figure here can tell: the study must.
Rows with a NaN anywhere are left out; all raise a :class:`JidoError` when what is left is too little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import orth
from scipy.special import ndtr, stdtrit

from jido.errors import JidoError
from jido.stats.intervals import MIN_GROUPS, Figure, figure

_MOST_SPLITS = 400  # split points that are tried; of more, some between are left out
_SINGULAR = 1e8  # condition of the predictors' correlations from which on they say the same
_NO_SPREAD = 1e-9  # what rounding leaves of a spread of 0, relative to the largest number
_AT_ONCE = 4_000_000  # weights of drawn rows held at a time


@dataclass(frozen=True, eq=False)
class Resampling:
    """What is one piece of evidence, how much it weighs, how often it is drawn.

    Args:
        groups: (n,), rows of a group are drawn together; each row by itself when not given.
        weights: (n,) at least 0, for weighted least squares; all alike when not given.
        level: coverage aimed at.
        draws: of the bootstrap, at least 100.
        seed: of the draws.
    """

    groups: np.ndarray | None = None
    weights: np.ndarray | None = None
    level: float = 0.95
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.draws < 100:
            raise JidoError(
                f"level lies between 0 and 1 and draws are at least 100, not {self.level} and {self.draws}."
            )


ROWS = Resampling()  # one by one, all alike


@dataclass(frozen=True)
class Coefficient:
    """Slope in units of outcome per unit of predictor, and in standard deviations of both."""

    name: str
    raw: Figure
    standardised: Figure


@dataclass(frozen=True)
class Regression:
    """Outcome = intercept + sum of slope x predictor, of n rows in groups; r2 is the share explained."""

    intercept: Figure
    coefficients: tuple[Coefficient, ...]
    r2: Figure
    n: int
    groups: int

    def __getitem__(self, name: str) -> Coefficient:
        return next(one for one in self.coefficients if one.name == name)


@dataclass(frozen=True)
class Correlated:
    """Correlation of two columns: of values (Pearson) and of ranks (Spearman)."""

    pearson: Figure
    spearman: Figure
    n: int


@dataclass(frozen=True)
class Mediation:
    """The way through a mediator: total = direct + indirect, indirect = a b.

    ``a`` is mediator per predictor; ``b`` outcome per mediator with the predictor held fixed, ``direct``
    the other way round; ``standardised`` is a b in standard deviations of outcome and predictor.
    """

    a: Figure
    b: Figure
    direct: Figure
    total: Figure
    indirect: Figure
    standardised: Figure
    n: int


@dataclass(frozen=True)
class Moderation:
    """Change of a slope per unit of a moderator, raw and in standard deviations; slopes at its values."""

    interaction: Figure
    standardised: Figure
    slopes: tuple[tuple[float, Figure], ...]
    n: int


@dataclass(frozen=True)
class Threshold:
    """Two lines, one ``below`` and one ``above`` a value of a column, against a single line.

    ``at`` is the largest value of the lower part; an interval that ends at the first or last value
    ``searched`` may go on. ``sup_f`` is n (S0 - S1) / S1, squares left by one line and by two; ``p`` that
    one line shows as much. The intervals of the two lines take the split for known.
    """

    at: Figure
    searched: tuple[float, float]
    sup_f: float
    p: float
    below: Regression
    above: Regression


def ols(y: np.ndarray, x: np.ndarray, *, names: Sequence[str], resampling: Resampling = ROWS) -> Regression:
    """(Weighted) least squares of an outcome (n,) on predictors (n, p); rows with a NaN are left out.

    Raises:
        JidoError: when rows are too few, a column is flat or follows from others, or lengths differ.
    """
    rows = Rows.complete(y, x, resampling=resampling)
    p = rows.values.shape[1] - 1
    if len(names) != p:
        raise JidoError(f"{p} predictors have {len(names)} names: give one for each.")
    rows.require_different(("outcome", *names))

    def statistic(weights: np.ndarray) -> np.ndarray:
        mean, cov = moments(weights, rows.values)
        slope, sd = slopes(cov, range(1, p + 1), 0), np.sqrt(np.einsum("dii->di", cov))
        r2 = (slope * cov[:, 0, 1:]).sum(axis=1) / cov[:, 0, 0]
        start = mean[:, 0] - (slope * mean[:, 1:]).sum(axis=1)
        return np.column_stack([start, slope, slope * sd[:, 1:] / sd[:, :1], r2])

    start, *found, r2 = rows.figures(statistic)
    pairs = zip(names, found[:p], found[p:], strict=True)
    return Regression(start, tuple(Coefficient(*one) for one in pairs), r2, len(rows.values), rows.count)


def correlate(x: np.ndarray, y: np.ndarray, *, resampling: Resampling = ROWS) -> Correlated:
    """Pearson's and Spearman's correlation of two columns (n,); every draw is ranked anew."""
    rows = Rows.complete(y, x, resampling=resampling)
    rows.require_different(("second column", "first column"))

    def statistic(weights: np.ndarray) -> np.ndarray:
        raw = [np.broadcast_to(column - column.mean(), weights.shape) for column in rows.values.T]
        ranks = [mid_ranks(weights, column) for column in rows.values.T]
        return np.column_stack([_r(weights, *raw), _r(weights, *ranks)])

    pearson, spearman = rows.figures(statistic)
    return Correlated(pearson, spearman, len(rows.values))


def mediate(
    y: np.ndarray,
    x: np.ndarray,
    mediator: np.ndarray,
    *,
    given: np.ndarray | None = None,
    resampling: Resampling = ROWS,
) -> Mediation:
    """Indirect effect a b: mediator ~ predictor gives a, outcome ~ predictor + mediator gives b.

    Baron and Kenny 1986, doi 10.1037/0022-3514.51.6.1173; interval from rows drawn anew, Preacher and
    Hayes 2008, doi 10.3758/BRM.40.3.879. It is an effect only if nothing else moves mediator and outcome:
    what may do so is held fixed in every line with ``given``, covariates (n, k).
    """
    rows = Rows.complete(y, x, mediator, *([] if given is None else [given]), resampling=resampling)
    more = range(3, rows.values.shape[1])
    rows.require_different(("outcome", "predictor", "mediator", *(f"covariate {i - 2}" for i in more)))

    def statistic(weights: np.ndarray) -> np.ndarray:
        _, cov = moments(weights, rows.values)
        a, total = (slopes(cov, [1, *more], outcome)[:, 0] for outcome in (2, 0))
        direct, b = slopes(cov, [1, 2, *more], 0)[:, :2].T
        unit = np.sqrt(cov[:, 1, 1] / cov[:, 0, 0])
        return np.column_stack([a, b, direct, total, a * b, a * b * unit])

    a, b, direct, total, indirect, standardised = rows.figures(statistic)
    return Mediation(a, b, direct, total, indirect, standardised, len(rows.values))


def moderate(
    y: np.ndarray, x: np.ndarray, by: np.ndarray, *, at: Sequence[float] = (), resampling: Resampling = ROWS
) -> Moderation:
    """Outcome ~ predictor + moderator + product, and slopes where the moderator ``by`` has values ``at``.

    Aiken and West 1991, ISBN 0-7619-0712-2: the slope at a value is that of the predictor when the
    moderator is counted from there. Without ``at``: mean - sd, mean, mean + sd.
    """
    rows = Rows.complete(y, x, by, resampling=resampling)
    rows.require_different(("outcome", "predictor", "moderator"))
    (mean,), (cov,) = moments(rows.weights[None], rows.values)
    sd, (outcome, one, two) = np.sqrt(np.diag(cov)), (rows.values - mean).T

    def fit(outcome: np.ndarray, one: np.ndarray, two: np.ndarray) -> Regression:
        design, names = np.column_stack([one, two, one * two]), ("predictor", "moderator", "product")
        return ols(outcome, design, names=names, resampling=rows.same())

    places = at or (mean[2] + sd[2] * np.array([-1, 0, 1])).tolist()
    simple = tuple((p, fit(outcome, one, two + mean[2] - p)["predictor"].raw) for p in places)
    standardised = fit(outcome / sd[0], one / sd[1], two / sd[2])["product"].raw
    return Moderation(fit(outcome, one, two)["product"].raw, standardised, simple, len(one))


def threshold(
    y: np.ndarray,
    x: np.ndarray,
    by: np.ndarray,
    *,
    names: Sequence[str],
    trim: float = 0.15,
    resampling: Resampling = ROWS,
) -> Threshold:
    """The value of a column at which one line breaks into two (Hansen 2000, doi 10.1111/1468-0262.00124).

    Outcome (n,) on predictors (n, p), whose intercept and slopes may all break where ``by`` (n,) passes a
    value that leaves a share ``trim`` of the rows on each side. p holds x fixed and draws the residuals of
    one line / (1 - leverage) times normal numbers, one a group (Hansen 1996, doi 10.2307/2171789). The
    interval spans all splits with S - S1 up to -2 ln(1 - sqrt(level)) s², s² of the residuals near the split,
    weighted by what the two lines differ there (Gaussian kernel, his nuisance term). It takes rows for
    independent and supposes that there is a split.

    Raises:
        JidoError: as :func:`ols`, and when no value leaves enough rows on both sides.
    """
    rows = Rows.complete(y, x, by, resampling=resampling)
    asked, (n, k), root = rows.resampling, rows.values.shape, np.sqrt(rows.weights)
    column, target = rows.values[:, -1], rows.values[:, 0] * root
    design = np.column_stack([np.ones(n), rows.values[:, 1:-1]]) * root[:, None]
    splits, line = _splits(column, trim, least=k + 1), orth(design)
    rest = (target - line @ (line.T @ target)) / np.maximum(1 - (line**2).sum(axis=1), _NO_SPREAD)
    noise = np.random.default_rng(asked.seed).standard_normal((rows.count, asked.draws))[rows.owner]
    both = np.column_stack([target, rest[:, None] * noise])
    sides = [(column <= split)[:, None] for split in splits]
    two = np.stack([_squares_left(both, np.hstack([design * low, design * ~low])) for low in sides])
    with np.errstate(divide="ignore"):  # two lines that fit exactly
        f = n * (_squares_left(both, design) / two.min(axis=0) - 1)
    at = splits[best := int(two[:, 0].argmin())]
    reach = -2 * np.log(1 - np.sqrt(asked.level)) * _noise(target, design, column, at)
    near = splits[two[:, 0] - two[best, 0] <= reach]
    below, above = (
        ols(rows.values[side, 0], rows.values[side, 1:-1], names=names, resampling=rows.same(side))
        for side in (column <= at, column > at)
    )
    p = float((1 + (f[1:] >= f[0]).sum()) / (asked.draws + 1))
    interval, searched = figure(at, near.min(), near.max()), (float(splits[0]), float(splits[-1]))
    return Threshold(interval, searched, float(f[0]), p, below, above)


def _splits(column: np.ndarray, trim: float, *, least: int) -> np.ndarray:
    """Values that leave at least ``trim`` of the rows, and ``least`` rows, on each side."""
    values, counts = np.unique(column, return_counts=True)
    below, enough = counts.cumsum(), max(trim * len(column), least)
    found = values[(below >= enough) & (len(column) - below >= enough)]
    if not 0 < trim < 0.5 or not len(found):
        raise JidoError(
            f"No value splits {len(column)} rows so that {enough:g} are on each side (trim {trim:g}, which "
            "lies between 0 and 0.5): give more rows."
        )
    return found[np.unique(np.linspace(0, len(found) - 1, _MOST_SPLITS).round().astype(int))]


def _squares_left(targets: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Squares (D,) that columns (n, D) keep when a design (n, k) has explained what it can."""
    basis = orth(design)
    return np.asarray(((targets - basis @ (basis.T @ targets)) ** 2).sum(axis=0))


def _noise(target: np.ndarray, design: np.ndarray, column: np.ndarray, at: float) -> float:
    """Variance of the residuals near a split, weighted by the squared difference of the two lines."""
    low = column <= at
    below, above = (np.linalg.lstsq(design[side], target[side])[0] for side in (low, ~low))
    rest = target - np.where(low, design @ below, design @ above)
    width = 1.06 * column.std() * len(column) ** -0.2
    near = np.exp(-(((column - at) / width) ** 2) / 2) * (design @ (above - below)) ** 2
    return float(near @ rest**2 / near.sum()) if near.sum() > 0 else np.inf


@dataclass(frozen=True, eq=False)
class Rows:
    """Complete rows: values (n, k), outcome first, weights (n,) of mean 1, group 0..count-1 of each (n,)."""

    values: np.ndarray
    weights: np.ndarray
    owner: np.ndarray
    count: int
    resampling: Resampling

    @classmethod
    def complete(cls, *columns: np.ndarray, resampling: Resampling) -> Rows:
        """Columns (n,) or (n, k) side by side, without rows that lack a number or weigh nothing."""
        n, groups, weights = len(columns[0]), resampling.groups, resampling.weights
        weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        groups = np.arange(n) if groups is None else np.asarray(groups)
        if lengths := {len(part) for part in (*columns, weights, groups)} - {n}:
            raise JidoError(f"The outcome has {n} rows, another column {lengths.pop()}: they must be alike.")
        values = np.column_stack([np.asarray(part, dtype=np.float64) for part in columns])
        if np.isinf(values).any():
            raise JidoError("A column is infinite somewhere, like the logarithm of 0: leave it NaN there.")
        if not (weights >= 0).all():
            raise JidoError("A weight is below 0 or missing: give 0 to rows that are not to count.")
        used = np.isfinite(values).all(axis=1) & (weights > 0)
        if used.sum() < (least := values.shape[1] + 2):
            raise JidoError(f"{used.sum()} of {n} rows are complete: at least {least} are needed.")
        names, owner = np.unique(groups[used], return_inverse=True)
        return cls(values[used], weights[used] / weights[used].mean(), owner, len(names), resampling)

    def same(self, side: np.ndarray | slice = slice(None)) -> Resampling:
        """As it was asked for, of these rows or some of them."""
        return replace(self.resampling, groups=self.owner[side], weights=self.weights[side])

    def require_different(self, names: Sequence[str]) -> None:
        """Refuse columns that do not vary, and predictors that follow from others."""
        _, cov = moments(self.weights[None], self.values)
        flat = ~(np.sqrt(np.diag(cov[0])) > _NO_SPREAD * np.abs(self.values).max(axis=0))
        if flat.any():
            raise JidoError(
                f"Column {names[int(flat.argmax())]!r} is the same in all {len(self.values)} rows."
            )
        if np.isnan(slopes(cov, range(1, len(names)), 0)).any():
            raise JidoError(f"Of {', '.join(names[1:])} one follows from the others: leave it out.")

    def figures(self, statistic: Callable[[np.ndarray], np.ndarray]) -> list[Figure]:
        """Figures of a statistic of the weights of rows, (D, n) -> (D, M), with intervals.

        Without bounds below 5 groups, where too many draws are undefined, and where all draws agree.
        """
        (point,), groups, level = statistic(self.weights[None]), self.count, self.resampling.level
        if groups < MIN_GROUPS:
            return [figure(value) for value in point]
        rng, even = np.random.default_rng(self.resampling.seed), np.full(groups, 1 / groups)
        step, draws = max(1, _AT_ONCE // len(self.owner)), self.resampling.draws
        sizes = (min(step, draws - start) for start in range(0, draws, step))
        times = (rng.multinomial(groups, even, size=size)[:, self.owner] for size in sizes)
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw of few different rows
            drawn = np.concatenate([statistic(part * self.weights) for part in times])
        reach = stdtrit(groups - 1, (1 + level) / 2) * np.sqrt(groups / (groups - 1))
        found, tails = [], [ndtr(-reach), ndtr(reach)]
        for value, sample in zip(point, drawn.T, strict=True):
            known = sample[np.isfinite(sample)]
            few = len(known) < level * len(sample)
            alike = few or np.ptp(known) <= _NO_SPREAD * np.abs(known).max()
            found.append(figure(value) if alike else figure(value, *np.quantile(known, tails)))
        return found


def moments(weights: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means (D, k) and covariances (D, k, k) of columns (n, k) for weights (D, n)."""
    shift, total = values.mean(axis=0), weights.sum(axis=1)[:, None]
    apart = values - shift
    mean = weights @ apart / total
    pairs = (apart[:, :, None] * apart[:, None, :]).reshape(len(values), -1)
    square = (weights @ pairs / total).reshape(-1, len(shift), len(shift))
    return mean + shift, square - mean[:, :, None] * mean[:, None, :]


def slopes(cov: np.ndarray, predictors: Sequence[int], outcome: int) -> np.ndarray:
    """Least-squares slopes (D, p) from covariances (D, k, k); NaN where predictors say the same."""
    chosen = list(predictors)
    sd = np.sqrt(np.maximum(np.einsum("dii->di", cov), 0))[:, chosen]
    flat = (sd <= 1e-6 * sd.max(axis=0)).any(axis=1)  # what rounding leaves
    size = np.where(flat[:, None], 1, sd)  # correlations are solved: units do not matter
    likeness = cov[:, chosen][:, :, chosen] / (size[:, :, None] * size[:, None, :])
    bad = flat | (np.linalg.cond(likeness) > _SINGULAR)
    likeness[bad] = np.eye(len(chosen))
    found = np.linalg.solve(likeness, (cov[:, chosen, outcome] / size)[..., None])[..., 0] / size
    return np.where(bad[:, None], np.nan, found)


def mid_ranks(weights: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Ranks (D, n) of a column (n,) whose rows stand for weights (D, n); ties share the middle."""
    place = np.unique(column, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    mass = np.add.reduceat(weights[:, order], np.flatnonzero(np.diff(place[order], prepend=-1)), axis=1)
    return np.asarray((mass.cumsum(axis=1) - mass / 2)[:, place])


def _r(weights: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Weighted correlation (D,) of columns (D, n)."""
    total = weights.sum(axis=1, keepdims=True)
    one, two = (part - (weights * part).sum(axis=1, keepdims=True) / total for part in (one, two))
    cross, first, second = ((weights * a * b).sum(axis=1) for a, b in ((one, two), (one, one), (two, two)))
    return np.asarray(cross / np.sqrt(first * second))
