"""A two-stage cluster sample: figures by hand, laws, and what the intervals hold in a simulation."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import stdtrit

from jido.errors import JidoError
from jido.stats.design import stratified_accuracy
from jido.stats.design_clusters import cluster_accuracy


def all_figures(found):
    return (found.oa, *found.users, *found.producers, *found.areas)


def values(figures, key="value"):
    return np.array([np.nan if figure[key] is None else figure[key] for figure in figures])


def test_figures_by_hand():
    # cluster 0: 2 of 10 cells, one right; cluster 1: 2 of 20, both right; cluster 2: 1 of 5, wrong
    mapped, true = np.array([0, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 0])
    found = cluster_accuracy(mapped, true, np.array([0, 0, 1, 1, 2]), np.array([10, 20, 5]), interval="wald")
    # right: 5 + 20 + 0 of 35; u = 5 - R 10, 20 - R 20, 0 - R 5
    ratio = 25 / 35
    u = np.array([5, 20, 0]) - ratio * np.array([10, 20, 5])
    assert found.oa["value"] == pytest.approx(ratio)
    assert found.oa["se"] == pytest.approx(np.sqrt(3 / 2 * (u**2).sum()) / 35)
    assert found.oa["lower"] is None  # three clusters
    # truly 0: 10 + 10 + 5 cells; of them mapped so: 5 + 10
    assert found.areas[0]["value"] == pytest.approx(25 / 35)
    assert found.producers[0]["value"] == pytest.approx(15 / 25)
    np.testing.assert_allclose(found.matrix, np.array([[15, 10], [0, 10]]) / 35)
    assert found.units == (2, 2, 1)
    assert found.notes == (
        "3 clusters are few: how much clusters differ is a guess, and so are the intervals.",
        "2 of 2 classes lie in fewer than 5 of the clusters: no interval is claimed for their accuracies.",
    )


def test_cells_count_by_their_area():
    """By hand: 2 clusters of 4 cells, 2 seen in each; the wrong cell has 3 of 1 + 3 + 1 + 1 parts."""
    place = np.array([0, 0, 1, 1])
    given = {"mapped": np.array([0, 1, 1, 0]), "reference": np.array([0, 0, 1, 0]), "cluster": place}
    found = cluster_accuracy(**given, sizes=np.array([4, 4]), area=np.array([1.0, 3, 1, 1]))
    assert found.oa["value"] == pytest.approx(3 / 6)
    assert found.users[1]["value"] == pytest.approx(1 / 4)
    assert found.areas[0]["value"] == pytest.approx(5 / 6)
    assert found.matrix == pytest.approx(np.array([[2 / 6, 3 / 6], [0, 1 / 6]]))
    # squares stand for 2 x (1, 3) of 2 x (4, 2) parts that are right: rests -2 and 2
    assert found.oa["se"] == pytest.approx(np.sqrt(2 * (2**2 + 2**2)) / 12)
    alike = cluster_accuracy(**given, sizes=np.array([4, 4]), area=np.full(4, 8.0))
    assert alike == cluster_accuracy(**given, sizes=np.array([4, 4]))
    with pytest.raises(JidoError, match="area above 0"):
        cluster_accuracy(**given, sizes=np.array([4, 4]), area=np.array([1.0, 0, 1, 1]))


def test_clusters_of_one_cell_are_a_simple_random_sample():
    rng = np.random.default_rng(0)
    mapped = rng.integers(0, 3, 80)
    true = np.where(rng.random(80) < 0.8, mapped, rng.integers(0, 3, 80))
    clusters = cluster_accuracy(mapped, true, np.arange(80), np.ones(80))
    simple = stratified_accuracy(mapped, true, np.zeros(80, dtype=int), np.array([1.0]))
    for key in ("value", "se"):
        np.testing.assert_allclose(values(all_figures(clusters), key), values(all_figures(simple), key))
    # t for z: no narrower, and by little
    for key, side in (("lower", -1), ("upper", 1)):
        wider = (values(all_figures(clusters), key) - values(all_figures(simple), key)) * side
        assert ((wider > 0) & (wider < 0.02)).all()


def test_more_cells_of_a_cluster_that_agree_tell_nothing_new():
    mapped = np.tile([0, 0, 0, 1, 1], 8)
    true = np.tile([0, 0, 1, 1, 0], 8)
    once = cluster_accuracy(mapped, true, np.arange(40), np.full(40, 9))
    often = cluster_accuracy(*(np.repeat(a, 6) for a in (mapped, true, np.arange(40))), np.full(40, 9))
    for key in ("value", "se", "lower", "upper"):
        np.testing.assert_allclose(values(all_figures(often), key), values(all_figures(once), key))


def test_where_all_agree_the_clusters_count_and_not_their_cells():
    said = np.tile([0, 1], 120)
    found = cluster_accuracy(said, said, np.repeat(np.arange(24), 10), np.full(24, 100))
    t = stdtrit(23, 0.975)
    assert found.oa["value"] == 1
    assert found.oa["lower"] == pytest.approx(1 / (1 + t**2 / 24))


def smooth(seed, grain):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(160, 160)), grain, mode="wrap")
    return field / field.std()


FIELD, ERROR = smooth(0, 6), smooth(1, 3)
TRUTH = (FIELD > -0.2).astype(int) + (FIELD > 0.9)
MAP = np.where(ERROR > 1.1, (TRUTH + 1) % 3, TRUTH)
MAP[:, 117:] = -1  # not mapped: squares at the rim are smaller
SIDE = 10


def census():
    said, true = MAP[MAP >= 0], TRUTH[MAP >= 0]
    return values(all_figures(stratified_accuracy(said, true, np.zeros_like(said), np.array([said.size]))))


def drawn(seed, clusters=50, cells=8):
    rng = np.random.default_rng(seed)
    row, col = np.nonzero(MAP >= 0)
    square = row // SIDE * 16 + col // SIDE
    at, place = [], []
    for i, one in enumerate(rng.choice(np.unique(square), clusters, replace=False)):
        inside = np.flatnonzero(square == one)
        chosen = rng.choice(inside, min(cells, len(inside)), replace=False)
        at.append(chosen)
        place.append((np.full(len(chosen), i), len(inside)))
    cluster, sizes = np.concatenate([p for p, _ in place]), np.array([n for _, n in place])
    there = row[np.concatenate(at)], col[np.concatenate(at)]
    return cluster_accuracy(MAP[there], TRUTH[there], cluster, sizes, classes=3)


def test_unbiased_and_covering_over_200_draws():
    found = [all_figures(drawn(seed)) for seed in range(200)]
    value, truth = np.array([values(f) for f in found]), census()
    # a ratio of two sums is off by a share of its standard error, less the more clusters
    assert (np.abs(value.mean(0) - truth) < 0.3 * value.std(0)).all()
    claimed = np.array([values(f, "se") for f in found])
    ratio = np.sqrt((claimed**2).mean(0)) / value.std(0)
    assert ((ratio > 0.85) & (ratio < 1.5)).all()  # 50 of 192 squares: to the safe side
    lower, upper = (np.array([values(f, key) for f in found]) for key in ("lower", "upper"))
    inside = ((lower <= truth) & (truth <= upper)).mean(0)
    assert (inside > 0.88).all()  # 200 draws of 0.95 have a standard deviation of 0.015
    assert inside.mean() > 0.94


def test_intervals_that_take_cells_for_independent_are_too_short():
    found = drawn(0)
    simple = found.oa["value"] * (1 - found.oa["value"]) / sum(found.units)
    assert found.oa["se"] ** 2 > 1.5 * simple


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sizes": np.array([9])}, "cluster holds whole numbers from 0 to 0"),
        ({"sizes": np.array([9]), "cluster": np.zeros(4, dtype=int)}, "One cluster does not tell"),
        ({"sizes": np.array([9, 9, 9])}, "Cluster 2 holds 9 cells, and 0 of them were labelled"),
        ({"sizes": np.array([1, 9])}, "Cluster 0 holds 1 cells, and 2 of them were labelled"),
        ({"cluster": np.array([0, 1])}, r"A map class, a true class and a cluster belong to each unit"),
        ({"level": 0}, "level lies between 0 and 1"),
    ],
)
def test_bad_samples_are_refused_in_a_sentence(change, sentence):
    places = np.array([0, 0, 1, 1])
    given = {"mapped": places, "reference": places, "cluster": places, "sizes": np.array([10, 20])}
    with pytest.raises(JidoError, match=sentence):
        cluster_accuracy(**(given | change))
