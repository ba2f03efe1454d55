"""Heat: the temperature that a satellite sees, by Local Climate Zone, and the surface heat island.

Of roofs, crowns and streets from above, not of the air, and not corrected for air and emissivity unless the
image is. Here it is read and summed; differences, cells and pictures: ``heat_figures.py``. Sources: Landsat 8
Data Users Handbook (USGS LSDS-1574); classes, Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox
from scipy.ndimage import binary_erosion
from scipy.sparse import csr_array

from jido.errors import ImageError, LabelsError
from jido.geo import Band, Raster, Window, pixel_size_m, same_place
from jido.geo.radiometry import Conversion, Stated, describe
from jido.geo.radiometry.describe import UNITS
from jido.indicators.correlation import Correlation, PixelSample, fit_correlation
from jido.indicators.shares import bands_of_rows
from jido.indicators.uncertainty import LENGTHS, block_widening
from jido.io import Progress, Scene, describe_scene
from jido.labels import ClassScheme, Labels, lcz_scheme

GAIN, BIAS, K1, K2 = 3.342e-4, 0.1, 774.8853, 1321.0789
"""Of Landsat-8 band 10: RADIANCE_MULT, RADIANCE_ADD, K1_CONSTANT (W m-2 sr-1 um-1), K2_CONSTANT (K)."""

LEVEL_1 = "level-1 thermal numbers"
TEMPERATURES = ("kelvin", "degrees Celsius", "Collection 2 temperature numbers", LEVEL_1)
"""Kinds of numbers (:data:`~jido.geo.radiometry.KINDS`) that tell a temperature."""

POSSIBLE, USUAL = (180.0, 380.0), (260.0, 320.0)
"""K: from cloud tops to fires, anything else is no data; and of the median of a scene, tells the kind."""

MIN_SEEN = 0.5
"""Share of the pixels of a polygon with data, below which it says nothing of a date."""

BLOCKS = 128
"""Small blocks along the longer side of a map, from which those of the bootstrap are put together."""

AT_ONCE = 1_000_000
"""Pixels that are read at a time."""

Image = Scene | Raster


def brightness_temperature(numbers: np.ndarray) -> np.ndarray:
    """K from level-1 numbers of Landsat-8 band 10, float, shape as given; NaN where they are not above 0.

    L = 3.342e-4 DN + 0.1, T = 1321.0789 / ln(774.8853 / L + 1) (Landsat 8 Data Users Handbook). L is
    linear in DN, so averaged numbers give the temperature of the mean radiance.
    """
    known = np.where(np.asarray(numbers) > 0, numbers, np.nan)
    return K2 / np.log(K1 / (GAIN * known + BIAS) + 1)


def _kelvin(numbers: np.ndarray, kind: str) -> np.ndarray:
    return brightness_temperature(numbers) if kind == LEVEL_1 else Conversion(kind, "kelvin").apply(numbers)


def plane(image: Image, window: Window, name: str) -> np.ndarray:
    """One band of a window, float32 (y, x)."""
    return image.pixels(window, [name])[0] if isinstance(image, Scene) else image.read(window).band(name)


@dataclass(frozen=True, eq=False)
class Thermal:
    """The temperature plane of an open image; made by :func:`thermal`, whose arguments it holds."""

    image: Image
    band: str
    kind: str
    clear: Callable[[Window], np.ndarray] | None = None

    def kelvin(self, window: Window) -> np.ndarray:
        """K, float (y, x), NaN = no data, also beside it: swath edges and clouds bleed into neighbours."""
        (top, bottom), (left, right) = (
            (max(side.start - 1, 0), min(side.stop + 1, size))
            for side, size in zip(window, self.image.geobox.shape, strict=True)
        )
        wide = slice(top, bottom), slice(left, right)
        found = _kelvin(plane(self.image, wide, self.band), self.kind)
        good = (found > POSSIBLE[0]) & (found < POSSIBLE[1])
        if self.clear is not None:
            good &= self.clear(wide)
        if not good.all():
            found[~binary_erosion(good, np.ones((3, 3)), border_value=1)] = np.nan
        rows, cols = window
        return found[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]


def thermal(
    image: Image, *, band: str = "", kind: str = "", clear: Callable[[Window], np.ndarray] | None = None
) -> Thermal:
    """The temperature plane of an image.

    Args:
        image: with Landsat-8 B10 or a band in K or degrees Celsius.
        band: its name; without it B10 (``lwir11``), or the only band whose unit is a temperature.
        kind: of its numbers, one of :data:`TEMPERATURES`; without it what metadata and pixels tell.
        clear: window -> bool (y, x), where there is no cloud; everywhere without it.

    Raises:
        ImageError: when there is no such band, or its numbers are no temperature or could be two kinds.
    """
    found = [b for b in image.bands if (b.name == band if band else _looks_thermal(b))]
    if len(found) != 1:
        raise ImageError(
            f"Of the bands {', '.join(image.names)} {len(found) or 'none'} can be the temperature that is "
            "wanted: give an image with Landsat-8 B10 or a band in K, or name the band."
        )
    kind = kind or _kind(image, found[0])
    landsat_9 = isinstance(image, Scene) and any("LC09" in path.name for path in image.paths)
    if kind not in TEMPERATURES or (kind == LEVEL_1 and (found[0].common_name != "lwir11" or landsat_9)):
        raise ImageError(
            f"Band {found[0].name} ({kind}{' of Landsat 9' * landsat_9}) tells no temperature: give "
            "Landsat-8 B10, of which alone level-1 numbers are known, or a band in K."
        )
    return Thermal(image, found[0].name, kind, clear)


def _looks_thermal(band: Band) -> bool:
    units = UNITS.get(band.unit.lower(), frozenset())
    return band.common_name == "lwir11" or not units.isdisjoint(TEMPERATURES[:2])


def _kind(image: Image, band: Band) -> str:
    """Which of the kinds a band is of, as its file says and its pixels allow."""
    if isinstance(image, Scene):
        told = describe_scene(image)
    else:
        flat = image.data.reshape(len(image.bands), -1)
        some = flat[:, :: flat.shape[1] // 65_536 + 1]
        told = describe(some, image.bands, [Stated(unit=b.unit) for b in image.bands])
    part = next((part for part in told.parts if band.name in part.bands), None)
    if part is None:
        raise ImageError(f"Band {band.name} of the image holds no data: leave this date out.")
    middle = part.bands[band.name].median
    likely = part.likely or UNITS.get(band.unit.lower(), frozenset())
    at = {kind: float(_kelvin(np.array(middle), kind)) for kind in TEMPERATURES if kind in likely}
    kept = [kind for kind, kelvin in at.items() if POSSIBLE[0] < kelvin < POSSIBLE[1]]
    if len(kept) > 1:
        kept = [kind for kind in kept if USUAL[0] < at[kind] < USUAL[1]] or kept
    if len(kept) != 1:
        raise ImageError(
            f"The numbers of band {band.name} (median {middle:g}, unit {band.unit or 'unknown'}) can be "
            f"{' or '.join(kept) or 'no temperature'}: name their kind, or give Landsat-8 B10 or a band in K."
        )
    return kept[0]


def lcz_places(image: Image, window: Window, scheme: ClassScheme) -> np.ndarray:
    """Places in the scheme of the classes of a map, int16 (y, x), -1 where it has none (0, 255).

    Raises:
        ImageError: when none of several bands is called ``lcz``, or the map holds other numbers.
    """
    if "lcz" not in image.names and len(image.names) > 1:
        raise ImageError(f"None of the bands {', '.join(image.names)} is called 'lcz': give that band alone.")
    codes = np.nan_to_num(plane(image, window, "lcz" if "lcz" in image.names else image.names[0]))
    table = np.full(256, -2, dtype=np.int16)
    table[[0, 255]], table[list(scheme.codes)] = -1, np.arange(len(scheme.codes))
    byte = np.clip(codes, 0, 255).astype(np.uint8)
    place = table[byte]
    if (strange := (place == -2) | (byte != codes)).any():
        raise ImageError(
            f"The map of classes holds {codes[strange][0]:g}, which is no class of {scheme.name!r}: recode "
            f"it to {scheme.codes[0]}-{scheme.codes[-1]}."
        )
    return place


@dataclass(frozen=True, eq=False)
class ClassHeat:
    """Temperature by date, group and class; made by :func:`class_heat`.

    Args:
        dates: D, ISO, in order.
        total: sum of weight x temperature in K, (D, G, K).
        weight: 1 for a polygon, the number of pixels for a block, 0 where unseen, (D, G, K).
        pixels: behind it, (D, K).
        strata: groups of one stratum are redrawn among themselves, (G,).
        scheme: the K classes.
        unit: what a group is, in words.
        wider: variance for that of redrawn groups, above 1 where neighbouring blocks are alike.
    """

    dates: tuple[str, ...]
    total: np.ndarray
    weight: np.ndarray
    pixels: np.ndarray
    strata: np.ndarray
    scheme: ClassScheme
    unit: str
    wider: float = 1.0

    @property
    def groups(self) -> np.ndarray:
        """Number of groups with a say, by date and class, (D, K)."""
        return np.count_nonzero(self.weight, axis=1)

    def means(self, times: np.ndarray) -> np.ndarray:
        """K by draw, date and class, (draws, D, K), NaN where no group has a say.

        Args:
            times: how often each group counts, (draws, G).
        """
        total, weight = (np.tensordot(times, part, axes=(1, 1)) for part in (self.total, self.weight))
        return np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)

    def drawn(self, *, draws: int = 2000, seed: int = 0) -> np.ndarray:
        """Means of redrawn groups, (draws, D, K)."""
        rng, at_once = np.random.default_rng(seed), max(1, 2 * AT_ONCE // len(self.strata))
        sizes = [min(at_once, draws - i) for i in range(0, draws, at_once)]
        return np.concatenate([self.means(redrawn(self.strata, size, rng)) for size in sizes])

    def errors(self, drawn: np.ndarray) -> np.ndarray:
        """Standard errors from draws, (draws, ...) -> (...), NaN where over 5 % of them are undefined."""
        known = np.isfinite(drawn)
        count = np.maximum(known.sum(axis=0), 2)
        mean = np.where(known, drawn, 0).sum(axis=0) / count
        variance = (np.where(known, drawn - mean, 0) ** 2).sum(axis=0) / (count - 1)
        return np.where(known.mean(axis=0) >= 0.95, np.sqrt(variance * self.wider), np.nan)


def class_heat(
    images: Mapping[str, Thermal],
    zones: Labels | Image,
    *,
    scheme: ClassScheme | None = None,
    progress: Progress | None = None,
) -> ClassHeat:
    """Temperature by class, read in bands of rows.

    With polygons each group of labels is one observation, the mean of its pixels, on dates that show
    half of them. With a map groups are square blocks whose side is :data:`LENGTHS` times the longest
    correlation length of (temperature - mean of its class), but at most a quarter of the scene; what
    neighbouring blocks share widens the intervals as in
    :func:`~jido.indicators.uncertainty.block_bootstrap`.

    Args:
        images: ISO date -> temperature plane.
        zones: polygons, or a map of class codes on the grid of all the images.
        scheme: of the codes of a map; the LCZ without it.
        progress: told how far it is.

    Raises:
        ImageError: when there is none, a map and an image lie on two grids, or a map holds other numbers.
        LabelsError: when no class was seen on any date.
    """
    if not images:
        raise ImageError("There is no image: give one a date at least.")
    images = {date: images[date] for date in sorted(images)}
    if isinstance(zones, Labels):
        heat = _polygon_heat(images, zones, progress)
    else:
        heat = _map_heat(images, zones, scheme or lcz_scheme(), progress)
    if not heat.weight.any():
        raise LabelsError(f"No class was seen on {', '.join(images)}: check CRS, place and clouds.")
    return heat


def _polygon_heat(images: Mapping[str, Thermal], labels: Labels, progress: Progress | None) -> ClassHeat:
    names, group = np.unique(labels.groups, return_inverse=True)
    scheme, parts = labels.scheme, []
    own = np.zeros((len(names), len(scheme.classes)), dtype=bool)
    own[group, scheme.index(labels.codes)] = True
    for image in images.values():
        grid = image.image.geobox
        here = labels.to_crs(grid.crs)

        def places(window: Window, grid: GeoBox = grid, here: Labels = here) -> tuple[np.ndarray, np.ndarray]:
            burned = here.burn(grid[window])
            return scheme.index(burned.codes), group[burned.item]

        total, seen, whole = _sums(image, places, own.shape, progress=progress)
        kept = (seen > 0) & (seen >= MIN_SEEN * whole)
        parts.append((np.where(kept, total / np.maximum(seen, 1), 0), kept * 1.0, (seen * kept).sum(axis=0)))
    total, weight, pixels = (np.stack(part) for part in zip(*parts, strict=True))
    strata = np.where(own.sum(axis=1) == 1, own.argmax(axis=1), -1)  # how many of a class was no chance
    return ClassHeat(tuple(images), total, weight, pixels, strata, scheme, "polygons")


def _sums(
    image: Thermal,
    places: Callable[[Window], tuple[np.ndarray, np.ndarray]],
    shape: tuple[int, ...],
    *,
    samples: Sequence[PixelSample] = (),
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Sum of K, pixels with data, and pixels, by group and class; fills samples of K and of the class.

    ``places``: window -> place of the class (-1: none) and of the group of each pixel, int (y, x).
    """
    sums = [np.zeros(shape).ravel() for _ in range(3)]
    for window in bands_of_rows(image.image.geobox, pixels=AT_ONCE):
        kelvin, (place, group) = image.kelvin(window), places(window)
        for sample, values in zip(samples, (kelvin, place), strict=False):
            sample.take(window, values)
        inside, seen = place >= 0, np.isfinite(kelvin) & (place >= 0)
        key = group * shape[1] + place
        for i, (chosen, weights) in enumerate(((seen, kelvin[seen]), (seen, None), (inside, None))):
            sums[i] += np.bincount(key[chosen], weights, minlength=len(sums[i]))
        if progress:
            progress("measuring the classes", window[0].stop, image.image.geobox.shape.y)
    return [part.reshape(shape) for part in sums]


