"""The forest: features without seams, seeded, judged on what it has not seen."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.data import simulate_city
from jido.errors import FoldsError, ImageError, LabelsError, ModelError
from jido.geo import Raster, cell_stride, coarser, identify, lattice, scaled, unique_names
from jido.io import Scene, write_image
from jido.labels import Labels, group_kfold, lcz_scheme, random_pixels_leaking
from jido.methods import cells as cells_module
from jido.methods import forest as module
from jido.methods.cells import Samples, cell_features, sample_cells, touching_groups
from jido.methods.forest import (
    PRESETS,
    ForestConfig,
    fit_forest,
    held_out,
    load_config,
    probabilities,
    train_forest,
)

UTM = CRS("EPSG:32649")
FAST = ForestConfig(trees=20)
NAN = np.nan
S2 = identify(["B02", "B03", "B04", "B08", "B11"])


def image(seed, bands, height, width, gaps=0.1):
    rng = np.random.default_rng(seed)
    data = rng.uniform(0.01, 0.6, (len(bands), height, width)).astype(np.float32)
    data[:, rng.random((height, width)) < gaps] = NAN
    data[rng.random(data.shape) < gaps] = NAN
    return data


# -- features ----------------------------------------------------------------------------------


def test_features_by_hand():
    bands = identify(["B04", "B08"])
    red = [[0.1, 0.2, 0.4], [0.1, 0.4, 0.4]]
    nir = [[0.3, 0.2, 0.4], [0.5, 0.4, 0.4]]
    data = np.kron(np.array([red, nir], np.float32), np.ones((2, 2), np.float32))
    data[0, 0, 0] = NAN  # three pixels of the cell are left
    data[1, 0, :2] = [0.1, 0.5]
    got = cell_features(data, bands, ForestConfig(radii=(1,)), 2)
    ndvi = (np.array(nir) - red) / (np.array(nir) + red)
    np.testing.assert_allclose(got[:3], [red, nir, ndvi], rtol=1e-6)  # means, then the index of the means
    np.testing.assert_allclose(got[3], 0, atol=1e-8)  # spread of red
    np.testing.assert_allclose(got[4, 0, 0], np.std([0.1, 0.5, 0.3, 0.3]), rtol=1e-6)
    for plane, (mean, spread) in zip((red, nir, ndvi), got[5:].reshape(3, 2, 2, 3), strict=True):
        np.testing.assert_allclose(mean[0, 0], np.mean(np.array(plane)[:, :2]), rtol=1e-6)
        np.testing.assert_allclose(spread[1, 2], np.std(np.array(plane)[:, 1:]), rtol=1e-5, atol=1e-8)
    assert got.shape == (3 + 2 + 6, 2, 3)
    assert got.dtype == np.float32


@pytest.mark.parametrize(
    ("config", "stride", "count"),
    [
        (ForestConfig(), 10, 10 + 5 + 20),
        (ForestConfig(), 1, 10 + 20),  # a pixel has no spread
        (ForestConfig(radii=(1, 3)), 2, 10 + 5 + 40),
        (ForestConfig(radii=()), 1, 10),
        (ForestConfig(indices=False), 2, 5 + 5 + 10),
    ],
)
def test_number_of_features(config, stride, count):
    from jido.methods.cells import FEATURE_INDICES

    assert len(FEATURE_INDICES) == 5
    assert cell_features(image(0, S2, 20, 20), S2, config, stride).shape == (
        count,
        20 // stride,
        20 // stride,
    )


@given(
    seed=st.integers(0, 99),
    stride=st.sampled_from([1, 3, 10]),
    radii=st.sampled_from([(1,), (2,), (1, 3), ()]),
    tile=st.integers(1, 5),
)
@settings(max_examples=15, deadline=None)
def test_features_of_a_window_are_a_slice_of_the_whole(seed, stride, radii, tile):
    bands = unique_names([S2, identify(["VV"]), S2])
    data = image(seed, bands, 9 * stride, 11 * stride)
    config = ForestConfig(radii=radii)
    whole = cell_features(data, bands, config, stride)
    halo = max(radii, default=0) * stride
    for one in lattice(data.shape[1:], tile=tile * stride, halo=halo):
        part = cell_features(data[:, *one.read], bands, config, stride)
        np.testing.assert_array_equal(
            part[:, *scaled(one.inner, stride)], whole[:, *scaled(one.core, stride)]
        )


@pytest.mark.parametrize("dates", [2, 3, 4])
def test_what_one_date_lacks_comes_from_the_others(dates):
    bands = unique_names([identify(["B04", "B08"])] * dates)
    data = image(0, bands, 6, 7, gaps=0)
    data[0, 0, 0] = NAN  # red of the first date
    data[0::2, 1, 1] = NAN  # red of all dates
    got = cell_features(data, bands, ForestConfig(radii=(), indices=False), 1)
    expected = data.copy()
    expected[0, 0, 0] = np.median(data[2::2, 0, 0])
    np.testing.assert_allclose(got, expected, rtol=1e-6)  # NaN stays where no date has data
    assert np.isnan(got[0::2, 1, 1]).all()


def test_bands_of_other_names_do_not_fill_each_other():
    bands = unique_names([identify(["VV"]), S2])
    data = image(0, bands, 4, 4, gaps=0)
    data[0, 0, 0] = NAN
    assert np.isnan(cell_features(data, bands, ForestConfig(radii=()), 1)[0, 0, 0])


def test_each_date_and_each_sensor_has_its_own_indices():
    def ndvi(data, red, nir):
        return (data[nir] - data[red]) / (data[nir] + data[red])

    config = ForestConfig(radii=())
    pair = identify(["B04", "B08"])
    twice = unique_names([pair, pair])
    data = image(0, twice, 5, 5, gaps=0)
    got = cell_features(data, twice, config, 1)
    np.testing.assert_allclose(got[4:], [ndvi(data, 0, 1), ndvi(data, 2, 3)], rtol=1e-5)
    mixed = unique_names([identify(["B4", "B5"]), pair])  # Landsat-8 and Sentinel-2: no name twice
    got = cell_features(data, mixed, config, 1)
    np.testing.assert_allclose(got[4:], [ndvi(data, 0, 1), ndvi(data, 2, 3)], rtol=1e-5)
    files = unique_names([pair[:1], pair[1:]])  # one band per file
    got = cell_features(data[:2], files, config, 1)
    np.testing.assert_allclose(got[2:], [ndvi(data, 0, 1)], rtol=1e-5)


# -- fitting -----------------------------------------------------------------------------------


def samples_of(n=240, groups=24, seed=0):
    """Three classes that lie apart in the first of four features."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % groups
    y = group % 3 * 5  # places 0, 5 and 10 of the scheme
    features = rng.normal(0, 1, (n, 4)).astype(np.float32)
    features[:, 0] += y
    features[rng.random(n) < 0.05, 1] = NAN
    return Samples(features, y=y, item=group, group=group.astype(str), xy=np.zeros((n, 2)))


