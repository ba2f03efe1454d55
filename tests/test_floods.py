"""The simulated floods: water follows the ground, pictures show it, and it is hard in the right way."""

from datetime import date

import numpy as np
import pytest
import rasterio
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingClassifier

from jido.data.flood_images import Day, covers_on, settle
from jido.data.flood_water import KINDS, filled, rise
from jido.data.floods import FLOODS, damage_scheme, simulate_flood, write_flood
from jido.data.surfaces import ROOFS, SURFACES, covers_of
from jido.geo.indices import mndwi, ndvi
from jido.io import Scene, read_image, read_target
from jido.io.dates import image_day
from jido.labels import binary_scheme

NAMES = ("river-1", "flash-1", "coast-1", "rain-1", "river-2", "coast-2")


@pytest.fixture(scope="module")
def floods():
    return [simulate_flood(FLOODS[name], cells=32) for name in NAMES]


def blown_up(cells: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(cells, 10, axis=0), 10, axis=1)


def iou(said: np.ndarray, truth: np.ndarray) -> float:
    return float((said & truth).sum() / (said | truth).sum())


def index(image) -> np.ndarray:
    return mndwi(image.band("B03"), image.band("B11"))


# --- contracts ------------------------------------------------------------------------------------


def test_parts_fit_each_other(floods):
    for flood in floods:
        planes = (flood.before, flood.after, flood.radar_before, flood.radar_after)
        assert {image.geobox for image in planes} == {flood.after.geobox}
        assert flood.before.bands == flood.after.bands
        assert flood.after.names[:4] == ("B02", "B03", "B04", "B05")
        assert flood.radar_after.names == ("VV", "VH")
        assert all(np.isfinite(image.data).all() for image in planes)
        assert 0 < flood.after.data.min() < flood.after.data.max() <= 1
        assert -45 < flood.radar_after.data.min() < flood.radar_after.data.max() < 25
        grids = (
            flood.terrain_m,
            flood.depth_m,
            flood.buildings,
            flood.flooded,
            flood.water_before,
            flood.damage,
        )
        kinds = [np.dtype(name) for name in ("f4", "f4", "f4", "?", "?", "u1")]
        assert [plane.dtype for plane in grids] == kinds
        assert {plane.shape for plane in grids} == {(320, 320)}
        assert flood.population.geobox == flood.grid
        assert flood.grid.boundingbox == flood.after.geobox.boundingbox
        assert flood.lcz.shape == (32, 32)
        assert set(np.unique(flood.lcz)) <= set(range(1, 18))
        first, second = (date.fromisoformat(day) for day in flood.dates)
        assert 8 <= (second - first).days <= 180


def test_named_events_are_of_four_kinds_in_places_of_their_own(floods):
    assert len(FLOODS) >= 6
    assert len(set(FLOODS.values())) == len(FLOODS)
    assert {name.split("-")[0] for name in FLOODS} == set(KINDS)
    assert [flood.kind for flood in floods] == [name.split("-")[0] for name in NAMES]
    assert len({str(flood.grid.crs) for flood in floods}) == len(floods)
    assert len({flood.dates for flood in floods}) == len(floods)


