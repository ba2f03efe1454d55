"""Learning without labels: losses by hand, what each method does in a step, one loop with the same bits."""

from __future__ import annotations

import logging
import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from pydantic import ValidationError  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

from jido.data.pool import Pool  # noqa: E402
from jido.data.stack import stack_of  # noqa: E402
from jido.errors import ModelError  # noqa: E402
from jido.geo import Band, unique_names  # noqa: E402
from jido.losses.selfsup import (  # noqa: E402
    ThreeBranches,
    cosine_distance,
    decorrelation,
    info_nce,
    masked_error,
    masked_smooth_l1,
    nt_xent,
    self_distillation,
)
from jido.methods import masked, selfsup  # noqa: E402
from jido.methods.contrastive import BYOL, DINO, MoCo  # noqa: E402
from jido.methods.masked import MAE, Data2Vec, patches_of  # noqa: E402
from jido.methods.pretext import frozen_copy, rising  # noqa: E402
from jido.methods.pretrain import require_settings  # noqa: E402
from jido.methods.selfsup import METHODS, TOKENS, PretrainConfig, Pretraining, build_pretext  # noqa: E402
from jido.methods.ssmmrl import AttentionFusion, MeanFusion  # noqa: E402
from jido.methods.watch import Probe, spread  # noqa: E402
from jido.nets.dynamic import DynamicConv2d  # noqa: E402
from jido.nets.encoders import SensorEncoder, TokenEncoder  # noqa: E402
from jido.train import ViewSettings, seeded, views  # noqa: E402

SENSORS = {"s1": 1, "s2": 2}
SMALL = {
    "ssmmrl": {"hidden": 16, "projected": 8},
    "byol": {"hidden": 16, "projected": 8},
    "simclr": {"hidden": 16, "projected": 8},
    "moco": {"hidden": 16, "projected": 8, "queue": 32},
    "dino": {"hidden": 16, "prototypes": 16},
    "mae": {"width": 32, "depth": 1},
    "data2vec": {"layers": 2},
}
TARGETS = {"ssmmrl": "target", "byol": "target", "moco": "keys", "dino": "teacher", "data2vec": "teacher"}
"""Method -> the part of it that learns by following alone."""


def unit(*angles: float):
    """Vectors (B, 2) of length 1 in these directions, in degrees."""
    turned = torch.tensor(angles).deg2rad()
    return torch.stack([turned.cos(), turned.sin()], 1)


def drawn(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- losses ------------------------------------------------------------------------------------


def test_cosine_distance_is_0_for_the_same_2_across_and_4_for_the_opposite():
    one = drawn(5, 7)
    assert cosine_distance(one, 3 * one).item() == pytest.approx(0, abs=1e-6)
    assert cosine_distance(one, -one).item() == pytest.approx(4)
    assert cosine_distance(unit(0, 30), unit(90, -60)).item() == pytest.approx(2)
    assert cosine_distance(unit(0, 0), unit(60, 180)).item() == pytest.approx((1 + 4) / 2)


def test_nt_xent_of_two_patches():
    assert nt_xent(unit(0, 90), 2 * unit(0, 90), temperature=0.5).item() == pytest.approx(
        math.log(1 + 2 * math.exp(-2)), rel=1e-5
    )
    e = math.e  # views at 0 and 90 degrees, their partners at 90 and 90
    each = [math.log(3), math.log((2 * e + 1) / e), math.log(2 * e + 1), math.log((2 * e + 1) / e)]
    assert nt_xent(unit(0, 90), unit(90, 90), temperature=1).item() == pytest.approx(sum(each) / 4, rel=1e-5)


def test_info_nce_of_one_query_and_two_keys_of_others():
    right, e = unit(0) * 3, math.e
    queue = unit(90, 180)
    found = info_nce(2 * right, right, queue, temperature=1)
    assert found.item() == pytest.approx(math.log((e + 1 + 1 / e) / e), rel=1e-5)
    colder = info_nce(2 * right, right, queue, temperature=0.5)
    assert colder.item() == pytest.approx(math.log(1 + e**-2 + e**-4), rel=1e-5)


def test_self_distillation_of_the_unsure_and_by_hand():
    def loss(student, teacher, centre=(0.0, 0.0), sharp=1.0, sharper=1.0) -> float:
        rows = (torch.tensor([part]) for part in (student, teacher, centre))
        return self_distillation(*rows, student_temperature=sharp, teacher_temperature=sharper).item()

    flat = torch.zeros(3, 7)
    unsure = self_distillation(flat, flat, flat[:1], student_temperature=0.1, teacher_temperature=0.04)
    assert unsure.item() == pytest.approx(math.log(7), rel=1e-5)
    first = 1 / (1 + math.exp(-2))  # what a teacher (1, 0) of temperature 1/2 says
    by_hand = -first * math.log(1 / (1 + math.exp(4))) - (1 - first) * math.log(1 / (1 + math.exp(-4)))
    assert loss((0.0, 1.0), (1.0, 0.0), sharp=0.25, sharper=0.5) == pytest.approx(by_hand, rel=1e-5)
    assert loss((5.0, 0.0), (1.0, 0.0), centre=(1.0, 0.0)) == pytest.approx(  # centred, it says one half
        -(math.log(1 / (1 + math.exp(-5))) + math.log(1 / (1 + math.exp(5)))) / 2, rel=1e-5
    )


def test_masked_errors_count_hidden_tokens_alone():
    true, said = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)
    said[0, 0], said[0, 1] = torch.tensor([1.0, 3.0]), 100.0
    hidden = torch.tensor([[True, False, True]])
    assert masked_error(said, true, hidden).item() == pytest.approx((1 + 9) / 4)
    smooth = (1**2 / 2 / 2 + (3 - 2 / 2)) / 4  # below beta = 2 it is a square, beyond it a line
    assert masked_smooth_l1(said, true, hidden, beta=2).item() == pytest.approx(smooth)


