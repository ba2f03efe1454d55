"""People affected, ranked; pictures of a change; the experiment on intervals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
from flood_cells import NAN, raster, shares_of, squares
from PIL import Image

from jido.errors import ImageError, JidoError
from jido.indicators.flood import flood_table
from jido.indicators.flood_figures import FALSE, HIT, MISSED, NOT, UNSEEN, draw_change
from jido.indicators.relief import relief_table

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


# -- the experiment ---------------------------------------------------------------------------


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
