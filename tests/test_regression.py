"""Lines through few rows: answers worked by hand, laws, and what the intervals cover."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from jido.errors import JidoError
from jido.stats.regression import Resampling, correlate, mediate, moderate, ols, threshold

FEW = Resampling(draws=200)


def holds(figure, truth):
    return figure["lower"] <= truth <= figure["upper"]


def width(figure):
    return figure["upper"] - figure["lower"]


def some(n=40, seed=0):
    """Predictors (n, 2) and an outcome that follows them with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) * (1, 5) + (0, 100)
    return x, 2 + x @ (1.5, -0.2) + rng.normal(size=n)


# -- least squares ---------------------------------------------------------------------------------


def test_a_line_worked_by_hand():
    # means 1.5 and 2.25; Sxy = 1.875 + .125 - .125 + 2.625 = 4.5, Sxx = 5, Syy = 4.75:
    # slope .9, intercept 2.25 - .9 * 1.5 = .9, R² = 4.5² / (5 * 4.75), beta = its root
    found = ols(np.array([1, 2, 2, 4]), np.arange(4), names=["x"])
    assert found.intercept["value"] == pytest.approx(0.9)
    assert found["x"].raw["value"] == pytest.approx(0.9)
    assert found.r2["value"] == pytest.approx(20.25 / 23.75)
    assert found["x"].standardised["value"] == pytest.approx((20.25 / 23.75) ** 0.5)
    assert found["x"].raw["lower"] is None  # four rows claim no interval


def test_two_predictors_are_those_of_lstsq_and_rows_with_a_gap_are_left_out():
    x, y = some()
    solved = np.linalg.lstsq(np.column_stack([np.ones(40), x]), y)[0]
    gap = np.vstack([x, [[np.nan, 100], [0, 100]]]), np.append(y, [1, np.nan])
    for found in (ols(y, x, names="ab"), ols(gap[1], gap[0], names="ab")):
        assert (found.n, found.groups) == (40, 40)
        values = [found.intercept["value"], found["a"].raw["value"], found["b"].raw["value"]]
        assert values == pytest.approx(solved.tolist())


def test_a_line_without_noise_has_no_spread_to_tell_of():
    x = np.arange(8.0)
    found = ols(3 - 2 * x, x, names=["x"], resampling=FEW)
    assert found["x"].raw == pytest.approx({"value": -2, "lower": None, "upper": None})
    assert found["x"].standardised["value"] == pytest.approx(-1)


def test_units_change_raw_slopes_alone():
    x, y = some()
    one, two = (ols(y, part, names="ab", resampling=FEW) for part in (x, x * (1000, 1) - 5))
    for end in ("value", "lower", "upper"):
        assert two["a"].raw[end] * 1000 == pytest.approx(one["a"].raw[end])
        assert two["a"].standardised[end] == pytest.approx(one["a"].standardised[end])
        assert two.r2[end] == pytest.approx(one.r2[end])


def test_a_whole_weight_is_that_many_rows():
    x, y = some(20)
    times = np.arange(20) % 3  # a weight of 0 is no row
    weighted = Resampling(weights=times, draws=100)
    thrice, again = np.repeat(x, times, axis=0), np.repeat(y, times)
    one, two = ols(y, x, names="ab", resampling=weighted), ols(again, thrice, names="ab")
    assert one.n == 13
    assert one["b"].raw["value"] == pytest.approx(two["b"].raw["value"])
    assert one.r2["value"] == pytest.approx(two.r2["value"])
    one, two = correlate(x[:, 0], y, resampling=weighted), correlate(thrice[:, 0], again)
    assert one.spearman["value"] == pytest.approx(two.spearman["value"])
    assert one.pearson["value"] == pytest.approx(two.pearson["value"])


def test_copies_of_a_row_are_no_evidence_when_they_are_one_group():
    x, y = some()
    owner = np.repeat([f"place {i:02}" for i in range(40)], 10)  # names in the order of the rows
    once = ols(y, x, names="ab", resampling=FEW)
    copies = np.repeat(y, 10), np.repeat(x, 10, axis=0)
    told = ols(*copies, names="ab", resampling=Resampling(groups=owner, draws=200))
    alone = ols(*copies, names="ab", resampling=FEW)
    assert (told.n, told.groups) == (400, 40)
    assert told["a"].raw == pytest.approx(once["a"].raw)
    assert width(alone["a"].raw) < 0.5 * width(told["a"].raw)