def branches(*weights: float) -> ThreeBranches:
    names = ("online_target", "online_fusion", "fusion_target")
    return ThreeBranches(**dict(zip(names, weights, strict=False)))


def test_three_branches_are_three_weighed_terms():
    online, target = (unit(0), unit(90)), (unit(0), unit(60))
    fused, predicted = unit(180), unit(90)
    first = (1 + 2) / 2  # 0 against 60 degrees, 90 against 0
    second = (4 + 2) / 2
    third = (2 + (2 - math.sqrt(3))) / 2
    for one, two, three in ((1, 1, 1), (2, 0.5, 3), (0, 1, 0), (0, 0, 1)):
        found = branches(one, two, three)(online, target, fused, predicted).item()
        assert found == pytest.approx(one * first + two * second + three * third, rel=1e-5)
    assert branches()(online, target, fused, predicted).item() == pytest.approx(first + second + third)
    assert branches(2, 5, 5)(online, target).item() == pytest.approx(2 * first)


def test_the_fused_goal_is_not_drawn_to_the_online_branch():
    online, target = drawn(2, 3, 4).requires_grad_(), drawn(2, 3, 4, seed=1)
    fused = drawn(3, 4, seed=2).requires_grad_()
    predicted = (2 * fused + 1).requires_grad_()
    branches(1, 1, 0)(online, target, fused, predicted).backward(retain_graph=True)
    assert not fused.grad.any()
    assert online.grad.abs().amax((1, 2)).min() > 0
    branches(0, 0, 1)(online, target, fused, predicted).backward()
    assert fused.grad.any()


# -- methods -----------------------------------------------------------------------------------


def encoder_for(method: str):
    if method in TOKENS:
        return TokenEncoder(SENSORS, side=8, token=2, width=32, depth=2)
    return SensorEncoder(SENSORS, width=4, stages=2, kernels=2)


def task_of(method: str, *, seed: int = 0, **settings):
    with seeded(seed):
        return build_pretext(method, lambda: encoder_for(method), {**SMALL[method], **settings})


def weights_of(module) -> dict:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_one_number_that_moves_the_encoder_and_no_target(method):
    task = task_of(method).train()
    loss = task(drawn(12, 3, 8, 8))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    loss.backward()
    for name, weight in task.named_parameters():
        followed = name.startswith(TARGETS.get(method, "-"))
        assert weight.requires_grad != followed
        if followed:
            assert weight.grad is None
        elif name.startswith("encoder"):
            assert torch.isfinite(weight.grad).all()
    moved = [weight.grad.abs().max() > 0 for weight in task.encoder.parameters()]
    assert np.mean(moved) > 0.9  # some small nets' rectifiers are shut at first


@pytest.mark.parametrize(("method", "part"), TARGETS.items())
@pytest.mark.parametrize("done", [0.0, 0.5, 1.0])
def test_targets_keep_the_share_tau_and_slow_down(method, part, done):
    task = task_of(method, tau=0.8)
    target = getattr(task, part)
    online = task.encoder if method == "data2vec" else nn.Sequential(task.encoder, task.project)
    with torch.no_grad(), seeded(1):
        for weight in task.parameters():
            weight.add_(torch.randn_like(weight))
        task(drawn(12, 3, 8, 8))  # batch statistics move, and to other numbers
    before, theirs = weights_of(target), weights_of(online)
    task.follow(done)
    tau = 0.8 if method == "moco" else {0.0: 0.8, 0.5: 0.9, 1.0: 1.0}[done]
    parameters = dict(target.named_parameters())
    for name, value in theirs.items():
        mine = target.state_dict()[name]
        wanted = tau * before[name] + (1 - tau) * value if name in parameters else value
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)
    if method != "data2vec":
        assert any("running_mean" in name and (before[name] != theirs[name]).any() for name in theirs)
    after = weights_of(online)
    assert all(torch.equal(after[name], theirs[name]) for name in theirs)


def test_what_lets_targets_slow_down_rises_by_a_cosine():
    assert [rising(0.9, done) for done in (0, 0.5, 1, 2)] == pytest.approx([0.9, 0.95, 1, 1])
    assert rising(0.9, 0.25) == pytest.approx(1 - 0.1 * (math.cos(math.pi / 4) + 1) / 2)


def test_byol_is_ssmmrl_without_fusion():
    one, other = task_of("byol", seed=3), task_of("ssmmrl", seed=3, fusion="none", decorrelated=0)
    assert isinstance(one, BYOL)
    assert list(one.state_dict()) == list(other.state_dict())
    two = drawn(12, 3, 8, 8)
    assert torch.equal(one(two), other(two))
    assert not torch.equal(one(two), task_of("ssmmrl", seed=3)(two))


