"""The simulated orthophoto: its contracts, and that it is hard in the right way."""

import numpy as np
import pytest
import rasterio
import shapely
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score

from jido.data import simulate_fields, write_fields
from jido.io import Scene, describe_scene, read_labels
from jido.labels import binary_scheme, check_labels

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def sheets():
    return [simulate_fields(shape=(768, 640), seed=seed) for seed in SEEDS]


# -- contracts ---------------------------------------------------------------------------------


def test_image_labels_and_mask_fit_each_other(sheets):
    for sheet in sheets:
        assert sheet.image.names == ("red", "green", "blue")
        assert sheet.image.data.shape == (3, *sheet.mask.shape) == (3, 768, 640)
        assert sheet.image.geobox.resolution.x == 0.25
        assert np.array_equal(sheet.image.data, sheet.image.data.astype(np.uint8))
        assert sheet.image.data.min() >= 1
        assert np.ptp(sheet.image.data) > 150
        assert np.array_equal(sheet.labels.burn(sheet.image.geobox).codes == 2, sheet.mask)
        assert sheet.labels.crs == sheet.image.geobox.crs


def test_same_seed_same_image_other_seed_other_image():
    first, again, other = (simulate_fields(shape=(128, 160), seed=seed) for seed in (3, 3, 4))
    assert first.image.data.tobytes() == again.image.data.tobytes()
    assert shapely.equals_exact(first.labels.geometry, again.labels.geometry).all()
    assert (first.image.data != other.image.data).mean() > 0.9
    assert not shapely.intersects(
        shapely.box(*first.image.geobox.boundingbox), shapely.box(*other.image.geobox.boundingbox)
    )


@pytest.mark.parametrize(
    ("shape", "share", "pixel_m"),
    [((512, 512), 0.022, 0.25), ((512, 700), 0.1, 0.25), ((512, 512), 0.022, 0.1), ((640, 512), 0.02, 1.0)],
)
def test_fields_cover_their_share(shape, share, pixel_m):
    for seed in range(3):
        mask = simulate_fields(shape=shape, seed=seed, share=share, pixel_m=pixel_m).mask
        assert mask.mean() == pytest.approx(share, rel=0.25)


def test_polygons_are_valid_and_apart_and_each_a_group(sheets):
    for sheet in sheets:
        ring = sheet.labels.geometry
        assert shapely.is_valid(ring).all()
        assert set(shapely.get_type_id(ring)) == {3}
        assert len(set(sheet.labels.groups.tolist())) == len(ring)
        assert set(sheet.labels.codes) == {2}
        assert shapely.area(ring).min() > 5
        assert shapely.area(shapely.union_all(ring)) == pytest.approx(shapely.area(ring).sum())
        assert shapely.box(*sheet.image.geobox.boundingbox).buffer(1e-6).contains(shapely.union_all(ring))


def test_a_large_image_has_many_fields_of_many_sizes():
    areas = shapely.area(simulate_fields(shape=(1024, 1024), seed=0, pixel_m=0.5).labels.geometry)
    assert len(areas) >= 20
    assert np.quantile(areas, 0.9) > 4 * np.quantile(areas, 0.1)


@pytest.mark.parametrize("seed", range(6))
def test_a_small_image_holds_a_field(seed):
    sheet = simulate_fields(shape=(128, 128), seed=seed)
    assert len(sheet.labels) >= 1
    assert 0.01 < sheet.mask.mean() < 0.1


def test_files_hold_what_was_simulated(tmp_path):
    sheet = simulate_fields(shape=(96, 130), seed=1)
    image, labels = write_fields(sheet, tmp_path / "new")
    assert (image.name, labels.name) == ("orthophoto.tif", "fields.gpkg")
    with rasterio.open(image) as source:
        assert source.dtypes == ("uint8",) * 3
        assert source.profile["compress"] == "deflate"
        assert source.profile["tiled"]
        assert (source.nodata, source.descriptions) == (0, ("red", "green", "blue"))
        assert [colour.name for colour in source.colorinterp] == ["red", "green", "blue"]
    with Scene([image]) as scene:
        whole = scene.read((slice(0, 96), slice(0, 130)))
        assert describe_scene(scene).parts[0].likely[0] == "8-bit numbers"
    np.testing.assert_array_equal(whole.data, sheet.image.data)
    assert whole.names == sheet.image.names
    read = read_labels(labels, scheme=binary_scheme("field"))
    np.testing.assert_array_equal(read.burn(whole.geobox).codes == 2, sheet.mask)
    assert len(set(read.groups.tolist())) == len(sheet.labels)
    assert not [p for p in check_labels(read, geobox=whole.geobox).problems if p.level == "repaired"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shape": (63, 200)}, "at least 64 rows"),
        ({"share": 0.0}, "share must be"),
        ({"share": 0.3}, "share must be"),
        ({"pixel_m": 2.0}, "pixel_m must be"),
        ({"crs": "EPSG:4326"}, "in metres"),
        ({"crs": "EPSG:2263"}, "in metres"),  # feet
    ],
)
def test_what_cannot_be_simulated_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        simulate_fields(**{"shape": (64, 64)} | wrong)


# -- hard in the right way ---------------------------------------------------------------------


def spread(plane, n):
    """Standard deviation of n x n pixels."""
    square = ndimage.uniform_filter(plane**2, n) - ndimage.uniform_filter(plane, n) ** 2
    return np.sqrt(np.maximum(square, 0))


def samples(seeds):
    """Some pixels of some images: features (n, 12), of which the first three are the colours; target (n,)."""
    x, y = [], []
    for sheet in (simulate_fields(shape=(512, 512), seed=seed) for seed in seeds):
        tone = sheet.image.data
        grey = tone.mean(axis=0)
        planes = [
            *tone,
            *(ndimage.uniform_filter(plane, 9) for plane in tone),
            *(spread(grey, n) for n in (5, 13)),
            *(spread(np.gradient(grey, axis=axis), 13) for axis in (0, 1)),
            ndimage.uniform_filter(grey, 25),
            ndimage.minimum_filter(grey, 9),
        ]
        x.append(np.reshape(planes, (12, -1)).T[::41])
        y.append(sheet.mask.ravel()[::41])
    return np.concatenate(x), np.concatenate(y)


def test_colour_alone_does_not_find_the_fields_and_texture_helps():
    (x, y), (x_test, y_test) = samples(range(8)), samples(range(8, 16))
    precision = []
    for n in (3, 12):
        forest = RandomForestClassifier(40, min_samples_leaf=10, n_jobs=2, random_state=0).fit(x[:, :n], y)
        precision.append(average_precision_score(y_test, forest.predict_proba(x_test[:, :n])[:, 1]))
    colour, texture = precision
    assert y_test.mean() < colour < 0.2
    assert 1.15 * colour < texture < 0.8


def contrast(sheet):
    """Standard deviation of the grey tones in each field."""
    grey = sheet.image.data.mean(axis=0)
    item = sheet.labels.burn(sheet.image.geobox).item
    return ndimage.standard_deviation(grey, item, np.arange(len(sheet.labels)))


def test_some_fields_are_faint_and_some_are_not():
    deviation = np.concatenate([contrast(simulate_fields(shape=(768, 768), seed=s)) for s in range(4)])
    assert np.quantile(deviation, 0.9) > 2 * np.quantile(deviation, 0.1)


def test_noise_is_correlated_in_space(sheets):
    grey = sheets[0].image.data[0].astype(float)
    residual = grey - ndimage.uniform_filter(grey, 9)
    assert 0.2 < np.corrcoef(residual[:, 1:].ravel(), residual[:, :-1].ravel())[0, 1] < 0.95
