"""A run that is cut off goes on, and ends in the same bytes; with threads and with Dask."""

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from stubs import Around, Echo, digest, places, save

import jido.maps.run as run_module
from jido.errors import ClusterError, ImageError, OutputError
from jido.io import Scene, write_image
from jido.maps import map_scene
from jido.maps.cluster import _deaf_to_ctrl_c
from jido.maps.plan import Plan

SAVED = {"name": "model", "method": "stub", "sha256": "0" * 64}
HOW = {"tile": 24, "overlap": 8, "probabilities": True}


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("jido.maps.engine.html_report", lambda *_: "")


@pytest.fixture
def scene_path(tmp_path):
    return save(tmp_path, places(5, (150, 90), gaps=0.1))


def model(**changes):
    return Around(**{"halo": 2, "package": SAVED, "batch": 2} | changes)


def run(path, out, *, using=None, **how):
    with Scene([path]) as scene:
        return map_scene(using or model(), scene, out, **HOW | how)


class Stop(Exception):
    pass


def stop_after(tiles):
    def progress(what, done, total):
        if done >= tiles:
            raise Stop

    return progress


def hidden(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, scene_path, caplog):
    run(scene_path, tmp_path / "whole.tif")
    total = run(scene_path, tmp_path / "whole.tif").tiles
    for tiles in (1, total // 3, total // 2, total):
        with pytest.raises(Stop):
            run(scene_path, tmp_path / "map.tif", progress=stop_after(tiles))
        assert not (tmp_path / "map.tif").exists()
        result = run(scene_path, tmp_path / "map.tif", threads=2)
        assert (result.resumed_bands > 0) == (tiles > total // 4)
        assert result.tiles == total
        assert digest(tmp_path / "map.tif") == digest(tmp_path / "whole.tif")
        assert hidden(tmp_path) == []
        for name in ("map.tif", "map.report.json"):
            (tmp_path / name).unlink()


def test_progress_goes_on_where_it_stood(tmp_path, scene_path):
    told = []
    with pytest.raises(Stop):
        run(scene_path, tmp_path / "map.tif", progress=stop_after(30))
    result = run(scene_path, tmp_path / "map.tif", progress=lambda *a: told.append(a[1:]))
    per_band = Plan((150, 90), core=20, overlap=8).tiles[1] * 2
    assert told[0] == (result.resumed_bands * per_band + 1, result.tiles)
    assert told[-1] == (result.tiles, result.tiles)
    facts = json.loads((tmp_path / "map.report.json").read_text())
    with rasterio.open(scene_path) as source:
        assert facts["missing"]["empty_pixels"] == np.isnan(source.read(1)).sum()


def cut_off(scene_path, out):
    with pytest.raises(Stop):
        run(scene_path, out, progress=stop_after(40))
    assert hidden(out.parent) == [".map.tif.run"]


def test_restart_discards(tmp_path, scene_path):
    cut_off(scene_path, tmp_path / "map.tif")
    assert run(scene_path, tmp_path / "map.tif", restart=True).resumed_bands == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"using": model(package=SAVED | {"sha256": "1" * 64})}, "model changed"),
        ({"overlap": 4}, "tiles changed"),
        ({"probabilities": False}, "options changed"),
    ],
)
def test_a_change_begins_anew_and_says_so(tmp_path, scene_path, caplog, change, said):
    cut_off(scene_path, tmp_path / "map.tif")
    with caplog.at_level(logging.WARNING, "jido"):
        assert run(scene_path, tmp_path / "map.tif", **change).resumed_bands == 0
    assert f"begun anew: {said}" in caplog.text


def test_another_image_or_library_begins_anew(tmp_path, scene_path, caplog, monkeypatch):
    cut_off(scene_path, tmp_path / "map.tif")
    os.utime(scene_path, ns=(1, 1))
    with caplog.at_level(logging.WARNING, "jido"):
        assert run(scene_path, tmp_path / "map.tif").resumed_bands == 0
        assert "images changed" in caplog.text
        cut_off(scene_path, tmp_path / "map.tif")
        monkeypatch.setattr(run_module, "VERSIONS", ("numpy",))
        assert run(scene_path, tmp_path / "map.tif").resumed_bands == 0
    assert "library versions changed" in caplog.text


def test_a_stale_start_cannot_be_mistaken_for_the_old_run(tmp_path, scene_path):
    """Old record, new rows: going back to the old model must not find its rows half replaced."""
    cut_off(scene_path, tmp_path / "map.tif")
    with pytest.raises(Stop):
        run(scene_path, tmp_path / "map.tif", overlap=4, progress=stop_after(1))
    assert run(scene_path, tmp_path / "map.tif").resumed_bands == 0


