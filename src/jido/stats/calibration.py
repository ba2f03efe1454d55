"""Do probabilities mean what they say?"""

from __future__ import annotations

from typing import Any

import numpy as np


def reliability(confidence: np.ndarray, right: np.ndarray, *, bins: int = 15) -> list[dict[str, Any]]:
    """Confidence and accuracy in equal bins of confidence, the empty ones left out.

    Args:
        confidence: (n,) highest class probability, 0..1.
        right: (n,) bool, whether the class was right.
        bins: number of bins between 0 and 1.

    Returns:
        A row per bin: ``lower``, ``upper``, ``n``, mean ``confidence``, ``accuracy``.
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return [
        {
            "lower": i / bins,
            "upper": (i + 1) / bins,
            "n": int(np.count_nonzero(place == i)),
            "confidence": float(confidence[place == i].mean()),
            "accuracy": float(right[place == i].mean()),
        }
        for i in np.unique(place).tolist()
    ]


def calibration(probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 15) -> dict[str, Any]:
    """How far probabilities are from what comes true.

    Args:
        probabilities: (n, K).
        truth: (n,) places of the true classes.
        bins: of the reliability diagram.

    Returns:
        ``ece`` (Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602), ``brier`` (sum over classes, 0..2),
        mean confidence of ``right`` and ``wrong`` answers and the ``gap`` between them (``None`` where
        there are none), and the rows of :func:`reliability`.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    rows = reliability(confidence, right, bins=bins)
    ece = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / max(len(truth), 1)
    true = np.eye(probabilities.shape[1])[truth]
    means = [float(confidence[which].mean()) if which.any() else None for which in (right, ~right)]
    return {
        "ece": float(ece),
        "brier": float(((probabilities - true) ** 2).sum(1).mean()),
        "right": means[0],
        "wrong": means[1],
        "gap": None if means[0] is None or means[1] is None else means[0] - means[1],
        "reliability": rows,
    }
