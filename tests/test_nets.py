"""Nets and the model around them: sizes, gaps, windows, one answer in every thread."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.patches import fill_gaps, normalise  # noqa: E402
from jido.errors import ModelError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.labels import ClassScheme, LandClass, lcz_scheme  # noqa: E402
from jido.methods.net import NetConfig, NetModel  # noqa: E402
from jido.nets import build_net, load_net  # noqa: E402
from jido.nets.blocks import folded  # noqa: E402

FIELD = ClassScheme(
    "field", (LandClass(1, "no", "elsewhere", "#eeeeee"), LandClass(2, "yes", "field", "#00aa00"))
)


def bands(n: int) -> tuple[Band, ...]:
    return tuple(Band(f"b{i}") for i in range(n))


def lively(net):
    """A fresh net whose batch normalisation has seen something, and whose answers differ."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net


def pixel_model(*, out_channels: int = 1, scheme: ClassScheme = FIELD, **facts) -> NetModel:
    torch.manual_seed(1)
    settings = {"in_channels": 3, "out_channels": out_channels, "depth": 2, "width": 4}
    config = NetConfig(net="unet", settings=settings, mean=(0.1, 0.2, 0.3), sd=(0.1, 0.2, 0.1), **facts)
    return NetModel(lively(build_net("unet", **settings)), config, bands(3), scheme, (0.5, 0.5))


def patch_model(*, patch: int = 8, stride: int = 4, **facts) -> NetModel:
    torch.manual_seed(1)
    settings = {"in_channels": 2, "num_classes": 17, "width": 4}
    config = NetConfig(
        net="patch", settings=settings, mean=(0.5, 0.5), sd=(0.3, 0.3), patch=patch, stride=stride, **facts
    )
    return NetModel(lively(build_net("patch", **settings)), config, bands(2), lcz_scheme(), (10.0, 10.0))


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


# -- nets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 3])
def test_a_unet_keeps_height_and_width(depth: int):
    net = build_net("unet", in_channels=3, out_channels=2, depth=depth, width=4)
    assert net.divisor == 2**depth
    assert net(torch.zeros(2, 3, 16, 24)).shape == (2, 2, 16, 24)


def test_a_unet_of_the_paper_has_three_halvings_and_no_dropout():
    net = build_net("unet", in_channels=3, out_channels=1)
    kinds = [type(module).__name__ for module in net.modules()]
    assert kinds.count("ConvTranspose2d") == 3
    assert kinds.count("Conv2d") == 2 * (4 + 3) + 1
    assert not any("Dropout" in kind for kind in kinds)


def test_convolutions_start_with_the_spread_of_he():
    torch.manual_seed(0)
    weight = build_net("unet", in_channels=3, out_channels=1, depth=2, width=32).down[2][1][0].weight
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