def test_ssmmrl_compares_each_view_with_the_target_of_the_other():
    task, two = task_of("ssmmrl", decorrelated=0).train(), drawn(12, 3, 8, 8)
    given = []
    task.loss.register_forward_hook(lambda module, args, output: given.extend(args))
    loss = task(two)
    online, target, fused, predicted = given
    seen = task.encoder(two)
    torch.testing.assert_close(torch.cat(online), task.predict(task.project(seen)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat(target), task.target(two), rtol=1e-4, atol=1e-5)
    joined = task.project_fused(task.fuse(seen[:6], seen[6:]))
    torch.testing.assert_close(fused, joined, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(predicted, task.predict_fused(joined), rtol=1e-4, atol=1e-5)
    assert not any(part.requires_grad for part in target)
    assert loss.item() == pytest.approx(ThreeBranches()(*given).item())


def test_attention_shares_each_channel_among_two_views():
    with seeded(2):
        fuse = AttentionFusion(12)
    one, other = drawn(9, 12), drawn(9, 12, seed=1)
    with torch.no_grad():
        found = fuse(one, other)
        torch.testing.assert_close(fuse(one, one), one)
        torch.testing.assert_close(fuse(other, one), found)
        weight = fuse.weigh(torch.stack([one, other])).exp()
        torch.testing.assert_close(found, (weight * torch.stack([one, other])).sum(0) / weight.sum(0))
        assert ((found - torch.minimum(one, other)) > 0).all()
        assert ((torch.maximum(one, other) - found) > 0).all()
        share = (found - other) / (one - other)
        assert share.std(1).min() > 0.005  # channels by themselves
        for weights in fuse.weigh[2].parameters():
            weights.zero_()
        torch.testing.assert_close(fuse(one, other), MeanFusion()(one, other))
    torch.testing.assert_close(MeanFusion()(one, other), (one + other) / 2)


def test_a_fusion_that_there_is_not_is_refused():
    with pytest.raises(ModelError, match=r"fusion = 'attn': .*'attention', 'mean' or 'none'"):
        task_of("ssmmrl", fusion="attn")
    assert isinstance(task_of("ssmmrl", fusion="mean").fuse, MeanFusion)


def test_keys_enter_the_queue_in_a_ring():
    task = task_of("moco", queue=10).train()
    assert isinstance(task, MoCo)
    torch.testing.assert_close(task.queue.norm(dim=1), torch.ones(10))
    wanted = task.queue.clone()
    for step in range(4):
        two = drawn(8, 3, 8, 8, seed=step)
        keys = normalize(frozen_copy(task.keys)(two)[:4], dim=1)
        task(two)
        wanted[[(4 * step + i) % 10 for i in range(4)]] = keys
        torch.testing.assert_close(task.queue, wanted, rtol=1e-5, atol=1e-6)
        assert task.place == 4 * (step + 1) % 10
    torch.testing.assert_close(task.queue.norm(dim=1), torch.ones(10))
    task.eval()(drawn(8, 3, 8, 8, seed=9))
    torch.testing.assert_close(task.queue, wanted, rtol=1e-5, atol=1e-6)


def test_moco_compares_both_views_with_the_queue_as_it_was():
    task, two = task_of("moco").train(), drawn(8, 3, 8, 8)
    query, key = task.project(task.encoder(two)), task.keys(two)
    queue = task.queue.clone()
    one = info_nce(query[:4], key[4:], queue, temperature=0.2)
    other = info_nce(query[4:], key[:4], queue, temperature=0.2)
    assert task(two).item() == pytest.approx((one + other).item() / 2, rel=1e-5)


def test_dinos_centre_follows_what_the_teacher_says():
    task, two = task_of("dino").train(), drawn(8, 3, 8, 8)
    assert isinstance(task, DINO)
    with torch.no_grad():
        said = task.teacher(two).mean(0, keepdim=True)
    assert not task.centre.any()
    task(two)
    torch.testing.assert_close(task.centre, 0.1 * said, rtol=1e-4, atol=1e-6)
    task(two)
    torch.testing.assert_close(task.centre, 0.19 * said, rtol=1e-4, atol=1e-6)
    held = task.centre.clone()
    task.eval()(two)
    assert torch.equal(task.centre, held)


def test_dino_compares_each_view_with_the_teachers_other_one():
    task, two = task_of("dino").train(), drawn(8, 3, 8, 8)
    with torch.no_grad():
        task.centre.copy_(0.05 * drawn(1, 16))
        student = task.prototypes(normalize(task.project(task.encoder(two)), dim=1)).chunk(2)
        teacher, centre = task.teacher(two).chunk(2), task.centre.clone()
        heat = {"student_temperature": 0.1, "teacher_temperature": 0.04}
        wanted = [self_distillation(student[i], teacher[1 - i], centre, **heat).item() for i in (0, 1)]
        assert task(two).item() == pytest.approx(sum(wanted) / 2, rel=1e-4)
        own = [self_distillation(student[i], teacher[i], centre, **heat).item() for i in (0, 1)]
        assert sum(own) != pytest.approx(sum(wanted), rel=0.01)


def spied(monkeypatch, name: str) -> list:
    """What a loss of the masked methods is given from now on: said, true, hidden, a triple per call."""
    calls, real = [], getattr(masked, name)
    monkeypatch.setattr(masked, name, lambda *args, **more: calls.append(args) or real(*args, **more))
    return calls


def painted(images, hidden):
    """Images in whose hidden tokens of 2 x 2 pixels stands something else."""
    places = hidden.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.where(places, drawn(*images.shape, seed=77), images)


@pytest.mark.parametrize("share", [0.75, 0.5])
def test_mae_hides_the_stated_share_and_sees_nothing_of_it(monkeypatch, share):
    task, two = task_of("mae", hidden_share=share), drawn(6, 3, 8, 8)
    assert isinstance(task, MAE)
    calls, seen = spied(monkeypatch, "masked_error"), []
    task.encoder.layers.register_forward_hook(lambda module, args, output: seen.append(args[0].shape[1]))
    with seeded(5):
        task(two)
    said, true, hidden = calls[0]
    assert (hidden.sum(1) == int(16 * share)).all()
    assert len(hidden.unique(dim=0)) == 6  # each image has its own
    assert seen == [16 - int(16 * share)]
    torch.testing.assert_close(true.mean(2), torch.zeros(6, 16), rtol=0, atol=1e-5)
    torch.testing.assert_close(true.std(2), torch.ones(6, 16), rtol=0.01, atol=0.01)
    with seeded(5):
        task(painted(two, hidden))
    again, other, same = calls[1]
    assert torch.equal(same, hidden)
    torch.testing.assert_close(again, said)
    assert (other != true).any(2)[hidden].all()
    torch.testing.assert_close(other[~hidden], true[~hidden])


def test_data2vecs_student_sees_nothing_of_what_is_hidden_and_its_teacher_all(monkeypatch):
    task, two = task_of("data2vec", hidden_share=0.6), drawn(40, 3, 8, 8)
    assert isinstance(task, Data2Vec)
    calls = spied(monkeypatch, "masked_smooth_l1")
    for images in (two, None):
        with seeded(5):
            task(two if images is not None else painted(two, calls[0][2]))
    (said, true, hidden), (again, other, same) = calls
    assert torch.equal(same, hidden)
    assert hidden.float().mean().item() == pytest.approx(0.6, abs=0.06)
    assert not true.requires_grad
    torch.testing.assert_close(again, said, rtol=1e-4, atol=1e-5)
    assert (other - true).abs().amax((1, 2)).min() > 0.1
    calls.clear()
    nothing = task_of("data2vec", hidden_share=0.0)
    assert torch.isfinite(nothing(two))
    assert (calls[0][2].sum(1) == 1).all()


def test_data2vecs_teacher_is_the_mean_of_its_last_normalised_layers(monkeypatch):
    calls, two = spied(monkeypatch, "masked_smooth_l1"), drawn(4, 3, 8, 8)
    outputs = []
    for layers in (1, 2):
        task = task_of("data2vec", layers=layers)
        task(two)
        x = task.teacher.tokens(two)
        for layer in task.teacher.layers.layers:
            x = layer(x)
            outputs.append(nn.functional.layer_norm(x, (32,)))
    torch.testing.assert_close(calls[0][1], outputs[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(calls[1][1], (outputs[2] + outputs[3]) / 2, rtol=1e-4, atol=1e-5)


def test_pixels_of_tokens_stand_in_the_order_of_the_tokens():
    images = torch.arange(2 * 2 * 4 * 6.0).view(2, 2, 4, 6)
    found = patches_of(images, 2)
    assert found.shape == (2, 6, 8)
    assert torch.equal(found[1, 4].view(2, 2, 2), images[1, :, 2:4, 2:4])  # second row, second column


def kinds(n: int, *, side: int = 8, seed: int = 0) -> np.ndarray:
    """Patches (n, 3, side, side) of four kinds in turn: other levels in the bands, smooth slopes, noise."""
    rng = np.random.default_rng(seed)
    level = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2], [-1, -1, -1]])[np.arange(n) % 4]
    slope = np.linspace(-1, 1, side) * np.array([1, -1, 2, 0.5])[np.arange(n) % 4, None]
    noise = rng.normal(0, 0.3, (n, 3, side, side))
    return (level[:, :, None, None] + slope[:, None, :, None] + noise).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_a_few_steps_lower_the_loss(method):
    task, patches = task_of(method).train(), torch.from_numpy(kinds(16))
    optimiser = torch.optim.AdamW([w for w in task.parameters() if w.requires_grad], 3e-3)
    draws, losses = torch.Generator().manual_seed(0), []
    with seeded(0):
        for step in range(60):
            two = views(patches.repeat(2, 1, 1, 1), SENSORS, ViewSettings(), generator=draws)
            loss = task(two)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            task.follow(step / 60)
            losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:5])


