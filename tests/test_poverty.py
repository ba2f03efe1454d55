"""Scores by cell, their change between years, districts, the vector of a district, and ``jido score map``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from conftest import held
from odc.geo import CRS
from PIL import Image

from jido.data.chips import Chips
from jido.data.score_tiles import ScoreTiles, Unseen, read_tiles, slippy_outlines
from jido.errors import FoldsError, ImageError, JidoError, LabelsError, ModelError
from jido.geo import Band
from jido.indicators.cells import Cells
from jido.indicators.district_figures import district_figures
from jido.indicators.poverty import (
    beside,
    changed,
    district_table,
    overall,
    score_sheet,
    score_table,
    scored,
)
from jido.methods.district_vector import (
    Dims,
    DistrictConfig,
    DistrictModel,
    district_vectors,
    fit_dims,
    train_districts,
)
from jido.stats.intervals import member_interval

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
needs_siscore = pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
LAEA = CRS("EPSG:3035")
X, Y = 4_321_000, 3_210_000
REACH3 = 4.30265273 * (4 / 3) ** 0.5
"""Of 3 members: Student's t of 2 degrees of freedom at 97.5 %, times sqrt(1 + 1/3)."""


def row_of_squares(n, *, name="c", start=0):
    boxes = [shapely.box(X + i * 1000, Y, X + (i + 1) * 1000, Y + 1000) for i in range(start, start + n)]
    return np.array(boxes), np.array([f"{name}{i}" for i in range(start, start + n)])


def tiles_of(n, *, start=0, coverage=None, unseen=0, placed=True):
    """Tiles of 1 km in a row; the last ``unseen`` of the cells have none."""
    outline, ids = row_of_squares(n + unseen, start=start)
    chips = Chips(np.zeros((n, 1, 4, 4), np.uint8), np.full(n, -1), ids[:n], (), (Band("red"),))
    more = Unseen(ids[n:].astype(object), outline[n:], np.full(unseen, 0.1), np.full(unseen, 5.0))
    coverage = np.ones(n) if coverage is None else np.array(coverage)
    place = (outline[:n], LAEA) if placed else (None, None)
    return ScoreTiles(chips, *place, coverage, 16 * coverage, "row", more if unseen else None)


def year(members, **where):
    members = np.array(members, dtype=np.float64)
    return scored(tiles_of(members.shape[1], **where), members)


def table_of(found, **words):
    return score_table(found, score_sheet("development score", found, tiles_of(1).chips, **words))


# -- one year ----------------------------------------------------------------------------------


def test_the_interval_of_members_by_hand_and_inside_the_bounds():
    mean, lower, upper, sd = member_interval(np.array([[0.5, 0.0], [0.6, 0.1], [0.7, 0.2]]), level=0.95)
    np.testing.assert_allclose(mean, [0.6, 0.1])
    np.testing.assert_allclose(sd, [0.1, 0.1])
    np.testing.assert_allclose(upper, mean + 0.1 * REACH3, rtol=1e-6)
    np.testing.assert_allclose(lower, mean - 0.1 * REACH3, rtol=1e-6)
    ends = member_interval(np.array([[0.5, 0.0], [0.6, 0.1], [0.7, 0.2]]), level=0.95, bounds=(0, 1))[1:3]
    np.testing.assert_allclose(ends, [[0.6 - 0.1 * REACH3, 0], [1, 0.1 + 0.1 * REACH3]], rtol=1e-6)
    alone = member_interval(np.array([[0.5]]), level=0.95)
    assert alone[0] == 0.5
    assert np.isnan(alone[1:]).all()


@pytest.mark.parametrize("count", [3, 10])
def test_a_further_member_lies_in_the_interval_as_often_as_it_says(count):
    drawn = np.random.default_rng(count).normal(0.3, 0.05, (count + 1, 20_000))
    _, lower, upper, _ = member_interval(drawn[:-1], level=0.9)
    inside = (lower <= drawn[-1]) & (drawn[-1] <= upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.01)  # standard error .002


def test_cells_too_little_seen_are_empty_and_keep_their_coverage():
    tiles = tiles_of(3, coverage=[1, 0.49, 0.5], unseen=2)
    found = scored(tiles, np.array([[0.1, 0.2, np.nan], [0.3, 0.4, np.nan]]))
    table = table_of(found)
    np.testing.assert_array_equal(table.cells.ids, ["c0", "c1", "c2", "c3", "c4"])
    np.testing.assert_allclose(table.value, [0.2, *[np.nan] * 4])
    for column in (table.lower, table.upper, table.se):
        assert np.isnan(column[1:]).all()
        assert np.isfinite(column[0])
    np.testing.assert_allclose(table.coverage, [1, 0.49, 0.5, 0.1, 0.1])
    np.testing.assert_allclose(table.n, [16, 16 * 0.49, 8, 5, 5])
    assert table.sheet.numbers == {"members": 2, "cells": 5, "empty cells": 4}


def test_the_interval_of_the_model_is_kept_where_a_cell_was_seen():
    tiles, members = tiles_of(2, coverage=[1, 0.2]), np.array([[0.1, 0.2], [0.3, 0.4]])
    found = scored(tiles, members, interval=(np.array([0.12, 0.2]), np.array([0.28, 0.4])))
    np.testing.assert_allclose(found.lower, [0.12, np.nan])
    np.testing.assert_allclose(found.upper, [0.28, np.nan])


