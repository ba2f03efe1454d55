"""Scene classification: it learns, goes on with the same bits, chooses on validation, and maps images."""

from __future__ import annotations

import csv
import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.chips import Chips  # noqa: E402
from jido.errors import FoldsError, ModelError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.methods import load_model  # noqa: E402
from jido.methods.classify import scene_model, train_classification, write_predictions  # noqa: E402
from jido.methods.scene import SceneTraining, weights_from_confusion  # noqa: E402
from jido.methods.scene_config import RECIPES, load_scene_config  # noqa: E402
from jido.methods.scene_data import SceneData  # noqa: E402

CLASSES = ("flat", "rows", "spots")
SIDE = 16


def pictures(n: int = 96, *, seed: int = 0, dtype: str = "uint8", bands: int = 3) -> Chips:
    """Noise with nothing, stripes across, or one bright square in it, in turn."""
    rng = np.random.default_rng(seed)
    images = rng.normal(100, 12, (n, bands, SIDE, SIDE))
    label = np.arange(n) % 3
    images[label == 1, :, ::2] += 50
    for i in np.flatnonzero(label == 2):
        row, col = rng.integers(2, 10, 2)
        images[i, :, row : row + 4, col : col + 4] += 100
    names = np.array([f"{CLASSES[k]}/{i}.png" for i, k in enumerate(label)])
    return Chips(
        np.clip(images, 0, 255).astype(dtype),
        label,
        names,
        CLASSES,
        tuple(Band(f"b{i}") for i in range(bands)),
    )