# -- the loop ----------------------------------------------------------------------------------

STILL = {"least_scale": 1, "gain": 0, "offset": 0, "looks": 1e14, "decibels": 0, "blur": 0, "band_dropout": 0,
         "sensor_dropout": 0}  # fmt: skip
"""Views that are turned and mirrored, nothing else."""


def pool_of(images: np.ndarray, *, dates: int = 1, measured: bool = True) -> Pool:
    """Patches of one radar and two optical bands on some dates; else as they are."""
    one = [[Band("VV", "sentinel-1")], [Band("B02", "sentinel-2"), Band("B03", "sentinel-2")]]
    stack = stack_of(unique_names(one * dates))
    if measured:
        return Pool.of(images, stack)
    nothing = np.zeros(images.shape[1], np.float32)
    return Pool(images, stack, (nothing, nothing + 1))


def training_of(method: str = "ssmmrl", pool: Pool | None = None, **given) -> Pretraining:
    """Four epochs of two batches of 16 of the kinds above."""
    settings = {
        "epochs": 4,
        "batch": 16,
        "learning_rate": 3e-3,
        "precision": "fp32",
        "settings": SMALL[method],
        "encoder": {"kind": "tokens", "width": 32, "depth": 1}
        if method in TOKENS
        else {"width": 4, "stages": 2, "kernels": 2},
    }
    watched = {name: given.pop(name) for name in ("probe", "probe_every") if name in given}
    config = PretrainConfig(method=method, **{**settings, **given})
    return Pretraining(pool or pool_of(kinds(40)), config, **watched)


def same(one: Pretraining, other: Pretraining) -> bool:
    ours, theirs = one.learner.net.state_dict(), other.learner.net.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def cut_off(training: Pretraining, work, *, after: int) -> None:
    """Run until somebody interrupts the first step of an epoch."""

    def interrupt(_: str, done: int, total: int) -> None:
        if done == after * training.steps + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(work, progress=interrupt)


