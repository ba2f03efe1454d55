"""The simulated sea: the order of the indices, mixed pixels, two satellites, files."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from jido.data.floating import (
    BANDS,
    SEEN,
    WAVELENGTHS_NM,
    Floating,
    floating_scheme,
    simulate_floating,
    write_floating,
)
from jido.data.floating_shapes import FLOATS, matter
from jido.geo import identify
from jido.geo.indices import ndvi
from jido.io import Scene, read_image
from jido.io.dates import image_day

SEEDS = range(12)
MARIDA = Path(__file__).parents[2] / "shared/data/marine_debris/marida_class_mean_spectra.csv"
ALIKE = {
    "water": "Marine Water", "debris": "Marine Debris", "foam": "Foam", "dense sargassum": "Dense Sargassum",
    "sparse sargassum": "Sparse Sargassum", "natural organic": "Natural Organic Material", "ship": "Ship",
    "turbid water": "Sediment-Laden Water", "cloud shadow": "Cloud Shadows",
}  # fmt: skip


@pytest.fixture(scope="module")
def seas() -> list[Floating]:
    return [simulate_floating(seed, pixels=192, platform=("S2A", "S2B")[seed % 2]) for seed in SEEDS]


def fdi(scene: Floating) -> np.ndarray:
    """Biermann et al. 2020, equation 2, red for the shorter wavelength."""
    centre = {band.name: band.wavelength_nm for band in scene.image.bands}
    nir, edge, swir = (scene.image.band(name) for name in ("B08", "B06", "B11"))
    part = (centre["B08"] - centre["B04"]) / (centre["B11"] - centre["B04"]) * 10
    return nir - (edge + (swir - edge) * part)


def green(scene: Floating) -> np.ndarray:
    return ndvi(scene.image.band("B08"), scene.image.band("B04"))


def median(seas: list[Floating], index, name: str) -> float:
    return float(np.median(np.concatenate([index(scene)[scene.where(name)] for scene in seas])))


# --- contracts ------------------------------------------------------------------------------------


def test_parts_fit_each_other(seas):
    for scene in seas:
        assert scene.image.names == BANDS
        assert {band.sensor for band in scene.image.bands} == {"sentinel-2"}
        assert {band.unit for band in scene.image.bands} == {"reflectance"}
        assert scene.image.data.shape == (11, 192, 192)
        assert 0 < scene.image.data.min() < scene.image.data.max() < 1.2
        assert scene.classes.dtype == np.uint8
        assert 1 <= scene.classes.min() <= scene.classes.max() <= len(scene.names)
        assert scene.fraction.dtype == np.float32
        assert 0 <= scene.fraction.min() <= scene.fraction.max() <= 0.951
    assert floating_scheme().codes == tuple(range(1, len(seas[0].names) + 1))
    assert tuple(c.name for c in floating_scheme().classes) == seas[0].names


def test_satellites_have_their_own_wavelengths_and_see_the_same_sea():
    one, other = (simulate_floating(3, pixels=96, platform=name) for name in ("S2A", "S2B"))
    assert tuple(band.wavelength_nm for band in one.image.bands) == WAVELENGTHS_NM["S2A"]
    assert tuple(band.wavelength_nm for band in other.image.bands) == WAVELENGTHS_NM["S2B"]
    assert WAVELENGTHS_NM["S2A"] == tuple(band.wavelength_nm for band in identify(BANDS))
    np.testing.assert_array_equal(one.classes, other.classes)
    assert not np.array_equal(one.image.data, other.image.data)
    assert np.abs(one.image.data - other.image.data).max() < 0.05
    assert np.corrcoef(one.image.data.ravel(), other.image.data.ravel())[0, 1] > 0.99


def test_seed_decides_everything(seas):
    again = simulate_floating(4, pixels=192, platform="S2A")
    assert again.image.data.tobytes() == seas[4].image.data.tobytes()
    assert again.classes.tobytes() == seas[4].classes.tobytes()
    assert again.fraction.tobytes() == seas[4].fraction.tobytes()
    assert (again.date, again.image.geobox) == (seas[4].date, seas[4].image.geobox)
    assert len({scene.date for scene in seas}) == len(seas)
    assert len({str(scene.image.geobox.crs) for scene in seas}) == len(seas)
    assert (seas[4].classes != seas[5].classes).mean() > 0.05


@pytest.mark.parametrize(
    ("given", "says"),
    [({"pixels": 64}, "at least 96 x 96 pixels, not 64"), ({"platform": "L8"}, "S2A or S2B, not 'L8'")],
)
def test_bad_arguments_are_refused_in_words(given, says):
    with pytest.raises(ValueError, match=says):
        simulate_floating(0, **given)


def test_an_unknown_class_is_refused_in_words(seas):
    with pytest.raises(ValueError, match="'plastic': it is one of water, debris, foam"):
        seas[0].where("plastic")


# --- what is there --------------------------------------------------------------------------------


def test_every_class_occurs_and_debris_is_rare(seas):
    found = np.array([[scene.where(name).mean() for name in scene.names] for scene in seas])
    share = dict(zip(seas[0].names, found.T, strict=True))
    assert all((plane > 0).any() for plane in share.values())
    assert (share["debris"] > 0).all()
    assert (share["foam"] > 0).all()
    assert 0.002 < share["debris"].mean() < 0.02
    assert (share["water"] > 0.3).all()
    for name in ("land", "dense sargassum", "turbid water", "cloud"):
        assert (share[name] == 0).any()  # not every scene holds everything


def test_debris_covers_a_part_of_its_pixels_in_narrow_lines(seas):
    parts = np.concatenate([scene.fraction[scene.where("debris")] for scene in seas])
    assert parts.min() >= SEEN - 1e-6
    assert np.quantile(parts, 0.99) < 0.75
    assert np.quantile(parts, 0.05) < 0.15 < np.median(parts) < 0.45 < np.quantile(parts, 0.95)
    for scene in seas:
        below = scene.fraction[scene.where("water")]
        assert below.max() < 3 * SEEN  # several kinds below 0.1 each
        assert (below > 0.02).any()  # and thin matter that no class names
    inner = sum(ndimage.binary_erosion(scene.where("debris"), np.ones((3, 3))).sum() for scene in seas)
    assert inner < 0.12 * len(parts)  # few pixels have debris all around


def test_what_floats_leaves_room_for_water():
    shares = matter(np.random.default_rng(0), 128)
    assert set(FLOATS) < set(shares)
    total = np.sum([shares[name] for name in FLOATS], axis=0)
    assert total.max() <= 0.95 + 1e-5
    assert all(0 <= plane.min() <= plane.max() <= 1 for plane in shares.values())
    assert not total[shares["land"] > 0.05].any()


# --- what is seen ---------------------------------------------------------------------------------


def test_vegetation_index_is_ordered_as_in_the_notes(seas):
    """MARIDA's medians: water -.14, foam -.16 < debris 0 < organic .18 < sparse .34 < dense Sargassum .48."""
    names = ("debris", "natural organic", "sparse sargassum", "dense sargassum")
    order = [median(seas, green, name) for name in names]
    assert order == sorted(order)
    assert order[0] + 0.05 < order[1] < order[2] - 0.05 < order[3] - 0.2
    assert abs(order[0]) < 0.08
    assert order[3] > 0.4
    for name in ("water", "foam"):
        assert median(seas, green, name) < order[0] - 0.1


