"""The simulated city: its contracts, its physics, and that it is hard in the right way."""

from typing import NamedTuple

import numpy as np
import pytest
import shapely
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from jido.data.synthetic import City, simulate_city
from jido.errors import LabelsError
from jido.geo import Raster
from jido.geo.indices import ndvi
from jido.labels import Folds, few_labels, group_kfold, random_pixels_leaking

SEEDS = (0, 4)


class Samples(NamedTuple):
    radar: np.ndarray  # (n, features)
    optical: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    @property
    def both(self):
        return np.hstack([self.radar, self.optical])


@pytest.fixture(scope="module")
def town() -> City:
    return simulate_city(5, cells=48)


@pytest.fixture(scope="module")
def cities() -> list[City]:
    return [simulate_city(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def samples(cities) -> list[Samples]:
    return [sampled(city) for city in cities]


def features(raster: Raster) -> np.ndarray:
    """Mean and deviation of each band in a 100 m cell, mean of the 3x3 cells around: (F, Y, X)."""
    bands, height, width = raster.data.shape
    blocks = raster.data.reshape(bands, height // 10, 10, width // 10, 10)
    mean = blocks.mean(axis=(2, 4))
    around = np.stack([ndimage.uniform_filter(plane, 3) for plane in mean])
    return np.concatenate([mean, blocks.std(axis=(2, 4)), around])


def sampled(city: City) -> Samples:
    burned = city.polygons(150, seed=0).burn(city.grid)
    here = burned.item >= 0
    return Samples(
        features(city.radar)[:, here].T,
        features(city.optical)[:, here].T,
        burned.codes[here],
        burned.item[here],
    )


def hits(x, y, train, test) -> np.ndarray:
    forest = RandomForestClassifier(60, max_features="sqrt", n_jobs=2, random_state=0)
    return forest.fit(x[train], y[train]).predict(x[test]) == y[test]


def overall_accuracy(x: np.ndarray, y: np.ndarray, folds: Folds) -> float:
    return float(np.concatenate([hits(x, y, train, test) for train, test in folds]).mean())


# --- contracts ------------------------------------------------------------------------------------


def test_rasters_truth_and_grid_fit_each_other(town):
    assert town.radar.names == ("VV", "VH")
    assert town.optical.names == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert {band.unit for band in town.radar.bands} == {"dB"}
    assert {band.unit for band in town.optical.bands} == {"reflectance"}
    assert town.radar.data.shape == (2, 480, 480)
    assert town.radar.geobox == town.optical.geobox
    assert np.isfinite(town.radar.data).all()
    assert np.isfinite(town.optical.data).all()
    assert 0 < town.optical.data.min() < town.optical.data.max() <= 1
    assert -45 < town.radar.data.min() < town.radar.data.max() < 20
    assert town.lcz.shape == tuple(town.grid.shape) == (48, 48)
    assert town.lcz.dtype == np.uint8
    assert set(np.unique(town.lcz)) <= set(range(1, 18))
    assert town.grid.boundingbox == town.optical.geobox.boundingbox
    assert (town.grid.resolution.x, town.optical.geobox.resolution.x) == (100, 10)


def test_same_seed_same_city_other_seed_other_city(town):
    again, other = simulate_city(5, cells=48), simulate_city(6, cells=48)
    for name in ("radar", "optical"):
        assert np.array_equal(getattr(town, name).data, getattr(again, name).data)
        assert not np.array_equal(getattr(town, name).data, getattr(other, name).data)
    assert np.array_equal(town.lcz, again.lcz)
    assert (town.lcz != other.lcz).mean() > 0.5
    assert town.grid.crs != other.grid.crs


def test_a_city_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 32"):
        simulate_city(0, cells=20)


def test_most_classes_live_in_a_city(cities):
    for city in cities:
        codes, count = np.unique(city.lcz, return_counts=True)
        assert 13 <= (count >= 150).sum() <= 16
        assert {2, 3, 5, 6, 11, 12, 14, 17} <= set(codes)


def test_compact_zones_are_more_urban_than_open_ones(cities):
    for city in cities:
        near = [ndimage.uniform_filter((city.lcz == code) * 1.0, 21) for code in range(1, 11)]
        built = np.sum(near, axis=0)
        means = [built[np.isin(city.lcz, zone)].mean() for zone in ((1, 2, 3), (5, 6), (11, 12, 14))]
        assert means[0] > means[1] > means[2]


# --- polygons -------------------------------------------------------------------------------------


def test_polygons_are_pure_disjoint_and_of_human_size(cities):
    city = cities[0]
    drawn = city.polygons(150, seed=3)
    burned = city.polygons(150, seed=3).burn(city.grid)
    assert len(drawn) == len(set(drawn.groups.tolist())) == 150
    assert drawn.crs == city.grid.crs
    area = shapely.area(drawn.geometry)
    for i, code in enumerate(drawn.codes):
        mine = burned.item == i
        assert 5 <= mine.sum() <= 60
        assert area[i] == pytest.approx(mine.sum() * 100**2)  # nothing overlapped it in the burn
        assert (city.lcz[mine] == code).mean() >= 0.9
        assert drawn.geometry[i].geom_type == "Polygon"
    assert shapely.area(shapely.union_all(drawn.geometry)) == pytest.approx(area.sum())
    assert np.mean(area / shapely.area(shapely.envelope(drawn.geometry))) < 0.85  # blobs, no boxes


def test_classes_get_equal_numbers(cities):
    for city in cities:
        _, count = np.unique(city.polygons(150, seed=1).codes, return_counts=True)
        assert count.min() >= 8
        assert count.max() <= 12


def test_polygons_are_seeded(town):
    first, again, other = (town.polygons(30, seed=s) for s in (1, 1, 2))
    assert shapely.equals(first.geometry, again.geometry).all()
    assert np.array_equal(first.codes, again.codes)
    assert not shapely.equals(first.geometry, other.geometry).any()


def test_three_of_each_class_or_none(town):
    drawn = town.polygons(60, seed=0)
    _, count = np.unique(drawn.codes, return_counts=True)
    assert count.min() >= 3
    assert len(count) >= 10


def test_new_polygons_of_the_same_city_avoid_the_first(cities):
    city = cities[1]
    first = city.polygons(150, seed=0)
    new = city.polygons(300, seed=1, avoid=first)
    both = shapely.union_all(np.concatenate([first.geometry, new.geometry]))
    parts = shapely.area(first.geometry).sum() + shapely.area(new.geometry).sum()
    assert shapely.area(both) == pytest.approx(parts)
    assert set(new.codes) == set(first.codes)
    # the same procedure: polygons as large as those of the first draw
    assert shapely.area(new.geometry).mean() == pytest.approx(shapely.area(first.geometry).mean(), rel=0.15)


def test_avoid_may_be_in_another_crs(town):
    first = town.polygons(20, seed=0)
    new = town.polygons(20, seed=0, avoid=first.to_crs(type(first.crs)("EPSG:4326")))
    overlap = shapely.area(shapely.intersection(first.geometry[:, None], new.geometry[None]))
    assert overlap.max() < 1


@pytest.mark.parametrize(("n", "words"), [(0, "At least 1"), (5000, "5000 polygons .* room for")])
def test_a_number_that_cannot_be_drawn_is_refused(town, n, words):
    with pytest.raises(LabelsError, match=words):
        town.polygons(n, seed=0)


# --- physics --------------------------------------------------------------------------------------


def by_class(city: City, plane: np.ndarray, *codes: int) -> float:
    cells = plane.reshape(len(city.lcz), 10, len(city.lcz), 10).mean(axis=(1, 3))
    return float(cells[np.isin(city.lcz, codes)].mean())


def test_vegetation_index_is_ordered_as_in_the_world():
    city = simulate_city(3, cells=64)
    index = ndvi(city.optical.band("B08"), city.optical.band("B04"))
    trees, low, soil, water = (by_class(city, index, code) for code in (11, 14, 16, 17))
    assert trees > low + 0.05 > soil + 0.1 > water + 0.2
    assert by_class(city, index, 6) > by_class(city, index, 3) + 0.05  # open against compact lowrise


def test_water_is_dark_in_the_shortwave_infrared(cities):
    for city in cities:
        swir = city.optical.band("B11")
        assert by_class(city, swir, 17) < 0.05 < 0.1 < by_class(city, swir, 2, 3, 5, 6)


def test_echo_grows_with_buildings(cities):
    for city in cities:
        vv, vh = city.radar.band("VV"), city.radar.band("VH")
        assert by_class(city, vv, 1, 2) > by_class(city, vv, 6) + 2 > by_class(city, vv, 14) + 4
        assert by_class(city, vv, 14) > by_class(city, vv, 17) + 3
        assert by_class(city, vh, 11) > by_class(city, vh, 14) + 3  # volume of crowns
        assert (vh.mean(), vh.std()) < (vv.mean(), 2 * vv.std())


@pytest.mark.parametrize(("image", "band"), [("optical", "B04"), ("optical", "B02"), ("radar", "VV")])
def test_noise_is_correlated_in_space(cities, image, band):
    # open water has no texture: what differs between neighbours is noise
    city = cities[0]
    inside = ndimage.binary_erosion(city.lcz == 17, iterations=2)
    water = np.kron(inside, np.ones((10, 10))) > 0
    plane = getattr(city, image).band(band).astype(np.float64)
    residual = plane - ndimage.uniform_filter(plane, 9)
    pairs = water[:, 1:] & water[:, :-1]
    assert pairs.sum() > 5000
    assert 0.2 < np.corrcoef(residual[:, 1:][pairs], residual[:, :-1][pairs])[0, 1] < 0.95


# --- hard in the right way ------------------------------------------------------------------------


def test_few_labels_give_a_mediocre_map(samples):
    accuracy = []
    for s in samples:
        for seed in range(5):
            train = few_labels(s.groups, s.codes, fraction=0.1, seed=seed)
            accuracy.append(hits(s.both, s.codes, train, ~train).mean())
    assert 0.50 < np.mean(accuracy) < 0.70
    assert 0.40 < min(accuracy) <= max(accuracy) < 0.80


def test_random_pixels_flatter_and_each_sensor_adds(samples):
    gaps, radar, optical, both = [], [], [], []
    for s in samples:
        folds = group_kfold(s.groups, s.codes, k=5, seed=0)
        leaking = random_pixels_leaking(len(s.codes), k=5, seed=0)
        radar.append(overall_accuracy(s.radar, s.codes, folds))
        optical.append(overall_accuracy(s.optical, s.codes, folds))
        both.append(overall_accuracy(s.both, s.codes, folds))
        gaps.append(overall_accuracy(s.both, s.codes, leaking) - both[-1])
    assert np.mean(gaps) >= 0.15
    assert np.mean(radar) + 0.02 < np.mean(optical)
    assert np.mean(optical) + 0.02 < np.mean(both)


def test_another_city_is_harder_than_new_polygons(samples):
    first, second = samples
    shared = np.isin(second.codes, first.codes)  # classes the first city has: only the shift counts
    forest = RandomForestClassifier(60, n_jobs=2, random_state=0).fit(first.both, first.codes)
    elsewhere = (forest.predict(second.both[shared]) == second.codes[shared]).mean()
    folds = group_kfold(first.groups, first.codes, k=5, seed=0)
    at_home = overall_accuracy(first.both, first.codes, folds)
    assert elsewhere < at_home - 0.07
    assert elsewhere > 0.25  # harder, not another world
