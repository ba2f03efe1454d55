"""How fast likeness falls with distance: a variogram fitted to a subsample of pixels.

Pixels near each other say nearly the same, so a mean over many of them is much less certain than
sd/sqrt(n). The variance of a mean over an area is the mean covariance of all pairs of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from odc.geo.geobox import GeoBox
from scipy.optimize import nnls

from jido.errors import JidoError
from jido.geo import Window, pixel_size_m

LAGS = 16
FEWEST_PAIRS = 30
POWERS = (1.0, 2.0)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True)
class Correlation:
    """Covariance of two pixels: sill * exp(-(distance / length) ** power), and nugget more at distance 0.

    Args:
        sill: variance of the part that neighbours share, unit².
        nugget: variance of the part that each pixel has for itself, unit².
        length_m: correlation length in metres, above 0.
        power: 1 for rough fields (exponential), 2 for smooth ones (Gaussian).
    """

    sill: float
    nugget: float
    length_m: float
    power: float = 1.0

    def mean_variance(self, area_m2: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Variance of the mean over pieces of ground: of what was seen, so clouds make it larger.

        The seen part is taken for one square. Long or scattered pieces have a smaller variance, so
        for them it is rather too large.

        Args:
            area_m2: what was seen of each, (k,).
            n: pixels seen, (k,).

        Returns:
            (k,), NaN where nothing was seen.
        """
        ratio = np.sqrt(np.maximum(area_m2, 0)) / self.length_m
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = self.sill * square_correlation(ratio, power=self.power) + self.nugget / n
        return np.where((np.asarray(area_m2) > 0) & (np.asarray(n) > 0), variance, np.nan)


def square_correlation(ratio: np.ndarray | float, *, power: float = 1.0) -> np.ndarray:
    """Mean of exp(-(distance / length) ** power) over all pairs of points of a square of side ratio * length.

    1 for a small square; for a large one about 2 pi / ratio² (power 1) or pi / ratio² (power 2).
    Distances along the two sides have the densities 2 (1 - u) and 2 (1 - v).

    Args:
        ratio: (...,), at least 0.
        power: 1 or 2.
    """
    t, w = (_NODES + 1) / 2, _WEIGHTS / 2
    u, density = t**3, w * 3 * t**2 * 2 * (1 - t**3)  # nodes gather at 0, where exp falls fast
    distance = np.hypot(u[:, None], u)
    pairs = density[:, None] * density
    flat = np.asarray(ratio, dtype=np.float64).ravel()
    mean = [float((pairs * np.exp(-((r * distance) ** power))).sum()) for r in flat]
    return np.array(mean).reshape(np.shape(ratio))


