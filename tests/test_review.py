"""Correcting labels and labelling the points of a sample: what is decided, kept, and written."""

import csv
import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas
import httpx2 as httpx
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import Refused, Run, Town, strict_json, train
from odc.geo import CRS
from sample_maps import sample_of, write_map
from starlette.testclient import TestClient

from jido.errors import JidoError, LabelsError, OutputError
from jido.io import aux_xml, read_labels, write_labels
from jido.io.design_sample import read_sample, write_sample
from jido.labels import Labels, binary_scheme, lcz_scheme
from jido.labels.design_sample import DesignSample, Stratum
from jido.labels.scheme import named_scheme
from jido.web.review import Review, class_keys, review_layers
from jido.web.review_store import COLUMNS, Decision, Place, ReviewLog
from jido.web.review_tasks import Item, LabelReview, SampleReview, places

FIELDS = binary_scheme("field")
LEFT, TOP = 500_000, 5_300_000
Files = tuple[Path, Path, Path]


def opened(
    task: LabelReview | SampleReview, log: Path, images: tuple[Path, ...], map_: Path | None = None
) -> Review:
    points = isinstance(task, SampleReview)
    written = ReviewLog(log, who="Kim", places=places(task.items), since_written=points)
    return Review(task, written, review_layers(images, map_))


def client(review: Review) -> TestClient:
    return TestClient(review.app(), base_url="http://127.0.0.1")


# -- the log -------------------------------------------------------------------------------------

HERE = {"label 0": Place("3", 1.0, 2.0), "label 1": Place("A", 3.0, 4.0)}


def test_a_log_goes_on_where_it_stood(tmp_path: Path):
    path = tmp_path / "a.log.csv"
    log = ReviewLog(path, who="Kim", places=HERE)
    assert log.decided == {}
    assert not path.exists()
    log.decide(Decision("label 0", "relabel", "6", note='a "roof", wet'))
    log.decide(Decision("label 1", "drop"))
    log.decide(Decision("label 1", "keep", "A"))
    assert log.undo() == "label 1"
    again = ReviewLog(path, who="Lee", places=HERE)
    assert again.decided == log.decided == {
        "label 0": Decision("label 0", "relabel", "6", note='a "roof", wet'),
        "label 1": Decision("label 1", "drop"),
    }  # fmt: skip
    assert [again.undo(), again.undo(), again.undo()] == ["label 1", "label 0", None]
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["decision"] for row in rows] == ["relabel", "drop", "keep", "undo", "undo", "undo"]
    assert [row["who"] for row in rows] == ["Kim"] * 4 + ["Lee"] * 2
    assert (rows[0]["before"], rows[0]["after"], rows[0]["lon"], rows[0]["lat"]) == (
        "3",
        "6",
        "1.00000",
        "2.00000",
    )


