"""Ready-made learners for :func:`jido.label_curve`.

Each function takes the feature vectors (n, F) or the patches of *all* samples and gives a learner, which is
told places of labelled samples, their classes, places to judge and a seed, and gives probabilities (m, K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.pool import Pool
from jido.labels import group_kfold
from jido.methods.forest import probabilities
from jido.methods.tune import TuneConfig, Tuning
from jido.nets import Setting

if TYPE_CHECKING:
    from torch import Tensor

Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Places (n,) of the labelled samples, their classes (n,), places (m,) to judge, seed -> (m, K)."""

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""C of the logistic regression, the inverse of its penalty, among which folds choose."""

FIXED = 1.0
"""C where the labels are too few to choose one: that of scikit-learn."""

ENOUGH = 1000
"""Held-out samples after which no further fold is needed to choose C."""

TEMPERATURE = 0.07
"""Of the votes of neighbours: Wu et al. 2018, doi 10.1109/CVPR.2018.00393."""


def linear_probe(
    features: np.ndarray,
    *,
    num_classes: int,
    groups: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = 5,
) -> Learn:
    """Multinomial logistic regression on features standardised by the labelled samples.

    C is chosen by the log loss on folds of the labelled samples alone, groups kept whole, and is
    :data:`FIXED` while some class has fewer groups than there are folds. Nothing of the samples to judge
    is used.

    Args:
        features: (n, F) of all samples, finite.
        num_classes: K.
        groups: (n,) what must not be parted when C is chosen; every sample its own without it.
        strengths: values of C to choose among.
        folds: number of folds, and of groups of every class that they need.
    """
    units = np.arange(len(features)) if groups is None else np.asarray(groups)

    def learn(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        x = features[labelled]
        c = _strength(x, y, units[labelled], num_classes, strengths, folds, seed)
        return probabilities(_logistic(c).fit(x, y), features[test], num_classes)

    return learn


def nearest_neighbours(features: np.ndarray, *, num_classes: int, k: int = 20) -> Learn:
    """Votes of the ``k`` labelled samples of highest cosine, nearer ones counting more.

    The weight of a vote is exp(cosine / 0.07), as self-supervised features are commonly judged; with fewer
    labelled samples than ``k`` all of them vote.

    Args:
        features: (n, F) of all samples, finite, on one scale: nothing is standardised.
        num_classes: K.
        k: number of neighbours.
    """

    def learn(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        from sklearn.neighbors import KNeighborsClassifier

        votes = KNeighborsClassifier(min(k, len(labelled)), metric="cosine", weights=_votes)
        return probabilities(votes.fit(features[labelled], y), features[test], num_classes)

    return learn


def forest(features: np.ndarray, *, num_classes: int, trees: int = 300) -> Learn:
    """Extremely randomised trees as in :mod:`jido.methods.forest`, grown to pure leaves.

    Leaves of two samples, as there, would mix the classes where each has one label.

    Args:
        features: (n, F) of all samples; NaN is missing.
        num_classes: K.
        trees: number of trees.
    """

    def learn(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        from sklearn.ensemble import ExtraTreesClassifier

        grown = ExtraTreesClassifier(trees, random_state=seed, n_jobs=-1).fit(features[labelled], y)
        grown.set_params(n_jobs=1)  # repeatable: sums in one order
        return probabilities(grown, features[test], num_classes)

    return learn


def fine_tuned(
    pool: Pool,
    *,
    num_classes: int,
    encoder: Mapping[str, Setting],
    weights: Mapping[str, Tensor] | None = None,
    config: TuneConfig | None = None,
    rounds: int = 4,
) -> Learn:
    """A net that is trained on the labelled patches: from scratch, or on from a pretrained encoder.

    With ``config.encoder_rate`` 0 the encoder stays as it is.

    Args:
        pool: the patches of all samples; needs torch when it learns.
        num_classes: K.
        encoder: what builds the encoder: ``{"kind": "residual", "width": 32}``, or ``settings`` of an
            :class:`~jido.methods.encoder_package.EncoderPackage`.
        weights: of a pretrained one, its ``tensors()``; from scratch without them. They are not changed.
        config: settings of the training; its seed is the learner's.
        rounds: every label is shown so often at least, however few ``config.steps`` are.
    """
    config = config or TuneConfig()

    def learn(labelled: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        target = np.zeros(len(pool), np.int64)
        target[labelled] = y
        steps = max(config.steps, rounds * len(labelled) // config.batch)
        mine = config.model_copy(update={"steps": steps})
        tuning = Tuning(pool, target, labelled, num_classes, encoder, weights, mine, seed % 2**31)
        return tuning.run().probabilities(test)

    return learn


def _votes(distance: np.ndarray) -> np.ndarray:
    """Weights of votes; the nearest has 1, so that none vanishes however far all are."""
    return np.exp((distance.min(axis=1, keepdims=True) - distance) / TEMPERATURE)


def _logistic(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))


def _strength(
    x: np.ndarray,
    y: np.ndarray,
    units: np.ndarray,
    num_classes: int,
    strengths: Sequence[float],
    folds: int,
    seed: int,
) -> float:
    """C of the lowest log loss on samples held out of the labelled ones."""
    if min(len(np.unique(units[y == value])) for value in np.unique(y)) < folds:
        return FIXED
    loss, judged = np.zeros(len(strengths)), 0
    for train, test in group_kfold(units, y, k=folds, seed=seed):
        for i, c in enumerate(strengths):
            said = probabilities(_logistic(c).fit(x[train], y[train]), x[test], num_classes)
            loss[i] -= np.log(np.maximum(said[np.arange(len(test)), y[test]], 1e-7)).sum()
        judged += len(test)
        if judged >= ENOUGH:
            break
    return float(strengths[int(loss.argmin())])
