"""A target against everything else: figures from counts, the precision-recall curve, thresholds.

Scores are kept as histograms (:data:`BINS` steps of a probability), so any number of pixels fits in
memory and figures at every threshold come from one pass.
"""

from __future__ import annotations

import numpy as np

from jido.errors import JidoError
from jido.stats.confusion import f1_per_class
from jido.stats.intervals import Figure, bootstrap_figures

BINS = 1000
"""Steps of a score from 0 to 1."""

FIGURES = ("iou", "precision", "recall", "fn_tp", "fp_tp")
"""Names of the figures of :func:`binary_summary`; the last two have no upper end."""


def binary_summary(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Figures (...) of counts (..., 4): true positives, false positives, false negatives, true negatives.

    ``iou`` = TP / (TP + FP + FN), ``precision``, ``recall``, and the ratios ``fn_tp`` and ``fp_tp`` of
    misses and of false alarms to hits; NaN where nothing says anything, infinite without a hit.
    """
    tp, fp, fn, _ = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "iou": tp / (tp + fp + fn),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "fn_tp": fn / tp,
            "fp_tp": fp / tp,
        }


def binary_figures(counts: np.ndarray, *, level: float | None = 0.95, seed: int = 0) -> dict[str, Figure]:
    """Figures of :func:`binary_summary` with intervals over groups.

    Args:
        counts: (G, 4) true positives, false positives, false negatives, true negatives per group
            (image, site, block): what counts as one piece of evidence.
        level: coverage aimed at; ``None`` claims no interval.
        seed: of the bootstrap.
    """
    counts = np.asarray(counts)
    with_target, with_said = (np.count_nonzero(counts[:, list(c)].sum(1)) for c in ((0, 2), (0, 1)))
    carried = {"iou": max(with_target, with_said), "precision": with_said, "fp_tp": with_said}

    def statistic(drawn: np.ndarray) -> np.ndarray:
        return np.stack(list(binary_summary(drawn).values()), axis=-1)

    found = bootstrap_figures(
        counts,
        statistic,
        lowest=np.zeros(len(FIGURES)),
        highest=np.array([1, 1, 1, np.inf, np.inf]),
        carried=np.array([carried.get(name, with_target) for name in FIGURES]),
        level=level,
        seed=seed,
    )
    return dict(zip(FIGURES, found, strict=True))


# -- scores ------------------------------------------------------------------------------------


def score_histogram(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Counts (2, BINS) int64 of scores 0..1 where the truth is false, and where it is true."""
    step = np.minimum((score.ravel() * BINS).astype(np.int64), BINS - 1)
    return np.bincount(step + BINS * truth.ravel().astype(np.int64), minlength=2 * BINS).reshape(2, BINS)


def counts_at(histogram: np.ndarray, threshold: float) -> np.ndarray:
    """Counts (..., 4) as in :func:`binary_summary` when scores from ``threshold`` on count as target.

    Args:
        histogram: (..., 2, BINS) of :func:`score_histogram`.
        threshold: 0..1, rounded to a step.
    """
    first = round(threshold * BINS)
    below, above = histogram[..., :first].sum(-1), histogram[..., first:].sum(-1)
    return np.stack([above[..., 1], above[..., 0], below[..., 1], below[..., 0]], axis=-1)


def average_precision(histogram: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve (...) of histograms (..., 2, BINS); NaN without target.

    The step-wise sum of precision times gained recall, without interpolation (Davis and Goadrich
    2006, doi 10.1145/1143844.1143874, on why a straight line between points is too good).
    """
    negative, positive = np.moveaxis(histogram[..., ::-1].astype(np.float64), -2, 0)
    hits, said = positive.cumsum(-1), (positive + negative).cumsum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(said > 0, hits / said, 0)
        return (precision * positive).sum(-1) / hits[..., -1]


def average_precision_figure(histograms: np.ndarray, *, level: float | None = 0.95, seed: int = 0) -> Figure:
    """:func:`average_precision` of histograms (G, 2, BINS), one per group, with its interval."""
    carried = np.count_nonzero(histograms[:, 1].sum(-1))
    (found,) = bootstrap_figures(
        histograms,
        lambda drawn: average_precision(drawn)[..., None],
        lowest=np.zeros(1),
        highest=np.ones(1),
        carried=np.array([carried]),
        level=level,
        draws=500,
        seed=seed,
    )
    return found


def best_threshold(histogram: np.ndarray, *, recall: float | None = None) -> float:
    """The threshold for the best IoU, or the highest one that reaches a recall.

    Args:
        histogram: (2, BINS) of validation pixels.
        recall: 0..1; without it the IoU decides.

    Returns:
        A threshold above 0 and below 1; .5 where there is no target.
    """
    steps = np.arange(1, BINS) / BINS
    tp = histogram[1, ::-1].cumsum()[::-1][1:].astype(np.float64)
    fp = histogram[0, ::-1].cumsum()[::-1][1:]
    target = histogram[1].sum()
    if not target:
        return 0.5
    if recall is not None:
        reached = np.flatnonzero(tp >= recall * target)
        return float(steps[reached[-1]]) if len(reached) else float(steps[0])
    iou = tp / (target + fp)
    best = np.flatnonzero(iou == iou.max())  # a plateau: its middle is the safest
    return float(steps[best[len(best) // 2]])


# -- before and after --------------------------------------------------------------------------


def xview2_score(building: np.ndarray, damage: np.ndarray) -> np.ndarray:
    """Score of the xView2 challenge: .3 F1 of buildings + .7 harmonic mean of the F1s of four damage classes.

    Gupta et al. 2019, arXiv 1911.09296. The challenge adds 1e-6 to each damage F1 before it takes the
    harmonic mean; here nothing is added, and the mean is 0 where one of them is 0. A class that is neither
    true nor predicted has no F1 and NaN makes the score NaN: a place without minor damage cannot be scored.

    Args:
        building: (..., 4) true positives, false positives, false negatives, true negatives of pixels.
        damage: (..., 4, 4) counts of pixels of true buildings, truth in rows: none, minor, major, destroyed.

    Returns:
        (...) 0..1.
    """
    tp, fp, fn, _ = np.moveaxis(np.asarray(building, dtype=np.float64), -1, 0)
    f1 = f1_per_class(np.asarray(damage, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        localised = 2 * tp / (2 * tp + fp + fn)
        harmonic = f1.shape[-1] / (1 / f1).sum(axis=-1)
    return 0.3 * localised + 0.7 * harmonic


def cell_shares(
    plane: np.ndarray, side: int, *, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over squares of an image without a place, from the upper left corner; the last ones may be cut.

    Args:
        plane: (Y, X) share or probability of each pixel, NaN = not seen.
        side: of a cell in pixels.
        weights: (Y, X) what a pixel counts, such as the share of it that is built; at least 0.

    Returns:
        Mean (R, C), NaN where nothing was seen or nothing counts; the share of the weight of the cell that
        was seen (0 where it has none); and the number of pixels seen, counted by their weight.

    Raises:
        JidoError: when the side is no whole number above 0 or the weights do not fit.
    """
    if int(side) != side or side < 1:
        raise JidoError(f"A cell is a whole number of pixels wide, 1 or more, not {side}.")
    plane = np.asarray(plane, dtype=np.float64)
    weight = np.ones(plane.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != plane.shape or plane.ndim != 2 or not (weight >= 0).all():
        raise JidoError(
            f"Weights of shape {weight.shape} do not fit a map of {plane.shape}: one of at least 0 a pixel."
        )
    starts = [np.arange(0, length, int(side)) for length in plane.shape]
    seen = np.isfinite(plane)
    whole, known, total = (
        np.add.reduceat(np.add.reduceat(part, starts[0], axis=0), starts[1], axis=1)
        for part in (weight, weight * seen, weight * np.where(seen, plane, 0))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known > 0, total / known, np.nan)
        return mean, np.where(whole > 0, known / whole, 0), known


def cell_truth(mask: np.ndarray, side: int, *, least: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Whether each square of an image counts as flooded (damaged): its share of the target is >= ``least``.

    Args:
        mask: (Y, X) of 0 and 1, or of probabilities; NaN = not known.
        side: of a cell in pixels.
        least: share above 0, up to 1; it decides what a figure per cell means, so it is always stated.
        weights: as :func:`cell_shares`.

    Returns:
        int8 (R, C): 1, 0, or -1 where nothing is known, as :func:`~jido.stats.confusion.confusion` takes it.

    Raises:
        JidoError: also when ``least`` is no such share.
    """
    if not 0 < least <= 1:
        raise JidoError(f"A cell counts from a share above 0 and up to 1, not {least:g}.")
    share = cell_shares(mask, side, weights=weights)[0]
    found = np.where(share >= least - 1e-9, 1, 0)
    return np.where(np.isnan(share), -1, found).astype(np.int8)
