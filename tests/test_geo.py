"""Bands, Raster, indices, the lattice, blocks and the size of a pixel."""

import re

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod

from jido.errors import ImageError
from jido.geo import (
    INDICES,
    Band,
    Raster,
    band_table,
    block_mean_sd,
    block_sum,
    coarse_valid,
    coarser,
    identify,
    lattice,
    neighbourhood_mean_sd,
    pixel_size_m,
    scaled,
    unique_names,
)

QUICK = settings(max_examples=60, deadline=None)


def raster(*planes, names=None, crs="EPSG:32649"):
    data = np.array(planes, dtype=np.float32)
    height, width = data.shape[1:]
    box = (500_000, 2_000_000, 500_000 + 10 * width, 2_000_000 + 10 * height)
    bands = identify(names or [f"x{i}" for i in range(len(data))])
    return Raster(data, bands, GeoBox.from_bbox(box, crs, shape=(height, width), tight=True))


# -- bands -------------------------------------------------------------------------------------


def test_table_has_one_row_per_band_of_a_sensor():
    rows = band_table()
    assert len({(b.sensor, b.name) for b in rows}) == len(rows)
    for sensor in ("sentinel-2", "landsat-8", "aerial"):
        common = [b.common_name for b in rows if b.sensor == sensor]
        assert "" not in common
        assert len(set(common)) == len(common)
    assert all(b.valid_range[0] < b.valid_range[1] for b in rows)
    for sensor in ("sentinel-2", "landsat-8"):
        reflective = {b.common_name: b.wavelength_nm for b in rows if b.sensor == sensor}
        ordered = [reflective[n] for n in ("coastal", "blue", "green", "red", "nir", "swir16", "swir22")]
        assert ordered == sorted(ordered)


S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
LANDSAT = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B10", "B11"]


@pytest.mark.parametrize(
    ("names", "sensor", "common"),
    [
        (S2, "sentinel-2", "blue green red rededge071 rededge075 rededge078 nir nir08 swir16 swir22"),
        (
            [n.replace("B0", "B") for n in S2],
            "sentinel-2",
            "blue green red rededge071 rededge075 rededge078 nir nir08 swir16 swir22",
        ),
        (LANDSAT, "landsat-8", "coastal blue green red nir swir16 swir22 lwir11 lwir12"),
        (["B4", "B5"], "landsat-8", "red nir"),
        (
            [f"B{i}" for i in range(1, 12)],
            "landsat-8",
            "coastal blue green red nir swir16 swir22 pan cirrus lwir11 lwir12",
        ),
        (["B04", "B05"], "sentinel-2", "red rededge071"),
        (["B2", "B3", "B4", "B8"], "sentinel-2", "blue green red nir"),  # the bands of 10 m
        (["B8", "B4"], "sentinel-2", "nir red"),
        (["B4", "B8", "B12"], "sentinel-2", "red nir swir22"),
        (["b02", "b8a"], "sentinel-2", "blue nir08"),
        ([" vv", "VH "], "sentinel-1", None),
        (["red", "green", "blue"], "aerial", "red green blue"),
        (["Red", "Green", "Blue", "NIR"], "aerial", "red green blue nir"),
    ],
)
def test_identify_knows_the_sensor(names, sensor, common):
    bands = identify(names)
    assert [b.name for b in bands] == names  # as the user wrote them
    assert {b.sensor for b in bands} == {sensor}
    if common:
        assert [b.common_name for b in bands] == common.split()


@pytest.mark.parametrize(
    "names", [["band1"], ["B2", "elevation"], ["B13"], ["B02", "elevation"], [""], ["B"], []]
)
def test_identify_keeps_unknown_names(names):
    assert identify(names) == tuple(Band(name) for name in names)


def test_radar_and_optical_bands_of_one_file_are_told_apart():
    bands = identify(["VV", "B02", "B08", "VH"])
    assert [b.sensor for b in bands] == ["sentinel-1", "sentinel-2", "sentinel-2", "sentinel-1"]


