"""The simulated lake: its truth comes from geometry, its images show it."""

import numpy as np
import pytest
import shapely

from jido.data.lakes import BANDS, Bowl, simulate_lake
from jido.geo.indices import mndwi, ndwi


@pytest.fixture(scope="module")
def lake():
    return simulate_lake(3, pixels=96, years=4, cloud=0.1)


def test_bowl_by_hand():
    plain = Bowl(100.0, np.zeros(5), np.zeros(5), depth_m=8.0, power=2.0)
    assert plain.area_m2 == pytest.approx(np.pi * 1e4)
    assert plain.volume_m3(plain.area_m2) == pytest.approx(np.pi * 1e4 * 8 / 2)  # half of the cylinder
    cone = Bowl(100.0, np.zeros(5), np.zeros(5), depth_m=9.0, power=1.0)
    assert cone.volume_m3(cone.area_m2) == pytest.approx(np.pi * 1e4 * 9 / 3)
    # a quarter of the area: half as wide, so a quarter as deep in a paraboloid
    assert plain.volume_m3(plain.area_m2 / 4) == pytest.approx(np.pi * 1e4 / 4 * 2 / 2)
    # r = 1 + a cos 2t: half the integral of r² is pi (1 + a² / 2)
    wavy = Bowl(1.0, np.array([0.4]), np.array([0.7]), 1.0, 2.0)
    assert wavy.area_m2 == pytest.approx(np.pi * 1.08)
    assert wavy.radius(np.array([-0.35])) == pytest.approx([1.4])


def test_area_and_volume_agree_with_counting(lake):
    """A count of fine squares and a sum of depths, which the truth knows nothing of."""
    step = 2.0
    left, bottom, right, top = lake.grid.boundingbox.bbox
    x, y = np.meshgrid(np.arange(left, right, step) + step / 2, np.arange(bottom, top, step) + step / 2)
    x, y = x - (left + right) / 2, y - (bottom + top) / 2
    u = np.hypot(x, y) / lake.bowl.radius(np.arctan2(y, x))
    assert np.count_nonzero(u < 1) * step**2 == pytest.approx(lake.bowl.area_m2, rel=1e-3)
    for date in (0, len(lake.dates) - 1):
        stand = np.sqrt(lake.area_m2[date] / lake.bowl.area_m2)
        depth = lake.bowl.depth_m * np.maximum(stand**2 - u**2, 0)
        assert np.count_nonzero(depth) * step**2 == pytest.approx(lake.area_m2[date], rel=1e-3)
        assert depth.sum() * step**2 == pytest.approx(lake.volume_m3[date], rel=1e-3)
        assert lake.outline(date).area == pytest.approx(lake.area_m2[date], rel=1e-3)
    assert lake.outline().area == pytest.approx(lake.bowl.area_m2, rel=1e-3)
    area, volume = lake.hypsometry()
    assert area[0] == volume[0] == 0
    np.testing.assert_allclose(np.interp(lake.area_m2, area, volume), lake.volume_m3, rtol=2e-3)


def test_pixels_hold_the_true_share_of_water(lake):
    for date in (0, 20):
        share = lake.water(date)
        assert share.sum() * 100 == pytest.approx(lake.area_m2[date], rel=2e-4)
        mixed = (share > 0) & (share < 1)
        around = lake.outline(date).length / 10
        assert around < mixed.sum() < 2 * around
        # the shore runs through the mixed pixels and through no other
        row, col = np.nonzero(mixed)
        x, y = lake.grid.affine * (np.stack([col, row]) + 0.5)
        far = shapely.distance(shapely.points(x, y), lake.outline(date).exterior)
        assert far.max() < 10 * np.sqrt(0.5) + 0.1
        # and leaves as much of each as the outline cuts off, on the left shore as on the right
        boxes = shapely.box(x - 5, y - 5, x + 5, y + 5)
        off = share[mixed] - shapely.area(shapely.intersection(boxes, lake.outline(date))) / 100
        assert np.abs(off).max() < 0.03
        left = col < share.shape[1] / 2
        assert max(abs(off[left].mean()), abs(off[~left].mean())) < 0.004


