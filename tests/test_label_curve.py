"""Evaluation with few labels: fair subsets, honest intervals, rows that survive, ready-made learners."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import stdtrit

import jido
from jido.errors import FoldsError, LabelsError, ModelError, OutputError
from jido.labels import Folds, group_kfold, lcz_scheme, random_pixels_leaking
from jido.methods.label_curve import LabelCurve, forest, label_curve, linear_probe, nearest_neighbours
from jido.methods.label_learners import FIXED, _strength
from jido.stats import confusion, overall_accuracy
from jido.stats.paired import crossed_figure, crossed_variance

K = 4
GROUPS = np.repeat(np.arange(80), np.random.default_rng(0).integers(1, 8, 80))
Y = GROUPS % K  # 20 groups of each class
SPLIT = np.flatnonzero(GROUPS < 48), np.flatnonzero(GROUPS >= 48)
FEATURES = np.eye(K)[Y] * 3 + np.random.default_rng(1).normal(0, 1, (len(Y), K))
BUDGETS = (1, 3, 0.25, 1.0)


def guess(share, seed=None):
    """A learner that says the truth of about a share of the samples, else the next class."""

    def learn(labelled, y, test, drawn):
        rng = np.random.default_rng([drawn if seed is None else seed, len(labelled)])
        return np.eye(K)[np.where(rng.random(len(test)) < share, Y[test], (Y[test] + 1) % K)]

    return learn


class Spy:
    """A learner that says class 0 and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, labelled, y, test, seed):
        self.asked.append((tuple(labelled), tuple(y), tuple(test), seed))
        labelled[:] = y[:] = test[:] = 0  # what one learner does to its places is nobody else's matter
        return np.eye(K)[np.zeros(len(test), dtype=int)]


def curve(learners=None, y=Y, **options):
    options = {"groups": GROUPS, "folds": SPLIT, "budgets": BUDGETS, **options}
    return label_curve(learners or {"good": guess(0.9), "poor": guess(0.6)}, y, **options)


# --- who is told what -----------------------------------------------------------------------------


def test_all_learners_see_the_same_nested_sets_of_whole_training_groups():
    one, other = Spy(), Spy()
    found = curve({"one": one, "other": other}, draws=4)
    assert one.asked == other.asked
    sets = np.array([set(labelled) for labelled, *_ in one.asked]).reshape(4, 3)  # 25 % is 3 per class
    for draw in sets:
        assert draw[0] < draw[1] < draw[2] == set(SPLIT[0])
    assert len({frozenset(draw[0]) for draw in sets}) == 4
    for labelled, y, test, _ in one.asked:
        assert list(labelled) == sorted(labelled)
        np.testing.assert_array_equal(y, Y[list(labelled)])
        assert test == tuple(SPLIT[1])
        groups = np.unique(GROUPS[list(labelled)])
        np.testing.assert_array_equal(np.flatnonzero(np.isin(GROUPS, groups)), labelled)
    seeds = [seed for *_, seed in one.asked]
    assert len(set(seeds)) == 4
    assert [row["groups"] for row in found.rows if row["draw"] == 0] == 2 * [4, 12, 12, 48]


def test_a_set_that_two_budgets_share_is_run_once_and_that_is_said():
    spy = Spy()
    found = curve({"spy": spy}, budgets=(3, 0.25), draws=1)  # 3 of 12 groups per class
    assert len(spy.asked) == 1
    assert found.budgets == ("3 per class", "25 %")
    assert found.notes == ("25 % is the same labelled set as 3 per class (fold 0): one run serves both.",)


def test_seed_decides_the_draws_and_no_draw_is_shared_between_seeds():
    spies = [Spy() for _ in range(3)]
    for spy, seed in zip(spies, (0, 0, 1), strict=True):
        curve({"spy": spy}, seed=seed, budgets=(3,))
    assert spies[0].asked == spies[1].asked
    assert not {a[0] for a in spies[0].asked} & {a[0] for a in spies[2].asked}


