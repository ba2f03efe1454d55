"""``jido indicator flood``: pairs that do not fit are refused; pictures without a place on Earth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from conftest import Refused, Run
from flood_files import BANDS, GRID, SIDE, Floods, changed, rows, whole
from odc.geo.geobox import GeoBox
from PIL import Image

from jido.geo import Band, Raster
from jido.io import write_image


@pytest.fixture
def package(flood_model: tuple[Path, Run]) -> Path:
    return flood_model[0]


# -- images that do not fit --------------------------------------------------------------------


@pytest.fixture
def refused_pair(refused: Refused, floods: Floods, package: Path, out: Path) -> Callable[..., None]:
    """A pair that must be refused; the new one where an image is not given."""

    def check(*options: object, says: tuple[str, ...], before: Path | None = None, after: Path | None = None):
        pair = (before or floods.new[0], after or floods.new[1])
        refused("indicator", "flood", *pair, "--model", package, "-o", out / "f", *options, says=says)

    return check


def test_another_grid_size_or_order_is_refused(
    refused_pair: Callable[..., None], floods: Floods, tmp_path: Path
):
    image = whole(floods.new[1])
    small = tmp_path / "after_2019-12-08.tif"
    write_image(Raster(image.data[:, :100], image.bands, image.geobox[:100]), small)
    refused_pair(after=small, says=("after_2019-12-08.tif lies on another grid than", "give --resample"))
    moved = GeoBox(image.geobox.shape, image.geobox.affine * Affine.translation(3, 0), image.geobox.crs)
    write_image(Raster(image.data, image.bands, moved), small)
    refused_pair(after=small, says=("lies on another grid than",))
    refused_pair(
        before=floods.new[1], after=floods.new[0],
        says=("is of 2019-12-08 and", "of 2019-10-28: give the image before the event first"),
    )  # fmt: skip
    refused_pair("--dates", "2020-05-01,2020-04-01", says=("is of 2020-05-01 and", "of 2020-04-01"))
    swapped = [tmp_path / name for name in ("x_post.tif", "x_pre.tif")]
    for path in swapped:
        write_image(image, path)
    refused_pair(before=swapped[0], after=swapped[1], says=("their names say the opposite",))


def test_a_missing_band_and_pictures_are_refused(
    refused_pair: Callable[..., None], floods: Floods, tmp_path: Path
):
    image = whole(floods.new[1])
    path = changed(image.select(BANDS[:3]), tmp_path / "after.tif", image.data[:3])
    refused_pair(after=path, says=("The model reads bands B08@2 that are missing",))
    stretched = np.clip(np.rint(image.data / 0.3 * 254), 0, 254) + 1
    changed(image, path, stretched, unit="")
    refused_pair(after=path, says=("8-bit numbers",))
    refused_pair("--convert", after=path, says=("8-bit numbers", "--convert cannot mend this"))


def test_dn_are_refused_and_converted_on_request(
    refused_pair: Callable[..., None],
    floods: Floods,
    package: Path,
    flood_map: tuple[Path, Run],
    jido: Callable[..., Run],
    tmp_path: Path,
):
    pair = []
    for path in floods.new:
        image = whole(path)
        numbers = np.maximum(np.rint(image.data * 10_000), 1)
        pair.append(changed(image, tmp_path / path.name, numbers, unit="", dtype="uint16"))
    refused_pair(before=pair[0], after=pair[1], says=("reflectance x 10000",))
    words = ("--model", package, *GRID, "--convert", "-o", tmp_path / "f.csv", "--json")
    run = jido("indicator", "flood", *pair, *words)
    assert run.code == 0, run.err
    summary = flood_map[1].json["summary"]["flooded"]
    assert run.json["summary"]["flooded"]["value"] == pytest.approx(summary["value"], abs=0.01)


def test_nothing_seen_is_refused(refused_pair: Callable[..., None], floods: Floods, tmp_path: Path):
    image = whole(floods.new[1])
    clouds = Raster(np.ones((1, SIDE, SIDE), np.float32), (Band("clouds"),), image.geobox)
    write_image(clouds, tmp_path / "clouds.tif", dtype="uint8")
    refused_pair(
        "--clouds", tmp_path / "clouds.tif", says=("clouds.tif hides all of the images: give dates",)
    )
    paths = [changed(image, tmp_path / name, image.data * np.nan) for name in ("one.tif", "two.tif")]
    refused_pair(before=paths[0], after=paths[1], says=("one.tif",))


def test_other_models_and_bad_orders_are_refused(
    refused: Refused,
    refused_pair: Callable[..., None],
    model: Path,
    floods: Floods,
    out: Path,
    tmp_path: Path,
):
    words = ("indicator", "flood", *floods.new, "-o", out / "f")
    refused(*words, says=("Give --model to make a map and a table, or --labels to train a model: one",))
    refused(*words, "--model", model, says=("does not compare two dates: it reads", "classes apart"))
    refused_pair("--groups", f"{floods.events}:event", says=("--groups goes with --labels: leave it out",))
    refused_pair("--population", floods.new[0].parent / "none.tif", says=("none.tif does not exist",))
    frame = geopandas.read_file(floods.polygons).head(1).assign(id="far")
    frame.translate(xoff=40).to_frame("geometry").assign(id="far").to_file(tmp_path / "far.gpkg")
    refused_pair("--cells", tmp_path / "far.gpkg", says=("None of the cells lies on the image",))
    image = whole(floods.new[0])
    write_image(Raster(image.data[:1, :50], image.bands[:1], image.geobox[:50]), tmp_path / "built.tif")
    refused_pair("--buildings", tmp_path / "built.tif", says=("built.tif lies on another grid",))


def test_an_input_is_not_overwritten(refused: Refused, floods: Floods, package: Path, tmp_path: Path):
    path = tmp_path / "f.map.tif"
    path.write_bytes(floods.new[0].read_bytes())
    command = ("indicator", "flood", path, floods.new[1], "--model", package, "-o", tmp_path / "f")
    refused(*command, says=("is an input of this command: give another name with -o",))
    assert path.read_bytes() == floods.new[0].read_bytes()


# -- images without a place on Earth -----------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(floods: Floods, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs as 8-bit pictures, with masks of 0 and 255."""
    folder = tmp_path_factory.mktemp("pictures")
    for part in (floods.before, floods.after):
        (folder / part.name).mkdir()
        for path in part.iterdir():
            planes = np.clip(np.rint(whole(path).data[1:] / 0.4 * 255), 0, 255).astype(np.uint8)
            Image.fromarray(planes.transpose(1, 2, 0)).save(
                folder / part.name / f"{path.stem}.webp", lossless=True
            )
    (folder / "mask").mkdir()
    for path in floods.masks.glob("*.tif"):
        plane = np.where(whole(path).data[0] == 2, 255, 0).astype(np.uint8)
        Image.fromarray(plane).save(folder / "mask" / f"{path.stem}.png")
    (folder / "events.csv").write_text(floods.events.read_text().replace(".tif", ".webp"))
    return folder


