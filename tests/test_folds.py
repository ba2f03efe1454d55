"""Laws of the splits: what is tested never trains, not even through its neighbour."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jido.errors import FoldsError
from jido.labels import (
    cap_per_group,
    few_labels,
    group_kfold,
    leave_one_group_out,
    random_pixels_leaking,
    spatial_blocks,
)

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(30), RNG.integers(1, 40, 30))
Y = GROUPS % 3  # ten groups of each class
XY = RNG.uniform(0, 10_000, (600, 2))
XY_CLASS = (XY[:, 0] > 5_000).astype(int)


def all_splits():
    return [
        group_kfold(GROUPS, Y, k=5, seed=1),
        leave_one_group_out(GROUPS),
        spatial_blocks(XY, XY_CLASS, block=1_000, k=4, buffer=0, seed=1),
        random_pixels_leaking(100, k=3, seed=1),
    ]


@pytest.mark.parametrize("folds", all_splits(), ids=lambda folds: folds.kind)
def test_every_sample_is_tested_once_and_trains_otherwise(folds):
    tested = np.zeros(len(folds.fold), dtype=int)
    splits = list(folds)
    assert len(splits) == folds.k
    for train, test in splits:
        assert len(test) > 0
        tested[test] += 1
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(tested)))
    np.testing.assert_array_equal(tested, 1)


@pytest.mark.parametrize("names", [GROUPS, np.char.add("polygon ", GROUPS.astype(str))])
def test_no_group_stands_in_two_folds(names):
    for folds in (group_kfold(names, Y, k=5, seed=1), leave_one_group_out(names)):
        assert not folds.leaks
        for train, test in folds:
            assert not set(names[train]) & set(names[test])


def test_group_kfold_spreads_classes_evenly():
    folds = group_kfold(GROUPS, Y, k=5, seed=1)
    for fold in range(5):
        groups = np.unique(GROUPS[folds.fold == fold])
        assert np.bincount(groups % 3).tolist() == [2, 2, 2]  # ten groups a class over five folds


def test_group_kfold_spreads_rare_classes_over_different_folds():
    classes = np.array([0, 1, 2, 3, 4])  # five classes of one group each
    assert sorted(group_kfold(classes, classes, k=5, seed=3).fold) == [0, 1, 2, 3, 4]


def test_seed_decides_the_draw():
    def draw(seed):
        return group_kfold(GROUPS, Y, k=5, seed=seed).fold

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


@pytest.mark.parametrize("k", [0, 1, 31])
def test_more_folds_than_groups_are_refused(k):
    with pytest.raises(FoldsError, match=f"{k} folds were asked for but there are 30 groups"):
        group_kfold(GROUPS, Y, k=k, seed=0)
    with pytest.raises(FoldsError, match="only 1 blocks"):
        spatial_blocks(XY, XY_CLASS, block=20_000, k=2, buffer=0, seed=0)


def test_leave_one_group_out_has_a_fold_per_group():
    cities = np.array(["Lima", "Rome", "Lima", "Oslo"])
    folds = leave_one_group_out(cities)
    assert folds.k == 3
    assert {frozenset(cities[test]) for _, test in folds} == {
        frozenset([c]) for c in ("Lima", "Rome", "Oslo")
    }
    with pytest.raises(FoldsError, match="at least 2 groups"):
        leave_one_group_out(np.array(["Lima", "Lima"]))


@pytest.mark.parametrize("buffer", [500.0, 1_200.0])
def test_buffer_stands_between_training_and_test(buffer):
    plain = spatial_blocks(XY, XY_CLASS, block=2_500, k=4, buffer=0, seed=2)
    folds = spatial_blocks(XY, XY_CLASS, block=2_500, k=4, buffer=buffer, seed=2)
    np.testing.assert_array_equal(folds.fold, plain.fold)
    for (train, test), (all_train, _) in zip(folds, plain, strict=True):
        distance = cdist(XY[all_train], XY[test]).min(axis=1)
        np.testing.assert_array_equal(train, all_train[distance >= buffer])
        assert 0 < len(train) < len(all_train)
    assert folds.to_dict() == {"kind": "spatial blocks of 2500 m", "k": 4, "leaks": False, "buffer_m": buffer}


def test_blocks_are_not_parted():
    folds = spatial_blocks(XY, XY_CLASS, block=2_500, k=4, buffer=0, seed=2)
    block = XY[:, 0] // 2_500 * 4 + XY[:, 1] // 2_500
    for number in np.unique(block):
        assert len(np.unique(folds.fold[block == number])) == 1


def test_random_pixels_are_marked_as_leaking():
    folds = random_pixels_leaking(100, k=3, seed=0)
    assert folds.leaks
    assert folds.to_dict()["leaks"] is True
    assert "leaking" in folds.kind
    assert sorted(np.bincount(folds.fold)) == [33, 33, 34]


def test_few_labels_draws_whole_groups_per_class():
    chosen = few_labels(GROUPS, Y, per_class=2, seed=5)
    groups = np.unique(GROUPS[chosen])
    assert np.bincount(groups % 3).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(chosen, np.isin(GROUPS, groups))
    third = np.unique(GROUPS[few_labels(GROUPS, Y, fraction=0.3, seed=5)])
    assert np.bincount(third % 3).tolist() == [3, 3, 3]


def test_few_labels_takes_one_group_at_least_and_all_at_most():
    assert len(np.unique(GROUPS[few_labels(GROUPS, Y, fraction=0.001, seed=0)])) == 3
    assert few_labels(GROUPS, Y, per_class=99, seed=0).all()
    assert few_labels(GROUPS, Y, fraction=1.0, seed=0).all()


def test_few_labels_is_nested_and_seeded():
    sets = [few_labels(GROUPS, Y, per_class=n, seed=5) for n in range(1, 11)]
    for smaller, larger in itertools.pairwise(sets):
        assert (larger | ~smaller).all()
        assert larger.sum() > smaller.sum()
    np.testing.assert_array_equal(sets[1], few_labels(GROUPS, Y, per_class=2, seed=5))
    np.testing.assert_array_equal(sets[1], few_labels(GROUPS, Y, fraction=0.2, seed=5))
    assert (sets[1] != few_labels(GROUPS, Y, per_class=2, seed=6)).any()


def test_few_labels_needs_one_measure():
    for measures in ({}, {"per_class": 1, "fraction": 0.5}):
        with pytest.raises(FoldsError, match="either per_class or fraction"):
            few_labels(GROUPS, Y, seed=0, **measures)


@pytest.mark.parametrize("cap", [1, 7, 1_000])
def test_cap_per_group(cap):
    kept = cap_per_group(GROUPS, cap=cap, seed=4)
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(np.bincount(GROUPS[kept]), np.minimum(np.bincount(GROUPS), cap))
    np.testing.assert_array_equal(kept, cap_per_group(GROUPS, cap=cap, seed=4))


def test_cap_per_group_draws_at_random():
    kept = cap_per_group(np.zeros(1_000, dtype=int), cap=100, seed=4)
    assert 400 < kept.mean() < 600  # spread over the group, not its first pixels
    assert (kept != cap_per_group(np.zeros(1_000, dtype=int), cap=100, seed=5)).any()
