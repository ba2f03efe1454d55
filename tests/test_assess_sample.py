"""``jido assess`` with a probability sample: published examples in files, labels as they come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from conftest import Run
from sample_maps import by_class, grid_of, sample_of, with_second, write_map

from jido.errors import ImageError, LabelsError
from jido.io import file_sha256, read_labels, write_codes
from jido.io.design_sample import write_sample
from jido.labels import binary_scheme, named_scheme
from jido.labels.design_sample import DesignSample, Stratum
from jido.maps import read_reference
from jido.maps.assess_sample import assess_sample, with_truth
from jido.maps.report import accuracy_sentence

# Olofsson et al. 2014 and Stehman 2014: see tests/test_design.py for where these come from.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
CHANGE = named_scheme("change", ["deforestation", "forest gain", "stable forest", "stable non-forest"])
LETTERS = named_scheme("letters", list("ABCD"))
STEHMAN_MAP = [LETTERS.labels.index(c) + 1 for c in "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"]
STEHMAN_TRUTH = [LETTERS.labels.index(c) + 1 for c in "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"]

THREE = named_scheme("land", ["water", "trees", "fields"])
SIDE = 48


def town_codes() -> tuple[np.ndarray, np.ndarray]:
    """A map of three classes and a truth in which every seventh cell of a class is of the next."""
    codes = np.repeat([1, 2, 3], SIDE * SIDE // 3).reshape(SIDE, SIDE)
    truth = np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 7 == 0, codes % 3 + 1, codes)
    return codes, truth


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, DesignSample]:
    """A map and a labelled sample of it."""
    codes, truth = town_codes()
    path = write_map(tmp_path / "map.tif", codes)
    return path, by_class(path, codes, truth, THREE, each=30)


def assessed(path: Path, sample: DesignSample, jido: Callable[..., Run], *more: object) -> dict[str, Any]:
    """Written, read and judged by the command."""
    points = path.with_name("points.gpkg")
    write_sample(sample, points)
    run = jido("assess", path, "--reference", points, "--json", *more)
    assert run.code == 0, run.err
    return run.json


def refusal(path: Path, sample: DesignSample, jido: Callable[..., Run]) -> str:
    points = path.with_name("points.gpkg")
    write_sample(sample, points)
    run = jido("assess", path, "--reference", points, "--json")
    assert run.code == 2
    return run.json["error"]


# -- published examples through files ----------------------------------------------------------


def test_olofsson_through_files_as_printed(jido: Callable[..., Run], tmp_path: Path):
    """Cells of 300 m and not 30 m: 900,000 ha of 100,000 cells, which changes no printed digit."""
    cells = np.array([2_000, 1_500, 32_000, 64_500])
    codes = np.repeat([1, 2, 3, 4], cells).reshape(250, 400)
    path = write_map(tmp_path / "map.tif", codes, side=300.0)
    mapped, true = (np.repeat(i.ravel(), COUNTS.ravel()) for i in np.indices((4, 4)))
    cell = np.concatenate([np.argwhere(codes == c + 1)[: COUNTS[c].sum()] for c in range(4)])
    drawn = zip(CHANGE.labels, cells.tolist(), COUNTS.sum(1).tolist(), strict=True)
    strata = [Stratum(name, size, n, size * 0.09) for name, size, n in drawn]
    sample = sample_of(
        path, codes, CHANGE, cell=cell, truth=true + 1, stratum=mapped, strata=strata, side=300.0
    )
    found = assessed(path, sample, jido)
    assert [round(row["users_accuracy"]["value"], 2) for row in found["per_class"]] == [
        0.88,
        0.73,
        0.93,
        0.96,
    ]
    assert [round(row["producers_accuracy"]["value"], 2) for row in found["per_class"]] == [
        0.75, 0.85, 0.93, 0.96,
    ]  # fmt: skip
    reach = [round(1.96 * row["users_accuracy"]["se"], 2) for row in found["per_class"]]
    assert reach == [0.07, 0.10, 0.04, 0.02]
    assert round(found["metrics"]["oa"]["value"], 2) == 0.95
    hectares = [100 * row["estimate"]["value"] for row in found["area"]]
    assert [round(v) for v in hectares] == [21_158, 11_686, 285_770, 581_386]
    assert round(196 * found["area"][0]["estimate"]["se"]) == 6_158  # p. 54: 21,158 +- 6,158 ha
    assert [round(100 * row["pixel_count"]) for row in found["area"]] == [18_000, 13_500, 288_000, 580_500]
    assert found["confusion"] == COUNTS.T.tolist()
    assert round(found["confusion_share"][0][0], 4) == 0.0176
    assert found["statement"].startswith("On 640 random points, stratified by class, drawn from the map")


def test_stehman_through_files_as_printed(jido: Callable[..., Run], tmp_path: Path):
    """Strata that are not the classes of the map."""
    codes = np.full((250, 400), 4)
    stratum = np.repeat(np.arange(4), 10)
    starts = np.array([0, 40_000, 70_000, 90_000])
    cell = np.column_stack(np.unravel_index(starts[stratum] + 7 * np.tile(np.arange(10), 4), codes.shape))
    codes[cell[:, 0], cell[:, 1]] = STEHMAN_MAP
    path = write_map(tmp_path / "map.tif", codes)
    sizes = [40_000, 30_000, 20_000, 10_000]
    strata = [Stratum(f"zone {i}", n, 10, n * 1e-4) for i, n in enumerate(sizes)]
    sample = sample_of(
        path, codes, LETTERS, cell=cell, truth=np.array(STEHMAN_TRUTH), stratum=stratum, strata=strata
    )
    found = assessed(path, sample, jido)
    oa, area, b = found["metrics"]["oa"], found["area"], found["per_class"][1]
    assert (round(oa["value"], 2), round(oa["se"], 3)) == (0.63, 0.085)
    assert (round(area[0]["share"]["value"], 2), round(area[0]["share"]["se"], 3)) == (0.35, 0.082)
    assert (round(area[2]["share"]["value"], 2), round(area[2]["share"]["se"], 3)) == (0.20, 0.064)
    assert (round(b["users_accuracy"]["value"], 3), round(b["users_accuracy"]["se"], 3)) == (0.574, 0.125)
    assert round(b["producers_accuracy"]["value"], 3) == 0.794
    assert "stratified by 4 strata" in found["statement"]


# -- laws --------------------------------------------------------------------------------------


def test_a_sample_of_every_cell_is_the_truth(tmp_path: Path):
    codes, truth = town_codes()
    path = write_map(tmp_path / "map.tif", codes)
    cell = np.argwhere(codes > 0)
    whole = Stratum("all", codes.size, codes.size, codes.size * 1e-4)
    every = np.zeros(codes.size, dtype=int)
    sample = sample_of(path, codes, THREE, cell=cell, truth=truth.ravel(), stratum=every, strata=[whole])
    found = assess_sample(path, sample)
    right = (codes == truth).mean()
    assert found["metrics"]["oa"] == pytest.approx({"value": right, "lower": right, "upper": right, "se": 0})
    for row in found["area"]:
        code = THREE.labels.index(row["class"]) + 1
        assert row["estimate"]["value"] == pytest.approx((truth == code).sum() * 1e-4)
        assert row["pixel_count"] == pytest.approx((codes == code).sum() * 1e-4)


def test_two_classes_have_iou_precision_and_recall(tmp_path: Path):
    scheme = binary_scheme("field")
    codes = np.where(np.arange(1024).reshape(32, 32) % 3 == 0, 2, 1)
    truth = np.where(np.arange(1024).reshape(32, 32) % 4 == 0, 2, 1)
    path = write_map(tmp_path / "map.tif", codes)
    cell = np.argwhere(codes > 0)
    every = np.zeros(1024, dtype=int)
    strata = [Stratum("all", 1024, 1024, None)]
    sample = sample_of(path, codes, scheme, cell=cell, truth=truth.ravel(), stratum=every, strata=strata)
    metrics = assess_sample(path, sample)["metrics"]
    hit, either = ((codes == 2) & (truth == 2)).sum(), ((codes == 2) | (truth == 2)).sum()
    assert metrics["iou"]["value"] == pytest.approx(hit / either)
    assert metrics["precision"]["value"] == pytest.approx(hit / (codes == 2).sum())
    assert metrics["recall"]["value"] == pytest.approx(hit / (truth == 2).sum())


def test_clusters_are_estimated_as_clusters(jido: Callable[..., Run], tmp_path: Path):
    """20 of 36 squares of 8 x 8 cells, 6 cells in each: all have the same chance, so OA is a plain mean."""
    codes, truth = town_codes()
    path = write_map(tmp_path / "map.tif", codes)
    rng = np.random.default_rng(1)
    squares = rng.choice(36, 20, replace=False)
    inside = np.array([rng.choice(64, 6, replace=False) for _ in squares])
    row = 8 * (squares // 6)[:, None] + inside // 8
    col = 8 * (squares % 6)[:, None] + inside % 8
    cell = np.column_stack([row.ravel(), col.ravel()])
    said = truth[cell[:, 0], cell[:, 1]]
    facts = {"side": 8, "clusters": 36, "drawn": 20, "per_cluster": 6, "sizes": [64] * 20}
    sample = sample_of(
        path,
        codes,
        THREE,
        cell=cell,
        truth=said,
        stratum=np.zeros(120, int),
        strata=[Stratum("all", SIDE * SIDE, 120, 0.2304)],
        clusters=np.repeat(np.arange(20), 6),
        kind="clusters",
        cluster=facts,
    )
    found = assessed(path, sample, jido)
    right = (codes[cell[:, 0], cell[:, 1]] == said).mean()
    assert found["metrics"]["oa"]["value"] == pytest.approx(right)
    assert found["metrics"]["oa"]["lower"] < right < found["metrics"]["oa"]["upper"]
    assert "in 20 clusters" in found["design"]


def test_strata_in_degrees_count_by_area(tmp_path: Path):
    """Two strata of as many cells, one of which has three times the area."""
    codes = np.ones((32, 32), int)
    codes[16:] = 2
    scheme = named_scheme("two", ["a", "b"])
    path = write_map(tmp_path / "map.tif", codes, crs="EPSG:4326", side=1e-4)
    truth = codes.copy()
    truth[:16] = 2  # the first is wrong everywhere
    sample = by_class(path, codes, truth, scheme, each=20, crs="EPSG:4326", side=1e-4)
    strata = (Stratum("a", 512, 20, 1.0), Stratum("b", 512, 20, 3.0))
    found = assess_sample(path, replace(sample, strata=strata))
    assert found["metrics"]["oa"]["value"] == pytest.approx(0.75)
    assert found["area"][1]["estimate"]["value"] == pytest.approx(4.0)
    assert any("in degrees differ in area" in note for note in found["notes"])


def test_without_a_place_on_earth_areas_are_cells(tmp_path: Path):
    codes, truth = town_codes()
    path = write_map(tmp_path / "map.tif", codes, crs=None)
    sample = by_class(path, codes, truth, THREE, each=20, crs=None)
    sample = replace(sample, strata=tuple(replace(s, km2=None) for s in sample.strata))
    rows = assess_sample(path, sample)["area"]
    assert {row["unit"] for row in rows} == {"cells"}
    assert sum(row["estimate"]["value"] for row in rows) == pytest.approx(SIDE * SIDE)


def test_probabilities_of_the_map_give_expected_areas(tmp_path: Path):
    """Bands p_LABEL in steps of 0.4 %: 0.6, 0.3 and 0.1 of every cell."""
    codes, truth = town_codes()
    steps = {f"p_{name}": np.full_like(codes, n) for name, n in zip(THREE.labels, (150, 75, 25), strict=True)}
    path = write_map(tmp_path / "map.tif", codes, planes=steps)
    rows = assess_sample(path, by_class(path, codes, truth, THREE, each=20))["area"]
    total = SIDE * SIDE * 1e-4
    assert [row["expected"] for row in rows] == pytest.approx([0.6 * total, 0.3 * total, 0.1 * total])


def test_the_confidence_of_two_classes_gives_expected_areas(tmp_path: Path):
    """Background at 90 %, target at 70 %: 0.1 of 512 cells and 0.7 of 512 cells are target."""
    scheme = binary_scheme("field")
    codes = np.ones((32, 32), int)
    codes[16:] = 2
    path = write_map(tmp_path / "map.tif", codes, planes={"confidence": np.where(codes == 2, 70, 90)})
    rows = assess_sample(path, by_class(path, codes, codes, scheme, each=20))["area"]
    assert rows[1]["expected"] == pytest.approx((0.1 * 512 + 0.7 * 512) * 1e-4)


def test_what_the_map_calls_sure_is_judged_apart(tmp_path: Path):
    """Wrong in its left half alone, which it calls unsure."""
    codes = np.repeat([1, 2, 3], SIDE * SIDE // 3).reshape(SIDE, SIDE)
    left = np.arange(SIDE) < SIDE // 2
    truth = np.where(left, codes % 3 + 1, codes)
    path = write_map(tmp_path / "map.tif", codes, planes={"abstain": np.broadcast_to(left, codes.shape)})
    parts = assess_sample(path, by_class(path, codes, truth, THREE, each=30))["sample"]["parts"]
    assert (parts["sure"]["value"], parts["unsure"]["value"]) == (1.0, 0.0)


# -- people ------------------------------------------------------------------------------------


def test_missing_labels_are_left_out_and_told(three: tuple[Path, DesignSample], jido: Callable[..., Run]):
    path, sample = three
    codes = sample.codes.copy()
    codes[:10] = -1  # of the first stratum
    found = assessed(path, replace(sample, codes=codes), jido)
    assert found["sample"]["labelled"] == 80
    assert [row["missing"] for row in found["sample"]["strata"]] == [10, 0, 0]
    note = next(note for note in found["notes"] if "no label" in note)
    assert note.startswith("10 of 90 points (11.1 %)")
    assert "water 10" in note
    right = sample.codes[10:, 0] == sample.stratum[10:] + 1
    by_hand = np.mean([right[:20].mean(), right[20:50].mean(), right[50:].mean()])
    assert found["metrics"]["oa"]["value"] == pytest.approx(by_hand)


def test_many_missing_labels_are_a_warning(three: tuple[Path, DesignSample]):
    path, sample = three
    codes = sample.codes.copy()
    codes[::4] = -1
    assert any(
        note.startswith("Warning: 23 of 90")
        for note in assess_sample(path, replace(sample, codes=codes))["notes"]
    )


def test_one_label_in_a_stratum_tells_no_spread(three: tuple[Path, DesignSample]):
    path, sample = three
    codes = sample.codes.copy()
    codes[1:30] = -1
    found = assess_sample(path, replace(sample, codes=codes))
    assert found["metrics"]["oa"]["lower"] is None
    assert any("Stratum 'water' has one unit" in note for note in found["notes"])


def test_who_is_surer_is_believed(three: tuple[Path, DesignSample]):
    path, sample = three
    first = sample.codes[:, 0]
    second = first.copy()
    second[:9] = first[:9] % 3 + 1
    for sure, taken in ((("high", "low"), 0), (("", ""), 0), (("low", "medium"), 9), (("", "low"), 9)):
        found = assess_sample(path, with_second(sample, second, sure=sure))
        facts, parts = found["sample"]["interpreters"], found["sample"]["parts"]
        assert (facts["both"], facts["differ"], facts["second_taken"]) == (90, 9, taken)
        assert facts["agreement"] == pytest.approx(0.9)
        believed = parts["second"] if taken else parts["first"]
        assert found["metrics"]["oa"] == believed
        assert any("disagree on 9 of the 90 points" in note for note in found["notes"])
        assert "labelled by two interpreters" in accuracy_sentence(found)


def test_kappa_of_two_interpreters_by_hand(tmp_path: Path):
    """12 points: 5 both water, 4 both trees, 3 differ (1 and 2): po = 3/4, pe = (6*7 + 6*5)/144 = 1/2."""
    scheme = named_scheme("two", ["water", "trees"])
    codes = np.ones((16, 16), int)
    path = write_map(tmp_path / "map.tif", codes)
    first = np.array([1] * 5 + [2] * 4 + [1] + [2] * 2)
    second = np.array([1] * 5 + [2] * 4 + [2] + [1] * 2)
    strata = [Stratum("all", 256, 12, 0.0256)]
    cell = np.argwhere(codes)[:12]
    sample = sample_of(path, codes, scheme, cell=cell, truth=first, stratum=np.zeros(12, int), strata=strata)
    facts = assess_sample(path, with_second(sample, second))["sample"]["interpreters"]
    assert facts["kappa"] == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))


def test_a_form_of_a_spreadsheet_comes_back(three: tuple[Path, DesignSample], jido: Callable[..., Run]):
    """The GeoPackage is empty, the form is filled in with names, semicolons between them."""
    path, sample = three
    points = path.with_name("points.gpkg")
    write_sample(replace(sample, codes=np.full((90, 2), -1)), points)
    names = dict(zip(THREE.codes, THREE.labels, strict=True))
    lines = ["id;lon;lat;label_1;confidence_1;label_2;confidence_2;note"]
    lines += [
        f"{i};;;{names[code].upper()};high;;;" for i, code in zip(sample.id, sample.codes[:, 0], strict=True)
    ]
    path.with_name("back.csv").write_text("\n".join(lines))
    run = jido("assess", path, "--reference", points, "--form", path.with_name("back.csv"), "--json")
    assert run.json["metrics"] == assess_sample(path, sample)["metrics"]
    path.with_name("points.csv").write_text("\n".join(lines))
    beside = jido("assess", path, "--reference", path.with_name("points.csv"), "--json")
    assert beside.json["metrics"] == run.json["metrics"]


def test_a_raster_that_knows_better_labels_the_points(
    three: tuple[Path, DesignSample], jido: Callable[..., Run]
):
    path, sample = three
    codes, truth = town_codes()
    write_codes(truth.astype(np.uint8), grid_of(codes), path.with_name("truth.tif"), scheme=THREE)
    empty = replace(sample, codes=np.full((90, 2), -1))
    found = assessed(path, empty, jido, "--truth", path.with_name("truth.tif"))
    assert found["metrics"] == assess_sample(path, sample)["metrics"]
    assert "labelled by truth.tif" in found["statement"]


def test_where_a_raster_knows_nothing_points_have_no_label(three: tuple[Path, DesignSample]):
    """It covers the upper left quarter alone, and has 0 in its first row."""
    path, sample = three
    _, truth = town_codes()
    quarter = truth[: SIDE // 2, : SIDE // 2].copy()
    quarter[0] = 0
    write_codes(quarter.astype(np.uint8), grid_of(quarter), path.with_name("quarter.tif"), scheme=THREE)
    said = with_truth(sample, path.with_name("quarter.tif")).codes
    row, col = sample.cell.T
    there = (row > 0) & (row < SIDE // 2) & (col < SIDE // 2)
    np.testing.assert_array_equal(said[:, 0], np.where(there, sample.codes[:, 0], -1))
    assert (said[:, 1] == -1).all()


# -- maps --------------------------------------------------------------------------------------


def test_another_map_of_the_same_cells_may_be_judged(three: tuple[Path, DesignSample], tmp_path: Path):
    """Strata stay those of the first map: all right here, whatever they are."""
    _, sample = three
    _, truth = town_codes()
    other = write_map(tmp_path / "other.tif", truth)
    found = assess_sample(other, sample)
    assert found["metrics"]["oa"]["value"] == 1.0
    assert found["sample"]["other_map"] is True
    assert any("map.tif" in note and "another map of the same cells" in note for note in found["notes"])


def test_training_labels_under_points_are_told(three: tuple[Path, DesignSample], jido: Callable[..., Run]):
    """Training in the upper half, where a quarter of the strata lies: nothing is called resubstitution."""
    path, sample = three
    grid = grid_of(np.zeros((SIDE, SIDE)))
    left, bottom, right, top = grid.boundingbox.bbox
    upper = shapely.box(left, (bottom + top) / 2, right, top)
    frame = geopandas.GeoDataFrame({"class": ["water"]}, geometry=[upper], crs="EPSG:32649")
    frame.to_file(path.with_name("training.gpkg"))
    training = read_labels(path.with_name("training.gpkg"), scheme=THREE)
    found = assess_sample(path, sample, training=training)
    share = (sample.cell[:, 0] < SIDE // 2).mean()
    assert found["independent"] is True
    assert found["overlap"] == pytest.approx(share)
    assert any("does not bias the estimate" in note for note in found["notes"])
    assert found["sample"]["parts"]["outside_training"]["value"] > 0


def test_a_sample_of_a_part_does_not_count_the_whole_map(three: tuple[Path, DesignSample]):
    path, sample = three
    part = tuple(replace(s, cells=s.cells // 2) for s in sample.strata)
    facts = sample.facts | {"within": "district.gpkg"}
    found = assess_sample(path, replace(sample, strata=part, facts=facts))
    assert all(row["pixel_count"] is None for row in found["area"])
    assert any("inside district.gpkg" in note for note in found["notes"])
    assert "drawn from the map inside district.gpkg" in accuracy_sentence(found)


# -- bad input ---------------------------------------------------------------------------------


def test_nobody_has_labelled_anything(three: tuple[Path, DesignSample], jido: Callable[..., Run]):
    path, sample = three
    said = refusal(path, replace(sample, codes=np.full((90, 2), -1)), jido)
    assert "is labelled yet" in said
    assert "90 points" in said


def test_a_stratum_without_label_is_refused(three: tuple[Path, DesignSample], jido: Callable[..., Run]):
    path, sample = three
    codes = sample.codes.copy()
    codes[30:60] = -1
    said = refusal(path, replace(sample, codes=codes), jido)
    assert "stratum 'trees' (30 drawn, 33.3 % of the map)" in said


def test_a_map_on_another_grid_is_refused(three: tuple[Path, DesignSample], tmp_path: Path):
    _, sample = three
    codes, _ = town_codes()
    moved = write_map(tmp_path / "moved.tif", codes, side=20.0)
    with pytest.raises(LabelsError, match=r"drawn from map\.tif \(sha256 .*another grid .*cells of 20 x 20"):
        assess_sample(moved, sample)


def test_a_map_with_holes_under_points_is_refused(three: tuple[Path, DesignSample], tmp_path: Path):
    _, sample = three
    codes, _ = town_codes()
    codes[:4] = 255
    holes = write_map(tmp_path / "holes.tif", codes)
    with pytest.raises(ImageError, match=r"no class at \d+ of 90 points"):
        assess_sample(holes, sample)


def test_points_outside_the_map_are_refused(three: tuple[Path, DesignSample]):
    path, sample = three
    cell = sample.cell.copy()
    cell[3] = (SIDE, 0)
    with pytest.raises(LabelsError, match="Point 4 of the sample lies outside"):
        assess_sample(path, replace(sample, cell=cell))


def test_labels_that_are_no_class_and_forms_that_lost_their_points(
    three: tuple[Path, DesignSample], jido: Callable[..., Run]
):
    path, sample = three
    points = path.with_name("points.gpkg")
    write_sample(sample, points)
    form = path.with_name("points.csv")
    form.write_text(form.read_text(encoding="utf-8-sig").replace("fields", "marsh", 1))
    run = jido("assess", path, "--reference", form, "--json")
    assert run.code == 2
    assert "'marsh'" in run.json["error"]
    assert "water, trees, fields" in run.json["error"]
    lost = form.rename(path.with_name("lost.csv"))
    run = jido("assess", path, "--reference", lost, "--json")
    assert run.code == 2
    assert "lost.gpkg is not beside it" in run.json["error"]


def test_options_of_labels_do_not_go_with_a_sample(
    three: tuple[Path, DesignSample], jido: Callable[..., Run]
):
    path, sample = three
    write_sample(sample, path.with_name("points.gpkg"))
    run = jido(
        "assess", path, "--reference", path.with_name("points.gpkg"), "--class-field", "label_1", "--json"
    )
    assert run.code == 2
    assert "is a probability sample" in run.json["error"]


def test_points_of_somebodys_choice_claim_no_interval(jido: Callable[..., Run], tmp_path: Path):
    """The same points as a random sample, without the chances: nobody may take them for one."""
    codes, truth = town_codes()
    path = write_map(tmp_path / "map.tif", codes)
    sample = by_class(path, codes, truth, THREE, each=30)
    names = dict(zip(THREE.codes, THREE.labels, strict=True))
    frame = geopandas.GeoDataFrame(
        {"class": [names[code] for code in sample.codes[:, 0]]},
        geometry=shapely.points(sample.xy),
        crs="EPSG:32649",
    )
    frame.to_file(tmp_path / "chosen.gpkg")
    far = frame.set_geometry(frame.translate(1e5).buffer(5))
    far.to_file(tmp_path / "training.gpkg")
    known = {"sha256": file_sha256(path), "scheme": THREE.to_dict(), "training": None, "evaluation": {}}
    (tmp_path / "map.report.json").write_text(json.dumps(known))
    found = read_reference(path, tmp_path / "chosen.gpkg", training=tmp_path / "training.gpkg").judge(path)
    assert found["kind"] == "agreement only"
    assert found["independent"] is True
    assert found["metrics"]["oa"]["lower"] is None
    assert "jido sample" in found["design"]