def test_without_groups_every_sample_is_its_own():
    found = curve({"spy": Spy()}, groups=None, budgets=(5,), draws=1)
    assert found.unit == "samples"
    assert (found.rows[0]["samples"], found.rows[0]["groups"]) == (20, 20)
    np.testing.assert_array_equal(found.total, np.ones(len(SPLIT[1])))


# --- rows and figures -----------------------------------------------------------------------------


def test_rows_and_counts_are_those_of_the_answers():
    found = curve()
    keys = [(row["learner"], row["budget"], row["draw"], row["fold"]) for row in found.rows]
    budgets = ("1 per class", "3 per class", "25 %", "100 %")
    assert keys == list(itertools.product(("good", "poor"), budgets, range(3), (0,)))
    assert (found.learners, found.budgets) == (("good", "poor"), budgets)
    assert (found.rows[0]["per_class"], found.rows[0]["fraction"]) == (1, None)
    assert (found.rows[-1]["per_class"], found.rows[-1]["fraction"]) == (None, 1.0)
    labelled = sum(GROUPS < 48)
    said = guess(0.6)(np.zeros(labelled), None, SPLIT[1], found.rows[-1]["seed"]).argmax(1)
    np.testing.assert_array_equal(found.matrices[1, 3, 2], confusion(Y[SPLIT[1]], said, K))
    assert found.rows[-1]["oa"] == pytest.approx(float((said == Y[SPLIT[1]]).mean()))
    assert found.rows[-1]["samples"] == labelled
    np.testing.assert_array_equal(found.total, np.bincount(GROUPS)[48:])
    right = np.bincount(GROUPS[SPLIT[1]] - 48, said == Y[SPLIT[1]])
    np.testing.assert_array_equal(found.right[1, 3, 2], right)
    np.testing.assert_array_equal(found.right.sum(-1), np.trace(found.matrices, axis1=-2, axis2=-1))


def test_summary_is_the_mean_of_draws_with_an_interval():
    found = curve(draws=5)
    rows = found.summary()
    assert len(rows) == 2 * len(BUDGETS)
    mine = [row for row in found.rows if (row["learner"], row["budget"]) == ("good", "3 per class")]
    row = rows[1]
    assert row["oa"]["value"] == pytest.approx(np.mean([one["oa"] for one in mine]))
    assert row["kappa"] == pytest.approx(np.mean([one["kappa"] for one in mine]))
    assert row["oa_sd"] == pytest.approx(np.std([one["oa"] for one in mine], ddof=1))
    assert row["oa"]["lower"] < 0.9 < row["oa"]["upper"]
    assert (row["draws"], row["groups"]) == (5, 12)


def test_folds_are_judged_together():
    folds = group_kfold(GROUPS, Y, k=4, seed=0)
    found = curve(folds=folds, draws=3, budgets=(2,))
    assert found.folds["k"] == 4
    np.testing.assert_array_equal(found.total, np.bincount(GROUPS))
    assert found.matrices[0, 0, 0].sum() == len(Y)
    first = found.summary()[0]
    assert first["oa"]["value"] == pytest.approx(overall_accuracy(found.matrices[0, 0]).mean())
    assert found.right.shape == (2, 1, 3, 80)


def test_a_scheme_with_weights_has_their_figures():
    found = label_curve(
        {"one": lambda labelled, y, test, seed: np.eye(17)[np.zeros(len(test), int)]},
        Y, folds=SPLIT, groups=GROUPS, budgets=(1,), scheme=lcz_scheme(),
    )  # fmt: skip
    assert {"oa_w", "oa_u"} <= found.rows[0].keys()
    assert found.rows[0]["oa_w"] > found.rows[0]["oa"]
    assert "oa_w" in found.summary()[0]


def test_paired_rows_and_the_verdict():
    found = curve({"good": guess(0.9), "poor": guess(0.6), "twin": guess(0.9)})
    for row in found.paired("good", "poor"):
        assert 10 < row["points"]["lower"] < row["points"]["value"] < row["points"]["upper"] < 50
        assert (row["draws"], row["groups"], row["ahead"]) == (3, 32, 3)
    turned = found.paired("poor", "good")[0]["points"]
    assert turned["upper"] == pytest.approx(-found.paired("good", "poor")[0]["points"]["lower"])
    assert set(found.tied_or_better("good", "poor").values()) == {True}
    assert set(found.tied_or_better("poor", "good").values()) == {False}
    assert found.paired("good", "twin")[0]["points"] == {"value": 0, "lower": None, "upper": None}
    assert set(found.tied_or_better("good", "twin").values()) == {True}
    assert set(curve(draws=2).tied_or_better("good", "poor").values()) == {None}
    with pytest.raises(FoldsError, match="No learner called 'best' was evaluated: give one of good, poor"):
        found.paired("good", "best")


