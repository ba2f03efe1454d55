"""Ridge regression with nested folds, and the floors that it has to beat: neighbours, a constant.

A penalty that is chosen by the folds that also judge flatters. Here every outer training part chooses its
own, by inner folds of its own rows, and standardises with their mean and spread alone (the protocol of Jean
et al. 2016, doi 10.1126/science.aaf7894: penalties 10^-2 to 10^5). Inner folds keep whole what the outer ones
do: a random inner split would pick the penalty that is best at recognising the neighbour.

The algebra is ours: scikit-learn's ``GridSearchCV`` forms the cross-products anew for each penalty, its fast
``RidgeCV`` leaves out single rows, never groups, and its neighbours cannot know that they are on a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from jido.errors import FoldsError, JidoError
from jido.labels.folds import group_kfold

ALPHAS = tuple(10.0**power for power in range(-2, 6))
NEIGHBOURS = tuple(2**power for power in range(11))

Splits = np.ndarray | Iterable[tuple[np.ndarray, np.ndarray]]
"""Labels (n,), each of them tested by the others, or pairs of training and test rows, like ``Folds``."""

_Path = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""x (n, p), y (n,), new rows (m, p), settings (S,) -> predictions (S, m)."""

_LEAST = 1e-6  # penalty below which rounding may decide
_NO_SPREAD = 1e-9  # what rounding leaves of a spread of 0, relative to the largest number


@dataclass(frozen=True, eq=False)
class Ridge:
    """A line on standardised features: intercept + ((x - mean) / sd) @ coef.

    Args:
        coef: (p,) in units of the outcome per standard deviation of a feature.
        intercept: mean of the outcome in training.
        mean: (p,) of the features in training.
        sd: (p,) of the features in training, 1 where a feature did not vary (its ``coef`` is 0).
        alpha: the penalty, as a sum of squares over rows: alpha |coef|².
    """

    coef: np.ndarray
    intercept: float
    mean: np.ndarray
    sd: np.ndarray
    alpha: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Features (m, p) -> outcome (m,); a row that lacks a number gets NaN.

        Raises:
            JidoError: when the number of features is another one.
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.coef):
            raise JidoError(f"The line has {len(self.coef)} features, not an array of shape {x.shape}.")
        return np.asarray(self.intercept + (x - self.mean) / self.sd @ self.coef)


@dataclass(frozen=True, eq=False)
class Nested:
    """Predictions of rows that their model has not seen, and what each fold chose.

    Args:
        predicted: (n,) NaN where a row is in no test part.
        chosen: (F,) penalty, or number of neighbours, of each fold.
        tried: (S,) among which was chosen.
        error: (F, S) mean squared error of the inner folds, NaN where there was no choice.
    """

    predicted: np.ndarray
    chosen: np.ndarray
    tried: np.ndarray
    error: np.ndarray

    @property
    def at_edge(self) -> bool:
        """Whether a fold chose the smallest or largest on offer: a wider range may do better."""
        return len(self.tried) > 1 and bool(np.isin(self.chosen, self.tried[[0, -1]]).any())


