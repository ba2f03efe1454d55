"""Green by cell: known answers, laws, and whether the stated intervals contain the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from test_series import LEFT, TOP, image, reflectance, write
from test_uncertainty import gaussian_field

from jido.errors import ImageError
from jido.indicators import cell_map
from jido.indicators import measure as measuring
from jido.indicators.cell_map import cell_raster, draw_table
from jido.indicators.cells import Cells, grid_cells
from jido.indicators.green import GreenConfig, green, green_of, people_of, require_roles, summer_of
from jido.indicators.measure import measure
from jido.io import Scene
from jido.io.areas import read_areas
from jido.io.series import open_series

UTM = CRS("EPSG:32632")
HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"
SHARE, NDVI, WEIGHTED = range(3)
THRESHOLD = 0.4
QUANTITIES = (
    lambda index: np.heaviside(index - np.float32(THRESHOLD), np.float32(0)),
    lambda index: index,
    lambda index: np.maximum(index, 0),
)


def squares(rows, cols, *, side=40.0, crs=UTM):
    """A lattice of squares from the upper left corner of the images; ids are row and column."""
    boxes = [
        shapely.box(LEFT + c * side, TOP - (r + 1) * side, LEFT + (c + 1) * side, TOP - r * side)
        for r in range(rows)
        for c in range(cols)
    ]
    ids = np.array([f"r{r}c{c}" for r in range(rows) for c in range(cols)], dtype=object)
    return Cells(np.array(boxes, dtype=object), ids, crs, "squares")


def greens(paths, cells, *, population=None, **config):
    with open_series(paths) as series:
        return green(series, cells, GreenConfig(**config), population=population)


class Stack:
    """A series in memory (dates, y, x) for the measurements, which ask for no more than this."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.float32)
        self.images = [None] * len(self.values)
        self.geobox = GeoBox(self.values.shape[1:], Affine(10, 0, LEFT, 0, -10, TOP), UTM)

    def read(self, place, window, roles):
        return self.values[place][window][None].copy()


