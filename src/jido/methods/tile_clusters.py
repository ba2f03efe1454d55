"""Tiles grouped by what a net sees in them, urban and rural ones apart: what experts then put in order.

Deep clustering (Caron et al. 2018, doi 10.1007/978-3-030-01264-9_9) as in siScore (Han et al. 2020, doi
10.1145/3394486.3403347; Ahn et al. 2023, doi 10.1038/s41467-023-42122-8): vectors of a net are whitened,
brought to length 1 and grouped by k-means; the net learns the groups, and the vectors are grouped again
(:mod:`jido.methods.deep_clusters`). How many clusters there are is told by the silhouette. Uninhabited
tiles are one cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.tile_clusters import INHABITED, KINDS, Clusters, read_clusters, read_kinds
from jido.errors import LabelsError
from jido.io import Progress
from jido.methods.cluster_config import ClusterConfig, load_cluster_config
from jido.methods.deep_clusters import DeepClustering
from jido.methods.grouping import grouped, require_enough, whole

if TYPE_CHECKING:
    from jido.methods.encoder_package import EncoderPackage
    from jido.methods.net import NetModel

__all__ = [
    "KINDS",
    "ClusterConfig",
    "ClusterResult",
    "Clusters",
    "cluster_features",
    "cluster_tiles",
    "load_cluster_config",
    "read_clusters",
    "read_kinds",
]


@dataclass(frozen=True, eq=False)
class ClusterResult:
    """Clusters of tiles and what they rest on.

    Args:
        clusters: of all tiles: urban ones first, then rural ones, uninhabited tiles last.
        distance: (N,) of each tile from the middle of its cluster, among vectors of length 1.
        features: (N, D) float32 vectors of the tiles.
        silhouettes: of each kind, k that was tried -> mean silhouette; empty where k was given.
        history: a row per epoch of the net.
        notes: what was found on the way, a sentence each.
    """

    clusters: Clusters
    distance: np.ndarray
    features: np.ndarray
    silhouettes: dict[str, dict[int, float]]
    history: list[dict[str, Any]]
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> dict[str, int]:
        """Clusters of each kind that has tiles."""
        clusters = self.clusters
        kinds = [clusters.kind_of(name) for name in clusters.names]
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}

    def nearest(self, name: str, most: int) -> np.ndarray:
        """Places of the tiles of a cluster, those nearest to its middle first."""
        places = self.clusters.members(name)
        return places[np.argsort(self.distance[places], kind="stable")][:most]


def cluster_tiles(
    chips: Chips,
    kinds: np.ndarray,
    *,
    config: ClusterConfig,
    start: EncoderPackage | NetModel | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
) -> ClusterResult:
    """Clusters of tiles by what a net sees that has learned from them without labels.

    One net sees urban and rural tiles; their groups are never mixed.

    Args:
        chips: the tiles; ``name`` is the id of each.
        kinds: (N,) what each is, one of :data:`KINDS`.
        config: the settings.
        start: what the net begins with: an encoder that has learned without labels, or a net that knows
            classes of tiles, as in the paper; fresh weights without it.
        work: an existing folder for the checkpoint: what was cut off goes on from there.
        progress: told how far it is.

    Raises:
        LabelsError: when no tile is inhabited, or more clusters are asked for than there are tiles.
        ModelError: when the start does not fit the tiles, and when the training gives no numbers.
    """
    require_kinds(kinds, len(chips), config)
    deep = DeepClustering(chips, kinds, config, start=start)
    deep.run(work, progress=progress)
    result = cluster_features(deep.vectors(np.arange(len(chips))), chips.name, kinds, config=config)
    return replace(result, history=deep.rows)


def cluster_features(
    features: np.ndarray, ids: np.ndarray, kinds: np.ndarray, *, config: ClusterConfig
) -> ClusterResult:
    """Clusters of tiles by vectors that somebody else has made of them.

    Numbers of clusters are dealt out by chance within a kind: they tell no order.

    Args:
        features: (N, D) finite.
        ids: (N,) text.
        kinds: (N,) what each is, one of :data:`KINDS`.
        config: the settings; those of the net do not count.

    Raises:
        LabelsError: as :func:`cluster_tiles`.
    """
    require_kinds(kinds, len(features), config)
    number, distance = np.zeros(len(features), np.int64), np.zeros(len(features))
    silhouettes, notes, taken = {}, [], 0
    for kind in KINDS:
        places = np.flatnonzero(kinds == kind)
        if not len(places):
            notes.append(f"No tile is {kind}, so there is no cluster of such tiles.")
            continue
        part = (
            grouped(features[places], kind, config=config)
            if kind in INHABITED
            else whole(features[places], config=config)
        )
        names = np.random.default_rng((config.seed, part.k)).permutation(part.k)
        number[places], distance[places] = taken + names[part.label], part.distance
        taken += part.k
        notes += part.notes
        if kind in INHABITED:
            silhouettes[kind] = part.silhouettes
    clusters = Clusters(ids.astype(str), number.astype(str), kinds.astype(str))
    alone = [name for name in clusters.names if len(clusters.members(name)) == 1]
    notes += [f"Cluster {name} has one tile alone: ask for fewer clusters of its kind." for name in alone]
    found = np.asarray(features, np.float32)
    return ClusterResult(clusters, distance, found, silhouettes, [], tuple(notes))


def require_kinds(kinds: np.ndarray, count: int, config: ClusterConfig) -> None:
    """Refuse kinds that leave nothing to part, before anything long is done.

    Raises:
        ValueError: when there is not one kind for each tile.
        LabelsError: as :func:`cluster_tiles`.
    """
    if len(kinds) != count:
        raise ValueError(f"{count} tiles have {len(kinds)} kinds: give one for each.")
    if other := sorted(set(kinds.tolist()) - set(KINDS)):
        raise LabelsError(f"{other[0]!r} is no kind of tile: use {', '.join(KINDS)}.")
    if not np.isin(kinds, INHABITED).any():
        raise LabelsError(
            f"None of the {count} tiles is urban or rural, so there is nothing to part into clusters: give "
            "tiles of inhabited land, or other classes."
        )
    for kind in INHABITED:
        require_enough(kind, int((kinds == kind).sum()), config)