def nested_ridge(
    x: np.ndarray,
    y: np.ndarray,
    folds: Splits,
    *,
    alphas: Sequence[float] = ALPHAS,
    inner: int = 5,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Nested:
    """Ridge regression under outer folds, its penalty chosen by inner folds of each training part.

    One product of the standardised features with themselves serves all penalties: of p columns, or of n rows
    where p > n; then a Cholesky factor for each (8 of them take less than half the time of one ``eigh``).

    Args:
        x: (n, p) features; columns that do not vary are allowed.
        y: (n,) outcome.
        folds: labels (n,), or pairs of training and test rows.
        alphas: penalties to choose among, for features of standard deviation 1; one needs no inner folds.
        inner: number of inner folds, fewer where a training part has fewer groups.
        groups: (n,) what an inner fold keeps whole; when not given the test parts of the other folds, and
            rows that no fold tests one by one.
        seed: of the draw of the inner folds.

    Raises:
        JidoError: when a number is missing, lengths differ, or a penalty is not above 0.
        FoldsError: when a fold has no training row, tests a row twice, or leaves one group to choose by.
    """
    x, y = _checked(x, y)
    return _nested(x, y, folds, _ridge_path, _penalties(alphas), inner=inner, groups=groups, seed=seed)


def fit_ridge(
    x: np.ndarray,
    y: np.ndarray,
    *,
    alphas: Sequence[float] = ALPHAS,
    inner: int = 5,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Ridge:
    """The line through all rows, its penalty chosen as :func:`nested_ridge` does, which takes the same.

    How good it is only outer folds tell.
    """
    x, y = _checked(x, y)
    tried = _penalties(alphas)
    units = _grouped(groups, np.arange(len(y)))
    error = _inner_error(x, y, units, _ridge_path, tried, inner=inner, seed=seed)
    alpha = _best(tried, error)
    mean, sd = _scale(x)
    coef = _solve((x - mean) / sd, y - y.mean(), alpha)[:, 0]
    return Ridge(coef, float(y.mean()), mean, sd, float(alpha[0]))


def nested_neighbours(
    number: np.ndarray,
    y: np.ndarray,
    folds: Splits,
    *,
    kinds: np.ndarray | None = None,
    neighbours: Sequence[int] = NEIGHBOURS,
    inner: int = 5,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Nested:
    """The floor of one number (mean night light): mean outcome of the nearest training rows, k chosen inside.

    Training rows with the same number share their mean outcome first, since many places have no light at all
    and their order must not matter (so in the code of Yeh et al. 2020, doi 10.1038/s41467-020-16185-w).

    Args:
        number: (n,) what is compared.
        y: (n,) outcome.
        folds: as :func:`nested_ridge`, as what follows and the errors.
        kinds: (n,) rows are compared with those of their kind alone, such as the sensor that saw the light; a
            kind without training rows gets the mean of all.
        neighbours: numbers of neighbours to choose among; all rows where a part has fewer.
        inner: number of inner folds.
        groups: (n,) what an inner fold keeps whole.
        seed: of the draw of the inner folds.
    """
    values, y = _checked(np.reshape(number, (-1, 1)), y)
    tried = np.sort(np.asarray(neighbours, dtype=np.int64))
    if not len(tried) or tried[0] < 1:
        raise JidoError(f"Numbers of neighbours are at least 1, not {list(neighbours)}.")
    kind = np.zeros(len(y)) if kinds is None else np.unique(kinds, return_inverse=True)[1]
    if len(kind) != len(y):
        raise JidoError(f"The outcome has {len(y)} rows, the kinds {len(kind)}: they must be alike.")
    x = np.column_stack([values, kind])
    return _nested(x, y, folds, _neighbour_path, tried, inner=inner, groups=groups, seed=seed)


def nested_constant(y: np.ndarray, folds: Splits) -> Nested:
    """The floor of no feature: the mean outcome of the training rows.

    Its R² is at most 0. Its squared correlation is not: a fold of rich places leaves a poor mean, so over few
    folds it may come out high, with the wrong sign.
    """
    x, y = _checked(np.zeros((len(y), 1)), y)
    return _nested(x, y, folds, _constant_path, np.zeros(1), inner=2, groups=None, seed=0)


# -- nested folds ----------------------------------------------------------------------------------


def _nested(
    x: np.ndarray,
    y: np.ndarray,
    folds: Splits,
    path: _Path,
    tried: np.ndarray,
    *,
    inner: int,
    groups: np.ndarray | None,
    seed: int,
) -> Nested:
    pairs, labels = _pairs(folds, len(y))
    units = _grouped(groups, labels)
    predicted, chosen, error = np.full(len(y), np.nan), [], []
    for train, test in pairs:
        error.append(_inner_error(x[train], y[train], units[train], path, tried, inner=inner, seed=seed))
        best = _best(tried, error[-1])
        predicted[test] = path(x[train], y[train], x[test], best)[0]
        chosen.append(best[0])
    return Nested(predicted, np.array(chosen), tried, np.array(error))


def _inner_error(
    x: np.ndarray,
    y: np.ndarray,
    units: np.ndarray,
    path: _Path,
    tried: np.ndarray,
    *,
    inner: int,
    seed: int,
) -> np.ndarray:
    """Mean squared error (S,) of inner folds; NaN where there is nothing to choose among."""
    if len(tried) == 1:
        return np.full(1, np.nan)
    count = len(np.unique(units))
    if count < 2 or inner < 2:
        raise FoldsError(
            f"{count} groups of training rows in {inner} inner folds leave nothing to choose among "
            f"{len(tried)} settings by: give groups, 2 inner folds or more, or one setting."
        )
    parts = group_kfold(units, np.zeros(len(y)), k=min(inner, count), seed=seed)
    squares = [((path(x[a], y[a], x[b], tried) - y[b]) ** 2).sum(axis=1) for a, b in parts]
    return np.asarray(np.sum(squares, axis=0) / len(y))


def _best(tried: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The setting (1,) of least error; of equals the last, which is the smoother line."""
    return tried[len(tried) - 1 - int(error[::-1].argmin()), None]


def _pairs(folds: Splits, n: int) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Training and test rows of each fold, and which fold tests a row (n,), a number of its own if none."""
    if hasattr(folds, "__array__"):  # a column of a table, too
        fold = np.unique(np.asarray(folds), return_inverse=True)[1]
        if fold.shape != (n,):
            raise FoldsError(f"The outcome has {n} rows, the folds have shape {fold.shape}: give one a row.")
        folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    if not pairs:
        raise FoldsError("There is no fold: give labels, or pairs of training and test rows.")
    times = np.bincount(np.concatenate([test for _, test in pairs]), minlength=n)
    if len(times) > n or times.max() > 1:
        raise FoldsError(f"Row {int(times.argmax())} of {n} is tested {times.max()} times: test a row once.")
    labels = len(pairs) + np.arange(n)
    for i, (train, test) in enumerate(pairs):
        if not len(train) or np.isin(train, test).any():
            raise FoldsError(f"Fold {i} has no training row, or tests one of them: mend its lists.")
        labels[test] = i
    return pairs, labels


def _grouped(groups: np.ndarray | None, otherwise: np.ndarray) -> np.ndarray:
    """Numbers (n,) of the groups."""
    if groups is None:
        return otherwise
    if len(groups) != len(otherwise):
        raise JidoError(f"The outcome has {len(otherwise)} rows, the groups {len(groups)}: give one a row.")
    return np.unique(groups, return_inverse=True)[1]


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, p) and outcome (n,) as float64, without a gap."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise JidoError(
            f"Features of shape {x.shape} and an outcome of shape {y.shape}: give (n, p) and (n,)."
        )
    bad = ~(np.isfinite(x).all(axis=1) & np.isfinite(y))
    if bad.any():
        raise JidoError(
            f"{bad.sum()} of {len(y)} rows lack a number, row {int(bad.argmax())} first: leave them out."
        )
    return x, y


# -- predictions for all settings ------------------------------------------------------------------


def _penalties(alphas: Sequence[float]) -> np.ndarray:
    tried = np.sort(np.asarray(alphas, dtype=np.float64))
    if not len(tried) or not tried[0] >= _LEAST or not np.isfinite(tried[-1]):
        raise JidoError(f"Penalties are {_LEAST:g} at least, not {list(alphas)}.")
    return tried


def _ridge_path(x: np.ndarray, y: np.ndarray, new: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    mean, sd = _scale(x)
    coef = _solve((x - mean) / sd, y - y.mean(), alphas)
    return np.asarray(y.mean() + ((new - mean) / sd @ coef).T)


def _scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (p,), 1 where a column does not vary."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    flat = sd <= _NO_SPREAD * np.abs(x).max(axis=0)
    return np.where(flat, x[0], mean), np.where(flat, 1.0, sd)


def _solve(z: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Coefficients (p, S) of standardised features (n, p) for each penalty."""
    wide = z.shape[1] > len(z)
    square, right = (z @ z.T, y) if wide else (z.T @ z, z.T @ y)
    diagonal, found = square.diagonal().copy(), []
    for alpha in alphas:
        np.fill_diagonal(square, diagonal + alpha)
        found.append(cho_solve(cho_factor(square, lower=True), right))
    return z.T @ np.array(found).T if wide else np.array(found).T


def _neighbour_path(x: np.ndarray, y: np.ndarray, new: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found = np.full((len(numbers), len(new)), y.mean())
    for kind in np.unique(new[:, 1]):
        here, asked = x[:, 1] == kind, new[:, 1] == kind
        if here.any():
            found[:, asked] = _means_of_nearest(x[here, 0], y[here], new[asked, 0], numbers)
    return found


def _means_of_nearest(x: np.ndarray, y: np.ndarray, new: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mean outcome (S, m) of the k nearest of numbers (n,), for each k; equal numbers share their mean first.

    On a line the k nearest stand side by side, and their window moves up by one as soon as the next number
    above is nearer than its lowest.
    """
    order = np.argsort(x, kind="stable")
    x, same = x[order], np.unique(x[order], return_inverse=True)[1]
    shared = (np.bincount(same, weights=y[order]) / np.bincount(same))[same]
    total = np.append(0, shared.cumsum())
    counts = np.minimum(numbers, len(x))
    starts = np.stack([np.searchsorted(x[: len(x) - k] + x[k:], 2 * new) for k in counts])
    return np.asarray((total[starts + counts[:, None]] - total[starts]) / counts[:, None])


def _constant_path(x: np.ndarray, y: np.ndarray, new: np.ndarray, settings: np.ndarray) -> np.ndarray:
    return np.full((len(settings), len(new)), y.mean())
