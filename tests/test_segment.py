"""``jido segment train`` and what follows: the chain, its promises, interruptions, refusals, figures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from conftest import Refused, Run, interrupted, said_by, strict_json

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data import Fields, simulate_fields, write_fields  # noqa: E402
from jido.data.cutting import cut_tiles  # noqa: E402
from jido.data.splits import PARTS, split_tiles  # noqa: E402
from jido.errors import ModelError  # noqa: E402
from jido.geo import Raster  # noqa: E402
from jido.io import read_labels, working_folder, write_image  # noqa: E402
from jido.labels import binary_scheme  # noqa: E402
from jido.methods import load_model  # noqa: E402
from jido.methods.figures import CURVES, FILES, PICTURES, write_figures  # noqa: E402
from jido.methods.figures.history import read_history  # noqa: E402
from jido.methods.figures.pieces import false_pieces  # noqa: E402
from jido.methods.segment import train_segmentation  # noqa: E402
from jido.methods.stage import Stage  # noqa: E402
from jido.methods.two_stage import load_config  # noqa: E402
from jido.stats.binary import BINS, binary_summary, counts_at  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHARED = Path(__file__).parents[2] / "shared/data"
COUNT, SIZE, SIDE = 30, 64, 32
METRICS = {"iou", "precision", "recall", "fn_tp", "fp_tp", "pr_auc"}
TINY = """
width = 4
depth = 1
learning_rate = 0.01
onset = 1
until = 3
epochs = 3
tiles_per_epoch = 32
"""
STOPPED = 128 + signal.SIGINT


class Sheets(NamedTuple):
    """Simulated images and what is in them; nobody changes them."""

    images: list[Path]
    labels: Path
    masks: Path
    plain: Path
    config: Path
    new: Path
    truth: Fields


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets wait for each other on several threads, and more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Sheets:
    """Images with polygons without a class, the same as PNG with masks, and a larger image."""
    folder = tmp_path_factory.mktemp("sheets")
    found = Sheets(
        [folder / f"sheet{seed:02}.tif" for seed in range(COUNT)],
        *(folder / name for name in ("fields.gpkg", "masks", "plain", "tiny.toml", "new.tif")),
        simulate_fields(shape=(96, 160), seed=COUNT, share=0.12, pixel_m=0.5),
    )
    found.masks.mkdir()
    found.plain.mkdir()
    found.config.write_text(TINY)
    frames = []
    for seed, path in enumerate(found.images):
        sheet = simulate_fields(shape=(SIZE, SIZE), seed=seed, share=0.12, pixel_m=0.5)
        image, labels = write_fields(sheet, folder / "written")
        image.rename(path)
        frames.append(geopandas.read_file(labels)[["geometry"]])
        write_png(found.plain / f"{path.stem}.png", sheet.image.data)
        write_png(found.masks / f"{path.stem}.png", 255 * sheet.mask[None])
    pandas.concat(frames).to_file(found.labels)
    write_fields(found.truth, folder / "written")[0].rename(found.new)
    return found


def write_png(path: Path, planes: np.ndarray) -> Path:
    count, height, width = planes.shape
    shape = {"count": count, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="PNG", **shape) as sink:
        sink.write(planes.astype(np.uint8))
    return path


def words(sheets: Sheets, output: Path, *options: object, **changed: list[Path] | None) -> tuple[object, ...]:
    """The words of ``jido segment train``: from polygons, or with other ``images``, ``labels``, ``masks``."""
    given = {"images": sheets.images, "labels": [sheets.labels], "masks": None, "config": [sheets.config]}
    told = [[f"--{name}", *paths] for name, paths in (given | changed).items() if paths]
    spread = [word for option in told for word in option]
    return ("segment", "train", *spread, "-o", output, "--tile", SIDE, "--preset", "smoke", *options)


def from_masks(sheets: Sheets, **changed: list[Path] | None) -> dict[str, list[Path] | None]:
    return {"images": [sheets.plain], "labels": None, "masks": [sheets.masks], **changed}


@pytest.fixture(scope="module")
def trained(sheets: Sheets, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A model trained by the command line with all its figures, and what the command said."""
    output = tmp_path_factory.mktemp("trained") / "model"
    return output, said_by(*words(sheets, output, "--json"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than these trainings: only the history is written."""
    for name in ("draw_curves", "error_gallery", "recovered_picture", "false_positives_picture"):
        monkeypatch.setattr(f"jido.methods.figures.{name}", lambda *args, **options: None)
    monkeypatch.setattr("jido.methods.figures.stages_picture", lambda *args: None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What training would be given; then the command ends with "Enough."."""
    found: dict[str, Any] = {}

    def training(tiles: Any, split: Any, **options: Any) -> None:
        found.update(options, tiles=tiles, split=split)
        raise ModelError("Enough.")

    monkeypatch.setattr("jido.methods.segment.train_segmentation", training)
    return found


def facts_of(model: Path) -> dict[str, Any]:
    return strict_json((model / "config.json").read_text())


def history(model: Path) -> list[dict[str, Any]]:
    rows = read_history(model.with_name(f"{model.name}.figures") / "history.csv")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def iou(said: np.ndarray, true: np.ndarray) -> float:
    return (said & true).sum() / (said | true).sum()


# -- the chain ---------------------------------------------------------------------------------


def test_training_keeps_the_contract(trained: tuple[Path, Run]):
    model, run = trained
    assert run.code == 0
    assert set(run.json) >= {"model", "metrics", "folds", "seconds"}
    assert run.json["model"] == str(model)
    assert set(run.json["metrics"]) == METRICS
    for figure in run.json["metrics"].values():
        assert set(figure) == {"value", "lower", "upper"}
        assert 0 <= figure["lower"] <= figure["value"] <= figure["upper"]  # 5 groups are enough for that
    folds = run.json["folds"]
    assert (folds["kind"], folds["k"], folds["leaks"]) == ("by image", 1, False)
    assert run.json["seconds"] > 0
    assert run.json["tiles"].keys() == set(PARTS)
    assert sum(run.json["tiles"].values()) == COUNT * (SIZE // SIDE) ** 2
    assert f"Tiles: {run.json['tiles']['train']} training" in run.err
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "model.figures"]
    assert strict_json((model / "metrics.json").read_text())["metrics"] == run.json["metrics"]


def test_map_polygons_and_assessment_follow(
    jido: Callable[..., Run], sheets: Sheets, trained: tuple[Path, Run], tmp_path: Path
):
    map_ = tmp_path / "map.tif"
    assert jido("map", trained[0], sheets.new, "-o", map_, "--json").code == 0
    with rasterio.open(map_) as source:
        assert source.descriptions == ("class", "confidence", "abstain")
        classes, confidence, abstain = source.read()
    assert set(np.unique(classes)) <= {1, 2}
    assert confidence.max() <= 100  # calibrated: below 50 where the threshold was chosen to miss little
    assert confidence.max() <= 100
    assert not abstain.any()
    found = jido("polygons", map_, "-o", tmp_path / "found.gpkg", "--class", "target", "--json").json
    assert found["area_m2"] == pytest.approx(0.25 * np.count_nonzero(classes == 2), rel=0.01)
    assert len(geopandas.read_file(tmp_path / "found.gpkg")) == found["objects"]
    frame = geopandas.GeoDataFrame(geometry=sheets.truth.labels.geometry, crs=str(sheets.truth.labels.crs))
    frame.to_file(tmp_path / "reference.gpkg")
    judged = jido("assess", map_, "--reference", tmp_path / "reference.gpkg", "--json").json
    assert judged["independent"] is True
    assert set(judged["metrics"]) >= METRICS - {"pr_auc"}
    assert judged["metrics"]["iou"]["value"] == pytest.approx(iou(classes == 2, sheets.truth.mask))
    assert np.sum(judged["confusion"]) == classes.size
    again = jido("assess", map_, "--reference", sheets.labels, "--json")
    assert (again.code, "no polygon inside" in again.err) == (2, True)  # the training polygons lie elsewhere


class Trained(NamedTuple):
    """A training without the command line."""

    result: Any
    tiles: Any
    model: Path


@pytest.fixture(scope="module")
def here(sheets: Sheets, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("here")
    labels = read_labels(sheets.labels, scheme=binary_scheme("field"), one_class=True)
    tiles = cut_tiles(sheets.images, labels=labels, work=folder, side=SIDE)
    config = load_config(sheets.config, preset="smoke", recall=0.9)
    result = train_segmentation(tiles, split_tiles(tiles), config=config, work=folder)
    result.model.save(folder / "model")
    return Trained(result, tiles, folder / "model")


def test_the_map_holds_what_the_training_judged(jido: Callable[..., Run], here: Trained, tmp_path: Path):
    """From the threshold on a pixel is target, in the package its probability is .5 there."""
    judged, which = here.result.second, here.result.judged
    scores = judged.stage.scores(which)
    target, clear = scores >= judged.threshold, np.abs(scores - judged.threshold) > 1e-5
    assert 0 < target.mean() < 1
    said = load_model(here.model).predict(here.tiles.pixels(which))[:, 1] >= 0.5
    assert np.array_equal(said[clear], target[clear])
    assert clear.mean() > 0.99
    chosen = int(np.argmin(np.abs(target[:, 10:-10, 10:-10].mean((1, 2)) - 0.5)))
    seed = int(str(here.tiles.source[which[chosen]])[5:7])
    row, col = here.tiles.place[which[chosen]].tolist()
    sheet = simulate_fields(shape=(SIZE, SIZE), seed=seed, share=0.12, pixel_m=0.5).image
    window = slice(row, row + SIDE), slice(col, col + SIDE)
    tile = Raster(sheet.data[(slice(None), *window)], sheet.bands, sheet.geobox[window])
    write_image(tile, tmp_path / "tile.tif", dtype="uint8")
    assert jido("map", here.model, tmp_path / "tile.tif", "-o", tmp_path / "map.tif").code == 0
    with rasterio.open(tmp_path / "map.tif") as source:
        classes = source.read(1)
    seen = clear[chosen] & (np.pad(np.ones((SIDE - 20, SIDE - 20)), 10) > 0)  # not what sees beyond the edge
    assert np.array_equal(classes[seen] == 2, target[chosen][seen])
    assert set(np.unique(classes[seen])) == {1, 2}


def test_the_threshold_is_the_highest_that_reaches_the_recall(here: Trained):
    for judged in (here.result.first, here.result.second):
        chosen = judged.stage.histograms(judged.stage.data.validation).sum(0)
        reached, missed = (
            binary_summary(counts_at(chosen, judged.threshold + step))["recall"] for step in (0, 1 / BINS)
        )
        assert reached >= 0.9 > missed


def test_one_stage_has_as_many_epochs_and_figures_of_its_own(
    jido: Callable[..., Run], sheets: Sheets, tmp_path: Path
):
    run = jido(*words(sheets, tmp_path / "m", "--stages", 1, "--recall", 0.9, "--name", "shade field"))
    assert run.code == 0
    assert "one stage" in run.out
    assert "stage 2" not in run.out
    rows = history(tmp_path / "m")
    assert [(row["stage"], row["epoch"]) for row in rows] == [(1, epoch) for epoch in range(1, 7)]
    assert {path.name for path in (tmp_path / "m.figures").iterdir()} == {
        "history.csv", *(f"{name}.png" for name in CURVES)
    }  # fmt: skip
    facts, judged = (
        strict_json((tmp_path / "m" / f"{name}.json").read_text()) for name in ("config", "metrics")
    )
    assert (judged["stages"], "first_stage" in judged) == (1, False)
    assert facts["config"]["heads"] == []
    assert facts["scheme"]["classes"][1]["name"] == "shade field"
    assert load_model(tmp_path / "m").net.out_channels == 1


# -- masks, archives, options ------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_masks_say_what_polygons_say(
    jido: Callable[..., Run], sheets: Sheets, trained: tuple[Path, Run], tmp_path: Path
):
    run = jido(*words(sheets, tmp_path / "m", "--json", labels=None, masks=[sheets.masks]))
    assert run.code == 0
    assert run.json["tiles"] == trained[1].json["tiles"]
    assert run.json["metrics"] == trained[1].json["metrics"]
    for name, polygons in ((trained[0], True), (tmp_path / "m", False)):
        assert facts_of(name)["training_labels"] is polygons
        assert (name / "training.gpkg").exists() is polygons


@pytest.mark.usefixtures("undrawn")
def test_images_without_a_place_go_all_the_way(jido: Callable[..., Run], sheets: Sheets, tmp_path: Path):
    run = jido(*words(sheets, tmp_path / "m", "--name", "court", "--json", **from_masks(sheets)))
    assert (run.code, set(run.json["metrics"])) == (0, METRICS)
    assert facts_of(tmp_path / "m")["scheme"]["classes"][1]["name"] == "court"
    assert facts_of(tmp_path / "m")["pixel_m"] is None
    image = write_png(tmp_path / "new.png", sheets.truth.image.data)
    mask = write_png(tmp_path / "mask.png", 255 * sheets.truth.mask[None])
    assert jido("map", tmp_path / "m", image, "-o", tmp_path / "map.tif", "--json").code == 0
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.crs is None
        classes = source.read(1)
    judged = jido("assess", tmp_path / "map.tif", "--reference", mask, "--json").json
    assert judged["metrics"]["iou"]["value"] == pytest.approx(iou(classes == 2, sheets.truth.mask))
    assert set(judged["area"].values()) == {None}


def test_archives_are_taken_for_folders(
    jido: Callable[..., Run], sheets: Sheets, asked: dict[str, Any], tmp_path: Path
):
    """And several words may follow one option, also where it is written with ``=``."""
    pictures, masks = sorted(sheets.plain.iterdir()), sorted(sheets.masks.iterdir())
    parts = {"a.zip": pictures[:20], "b.zip": pictures[20:], "m.zip": masks}
    for name, files in parts.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in files:
                archive.write(file, f"inside/{file.name}")
    a, b, m = (tmp_path / name for name in parts)
    plain = cut_tiles([sheets.plain], masks=[sheets.masks], work=tmp_path / "plain", side=SIDE)
    others = (
        "--config",
        sheets.config,
        "-o",
        tmp_path / "m",
        "--tile",
        SIDE,
        "--preset",
        "smoke",
        "--restart",
    )
    for images in (["--images", a, b], [f"--images={a}", b], ["--images", a, "--images", b]):
        run = jido("segment", "train", *images, "--masks", m, *others)
        assert "Enough." in run.err
        tiles = asked.pop("tiles")
        assert np.array_equal(tiles.images, plain.images)
        assert np.array_equal(tiles.masks, plain.masks)
        assert list(tiles.source) == list(plain.source)


def test_a_case_sets_the_epochs_and_nothing_else(
    jido: Callable[..., Run], sheets: Sheets, asked: dict[str, Any], tmp_path: Path
):
    for case, course in {"A_100-200": (100, 200, "", None), "B_100-300": (100, 300, "B", 200)}.items():
        jido(*words(sheets, tmp_path / "m", "--case", case, "--seed", 3))
        config = asked["config"]
        assert (config.onset, config.until, config.branch, config.branch_at) == course
        assert (config.width, config.depth, config.epochs, config.seed) == (4, 1, 3, 3)
    assert jido(*words(sheets, tmp_path / "m", "--case", "C_1-2", "--json")).code == 2


def test_what_is_a_tile_with_target_is_a_setting(
    jido: Callable[..., Run], sheets: Sheets, asked: dict[str, Any], tmp_path: Path
):
    (tmp_path / "more.toml").write_text(TINY + "positive_share = 0.15\n")
    run = jido(*words(sheets, tmp_path / "m", config=[tmp_path / "more.toml"]))
    train = asked["split"].part == "train"
    counts = [int((asked["tiles"].shares()[train] > share).sum()) for share in (0.15, 0.001)]
    assert counts[0] < counts[1]
    assert f"Tiles: {train.sum()} training ({counts[0]} with target)" in run.err
    (tmp_path / "more.toml").write_text(TINY + "positive_share = 0.99\n")
    run = jido(*words(sheets, tmp_path / "n", config=[tmp_path / "more.toml"]))
    assert "has more than 99% of target" in run.err


def table(path: Path, sheets: Sheets, column: str, cells: list[object]) -> str:
    rows = [f"{image.stem},{cell}" for image, cell in zip(sheets.images, cells, strict=True)]
    path.write_text("\n".join([f"image,{column}", *rows]))
    return f"{path}:{column}"


def test_groups_stay_whole(jido: Callable[..., Run], sheets: Sheets, asked: dict[str, Any], tmp_path: Path):
    place = table(tmp_path / "sites.csv", sheets, "site", [i // 3 for i in range(COUNT)])
    run = jido(*words(sheets, tmp_path / "m", "--groups", place))
    split, tiles = asked["split"], asked["tiles"]
    assert split.kind == "by group (column site of sites.csv)"
    assert split.kind in run.err
    assert len(np.unique(tiles.group)) == COUNT // 3
    for group in np.unique(tiles.group):
        assert len(np.unique(split.part[tiles.group == group])) == 1
    assert set(split.part) == set(PARTS)


def test_a_given_split_is_kept(
    jido: Callable[..., Run], sheets: Sheets, asked: dict[str, Any], tmp_path: Path
):
    parts = [PARTS[i % 3] for i in range(COUNT)]
    place = table(tmp_path / "parts.csv", sheets, "part", parts)
    jido(*words(sheets, tmp_path / "m", "--split", place))
    split, tiles = asked["split"], asked["tiles"]
    said = {path.name: part for path, part in zip(sheets.images, parts, strict=True)}
    assert split.kind == "as given in parts.csv"
    assert [said[name] for name in tiles.source] == split.part.tolist()


@pytest.mark.usefixtures("undrawn")
def test_without_test_tiles_the_figures_are_said_to_be_those_of_validation(
    jido: Callable[..., Run], sheets: Sheets, tmp_path: Path
):
    place = table(tmp_path / "parts.csv", sheets, "part", [("train", "val")[i < 1] for i in range(COUNT)])
    run = jido(*words(sheets, tmp_path / "m", "--split", place))
    assert run.code == 0
    assert "Judged on the validation tiles that chose epoch and threshold, 1 group, " in run.out


# -- cut off -----------------------------------------------------------------------------------


def assert_undisturbed(run: Run, model: Path, trained: tuple[Path, Run]) -> None:
    """The same as of a training that nobody has cut off; nothing else is left beside it."""
    assert run.code == 0
    for name in ("metrics", "first_stage", "folds", "tiles"):
        assert run.json[name] == trained[1].json[name]
    assert history(model) == history(trained[0])
    assert facts_of(model)["sha256"] == facts_of(trained[0])["sha256"]
    assert sorted(path.name for path in model.parent.iterdir()) == [model.name, f"{model.name}.figures"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "epoch"), [("stage 1", 1), ("stage 2", 2)])
def test_the_same_command_goes_on_after_ctrl_c(
    jido: Callable[..., Run], sheets: Sheets, trained: tuple[Path, Run], tmp_path: Path, name: str, epoch: int
):
    store, stored = Stage.store, []

    def stop(self: Stage, *args: Any) -> None:
        store(self, *args)
        stored.append((self.name, self.learner.epoch))
        if stored[-1] == (name, epoch):
            os.kill(os.getpid(), signal.SIGINT)

    command = words(sheets, tmp_path / "m", "--json")
    whole = [(stage, done) for stage in ("stage 1", "stage 2") for done in (1, 2, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "store", stop)
        assert jido(*command).code == STOPPED
        assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
        assert stored == whole[: whole.index((name, epoch)) + 1]
        run = jido(*command)
    assert stored == whole  # no epoch twice
    assert [(row["run"], row["epoch"]) for row in history(tmp_path / "m")] == whole
    assert_undisturbed(run, tmp_path / "m", trained)


@pytest.mark.usefixtures("undrawn")
def test_a_process_that_is_stopped_leaves_what_it_has_done(
    jido: Callable[..., Run], sheets: Sheets, trained: tuple[Path, Run], tmp_path: Path
):
    command = words(sheets, tmp_path / "m", "--json")
    run = interrupted(command, tmp_path / ".m.run" / "stage1.pt")
    assert (run.code, list(run.json)) == (STOPPED, ["error"])
    assert "the same command goes on with it" in run.err
    assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
    assert_undisturbed(jido(*command), tmp_path / "m", trained)


@pytest.mark.usefixtures("undrawn")
def test_restart_leaves_what_was_done(
    jido: Callable[..., Run], sheets: Sheets, trained: tuple[Path, Run], tmp_path: Path
):
    command = words(sheets, tmp_path / "m", "--json")
    (tmp_path / ".m.run").mkdir()
    (tmp_path / ".m.run" / "stage1.pt").write_bytes(b"nothing")
    run = jido(*command)
    assert (run.code, "train with --restart" in run.json["error"]) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
    assert_undisturbed(jido(*command, "--restart"), tmp_path / "m", trained)


# -- refusals ----------------------------------------------------------------------------------


def image_cut_short(sheets: Sheets, folder: Path) -> Path:
    """The PNG with their seventh damaged."""
    folder.mkdir()
    for path in sheets.plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes()[: -2000 if path.stem == "sheet07" else None])
    return folder


def mask_of(sheets: Sheets, folder: Path, mask: np.ndarray) -> Path:
    """The masks with their seventh replaced."""
    folder.mkdir()
    for path in sheets.masks.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return write_png(folder / "sheet07.png", mask).parent


def test_neither_or_both_of_masks_and_polygons_are_refused(refused: Refused, sheets: Sheets, out: Path):
    for changed in ({"labels": None}, {"masks": [sheets.masks]}):
        refused(*words(sheets, out / "m", **changed), says=("either --masks or --labels",))


def test_masks_that_do_not_fit_are_refused(refused: Refused, sheets: Sheets, out: Path, tmp_path: Path):
    other = mask_of(sheets, tmp_path / "other", np.ones((1, SIZE, SIZE + 1)))
    said = ("sheet07.png has 65 x 64 pixels", "has 64 x 64", "--skip-bad")
    refused(*words(sheets, out / "m", **from_masks(sheets, masks=[other])), says=said)
    (tmp_path / "empty").mkdir()
    for path in sheets.masks.iterdir():
        write_png(tmp_path / "empty" / path.name, np.zeros((1, SIZE, SIZE)))
    empty = from_masks(sheets, masks=[tmp_path / "empty"])
    refused(*words(sheets, out / "m", **empty), says=("no target pixel", "--target"))


def test_a_tile_needs_more_than_a_trace_of_target(
    refused: Refused, sheets: Sheets, out: Path, tmp_path: Path
):
    left, top = sheets.truth.image.geobox.affine * (10, 10)
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(left, top - 0.4, left + 0.4, top)], crs="EPSG:5186")
    frame.to_file(tmp_path / "dot.gpkg")
    changed = {"images": [sheets.new], "labels": [tmp_path / "dot.gpkg"]}
    refused(*words(sheets, out / "m", **changed), says=("None of the 15 tiles has more than 0.1%",))


def test_a_damaged_image_is_named_or_left_out(
    refused: Refused,
    jido: Callable[..., Run],
    sheets: Sheets,
    asked: dict[str, Any],
    out: Path,
    tmp_path: Path,
):
    damaged = from_masks(sheets, images=[image_cut_short(sheets, tmp_path / "damaged")])
    refused(*words(sheets, out / "m", **damaged), says=("sheet07.png", "--skip-bad"))
    run = jido(*words(sheets, tmp_path / "m", "--skip-bad", **damaged))
    [line] = [line for line in run.err.splitlines() if line.startswith("Left out: ")]
    assert "sheet07.png" in line
    assert set(asked["tiles"].source) == {path.name for path in sheets.plain.iterdir()} - {"sheet07.png"}


def test_polygons_elsewhere_are_refused(refused: Refused, sheets: Sheets, out: Path):
    changed = {"images": [sheets.new]}
    refused(*words(sheets, out / "m", **changed), says=("polygons lies on an image", "new.tif"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("wide = 3", ("wide", "known are", "width")),
        ("onset = 3", ("from epoch 3 on",)),
        ("depth = 6", ("Tiles of 32 pixels", "6 halvings", "multiple of 64")),
        ("loss = 'mse'", ("no loss 'mse'", "bce")),
        ("net = 'patch'", ("net 'patch' cannot be built",)),
        ("out_of_fold = 30", ("30 folds", "groups")),
    ],
)
def test_settings_that_cannot_be_are_refused(
    refused: Refused, sheets: Sheets, out: Path, tmp_path: Path, setting: str, says: tuple[str, ...]
):
    name = setting.split(maxsplit=1)[0]
    kept = [line for line in TINY.splitlines() if not line.startswith(name)]
    (tmp_path / "wrong.toml").write_text("\n".join([*kept, setting]))
    refused(*words(sheets, out / "m", config=[tmp_path / "wrong.toml"]), says=says)


def test_tiles_that_the_net_cannot_take_are_refused(here: Trained, tmp_path: Path):
    config = here.result.first.stage.config.model_copy(update={"depth": 6})
    with pytest.raises(ModelError, match="Tiles of 32 pixels do not suit 6 halvings: give a multiple of 64"):
        train_segmentation(here.tiles, split_tiles(here.tiles), config=config, work=tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--recall", 0), ("recall", "greater than 0")),
        (("--recall", 1.5), ("recall", "less than or equal to 1")),
        (("--tile", 36), ("36 pixels", "multiple of 8")),
        (("--groups", "nowhere.csv:site"), ("nowhere.csv", "does not exist")),
        (("--stages", 3), ("--stages",)),
    ],
)
def test_options_that_cannot_be_are_refused(
    refused: Refused, sheets: Sheets, out: Path, options: tuple[object, ...], says: tuple[str, ...]
):
    refused(*words(sheets, out / "new" / "m", *options), says=says)