def test_seed_decides():
    samples = samples_of()
    everything = np.arange(240)

    def predicted(seed):
        fitted = fit_forest(samples, everything, ForestConfig(trees=15, seed=seed))
        return probabilities(fitted, samples.features, 17)

    np.testing.assert_array_equal(predicted(1), predicted(1))
    assert (predicted(1) != predicted(2)).any()


def test_probabilities_span_the_whole_scheme():
    samples = samples_of()
    fitted = fit_forest(samples, np.arange(240), FAST)
    full = probabilities(fitted, samples.features, 17)
    assert full.dtype == np.float32
    assert full.shape == (240, 17)
    np.testing.assert_allclose(full.sum(1), 1, rtol=1e-6)
    assert (np.delete(full, [0, 5, 10], axis=1) == 0).all()
    assert (full.argmax(1) == samples.y).mean() > 0.95


def test_prediction_does_not_hang_on_the_company():
    samples = samples_of()
    fitted = fit_forest(samples, np.arange(240), FAST)
    together = probabilities(fitted, samples.features, 17)
    alone = np.concatenate([probabilities(fitted, row[None], 17) for row in samples.features[:20]])
    np.testing.assert_array_equal(together[:20], alone)


@pytest.mark.parametrize("cap", [1, 3, 1000])
def test_a_polygon_gives_no_more_than_the_cap(monkeypatch, cap):
    from sklearn.ensemble import ExtraTreesClassifier

    samples = samples_of()
    seen = []
    fit = ExtraTreesClassifier.fit
    monkeypatch.setattr(
        ExtraTreesClassifier, "fit", lambda self, x, y: seen.append((x, y)) or fit(self, x, y)
    )
    keep = np.arange(0, 240, 2)  # even groups only, ten samples of each
    fit_forest(samples, keep, ForestConfig(trees=2, max_pixels_per_polygon=cap))
    ((x, y),) = seen
    assert len(y) == 12 * min(cap, 10)
    place = {row.tobytes(): i for i, row in enumerate(samples.features)}
    items = samples.item[[place[row.tobytes()] for row in x]]
    assert np.bincount(items).max() == min(cap, 10)
    assert set(items) == set(range(0, 24, 2))


