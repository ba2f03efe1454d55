"""``jido lcz pretrain``: places and dates, interruptions, refusals, and the package of the encoder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Refused, Run, said_by, strict_json
from lcz_cities import OPTICAL, Cities, changed, make_cities, power, pretrain, train

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.hdf5 import HDF5Images  # noqa: E402
from jido.data.hdf5_files import LAYOUTS  # noqa: E402
from jido.io import read_image  # noqa: E402
from jido.methods.encoder_package import EncoderPackage  # noqa: E402
from jido.methods.selfsup import METHODS, Pretraining  # noqa: E402

STOPPED = 130


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets wait for each other on several threads, and more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Cities:
    return make_cities(tmp_path_factory.mktemp("cities"))


@pytest.fixture(scope="module")
def encoder(cities: Cities, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """An encoder of both sensors of one city, and what the command said."""
    folder = tmp_path_factory.mktemp("encoder") / "enc"
    return folder, said_by(*pretrain(cities, folder, "--json"))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def facts(folder: Path) -> dict[str, Any]:
    return strict_json((folder / "config.json").read_text())


def settings(path: Path, cities: Cities, **values: object) -> Path:
    """The tiny settings, some of them changed."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    kept = cities.tiny_pretrain.read_text().splitlines()
    path.write_text("\n".join(lines + [line for line in kept if line.split(" =")[0] not in values]))
    return path


# -- what is learned from ----------------------------------------------------------------------


def test_pretraining_keeps_the_contract(encoder: tuple[Path, Run]):
    folder, run = encoder
    assert run.code == 0
    assert set(run.json) == {"encoder", "last", "epochs", "seconds"}
    assert run.json["encoder"] == str(folder)
    assert set(run.json["last"]) == {"epoch", "loss", "seconds", "spread", "rank", "patches_per_second"}
    assert run.json["epochs"] == run.json["last"]["epoch"] == 2
    assert run.json["seconds"] > 0
    history = strict_json((folder / "metrics.json").read_text())["history"]
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[-1] == run.json["last"]
    assert [path.name for path in folder.parent.iterdir()] == ["enc"]  # no working folder is left


def test_the_smoke_preset_needs_no_settings(jido: Callable[..., Run], cities: Cities, tmp_path: Path):
    run = jido("lcz", "pretrain", *cities.images, "-o", tmp_path / "enc", "--preset", "smoke",
               "--windows", 64, "--epochs", 1)  # fmt: skip
    assert run.code == 0
    assert "ssmmrl, 1 epochs: loss " in run.out
    assert f"Encoder package: {tmp_path / 'enc'}" in run.out
    assert "reading windows" in run.err
    held = facts(tmp_path / "enc")
    assert (held["side"], held["pixel_m"]) == (32, [10, 10])  # 320 m
    assert (held["config"]["windows"], held["config"]["epochs"]) == (64, 1)


def test_images_are_sorted_into_places_by_their_grid(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], tmp_path: Path
):
    (s1, s2), (other_s1, other_s2) = cities.images, cities.others
    together = [*cities.images, *cities.others]
    assert jido(*pretrain(cities, tmp_path / "a", "--quiet", images=together)).code == 0
    mixed = (s1, other_s1, s2, other_s2)
    assert jido(*pretrain(cities, tmp_path / "b", "--quiet", images=mixed)).code == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(encoder[0])
    held = facts(tmp_path / "a")
    assert held["sensors"] == {"sentinel-1": 2, "sentinel-2": 4}
    assert held["images"] == ["s1.tif", "s2.tif"] * 2
    assert [len(place["parts"]) for place in held["radiometry"]] == [2, 2]
    half = changed(other_s2, tmp_path / "half.tif", data=read_image(other_s2).data / 2)
    darker = (s1, s2, other_s1, half)
    assert jido(*pretrain(cities, tmp_path / "c", "--quiet", images=darker)).code == 0
    assert weights(tmp_path / "c") == weights(tmp_path / "a")  # each place is normalised by itself


