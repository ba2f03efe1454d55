"""The confusion matrix and every figure that comes from it.

Rows are the truth, columns the prediction, both in scheme order. All functions take matrices of
shape (..., K, K) with any leading axes (draws of a bootstrap) and give figures of shape (...).
A figure that is not defined (a class that occurs nowhere, 0/0) is NaN.
"""

from __future__ import annotations

import numpy as np

from jido.labels import ClassScheme


def confusion(truth: np.ndarray, prediction: np.ndarray, k: int) -> np.ndarray:
    """Counts (K, K) int64 of pairs of class places 0..k-1; pairs with a negative place are left out."""
    truth, prediction = np.ravel(truth), np.ravel(prediction)
    keep = (truth >= 0) & (prediction >= 0)
    pairs = truth[keep].astype(np.int64) * k + prediction[keep]
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def confusion_by_group(truth: np.ndarray, prediction: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """One matrix per group, (G, K, K) int64, groups in sorted order."""
    names, number = np.unique(np.ravel(groups), return_inverse=True)
    matrices = np.zeros((len(names), k, k), dtype=np.int64)
    truth, prediction = np.ravel(truth), np.ravel(prediction)
    keep = (truth >= 0) & (prediction >= 0)
    np.add.at(matrices, (number[keep], truth[keep], prediction[keep]), 1)
    return matrices


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole == 0, np.nan, part / whole)


def _diagonal(cm: np.ndarray) -> np.ndarray:
    return np.diagonal(cm, axis1=-2, axis2=-1)


def overall_accuracy(cm: np.ndarray) -> np.ndarray:
    """OA: share of samples on the diagonal."""
    return _ratio(_diagonal(cm).sum(-1), cm.sum((-2, -1)))


def kappa(cm: np.ndarray) -> np.ndarray:
    """Cohen 1960: agreement beyond chance, doi 10.1177/001316446002000104."""
    total = cm.sum((-2, -1))
    chance = _ratio((cm.sum(-1) * cm.sum(-2)).sum(-1), total * total)
    return _ratio(overall_accuracy(cm) - chance, 1 - chance)


def mcc(cm: np.ndarray) -> np.ndarray:
    """Matthews' correlation for K classes: Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006."""
    total, true, said = (np.asarray(cm.sum(axes), np.float64) for axes in ((-2, -1), -1, -2))
    squares = (total**2 - (said**2).sum(-1)) * (total**2 - (true**2).sum(-1))
    return _ratio(_diagonal(cm).sum(-1) * total - (said * true).sum(-1), np.sqrt(squares))


def producers_accuracy(cm: np.ndarray) -> np.ndarray:
    """Recall per class (..., K): of the truth of a class, the share that was found."""
    return _ratio(_diagonal(cm), cm.sum(-1))


def users_accuracy(cm: np.ndarray) -> np.ndarray:
    """Precision per class (..., K): of what the map says, the share that is true."""
    return _ratio(_diagonal(cm), cm.sum(-2))


def f1_per_class(cm: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) per class (..., K); NaN for a class neither true nor predicted."""
    return _ratio(2 * _diagonal(cm), cm.sum(-1) + cm.sum(-2))


def f1_macro(cm: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur in the truth or in the prediction."""
    f1 = f1_per_class(cm)
    return _ratio(np.nansum(f1, axis=-1), np.isfinite(f1).sum(-1))


def oa_built(cm: np.ndarray, built: np.ndarray) -> np.ndarray:
    """OAu: OA inside the block of built classes; ``built`` is bool (K,). Demuzere et al. 2021."""
    return overall_accuracy(cm[..., built, :][..., built])


def oa_built_natural(cm: np.ndarray, built: np.ndarray) -> np.ndarray:
    """OAbu: OA of built against natural, the classes inside each not told apart."""
    same = (built[:, None] == built[None, :]).astype(float)
    return oa_weighted(cm, same)


def oa_weighted(cm: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """OAw: sum(W * CM) / sum(CM) with similarity weights (K, K). Bechtel et al. 2017."""
    return _ratio((cm * weights).sum((-2, -1)), cm.sum((-2, -1)))


def summary(cm: np.ndarray, scheme: ClassScheme) -> dict[str, np.ndarray]:
    """The figures of a class map, each of shape (...): ``oa``, ``kappa``, ``f1_macro``, ``mcc``; with a
    scheme that has built classes and weights (LCZ) also ``oa_u``, ``oa_bu``, ``oa_w``.
    """  # noqa: D205
    figures = {"oa": overall_accuracy(cm), "kappa": kappa(cm), "f1_macro": f1_macro(cm), "mcc": mcc(cm)}
    if scheme.built:
        built = np.isin(scheme.codes, list(scheme.built))
        figures |= {"oa_u": oa_built(cm, built), "oa_bu": oa_built_natural(cm, built)}
    if scheme.weights is not None:
        figures["oa_w"] = oa_weighted(cm, scheme.weights)
    return figures
