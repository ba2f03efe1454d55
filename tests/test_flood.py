"""Flooded cells, damaged buildings, people affected; scores and pictures of a change."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from PIL import Image

from jido.errors import ImageError, JidoError
from jido.geo import Band, Raster
from jido.indicators.cells import Cells
from jido.indicators.flood import counted, flood_of, flood_table, pixel_cells, require_fit
from jido.indicators.flood_figures import FALSE, HIT, MISSED, NOT, UNSEEN, draw_change
from jido.indicators.relief import relief_table
from jido.stats.binary import cell_shares, cell_truth, xview2_score
from jido.stats.confusion import confusion, f1_per_class
from jido.stats.event_shares import LEVELS, EventShares

SHARED = Path(__file__).parents[2] / "shared/data"
OMBRIA, XBD = SHARED / "flood_ombria", SHARED / "damage_xbd"
LAEA = CRS("EPSG:3035")
X, Y = 4_321_000, 3_210_000
NAN = np.nan


def raster(plane):
    """Pixels of 100 m from (X, Y) down, on an equal-area map."""
    plane = np.asarray(plane, dtype=np.float32)
    place = Affine(100, 0, X, 0, -100, Y)
    return Raster(plane[None], (Band("target"),), GeoBox(plane.shape, place, LAEA))


def squares(count, *, side=200):
    """A row of squares from the upper left corner; 200 m are 2 x 2 pixels, 4 ha."""
    boxes = [shapely.box(X + i * side, Y - side, X + (i + 1) * side, Y) for i in range(count)]
    return Cells(np.array(boxes), np.array([f"c{i}" for i in range(count)], dtype=object), LAEA, "squares")


def shares_of(**change):
    """Held-out events: t = .1 (1 - p) + .8 p; only the event errs, beta by .2; no stretch."""
    facts = {
        "mean": (0.1, 0.8, 0.0),
        "between": ((0.0, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.0)),
        "within": (0.0,) * 7,
        "stretch": {str(level): (1.0, 1.0, 1.0, 1.0) for level in LEVELS},
        "clump": 1.0,
        "pixels": 4.0,
        "events": 4,
        "cells": 400,
    }
    return EventShares(**(facts | change))


# -- by cell -----------------------------------------------------------------------------------


def test_shares_and_coverage_by_hand():
    # First cell .2 + .4 + 0 + 1 over 4 = .4; second: one pixel of 4 not seen, (1 + 1 + 0) / 3; third: one of
    # four seen, less than half: empty. No event was held out, so no interval.
    plane = [[0.2, 0.4, 1, 1, 1, NAN], [0, 1, 0, NAN, NAN, NAN]]
    table = flood_table(raster(plane), squares(3))
    assert table.value == pytest.approx([0.4, 2 / 3, NAN], nan_ok=True)
    assert table.coverage == pytest.approx([1, 0.75, 0.25])
    assert table.n == pytest.approx([4, 3, 1])
    assert np.isnan([table.lower, table.upper, table.se]).all()
    assert "no interval" in table.sheet.error_model
    assert table.sheet.unit == "share of the ground"


def test_hectares_and_classes_from_a_threshold():
    table = flood_table(raster([[0.2, 0.4], [0, 1]]), squares(1), threshold=0.4, value="hectares")
    assert table.value == pytest.approx([2], rel=1e-3)  # 2 of 4 pixels of 1 ha, on the ellipsoid
    assert table.sheet.unit == "ha"
    assert "probability >= 0.4" in table.sheet.formula


def test_held_out_events_set_shares_right():
    # p = .5: .45; the event: .04 * .25 * (1 + 1/4) = .0125. p = 0: .1 and no error at all.
    table = flood_table(raster([[1, 0, 0, 0], [1, 0, 0, 0]]), squares(2), shares=shares_of())
    assert table.value == pytest.approx([0.45, 0.1])
    assert table.se == pytest.approx([0.0125**0.5, 0])
    assert table.columns["common_se"] == pytest.approx(table.se)
    assert table.columns["mapped"] == pytest.approx([0.5, 0])
    half = 3.182446 * 0.0125**0.5  # Student's t of 3 degrees of freedom at 97.5 %
    assert table.upper[0] == pytest.approx(0.45 + half)
    assert table.lower[0] == pytest.approx(0.45 - half)
    assert any("4 events were held out" in text for text in table.sheet.limits)


def test_shares_of_buildings_by_hand():
    # Built 1 and .5: (1 * .8 + .5 * .2) / 1.5 = .6. Where no building stands the cell is empty.
    built = raster([[1, 0.5, 0, 0], [0, 0, 0, 0]])
    table = flood_table(raster([[0.8, 0.2, 1, 1], [1, 1, 1, 1]]), squares(2), buildings=built)
    assert table.value == pytest.approx([0.6, NAN], nan_ok=True)
    assert table.columns["weight_m2"] == pytest.approx([15_000, 0], rel=1e-3)
    assert table.n[0] == pytest.approx(1.5, rel=1e-3)
    assert table.sheet.indicator == "damaged buildings"
    # the larger building was not seen: a third of what is built was
    table = flood_table(
        raster([[NAN, 0.2, 1, 1], [1, 1, 1, 1]]), squares(2), buildings=built, min_coverage=0.3
    )
    assert table.coverage[0] == pytest.approx(1 / 3)
    assert table.value[0] == pytest.approx(0.2)


def test_cells_beyond_the_edge_of_the_map_were_not_seen():
    table = flood_table(raster(np.ones((2, 3))), squares(2), buildings=raster(np.ones((2, 3))))
    assert table.coverage == pytest.approx([1, 0.5], rel=1e-3)


def test_the_sum_of_an_event_errs_as_its_cells_do_together():
    plane = np.tile([[1, 0]], (2, 4))
    table = flood_table(raster(plane), squares(4), shares=shares_of(), value="hectares")
    one = squares(1, side=400)
    whole = replace(one, geometry=np.array([shapely.box(X, Y - 200, X + 800, Y)]))
    made = flood_of(table, whole, shares_of())
    # 4 cells of 4 ha, .45 of each; all of the error is common: 16 ha * .0125^.5
    assert made.value == pytest.approx([16 * 0.45], rel=1e-3)
    assert made.se == pytest.approx([16 * 0.0125**0.5], rel=1e-3)
    alone = shares_of(between=((0.0,) * 3,) * 3, within=(0.01,) * 7)
    table = flood_table(raster(plane), squares(4), shares=alone, value="hectares")
    assert flood_of(table, whole, alone).se == pytest.approx([4 * 0.1 * 2], rel=1e-3)  # 4 ha * .1 * sqrt(4)


@pytest.mark.parametrize(
    ("ask", "kind", "says"),
    [
        (
            lambda: counted(np.array([50.0, 100.0]), None),
            ImageError,
            "from 50 to 100.*divide percentages by 100",
        ),
        (lambda: require_fit(None, 1.5), JidoError, "above 0 and up to 1, not 1.5"),
        (lambda: require_fit(shares_of(), 0.5), JidoError, "judged by mean probabilities, not from 0.5 on"),
        (
            lambda: require_fit(shares_of(threshold=0.4), 0.5),
            JidoError,
            "by pixels from 0.4 on, not from 0.5",
        ),
        (
            lambda: flood_table(raster(np.ones((2, 2))), squares(1), buildings=raster(np.ones((2, 3)))),
            ImageError,
            r"buildings lie on a grid of \(2, 3\) pixels, the map on another of \(2, 2\)",
        ),
        (
            lambda: flood_table(raster(np.ones((2, 2))), squares(1), buildings=raster(np.full((2, 2), 255))),
            ImageError,
            "A pixel is built to 255: give shares 0 to 1",
        ),
        (
            lambda: flood_table(raster(np.ones((2, 2))), squares(1), shares=shares_of(), level=0.5),
            JidoError,
            "level 0.5 were not looked at",
        ),
    ],
)
def test_bad_input(ask, kind, says):
    with pytest.raises(kind, match=says):
        ask()


def test_the_threshold_of_the_held_out_events_is_taken():
    table = flood_table(raster([[0.5, 0.3], [0.3, 0.3]]), squares(1), shares=shares_of(threshold=0.4))
    assert table.columns["mapped"] == pytest.approx([0.25])


# -- without a place ---------------------------------------------------------------------------


def test_cells_of_pixels_by_hand(tmp_path):
    # 3 x 3 pixels, cells of 2: the right and lower ones are cut.
    plane = np.array([[0, 1, 1], [1, NAN, 0], [NAN, NAN, 0.5]])
    cells = pixel_cells(plane, 2)
    np.testing.assert_allclose(cells.value, [[2 / 3, 0.5], [NAN, 0.5]])
    np.testing.assert_allclose(cells.coverage, [[0.75, 1], [0, 1]])
    np.testing.assert_allclose(cells.n, [[3, 2], [0, 1]])
    assert np.isnan(cells.lower).all()
    rows = pandas.read_csv(cells.write(tmp_path / "cells.csv", name="tile 7"))
    assert list(rows["id"]) == ["tile 7/r0c0", "tile 7/r0c1", "tile 7/r1c0", "tile 7/r1c1"]
    assert list(rows.columns)[1:] == ["row", "col", "value", "lower", "upper", "coverage", "n", "mapped"]
    assert rows["value"].isna().tolist() == [False, False, True, False]


def test_cells_of_pixels_are_those_of_a_map():
    rng = np.random.default_rng(0)
    plane, built = rng.random((4, 8)).astype(np.float32), rng.random((4, 8)).astype(np.float32)
    plane[0, 0] = NAN
    left = [shapely.box(X + c * 400, Y - 400, X + (c + 1) * 400, Y) for c in range(2)]
    table = flood_table(
        raster(plane),
        Cells(np.array(left), np.array(["a", "b"], dtype=object), LAEA, "squares"),
        buildings=raster(built),
        shares=shares_of(),
    )
    cells = pixel_cells(plane, 4, buildings=built, shares=shares_of())
    for name in ("value", "lower", "upper", "coverage", "n"):
        np.testing.assert_allclose(getattr(cells, name)[0], getattr(table, name), rtol=1e-3)


def test_a_cell_counts_from_a_stated_share():
    mask = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [NAN, NAN, 1, 1], [NAN, NAN, 1, 0]])
    assert cell_truth(mask, 2, least=0.25).tolist() == [[1, 0], [-1, 1]]
    assert cell_truth(mask, 2, least=0.3).tolist() == [[0, 0], [-1, 1]]
    # F1 by cell: truth 1 0 - 1, said 1 1 1 1: 2 hits, 1 false alarm, the unknown one left out
    said = cell_truth(np.ones((4, 4)), 2, least=0.5)
    matrix = confusion(cell_truth(mask, 2, least=0.25), said, 2)
    assert matrix.tolist() == [[0, 1], [0, 2]]
    assert f1_per_class(matrix)[1] == pytest.approx(2 * 2 / (2 * 2 + 1))


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: cell_shares(np.ones((2, 2)), 0), "whole number of pixels wide, 1 or more, not 0"),
        (lambda: cell_shares(np.ones((2, 2)), 1.5), "not 1.5"),
        (lambda: cell_shares(np.ones((2, 2)), 1, weights=np.ones(2)), "do not fit a map of"),
        (lambda: cell_shares(np.ones((2, 2)), 1, weights=-np.ones((2, 2))), "one of at least 0 a pixel"),
        (lambda: cell_truth(np.ones((2, 2)), 1, least=0), "a share above 0 and up to 1, not 0"),
    ],
)
def test_bad_cells_of_pixels(ask, says):
    with pytest.raises(JidoError, match=says):
        ask()


def test_xview2_score_by_hand():
    # Buildings: F1 = 2 * 6 / (2 * 6 + 2 + 2) = .75. Damage, rows the truth: F1 of each class
    # 2*2/(3+3) = 2/3, 2*1/(2+2) = .5, 2*2/(3+3) = 2/3, 2*1/(2+2) = .5; harmonic mean 4 / (1.5 + 2 + 1.5 + 2).
    matrix = np.array([[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 1], [0, 0, 1, 1]])
    assert xview2_score(np.array([6, 2, 2, 90]), matrix) == pytest.approx(0.3 * 0.75 + 0.7 * 4 / 7)
    assert xview2_score(np.array([6, 0, 0, 90]), np.eye(4)) == pytest.approx(1)
    never = matrix.copy()
    never[3, 3] = 0  # one F1 is 0, so is the harmonic mean
    assert xview2_score(np.array([6, 2, 2, 90]), never) == pytest.approx(0.3 * 0.75)
    gone = matrix.copy()
    gone[1], gone[:, 1] = 0, 0
    assert np.isnan(xview2_score(np.array([6, 2, 2, 90]), gone))
    both = xview2_score(np.array([[6, 2, 2, 90]] * 2), np.stack([matrix, never]))
    assert both.shape == (2,)


# -- relief ------------------------------------------------------------------------------------


def damage_of(p, shares=None):
    """A table whose cells have the mapped shares p."""
    return flood_table(raster(np.repeat([p, p], 2, axis=1)), squares(len(p)), shares=shares)


def test_people_affected_by_hand():
    # Shares .45 and .8 of 1000 and 100 people: 450 and 80. Interval of the first: 1000 * (.45 +- half).
    table = relief_table(damage_of([1, 0.5], shares_of()), np.array([100.0, 1000.0]), top=1)
    assert table.cells.ids.tolist() == ["c1", "c0"]  # the most first
    assert table.value == pytest.approx([450, 80])
    half = 1000 * 3.182446 * 0.0125**0.5
    assert (table.lower[0], table.upper[0]) == pytest.approx((450 - half, 450 + half))
    assert table.se == pytest.approx([1000 * 0.0125**0.5, 100 * 0.05**0.5])
    assert table.columns["rank"].tolist() == [1, 2]
    assert table.upper[1] == pytest.approx(100)  # no more than live there
    assert table.sheet.unit == "people"
    assert any("taken for exact" in text for text in table.sheet.limits)


def test_an_error_of_the_people_widens_the_interval():
    damage, people = damage_of([0.5], shares_of()), np.array([1000.0])
    exact, unsure = relief_table(damage, people), relief_table(damage, people, people_error=0.3)
    # half widths in squares: 1000 * 3.182446 * .0125^.5 = 355.8 and 1.959964 * .3 * 450 = 264.6
    assert unsure.upper[0] - 450 == pytest.approx(np.hypot(355.8, 264.6), rel=1e-3)
    assert unsure.upper[0] > exact.upper[0]
    # product of two independent errors: 1000² * .0125 * (1 + .09) + (450 * .3)²
    assert unsure.se[0] == pytest.approx((1e6 * 0.0125 * 1.09 + 135**2) ** 0.5)


def test_ranks_are_as_sure_as_cells_differ():
    # Only the event errs, and all cells alike, so the order of cells with the same people is sure.
    people = np.full(4, 100.0)
    little = shares_of(between=((0.0,) * 3, (0.0, 0.0004, 0.0), (0.0,) * 3))
    common = relief_table(damage_of([1, 0.8, 0.6, 0.4], little), people, top=2)
    assert common.columns["rank_best"].tolist() == common.columns["rank_worst"].tolist() == [1, 2, 3, 4]
    assert common.columns["top_chance"].tolist() == [1, 1, 0, 0]
    # Each cell errs on its own, by as much as they differ: nothing is sure.
    alone = shares_of(between=((0.0,) * 3,) * 3, within=(0.04,) * 7)
    own = relief_table(damage_of([0.55, 0.5, 0.45, 0.4], alone), people, top=2)
    assert own.columns["rank_best"].tolist() == [1, 1, 1, 1]
    assert own.columns["rank_worst"].tolist() == [4, 4, 4, 4]
    assert 0.5 < own.columns["top_chance"][0] < 0.8
    assert own.columns["top_chance"].sum() == pytest.approx(2)
    sure = own.sheet.numbers["of the first 2 expected there in truth"]
    assert sure == pytest.approx(own.columns["top_chance"][:2].sum())
    again = relief_table(damage_of([0.55, 0.5, 0.45, 0.4], alone), people, top=2)
    np.testing.assert_array_equal(own.columns["top_chance"], again.columns["top_chance"])


def test_ties_and_unknown_people_and_no_interval(tmp_path):
    table = relief_table(damage_of([0.5, 0.5, 1, NAN]), np.array([10, 10, NAN, 7.0]), source="census")
    assert table.columns["rank"].tolist()[:2] == [1.5, 1.5]
    assert np.isnan(table.columns["rank"][2:]).all()
    assert np.isnan(table.value[2:]).all()
    assert np.isnan(table.columns["rank_best"]).all()
    assert "nothing is known of how sure the ranks are" in table.sheet.error_model
    assert table.sheet.weights == "people: census"
    table.write(tmp_path / "relief", formats=("gpkg", "csv"))
    rows = geopandas.read_file(tmp_path / "relief.gpkg")
    assert rows["rank"].tolist()[:2] == [1.5, 1.5]
    assert {"rank_best", "rank_worst", "top_chance", "people", "share"} <= set(rows.columns)
    json.loads((tmp_path / "relief.method.json").read_text())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"people": np.ones(3)}, "People must be 2 numbers of at least 0, one a cell"),
        ({"people": np.array([1.0, -1.0])}, "from -1 on"),
        ({"people_error": -0.1}, "0 or more, not -0.1"),
        ({"top": 0}, "top and draws are 1 or more, not 0 and 1000"),
        ({"value": "hectares"}, "The table holds 'ha', not shares of cells"),
    ],
)
def test_bad_relief(change, says):
    given = {"people": np.ones(2), "value": "share", **change}
    damage = flood_table(raster(np.ones((2, 4))), squares(2), value=given.pop("value"))
    with pytest.raises(JidoError, match=says):
        relief_table(damage, given.pop("people"), **given)


# -- pictures ----------------------------------------------------------------------------------


def has(picture, colour):
    """Whether a picture holds a colour that is written as #RRGGBB."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((picture == wanted).all(axis=-1).any())


