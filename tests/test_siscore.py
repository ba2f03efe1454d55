"""The score that respects experts' orders, and the one of a survey: loss, ensemble, features, package."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.chips import Chips  # noqa: E402
from jido.data.survey import Survey, window_weights  # noqa: E402
from jido.data.tile_clusters import Clusters  # noqa: E402
from jido.errors import ImageError, LabelsError, ModelError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.labels import named_scheme  # noqa: E402
from jido.losses.ranking import SoftRankLoss, limited, soft_rank  # noqa: E402
from jido.methods import score_members  # noqa: E402
from jido.methods.net import NetConfig, NetModel  # noqa: E402
from jido.methods.score_members import (  # noqa: E402
    TilesInClusters,
    agreement,
    best_round,
    draw_lesson,
    on_one_scale,
    upright,
)
from jido.methods.score_package import DEVELOPMENT, ScoreModel  # noqa: E402
from jido.methods.score_survey import OURS, train_on_survey  # noqa: E402
from jido.methods.siscore import (  # noqa: E402
    Ensemble,
    SiscoreConfig,
    load_siscore_config,
    scale_of,
    standardised,
    train_score,
)
from jido.methods.tile_features import averaged, net_tile_features, random_tile_features  # noqa: E402
from jido.methods.transfer import NEIGHBOURS  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.stats.intervals import member_interval  # noqa: E402
from jido.stats.ordering import kendall_tau, parse_chains, parse_relations  # noqa: E402
from jido.stats.partial_order import Order, weak_order  # noqa: E402

QUICK = SiscoreConfig(members=4, epochs=3, steps=15, tiles=8, learning_rate=0.05)
RGB = tuple(Band(name) for name in ("red", "green", "blue"))
NORTH = np.array([0.0, 40.0])
D = 12
ALONG = np.r_[np.ones(3), np.zeros(D - 3)]
"""Features that tell of development, among others that do not."""
ONE_ORDER = "There is one order alone: the intervals know nothing of how experts differ."


def features_of(level: np.ndarray, *, seed: int, apart: float = 1.0) -> np.ndarray:
    """(N, D): three features rise with the level, all have noise."""
    rng = np.random.default_rng(seed)
    return (3 * np.outer(level, ALONG) + apart * rng.normal(size=(len(level), D))).astype(np.float32)


def world(k: int = 8, each: int = 10, *, seed: int = 0, kinds: str = "") -> tuple[np.ndarray, Clusters]:
    """Features of tiles in clusters called by their level, 0 the least developed."""
    code = np.repeat(np.arange(k), each)
    ids = np.array([f"t{i}" for i in range(len(code))])
    kind = np.array([kinds.split()[i] if kinds else "" for i in code])
    return features_of(code / (k - 1), seed=seed), Clusters(ids, code.astype(str), kind)


def chain(names: str) -> Order:
    return parse_chains(names)[0]


def trained(x, clusters, *orders, config=QUICK, ids=None, **changed):
    ids = clusters.ids if ids is None else ids
    return train_score(x, ids, clusters, orders, config=config.model_copy(update=changed))


WHOLE = chain("7>6>5>4>3>2>1>0")


# -- the loss ----------------------------------------------------------------------------------


def test_soft_ranks_of_clear_gaps_are_ranks_and_of_equals_the_middle():
    found = soft_rank(torch.tensor([1.0, 0.0, 2.0, 3.0]), sharpness=30)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 2.0, 3.0]))
    # four equals: each lies half above each of three others
    torch.testing.assert_close(soft_rank(torch.zeros(4), sharpness=30), torch.full((4,), 1.5))
    # ranks of any scores add to 0 + 1 + ... + n - 1: sigmoid(x) + sigmoid(-x) = 1
    drawn = torch.randn(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft_rank(drawn, sharpness=2).sum(), torch.tensor(21.0))


def test_equals_that_should_differ_are_driven_apart():
    scores = torch.zeros(2, requires_grad=True)
    loss = SoftRankLoss(sharpness=30, spread=4)(scores, torch.tensor([0, 1]))
    loss.backward()
    # ranks .5 and .5 instead of 0 and 1: (.25 + .25) / 2. Slope by score 0: .5 x 30/4 + -.5 x -30/4
    assert loss.item() == pytest.approx(0.25)
    assert scores.grad.tolist() == pytest.approx([7.5, -7.5])


def test_the_price_of_spread_by_hand():
    # cluster 0: .0 and .2, mean .1, variance .01; cluster 1: 1 and 1. Mean variance .005. The ranks are right
    scores, place = torch.tensor([0.0, 1.0, 0.2, 1.0]), torch.tensor([0, 1, 0, 1])
    ranks, variance = SoftRankLoss(sharpness=30).terms(scores, place)
    assert ranks.item() == pytest.approx(0, abs=1e-9)
    assert variance.item() == pytest.approx(0.005)
    assert SoftRankLoss(sharpness=30, spread=4)(scores[:, None], place).item() == pytest.approx(0.02)
    # clusters count alike, whatever their numbers of tiles
    more = SoftRankLoss(sharpness=30).terms(
        torch.cat([scores, torch.ones(6)]), torch.tensor([0, 1, 0] + [1] * 7)
    )
    assert more[1].item() == pytest.approx(0.005)


def test_a_wrong_order_costs_and_a_shift_does_not():
    loss, place = SoftRankLoss(sharpness=30), torch.tensor([0, 1, 2])
    # ranks 2, 1, 0 instead of 0, 1, 2: (4 + 0 + 4) / 3
    assert loss(torch.tensor([2.0, 1.0, 0.0]), place).item() == pytest.approx(8 / 3)
    drawn = torch.tensor([0.1, 0.4, 0.3])
    torch.testing.assert_close(loss(drawn, place), loss(drawn + 5, place))


def test_what_has_no_order_to_learn_from_is_refused():
    with pytest.raises(ModelError, match="A path of one cluster has no order to learn from"):
        SoftRankLoss()(torch.rand(3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ModelError, match="Place 1 of 3 on the path has no tile"):
        SoftRankLoss()(torch.rand(3), torch.tensor([0, 2, 2]))
    for wrong in ({"sharpness": 0}, {"spread": -1}):
        with pytest.raises(ModelError, match="sharpness is above 0 and spread not below it"):
            SoftRankLoss(**wrong)


def test_a_score_beyond_its_ends_can_come_back():
    torch.testing.assert_close(limited(torch.tensor([-1.0, 0.3, 1.5])), torch.tensor([-0.05, 0.3, 1.025]))
    ends = {}
    for leak in (0.0, 0.05):
        score = torch.tensor([3.0, 2.0], requires_grad=True)  # both beyond 1, and the wrong way round
        for _ in range(60):
            loss = SoftRankLoss(sharpness=4)(limited(score, leak=leak), torch.tensor([0, 1]))
            (slope,) = torch.autograd.grad(loss, score)
            score = (score - slope).detach().requires_grad_()
        ends[leak] = score.tolist()
    assert ends[0.0] == [3.0, 2.0]
    assert ends[0.05][0] < 1 < ends[0.05][1]


# -- members -----------------------------------------------------------------------------------


def tiles_at(**values: list[float]) -> TilesInClusters:
    """Tiles with one feature."""
    names = [name[1:] for name, some in values.items() for _ in some]
    return TilesInClusters.of(
        np.concatenate(list(values.values()))[:, None].astype(np.float32), np.array(names)
    )


def test_members_speak_on_one_scale():
    tiles, order = tiles_at(_0=[1, 3], _1=[4], _2=[5, 7]), chain("2>1>0")
    # means 2, 4, 6 for levels 0, .5, 1: a quarter of them, less a half
    for times in (1.0, 7.0):
        weight, bias = on_one_scale(np.array([times], np.float32), tiles, order)
        assert weight == pytest.approx([0.25])
        assert bias == pytest.approx(-0.5)
    # a cluster of which nothing is said has no level, so 100 does not count
    apart = replace(tiles, names=(*tiles.names, "x"), code=np.r_[tiles.code, 3],
                    features=np.r_[tiles.features, [[100]]])  # fmt: skip
    assert on_one_scale(np.ones(1), apart, chain("2>1>0, x"))[1] == pytest.approx(-0.5)
    flat = on_one_scale(np.zeros(1, np.float32), tiles, order)
    assert (flat[0].tolist(), flat[1]) == ([0.0], pytest.approx(0.5))


def test_agreement_by_hand():
    order, means = chain("3>2>1>0"), {"0": 9.0, "1": 1.0, "2": 3.0, "3": 2.0}
    # pairs of 1, 2, 3: two as they should be, 2 and 3 the wrong way round
    assert agreement(means, order, {"0"}) == pytest.approx(1 / 3)
    assert agreement({**means, "0": -9.0}, order, {"0"}) == pytest.approx(1 / 3)  # it was seen: no say
    # 2 = 3: two of three pairs count in the order, three in the scores
    assert agreement(means, chain("3=2>1>0"), {"0"}) == pytest.approx(2 / np.sqrt(2 * 3))
    assert agreement(means, chain("3>1, 2>0"), set()) == pytest.approx((1 - 1) / 2)  # two pairs are stated
    assert np.isnan(agreement(means, order, {"0", "1", "2"}))
    assert np.isnan(agreement({"0": 1.0, "1": 1.0}, chain("1>0"), set()))


def test_who_saw_one_of_two_clusters_gets_no_credit_for_knowing_its_place():
    # clusters that were seen stand where they belong, the others all in the middle plus noise
    rng, order = np.random.default_rng(0), weak_order([[str(i)] for i in range(20)])
    seen = {str(i) for i in range(0, 20, 2)}
    found = [
        agreement({n: float(n) if n in seen else rng.normal(9.5, 1) for n in order.names}, order, seen)
        for _ in range(200)
    ]
    assert np.mean(found) == pytest.approx(0, abs=0.05)  # standard error .02; with all pairs it would be .33


def test_the_round_is_chosen_by_all_members_together():
    assert best_round(np.array([[0.1, 0.5, 0.4], [0.3, np.nan, 0.4]])) == 1  # means .2, .5, .4
    assert best_round(np.array([[0.4, 0.2, 0.4]])) == 2  # of equals the last
    assert best_round(np.full((2, 3), np.nan)) == 2


def test_draws_keep_a_cluster_that_is_alone_of_its_kind():
    x, clusters = world(kinds="uninhabited rural rural rural urban urban urban urban")
    tiles = TilesInClusters.of(x, clusters.cluster)
    lessons = [draw_lesson(tiles, [WHOLE], clusters, QUICK, i) for i in range(30)]
    seen = [set(lesson.order.names) for lesson in lessons]
    assert all("0" in some for some in seen)
    assert all(1 <= len(some & set("123")) <= 3 for some in seen)
    assert {len(some) for some in seen} >= {5, 6}
    assert all(lesson.whole.names == WHOLE.names for lesson in lessons)
    every = draw_lesson(tiles, [WHOLE], clusters, QUICK.model_copy(update={"resample": False}), 0)
    assert every.order.names == WHOLE.names
    np.testing.assert_array_equal(every.pool["3"], clusters.members("3"))
    which, place = every.step(5)
    np.testing.assert_array_equal(clusters.cluster[which].astype(int), place)
    np.testing.assert_array_equal(place, np.repeat(np.arange(8), 5))


def test_experts_who_have_it_upside_down_cannot_turn_a_member():
    x, clusters = world()
    wrong = weak_order(WHOLE.groups[::-1])
    experts = [wrong, WHOLE, wrong, WHOLE, WHOLE, wrong, WHOLE]
    standing = upright(experts)
    assert standing == [WHOLE] * 7
    assert upright([wrong]) == [wrong]
    tiles = TilesInClusters.of(x, clusters.cluster)
    for i in range(25):  # 3 of 7: in 21 of 100 draws of 7 they are the majority
        assert kendall_tau(draw_lesson(tiles, standing, clusters, QUICK, i).whole, WHOLE) > 0
    made = trained(x, clusters, *experts)
    assert spearmanr(made.ensemble.members(x).mean(0), clusters.cluster.astype(int)).statistic > 0.8


def test_a_draw_without_whoever_compares_two_parts_is_drawn_again():
    x, clusters = world(6)
    experts = parse_chains("1>0\n1>0\n5>4>3>2\n5>4>3>2\n5>4>3>2>1>0")
    made = trained(x, clusters, *experts, members=8)
    assert np.isfinite(made.ensemble.weight).all()


# -- the ensemble ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_more_members_leave_the_first_as_they_are():
    x, clusters = world()
    one, same, more = (trained(x, clusters, WHOLE, members=n, epochs=2) for n in (2, 2, 3))
    np.testing.assert_array_equal(one.ensemble.members(x), same.ensemble.members(x))
    np.testing.assert_array_equal(one.agreement, same.agreement)
    if one.kept == more.kept:
        np.testing.assert_array_equal(more.ensemble.weight[:2], one.ensemble.weight)
    other = trained(x, clusters, WHOLE, members=2, epochs=2, seed=1)
    assert not np.array_equal(one.ensemble.weight, other.ensemble.weight)


def test_a_planted_order_is_found_in_tiles_that_nobody_has_seen():
    x, clusters = world(12)
    made = trained(x, clusters, weak_order([[str(i)] for i in range(12)]), members=6)
    level = np.random.default_rng(5).uniform(size=300)
    said = made.ensemble.members(features_of(level, seed=6))
    assert said.shape == (6, 300)
    assert said.min() >= 0
    assert said.max() <= 1
    # no score can do better than the sum of the three features, .83
    assert spearmanr(said.mean(0), level).statistic > 0.75
    assert np.mean(made.agreement) > 0.8
    assert made.notes == (ONE_ORDER,)


def test_of_shuffled_clusters_nothing_is_learned_and_the_agreement_says_so():
    level, found = np.random.default_rng(5).uniform(size=300), []
    for seed in range(10):
        x, clusters = world(12, seed=seed)
        order = weak_order([[str(i)] for i in np.random.default_rng(seed).permutation(12)])
        made = trained(x, clusters, order, members=4, epochs=2, seed=seed)
        said = made.ensemble.members(features_of(level, seed=6)).mean(0)
        found.append((spearmanr(said, level).statistic, np.nanmean(made.agreement)))
    assert np.abs(np.mean(found, axis=0)).max() < 0.25


def test_another_study_scores_a_tile_inside_the_interval():
    # other clusters, other tiles, other experts; 2 x 18 scores differ by sqrt(2) of the error of one
    rng, new = np.random.default_rng(0), features_of(np.linspace(0, 1, 60), seed=1)
    studies = []
    for seed in range(4):
        level = rng.uniform(size=10)
        x = features_of(np.repeat(level, 10), seed=seed + 2) + np.repeat(
            rng.normal(0, 0.4, (10, D)), 10, axis=0
        )
        said = [np.round(6 * (level + rng.normal(0, 0.1, 10))) for _ in range(5)]
        experts = [
            weak_order([np.flatnonzero(s == v).astype(str).tolist() for v in np.unique(s)]) for s in said
        ]
        clusters = Clusters(
            np.arange(100).astype(str), np.repeat(np.arange(10), 10).astype(str), np.full(100, "")
        )
        made = trained(x, clusters, *experts, members=8, epochs=2, steps=12, seed=seed)
        studies.append(made.ensemble.members(new))
    inside = []
    for one in studies:
        _, lower, upper, _ = member_interval(one, level=0.95, bounds=(0, 1))
        others = np.array([other.mean(0) for other in studies if other is not one])
        inside.append(((lower <= others) & (others <= upper)).mean())
        assert 0.1 < (upper - lower).mean() < 0.9
    assert np.mean(inside) > 0.85


# -- odd clusters, orders and tiles ------------------------------------------------------------


def test_a_cluster_without_tiles_keeps_what_follows_through_it():
    x, clusters = world(2)
    made = trained(x, clusters, parse_relations("0<x\nx<1"))
    said = made.ensemble.members(x).mean(0)
    assert said[clusters.members("1")].mean() > said[clusters.members("0")].mean() + 0.5
    assert made.notes == (
        "Cluster x of the order has no tiles: only what follows from it counts.",
        ONE_ORDER,
        "All members see all clusters, as they are few: the intervals know nothing of others.",
    )


def test_tiles_in_no_cluster_and_clusters_in_no_order_change_nothing_and_are_named():
    x, clusters = world()
    plain = trained(x, clusters, WHOLE)
    odd = np.full((3, D), 50, np.float32)
    ids = np.array([*clusters.ids, "stranger", "a", "b"])
    more = Clusters(
        np.array([*clusters.ids, "a", "b", "gone"]), np.array([*clusters.cluster, *"xx0"]), np.full(83, "")
    )
    made = trained(np.concatenate([x, odd]), more, WHOLE, ids=ids)
    np.testing.assert_array_equal(made.ensemble.weight, plain.ensemble.weight)
    np.testing.assert_array_equal(made.ensemble.mean, plain.ensemble.mean)
    assert made.notes == (
        "Cluster x is not in the order and teaches nothing.",
        "Of 83 tiles in clusters 1 are not among the tiles.",
        "1 of 83 tiles are in no cluster and teach nothing.",
        ONE_ORDER,
    )


def test_a_cluster_of_one_tile_teaches_and_is_named():
    x, clusters = world()
    keep = np.r_[0:71]
    few = Clusters(clusters.ids[keep], clusters.cluster[keep], clusters.kind[keep])
    made = trained(x[keep], few, WHOLE)
    assert made.notes == ("Cluster 7 has one tile alone, which tells nothing of its spread.", ONE_ORDER)
    assert np.isfinite(made.ensemble.weight).all()


def test_tiles_without_data_teach_nothing_and_get_no_score():
    x, clusters = world()
    holes = x.copy()
    holes[[3, 44], 2] = np.nan
    rest = np.delete(np.arange(80), [3, 44])
    fewer = Clusters(clusters.ids[rest], clusters.cluster[rest], clusters.kind[rest])
    made, plain = trained(holes, clusters, WHOLE), trained(x[rest], fewer, WHOLE)
    np.testing.assert_array_equal(made.ensemble.weight, plain.ensemble.weight)
    assert made.notes == ("2 tiles of clusters have no data and are left out.", ONE_ORDER)
    said = made.ensemble.members(holes)
    assert np.isnan(said[:, [3, 44]]).all()
    assert np.isfinite(said[:, rest]).all()
    holes[:10] = np.nan
    assert trained(holes, clusters, WHOLE).notes[0] == "No tile of cluster 0 has data, so it teaches nothing."


def test_orders_of_which_nothing_can_be_learned_are_refused():
    x, clusters = world()
    for order in (chain("0=1=2"), chain("0, 1, 2"), chain("0<x, 1<y")):
        with pytest.raises(
            LabelsError, match="says of no two clusters with tiles which is the more developed"
        ):
            trained(x, clusters, order)
    with pytest.raises(LabelsError, match="No tile is in a cluster of the order: check the names"):
        trained(x, clusters, chain("a>b"))
    with pytest.raises(LabelsError, match="What 2 experts say together tells no two clusters apart"):
        trained(x, clusters, chain("2>1>0"), chain("2>1>0"))
    with pytest.raises(LabelsError, match="1 of 2 experts say the opposite"):
        trained(x, clusters, WHOLE, weak_order(WHOLE.groups[::-1]))


def test_draws_that_leave_no_path_are_drawn_again_and_then_it_is_said(monkeypatch):
    # two of 60 clusters are in order: a draw holds both with a chance of about .63²
    x, clusters = world(60, 1)
    tiles, order = (
        TilesInClusters.of(x, clusters.cluster),
        parse_relations("0<1\n" + "\n".join(map(str, range(2, 60)))),
    )
    for number in range(20):
        assert {"0", "1"} <= set(draw_lesson(tiles, [order], clusters, QUICK, number).order.names)
    monkeypatch.setattr(score_members, "TRIES", 1)
    numbers = iter(range(20))
    with pytest.raises(LabelsError, match=r"none left two clusters .* set resample = false"):
        [draw_lesson(tiles, [order], clusters, QUICK, number) for number in numbers]
    assert next(numbers) < 10


def test_without_resampling_members_see_all_and_differ_little():
    x, clusters = world()
    alike, drawn = (trained(x, clusters, WHOLE, resample=flag, epochs=2) for flag in (False, True))
    assert np.isnan(alike.agreement).all()
    assert alike.kept == 2
    spread = [made.ensemble.members(x).std(0).mean() for made in (alike, drawn)]
    assert 0 < spread[0] < 0.5 * spread[1]


def test_uninhabited_clusters_stand_below_all_unless_somebody_says_otherwise():
    x, clusters = world(3, kinds="uninhabited rural urban")
    said = trained(x, clusters, chain("2>1")).ensemble.members(x).mean(0)
    means = [said[clusters.members(name)].mean() for name in "012"]
    assert means == sorted(means)
    other = trained(x, clusters, chain("0>2>1")).ensemble.members(x).mean(0)
    assert other[clusters.members("0")].mean() > other[clusters.members("1")].mean()


def test_a_feature_that_does_not_vary_but_for_rounding_has_no_say():
    x, clusters = world()
    rounded = np.where(np.arange(80) % 2, np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1)))
    made = trained(np.column_stack([x, rounded]), clusters, WHOLE)
    np.testing.assert_array_equal(made.ensemble.weight[:, -1], 0)
    far = np.column_stack([x, rounded + 1000])
    np.testing.assert_array_equal(
        made.ensemble.members(far), made.ensemble.members(np.column_stack([x, rounded]))
    )
    with pytest.raises(LabelsError, match="All 80 tiles look the same"):
        trained(np.full_like(x, 0.1), clusters, WHOLE)


def test_one_odd_tile_is_cut():
    mean, sd = scale_of(np.array([[0.0, 1], [2, 5]]))
    np.testing.assert_allclose([mean, sd], [[1, 3], [1, 2]])
    # over the root of two features; the first is cut at four standard deviations
    found = standardised(np.array([[1000.0, 5]]), mean, sd)
    np.testing.assert_allclose(found, [[4 / np.sqrt(2), 1 / np.sqrt(2)]], rtol=1e-6)
    assert found.dtype == np.float32


def test_a_training_that_leaves_the_numbers_says_so():
    x, clusters = world()
    with pytest.raises(ModelError, match="no numbers any more: take a lower learning_rate"):
        trained(x, clusters, WHOLE, learning_rate=1.0, weight_decay=1e9, members=2)


def test_settings_that_do_not_exist_are_refused(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("membres = 3")
    with pytest.raises(ModelError, match="membres"):
        load_siscore_config(file, preset="cpu")
    assert load_siscore_config(None, preset="smoke", given={"seed": 3}).members == 3


# -- features ----------------------------------------------------------------------------------


def textured(n: int = 24, side: int = 16, *, seed: int = 0, **facts) -> Chips:
    """Tiles with more and more contrast."""
    rng, contrast = np.random.default_rng(seed), np.linspace(5, 60, n)[:, None, None, None]
    images = np.clip(120 + contrast * rng.normal(size=(n, 3, side, side)), 0, 255).astype(np.uint8)
    return Chips(images, np.full(n, -1), np.array([f"t{i}" for i in range(n)]), (), RGB, **facts)


def test_tiles_that_would_be_seen_otherwise_are_refused():
    known = random_tile_features(textured(pixel_m=(10.0, 10.0)), count=4, side=16, seed=0)
    chips = textured(seed=1, pixel_m=(10.5, 10.5))
    known.require_fit(chips)
    assert known.of(chips).shape == (24, 8)
    with pytest.raises(ImageError, match="bands red, green, blue, the tiles have blue, green, red"):
        known.require_fit(replace(chips, bands=RGB[::-1]))
    with pytest.raises(ImageError, match="16 pixels of 10 m, these have 16 of 20 m: cut tiles"):
        known.require_fit(replace(chips, pixel_m=(20.0, 20.0)))
    with pytest.raises(ImageError, match="16 pixels of 10 m, these have 16 of 20 m"):
        known.require_fit(textured(side=32, pixel_m=(10.0, 10.0)))  # twice as large on the ground
    known.require_fit(textured(side=32, pixel_m=(5.0, 5.0)))
    with pytest.raises(ImageError, match=r"median 0.4.*give images of the same processing as in training"):
        known.require_fit(replace(chips, images=(chips.images / 255).astype(np.float32)))


def test_where_nobody_knows_the_size_of_pixels_their_number_tells():
    known = random_tile_features(textured(), count=4, side=16, seed=0)
    known.require_fit(textured(side=32))
    with pytest.raises(ImageError, match="from tiles of 16 pixels a side, these have 8"):
        known.require_fit(textured(side=8))


def test_large_tiles_are_averaged_over_what_has_data():
    images = np.array([[[[0, 4, 1, 1], [8, 12, 1, 2], [9, 9, 0, 0], [9, 9, 0, 0]]]], np.uint8)
    chips = Chips(images, np.full(1, -1), np.array(["t"]), (), RGB[:1])
    # 1.25 is rounded: bytes stay bytes
    np.testing.assert_array_equal(averaged(chips, 2).images, [[[[6, 1], [9, 0]]]])
    holes = images.astype(np.float32)
    holes[..., :2, :2] = [[np.nan, 4], [8, np.nan]]
    holes[..., 2:, 2:] = np.nan
    found = averaged(replace(chips, images=holes), 2).images
    np.testing.assert_array_equal(found, np.float32([[[[6, 1.25], [9, np.nan]]]]))
    assert averaged(chips, 4) is chips


def a_net(folder: Path, *, side: int = 16, pixel_m=None) -> Path:
    """Package of a small net for whole tiles, which has learned nothing."""
    torch.manual_seed(0)
    settings = {"in_channels": 3, "out_channels": 3, "width": 4}
    config = NetConfig(net="compact", settings=settings, mean=(120,) * 3, sd=(40,) * 3, patch=side,
                       stride=side, tile=side)  # fmt: skip
    net = build_net("compact", **settings)
    NetModel(net, config, RGB, named_scheme("scene", ("a", "b", "c")), pixel_m).save(folder)
    return folder


def test_a_net_of_whole_tiles_describes_them_too(tmp_path):
    chips = textured(side=32)
    known = net_tile_features(a_net(tmp_path / "net", side=32), chips)
    found = known.of(chips)
    assert known.kind == "net"
    assert found.shape[0] == 24
    assert np.ptp(found, axis=0).max() > 0
    # larger tiles are averaged to what the net knows; smaller ones are refused
    np.testing.assert_allclose(known.of(textured_twice(chips)), found, atol=1e-4)
    with pytest.raises(ImageError, match="from tiles of 32 pixels a side, these have 16"):
        known.require_fit(textured())
    holes = chips.images.astype(np.float32)
    holes[5] = np.nan
    assert np.isnan(known.of(replace(chips, images=holes))[5]).all()
    assert np.isfinite(known.of(replace(chips, images=holes))[4]).all()
    with pytest.raises(ImageError, match="bands red, green, blue, the tiles have"):
        net_tile_features(tmp_path / "net", replace(chips, bands=RGB[::-1]))


def textured_twice(chips: Chips) -> Chips:
    return replace(chips, images=chips.images.repeat(2, axis=2).repeat(2, axis=3))


def test_models_of_other_things_do_not_describe_tiles(tmp_path, model):
    with pytest.raises(ModelError, match="is no model of whole tiles: give one of jido score label"):
        net_tile_features(model, textured())
    with pytest.raises(ModelError, match="no model package"):
        net_tile_features(tmp_path, textured())


# -- packages ----------------------------------------------------------------------------------


def scorer(known, chips: Chips, **changed) -> ScoreModel:
    rng = np.random.default_rng(0)
    found = known.of(chips)
    mean, sd = scale_of(found)
    ensemble = Ensemble(
        mean, sd, rng.normal(size=(5, found.shape[1])).astype(np.float32), np.full(5, 0.5), (0, 1)
    )
    facts = {"target": DEVELOPMENT, "level": 0.9, "half": None, "config": {"seed": 0},
             "evaluation": {"agreement": 0.5}, "facts": {"experts": ["Ann"]}}  # fmt: skip
    return ScoreModel(features=known, ensemble=ensemble, **(facts | changed))


@pytest.mark.parametrize("kind", ["random", "net"])
def test_a_package_gives_the_same_scores(tmp_path, kind):
    chips = textured(side=32, pixel_m=(10.0, 10.0))
    known = random_tile_features(chips, count=4, side=16, seed=0)
    if kind == "net":
        known = net_tile_features(a_net(tmp_path / "net", side=32, pixel_m=(10.0, 10.0)), chips)
    model = scorer(known, chips)
    model.save(tmp_path / "model")
    back = ScoreModel.load(tmp_path / "model")
    one, other = model.scores(chips), back.scores(chips)
    for part in ("score", "lower", "upper", "members"):
        near = 0 if kind == "random" else 1e-5  # a net sums in another order as its memory lies otherwise
        np.testing.assert_allclose(getattr(other, part), getattr(one, part), rtol=0, atol=near)
    for part in ("target", "level", "half", "config", "evaluation", "facts", "bounds"):
        assert getattr(back, part) == getattr(model, part)
    assert back.features.radiometry == known.radiometry
    assert "only a survey can tell" in " ".join((tmp_path / "model/README.md").read_text().split())
    expected = member_interval(one.members, level=0.9, bounds=(0, 1))
    np.testing.assert_array_equal([one.score, one.lower, one.upper], expected[:3])


def test_the_interval_of_a_survey_is_as_wide_as_its_groups_have_told(tmp_path):
    chips = textured()
    known = random_tile_features(chips, count=4, side=16, seed=0)
    unbound = replace(scorer(known, chips).ensemble, bounds=(-np.inf, np.inf))
    model = replace(scorer(known, chips, target="wealth", half=0.75), ensemble=unbound)
    model.save(tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["bounds"] == [None, None]
    back = ScoreModel.load(tmp_path / "model")
    assert back.bounds == (-np.inf, np.inf)
    found = back.scores(chips)
    np.testing.assert_allclose(found.upper - found.score, 0.75)
    np.testing.assert_allclose(found.score - found.lower, 0.75)


def test_tiles_without_data_have_no_score_and_no_interval(tmp_path):
    chips = textured()
    model = scorer(random_tile_features(chips, count=4, side=16, seed=0), chips)
    holes = chips.images.astype(np.float32)
    holes[7] = np.nan
    found = model.scores(replace(chips, images=holes))
    for part in (found.score, found.lower, found.upper, found.members.T):
        np.testing.assert_array_equal(np.isnan(part.reshape(24, -1)).any(1), np.arange(24) == 7)


def test_packages_that_were_changed_or_are_of_something_else_are_refused(tmp_path, model):
    chips, folder = textured(), tmp_path / "model"
    scorer(random_tile_features(chips, count=4, side=16, seed=0), chips).save(folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    held, facts = weights.read_bytes(), json.loads(config.read_text())

    def refused(words: str, **changed: object) -> None:
        config.write_text(json.dumps(facts | changed))
        with pytest.raises(ModelError, match=words):
            ScoreModel.load(folder)
        config.write_text(json.dumps(facts))

    weights.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    refused("model.safetensors is missing, cut short or was changed since training")
    weights.write_bytes(held)
    refused("holds facts that cannot be used: train the score again", bounds=[0])
    refused("holds facts that cannot be used", features={"kind": "random"})
    refused("holds facts that cannot be used", level="high")
    refused("newer Jido", format=99)
    with pytest.raises(ModelError, match=r"gives tiles no score \(method 'forest'\)"):
        ScoreModel.load(model)
    (folder / "metrics.json").unlink()
    refused("holds facts that cannot be used")
    with pytest.raises(ModelError, match="no model package"):
        ScoreModel.load(tmp_path)


# -- the other route: a survey -----------------------------------------------------------------


def land(rng: np.random.Generator, groups: int, *, each: int = 4, shift: float = 0.3):
    """Countries 5 degrees apart; clusters with 9 tiles of 2 km around them, whose first feature counts."""
    at, tiles, x, value, truth = [], [], [], [], []
    around = np.stack(np.meshgrid(*[[-0.018, 0, 0.018]] * 2), -1).reshape(-1, 2)
    for group in range(groups):
        off = rng.normal(0, shift)
        for _ in range(each):
            at.append([5 * group - 150 + rng.uniform(0, 2), rng.uniform(0, 2)])
            tiles.append(around + at[-1])
            x.append(rng.normal(size=4) + rng.normal(0, 0.5, (9, 4)))
            truth.append(x[-1][:, 0] + off)
            value.append(truth[-1].mean() + rng.normal(0, 0.3))
    country = np.repeat([f"c{i}" for i in range(groups)], each)
    survey = Survey(np.array(at), np.array(value), None, country, np.arange(2, len(at) + 2))
    return survey, np.concatenate(tiles), np.concatenate(x).astype(np.float32), np.concatenate(truth)


def surveyed(survey, tiles, x, **more):
    return train_on_survey(
        x, tiles, survey, config=SiscoreConfig(members=8, level=0.9), tile_m=2000.0, **more
    )


def test_a_planted_line_is_found():
    survey, tiles, x, truth = land(np.random.default_rng(1), 30)
    made = surveyed(survey, tiles, x)
    # the best that any line on features can do: that of the one which counts, averaged over the windows
    windows = window_weights(survey.lonlat, tiles, tile_m=2000.0)
    best = np.corrcoef(windows.averaged(x[:, 0]), survey.value)[0, 1] ** 2
    assert best - 0.05 < made.transfer.arms[OURS].pooled.squared_pearson["value"] < best + 0.01
    assert "countries" in made.transfer.kind
    assert spearmanr(made.ensemble.members(x).mean(0), truth).statistic > 0.9
    assert made.ensemble.bounds == (-np.inf, np.inf)
    again = surveyed(survey, tiles, x)
    np.testing.assert_array_equal(again.ensemble.weight, made.ensemble.weight)


def test_the_interval_of_a_survey_holds_in_new_countries():
    inside, alone = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        made = surveyed(*land(rng, 20)[:3])
        survey, tiles, x, _ = land(rng, 30)
        said = made.ensemble.members(x)
        windows = window_weights(survey.lonlat, tiles, tile_m=2000.0)
        miss = np.abs(windows.averaged(said.mean(0)) - survey.value)
        inside.append((miss <= made.half).mean())
        alone.append((miss <= 1.9 * windows.averaged(said.T).std(axis=1)).mean())
    assert 0.87 < np.mean(inside) < 0.98  # it asks for .9; 480 clusters in 120 countries
    assert np.mean(alone) < 0.7  # which is why the spread of members is not the interval


def test_clusters_outside_the_imagery_are_left_out_and_too_few_are_refused():
    survey, tiles, x, _ = land(np.random.default_rng(0), 10)
    far = replace(survey, lonlat=np.where(np.arange(40)[:, None] < 3, survey.lonlat + NORTH, survey.lonlat))
    made = surveyed(far, tiles, x)
    assert made.notes[0].startswith("3 of 40 clusters lie outside the imagery and are left out")
    with pytest.raises(LabelsError, match=r"29 survey clusters lie inside the imagery.* give 30 or more"):
        surveyed(survey.subset(np.arange(29)), tiles, x)
    with pytest.raises(LabelsError, match="None of the 40 clusters has a tile within"):
        surveyed(replace(survey, lonlat=survey.lonlat + NORTH), tiles, x)
    with pytest.raises(LabelsError, match="No tile has data: give other images"):
        surveyed(survey, tiles, np.full_like(x, np.nan))


def test_tiles_without_data_are_in_no_window():
    survey, tiles, x, _ = land(np.random.default_rng(0), 10)
    holes = x.copy()
    holes[::9] = np.nan
    rest = np.arange(len(x)) % 9 > 0
    np.testing.assert_array_equal(
        surveyed(survey, tiles, holes).ensemble.weight, surveyed(survey, tiles[rest], x[rest]).ensemble.weight
    )


def test_nightlights_are_a_floor_and_gaps_in_them_are_said():
    survey, tiles, x, _ = land(np.random.default_rng(0), 10)
    light = np.maximum(x[:, 0], 0)
    made = surveyed(survey, tiles, x, light=light)
    assert set(made.transfer.arms) == {OURS, f"{OURS} + nightlight", NEIGHBOURS, "constant"}
    assert made.transfer.arms[NEIGHBOURS].pooled.squared_pearson["value"] > 0.2
    light[:5] = np.nan
    assert (
        "5 tiles lie outside the nightlights and count as dark."
        in surveyed(survey, tiles, x, light=light).notes
    )
    dark = surveyed(survey, tiles, x, light=np.zeros(len(x)))
    assert "No tile has any nightlight, so the floor of nightlights is a constant." in dark.notes


def test_more_certainty_than_so_few_countries_can_promise_is_lowered():
    survey, tiles, x, _ = land(np.random.default_rng(0), 8)
    made = surveyed(survey, tiles, x)
    assert made.transfer.level == pytest.approx(8 / 9)
    assert any("8 groups promise intervals of 0.889 at most" in text for text in made.notes)
