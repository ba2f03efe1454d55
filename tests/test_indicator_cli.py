"""``jido indicator water`` and ``heat`` as a user runs them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import Refused, Run
from odc.geo.geobox import GeoBox

from jido.data.lakes import Lake, simulate_lake
from jido.geo import Band, Raster
from jido.io import read_image, write_codes, write_image
from jido.labels import lcz_scheme

YEARS = 4


class Shots(NamedTuple):
    """A simulated lake on disk; nobody changes it."""

    lake: Lake
    images: list[Path]
    clouds: list[Path]
    outline: Path


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Shots:
    folder = tmp_path_factory.mktemp("lake")
    lake = simulate_lake(3, pixels=96, first_year=2015, years=YEARS, dates_a_year=2, cloud=0.05)
    images, clouds = [], []
    for place, day in enumerate(lake.dates.astype(str)):
        image = lake.image(place)
        images.append(folder / f"S2_{day}.tif")
        write_image(image, images[-1])
        clouds.append(folder / f"clouds_{day}.tif")
        mask = np.where(lake.clouds(place), 1, np.nan)[None].astype(np.float32)
        write_image(Raster(mask, (Band("clouds"),), image.geobox), clouds[-1], dtype="uint8")
    outline = folder / "lake.gpkg"
    crs = lake.image(0).geobox.crs.to_wkt()
    shape = lake.outline().buffer(30)
    geopandas.GeoDataFrame({"id": ["one"]}, geometry=[shape], crs=crs).to_file(outline)
    return Shots(lake, images, clouds, outline)


def water(shots: Shots, output: Path, *options: object, images: list[Path] | None = None) -> tuple:
    masks = [part for path in shots.clouds for part in ("--clouds", path)] if images is None else []
    return ("indicator", "water", *(images or shots.images), *masks, "-o", output, *options)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_areas_of_a_lake_hold_the_truth(jido: Callable[..., Run], shots: Shots, tmp_path: Path):
    run = jido(*water(shots, tmp_path / "w", "--bodies", shots.outline, "--baseline", "2015-2016"), "--json")
    assert run.code == 0, run.err
    assert (run.json["cells"], run.json["empty_cells"]) == (1, 0)
    assert run.json["summary"]["unit"] == "m²"
    by_date = rows(tmp_path / "w.dates.csv")
    truth = dict(zip(shots.lake.dates.astype(str), shots.lake.area_m2, strict=True))
    assert [row["date"] for row in by_date] == sorted(truth)
    off = [float(row["value"]) / truth[row["date"]] - 1 for row in by_date if not row["reason"]]
    assert np.abs(off).mean() < 0.02
    held = [float(row["lower"]) <= truth[row["date"]] <= float(row["upper"]) for row in by_date]
    assert np.mean(held) >= 0.7  # of 8 dates; 95 % over many lakes: test_water.py
    (lake,) = rows(tmp_path / "w.csv")
    assert float(lake["slope"]) < 0  # the lake shrinks
    assert lake["period"] == str(2015 + YEARS - 1)
    assert lake["forecast"] == ""  # four years cannot say how far a forecast errs
    assert (tmp_path / "w.one.png").stat().st_size > 10_000
    assert "Otsu" in (tmp_path / "w.method.md").read_text()


def test_levels_and_volumes_come_from_the_users_tables(
    jido: Callable[..., Run], shots: Shots, tmp_path: Path
):
    (tmp_path / "nominal.csv").write_text(f"id,value\none,{shots.lake.bowl.area_m2}\n")
    area, volume = shots.lake.hypsometry()
    curve = "\n".join(f"one,{a},{v}" for a, v in zip(area, volume, strict=True))
    (tmp_path / "curve.csv").write_text(f"id,area,volume\n{curve}\n")
    more = ("--nominal", tmp_path / "nominal.csv", "--curve", tmp_path / "curve.csv")
    assert jido(*water(shots, tmp_path / "w", "--bodies", shots.outline, *more), "--json").code == 0
    (lake,) = rows(tmp_path / "w.csv")
    value = float(lake["value"])
    assert float(lake["level"]) == pytest.approx(value / shots.lake.bowl.area_m2)
    assert float(lake["volume"]) == pytest.approx(np.interp(value, area, volume), rel=0.05)


def test_water_by_cell(jido: Callable[..., Run], shots: Shots, tmp_path: Path):
    run = jido(*water(shots, tmp_path / "w", "--grid", 240, images=shots.images[:1]), "--json")
    assert run.code == 0, run.err
    found = [row for row in rows(tmp_path / "w.csv") if row["value"]]
    assert {0.0, 1.0} <= {round(float(row["value"]), 2) for row in found}  # land, lake, and shore between
    assert all(0 <= float(row["lower"]) <= float(row["value"]) <= float(row["upper"]) <= 1 for row in found)
    with rasterio.open(tmp_path / "w.tif") as sink:
        assert sink.descriptions == ("value", "lower", "upper", "coverage", "n")
    assert (tmp_path / "w.qml").exists()


def test_a_run_that_fails_at_its_last_file_leaves_all_of_the_one_before(
    jido: Callable[..., Run], shots: Shots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from jido.errors import OutputError
    from jido.indicators import cell_map

    assert jido(*water(shots, tmp_path / "w", "--grid", 480, images=shots.images[:1])).code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"w.csv", "w.gpkg", "w.tif", "w.qml", "w.png", "w.method.md"} <= before.keys()

    def fails(*_: object) -> None:
        raise OutputError("The picture cannot be written.")

    monkeypatch.setattr(cell_map, "draw_table", fails)
    run = jido(*water(shots, tmp_path / "w", "--grid", 240, images=shots.images[:1]))
    assert run.code == 2
    assert "picture cannot be written" in run.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_order_of_the_images_does_not_matter(jido: Callable[..., Run], shots: Shots, tmp_path: Path):
    for name, images in (("a", shots.images[:3]), ("b", shots.images[2::-1])):
        assert jido(*water(shots, tmp_path / name, "--grid", 480, images=images), "--json").code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_what_water_cannot_be_measured_from_is_refused(
    refused: Refused, shots: Shots, out: Path, tmp_path: Path
):
    first, to = shots.images[:1], out / "w"
    with rasterio.open(first[0]) as source:
        green = source.descriptions.index("B03") + 1
        profile = source.profile | {"count": 1}
        only = tmp_path / "green_2015-01-01.tif"
        with rasterio.open(only, "w", **profile) as sink:
            sink.write(source.read(green), 1)
            sink.set_band_description(1, "B03")
    refused(*water(shots, to, images=[only]), says=("MNDWI needs green and swir16", "no swir16"))
    refused(*water(shots, to, "--method", "vv", images=first), says=("have no band VV", "Sentinel-1"))
    nominal = tmp_path / "nominal.csv"
    nominal.write_text("id,value\ntwo,5\n")
    told = ("--nominal", nominal)
    refused(*water(shots, to, *told, images=first), says=("give their polygons with --bodies",))
    body = ("--bodies", shots.outline)
    refused(*water(shots, to, *body, *told, images=first), says=("'two'", "no such water body", "'one'"))
    refused(
        *water(shots, to, *body, "--baseline", "2004-2000", images=first),
        says=("2004-2000", "first and last"),
    )
    refused(*water(shots, to, *body, "--id-field", "name", images=first), says=("no column 'name'", "id"))
    twice = tmp_path / f"again_{shots.lake.dates.astype(str)[0]}.tif"
    twice.write_bytes(first[0].read_bytes())
    refused(
        *water(shots, to, images=[*first, twice]),
        says=("comes twice", "Put tiles of one day together"),
    )


# -- heat --------------------------------------------------------------------------------------

SIDE, PIXEL_M = 60, 100
WARMER = {3: 6.0, 11: -4.0, 14: 0.0}
"""Code of a class -> K above zone D."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates of a town of three zones in squares, in K, with red and near infrared; and its map."""
    folder, rng = tmp_path_factory.mktemp("heat"), np.random.default_rng(5)
    box = GeoBox((SIDE, SIDE), Affine(PIXEL_M, 0, 500_000, 0, -PIXEL_M, 5_000_000), "EPSG:32633")
    squares = rng.permuted(np.tile(list(WARMER), 12)).reshape(6, 6)
    codes = np.kron(squares, np.ones((10, 10))).astype(np.uint8)
    write_codes(codes, box, folder / "lcz.tif", scheme=lcz_scheme())
    above = np.vectorize(WARMER.get)(codes).astype(np.float32)
    nir = np.where(codes == 11, 0.5, 0.2)
    for day, base in (("2020-07-01", 300), ("2020-08-01", 304)):
        kelvin = (
            base
            + above
            + rng.normal(0, 0.3, above.shape)
            + np.kron(rng.normal(0, 0.2, (6, 6)), np.ones((10, 10)))
        )
        data = np.stack([np.full(above.shape, 0.1), nir, kelvin]).astype(np.float32)
        bands = (
            Band("B4", "landsat-8", "red", 654.5, "reflectance"),
            Band("B5", "landsat-8", "nir", 865, "reflectance"),
            Band("B10", "landsat-8", "lwir11", 10895, "K"),
        )
        write_image(Raster(data, bands, box), folder / f"L8_{day}.tif")
    people = np.where(codes == 3, 50.0, 1.0)[None].astype(np.float32)
    write_image(Raster(people, (Band("people"),), box), folder / "people.tif")
    return folder


