import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import box

from jido.errors import ImageError, LabelsError
from jido.indicators import outlines
from jido.indicators.cells import Cells, equal_area_crs, grid_cells, tile_cells
from jido.indicators.shares import Placed, bands_of_rows, cell_sums, pixel_areas
from jido.io.areas import read_areas

UTM = CRS("EPSG:32633")


def grid(rows=4, cols=4, size=10.0, crs=UTM, left=500_000, top=5_000_000):
    return GeoBox((rows, cols), Affine(size, 0, left, 0, -size, top), crs)


def cells(*polygons, crs=UTM):
    ids = np.array([f"c{i}" for i in range(len(polygons))], dtype=object)
    return Cells(np.array(polygons, dtype=object), ids, crs, "test")


def plane(placed, rows, cols):
    """Share of every pixel of a window in every cell, (cells, rows, cols)."""
    window = tuple(slice(0, side) if isinstance(side, int) else side for side in (rows, cols))
    shares = placed.shares(window)
    drawn = np.zeros((shares.cells, *(side.stop - side.start for side in window)))
    drawn[shares.cell, shares.row, shares.col] = shares.share
    for cell, row, start, stop, share in zip(
        shares.run_cell, shares.run_row, shares.start, shares.stop, shares.run_share, strict=True
    ):
        assert not drawn[cell, row, start:stop].any()  # no pixel comes twice
        drawn[cell, row, start:stop] = share
    return drawn


def of(values, geobox, *polygons, pixels=10**9):
    placed = Placed(cells(*polygons, crs=geobox.crs), geobox)
    values = np.asarray(values, dtype=np.float32)[None]
    return placed, cell_sums(placed, geobox, lambda w: values[(slice(None), *w)], pixels=pixels)


def test_shares_of_a_cell_that_cuts_pixels_by_hand():
    # 10 m pixels; the cell spans columns 0.5 .. 2.25 and rows 1.0 .. 1.5
    placed = Placed(cells(shapely.box(500_005, 4_999_985, 500_022.5, 4_999_990)), grid())
    drawn = np.zeros((4, 4))
    drawn[1, :3] = 0.25, 0.5, 0.125
    np.testing.assert_allclose(plane(placed, 4, 4)[0], drawn, atol=1e-12)
    np.testing.assert_allclose(placed.size, 0.875)


def test_mean_by_hand():
    values = np.zeros((4, 4))
    values[1] = [8, 2, 4, 99]
    _, sums = of(values, grid(), shapely.box(500_005, 4_999_985, 500_022.5, 4_999_990))
    # (0.25 * 8 + 0.5 * 2 + 0.125 * 4) / 0.875 = 3.5 / 0.875
    np.testing.assert_allclose(sums.mean, [[4.0]], rtol=1e-6)


def test_a_triangle_cuts_pixels_in_halves():
    placed = Placed(cells(shapely.Polygon([(500_000, 5e6), (500_020, 5e6), (500_000, 5e6 - 20)])), grid())
    drawn = np.zeros((4, 4))
    drawn[0, :2], drawn[1, 0] = (1, 0.5), 0.5
    np.testing.assert_allclose(plane(placed, 4, 4)[0], drawn, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 7, 32])
