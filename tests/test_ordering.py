"""Partial orders: read, written, refused, compared, walked through, and made by machine."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, ttest_ind

from jido.errors import JidoError, LabelsError
from jido.stats.ordering import (
    Order,
    Statement,
    kendall_tau,
    merged_neighbours,
    order_from_values,
    order_of,
    parse_chains,
    parse_relations,
    tau_matrix,
    to_chains,
    to_relations,
    weak_order,
)

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
needs_siscore = pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")


def chain(text, **given):
    (order,) = parse_chains(text, **given)
    return order


def random_order(rng, n=9, pairs=10):
    """A partial order with equals: random pairs of clusters that agree with hidden levels."""
    level = rng.integers(0, 5, n)
    drawn = rng.integers(0, n, (pairs, 2))
    signs = {-1: "<", 0: "=", 1: ">"}
    return order_of(
        Statement(f"c{i}", signs[np.sign(level[i] - level[j])], f"c{j}") for i, j in drawn if i != j
    )


class TestReading:
    def test_a_chain_by_hand(self):
        order = chain("3=4=6>1=2=7>0")
        assert order.groups == (("0",), ("1", "2", "7"), ("3", "4", "6"))
        assert order.steps == {(0, 1), (1, 2)}
        assert order.levels == {"0": 0, "1": 1, "2": 1, "7": 1, "3": 2, "4": 2, "6": 2}

    @pytest.mark.parametrize(
        "text",
        [
            "0<1=2=7<3=4=6",
            " 3 = 4=6 > 1=2 =7>0  # by hand",
            "3=4>1=2, 4=6; 7=1>0",
            "0<1=2 , 7=2<3=4=6",
            "3>1<4, 3=4=6, 7=1>0, 2=1",  # signs turn within a chain
        ],
    )
    def test_other_ways_to_write_the_same(self, text):
        assert chain(text) == chain("3=4=6>1=2=7>0")

    def test_both_forms_say_the_same(self):
        relations = "0<1\n1<3\n\n# level\n1=2=7\n3=4=6"  # no line end
        assert parse_relations(relations) == chain("3=4=6>1=2=7>0")

    def test_a_line_is_an_expert_or_a_relation(self):
        assert parse_chains("a>b\n\nb>a\n") == (chain("b<a"), chain("a<b"))
        with pytest.raises(LabelsError):
            parse_relations("a>b\n\nb>a\n")

    def test_skipped_names_are_listed_in_natural_order(self):
        order = chain("2>1", names=["1", "2", "3", "11", "10"])
        assert order.skipped == ("3", "10", "11")
        assert chain("2>1>22", names=["1", "2"]).skipped == ()

    def test_a_name_alone_stands_without_a_relation(self):
        order = chain("2>1, 5")
        assert order.groups == (("1",), ("5",), ("2",))
        assert np.isnan(order.signs(["5", "1"])[0, 1])

    def test_nothing_gives_an_empty_order(self):
        assert parse_chains("\n# nobody came\n") == ()
        assert parse_relations("", names=["1"]) == Order((), frozenset(), ("1",))

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("1>2\n2>>3", "'2>>3' (line 2) cannot be read: '' is no name of a cluster; write chains such as"),
            ("1 2>3", "'1 2>3' (line 1) cannot be read: '1 2' is no name"),
            (">3", "'' is no name"),
            ("1>2,,3", "'' (line 1) cannot be read"),
            ("1>2=1=1", "1=1 (line 1) says nothing: write a<b, a>b or a=b of two different clusters."),
        ],
    )
    def test_what_cannot_be_read_is_named(self, text, sentence):
        with pytest.raises(LabelsError) as err:
            parse_chains(text)
        assert sentence in str(err.value)


class TestContradictions:
    def test_the_edges_of_the_circle_are_named_and_no_others(self):
        with pytest.raises(LabelsError) as err:
            parse_relations("9>1\n1>2\n2>3\n3=4\n4>1\n1>7")
        said = str(err.value)
        assert "The order contradicts itself: " in said
        assert "cannot all hold; take back one of them." in said
        for edge in ("1>2 (line 2)", "2>3 (line 3)", "3=4 (line 4)", "4>1 (line 5)"):
            assert edge in said
        assert "9>1" not in said
        assert "1>7" not in said

    def test_the_smallest_of_several_is_named(self):
        with pytest.raises(LabelsError, match=r"itself: (b=a|a<b) \(line \d\), (b=a|a<b) \(line \d\) cannot"):
            parse_relations("a<c\nc<b\nb<d\nd<a\nb=a\na<b")

    def test_equal_through_others_and_higher(self):
        with pytest.raises(LabelsError, match=r"itself: 3>1 \(line 1\), 2=3 \(line 1\), 1=2 \(line 1\)"):
            parse_chains("1=2=3>1")

    def test_every_circle_is_refused_and_nothing_else(self):
        """Against brute force: four clusters hold together when some levels fit all statements."""
        rng, names = np.random.default_rng(0), "abcd"
        levels = list(itertools.product(range(4), repeat=4))
        fits = {"<": np.less, ">": np.greater, "=": np.equal}
        refused = 0
        for _ in range(150):
            pairs = [rng.choice(4, 2, replace=False) for _ in range(5)]
            signs = rng.choice(list("<>="), 5)
            said = [Statement(names[i], s, names[j]) for (i, j), s in zip(pairs, signs, strict=True)]
            holds = any(
                all(fits[s](x[i], x[j]) for (i, j), s in zip(pairs, signs, strict=True)) for x in levels
            )
            try:
                order = order_of(said)
            except LabelsError:
                assert not holds
                refused += 1
                continue
            assert holds
            sign = order.signs(names)
            assert all(fits[s](sign[i, j], 0) for (i, j), s in zip(pairs, signs, strict=True))
        assert 30 < refused < 140

    @pytest.mark.parametrize(
        ("groups", "steps"), [((("a",), ("a",)), ()), ((("a",), ("b",)), ((1, 0),)), ((("a",), ()), ())]
    )
    def test_an_order_that_is_none_is_not_built(self, groups, steps):
        with pytest.raises(LabelsError, match=r"twice|order_of"):
            Order(groups, frozenset(steps))

    def test_a_step_that_follows_is_not_taken(self):
        with pytest.raises(LabelsError, match="follows from others"):
            Order((("a",), ("b",), ("c",)), frozenset({(0, 1), (1, 2), (0, 2)}))


class TestStructure:
    def test_steps_are_direct_and_relations_follow(self):
        order = parse_relations("a<b\nb<c\na<c\na<d\nd<c\na<e")
        assert order.groups == (("a",), ("b",), ("d",), ("e",), ("c",))
        assert order.steps == {(0, 1), (0, 2), (0, 3), (1, 4), (2, 4)}
        assert order.levels == {"a": 0, "b": 1, "d": 1, "e": 1, "c": 2}
        signs = order.signs(["c", "a", "b", "d", "x"])
        expected = [
            [0, 1, 1, 1, np.nan],
            [-1, 0, -1, -1, np.nan],
            [-1, 1, 0, np.nan, np.nan],
            [-1, 1, np.nan, 0, np.nan],
            [np.nan] * 5,
        ]
        np.testing.assert_array_equal(signs, expected)

    def test_names_without_tiles_keep_what_follows_through_them(self):
        order = parse_relations("1<22\n22<3\n22=5\n8<22")
        shown = order.among(["1", "3", "8", "9"])
        assert "22" in order.names
        assert shown == parse_relations("1<3\n8<3", names=["9"])
        assert order.among(order.names) == order

    @pytest.mark.parametrize("seed", range(20))
    def test_writing_and_reading_gives_the_order_back(self, seed):
        order = random_order(np.random.default_rng(seed))
        assert chain(to_chains(order)) == order
        assert parse_relations(to_relations(order)) == order
        assert order.among(order.names) == order
        assert len(order.steps) <= 10

    def test_the_forms_as_written(self):
        assert to_chains(chain("0<1=2=7<4=3=6")) == "3=4=6>1=2=7>0"
        assert to_relations(chain("3=4>1>0")) == "0<1\n1<3\n3=4\n"
        assert to_relations(chain("1>2, 7")) == "2<1\n7\n"
        assert to_chains(parse_relations("a<b\na<c\nd=e")) == "b>a, c>a, d=e"

    def test_weak_order(self):
        assert weak_order([["0"], ["2", "1"], [], ["3"]], names=["9"]) == chain("3>1=2>0", names=["9"])
        with pytest.raises(LabelsError, match="Cluster 1 is in the order twice"):
            weak_order([["1"], ["1"]])


class TestPaths:
    ORDER = parse_relations("a<b\na<c\nb<d\nb<e\nb<f\nc<g\nlone=alone")
    """Four paths: three over b, one over c. A walk that tosses a coin at a would take c half of the time."""

    def test_every_path_is_equally_likely(self):
        rng = np.random.default_rng(0)
        drawn = Counter(self.ORDER.sample_path(rng) for _ in range(4000))
        assert np.exp(self.ORDER.log_paths) == pytest.approx(4)
        paths = ["abd", "abe", "abf", "acg"]
        assert set(drawn) == {tuple((name,) for name in path) for path in paths}
        assert all(abs(count - 1000) < 110 for count in drawn.values())  # 4 standard deviations of 27

    def test_a_chain_has_one_path_and_equals_share_a_place(self):
        assert chain("3=4>1>0").sample_path(np.random.default_rng(0)) == (("0",), ("1",), ("3", "4"))

    def test_paths_are_counted_and_not_listed(self):
        names = [[f"{level}.{i}" for i in range(3)] for level in range(40)]
        steps = (pair for one, two in itertools.pairwise(names) for pair in itertools.product(one, two))
        order = order_of(Statement(low, "<", high) for low, high in steps)
        assert order.log_paths == pytest.approx(40 * np.log(3))
        path = order.sample_path(np.random.default_rng(1))
        assert [name.split(".")[0] for (name,) in path] == [str(level) for level in range(40)]

    def test_the_number_is_right_by_brute_force(self):
        for seed in range(20):
            order = random_order(np.random.default_rng(seed), pairs=14)
            ups = {i: [high for low, high in order.steps if low == i] for i in range(len(order.groups))}
            lows = set(ups) - {high for _, high in order.steps}

            def ways(i, ups=ups):
                return sum(map(ways, ups[i])) or 1

            assert np.exp(order.log_paths) == pytest.approx(sum(ways(i) for i in lows if ups[i]))

    def test_a_path_of_one_group_is_never_drawn(self):
        order, rng = chain("b>a, c"), np.random.default_rng(0)
        assert {order.sample_path(rng) for _ in range(50)} == {(("a",), ("b",))}

    @pytest.mark.parametrize("text", ["1=2=3", "1, 2"])
    def test_an_order_without_relations_has_no_path(self, text):
        order = chain(text)
        assert order.log_paths == -np.inf
        with pytest.raises(
            LabelsError, match=r"order of \d clusters holds no relation < or >, so it has no path"
        ):
            order.sample_path(np.random.default_rng(0))


class TestTau:
    def test_of_complete_orders_it_is_scipys(self):
        rng = np.random.default_rng(0)
        for _ in range(20):
            ranks = rng.integers(0, 5, (2, 12))
            one, two = (weak_order([str(i) for i in np.flatnonzero(r == k)] for k in range(5)) for r in ranks)
            assert kendall_tau(one, two) == pytest.approx(kendalltau(*ranks).statistic)

    def test_only_pairs_of_which_both_say_something(self):
        # the first says nothing of b and c, of which the other would say something; they agree on the rest
        assert kendall_tau(parse_relations("a<b\na<c"), chain("c>b>a, d")) == pytest.approx(1)
        assert kendall_tau(parse_relations("a<b\na<c"), chain("b>a>c, d")) == 0
        # a=b in one: products 0, 1 (ac), 1 (bc); stated and not equal 2 and 3
        assert kendall_tau(chain("a=b<c"), chain("a<b<c")) == pytest.approx(2 / np.sqrt(6))

    def test_ends(self):
        order = random_order(np.random.default_rng(3))
        upside_down = order_of(
            Statement(order.groups[high][0], "<", order.groups[low][0]) for low, high in order.steps
        )
        assert kendall_tau(order, order) == pytest.approx(1)
        assert kendall_tau(order, upside_down) == pytest.approx(-1)
        assert np.isnan(kendall_tau(order, chain("x>y")))
        assert np.isnan(kendall_tau(chain("a=b"), chain("a>b")))


class TestMachines:
    def test_levels_of_clear_values(self):
        rng = np.random.default_rng(0)
        values = {f"c{i}": rng.normal(10 * (i // 2), 1, 20) for i in range(6)}
        for test in ("welch", "mann-whitney"):
            assert to_chains(order_from_values(values, test=test, equals=True)) == "c4=c5>c2=c3>c0=c1"
            order = order_from_values(values, test=test)
            signs = order.signs(["c0", "c1", "c2", "c5"])
            assert np.isnan(signs[0, 1])  # not told apart: open, not equal
            assert signs[0, 2] == signs[2, 3] == -1

    def test_welch_and_holm_by_scipy(self):
        rng = np.random.default_rng(4)
        values = {f"c{i}": rng.normal(0.35 * i, 1 + i, rng.integers(8, 40)) for i in range(4)}
        pairs = list(itertools.combinations(values, 2))
        p = np.array([ttest_ind(values[a], values[b], equal_var=False).pvalue for a, b in pairs])
        row = np.argsort(p)
        holm = np.empty(6)
        holm[row] = np.maximum.accumulate(p[row] * np.arange(6, 0, -1))
        for level in (0.02, 0.1, 0.3, 0.8):
            found = order_from_values(values, level=level)
            means = {name: v.mean() for name, v in values.items()}
            said = [
                Statement(min(pair, key=means.get), "<", max(pair, key=means.get))
                for pair, one in zip(pairs, holm, strict=True)
                if one <= level
            ]
            direct = order_of(said)
            for a, b in pairs:
                assert found.signs([a, b])[0, 1] == pytest.approx(direct.signs([a, b])[0, 1], nan_ok=True)

    def test_false_relations_are_as_rare_as_promised(self):
        rng = np.random.default_rng(1)
        found = [
            bool(order_from_values({str(i): rng.normal(size=10) for i in range(8)}, level=0.1).steps)
            for _ in range(300)
        ]
        assert 0.03 < np.mean(found) < 0.15  # promised: at most .1

    def test_groups_of_equals_hold_no_significant_difference(self):
        rng = np.random.default_rng(2)
        values = {f"c{i}": rng.normal(0.3 * i, 1, 25) for i in range(12)}
        relations, weak = order_from_values(values), order_from_values(values, equals=True)
        assert 1 < len(weak.groups) < 12
        for group in weak.groups:
            assert np.isnan(relations.signs(group)[~np.eye(len(group), dtype=bool)]).all()
        assert kendall_tau(relations, weak) > 0.9

    def test_clusters_without_spread_or_values(self):
        values = {"dark": np.zeros(9), "black": np.zeros(5), "lit": np.full(4, 2.0)}
        values |= {"one": np.array([7.0, np.nan]), "none": np.array([])}
        order = order_from_values(values, equals=True)
        assert to_chains(order) == "lit>black=dark"
        assert order.skipped == ("none", "one")
        dark = order_from_values({str(i): np.zeros(6) for i in range(4)})
        assert dark.steps == frozenset()
        assert len(dark.groups) == 4
        assert to_chains(order_from_values(values, test="mann-whitney")) == "lit>black, lit>dark"

    def test_bad_input(self):
        with pytest.raises(JidoError, match="1 of 2 clusters have two values or more: an order takes two"):
            order_from_values({"a": np.ones(3), "b": np.ones(1)})
        with pytest.raises(JidoError, match="No test is called 'anova': choose one of welch, mann-whitney"):
            order_from_values({}, test="anova")

    def test_neighbours_are_merged_by_the_widest_gap(self):
        at = np.array([0.0, 1.0, 1.9, 2.9, 9.0])
        gaps = np.abs(at[:, None] - at)
        # 1 and 1.9 first (.9), then 0 with 1 (1.9) and 1.9 with 2.9 (1.9): the first; then 2.9 (2.9)
        assert merged_neighbours(gaps, 0.5) == [[0], [1], [2], [3], [4]]
        assert merged_neighbours(gaps, 1.0) == [[0], [1, 2], [3], [4]]
        assert merged_neighbours(gaps, 1.95) == [[0, 1, 2], [3], [4]]
        assert merged_neighbours(gaps, 2.95) == [[0, 1, 2, 3], [4]]
        assert merged_neighbours(np.zeros((0, 0)), 1) == []


@needs_siscore
class TestRealExperts:
    names = tuple(str(i) for i in range(22))

    def experts(self):
        text = (SISCORE / "POG_annotation/POG_collection.txt").read_text()
        return parse_chains(text, names=[*self.names, "22"])

    def test_ten_experts_rank_all_clusters_with_tiles(self):
        experts = self.experts()
        assert len(experts) == 10
        assert [len(order.groups) for order in experts] == [10, 9, 9, 10, 6, 14, 12, 8, 17, 8]
        assert all(order.skipped == ("22",) and len(order.names) == 22 for order in experts)
        for order in experts:
            assert chain(to_chains(order), names=order.skipped) == order

    def test_the_published_matrix_is_tau_b(self):
        table = np.genfromtxt(SISCORE / "tables/tau_pog.csv", delimiter=",", skip_header=1)[:, 1:]
        np.testing.assert_allclose(tau_matrix(self.experts()), table, atol=1e-12)

    def test_the_combined_order(self):
        order = parse_relations((SISCORE / "graph_config/nk.txt").read_text())
        assert to_chains(order) == "1=2=3=4=6>0=7>5=8=9=10>14=15=16=20>17=21>13=18>11=12>19>22"
        shown = order.among(self.names)
        assert shown.sample_path(np.random.default_rng(0))[0] == ("19",)
        assert "22" not in shown.names
        taus = [kendall_tau(shown, expert) for expert in self.experts()]
        assert 0.69 < min(taus) < max(taus) < 0.91