@pytest.mark.parametrize(
    "names", [["B2", "B3", "B4", "B8", "B11"], ["B2", "B3", "B4", "B5", "B6", "B7", "B8"]]
)
def test_a_band_8_or_11_without_10_is_sentinel_2(names):
    assert {b.sensor for b in identify(names)} == {"sentinel-2"}


def test_unique_names():
    one, two = identify(["VV", "VH"]), identify(["B02", "B03"])
    assert unique_names([one, two]) == one + two
    stacked = unique_names([two, one, identify(["B02"])])
    assert [b.name for b in stacked] == ["B02@1", "B03@1", "VV@2", "VH@2", "B02@3"]
    assert stacked[4].common_name == "blue"
    assert unique_names([]) == ()


# -- Raster ------------------------------------------------------------------------------------


GRID = GeoBox.from_bbox(
    (500_000, 2_000_000, 500_030, 2_000_020), "EPSG:32649", resolution=10
)  # 2 rows, 3 columns


@pytest.mark.parametrize(
    ("data", "names", "message"),
    [
        (np.zeros((1, 2, 3)), ["a"], "float32 (band, y, x), not float64"),
        (np.zeros((2, 3), np.float32), ["a"], "of shape (2, 3)"),
        (np.zeros((1, 3, 2), np.float32), ["a"], "do not fit a grid of (2, 3)"),
        (np.zeros((2, 2, 3), np.float32), ["a"], "2 planes of data but 1 bands"),
        (np.zeros((2, 2, 3), np.float32), ["a", "a"], "not unique: a, a"),
    ],
)
def test_raster_refuses_what_does_not_fit(data, names, message):
    with pytest.raises(ImageError, match=re.escape(message)):
        Raster(data, tuple(Band(n) for n in names), GRID)


def test_band_by_name_and_by_common_name():
    image = raster([[1]], [[2]], names=["B04", "B08"])
    assert image.band("B08") == image.band("nir") == 2
    with pytest.raises(ImageError, match="no band named 'swir16' among B04, B08"):
        image.band("swir16")
    twice = Raster(image.data, (Band("a", common_name="red"), Band("b", common_name="red")), image.geobox)
    with pytest.raises(ImageError, match="2 bands named 'red'"):
        twice.band("red")


def test_select_takes_the_given_order():
    image = raster([[1]], [[2]], [[3]], names=["a", "b", "c"])
    chosen = image.select(["c", "a"])
    assert chosen.names == ("c", "a")
    assert chosen.data.ravel().tolist() == [3, 1]
    with pytest.raises(ImageError, match="Bands x, y are missing; the image has a, b, c"):
        image.select(["a", "x", "y"])


def test_read_is_a_window_on_its_own_grid():
    image = raster(np.arange(12).reshape(3, 4))
    part = image.read((slice(1, 3), slice(2, 3)))
    assert part.data.tolist() == [[[6], [10]]]
    assert part.geobox.affine * (0, 0) == (500_020, 2_000_020)
    assert part.geobox.crs == image.geobox.crs
    assert np.shares_memory(part.data, image.data)


def test_valid_is_data_in_any_band():
    assert raster([[1, np.nan, np.nan]], [[1, 2, np.nan]]).valid.tolist() == [[True, True, False]]


def test_xarray_round_trip():
    pytest.importorskip("xarray")
    image = raster([[1, np.nan, 3], [4, 5, 6]], [[7, 8, 9], [0, -1, -2]], names=["B04", "B08"])
    array = image.to_xarray()
    assert array.dims[0] == "band"
    assert float(array.x[0]) == 500_005  # centres, not corners
    assert float(array.y[0]) == 2_000_015
    back = Raster.from_xarray(array)
    np.testing.assert_array_equal(back.data, image.data)
    assert back.geobox == image.geobox
    assert back.bands == image.bands
    assert Raster.from_xarray(array.isel(x=slice(1, 3))).geobox == image.geobox[0:2, 1:3]


