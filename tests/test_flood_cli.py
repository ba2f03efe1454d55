"""``jido indicator flood`` as a user runs it: training on events, maps with tables, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import Refused, Run, said_by
from flood_files import BANDS, GRID, SIDE, Floods, changed, column, rows, whole
from PIL import Image

from jido.geo import Band, Raster
from jido.io import write_image


@pytest.fixture
def package(flood_model: tuple[Path, Run]) -> Path:
    return flood_model[0]


@pytest.fixture(scope="module")
def unjudged(floods: Floods, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A model that nobody has judged, from polygons."""
    folder = tmp_path_factory.mktemp("unjudged") / "pkg"
    words = ["--labels" if word == floods.masks else word for word in floods.training]
    words[words.index("--labels") + 1] = floods.polygons
    return folder, said_by(*words, "--folds", 0, "-o", folder)


# -- training ----------------------------------------------------------------------------------


def test_training_judges_on_events_that_were_held_out(
    flood_model: tuple[Path, Run], jido: Callable[..., Run]
):
    folder, run = flood_model
    assert run.code == 0, run.err
    assert run.json["folds"] == {"kind": "by event", "k": 2, "leaks": False, "buffer_m": 0.0}
    assert run.json["groups"] == 4
    assert run.json["metrics"].keys() >= {"iou", "precision", "recall", "pr_auc", "cell_f1"}
    assert run.json["metrics"]["iou"]["value"] > 0.3
    assert run.json["metrics"]["iou"]["lower"] is None  # 4 events are too few
    assert "unsure" not in run.json  # and promise nothing of a new one
    assert json.loads((folder / "metrics.json").read_text())["event_shares"]["events"] == 4
    assert jido("model", "verify", folder).code == 0


def test_polygons_train_too_and_an_unjudged_model_says_so(
    unjudged: tuple[Path, Run], floods: Floods, jido: Callable[..., Run], tmp_path: Path
):
    folder, run = unjudged
    assert run.code == 0, run.err
    assert "Nobody has judged this model: how good the map is, is not known." in run.out
    assert "Nobody says which event" not in run.err  # there is nothing it could spoil
    run = jido("indicator", "flood", *floods.new, "--model", folder, *GRID, "-o", tmp_path / "f.csv")
    assert run.code == 0, run.err
    assert "Nobody has judged this model on events held out, so the table has no intervals." in run.err
    assert " to " not in run.out.splitlines()[0]  # a value alone
    value, truth = column(tmp_path / "f.csv", "value"), whole(floods.truth).data
    assert np.isnan([column(tmp_path / "f.csv", name) for name in ("lower", "upper", "se")]).all()
    assert np.nanmean(value) == pytest.approx((truth == 2).mean(), abs=0.15)
    sheet = json.loads((tmp_path / "f.method.json").read_text())
    assert sheet["error_model"].startswith("No event was held out")
    assert sheet["formula"] == "share of pixels with a probability >= 0.5 in the cell"


def test_without_events_figures_are_marked_and_nothing_is_promised(
    floods: Floods, jido: Callable[..., Run], tmp_path: Path
):
    run = jido(*floods.training, "-o", tmp_path / "pkg", "--method", "index")
    assert run.code == 0, run.err
    assert "Nobody says which event each pair is of (--groups)" in run.err
    assert "judged on 2 folds of images: 4 groups (by image, which may show one event)" in run.out
    assert "Nothing can be promised of the pixels of a new event" in run.out
    run = jido(
        "indicator",
        "flood",
        *floods.new,
        "--model",
        tmp_path / "pkg",
        "-o",
        tmp_path / "f.csv",
        *GRID,
        "--json",
    )
    assert run.code == 0, run.err
    note = "The model was judged on images that may show one event (no --groups): the table has no intervals."
    assert run.json["notes"] == [note]
    assert run.json["summary"]["flooded"]["value"] > 0
    assert run.json["summary"]["flooded"]["lower"] is None
    assert np.isnan(column(tmp_path / "f.csv", "upper")).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "{package}"],
            "Give --model to make a map and a table, or --labels to train a model: one",
        ),
        (["--population", "{people}"], "--population goes with --model: leave it out"),
        (["--pixels", "128"], "Cells of 128 pixels do not fit tiles of 64: give fewer with --pixels"),
        (["--method", "cells", "--pixels", "48"], "Windows of 32 x 32 pixels cannot have a stride of 48"),
        (["--tile", "250"], "Tiles of 250 pixels cannot be cut: give a multiple of 8"),
        (["--groups", "{events}:town"], "town"),
        (["--target", "7"], "The masks hold no target pixel"),
    ],
)
def test_bad_orders_of_a_training_are_refused(
    refused: Refused, floods: Floods, package: Path, out: Path, options: list[str], message: str
):
    words = [text.format(package=package, **floods._asdict()) for text in options]
    refused(*floods.training, *words, "-o", out / "pkg", says=(message,))