def test_the_same_seed_gives_the_same_and_a_higher_level_a_wider_interval():
    x, y = some()
    assert ols(y, x, names="ab", resampling=FEW) == ols(y, x, names="ab", resampling=FEW)
    wide, other = (
        ols(y, x, names="ab", resampling=part)["a"].raw
        for part in (Resampling(draws=200, level=0.99), Resampling(draws=200, seed=1))
    )
    assert width(wide) > width(ols(y, x, names="ab", resampling=FEW)["a"].raw)
    assert other != ols(y, x, names="ab", resampling=FEW)["a"].raw


def test_a_group_that_few_draws_hold_does_not_break_the_rest():
    x, y = np.zeros(30), np.arange(30.0) % 7
    x[0] = 1  # 37 % of the draws lack this row: too many for an interval
    found = ols(y, x, names=["one"], resampling=FEW)
    assert found["one"].raw["value"] == pytest.approx(0 - y[1:].mean())
    assert found["one"].raw["lower"] is None


# -- correlation -----------------------------------------------------------------------------------


def test_correlation_worked_by_hand():
    # x - 3 = -2 -1 0 1 2 and y - 6 = -5 -2 3 -2 6: Sxy = 10 + 2 - 2 + 12 = 22, Sxx = 10, Syy = 78;
    # ranks of y are 1, 2.5, 4, 2.5, 5: Sxy = 4 + .5 - .5 + 4 = 8, Sxx = 10, Syy = 4 + .25 + 1 + .25 + 4
    x, y = np.arange(1.0, 6), np.array([1.0, 4, 9, 4, 12])
    found = correlate(x, y)
    assert found.pearson["value"] == pytest.approx(22 / (10 * 78) ** 0.5)
    assert found.spearman["value"] == pytest.approx(8 / (10 * 9.5) ** 0.5)


def test_ranks_with_ties_are_those_of_scipy_and_do_not_mind_a_curve():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 8, 60).astype(float)
    y = x + rng.integers(0, 6, 60)
    found = correlate(x, y, resampling=FEW)
    assert found.spearman["value"] == pytest.approx(spearmanr(x, y).statistic)
    assert correlate(np.exp(x), y, resampling=FEW).spearman == pytest.approx(found.spearman)
    assert correlate(y, x, resampling=FEW).pearson == pytest.approx(found.pearson)
    assert -1 <= correlate(-x, y, resampling=FEW).pearson["lower"] < 0


# -- mediation and moderation ----------------------------------------------------------------------


def test_mediation_worked_by_hand():
    # u has mean 0 and is at right angles to x, so m = 2 x + u has a = 2; y = 3 m + x has b = 3, c' = 1:
    # a b = 6, c = 7
    x, u = np.repeat([-1.0, 1], 4), np.tile([-1.0, 1], 4)
    m = 2 * x + u
    found = mediate(3 * m + x, x, m)
    assert [found.a["value"], found.b["value"], found.direct["value"]] == pytest.approx([2, 3, 1])
    assert [found.indirect["value"], found.total["value"]] == pytest.approx([6, 7])
    # var x = 1, y = 7 x + 3 u has variance 49 + 9
    assert found.standardised["value"] == pytest.approx(6 / 58**0.5)


def test_the_total_is_direct_and_indirect_whatever_is_held_fixed():
    (x, y), given = some(50), np.random.default_rng(5).normal(size=(50, 2))
    y = y + given @ (1, 2)
    for found in (mediate(y, x[:, 0], x[:, 1]), mediate(y, x[:, 0], x[:, 1], given=given)):
        assert found.total["value"] == pytest.approx(found.direct["value"] + found.indirect["value"])
        assert found.indirect["value"] == pytest.approx(found.a["value"] * found.b["value"])
    fixed = ols(y, np.column_stack([x, given]), names="abcd")
    assert found.direct == fixed["a"].raw
    assert found.b == fixed["b"].raw


def test_what_is_shared_with_income_is_no_mediation_when_income_is_held_fixed():
    rng = np.random.default_rng(7)
    income = rng.normal(size=120)
    x, m, y = (income + 0.5 * rng.normal(size=120) for _ in range(3))
    assert mediate(y, x, m, resampling=FEW).indirect["lower"] > 0
    assert holds(mediate(y, x, m, given=income, resampling=FEW).indirect, 0)


