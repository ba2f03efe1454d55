"""What drawing windows costs in memory, and that they are those which come first in the draw."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from jido.data import patches, windows
from jido.data.pool import Pool
from jido.data.windows import draw_windows
from jido.errors import ImageError
from jido.geo import Band, Raster
from jido.io import Scene, write_image
from jido.methods import pretrain
from jido.methods.selfsup import PretrainConfig

SIDE = 16
"""Of a window."""

BANDS = tuple(Band(name, sensor="sentinel-2") for name in ("B02", "B03", "B04", "B08", "B11", "B12"))


@contextmanager
def scene_of(path: Path, data: np.ndarray) -> Iterator[Scene]:
    """A scene of one file of 10 m pixels."""
    height, width = data.shape[1:]
    bounds = (5e5, 5e6, 5e5 + 10 * width, 5e6 + 10 * height)
    box = GeoBox.from_bbox(bounds, "EPSG:32631", shape=(height, width), tight=True)
    write_image(Raster(data.astype(np.float32), BANDS[: len(data)], box), path)
    with Scene([path]) as scene:
        yield scene


def ground(*, gaps: float, seed: int = 0) -> np.ndarray:
    """Noise (6, 120, 150), of whose blocks of 12 x 15 pixels a share has no data."""
    rng = np.random.default_rng(seed)
    data = rng.normal(0.2, 0.05, (len(BANDS), 120, 150))
    hidden = np.kron(rng.random((10, 10)) < gaps, np.ones((12, 15))).astype(bool)
    data[:, hidden] = np.nan
    data[1, rng.random(hidden.shape) < 0.02] = np.nan
    return data


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that were held at most while something was done."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def all_at_once(scene: Scene, n: int, *, seed: int, avoid: np.ndarray | None = None) -> np.ndarray:
    """The windows of a draw as they are defined: all that may be drawn are cut out, the first n are taken."""
    height, width = scene.geobox.shape
    rng = np.random.default_rng(seed)
    many = 2 * n if avoid is None else 4 * n
    corners = np.column_stack([rng.integers(0, length - SIDE + 1, many) for length in (height, width)])
    corners = np.unique(corners, axis=0)
    if avoid is not None:
        corners = corners[[not avoid[y : y + SIDE, x : x + SIDE].any() for y, x in corners]]
    data = scene.read().data
    images = np.stack([data[:, y : y + SIDE, x : x + SIDE] for y, x in rng.permutation(corners)])
    drawn = images[np.isfinite(images).mean((1, 2, 3)) >= windows.SEEN][:n]
    patches.fill_gaps(drawn)
    return drawn


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a scene of 50 pixels, of which a few windows are cut out at once."""
    monkeypatch.setattr(windows, "TILE", 50)
    monkeypatch.setattr(windows, "AT_ONCE", 5 * 4 * len(BANDS) * SIDE**2)
    monkeypatch.setattr(patches, "AT_ONCE", 3 * 4 * len(BANDS) * SIDE**2)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("gaps", [0.0, 0.4, 0.7])
@pytest.mark.parametrize("n", [1, 7, 100, 900])
def test_the_first_of_a_draw_are_kept_in_their_order(tmp_path, gaps, n):
    avoid = np.zeros((120, 150), dtype=bool)
    avoid[40:50, 20:] = avoid[:30, 90] = True
    with scene_of(tmp_path / "image.tif", ground(gaps=gaps)) as scene:
        for seed in range(2):
            for away in (None, avoid):
                expected = all_at_once(scene, n, seed=seed, avoid=away)
                if len(expected):
                    found = draw_windows(scene, n, SIDE, seed=seed, avoid=away)
                    np.testing.assert_array_equal(found.images, expected)
                else:
                    with pytest.raises(ImageError, match="no window of 16 pixels with enough data"):
                        draw_windows(scene, n, SIDE, seed=seed, avoid=away)