def test_the_verdict_needs_the_mean_within_the_margin():
    found = curve({"a": guess(0.9, seed=3), "b": guess(0.9, seed=4)}, budgets=(1,))
    points = found.paired("a", "b")[0]["points"]
    assert points["lower"] < 0 < points["upper"]
    worse = ("a", "b") if points["value"] < 0 else ("b", "a")
    away = abs(points["value"]) / 100
    assert found.tied_or_better(*worse, margin=away + 1e-6) == {"1 per class": True}
    assert found.tied_or_better(*worse, margin=away - 1e-6) == {"1 per class": False}


# --- intervals ------------------------------------------------------------------------------------


def world(rng, *, draws, groups, size, of_draw, of_group, pair=0.1):
    """Right answers of two learners (D, G) whose true difference is .04; groups of unequal size."""
    total = rng.integers(1, 2 * size, groups)

    def spread(width, *shape):
        return rng.uniform(-width, width, shape)

    common = spread(pair / 2, draws, 1) + spread(pair, groups)
    counts = [
        rng.binomial(total, base + common + spread(of_draw, draws, 1) + spread(of_group, groups))
        for base in (0.70, 0.66)
    ]
    return counts[0], counts[1], total


@pytest.mark.parametrize("draws", [3, 6])
@pytest.mark.parametrize(
    ("groups", "size", "of_draw", "of_group"),
    [
        (12, 20, 0.0, 0.06),
        (60, 10, 0.01, 0.06),
        (60, 10, 0.06, 0.02),
        (400, 1, 0.0, 0.0),
        (200, 10, 0.06, 0.06),
    ],
)
def test_the_paired_interval_covers_the_true_difference(draws, groups, size, of_draw, of_group):
    rng, hits = np.random.default_rng([draws, groups, int(100 * of_draw)]), []
    for _ in range(400):
        a, b, total = world(rng, draws=draws, groups=groups, size=size, of_draw=of_draw, of_group=of_group)
        found = crossed_figure(a - b, total, lowest=-1)
        hits.append(found["lower"] <= 0.04 <= found["upper"])
    assert 0.90 <= np.mean(hits) <= 0.985


def test_the_interval_of_one_learner_covers_its_accuracy():
    rng, hits = np.random.default_rng(5), []
    for _ in range(400):
        a, _, total = world(rng, draws=4, groups=40, size=10, of_draw=0.03, of_group=0.1)
        found = crossed_figure(a, total)
        hits.append(found["lower"] <= 0.70 <= found["upper"])
    assert 0.90 <= np.mean(hits) <= 0.985


def half(counts, total, **options):
    found = crossed_figure(counts, total, lowest=-1, **options)
    return (found["upper"] - found["lower"]) / 2


def test_pairing_takes_away_what_both_learners_share():
    rng = np.random.default_rng(6)
    for _ in range(20):
        a, b, total = world(rng, draws=5, groups=80, size=30, of_draw=0.002, of_group=0.01, pair=0.12)
        assert half(a - b, total) < 0.7 * np.hypot(half(a, total), half(b, total))


def test_correlated_groups_are_wider_than_pixels_would_say():
    rng = np.random.default_rng(7)
    a, b, total = world(rng, draws=5, groups=40, size=100, of_draw=0, of_group=0.12, pair=0.05)
    rank = np.concatenate([np.arange(size) for size in total])
    pixels = [rank < np.repeat(counts, total, axis=1) for counts in (a, b)]  # each evidence of its own
    apart = pixels[0].astype(int) - pixels[1]
    np.testing.assert_array_equal(apart.sum(1), (a - b).sum(1))
    assert half(a - b, total) > 3 * half(apart, np.ones(total.sum()))


