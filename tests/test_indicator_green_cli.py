"""``jido indicator green`` from end to end: files, the one JSON object, and what is refused in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import rasterio.shutil
import shapely
from conftest import Refused, Run, held
from test_series import LEFT, TOP, items, reflectance, write  # noqa: F401

HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"
DAYS = ("20210615", "20210705", "20210805")
SIDE = 120
COMMAND = ("indicator", "green")


def town(folder: Path, days: tuple[str, ...] = DAYS, **place: object) -> list[Path]:
    """Images of 1200 x 1200 m: the west half has an NDVI of 0.2, the east of 0.7, each date its noise."""
    land = np.where(np.arange(SIDE) < SIDE / 2, 0.2, 0.7) * np.ones((SIDE, 1))
    paths = []
    for number, day in enumerate(days):
        ndvi = land + np.random.default_rng(number).normal(0, 0.02, land.shape)
        planes = reflectance(ndvi)
        paths.append(write(folder / f"s2_{day}.tif", planes, ("B04", "B08"), unit="reflectance", **place))
    return paths


def square(left: float, top: float, side: float) -> shapely.Polygon:
    """A square by its upper left corner, metres from that of the images."""
    return shapely.box(LEFT + left, TOP - top - side, LEFT + left + side, TOP - top)


def polygons(path: Path, **shapes: shapely.Polygon) -> Path:
    frame = geopandas.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:32632")
    frame.to_file(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return town(tmp_path / "in")


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """West and east half of the images, as one cell each."""
    shapes = {"west": shapely.box(LEFT, TOP - 1200, LEFT + 600, TOP),
              "east": shapely.box(LEFT + 600, TOP - 1200, LEFT + 1200, TOP)}  # fmt: skip
    return polygons(tmp_path / "halves.gpkg", **shapes)


# -- what it does ------------------------------------------------------------------------------


def test_a_folder_of_images_becomes_tables_sheet_map_and_picture(
    jido: Callable[..., Run], images: list[Path], out: Path
):
    run = jido(*COMMAND, images[0].parent, "-o", out / "green", "--grid", 200, "--json")
    assert run.code == 0, run.err
    facts = run.json
    assert set(facts) == {"table", "cells", "empty_cells", "summary"}
    assert facts["table"] == str(out / "green.gpkg")
    assert set(facts["summary"]) == {"share", "dates", "unit"}
    assert facts["summary"]["dates"] == ["2021-06-15", "2021-07-05", "2021-08-05"]
    assert facts["summary"]["unit"] == "share"
    share = facts["summary"]["share"]
    assert set(share) == {"value", "lower", "upper"}
    assert share["lower"] <= share["value"] <= share["upper"]
    assert share["lower"] < 0.5 < share["upper"]  # half of it is green; cells on the edge are empty
    assert share["value"] == pytest.approx(0.5, abs=0.1)
    names = {path.name for path in out.iterdir()}
    suffixes = ("gpkg", "parquet", "csv", "method.json", "method.md", "tif", "qml", "png")
    assert names == {"kept.txt", *(f"green.{suffix}" for suffix in suffixes)}
    table = pandas.read_csv(out / "green.csv")
    assert len(table) == facts["cells"]
    assert table["value"].isna().sum() == facts["empty_cells"] > 0
    assert list(table.columns[:9]) == ["id", "lon", "lat", "value", "lower", "upper", "coverage", "n", "se"]
    assert len(geopandas.read_file(out / "green.gpkg")) == len(table)
    sheet = json.loads((out / "green.method.json").read_text())
    assert sheet["dates"] == facts["summary"]["dates"]
    assert sheet["bands"] == ["nir", "red"]
    assert "2021-07-05: reflectance" in sheet["correction"]
    assert "NDVI > 0.4" in (out / "green.method.md").read_text()


def test_progress_and_notes_go_to_standard_error_unless_quiet(
    jido: Callable[..., Run], images: list[Path], out: Path
):
    words = (*COMMAND, *images, "-o", out / "green.csv", "--grid", 200)
    loud, quiet = jido(*words), jido(*words, "--quiet")
    assert loud.out == quiet.out
    assert "Nothing tells where clouds are on 2021-06-15" in loud.err
    assert quiet.err == ""
    first, second = loud.out.splitlines()[:2]
    assert first.startswith("share: 0.")
    assert " to 0." in first
    assert "cells, " in second
    assert "empty" in second


def test_own_cells_by_hand(jido: Callable[..., Run], images: list[Path], halves: Path, out: Path):
    answers = {"share": (0, 1), "ndvi": (0.2, 0.7)}
    for value, (west, east) in answers.items():
        file = out / f"{value}.csv"
        run = jido(*COMMAND, *images, "-o", file, "--cells", halves, "--id-field", "NAME", "--value", value)
        assert run.code == 0, run.err
        table = pandas.read_csv(file).set_index("id")
        np.testing.assert_allclose(table.loc[["west", "east"], "value"], [west, east], atol=2e-3)
        np.testing.assert_allclose(table["coverage"], 1, atol=1e-4)
        np.testing.assert_allclose(table["area_m2"], 720_000 / 0.9996**2, rtol=1e-3)
        assert ((table["lower"] <= table["value"]) & (table["value"] <= table["upper"])).all()
    assert not (out / "ndvi.tif").exists()  # districts are no grid
    assert (out / "ndvi.png").exists()


def test_map_and_style_say_what_the_table_says(jido: Callable[..., Run], images: list[Path], out: Path):
    assert jido(*COMMAND, *images, "-o", out / "g.csv", "--grid", 100, "--value", "ndvi").code == 0
    table = pandas.read_csv(out / "g.csv")
    with rasterio.open(out / "g.tif") as source:
        assert source.descriptions == ("value", "lower", "upper", "coverage", "n")
        assert source.units[0] == "NDVI"
        assert source.crs.to_epsg() == 3035
        planes = source.read(masked=True)
    for plane, name in zip(planes, ("value", "lower", "upper"), strict=False):
        np.testing.assert_allclose(np.sort(plane.compressed()), np.sort(table[name].dropna()), rtol=1e-5)
    items_ = ET.parse(out / "g.qml").getroot().findall(".//colorrampshader/item")
    values = [float(item.get("value")) for item in items_]
    assert values == sorted(set(values))
    assert table["value"].min() <= values[0] < values[-1] <= table["value"].max()


def test_tiles_instead_of_a_grid(jido: Callable[..., Run], images: list[Path], out: Path):
    assert jido(*COMMAND, *images, "-o", out / "g.csv", "--zoom", 17).code == 0
    table = pandas.read_csv(out / "g.csv")
    assert table["id"].str.match(r"17/\d+/\d+$").all()
    assert (out / "g.tif").exists()


@pytest.mark.parametrize(("name", "code"), [("SCL", 9), ("QA_PIXEL", 22280), ("mask", 1)])
def test_clouds_of_every_kind_are_not_seen(
    jido: Callable[..., Run], images: list[Path], halves: Path, out: Path, name: str, code: int
):
    clear = {"SCL": 4, "QA_PIXEL": 21824, "mask": 0}[name]
    plane = np.full((SIDE // 2, SIDE // 2), clear, np.uint16)
    plane[: SIDE // 8] = code  # the upper quarter
    mask = write(out.parent / f"{name}_{DAYS[0]}.tif", plane, (name,), size=20)
    words = ("--clouds", mask) if name == "mask" else ()
    files = [images[0]] if words else [images[0], mask]
    run = jido(*COMMAND, *files, *words, "-o", out / "g.csv", "--cells", halves, "--id-field", "name")
    assert run.code == 0, run.err
    assert "Nothing tells where clouds are" not in run.err
    np.testing.assert_allclose(pandas.read_csv(out / "g.csv")["coverage"], 0.75, atol=1e-3)


def test_green_per_head_of_districts(jido: Callable[..., Run], images: list[Path], halves: Path, out: Path):
    people = write(out.parent / "people.tif", np.full((14, 14), 3, np.float32), left=LEFT - 100,
                   top=TOP + 100, size=100)  # fmt: skip
    words = ("--value", "per-head", "--population", people, "--districts", halves, "--district-id", "name")
    run = jido(*COMMAND, *images, "-o", out / "g.csv", "--grid", 50, *words, "--json")
    assert run.code == 0, run.err
    table = pandas.read_csv(out / "g.districts.csv").set_index("id")
    # 3 people on each 10,000 m²: NDVI x 10,000 / 3 = 667 and 2333 m² per person; cells on the border
    # between the halves count as alike throughout, up to 50 of 600 m
    np.testing.assert_allclose(table.loc[["west", "east"], "value"], [2000 / 3, 7000 / 3], rtol=0.06)
    assert run.json["summary"]["unit"] == "m² per person"
    assert run.json["summary"]["per-head"]["value"] == pytest.approx(1500, rel=0.05)
    sheet = json.loads((out / "g.districts.method.json").read_text())
    assert sheet["weights"] == "people"
    assert "number of people is taken for exact" in " ".join(sheet["limits"])


def test_people_that_cover_a_part_only_are_said(
    jido: Callable[..., Run], images: list[Path], halves: Path, out: Path
):
    people = write(out.parent / "people.tif", np.ones((12, 6), np.float32), size=100)  # the west half
    words = ("--value", "per-head", "--population", people, "--cells", halves, "--id-field", "name")
    run = jido(*COMMAND, *images, "-o", out / "g.csv", *words)
    assert run.code == 0, run.err
    table = pandas.read_csv(out / "g.csv").set_index("id")
    assert table["value"].notna().to_dict() == {"west": True, "east": False}
    assert "people.tif covers 1 of 2 cells" in run.err


def test_published_figures_stand_beside(
    jido: Callable[..., Run], images: list[Path], halves: Path, out: Path
):
    figures = out.parent / "published.csv"
    figures.write_text("id,value\neast,0.9\n")
    run = jido(*COMMAND, *images, "-o", out / "g.csv", "--cells", halves, "--id-field", "name",
               "--value", "ndvi", "--benchmark", figures)  # fmt: skip
    assert run.code == 0, run.err
    table = pandas.read_csv(out / "g.csv").set_index("id")
    np.testing.assert_allclose(table.loc["east", "difference"], -0.2, atol=2e-3)
    assert table.loc["east", "agrees"] == 0
    assert np.isnan(table.loc["west", "benchmark"])


def test_stac_items(jido: Callable[..., Run], items: Callable[..., Path], out: Path):  # noqa: F811
    paths = [
        items("a", 0.6, "2021-07-05"),
        items("b", 0.2, "2021-08-05", scl=9),
        items("c", 0.3, "2021-01-05"),
    ]
    run = jido(*COMMAND, *paths, "--stac", "-o", out / "g.csv", "--grid", 20, "--value", "ndvi", "--json")
    assert run.code == 0, run.err
    assert run.json["summary"]["dates"] == ["2021-07-05", "2021-08-05"]
    table = pandas.read_csv(out / "g.csv")
    np.testing.assert_allclose(table["value"].dropna(), 0.6, atol=1e-3)  # the second date is all cloud
    assert "1 of 3 dates are not of the summer" in run.err


def test_a_southern_town_has_summer_at_the_turn_of_the_year(jido: Callable[..., Run], out: Path):
    days = ("20201220", "20210105", "20210615")
    town(out.parent / "in", days, top=6_250_000, crs="EPSG:32756")
    run = jido(*COMMAND, out.parent / "in", "-o", out / "g.csv", "--grid", 200, "--json")
    assert run.json["summary"]["dates"] == ["2020-12-20", "2021-01-05"]
    assert "1 of 3 dates are not of the summer at 34 degrees south" in run.err


def test_dates_in_any_order_give_the_same_table(jido: Callable[..., Run], images: list[Path], out: Path):
    days = [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in DAYS]
    for name, order in (("one", (0, 1, 2)), ("two", (2, 0, 1))):
        given = ",".join(days[i] for i in order)
        files = [shutil.copy(images[i], out.parent / f"{name}{i}.tif") for i in order]
        run = jido(*COMMAND, *files, "--dates", given, "-o", out / f"{name}.csv", "--grid", 200)
        assert run.code == 0, run.err
    assert (out / "one.csv").read_bytes() == (out / "two.csv").read_bytes()


@pytest.mark.skipif(not HONG_KONG.exists(), reason="lcz_hongkong is not at ../shared/data")
def test_hong_kong_in_autumn(jido: Callable[..., Run], out: Path):
    run = jido(*COMMAND, *sorted(HONG_KONG.glob("landsat8_*.tif")), "-o", out / "g.csv",
               "--months", "10,11", "--grid", 2000, "--json")  # fmt: skip
    assert run.code == 0, run.err
    assert run.json["summary"]["share"]["value"] == pytest.approx(0.35, abs=0.02)
    assert run.json["summary"]["dates"][0] == "2013-11-29"
    table = pandas.read_csv(out / "g.csv").dropna(subset="value")
    assert table["ndvi"].between(-1, 1).all()
    assert (table["upper"] - table["lower"] <= 1).all()


# -- what it refuses ---------------------------------------------------------------------------


def test_a_missing_band_is_refused_with_what_would_work(refused: Refused, out: Path):
    planes = np.full((2, 16, 16), 0.3, np.float32)
    path = write(out.parent / "s_20210705.tif", planes, ("B03", "B08"), unit="reflectance")
    refused(*COMMAND, path, "-o", out / "g", says=("NDVI needs nir and red", "have no red", "ndwi"))
    rgb = write(out.parent / "rgb_20210705.tif", np.full((3, 16, 16), 9, np.uint8), ("red", "green", "blue"))
    refused(*COMMAND, rgb, "-o", out / "g", says=("have no nir", "band descriptions"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--grid-crs", "EPSG:4326"), ("counts in degrees", "leave the CRS of the grid out")),
        (("--grid-crs", "EPSG:3857"), ("0.40 of the area", "equal areas")),
        (("--grid-crs", "Atlantis"), ("Atlantis", "EPSG:")),
        (("--months", "13"), ("--months '13' are none", "1 to 12")),
        (("--months", "June"), ("--months 'June' are none", "1 to 12")),
        (("--months", "1,2"), ("2021-06-15", "months 1, 2", "--months")),
        (("--dates", "2021-07-05"), ("3 images were given but 1 dates",)),
        (("--dates", "2021-06-15,2021-06-15,2021-07-01"), ("2021-06-15 comes twice", "--stac")),
        (("--dates", "15.6.2021,5.7.2021,5.8.2021"), ("not written as 2021-07-05",)),
        (("--value", "per-head"), ("needs people", "--population")),
        (("--resolution", "10"), ("--resolution and --bounds go with --stac",)),
        (("--grid", "0.5"), ("--grid", "1")),
        (("--grid", "1e9"), ()),
        (("--threshold", "4"), ("--threshold", "1")),
        (("--min-coverage", "0"), ("--min-coverage", "0.01")),
        (("--zoom", "30"), ("--zoom", "24")),
    ],
)
def test_wrong_words_are_refused(
    refused: Refused, images: list[Path], out: Path, words: tuple[str, ...], says: tuple[str, ...]
):
    refused(*COMMAND, *images, "-o", out / "g", *words, says=says)


def test_images_that_cannot_be_read_are_refused(refused: Refused, images: list[Path], out: Path):
    empty, text = out.parent / "empty", out.parent / "text_20210705.tif"
    empty.mkdir()
    text.write_text("no image")
    undated = Path(shutil.copy(images[0], out.parent / "undated.tif"))
    missing = out.parent / "missing"
    refused(*COMMAND, empty, "-o", out / "g", says=(empty, "holds no image"))
    refused(*COMMAND, text, "-o", out / "g", says=(text, "not an image"))
    refused(*COMMAND, undated, "-o", out / "g", says=(undated, "does not say when it was taken", "--dates"))
    refused(*COMMAND, missing, "-o", out / "g", says=(missing, "does not exist"))
    cut = out.parent / "cut_20210707.tif"
    rasterio.shutil.copy(images[1], cut, driver="COG", blocksize=128)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    refused(*COMMAND, images[0], cut, "-o", out / "g", says=(cut, "cut short", "get it again"))


def test_summer_of_the_other_half_of_the_earth_is_refused(refused: Refused, out: Path):
    paths = town(out.parent / "in", ("20210615", "20210705"), top=6_250_000, crs="EPSG:32756")
    refused(*COMMAND, *paths, "-o", out / "g", says=("34 degrees south", "months 12, 1, 2", "--months"))


def test_nothing_but_clouds_is_refused(refused: Refused, images: list[Path], out: Path):
    plane = np.ones((SIDE, SIDE), np.uint8)
    masks = [write(out.parent / f"clouds_{day}.tif", plane) for day in DAYS]
    words = [word for mask in masks for word in ("--clouds", mask)]
    refused(*COMMAND, *images, *words, "-o", out / "g", says=("Nothing was seen in any cell", "cloud"))


def test_masks_that_do_not_fit_are_refused(refused: Refused, images: list[Path], out: Path):
    plane = np.zeros((SIDE, SIDE), np.uint8)
    other = write(out.parent / "clouds_20210616.tif", plane)
    far = write(out.parent / "clouds_20210615.tif", plane, left=LEFT + 90_000)
    words = (*COMMAND, *images, "-o", out / "g")
    refused(*words, "--clouds", other, says=(other, "2021-06-16", "no image is"))
    refused(*words, "--clouds", far, says=(far, "another place"))


def test_people_that_do_not_fit_are_refused(refused: Refused, images: list[Path], halves: Path, out: Path):
    plane = np.ones((12, 12), np.float32)
    far = write(out.parent / "far.tif", plane, left=LEFT + 90_000, size=100)
    part = write(out.parent / "part.tif", plane[:, :3], size=100)
    minus = write(out.parent / "minus.tif", -plane, size=100)
    words = (*COMMAND, *images, "--value", "per-head", "--cells", halves, "--id-field", "name",
             "-o", out / "g", "--population")  # fmt: skip
    refused(*words, far, says=(far, "none of the cells"))
    refused(*words, part, says=(part, "covers none of the cells"))
    refused(*words, minus, says=(minus, "-1 people in a pixel"))
    refused(*words, out.parent / "missing.tif", says=("missing.tif", "does not exist"))


def test_cells_and_districts_without_their_ids_are_refused_and_leave_nothing(
    refused: Refused, images: list[Path], halves: Path, out: Path
):
    words = (*COMMAND, *images, "-o", out / "g", "--grid", 200)
    refused(*words, "--cells", halves, says=(halves, "no column 'id', only name"))
    refused(*words, "--districts", halves, says=(halves, "no column 'id', only name"))
    far = polygons(out.parent / "far.gpkg", far=square(90_000, 0, 100))
    refused(*words, "--cells", far, "--id-field", "name", says=("None of the cells lies on the image",))


@pytest.mark.parametrize("text", ["name,value\neast,0.9\n", "id,value\neast\n", "id,value\neast,green\n"])
def test_published_figures_that_are_no_table_are_refused(
    refused: Refused, images: list[Path], halves: Path, out: Path, text: str
):
    file = out.parent / "published.csv"
    file.write_text(text)
    words = (*COMMAND, *images, "-o", out / "g", "--grid", 200, "--benchmark", file)
    refused(*words, says=(file, "id and value"))
    refused(*words, "--districts", halves, "--district-id", "name", says=(file, "id and value"))


def test_published_figures_of_another_place_leave_nothing(
    refused: Refused, images: list[Path], halves: Path, out: Path
):
    file = out.parent / "published.csv"
    file.write_text("id,value\nnorth,0.9\n")
    words = (*COMMAND, *images, "-o", out / "g", "--grid", 200, "--benchmark", file)
    refused(*words, says=("'north'", "no such cell"))
    refused(*words, "--districts", halves, "--district-id", "name", says=("'north'", "no such cell"))


def test_no_file_that_is_read_is_written_over(refused: Refused, images: list[Path], halves: Path):
    folder = images[0].parent
    before = {path: path.read_bytes() for path in (*images, halves)}
    words = (*COMMAND, *images, "--grid", 200)
    refused(*words, "-o", images[0], says=(images[0], "is an input"))
    refused(*words, "-o", folder / images[0].stem, says=(images[0], "is an input"))  # its map is a .tif too
    own = (*words, "--cells", halves, "--id-field", "name")
    refused(*own, "-o", halves.with_suffix(""), says=(halves, "is an input"))
    refused(*own, "-o", halves, says=(halves, "is an input"))
    assert {path: path.read_bytes() for path in before} == before


def test_a_result_stands_until_a_new_one_is_whole(
    jido: Callable[..., Run], images: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
):
    words = (*COMMAND, *images, "-o", out / "g", "--grid", 200)
    assert jido(*words).code == 0
    before = held(out)
    assert jido(*words).code == 0
    assert set(held(out)) == set(before)
    monkeypatch.setattr(
        "jido.io.cell_table._write_csv", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    run = jido(*words, "--threshold", 0.1)
    assert run.code == 2
    assert "No space left" in run.err or "full" in run.err
    assert {n: b for n, b in held(out).items() if n.endswith(("csv", "parquet", "tif", "json"))} == {
        n: b for n, b in before.items() if n.endswith(("csv", "parquet", "tif", "json"))
    }