def test_no_fold_is_judged_by_a_forest_that_knows_it(monkeypatch):
    samples = samples_of()
    folds = group_kfold(samples.group, samples.y, k=4, seed=0)
    trained = []

    def spy(samples, keep, config):
        trained.append(keep)
        return fit_forest(samples, keep, config)

    monkeypatch.setattr(module, "fit_forest", spy)
    out = held_out(samples, folds, FAST, 17)
    assert len(trained) == 4
    for i, keep in enumerate(trained):
        assert len(keep)
        assert not set(samples.group[keep]) & set(samples.group[folds.fold == i])
        alone = probabilities(fit_forest(samples, keep, FAST), samples.features[folds.fold == i], 17)
        np.testing.assert_array_equal(out[folds.fold == i], alone)


def test_held_out_figures_are_those_of_labels_that_mean_nothing():
    """With classes drawn by lot for whole polygons nothing can be learned; random pixels pretend it can."""
    samples = samples_of(600, groups=60)
    noise = np.random.default_rng(0)
    polygon = noise.normal(0, 5, (60, 4)).astype(np.float32)
    samples = replace(
        samples,
        y=noise.integers(0, 3, 60)[samples.item],
        features=polygon[samples.item] + noise.normal(0, 0.1, (600, 4)).astype(np.float32),
    )
    honest = held_out(samples, group_kfold(samples.group, samples.y, k=5, seed=0), FAST, 17)
    leaky = held_out(samples, random_pixels_leaking(600, k=5, seed=0), FAST, 17)
    assert (honest.argmax(1) == samples.y).mean() < 0.55
    assert (leaky.argmax(1) == samples.y).mean() > 0.95


# -- sampling ----------------------------------------------------------------------------------


def labels_of(*items, crs=UTM):
    """Squares of pixels (col, row, cols, rows, code) on the 10 m grid below."""
    squares = [
        shapely.box(500_000 + 10 * c, 2_000_000 - 10 * (r + h), 500_000 + 10 * (c + w), 2_000_000 - 10 * r)
        for c, r, w, h, _ in items
    ]
    codes = np.array([i[-1] for i in items])
    return Labels(np.array(squares), codes, np.arange(len(items)), UTM, lcz_scheme()).to_crs(crs)


def scene_of(tmp_path, data, names=("B04", "B08")):
    box = GeoBox(data.shape[1:], Affine(10, 0, 500_000, 0, -10, 2_000_000), UTM)
    write_image(Raster(data, identify(list(names)), box), tmp_path / "scene.tif")
    return Scene([tmp_path / "scene.tif"])


@pytest.mark.parametrize("crs", [UTM, CRS("EPSG:4326")])
def test_samples_are_the_labelled_cells_whatever_the_tiles(tmp_path, monkeypatch, crs):
    data = image(0, identify(["B04", "B08"]), 60, 95, gaps=0)
    data[:, 20:30, 20:30] = NAN
    data[:, 0:4, 0:10] = NAN  # 60 % of a cell are left
    labels = labels_of((0, 0, 30, 30, 2), (50, 30, 40, 30, 17), (89, 0, 6, 6, 3), crs=crs)
    config = ForestConfig(cell=100)
    with scene_of(tmp_path, data) as scene:
        whole = sample_cells(scene, labels, config)
        for tile in (10, 20, 35):
            monkeypatch.setattr(cells_module, "TILE", tile)
            part = sample_cells(scene, labels, config)
            order = np.lexsort((part.xy[:, 0], -part.xy[:, 1]))
            for name in ("features", "y", "item", "group", "xy"):
                np.testing.assert_array_equal(getattr(part, name)[order], getattr(whole, name))
    # 8 of 9 cells of the first (one is empty), 12 of the second; the third lies in no whole cell
    assert np.bincount(whole.item).tolist() == [8, 12]
    assert whole.y.tolist() == [lcz_scheme().codes.index(labels.codes[i]) for i in whole.item]
    assert whole.xy.min(axis=0).tolist() == [500_050, 2_000_000 - 550]
    assert [500_250, 2_000_000 - 250] not in whole.xy.tolist()
    grid = coarser(GeoBox((60, 95), Affine(10, 0, 500_000, 0, -10, 2_000_000), UTM), 10)
    cells = np.round((whole.xy - [grid.affine.c, grid.affine.f]) / [100, -100] - 0.5).astype(int)
    features = cell_features(data[:, :60, :90], S2[2:4], config, 10)
    np.testing.assert_array_equal(whole.features, features[:, cells[:, 1], cells[:, 0]].T)


