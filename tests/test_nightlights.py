"""Classes of nightlight, nets that learn them from daytime tiles, and figures of their filters."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from jido.data.chips import Chips
from jido.errors import LabelsError, ModelError
from jido.geo import identify
from jido.methods.nightlights import light_chips, light_classes

RGB = tuple(identify(("red", "green", "blue")))


def chips_of(images, **facts):
    n, bands = np.shape(images)[:2]
    names = np.array([f"t{i}.png" for i in range(n)])
    return Chips(np.asarray(images), np.full(n, -1), names, (), RGB[:bands], **facts)


# -- classes of light ------------------------------------------------------------------------------


def three_kinds():
    """log(1 + light) at 0.5, 2.5 and 4.5, +-0.1: alike in spread and number."""
    middle = np.repeat([0.5, 2.5, 4.5], 40)
    return np.expm1(middle + np.tile([-0.1, 0.1], 60))


def test_limits_lie_halfway_between_gaussians_of_one_width_and_weight():
    found = light_classes(three_kinds())
    # equal spread and weight: the densities meet at (0.5 + 2.5) / 2 = 1.5 and at 3.5
    np.testing.assert_allclose(found.limits, np.expm1([1.5, 3.5]), rtol=1e-4)
    np.testing.assert_allclose(found.means, np.expm1([0.5, 2.5, 4.5]), rtol=1e-4)
    np.testing.assert_allclose(found.shares, [1 / 3] * 3, atol=1e-4)
    assert found.label.tolist() == np.repeat([0, 1, 2], 40).tolist()
    assert found.names == ("1 dark", "2 medium", "3 bright")
    assert list(found.names) == sorted(found.names)


def test_classes_run_from_dark_to_bright_whatever_the_order_of_the_lights():
    light = np.random.default_rng(0).permutation(three_kinds())
    found = light_classes(light)
    order = np.argsort(light)
    assert (np.diff(found.label[order]) >= 0).all()
    assert found.of(np.array([np.nan, -5.0, 0.7, 10.0, 1e6])).tolist() == [-1, 0, 0, 1, 2]


def test_unknown_lights_have_no_class_and_no_say():
    light = three_kinds()
    gaps = np.concatenate([light, [np.nan, np.inf]])
    found = light_classes(gaps)
    assert found.label[-2:].tolist() == [-1, -1]
    np.testing.assert_array_equal(found.limits, light_classes(light).limits)


def test_many_zeros_are_a_class_of_their_own_and_few_are_not():
    light = three_kinds()[40:]  # two kinds, 80 lights
    many = light_classes(np.concatenate([np.zeros(20), light]))
    assert many.limits[0] == 0
    assert many.label[:20].tolist() == [0] * 20
    np.testing.assert_allclose(many.shares, [0.2, 0.4, 0.4], atol=1e-4)
    np.testing.assert_allclose(many.limits[1], np.expm1(3.5), rtol=1e-4)
    few = light_classes(np.concatenate([np.zeros(2), three_kinds()]))  # 2 of 122, under 5 %
    assert few.limits[0] > 0
    assert few.label[:2].tolist() == [0, 0]


def test_lights_below_0_count_as_0():
    light = np.concatenate([np.full(10, -0.3), np.zeros(10), three_kinds()[40:]])
    assert light_classes(light).label[:20].tolist() == [0] * 20


def test_a_wider_gaussian_takes_over_where_it_rises_above_the_other():
    # N(1, .1) and N(4, .5), as many of each: log of the second over the first is 0 at one light between
    # the means; there both densities are alike
    from scipy.stats import norm

    ranks = (np.arange(400) + 0.5) / 400
    found = light_classes(np.expm1(np.r_[norm.ppf(ranks, 1, 0.1), norm.ppf(ranks, 4, 0.5)]), classes=2)
    (limit,) = np.log1p(found.limits)
    assert 1 < limit < 4
    assert norm.pdf(limit, 1, 0.1) == pytest.approx(norm.pdf(limit, 4, 0.5), rel=0.2)
    assert found.label.tolist() == [0] * 400 + [1] * 400


def test_two_classes_have_two_names():
    assert light_classes(three_kinds()[:80], classes=2).names == ("1 dark", "2 bright")


@pytest.mark.parametrize(
    ("light", "classes", "says"),
    [
        (np.zeros(9), 3, "All 9 nightlights are 0, so there is nothing to tell apart"),
        (np.full(9, 3.5), 3, "All 9 nightlights are 3.5, so there is nothing to tell apart"),
        (np.array([1.0, 2.0, 2.0]), 3, "2 different values, which make no 3 classes: ask for fewer"),
        (np.full(4, np.nan), 3, "No nightlight is known of any tile"),
        (np.arange(9.0), 1, "1 classes of light tell nothing apart: ask for 2 or more"),
        (np.array([0.0] * 50 + [5.0] * 50 + [-1.0]), 3, "make no 3 classes"),
        # three values, but the second is told from the first by less than the least width
        (np.array([1.0] * 100 + [1.001] + [5.0] * 100), 3, "do not fall into 3 classes"),
    ],
)
def test_lights_that_make_no_classes_are_refused(light, classes, says):
    with pytest.raises(LabelsError, match=says):
        light_classes(light, classes=classes)


def test_every_image_needs_a_light():
    with pytest.raises(LabelsError, match="120 nightlights for 2 images: give one for each"):
        light_chips(chips_of(np.zeros((2, 3, 8, 8), np.uint8)), light_classes(three_kinds()))


# -- nets ------------------------------------------------------------------------------------------


def night_and_day(n=96, seed=0):
    """Tiles 16 x 16, half of them speckled as towns are, and their lights."""
    rng = np.random.default_rng(seed)
    town = np.arange(n) % 2 == 1
    images = rng.normal(90, 4, (n, 3, 16, 16)) + town[:, None, None, None] * rng.normal(0, 60, (n, 3, 16, 16))
    light = np.where(town, 30.0, 0.3) * np.exp(0.1 * rng.normal(size=n))
    return chips_of(images.clip(0, 255).astype(np.uint8)), light, town


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("torch")
    from jido.methods.nightlights import train_on_light
    from jido.methods.scene_config import load_scene_config

    chips, light, town = night_and_day()
    light = light.copy()
    light[[4, 70, 71]] = np.nan
    given = {"epochs": 4, "batch": 16, "settings": {"width": 8, "stages": 2}, "shift": 2, "precision": "fp32"}

    def net(seed=0):
        work = tmp_path_factory.mktemp("net")
        config = load_scene_config(preset="smoke", given=given, seed=seed)
        return train_on_light(
            chips, light_classes(light, classes=2), which=np.arange(64), config=config, work=work
        )

    return chips, light, town, net


def test_features_of_a_net_that_learned_light_tell_town_from_land(trained):
    from jido.methods.nightlights import activation_maps, features

    chips, _, town, net = trained
    first = net()
    found = features(chips, first)
    assert found.shape == (96, 32)
    assert found.dtype == np.float32
    assert first.learned == 63  # of 64 one has no light
    held = np.arange(64, 96)
    r = [abs(np.corrcoef(found[held, i], town[held])[0, 1]) for i in range(32) if found[held, i].std() > 0]
    assert max(r) > 0.9
    np.testing.assert_array_equal(features(chips, net()), found)  # repeatable
    assert np.abs(features(chips, net(seed=1)) - found).max() > 0.01
    maps = activation_maps(chips, first, held)
    assert maps.shape == (32, 32, 2, 2)
    np.testing.assert_allclose(
        maps.mean(axis=(2, 3)), features(chips, first, which=held), rtol=1e-5, atol=1e-6
    )


def test_finer_maps_lie_where_the_tile_is(trained):
    from jido.methods.nightlights import activation_maps

    first = trained[-1]()
    images = np.full((2, 3, 32, 32), 90, np.uint8)
    images[0, :, 16:, :16] = np.random.default_rng(0).integers(0, 256, (3, 16, 16))  # town, below on the left
    tiles = Chips(images, np.full(2, -1), np.array(["a", "b"]), (), RGB)
    plain, fine = (activation_maps(tiles, first, np.arange(2), finer=finer) for finer in (1, 4))
    assert plain.shape == (2, 32, 4, 4)
    assert fine.shape == (2, 32, 16, 16)
    # without anything to see all places are alike once the rim has no say
    spread = [np.ptp(maps[1], axis=(1, 2)).max() / np.abs(maps[1]).max() for maps in (plain, fine)]
    assert spread[1] < 1e-4 < spread[0]
    change = np.abs(fine[0] - fine[1]).sum(axis=0)
    assert change[10:14, 2:6].min() > 3 * change[:4, 12:].max()
    # the middle one of three moves is none: what the layer says of the tile in the middle of its mirrors
    around = np.pad(images, [(0, 0), (0, 0), (64, 64), (64, 64)], mode="reflect")
    wide = activation_maps(Chips(around, tiles.label, tiles.name, (), RGB), first, np.arange(2))
    thirds = activation_maps(tiles, first, np.arange(2), finer=3)
    np.testing.assert_allclose(thirds[:, :, 1::3, 1::3], wide[:, :, 8:12, 8:12], rtol=1e-4, atol=1e-5)


def test_tiles_of_one_class_teach_nothing(trained, tmp_path):
    from jido.methods.nightlights import train_on_light

    chips, light, *_ = trained
    classes = light_classes(light, classes=2)
    with pytest.raises(LabelsError, match="All 3 tiles to learn from are of class '1 dark'"):
        train_on_light(chips, classes, which=np.array([0, 2, 6]), work=tmp_path)
    with pytest.raises(LabelsError, match="All 0 tiles to learn from are without a light"):
        train_on_light(chips, classes, which=np.array([4, 70]), work=tmp_path)


def package():
    """A fresh encoder as ``jido lcz pretrain`` would write it."""
    import torch

    from jido.methods.encoder_package import EncoderPackage
    from jido.nets.encoders import build_encoder

    settings = {"width": 4, "stages": 2, "kernels": 1}
    torch.manual_seed(0)
    weights = build_encoder("residual", {"aerial": 3}, **settings).state_dict()
    return EncoderPackage(
        weights={name: value.numpy().copy() for name, value in weights.items()},
        settings={"kind": "residual", **settings},
        sensors={"aerial": 3},
        bands=RGB,
        side=16,
        pixel_m=None,
        config={},
        history=[],
    )


def test_a_frozen_encoder_gives_the_same_features_whatever_the_lights(trained):
    from jido.methods.nightlights import activation_maps, features, tune_on_light
    from jido.methods.tune import TuneConfig

    chips, light, *_ = trained
    lights = (light, np.random.default_rng(5).permutation(light))
    frozen, tuned = (
        [
            features(
                chips,
                tune_on_light(
                    chips,
                    light_classes(one, classes=2),
                    package(),
                    which=np.arange(64),
                    config=TuneConfig(steps=4, batch=16, encoder_rate=rate, precision="fp32"),
                ),
            )
            for one in lights
        ]
        for rate in (0.0, 1.0)
    )
    assert frozen[0].shape == (96, 8)
    np.testing.assert_allclose(frozen[0], frozen[1], rtol=1e-6)
    assert np.abs(tuned[0] - frozen[0]).max() > 0.05
    net = tune_on_light(chips, light_classes(light, classes=2), package(), config=TuneConfig(steps=1))
    maps = activation_maps(chips, net, np.arange(2))
    np.testing.assert_allclose(
        maps.mean(axis=(2, 3)), features(chips, net, which=np.arange(2)), rtol=1e-4, atol=1e-6
    )


def test_an_encoder_of_other_bands_is_refused(trained):
    from jido.methods.nightlights import tune_on_light

    chips, light, *_ = trained
    two = Chips(chips.images[:, :2], chips.label, chips.name, (), RGB[:2])
    with pytest.raises(ModelError, match="has learned from the bands"):
        tune_on_light(two, light_classes(light, classes=2), package())


def fake_timm(monkeypatch, made):
    timm = types.ModuleType("timm")
    timm.create_model = made
    monkeypatch.setitem(sys.modules, "timm", timm)


def test_a_net_of_timm_is_tuned_by_name(trained, monkeypatch):
    import torch

    from jido.methods.nightlights import activation_maps, features, tune_on_light
    from jido.methods.tune import TuneConfig

    asked = []

    def made(name, **facts):
        asked.append((name, facts))
        if name != "stub":
            raise RuntimeError(f"Unknown model ({name})")
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(facts["in_chans"], 5, 3)
        return torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    fake_timm(monkeypatch, made)
    chips, light, *_ = trained
    classes = light_classes(light, classes=2)
    rates = {rate: TuneConfig(steps=6, batch=16, encoder_rate=rate, precision="fp32") for rate in (0.0, 1.0)}
    nets = {rate: tune_on_light(chips, classes, "stub", config=config) for rate, config in rates.items()}
    found = {rate: features(chips, net) for rate, net in nets.items()}
    assert asked[0] == ("stub", {"pretrained": True, "in_chans": 3, "num_classes": 0})
    assert found[0.0].shape == (96, 5)
    own = made("stub", in_chans=3).eval()
    with torch.inference_mode():
        wanted = own(nets[0.0].seen(chips.images)).numpy()
    np.testing.assert_allclose(found[0.0], wanted, rtol=1e-4, atol=1e-5)  # frozen: its own weights
    assert np.abs(found[1.0] - found[0.0]).max() > 1e-3
    with pytest.raises(ModelError, match="This encoder has no maps of its filters"):
        activation_maps(chips, nets[0.0], np.arange(2))
    with pytest.raises(ModelError, match=r"timm gives no net 'other' \(Unknown model \(other\)\)"):
        tune_on_light(chips, classes, "other")


def test_a_net_that_gives_no_vectors_is_refused(trained, monkeypatch):
    import torch

    from jido.methods.nightlights import tune_on_light

    fake_timm(monkeypatch, lambda name, **facts: torch.nn.Conv2d(3, 5, 3))
    chips, light, *_ = trained
    with pytest.raises(ModelError, match="gives no vectors of images of 16 x 16 pixels"):
        tune_on_light(chips, light_classes(light, classes=2), "maps")


def test_without_timm_the_extra_is_named(trained, monkeypatch):
    from jido.methods.nightlights import tune_on_light

    monkeypatch.setitem(sys.modules, "timm", None)
    chips, light, *_ = trained
    with pytest.raises(ModelError, match=r'pip install "jido\[backbones\]"'):
        tune_on_light(chips, light_classes(light, classes=2), "resnet18")


# -- figure ----------------------------------------------------------------------------------------


def test_filters_that_tell_different_things_are_chosen():
    from jido.methods.figures.filters import correlations, telling_filters

    rng = np.random.default_rng(0)
    dim = rng.normal(6, 1, 500)
    other = rng.normal(size=500)
    features = np.stack(
        [np.ones(500), dim, 2 * dim + 1, -dim + 1.5 * rng.normal(size=500), other, other + 0.1], axis=1
    )
    light = np.append(np.expm1(dim)[:-1], np.nan)
    # never answers; brightest; the same; darkest; what is left; the same
    assert telling_filters(features, light, count=3).tolist() == [1, 3, 4]
    assert len(telling_filters(features, light, count=9)) == 5
    assert correlations(features, light, [1])[0] == pytest.approx(1)


def test_answers_lie_over_what_they_saw():
    from jido.methods.figures.filters import PINK, enlarged, lit

    # two places over four pixels: their middles lie at 1 and 3 of 4; between them a straight line
    found = enlarged(np.array([[0.0, 1.0]]), 4)
    np.testing.assert_allclose(found[0], [0, 0.25, 0.75, 1])
    np.testing.assert_allclose(found, np.tile(found[0], (4, 1)))
    red = np.full((1, 2, 3), (90, 0, 0), np.uint8)
    picture = lit(red, np.array([[0.0, 1.0]]))
    assert picture[0, 0].tolist() == [60, 15, 15]  # half way to grey (30, 30, 30)
    wanted = 0.25 * np.array([60, 15, 15]) + 0.75 * np.array(PINK)
    np.testing.assert_allclose(picture[0, 1], wanted, atol=1)


def test_the_figure_is_written(tmp_path):
    from jido.methods.figures.filters import filter_figure

    chips, *_ = night_and_day(n=8)
    features = np.random.default_rng(0).random((8, 3))
    asked = []

    def maps(which):
        asked.append(which.tolist())
        return np.random.default_rng(1).random((len(which), 3, 4, 4))

    path = filter_figure(
        chips, features, maps, tmp_path / "f.png", filters=[2, 0, 1], names={2: ": x"}, title="t"
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 10
    assert asked[0] == np.argsort(-features[:, 2])[:4].tolist()
