"""Estimates from probability samples: published examples, laws over simulated draws, degenerate cases."""

import json

import numpy as np
import pytest

from jido.errors import JidoError
from jido.stats.design import allocate, expected_se, stratified_accuracy
from jido.stats.design_plan import planned

# Olofsson et al. 2014, doi 10.1016/j.rse.2014.02.015, table 8: map in rows, truth in columns; classes are
# deforestation, forest gain, stable forest, stable non-forest; pixels of 30 m. The counts and the figures
# of p. 54 were taken from the documentation and tests of mapaccuracy (R) and PyMapAccuracy.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
USERS = np.array([0.70, 0.60, 0.90, 0.95])  # anticipated in their example

# Stehman 2014, doi 10.1080/01431161.2014.930207, table 2: 10 units in each of 4 strata; from mapaccuracy.
LETTERS = {letter: place for place, letter in enumerate("ABCD")}
STEHMAN_MAP = np.array([LETTERS[c] for c in "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"])
STEHMAN_TRUTH = np.array([LETTERS[c] for c in "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"])
STEHMAN_STRATUM = np.repeat(np.arange(4), 10)
STEHMAN_SIZES = np.array([40_000, 30_000, 20_000, 10_000])


def units_of(counts):
    """Map and truth of every unit of a matrix with the map in rows."""
    mapped, true = np.indices(counts.shape)
    return np.repeat(mapped.ravel(), counts.ravel()), np.repeat(true.ravel(), counts.ravel())


def values(figures, key="value"):
    return np.array([np.nan if f[key] is None else f[key] for f in figures])


def all_figures(found):
    return (found.oa, *found.users, *found.producers, *found.areas)


def olofsson(**options):
    mapped, true = units_of(COUNTS)
    return stratified_accuracy(mapped, true, mapped, PIXELS, **options)


def test_olofsson_accuracies_as_printed():
    found = olofsson(interval="wald")
    assert [round(v, 2) for v in values(found.users)] == [0.88, 0.73, 0.93, 0.96]
    assert [round(1.96 * v, 2) for v in values(found.users, "se")] == [0.07, 0.10, 0.04, 0.02]
    assert [round(v, 2) for v in values(found.producers)] == [0.75, 0.85, 0.93, 0.96]
    np.testing.assert_allclose(
        1.959964 * values(found.producers, "se"), [0.21330593, 0.25440369, 0.03432379, 0.01836120], atol=2e-8
    )
    assert found.oa["value"] == pytest.approx(0.9465119, abs=1e-7)
    assert 1.959964 * found.oa["se"] == pytest.approx(0.01848328, abs=1e-8)
    assert found.oa["upper"] - found.oa["value"] == pytest.approx(0.01848328, abs=1e-8)


def test_olofsson_areas_as_printed():
    found = olofsson(interval="wald")
    pixels = found.areas_in(10_000_000)[0]
    assert (round(pixels["value"]), round(1.96 * pixels["se"])) == (235_086, 68_418)
    hectares = found.areas_in(900_000)
    assert [round(v) for v in values(hectares)] == [21_158, 11_686, 285_770, 581_386]
    reach = values(hectares, "upper") - values(hectares)
    np.testing.assert_allclose(reach, [6157.521, 3755.757, 15509.55, 16281.36], atol=0.01)


def test_olofsson_matrix_is_their_table_9():
    # W_i n_ij / n_i., truth in rows here: 0.02 * 66 / 75 = 0.0176, 0.645 * 2 / 325 = 0.0040
    matrix = np.array(olofsson().matrix)
    np.testing.assert_allclose(matrix.T, COUNTS / COUNTS.sum(1)[:, None] * PIXELS[:, None] / 1e7, rtol=1e-12)
    assert (round(matrix[0, 0], 4), round(matrix[0, 3], 4)) == (0.0176, 0.0040)


def test_olofsson_equations_5_to_7_and_10_give_the_same():
    n, weight = COUNTS.sum(1), PIXELS / PIXELS.sum()
    inside = COUNTS / n[:, None]
    right = np.diag(inside)
    users = right * (1 - right) / (n - 1)
    spread = inside * (1 - inside) / (n - 1)[:, None]
    area = (weight[:, None] ** 2 * spread).sum(0)
    found = olofsson()
    true = values(found.areas)
    p = values(found.producers)
    others = (weight[:, None] ** 2 * spread * (1 - np.eye(4))).sum(0)
    producers = (weight**2 * (1 - p) ** 2 * users + p**2 * others) / true**2
    np.testing.assert_allclose(found.oa["se"] ** 2, (weight**2 * users).sum(), rtol=1e-12)
    np.testing.assert_allclose(values(found.users, "se") ** 2, users, rtol=1e-12)
    np.testing.assert_allclose(values(found.areas, "se") ** 2, area, rtol=1e-12)
    np.testing.assert_allclose(values(found.producers, "se") ** 2, producers, rtol=1e-12)


