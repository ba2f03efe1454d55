"""Maps of a target and its background against polygons of the target, and against masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from conftest import Refused, Run
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from stubs import UTM, Echo, grid, save
from test_plain_images import Plain, opened, write_png

from jido.io import Scene, read_labels, read_target, write_labels
from jido.labels import ClassScheme, Labels, LandClass
from jido.maps import assess, assess_binary, map_scene, read_reference
from jido.stats import figure
from jido.stats.binary import binary_summary

SIDE = 64
CLASSES = [("background", "#F0F0F0"), ("field", "#D6006E")]


def two_classes() -> ClassScheme:
    classes = [vars(LandClass(i, name, name, color)) for i, (name, color) in enumerate(CLASSES, start=1)]
    return ClassScheme.from_dict({"name": "binary", "classes": classes, "weights": None, "built": []})


SCHEME = two_classes()


@dataclass(frozen=True, eq=False)
class Fields(Echo):
    """Gives back the target that the scene holds; has learned geometries of the test's choice, or none."""

    scheme: ClassScheme = field(default_factory=two_classes)
    learned: Labels | None = None
    judged: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self):
        return self.learned

    @property
    def evaluation(self):
        return self.judged


def box_of(rows: slice, cols: slice) -> shapely.Polygon:
    """Cells of the grid of the stubs as a polygon."""
    left, top = 500_000, 2_000_000
    return shapely.box(
        left + 10 * cols.start, top - 10 * rows.stop, left + 10 * cols.stop, top - 10 * rows.start
    )


def labels(*boxes: shapely.Polygon, code: int = 2) -> Labels:
    geometry = np.array(boxes, dtype=object)
    return Labels(geometry, np.full(len(boxes), code), np.arange(len(boxes)), UTM, SCHEME)


def write_shapes(path: Path, *boxes: shapely.Polygon, **columns: list[Any]) -> Path:
    import geopandas

    geopandas.GeoDataFrame(columns, geometry=list(boxes), crs="EPSG:32649").to_file(path)
    return path


