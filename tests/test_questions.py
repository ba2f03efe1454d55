"""The chooser of questions: known answers, laws, rivals, the ten real experts, and its experiment."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from jido.errors import LabelsError
from jido.stats import questions as module
from jido.stats.ordering import Statement, kendall_tau, parse_chains, weak_order
from jido.stats.questions import Belief, believe, merge_insertion, next_question

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
NAMES = [str(i) for i in range(22)]
needs_siscore = pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")


def told(*texts):
    return [Statement(text[0], text[1], text[2]) for text in texts]


def asked(order, count, *, known=None, seed=0):
    """Answers of somebody who keeps to an order."""
    names, given = sorted(order.names, key=int), []
    signs = order.signs(names)
    while len(given) < count:
        one, two = next_question(believe(names, given, known=known), given, seed=seed)
        given.append(Statement(one, "<=>"[int(signs[names.index(one), names.index(two)]) + 1], two))
    return believe(names, given, known=known), given


def sorted_by(names, sign):
    """Row that merge insertion makes, and how many questions it asks."""
    sort, count = merge_insertion(names), 0
    try:
        pair = next(sort)
        while True:
            count += 1
            pair = sort.send(sign(*pair))
    except StopIteration as end:
        return end.value, count


class TestBelief:
    def test_before_any_answer_nothing_is_known(self):
        belief = believe("abc", [])
        np.testing.assert_array_equal(belief.score, 0)
        np.testing.assert_allclose(belief.covariance, np.eye(3))
        assert belief.order() == weak_order(["abc"])
        # all are taken for equal: right where |d| < 1/4, d with variance 2
        right = norm.cdf(0.25 / np.sqrt(2)) - norm.cdf(-0.25 / np.sqrt(2))
        assert belief.expected_right() == pytest.approx(right)

    def test_scores_are_the_most_probable_ones(self):
        """Steps away from them make answers and prior together less probable, contradictions or not."""
        rng = np.random.default_rng(0)
        for m in (3, 20, 60):
            pairs = [rng.choice(8, 2, replace=False) for _ in range(m)]
            given = [Statement(NAMES[i], rng.choice(list("<=>")), NAMES[j]) for i, j in pairs]
            belief = believe(NAMES[:8], given, known=dict(zip(NAMES, range(22), strict=True)), trust=0.5)
            value = np.arange(8.0)
            mean = 0.5 * (value - value.mean()) / value.std()

            def log_posterior(s, given=given, mean=mean):
                gaps = np.array([s[int(a.left)] - s[int(a.right)] for a in given])
                chance = module._answers(gaps)[["<=>".index(a.sign) for a in given], range(len(given))]
                return np.log(chance).sum() - ((s - mean) ** 2).sum() / 2 / 0.75

            best = log_posterior(belief.score)
            for step in 1e-2 * rng.normal(size=(40, 8)):
                assert log_posterior(belief.score + step) < best

    def test_probabilities_of_answers_by_hand(self):
        low, equal, high = module._answers(np.array([0.0, 0.25]))
        outside = 1 / (1 + np.e)  # sigma(-1)
        assert low[0] == high[0] == pytest.approx(0.9 * outside + 0.1 / 3)
        assert equal[0] == pytest.approx(0.9 * (1 - 2 * outside) + 0.1 / 3)
        assert high[1] == pytest.approx(0.9 * 0.5 + 0.1 / 3)  # at EQUAL
        np.testing.assert_allclose(low + equal + high, 1)

    def test_answers_move_scores_and_what_follows(self):
        belief = believe("abcd", told("a<b", "c>b"))
        a, b, c, d = belief.score
        assert a < b < c
        assert b == pytest.approx(0, abs=1e-3)
        assert d == pytest.approx(0, abs=1e-9)
        assert believe("abcd", told("b>a", "b<c")).score == pytest.approx(belief.score)
        equal = believe("ab", told("a=b"))
        assert equal.covariance[0, 1] > 0.3

    def test_an_answer_against_many_is_taken_for_a_slip(self):
        chain = told(*(f"{x}<{y}" for x, y in itertools.combinations("abcdef", 2) if (x, y) != ("a", "f")))
        right, slip = believe("abcdef", [*chain, *told("a<f")]), believe("abcdef", [*chain, *told("a>f")])
        assert np.abs(right.score - slip.score).max() < 0.35
        assert np.argsort(slip.score).tolist() == list(range(6))

    def test_cannot_say_says_nothing_and_is_not_asked_again(self):
        given = told("a<b")
        more = [*given, Statement("b", "?", "c")]
        np.testing.assert_array_equal(believe("abc", more).score, believe("abc", given).score)
        pair = next_question(believe("abc", more), more)
        assert set(pair) == {"a", "c"}

    def test_what_is_known_beforehand(self):
        urban = {name: int(name) < 11 for name in NAMES}
        belief = believe(NAMES, [], known=urban)
        np.testing.assert_allclose(belief.score, [0.8] * 11 + [-0.8] * 11)
        np.testing.assert_allclose(belief.covariance, 0.36 * np.eye(22))
        same = believe(NAMES, [], known=dict.fromkeys(NAMES, 7.0))
        np.testing.assert_allclose(same.covariance, np.eye(22))

    @pytest.mark.parametrize(
        ("given", "options", "sentence"),
        [
            (told("a<x"), {}, "a<x is not about two of the 3 clusters"),
            (told("a<a"), {}, "a<a is not about two of the 3 clusters"),
            (told("a!b"), {}, "unknown sign: give <, >, = or ?"),
            ([], {"known": {"a": 1.0, "b": np.nan}}, "known beforehand of b, c: give a number for every"),
            ([], {"known": dict.fromkeys("abc", 1.0), "trust": 1.0}, "trust of 1 is no correlation"),
        ],
    )
    def test_bad_input(self, given, options, sentence):
        with pytest.raises(LabelsError) as err:
            believe("abc", given, **options)
        assert sentence in str(err.value)
        if given:
            with pytest.raises(LabelsError):
                next_question(believe("abc", []), given)

    def test_names_that_come_twice(self):
        with pytest.raises(LabelsError, match="1 names of clusters come twice"):
            believe("aba", [])


class TestChooser:
    def test_information_by_brute_force(self):
        """Entropy of the answer less its mean entropy at known scores, on a fine grid."""
        belief = Belief(("a", "b"), np.array([0.3, -0.2]), np.array([[0.4, 0.1], [0.1, 0.3]]))
        grid = np.linspace(-8, 8, 4001)
        weight = norm.pdf(grid) / norm.pdf(grid).sum()
        chance = module._answers(0.5 + np.sqrt(0.5) * grid)
        mean = chance @ weight
        gain = -(mean * np.log2(mean)).sum() + (chance * np.log2(chance)).sum(0) @ weight
        found = belief.information()
        assert found[0, 1] == found[1, 0] == pytest.approx(gain, rel=2e-3)
        assert found[0, 0] == 0

    def test_nobody_asks_what_is_known(self):
        sure = Belief(("a", "b", "c"), np.array([3.0, 0.0, 0.1]), np.diag([0.01, 0.2, 0.2]))
        assert set(next_question(sure, [])) == {"b", "c"}
        known = Belief(("a", "b", "c"), np.zeros(3), np.diag([1e-6, 1e-6, 0.3]))
        assert "c" in next_question(known, [])

    def test_the_seed_decides_between_equals_and_the_rest_is_determined(self):
        nothing = believe(NAMES, [])
        assert len({next_question(nothing, [], seed=seed) for seed in range(30)}) > 20
        order = weak_order([[name] for name in NAMES])
        assert asked(order, 12, seed=3)[1] == asked(order, 12, seed=3)[1]
        left = [next_question(nothing, [], seed=seed) for seed in range(60)]
        assert 15 < sum(int(one) < int(two) for one, two in left) < 45

    def test_every_pair_is_asked_once_and_then_none(self):
        order = parse_chains("4>3=2>1>0")[0]
        belief, given = asked(order, 10)
        assert len({frozenset(a[::2]) for a in given}) == 10
        assert next_question(belief, given) is None
        assert belief.order() == order
        assert next_question(believe(["1"], []), []) is None

    def test_it_tells_more_than_pairs_at_random(self):
        """Somebody who is wrong about one pair in ten; the same table of answers for both."""
        ours, rival = [], []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            levels = rng.integers(0, 10, 22)
            order = weak_order([NAMES[i] for i in np.flatnonzero(levels == k)] for k in range(10))
            pairs = list(itertools.combinations(range(22), 2))
            said = {frozenset(pair): np.sign(levels[pair[0]] - levels[pair[1]]) for pair in pairs}
            said |= {frozenset(pairs[k]): rng.integers(-1, 2) for k in rng.choice(231, 23, replace=False)}
            given, by_chance = [], []
            for k in rng.permutation(231)[:45]:
                one, two = next_question(believe(NAMES, given), given)
                for answers, (i, j) in ((given, (int(one), int(two))), (by_chance, pairs[k])):
                    sign = said[frozenset((i, j))] * (1 if i < j else -1)
                    answers.append(Statement(NAMES[i], "<=>"[sign + 1], NAMES[j]))
            ours.append(kendall_tau(believe(NAMES, given).order(), order))
            rival.append(kendall_tau(believe(NAMES, by_chance).order(), order))
        assert np.mean(ours) > np.mean(rival) + 0.05

    def test_a_page_need_not_wait(self):
        _, given = asked(weak_order([[name] for name in NAMES]), 60)
        took = []
        for _ in range(5):
            start = time.perf_counter()
            next_question(believe(NAMES, given), given)
            took.append(time.perf_counter() - start)
        assert min(took) < 0.05


class TestMergeInsertion:
    @pytest.mark.parametrize(("n", "most"), [(0, 0), (1, 0), (2, 1), (3, 3), (4, 5), (5, 7), (6, 10)])
    def test_every_sequence_is_sorted_with_the_known_number_of_questions(self, n, most):
        """Ford and Johnson 1959: the sum of ceil(log2(3 k / 4)), k = 1..n."""
        counts = []
        for names in itertools.permutations(NAMES[:n]):
            row, count = sorted_by(list(names), lambda a, b: "<" if int(a) < int(b) else ">")
            assert row == NAMES[:n]
            counts.append(count)
        assert max(counts) == most

    def test_twenty_two_take_at_most_71(self):
        rng = np.random.default_rng(0)
        counts = []
        for _ in range(60):
            row, count = sorted_by(
                rng.permutation(NAMES).tolist(), lambda a, b: "<" if int(a) < int(b) else ">"
            )
            assert row == NAMES
            counts.append(count)
        assert max(counts) == 71
        assert min(counts) > 65

    def test_equals_stand_side_by_side(self):
        rng = np.random.default_rng(1)
        for _ in range(40):
            level = rng.integers(0, 4, 13)
            row, _ = sorted_by(
                NAMES[:13], lambda a, b, level=level: "<=>"[np.sign(level[int(a)] - level[int(b)]) + 1]
            )
            assert sorted(row) == sorted(NAMES[:13])
            assert (np.diff(level[[int(name) for name in row]]) >= 0).all()


@needs_siscore
class TestRealExperts:
    @pytest.mark.parametrize(("known", "least"), [(False, 0.9), (True, 0.93)])
    def test_45_questions_give_an_experts_own_order(self, known, least):
        experts = parse_chains((SISCORE / "POG_annotation/POG_collection.txt").read_text())
        urban = {name: int(name) < 11 for name in NAMES} if known else None
        taus = [kendall_tau(asked(o, 45, known=urban, seed=e)[0].order(), o) for e, o in enumerate(experts)]
        assert np.mean(taus) > least

    def test_the_experiment_runs_and_keeps_its_rows(self, tmp_path):
        script = Path(__file__).parents[1] / "experiments/orders.py"
        command = [sys.executable, script, "--preset", "smoke", "--seeds", "0", "--json"]
        command += ["--data", SISCORE, "--out", tmp_path]
        first, again = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in "ab")
        assert first.stdout == again.stdout
        found = json.loads(first.stdout)
        assert len(found["broken"]) == 6
        assert len(found["questions"]) == 4
        for row in found["broken"]:
            assert row["ours, itself"] > 0.95
        for row in found["questions"]:
            assert {"ours", "merge insertion", "random", "fewer"} <= row.keys()
            assert 1 <= row["ours"] <= 90