def test_stehman_as_printed():
    found = stratified_accuracy(STEHMAN_MAP, STEHMAN_TRUTH, STEHMAN_STRATUM, STEHMAN_SIZES, finite=True)
    np.testing.assert_allclose(values(found.areas), [0.35, 0.34, 0.20, 0.11], rtol=1e-12)
    assert found.oa["value"] == pytest.approx(0.63)
    assert round(found.users[1]["value"], 3) == 0.574
    assert round(found.producers[1]["value"], 3) == 0.794
    assert found.matrix[2][1] == pytest.approx(0.08)  # truth C, map B: their P_23
    assert [round(f["se"], 3) for f in (found.areas[0], found.areas[2])] == [0.082, 0.064]
    assert (round(found.oa["se"], 3), round(found.users[1]["se"], 3)) == (0.085, 0.125)
    # mapaccuracy's output to 7 places. For the last the paper is said to print 0.114, which its own numbers
    # do not give: see the next test.
    np.testing.assert_allclose(
        [found.areas[0]["se"], found.areas[2]["se"], found.oa["se"], found.users[1]["se"]],
        [0.0822478, 0.06427977, 0.08464219, 0.1247822],
        atol=6e-8,
    )
    assert found.producers[1]["se"] == pytest.approx(0.1165479, abs=6e-8)


def test_stehman_standard_error_of_the_producers_accuracy_by_hand():
    # Class B. R = 27,000 / 34,000. Residuals y - R x are 7/34 where B was found, -27/34 where it was omitted.
    # Found, omitted by stratum: A 1, 1; B 7, 0; C 1, 1; D 0, 1, of 10 each.
    size, squares = np.array([4, 3, 2, 1]), np.zeros(4)
    for h, (found, omitted) in enumerate([(1, 1), (7, 0), (1, 1), (0, 1)]):
        rest = np.array([7 / 34] * found + [-27 / 34] * omitted + [0.0] * (10 - found - omitted))
        squares[h] = rest.var(ddof=1) / 10
    by_hand = np.sqrt((size**2 * squares).sum()) / 3.4
    assert round(by_hand, 4) == 0.1166
    found = stratified_accuracy(STEHMAN_MAP, STEHMAN_TRUTH, STEHMAN_STRATUM, STEHMAN_SIZES)
    assert found.producers[1]["se"] == pytest.approx(by_hand)


def test_simple_random_sample_by_hand():
    # 10 units: 6 of class 0 (5 mapped so), 4 of class 1 (3 mapped so). OA 0.8, se sqrt(0.8 0.2 / 9).
    mapped = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1, 1])
    true = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    found = stratified_accuracy(mapped, true, np.zeros(10, int), np.array([700.0]), interval="wald")
    assert found.oa["value"] == pytest.approx(0.8)
    assert found.oa["se"] == pytest.approx(np.sqrt(0.8 * 0.2 / 9))
    assert values(found.producers) == pytest.approx([5 / 6, 3 / 4])
    assert values(found.areas) == pytest.approx([0.6, 0.4])
    # producer's of class 0: residuals y - 5/6 x are 1/6 five times, -5/6 once: sum of squares 5/6
    assert found.producers[0]["se"] == pytest.approx(np.sqrt(10 / 9 * (5 / 6)) / 6)


def test_wilson_of_a_simple_sample_is_wilsons():
    # 45 right of 50: p = 0.9, n_eff = 0.09 / (0.09 / 49) = 49, z = 1.959964:
    # middle (0.9 + 0.039199) / 1.078397 = 0.870921; half 1.959964 / 1.078397 * sqrt(0.00183673 + 0.00039998)
    # = 1.817479 * 0.0472939 = 0.085956; bounds 0.784965 and 0.956877
    true = np.zeros(50, int)
    mapped = np.array([0] * 45 + [1] * 5)
    found = stratified_accuracy(mapped, true, true, np.array([1000]))
    assert found.oa["lower"] == pytest.approx(0.784965, abs=2e-6)
    assert found.oa["upper"] == pytest.approx(0.956877, abs=2e-6)


