"""A simulated orthophoto of farmland in which few striped shade structures stand, and where they are.

Made for tests, tutorials and users without data: what looks for small, rare, striped targets (ginseng
grows under rows of shade nets, on about 2 % of the land) can be tried on it from end to end. The
ground is painted with tones and heights; a sun lights it, slopes turned to it brighter, with cast
shadows; a camera blurs it and adds noise. What makes such maps hard is simulated on purpose:

- the fields differ in size, shape, orientation, direction and period of the stripes, net, age and wear;
  one in four is faint, a hint on the ground that it stands on, and will be missed; some are cut by the
  edge of the image;
- others look alike: plots with mulch film or ridges (periods and tones overlap those of the fields),
  film houses and low tunnels, a few of them under shade nets, car parks, ditches, ridges of the crops;
- land, light and camera differ from seed to seed: crops, share of forest, sun, haze, white balance,
  blur; light, tone and noise are correlated in space.

The labels are without error. Never a substitute for real images: the accuracy of a method here says
nothing of its accuracy anywhere else. Sizes and tones are plausible round values, no measurements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox
from scipy import ndimage
from scipy.special import ndtri

from jido.geo import Raster, Window, identify
from jido.io import geotiff_profile, replacing, write_labels
from jido.labels import Labels, binary_scheme

# What makes it hard; tests/test_fields.py says what these must bring about.
_FAINT = 0.25  # share of the fields that are faint, and
_FAINT_STRENGTH = (0.12, 0.35)  # how much of their own tone they show; the others (0.6, 1)
_FIELD_M2, _FIELD_SPREAD = 110, 0.8  # median area, standard deviation of its logarithm
_ROWS, _FILM_HOUSES, _CAR_PARKS, _HOUSES, _TREES = 1.2, 0.8, 0.3, 2.5, 8.0  # a hectare
_MARGIN = 1.5  # m between objects

_SMALLEST = 40  # m2; even the smallest image has a field of about this size
_LEFT, _TOP = 245_000, 400_000  # m; somewhere in the ginseng country, in the Korean grid

# Tones red, green, blue, 0..1, as on a screen.
_CROPS = np.array([
    [0.36, 0.46, 0.25],  # rice, green
    [0.52, 0.56, 0.33],  # rice, ripening
    [0.64, 0.58, 0.44],  # stubble
    [0.53, 0.43, 0.33],  # soil, dry
    [0.41, 0.33, 0.27],  # soil, moist
    [0.27, 0.38, 0.22],  # vegetables
    [0.43, 0.46, 0.31],  # grass
    [0.50, 0.47, 0.36],  # fallow
], dtype=np.float32)  # fmt: skip
_SOILS = _CROPS[2:5]
_CONIFER, _BROADLEAF = np.array([[0.19, 0.27, 0.17], [0.33, 0.40, 0.21]], dtype=np.float32)
_ASPHALT, _CONCRETE, _DITCH = np.array(
    [[0.42, 0.42, 0.43], [0.66, 0.64, 0.60], [0.25, 0.28, 0.22]], dtype=np.float32
)
_NETS = np.array([
    [0.16, 0.17, 0.20],  # black
    [0.19, 0.26, 0.38],  # blue
    [0.44, 0.49, 0.56],  # silver
], dtype=np.float32)  # fmt: skip
_FADED = np.array([0.46, 0.42, 0.37], dtype=np.float32)  # any of them after six years
_FILMS = np.array([[0.80, 0.83, 0.86], [0.68, 0.72, 0.75], [0.21, 0.22, 0.25]], dtype=np.float32)
_ROOFS = np.array([
    [0.25, 0.35, 0.55], [0.62, 0.36, 0.26], [0.55, 0.55, 0.55], [0.27, 0.42, 0.34], [0.78, 0.76, 0.72],
], dtype=np.float32)  # fmt: skip
_CARS = np.array([
    [0.90, 0.90, 0.90], [0.10, 0.10, 0.12], [0.62, 0.64, 0.66], [0.35, 0.35, 0.38], [0.55, 0.14, 0.13],
    [0.16, 0.25, 0.48],
], dtype=np.float32)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fields:
    """A simulated orthophoto and all that is looked for in it.

    Args:
        image: red, green, blue; whole numbers 1..255, as an 8-bit camera gives them.
        labels: the outlines of the fields, code 2 of :func:`~jido.labels.binary_scheme`, each a group
            of its own; what lies outside of them is background.
        mask: bool (y, x), the pixels whose centres lie in a field.
    """

    image: Raster
    labels: Labels
    mask: np.ndarray


def simulate_fields(
    *,
    shape: tuple[int, int] = (1024, 1024),
    seed: int = 0,
    share: float = 0.022,
    pixel_m: float = 0.25,
    crs: str = "EPSG:5186",
) -> Fields:
    """A simulated orthophoto; the same arguments give the same image. 1024 x 1024 take a second and 0.4 GB.

    Args:
        shape: rows and columns, at least 64 each.
        seed: of everything; images of one size with other seeds, below 400, lie side by side.
        share: of the pixels that fields cover, up to 0.15; there is always at least one field, so a
            small image has more of it.
        pixel_m: side of a pixel in metres, 0.1 to 1; stripes are 1 m to 3 m apart.
        crs: a projection in metres.

    Raises:
        ValueError: when an argument is outside its range, or the CRS not in metres.
    """
    grid = _grid(shape, seed, share, pixel_m, norm_crs_or_error(crs))
    canvas = _landscape(np.random.default_rng(seed), tuple(grid.shape), pixel_m)
    plots = _plant(canvas, share)
    _furnish(canvas)
    image = _photograph(canvas)
    corners = np.array([plot.corners for plot in plots]) * [1, -1] + [grid.affine.c, grid.affine.f]
    geometry = shapely.intersection(shapely.polygons(corners), shapely.box(*grid.boundingbox.bbox))
    codes, groups = np.full(len(plots), 2, dtype=np.uint8), np.arange(len(plots))
    labels = Labels(geometry, codes, groups, norm_crs_or_error(grid.crs), binary_scheme("field"))
    bands = identify(("red", "green", "blue"))
    return Fields(Raster(image, bands, grid), labels, labels.burn(grid).codes == 2)


def write_fields(fields: Fields, folder: str | Path) -> tuple[Path, Path]:
    """Write ``orthophoto.tif`` (uint8, tiled, deflated) and ``fields.gpkg``; their paths.

    Raises:
        OutputError: when the folder cannot be written.
    """
    image, labels = Path(folder) / "orthophoto.tif", Path(folder) / "fields.gpkg"
    # 0 never occurs in the image; a file of bytes, because that is how orthophotos come
    profile = geotiff_profile(fields.image.geobox, count=3, dtype="uint8", nodata=0)
    with replacing(image) as fresh, rasterio.open(fresh, "w", **profile, photometric="rgb") as sink:
        sink.write(fields.image.data.astype(np.uint8))
        for i, band in enumerate(fields.image.bands, start=1):
            sink.set_band_description(i, band.name)
            sink.set_band_unit(i, band.unit)
    write_labels(fields.labels, labels)
    return image, labels


def _grid(shape: tuple[int, int], seed: int, share: float, pixel_m: float, crs: CRS) -> GeoBox:
    if min(shape) < 64:
        raise ValueError(f"The image needs at least 64 rows and columns, not {shape[0]} x {shape[1]}.")
    if not 0 < share <= 0.15:
        raise ValueError(f"share must be above 0 and at most 0.15, not {share}.")
    if not 0.1 <= pixel_m <= 1:
        raise ValueError(f"pixel_m must be from 0.1 to 1, not {pixel_m}.")
    if not crs.projected or crs.proj.axis_info[0].unit_conversion_factor != 1:
        raise ValueError(f"The CRS must be a projection in metres, not {crs}: give one such as EPSG:5186.")
    # sheets of 20 x 20 seeds side by side
    height, width = (math.ceil(n * pixel_m / 100 + 1) * 100 for n in shape)
    left, top = _LEFT + seed % 20 * width, _TOP - seed // 20 % 20 * height
    return GeoBox(shape, Affine(pixel_m, 0, left, 0, -pixel_m, top), crs)


# --- the canvas -----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Canvas:
    """What is painted on. Lengths are in metres, x to the right and y down from the upper left corner.

    Args:
        rng: of all that is painted.
        pixel_m: side of a pixel.
        tone: float32 (3, y, x), 0..1.
        height: float32 (y, x), above the ground.
        taken: bool (y, x), no further object stands here.
        forest: bool (y, x).
        grain: noise of a pixel, float32 (y, x), mean 0, standard deviation 1; texture of all objects.
        mottle: the same of 1.5 m.
        lie: direction of the plots in radians.
    """

    rng: np.random.Generator
    pixel_m: float
    tone: np.ndarray
    height: np.ndarray
    taken: np.ndarray
    forest: np.ndarray
    grain: np.ndarray
    mottle: np.ndarray
    lie: float

    @property
    def hectares(self) -> float:
        """Area of the image."""
        return self.taken.size * self.pixel_m**2 / 1e4

    def paint(self, window: Window, where: np.ndarray, tone: np.ndarray, height: np.ndarray | float) -> None:
        """Tone (3, h, w), or (3,) for all, and height (h, w) ``where`` (h, w) it is wanted."""
        tone = tone if tone.ndim == 3 else tone[:, None, None]
        textured = tone * (1 + 0.03 * self.grain[window] + 0.03 * self.mottle[window])
        np.copyto(self.tone[(slice(None), *window)], textured, where=where)
        np.copyto(self.height[window], height, where=where, casting="same_kind")


class _Plot(NamedTuple):
    """A four-sided piece of the canvas: where it is, and coordinates in it."""

    window: Window
    u: np.ndarray  # (h, w), m from the centre along the length
    v: np.ndarray  # (h, w), m from the centre along the width
    depth: np.ndarray  # (h, w), m from the nearest side, positive inside
    corners: np.ndarray  # (4, 2), x and y
    length: float
    width: float

    @property
    def inside(self) -> np.ndarray:
        return self.depth >= 0


def _place(
    canvas: _Canvas,
    length: float,
    width: float,
    *,
    skew: float = 0.0,
    around: np.ndarray | None = None,
    tries: int = 60,
) -> _Plot | None:
    """A free place for a plot, and it is taken from now on; ``None`` when none was found.

    Args:
        canvas: what the plot is to lie on.
        length: of the plot.
        width: of the plot, at most its length.
        skew: how far the corners may move, relative to the width.
        around: x and y of what it is to be near, 25 m, else it is anywhere.
        tries: places tried; in the first half of them forest is avoided.
    """
    rng = canvas.rng
    extent = np.array(canvas.taken.shape[::-1]) * canvas.pixel_m
    for attempt in range(tries):
        along_plots = canvas.lie + rng.integers(2) * np.pi / 2 + rng.normal(0, 0.05)
        angle = along_plots if rng.random() < 0.6 else rng.uniform(0, np.pi)
        centre = rng.uniform(0, extent) if around is None else rng.normal(around, 25)
        ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2]
        plot = _plot(canvas, centre, angle, ring + rng.uniform(-skew, skew, (4, 2)) * width)
        inside = plot.inside
        seen = np.count_nonzero(inside)
        if seen * canvas.pixel_m**2 < 0.6 * length * width:  # the edge cuts off too much
            continue
        if canvas.taken[plot.window][plot.depth > -_MARGIN].any():
            continue
        if attempt < tries / 2 and np.count_nonzero(canvas.forest[plot.window] & inside) > 0.1 * seen:
            continue
        canvas.taken[plot.window] |= inside
        return plot
    return None


def _plot(canvas: _Canvas, centre: np.ndarray, angle: float, ring: np.ndarray) -> _Plot:
    """The plot whose corners ``ring`` (4, 2) are given as u and v."""
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ring @ np.array([[cos, sin], [-sin, cos]]) + centre
    rows, cols = canvas.taken.shape
    low = np.floor((corners.min(axis=0) - _MARGIN) / canvas.pixel_m).astype(int)
    high = np.ceil((corners.max(axis=0) + _MARGIN) / canvas.pixel_m).astype(int)
    (left, right), (top, bottom) = (np.clip([low[i], high[i]], 0, n) for i, n in enumerate((cols, rows)))
    x = (np.arange(left, right) + 0.5) * canvas.pixel_m - centre[0]
    y = ((np.arange(top, bottom) + 0.5) * canvas.pixel_m - centre[1])[:, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    sides = np.roll(ring, -1, axis=0) - ring
    to_sides = [
        (du * (v - at_v) - dv * (u - at_u)) / math.hypot(du, dv)
        for (at_u, at_v), (du, dv) in zip(ring, sides, strict=True)
    ]
    length, width = np.ptp(ring, axis=0)
    window = slice(int(top), int(bottom)), slice(int(left), int(right))
    return _Plot(window, u, v, np.minimum.reduce(to_sides), corners, length, width)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> np.ndarray:
    """Smooth Gaussian noise (y, x), float32, mean about 0, standard deviation about 1.

    ``length`` is the standard deviation of the smoothing in pixels. Long ones are made on a coarse
    grid, which saves nearly all of the time.
    """
    step = max(1.0, length / 3)
    coarse = [max(16, int(n / step) + 3) for n in shape]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, length / step, mode="wrap", truncate=3)
    noise = (noise - noise.mean()) / noise.std()
    for axis, n in enumerate(shape):
        if step > 1:
            at = np.arange(n, dtype=np.float32) / np.float32(step)
            low = at.astype(int)
            part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
            noise = noise.take(low, axis) * (1 - part) + noise.take(low + 1, axis) * part
    return noise[: shape[0], : shape[1]]


def _stripes(across: np.ndarray, period: float, duty: float, pixel_m: float) -> np.ndarray:
    """1 in stripes and 0 between them, (y, x); a pixel on the edge has its share."""
    from_middle = np.abs(across / period % 1 - 0.5)
    return np.clip((duty / 2 - from_middle) * period / pixel_m + 0.5, 0, 1)


# --- the land -------------------------------------------------------------------------------------


def _landscape(rng: np.random.Generator, shape: tuple[int, ...], pixel_m: float) -> _Canvas:
    """Plots of crops, forest and roads."""
    metre = 1 / pixel_m
    mottle = _smooth(rng, shape, 1.5 * metre)
    hills = _smooth(rng, shape, 45 * metre) + 0.3 * _smooth(rng, shape, 6 * metre) + 0.1 * mottle
    canvas = _Canvas(
        rng=rng,
        pixel_m=pixel_m,
        tone=np.zeros((3, *shape), dtype=np.float32),
        height=np.zeros(shape, dtype=np.float32),
        taken=np.zeros(shape, dtype=bool),
        forest=hills > 1.05 * ndtri(1 - rng.uniform(0.15, 0.4)),
        grain=_smooth(rng, shape, 0.8),
        mottle=mottle,
        lie=rng.uniform(0, np.pi / 2),
    )
    # farm roads follow the land, so plots are slightly bent
    y, x = (np.arange(n, dtype=np.float32) * np.float32(pixel_m) for n in shape)
    bend = 2.5 * _smooth(rng, shape, 50 * metre)
    cos, sin = np.float32(math.cos(canvas.lie)), np.float32(math.sin(canvas.lie))
    u, v = x * cos + y[:, None] * sin + bend, y[:, None] * cos - x * sin + bend
    _sow(canvas, u - u.min(), v - v.min())
    _grow(canvas)
    side = max(shape) * pixel_m
    for _ in range(1 + rng.poisson(side / 600) if side > 100 else 0):
        _pave(canvas, x, y[:, None])
    return canvas


def _sow(canvas: _Canvas, u: np.ndarray, v: np.ndarray) -> None:
    """Rows of plots, each with its crop and its ridges; bunds, tracks and ditches between them."""
    rng, whole = canvas.rng, (slice(None), slice(None))
    edges = np.cumsum(rng.uniform(8, 26, int(v.max() / 8) + 2)).astype(np.float32)
    row = np.searchsorted(edges, v)
    width = rng.uniform(15, 60, len(edges)).astype(np.float32)
    place = u / width[row] + rng.random(len(edges), dtype=np.float32)[row]
    column = place.astype(np.int32)
    columns = int(column.max()) + 1
    plot, n = row * columns + column, len(edges) * columns
    season = rng.dirichlet(np.ones(len(_CROPS)))
    colour = _CROPS[rng.choice(len(_CROPS), n, p=season)] * rng.lognormal(0, 0.1, (n, 1))
    colour = (colour * rng.lognormal(0, 0.04, (n, 3))).astype(np.float32)
    period = rng.uniform(0.6, 1.4, n).astype(np.float32)
    ridge = (rng.choice([0, 0.03, 0.1], n) * rng.random(n)).astype(np.float32)  # m, half its height
    wave = np.sin(2 * np.pi * np.where((rng.random(n) < 0.7)[plot], v, u) / period[plot])
    patchy = 0.08 * _smooth(rng, u.shape, 5 / canvas.pixel_m)[None]
    canvas.paint(whole, np.array(True), np.moveaxis(colour[plot], -1, 0) * (1 + patchy), ridge[plot] * wave)
    beyond = edges[row] - v  # m to the next row
    side = np.minimum(beyond, np.abs(place - np.rint(place)) * width[row])
    canvas.paint(whole, side < 0.5, _CROPS[6] * np.float32(rng.lognormal(0, 0.1)), 0.15)
    kind = rng.choice(3, len(edges), p=[0.55, 0.25, 0.2])[row]
    canvas.paint(whole, (kind == 1) & (beyond < 2.8), _CONCRETE * np.float32(rng.uniform(0.8, 1)), 0.0)
    canvas.paint(whole, (kind == 2) & (beyond < 1.2), _DITCH, -0.8)


def _grow(canvas: _Canvas) -> None:
    """Forest: crowns of 2 m to 6 m, kinds of trees in groups."""
    rng, shape, metre = canvas.rng, canvas.taken.shape, 1 / canvas.pixel_m
    crowns = 0.7 * canvas.mottle + 0.7 * _smooth(rng, shape, 2.5 * metre) + 0.15 * canvas.grain
    kind = _smooth(rng, shape, 9 * metre) + 0.5 * crowns + rng.normal(0, 0.7)
    share = np.clip(0.5 + 0.4 * kind, 0, 1)[None]
    tone = _CONIFER[:, None, None] * (1 - share) + _BROADLEAF[:, None, None] * share
    window = slice(None), slice(None)
    canvas.paint(window, canvas.forest, tone * (1 + 0.06 * crowns[None]), np.maximum(5 + crowns, 1))


def _pave(canvas: _Canvas, x: np.ndarray, y: np.ndarray) -> None:
    """A bent road through all of the image, with verges and a line in the middle."""
    rng, whole = canvas.rng, (slice(None), slice(None))
    angle, half = rng.uniform(0, np.pi), rng.uniform(2.2, 4)
    shape = canvas.taken.shape
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    across = x * cos + y * sin + 8 * _smooth(rng, shape, 60 / canvas.pixel_m)
    away = np.abs(across - across[rng.integers(shape[0]), rng.integers(shape[1])])
    canvas.paint(whole, away < half + 1.5, _CROPS[6], 0.0)
    canvas.paint(whole, away < half, _ASPHALT * np.float32(rng.uniform(0.8, 1.25)), 0.1)
    canvas.paint(whole, away < 0.12, _FILMS[1], 0.1)
    canvas.taken |= away < half + 1
    canvas.forest &= ~canvas.taken


# --- the fields -----------------------------------------------------------------------------------


def _plant(canvas: _Canvas, share: float) -> list[_Plot]:
    """Fields until they cover their share of the image."""
    rng, plots = canvas.rng, list[_Plot]()
    wanted = max(share * canvas.hectares * 1e4, _SMALLEST)
    missing = wanted
    while missing > 0.15 * wanted:
        area = rng.lognormal(math.log(_FIELD_M2), _FIELD_SPREAD)
        if missing - area < 0.15 * wanted:
            area = missing
        width = math.sqrt(area / rng.uniform(1.3, 3.2))
        plot = _place(canvas, area / width, width, skew=0.08)
        while plot is None:  # no room: a smaller one, there is more to come
            area, width = 0.8 * area, math.sqrt(0.8) * width
            plot = _place(canvas, area / width, width, skew=0.08)
        _shade(canvas, plot, faint=rng.random() < _FAINT)
        missing -= np.count_nonzero(plot.inside) * canvas.pixel_m**2
        plots.append(plot)
    return plots


def _shade(canvas: _Canvas, plot: _Plot, *, faint: bool) -> None:
    """A target: sloping roofs of shade net in rows, weeds and soil between them."""
    rng, mottle = canvas.rng, canvas.mottle[plot.window]
    age = rng.random()
    roof = (_NETS[rng.integers(len(_NETS))] * (1 - age) + _FADED * age) * rng.lognormal(0, 0.08, 3)
    gap = _CROPS[rng.integers(2, len(_CROPS))] * rng.lognormal(0, 0.1)
    period, duty = rng.uniform(1.5, 2.7), rng.uniform(0.6, 0.85)
    across = (plot.v if rng.random() < 0.75 else plot.u) + rng.uniform(0, period) + 0.06 * mottle
    nets = _stripes(across, period, duty, canvas.pixel_m)
    nets = np.where(mottle > 2.6 - 1.4 * age, 0.4 * nets, nets)  # torn
    patchy = 1 + 0.06 * age * mottle
    tone = (gap[:, None, None] + nets * (roof - gap)[:, None, None]) * patchy
    strength = rng.uniform(*_FAINT_STRENGTH) if faint else rng.uniform(0.6, 1)
    under = canvas.tone[(slice(None), *plot.window)]
    level = under[:, plot.inside].mean(axis=1)[:, None, None]
    under = level + 0.4 * (under - level)  # bunds and ditches were levelled for it
    slope = 0.5 * (across / period % 1) * rng.choice([-1, 1])
    height = strength * nets * (1 + slope)
    canvas.paint(plot.window, plot.inside, under + strength * (tone - under), height)


# --- what looks alike, and all the rest -----------------------------------------------------------


def _furnish(canvas: _Canvas) -> None:
    """Everything else that stands on the land."""
    rng = canvas.rng
    extent = np.array(canvas.taken.shape[::-1]) * canvas.pixel_m
    villages = rng.uniform(0, extent, (1 + int(canvas.hectares / 4), 2))
    sizes = {
        _mulch: (_ROWS, (12, 40), (8, 22)),
        _film_house: (_FILM_HOUSES, (15, 45), (6, 24)),
        _car_park: (_CAR_PARKS, (20, 45), (16, 30)),
        _house: (_HOUSES, (8, 20), (6, 12)),
        _tree: (_TREES, (2, 7), (2, 7)),
    }
    for build, (number, lengths, widths) in sizes.items():
        for _ in range(rng.poisson(number * canvas.hectares)):
            length, width = rng.uniform(*lengths), rng.uniform(*widths)
            near = villages[rng.integers(len(villages))] if build in (_house, _car_park) else None
            plot = _place(canvas, max(length, width), min(length, width), around=near, tries=20)
            if plot:
                build(canvas, plot)


def _mulch(canvas: _Canvas, plot: _Plot) -> None:
    """An open plot in ridges: bare, under crop, or under black or silver film."""
    rng = canvas.rng
    soil = _SOILS[rng.integers(len(_SOILS))] * rng.lognormal(0, 0.1)
    covers = np.array([soil * 0.9, _CROPS[5], _NETS[0] * 1.25, _NETS[2]])
    cover = covers[rng.choice(4, p=[0.3, 0.25, 0.3, 0.15])] * rng.lognormal(0, 0.1)
    period, duty = rng.uniform(0.9, 2), rng.uniform(0.35, 0.65)
    across = plot.v if rng.random() < 0.8 else plot.u
    across = across + 0.05 * canvas.mottle[plot.window]
    ridges = _stripes(across, period, duty, canvas.pixel_m)
    height = 0.15 * np.cos(2 * np.pi * (across / period - 0.5))
    tone = soil[:, None, None] + ridges * (cover - soil)[:, None, None]
    canvas.paint(plot.window, plot.inside, tone * (1 + 0.05 * canvas.mottle[plot.window]), height)


def _film_house(canvas: _Canvas, plot: _Plot) -> None:
    """Arched film houses side by side, or low tunnels; film new or old, or under a shade net."""
    rng = canvas.rng
    bay = rng.uniform(1.6, 2.6) if rng.random() < 0.35 else rng.uniform(5.5, 8)
    gap = rng.uniform(0.08, 0.3)
    across = (plot.v + plot.width / 2) / bay
    arch = np.clip(1 - ((2 * (across % 1) - 1) / (1 - gap)) ** 2, 0, None)
    whole = np.floor(across) < max(1, math.floor(plot.width / bay + 0.15))  # no half houses
    film = _FILMS[rng.choice(len(_FILMS), p=[0.5, 0.3, 0.2])] * rng.lognormal(0, 0.06)
    ribs = 1 + 0.04 * np.cos(2 * np.pi * plot.u / rng.uniform(1.5, 3))
    height = 0.38 * bay * np.sqrt(arch) if bay > 3 else 0.5 * np.sqrt(arch)
    soil = _CROPS[rng.integers(3, len(_CROPS))]
    canvas.paint(plot.window, plot.inside & whole, soil, 0.0)
    tone = film[:, None, None] * ribs
    canvas.paint(plot.window, plot.inside & whole & (arch > 0), tone, height)


def _car_park(canvas: _Canvas, plot: _Plot) -> None:
    """Asphalt, white lines, cars in double rows."""
    rng = canvas.rng
    canvas.paint(plot.window, plot.inside, _ASPHALT * rng.uniform(0.8, 1.2), 0.05)
    u, v = plot.u + plot.length / 2, plot.v + plot.width / 2
    lane, slot = (np.maximum(at, 0).astype(int) for at in (v / 16, u / 2.6))
    deep = np.where(v % 16 < 5, v % 16, v % 16 - 11)  # m from the end of a slot of 5 m
    in_slot = (deep >= 0) & (deep < 5)
    aside = np.abs(u / 2.6 % 1 - 0.5)
    inner = plot.depth > 0.5
    canvas.paint(plot.window, inner & in_slot & (aside > 0.46), _FILMS[0], 0.05)
    bank = 2 * lane + (v % 16 > 8)
    cars = rng.integers(len(_CARS) + 3, size=(int(bank.max()) + 1, int(slot.max()) + 1))[bank, slot]
    car = (cars < len(_CARS)) & in_slot & (np.abs(deep - 2.5) < 2.1) & (aside < 0.34)
    tone = np.moveaxis(_CARS[np.minimum(cars, len(_CARS) - 1)], -1, 0)
    canvas.paint(plot.window, inner & car, tone, 1.4)


def _house(canvas: _Canvas, plot: _Plot) -> None:
    """A yard and a gabled roof on it."""
    rng = canvas.rng
    canvas.paint(plot.window, plot.inside, _CONCRETE * rng.uniform(0.7, 1), 0.0)
    height = rng.uniform(2.5, 5) + 0.45 * (plot.width / 2 - np.abs(plot.v))
    roof = _ROOFS[rng.integers(len(_ROOFS))] * rng.lognormal(0, 0.12)
    canvas.paint(plot.window, plot.depth > rng.uniform(0.5, 1.5), roof, height)


def _tree(canvas: _Canvas, plot: _Plot) -> None:
    """A tree or bush in the open."""
    radius = plot.width / 2 * (1 + 0.12 * canvas.mottle[plot.window])
    dome = 1 - (plot.u**2 + plot.v**2) / radius**2
    share = canvas.rng.random()
    height = 1.3 * plot.width * np.sqrt(np.maximum(dome, 0)) * (1 + 0.12 * canvas.grain[plot.window])
    above = (dome > 0) & (height > canvas.height[plot.window])  # it may stand in the forest
    canvas.paint(plot.window, above, _CONIFER * (1 - share) + _BROADLEAF * share, height)


# --- light and camera -----------------------------------------------------------------------------


def _photograph(canvas: _Canvas) -> np.ndarray:
    """What the camera sees: float32 (3, y, x), whole numbers 1..255."""
    rng, shape = canvas.rng, canvas.taken.shape
    light, shadow = _sunlight(rng, canvas.height, canvas.pixel_m)
    light *= np.exp(0.08 * _smooth(rng, shape, 70 / canvas.pixel_m))
    sky = np.array([0.42, 0.47, 0.56], dtype=np.float32)  # light in the shadow, blue from the sky
    gain = rng.lognormal(0, 0.1) * rng.lognormal(0, 0.03, 3)
    haze = rng.uniform(0, 0.06) * np.array([0.9, 1.0, 1.2])
    blur, noise, gamma = rng.uniform(0.45, 0.85), rng.uniform(0.008, 0.016), rng.uniform(0.9, 1.15)
    image = np.empty_like(canvas.tone)
    shared = rng.standard_normal(shape, dtype=np.float32)
    for band in range(3):
        seen = canvas.tone[band] * light * (1 - (1 - sky[band]) * shadow)
        seen = ndimage.gaussian_filter(seen, blur, truncate=3)
        # a camera that sees one colour a pixel makes up the others, so noise is shared by neighbours
        grainy = 0.5 * shared + 0.9 * rng.standard_normal(shape, dtype=np.float32)
        seen += np.float32(2 * noise) * ndimage.gaussian_filter(grainy, 0.7, truncate=3)
        tone = np.clip(seen * np.float32(gain[band]) + np.float32(haze[band]), 0, 1)
        image[band] = np.clip(np.rint(255 * tone ** np.float32(gamma)), 1, 255)
    return image


def _sunlight(rng: np.random.Generator, height: np.ndarray, pixel_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Light on the slopes, 1 on the flat, and cast shadow 0..1; both float32 (y, x)."""
    azimuth, elevation = rng.uniform(np.pi * 0.7, np.pi * 1.3), math.radians(rng.uniform(38, 60))
    up, right = math.cos(azimuth), math.sin(azimuth)  # the way to the sun; it is in the south
    down_y, down_x = np.gradient(height, np.float32(pixel_m))
    rise = down_x * np.float32(right) - down_y * np.float32(up)  # towards the sun
    light = 1 - rise / np.float32(math.tan(elevation))
    light /= np.sqrt(1 + down_y**2 + down_x**2)
    light = np.clip(0.3 + 0.7 * light, 0.35, 1.3)  # 0.3 from the sky
    tall = float(height.max())
    step = max(pixel_m, 0.25)
    reach = math.ceil(tall / math.tan(elevation) / step)
    pad = math.ceil(reach * step / pixel_m) + 1
    padded = np.pad(height, pad, mode="edge")
    rows, cols = height.shape
    shadow = np.zeros(height.shape, dtype=bool)
    for i in range(1, reach + 1):
        dy, dx = round(-up * i * step / pixel_m), round(right * i * step / pixel_m)
        towards = padded[pad + dy : pad + dy + rows, pad + dx : pad + dx + cols]
        shadow |= towards > height + np.float32(0.15 + i * step * math.tan(elevation))
    return light, shadow.astype(np.float32)
