"""Objects of a map as polygons: files in, files out, and what other programs find in them."""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
from affine import Affine
from conftest import Refused, Run
from test_objects import at_once, geod_area, ordered, same

from jido.errors import ImageError
from jido.geo import NO_CLASS
from jido.io import aux_xml
from jido.labels import binary_scheme, lcz_scheme
from jido.maps import polygonise

HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong/lcz_gt.tif"
NODATA = 255
TEN_METRES = Affine(10, 0, 500_000, 0, -10, 5_300_000)


# -- from file to file -------------------------------------------------------------------------


def write_map(path: Path, *planes: np.ndarray, names: tuple[str, ...] = (), **profile: Any) -> Path:
    defaults = {"driver": "GTiff", "height": planes[0].shape[0], "width": planes[0].shape[1],
                "count": len(planes), "dtype": planes[0].dtype, "nodata": NODATA, "crs": "EPSG:32632",
                "transform": TEN_METRES}  # fmt: skip
    with rasterio.open(path, "w", **defaults | profile) as sink:
        sink.write(np.stack(planes))
        for i, name in enumerate(names, start=1):
            sink.set_band_description(i, name)
    return path


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    """Class, filtered class, confidence, abstention of 60 x 50 cells; a corner is without data."""
    random = np.random.default_rng(0)
    small = random.choice([2, 6, 14, 17], (20, 25), p=[0.4, 0.3, 0.2, 0.1])
    codes = np.kron(small, np.ones((3, 2), dtype=np.int64))
    found = np.stack([codes, np.full_like(codes, 6), random.integers(30, 101, codes.shape), codes % 2])
    found[:, :7, :5] = NODATA
    return found.astype(np.uint8)


@pytest.fixture
def lcz_map(planes: np.ndarray, tmp_path: Path) -> Path:
    """A map package without its report, in blocks of 16 x 16."""
    names = ("lcz", "lczFilter", "classProbability", "abstain")
    path = write_map(
        tmp_path / "map.tif", *planes, names=names, alpha="NO", tiled=True, blockxsize=16, blockysize=16
    )
    path.with_name("map.tif.aux.xml").write_text(aux_xml(lcz_scheme(), (1, 2)), encoding="utf-8")
    return path


