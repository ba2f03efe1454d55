"""Where open water is: the threshold of a shore zone, and the share of water in each pixel.

After BlueDot (Water Observatory of Sentinel Hub): Canny's edges of an index image, a zone around them,
Otsu's threshold of that zone alone. Land far from a shore has no say, so a scene with little water gets
the threshold between water and *its* shores.

All works window by window. :class:`EdgeZone` picks up histograms while an image is read with a margin of
:data:`HALO` pixels; whether a pixel is in the zone does not depend on how the image was cut. Areas and
their errors: :mod:`jido.indicators.water_areas`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter, sobel

from jido.errors import ImageError
from jido.geo import Tile, lattice

SIGMA = 4.0
"""Of the Gaussian before edges are sought, in pixels (BlueDot)."""

RADIUS = 4
"""Of the disk around each pixel of an edge, in pixels (BlueDot)."""

HALO = 22
"""Pixels to be read around a window: 16 of the Gaussian, 2 of the edges, 4 of the disk."""

PURE = 2
"""Pixels of the zone farther than that from an edge are taken for pure land or pure water."""

BLOCK = 16
"""Least side in pixels of the blocks that are redrawn; no more than 64 lie side by side."""

MIN_BLOCKS = 9
"""With fewer blocks of shore no error is claimed."""

MIXED = 0.1
"""Least share of the pixels around an edge that lies on each side of the starting threshold."""

PART = 256
"""Side in pixels of the parts of a window that are passed over when no shore can lie in them."""

SOBEL = 8 / np.sqrt(2 * np.pi) / SIGMA
"""What Sobel's operator makes of a step of 1 after the Gaussian."""