def test_a_picture_shows_every_kind_of_pixel(tmp_path):
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 256, (2, 3, 32, 32)).astype(float)
    truth, p = np.zeros((32, 32)), np.zeros((32, 32))
    truth[:16], p[:, :16] = 1, 1
    p[-4:, -4:] = NAN
    one = draw_change(before, after, p, tmp_path / "a.png", truth=truth, title="a flood")
    picture = np.asarray(Image.open(one).convert("RGB"))
    assert all(has(picture, colour) for colour in (HIT, FALSE, MISSED, NOT, UNSEEN))
    two = draw_change(before, after, p, tmp_path / "b.png", unsure=p > 0.5)
    picture = np.asarray(Image.open(two).convert("RGB"))
    assert has(picture, HIT)
    assert not has(picture, MISSED)
    assert picture.shape[1] < Image.open(one).width  # no panel for a truth nobody gave
    same = draw_change(before, after, p, tmp_path / "c.png", unsure=p > 0.5)
    assert same.read_bytes() == two.read_bytes()


def test_a_picture_of_nothing_says_so_and_sizes_must_fit(tmp_path):
    empty = np.zeros((8, 8))
    image = np.full((3, 8, 8), NAN)
    assert draw_change(image, image, empty, tmp_path / "a.png", truth=empty).stat().st_size > 0
    with pytest.raises(
        ImageError, match=r"before \(3, 8, 8\), after \(3, 8, 9\) and the map \(8, 8\) are not"
    ):
        draw_change(image, np.zeros((3, 8, 9)), empty, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not OMBRIA.exists(), reason="flood_ombria is not at ../shared/data")