@pytest.mark.parametrize(
    ("method", "precision", "stops"),
    [
        ("ssmmrl", "fp32", (0, 1, 3)),
        ("ssmmrl", "bf16", (2,)),
        ("moco", "fp32", (2,)),
        ("mae", "fp32", (2,)),
    ],
)
def test_a_training_that_was_cut_off_ends_with_the_same_bits(tmp_path, method, precision, stops):
    (tmp_path / "whole").mkdir()
    whole = training_of(method, precision=precision).run(tmp_path / "whole")
    for stop in stops:
        work = tmp_path / str(stop)
        work.mkdir()
        cut_off(training_of(method, precision=precision), work, after=stop)
        torch.rand(3)  # what happens to other random numbers in between has no say
        second = training_of(method, precision=precision)
        told = []
        second.run(work, progress=lambda *a, told=told: told.append(a[1:]))
        assert told == [(step, 8) for step in range(2 * stop + 1, 9)]
        assert same(whole, second)
        assert [row["loss"] for row in second.rows] == [row["loss"] for row in whole.rows]
    assert [row["epoch"] for row in whole.rows] == [1, 2, 3, 4]


def test_first_weights_come_from_the_seed_alone():
    one, other, third = training_of(), training_of(), training_of(seed=1)
    weights = weights_of(one.learner.net)
    torch.rand(3)
    assert all(torch.equal(weights[name], value) for name, value in other.learner.net.state_dict().items())
    assert not same(one, third)


def test_a_finished_training_is_not_begun_again(tmp_path):
    first = training_of(epochs=1).run(tmp_path)
    second = training_of(epochs=1).run(tmp_path, progress=lambda *a: pytest.fail("a step was done"))
    assert same(first, second)
    assert second.rows == first.rows


@pytest.mark.parametrize("changed", ["config", "patches", "moments"])
def test_another_training_begins_anew_and_says_so(tmp_path, caplog, changed):
    def other() -> Pretraining:
        if changed == "config":
            return training_of(epochs=1, settings={**SMALL["ssmmrl"], "tau": 0.5})
        pool = pool_of(kinds(40, seed=1)) if changed == "patches" else pool_of(kinds(40), measured=False)
        return training_of(epochs=1, pool=pool)

    first = training_of(epochs=1).run(tmp_path)
    assert not caplog.records
    found = other().run(tmp_path)
    assert "begun anew: settings or images have changed" in caplog.text
    (tmp_path / "fresh").mkdir()
    assert same(found, other().run(tmp_path / "fresh"))
    assert not same(found, first)
    assert len(found.rows) == 1


def test_a_damaged_checkpoint_is_refused(tmp_path):
    training_of(epochs=1).run(tmp_path)
    path = tmp_path / "pretrain.pt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"pretrain\.pt cannot be read .*--restart"):
        training_of(epochs=1).run(tmp_path)


def test_fewer_patches_than_a_batch_are_refused():
    with pytest.raises(
        ModelError, match="There are 15 patches but a batch has 16: give more images or a smaller"
    ):
        training_of(pool=pool_of(kinds(15)))
    assert training_of(pool=pool_of(kinds(16))).steps == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"settings": {"queue": 5}}, "'ssmmrl' cannot be set up .*queue"),
        ({"settings": {"fusion": "attn"}}, "fusion = 'attn'"),
        ({"encoder": {"depth": 2}}, "'residual' cannot be built .*depth"),
        ({"encoder": {"kind": "vit"}}, "no encoder 'vit'"),
        ({"views": {"zoom": 2}}, "Views cannot be set up .*zoom"),
        ({"views": {"least_scale": 2}}, "Views need a least_scale"),
    ],
)
def test_settings_that_there_are_not_are_refused_before_anything_is_learned(tmp_path, given, says):
    training = training_of(**given)
    with pytest.raises(ModelError, match=says):
        training.run(tmp_path)
    assert training.rows == []
    with pytest.raises(ValidationError):
        PretrainConfig(method="simsiam")


TOO_FEW = {"settings": {"hidden_share": 0.06}}
REFUSED = {
    "mae": [
        ({"encoder": {"widht": 8}}, "widht = 8: .*known are width, blocks.* or kind = 'tokens'"),
        ({"encoder": {"depth": 2}}, "depth = 2: .*known are width, blocks.* or kind = 'tokens'"),
        ({"encoder": {"kernels": 1}}, "kernels = 1: .*known are width, blocks"),
        ({"encoder": {"width": 8.5}}, "width = 8.5: "),
        ({"encoder": {"width": 0}}, "width = 0: "),
        (
            {"encoder": {"kind": "residual"}},
            "mae needs an encoder of tokens, not 'residual': leave out its kind",
        ),
        ({"encoder": {"kind": "tokens", "side": 32}}, "a side of 32, patches of 8: leave it out"),
        ({"encoder": {"kind": "tokens", "blocks": 1}}, "'tokens' cannot be built .*blocks"),
        ({"settings": {"hidden_share": 0}}, "'mae' cannot be set up .hidden_share = 0: .*greater than 0"),
        ({"settings": {"hidden_share": 1}}, "hidden_share = 1: .*less than 1"),
        (TOO_FEW, "hides none of the 16 tokens of a patch: give a larger one, or smaller tokens"),
        ({"settings": {"width": 40}}, "width = 40: .*multiple of 32"),
    ],
    "data2vec": [
        ({"encoder": {"token": 4}}, "token = 4: .*known are width, blocks"),
        ({"encoder": {"kind": "tokens", "side": 32}}, "a side of 32, patches of 8: leave it out"),
        ({"settings": {"layers": 0}}, "layers = 0: .*greater than 0"),
    ],
    "ssmmrl": [
        ({"settings": {"tau": "x"}}, "tau = 'x': .*valid number.*; known are hidden, projected, tau"),
        ({"settings": {"weights": "abc"}}, "weights = 'abc': .*valid tuple"),
        ({"settings": {"weights": [1, "b", 1]}}, "weights.1 = 'b': .*valid number"),
        ({"settings": {"weights": [1, 1]}}, "weights.2 = .*required"),
        ({"settings": {"decorrelated": math.inf}}, "decorrelated = inf: .*finite"),
        ({"encoder": {"widht": 8}}, "'residual' cannot be built .*widht"),
        (
            {"views": {"gian": 0.1}},
            "Views cannot be set up .gian = 0.1: .*known are least_scale, gain, .*their",
        ),
    ],
    "byol": [({"settings": {"fusion": "mean"}}, "fusion = 'mean': .*known are hidden, projected, tau")],
    "simclr": [({"settings": {"temperature": 0}}, "temperature = 0: .*greater than 0")],
    "moco": [({"settings": {"queue": 1.5}}, "queue = 1.5: ")],
    "dino": [({"settings": {"centre_momentum": 2}}, "centre_momentum = 2: .*less than or equal to 1")],
}
"""Method -> settings that cannot be used, and what is said of them."""