@pytest.fixture
def said() -> np.ndarray:
    """What the map says, bool (y, x): scattered squares of 4 x 4 cells."""
    return np.kron(np.random.default_rng(1).random((SIDE // 4,) * 2) < 0.3, np.ones((4, 4))) > 0


@pytest.fixture
def true() -> np.ndarray:
    """What is there: other squares, some of them the same."""
    rng = np.random.default_rng(1)
    same, other = rng.random((SIDE // 4,) * 2) < 0.3, rng.random((SIDE // 4,) * 2) < 0.15
    return np.kron(same ^ other, np.ones((4, 4))) > 0


def mapped(folder: Path, said: np.ndarray, **facts: Any) -> Path:
    place = np.where(np.isnan(said), np.nan, said) if said.dtype.kind == "f" else said.astype(np.float32)
    with Scene([save(folder, place)]) as scene:
        map_scene(Fields(**facts), scene, folder / "map.tif")
    return folder / "map.tif"


@pytest.fixture
def map_(tmp_path: Path, said: np.ndarray) -> Path:
    return mapped(tmp_path, said)


@pytest.fixture
def plain_map(tmp_path: Path, said: np.ndarray) -> Path:
    png = write_png(tmp_path / "plain.png", said.astype(np.uint8))
    with opened(png) as scene:
        map_scene(Plain(scheme=SCHEME), scene, tmp_path / "map.tif")
    return tmp_path / "map.tif"


def write_mask(path: Path, mask: np.ndarray, box: GeoBox | None = None, **profile: Any) -> Path:
    box = box or grid(*mask.shape)
    made = {"driver": "GTiff", "height": mask.shape[0], "width": mask.shape[1], "count": 1,
            "dtype": mask.dtype, "crs": str(box.crs), "transform": box.affine}  # fmt: skip
    with rasterio.open(path, "w", **made | profile) as sink:
        sink.write(mask, 1)
    return path


def squares(true: np.ndarray) -> list[shapely.Polygon]:
    return [
        box_of(slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
        for y, x in np.argwhere(true[::4, ::4]).tolist()
    ]


def counted(said: np.ndarray, true: np.ndarray) -> list[int]:
    return [int(n.sum()) for n in (true & said, ~true & said, true & ~said, ~true & ~said)]


def require_counts(result: dict[str, Any], said: np.ndarray, true: np.ndarray) -> None:
    """Counts and figures are those of the arrays."""
    tp, fp, fn, tn = counts = counted(said, true)
    assert result["confusion"] == [[tn, fp], [fn, tp]]
    assert result["classes"] == ["background", "field"]
    assert result["cells"] == said.size
    for name, value in binary_summary(np.array(counts)).items():
        assert result["metrics"][name]["value"] == pytest.approx(float(value))
    assert result["metrics"]["oa"]["value"] == pytest.approx((tp + tn) / sum(counts))


# -- a mask on a plain map ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 255])
def test_a_plain_map_is_compared_cell_by_cell(
    plain_map: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path, value: int
):
    mask = write_png(tmp_path / "mask.png", true.astype(np.uint8) * value)
    result = assess_binary(plain_map, mask, SCHEME)
    require_counts(result, said, true)
    assert result["area"] == {"mapped_m2": None, "reference_m2": None}
    assert result["independent"] is None
    assert "independence unknown" in result["design"]
    assert "target or background of every cell" in result["design"]
    assert {found["lower"] for found in result["metrics"].values()} == {None}
    assert (result["groups"], result["block"]) == (64, 8)


def test_a_mask_in_colour_is_one_mask(plain_map: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path):
    white = true.astype(np.uint8) * 255
    opaque = np.full_like(white, 255)
    mask = write_png(tmp_path / "mask.png", white, white, white, opaque)
    require_counts(assess_binary(plain_map, mask, SCHEME), said, true)
    red = write_png(tmp_path / "red.png", white, 0 * white, 0 * white)
    require_counts(assess_binary(plain_map, red, SCHEME), said, true)


def test_a_mask_may_be_all_target(plain_map: Path, said: np.ndarray, tmp_path: Path):
    mask = write_png(tmp_path / "mask.png", np.full((SIDE, SIDE), 255, np.uint8))
    require_counts(assess_binary(plain_map, mask, SCHEME), said, np.ones_like(said))


def test_another_size_is_named(refused: Refused, plain_map: Path, true: np.ndarray, tmp_path: Path):
    mask = write_png(tmp_path / "mask.png", true[:40].astype(np.uint8))
    refused("assess", plain_map, "--reference", mask, says=("mask.png has 40 x 64", "64 x 64", "map.tif"))


def test_polygons_find_no_place_on_a_plain_map(
    refused: Refused, plain_map: Path, true: np.ndarray, tmp_path: Path
):
    shapes = write_shapes(tmp_path / "fields.gpkg", *squares(true))
    refused("assess", plain_map, "--reference", shapes, says=("map.tif has no CRS", "a mask of its 64 x 64"))
    mask = write_png(tmp_path / "mask.png", true.astype(np.uint8))
    words = ("assess", plain_map, "--reference", mask, "--within", shapes)
    refused(*words, says=("map.tif has no CRS", "--within"))


def test_a_mask_without_any_target_leaves_ratios_undefined(plain_map: Path, tmp_path: Path):
    mask = write_png(tmp_path / "mask.png", np.zeros((SIDE, SIDE), np.uint8))
    metrics = assess_binary(plain_map, mask, SCHEME)["metrics"]
    assert metrics["recall"]["value"] is None
    assert metrics["fp_tp"]["value"] is None
    assert metrics["iou"]["value"] == 0


# -- a mask on a map with a place --------------------------------------------------------------


@pytest.mark.parametrize("nodata", [None, 0])
def test_zero_is_background_whatever_the_file_calls_it(
    map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path, nodata: int | None
):
    mask = write_mask(tmp_path / "mask.tif", true.astype(np.uint8), nodata=nodata)
    result = assess_binary(map_, mask, SCHEME)
    require_counts(result, said, true)
    assert result["area"]["mapped_m2"] == pytest.approx(said.sum() * 100)
    assert result["area"]["reference_m2"] == pytest.approx(true.sum() * 100)


def test_another_nodata_is_not_judged(map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path):
    mask = true.astype(np.uint8)
    mask[:10] = 7
    result = assess_binary(map_, write_mask(tmp_path / "mask.tif", mask, nodata=7), SCHEME)
    assert result["cells"] == (SIDE - 10) * SIDE
    assert result["confusion"][1][1] == np.count_nonzero((said & true)[10:])


def test_a_mask_of_another_place_is_refused(refused: Refused, map_: Path, true: np.ndarray, tmp_path: Path):
    mask = true.astype(np.uint8)
    aside = GeoBox((SIDE, SIDE), grid(1, 1).affine.translation(5, 0) * grid(1, 1).affine, UTM)
    zone = GeoBox((SIDE, SIDE), grid(1, 1).affine, CRS("EPSG:32650"))
    for name, box in {"aside": aside, "zone": zone}.items():
        path = write_mask(tmp_path / f"{name}.tif", mask, box)
        refused("assess", map_, "--reference", path, says=(path, "another grid", "UTM zone 49N"))
    png = write_png(tmp_path / "mask.png", mask)
    refused("assess", map_, "--reference", png, says=(png, "another grid", "no CRS"))


# -- polygons of the target --------------------------------------------------------------------


def test_everything_outside_the_polygons_is_background(
    jido: Callable[..., Run], map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path
):
    shapes = write_shapes(tmp_path / "fields.gpkg", *squares(true), owner=["x"] * len(squares(true)))
    run = jido("assess", map_, "--reference", shapes, "--json", "--quiet")
    assert run.code == 0
    require_counts(run.json, said, true)
    assert "everything outside the polygons is background" in run.json["design"]
    assert run.json["area"]["reference_m2"] == pytest.approx(true.sum() * 100)
    words = jido("assess", map_, "--reference", shapes, "--quiet").out
    assert "4,096 cells in 64 squares of 8 x 8 cells" in words
    assert "IoU of the target" in words
    assert "everything outside the polygons is background" in words
    assert f"{true.sum():,} cells ({true.sum() / 100:.2f} ha) in the reference" in words


@pytest.mark.parametrize("column", ["class", "kind"])
def test_polygons_that_name_the_target_alone_say_the_same(
    jido: Callable[..., Run], map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path, column: str
):
    boxes = squares(true)
    shapes = write_shapes(tmp_path / "fields.gpkg", *boxes, **{column: ["FIELD"] * len(boxes)})
    words = ["assess", map_, "--reference", shapes] + ["--class-field", column] * (column == "kind")
    run = jido(*words, "--json")
    require_counts(run.json, said, true)
    assert "everything outside the polygons is background" in run.json["design"]
    assert "fields.gpkg knows field alone, so everything outside its polygons counts as background" in run.err
    area = write_shapes(tmp_path / "area.gpkg", box_of(slice(0, 20), slice(8, 40)))
    assert jido(*words, "--within", area, "--json", "--quiet").json["cells"] == 20 * 32


def test_polygons_without_a_class_among_those_of_the_target_may_be_anything(
    jido: Callable[..., Run], map_: Path, tmp_path: Path
):
    boxes = box_of(slice(0, 10), slice(0, 10)), box_of(slice(20, 30), slice(0, 10))
    shapes = write_shapes(tmp_path / "fields.gpkg", *boxes, **{"class": ["field", None]})
    assert jido("assess", map_, "--reference", shapes, "--json", "--quiet").json["cells"] == 100


def test_only_cells_within_are_judged(
    jido: Callable[..., Run], map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path
):
    shapes = write_shapes(tmp_path / "fields.gpkg", *squares(true))
    area = write_shapes(tmp_path / "area.gpkg", box_of(slice(0, 20), slice(8, 40)))
    result = jido("assess", map_, "--reference", shapes, "--within", area, "--json", "--quiet").json
    assert result["cells"] == 20 * 32
    assert result["confusion"][1][1] == np.count_nonzero((said & true)[:20, 8:40])
    assert "only cells inside the polygons" in result["design"]


def test_target_where_the_map_has_no_data_is_counted_apart(tmp_path: Path, said: np.ndarray):
    place = said.astype(np.float32)
    place[:8] = np.nan
    path = mapped(tmp_path, place)
    result = assess_binary(path, labels(box_of(slice(4, 12), slice(0, 10))), SCHEME)
    assert result["cells"] == (SIDE - 8) * SIDE
    assert result["unmapped"] == 40


def test_polygons_elsewhere_and_points_are_refused(refused: Refused, map_: Path, tmp_path: Path):
    far = write_shapes(tmp_path / "far.gpkg", shapely.box(0, 0, 10, 10))
    refused("assess", map_, "--reference", far, says=(far, "no polygon inside", map_))
    points = write_shapes(tmp_path / "points.gpkg", shapely.Point(500_005, 1_999_995))
    refused("assess", map_, "--reference", points, says=(points, "holds points"))


def test_labels_with_classes_are_judged_where_they_are(
    refused: Refused, jido: Callable[..., Run], map_: Path, said: np.ndarray, tmp_path: Path
):
    boxes = box_of(slice(0, 10), slice(0, 10)), box_of(slice(20, 30), slice(0, 10))
    both = replace(labels(*boxes), codes=np.array([1, 2]))
    write_labels(both, tmp_path / "both.gpkg")
    result = jido("assess", map_, "--reference", tmp_path / "both.gpkg", "--json", "--quiet").json
    assert (result["cells"], result["groups"]) == (200, 2)
    assert "iou" not in result["metrics"]
    assert result["confusion"][1] == [100 - said[20:30, :10].sum(), said[20:30, :10].sum()]
    words = ("assess", map_, "--reference", tmp_path / "both.gpkg", "--within", tmp_path / "both.gpkg")
    refused(*words, says=("both.gpkg", "leave out --within"))
    named = write_shapes(tmp_path / "named.gpkg", *boxes, kind=["background", "field"])
    asked = jido("assess", map_, "--reference", named, "--class-field", "kind", "--json", "--quiet").json
    assert asked["confusion"] == result["confusion"]


# -- what a file says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "complete"),
    [
        ({}, True),
        ({"name": ["north", None]}, True),
        ({"code": [17, 2]}, True),  # numbers of the features
        ({"class": ["field", "field"]}, False),
        ({"class": ["field", "feild"]}, False),  # a slip of the pen is no other kind of file
        ({"code": [1, 2]}, False),
        ({"label": ["Background", "FIELD"]}, False),
    ],
)
def test_a_column_with_classes_is_told_from_other_columns(
    tmp_path: Path, columns: dict[str, list[Any]], complete: bool
):
    boxes = box_of(slice(0, 4), slice(0, 4)), box_of(slice(8, 9), slice(0, 4))
    found = read_target(write_shapes(tmp_path / "fields.gpkg", *boxes, **columns), SCHEME)
    assert (found is not None) == complete
    if isinstance(found, Labels):
        assert found.codes.tolist() == [2, 2]


@pytest.mark.parametrize("values", [(1, 2), (0, 1, 2)])
def test_a_raster_of_both_codes_holds_labels(map_: Path, tmp_path: Path, values: tuple[int, ...]):
    codes = np.resize(np.array(values, np.uint8), (SIDE, SIDE))
    path = write_mask(tmp_path / "codes.tif", codes)
    assert read_target(path, SCHEME) is None
    found = read_reference(map_, path)
    assert found.complete is None
    assert isinstance(found.labels, Labels)


def test_a_raster_of_many_values_is_no_mask(refused: Refused, map_: Path, tmp_path: Path):
    path = write_mask(tmp_path / "many.tif", np.resize(np.arange(9, dtype=np.uint8), (SIDE, SIDE)))
    refused(
        "assess", map_, "--reference", path, says=(path, "say which of them are the target", "--target 8")
    )


def test_the_target_of_a_mask_can_be_named(
    refused: Refused, jido: Callable[..., Run], map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path
):
    codes = np.where(true, np.resize([3, 4], true.shape), np.resize([0, 1, 2], true.shape))
    path = write_mask(tmp_path / "codes.tif", codes.astype(np.uint8))
    words = ("assess", map_, "--reference", path, "--target", 3, "--target", 4)
    require_counts(jido(*words, "--json", "--quiet").json, said, true)
    shapes = write_shapes(tmp_path / "fields.gpkg", *squares(true), label=["field"] * len(squares(true)))
    refused("assess", map_, "--reference", shapes, "--target", 3, says=(shapes, "leave out", "--target"))


def test_a_map_that_lost_its_report_still_names_two_classes(
    jido: Callable[..., Run], map_: Path, said: np.ndarray, true: np.ndarray, tmp_path: Path
):
    (tmp_path / "map.report.json").unlink()
    mask = write_mask(tmp_path / "mask.tif", true.astype(np.uint8))
    result = jido("assess", map_, "--reference", mask, "--json", "--quiet").json
    require_counts(result, said, true)
    assert result["independent"] is None


# -- independence and intervals ----------------------------------------------------------------


def test_training_polygons_inside_make_it_resubstitution(
    jido: Callable[..., Run], tmp_path: Path, said: np.ndarray, true: np.ndarray
):
    path = mapped(tmp_path, said, learned=labels(box_of(slice(0, 4), slice(0, 4))))
    shapes = write_shapes(tmp_path / "fields.gpkg", *squares(true))
    result = jido("assess", path, "--reference", shapes, "--json", "--quiet").json
    assert result["independent"] is False
    assert result["overlap"] == pytest.approx(16 / SIDE**2)
    assert result["design"].startswith("resubstitution, not accuracy")
    assert "outside_training" not in result
    assert {found["lower"] for found in result["metrics"].values()} == {None}
    assert "NOT INDEPENDENT" in jido("assess", path, "--reference", shapes, "--quiet").out
    away = write_shapes(tmp_path / "area.gpkg", box_of(slice(10, SIDE), slice(0, SIDE)))
    words = ("assess", path, "--reference", shapes, "--within", away, "--json", "--quiet")
    assert jido(*words).json["independent"] is True


def test_elsewhere_trained_is_independent_and_has_intervals(
    tmp_path: Path, said: np.ndarray, true: np.ndarray
):
    path = mapped(tmp_path, said, learned=labels(shapely.box(0, 0, 10, 10)))
    result = assess_binary(path, labels(*squares(true)), SCHEME)
    assert result["independent"] is True
    for found in result["metrics"].values():
        assert found["lower"] < found["value"] < found["upper"]
    few = assess_binary(
        path, labels(*squares(true)), SCHEME, within=labels(box_of(slice(0, 16), slice(0, 16)))
    )
    assert few["groups"] == 4
    assert {found["lower"] for found in few["metrics"].values()} == {None}


def test_training_labels_are_named_by_hand(
    jido: Callable[..., Run], map_: Path, true: np.ndarray, tmp_path: Path
):
    mask = write_mask(tmp_path / "mask.tif", true.astype(np.uint8))
    training = write_shapes(tmp_path / "training.gpkg", box_of(slice(0, 4), slice(0, 4)))
    words = ("assess", map_, "--reference", mask, "--training", training, "--json", "--quiet")
    assert jido(*words).json["independent"] is False


def test_both_ways_agree_where_both_can_judge(map_: Path, said: np.ndarray, true: np.ndarray):
    """Labels of target and of background that cover the map give the counts of the complete reference."""
    boxes = squares(true)
    rest = shapely.difference(box_of(slice(0, SIDE), slice(0, SIDE)), shapely.union_all(boxes))
    everything = replace(labels(*boxes, rest), codes=np.array([2] * len(boxes) + [1]))
    assert assess(map_, everything)["confusion"] == assess_binary(map_, labels(*boxes), SCHEME)["confusion"]


def test_figures_of_one_split_stand_in_report_and_assessment(
    jido: Callable[..., Run], tmp_path: Path, said: np.ndarray, true: np.ndarray
):
    """What a segmentation model knows of itself: no folds, no confusion matrix, no polygons."""
    judged = {
        "metrics": {name: figure(0.5) for name in ("iou", "precision", "recall", "fn_tp", "fp_tp", "pr_auc")},
        "folds": {"kind": "tiles by field", "k": 1, "leaks": False, "buffer_m": 0.0},
        "groups": 7,
        "judged_on": "test tiles",
        "tiles": {"train": 80, "val": 10, "test": 20},
    }
    path = mapped(tmp_path, said, judged=judged)
    page = (tmp_path / "map.report.html").read_text(encoding="utf-8")
    assert "IoU of the target 0.500, judged on test tiles: 7 groups (tiles by field)." in page
    assert "80 tiles for train, 10 tiles for val, 20 tiles for test" in page
    assert "Area under precision and recall" in page
    assert "Confusion matrix" not in page
    mask = write_mask(tmp_path / "mask.tif", true.astype(np.uint8))
    words = jido("assess", path, "--reference", mask, "--quiet").out
    assert words.startswith("Held-out figure of the model (tiles by field):\n  IoU of the target: 0.500")
    assert "the figure to quote" in words
    path = mapped(tmp_path, said, judged=judged | {"folds": judged["folds"] | {"leaks": True}})
    assert "the figure to quote" not in jido("assess", path, "--reference", mask, "--quiet").out


def test_the_json_has_no_nan(jido: Callable[..., Run], map_: Path, tmp_path: Path):
    mask = write_mask(tmp_path / "mask.tif", np.zeros((SIDE, SIDE), np.uint8))
    out = tmp_path / "figures.json"
    assert jido("assess", map_, "--reference", mask, "-o", out, "--quiet").code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["metrics"]["recall"]["value"] is None


def test_read_labels_of_one_class(tmp_path: Path):
    shapes = write_shapes(tmp_path / "fields.gpkg", box_of(slice(0, 4), slice(0, 4)))
    assert read_labels(shapes, scheme=SCHEME, one_class=True).codes.tolist() == [2]
