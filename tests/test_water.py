"""Open water: indices, the shore zone, shares of water near a shore, areas of bodies with intervals."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter
from scipy.special import stdtrit

from jido.errors import ImageError
from jido.geo import INDICES, Band, Tile, identify, lattice, neighbourhood_mean_sd
from jido.indicators.cells import Cells
from jido.indicators.shares import Placed, cell_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import indicator_table
from jido.indicators.water import (
    EdgeZone,
    Shore,
    fixed_shore,
    water_plane,
)
from jido.indicators.water_areas import (
    BY_LAND,
    BY_WATER,
    DOUBT,
    ERROR_MODEL,
    FAR,
    PARTS_HALO,
    SHARE,
    SHORELINE,
    body_areas,
    cut_bodies,
    water_parts,
    with_levels,
)
from jido.indicators.water_edges import HALO, MARGIN, canny_edges, grown, shore_zone
from jido.indicators.water_radar import lee, require_decibels
from jido.indicators.water_signals import SIGNALS
from jido.methods.cells import FEATURE_INDICES, CellConfig, cell_features

WATER = Path(__file__).parents[2] / "shared/data/water"
NDWI = SIGNALS["ndwi"]
UTM = CRS("EPSG:32633")


def whole(shape):
    window = slice(0, shape[0]), slice(0, shape[1])
    return Tile(window, window)


def grid(side, pixel=10.0):
    return GeoBox((side, side), Affine(pixel, 0, 500_000, 0, -pixel, 5_000_000), UTM)


def outlines(*polygons):
    ids = np.array([f"lake {i}" for i in range(len(polygons))], dtype=object)
    return Cells(np.array(polygons, dtype=object), ids, UTM, "lakes")


def noise(rng, side, length):
    """Standard deviation 1, correlated over about ``length`` pixels."""
    field = gaussian_filter(rng.normal(size=(side, side)), length, mode="wrap")
    return field / field.std()


def blobs(seed, side=150, share=0.3):
    """An index plane with patches of water, and clouds."""
    rng = np.random.default_rng(seed)
    form = noise(rng, side, 9)
    plane = np.where(form > np.quantile(form, 1 - share), 0.3, -0.4) + 0.05 * noise(rng, side, 2)
    return np.where(noise(rng, side, 7) > 1.5, np.nan, plane).astype(np.float32)


# -- indices -----------------------------------------------------------------------------------

BANDS = {"blue": 0.06, "green": 0.05, "nir": 0.02, "swir16": 0.01, "swir22": 0.004}
SOIL = {"blue": 0.09, "green": 0.13, "nir": 0.27, "swir16": 0.35, "swir22": 0.31}


def index(name, values):
    found = INDICES[name].function(*(np.array([values[band]], np.float32) for band in INDICES[name].bands))
    assert found.dtype == np.float32
    return found[0]


def test_awei_by_hand():
    # 0.06 + 2.5 * 0.05 - 1.5 * (0.02 + 0.01) - 0.25 * 0.004
    np.testing.assert_allclose(index("awei_sh", BANDS), 0.139, rtol=1e-5)
    # 4 * (0.05 - 0.01) - (0.25 * 0.02 + 2.75 * 0.004)
    np.testing.assert_allclose(index("awei_nsh", BANDS), 0.144, rtol=1e-5)
    # soil: 0.09 + 0.325 - 0.93 - 0.0775 and -0.88 - 0.0675 - 0.8525
    np.testing.assert_allclose(index("awei_sh", SOIL), -0.5925, rtol=1e-5)
    np.testing.assert_allclose(index("awei_nsh", SOIL), -1.8, rtol=1e-5)


@pytest.mark.parametrize("name", ["ndwi", "mndwi", "awei_sh"])
def test_spyndex_agrees(name):
    spyndex = pytest.importorskip("spyndex", reason="spyndex is a test oracle only")
    names = {"ndwi": "NDWI", "mndwi": "MNDWI", "awei_sh": "AWEIsh"}
    for values in (BANDS, SOIL):
        np.testing.assert_allclose(index(name, values), other(spyndex, names[name], values), rtol=1e-5)


def other(spyndex, name, values):
    letters = {"B": "blue", "G": "green", "N": "nir", "S1": "swir16", "S2": "swir22"}
    return spyndex.computeIndex([name], {key: values[band] for key, band in letters.items()})


def test_the_sign_that_spyndex_has_wrong():
    """Feyisa et al. 2014 take 2.75 swir22 away; the list adds it, by 5.5 swir22 more than the paper."""
    spyndex = pytest.importorskip("spyndex", reason="spyndex is a test oracle only")
    for values in (BANDS, SOIL):
        theirs = other(spyndex, "AWEInsh", values)
        np.testing.assert_allclose(theirs - index("awei_nsh", values), 5.5 * values["swir22"], rtol=1e-4)


def test_awei_refuses_counts_and_ratios_take_them():
    counts = {name: value * 10_000 for name, value in SOIL.items()}
    for name in ("awei_sh", "awei_nsh"):
        with pytest.raises(ImageError, match=r"needs reflectance .* a number is 3500: divide"):
            index(name, counts)
    np.testing.assert_allclose(index("mndwi", counts), index("mndwi", SOIL), rtol=1e-6)
    nothing = np.full((2, 2), np.nan, np.float32)
    assert np.isnan(INDICES["awei_nsh"].function(*[nothing] * 4)).all()
    assert INDICES["awei_nsh"].function(*[np.empty((0, 3), np.float32)] * 4).shape == (0, 3)


def test_a_new_index_is_no_feature_of_a_forest():
    assert FEATURE_INDICES == ("ndvi", "ndwi", "mndwi", "ndbi", "bsi")
    bands = identify(["B02", "B03", "B04", "B08", "B11", "B12"])
    data = np.random.default_rng(0).uniform(0.01, 0.5, (6, 4, 4)).astype(np.float32)
    features = cell_features(data, bands, CellConfig(radii=()), 1)
    assert len(features) == 6 + 5
    b, g, r, n, s1, _ = data
    own = [(n - r) / (n + r), (g - n) / (g + n), (g - s1) / (g + s1), (s1 - n) / (s1 + n)]
    np.testing.assert_allclose(features[6:10], own, rtol=1e-5)
    np.testing.assert_allclose(features[10], (s1 + r - n - b) / (s1 + r + n + b), rtol=1e-5)


# -- shore zone --------------------------------------------------------------------------------


@pytest.mark.parametrize("clouds", [False, True])
def test_edges_are_those_of_scikit_image(clouds):
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is a test oracle only")
    plane = blobs(0) if clouds else np.nan_to_num(blobs(0)).astype(np.float32)
    seen = np.isfinite(plane)
    filled = np.where(seen, plane, 0).astype(np.float32)
    ours = canny_edges(filled, seen, limit=0.2)
    theirs = feature.canny(filled, 4, 0.2, 0.2, mask=seen)
    assert ours.sum() > 100
    assert (ours != theirs).sum() <= 2  # a tie may fall to either side


@pytest.mark.parametrize("clouds", [False, True])
def test_edges_of_a_part_are_those_of_the_whole(clouds):
    plane = blobs(0, side=160) if clouds else np.nan_to_num(blobs(0, side=160)).astype(np.float32)
    seen = np.isfinite(plane)
    filled = np.where(seen, plane, 0).astype(np.float32)
    every = canny_edges(filled, seen, limit=0.2)
    for part in ((slice(40, 90), slice(30, 75)), (slice(0, 50), slice(100, 160))):
        tile = Tile(part, grown(part, plane.shape, MARGIN))
        found = canny_edges(filled[tile.read], seen[tile.read], limit=0.2, inner=tile.inner)
        np.testing.assert_array_equal(found[tile.inner], every[part])
    assert every.sum() > 100


def test_threshold_is_that_of_scikit_image_but_for_a_bin():
    filters = pytest.importorskip("skimage.filters", reason="scikit-image is a test oracle only")
    plane = blobs(1)  # with values between the two kinds, else any threshold there is as good
    plane += 0.2 * np.random.default_rng(1).normal(size=plane.shape).astype(np.float32)
    zone = EdgeZone(NDWI, plane.shape, start=0.0)
    zone.add(plane, whole(plane.shape))
    inside, _ = shore_zone(plane, NDWI, start=0.0)
    apart = abs(zone.threshold() - filters.threshold_otsu(plane[inside], nbins=4000))
    assert apart < 2 * NDWI.width


def straight(left=-0.5, right=0.3, side=64):
    """Land left of the middle, water right of it."""
    return np.where(np.arange(side) < side // 2, left, right)[None].repeat(side, 0).astype(np.float32)


def test_zone_of_a_straight_shore():
    """The step lies between columns 31 and 32; its edge on one or both, and the zone 4 to each side."""
    zone, pure = shore_zone(straight(), NDWI, start=0.0)
    columns, far = np.flatnonzero(zone[32]), np.flatnonzero(pure[32])
    assert set(range(28, 36)) <= set(columns.tolist()) <= set(range(27, 37))
    assert set(far.tolist()) < set(columns.tolist())
    assert not {30, 31, 32, 33} & set(far.tolist())


def test_threshold_of_two_values_is_half_way():
    """All bins between two spikes part them equally well: the middle is taken, to half a bin."""
    zone = EdgeZone(NDWI, (64, 64), start=0.0)
    zone.add(straight(), whole((64, 64)))
    assert zone.threshold() == pytest.approx(-0.1, abs=NDWI.width / 2 + 1e-9)
    np.testing.assert_allclose(zone.shore().ends, [-0.5, 0.3], rtol=1e-6)


@pytest.mark.parametrize("tile", [32, 61, 100])
@pytest.mark.parametrize("start", [0.0, None])
def test_nothing_depends_on_the_windows(tile, start):
    plane = blobs(2, side=300)
    at_once, by_tiles = (EdgeZone(NDWI, plane.shape, start=start) for _ in range(2))
    at_once.add(plane, whole(plane.shape))
    for one in lattice(plane.shape, tile=tile, halo=HALO):
        by_tiles.add(plane[one.read], one)
    assert sorted(at_once.counts) == sorted(by_tiles.counts)
    for name, counts in at_once.counts.items():
        np.testing.assert_array_equal(counts[:2], by_tiles.counts[name][:2])
        np.testing.assert_allclose(counts[2], by_tiles.counts[name][2], rtol=1e-12)
    assert at_once.threshold() == by_tiles.threshold()


def test_clouds_make_no_edges():
    rng = np.random.default_rng(3)
    plane = np.full((100, 100), -0.4, np.float32)
    plane[noise(rng, 100, 6) > 0.5] = np.nan
    assert not shore_zone(plane, NDWI, start=None)[0].any()


@pytest.mark.parametrize("value", [-0.4, 0.3, np.nan])
def test_no_shore_is_refused_in_words(value):
    zone = EdgeZone(NDWI, (64, 64), start=0.0)
    zone.add(np.full((64, 64), value, np.float32), whole((64, 64)))
    for asked in (zone.threshold, zone.shore):
        with pytest.raises(ImageError, match="no shore: it holds no water, or nothing else"):
            asked()
    shore = fixed_shore(NDWI)
    assert shore.threshold == 0
    assert np.isnan(shore.se)


def test_fields_without_water_do_not_count():
    """Meadow beside bare soil, and a small lake: Otsu of all edges parts meadow from soil."""
    rng = np.random.default_rng(4)
    squares = np.kron(rng.random((13, 13)) < 0.5, np.ones((16, 16)))[:200, :200]
    plane = np.where(squares > 0, -0.7, -0.2) + 0.02 * rng.normal(size=(200, 200))
    rows, cols = np.indices(plane.shape)
    lake = np.hypot(rows - 90, cols - 110) < 18
    plane = np.where(lake, 0.3, plane).astype(np.float32)
    every, shores = (EdgeZone(NDWI, plane.shape, start=start) for start in (None, 0.0))
    for zone in (every, shores):
        zone.add(plane, whole(plane.shape))
    assert every.threshold() < -0.3
    assert (plane > every.threshold()).mean() > 0.4
    assert -0.2 < shores.threshold() < 0.2
    np.testing.assert_array_equal(water_plane(plane, shores.shore()) == 1, lake)


def test_a_plane_that_does_not_fit_its_window_is_refused():
    with pytest.raises(ImageError, match="do not fit the window"):
        EdgeZone(NDWI, (64, 64), start=0.0).add(straight()[:, :-1], whole((64, 64)))


def test_error_of_the_threshold_covers_new_noise():
    """Thresholds of 40 images of one shore spread about as much as each of them says."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        plane = (straight(side=160) + 0.15 * noise(rng, 160, 2)).astype(np.float32)
        zone = EdgeZone(NDWI, plane.shape, start=0.0)
        zone.add(plane, whole(plane.shape))
        shore = zone.shore(draws=60)
        found.append((shore.threshold, shore.se, *shore.ends, *np.sqrt(np.diag(shore.covariance))))
    _, threshold_se, _, _, *claimed = np.median(found, axis=0)
    spread = np.std(found, axis=0)
    assert 0.6 < spread[0] / threshold_se < 1.6
    for true, said in zip(spread[2:4], claimed, strict=True):
        assert 0.6 < true / said < 1.6


