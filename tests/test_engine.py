"""The map engine: nothing lost, nothing moved, nothing leaked, whatever the tiles and the threads."""

import json
import threading
import tracemalloc

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from stubs import NAN, Around, Echo, digest, enlarged, evaluation_of, grid, places, raster_of, save, scheme_of

from jido.errors import ImageError, ModelError, OutputError
from jido.geo import Band, Raster, lattice
from jido.io import Scene, write_image
from jido.labels import lcz_scheme
from jido.maps import gaussian_filter_lcz, map_scene
from jido.maps.executors import Work, in_threads
from jido.maps.plan import Plan
from jido.maps.postfilter import RADIUS_M, SIGMA_M, reach
from jido.maps.tasks import NODATA, planes_of, run_task


class Shown:
    """A scene in memory."""

    def __init__(self, raster):
        self.raster, self.geobox, self.reads = raster, raster.geobox, 0

    def pixels(self, window, names):
        self.reads += 1
        return self.raster.select(names).data[:, *window]


def assembled(model, image, *, tile=None, overlap=None):
    """Class places (y, x), -1 without data, and all bytes (y, band, x), from tasks and their seams."""
    shape = (image.geobox.shape.y // model.stride, image.geobox.shape.x // model.stride)
    plan = Plan.of(model, shape, tile=tile, overlap=overlap)
    rows, seam = [], None
    for task in range(plan.tasks):
        done = run_task(model, Shown(image), plan, task, probabilities=True)
        if done.top is not None:
            rows.append(planes_of(seam + done.top, slice(None), model, probabilities=True))
        rows.append(done.planes)
        seam = done.bottom
    assert seam is None
    planes = np.concatenate(rows)
    assert planes.shape == (shape[0], 3 + len(model.scheme.classes), shape[1])
    return np.where(planes[:, 0] == NODATA, -1, planes[:, 0].astype(int) - 11), planes


# -- identity ----------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    cells=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    stride=st.integers(1, 4),
    rest=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    core=st.integers(1, 20),
    overlap=st.floats(0, 0.5),
    halo=st.integers(0, 5),
    batch=st.integers(1, 5),
    gaps=st.sampled_from([0.0, 0.3, 0.95]),
)
@settings(max_examples=150, deadline=None)
def test_identity_in_identity_out(seed, cells, stride, rest, core, overlap, halo, batch, gaps):
    """Every size, tile, overlap, halo (of any number of pixels) and batch gives back every pixel."""
    truth = places(seed, cells, gaps=gaps)
    rest = (rest[0] % stride, rest[1] % stride)
    model = Echo(stride=stride, halo=halo, batch=batch)
    image = raster_of(enlarged(truth, stride, rest))
    tile, overlap = core * stride + 2 * halo, int(overlap * core) * stride
    found, planes = assembled(model, image, tile=tile, overlap=overlap)
    data = np.isfinite(truth)
    np.testing.assert_array_equal(found, np.where(data, np.nan_to_num(truth), -1))
    assert (planes[:, 1][data] == 100).all()
    one_hot = np.moveaxis(np.eye(5)[np.nan_to_num(truth).astype(int)] * 250, -1, 1)
    np.testing.assert_array_equal(planes[:, 3:], np.where(data[:, None], one_hot, NODATA))
    assert (planes == NODATA).all(axis=1).tolist() == (~data).tolist()


