"""What the commands print, as JSON and for people, and how they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from conftest import Run, Town, strict_json, train

from jido.io import Scene, json_text, read_labels, write_codes, write_labels

HONG_KONG = Path(__file__).parents[2] / "shared" / "data" / "lcz_hongkong"

FIGURES = {"oa", "kappa", "mcc", "f1_macro", "oa_w", "oa_u", "oa_bu"}


def assert_figures(metrics: dict[str, Any], *, interval: bool) -> None:
    """Every metric has a value and two bounds around it, or no bounds where none is claimed."""
    assert set(metrics) == FIGURES
    for figure in metrics.values():
        assert set(figure) == {"value", "lower", "upper"}
        if figure["lower"] is None or figure["upper"] is None:
            assert figure["lower"] is figure["upper"] is None
        else:
            assert interval
            assert figure["lower"] <= figure["value"] <= figure["upper"]
    assert (metrics["oa"]["lower"] is not None) == interval


def square(x: float, y: float, side: float = 300) -> shapely.Polygon:
    """A square whose upper left is so many metres right and down of that of the town."""
    left, top = 500_000 + x, 5_600_000 - y
    return shapely.box(left, top - side, left + side, top)


def write_polygons(path: Path, rows: list[tuple[str, shapely.Geometry]]) -> Path:
    classes, geometry = zip(*rows, strict=True)
    frame = geopandas.GeoDataFrame({"lcz": list(classes)}, geometry=list(geometry), crs="EPSG:32632")
    frame.to_file(path)
    return path


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """Labels with one of each thing that is mended, and nothing that would harm training."""
    rows = [(name, square(700 * i, 400 * j)) for i, name in enumerate("ABG") for j in range(4)]
    left, top = 502_400, 5_600_000
    bow_tie = shapely.Polygon([(left, top), (left + 400, top - 400), (left + 400, top), (left, top - 400)])
    parts = shapely.MultiPolygon([square(2400, 800), square(2400, 1300)])
    rows += [("A", square(0, 0)), ("D", bow_tie), ("D", parts), ("D", square(2400, 2000))]
    return write_polygons(tmp_path / "mended.gpkg", rows)


@pytest.fixture
def harmful(tmp_path: Path) -> Path:
    """Labels with one of each thing that would harm training."""
    rows = [(name, square(700 * i, 400 * j)) for i, name in enumerate("ABG") for j in range(4)]
    rows += [("D", square(1500, 100)), ("F", square(2400, 0, 600))]
    rows += [("F", square(2400 + 150 * i, 1000, 100)) for i in range(3)]
    rows += [("A", square(2400, 2000, 4))]
    return write_polygons(tmp_path / "harmful.gpkg", rows)


# -- labels check ------------------------------------------------------------------------------


def test_check_gives_classes_and_pixels(jido: Callable[..., Run], town: Town):
    run = jido("labels", "check", town.polygons, "--image", town.radar, "--json")
    labels = read_labels(town.polygons)
    assert set(run.json) == {"polygons", "classes", "problems"}
    assert run.json["polygons"] == len(labels) == 36
    assert sum(row["polygons"] for row in run.json["classes"].values()) == 36
    area = shapely.area(labels.geometry).sum() / 100  # of pixels
    assert sum(row["pixels"] for row in run.json["classes"].values()) == pytest.approx(area)
    without_image = jido("labels", "check", town.polygons, "--json")
    assert {row["pixels"] for row in without_image.json["classes"].values()} == {None}


def test_check_says_what_was_repaired(jido: Callable[..., Run], mended: Path, town: Town):
    run = jido("labels", "check", mended, "--image", town.radar, "--json")
    assert run.code == 0
    assert {problem["level"] for problem in run.json["problems"]} == {"repaired"}
    assert {problem["code"] for problem in run.json["problems"]} >= {"duplicate", "invalid", "multipart"}
    assert set(run.json["problems"][0]) == {"level", "code", "message", "feature"}
    for_people = jido("labels", "check", mended, "--image", town.radar)
    assert for_people.code == 0
    assert "repaired: " in for_people.out
    assert "Nothing found that would harm training" in for_people.out


def test_check_warns_of_what_would_harm_training(jido: Callable[..., Run], harmful: Path, town: Town):
    run = jido("labels", "check", harmful, "--image", town.radar, "--json")
    assert run.code == 1
    warned = {problem["code"] for problem in run.json["problems"] if problem["level"] == "warning"}
    assert warned == {"overlap", "few-polygons", "small", "dominant"}
    for_people = jido("labels", "check", harmful, "--image", town.radar)
    assert for_people.code == 1
    assert for_people.out.count("warning: ") == len(run.json["problems"])


def test_check_of_one_class_is_an_error(jido: Callable[..., Run], tmp_path: Path):
    alone = write_polygons(tmp_path / "alone.gpkg", [("A", square(0, 400 * i)) for i in range(4)])
    run = jido("labels", "check", alone, "--json")
    assert run.code == 1
    assert [(p["level"], p["code"]) for p in run.json["problems"]] == [("error", "one-class")]


def test_check_of_real_labels(jido: Callable[..., Run]):
    if not HONG_KONG.is_dir():
        pytest.skip("the Hong Kong data are not there")
    image = HONG_KONG / "landsat8_2013-11-29.tif"
    run = jido("labels", "check", HONG_KONG / "hong_kong_lcz.kml", "--image", image, "--json", "--quiet")
    assert run.code in {0, 1}
    assert run.err == ""
    assert len(run.json["classes"]) > 10
    assert all(row["pixels"] > 0 for row in run.json["classes"].values())


# -- lcz train ---------------------------------------------------------------------------------


def test_train_gives_held_out_figures(jido: Callable[..., Run], town: Town, tmp_path: Path):
    run = jido(*train(town, tmp_path / "model", "--folds", 3, "--leaky", "--json"))
    assert run.code == 0
    assert set(run.json) == {"model", "metrics", "folds", "seconds", "leaky"}
    assert run.json["model"] == str(tmp_path / "model")
    assert_figures(run.json["metrics"], interval=True)
    assert (run.json["folds"]["k"], run.json["folds"]["leaks"]) == (3, False)
    assert run.json["folds"]["kind"] == "polygons kept whole"
    assert run.json["leaky"]["folds"]["leaks"] is True
    assert run.json["seconds"] > 0
    for name in ("config.json", "metrics.json"):
        strict_json((tmp_path / "model" / name).read_text())


def test_train_says_what_was_repaired(jido: Callable[..., Run], town: Town, mended: Path, tmp_path: Path):
    run = jido(*train(town, tmp_path / "model", "--folds", 3, "--json", labels=mended))
    assert run.code == 0
    for text in ("repaired: Exact duplicates dropped", "repaired: Multipart", "self-crossing"):
        assert text in run.err
    assert "warning: " not in run.err
    assert run.json["model"]  # one object on standard output, whatever was said beside it


def test_train_warns_and_goes_on(jido: Callable[..., Run], town: Town, harmful: Path, tmp_path: Path):
    run = jido(*train(town, tmp_path / "model", "--folds", 3, labels=harmful))
    assert run.code == 0
    for text in ("overlap", "too few usable polygons", "smaller than a pixel", "One polygon holds"):
        assert text in run.err
    assert "held out" in run.out


def test_quiet_says_nothing_but_the_result(
    jido: Callable[..., Run], town: Town, model: Path, harmful: Path, tmp_path: Path
):
    for words in (
        train(town, tmp_path / "model", "--folds", 3, labels=harmful),
        ("map", model, *town.images, "-o", tmp_path / "map.tif"),
        ("assess", tmp_path / "map.tif", "--reference", town.others),
        ("labels", "check", town.polygons, "--image", town.radar),
    ):
        quiet = jido(*words, "--quiet")
        assert quiet.err == ""
        assert quiet.out


def test_progress_goes_to_standard_error(jido: Callable[..., Run], town: Town, model: Path, tmp_path: Path):
    words = ("map", model, *town.images, "-o", tmp_path / "map.tif")
    assert "predicting tiles" in jido(*words).err
    assert "predicting tiles" not in jido(*words, "--quiet").err


# -- map ---------------------------------------------------------------------------------------


def test_map_says_what_it_did(jido: Callable[..., Run], town: Town, model: Path, tmp_path: Path):
    run = jido("map", model, *town.images, "-o", tmp_path / "map.tif", "--json")
    assert run.code == 0
    assert set(run.json) >= {"map", "tiles", "megapixels", "seconds", "peak_rss_mb", "resumed_bands"}
    assert run.json["map"] == str(tmp_path / "map.tif")
    assert run.json["megapixels"] == pytest.approx(320 * 320 / 1e6, abs=1e-3)
    assert run.json["resumed_bands"] == 0
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["map.qml", "map.report.html", "map.report.json", "map.tif", "map.tif.aux.xml"]
    strict_json((tmp_path / "map.report.json").read_text())


@pytest.mark.parametrize("workers", [(), ("--threads", 1), ("--workers", 2)])
def test_a_map_has_the_same_bytes_every_time(
    jido: Callable[..., Run],
    town: Town,
    model: Path,
    town_map: Path,
    tmp_path: Path,
    workers: tuple[object, ...],
):
    assert jido("map", model, *town.images, "-o", tmp_path / "map.tif", *workers).code == 0
    assert (tmp_path / "map.tif").read_bytes() == town_map.read_bytes()


def test_a_single_band_has_the_palette_inside(
    jido: Callable[..., Run], town: Town, model: Path, town_map: Path, tmp_path: Path
):
    path = tmp_path / "map.tif"
    assert jido("map", model, *town.images, "-o", path, "--single-band").code == 0
    with rasterio.open(town_map) as full:
        classes = full.read(1)
    alone = shutil.copy(path, tmp_path / "alone.tif")  # without the colours that stand beside it
    with rasterio.open(alone) as source:
        assert source.count == 1
        assert source.colormap(1)[17] == (106, 106, 255, 255)
        assert np.array_equal(source.read(1), classes)


# -- assess ------------------------------------------------------------------------------------


def moved_map(town_map: Path, folder: Path) -> Path:
    """The map without its report."""
    return Path(shutil.copy(town_map, folder / "map.tif"))


def test_training_labels_as_a_raster_are_no_accuracy(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    labels = read_labels(town.polygons)
    with Scene([town_map]) as scene:
        grid = scene.geobox
    write_codes(labels.burn(grid).codes, grid, tmp_path / "reference.tif", scheme=labels.scheme)
    run = jido("assess", town_map, "--reference", tmp_path / "reference.tif", "--json")
    assert run.code == 0
    assert set(run.json) >= {"independent", "design", "metrics", "area", "confusion", "classes"}
    assert run.json["independent"] is False
    assert run.json["design"] == "resubstitution, not accuracy"
    assert run.json["area"] is None
    assert_figures(run.json["metrics"], interval=False)
    assert np.shape(run.json["confusion"]) == (17, 17)
    assert len(run.json["classes"]) == 17
    assert "outside_training" not in run.json


def test_the_fold_figure_stands_before_resubstitution(jido: Callable[..., Run], town: Town, town_map: Path):
    out = jido("assess", town_map, "--reference", town.polygons).out
    assert "resubstitution, not accuracy" in out
    assert 0 <= out.index("Held-out folds") < out.index("figure to quote") < out.index("resubstitution")
    assert "resubstitution" not in jido("assess", town_map, "--reference", town.others).out


def test_other_polygons_are_independent(jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path):
    report = tmp_path / "new" / "report.json"
    run = jido("assess", town_map, "--reference", town.others, "--json", "-o", report)
    assert run.json["independent"] is True
    assert_figures(run.json["metrics"], interval=True)
    assert strict_json(report.read_text()) == run.json


def test_polygons_half_on_training_are_judged_outside_it(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    frame = geopandas.read_file(town.polygons)
    half = frame.iloc[::2].copy()
    away = frame.iloc[::2].copy()
    away.geometry = away.geometry.translate(yoff=-600)  # some of them off the training polygons
    away["group"] = "away " + away["group"].astype(str)
    pandas.concat([half, away]).to_file(tmp_path / "half.gpkg")
    run = jido("assess", town_map, "--reference", tmp_path / "half.gpkg", "--json")
    assert run.json["independent"] is False
    assert 0 < run.json["overlap"] < 1
    assert_figures(run.json["metrics"], interval=False)
    outside = run.json["outside_training"]
    assert_figures(outside["metrics"], interval=True)
    assert 0 < outside["cells"] <= round(run.json["cells"] * (1 - run.json["overlap"]))
    assert outside["groups"] < run.json["groups"]
    for_people = jido("assess", town_map, "--reference", tmp_path / "half.gpkg").out
    assert f"Only the {outside['groups']} groups wholly outside the training labels" in for_people


def test_a_map_without_report_may_have_learned_anything(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    alone = moved_map(town_map, tmp_path)
    run = jido("assess", alone, "--reference", town.polygons, "--json")
    assert run.json["independent"] is None
    assert "independence unknown" in run.json["design"]
    assert "give --training" in jido("assess", alone, "--reference", town.polygons).out
    told = jido("assess", alone, "--reference", town.polygons, "--training", town.polygons, "--json")
    assert told.json["independent"] is False
    told = jido("assess", alone, "--reference", town.others, "--training", town.polygons, "--json")
    assert told.json["independent"] is True


def test_figures_that_are_not_defined_are_null(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    # one polygon of water: no built class, so OAu is 0/0; one group, so no interval
    others = read_labels(town.others)
    water = others.subset(np.flatnonzero(others.codes > 10)[:1])
    write_labels(water, tmp_path / "one.gpkg")
    run = jido("assess", town_map, "--reference", tmp_path / "one.gpkg", "--json")
    assert run.code == 0
    assert run.json["metrics"]["oa_u"] == {"value": None, "lower": None, "upper": None}
    lines = jido("assess", town_map, "--reference", tmp_path / "one.gpkg").out.splitlines()
    [built] = [line for line in lines if line.startswith("OAu")]
    assert not any(character.isdigit() for character in built)


# -- demo, doctor, JSON ------------------------------------------------------------------------


def test_demo_judges_in_five_ways(jido: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from jido.data import simulate_city
    from jido.methods.forest import ForestConfig

    monkeypatch.setattr("jido.maps.demo.simulate_city", lambda seed: simulate_city(seed, cells=32))
    monkeypatch.setattr("jido.maps.demo.POLYGONS", 18)
    monkeypatch.setattr("jido.maps.demo.ForestConfig", lambda seed: ForestConfig(seed=seed, trees=5))
    run = jido("demo", "-o", tmp_path / "demo", "--json")
    assert run.code == 0
    assert {"map", "report", "model", "inputs", "seconds", "judged"} <= set(run.json)
    assert len(run.json["judged"]) == 5
    for row in run.json["judged"]:
        assert set(row) == {"by", "oa"}
        assert set(row["oa"]) == {"value", "lower", "upper"}
    for name in ("map.tif", "report.html", "model/config.json", "input/training.gpkg"):
        assert (tmp_path / "demo" / name).is_file()


def test_doctor_names_versions(jido: Callable[..., Run]):
    run = jido("doctor", "--json")
    assert run.code == 0
    assert {"jido", "python", "numpy", "GDAL", "PROJ", "device", "threads"} <= set(run.json)
    assert "| GDAL |" in jido("doctor").out


def test_json_has_no_nan():
    value = {"a": float("nan"), "b": [np.float32("inf"), (1.5, np.int64(3))], "c": Path("x"), "d": None}
    assert strict_json(json_text(value)) == {"a": None, "b": [None, [1.5, 3]], "c": "x", "d": None}
    assert json.loads(json_text({1: True})) == {"1": True}
    with pytest.raises(TypeError):
        json_text({"a": object()})


def test_a_report_vouches_only_for_its_own_map(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    """Renamed together they belong together; another map under the name of the old one does not."""
    renamed = Path(shutil.copy(town_map, tmp_path / "other name.tif"))
    report = shutil.copy(town_map.with_suffix(".report.json"), tmp_path / "other name.report.json")
    words = ("--reference", town.polygons, "--json")
    assert jido("assess", renamed, *words).json["independent"] is False
    with rasterio.open(renamed) as source:
        profile, bands = source.profile, source.read()
    with rasterio.open(tmp_path / "new.tif", "w", **profile | {"driver": "GTiff"}) as sink:
        sink.write(bands)
    (tmp_path / "new.tif").replace(renamed)
    assert Path(report).exists()
    run = jido("assess", renamed, *words)
    assert run.json["independent"] is None
    assert run.json["metrics"]["oa"]["lower"] is None


def test_more_training_labels_do_not_make_a_map_forget_its_own(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    frame = geopandas.read_file(town.polygons)
    frame.geometry = frame.geometry.translate(xoff=90_000)
    frame.to_file(tmp_path / "elsewhere.gpkg")
    words = ("--reference", town.polygons, "--training", tmp_path / "elsewhere.gpkg", "--json")
    assert jido("assess", town_map, *words).json["independent"] is False


def test_a_map_is_no_reference_for_itself(jido: Callable[..., Run], town_map: Path):
    run = jido("assess", town_map, "--reference", town_map, "--layer", "lcz", "--json")
    assert run.code == 2
    assert "is the map itself" in run.json["error"]
