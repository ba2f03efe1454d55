"""Change from two dates: nets that compare, trees, pairs of images, figures by event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from PIL import Image  # noqa: E402

from jido.data.cutting import cut_tiles  # noqa: E402
from jido.data.tiles import Tiles, packed  # noqa: E402
from jido.errors import FoldsError, ImageError, LabelsError, ModelError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.labels import binary_scheme  # noqa: E402
from jido.methods import load_model  # noqa: E402
from jido.methods.change import cell_f1, fit_change, judge_change, scores, train_change  # noqa: E402
from jido.methods.change_config import ChangeConfig, load_change_config  # noqa: E402
from jido.methods.change_net import ChangeTraining  # noqa: E402
from jido.methods.change_trees import change_features, water_signal  # noqa: E402
from jido.methods.verify import verify_model  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.nets.change import COMPARED, ChangeUNet  # noqa: E402
from jido.stats.event_shares import EventShares  # noqa: E402
from jido.train import all_symmetries, back_from_symmetries  # noqa: E402

SIDE = 32
SCHEME = binary_scheme("flooded")
QUICK = ChangeConfig(
    trees=20, pixels=5000, radii=(2,), epochs=20, learning_rate=0.01, width=8, depth=2, batch=2, cell=8,
    patch=16, mixed=0.0,
)  # fmt: skip
GREEN, NIR = (Band(name, common_name=name, unit="reflectance") for name in ("green", "nir"))


def world(events: int = 4, each: int = 3, *, seed: int = 0) -> Tiles:
    """Pairs of dates: what is dark in the near infrared after, and was bright before, is flooded.

    Every tile has old water too, dark on both dates, which is no target; light differs by event and date.
    """
    rng = np.random.default_rng(seed)
    n = events * each
    images = rng.normal(0, 0.01, (n, 4, SIDE, SIDE))
    masks = np.zeros((n, SIDE, SIDE), dtype=bool)
    for i in range(n):
        light = rng.uniform(0.9, 1.1, 2)
        old, new = rng.integers(4, SIDE - 14, (2, 2))
        water = np.zeros((2, SIDE, SIDE), dtype=bool)
        water[:, old[0] : old[0] + 10, old[1] : old[1] + 10] = True
        flood = np.zeros((SIDE, SIDE), dtype=bool)
        flood[new[0] : new[0] + 14, new[1] : new[1] + 14] = True
        masks[i] = flood & ~water[0]
        water[1] |= flood
        for date in (0, 1):
            images[i, 2 * date] += np.where(water[date], 0.06, 0.10) * light[date]
            images[i, 2 * date + 1] += np.where(water[date], 0.02, 0.30) * light[date]
    names = [
        Band(f"{band.name}@{date}", "", band.common_name, unit=band.unit)
        for date in (1, 2)
        for band in (GREEN, NIR)
    ]
    return Tiles(
        images=images.astype(np.float32),
        masks=packed(masks),
        valid=None,
        source=np.array([f"tile{i}" for i in range(n)]),
        place=np.zeros((n, 2), dtype=np.int64),
        group=np.repeat([f"event{e}" for e in range(events)], each),
        bands=tuple(names),
        pixel_m=(10.0, 10.0),
    )


# -- nets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dates", COMPARED)
@pytest.mark.parametrize(("name", "shape"), [("change_unet", (2, 1, 32, 48)), ("change_patch", (2, 1))])
def test_nets_give_logits(name: str, shape: tuple[int, ...], dates: str):
    net = build_net(name, in_channels=6, out_channels=1, depth=3, width=4, dates=dates).eval()
    assert net(torch.rand(2, 6, 32, 48)).shape == shape


def test_both_dates_go_through_one_encoder_and_a_pair_without_change_has_no_difference():
    torch.manual_seed(0)
    net = ChangeUNet(6, 1, depth=2, width=4).eval()
    one = torch.rand(1, 3, 16, 16)
    for level in net.compared(torch.cat([one, one], dim=1)):
        before, after, gone = level.chunk(3, dim=1)
        assert torch.equal(before, after)
        assert not gone.any()
        assert before.any()


def test_a_net_of_the_later_date_does_not_see_the_earlier_one():
    torch.manual_seed(0)
    net = ChangeUNet(6, 1, depth=2, width=4, dates="after").eval()
    x = torch.rand(1, 6, 16, 16)
    other = x.clone()
    other[:, :3] = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), net(other))
    other[:, 3:] = torch.rand(1, 3, 16, 16)
    assert not torch.equal(net(x), net(other))


@pytest.mark.parametrize(("bands", "dates"), [(5, "both"), (6, "before")])
def test_a_net_refuses_what_cannot_be_compared(bands: int, dates: str):
    with pytest.raises(ModelError, match="as many bands after as before"):
        ChangeUNet(bands, 1, dates=dates)


@pytest.mark.parametrize("shape", [(6, 6), (6, 10)])
def test_views_are_turned_back(shape: tuple[int, int]):
    maps = torch.rand(2, 3, *shape)
    assert all(torch.equal(one, maps) for one in back_from_symmetries(all_symmetries(maps)))


# -- trees -------------------------------------------------------------------------------------


def test_features_are_both_dates_what_changed_and_their_surroundings():
    image = np.stack([np.full((5, 5), value, np.float32) for value in (1, 2, 5, 9)])
    bands = world(2, 1).bands
    found = change_features(image, bands, ChangeConfig(radii=(1,)))
    # before, after, after - before, means before, spreads before (0), means after, spreads after (0)
    assert found[:, 2, 2].tolist() == [1, 2, 5, 9, 4, 7, 1, 2, 5, 9, 0, 0, 0, 0]
    after = change_features(image, bands, ChangeConfig(radii=(1,), dates="after"))
    assert after[:, 2, 2].tolist() == [5, 9, 5, 9, 0, 0]


def test_an_index_tells_water_and_backscatter_is_averaged_as_power():
    image = np.stack([np.full((3, 3), 0.06), np.full((3, 3), 0.02)])
    assert water_signal(image, (GREEN, NIR))[1, 1] == pytest.approx(0.5)  # (.06 - .02) / .08
    radar = np.full((1, 9, 9), -20.0)
    radar[0, 4, 4] = 0
    # 24 pixels of .01 and one of 1 in the square of 5 x 5: 10 log10(1.24 / 25) = -13.05
    assert water_signal(radar, (Band("VV@2"),))[4, 4] == pytest.approx(13.05, abs=0.01)
    with pytest.raises(
        ImageError, match="An index of water needs green and infrared, or VV, but the bands are red"
    ):
        water_signal(image, (Band("red@1", common_name="red"), Band("blue@1", common_name="blue")))


def test_an_index_refuses_pictures_of_a_screen():
    tiles = world(2, 1)
    stretched = replace(tiles, images=(tiles.images * 255).astype(np.uint8))
    with pytest.raises(ImageError, match="stretched for a screen: an index needs reflectance"):
        fit_change(stretched, np.arange(2), ChangeConfig(method="index"), scheme=SCHEME)


# -- from pairs to a judged model --------------------------------------------------------------


@pytest.mark.parametrize("method", ["boosting", "net", "cells", "index"])
def test_a_planted_flood_is_found_in_an_event_that_was_held_out(method: str, tmp_path: Path):
    tiles = world()
    config = QUICK.model_copy(update={"method": method, "folds": 2})
    model = train_change(tiles, config, scheme=SCHEME)
    metrics, facts = model.evaluation["metrics"], model.evaluation
    assert metrics["iou"]["value"] > (0.5 if method == "cells" else 0.8)
    assert metrics["iou"]["lower"] is None  # 4 events are too few for an interval
    assert metrics["cell_f1"]["value"] > 0.8
    assert facts["groups"] == 4
    assert not facts["folds"]["leaks"]
    assert facts["event_shares"]["events"] == 4
    fresh = world(1, 2, seed=9)
    held = judge_change(model, fresh, np.arange(2), config)
    said, true, _, _ = held.cells(0.5)
    assert np.abs(said - true).mean() < 0.12
    # a package says the same
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    for image in fresh.pixels(np.arange(2)):
        np.testing.assert_array_equal(scores(again, image), scores(model, image))
    kept, first = (EventShares.from_dict(one["event_shares"]) for one in (again.evaluation, facts))
    np.testing.assert_array_equal(kept.interval(0.3), first.interval(0.3))
    assert again.abstain_below == model.abstain_below
    verify_model(tmp_path / "model")


def test_old_water_is_a_flood_to_whoever_sees_the_later_date_alone():
    tiles, config = world(6), QUICK.model_copy(update={"folds": 3})
    both = train_change(tiles, config, scheme=SCHEME).evaluation["metrics"]
    after = train_change(tiles, config.model_copy(update={"dates": "after"}), scheme=SCHEME).evaluation[
        "metrics"
    ]
    assert both["iou"]["value"] > after["iou"]["value"] + 0.1
    assert both["precision"]["value"] > after["precision"]["value"] + 0.1
    assert both["iou"]["lower"] < both["iou"]["value"] < both["iou"]["upper"]  # 6 events


def test_groups_that_may_not_be_events_give_no_interval_and_are_named():
    model = train_change(world(6), QUICK, scheme=SCHEME, known=False)
    assert model.evaluation["folds"]["leaks"]
    assert model.evaluation["metrics"]["iou"]["lower"] is None


def test_a_training_is_repeatable_and_depends_on_its_seed():
    tiles = world(2, 2)
    config = QUICK.model_copy(update={"method": "net", "epochs": 2, "mixed": 1.0, "jitter": 0.1})
    made = [ChangeTraining(tiles, np.arange(4), config).run().learner.weights() for _ in range(2)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    other = ChangeTraining(tiles, np.arange(4), config.model_copy(update={"seed": 1})).run().learner.weights()
    assert not all(torch.equal(made[0][name], other[name]) for name in other)


def test_a_net_has_one_scale_for_both_dates():
    training = ChangeTraining(world(), np.arange(12), QUICK)
    assert training.mean[:2].tolist() == training.mean[2:].tolist()
    pooled = world().images.reshape(12, 2, 2, SIDE, SIDE)
    np.testing.assert_allclose(training.mean[:2], pooled.mean((0, 1, 3, 4)), rtol=1e-4)
    np.testing.assert_allclose(training.sd[:2], pooled.std((0, 1, 3, 4)), rtol=1e-3)


def test_pixels_without_data_get_no_score():
    tiles = world(2, 2)
    model = fit_change(tiles, np.arange(4), QUICK, scheme=SCHEME)
    image = tiles.pixels(np.array([0]))[0]
    image[:, :5] = np.nan
    found = scores(model, image)
    assert np.isnan(found[:5]).all()
    assert np.isfinite(found[5:]).all()


def test_one_event_and_no_target_are_refused():
    with pytest.raises(FoldsError, match="All pairs are of one event"):
        train_change(world(1), QUICK, scheme=SCHEME)
    unjudged = train_change(world(1), QUICK.model_copy(update={"folds": 0}), scheme=SCHEME)
    assert unjudged.evaluation == {}
    empty = replace(world(2, 1), masks=np.zeros((2, SIDE * SIDE // 8), np.uint8))
    with pytest.raises(LabelsError, match="No tile has any target"):
        train_change(empty, QUICK, scheme=SCHEME)


def test_f1_of_cells_by_hand():
    said = np.array([[1.0, 0.6, 0.2, 0.0, np.nan]])
    true = np.array([[1.0, 0.4, 0.5, 0.0, 1.0]])
    # at a half: hit, false alarm, miss, right: F1 = 2 / (2 + 1 + 1); the last one was not seen
    assert cell_f1(said, true, np.zeros_like(said), least=0.5)["value"] == pytest.approx(0.5)


def test_settings_are_read(tmp_path: Path):
    path = tmp_path / "change.toml"
    path.write_text("trees = 7\n")
    assert load_change_config(path, preset="smoke", method="net").trees == 7
    path.write_text("tree = 7\n")
    with pytest.raises(ModelError, match="known are method"):
        load_change_config(path)


# -- pairs of images ---------------------------------------------------------------------------


def pictures(folder: Path, names: list[str], *, seed: int, side: int = 16) -> Path:
    """RGB pictures of noise, no two alike."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for name in names:
        Image.fromarray(rng.integers(1, 255, (side, side, 3), dtype=np.uint8)).save(folder / name)
    return folder