def test_a_model_that_was_never_saved_begins_anew(tmp_path, scene_path):
    with pytest.raises(Stop):
        run(scene_path, tmp_path / "map.tif", using=model(package=None), progress=stop_after(40))
    assert run(scene_path, tmp_path / "map.tif", using=model(package=None)).resumed_bands == 0


@pytest.mark.parametrize("damage", ["record", "seam", "no rows", "short rows", "short seam"])
def test_a_damaged_state_begins_anew(tmp_path, scene_path, damage):
    run(scene_path, tmp_path / "whole.tif")
    cut_off(scene_path, tmp_path / "map.tif")
    state = tmp_path / ".map.tif.run"
    seam, rows = next(state.glob("seam-*.npz")), state / "rows.bil"
    if damage == "record":
        (state / "record.json").write_text('{"tasks": 3')
    elif damage in ("seam", "no rows"):
        (seam if damage == "seam" else rows).unlink()
    else:
        os.truncate(rows if damage == "short rows" else seam, 1000)
    assert run(scene_path, tmp_path / "map.tif").resumed_bands == 0
    assert digest(tmp_path / "map.tif") == digest(tmp_path / "whole.tif")


def test_the_file_behind_a_virtual_file_counts(tmp_path, scene_path):
    from rasterio.shutil import copy

    copy(scene_path, tmp_path / "scene.vrt", driver="VRT")
    cut_off(tmp_path / "scene.vrt", tmp_path / "map.tif")
    os.utime(scene_path, ns=(1, 1))
    assert run(tmp_path / "scene.vrt", tmp_path / "map.tif").resumed_bands == 0


def test_what_a_killed_process_left_is_cleared(tmp_path, scene_path):
    for name in (".map.tif.abcd_123", ".map.qml.abcd_123"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "map.tif").write_text("half")
    (tmp_path / ".map.tif.mine").mkdir()  # somebody else's
    run(scene_path, tmp_path / "map.tif")
    assert hidden(tmp_path) == [".map.tif.mine"]


def test_an_image_that_changes_while_it_is_read_is_refused(tmp_path, scene_path):
    ticks = itertools.count(1)

    def touch(*_):
        os.utime(scene_path, ns=(next(ticks), 1))

    with pytest.raises(ImageError, match=r"scene\.tif changed while it was read"):
        run(scene_path, tmp_path / "map.tif", progress=touch)