def test_a_real_flood_by_cell(tmp_path):
    mask = sorted((OMBRIA / "test/MASK").glob("*.png"))[0]
    number = mask.stem.split("_")[-1]
    images = [
        np.asarray(Image.open(OMBRIA / "test" / when.upper() / f"S2_{when}_{number}.webp"), dtype=float)
        for when in ("before", "after")
    ]
    truth = np.asarray(Image.open(mask), dtype=float) / 255
    cells = pixel_cells(truth, 16, shares=shares_of())
    assert cells.value.shape == (16, 16)
    assert cells.mapped.mean() == pytest.approx(truth.mean())
    assert ((cells.lower <= cells.value) & (cells.value <= cells.upper)).all()
    before, after = (image.transpose(2, 0, 1) for image in images)
    assert draw_change(before, after, truth, tmp_path / "a.png", truth=truth).stat().st_size > 10_000


@pytest.mark.skipif(not XBD.exists(), reason="damage_xbd is not at ../shared/data")
def test_real_buildings_by_cell():
    codes = np.asarray(Image.open(next(XBD.glob("hurricane-florence_*_mask.png"))))
    damaged, built = (codes >= 3).astype(float), (codes > 0).astype(float)
    cells = pixel_cells(damaged, 256, buildings=built)
    assert cells.n.sum() == 26_492 + 274  # pixels of buildings, as the data's README counts them
    assert np.nanmin(cells.value) == 1  # in this scene every building is damaged
    assert np.isnan(cells.value[cells.n == 0]).all()


def test_the_experiment_runs_on_its_smallest_preset():
    script = Path(__file__).parents[1] / "experiments/flood_intervals.py"
    command = [sys.executable, script, "--preset", "smoke", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {row["events"] for row in found["cells"]} == {"drawn", "floods"}
    assert all(0 <= row["covered"] <= 1 and row["width"] > 0 for row in found["cells"])
    assert {row["promise"] for row in found["unsure"]} == {
        "each new group",
        "betting",
        "hoeffding-bentkus",
        "t",
    }