class Split:
    """What a split has to say."""

    kind, leaks, buffer_m, touching, notes = "by hand", False, 0.0, None, ()

    def __init__(self, n: int, *, test: bool = True) -> None:
        self.part = np.where(np.arange(n) < n * 2 // 3, "train", "val")
        if test:
            self.part[n * 5 // 6 :] = "test"
        self.group = np.arange(n)


def config(**given):
    return load_scene_config(
        given={"settings": {"width": 8}, "batch": 16, "epochs": 12, "least_steps": 0, "shift": 1} | given
    )


def training(chips: Chips | None = None, **given) -> SceneTraining:
    chips = chips or pictures()
    part = Split(len(chips)).part
    return SceneTraining(
        SceneData(chips, *(np.flatnonzero(part == p) for p in ("train", "val"))), config(**given)
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    chips = pictures(150)
    return train_classification(
        chips, Split(len(chips)), config=config(epochs=20), work=tmp_path_factory.mktemp("work")
    )


def test_it_learns_and_says_so(learned):
    found = learned.model.evaluation
    assert found["metrics"]["oa"]["value"] > 0.9
    assert set(found["metrics"]) == {"oa", "kappa", "f1_macro", "mcc"}
    assert np.sum(found["confusion"]) == found["tiles"]["test"] == 25
    assert found["judged_on"] == "test images"
    truth = np.arange(125, 150) % 3
    assert (learned.said.argmax(1) == truth).mean() == pytest.approx(found["metrics"]["oa"]["value"])
    assert [row["epoch"] for row in learned.training.rows] == list(range(1, 21))


def test_mean_of_views_is_the_mean_over_turned_images(learned):
    run, which = learned.training, np.arange(125, 130)
    turned = []
    images = run.data.chips.images
    for quarter in range(4):
        for mirrored in (False, True):
            view = np.rot90(images, quarter, (2, 3))
            view = view[..., ::-1] if mirrored else view
            chips = replace(run.data.chips, images=np.ascontiguousarray(view))
            data = SceneData(chips, run.data.train, run.data.validation)
            other = SceneTraining(data, run.config)
            other.__dict__["learner"] = run.learner
            turned.append(other.probabilities(which))
    np.testing.assert_allclose(run.probabilities(which, views=True), np.mean(turned, axis=0), atol=0.01)


def test_without_test_images_the_figures_are_of_those_that_chose(tmp_path):
    chips = pictures(60)
    found = train_classification(chips, Split(60, test=False), config=config(epochs=1), work=tmp_path)
    assert "validation" in found.model.evaluation["judged_on"]
    assert np.array_equal(found.judged, np.arange(40, 60))


def test_without_validation_images_the_last_epoch_is_taken(tmp_path):
    chips, split = pictures(60), Split(60)
    split.part[split.part == "val"] = "train"
    for given in ({"patience": 2}, {"schedule": "plateau"}, {"class_weights": "confusion"}):
        with pytest.raises(ModelError, match="needs validation images"):
            train_classification(chips, split, config=config(epochs=3, **given), work=tmp_path)
    found = train_classification(chips, split, config=config(epochs=3), work=tmp_path)
    assert found.training.best["epoch"] == 3
    assert found.model.evaluation["validation_oa"] is None
    assert "unsure" not in found.model.evaluation


def test_nothing_to_learn_from_is_refused(tmp_path):
    split = Split(30)
    split.part[:] = "test"
    with pytest.raises(FoldsError, match="0 images to learn from"):
        train_classification(pictures(30), split, config=config(), work=tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"optimiser": "adamw", "learning_rate": 1e-3, "schedule": "restarts", "restart": 1, "average": 0},
        {"class_weights": "confusion", "augment": "paper", "schedule": "plateau", "optimiser": "sgd"},
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, given, monkeypatch):
    monkeypatch.setattr("jido.methods.scene.SAVING", float("inf"))
    whole = training(epochs=4, **given)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole.run(tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done == 2 * 4 + 1:  # in the third epoch
            raise StopError

    with pytest.raises(StopError):
        training(epochs=4, **given).run(tmp_path / "parts", progress=stop)
    second = training(epochs=4, **given)
    torch.rand(5)
    second.run(tmp_path / "parts")
    ours, theirs = whole.learner.weights(), second.learner.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    told = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.rows] for run in (whole, second)]
    assert told[0] == told[1]
    assert whole.class_weights == second.class_weights


def test_a_checkpoint_of_other_settings_is_left_aside(tmp_path, caplog):
    training(epochs=1).run(tmp_path)
    with caplog.at_level(logging.WARNING):
        other = training(epochs=1, learning_rate=0.01).run(tmp_path)
    assert "begun anew" in caplog.text
    assert len(other.rows) == 1


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "scene.pt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="restart"):
        training(epochs=1).run(tmp_path)


def test_patience_ends_a_training_and_the_best_epoch_is_kept(tmp_path):
    run = training(
        epochs=50, patience=3, learning_rate=1e-9, small_learning_rate=1e-9, average=0, judge_every=1
    )
    run.run(tmp_path)
    assert len(run.rows) == run.best["epoch"] + 3 < 50
    assert run.best["oa"] == max(row["val_oa"] for row in run.rows)


def test_plateau_halves_the_rate_after_four_epochs_without_gain(tmp_path):
    run = training(schedule="plateau")
    for loss in (1.0, 0.5, 0.6, 0.6, 0.6):
        run.rows.append({"val_loss": loss})
        run._lower()
    assert run.learner.scale == 1
    run.rows.append({"val_loss": 0.6})
    run._lower()
    assert run.learner.scale == 0.5


def test_small_sets_get_more_epochs():
    run = training(epochs=5, least_steps=40)  # 64 images, 4 steps an epoch
    assert (run.steps, run.epochs) == (4, 10)
    assert training(epochs=50, least_steps=40).epochs == 50


def test_a_set_smaller_than_a_batch_is_one_step():
    run = training(batch=500)
    assert run.steps == 1
    assert [len(label) for _, label in run.batches(1)] == [64]


def test_weights_of_classes_follow_what_goes_wrong():
    cm = np.array([[100, 0, 0], [0, 90, 10], [0, 20, 80]])
    weights = weights_from_confusion(cm)
    assert weights[0] == 0.8
    assert weights[2] == 1.3
    assert weights_from_confusion(np.eye(3) * 10) == [1, 1, 1]
    absent = np.array([[95, 5, 0], [3, 97, 0], [0, 0, 0]])
    assert weights_from_confusion(absent)[2] == 1
    assert max(weights_from_confusion(absent)[:2]) > 1


def test_given_weights_are_used_and_unknown_classes_refused():
    run = training(class_weights={"rows": 1.3})
    assert run.learner.loss.weight.tolist() == pytest.approx([1, 1.3, 1])
    with pytest.raises(ModelError, match="which is no class"):
        training(class_weights={"River": 1.3})


def test_images_cannot_be_moved_out_of_themselves():
    with pytest.raises(ModelError, match="cannot be moved"):
        training(shift=SIDE)


def test_ranges_for_the_papers_views():
    chips = pictures(30, dtype="float32")
    chips.images[3, 1, :4] = np.nan
    data = SceneData(chips, np.arange(20), np.arange(20, 30))
    values, mean, _ = data.ranged(data.raw(np.arange(20), torch.device("cpu")))
    assert torch.isfinite(values).all()
    assert values[3, 1, 0, 0] == pytest.approx(mean[1, 0, 0].item())
    low, high = values.quantile(0.01), values.quantile(0.99)
    assert (low.item(), high.item()) == pytest.approx((0, 1), abs=0.05)
    assert not data.in_colour


def test_a_net_learns_on_whatever_device_with_weights_of_classes(monkeypatch):
    """On ``meta`` a tensor that was left on the processor is an error."""

    class Fabric:
        device = torch.device("meta")

        def __init__(self, **kwargs: object) -> None:
            pass

        def setup(self, net, *optimisers):
            return net.to("meta"), *optimisers

        def backward(self, loss):
            loss.backward()

    monkeypatch.setattr("jido.train.loop.Fabric", Fabric)
    for given in (
        {"class_weights": {"rows": 1.3}},
        {"class_weights": "flat", "optimiser": "sgd", "average": 0},
    ):
        run = training(precision="fp32", **given)
        images, label = next(run.batches(1))
        assert images.device.type == "meta"
        loss, logits = run.learner.step(images, label)
        assert (loss.device.type, tuple(logits.shape)) == ("meta", (16, 3))


def test_recipes_are_those_of_the_paper():
    found = load_scene_config(net="balanced", preset="full")
    told = (found.epochs, found.batch, found.optimiser, found.learning_rate, found.weight_decay)
    assert told == (80, 64, "adamw", 1e-3, 0.05)
    assert (found.schedule, found.restart, found.patience) == ("restarts", 15, 15)
    assert load_scene_config(net="baseline").epochs == 30
    assert load_scene_config(net="cbam").epochs == 40
    assert set(RECIPES) == {"compact", "balanced", "cbam", "baseline"}


def test_a_setting_that_does_not_exist_is_refused(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("epoch = 3")
    with pytest.raises(ModelError, match="epoch"):
        load_scene_config(file)


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 1), ("uint16", 13), ("float32", 4)])
def test_other_numbers_and_bands(tmp_path, dtype, bands):
    chips = pictures(48, dtype=dtype, bands=bands)
    if dtype == "float32":
        chips.images[0, :, :4] = np.nan
    found = train_classification(chips, Split(48), config=config(epochs=1), work=tmp_path)
    assert np.isfinite(found.said).all()


