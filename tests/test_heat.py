import functools
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from test_uncertainty import gaussian_field

from jido.errors import ImageError, JidoError, LabelsError
from jido.geo import Band, Raster, identify
from jido.indicators.cells import Cells, grid_cells
from jido.indicators.heat import Thermal, brightness_temperature, class_heat, thermal
from jido.indicators.heat_cells import (
    canopy_parameters,
    canopy_tables,
    excess_table,
    heat_tables,
    shade_table,
)
from jido.indicators.heat_figures import draw_classes, draw_shade, heat_rows, spread
from jido.indicators.shares import bands_of_rows
from jido.io import Scene, read_labels, write_image
from jido.labels import Labels, lcz_scheme

UTM = CRS("EPSG:32633")
LCZ = lcz_scheme()
WHOLE = slice(0, 60), slice(0, 60)
HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"


def grid(side=60, pixel=100.0):
    return GeoBox((side, side), Affine(pixel, 0, 500_000, 0, -pixel, 5e6), UTM)


def raster(plane, band=None):
    plane = np.asarray(plane, dtype=np.float32)
    return Raster(plane[None], (band or Band("T", unit="K"),), grid(plane.shape[0]))


def kelvin(plane):
    return Thermal(raster(plane), "T", "kelvin")


def squares(codes, *, side=4, step=6):
    """Polygons of side x side pixels on a lattice, row by row, and their slices."""
    places = [divmod(i, 60 // step) for i in range(len(codes))]
    at = [(slice(r * step, r * step + side), slice(c * step, c * step + side)) for r, c in places]
    boxes = [
        shapely.box(5e5 + 100 * c.start, 5e6 - 100 * r.stop, 5e5 + 100 * c.stop, 5e6 - 100 * r.start)
        for r, c in at
    ]
    return Labels(np.array(boxes), np.array(codes), np.arange(len(codes)), UTM, LCZ), at


def painted(at, values, ground=290.0):
    plane = np.full((60, 60), ground)
    for window, value in zip(at, values, strict=True):
        plane[window] = value
    return plane


def by(rows, date, label):
    return next(row for row in rows if (row["date"], row["class"]) == (date, label))


def test_brightness_temperature_by_hand():
    # L = 25000 * 3.342e-4 + 0.1 = 8.455; ln(774.8853 / 8.455 + 1) = ln 92.6482 = 4.52881; 1321.0789 / 4.52881
    np.testing.assert_allclose(brightness_temperature(np.array([25_000])), 291.706, atol=1e-3)
    assert np.isnan(brightness_temperature(np.array([0, -1, np.nan]))).all()
    assert (np.diff(brightness_temperature(np.arange(1, 65_536))) > 0).all()


def test_what_the_numbers_are_is_told_from_unit_and_pixels():
    rng = np.random.default_rng(0)
    (b10,) = identify(["B10"])
    for numbers, band, kind in (
        (rng.normal(25_000, 500, (64, 64)), Band(**{**vars(b10), "unit": "DN"}), "level-1 thermal numbers"),
        (
            rng.normal(43_000, 500, (64, 64)),
            Band(**{**vars(b10), "unit": ""}),
            "Collection 2 temperature numbers",
        ),
        (rng.normal(295, 3, (64, 64)), b10, "kelvin"),
        (rng.normal(295, 3, (64, 64)), Band("LST", unit="K"), "kelvin"),
        (rng.normal(22, 3, (64, 64)), Band("LST", unit="degC"), "degrees Celsius"),
    ):
        found = thermal(raster(numbers, band))
        assert found.kind == kind
        assert 270 < np.nanmedian(found.kelvin((slice(0, 64), slice(0, 64)))) < 310


def test_what_is_no_temperature_is_refused_in_words(tmp_path):
    ones = np.random.default_rng(0).uniform(0, 0.4, (64, 64))
    b10, b11 = identify(["B10", "B11"])
    with pytest.raises(ImageError, match="give an image with Landsat-8 B10 or a band in K"):
        thermal(raster(ones, Band("NDVI")))
    with pytest.raises(ImageError, match="can be no temperature"):
        thermal(raster(ones, Band("NDVI")), band="NDVI")
    with pytest.raises(ImageError, match="can be no temperature"):  # says K, holds numbers
        thermal(raster(25_000 + ones, Band("T", unit="K")))
    with pytest.raises(ImageError, match=r"numbers or Collection|numbers or level-1"):  # 276 K or 314 K
        thermal(raster(35_000 + 1000 * ones, Band(**{**vars(b10), "unit": ""})))
    with pytest.raises(ImageError, match=r"Band B11 \(level-1 thermal numbers\) tells no temperature"):
        thermal(raster(25_000 + ones, b11), band="B11", kind="level-1 thermal numbers")
    with pytest.raises(ImageError, match="holds no data"):
        thermal(raster(np.full((64, 64), np.nan), b10))
    path = tmp_path / "LC09_L1TP_121045_20220101_02_T1_B10.tif"
    write_image(raster(25_000 + 100 * ones, Band(**{**vars(b10), "unit": "DN"})), path)
    with Scene([path]) as scene, pytest.raises(ImageError, match="Landsat 9"):
        thermal(scene, kind="level-1 thermal numbers")


def test_pixels_beside_nothing_are_left_out_whatever_the_windows():
    plane = np.random.default_rng(1).normal(290, 2, (60, 60))
    plane[20, 30], plane[40] = np.nan, 150.0
    clear = np.ones((60, 60), dtype=bool)
    clear[5, 5] = False
    image = Thermal(raster(plane), "T", "kelvin", clear=lambda window: clear[window])
    whole = image.kelvin(WHOLE)
    gone = np.isnan(whole)
    assert gone.sum() == 9 + 3 * 60 + 9
    assert gone[19:22, 29:32].all()
    assert gone[39:42].all()
    assert gone[4:7, 4:7].all()
    parts = [image.kelvin((slice(top, min(top + 7, 60)), slice(0, 60))) for top in range(0, 60, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_polygon_is_one_observation_and_needs_half_its_pixels():
    labels, at = squares([3] * 5 + [14] * 6, side=5)
    plane = painted(at, [293, 294, 295, 296, 297] + [290] * 6)
    plane[at[0]][:2] = 330  # within the polygon: its mean moves, its weight does not
    hidden = painted(at, [300] * 11)
    hidden[at[1]][1:4, 1:4] = np.nan  # the pixels beside are gone too: nothing is left
    heat = class_heat({"2020-08-01": kelvin(hidden), "2020-07-01": kelvin(plane)}, labels)
    assert heat.dates == ("2020-07-01", "2020-08-01")
    rows = heat_rows(heat)
    first = by(rows, "2020-07-01", "3")
    mean = ((2 * 330 + 3 * 293) / 5 + 294 + 295 + 296 + 297) / 5
    assert first["kelvin"]["value"] == pytest.approx(mean)
    assert first["difference"]["value"] == pytest.approx(mean - 290)
    assert (first["groups"], first["pixels"], first["reference"]) == (5, 125, "D")
    second = by(rows, "2020-08-01", "3")
    assert (second["groups"], second["pixels"]) == (4, 100)
    assert second["difference"] == {"value": 0.0, "lower": None, "upper": None}  # four groups claim nothing


def test_interval_of_a_difference_by_hand():
    values = np.array([293, 294, 295, 296, 297, 288, 289, 290, 291, 292, 290], dtype=float)
    labels, at = squares([3] * 5 + [14] * 6)
    rows = heat_rows(class_heat({"2020-07-01": kelvin(painted(at, values))}, labels), draws=20_000)
    row = by(rows, "2020-07-01", "3")
    se = np.sqrt(2.5 / 5 + 2.0 / 6)  # variances of 293..297 and of the six: 2.5 and 2.0
    assert row["difference"]["value"] == pytest.approx(5)
    half = (row["difference"]["upper"] - row["difference"]["lower"]) / 2
    assert half == pytest.approx(2.776445 * se, rel=0.03)  # t with 4 degrees of freedom
    assert by(rows, "2020-07-01", "D")["difference"] == {"value": 0.0, "lower": None, "upper": None}


def test_dates_are_a_sample_too():
    labels, at = squares([3] * 6 + [14] * 6)
    days = {f"2020-07-0{d}": kelvin(painted(at, [290 + d] * 6 + [289] * 6)) for d in (1, 3)}
    row = by(heat_rows(class_heat(days, labels)), "all dates", "3")
    # differences 2 and 4, polygons alike: variance 2 / 2 dates = 1, t with 1 degree of freedom 12.7062
    assert row["difference"]["value"] == pytest.approx(3)
    assert row["difference"]["upper"] == pytest.approx(3 + 12.7062, rel=1e-4)
    assert row["kelvin"]["value"] is None


def test_reference_falls_back_to_dense_trees_or_is_refused():
    labels, at = squares([3] * 5 + [11] * 5)
    heat = class_heat({"2020-07-01": kelvin(painted(at, [295] * 5 + [290] * 5))}, labels)
    assert by(heat_rows(heat), "2020-07-01", "3")["reference"] == "A"
    with pytest.raises(LabelsError, match="Class B, the reference, was not seen on every date"):
        heat_rows(heat, reference="B")
    with pytest.raises(ImageError, match="There is no image"):
        class_heat({}, labels)
    far = Labels(labels.geometry, labels.codes, labels.groups, CRS("EPSG:32601"), LCZ)
    with pytest.raises(LabelsError, match="No class was seen on 2020-07-01"):
        class_heat({"2020-07-01": kelvin(painted(at, [295] * 10))}, far)


def test_intervals_cover_and_those_over_pixels_do_not(capsys):
    """120 cities: polygons differ by 1 K, by 0.4 K more on each of 4 dates; classes by 0.5 K a date."""
    rng, hits = np.random.default_rng(5), {"a date": [], "all dates": [], "a date, pixels": []}
    for case in range(120):
        codes = np.repeat([3, 14], rng.integers(6, 25, 2))
        labels, at = squares(codes)
        own, days, truth = rng.normal(size=len(codes)), {}, {"all dates": 4.0}
        for date in ("2020-07-01", "2020-07-02", "2020-07-03", "2020-07-04"):
            truth[date] = 4 + rng.normal(scale=0.5)
            value = 290 + truth[date] * (codes == 3) + own + rng.normal(scale=0.4, size=len(codes))
            days[date] = painted(at, value) + rng.normal(size=(60, 60))
        heat = class_heat({date: kelvin(plane) for date, plane in days.items()}, labels)
        for row in heat_rows(heat, draws=500, seed=case):
            if row["class"] == "3":
                found, case_of = row["difference"], "all dates" if row["date"] == "all dates" else "a date"
                hits[case_of].append(found["lower"] <= truth[row["date"]] <= found["upper"])
        for date, plane in days.items():
            one, two = (np.array([plane[at[i]] for i in np.flatnonzero(codes == c)]).ravel() for c in (3, 14))
            reach = 1.96 * np.sqrt(one.var() / one.size + two.var() / two.size)
            hits["a date, pixels"].append(abs(one.mean() - two.mean() - truth[date]) < reach)
    cover = {name: float(np.mean(hit)) for name, hit in hits.items()}
    with capsys.disabled():
        print("\ncoverage of 95 %, heat island:", {name: round(share, 3) for name, share in cover.items()})
    assert 0.90 <= cover["a date"] <= 0.98
    assert 0.90 <= cover["all dates"] <= 0.98
    assert cover["a date, pixels"] < 0.6


def city_map(rng, *, side=80, length=3.0):
    """Codes of three classes in patches, and temperatures whose noise is correlated over the length."""
    codes = rng.choice([3, 14, 17], (side // 8, side // 8)).repeat(8, 0).repeat(8, 1)
    noise = gaussian_field(rng, side, length, nugget=0.3)
    return codes, 290 + 4.0 * (codes == 3) + 1.0 * (codes == 17) + 1.5 * noise


def test_blocks_of_a_map_cover_where_neighbours_are_alike(capsys):
    rng, hits, naive = np.random.default_rng(6), [], []
    for case in range(50):
        codes, plane = city_map(rng, length=rng.uniform(2, 4))
        heat = class_heat({"2020-07-01": kelvin(plane)}, raster(codes, Band("lcz")))
        row = by(heat_rows(heat, draws=300, seed=case), "2020-07-01", "3")
        hits += [
            row[of]["lower"] <= true <= row[of]["upper"] for of, true in (("kelvin", 294), ("difference", 4))
        ]
        some = plane[codes == 3]
        naive.append(abs(some.mean() - 294) < 1.96 * some.std() / np.sqrt(some.size))
    with capsys.disabled():
        print("\ncoverage of 95 %, map:", np.mean(hits), "pixels:", np.mean(naive))
    assert np.mean(hits) >= 0.90
    assert np.mean(naive) < 0.6


def test_a_map_is_read_alike_whatever_the_windows_and_must_fit(monkeypatch):
    codes, plane = city_map(np.random.default_rng(7), side=64)
    codes[:8] = 0
    image, zones = kelvin(plane), raster(codes, Band("lcz"))
    whole = class_heat({"2020-07-01": image}, zones)
    few = functools.partial(bands_of_rows, pixels=64 * 5)
    monkeypatch.setattr("jido.indicators.heat.bands_of_rows", few)
    parts = class_heat({"2020-07-01": image}, zones)
    np.testing.assert_allclose(parts.total, whole.total)
    np.testing.assert_array_equal(parts.weight, whole.weight)
    assert whole.pixels.sum() == 64 * 56
    with pytest.raises(ImageError, match="lie on two grids"):
        class_heat({"2020-07-01": kelvin(plane[:32, :32])}, zones)
    with pytest.raises(ImageError, match="holds 101, which is no class of 'lcz'"):
        class_heat({"2020-07-01": image}, raster(np.where(codes == 14, 101, codes), Band("lcz")))
    two = Raster(np.stack([codes, codes]).astype(np.float32), (Band("a"), Band("b")), zones.geobox)
    with pytest.raises(ImageError, match="None of the bands a, b is called 'lcz'"):
        class_heat({"2020-07-01": image}, two)


def boxes(n, *, size=1000, top=5e6):
    made = [shapely.box(5e5 + i * size, top - size, 5e5 + (i + 1) * size, top) for i in range(n)]
    return Cells(np.array(made), np.array([f"c{i}" for i in range(n)], dtype=object), UTM, "row")


def test_canopy_of_a_cell_half_highrise_half_grass_by_hand():
    codes = np.zeros((60, 60))
    codes[:10, :5], codes[:10, 5:10] = 1, 14  # the first cell
    codes[:10, 10:20] = 14  # the second one
    codes[:10, 20:24] = 6  # two fifths of the third one
    found = canopy_tables(raster(codes, Band("lcz")), boxes(4))
    np.testing.assert_allclose(found["building_fraction"].value, [0.25, 0, np.nan, np.nan])
    np.testing.assert_allclose(found["urban_fraction"].value, [0.475, 0, np.nan, np.nan])
    np.testing.assert_allclose(found["height_m"].value, [50, np.nan, np.nan, np.nan])  # of what is built
    np.testing.assert_allclose(found["h_w"].value, [2.5, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(found["h_w"].coverage, [1, 1, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(found["h_w"].columns["area_1"], [5e5, 0, 0, 0], rtol=1e-3)
    assert np.isnan(found["urban_fraction"].se).all()
    assert len(canopy_parameters(LCZ)["h_w"]) == 17


def test_canopy_is_set_right_by_what_was_held_out():
    rng, codes = np.random.default_rng(8), np.zeros((60, 60))
    codes[:10, :5], codes[:10, 5:10] = 1, 14
    two = LCZ.subset([1, 14])
    alike = np.stack(
        [[[8, 2], [1, 9]]] * 6
    )  # of what is mapped as 1, 8/9 is; of what is mapped as D, 2/11 is
    zones, cell = raster(codes, Band("lcz")), boxes(1)
    found = canopy_tables(zones, cell, matrices=alike, scheme=two)
    built = (8 / 9 + 2 / 11) / 2
    np.testing.assert_allclose(found["urban_fraction"].value, 0.95 * built)
    np.testing.assert_allclose(found["urban_fraction"].se, 0, atol=1e-9)
    np.testing.assert_allclose(found["height_m"].value, 50)  # whatever the share
    apart = rng.integers(1, 20, (12, 2, 2))
    found = canopy_tables(zones, cell, matrices=apart, scheme=two)["urban_fraction"]
    # urban fraction is .95 x area of LCZ 1 / area of the cell, so their errors go together
    area = found.columns["area_1"] + found.columns["area_D"]
    np.testing.assert_allclose(found.se, 0.95 * found.columns["area_1_se"] / area, rtol=0.1)


def test_excess_of_cells_by_hand():
    labels, at = squares([14] * 6, side=5)
    day = {f"2020-07-0{d}": painted(at, [290.0] * 6, ground=290.0) for d in (1, 2)}
    rows = slice(40, 60)
    day["2020-07-01"][rows, :20], day["2020-07-02"][rows, :20] = 294, 296
    day["2020-07-02"][rows, 20:40] = np.nan
    images = {date: kelvin(plane) for date, plane in day.items()}
    cells = boxes(3, size=2000, top=5e6 - 4000)
    heat = class_heat(images, labels)
    found = excess_table(images, cells, heat)
    np.testing.assert_allclose(found.value, [5, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(found.columns["dates"], [2, 1, 2])
    # dates differ by 4 and 6: s² / 2 = 1; the one date of the second cell takes the pooled (2 + 0) / 2
    np.testing.assert_allclose(found.columns["own_se"][[0, 1]], [1, 1], atol=0.05)
    here = excess_table(images, cells, heat, planned=2)  # these two dates alone, and all of them seen
    assert here.columns["own_se"][0] < 0.2
    one = {"2020-07-01": images["2020-07-01"]}
    assert np.isnan(excess_table(one, cells, class_heat(one, labels)).se).all()


def shade_case(value, se=0.0):
    images = {f"2020-07-0{d}": kelvin(np.full((60, 60), 290.0)) for d in (1, 2)}
    labels, _ = squares([14] * 6)
    made = excess_table(images, boxes(len(value), size=500), class_heat(images, labels))
    fixed = {**made.columns, "own_se": np.full(len(value), se)}
    return type(made)(**{**vars(made), "value": np.array(value, dtype=float), "columns": fixed})


def test_shade_ranks_by_hand_and_never_falls_with_need():
    table, green = shade_case([3.0, 1.0, 2.0]), np.array([0.1, 0.5, 0.3])
    found = shade_table(table, green, people=np.array([100.0, 1000.0, 0.0])).columns
    # shares cooler and greener: 5/6, 1/6, 1/2 each; times people: 83.3, 166.7, 0
    np.testing.assert_allclose(found["score"], [500 / 6, 1000 / 6, 0])
    np.testing.assert_array_equal(found["rank"], [2, 1, 3])
    np.testing.assert_array_equal(found["top_share"], [0, 1, 0])
    rng = np.random.default_rng(9)
    heat, green, people = rng.normal(size=10), rng.uniform(size=10), rng.lognormal(size=10)
    before = shade_table(shade_case(heat), green, people=people).columns["rank"]
    for i in range(10):
        more = np.arange(10) == i
        for changed in (
            shade_table(shade_case(heat + 0.5 * more), green, people=people, draws=1),
            shade_table(shade_case(heat), green * (1 - 0.5 * more), people=people, draws=1),
            shade_table(shade_case(heat), green, people=people * (1 + more), draws=1),
        ):
            assert changed.columns["rank"][i] <= before[i]


def test_a_rank_is_as_sure_as_its_cells_and_unknown_cells_have_none():
    value, green = np.arange(10.0), np.full(10, 0.5)
    sure, unsure = (shade_table(shade_case(value, se), green).columns["top_share"] for se in (0.1, 5.0))
    assert sure[-1] == 1
    assert 0.2 < unsure[-1] < 0.9
    assert unsure.sum() == pytest.approx(1, abs=0.01)  # one of ten is first
    green[0] = np.nan
    assert np.isnan(shade_table(shade_case(value), green).columns["rank"][0])
    assert np.isnan(shade_table(shade_case(value, np.nan), green).columns["top_share"]).all()
    with pytest.raises(JidoError, match="are 10 numbers, one a cell"):
        shade_table(shade_case(value), green[:5])
    with pytest.raises(JidoError, match="nothing can be ranked"):
        shade_table(shade_case(value), np.full(10, np.nan))


def test_numbers_in_a_picture_do_not_lie_on_each_other():
    points = np.array([[0.0, 0], [0.1, 0], [0, 0.2], [9, 9], [0.1, 0.1]])
    moved = spread(points, 1.0)
    apart = np.hypot(*(moved[:, None] - moved).transpose(2, 0, 1)) + 9 * np.eye(5)
    assert apart.min() >= 1
    np.testing.assert_array_equal(moved[[0, 3]], points[[0, 3]])  # the first ones, and those with room, stay
    assert np.hypot(*(moved - points).T).max() < 2.1  # two rings hold five
    assert spread(np.empty((0, 2)), 1.0).shape == (0, 2)


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the Hong Kong LCZ data are not at ../shared/data")
def test_hong_kong_in_one_call_and_in_pictures(tmp_path):
    labels = read_labels(HONG_KONG / "hong_kong_lcz.gpkg")
    files = {name: HONG_KONG / f"landsat8_{name}.tif" for name in ("2013-11-29", "2014-10-15")}
    with (
        Scene([files["2013-11-29"]]) as one,
        Scene([files["2014-10-15"]]) as two,
        Scene([HONG_KONG / "lcz_gt.tif"]) as zones,
    ):
        images = {"2014-10-15": two, "2013-11-29": one}
        cells = grid_cells(one.geobox.extent, size_m=2000)
        drawn = heat_tables(images, labels, cells=cells, reference="A")
        mapped = heat_tables(images, zones, cells=cells, min_coverage=0.05)
    for date, label, kelvin in (
        ("2013-11-29", "8", 7.0),
        ("2013-11-29", "10", 7.3),
        ("2014-10-15", "3", 5.2),
    ):
        row = by(drawn.rows, date, label)["difference"]
        assert row["value"] == pytest.approx(kelvin, abs=0.1)
        assert row["lower"] > 3
    # the raster holds the same pixels as the polygons
    assert by(mapped.rows, "2013-11-29", "8")["pixels"] == by(drawn.rows, "2013-11-29", "8")["pixels"] == 137
    assert mapped.canopy["urban_fraction"].coverage.max() <= 1
    assert not drawn.canopy
    assert 270 < by(drawn.rows, "2014-10-15", "A")["kelvin"]["value"] < 300
    shade = shade_table(drawn.excess, np.random.default_rng(0).uniform(size=len(cells)), draws=50)
    made = [
        draw_classes({"polygons": drawn.rows, "map": mapped.rows}, tmp_path / "classes.png", of="difference"),
        draw_shade(shade, tmp_path / "shade.png"),
    ]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in made)
    paths = shade.write(tmp_path / "shade")
    assert any(path.name == "shade.method.md" for path in paths)
