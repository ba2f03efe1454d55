"""The members of an ensemble of scores: what each learns from, how it learns, and on which scale it says it.

Each member sees other experts, other clusters and other tiles, drawn with replacement. Clusters that it has
not seen tell how well it has learned the order, and when it is enough: no truth is needed. Two of them are
compared, never one with a cluster that was seen: the place of that one is known, and to guess the middle for
the other would already be better than chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jido.data.orders import with_uninhabited
from jido.data.tile_clusters import Clusters
from jido.errors import LabelsError, ModelError
from jido.methods.score_config import SiscoreConfig
from jido.stats.experts import combine
from jido.stats.partial_order import Order, ordered

LEAST_CLUSTERS = 6
"""From as many clusters on members draw among them; with fewer all see all."""

TRIES = 50
"""Draws of experts and clusters of which one must leave a path."""


@dataclass(frozen=True, eq=False)
class TilesInClusters:
    """Tiles of clusters.

    Args:
        features: (N, D) float32, standardised.
        names: of the K clusters.
        code: (N,) place of the cluster of each tile.
    """

    features: np.ndarray
    names: tuple[str, ...]
    code: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, cluster: np.ndarray) -> TilesInClusters:
        """By the name of the cluster of each tile, (N,)."""
        names, code = np.unique(cluster, return_inverse=True)
        return cls(features, tuple(names.tolist()), code)

    def members(self, name: str) -> np.ndarray:
        """Places (n,) of the tiles of a cluster."""
        return np.flatnonzero(self.code == self.names.index(name))

    def means(self, weight: np.ndarray) -> dict[str, float]:
        """Mean of weight . features in each cluster."""
        found = np.bincount(self.code, self.features @ weight) / np.bincount(self.code)
        return dict(zip(self.names, found.tolist(), strict=True))


# -- orders ------------------------------------------------------------------------------------


def upright(orders: Sequence[Order]) -> list[Order]:
    """The orders, with those turned round of experts who say the opposite of the others.

    Raises:
        LabelsError: when experts cannot be combined.
    """
    if len(orders) == 1:
        return list(orders)
    verdicts = combine(orders).verdicts
    return [
        ordered(order.groups, order.below.T, [*order.names, *order.skipped]) if said == "reversed" else order
        for order, said in zip(orders, verdicts, strict=True)
    ]


def together(orders: Sequence[Order], clusters: Clusters) -> Order:
    """One order of what is said; uninhabited clusters that it leaves out stand below all.

    Raises:
        LabelsError: when experts cannot be combined.
    """
    order = orders[0] if len(orders) == 1 else combine(orders).order()
    return with_uninhabited(order, clusters)


# -- what a member learns from -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a member learns from.

    Args:
        tiles: all of them.
        order: of the clusters that the member sees.
        whole: order of all clusters that have tiles.
        pool: places of the tiles of each cluster that it sees.
        rng: of its steps.
    """

    tiles: TilesInClusters
    order: Order
    whole: Order
    pool: Mapping[str, np.ndarray]
    rng: np.random.Generator

    def step(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Tiles of a path, so many of each group: their places, and the place of the group on the path."""
        path = self.order.sample_path(self.rng)
        chosen = [group[self.rng.integers(len(group))] for group in path]
        drawn = [self.rng.choice(self.pool[name], count) for name in chosen]
        return np.concatenate(drawn), np.repeat(np.arange(len(path)), count)


def draw_lesson(
    tiles: TilesInClusters, orders: Sequence[Order], clusters: Clusters, config: SiscoreConfig, number: int
) -> Lesson:
    """Experts, clusters and tiles that a member sees, drawn with replacement; all of them when it is told so.

    Raises:
        LabelsError: when draw after draw leaves no path.
    """
    rng, names = np.random.default_rng((config.seed, number)), list(tiles.names)
    for _ in range(TRIES):
        experts = rng.integers(len(orders), size=len(orders)) if config.resample else np.arange(len(orders))
        try:
            whole = together([orders[i] for i in experts], clusters).among(names)
        except LabelsError:  # without whoever compares two parts, or without a majority
            continue
        if (order := whole.among(_seen(names, clusters, config, rng))).steps:
            pool = {name: _redrawn(tiles.members(name), config, rng) for name in order.names}
            return Lesson(tiles, order, whole, pool, rng)
    raise LabelsError(
        f"Of {TRIES} draws of experts and clusters none left two clusters of which one is more developed: "
        "ask for more relations, or set resample = false."
    )


def _seen(
    names: Sequence[str], clusters: Clusters, config: SiscoreConfig, rng: np.random.Generator
) -> list[str]:
    """Clusters that a member sees, drawn among those of a kind: urban, rural, uninhabited.

    Who is alone of its kind is seen by all: without its one uninhabited cluster a member would not know what
    empty land looks like.
    """
    if not config.resample or len(names) < LEAST_CLUSTERS:
        return list(names)
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(clusters.kind_of(name), []).append(name)
    drawn = {some[i] for some in kinds.values() for i in rng.integers(len(some), size=len(some))}
    return sorted(drawn)


def _redrawn(places: np.ndarray, config: SiscoreConfig, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(places, len(places)) if config.resample else places


# -- how it learns -----------------------------------------------------------------------------


def learned(lesson: Lesson, config: SiscoreConfig) -> np.ndarray:
    """Weights (epochs, D) float32 after each round.

    Raises:
        ModelError: when they are no numbers any more.
    """
    import torch

    from jido.losses.ranking import SoftRankLoss, limited

    seen = torch.from_numpy(lesson.tiles.features)
    weight = torch.zeros(seen.shape[1], requires_grad=True)
    bias = torch.full((1,), 0.5, requires_grad=True)  # in the middle of 0..1
    decayed = {"params": [weight], "weight_decay": config.weight_decay}
    optimiser = torch.optim.AdamW([decayed, {"params": [bias], "weight_decay": 0}], lr=config.learning_rate)
    calm = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * config.steps)
    loss, rounds = SoftRankLoss(sharpness=config.sharpness, spread=config.spread), []
    for step in range(1, config.epochs * config.steps + 1):
        which, place = map(torch.from_numpy, lesson.step(config.tiles))
        optimiser.zero_grad()
        loss(limited(seen[which] @ weight + bias), place).backward()
        optimiser.step()
        calm.step()
        if step % config.steps == 0:
            rounds.append(weight.detach().numpy().copy())
    if not np.isfinite(rounds[-1]).all():
        raise ModelError("The score gives no numbers any more: take a lower learning_rate.")
    return np.array(rounds)


def best_round(agreements: np.ndarray) -> int:
    """The round of the best mean agreement (M, epochs) of members, of equals the last; the last if unknown.

    One for all members: the few clusters that one member has not seen would choose by chance.
    """
    known = np.isfinite(agreements)
    if not known.any():
        return agreements.shape[1] - 1
    mean = np.where(known, agreements, 0).sum(0) / known.sum(0)
    return len(mean) - 1 - int(mean[::-1].argmax())


def on_one_scale(weight: np.ndarray, tiles: TilesInClusters, order: Order) -> tuple[np.ndarray, float]:
    """Weights and bias of the score whose clusters have the mean and spread of their levels in 0..1.

    Ranks leave the scale open, so members would differ by what has no meaning. Clusters that stand in no
    relation have no level and no say.
    """
    means, related = tiles.means(weight), {i for step in order.steps for i in step}
    names = [name for i in sorted(related) for name in order.groups[i]]
    said, level = (np.array([of[name] for name in names]) for of in (means, order.levels))
    level = level / level.max()
    stretch = level.std() / said.std() if said.std() > 0 else 1.0
    return weight * stretch, float(level.mean() - stretch * said.mean())


def agreement(means: Mapping[str, float], order: Order, seen: Iterable[str]) -> float:
    """Kendall's tau-b of scores of clusters and an order, over pairs of clusters that were not seen.

    Args:
        means: score of each cluster of the order.
        order: what is asked for.
        seen: clusters that the score was learned from.

    Returns:
        -1..1; NaN where there is no such pair, or all are equal in one of the two.
    """
    names = [name for name in order.names if name not in set(seen)]
    score, upper = np.array([means[name] for name in names]), np.triu_indices(len(names), 1)
    wanted = order.signs(names)[upper]
    found = np.sign(score[upper[0]] - score[upper[1]])
    said = np.isfinite(wanted)
    size = np.sqrt(np.sum(found[said] ** 2) * np.sum(wanted[said] ** 2))
    return float(found[said] @ wanted[said] / size) if size else float("nan")