def sample_pixels(
    shape: tuple[int, int], *, reach: float, clusters: int = 300, each: int = 16, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Where to look: clusters of pixels with all distances up to ``reach`` alike often, log scale.

    Args:
        shape: rows and columns of the image.
        reach: longest distance from the centre of a cluster, in pixels.
        clusters: how many.
        each: pixels of a cluster.
        seed: of the draw.

    Returns:
        Row and column (clusters, each), int64; -1 where a pixel would lie off the image.
    """
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 1, (2, clusters, 1)) * np.reshape(shape, (2, 1, 1))
    away = np.exp(rng.uniform(0, np.log(max(reach, 1.0)), (clusters, each)))
    turn = rng.uniform(0, 2 * np.pi, (clusters, each))
    away[:, 0] = 0
    row, col = np.floor(centre + away * np.stack([np.sin(turn), np.cos(turn)])).astype(np.int64)
    off = (row < 0) | (row >= shape[0]) | (col < 0) | (col >= shape[1])
    return np.where(off, -1, row), np.where(off, -1, col)


def fit_correlation(
    rows: np.ndarray, cols: np.ndarray, values: np.ndarray, *, pixel_m: tuple[float, float]
) -> Correlation:
    """An exponential or a Gaussian variogram with nugget, fitted to pairs within clusters.

    Mean half squared differences by distance (Matheron 1963), weighted least squares with pairs /
    gamma² (Cressie 1985, doi 10.1007/BF01032109) for sill and nugget, the length searched on a grid.
    Differences of true values between places count as noise too: the interval is rather too wide.

    Args:
        rows: of sampled pixels (clusters, each), as :func:`sample_pixels` gives them.
        cols: theirs.
        values: theirs, NaN = no data (also off the image).
        pixel_m: height and width of a pixel on the ground in metres.

    Raises:
        JidoError: when too few pairs were seen.
    """
    one, two = np.triu_indices(rows.shape[1], 1)
    distance = np.hypot(
        (rows[:, one] - rows[:, two]) * pixel_m[0], (cols[:, one] - cols[:, two]) * pixel_m[1]
    )
    half = (values[:, one] - values[:, two]) ** 2 / 2
    used = np.isfinite(half) & (distance > 0)
    distance, half = distance[used], half[used]
    if len(half) < 4 * FEWEST_PAIRS:
        raise JidoError(
            f"Only {len(half)} pairs of pixels were seen, too few to fit how they are correlated: give a "
            "larger image or one with fewer clouds."
        )
    edges = np.geomspace(distance.min() * 0.999, distance.max() * 1.001, LAGS + 1)
    lag = np.digitize(distance, edges) - 1
    count = np.bincount(lag, minlength=LAGS)
    kept = count >= FEWEST_PAIRS
    h, gamma = (np.bincount(lag, part, minlength=LAGS)[kept] / count[kept] for part in (distance, half))
    return _fitted(h, gamma, count[kept])


def fit_noise(
    rows: np.ndarray,
    cols: np.ndarray,
    values: np.ndarray,
    *,
    pixel_m: tuple[float, float],
    area_m2: float,
) -> tuple[Correlation, float]:
    """How errors of one date go together, from what dates say differently of the same pixels.

    A pixel's departures from its mean over the D dates that show it are widened by D / (D - 1). Pairs
    of pixels do not see what shifts a date as a whole (haze, season): that is what the mean squares of
    the dates' mean departures exceed the fitted variance of such a mean by.

    Args:
        rows: of sampled pixels (clusters, each), as :func:`sample_pixels` gives them.
        cols: theirs.
        values: theirs by date (dates, clusters, each), NaN = no data.
        pixel_m: height and width of a pixel on the ground in metres.
        area_m2: from which they were sampled.

    Returns:
        The variogram, and the variance of a date as a whole.

    Raises:
        JidoError: when too few pairs were seen.
    """
    seen = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.nansum(values, axis=0) / seen
        apart = (values - middle) * np.sqrt(np.where(seen > 1, seen / (seen - 1), np.nan))
    one, two = (np.tile(part, (len(values), 1)) for part in (rows, cols))
    noise = fit_correlation(one, two, np.concatenate(apart), pixel_m=pixel_m)
    count = np.isfinite(apart).sum(axis=(1, 2))
    whole = np.nansum(apart, axis=(1, 2))[count > 0] / count[count > 0]
    due = noise.mean_variance(area_m2 * count / (rows >= 0).sum(), count)[count > 0]
    return noise, max(float(np.mean(whole**2 - due)), 0.0)


def _fitted(h: np.ndarray, gamma: np.ndarray, count: np.ndarray) -> Correlation:
    if not gamma.max() > 0:
        return Correlation(0.0, 0.0, float(h[0]))
    weight = np.sqrt(count) / np.maximum(gamma, 1e-6 * gamma.max())
    least, best = np.inf, Correlation(0.0, 0.0, float(h[0]))
    for power, length in product(POWERS, np.geomspace(h[0] / 2, h[-1], 40)):
        design = np.column_stack([1 - np.exp(-((h / length) ** power)), np.ones(len(h))])
        (sill, nugget), rest = nnls(design * weight[:, None], gamma * weight)
        if rest < least:
            found = float(sill), float(nugget), float(length), power
            least, best = rest, Correlation(*found)
    return best


class PixelSample:
    """Values of sampled pixels, picked up while an image is read in bands of rows.

    Args:
        geobox: the grid.
        reach_m: longest distance of a pair from the centre of its cluster, in metres.
        within: the part of the grid they are drawn from; all of it without.
        clusters: how many.
        seed: of the draw.
    """

    def __init__(
        self,
        geobox: GeoBox,
        *,
        reach_m: float,
        within: Window | None = None,
        clusters: int = 300,
        seed: int = 0,
    ) -> None:
        self.pixel_m = pixel_size_m(geobox)
        rows, cols = within or (slice(0, geobox.shape.y), slice(0, geobox.shape.x))
        shape, reach = (rows.stop - rows.start, cols.stop - cols.start), reach_m / max(self.pixel_m)
        drawn = sample_pixels(shape, reach=reach, clusters=clusters, seed=seed)
        self.rows, self.cols = (
            np.where(part < 0, -1, part + side.start) for part, side in zip(drawn, (rows, cols), strict=True)
        )
        self.values = np.full(self.rows.shape, np.nan)

    def take(self, window: Window, plane: np.ndarray) -> None:
        """Pick what lies in a window; ``plane`` (y, x), NaN = no data."""
        rows, cols = window
        here = (self.rows >= rows.start) & (self.rows < rows.stop)
        here &= (self.cols >= cols.start) & (self.cols < cols.stop)
        self.values[here] = plane[self.rows[here] - rows.start, self.cols[here] - cols.start]

    def fit(self) -> Correlation:
        """The variogram of what was picked, as :func:`fit_correlation`."""
        return fit_correlation(self.rows, self.cols, self.values, pixel_m=self.pixel_m)