def test_same_seed_same_bytes_other_seed_other_flood(floods):
    again = simulate_flood(FLOODS["river-1"], cells=32)
    one, other = floods[0], floods[4]  # both rivers
    for name in ("before", "after", "radar_before", "radar_after", "population"):
        assert getattr(one, name).data.tobytes() == getattr(again, name).data.tobytes()
        assert not np.array_equal(getattr(one, name).data, getattr(other, name).data)
    for name in ("terrain_m", "flooded", "damage", "lcz", "cloud_after"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()
    assert one.dates == again.dates
    assert iou(one.flooded, other.flooded) < 0.5


@pytest.mark.parametrize(("seed", "cells"), [(0, 20), (-1, 32)])
def test_bad_arguments_are_refused_in_words(seed, cells):
    with pytest.raises(ValueError, match=f"at least 32 x 32 cells and a seed from 0, not {cells} and {seed}"):
        simulate_flood(seed, cells=cells)


# --- water ----------------------------------------------------------------------------------------


def test_what_was_water_before_is_not_flooded(floods):
    for flood in floods:
        np.testing.assert_array_equal(flood.flooded, (flood.depth_m > 0) & ~flood.water_before)
        assert 0.02 < flood.flooded.mean() < 0.35
        assert 0.003 < flood.water_before.mean() < 0.35
        # it stays where it was but for its shore
        assert (flood.depth_m[flood.water_before] > 0).mean() > 0.9


def test_water_ends_only_where_the_ground_rises_above_it(floods):
    """The dry ground beside a flooded pixel is not below its water.

    But for what the surface falls in 10 m: 0.12 m in the steepest stream, and where hollows are blended.
    """
    for flood in floods:
        fall = 0.2 if flood.kind == "rain" else 0.13
        surface = flood.terrain_m + flood.depth_m
        for axis in (0, 1):
            for step in (-1, 1):
                ground = np.roll(flood.terrain_m, step, axis=axis)
                dry = np.roll(flood.depth_m == 0, step, axis=axis)
                edge = flood.flooded & dry
                edge[[0, -1]], edge[:, [0, -1]] = False, False  # np.roll wraps
                assert edge.sum() > 20
                assert (ground[edge] >= surface[edge] - fall).all()


def test_water_came_from_the_river_or_the_sea_but_for_rain(floods):
    for flood in floods:
        number, n = ndimage.label(flood.depth_m > 0)
        fed = np.isin(number, np.unique(number[flood.water_before]))
        if flood.kind == "rain":
            assert n > 10
            assert (flood.flooded & ~fed).sum() > 0.2 * flood.flooded.sum()
        else:
            assert not (flood.flooded & ~fed).any()


def test_low_ground_is_flooded_first(floods):
    for flood in floods:
        land = ~flood.water_before
        if flood.kind == "coast":  # one datum everywhere
            assert np.median(flood.terrain_m[flood.flooded]) < np.quantile(flood.terrain_m[land], 0.3)
        around = ndimage.uniform_filter(flood.terrain_m, 61)
        below = flood.terrain_m - around
        assert np.median(below[flood.flooded]) < np.median(below[land & ~flood.flooded])


def test_hollows_fill_to_the_lowest_way_out():
    # squares of 5 pixels; a hollow of 1 in the middle, walled by 9 but for a gap of 4, on a plain of 2
    squares = np.full((7, 7), 2.0, dtype=np.float32)
    squares[2:5, 2:5] = 9
    squares[3, 3], squares[3, 4] = 1, 4
    full = filled(np.kron(squares, np.ones((5, 5), dtype=np.float32)))[2::5, 2::5]  # middles of squares
    expected = squares.copy()
    expected[3, 3] = 4
    np.testing.assert_allclose(full, expected, atol=1e-5)


def test_covers_of_a_day_add_up_to_one_and_roofs_stand_out_of_the_water():
    rng = np.random.default_rng(0)
    water = rise(rng, "river", 320)
    land = np.full((32, 32), 6, dtype=np.uint8)
    land[:, :16] = 14
    covers, height = covers_of(rng, land)
    place = settle(rng, covers, height, land, water.terrain_m)
    half = np.full((320, 320), 0.5, dtype=np.float32)
    usual = water.before_m > 0
    day = Day(200, usual, water.after_m, water.event, half, np.zeros_like(half), 0.5, 0.4)
    found = covers_on(rng, place, day)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)
    assert found.min() > -1e-5
    deep = ndimage.binary_erosion((water.after_m > 0.6) & ~usual, iterations=2)
    np.testing.assert_allclose(found[ROOFS][:, deep], covers[ROOFS][:, deep], atol=0.02)
    for name in ("asphalt", "soil", "grass"):
        assert found[SURFACES.index(name)][deep].max() < 0.05
    assert found[-1][deep & blown_up(land == 14)].mean() > 0.7  # the last surface is flood water
    assert found[-1][water.after_m == 0].mean() < 0.02