def test_of_single_samples_and_one_answer_per_sample_it_is_the_paired_t_interval():
    rng = np.random.default_rng(8)
    difference = rng.integers(-1, 2, 150)
    found = crossed_figure(np.tile(difference, (3, 1)), np.ones(150), lowest=-1)
    reach = stdtrit(149, 0.975) * difference.std(ddof=1) / np.sqrt(150)
    assert found["value"] == pytest.approx(difference.mean())
    assert found["upper"] - found["value"] == pytest.approx(reach)


def test_of_many_alike_groups_it_is_the_t_interval_of_the_draws():
    mean = np.array([50, 60, 64, 70])
    found = crossed_figure(np.tile(mean[:, None], (1, 30)), np.full(30, 100))
    reach = stdtrit(3, 0.975) * mean.std(ddof=1) / 100 / 2
    assert found["upper"] - found["value"] == pytest.approx(reach)


def test_the_parts_add_up_to_what_a_joint_bootstrap_finds():
    rng, draws, groups = np.random.default_rng(9), 4, 9
    counts = rng.integers(0, 30, (draws, groups)) + 5 * np.arange(draws)[:, None]
    drawn_d, drawn_g = (rng.multinomial(n, np.full(n, 1 / n), 100_000) / n for n in (draws, groups))
    joint = np.einsum("bd,dg,bg->b", drawn_d, counts / 50, drawn_g).var()
    by_draw, by_group, meeting = crossed_variance(counts, np.full(groups, 50))
    d, g = (draws - 1) / draws, (groups - 1) / groups
    assert joint == pytest.approx(by_draw * d + by_group * g + meeting * d * g, rel=0.02)


def test_a_few_draws_that_differ_reach_far():
    rng = np.random.default_rng(10)
    few, many = (world(rng, draws=d, groups=50, size=20, of_draw=0.08, of_group=0.02) for d in (3, 30))
    assert half(few[0] - few[1], few[2]) > 2 * half(many[0] - many[1], many[2])


@pytest.mark.parametrize(("draws", "groups"), [(2, 50), (3, 4)])
def test_too_few_draws_or_groups_claim_no_interval(draws, groups):
    counts = np.random.default_rng(11).integers(0, 10, (draws, groups))
    found = crossed_figure(counts, np.full(groups, 10))
    assert (found["lower"], found["upper"]) == (None, None)
    assert found["value"] == pytest.approx(counts.mean() / 10)
    assert crossed_figure(np.full((3, 5), 7), np.full(5, 10)) == {"value": 0.7, "lower": None, "upper": None}


def test_bounds_stay_where_the_figure_is_legal():
    counts = np.random.default_rng(12).integers(0, 11, (3, 5))
    found = crossed_figure(counts, np.full(5, 10), level=0.9999)
    assert (found["lower"], found["upper"]) == (0, 1)


# --- budgets --------------------------------------------------------------------------------------


def test_budgets_beyond_what_is_there_are_left_out_and_named():
    found = curve(budgets=(12, 13, 50, 0.01, 0.02, 1.0), draws=1)
    assert found.budgets == ("12 per class", "100 %")
    assert found.notes == (
        "13 per class is left out: no class has so many training groups in fold 0.",
        "50 per class is left out: no class has so many training groups in fold 0.",
        "1 % is left out: it is less than half a label per class of the training groups in fold 0.",
        "2 % is left out: it is less than half a label per class of the training groups in fold 0.",
        "100 % is the same labelled set as 12 per class (fold 0): one run serves both.",
    )


def test_a_share_that_adds_nothing_is_left_out():
    found = curve(budgets=(0.5, 0.51, 0.5), draws=1)
    assert found.budgets == ("50 %",)
    assert found.notes == (
        "51 % is left out: it is the same as a smaller share of the training groups in fold 0.",
    )


def test_classes_that_have_fewer_are_named():
    y = np.where((GROUPS % K == 3) & (GROUPS > 20), 2, Y)  # 5 groups of class 3
    found = curve({"spy": Spy()}, y=y, budgets=(5, 6), draws=1)
    assert found.notes == (
        "6 per class: 1 of 4 classes have fewer training groups in fold 0 and give all of them.",
    )
    assert [row["groups"] for row in found.rows] == [20, 23]


