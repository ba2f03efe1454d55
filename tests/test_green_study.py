"""Green and happiness of countries: means of cities, the study on worlds whose truth is known, pictures."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from jido.errors import JidoError, OutputError
from jido.indicators.figures import EUROPE, bubble_map, scatter_study
from jido.indicators.green_study import CountryTable, country_means, green_study

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/green_happiness"


def world(n=120, *, seed=0, split=38_000.0, noise=0.25):
    """Above ``split`` US$ a head only green counts, below it only income; support carries half of green."""
    rng = np.random.default_rng(seed)
    gdp, green = np.exp(rng.uniform(np.log(2e3), np.log(1e5), n)), np.exp(rng.normal(3, 0.5, n))
    lively, rich = np.log(green) - 3, gdp > split
    support = 0.8 + 0.05 * lively + 0.01 * rng.normal(size=n)
    happiness = np.where(rich, 6.5 + lively / 2 + 10 * (support - 0.8), 5.5 + 0.7 * np.log(gdp / 1e4))
    names = np.array([f"country {i:03}" for i in range(n)])
    return CountryTable(names, happiness + noise * rng.normal(size=n), green, gdp, support)


@pytest.fixture(scope="module")
def found():
    table = world()
    return table, green_study(table, richest=int((table.gdp > 38_000).sum()), draws=300)


# -- from cities to countries ----------------------------------------------------------------------


def test_means_by_country_worked_by_hand():
    values, countries = np.array([0.2, 0.6, 0.4, np.nan, np.nan]), np.array(["B", "A", "B", "B", "C"])
    plain = country_means(values, countries)
    assert plain.names.tolist() == ["A", "B", "C"]
    assert plain.value == pytest.approx([0.6, 0.3, np.nan], nan_ok=True)
    assert plain.cities.tolist() == [1, 2, 0]
    by_people = country_means(values, countries, weights=np.array([1, 1, 3, 9, 1]))
    assert by_people.value == pytest.approx([0.6, 0.35, np.nan], nan_ok=True)  # (.2 + 3 * .4) / 4
    empty = country_means(values, countries, weights=np.array([1, 0, 3, 0, 0]))
    assert empty.value == pytest.approx([np.nan, 0.35, np.nan], nan_ok=True)
    assert empty.cities.tolist() == [0, 2, 0]


def test_cities_that_do_not_fit_are_refused():
    two = np.array(["A", "B"])
    with pytest.raises(JidoError, match="3 values, 2 countries and 3 weights: give one a city"):
        country_means(np.ones(3), two)
    for weight in (-1, np.nan):
        with pytest.raises(JidoError, match="A weight of a city is below 0 or missing"):
            country_means(np.ones(2), two, weights=np.array([1, weight]))


# -- the study -------------------------------------------------------------------------------------


def test_a_split_world_is_seen_as_one(found):
    table, study = found
    rich, others = study.rich.model, study.others.model
    assert rich["log green"].raw["lower"] > 0.5
    assert rich["log gdp"].raw["lower"] < 0 < rich["log gdp"].raw["upper"]
    assert others["log green"].raw["lower"] < 0 < others["log green"].raw["upper"]
    assert others["log gdp"].raw["lower"] < 0.7 < others["log gdp"].raw["upper"]
    assert study.difference["log green"]["lower"] > 0.4  # it is 1
    assert study.difference["log gdp"]["upper"] < 0
    last, first = table.gdp[table.gdp <= 38_000].max(), table.gdp[table.gdp > 38_000].min()
    assert study.threshold_gdp["value"] == pytest.approx(last, rel=0.05)
    assert study.threshold_gdp["lower"] <= last <= study.threshold_gdp["upper"] * (1 + 1e-9)
    assert study.threshold.p == 1 / 301
    assert study.others.gdp[1] == last
    assert study.rich.gdp[0] == first
    assert study.moderation.interaction["lower"] > 0
    slopes = [slope["value"] for _, slope in study.moderation.slopes]
    assert slopes == sorted(slopes)


def test_a_world_without_a_split_shows_none():
    table = world(noise=0)
    rng = np.random.default_rng(2)
    plain = replace(table, happiness=5 + 0.5 * np.log(table.gdp / 1e4) + 0.3 * rng.normal(size=120))
    study = green_study(plain, richest=40, draws=300)
    assert study.threshold.p > 0.05
    assert study.difference["log gdp"]["lower"] < 0 < study.difference["log gdp"]["upper"]
    assert study.mediation.indirect["lower"] < 0 < study.mediation.indirect["upper"]


def test_half_of_green_goes_through_support_among_the_rich():
    table = world(200)
    rich = table.select(table.richest(80))
    study = green_study(rich, richest=40, draws=300)
    way = study.mediation_given_gdp  # .05 * 10 through support, 1/2 past it
    assert way.indirect["lower"] < 0.5 < way.indirect["upper"]
    assert way.direct["lower"] < 0.5 < way.direct["upper"]
    assert way.total["value"] == pytest.approx(way.indirect["value"] + way.direct["value"])


def test_elasticities_are_told_whatever_the_units(found):
    table, study = found
    other = green_study(replace(table, green=table.green * 10_000), richest=40, draws=100)
    power = replace(table, happiness=2 * table.green**0.3 * table.gdp**0.1)
    exact = green_study(power, richest=40, draws=100).log_log
    assert [exact[name].raw["value"] for name in ("log green", "log gdp")] == pytest.approx([0.3, 0.1])
    assert other.model["log green"].raw["value"] == pytest.approx(study.model["log green"].raw["value"])
    assert other.correlations["green"].pearson["value"] == pytest.approx(
        study.correlations["green"].pearson["value"]
    )


def test_countries_that_lack_a_number_are_left_out_by_name(found):
    table, study = found
    gaps = {"happiness": 3, "green": 5, "gdp": 7, "social_support": 9}
    parts = {name: np.append(getattr(table, name), np.full(4, 1.0)) for name in gaps}
    for place, name in enumerate(gaps):
        parts[name][120 + place] = np.nan
    names = np.append(table.names, ["no score", "no green", "no income", "no support"])
    more = green_study(CountryTable(names, **parts), richest=study.rich.model.n, draws=300)
    assert more.left_out == ("no score", "no green", "no income", "no support")
    assert replace(more, left_out=()) == study


def test_weights_and_groups_reach_every_line(found):
    table, study = found
    half = replace(table, weights=(np.arange(120) % 2).astype(float))
    odd = table.select(np.arange(120) % 2 == 1)
    one, two = (green_study(part, richest=10, draws=100) for part in (half, odd))
    assert one.model.n == two.model.n == 60
    assert one.model["log gdp"].raw["value"] == pytest.approx(two.model["log gdp"].raw["value"])
    assert one.threshold_gdp["value"] == two.threshold_gdp["value"]
    assert one.mediation.indirect["value"] == pytest.approx(two.mediation.indirect["value"])
    told = green_study(replace(table, groups=np.arange(120) // 12), richest=40, draws=100)
    assert told.model.groups == 10
    assert told.model.n == 120
    assert told.correlations["log gdp"].pearson["value"] == study.correlations["log gdp"].pearson["value"]


def test_the_result_is_json_and_a_table(found):
    _, study = found
    again = json.loads(json.dumps(study.to_dict()))
    assert again["countries"] == 120
    assert again["rich"]["model"]["coefficients"][0]["name"] == "log green"
    assert again["threshold"]["at"]["value"] == study.threshold.at["value"]
    lines = study.to_markdown().splitlines()
    assert lines[0] == "| question | countries | figure | clear of 0 |"
    assert {line.count("|") for line in lines} == {5}
    (split,) = [line for line in lines if line.startswith("| split point")]
    assert f"{study.threshold_gdp['value']:.0f} [" in split
    assert split.endswith("] |  |")  # a place is not asked to be clear of 0
    (rich,) = [
        line for line in lines if line.startswith("| richest") and "happiness, beta of log gdp" in line
    ]
    assert rich.endswith("| no |")
    (gap,) = [line for line in lines if line.startswith("| slope of log green, richest minus others")]
    assert gap.endswith("| yes |")


def test_the_richest_are_counted_among_complete_countries():
    table = world(12)
    gap = table.gdp.copy()
    gap[table.gdp.argmax()] = np.nan
    chosen = replace(table, gdp=gap).richest(3)
    assert chosen.sum() == 3
    assert sorted(table.gdp[chosen]) == sorted(table.gdp)[-4:-1]
    for count in (0, 12):
        with pytest.raises(JidoError, match=f"{count} richest of 12 complete countries leave none"):
            table.richest(count)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gdp": np.ones(3)}, r"12 countries have gdp of shape \(3,\)"),
        ({"green": np.r_[np.ones(11), 0]}, "green of 'country 011' is 0, which has no logarithm"),
        ({"happiness": -np.ones(12)}, "happiness of 'country 000' is -1"),
        ({"names": np.array(["Chad"] * 12)}, "'Chad' comes 12 times: one row a country"),
        ({"groups": np.ones(2)}, r"12 countries have groups of shape \(2,\)"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, says):
    with pytest.raises(JidoError, match=says):
        replace(world(12), **change)


# -- pictures --------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch):
    """Figures that are written, after they were laid out."""
    figures = []

    def keep(figure, path, **_):
        figure.canvas.draw()
        figures.append(figure)
        Path(path).write_bytes(b"")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    return figures


def texts(figure):
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


PLACES = np.array([[24.9, 60.2, 0.45, 8.0], [127.0, 37.6, 0.38, 4.0], [0, 0, np.nan, 5]]).T


def test_bubbles_have_their_place_colour_and_size_on_map_and_inset(drawn, tmp_path):
    land = np.array([shapely.box(20, 55, 30, 65), shapely.MultiPolygon([shapely.box(0, 0, 1, 1)])])
    path = bubble_map(*PLACES, tmp_path / "map.png", outlines=land, note="two capitals", colour_name="NDVI")
    assert path.exists()
    (figure,) = drawn
    world_map, inset, *_ = figure.axes
    for axis, closer in ((world_map, 1), (inset, 1.25)):
        outlines, bubbles = axis.collections
        assert len(outlines.get_paths()) == 2
        assert bubbles.get_offsets().tolist() == [[24.9, 60.2], [127.0, 37.6]]  # the large one beneath
        sizes = np.sqrt(bubbles.get_sizes())
        assert sizes[0] == pytest.approx(2 * sizes[1])  # twice as happy is twice as wide
        assert sizes[1] == pytest.approx(4 * 2.2 * closer)
        light = bubbles.to_rgba(bubbles.get_array())[:, :3].sum(axis=1)
        assert light[0] < light[1]  # greener is darker
    assert (*inset.get_xlim(), *inset.get_ylim()) == (EUROPE[0], EUROPE[2], EUROPE[1], EUROPE[3])
    assert {"two capitals", "NDVI", "happiness", "4", "8"} <= texts(figure)


def test_the_inset_hides_no_place_of_the_world_where_people_live(drawn, tmp_path):
    bubble_map(*PLACES, tmp_path / "map.png")
    world_map, inset = drawn[0].axes[:2]
    box = inset.get_window_extent().transformed(world_map.transData.inverted())
    assert box.x1 < -81.5  # South America begins there
    assert box.y1 < 0


def test_shades_grow_darker_step_by_step():
    from jido.indicators.figures import _greens

    light = _greens()(np.linspace(0, 1, 32))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) < 0).all()
    assert light[0] - light[-1] > 0.6


def test_pictures_are_the_same_bytes_every_time(tmp_path):
    one, two = (bubble_map(*PLACES, tmp_path / f"{i}.png", inset=None) for i in range(2))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(b"\x89PNG")


def test_lines_of_both_halves_are_those_of_the_study(drawn, tmp_path):
    table = world(60)
    scatter_study(
        table, tmp_path / "x.png", richest=20, green_name="green area", label=["country 007"], draws=100
    )
    left, right = drawn[0].axes
    assert [len(points.get_offsets()) for points in (left.collections[0], left.collections[2])] == [20, 40]
    rich = table.richest(20)
    slope, start = np.polyfit(np.log(table.gdp[rich]), table.happiness[rich], 1)
    x, y = right.lines[0].get_data()
    assert y == pytest.approx(start + slope * np.log(x))
    assert {"green area", "gdp a head, US$", "the 20 richest", "the 40 others", "country 007"} <= texts(
        drawn[0]
    )


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (PLACES[:, 2:], "No row has longitude, latitude, colour and size"),
        (PLACES + np.array([[0], [60], [0], [0]]), "A place lies beyond 180 degrees"),
        (PLACES * np.array([[1], [1], [1], [-1]]), "or a size is not above 0"),
        ([*PLACES[:3], np.ones(5)], r"have \[3, 3, 3, 5\] rows"),
    ],
)
def test_bubbles_that_cannot_be_drawn_are_refused(places, says, tmp_path):
    with pytest.raises(JidoError, match=says):
        bubble_map(*places, tmp_path / "map.png")
    assert not (tmp_path / "map.png").exists()


def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        bubble_map(*PLACES, tmp_path / "file" / "map.png")


# -- real countries --------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.exists(), reason="green_happiness is not at ../shared/data")
def test_the_reference_figures_are_reproduced_on_133_countries(tmp_path):
    """r .25, .81 and .78 are stated with the data; the experiment runs from start to end."""
    command = [sys.executable, ROOT / "experiments/green_happiness.py", "--preset", "smoke", "--seeds", "0"]
    command += ["--json", "--data", DATA, "--out", tmp_path]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed)
    (reference,) = [row for row in found["rows"] if row["sample"] == "as written"]
    assert reference["countries"] == 133
    r = [
        reference["correlations"][name]["pearson"]["value"] for name in ("green", "log gdp", "social support")
    ]
    assert r == pytest.approx([0.25, 0.81, 0.78], abs=0.01)
    (joined,) = [row for row in found["rows"] if row["sample"] == "joined"]
    assert joined["countries"] == 144
    assert joined["left_out"] == []
    assert {path.name for path in (tmp_path / "smoke").iterdir()} == {"rows.jsonl", "map.png", "lines.png"}