# A map of 20,000 units in three classes, right with 0.8, 0.85 and 0.95, and strata that are not its classes.
RNG = np.random.default_rng(7)
MAP = RNG.choice(3, 20_000, p=[0.08, 0.27, 0.65])
CHANCE = np.array([[0.8, 0.12, 0.08], [0.06, 0.85, 0.09], [0.01, 0.04, 0.95]])
TRUTH = (RNG.random(20_000)[:, None] > CHANCE[MAP].cumsum(axis=1)).sum(axis=1).clip(0, 2)
OTHER = np.where(RNG.random(20_000) < 0.6, TRUTH > 0, RNG.random(20_000) < 0.5).astype(int)


def census():
    """The ten true figures."""
    cm = np.zeros((3, 3))
    np.add.at(cm, (TRUTH, MAP), 1)
    right = np.diag(cm)
    return np.concatenate(
        [[right.sum() / cm.sum()], right / cm.sum(0), right / cm.sum(1), cm.sum(1) / cm.sum()]
    )


def drawn(strata, seed, **options):
    rng, sizes = np.random.default_rng(seed), np.bincount(strata)
    allocation = allocate(400, sizes, least=75)
    which = [rng.choice(np.flatnonzero(strata == h), n, replace=False) for h, n in enumerate(allocation)]
    at = np.concatenate(which)
    return stratified_accuracy(MAP[at], TRUTH[at], strata[at], sizes, classes=3, **options)


@pytest.mark.parametrize("strata", [MAP, OTHER, np.zeros_like(MAP)], ids=["classes", "other", "simple"])
def test_unbiased_and_covering_over_300_draws(strata):
    found = [all_figures(drawn(strata, seed)) for seed in range(300)]
    value, truth = np.array([values(f) for f in found]), census()
    off = (value.mean(0) - truth) / (value.std(0) / np.sqrt(300))
    assert (np.abs(off) < 4).all()
    claimed = np.array([values(f, "se") for f in found])
    np.testing.assert_allclose(np.sqrt((claimed**2).mean(0)), value.std(0), rtol=0.2)
    lower, upper = (np.array([values(f, key) for f in found]) for key in ("lower", "upper"))
    inside = ((lower <= truth) & (truth <= upper)).mean(0)
    # 300 draws of 0.95 have a standard deviation of 0.0126; 0.90 is four of them below
    assert (inside > 0.90).all()
    assert abs(inside.mean() - 0.95) < 0.02


def test_pixel_counts_are_biased_where_the_estimate_is_not():
    mapped, truth = np.bincount(MAP) / len(MAP), census()[7:]
    areas = np.array([values(drawn(MAP, seed).areas) for seed in range(300)])
    assert np.abs(areas.mean(0) - truth).max() < np.abs(mapped - truth).max() / 4


@pytest.mark.parametrize("strata", [MAP, OTHER], ids=["classes", "other"])
def test_shares_sum_to_one_and_the_matrix_holds_all(strata):
    found = drawn(strata, 3)
    matrix = np.array(found.matrix)
    assert values(found.areas).sum() == pytest.approx(1)
    assert np.trace(matrix) == pytest.approx(found.oa["value"])
    np.testing.assert_allclose(matrix.sum(1), values(found.areas))
    np.testing.assert_allclose(np.diag(matrix) / matrix.sum(0), values(found.users))


def test_sizes_in_any_unit_and_order_of_units_do_not_matter():
    mapped, true = units_of(COUNTS)
    turned = np.random.default_rng(0).permutation(len(mapped))
    other = stratified_accuracy(mapped[turned], true[turned], mapped[turned], PIXELS * 0.09)
    np.testing.assert_allclose(values(all_figures(other)), values(all_figures(olofsson())))
    np.testing.assert_allclose(values(all_figures(other), "se"), values(all_figures(olofsson()), "se"))


def test_all_units_seen_leave_no_doubt():
    found = stratified_accuracy(MAP, TRUTH, MAP, np.bincount(MAP), finite=True)
    figures = all_figures(found)
    np.testing.assert_allclose(values(figures), census())
    np.testing.assert_allclose(values(figures, "lower"), census(), atol=1e-12)
    assert (values(figures, "se") == 0).all()


def test_class_never_mapped_or_never_found_is_not_defined():
    mapped, true = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 2, 0, 0, 0])
    found = stratified_accuracy(mapped, true, mapped, np.array([10.0, 20.0]), classes=4)
    nothing = {"value": None, "lower": None, "upper": None, "se": None}
    assert found.users[2] == found.users[3] == nothing  # never mapped
    assert found.producers[1] == found.producers[3] == nothing  # never found
    assert found.areas[3]["value"] == found.areas[3]["lower"] == 0
    assert 0.3 < found.areas[3]["upper"] < 0.6  # six units cannot rule a class out
    assert found.users[1]["value"] == 0