def test_debris_index_is_ordered_as_in_the_notes(seas):
    """MARIDA's medians: water .008 < organic .043, debris .045 < foam .086 < dense Sargassum .19."""
    water, debris, foam, dense = (
        median(seas, fdi, name) for name in ("water", "debris", "foam", "dense sargassum")
    )
    assert water < 0.02
    assert water + 0.02 < debris < foam - 0.01 < dense - 0.05
    assert debris == pytest.approx(0.045, abs=0.015)
    # what else is taken for debris by a threshold on FDI alone
    cut = 0.03
    for name in ("turbid water", "ship", "wake", "cloud", "sparse sargassum", "natural organic"):
        share = np.mean(np.concatenate([fdi(scene)[scene.where(name)] for scene in seas]) > cut)
        assert share > 0.3


@pytest.mark.skipif(not MARIDA.exists(), reason="marine_debris is not at ../shared/data")
def test_spectra_have_the_shape_and_the_height_of_real_ones(seas):
    """Class means of MARIDA, which other water, other matter and other shares of it went into."""
    with MARIDA.open(newline="") as file:
        real = {row.pop("class"): np.array([float(v) for v in row.values()]) for row in csv.DictReader(file)}
    for name, called in ALIKE.items():
        made = np.concatenate([scene.image.data[:, scene.where(name)] for scene in seas], axis=1).mean(axis=1)
        assert np.corrcoef(made, real[called])[0, 1] > 0.9
        assert 0.5 < made.mean() / real[called].mean() < 2


