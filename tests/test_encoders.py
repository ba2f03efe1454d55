"""Dynamic convolution against the paper's way to compute it; encoders for any sensors, sizes and dates."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from torch.nn.functional import conv2d, pad  # noqa: E402

from jido.errors import ModelError  # noqa: E402
from jido.nets import build_net, load_net  # noqa: E402
from jido.nets.blocks import folded  # noqa: E402
from jido.nets.dynamic import DynamicConv2d, set_temperature  # noqa: E402
from jido.nets.encoders import (  # noqa: E402
    EncoderNet,
    Layers,
    SensorEncoder,
    SensorStems,
    TokenEncoder,
    build_encoder,
    over_dates,
    parse_sensors,
)
from jido.train import seeded  # noqa: E402

SENSORS = ({"s1": 2}, {"s1": 8, "s2": 10}, {"s1": 2, "s2": 12}, {"s2": 13}, {"landsat-8": 9}, {"rgb": 3})
SMALL = {"residual": {"width": 4}, "tokens": {"width": 32, "depth": 1}}


def lived_in(net, seed: int = 0):
    """The net in evaluation, with batch normalisations that have seen something."""
    with seeded(seed):
        for module in net.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                torch.nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


def drawn(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dynamic(*, kernels: int = 4, seed: int = 0, **settings) -> DynamicConv2d:
    with seeded(seed):
        return DynamicConv2d(6, 5, kernels=kernels, **settings)


# -- dynamic convolution -----------------------------------------------------------------------


def test_one_kernel_is_a_plain_convolution():
    layer, x = dynamic(kernels=1), drawn(3, 6, 9, 8)
    assert layer.weight.shape == (5, 6, 3, 3)
    torch.testing.assert_close(layer(x), conv2d(x, layer.weight, padding=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("side", "kernels"), [(1, 3), (3, 4), (5, 2)])
def test_it_is_the_papers_grouped_convolution_with_kernels_mixed_for_every_image(side, kernels):
    layer = dynamic(kernels=kernels, kernel_size=side)
    x = drawn(4, 6, 9, 7) + 3 * drawn(4, 6, 1, 1, seed=1)  # images whose mixtures differ
    share = layer.mixture(x)
    assert share.std(0).max() > 0.005
    each = layer.weight.unflatten(1, (kernels, 6))  # (out, kernels, in, k, k)
    mixed = torch.einsum("bk,okihw->boihw", share, each)
    grouped = conv2d(x.reshape(1, -1, 9, 7), mixed.flatten(0, 1), padding=side // 2, groups=len(x))
    torch.testing.assert_close(layer(x), grouped.view(4, 5, 9, 7), rtol=1e-5, atol=1e-5)


def test_images_of_a_batch_do_not_touch_each_other():
    layer, x = dynamic(), drawn(3, 6, 8, 8)
    alone = torch.cat([layer(one[None]) for one in x])
    torch.testing.assert_close(layer(x), alone, rtol=1e-5, atol=1e-5)


def test_mixtures_are_shares_and_heat_flattens_them():
    layer, x = dynamic(), 10 * drawn(5, 6, 8, 8) + 3
    highest = []
    for temperature in (0.1, 1.0, 30.0, 1e6):
        layer.temperature = temperature
        share = layer.mixture(x)
        assert share.shape == (5, 4)
        assert (share >= 0).all()
        torch.testing.assert_close(share.sum(1), torch.ones(5))
        highest.append(share.max(1).values.mean().item())
    assert highest[0] > highest[1] + 0.05 > highest[2] + 0.1
    assert highest[3] == pytest.approx(1 / 4, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_gradients_reach_every_kernel_and_what_weighs_them(temperature):
    layer, x = dynamic(), drawn(4, 6, 8, 8).requires_grad_()
    layer.temperature = temperature
    (layer(x) ** 2).mean().backward()
    each = layer.weight.grad.unflatten(1, (4, 6))
    assert (each.abs().amax((0, 2, 3, 4)) > 1e-4).all()
    assert all((weight.grad.abs() > 0).any() for weight in layer.weigh.parameters())
    assert (x.grad != 0).all()


def test_the_temperature_of_all_dynamic_convolutions_of_a_net_is_set():
    net = SensorEncoder({"s2": 2}, width=4, dynamic=2)
    layers = [module for module in net.modules() if isinstance(module, DynamicConv2d)]
    assert len(layers) == 4
    set_temperature(net, 7.0)
    assert [layer.temperature for layer in layers] == [7.0] * 4


# -- sensors and sizes -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("sensors", SENSORS, ids=lambda s: " ".join(f"{n}:{c}" for n, c in s.items()))
def test_any_sensors_and_any_size_of_patch(kind, sensors):
    for side in (8, 9, 16, 32):
        encoder = build_encoder(kind, sensors, **SMALL[kind])
        found = encoder(drawn(2, sum(sensors.values()), side, side + 1))
        assert found.shape == (2, encoder.out_channels)
        assert torch.isfinite(found).all()
        found.sum().backward()


def test_width_doubles_with_every_stage_and_strides_halve():
    encoder = SensorEncoder({"s2": 3}, width=4, stages=3, first_stride=2)
    assert encoder.out_channels == 16
    assert encoder.stems(drawn(1, 3, 32, 24)).shape == (1, 4, 16, 12)
    assert encoder.stages(encoder.stems(drawn(1, 3, 32, 24))).shape == (1, 16, 4, 3)


def test_dynamic_stages_are_counted_from_the_last():
    def where(**settings) -> list[int]:
        stages = SensorEncoder({"s2": 2}, width=4, **settings).stages
        return [
            i for i, part in enumerate(stages) if any(isinstance(m, DynamicConv2d) for m in part.modules())
        ]

    assert where() == [4]  # of block, down, block, down, block
    assert where(dynamic=2) == [2, 4]
    assert where(dynamic=3, blocks=2) == [0, 1, 3, 4, 6, 7]
    assert where(dynamic=0) == where(kernels=1, dynamic=3) == []


def test_stems_give_the_mean_of_the_sensors_that_are_there():
    stems = lived_in(SensorStems({"s1": 2, "s2": 3, "s3": 1}, 4, stride=1))
    x = drawn(4, 6, 8, 8)
    x[1, :2] = 0  # no s1
    x[2, 2:5] = 0
    x[2, 5:] = 0  # s1 alone
    x[3] = 0
    each = [stem(part) for stem, part in zip(stems.stems.values(), x.split((2, 3, 1), dim=1), strict=True)]
    with torch.no_grad():
        found = stems(x)
    torch.testing.assert_close(found[0], (each[0][0] + each[1][0] + each[2][0]) / 3)
    torch.testing.assert_close(found[1], (each[1][1] + each[2][1]) / 2)
    torch.testing.assert_close(found[2], each[0][2])
    assert (found[3] == 0).all()


def test_a_patch_that_lacks_a_sensor_is_seen_as_by_an_encoder_without_it():
    both, alone = SensorEncoder({"s1": 2, "s2": 4}, width=4), SensorEncoder({"s2": 4}, width=4)
    lived_in(both)
    weights = both.state_dict()
    alone.load_state_dict({name: weights[name] for name in alone.state_dict()})
    optical = drawn(3, 4, 16, 16)
    with torch.no_grad():
        lacking = both(torch.cat([torch.zeros(3, 2, 16, 16), optical], 1))
        torch.testing.assert_close(lacking, alone.eval()(optical), rtol=1e-6, atol=1e-6)
        having = both(torch.cat([drawn(3, 2, 16, 16, seed=1), optical], 1))
    assert (having - lacking).abs().max() > 0.01


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("sensors", ["s1:2 s2:4", "s2:6"])
def test_where_nothing_is_there_numbers_and_gradients_are_finite(kind, sensors):
    net = build_net(
        "encoder", in_channels=12, out_channels=3, sensors=sensors, dates=2, kind=kind, **SMALL[kind]
    )
    logits = net(torch.zeros(2, 12, 8, 8))
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in net.parameters() if w.grad is not None)


@pytest.mark.parametrize(
    "text", ["", "s1", "s1:0 s2:3", "s1:-1", "s1:two", "s1:2 s1:3", "s1:2:3", ":3", "s.1:3"]
)
def test_what_names_no_sensors_is_refused(text):
    with pytest.raises(ModelError, match="names no sensors: write each with its number of bands"):
        parse_sensors(text)


def test_sensors_are_read_in_their_order():
    assert list(parse_sensors(" sentinel-2:10  sentinel-1:2").items()) == [
        ("sentinel-2", 10),
        ("sentinel-1", 2),
    ]


@pytest.mark.parametrize("name", ["width", "stages", "blocks", "first_stride", "kernels"])
def test_an_encoder_of_nothing_is_refused(name):
    with pytest.raises(ModelError, match="of 1 or more"):
        build_encoder("residual", {"s2": 3}, **{name: 0})


def test_encoders_that_there_are_not_are_refused():
    with pytest.raises(ModelError, match="no encoder 'vit': use one of residual, tokens"):
        build_encoder("vit", {"s2": 3})
    with pytest.raises(ModelError, match=r"'residual' cannot be built .*'depth'"):
        build_encoder("residual", {"s2": 3}, depth=2)


# -- dates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_dates_count_by_their_mean_and_those_that_are_missing_do_not(kind):
    net = EncoderNet(9, 4, sensors="s1:1 s2:2", dates=3, kind=kind, **SMALL[kind])
    lived_in(net)
    x = drawn(3, 3, 3, 12, 12)  # patch, date, band
    x[1, 1] = 0
    x[2] = 0
    with torch.no_grad():
        each = torch.stack([net.encoder(x[:, date]) for date in range(3)], 1)
        found = net.vectors(x.flatten(1, 2))
        torch.testing.assert_close(found[0], each[0].mean(0), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found[1], (each[1, 0] + each[1, 2]) / 2, rtol=1e-5, atol=1e-6)
        assert (found[2] == 0).all()
        turned = net(x[:, [2, 0, 1]].flatten(1, 2))
        torch.testing.assert_close(net(x.flatten(1, 2)), turned, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(net(x.flatten(1, 2)), net.head(found))
    assert (each[0, 0] - each[0, 1]).abs().max() > 0.01


def test_one_date_is_the_encoder_itself():
    encoder = lived_in(SensorEncoder({"s2": 3}, width=4))
    x = drawn(2, 1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(over_dates(encoder, x), encoder(x[:, 0]))


# -- as a net ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_a_net_comes_back_from_its_weights_and_survives_folding(kind):
    settings = {"in_channels": 10, "out_channels": 3, "sensors": "s1:2 s2:3", "dates": 2, "kind": kind}
    with seeded(1):
        net = lived_in(build_net("encoder", **settings, **SMALL[kind]))
    assert (net.in_channels, net.out_channels, net.per_pixel, net.divisor) == (10, 3, False, 1)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    back, x = load_net("encoder", weights, **settings, **SMALL[kind]).eval(), drawn(2, 10, 12, 12)
    with torch.inference_mode():
        assert torch.equal(back(x), net(x))
        torch.testing.assert_close(folded(net)(x), net(x), rtol=1e-4, atol=1e-5)
    assert net(x).shape == (2, 3)


def test_a_net_that_does_not_fit_is_refused():
    made = {"in_channels": 5, "out_channels": 3, "sensors": "s1:2 s2:3", "width": 4}
    with pytest.raises(ModelError, match=r"2 dates of the sensors 's1:2 s2:3' have 10 bands, not 5\."):
        build_net("encoder", **made, dates=2)
    with pytest.raises(ModelError, match="'residual' cannot be built"):
        build_net("encoder", **made, token=4)
    with pytest.raises(ModelError, match="no encoder 'vit'"):
        build_net("encoder", **made, kind="vit")
    with pytest.raises(ModelError, match="'encoder' cannot be built"):
        build_net("encoder", in_channels=5, out_channels=3)
    weights = {name: value.numpy() for name, value in build_net("encoder", **made).state_dict().items()}
    with pytest.raises(ModelError, match=r"weights are of another net \(encoder.*train again"):
        load_net("encoder", weights, **{**made, "width": 8})


# -- tokens ------------------------------------------------------------------------------------


def test_places_are_those_learned_for_their_size_and_drawn_out_for_others():
    encoder = TokenEncoder({"s2": 3}, side=16, token=4, width=32, depth=1)
    assert encoder.places((4, 4)) is encoder.place
    with torch.no_grad():
        encoder.place.copy_(torch.arange(4.0)[:, None].expand(1, 32, 4, 4))  # the number of the row
    found = encoder.places((8, 2))
    assert found.shape == (1, 32, 8, 2)
    torch.testing.assert_close(found[0, 0, :, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))


@pytest.mark.parametrize(
    ("size", "tokens"), [((16, 16), 16), ((32, 24), 48), ((9, 9), 9), ((8, 14), 8), ((3, 5), 2)]
)
def test_patches_of_other_sizes_are_filled_up_to_whole_tokens(size, tokens):
    encoder = TokenEncoder({"s1": 1, "s2": 2}, side=16, token=4, width=32, depth=1).eval()
    x = drawn(2, 3, *size)
    assert encoder.tokens(x).shape == (2, tokens, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), encoder(pad(x, (0, -size[1] % 4, 0, -size[0] % 4))))


def test_attention_of_plain_products_is_that_of_the_fused_kernel():
    layers, x = Layers(64, 2), torch.randn(3, 7, 64)
    torch.testing.assert_close(layers(x), torch.nn.TransformerEncoder.forward(layers, x), rtol=0, atol=1e-5)


def test_tokens_stand_in_the_order_of_their_places():
    encoder = TokenEncoder({"s2": 1}, side=8, token=4, width=32, depth=1)
    blank = torch.zeros(1, 1, 8, 8)
    spot = blank.clone()
    spot[..., 1, 6] = 1  # first row, second column of tokens
    with torch.no_grad():
        empty = encoder.tokens(blank)
        moved = (encoder.tokens(spot) - empty).abs().amax((0, 2))
        own = empty[0] - encoder.embed.bias
        torch.testing.assert_close(own, encoder.place[0].flatten(1).T, rtol=1e-5, atol=1e-6)
    assert (moved > 0).tolist() == [False, True, False, False]


@pytest.mark.parametrize("settings", [{"width": 48}, {"width": 0}, {"token": 0}, {"depth": 0}, {"side": 3}])
def test_token_encoders_that_cannot_be_are_refused(settings):
    with pytest.raises(ModelError, match="width divisible by 32"):
        build_encoder("tokens", {"s2": 3}, **settings)


@pytest.mark.parametrize("sensors", [{"s1": 2, "s2": 10}, {"rgb": 3}])
def test_both_kinds_of_encoder_have_about_as_many_weights(sensors):
    """Of the preset ``cpu`` (width 32), so that rivals are compared like with like: 1.4 and 0.8 million."""

    def weights(kind: str, **settings) -> int:
        return sum(weight.numel() for weight in build_encoder(kind, sensors, **settings).parameters())

    ratio = weights("residual", width=32) / weights("tokens")
    assert 0.5 < ratio < 2