@pytest.mark.parametrize(
    ("method", "given", "says"), [(method, *case) for method, some in REFUSED.items() for case in some]
)
def test_settings_that_cannot_be_used_are_refused_in_words_before_there_are_patches(method, given, says):
    with pytest.raises(ModelError, match=says):
        require_settings(PretrainConfig(method=method, **given), SENSORS, 8)


@pytest.mark.parametrize("method", METHODS)
def test_to_check_settings_takes_no_memory_and_no_random_number(method, monkeypatch):
    built, real = [], selfsup.build_pretext
    monkeypatch.setattr(selfsup, "build_pretext", lambda *args: built.append(real(*args)) or built[0])
    before = torch.get_rng_state()
    require_settings(PretrainConfig(method=method), SENSORS, 8)
    assert torch.equal(torch.get_rng_state(), before)
    assert {weight.device.type for weight in built[0].state_dict().values()} == {"meta"}


def test_what_was_checked_is_what_is_used():
    task = task_of("ssmmrl", tau="0.5", weights=[1, 0, 2], hidden=16.0)
    assert (task.tau, task.loss.weights) == (0.5, (1, 0, 2))
    assert task.project[0].out_features == 16


def test_numbers_that_are_none_are_no_settings():
    for given in ({"learning_rate": math.inf}, {"views": {"gain": math.nan}}):
        with pytest.raises(ValidationError, match="finite"):
            PretrainConfig(**given)


def test_a_loss_that_is_no_number_ends_it_in_words(tmp_path):
    training = training_of()
    with torch.no_grad():
        next(training.learner.net.parameters()).fill_(math.nan)
    with pytest.raises(ModelError, match=r"no number any more in epoch 1: take a lower learning_rate\."):
        training.run(tmp_path)
    assert not (tmp_path / "pretrain.pt").exists()


def test_dynamic_convolutions_cool_down_in_the_first_fifth(tmp_path):
    training = training_of(epochs=10, temperature=31.0)
    layers = [module for module in training.learner.net.modules() if isinstance(module, DynamicConv2d)]
    assert len(layers) == 4  # two of the encoder, two of its target
    told = []
    training.run(tmp_path, progress=lambda *_: told.append({layer.temperature for layer in layers}))
    assert [one.pop() for one in told] == pytest.approx([23.5, 16, 8.5, *[1] * 17])
    second = training_of(epochs=10, temperature=31.0)
    (tmp_path / "cut").mkdir()
    cut_off(second, tmp_path / "cut", after=0)
    assert {m.temperature for m in second.learner.net.modules() if isinstance(m, DynamicConv2d)} == {23.5}


def test_targets_are_told_after_every_step_how_much_of_the_training_is_behind(tmp_path, monkeypatch):
    training, told = training_of(), []
    monkeypatch.setattr(training.learner.net, "follow", told.append)
    training.run(tmp_path)
    assert told == pytest.approx([step / 8 for step in range(1, 9)])


def test_the_learning_rate_rises_for_a_tenth_and_falls_to_nothing(tmp_path):
    training, rates = training_of(epochs=10), []
    optimiser = training.learner.optimisers[0]
    training.run(tmp_path, progress=lambda *_: rates.append(optimiser.param_groups[0]["lr"] / 3e-3))
    assert rates[:2] == pytest.approx([0.5, 1])
    assert all(a >= b for a, b in pairwise(rates[1:]))
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert rates[10] == pytest.approx((1 + math.cos(math.pi * (11 / 20 - 0.1) / 0.9)) / 2)


@pytest.mark.parametrize(
    ("method", "side", "given", "expected"),
    [
        ("ssmmrl", 32, {}, {"kind": "residual", "first_stride": 2}),
        ("ssmmrl", 16, {"width": 8}, {"kind": "residual", "first_stride": 1, "width": 8}),
        (
            "simclr",
            16,
            {"kind": "tokens", "depth": 2},
            {"kind": "tokens", "side": 16, "token": 2, "depth": 2},
        ),
        (
            "mae",
            32,
            {"width": 8},
            {"kind": "tokens", "side": 32, "token": 4, "width": 32, "depth": 4},
        ),
    ],
)
def test_encoders_suit_the_side_of_the_patches(method, side, given, expected):
    training = training_of(method, pool=pool_of(kinds(16, side=side)), encoder=given)
    assert training.encoder_settings == expected


