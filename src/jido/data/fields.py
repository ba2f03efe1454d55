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

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox

from jido.data.canvas import Canvas, Plot, photograph, place, stripes
from jido.data.landscape import CROPS, FADED, NETS, furnish, landscape
from jido.geo import Raster, identify
from jido.io import write_image, write_labels
from jido.labels import Labels, binary_scheme

# What makes it hard, with the numbers of things that look alike in landscape.py; tests/test_fields.py says
# what these must bring about.
_FAINT = 0.25  # share of the fields that are faint, and
_FAINT_STRENGTH = (0.12, 0.35)  # how much of their own tone they show; the others (0.6, 1)
_FIELD_M2, _FIELD_SPREAD = 110, 0.8  # median area, standard deviation of its logarithm

_SMALLEST = 40  # m2; even the smallest image has a field of about this size
_LEFT, _TOP = 245_000, 400_000  # m; somewhere in the ginseng country, in the Korean grid


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
    canvas = landscape(np.random.default_rng(seed), tuple(grid.shape), pixel_m)
    plots = _plant(canvas, share)
    furnish(canvas)
    image = photograph(canvas)
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
    # 0 never occurs in it; a file of bytes, because that is how orthophotos come
    write_image(fields.image, image, dtype="uint8")
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


# --- the fields -----------------------------------------------------------------------------------


def _plant(canvas: Canvas, share: float) -> list[Plot]:
    """Fields until they cover their share of the image."""
    rng, plots = canvas.rng, list[Plot]()
    wanted = max(share * canvas.hectares * 1e4, _SMALLEST)
    missing = wanted
    while missing > 0.15 * wanted:
        area = rng.lognormal(math.log(_FIELD_M2), _FIELD_SPREAD)
        if missing - area < 0.15 * wanted:
            area = missing
        width = math.sqrt(area / rng.uniform(1.3, 3.2))
        plot = place(canvas, area / width, width, skew=0.08)
        while plot is None:  # no room: a smaller one, there is more to come
            area, width = 0.8 * area, math.sqrt(0.8) * width
            plot = place(canvas, area / width, width, skew=0.08)
        _shade(canvas, plot, faint=rng.random() < _FAINT)
        missing -= np.count_nonzero(plot.inside) * canvas.pixel_m**2
        plots.append(plot)
    return plots


def _shade(canvas: Canvas, plot: Plot, *, faint: bool) -> None:
    """A target: sloping roofs of shade net in rows, weeds and soil between them."""
    rng, mottle = canvas.rng, canvas.mottle[plot.window]
    age = rng.random()
    roof = (NETS[rng.integers(len(NETS))] * (1 - age) + FADED * age) * rng.lognormal(0, 0.08, 3)
    gap = CROPS[rng.integers(2, len(CROPS))] * rng.lognormal(0, 0.1)
    period, duty = rng.uniform(1.5, 2.7), rng.uniform(0.6, 0.85)
    across = (plot.v if rng.random() < 0.75 else plot.u) + rng.uniform(0, period) + 0.06 * mottle
    nets = stripes(across, period, duty, canvas.pixel_m)
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
