"""Vectors of one kind of tiles in groups, as many as the silhouette says."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jido.errors import LabelsError
from jido.methods.cluster_config import ClusterConfig

JUDGED = 5000
"""Tiles by which a silhouette is taken, at most: its cost grows with their square."""

ROUND = 1e-6
"""Vectors of length 1 that differ by less are the same, and directions with less of the spread are none."""


def whitened(features: np.ndarray, *, dims: int) -> np.ndarray:
    """Vectors along their main directions, each direction with the same spread, brought to length 1.

    Caron et al. 2018, section 4 (features are PCA-reduced, whitened and L2-normalised).

    Args:
        features: (n, D).
        dims: directions that are kept, at most; those without spread never are.

    Returns:
        (n, d), d of 1 or more; all 0 where all vectors are the same.
    """
    centred = features - features.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    kept = min(dims, int((spread > ROUND * max(spread[0], ROUND)).sum()))
    if not kept:
        return np.zeros((len(features), 1))
    found = left[:, :kept]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True, eq=False)
class Grouping:
    """Tiles of one kind in groups.

    Args:
        label: (n,) int64 number of the group, 0..k - 1, no group empty.
        distance: (n,) from the middle of the group, among vectors of length 1.
        silhouettes: k that was tried -> mean silhouette, -1..1 (Rousseeuw 1987, doi
            10.1016/0377-0427(87)90125-7); empty where k was given.
        notes: what was found on the way, a sentence each.
    """

    label: np.ndarray
    distance: np.ndarray
    silhouettes: dict[int, float]
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Groups."""
        return int(self.label.max()) + 1


def grouped(features: np.ndarray, kind: str, *, config: ClusterConfig) -> Grouping:
    """Vectors of tiles of one kind in groups; how many is given, or told by the silhouette.

    Args:
        features: (n, D), n of 1 or more.
        kind: what the tiles are, for the notes and the k that is asked for.
        config: the settings.

    Raises:
        LabelsError: when more groups are asked for than there are tiles.
    """
    n, asked = len(features), config.asked(kind)
    require_enough(kind, n, config)
    points = whitened(features, dims=config.dims_of(n))
    different = len(np.unique(points.round(6), axis=0))
    tried = {k: _k_means(points, k, config) for k in _candidates(n, different, asked, config)}
    silhouettes: dict[int, float] = {}
    if asked is None:
        silhouettes = {
            k: _silhouette(points, labels, config.seed) for k, (labels, _) in tried.items() if k > 1
        }
    k = max(silhouettes, key=lambda one: silhouettes[one]) if silhouettes else next(iter(tried))
    label, distance = tried[k]
    return Grouping(label, distance, silhouettes, _notes(kind, n, k, different, silhouettes, config))


def whole(features: np.ndarray, *, config: ClusterConfig) -> Grouping:
    """All tiles (n, D) in one group."""
    points = whitened(features, dims=config.dims_of(len(features)))
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    return Grouping(np.zeros(len(features), np.int64), distance, {})


def require_enough(kind: str, count: int, config: ClusterConfig) -> None:
    """Refuse more groups than tiles.

    Raises:
        LabelsError: when more are asked for than ``count``.
    """
    asked = config.asked(kind)
    if asked is not None and asked > count:
        few = f"only {count} tiles are {kind}" if count else f"no tile is {kind}"
        raise LabelsError(
            f"{asked} clusters of {kind} tiles are asked for, but {few}: ask for fewer with --k-{kind}, or "
            "give more tiles."
        )


def _candidates(n: int, different: int, asked: int | None, config: ClusterConfig) -> list[int]:
    """Numbers of groups to try: of two tiles each or more, unless a number is asked for."""
    if asked is not None:
        return [min(asked, different)]
    most = min(config.k_most, n // 2, different)
    return list(range(config.k_least if most >= config.k_least else 2, most + 1)) or [1]


def _notes(
    kind: str, n: int, k: int, different: int, silhouettes: Mapping[int, float], config: ClusterConfig
) -> tuple[str, ...]:
    asked = config.asked(kind)
    if asked is not None:
        told = f"Only {different} of the {n} {kind} tiles are different: they are {k} clusters, not {asked}."
        return (told,) if k < asked else ()
    if not silhouettes:
        return (
            f"There are {n} {kind} tiles, {different} of them different: too few to part, so one cluster.",
        )
    if k == config.k_most:
        told = f"The silhouette of {kind} tiles is highest at {k} clusters, the most that were tried"
        return (f"{told}: more may be better, give --k-{kind}.",)
    most = max(silhouettes)
    told = f"With {n} {kind} tiles no more than {most} clusters were tried, not {config.k_most}."
    return (told,) if most < config.k_most else ()


def _k_means(points: np.ndarray, k: int, config: ClusterConfig) -> tuple[np.ndarray, np.ndarray]:
    """Groups (n,) without empty ones, and distances (n,) from their middles.

    A group that becomes empty on the way gets the point that lies farthest off (scikit-learn does so).
    """
    label, centres = k_means_labels(points, k, starts=config.starts, seed=config.seed)
    return label, np.linalg.norm(points - centres[label], axis=1)


def k_means_labels(points: np.ndarray, k: int, *, starts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups (n,) int64 numbered without gaps, and their middles."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than groups
        found = KMeans(k, n_init=starts, random_state=seed).fit(points)
    taken, label = np.unique(found.labels_, return_inverse=True)
    return label.astype(np.int64), found.cluster_centers_[taken]


def _silhouette(points: np.ndarray, label: np.ndarray, seed: int) -> float:
    from sklearn.metrics import silhouette_score

    if label.max() < 1:
        return -1.0
    some = np.random.default_rng(seed).permutation(len(points))[:JUDGED]
    if len(np.unique(label[some])) < 2:
        return -1.0
    return float(silhouette_score(points[some], label[some]))