# -- batches -----------------------------------------------------------------------------------


def levels(n: int, dates: int) -> np.ndarray:
    """Patches in which stands their number, and a thousand for every date after the first."""
    number = 1 + np.arange(n)[:, None] + 1000 * np.arange(dates)
    return np.ascontiguousarray(
        np.broadcast_to(np.repeat(number, 3, axis=1)[:, :, None, None], (n, 3 * dates, 8, 8)),
        dtype=np.float32,
    )


def seen_in(training: Pretraining, epoch: int = 1) -> np.ndarray:
    """What stands in the first and in the second views, (2, patches); missing sensors count for nothing."""
    batches = [two for two, _ in training.batches(epoch)]
    assert all(two.shape == (32, 3, 8, 8) for two in batches)
    found = [two.amax((1, 2, 3)).view(2, -1).numpy() for two in batches]
    return np.concatenate(found, axis=1).round().astype(int)


def test_an_epoch_shows_each_patch_once_in_two_views():
    training = training_of(pool=pool_of(levels(40, 1), measured=False), views=STILL)
    one, other = seen_in(training)
    np.testing.assert_array_equal(one, other)
    assert len(set(one)) == 32
    assert set(one) <= set(range(1, 41))
    assert not np.array_equal(seen_in(training, 2), seen_in(training, 1))
    np.testing.assert_array_equal(seen_in(training, 2), seen_in(training, 2))


def test_what_is_drawn_in_an_epoch_hangs_on_its_number_and_the_seed_alone():
    pool = pool_of(np.ones((16, 3, 8, 8), np.float32) * np.arange(8), measured=False)  # all patches alike

    def first(epoch: int, seed: int = 0):
        return next(training_of(pool=pool, seed=seed).batches(epoch))[0]

    one = first(1)
    torch.rand(3)
    assert torch.equal(first(1), one)
    assert not torch.equal(first(2), one)
    assert not torch.equal(first(1, seed=1), one)
    assert not torch.equal(one[:16], one[16:])  # the two views


