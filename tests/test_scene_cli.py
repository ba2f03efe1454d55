"""``jido scene train`` and what follows: the chain, its promises, splits, interruptions, refusals."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import Refused, Run, held, interrupted, said_by, strict_json
from PIL import Image

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.geo import Band  # noqa: E402
from jido.io import working_folder  # noqa: E402
from jido.labels import named_scheme  # noqa: E402
from jido.maps import page  # noqa: E402
from jido.methods import load_model  # noqa: E402
from jido.methods.figures import scene_page  # noqa: E402
from jido.methods.net import NetConfig, NetModel  # noqa: E402
from jido.methods.scene import SceneTraining  # noqa: E402
from jido.nets import build_net  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CLASSES, EACH, SIDE = ("lake", "roofs", "wood"), 20, 16
ROWS, COLS = 4, 5
PIXEL_M = 10
UTM = "EPSG:32633"
TINY = """
settings = {width = 8}
epochs = 6
batch = 8
shift = 1
average = 0.8
"""
METRICS = {"oa", "kappa", "f1_macro", "mcc"}
STOPPED = 128 + signal.SIGINT


class Pictures(NamedTuple):
    """Tiles of three classes and mosaics of others like them; nobody changes them."""

    png: Path
    tif: Path
    mosaic: Path
    plain: Path
    config: Path
    folder: Path


def picture(label: int, seed: int, *, bands: int = 3, dtype: str = "uint8", side: int = SIDE) -> np.ndarray:
    """Noise with nothing in it, with stripes across, or brighter in the first band, (bands, side, side)."""
    pixels = np.random.default_rng(seed).normal(90, 10, (bands, side, side))
    pixels[:, ::2] += 70 * (label == 1)
    pixels[0] += 100 * (label == 2)
    return np.clip(pixels, 1, 250).astype(dtype)


def packed(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """Bytes of an image of 1, 3 or 4 bands of 8 bits; 4 are the inks of a print."""
    modes, file = {1: "L", 3: "RGB", 4: "CMYK"}, io.BytesIO()
    shape, data = pixels.shape[:0:-1], np.ascontiguousarray(pixels.transpose(1, 2, 0)).tobytes()
    Image.frombytes(modes[len(pixels)], shape, data).save(file, form)
    return file.getvalue()


def write_tif(path: Path, pixels: np.ndarray, *, at: tuple[float, float] | None = None) -> Path:
    """A GeoTIFF, with a place where its upper left corner is given in metres."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    place = {"crs": UTM, "transform": Affine(PIXEL_M, 0, at[0], 0, -PIXEL_M, at[1])} if at else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as sink:
        sink.write(pixels)
        names = ("red", "green", "blue") if count == 3 else tuple(f"B{i + 1:02}" for i in range(count))
        sink.descriptions = names
    return path