def test_the_sheet_does_not_promise_more_than_an_order():
    score = year([[0.1, 0.2], [0.3, 0.4]])
    sheet = score_sheet("development score", score, tiles_of(1).chips, model="nk", dates=("2017-07-01",))
    assert "not how well the score measures poverty" in sheet.error_model
    assert any("twice the score is not twice the wealth" in text for text in sheet.limits)
    assert "Model package: nk." in sheet.limits
    assert (sheet.unit, sheet.bands, sheet.correction) == ("score", ("red",), "unknown")
    wealth = scored(tiles_of(2), np.array([[1.0, 2.0], [3.0, 4.0]]), bounds=(-np.inf, np.inf))
    sheet = score_sheet("wealth", wealth, tiles_of(1).chips)
    assert "Jean" in sheet.source
    assert sheet.unit == "unit of wealth"
    assert not any("twice" in text for text in sheet.limits)


@pytest.mark.parametrize(
    ("members", "ids", "words"),
    [
        (np.zeros((2, 3)), None, r"shape \(2, 3\) do not fit 2 tiles"),
        (np.zeros(2), None, r"shape \(2,\) do not fit 2 tiles"),
        (np.zeros((2, 2)), ["a", "a"], "'a' stands for 2 tiles: keep one"),
    ],
)
def test_members_of_other_tiles_and_doubled_ids_are_refused(members, ids, words):
    tiles = tiles_of(2)
    if ids:
        object.__setattr__(tiles.chips, "name", np.array(ids))
    with pytest.raises(JidoError, match=words):
        scored(tiles, members)


def test_tiles_without_a_place_make_no_table():
    with pytest.raises(ImageError, match="Nobody knows where these tiles lie"):
        table_of(year([[0.1], [0.2]], placed=False))


# -- change ------------------------------------------------------------------------------------


def test_what_members_err_in_both_years_cancels():
    common = np.array([[-0.1], [0.0], [0.1]])
    earlier, later = year(0.5 + common), year(0.6 + common)
    found = changed(later, earlier)
    np.testing.assert_allclose([found.value, found.lower, found.upper], 0.1)
    assert found.se[0] == pytest.approx(0, abs=1e-12)
    assert later.se[0] == pytest.approx(0.1)
    assert found.bounds == (-1, 1)
    # differences .05, .1, .15: mean .1, sd .05
    other = changed(year([[0.55], [0.7], [0.85]]), year([[0.5], [0.6], [0.7]]))
    np.testing.assert_allclose([other.lower[0], other.upper[0]], [0.1 - 0.05 * REACH3, 0.1 + 0.05 * REACH3])


def test_the_same_year_twice_has_not_changed():
    found = changed(*[year([[0.2, 0.9], [0.3, 0.7]])] * 2)
    np.testing.assert_array_equal([found.value, found.lower, found.upper, found.se], np.zeros((4, 2)))
    assert found.notes == ()


def test_places_of_one_year_alone_are_empty_and_counted():
    later = year([[0.2, 0.3, 0.4], [0.3, 0.4, 0.5]], coverage=[1, 0.8, 1])  # c0 c1 c2
    earlier = year([[0.1, 0.1], [0.1, 0.1]], start=1)  # c1 c2
    found = changed(later, year([[0.1, 0.1], [0.1, 0.1]], start=2))  # c2 c3
    table = table_of(found, change=True)
    np.testing.assert_array_equal(table.cells.ids, ["c0", "c1", "c2", "c3"])
    np.testing.assert_allclose(table.value, [np.nan, np.nan, 0.35, np.nan])
    np.testing.assert_array_equal(table.coverage, [0, 0, 1, 0])
    assert found.notes == (
        "Cells not in the later year are empty: 1.",
        "Cells not in the earlier year are empty: 2.",
    )
    assert "not in the later year are empty: 1." in table.sheet.nodata_rule
    np.testing.assert_allclose(shapely.get_coordinates(table.cells.geometry[3])[:, 0].min(), X + 3000)
    np.testing.assert_allclose(changed(later, earlier).coverage, [0, 0.8, 1])
    assert any("season" in text for text in table.sheet.limits)


def test_a_year_without_members_has_errors_of_its_own():
    later = year([[0.5], [0.6], [0.7]])
    earlier = SimpleNamespace(
        **{**vars(year([[0.4], [0.4], [0.4]])), "members": None, "se": np.array([0.075])}
    )
    found = changed(later, earlier)
    assert found.members is None
    np.testing.assert_allclose(found.se, [0.125])  # hypot(.1, .075)
    np.testing.assert_allclose(found.upper, [0.2 + 0.125 * REACH3], rtol=1e-6)
    assert "taken for independent" in table_of(found, change=True).sheet.error_model
    assert overall(found) == {"value": pytest.approx(0.2), "lower": None, "upper": None}


def test_years_that_do_not_fit_are_refused():
    later = year([[0.5, 0.5], [0.6, 0.6]])
    with pytest.raises(JidoError, match="have 2 and 3 members: score both with the same model"):
        changed(later, year([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]))
    with pytest.raises(
        JidoError, match="No cell is in both years: the first one is 'c0' in the later and 'c7'"
    ):
        changed(later, year([[0.1], [0.2]], start=7))
    tiles = tiles_of(2)
    moved = ScoreTiles(tiles.chips, shapely.transform(tiles.outline, lambda xy: np.add(xy, [0, 30])), LAEA,
                       tiles.coverage, tiles.n, "row")  # fmt: skip
    with pytest.raises(ImageError, match="'c0' lies elsewhere in the other year"):
        changed(later, scored(moved, np.zeros((2, 2))))
    with pytest.raises(ImageError, match="where the cells of one year lie"):
        changed(later, year([[0.1, 0.1], [0.2, 0.2]], placed=False))


