"""A score for tiles that respects the order of clusters that experts gave; no survey, no truth.

Han et al. 2020 (KDD, doi 10.1145/3394486.3403347) and Ahn et al. 2023 (Nature Communications, doi
10.1038/s41467-023-42122-8): paths through the partial order, soft ranks of mean scores, a price for spread
inside a cluster. Theirs is one large net from photographs; here the features of a tile stay as they are and
an ensemble of linear scores is learned (:mod:`jido.methods.score_members`): a few hundred tiles do not carry
more (experiments/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jido.data.tile_clusters import Clusters, in_order
from jido.errors import LabelsError
from jido.io import Progress
from jido.methods.score_config import PRESETS, SiscoreConfig, load_siscore_config
from jido.methods.score_members import (
    LEAST_CLUSTERS,
    TilesInClusters,
    agreement,
    best_round,
    draw_lesson,
    learned,
    on_one_scale,
    together,
    upright,
)
from jido.stats.partial_order import Order

__all__ = [
    "PRESETS",
    "Ensemble",
    "ScoreTraining",
    "SiscoreConfig",
    "load_siscore_config",
    "scale_of",
    "standardised",
    "train_score",
]

CLIPPED = 4.0
"""Standard deviations to which features are cut: one odd tile must not carry a score."""

ROUNDING = 1e-6
"""Spread of a feature, relative to its largest value, that float32 alone may leave."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Linear scores of standardised features: score = weight . (features - mean) / sd + bias.

    Args:
        mean: (D,) of the training tiles.
        sd: (D,) of the training tiles, infinite where a feature has no say.
        weight: (M, D).
        bias: (M,).
        bounds: to which scores are cut.
    """

    mean: np.ndarray
    sd: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    bounds: tuple[float, float]

    def members(self, features: np.ndarray) -> np.ndarray:
        """Score (M, N) of each member for features (N, D); NaN where they are not known."""
        seen = standardised(features, self.mean, self.sd)
        return np.clip(self.weight @ seen.T + self.bias[:, None], *self.bounds)


@dataclass(frozen=True, eq=False)
class ScoreTraining:
    """What came out of a training.

    Args:
        ensemble: the scores.
        agreement: (M,) Kendall's tau-b between the order and the mean scores of clusters, over pairs of
            clusters that the member has not seen; NaN where there are none. The round was chosen by the mean
            of these, which flatters it a little: by .03 where there was nothing to learn.
        kept: the round after which all members were kept, from 1.
        notes: what was left out, and what intervals know nothing of, a sentence each.
    """

    ensemble: Ensemble
    agreement: np.ndarray
    kept: int
    notes: tuple[str, ...] = field(default=())


def train_score(
    features: np.ndarray,
    ids: Sequence[str],
    clusters: Clusters,
    orders: Sequence[Order],
    *,
    config: SiscoreConfig,
    progress: Progress | None = None,
) -> ScoreTraining:
    """Learn an ensemble of scores.

    A cluster without tiles teaches nothing itself, but what follows from it for others holds; uninhabited
    clusters that nobody names stand below all. An expert who has it upside down by what the others say is
    turned round, lest a draw of experts turn a member. What is left out is told in the notes.

    Args:
        features: (N, D) of tiles; NaN for tiles without data.
        ids: (N,) of tiles.
        clusters: which tile is in which cluster.
        orders: one combined order, or those of several experts, of which each member draws some.
        config: settings.
        progress: told the members.

    Raises:
        LabelsError: when no tile is in a cluster of the order, all tiles look the same, experts cannot be
            combined, or they tell no two clusters apart.
        ModelError: when a training ends in what is no number.
    """
    cluster, seen = clusters.cluster_of(ids), np.isfinite(features).all(1)
    standing = upright(orders)
    whole = together(standing, clusters)
    known = np.isin(cluster, whole.names) & seen
    if not known.any():
        raise LabelsError("No tile is in a cluster of the order: check the names of clusters and tiles.")
    mean, sd = scale_of(features[known])
    tiles = TilesInClusters.of(standardised(features[known], mean, sd), cluster[known])
    _require_order(whole.among(tiles.names), orders)
    lessons, weights = [], []
    for member in range(config.members):
        lessons.append(draw_lesson(tiles, standing, clusters, config, member))
        weights.append(learned(lessons[-1], config))
        if progress:
            progress("learning scores", member + 1, config.members)
    pairs = list(zip(lessons, weights, strict=True))
    tau = np.array([[agreement(tiles.means(w), a.whole, a.order.names) for w in every] for a, every in pairs])
    kept = best_round(tau)
    lines = [on_one_scale(every[kept], tiles, a.whole) for a, every in pairs]
    weight, bias = (np.array(part) for part in zip(*lines, strict=True))
    ensemble = Ensemble(mean, sd, weight, bias, (0.0, 1.0))
    notes = (*_left_out(clusters, cluster, whole, seen), *_narrow(len(orders), len(tiles.names), config))
    return ScoreTraining(ensemble, tau[:, kept], kept + 1, notes)


def scale_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) of features (N, D).

    Infinite where one does not vary but for rounding: it has no say, in tiles where it does vary neither.

    Raises:
        LabelsError: when none varies.
    """
    values = features.astype(np.float64)
    mean, sd = values.mean(0), values.std(0)
    flat = sd <= ROUNDING * np.abs(values).max(0)
    if flat.all():
        raise LabelsError(
            f"All {len(values)} tiles look the same, so there is nothing to learn from them: give tiles that "
            "show something."
        )
    return mean, np.where(flat, np.inf, sd)