def test_where_all_agree_bounds_are_claimed_only_if_nothing_unseen_weighs_more():
    mapped = np.repeat([0, 1], 50)
    wilson = stratified_accuracy(mapped, mapped, mapped, np.array([1.0, 99.0]))
    # user's accuracy: 50 of 50 right: Wilson's lower bound 1 / (1 + z² / 50) = 0.9287
    assert wilson.users[0]["lower"] == pytest.approx(1 / (1 + 1.959964**2 / 50))
    # one omission in the large stratum would weigh as much as 99 units of the small one
    assert wilson.producers[0] == {"value": 1.0, "lower": None, "upper": None, "se": 0.0}
    wald = stratified_accuracy(mapped, mapped, mapped, np.array([1.0, 99.0]), interval="wald")
    assert wald.oa == {"value": 1.0, "lower": None, "upper": None, "se": 0.0}
    # strata that cut across the map's classes: a unit mapped as 0 may lie in the large one
    across = np.tile([0, 1], 50)
    assert stratified_accuracy(mapped, mapped, across, np.array([1.0, 99.0])).users[0]["lower"] is None
    simple = stratified_accuracy(mapped, mapped, np.zeros(100, int), np.array([1.0]))
    assert simple.producers[0]["lower"] == pytest.approx(1 / (1 + 1.959964**2 / 50))


def test_a_stratum_with_one_unit_gives_values_without_errors_and_says_so():
    mapped, true = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = stratified_accuracy(mapped, true, mapped, np.array([30, 10]), finite=True)
    assert found.oa == {"value": pytest.approx(0.75), "lower": None, "upper": None, "se": None}
    assert found.notes == (
        "Stratum 1 has one unit, which does not tell how its units differ: no figure has a standard error; "
        "label more there or join it to another.",
    )
    whole = stratified_accuracy(mapped, true, mapped, np.array([30, 1]), finite=True)
    assert whole.notes == ()  # all of it was seen
    assert whole.oa["se"] > 0


def test_a_large_stratum_without_an_error_is_pointed_out():
    # stratum 0, 99 % of the map: 350 right; stratum 1: 40 of 50. The interval reaches 1.96 * 0.01 *
    # sqrt(0.16 / 49) = 0.0011, but 1 - 0.05^(1 / 350) = 0.852 % of stratum 0 may be wrong: 0.84 % of the map.
    mapped = np.repeat([0, 1], [350, 50])
    true = np.concatenate([np.zeros(350, int), np.repeat([0, 1], [10, 40])])
    found = stratified_accuracy(mapped, true, mapped, np.array([0.99, 0.01]))
    assert found.notes == (
        "All 350 units of stratum 0 are right, yet errors in up to 0.84% of the map may hide there, more "
        "than the interval of overall accuracy reaches: intervals are too short; label more.",
    )
    assert olofsson().notes == ()


def test_estimates_are_json():
    found = json.loads(json.dumps(olofsson().to_dict()))
    assert found["units"] == [75, 75, 165, 325]
    assert set(found["users"][0]) == {"value", "lower", "upper", "se"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sizes": np.array([1.0, 2.0, 3.0])}, "No unit was drawn from stratum 2, 50.0% of the map"),
        ({"sizes": np.array([1.0])}, "stratum holds whole numbers from 0 to 0, but goes from 0 to 1"),
        ({"sizes": np.array([1.0, 0.0])}, "Strata have one size each, above 0"),
        ({"reference": np.array([0, -1, 1, 1])}, "leave out units without a label, and tell how many"),
        ({"reference": np.array([0.0, 0.5, 1, 1])}, "reference holds whole numbers .*float64"),
        ({"mapped": np.array([0, 1])}, r"there are \(2,\), \(4,\) and \(4,\) of them"),
        ({"sizes": np.array([1.0, 5.0]), "finite": True}, "Stratum 0 holds 1 units, but 2 were drawn"),
        ({"level": 1.0}, "level lies between 0 and 1, not 'wilson' and 1.0"),
        ({"interval": "exact"}, "interval is wilson or wald"),
        ({"classes": 1}, "mapped holds whole numbers from 0 to 0"),
    ],
)
def test_bad_samples_are_refused_in_a_sentence(change, sentence):
    places = np.array([0, 0, 1, 1])
    given = {"mapped": places, "reference": places, "stratum": places, "sizes": np.array([10.0, 20.0])}
    with pytest.raises(JidoError, match=sentence):
        stratified_accuracy(**(given | change))


