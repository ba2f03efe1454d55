"""The loop: the same bits after an interruption, weights put elsewhere, turned tiles."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.losses import LOSSES  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.train import (  # noqa: E402
    Learner,
    Muon,
    PaperViews,
    all_symmetries,
    cosine,
    dihedral,
    muon_and_adamw,
    restarts,
    seeded,
    train,
    triangle,
    turned_and_shifted,
)
from jido.train.muon import orthogonal  # noqa: E402


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


def muon_learner(seed: int = 0) -> Learner:
    """Two optimisers, a schedule, the mean of the weights, and a net that draws random numbers."""
    with seeded(seed):
        net = build_net("balanced", in_channels=3, out_channels=2)
    return Learner(
        net,
        torch.nn.CrossEntropyLoss(),
        optimisers=lambda net: muon_and_adamw(net, lr=0.02, small_lr=0.003, weight_decay=0.05),
        schedule=lambda step: triangle(step / 6),
        average=0.9,
        accelerator="cpu",
    )


def scenes(epoch: int):
    """Two batches of an epoch: the class is which half is bright."""
    for step in range(2):
        images = torch.from_numpy(np.random.default_rng((epoch, step)).normal(size=(4, 3, 16, 16)))
        label = torch.tensor([0, 1, 0, 1])
        images[label == 1, :, :, 8:] += 2
        yield images.float(), label


def test_optimisers_means_and_holes_go_on_with_the_same_bits(tmp_path):
    whole, first, second = muon_learner(), muon_learner(), muon_learner(9)
    train(whole, scenes, until=3, seed=4)
    train(first, scenes, until=1, seed=4)
    first.scale = 0.5
    first.save(tmp_path / "state.pt")
    torch.rand(7)
    second.load(tmp_path / "state.pt")
    assert (second.epoch, second.steps, second.scale) == (1, 2, 0.5)
    second.scale = 1.0
    train(second, scenes, until=3, seed=4)
    assert same(whole, second)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.net.parameters(), second.net.parameters(), strict=True)
    )


def test_the_seed_of_an_epoch_rules_what_nets_draw():
    one, other, third = muon_learner(), muon_learner(), muon_learner()
    train(one, scenes, until=1, seed=1)
    torch.rand(3)
    train(other, scenes, until=1, seed=1)
    train(third, scenes, until=1, seed=2)
    assert same(one, other)
    assert not same(one, third)


def test_the_schedule_scales_every_rate_and_a_training_may_end_early():
    pupil = muon_learner()
    train(pupil, scenes, until=5, after_epoch=lambda loss: pupil.epoch == 2)
    assert (pupil.epoch, pupil.steps) == (2, 4)
    rates = [group["lr"] for one in pupil.optimisers for group in one.param_groups]
    assert rates == pytest.approx([0.02 * triangle(0.5), *[0.003 * triangle(0.5)] * 2])


def test_the_mean_of_weights_lies_between_and_is_what_is_judged():
    pupil = muon_learner()
    first = pupil.weights()
    train(pupil, scenes, until=3)
    means, last = pupil.weights(), {name: value.clone() for name, value in pupil.net.state_dict().items()}
    name = "features.0.0.weight"
    far, near = (means[name] - first[name]).norm(), (last[name] - first[name]).norm()
    assert 0 < far < near
    images, _ = next(iter(scenes(1)))
    with torch.inference_mode(), pupil.fabric.autocast():
        said = pupil.judged.eval()(images).float()
    torch.testing.assert_close(pupil.logits(images), said, rtol=0.05, atol=0.05)
    pupil.put(first)
    assert all(torch.equal(pupil.net.state_dict()[key], value) for key, value in first.items())


def test_muon_steps_have_singular_values_near_1():
    with seeded(3):
        for shape in ((16, 40), (40, 16), (8, 8)):
            singular = torch.linalg.svdvals(orthogonal(torch.randn(*shape)).float())
            assert singular.min() > 0.5
            assert singular.max() < 1.4


def test_muon_takes_convolutions_and_adamw_the_first_the_last_and_vectors():
    net = build_net("compact", in_channels=3, out_channels=2, width=8)
    muon, adamw = muon_and_adamw(net, lr=0.02, small_lr=0.003, weight_decay=0.05)
    inner = {id(weight) for group in muon.param_groups for weight in group["params"]}
    outer = [weight for group in adamw.param_groups for weight in group["params"]]
    assert len(inner) + len(outer) == len(list(net.parameters()))
    assert {weight.ndim for weight in net.parameters() if id(weight) in inner} == {4}
    assert id(net.head[-1].weight) in {id(weight) for weight in outer}
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.05, 0.0]


def test_muon_brings_a_matrix_to_its_target():
    weight = torch.nn.Parameter(torch.zeros(6, 9))
    with seeded(1):
        target = torch.randn(6, 9)
    optimiser = Muon([weight], lr=0.05, weight_decay=0.0)
    first = (weight - target).norm().item()
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimiser.zero_grad()
        ((weight - target) ** 2).sum().backward()
        optimiser.step()
    assert (weight - target).norm().item() < 0.1 * first


def test_schedules_run_as_they_are_named():
    assert [triangle(done) for done in (0.15, 1.0)] == [1.0, 0.0]
    assert triangle(0.075) == pytest.approx(0.5)
    assert [cosine(done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [restarts(epoch, first=15, factor=2) for epoch in (0, 7.5, 15, 30, 45)] == pytest.approx(
        [1, 0.5, 1, 0.5, 1]
    )


def test_pixels_are_turned_and_moved_and_none_is_invented():
    image = torch.arange(1, 37, dtype=torch.uint8).view(1, 1, 6, 6).expand(64, 2, 6, 6).contiguous()
    found = turned_and_shifted(image, shift=0, generator=torch.Generator().manual_seed(0))
    assert found.dtype == torch.uint8
    assert torch.equal(found[:, 0], found[:, 1])
    views = {tuple(view.flatten().tolist()) for view in found[:, 0]}
    assert views == {tuple(view.flatten().tolist()) for view in all_symmetries(image[:1, :1])}
    assert len(views) == 8


def test_moved_images_are_mirrored_at_their_rim():
    image = torch.arange(36.0).view(1, 1, 6, 6)
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
    allowed = {
        tuple(view.flatten().tolist())
        for row in range(5)
        for column in range(5)
        for view in all_symmetries(padded[:, :, row : row + 6, column : column + 6])
    }
    found = turned_and_shifted(
        image.expand(200, 1, 6, 6), shift=2, generator=torch.Generator().manual_seed(1)
    )
    seen = {tuple(view.flatten().tolist()) for view in found}
    assert seen <= allowed
    assert len(seen) > 60


@pytest.mark.parametrize("channels", [3, 13])
def test_the_papers_views_differ_and_keep_size_and_scale(channels):
    with seeded(5):
        images = torch.rand(32, channels, 24, 24)
        views = PaperViews(colour=channels == 3)
        mean, sd = torch.full((channels, 1, 1), 0.5), torch.full((channels, 1, 1), 0.29)
        found = views(images, mean=mean, sd=sd)
        again = views(images, mean=mean, sd=sd)
    assert found.shape == images.shape
    assert torch.isfinite(found).all()
    assert abs(found.mean().item()) < 1
    assert not torch.equal(found, again)
