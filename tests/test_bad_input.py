"""What a command does with input it cannot use: one sentence with the file and the remedy, exit code 2.

Nothing half-written stays behind, and what stood at the place of the result is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
import skops.io
from conftest import Refused, Run, Town, train
from sklearn.preprocessing import FunctionTransformer


def rewritten(source: Path, target: Path, **changes: object) -> Path:
    """A copy of an image with another profile."""
    with rasterio.open(source) as image:
        data, profile = image.read(), image.profile | changes
        names = image.descriptions
    with rasterio.open(target, "w", **profile) as sink:
        sink.write(data)
        sink.descriptions = names
    return target


def polygons(path: Path, classes: list[object], *, crs: str | None = "EPSG:32632", at: float = 0) -> Path:
    """Squares of 300 m in a row from the upper left of the town, one of each class."""
    boxes = [
        shapely.box(500_000 + at + 350 * i, 5_599_600, 500_300 + at + 350 * i, 5_599_900)
        for i in range(len(classes))
    ]
    geopandas.GeoDataFrame({"class": classes}, geometry=boxes, crs=crs).to_file(path)
    return path


@pytest.fixture
def cut(town: Town, tmp_path: Path) -> Path:
    """A file whose header opens but whose last blocks are missing."""
    whole, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    rasterio.shutil.copy(town.radar, whole, driver="COG", blocksize=128)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    with rasterio.open(path) as source:
        assert source.count == 2
    return path


@pytest.fixture
def empty(town: Town, tmp_path: Path) -> Path:
    """The radar image without any data."""
    path = rewritten(town.radar, tmp_path / "empty.tif")
    with rasterio.open(path, "r+") as sink:
        sink.write(np.full((2, sink.height, sink.width), np.nan, dtype=np.float32))
    return path


@pytest.fixture
def package(model: Path, tmp_path: Path) -> Path:
    """A model package that a test may damage."""
    return Path(shutil.copytree(model, tmp_path / "package"))


def change_config(package: Path, **changes: object) -> None:
    path = package / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# -- images ------------------------------------------------------------------------------------


def test_a_truncated_image_is_refused_in_training(refused: Refused, town: Town, out: Path, cut: Path):
    refused(*train(town, out / "model", images=(cut, town.optical)), says=(cut, "cut short", "get it again"))


def test_a_truncated_image_is_refused_in_training_when_it_is_resampled(
    refused: Refused, town: Town, out: Path, cut: Path, tmp_path: Path
):
    with rasterio.open(town.optical) as source:
        moved = source.transform @ rasterio.Affine.translation(0.5, 0.5)
    other = rewritten(town.optical, tmp_path / "moved.tif", transform=moved)
    words = train(town, out / "model", "--resample", "bilinear", images=(other, cut))
    refused(*words, says=(cut, "cut short", "get it again"))


def test_a_truncated_image_is_refused_in_a_map(
    refused: Refused, town: Town, model: Path, out: Path, cut: Path
):
    refused("map", model, cut, town.optical, "-o", out / "map.tif", says=(cut, "cut short", "get it again"))


def test_a_text_file_is_no_image(refused: Refused, town: Town, model: Path, out: Path, tmp_path: Path):
    text = tmp_path / "image.tif"
    text.write_text("not an image")
    refused(*train(town, out / "model", images=(text,)), says=(text, "not an image", "give a GeoTIFF"))
    refused("map", model, text, "-o", out / "map.tif", says=(text, "not an image", "give a GeoTIFF"))


def test_a_missing_image_is_refused(refused: Refused, town: Town, model: Path, out: Path, tmp_path: Path):
    missing = tmp_path / "missing.tif"
    refused(*train(town, out / "model", images=(missing,)), says=(missing, "does not exist"))
    refused("map", model, missing, "-o", out / "map.tif", says=(missing, "does not exist"))
    refused("labels", "check", town.polygons, "--image", missing, says=(missing, "does not exist"))


def test_an_image_without_crs_needs_crs(
    refused: Refused, jido: Callable[..., Run], town: Town, model: Path, out: Path, tmp_path: Path
):
    bare = tuple(rewritten(path, tmp_path / f"bare_{path.name}", crs=None) for path in town.images)
    refused(*train(town, out / "model", images=bare), says=(bare[0], "--crs EPSG:"))
    refused("map", model, *bare, "-o", out / "map.tif", says=(bare[0], "--crs EPSG:"))
    refused(*train(town, out / "model", "--crs", "EPSG:nonsense", images=bare), says=(bare[0], "--crs EPSG:"))
    assert jido("map", model, *bare, "-o", out / "map.tif", "--crs", "EPSG:32632").code == 0


def test_an_image_without_any_georeference_makes_one_sentence(
    refused: Refused, town: Town, out: Path, tmp_path: Path
):
    plain = rewritten(town.radar, tmp_path / "plain.tif", crs=None, transform=None)
    refused(*train(town, out / "model", images=(plain,)), says=(plain, "--crs EPSG:"))
    words = train(town, out / "model", "--crs", "EPSG:32632", images=(plain,))
    refused(*words, says=(town.polygons, "lies inside the image"))


def test_images_on_other_grids_need_resample(
    refused: Refused, jido: Callable[..., Run], town: Town, out: Path, tmp_path: Path
):
    with rasterio.open(town.optical) as source:
        coarse = source.transform @ rasterio.Affine.scale(2)
        data = source.read()[:, ::2, ::2]
        profile = source.profile | {"transform": coarse, "width": data.shape[2], "height": data.shape[1]}
        names = source.descriptions
    other = tmp_path / "coarse.tif"
    with rasterio.open(other, "w", **profile) as sink:
        sink.write(data)
        sink.descriptions = names
    images = (town.radar, other)
    refused(*train(town, out / "model", images=images), says=(other, "another grid", "--resample"))
    run = jido(*train(town, out / "model", "--resample", "nearest", images=images))
    assert run.code == 0
    assert "coarse.tif was resampled (nearest) to the grid of radar.tif" in run.err


def test_resampling_makes_no_data_outside_a_file_and_refuses_another_place(
    refused: Refused, town: Town, out: Path, tmp_path: Path
):
    from jido.io import Scene

    with rasterio.open(town.optical) as source:
        right = source.transform @ rasterio.Affine.translation(160, 0)
        away = source.transform @ rasterio.Affine.translation(5000, 0)
    # no nodata value in the file: GDAL alone would give zeros outside
    half = rewritten(town.optical, tmp_path / "half.tif", transform=right, nodata=None)
    with Scene([town.radar, half], resample="nearest") as scene:
        optical = scene.read().data[2:]
    assert np.isnan(optical[:, :, :160]).all()
    assert np.isfinite(optical[:, :, 160:]).all()
    other = rewritten(town.optical, tmp_path / "away.tif", transform=away)
    words = train(town, out / "model", "--resample", "nearest", images=(town.radar, other))
    refused(*words, says=(other, "another place"))


def test_an_image_without_data_is_refused(
    refused: Refused, town: Town, model: Path, out: Path, empty: Path, tmp_path: Path
):
    dark = rewritten(town.optical, tmp_path / "dark.tif")
    with rasterio.open(dark, "r+") as sink:
        sink.write(np.full((4, sink.height, sink.width), np.nan, dtype=np.float32))
    refused(*train(town, out / "model", images=(empty,)), says=(empty, "no data"))
    refused("map", model, empty, dark, "-o", out / "map.tif", says=(empty, "no data"))


def test_bands_that_the_model_reads_must_be_there(refused: Refused, town: Town, model: Path, out: Path):
    words = ("map", model, town.radar, "-o", out / "map.tif")
    refused(*words, says=(model, "B02, B03, B04, B08", "missing", "give the same images"))


def test_pixels_of_another_size_than_in_training_are_refused(
    refused: Refused, town: Town, model: Path, out: Path, tmp_path: Path
):
    with rasterio.open(town.radar) as source:
        coarse = source.transform @ rasterio.Affine.scale(3)
    images = [rewritten(path, tmp_path / path.name, transform=coarse) for path in town.images]
    refused("map", model, *images, "-o", out / "map.tif", says=(model, "30 x 30 m", "resample the image"))


# -- labels ------------------------------------------------------------------------------------


def test_labels_without_crs_need_crs(
    refused: Refused, jido: Callable[..., Run], town: Town, out: Path, tmp_path: Path
):
    bare = polygons(tmp_path / "bare.shp", [1, 2, 3, 6] * 2, crs=None)
    refused(*train(town, out / "model", labels=bare), says=(bare, "--crs EPSG:"))
    refused("labels", "check", bare, says=(bare, "--crs EPSG:"))
    run = jido(*train(town, out / "model", "--crs", "EPSG:32632", "--folds", 2, labels=bare))
    assert run.code == 0


def test_labels_in_another_place_are_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    away = polygons(tmp_path / "away.gpkg", [1, 2, 3], at=50_000)
    refused(*train(town, out / "model", labels=away), says=(away, "inside the image", "check that"))
    refused("labels", "check", away, "--image", town.radar, says=(away, "inside the image", "check that"))


def test_unknown_classes_are_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    strange = polygons(tmp_path / "strange.gpkg", ["forest", "town", "town"])
    refused(*train(town, out / "model", labels=strange), says=(strange, "'forest', 'town'", "rename them"))
    refused("labels", "check", strange, says=(strange, "'forest', 'town'", "rename them"))


def test_one_class_is_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    alone = polygons(tmp_path / "alone.gpkg", [6] * 8)
    refused(
        *train(town, out / "model", labels=alone),
        says=(alone, "at least 2 classes", "draw polygons of others"),
    )


def test_one_class_inside_the_image_is_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    # the image is 3200 m wide, so that only the first ten squares lie in it
    alone = polygons(tmp_path / "alone.gpkg", [6] * 10 + [1] * 4)
    refused(
        *train(town, out / "model", labels=alone),
        says=(alone, "at least 2 classes", "draw polygons of others"),
    )


@pytest.mark.parametrize("folds", [99, 1, 0, -1])
def test_folds_need_as_many_groups(refused: Refused, town: Town, out: Path, folds: int):
    words = train(town, out / "model", "--folds", folds)
    refused(*words, says=(town.polygons, f"{folds} folds", "32 groups", "use 2 to 32 folds"))


def test_missing_or_damaged_labels_are_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    missing, text, short = (tmp_path / name for name in ("missing.gpkg", "text.gpkg", "short.gpkg"))
    text.write_text("no labels")
    short.write_bytes(town.polygons.read_bytes()[:20_000])
    for labels, words in ((missing, "does not exist"), (text, "cannot be read"), (short, "cannot be read")):
        refused(*train(town, out / "model", labels=labels), says=(labels, words))
        refused("labels", "check", labels, says=(labels, words))


def test_settings_that_do_not_exist_are_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    config = tmp_path / "config.toml"
    refused(*train(town, out / "model", "--config", config), says=(config, "give a TOML file"))
    config.write_text("tres = 3")
    refused(*train(town, out / "model", "--config", config), says=(config, "known are", "trees"))


# -- model packages ----------------------------------------------------------------------------


def test_a_folder_that_is_no_package_is_refused(refused: Refused, town: Town, out: Path, tmp_path: Path):
    for folder in (tmp_path, tmp_path / "missing", town.radar):
        words = ("map", folder, *town.images, "-o", out / "map.tif")
        refused(*words, says=(folder, "no model package", "give the folder"))


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"format": 1}', '{"format": null}'])
def test_a_damaged_config_is_refused(refused: Refused, town: Town, package: Path, out: Path, text: str):
    (package / "config.json").write_text(text)
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(package / "config.json", "train the model again"))


@pytest.mark.parametrize("name", ["metrics.json", "training.gpkg", "model.skops"])
def test_a_package_with_a_missing_file_is_refused(
    refused: Refused, town: Town, package: Path, out: Path, name: str
):
    (package / name).unlink()
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(package, name, "train the model again"))


def test_a_package_of_a_newer_format_is_refused(refused: Refused, town: Town, package: Path, out: Path):
    change_config(package, format=99)
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(package, "newer Jido", "update jido"))


def test_a_changed_estimator_is_refused(refused: Refused, town: Town, package: Path, out: Path):
    with (package / "model.skops").open("ab") as file:
        file.write(b"x")
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(package / "model.skops", "changed", "train the model again"))


def test_another_scikit_learn_is_refused(refused: Refused, town: Town, package: Path, out: Path):
    versions = json.loads((package / "config.json").read_text())["versions"]
    change_config(package, versions=versions | {"scikit-learn": "0.1"})
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(package, "scikit-learn 0.1", "pip install scikit-learn==0.1"))


def test_types_nobody_trusts_are_refused(refused: Refused, town: Town, package: Path, out: Path):
    file = package / "model.skops"
    skops.io.dump(FunctionTransformer(os.getcwd), file)
    change_config(package, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    words = ("map", package, *town.images, "-o", out / "map.tif")
    refused(*words, says=(file, "does not trust", "train the model again"))


# -- maps to assess ----------------------------------------------------------------------------


def test_what_is_no_class_map_is_refused(refused: Refused, town: Town, town_map: Path, tmp_path: Path):
    text = tmp_path / "text.tif"
    text.write_text("no map")
    bare = rewritten(town_map, tmp_path / "bare.tif", crs=None, driver="GTiff")
    for path, words in (
        (text, ("not a map", "give a class map")),
        (tmp_path / "missing.tif", ("not a map", "give a class map")),
        (town.radar, ("no class of 'lcz'", "--band")),
        (bare, ("no CRS", "write it with one")),
    ):
        refused("assess", path, "--reference", town.others, says=(path, *words))
    refused(
        "assess", town_map, "--reference", town.others, "--band", 9, says=(town_map, "no band 9", "--band")
    )
    refused("assess", town_map, "--reference", town.others, "--band", 3, says=(town_map, "no class of 'lcz'"))


def test_a_damaged_report_does_not_make_a_map_independent(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    path = Path(shutil.copy(town_map, tmp_path / "map.tif"))
    report = tmp_path / "map.report.json"
    report.write_bytes(town_map.with_suffix(".report.json").read_bytes()[:1000])
    run = jido("assess", path, "--reference", town.polygons, "--json")
    assert run.json["independent"] is None
    assert run.json["metrics"]["oa"]["lower"] is None


def test_a_reference_outside_the_map_is_refused(refused: Refused, town_map: Path, tmp_path: Path):
    away = polygons(tmp_path / "away.gpkg", [1, 2, 3], at=50_000)
    refused("assess", town_map, "--reference", away, says=(away, town_map, "no labelled cell", "same place"))


# -- usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("map",), "Missing argument"),
        (("lcz", "train", "a.tif"), "Missing option"),
        (("assess", "a.tif", "--reference", "b.gpkg", "--band", "0"), "--band"),
        (("demo", "--nonsense"), "--nonsense"),
    ],
)
def test_wrong_usage_is_refused(
    refused: Refused, jido: Callable[..., Run], words: tuple[str, ...], says: str
):
    refused(*words, says=(says,))
    run = jido(*words)
    assert run.code == 2
    assert run.out == ""
    assert says in run.err