def test_index_of_debris_grows_with_its_share(seas):
    clear = []
    for scene in seas:
        here = scene.where("debris") | scene.where("water")
        clear.append(np.stack([scene.fraction[here], fdi(scene)[here]]))
    part, index = np.concatenate(clear, axis=1)
    means = [
        index[(part >= low) & (part < high)].mean() for low, high in ((0, 0.02), (0.1, 0.25), (0.35, 0.6))
    ]
    assert means[0] + 0.01 < means[1] < means[2] - 0.01


def test_coarse_bands_are_repeated_and_see_less_of_a_line(seas):
    scene = seas[0]
    for name, k in (("B06", 2), ("B11", 2), ("B01", 6)):
        plane = scene.image.band(name)
        np.testing.assert_array_equal(plane, np.kron(plane[::k, ::k], np.ones((k, k), dtype=np.float32)))
    fine = scene.image.band("B08")
    assert (fine[::2] != fine[1::2]).mean() > 0.9
    contrast = []
    for each in seas:
        line = each.where("debris") & (each.fraction > 0.3)
        ring = ndimage.binary_dilation(line, iterations=3) & each.where("water")
        bands = [each.image.band(name) for name in ("B01", "B8A", "B08")]
        contrast.append([plane[line].mean() - plane[ring].mean() for plane in bands])
    coastal, coarse, sharp = np.mean(contrast, axis=0)
    assert 0 < coastal < coarse < sharp


def test_scenes_have_their_own_water_and_haze(seas):
    """Medians of open water differ between scenes by more than a pixel differs from its neighbours."""
    levels, noise = [], []
    for scene in seas:
        blue, water = scene.image.band("B02"), scene.where("water")
        levels.append(np.median(blue[water]))
        pairs = water[:, 1:] & water[:, :-1]
        noise.append(np.median(np.abs(np.diff(blue, axis=1))[pairs]))
    assert np.std(levels) > 4 * np.median(noise)
    assert np.median(noise) > 1e-4


def test_files(seas, tmp_path):
    scene = seas[1]
    paths = write_floating(scene, tmp_path)
    assert paths["image"].name == f"S2B_{scene.date}.tif"
    assert {image_day(path) for path in paths.values()} == {scene.date}
    with Scene([paths["image"]]) as file:
        assert tuple(band.name for band in file.bands) == BANDS
        assert {band.unit for band in file.bands} == {"reflectance"}
        np.testing.assert_array_equal(file.read().data, scene.image.data)
    np.testing.assert_array_equal(read_image(paths["fraction"]).data[0], scene.fraction)
    with rasterio.open(paths["classes"]) as file:
        np.testing.assert_array_equal(file.read(1), scene.classes)
        assert file.colormap(1)[2][:3] == (0xD6, 0x00, 0x6E)
