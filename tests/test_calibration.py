"""Probabilities mean what they say: fitted on groups, kept by packages, written by maps."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import rasterio
from conftest import train
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs import Echo, digest, evaluation_of, places, save, scheme_of

from jido.data.labelled import LabelledCells
from jido.errors import ModelError
from jido.io import Scene
from jido.labels import group_kfold, random_pixels_leaking
from jido.maps import map_scene
from jido.maps.tasks import QUANTA
from jido.methods import load_model
from jido.methods.judging import evaluate
from jido.methods.segment_trust import rows_of, trust_of
from jido.stats.binary import BINS, score_histogram
from jido.stats.calibration import calibration
from jido.stats.calibrators import (
    UNCALIBRATED,
    Calibration,
    calibration_facts,
    cross_calibrated,
    fit_calibration,
)

HOT = Calibration("temperature", 2.0)
BENT = Calibration("isotonic", curve=((0.3, 0.2), (0.6, 0.5), (0.9, 0.95)))
TARGET = Calibration("isotonic", curve=((0.1, 0.02), (0.5, 0.3), (0.9, 0.8)), target=True)


def drawn(seed, groups, *, each=20, k=4, temperature=1.0):
    """Answers of a net whose probabilities are true at a temperature: said (n, k), truth, group."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(k, 0.5), groups * each) + 1e-9
    true /= true.sum(1, keepdims=True)
    truth = (true.cumsum(1) < rng.random((len(true), 1))).sum(1)
    said = true ** (1 / temperature)
    return said / said.sum(1, keepdims=True), truth, np.repeat(np.arange(groups), each)


def curved(seed, groups, *, each=100):
    """Scores of a target of which only the square comes true."""
    rng = np.random.default_rng(seed)
    score = rng.random(groups * each)
    truth = (rng.random(len(score)) < score**2).astype(int)
    return np.column_stack([1 - score, score]), truth, np.repeat(np.arange(groups), each)


# -- what it does to probabilities -------------------------------------------------------------


def test_a_temperature_by_hand():
    # sqrt(.64) = .8, sqrt(.36) = .6: .8 / 1.4 = 4/7. What nobody voted for stays at 0.
    np.testing.assert_allclose(HOT.apply(np.array([[0.64, 0.36, 0.0]])), [[4 / 7, 3 / 7, 0]])


def test_a_curve_by_hand():
    # .6 -> .5: of four classes .25 is even, so (.5 - .25) / (.6 - .25) = 5/7 of what was said is kept.
    found = BENT.apply(np.array([[0.6, 0.2, 0.2, 0.0]]))
    np.testing.assert_allclose(
        found, [[0.5, *(0.25 + 5 / 7 * (p - 0.25) for p in (0.2, 0.2, 0.0))]], rtol=1e-6
    )
    # .9 -> .95: the others share .05 instead of .1.
    np.testing.assert_allclose(BENT.apply(np.array([[0.03, 0.9, 0.07]])), [[0.015, 0.95, 0.035]], rtol=1e-6)
    # Of a target .5 -> .3, whatever was called.
    found = TARGET.apply(np.array([[0.5, 0.5], [0.95, 0.05]]))
    np.testing.assert_allclose(found, [[0.7, 0.3], [0.98, 0.02]], rtol=1e-6)