@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stride=st.integers(1, 3),
    radius=st.integers(0, 3),
    core=st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_tiles_leave_the_bits_alone(seed, shape, stride, radius, core):
    shape = (max(shape[0], stride), max(shape[1], stride))
    image, model = raster_of(places(seed, shape, gaps=0.2)), Around(stride=stride, halo=radius * stride)
    _, whole = assembled(model, image, tile=600)
    _, tiled = assembled(model, image, tile=core * stride + 2 * radius * stride)
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.parametrize(("overlap", "core"), [(0, 1), (0, 8), (3, 8), (4, 8), (5, 11)])
def test_every_cell_has_one_owner(overlap, core):
    for shape in ((1, 1), (7, 30), (25, 8), (core, core), (core + 1, 2 * core)):
        plan = Plan(shape, core=core, overlap=overlap)
        owned = np.zeros(shape, int)
        for row in range(plan.tiles[0]):
            for col in range(plan.tiles[1]):
                owned[plan.core_window(row, col)][plan.own_window(row, col)] += 1
        assert (owned == 1).all()
        assert [plan.start(row) for row in range(plan.tiles[0] + 1)][-1] == shape[0]


def test_blending_rises_and_falls_and_has_no_step():
    """Two tiles that disagree: the class changes by the taper, in the middle of the overlap."""

    class ByTile(Echo):
        def predict(self, batch):
            first = batch[0, 0, 0, 0] == 0  # the left tile begins with 0
            return np.broadcast_to(
                np.array([1, 0] if first else [0, 1], np.float32)[None, :, None, None], (1, 2, 10, 10)
            )

    image = raster_of(np.broadcast_to(np.arange(16), (10, 16)))
    _, planes = assembled(ByTile(scheme=scheme_of(2)), image, tile=10, overlap=4)
    share = planes[0, 3] / 250
    np.testing.assert_allclose(share, [1] * 6 + [0.8, 0.6, 0.4, 0.2] + [0] * 6, atol=0.002)
    assert (planes[:, 3].astype(int) + planes[:, 4] == 250).all()


def test_only_the_bands_of_the_model_count_in_its_order():
    place, other = places(0, (6, 7)), np.full((6, 7), 3)
    other[0, 0], place[0, 0] = 1, NAN  # data in a band that the model does not read
    image = Raster(np.array([other, place], np.float32), (Band("x"), Band("place")), grid(6, 7))
    found, _ = assembled(Echo(), image, tile=4)
    assert found[0, 0] == -1
    np.testing.assert_array_equal(found[1:], place[1:])


@pytest.mark.parametrize(
    ("tile", "overlap", "match"),
    [
        (8, 7, r"7 pixels is out of range for tiles of 8 pixels: give --overlap 0 to 4\."),
        (8, -1, "give --overlap 0 to 4"),
        (0, 0, "A tile of 0 pixels is too small: give --tile 1 to 4096"),
        (5000, 0, "A tile of 5000 pixels is too large: give --tile 1 to 4096"),
    ],
)
def test_tiles_out_of_range_are_refused_with_the_range(tile, overlap, match):
    with pytest.raises(ModelError, match=match):
        assembled(Echo(), raster_of(places(0, (9, 9))), tile=tile, overlap=overlap)


def test_a_tile_within_its_halo_is_refused():
    with pytest.raises(ModelError, match="A tile of 12 pixels is too small: give --tile 13 to 4096"):
        assembled(Echo(stride=3, halo=5), raster_of(places(0, (9, 9))), tile=12)


# -- nodata ------------------------------------------------------------------------------------


def test_a_cell_needs_data_in_half_of_its_pixels():
    image = np.full((2, 6), 2.0)
    image[:, 2:4] = [[NAN, NAN], [2, 2]]  # half
    image[:, 4:6] = [[NAN, NAN], [NAN, 2]]  # a quarter
    assert assembled(Echo(stride=2), raster_of(image))[0].tolist() == [[2, 2, -1]]


def test_gaps_do_not_leak_to_neighbours():
    image = np.full((30, 30), 1.0)
    image[10:20, 10:20] = NAN
    _, planes = assembled(Around(halo=3), raster_of(image), tile=14, overlap=3)
    np.testing.assert_array_equal(planes[:, 0] == NODATA, np.isnan(image))
    np.testing.assert_array_equal(planes[:, 3][np.isfinite(image)], 50)  # 1 / 5: mean of what is there


