"""The experiments run from start to end on their smallest preset, and go on where they stopped."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def run(name, *options):
    command = [sys.executable, EXPERIMENTS / f"{name}.py", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("coverage")
    return out, run("interval_coverage", "--preset", "smoke", "--json", "--out", out)


def test_a_second_start_adds_nothing(finished):
    out, printed = finished
    rows = (out / "rows.jsonl").read_text()
    assert len(rows.splitlines()) == 3
    assert run("interval_coverage", "--preset", "smoke", "--json", "--out", out) == printed
    assert (out / "rows.jsonl").read_text() == rows


def test_an_interrupted_run_goes_on(finished, tmp_path):
    out, _ = finished
    first, *others = (out / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text(first + "\n")
    run("interval_coverage", "--preset", "smoke", "--seeds", "0,1", "--out", tmp_path)
    resumed = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert resumed[0] == first
    again, before = json.loads(resumed[1]), json.loads(others[0])
    assert len(resumed) == 2
    assert {**again, "seconds": 0} == {**before, "seconds": 0}  # repeatable


def test_coverage_of_every_case_is_told(finished):
    _, printed = finished
    lines = json.loads(printed)["coverage"]
    cases = {line["case"] for line in lines}
    assert cases == {"folds", "fold models", "split", "folds, pixels", "split, pixels", "whole map"}
    for line in lines:
        assert 0 <= line["from"] <= line["covered"] <= line["to"] <= 1
        assert line["width"] > 0
    assert {line["figure"] for line in lines if line["case"] == "folds"} >= {"oa", "kappa", "f1_macro"}


def test_intervals_of_probability_samples_are_told_by_map_design_and_figure():
    rows = json.loads(run("design_intervals", "--preset", "smoke", "--json"))
    assert len(rows) == 3 * 6 * 4
    common = [row["covered"] for row in rows if row["map"] == "common"]
    assert min(common) > 0.7  # 20 samples of 0.95
    assert sum(common) / len(common) == pytest.approx(0.95, abs=0.04)


HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"


@pytest.mark.skipif(
    not HONG_KONG.exists(), reason=f"needs the real data in {HONG_KONG.parent.name}/{HONG_KONG.name}"
)
def test_calibration_and_promises_are_told_and_what_was_said_is_kept(tmp_path):
    options = ("--preset", "smoke", "--only", "lcz_hongkong", "--json", "--data", HONG_KONG.parent)
    found = json.loads(run("calibration", *options, "--out", tmp_path))
    assert [row["data"] for row in found["calibration"]] == ["lcz_hongkong"]
    assert [row["promised"] for row in found["promises"]] == [0.05, 0.1]
    assert (tmp_path / "smoke/lcz_hongkong/held.npz").exists()


@pytest.mark.skipif(
    not HONG_KONG.exists(), reason=f"needs the real data in {HONG_KONG.parent.name}/{HONG_KONG.name}"
)
def test_hong_kong_gives_every_arm(tmp_path):
    options = ("--preset", "smoke", "--seeds", "0", "--json", "--out", tmp_path, "--data", HONG_KONG)
    rows = {(r["arm"], r["fraction"]): r["oa"] for r in json.loads(run("lcz_hongkong", *options))["rows"]}
    assert len(rows) == 8
    assert rows["jido", 0.7] > rows["jido", 0.1]
    assert rows["random-pixels", 0.7] > rows["jido", 0.7] + 0.15  # what leaks flatters


COURTS = HONG_KONG.with_name("courts")


@pytest.mark.skipif(not COURTS.exists(), reason=f"needs the real data in {COURTS.parent.name}/{COURTS.name}")
def test_two_stages_stand_beside_their_rivals_and_finished_rows_are_kept(tmp_path):
    options = ("--preset", "smoke", "--seeds", "0,1,2", "--json", "--data", COURTS, "--out", tmp_path)
    printed = run("two_stage", *options)
    found = json.loads(printed)
    arms = [row["arm"] for row in found["rows"]]
    assert arms.count("baseline") == arms.count("two-stage") == 3 + 4  # seeds, label noise
    assert arms.count(found["best"]) >= 3
    assert {"OHEM", "pos_weight 5", "Focal-Tversky", "two-stage, signed", "two-stage, mean"} <= set(arms)
    for row in found["rows"]:
        assert 0 <= row["iou"] <= 1
        two = row["arm"].startswith("two-stage")
        of_stage_1 = 0 if two else row["until"]
        assert len(row["history"]) == of_stage_1 + row["epochs"] * (row["arm"] != "stage 1")
    assert run("two_stage", *options) == printed


EUROSAT = HONG_KONG.with_name("eurosat")


@pytest.mark.skipif(
    not EUROSAT.exists(), reason=f"needs the real data in {EUROSAT.parent.name}/{EUROSAT.name}"
)
def test_scenes_are_judged_on_both_splits_and_the_random_one_leaks(tmp_path):
    options = ("--preset", "smoke", "--seeds", "0", "--json", "--data", EUROSAT, "--out", tmp_path)
    rows = json.loads(run("eurosat", *options))["rows"]
    touching = {row["split"]: row["touching"] for row in rows}
    assert touching["paper"] == pytest.approx(1709 / 4050)
    assert touching["spatial"] == 0
    assert all(0 <= row["oa"] <= 1 for row in rows)
    assert not [path for path in (tmp_path / "smoke").iterdir() if path.is_dir()]  # no checkpoint is left


@pytest.mark.parametrize("preset", ["cpu", "full"])
def test_nets_of_all_rows_of_scenes_can_be_built(preset, monkeypatch):
    pytest.importorskip("torch")
    from jido.methods.scene import net_settings
    from jido.nets import build_net

    monkeypatch.syspath_prepend(EXPERIMENTS)
    eurosat = importlib.import_module("eurosat")
    classes, said = tuple("abcdefghij"), {}
    for arm in {arm for arm, _, _ in eurosat.rows_of(preset, [0])}:
        config = eurosat.arm_config(arm, preset, classes, 3)
        assert config.seed == 3
        build_net(config.net, in_channels=3, out_channels=10, **net_settings(config, 64))
        said[arm] = config.model_dump(exclude={"seed"})
    names = list(said)
    assert all(said[one] != said[other] for i, one in enumerate(names) for other in names[:i])


def test_learning_without_labels_is_judged_on_files_of_so2sats_layout(tmp_path):
    pytest.importorskip("torch")
    options = ("--dataset", "so2sat", "--preset", "smoke", "--arms", "SSMMRL", "--seeds", "0", "--json")
    printed = run("selfsup", *options, "--out", tmp_path)
    found = json.loads(printed)["so2sat miniature"]
    assert [row["arm"] for row in found["rows"]] == ["SSMMRL"]
    row = found["rows"][0]
    assert {"knn", "spread", "rank", "seconds_per_epoch"} <= row.keys()
    assert row["seconds_to_lowest"] == row["seconds_to_median"] > 0
    assert 0.1 < row["gigabytes"] < 5
    learners = {row["learner"] for row in found["curve"]["rows"]}
    assert learners == {
        "CNN from scratch",
        "ViT from scratch",
        "forest on means",
        "SSMMRL, probe",
        "SSMMRL, tuned",
    }
    assert {"validation, 60", "testing, 60", "pooled, 120"} < found["parts"][0].keys()
    for part in found["parts"]:
        assert part["pooled, 120"] == pytest.approx((part["validation, 60"] + part["testing, 60"]) / 2)
    mine = [row["oa"] for row in found["curve"]["rows"] if row["learner"] == "forest on means"]
    assert [part["pooled, 120"] for part in found["parts"][: len(mine)]] == pytest.approx(mine)
    assert all(-1 <= part["kappa, pooled"] <= part["pooled, 120"] for part in found["parts"])
    again = json.loads(run("selfsup", *options, "--out", tmp_path))["so2sat miniature"]
    assert again["rows"] == found["rows"]  # kept
    pictures = sorted(path.name for path in (tmp_path / "smoke").glob("*.png"))
    assert pictures == ["so2sat_miniature-probe.png", "so2sat_miniature-tuned.png"]


EUROSAT = HONG_KONG.with_name("eurosat")


def test_trials_of_learning_without_labels_differ_and_can_begin(monkeypatch):
    pytest.importorskip("torch")
    from jido import Band
    from jido.data.pool import Pool
    from jido.data.stack import stack_of
    from jido.methods.selfsup import METHODS, PretrainConfig, Pretraining

    monkeypatch.syspath_prepend(EXPERIMENTS)
    trials = importlib.import_module("selfsup_trials").TRIALS
    assert set(trials) == set(METHODS)
    optical = [Band(name, sensor="sentinel-2") for name in ("red", "green", "blue")]
    images = np.random.default_rng(0).integers(0, 255, (4, 3, 32, 32)).astype(np.uint8)
    patches = Pool.of(images, stack_of(optical))
    for method, said in trials.items():
        configs = [PretrainConfig(method=method, **given, batch=2) for given in said.values()]
        assert all(one != other for i, one in enumerate(configs) for other in configs[:i])
        for config in configs:
            training = Pretraining(patches, config)
            assert training.learner.net is not None
            assert training.view_settings is not None


@pytest.mark.skipif(
    not EUROSAT.exists(), reason=f"needs the real data in {EUROSAT.parent.name}/{EUROSAT.name}"
)
def test_trials_of_learning_without_labels_are_kept(tmp_path):
    pytest.importorskip("torch")
    options = ("--preset", "smoke", "--arms", "byol", "--data", EUROSAT.parent, "--out", tmp_path)
    rows = json.loads(run("selfsup_trials", *options, "--json"))["rows"]
    assert [row["trial"] for row in rows] == ["best of four", "wide projector"]
    assert all(0 < row["oa_1"] < 1 for row in rows)
    assert rows[0]["oa"] != rows[1]["oa"]
    kept = (tmp_path / "smoke/trials.jsonl").read_text().splitlines()
    assert [json.loads(row)["trial"] for row in kept] == ["best of four", "wide projector"]


MARIDA = HONG_KONG.with_name("marine_debris")


@pytest.mark.skipif(not MARIDA.exists(), reason=f"needs the real data in {MARIDA.parent.name}/{MARIDA.name}")
def test_debris_is_told_from_other_matter_in_scenes_that_no_model_has_seen(tmp_path):
    options = ("--preset", "smoke", "--seeds", "0", "--json", "--data", MARIDA, "--out", tmp_path)
    found = json.loads(run("debris", *options))
    f1 = {row["method"]: float(row["macro-F1"].split()[0]) for row in found["debris"]}
    assert f1["ours: logistic, 11 bands + indices"] > 0.85
    assert max(f1[name] for name in f1 if name.startswith("naive Bayes")) < 0.80
    assert [row["folds (ours, first seed)"] for row in found["splits"]][-1] == "rows at random, LEAKS"
    assert all(0 <= float(row["scenes that keep to it"]) <= 1 for row in found["promises"])
    assert all("OPTIMISTIC" in next(iter(row)) for row in found["pixels"])
    kept = [json.loads(row)["key"] for row in (tmp_path / "smoke/held_out.jsonl").read_text().splitlines()]
    assert len(kept) == len(set(kept)) == 12  # ours on scenes kept whole serves two tables


SISCORE = HONG_KONG.with_name("siscore")


@pytest.mark.skipif(
    not SISCORE.exists(), reason=f"needs the real data in {SISCORE.parent.name}/{SISCORE.name}"
)
def test_classes_of_tiles_are_judged_beside_their_floor_on_the_same_folds(tmp_path):
    pytest.importorskip("torch")
    options = ("--preset", "smoke", "--seeds", "0", "--compact", "--json", "--data", SISCORE)
    rows = json.loads(run("poverty_classes", *options, "--out", tmp_path))["rows"]
    arms = [row["arm"] for row in rows]
    assert arms[0] == "floor"
    assert "both heads (default)" in arms
    assert not [arm for arm in arms if "EuroSAT" in arm]  # no encoder was given
    for row in rows:
        assert len(row["right"]) == 60
        assert row["accuracy"] == pytest.approx(sum(row["right"]) / 60)
    assert rows[0]["accuracy"] > 0.55  # of the most frequent class
    assert len((tmp_path / "smoke/rows.jsonl").read_text().splitlines()) == len(rows)


OMBRIA = HONG_KONG.with_name("flood_ombria")


@pytest.mark.skipif(not OMBRIA.exists(), reason=f"needs the real data in {OMBRIA.parent.name}/{OMBRIA.name}")
def test_floods_are_judged_on_pairs_and_on_events_that_were_left_out(tmp_path):
    pytest.importorskip("torch")
    options = ("--preset", "smoke", "--seeds", "0", "--json", "--data", OMBRIA.parent, "--out", tmp_path)
    found = json.loads(run("flood", *options, "--parts", "ombria,blocks,damage"))
    assert {row["arm"] for row in found["ombria"]} >= {"pixels, both", "net, after", "net for cells, both"}
    for row in found["ombria"] + found["blocks"]:
        if "IoU" in row:
            assert row["F1"] == pytest.approx(2 * row["IoU"] / (1 + row["IoU"]))
            assert row["IoU"] <= row["mean IoU"] <= (row["IoU"] + 1) / 2
    [halves, other] = found["damage"]
    assert "IoU" in halves
    assert 0 <= other["called damaged"] < 0.5  # nothing there is
