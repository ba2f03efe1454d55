"""Simulated scenes of the sea: debris that floats in lines and patches, what looks like it, and the truth.

Made for tests, tutorials and users without data. Matter covers a part of a pixel, the rest is water. What
makes real scenes hard is simulated on purpose:

- debris covers 0.1 to 0.6 of a pixel, in lines narrower than 20 m: the 20 m bands see less of it than the
  10 m bands, and B01 next to nothing;
- foam lies along the same fronts and has a higher FDI; Sargassum, dead plants, ships and their wakes, plumes
  of silt, glint, thin clouds and their shadows are there as well;
- every scene has its own water, mixture of plastics, wood and weed, light and rest of haze. S2A and S2B see
  the same matter at slightly other wavelengths.

Not every scene holds everything; debris and foam are always there. Never a substitute for real images: the
accuracy of a method here says nothing of its accuracy anywhere else. Spectra are round values of our own,
ordered as Biermann et al. 2020 (doi 10.1038/s41598-020-62298-z) and MARIDA (Kikaki et al. 2022, doi
10.1371/journal.pone.0262247) describe them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from jido.data.canvas import smooth
from jido.data.floating_shapes import FLOATS, matter
from jido.geo import Band, Raster, identify
from jido.io import write_codes, write_image
from jido.labels import ClassScheme

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Bands of the images, those of MARIDA."""

_GROUND_M = (60, 10, 10, 10, 20, 20, 20, 10, 20, 20, 20)  # of BANDS

WAVELENGTHS_NM: dict[str, tuple[float, ...]] = {
    "S2A": (442.7, 492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1613.7, 2202.4),
    "S2B": (442.3, 492.1, 559.0, 665.0, 703.8, 739.1, 779.7, 833.0, 864.0, 1610.4, 2185.7),
}
"""Centres of BANDS: S2A as in the table of bands, S2B as Google Earth Engine lists them.

Other tables have 0.1 nm less in B01, B04 and B08 of S2B.
"""

# One row per surface: reflectance in % of BANDS, S2A, after the correction for Rayleigh scattering; of matter
# when it covers the whole pixel.
_SPECTRA: dict[str, tuple[float, ...]] = {
    "blue water": (3.8, 3.3, 2.3, 1.5, 1.3, 1.2, 1.3, 1.1, 1.2, 0.8, 0.6),
    "green water": (4.4, 4.8, 5.0, 3.2, 2.6, 2.0, 2.1, 1.7, 1.8, 1.0, 0.8),
    "white plastic": (20, 25, 27, 28, 27, 26, 27, 29, 28, 16, 9),
    "dark plastic": (14, 18, 16, 17, 16, 17, 18, 20, 19, 12, 8),
    "wood": (7, 9, 12, 15, 16, 18, 20, 23, 24, 20, 13),
    "weed": (3, 4, 7, 6, 13, 19, 22, 24, 24, 7, 4),
    "foam": (27, 32, 33, 31, 27, 24, 25, 25, 24, 8, 4),
    "sargassum": (3.5, 3.5, 5.5, 5.5, 12, 17, 21, 22, 22, 2.5, 1.5),
    "dead plants": (6, 7, 8, 11, 11, 14, 17, 20, 20, 13, 7),
    "ship": (16, 19, 19, 20, 19, 19, 20, 20, 21, 15, 10),
    "silt": (6.5, 7.5, 10, 12.5, 11.5, 9, 10, 8, 8, 1.2, 0.9),
    "trees": (3, 4, 7, 5, 11, 24, 29, 31, 33, 18, 9),
    "sand": (14, 18, 24, 29, 31, 33, 35, 36, 37, 39, 33),
    "cloud": (40, 41, 40, 41, 41, 42, 43, 43, 44, 35, 26),
    "glint": (10, 10, 10, 10, 10, 10, 10, 10, 10, 9, 8.5),
}

# What the classes are called, and their colours; the code of the first one is 1.
_CLASSES = (
    ("water", "#1F4E79"), ("debris", "#D6006E"), ("foam", "#FFFFFF"), ("dense sargassum", "#5B7F1C"),
    ("sparse sargassum", "#B4C96B"), ("natural organic", "#8C6239"), ("ship", "#F28C28"), ("wake", "#A9C8E8"),
    ("turbid water", "#C8A96A"), ("land", "#3C7A3C"), ("cloud", "#D9D9D9"), ("cloud shadow", "#4D4D4D"),
    ("glint", "#F5E79E"),
)  # fmt: skip
_NAMES = tuple(name for name, _ in _CLASSES)

SEEN = 0.1
"""Share of a pixel from which on matter gives the pixel its class."""

_DENSE = 0.4  # the same for dense Sargassum


