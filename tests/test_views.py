"""Two views of a place, which bands belong together, and windows that hold what stands in the images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data import simulate_city, windows  # noqa: E402
from jido.data.stack import stack_of  # noqa: E402
from jido.data.windows import draw_windows, labelled_windows, window_side  # noqa: E402
from jido.errors import ImageError, LabelsError, ModelError  # noqa: E402
from jido.geo import Band, Raster, identify, unique_names  # noqa: E402
from jido.io import Scene, write_image  # noqa: E402
from jido.methods.cells import CellConfig, sample_cells  # noqa: E402
from jido.train import ViewSettings, views, without_one  # noqa: E402

STILL = ViewSettings(
    least_scale=1, gain=0, offset=0, looks=1e14, decibels=0, blur=0, band_dropout=0, sensor_dropout=0
)
"""Turned and mirrored, nothing else."""


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def drawn(*shape: int, number: int = 0):
    return torch.randn(*shape, generator=seed(number))


# -- views -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sensors", [{"s1": 2, "s2": 10}, {"sentinel-2": 4}, {"landsat-8": 9}, {"rgb": 3}])
@pytest.mark.parametrize("side", [8, 9, 16])
def test_views_have_the_shape_of_the_patches_and_differ_from_them(sensors, side):
    patches = drawn(6, sum(sensors.values()), side, side)
    before = patches.clone()
    found = views(patches, sensors, ViewSettings(), generator=seed())
    assert found.shape == patches.shape
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert ((found - patches).abs().amax((1, 2, 3)) > 0.1).all()
    assert torch.equal(patches, before)


def test_the_seed_alone_rules_what_is_seen():
    patches, sensors = drawn(8, 5, 8, 8), {"s1": 2, "s2": 3}
    state = torch.random.get_rng_state()
    one = views(patches, sensors, ViewSettings(), generator=seed(3))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(views(patches, sensors, ViewSettings(), generator=seed(3)), one)
    assert not torch.equal(views(patches, sensors, ViewSettings(), generator=seed(4)), one)


def test_without_scale_and_noise_a_view_is_one_of_the_eight_symmetries():
    patch = drawn(1, 3, 8, 8)
    found = views(patch.repeat(400, 1, 1, 1), {"s1": 1, "s2": 2}, STILL, generator=seed())
    turned = [torch.rot90(patch[0], k, (1, 2)) for k in range(4)]
    ways = torch.stack([*turned, *(way.flip(2) for way in turned)])
    off = (found[:, None] - ways).abs().amax((2, 3, 4))
    assert (off.min(1).values < 1e-5).all()
    counts = off.argmin(1).bincount(minlength=8)
    assert (counts > 25).all()  # 50 of each, give or take 7


def test_all_bands_of_all_sensors_move_together():
    image = drawn(16, 1, 12, 12)
    settings = replace(STILL, least_scale=0.5)
    found = views(image.repeat(1, 4, 1, 1), {"s1": 2, "s2": 2}, settings, generator=seed())
    torch.testing.assert_close(found, found[:, :1].expand_as(found), rtol=1e-5, atol=1e-5)
    assert ((found - image).abs().amax((1, 2, 3)) > 0.1).all()


def test_a_view_shows_a_part_of_the_stated_area_that_lies_inside():
    side = 16
    x = ((torch.arange(side) + 0.5) * 2 / side - 1).expand(side, side)  # -1 at the left rim, 1 at the right
    found = views(
        torch.stack([x, x.T]).repeat(800, 1, 1, 1),
        {"s2": 2},
        replace(STILL, least_scale=0.4),
        generator=seed(),
    )
    middle = found[:, :, 7:9, 7:9]
    down = (middle[:, :, 1, 0] - middle[:, :, 0, 0]) * side / 2
    across = (middle[:, :, 0, 1] - middle[:, :, 0, 0]) * side / 2
    length = down.abs() + across.abs()  # one of the two is 0: no view is turned by less than a quarter
    torch.testing.assert_close(length[:, 0], length[:, 1], rtol=1e-3, atol=1e-4)
    area = length[:, 0] ** 2
    assert 0.399 < area.min() < 0.42
    assert 0.98 < area.max() < 1.001
    assert area.mean().item() == pytest.approx(0.7, abs=0.02)
    away = middle.mean((2, 3)).abs() - (1 - length)
    assert away.max() < 1e-3
    assert away.min() < -0.1


def test_sensors_that_are_missing_stay_missing():
    sensors = {"s1": 2, "s2": 3}
    patches = drawn(30, 5, 8, 8)
    patches[:10, :2] = 0
    patches[10:20, 2:] = 0
    patches[20:22] = 0
    found = views(
        patches, sensors, replace(ViewSettings(), sensor_dropout=0, band_dropout=0), generator=seed()
    )
    held = torch.stack([(part != 0).flatten(1).any(1) for part in found.split((2, 3), 1)], 1)
    expected = torch.ones(30, 2, dtype=torch.bool)
    expected[:10, 0] = expected[10:20, 1] = expected[20:22] = False
    assert torch.equal(held, expected)


def lost(patches, sensors, share: float, *, number: int = 0):
    """Bool (B, sensors): which were taken away; what is left is as it was."""
    found = without_one(patches, sensors, share, generator=seed(number))
    parts = [part.split(tuple(sensors.values()), 1) for part in (patches, found)]
    for before, after in zip(*parts, strict=True):
        gone = (after == 0).flatten(1).all(1)
        assert torch.equal(after[~gone], before[~gone])
    had, has = (torch.stack([(p != 0).flatten(1).any(1) for p in part], 1) for part in parts)
    return had & ~has


def test_one_of_several_sensors_is_taken_away_in_the_stated_share():
    sensors = {"s1": 1, "s2": 2, "s3": 1}
    gone = lost(drawn(3000, 4, 2, 2), sensors, 0.3)
    assert gone.sum(1).max() == 1
    assert gone.any(1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert gone.sum(0).min() > 0.8 * gone.sum(0).max()
    assert not lost(drawn(50, 4, 2, 2), sensors, 0.0).any()


def test_the_only_sensor_is_never_taken_away():
    sensors = {"s1": 1, "s2": 2, "s3": 1}
    patches = drawn(300, 4, 2, 2)
    patches[:100, 1:] = 0  # s1 alone
    patches[100:200, :1] = 0  # s2 and s3
    gone = lost(patches, sensors, 1.0)
    assert not gone[:100].any()
    assert (gone[100:].sum(1) == 1).all()
    assert 30 < gone[100:200, 1].sum() < 70
    assert not lost(patches[:, :2], {"s2": 2}, 1.0).any()


def test_views_lose_sensors_too():
    settings = replace(STILL, sensor_dropout=0.25)
    found = views(drawn(2000, 2, 2, 2), {"s1": 1, "s2": 1}, settings, generator=seed())
    gone = (found == 0).flatten(2).all(2)
    assert gone.sum(1).max() == 1
    assert gone.any(1).float().mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("looks", [8.0, 2.0])
@pytest.mark.parametrize("name", ["sentinel-1", "s1", "sar"])
def test_speckle_has_the_spread_of_its_looks(name, looks):
    """Speckle of L looks has a spread of about 4.34 / sqrt(L) dB, and radar bands one of about 5 dB."""
    settings = replace(STILL, looks=looks, gain=0.9, offset=9, blur=1, band_dropout=1)  # those are optical
    found = views(torch.ones(40, 2, 16, 16), {name: 2}, settings, generator=seed())
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert found.std().item() == pytest.approx(10 / math.log(10) / math.sqrt(looks) / 5, rel=0.03)
    assert found.std((2, 3)).min() > 0.8 * found.std()  # every pixel its own


def test_radar_bands_move_up_and_down_within_bounds():
    settings = replace(STILL, decibels=0.3)
    moved = views(torch.ones(400, 2, 4, 4), {"s1": 2}, settings, generator=seed()) - 1
    assert moved.std((2, 3)).max() < 1e-5
    level = moved.mean((2, 3))
    assert 0.28 < level.max() < 0.3001
    assert -0.3001 < level.min() < -0.28
    assert abs(torch.corrcoef(level.T)[0, 1]) < 0.15  # bands by themselves


def test_optical_bands_are_stretched_and_moved_within_bounds():
    settings = replace(STILL, gain=0.2, offset=0.1, looks=1, decibels=9)  # those are radar's
    patches = torch.full((400, 2, 4, 4), 1e-9)  # 0 would be no data
    patches[..., :2] = 4  # two levels, wherever a view puts them
    found = views(patches, {"sentinel-2": 2}, settings, generator=seed())
    low, high = found.flatten(2).amin(2), found.flatten(2).amax(2)
    gain, offset = (high - low) / 4, low
    assert 0.799 < gain.min() < 0.81
    assert 1.19 < gain.max() < 1.201
    assert -0.101 < offset.min() < -0.095
    assert 0.095 < offset.max() < 0.101
    levels = ((found - low[..., None, None]) / (high - low)[..., None, None]).round(decimals=3)
    assert set(levels.unique().tolist()) == {0, 1}
    assert abs(torch.corrcoef(gain.T)[0, 1]) < 0.15


def test_the_stated_share_of_optical_views_is_blurred():
    patches = torch.full((1000, 2, 5, 5), 1e-9)  # 0 would be no data
    patches[:, :, 2, 2] = 9
    sensors = {"s1": 1, "s2": 1}
    radar, optical = views(patches, sensors, replace(STILL, blur=0.2), generator=seed()).unbind(1)
    torch.testing.assert_close(radar, patches[:, 0], rtol=0, atol=1e-4)
    soft = optical[:, 2, 2] < 5
    assert soft.float().mean().item() == pytest.approx(0.2, abs=0.04)
    torch.testing.assert_close(optical[~soft], patches[~soft, 1], rtol=0, atol=1e-4)
    spread = torch.zeros(5, 5)
    spread[1:4, 1:4] = 1
    torch.testing.assert_close(optical[soft], spread.expand(int(soft.sum()), 5, 5), rtol=0, atol=1e-4)
    flat = views(torch.ones(4, 1, 5, 5), {"s2": 1}, replace(STILL, blur=1), generator=seed())
    torch.testing.assert_close(flat, torch.ones(4, 1, 5, 5))


def test_pixels_without_data_stay_without_in_every_view():
    patches = torch.ones(64, 3, 8, 8)
    patches[:, 1:, :, :4] = 0  # half of the optical bands of each patch; radar is whole
    settings = replace(ViewSettings(), band_dropout=0, sensor_dropout=0, least_scale=1)
    radar, optical = views(patches, {"s1": 1, "s2": 2}, settings, generator=seed()).split((1, 2), dim=1)
    assert (radar != 0).float().mean() > 0.99
    assert (optical == 0).flatten(1).float().mean(1).tolist() == pytest.approx([0.5] * 64)


def test_the_stated_share_of_optical_bands_is_dropped_but_no_only_one():
    settings = replace(STILL, band_dropout=0.3)
    found = views(torch.ones(1000, 6, 2, 2), {"s1": 2, "s2": 3, "nir": 1}, settings, generator=seed())
    gone = (found == 0).flatten(2)
    assert torch.equal(gone.any(2), gone.all(2))
    share = gone.all(2).float().mean(0)
    assert share[[0, 1, 5]].tolist() == [0, 0, 0]
    assert share[2:5].tolist() == pytest.approx([0.3] * 3, abs=0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_scale": 0},
        {"least_scale": 1.1},
        {"looks": 0},
        {"blur": -0.1},
        {"band_dropout": 2.0},
        {"sensor_dropout": math.nan},
    ],
)
def test_views_that_cannot_be_are_refused(wrong):
    with pytest.raises(ModelError, match="Views need"):
        ViewSettings(**wrong)


# -- which bands belong together ---------------------------------------------------------------

S1, S2, LANDSAT = identify(["VV", "VH"]), identify(["B02", "B03", "B04"]), identify(["B1", "B2", "B3"])


def names_in_order(bands, stack) -> list[str]:
    return [bands[place].name for place in stack.order]


def test_two_sensors_on_one_date():
    bands = unique_names([S1, S2])
    stack = stack_of(bands)
    assert stack.order == (0, 1, 2, 3, 4)
    assert (stack.dates, stack.text) == (1, "sentinel-1:2 sentinel-2:3")
    assert stack.bands == bands


def test_four_dates_of_one_sensor():
    bands = unique_names([LANDSAT] * 4)
    assert bands[0].name == "B1@1"
    stack = stack_of(bands)
    assert stack.order == tuple(range(12))
    assert (stack.dates, stack.text) == (4, "landsat-8:3")
    assert stack.bands == LANDSAT


@pytest.mark.parametrize(
    ("images", "order"),
    [
        ([S1, S2, S1, S2], "VV@1 VH@1 B02@2 B03@2 B04@2 VV@3 VH@3 B02@4 B03@4 B04@4"),
        ([S1, S1, S2, S2], "VV@1 VH@1 B02@3 B03@3 B04@3 VV@2 VH@2 B02@4 B03@4 B04@4"),
        ([S2, S1, S1, S2], "VV@2 VH@2 B02@1 B03@1 B04@1 VV@3 VH@3 B02@4 B03@4 B04@4"),
    ],
)
def test_two_sensors_on_two_dates_come_date_after_date(images, order):
    bands = unique_names(images)
    stack = stack_of(bands)
    assert names_in_order(bands, stack) == order.split()
    assert stack.dates == 2
    assert stack.text == "sentinel-1:2 sentinel-2:3"  # by name, whatever comes first
    assert [band.name for band in stack.bands] == [name.partition("@")[0] for name in order.split()[:5]]


def test_one_image_with_bands_of_two_sensors():
    stack = stack_of([*S2[:2], *S1, S2[2]])
    assert stack.order == (2, 3, 0, 1, 4)
    assert stack.text == "sentinel-1:2 sentinel-2:3"
    assert [band.name for band in stack.bands] == ["VV", "VH", "B02", "B03", "B04"]


def test_bands_that_no_sensor_knows_are_one():
    stack = stack_of([Band("x"), Band("y"), *S1])
    assert stack.text == "image:2 sentinel-1:2"


def test_dates_that_do_not_fit_each_other_are_refused():
    with pytest.raises(
        ImageError, match=r"Image 2 has the sentinel-2 bands B02, B03, another one has B02, B03, B04"
    ):
        stack_of(unique_names([S2, S2[:2]]))
    with pytest.raises(ImageError, match="in one order"):
        stack_of(unique_names([S2, S2[::-1]]))
    with pytest.raises(ImageError, match=r"numbers of dates \(1 of sentinel-1, 2 of sentinel-2\)"):
        stack_of(unique_names([S1, S2, S2]))


# -- windows -----------------------------------------------------------------------------------

SIDE = 320
"""Of the city in pixels."""


@pytest.fixture(scope="module")
def city():
    return simulate_city(0, cells=32)


@pytest.fixture(scope="module")
def scene(city, tmp_path_factory):
    """Radar, and two optical bands of which the first counts the pixels; both have gaps."""
    folder = tmp_path_factory.mktemp("city")
    optical, radar = city.optical.select(["B02", "B03"]), city.radar
    optical.data[0] = np.arange(SIDE**2).reshape(SIDE, SIDE)
    optical.data[1, 100:164, 200:280] = np.nan
    radar.data[:, 45:104, 180:236] = np.nan
    optical.data[:, 45:104, 180:236] = np.nan
    write_image(optical, folder / "s2.tif")
    write_image(radar, folder / "s1.tif")
    with Scene([folder / "s2.tif", folder / "s1.tif"]) as opened:
        yield opened


COUNTED = 2
"""Place of the band that counts the pixels, among those of the windows: radar comes first."""


@pytest.fixture(scope="module")
def whole(scene):
    return scene.read().data[list(stack_of(scene.bands).order)]


def saved(folder, data, crs="EPSG:32631"):
    """A scene of one image file of 10 m pixels."""
    from odc.geo.geobox import GeoBox

    height, width = data.shape[1:]
    box = GeoBox.from_bbox(
        (5e5, 5e6, 5e5 + 10 * width, 5e6 + 10 * height), crs, shape=(height, width), tight=True
    )
    write_image(Raster(data.astype(np.float32), S2[: len(data)], box), folder / "image.tif")
    return Scene([folder / "image.tif"])


def corners_of(images) -> np.ndarray:
    """Rows and columns of the first pixels, of windows of the scene."""
    assert np.isfinite(images[:, COUNTED]).all()
    return np.column_stack(np.divmod(images[:, COUNTED, 0, 0].astype(int), SIDE))


def test_drawn_windows_are_what_stands_in_the_images(scene, tmp_path):
    data = np.stack([np.arange(900).reshape(30, 30), np.random.default_rng(0).normal(size=(30, 30))])
    with saved(tmp_path, data) as small:
        found = draw_windows(small, 60, 9, seed=1)
    assert found.images.shape == (60, 2, 9, 9)
    assert found.images.dtype == np.float32
    assert (len(found), found.side, found.stack.text) == (60, 9, "sentinel-2:2")
    seen = set()
    for image in found.images:
        row, col = divmod(int(image[0, 0, 0]), 30)
        np.testing.assert_array_equal(image, data[:, row : row + 9, col : col + 9].astype(np.float32))
        seen.add((row, col))
    assert len(seen) == 60
    rows, cols = np.array(sorted(seen)).T
    assert (rows.min(), rows.max()) == (0, 21)
    assert (cols.min(), cols.max()) == (0, 21)


@pytest.fixture
def gaps_left(monkeypatch):
    """Windows as they are read, before their gaps are filled."""
    monkeypatch.setattr(windows, "fill_gaps", lambda images: None)


@pytest.mark.usefixtures("gaps_left")
@pytest.mark.parametrize("tile", [50, 64, 400])
def test_parts_of_a_scene_do_not_show_in_the_windows(scene, whole, monkeypatch, tile):
    monkeypatch.setattr(windows, "TILE", tile)
    told = []
    found = draw_windows(scene, 200, 24, seed=4, progress=lambda *a: told.append(a))
    assert len(found) == 200
    assert [(done, total) for _, done, total in told] == [
        (i + 1, len(told)) for i in range(math.ceil(SIDE / tile) ** 2)
    ]
    clean = np.isfinite(found.images[:, COUNTED]).all((1, 2))
    assert clean.sum() > 100
    for image, (row, col) in zip(found.images[clean], corners_of(found.images[clean]), strict=True):
        np.testing.assert_array_equal(image, whole[:, row : row + 24, col : col + 24])
    monkeypatch.setattr(windows, "TILE", 512)
    np.testing.assert_array_equal(draw_windows(scene, 200, 24, seed=4).images, found.images)


@pytest.mark.usefixtures("gaps_left")
def test_windows_come_from_their_seed_and_have_data(scene):
    one, same, other = (draw_windows(scene, 80, 40, seed=s).images for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[:, 1], other[:, 1], equal_nan=True)
    share = np.isfinite(draw_windows(scene, 2000, 40, seed=3).images).mean((2, 3)).max(1)
    assert 0.5 <= share.min() < 0.7


def test_windows_never_touch_what_is_to_be_avoided(scene):
    avoid = np.zeros((SIDE, SIDE), dtype=bool)
    avoid[150:170] = True
    avoid[:, 60:61] = True
    avoid[0, 0] = avoid[SIDE - 1, SIDE - 1] = True
    found = draw_windows(scene, 500, 24, seed=0, avoid=avoid)
    clean = found.images[np.isfinite(found.images[:, COUNTED]).all((1, 2))]
    corners = corners_of(clean)
    assert not any(avoid[row : row + 24, col : col + 24].any() for row, col in corners)
    assert {126, 170} <= set(corners[:, 0])  # as near as can be
    assert {36, 61} <= set(corners[:, 1])
    with pytest.raises(ImageError, match="no window of 24 pixels with enough data"):
        draw_windows(scene, 10, 24, seed=0, avoid=~avoid)


def test_windows_that_cannot_be_drawn(tmp_path):
    data = np.random.default_rng(0).normal(size=(2, 12, 20))
    with saved(tmp_path, data) as small:
        assert len(draw_windows(small, 50, 12, seed=0)) <= 9
        only = draw_windows(small, 50, 12, seed=0, avoid=np.indices((12, 20))[1] >= 12)
        np.testing.assert_array_equal(only.images, data[None, :, :, :12].astype(np.float32))
        with pytest.raises(ImageError, match="is smaller than a window of 13 pixels"):
            draw_windows(small, 5, 13, seed=0)
    data[:, 2:] = np.nan
    with (
        saved(tmp_path, data) as small,
        pytest.raises(ImageError, match="no window of 12 pixels with enough"),
    ):
        draw_windows(small, 5, 12, seed=0)


@pytest.mark.parametrize(
    ("pixel_m", "stride", "side"),
    [
        ((10, 10), 10, 32),
        ((10, 10), 1, 33),
        ((10, 20), 5, 17),
        ((30, 30), 3, 11),
        ((100, 100), 1, 9),
        ((100, 100), 2, 10),
        ((10, 10), 40, 40),
    ],
)
def test_windows_show_320_m_and_lie_evenly_around_their_cells(pixel_m, stride, side):
    assert window_side(pixel_m, stride) == side


def framed(whole, side: int, stride: int, row: int, col: int) -> np.ndarray:
    """The window around a cell of an image (C, y, x), NaN outside."""
    margin = (side - stride) // 2
    padded = np.pad(whole, ((0, 0), (side, side), (side, side)), constant_values=np.nan)
    top, left = row * stride - margin + side, col * stride - margin + side
    return padded[:, top : top + side, left : left + side]


def places(scene, xy: np.ndarray, stride: int) -> np.ndarray:
    """Rows and columns of cells with these centres."""
    cols, rows = ~scene.geobox.affine * xy.T
    return np.column_stack([rows, cols]) // stride


@pytest.mark.usefixtures("gaps_left")
@pytest.mark.parametrize(("side", "tile"), [(None, 512), (32, 50), (16, 64), (45, 30)])
def test_labelled_windows_lie_around_their_cells_and_have_no_data_outside(
    city, scene, whole, monkeypatch, side, tile
):
    monkeypatch.setattr(windows, "TILE", tile)
    stride = 9 if side == 45 else 10
    found = labelled_windows(scene, city.polygons(40, seed=0), cell_m=10.0 * stride, side=side)
    side = side or 32
    assert found.images.shape[1:] == (4, side, side)
    assert found.stack.text == "sentinel-1:2 sentinel-2:2"
    cells = places(scene, found.xy, stride).astype(int)
    assert (cells.min(0) <= 1).all()
    for image, cell in zip(found.images, cells, strict=True):
        np.testing.assert_array_equal(image, framed(whole, side, stride, *cell))
    rim = cells[:, 0] == 0
    assert rim.any()
    assert np.isnan(found.images[rim, :, : (side - stride) // 2]).all()


def rows_of(samples) -> list[tuple]:
    return sorted(zip(*samples.xy.T, samples.y, samples.item, samples.group, strict=True))


@pytest.mark.parametrize("stride", [10, 3])
def test_the_cells_are_those_of_other_methods(city, scene, stride):
    labels = city.polygons(50, seed=1)
    cells = sample_cells(scene, labels, CellConfig(cell=10.0 * stride))
    found = labelled_windows(scene, labels, cell_m=10.0 * stride)
    assert rows_of(found) == rows_of(cells)
    assert len(found) == len(found.images) > 200


def test_a_cell_counts_where_half_of_its_pixels_have_data(city, scene):
    everywhere = replace(
        city.polygons(1, seed=0), geometry=np.array([shapely.box(*city.grid.boundingbox.bbox)])
    )
    found = labelled_windows(scene, everywhere, cell_m=100)
    there = np.zeros((32, 32), dtype=bool)
    there[tuple(places(scene, found.xy, 10).astype(int).T)] = True
    expected = np.ones((32, 32), dtype=bool)
    expected[5:10, 18:24] = (
        False  # 4 tenths of the last column have data; a half of row 4, 6 tenths of row 10
    )
    np.testing.assert_array_equal(there, expected)


def test_one_label_gives_no_more_cells_than_the_cap(city, scene):
    labels = city.polygons(40, seed=0)
    found = labelled_windows(scene, labels, cell_m=100, side=16)
    capped, same, other = (
        labelled_windows(scene, labels, cell_m=100, side=16, cap=4, seed=s) for s in (0, 0, 1)
    )
    items, counts = np.unique(capped.item, return_counts=True)
    assert counts.max() == 4
    assert set(rows_of(capped)) < set(rows_of(found))
    assert set(items) <= set(found.item)
    assert rows_of(capped) == rows_of(same) != rows_of(other)


def test_labels_without_windows_are_refused(city, scene, tmp_path):
    labels = city.polygons(20, seed=0)
    away = replace(labels, geometry=shapely.transform(labels.geometry, lambda xy: xy + 1e5))
    with pytest.raises(LabelsError, match="No label lies inside the image"):
        labelled_windows(scene, away, cell_m=100)
    with pytest.raises(ImageError, match="smaller than one cell of 5000 m"):
        labelled_windows(scene, labels, cell_m=5000)
    nothing = np.full((1, 40, 40), np.nan)
    nothing[0, 30:, 30:] = 1
    label = replace(
        labels.subset([0]), geometry=np.array([shapely.box(5e5, 5e6 + 200, 5e5 + 200, 5e6 + 400)])
    )
    label = replace(label, crs=scene.geobox.crs)
    with (
        saved(tmp_path, nothing, scene.geobox.crs) as empty,
        pytest.raises(ImageError, match="no data under any label"),
    ):
        labelled_windows(empty, label, cell_m=100)


def test_gaps_at_the_rim_are_filled_from_the_window(scene, whole):
    drawn = draw_windows(scene, 400, 24, seed=4).images
    known = np.isfinite(drawn).mean((2, 3))
    assert set(np.unique(known)) == {0.0, 1.0}  # a band is there or missing, never in part
    assert np.nanmin(drawn[:, COUNTED]) >= np.nanmin(whole[COUNTED])
