"""The class scheme, Labels, and how labels come onto a grid."""

import numpy as np
import pytest
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import LabelsError
from jido.labels import ClassScheme, Labels, LandClass, binary_scheme, lcz_scheme, named_scheme

UTM = CRS("EPSG:32649")
GRID = GeoBox.from_bbox((500_000, 2_000_000, 500_800, 2_000_600), UTM, resolution=100)  # 6 rows, 8 columns


def box(col, row, cols=1.0, rows=1.0):
    """A rectangle in pixels of GRID, from the upper left."""
    left, top = 500_000 + 100 * col, 2_000_600 - 100 * row
    return shapely.box(left, top - 100 * rows, left + 100 * cols, top)


def make(*items, crs=UTM, groups=None):
    geometry = np.array([g for g, _ in items], dtype=object)
    codes = np.array([code for _, code in items])
    groups = np.arange(len(items)) if groups is None else np.array(groups)
    return Labels(geometry, codes, groups, crs, lcz_scheme())


# -- scheme ------------------------------------------------------------------------------------


def test_lcz_scheme_is_the_published_one():
    scheme = lcz_scheme()
    assert scheme.codes == tuple(range(1, 18))
    assert scheme.labels == (*map(str, range(1, 11)), *"ABCDEFG")
    assert scheme.built == frozenset(range(1, 11))
    assert scheme.weights.shape == (17, 17)
    np.testing.assert_array_equal(scheme.weights, scheme.weights.T)
    np.testing.assert_array_equal(np.diag(scheme.weights), 1)
    assert (scheme.weights[~np.eye(17, dtype=bool)] < 1).all()
    assert scheme.classes[0].rgb == (0x8C, 0, 0)
    assert len({c.color for c in scheme.classes}) == 17


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((str(code), code) for code in range(1, 18)),
        *((letter, 11 + i) for i, letter in enumerate("ABCDEFG")),
        *((str(101 + i), 11 + i) for i in range(7)),
        *((offset + i, i) for offset in (30, 50) for i in range(1, 11)),
        *((c.name, c.code) for c in lcz_scheme().classes),
        (41, 15),  # WRF: asphalt is LCZ E, not A
        (61, 15),
        (3.0, 3),
        (" g ", 17),
        ("LCZ 3", 3),
        ("lcz_A", 11),
        ("LCZ-10", 10),
        ("3 - Compact lowrise", 3),
        ("3. Compact lowrise", 3),
        ("D: low plants", 14),
        ("1 (#2)", 1),
    ],
)
def test_parse_knows_every_coding(text, code):
    assert lcz_scheme().parse(text)[0] == code


@pytest.mark.parametrize(
    "text", ["", "LCZ", "0", 0, 18, "H", 29, 42, 62, 100, 108, -1, 0.5, 3.5, "town", "2013-11"]
)
def test_parse_refuses_what_is_no_class(text):
    assert lcz_scheme().parse(text) is None


def test_no_text_means_two_classes():
    tables = lcz_scheme().codings.values()
    texts = [text for table in tables for text in table]
    assert len(texts) == len(set(texts))


def test_index_and_subset():
    scheme = lcz_scheme().subset([17, 3])
    assert scheme.labels == ("3", "G")
    assert scheme.weights[0, 1] == lcz_scheme().weights[2, 16]
    np.testing.assert_array_equal(scheme.index(np.array([[17, 3], [0, 5]])), [[1, 0], [-1, -1]])


@pytest.mark.parametrize("n", [2, 16, 60])
def test_named_classes_have_codes_and_colours_of_their_own(n):
    scheme = named_scheme("scene", [f"class {i}" for i in range(n)])
    assert scheme.codes == tuple(range(1, n + 1))
    assert len({c.color for c in scheme.classes}) == n
    assert ClassScheme.from_dict(scheme.to_dict()).labels == scheme.labels


def test_too_many_named_classes_are_refused():
    with pytest.raises(LabelsError, match="1 to 254"):
        named_scheme("scene", [str(i) for i in range(255)])


def test_a_binary_scheme_has_background_and_target():
    scheme = binary_scheme("shade field")
    assert scheme.codes == (1, 2)
    assert scheme.labels == ("background", "shade field")
    assert [scheme.parse(text)[0] for text in (1, "2", "Background", "Shade Field")] == [1, 2, 1, 2]
    again = ClassScheme.from_dict(scheme.to_dict())
    assert again.to_dict() == scheme.to_dict()
    assert again.codings == scheme.codings


