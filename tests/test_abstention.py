"""When a map says "unsure": promises for samples, for each new group, for the mean over groups."""

from __future__ import annotations

import numpy as np
import pytest

from jido.errors import JidoError
from jido.stats.abstention import (
    BOUNDS,
    NEVER,
    accept_threshold,
    betting_p_value,
    group_accept_threshold,
    group_error,
    hoeffding_bentkus_p_value,
    mean_accept_threshold,
    pooled_accept_threshold,
    t_p_value,
)


def groups_of(rng, count, *, n=300):
    """Groups of very different difficulty, some too sure of themselves: confidence, right, group."""
    parts = []
    for k in range(count):
        logit = np.abs(rng.normal(rng.normal(2.5, 1), 1.5, n))
        right = rng.random(n) < 1 / (1 + np.exp(-np.maximum(logit - rng.normal(0.3, 0.6), 0)))
        parts.append((1 / (1 + np.exp(-logit)), right, np.full(n, k)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def stacked(*groups):
    """Groups as lists of (confidence, right)."""
    confidence = np.array([c for group in groups for c, _ in group], dtype=float)
    right = np.array([bool(r) for group in groups for _, r in group])
    return confidence, right, np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def test_a_group_of_its_own_threshold_by_hand():
    # One group, trust .5: place ceil(2 * .5) = 1 of 1, so the threshold is that of the group itself.
    # Answers from .9 on: 0 of 1 wrong; from .8: 0 of 2; from .7: 1 of 3 > .25; from .6: 1 of 4 = .25, fine.
    # The last bad confidence is .7, so answers begin at .8.
    one = [(0.9, 1), (0.8, 1), (0.7, 0), (0.6, 1)]
    assert group_accept_threshold(*stacked(one), error=0.25, trust=0.5) == (0.8, 0.5)


def test_the_group_in_place_decides():
    # Nine groups whose last bad confidences are .51 ... .59 (one wrong below, the rest right), trust .8:
    # place ceil(10 * .8) = 8: .58. The lowest confidence above it is .59, the wrong one of the ninth group,
    # in which .59 and .95 are answered, in the others .95 alone.
    groups = [[(0.95, 1), (0.5 + k / 100, 0)] for k in range(1, 10)]
    threshold, answered = group_accept_threshold(*stacked(*groups), error=0.1, trust=0.8)
    assert threshold == pytest.approx(0.59)
    assert answered == pytest.approx((8 * 0.5 + 1) / 9)
    assert group_accept_threshold(*stacked(*groups), error=0.1, trust=0.9)[0] == pytest.approx(0.95)


def test_too_few_groups_promise_nothing():
    # .9 needs 9 groups: ceil(9 * .9) = 9 > 8.
    groups = [[(0.9, 1), (0.6, 1)]] * 9
    assert group_accept_threshold(*stacked(*groups[:8]), error=0.1) == (NEVER, 0.0)
    assert group_accept_threshold(*stacked(*groups), error=0.1) == (0.6, 1.0)  # all right: all answered
    assert group_accept_threshold(*stacked(groups[0]), error=0.1) == (NEVER, 0.0)


def test_all_wrong_is_never_answered():
    groups = [[(0.9, 0), (0.6, 0)]] * 20
    assert group_accept_threshold(*stacked(*groups), error=0.1) == (NEVER, 0.0)
    for bound in BOUNDS:
        assert mean_accept_threshold(*stacked(*groups), error=0.1, bound=bound) == (NEVER, 0.0)


def test_ties_are_answered_together():
    # All samples have the same confidence, half of them are wrong: there is no threshold between them.
    groups = [[(0.8, 1), (0.8, 0)]] * 9
    assert group_accept_threshold(*stacked(*groups), error=0.4) == (NEVER, 0.0)
    assert group_accept_threshold(*stacked(*groups), error=0.5) == (0.8, 1.0)


def test_a_single_wrong_answer_on_top_of_a_large_group_is_borne():
    # 1 wrong of 100 on the very top. Fewer than 10 answers count as 10: .1 * 10 allows it. At an error of .05
    # it is too much up to 19 answers, and a threshold of others may lie there: the group promises nothing.
    group = [(0.99, 0)] + [(0.5 + k / 300, 1) for k in range(99)]
    assert group_error(*stacked(group)[:2], 0.99) == pytest.approx(1 / 10)
    assert group_accept_threshold(*stacked(group), error=0.1, trust=0.5) == (0.5, 1.0)
    assert group_accept_threshold(*stacked(group), error=0.05, trust=0.5) == (NEVER, 0.0)


def test_the_order_of_samples_and_names_of_groups_do_not_matter():
    confidence, right, groups = groups_of(np.random.default_rng(0), 12)
    known = group_accept_threshold(confidence, right, groups, error=0.1)
    mixed = np.random.default_rng(1).permutation(len(right))
    names = np.array([f"event {k}" for k in groups])
    assert group_accept_threshold(confidence[mixed], right[mixed], names[mixed], error=0.1) == known
    assert 0 < known[1] < 1


def test_the_promise_of_a_new_group_holds_and_that_over_samples_does_not():
    # 200 resplits: 9-40 groups to learn from, 10 new ones. The promise of .9 is over all of these 2000, of
    # which those of one resplit go together: .9 less twice the standard error of 200 would be .86.
    kept, naive, pooled, answered = [], [], [], []
    for seed in range(200):
        rng = np.random.default_rng([seed, 3])
        held = int(rng.integers(9, 41))
        confidence, right, groups = groups_of(rng, held + 10)
        known = groups < held
        threshold, _ = group_accept_threshold(confidence[known], right[known], groups[known], error=0.1)
        plain, _ = accept_threshold(confidence[known], right[known], error=0.1)
        new = [(confidence[groups == k], right[groups == k]) for k in range(held, held + 10)]
        kept.append(np.mean([group_error(*group, threshold) <= 0.1 for group in new]))
        naive.append(np.mean([group_error(*group, plain) <= 0.1 for group in new]))
        said = ~known & (confidence >= threshold)
        pooled.append((said & ~right).sum() <= 0.1 * said.sum())
        answered.append(np.mean([(c >= threshold).mean() for c, _ in new]))
    assert np.mean(kept) >= 0.9
    assert np.mean(pooled) >= 0.9
    assert np.mean(answered) > 0.2
    assert np.mean(naive) < 0.8  # what a threshold over samples is worth


# -- the mean over groups ----------------------------------------------------------------------


def test_bounds_of_a_mean_without_an_error_by_hand():
    # No loss in 10 groups. Hoeffding: (1 - .2)^10 = .107; Bentkus: e * .8^10 = .29; the smaller one.
    none = np.zeros(10)
    assert hoeffding_bentkus_p_value(none, 0.2) == pytest.approx(0.8**10)
    # Betting: the largest stake 1 / .8 makes (1 + .25)^10; the mean over stakes s / .8 of (1 + .25 s)^10.
    wealth = np.mean((1 + 0.25 * np.linspace(0, 1, 50)) ** 10)
    assert betting_p_value(none, 0.2) == pytest.approx(1 / wealth)
    assert t_p_value(none, 0.2) == 0  # it takes what it has not seen for impossible


def test_bounds_of_a_mean_that_is_reached_refute_nothing():
    losses = np.array([0.1, 0.3, 0.2, 0.4])
    for find in BOUNDS.values():
        assert find(losses, 0.25) >= 0.5
    # t: mean .1, sd .0816, (.1 - .3) / (.0816 / 2) = -4.9, one-sided with 3 degrees of freedom: .00814
    assert t_p_value(np.array([0.0, 0.1, 0.2, 0.1]), 0.3) == pytest.approx(0.0081, abs=1e-4)


@pytest.mark.parametrize("bound", ["betting", "hoeffding-bentkus"])
def test_bounds_hold_for_groups_that_fail_as_a_whole(bound):
    # A twelfth of the groups fails, so the mean is 1/12: the chance to refute "above 1/12" is .1 at most.
    rng = np.random.default_rng(5)
    p = [BOUNDS[bound]((rng.random(30) < 1 / 12).astype(float), 1 / 12) for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.1) <= 0.1 + 2 * (0.09 / 2000) ** 0.5


def test_no_bound_promises_a_small_mean_from_few_groups():
    # (1 - .05)^44 = .105 > .1 >= .95^45: with no error at all 45 groups are needed.
    for count, promised in ((44, False), (45, True)):
        found = mean_accept_threshold(
            *stacked(*[[(0.9, 1)]] * count), error=0.05, bound="hoeffding-bentkus"
        )  # fmt: skip
        assert (found == (0.9, 1.0)) is promised
        assert (found == (NEVER, 0.0)) is not promised


def test_the_mean_of_many_groups_is_promised_where_some_fail():
    confidence, right, groups = groups_of(np.random.default_rng(2), 300, n=100)
    threshold, answered = mean_accept_threshold(confidence, right, groups, error=0.1)
    assert answered > 0.4
    new, true, of = groups_of(np.random.default_rng(3), 500, n=100)
    wrong = [group_error(new[of == k], true[of == k], threshold) for k in range(500)]
    assert np.mean(wrong) <= 0.1 < np.quantile(wrong, 0.95)


# -- all answers of new groups together --------------------------------------------------------


def polygons_of(rng, count, *, failed=0.0):
    """Groups of very different sizes, a share of them wrong as a whole: confidence, right, group."""
    size = np.maximum(rng.lognormal(3, 1, count), 2).astype(int)
    group = np.repeat(np.arange(count), size)
    logit = np.abs(rng.normal(rng.normal(2.5, 1, count)[group], 1))
    right = rng.random(len(group)) < 1 / (
        1 + np.exp(-np.maximum(logit - rng.normal(0.3, 0.6, count)[group], 0))
    )
    wrong = rng.random(count) < failed
    return 1 / (1 + np.exp(-logit)), right & ~wrong[group], group


def test_groups_that_are_all_alike_differ_by_nothing():
    # 10 right answers at .9 and 10 wrong ones at .6 in each: a loss of -.2 * 10, then of 10 - .2 * 20.
    groups = [[(0.9, 1)] * 10 + [(0.6, 0)] * 10] * 10
    assert pooled_accept_threshold(*stacked(*groups), error=0.2) == (0.9, 0.5)


def test_the_bound_of_all_answers_by_hand():
    # 10 answers in each of 10 groups, one of which is wrong as a whole. Accepted error .5: losses 5, nine
    # times -5, and 5 once more: mean -3.18, s 4.05; t(10) sqrt(1/11 + 1/10) = .437 t(10). Trust .9: t .95 =
    # 1.812, -3.18 + 3.20 > 0, refused. Trust .8: t .9 = 1.372, -3.18 + 2.42 < 0, promised.
    groups = [[(0.9, 0)] * 10, *[[(0.9, 1)] * 10] * 9]
    assert pooled_accept_threshold(*stacked(*groups), error=0.5) == (NEVER, 0.0)
    assert pooled_accept_threshold(*stacked(*groups), error=0.5, trust=0.8) == (0.9, 1.0)


def test_one_group_that_fails_must_not_break_the_promise_alone():
    right = [(0.9, 1)]
    assert pooled_accept_threshold(*stacked(*[right] * 9), error=0.1) == (NEVER, 0.0)
    assert pooled_accept_threshold(*stacked(*[right] * 10), error=0.1) == (0.9, 1.0)
    assert pooled_accept_threshold(*stacked(*[right] * 19), error=0.05) == (NEVER, 0.0)


def test_a_large_group_leaves_fewer_that_count():
    # 19 groups of 10 and one of 60: 250^2 / (19 * 100 + 3600) = 11.4 groups.
    groups = [[(0.9, 1)] * 60, *[[(0.9, 1)] * 10] * 19]
    assert pooled_accept_threshold(*stacked(*groups), error=1 / 11) == (0.9, 1.0)
    assert pooled_accept_threshold(*stacked(*groups), error=1 / 12) == (NEVER, 0.0)


def test_what_answers_little_is_not_promised():
    # The surest fifth is right, all below are wrong: no threshold answers three tenths and keeps to it.
    groups = [[(0.9, 1)] * 2 + [(0.6, 0)] * 8] * 20
    assert pooled_accept_threshold(*stacked(*groups), error=0.1) == (NEVER, 0.0)


def test_a_row_may_stand_for_many():
    confidence, right, groups = polygons_of(np.random.default_rng(0), 40)
    times = np.random.default_rng(1).integers(1, 4, len(right))
    many = (np.repeat(part, times) for part in (confidence, right, groups))
    one = pooled_accept_threshold(confidence, right, groups, error=0.2, weights=times, steps=10_000)
    assert one == pytest.approx(pooled_accept_threshold(*many, error=0.2, steps=30_000))
    assert 0 < one[1] < 1


@pytest.mark.parametrize(
    ("failed", "error", "least"),
    [(0.0, 0.1, 0.9), (0.02, 0.2, 0.9), (0.02, 0.1, 0.85)],  # the last one is nearly kept: see the docstring
)
def test_the_promise_of_all_answers_holds_and_the_aim_does_not(failed, error, least):
    kept, aimed, answered = [], [], []
    for seed in range(200):
        confidence, right, groups = polygons_of(np.random.default_rng([seed, 5]), 200, failed=failed)
        known = groups < 100
        held = confidence[known], right[known]
        promised, _ = pooled_accept_threshold(*held, groups[known], error=error)
        aim, _ = accept_threshold(*held, error=error)
        for threshold, found in ((promised, kept), (aim, aimed)):
            said = ~known & (confidence >= threshold)
            found.append((said & ~right).sum() <= error * said.sum())
        answered.append((confidence >= promised)[~known].mean())
    assert np.mean(kept) >= least
    assert np.mean(answered) > 0.2
    assert np.mean(aimed) < np.mean(kept) - 0.05  # what was right for known samples


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"right": np.ones(3, bool)}, "2 confidences, 3 answers judged and 2 groups: give one"),
        ({"confidence": np.array([0.9, np.nan])}, "A confidence is no number: leave out"),
        ({"error": 1.0}, "error and trust are shares below 1, not 1 and 0.9"),
        ({"trust": 0.0}, "error and trust are shares below 1, not 0.1 and 0"),
        (
            {"confidence": np.array([]), "right": np.array([], bool), "groups": np.array([])},
            "at least one sample",
        ),
    ],
)
def test_bad_input(change, says):
    given = {"confidence": np.array([0.9, 0.8]), "right": np.ones(2, bool), "groups": np.array([0, 1])}
    given |= {"error": 0.1, "trust": 0.9, **change}
    for find in (group_accept_threshold, mean_accept_threshold, pooled_accept_threshold):
        with pytest.raises(JidoError, match=says):
            find(
                given["confidence"],
                given["right"],
                given["groups"],
                error=given["error"],
                trust=given["trust"],
            )


def test_an_unknown_bound_is_refused():
    with pytest.raises(
        JidoError, match="'normal' is no bound of a mean: choose of betting, hoeffding-bentkus, t"
    ):
        mean_accept_threshold(*stacked([(0.9, 1)]), error=0.1, bound="normal")