def _map_heat(
    images: Mapping[str, Thermal], zones: Image, scheme: ClassScheme, progress: Progress | None
) -> ClassHeat:
    grid, pixel_m = zones.geobox, max(pixel_size_m(zones.geobox))
    side = -(-max(grid.shape) // BLOCKS)
    down, across = (-(-size // side) for size in grid.shape)
    parts, fits = [], []

    def places(window: Window) -> tuple[np.ndarray, np.ndarray]:
        row, col = (np.arange(part.start, part.stop) // side for part in window)
        return lcz_places(zones, window, scheme), row[:, None] * across + col

    for date, image in images.items():
        other = image.image.geobox
        if other.shape != grid.shape or not same_place(other, grid, cells=0.05):
            raise ImageError(
                f"The image of {date} and the map of classes lie on two grids: open both as one scene, "
                "resampled to the nearest pixel."
            )
        samples = [PixelSample(grid, reach_m=min(grid.shape) / 3 * pixel_m) for _ in range(2)]
        shape = (down * across, len(scheme.classes))
        total, seen, _ = _sums(image, places, shape, samples=samples, progress=progress)
        parts.append((total, seen))
        fits.append(_correlation(samples, total, seen))
    fit = max(fits, key=lambda one: one.length_m)
    wide = max(1, min(round(LENGTHS * fit.length_m / (side * pixel_m)), min(down, across) // 4))
    row, col = np.divmod(np.arange(down * across), across)
    _, block = np.unique(row // wide * across + col // wide, return_inverse=True)
    merge = csr_array((np.ones(len(block)), (block, np.arange(len(block)))))
    total, weight = (np.stack([merge @ one for one in part]) for part in zip(*parts, strict=True))
    block_m, kept, pixels = wide * side * pixel_m, weight.any(axis=(0, 2)), weight.sum(axis=1)
    return ClassHeat(
        dates=tuple(images),
        total=total[:, kept],
        weight=weight[:, kept],
        pixels=pixels,
        strata=np.zeros(kept.sum()),
        scheme=scheme,
        unit=f"blocks of {block_m / 1000:.2g} km, correlation length {fit.length_m / 1000:.2g} km",
        wider=block_widening(block_m, int(kept.sum()), fit),
    )


def _correlation(samples: Sequence[PixelSample], total: np.ndarray, seen: np.ndarray) -> Correlation:
    """How what the class does not tell of the temperature is correlated."""
    kelvin, place = (sample.values for sample in samples)
    mean = total.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    rest = np.where(place >= 0, kelvin - mean[np.nan_to_num(np.maximum(place, 0)).astype(int)], np.nan)
    return fit_correlation(samples[0].rows, samples[0].cols, rest, pixel_m=samples[0].pixel_m)


def reference_place(heat: ClassHeat, reference: str = "") -> int:
    """Place of the class that others are compared with: D without a name, or A where a date lacks D.

    Raises:
        LabelsError: when it was not seen on every date.
    """
    wanted, labels = [reference] if reference else ["D", "A"], heat.scheme.labels
    for label in wanted:
        if label in labels and heat.groups[:, labels.index(label)].all():
            return labels.index(label)
    raise LabelsError(
        f"Class {' or '.join(wanted)}, the reference, was not seen on every date ({', '.join(heat.dates)}): "
        "choose another one, or leave those dates out."
    )


def redrawn(strata: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group counts, (draws, G): n - 1 of the n of each stratum, times n / (n - 1).

    So the spread of few groups comes out right (Rao and Wu 1988, doi 10.1080/01621459.1988.10478591).
    """
    times = np.ones((draws, len(strata)))
    for stratum in np.unique(strata):
        mine = np.flatnonzero(strata == stratum)
        if (n := len(mine)) > 1:
            times[:, mine] = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws) * (n / (n - 1))
    return times