def files_of(*, each: int = EACH, **options: Any) -> dict[str, bytes]:
    """Images in folders of their class: path -> bytes."""
    return {
        f"{name}/{name}_{i}.png": packed(picture(label, 100 * label + i, **options))
        for label, name in enumerate(CLASSES)
        for i in range(each)
    }


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets wait for each other on several threads, and more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    put(folder / "png", files_of())
    for label, name in enumerate(CLASSES):
        for i in range(EACH):
            n = label + 3 * i  # classes in turn along the rows of a grid, every third tile of it
            place = 500_000 + 3 * SIDE * PIXEL_M * (n % 10), 5_600_000 - 3 * SIDE * PIXEL_M * (n // 10)
            write_tif(folder / "tif" / name / f"{name}_{i}.tif", picture(label, 100 * label + i), at=place)
    tiles = [[picture(truth(r, c), 900 + COLS * r + c) for c in range(COLS)] for r in range(ROWS)]
    mosaic = np.concatenate([np.concatenate(row, axis=2) for row in tiles], axis=1)
    write_tif(folder / "mosaic.tif", mosaic, at=(600_000, 5_600_000))
    (folder / "mosaic.png").write_bytes(packed(mosaic))
    (folder / "tiny.toml").write_text(TINY)
    return Pictures(
        *(folder / name for name in ("png", "tif", "mosaic.tif", "mosaic.png", "tiny.toml")), folder
    )


def truth(row: int, col: int) -> int:
    """Class of a tile of the mosaics."""
    return (row + col) % 3


def words(
    pictures: Pictures, output: Path, *options: object, given: Path | None = None
) -> tuple[object, ...]:
    """The words of ``jido scene train``, of the PNG unless others are given."""
    return ("scene", "train", given or pictures.png, "-o", output, "--preset", "smoke",
            "--config", pictures.config, *options)  # fmt: skip


@pytest.fixture(scope="module")
def plain(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A model of images without a place, with its report, and what the command said."""
    model = tmp_path_factory.mktemp("plain") / "model"
    return model, said_by(*words(pictures, model, "--json"))


@pytest.fixture(scope="module")
def placed(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A model of GeoTIFFs split by place, and what the command said."""
    model = tmp_path_factory.mktemp("placed") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jido.methods.figures.scene_page.scene_report", lambda result: "")
        return model, said_by(*words(pictures, model, "--by-place", "--json", given=pictures.tif))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes longer than these trainings: only its tables are written."""
    monkeypatch.setattr("jido.methods.figures.scene_page.scene_report", lambda result: "")


def facts_of(model: Path) -> dict[str, Any]:
    return strict_json((model / "config.json").read_text())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def codes_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


# -- the chain ---------------------------------------------------------------------------------


def test_training_keeps_the_contract(plain: tuple[Path, Run]):
    model, run = plain
    assert run.code == 0
    assert set(run.json) >= {"model", "metrics", "folds", "seconds", "report"}
    assert run.json["model"] == str(model)
    assert set(run.json["metrics"]) == METRICS
    for figure in run.json["metrics"].values():
        assert set(figure) == {"value", "lower", "upper"}
    folds = run.json["folds"]
    assert set(folds) >= {"kind", "k", "leaks", "buffer_m", "touching"}
    assert (folds["k"], folds["leaks"], folds["touching"]) == (1, True, None)
    assert folds["kind"].startswith("random images")
    assert run.json["tiles"] == {"train": 42, "val": 9, "test": 9}
    assert run.json["judged_on"] == "test images"
    assert run.json["seconds"] > 0
    assert "This split LEAKS" in run.err  # standard output is for machines
    assert Path(run.json["report"]).is_file()
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "model.figures"]
    assert strict_json((model / "metrics.json").read_text())["metrics"] == run.json["metrics"]
    assert run.json["metrics"]["oa"]["value"] > 0.7


@pytest.mark.usefixtures("undrawn")
def test_people_are_told_what_the_figure_is_worth(
    jido: Callable[..., Run], pictures: Pictures, tmp_path: Path
):
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1))
    assert run.code == 0
    assert "Overall accuracy" in run.out
    assert "mean of 8 views" in run.out
    assert "Learned from 42 images, judged on 9 test images; split: random images (leaking" in run.out
    assert "This split LEAKS" in run.out
    for name in ("m", "m.figures/report.html"):
        assert str(tmp_path / name) in run.out
    assert run.err.count("Net compact: ") == 1
    quiet = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--quiet"))
    assert quiet.err == ""
    assert "Overall accuracy" in quiet.out


def test_the_package_says_the_same_elsewhere(jido: Callable[..., Run], plain: tuple[Path, Run]):
    assert jido("model", "verify", plain[0], "--json").code == 0
    assert "Classes (scene): lake, roofs, wood." in (plain[0] / "README.md").read_text()


def test_predictions_are_those_of_the_training(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    run = jido("scene", "predict", plain[0], pictures.png, "-o", tmp_path / "t.csv", "--json")
    rows = {row["image"]: row for row in rows_of(tmp_path / "t.csv")}
    assert run.json["images"] == len(rows) == EACH * 3
    assert list(run.json["classes"]) == list(CLASSES)
    judged = rows_of(plain[0].with_name("model.figures") / "predictions.csv")
    assert len(judged) == 9
    for row in judged:
        found = rows[row["image"]]
        assert found["class"] == row["class"]
        for name in CLASSES:  # both in bf16, in other batches
            assert float(found[f"p_{name}"]) == pytest.approx(float(row[f"p_{name}"]), abs=0.02)
    for_people = jido("scene", "predict", plain[0], pictures.png / "lake", "-o", tmp_path / "t.csv")
    assert "reading the images" in for_people.err
    assert sum(int(line.split()[1]) for line in for_people.out.splitlines()[2:-1]) == EACH


def test_the_map_of_a_mosaic_has_the_class_of_each_tile(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    assert jido("map", plain[0], pictures.plain, "-o", tmp_path / "m.tif", "--stride", SIDE).code == 0
    found = codes_of(tmp_path / "m.tif")
    assert found.shape == (ROWS, COLS)
    tiles = {
        f"{r}{c}.png": packed(picture(truth(r, c), 900 + COLS * r + c))
        for r in range(ROWS)
        for c in range(COLS)
    }
    table = tmp_path / "t.csv"
    jido("scene", "predict", plain[0], zipped(tmp_path / "tiles.zip", tiles), "-o", table)
    said = {row["image"]: CLASSES.index(row["class"]) + 1 for row in rows_of(table)}
    assert found.tolist() == [[said[f"{r}{c}.png"] for c in range(COLS)] for r in range(ROWS)]
    right = [[truth(r, c) + 1 for c in range(COLS)] for r in range(ROWS)]
    assert (found == right).mean() > 0.7


def test_strides_of_a_map(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    """Half an image unless another is given; the windows of two strides that coincide say the same."""
    half = SIDE // 2
    for name, options in {"a": (), "b": ("--stride", half), "c": ("--stride", 4)}.items():
        run = jido("map", plain[0], pictures.plain, "-o", tmp_path / f"{name}.tif", *options, "--json")
        assert run.code == 0
    maps = {name: codes_of(tmp_path / f"{name}.tif") for name in "abc"}
    assert maps["a"].shape == (ROWS * SIDE // half, COLS * SIDE // half)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert maps["c"].shape == (ROWS * SIDE // 4, COLS * SIDE // 4)
    facts = strict_json((tmp_path / "a.report.json").read_text())
    assert facts["grid"] == {"crs": None, "shape": [8, 10], "transform": [half, 0, 0, 0, half, 0]}
    assert {row["km2"] for row in facts["pixel_count_area"]} == {None}


@pytest.mark.usefixtures("undrawn")
def test_a_stride_of_the_training_is_that_of_its_maps(
    jido: Callable[..., Run], pictures: Pictures, refused: Refused, out: Path, tmp_path: Path
):
    assert jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--stride", 4)).code == 0
    assert facts_of(tmp_path / "m")["stride"] == 4
    said = ("16 x 16", "stride of 7", "even number up to 16")
    refused(*words(pictures, out / "m", "--stride", 7), says=said)
    refused(*words(pictures, out / "m", "--stride", 32), says=("stride of 32",))
    for stride in (7, 32):
        refused("map", tmp_path / "m", pictures.plain, "-o", out / "x.tif", "--stride", stride,
                says=(tmp_path / "m", f"stride of {stride}", "even number up to 16"))  # fmt: skip


def test_a_map_of_images_with_a_place_has_areas_and_says_what_it_rests_on(
    jido: Callable[..., Run], pictures: Pictures, placed: tuple[Path, Run], tmp_path: Path
):
    run = jido("map", placed[0], pictures.mosaic, "-o", tmp_path / "m.tif", "--stride", SIDE, "--json")
    assert run.code == 0
    found = codes_of(tmp_path / "m.tif")
    facts = strict_json((tmp_path / "m.report.json").read_text())
    cell_km2 = (SIDE * PIXEL_M / 1000) ** 2
    for code, row in enumerate(facts["pixel_count_area"], start=1):
        assert row["cells"] == np.count_nonzero(found == code)
        assert row["km2"] == pytest.approx(cell_km2 * row["cells"])
    assert sum(row["share"] for row in facts["pixel_count_area"]) == pytest.approx(1)
    edge = SIDE * PIXEL_M
    assert facts["grid"]["crs"] == UTM
    assert facts["grid"]["transform"] == [edge, 0, 600_000, 0, -edge, 5_600_000]
    text = (tmp_path / "m.report.html").read_text()
    judged, training = (placed[1].json["tiles"][part] for part in ("test", "train"))
    assert f"judged on {judged} test images: " in text
    assert f"Judged are {judged} test images; rows are the truth" in text
    assert "Accuracies are those of test images" in text
    assert f"{training} images for train" in text
    assert "by place: " in text
    assert "polygon" not in text
    assert "lake lake" not in text
    assert "leaks" not in text


def test_a_map_says_that_the_split_leaked_and_what_is_unsure(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    assert jido("map", plain[0], pictures.plain, "-o", tmp_path / "m.tif").code == 0
    text = (tmp_path / "m.report.html").read_text()
    assert "The split of the training leaks" in text
    assert "polygon" not in text
    assert "<h2>Unsure cells</h2>" in text
    assert "an aim, not a promise: the split leaks" in text


@pytest.mark.parametrize(
    ("share", "of_map", "of_training"),
    [
        (
            0.25,
            "where the confidence is below 0.80. Promised.",
            "Maps call answers below 0.80 unsure. Promised.",
        ),
        (1.0, "is 1 everywhere. Promised.", "Maps call all answers unsure. Promised."),
    ],
)
def test_what_is_unsure_is_the_same_on_both_pages(share: float, of_map: str, of_training: str):
    unsure = {"below": 0.8, "share": share, "aimed_error": 0.1, "trust": None, "promise": "Promised."}
    assert of_map in page._unsure(unsure, of_cells=False)
    assert of_training in scene_page._unsure(unsure)


def test_onnx_says_the_same(jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path):
    pytest.importorskip("onnx", reason='jido[onnx] is not installed: pip install "jido[onnx]"')
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    run = jido("model", "export", plain[0], "-o", tmp_path / "m.onnx", "--json")
    assert run.code == 0
    assert "windows of 16 x 16" in run.json["input"]
    batch = np.stack([picture(label, 700 + label) for label in range(3)]).astype(np.float32)
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"image": batch})
    said = load_model(plain[0]).at_stride(SIDE).predict(batch)[:, :, 0, 0]
    np.testing.assert_allclose(found, said, atol=0.02)  # ONNX is float32, the package bf16
    assert found.argmax(1).tolist() == said.argmax(1).tolist()


@pytest.mark.usefixtures("undrawn")
def test_views_are_the_mean_over_turned_images(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    run = jido(*words(pictures, tmp_path / "m", "--views", "--json"))
    assert run.code == 0
    assert facts_of(tmp_path / "m")["config"]["views"] is True
    assert run.json["metrics"] == run.json["eight_views"] == plain[1].json["eight_views"]
    lying, standing = tmp_path / "lying", tmp_path / "standing"
    for folder, turn in ((lying, 0), (standing, 1)):
        tiles = (np.rot90(picture(label, 800 + label), turn, (1, 2)) for label in range(3))
        put(folder, {f"{i}.png": packed(tile) for i, tile in enumerate(tiles)})
        jido("scene", "predict", tmp_path / "m", folder, "-o", folder / "t.csv")
    for one, other in zip(rows_of(lying / "t.csv"), rows_of(standing / "t.csv"), strict=True):
        for name in CLASSES:
            assert float(one[f"p_{name}"]) == pytest.approx(float(other[f"p_{name}"]), abs=0.005)


# -- splits ------------------------------------------------------------------------------------


def table(path: Path, rows: list[list[object]]) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    return path


def names(pictures: Pictures) -> list[str]:
    return sorted(path.relative_to(pictures.png).as_posix() for path in pictures.png.rglob("*.png"))


def places_of(pictures: Pictures, *, step: float = 0.01) -> list[tuple[float, float]]:
    """Latitude and longitude of each image, about 1.1 km and 0.7 km from one to the next."""
    return [(50 + step * (i // 10), 15 + step * (i % 10)) for i in range(len(names(pictures)))]


def split_table(pictures: Pictures, path: Path, parts: list[str]) -> Path:
    cells = zip(names(pictures), places_of(pictures), parts, strict=True)
    return table(
        path, [["image", "lat", "lon", "part"], *([name, *place, part] for name, place, part in cells)]
    )


@pytest.mark.usefixtures("undrawn")
def test_a_table_says_parts_and_places_and_so_what_touches(
    jido: Callable[..., Run], pictures: Pictures, tmp_path: Path
):
    parts = [("train", "val", "train", "test", "train")[i % 5] for i in range(EACH * 3)]
    path = split_table(pictures, tmp_path / "index.csv", parts)
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--split", f"{path}:part", "--json"))
    assert run.code == 0
    assert run.json["tiles"] == {"train": 36, "val": 12, "test": 12}
    assert (run.json["folds"]["leaks"], run.json["folds"]["touching"]) == (True, 1.0)
    assert "as given in index.csv, column part (leaking: 100% of the test images" in run.json["folds"]["kind"]
    assert "This split LEAKS" in run.err
    jido("scene", "predict", tmp_path / "m", pictures.png, "-o", tmp_path / "t.csv")
    found = {row["image"]: row["unsure"] == "1" for row in rows_of(tmp_path / "t.csv")}
    unsure = [found[name] for name, part in zip(names(pictures), parts, strict=True) if part == "val"]
    said = strict_json((tmp_path / "m" / "metrics.json").read_text())["unsure"]["share"]
    assert said == pytest.approx(np.mean(unsure), abs=0.1)  # that at the threshold may fall on either side


@pytest.mark.usefixtures("undrawn")
def test_a_table_whose_parts_lie_apart_does_not_leak(
    jido: Callable[..., Run], pictures: Pictures, tmp_path: Path
):
    """Columns of the grid: the west, a gap of two, one to validate, a gap of two, the east."""
    parts = [("train", "train", "train", "", "", "val", "", "", "test", "test")[i % 10] for i in range(60)]
    path = split_table(pictures, tmp_path / "index.csv", parts)
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--split", f"{path}:part", "--json"))
    assert run.code == 0
    assert run.json["tiles"] == {"train": 18, "val": 6, "test": 12}
    assert run.json["folds"] == {
        "kind": "as given in index.csv, column part", "k": 1, "leaks": False, "buffer_m": 0.0, "touching": 0.0
    }  # fmt: skip
    assert "LEAKS" not in run.err
    assert "LEAKS" not in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.usefixtures("undrawn")
def test_without_test_images_the_figures_are_said_to_be_those_of_validation(
    jido: Callable[..., Run], pictures: Pictures, tmp_path: Path
):
    path = split_table(pictures, tmp_path / "index.csv", [("train", "val")[i % 2] for i in range(60)])
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--split", f"{path}:part"))
    assert run.code == 0
    assert "judged on 30 validation images that chose the epoch; split: as given" in run.out
    assert "100% of the validation images touch a training image" in run.out


@pytest.mark.usefixtures("undrawn")
def test_by_place_with_a_table_of_places(jido: Callable[..., Run], pictures: Pictures, tmp_path: Path):
    cells = zip(names(pictures), places_of(pictures, step=0.1), strict=True)
    path = table(
        tmp_path / "places.csv",
        [["tile", "Latitude", "Longitude"], *([name, *place] for name, place in cells)],
    )
    options = ("--by-place", "--places", path, "--ground", 640, "--epochs", 1, "--json")
    run = jido(*words(pictures, tmp_path / "m", *options))
    assert run.code == 0
    folds = run.json["folds"]
    assert (folds["leaks"], folds["touching"]) == (False, 0.0)
    assert folds["buffer_m"] == pytest.approx(640 * np.sqrt(2))
    assert re.fullmatch(r"by place: \d+ squares of [\d,]+ k?m with a gap of 905 m", folds["kind"])
    assert "LEAKS" not in run.err
    rows = rows_of(tmp_path / "m.figures" / "predictions.csv")
    assert len(rows) == run.json["tiles"]["test"] > 0


def test_geotiffs_bring_their_places(placed: tuple[Path, Run]):
    run = placed[1]
    assert run.code == 0
    assert (run.json["folds"]["leaks"], run.json["folds"]["touching"]) == (False, 0.0)
    assert run.json["folds"]["buffer_m"] == pytest.approx(SIDE * PIXEL_M * np.sqrt(2), rel=1e-3)
    assert facts_of(placed[0])["pixel_m"] == pytest.approx([PIXEL_M, PIXEL_M], rel=1e-3)


# -- cut off -----------------------------------------------------------------------------------


def history(model: Path) -> list[dict[str, str]]:
    rows = rows_of(model.with_name(f"{model.name}.figures") / "history.csv")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_undisturbed(run: Run, model: Path, plain: tuple[Path, Run]) -> None:
    """The same weights as of a training that nobody has cut off; nothing else is left beside it."""
    assert run.code == 0
    for name in ("metrics", "eight_views", "folds", "tiles"):
        assert run.json[name] == plain[1].json[name]
    assert history(model) == history(plain[0])
    assert facts_of(model)["sha256"] == facts_of(plain[0])["sha256"]
    assert sorted(path.name for path in model.parent.iterdir()) == [model.name, f"{model.name}.figures"]


@pytest.mark.usefixtures("undrawn")
def test_the_same_command_goes_on_after_ctrl_c(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    look, looked = SceneTraining._look, []

    def stop(self: SceneTraining, loss: float) -> None:
        look(self, loss)
        looked.append(self.learner.epoch)
        if looked == [1, 2, 3]:  # the third is not stored yet
            os.kill(os.getpid(), signal.SIGINT)

    command = words(pictures, tmp_path / "m", "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jido.methods.scene.SAVING", float("inf"))
        patch.setattr(SceneTraining, "_look", stop)
        stopped = jido(*command)
        assert (stopped.code, list(stopped.json)) == (STOPPED, ["error"])
        assert "the same command goes on with it" in stopped.err
        assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
        run = jido(*command)
    assert looked == [1, 2, 3, 3, 4, 5, 6]
    assert_undisturbed(run, tmp_path / "m", plain)


@pytest.mark.usefixtures("undrawn")
def test_a_process_that_is_stopped_leaves_what_it_has_done(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    command = words(pictures, tmp_path / "m", "--json")
    often = "import jido.methods.scene as s; s.SAVING = 1e9"
    run = interrupted(command, tmp_path / ".m.run" / "scene.pt", first=often)
    assert (run.code, list(run.json)) == (STOPPED, ["error"])
    assert "the same command goes on with it" in run.err
    assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
    assert_undisturbed(jido(*command), tmp_path / "m", plain)


@pytest.mark.usefixtures("undrawn")
def test_restart_leaves_what_was_done(
    jido: Callable[..., Run], pictures: Pictures, plain: tuple[Path, Run], tmp_path: Path
):
    command = words(pictures, tmp_path / "m", "--json")
    (tmp_path / ".m.run").mkdir()
    (tmp_path / ".m.run" / "scene.pt").write_bytes(b"nothing")
    run = jido(*command)
    assert (run.code, "begin again with --restart" in run.json["error"]) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [".m.run"]
    assert_undisturbed(jido(*command, "--restart"), tmp_path / "m", plain)


def test_two_trainings_at_one_place_are_refused(jido: Callable[..., Run], pictures: Pictures, tmp_path: Path):
    with working_folder(tmp_path / "m"):
        run = jido(*words(pictures, tmp_path / "m", "--json"))
        assert (run.code, "Another process is writing" in run.json["error"]) == (2, True)
        assert "wait for it or choose another name" in run.json["error"]
    assert list(tmp_path.iterdir()) == []


# -- images that are refused -------------------------------------------------------------------


def odd(index: int, data: bytes, *, each: int = 8, **options: Any) -> dict[str, bytes]:
    """Images with one of them replaced."""
    files = files_of(each=each, **options)
    files[list(files)[index]] = data
    return files


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_jpeg_of_a_zip_is_named_or_left_out(
    refused: Refused,
    jido: Callable[..., Run],
    pictures: Pictures,
    plain: tuple[Path, Run],
    out: Path,
    tmp_path: Path,
):
    files = {
        f"{name}/{i}.jpg": packed(picture(label, 10 * label + i), "JPEG")
        for label, name in enumerate(CLASSES)
        for i in range(8)
    }
    files["roofs/3.jpg"] = cut(files["roofs/3.jpg"])
    archive = zipped(tmp_path / "tiles.zip", files)
    named = ("roofs/3.jpg (member 12 of", archive, "get it again", "--skip-bad")
    refused(*words(pictures, out / "m", given=archive), says=named)
    refused("scene", "predict", plain[0], archive, "-o", out / "t.csv", says=named)
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--skip-bad", "--json", given=archive))
    assert run.code == 0
    [line] = [line for line in run.err.splitlines() if line.startswith("Left out: ")]
    assert "roofs/3.jpg (member 12 of" in line
    assert sum(run.json["tiles"].values()) == 23
    run = jido("scene", "predict", plain[0], archive, "-o", tmp_path / "t.csv", "--skip-bad", "--json")
    assert run.json["images"] == 23
    assert "Left out: roofs/3.jpg (member 12 of" in run.err
    assert "roofs/3.jpg" not in (tmp_path / "t.csv").read_text()


def test_a_table_of_no_image_is_not_written(
    refused: Refused, plain: tuple[Path, Run], out: Path, tmp_path: Path
):
    archive = zipped(tmp_path / "t.zip", {"a.png": cut(packed(picture(0, 0)))})
    refused("scene", "predict", plain[0], archive, "-o", out / "t.csv", "--skip-bad",
            says=("No image is left", "a.png (member 1 of"))  # fmt: skip


@pytest.mark.parametrize("name", ["../../lake/1.png", "/lake/1.png", "C:\\lake\\1.png"])
def test_an_archive_that_leads_out_of_itself_is_refused(
    refused: Refused, pictures: Pictures, plain: tuple[Path, Run], out: Path, tmp_path: Path, name: str
):
    archive = zipped(tmp_path / "bad.zip", {**files_of(each=4), name: packed(picture(0, 0))})
    says = (archive, "outside of its folder", "do not trust it")
    refused(*words(pictures, out / "m", given=archive), says=says)
    refused("scene", "predict", plain[0], archive, "-o", out / "t.csv", says=says)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (packed(picture(0, 0)[:1]), ("1 band of 16 x 16", "most have 3 bands", "images of one kind")),
        (packed(picture(0, 0, bands=4), "JPEG"), ("inks of a print (CMYK)", "save it with red")),
        (packed(picture(0, 0, side=20)), ("20 x 20 pixels", "16 x 16 pixels", "images of one kind")),
    ],
)
def test_images_unlike_the_others_are_refused_or_left_out(
    refused: Refused,
    jido: Callable[..., Run],
    pictures: Pictures,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    says: tuple[str, ...],
):
    folder = put(tmp_path / "tiles", odd(5, data))
    refused(*words(pictures, out / "m", given=folder), says=(folder / "lake/lake_5.png", "--skip-bad", *says))
    monkeypatch.setattr("jido.methods.figures.scene_page.scene_report", lambda result: "")
    run = jido(*words(pictures, tmp_path / "m", "--epochs", 1, "--skip-bad", "--json", given=folder))
    assert sum(run.json["tiles"].values()) == 23
    assert "Left out: " in run.err


def test_sixteen_bits_among_eight_are_refused(
    refused: Refused, pictures: Pictures, out: Path, tmp_path: Path
):
    for label, name in enumerate(CLASSES):
        for i in range(4):
            dtype = "uint16" if (name, i) == ("wood", 2) else "uint8"
            write_tif(tmp_path / "tiles" / name / f"{i}.tif", picture(label, i, dtype=dtype))
    says = (tmp_path / "tiles/wood/2.tif", "in uint16", "most have 3 bands of 16 x 16 pixels in uint8")
    refused(*words(pictures, out / "m", given=tmp_path / "tiles"), says=(*says, "images of one kind"))


def test_classes_that_cannot_be_learned_are_refused(
    refused: Refused, pictures: Pictures, out: Path, tmp_path: Path
):
    files = files_of(each=4)
    alone = put(tmp_path / "alone", {**files, "moon/1.png": packed(picture(0, 0))})
    refused(*words(pictures, out / "m", given=alone), says=("'moon' has 1 images but needs 3", "add images"))
    one = put(tmp_path / "one", {name: data for name, data in files.items() if name.startswith("lake")})
    for place in (one, one / "lake"):
        refused(*words(pictures, out / "m", given=place), says=("(lake)", "folders of 2 classes or more"))
    flat = zipped(tmp_path / "flat.zip", {f"{i}.png": data for i, data in enumerate(files.values())})
    says = ("0.png (member 1 of", flat, "no folder of a class", "put it into a folder")
    refused(*words(pictures, out / "m", given=flat), says=says)
    empty = tmp_path / "empty"
    empty.mkdir()
    for place in (empty, zipped(tmp_path / "empty.zip", {})):
        refused(*words(pictures, out / "m", given=place), says=(place, "holds no image", ".png"))
    refused(*words(pictures, out / "m", given=tmp_path / "nowhere"), says=("nowhere does not exist",))
    (tmp_path / "half.zip").write_bytes(cut(flat.read_bytes()))
    refused(*words(pictures, out / "m", given=tmp_path / "half.zip"), says=("half.zip", "get it again"))


# -- tables and options that are refused -------------------------------------------------------


def test_splits_that_do_not_fit_are_refused(refused: Refused, pictures: Pictures, out: Path, tmp_path: Path):
    parts = [("train", "train", "val", "test")[i % 4] for i in range(EACH * 3)]
    rows = [["image", "part"], *([n, p] for n, p in zip(names(pictures), parts, strict=True))]

    def said(rows: list[list[object]], *says: object) -> None:
        path = table(tmp_path / "index.csv", rows)
        refused(*words(pictures, out / "m", "--split", f"{path}:part"), says=(path.name, *says))

    said([*rows, ["lake/gone.png", "train"]], "uses lake/gone.png", "give them too")
    said([*rows, ["lake/lake_0.png", "test"]], "'test' and 'train' of lake/lake_0.png", "keep one row")
    said([*rows[:-1], [rows[-1][0], "later"]], "'later'", "train, val or test")
    said([["image", "other"], *rows[1:]], "no column 'part'", "image, other")
    said([["image", "part"], *([n, "train"] for n in names(pictures))], "left to validate", "name some val")
    everything_but = [[n, p if "lake" not in n else "val"] for n, p in rows[1:]]
    said([rows[0], *everything_but], "No image of lake is left to train on")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images must not be read before options are found wrong."""
    monkeypatch.setattr("jido.data.chip_reading.read_chips", lambda *args, **options: pytest.fail("read"))


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--split", "nowhere.csv:part"), ("nowhere.csv does not exist", "give a table")),
        (("--split", "nowhere.csv"), ("names no column", "FILE:COLUMN")),
        (("--places", "nowhere.csv"), ("nowhere.csv does not exist", "give a table")),
        (("--ground", 0), ("0 m is no length", "above 0")),
        (("--epochs", 0), ("--epochs",)),
        (("--stride", 0), ("--stride",)),
        (("--net", "resnet"), ("--net", "compact")),
        (("--figures", "KEPT"), ("kept.txt", "--figures")),
        (("--config", "nowhere.toml"), ("nowhere.toml", "give a TOML file")),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(
    refused: Refused, pictures: Pictures, out: Path, options: tuple[object, ...], says: tuple[str, ...]
):
    given = [out / "kept.txt" if word == "KEPT" else word for word in options]
    refused(*words(pictures, out / "new" / "m", *given), says=says)


@pytest.mark.usefixtures("unread")
def test_tables_and_settings_are_looked_at_before_the_images(
    refused: Refused, pictures: Pictures, out: Path, tmp_path: Path
):
    path = table(tmp_path / "index.csv", [["image", "part", "lat"], ["lake/lake_0.png", "train", 50]])
    refused(*words(pictures, out / "m", "--split", f"{path}:prat"), says=(path, "no column 'prat'", "part"))
    refused(*words(pictures, out / "m", "--places", path), says=(path, "no column 'lon'", "image, part, lat"))
    refused(
        *words(pictures, out / "m", "--split", f"{path}:part", "--by-place"),
        says=(path, "not both", "give one of the two"),
    )
    for text, says in {
        "wide = 3": ("wide", "known are", "epochs"),
        "epochs = 'many'": ("epochs", "integer"),
        "epochs = ": ("cannot be read", "give a TOML file"),
        "net = 'balanced'": ("'balanced'", "--net balanced"),
    }.items():
        (tmp_path / "wrong.toml").write_text(text)
        refused(
            *words(pictures, out / "m", "--config", tmp_path / "wrong.toml"),
            says=(tmp_path / "wrong.toml", *says),
        )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("settings = {widths = 8}", ("'compact'", "widths")),
        ("settings = {width = 0}", ("width 0", "give 1 or more")),
        ("settings = {width = -8}", ("width -8", "give 1 or more")),
        ("settings = {width = 8.5}", ("'compact'", "correct its settings")),
        ("settings = {stages = 3}", ("16 x 16 pixels are too small", "give 32 or more")),
        ("settings = {width = 8}\nshift = 40", ("cannot be moved by 40", "give less")),
        ("settings = {width = 8}\nlearning_rate = 1e9", ("no numbers any more", "lower learning_rate")),
        ("settings = {width = 8}\nclass_weights = {lake = -1}", ("class_weights", "greater than or equal")),
        ("settings = {width = 8}\nclass_weights = {moon = 2}", ("moon", "lake, roofs, wood")),
    ],
)
def test_settings_that_do_not_suit_net_or_classes_are_refused(
    refused: Refused, pictures: Pictures, out: Path, tmp_path: Path, settings: str, says: tuple[str, ...]
):
    (tmp_path / "wrong.toml").write_text(settings)
    refused(*words(pictures, out / "m", "--config", tmp_path / "wrong.toml"), says=says)


