"""The two-stage method: errors bit by bit, cases of the paper, interruptions, heads, other nets."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.tiles import Tiles, draw_epoch, packed, unpacked  # noqa: E402
from jido.errors import ModelError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.losses import LOSSES  # noqa: E402
from jido.methods.errors import ErrorMask, without_rim  # noqa: E402
from jido.methods.stage import Data  # noqa: E402
from jido.methods.two_stage import CASES, TwoStage, TwoStageConfig, load_config  # noqa: E402
from jido.nets import build_net  # noqa: E402

SIDE = 32


def some_tiles(n: int = 24) -> Tiles:
    """Squares that are brighter in the first band, on noise; a tile in three has none."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n, SIDE, SIDE), dtype=bool)
    for i in range(n):
        if i % 3:
            y, x = rng.integers(2, SIDE - 12, 2)
            masks[i, y : y + 10, x : x + 10] = True
    images = rng.integers(60, 140, (n, 3, SIDE, SIDE))
    images[:, 0] += 60 * masks
    source = np.array([f"image{i // 3}" for i in range(n)])
    bands = tuple(Band(name) for name in ("red", "green", "blue"))
    place = np.zeros((n, 2), dtype=np.int64)
    return Tiles(images.astype(np.uint8), packed(masks), None, source, place, source, bands)


def some_data(tiles: Tiles | None = None) -> Data:
    tiles = tiles or some_tiles()
    held = len(tiles) // 4
    return Data(tiles, np.arange(len(tiles) - held), np.arange(len(tiles) - held, len(tiles)))


def settings(**changed) -> TwoStageConfig:
    small = {"width": 4, "depth": 1, "batch": 6, "onset": 1, "until": 3, "epochs": 2, "branch": ""}
    return TwoStageConfig(**{**small, "branch_at": None, "passes": 1, "learning_rate": 0.01, **changed})


def method(tmp_path, data: Data | None = None, **changed) -> TwoStage:
    return TwoStage(data or some_data(), settings(**changed), tmp_path)


def weights(stage):
    return {name: value.numpy().tobytes() for name, value in stage.learner.weights().items()}


def history(stage):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in stage.rows]


# -- tiles and draws ---------------------------------------------------------------------------


def test_packed_masks_come_back():
    masks = np.random.default_rng(0).random((3, SIDE, SIDE)) < 0.3
    assert np.array_equal(unpacked(packed(masks), SIDE), masks)


def test_positive_tiles_are_drawn_twice_as_often_whatever_their_number():
    for share in (0.02, 0.5, 0.9):
        positive = np.arange(1000) < 1000 * share
        drawn = np.concatenate([draw_epoch(positive, seed=(0, epoch)) for epoch in range(30)])
        assert positive[drawn].mean() == pytest.approx(2 / 3, abs=0.02)
    assert positive[draw_epoch(positive, seed=(0, 1), ratio=0.5, size=9000)].mean() == pytest.approx(
        1 / 3, abs=0.03
    )


def test_without_a_ratio_every_tile_comes_once_and_draws_follow_their_seed():
    positive = np.arange(50) < 9
    drawn = draw_epoch(positive, seed=(0, 1), ratio=None)
    assert sorted(drawn) == list(range(50))
    assert np.array_equal(drawn, draw_epoch(positive, seed=(0, 1), ratio=None))
    assert not np.array_equal(drawn, draw_epoch(positive, seed=(0, 2), ratio=None))
    assert sorted(draw_epoch(np.zeros(5, dtype=bool), seed=(0,))) == list(range(5))


def test_what_is_positive_and_whether_that_counts_are_settings(tmp_path):
    tiles = some_tiles()
    few = np.flatnonzero(tiles.shares() > 0)[:4]
    masks = tiles.masks.copy()
    masks[few] = packed(np.eye(SIDE, dtype=bool)[None])  # 3 % of the tile, a square has 10 %
    data = some_data(replace(tiles, masks=masks))

    def drawn(**changed):
        stage = method(tmp_path, data, tiles_per_epoch=600, **changed).stage("stage 1", number=1)
        shares = [target.mean((1, 2, 3)) for epoch in range(5) for _, target in stage.batches(epoch)]
        return (torch.cat(shares) > 0.05).double().mean().item(), (
            torch.cat(shares) > 0
        ).double().mean().item()

    squares = (tiles.positive(0.05) & data.tiles.positive(0.05))[data.train].mean()
    assert drawn()[1] == pytest.approx(2 / 3, abs=0.03)
    assert drawn(positive_share=0.05)[0] == pytest.approx(2 / 3, abs=0.03)
    assert drawn(ratio=9)[1] == pytest.approx(0.9, abs=0.03)
    assert drawn(ratio=0)[0] == pytest.approx(squares, abs=0.01)
    stage = method(tmp_path, data, ratio=0).stage("stage 1", number=1)
    images = torch.cat([images for images, _ in stage.batches(1)])
    assert len({image.numpy().tobytes() for image in images}) == len(data.train)  # every tile once