def test_one_event_cannot_be_judged(refused: Refused, floods: Floods, out: Path, tmp_path: Path):
    table = tmp_path / "one.csv"
    table.write_text(floods.events.read_text().replace("event 1", "event 0"))
    table.write_text("".join(line[:-2] + "0\n" if "_" in line else line for line in _lines(table)))
    refused(
        *floods.training, "--groups", f"{table}:event", "-o", out / "pkg",
        says=("All pairs are of one event", "--groups FILE:COLUMN, or --folds 0"),
    )  # fmt: skip


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def test_pairs_that_do_not_fit_are_refused(refused: Refused, floods: Floods, out: Path, tmp_path: Path):
    def train(before: Path, after: Path, *says: str) -> None:
        words = (before, after, "--labels", floods.masks, "--preset", "smoke", "--tile", 64, "--folds", 0)
        refused("indicator", "flood", *words, "-o", out / "pkg", says=says)

    train(floods.after, floods.before, "was given as the image before", "their names say the opposite")
    lacking, dated = tmp_path / "lacking", tmp_path / "dated"
    for path in sorted(floods.after.iterdir()):
        raster = whole(path)
        changed(raster.select(BANDS[:3]), lacking / path.name, raster.data[:3])
    train(floods.before, lacking, "before and after have other bands", "give the same bands of both dates")
    for folder, day in (("one", "2020-05-01"), ("two", "2020-04-01")):
        (dated / folder).mkdir(parents=True)
        for path in sorted(floods.before.iterdir()):
            (dated / folder / f"{path.stem}_{day}.tif").symlink_to(path)
    train(dated / "one", dated / "one", "is among the images before and among the images after")


# -- a map -------------------------------------------------------------------------------------


def test_cells_have_intervals_and_the_sheet_says_what_is_known(flood_map: tuple[Path, Run]):
    folder, run = flood_map
    assert run.code == 0, run.err
    table = rows(folder / "f.csv")
    assert list(table[0]) == [
        "lon", "lat", "value", "lower", "upper", "coverage", "n", "se", "area_m2", "mapped", "common_se",
        "weight_m2",
    ]  # fmt: skip
    assert len(table) == run.json["cells"]
    seen = [row for row in table if row["coverage"] >= 0.5]
    assert len(table) - len(seen) == run.json["empty_cells"] > 0
    assert all(0 <= row["lower"] <= row["value"] <= row["upper"] <= 1 for row in seen)
    assert all(np.isnan(row["value"]) for row in table if row not in seen)
    assert run.json["dates"] == ["2019-10-28", "2019-12-08"]
    summary = run.json["summary"]["flooded"]
    assert 0 <= summary["lower"] < summary["value"] < summary["upper"] <= 1
    sheet = json.loads((folder / "f.method.json").read_text())
    assert sheet["indicator"] == "flooded ground"
    assert sheet["bands"] == BANDS
    assert sheet["dates"] == run.json["dates"]
    assert "sim_2019-10-28.tif: reflectance by metadata" in sheet["correction"]
    assert sheet["numbers"]["events"] == 4
    assert any("4 events were held out. So many can promise 0.800" in text for text in sheet["limits"])
    assert any("Model package: pkg" in text for text in sheet["limits"])


def test_all_files_are_there_and_the_map_finds_the_flood(flood_map: tuple[Path, Run], floods: Floods):
    folder, _ = flood_map
    ends = ("gpkg", "parquet", "csv", "tif", "qml", "png", "method.json", "method.md")
    names = {f"f{part}.{end}" for part in ("", ".relief") for end in ends}
    names |= {f"f.districts.{end}" for end in ends if end not in ("tif", "qml")}
    more = ("map.tif", "map.tif.aux.xml", "map.qml", "map.report.html", "map.report.json", "change.png")
    assert {path.name for path in folder.iterdir()} == names | {f"f.{end}" for end in more}
    with rasterio.open(folder / "f.map.tif") as source:
        assert source.descriptions == ("class", "confidence", "abstain", "p_background", "p_flooded")
        found, unsure = source.read(1) == 2, source.read(3)
    truth = whole(floods.truth).data[0] == 2
    assert (found & truth).sum() / (found | truth).sum() > 0.4
    assert not unsure.any()  # too few events to promise anything
    assert Image.open(folder / "f.change.png").width > 900  # four panels


def test_districts_and_the_whole_err_as_an_event_does(flood_map: tuple[Path, Run]):
    folder, run = flood_map
    west, east = rows(folder / "f.districts.csv")
    for half in (west, east):
        # wider than by a normal law: Student's t of 3 degrees of freedom at 97.5 % is 3.18
        assert half["lower"] <= max(half["value"] - 3.18 * half["se"], 0) + 1e-9
        assert half["upper"] >= min(half["value"] + 3.18 * half["se"], 1) - 1e-9
        assert half["coverage"] > 0.8
    summary = run.json["summary"]["flooded"]
    middle = np.average([west["value"], east["value"]], weights=[west["weight"], east["weight"]])
    assert summary["value"] == pytest.approx(middle, abs=0.02)
    assert west["se"] > 0.5 * np.mean([row["se"] for row in rows(folder / "f.csv") if row["n"] > 1500])