@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_windows_are_held_once_while_they_are_drawn(tmp_path, monkeypatch, gaps):
    monkeypatch.setattr(windows, "AT_ONCE", 5e5)
    monkeypatch.setattr(patches, "AT_ONCE", 5e5)
    avoid = np.zeros((120, 150), dtype=bool)
    avoid[:, 70] = True
    with scene_of(tmp_path / "image.tif", ground(gaps=gaps)) as scene:
        for away in (None, avoid):
            held = draw_windows(scene, 2500, SIDE, seed=0, avoid=away).images.nbytes
            assert held == 2500 * 4 * len(BANDS) * SIDE**2
            assert peak_of(lambda away=away: draw_windows(scene, 2500, SIDE, seed=0, avoid=away)) < 1.3 * held


def test_clouds_of_many_forms_cost_no_memory(monkeypatch):
    monkeypatch.setattr(patches, "AT_ONCE", 1e5)
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(800, 1, SIDE, SIDE)).astype(np.float32)
    drawn[rng.random(drawn.shape) < 0.3] = np.nan
    whole = drawn.copy()
    assert peak_of(lambda: patches.fill_gaps(drawn)) < 0.6 * drawn.nbytes
    monkeypatch.setattr(patches, "AT_ONCE", 1e9)
    patches.fill_gaps(whole)
    np.testing.assert_array_equal(drawn, whole)
    assert np.isfinite(drawn).all()


def test_windows_are_written_where_they_are_to_stand(tmp_path):
    room = np.full((60, len(BANDS), SIDE, SIDE), 5, dtype=np.float32)
    with scene_of(tmp_path / "image.tif", ground(gaps=0.4)) as scene:
        alone = draw_windows(scene, 40, SIDE, seed=3).images
        found = draw_windows(scene, 40, SIDE, seed=3, into=room[10:]).images
    assert np.shares_memory(found, room)
    np.testing.assert_array_equal(found, alone)
    np.testing.assert_array_equal(room[10:50], alone)
    assert (room[:10] == 5).all()
    assert (room[50:] == 5).all()


class Reached(Exception):
    """Raised where learning would begin."""


def test_scenes_are_normalised_each_by_itself_and_held_once(tmp_path, monkeypatch):
    reached: list[Pool] = []

    def begin(pool: Pool, config: PretrainConfig) -> None:
        reached.append(pool)
        raise Reached

    def learn(scenes: list[Scene]) -> None:
        with pytest.raises(Reached):
            pretrain.pretrain(scenes, config, work=tmp_path)

    monkeypatch.setattr(pretrain, "Pretraining", begin)
    monkeypatch.setattr(windows, "AT_ONCE", 5e5)
    monkeypatch.setattr(patches, "AT_ONCE", 5e5)
    monkeypatch.setattr("jido.data.pool.MEASURED", 500)
    config = PretrainConfig(windows=5000, patch=SIDE, seed=4)
    one, other = ground(gaps=0.4), 3 * ground(gaps=0.0, seed=1) + 1
    one[:, :, 40:] = np.nan  # fewer windows than asked
    with (
        scene_of(tmp_path / "one.tif", one) as first,
        scene_of(tmp_path / "other.tif", other) as second,
        scene_of(tmp_path / "third.tif", other[:, ::-1]) as third,
    ):
        scenes = [second, first, third]
        expected = []
        for i, scene in enumerate(scenes):
            drawn = draw_windows(scene, 1667, SIDE, seed=4 + i)
            mean, sd = (part[:, None, None] for part in Pool.of(drawn.images, drawn.stack).moments)
            expected.append((drawn.images - mean) / sd)
        assert len(expected[1]) < len(expected[2]) == 1667
        learn(scenes)  # and whatever else is loaded for it
        np.testing.assert_array_equal(reached[0].images, np.concatenate(expected))
        for some in (scenes, scenes[:1]):
            assert peak_of(lambda some=some: learn(some)) < 1.3 * 3 * expected[2].nbytes
    mean, sd = reached[0].moments
    assert (mean == 0).all()
    assert (sd == 1).all()
