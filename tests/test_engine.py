"""The map engine: nothing lost, nothing moved, nothing leaked, whatever the tiles and the threads."""

import hashlib
import json
import threading
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate

from jido.errors import ImageError, ModelError, OutputError
from jido.geo import Band, Raster, block_mean_sd, lattice, neighbourhood_mean_sd
from jido.io import Scene, write_image
from jido.labels import ClassScheme, Labels, LandClass, lcz_scheme
from jido.maps import gaussian_filter_lcz, map_scene
from jido.maps.engine import NODATA, probabilities_by_tile
from jido.maps.postfilter import RADIUS_M, SIGMA_M, reach
from jido.stats import figure, per_class

UTM = CRS("EPSG:32649")
NAN = np.nan


def scheme_of(k):
    """``k`` classes with the codes 11, 12, ...: a code is never the place of its class."""
    return ClassScheme(
        "cover", tuple(LandClass(11 + i, f"c{i}", f"class {i}", f"#0000{i:02X}") for i in range(k))
    )


def evaluation_of(scheme):
    """The figures a report asks for; here nobody judged anything."""
    cm = np.zeros((len(scheme.classes),) * 2, int)
    return {
        "metrics": {"oa": figure(0.5)},
        "folds": {"kind": "none", "k": 2, "leaks": False, "buffer_m": 0.0},
        "confusion": cm.tolist(),
        "classes": list(scheme.labels),
        "per_class": per_class(cm[None], scheme),
        "polygons": [],
        "cells": 0,
        "groups": 0,
        "unsure": {"below": 0.5, "share": 0.0, "aimed_error": 0.1},
    }


@dataclass(frozen=True, eq=False)
class Echo:
    """Gives back the place that the scene itself holds: one-hot, ``certainty`` on the class."""

    scheme: ClassScheme = field(default_factory=lambda: scheme_of(5))
    stride: int = 1
    halo: int = 0
    bands: tuple = (Band("place"),)
    pixel_m: tuple = (10.0, 10.0)
    abstain_below: float = 0.0
    certainty: float = 1.0

    @property
    def labels(self):
        square = np.array([shapely.box(500_000, 1_999_900, 500_100, 2_000_000)])
        return Labels(square, np.array([self.scheme.codes[0]]), np.array(["g"]), UTM, self.scheme)

    @property
    def evaluation(self):
        return evaluation_of(self.scheme)

    def predict(self, batch):
        k = len(self.scheme.classes)
        mean, _ = block_mean_sd(batch[:, 0], self.stride)
        place = np.rint(np.nan_to_num(mean)).astype(int)
        rest = (1 - self.certainty) / (k - 1)
        one_hot = np.eye(k, dtype=np.float32)[place]
        return np.moveaxis(one_hot * (self.certainty - rest) + rest, -1, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Around(Echo):
    """Probabilities that hang on every pixel within the halo, to the bit."""

    def predict(self, batch):
        means, spreads = block_mean_sd(batch[:, 0], self.stride)
        out = []
        for mean, spread in zip(means, spreads, strict=True):
            near, wide = neighbourhood_mean_sd(mean, self.halo // self.stride)
            a = np.nan_to_num(near) / 5
            b = np.nan_to_num(wide + spread) / 50
            out.append([a, b, 1 - a - b, 0 * a, 0 * a])
        return np.array(out, dtype=np.float32)


def grid(height, width, size=10.0, crs=UTM):
    return GeoBox((height, width), Affine(size, 0, 500_000, 0, -size, 2_000_000), crs)


def raster_of(place):
    return Raster(np.asarray(place, np.float32)[None], (Band("place"),), grid(*np.shape(place)))


def places(seed, shape, k=5, gaps=0.0):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, k, shape).astype(np.float32)
    place[rng.random(shape) < gaps] = NAN
    return place


def enlarged(cells, stride, rest=(0, 0)):
    """Every cell as stride x stride pixels, and a rest of pixels that make no cell."""
    return np.pad(np.kron(cells, np.ones((stride, stride))), ((0, rest[0]), (0, rest[1])), constant_values=4)


def assembled(model, image, **how):
    """All probabilities on one grid, each cell given exactly once."""
    shape = (image.geobox.shape.y // model.stride, image.geobox.shape.x // model.stride)
    full = np.full((len(model.scheme.classes), *shape), 7, np.float32)
    times = np.zeros(shape, int)
    corners = []
    for window, probability in probabilities_by_tile(model, image, **how):
        corners.append((window[0].start, window[1].start))
        full[:, *window] = probability
        times[window] += 1
    assert (times == 1).all()
    assert corners == sorted(corners)  # row by row
    return full


# -- identity ----------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    cells=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    stride=st.integers(1, 4),
    rest=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    tile=st.integers(1, 30),
    halo=st.integers(0, 4),
    workers=st.integers(1, 3),
    gaps=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=80, deadline=None)
def test_identity_in_identity_out(seed, cells, stride, rest, tile, halo, workers, gaps):
    truth = places(seed, cells, gaps=gaps)
    rest = (rest[0] % stride, rest[1] % stride)
    model = Echo(stride=stride, halo=halo * stride)
    full = assembled(model, raster_of(enlarged(truth, stride, rest)), tile=tile, workers=workers)
    data = np.isfinite(truth)
    assert (np.isnan(full) == ~data).all()
    np.testing.assert_array_equal(full.argmax(0)[data], truth[data])
    assert (full.max(0)[data] == 1).all()


@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stride=st.integers(1, 3),
    radius=st.integers(0, 3),
    tile=st.integers(1, 50),
    workers=st.integers(1, 2),
)
@settings(max_examples=60, deadline=None)
def test_tiles_and_threads_leave_the_bits_alone(seed, shape, stride, radius, tile, workers):
    shape = (max(shape[0], stride), max(shape[1], stride))
    image = raster_of(places(seed, shape, gaps=0.2))
    model = Around(stride=stride, halo=radius * stride)
    whole = assembled(model, image, tile=1000)
    np.testing.assert_array_equal(assembled(model, image, tile=tile, workers=workers), whole)


