"""From dates to series of water: which dates count, what an empty year says, dry years, volume."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from jido.data.lakes import simulate_lake
from jido.errors import JidoError
from jido.indicators import water_figures
from jido.indicators.water_figures import draw_lake
from jido.indicators.water_series import (
    DRY_CLASSES,
    HypsometricCurve,
    Observations,
    Rules,
    dry_classes,
    water_series,
)
from jido.methods.figures.curves import save
from jido.stats.forecast import forecast
from jido.stats.trend import trend

ARAL = Path(__file__).parents[2] / "shared/data/water/aral_area.csv"
NAN = np.nan


def observed(dates, area, *, body="lake", se=1.0, coverage=1.0, cloud=0.0):
    n = len(dates)
    columns = [np.broadcast_to(np.asarray(part, dtype=float), n) for part in (area, se, coverage, cloud)]
    return Observations(np.array(dates), np.full(n, body), *columns)


def both(*parts):
    names = ("dates", "body", "area", "se", "coverage", "cloud")
    return Observations(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


MONTHS = ["2020-01-05", "2020-02-05", "2020-03-05", "2020-04-05", "2020-06-05"]


def test_dates_are_sorted_and_bodies_kept_apart():
    seen = both(observed(MONTHS[::-1], [5, 4, 3, 2, 1]), observed(["2020-02-05"], [9], body="pond"))
    np.testing.assert_array_equal(seen.area, [1, 2, 3, 4, 5, 9])
    assert seen.dates.dtype == "datetime64[D]"
    assert (seen.dates[:4] < seen.dates[1:5]).all()
    series = water_series(seen, "lake", every="month")
    np.testing.assert_array_equal(series.value, [1, 2, 3, 4, NAN, 5])
    assert [str(month) for month in series.periods] == [f"2020-0{i}" for i in range(1, 7)]
    np.testing.assert_allclose(series.years, 2020 + np.arange(6) / 12)
    assert series.reason.tolist() == ["", "", "", "", "no date", ""]


def test_rules_of_the_observatory():
    seen = observed(MONTHS, [1, NAN, 3, 4, 5], cloud=[0.2, 0, 0.21, 0, NAN], coverage=[0.98, 1, 1, 0.97, 1])
    words = ["", "not measured", "more than 20% cloud", "less than 98% was seen", "more than 20% cloud"]
    assert Rules().refused(seen).tolist() == words
    series = water_series(seen, "lake")
    assert (series.value[0], series.dates[0], series.valid[0]) == (1, 5, 1)
    lax = water_series(seen, "lake", rules=Rules(max_cloud=0.5, min_coverage=0.9))
    assert lax.valid[0] == 3
    strict = water_series(seen, "lake", rules=Rules(min_dates=2))
    assert np.isnan(strict.value[0])
    assert strict.reason[0] == "1 valid dates, 2 needed"


def test_a_year_of_clouds_is_empty_and_says_why():
    dates = [f"{year}-0{month}-01" for year in (2018, 2019, 2021) for month in (5, 6, 7)]
    series = water_series(observed(dates, 4.0, cloud=[0] * 3 + [0.9] * 3 + [0] * 3), "lake")
    assert [str(year) for year in series.periods] == ["2018", "2019", "2020", "2021"]
    np.testing.assert_array_equal(series.value, [4, NAN, NAN, 4])
    assert series.reason.tolist() == ["", "3 dates, none valid: more than 20% cloud", "no date", ""]
    assert np.isnan(series.se[1])
    rows = series.rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[1] == {
        "body": "lake", "period": "2019", "n": 0, "dates": 3, "value": None, "lower": None, "upper": None,
        "se": None, "reason": "3 dates, none valid: more than 20% cloud",
    }  # fmt: skip
    none = water_series(observed(dates, 4.0, cloud=0.9), "lake")
    assert np.isnan(none.value).all()


def test_errors_by_hand():
    dates = ["2020-05-01", "2020-06-01", "2020-07-01", "2020-08-01"]
    seen = observed(dates, [10, 12, 14, 99], se=[1, 2, 3, 4], cloud=[0, 0, 0, 1])
    hidden = 4 * (1 / 3 - 1 / 4)  # s² = 4, three of four dates seen
    whole = water_series(seen, "lake")
    assert whole.value[0] == 12
    assert whole.se[0] == pytest.approx(np.sqrt(2**2 + np.pi / 2 * hidden), rel=1e-4)
    apart = water_series(seen, "lake", shared=0.0)
    assert apart.se[0] == pytest.approx(np.sqrt(np.pi / 2 * ((1 + 4 + 9) / 9 + hidden)), rel=1e-4)
    more = water_series(seen, "lake", planned=12)
    assert more.se[0] == pytest.approx(np.sqrt(2**2 + np.pi / 2 * 4 * (1 / 3 - 1 / 12)), rel=1e-4)
    largest = water_series(seen, "lake", statistic="max")
    assert (largest.value[0], largest.se[0]) == (14, 3)
    lower, upper = whole.interval(level=0.95)
    assert upper[0] - 12 == pytest.approx(1.959964 * whole.se[0])
    assert lower[0] == pytest.approx(24 - upper[0])
    assert water_series(observed(dates, 0.1, se=5), "lake").interval()[0][0] == 0  # no area is below 0


def test_intervals_cover_the_median_of_the_year(capsys):
    """300 years of 12 dates, 4 to 8 of them under clouds at random: the median of all 12 is the truth."""
    rng, hits, naive = np.random.default_rng(0), [], []
    days = [f"2020-{month:02}-01" for month in range(1, 13)]
    for _ in range(300):
        truth = 100 + rng.normal(0, 6, 12)
        said = truth + rng.normal(0, 2)  # an error that all dates share
        cloud = np.zeros(12)
        cloud[rng.choice(12, rng.integers(4, 9), replace=False)] = 1
        series = water_series(observed(days, said, se=2.0, cloud=cloud), "lake", planned=12)
        lower, upper = series.interval()
        hits.append(lower[0] <= np.median(truth) <= upper[0])
        good = said[cloud == 0]
        naive.append(abs(np.median(good) - np.median(truth)) < 1.96 * 2 / np.sqrt(len(good)))
    with capsys.disabled():
        print(
            "\ncoverage of 95 %, median of a year:", np.mean(hits), "errors of dates alone:", np.mean(naive)
        )
    assert 0.90 <= np.mean(hits) <= 0.98
    assert np.mean(naive) < 0.6


def test_simulated_lake_from_dates_to_years():
    lake = simulate_lake(4, pixels=64, years=5, season=0.0)
    days = lake.dates.astype(str)
    shuffled = np.random.default_rng(1).permutation(len(days))
    seen = observed(days[shuffled], lake.area_m2[shuffled], se=0.0)
    series = water_series(seen, "lake")
    year = lake.dates.astype("datetime64[Y]")
    expected = [np.median(lake.area_m2[year == one]) for one in np.unique(year)]
    np.testing.assert_allclose(series.value, expected)
    np.testing.assert_array_equal(series.se, 0)  # all dates seen, no error of measurement
    curve = HypsometricCurve(*lake.hypsometry())
    stored, se, reason = curve.stored(lake.area_m2, 0.01 * lake.area_m2)
    np.testing.assert_allclose(stored, lake.volume_m3, rtol=1e-3)
    np.testing.assert_allclose(se, 0.02 * lake.volume_m3, rtol=5e-3)  # volume goes with area²
    assert (reason == "").all()


@pytest.mark.parametrize(
    ("dates", "given", "says"),
    [
        (
            ["2020-05-01", "2020-05-01"],
            {},
            "'lake' has two areas of 2020-05-01: put the tiles of a day together",
        ),
        (["2020-05-01", "yesterday"], {}, "not written as 2021-07-31"),
        (["2020-05-01", "NaT"], {}, "date is missing"),
        (["2020-05-01", "2020-05-02"], {"area": -1}, "below 0"),
        (["2020-05-01", "2020-05-02"], {"se": -1}, "below 0"),
    ],
)
def test_bad_observations_are_refused_in_words(dates, given, says):
    with pytest.raises(JidoError, match=says):
        observed(dates, **{"area": 1.0, **given})


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(JidoError, match=r"'area' has shape \(3,\), but there are 2 dates"):
        Observations(np.array(MONTHS[:2]), np.array(["a", "a"]), np.ones(3), *np.ones((3, 2)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"every": "week"}, "by month or year"),
        ({"statistic": "mean"}, "of the median or max"),
        ({"shared": 2.0}, "0 to 1"),
        ({"body": "sea"}, "no water body 'sea': it is one of lake"),
        ({"planned": 3}, "5 dates were seen but only 3 planned"),
    ],
)
def test_bad_questions_are_refused_in_words(given, says):
    with pytest.raises(JidoError, match=says):
        water_series(observed(MONTHS, 1.0), **{"body": "lake", **given})


def test_an_empty_water_body_is_refused():
    with pytest.raises(JidoError, match="shows no water on any of 5 valid dates"):
        water_series(observed(MONTHS, 0.0), "lake")
    # that no date is valid is another matter: nobody knows whether it is empty
    assert np.isnan(water_series(observed(MONTHS, 0.0, cloud=1.0), "lake").value).all()


# -- dry years -----------------------------------------------------------------------------------------


def test_dry_classes_of_49_years_by_hand():
    """Percentiles 2, 4, 6, ... 98: D4 up to 2, D3 up to 5, D2 up to 10, D1 up to 20, D0 up to 30."""
    found = dry_classes(np.arange(49.0))
    np.testing.assert_allclose(found.percentile, 2 * np.arange(1, 50))
    expected = ["D4", "D3"] + 3 * ["D2"] + 5 * ["D1"] + 5 * ["D0"] + 34 * [""]
    assert found.label.tolist() == expected
    assert found.finest == "D4"
    np.testing.assert_allclose(found.lower[1], 100 * beta.ppf(0.025, 2, 48))
    np.testing.assert_allclose(found.upper[1], 100 * beta.ppf(0.975, 2, 48))


@pytest.mark.parametrize(
    ("years", "finest"), [(2, ""), (3, "D0"), (4, "D1"), (9, "D2"), (21, "D3"), (48, "D3")]
)
def test_few_years_have_no_driest_class(years, finest):
    found = dry_classes(np.random.default_rng(3).permutation(years).astype(float))
    assert found.finest == finest
    assert set(found.label) <= {"", *[name for name, _ in DRY_CLASSES if name <= finest]}
    assert finest == "" or finest in found.label


def test_years_that_tie_missing_years_and_a_reference():
    found = dry_classes(np.array([0.0, 0, 0, 0, 0, 0, 0, 5, NAN]))
    np.testing.assert_allclose(found.percentile, 7 * [100 * 4 / 9] + [100 * 8 / 9, NAN])
    assert (found.label == "").all()  # always empty is not drier than usual
    values = np.array([*range(10, 20), 1.0])
    later = dry_classes(values, reference=np.arange(11) < 10)
    assert later.percentile[-1] == pytest.approx(100 / 12)  # the lowest of ten and itself
    assert later.label[-1] == "D2"
    assert later.percentile[0] == pytest.approx(100 / 11)  # among the ten


def test_the_percentile_is_covered():
    rng = np.random.default_rng(4)
    years = rng.random((500, 21))  # of a uniform climate the percentile is the value
    found = [dry_classes(one) for one in years]
    hits = [
        (part.lower <= 100 * one) & (100 * one <= part.upper) for part, one in zip(found, years, strict=True)
    ]
    assert 0.94 < np.mean(hits) < 0.96


# -- stored volume -------------------------------------------------------------------------------------


def test_volume_by_hand_and_outside_of_the_curve():
    curve = HypsometricCurve(np.array([4.0, 0, 2]), np.array([12.0, 0, 6]))  # 3 m deep everywhere
    volume, se, reason = curve.stored(np.array([1.0, 3, 4.1, NAN, 0]), np.full(5, 0.5))
    np.testing.assert_allclose(volume, [3, 9, NAN, NAN, 0])
    np.testing.assert_allclose(se, [1.5, 1.5, NAN, NAN, 1.5])
    outside = "the area is outside the curve, 0 to 4"
    assert reason.tolist() == ["", "", outside, "no area", ""]


def test_the_curve_is_monotone_between_its_rows():
    area = np.array([0.0, 1, 2, 3, 10])
    volume = np.array([0.0, 0.1, 8, 8.1, 30])  # steps that a cubic spline would swing around
    found, se, _ = HypsometricCurve(area, volume).stored(np.linspace(0, 10, 500), np.ones(500))
    assert (np.diff(found) > 0).all()
    assert (se >= 0).all()


@pytest.mark.parametrize(
    ("area", "volume", "says"),
    [
        ([0.0, 1, 2], [0.0, 5, 4], "1 has 5 and 2 has 4"),
        ([0.0, 1, 1], [0.0, 5, 6], "must grow with area"),
        ([0.0, NAN], [0.0, 5], "missing or below 0"),
        ([-1.0, 1], [0.0, 5], "missing or below 0"),
        ([1.0], [5.0], "2 areas or more"),
        ([1.0, 2], [5.0], "volume for each"),
    ],
)
def test_a_curve_that_cannot_be_is_refused_in_words(area, volume, says):
    with pytest.raises(JidoError, match=says):
        HypsometricCurve(np.array(area), np.array(volume))


@pytest.mark.skipif(not ARAL.exists(), reason="water is not at ../shared/data")
def test_aral_sea():
    table = pd.read_csv(ARAL)
    year, area = table.iloc[:, 0].to_numpy(), table["Total"].to_numpy()
    dates = [f"{one:.0f}-07-01" for one in year]
    series = water_series(observed(dates, area, se=0.1), "lake")
    assert np.isfinite(series.value).sum() == np.isfinite(area).sum()
    found = dry_classes(series.value)
    early = series.years < 1995
    assert (found.label[early] == "").all()
    assert "D2" in found.label


# -- the picture ---------------------------------------------------------------------------------------


def test_picture_shows_what_does_not_count_and_is_the_same_every_time(tmp_path, monkeypatch):
    lake = simulate_lake(5, pixels=64, years=12)
    cloud = np.zeros(len(lake.dates))
    cloud[::3] = 0.9
    cloud[24:36] = 1.0  # the third year
    seen = observed(lake.dates, lake.area_m2 / 1e6, se=0.01, cloud=cloud)
    series = water_series(seen, "lake")
    assert np.isnan(series.value[2])
    drawn = []
    monkeypatch.setattr(
        water_figures, "save", lambda figure, path: drawn.append(figure) or save(figure, path)
    )
    extras = {
        "line": trend(series.years, series.value, correction="lag1"),
        "ahead": forecast(series.value[None], lowest=0.0),
    }
    for name in ("one.png", "two.png"):
        draw_lake(seen, series, tmp_path / name, title="A lake", **extras)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    (axis,) = drawn[0].axes
    lines = {line.get_label(): line for line in axis.lines}
    hollow = lines["date that does not count"]
    assert len(hollow.get_xdata()) == np.count_nonzero(cloud)
    assert hollow.get_markerfacecolor() == "none"
    assert len(lines["valid date"].get_xdata()) == np.count_nonzero(cloud == 0)
    np.testing.assert_allclose(lines["no value"].get_xdata(), [2017.5])
    ahead = extras["ahead"]
    diamond = lines[f"forecast by {ahead.method}"]
    np.testing.assert_allclose([*diamond.get_xdata(), *diamond.get_ydata()], [2027.5, ahead.value[0]])
    fans = [patch for patch in axis.patches if "forecast" in str(patch.get_label())]
    assert [patch.get_label() for patch in fans] == ["forecast, 95 %", "forecast, 80 %"]
    assert fans[0].get_xy()[1:3, 1].tolist() == [ahead.upper[0.95][0], ahead.lower[0.95][0]]
    assert {part.get_text() for part in axis.texts} <= {"D0", "D1", "D2"}  # eleven years show no D3


def test_nothing_is_drawn_of_a_lake_that_was_never_seen(tmp_path):
    seen = observed(MONTHS, 1.0, cloud=1.0)
    with pytest.raises(JidoError, match="nothing to draw of 'lake': 5 dates, none valid"):
        draw_lake(seen, water_series(seen, "lake"), tmp_path / "lake.png")
    assert not list(tmp_path.iterdir())