def test_few_blocks_claim_no_error():
    zone = EdgeZone(NDWI, (64, 64), start=0.0)
    zone.add(straight(), whole((64, 64)))
    shore = zone.shore()
    assert shore.blocks == 8  # the shore lies on the line between two columns of four blocks
    assert np.isnan(shore.se)
    assert np.isnan(shore.covariance).all()


# -- radar -------------------------------------------------------------------------------------


def test_radar_finds_water_below_the_threshold():
    signal = SIGNALS["VV"]
    plane = straight(-9.0, -21.0)
    zone = EdgeZone(signal, plane.shape, start=signal.start)
    zone.add(plane, whole(plane.shape), mixing=signal.mixing(plane, [plane]))
    shore = zone.shore()
    assert shore.threshold == pytest.approx(-15, abs=signal.width)
    np.testing.assert_allclose(shore.ends, [10**-0.9, 10**-2.1], rtol=1e-5)
    np.testing.assert_array_equal(water_plane(plane, shore), np.arange(64)[None].repeat(64, 0) >= 32)


def test_filters_keep_power_and_missing_pixels():
    even = np.full((20, 20), -12.0, np.float32)
    even[3, 4] = np.nan
    filtered = lee(even)
    assert np.isnan(filtered).sum() == 1
    np.testing.assert_allclose(np.nanmax(np.abs(filtered + 12)), 0, atol=1e-4)
    two = np.full((5, 5), -10.0, np.float32)
    two[2, 2] = 0.0
    # power 0.1 on 24 pixels and 1 on one has the mean 3.4 / 25 and the mean square 1.24 / 25
    # C² = (1.24 / 25 - 0.136²) / 0.136²; k = (1 - (1 / 4.4) / C²) / (1 + 1 / 4.4)
    mean, c2 = 0.136, (1.24 / 25 - 0.136**2) / 0.136**2
    k = (1 - 1 / 4.4 / c2) / (1 + 1 / 4.4)
    assert lee(two, radius=2)[2, 2] == pytest.approx(10 * np.log10(mean + k * (1 - mean)), abs=1e-3)