def test_only_the_bands_of_the_model_count_in_its_order():
    place, other = places(0, (6, 7)), np.full((6, 7), 3)
    other[0, 0], place[0, 0] = 1, NAN  # data in a band that the model does not read
    image = Raster(np.array([other, place], np.float32), (Band("x"), Band("place")), grid(6, 7))
    full = assembled(Echo(), image, tile=4)
    assert np.isnan(full[:, 0, 0]).all()
    np.testing.assert_array_equal(full.argmax(0)[1:], place[1:])


# -- nodata ------------------------------------------------------------------------------------


def test_a_cell_needs_data_in_half_of_its_pixels():
    image = np.full((2, 6), 2.0)
    image[:, 2:4] = [[NAN, NAN], [2, 2]]  # half
    image[:, 4:6] = [[NAN, NAN], [NAN, 2]]  # a quarter
    full = assembled(Echo(stride=2), raster_of(image))
    assert np.isnan(full).all(axis=0).tolist() == [[False, False, True]]
    assert full[:, 0, :2].argmax(0).tolist() == [2, 2]


def test_gaps_do_not_leak_to_neighbours():
    image = np.full((30, 30), 1.0)
    image[10:20, 10:20] = NAN
    full = assembled(Around(halo=3), raster_of(image), tile=8)
    np.testing.assert_array_equal(np.isnan(full[0]), np.isnan(image))
    np.testing.assert_array_equal(full[0][np.isfinite(image)], np.float32(1 / 5))  # mean of what is there


# -- threads -----------------------------------------------------------------------------------


