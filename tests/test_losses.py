"""Losses at points where the answer is known."""

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from jido.losses import LOSSES, BCELoss, FocalTverskyLoss, OHEMBCELoss, PosWeightBCELoss, SoftIoULoss  # noqa: E402

SURE = 40.0
"""A logit that float32 takes for certain."""


def tiles(*shares):
    """Targets (B, 1, 8, 8) of which a share of the rows is target."""
    target = torch.zeros(len(shares), 1, 8, 8)
    for one, share in zip(target, shares, strict=True):
        one[:, : round(share * 8)] = 1
    return target


def logits_of(target):
    return (target * 2 - 1) * SURE


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_right_costs_nothing_and_has_a_finite_gradient(name):
    for target in (tiles(0.5, 0), tiles(0, 0), tiles(1, 1)):
        logits = logits_of(target).requires_grad_()
        loss = LOSSES[name]()(logits, target)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-4)
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_false_positive_on_a_tile_without_target_costs_and_is_pushed_down(name):
    for target in (tiles(0, 0), tiles(0.5, 0)):
        logits = logits_of(target).clone()
        logits[1, 0, 0, 0] = 2.0
        logits.requires_grad_()
        loss = LOSSES[name]()(logits, target)
        assert loss > LOSSES[name]()(logits_of(target), target) + 1e-3
        loss.backward()
        assert logits.grad[1, 0, 0, 0] > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_miss_costs_and_is_pushed_up(name):
    target = tiles(0.5, 0)
    logits = logits_of(target).clone()
    logits[0, 0, 0, 0] = -2.0
    logits.requires_grad_()
    LOSSES[name]()(logits, target).backward()
    assert logits.grad[0, 0, 0, 0] < 0


def test_known_values():
    target, unsure = tiles(0.25, 0), torch.zeros(2, 1, 8, 8)  # probability one half everywhere
    assert BCELoss()(unsure, target).item() == pytest.approx(math.log(2))
    # 128 pixels, 16 target: hit 8, false 56, missed 8
    assert SoftIoULoss(smooth=0)(unsure, target).item() == pytest.approx(1 - 8 / 72)
    index = 8 / (8 + 0.7 * 8 + 0.3 * 56)
    assert FocalTverskyLoss(smooth=0)(unsure, target).item() == pytest.approx((1 - index) ** 0.75)
    weighted = (16 * 5 + 112) / 128 * math.log(2)
    assert PosWeightBCELoss(5)(unsure, target).item() == pytest.approx(weighted)


def test_only_the_hardest_pixels_count():
    target = tiles(0, 0)
    logits = logits_of(target).clone()
    logits[0, 0, 0, :6] = 3.0  # 6 of 128
    kept = OHEMBCELoss(share=12 / 128)(logits, target).item()
    assert kept == pytest.approx(math.log1p(math.exp(3.0)) * 6 / 12, rel=1e-5)
    assert OHEMBCELoss(share=1)(logits, target).item() == pytest.approx(BCELoss()(logits, target).item())
    with pytest.raises(ValueError, match="share"):
        OHEMBCELoss(share=0)


def test_a_miss_weighs_more_than_a_false_positive_with_tversky():
    target = tiles(0.5, 0.5)
    missed, false = logits_of(target).clone(), logits_of(target).clone()
    missed[0, 0, 0, :4] *= -1
    false[0, 0, -1, :4] *= -1
    loss = FocalTverskyLoss()
    assert loss(missed, target) > loss(false, target)


@pytest.mark.parametrize("name", LOSSES)
def test_channels_and_bf16(name):
    torch.manual_seed(0)
    logits, target = torch.randn(2, 2, 8, 8), (torch.rand(2, 2, 8, 8) < 0.2).float()
    loss = LOSSES[name]()(logits, target)
    assert loss.dtype == torch.float32
    assert LOSSES[name]()(logits.bfloat16(), target).item() == pytest.approx(loss.item(), rel=0.02)
    swapped = LOSSES[name]()(logits.flip(1), target.flip(1))
    assert swapped.item() == pytest.approx(loss.item(), rel=1e-5)