# --- images ---------------------------------------------------------------------------------------


def test_water_shows_on_open_land_and_not_elsewhere(floods):
    for flood in floods:
        seen = ~flood.cloud_before & ~flood.cloud_after
        low = blown_up(np.isin(flood.lcz, (14, 16))) & seen
        change = index(flood.after) - index(flood.before)
        under, dry = (low & flood.flooded & (flood.depth_m > 0.5)), low & ~flood.flooded & ~flood.water_before
        if under.sum() > 200:
            assert np.median(change[under]) > np.median(change[dry]) + 0.3
        always = flood.water_before & (flood.depth_m > 0.5) & seen
        assert np.median(index(flood.after)[always]) > 0.2
        assert np.median(index(flood.before)[always]) > 0.2


def test_radar_darkens_on_fields_and_brightens_between_walls(floods):
    fields, walls = [], []
    for flood in floods:
        change = flood.radar_after.band("VV") - flood.radar_before.band("VV")
        deep = flood.flooded & (flood.depth_m > 0.5)
        fields.append(change[deep & blown_up(np.isin(flood.lcz, (14, 16)))])
        walls.append(change[deep & (flood.buildings > 0.4) & (flood.damage <= 2)])  # they stand
    assert np.median(np.concatenate(fields)) < -2
    assert np.median(np.concatenate(walls)) > 0.5


def test_season_light_and_haze_differ_between_dates(floods):
    grown, darkest = [], []
    for flood in floods:
        dry = ~flood.flooded & ~flood.water_before & ~flood.cloud_before & ~flood.cloud_after
        fields = dry & blown_up(flood.lcz == 14)
        before, after = (ndvi(image.band("B08"), image.band("B04")) for image in (flood.before, flood.after))
        grown.append(np.abs(after - before)[fields].mean())
        darkest.append(
            np.quantile(flood.after.band("B02"), 0.01) - np.quantile(flood.before.band("B02"), 0.01)
        )
    assert np.mean(grown) > 0.1
    assert np.max(np.abs(darkest)) > 0.005


def test_clouds_are_bright_and_on_some_dates_only(floods):
    share = np.array([(flood.cloud_before.mean(), flood.cloud_after.mean()) for flood in floods])
    assert (share == 0).any()
    assert 0.01 < share.max() < 0.1
    for flood in floods:
        if flood.cloud_after.any():
            assert np.median(flood.after.band("B04")[flood.cloud_after]) > 0.3


# --- hard in the right way ------------------------------------------------------------------------


def test_an_index_after_the_event_is_mediocre_and_its_change_is_better(floods):
    alone, change = [], []
    for flood in floods:
        after = index(flood.after)
        both = after - index(flood.before)
        alone.append(max(iou(after > cut, flood.flooded) for cut in np.arange(-0.4, 0.45, 0.05)))
        change.append(max(iou(both > cut, flood.flooded) for cut in np.arange(0, 0.8, 0.05)))
    assert 0.2 < np.mean(alone) < 0.6
    assert np.mean(change) > np.mean(alone) + 0.05