@given(
    seed=st.integers(0, 999),
    k=st.integers(2, 17),
    temperature=st.floats(0.1, 10),
    heights=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_the_class_stays_and_all_sums_to_one(seed, k, temperature, heights):
    p = np.random.default_rng(seed).dirichlet(np.full(k, 0.3), 200)
    curve = tuple(zip((0.1, 0.4, 0.7, 1.0), sorted(heights), strict=True))
    for one in (Calibration("temperature", temperature), Calibration("isotonic", curve=curve)):
        found = one.apply(p)
        np.testing.assert_allclose(found.sum(1), 1)
        assert (found >= 0).all()
        best = found[np.arange(200), p.argmax(1)]
        np.testing.assert_allclose(best, found.max(1), rtol=1e-6)


def test_planes_and_rows_are_the_same():
    p = np.random.default_rng(0).dirichlet(np.ones(2), (5, 7)).astype(np.float32)
    for one in (UNCALIBRATED, HOT, BENT, TARGET):
        planes = one.apply(p.transpose(2, 0, 1), axis=0)
        assert planes.dtype == np.float32
        np.testing.assert_array_equal(planes.transpose(1, 2, 0), one.apply(p))


# -- what is learned ---------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.6, 1.7])
def test_the_temperature_is_found_again(temperature):
    # Said is true^(1 / T'), so said^(1 / T) is true for T = 1 / T'.
    found = fit_calibration(*drawn(0, 200, temperature=temperature))
    assert found.kind == "temperature"
    assert found.temperature == pytest.approx(1 / temperature, rel=0.05)


def test_a_curve_is_found_again():
    found = fit_calibration(*curved(0, 60), target=True)
    assert found.kind == "isotonic"
    score = np.linspace(0.1, 0.95, 18)
    after = found.apply(np.column_stack([1 - score, score]))[:, 1]
    np.testing.assert_allclose(after, score**2, atol=0.05)


def test_true_probabilities_are_left_alone():
    assert [fit_calibration(*drawn(seed, 60)) for seed in range(5)] == [UNCALIBRATED] * 5
    sure = np.eye(4)[[0, 1, 2, 3] * 10]
    assert fit_calibration(sure, sure.argmax(1), np.arange(40) // 4) == UNCALIBRATED


def test_few_groups_teach_nothing():
    said, truth, group = drawn(0, 4, each=500, temperature=0.3)
    assert fit_calibration(said, truth, group) == UNCALIBRATED
    np.testing.assert_array_equal(cross_calibrated(said, truth, group), said)


def test_groups_count_alike_whatever_their_size():
    # 30 groups of 10 are too sure of themselves by a factor of 2, one of 9,000 is not.
    small, large = drawn(0, 30, each=10, temperature=0.5), drawn(1, 1, each=9000)
    both = [np.concatenate(pair) for pair in zip(small, (*large[:2], large[2] + 30), strict=True)]
    assert fit_calibration(*both).temperature == pytest.approx(fit_calibration(*small).temperature, rel=0.15)


def test_weights_stand_for_rows():
    said, truth, group = drawn(3, 12, each=10, temperature=0.4)
    times = np.random.default_rng(0).integers(1, 5, len(truth))
    many = (np.repeat(part, times, axis=0) for part in (said, truth, group))
    one, other = fit_calibration(said, truth, group, weights=times), fit_calibration(*many)
    assert one.kind == other.kind == "temperature"
    assert one.temperature == pytest.approx(other.temperature, rel=0.05)  # folds may differ
    figures = calibration(said, truth, weights=times)
    rows = calibration(np.repeat(said, times, axis=0), np.repeat(truth, times))
    assert figures["ece"] == pytest.approx(rows["ece"])
    assert figures["brier"] == pytest.approx(rows["brier"])
    assert sum(row["n"] for row in figures["reliability"]) == times.sum()


def test_crosswise_probabilities_know_nothing_of_their_own_group():
    said, truth, group = drawn(0, 25, temperature=0.4)
    before = cross_calibrated(said, truth, group)
    most = np.bincount(truth[group == 7]).argmax()  # folds deal out the most frequent class of each group
    turned = truth.copy()
    turned[np.flatnonzero((group == 7) & (truth != most))[:3]] = most
    assert (turned != truth).sum() == 3
    after = cross_calibrated(said, turned, group)
    np.testing.assert_array_equal(before[group == 7], after[group == 7])
    assert (before[group != 7] != after[group != 7]).any()


def test_calibration_serves_groups_that_it_has_not_seen():
    said, truth, group = drawn(0, 100, temperature=0.4)
    fitted = fit_calibration(said, truth, group)
    new, true, _ = drawn(1, 300, temperature=0.4)
    assert calibration(new, true)["ece"] > 0.1
    assert calibration(fitted.apply(new), true)["ece"] < 0.02
    assert calibration(cross_calibrated(said, truth, group), truth)["ece"] < 0.04


# -- what is said of it ------------------------------------------------------------------------


def judged_cells(leaks=False):
    said, truth, group = drawn(0, 40, temperature=0.4)
    cells = LabelledCells(y=truth, item=group, group=group, xy=np.zeros((len(truth), 2)))
    folds = (
        random_pixels_leaking(len(truth), k=5, seed=0) if leaks else group_kfold(group, truth, k=5, seed=0)
    )
    return evaluate(cells, said, folds, scheme_of(4), error=0.3)


def test_an_evaluation_tells_before_and_after():
    found = judged_cells()
    told = found["calibration"]
    assert told["kind"] == "temperature"
    assert told["ece"] < 0.05 < 0.1 < told["before"]["ece"]
    assert told["brier"] < told["before"]["brier"]
    assert Calibration.from_dict(told["fitted"]).temperature == pytest.approx(2.5, rel=0.1)
    assert sum(row["n"] for row in told["reliability"]) == found["cells"]
    json.dumps(found)


def test_what_leaks_promises_nothing():
    honest, leaky = judged_cells()["unsure"], judged_cells(leaks=True)["unsure"]
    assert honest["trust"] == 0.9
    assert honest["promise"].startswith("With a chance of 90 % at most 30 % of the sure cells of as many new")
    assert leaky["trust"] is None
    assert "an aim, not a promise: the split leaks" in leaky["promise"]
    assert leaky["below"] < honest["below"] < 1  # to promise takes more than to have had


# -- a target ----------------------------------------------------------------------------------


def images_of(seed, count, *, pixels=2000):
    """Score histograms (count, 2, BINS) of images in which the square of the score comes true."""
    said, truth, group = curved(seed, count, each=pixels)
    return np.stack([score_histogram(said[group == g, 1], truth[group == g] == 1) for g in range(count)])


def test_a_target_is_calibrated_and_its_sure_pixels_keep_a_promise():
    found = trust_of(images_of(0, 30), images_of(1, 30), 0.4, error=0.2)
    assert found.calibration.target
    assert found.figures["ece"] < 0.02 < 0.05 < found.figures["before"]["ece"]
    p, truth, _, pixels = rows_of(images_of(2, 30), 0.4)
    sure = (p[:, 1] >= 0.5) & (found.calibration.apply(p)[:, 1] >= found.unsure["below"])
    assert 0 < pixels[sure & (truth == 0)].sum() <= 0.2 * pixels[sure].sum()
    assert "sure pixels called target of as many new images" in found.unsure["promise"]


def test_a_target_without_other_tiles_is_judged_crosswise_and_few_images_promise_nothing():
    found = trust_of(images_of(0, 4), None, 0.5, error=0.2)
    assert (found.calibration, found.unsure) == (UNCALIBRATED, {})
    assert found.figures["ece"] == found.figures["before"]["ece"]
    assert trust_of(images_of(0, 30), None, 0.5, error=None).unsure == {}  # a split that leaks


def test_rows_of_histograms_say_what_a_map_says():
    histogram = np.zeros((1, 2, BINS), int)
    histogram[0, 1, 299], histogram[0, 0, 300] = 5, 7
    p, truth, group, pixels = rows_of(histogram, 0.3)
    assert (p[:, 1] >= 0.5).tolist() == [True, False]  # the step below the threshold comes second: truth 1
    assert (truth.tolist(), group.tolist(), pixels.tolist()) == ([0, 1], [0, 0], [7, 5])


# -- maps --------------------------------------------------------------------------------------


@pytest.fixture
def no_report(monkeypatch):
    """Reports take half a second each and are tested elsewhere."""
    monkeypatch.setattr("jido.maps.engine.html_report", lambda *_: "")


def mapped(tmp_path, model, truth, **options):
    with Scene([save(tmp_path, truth)]) as scene:
        map_scene(model, scene, tmp_path / "map.tif", probabilities=True, **options)
    with rasterio.open(tmp_path / "map.tif") as source:
        return source.read(), json.loads((tmp_path / "map.report.json").read_text())


@dataclass(frozen=True, eq=False)
class Judged(Echo):
    """An echo that somebody has judged."""

    @property
    def evaluation(self):
        return evaluation_of(self.scheme) | {
            "calibration": {"kind": self.calibration.kind, "reliability": []}
        }


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("calibration", [HOT, BENT])
def test_a_map_keeps_the_class_and_writes_what_is_calibrated(tmp_path, calibration):
    truth = places(0, (8, 9))
    said = np.array([[0.7, *[0.075] * 4]])  # of five classes, the first one is right
    top, rest = calibration.apply(said)[0, :2]
    model = Echo(certainty=0.7, calibration=calibration, abstain_below=float(top) + 0.01)
    bands, report = mapped(tmp_path, model, truth)
    np.testing.assert_array_equal(bands[0], truth + 11)
    assert (bands[1] == round(top * 100)).all()
    assert (bands[2] == 1).all()  # .7 would have been sure
    for place, plane in enumerate(bands[3:]):
        np.testing.assert_array_equal(plane, np.rint(np.where(truth == place, top, rest) * QUANTA))
    assert report["calibration"] is None  # nobody has judged it


@pytest.mark.usefixtures("no_report")
def test_a_target_stays_the_class_where_it_is_less_likely_than_not(tmp_path):
    truth = places(0, (6, 6), k=2)
    model = Judged(scheme=scheme_of(2), certainty=0.5 + 1e-3, calibration=TARGET, abstain_below=0.4)
    bands, report = mapped(tmp_path, model, truth)
    np.testing.assert_array_equal(bands[0], truth + 11)
    np.testing.assert_array_equal(bands[1], np.where(truth == 1, 30, 70))
    np.testing.assert_array_equal(bands[2], truth == 1)
    assert report["calibration"] == TARGET.to_dict() | {"curve": [list(point) for point in TARGET.curve]}


@pytest.mark.usefixtures("no_report")
def test_the_bytes_of_a_calibrated_map_do_not_depend_on_threads(tmp_path):
    truth = places(3, (150, 90), gaps=0.1)
    model = Echo(certainty=0.6, calibration=HOT, overlap=16)
    found = set()
    for threads in (1, 3):
        mapped(tmp_path, model, truth, tile=64, threads=threads, restart=True)
        found.add(digest(tmp_path / "map.tif"))
    assert len(found) == 1


# -- packages ----------------------------------------------------------------------------------


def change(folder, calibration):
    """Other facts in the package, or none as in an old one."""
    facts = json.loads((folder / "config.json").read_text())
    facts.pop("calibration")
    more = {} if calibration is None else {"calibration": calibration}
    (folder / "config.json").write_text(json.dumps(facts | more))


@pytest.mark.parametrize("calibration", [UNCALIBRATED, HOT, BENT, TARGET])
def test_a_package_keeps_its_calibration(model, tmp_path, calibration):
    replace(load_model(model), calibration=calibration).save(tmp_path / "forest")
    assert load_model(tmp_path / "forest").calibration == calibration


def test_a_net_keeps_its_calibration(tmp_path):
    pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')
    from test_nets import pixel_model

    replace(pixel_model(), calibration=HOT).save(tmp_path / "net")
    assert load_model(tmp_path / "net").calibration == HOT


def test_an_old_package_says_what_its_model_says(model, tmp_path):
    load_model(model).save(tmp_path / "old")
    change(tmp_path / "old", None)
    assert load_model(tmp_path / "old").calibration == UNCALIBRATED


FACTS = HOT.to_dict()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({**FACTS, "kind": "magic"}, "this one is 'magic': train the model again"),
        ({**FACTS, "temperature": 0.0}, "of a temperature above 0 or a curve that rises"),
        ({**BENT.to_dict(), "curve": [[0.1, 0.9], [0.5, 0.2]]}, "this one is 'isotonic'"),
        ({**BENT.to_dict(), "curve": []}, "An isotonic calibration has no curve"),
        ({**FACTS, "curve": [1, 2]}, "calibration of the package cannot be used: train the model again"),
        ({"kind": "temperature"}, "cannot be used"),
    ],
)
def test_a_calibration_that_is_none_is_refused(model, tmp_path, facts, says):
    load_model(model).save(tmp_path / "bad")
    change(tmp_path / "bad", facts)
    with pytest.raises(ModelError, match=says):
        load_model(tmp_path / "bad")


# -- the command -------------------------------------------------------------------------------


def test_a_training_calibrates_and_says_what_it_promises(jido, town, out):
    run = jido(*train(town, out / "m", "--folds", 3, "--error", 0.2))
    assert run.code == 0, run.err
    told = json.loads((out / "m" / "metrics.json").read_text())
    assert told["unsure"]["promise"] in run.out
    assert told["unsure"]["aimed_error"] == 0.2
    assert {"ece", "brier", "kind", "fitted", "before", "reliability"} <= told["calibration"].keys()
    assert load_model(out / "m").calibration == Calibration.from_dict(told["calibration"]["fitted"])


def test_an_error_that_is_no_share_is_refused(jido, town, out):
    assert jido(*train(town, out / "m", "--error", 1.5)).code == 2


def test_a_map_that_is_not_calibrated_has_the_figures_of_what_it_says():
    before = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    facts = calibration_facts(before, before[::-1], np.array([0, 1, 1]), fitted=UNCALIBRATED)
    assert (facts["ece"], facts["brier"]) == (facts["before"]["ece"], facts["before"]["brier"])