def heat(town: Path, output: Path, *options: object) -> tuple:
    images = sorted(town.glob("L8_*.tif"))
    return ("indicator", "heat", *images, "--lcz", town / "lcz.tif", "-o", output, *options)


def test_zones_are_as_warm_as_they_were_made(jido: Callable[..., Run], town: Path, tmp_path: Path):
    run = jido(*heat(town, tmp_path / "h", "--population", town / "people.tif"), "--json")
    assert run.code == 0, run.err
    summary = run.json["summary"]
    assert (summary["reference"], summary["date"]) == ("D", "all dates")
    assert summary["classes"]["3"]["value"] == pytest.approx(6, abs=0.4)
    assert summary["classes"]["A"]["value"] == pytest.approx(-4, abs=0.4)
    cells = [row for row in rows(tmp_path / "h.csv") if row["rank"]]
    first = min(cells, key=lambda row: float(row["rank"]))
    warmth = np.array([float(row["value"]) for row in cells])
    assert (warmth <= float(first["value"])).mean() > 0.6  # hot, and full of people
    assert float(first["people"]) > np.median([float(row["people"]) for row in cells])
    by_class = rows(tmp_path / "h.classes.csv")
    assert {row["date"] for row in by_class} == {"2020-07-01", "2020-08-01", "all dates"}
    built = rows(tmp_path / "h.canopy.csv")
    assert max(float(row["value"]) for row in built if row["value"]) > 0.5  # LCZ 3: .55 is built over
    assert {path.name for path in tmp_path.glob("h.*.png")} == {
        "h.kelvin.png", "h.difference.png", "h.shade.png",
    }  # fmt: skip


