"""``jido lcz train`` with nets and the maps they make: figures, folds, seeds, sensors that are missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from conftest import Refused, Run, said_by, strict_json
from lcz_cities import OPTICAL, Cities, changed, make_cities, power, pretrain, train

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data import simulate_city, windows  # noqa: E402
from jido.data.pool import Pool  # noqa: E402
from jido.io import Scene, load_tensors, read_image, read_labels, write_image, write_labels  # noqa: E402
from jido.labels import Labels  # noqa: E402
from jido.maps.report import statement  # noqa: E402
from jido.methods import lcz_net, load_model  # noqa: E402
from jido.methods.encoder_package import EncoderPackage  # noqa: E402
from jido.methods.lcz_net import LczNetConfig, train_lcz_net  # noqa: E402
from jido.methods.tune import Tuning  # noqa: E402

HONG_KONG = Path(__file__).parents[2] / "shared" / "data" / "lcz_hongkong"
FIGURES = {"oa", "kappa", "mcc", "f1_macro", "oa_w", "oa_u", "oa_bu"}
FILES = ["README.md", "config.json", "item.json", "metrics.json", "model.safetensors", "sample.npz",
         "training.gpkg"]  # fmt: skip
TINY = LczNetConfig(patch=16, steps=6, batch=16, encoder={"width": 4, "kernels": 2})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets wait for each other on several threads, and more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a map takes longer than these maps."""
    monkeypatch.setattr("jido.maps.engine.html_report", lambda *_: "")


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Cities:
    return make_cities(tmp_path_factory.mktemp("cities"))


