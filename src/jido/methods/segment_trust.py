"""How far the pixels of a target map can be trusted: their probability, and which of them are unsure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jido.methods.change_trees import moved
from jido.methods.judging import TRUST, promise
from jido.stats.abstention import pooled_accept_threshold
from jido.stats.binary import BINS
from jido.stats.calibrators import Calibration, calibration_facts, cross_calibrated, fit_calibration


@dataclass(frozen=True)
class Trust:
    """What validation tiles teach of probabilities.

    Args:
        calibration: of maps, fitted on validation tiles.
        figures: of :func:`~jido.stats.calibrators.calibration_facts`.
        unsure: as of :func:`~jido.methods.judging.unsure_facts`, of validation pixels that are called target;
            empty where nothing can be promised.
    """

    calibration: Calibration
    figures: dict[str, Any]
    unsure: dict[str, Any]


def trust_of(
    validation: np.ndarray, judged: np.ndarray | None, threshold: float, *, error: float | None
) -> Trust:
    """Calibrate on score histograms of validation tiles, and judge that on others.

    Args:
        validation: (G, 2, BINS) by group.
        judged: those of other groups; without them the calibration is judged crosswise, on groups that it was
            not fitted on.
        threshold: score from which a pixel is target; becomes .5 on maps.
        error: share of wrong ones accepted among sure pixels of the target; ``None`` promises nothing.
    """
    p, truth, group, pixels = rows_of(validation, threshold)
    fitted = fit_calibration(p, truth, group, weights=pixels, target=True)
    unsure = {} if error is None else _unsure(fitted.apply(p), p, truth, group, pixels, error=error)
    if judged is None:
        after = cross_calibrated(p, truth, group, weights=pixels, target=True)
    else:
        p, truth, _, pixels = rows_of(judged, threshold)
        after = fitted.apply(p)
    return Trust(fitted, calibration_facts(p, after, truth, fitted=fitted, weights=pixels), unsure)


def rows_of(histograms: np.ndarray, threshold: float) -> tuple[np.ndarray, ...]:
    """A row for each step of a score, truth and group that has pixels.

    Returns:
        Probabilities (n, 2) as a map with this threshold says them, truth (n,) 0 or 1, number of the group
        (n,) and number of pixels (n,).
    """
    group, truth, step = np.nonzero(histograms)
    target = moved((step + 0.5) / BINS, threshold)
    return np.column_stack([1 - target, target]), truth, group, histograms[group, truth, step]


def _unsure(
    after: np.ndarray,
    before: np.ndarray,
    truth: np.ndarray,
    group: np.ndarray,
    pixels: np.ndarray,
    *,
    error: float,
) -> dict[str, Any]:
    """What is promised of pixels that are called target: among all of them background hides any error."""
    called = before[:, 1] >= 0.5
    if not called.any():
        return {}
    right, of, count = (part[called] for part in (truth == 1, group, pixels))
    below, sure = pooled_accept_threshold(
        after[called, 1], right, of, error=error, trust=TRUST, weights=count
    )
    if not sure:
        return {}
    words = promise(error, ones="pixels called target", of="images")
    words += f" {sure * 100:.0f} % of the validation pixels called target are sure."
    return {"below": below, "share": 1 - sure, "aimed_error": error, "trust": TRUST, "promise": words}