def test_a_full_disk_is_said_before_the_work(tmp_path, scene_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"its rows need 0.1 MB beside it"):
        run(scene_path, tmp_path / "map.tif")
    assert hidden(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_is_finished(tmp_path, scene_path, monkeypatch):
    from jido.maps.run import Run

    run(scene_path, tmp_path / "whole.tif")
    write, calls = Run.write, itertools.count()

    def full(self, *args, **kwargs):
        if next(calls) >= 5:
            raise OSError(28, "No space left on device")
        write(self, *args, **kwargs)

    monkeypatch.setattr(Run, "write", full)
    with pytest.raises(OutputError, match="No space left on device; make room and start again"):
        run(scene_path, tmp_path / "map.tif")
    monkeypatch.setattr(Run, "write", write)
    assert run(scene_path, tmp_path / "map.tif").resumed_bands > 0
    assert digest(tmp_path / "map.tif") == digest(tmp_path / "whole.tif")


def test_two_processes_do_not_write_one_map(tmp_path, scene_path):
    def second(*_):
        with pytest.raises(OutputError, match="Another process is writing"):
            run(scene_path, tmp_path / "map.tif")
        raise Stop

    with pytest.raises(Stop):
        run(scene_path, tmp_path / "map.tif", progress=second)


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import jido.maps.engine
from stubs import Around
from jido.io import Scene
jido.maps.engine.html_report = lambda *_: ""

class Slow(Around):
    def predict(self, batch):
        time.sleep(0.002)
        return super().predict(batch)

model = Slow(halo=2, batch=2, package={saved!r})
with Scene([{scene!r}]) as scene:
    print(jido.maps.engine.map_scene(model, scene, {out!r}, threads=2, **{how!r}).resumed_bands)
"""


def start(scene_path, out):
    code = SLOW.format(
        tests=str(Path(__file__).parent), saved=SAVED, scene=str(scene_path), out=str(out), how=HOW
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path, scene_path):
    run(scene_path, tmp_path / "whole.tif")
    out, record = tmp_path / "map.tif", tmp_path / ".map.tif.run" / "record.json"
    for bands in (1, 3):  # killed twice: while the second band and while the fourth is made
        process = start(scene_path, out)
        while process.poll() is None:
            try:
                if json.loads(record.read_text())["tasks"] >= bands:
                    break
            except (OSError, ValueError):
                time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    process = start(scene_path, out)
    resumed, _ = process.communicate()
    assert process.returncode == 0
    assert int(resumed) >= 3
    assert digest(out) == digest(tmp_path / "whole.tif")
    assert hidden(tmp_path) == []


# -- Dask --------------------------------------------------------------------------------------


class Dies(Around):
    """Kills its worker once, the first time that the scene's middle is asked for."""

    def predict(self, batch):
        flag = Path(os.environ["JIDO_TEST_FLAG"])
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(batch)


def test_workers_give_the_same_bytes_also_when_one_dies(tmp_path, scene_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    run(scene_path, tmp_path / "threads.tif", threads=2)
    run(scene_path, tmp_path / "one.tif", workers=1)
    monkeypatch.setenv("JIDO_TEST_FLAG", str(tmp_path / "flag"))
    run(scene_path, tmp_path / "two.tif", workers=2, using=Dies(halo=2, package=SAVED, batch=2))
    assert (tmp_path / "flag").exists()
    assert len({digest(tmp_path / f"{name}.tif") for name in ("threads", "one", "two")}) == 1


def test_a_run_begun_by_threads_is_ended_by_workers(tmp_path, scene_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    run(scene_path, tmp_path / "whole.tif")
    cut_off(scene_path, tmp_path / "map.tif")
    assert run(scene_path, tmp_path / "map.tif", workers=1).resumed_bands > 0
    assert digest(tmp_path / "map.tif") == digest(tmp_path / "whole.tif")


def test_a_scheduler_that_is_not_there_is_said(tmp_path, scene_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("jido.maps.cluster.CONNECT_S", 0.5)
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9 does not answer"):
        run(scene_path, tmp_path / "map.tif", scheduler="tcp://127.0.0.1:9")
    assert hidden(tmp_path) == []


class Refuses(Echo):
    def predict(self, batch):
        try:
            with rasterio.open("no such file"):
                pass
        except rasterio.errors.RasterioError as err:  # such a cause cannot be sent
            raise ImageError("said on a worker.") from err


def test_a_refusal_on_a_worker_comes_out_as_it_is(tmp_path, scene_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(ImageError, match=r"^said on a worker\.$"):
        run(scene_path, tmp_path / "map.tif", workers=1, using=Refuses())


class Idle(Around):
    def predict(self, batch):
        time.sleep(0.002)  # lets the other thread of the worker read
        return super().predict(batch)


def test_a_worker_with_threads_gives_the_same_bytes(tmp_path, scene_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    run(scene_path, tmp_path / "whole.tif")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None
    ) as local:
        using = Idle(halo=2, batch=2, package=SAVED)
        run(scene_path, tmp_path / "map.tif", using=using, scheduler=local.scheduler_address)
        with distributed.Client(local) as client:
            plugins = client.run(lambda dask_worker: list(dask_worker.plugins))
    assert digest(tmp_path / "map.tif") == digest(tmp_path / "whole.tif")
    assert not [name for names in plugins.values() for name in names if name.startswith("jido")]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_processes_of_a_cluster_do_not_hear_ctrl_c_and_this_one_does():
    code = "import time; print('begun', flush=True); time.sleep(60)"
    begun = []

    def pressed():
        with _deaf_to_ctrl_c():
            begun.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE))
            begun[0].stdout.readline()
            begun[0].send_signal(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    with pytest.raises(KeyboardInterrupt):
        pressed()
    with begun[0] as child:
        assert child.poll() is None
        child.kill()


def test_a_scheduler_without_workers_is_said(tmp_path, scene_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("jido.maps.cluster.CONNECT_S", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local,
        pytest.raises(ClusterError, match="has no worker: start one with 'dask worker"),
    ):
        run(scene_path, tmp_path / "map.tif", scheduler=local.scheduler_address)


@pytest.mark.parametrize("how", [{"workers": 0}, {"workers": 2, "scheduler": "tcp://127.0.0.1:9"}])
def test_workers_that_make_no_sense_are_refused(tmp_path, scene_path, how):
    with pytest.raises(ClusterError, match="Give either --workers, 1 or more, or the address"):
        run(scene_path, tmp_path / "map.tif", **how)


def test_scenes_reopen_in_another_process(tmp_path):
    import pickle

    path = save(tmp_path, places(0, (8, 9)))
    write_image_path = tmp_path / "other.tif"
    with Scene([path]) as scene:
        write_image(scene.read(), write_image_path)
        with pickle.loads(pickle.dumps(scene)) as again:
            np.testing.assert_array_equal(again.read().data, scene.read().data)
            assert again.state() == scene.state()