# -- districts ---------------------------------------------------------------------------------


def districts(*ranges):
    boxes = [shapely.box(X + a * 1000, Y, X + b * 1000, Y + 1000) for a, b in ranges]
    return Cells(np.array(boxes), np.array([f"d{i}" for i in range(len(boxes))], dtype=object), LAEA, "parts")


def test_a_district_is_computed_in_every_member():
    # d0 holds c0 and half of c1, d1 the other half and c2; d2 lies outside
    found = year([[0.0, 0.3, 0.6], [0.3, 0.0, 0.6], [0.3, 0.3, 0.9]])
    out = district_table(found, table_of(found), districts((0, 1.5), (1.5, 3), (9, 10)))
    one = np.array([0.1, 0.2, 0.3])  # (c0 + c1 / 2) / 1.5 in each member
    two = np.array([0.5, 0.4, 0.7])  # (c1 / 2 + c2) / 1.5
    np.testing.assert_allclose(out.value, [one.mean(), two.mean(), np.nan], rtol=1e-4)
    np.testing.assert_allclose(out.se[:2], [one.std(ddof=1), two.std(ddof=1)], rtol=1e-3)
    np.testing.assert_allclose(out.upper[0], 0.2 + 0.1 * REACH3, rtol=1e-3)
    np.testing.assert_array_equal(out.columns["rank"], [2, 1, np.nan])
    np.testing.assert_array_equal(out.columns["rank_best"], [2, 1, np.nan])
    np.testing.assert_array_equal(out.columns["rank_worst"], [2, 1, np.nan])
    assert "computed in every member" in out.sheet.dependence
    # were the errors of cells independent, d0 would have sqrt(.1732² + .0866²) / 1.5 = .129
    assert out.se[0] < 0.11


def test_an_error_of_all_cells_does_not_average_out():
    common = np.linspace(-0.1, 0.1, 5)[:, None]
    own = np.random.default_rng(0).normal(0, 0.1, (5, 60))
    shared, free = (
        district_table(one, table_of(one), districts((0, 60)))
        for one in (year(0.5 + common + 0 * own), year(0.5 + own))
    )
    assert shared.se[0] == pytest.approx(common.std(ddof=1))
    assert free.se[0] < 0.3 * shared.se[0]


def test_ranks_span_what_members_say():
    found = year([[0.1, 0.2, 0.3], [0.1, 0.3, 0.2], [0.0, 0.3, 0.2]])
    out = district_table(found, table_of(found), districts((0, 1), (1, 2), (2, 3)))
    np.testing.assert_array_equal(out.columns["rank"], [3, 1, 2])
    np.testing.assert_array_equal(out.columns["rank_best"], [3, 1, 1])
    np.testing.assert_array_equal(out.columns["rank_worst"], [3, 2, 2])


def test_people_weigh_more_than_ground():
    found = year([[0.1, 0.5], [0.3, 0.7]])
    out = district_table(
        found, table_of(found), districts((0, 2)), weights=np.array([3.0, 1.0]), weight_name="people"
    )
    np.testing.assert_allclose(out.value, [(3 * 0.2 + 0.6) / 4])
    assert out.sheet.weights == "people"
    np.testing.assert_allclose(out.columns["weight"], [4], rtol=1e-4)


def test_what_was_not_seen_of_a_district_widens_its_interval():
    level = np.random.default_rng(0).uniform(0.2, 0.8, 40)
    members = level + np.array([[-0.01], [0.0], [0.01]])
    whole = year(members)
    holes = year(members, coverage=np.where(np.arange(40) % 4 == 0, 0.1, 1.0))
    area = districts((0, 40))
    seen, part = (district_table(one, table_of(one), area) for one in (whole, holes))
    assert seen.se[0] == pytest.approx(0.01, rel=1e-3)
    assert part.coverage[0] == pytest.approx(0.75, rel=1e-3)
    # 10 of 40 independent cells of sd .17 are missing: 1/4 x .17 x sqrt(1/30 + 1/10) = .0158 beside .01
    assert part.se[0] == pytest.approx(
        np.hypot(0.01, 0.25 * level.std(ddof=1) * (1 / 30 + 1 / 10) ** 0.5), rel=0.25
    )
    assert part.upper[0] - part.lower[0] > seen.upper[0] - seen.lower[0]


def test_districts_of_a_change_need_members():
    found = changed(year([[0.5], [0.6]]), SimpleNamespace(**{**vars(year([[0.1], [0.2]])), "members": None}))
    with pytest.raises(JidoError, match="give the tiles of both years, not a table"):
        district_table(found, table_of(found, change=True), districts((0, 1)))


def test_statistics_stand_beside_scores_by_rank_and_beside_wealth_by_difference():
    found = year([[0.1, 0.2, 0.4, 0.3, 0.5]] * 2 + [[0.1, 0.2, 0.3, 0.4, 0.6]])
    figures = {"c0": 10.0, "c1": 20.0, "c2": 30.0, "c4": 90.0}
    out, alike = beside(table_of(found), figures, source="census", ordinal=True)
    np.testing.assert_allclose(out.columns["benchmark"], [10, 20, 30, np.nan, 90])
    np.testing.assert_allclose(out.columns["benchmark_rank"], [4, 3, 2, np.nan, 1])
    assert not {"difference", "agrees"} & set(out.columns)
    assert out.sheet.benchmark == "census"
    assert alike["value"] == pytest.approx(1)
    assert alike["lower"] is None  # four rows tell too little
    other, few = beside(table_of(found), {"c0": 0.4, "c1": 0.2}, source="census", ordinal=False)
    np.testing.assert_allclose(other.columns["difference"], [-0.3, 0, *[np.nan] * 3], atol=1e-12)
    assert few is None
    with pytest.raises(JidoError, match="'nowhere', but the table has no such cell"):
        beside(table_of(found), {"nowhere": 1.0}, source="x", ordinal=True)


