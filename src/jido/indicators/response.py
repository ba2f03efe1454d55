"""What the noise of a composite does to what is made of it: slope, jumps over a threshold, bend.

What each date says differently is noise that was seen, with all its likeness from pixel to pixel. Shrunk to
the size that noise still has in the composite, and added to it, it shows how far each quantity would move.
The part that follows the index goes by the slope. The rest is pixels that jump: a pixel near the threshold
jumps together with those of its neighbours that lie near it, too. How many these are is learned from all
cells together, from how much more the means of cells move than they would if each pixel jumped for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jido.indicators.composite import TINY, Composite, composite_variance
from jido.indicators.shares import CellSums

Plane = Callable[[np.ndarray], np.ndarray]
"""Of numbers of an index (y, x) others; NaN stays NaN."""

LEAST_SEEN = 0.1
"""Share of a cell that a date must show to count as a date of that cell."""


@dataclass(frozen=True, eq=False)
class Response:
    """What the noise of the composite does to the quantities made of it, by cell.

    Args:
        slope: by how much the mean of a quantity changes when the index does, (Q, n).
        jumps: variance of a pixel of a quantity that does not follow the index, (Q, n).
        bend: by how much noise moves the mean of a quantity to one side, (Q, n).
        around: pixels around one that would jump with it if all were as near the threshold, (Q,).
    """

    slope: np.ndarray
    jumps: np.ndarray
    bend: np.ndarray
    around: np.ndarray

    def jumping(self, quantity: int, n: np.ndarray) -> np.ndarray:
        """Variance of a mean over n pixels by jumps, (n,): of each for itself, and of those alike.

        Of the pixels around a share of about ``jumps`` is near the threshold as well, and jumps with it.
        """
        own = self.jumps[quantity]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(own / n * (1 + np.minimum(self.around[quantity], n) * own))


def response_planes(
    stack: np.ndarray,
    image: np.ndarray,
    planes: Sequence[np.ndarray],
    quantities: Sequence[Plane],
    composite: Composite,
) -> Iterator[np.ndarray]:
    """Planes (y, x) of which :func:`response_of` takes the sums; NaN where fewer than two dates show a pixel.

    With e the noise of a date in the size of the composite's, and t what a quantity moves by it: mean of
    e², e of each date; for each quantity mean of e t and of t², bend, t of each date.

    Args:
        stack: the index by date, (D, y, x).
        image: its composite, (y, x).
        planes: the quantities of the composite.
        quantities: what they are of the index.
        composite: how dates were put together.
    """
    seen = np.isfinite(stack)
    whole, count = bool(seen.all()), seen.sum(axis=0, dtype=np.float32)
    sizes = np.array([0.0, 0.0, *(_size(composite, dates) for dates in range(2, len(stack) + 1))])
    twice = np.where(count < 2, np.nan, count)

    def shown(parts: np.ndarray) -> np.ndarray:
        return parts if whole else np.where(seen & (count > 1), parts, np.nan)

    def mean(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("dyx,dyx->yx", one, two) / twice)

    known = stack if whole else np.where(seen, stack, 0)
    noise = (known - known.sum(axis=0) / np.maximum(count, 1)) * sizes[count.astype(int)].astype(np.float32)
    noise = noise if whole else np.where(seen, noise, 0)  # without noise nothing moves
    yield mean(noise, noise)
    yield from shown(noise)
    for plane, quantity in zip(planes, quantities, strict=True):
        moved = np.stack([quantity(image + one) - plane for one in noise])
        yield mean(noise, moved)
        yield mean(moved, moved)
        if composite == "median":
            yield moved.sum(axis=0) / twice
        else:  # a maximum is off by far more than its noise: by what single dates are below it
            below = shown(np.stack([quantity(one) - plane for one in stack]))
            yield (below if whole else np.nan_to_num(below)).sum(axis=0) / twice
        yield from shown(moved)


def _size(composite: Composite, dates: int) -> float:
    """Of the noise of a composite of so many dates, in departures of one of them from their mean."""
    return float(np.sqrt(composite_variance(composite, dates) * dates / (dates - 1)))


def response_of(total: CellSums, first: int, dates: int) -> Response:
    """The response from sums whose planes from the first one on are those of :func:`response_planes`."""
    sums, area = total.total[first:], total.seen_m2[first:]
    noise, by_date = sums[0], sums[1 : 1 + dates]
    rest = sums[1 + dates :].reshape(-1, 3 + dates, sums.shape[1])

    def ratio(part: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Cell by cell; that of all cells together where a cell has no pixel seen twice."""
        whole = part.sum(axis=-1, keepdims=True) / max(of.sum(), TINY)
        return np.divide(part, of, out=np.broadcast_to(whole, part.shape).copy(), where=of > 0)

    slope, own, bend = (ratio(rest[:, place], of) for place, of in enumerate((noise, area[0], area[0])))
    jumps = np.maximum(own - slope**2 * ratio(noise, area[0]), 0)
    shown = area[1 : 1 + dates] / np.maximum(total.seen_m2[0], TINY)
    shown = np.where(shown >= LEAST_SEEN, shown, 0)
    apart = (rest[:, 3:] - slope[:, None] * by_date) / np.maximum(area[1 : 1 + dates], TINY)
    around = [_around(*parts, shown, total.seen[0]) for parts in zip(apart, jumps, strict=True)]
    return Response(slope, jumps, bend, np.array(around))


def _around(apart: np.ndarray, jumps: np.ndarray, shown: np.ndarray, n: np.ndarray) -> float:
    """How many pixels around one are alike, so that means of cells (D, n) lie apart by date as they do."""
    dates, weight = (shown > 0).sum(axis=0), shown.sum(axis=0)
    used = (dates > 1) & (n > 0)
    apart, jumps, shown, dates, weight = (part[..., used] for part in (apart, jumps, shown, dates, weight))
    middle = (shown * apart).sum(axis=0) / weight
    spread = (shown * (apart - middle) ** 2).sum(axis=0) / weight * dates / (dates - 1)
    alone = jumps * dates / weight / n[used]  # were each to jump for itself, on the part that a date shows
    due = float((alone * jumps).sum())
    return max(float((spread - alone).sum()) / due, 0.0) if due > 0 else 0.0
