"""Vectors of a pretrained encoder, and nets that go on from it with few labels."""

import numpy as np
import pytest

pytest.importorskip("torch")

from jido import Band, label_curve
from jido.data.pool import Pool
from jido.data.stack import stack_of
from jido.errors import ModelError
from jido.methods import label_learners
from jido.methods.encoder_package import EncoderPackage
from jido.methods.label_curve import fine_tuned, linear_probe
from jido.methods.selfsup import PretrainConfig, Pretraining
from jido.methods.tune import TuneConfig, Tuning

S1 = [Band(name, sensor="sentinel-1") for name in ("VV", "VH")]
S2 = [Band(name, sensor="sentinel-2") for name in ("B02", "B03", "B04")]
FEW = TuneConfig(steps=30, batch=16, average=0.5, precision="fp32")


def pool_of(bands, n=48, side=8) -> Pool:
    """Patches of noise, every second one brighter."""
    images = np.random.default_rng(0).normal(0, 1, (n, len(bands), side, side)).astype(np.float32)
    images[::2] += 2
    stack = stack_of(bands)
    return Pool.of(images[:, stack.order], stack)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Pretraining:
    config = PretrainConfig(epochs=2, batch=16, encoder={"width": 8}, precision="fp32")
    return Pretraining(pool_of([*S1, *S2]), config).run(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def package(trained, tmp_path_factory) -> EncoderPackage:
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    EncoderPackage.of(trained, pixel_m=(10.0, 10.0)).save(folder)
    return EncoderPackage.load(folder)


def test_a_package_says_what_its_training_says(trained, package):
    vectors = package.vectors(trained.pool)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, trained.vectors(trained.pool, np.arange(48)), atol=1e-5)
    np.testing.assert_allclose(package.vectors(trained.pool, np.array([5, 3])), vectors[[5, 3]], atol=1e-5)
    assert package.vectors(trained.pool, np.array([], int)).shape == (0, vectors.shape[1])


def test_a_package_takes_one_sensor_and_files_in_any_order(trained, package):
    both = package.vectors(trained.pool)
    alone = package.vectors(pool_of(S1))
    assert alone.shape == both.shape
    assert not np.allclose(alone, both, atol=1e-3)
    turned = [*S2, *S1]
    images = np.concatenate([trained.pool.images[:, 2:], trained.pool.images[:, :2]], axis=1)
    stack = stack_of(turned)
    pool = Pool.of(images[:, stack.order], stack)
    np.testing.assert_allclose(package.vectors(pool), both, atol=1e-5)


def test_a_package_refuses_other_bands(package):
    with pytest.raises(ModelError, match="give the same bands of a sensor"):
        package.vectors(pool_of([*S1, *S2[:2]]))


def test_probe_and_fine_tuning_of_a_package_stand_in_one_curve(trained, package):
    y, places = np.arange(48) % 2, np.arange(48)
    weights = package.tensors()
    before = {name: value.clone() for name, value in weights.items()}
    many = {"num_classes": 2, "encoder": package.settings, "config": FEW}
    learners = {
        "probe": linear_probe(package.vectors(trained.pool), num_classes=2),
        "tuned": fine_tuned(trained.pool, weights=weights, **many),
        "scratch": fine_tuned(trained.pool, **many),
    }
    curve = label_curve(learners, y, folds=(places[:24], places[24:]), budgets=(5,), draws=3)
    assert [row["oa"]["value"] > 0.8 for row in curve.summary()] == [True] * 3
    assert all((before[name] == value).all() for name, value in weights.items())
    again = label_curve(learners, y, folds=(places[:24], places[24:]), budgets=(5,), draws=3)
    np.testing.assert_array_equal(again.right, curve.right)


def test_fine_tuning_shows_every_label_often_enough(monkeypatch):
    seen: list[Tuning] = []

    class Seen(Tuning):
        def run(self):
            seen.append(self)
            return self

        def probabilities(self, which):
            return np.full((len(which), 2), 0.5)

    monkeypatch.setattr(label_learners, "Tuning", Seen)
    learn = fine_tuned(pool_of(S2), num_classes=2, encoder={"width": 8}, config=FEW, rounds=40)
    few, many = np.array([3, 1]), np.arange(40)
    learn(few, np.array([1, 0]), many, 2**40 + 1)
    learn(many, many % 2, few, 1)
    assert [one.config.steps for one in seen] == [30, 100]
    assert [one.seed for one in seen] == [1, 1]
    assert list(seen[0].train) == [3, 1]
    assert list(seen[0].y[[3, 1]]) == [1, 0]
    assert FEW.steps == 30