def test_before_helps_and_events_differ(floods):
    """IoU of pixel boosting: both dates beat the later one; an event left out is harder than mixed ones."""
    rng = np.random.default_rng(0)
    draws = [rng.permutation(flood.flooded.size)[:8000] for flood in floods]
    truth = [flood.flooded.ravel()[draw] for flood, draw in zip(floods, draws, strict=True)]
    after = [flood.after.data.reshape(10, -1).T[draw] for flood, draw in zip(floods, draws, strict=True)]
    before = [flood.before.data.reshape(10, -1).T[draw] for flood, draw in zip(floods, draws, strict=True)]
    both = [np.hstack([a, b, a - b]) for a, b in zip(after, before, strict=True)]
    half = slice(None, 4000), slice(4000, None)

    def score(x, train, test):
        model = HistGradientBoostingClassifier(max_iter=40, random_state=0)
        model.fit(
            np.concatenate([x[i][half[0]] for i in train]), np.concatenate([truth[i][half[0]] for i in train])
        )
        return [iou(model.predict(x[i][half[1]]), truth[i][half[1]]) for i in test]

    everything = range(len(floods))
    mixed = {name: score(x, everything, everything) for name, x in (("after", after), ("both", both))}
    out = [score(both, [j for j in everything if j != i], [i])[0] for i in everything]
    assert np.mean(mixed["both"]) > np.mean(mixed["after"]) + 0.03
    assert 0.5 < np.mean(mixed["both"]) < 0.93
    assert np.mean(out) < np.mean(mixed["both"]) - 0.08
    assert np.mean(out) > 0.25  # harder, not another world


# --- damage and people ----------------------------------------------------------------------------


def test_damage_follows_the_water_and_the_building(floods):
    deeper, hit = [], np.zeros(5)
    for flood in floods:
        assert set(np.unique(flood.damage)) <= set(range(5))
        np.testing.assert_array_equal(flood.damage > 0, flood.buildings >= 0.15)
        far = ndimage.distance_transform_edt(flood.depth_m == 0) > 25
        assert (flood.damage[far & (flood.damage > 0)] == 1).mean() > 0.95
        wet = flood.flooded & (flood.damage > 0)
        deeper.append([flood.depth_m[wet & (flood.damage == code)].mean() for code in (1, 3)])
        hit += np.bincount(flood.damage.ravel(), minlength=5)
    shallow, deep = np.nanmean(deeper, axis=0)
    assert deep > 1.5 * shallow
    assert (hit > 0).all()
    assert hit[1] > hit[2] > hit[3] > hit[4]


def test_people_live_where_buildings_are(floods):
    for flood in floods:
        people = flood.population.band("population")
        built = flood.buildings.reshape(32, 10, 32, 10).sum(axis=(1, 3))
        assert (people == people.round()).all()
        assert people[built == 0].sum() == 0
        assert 1_500 < people.sum() / 10.24 < 40_000  # to the km²
        assert np.corrcoef(people.ravel(), built.ravel())[0, 1] > 0.4


# --- files ----------------------------------------------------------------------------------------


def test_files_tell_their_day_and_fit_together(floods, tmp_path):
    flood = floods[2]
    paths = write_flood(flood, tmp_path)
    assert [path.name.split("_2")[0] for path in paths.values()] == list(paths)
    assert [image_day(paths[word]) for word in ("before", "after")] == list(flood.dates)
    assert image_day(paths["radar_before"]) == flood.dates[0]
    with Scene([paths["before"], paths["after"]]) as pair:
        assert pair.geobox == flood.after.geobox
        assert [band.name for band in pair.bands][::10] == ["B02@1", "B02@2"]
        read = pair.read()
    np.testing.assert_array_equal(read.data[10:], flood.after.data)
    assert {band.unit for band in read.bands} == {"reflectance"}
    np.testing.assert_array_equal(read_image(paths["population"]).data, flood.population.data)
    with rasterio.open(paths["flooded"]) as file:
        np.testing.assert_array_equal(file.read(1) == binary_scheme("flooded").codes[1], flood.flooded)
    assert read_target(paths["flooded"], binary_scheme("flooded")) is None  # it tells both classes
    with rasterio.open(paths["damage"]) as file:
        np.testing.assert_array_equal(file.read(1), flood.damage)
        assert file.colormap(1)[4][:3] == (0xB5, 0x20, 0x2A)
    assert damage_scheme().codes == (1, 2, 3, 4)
