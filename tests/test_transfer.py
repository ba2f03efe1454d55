"""Surveys, windows of displaced clusters, and the transfer of features to them."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jido.data.chips import Chips
from jido.data.survey import Survey, read_survey, window_weights
from jido.errors import FoldsError, JidoError, LabelsError
from jido.geo import identify
from jido.methods.nightlights import light_classes
from jido.methods.random_features import draw_filters, random_features
from jido.methods.transfer import CONSTANT, NEIGHBOURS, SurveyFolds, ridge_in_range, survey_folds, transfer

DEGREE_KM = 111.195
"""Of latitude, on the sphere of 6,371.0088 km."""


def survey_of(lonlat, value, urban=None, country=None):
    lonlat, value = np.asarray(lonlat, dtype=float), np.asarray(value, dtype=float)
    return Survey(lonlat, value, urban, country, np.arange(2, len(value) + 2))


# -- windows ---------------------------------------------------------------------------------------

TILES = np.array([[0, 1.5], [0, 3.0], [0, 6.0], [0, 500.0]]) / DEGREE_KM
"""Middles 1.5, 3, 6 and 500 km north of 0, 0; longitude 0."""


def test_a_window_is_the_mean_over_the_tiles_within_reach():
    clusters = np.zeros((2, 2))
    found = window_weights(clusters, TILES, urban=np.array([True, False]))
    # 2 km for the town: the first tile; 5 km for the land: the first two, half each
    np.testing.assert_array_equal(found.weights.toarray(), [[1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert found.tiles.tolist() == [1, 2]
    assert found.notes == ()
    np.testing.assert_array_equal(
        found.averaged(np.array([[2.0, 1], [4, 1], [8, 1], [9, 1]])), [[2, 1], [3, 1]]
    )


def test_nobody_knows_what_is_urban_so_all_windows_are_wide():
    assert window_weights(np.zeros((1, 2)), TILES).tiles.tolist() == [2]
    assert window_weights(np.zeros((1, 2)), TILES, rural_m=10_000).tiles.tolist() == [3]


def test_rows_add_to_1_and_clusters_outside_are_named():
    rng = np.random.default_rng(3)
    tiles = rng.uniform(-0.2, 0.2, (300, 2))
    clusters = np.vstack([rng.uniform(-0.15, 0.15, (20, 2)), [[12.5, 3.25]]])
    found = window_weights(clusters, tiles)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    assert found.inside.tolist() == list(range(20))
    assert found.averaged(np.ones(300)).tolist() == pytest.approx([1.0] * 20)
    assert "1 of 21 clusters lie outside the imagery and are left out" in found.notes[0]
    assert "12.500, 3.250" in found.notes[0]


def test_a_tile_larger_than_the_window_is_found():
    far = np.array([[0, 6.0]]) / DEGREE_KM  # the middle of a tile of 12 km in which the cluster lies
    with pytest.raises(LabelsError, match="None of the 1 clusters has a tile within 5 km"):
        window_weights(np.zeros((1, 2)), far)
    assert window_weights(np.zeros((1, 2)), far, tile_m=12_000).tiles.tolist() == [1]


def test_windows_cross_the_date_line_and_pass_over_tiles_without_a_place():
    tiles = np.array([[np.nan, np.nan], [-179.99, 0.0]])
    assert window_weights(np.array([[179.99, 0.0]]), tiles).weights.toarray().tolist() == [[0, 1]]
    with pytest.raises(LabelsError, match="give images of the places of the survey"):
        window_weights(np.zeros((1, 2)), np.full((2, 2), np.nan))


# -- surveys ---------------------------------------------------------------------------------------


def test_a_survey_is_read_whatever_its_separator(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text(
        "LAT;lon;Urban;Wealth;country\n1.5;30;1;0.25;rw\n-2;31;R;;rw\n0;0;0;1;ug\n3;32;rural;-1;ug\n"
    )
    found = read_survey(path, "wealth")
    assert found.lonlat.tolist() == [[30, 1.5], [32, 3]]
    assert found.value.tolist() == [0.25, -1]
    assert found.urban.tolist() == [True, False]
    assert found.country.tolist() == ["rw", "ug"]
    assert found.row.tolist() == [2, 5]
    assert "1 clusters at longitude 0, latitude 0" in found.notes[0]
    assert "1 clusters without a Wealth" in found.notes[1]


def test_a_survey_may_lack_what_is_optional(tmp_path):
    path = tmp_path / "survey.csv.gz"
    path.write_bytes(gzip.compress(b"lat,lon,y\n1,2,3\n"))
    found = read_survey(path, "y")
    assert found.urban is None
    assert found.country is None
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lat,lon\n1,2\n", "no column 'y'"),
        ("lat,y\n1,2\n", "no column 'lon'"),
        ("lat,lon,y\n1,2,much\n", "'much' in column 'y', line 2: give a number"),
        ("lat,lon,y\n95,2,1\n", "line 2 lies at longitude 2 and latitude 95: give degrees"),
        ("lat,lon,y\n1,,1\n", "line 2 lies at longitude nan"),
        ("lat,lon,urban,y\n1,2,3,1\n", "'3' in column 'urban', line 2: write 1 or urban, 0 or rural"),
        ("lat,lon,y\n1,2,\n", "tells 'y' of no cluster with a place"),
        ("lat,lon,y\n", "tells 'y' of no cluster with a place"),
    ],
)
def test_a_survey_that_makes_no_sense_is_refused(tmp_path, text, says):
    path = tmp_path / "survey.csv"
    path.write_text(text)
    with pytest.raises(LabelsError, match=says):
        read_survey(path, "y")


def test_a_survey_that_is_missing_is_refused(tmp_path):
    with pytest.raises(LabelsError, match="does not exist"):
        read_survey(tmp_path / "no.csv", "y")


# -- transfer --------------------------------------------------------------------------------------


def simulated(n=240, seed=0):
    """Clusters in 12 countries; wealth hangs on two features, of which light knows one."""
    rng = np.random.default_rng(seed)
    country = np.repeat([f"c{i:02}" for i in range(12)], n // 12)
    lonlat = np.stack([np.repeat(np.arange(12.0), n // 12), np.zeros(n)], axis=1) + rng.uniform(
        0, 0.5, (n, 2)
    )
    x = rng.normal(size=(n, 3))
    urban = rng.random(n) < 0.4
    value = x[:, 0] + x[:, 1] + urban + 0.1 * rng.normal(size=n)
    light = np.expm1(np.clip(x[:, 0] + 4, 0, None))
    return np.column_stack([x, urban]), survey_of(lonlat, value, urban, country), light


def test_countries_are_kept_whole_and_neighbours_left_out():
    _, survey, _ = simulated()
    found = survey_folds(survey, k=4)
    assert found.folds.kind == "countries kept whole"
    for train, test in found.folds:
        assert not set(survey.country[train]) & set(survey.country[test])
    lonlat = survey.lonlat * [1 / 30, 1]  # countries 3.7 km wide, side by side: windows overlap
    near = survey_folds(survey_of(lonlat, survey.value, None, survey.country), k=4, buffer_m=3000)
    for train, test in near.folds:
        apart = np.linalg.norm(lonlat[train, None] - lonlat[test], axis=2) * DEGREE_KM
        assert apart.min() > 3.0
    assert sum(len(train) for train, _ in near.folds) < 3 * len(survey)


def test_without_countries_squares_of_land_are_kept_whole():
    _, survey, _ = simulated()
    found = survey_folds(survey_of(survey.lonlat, survey.value), k=3, block_m=100_000)
    assert found.folds.kind == "squares of 100 km kept whole"
    assert len(np.unique(found.group)) >= 12
    for train, test in found.folds:
        assert not set(found.group[train]) & set(found.group[test])
    with pytest.raises(FoldsError, match="All clusters lie in one square"):
        survey_folds(survey_of(np.full((5, 2), 0.01), np.arange(5)), block_m=100_000)


def test_features_that_know_all_beat_the_light_that_knows_half():
    x, survey, light = simulated()
    found = transfer({"image": x}, survey, survey_folds(survey), light=light, draws=200)
    assert list(found.arms) == ["image", "image + nightlight", NEIGHBOURS, CONSTANT]
    value = {name: arm.pooled.r_squared["value"] for name, arm in found.arms.items()}
    # the variance of wealth is 1 + 1 + 0.24 + 0.01; light knows the first 1
    assert value["image"] > 0.99
    assert value[NEIGHBOURS] == pytest.approx(1 / 2.25, abs=0.12)
    assert value[CONSTANT] <= 0
    image = found.arms["image"]
    assert set(image.inside) == {"urban", "rural"}
    assert image.inside["urban"].n + image.inside["rural"].n == len(survey)
    inside = np.abs(survey.value - image.predicted) <= image.half
    assert found.level == 0.9
    assert 0.9 <= inside.mean() < 1
    rows = list(found.rows())
    assert len(rows) == 4 * 3
    assert rows[0]["arm"] == "image"
    assert rows[0]["part"] == "all"
    assert rows[0]["R2"]["lower"] < rows[0]["R2"]["value"]


def test_features_that_know_nothing_explain_nothing():
    x, survey, _ = simulated()
    junk = np.random.default_rng(9).normal(size=x.shape)
    found = transfer(
        {"junk": junk}, survey_of(survey.lonlat, survey.value, None, survey.country), survey_folds(survey)
    )
    assert found.arms["junk"].pooled.r_squared["value"] < 0.02
    assert found.arms["junk"].inside == {}


def test_a_feature_that_training_hardly_has_does_not_decide():
    from jido.stats.ridge import nested_ridge

    x, survey, _ = simulated()
    rare = np.zeros((240, 1))
    rare[:3, 0] = 1e-3  # in three tiles of the first country
    rare[200] = 50.0  # a tile elsewhere: 50,000 times what training shows
    x, y = np.hstack([x, rare]), survey.value
    group = np.unique(survey.country, return_inverse=True)[1]
    pair = [(np.arange(180), np.arange(180, 240))]
    free = nested_ridge(x, y, pair, groups=group).predicted
    held, chosen = ridge_in_range(x, y, pair, groups=group)
    assert abs(free[200] - y[200]) > 50
    assert abs(held[200] - y[200]) < 1
    assert np.isnan(held[:180]).all()
    assert len(chosen) == 1
    inside = ((x >= x[:180].min(axis=0)) & (x <= x[:180].max(axis=0))).all(axis=1)[180:]
    assert inside.sum() > 50  # there nothing is changed
    np.testing.assert_array_equal(held[180:][inside], free[180:][inside])


def test_few_groups_promise_less():
    x, survey, _ = simulated()
    group = np.repeat(np.arange(4), 60)
    folds = SurveyFolds(survey_folds(survey_of(survey.lonlat, survey.value, None, group), k=4).folds, group)
    found = transfer({"image": x}, survey, folds, draws=100)
    assert found.level == pytest.approx(4 / 5)
    assert found.notes == ("4 groups promise intervals of 0.800 at most.",)


def test_a_cluster_without_features_is_refused():
    x, survey, _ = simulated()
    x[7, 1] = np.nan
    with pytest.raises(JidoError, match="1 of 240 rows lack a number, row 7 first"):
        transfer({"image": x}, survey, survey_folds(survey))


# -- real tiles ------------------------------------------------------------------------------------

EUROSAT = Path(__file__).parents[2] / "shared/data/eurosat"


@pytest.mark.skipif(
    not EUROSAT.exists(), reason=f"needs the real data in {EUROSAT.parent.name}/{EUROSAT.name}"
)
def test_random_features_tell_the_lights_of_real_tiles_in_places_they_have_not_seen():
    index = pd.read_csv(EUROSAT / "eurosat_index.csv.gz")
    index = index[index["archive"] == "a"].sample(600, random_state=0).reset_index(drop=True)
    with zipfile.ZipFile(EUROSAT / "eurosat_rgb_a.zip") as held:
        images = np.stack([np.array(Image.open(io.BytesIO(held.read(name)))) for name in index["path"]])
    bands = tuple(identify(("red", "green", "blue")))
    images = images.transpose(0, 3, 1, 2)[:, :, ::2, ::2]
    chips = Chips(images, np.full(600, -1), index["path"].to_numpy(dtype=str), (), bands)
    light = index["night_lights"].to_numpy()
    classes = light_classes(light)
    assert np.bincount(classes.label).min() > 60
    assert (np.diff(classes.limits) > 0).all()
    survey = survey_of(index[["lon", "lat"]].to_numpy(), np.log1p(light))
    seen = random_features(chips, draw_filters(chips, count=64))
    found = transfer({"random features": seen}, survey, survey_folds(survey, k=3), draws=200)
    value = {name: arm.pooled.r_squared["value"] for name, arm in found.arms.items()}
    assert value["random features"] > 0.4
    assert value[CONSTANT] < 0.02
