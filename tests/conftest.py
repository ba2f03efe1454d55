"""What tests of files share: a tiny simulated city on disk, a model, a map, and the command line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jido.cli import main


class Run(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output; NaN and infinity are no JSON."""
        return strict_json(self.out)


def strict_json(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def held(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, hidden things too: path -> bytes, ``None`` for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def said_by(*words: object) -> Run:
    """The command line outside of a test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr("sys.argv", ["jido", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return Run(int(end.value.code or 0), out.getvalue(), err.getvalue())


def interrupted(command: tuple[object, ...], checkpoint: Path, *, first: str = "") -> Run:
    """A process of its own that is told to stop as soon as there is a checkpoint; ``first`` it runs that."""
    program = [sys.executable, "-c", f"{first}; from jido.cli import main; main()".lstrip("; ")]
    program += map(str, command)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes) as process:
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return Run(process.returncode, out, err)


Refused = Callable[..., None]


@pytest.fixture
def jido(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Run]]:
    """``jido(*words)`` runs the command line as a shell would, in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> Run:
        monkeypatch.setattr("sys.argv", ["jido", *map(str, words)])
        capsys.readouterr()
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("default")
            for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", hidden)  # as Python does outside of tests
            with pytest.raises(SystemExit) as end:
                main()
        out, err = capsys.readouterr()
        err += "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in shown)
        code = end.value.code
        return Run(code if isinstance(code, int) else int(code is not None), out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Town(NamedTuple):
    """Files of a simulated town of 32 x 32 cells; nobody changes them."""

    radar: Path
    optical: Path
    polygons: Path
    others: Path

    @property
    def images(self) -> tuple[Path, Path]:
        return self.radar, self.optical


def train(
    town: Town, output: Path, *options: object, images: tuple[Path, ...] = (), labels: Path | None = None
) -> tuple[object, ...]:
    """The words of ``jido lcz train``."""
    files = images or town.images
    return ("lcz", "train", *files, "--labels", labels or town.polygons, "-o", output,
            "--preset", "smoke", *options)  # fmt: skip


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Two images on one grid, training polygons, and other polygons that do not touch them."""
    from jido.data import simulate_city
    from jido.io import write_image, write_labels

    folder = tmp_path_factory.mktemp("town")
    city = simulate_city(0, cells=32)
    training = city.polygons(36, seed=0)
    files = Town(*(folder / name for name in ("radar.tif", "optical.tif", "polygons.gpkg", "others.gpkg")))
    write_image(city.radar, files.radar)
    write_image(city.optical.select(["B02", "B03", "B04", "B08"]), files.optical)
    write_labels(training, files.polygons)
    write_labels(city.polygons(20, seed=1, avoid=training), files.others)
    return files


@pytest.fixture(scope="session")
def model(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package trained on the town; nobody changes it."""
    from jido.io import Scene, read_labels
    from jido.methods.forest import load_config, train_forest

    folder = tmp_path_factory.mktemp("trained") / "model"
    with Scene(town.images) as scene:
        config = load_config(preset="smoke")
        train_forest(scene, read_labels(town.polygons), config=config, folds=3).save(folder)
    return folder


@pytest.fixture(scope="session")
def town_map(town: Town, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of the town with its report beside it; nobody changes it."""
    from jido.io import Scene
    from jido.maps import map_scene
    from jido.methods import load_model

    path = tmp_path_factory.mktemp("mapped") / "map.tif"
    with Scene(town.images) as scene:
        map_scene(load_model(model), scene, path, threads=1)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where results go; something of the user's is there already."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    return folder


@pytest.fixture
def refused(jido: Callable[..., Run], out: Path) -> Refused:
    """Run a command that must be refused with these words, leaving the folder as it was."""

    def check(*words: object, says: tuple[object, ...]) -> None:
        before = held(out)
        run = jido(*words, "--json", "--quiet")
        assert run.code == 2
        assert list(run.json) == ["error"]
        assert run.err == f"Error: {run.json['error']}\n"
        assert "\n" not in run.json["error"]
        for text in says:
            assert str(text) in run.err
        assert held(out) == before

    return check


@pytest.fixture(scope="session")
def floods(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files of simulated floods (``flood_files.Floods``); nobody changes them."""
    from flood_files import write_floods

    return write_floods(tmp_path_factory.mktemp("floods"))


@pytest.fixture(scope="session")
def flood_model(floods: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A model package of four floods, judged by event, and what its training said; nobody changes it."""
    folder = tmp_path_factory.mktemp("flood_model") / "pkg"
    return folder, said_by(*floods.training, "--groups", f"{floods.events}:event", "-o", folder, "--json")


@pytest.fixture(scope="session")
def flood_map(floods: Any, flood_model: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All that can be asked of a pair with a place: the folder of the files, and what was said."""
    from flood_files import map_flood

    return map_flood(floods, flood_model[0], tmp_path_factory.mktemp("flood_map"))
