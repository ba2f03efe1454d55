"""What a training without labels is watched by: how far vectors spread, what neighbours have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jido.data.pool import Pool

NEIGHBOURS, SHARPNESS = 20, 0.07
"""Of the k-NN probe: how many vote, and the temperature of their votes (Wu et al. 2018, arXiv 1805.01978)."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Labelled patches on which a training without labels is watched; it never learns from them.

    Args:
        pool: the patches.
        y: (N,) their classes.
        known: places of those whose classes are told.
        asked: places of those that are judged by their neighbours.
    """

    pool: Pool
    y: np.ndarray
    known: np.ndarray
    asked: np.ndarray

    def accuracy(self, vectors: np.ndarray) -> float:
        """Share of right answers of the k-NN probe by cosine, given vectors (N, D) of all patches."""
        one = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        near = one[self.asked] @ one[self.known].T
        k = min(NEIGHBOURS, len(self.known))
        best = np.argpartition(-near, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(self.asked), int(self.y.max()) + 1))
        weight = np.exp(np.take_along_axis(near, best, 1) / SHARPNESS)
        np.add.at(votes, (np.arange(len(votes))[:, None], self.y[self.known][best]), weight)
        return float((votes.argmax(1) == self.y[self.asked]).mean())


def spread(vectors: np.ndarray) -> tuple[float, float]:
    """How far an encoder tells patches apart.

    Args:
        vectors: (n, D).

    Returns:
        Mean standard deviation of the normalised vectors times sqrt(D): about 1 when they point
        everywhere, 0 when all are the same; and the effective rank, 1..D: the exponential of the
        entropy of the singular values (Roy and Vetterli 2007, EUSIPCO).
    """
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    deviation = float(directions.std(0).mean() * np.sqrt(vectors.shape[1]))
    singular = np.linalg.svd(directions - directions.mean(0), compute_uv=False)
    share = singular / max(singular.sum(), 1e-12)
    share = share[share > 0]
    return deviation, float(np.exp(-(share * np.log(share)).sum()))