def test_a_split_of_other_words_is_refused(refused: Refused, sheets: Sheets, out: Path, tmp_path: Path):
    place = table(tmp_path / "parts.csv", sheets, "part", ["train"] * (COUNT - 1) + ["holdout"])
    refused(
        *words(sheets, out / "m", "--split", place), says=("parts.csv", "'holdout'", "train, val or test")
    )


def test_places_that_hold_other_things_are_refused(refused: Refused, sheets: Sheets, out: Path):
    refused(*words(sheets, out), says=(out, "kept.txt"))
    refused(*words(sheets, out / "m", "--figures", out / "kept.txt"), says=("kept.txt", "--figures"))
    for figures in (out / "m", out / "m" / "figures"):
        refused(*words(sheets, out / "m", "--figures", figures), says=("would replace each other",))
    (out / "history.csv").write_text("run,stage,epoch")  # figures, but not figures alone
    refused(*words(sheets, out / "m", "--figures", out), says=(out, "would replace each other"))
    refused(*words(sheets, out.parent / "m", "--figures", out), says=(out, "kept.txt"))


def test_figures_among_the_images_are_refused(refused: Refused, sheets: Sheets, out: Path):
    for changed in (from_masks(sheets, images=[sheets.plain, out]), from_masks(sheets, masks=[out])):
        said = ("m.figures would be taken for images of", out, "with -o, or with --figures")
        refused(*words(sheets, out / "deep" / "m", **changed), says=said)