def masks(folder: Path, names: list[str]) -> Path:
    """Masks whose left half is target."""
    folder.mkdir()
    values = np.zeros((16, 16), np.uint8)
    values[:, :8] = 255
    for name in names:
        Image.fromarray(values).save(folder / name)
    return folder


def test_pairs_find_each_other_by_name_and_become_one_stack(tmp_path: Path):
    before = pictures(tmp_path / "before", ["S2_before_01.png", "S2_before_02.png"], seed=0)
    after = pictures(tmp_path / "after", ["S2_after_02.png", "S2_after_01.png"], seed=1)
    mask = masks(tmp_path / "mask", ["S2_mask_01.png", "S2_mask_02.png"])
    tiles = cut_tiles([before], work=tmp_path / "work", after=[after], masks=[mask], side=16)
    assert [band.name for band in tiles.bands] == [
        f"{c}@{d}" for d in (1, 2) for c in ("red", "green", "blue")
    ]
    for place, number in enumerate(("01", "02")):
        one = np.asarray(Image.open(before / f"S2_before_{number}.png")).transpose(2, 0, 1)
        other = np.asarray(Image.open(after / f"S2_after_{number}.png")).transpose(2, 0, 1)
        np.testing.assert_array_equal(tiles.images[place], np.concatenate([one, other]))
    assert tiles.mask(np.arange(2)).mean() == 0.5


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path):
    before = pictures(tmp_path / "before", ["a_pre_disaster.png", "b_pre_disaster.png"], seed=0)
    after = pictures(tmp_path / "after", ["a_post_disaster.png"], seed=1)
    mask = masks(tmp_path / "mask", ["a_mask.png", "b_mask.png"])
    with pytest.raises(ImageError, match=r"b_pre_disaster.png has no image after of its name"):
        cut_tiles([before], work=tmp_path / "work", after=[after], masks=[mask], side=16)
    tiles = cut_tiles([before], work=tmp_path / "work", after=[after], masks=[mask], side=16, skip_bad=True)
    assert len(tiles) == 1
    larger = pictures(tmp_path / "larger", ["a_post.png", "b_post.png"], seed=2, side=24)
    with pytest.raises(ImageError, match="lies on another grid"):
        cut_tiles([before], work=tmp_path / "work", after=[larger], masks=[mask], side=16)
    with pytest.raises(LabelsError, match="is among the images before and among the images after"):
        cut_tiles([before], work=tmp_path / "work", after=[before], masks=[mask], side=16)