def test_sampling_refuses_what_has_nothing_to_give(tmp_path):
    data = np.ones((2, 30, 30), np.float32)
    data[:, :10, :10] = NAN
    with scene_of(tmp_path, data) as scene:
        with pytest.raises(LabelsError, match="No label lies inside the image"):
            sample_cells(scene, labels_of((500, 500, 10, 10, 2)), FAST)
        with pytest.raises(ImageError, match="has no data under any label"):
            sample_cells(scene, labels_of((0, 0, 10, 10, 2)), FAST)
        with pytest.raises(ImageError, match="smaller than one cell of 400 m"):
            sample_cells(scene, labels_of((0, 0, 10, 10, 2)), ForestConfig(cell=400))


@pytest.mark.parametrize(
    ("pixel_m", "stride"),
    [((10, 10), 10), ((30, 30), 3), ((100, 100), 1), ((250, 250), 1), ((20, 10), 5), ((0.5, 0.5), 200)],
)
def test_stride_is_the_cell_in_pixels(pixel_m, stride):
    assert cell_stride(pixel_m, ForestConfig().cell) == stride


# -- training ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def city():
    return simulate_city(0, cells=32)


@pytest.fixture(scope="module")
def city_scene(city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    write_image(city.radar, folder / "s1.tif")
    write_image(city.optical, folder / "s2.tif")
    with Scene([folder / "s1.tif", folder / "s2.tif"]) as scene:
        yield scene


@pytest.fixture(scope="module")
def trained(city, city_scene):
    labels = city.polygons(45, seed=0)
    told = []
    model = train_forest(
        city_scene, labels, config=FAST, folds=3, leaky_too=True, progress=lambda *a: told.append(a)
    )
    return model, labels, told


def test_it_learns_a_city(city, city_scene, trained):
    model, labels, _ = trained
    classes = len(np.unique(labels.codes))
    metrics = model.evaluation["metrics"]
    assert metrics["oa"]["value"] > 3 / classes
    assert metrics["kappa"]["value"] > 0.2
    assert metrics["oa"]["lower"] < metrics["oa"]["value"] < metrics["oa"]["upper"]
    data = city_scene.read().data
    assert model.predict(data[None]).shape == (1, 17, 30, 30)  # without the halo
    rim = ((0, 0), (model.halo, model.halo), (model.halo, model.halo))
    probability = model.predict(np.pad(data, rim, constant_values=np.nan)[None])[0]
    assert probability.shape == (17, 32, 32)
    np.testing.assert_allclose(probability.sum(0), 1, rtol=1e-5)
    codes = np.array(model.scheme.codes)[probability.argmax(0)]
    assert (codes == city.lcz).mean() > 3 / classes


def test_what_the_model_says_of_itself(city_scene, trained):
    model, labels, _ = trained
    assert (model.stride, model.halo) == (10, 10)
    assert model.bands == city_scene.bands
    assert model.pixel_m == (10, 10)
    assert model.labels is labels
    assert 0 <= model.abstain_below <= 1
    evaluation = model.evaluation
    assert evaluation["folds"] == {"kind": "polygons kept whole", "k": 3, "leaks": False, "buffer_m": 0.0}
    assert evaluation["leaky"]["folds"]["leaks"] is True
    assert evaluation["leaky"]["metrics"]["oa"]["value"] > evaluation["metrics"]["oa"]["value"]
    cm = np.array(evaluation["confusion"])
    assert cm.sum() == evaluation["cells"]
    assert evaluation["metrics"]["oa"]["value"] == pytest.approx(np.trace(cm) / cm.sum())
    assert evaluation["groups"] + evaluation["labels"]["merged_groups"] == 45


def test_agreement_of_each_polygon_adds_up_to_the_accuracy(trained):
    model, labels, _ = trained
    rows = model.evaluation["polygons"]
    assert sorted(r["item"] for r in rows) == list(range(45))
    assert {r["fold"] for r in rows} == {0, 1, 2}
    assert all(a["suspicion"] >= b["suspicion"] for a, b in pairwise(rows))  # the doubtful ones first
    right = sum(r["agreement"] * r["cells"] for r in rows)
    assert right / sum(r["cells"] for r in rows) == pytest.approx(
        model.evaluation["metrics"]["oa"]["value"], abs=1e-3
    )
    names = dict(zip(labels.scheme.codes, labels.scheme.labels, strict=True))
    assert all(r["class"] == names[labels.codes[r["item"]]] for r in rows)


def test_progress_is_told(trained):
    told = trained[2]
    assert [t for t in told if t[0] == "judging on folds"] == [
        ("judging on folds", i, 3) for i in (1, 2, 3)
    ] * 2
    assert told[0][0] == "reading labelled cells"
    assert all(done <= total for _, done, total in told)


def test_training_is_seeded(city, city_scene):
    labels = city.polygons(40, seed=1)
    data = city_scene.read().data[None]
    one, same, other = (
        train_forest(city_scene, labels, config=ForestConfig(trees=5, seed=s), folds=2) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.predict(data), same.predict(data))
    assert one.evaluation["confusion"] == same.evaluation["confusion"]
    assert (one.predict(data) != other.predict(data)).any()


def test_training_refuses_what_cannot_be_learned(tmp_path, city, city_scene):
    labels = city.polygons(45, seed=0)
    alone = labels.subset(labels.codes == labels.codes[0])
    with pytest.raises(LabelsError):
        train_forest(city_scene, alone, config=FAST)
    with pytest.raises(FoldsError, match="5 folds were asked for but there are 4 groups"):
        train_forest(city_scene, labels.subset(np.arange(4)), config=FAST)
    data = image(0, identify(["B04", "B08"]), 40, 40, gaps=0)
    outside = labels_of((0, 0, 10, 10, 2), (10, 10, 10, 10, 2), (900, 0, 10, 10, 3))
    with (
        scene_of(tmp_path, data) as scene,
        pytest.raises(LabelsError, match="Inside the image all labels are of class 2"),
    ):
        train_forest(scene, outside, config=FAST, folds=2)


# -- settings ----------------------------------------------------------------------------------


def test_settings_of_presets_and_files(tmp_path):
    assert load_config() == ForestConfig()
    assert load_config(preset="smoke", seed=3) == ForestConfig(seed=3, **PRESETS["smoke"])
    file = tmp_path / "forest.toml"
    file.write_text("trees = 7\nradii = [1, 2]\nmax_features = 0.5\n")
    got = load_config(file, preset="full", seed=9)
    assert got == ForestConfig(trees=7, radii=(1, 2), max_features=0.5, seed=9)
    file.write_text("seed = 4\n")
    assert load_config(file, seed=9).seed == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tres = 7", "tres: "),
        ("trees = 0", "trees: "),
        ("trees = 'many'", "trees: "),
        ("radii = [0]", "radii: "),
        ("cell = -1", "cell: "),
        ("trees = ", "cannot be read"),
        ("\udcff", "cannot be read"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, said):
    file = tmp_path / "forest.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        load_config(file)
    assert str(file) in str(caught.value)
    if "read" not in said:
        assert "known are cell, indices, radii, trees" in str(caught.value)


def test_a_missing_file_of_settings_is_said(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def touching(xy, y, group):
    samples = Samples(
        np.zeros((len(y), 1), np.float32),
        y=np.array(y),
        item=np.arange(len(y)),
        group=np.array(group),
        xy=np.array(xy, float),
    )
    grid = GeoBox((10, 10), Affine(100, 0, 0, 0, -100, 1000), "EPSG:32649")
    return touching_groups(samples, grid).tolist()


def test_groups_of_a_class_that_touch_are_judged_together():
    xy = [(50, 50), (150, 50), (250, 150), (550, 50), (50, 150)]
    assert touching(xy, [1, 1, 1, 1, 2], ["a", "b", "c", "d", "e"]) == ["a", "a", "a", "d", "e"]


def test_groups_a_cell_apart_stay_apart():
    assert touching([(50, 50), (250, 50)], [1, 1], ["a", "b"]) == ["a", "b"]


def test_cells_of_one_group_stay_one_group():
    assert touching([(50, 50), (950, 50)], [1, 1], ["a", "a"]) == ["a", "a"]


@pytest.mark.parametrize(
    "setting", ["max_features = 5", 'max_features = "foo"', "max_features = 0.0", "seed = -1"]
)
def test_settings_that_scikit_learn_would_refuse_are_refused_at_once(tmp_path, setting):
    (tmp_path / "a.toml").write_text(setting)
    with pytest.raises(ModelError, match=setting.split(" =", maxsplit=1)[0]):
        load_config(tmp_path / "a.toml")
