"""When a map should say "unsure"."""

from __future__ import annotations

import numpy as np


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
        return 1.01, 0.0
    return float(confidence[order][fine[-1]]), float((fine[-1] + 1) / len(order))