def test_moderation_worked_by_hand():
    rng = np.random.default_rng(9)
    x, w = rng.normal(5, 1, 30), rng.normal(10, 2, 30)
    found = moderate(1 + x + 2 * w + 0.5 * x * w, x, w, at=(0, 4))
    assert found.interaction["value"] == pytest.approx(0.5)
    assert [at for at, _ in found.slopes] == pytest.approx([0, 4])
    assert [one["value"] for _, one in found.slopes] == pytest.approx([1, 3])  # 1 + .5 w
    usual = moderate(1 + x + 2 * w + 0.5 * x * w, x, w)
    assert [at for at, _ in usual.slopes] == pytest.approx([w.mean() + k * w.std() for k in (-1, 0, 1)])
    assert [one["value"] for _, one in usual.slopes] == pytest.approx([1 + at / 2 for at, _ in usual.slopes])
    y = 1 + x + 2 * w + 0.5 * x * w
    assert usual.standardised["value"] == pytest.approx(0.5 * x.std() * w.std() / y.std())


# -- split point -----------------------------------------------------------------------------------


def broken(n=60, seed=0, jump=3.0):
    """A slope that is larger by ``jump`` where q is above the middle."""
    rng = np.random.default_rng(seed)
    q, x = rng.permutation(n).astype(float), rng.normal(size=n)
    return x + jump * x * (q >= n // 2) + 0.5 * rng.normal(size=n), x, q


def test_the_split_is_the_one_that_two_lines_fit_best():
    y, x, q = broken()
    found = threshold(y, x, q, names=["x"], trim=0.2, resampling=FEW)

    def left(side):
        return np.linalg.lstsq(np.column_stack([np.ones(side.sum()), x[side]]), y[side])[1][0]

    squares = {split: left(q <= split) + left(q > split) for split in range(11, 48)}  # 12 rows at least
    best = min(squares, key=squares.get)
    assert found.at["value"] == best
    assert 28 <= best <= 31  # it breaks between 29 and 30
    assert found.searched == (11, 47)
    assert found.sup_f == pytest.approx(60 * (left(q < 99) / squares[best] - 1))
    assert found.p == 1 / 201
    assert found.at["lower"] <= 29 <= found.at["upper"]
    assert found.below.n == best + 1
    assert found.above == ols(y[q > best], x[q > best], names=["x"], resampling=FEW)


def test_two_lines_that_fit_exactly_leave_one_split():
    q, x = np.arange(20.0), np.tile([0.0, 1, 3, 4], 5)
    found = threshold(np.where(q < 8, x, 5 - x), x, q, names=["x"], resampling=FEW)
    assert found.at == {"value": 7, "lower": 7, "upper": 7}
    assert found.sup_f > 1e20
    assert found.below["x"].raw["value"] == pytest.approx(1)
    assert found.above["x"].raw["value"] == pytest.approx(-1)


def test_the_bound_of_the_interval_is_that_of_the_paper():
    """7.35 times the noise at 95 %, 5.94 at 90 % (Hansen 2000, table 1); s² = 1 whatever rows weigh.

    Rows come in pairs of the same x, one 1 above and one 1 below the line.
    """
    x, q = np.repeat(np.tile([1.0, 2, 3, 4, 5], 12), 2), np.arange(120.0)
    y = np.where(q < 60, x, 1.2 * x) + np.tile([1.0, -1], 60)

    def left(side):
        return np.linalg.lstsq(np.column_stack([np.ones(side.sum()), x[side]]), y[side])[1][0]

    for level, bound in ((0.95, 7.35), (0.9, 5.94)):
        found = threshold(y, x, q, names=["x"], resampling=Resampling(draws=100, level=level))
        tried = np.arange(found.searched[0], found.searched[1] + 1)
        squares = np.array([left(q <= split) + left(q > split) for split in tried])
        near = tried[squares - squares.min() <= bound]
        assert found.at == {"value": 59, "lower": near.min(), "upper": near.max()}
        assert near.min() < 59 < near.max()


def test_p_is_small_by_chance_as_often_as_it_says_and_the_interval_holds_the_split():
    false, held = 0, 0
    for seed in range(40):
        y, x, q = broken(50, seed, jump=0)
        false += threshold(y, x, q, names=["x"], trim=0.25, resampling=FEW).p <= 0.05
        y, x, q = broken(50, seed)
        held += holds(threshold(y, x, q, names=["x"], trim=0.25, resampling=FEW).at, 24)
    assert false <= 6  # 2 are expected, more than 6 come in 1 of 300 runs
    assert held >= 34


# -- what the intervals cover ----------------------------------------------------------------------


def test_intervals_cover_what_they_say_with_30_rows():
    rng, hit = np.random.default_rng(11), np.zeros(4)
    for _ in range(100):
        x = rng.normal(size=30)
        m = 0.5 * x + rng.normal(size=30)
        y = 0.3 * x + 0.5 * m + rng.normal(size=30) * (1 + 0.5 * np.abs(x))
        slope = ols(y, np.column_stack([x, m]), names="xm", resampling=FEW)["x"].raw
        way, r = mediate(y, x, m, resampling=FEW), correlate(x, m, resampling=FEW)
        rank = 6 / np.pi * np.arcsin(0.2**0.5 / 2)  # of two normal columns with r² = .25 / 1.25
        truths = (slope, 0.3), (way.indirect, 0.25), (r.pearson, 0.2**0.5), (r.spearman, rank)
        hit += [holds(*one) for one in truths]
    print(f"of 100: slope {hit[0]:.0f}, indirect {hit[1]:.0f}, r {hit[2]:.0f}, rank r {hit[3]:.0f}")
    assert (hit >= 90).all()
    assert (hit[:3] <= 99).all()


def test_rows_of_a_place_are_one_piece_of_evidence():
    """25 places of 8 rows that share predictor and noise; in 400 runs groups held 95 %, rows 49 %."""
    rng, ours, naive = np.random.default_rng(13), 0, 0
    owner = np.repeat(np.arange(25), 8)
    for _ in range(100):
        x = rng.normal(size=25)[owner] + 0.3 * rng.normal(size=200)
        y = x + rng.normal(size=25)[owner] + 0.3 * rng.normal(size=200)
        told = ols(y, x, names=["x"], resampling=Resampling(groups=owner, draws=200))
        ours += holds(told["x"].raw, 1)
        naive += holds(ols(y, x, names=["x"], resampling=Resampling(draws=200))["x"].raw, 1)
    print(f"slope in its 95 % interval, of 100: groups {ours}, rows by themselves {naive}")
    assert ours >= 88
    assert naive <= 65


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"y": np.arange(9.0)}, "The outcome has 9 rows, another column 10: they must be alike."),
        ({"names": ["a"]}, "2 predictors have 1 names"),
        ({"y": np.full(10, 3.0)}, "Column 'outcome' is the same in all 10 rows."),
        ({"x": np.column_stack([np.arange(10), np.full(10, 7)])}, "Column 'b' is the same in all 10 rows."),
        (
            {"x": np.arange(10)[:, None] * (1.0, -2.0) + 1},
            "Of a, b one follows from the others: leave it out.",
        ),
        ({"y": np.where(np.arange(10) < 6, np.nan, np.arange(10))}, "4 of 10 rows are complete: at least 5"),
        (
            {"y": np.append(np.arange(9), -np.inf)},
            "infinite somewhere, like the logarithm of 0: leave it NaN",
        ),
        ({"resampling": Resampling(weights=-np.ones(10))}, "A weight is below 0 or missing"),
        ({"resampling": Resampling(groups=np.arange(8))}, "another column 8"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, says):
    rng = np.random.default_rng(1)
    good = {"y": rng.normal(size=10), "x": rng.normal(size=(10, 2)), "names": ["a", "b"]} | change
    with pytest.raises(JidoError, match=says):
        ols(good.pop("y"), good.pop("x"), **good)


def test_a_split_needs_rows_on_both_sides_and_draws_a_number():
    y, x, q = broken(30)
    with pytest.raises(JidoError, match=r"No value splits 30 rows so that 4\.5 are on each side"):
        threshold(y, x, (q > 3) * 1.0, names=["x"])
    with pytest.raises(JidoError, match=r"trim 0\.7, which lies between 0 and 0\.5"):
        threshold(y, x, q, names=["x"], trim=0.7)
    with pytest.raises(JidoError, match=r"draws are at least 100, not 0\.95 and 20"):
        Resampling(draws=20)
    with pytest.raises(JidoError, match="level lies between 0 and 1"):
        Resampling(level=95)