def test_pictures_have_cells_of_pixels(
    pictures: Path, floods: Floods, jido: Callable[..., Run], refused: Refused, out: Path
):
    parts = [pictures / name for name in ("before", "after")]
    words = ("--labels", pictures / "mask", "--preset", "smoke", "--tile", 64, "--config", floods.config)
    run = jido(
        "indicator", "flood", *parts, *words, "--groups", f"{pictures / 'events.csv'}:event",
        "--pixels", 32, "-o", pictures / "pkg", "-q",
    )  # fmt: skip
    assert run.code == 0, run.err
    pair = [pictures / f"{when}/e0_{when}.webp" for when in ("before", "after")]
    command = ("indicator", "flood", *pair, "--model", pictures / "pkg")
    refused(*command, "--zoom", 14, "-o", out / "f", says=("The images have no place on Earth, so --zoom",))
    run = jido(*command, "-o", out / "f", "--json")
    assert run.code == 0, run.err
    assert run.json["table"] == str(out / "f.csv")
    assert (run.json["cells"], run.json["empty_cells"]) == (25, 0)  # 160 / 32 = 5 a side
    table = rows(out / "f.csv")
    assert list(table[0]) == ["row", "col", "value", "lower", "upper", "coverage", "n", "mapped"]
    assert all(0 <= row["lower"] <= row["value"] <= row["upper"] <= 1 for row in table)
    whole_image = run.json["summary"]["flooded"]
    assert 0 <= whole_image["lower"] < whole_image["value"] < whole_image["upper"] <= 1
    sheet = json.loads((out / "f.method.json").read_text())
    assert sheet["cells"] == "squares of 32 x 32 pixels"
    assert sheet["numbers"]["events"] == 4
    assert "NotGeoreferencedWarning" not in run.err
    assert Image.open(out / "f.change.png").width > 900


def test_an_index_refuses_pictures(pictures: Path, refused: Refused, out: Path):
    words = [pictures / name for name in ("before", "after")]
    refused(
        "indicator", "flood", *words, "--labels", pictures / "mask", "--method", "index", "--tile", 64,
        "--preset", "smoke", "-o", out / "pkg",
        says=("The images have 8-bit numbers, stretched for a screen: an index needs reflectance",),
    )  # fmt: skip
