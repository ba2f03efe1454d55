"""How the learning rate runs: factors of it, functions of the share of a training that is behind."""

from __future__ import annotations

import math


def triangle(done: float, *, warmup: float = 0.15) -> float:
    """Up from nearly 0 to 1 in the first share of a training, then down to 0 in a straight line."""
    return max(done, 1e-3) / warmup if done < warmup else max(1 - done, 0.0) / (1 - warmup)


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2


def restarts(epoch: float, *, first: float, factor: float) -> float:
    """Cosines that begin anew after ``first`` epochs, each ``factor`` times as long as the one before.

    The same paper, section 3; ``epoch`` may be a part of one.
    """
    length = first
    while epoch >= length:
        epoch -= length
        length *= factor
    return cosine(epoch / length)