def test_from_xarray_without_crs_is_refused():
    xarray = pytest.importorskip("xarray")
    with pytest.raises(ImageError, match="no CRS"):
        Raster.from_xarray(xarray.DataArray(np.zeros((1, 2, 3)), dims=("band", "y", "x")))


# -- indices -----------------------------------------------------------------------------------


def planes(**values):
    return {name: np.array([value], dtype=np.float32) for name, value in values.items()}


KNOWN = planes(blue=0.05, green=0.1, red=0.15, nir=0.45, swir16=0.3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ndvi", 0.5), ("ndwi", -0.35 / 0.55), ("mndwi", -0.5), ("ndbi", -0.2), ("bsi", -0.05 / 0.95)],
)
def test_index_by_hand(name, value):
    index = INDICES[name]
    result = index.function(*(KNOWN[band] for band in index.bands))
    np.testing.assert_allclose(result, [value], rtol=1e-6)
    assert result.dtype == np.float32


SUMS = ("awei_sh", "awei_nsh", "fdi", "fdi_740")
"""Weighted sums of reflectance: 0 of nothing, and no index of counts (tests/test_water.py)."""


@pytest.mark.parametrize("name", INDICES)
def test_index_of_nothing_is_nothing(name):
    index = INDICES[name]
    n = len(index.bands)
    of_zeros = index.function(*[np.zeros((2, 3), np.float32)] * n)
    assert (of_zeros == 0).all() if name in SUMS else np.isnan(of_zeros).all()
    for i in range(n):
        given = [np.full(2, 0.2, np.float32) for _ in range(n)]
        given[i][0] = np.nan
        assert np.isnan(index.function(*given)).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64])