# -- the vector of a district ------------------------------------------------------------------

PLAIN = Dims(np.zeros(2), np.eye(2), 1.0)


def test_the_vector_of_a_district_by_hand():
    # a: (0, 0), (2, 4), (4, 2): means 2, 2; sd 2, 2; covariance (4 + 0 + 0) / 2 = 2, r = .5. b: one tile
    features = np.array([[0, 0], [2, 4], [9, 9], [4, 2], [np.nan, 1]], dtype=float)
    names, vectors = district_vectors(
        features, np.array(["a", "a", "b", "a", "a"]), dims=PLAIN, terms="statistics"
    )
    np.testing.assert_array_equal(names, ["a", "b"])
    np.testing.assert_allclose(vectors[0], [2, 2, 2, 2, 0.5, np.log(3)])
    np.testing.assert_allclose(vectors[1], [9, 9, np.nan, np.nan, np.nan, 0])
    _, squares = district_vectors(features[:2], np.array(["a", "a"]), dims=PLAIN)
    base = np.array([1, 2, 2**0.5, 8**0.5, np.nan, np.log(2)])  # two tiles always lie on a line: no r
    np.testing.assert_allclose(squares[0], [*base, *np.outer(base, base)[np.triu_indices(6)]])
    _, means = district_vectors(features[:2], np.array(["a", "a"]), dims=PLAIN, terms="means")
    np.testing.assert_allclose(means, [[1, 2, np.log(2)]])


def test_dimensions_are_as_few_as_explain_the_variance():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    features = (rng.normal(size=(4000, 4)) * [3, 2, 0.2, 0.1]) @ turn + 7  # variances 9 : 4 : .04 : .01
    assert [len(fit_dims(features, explained=e)) for e in (0.6, 0.95, 0.999)] == [1, 2, 3]
    assert len(fit_dims(features, explained=0.999, most=2)) == 2
    dims = fit_dims(features, explained=0.95)
    assert dims.explained == pytest.approx(13 / 13.05, abs=0.002)
    reduced = dims(features)
    np.testing.assert_allclose(np.cov(reduced.T), np.eye(2), atol=1e-8)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-8)
    again = fit_dims(np.vstack([features, np.full((3, 4), np.nan)]), explained=0.95)
    np.testing.assert_allclose(again.axes, dims.axes)


def test_features_that_cannot_be_reduced_are_refused():
    with pytest.raises(LabelsError, match="features of all 5 tiles are alike"):
        fit_dims(np.full((5, 3), 0.1))
    with pytest.raises(LabelsError, match="1 of 2 tiles have features"):
        fit_dims(np.array([[1.0, 2], [np.nan, 1]]))
    with pytest.raises(LabelsError, match="None of 2 tiles has features"):
        district_vectors(np.full((2, 2), np.nan), np.array(["a", "b"]), dims=PLAIN)
    with pytest.raises(LabelsError, match="2 tiles have 1 districts"):
        district_vectors(np.zeros((2, 2)), np.array(["a"]), dims=PLAIN)
    with pytest.raises(ModelError, match="are of 2 features"):
        PLAIN(np.zeros((3, 5)))


