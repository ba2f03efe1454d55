"""Ridge with nested folds, its floors, r² and R², intervals for new groups: known answers and laws."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jido.errors import FoldsError, JidoError
from jido.labels.folds import group_kfold
from jido.stats.conformal import group_conformal, highest_level
from jido.stats.regression import Resampling
from jido.stats.ridge import fit_ridge, nested_constant, nested_neighbours, nested_ridge
from jido.stats.survey import agreement, agreement_inside, mean_agreement, r_squared, squared_pearson

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/poverty_tables"


def some(n=60, p=7, *, groups=6, seed=0):
    """Features (n, p) of unlike scales, an outcome that follows three of them, groups (n,)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3, p) + rng.normal(size=p)
    y = 5 + x[:, :3] @ (1 / x[:, :3].std(axis=0)) + rng.normal(size=n)
    return x, y, np.arange(n) % groups


# -- ridge -----------------------------------------------------------------------------------------


def test_a_line_worked_by_hand():
    # x = 0 2 4: mean 2, sd sqrt(8/3); z = -a 0 a with a = sqrt(1.5); y - 5 = -3 0 3; z'z = 3, z'y = 6a.
    # alpha 3 halves the slope of least squares: 6a / (3 + 3) = a; at x = 6, z = 2a: 5 + 2a² = 8
    line = fit_ridge(np.array([[0.0], [2], [4]]), np.array([2.0, 5, 8]), alphas=[3])
    assert line.coef == pytest.approx([1.5**0.5])
    assert line.intercept == pytest.approx(5)
    assert line.predict(np.array([[6.0], [2], [np.nan]])) == pytest.approx([8, 5, np.nan], nan_ok=True)


@pytest.mark.parametrize("p", [7, 90])  # fewer columns than rows, and more
def test_nested_folds_are_those_of_scikit_learn(p):
    x, y, fold = some(p=p, groups=4)
    search = {"ridge__alpha": [0.01, 1, 10, 100]}
    ours = nested_ridge(x, y, fold, alphas=search["ridge__alpha"])
    for k in range(4):
        train = fold != k
        line = make_pipeline(StandardScaler(), TheirRidge())
        theirs = GridSearchCV(line, search, cv=LeaveOneGroupOut(), scoring="neg_mean_squared_error")
        theirs.fit(x[train], y[train], groups=fold[train])  # the three other folds, one left out at a time
        assert ours.chosen[k] == theirs.best_params_["ridge__alpha"]
        assert ours.predicted[~train] == pytest.approx(theirs.predict(x[~train]), abs=1e-9)
        assert ours.error[k] == pytest.approx(-theirs.cv_results_["mean_test_score"])  # folds of one size


def test_pairs_of_rows_are_as_good_as_labels_and_untested_rows_stay_empty():
    x, y, fold = some()
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(6)]
    by_labels = nested_ridge(x, y, np.array(list("abcdef"))[fold])
    assert nested_ridge(x, y, pairs).predicted.tolist() == by_labels.predicted.tolist()
    assert nested_ridge(x, y, pd.Series(fold)).predicted.tolist() == by_labels.predicted.tolist()
    some_folds = nested_ridge(x, y, pairs[:2])
    assert np.isnan(some_folds.predicted).tolist() == (fold > 1).tolist()
    house = group_kfold(fold, np.zeros(60), k=3, seed=0)
    assert np.isfinite(nested_ridge(x, y, house).predicted).all()