def test_image(lake):
    image = lake.image(5)
    assert image.names == BANDS
    common = ("blue", "green", "red", "nir", "swir16", "swir22")
    assert tuple(band.common_name for band in image.bands) == common
    assert {band.unit for band in image.bands} == {"reflectance"}
    assert image.geobox == lake.grid
    hidden = lake.clouds(5)
    assert (np.isnan(image.data) == hidden).all()
    seen = image.data[:, ~hidden]
    assert (seen > 0).all()
    assert (seen < 0.7).all()


def test_water_can_be_told_from_land_but_the_shore_is_mixed():
    lake = simulate_lake(8, pixels=128, years=2, cloud=0.0)
    for date in (0, 23):
        image, share = lake.image(date), lake.water(date)
        index = mndwi(image.band("green"), image.band("swir16"))
        assert (index > 0).sum() * 100 == pytest.approx(lake.area_m2[date], rel=0.02)
        assert (index[share == 0] > 0).mean() < 0.001
        assert (index[share == 1] < 0).mean() < 0.02
        # near infrared sees the bed through shallow water: too little of it
        shallow = (ndwi(image.band("green"), image.band("nir")) > 0).sum() * 100
        assert 0.94 < shallow / lake.area_m2[date] < 0.995


def test_noise_of_neighbours_is_alike():
    lake = simulate_lake(8, pixels=128, years=1, cloud=0.0)
    deep = lake.image(0).data[1][54:74, 54:74]
    apart = deep - deep.mean()
    assert 0.3 < (apart[:, 1:] * apart[:, :-1]).mean() / apart.var() < 0.95
    assert abs((apart[:, 8:] * apart[:, :-8]).mean() / apart.var()) < 0.3


def test_clouds_hide_what_they_are_said_to():
    shares = np.linspace(0, 1, 24)
    lake = simulate_lake(1, pixels=64, years=2, cloud=shares.tolist())
    for date in (0, 7, 23):
        assert lake.clouds(date).mean() == pytest.approx(shares[date], abs=1 / 64**2)
    half = lake.clouds(12)
    assert (half[:, 1:] != half[:, :-1]).mean() < 0.15  # in pieces, no salt and pepper
    assert 0.2 < (lake.clouds(11) & half).mean() / half.mean() < 0.8  # other places on another date
    assert np.isnan(lake.image(23).data).all()


def test_it_shrinks_and_has_seasons():
    lake = simulate_lake(2, years=8, trend=-0.06, season=0.08)
    assert (np.diff(lake.dates) > np.timedelta64(0)).all()
    year = lake.dates.astype("datetime64[Y]")
    means = np.array([lake.area_m2[year == one].mean() for one in np.unique(year)])
    assert means[-1] / means[0] == pytest.approx(1 - 7 * 0.06, abs=0.12)
    month = lake.dates.astype("datetime64[M]").astype(int) % 12
    within = lake.area_m2 / means[(year - year[0]).astype(int)]
    assert within[(month >= 3) & (month <= 5)].mean() > within[(month >= 9) & (month <= 11)].mean() + 0.06
    steady = simulate_lake(2, trend=0.0, season=0.0, years=3)
    assert len(np.unique(steady.area_m2.round(3))) == 3  # only the weather of the year is left


def test_seed_decides_everything_and_order_nothing():
    one, two = (simulate_lake(7, pixels=64, years=1) for _ in range(2))
    first = one.image(3).data
    two.image(9)
    np.testing.assert_array_equal(two.image(3).data, first)
    np.testing.assert_array_equal(one.area_m2, two.area_m2)
    other = simulate_lake(6, pixels=64, years=1)
    assert not np.isclose(other.area_m2, one.area_m2).any()
    assert other.grid.crs != one.grid.crs


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pixels": 32}, "at least 64 x 64"),
        ({"dates_a_year": 0}, "1 to 120 dates"),
        ({"years": 0}, "1 year or more"),
        ({"cloud": 1.2}, "0 to 1, not 1.2"),
        ({"depth_m": 0.0}, "above 0"),
        ({"cloud": [0.1, 0.2]}, "72 dates have 2 shares"),
    ],
)
def test_bad_arguments_are_refused_in_words(given, says):
    with pytest.raises(ValueError, match=says):
        simulate_lake(0, **given)