def test_moments_are_those_of_the_pixels_with_data():
    tiles = some_tiles()
    valid = np.ones((len(tiles), SIDE, SIDE), dtype=bool)
    valid[3, :5], valid[7] = False, False
    mean, sd = replace(tiles, valid=packed(valid)).moments(at_once=5)
    known = tiles.images.transpose(1, 0, 2, 3)[:, valid]
    assert mean == pytest.approx(known.mean(1), rel=1e-6)
    assert sd == pytest.approx(known.std(1), rel=1e-5)
    few = np.array([2, 9, 5])
    for some, subset in zip(tiles.moments(few, at_once=2), tiles.subset(few).moments(), strict=True):
        assert some == pytest.approx(subset)


# -- errors ------------------------------------------------------------------------------------


def test_errors_are_or_ed_and_counted():
    truth = np.zeros((2, 8, 8), dtype=bool)
    truth[0, :2, :4] = True  # 8 pixels
    errors = ErrorMask(packed(truth))
    everything, both = np.ones((1, 8, 8), dtype=bool), np.arange(2)
    errors.add(np.array([0]), packed(truth[:1]))
    assert errors.ratio(both) == 0
    errors.add(np.array([0]), packed(~truth[:1] & False))  # says nothing: 8 misses
    errors.add(np.array([1]), packed(everything))  # says all: 64 false alarms
    errors.add(np.array([1]), packed(truth[1:]))  # what was wrong once stays
    assert errors.ratio(both) == (8 + 64) / 128
    missed, false = (unpacked(errors.of(head), 8) for head in ("missed", "false_alarm"))
    assert np.array_equal(missed, truth)
    assert (false.sum(), (false & truth).sum()) == (64, 0)
    assert np.array_equal(errors.of("error"), errors.of("missed") | errors.of("false_alarm"))