def test_inner_folds_keep_groups_whole():
    """Each place has its own features and level: with rows apart the smallest penalty looks best."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(60), 3)
    x = np.repeat(rng.normal(size=(60, 60)), 3, axis=0) + 0.01 * rng.normal(size=(180, 60))
    y = np.repeat(rng.normal(size=60), 3) + 0.1 * rng.normal(size=180)
    kept = nested_ridge(x, y, places % 3, groups=places)
    apart = nested_ridge(x, y, places % 3, groups=np.arange(180))
    assert (kept.chosen >= 1000).all()
    assert (apart.chosen <= 10).all()
    assert np.mean((kept.predicted - y) ** 2) < 0.8 * np.mean((apart.predicted - y) ** 2)


def test_nothing_of_the_test_part_is_used():
    x, y, fold = some()
    before = nested_ridge(x, y, fold)
    x[fold == 2], y[fold == 2] = x[fold == 2] * 1000, -7
    after = nested_ridge(x, y, fold)
    assert after.chosen[2] == before.chosen[2]
    assert after.error[2].tolist() == before.error[2].tolist()
    line = fit_ridge(x[fold != 2], y[fold != 2], alphas=[before.chosen[2]])
    assert after.predicted[fold == 2] == pytest.approx(line.predict(x[fold == 2]))


def test_units_and_columns_that_do_not_vary_change_nothing():
    x, y, fold = some()
    still = np.column_stack([x * 1000 - 3, np.full(60, 0.1), np.zeros(60)])
    before, after = nested_ridge(x, y, fold), nested_ridge(still, y, fold)
    assert after.predicted == pytest.approx(before.predicted)
    still[fold == 0, 7:] = 5  # what has never varied in training teaches nothing when it does
    assert nested_ridge(still, y, fold).predicted[fold == 0] == pytest.approx(before.predicted[fold == 0])
    line = fit_ridge(np.zeros((10, 2)), np.arange(10.0), alphas=[1])
    assert (line.coef.tolist(), line.sd.tolist()) == ([0, 0], [1, 1])
    assert line.predict(np.ones((1, 2))) == pytest.approx([4.5])


def test_penalties_grow_with_noise_and_the_end_of_the_range_is_told():
    rng = np.random.default_rng(1)
    x, fold = rng.normal(size=(100, 20)), np.arange(100) % 5
    clear = nested_ridge(x, x @ np.ones(20), fold)
    noise = nested_ridge(x, rng.normal(size=100), fold)
    assert (clear.chosen == 0.01).all()
    assert noise.chosen.min() >= 100
    assert clear.at_edge
    assert not nested_ridge(x, x @ np.ones(20) + 4 * rng.normal(size=100), fold).at_edge
    assert not nested_ridge(x, x[:, 0], fold, alphas=[1]).at_edge  # no choice, no edge
    assert fit_ridge(x, x @ np.ones(20)).alpha == 0.01


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": [3, 4]}, "2 of 60 rows lack a number, row 3 first: leave them out"),
        ({"y": np.ones(59)}, r"Features of shape \(60, 7\) and an outcome of shape \(59,\)"),
        ({"alphas": [0.0, 1]}, r"Penalties are 1e-06 at least, not \[0.0, 1\]"),
        ({"alphas": []}, "Penalties are"),
        ({"groups": np.ones(3)}, "The outcome has 60 rows, the groups 3"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, says):
    x, y, fold = some()
    if "x" in change:
        x[change.pop("x"), 0] = np.nan
    given = {"x": x, "y": y, "folds": fold, **change}
    with pytest.raises(JidoError, match=says):
        nested_ridge(given.pop("x"), given.pop("y"), given.pop("folds"), **given)


@pytest.mark.parametrize(
    ("folds", "says"),
    [
        (np.arange(59), r"The outcome has 60 rows, the folds have shape \(59,\)"),
        ([], "There is no fold"),
        (
            [(np.arange(30), np.arange(30, 60)), (np.arange(20), np.arange(59, 60))],
            "Row 59 of 60 is tested 2",
        ),
        ([(np.arange(30), np.arange(29, 60))], "Fold 0 has no training row, or tests one of them"),
        (np.zeros(60), "Fold 0 has no training row"),
        (np.arange(60) % 2, "1 groups of training rows in 5 inner folds leave nothing to choose among 8"),
    ],
)
def test_folds_that_cannot_be_used_are_refused(folds, says):
    x, y, _ = some()
    with pytest.raises(FoldsError, match=says):
        nested_ridge(x, y, folds)


def test_a_line_of_other_features_is_refused():
    with pytest.raises(JidoError, match=r"The line has 7 features, not an array of shape \(2, 6\)"):
        fit_ridge(*some()[:2], alphas=[1]).predict(np.ones((2, 6)))


# -- floors ----------------------------------------------------------------------------------------


def test_neighbours_worked_by_hand():
    # of 5: 4 and 7 are nearest, then 0; the two rows at 4 share (1 + 3) / 2. k = 1: 2; k = 2: both at 4;
    # k = 3: (2 + 2 + 9) / 3; k = 9: all four rows that there are
    number, y = np.array([4.0, 0, 7, 4, 5]), np.array([1.0, 5, 9, 3, np.pi])
    folds = [(np.arange(4), np.array([4]))]
    for k, mean in ((1, 2), (2, 2), (3, 13 / 3), (9, 4.5)):
        assert nested_neighbours(number, y, folds, neighbours=[k]).predicted[4] == pytest.approx(mean)


def test_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    number, y, fold = rng.normal(size=300), rng.normal(size=300), np.arange(300) % 4
    found = nested_neighbours(number, y, fold, neighbours=[1, 5, 30])
    for k in range(4):
        train = fold != k
        theirs = KNeighborsRegressor(int(found.chosen[k])).fit(number[train, None], y[train])
        assert found.predicted[~train] == pytest.approx(theirs.predict(number[~train, None]))


def test_the_number_of_neighbours_is_chosen_inside_and_kinds_keep_apart():
    rng = np.random.default_rng(0)
    kind = np.repeat(["old", "new"], 200)
    light = rng.uniform(size=400)
    y = light + 0.3 * rng.normal(size=400)
    seen = np.where(kind == "old", 100 * (1 - light), light)  # other units, the other way round
    fold = np.arange(400) % 5
    apart = nested_neighbours(seen, y, fold, kinds=kind)
    assert 8 <= apart.chosen.min() <= apart.chosen.max() <= 64
    for one in ("old", "new"):
        alone = nested_neighbours(seen[kind == one], y[kind == one], fold[kind == one], neighbours=[16])
        both = nested_neighbours(seen, y, fold, kinds=kind, neighbours=[16])
        assert both.predicted[kind == one] == pytest.approx(alone.predicted)
    stranger = np.append(kind, "third"), np.append(seen, 0.5), np.append(y, 0.0)
    folds = [(np.arange(400), np.array([400]))]
    found = nested_neighbours(stranger[1], stranger[2], folds, kinds=stranger[0], neighbours=[1])
    assert found.predicted[400] == pytest.approx(y.mean())


def test_places_without_any_light_all_get_their_mean():
    y, fold = np.arange(20.0), np.arange(20) % 4
    dark, constant = nested_neighbours(np.zeros(20), y, fold), nested_constant(y, fold)
    assert dark.predicted == pytest.approx(constant.predicted)
    assert constant.predicted[0] == pytest.approx((190 - 40) / 15)  # 0 + 4 + 8 + 12 + 16 = 40 are tested


def test_a_constant_correlates_with_the_wrong_sign():
    # two groups: each gets the mean of the other
    y, fold = np.array([0.0, 2, 10, 12]), np.array([0, 0, 1, 1])
    found = nested_constant(y, fold).predicted
    assert found.tolist() == [11, 11, 1, 1]
    assert squared_pearson(y, found) == pytest.approx(25 / 26)  # spreads 5² and 5² + 1²
    assert agreement(y, found).pearson["value"] == pytest.approx(-((25 / 26) ** 0.5))
    assert r_squared(y, found) < 0


def test_floors_that_cannot_be_used_are_refused():
    with pytest.raises(JidoError, match=r"Numbers of neighbours are at least 1, not \[0\]"):
        nested_neighbours(np.ones(4), np.ones(4), np.arange(4), neighbours=[0])
    with pytest.raises(JidoError, match="The outcome has 4 rows, the kinds 3"):
        nested_neighbours(np.ones(4), np.ones(4), np.arange(4), kinds=np.ones(3))
    with pytest.raises(JidoError, match="1 of 4 rows lack a number"):
        nested_constant(np.array([1, 2, np.nan, 4]), np.arange(4))


# -- figures ---------------------------------------------------------------------------------------


def test_both_figures_worked_by_hand():
    # y - 2.5 = -1.5 -.5 .5 1.5, p - 3 = -2 0 -1 3: Syp = 3 - .5 + 4.5 = 7, Syy = 5, Spp = 14: r² = .7;
    # errors 0 1 -1 2: R² = 1 - 6 / 5
    y, p = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 6])
    assert squared_pearson(y, p) == pytest.approx(0.7)
    assert r_squared(y, p) == pytest.approx(-0.2)


def test_what_each_figure_forgives():
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    p = y + rng.normal(size=50)
    r2, R2 = squared_pearson(y, p), r_squared(y, p)
    assert squared_pearson(y, 1e6 - 2 * p) == pytest.approx(r2)
    assert r_squared(y, 1e6 - 2 * p) < -1e6
    assert (squared_pearson(y, y), r_squared(y, y)) == (pytest.approx(1), pytest.approx(1))
    assert r_squared(y, np.full(50, y.mean())) == pytest.approx(0)
    assert r2 > R2  # no prediction explains more than the best line through it
    assert squared_pearson(y + 1e8, p + 1e8) == pytest.approx(r2, abs=1e-6)


def test_whole_weights_are_that_many_rows_and_gaps_are_left_out():
    rng = np.random.default_rng(0)
    y, p, times = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 4, 30)
    for figure in (squared_pearson, r_squared):
        assert figure(y, p, weights=times) == pytest.approx(figure(np.repeat(y, times), np.repeat(p, times)))
        gap = np.append(y, [np.nan, 3]), np.append(p, [1, np.nan])
        assert figure(*gap) == pytest.approx(figure(y, p))
    assert agreement(*gap).n == 30


@pytest.mark.parametrize(("y", "p", "R2"), [(0.1, 0.3, None), (None, 0.1, 0.0), (0.1, None, None)])
def test_without_spread_there_is_no_correlation(y, p, R2):
    rows = np.arange(9.0)
    y, p = (rows if one is None else np.full(9, one) for one in (y, p))
    p = p + (y.mean() - p.mean() if R2 == 0 else 0)
    assert np.isnan(squared_pearson(y, p))
    found = agreement(y, p, resampling=Resampling(draws=100))
    assert found.squared_pearson == {"value": None, "lower": None, "upper": None}
    assert found.r_squared["value"] == (None if R2 is None else pytest.approx(R2))


def test_inside_parts_less_is_explained_than_over_all():
    """Town or country decides; inside either of them the prediction knows nothing."""
    rng = np.random.default_rng(0)
    urban = np.arange(400) % 2 == 0
    y, p = (4 * urban + rng.normal(size=400) for _ in range(2))
    whole = agreement(y, p)
    parts = agreement_inside(y, p, urban)
    assert whole.squared_pearson["value"] == pytest.approx(0.64, abs=0.05)  # (4 / (4 + 1))²
    assert list(parts) == ["False", "True"]
    for part, here in zip(parts.values(), (~urban, urban), strict=True):
        assert part.squared_pearson["value"] < 0.05
        assert part.r_squared["value"] == pytest.approx(r_squared(y[here], p[here]))
        assert (part.n, part.groups) == (200, 200)
    mean = mean_agreement(y, p, resampling=Resampling(groups=urban))
    both = [part.squared_pearson["value"] for part in parts.values()]
    assert mean.squared_pearson["value"] == pytest.approx(np.mean(both))
    assert mean.squared_pearson["lower"] is None  # two groups


def test_groups_are_redrawn_whole_and_small_ones_have_no_figure():
    rng = np.random.default_rng(0)
    level, group = 2 * rng.normal(size=12), np.repeat(np.arange(12), 50)
    y, p = level[group] + 0.1 * rng.normal(size=600), np.repeat(level + rng.normal(size=12), 50)
    rows, groups = (agreement(y, p, resampling=one) for one in (Resampling(), Resampling(groups=group)))
    width = [one.squared_pearson["upper"] - one.squared_pearson["lower"] for one in (rows, groups)]
    assert width[1] > 3 * width[0]
    assert (rows.groups, groups.groups) == (600, 12)
    p = y + rng.normal(size=600)
    p[group == 0] = 7  # no spread
    y[52:100] = np.nan  # two rows of group 1 are left
    own = [squared_pearson(y[group == k], p[group == k]) for k in range(2, 12)]
    mean = mean_agreement(y, p, resampling=Resampling(groups=group))
    assert mean.squared_pearson["value"] == pytest.approx(np.mean(own))
    assert mean.groups == 11  # group 0 has R² alone
    assert mean.squared_pearson["lower"] < np.mean(own) < mean.squared_pearson["upper"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": -np.ones(5)}, "A weight is below 0 or missing"),
        ({"weights": np.ones(4)}, "The outcome has 5 rows, another column 4"),
        ({"weights": np.zeros(5)}, "None of 5 rows has outcome, prediction and weight"),
        ({"groups": np.ones(6)}, "The outcome has 5 rows, another column 6"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, says):
    with pytest.raises(JidoError, match=says):
        agreement(np.arange(5.0), np.arange(5.0), resampling=Resampling(**change))
    with pytest.raises(JidoError, match="The outcome has 5 rows, the parts 2"):
        agreement_inside(np.arange(5.0), np.arange(5.0), np.ones(2))


# -- intervals for new groups ----------------------------------------------------------------------


def test_half_widths_worked_by_hand():
    # 3 groups weigh 1/4 each: A (1, 3) 1/8 a row, B (-2) 1/4, C (4, 4, 5, 9) 1/16 a row. In order:
    # 1 to 1/8, 2 to 3/8, 3 to 1/2, 4 to 5/8, 5 to 11/16, 9 to 3/4
    residuals = np.array([3, -1, -2, 4, -4, 9, 5.0, np.nan])
    groups = np.array(["A", "A", "B", "C", "C", "C", "C", "D"])  # D has no residual: it is no group
    for level, half in ((0.1, 1), (1 / 8, 1), (0.2, 2), (0.5, 3), (0.51, 4), (0.65, 5), (0.75, 9)):
        assert group_conformal(residuals, groups, level=level) == half


def test_rows_that_are_their_own_group_give_the_split_conformal_quantile():
    sizes = np.random.default_rng(0).normal(size=99)
    rank = int(np.ceil(0.9 * 100))  # of n + 1
    assert group_conformal(sizes, np.arange(99), level=0.9) == np.sort(np.abs(sizes))[rank - 1]


def test_a_country_counts_once_however_large_it_is():
    residuals, groups = np.array([1.0, 2, 3, 4]), np.array(list("ABCD"))
    times = np.array([1, 1, 500, 1])
    for level in (0.2, 0.5, 0.8):
        once = group_conformal(residuals, groups, level=level)
        assert group_conformal(np.repeat(residuals, times), np.repeat(groups, times), level=level) == once


def test_few_groups_cannot_promise_much():
    assert highest_level(9) == pytest.approx(0.9)
    nine = np.arange(1, 10.0)
    assert group_conformal(nine, np.arange(9), level=0.9) == 9  # just about
    with pytest.raises(
        JidoError, match=r"9 groups promise 0.900 .* not 0.95: ask for less, or give 19 groups"
    ):
        group_conformal(nine, np.arange(9), level=0.95)
    with pytest.raises(JidoError, match=r"0 groups promise 0\.000"):
        group_conformal(np.full(3, np.nan), np.arange(3), level=0.5)
    with pytest.raises(JidoError, match="The level is a share between 0 and 1, not 1"):
        group_conformal(nine, np.arange(9), level=1)
    with pytest.raises(JidoError, match=r"There are \(9,\) residuals and \(8,\) groups"):
        group_conformal(nine, np.arange(8), level=0.5)


def test_coverage_of_new_countries():
    """Countries have an effect that their rows share; 14 of very unlike sizes are known, level .8.

    ``rows`` takes the quantile of all residuals; ``in country`` that of a random split, whose model has
    learned the effects of the very countries that it is judged on, as it cannot of a new one.
    """
    rng, level, known = np.random.default_rng(0), 0.8, 14
    held = {"countries": [], "rows": [], "in country": []}
    for _ in range(3000):
        sizes = np.ceil(np.exp(rng.normal(3, 1.5, known))).astype(int)
        spread = np.exp(rng.normal(size=known + 1))  # some countries are much less like the rest
        effect = spread * rng.normal(size=known + 1)
        owner = np.repeat(np.arange(known), sizes)
        noise = 0.5 * rng.normal(size=len(owner))
        new = effect[known] + 0.5 * rng.normal(size=100)
        halves = {
            "countries": group_conformal(effect[owner] + noise, owner, level=level),
            "rows": np.quantile(np.abs(effect[owner] + noise), level),
            "in country": np.quantile(np.abs(noise), level),
        }
        for name, half in halves.items():
            held[name].append((np.abs(new) <= half).mean())
    mean = {name: float(np.mean(shares)) for name, shares in held.items()}
    for name, shares in held.items():
        print(f"{name}: mean {mean[name]:.3f}, sd over countries {np.std(shares):.3f}")
    assert level <= mean["countries"] <= level + 1 / (known + 1) + 0.02
    assert mean["rows"] < level - 0.03
    assert mean["in country"] < level - 0.3
    assert np.std(held["countries"]) > 0.2  # the promise is a mean: single countries fall far below


# -- real surveys ----------------------------------------------------------------------------------

real = pytest.mark.skipif(not DATA.exists(), reason="poverty_tables is not at ../shared/data")


@real
def test_published_figures_are_reproduced():
    """Reference figures are stated with the data; joined on place and year the folds agree with the lists."""
    table = pd.read_csv(DATA / "dhs_model_predictions_15.csv.gz")
    y, country, urban = (table[name].to_numpy() for name in ("label", "country", "urban"))
    aims = {"inc_knn_nl_mean_scalar": 0.686, "inc_resnet18_ms": 0.688, "inc_resnet18_nl": 0.695,
            "inc_resnet18_ms_nl_concat": 0.717, "ooc_knn_nl_mean_scalar": 0.680, "ooc_resnet18_ms": 0.628,
            "ooc_resnet18_nl": 0.685, "ooc_resnet18_ms_nl_concat": 0.683}  # fmt: skip
    for name, aim in aims.items():
        assert squared_pearson(y, table[name].to_numpy()) == pytest.approx(aim, abs=0.003)
    both = table["inc_resnet18_ms_nl_concat"].to_numpy()
    parts = agreement_inside(y, both, urban, resampling=Resampling(groups=country, draws=200))
    assert parts["False"].squared_pearson["value"] == pytest.approx(0.40, abs=0.005)
    assert parts["True"].squared_pearson["value"] == pytest.approx(0.52, abs=0.005)
    keys = ["country", "year", "lat", "lon"]
    clusters = pd.read_csv(DATA / "dhs_clusters.csv.gz").assign(row=range(19669))
    single = {"lat": "float32", "lon": "float32"}  # as the published predictions hold them
    sides = (one.astype(single) for one in (table, clusters))
    joined = pd.merge(*sides, on=keys, validate="1:1")
    assert len(joined) == len(table)
    folds = np.load(DATA / "dhs_incountry_folds.npz")
    tested = {letter: joined["row"].isin(folds[f"{letter}_test"]) for letter in "ABCDE"}
    assert all((joined.loc[rows, "fold_y"] == letter).all() for letter, rows in tested.items())


@real
def test_intervals_hold_in_countries_that_are_held_out():
    table = pd.read_csv(DATA / "dhs_model_predictions_15.csv.gz")
    error, country = (table["label"] - table["ooc_resnet18_nl"]).to_numpy(), table["country"].to_numpy()
    for level in (0.5, 0.8, 0.9):
        held = []
        for one in np.unique(country):
            rest = country != one
            half = group_conformal(error[rest], country[rest], level=level)
            held.append((np.abs(error[~rest]) <= half).mean())
        assert level <= np.mean(held) <= level + 0.1
    with pytest.raises(JidoError, match=r"15 groups promise 0\.938"):
        group_conformal(error, country, level=0.95)


@real
def test_the_experiment_runs_from_start_to_end(tmp_path):
    command = [sys.executable, ROOT / "experiments/poverty_tables.py", "--preset", "smoke", "--json"]
    command += ["--data", DATA, "--out", tmp_path]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    claims = {row["figure"]: row for row in found["claims"]}
    assert claims["Rwanda, r of mean night light and wealth"]["reached"] == "yes"
    assert claims["Jean et al. 2016, r² of assets, 5 countries"]["note"].startswith("not confirmed")
    runs = {row["run"]: row for row in found["runs"]}
    for name in ("k-NN on nl_mean by sensor", "constant"):
        assert runs[f"{name}, out of country, ours"]["r² urban"]["value"] is not None
    assert {row["level"] for row in found["intervals"]} == {0.5, 0.8, 0.9}
    assert {path.name for path in (tmp_path / "smoke").iterdir()} == {"tables.json", "poverty_tables.png"}