def test_a_row_that_was_cut_off_is_taken_away(tmp_path: Path):
    path = tmp_path / "a.log.csv"
    log = ReviewLog(path, who="Kim", places=HERE)
    log.decide(Decision("label 0", "drop"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"2025-01-01,Kim,label 1,dr")
    assert list(ReviewLog(path, who="Kim", places=HERE).decided) == ["label 0"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "note", ['=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)", "'quoted'", "a = b"]
)
def test_no_cell_of_a_log_is_a_formula(tmp_path: Path, note: str):
    path = tmp_path / "a.log.csv"
    log = ReviewLog(path, who="=Kim", places={"label 0": Place("-5", -1.0, 2.0)})
    log.decide(Decision("label 0", "relabel", "=A", note=note))
    row = list(csv.reader(path.open(encoding="utf-8")))[1]
    assert not any(cell.startswith(("=", "+", "@")) for cell in row)
    assert [cell for cell in row if cell.startswith("-")] == ["-1.00000"]  # a number
    again = ReviewLog(path, who="Kim", places={"label 0": Place("-5", -1.0, 2.0)})
    assert again.decided["label 0"] == Decision("label 0", "relabel", "=A", note=note)


def test_what_was_written_elsewhere_is_forgotten_when_asked(tmp_path: Path):
    path = tmp_path / "a.log.csv"
    log = ReviewLog(path, who="Kim", places=HERE)
    log.decide(Decision("label 0", "drop"))
    log.written()
    log.decide(Decision("label 1", "keep"))
    assert list(ReviewLog(path, who="Kim", places=HERE).decided) == ["label 0", "label 1"]
    assert list(ReviewLog(path, who="Kim", places=HERE, since_written=True).decided) == ["label 1"]


def test_a_log_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "a.log.csv"
    ReviewLog(path, who="Kim", places=HERE).decide(Decision("label 0", "drop"))
    for other in (
        {"label 1": HERE["label 1"]},
        {"label 0": Place("3", 1.1, 2.0)},
        {"label 0": Place("4", 1, 2)},
    ):
        with pytest.raises(LabelsError, match="log of another review"):
            ReviewLog(path, who="Kim", places=other)
    for text in (b"a,b\n1,2\n", b"\xff\xfe\x00\n", b"when,who\n"):
        path.write_bytes(text)
        if text != b"when,who\n":
            with pytest.raises(OutputError, match="move it away"):
                ReviewLog(path, who="Kim", places=HERE)


# -- labels of classes ---------------------------------------------------------------------------


def number(item: Item) -> int:
    return int(item.id.split()[1])


def test_corrected_labels_hold_what_was_decided(model: Path, tmp_path: Path):
    task = LabelReview(model, tmp_path / "c.gpkg")
    suspicion = [item.suspicion for item in task.items]
    assert suspicion == sorted(suspicion, reverse=True)
    assert len(task.items) == 36
    wrong, gone, kept = task.items[:3]
    other = next(c.label for c in task.classes if c.label != wrong.given)
    done = task.write({
        wrong.id: Decision(wrong.id, "relabel", other),
        gone.id: Decision(gone.id, "drop"),
        kept.id: Decision(kept.id, "keep", kept.given),
    })  # fmt: skip
    assert (done["labels"], done["relabelled"], done["dropped"], done["added"]) == (35, 1, 1, 0)
    before, after = task._labels, read_labels(tmp_path / "c.gpkg")
    expected = before.to_geodataframe()["label"]
    expected[number(wrong)] = other
    assert after.to_geodataframe()["label"].tolist() == expected.drop(number(gone)).tolist()
    same = np.delete(before.geometry, number(gone))
    assert all(a.equals(b) for a, b in zip(after.geometry, same, strict=True))


def test_columns_of_the_file_are_kept(town: Town, model: Path, tmp_path: Path):
    """Classes as codes under a name of the user's, two parts of one feature, and columns of no concern."""
    frame = geopandas.read_file(town.polygons)
    own = geopandas.GeoDataFrame(
        {"Zone": frame["code"] + np.where(frame["code"] > 10, 90, 0),
         "drawn_by": [f"p{i}" for i in range(len(frame))], "name": "no class", "Group": "one"},
        geometry=frame.geometry, crs=frame.crs,
    ).to_crs(4326)  # fmt: skip
    own.to_file(tmp_path / "own.gpkg")
    task = LabelReview(model, tmp_path / "c.gpkg", labels=tmp_path / "own.gpkg", class_field="zone")
    wrong, gone = task.items[0], task.items[1]
    other = next(c for c in task.classes if c.label not in (wrong.given, gone.given) and c.code > 10)
    task.write({wrong.id: Decision(wrong.id, "relabel", other.label), gone.id: Decision(gone.id, "drop")})
    made = geopandas.read_file(tmp_path / "c.gpkg")
    assert set(made.columns) == {"Zone", "drawn_by", "name", "group", "geometry"}
    assert "p" + gone.id.split()[1] not in made["drawn_by"].tolist()
    assert made.crs == own.crs
    by = made.set_index("drawn_by")["Zone"]
    assert by["p" + wrong.id.split()[1]] == other.code
    rest = [f"p{i}" for i in range(36) if f"label {i}" not in (wrong.id, gone.id)]
    assert by[rest].tolist() == own.set_index("drawn_by")["Zone"][rest].tolist()
    assert len(read_labels(tmp_path / "c.gpkg", class_field="Zone")) == 35


def test_a_model_learns_from_corrected_labels(
    jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path
):
    task = LabelReview(town_map, tmp_path / "c.gpkg", labels=town.polygons)
    gone = task.items[0]
    task.write({gone.id: Decision(gone.id, "drop")})
    run = jido(*train(town, tmp_path / "model", "--folds", 3, "--json", labels=tmp_path / "c.gpkg"))
    assert run.code == 0, run.err
    assert len(LabelReview(tmp_path / "model", tmp_path / "d.gpkg").items) == 35


def test_other_labels_than_those_learned_are_refused(town: Town, model: Path, tmp_path: Path):
    with pytest.raises(LabelsError, match="does not hold the labels that"):
        LabelReview(model, tmp_path / "c.gpkg", labels=town.others)


# -- labels of a target --------------------------------------------------------------------------


def box(row: int, col: int, side: int = 8) -> shapely.Polygon:
    return shapely.box(LEFT + 10 * col, TOP - 10 * (row + side), LEFT + 10 * (col + side), TOP - 10 * row)


DRAWN = [(2, 2), (2, 20), (2, 40), (20, 2), (20, 20)]


@pytest.fixture
def fields(tmp_path: Path) -> Files:
    """Map, labels and image of 64 x 64 cells: four of five fields were found, and one that nobody drew."""
    codes, percent = np.full((64, 64), 1, np.uint8), np.full((64, 64), 95, np.uint8)
    for row, col in [*DRAWN[:4], (40, 40)]:
        codes[row : row + 8, col : col + 8], percent[row : row + 8, col : col + 8] = 2, 90
    path, labels, image = tmp_path / "map.tif", tmp_path / "fields.gpkg", tmp_path / "image.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "dtype": "uint8", "crs": "EPSG:32632",
               "transform": Affine(10, 0, LEFT, 0, -10, TOP)}  # fmt: skip
    with rasterio.open(path, "w", count=2, nodata=255, **profile) as sink:
        sink.write(np.stack([codes, percent]))
        sink.descriptions = ("class", "confidence")
    path.with_name("map.tif.aux.xml").write_text(aux_xml(FIELDS, (1,)), encoding="utf-8")
    with rasterio.open(image, "w", count=3, photometric="RGB", **profile) as sink:
        sink.write(np.stack([codes * 90, codes * 60, percent]))
    shapes = np.array([box(row, col) for row, col in DRAWN], dtype=object)
    frame = geopandas.GeoDataFrame({"farm": [f"farm {i}" for i in range(5)]}, geometry=shapes, crs=32632)
    frame.to_file(labels)
    return path, labels, image


def test_a_missed_field_is_added_and_a_wrong_one_dropped(fields: Files, tmp_path: Path):
    task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
    first, second = task.items[:2]
    assert (first.id, first.said, second.id) == ("object 0", "field", "label 4")
    assert not task.choose
    done = task.write({
        "object 0": Decision("object 0", "add", "field"), "label 4": Decision("label 4", "drop"),
        "label 0": Decision("label 0", "keep", "field"),
    })  # fmt: skip
    assert (done["labels"], done["dropped"], done["added"]) == (5, 1, 1)
    made = read_labels(tmp_path / "c.gpkg", scheme=FIELDS, one_class=True)
    assert made.geometry[-1].equals(box(40, 40))
    assert len(set(made.groups.tolist())) == 5
    table = geopandas.read_file(tmp_path / "c.gpkg")
    assert table["farm"].tolist()[:4] == [f"farm {i}" for i in range(4)]
    assert table["farm"].isna()[4]
    assert set(table["class"]) == {"field"}
    assert read_labels(tmp_path / "c.gpkg", scheme=FIELDS).codes.tolist() == [2] * 5


def test_only_what_makes_sense_can_be_decided(fields: Files, tmp_path: Path):
    task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
    with client(opened(task, tmp_path / "c.log.csv", fields[2:], fields[0])) as page:
        for item, decision, after in (
            ("object 0", "drop", ""), ("label 4", "add", ""), ("label 4", "relabel", "background"),
            ("label 99", "keep", ""), ("", "written", ""), ("label 4", "undo", ""),
        ):  # fmt: skip
            refused = page.post("/api/decide", json={"item": item, "decision": decision, "after": after})
            assert refused.status_code == 400
            assert refused.json()["error"]
    assert not (tmp_path / "c.log.csv").exists()


def test_dropping_everything_is_refused(fields: Files, tmp_path: Path):
    task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
    with pytest.raises(LabelsError, match="nothing to write"):
        task.write({f"label {i}": Decision(f"label {i}", "drop") for i in range(5)})
    assert not (tmp_path / "c.gpkg").exists()


# -- points of a sample --------------------------------------------------------------------------

KINDS = named_scheme("land", ["water", "wood", "town"])


def drawn(path: Path) -> DesignSample:
    """Three points in two strata; nothing is said of them."""
    codes = np.repeat([[1], [2]], 16, axis=0).repeat(32, axis=1)
    write_map(path.with_name("map.tif"), codes)
    cell = np.array([[2, 3], [20, 4], [30, 31]])
    strata = [Stratum("deep", 512, 1, 0.05), Stratum("leafy", 512, 2, 0.05)]
    sample = sample_of(path.with_name("map.tif"), codes, KINDS, cell=cell, truth=np.full(3, -1),
                       stratum=np.array([0, 1, 1]), strata=strata)  # fmt: skip
    write_sample(sample, path)
    return sample


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An image of the land of the sample."""
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 3, "dtype": "uint8",
               "crs": "EPSG:32649", "transform": Affine(10, 0, 200_000, 0, -10, 2_500_000),
               "photometric": "RGB"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8))
    return path


def test_two_interpreters_label_a_sample_and_see_nothing_of_each_other(tmp_path: Path, picture: Path):
    points = tmp_path / "points.gpkg"
    drawn(points)
    first = opened(SampleReview(points, interpreter=1), tmp_path / "1.csv", (picture,))
    second = opened(SampleReview(points, interpreter=2), tmp_path / "2.csv", (picture,))
    with client(first) as page:
        for number, label in ((1, "water"), (3, "town")):
            sent = {
                "item": f"point {number}",
                "decision": "label",
                "after": label,
                "confidence": "high",
                "note": "dry | now",
            }
            assert page.post("/api/decide", json=sent).status_code == 200
        assert page.post("/api/write").json()["labelled"] == 2
    with client(second) as page:
        sent = {
            "item": "point 1",
            "decision": "label",
            "after": "wood",
            "confidence": "low",
            "note": "a boat",
        }
        page.post("/api/decide", json=sent)
        page.post("/api/decide", json={"item": "point 2", "decision": "skip", "note": "cloud"})
        page.post("/api/write")
        told = page.get("/api/review.json").text + page.get("/api/outline.json?item=point 1").text
    for secret in ("deep", "leafy", "stratum", "inclusion", "cluster", "dry", "map.tif"):
        assert secret not in told
    sample = read_sample(points)
    assert sample.codes.tolist() == [[1, 2], [-1, -1], [3, -1]]
    assert sample.confidence.tolist() == [["high", "low"], ["", ""], ["high", ""]]
    assert sample.note.tolist() == ["1: dry now | 2: a boat", "2: cloud", "1: dry now"]
    again = opened(SampleReview(points, interpreter=2), tmp_path / "2.csv", (picture,))
    assert {item: said.note for item, said in again.decided.items()} == {
        "point 1": "a boat",
        "point 2": "cloud",
    }


def test_labels_that_were_not_written_yet_come_back(tmp_path: Path, picture: Path):
    points = tmp_path / "points.gpkg"
    drawn(points)
    before = points.read_bytes()
    review = opened(SampleReview(points, interpreter=1), tmp_path / "1.csv", (picture,))
    review.log.decide(Decision("point 2", "label", "wood", "medium"))
    assert points.read_bytes() == before
    again = opened(SampleReview(points, interpreter=1), tmp_path / "1.csv", (picture,))
    assert again.decided["point 2"].after == "wood"
    again.write()
    assert read_sample(points).codes[:, 0].tolist() == [-1, 2, -1]
    assert again.log.undo() == "point 2"
    again.write()
    assert read_sample(points).codes[:, 0].tolist() == [-1, -1, -1]


def test_what_was_taken_back_after_writing_stays_so_when_the_process_is_killed(tmp_path: Path, picture: Path):
    """The sample still says it, and only the log knows better."""
    points = tmp_path / "points.gpkg"
    drawn(points)

    def reopened() -> Review:
        return opened(SampleReview(points, interpreter=1), tmp_path / "1.csv", (picture,))

    review = reopened()
    for item, after in (("point 1", "wood"), ("point 2", "wood"), ("point 2", "water")):
        review.log.decide(Decision(item, "label", after, "high"))
    review.write()
    assert [review.log.undo(), review.log.undo()] == ["point 2", "point 2"]
    again = reopened()  # no write before: it was killed
    assert again.log.pending
    assert list(again.decided) == list(review.decided) == ["point 1"]
    assert again.log.undo() is None  # what stands in the sample is not for this process to take back
    again.log.decide(Decision("point 2", "label", "meadow", "low"))
    assert again.log.undo() == "point 2"
    assert list(again.decided) == ["point 1"]
    again.write()
    assert read_sample(points).codes[:, 0].tolist() == [2, -1, -1]
    assert list(reopened().decided) == ["point 1"]


def test_the_square_is_the_cell(tmp_path: Path, picture: Path):
    points = tmp_path / "points.gpkg"
    sample = drawn(points)
    task = SampleReview(points, interpreter=1)
    move = CRS("EPSG:4326").transformer_to_crs(CRS("EPSG:32649"), always_xy=True)
    back = shapely.transform(task.shapes, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))
    for square, (x, y) in zip(back, sample.xy, strict=True):
        assert square.bounds == pytest.approx((x - 5, y - 5, x + 5, y + 5), abs=1e-3)


@pytest.mark.parametrize("down", [True, False])
def test_without_a_place_the_square_lies_where_the_image_has_the_cell(tmp_path: Path, down: bool):
    """On the plane of the page, whether the file counts rows downwards or has coordinates of its own."""
    points, image = tmp_path / "points.gpkg", tmp_path / "image.tif"
    grid = Affine.identity() if down else Affine(10, 0, 200_000, 0, -10, 2_500_000)
    sample = drawn(tmp_path / "utm.gpkg")
    facts = sample.facts | {"grid": sample.facts["grid"] | {"crs": None, "transform": list(grid)[:6]}}
    write_sample(replace(sample, facts=facts, crs=None), points)
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 3, "dtype": "uint8", "transform": grid}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(image, "w", photometric="RGB", **profile) as sink:
            sink.write(np.zeros((3, 32, 32), dtype=np.uint8))
    task = SampleReview(points, interpreter=1)
    review = opened(task, tmp_path / "1.csv", (image,))
    west, south, east, north = review_layers((image,)).layers[0].bounds
    centre = shapely.get_coordinates(shapely.centroid(task.shapes))
    col, row = (centre[:, 0] - west) / (east - west) * 32, (north - centre[:, 1]) / (north - south) * 32
    assert np.column_stack([row, col]) == pytest.approx(sample.cell + 0.5, abs=0.1)
    assert review.decided == {}


def test_the_map_is_no_image_for_interpreters(tmp_path: Path):
    drawn(tmp_path / "points.gpkg")
    with pytest.raises(JidoError, match="is no image to look at"):
        review_layers((tmp_path / "map.tif",))


# -- what a browser may ask ----------------------------------------------------------------------


@pytest.fixture
def page(fields: Files, tmp_path: Path):
    task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
    with client(opened(task, tmp_path / "c.log.csv", fields[2:], fields[0])) as found:
        yield found


def test_no_path_comes_from_a_browser(page: TestClient):
    said = page.get("/api/review.json").json()
    assert [layer["kind"] for layer in said["view"]["layers"]] == ["classes", "image"]
    layer = said["view"]["layers"][0]["id"]
    assert page.get(f"/tiles/{layer}/0/0/0.png").headers["content-type"] == "image/png"
    for path in ("/tiles/../0/0/0.png", "/tiles/l9/0/0/0.png", "/static/..%2Freview.py", "/static/review.py",
                 "/api/outline.json?item=../../etc/passwd", "/api/outline.json", "/c.log.csv"):  # fmt: skip
        assert page.get(path).status_code == 404, path


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[1]", b"[" * 100_000, b'{"item": 1}', b'{"path": "/etc/passwd"}', b"\xff",
     b'{"item": "label 4", "decision": "keep", "note": "' + b"a" * 501 + b'"}', b" " * (1 << 19)],
)  # fmt: skip
def test_what_is_no_decision_is_refused(page: TestClient, body: bytes):
    assert page.post("/api/decide", content=body).status_code in (400, 413)


def test_other_pages_change_nothing(page: TestClient):
    sent = {"item": "label 4", "decision": "drop"}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://evil.example"},
        {"host": "evil.example"},
    ):
        assert page.post("/api/decide", json=sent, headers=headers).status_code == 403
    answer: httpx.Response = page.post(
        "/api/decide", content=json.dumps(sent | {"note": " a\nb\x00\ud800c "})
    )
    assert answer.json()["said"]["note"] == "a b c"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_every_class_has_a_key_of_its_own():
    keys = class_keys(lcz_scheme().classes)
    assert keys == {
        **{str(i): str(i % 10) for i in range(1, 11)},
        **{letter: letter.lower() for letter in "ABCDEFG"},
    }
    assert class_keys(KINDS.classes) == {"water": "1", "wood": "2", "town": "3"}
    many = class_keys(named_scheme("many", [f"class {i}" for i in range(40)]).classes)
    given = [key for key in many.values() if key]
    assert len(given) == len(set(given)) == 26
    assert not set(given) & set("kxstuminzo")
    both = class_keys([replace(KINDS.classes[0], label="a"), replace(KINDS.classes[1], label="A")])
    assert len(set(both.values())) == 2


# -- the command ---------------------------------------------------------------------------------


def test_what_cannot_be_reviewed_is_refused(
    refused: Refused, fields: Files, out: Path, tmp_path: Path, town: Town
):
    map_, labels, image = fields
    to = ("-o", out / "c.gpkg", "--image", image)
    refused("labels", "review", tmp_path / "no.tif", *to, says=("no.tif", "does not exist"))
    refused("labels", "review", map_, *to, says=("does not know the labels", "--labels"))
    refused(
        "labels", "review", map_, "--labels", labels, "-o", out / "c.shp", "--image", image, says=(".gpkg",)
    )
    refused(
        "labels", "review", map_, "--labels", labels, "-o", labels, "--image", image, says=("is an input",)
    )
    refused(
        "labels",
        "review",
        map_,
        "--labels",
        labels,
        "-o",
        out / "c.gpkg",
        "--image",
        map_,
        says=("no image",),
    )
    refused("labels", "review", map_, "--labels", labels, *to, "--token", "short", says=("8 to 200",))
    far = ("-o", out / "c.gpkg", "--image", town.optical)
    refused("labels", "review", map_, "--labels", labels, *far, says=("optical.tif shows another place",))
    write_labels(
        Labels(np.array([box(1, 1)]), np.full(1, 2), np.arange(1), CRS("EPSG:32632"), FIELDS),
        out / "mine.gpkg",
    )
    refused(
        "labels",
        "review",
        map_,
        "--labels",
        labels,
        "-o",
        out / "mine.gpkg",
        "--image",
        image,
        says=("of no review",),
    )


def test_a_sample_takes_no_output(refused: Refused, tmp_path: Path, picture: Path, out: Path, model: Path):
    drawn(tmp_path / "points.gpkg")
    form = ("labels", "review", tmp_path / "points.csv", "--image", picture)
    refused(*form, says=("points.csv is a form", "give the GeoPackage"))
    refused("labels", "review", model, "--image", picture, "--interpreter", 2, "-o", out / "x.gpkg",
            says=("leave out --interpreter",))  # fmt: skip
    refused(
        "labels",
        "review",
        tmp_path / "points.gpkg",
        "--image",
        picture,
        "-o",
        out / "x.gpkg",
        says=("leave out -o",),
    )


def test_the_command_serves_and_writes_when_it_is_stopped(fields: Files, tmp_path: Path):
    command = ("labels", "review", fields[0], "--labels", fields[1], "--image", fields[2],
               "-o", tmp_path / "c.gpkg", "--name", "Kim", "--json")  # fmt: skip
    program = [sys.executable, "-c", "from jido.cli import main; main()", *map(str, command)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = strict_json(process.stdout.readline())["url"]
        second = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 2
        assert "Another process" in strict_json(second.stdout)["error"]
        assert httpx.post(f"{url}api/decide", json={"item": "object 0", "decision": "add"}).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "6 labels, 0 relabelled, 0 dropped, 1 added, 1 decided" in err
    assert len(geopandas.read_file(tmp_path / "c.gpkg")) == 6
    rows = list(csv.DictReader((tmp_path / "c.log.csv").open(encoding="utf-8")))
    assert [(row["who"], row["decision"]) for row in rows] == [("Kim", "add"), ("Kim", "written")]
    assert not list(tmp_path.glob(".*"))
