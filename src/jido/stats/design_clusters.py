"""Accuracy of a map and areas of its classes from a two-stage cluster sample.

m of M squares of the map are drawn at random with equal chances, and m_i of the M_i mapped cells of each. A
square stands for ŷ_i = M_i ȳ_i, what its cells say of all of it, and a figure is the ratio R = Σ ŷ_i / Σ x̂_i
(Cochran 1977, chapter 11; indicators as in :mod:`jido.stats.design`). Its variance comes from the spread
between squares alone, m / (m - 1) Σ u_i² / (Σ x̂_i)² with u_i = ŷ_i - R x̂_i, whatever was done inside them:
the ultimate-cluster estimator (Särndal, Swensson and Wretman 1992, chapter 4, doi
10.1007/978-1-4612-4378-6). It is as if squares could be drawn twice, so it errs to the safe side, by less
than the share m / M of squares that was drawn. Many cells in few squares know less than they seem to,
because neighbours err alike (Wickham et al. 2004, doi 10.1080/0143116031000149998).
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from jido.errors import JidoError
from jido.stats.design_ratios import (
    DesignEstimates,
    Interval,
    checked_places,
    effective_units,
    estimates,
    indicators,
    ratios,
    require_level,
    sums_by,
)
from jido.stats.intervals import MIN_GROUPS

FEW = 20
"""With fewer clusters a spread between them is a guess, and that is said."""


def cluster_accuracy(
    mapped: np.ndarray,
    reference: np.ndarray,
    cluster: np.ndarray,
    sizes: np.ndarray,
    *,
    area: np.ndarray | None = None,
    classes: int | None = None,
    level: float = 0.95,
    interval: Interval = "wilson",
) -> DesignEstimates:
    """Overall, user's and producer's accuracy and areas from clusters drawn at random, and cells in each.

    Bounds are those of :func:`~jido.stats.design.stratified_accuracy`, with Student's t for the number of
    clusters that have a say in a figure, less 1, instead of z; Wilson's number of units is p (1 - p) / se²,
    the effective one, and where all cells agree that of clusters (by Kish). No bounds are claimed where
    fewer than 5 clusters have a say.

    Args:
        mapped: (n,) places 0 to K - 1 of the classes on the map, at the sampled cells.
        reference: (n,) places of the true classes; cells without a label are to be left out before.
        cluster: (n,) place 0 to m - 1 of the drawn cluster each cell lies in.
        sizes: (m,) cells that could be drawn in each of the clusters (``DesignSample.cluster_sizes``);
            clusters of which no cell is labelled are to be left out before.
        area: (n,) of each cell, in any unit; cells count alike without it.
        classes: K; the largest place + 1 when not given.
        level: coverage aimed at.
        interval: kind of bounds.

    Returns:
        The estimates; ``units`` are the cells by cluster.

    Raises:
        JidoError: when lengths differ, places lie outside, there is one cluster, one has no cell, or an
            area is not above 0.
    """
    require_level(level, interval)
    sizes = np.asarray(sizes, dtype=np.float64)
    m = len(sizes)
    mapped, reference, cluster, k = checked_places(mapped, reference, cluster, m, classes, called="cluster")
    counts = _counted(cluster, sizes)
    weight = (sizes / counts)[cluster] * _areas(area, len(mapped))
    y, x = (sums_by(part * weight[:, None], cluster, m) for part in indicators(mapped, reference, k))
    one, apart = np.ones(m), np.zeros(m, dtype=np.int64)
    value, se = ratios(y, x, apart, one, factor=np.array([m]))
    carried = np.count_nonzero(x, axis=0)
    size = effective_units(value, se, x, one, known=np.ones(len(value), dtype=bool), left=1.0)
    reach = np.where(carried < MIN_GROUPS, np.nan, stdtrit(np.maximum(carried - 1, 1), (1 + level) / 2))
    shares = np.bincount(reference * k + mapped, weights=weight, minlength=k * k) / weight.sum()
    return estimates(
        value,
        se,
        size,
        shares.reshape(k, k),
        reach=reach,
        units=counts,
        level=level,
        interval=interval,
        notes=_notes(m, carried, k),
    )


def _counted(cluster: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sampled cells by cluster (m,)."""
    counts = np.bincount(cluster, minlength=len(sizes))
    if len(sizes) < 2:
        raise JidoError(
            "One cluster does not tell how clusters differ, so no figure has a standard error: label another."
        )
    if len(wrong := np.flatnonzero((counts == 0) | ~(sizes >= counts))):
        at = wrong[0]
        raise JidoError(
            f"Cluster {at} holds {sizes[at]:g} cells, and {counts[at]} of them were labelled: leave out "
            "clusters without a label, and give the cells that each could be drawn from."
        )
    return counts


def _areas(area: np.ndarray | None, n: int) -> np.ndarray:
    areas = np.ones(n) if area is None else np.asarray(area, dtype=np.float64)
    if areas.shape != (n,) or not (np.isfinite(areas) & (areas > 0)).all():
        raise JidoError(f"Each of {n} cells has an area above 0: give one each, or none at all.")
    return areas


def _notes(m: int, carried: np.ndarray, k: int) -> tuple[str, ...]:
    """Sentences on few clusters, and on classes that few of them hold."""
    few = [place for place in range(k) if 0 < min(carried[1 + place], carried[1 + k + place]) < MIN_GROUPS]
    said = []
    if m < FEW:
        said.append(f"{m} clusters are few: how much clusters differ is a guess, and so are the intervals.")
    if few:
        said.append(
            f"{len(few)} of {k} classes lie in fewer than {MIN_GROUPS} of the clusters: no interval is "
            "claimed for their accuracies."
        )
    return tuple(said)
