"""Figures against scikit-learn and by hand; intervals against the laws that they must obey."""

import numpy as np
import pytest
from sklearn import metrics

from jido.labels import ClassScheme, LandClass, lcz_scheme
from jido.stats import (
    accept_threshold,
    calibration,
    cluster_bootstrap,
    confusion,
    confusion_by_group,
    f1_macro,
    f1_per_class,
    figure,
    kappa,
    mcc,
    oa_built,
    oa_built_natural,
    oa_weighted,
    overall_accuracy,
    per_class,
    producers_accuracy,
    reliability,
    summary,
    users_accuracy,
)

RNG = np.random.default_rng(0)
K = 5
TRUTH = RNG.integers(0, K, 400)
PREDICTION = np.where(RNG.random(400) < 0.7, TRUTH, RNG.integers(0, K, 400))
CM = confusion(TRUTH, PREDICTION, K)
BY_HAND = np.array([[8, 2, 0], [1, 6, 1], [0, 1, 1]])  # 20 samples, 15 right

LCZ = lcz_scheme()
TWO = ClassScheme("two", (LandClass(1, "1", "one", "#000000"), LandClass(2, "2", "two", "#FFFFFF")))


def polygons(share_right, size):
    """One matrix of TWO per polygon: the truth is the first class, a share of the pixels is right."""
    right = np.round(np.asarray(share_right) * size).astype(np.int64)
    matrices = np.zeros((len(right), 2, 2), dtype=np.int64)
    matrices[:, 0, 0], matrices[:, 0, 1] = right, size - right
    return matrices