def test_whole_numbers_do_not_wrap_around(dtype):
    low, high = np.array([50, 0], dtype), np.array([250, 0], dtype)
    for name, index in INDICES.items():
        if name in SUMS:
            continue
        first = index.function(*([low] * (len(index.bands) // 2) + [high] * (len(index.bands) // 2)))
        np.testing.assert_allclose(first, [-2 / 3, np.nan], rtol=1e-6, err_msg=name)


def test_a_sum_of_zero_has_no_index():
    a = np.array([0.1, -0.1, 0.1], np.float32)  # over-corrected reflectance can be negative
    np.testing.assert_array_equal(INDICES["ndvi"].function(a, -a), np.nan)


def test_index_arguments_are_common_names():
    common = {b.common_name for b in band_table()}
    assert all(set(index.bands) <= common for index in INDICES.values())


# -- lattice -----------------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 50), st.integers(0, 12))
@QUICK
def test_cores_tile_the_scene_once(shape, tile, halo):
    scene = np.arange(shape[0] * shape[1]).reshape(shape)
    times = np.zeros(shape, dtype=int)
    for one in lattice(shape, tile=tile, halo=halo):
        times[one.core] += 1
        np.testing.assert_array_equal(scene[one.read][one.inner], scene[one.core])
        for core, read, size in zip(one.core, one.read, shape, strict=True):
            assert core.start % tile == 0
            assert 0 < core.stop - core.start <= tile
            assert read.start == max(core.start - halo, 0)
            assert read.stop == min(core.stop + halo, size)
    assert (times == 1).all()


def test_lattice_runs_row_by_row():
    corners = [(t.core[0].start, t.core[1].start) for t in lattice((5, 5), tile=3)]
    assert corners == [(0, 0), (0, 3), (3, 0), (3, 3)]
    assert next(lattice((1, 1), tile=9, halo=9)).read == (slice(0, 1), slice(0, 1))
    assert list(lattice((0, 4), tile=2)) == []


@pytest.mark.parametrize(("tile", "halo"), [(0, 0), (-1, 0), (1, -1)])
def test_lattice_refuses_nonsense(tile, halo):
    with pytest.raises(ValueError, match="tile must be"):
        next(lattice((4, 4), tile=tile, halo=halo))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
@QUICK
def test_scaled_windows_are_those_of_the_cells(stride, cells, tile, halo):
    shape = (cells * stride, (cells + 1) * stride)
    fine = lattice(shape, tile=tile * stride, halo=halo * stride)
    coarse = lattice((cells, cells + 1), tile=tile, halo=halo)
    for a, b in zip(fine, coarse, strict=True):
        assert (scaled(a.core, stride), scaled(a.read, stride), scaled(a.inner, stride)) == (
            b.core,
            b.read,
            b.inner,
        )


# -- blocks ------------------------------------------------------------------------------------


def gappy(seed, shape, gaps=0.3):
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 10, shape).astype(np.float32)
    data[rng.random(shape) < gaps] = np.nan
    return data


def moments(values):
    """Mean and spread of the finite values by definition, in float64."""
    values = values[np.isfinite(values)].astype(np.float64)
    return (values.mean(), values.std()) if len(values) else (np.nan, np.nan)


@given(
    st.integers(0, 99),
    st.integers(1, 5),
    st.integers(0, 17),
    st.integers(0, 17),
    st.sampled_from([0.0, 0.3, 0.9]),
)
@QUICK
def test_blocks_by_definition(seed, size, height, width, gaps):
    data = gappy(seed, (2, height, width), gaps)
    mean, sd = block_mean_sd(data, size)
    assert mean.shape == sd.shape == (2, height // size, width // size)
    assert mean.dtype == sd.dtype == np.float32
    total = block_sum(np.nan_to_num(data), size)
    valid = coarse_valid(np.isfinite(data[0]), size)
    for c, y, x in np.ndindex(mean.shape):
        block = data[c, y * size : (y + 1) * size, x * size : (x + 1) * size]
        np.testing.assert_allclose([mean[c, y, x], sd[c, y, x]], moments(block), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(total[c, y, x], np.nansum(block, dtype=np.float64), rtol=1e-9)
        if c == 0:
            assert valid[y, x] == (np.isfinite(block).mean() >= 0.5)


@given(st.integers(0, 99), st.integers(0, 4), st.integers(1, 12), st.integers(1, 12))
@QUICK
def test_neighbourhoods_by_definition(seed, radius, height, width):
    data = gappy(seed, (height, width))
    mean, sd = neighbourhood_mean_sd(data, radius)
    assert mean.dtype == sd.dtype == np.float32
    for y, x in np.ndindex(height, width):
        around = data[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        np.testing.assert_allclose([mean[y, x], sd[y, x]], moments(around), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 9))
@QUICK
def test_a_window_with_halo_gives_the_bits_of_the_whole(seed, radius, tile):
    data = gappy(seed, (23, 31)) * np.float32(1e3)
    whole = neighbourhood_mean_sd(data, radius)
    for one in lattice(data.shape, tile=tile, halo=radius):
        part = neighbourhood_mean_sd(data[one.read], radius)
        for a, b in zip(part, whole, strict=True):
            np.testing.assert_array_equal(a[one.inner], b[one.core])
    blocks = block_mean_sd(data[None], 3)
    for one in lattice((21, 30), tile=3 * tile):
        for a, b in zip(block_mean_sd(data[None][:, *one.read], 3), blocks, strict=True):
            np.testing.assert_array_equal(a, b[:, *scaled(one.core, 3)])


@pytest.mark.parametrize(
    ("level", "spread"), [(50_000, 1), (300, 0.01), (-20, 1e-3), (1e-3, 1e-5), (65_535, 0)]
)
def test_a_small_spread_on_a_high_level_survives(level, spread):
    noise = np.random.default_rng(0).normal(0, 1, (1, 30, 30))
    data = (level + spread * noise).astype(np.float32)
    exact = data.astype(np.float64)
    step = float(np.spacing(np.float32(abs(level))))  # what float32 can tell apart
    by_block = exact.reshape(3, 10, 3, 10).std(axis=(1, 3))
    np.testing.assert_allclose(block_mean_sd(data, 10)[1][0], by_block, rtol=1e-4, atol=step / 4)
    near = neighbourhood_mean_sd(data[0], 1)[1]
    assert near[5, 5] == pytest.approx(exact[0, 4:7, 4:7].std(), rel=1e-4, abs=step / 4)


def test_one_missing_pixel_does_not_spread():
    data = np.ones((1, 6, 6), np.float32)
    data[0, 0, 0] = np.nan
    data[0, 0, 1] = np.inf  # no data either
    for moment in (*block_mean_sd(data, 2), *neighbourhood_mean_sd(data[0], 1)):
        assert np.isfinite(moment).all()
    _, sd = block_mean_sd(data, 1)
    np.testing.assert_array_equal(np.isnan(sd), ~np.isfinite(data))


def test_coarse_valid_counts_half_as_data():
    valid = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    assert coarse_valid(valid, 2).tolist() == [[True, False]]


def test_coarser_keeps_the_corner_and_drops_the_rest():
    grid = coarser(
        GeoBox.from_bbox((500_000, 2_000_000, 500_250, 2_000_210), "EPSG:32649", resolution=10), 10
    )
    assert tuple(grid.shape) == (2, 2)
    assert grid.affine * (0, 0) == (500_000, 2_000_210)
    assert grid.affine * (1, 1) == (500_100, 2_000_110)


# -- size of a pixel ---------------------------------------------------------------------------


def grid_at(crs, x, y, size):
    return GeoBox((4, 4), Affine.translation(x - 2 * size, y + 2 * size) * Affine.scale(size, -size), crs)


@pytest.mark.parametrize(
    ("crs", "x", "y", "size", "metres"),
    [
        ("EPSG:32649", 500_000, 2_000_000, 10, 10),
        ("EPSG:32649", 200_000, 8_000_000, 10, 10),  # at the edge of the zone: taken at its word
        ("EPSG:3035", 4_321_000, 3_210_000, 100, 100),
        ("EPSG:2263", 1_000_000, 200_000, 10, 3.048006),  # US survey feet
    ],
)
def test_projected_pixels_are_what_they_say(crs, x, y, size, metres):
    np.testing.assert_allclose(pixel_size_m(grid_at(crs, x, y, size)), metres, rtol=1e-7)


@pytest.mark.parametrize("latitude", [0, 28, 60, -60, 78])
def test_pixels_in_degrees_are_measured(latitude):
    height, width = pixel_size_m(grid_at("EPSG:4326", 10, latitude, 0.001))
    assert height == pytest.approx(111.1, rel=0.006)  # a thousandth of a degree of latitude
    across = Geod(ellps="WGS84").inv(10, latitude, 10.001, latitude)[2]
    assert width == pytest.approx(across, rel=1e-6)
    assert width == pytest.approx(111.32 * np.cos(np.radians(latitude)), rel=0.004)


@pytest.mark.parametrize("latitude", [28, 60])
def test_web_mercator_is_measured_on_the_ground(latitude):
    north = 6_378_137 * np.arctanh(np.sin(np.radians(latitude)))
    height, width = pixel_size_m(grid_at("EPSG:3857", 0, north, 10))
    assert width == pytest.approx(10 * np.cos(np.radians(latitude)), rel=0.004)
    assert height == pytest.approx(width, rel=0.007)


def test_equal_area_pixels_keep_their_area():
    height, width = pixel_size_m(grid_at("EPSG:6933", 0, 6_000_000, 100))
    assert height > 1.5 * width
    assert height * width == pytest.approx(1e4, rel=1e-3)


def test_oblong_and_turned_pixels():
    box = GeoBox((10, 10), Affine.translation(500_000, 2_000_000) * Affine.scale(10, -20), "EPSG:32649")
    assert pixel_size_m(box) == (20, 10)
    turned = GeoBox(
        (10, 10),
        Affine.translation(500_000, 2_000_000) * Affine.rotation(30) * Affine.scale(10, -10),
        "EPSG:32649",
    )
    np.testing.assert_allclose(pixel_size_m(turned), 10)


def test_a_grid_without_crs_has_no_size():
    with pytest.raises(ImageError, match="no CRS"):
        pixel_size_m(GeoBox((2, 2), Affine.scale(10, -10), None))