@pytest.fixture(scope="module")
def encoder(cities: Cities, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of both sensors."""
    folder = tmp_path_factory.mktemp("encoder") / "enc"
    assert said_by(*pretrain(cities, folder)).code == 0
    return folder


@pytest.fixture(scope="module")
def cnn(cities: Cities, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A net from scratch, and what the command said."""
    folder = tmp_path_factory.mktemp("cnn") / "model"
    return folder, said_by(*train(cities, folder, "--method", "cnn", "--json"))


@pytest.fixture(scope="module")
def ssmmrl(cities: Cities, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A net that begins with the encoder, and what the command said."""
    folder = tmp_path_factory.mktemp("ssmmrl") / "model"
    words = train(cities, folder, "--method", "ssmmrl", "--encoder", encoder, "--json")
    return folder, said_by(*words)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, Path], np.ndarray]:
    """A net with enough steps for a city of 48 x 48 cells, its images, and the true classes."""
    folder = tmp_path_factory.mktemp("learned")
    city = simulate_city(0, cells=48)
    images = folder / "s1.tif", folder / "s2.tif"
    write_image(city.radar, images[0])
    write_image(city.optical.select(OPTICAL), images[1])
    config = LczNetConfig(patch=16, steps=40, batch=32, encoder={"width": 8, "kernels": 2})
    with Scene(images) as scene:
        train_lcz_net(scene, city.polygons(60, seed=0), config=config, folds=2).save(folder / "model")
    return folder / "model", images, city.lcz


def facts(folder: Path, name: str = "config.json") -> dict[str, Any]:
    return strict_json((folder / name).read_text())


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def planes(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


def later(image: Path, path: Path, *, seed: int = 0) -> Path:
    """The same place on another date."""
    pixels = read_image(image).data
    return changed(image, path, data=pixels * np.random.default_rng(seed).normal(1, 0.05, pixels.shape))


# -- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cnn", "ssmmrl"])
def test_training_keeps_the_contract(method: str, request: pytest.FixtureRequest):
    folder, run = request.getfixturevalue(method)
    assert run.code == 0
    assert set(run.json) == {"model", "metrics", "folds", "seconds"}
    assert run.json["model"] == str(folder)
    assert set(run.json["metrics"]) == FIGURES
    for figure in run.json["metrics"].values():
        assert set(figure) == {"value", "lower", "upper"}
    assert run.json["metrics"]["oa"]["lower"] is not None
    folds = run.json["folds"]
    assert (folds["kind"], folds["k"], folds["leaks"]) == ("polygons kept whole", 2, False)
    assert folds["buffer_m"] == pytest.approx(80 * 2**0.5)  # half the diagonal of a window
    assert sorted(path.name for path in folder.iterdir()) == FILES
    said = facts(folder, "metrics.json")
    assert said["metrics"] == run.json["metrics"]
    assert said["images"] == ["s1.tif", "s2.tif"]
    assert said["labels"]["given"] == 36
    assert said["labels"]["merged_groups"] > 0
    assert "groups touch another one of their class and are judged with it" in run.err
    assert (said["encoder"]["name"] if method == "ssmmrl" else said.get("encoder")) == (
        "enc" if method == "ssmmrl" else None
    )
    config = facts(folder)
    assert (config["method"], config["stride"], config["halo"]) == ("net", 10, 3)
    assert [band["name"] for band in config["bands"]] == ["VV", "VH", *OPTICAL]
    assert config["config"]["settings"]["sensors"] == "sentinel-1:2 sentinel-2:4"


def test_agreement_of_each_polygon_adds_up_to_the_accuracy(cnn: tuple[Path, Run]):
    said = facts(cnn[0], "metrics.json")
    rows = said["polygons"]
    assert sorted(row["item"] for row in rows) == list(range(36))
    assert {row["fold"] for row in rows} == {0, 1}
    assert all(a["agreement"] <= b["agreement"] for a, b in pairwise(rows))
    right, cells = (sum(row["agreement"] ** i * row["cells"] for row in rows) for i in (1, 0))
    assert right / cells == pytest.approx(said["metrics"]["oa"]["value"], abs=1e-3)


def test_no_polygon_is_judged_by_a_net_that_knows_it(cities: Cities, monkeypatch: pytest.MonkeyPatch):
    """Halves of a polygon that somebody has cut are of one group, too."""
    labels = read_labels(cities.polygons)
    left, low, right, high = shapely.total_bounds(labels.geometry[0])
    west = shapely.intersection(labels.geometry[0], shapely.box(left, low, (left + right) / 2, high))
    east = shapely.difference(labels.geometry[0], west)
    halves = replace(
        labels,
        geometry=np.array([west, east, *labels.geometry[1:]], dtype=object),
        codes=np.concatenate([labels.codes[:1], labels.codes]),
        groups=np.array(["west", "east", *labels.groups[1:].astype(str)]),
    )
    prepared, nets, told = [], [], []
    prepare, probabilities = lcz_net.prepare, Tuning.probabilities
    monkeypatch.setattr(lcz_net, "prepare", lambda *a, **k: prepared.append(prepare(*a, **k)) or prepared[0])
    monkeypatch.setattr(
        Tuning, "probabilities", lambda net, which: nets.append((net, which)) or probabilities(net, which)
    )
    with Scene(cities.images) as scene:
        config = TINY.model_copy(update={"steps": 1})
        model = train_lcz_net(scene, halves, config=config, folds=2, progress=lambda *a: told.append(a))
    assert told[-3:] == [("judging on folds", i, 3) for i in (1, 2, 3)]  # the last one is for the map
    seen = prepared[0].windows
    assert len(set(seen.group[seen.item < 2])) == 1
    assert model.evaluation["labels"]["merged_groups"] == 37 - len(np.unique(seen.group))
    assert sorted(np.concatenate([which for _, which in nets])) == list(range(len(seen)))
    for net, which in nets:
        assert not set(seen.group[net.train]) & set(seen.group[which])
        apart = np.linalg.norm(seen.xy[net.train][:, None] - seen.xy[which], axis=2)
        assert apart.min() >= 80 * 2**0.5  # no window shows the middle of a held-out cell


def test_a_net_sees_what_it_is_given_and_no_more_of_a_polygon_than_the_cap(
    cities: Cities, monkeypatch: pytest.MonkeyPatch
):
    with Scene(cities.images) as scene:
        ready = lcz_net.prepare(scene, read_labels(cities.polygons), TINY)
    ready = replace(ready, config=TINY.model_copy(update={"max_cells_per_polygon": 3, "steps": 1}))
    keep, read, patches = np.arange(0, len(ready.windows), 2), [], Pool.patches
    monkeypatch.setattr(Pool, "patches", lambda pool, which: read.append(which) or patches(pool, which))
    drawn = ready.tuned(keep).train
    assert set(np.concatenate(read)) <= set(drawn) <= set(keep)
    held = np.bincount(ready.windows.item[keep], minlength=36)
    assert np.bincount(ready.windows.item[drawn], minlength=36).tolist() == np.minimum(held, 3).tolist()


def test_the_seed_decides(jido: Callable[..., Run], cities: Cities, cnn: tuple[Path, Run], tmp_path: Path):
    for name, seed in (("same", 0), ("other", 1)):
        run = jido(*train(cities, tmp_path / name, "--method", "cnn", "--seed", seed, "--json"))
        assert (weights(tmp_path / name) == weights(cnn[0])) == (name == "same")
        assert (run.json["metrics"] == cnn[1].json["metrics"]) == (name == "same")


def test_a_frozen_encoder_keeps_its_weights_whatever_sensors_there_are(
    jido: Callable[..., Run], cities: Cities, encoder: Path, ssmmrl: tuple[Path, Run], tmp_path: Path
):
    (tmp_path / "frozen.toml").write_text("steps = 4\nbatch = 16\nencoder_rate = 0\n")
    words = ("--method", "ssmmrl", "--encoder", encoder, "--config", tmp_path / "frozen.toml", "--quiet")
    assert jido(*train(cities, tmp_path / "model", *words, images=[cities.s2])).code == 0
    begun = EncoderPackage.load(encoder).weights
    frozen, moved = load_tensors(tmp_path / "model"), load_tensors(ssmmrl[0])
    assert facts(tmp_path / "model")["config"]["settings"]["sensors"] == "sentinel-2:4"
    assert not [name for name in frozen if "sentinel-1" in name]
    for name, value in begun.items():  # among them what batch normalisations have seen
        assert not np.array_equal(moved[f"encoder.{name}"], value), name
        if "sentinel-1" not in name:
            assert np.array_equal(frozen[f"encoder.{name}"], value), name


def test_a_frozen_encoder_still_learns_a_head(cities: Cities, encoder: Path):
    config = TINY.model_copy(update={"encoder_rate": 0.0})
    with Scene(cities.images) as scene:
        labels = read_labels(cities.polygons)
        ready = lcz_net.prepare(scene, labels, config, encoder=EncoderPackage.load(encoder))
    head = ready.tuned(np.arange(len(ready.windows))).learner.judged.head
    fresh = replace(ready, config=config.model_copy(update={"learning_rate": 1e-30}))
    assert not torch.equal(head.weight, fresh.tuned(np.arange(len(ready.windows))).learner.judged.head.weight)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "cnn", "--leaky"), ("--leaky", "--method forest only", "leave it out")),
        (("--method", "ssmmrl", "--encoder", "ENCODER", "--leaky"), ("--leaky", "--method forest only")),
        (("--method", "ssmmrl"), ("needs --encoder PKG", "jido lcz pretrain", "--method cnn")),
        (("--method", "cnn", "--encoder", "ENCODER"), ("learns from scratch", "--method ssmmrl")),
        (("--encoder", "ENCODER"), ("A forest has no encoder", "--method ssmmrl")),
        (("--method", "svm"), ("--method", "forest")),
    ],
)
def test_options_that_do_not_suit_a_method_are_refused(
    refused: Refused,
    cities: Cities,
    encoder: Path,
    out: Path,
    options: tuple[object, ...],
    says: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("jido.io.Scene", lambda *a, **k: pytest.fail("read"))  # at once
    given = [encoder if word == "ENCODER" else word for word in options]
    refused(*train(cities, out / "model", *given), says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("setps = 3", ("setps", "known are steps")),
        ("encoder_rate = 2", ("encoder_rate", "less than or equal to 1")),
        ("patch = 15", ("15 pixels", "cell of 10 pixels", "an even patch of 10 pixels or more")),
        ("patch = 8", ("8 pixels", "an even patch of 10 pixels or more")),
        ("patch = 16\nencoder = {width = 4.5}", ("cannot be built", "correct its settings")),
        ("patch = 16\nsteps = 3\nlearning_rate = 1e20", ("no number any more", "lower learning_rate")),
        ("steps = ", ("cannot be read", "give a TOML file")),
    ],
)
def test_wrong_settings_are_refused(
    refused: Refused, cities: Cities, out: Path, tmp_path: Path, text: str, says: tuple[str, ...]
):
    (tmp_path / "wrong.toml").write_text(text)
    words = ("--method", "cnn", "--preset", "smoke")
    refused(*train(cities, out / "model", *words, config=tmp_path / "wrong.toml"), says=says)


def test_labels_and_images_that_do_not_meet_are_refused(
    refused: Refused, cities: Cities, out: Path, tmp_path: Path
):
    empty = changed(cities.s2, tmp_path / "empty.tif", data=np.full((4, 320, 320), np.nan))
    words = ("--method", "cnn")
    refused(*train(cities, out / "model", *words, images=[empty]), says=(empty, "no data under any label"))
    says = (cities.polygons, "No polygon lies inside the image", "the same place")
    refused(*train(cities, out / "model", *words, images=cities.others), says=says)
    beside = tmp_path / "beside.gpkg"
    with Scene(cities.images) as scene:
        left, top = scene.geobox.affine.c, scene.geobox.affine.f
        corners = [(left + 200 * i, top - 200 * j) for i in range(2) for j in range(2)]
        squares = np.array([shapely.box(x, y - 100, x + 100, y) for x, y in corners])
        some = read_labels(cities.polygons)
        codes = np.resize(np.unique(some.codes)[:2], 4)[[0, 1, 1, 0]]
        write_labels(Labels(squares, codes, np.arange(4), scene.geobox.crs, some.scheme), beside)
    words = ("--method", "cnn", "--labels", beside)
    says = (beside, "All labelled cells lie within 226 m", "smaller patch")
    (tmp_path / "large.toml").write_text("patch = 32")
    refused(*train(cities, out / "model", *words, "--folds", 2, config=tmp_path / "large.toml"), says=says)
    refused(*train(cities, out / "model", *words, "--folds", 40), says=("40 folds", "groups"))


def test_tokens_learn_from_scratch_too(jido: Callable[..., Run], cities: Cities, tmp_path: Path):
    config = tmp_path / "tokens.toml"
    config.write_text('steps = 2\nbatch = 8\npatch = 16\nencoder = {kind = "tokens", width = 32, depth = 1}')
    assert jido(*train(cities, tmp_path / "model", "--method", "cnn", "--quiet", config=config)).code == 0
    assert facts(tmp_path / "model")["config"]["settings"]["kind"] == "tokens"


# -- windows -----------------------------------------------------------------------------------


def test_windows_do_not_hang_on_the_parts_that_are_read(cities: Cities, monkeypatch: pytest.MonkeyPatch):
    labels = read_labels(cities.polygons)
    with Scene([cities.s2]) as scene:
        whole = windows.labelled_windows(scene, labels, cell_m=100, side=16)
        drawn = windows.draw_windows(scene, 40, 16, seed=0)
        monkeypatch.setattr(windows, "TILE", 50)
        parts = windows.labelled_windows(scene, labels, cell_m=100, side=16)
        for name in ("images", "y", "item", "group", "xy"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
        np.testing.assert_array_equal(windows.draw_windows(scene, 40, 16, seed=0).images, drawn.images)
        data = np.pad(scene.read().data, ((0, 0), (3, 3), (3, 3)), mode="edge")  # gaps are filled up
        left, top = scene.geobox.affine.c, scene.geobox.affine.f
        for place in (0, len(whole) // 2, len(whole) - 1):
            x, y = np.round((whole.xy[place] - [left, top]) / [10, -10]).astype(int) - 5  # of the cell
            np.testing.assert_array_equal(whole.images[place], data[:, y : y + 16, x : x + 16])


def test_no_window_sees_what_is_to_be_avoided(cities: Cities):
    avoid = np.zeros((320, 320), bool)
    avoid[:, 40:] = True
    with Scene([cities.s2]) as scene:
        data = scene.read().data[0, :, :40]
        drawn = windows.draw_windows(scene, 5, 16, seed=0, avoid=avoid)
        assert 0 < len(drawn) <= 5
        for image in drawn.images[:, 0]:
            assert (np.lib.stride_tricks.sliding_window_view(data, (16, 16)) == image).all((2, 3)).any()


# -- maps --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_a_net_beats_chance_on_held_out_polygons_and_on_the_map(
    jido: Callable[..., Run], learned: tuple[Path, tuple[Path, Path], np.ndarray], tmp_path: Path
):
    model, images, truth = learned
    said = facts(model, "metrics.json")
    confusion = np.array(said["confusion"])
    largest = confusion.sum(1).max() / confusion.sum()
    assert said["metrics"]["oa"]["value"] > largest + 0.1
    assert said["metrics"]["kappa"]["value"] > 0.15
    assert said["metrics"]["oa_bu"]["value"] > 0.75
    for sensors in (images, images[1:]):
        path = tmp_path / f"{len(sensors)}.tif"
        assert jido("map", model, *sensors, "-o", path, "--threads", 1).code == 0
        classes = planes(path)[0]
        assert classes.shape == truth.shape
        assert ((classes > 10) == (truth > 10)).mean() > 0.7  # built or not
        assert (classes == truth).mean() > 0.2


@pytest.fixture(scope="module")
def town_two(cities: Cities, ssmmrl: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the other city."""
    path = tmp_path_factory.mktemp("map") / "map.tif"
    assert said_by("map", ssmmrl[0], *cities.others, "-o", path, "--threads", 1).code == 0
    return path


@pytest.mark.usefixtures("undrawn")
def test_another_city_is_mapped_and_the_package_verified(
    jido: Callable[..., Run], cities: Cities, ssmmrl: tuple[Path, Run], town_two: Path, tmp_path: Path
):
    classes, confidence, filtered = planes(town_two)[[0, 2, 1]]
    assert classes.shape == (32, 32)
    codes = set(range(1, 18))
    assert set(np.unique(classes)) | set(np.unique(filtered)) <= codes
    assert (confidence <= 100).all()
    report = facts(town_two.parent, "map.report.json")
    assert report["model"]["name"] == "model"
    run = jido("map", ssmmrl[0], *cities.others, "-o", tmp_path / "map.tif", "--threads", 2, "--json")
    assert run.code == 0
    assert (tmp_path / "map.tif").read_bytes() == town_two.read_bytes()
    assert jido("model", "verify", ssmmrl[0], "--json").json["difference"] == 0


@pytest.mark.usefixtures("undrawn")
def test_a_sensor_may_be_missing_and_counts_as_nodata(
    jido: Callable[..., Run], cities: Cities, ssmmrl: tuple[Path, Run], town_two: Path, tmp_path: Path
):
    maps = {}
    for name, images, bands in (
        ("s2", [cities.other_s2], "VV, VH"),
        ("s1", [cities.other_s1], ", ".join(OPTICAL)),
        ("own", [cities.s2], "VV, VH"),  # the images of the training by name, all but one
    ):
        path = tmp_path / f"{name}.tif"
        run = jido("map", ssmmrl[0], *images, "-o", path, "--probabilities", "--json")
        assert run.code == 0
        assert f"The map is made without {bands}, as the model can: it will be less sure." in run.err
        maps[name] = planes(path)
    nothing = changed(cities.other_s1, tmp_path / "s1.tif", data=np.full((2, 320, 320), np.nan))
    words = ("map", ssmmrl[0], nothing, cities.other_s2, "-o", tmp_path / "nodata.tif", "--probabilities")
    run = jido(*words, "--json")
    assert "without" not in run.err
    assert np.array_equal(planes(tmp_path / "nodata.tif"), maps["s2"])
    assert not np.array_equal(maps["s1"], maps["s2"])
    assert not np.array_equal(maps["s2"][:3], planes(town_two)[:3])


def test_a_sensor_that_lacks_a_band_is_refused(
    refused: Refused, cities: Cities, ssmmrl: tuple[Path, Run], out: Path, tmp_path: Path
):
    lacking = changed(cities.other_s2, tmp_path / "s2.tif", bands=OPTICAL[:-1])
    alone = changed(cities.other_s1, tmp_path / "vv.tif", bands=("VV",))
    for images, bands in (
        ((cities.other_s1, lacking), "reads bands B11 that"),
        ((lacking,), "reads bands VV, VH, B11 that"),
        ((alone, cities.other_s2), "reads bands VH that"),
    ):
        refused("map", ssmmrl[0], *images, "-o", out / "map.tif", says=(ssmmrl[0], bands, "are missing"))
    says = ("s1.tif, s2.tif, in this order, but is given s2.tif, s1.tif",)
    refused("map", ssmmrl[0], cities.other_s2, cities.other_s1, "-o", out / "map.tif", says=says)
    says = ("decibels", "linear power", "--convert")
    linear = power(cities.other_s1, tmp_path / "s1.tif")
    refused("map", ssmmrl[0], linear, cities.other_s2, "-o", out / "map.tif", says=says)


@pytest.mark.usefixtures("undrawn")
def test_a_model_of_one_sensor_needs_it(
    jido: Callable[..., Run], refused: Refused, cities: Cities, out: Path, tmp_path: Path
):
    few = tmp_path / "few.toml"
    few.write_text(cities.tiny_train.read_text().replace("steps = 6", "steps = 1"))
    words = train(cities, tmp_path / "model", "--method", "cnn", "--quiet", images=[cities.s2], config=few)
    assert jido(*words).code == 0
    says = (", ".join(OPTICAL), "are missing; the images have VV, VH")
    refused("map", tmp_path / "model", cities.other_s1, "-o", out / "map.tif", says=says)
    run = jido("map", tmp_path / "model", *cities.others, "-o", tmp_path / "map.tif", "--json")
    assert run.code == 0  # what else there is does no harm
    assert "without" not in run.err


@pytest.mark.usefixtures("undrawn")
def test_a_model_of_two_dates_maps_two_dates(
    jido: Callable[..., Run], refused: Refused, cities: Cities, encoder: Path, out: Path, tmp_path: Path
):
    dates = [later(cities.s2, tmp_path / f"d{i}.tif", seed=i) for i in (1, 2)]
    words = ("--method", "ssmmrl", "--encoder", encoder, "--quiet")
    assert jido(*train(cities, tmp_path / "model", *words, images=dates)).code == 0
    held = facts(tmp_path / "model")
    assert held["config"]["settings"]["dates"] == 2
    assert [band["name"] for band in held["bands"]] == [f"{b}@{i}" for i in (1, 2) for b in OPTICAL]
    others = [later(cities.other_s2, tmp_path / f"other{i}.tif", seed=i) for i in (1, 2)]
    assert jido("map", tmp_path / "model", *others, "-o", tmp_path / "map.tif", "--threads", 1).code == 0
    assert planes(tmp_path / "map.tif").shape == (4, 32, 32)
    says = ("d1.tif, d2.tif, in this order, but is given d2.tif, d1.tif",)
    refused("map", tmp_path / "model", *dates[::-1], "-o", out / "map.tif", says=says)
    says = ("reads bands B02@1", "are missing", "the same images, in the same order")
    refused("map", tmp_path / "model", dates[0], "-o", out / "map.tif", says=says)


def test_a_date_without_data_counts_for_nothing(cities: Cities, tmp_path: Path):
    """A net of two dates says of one and an empty one what it says of the same one twice."""
    dates = [later(cities.s2, tmp_path / f"d{i}.tif", seed=i) for i in (1, 2)]
    config = TINY.model_copy(update={"precision": "fp32"})
    with Scene(dates) as scene:
        model = train_lcz_net(scene, read_labels(cities.polygons), config=config, folds=2)
        pixels = scene.read().data[:, :56, :56]
    mean, sd = (np.array(one, np.float32)[:, None, None] for one in (model.config.mean, model.config.sd))
    one = (pixels[:4] - mean[:4]) / sd[:4]
    twice = np.concatenate([one, one]) * sd + mean  # each date is normalised by itself
    alone = twice.copy()
    alone[4:] = np.nan
    said, same, other = (model.predict(image[None]) for image in (alone, twice, pixels))
    np.testing.assert_allclose(said, same, atol=1e-5)
    assert np.abs(said - other).max() > 1e-4


# -- real images -------------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_hong_kong_from_encoder_to_map(jido: Callable[..., Run], tmp_path: Path):
    if not HONG_KONG.is_dir():
        pytest.skip("the Hong Kong data are not there")
    dates = [HONG_KONG / "landsat8_2013-11-29.tif", HONG_KONG / "landsat8_2014-10-15.tif"]
    words = ("--preset", "smoke", "--json", "--quiet")
    run = jido("lcz", "pretrain", *dates, "-o", tmp_path / "enc", "--epochs", 1, *words)
    assert run.code == 0
    assert all(np.isfinite(value) for value in run.json["last"].values())
    assert (facts(tmp_path / "enc")["side"], facts(tmp_path / "enc")["sensors"]) == (9, {"landsat-8": 9})
    run = jido("lcz", "train", *dates, "--labels", HONG_KONG / "hong_kong_lcz.gpkg", "-o", tmp_path / "model",
               "--method", "ssmmrl", "--encoder", tmp_path / "enc", "--folds", 2, *words)  # fmt: skip
    assert run.code == 0
    assert 0 < run.json["metrics"]["oa"]["lower"] < run.json["metrics"]["oa"]["value"] < 1
    assert all(figure["value"] is not None for figure in run.json["metrics"].values())
    parts = []
    for path in dates:
        with Scene([path]) as scene:
            write_image(scene.read((slice(200, 260), slice(200, 270))), tmp_path / path.name)
        parts.append(tmp_path / path.name)
    assert jido("map", tmp_path / "model", *parts, "-o", tmp_path / "map.tif", "--json").code == 0
    classes = planes(tmp_path / "map.tif")[0]
    assert classes.shape == (60, 70)
    assert len(np.unique(classes)) > 1
    assert load_model(tmp_path / "model").pixel_m == (100, 100)
    json.loads((tmp_path / "map.report.json").read_text())


@pytest.mark.parametrize("saw", [True, False])
def test_a_report_says_when_the_encoder_has_seen_the_images(saw):
    figures = {"value": 0.7, "lower": 0.6, "upper": 0.8}
    folds = {"k": 5, "kind": "polygons kept whole"}
    evaluation = {"folds": folds, "metrics": {"oa": figures}, "groups": 50, "encoder": {"saw_images": saw}}
    assert ("transductive" in statement(evaluation)) == saw
