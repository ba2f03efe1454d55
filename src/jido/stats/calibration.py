"""Do probabilities mean what they say?"""

from __future__ import annotations

from typing import Any

import numpy as np


def reliability(
    confidence: np.ndarray, right: np.ndarray, *, bins: int = 15, weights: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Confidence and accuracy in equal bins of confidence, the empty ones left out.

    Args:
        confidence: (n,) probability of the class that was said, 0..1.
        right: (n,) bool, whether the class was right.
        bins: number of bins between 0 and 1.
        weights: (n,) number of samples that a row stands for; 1 without it.

    Returns:
        A row per bin: ``lower``, ``upper``, ``n``, mean ``confidence``, ``accuracy``.
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    weights = np.ones(len(confidence)) if weights is None else weights
    n, sums, hits = (np.bincount(place, part * weights, minlength=bins) for part in (1, confidence, right))
    return [
        {
            "lower": i / bins,
            "upper": (i + 1) / bins,
            "n": int(n[i]),
            "confidence": float(sums[i] / n[i]),
            "accuracy": float(hits[i] / n[i]),
        }
        for i in np.flatnonzero(n).tolist()
    ]


def calibration(
    probabilities: np.ndarray,
    truth: np.ndarray,
    *,
    said: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    bins: int = 15,
) -> dict[str, Any]:
    """How far probabilities are from what comes true.

    Args:
        probabilities: (n, K).
        truth: (n,) places of the true classes.
        said: (n,) places of the classes that were said; the most probable ones without it.
        weights: (n,) number of samples that a row stands for; 1 without it.
        bins: of the reliability diagram.

    Returns:
        ``ece`` (Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602), ``brier`` (sum over classes, 0..2),
        mean confidence of ``right`` and ``wrong`` answers and the ``gap`` between them (``None`` where
        there are none), and the rows of :func:`reliability`.
    """
    said = probabilities.argmax(1) if said is None else said
    weights = np.ones(len(truth)) if weights is None else weights
    confidence, right = probabilities[np.arange(len(truth)), said], said == truth
    rows = reliability(confidence, right, bins=bins, weights=weights)
    ece = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in rows)
    true = np.eye(probabilities.shape[1])[truth]
    means = [
        float(np.average(confidence[which], weights=weights[which])) if weights[which].any() else None
        for which in (right, ~right)
    ]
    return {
        "ece": float(ece / max(weights.sum(), 1)),
        "brier": float(np.average(((probabilities - true) ** 2).sum(1), weights=weights)),
        "right": means[0],
        "wrong": means[1],
        "gap": None if means[0] is None or means[1] is None else means[0] - means[1],
        "reliability": rows,
    }