# --- rows that are kept ---------------------------------------------------------------------------


def test_an_interrupted_evaluation_goes_on(tmp_path):
    keep, whole, asked = tmp_path / "new" / "rows.jsonl", curve(), []

    def breaking(labelled, y, test, seed):
        asked.append(len(labelled))
        if len(asked) == 6:
            raise KeyboardInterrupt
        return guess(0.6)(labelled, y, test, seed)

    with pytest.raises(KeyboardInterrupt):
        curve({"good": guess(0.9), "poor": breaking}, keep=keep)
    assert len(keep.read_text().splitlines()) == 11  # 6 of one, 5 of the other; 25 % is 3 per class
    keep.write_text(keep.read_text()[:-30])  # killed while it wrote
    said = []
    found = curve(keep=keep, progress=lambda *state: said.append(state))
    assert [{**row, "seconds": 0} for row in found.rows] == [{**row, "seconds": 0} for row in whole.rows]
    np.testing.assert_array_equal(found.right, whole.right)
    assert said[-1] == ("learning from few labels", 24, 24)
    again = curve({"good": None, "poor": None}, keep=keep)  # nobody is asked, also not after a broken line
    assert again.rows == found.rows


def test_what_changed_is_run_again_and_nothing_else(tmp_path):
    keep = tmp_path / "rows.jsonl"

    def runs(**options):
        spy = Spy()
        curve({"spy": spy}, keep=keep, **{"budgets": (1,), "draws": 2, **options})
        return len(spy.asked)

    assert runs() == 2
    assert runs() == 0
    assert runs(draws=3) == 1
    assert runs(budgets=(1, 2)) == 2
    assert runs(seed=1) == 2
    y = Y.copy()
    y[SPLIT[1][0]] = (Y[SPLIT[1][0]] + 1) % K
    assert runs(y=y) == 2
    assert runs(groups=np.where(GROUPS == 79, 78, GROUPS)) == 2
    assert runs(folds=(SPLIT[0], SPLIT[1][1:])) == 2
    assert runs() == 0


@pytest.mark.parametrize("content", ["hello\n", '{"learner": "x"}\n', '{"key": 1}\nhello\n'])
def test_other_files_are_not_written_into(tmp_path, content):
    keep = tmp_path / "notes.txt"
    keep.write_text(content)
    with pytest.raises(OutputError, match="holds other things than rows of label_curve"):
        curve(keep=keep)
    assert keep.read_text() == content
    with pytest.raises(OutputError, match="is a folder"):
        curve(keep=tmp_path)


# --- what is refused ------------------------------------------------------------------------------

