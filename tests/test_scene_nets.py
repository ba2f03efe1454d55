"""The scene nets: the paper's figures for size and arithmetic, and what each attention does."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.errors import ModelError  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.nets.attention import ATTENTION, CBAM, Balanced, CoordAtt, DropBlock, Fixed, SqueezeExcite  # noqa: E402
from jido.nets.blocks import folded  # noqa: E402
from jido.nets.cost import cost  # noqa: E402
from jido.train import seeded  # noqa: E402

SCENE = ("compact", "balanced", "cbam", "baseline")


@pytest.mark.parametrize(
    ("name", "settings", "million", "gmac"),
    [
        ("baseline", {}, 4.29, 0.046),
        ("cbam", {}, 9.91, 0.287),
        ("balanced", {}, 13.1, 3.13),
        ("compact", {}, 0.47, 0.051),
        ("compact", {"stages": 3}, 1.94, 0.074),
    ],
)
def test_nets_have_the_size_and_the_arithmetic_that_are_told_of_them(name, settings, million, gmac):
    found = cost(build_net(name, in_channels=3, out_channels=10, **settings), 64)
    assert found.parameters / 1e6 == pytest.approx(million, rel=0.01)
    assert found.macs / 1e9 == pytest.approx(gmac, rel=0.015)


def test_cost_leaves_the_net_as_it_was():
    net = build_net("balanced", in_channels=3, out_channels=2).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost(net, 32)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", SCENE)
@pytest.mark.parametrize("bands", [1, 3, 13, 18])
def test_any_number_of_bands(name, bands):
    net = build_net(name, in_channels=bands, out_channels=4, **({"side": 32} if name == "baseline" else {}))
    assert net.eval()(torch.zeros(2, bands, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("name", ["compact", "balanced", "cbam"])
@pytest.mark.parametrize("size", [(33, 47), (120, 64)])
def test_any_size_of_image(name, size):
    net = build_net(name, in_channels=3, out_channels=4).eval()
    assert net(torch.zeros(2, 3, *size)).shape == (2, 4)


@pytest.mark.parametrize(("name", "side"), [("compact", 14), ("cbam", 31), ("balanced", 7)])
def test_an_image_that_is_too_small_is_refused(name, side):
    with pytest.raises(ModelError, match="too small"):
        build_net(name, in_channels=3, out_channels=4)(torch.zeros(1, 3, side, side))


def test_a_net_for_one_size_refuses_another():
    with pytest.raises(ModelError, match="64 pixels only"):
        build_net("baseline", in_channels=3, out_channels=4)(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("name", SCENE)
def test_answers_are_the_head_of_the_features_and_survive_folding(name):
    with seeded(1):
        net = build_net(name, in_channels=3, out_channels=5).eval()
        images = torch.randn(3, 3, 64, 64)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    with torch.inference_mode():
        plain, quick = net(images), folded(net)(images)
        torch.testing.assert_close(net.head(net.features(images)), plain)
        torch.testing.assert_close(quick, plain, rtol=1e-3, atol=1e-4)


def test_an_unknown_attention_is_refused():
    with pytest.raises(ModelError, match="no attention 'all'"):
        build_net("compact", in_channels=3, out_channels=4, attention="all")


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_attention_keeps_the_shape_and_never_grows_a_pixel(name):
    with seeded(2):
        module, x = ATTENTION[name](16).eval(), torch.randn(2, 16, 5, 9)
    found = module(x)
    assert found.shape == x.shape
    assert (found.abs() <= x.abs() + 1e-6).all()


def test_squeeze_excitation_weighs_whole_channels():
    with seeded(3):
        module, x = SqueezeExcite(64), torch.rand(2, 64, 4, 6) + 0.5
    share = module(x) / x
    assert torch.allclose(share, share[:, :, :1, :1].expand_as(share), atol=1e-6)
    assert share.std(1).max() > 0


def test_coordinate_attention_is_a_row_weight_times_a_column_weight():
    with seeded(4):
        module, x = CoordAtt(16).eval(), torch.rand(1, 16, 6, 4) + 0.5
    share = (module(x) / x)[0]
    ratio = share[:, 1:] / share[:, :1]  # rows against the first: the same in every column
    assert torch.allclose(ratio, ratio[..., :1].expand_as(ratio), atol=1e-5)
    assert share.std((1, 2)).max() > 0


def test_cbam_weighs_places_alike_in_all_channels():
    with seeded(5):
        module, x = CBAM(16), torch.rand(1, 16, 9, 9) + 0.5
    share = (module(x) / x)[0]
    ratio = share / share[:1]
    assert torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), atol=1e-4)


def test_the_balance_begins_at_622_and_moves_between_its_two_parts():
    module, x = Balanced(16).eval(), torch.randn(1, 16, 5, 5)
    assert module.weight == pytest.approx(0.6225, abs=1e-4)
    for alpha, part in ((50.0, module.coordinate), (-50.0, module.squeeze)):
        with torch.no_grad():
            module.alpha.fill_(alpha)
        torch.testing.assert_close(module(x), part(x))
    assert [p.requires_grad for p in (Balanced(16).alpha, Fixed(16).alpha)] == [True, False]


def test_fusion_weights_come_from_every_balanced_block():
    net = build_net("balanced", in_channels=3, out_channels=4)
    assert len(net.fusion()) == 11
    assert build_net("compact", in_channels=3, out_channels=4).fusion() == []
    mixed = build_net("compact", in_channels=3, out_channels=4, attention="balanced", blocks=2)
    assert len(mixed.fusion()) == 4


def test_drop_block_takes_squares_of_all_channels_and_keeps_the_mean():
    with seeded(6):
        drop, x = DropBlock(0.1).train(), torch.ones(256, 3, 32, 32)
        found = drop(x)
    gone = found == 0
    assert torch.equal(gone, gone[:, :1].expand_as(gone))
    share = gone.float().mean().item()
    assert 0.06 < share < 0.12  # about .1: squares overlap and leave the image
    assert found.mean().item() == pytest.approx(1, abs=1e-3)
    holes = gone[:, :1].float()
    square = torch.nn.functional.avg_pool2d(holes, 7, stride=1)
    assert (square.amax((1, 2, 3)) == 1)[holes.sum((1, 2, 3)) > 200].all()
    assert torch.equal(drop.eval()(x), x)


def test_drop_block_on_maps_smaller_than_its_squares():
    with seeded(7):
        found = DropBlock(0.5).train()(torch.ones(64, 2, 2, 2))
    assert torch.isfinite(found).all()
    assert 0 < (found == 0).float().mean() < 1


def test_drop_block_grows_with_depth():
    net = build_net("balanced", in_channels=3, out_channels=4)
    shares = [module.share for module in net.modules() if isinstance(module, DropBlock)]
    assert shares == pytest.approx([0.05] * 3 + [0.1] * 3 + [0.15] * 3 + [0.2] * 2)
