"""``jido indicator debris`` as a user runs it: training, a map with cells, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from conftest import Refused, Run, held
from debris_scenes import NAMES, sea, spectra, write_table

from jido.data.floating import simulate_floating, write_floating
from jido.geo import Band, Raster
from jido.io import write_image
from jido.methods.debris import DebrisConfig
from jido.methods.debris_train import train_debris

PATCH_M2 = 8 * 30 * 100  # of each material in the made-up image, on the ground of its map
NAME = "S2A_2020-09-18_rhorc.tif"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "pkg"
    config = DebrisConfig(strengths=(10.0,), noises=(0.001,), copies=1, folds=4, inner=2)
    train_debris(spectra(), config=config, correction="acolite-rayleigh").save(folder)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / NAME
    write_image(sea()[0], path)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def without_unit(raster: Raster, numbers: np.ndarray) -> Raster:
    """Other numbers, of which the file does not say what they are."""
    bands = tuple(replace(band, unit="") for band in raster.bands)
    return Raster(numbers.astype(np.float32), bands, raster.geobox)


def total(table: list[dict[str, str]], column: str) -> float:
    return sum(float(row[column] or 0) for row in table)


# -- training ----------------------------------------------------------------------------------


def test_training_judges_on_scenes_left_out(jido: Callable[..., Run], tmp_path: Path):
    table = write_table(spectra(scenes=4), tmp_path / "t.csv")
    run = jido(
        "indicator", "debris", "--labels", f"{table}:class:scene", "-o", tmp_path / "pkg",
        "--correction", "L2A", "--platform", "S2B", "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert (run.json["correction"], run.json["platform"]) == ("sen2cor-l2a", "S2B")
    assert run.json["folds"] == {"kind": "scenes kept whole", "k": 4, "leaks": False, "buffer_m": 0.0}
    assert run.json["metrics"].keys() >= {"f1_macro", "pr_auc"}
    assert not run.json["optimistic"]
    facts = json.loads((tmp_path / "pkg/config.json").read_text())
    assert (facts["atmospheric_correction"], facts["platform"]) == ("sen2cor-l2a", "S2B")
    assert facts["config"]["learner"] == "spectra"
    assert jido("model", "verify", tmp_path / "pkg").code == 0


def test_a_table_without_scenes_trains_and_says_that_it_is_optimistic(
    jido: Callable[..., Run], tmp_path: Path
):
    table = write_table(spectra(scenes=4), tmp_path / "t.csv", scene=False)
    run = jido("indicator", "debris", "--labels", table, "-o", tmp_path / "pkg", "--learner", "naive")
    assert run.code == 0, run.err
    assert "warning: The table names no scene" in run.err
    assert "the figures are optimistic, and nothing is promised for a new scene" in run.out
    assert "warning: no --correction was stated" in run.err
    assert "random pixels (leaking)" in run.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "{table}:material"], "has no column 'material', only class, scene, B1"),
        (["--labels", "{table}", "--debris", "Rafts"], "t.csv has no class 'Rafts', only Clouds"),
        (["--labels", "{table}", "--platform", "S2C"], "wavelengths of platform 'S2C' are not known"),
        (["--labels", "nowhere.csv"], "nowhere.csv cannot be read as a table of spectra"),
        (["{image}", "--labels", "{table}"], "--labels trains a model: leave out images and --model"),
        (["{image}"], "A model is needed: give --model PKG, or train one with --labels TABLE -o PKG"),
        ([], "No image was given: give one with --model PKG, or train with --labels TABLE"),
    ],
)
def test_bad_orders_are_refused(
    refused: Refused, tmp_path: Path, image: Path, options: list[str], message: str
):
    table = write_table(spectra(scenes=4), tmp_path / "t.csv")
    words = [text.format(table=table, image=image) for text in options]
    command = ("indicator", "debris", *words, "-o", tmp_path / "out/d", "--learner", "naive")
    refused(*command, says=(message,))


# -- an image ----------------------------------------------------------------------------------


def test_the_area_of_a_patch_is_found(jido: Callable[..., Run], package: Path, image: Path, tmp_path: Path):
    run = jido(
        "indicator", "debris", image, "--model", package, "-o", tmp_path / "d", "--grid", 400, "--json"
    )
    assert run.code == 0, run.err
    area = run.json["summary"]["debris"]["area_m2"]
    assert area["value"] == pytest.approx(PATCH_M2, rel=0.03)
    assert area["lower"] <= PATCH_M2 * 1.03
    assert area["upper"] >= area["value"] >= area["lower"]
    table = rows(tmp_path / "d.csv")
    assert total(table, "debris_m2") == pytest.approx(area["value"])
    # a strip of 20 of 160 columns is land, one patch cloud; ships may be taken for land
    pixels = 160 * 140 - 2 * 8 * 30
    assert total(table, "n") == pytest.approx(pixels, abs=8 * 30)
    for row in table:
        if row["value"]:
            assert float(row["lower"]) <= float(row["value"]) <= float(row["upper"]) <= 1
            assert float(row["value"]) == pytest.approx(float(row["debris_m2"]) / float(row["water_m2"]))
            assert float(row["coverage"]) >= 0.5
    assert run.json["summary"]["dates"] == ["2020-09-18"]
    sheet = json.loads((tmp_path / "d.method.json").read_text())
    assert sheet["correction"] == "image: acolite-rayleigh; spectra of the training: acolite-rayleigh"
    assert "with the wavelengths of S2A" in sheet["formula"]


def test_the_map_says_class_confidence_and_unsure(
    jido: Callable[..., Run], package: Path, image: Path, tmp_path: Path
):
    run = jido("indicator", "debris", image, "--model", package, "-o", tmp_path / "d.csv", "-q")
    assert run.code == 0, run.err
    with rasterio.open(tmp_path / "d.map.tif") as source:
        assert source.descriptions == ("class", "confidence", "abstain", "p_background", "p_debris")
        planes = source.read()
    _, what = sea()
    assert (planes[0][what == "Marine Debris"] == 2).mean() > 0.95
    assert (planes[0][what == "Water"] == 1).mean() > 0.999
    assert (planes[0][what == "land"] == 255).all()
    assert (planes[0][what == "Clouds"] == 255).mean() > 0.95
    assert (tmp_path / "d.map.png").stat().st_size > 10_000
    assert {path.name for path in tmp_path.iterdir()} == {
        f"d.{end}"
        for end in (
            "csv", "method.json", "method.md", "tif", "qml", "png", "map.tif", "map.tif.aux.xml", "map.qml",
            "map.report.html", "map.report.json", "map.png",
        )
    }  # fmt: skip


def test_masks_hide_land_and_clouds(jido: Callable[..., Run], package: Path, image: Path, tmp_path: Path):
    raster, what = sea()
    for name, hidden in (("land", what == "land"), ("clouds", what == "Marine Debris")):
        mask = Raster(np.where(hidden, 1, np.nan)[None].astype(np.float32), (Band(name),), raster.geobox)
        write_image(mask, tmp_path / f"{name}.tif", dtype="uint8")
    words = ("--land", tmp_path / "land.tif", "--clouds", tmp_path / "clouds.tif", "--json")
    run = jido("indicator", "debris", image, "--model", package, "-o", tmp_path / "d", *words)
    assert run.code == 0, run.err
    assert run.json["summary"]["debris"]["area_m2"]["value"] < 0.05 * PATCH_M2
    assert not [text for text in run.json["summary"]["notes"] if "where clouds are" in text]


def test_much_land_is_said(jido: Callable[..., Run], package: Path, image: Path, tmp_path: Path):
    grid = sea()[0].geobox
    land = np.full((1, 160, 160), np.nan, np.float32)
    land[..., :120] = 1
    write_image(Raster(land, (Band("land"),), grid), tmp_path / "land.tif", dtype="uint8")
    frame = geopandas.GeoDataFrame({"id": ["all"]}, geometry=[grid.extent.geom], crs=grid.crs.to_wkt())
    frame.to_file(tmp_path / "cells.gpkg")
    options = ("--land", tmp_path / "land.tif", "--cells", tmp_path / "cells.gpkg")
    run = jido("indicator", "debris", image, "--model", package, "-o", tmp_path / "d", *options)
    assert run.code == 0, run.err
    assert "warning: 75% of the cells is land" in run.err
    (row,) = rows(tmp_path / "d.csv")
    assert float(row["land"]) == pytest.approx(0.75, abs=1e-3)
    assert float(row["coverage"]) == pytest.approx(1, abs=1e-3)  # of its water


def test_dn_are_refused_and_converted_on_request(
    jido: Callable[..., Run], refused: Refused, package: Path, tmp_path: Path
):
    raster, _ = sea()
    numbers = np.maximum(np.rint(raster.data * 10_000), 1)
    write_image(without_unit(raster, numbers), tmp_path / NAME, dtype="uint16")
    words = ("indicator", "debris", tmp_path / NAME, "--model", package, "-o", tmp_path / "out/d")
    refused(*words, says=("look like reflectance x 10000",))
    run = jido(*words, "--convert", "--json")
    assert run.code == 0, run.err
    assert run.json["summary"]["debris"]["area_m2"]["value"] == pytest.approx(PATCH_M2, rel=0.05)


def test_a_stretched_picture_is_refused(refused: Refused, package: Path, tmp_path: Path):
    raster, _ = sea()
    stretched = np.maximum(np.rint(np.clip(raster.data / 0.2, 0, 1) * 255), 1)
    write_image(without_unit(raster, stretched), tmp_path / NAME, dtype="uint8")
    words = ("indicator", "debris", tmp_path / NAME, "--model", package, "-o", tmp_path / "out/d")
    refused(*words, says=("look like 8-bit numbers",))
    refused(*words, "--convert", says=("look like 8-bit numbers",))


@pytest.mark.parametrize(
    ("fill", "message"),
    [("Clouds", "No water is seen in .*: .* of its pixels are land or bright cloud"),
     ("land", "No water is seen in .*: 100% of its pixels are land")],
)  # fmt: skip
def test_nothing_but_clouds_or_land_is_refused(
    jido: Callable[..., Run], package: Path, tmp_path: Path, fill: str, message: str
):
    raster, _ = sea(side=64, fill=fill)
    write_image(raster, tmp_path / NAME)
    run = jido("indicator", "debris", tmp_path / NAME, "--model", package, "-o", tmp_path / "d", "-q")
    assert run.code == 2
    assert re.search(message, run.err)
    assert held(tmp_path).keys() == {NAME}


def test_a_missing_band_is_refused(refused: Refused, package: Path, tmp_path: Path):
    raster, _ = sea(side=64)
    write_image(raster.select([name for name in NAMES if name != "B06"]), tmp_path / NAME)
    words = ("indicator", "debris", tmp_path / NAME, "--model", package, "-o", tmp_path / "out/d")
    refused(*words, says=("The model reads B06, but the image has B01",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--correction", "L2A"], "corrected by sen2cor-l2a, the model was trained on acolite-rayleigh: FDI"),
        (["--platform", "S2C"], "The wavelengths of platform 'S2C' are not known"),
        (["--date", "18.9.2020"], "A date is not written as 2021-07-05"),
    ],
)
def test_what_does_not_fit_is_refused(
    refused: Refused, package: Path, image: Path, tmp_path: Path, options: list[str], message: str
):
    command = ("indicator", "debris", image, "--model", package, "-o", tmp_path / "out/d", *options)
    refused(*command, says=(message,))


@pytest.mark.parametrize("options", [["-o", "{out}/map.tif"], ["--plan"]])
def test_a_plain_map_is_refused_and_told_the_command(
    refused: Refused, package: Path, image: Path, tmp_path: Path, options: list[str]
):
    words = [text.format(out=tmp_path / "out") for text in options]
    refused("map", package, image, *words, says=("pkg: A model of floating debris maps no image before",))


def test_another_model_is_refused(refused: Refused, image: Path, tmp_path: Path):
    command = ("indicator", "debris", image, "--model", tmp_path, "-o", tmp_path / "out/d")
    refused(*command, says=("is no model package",))


def test_an_input_is_not_overwritten(refused: Refused, package: Path, tmp_path: Path):
    path = tmp_path / "d.map.tif"
    write_image(sea(side=64)[0], path)
    before = path.read_bytes()
    words = ("indicator", "debris", path, "--model", package, "-o", tmp_path / "d")
    refused(*words, says=("is an input of this command: give another name with -o",))
    assert path.read_bytes() == before


def test_a_simulated_sea_seen_by_s2b_is_mapped(jido: Callable[..., Run], package: Path, tmp_path: Path):
    paths = write_floating(simulate_floating(1, pixels=128, platform="S2B"), tmp_path)
    words = ("--model", package, "-o", tmp_path / "d", "--correction", "acolite-rayleigh", "--json")
    run = jido("indicator", "debris", paths["image"], *words)
    assert run.code == 0, run.err
    assert "with the wavelengths of S2B" in json.loads((tmp_path / "d.method.json").read_text())["formula"]
    share = run.json["summary"]["debris"]["share"]
    assert 0 <= share["lower"] <= share["value"] <= share["upper"] <= 1