@pytest.mark.parametrize("dates", [2, 3])
def test_positives_are_two_dates_of_a_place_or_one_date_twice(dates):
    pool = pool_of(levels(32, dates), dates=dates, measured=False)
    one, other = seen_in(training_of(pool=pool, views=STILL))
    np.testing.assert_array_equal(one % 1000, other % 1000)
    assert (one // 1000 != other // 1000).all()
    assert set(one // 1000) == set(other // 1000) == set(range(dates))
    one, other = seen_in(training_of(pool=pool, views=STILL, positives="views"))
    np.testing.assert_array_equal(one, other)
    assert set(one // 1000) == set(range(dates))


@pytest.mark.parametrize("positives", ["dates", "views"])
def test_dates_without_data_are_no_positives(positives):
    images = levels(32, 3)
    images[:8, :3] = np.nan  # the first date
    images[8:16, 3:] = np.nan  # the first date alone is there
    images[16] = np.nan
    pool = pool_of(images, dates=3, measured=False)
    found = seen_in(training_of(pool=pool, views=STILL, positives=positives))
    one, other = found[:, np.argsort(found[0])]
    assert (one[0], other[0]) == (0, 0)  # nothing is there to be seen
    one, other = one[1:], other[1:]
    np.testing.assert_array_equal(one % 1000, other % 1000)
    date = np.stack([one, other]) // 1000
    first, alone = one % 1000 <= 8, (one % 1000 > 8) & (one % 1000 <= 16)
    assert set(date[:, first].ravel()) == {1, 2}
    assert set(date[:, alone].ravel()) == {0}
    assert ((date[0] != date[1]) == (~alone if positives == "dates" else False)).all()


# -- the watch ---------------------------------------------------------------------------------


def constant(training: Pretraining) -> Pretraining:
    """The same with an encoder that says the same of everything, and hardly learns."""
    with torch.no_grad():
        for module in training.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.zero_()
                module.bias.fill_(1)
    return training


def test_a_healthy_encoder_gives_no_warning(tmp_path, caplog):
    healthy = training_of().run(tmp_path)
    assert not caplog.records
    assert min(row["spread"] for row in healthy.rows) > 0.3


@pytest.mark.parametrize(("epochs", "said"), [(5, 3), (2, 2), (1, 1)])
def test_a_collapsed_encoder_is_told_of_once_it_had_time(tmp_path, caplog, epochs, said):
    collapsed = constant(training_of(learning_rate=1e-12, epochs=epochs)).run(tmp_path)
    assert max(row["spread"] for row in collapsed.rows) < 0.01
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith(f"Epoch {said}: the encoder says nearly the same of all patches (spread 0.00")
    assert told[0].endswith("a tau nearer 1 or another method.")


def test_an_encoder_that_collapses_late_is_told_of(tmp_path, caplog):
    training = training_of(epochs=5)
    training.run(tmp_path, progress=lambda _, done, total: done == total - 1 and constant(training))
    assert [record.getMessage()[:8] for record in caplog.records] == ["Epoch 5:"]


def test_every_epoch_has_its_row(tmp_path):
    pool = pool_of(kinds(40, seed=5))
    probe = Probe(pool, np.arange(40) % 4, known=np.arange(20), asked=np.arange(20, 40))
    watched = training_of(probe=probe, probe_every=3, epochs=4).run(tmp_path)
    for row in watched.rows:
        assert {"epoch", "loss", "seconds", "spread", "rank", "patches_per_second"} <= set(row)
        assert row["seconds"] > 0
        assert row["patches_per_second"] == pytest.approx(32 / row["seconds"], rel=0.01)
        assert 1 <= row["rank"] <= watched.encoder.out_channels
    assert [row["epoch"] for row in watched.rows if "knn" in row] == [3, 4]
    assert watched.rows[-1]["knn"] > 0.8  # the kinds are plain to see
    assert watched.rows[-1]["knn"] == probe.accuracy(watched.vectors(pool, np.arange(40)))
    (tmp_path / "alone").mkdir()
    alone = training_of(epochs=4).run(tmp_path / "alone")
    assert same(watched, alone)  # to be watched changes nothing
    assert not any("knn" in row for row in alone.rows)


def test_vectors_are_the_mean_over_dates_of_the_encoder_in_evaluation():
    images = kinds(20).repeat(2, axis=1).reshape(20, 3, 2, 8, 8).transpose(0, 2, 1, 3, 4).reshape(20, 6, 8, 8)
    images[:, 3:] *= 0.5
    images[7, :3] = np.nan
    pool = pool_of(images, dates=2, measured=False)
    training = training_of(pool=pool)
    training.encoder.train()
    found = training.vectors(pool, np.array([7, 3]))
    assert training.encoder.training
    assert found.dtype == np.float32
    with torch.no_grad():
        patches = pool.patches(np.array([7, 3]))
        each = training.encoder.eval()(patches.flatten(0, 1)).view(2, 2, -1)
    np.testing.assert_allclose(found[0], each[0, 1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1], each[1].mean(0), rtol=1e-4, atol=1e-6)


def test_spread_and_rank_of_known_directions():
    everywhere = np.random.default_rng(0).normal(size=(4000, 16)) * np.arange(1, 4001)[:, None]
    assert spread(everywhere) == pytest.approx((1, 16), rel=0.01)
    assert spread(np.ones((50, 8))) == pytest.approx((0, 1), abs=0.1)
    poles = np.array([[3.0, 0, 0, 0], [-1, 0, 0, 0]])
    assert spread(poles) == pytest.approx((0.5, 1))
    axes = np.eye(4)
    assert spread(axes) == pytest.approx((2 * math.sqrt(3 / 16), 3))
    assert spread(np.zeros((3, 4))) == pytest.approx((0, 1))


def test_the_nearest_twenty_vote_and_the_nearer_ones_count_more():
    angle = np.radians([0] * 5 + [25] * 40 + [90] * 9)
    known = np.column_stack([np.cos(angle), np.sin(angle)])
    vectors = np.concatenate([known, [[4, 0], [3, 3]]]) * np.arange(1, 57)[:, None]  # lengths do not count
    y = np.array([0] * 5 + [1] * 40 + [2] * 9 + [0, 1])
    probe = Probe(None, y, known=np.arange(54), asked=np.array([54, 55]))
    weight = math.exp((math.cos(math.radians(25)) - 1) / 0.07)  # .26 of a vote at 0 degrees
    assert 15 * weight < 5 < 40 * weight  # all of them would be right by number
    assert probe.accuracy(vectors) == 1
    assert Probe(None, 1 - y.clip(max=1), np.arange(54), np.array([54, 55])).accuracy(vectors) == 1
    wrong = np.concatenate([y[:54], [1, 1]])
    assert Probe(None, wrong, np.arange(54), np.array([54, 55])).accuracy(vectors) == 0.5


# -- patches -----------------------------------------------------------------------------------


def test_patches_are_normalised_and_what_is_missing_is_0():
    images = kinds(30) * [[[2]], [[3]], [[4]]] + 7
    images[:, 1] = 0.1  # the same everywhere
    images[:3, 0] = np.nan
    images[4, 2, 0, 0], images[4, 2, 0, 1] = np.inf, -np.inf
    pool = pool_of(images.astype(np.float32))
    found = pool.patches(np.arange(30))
    assert found.shape == (30, 1, 3, 8, 8)
    assert torch.isfinite(found).all()
    assert not found[:, :, 1].any()
    assert not found[:3, :, 0].any()
    assert not found[4, 0, 2, 0, :2].any()
    assert found[3:, 0, 0].mean().item() == pytest.approx(0, abs=1e-3)
    assert found[3:, 0, 0].std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", ["ssmmrl", "mae"])
def test_gaps_and_constant_bands_do_no_harm(tmp_path, method):
    images = kinds(40)
    images[0] = np.nan
    images[1:10, 0] = np.nan  # no radar
    images[10:15, 1:] = np.nan  # no optical bands
    images[15:20, :, :4] = np.nan
    images[:, 1] = 3  # the same everywhere
    images[20, 2, 0, 0] = np.inf
    training = training_of(method, pool=pool_of(images), epochs=2, precision="bf16").run(tmp_path)
    assert all(np.isfinite([row["loss"], row["spread"], row["rank"]]).all() for row in training.rows)
    assert all(torch.isfinite(value).all() for value in training.learner.net.state_dict().values())
    assert np.isfinite(training.vectors(training.pool, np.arange(40))).all()


def test_channels_that_spread_and_differ_cost_nothing():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    spread = signs * (3 / 4) ** 0.5  # variance of 4 rows with n - 1: 1
    assert decorrelation(spread).item() == pytest.approx(0.0, abs=1e-3)
    assert decorrelation(torch.zeros(4, 2)).item() == pytest.approx(1 - 1e-2)  # sqrt(1e-4) is left
    twins = spread[:, :1].repeat(1, 2)  # covariance 1 both ways, over 2 channels and 25
    assert decorrelation(twins).item() == pytest.approx(2 / 2 / 25, abs=1e-3)
