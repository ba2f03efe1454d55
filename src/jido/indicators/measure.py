"""One reading of a series of images: sums by cell of what an index says, and how its errors go together.

The error of a mean over a cell is never sd / sqrt(n) over its pixels: neighbours err alike. With several
dates the noise is what the dates say differently of one pixel. Its variogram gives the variance of a mean
of the index over any piece of ground; what a whole date says differently is added. What is made of the
index, such as a share above a threshold, errs where the index errs: much in a cell that lies near the
threshold, hardly in one far from it. How much is seen in the dates too, cell by cell
(:mod:`jido.indicators.response`). With one date nothing tells noise from landscape: the variogram of the
image itself is taken, and the interval is that of a mean over places like these, wider than the noise alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from jido.errors import ImageError, JidoError
from jido.geo import Window, pixel_size_m
from jido.indicators.cells import Cells
from jido.indicators.composite import TINY, Composite, composed, composite_factor
from jido.indicators.correlation import Correlation, PixelSample, fit_noise
from jido.indicators.response import LEAST_SEEN, Plane, Response, response_of, response_planes
from jido.indicators.shares import (
    BAND_PIXELS,
    CellSums,
    Placed,
    bands_of_rows,
    pixel_areas,
    read_ahead,
    window_sums,
)
from jido.indicators.uncertainty import missing_dates_variance
from jido.io import Progress, keep_memory
from jido.io.series import Series

NOISE = 0
"""With several dates the noise is that of the index, one and the same for all quantities."""

REACH = 1 / 3
"""Longest distance of a pair of pixels, in sides of the image, from the centre of its cluster."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a series says of cells: Q quantities made of an index, D dates.

    Args:
        sums: of the composite, a plane for each quantity.
        by_date: how far the index lies from the composite on each date, (D, n); NaN where a date shows
            too little of a cell.
        coverage: share of each cell that was seen on some date, (n,).
        seen_by_date: share of what was seen on some date that each date shows, (D, n).
        noise: how errors of the index go together on one date; with one date those of each quantity.
            Q of them.
        common: variance of the index that a date has as a whole.
        response: of the quantities to the noise; ``None`` with one date.
        field: how the composite itself goes together; Q of them.
        composite: how dates were put together.
    """

    sums: CellSums
    by_date: np.ndarray
    coverage: np.ndarray
    seen_by_date: np.ndarray
    noise: tuple[Correlation, ...]
    common: float
    response: Response | None
    field: tuple[Correlation, ...]
    composite: Composite

    @property
    def dates(self) -> int:
        """Number of dates."""
        return len(self.by_date)

    @property
    def n(self) -> np.ndarray:
        """Pixels with data, counted by their share in the cell, (n,)."""
        return self.sums.seen[0]

    def mean(self, quantity: int) -> np.ndarray:
        """Means over what was seen, (n,); NaN where nothing was."""
        return self.sums.mean[quantity]

    def standard_error(self, quantity: int) -> np.ndarray:
        """Of these means, (n,).

        Errors of the index are passed on by the slope; pixels that jump over a threshold, together with
        their neighbours, add a part; what noise moves to one side (a share near 0 can only grow) is added
        as it is.
        """
        if self.response is None:
            return np.sqrt(self.noise[quantity].mean_variance(self.sums.seen_m2[quantity], self.n))
        slope, bend = self.response.slope[quantity], self.response.bend[quantity]
        hidden = np.nan_to_num(missing_dates_variance(self.by_date, planned=self.dates))
        passed = slope**2 * (self._index_variance().sum(axis=0) + hidden)
        return np.sqrt(passed + self.response.jumping(quantity, self.n) + bend**2)

    def shared(self, quantity: int) -> float:
        """Share of the variance of cells that all have in common, 0..1: it does not average out."""
        if self.response is None:
            return 0.0
        common = self.response.slope[quantity] ** 2 * self._index_variance()[1]
        whole = np.nansum(self.standard_error(quantity) ** 2)
        return float(np.nansum(common) / whole) if whole > 0 else 0.0

    def _index_variance(self) -> np.ndarray:
        """Variance of the mean of the composite index: of the cell for itself, and in common, (2, n)."""
        noise = self.noise[NOISE]
        own = noise.mean_variance(self.sums.seen_m2[NOISE], self.n)
        likeness = (own + self.common) / max(noise.sill + noise.nugget + self.common, TINY)
        return np.stack([own, np.full(len(own), self.common)]) * self._factor(likeness)

    def _factor(self, likeness: np.ndarray) -> np.ndarray:
        """:func:`composite_factor` for the number of dates that show each cell, (n,)."""
        seen = np.clip(np.nan_to_num(self.seen_by_date.sum(axis=0)), 1, self.dates) - 1
        known = [composite_factor(self.composite, d, likeness) for d in range(1, self.dates + 1)]
        table, cell = np.stack(known), np.arange(len(seen))
        low, high = np.floor(seen).astype(int), np.ceil(seen).astype(int)
        return np.asarray(table[low, cell] + (seen - low) * (table[high, cell] - table[low, cell]))

    def error_model(self) -> str:
        """In words, for the method sheet."""
        if self.dates == 1:
            return (
                "Variance of a mean over the seen part of the cell, from the variogram of the image itself: "
                "with one date noise cannot be told from landscape, so it is the spread of means over places "
                "alike."
            )
        return (
            "Variance of a mean of the index over the seen part of the cell, from the variogram of "
            "differences between dates and what whole dates differ by, times that of the "
            f"{self.composite} of so many dates, times the slope of the quantity against the index in the "
            "cell; with the jumps of pixels over a threshold, alone and with their neighbours as the dates "
            "show it, and what noise moves to one side. Dates that clouds hide add the variance between "
            "dates (Cochran 1977, eq. 2.8)."
        )


def measure(
    series: Series,
    cells: Cells,
    *,
    roles: Sequence[str],
    index: Callable[..., np.ndarray],
    quantities: Sequence[Plane],
    composite: Composite = "median",
    seed: int = 0,
    progress: Progress | None = None,
) -> Measured:
    """Read every date once, window by window, and measure all cells.

    Args:
        series: the images.
        cells: in any CRS.
        roles: STAC common names of the bands of the index, in the order of its arguments.
        index: bands (y, x) -> index (y, x).
        quantities: what is averaged over a cell, of the composite index.
        composite: how dates are put together.
        seed: of the pixels from which errors are learned.
        progress: told how many rows are done.

    Raises:
        ImageError: when no cell lies on the images, or nothing was seen.
    """
    keep_memory()
    placed, geobox, dates = Placed(cells, series.geobox), series.geobox, len(series.images)
    samples = _samples(series, placed.window, len(quantities) + dates, seed)
    windows = bands_of_rows(geobox, within=placed.window, pixels=BAND_PIXELS // min(dates + 1, 8))
    total: CellSums | None = None

    def read(window: Window) -> np.ndarray:
        return np.stack([index(*series.read(place, window, roles)) for place in range(dates)])

    for window, stack in read_ahead(windows, read):
        image = composed(stack, composite)
        planes = [quantity(image) for quantity in quantities]
        for sample, plane in zip(samples, [*planes, *stack], strict=True):
            sample.take(window, plane)
        more: Iterable[np.ndarray] = ()
        if dates > 1:  # one plane at a time: there are many
            more = chain(stack - image, response_planes(stack, image, planes, quantities, composite))
        found = window_sums(placed.shares(window), chain(planes, more), pixel_areas(geobox, window))
        total = found if total is None else total + found
        if progress:
            progress("reading the images", window[0].stop, placed.window[0].stop)
    if total is None or not total.seen[0].any():
        raise ImageError("Nothing was seen in any cell: all of it is cloud or without data.")
    return _measured(total, samples, placed, len(quantities), composite)


def _measured(
    total: CellSums, samples: Sequence[PixelSample], placed: Placed, quantities: int, composite: Composite
) -> Measured:
    coverage, dates = total.coverage(placed)[0], len(samples) - quantities
    of_composite = CellSums(total.inside, total.inside_m2, *(
        part[:quantities] for part in (total.seen, total.seen_m2, total.total)
    ))  # fmt: skip
    fields = tuple(_field(sample) for sample in samples[:quantities])
    if dates == 1:
        only = np.where(coverage > 0, 1.0, np.nan)[None]
        return Measured(of_composite, 0 * only, coverage, only, fields, 0.0, None, fields, composite)
    per_date = slice(quantities, quantities + dates)
    with np.errstate(invalid="ignore", divide="ignore"):
        shown = total.seen_m2[per_date] / total.seen_m2[0]
    by_date = np.where(shown >= LEAST_SEEN, total.mean[per_date], np.nan)
    noise, common = _noise(samples[per_date], placed.window)
    response = response_of(total, quantities + dates, dates)
    return Measured(
        of_composite, by_date, coverage, shown, (noise,) * quantities, common, response, fields, composite
    )


def _samples(series: Series, window: Window, planes: int, seed: int) -> list[PixelSample]:
    """The same pixels of each plane."""
    reach = max(side.stop - side.start for side in window) * REACH * max(pixel_size_m(series.geobox))
    return [PixelSample(series.geobox, reach_m=reach, within=window, seed=seed) for _ in range(planes)]


def _field(sample: PixelSample) -> Correlation:
    """How the composite goes together; nothing is known of an image too small to tell."""
    try:
        return sample.fit()
    except JidoError:
        return Correlation(np.nan, np.nan, max(sample.pixel_m))


def _noise(samples: Sequence[PixelSample], window: Window) -> tuple[Correlation, float]:
    """How errors of the index go together on a date, and the variance of a date as a whole."""
    one, values = samples[0], np.stack([sample.values for sample in samples])
    area = np.prod([side.stop - side.start for side in window]) * np.prod(one.pixel_m)
    try:
        return fit_noise(one.rows, one.cols, values, pixel_m=one.pixel_m, area_m2=float(area))
    except JidoError:
        return Correlation(np.nan, np.nan, max(one.pixel_m)), np.nan