def test_by_place_needs_places(refused: Refused, pictures: Pictures, out: Path, tmp_path: Path):
    says = ("No image has a place", "--places")
    refused(*words(pictures, out / "m", "--by-place"), says=says)
    rows = [[name, *place] for name, place in zip(names(pictures), places_of(pictures), strict=True)]
    for row, says in (
        ([rows[0][0], "", ""], ("says nothing of lake/lake_0.png", "fill it in")),
        ([rows[0][0], 95, 15], ("lake/lake_0.png", "latitude 95", "WGS 84")),
        (["lake/gone.png", 50, 15], ("lacks lake/lake_0.png", "add a row")),
    ):
        path = table(tmp_path / "places.csv", [["image", "lat", "lon"], row, *rows[1:]])
        refused(*words(pictures, out / "m", "--by-place", "--places", path), says=(path, *says))


def test_places_that_hold_other_things_are_refused(
    refused: Refused, pictures: Pictures, plain: tuple[Path, Run], out: Path, tmp_path: Path
):
    refused(*words(pictures, out), says=(out, "kept.txt", "-o"))
    refused(*words(pictures, out / "m", "--figures", out), says=(out, "would replace each other"))
    refused(*words(pictures, tmp_path / "m", "--figures", out), says=(out, "kept.txt", "--figures"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    refused("scene", "predict", plain[0], pictures.png, "-o", out, says=(out, "is a folder", "-o"))
    tile = put(out, {"tile.png": packed(picture(0, 0))}) / "tile.png"
    refused("scene", "predict", plain[0], tile, "-o", tile, says=(tile, "is an input", "-o"))


# -- models that do not fit --------------------------------------------------------------------


@pytest.fixture(scope="module")
def spectral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 13 bands; nobody has trained it."""
    net = build_net("compact", in_channels=13, out_channels=3, width=8)
    settings = {"in_channels": 13, "out_channels": 3, "width": 8}
    config = NetConfig(net="compact", settings=settings, mean=(0,) * 13, sd=(1,) * 13, patch=SIDE, stride=8)
    bands = tuple(Band(f"B{i + 1:02}") for i in range(13))
    folder = tmp_path_factory.mktemp("spectral") / "m13"
    NetModel(net, config, bands, named_scheme("scene", CLASSES), None).save(folder)
    return folder


def test_a_model_of_13_bands_refuses_rgb(
    refused: Refused, pictures: Pictures, spectral: Path, out: Path, jido: Callable[..., Run], tmp_path: Path
):
    says = (spectral, "reads bands B01, B02", "B13", "red, green, blue")
    remedy = "like those of the training"
    refused("scene", "predict", spectral, pictures.png, "-o", out / "t.csv", says=(*says, remedy))
    refused("map", spectral, pictures.plain, "-o", out / "m.tif", says=(*says, "as in training"))
    tile = write_tif(tmp_path / "t.tif", picture(0, 0, bands=13))
    assert jido("scene", "predict", spectral, tile, "-o", tmp_path / "t.csv", "--json").json["images"] == 1


def test_images_that_the_model_was_not_made_for_are_refused(
    refused: Refused,
    pictures: Pictures,
    plain: tuple[Path, Run],
    placed: tuple[Path, Run],
    out: Path,
    tmp_path: Path,
):
    large = put(tmp_path / "large", {"a.png": packed(picture(0, 0, side=20))})
    says = (plain[0], "16 x 16 pixels", "20 x 20", "jido map")
    refused("scene", "predict", plain[0], large, "-o", out / "t.csv", says=says)
    coarse = write_tif(tmp_path / "coarse.tif", picture(0, 0), at=(500_000, 5_600_000))
    with rasterio.open(coarse, "r+") as sink:
        sink.transform = Affine(30, 0, 500_000, 0, -30, 5_600_000)
    for command, name in (("map",), "m.tif"), (("scene", "predict"), "t.csv"):
        refused(*command, placed[0], coarse, "-o", out / name, says=(placed[0], "10 x 10 m", "30 x 30 m"))
    counts = picture(1, 0, dtype="uint16") * 40
    other = write_tif(tmp_path / "counts.tif", counts.astype("uint16"), at=(500_000, 5_600_000))
    for command, name in (("map",), "m.tif"), (("scene", "predict"), "t.csv"):
        refused(*command, placed[0], other, "-o", out / name, says=(placed[0], "numbers", "as in training"))
    small = write_tif(tmp_path / "small.tif", picture(0, 0, side=6), at=(500_000, 5_600_000))
    refused("map", placed[0], small, "-o", out / "m.tif", says=(small, "smaller than one cell of 8 pixels"))


def test_models_that_are_no_scene_models_are_refused(
    refused: Refused, pictures: Pictures, model: Path, out: Path, tmp_path: Path
):
    net = build_net("unet", in_channels=3, out_channels=2, width=4, depth=1)
    settings = {"in_channels": 3, "out_channels": 2, "width": 4, "depth": 1}
    config = NetConfig(net="unet", settings=settings, mean=(0,) * 3, sd=(1,) * 3)
    bands = tuple(Band(name) for name in ("red", "green", "blue"))
    NetModel(net, config, bands, named_scheme("two", ("a", "b")), None).save(tmp_path / "unet")
    for no_scene in (model, tmp_path / "unet"):
        refused("scene", "predict", no_scene, pictures.png, "-o", out / "t.csv",
                says=(no_scene, "no scene model", "jido scene train"))  # fmt: skip
        refused("map", no_scene, pictures.plain, "-o", out / "m.tif", "--stride", 8,
                says=(no_scene, "stride"))  # fmt: skip
    refused("scene", "predict", pictures.png, pictures.png, "-o", out / "t.csv",
            says=(pictures.png, "no model package"))  # fmt: skip


def test_nothing_is_written_into_the_folders_of_the_images(
    pictures: Pictures, plain: tuple[Path, Run], placed: tuple[Path, Run]
):
    """Whatever was trained and mapped before: not even a file of statistics beside them."""
    suffixes = {Path(name).suffix for folder in (pictures.png, pictures.tif) for name in held(folder)}
    assert suffixes == {"", ".png", ".tif"}
    assert sorted(path.name for path in pictures.folder.iterdir()) == [
        "mosaic.png", "mosaic.tif", "png", "tif", "tiny.toml"
    ]  # fmt: skip