def standardised(features: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Features (N, D) float32 with mean 0 and length 1 on average, cut at :data:`CLIPPED`."""
    return (np.clip((features - mean) / sd, -CLIPPED, CLIPPED) / np.sqrt(len(mean))).astype(np.float32)


def _require_order(order: Order, orders: Sequence[Order]) -> None:
    if order.steps:
        return
    if len(orders) > 1 and any(one.among(order.names).steps for one in orders):
        raise LabelsError(
            f"What {len(orders)} experts say together tells no two clusters apart: ask more experts, or give "
            "one order of your own."
        )
    raise LabelsError(
        "The order says of no two clusters with tiles which is the more developed one: put clusters in order "
        "that have tiles."
    )


def _narrow(experts: int, clusters: int, config: SiscoreConfig) -> tuple[str, ...]:
    """What intervals know nothing of, a sentence each."""
    if not config.resample:
        return ("All members learn from the same: the intervals tell the spread of seeds alone.",)
    notes = []
    if experts == 1:
        notes.append("There is one order alone: the intervals know nothing of how experts differ.")
    if clusters < LEAST_CLUSTERS:
        notes.append("All members see all clusters, as they are few: the intervals know nothing of others.")
    return tuple(notes)


def _left_out(clusters: Clusters, cluster: np.ndarray, order: Order, seen: np.ndarray) -> tuple[str, ...]:
    """What teaches nothing, a sentence each."""
    here, named, notes = set(cluster.tolist()) - {""}, set(order.names), []
    if empty := in_order(named - here):
        notes.append(
            f"Cluster {', '.join(empty)} of the order has no tiles: only what follows from it counts."
        )
    if strange := in_order(here - named):
        notes.append(f"Cluster {', '.join(strange)} is not in the order and teaches nothing.")
    taught = cluster[seen & np.isin(cluster, order.names)]
    if alone := in_order(name for name in here & named if np.count_nonzero(taught == name) == 1):
        notes.append(f"Cluster {', '.join(alone)} has one tile alone, which tells nothing of its spread.")
    dark = cluster[~seen]
    if lost := in_order(here & named - set(taught.tolist())):
        notes.append(f"No tile of cluster {', '.join(lost)} has data, so it teaches nothing.")
    elif n := np.count_nonzero(dark != ""):
        notes.append(f"{n:,} tiles of clusters have no data and are left out.")
    if missing := len(clusters) - np.count_nonzero(cluster != ""):
        notes.append(f"Of {len(clusters):,} tiles in clusters {missing:,} are not among the tiles.")
    if outside := np.count_nonzero(cluster == ""):
        notes.append(f"{outside:,} of {len(cluster):,} tiles are in no cluster and teach nothing.")
    return tuple(notes)