def test_reading_stays_in_the_calling_thread_and_few_tiles_are_held():
    image, read_by, held, most = raster_of(places(0, (40, 40))), set(), 0, 0

    class Watched:
        geobox = image.geobox

        def read(self, window):
            nonlocal held, most
            read_by.add(threading.current_thread())
            held += 1
            most = max(most, held)
            return image.read(window)

    for _ in probabilities_by_tile(Echo(), Watched(), tile=4, workers=2):
        held -= 1
    assert read_by == {threading.current_thread()}
    assert held == 0
    assert most <= 2 * 2


def test_an_error_in_a_thread_comes_out_and_stops_the_work():
    calls = []

    class Broken(Echo):
        def predict(self, batch):
            calls.append(1)
            raise ZeroDivisionError("deep inside")

    with pytest.raises(ZeroDivisionError, match="deep inside"):
        assembled(Broken(), raster_of(places(0, (40, 40))), tile=2, workers=2)
    assert len(calls) <= 5
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name and t.is_alive()]


# -- the file ----------------------------------------------------------------------------------


@pytest.fixture
def no_report(monkeypatch):
    """Reports take half a second each and are tested elsewhere."""
    monkeypatch.setattr("jido.maps.engine.html_report", lambda *_: "")


def save(tmp_path, place, name="scene.tif"):
    write_image(raster_of(place), tmp_path / name)
    return tmp_path / name