def test_another_reference_shifts_all_by_the_same(jido: Callable[..., Run], town: Path, tmp_path: Path):
    run = jido(*heat(town, tmp_path / "h", "--reference", "A"), "--json")
    assert run.json["summary"]["classes"]["3"]["value"] == pytest.approx(10, abs=0.5)


def test_polygons_of_zones_do_as_well(jido: Callable[..., Run], town: Path, tmp_path: Path):
    with rasterio.open(town / "lcz.tif") as source:
        squares = source.read(1)[5::10, 5::10]
    left, top = (part.ravel() for part in np.meshgrid(range(6), range(6)))
    x, y = 500_000 + 1000 * left, 5_000_000 - 1000 * top
    boxes = shapely.box(x + 200, y - 800, x + 800, y - 200)
    frame = geopandas.GeoDataFrame({"lcz": squares.ravel()}, geometry=boxes, crs="EPSG:32633")
    frame.to_file(tmp_path / "zones.gpkg")
    words = list(heat(town, tmp_path / "h"))
    words[words.index("--lcz") + 1] = tmp_path / "zones.gpkg"
    run = jido(*words, "--json")
    assert run.code == 0, run.err
    assert run.json["summary"]["classes"]["3"]["value"] == pytest.approx(6, abs=0.5)
    assert not (tmp_path / "h.canopy.csv").exists()  # polygons do not say how a cell is built


def test_what_heat_cannot_be_measured_from_is_refused(
    refused: Refused, town: Path, out: Path, tmp_path: Path
):
    to = out / "h"
    image = read_image(town / "L8_2020-07-01.tif").select(["B4", "B5"])
    write_image(image, tmp_path / "cold_2020-07-01.tif")
    words = (
        "indicator",
        "heat",
        tmp_path / "cold_2020-07-01.tif",
        "--lcz",
        town / "lcz.tif",
        "-o",
        out / "h",
    )
    refused(*words, says=("can be the temperature", "Landsat-8 B10 or a band in K"))
    refused(*heat(town, to, "--reference", "7"), says=("7",))
    refused(*heat(town, to, "--population", tmp_path / "none.tif"), says=("none.tif", "does not exist"))