def test_filters_take_speckle_away_and_lee_keeps_shores():
    rng = np.random.default_rng(5)
    plain = straight(-9.0, -21.0)
    speckled = (plain + 10 * np.log10(rng.gamma(4.4, 1 / 4.4, plain.shape))).astype(np.float32)
    inner = slice(8, 24)
    before = speckled[:, inner].std()
    assert lee(speckled)[:, inner].std() < before / 2
    mean, _ = neighbourhood_mean_sd(10 ** (speckled / 10), 2)  # a plain mean blurs the shore
    beside = [np.abs(one[:, 32] - -21).mean() for one in (lee(speckled), 10 * np.log10(mean))]
    assert beside[0] < 0.7 * beside[1]


def test_linear_power_is_refused():
    power = np.full((10, 10), 0.1, np.float32)
    power[0, 0] = 0.02
    require_decibels(10 * np.log10(power), Band("VV", unit="dB"))
    with pytest.raises(ImageError, match=r"VV is in 'linear' .* give 10 log10"):
        require_decibels(10 * np.log10(power), Band("VV", unit="linear"))
    for unit in ("dB", ""):
        with pytest.raises(ImageError, match=r"lowest number is 0.02"):
            require_decibels(power, Band("VV", unit=unit))
    require_decibels(np.full((20, 20), np.nan, np.float32), Band("VV", unit="dB"))
    require_decibels(np.full((3, 3), 2.0, np.float32), Band("VV", unit="dB"))  # roofs at the rim of a swath


