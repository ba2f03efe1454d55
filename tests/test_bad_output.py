"""Places where nothing can be written, full disks and Ctrl-C: what stood there is kept, byte for byte."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import rasterio.shutil
import skops.io
from conftest import Refused, Run, Town, held, train
from rasterio.errors import RasterioIOError


@pytest.fixture
def unwritable(tmp_path: Path) -> tuple[Path, ...]:
    """Places where not even root can write."""
    file = tmp_path / "file"
    file.write_text("kept")
    return (file / "result", file / "deeper" / "result", Path("/proc/jido/result"))


# -- places ------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_refused(
    refused: Refused, town: Town, model: Path, town_map: Path, unwritable: tuple[Path, ...]
):
    for place in unwritable:
        refused(*train(town, place), says=(place, "Cannot write", "choose another place with -o"))
        for words in (
            ("map", model, *town.images),
            ("assess", town_map, "--reference", town.others),
        ):
            refused(*words, "-o", place, says=(place, "Cannot write", "choose another place with -o"))


def test_training_refuses_its_place_before_it_reads_an_image(
    refused: Refused, town: Town, unwritable: tuple[Path, ...], tmp_path: Path
):
    words = train(town, unwritable[0], images=(tmp_path / "missing.tif",))
    refused(*words, says=(unwritable[0], "Cannot write"))


def test_a_map_does_not_replace_a_folder(
    refused: Refused, town: Town, model: Path, town_map: Path, out: Path
):
    refused("map", model, *town.images, "-o", out, says=(out, "is a folder", "name of a file with -o"))
    refused("map", model, *town.images, "-o", model, says=(model, "is a folder", "name of a file with -o"))
    words = ("assess", town_map, "--reference", town.others, "-o", out)
    refused(*words, says=(out, "is a folder", "name of a file with -o"))


def test_a_model_does_not_replace_a_folder_with_other_things(
    refused: Refused, town: Town, model: Path, out: Path
):
    refused(*train(town, out), says=(out, "kept.txt", "new folder with -o"))
    (out / "kept.txt").unlink()
    (out / "config.json").write_text('{"architectures": ["of another program"]}')
    refused(*train(town, out), says=(out, "config.json", "new folder with -o"))
    shutil.copytree(model, out, dirs_exist_ok=True)
    (out / "notes.txt").write_text("of the user")
    refused(*train(town, out), says=(out, "notes.txt", "new folder with -o"))


def test_a_model_does_not_replace_a_file(refused: Refused, town: Town, out: Path):
    place = out / "kept.txt"
    refused(*train(town, place), says=(place, "no folder", "another name with -o"))


@pytest.mark.parametrize("place", [".", "../out", ".."])
def test_a_model_does_not_replace_the_folder_one_is_in(
    refused: Refused, town: Town, out: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    monkeypatch.chdir(out)
    refused(*train(town, Path(place)), says=(place, "folder you are in", "new one with -o"))
    (out / "kept.txt").unlink()
    refused(*train(town, Path(place)), says=(place, "folder you are in", "new one with -o"))


def test_a_model_replaces_an_older_one_and_an_empty_folder(
    jido: Callable[..., Run], town: Town, model: Path, tmp_path: Path
):
    older = shutil.copytree(model, tmp_path / "older")
    (older / "README.md").write_text("older")
    (tmp_path / "empty").mkdir()
    for name in ("older", "empty"):
        assert jido(*train(town, tmp_path / name)).code == 0
        assert held(tmp_path / name).keys() == held(model).keys()
        assert (tmp_path / name / "README.md").read_text().startswith("# Model package")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "older"]


def test_devices_are_not_replaced(refused: Refused, town: Town, town_map: Path):
    words = ("assess", town_map, "--reference", town.others, "-o", "/dev/null")
    refused(*words, says=("/dev/null", "no ordinary file"))
    assert Path("/dev/null").is_char_device()


def test_a_result_does_not_replace_its_input(refused: Refused, town: Town, model: Path, town_map: Path):
    words = ("map", model, *town.images, "-o", town.optical)
    refused(*words, says=(town.optical, "is an input", "another name"))
    words = ("assess", town_map, "--reference", town.others)
    for place in (town_map, town.others):
        refused(*words, "-o", place, says=(place, "is an input", "another name"))


def test_a_link_is_followed_and_stays(jido: Callable[..., Run], town: Town, town_map: Path, tmp_path: Path):
    (tmp_path / "result.json").symlink_to(tmp_path / "elsewhere.json")
    run = jido("assess", town_map, "--reference", town.others, "-o", tmp_path / "result.json")
    assert run.code == 0
    assert (tmp_path / "result.json").is_symlink()
    assert (tmp_path / "elsewhere.json").is_file()


def test_folders_made_for_a_result_go_when_there_is_none(
    refused: Refused, town: Town, model: Path, out: Path
):
    words = ("map", model, town.radar, "-o", out / "new" / "newer" / "map.tif")
    refused(*words, says=(model, "missing"))


# -- full disks --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can be mounted by root on Linux only")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def leave(disk: Path, size: int) -> None:
    """Fill a disk but for ``size`` bytes."""
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(shutil.disk_usage(disk).free - size, 0)))


@pytest.mark.parametrize("size", [0, 8_000, 40_000, 70_000])
def test_a_full_disk_keeps_the_old_map(
    jido: Callable[..., Run], town: Town, model: Path, small_disk: Path, size: int
):
    words = ("map", model, *town.images, "-o", small_disk / "map.tif", "--json", "--quiet")
    assert jido(*words).code == 0
    leave(small_disk, size)
    before = held(small_disk)
    run = jido(*words)
    assert run.code == 2
    assert str(small_disk / "map.tif") in run.json["error"]
    assert "another place with -o" in run.json["error"]
    shutil.rmtree(small_disk / ".map.tif.run", ignore_errors=True)  # what is finished may be kept
    assert held(small_disk) == before


@pytest.mark.parametrize("size", [0, 8_000, 130_000, 250_000])
def test_a_full_disk_keeps_the_old_model(
    jido: Callable[..., Run], town: Town, model: Path, small_disk: Path, size: int
):
    shutil.copytree(model, small_disk / "model")
    leave(small_disk, size)
    before = held(small_disk)
    run = jido(*train(town, small_disk / "model", "--json", "--quiet"))
    assert run.code == 2
    assert f"Cannot write {small_disk / 'model'}" in run.json["error"]
    assert "another place with -o" in run.json["error"]
    assert held(small_disk) == before


def full(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_at(name: str) -> Callable[[Path, Path], Path]:
    """A ``Path.replace`` that finds no room for the file of this name alone."""
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        return full() if Path(target).name == name else rename(path, target)

    return replace


def half_written(source: object, target: Path, **_: object) -> NoReturn:
    Path(target).write_bytes(b"half")
    raise RasterioIOError("Write failed.")


def test_a_failing_write_keeps_the_old_map(
    jido: Callable[..., Run],
    town: Town,
    model: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    words = ("map", model, *town.images, "-o", out / "map.tif")
    (out / "map.tif").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(rasterio.shutil, "copy", half_written)
        run = jido(*words, "--json", "--quiet")
    for text in (str(out / "map.tif"), "Write failed", "hat stood there is kept"):
        assert text in run.json["error"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_at("map.tif"))
        run = jido(*words, "--json", "--quiet")
    assert run.code == 2
    assert run.json["error"].startswith(f"Cannot write {out / 'map.tif'}: No space left on device")
    assert (out / "map.tif").read_text() == "old"
    assert [p.name for p in out.glob(".*")] == [".map.tif.run"]
    assert jido(*words, "--json", "--quiet").json["resumed_bands"] > 0
    assert not list(out.glob(".*"))


def test_a_failing_write_keeps_the_old_model(
    refused: Refused, town: Town, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(model, out / "model")
    words = train(town, out / "model")
    with monkeypatch.context() as patch:
        patch.setattr(skops.io, "dump", full)
        refused(*words, says=(out / "model", "No space left on device", "another place with -o"))
    with monkeypatch.context() as patch:  # after the old model has stepped aside
        patch.setattr(Path, "replace", full_at("model"))
        refused(*words, says=(out / "model", "No space left on device", "another place with -o"))


# -- signals -----------------------------------------------------------------------------------


def stopped(
    words: tuple[object, ...], when: Callable[[subprocess.Popen[str]], bool], number: int
) -> tuple[int, str]:
    """Exit code and last line of a command that gets a signal as soon as ``when`` is true."""
    command = [sys.executable, "-c", "from jido.cli import main; main()", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not when(process) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    return process.returncode, err.splitlines()[-1]


def test_a_stopped_map_keeps_what_is_finished_and_nothing_else(
    jido: Callable[..., Run], town: Town, model: Path, out: Path
):
    before = held(out)
    words = ("map", model, *town.images, "-o", out / "map.tif", "--quiet")
    result = stopped(words, lambda _: any(out.glob(".map.tif.run/record.json")), signal.SIGINT)
    assert result == (130, "Error: Stopped; nothing half-written was left.")
    assert [p.name for p in out.glob(".*")] == [".map.tif.run"]
    assert jido(*words, "--json").json["resumed_bands"] > 0
    assert {p.name for p in out.iterdir()} - set(before) >= {"map.tif", "map.report.html"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_leaves_the_old_model(
    town: Town, model: Path, out: Path, tmp_path: Path, number: int, code: int
):
    shutil.copytree(model, out / "model")
    before = held(out)
    many = tmp_path / "many.toml"
    many.write_text("trees = 50000")
    words = train(town, out / "model", "--config", many)
    # the last thing said before the images are read
    result = stopped(words, lambda process: "warning" in process.stderr.readline(), number)
    assert result == (code, "Error: Stopped; nothing half-written was left.")
    assert held(out) == before


def test_files_that_belong_together_all_go_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from jido.errors import OutputError
    from jido.io import replacing_together

    names = [tmp_path / name for name in ("a", "b", "c")]
    for path in names[:2]:
        path.write_text("old")
    move = Path.replace

    def stuck(self: Path, target: Path) -> Path:
        if Path(target).name == "c":
            raise OSError(errno.EACCES, "open in another program")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", stuck)

    def write() -> None:
        with replacing_together(*names) as fresh:
            for path in fresh:
                path.write_text("new")

    with pytest.raises(OutputError, match="what stood there is kept"):
        write()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old", "b": "old"}
