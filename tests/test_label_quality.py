"""Labels to look at again: swapped ones come first, and what a map shows beside them is found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import Refused, Run
from odc.geo import CRS

import jido as package
from jido.data import simulate_city
from jido.io import Scene, aux_xml, write_image, write_labels
from jido.labels import Labels, binary_scheme
from jido.maps.suspicious import find_suspicious
from jido.methods.forest import ForestConfig, train_forest
from jido.stats.label_quality import PRIOR, label_quality, suspicious

HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"
UTM = CRS("EPSG:32632")
LEFT, TOP = 500_000, 5_300_000
FIELDS = binary_scheme("field")

# -- the score ---------------------------------------------------------------------------------


def test_a_label_by_hand():
    held = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]])
    found = label_quality(held, np.array([0, 0, 0, 1]), np.array([0, 0, 2, 3]), 4)
    assert found.said.tolist() == [0, -1, 1, 1]
    np.testing.assert_allclose(found.confidence, [0.8, np.nan, 0.8, 0.6])
    np.testing.assert_allclose(found.given, [0.8, np.nan, 0.2, 0.6])
    all_labels = PRIOR * (0.8 + 0.2 + 0.6) / 3
    wrong = (0.8 + all_labels) / (1 + PRIOR) - 0.2
    np.testing.assert_allclose(found.suspicion, [0, np.nan, wrong, 0], atol=1e-12)


def test_a_class_that_is_hard_everywhere_is_less_suspicious():
    sure = np.tile([0.9, 0.05, 0.05], (10, 1))
    hard = np.tile([0.6, 0.4, 0.0], (10, 1))  # class 1 always looks like class 0
    lost = np.array([[0.6, 0.4, 0.0]])  # a label of class 2, of which the others are surely known
    known = np.tile([0.05, 0.05, 0.9], (10, 1))
    y = np.repeat([0, 1, 2, 2], [10, 10, 1, 10])
    found = label_quality(np.concatenate([sure, hard, lost, known]), y, np.arange(31), 31)
    assert found.suspicion.argmax() == 20
    assert found.suspicion[10] < found.suspicion[20] / 2


def test_a_label_is_flagged_when_another_class_is_said_as_surely_as_of_its_own_labels():
    def row(item, own, said, confidence, given):
        return {"item": item, "class": own, "said": said, "confidence": confidence, "given": given,
                "suspicion": 1 - given}  # fmt: skip

    rows = [row(0, "A", "A", 0.8, 0.8), row(1, "A", "A", 0.6, 0.6), row(2, "B", "A", 0.7, 0.2),
            row(3, "B", "A", 0.65, 0.3), row(4, "B", "A", 0.9, 0.1)]  # fmt: skip
    assert [r["item"] for r in suspicious(rows)] == [4, 2]  # 0.65 is less than A's own 0.7
    assert [r["item"] for r in suspicious(rows, most=1)] == [4]
    assert suspicious([{"class": "A", "agreement": 0.5}]) == []


def found_swapped(images: list[Path], labels: Labels, *, trees: int, seed: int = 0) -> tuple[float, float]:
    """A tenth of the labels get another class: share of them among as many first, and among all flagged."""
    rng = np.random.default_rng(seed)
    swapped = rng.choice(len(labels), round(0.1 * len(labels)), replace=False)
    codes, present = np.array(labels.codes), np.unique(labels.codes)
    for i in swapped:
        codes[i] = rng.choice(present[present != codes[i]])
    with Scene(images) as scene:
        model = train_forest(scene, replace(labels, codes=codes), config=ForestConfig(trees=trees))
    first = [row["item"] for row in model.evaluation["polygons"]]
    flagged = [row["item"] for row in suspicious(model.evaluation["polygons"], most=len(labels))]
    return np.isin(first[: len(swapped)], swapped).mean(), np.isin(swapped, flagged).mean()


def test_swapped_polygons_of_a_city_come_first(tmp_path: Path):
    city = simulate_city(1, cells=48)
    images = [tmp_path / "s1.tif", tmp_path / "s2.tif"]
    write_image(city.radar, images[0])
    write_image(city.optical, images[1])
    precision, recall = found_swapped(images, city.polygons(60, seed=0), trees=30)
    assert precision >= 0.5  # 0.1 by chance
    assert recall >= 0.5


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the scenes of Hong Kong are not at hand")
def test_swapped_polygons_of_hong_kong_come_first():
    images = sorted(HONG_KONG.glob("landsat8_*.tif"))
    labels = package.read_labels(HONG_KONG / "hong_kong_lcz.gpkg")
    precision, recall = found_swapped(images, labels, trees=20)
    assert precision >= 0.5
    assert recall >= 0.5


# -- a map of a target ---------------------------------------------------------------------------


def box(row: int, col: int, height: int, width: int) -> shapely.Polygon:
    return shapely.box(LEFT + 10 * col, TOP - 10 * (row + height), LEFT + 10 * (col + width), TOP - 10 * row)


@pytest.fixture
def fields(tmp_path: Path) -> tuple[Path, Path]:
    """A map of 64 x 64 cells of 10 m and the fields somebody has drawn.

    Fields 0-3 are found, 4 is not. The map shows one more of the size of a field, and a speck of one cell.
    """
    codes, percent = np.full((64, 64), 1, np.uint8), np.full((64, 64), 95, np.uint8)
    drawn = [(2, 2), (2, 20), (2, 40), (20, 2), (20, 20)]
    for row, col in [*drawn[:4], (40, 40)]:
        codes[row : row + 8, col : col + 8], percent[row : row + 8, col : col + 8] = 2, 90
    codes[60, 60], percent[60, 60] = 2, 90
    codes[:, 63] = percent[:, 63] = 255
    path, labels = tmp_path / "map.tif", tmp_path / "fields.gpkg"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 2, "dtype": "uint8", "nodata": 255,
               "crs": "EPSG:32632", "transform": Affine(10, 0, LEFT, 0, -10, TOP)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(np.stack([codes, percent]))
        sink.descriptions = ("class", "confidence")
    path.with_name("map.tif.aux.xml").write_text(aux_xml(FIELDS, (1,)), encoding="utf-8")
    shapes = np.array([box(row, col, 8, 8) for row, col in drawn], dtype=object)
    write_labels(Labels(shapes, np.full(5, 2), np.arange(5), UTM, FIELDS), labels)
    return path, labels


@pytest.mark.parametrize("strip", [1 << 20, 200])
def test_what_the_map_and_the_labels_do_not_agree_on(
    fields: tuple[Path, Path], strip: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("jido.io.classmap.STRIP", strip)
    found = find_suspicious(fields[0], labels=fields[1])
    first, second, *others = found.rows
    assert (first["kind"], first["given"], first["said"]) == ("object", "background", "field")
    assert (first["confidence"], first["suspicion"], first["cells"]) == (0.9, 0.9, 64)
    assert first["area_m2"] == pytest.approx(6400, rel=2e-3)
    assert found.geometry[0].equals(box(40, 40, 8, 8))
    expected = (4 * 0.9 + PRIOR * (4 * 0.9 + 0.05) / 5) / (4 + PRIOR)
    assert (second["kind"], second["item"], second["given"], second["said"]) == (
        "label",
        4,
        "field",
        "background",
    )
    assert (second["confidence"], second["suspicion"]) == (0.95, round(expected - 0.05, 4))
    assert [row["suspicion"] for row in others] == [0] * 4  # the speck is too small to be a field
    assert found.flagged == 1
    lon, lat = UTM.transformer_to_crs(CRS("EPSG:4326"), always_xy=True)(LEFT + 440, TOP - 440)
    assert (first["lon"], first["lat"]) == pytest.approx((lon, lat), abs=1e-4)


def test_labels_of_the_background_are_left_alone(fields: tuple[Path, Path], tmp_path: Path):
    known = package.read_labels(fields[1], scheme=FIELDS)
    shapes = np.array([box(0, 50, 2, 2), *known.geometry], dtype=object)
    both = Labels(shapes, np.array([1, *known.codes]), np.arange(6), UTM, FIELDS)
    write_labels(both, tmp_path / "both.gpkg")
    found = find_suspicious(fields[0], labels=tmp_path / "both.gpkg")
    assert [row["item"] for row in found.rows if row["kind"] == "label"] == [5, 1, 2, 3, 4]


def test_objects_outside_of_what_was_labelled_are_left_out(fields: tuple[Path, Path], tmp_path: Path):
    geopandas.GeoSeries([box(0, 0, 30, 64)], crs=32632).to_file(tmp_path / "within.gpkg")
    found = find_suspicious(fields[0], labels=fields[1], within=tmp_path / "within.gpkg")
    assert (found.count("object"), found.count("label")) == (0, 5)


def test_the_command_on_a_map_of_fields(jido: Callable[..., Run], fields: tuple[Path, Path], out: Path):
    run = jido("labels", "suspicious", fields[0], "--labels", fields[1], "-o", out / "s.gpkg")
    assert run.code == 0
    assert "object 0  background       field        0.90       0.90     64" in run.out
    assert "1 of 5 labels look like another class\n1 objects of the map touch no label" in run.out
    assert "give --within" in run.err
    frame = geopandas.read_file(out / "s.gpkg", layer="polygons")
    assert frame.columns.tolist() == [
        "kind", "item", "given", "said", "confidence", "suspicion", "cells", "area_m2", "lon", "lat", "code",
        "geometry",
    ]  # fmt: skip
    assert frame["code"].tolist() == [2, 1, 2, 2, 2, 2]
    assert frame["suspicion"].is_monotonic_decreasing
    assert len(geopandas.read_file(out / "s.gpkg", layer="layer_styles")) == 1


# -- a model that was judged label by label ------------------------------------------------------


@pytest.mark.parametrize("kind", ["model", "town_map"])
def test_the_command_on_a_model_and_its_map(
    jido: Callable[..., Run], kind: str, out: Path, request: pytest.FixtureRequest
):
    source = request.getfixturevalue(kind)
    run = jido("labels", "suspicious", source, "-o", out / "s.gpkg", "--json")
    assert run.json["labels"] + run.json["objects"] == run.json["labels"] == 36
    assert len(run.json["rows"]) == 15
    frame = geopandas.read_file(out / "s.gpkg", layer="polygons")
    assert frame["item"].tolist()[:15] == [row["item"] for row in run.json["rows"]]
    assert 0 <= run.json["flagged"] <= (frame["said"] != frame["given"]).sum()
    assert set(frame["kind"]) == {"label"}
    here = frame.to_crs(4326)
    assert shapely.intersects(here.geometry, shapely.points(frame["lon"], frame["lat"]).tolist()).all()


def test_points_become_circles(tmp_path: Path, town_map: Path):
    found = find_suspicious(town_map)
    spots = replace(found, geometry=shapely.point_on_surface(found.geometry))
    spots.write(tmp_path / "s.gpkg")
    frame = geopandas.read_file(tmp_path / "s.gpkg", layer="polygons")
    assert set(frame.geom_type) == {"Polygon"}
    metres = frame.to_crs(frame.estimate_utm_crs())
    assert metres.area.to_numpy() == pytest.approx(
        np.full(36, np.pi * 50**2), rel=0.5
    )  # degrees of longitude


# -- bad input -----------------------------------------------------------------------------------


def test_what_cannot_be_judged_is_refused(
    refused: Refused, out: Path, fields: tuple[Path, Path], town_map: Path, tmp_path: Path
):
    command = ("labels", "suspicious")
    to = ("-o", out / "s.gpkg")
    refused(*command, tmp_path / "none.tif", *to, says=(tmp_path / "none.tif", "does not exist"))
    refused(*command, tmp_path, *to, says=("is no model package",))
    refused(*command, fields[0], *to, says=("does not know the labels it was made from", "--labels"))
    refused(*command, town_map, "--labels", fields[1], *to, says=("leave out --labels",))
    refused(*command, fields[0], "--labels", fields[1], "-o", out / "s.shp", says=(".gpkg or .parquet",))
    refused(*command, fields[0], "--labels", fields[1], "-o", fields[1], says=("is an input",))
    far = tmp_path / "far.gpkg"
    write_labels(Labels(np.array([box(500, 500, 8, 8)]), np.full(1, 2), np.arange(1), UTM, FIELDS), far)
    refused(*command, fields[0], "--labels", far, *to, says=("No label of field lies inside",))
    homeless = tmp_path / "homeless.tif"
    with rasterio.open(fields[0]) as source:
        profile, planes = source.profile | {"crs": None}, source.read()
    with rasterio.open(homeless, "w", **profile) as sink:
        sink.write(planes)
        sink.descriptions = ("class", "confidence")
    homeless.with_name("homeless.tif.aux.xml").write_text(aux_xml(FIELDS, (1,)), encoding="utf-8")
    refused(*command, homeless, "--labels", fields[1], *to, says=(homeless, "has no CRS"))
    refused(*command, fields[0], "--labels", tmp_path / "no.gpkg", *to, says=(f"Error: {tmp_path}/no.gpkg",))
    lone = tmp_path / "lone.tif"
    lone.write_bytes(town_map.read_bytes())
    refused(*command, lone, *to, says=(lone, "has no report", "give the model"))


def test_a_model_of_an_older_jido_is_refused(
    refused: Refused, model: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from jido.io import Package

    whole = Package.load(model)
    old = [{"item": 0, "class": "1", "agreement": 0.5}]
    for polygons, words in ((old, "older Jido"), ([], "not judged label by label")):
        changed = replace(whole, evaluation=whole.evaluation | {"polygons": polygons})
        monkeypatch.setattr(Package, "load", lambda folder, changed=changed: changed)
        refused("labels", "suspicious", model, "-o", out / "s.gpkg", says=(words,))