TRAIN, TEST = SPLIT
HALF = len(GROUPS) // 2


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"y": np.zeros(len(Y), int)}, LabelsError, "1 different values: .* 2 classes or more"),
        ({"y": Y.astype(float)}, LabelsError, "type float64"),
        ({"y": Y - 1}, LabelsError, "from -1 to 2.*scheme.index"),
        ({"y": Y + 20, "scheme": lcz_scheme()}, LabelsError, "places of 17 classes go from 0 to 16"),
        ({"folds": (TRAIN, TEST[:0])}, FoldsError, "1 sample or more"),
        ({"folds": (GROUPS < 48, GROUPS >= 48)}, FoldsError, "np.flatnonzero of a mask"),
        ({"folds": (TRAIN, TEST + 1)}, FoldsError, "give each once, from 0 to"),
        ({"folds": (TRAIN, np.append(TEST, TEST[0]))}, FoldsError, "different ones of"),
        ({"folds": Folds(np.arange(9) % 2, kind="x")}, FoldsError, "The folds are of 9 samples"),
        ({"folds": (TRAIN, np.append(TEST, TRAIN[0]))}, FoldsError, "1 groups stand in training and in test"),
        ({"folds": random_pixels_leaking(len(Y), k=3, seed=0), "groups": None}, FoldsError, "leaking=True"),
        ({"folds": (np.flatnonzero(Y[:HALF] == 0), TEST)}, FoldsError, "groups in fold 0 are of one class"),
        ({"groups": GROUPS[:-1]}, FoldsError, "give the group of every sample"),
        *(({"budgets": (1, bad)}, FoldsError, "no budget") for bad in (0, -3, 1.5, 0.0, np.nan, True, "5")),
        ({"budgets": (500,)}, FoldsError, "No budget can be served"),
        ({"budgets": ()}, FoldsError, "No budget can be served"),
        ({"draws": 0}, FoldsError, "2 learners, 0 draws"),
        ({"seed": -1}, FoldsError, "a seed from 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_learned(options, error, words, tmp_path):
    with pytest.raises(error, match=words):
        curve(**options)
    with pytest.raises(FoldsError, match="0 learners"):
        label_curve({}, Y, folds=SPLIT)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda m: np.zeros((m, K - 1)), rf"returned an array of shape \({len(TEST)}, 3\)"),
        (np.zeros, "a row per sample to judge and a column per class"),
        (lambda m: np.full((m, K), np.nan), "no finite number with 25 labelled samples"),
        (lambda m: np.full((m, K), "x"), "no finite number"),
    ],
)
def test_a_learner_that_answers_something_else_is_named(answer, words):
    with pytest.raises(ModelError, match="The learner 'odd' " + words if "an array" in words else words):
        curve({"odd": lambda labelled, y, test, seed: answer(len(test))}, budgets=(2,))


def test_a_leak_can_be_allowed_by_name_and_claims_no_interval():
    leaky = random_pixels_leaking(len(Y), k=3, seed=0)
    found = curve(folds=leaky, leaking=True, budgets=(2,))
    assert found.folds["leaks"] is True
    np.testing.assert_array_equal(found.total, np.bincount(GROUPS))  # a group in several folds counts once
    assert found.summary()[0]["oa"]["lower"] is None
    assert found.paired("good", "poor")[0]["points"]["lower"] is None


# --- ready-made learners --------------------------------------------------------------------------

READY = {
    "probe": linear_probe(FEATURES, num_classes=K, groups=GROUPS),
    "neighbours": nearest_neighbours(FEATURES, num_classes=K),
    "forest": forest(FEATURES, num_classes=K, trees=20),
}


@pytest.mark.parametrize("name", READY)
def test_ready_made_learners_learn(name):
    train, test = SPLIT
    said = READY[name](train, Y[train], test, 0)
    assert said.shape == (len(test), K)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)
    assert (said.argmax(1) == Y[test]).mean() > 0.9
    np.testing.assert_array_equal(said, READY[name](train, Y[train], test, 0))
    np.testing.assert_allclose(said[:3], READY[name](train, Y[train], test[:3], 0), atol=1e-6)
    two = train[Y[train] > 1]  # classes that nobody labelled are never said
    assert (READY[name](two, Y[two], test, 0)[:, :2] == 0).all()
    one = np.array([np.flatnonzero(value == Y)[0] for value in range(K)])
    assert (READY[name](one, Y[one], test, 0).argmax(1) == Y[test]).mean() > 0.5


def test_more_labels_help_a_probe():
    found = curve({"probe": READY["probe"]}, budgets=(1, 12))
    few, all_ = (row["oa"]["value"] for row in found.summary())
    assert few < all_
    assert all_ > 0.9


def test_neighbours_vote_by_their_cosine():
    x = np.array([[1, 0], [0, 1], [0.6, 0.8], [5, 0]], float)
    learn = nearest_neighbours(x, num_classes=2, k=20)
    (found,) = learn(np.array([0, 1]), np.array([0, 1]), np.array([2]), 0)
    votes = np.exp(np.array([0.6, 0.8]) / 0.07)
    np.testing.assert_allclose(found, votes / votes.sum(), rtol=1e-5)
    assert learn(np.array([0, 1]), np.array([0, 1]), np.array([3]), 0).argmax() == 0