@pytest.fixture(params=[1 << 20, 150])
def strip(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Everything in one strip, and three rows at a time."""
    monkeypatch.setattr("jido.io.classmap.STRIP", request.param)
    return request.param


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="polygons")


def test_a_map_becomes_polygons(lcz_map: Path, planes: np.ndarray, tmp_path: Path, strip: int):
    result = polygonise(lcz_map, tmp_path / "out.gpkg")
    frame = read(tmp_path / "out.gpkg")
    codes = np.where(planes[0] == NODATA, NO_CLASS, planes[0].astype(np.int64))
    expected, classes = at_once(codes, TEN_METRES)
    polygons, order = ordered(frame.geometry.to_numpy(), np.arange(len(frame)))
    frame = frame.iloc[order]
    assert frame.crs == "EPSG:32632"
    assert same(polygons, expected)
    assert (frame["class"] == classes).all()
    assert set(zip(frame["class"], frame["label"], frame["name"], strict=True)) == {
        (c.code, c.label, c.name) for c in lcz_scheme().classes if c.code in (2, 6, 14, 17)
    }
    found = zip(polygons, frame["mean_probability"], frame["max_probability"], strict=True)
    for polygon, mean, highest in found:
        inside = rasterio.features.rasterize([polygon], out_shape=codes.shape, transform=TEN_METRES) == 1
        assert mean == pytest.approx(planes[2][inside].astype(float).mean() / 100, rel=1e-14)
        assert highest == planes[2][inside].max() / 100
    assert frame["area_m2"].to_numpy() == pytest.approx(
        [geod_area(polygon, pyproj.CRS(32632), 10) for polygon in polygons], rel=1e-7
    )
    assert result.to_dict() == {
        "polygons": str(tmp_path / "out.gpkg"),
        "objects": len(frame),
        "area_m2": pytest.approx(frame["area_m2"].sum()),
        "dropped": 0,
        "dropped_area_m2": 0,
        "target": None,
    }


def test_the_filtered_class_has_no_probability(lcz_map: Path, tmp_path: Path):
    polygonise(lcz_map, tmp_path / "out.gpkg", band=2)
    [row] = read(tmp_path / "out.gpkg").itertuples()
    assert np.isnan(row.mean_probability)
    assert np.isnan(row.max_probability)
    assert row.label == "6"


@pytest.mark.parametrize("names", [["D", "2"], ["14", "compact MIDRISE"]])
def test_only_some_classes(lcz_map: Path, tmp_path: Path, names: list[str]):
    everything = polygonise(lcz_map, tmp_path / "all.gpkg")
    some = polygonise(lcz_map, tmp_path / "some.gpkg", classes=names)
    frame = read(tmp_path / "some.gpkg")
    assert set(frame["class"]) == {2, 14}
    assert len(frame) == some.objects == read(tmp_path / "all.gpkg")["class"].isin([2, 14]).sum()
    assert some.objects < everything.objects


def test_of_a_target_and_its_background_the_target_is_outlined(jido: Callable[..., Run], tmp_path: Path):
    codes = np.ones((20, 20), np.uint8)
    codes[4:8, 4:8] = codes[12:14, 3:9] = 2
    path = write_map(tmp_path / "map.tif", codes)
    path.with_name("map.tif.aux.xml").write_text(aux_xml(binary_scheme("field"), (1,)), encoding="utf-8")
    run = jido("polygons", path, "-o", tmp_path / "a.gpkg", "--json")
    assert (run.json["objects"], run.json["target"]) == (2, "field")
    assert set(read(tmp_path / "a.gpkg")["name"]) == {"field"}
    assert "Only field was outlined" in jido("polygons", path, "-o", tmp_path / "a.gpkg").out
    both = ("--class", "background", "--class", "field")
    run = jido("polygons", path, "-o", tmp_path / "a.gpkg", *both, "--json")
    assert (run.json["objects"], run.json["target"]) == (3, None)
    two_zones = lcz_scheme().subset([1, 2])
    path.with_name("map.tif.aux.xml").write_text(aux_xml(two_zones, (1,)), encoding="utf-8")
    assert polygonise(path, tmp_path / "a.gpkg").objects == 3


def test_small_objects_are_dropped_and_counted(lcz_map: Path, tmp_path: Path):
    everything = polygonise(lcz_map, tmp_path / "all.gpkg")
    large = polygonise(lcz_map, tmp_path / "large.gpkg", min_area=2000)
    areas = read(tmp_path / "all.gpkg")["area_m2"]
    assert 0 < large.objects == (areas >= 2000).sum()
    assert large.dropped == (areas < 2000).sum() > 0
    assert large.dropped_area_m2 == pytest.approx(areas[areas < 2000].sum())
    assert large.area_m2 + large.dropped_area_m2 == pytest.approx(everything.area_m2)
    assert read(tmp_path / "large.gpkg")["area_m2"].min() >= 2000


def test_objects_that_are_nowhere_sure_are_dropped_and_counted(lcz_map: Path, tmp_path: Path):
    polygonise(lcz_map, tmp_path / "all.gpkg")
    frame = read(tmp_path / "all.gpkg")
    sure = frame["max_probability"] >= 0.97  # an object of 97 % stays, whatever a float makes of it
    assert 0 < sure.sum() < len(frame)
    assert (frame["max_probability"] == 0.97).any()
    result = polygonise(lcz_map, tmp_path / "sure.gpkg", min_peak=0.97)
    assert (result.objects, result.dropped) == (sure.sum(), (~sure).sum())
    assert result.dropped_area_m2 == pytest.approx(frame["area_m2"][~sure].sum())
    assert read(tmp_path / "sure.gpkg")["max_probability"].min() == 0.97


def test_simplified_outlines_stay_near_and_areas_stay_true(tmp_path: Path):
    steps = np.tri(40, dtype=np.uint8)
    path = write_map(tmp_path / "map.tif", steps, nodata=0)
    polygonise(path, tmp_path / "steps.gpkg")
    polygonise(path, tmp_path / "slope.gpkg", simplify=10)
    [steps_row], [slope_row] = (read(tmp_path / f"{n}.gpkg").itertuples() for n in ("steps", "slope"))
    assert len(slope_row.geometry.exterior.coords) <= 6 < len(steps_row.geometry.exterior.coords)
    assert slope_row.geometry.is_valid
    assert slope_row.geometry.hausdorff_distance(steps_row.geometry) <= 10
    assert slope_row.area_m2 == steps_row.area_m2


def test_simplified_polygons_are_valid(tmp_path: Path):
    """A line of this map would run exactly through a corner of its own polygon."""
    codes = np.random.default_rng(4).integers(0, 3, (40, 40)).astype(np.uint8)
    path = write_map(
        tmp_path / "map.tif", codes, nodata=None, transform=Affine(9.7, 0, 500_000, 0, -10.1, 5_300_000)
    )
    polygonise(path, tmp_path / "out.gpkg", simplify=15)
    assert read(tmp_path / "out.gpkg").is_valid.all()


def test_a_raster_of_another_program(tmp_path: Path, strip: int):
    """Negative codes, no nodata, a palette of its own; 0 is a class."""
    codes = np.array([[-3, -3, 0], [0, 70_000, 0]], dtype=np.int32)
    polygonise(write_map(tmp_path / "plain.tif", codes, nodata=None), tmp_path / "out.gpkg")
    frame = read(tmp_path / "out.gpkg")
    assert sorted(frame["class"]) == [-3, 0, 0, 70_000]
    assert (frame["label"] == frame["class"].astype(str)).all()
    assert frame["mean_probability"].isna().all()


def test_a_map_without_data_gives_an_empty_layer(tmp_path: Path):
    path = write_map(tmp_path / "map.tif", np.full((4, 4), NODATA, np.uint8))
    assert polygonise(path, tmp_path / "out.gpkg").objects == 0
    assert pyogrio.read_info(tmp_path / "out.gpkg", layer="polygons")["features"] == 0


# -- what other programs find ------------------------------------------------------------------


def stored_style(path: Path) -> ET.Element:
    """The style that QGIS takes by itself, looked for as QGIS does."""
    with sqlite3.connect(path) as base:
        [(geometry,)] = base.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = 'polygons'"
        )
        assert ("layer_styles", "attributes") in base.execute(
            "SELECT table_name, data_type FROM gpkg_contents"
        ).fetchall()
        [(text,)] = base.execute(
            "SELECT styleQML FROM layer_styles WHERE f_table_schema = '' AND f_table_name = 'polygons' "
            "AND f_geometry_column = ? AND useAsDefault = 1 ORDER BY update_time",
            [geometry],
        )
    assert text.startswith("<!DOCTYPE qgis")
    return ET.fromstring(text)


def colours(style: ET.Element) -> dict[str, tuple[str | None, str | None]]:
    """Code -> legend and colour."""
    renderer = style.find("renderer-v2")
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class")
    fill = "symbols/symbol[@name='{}']/layer[@class='SimpleFill']/Option/Option[@name='color']"
    return {
        c.get("value"): (c.get("label"), renderer.find(fill.format(c.get("symbol"))).get("value"))
        for c in renderer.findall("categories/category")
    }


def test_geopackage_carries_its_style(lcz_map: Path, tmp_path: Path):
    polygonise(lcz_map, tmp_path / "out.gpkg")
    assert colours(stored_style(tmp_path / "out.gpkg")) == {
        str(c.code): (f"{c.label} {c.name}", ",".join(map(str, (*c.rgb, 255))))
        for c in lcz_scheme().classes
        if c.code in (2, 6, 14, 17)
    }


def test_the_style_takes_the_palette_of_the_file(tmp_path: Path):
    path = write_map(tmp_path / "map.tif", np.array([[1, 9]], np.uint8))
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, {1: (10, 20, 30, 255), 9: (40, 50, 60, 255)})
    polygonise(path, tmp_path / "out.gpkg")
    assert colours(stored_style(tmp_path / "out.gpkg")) == {
        "1": ("1", "10,20,30,255"),
        "9": ("9", "40,50,60,255"),
    }


def test_geoparquet_is_the_same(lcz_map: Path, tmp_path: Path, strip: int):
    pytest.importorskip("pyarrow", reason="GeoParquet needs pyarrow")
    polygonise(lcz_map, tmp_path / "out.gpkg")
    polygonise(lcz_map, tmp_path / "out.parquet")
    one, other = read(tmp_path / "out.gpkg"), geopandas.read_parquet(tmp_path / "out.parquet")
    assert other.crs == one.crs
    assert same(one.geometry.to_numpy(), other.geometry.to_numpy())
    columns = ["class", "label", "name", "mean_probability", "max_probability", "area_m2"]
    assert one[columns].equals(other[columns])


# -- the command -------------------------------------------------------------------------------


def test_command_gives_json_and_words(jido: Callable[..., Run], lcz_map: Path, tmp_path: Path):
    out = tmp_path / "new" / "out.gpkg"
    run = jido("polygons", lcz_map, "-o", out, "--json", "--class", "D", "--class", "2", "--min-area", 1000)
    assert run.code == 0
    assert set(run.json) == {"polygons", "objects", "area_m2", "dropped", "dropped_area_m2", "target"}
    assert run.json["objects"] == len(read(out))
    words = jido("polygons", lcz_map, "-o", out, "--min-area", 1000, "--quiet").out
    assert "objects, 19.76 ha" in words
    assert "below 1000 m² were dropped" in words


def test_what_cannot_be_done_is_refused(refused: Refused, lcz_map: Path, out: Path, tmp_path: Path):
    grey = np.zeros((3, 3), np.uint8)
    plain = write_map(tmp_path / "plain.tif", grey)
    floats = write_map(tmp_path / "float.tif", grey.astype(np.float32))
    nowhere = write_map(tmp_path / "nowhere.tif", grey, crs=None)
    local = write_map(tmp_path / "local.tif", grey, crs='LOCAL_CS["yard",UNIT["metre",1]]')
    several = write_map(tmp_path / "several.tif", grey, grey)
    (tmp_path / "text.tif").write_text("no map")
    to = ("-o", out / "out.gpkg")
    refused("polygons", tmp_path / "none.tif", *to, says=("none.tif does not exist",))
    refused("polygons", tmp_path / "text.tif", *to, says=("text.tif", "give a class map"))
    refused("polygons", floats, *to, says=("float32", "--band"))
    refused("polygons", nowhere, *to, "--min-area", 1, says=("nowhere.tif has no CRS", "--min-area"))
    refused("polygons", nowhere, *to, "--simplify", 1, says=("nowhere.tif has no CRS", "--simplify"))
    refused("polygons", plain, *to, "--min-peak", 0.9, says=("plain.tif holds no confidence", "--min-peak"))
    refused("polygons", local, *to, says=("local.tif", "does not lie on the earth"))
    refused("polygons", several, *to, says=("bands band1, band2", "--band"))
    refused("polygons", several, *to, "--band", 3, says=("2 bands, no band 3",))
    refused("polygons", plain, *to, "--class", "roof", says=("no class names, so 'roof'",))
    refused("polygons", lcz_map, *to, "--class", "roof", says=("no class 'roof', only 1, 2, 3",))
    refused("polygons", plain, "-o", out / "out.shp", says=("out.shp", ".gpkg or .parquet"))
    refused("polygons", plain, "-o", plain, says=("is an input",))
    refused("polygons", plain, *to, "--min-area", -1, says=("--min-area",))
    refused("polygons", lcz_map, *to, "--min-peak", 90, says=("--min-peak",))


def test_without_pyarrow_it_says_how_to_get_it(
    refused: Refused, lcz_map: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else found(name))
    refused("polygons", lcz_map, "-o", out / "out.parquet", says=("pip install pyarrow",))


def test_a_damaged_map_leaves_what_stood_there(refused: Refused, out: Path, tmp_path: Path):
    random = np.random.default_rng(0).integers(0, 200, (300, 300)).astype(np.uint8)
    path = write_map(tmp_path / "map.tif", random, blockysize=10)
    path.write_bytes(path.read_bytes()[:60_000])
    (out / "out.gpkg").write_text("an older one")
    refused("polygons", path, "-o", out / "out.gpkg", says=("damaged or cut short",))


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the Hong Kong LCZ data are not at ../shared/data")
def test_real_classes(tmp_path: Path, strip: int):
    with rasterio.open(HONG_KONG) as source:
        codes, transform, crs = source.read(1, masked=True), source.transform, source.crs.to_wkt()
    result = polygonise(HONG_KONG, tmp_path / "out.gpkg")
    frame = read(tmp_path / "out.gpkg")
    expected, _ = at_once(np.where(codes.mask, NO_CLASS, codes.data.astype(np.int64)), transform)
    assert same(ordered(frame.geometry.to_numpy())[0], expected)
    geodesic = sum(geod_area(polygon, pyproj.CRS(crs), 100) for polygon in expected)
    assert result.area_m2 == pytest.approx(geodesic, rel=1e-7)


@pytest.mark.parametrize("band", [2, 3])
def test_a_band_without_classes_is_refused(tmp_path, band):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 3, "dtype": "uint8", "crs": "EPSG:32649"}
    with rasterio.open(
        tmp_path / "map.tif", "w", **profile, transform=rasterio.Affine(10, 0, 0, 0, -10, 0)
    ) as sink:
        sink.write(np.ones((3, 4, 4), np.uint8))
        sink.descriptions = ("class", "confidence", "abstain")
    with pytest.raises(ImageError, match=f"Band {band} of .* holds no classes: leave --band out"):
        polygonise(tmp_path / "map.tif", tmp_path / "out.gpkg", band=band)