def _itself(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    return plane


def _difference(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    """What is above the line of a normalised difference."""
    return bands[0] - bands[1]


def _power(plane: np.ndarray, bands: Sequence[np.ndarray]) -> np.ndarray:
    """Linear power of decibels."""
    return np.power(10, np.asarray(plane, dtype=np.float32) / 10)


@dataclass(frozen=True)
class Signal:
    """A plane in which water and land differ.

    Args:
        start: fixed threshold between them, as published.
        step: least difference of the two sides of an edge, in the unit of the plane.
        low: where its histogram begins; what lies below is counted in the first bin.
        high: where it ends.
        above: water lies above the threshold; with radar it lies below.
        mixing: (plane, bands of the index in order) -> what a pixel of land and water has in proportion
            to its parts: a sum of reflectances, or power. Ratios and decibels do not mix so.
        bins: of the histogram.
    """

    start: float
    step: float
    low: float
    high: float
    above: bool = True
    mixing: Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray] = _itself
    bins: int = 400

    @property
    def width(self) -> float:
        """Of a bin: the threshold is exact to that."""
        return (self.high - self.low) / self.bins


SIGNALS: dict[str, Signal] = {
    "ndwi": Signal(0.0, 0.25, -1.0, 1.0, mixing=_difference),
    "mndwi": Signal(0.0, 0.25, -1.0, 1.0, mixing=_difference),
    "awei_sh": Signal(0.0, 0.25, -2.0, 2.0),
    "awei_nsh": Signal(0.0, 0.25, -2.0, 2.0),
    "VV": Signal(-16.0, 3.0, -40.0, 10.0, above=False, mixing=_power),
    "VH": Signal(-23.0, 3.0, -45.0, 5.0, above=False, mixing=_power),
}


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


def shore_zone(plane: np.ndarray, signal: Signal, *, start: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels no farther than 4 from an edge, and those of them farther than 2, bool (y, x) each.

    Args:
        plane: (y, x), NaN = no data.
        signal: what it is; an edge has at least the strength of its step.
        start: keep edges with both sides of this threshold around them; None keeps all, as BlueDot.
    """
    seen = np.isfinite(plane)
    filled = np.where(seen, plane, 0).astype(np.float32)
    edges = np.zeros(plane.shape, dtype=bool)
    for part in lattice(plane.shape, tile=PART, halo=HALO - RADIUS):
        here, known = filled[part.read], seen[part.read]
        near = known if start is None else _both_sides(known & (here > start), known)
        if near[part.inner].any():
            edges[part.core] = (near & canny_edges(here, known, limit=signal.step * SOBEL))[part.inner]
    zone = _around(edges, RADIUS) & seen
    return zone, zone & ~_around(edges, PURE)


def _both_sides(wet: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Whether at least :data:`MIXED` of the pixels with data around are wet, and as many are not."""
    if not wet.any() or np.array_equal(wet, seen):
        return np.zeros_like(seen)
    ones = np.ones(2 * RADIUS + 1)

    def around(mask: np.ndarray) -> np.ndarray:  # whole numbers: exact, whatever the window
        rows = correlate1d(mask.astype(np.float32), ones, axis=0, mode="constant")
        return correlate1d(rows, ones, axis=1, mode="constant")

    above, count = around(wet), around(seen)
    return np.asarray(seen & (above >= MIXED * count) & (above <= (1 - MIXED) * count))


def canny_edges(filled: np.ndarray, seen: np.ndarray, *, limit: float) -> np.ndarray:
    """Canny's edges of one threshold, bool (y, x).

    A pixel is on an edge when the gradient there (Sobel, after a Gaussian of :data:`SIGMA`) is at least
    ``limit``, and no less than on either side along its direction. Weaker edges that hang on such ones
    are left out: how far these reach depends on the window. Pixels without data count neither in the
    Gaussian nor as edges, nor do those beside them. The rest is as in scikit-image.

    Args:
        filled: float32 (y, x), 0 where there is no data.
        seen: bool (y, x).
        limit: of the gradient; scikit-image's 0.2 is a step of 0.25.

    Source: Canny 1986, doi 10.1109/TPAMI.1986.4767851.
    """
    missing = gaussian_filter((~seen).astype(np.float32), SIGMA, mode="constant", cval=1.0)
    smooth = gaussian_filter(filled, SIGMA, mode="constant") / np.maximum(1 - missing, 1e-6)
    down, right = sobel(smooth, axis=0), sobel(smooth, axis=1)
    strength = np.sqrt(down**2 + right**2)
    row, col = (side + 1 for side in np.nonzero(strength[1:-1, 1:-1] >= limit))
    kept = np.logical_and.reduce([seen[row + y, col + x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    row, col = row[kept], col[kept]
    y, x = down[row, col], right[row, col]
    steep = np.abs(y) >= np.abs(x)
    slant = np.minimum(np.abs(y), np.abs(x)) / np.maximum(np.abs(y), np.abs(x))
    y, x = np.sign(y).astype(np.int64), np.sign(x).astype(np.int64)
    highest = np.ones(len(row), dtype=bool)
    for side in (1, -1):
        beside = strength[row + side * np.where(steep, y, 0), col + side * np.where(steep, 0, x)]
        across = strength[row + side * y, col + side * x]
        highest &= strength[row, col] >= slant * across + (1 - slant) * beside
    edges = np.zeros(seen.shape, dtype=bool)
    edges[row[highest], col[highest]] = True
    return edges


def _around(edges: np.ndarray, radius: int) -> np.ndarray:
    """The disk around each pixel of an edge; few are, so each is stamped."""
    wide = np.zeros(np.add(edges.shape, 2 * radius), dtype=bool)
    row, col = np.nonzero(edges)
    side = np.arange(2 * radius + 1) - radius
    for y, x in np.argwhere(side[:, None] ** 2 + side**2 <= radius**2):
        wide[row + y, col + x] = True
    return wide[radius:-radius, radius:-radius]


class EdgeZone:
    """The shore zone of an image, as histograms by block; windows add up.

    Args:
        signal: what the planes are, of :data:`SIGNALS`.
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
            plane: of ``tile.read``, (y, x), NaN = no data; :data:`HALO` pixels lie around
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
        zone, pure = (part[tile.inner] for part in shore_zone(plane, self.signal, start=self.start))
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


def water_plane(plane: np.ndarray, shore: Shore) -> np.ndarray:
    """1 for water, 0 for land, float32 (y, x), NaN = no data.

    Args:
        plane: (y, x), NaN = no data, of the kind that ``shore`` is of.
        shore: with the threshold.
    """
    with np.errstate(invalid="ignore"):
        wet = plane > shore.threshold if shore.signal.above else plane < shore.threshold
    return np.where(np.isfinite(plane), wet, np.nan).astype(np.float32)