def test_olofsson_sample_size_and_allocations():
    # eq. 13: sum of W S = 0.00917 + 0.00735 + 0.096 + 0.14057 = 0.25308; (0.25308 / 0.01)² = 640.5
    assert planned(PIXELS, USERS, se=0.01, rule="neyman", least=2).sum() == 641
    assert allocate(640, PIXELS, rule="equal").tolist() == [160] * 4
    assert allocate(641, PIXELS).tolist() == [13, 10, 205, 413]
    # in proportion to 0.00917, 0.00735, 0.096 and 0.14057
    assert allocate(641, PIXELS, rule="neyman", shares=USERS).tolist() == [23, 19, 243, 356]
    # 490 left for 0.320 and 0.645: 162.5 and 327.5 (the paper rounds to 165 and 325)
    assert allocate(640, PIXELS, least=75).tolist()[:2] == [75, 75]
    assert allocate(640, PIXELS, least=75).sum() == 640


def test_no_allocation_beats_neymans():
    best = expected_se(allocate(640, PIXELS, rule="neyman", shares=USERS), PIXELS, USERS)
    rng = np.random.default_rng(2)
    for _ in range(200):
        other = 1 + rng.multinomial(636, rng.dirichlet(np.ones(4)))
        assert expected_se(other, PIXELS, USERS) >= best


def test_bounds_of_an_allocation_hold():
    sizes = np.array([5.0, 30.0, 965.0])
    found = allocate(100, sizes, least=20, most=np.array([20, 30, 965]))
    assert found.tolist() == [20, 20, 60]
    assert allocate(90, sizes, rule="equal", most=np.array([5, 30, 965])).tolist() == [5, 30, 55]
    perfect = allocate(50, sizes, rule="neyman", shares=np.array([1.0, 0.9, 0.9]), least=2)
    assert perfect[0] == 2
    assert perfect.sum() == 50


def test_any_allocation_sums_to_n_inside_its_bounds():
    rng = np.random.default_rng(5)
    for _ in range(200):
        sizes, least = rng.lognormal(3, 2, 6), int(rng.integers(0, 10))
        most = least + rng.integers(0, 60, 6)
        n = int(rng.integers(6 * least, most.sum() + 1))
        rule = str(rng.choice(["equal", "proportional", "neyman"]))
        found = allocate(n, sizes, rule=rule, shares=rng.uniform(0.1, 0.9, 6), least=least, most=most)
        assert found.sum() == n
        assert (found >= least).all()
        assert (found <= most).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 5, "least": 3}, "Each of 2 strata|cannot be shared out"),
        ({"n": 9, "most": np.array([4, 4])}, "9 units cannot be shared out over 2 strata"),
        ({"n": 9, "rule": "neyman"}, "Shares, one for each of 2 strata"),
        ({"n": 9, "rule": "neyman", "shares": np.array([1.0, 0.0])}, "All anticipated shares are 0 or 1"),
        ({"n": 9, "rule": "neyman", "shares": np.array([1.2, 0.0])}, "lie between 0 and 1"),
        ({"n": 9, "rule": "best"}, "equal, proportional or neyman, not 'best'"),
        ({"n": 9, "least": -1}, "none of which crosses the other"),
    ],
)
def test_bad_allocations_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(JidoError, match=sentence):
        allocate(options.pop("n"), np.array([1.0, 2.0]), **options)


def test_bad_plans_are_refused_in_a_sentence():
    with pytest.raises(JidoError, match="Each of 4 strata needs a unit"):
        expected_se(np.array([0, 1, 1, 1]), PIXELS, USERS)


def test_area_where_no_unit_differs_from_its_stratum():
    # Two strata of 600 and 400, 30 and 20 units, all right. One unit of each kind is added to each:
    # 1/32 and 1/22 hold, var = .36 (1/32 31/32)/30 + .16 (1/22 21/22)/20.
    place = np.repeat([0, 1], [30, 20])
    found = stratified_accuracy(place, place, place, np.array([600.0, 400.0]))
    variance = 0.36 * (31 / 32**2) / 30 + 0.16 * (21 / 22**2) / 20
    n = 0.24 / variance
    half = 1.959964 / (1 + 1.959964**2 / n) * np.sqrt(0.24 / n + 1.959964**2 / (4 * n**2))
    area = found.areas[0]
    assert (area["value"], area["se"]) == (pytest.approx(0.6), pytest.approx(0.0, abs=1e-12))
    assert area["upper"] - area["lower"] == pytest.approx(2 * half, rel=1e-6)
    simple = stratified_accuracy(place, place, np.zeros(50, int), np.array([1000.0]))
    assert area["upper"] - area["lower"] < simple.areas[0]["upper"] - simple.areas[0]["lower"]