def test_what_was_begun_is_kept_when_the_next_command_is_refused(
    jido: Callable[..., Run], sheets: Sheets, tmp_path: Path
):
    begun = tmp_path / ".m.run" / "stage1.pt"
    begun.parent.mkdir()
    begun.write_bytes(b"hours")
    assert jido(*words(sheets, tmp_path / "m", images=[sheets.new])).code == 2
    assert begun.read_bytes() == b"hours"


def test_two_trainings_into_one_place_are_refused(jido: Callable[..., Run], sheets: Sheets, tmp_path: Path):
    with working_folder(tmp_path / "m") as work:
        (work / "stage1.pt").write_bytes(b"hours")
        run = jido(*words(sheets, tmp_path / "m", "--restart", "--json"))
        assert (run.code, "Another process is writing" in run.json["error"]) == (2, True)
        assert (work / "stage1.pt").read_bytes() == b"hours"
    assert not list(tmp_path.iterdir())


def test_without_torch_one_line_says_what_to_install(sheets: Sheets, tmp_path: Path):
    program = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'lightning_fabric'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "from jido.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, *map(str, words(sheets, tmp_path / "m"))]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == 'Error: Neural networks need torch: pip install "jido[deep]".\n'
    assert not list(tmp_path.iterdir())


# -- figures -----------------------------------------------------------------------------------


