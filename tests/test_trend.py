"""Mann-Kendall, Sen and change against a baseline: known answers, laws, what false alarms cost."""

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit
from scipy.stats import kendalltau, theilslopes

from jido.errors import JidoError
from jido.stats.trend import CORRECTIONS, ar1_inflation, autocorrelation, change_since, lag1, trend

YEARS = np.arange(2000, 2021)


def red_noise(rng, series, years, rho):
    """AR(1) series of variance 1, (series, years)."""
    shocks = rng.normal(size=(series, years + 60)) * np.sqrt(1 - rho**2)
    shocks[:, 0] /= np.sqrt(1 - rho**2)
    for year in range(1, years + 60):
        shocks[:, year] += rho * shocks[:, year - 1]
    return shocks[:, 60:]


def test_four_values_by_hand():
    found = trend(np.arange(4), np.array([10.0, 15, 14, 20]))
    assert found.s == 4  # five pairs rise, 15 -> 14 falls
    assert found.tau == pytest.approx(4 / 6)
    # orders of four by S = 6, 4, 2, 0, -2, -4, -6: 1, 3, 5, 6, 5, 3, 1 of 24
    assert found.p == pytest.approx((1 + 3 + 3 + 1) / 24)
    # slopes -1, 2, 2.5, 10/3, 5, 6
    assert found.slope == pytest.approx((2.5 + 10 / 3) / 2)
    # less the slope: 10, 12.08, 8.17, 11.25
    assert found.intercept == pytest.approx((10 + 20 - 3 * found.slope) / 2)
    assert found.line(np.array([2.0])) == pytest.approx([found.intercept + 2 * found.slope])
    assert np.isnan(found.lower)  # six slopes reach nowhere near 95 %


def test_ties_by_hand():
    values = np.repeat([1.0, 2, 3, 4, 5, 6], [1, 2, 3, 4, 1, 1])
    found = trend(np.arange(12), values)
    assert found.s == 66 - (1 + 3 + 6)
    variance = (12 * 11 * 29 - (2 * 1 * 9 + 3 * 2 * 11 + 4 * 3 * 13)) / 18
    assert found.p == pytest.approx(2 * ndtr(-55 / np.sqrt(variance)))


def test_few_values_have_their_exact_probability():
    rng = np.random.default_rng(0)
    for n in (2, 5, 8, 10):
        values = rng.normal(size=n)
        exact = kendalltau(np.arange(n), values, method="exact").pvalue
        assert trend(np.arange(n), values).p == pytest.approx(exact)


def test_interval_of_the_slope_by_hand():
    # 1..11 with the last one at 0: of 55 slopes 45 are 1, the ten with the last value fall below
    values = np.append(np.arange(1.0, 11), 0)
    found = trend(np.arange(11), values)
    assert found.slope == found.upper == 1
    reach = 1.959964 * np.sqrt(11 * 10 * 27 / 18)  # 25.18: ranks 14.91 and 41.09
    assert (55 - reach) / 2 > 11
    assert found.lower == 1
    # scipy rounds the ranks that we interpolate between
    rng = np.random.default_rng(1)
    noisy = rng.normal(size=21) + 0.05 * np.arange(21)
    ours, theirs = trend(YEARS, noisy), theilslopes(noisy, YEARS)
    one, two = np.triu_indices(21, 1)
    slopes = np.sort((noisy[two] - noisy[one]) / (two - one))
    for mine, other in ((ours.lower, theirs.low_slope), (ours.upper, theirs.high_slope)):
        assert abs(np.searchsorted(slopes, mine) - np.searchsorted(slopes, other)) <= 1
    assert ours.slope == pytest.approx(theirs.slope)


def test_missing_years_order_and_units():
    rng = np.random.default_rng(2)
    values = rng.normal(size=21) - 0.1 * np.arange(21)
    values[[3, 4, 11]] = np.nan
    known = np.isfinite(values)
    found = trend(YEARS, values, correction="lag1")
    assert found == trend(YEARS[known], values[known], correction="lag1")
    assert found.n == 18
    mixed = rng.permutation(21)
    assert trend(YEARS[mixed], values[mixed], correction="lag1") == found
    other = trend(YEARS, 3 - 2 * values, correction="lag1")
    assert other.s == -found.s
    assert other.p == pytest.approx(found.p)
    assert (other.slope, other.lower, other.upper) == pytest.approx(
        (-2 * found.slope, -2 * found.upper, -2 * found.lower)
    )


