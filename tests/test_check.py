"""Every finding of the label lint, and that it keeps still where there is nothing to find."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import LabelsError
from jido.io.vectors import read_labels
from jido.labels import Labels, Problem, lcz_scheme
from jido.labels.check import check_labels, require_trainable

HONG_KONG = Path(__file__).parents[1] / "../shared/data/lcz_hongkong"
UTM = CRS("EPSG:32649")
LON_LAT = CRS("EPSG:4326")
GRID = GeoBox.from_bbox((500_000, 2_000_000, 502_000, 2_001_000), UTM, resolution=100)  # 10 rows, 20 columns


def box(col, row, cols=1.0, rows=1.0):
    """A rectangle in pixels of GRID, from the upper left."""
    left, top = 500_000 + 100 * col, 2_001_000 - 100 * row
    return shapely.box(left, top - 100 * rows, left + 100 * cols, top)


def make(*items, crs=UTM):
    geometry = np.array([g for g, _ in items], dtype=object)
    return Labels(geometry, np.array([c for _, c in items]), np.arange(len(items)), crs, lcz_scheme())


CLEAN = tuple((box(4 * i, row, 2, 2), code) for code, row in ((1, 0), (11, 5)) for i in range(3))
"""Two classes of three polygons of four pixels."""


def with_item(geometry, code):
    return make(*CLEAN, (geometry, code))


def findings(labels, **where):
    return {p.code: p for p in check_labels(labels, **where).problems}


def test_clean_labels_have_no_findings():
    for crs in (UTM, LON_LAT, CRS("EPSG:3857")):
        report = check_labels(make(*CLEAN).to_crs(crs))
        assert report.problems == ()
        assert report.table == {c: {"polygons": 3, "pixels": None} for c in ("1", "A")}
    report = check_labels(make(*CLEAN), geobox=GRID)
    assert report.problems == ()
    assert report.table == {c: {"polygons": 3, "pixels": 12} for c in ("1", "A")}
    assert report.to_dict() == {"polygons": 6, "classes": report.table, "problems": []}


def test_notes_of_the_reader_come_first_and_do_no_harm():
    note = Problem("repaired", "z", "Z dropped: 1.")
    report = check_labels(replace(make(*CLEAN[:-1]), notes=(note,)))
    assert report.problems[0] == note
    assert [p.code for p in report.harmful] == ["few-polygons"]


@pytest.mark.parametrize("where", [{}, {"geobox": GRID}])
@pytest.mark.parametrize("crs", [UTM, LON_LAT])
def test_overlap_of_classes_is_found(where, crs):
    labels = with_item(box(1, 0, 2, 2), 11).to_crs(crs)  # half of it on the first polygon of class 1
    found = findings(labels, **where)["overlap"]
    assert found.level == "warning"
    assert "Classes 1 and A overlap by 20,0" in found.message  # 2 pixels are 20,000 m2, in UTM's scale
    assert "items 0 and 6" in found.message
    assert found.feature == 0


def test_overlap_is_found_where_it_leaves_no_pixel():
    labels = make(*CLEAN, *((g, 2) for g, code in CLEAN if code == 1))
    assert "(places: 3," in findings(labels, geobox=GRID)["overlap"].message


@pytest.mark.parametrize(
    ("geometry", "code"),
    [
        (box(2, 0, 2, 2), 11),  # along an edge
        (box(2, 2, 2, 2), 11),  # at a corner
        (box(1.99, 0, 2, 2), 11),  # a sliver of half a percent
        (box(1, 0, 2, 2), 1),  # of the same class
    ],
)
def test_neighbours_slivers_and_the_same_class_do_not_overlap(geometry, code):
    assert findings(with_item(geometry, code)) == {}


def test_a_point_in_a_polygon_of_another_class_overlaps_it():
    point = shapely.Point(500_110, 2_000_910)
    assert "overlap" in findings(with_item(point, 11))
    assert "overlap" not in findings(with_item(point, 1))


def test_few_polygons_counts_groups_that_can_be_used():
    labels = make(*CLEAN[:-1])
    assert "Class A has too few usable polygons (2)" in findings(labels)["few-polygons"].message
    parts = replace(make(*CLEAN), groups=np.array([0, 1, 2, 3, 3, 4]))
    assert "Class A has too few groups of polygons (2)" in findings(parts)["few-polygons"].message
    valid = np.ones(GRID.shape, dtype=bool)
    valid[5:, 8:] = False  # the third polygon of class A lies there
    found = findings(make(*CLEAN), geobox=GRID, valid=valid)
    assert "Class A has too few usable polygons (2)" in found["few-polygons"].message
    assert found["no-data"].level == "repaired"
    assert check_labels(make(*CLEAN), geobox=GRID, valid=valid).table["A"] == {"polygons": 3, "pixels": 8}


@pytest.mark.parametrize(
    "geometry",
    [
        box(15.2, 8.2, 0.5, 0.5),  # holds a centre, but is a quarter of a pixel
        box(15.6, 2, 0.8, 3),  # larger than a pixel, between the centres
    ],
)
def test_small_polygons_are_found(geometry):
    found = findings(with_item(geometry, 1), geobox=GRID)
    assert set(found) == {"small"}
    assert found["small"].feature == 6
    assert found["small"].message.startswith("Class 1:")
    assert findings(with_item(geometry, 1)) == {}  # without an image nothing is small


def test_one_pixel_points_and_covered_polygons_are_not_small():
    assert findings(with_item(box(15, 8), 1), geobox=GRID) == {}
    assert findings(with_item(shapely.Point(501_550, 2_000_150), 1), geobox=GRID) == {}
    assert findings(with_item(box(0, 0, 1, 2), 1), geobox=GRID) == {}  # inside another one of its class


@pytest.mark.parametrize("where", [{}, {"geobox": GRID}])
@pytest.mark.parametrize("crs", [UTM, LON_LAT])
def test_dominant_polygon(where, crs):
    just = with_item(box(12, 0, 8, 3), 1).to_crs(crs)  # 24 of 36 pixels are two thirds, not more
    assert "dominant" not in findings(just, geobox=GRID)
    large = with_item(box(12, 0, 8, 4), 1).to_crs(crs)  # 32 of 44
    found = findings(large, **where)["dominant"]
    assert "holds 73% of class 1" in found.message
    assert (found.level, found.feature) == ("warning", 6)


def test_dominant_keeps_still_where_polygons_are_too_few():
    labels = make(*CLEAN[:3], (box(0, 5, 9, 4), 11), (box(12, 5), 11))
    assert set(findings(labels)) == {"few-polygons"}


def test_shares_are_of_areas_not_of_square_degrees():
    tropics = [(shapely.box(5 * i, 0, 5 * i + 1, 1), 1) for i in range(2)]
    arctic = [(shapely.box(0, 74, 3, 77), 1)]  # 9 of 11 square degrees, but half of the area
    others = [(shapely.box(5 * i, 10, 5 * i + 1, 11), 2) for i in range(3)]
    assert findings(make(*tropics, *arctic, *others, crs=LON_LAT)) == {}


def test_other_crs_and_partly_outside_are_repaired():
    labels = with_item(box(19, 8, 5, 1), 1)
    found = findings(labels.to_crs(LON_LAT), geobox=GRID)
    assert set(found) == {"other-crs", "partly-outside"}
    assert "in EPSG:4326, the image in EPSG:32649" in found["other-crs"].message
    assert not check_labels(labels, geobox=GRID).harmful
    assert set(findings(with_item(box(30, 8, 5, 1), 1), geobox=GRID)) == {"outside"}


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_polygon_beyond_the_reach_of_the_images_crs_is_outside():
    labels = make(*CLEAN).to_crs(LON_LAT)
    far = shapely.box(20.9, -0.1, 21.1, 0.1)  # 90 degrees from the meridian of UTM 49
    labels = make(*zip(labels.geometry, labels.codes, strict=True), (far, 1), crs=LON_LAT)
    assert set(findings(labels, geobox=GRID)) == {"other-crs", "outside"}


@pytest.mark.parametrize(
    "labels",
    [
        make((box(50, 50), 1)),
        make((shapely.box(20.9, -0.1, 21.1, 0.1), 1), crs=LON_LAT),  # where UTM 49 does not reach
    ],
)
def test_labels_of_another_place_are_refused(labels):
    with pytest.raises(LabelsError, match="No polygon lies inside the image"):
        check_labels(labels, geobox=GRID)


def test_one_class_cannot_train():
    one = make(*CLEAN[:3])
    found = findings(one)
    assert set(found) == {"one-class"}
    assert found["one-class"].level == "error"
    with pytest.raises(LabelsError, match="at least 2 classes, the labels hold only class 1"):
        require_trainable(one)
    require_trainable(make(*CLEAN))
    elsewhere = make(*CLEAN[:3], *((box(30 + 4 * i, 0, 2, 2), 11) for i in range(3)))
    assert "one-class" in findings(elsewhere, geobox=GRID)


def test_no_image_data_under_any_label_is_an_error():
    found = findings(make(*CLEAN), geobox=GRID, valid=np.zeros(GRID.shape, dtype=bool))
    assert "the labels hold no class" in found["one-class"].message


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the Hong Kong LCZ data are not at ../shared/data")
def test_hong_kong_labels_would_not_harm_training():
    with rasterio.open(HONG_KONG / "landsat8_2013-11-29.tif") as source:
        geobox = GeoBox(source.shape, source.transform, source.crs.to_wkt())
        valid = (source.read() > 0).any(axis=0)
    report = check_labels(read_labels(HONG_KONG / "hong_kong_lcz.kml"), geobox=geobox, valid=valid)
    assert report.harmful == ()
    assert {p.code for p in report.problems} == {"empty-folder", "z", "other-crs", "no-data"}
    assert sum(row["pixels"] for row in report.table.values()) == 8846 - 187  # 187 lie outside the swath
    assert sum(row["polygons"] for row in report.table.values()) == 173