def test_a_package_says_the_same_and_a_map_agrees_with_single_images(learned, tmp_path):
    learned.model.save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    chips = learned.training.data.chips
    image = np.concatenate([chips.images[i] for i in range(3)], axis=2)[None].astype(np.float32)
    whole = model.at_stride(SIDE).predict(image)[0, :, 0]  # (K, 3): flat, rows, spots
    single = model.at_stride(SIDE).predict(chips.images[:3].astype(np.float32))[:, :, 0, 0]
    np.testing.assert_allclose(whole.T, single, atol=1e-6)
    assert whole.argmax(0).tolist() == [0, 1, 2]
    halved = model.at_stride(8).predict(image)
    assert halved.shape == (1, 3, 1, 5)
    np.testing.assert_allclose(halved[0, :, 0, ::2], whole, atol=1e-6)


def test_a_stride_that_does_not_suit_is_refused(learned):
    with pytest.raises(ModelError, match="even number up to 16"):
        learned.model.at_stride(3)


def test_a_model_with_views_is_the_same_for_turned_images(learned):
    model = scene_model(
        SceneTraining(learned.training.data, learned.training.config.model_copy(update={"views": True})), {}
    )
    image = learned.training.data.chips.images[:2].astype(np.float32)
    single = model.at_stride(SIDE)
    turned = np.ascontiguousarray(np.rot90(image, 1, (2, 3)))
    np.testing.assert_allclose(single.predict(image), single.predict(turned), atol=5e-3)


def test_the_table_of_predictions(learned, tmp_path):
    chips = pictures(9, seed=5)
    chips = replace(chips, lonlat=np.array([[127.0, 37.5]] * 8 + [[np.nan] * 2]))
    count = write_predictions(
        learned.model, [chips.subset(np.arange(5)), chips.subset(np.arange(5, 9))], tmp_path / "t.csv"
    )
    with (tmp_path / "t.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == chips.name.tolist()
    assert sum(count.values()) == 9
    assert [row["lon"] for row in rows] == ["127.000000"] * 8 + [""]
    for row in rows:
        shares = [float(row[f"p_{name}"]) for name in CLASSES]
        assert sum(shares) == pytest.approx(1, abs=0.001)
        assert row["class"] == CLASSES[int(np.argmax(shares))]
        assert float(row["confidence"]) == max(shares)


def test_images_of_other_bands_or_another_size_are_refused(learned, tmp_path):
    rgb = replace(pictures(3), bands=(Band("red"), Band("green"), Band("blue")))
    with pytest.raises(ModelError, match="reads bands b0, b1, b2"):
        write_predictions(learned.model, [rgb], tmp_path / "t.csv")
    large = replace(pictures(3), images=np.zeros((3, 3, 32, 32), np.uint8))
    with pytest.raises(ModelError, match="16 x 16"):
        write_predictions(learned.model, [large], tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()