@pytest.mark.parametrize("name", CORRECTIONS)
def test_nothing_to_see(name):
    flat = trend(YEARS, np.full(21, 7.0), correction=name)
    assert (flat.s, flat.p, flat.slope, flat.intercept) == (0, 1, 0, 7)
    assert np.isnan([flat.lower, flat.upper]).all()
    for few in (0, 1):
        values = np.where(np.arange(21) < few, 1.0, np.nan)
        assert np.isnan(trend(YEARS, values, correction=name).p)
    assert trend(YEARS[:3], np.arange(3.0), correction=name).slope == 1


def test_serial_correlation_by_hand():
    np.testing.assert_allclose(
        autocorrelation(np.arange(4), np.array([1.0, -1, 1, -1]), lags=2), [-0.75, 0.5]
    )
    # with a gap: one pair of neighbours is left, its product stands for all three
    gap = autocorrelation(np.array([0, 1, 3.0]), np.array([1.0, 1, -2]), lags=2)
    np.testing.assert_allclose(gap, [1 / 2 * 2 / 3, -2 / 2 * 1 / 3])
    assert ar1_inflation(0.5, 3) == pytest.approx(1 + 2 * (2 / 3 * 0.5 + 1 / 3 * 0.25))
    assert ar1_inflation(0.0, 9) == 1
    # (n r + 2) / (n - 4) with n = 6: products of neighbours add up to -2, squares to 8
    wave = np.array([1.0, 1, -2, 0, 1, -1])
    assert lag1(np.arange(6), wave) == pytest.approx((-6 / 4 + 2) / 2)
    assert lag1(np.arange(6), np.tile([1.0, -1], 3)) == 0  # (-5 + 2) / 2, cut
    slow = np.array([1.0, 1, 1, -1, -1, -1])
    assert lag1(np.arange(6), slow) == 0.95  # (6 x .5 + 2) / 2 = 2.5, cut
    long = np.repeat(np.tile([1.0, -1], 5), 2)  # r = (10 - 9) / 20
    assert lag1(np.arange(20), long) == pytest.approx((20 * 0.05 + 2) / 16)


def test_hamed_and_rao_by_hand():
    # ranks 1..8 in the order 1 2 3 4 8 7 6 5, mean 4.5: neighbours' products add up to
    # (8.75 + 3.75 + 0.75) - 1.75 + (8.75 + 3.75 + 0.75) = 24.75 of 42 squares, r = .589 < 1.96 / sqrt(8)
    values = np.array([1.0, 2, 3, 4, 8, 7, 6, 5])
    np.testing.assert_allclose(autocorrelation(np.arange(8), values, lags=1), 24.75 / 42)
    assert CORRECTIONS["hamed_rao"](np.arange(8), values) == 1
    # 16 values, half of them high: r_k = (16 - 3 k) / 16 up to k = 8, then (k - 16) / 16; above .49 in size
    # are k = 1, 2 (13/16, 10/16) and k = 7, 8 (-5/16 is not, -8/16 is)
    step = np.repeat([0.0, 1], 8)
    terms = 15 * 14 * 13 * 13 / 16 + 14 * 13 * 12 * 10 / 16 - 8 * 7 * 6 * 8 / 16
    assert CORRECTIONS["hamed_rao"](np.arange(16), step) == pytest.approx(1 + 2 / (16 * 15 * 14) * terms)


@pytest.mark.parametrize("name", ["yue_wang", "lag1"])
def test_long_series_get_the_variance_that_s_really_has(name):
    series = red_noise(np.random.default_rng(3), 250, 120, 0.4)
    found = [trend(np.arange(120), one, correction=name) for one in series]
    true = np.var([one.s for one in found]) / (120 * 119 * 245 / 18)
    assert 1.8 < true < 3
    assert np.mean([one.inflation for one in found]) == pytest.approx(true, rel=0.2)


def test_false_alarms_among_21_years(capsys):
    """Share of series without a trend in which one is seen at 5 %."""
    rng, alarms = np.random.default_rng(4), {}
    for rho in (0.0, 0.5):
        series = red_noise(rng, 400, 21, rho)
        for name in CORRECTIONS:
            p = [trend(YEARS, one, correction=name).p for one in series]
            alarms[name, rho] = float(np.mean(np.array(p) < 0.05))
    with capsys.disabled():
        print("\nfalse alarms at 5 %, 21 years:", alarms)
    assert 0.02 < alarms["none", 0.0] < 0.085
    assert alarms["none", 0.5] > 0.15
    assert alarms["lag1", 0.0] < 0.07
    assert alarms["lag1", 0.5] < 0.11
    assert alarms["lag1", 0.5] < alarms["yue_wang", 0.5] < alarms["hamed_rao", 0.5]