def test_windows_put_a_cell_together(rows):
    geobox, rng = grid(32, 32), np.random.default_rng(0)
    values = rng.normal(size=(32, 32))
    values[rng.random((32, 32)) < 0.2] = np.nan
    blob = shapely.Point(500_160, 5e6 - 160).buffer(131.3)
    part = shapely.box(500_003, 5e6 - 77, 500_009, 5e6 - 71)
    _, whole = of(values, geobox, blob, part)
    _, sewn = of(values, geobox, blob, part, pixels=rows * 32)
    for one, two in zip(vars(whole).values(), vars(sewn).values(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    np.testing.assert_allclose(whole.inside[0], blob.area / 100, rtol=1e-6)


def test_what_lies_off_the_image_or_has_no_data_is_not_covered():
    values = np.ones((4, 4))
    values[:, 0] = np.nan
    placed, sums = of(
        values,
        grid(),
        shapely.box(500_000, 4_999_960, 500_040, 5_000_000),  # the image: 3 of 4 columns
        shapely.box(500_020, 4_999_960, 500_060, 5_000_000),  # half of it outside
        shapely.box(500_000, 4_999_960, 500_010, 5_000_000),  # nothing seen
        shapely.box(600_000, 4_999_960, 600_010, 5_000_000),  # elsewhere
    )
    np.testing.assert_allclose(sums.coverage(placed)[0], [0.75, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(sums.mean[0], [1, 1, np.nan, np.nan])
    np.testing.assert_allclose(sums.seen[0], [12, 8, 0, 0], rtol=1e-6)


def test_pixels_in_degrees_weigh_as_much_as_their_ground():
    geobox = GeoBox((2, 1), Affine(1, 0, 0, 0, -30, 60), "EPSG:4326")  # 60..30, 30..0 degrees north
    _, sums = of([[1.0], [0.0]], geobox, shapely.box(0, 0, 1, 60))
    ratio = (np.sin(np.pi / 3) - np.sin(np.pi / 6)) / np.sin(np.pi / 3)  # on a sphere
    np.testing.assert_allclose(sums.mean[0, 0], ratio, atol=0.003)
    assert abs(sums.mean[0, 0] - 0.5) > 0.07


def test_pixel_areas_are_those_of_the_ellipsoid():
    fine = GeoBox((100, 40), Affine(0.001, 0, 10, 0, -0.001, 50), "EPSG:4326")
    area = pixel_areas(fine, (slice(10, 90), slice(0, 40)))
    assert area.shape == (80, 40)
    whole = Cells(
        np.array([fine[10:90, 0:40].extent.geom], dtype=object), np.array(["a"]), CRS("EPSG:4326"), ""
    )
    np.testing.assert_allclose(area.sum(), whole.area_m2[0], rtol=1e-7)
    np.testing.assert_allclose(pixel_areas(grid(), (slice(0, 1), slice(0, 4))), 100 / 0.9996**2, rtol=1e-4)


def test_a_rotated_grid_needs_nothing_of_its_own():
    turn = Affine.translation(500_000, 5e6) * Affine.rotation(30) * Affine.scale(10, -10)
    geobox = GeoBox((8, 8), turn, UTM)
    corners = [turn * p for p in [(1, 1), (3.5, 1), (3.5, 2), (1, 2)]]
    placed, sums = of(np.ones((8, 8)), geobox, shapely.Polygon(corners))
    np.testing.assert_allclose(sums.inside, [2.5], rtol=1e-6)
    np.testing.assert_allclose(sums.coverage(placed), [[1.0]], rtol=1e-6)


def test_bands_of_rows_are_the_image_once():
    tops = [w[0] for w in bands_of_rows(grid(10, 4), pixels=12)]
    assert [(t.start, t.stop) for t in tops] == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_grid_is_chosen_by_place():
    assert equal_area_crs(box(11, 48, 12, 49, "EPSG:4326")) == CRS("EPSG:3035")
    assert equal_area_crs(box(126, 37, 127, 38, "EPSG:4326")) == CRS("EPSG:6933")
    assert equal_area_crs(box(-40, 38, -30, 39, "EPSG:4326")) == CRS("EPSG:6933")


def test_grid_cells_are_1_km2_and_lie_on_whole_kilometres():
    found = grid_cells(box(4_321_500, 3_210_000, 4_323_000, 3_211_000, "EPSG:3035"))
    assert sorted(found.ids) == ["1kmE4321N3210", "1kmE4322N3210"]
    np.testing.assert_allclose(found.area_m2, 1e6, rtol=1e-6)
    world = grid_cells(box(126.9, 37.5, 126.95, 37.52, "EPSG:4326"))
    np.testing.assert_allclose(world.area_m2, 1e6, rtol=1e-6)
    assert world.kind == "1 km grid (EPSG:6933)"


def test_all_of_a_scene_lies_in_its_grid_cells():
    geobox = grid(40, 40, size=100)
    found = grid_cells(geobox.extent)
    placed = Placed(found, geobox)
    sums = cell_sums(placed, geobox, lambda w: np.ones((1, w[0].stop - w[0].start, 40), np.float32))
    np.testing.assert_allclose(sums.inside.sum(), 1600, rtol=1e-6)
    np.testing.assert_allclose(sums.inside_m2.sum(), 16e6, rtol=1e-3)
    full = sums.coverage(placed)[0] > 1 - 1e-6
    assert 0 < full.sum() < len(found)


@pytest.mark.parametrize(("crs", "words"), [("EPSG:4326", "degrees"), ("EPSG:3857", "0.78 of")])
def test_a_grid_that_is_not_1_km_is_refused_in_words(crs, words):
    with pytest.raises(ImageError, match=words):
        grid_cells(box(10, 28, 10.1, 28.1, "EPSG:4326"), crs=crs)


def test_a_scene_across_the_date_line_is_refused_in_words():
    with pytest.raises(ImageError, match="date line"):
        grid_cells(box(700_000, 1_000_000, 900_000, 1_100_000, "EPSG:32660"))


def test_tiles_by_hand():
    # Seoul: https://wiki.openstreetmap.org/wiki/Slippy_map_tilenames: x = (lon + 180) / 360 * 2**z
    found = tile_cells(box(126.97, 37.56, 126.98, 37.57, "EPSG:4326"), zoom=10)
    lat = np.radians(37.565)
    y = int((1 - np.arcsinh(np.tan(lat)) / np.pi) / 2 * 1024)
    assert found.ids.tolist() == [f"10/{int((126.975 + 180) / 360 * 1024)}/{y}"]
    assert len(tile_cells(box(-180, -90, 180, 90, "EPSG:4326"), zoom=2)) == 16


def test_districts_of_a_file(tmp_path):
    geopandas = pytest.importorskip("geopandas")
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    frame = geopandas.GeoDataFrame(
        {"CODE": ["01", "02", "01"]},
        geometry=[shapely.box(0, 0, 1, 1), bow, shapely.box(2, 0, 3, 1)],
        crs="EPSG:4326",
    )
    frame.to_file(tmp_path / "d.gpkg")
    areas = read_areas(tmp_path / "d.gpkg", id_field="code")
    assert areas.ids.tolist() == ["01", "02"]
    np.testing.assert_allclose(shapely.area(areas.geometry), [2, 0.5])
    assert "1 polygons" in areas.notes[0]
    with pytest.raises(LabelsError, match="no column 'name', only CODE"):
        read_areas(tmp_path / "d.gpkg", id_field="name")
    frame["CODE"] = ["01", None, "03"]
    frame.to_file(tmp_path / "e.gpkg")
    with pytest.raises(LabelsError, match="feature 2"):
        read_areas(tmp_path / "e.gpkg", id_field="code")


def test_ids_are_told_apart():
    with pytest.raises(LabelsError, match="'a' stands for 2"):
        Cells(np.array([shapely.box(0, 0, 1, 1)] * 2, dtype=object), np.array(["a", "a"]), UTM, "x")


def blob(rng, corners):
    """A star of many corners, now and then beyond the image, often with a hole and an island."""
    turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
    around = np.column_stack([np.cos(turn), np.sin(turn)]) * rng.uniform(4, 30, (corners, 1))
    star = shapely.Polygon(around + rng.uniform(0, 40, 2)).buffer(0)
    hole = shapely.box(*np.sort(rng.uniform(0, 40, (2, 2)), axis=0).ravel())
    return star.difference(hole).union(shapely.Point(rng.uniform(0, 40, 2)).buffer(rng.uniform(0.1, 3)))


def test_shares_are_those_of_exactextract():
    exactextract = pytest.importorskip("exactextract", reason="exactextract is not installed")
    source = pytest.importorskip("exactextract.raster").NumPyRasterSource
    rng = np.random.default_rng(3)
    shapes = [blob(rng, int(n)) for n in rng.integers(3, 40, 40)]
    shapes += [
        shapely.box(x, y, x + 5, y + 5) for x, y in ((0, 0), (-2.5, 3), (38, 37), (4.25, 4.75), (-9, 3))
    ]
    box = GeoBox((40, 40), Affine.translation(0, 40) * Affine.scale(1, -1), UTM)
    placed = Placed(cells(*shapes), box)
    numbers = rng.normal(size=(40, 40))
    features = [
        {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": {}} for shape in shapes
    ]
    found = exactextract.exact_extract(source(numbers, 0, 0, 40, 40), features, ["sum", "count"])
    count, total = (np.array([one["properties"][name] or 0 for one in found]) for name in ("count", "sum"))
    whole = placed.shares((slice(0, 40), slice(0, 40)))
    np.testing.assert_allclose(whole.sums(), count, atol=1e-3)  # its shares are float32
    np.testing.assert_allclose(whole.sums(numbers), total, atol=1e-3)
    inside = shapely.area(shapely.intersection(np.array(shapes), shapely.box(0, 0, 40, 40)))
    np.testing.assert_allclose(whole.sums(), inside, atol=1e-8)


def test_windows_of_any_kind_cut_the_same_shares():
    rng = np.random.default_rng(4)
    placed = Placed(
        cells(*[blob(rng, 25) for _ in range(12)]), grid(rows=40, cols=40, size=1.0, left=0, top=40)
    )
    whole = plane(placed, 40, 40)
    for rows, cols in (
        (slice(0, 7), slice(0, 40)),
        (slice(7, 8), slice(3, 40)),
        (slice(20, 40), slice(11, 29)),
    ):
        np.testing.assert_allclose(plane(placed, rows, cols), whole[:, rows, cols], atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_of_a_plane_that_is_nearly_empty_are_the_same_by_either_way(weighted, monkeypatch):
    rng = np.random.default_rng(5)
    shares = Placed(
        cells(*[blob(rng, 25) for _ in range(12)]), grid(rows=40, cols=40, size=1.0, left=0, top=40)
    ).shares((slice(0, 40), slice(0, 40)))
    empty = np.zeros((40, 40), np.float32)
    few = np.where(rng.random((40, 40)) < 0.05, rng.normal(size=(40, 40)), 0).astype(np.float32)
    weight = rng.uniform(0.5, 2, (40, 40)) if weighted else None
    quick = shares.sums(few, weight)
    assert (shares.sums(empty, weight) == 0).all()
    monkeypatch.setattr(outlines, "SPARSE", 1e9)  # nothing but an empty plane is sparse
    np.testing.assert_allclose(quick, shares.sums(few, weight), rtol=1e-12, atol=1e-12)


def test_cells_that_lie_over_each_other_are_measured_each():
    one, two = (
        shapely.box(500_000, 4_999_970, 500_030, 5_000_000),
        shapely.box(500_010, 4_999_960, 500_040, 5e6),
    )
    _, sums = of(np.arange(16).reshape(4, 4), grid(), one, two)
    np.testing.assert_allclose(sums.seen[0], [9, 12])
    np.testing.assert_allclose(sums.mean[0], [5, 8])  # rows 0-2, columns 0-2; all rows, columns 1-3