@dataclass(frozen=True, eq=False)
class Floating:
    """A scene of the sea, known everywhere; planes are (y, x) pixels of 10 m.

    Args:
        image: reflectance (0..1) of :data:`BANDS` with the wavelengths of its satellite; the coarser bands
            are repeated, not interpolated.
        classes: uint8, codes from 1 on in the order of ``names``.
        names: ``names[code - 1]`` is the class of a code.
        fraction: float32, share of the pixel under debris, foam, Sargassum or dead plants, 0..0.95; also
            below :data:`SEEN`, where the class is that of the water, and under clouds.
        platform: ``S2A`` or ``S2B``.
        date: ISO.
    """

    image: Raster
    classes: np.ndarray
    names: tuple[str, ...]
    fraction: np.ndarray
    platform: str
    date: str

    def where(self, name: str) -> np.ndarray:
        """Bool (y, x): the pixels of a class.

        Raises:
            ValueError: when no class is called so.
        """
        if name not in self.names:
            raise ValueError(f"No class is called {name!r}: it is one of {', '.join(self.names)}.")
        return self.classes == self.names.index(name) + 1


def simulate_floating(seed: int, *, pixels: int = 256, platform: str = "S2A") -> Floating:
    """A scene of the sea; the same arguments give the same scene. 256 x 256 pixels take half a second.

    Args:
        seed: of everything; another seed is another sea on another day.
        pixels: side of the square image, at least 96.
        platform: ``S2A`` or ``S2B``; the same seed gives the same matter on both.

    Raises:
        ValueError: when ``pixels`` is below 96 or the platform unknown.
    """
    if pixels < 96:
        raise ValueError(f"A scene needs at least 96 x 96 pixels, not {pixels}.")
    if platform not in WAVELENGTHS_NM:
        raise ValueError(f"The platform is S2A or S2B, not {platform!r}.")
    rng = np.random.default_rng([seed, 10])
    shares = matter(rng, pixels)
    data = _picture(rng, shares, platform)
    left, top = 300_000 + seed % 10 * 10 * pixels, 1_800_000
    grid = GeoBox((pixels, pixels), Affine(10, 0, left, 0, -10, top), f"EPSG:{32601 + (15 + seed) % 60}")
    floats = np.sum([shares[name] for name in FLOATS], axis=0)
    return Floating(
        image=Raster(data, _bands(platform), grid),
        classes=_classes(shares),
        names=_NAMES,
        fraction=floats.astype(np.float32),
        platform=platform,
        date=(date(2016, 1, 1) + timedelta(days=int(rng.integers(2900)))).isoformat(),
    )


def write_floating(scene: Floating, folder: str | Path) -> dict[str, Path]:
    """Write a scene as GeoTIFFs with satellite and day in their names: ``S2A_2021-05-03.tif``.

    ``image`` (reflectance, band names as in :data:`BANDS`), ``classes`` (codes and palette of
    :func:`floating_scheme`) and ``fraction``.

    Returns:
        The paths, by these words.

    Raises:
        OutputError: when the folder cannot be written.
    """
    stem, grid = f"{scene.platform}_{scene.date}", scene.image.geobox
    paths = {word: Path(folder) / f"{stem}_{word}.tif" for word in ("classes", "fraction")}
    paths = {"image": Path(folder) / f"{stem}.tif", **paths}
    write_image(scene.image, paths["image"])
    write_codes(scene.classes, grid, paths["classes"], scheme=floating_scheme())
    write_image(Raster(scene.fraction[None], (Band("fraction"),), grid), paths["fraction"])
    return paths


def floating_scheme() -> ClassScheme:
    """The classes of :class:`Floating`."""
    rows = [
        {"code": i, "label": name, "name": name, "color": colour}
        for i, (name, colour) in enumerate(_CLASSES, 1)
    ]
    return ClassScheme.from_dict({"name": "floating", "classes": rows, "weights": None, "built": ()})


def _bands(platform: str) -> tuple[Band, ...]:
    pairs = zip(identify(BANDS), WAVELENGTHS_NM[platform], strict=True)
    return tuple(replace(band, wavelength_nm=centre) for band, centre in pairs)


def _classes(shares: dict[str, np.ndarray]) -> np.ndarray:
    """Codes (y, x); what comes later lies over what comes before."""
    most = np.argmax([shares[name] for name in FLOATS], axis=0)
    floats = {name: (most == i) & (shares[name] >= SEEN) for i, name in enumerate(FLOATS)}
    rules: tuple[tuple[str, np.ndarray], ...] = (
        ("glint", shares["glint"] > 0.15),
        ("turbid water", shares["silt"] > 0.25),
        ("cloud shadow", shares["shadow"] > 0.3),
        ("wake", shares["wake"] > 0.04),
        ("debris", floats["debris"]),
        ("foam", floats["foam"]),
        ("sparse sargassum", floats["sargassum"]),
        ("dense sargassum", floats["sargassum"] & (shares["sargassum"] >= _DENSE)),
        ("natural organic", floats["dead plants"]),
        ("ship", shares["ship"] > 0.3),
        ("land", shares["land"] > 0.05),
        ("cloud", shares["cloud"] > 0.2),
    )
    classes = np.ones_like(most, dtype=np.uint8)
    for name, here in rules:
        classes[here] = _NAMES.index(name) + 1
    return classes