def test_the_figures_are_there(trained: tuple[Path, Run]):
    model, run = trained
    folder = Path(run.json["figures"])
    assert folder == model.with_name("model.figures")
    assert {path.name for path in folder.iterdir()} == FILES
    for name in (*CURVES, *PICTURES):
        with rasterio.open(folder / f"{name}.png") as source:
            picture = source.read()
        assert min(picture.shape[1:]) > 100
        assert len(np.unique(picture)) > 5  # more than an empty page
    rows = read_history(folder / "history.csv")
    assert [(row["stage"], row["epoch"]) for row in rows] == [(s, e) for s in (1, 2) for e in (1, 2, 3)]
    assert [row["cfdr"] is None for row in rows] == [True, False, False, True, True, True]
    assert 0 < rows[1]["cfdr"] <= rows[2]["cfdr"] == run.json["first_stage"]["cfdr"]
    for row in rows:
        assert row["loss"] > 0
        assert 0 <= row["train_iou"] <= 1
    assert "| stage 2 |" in (folder / "table2.md").read_text()


def test_a_leaking_split_is_recorded_and_claims_no_interval(here: Trained, tmp_path: Path):
    config = here.result.first.stage.config.model_copy(update={"stages": 1, "until": 2, "epochs": 1})
    split = replace(split_tiles(here.tiles), leaks=True)
    found = train_segmentation(here.tiles, split, config=config, work=tmp_path).model.evaluation
    assert found["folds"]["leaks"] is True
    assert {figure["lower"] for figure in found["metrics"].values()} == {None}