def test_errors_of_the_papers_tiles_take_less_than_100_mb():
    masks = np.broadcast_to(np.zeros(1, dtype=np.uint8), (8_436, 256 * 256 // 8))
    assert ErrorMask(masks).bits.nbytes < 100e6


def test_errors_beside_an_outline_can_be_left_out():
    truth = np.zeros((1, 16, 16), dtype=bool)
    truth[0, 4:12, 4:12] = True
    tiles = replace(some_tiles(1), masks=packed(truth), images=np.zeros((1, 3, 16, 16), dtype=np.uint8))
    everywhere = np.full((1, 32), 255, dtype=np.uint8)
    kept = unpacked(without_rim(everywhere, tiles, width=1), 16)[0]
    assert kept[5:11, 5:11].all()
    assert not kept[4, 4:12].any()
    assert not kept[3, 4:12].any()
    assert kept[2].all()
    assert np.array_equal(without_rim(everywhere, tiles, width=0), everywhere)


# -- stage 1 -----------------------------------------------------------------------------------


def test_errors_are_collected_after_the_onset_only_and_grow(tmp_path):
    stage = method(tmp_path, until=4).stage_one()
    ratios = [row["cfdr"] for row in stage.rows]
    assert ratios[0] is None
    assert 0 < ratios[1] <= ratios[2] <= ratios[3]
    assert stage.errors.ratio(stage.collected) == ratios[-1]
    assert not stage.errors.bits[stage.data.validation].any()


@pytest.mark.parametrize("loss", ["bce", "focal_tversky"])
def test_the_loss_on_validation_tiles_is_kept_for_the_target_output(tmp_path, loss: str):
    two = method(tmp_path, loss=loss, epochs=1)
    first = two.stage_one()
    for stage in (first, two.stage_two(first)):
        which = stage.data.validation
        logits = stage.learner.logits(stage.data.images(which))[:, :1]
        target = torch.from_numpy(stage.data.tiles.mask(which)[:, None]).float()
        expected = LOSSES[loss]()(logits, target).item()
        assert stage.rows[-1]["val_loss"] == pytest.approx(expected, rel=1e-3)


def test_a_checkpoint_without_errors_holds_none(tmp_path):
    stage = method(tmp_path, onset=2, until=3)
    stage.stage_one(until=2)
    held = torch.load(tmp_path / "stage1.pt", weights_only=True)["extra"]
    assert held["errors"] is None
    assert stage.stage_one().errors.bits.any()
    assert torch.load(tmp_path / "stage1.pt", weights_only=True)["extra"]["errors"] is not None


def test_collecting_changes_no_weight_so_a_baseline_may_go_on_from_stage_1(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    alone = method(tmp_path / "a").stage_one(collect=False, until=5)
    assert not any(row["cfdr"] for row in alone.rows)
    both = method(tmp_path / "b")
    both.stage_one()
    shared = both.stage_one(collect=False, until=5)
    assert weights(alone) == weights(shared)
    assert [row["iou"] for row in alone.rows] == [row["iou"] for row in shared.rows]
    assert [row["run"] for row in shared.rows] == ["stage 1"] * 3 + ["baseline"] * 2


@pytest.mark.parametrize("augment", [False, True])
def test_a_training_cut_off_after_any_epoch_ends_with_the_same_bits(tmp_path, augment: bool):
    def cut_off(stop: int):
        def progress(what: str, done: int, total: int) -> None:
            if what.startswith("stage 2") * 3 + done == stop:
                raise KeyboardInterrupt

        return progress

    (tmp_path / "whole").mkdir()
    whole = method(tmp_path / "whole", augment=augment)
    first = whole.stage_one()
    second = whole.stage_two(first)
    for stop in range(1, 5):
        folder = tmp_path / str(stop)
        folder.mkdir()
        cut = replace(method(folder, augment=augment), progress=cut_off(stop))
        with pytest.raises(KeyboardInterrupt):
            cut.stage_two(cut.stage_one())
        again = method(folder, augment=augment)
        one = again.stage_one()
        two = again.stage_two(one)
        assert (weights(one), history(one)) == (weights(first), history(first))
        assert np.array_equal(one.errors.bits, first.errors.bits)
        assert (weights(two), history(two)) == (weights(second), history(second))
        assert two.best["epoch"] == second.best["epoch"]


def test_a_checkpoint_of_other_settings_or_tiles_is_left_aside(tmp_path, caplog):
    method(tmp_path).stage_one()
    with caplog.at_level(logging.WARNING):
        again = method(tmp_path, learning_rate=0.02).stage_one()
    assert [row["epoch"] for row in again.rows] == [1, 2, 3]
    assert "begun anew" in caplog.text


def test_a_checkpoint_beyond_the_last_epoch_is_left_aside(tmp_path, caplog):
    (tmp_path / "long").mkdir(), (tmp_path / "short").mkdir()
    method(tmp_path / "long").stage_one(until=4)
    with caplog.at_level(logging.WARNING):
        again = method(tmp_path / "long").stage_one(until=2)
    assert "gone beyond epoch 2" in caplog.text
    alone = method(tmp_path / "short").stage_one(until=2)
    assert history(again) == history(alone)
    assert weights(again) == weights(alone)
    assert np.array_equal(again.errors.bits, alone.errors.bits)


def test_a_damaged_checkpoint_is_named(tmp_path):
    method(tmp_path).stage_one()
    (tmp_path / "stage1.pt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"stage1\.pt cannot be read.*--restart"):
        method(tmp_path).stage_one()


def test_the_precondition_is_printed_and_judged(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="jido"):
        stage = method(tmp_path).stage_one()
    assert f"Train IoU is {stage.onset_iou:.3f}" in caplog.text
    assert "precondition not met" in caplog.text


@pytest.mark.parametrize(
    ("passes", "every", "due"), [(3, None, {1, 2, 3}), (1, None, {3}), (1, 2, {2}), (1, 9, {3})]
)
def test_passes_are_spread_over_an_epoch(tmp_path, passes, every, due):
    stage = method(tmp_path, passes=passes, every=every).stage("stage 1", number=1)
    assert stage._collection_steps(3) == due


# -- cases -------------------------------------------------------------------------------------


def test_the_four_cases_are_those_of_the_paper():
    assert settings().case("A_100-200").model_dump(include={"onset", "until", "branch"}) == {
        "onset": 100,
        "until": 200,
        "branch": "",
    }
    assert [case.until for case in CASES.values()] == [200, 250, 250, 300]
    assert {case.branch_at for case in CASES.values()} == {None, 200}
    with pytest.raises(ModelError, match="no case 'C'"):
        settings().case("C")


def test_branches_reload_stage_1_and_take_other_courses(tmp_path):
    a, b = (method(tmp_path, branch=name, branch_at=2, until=4).stage_one() for name in "AB")
    trunk = method(tmp_path, until=2).stage_one()
    assert history(a)[:2] == history(b)[:2] == history(trunk)
    assert [row["run"] for row in a.rows] == ["stage 1", "stage 1", "A", "A"]
    assert weights(a) != weights(b)
    for branch in (a, b):
        assert not (trunk.errors.bits & ~branch.errors.bits).any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"onset": 3}, "beyond"),
        ({"branch": "A", "branch_at": 9}, "branch begins"),
        ({"heads": ()}, "one head or more"),
        ({"combine": "signed"}, "no sign"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says: str):
    with pytest.raises(ModelError, match=says):
        settings(**wrong)


def test_a_file_overrules_the_preset_and_a_wrong_setting_is_named(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('width = 8\nheads = ["missed", "false_alarm"]\ncombine = "signed"\n')
    found = load_config(file, preset="smoke", seed=3)
    assert (found.width, found.depth, found.heads, found.seed) == (8, 2, ("missed", "false_alarm"), 3)
    file.write_text("wide = 8\n")
    with pytest.raises(ModelError, match="wide"):
        load_config(file)


# -- stage 2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "combine"),
    [
        (("error",), "union"),
        (("error",), "mean"),
        (("missed",), "union"),
        (("missed", "false_alarm"), "signed"),
    ],
)
def test_every_head_learns_its_errors(tmp_path, heads, combine: str):
    two = method(tmp_path, heads=heads, combine=combine)
    first = two.stage_one()
    second = two.stage_two(first)
    assert second.learner.net.out_channels == 1 + len(heads)
    for head, target in zip(heads, second.targets[1:], strict=True):
        assert np.array_equal(target, first.errors.of(head))
    _, targets = next(second.batches(1))
    assert targets.shape[1] == 1 + len(heads)


def test_stage_2_can_begin_with_the_weights_of_stage_1(tmp_path):
    two = method(tmp_path, start="stage 1", learning_rate=1e-9)
    first = two.stage_one()
    second = two.stage_two(first)
    ours, theirs = first.learner.weights(), second.learner.weights()
    assert torch.allclose(theirs["down.0.0.0.weight"], ours["down.0.0.0.weight"], atol=1e-6)
    assert torch.allclose(theirs["head.weight"][:1], ours["head.weight"], atol=1e-6)


def test_errors_out_of_fold_are_those_of_nets_that_have_not_seen_the_tile(tmp_path):
    two = method(tmp_path, out_of_fold=2)
    errors = two.out_of_fold()
    folds = [two.stage(f"fold {i}", number=1) for i in (1, 2)]
    assert errors.bits[two.data.train].any()
    assert not errors.bits[two.data.validation].any()
    collected = []
    for fold in folds:
        held = torch.load(fold.checkpoint(tmp_path), weights_only=True)["extra"]["errors"].numpy()
        collected.append(set(np.flatnonzero(held.any(axis=1)).tolist()))
    assert collected[0].isdisjoint(collected[1])
    groups = [set(two.data.tiles.group[list(found)]) for found in collected]
    assert groups[0].isdisjoint(groups[1])


def test_any_net_will_do(tmp_path):
    (tmp_path / "named").mkdir(), (tmp_path / "made").mkdir()
    two = method(tmp_path / "named", net="resunet")
    assert two.stage_two(two.stage_one()).rows
    made = replace(
        method(tmp_path / "made"),
        factory=lambda bands, outputs: build_net(
            "unet", in_channels=bands, out_channels=outputs, depth=2, width=2
        ),
    )
    assert made.stage_two(made.stage_one()).learner.net.divisor == 4