# --- what is seen ---------------------------------------------------------------------------------


def _picture(rng: np.random.Generator, shares: dict[str, np.ndarray], platform: str) -> np.ndarray:
    """Reflectance (band, y, x) float32 as the satellite gives it."""
    n = len(shares["land"])
    spectrum = _spectra_of(rng, platform)
    part = np.clip(rng.uniform(0, 1) + 0.2 * smooth(rng, (n, n), n / 8), 0, 1)
    ground = _blend(spectrum("blue water"), spectrum("green water"), part)
    ground = _over(ground, spectrum("silt"), shares["silt"])
    floats = sum(shares[name] for name in FLOATS)
    kinds = rng.dirichlet([2.5, 1.2, 1.2, 0.6])
    mixture = [spectrum(name) for name in ("white plastic", "dark plastic", "wood", "weed")]
    whole = {"debris": kinds @ mixture, **{name: spectrum(name) for name in FLOATS[1:]}}
    image = ground * (1 - floats)
    for name, reflectance in whole.items():
        varied = 1 + 0.15 * smooth(rng, (n, n), 4)
        image += reflectance[:, None, None] * (shares[name] * varied)
    image = _over(image, whole["foam"], shares["wake"])
    image = _over(image, spectrum("ship") * rng.uniform(0.5, 1.6), shares["ship"])
    image += spectrum("glint")[:, None, None] * shares["glint"] * rng.uniform(0.2, 0.6)
    cover = np.clip(0.6 + 0.5 * smooth(rng, (n, n), 5), 0, 1)
    image += (_blend(spectrum("sand"), spectrum("trees"), cover) - image) * shares["land"]
    image *= 1 - 0.5 * shares["shadow"]
    image = _over(image, spectrum("cloud"), shares["cloud"])
    return _camera(rng, image, platform)


def _spectra_of(rng: np.random.Generator, platform: str) -> Callable[[str], np.ndarray]:
    """Spectra (band,) of this scene at the wavelengths of the satellite."""
    spread = {name: rng.lognormal(0, 0.1) * rng.lognormal(0, 0.04, len(BANDS)) for name in _SPECTRA}
    spread["glint"] = np.ones(len(BANDS))

    def spectrum(name: str) -> np.ndarray:
        row = np.array(_SPECTRA[name]) / 100 * spread[name]
        return np.interp(WAVELENGTHS_NM[platform], WAVELENGTHS_NM["S2A"], row)

    return spectrum


def _blend(one: np.ndarray, other: np.ndarray, part: np.ndarray) -> np.ndarray:
    return one[:, None, None] * (1 - part) + other[:, None, None] * part


def _over(image: np.ndarray, spectrum: np.ndarray, share: np.ndarray) -> np.ndarray:
    return image + (spectrum[:, None, None] - image) * share


def _camera(rng: np.random.Generator, image: np.ndarray, platform: str) -> np.ndarray:
    """Blur, pixels of 10 m to 60 m, what is left of the haze, light and noise."""
    n = image.shape[-1]
    centre = np.array(WAVELENGTHS_NM[platform])
    haze = rng.gamma(1.5, 0.002) * (centre / 443) ** -1.3
    gain = rng.lognormal(0, 0.06) * rng.lognormal(0, 0.02, len(BANDS))
    swell = smooth(rng, (n, n), 1.5)
    seen = np.empty(image.shape, dtype=np.float32)
    for band, ground in enumerate(_GROUND_M):
        plane = ndimage.gaussian_filter(image[band], 0.45) * (1 + 0.02 * swell)
        plane = plane * (1 + 0.015 * smooth(rng, (n, n), 0.6)) + 0.0006 * smooth(rng, (n, n), 0.6)
        seen[band] = _coarse(plane, ground // 10) * gain[band] + haze[band]
    return np.maximum(seen, 0.0002)


def _coarse(plane: np.ndarray, k: int) -> np.ndarray:
    """Means of squares of ``k`` x ``k`` pixels, repeated; those at the lower and right edge may be cut."""
    if k == 1:
        return plane
    starts, place = np.arange(0, len(plane), k), np.arange(len(plane)) // k
    size = np.diff(np.append(starts, len(plane)))
    sums = np.add.reduceat(np.add.reduceat(plane, starts, axis=0), starts, axis=1)
    return (sums / np.outer(size, size))[place][:, place]