def simulated(count, *, seed):
    """Districts whose statistic is the spread of their tiles, all with about the same mean."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(6, 6)))[0]
    features, district, figures = [], [], {}
    for i in range(count):
        n, spread = rng.integers(20, 60), rng.uniform(0.3, 2)
        tiles = rng.normal(size=(n, 6)) * [2 * spread, 1, 0.5, 0.1, 0.1, 0.1]
        features.append((tiles + rng.normal(0, 0.2, 6)) @ turn)
        district += [f"d{i:03}"] * n
        figures[f"d{i:03}"] = float(spread)
    return np.concatenate(features), np.array(district), figures


QUICK = DistrictConfig(trees=80, learning_rate=0.1)


@pytest.fixture(scope="module")
def by_spread():
    return train_districts(*simulated(80, seed=0), config=QUICK)


def test_the_spread_of_tiles_is_learned_where_their_mean_tells_nothing(by_spread):
    found = by_spread.evaluation
    assert found["metrics"]["R2"]["lower"] > 0.6
    assert found["floors"]["means and number of tiles alone"]["R2"]["value"] < 0.1
    assert (found["districts"], found["groups"], found["folds"]["k"]) == (80, 80, 5)
    assert found["folds"]["leaks"] is False


def test_intervals_of_new_districts_hold_the_truth(by_spread):
    features, district, figures = simulated(200, seed=1)
    names, value, lower, upper = by_spread.predict(features, district)
    truth = np.array([figures[name] for name in names])
    inside = (lower <= truth) & (truth <= upper)
    assert 0.9 <= inside.mean() <= 1  # 95 % are promised; 200 districts, and 80 errors: sd .03
    assert np.corrcoef(value, truth)[0, 1] ** 2 > 0.6
    assert (upper - lower).max() < np.ptp(truth)


def test_a_saved_model_says_the_same_and_holds_no_pickle(by_spread, tmp_path):
    by_spread.save(tmp_path / "model")
    loaded = DistrictModel.load(tmp_path / "model")
    features, district, _ = simulated(7, seed=2)
    for one, other in zip(
        by_spread.predict(features, district), loaded.predict(features, district), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert loaded.evaluation == by_spread.evaluation
    assert loaded.config == QUICK
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "metrics.json", "model.skops",
    ]  # fmt: skip
    config = tmp_path / "model/config.json"
    config.write_text(config.read_text().replace('"method": "district"', '"method": "forest"'))
    with pytest.raises(ModelError, match="method 'forest', not 'district'"):
        DistrictModel.load(tmp_path / "model")
    config.write_text(config.read_text().replace('"method": "forest"', '"method": "district"'))
    (tmp_path / "model/model.skops").write_bytes(b"x")
    with pytest.raises(ModelError, match="was changed since training"):
        DistrictModel.load(tmp_path / "model")


def test_the_same_seed_gives_the_same_model(by_spread):
    again = train_districts(*simulated(80, seed=0), config=QUICK)
    assert again.evaluation == by_spread.evaluation
    assert again.reach == by_spread.reach


def test_districts_that_teach_nothing_are_refused():
    features, district, figures = simulated(25, seed=3)
    with pytest.raises(
        LabelsError, match="19 districts have both tiles and a figure, but boosted trees need 20"
    ):
        train_districts(features, district, dict(list(figures.items())[:19]))
    missing = figures | dict.fromkeys(list(figures)[:6], np.nan)
    with pytest.raises(LabelsError, match="19 districts have both"):
        train_districts(features, district, missing)
    with pytest.raises(LabelsError, match="figure of all 25 districts is 2"):
        train_districts(features, district, dict.fromkeys(figures, 2.0))
    with pytest.raises(LabelsError, match="'d024' has no group"):
        train_districts(features, district, figures, groups=dict.fromkeys(list(figures)[:24], "a"))
    halves = {name: "ab"[i % 2] for i, name in enumerate(figures)}
    with pytest.raises(FoldsError, match="there are 2 groups"):
        train_districts(features, district, figures, groups=halves)


# -- the command -------------------------------------------------------------------------------

OFFSETS = np.array([-0.02, 0.0, 0.02])[:, None]
ROWS, COLS = range(6259, 6262), range(13990, 13993)


class Scorer:
    """Red of a tile as a share; members differ by the same in every tile and year."""

    target, bounds, level = "development score", (0.0, 1.0), 0.95

    def described(self, chips, progress=None):
        yield chips.images.mean(axis=(2, 3))

    def scores(self, chips, features=None, progress=None):
        assert features is None or len(features) == len(chips)
        score = chips.images[:, 0].mean(axis=(1, 2)) / 255
        members = score + OFFSETS
        return SimpleNamespace(score=score, lower=score - 0.05, upper=score + 0.05, members=members)


@pytest.fixture(autouse=True)
def scorer(monkeypatch):
    monkeypatch.setattr("jido.methods.score_package.ScoreModel.load", lambda path: Scorer())


def cut(folder, *, brighter=0, left_out=(), names=None):
    """Nine slippy tiles of zoom 14; red grows from 20 by 10, and no two are the same."""
    folder.mkdir()
    ids = [f"{y}_{x}" for y in ROWS for x in COLS]
    for i, name in enumerate(ids):
        if i not in left_out:
            image = np.full((8, 8, 3), 20 + 10 * i + brighter, np.uint8)
            Image.fromarray(image).save(folder / f"{names[i] if names else name}.png")
    return folder


@pytest.fixture
def tiles(tmp_path):
    return cut(tmp_path / "tiles")


@pytest.fixture
def thirds(tmp_path):
    """The three rows of tiles as districts."""
    ids = [[f"{y}_{x}" for x in COLS] for y in ROWS]
    shapes = [shapely.union_all(slippy_outlines(row, zoom=14)) for row in ids]
    path = tmp_path / "thirds.gpkg"
    frame = {"name": ["north", "middle", "south"]}
    geopandas.GeoDataFrame(frame, geometry=shapes, crs="EPSG:3857").to_file(path)
    return path


def test_a_model_and_tiles_become_tables_map_and_picture(jido, tiles, thirds, out, tmp_path):
    before = cut(tmp_path / "before", brighter=-5, left_out=(8,))
    people = tmp_path / "statistics.csv"
    people.write_text("id,value\nnorth,5\nmiddle,7\nsouth,11\n")
    run = jido("score", "map", tmp_path, tiles, "-o", out / "nk", "--zoom-ids", 14, "--before", before,
               "--districts", thirds, "--district-id", "name", "--benchmark", people, "--date", "2017-07-01",
               "--date-before", "2016-05-01", "--json")  # fmt: skip
    assert run.code == 0, run.err
    facts = run.json
    assert set(facts) == {"table", "cells", "empty_cells", "summary", "files"}
    assert (facts["table"], facts["cells"], facts["empty_cells"]) == (str(out / "nk.gpkg"), 9, 0)
    summary = facts["summary"]
    assert summary["mean"]["value"] == pytest.approx(60 / 255)
    assert summary["mean"]["upper"] == pytest.approx(60 / 255 + 0.02 * REACH3)
    assert summary["change"]["value"] == pytest.approx(5 / 255)
    assert summary["change"]["lower"] == pytest.approx(5 / 255)  # all that members err is common
    assert summary["spearman"] is None  # three districts
    assert summary["unit"] == "score"
    names = {Path(file).name for file in facts["files"]}
    assert names == set(held(out)) - {"kept.txt"}
    for part in ("nk", "nk.change", "nk.districts", "nk.change.districts"):
        assert {f"{part}{end}" for end in (".gpkg", ".csv", ".method.json", ".method.md", ".png")} <= names
    cells = geopandas.read_file(out / "nk.gpkg").set_index("id")
    assert cells.crs.to_epsg() == 3857
    assert cells.value["6260_13990"] == pytest.approx(50 / 255)
    assert cells.upper["6260_13990"] == pytest.approx(50 / 255 + 0.05)
    assert cells.n["6260_13990"] == 64
    larger = pandas.read_csv(out / "nk.districts.csv").set_index("id")
    assert larger.value["south"] == pytest.approx(90 / 255, rel=1e-4)
    assert larger["rank"].to_dict() == {"north": 3, "middle": 2, "south": 1}
    assert larger.benchmark_rank.to_dict() == {"north": 3, "middle": 2, "south": 1}
    change = pandas.read_csv(out / "nk.change.csv").set_index("id")
    assert np.isnan(change.value["6261_13992"])
    assert change.coverage["6261_13992"] == 0
    assert "Cells not in the earlier year are empty: 1." in run.err
    with rasterio.open(out / "nk.tif") as image:
        assert image.shape == (3, 3)
        np.testing.assert_allclose(image.read(1), np.arange(20, 110, 10).reshape(3, 3) / 255, rtol=1e-6)
    method = json.loads((out / "nk.change.method.json").read_text())
    assert method["dates"] == ["2016-05-01", "2017-07-01"]
    assert "in each member" in method["error_model"]
    assert Image.open(out / "nk.png").size == (1100, 500)


def test_words_for_a_person(jido, tiles, out, tmp_path):
    run = jido("score", "map", tmp_path, tiles, "-o", out / "nk.csv", "--zoom-ids", 14, "-q")
    assert run.code == 0
    assert run.err == ""
    assert run.out.startswith("mean: 0.2353 (0.1359 to 0.3347)\n9 cells, 0 of them empty (too little seen)\n")


def test_a_picture_says_its_day_or_that_nobody_knows_it(jido, tiles, out, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda figure, text, **how: titles.append(text))
    jido("score", "map", tmp_path, tiles, "-o", out / "nk.csv", "--zoom-ids", 14)
    assert titles == ["9 cells (slippy tiles of zoom 14), 0 empty (grey) · day not known"]
    assert (out / "nk.png").exists()
    dated = cut(tmp_path / "tiles_20170701")
    jido("score", "map", tmp_path, dated, "-o", out / "nk.csv", "--zoom-ids", 14)
    assert json.loads((out / "nk.method.json").read_text())["dates"] == ["2017-07-01"]
    assert titles[1].endswith("· 2017-07-01")


def colours_of(style):
    """Value -> red, green, blue of a QGIS style."""
    items = ElementTree.parse(style).findall(".//item")
    return {
        float(item.get("value")): [int(item.get("color")[i : i + 2], 16) for i in (1, 3, 5)] for item in items
    }


def test_colours_of_a_change_are_the_same_on_both_sides_of_none(jido, tiles, out, tmp_path):
    before = cut(tmp_path / "before", brighter=-5)  # all cells rise
    jido("score", "map", tmp_path, tiles, "-o", out / "nk", "--zoom-ids", 14, "--before", before)
    values, change = (colours_of(out / f"nk{part}.qml") for part in ("", ".change"))
    assert min(values) > 0
    np.testing.assert_allclose(sorted(change), np.linspace(-5 / 255, 5 / 255, 9), atol=1e-9)
    red, _, blue = change[min(change)]
    assert red > blue + 50  # less is red
    red, _, blue = change[max(change)]
    assert blue > red + 50  # more is blue
    assert min(change[sorted(change)[4]]) > 240  # none is nearly white


def test_tiles_without_a_place_become_a_plain_table(jido, out, tmp_path, thirds, refused):
    plain = cut(tmp_path / "plain", names=list("abcdefghi"))
    run = jido("score", "map", tmp_path, plain, "-o", out / "nk", "--json", "-q")
    assert run.code == 0, run.err
    assert [Path(p).name for p in run.json["files"]] == ["nk.csv", "nk.method.json", "nk.method.md"]
    rows = pandas.read_csv(out / "nk.csv")
    assert list(rows.columns) == ["id", "value", "lower", "upper", "coverage", "n", "se"]
    assert rows.id.tolist() == list("abcdefghi")
    np.testing.assert_allclose(rows.value, np.arange(20, 110, 10) / 255)
    command = ("score", "map", tmp_path, plain, "-o")
    refused(*command, out / "nk.gpkg", says=["nk.gpkg needs outlines", "--zoom-ids", "or give .csv"])
    refused(*command, out / "x", "--districts", thirds, "--district-id", "name", says=["no districts"])


def test_an_earlier_year_may_be_a_table(jido, tiles, thirds, out, tmp_path, refused):
    first = cut(tmp_path / "first", brighter=-5, left_out=(0,))
    command = ("score", "map", tmp_path)
    jido(*command, first, "-o", tmp_path / "earlier", "--zoom-ids", 14)
    for name in ("earlier.csv", "earlier.gpkg"):
        run = jido(*command, tiles, "-o", out / "nk.csv", "--zoom-ids", 14, "--before", tmp_path / name,
                   "--districts", thirds, "--district-id", "name", "--json")  # fmt: skip
        assert run.code == 0, run.err
        assert "taken for independent" in run.err
        assert "The change of districts needs the tiles of both years: none was written." in run.err
        change = pandas.read_csv(out / "nk.change.csv").set_index("id")
        assert np.isnan(change.value["6259_13990"])
        np.testing.assert_allclose(change.value.iloc[1:], 5 / 255)
        np.testing.assert_allclose(change.se.iloc[1:], np.hypot(0.02, 0.02))
        assert run.json["summary"]["change"] == {
            "value": pytest.approx(5 / 255),
            "lower": None,
            "upper": None,
        }
    other = tmp_path / "other.csv"
    other.write_text("id,value,se\nx,1,1\n")
    words = (*command, tiles, "-o", out / "x", "--zoom-ids", 14, "--before", other)
    refused(*words, says=["has a value for none of the 9 cells, as '6259_13990'"])
    other.write_text("id,value,se\n6259_13990,high,1\n")
    refused(*words, says=["holds what is no number", "high"])
    other.write_text("id,value\n6259_13990,1\n")
    refused(*words, says=["has no column 'se'"])


def test_people_weigh_in_districts(jido, tiles, out, tmp_path):
    outlines = slippy_outlines([f"{y}_{x}" for y in ROWS for x in COLS], zoom=14)
    left, bottom, right, top = shapely.total_bounds(outlines)
    everything = tmp_path / "all.geojson"
    frame = geopandas.GeoDataFrame(
        {"id": ["all"]}, geometry=[shapely.box(left, bottom, right, top)], crs=3857
    )
    frame.to_crs(4326).to_file(everything)
    grid = rasterio.transform.from_bounds(left, bottom, right, top, 3, 3)
    profile = {"driver": "GTiff", "width": 3, "height": 3, "count": 1, "dtype": "float32"}
    with rasterio.open(tmp_path / "people.tif", "w", crs="EPSG:3857", transform=grid, **profile) as image:
        image.write(np.array([[30, 0, 0], [0, 0, 0], [0, 0, 10]], np.float32), 1)
    run = jido("score", "map", tmp_path, tiles, "-o", out / "nk.csv", "--zoom-ids", 14, "--json",
               "--districts", everything, "--weights", tmp_path / "people.tif")  # fmt: skip
    assert run.code == 0, run.err
    found = pandas.read_csv(out / "nk.districts.csv")
    assert found.value[0] == pytest.approx((30 * 20 + 10 * 100) / 40 / 255, rel=1e-3)
    assert json.loads((out / "nk.districts.method.json").read_text())["weights"] == "people of people.tif"


def test_what_cannot_be_is_refused_before_anything_is_scored(
    tiles, thirds, out, tmp_path, refused, monkeypatch
):
    monkeypatch.setattr(Scorer, "scores", lambda *_, **__: 1 / 0)
    command = ("score", "map", tmp_path, tiles, "-o", out / "nk", "--zoom-ids", 14)
    refused(*command, "--date", "1.7.2017", says=["'1.7.2017' is no day", "2017-06-01"])
    refused(*command, "--weights", tmp_path / "none.tif", says=["none.tif"])
    figures = tmp_path / "figures.csv"
    figures.write_text("id,value\neast,5\n")
    area = ("--districts", thirds, "--district-id", "name")
    refused(
        *command, *area, "--benchmark", figures, says=["figures.csv has a figure of 'east'", "no district"]
    )
    refused(*command, *area[:2], says=["has no column 'id', only name"])
    refused("score", "map", tmp_path, tiles, "-o", out / "nk.png", says=["no name of a table"])


# -- statistics of districts -------------------------------------------------------------------


@pytest.fixture
def counties(tmp_path):
    """40 districts of two by two tiles, red in steps; of 36 a statistic is known, a line in red."""
    folder, rng = tmp_path / "many", np.random.default_rng(0)
    folder.mkdir()
    shapes, ids, red = [], [], rng.permutation(np.linspace(20, 220, 40).astype(int))
    for k in range(40):
        y, x = 6200 + 2 * (k // 8), 13900 + 2 * (k % 8)
        names = [f"{y + i}_{x + j}" for i in (0, 1) for j in (0, 1)]
        for j, name in enumerate(names):
            Image.fromarray(np.full((8, 8, 3), red[k] + j - 2, np.uint8)).save(folder / f"{name}.png")
        shapes.append(shapely.union_all(slippy_outlines(names, zoom=14)))
        ids.append(f"{k:02}")
    areas = tmp_path / "counties.gpkg"
    geopandas.GeoDataFrame({"id": ids}, geometry=shapes, crs="EPSG:3857").to_file(areas)
    figure = 1000.0 + 10 * red
    table = tmp_path / "census.csv"
    lines = [f"{k:02},{one if k < 36 else ''}" for k, one in enumerate(figure)]
    table.write_text("\n".join(["code,income", *lines, "99,5"]))
    return folder, areas, table, figure


def test_a_statistic_of_some_districts_is_told_of_all(jido, counties, out, tmp_path):
    folder, areas, table, figure = counties
    run = jido("score", "map", tmp_path, folder, "-o", out / "nk", "--zoom-ids", 14, "--districts", areas,
               "--district-figures", f"{table}:income", "--date", "2020-05-01", "--json")  # fmt: skip
    assert run.code == 0, run.err
    found = pandas.read_csv(out / "nk.figures.csv", dtype={"id": str}).set_index("id")
    assert (found.tiles == 4).all()
    np.testing.assert_allclose(found.coverage, 1)
    np.testing.assert_allclose(found.n, 4 * 64)
    assert found.held_out.tolist() == [1] * 36 + [0] * 4
    np.testing.assert_allclose(found.figure[:36], figure[:36])
    assert found.figure[36:].isna().all()
    # trees that had not seen a district miss it, those that had would not; but they know the line
    assert 10 < np.abs(found.value - figure)[:36].mean() < 200
    assert np.corrcoef(found.value, figure)[0, 1] > 0.9
    half = found.upper - found.value
    np.testing.assert_allclose(half, half.iloc[0])
    errors = np.abs(found.value - found.figure)[:36]
    assert half.iloc[0] == pytest.approx(np.sort(errors)[-1])  # ceil(.95 * 37) = 36th of 36
    summary = run.json["summary"]
    r2 = 1 - np.square(errors).sum() / np.square(figure[:36] - figure[:36].mean()).sum()
    assert summary["R2 of districts held out"]["value"] == pytest.approx(r2)
    assert summary["R2 by means alone"]["value"] > 0.5  # the line is a mean
    method = json.loads((out / "nk.figures.method.json").read_text())
    assert (method["indicator"], method["unit"]) == ("income", "unit of income")
    assert "held out together" in method["error_model"]
    assert (out / "nk.figures.png").exists()


def test_statistics_that_teach_nothing_are_refused_before_scoring(
    counties, out, tmp_path, refused, monkeypatch
):
    monkeypatch.setattr(Scorer, "described", lambda *_, **__: 1 / 0)
    folder, areas, table, _ = counties
    command = ("score", "map", tmp_path, folder, "-o", out / "nk", "--zoom-ids", 14, "--district-figures")
    refused(*command, f"{table}:income", says=["--district-figures are of --districts: give their polygons"])
    refused(*command, table, "--districts", areas, says=["names no column of a table"])
    refused(*command, f"{table}:wealth", "--districts", areas, says=["no column 'wealth'"])
    few = tmp_path / "few.csv"
    few.write_text("code,income\n00,1\n01,2\n")
    refused(*command, f"{few}:income", "--districts", areas,
            says=["of 2 of the 40 districts, such as '00', but 20 are needed"])  # fmt: skip
    few.write_text("code,income\n00,much\n")
    refused(
        *command, f"{few}:income", "--districts", areas, says=["has no number in column 'income'", "much"]
    )


def test_tiles_far_from_all_districts_are_refused():
    outline, ids = row_of_squares(3)
    cells = Cells(outline, ids.astype(object), LAEA, "1 km")
    far = Cells(row_of_squares(2, start=50)[0], np.array(["a", "b"], dtype=object), LAEA, "districts")
    found = scored(tiles_of(3), np.full((3, 3), 0.5))
    sheet = score_sheet("x", found, tiles_of(3).chips)
    with pytest.raises(LabelsError, match="No tile lies in one of the 2 districts"):
        district_figures(
            np.zeros((3, 2)), cells, far, {}, name="x", coverage=np.ones(3), n=np.ones(3), sheet=sheet
        )


# -- real data ---------------------------------------------------------------------------------


@needs_siscore
def test_published_scores_on_the_shipped_tiles_order_as_they_should():
    published = pandas.read_csv(SISCORE / "tables/NK_gt_stats_2016_2017.csv.gz").set_index("y_x")
    rng, years = np.random.default_rng(0), {}
    common = rng.normal(0, 0.006, (8, 106))
    for when, rho in (("2016", 0.726), ("2017", 0.762)):  # of the README of the data
        tiles = read_tiles(SISCORE / f"nk_{when}", ids_at_zoom=14)
        score = published.loc[list(tiles.id), f"year{when}"].to_numpy()
        years[when] = scored(tiles, score + common + rng.normal(0, 0.003, (8, 106)))
        exact = scored(tiles, np.stack([score, score]))
        figures = published.FA2014.loc[list(tiles.id)].to_dict()
        table = score_table(exact, score_sheet("development score", exact, tiles.chips))
        _, alike = beside(table, figures, source="floor area", ordinal=True)
        assert alike["value"] == pytest.approx(rho, abs=0.001)
        assert alike["lower"] < rho < alike["upper"]
    found = changed(years["2017"], years["2016"])
    assert len(found.ids) == 106
    assert found.cells is not None
    np.testing.assert_allclose(found.cells.area_m2 / 1e6, 3.6, atol=0.1)  # 1.9 km a side at 39 degrees
    assert np.median(found.se) < np.median(years["2017"].se)  # paired


@needs_siscore
def test_districts_of_north_korea_by_their_vector():
    grids = pandas.read_csv(SISCORE / "tables/NK_gt_stats_2016_2017.csv.gz")
    for name in ("NL", "LC"):
        rival = pandas.read_csv(SISCORE / f"tables/NK_{name}_guided.csv.gz").set_index("y_x").score
        grids[name] = grids.y_x.map(rival)
    row, col = np.array([list(map(int, name.split("_"))) for name in grids.y_x]).T
    blocks = (row // 46).astype(str) + "_" + (col // 46).astype(str)  # about one degree of longitude
    place = pandas.Series(blocks).groupby(grids.district).agg(lambda b: b.mode()[0])
    area = grids.groupby("district").FA2014.mean()
    figures = {str(name): float(np.log(one)) for name, one in area.items() if one > 0}
    groups = {str(name): block for name, block in place.items()}
    features = grids[["year2016", "NL", "LC"]].to_numpy()
    model = train_districts(features, grids.district.to_numpy(), figures, groups=groups, config=QUICK)
    found = model.evaluation
    assert found["districts"] == 178
    assert found["metrics"]["R2"]["value"] > 0.75  # .85 with the default settings
    assert found["metrics"]["R2"]["value"] > found["floors"]["means and number of tiles alone"]["R2"]["value"]