def mapped(tmp_path, place, model, name="map.tif", **how):
    with Scene([save(tmp_path, place)]) as scene:
        result = map_scene(model, scene, tmp_path / name, **how)
    with rasterio.open(tmp_path / name) as source:
        return result, source.read(), source.profile


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (23, 17), (300, 40)])
@pytest.mark.parametrize("stride", [1, 3])
def test_map_of_any_size_is_the_scene(tmp_path, shape, stride):
    truth = places(1, shape, gaps=0.2)
    truth[0, 0] = 4
    result, bands, profile = mapped(
        tmp_path, enlarged(truth, stride, (stride - 1, 0)), Echo(stride=stride), tile=64
    )
    empty = np.isnan(truth)
    np.testing.assert_array_equal(bands[0], np.where(empty, NODATA, np.nan_to_num(truth) + 11))
    np.testing.assert_array_equal(bands[1], np.where(empty, NODATA, 100))
    np.testing.assert_array_equal(bands[2], np.where(empty, NODATA, 0))
    assert profile["transform"] == Affine(10 * stride, 0, 500_000, 0, -10 * stride, 2_000_000)
    assert profile["crs"] == "EPSG:32649"
    side = 64 // stride
    assert result.tiles == -(-shape[0] // side) * -(-shape[1] // side)


@pytest.mark.usefixtures("no_report")
def test_confidence_is_in_percent_and_unsure_cells_are_marked(tmp_path):
    truth = places(0, (5, 5))
    model = Echo(certainty=0.626, abstain_below=0.7)
    _, bands, _ = mapped(tmp_path, truth, model)
    assert (bands[1] == 63).all()
    assert (bands[2] == 1).all()
    _, bands, _ = mapped(tmp_path, truth, Echo(certainty=0.5, abstain_below=0.5))  # at the threshold: sure
    assert (bands[2] == 0).all()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("no_report")
def test_the_bytes_of_the_map_hang_on_the_scene_alone(tmp_path):
    place = places(3, (260, 190), gaps=0.1)
    model = Around(halo=2, scheme=lcz_scheme().subset([1, 2, 6, 11, 17]))
    hashes = set()
    for workers, tile in ((1, 256), (2, 256), (1, 64), (2, 37), (2, 1000)):
        mapped(tmp_path, place, model, workers=workers, tile=tile)
        hashes.add(digest(tmp_path / "map.tif"))
    assert len(hashes) == 1


@pytest.mark.usefixtures("no_report")
def test_lcz_map_has_the_bands_of_the_lcz_generator(tmp_path):
    scheme = lcz_scheme()
    cells = np.zeros((30, 31))
    cells[:, 15:] = 9
    cells[5, 5] = 3
    cells[20:, 25:] = NAN
    model = Echo(scheme=scheme, pixel_m=(10.0, 10.0), stride=10)
    _, bands, profile = mapped(tmp_path, enlarged(cells, 10), model)
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.descriptions == ("lcz", "lczFilter", "classProbability", "abstain")
    codes = np.where(np.isnan(cells), NODATA, np.nan_to_num(cells) + 1).astype(np.uint8)
    np.testing.assert_array_equal(bands[0], codes)
    np.testing.assert_array_equal(bands[1], gaussian_filter_lcz(codes, cell_m=(100, 100), nodata=NODATA))
    np.testing.assert_array_equal(bands[2:], np.where(np.isnan(cells), NODATA, [[[100]], [[0]]]))
    assert bands[0, 5, 5] == 4
    assert bands[1, 5, 5] == 1
    assert (profile["count"], profile["dtype"], profile["nodata"]) == (4, "uint8", 255)


@pytest.mark.usefixtures("no_report")
def test_the_filter_works_across_its_own_windows(tmp_path):
    codes = np.random.default_rng(0).choice([1, 3, 8, 10, 13, 16], (40, 600))
    model = Echo(scheme=lcz_scheme(), pixel_m=(100.0, 100.0))
    image = Raster((codes - 1).astype(np.float32)[None], (Band("place"),), grid(40, 600, size=100.0))
    write_image(image, tmp_path / "s.tif")
    with Scene([tmp_path / "s.tif"]) as scene:
        map_scene(model, scene, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as source:
        filtered = gaussian_filter_lcz(codes.astype(np.uint8), cell_m=(100, 100), nodata=NODATA)
        np.testing.assert_array_equal(source.read(2), filtered)
    assert (filtered != codes).mean() > 0.3


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("scheme", [scheme_of(5), lcz_scheme()])
def test_the_map_is_a_valid_cog_of_documented_form(tmp_path, scheme):
    mapped(tmp_path, places(0, (700, 600)), Echo(scheme=scheme))
    valid, errors, _ = cog_validate(tmp_path / "map.tif", strict=True)
    assert (valid, errors) == (True, [])
    with rasterio.open(tmp_path / "map.tif") as source:
        lcz = scheme.name == "lcz"
        names = (
            ("lcz", "lczFilter", "classProbability", "abstain") if lcz else ("class", "confidence", "abstain")
        )
        assert source.descriptions == names
        assert set(source.dtypes) == {"uint8"}
        assert set(source.nodatavals) == {NODATA}
        assert source.overviews(1) == [2]
        assert ColorInterp.alpha not in source.colorinterp
        for i in source.indexes:  # nodata is the only mask: no band is taken for alpha
            assert source.mask_flag_enums[i - 1] == [rasterio.enums.MaskFlags.nodata]


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("scheme", [scheme_of(5), lcz_scheme()])
def test_single_band_has_the_palette_inside(tmp_path, scheme):
    truth = places(2, (40, 50), gaps=0.1)
    mapped(tmp_path, truth, Echo(scheme=scheme), single_band=True)
    (tmp_path / "map.tif.aux.xml").unlink()
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.count == 1
        assert source.colorinterp == (ColorInterp.palette,)
        for cls in scheme.classes:
            assert source.colormap(1)[cls.code] == (*cls.rgb, 255)
        assert source.nodata == NODATA
        codes = np.array(scheme.codes)[np.nan_to_num(truth).astype(int)]
        np.testing.assert_array_equal(source.read(1), np.where(np.isnan(truth), NODATA, codes))
    assert cog_validate(tmp_path / "map.tif", strict=True)[0]


def test_everything_a_map_package_holds(tmp_path):
    told = []
    place = places(0, (130, 70))
    place[0, :] = NAN
    result, _, _ = mapped(tmp_path, place, Echo(), tile=64, progress=lambda *a: told.append(a))
    made = {p.name for p in tmp_path.iterdir()} - {"scene.tif"}
    assert made == {"map.tif", "map.tif.aux.xml", "map.qml", "map.report.html", "map.report.json"}
    assert told == [("predicting tiles", i, 6) for i in range(1, 7)]
    assert (result.tiles, result.megapixels) == (6, 0.009)
    facts = json.loads((tmp_path / "map.report.json").read_text())
    area = {row["class"]: row for row in facts["pixel_count_area"]}
    assert [area[f"c{i}"]["cells"] for i in range(5)] == [int((place == i).sum()) for i in range(5)]
    assert area["c2"]["km2"] == pytest.approx((place == 2).sum() * 1e-4, abs=1e-4)
    assert facts["grid"]["shape"] == [130, 70]
    assert facts["bands"] == ["class", "confidence", "abstain"]
    assert "<html" in (tmp_path / "map.report.html").read_text()
    assert result.to_dict()["map"] == str(tmp_path / "map.tif")


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("single_band", [True, False])
@pytest.mark.parametrize("name", ["scratch.tif", "single.tif"])
def test_no_name_of_a_map_is_reserved(tmp_path, name, single_band):
    _, bands, _ = mapped(tmp_path, np.full((3, 3), 2), Echo(), name=name, single_band=single_band)
    assert (bands[0] == 13).all()


# -- refusals ----------------------------------------------------------------------------------


def refused(tmp_path, model, place, error, match):
    (tmp_path / "map.tif").write_text("what stood there")
    with Scene([save(tmp_path, place)]) as scene, pytest.raises(error, match=match):
        map_scene(model, scene, tmp_path / "map.tif")
    assert (tmp_path / "map.tif").read_text() == "what stood there"
    assert {p.name for p in tmp_path.iterdir()} == {"map.tif", "scene.tif"}


def test_a_scene_without_data_is_refused(tmp_path):
    refused(tmp_path, Echo(), np.full((5, 5), NAN), ImageError, "has no data at all")
    refused(tmp_path, Echo(scheme=lcz_scheme()), np.full((5, 5), NAN), ImageError, "has no data at all")


def test_a_scene_smaller_than_a_cell_is_refused(tmp_path):
    refused(tmp_path, Echo(stride=10), np.zeros((9, 40)), ImageError, "smaller than one cell of 10 pixels")


def test_missing_bands_are_refused(tmp_path):
    model = Echo(bands=(Band("place"), Band("B04"), Band("B08")))
    refused(
        tmp_path,
        model,
        np.zeros((5, 5)),
        ModelError,
        "bands B04, B08 that are missing; the images have place",
    )


@pytest.mark.parametrize("pixel_m", [(10.0, 11.5), (8.0, 10.0), (30.0, 30.0)])
def test_pixels_of_another_size_are_refused(tmp_path, pixel_m):
    refused(tmp_path, Echo(pixel_m=pixel_m), np.zeros((5, 5)), ModelError, "the image has 10 x 10 m")


@pytest.mark.usefixtures("no_report")
def test_pixels_of_nearly_the_size_are_taken(tmp_path):
    mapped(tmp_path, np.zeros((5, 5)), Echo(pixel_m=(10.9, 9.3)))


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with Scene([save(tmp_path, np.zeros((5, 5)))]) as scene, pytest.raises(OutputError, match="Cannot write"):
        map_scene(Echo(), scene, tmp_path / "file" / "map.tif")


# -- memory ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_report")
def test_memory_depends_on_the_tile_not_on_the_scene(tmp_path):
    """4096 x 4096 pixels of 3 bands and 16 classes are 1.1 GB of probabilities."""
    side, strip = 4096, 256
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"crs": "EPSG:32649", "transform": grid(1, 1).affine, "compress": "deflate", "zlevel": 1}
    row = np.broadcast_to(np.arange(side) % 16, (3, strip, side)).astype(np.uint8)
    with rasterio.open(tmp_path / "big.tif", "w", **profile) as sink:
        for i, name in enumerate(("place", "b", "c"), start=1):
            sink.set_band_description(i, name)
        for top in range(0, side, strip):
            sink.write(row, window=rasterio.windows.Window(0, top, side, strip))
    model = Echo(scheme=scheme_of(16), bands=(Band("place"), Band("b"), Band("c")), halo=8)
    tracemalloc.start()  # numpy reports its arrays to it; GDAL's cache has a limit of its own
    try:
        with Scene([tmp_path / "big.tif"]) as scene:
            map_scene(model, scene, tmp_path / "map.tif", workers=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < side * side * 16 * 4 / 8  # an eighth of the scene in float32 x classes
    with rasterio.open(tmp_path / "map.tif") as source:
        np.testing.assert_array_equal(source.read(1, window=((4000, 4096), (0, side))) - 11, row[0, :96])


# -- the LCZ filter ----------------------------------------------------------------------------


CELL = (100.0, 100.0)


def filtered(codes, cell_m=CELL):
    return gaussian_filter_lcz(np.asarray(codes, np.uint8), cell_m=cell_m, nodata=NODATA)


def test_radii_and_sigmas_are_the_published_ones():
    """Demuzere et al. 2020, doi 10.1038/s41597-020-00605-z."""
    published = {1: (200, 100), 8: (500, 250), 10: (500, 250), 17: (50, 25)}
    published |= dict.fromkeys((2, 3, 4, 5, 6, 7, 9, 15), (300, 150))
    published |= dict.fromkeys((11, 12, 13, 14, 16), (200, 75))
    assert {code: (RADIUS_M[code], SIGMA_M[code]) for code in RADIUS_M} == published
    assert set(RADIUS_M) == set(SIGMA_M) == set(lcz_scheme().codes)


def by_definition(codes, cell_m):
    """One-hot, Gaussian within the square of the radius, share of the data, highest share; in plain loops."""
    out = codes.copy()
    for y, x in np.argwhere(codes != NODATA):
        best = -1.0
        for code in np.unique(codes[codes != NODATA]):
            ry, rx = (int(RADIUS_M[code] / m) for m in cell_m)
            hit = total = 0.0
            for j in range(max(y - ry, 0), min(y + ry + 1, codes.shape[0])):
                for i in range(max(x - rx, 0), min(x + rx + 1, codes.shape[1])):
                    away2 = ((j - y) * cell_m[0]) ** 2 + ((i - x) * cell_m[1]) ** 2
                    weight = np.exp(-away2 / 2 / SIGMA_M[code] ** 2) * (codes[j, i] != NODATA)
                    total += weight
                    hit += weight * (codes[j, i] == code)
            if total and hit / total > best + 1e-12:
                best, out[y, x] = hit / total, code
    return out


@pytest.mark.parametrize("cell_m", [(100.0, 100.0), (90.0, 60.0)])
def test_filter_by_definition(cell_m):
    codes = np.random.default_rng(0).choice([1, 3, 8, 11, 17, NODATA], (13, 11)).astype(np.uint8)
    np.testing.assert_array_equal(filtered(codes, cell_m), by_definition(codes, cell_m))


def test_a_lonely_cell_goes_and_a_zone_stays():
    codes = np.full((30, 30), 6)
    codes[15, 15] = 3
    assert (filtered(codes) == 6).all()
    codes[:, 15:] = 3
    np.testing.assert_array_equal(filtered(codes), codes)  # a straight border stands


def test_one_class_stays_one_class():
    for code in lcz_scheme().codes:
        assert (filtered(np.full((9, 8), code)) == code).all()
    assert filtered([[4]]).tolist() == [[4]]


def test_nodata_stays_and_has_no_say():
    codes = np.full((20, 20), 6)
    codes[:, 10:] = NODATA
    codes[10, 9] = 3  # next to nodata
    result = filtered(codes)
    assert (result[:, 10:] == NODATA).all()
    assert (result[:, :10] == 6).all()
    assert (filtered(np.full((4, 4), NODATA)) == NODATA).all()
    alone = np.full((9, 9), NODATA)
    alone[4, 4] = 12
    np.testing.assert_array_equal(filtered(alone), alone)


def test_water_counts_its_own_cell_only():
    """Its radius of 50 m is below a cell: rivers one cell wide remain, and do not widen."""
    codes = np.full((15, 15), 6)
    codes[:, 7] = 17
    np.testing.assert_array_equal(filtered(codes), codes)
    assert filtered(codes, (30.0, 30.0))[7, 7] == 6  # smaller cells are smoothed like those of others


def test_the_lower_code_wins_a_tie():
    """A line between two zones is theirs in equal parts."""
    for left, right in ((2, 3), (3, 2)):
        codes = np.full((15, 15), left)
        codes[:, 8:] = right
        codes[:, 7] = 5
        assert (filtered(codes)[:, 7] == 2).all()


def test_a_hair_more_than_100_m_is_100_m():
    """Cells in feet or degrees are never whole metres; the reach must not fall by one cell."""
    codes = np.random.default_rng(1).choice([2, 6, 8], (12, 12))
    np.testing.assert_array_equal(filtered(codes, (100.0005, 100.0005)), filtered(codes))
    assert reach(100.0005) == reach(100.0) == 5
    assert reach(90.0) == 5
    assert reach(600.0) == 0


@given(st.integers(0, 99), st.integers(3, 12), st.sampled_from([CELL, (90.0, 120.0)]))
@settings(max_examples=30, deadline=None)
def test_windowed_filter_is_the_whole(seed, tile, cell_m):
    codes = np.random.default_rng(seed).choice([1, 3, 8, 10, 16, 17, NODATA], (21, 23)).astype(np.uint8)
    whole = filtered(codes, cell_m)
    for one in lattice(codes.shape, tile=tile, halo=reach(min(cell_m))):
        np.testing.assert_array_equal(filtered(codes[one.read], cell_m)[one.inner], whole[one.core])


def test_a_block_without_data_has_no_data_in_any_band(tmp_path):
    """A block of the file that is all nodata is left sparse; no band of it may come out as 0."""
    place = places(3, (600, 600), k=5)
    place[256:, 256:] = NAN
    model = Echo(scheme=lcz_scheme().subset([1, 2, 6, 11, 17]), pixel_m=(10.0, 10.0))
    path = mapped(tmp_path, place, model)[0].path
    with rasterio.open(path) as source:
        bands = source.read()
    assert source.count == 4
    np.testing.assert_array_equal(bands == 255, np.broadcast_to(np.isnan(place), bands.shape))


def test_images_in_another_order_or_twice_are_refused(tmp_path):
    first, second = (save(tmp_path, places(i, (8, 8)), name) for i, name in enumerate(("a.tif", "b.tif")))
    bands = (Band("place@1"), Band("place@2"))

    class Two(Echo):
        @property
        def evaluation(self):
            return evaluation_of(self.scheme) | {"images": ["a.tif", "b.tif"]}

    model = Two(bands=bands)
    for paths in ([second, first], [first, first]):
        with Scene(paths) as scene, pytest.raises(ModelError, match="in the order of the training"):
            map_scene(model, scene, tmp_path / "map.tif")
    with Scene([first, second]) as scene:
        assert map_scene(model, scene, tmp_path / "map.tif").path.exists()


def test_a_map_is_a_tif(tmp_path):
    with pytest.raises(OutputError, match=r"end it with \.tif"):
        mapped(tmp_path, places(1, (8, 8)), Echo(), name="map.png")