@pytest.mark.usefixtures("undrawn")
def test_false_alarms_are_looked_for_on_all_judged_tiles(
    here: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second, which = here.result.first, here.result.second, here.result.judged
    before, after = (one.stage.scores(which) >= one.threshold for one in (first, second))
    expected = false_pieces(here.tiles.mask(which), before, after)
    drawn: list[Any] = []
    monkeypatch.setattr("jido.methods.figures.CHOICE", 1)
    monkeypatch.setattr("jido.methods.figures.pieces.AT_ONCE", 16)
    monkeypatch.setattr("jido.methods.figures.false_positives_picture", lambda *given: drawn.extend(given))
    write_figures(here.result, here.tiles, tmp_path / "figures")
    assert np.array_equal(drawn[1], which)
    assert [(piece.tile, piece.pixels) for piece in drawn[3]] == [(p.tile, p.pixels) for p in expected]
    assert expected


@pytest.mark.usefixtures("undrawn")
def test_older_figures_are_replaced_and_other_files_never(here: Trained, tmp_path: Path):
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "history.csv").write_text("old")
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(Exception, match=r"mine\.txt"):
        write_figures(here.result, here.tiles, folder)
    assert (folder / "history.csv").read_text() == "old"
    (folder / "mine.txt").unlink()
    write_figures(here.result, here.tiles, folder)
    assert len(read_history(folder / "history.csv")) == len(here.result.rows)