def test_dates_of_a_place_are_positives(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], tmp_path: Path
):
    noise = np.random.default_rng(0).normal(1, 0.05, (4, 320, 320))
    later = changed(cities.s2, tmp_path / "later.tif", data=read_image(cities.s2).data * noise)
    views = ("--config", settings(tmp_path / "views.toml", cities, positives="views"), "--quiet")
    for name, config in (("dates", ("--quiet",)), ("views", views)):
        run = jido(*pretrain(cities, tmp_path / name, *config, images=[cities.s2, later]))
        assert run.code == 0
        assert facts(tmp_path / name)["sensors"] == {"sentinel-2": 4}
        assert [band["name"] for band in facts(tmp_path / name)["bands"]] == list(OPTICAL)
    assert weights(tmp_path / "dates") != weights(tmp_path / "views")
    assert jido(*pretrain(cities, tmp_path / "one", *views)).code == 0
    assert weights(tmp_path / "one") == weights(encoder[0])  # one date has nothing else


def patches(path: Path, **data: np.ndarray) -> Path:
    """A file of 32 patches of 16 x 16 pixels as So2Sat has them, some data sets replaced."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    rng = np.random.default_rng(0)
    radar = rng.normal(0, 0.1, (32, 16, 16, 8)).astype(np.float32)
    radar[..., 4] = 10 ** (rng.normal(-1.8, 0.2, radar.shape[:3]))
    radar[..., 5] = 10 ** (rng.normal(-1.1, 0.2, radar.shape[:3]))
    optical = np.abs(rng.normal(0.2, 0.05, (32, 16, 16, 10)).astype(np.float32))
    with h5py.File(path, "w") as file:
        file["label"] = np.eye(17)[np.arange(32) % 17]
        for name, numbers in ({"sen1": radar, "sen2": optical} | data).items():
            file[name] = numbers
    return path


def pretrain_patches(output: Path, *options: object, images: Sequence[Path], text: str = "") -> tuple:
    """The words of ``jido lcz pretrain`` on patches, of a tiny encoder."""
    config = output.parent.with_suffix(".toml")
    config.write_text(f"batch = 16\nepochs = 2\nencoder = {{width = 4, kernels = 2}}\n{text}")
    return ("lcz", "pretrain", *images, "-o", output, "--config", config, *options)


def test_patches_in_hdf5_are_learned_from(jido: Callable[..., Run], cities: Cities, tmp_path: Path):
    file = patches(tmp_path / "so2sat.h5")
    run = jido(*pretrain_patches(tmp_path / "enc", "--json", images=[file]))
    assert run.json["epochs"] == 2
    held = facts(tmp_path / "enc")
    assert (held["sensors"], held["side"]) == ({"sentinel-1": 8, "sentinel-2": 10}, 16)
    assert (held["pixel_m"], held["images"]) == ([10, 10], ["so2sat.h5"])
    words = ("--method", "ssmmrl", "--encoder", tmp_path / "enc", "--json")
    trained = jido(*train(cities, tmp_path / "model", *words, images=[cities.full]))
    assert trained.json["metrics"]["oa"]["value"] is not None
    both = jido(
        *train(cities, tmp_path / "both", *words, images=[cities.s1, cities.full])
    )  # VV and VH alone are not So2Sat's eight
    assert both.code == 2
    assert "leave out the whole sensor" in both.json["error"]


def test_what_files_of_patches_hold_may_be_said(jido: Callable[..., Run], out: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    decibels = np.array([-10, -17]) + 3 * rng.normal(size=(32, 16, 16, 2))
    reflectance = np.abs(rng.normal(0.2, 0.05, (32, 16, 16, 10)))
    raw = {"sen1": 10 ** (decibels / 10), "sen2": 10_000 * reflectance}
    file = patches(tmp_path / "raw.h5", **raw)
    for options, says in (
        ((), "--radar linear"),
        (("--radar", "linear"), "--optical dn"),
        (("--radar", "dB", "--optical", "dn"), "--radar linear"),
    ):
        run = jido(*pretrain_patches(out / "enc", *options, "--json", images=[file]))
        assert run.code == 2
        assert says in run.json["error"]
    said = ("--radar", "linear", "--optical", "dn", "--json")
    found = jido(*pretrain_patches(tmp_path / "raw", *said, images=[file])).json["last"]
    plain = patches(tmp_path / "plain.h5", sen1=decibels, sen2=reflectance)
    wanted = jido(*pretrain_patches(tmp_path / "plain", "--json", images=[plain])).json["last"]
    assert found["loss"] == pytest.approx(wanted["loss"], rel=0.02)
    assert facts(tmp_path / "raw")["bands"] == facts(tmp_path / "plain")["bands"]


@pytest.mark.parametrize("told", ["label_map.json", "default_partition.json"])
def test_folders_of_geobench_are_learned_from(jido: Callable[..., Run], tmp_path: Path, told: str):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    rng, folder = np.random.default_rng(0), tmp_path / "m-so2sat"
    folder.mkdir()
    names = [f"id_{i}" for i in range(16)]
    for name in names:
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for channel in LAYOUTS["sen2", 10]:
                file[channel.data_set] = np.abs(rng.normal(0.2, 0.05, (16, 16)))
    (folder / told).write_text(json.dumps({"0": names}))
    run = jido(*pretrain_patches(tmp_path / "enc", "--json", images=[folder]))
    assert run.json["epochs"] == 2
    held = facts(tmp_path / "enc")
    assert (held["sensors"], held["side"], held["images"]) == ({"sentinel-2": 10}, 16, ["m-so2sat"])


def test_settings_that_would_do_nothing_are_refused(
    refused: Refused, cities: Cities, out: Path, tmp_path: Path
):
    file = patches(tmp_path / "so2sat.h5")
    for options, text, says in (
        (("--windows", 5), "", "leave out windows (--windows)."),
        (("--windows", 8000), "", "leave out windows (--windows)."),  # as many as the preset has
        ((), "windows = 5", "leave out windows (--windows)."),
        ((), "patch = 16", "leave out patch."),
        (("--crs", "EPSG:32649", "--resample", "nearest"), "", "leave out --crs, --resample."),
    ):
        words = pretrain_patches(out / "enc", *options, images=[file], text=text)
        refused(*words, says=(file, "holds patches", "taken as they are", says))
    for options, says in ((("--optical", "dn"), "--optical."), (("--radar", "linear"), "--radar.")):
        refused(*pretrain(cities, out / "enc", *options), says=(cities.s1, "no file of patches", says))
    for images in ([cities.s2, file], [file, cities.s2]):
        says = (f"{file} holds patches and {cities.s2} is an image of a place", "give one kind alone")
        refused(*pretrain(cities, out / "enc", images=images), says=says)


def test_another_method_gives_another_encoder(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], tmp_path: Path
):
    run = jido(*pretrain(cities, tmp_path / "enc", "--method", "byol", "--json"))
    assert run.code == 0
    assert facts(tmp_path / "enc")["config"]["method"] == "byol"
    assert weights(tmp_path / "enc") != weights(encoder[0])


# -- interruptions -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_off(cities: Cities, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """The working folder of a training that was stopped when its second epoch was over but not yet kept."""
    folder, look = tmp_path_factory.mktemp("cut"), Pretraining._look

    def stop(training: Pretraining) -> None:
        look(training)
        if training.learner.epoch == 2:
            raise SystemExit(STOPPED)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "_look", stop)
        return folder, said_by(*pretrain(cities, folder / "enc", "--json"))


@pytest.fixture
def stopped(cut_off: tuple[Path, Run], tmp_path: Path) -> Path:
    """Where the encoder of the stopped training will be."""
    shutil.copytree(cut_off[0] / ".enc.run", tmp_path / ".enc.run")
    return tmp_path / "enc"


def test_what_was_stopped_is_kept(cut_off: tuple[Path, Run]):
    folder, run = cut_off
    assert run.code == STOPPED
    assert "Stopped" in run.json["error"]
    assert "the same command goes on with it" in run.err
    assert [path.name for path in folder.iterdir()] == [".enc.run"]
    assert (folder / ".enc.run" / "pretrain.pt").is_file()


def test_a_training_that_goes_on_ends_with_the_same_bytes(
    jido: Callable[..., Run],
    cities: Cities,
    encoder: tuple[Path, Run],
    stopped: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    epochs, batches = [], Pretraining.batches
    monkeypatch.setattr(Pretraining, "batches", lambda self, i: epochs.append(i) or batches(self, i))
    run = jido(*pretrain(cities, stopped, "--json"))
    assert epochs == [2]
    assert weights(stopped) == weights(encoder[0])
    assert run.json["epochs"] == 2
    assert run.json["last"]["loss"] == encoder[1].json["last"]["loss"]
    assert not stopped.with_name(".enc.run").exists()


def test_other_settings_begin_anew(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], stopped: Path
):
    run = jido(*pretrain(cities, stopped, "--seed", 1, "--json"))
    assert run.code == 0
    assert "begun anew: settings or images have changed" in run.err
    assert weights(stopped) != weights(encoder[0])


def test_a_damaged_checkpoint_is_refused_until_it_is_left(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], stopped: Path
):
    kept = stopped.with_name(".enc.run") / "pretrain.pt"
    kept.write_bytes(kept.read_bytes()[:1000])
    run = jido(*pretrain(cities, stopped, "--json"))
    assert run.code == 2
    assert "--restart" in run.json["error"]
    assert jido(*pretrain(cities, stopped, "--restart", "--json")).code == 0
    assert weights(stopped) == weights(encoder[0])
    assert not stopped.with_name(".enc.run").exists()


# -- refusals ----------------------------------------------------------------------------------


def test_places_that_differ_are_refused(refused: Refused, cities: Cities, out: Path, tmp_path: Path):
    visible, infrared = ("B02", "B04"), ("B08", "B11")
    few = changed(cities.s2, tmp_path / "few.tif", bands=visible)
    others = changed(cities.other_s2, tmp_path / "others.tif", bands=infrared)
    says = (others, few, "the bands B08, B11, not B02, B04", "give the same bands")
    refused(*pretrain(cities, out / "enc", images=[few, others]), says=says)
    says = (cities.other_s2, "1 dates of sentinel-2:4, not 1 of sentinel-1:2 sentinel-2:4", "same sensors")
    refused(*pretrain(cities, out / "enc", images=[*cities.images, cities.other_s2]), says=says)
    later = changed(cities.other_s2, tmp_path / "later.tif")
    says = ("2 dates of sentinel-2:4, not 1 of", "as many dates of every place")
    refused(*pretrain(cities, out / "enc", images=[cities.s2, cities.other_s2, later]), says=says)
    coarse = changed(cities.other_s2, tmp_path / "coarse.tif", every=2)
    says = (coarse, "pixels of 20 m, not 10 m", "one resolution")
    refused(*pretrain(cities, out / "enc", images=[cities.s2, coarse]), says=says)


def test_images_that_hold_too_little_are_refused(refused: Refused, cities: Cities, out: Path, tmp_path: Path):
    small = changed(cities.s2, tmp_path / "small.tif", side=15)
    says = (small, "smaller than a window of 16 pixels")
    refused(*pretrain(cities, out / "enc", images=[small]), says=says)
    empty = changed(cities.s2, tmp_path / "empty.tif", data=np.full((4, 320, 320), np.nan))
    says = (empty, "no window of 16 pixels with enough data")
    refused(*pretrain(cities, out / "enc", images=[empty]), says=says)
    says = ("12 patches but a batch has 16", "give more images or a smaller batch")
    refused(*pretrain(cities, out / "enc", "--windows", 12), says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("widht = 8", ("widht", "known are method")),
        ("batch = 1", ("batch", "greater than or equal to 2")),
        ("patch = 16\nencoder = {widht = 8}", ("widht", "correct its settings")),
        ("patch = 16\nencoder = {width = 8.5}", ("'ssmmrl' cannot be set up", "correct its settings")),
        ("patch = 16\nmethod = 'mae'\nencoder = {widht = 8}", ("widht = 8", "known are width, blocks")),
        (
            "patch = 16\nmethod = 'mae'\nencoder = {kind = 'tokens', width = 32, side = 32}",
            ("a side of 32, patches of 16", "leave it out"),
        ),
        ("patch = 16\nmethod = 'mae'\nsettings = {hidden_share = 0}", ("hidden_share = 0", "greater than 0")),
        ("patch = 16\nsettings = {tau = 'x'}", ("tau = 'x'", "valid number", "correct its settings")),
        ("patch = 16\nencoder = {kind = 'deep'}", ("'deep'", "residual, tokens")),
        ("patch = 16\nviews = {gian = 0.1}", ("gian", "correct their settings")),
        ("patch = 16\nsettings = {fusion = 'sum'}", ("'sum'", "'attention', 'mean' or 'none'")),
        ("patch = 16\nlearning_rate = 1e12", ("no number any more", "lower learning_rate")),
        ("patch = ", ("cannot be read", "give a TOML file")),
    ],
)
def test_wrong_settings_are_refused(
    refused: Refused, cities: Cities, out: Path, tmp_path: Path, text: str, says: tuple[str, ...]
):
    (tmp_path / "wrong.toml").write_text(text)
    refused("lcz", "pretrain", cities.s1, "-o", out / "enc", "--preset", "smoke", "--windows", 64,
            "--config", tmp_path / "wrong.toml", says=says)  # fmt: skip


WRONG = {"widht": "encoder = {widht = 8}", "gian": "views = {gian = 0.1}", "taw": "settings = {taw = 1}"}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("method", METHODS)
def test_settings_are_refused_before_anything_is_read(
    refused: Refused,
    cities: Cities,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    method: str,
):
    monkeypatch.setattr(
        "jido.methods.pretrain.draw_windows", lambda *_, **__: pytest.fail("windows are read")
    )
    monkeypatch.setattr(HDF5Images, "__getitem__", lambda *_: pytest.fail("patches are read"))
    config, file = tmp_path / "wrong.toml", patches(tmp_path / "so2sat.h5")
    config.write_text(WRONG[name])
    words = ("-o", out / "enc", "--method", method, "--preset", "smoke", "--config", config)
    for image in (cities.s2, file):
        refused(
            "lcz", "pretrain", image, *words, says=(name, "known are" if name != "widht" else "cannot be")
        )


@pytest.mark.parametrize(
    "words",
    [
        ("pretrain", "none.tif"),
        ("train", "none.tif", "--labels", "none.kml", "--method", "cnn"),
        ("train", "none.tif", "--labels", "none.kml", "--method", "ssmmrl", "--encoder", "none"),
    ],
)
def test_without_torch_one_line_says_what_to_install_before_a_file_is_looked_for(
    tmp_path: Path, words: tuple[str, ...]
):
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
    command = [sys.executable, "-c", program, "lcz", *words, "-o", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == 'Error: Neural networks need torch: pip install "jido[deep]".\n'
    assert not list(tmp_path.iterdir())


def test_what_is_no_image_and_no_place_is_refused(
    refused: Refused, cities: Cities, out: Path, tmp_path: Path
):
    (tmp_path / "no.h5").write_bytes(b"nothing")
    words = pretrain_patches(out / "enc", images=[tmp_path / "no.h5"])
    refused(*words, says=("no HDF5 file", "So2Sat"))
    refused(*pretrain(cities, out / "enc", images=[tmp_path / "none.tif"]), says=("none.tif does not exist",))
    refused(*pretrain(cities, out), says=(out, "kept.txt", "-o"))
    refused(*pretrain(cities, out / "enc", "--method", "jigsaw"), says=("--method", "ssmmrl"))
    refused(*pretrain(cities, out / "enc", "--epochs", 0), says=("--epochs",))


# -- the package -------------------------------------------------------------------------------


def test_a_package_is_read_as_it_was_written(encoder: tuple[Path, Run], tmp_path: Path):
    first = EncoderPackage.load(encoder[0])
    first.save(tmp_path / "again")
    again = EncoderPackage.load(tmp_path / "again")
    for name in vars(first):
        if name not in ("weights", "package", "history"):
            assert getattr(again, name) == getattr(first, name), name
    assert first.weights.keys() == again.weights.keys()
    assert all(np.array_equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert weights(tmp_path / "again") == weights(encoder[0])
    assert facts(tmp_path / "again") == facts(encoder[0])
    assert (first.side, first.pixel_m) == (16, (10.0, 10.0))
    assert [part.likely[0] for part in first.radiometry[0].parts] == ["decibels", "reflectance"]


def test_a_package_says_what_it_is_and_holds_no_pickle(encoder: tuple[Path, Run]):
    folder = encoder[0]
    names = ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for path in folder.iterdir():
        assert b"pickle" not in path.read_bytes()
        assert path.read_bytes()[:2] not in (b"PK", b"\x80\x02", b"\x80\x04")  # zip of torch, pickles
    card = " ".join((folder / "README.md").read_text().split())
    for text in ("sentinel-1 (2 bands), sentinel-2 (4 bands)", "16 x 16 pixels", "without labels by ssmmrl",
                 "for 2 epochs", "It maps nothing alone", "jido lcz train", "--encoder"):  # fmt: skip
        assert text in card


def with_facts(folder: Path, path: Path, **values: object) -> Path:
    """A copy of a package with other facts in its config."""
    shutil.copytree(folder, path)
    (path / "config.json").write_text(json.dumps(facts(folder) | values))
    return path


def test_a_damaged_package_is_refused(
    refused: Refused, cities: Cities, encoder: tuple[Path, Run], out: Path, tmp_path: Path
):
    def said(package: Path, *says: object) -> None:
        words = train(cities, out / "model", "--method", "ssmmrl", "--encoder", package)
        refused(*words, says=says)

    whole = weights(encoder[0])
    for i, held in enumerate((whole[:-100], whole[:-1] + bytes([whole[-1] ^ 1]), None)):
        package = with_facts(encoder[0], tmp_path / f"bytes{i}")
        file = package / "model.safetensors"
        file.unlink() if held is None else file.write_bytes(held)
        said(package, file, "changed since training", "copy the package again")
    wider = facts(encoder[0])["settings"] | {"width": 8}
    said(with_facts(encoder[0], tmp_path / "wide", settings=wider), "not those of its settings", "pretrain")
    for i, values in enumerate(({"sensors": 3}, {"bands": [{}]}, {"radiometry": [1]}, {"config": 3})):
        said(with_facts(encoder[0], tmp_path / f"facts{i}", **values), f"facts{i}", "pretrain again")
    said(with_facts(encoder[0], tmp_path / "new", format=99), "newer Jido", "update jido")
    (package / "config.json").write_text("{")
    said(package, "config.json is damaged")
    said(tmp_path / "nowhere", "nowhere is no model package")


def test_encoders_and_models_are_not_taken_for_each_other(
    refused: Refused, cities: Cities, encoder: tuple[Path, Run], model: Path, out: Path
):
    words = train(cities, out / "model", "--method", "ssmmrl", "--encoder", model)
    refused(*words, says=(model, "no encoder but a model of method 'forest'", "jido lcz pretrain"))
    says = (encoder[0], "holds an encoder, which knows no classes", "jido lcz train --encoder")
    refused("map", encoder[0], *cities.images, "-o", out / "map.tif", says=says)
    refused("model", "verify", encoder[0], says=says)
    words = train(cities, encoder[0], "--method", "ssmmrl", "--encoder", encoder[0])
    refused(*words, says=(encoder[0], "is an input of this command", "-o"))
    assert facts(encoder[0])["method"] == "encoder"


def test_radar_in_linear_power_is_read_in_decibels(
    jido: Callable[..., Run], cities: Cities, encoder: tuple[Path, Run], tmp_path: Path
):
    linear = power(cities.s1, tmp_path / "power.tif")
    said = "Radar is linear power and is read in decibels: VV, VH."
    run = jido(*pretrain(cities, tmp_path / "enc", "--json", images=[linear, cities.s2]))
    assert said in run.err
    assert run.json["last"]["loss"] == pytest.approx(encoder[1].json["last"]["loss"], rel=0.02)
    assert facts(tmp_path / "enc")["radiometry"][0]["parts"][0]["kinds"] == {"decibels": True}
    words = ("--method", "ssmmrl", "--encoder", encoder[0], "--json")
    run = jido(*train(cities, tmp_path / "model", *words, images=[linear, cities.s2]))
    assert run.code == 0
    assert said in run.err
    assert facts(tmp_path / "model")["radiometry"]["parts"][0]["kinds"] == {"decibels": True}
    assert facts(tmp_path / "model")["config"]["mean"][0] < -5


@pytest.mark.parametrize("dates", [1, 2])
def test_radar_that_is_not_calibrated_is_refused(
    refused: Refused, cities: Cities, encoder: tuple[Path, Run], out: Path, tmp_path: Path, dates: int
):
    numbers = np.rint(3000 * 10 ** (read_image(cities.s1).data / 20))
    raw = [changed(cities.s1, tmp_path / f"raw{i}.tif", data=numbers) for i in range(dates)]
    words = train(cities, out / "model", "--method", "ssmmrl", "--encoder", encoder[0], images=raw)
    says = ("VV, VH of raw0.tif", "uncalibrated", "decibels", "give images of the same processing")
    refused(*words, says=says)


def test_counts_in_place_of_reflectance_are_refused(
    refused: Refused, cities: Cities, encoder: tuple[Path, Run], out: Path, tmp_path: Path
):
    counts = changed(cities.s2, tmp_path / "dn.tif", data=np.rint(read_image(cities.s2).data * 10_000))
    for images in ([cities.s1, counts], [counts]):
        words = train(cities, out / "model", "--method", "ssmmrl", "--encoder", encoder[0], images=images)
        refused(*words, says=("dn.tif", "reflectance x 10000", "trained on reflectance", ": give images of"))


def test_bands_and_pixels_that_the_encoder_does_not_know_are_refused(
    refused: Refused, cities: Cities, encoder: tuple[Path, Run], out: Path, tmp_path: Path
):
    words = ("--method", "ssmmrl", "--encoder", encoder[0])
    says = (encoder[0], "VV, VH, B02", "the same bands of a sensor, in the same order", "whole sensor")
    exchanged = ("B04", "B02", *OPTICAL[2:])
    for name, bands in (("exchanged", exchanged), ("lacking", OPTICAL[:-1]), ("more", OPTICAL[1:])):
        other = changed(cities.s2, tmp_path / f"{name}.tif", bands=bands)
        for images in ([cities.s1, other], [other]):
            refused(*train(cities, out / "model", *words, images=images), says=(*says, ", ".join(bands)))
    coarse = [changed(path, tmp_path / "20m" / path.name, every=2) for path in cities.images]
    says = (encoder[0], "pixels of 10 m", "have 20 m", "that resolution")
    refused(*train(cities, out / "model", *words, images=coarse), says=says)


def test_an_encoder_of_tokens_needs_all_its_sensors(
    refused: Refused, jido: Callable[..., Run], cities: Cities, out: Path, tmp_path: Path
):
    mae = settings(tmp_path / "mae.toml", cities, method="mae", epochs=1)
    text = mae.read_text().replace("hidden = 16, projected = 8", "width = 32, depth = 1")
    mae.write_text(text.replace(", kernels = 2", ""))
    assert jido(*pretrain(cities, tmp_path / "enc", "--config", mae, "--quiet")).code == 0
    (tmp_path / "few.toml").write_text("steps = 2\nbatch = 8")
    words = ("--method", "ssmmrl", "--encoder", tmp_path / "enc", "--config", tmp_path / "few.toml")
    assert jido(*train(cities, tmp_path / "model", *words, "--quiet")).code == 0
    says = ("all its sensors at once", "sentinel-1, sentinel-2", "--method ssmmrl")
    refused(*train(cities, out / "model", *words, images=[cities.s2]), says=says)