@pytest.mark.parametrize("name", ["", " ", "Background", "1", "2"])
def test_a_target_needs_a_name_of_its_own(name):
    with pytest.raises(LabelsError, match="name of its own"):
        binary_scheme(name)


# -- Labels ------------------------------------------------------------------------------------


def test_labels_are_validated():
    with pytest.raises(LabelsError, match=r"codes \[0, 99\]|Codes \[0, 99\]"):
        make((box(0, 0), 99), (box(1, 0), 0))
    with pytest.raises(LabelsError, match="as many geometries as codes and groups"):
        make((box(0, 0), 1), groups=[1, 2])
    with pytest.raises(LabelsError, match="no CRS"):
        make((box(0, 0), 1)).to_crs(None)


def test_subset_takes_index_and_mask():
    labels = make((box(0, 0), 1), (box(1, 0), 2), (box(2, 0), 3), groups=["a", "b", "c"])
    for keep in (np.array([2, 0]), np.array([True, False, True])):
        assert sorted(labels.subset(keep).groups.tolist()) == ["a", "c"]


def test_to_geodataframe_says_class_and_group():
    row = make((box(0, 0), 11), groups=["park"]).to_geodataframe().iloc[0]
    assert (row.code, row.label, row["name"], row.group) == (11, "A", "Dense trees", "park")


# -- burn --------------------------------------------------------------------------------------


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre():
    burned = make((box(0, 0, 1.49, 0.51), 1), (box(4, 4, 0.49, 1), 2), (box(6.51, 1, 1, 1), 3)).burn(GRID)
    expected = np.zeros((6, 8), dtype=np.uint8)
    expected[0, 0] = 1
    expected[1, 7] = 3
    np.testing.assert_array_equal(burned.codes, expected)
    assert burned.codes.dtype == np.uint8
    assert burned.item[1, 7] == 2
    assert (burned.item == -1).sum() == 48 - 2


def test_holes_stay_empty():
    burned = make((shapely.difference(box(1, 1, 3, 3), box(2, 2)), 4)).burn(GRID)
    assert burned.codes.sum() == 8 * 4
    assert burned.codes[2, 2] == 0


def test_contradicted_pixels_belong_to_nobody():
    labels = make((box(0, 0, 3, 1), 1), (box(2, 0, 3, 1), 2), (box(2, 0), 3))
    burned = labels.burn(GRID)
    np.testing.assert_array_equal(burned.codes[0], [1, 1, 0, 2, 2, 0, 0, 0])
    np.testing.assert_array_equal(burned.item[0], [0, 0, -1, 1, 1, -1, -1, -1])


def test_of_one_class_the_first_item_has_the_pixel():
    burned = make((box(0, 0, 3, 1), 5), (box(2, 0, 3, 1), 5)).burn(GRID)
    np.testing.assert_array_equal(burned.item[0], [0, 0, 0, 1, 1, -1, -1, -1])


def test_a_point_has_its_pixel():
    burned = make((shapely.Point(500_301, 2_000_599), 9), (shapely.Point(0, 0), 1)).burn(GRID)
    assert np.argwhere(burned.codes).tolist() == [[0, 3]]
    assert burned.item[0, 3] == 0


def test_labels_in_degrees_burn_as_in_metres():
    labels = make((box(1.1, 1.1, 3, 2), 6), (box(5.2, 3.1, 2, 2), 8))
    there = labels.to_crs(CRS("EPSG:4326"))
    assert np.abs(shapely.bounds(there.geometry)).max() < 180
    np.testing.assert_array_equal(there.burn(GRID).codes, labels.burn(GRID).codes)
    back = there.to_crs(UTM)
    assert shapely.hausdorff_distance(back.geometry, labels.geometry).max() < 1e-3
    assert labels.to_crs(UTM) is labels


def test_labels_beyond_the_reach_of_the_grids_crs_burn_to_nothing():
    far = make((shapely.box(20.9, -0.1, 21.1, 0.1), 1), crs=CRS("EPSG:4326"))  # 90 degrees from the meridian
    assert not far.burn(GRID).codes.any()


@pytest.mark.parametrize("codes", [(0, 1), (1, 255), (3, 3)])
def test_a_scheme_needs_different_codes_between_no_label_and_no_data(codes):
    with pytest.raises(LabelsError, match="different codes from 1 to 254"):
        ClassScheme("x", tuple(LandClass(c, str(c), "name", "#000000") for c in codes))