# -- real images -------------------------------------------------------------------------------


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"{name} is not at ../shared/data")


@needs("courts")
@pytest.mark.usefixtures("undrawn")
def test_courts(jido: Callable[..., Run], tmp_path: Path):
    courts = SHARED / "courts"
    (tmp_path / "small.toml").write_text(
        TINY.replace("until = 3", "until = 2").replace("epochs = 3", "epochs = 1")
    )
    told = {"images": "images", "masks": "masks"}
    files = [word for name in told for word in (f"--{name}", *(courts / part / name for part in PARTS))]
    tables = ("--groups", f"{courts}/tiles.csv:source_image", "--split", f"{courts}/tiles.csv:split")
    sizes = ("--stages", 1, "--preset", "smoke", "--tile", 256, "--config", tmp_path / "small.toml")
    run = jido("segment", "train", *files, *tables, *sizes, "-o", tmp_path / "m", "--json")
    assert run.code == 0
    assert run.json["tiles"] == {"train": 430, "val": 158, "test": 154}
    assert "Tiles: 430 training (251 with target), 158 validation" in run.err
    assert run.json["folds"]["kind"] == "as given in tiles.csv"
    assert [row["epoch"] for row in history(tmp_path / "m")] == [1, 2, 3]
    assert 0 < run.json["metrics"]["pr_auc"]["lower"] <= run.json["metrics"]["pr_auc"]["value"] < 1