def test_missing_data_are_counted_once_each():
    """Overlap and halo show a pixel to several tiles."""
    first, second = places(0, (33, 21), gaps=0.3), places(1, (33, 21), gaps=0.3)
    image = Raster(np.array([first, second], np.float32), (Band("place"), Band("b")), grid(33, 21))
    model = Echo(bands=(Band("place"), Band("b")), halo=2)
    plan = Plan.of(model, (33, 21), tile=14, overlap=4)
    total = [run_task(model, Shown(image), plan, task).counts for task in range(plan.tasks)]
    none, some = np.isnan(first) & np.isnan(second), np.isnan(first) ^ np.isnan(second)
    assert sum(c.empty_pixels for c in total) == none.sum()
    assert sum(c.partial_pixels for c in total) == some.sum()


def test_a_number_that_is_none_becomes_nodata_and_is_counted():
    class Overflow(Echo):
        def predict(self, batch):
            found = super().predict(batch)
            found[:, 0, 3, :2] = np.inf
            found[:, 1, 3, 0] = -np.inf
            return found

    image = raster_of(np.zeros((6, 6)))
    model = Overflow()
    plan = Plan.of(model, (6, 6), tile=6)
    done = run_task(model, Shown(image), plan, 0)
    assert done.counts.cells_with_data == 36
    assert np.argwhere(done.planes[:, 0] == NODATA).tolist() == [[3, 0], [3, 1]]


def test_tiles_without_data_are_not_predicted():
    asked = []

    class Counted(Echo):
        def predict(self, batch):
            asked.append(np.isfinite(batch).any(axis=(1, 2, 3)).tolist())
            return super().predict(batch)

    place = np.full((8, 80), NAN)
    place[:, 20:22], place[:, 70:71] = 1, 2
    found, _ = assembled(Counted(batch=3), raster_of(place), tile=8)
    np.testing.assert_array_equal(found, np.where(np.isfinite(place), np.nan_to_num(place), -1))
    assert asked == [[True, True, False]]  # one batch of full size across the gap


# -- threads -----------------------------------------------------------------------------------


def test_reading_stays_in_the_calling_thread_and_few_tiles_are_held():
    image, read_by, held, most = raster_of(places(0, (40, 40))), set(), 0, 0

    class Watched(Shown):
        def pixels(self, window, names):
            nonlocal held, most
            read_by.add(threading.current_thread())
            held += 1
            most = max(most, held)
            return super().pixels(window, names)

    def tick(tiles):
        nonlocal held
        held -= tiles

    model = Echo()
    work = Work(model, Watched(image), Plan.of(model, (40, 40), tile=4))
    assert len(list(in_threads(work, range(work.plan.tasks), threads=2, tick=tick))) == 5
    assert read_by == {threading.current_thread()}
    assert held == 0
    assert most <= 12 * 2 + 2


def test_an_error_in_a_thread_comes_out_and_stops_the_work(monkeypatch):
    calls = []

    class Broken(Echo):
        def predict(self, batch):
            calls.append(1)
            raise ZeroDivisionError("deep inside")

    work = Work(Broken(), Shown(raster_of(places(0, (40, 40)))), Plan((40, 40), core=2))
    of_one = 4 * work.plan.batch * len(work.model.bands) * work.plan.tile**2
    monkeypatch.setattr("jido.maps.executors.AHEAD_BYTES", 5 * of_one)  # for each of the two
    with pytest.raises(ZeroDivisionError, match="deep inside"):
        list(in_threads(work, range(work.plan.tasks), threads=2, tick=lambda _: None))
    assert len(calls) <= 11  # of 400
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name and t.is_alive()]


# -- the file ----------------------------------------------------------------------------------


@pytest.fixture
def no_report(monkeypatch):
    """Reports take half a second each and are tested elsewhere."""
    monkeypatch.setattr("jido.maps.engine.html_report", lambda *_: "")


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


