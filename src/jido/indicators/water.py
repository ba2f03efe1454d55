"""Where open water is: the threshold of a shore zone, and the share of water in each pixel.

After BlueDot (Water Observatory of Sentinel Hub): Canny's edges of an index image, a zone around them,
Otsu's threshold of that zone alone. Land far from a shore has no say, so a scene with little water gets
the threshold between water and *its* shores.

All works window by window. :class:`EdgeZone` picks up histograms while an image is read with a margin of
:data:`~jido.indicators.water_edges.HALO` pixels; whether a pixel is in the zone does not depend on how the
image was cut. Areas and their errors: :mod:`jido.indicators.water_areas`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jido.errors import ImageError
from jido.geo import Tile
from jido.indicators.water_edges import shore_zone
from jido.indicators.water_signals import Signal

BLOCK = 16
"""Least side in pixels of the blocks that are redrawn; no more than 64 lie side by side."""

MIN_BLOCKS = 9
"""With fewer blocks of shore no error is claimed."""


@dataclass(frozen=True, eq=False)
class Shore:
    """What the shore zone of an image says of water and of the land beside it.

    Args:
        signal: the plane it is of.
        threshold: between water and land, in the unit of the plane.
        se: its standard error, from redrawing blocks; NaN where none is claimed.
        ends: means of the mixing plane over pure land and pure water, (2,); NaN with a fixed threshold.
        covariance: of the ends, from redrawing blocks, (2, 2).
        blocks: that hold some of the zone.
        pixels: of the zone.
    """

    signal: Signal
    threshold: float
    se: float = np.nan
    ends: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))
    covariance: np.ndarray = field(default_factory=lambda: np.full((2, 2), np.nan))
    blocks: int = 0
    pixels: int = 0


def fixed_shore(signal: Signal) -> Shore:
    """The published threshold, for an image that shows no shore; no error is claimed with it."""
    return Shore(signal, signal.start)


class EdgeZone:
    """The shore zone of an image, as histograms by block; windows add up.

    Args:
        signal: what the planes are, of :data:`~jido.indicators.water_signals.SIGNALS`.
        shape: rows and columns of the image.
        start: as in :func:`shore_zone`: ``signal.start``, or None in a cut-out of a single lake.

    Source: Otsu 1979, doi 10.1109/TSMC.1979.4310076; edges that a starting threshold confirms: after
    Markert et al. 2020, doi 10.3390/rs12152469 (radar).
    """

    def __init__(self, signal: Signal, shape: tuple[int, int], *, start: float | None) -> None:
        self.signal, self.start = signal, start
        self.block = max(BLOCK, -(-max(shape) // 64))
        self.counts: dict[tuple[int, int], np.ndarray] = {}

    def add(self, plane: np.ndarray, tile: Tile, *, mixing: np.ndarray | None = None) -> None:
        """Take a window; cores must not overlap.

        Args:
            plane: of ``tile.read``, (y, x), NaN = no data; ``HALO`` pixels lie around
                ``tile.core``, fewer only at the rim of the image.
            tile: which window of the image that is.
            mixing: what ``signal.mixing`` makes of it, (y, x); the plane itself when not given.

        Raises:
            ImageError: when a plane does not fit its window.
        """
        rows, cols = tile.read
        mixing = plane if mixing is None else mixing
        if not plane.shape == mixing.shape == (rows.stop - rows.start, cols.stop - cols.start):
            raise ImageError(
                f"Planes of {plane.shape} and {mixing.shape} pixels do not fit the window of {tile.read}."
            )
        zone, pure = shore_zone(plane, self.signal, start=self.start, inner=tile.inner)
        row, col = np.nonzero(zone)
        if len(row):
            y, x = ((row + tile.core[0].start) // self.block, (col + tile.core[1].start) // self.block)
            mixed = mixing[tile.inner][row, col].astype(np.float64)
            self._count(y, x, plane[tile.inner][row, col], pure[row, col].astype(np.float64), mixed)

    def _count(
        self, y: np.ndarray, x: np.ndarray, value: np.ndarray, pure: np.ndarray, mixed: np.ndarray
    ) -> None:
        """Add pixels (n,) to the histograms of the blocks in row y and column x."""
        bins, top, left = self.signal.bins, int(y.min()), int(x.min())
        across = int(x.max()) - left + 1
        block = (y - top) * across + x - left
        number = np.clip((value - self.signal.low) / self.signal.width, 0, bins - 1).astype(np.int64)
        size = (int(block.max()) + 1) * bins
        weights = (np.ones(len(value)), pure, pure * mixed)
        sums = np.stack([np.bincount(block * bins + number, w, minlength=size) for w in weights])
        for i in np.flatnonzero(np.bincount(block)).tolist():
            name = (top + i // across, left + i % across)
            self.counts[name] = self.counts.get(name, 0) + sums[:, i * bins : (i + 1) * bins]

    def _histograms(self) -> np.ndarray:
        """(blocks, 3, bins): pixels, pure ones among them, sum of the mixing plane over these."""
        if not self.counts:
            sides = "" if self.start is None else f" with {self.start:g} between its sides"
            raise ImageError(
                f"No edge of a step of {self.signal.step:g}{sides} was found, so the image shows no shore: "
                "it holds no water, or nothing else, or clouds hide it; take the fixed threshold."
            )
        return np.stack([self.counts[name] for name in sorted(self.counts)])

    def threshold(self) -> float:
        """Otsu's threshold of the zone, in the unit of the plane, exact to ``signal.width``.

        Raises:
            ImageError: when there is no zone, as where all is land or all is water.
        """
        return _otsu(self._histograms().sum(axis=0)[0], self.signal)[1]

    def shore(self, *, draws: int = 200, seed: int = 0) -> Shore:
        """Threshold, land and water, with their errors from redrawing whole blocks.

        Args:
            draws: of the bootstrap.
            seed: of the draws.

        Raises:
            ImageError: as :meth:`threshold`.
        """
        counts, signal = self._histograms(), self.signal
        blocks, total = len(counts), counts.sum(axis=0)
        threshold, land, water = _fitted(total, signal)
        errors = np.full((3, 3), np.nan)
        if blocks >= MIN_BLOCKS:
            rng = np.random.default_rng(seed)
            times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws).astype(np.float64)
            drawn = np.array([_fitted(one, signal) for one in np.tensordot(times, counts, axes=1)])
            drawn = drawn[np.isfinite(drawn).all(axis=1)]  # one may hold no pure water
            errors = np.cov(drawn, rowvar=False) * blocks / (blocks - 1)
        return Shore(
            signal,
            threshold,
            float(np.sqrt(errors[0, 0])),
            np.array([land, water]),
            errors[1:, 1:],
            blocks,
            int(total[0].sum()),
        )


def _otsu(hist: np.ndarray, signal: Signal) -> tuple[int, float]:
    """First bin of the upper class and the threshold, the middle of all that part it equally well.

    Source: Otsu 1979, doi 10.1109/TSMC.1979.4310076, the variance between classes.
    """
    centre = np.arange(signal.bins) + 0.5
    count, total = np.cumsum(hist)[:-1], np.cumsum(hist * centre)[:-1]
    rest = hist.sum() - count
    best = np.flatnonzero((count > 0) & (rest > 0))
    if len(best):  # else all lies in one bin
        apart = hist @ centre / hist.sum() * count[best] - total[best]
        between = apart**2 / (count[best] * rest[best])
        best = best[between == between.max()]
    else:
        best = np.flatnonzero(hist)
    return int(best[0]) + 1, signal.low + signal.width * float(best[0] + best[-1] + 2) / 2


def _fitted(counts: np.ndarray, signal: Signal) -> tuple[float, float, float]:
    """Threshold, and the means of pure land and of pure water, from histograms (3, bins)."""
    first, threshold = _otsu(counts[0], signal)
    pixels, total = np.stack([counts[1:, :first].sum(axis=1), counts[1:, first:].sum(axis=1)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        lower, upper = total / pixels
    return (threshold, lower, upper) if signal.above else (threshold, upper, lower)


def is_water(plane: np.ndarray, shore: Shore) -> np.ndarray:
    """Where water is, bool (y, x); nowhere without data.

    Args:
        plane: (y, x), NaN = no data, of the kind that ``shore`` is of.
        shore: with the threshold.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(plane > shore.threshold if shore.signal.above else plane < shore.threshold)


def water_plane(plane: np.ndarray, shore: Shore) -> np.ndarray:
    """1 for water, 0 for land, float32 (y, x), NaN = no data; arguments as :func:`is_water`."""
    return np.where(np.isfinite(plane), is_water(plane, shore), np.nan).astype(np.float32)
