"""The signed report: what stands on the page and in its JSON, whatever the reference was."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from conftest import Run, Town, strict_json
from sample_maps import by_class, grid_of, with_second, write_map

from jido.io import file_sha256
from jido.io.design_sample import write_sample
from jido.labels import binary_scheme, named_scheme
from jido.stats.calibration import calibration

LAND = named_scheme("land", ["water", "trees & <shrubs>", "fields"])
SIDE = 48


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A map without report, and a sample of it that two people have labelled; nobody changes them."""
    folder = tmp_path_factory.mktemp("signed")
    codes = np.repeat([1, 2, 3], SIDE * SIDE // 3).reshape(SIDE, SIDE)
    truth = np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 7 == 0, codes % 3 + 1, codes)
    path = write_map(folder / "map.tif", codes, planes={"abstain": codes == 1})
    sample = by_class(path, codes, truth, LAND, each=30)
    second = sample.codes[:, 0].copy()
    second[:5] = 3
    write_sample(with_second(sample, second), folder / "points.gpkg")
    return path, folder / "points.gpkg"


def signed(
    jido: Callable[..., Run], path: Path, reference: Path, out: Path, *more: object
) -> tuple[str, dict]:
    run = jido("assess", path, "--reference", reference, "-o", out, *more)
    assert run.code == 0, run.err
    return out.read_text(encoding="utf-8"), strict_json(out.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_page_says_the_accuracy_in_one_sentence_first(
    jido: Callable[..., Run], points: tuple[Path, Path], tmp_path: Path
):
    page, facts = signed(jido, *points, tmp_path / "report.html")
    assert re.fullmatch(
        r"On 90 random points, stratified by class, drawn from the map and labelled by two interpreters, "
        r"the map is right on \d\d\.\d % \[\d\d\.\d, \d\d\.\d\] of its area\.",
        facts["statement"],
    )
    assert page.index("<h1>Accuracy of map.tif</h1>") < page.index(facts["statement"]) < page.index("<img")
    assert jido("assess", points[0], "--reference", points[1]).out.startswith(facts["statement"])


def test_the_page_needs_nothing_from_outside_and_escapes_names(
    jido: Callable[..., Run], points: tuple[Path, Path], tmp_path: Path
):
    page, _ = signed(jido, *points, tmp_path / "report.html")
    assert "trees &amp; &lt;shrubs&gt;" in page
    assert "<shrubs>" not in page
    assert not re.findall(r"(?:src|href)\s*=\s*['\"](?!data:)", page)
    assert "<script" not in page
    assert "@page" in page


def test_page_and_json_hold_all_that_the_figures_rest_on(
    jido: Callable[..., Run], points: tuple[Path, Path], tmp_path: Path
):
    page, facts = signed(jido, *points, tmp_path / "report.html")
    assert set(facts) >= {
        "kind",
        "independent",
        "design",
        "metrics",
        "area",
        "confusion",
        "classes",
        "sample",
    }
    assert facts["map"]["sha256"] == file_sha256(points[0])
    assert facts["reference"]["sha256"] == file_sha256(points[1])
    for text in (facts["map"]["sha256"], facts["reference"]["sha256"], "GDAL", "seed 0", "Stehman 2014"):
        assert text in page
    for heading in ("Accuracy and area by class", "Confusion", "The sample", "Interpreters", "Signed"):
        assert f"<h2>{heading}" in page
    assert "calls unsure" in page
    assert len(facts["points"]) == 90
    right = [row["map"] == row["reference"] for row in facts["points"]]
    weights = [1 / row["inclusion"] for row in facts["points"]]
    assert np.average(right, weights=weights) == pytest.approx(facts["metrics"]["oa"]["value"])


def test_json_alone_is_the_result(jido: Callable[..., Run], points: tuple[Path, Path], tmp_path: Path):
    run = jido("assess", points[0], "--reference", points[1], "--json", "-o", tmp_path / "report.json")
    assert strict_json((tmp_path / "report.json").read_text()) == run.json
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json"]


def test_polygons_are_signed_as_what_they_are(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    page, facts = signed(jido, town_map, town.others, tmp_path / "others.html")
    assert facts["kind"] == "held-out groups"
    assert "chosen like these, not of every cell of the map" in facts["statement"]
    assert all(row["estimate"] is None and row["pixel_count"] is not None for row in facts["areas"])
    assert sum(row["pixel_count"] for row in facts["areas"]) == pytest.approx(10.24)
    assert "The model behind the map" in page
    assert "Training polygons by fold" in page
    assert facts["model"]["sha256"] in page
    again, facts = signed(jido, town_map, town.polygons, tmp_path / "training.html")
    assert facts["kind"] == "agreement only"
    assert facts["statement"].startswith("No accuracy: 100.0 % of the")
    assert "class='warn'>Resubstitution, not accuracy" in again


def test_evaluation_is_shown_where_the_report_of_the_map_has_it(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    """Reliability before and after calibration, and the figure that leaks, marked."""
    path = Path(shutil.copy(town_map, tmp_path / "map.tif"))
    facts = json.loads(town_map.with_suffix(".report.json").read_text())
    rng = np.random.default_rng(0)
    said = rng.dirichlet([1, 1, 1], 500)
    found = calibration(said, said.argmax(1)) | {"before": {"ece": 0.123, "brier": 0.456}}
    facts["evaluation"] |= {
        "calibration": found,
        "leaky": {"metrics": {"oa": {"value": 0.987, "lower": None, "upper": None}}},
    }
    (tmp_path / "map.report.json").write_text(json.dumps(facts))
    page, _ = signed(jido, path, town.others, tmp_path / "report.html")
    assert "Reliability diagram" in page
    assert "0.123" in page
    assert page.index("0.987") < page.index("<b>leaks</b>") < page.index("must not be quoted")


def test_two_classes_are_signed_with_their_areas_side_by_side(jido: Callable[..., Run], tmp_path: Path):
    """256 of 1,024 cells of 100 m² are target, at 75 %; the rest is background at 95 %."""
    scheme = binary_scheme("field")
    codes = np.ones((32, 32), int)
    codes[8:24, 8:24] = 2
    path = write_map(tmp_path / "map.tif", codes, planes={"confidence": np.where(codes == 2, 75, 95)})
    facts = {"sha256": file_sha256(path), "scheme": scheme.to_dict(), "training": None, "evaluation": {},
             "images": [], "made": "today", "jido": "0", "model": {}}  # fmt: skip
    (tmp_path / "map.report.json").write_text(json.dumps(facts))
    left, _, _, top = grid_of(codes).boundingbox.bbox
    square = shapely.box(left + 80, top - 240, left + 240, top - 80)
    geopandas.GeoSeries([square], crs="EPSG:32649").to_file(tmp_path / "fields.gpkg")
    page, found = signed(jido, path, tmp_path / "fields.gpkg", tmp_path / "report.html")
    [_, field] = found["areas"]
    assert field["pixel_count"] == pytest.approx(0.0256)
    assert field["expected"] == pytest.approx((0.75 * 256 + 0.05 * 768) * 1e-4)
    assert field["estimate"] is None
    assert found["metrics"]["iou"]["value"] == 1.0
    assert "The model has not been judged" in page
    write_sample(by_class(path, codes, codes, scheme, each=20), tmp_path / "points.gpkg")
    page, found = signed(jido, path, tmp_path / "points.gpkg", tmp_path / "sampled.html")
    assert found["areas"][1]["estimate"]["value"] == pytest.approx(0.0256)
    for head in ("counted cells, ha", "expected by probabilities, ha", "estimated area, ha"):
        assert f"<th>{head}</th>" in page


def test_the_report_that_knows_the_training_labels_is_not_lost(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    for name in ("map.tif", "map.report.json"):
        shutil.copy(town_map.with_name(name), tmp_path / name)
    before = (tmp_path / "map.report.json").read_bytes()
    for name in ("map.report.html", "map.report.json"):
        run = jido(
            "assess", tmp_path / "map.tif", "--reference", town.others, "-o", tmp_path / name, "--json"
        )
        assert run.code == 2
        assert "knows its training labels" in run.json["error"]
    assert (tmp_path / "map.report.json").read_bytes() == before


def test_nothing_half_written_stays(
    jido: Callable[..., Run], points: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr("jido.cli.assess.Path.write_text", fail)
    run = jido("assess", points[0], "--reference", points[1], "-o", tmp_path / "report.html", "--json")
    monkeypatch.undo()
    assert run.code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"report.html"}
    assert (tmp_path / "report.html").read_text() == "old"