def measured(values, side, *, composite="median", seed=0):
    """Of squares of so many pixels that fill the images."""
    series = Stack(values)
    rows, cols = (length // side for length in series.geobox.shape)
    return measure(
        series,
        squares(rows, cols, side=10.0 * side),
        roles=("index",),
        index=lambda index: index,
        quantities=QUANTITIES,
        composite=composite,
        seed=seed,
    )


def by_square(plane, side):
    """Pixels of each square, (squares, side²)."""
    rows, cols = (length // side for length in plane.shape)
    return plane.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows * cols, -1)


# -- known answers -----------------------------------------------------------------------------


@pytest.fixture
def quarter(tmp_path):
    """One image; its squares of 4 x 4 pixels have known numbers, the last one is half without data."""
    ndvi = np.empty((8, 8))
    ndvi[:4, :4] = [0.2, 0.6, 0.8, -0.5]  # mean 0.275; 2 of 4 above 0.4; without the water 1.6 / 4
    ndvi[:4, 4:] = 0.4  # at the threshold is not above it
    ndvi[4:, :4] = -0.2
    ndvi[4:, 4:] = [np.nan, np.nan, np.nan, 0.5]
    return image(tmp_path / "s_20210705.tif", ndvi)


def test_share_mean_and_weighted_area_by_hand(quarter):
    cells = squares(2, 2)
    table, _ = greens([quarter], cells)
    np.testing.assert_allclose(table.value, [0.5, 0, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(table.columns["ndvi"], [0.275, 0.4, -0.2, np.nan], atol=1e-6)
    np.testing.assert_allclose(table.columns["green_share"], table.value)
    green_m2 = np.array([0.4, 0.4, 0, np.nan]) * cells.area_m2
    np.testing.assert_allclose(table.columns["green_m2"], green_m2, atol=1e-3)
    np.testing.assert_allclose(table.coverage, [1, 1, 1, 0.25], atol=1e-6)
    np.testing.assert_allclose(table.n, [16, 16, 16, 4], atol=1e-6)
    # half a metre in a kilometre less than on the map, whose scale is 0.9996 here
    np.testing.assert_allclose(cells.area_m2, 1600 / 0.9996**2, rtol=1e-4)


@pytest.mark.parametrize(
    ("value", "drawn", "unit"),
    [
        ("ndvi", [0.275, 0.4, -0.2, np.nan], "NDVI"),
        ("area", [640.51, 640.51, 0, np.nan], "m²"),  # 0.4 x 1600 m² / 0.9996²
    ],
)
def test_the_value_that_was_asked_for(quarter, value, drawn, unit):
    table, _ = greens([quarter], squares(2, 2), value=value)
    np.testing.assert_allclose(table.value, drawn, rtol=1e-4, atol=1e-6)
    assert table.sheet.unit == unit
    assert table.sheet.indicator == f"green ({value})"


def test_what_was_too_little_seen_is_empty_and_never_zero(quarter):
    table, _ = greens([quarter], squares(2, 2))
    assert table.empty.tolist() == [False, False, False, True]
    for column in (table.lower, table.upper, table.se, *table.columns.values()):
        assert np.isnan(column[3])
    little, _ = greens([quarter], squares(2, 2), min_coverage=0.2)
    np.testing.assert_allclose(little.value[3], 1)  # 0.5 is above 0.4


def test_green_per_head_by_hand(quarter, tmp_path):
    # pixels of 20 m: four in each square; the third square is empty of people, the fourth not covered
    people = np.full((4, 3), np.nan, np.float32)
    people[:2, :2], people[:2, 2], people[2:, :2] = 2, 5, 0
    path = write(tmp_path / "people.tif", people, size=20, nodata=np.nan)
    cells = squares(2, 2)
    with Scene([path]) as population:
        np.testing.assert_allclose(people_of(population, cells), [8, np.nan, 0, np.nan])
        table, _ = greens([quarter], cells, value="per-head", population=population)
    np.testing.assert_allclose(table.columns["people"], [8, np.nan, 0, np.nan])
    np.testing.assert_allclose(table.value, [0.4 * cells.area_m2[0] / 8] + [np.nan] * 3, rtol=1e-6)
    np.testing.assert_allclose(table.columns["green_m2_per_head"], table.value)


def test_people_count_by_their_share_in_a_cell(tmp_path):
    path = write(tmp_path / "people.tif", np.array([[4, 8]], np.float32), size=80)
    cells = Cells(
        np.array([shapely.box(LEFT + 20, TOP - 40, LEFT + 100, TOP)]), np.array(["x"], dtype=object), UTM, ""
    )
    with Scene([path]) as population:  # 60 x 40 of the first pixel's 80 x 80 m, 20 x 40 of the second's
        np.testing.assert_allclose(people_of(population, cells), [4 * 0.375 + 8 * 0.125])
        degrees = Cells(
            np.array([shapely.geometry.shape(population.geobox.extent.to_crs("EPSG:4326").json)]),
            np.array(["all"], dtype=object),
            CRS("EPSG:4326"),
            "",
        )
        np.testing.assert_allclose(people_of(population, degrees), [12], rtol=1e-3)


def test_people_that_cannot_be_counted_are_refused(quarter, tmp_path):
    planes = {"minus.tif": np.full((4, 4), -1.0, np.float32), "small.tif": np.ones((1, 1), np.float32)}
    paths = [write(tmp_path / name, plane, size=20) for name, plane in planes.items()]
    words = ("minus.tif has -1 people in a pixel", "small.tif covers none of the cells as a whole")
    for path, says in zip(paths, words, strict=True):
        with Scene([path]) as population, pytest.raises(ImageError, match=says):
            people_of(population, squares(2, 2))
    far = write(tmp_path / "far.tif", planes["minus.tif"], left=LEFT + 9000)
    with Scene([far]) as population, pytest.raises(ImageError, match=r"far.tif"):
        people_of(population, squares(2, 2))
    with pytest.raises(ImageError, match="needs people: give a raster of them with --population"):
        greens([quarter], squares(2, 2), value="per-head")


def test_negative_reflectance_is_no_plant(tmp_path):
    # over dark water corrected numbers fall below 0: (-0.002 + 0.01) / (-0.002 - 0.01) would be -0.7,
    # (-0.01 + 0.002) / (-0.012) = 0.7 a forest, and (0.002 + 0.004) / (0.002 - 0.004) = -3 no NDVI at all
    red, nir = np.full((8, 8), 0.05, np.float32), np.full((8, 8), 0.2, np.float32)
    red[:4], nir[:4] = -0.002, -0.01
    red[4:, :4], nir[4:, :4] = 0.004, -0.002
    path = write(tmp_path / "s_20210705.tif", np.stack([red, nir]), ("B04", "B08"), unit="reflectance")
    table, _ = greens([path], squares(2, 2), min_coverage=0.01)
    assert np.nan_to_num(table.value[:2]).tolist() == [0, 0]
    assert -1 <= table.columns["ndvi"][2] <= 0
    np.testing.assert_allclose(table.columns["ndvi"][3], 0.6, atol=1e-6)


# -- summer, bands -----------------------------------------------------------------------------


def test_summer_is_that_of_the_place(tmp_path):
    days = (20201220, 20210105, 20210615, 20210901)
    north = [image(tmp_path / f"n_{day}.tif", 0.5) for day in days]
    with open_series(north) as series:
        summer = summer_of(series)
        assert summer.days == ("2021-06-15", "2021-09-01")
        assert "2 of 4 dates are not of the summer at 51 degrees north: left out." in summer.notes
        assert summer_of(series, (1, 12)).days == ("2020-12-20", "2021-01-05")
        with pytest.raises(ImageError, match=r"at 51 degrees north .* months 3: .*--months"):
            summer_of(series, (3,))
    south = [image(tmp_path / f"s_{day}.tif", 0.5, top=6_250_000, crs="EPSG:32756") for day in days]
    with open_series(south) as series:
        assert summer_of(series).days == ("2020-12-20", "2021-01-05")
    with open_series(south[2:3]) as series:
        words = r"of 2021-06-15, but at 34 degrees south summer is in the months 12, 1, 2"
        with pytest.raises(ImageError, match=words):
            summer_of(series)


def test_several_summers_in_one_composite_are_said(tmp_path):
    days = (20191210, 20200120, 20201220, 20210110)
    paths = [image(tmp_path / f"s_{day}.tif", 0.5, top=6_250_000, crs="EPSG:32756") for day in days]
    with open_series(paths) as series:
        assert any("of 2 summers (2019/20, 2020/21)" in note for note in summer_of(series).notes)
    with open_series(paths[:2]) as series:  # one summer, on both sides of New Year
        assert not any("summers" in note for note in summer_of(series).notes)
    north = [image(tmp_path / f"n_{day}.tif", 0.5) for day in (20200705, 20210705)]
    with open_series(north) as series:
        assert any("of 2 summers (2020, 2021)" in note for note in summer_of(series).notes)


def test_a_missing_band_is_named_with_what_would_work(tmp_path):
    planes = np.full((2, 8, 8), 0.3, np.float32)
    path = write(tmp_path / "s_20210705.tif", planes, ("B03", "B08"), unit="reflectance")
    with (
        open_series([path]) as series,
        pytest.raises(ImageError, match=r"NDVI needs nir and red, but .*\(B03, B08\) have no red; .*ndwi"),
    ):
        require_roles(series, "ndvi")


# -- laws --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some_dates(tmp_path_factory):
    """Three dates of 96 x 64 pixels with gaps of their own."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("dates")
    land = 0.4 + 0.2 * gaussian_field(rng, 96, 12)[:, :64]
    paths = []
    for day in (20210615, 20210705, 20210805):
        ndvi = np.clip(land + 0.05 * gaussian_field(rng, 96, 4)[:, :64], -0.9, 0.9)
        ndvi[rng.random(ndvi.shape) < 0.1] = np.nan
        paths.append(image(folder / f"s_{day}.tif", ndvi))
    return paths


def columns(table):
    return {"value": table.value, "se": table.se, "coverage": table.coverage, "n": table.n, **table.columns}


def require_same(one, two, *, rtol=1e-6):
    for name, column in columns(one).items():
        np.testing.assert_allclose(columns(two)[name], column, rtol=rtol, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("value", ["share", "ndvi", "area"])
def test_the_size_of_the_windows_does_not_matter(some_dates, monkeypatch, value):
    cells = squares(5, 3, side=190)
    whole, _ = greens(some_dates, cells, value=value)
    monkeypatch.setattr(measuring, "BAND_PIXELS", 4 * 64 * 7)  # 7 rows at a time
    sewn, _ = greens(some_dates, cells, value=value)
    assert np.isfinite(whole.se).all()
    require_same(whole, sewn)


def test_the_order_of_the_images_does_not_matter(some_dates):
    cells = squares(5, 3, side=190)
    require_same(greens(some_dates, cells)[0], greens(some_dates[::-1], cells)[0], rtol=0)


def test_the_unit_of_the_images_and_the_crs_of_the_cells_do_not_matter(some_dates, tmp_path):
    cells = squares(5, 3, side=190)
    whole, _ = greens(some_dates, cells, value="ndvi")
    scaled = []
    for path in some_dates:
        with Scene([path]) as scene:
            planes = np.nan_to_num(np.round(1e4 * scene.read().data))
            scaled.append(write(tmp_path / path.name, planes.astype(np.uint16), ("B04", "B08"), nodata=0))
    numbers, _ = greens(scaled, cells, value="ndvi")
    np.testing.assert_allclose(numbers.value, whole.value, atol=2e-4)
    np.testing.assert_allclose(numbers.se, whole.se, rtol=0.02)
    moved = shapely.transform(cells.geometry, _degrees)
    degrees, _ = greens(some_dates, Cells(moved, cells.ids, CRS("EPSG:4326"), "degrees"), value="ndvi")
    np.testing.assert_allclose(degrees.value, whole.value, atol=1e-4)
    np.testing.assert_allclose(degrees.coverage, whole.coverage, atol=1e-4)


def _degrees(xy):
    from pyproj import Transformer

    return np.column_stack(Transformer.from_crs(32632, 4326, always_xy=True).transform(*xy.T))


def test_cells_of_one_image_are_those_of_its_composite(some_dates):
    """A median over one date is the date; twice the same image says that nothing is uncertain."""
    cells = squares(5, 3, side=190)
    one, _ = greens(some_dates[:1], cells, value="ndvi")
    with Scene(some_dates[:1]) as scene:
        red, nir = scene.read().data
    rows = [np.nanmean(((nir - red) / (nir + red))[:19, 19 * c : 19 * c + 19]) for c in range(3)]
    np.testing.assert_allclose(one.value[:3], rows, rtol=1e-5)
    still = measured(np.stack([0.4 + 0.1 * gaussian_field(np.random.default_rng(2), 64, 8)] * 3), 16)
    for quantity in (SHARE, NDVI, WEIGHTED):
        np.testing.assert_allclose(still.standard_error(quantity), 0, atol=1e-7)
        assert still.shared(quantity) == 0


def noisy(rng, land, *, dates, sd=0.05, length=6.0, nugget=0.3):
    side = land.shape[0]
    return np.stack([land + sd * gaussian_field(rng, side, length, nugget) for _ in range(dates)])


def test_where_next_to_nothing_was_seen_no_interval_is_claimed(tmp_path):
    ndvi = np.full((8, 8), np.nan)
    ndvi[2, 2], ndvi[5, 5] = 0.5, 0.7
    paths = [image(tmp_path / f"s_{day}.tif", ndvi) for day in (20210705, 20210706)]
    for chosen in (paths, paths[:1]):
        table, found = greens(chosen, squares(2, 2), value="ndvi", min_coverage=0.01)
        assert found.dates == len(chosen)
        np.testing.assert_allclose(table.value, [0.5, np.nan, np.nan, 0.7], atol=1e-6)
        assert np.isnan([table.se, table.lower, table.upper]).all()
        assert any("no interval is claimed" in limit for limit in table.sheet.limits)
    dates, single = (greens(chosen, squares(2, 2))[0].sheet for chosen in (paths, paths[:1]))
    assert "differences between dates" in dates.error_model
    assert "spread of means over places" in single.error_model


def test_nothing_seen_is_refused():
    with pytest.raises(ImageError, match="Nothing was seen in any cell: all of it is cloud"):
        measured(np.full((2, 32, 32), np.nan), 16)


# -- from cells to districts -------------------------------------------------------------------


def whole_of(cells):
    return Cells(
        np.array([shapely.union_all(cells.geometry)]), np.array(["all"], dtype=object), cells.crs, "whole"
    )


def test_the_country_from_its_cells_by_hand(tmp_path):
    ndvi = np.empty((8, 8))
    ndvi[:4, :4], ndvi[:4, 4:], ndvi[4:, :4], ndvi[4:, 4:] = 0.8, 0.6, 0.2, -0.5
    path = image(tmp_path / "s_20210705.tif", ndvi)
    people = np.array([[1, 3], [0, 4]], np.float32)
    population = write(tmp_path / "people.tif", people, size=40)
    cells = squares(2, 2)
    area = cells.area_m2
    drawn = {"share": 0.5, "ndvi": 0.275, "area": (np.array([0.8, 0.6, 0.2, 0]) * area).sum()}
    for value, answer in drawn.items():
        table, found = greens([path], cells, value=value)
        np.testing.assert_allclose(green_of(table, found, whole_of(cells), value).value, [answer], rtol=1e-4)
    with Scene([population]) as scene:
        table, found = greens([path], cells, value="per-head", population=scene)
        one = green_of(table, found, whole_of(cells), "per-head")
    # cells 1, 2 and 4 have people: (0.8 + 0.6 + 0) x area / 8; the third has green but nobody
    np.testing.assert_allclose(one.value, [1.4 * area[0] / 8], rtol=1e-4)
    assert one.sheet.weights == "people"


def test_errors_that_all_cells_share_do_not_average_out_over_a_country():
    rng = np.random.default_rng(6)
    stack = noisy(rng, 0.4 + 0.1 * rng.normal(size=(160, 160)), dates=4, length=2)
    stack += np.array([0.06, -0.02, 0.03, -0.07])[:, None, None]
    cells = squares(10, 10, side=160)
    found = measured(stack, 16)
    from test_indicator_table import sheet

    from jido.indicators.table import indicator_table

    table = indicator_table(
        cells,
        found.mean(NDVI),
        found.standard_error(NDVI),
        coverage=found.coverage,
        n=found.n,
        sheet=sheet(),
    )
    assert green_of(table, found, whole_of(cells), "ndvi").se[0] > 0.6 * table.se.mean()


def test_a_country_of_which_people_are_not_known_everywhere_is_not_covered(tmp_path):
    path = image(tmp_path / "s_20210705.tif", 0.5)
    population = write(tmp_path / "people.tif", np.ones((1, 4), np.float32), size=20)  # the upper quarter
    cells = squares(4, 4, side=20)
    with Scene([population]) as scene:
        table, found = greens([path], cells, value="per-head", population=scene)
        one = green_of(table, found, whole_of(cells), "per-head")
    assert table.empty.tolist() == [False] * 4 + [True] * 12
    assert one.coverage[0] < 0.5


# -- maps and pictures -------------------------------------------------------------------------


def test_a_grid_of_cells_becomes_a_raster(some_dates):
    with Scene(some_dates[:1]) as scene:
        cells = grid_cells(scene.geobox.extent, size_m=100)
    table, _ = greens(some_dates, cells)
    raster = cell_raster(table)
    assert raster.names == ("value", "lower", "upper", "coverage", "n")
    assert raster.geobox.crs == cells.crs
    col, row = np.array([~raster.geobox.affine * (p.x, p.y) for p in shapely.centroid(cells.geometry)]).T
    found = raster.data[:, row.astype(int), col.astype(int)]
    np.testing.assert_allclose(found[0], table.value, rtol=1e-6)
    np.testing.assert_allclose(found[3], table.coverage, rtol=1e-6, atol=1e-9)
    assert np.isfinite(raster.data[3]).sum() == len(cells)  # and nothing elsewhere
    discs = shapely.buffer(shapely.centroid(squares(2, 2).geometry), 20)
    ids = np.array(list("abcd"), dtype=object)
    assert cell_raster(greens(some_dates, Cells(discs, ids, UTM, "discs"))[0]) is None


def test_the_title_of_the_picture_says_the_unit_once(some_dates, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda axes, text, **how: titles.append(text))
    for value, title in (("share", "green (share)"), ("ndvi", "green (ndvi)"), ("area", "green (area), m²")):
        table, _ = greens(some_dates[:1], squares(2, 2, side=160), value=value)
        draw_table(table, tmp_path / "green.png")
        assert titles[-2] == title


def test_the_picture_shows_value_width_and_what_is_empty(some_dates, tmp_path):
    image_of = pytest.importorskip("matplotlib.image")
    table, _ = greens(some_dates, squares(7, 4, side=160))  # the last row lies half outside
    shown = image_of.imread(draw_table(table, tmp_path / "green.png"))[..., :3]
    grey = np.abs(shown - 0xD9 / 255).max(axis=-1) < 0.01
    colours = np.ptp(shown, axis=-1) > 0.2
    assert table.empty.any()
    assert grey.sum() > 1000
    assert colours.sum() > 10_000


def test_bounds_without_a_standard_error_are_drawn_as_half_their_width(some_dates, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(cell_map, "save", lambda figure, target: figures.append(figure) or target)
    table, _ = greens(some_dates[:1], squares(2, 2, side=160))
    none = np.full(4, np.nan)
    lower, upper = np.array([0.1, 0.2, 0.3, np.nan]), np.array([0.2, 0.6, 0.3, np.nan])
    for low, high in ((lower, upper), (none, none)):
        draw_table(replace(table, se=none, lower=low, upper=high), tmp_path / "bounds.png")
    bounds, nothing = (figure.axes[1] for figure in figures)
    assert bounds.get_title() == "half of upper - lower (no standard error), share"
    np.testing.assert_allclose(bounds.collections[1].get_array(), [0.05, 0.2, 0])  # the fourth cell is grey
    assert nothing.get_title() == "half the width of the 95% interval, share"
    assert [text.get_text() for text in nothing.texts] == ["none claimed"]


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not HONG_KONG.exists(), reason="lcz_hongkong is not at ../shared/data")
def test_forest_is_green_in_hong_kong_and_water_and_towers_are_not():
    import pyogrio

    file = HONG_KONG / "hong_kong_lcz.gpkg"
    areas = read_areas(file, id_field="polygon_id")
    frame = pyogrio.read_dataframe(file)
    lcz = dict(zip(frame["polygon_id"].astype(str), frame["lcz"], strict=True))
    kinds = np.array([lcz[name] for name in areas.ids])
    paths = sorted(HONG_KONG.glob("landsat8_*.tif"))
    with open_series(paths) as series:
        cells = Cells(areas.geometry, areas.ids, areas.crs, "polygons", areas.notes)
        table, found = green(series, cells, GreenConfig(value="share", months=(10, 11)))
    means = {kind: np.nanmean(table.value[kinds == kind]) for kind in (1, 11, 17)}
    assert means[11] > 0.95, means  # dense trees
    assert means[1] < 0.1, means  # compact high-rise
    assert means[17] < 0.02, means  # water
    assert found.dates == 4
    seen = ~table.empty
    assert ((table.lower <= table.value) & (table.value <= table.upper))[seen].all()


def test_the_maximum_is_said_to_be_too_high_and_its_interval_knows_it(some_dates):
    table, found = greens(some_dates, squares(5, 3, side=190), value="ndvi", composite="max")
    plain, _ = greens(some_dates, squares(5, 3, side=190), value="ndvi")
    assert (table.value > plain.value).all()
    assert any("maximum of noisy dates is too high" in limit for limit in table.sheet.limits)
    assert (found.response.bend[NDVI] < 0).all()
    assert (table.lower < plain.value).all()


def test_reflectance_of_the_helper_has_its_ndvi():
    red, nir = reflectance([[0.6]], total=0.5)
    np.testing.assert_allclose((nir - red) / (nir + red), [[0.6]], rtol=1e-6)
    np.testing.assert_allclose(red + nir, [[0.5]], rtol=1e-6)
