"""Maps for Google Earth and for climate models: what is in the files, pixel by pixel."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import Refused, Run
from PIL import Image

from jido.io import aux_xml
from jido.io.kmz import NAMESPACE, write_kmz
from jido.labels import binary_scheme, lcz_scheme
from jido.labels.canopy import canopy_parameters
from jido.maps.canopy import write_canopy

IN_DEGREES = Affine(0.001, 0, 10, 0, -0.001, 50)
KML = {"": NAMESPACE}


def write_map(path: Path, codes: np.ndarray, *, scheme: Any = None, **profile: Any) -> Path:
    defaults = {"driver": "GTiff", "height": codes.shape[0], "width": codes.shape[1], "count": 1,
                "dtype": codes.dtype, "nodata": 255, "crs": "EPSG:4326", "transform": IN_DEGREES}  # fmt: skip
    with rasterio.open(path, "w", **defaults | profile) as sink:
        sink.write(codes, 1)
    if scheme:
        path.with_name(f"{path.name}.aux.xml").write_text(aux_xml(scheme, (1,)), encoding="utf-8")
    return path


@pytest.fixture
def zones() -> np.ndarray:
    """Local Climate Zones of 40 x 50 cells; a corner has no data, another no label."""
    codes = np.random.default_rng(0).choice([2, 6, 11, 17], (40, 50)).astype(np.uint8)
    codes[:5, :7], codes[-4:, -4:] = 255, 0
    return codes


@pytest.fixture
def lcz_map(zones: np.ndarray, tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", zones, scheme=lcz_scheme())


def opened(path: Path) -> tuple[ET.Element, dict[str, Image.Image]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        pictures = {name: Image.open(io.BytesIO(archive.read(name))) for name in names}
        return ET.fromstring(archive.read("doc.kml")), pictures


def box(overlay: ET.Element) -> list[float]:
    [found] = overlay.findall("LatLonBox", KML)
    return [float(found.findtext(side, "", KML)) for side in ("west", "south", "east", "north")]


# -- KMZ -----------------------------------------------------------------------------------------


def test_every_cell_has_its_colour_and_place(lcz_map: Path, zones: np.ndarray, tmp_path: Path):
    result = write_kmz(lcz_map, tmp_path / "map.kmz", note="Overall accuracy 0.8")
    assert (result.pictures, result.classes, result.coarser) == (1, ("2", "6", "A", "G"), 1)
    kml, pictures = opened(tmp_path / "map.kmz")
    colours = np.zeros((256, 4), np.uint8)
    colours[list(lcz_scheme().codes)] = list(lcz_scheme().palette.values())
    np.testing.assert_array_equal(np.array(pictures["files/0.png"].convert("RGBA")), colours[zones])
    [overlay] = kml.findall("Document/GroundOverlay", KML)
    assert box(overlay) == pytest.approx([10, 49.96, 10.05, 50])
    assert overlay.findtext("Icon/href", "", KML) == "files/0.png"
    assert overlay.find("Region", KML) is None
    assert kml.findtext("Document/name", "", KML) == "map"
    assert kml.findtext("Document/description", "", KML) == "Overall accuracy 0.8"
    legend = np.array(pictures["files/legend.png"].convert("RGB")).reshape(-1, 3)
    for code in (2, 6, 11, 17):
        assert (legend == colours[code, :3]).all(axis=1).any()
    assert not (legend == colours[1, :3]).all(axis=1).any()  # not on the map


def test_the_same_map_gives_the_same_bytes(lcz_map: Path, tmp_path: Path):
    for name in ("one.kmz", "two.kmz"):
        write_kmz(lcz_map, tmp_path / name)
    assert (tmp_path / "one.kmz").read_bytes() == (tmp_path / "two.kmz").read_bytes()


def test_a_map_in_metres_is_turned_and_lies_where_gdal_says(tmp_path: Path):
    codes = np.full((64, 64), 14, np.uint8)
    codes[20:30, 40:50] = 1
    place = Affine(100, 0, 700_000, 0, -100, 5_500_000)
    path = write_map(tmp_path / "utm.tif", codes, crs="EPSG:32632", transform=place, nodata=None)
    write_kmz(path, tmp_path / "utm.kmz")
    kml, pictures = opened(tmp_path / "utm.kmz")
    west, south, east, north = box(kml.findall("Document/GroundOverlay", KML)[0])
    picture = np.array(pictures["files/0.png"])
    [lon], [lat] = rasterio.warp.transform("EPSG:32632", "EPSG:4326", [704_500], [5_497_500])
    col = int((lon - west) / (east - west) * picture.shape[1])
    row = int((north - lat) / (north - south) * picture.shape[0])
    assert (picture[row - 2 : row + 3, col - 2 : col + 3] == 1).all()
    assert picture[0, 0] == 255 or picture[-1, 0] == 255  # the map stands askew
    assert set(np.unique(picture)) == {1, 14, 255}


@pytest.mark.parametrize("north", [6_650_000, 7_800_000])
def test_far_north_no_row_is_left_out(north: int, tmp_path: Path):
    """A degree of longitude is half or a third of one of latitude there; the map stands askew a little."""
    codes = np.repeat(np.arange(1, 65, dtype=np.uint8)[:, None], 64, axis=1)
    place = Affine(10, 0, 500_000, 0, -10, north)
    path = write_map(tmp_path / "north.tif", codes, crs="EPSG:32633", transform=place)
    assert write_kmz(path, tmp_path / "north.kmz").coarser == 1
    picture = np.array(opened(tmp_path / "north.kmz")[1]["files/0.png"])
    assert len(np.unique(picture[picture < 255])) >= 63


def test_a_large_map_has_an_overview_and_parts(
    zones: np.ndarray, lcz_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jido.io.kmz.SIDE", 16)
    monkeypatch.setattr("jido.io.kmz.LARGEST", 64)
    told: list[Any] = []
    result = write_kmz(lcz_map, tmp_path / "map.kmz", progress=lambda *said: told.append(said))
    kml, pictures = opened(tmp_path / "map.kmz")
    first, *parts = kml.findall("Document/GroundOverlay", KML)
    assert result.pictures == 1 + len(parts) == 13  # 3 x 4 parts
    assert told[-1] == ("drawing", 13, 13)
    assert pictures["files/0.png"].size == (16, 13)
    assert max(max(picture.size) for name, picture in pictures.items() if "legend" not in name) == 16
    assert first.find("Region", KML) is None
    whole = np.full((40, 50), 255, np.uint8)
    for part in parts:
        assert part.findtext("Region/Lod/minLodPixels", "", KML) == "8"
        west, _, _, north = box(part)
        row, col = round((50 - north) * 1000), round((west - 10) * 1000)
        picture = np.array(pictures[part.findtext("Icon/href", "", KML)])
        whole[row : row + picture.shape[0], col : col + picture.shape[1]] = picture
    np.testing.assert_array_equal(whole, np.where(zones == 0, 255, zones))


def test_a_map_too_large_is_thinned_out_and_says_so(
    jido: Callable[..., Run], lcz_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jido.io.kmz.LARGEST", 25)
    run = jido("kmz", lcz_map, "-o", tmp_path / "map.kmz")
    assert "1 picture, 4 classes" in run.out
    assert "a pixel stands for 2 x 2 cells" in run.err
    _, pictures = opened(tmp_path / "map.kmz")
    assert pictures["files/0.png"].size == (25, 20)


def test_a_map_package_says_how_accurate_it_is(jido: Callable[..., Run], town_map: Path, tmp_path: Path):
    run = jido("kmz", town_map, "-o", tmp_path / "map.kmz", "--json")
    assert run.json["kmz"] == str(tmp_path / "map.kmz")
    assert run.json["pictures"] == 1
    kml, _ = opened(tmp_path / "map.kmz")
    assert kml.findtext("Document/description", "", KML).startswith("Overall accuracy 0.")


# -- canopy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strip", [1 << 20, 400])
def test_every_cell_has_the_parameters_of_its_class(
    lcz_map: Path, zones: np.ndarray, tmp_path: Path, strip: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jido.io.classmap.STRIP", strip)
    result = write_canopy(lcz_map, tmp_path / "canopy.tif")
    table, known = canopy_parameters(lcz_scheme()), np.isin(zones, [2, 6, 11, 17])
    assert result.cells == known.sum()
    with rasterio.open(tmp_path / "canopy.tif") as source, rasterio.open(lcz_map) as plain:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (source.crs, source.transform, source.shape) == (plain.crs, plain.transform, plain.shape)
        assert (
            source.descriptions == tuple(table) == ("building_fraction", "height_m", "h_w", "urban_fraction")
        )
        assert source.units[:2] == ("share", "m")
        assert set(source.dtypes) == {"float32"}
        assert np.isnan(source.nodata)
        for plane, values in zip(source.read(), table.values(), strict=True):
            expected = np.where(known, values[np.clip(zones, 1, 17) - 1], np.nan).astype(np.float32)
            np.testing.assert_array_equal(plane, expected)
    assert table["height_m"][1] == 17.5  # compact midrise: middle of 10 to 25 m


def test_the_command_writes_a_band_each(jido: Callable[..., Run], town_map: Path, tmp_path: Path):
    run = jido("canopy", town_map, "-o", tmp_path / "canopy.tif", "--band", 2)
    assert run.code == 0
    assert "height_m                                                m" in run.out
    assert "1,024 cells, values of a table" in run.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canopy.tif"]
    again = jido("canopy", town_map, "-o", tmp_path / "canopy.tif", "--json")
    assert again.json["bands"]["height_m"] == "m"


# -- bad input -----------------------------------------------------------------------------------


def test_what_is_no_such_map_is_refused(
    refused: Refused, zones: np.ndarray, lcz_map: Path, town_map: Path, tmp_path: Path, out: Path
):
    homeless = write_map(tmp_path / "no_crs.tif", zones, crs=None)
    empty = write_map(tmp_path / "empty.tif", np.zeros_like(zones))
    two = write_map(tmp_path / "two.tif", np.full((8, 8), 2, np.uint8), scheme=binary_scheme("field"))
    odd = write_map(tmp_path / "odd.tif", np.full((8, 8), 42, np.uint8))
    far = write_map(tmp_path / "far.tif", np.full((8, 8), 1000, np.int16))
    cut = tmp_path / "cut.tif"
    cut.write_bytes(lcz_map.read_bytes()[:800])
    to = {"kmz": ("-o", out / "map.kmz"), "canopy": ("-o", out / "canopy.tif")}
    for command, where in to.items():
        refused(command, homeless, *where, says=(homeless, "has no CRS"))
        refused(command, town_map, *where, "--band", 3, says=("holds no classes",))
        refused(command, tmp_path / "none.tif", *where, says=("does not exist",))
        refused(command, lcz_map, "-o", lcz_map, says=("is an input",))
        refused(command, cut, *where, says=(cut,))
    refused("kmz", lcz_map, "-o", out / "map.zip", says=("end the name with .kmz",))
    refused("canopy", lcz_map, "-o", out / "map.png", says=("end the name with .tif",))
    refused("kmz", empty, *to["kmz"], says=("holds no class anywhere",))
    refused("kmz", far, *to["kmz"], says=("codes below 0 or above 254",))
    ones, wide = np.ones((8, 8), np.uint8), Affine(9000, 0, 160_000, 0, -9000, 1_000_000)
    dateline = write_map(tmp_path / "fiji.tif", ones, crs="EPSG:32601", transform=wide)
    for crs in ("EPSG:3413", "EPSG:3031"):
        pole = write_map(tmp_path / "pole.tif", ones, crs=crs, transform=Affine(9, 0, -36, 0, -9, 36))
        refused("kmz", pole, *to["kmz"], says=("holds a pole",))
    refused("kmz", dateline, *to["kmz"], says=("crosses the 180th meridian",))
    refused("canopy", two, *to["canopy"], says=("holds background, field, no Local Climate Zones",))
    refused("canopy", odd, *to["canopy"], says=("holds the code 42",))
    refused("canopy", far, *to["canopy"], says=("holds the code 1000",))