def test_a_patch_net_gives_one_answer_per_window():
    net = build_net("patch", in_channels=10, num_classes=17)
    assert net(torch.zeros(3, 10, 32, 32)).shape == (3, 17)
    assert sum(weight.numel() for weight in net.parameters()) == pytest.approx(0.47e6, rel=0.02)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("vision", {}, "no net 'vision'"),
        ("unet", {"in_channels": 3}, "out_channels"),
        ("patch", {"in_channels": 3, "num_classes": 2, "colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, settings: dict[str, int], says: str):
    with pytest.raises(ModelError, match=says):
        build_net(name, **settings)


def test_without_torch_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    for module in [name for name in sys.modules if name.startswith("jido.nets.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r'pip install "jido\[deep\]"'):
        build_net("unet", in_channels=3, out_channels=1)


def test_loading_draws_no_random_number():
    settings = {"in_channels": 2, "num_classes": 3, "width": 4}
    net = build_net("patch", **settings).eval()
    before = torch.get_rng_state()
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    again = load_net("patch", weights, **settings).eval()
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.ones(1, 2, 8, 8)
    assert torch.equal(again(x), net(x))


@pytest.mark.parametrize(
    ("name", "settings", "side"),
    [
        ("unet", {"in_channels": 3, "out_channels": 2, "depth": 2, "width": 4}, 16),
        ("patch", {"in_channels": 3, "num_classes": 5, "width": 4}, 8),
    ],
)
def test_folding_normalisations_changes_no_answer(name: str, settings: dict[str, int], side: int):
    net = lively(build_net(name, **settings)).eval()
    quick, x = folded(net), torch.randn(2, 3, side, side)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(quick(x), net(x), rtol=1e-4, atol=1e-5)


# -- gaps --------------------------------------------------------------------------------------


def test_normalised_values_have_mean_0_and_spread_1_and_0_in_gaps():
    batch = images(2, 3, 40, 40)
    batch[0, 1, :10], batch[1, :, 3, 3], batch[1, 2, 5, 5] = np.nan, np.nan, np.inf
    known = np.where(np.isfinite(batch), batch, np.nan)
    mean, sd = np.nanmean(known, axis=(0, 2, 3)), np.nanstd(known, axis=(0, 2, 3))
    values, valid = normalise(batch, mean, sd)
    np.testing.assert_array_equal(valid, np.isfinite(batch))
    assert values.dtype == np.float32
    assert (values[~valid] == 0).all()
    inside = np.where(valid, values, np.nan)
    np.testing.assert_allclose(np.nanmean(inside, axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(inside, axis=(0, 2, 3)), 1, atol=1e-5)
    assert np.isnan(batch[0, 1, 0, 0])  # what came in stays


def test_a_gap_changes_nothing_beyond_the_receptive_field():
    model, whole = pixel_model(), images(1, 3, 96, 96)
    holed = whole.copy()
    holed[:, :, :4, :4] = np.nan
    difference = np.abs(model.predict(holed) - model.predict(whole)).max(axis=(0, 1))
    assert np.isfinite(difference).all()
    assert difference[:4, :4].max() > 0
    reach = 4 + 2 * (2 + 2 * 2) + 2 * 4 + 3 * 2  # convolutions at 1, 2 (twice) and 4 px, and halvings
    assert difference[reach:].max() == difference[:, reach:].max() == 0


def test_a_missing_pixel_counts_as_the_mean():
    model, batch = pixel_model(), images(1, 3, 16, 16)
    filled = batch.copy()
    batch[0, :, 5, 5], filled[0, :, 5, 5] = np.nan, (0.1, 0.2, 0.3)
    np.testing.assert_allclose(model.predict(batch), model.predict(filled), atol=1e-6)


# -- a class per pixel -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (1, 1), (3, 41)])
def test_any_size_is_kept_exactly(size: tuple[int, int]):
    found = pixel_model().predict(images(2, 3, *size))
    assert found.shape == (2, 2, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_one_output_is_the_second_of_two_classes():
    model, batch = pixel_model(), images(1, 3, 8, 8)
    with torch.inference_mode():
        values, _ = normalise(batch, np.float32([0.1, 0.2, 0.3]), np.float32([0.1, 0.2, 0.1]))
        p = torch.sigmoid(model.net(torch.from_numpy(values)))[:, 0].numpy()
    np.testing.assert_allclose(model.predict(batch)[:, 1], p, atol=1e-6)


def test_more_outputs_share_one_probability():
    found = pixel_model(out_channels=17, scheme=lcz_scheme()).predict(images(1, 3, 8, 8))
    assert found.shape == (1, 17, 8, 8)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_bf16_is_close_to_fp32():
    batch = images(1, 3, 32, 32)
    coarse, fine = (pixel_model(precision=p).predict(batch) for p in ("bf16", "fp32"))
    assert 0 < np.abs(coarse - fine).max() < 0.03


def test_weights_lie_channels_last():
    weight = pixel_model().net.down[1][0][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


# -- windows -----------------------------------------------------------------------------------


def test_every_cell_is_what_its_window_says_alone():
    model, batch = patch_model(), images(2, 2, 4 * 7 + 4, 4 * 6 + 4)
    assert (model.halo, model.stride) == (2, 4)
    found = model.predict(batch)
    assert found.shape == (2, 17, 7, 6)  # 84 windows: one chunk and a part of one
    for b, y, x in ((0, 0, 0), (0, 6, 5), (1, 3, 2), (1, 6, 5)):
        alone = model.predict(batch[b : b + 1, :, 4 * y : 4 * y + 8, 4 * x : 4 * x + 8])
        np.testing.assert_array_equal(alone[0, :, 0, 0], found[b, :, y, x])


def test_the_rim_of_an_image_is_no_other_class():
    model, batch = patch_model(), images(1, 2, 4 * 7 + 4, 4 * 7 + 4)
    holed, drawn_out = batch.copy(), batch.copy()
    holed[:, :, :, 19:], drawn_out[:, :, :, 19:] = np.nan, batch[:, :, :, 18:19]
    found, filled, plain = (model.predict(one) for one in (holed, drawn_out, np.nan_to_num(holed)))
    np.testing.assert_array_equal(found[:, :, :, :5], filled[:, :, :, :5])
    assert np.abs(found[:, :, :, 3] - plain[:, :, :, 3]).max() > 1e-3
    nothing = model.predict(np.full_like(batch, np.nan))
    np.testing.assert_array_equal(found[:, :, :, 5:], nothing[:, :, :, 5:])


def test_gaps_take_the_nearest_value_of_their_band_if_a_quarter_is_known():
    windows = np.arange(2 * 2 * 9, dtype=np.float32).reshape(2, 2, 3, 3)
    expected = windows.copy()
    windows[0, 0, :, 2] = windows[1, 1] = windows[1, 0, :2] = np.nan
    windows[1, 1, 0, :2] = 5, 6
    expected[0, 0, :, 2], expected[1, 0, :2], expected[1, 1] = windows[0, 0, :, 1], windows[1, 0, 2], np.nan
    fill_gaps(windows)
    np.testing.assert_array_equal(windows, expected)


def test_windows_without_a_rim_tile_the_image():
    model = patch_model(patch=4, stride=4)
    assert model.halo == 0
    assert model.predict(images(1, 2, 12, 8)).shape == (1, 17, 3, 2)


def test_a_window_has_one_answer_so_its_tiles_share_nothing():
    assert (patch_model().overlap, pixel_model(overlap=8).overlap) == (0, 8)


# -- the same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_thread_and_every_copy_gives_the_same_bytes(precision: str):
    for model, batch in (
        (pixel_model(precision=precision), images(1, 3, 48, 48)),
        (patch_model(precision=precision), images(1, 2, 36, 36)),
    ):
        threads, first = torch.get_num_threads(), model.predict(batch).tobytes()
        copy = pickle.loads(pickle.dumps(model))
        with ThreadPoolExecutor(3) as pool:
            others = [found.tobytes() for found in pool.map(NetModel.predict, [model, copy] * 4, [batch] * 8)]
        assert set(others) == {first}
        assert torch.get_num_threads() == threads


def test_a_prediction_has_one_thread_and_gives_the_others_back():
    model, seen, before = pixel_model(), [], torch.get_num_threads()
    model._quick.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(3)
    try:
        model.predict(images(1, 3, 8, 8))
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)


# -- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patch": 8, "stride": 3}, "no whole rim"),
        ({"patch": 4, "stride": 8}, "no whole rim"),
        ({"stride": 2}, "no whole rim"),
        ({"sd": (0.1, 0.1)}, "mean and a standard deviation"),
        ({"sd": (0.1, 0.1, 0.0)}, "mean and a standard deviation"),
    ],
)
def test_settings_that_contradict_are_refused(change: dict[str, object], says: str):
    settings = {"in_channels": 3, "out_channels": 1}
    facts = {"net": "unet", "settings": settings, "mean": (0, 0, 0), "sd": (1, 1, 1)}
    with pytest.raises(ModelError, match=says):
        NetConfig(**facts | change)


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="colour"):
        NetConfig(net="unet", settings={}, mean=(0,), sd=(1,), colour=3)


def test_a_net_that_does_not_fit_its_bands_or_classes_is_refused():
    model = pixel_model()
    with pytest.raises(ModelError, match="4 bands are named"):
        NetModel(model.net, model.config, bands(4), FIELD, (1.0, 1.0))
    with pytest.raises(ModelError, match="1 outputs for 17 classes"):
        NetModel(model.net, model.config, bands(3), lcz_scheme(), (1.0, 1.0))
    with pytest.raises(ModelError, match="takes no patch, not 8"):
        pixel_model(patch=8, stride=4)
    with pytest.raises(ModelError, match="patch divisible by 2, not 5"):
        patch_model(patch=5, stride=1)