# -- shares of water ---------------------------------------------------------------------------


def known(threshold, land, water):
    return Shore(NDWI, threshold, 0.01, np.array([land, water]), np.diag([4e-4, 1e-4]), 16, 1000)


def test_a_pixel_that_is_half_water():
    """Land (green 0.09, nir 0.27), water (0.06, 0.02): half and half has NDWI -0.07 / 0.22 = -0.318, below
    the middle of -0.5 and 0.5, but its green - nir of -0.07 lies half way from -0.18 to 0.04."""
    green = np.array([0.09, 0.09, 0.075, 0.06, 0.06], np.float32)[None].repeat(5, 0)
    nir = np.array([0.27, 0.27, 0.145, 0.02, 0.02], np.float32)[None].repeat(5, 0)
    plane = INDICES["ndwi"].function(green, nir)
    shore = known(0.0, -0.18, 0.04)
    parts = water_parts(plane, shore, mixing=NDWI.mixing(plane, [green, nir]))
    np.testing.assert_array_equal(water_plane(plane, shore)[0], [0, 0, 0, 1, 1])
    np.testing.assert_allclose(parts[SHARE, 2], [0, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(parts[SHORELINE, 2], [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(parts[DOUBT], 0)


def test_derivatives_are_those_of_the_area():
    plane = blobs(6, side=64)
    area, by_land, by_water = (
        np.nansum(water_parts(plane, known(0.0, -0.4, 0.3))[part], dtype=np.float64)
        for part in (SHARE, BY_LAND, BY_WATER)
    )
    step = 1e-3
    for slope, land, water in ((by_land, -0.4 + step, 0.3), (by_water, -0.4, 0.3 + step)):
        moved = np.nansum(water_parts(plane, known(0.0, land, water))[SHARE], dtype=np.float64)
        assert (moved - area) / step == pytest.approx(slope, rel=0.02)
        assert slope < 0  # brighter ends: less water


def test_a_fixed_threshold_counts_whole_pixels():
    plane = blobs(7, side=64)
    parts = water_parts(plane, fixed_shore(NDWI))
    seen = np.isfinite(plane)
    np.testing.assert_array_equal(parts[SHARE][seen], plane[seen] > 0)
    assert (parts[BY_LAND][seen] == 0).all()


def test_parts_do_not_depend_on_the_windows():
    plane = blobs(8, side=150)
    shore = known(0.0, -0.4, 0.3)
    all_of_it = water_parts(plane, shore)
    for one in lattice(plane.shape, tile=64, halo=PARTS_HALO):
        part = water_parts(plane[one.read], shore)
        np.testing.assert_array_equal(part[(slice(None), *one.inner)], all_of_it[(slice(None), *one.core)])


def test_under_a_cloud_the_shore_lies_anywhere_between():
    """Land to column 39, clouds from 40 to 59, water from 60: the shore is taken in the middle, at 50; its
    standard deviation is that of a uniform position, 20 / sqrt(12) = 5.8 pixels, of which 0.99 is claimed."""
    plane = np.full((9, 100), -0.4, np.float32)
    plane[:, 60:] = 0.3
    plane[:, 40:60] = np.nan
    parts = water_parts(plane, known(0.0, -0.4, 0.3))
    np.testing.assert_array_equal(np.flatnonzero(np.diff(parts[SHARE, 4])), [49])
    # distances from centres of pixels, so the gap is 21 wide
    assert parts[DOUBT, 4].sum() == pytest.approx((np.pi / 2 - 1) * 10.5, rel=0.02)
    assert np.isnan(parts[SHORELINE, 4, 40:60]).all()


def test_nothing_is_said_in_the_midst_of_a_wide_cloud():
    plane = np.full((5, 200), np.nan, np.float32)
    plane[:, 0], plane[:, -1] = 0.3, -0.4
    share = water_parts(plane, known(0.0, -0.4, 0.3))[SHARE, 2]
    assert (share[: FAR + 1] == 1).all()
    assert (share[-FAR - 1 :] == 0).all()
    assert np.isnan(share[FAR + 1 : -FAR - 1]).all()


# -- areas -------------------------------------------------------------------------------------


def measured(plane, polygons, shore, *, mixing=None):
    box = grid(len(plane))
    pieces = cut_bodies(outlines(*polygons))
    parts = water_parts(plane, shore, mixing=mixing)
    sums = cell_sums(Placed(pieces.cells, box), box, lambda window: parts[(slice(None), *window)])
    return pieces, body_areas(pieces, sums, shore), sums.inside_m2.sum() / sums.inside.sum()


def square(left, top, side):
    """Pixels of the grid as a polygon."""
    x, y = 500_000 + 10 * left, 5_000_000 - 10 * top
    return shapely.box(x, y - 10 * side, x + 10 * side, y)


def test_pieces_are_the_bodies():
    bodies = outlines(square(0, 0, 50), shapely.Point(501_000, 4_999_000).buffer(200), square(90, 90, 2))
    pieces = cut_bodies(bodies)
    sums = np.bincount(pieces.owner, pieces.cells.area_m2)
    np.testing.assert_allclose(sums, bodies.area_m2, rtol=1e-6)
    counts = np.bincount(pieces.owner)
    assert counts[0] == 64
    assert counts[2] == 1  # no smaller than three pixels


def test_area_of_whole_pixels_by_hand():
    """A lake of 30 x 30 pixels whose values are those of pure water: 900 pixels, no share is wrong."""
    plane = np.full((64, 64), -0.4, np.float32)
    plane[17:47, 17:47] = 0.3
    shore = known(0.0, -0.4, 0.3)
    _, areas, pixel = measured(plane, [square(10, 10, 44)], shore)
    np.testing.assert_allclose(areas.area_m2, 900 * pixel, rtol=1e-5)
    np.testing.assert_allclose(areas.coverage, 1, atol=1e-5)
    np.testing.assert_allclose(areas.n, 44**2, rtol=1e-5)
    # on the shore 116 pixels of water (d/dwater = -1 / 0.7) and 124 of land (d/dland = -1 / 0.7)
    once = (124**2 * 4e-4 + 116**2 * 1e-4) / 0.7**2
    # 240 of them fill 240 * 4.5 / (1000 / 16) = 17.3 blocks, more than the 16 of the image: twice
    np.testing.assert_allclose(areas.se, np.sqrt(2 * once) * pixel, rtol=1e-4)
    assert areas.clouds == 0


def test_a_short_shore_is_less_certain():
    """Two lakes in an image of 160 blocks: the small one has its own land beside it."""
    plane = np.full((100, 100), -0.4, np.float32)
    plane[10:60, 10:60], plane[75:85, 75:85] = 0.3, 0.3
    shore = Shore(NDWI, 0.0, 0.01, np.array([-0.4, 0.3]), np.diag([4e-4, 1e-4]), 160, 10_000)
    _, areas, _ = measured(plane, [square(5, 5, 60), square(70, 70, 20)], shore)
    relative = areas.se / areas.area_m2
    assert relative[1] > 4 * relative[0]


def test_what_nobody_saw_is_like_the_rest_and_all_or_nothing():
    """Half of the body lies off the image; the seen half is half water."""
    plane = np.full((60, 60), -0.4, np.float32)
    plane[:, :30] = 0.3
    _, areas, pixel = measured(plane, [square(0, 30, 60)], known(0.0, -0.4, 0.3))
    np.testing.assert_allclose(areas.coverage, 0.5, atol=1e-4)
    np.testing.assert_allclose(areas.area_m2, 1800 * pixel, rtol=1e-4)
    np.testing.assert_allclose(areas.clouds, (1800 * pixel) ** 2 / 4, rtol=1e-3)


def test_a_body_that_was_not_seen_has_no_area():
    plane = np.full((60, 60), np.nan, np.float32)
    plane[:5] = 0.3
    _, areas, _ = measured(plane, [square(0, 0, 10), square(20, 45, 10)], known(0.0, -0.4, 0.3))
    assert np.isfinite(areas.area_m2).tolist() == [True, False]
    assert areas.coverage[1] == 0
    assert areas.n[1] == 0


def test_an_empty_water_body_has_an_area_of_nothing():
    plane = np.full((60, 60), -0.4, np.float32)
    _, areas, _ = measured(plane, [square(10, 10, 30)], known(0.0, -0.4, 0.3))
    assert areas.area_m2 == 0
    assert areas.se == 0


SHEET = MethodSheet(
    indicator="surface water",
    formula="NDWI",
    source="BlueDot",
    unit="m²",
    bands=("B03", "B08"),
    correction="unknown",
    dates=("2021-07-31",),
    nodata_rule="clouds",
    error_model=ERROR_MODEL,
    cells="lakes",
)


def test_level_is_area_by_nominal_area():
    bodies = outlines(square(0, 0, 50), square(60, 60, 20), square(90, 90, 5))
    area, se, coverage = np.array([8e4, 3e4, 1e3]), np.array([4e3, 1e3, 0.0]), np.array([1.0, 0.4, 0.9])
    nominal = {"nominal_m2": np.array([1e5, 4e4, np.nan])}
    table = with_levels(
        indicator_table(bodies, area, se, coverage=coverage, n=area / 100, sheet=SHEET, columns=nominal)
    )
    np.testing.assert_allclose(table.value, [8e4, np.nan, 1e3])  # too little of the second was seen
    np.testing.assert_allclose(table.columns["level"], [0.8, np.nan, np.nan])
    np.testing.assert_allclose(table.columns["level_lower"][0], 0.8 - 1.96 * 0.04, rtol=1e-4)
    np.testing.assert_allclose(table.columns["level_upper"][0], 0.8 + 1.96 * 0.04, rtol=1e-4)


# -- what the intervals cover ------------------------------------------------------------------

SIDE = 112


def simulated(seed, *, fine=4):
    """A lake with a wavy shore, mixed pixels, patchy land and water, noise, and 0-20 % of clouds.

    Returns the two bands, the true share of water of each pixel, and an outline as of a higher level
    with a margin: the lake has retreated more on one side.
    """
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(size=7) * 0.3 / np.arange(2, 9), rng.uniform(0, 2 * np.pi, 7)
    size, centre = rng.uniform(18, 38), SIDE / 2 + rng.uniform(-3, 3, 2)
    retreat, way = rng.uniform(0, 0.1, 2), rng.uniform(0, 2 * np.pi)

    def radius(angle):
        wavy = np.cos(np.asarray(angle)[..., None] * np.arange(2, 9) + phases) @ waves
        return size * np.maximum(1 + 0.5 * wavy, 0.3)

    at = (np.arange(SIDE * fine) + 0.5) / fine
    y, x = at[:, None] - centre[0], at - centre[1]
    fines = np.hypot(y, x) < radius(np.arctan2(y, x))
    share = fines.reshape(SIDE, fine, SIDE, fine).mean((1, 3))
    length = rng.uniform(0.7, 3, 2)
    land, water = (np.exp(0.15 * noise(rng, SIDE, one)) for one in length)
    green = share * 0.06 * water + (1 - share) * 0.09 * land
    dark = 0.03 * water * np.exp(0.2 * noise(rng, SIDE, length[1]))
    bright = 0.25 * land * np.exp(0.25 * noise(rng, SIDE, length[0]))
    bands = [green, share * dark + (1 - share) * bright]
    form = noise(rng, SIDE, rng.uniform(3, 10))
    clouds = form > np.quantile(form, 1 - rng.uniform(0, 0.2))
    bands = [np.where(clouds, np.nan, b + 0.001 * rng.normal(size=b.shape)).astype(np.float32) for b in bands]
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    full = radius(angle) * (1 + retreat[0] + retreat[1] * (1 + np.cos(angle - way)))
    x, y = centre[1] + full * np.cos(angle), centre[0] + full * np.sin(angle)
    outline = shapely.Polygon(np.column_stack([500_000 + 10 * x, 5_000_000 - 10 * y]))
    return bands, share, outline.buffer(10 * rng.uniform(2, 6))


def test_intervals_of_area_cover_and_counted_pixels_do_not(capsys):
    """60 simulated lakes: of 60 intervals of 95 % at least 52 hold the truth by chance in 99 of 100 times."""
    hits, naive, errors, whole_pixels = [], [], [], []
    for seed in range(60):
        bands, share, outline = simulated(seed)
        plane = INDICES["ndwi"].function(*bands)
        mixing = NDWI.mixing(plane, bands)
        zone = EdgeZone(NDWI, plane.shape, start=0.0)
        zone.add(plane, whole(plane.shape), mixing=mixing)
        shore = zone.shore(draws=100)
        pieces, areas, pixel = measured(plane, [outline], shore, mixing=mixing)
        truth, body = share.sum() * pixel, pieces.bodies.area_m2[0]
        wet = water_plane(plane, shore)
        box = grid(SIDE)
        sums = cell_sums(Placed(pieces.bodies, box), box, lambda window, wet=wet: wet[None][:, *window])
        p, n = sums.mean[0, 0], sums.seen[0, 0]
        if np.isfinite(areas.se[0]):
            reach = stdtrit(min(areas.freedom[0], 1e9), 0.975)
            hits.append(abs(areas.area_m2[0] - truth) < reach * areas.se[0])
        naive.append(abs(p * body - truth) < 1.96 * np.sqrt(p * (1 - p) / n) * body)
        errors.append(areas.area_m2[0] / truth - 1)
        whole_pixels.append(p * body / truth - 1)
    with capsys.disabled():
        print(
            f"\ncoverage of 95 %, area of a lake: {np.mean(hits):.3f} ({len(hits)} lakes), median error "
            f"{np.median(np.abs(errors)):.4f}; counted pixels, binomial: {np.mean(naive):.3f}, "
            f"{np.median(np.abs(whole_pixels)):.4f}"
        )
    assert len(hits) >= 54
    assert np.mean(hits) >= 52 / 60
    assert np.mean(naive) < 0.75
    assert np.median(np.abs(errors)) < 0.5 * np.median(np.abs(whole_pixels))


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not WATER.exists(), reason="water is not at ../shared/data")
def test_a_flooded_plain_in_spain(capsys):
    """One chip of Sen1Floods11 with labels by hand: no threshold of MNDWI has an IoU above 0.724 there."""
    import rasterio

    def read(name):
        with rasterio.open(WATER / f"Spain_7370579_{name}Hand.tif") as source:
            return source.read()

    label = read("Label")[0]
    optical = np.where(read("S2") == 0, np.nan, read("S2") / np.float32(1e4)).astype(np.float32)
    vv = read("S1")[0]
    require_decibels(vv, identify(["VV"])[0])
    planes = {"mndwi": INDICES["mndwi"].function(optical[2], optical[11]), "VV": lee(vv), "raw": vv}

    def iou(name):
        signal = SIGNALS["mndwi" if name == "mndwi" else "VV"]
        start = signal.start if name == "mndwi" else None
        zone = EdgeZone(signal, label.shape, start=start)
        zone.add(planes[name], whole(label.shape))
        wet, known_ = water_plane(planes[name], zone.shore(draws=20)), label >= 0
        wet, true = (wet == 1) & known_, (label == 1) & known_
        return (wet & true).sum() / (wet | true).sum()

    found = {name: iou(name) for name in planes}
    with capsys.disabled():
        print("\nIoU, Spain chip:", {name: round(float(value), 3) for name, value in found.items()})
    assert 0.71 < found["mndwi"] < 0.75
    assert found["raw"] + 0.02 < found["VV"] < 0.65