def test_the_list_for_relief_is_ranked(flood_map: tuple[Path, Run]):
    folder, run = flood_map
    table = rows(folder / "f.relief.csv")
    ranked = [row for row in table if np.isfinite(row["value"])]
    assert table[: len(ranked)] == ranked  # cells without people known stand last
    assert [row["value"] for row in ranked] == sorted((row["value"] for row in ranked), reverse=True)
    assert all(row["rank_best"] <= row["rank"] <= row["rank_worst"] for row in ranked)
    assert all(row["value"] == pytest.approx(row["share"] * row["people"]) for row in ranked)
    assert all(row["lower"] <= row["value"] <= row["upper"] <= row["people"] * (1 + 1e-9) for row in ranked)
    relief = run.json["relief"]
    assert [row["rank"] for row in relief] == [1, 2, 3]
    assert relief[0]["people"]["value"] == ranked[0]["value"]
    assert 0 < run.json["expected"] <= 3
    seen = sum(np.isfinite(row["value"]) for row in rows(folder / "f.csv"))
    assert run.json["ranked"] == len(ranked) < seen
    assert (
        f"People are known in {len(ranked)} of the {seen} cells that were seen: only they are ranked."
        in (run.json["notes"])
    )
    assert json.loads((folder / "f.relief.method.json").read_text())["weights"] == "people: people.tif"


def test_hectares_and_clouds(
    flood_map: tuple[Path, Run], floods: Floods, package: Path, jido: Callable[..., Run], tmp_path: Path
):
    image = whole(floods.new[1])
    west = np.full((1, SIDE, SIDE), np.nan, np.float32)
    west[..., : SIDE // 2] = 1
    write_image(Raster(west, (Band("clouds"),), image.geobox), tmp_path / "clouds.tif", dtype="uint8")
    run = jido(
        "indicator", "flood", *floods.new, "--model", package, *GRID, "--value", "hectares",
        "--clouds", tmp_path / "clouds.tif", "-o", tmp_path / "f.csv", "--population", floods.people,
    )  # fmt: skip
    assert run.code == 0, run.err
    assert "Clouds hide 50.0% of the images." in run.err
    assert run.out.splitlines()[0].endswith(" ha")
    clear, hidden = rows(flood_map[0] / "f.csv"), rows(tmp_path / "f.csv")
    kept = [(one, two) for one, two in zip(clear, hidden, strict=True) if two["coverage"] == one["coverage"]]
    assert 0 < len(kept) < len(hidden)
    for one, two in kept:
        for name in ("value", "lower", "upper"):
            assert two[name] == pytest.approx(one[name] * one["weight_m2"] / 1e4, nan_ok=True)
    assert np.isnan([two["value"] for two in hidden if two["coverage"] < 0.5]).all()
    # the list for relief is of people whatever the unit of the table
    affected = column(tmp_path / "f.relief.csv", "value")
    assert np.nanmax(affected) <= np.nansum(column(tmp_path / "f.relief.csv", "people"))


def test_a_net_for_cells_maps_and_tells_of_buildings(
    floods: Floods, jido: Callable[..., Run], tmp_path: Path
):
    pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')
    run = jido(
        *floods.training, "--method", "cells", "--folds", 0, "--name", "damaged", "-o", tmp_path / "pkg", "-q"
    )
    assert run.code == 0, run.err
    words = (
        "--model",
        tmp_path / "pkg",
        "--buildings",
        floods.built,
        *GRID,
        "-o",
        tmp_path / "f.csv",
        "--json",
        "--truth",
        floods.truth,
    )
    run = jido("indicator", "flood", *floods.new, *words)
    assert run.code == 0, run.err
    assert run.json["summary"].keys() == {"damaged", "unit"}
    sheet = json.loads((tmp_path / "f.method.json").read_text())
    assert (sheet["indicator"], sheet["unit"]) == ("damaged buildings", "share of the buildings")
    built = whole(floods.built).data.sum() * 100  # m², pixels of 10 m
    assert column(tmp_path / "f.csv", "weight_m2").sum() == pytest.approx(built, rel=0.01)
    with rasterio.open(tmp_path / "f.map.tif") as source:
        assert source.shape == (10, 10)  # of 16 x 16 pixels
    with Image.open(tmp_path / "f.change.png") as with_truth:  # five panels, not four
        assert with_truth.width > 3.5 * with_truth.height


def test_a_truth_of_another_size_is_refused(
    refused: Refused, floods: Floods, package: Path, out: Path, tmp_path: Path
):
    mask = tmp_path / "small.png"
    Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), 2)).save(mask)
    command = ("indicator", "flood", *floods.new, "--model", package, "--truth", mask, "-o", out / "f")
    refused(*command, says=("small.png has 8 x 8 pixels, the images 160 x 160",))
    refused(*command[:-4], "--target", "3", "-o", out / "f", says=("--target goes with --labels",))