@needs("buildings_uganda")
@pytest.mark.usefixtures("undrawn")
def test_buildings_from_one_site_to_another(jido: Callable[..., Run], sheets: Sheets, tmp_path: Path):
    uganda = SHARED / "buildings_uganda"
    site_a, site_b = (uganda / f"{site}_images.tif" for site in ("siteA_suburb", "siteB_dense"))
    command = ("segment", "train", "--images", site_a, "--labels", uganda / "labels.geojson")
    sizes = ("--preset", "smoke", "--tile", 256, "--config", sheets.config, "--name", "building")
    run = jido(*command, *sizes, "-o", tmp_path / "m", "--json")
    assert run.code == 0
    assert "98 of 206 polygons lie outside all images" in run.err
    assert run.json["folds"]["kind"] == "strips of one image with a gap of one tile"
    assert jido("map", tmp_path / "m", site_b, "-o", tmp_path / "map.tif", "--json").code == 0
    found = jido(
        "polygons", tmp_path / "map.tif", "-o", tmp_path / "found.gpkg", "--min-area", 5, "--json"
    ).json
    assert found["objects"] == len(geopandas.read_file(tmp_path / "found.gpkg"))
    by_polygons, by_mask = (
        jido("assess", tmp_path / "map.tif", "--reference", uganda / name, "--json").json
        for name in ("labels.geojson", "siteB_dense_masks.tif")
    )
    assert by_polygons["independent"] is True
    with (
        rasterio.open(tmp_path / "map.tif") as source,
        rasterio.open(uganda / "siteB_dense_masks.tif") as mask,
    ):
        expected = iou(source.read(1) == 2, mask.read(1) == 1)
    for judged in (by_polygons, by_mask):
        assert judged["metrics"]["iou"]["value"] == pytest.approx(expected, abs=1e-3)
