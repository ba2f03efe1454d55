"""What a map will take, told before it is made."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
from stubs import NAN, Echo, places, save, scheme_of

from jido.errors import ModelError
from jido.io import Scene
from jido.labels import lcz_scheme
from jido.maps import estimate_map, map_scene


@dataclass(frozen=True, eq=False)
class Slow(Echo):
    """A net of 20 ms a tile that leaves the other cores alone."""

    def predict(self, batch):
        time.sleep(0.02)
        return super().predict(batch)


@pytest.mark.parametrize("empty", [False, True])
def test_the_estimate_is_within_a_quarter_of_the_run(tmp_path, empty):
    place = places(0, (800, 800))
    if empty:
        place[:, :400] = NAN  # half of the tiles are not predicted
    with Scene([save(tmp_path, place)]) as scene:
        model = Slow(tile=40)
        estimate = estimate_map(model, scene, threads=1, probe_s=2)
        result = map_scene(model, scene, tmp_path / "map.tif", threads=1)
    assert result.seconds > (4 if empty else 8)
    assert estimate.tiles == result.tiles == 400
    assert estimate.tiles_with_data == pytest.approx(200 if empty else 400, rel=0.15)
    assert estimate.seconds == pytest.approx(result.seconds, rel=0.25)
    assert result.peak_rss_mb < 1.1 * estimate.memory_mb


def test_workers_share_the_time(tmp_path):
    with Scene([save(tmp_path, places(0, (1400, 1400)))]) as scene:
        one, two = (estimate_map(Slow(tile=40), scene, workers=n, probe_s=1) for n in (1, 2))
    assert 1.6 < one.seconds / two.seconds < 2.2
    assert one.worker_memory_mb > 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 300)])
def test_a_small_scene_and_an_empty_one_have_an_estimate(tmp_path, shape):
    for place in (np.zeros(shape), np.full(shape, NAN)):
        with Scene([save(tmp_path, place)]) as scene:
            estimate = estimate_map(Echo(scheme=lcz_scheme()), scene, probabilities=True)
        assert 0 <= estimate.seconds < 60
        assert estimate.to_dict()["cells"] == shape


def test_wide_scenes_and_many_classes_need_memory_and_disk(tmp_path):
    with Scene([save(tmp_path, places(0, (8, 4000)))]) as scene:
        few, many = (
            estimate_map(Echo(scheme=scheme_of(k), overlap=64), scene, probabilities=True) for k in (5, 50)
        )
    assert many.memory_mb - few.memory_mb > 45 * 256 * 4000 * 4 / 1e6
    assert many.disk_mb == pytest.approx(few.disk_mb * 53 / 8, rel=0.05)


def test_what_cannot_be_mapped_has_no_estimate(tmp_path):
    with Scene([save(tmp_path, np.zeros((5, 5)))]) as scene, pytest.raises(ModelError, match="--overlap"):
        estimate_map(Echo(), scene, overlap=250)