def test_the_penalty_is_chosen_on_labelled_groups_when_there_are_enough():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    noise = rng.normal(0, 1, (120, 60))  # nothing to learn: the strongest penalty is best
    plain = np.column_stack([y * 6.0, rng.normal(0, 1, 120)])
    units = np.arange(120)
    assert _strength(noise, y, units, 2, (0.001, 10.0), 5, 0) == 0.001
    assert _strength(plain, y, units, 2, (0.001, 10.0), 5, 0) == 10.0
    assert _strength(noise[:8], y[:8], units[:8], 2, (0.001, 10.0), 5, 0) == FIXED
    assert _strength(noise, y, units % 8, 2, (0.001, 10.0), 5, 0) == FIXED  # 4 groups of each class


# --- tables, figure, file -------------------------------------------------------------------------


def test_markdown_has_both_tables_and_the_notes():
    found = curve(budgets=(1, 50, 1.0))
    lines = found.markdown(against="poor").splitlines()
    assert lines[2] == "| learner | 1 per class | 100 % |"
    assert lines[4].startswith("| good | 0.")
    assert lines[5].startswith("| poor | 0.")
    assert "Points of OA ahead of poor on the same draws [95 % paired interval]." in lines
    assert lines.count("| learner | 1 per class | 100 % |") == 2
    assert sum(line.startswith("| poor |") for line in lines) == 1
    assert lines[-1].startswith("- 50 per class is left out")
    assert "Points" not in curve({"good": guess(0.9)}, budgets=(1,)).markdown()


def test_json_there_and_back():
    found = curve()
    back = LabelCurve.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert back.rows == found.rows
    assert back.summary() == found.summary()
    assert back.paired("good", "poor") == found.paired("good", "poor")
    assert back.markdown() == found.markdown()


@pytest.mark.parametrize("budgets", [(1, 3, 12), (0.25, 0.5, 1.0), (1, 1.0), (2,)])
def test_the_figure_is_written(tmp_path, budgets):
    found, path = curve(budgets=budgets), tmp_path / "figures" / "curve.png"
    assert found.draw(path) == path
    width, height = Image.open(path).size
    assert (width, height) == ((950, 460) if budgets == (1, 1.0) else (600, 460))
    before = path.read_bytes()
    found.draw(path)
    assert path.read_bytes() == before


def test_the_figure_shows_all_names_or_the_learners_asked_for(tmp_path, monkeypatch):
    found = curve({f"a learner with quite a long name, {i}": guess(0.9, seed=i) for i in range(29)})
    drawn = []
    monkeypatch.setattr("jido.methods.figures.label_curve.save", lambda figure, path: drawn.append(figure))
    found.draw(tmp_path / "all.png")
    found.draw(tmp_path / "two.png", learners=found.learners[3:5])
    for figure in drawn:
        figure.draw_without_rendering()
        legend, whole = figure.legends[0].get_window_extent(), figure.bbox
        assert whole.x0 <= legend.x0
        assert legend.x1 <= whole.x1
        assert legend.y1 < min(axis.get_window_extent().y0 for axis in figure.axes)
        assert all(axis.get_window_extent().height > 150 for axis in figure.axes)
    names = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert names == [list(found.learners), list(found.learners[3:5])]
    with pytest.raises(FoldsError, match="No learner called 'x'"):
        found.draw(tmp_path / "none.png", learners=["x"])


def test_the_figure_has_a_tick_per_budget_and_room_between_learners(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("jido.methods.figures.label_curve.save", lambda figure, path: drawn.append(figure))
    curve({f"learner {i}": guess(0.9, seed=i) for i in range(9)}).draw(tmp_path / "curve.png")
    (figure,) = drawn
    left, right = figure.axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["1", "3"]
    assert [text.get_text() for text in right.get_xticklabels()] == ["25 %", "100 %"]
    places = np.array([bars.lines[0].get_xdata() for bars in left.containers])
    assert (np.diff(places[:, 0]) > 0).all()
    assert places[-1, 0] < places[0, 1]
    looks = {(b.lines[0].get_color(), b.lines[0].get_linestyle()) for b in left.containers}
    assert len(looks) == 9
    assert figure.legends[0].get_texts()[0].get_text() == "learner 0"


def test_public_names():
    assert jido.label_curve is label_curve
    assert jido.LabelCurve is LabelCurve
