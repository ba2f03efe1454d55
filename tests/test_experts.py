"""Many experts made into one: known answers, laws of the model, broken experts, the ten real ones."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import stdtrit
from scipy.stats import rankdata, spearmanr

from jido.errors import LabelsError
from jido.stats import experts as module
from jido.stats.experts import borda, combine
from jido.stats.ordering import kendall_tau, parse_chains, parse_relations, to_chains, weak_order

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
N = 14
NAMES = [str(i) for i in range(N)]


def upside_down(order):
    return weak_order(order.groups[::-1])


def simulated(rng, *, experts=10, skip=0.0, noise=(0.15, 1.0)):
    """True scores, and experts who see them with errors, in 5 to 10 levels; nothing of the fitted model."""
    truth, orders = rng.normal(size=N), []
    for sd in rng.uniform(*noise, experts):
        seen = truth + sd * rng.normal(size=N)
        cuts = np.sort(rng.choice(np.sort(seen), rng.integers(4, 10), replace=False))
        level, kept = np.searchsorted(cuts, seen), rng.random(N) >= skip
        orders.append(
            weak_order([NAMES[i] for i in np.flatnonzero((level == k) & kept)] for k in range(len(cuts) + 1))
        )
    return truth, orders


@pytest.fixture(scope="module")
def drawn():
    truth, orders = simulated(np.random.default_rng(0))
    return truth, orders, combine(orders)


class TestLaws:
    def test_slopes_and_curvature_are_those_of_the_loss(self, drawn):
        said = module._Said.of(drawn[1], NAMES)
        theta = np.random.default_rng(1).normal(size=N + 20)
        _, gradient = module._loss(theta, said)
        slopes = approx_fprime(theta, lambda x: module._loss(x, said)[0], 1e-7)
        np.testing.assert_allclose(gradient, slopes, atol=1e-4)
        curvature = module._hessians(theta, said).sum(0) + np.diag(module._prior(theta, said)[1])
        bends = approx_fprime(theta, lambda x: module._loss(x, said)[1], 1e-7)
        np.testing.assert_allclose(curvature, bends, atol=1e-4)

    def test_probabilities_sum_to_one(self):
        one, some = np.ones(1, dtype=int), np.ones(1)
        said = [module._Said(2, 1, 0 * one, 0 * one, one, sign * some, some, some) for sign in (-1, 0, 1)]
        for gap in np.linspace(-3, 3, 7):
            theta = np.array([gap, 0, 1, np.log(0.4)])
            gradient, curvature = module._prior(theta, said[0])
            prior = (gradient**2 / curvature).sum() / 2
            assert sum(np.exp(prior - module._loss(theta, s)[0]) for s in said) == pytest.approx(1)

    def test_an_expert_upside_down_counts_as_much_as_another(self, drawn):
        _, orders, whole = drawn
        turned = combine([upside_down(o) if e in (1, 4, 7) else o for e, o in enumerate(orders)])
        np.testing.assert_allclose(turned.score, whole.score, atol=1e-4)
        signs = np.where(np.isin(np.arange(10), (1, 4, 7)), -1, 1)
        np.testing.assert_allclose(turned.discrimination, signs * whole.discrimination, atol=1e-3)
        np.testing.assert_allclose(turned.reliability, signs * whole.reliability, atol=1e-9)
        assert turned.verdicts == tuple("agrees" if s > 0 else "reversed" for s in signs)

    def test_the_majority_says_which_way_is_up(self, drawn):
        _, orders, whole = drawn
        most = combine([o if e in (1, 4, 7) else upside_down(o) for e, o in enumerate(orders)])
        np.testing.assert_allclose(most.score, -whole.score, atol=1e-4)

    def test_sequence_of_experts_and_names_of_clusters_play_no_part(self, drawn):
        _, orders, whole = drawn
        again = combine(orders[::-1])
        np.testing.assert_allclose(again.score, whole.score, atol=1e-4)
        np.testing.assert_allclose(again.discrimination, whole.discrimination[::-1], atol=1e-3)
        other = combine([weak_order([[f"x{99 - int(n)}" for n in g] for g in o.groups]) for o in orders])
        assert other.names == tuple(f"x{99 - i}" for i in range(N - 1, -1, -1))
        np.testing.assert_allclose(other.score, whole.score[::-1], atol=1e-4)
        np.testing.assert_allclose(other.covariance, whole.covariance[::-1, ::-1], atol=1e-4)

    def test_an_expert_is_judged_by_the_others(self, drawn):
        _, orders, whole = drawn
        for e in (0, 5):
            nine = combine([o for k, o in enumerate(orders) if k != e])
            alone = weak_order([[nine.names[i]] for i in np.argsort(nine.score)])
            assert whole.reliability[e] == pytest.approx(kendall_tau(orders[e], alone), abs=0.03)


class TestKnownAnswers:
    def test_experts_who_agree_are_repeated(self):
        order = parse_chains("3=4=6>1=2=7>0")[0]
        found = combine([order] * 6)
        assert found.order() == order
        assert found.verdicts == ("agrees",) * 6
        assert found.score.mean() == pytest.approx(0)
        assert found.score[found.names.index("3")] == pytest.approx(found.score[found.names.index("6")])

    def test_a_random_expert_has_little_to_say(self):
        rng = np.random.default_rng(5)
        truth, orders = simulated(rng, noise=(0.2, 0.4))
        noise = weak_order([name] for name in rng.permutation(NAMES))
        found = combine([*orders, noise])
        assert found.verdicts == ("agrees",) * 10 + ("unrelated",)
        assert abs(found.discrimination[-1]) < found.discrimination[:-1].min() / 2
        assert spearmanr(found.score, truth).statistic > 0.95

    def test_clusters_that_cannot_be_told_apart_become_equal(self, drawn):
        found = drawn[2]
        strict, loose = found.order(level=0.5), found.order(level=0.999)
        assert 1 < len(loose.groups) < len(found.order().groups) < len(strict.groups)
        for group in found.order().groups:  # inside, no pair differs significantly
            at = [found.names.index(name) for name in group]
            for i, j in itertools.combinations(at, 2):
                c = found.covariance
                sd = np.sqrt(c[i, i] + c[j, j] - 2 * c[i, j])
                assert abs(found.score[i] - found.score[j]) < stdtrit(9, 0.975) * sd

    def test_borda_by_hand(self):
        orders = parse_chains("a>b>c\nb>a=c\nd>a")
        # shares by expert: a 1, -1/2, -1; b 0, 1; c -1, -1/2; d 1; nobody ranked e
        found = borda(orders, ["a", "b", "c", "d", "e"])
        np.testing.assert_allclose(found, [(1 - 0.5 - 1) / 3, 0.5, -0.75, 1, np.nan])

    def test_borda_of_complete_orders_is_a_line_in_the_mean_rank(self, drawn):
        _, orders, _ = drawn
        rank = np.mean([rankdata([o.levels[name] for name in NAMES]) for o in orders], axis=0)
        np.testing.assert_allclose(borda(orders, NAMES), (2 * rank - N - 1) / (N - 1))


class TestSimulatedTruth:
    def test_three_of_ten_upside_down_cost_nothing_and_cost_borda_much(self):
        ours, rival = [], []
        for seed in range(5):
            truth, orders = simulated(np.random.default_rng(100 + seed))
            orders[:3] = map(upside_down, orders[:3])
            found = combine(orders)
            assert found.verdicts[:3] == ("reversed",) * 3
            ours.append(spearmanr(found.score, truth).statistic)
            rival.append(spearmanr(borda(orders, NAMES), truth).statistic)
        assert np.mean(ours) > 0.93
        assert np.mean(ours) > np.mean(rival) + 0.03

    @pytest.mark.parametrize(("experts", "skip"), [(10, 0.0), (10, 0.4), (4, 0.0)])
    def test_intervals_of_differences_hold_the_truth(self, experts, skip):
        held = []
        for seed in range(6):
            truth, orders = simulated(np.random.default_rng(seed), experts=experts, skip=skip)
            found = combine(orders)
            assert found.freedom == (9 if experts == 10 else np.inf)
            true = truth[[int(name) for name in found.names]]
            true = true - true.mean()
            one, two = np.triu_indices(len(true), 1)
            wrong = found.score - true * (found.score @ true) / (true @ true)  # the unit is arbitrary
            c, own = found.covariance, np.diag(found.covariance)
            sd = np.sqrt(own[one] + own[two] - 2 * c[one, two])
            limit = stdtrit(9, 0.975) if experts == 10 else 1.96
            held.append(np.mean(np.abs(wrong[one] - wrong[two]) < limit * sd))
        assert 0.92 < np.mean(held) <= 1


class TestGaps:
    def test_experts_may_skip_clusters(self):
        truth, orders = simulated(np.random.default_rng(2), skip=0.4, noise=(0.2, 0.5))
        assert min(len(o.names) for o in orders) < N - 3
        found = combine(orders, names=[*NAMES, "77"])
        assert found.skipped == ("77",)
        assert found.order().skipped == ("77",)
        assert found.compared.tolist() == [len(o.names) for o in orders]
        assert spearmanr(found.score, truth).statistic > 0.8

    def test_a_cluster_that_few_ranked_is_less_certain(self, drawn):
        _, orders, whole = drawn
        fewer = combine([orders[0], *(o.among([n for n in NAMES if n != "6"]) for o in orders[1:])])
        assert fewer.error[6] > 1.5 * whole.error[6]

    def test_an_expert_who_says_nothing_is_not_counted(self, drawn):
        _, orders, whole = drawn
        silent = combine([*orders, parse_relations("", names=NAMES), parse_chains("3")[0]])
        np.testing.assert_allclose(silent.score, whole.score, atol=1e-4)
        np.testing.assert_allclose(silent.covariance, whole.covariance, atol=1e-4)
        assert silent.verdicts[-2:] == ("unrelated",) * 2
        assert silent.freedom == 9

    def test_parts_that_nobody_compares_are_refused(self):
        orders = parse_chains("1>2>3\n5>4\n3>1\n4=5")
        with pytest.raises(LabelsError, match="No expert compares 4, 5 with 1: ask for a relation"):
            combine(orders)

    def test_one_expert_is_not_combined(self):
        with pytest.raises(LabelsError, match="1 of 2 experts ranked clusters: combine two or more"):
            combine(parse_chains("1>2>3\n7"))

    def test_half_against_half_has_no_majority(self):
        order = parse_chains("5>4>3>2>1")[0]
        with pytest.raises(
            LabelsError, match="1 of 2 experts say the opposite of the others, so there is no major"
        ):
            combine([order, upside_down(order)])


@pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
class TestRealExperts:
    def test_they_come_close_to_what_their_authors_combined(self):
        experts = parse_chains((SISCORE / "POG_annotation/POG_collection.txt").read_text())
        authors = parse_relations((SISCORE / "graph_config/nk.txt").read_text())
        found = combine(experts)
        assert to_chains(found.order()) == "1=2=3=4=6>0=7>5=8=9>10>14=15=16=20>13=17=18=21>11=12=19"
        assert kendall_tau(found.order(), authors) > 0.97
        assert found.verdicts == ("agrees",) * 10
        assert np.argmin(found.reliability) == 4  # the expert with tau .59-.74 to all others
        broken = combine([upside_down(o) if e in (0, 2, 6) else o for e, o in enumerate(experts)])
        assert spearmanr(broken.score, found.score).statistic > 0.999
