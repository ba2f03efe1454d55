"""Images without a place on Earth: read, mapped and polygonised by pixels; what needs metres is refused."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import Refused, Run
from stubs import Echo, places, save

from jido.errors import ImageError
from jido.geo import drop_small, hysteresis
from jido.io import Scene, describe_scene
from jido.labels import lcz_scheme
from jido.maps import estimate_map, map_scene, polygonise
from jido.maps.report import area_text
from jido.methods import load_model

WORDS = "trained on images without a place on Earth: the size of pixels is not checked"


@dataclass(frozen=True, eq=False)
class Plain(Echo):
    """A model that learned from images without CRS, and from no geometries."""

    pixel_m: None = None

    @property
    def labels(self):
        return None


def write_png(path: Path, *planes: np.ndarray) -> Path:
    shape = planes[0].shape
    profile = {"driver": "PNG", "height": shape[0], "width": shape[1], "count": len(planes), "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(np.stack(planes))
    return path


@pytest.fixture
def place() -> np.ndarray:
    return places(3, (40, 30)).astype(np.uint8)


@pytest.fixture
def png(place: np.ndarray, tmp_path: Path) -> Path:
    return write_png(tmp_path / "plain.png", place)


def opened(path: Path) -> Scene:
    scene = Scene([path], place_needed=False)
    scene.bands = (replace(scene.bands[0], name="place"),)
    return scene


# -- reading -----------------------------------------------------------------------------------


def test_a_plain_image_is_read_by_its_pixels(png: Path, place: np.ndarray):
    with Scene([png], place_needed=False) as scene:
        assert scene.geobox.crs is None
        assert scene.geobox.affine == Affine.identity()
        assert scene.geobox.shape == (40, 30)
        np.testing.assert_array_equal(scene.read().data[0], place)
        assert scene.read((slice(5, 9), slice(3, 30))).data.shape == (1, 4, 27)


def test_a_place_is_needed_unless_said(png: Path):
    with pytest.raises(ImageError, match=r"plain.png has no CRS: give it with --crs EPSG:"):
        Scene([png])
    with Scene([png], crs="EPSG:32649", place_needed=False) as scene:
        assert scene.geobox.crs == "EPSG:32649"


def test_another_process_opens_it_too(png: Path, place: np.ndarray):
    with Scene([png], place_needed=False) as scene, pickle.loads(pickle.dumps(scene)) as again:
        assert again.geobox == scene.geobox
        assert again.state() == scene.state()
        np.testing.assert_array_equal(again.read().data[0], place)


def test_the_transform_of_the_file_is_kept(png: Path):
    png.with_suffix(".pgw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    with Scene([png], place_needed=False) as scene:
        assert scene.geobox.crs is None
        assert scene.geobox.affine == Affine(0.5, 0, 100, 0, -0.5, 200)


def test_plain_images_stack_and_others_do_not(png: Path, place: np.ndarray, tmp_path: Path):
    other = write_png(tmp_path / "other.png", place, place, place)
    with Scene([png, other], place_needed=False) as scene:
        assert len(scene.bands) == 4
    placed = save(tmp_path, place)
    with pytest.raises(ImageError, match="lies on another grid"):
        Scene([png, placed], place_needed=False)
    for pair in ([png, placed], [placed, png]):
        with pytest.raises(ImageError, match="has no CRS: give it with --crs"):
            Scene(pair, place_needed=False, resample="nearest")


def test_its_radiometry_is_described(png: Path):
    with opened(png) as scene:
        [part] = describe_scene(scene).parts
    assert list(part.bands) == ["place"]


# -- mapping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_the_map_lies_on_the_pixels(png: Path, place: np.ndarray, tmp_path: Path, stride: int):
    if stride > 1:
        write_png(png, np.kron(place, np.ones((stride, stride), np.uint8)))
    with opened(png) as scene:
        result = map_scene(Plain(stride=stride), scene, tmp_path / "map.tif", tile=16)
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.crs is None
        assert source.transform == Affine.scale(stride)
        np.testing.assert_array_equal(source.read(1), place + 11)
    facts = json.loads((tmp_path / "map.report.json").read_text(encoding="utf-8"))
    assert facts["grid"] == {"crs": None, "shape": [40, 30], "transform": [stride, 0, 0, 0, stride, 0]}
    assert facts["training"] is None
    assert {row["km2"] for row in facts["pixel_count_area"]} == {None}
    assert sum(row["cells"] for row in facts["pixel_count_area"]) == place.size
    page = result.report.read_text(encoding="utf-8")
    assert "no place on Earth, 40 x 30 cells" in page
    assert "areas are numbers of cells" in page
    assert "data:image/png" in page


def test_what_needs_metres_is_refused(png: Path, tmp_path: Path):
    with opened(png) as scene:
        for model in (Echo(), Plain(scheme=lcz_scheme())):
            with pytest.raises(ImageError, match=r"plain.png has no CRS, .* give it with --crs EPSG:"):
                map_scene(model, scene, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_on_an_image_with_a_place_the_size_is_not_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    place = places(1, (20, 20))
    with Scene([save(tmp_path, place)]) as scene, caplog.at_level(logging.WARNING, "jido"):
        map_scene(Plain(), scene, tmp_path / "map.tif")
    assert [WORDS in record.getMessage() for record in caplog.records] == [True]
    facts = json.loads((tmp_path / "map.report.json").read_text(encoding="utf-8"))
    assert facts["grid"]["crs"] == "EPSG:32649"
    assert sum(row["km2"] for row in facts["pixel_count_area"]) == pytest.approx(place.size * 1e-4)
    assert any(WORDS in note for note in facts["notes"])


def test_what_it_takes_is_estimated(png: Path):
    with opened(png) as scene:
        assert estimate_map(Plain(), scene, probe_s=0.1).cells == (40, 30)


# -- nets and the command line -----------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')
    from test_nets import pixel_model

    model = replace(pixel_model(), pixel_m=None)
    bands = tuple(
        replace(band, name=name) for band, name in zip(model.bands, ("red", "green", "blue"), strict=True)
    )
    replace(model, bands=bands).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    planes = np.random.default_rng(0).integers(0, 255, (3, 48, 40)).astype(np.uint8)
    return write_png(tmp_path / "photo.png", *planes)


def test_a_package_tells_that_the_size_is_not_known(jido: Callable[..., Run], package: Path):
    assert load_model(package).pixel_m is None
    assert json.loads((package / "config.json").read_text(encoding="utf-8"))["pixel_m"] is None
    card = (package / "README.md").read_text(encoding="utf-8")
    assert "without a place on Earth" in " ".join(card.split())
    assert max(map(len, card.splitlines())) <= 100
    assert jido("model", "verify", package, "--quiet").code == 0


def test_a_photo_is_mapped_and_polygonised(
    jido: Callable[..., Run], package: Path, photo: Path, tmp_path: Path
):
    out = tmp_path / "map.tif"
    run = jido("map", package, photo, "-o", out, "--json", "--quiet")
    assert (run.code, run.json["tiles"]) == (0, 1)
    assert "Warning" not in run.err
    assert "Warning" not in jido("polygons", out, "-o", tmp_path / "out.gpkg", "--quiet").err
    assert jido("map", package, photo, "--plan").code == 0


def test_a_model_that_knows_its_size_needs_a_place(refused: Refused, package: Path, photo: Path, out: Path):
    config = package / "config.json"
    facts = json.loads(config.read_text(encoding="utf-8")) | {"pixel_m": [10, 10]}
    config.write_text(json.dumps(facts), encoding="utf-8")
    refused("map", package, photo, "-o", out / "map.tif", says=(photo, "--crs EPSG:"))


# -- polygons ----------------------------------------------------------------------------------


@pytest.fixture
def plain_map(png: Path, tmp_path: Path) -> Path:
    square = np.zeros((40, 30), np.uint8)
    square[5:9, 10:20] = 1
    write_png(png, square)
    with opened(png) as scene:
        map_scene(Plain(), scene, tmp_path / "map.tif")
    return tmp_path / "map.tif"


def test_polygons_are_in_pixels_and_without_area(plain_map: Path, tmp_path: Path):
    result = polygonise(plain_map, tmp_path / "out.gpkg", classes=["c1"])
    assert (result.objects, result.area_m2, result.dropped_area_m2) == (1, None, None)
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="polygons")
    assert frame.crs is None
    assert frame.geometry[0].equals(shapely.box(10, 5, 20, 9))
    assert frame["area_m2"].isna().all()


def test_geoparquet_does_not_take_pixels_for_degrees(plain_map: Path, tmp_path: Path):
    pytest.importorskip("pyarrow", reason="GeoParquet needs pyarrow")
    polygonise(plain_map, tmp_path / "out.parquet")
    assert geopandas.read_parquet(tmp_path / "out.parquet").crs is None


def test_the_command_says_that_there_are_no_areas(jido: Callable[..., Run], plain_map: Path, tmp_path: Path):
    run = jido("polygons", plain_map, "-o", tmp_path / "out.gpkg", "--quiet")
    assert "2 objects, coordinates are those of the image's pixels" in run.out
    assert run.err == ""


# -- masks without false alarms ----------------------------------------------------------------

WEAK_AND_SURE = np.array(
    [
        [0.6, 0.6, 0.0, 0.6, 0.0],
        [0.0, 0.0, 0.9, 0.0, 0.0],
        [np.nan, 0.0, 0.0, 0.0, 0.5],
        [0.6, 0.6, 0.0, 0.4, 0.4],
    ]
)


def test_a_weak_piece_needs_a_sure_cell():
    found = hysteresis(WEAK_AND_SURE, low=0.5, high=0.9)
    np.testing.assert_array_equal(np.argwhere(found), [[0, 0], [0, 1], [0, 3], [1, 2]])
    assert not hysteresis(WEAK_AND_SURE, low=0.5, high=0.95).any()


def test_hysteresis_of_one_threshold_is_that_threshold():
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(hysteresis(WEAK_AND_SURE, low=0.5, high=0.5), WEAK_AND_SURE >= 0.5)
    with pytest.raises(ValueError, match="must not be below"):
        hysteresis(WEAK_AND_SURE, low=0.9, high=0.5)


def test_small_pieces_go():
    mask = WEAK_AND_SURE >= 0.5
    np.testing.assert_array_equal(np.argwhere(drop_small(mask, cells=2))[-2:], [[3, 0], [3, 1]])
    assert drop_small(mask, cells=1).sum() == mask.sum()
    assert drop_small(mask, cells=4).sum() == 4
    assert not drop_small(np.zeros((3, 3), bool), cells=0).any()


@pytest.mark.parametrize(
    ("m2", "words"),
    [
        (0.0, "0.00 km²"),
        (3.4, "3 m²"),
        (9_999, "9,999 m²"),
        (12_345, "1.23 ha"),
        (5e6, "5.00 km²"),
        (None, "–"),
    ],
)
def test_areas_are_told_in_units_that_fit(m2: float | None, words: str):
    assert area_text(m2) == words