@pytest.mark.usefixtures("no_report")
def test_the_bytes_of_the_map_hang_on_the_scene_alone(tmp_path):
    place = places(3, (260, 190), gaps=0.1)
    model = Around(halo=2, scheme=lcz_scheme().subset([1, 2, 6, 11, 17]))
    hashes = set()
    for threads, tile in ((1, 256), (2, 256), (1, 64), (2, 37), (2, 1000)):
        mapped(tmp_path, place, model, threads=threads, tile=tile)
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
def test_probabilities_are_quantised_with_their_scale_in_the_file(tmp_path):
    scheme = lcz_scheme()
    cells = places(0, (30, 30), k=17, gaps=0.1)
    model = Echo(scheme=scheme, pixel_m=(10.0, 10.0), stride=10, certainty=0.6)
    mapped(tmp_path, enlarged(cells, 10), model, probabilities=True)
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.descriptions[4:] == tuple(f"p_{label}" for label in scheme.labels)
        assert source.scales == (1.0,) * 4 + (0.004,) * 17
        planes = source.read(masked=True) * np.array(source.scales)[:, None, None]
        filtered = source.read(2)
    empty = np.isnan(cells)
    truth = np.nan_to_num(cells).astype(int)
    found = np.take_along_axis(planes[4:], truth[None], axis=0)[0]
    np.testing.assert_allclose(found[~empty], 0.6)
    np.testing.assert_allclose(planes[4:].sum(0)[~empty], 1, atol=17 * 0.002)
    assert (planes.mask == empty).all()
    codes = np.where(empty, NODATA, truth + 1).astype(np.uint8)
    np.testing.assert_array_equal(filtered, gaussian_filter_lcz(codes, cell_m=(100, 100), nodata=NODATA))


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


def test_a_model_that_gives_no_number_is_refused(tmp_path):
    class Broken(Echo):
        def predict(self, batch):
            return super().predict(batch) * NAN

    refused(tmp_path, Broken(), np.zeros((5, 5)), ModelError, "no finite number for any cell")


def test_a_single_band_with_probabilities_is_refused(tmp_path):
    with pytest.raises(OutputError, match="A single band holds no probabilities"):
        mapped(tmp_path, np.zeros((5, 5)), Echo(), single_band=True, probabilities=True)


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
def peak_of_mapping(tmp_path, rows, side=2048, strip=256):
    """Bytes of arrays at the peak; numpy reports them to tracemalloc, GDAL's cache has a limit of its own."""
    profile = {"driver": "GTiff", "height": rows, "width": side, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"crs": "EPSG:32649", "transform": grid(1, 1).affine, "compress": "deflate", "zlevel": 1}
    row = np.broadcast_to(np.arange(side) % 16, (3, strip, side)).astype(np.uint8)
    with rasterio.open(tmp_path / "big.tif", "w", **profile) as sink:
        for i, name in enumerate(("place", "b", "c"), start=1):
            sink.set_band_description(i, name)
        for top in range(0, rows, strip):
            sink.write(row, window=rasterio.windows.Window(0, top, side, strip))
    model = Echo(scheme=scheme_of(16), bands=(Band("place"), Band("b"), Band("c")), halo=8, overlap=32)
    tracemalloc.start()
    try:
        with Scene([tmp_path / "big.tif"]) as scene:
            map_scene(model, scene, tmp_path / "map.tif", threads=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with rasterio.open(tmp_path / "map.tif") as source:
        last = source.read(1, window=((rows - 96, rows), (0, side)))
        np.testing.assert_array_equal(last - 11, row[0, :96])
    return peak


@pytest.mark.usefixtures("no_report")
def test_memory_depends_on_the_width_not_on_the_scene(tmp_path):
    """6144 x 2048 pixels of 16 classes are 805 MB of probabilities."""
    low, high = peak_of_mapping(tmp_path, 2048), peak_of_mapping(tmp_path, 6144)
    assert high < 1.1 * low
    assert high < 6144 * 2048 * 16 * 4 / 7


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
