"""FDI, the learners of debris, their folds, their package, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from debris_scenes import MATERIALS, NAMES, sea, spectra, write_table
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from jido.data.spectra import Spectra, read_spectra
from jido.errors import ImageError, LabelsError, ModelError
from jido.geo import SENTINEL_2_NM, identify
from jido.geo.indices import fdi, fdi_740
from jido.indicators.debris import debris_map, open_sea
from jido.io import Scene, write_image
from jido.maps import map_scene
from jido.methods import load_model
from jido.methods.debris import (
    DebrisConfig,
    DebrisModel,
    Fitted,
    fit,
    held_out,
    is_land,
    materials,
    rows_of,
    scene_folds,
)
from jido.methods.debris_features import (
    evidence,
    features,
    fit_calibration,
    fit_naive,
    fit_spectra,
    log_scores,
)
from jido.methods.debris_image import correction_name, image_facts, model_for, platform_name
from jido.methods.debris_train import judge, train_debris
from jido.methods.verify import verify_model
from jido.stats.abstention import group_accept_threshold

MARIDA = Path(__file__).parents[2] / "shared/data/marine_debris"
QUICK = DebrisConfig(strengths=(10.0,), noises=(0.001,), copies=1, folds=4, inner=2)
DEBRIS = "Marine Debris"


@pytest.fixture(scope="module")
def table() -> Spectra:
    return spectra()


@pytest.fixture(scope="module")
def model(table: Spectra) -> DebrisModel:
    return train_debris(table, config=QUICK, correction="ACOLITE Rayleigh")


# -- the index ---------------------------------------------------------------------------------

BANDS = [np.array([value]) for value in (0.06, 0.04, 0.02)]  # nir, red edge, swir


@pytest.mark.parametrize(
    ("form", "platform", "value"),
    [
        # 0.06 - (0.04 - 0.02 x 168.2 / 949.1 x 10), factor 1.772205
        (fdi, "S2A", 0.0554441),
        # 833.0 - 665.0 = 168.0 over 1610.4 - 665.0 = 945.4, factor 1.777026
        (fdi, "S2B", 0.0555405),
        # 832.8 - 740.5 = 92.3 over 1613.7 - 740.5 = 873.2, factor 1.057032
        (fdi_740, "S2A", 0.0411406),
        # 833.0 - 739.1 = 93.9 over 1610.4 - 739.1 = 871.3, factor 1.077700
        (fdi_740, "S2B", 0.0415540),
    ],
)
def test_fdi_by_hand(form, platform, value):
    np.testing.assert_allclose(form(*BANDS, nm=SENTINEL_2_NM[platform]), [value], rtol=2e-6)


def test_fdi_takes_the_wavelengths_of_s2a_unless_told():
    np.testing.assert_array_equal(fdi(*BANDS), fdi(*BANDS, nm=SENTINEL_2_NM["S2A"]))


def test_fdi_of_a_flat_spectrum_is_nothing():
    flat = np.full(3, 0.07)
    np.testing.assert_allclose(fdi(flat, flat, flat), 0, atol=1e-15)


@pytest.mark.parametrize("form", [fdi, fdi_740])
@pytest.mark.parametrize("scale", [255, 10_000])
def test_fdi_needs_reflectance(form, scale):
    with pytest.raises(ImageError, match=r"FDI.* adds bands up, so it needs reflectance \(0..1\), but a"):
        form(*(band * scale for band in BANDS))


# -- learners ----------------------------------------------------------------------------------


@pytest.fixture
def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [20, 30, 10])
    return rng.normal(y[:, None] * [1.0, -0.5], [0.5, 2.0]), y


def test_naive_bayes_says_what_scikit_learn_says(points):
    x, y = points
    new = np.random.default_rng(1).normal(0, 3, (50, 2))
    np.testing.assert_allclose(
        np.exp(log_scores(fit_naive(x, y), new)), GaussianNB().fit(x, y).predict_proba(new), atol=1e-9
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_logistic_regression_says_what_scikit_learn_says(points, classes):
    x, y = (part[points[1] < classes] for part in points)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    known = LogisticRegression(C=3.0, max_iter=500, tol=1e-3).fit(z, y).predict_proba(z)
    np.testing.assert_allclose(np.exp(log_scores(fit_spectra(x, y, strength=3.0), x)), known, atol=1e-9)


def test_evidence_is_the_log_odds():
    scores = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(evidence(scores, 0), np.log([0.5 / 0.5, 0.1 / 0.9]))


def test_calibration_finds_the_odds_that_were_stretched():
    rng = np.random.default_rng(0)
    true_odds = rng.normal(0, 2, 40_000)
    truth = rng.random(40_000) < 1 / (1 + np.exp(-true_odds))
    slope, shift = fit_calibration((true_odds + 0.6) * 2, truth)  # said too sure, and too often debris
    assert slope == pytest.approx(0.5, abs=0.02)
    assert shift == pytest.approx(-0.6, abs=0.04)


def test_calibration_never_turns_the_order_round():
    odds = np.linspace(-3, 3, 40)
    assert fit_calibration(odds, odds < 0)[0] == 0.05


def test_calibration_moves_debris_and_leaves_the_others_in_proportion():
    arrays = {"centre": np.zeros(1), "spread": np.ones(1), "weights": np.zeros((3, 1))}
    arrays["bias"] = np.log([0.5, 0.3, 0.2])
    found = materials(Fitted(arrays, np.array([1.0, 0.0]), (0, 0)), np.zeros((1, 1)), 0)
    np.testing.assert_allclose(found, [[0.5, 0.3, 0.2]])
    shifted = materials(Fitted(arrays, np.array([1.0, np.log(3)]), (0, 0)), np.zeros((1, 1)), 0)
    np.testing.assert_allclose(shifted, [[0.75, 0.15, 0.1]])  # odds 1 x 3; 3 : 2 of the rest


def test_naive_features_are_fdi_and_ndvi():
    image, _ = sea(side=32)
    x = features(np.moveaxis(image.data, 0, -1), image.bands, learner="naive", platform="S2B")
    nir, red = image.band("nir"), image.band("red")
    np.testing.assert_allclose(x[..., 1], (nir - red) / (nir + red), rtol=1e-5)
    known = fdi(nir, image.band("rededge075"), image.band("swir16"), nm=SENTINEL_2_NM["S2B"])
    np.testing.assert_allclose(x[..., 0], known, atol=1e-7)


# -- folds -------------------------------------------------------------------------------------


def rows(table: Spectra, config: DebrisConfig = QUICK):
    return rows_of(table, tuple(sorted(MATERIALS)), DEBRIS, config)


def test_folds_never_share_a_scene(table):
    of = rows(table)
    folds = scene_folds(of, leaks=False, k=4, seed=0)
    assert folds.k == 4
    assert (folds.kind, folds.leaks) == ("scenes kept whole", False)
    for train, test in folds:
        assert len(test)
        assert not set(table.scenes[train]) & set(table.scenes[test])


def test_held_out_rows_have_no_say_in_what_is_said_of_them(table):
    of = rows(table)
    folds = scene_folds(of, leaks=False, k=4, seed=0)
    train, test = folds.split(0)
    told = materials(fit(of, train, QUICK), of.clean[test], of.target)
    wrong = of.material.copy()
    wrong[test] = (wrong[test] + 1) % len(MATERIALS)
    noisy = {noise: part.copy() for noise, part in of.noisy.items()}
    for part in noisy.values():
        part[:, test] += 1
    spoilt = replace(of, material=wrong, noisy=noisy)
    np.testing.assert_array_equal(materials(fit(spoilt, train, QUICK), of.clean[test], of.target), told)
    np.testing.assert_array_equal(held_out(of, folds, QUICK)[test], told)


def test_a_material_that_training_lacks_gets_no_chance(table):
    of = rows(table)
    lacking = sorted(MATERIALS).index("Foam")
    for learner in ("naive", "spectra"):
        config = QUICK.model_copy(update={"learner": learner})
        mine = rows(table, config)
        train = np.flatnonzero(of.material != lacking)
        assert materials(fit(mine, train, config), mine.clean, mine.target)[:, lacking].max() == 0


def test_the_promise_is_that_of_held_out_scenes(table):
    hard = replace(table, values=table.values + np.random.default_rng(3).normal(0, 0.012, table.values.shape))
    of = rows(hard)
    folds = scene_folds(of, leaks=False, k=4, seed=0)
    said = held_out(of, folds, QUICK)[:, of.target]
    found = judge(of, said, folds, QUICK)
    confidence, right = np.maximum(said, 1 - said), (said >= 0.5) == of.truth
    below, share = group_accept_threshold(confidence, right, hard.scenes, error=0.05, trust=0.9)
    assert 0 < share < 1
    assert (found["unsure"]["below"], found["unsure"]["share"]) == (below, 1 - share)
    assert found["metrics"]["f1_macro"]["lower"] is not None


def test_without_scenes_the_figures_are_marked(table):
    found = train_debris(replace(table, scenes=None), config=QUICK).evaluation
    assert found["optimistic"]
    assert found["folds"]["leaks"]
    assert found["unsure"]["trust"] is None
    assert {figure["lower"] for figure in found["metrics"].values()} == {None}


# -- the model ---------------------------------------------------------------------------------


def test_a_package_says_the_same_and_tells_what_it_was_made_of(model, tmp_path):
    model.save(tmp_path / "pkg")
    again = load_model(tmp_path / "pkg")
    assert isinstance(again, DebrisModel)
    image, _ = sea()
    np.testing.assert_array_equal(again.predict(image.data[None]), model.predict(image.data[None]))
    assert (again.correction, again.platform, again.target) == ("acolite-rayleigh", "mixed", DEBRIS)
    assert again.names == tuple(sorted(MATERIALS))
    assert again.abstain_below == model.abstain_below
    assert verify_model(tmp_path / "pkg").difference == 0
    assert sorted(path.name for path in (tmp_path / "pkg").iterdir()) == [
        "README.md", "config.json", "metrics.json", "model.skops", "sample.npz",
    ]  # fmt: skip


def test_a_package_that_was_changed_is_refused(model, tmp_path):
    model.save(tmp_path / "pkg")
    config = tmp_path / "pkg" / "config.json"
    config.write_text(config.read_text().replace('"target": "Marine Debris"', '"goal": "Marine Debris"'))
    with pytest.raises(ModelError, match="settings that cannot be used: train the model again"):
        load_model(tmp_path / "pkg")


@pytest.mark.parametrize("learner", ["naive", "spectra"])
def test_debris_is_found_in_a_scene_that_nobody_has_seen(table, learner):
    found = train_debris(table, config=QUICK.model_copy(update={"learner": learner, "calibrate": False}))
    image, what = sea()
    said = found.predict(image.data[None])[0]
    np.testing.assert_allclose(said.sum(axis=0), 1, atol=1e-6)
    assert said[1][what == DEBRIS].mean() > 0.8
    assert said[1][np.isin(what, ["Water", "Sargassum"])].mean() < 0.02


def test_what_lacks_a_band_or_is_cloud_has_no_answer(model):
    image, what = sea()
    data = image.data.copy()
    data[4, 100, 100] = np.nan
    said = replace(model, skips=True).predict(data[None])[0, 1]
    assert np.isnan(said[100, 100])
    assert np.isnan(said[what == "Clouds"]).mean() > 0.95
    assert np.isfinite(model.predict(data[None])[0, 1][what == "Clouds"]).all()


def test_land_is_told_by_mndwi():
    # (0.1 - 0.1) / 0.2 = 0 is land, 0.02 / 0.18 is none; reflectance below 0 counts as 0
    green, swir = np.array([0.1, 0.1, -0.01, np.nan]), np.array([0.1, 0.08, 0.05, 0.1])
    assert is_land(green, swir).tolist() == [True, False, True, False]


def test_the_satellite_has_a_say(model):
    image, _ = sea()
    other = replace(model, image_platform="S2B").predict(image.data[None])
    here = model.predict(image.data[None])
    assert 0 < np.abs(other - here).max() < 0.05  # the factor differs by 0.3 %


@pytest.mark.parametrize("text", ["S2B", "s2b", "Sentinel-2B", "SENTINEL2B"])
def test_satellites_have_one_name(text):
    assert platform_name(text) == "S2B"


def test_an_unknown_satellite_is_refused():
    with pytest.raises(ModelError, match="wavelengths of platform 'S2C' are not known, those of S2A and S2B"):
        platform_name("S2C")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ACOLITE Rayleigh", "acolite-rayleigh"),
        ("rhorc", "acolite-rayleigh"),
        ("L2A", "sen2cor-l2a"),
        ("Sen2Cor", "sen2cor-l2a"),
        ("Level-1C", "none-l1c"),
        ("C2RCC 2.0", "c2rcc-2-0"),
        ("", "unknown"),
    ],
)
def test_corrections_have_one_name(text, name):
    assert correction_name(text) == name
    assert correction_name(name) == name


# -- the image ---------------------------------------------------------------------------------


def on_disk(folder: Path, name: str, bands: tuple[str, ...] = NAMES) -> Path:
    image, _ = sea(side=64)
    chosen = [NAMES.index(f"B{int(b[1:]):02d}" if b[1:].isdigit() else b) for b in bands]
    named = tuple(image.bands[i].renamed(b) for i, b in zip(chosen, bands, strict=True))
    write_image(replace(image, data=image.data[chosen], bands=named), folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("name", "correction", "platform"),
    [
        ("S2A_2020-09-18_rhorc.tif", "acolite-rayleigh", "S2A"),
        ("S2B_MSIL2A_20200918T160829_N0214_R140_T16PCC.tif", "sen2cor-l2a", "S2B"),
        ("sentinel-2b_rhos_20200918.tif", "acolite-dsf", "S2B"),
        ("scene.tif", "", ""),
    ],
)
def test_names_of_files_tell_correction_and_satellite(tmp_path, name, correction, platform):
    with Scene([on_disk(tmp_path, name)]) as scene:
        found = image_facts(scene)
    assert (found.correction, found.platform) == (correction, platform)


def test_another_correction_is_refused_by_both_names(model, tmp_path):
    with Scene([on_disk(tmp_path, "S2A_MSIL2A_20200918T160829_N0214_R140_T16PCC.tif")]) as scene:
        with pytest.raises(
            ModelError, match="corrected by sen2cor-l2a, the model was trained on acolite-ray"
        ):
            model_for(model, scene)
        _, notes = model_for(model, scene, correction="rhorc")
    assert notes == ["The files say that the image is corrected by sen2cor-l2a; acolite-rayleigh was stated."]


def test_what_is_not_known_is_said(model, tmp_path):
    with Scene([on_disk(tmp_path, "scene.tif")]) as scene:
        found, notes = model_for(model, scene)
    assert notes[0].startswith("The atmospheric correction of the image is not known, so it was not checked")
    assert notes[1] == "Nothing tells of which satellite the image is: the wavelengths of S2A are taken."
    assert (found.image_platform, found.image_correction) == ("S2A", "unknown")


def test_no_map_before_correction_satellite_and_land_are_seen_to(model, tmp_path):
    says = "satellite are checked and land is left out: use jido indicator debris IMAGE --model"
    with Scene([on_disk(tmp_path, "S2A_rhorc.tif")]) as scene:
        checked, _ = model_for(model, scene)
        as_loaded = open_sea(model, scene).model  # land is left out, but nobody asked for the correction
        for one in (model, checked, as_loaded):
            with pytest.raises(ModelError, match=says):
                map_scene(one, scene, tmp_path / "map.tif")
        assert not list(tmp_path.glob("*map*"))
        debris_map(open_sea(checked, scene), tmp_path / "map.tif")
    assert (tmp_path / "map.tif").exists()


def test_bands_without_a_zero_are_the_same_bands(model, tmp_path):
    bare = tuple(name.replace("B0", "B") for name in NAMES)
    with Scene([on_disk(tmp_path, "S2B_rhorc.tif", bare)]) as scene:
        found, _ = model_for(model, scene)
    assert tuple(band.name for band in found.bands) == bare
    assert tuple(found.radiometry.parts[0].bands) == bare  # what the guard compares by
    assert found.image_platform == "S2B"


def test_a_missing_band_is_named(model, tmp_path):
    lacking = tuple(name for name in NAMES if name not in ("B05", "B12"))
    with (
        Scene([on_disk(tmp_path, "S2A_rhorc.tif", lacking)]) as scene,
        pytest.raises(ModelError, match="The model reads B05, B12, but the image has B01, B02"),
    ):
        model_for(model, scene)


# -- the table ---------------------------------------------------------------------------------


def test_a_table_is_read_as_it_was_written(table, tmp_path):
    found = read_spectra(write_table(table, tmp_path / "t.csv"))
    np.testing.assert_array_equal(found.values, table.values)
    assert found.bands == identify(NAMES)
    assert (found.classes == table.classes).all()
    assert (found.scenes == table.scenes).all()
    assert read_spectra(write_table(table, tmp_path / "n.csv", scene=False)).scenes is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("B4,B8,B11\n1,2,3\n", "has no column class or material or label, only B4, B8, B11: name that of"),
        ("class,red\nwater,0.1\n", "has no column of a band of Sentinel-2, only class, red: name them B4"),
        ("class,B8,B11\nwater,0.1,high\n", "line 2: 'high' in column B11 is no number: correct it or leave"),
        ("class,B8,B11\n", "holds no spectrum: give a row for each"),
        ("class,scene,B8,B11\nwater,,0.1,0.1\n", "has rows without a scene in column 'scene': fill it in"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(LabelsError, match=message):
        read_spectra(tmp_path / "bad.csv")


def test_a_column_that_is_none_is_refused(table, tmp_path):
    with pytest.raises(LabelsError, match="has no column 'date', only class, scene, B1"):
        read_spectra(write_table(table, tmp_path / "t.csv"), scenes="date")


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(LabelsError, match="cannot be read as a table of spectra"):
        read_spectra(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.select(t.classes != DEBRIS), "has no class called marine debris, debris, plastic, only"),
        (
            lambda t: t.select(t.classes == DEBRIS),
            "All spectra of made-up.csv are Marine Debris: add spectra",
        ),
        (
            lambda t: t.select(np.isin(t.scenes, ["scene 1", "scene 2"])),
            "has 2 scenes, 2 of them with Marine",
        ),
        (lambda t: replace(t, values=t.values * 10_000), "look like reflectance x 10000.*FDI needs reflect"),
        (lambda t: replace(t, values=np.rint(t.values * 900).clip(0, 255)), "FDI needs reflectance"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(table, change, message):
    with pytest.raises(LabelsError, match=message):
        train_debris(change(table), config=QUICK)


def test_a_table_without_a_band_of_fdi_is_refused(table):
    kept = [i for i, name in enumerate(NAMES) if name != "B06"]
    less = Spectra(table.values[:, kept], tuple(table.bands[i] for i in kept), table.classes, table.scenes)
    with pytest.raises(ModelError, match=r"need bands B04, B06, B08 and B11.*lacks B06: add it"):
        train_debris(less, config=QUICK)


def test_another_name_of_debris_can_be_given(table):
    assert train_debris(table, config=QUICK, target="foam").target == "Foam"
    with pytest.raises(LabelsError, match="has no class 'Rafts', only Clouds, Foam"):
        train_debris(table, config=QUICK, target="Rafts")


# -- real spectra ------------------------------------------------------------------------------

needs_marida = pytest.mark.skipif(not MARIDA.exists(), reason="marine_debris is not at ../shared/data")


@needs_marida
def test_medians_of_both_forms_on_marida():
    found = read_spectra(MARIDA / "marida_pixels.csv.gz")
    of = {band.common_name: found.values[found.classes == DEBRIS, i] for i, band in enumerate(found.bands)}
    line = [of[role] for role in ("nir", "rededge075", "swir16")]
    assert np.median(fdi(*line)) == pytest.approx(0.0448, abs=5e-4)
    assert np.median(fdi_740(*line)) == pytest.approx(0.0323, abs=5e-4)


@needs_marida
def test_ours_tells_debris_better_than_naive_bayes_on_scenes_left_out():
    found = read_spectra(MARIDA / "marida_scene_mean_spectra.csv")
    assert (len(found), len(np.unique(found.scenes))) == (355, 44)
    f1, ap = {}, {}
    for learner in ("naive", "spectra"):
        config = QUICK.model_copy(update={"learner": learner, "folds": 3})
        metrics = train_debris(found, config=config).evaluation["metrics"]
        f1[learner], ap[learner] = metrics["f1_macro"]["value"], metrics["pr_auc"]["value"]
    assert f1["spectra"] > 0.85
    assert ap["spectra"] > ap["naive"] + 0.2