def test_a_real_trend_is_found_and_its_slope_covered():
    series = red_noise(np.random.default_rng(5), 300, 21, 0.3) - 0.15 * np.arange(21)
    found = [trend(YEARS, one, correction="lag1") for one in series]
    assert np.mean([one.p < 0.05 for one in found]) > 0.5
    assert 0.9 < np.mean([one.lower <= -0.15 <= one.upper for one in found]) < 0.99


@pytest.mark.parametrize(
    ("times", "values", "correction", "says"),
    [
        ([2000, 2001], [1.0], "none", "do not fit"),
        ([2000, np.nan], [1.0, 2], "none", "time is missing"),
        ([2000, 2001, 2000], [1.0, 2, 3], "none", "2000 comes 2 times"),
        ([2000, 2001], [1.0, 2], "whitened", "choose one of none, hamed_rao, yue_wang, lag1"),
    ],
)
def test_bad_input_is_refused_in_words(times, values, correction, says):
    with pytest.raises(JidoError, match=says):
        trend(np.array(times), np.array(values), correction=correction)


# -- change against a baseline -------------------------------------------------------------------------


def around(before, after):
    """21 years of which only the first and the last five are known."""
    values = np.full(21, np.nan)
    values[:5], values[-5:] = before, after
    return values


def test_change_by_hand():
    found = change_since(YEARS, around([9, 11, 9, 11, 10], [8, 7, 9, 7, 9]))
    assert (found.baseline, found.latest, found.correlation) == (10, 8, 0)
    assert found.value == pytest.approx(-20)
    relative = 1 / 5 / 100 + 1 / 5 / 64  # both variances are 1
    freedom = relative**2 / (((1 / 500) ** 2 + (1 / 320) ** 2) / 4)
    reach = stdtrit(freedom, 0.975) * np.sqrt(relative)
    assert found.lower == pytest.approx(100 * (0.8 * np.exp(-reach) - 1))
    assert found.upper == pytest.approx(100 * (0.8 * np.exp(reach) - 1))


def test_change_does_not_depend_on_unit_or_order():
    values = np.random.default_rng(6).uniform(3, 5, 21)
    mixed = np.random.default_rng(7).permutation(21)
    one, two = change_since(YEARS, values), change_since(YEARS[mixed], 1e6 * values[mixed])
    assert (two.value, two.lower, two.upper) == pytest.approx((one.value, one.lower, one.upper))


def test_change_that_cannot_be_told():
    gone = change_since(YEARS, around([1, 2, 1, 2, 1], np.zeros(5)))
    assert gone.value == -100
    assert np.isnan(gone.lower)
    new = change_since(YEARS, around(np.zeros(5), [1, 2, 1, 2, 1]))
    assert np.isnan(new.value)
    assert new.reason == "nothing in the baseline"
    few = change_since(YEARS, around([1, 2, np.nan, np.nan, np.nan], np.ones(5)))
    assert np.isnan(few.value)
    assert few.reason == "2 and 5 valid years, 3 needed in each period"
    same = change_since(YEARS, around(np.full(5, 4.0), np.full(5, 3.0)))
    assert same.value == -25
    assert "no spread" in same.reason
    with pytest.raises(JidoError, match="2000 comes 21 times"):
        change_since(np.full(21, 2000), np.ones(21))


def test_interval_of_the_change_covers(capsys):
    rng, cover = np.random.default_rng(8), {}
    for rho in (0.0, 0.5):
        fall = np.exp(-0.02 * np.arange(21))
        true = 100 * (fall[-5:].mean() / fall[:5].mean() - 1)
        series = fall * np.exp(0.1 * red_noise(rng, 400, 21, rho))
        found = [change_since(YEARS, one) for one in series]
        cover[rho] = float(np.mean([one.lower <= true <= one.upper for one in found]))
    with capsys.disabled():
        print("\ncoverage of 95 %, change of five years:", cover)
    assert 0.93 <= cover[0.0] <= 0.99
    assert 0.90 <= cover[0.5] <= 0.98
