"""Flooded ground, or damaged buildings, by cell and by squares of pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import shapely
from flood_cells import LAEA, NAN, X, Y, raster, shares_of, squares
from PIL import Image

from jido.errors import ImageError, JidoError
from jido.indicators.cells import Cells
from jido.indicators.flood import counted, flood_of, flood_table, require_fit
from jido.indicators.flood_pixels import pixel_cells
from jido.labels import group_kfold
from jido.methods.change import HeldOut, told
from jido.methods.change_config import ChangeConfig
from jido.stats.binary import cell_shares, cell_truth, xview2_score
from jido.stats.confusion import confusion, f1_per_class

SHARED = Path(__file__).parents[2] / "shared/data"
OMBRIA, XBD = SHARED / "flood_ombria", SHARED / "damage_xbd"


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
    half = 3.182446 * 16 * 0.0125**0.5  # Student's t of 3 degrees of freedom at 97.5 %, not 1.96
    assert (made.lower[0], made.upper[0]) == pytest.approx((7.2 - half, 7.2 + half), rel=1e-3)
    wide = flood_of(table, whole, shares_of(stretch={"0.95": (1.0, 1.0, 1.0, 2.0)}))
    assert (wide.lower[0], wide.upper[0]) == pytest.approx((0, 16), rel=1e-3)  # none below 0, or above all
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


def test_a_promise_needs_enough_events_and_that_they_are_known():
    def promise(events, *, known=True):
        truth = np.zeros((events, 16, 16), np.float32)
        truth[:, :8] = 1
        held = HeldOut(np.where(truth > 0, 0.9, 0.1).astype(np.float32), truth, np.arange(events), 4)
        folds = group_kfold(held.event, np.ones(events, dtype=np.int64), k=2, seed=0)
        return told(held, folds, ChangeConfig(), known=known).get("unsure")

    # (n + 1) * .9 <= n from 9 events on; all answers are right, so all of them are sure
    assert promise(8) is None
    assert promise(9)["share"] == 0
    assert promise(9)["aimed_error"] == pytest.approx(0.1)
    assert promise(9, known=False) is None


# -- without a place ---------------------------------------------------------------------------


def test_cells_of_pixels_by_hand(tmp_path):
    # 3 x 3 pixels, cells of 2: the right and lower ones are cut.
    plane = np.array([[0, 1, 1], [1, NAN, 0], [NAN, NAN, 0.5]])
    cells = pixel_cells(plane, 2)
    np.testing.assert_allclose(cells.value, [[2 / 3, 0.5], [NAN, 0.5]])
    np.testing.assert_allclose(cells.coverage, [[0.75, 1], [0, 1]])
    np.testing.assert_allclose(cells.n, [[3, 2], [0, 1]])
    assert np.isnan(cells.lower).all()
    rows = pandas.read_csv(cells.write(tmp_path / "cells", name="tile 7")[0])
    assert list(rows["id"]) == ["tile 7/r0c0", "tile 7/r0c1", "tile 7/r1c0", "tile 7/r1c1"]
    assert list(rows.columns)[1:] == ["row", "col", "value", "lower", "upper", "coverage", "n", "mapped"]
    assert rows["value"].isna().tolist() == [False, False, True, False]
    # the whole: .667 of 4 pixels (3 seen), .5 of 2, .5 of 1, over the 7 pixels of the cells that were seen
    assert cells.whole()["value"] == pytest.approx((4 * 2 / 3 + 2 * 0.5 + 0.5) / 7)
    assert np.isnan(cells.whole()["lower"])
    judged = pixel_cells(np.ones((4, 4)), 2, shares=shares_of()).whole()
    # 4 cells alike: .8 with the error of the event alone, .2 * sqrt(1 + 1/4), times t of 3 at 97.5 %
    assert judged["value"] == pytest.approx(0.8)
    assert judged["lower"] == pytest.approx(0.8 - 3.182446 * 0.05**0.5)


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


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not OMBRIA.exists(), reason="flood_ombria is not at ../shared/data")
def test_a_real_flood_by_cell(tmp_path):
    mask = sorted((OMBRIA / "test/MASK").glob("*.png"))[0]
    truth = np.asarray(Image.open(mask), dtype=float) / 255
    cells = pixel_cells(truth, 16, shares=shares_of())
    assert cells.value.shape == (16, 16)
    assert cells.mapped.mean() == pytest.approx(truth.mean())
    assert ((cells.lower <= cells.value) & (cells.value <= cells.upper)).all()
    files = cells.write(tmp_path / "tile", name="tile 0")
    assert [path.name for path in files] == ["tile.csv", "tile.method.json", "tile.method.md"]


@pytest.mark.skipif(not XBD.exists(), reason="damage_xbd is not at ../shared/data")
def test_real_buildings_by_cell():
    codes = np.asarray(Image.open(next(XBD.glob("hurricane-florence_*_mask.png"))))
    damaged, built = (codes >= 3).astype(float), (codes > 0).astype(float)
    cells = pixel_cells(damaged, 256, buildings=built)
    assert cells.n.sum() == 26_492 + 274  # pixels of buildings, as the data's README counts them
    assert np.nanmin(cells.value) == 1  # in this scene every building is damaged
    assert np.isnan(cells.value[cells.n == 0]).all()
