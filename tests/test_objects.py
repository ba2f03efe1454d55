"""Tracing objects strip by strip gives what the whole array gives; areas are those on the ellipsoid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyproj
import pytest
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import shapes
from scipy.ndimage import label, maximum

from jido.geo import NO_CLASS, geodesic_area, trace_objects


def strips(codes: np.ndarray, heights: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows in strips of these heights, over and over; values are 0, 1, 2, ... cell by cell."""
    values = np.arange(codes.size).reshape(codes.shape)
    top, k = 0, 0
    while top < len(codes):
        end = top + heights[k % len(heights)]
        yield codes[top:end], values[top:end]
        top, k = end, k + 1


def traced(codes: np.ndarray, heights: list[int]) -> tuple[np.ndarray, ...]:
    """Polygons, codes, cells, totals and peaks in the order of their text."""
    found = trace_objects(strips(codes, heights), width=codes.shape[1])
    polygons, *rest = (np.concatenate(column) for column in zip(*found, strict=True))
    assert shapely.is_valid(polygons).all()
    return ordered(polygons, *rest)


def ordered(polygons: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    same = shapely.normalize(polygons)
    order = np.argsort(shapely.to_wkt(same)) if len(same) else []
    return same[order], *(np.asarray(column)[order] for column in columns)


def at_once(codes: np.ndarray, transform: Affine | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What GDAL makes of the whole array."""
    found = shapes(
        codes.astype(np.int32),
        mask=codes != NO_CLASS,
        connectivity=4,
        transform=transform or Affine.identity(),
    )
    pairs = [(shapely.geometry.shape(shape), int(code)) for shape, code in found]
    polygons = np.array([polygon for polygon, _ in pairs], dtype=object)
    return ordered(polygons, np.array([code for _, code in pairs], dtype=np.int64))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and bool(shapely.equals_exact(one, other, tolerance=0).all())


def drawn(text: str) -> np.ndarray:
    """``#`` is class 1, ``.`` nothing, a digit a class."""
    rows = [row.strip() for row in text.strip().splitlines()]
    return np.array([[{"#": 1, ".": NO_CLASS}.get(c) or int(c) for c in row] for row in rows])


# -- tracing -----------------------------------------------------------------------------------


@st.composite
def rasters(draw: st.DrawFn) -> np.ndarray:
    """Few classes, so that objects wind, touch at corners and hold each other."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    classes, zoom = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 5]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = random.integers(0, classes + 1, (-(-height // zoom), -(-width // zoom)))
    codes = np.kron(codes, np.ones((zoom, zoom), dtype=np.int64))[:height, :width]
    return np.where(codes == 0, NO_CLASS, codes) if draw(st.booleans()) else codes


def last_cells(codes: np.ndarray) -> Iterator[int]:
    """The last cell of every object, which holds its highest value."""
    values = np.arange(codes.size).reshape(codes.shape)
    for code in np.unique(codes[codes != NO_CLASS]):
        number, count = label(codes == code)
        yield from maximum(values, number, range(1, count + 1))


@settings(max_examples=150, deadline=None)
@given(rasters(), st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_strips_give_what_the_whole_gives(codes: np.ndarray, heights: list[int]):
    polygons, found, cells, totals, peaks = traced(codes, heights)
    expected, classes = at_once(codes)
    assert same(polygons, expected)
    assert (found == classes).all()
    assert (cells == shapely.area(polygons)).all()
    _, _, _, whole, highest = traced(codes, [len(codes)])
    assert (totals == whole).all()
    assert (peaks == highest).all()
    assert totals.sum() == np.flatnonzero(codes != NO_CLASS).sum()
    assert sorted(peaks) == sorted(last_cells(codes))


SPIRAL = """
    #########
    ........#
    #######.#
    #.....#.#
    #.###.#.#
    #.#...#.#
    #.#####.#
    #.......#
    #########
"""
COMB = """
    #.#.#.#
    #.#.#.#
    #.###.#
    #.....#
    #######
"""
RINGS = """
    2222222
    2#####2
    2#222#2
    2#2.2#2
    2#222#2
    2#####2
    2222222
"""


@pytest.mark.parametrize("height", [1, 2, 3, 100])
@pytest.mark.parametrize(("text", "objects"), [(SPIRAL, 1), (COMB, 2), (RINGS, 3)])
def test_an_object_that_crosses_every_border_is_whole(text: str, objects: int, height: int):
    codes = drawn(text)
    polygons, *_ = traced(codes, [height])
    assert len(polygons) == objects
    assert same(polygons, at_once(codes)[0])


def test_no_vertex_is_left_where_strips_met():
    [square], *_ = traced(np.ones((9, 5), dtype=np.int64), [2])
    assert square.equals(shapely.box(0, 0, 5, 9))
    assert len(square.exterior.coords) == 5


def test_a_hole_that_touches_the_shell_is_a_hole():
    [polygon], *_ = traced(drawn("###\n#.#\n##."), [1])
    assert len(polygon.interiors) == 1
    assert polygon.is_valid


def test_cells_that_touch_at_a_corner_are_two_objects():
    assert len(traced(drawn("#.\n.#"), [1])[0]) == 2


def test_objects_are_given_out_before_the_end():
    """A column of islands: only the open one is held."""
    codes = np.full((400, 6), NO_CLASS)
    codes[::4, 2:4] = 1
    taken = 0

    def counted() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal taken
        for strip in strips(codes, [4]):
            taken += 1
            yield strip

    given_out = 0
    for objects in trace_objects(counted(), width=6):
        given_out += len(objects.codes)
        assert taken - given_out <= 3
    assert given_out == 100


# -- areas -------------------------------------------------------------------------------------


def geod_area(polygon: shapely.Polygon, crs: pyproj.CRS, step: float) -> float:
    """By geodesics between points that are close together."""
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    earth = shapely.transform(
        shapely.segmentize(polygon, step), lambda xy: np.column_stack(to_degrees.transform(*xy.T))
    )
    return abs(crs.get_geod().geometry_area_perimeter(earth)[0])


@pytest.mark.parametrize(
    ("crs", "box", "step"),
    [
        (32632, (500_000, 5_300_000, 500_010, 5_300_010), 10),
        (32632, (300_000, 5_300_000, 400_000, 5_400_000), 500),
        (4326, (7, 50, 10, 52), 0.005),
        (4326, (179, 50, 181, 52), 0.005),  # across the date line
        (3857, (0, 8_000_000, 100_000, 8_100_000), 500),
        (3413, (-300_000, -300_000, 300_000, 300_000), 200),  # around the pole
        (2263, (900_000, 200_000, 910_000, 210_000), 100),  # in feet
    ],
)
def test_area_is_geodesic(crs: int, box: tuple[float, ...], step: float):
    crs = pyproj.CRS(crs)
    shell = shapely.box(*box)
    hole = shapely.affinity.scale(shell, 0.2, 0.3)
    polygon = shell.difference(hole)
    [area] = geodesic_area(np.array([polygon]), crs)
    expected = geod_area(shell, crs, step) - geod_area(hole, crs, step)
    assert area == pytest.approx(expected, rel=1e-7)


def test_the_whole_earth_has_its_area():
    sphere = pyproj.CRS.from_dict({"proj": "longlat", "R": 1000})
    [area] = geodesic_area(np.array([shapely.box(-180, -90, 180, 90)]), sphere)
    assert area == pytest.approx(4 * np.pi * 1000**2)


def test_off_the_earth_there_is_no_area():
    crs = pyproj.CRS.from_dict({"proj": "ortho", "lat_0": 0, "lon_0": 0})
    boxes = shapely.box([0, 6e6], [0, 6e6], [1e5, 6.1e6], [1e5, 6.1e6])
    assert np.isnan(geodesic_area(boxes, crs)).tolist() == [False, True]
