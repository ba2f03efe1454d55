"""The loop: the same bits after an interruption, weights put elsewhere, turned tiles."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.losses import LOSSES  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.train import Learner, dihedral, seeded, train  # noqa: E402


def learner(*, outputs: int = 1, seed: int = 0, precision="bf16") -> Learner:
    with seeded(seed):
        net = build_net("unet", in_channels=3, out_channels=outputs, depth=1, width=4)
    return Learner(net, LOSSES["bce"](), precision=precision, accelerator="cpu", learning_rate=0.01)


def batches(epoch: int):
    """Two batches of an epoch: the target is where the first band is high."""
    for step in range(2):
        images = torch.from_numpy(np.random.default_rng((epoch, step)).normal(size=(4, 3, 16, 16)))
        yield images.float(), (images[:, :1] > 0.5).float()


def same(one: Learner, other: Learner) -> bool:
    ours, theirs = one.weights(), other.weights()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_training_that_was_cut_off_ends_with_the_same_bits(tmp_path, precision: str):
    whole = learner(precision=precision)
    train(whole, batches, until=5)
    for stop in (1, 3):
        first = learner(precision=precision)
        train(first, batches, until=stop)
        first.save(tmp_path / "state.pt", note="kept")
        torch.rand(7)  # what happens to other random numbers in between has no say
        second = learner(seed=9, precision=precision)
        assert second.load(tmp_path / "state.pt") == {"note": "kept"}
        assert second.epoch == stop
        train(second, batches, until=5)
        assert same(whole, second)


def test_training_learns_and_says_so():
    losses, steps = [], []
    pupil = learner()
    train(
        pupil,
        batches,
        until=30,
        after_epoch=losses.append,
        after_step=lambda step, logits, targets: steps.append((step, tuple(logits.shape))),
    )
    assert losses[-1] < losses[0] / 2
    assert pupil.epoch == len(losses) == 30
    assert steps[:3] == [(1, (4, 1, 16, 16)), (2, (4, 1, 16, 16)), (1, (4, 1, 16, 16))]
    images, targets = next(batches(99))
    assert ((pupil.logits(images) > 0) == (targets > 0)).float().mean() > 0.8


def test_logits_follow_every_step():
    pupil = learner()
    images, targets = next(batches(1))
    before = pupil.logits(images)
    pupil.step(images, targets)
    assert not torch.equal(pupil.logits(images), before)


def test_logits_are_those_of_the_net_in_evaluation():
    pupil = learner(precision="fp32")
    images, targets = next(batches(1))
    pupil.step(images, targets)
    with torch.no_grad():
        expected = pupil.net.eval()(images)
    torch.testing.assert_close(pupil.logits(images), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_a_net_with_fewer_outputs_leave_the_new_ones_alone():
    one, two = learner(seed=1), learner(outputs=2, seed=2)
    fresh = two.weights()["head.weight"]
    two.put(one.weights(), grown=True)
    assert torch.equal(two.weights()["head.weight"][:1], one.weights()["head.weight"])
    assert torch.equal(two.weights()["head.weight"][1:], fresh[1:])
    assert torch.equal(two.weights()["down.0.0.0.weight"], one.weights()["down.0.0.0.weight"])


def test_seeds_leave_other_random_numbers_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(5):
        torch.rand(4)
    assert torch.equal(torch.rand(2), expected)


def test_image_and_target_turn_together_in_eight_ways():
    tile = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(400, 1, 1, 1)
    images, targets = dihedral(tile, tile + 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(images + 100, targets)
    ways = {tuple(image.flatten().tolist()) for image in images}
    turned = [np.rot90(tile[0, 0].numpy(), k) for k in range(4)]
    assert ways == {tuple(view.ravel()) for way in turned for view in (way, way.T)}