def lcz_polygons(n, seed):
    """Matrices of ``n`` LCZ polygons of 20 pixels, each with its own share of wrong ones."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(n) % 17, 20)
    wrong = rng.random(len(truth)) < np.repeat(rng.beta(0.6, 1.4, n), 20)
    prediction = np.where(wrong, rng.integers(0, 17, len(truth)), truth)
    return confusion_by_group(truth, prediction, np.repeat(np.arange(n), 20), 17)


# --- matrices -------------------------------------------------------------------------------------


def test_confusion_has_truth_in_rows_as_scikit_learn():
    np.testing.assert_array_equal(CM, metrics.confusion_matrix(TRUTH, PREDICTION))
    np.testing.assert_array_equal(confusion(np.array([[0, 0]]), np.array([[1, 1]]), 2), [[0, 2], [0, 0]])


def test_pairs_without_a_class_are_left_out():
    cm = confusion(np.array([0, -1, 1, 1]), np.array([0, 1, -1, 0]), 2)
    np.testing.assert_array_equal(cm, [[1, 0], [1, 0]])
    assert confusion(np.array([-1]), np.array([0]), 2).sum() == 0


@pytest.mark.parametrize("names", [np.arange(400) % 7, np.char.add("p", (np.arange(400) % 7).astype(str))])
def test_matrices_of_groups_are_those_of_their_samples_and_add_up(names):
    matrices = confusion_by_group(TRUTH, PREDICTION, names, K)
    assert matrices.shape == (7, K, K)
    np.testing.assert_array_equal(matrices.sum(0), CM)
    third = names == np.unique(names)[2]
    np.testing.assert_array_equal(matrices[2], confusion(TRUTH[third], PREDICTION[third], K))


def test_a_group_without_a_valid_pair_has_an_empty_matrix():
    matrices = confusion_by_group(np.array([0, -1]), np.array([0, 0]), np.array([3, 8]), 2)
    np.testing.assert_array_equal(matrices, [[[1, 0], [0, 0]], [[0, 0], [0, 0]]])


# --- figures --------------------------------------------------------------------------------------


def test_figures_are_those_of_scikit_learn():
    assert overall_accuracy(CM) == pytest.approx(metrics.accuracy_score(TRUTH, PREDICTION))
    assert kappa(CM) == pytest.approx(metrics.cohen_kappa_score(TRUTH, PREDICTION))
    assert f1_macro(CM) == pytest.approx(metrics.f1_score(TRUTH, PREDICTION, average="macro"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(TRUTH, PREDICTION)
    np.testing.assert_allclose(users_accuracy(CM), precision)
    np.testing.assert_allclose(producers_accuracy(CM), recall)
    np.testing.assert_allclose(f1_per_class(CM), f1)
    np.testing.assert_array_equal(CM.sum(1), support)


def test_figures_by_hand():
    assert overall_accuracy(BY_HAND) == 15 / 20
    chance = (10 * 9 + 8 * 9 + 2 * 2) / 400  # rows by columns
    assert kappa(BY_HAND) == pytest.approx((15 / 20 - chance) / (1 - chance))
    np.testing.assert_allclose(producers_accuracy(BY_HAND), [8 / 10, 6 / 8, 1 / 2])
    np.testing.assert_allclose(users_accuracy(BY_HAND), [8 / 9, 6 / 9, 1 / 2])
    np.testing.assert_allclose(f1_per_class(BY_HAND), [16 / 19, 12 / 17, 2 / 4])
    assert f1_macro(BY_HAND) == pytest.approx((16 / 19 + 12 / 17 + 2 / 4) / 3)
    built = np.array([True, True, False])
    assert oa_built(BY_HAND, built) == pytest.approx(14 / 17)
    assert oa_built_natural(BY_HAND, built) == pytest.approx(18 / 20)
    half = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    assert oa_weighted(BY_HAND, half) == pytest.approx((15 + 0.5 * 3) / 20)


def test_weights_bound_the_weighted_accuracy():
    assert oa_weighted(CM, np.eye(K)) == pytest.approx(overall_accuracy(CM))
    assert oa_weighted(CM, np.ones((K, K))) == 1
    lcz = lcz_polygons(30, seed=0).sum(0)
    assert overall_accuracy(lcz) < oa_weighted(lcz, LCZ.weights) < 1


@pytest.mark.parametrize("built", [np.ones(K, dtype=bool), np.zeros(K, dtype=bool)])
def test_one_block_only(built):
    assert oa_built_natural(CM, built) == 1
    oa_u = oa_built(CM, built)
    assert oa_u == overall_accuracy(CM) if built.all() else np.isnan(oa_u)


def test_leading_axes_are_kept():
    matrices = lcz_polygons(12, seed=1)
    together = summary(matrices.reshape(3, 4, 17, 17), LCZ)
    for name, value in together.items():
        assert value.shape == (3, 4)
        each = [summary(matrix, LCZ)[name] for matrix in matrices]
        np.testing.assert_allclose(value.ravel(), each)


@pytest.mark.filterwarnings("error")
def test_what_is_not_defined_is_nan():
    empty = np.zeros((17, 17), dtype=np.int64)
    assert all(np.isnan(value) for value in summary(empty, LCZ).values())
    one = empty.copy()
    one[0, 0] = 9  # kappa of a single class: agreement by chance is complete
    found = summary(one, LCZ)
    assert np.isnan(found["kappa"])
    assert found["oa"] == found["f1_macro"] == found["oa_u"] == 1
    nature = empty.copy()
    nature[12, 13] = 4
    assert np.isnan(summary(nature, LCZ)["oa_u"])
    assert summary(nature, LCZ)["oa_bu"] == 1


def test_macro_f1_counts_the_classes_that_occur():
    cm = np.zeros((4, 4), dtype=np.int64)
    cm[0, 0], cm[0, 1] = 6, 2  # class 1 is predicted only, classes 2 and 3 occur nowhere
    np.testing.assert_allclose(f1_per_class(cm), [12 / 14, 0, np.nan, np.nan])
    assert f1_macro(cm) == pytest.approx((12 / 14) / 2)


def test_a_scheme_without_built_classes_and_weights_has_no_figures_of_them():
    assert list(summary(polygons([0.5], 10)[0], TWO)) == ["oa", "kappa", "f1_macro", "mcc"]
    assert list(summary(np.eye(17), LCZ)) == ["oa", "kappa", "f1_macro", "mcc", "oa_u", "oa_bu", "oa_w"]


@pytest.mark.parametrize("cm", [CM, BY_HAND, np.array([[5, 0], [5, 0]]), np.array([[0, 3], [4, 0]])])
def test_mcc_is_that_of_scikit_learn(cm):
    truth, said = (np.repeat(places.ravel(), cm.ravel()) for places in np.indices(cm.shape))
    found = mcc(cm)
    assert np.nan_to_num(found) == pytest.approx(metrics.matthews_corrcoef(truth, said))
    assert np.isnan(found) == (len(np.unique(said)) == 1)
    assert mcc(cm.astype(np.int64) * 10**9) == pytest.approx(found, nan_ok=True)


def test_reliability_by_hand():
    confidence, right = np.array([0.05, 0.55, 0.58, 0.95, 1.0]), np.array([0, 1, 0, 1, 1], bool)
    rows = reliability(confidence, right, bins=10)
    assert [(row["lower"], row["n"], row["accuracy"]) for row in rows] == [
        (0, 1, 0),
        (0.5, 2, 0.5),
        (0.9, 2, 1),
    ]
    assert rows[1]["confidence"] == pytest.approx(0.565)


def test_calibration_by_hand():
    said = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    found = calibration(said, np.array([0, 1, 1]), bins=10)
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.2) / 3)
    assert found["brier"] == pytest.approx((0.02 + 0.72 + 0.08) / 3)
    assert (found["right"], found["wrong"]) == pytest.approx((0.85, 0.6))
    assert found["gap"] == pytest.approx(0.25)
    assert calibration(said, np.array([0, 0, 1]))["gap"] is None
    perfect = calibration(np.eye(3), np.arange(3))
    assert (perfect["ece"], perfect["brier"]) == (0, 0)


def test_rows_per_class():
    first, second = per_class(np.array([[[3, 1], [0, 0]]]), TWO)
    assert (first["class"], first["name"], first["truth"], first["predicted"]) == ("1", "one", 4, 3)
    names = ("producers_accuracy", "users_accuracy", "f1")
    assert [first[name]["value"] for name in names] == [0.75, 1, pytest.approx(6 / 7)]
    assert [second[name]["value"] for name in names] == [None, 0, 0]
    assert all(row[name]["lower"] is row[name]["upper"] is None for row in (first, second) for name in names)


def test_figures_per_class_carry_intervals_over_groups():
    matrices = lcz_polygons(240, seed=3)
    for row in per_class(matrices, LCZ):
        for name in ("producers_accuracy", "users_accuracy", "f1"):
            f = row[name]
            if f["lower"] is not None:
                assert 0 <= f["lower"] < f["value"] < f["upper"] <= 1
    claimed = [row["f1"]["lower"] is not None for row in per_class(matrices, LCZ)]
    assert any(claimed)
    assert not any(row["f1"]["lower"] for row in per_class(matrices, LCZ, level=None))


# --- intervals ------------------------------------------------------------------------------------


def test_value_is_that_of_all_groups_together_and_lies_inside():
    matrices = lcz_polygons(40, seed=2)
    point = summary(matrices.sum(0), LCZ)
    found = cluster_bootstrap(matrices, LCZ)
    assert found.keys() == point.keys()
    for name, f in found.items():
        assert f["value"] == pytest.approx(float(point[name]))
        assert f["lower"] < f["value"] < f["upper"]


def test_polygons_of_one_size_have_the_t_interval_of_their_mean():
    share = np.round(np.random.default_rng(3).uniform(0.2, 0.8, 12), 2)
    found = cluster_bootstrap(polygons(share, 100), TWO, draws=20_000)["oa"]
    half = 2.201 * share.std(ddof=1) / np.sqrt(12)  # t with 11 degrees of freedom
    assert found["lower"] == pytest.approx(share.mean() - half, abs=0.02 * half)
    assert found["upper"] == pytest.approx(share.mean() + half, abs=0.02 * half)


def test_the_t_interval_covers_the_mean_of_few_skewed_groups():
    rng = np.random.default_rng(4)
    held = [
        f["lower"] <= 0.7 <= f["upper"]
        for f in (
            cluster_bootstrap(polygons(rng.beta(1.4, 0.6, 20), 50), TWO, draws=300)["oa"] for _ in range(400)
        )
    ]
    assert 0.90 <= np.mean(held) <= 0.98


def test_same_seed_same_interval():
    matrices = lcz_polygons(20, seed=5)
    assert cluster_bootstrap(matrices, LCZ, seed=1) == cluster_bootstrap(matrices, LCZ, seed=1)
    assert cluster_bootstrap(matrices, LCZ, seed=1) != cluster_bootstrap(matrices, LCZ, seed=2)


def test_more_confidence_is_wider():
    matrices = lcz_polygons(20, seed=6)
    at_80, at_99 = (cluster_bootstrap(matrices, LCZ, level=level)["oa"] for level in (0.8, 0.99))
    assert at_99["lower"] < at_80["lower"] < at_80["upper"] < at_99["upper"]


def test_pixels_of_a_polygon_are_one_piece_of_evidence():
    share = np.tile([0.0, 1.0, 1.0], 10)  # polygons right or wrong as a whole
    small, large = (cluster_bootstrap(polygons(share, size), TWO)["oa"] for size in (10, 1000))
    assert small == large
    for size, found in ((10, small), (1000, large)):
        pixels = 2 * 1.96 * np.sqrt(2 / 3 * 1 / 3 / (30 * size))
        assert found["upper"] - found["lower"] > 3 * pixels


def test_independent_pixels_have_the_binomial_interval():
    right = np.random.default_rng(7).binomial(50, 0.7, 60)
    found = cluster_bootstrap(polygons(right / 50, 50), TWO)["oa"]
    binomial = 2 * 1.96 * np.sqrt(found["value"] * (1 - found["value"]) / 3000)
    assert found["upper"] - found["lower"] == pytest.approx(binomial, rel=0.25)


def test_one_polygon_that_dominates_makes_the_interval_wide():
    share = np.array([0.0] + [0.9] * 20)
    even = polygons(share, 50)
    uneven = np.concatenate([polygons(share[:1], 1000), even[1:]])  # half of all pixels
    widths = [f["upper"] - f["lower"] for f in (cluster_bootstrap(m, TWO)["oa"] for m in (even, uneven))]
    assert widths[1] > 2 * widths[0]
    assert widths[1] > 0.5


@pytest.mark.parametrize("right", [1.0, 0.5, 0.0])
def test_polygons_without_spread_claim_no_interval(right):
    found = cluster_bootstrap(polygons(np.full(20, right), 10), TWO)["oa"]
    assert found == {"value": right, "lower": None, "upper": None}


def test_all_right_claims_no_interval_for_any_figure():
    cm = np.array([np.diag(row) for row in np.eye(17, dtype=np.int64) * 7])
    for f in cluster_bootstrap(np.concatenate([cm, cm]), LCZ).values():
        assert f == {"value": 1, "lower": None, "upper": None}


def test_one_wrong_polygon_gives_an_interval_up_to_1():
    found = cluster_bootstrap(polygons([0.5] + [1.0] * 19, 10), TWO)["oa"]
    assert found["value"] == 0.975
    assert 0.9 < found["lower"] < 0.95
    assert found["upper"] == 1


@pytest.mark.parametrize("n", [5, 6])
def test_bounds_stay_where_the_figure_is_legal(n):
    matrices = lcz_polygons(n, seed=8)
    for name, f in cluster_bootstrap(matrices, LCZ, level=0.999).items():
        if f["lower"] is not None:
            assert (-1 if name in ("kappa", "mcc") else 0) <= f["lower"] <= f["value"] <= f["upper"] <= 1
    against = np.array([[[0, 9], [0, 0]], [[0, 0], [9, 0]]] * 4)  # kappa of -1 is legal
    against[0] = [[5, 4], [0, 0]]
    assert -1 <= cluster_bootstrap(against, TWO)["kappa"]["lower"] < -0.8


@pytest.mark.parametrize("n", [1, 4])
def test_fewer_than_five_groups_claim_no_interval(n):
    matrices = lcz_polygons(n, seed=9)
    for f in cluster_bootstrap(matrices, LCZ).values():
        assert f["lower"] is f["upper"] is None
    assert cluster_bootstrap(matrices, LCZ)["oa"]["value"] is not None


@pytest.mark.filterwarnings("error")
def test_a_figure_that_is_not_defined_has_no_value_and_no_interval():
    nature = np.zeros((10, 17, 17), dtype=np.int64)
    nature[:, 12, 12], nature[:, 12, 13] = 5, np.arange(10)
    found = cluster_bootstrap(nature, LCZ)
    assert found["oa_u"] == {"value": None, "lower": None, "upper": None}
    assert found["oa"]["lower"] is not None


def test_a_figure_of_two_polygons_in_thirty_claims_no_interval():
    matrices = np.zeros((30, 17, 17), dtype=np.int64)
    matrices[2:, 12, 12], matrices[2:, 12, 13] = 5, np.arange(28)
    matrices[0, 0, 0], matrices[1, 0, 1] = 6, 6  # the only built ones: many a draw has neither
    found = cluster_bootstrap(matrices, LCZ)
    assert found["oa_u"] == {"value": 0.5, "lower": None, "upper": None}
    assert found["oa"]["lower"] is not None


def test_figure_turns_nan_into_none():
    assert figure(np.nan) == {"value": None, "lower": None, "upper": None}
    assert figure(0.5, 0.25) == {"value": 0.5, "lower": 0.25, "upper": None}


# --- abstention -----------------------------------------------------------------------------------

CONFIDENCE = np.array([0.9, 0.5, 0.8, 0.6, 0.7])
RIGHT = np.array([True, False, True, False, True])  # wrong: the two lowest


@pytest.mark.parametrize(
    ("error", "threshold", "share"), [(0.0, 0.7, 0.6), (0.25, 0.6, 0.8), (0.4, 0.5, 1.0), (0.39, 0.6, 0.8)]
)
def test_threshold_is_the_lowest_that_keeps_the_aim(error, threshold, share):
    assert accept_threshold(CONFIDENCE, RIGHT, error=error) == (threshold, share)


def test_errors_at_high_confidence_may_be_made_up_for_lower_down():
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([False, True, True, True])
    assert accept_threshold(confidence, right, error=0.25) == (0.6, 1.0)


def test_samples_of_equal_confidence_are_taken_or_left_together():
    confidence = np.array([0.9, 0.6, 0.6, 0.6])
    assert accept_threshold(confidence, np.array([True, True, False, False]), error=0.4) == (0.9, 0.25)
    assert accept_threshold(confidence, np.array([True, True, True, False]), error=0.25) == (0.6, 1.0)


def test_an_aim_out_of_reach_makes_everything_unsure():
    threshold, share = accept_threshold(CONFIDENCE, np.zeros(5, dtype=bool), error=0.5)
    assert threshold > 1
    assert share == 0
    assert accept_threshold(np.array([]), np.array([], dtype=bool), error=0.1)[1] == 0


def test_what_is_accepted_keeps_the_aim_on_any_data():
    rng = np.random.default_rng(10)
    for error in (0.05, 0.1, 0.3):
        confidence = rng.random(300).round(2)
        right = rng.random(300) < confidence
        threshold, share = accept_threshold(confidence, right, error=error)
        kept = confidence >= threshold
        assert kept.mean() == pytest.approx(share)
        assert not kept.any() or 1 - right[kept].mean() <= error + 1e-12
