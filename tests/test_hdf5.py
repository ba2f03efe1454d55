"""Patches in HDF5: read when asked for, in the right order and unit; what is bad is named."""

import json
import multiprocessing
import os
import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jido.data.hdf5 import CURVES, HDF5Images, hdf5_groups, read_hdf5
from jido.data.hdf5_files import LAYOUTS
from jido.errors import ImageError
from jido.labels import lcz_scheme

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

REAL = Path(__file__).parents[2] / "shared/data/s1s2_patches/s1s2_patches_real.h5"
SIDE = 8
EIGHT = ["VH_re", "VH_im", "VV_re", "VV_im", "VH", "VV", "VH_VV_re", "VH_VV_im"]
TEN = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]


def drawn(seed, n, bands, side=SIDE):
    return np.random.default_rng(seed).normal(size=(n, side, side, bands)).astype(np.float32)


def optical(n, seed=0, side=SIDE):
    """Reflectance of ten bands; every patch is different."""
    return 0.2 + 0.1 * np.tanh(drawn(seed, n, 10, side))


def decibels(n, seed=0, side=SIDE):
    """VV and VH in dB."""
    return np.array([-10, -17], np.float32) + 3 * drawn(seed, n, 2, side)


def linear(n, seed=0, side=SIDE):
    """VV and VH as power."""
    return 10 ** (decibels(n, seed, side) / 10)


def eight(n, seed=0, side=SIDE):
    """The eight radar bands of So2Sat."""
    numbers = drawn(seed, n, 8, side) * np.array([0.1, 0.1, 0.3, 0.3, 1, 1, 0.02, 0.02], np.float32)
    numbers[..., 4:6] = linear(n, seed, side)[..., ::-1]
    return numbers


def one_hot(codes):
    return np.eye(17)[codes]


def stacked(path, compressed=False, **data):
    """A file with these data sets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, numbers in data.items():
            chunks = (
                (min(16, len(numbers)), *numbers.shape[1:3], 1) if compressed and numbers.ndim == 4 else None
            )
            file.create_dataset(key, data=numbers, chunks=chunks, compression="gzip" if chunks else None)
    return path


def so2sat(path, n=20, seed=0, **data):
    codes = np.arange(n) % 17
    return stacked(path, **{"sen1": eight(n, seed), "sen2": optical(n, seed), "label": one_hot(codes)} | data)


class _Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def geobench(folder, n=6, labels=True, parts=True, radar=True):
    """A folder of GEO-Bench m-so2sat with the numbers of ``so2sat``; what is pickled is a trap."""
    folder.mkdir(parents=True)
    names = [f"id_{i:04}" for i in range(n)]
    tables = ((LAYOUTS["sen1", 8], eight(n)), (LAYOUTS["sen2", 10], optical(n)))[0 if radar else 1 :]
    for i, name in enumerate(names):
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file.attrs["pickle"] = str(pickle.dumps({"label": _Trap(folder.parent / "sprung")}))
            for table, numbers in tables:
                for k, channel in enumerate(table):
                    file[channel.data_set] = numbers[i, ..., k]
    if parts:
        deal = {"train": names[3:], "valid": names[1:3], "test": names[:1]}
        (folder / "default_partition.json").write_text(json.dumps(deal))
    if labels:
        (folder / "label_map.json").write_text(json.dumps({"0": names[:2], "16": names[2:]}))
    return folder


@pytest.fixture
def read_rows(monkeypatch):
    """Rows of pixels that h5py was asked for: (data set, first, number)."""
    rows, get = [], h5py.Dataset.__getitem__

    def counted(self, key, **options):
        numbers = get(self, key, **options)
        if self.ndim == 4:
            rows.append((self.name, key.start, len(numbers)))
        return numbers

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    return rows


# -- layouts -----------------------------------------------------------------------------------


def test_so2sat_comes_channels_first_with_radar_first_and_classes_of_the_lcz(tmp_path):
    radar, reflectance, codes = eight(20), optical(20), np.arange(20) % 17
    chips = read_hdf5(so2sat(tmp_path / "validation.h5"))
    assert [band.name for band in chips.bands] == EIGHT + TEN
    assert [band.sensor for band in chips.bands] == ["sentinel-1"] * 8 + ["sentinel-2"] * 10
    assert [band.unit for band in chips.bands] == [""] * 4 + ["dB"] * 2 + [""] * 2 + ["reflectance"] * 10
    images = chips.images[:]
    assert images.shape == chips.images.shape == (20, 18, SIDE, SIDE)
    assert images.dtype == chips.images.dtype == np.float32
    assert (len(chips), chips.side, chips.images.ndim, chips.images.size) == (20, SIDE, 4, images.size)
    assert (images[:, 8:] == np.moveaxis(reflectance, -1, 1)).all()
    known = np.moveaxis(radar, -1, 1)
    np.testing.assert_allclose(images[:, 4:6], 10 * np.log10(known[:, 4:6]), rtol=1e-5)
    np.testing.assert_allclose(images[:, :4], np.arcsinh(known[:, :4] / 0.1), rtol=1e-5)
    np.testing.assert_allclose(images[:, 6:8], np.arcsinh(known[:, 6:8] / 0.01), rtol=1e-5)
    assert chips.classes == lcz_scheme().labels == (*map(str, range(1, 11)), *"ABCDEFG")
    assert chips.label.tolist() == codes.tolist()
    assert chips.label.dtype == np.int64
    assert chips.name.tolist() == [f"validation/{i}" for i in range(20)]
    assert (chips.pixel_m, chips.notes, chips.lonlat) == ((10, 10), (), None)
    assert [(part.family, *part.bands) for part in chips.radiometry.parts] == [
        ("radar", "VH", "VV"), ("optical", *TEN)
    ]  # fmt: skip
    assert chips.radiometry.parts[0].likely == ["decibels"]
    assert chips.radiometry.parts[1].likely[0] == "reflectance"


def test_files_are_joined_in_the_given_order(tmp_path):
    paths = [so2sat(tmp_path / "validation.h5", 20, seed=1), so2sat(tmp_path / "testing.h5", 5, seed=2)]
    chips, alone = read_hdf5(paths), [read_hdf5(path) for path in paths]
    assert len(chips) == 25
    assert (chips.images[:] == np.concatenate([one.images[:] for one in alone])).all()
    assert (chips.images[[24, 19, 20, 0]][:2] == [alone[1].images[4], alone[0].images[19]]).all()
    assert (chips.label == np.concatenate([one.label for one in alone])).all()
    assert chips.name[[0, 19, 20]].tolist() == ["validation/0", "validation/19", "testing/0"]
    same = [so2sat(tmp_path / part / "testing.h5", 3) for part in ("random", "block")]
    assert read_hdf5(same).name[::3].tolist() == ["random/testing.h5/0", "block/testing.h5/0"]


def test_patches_without_a_label(tmp_path):
    label = one_hot(np.arange(20) % 17)
    label[3] = 0
    chips = read_hdf5(so2sat(tmp_path / "a.h5", label=label))
    assert (chips.label[2:5].tolist(), chips.label.min()) == ([2, -1, 4], -1)
    bare = stacked(tmp_path / "b.h5", sen2=optical(4))
    chips = read_hdf5(bare)
    assert (chips.label.tolist(), chips.classes) == ([-1] * 4, ())
    chips = read_hdf5([stacked(tmp_path / "c.h5", sen2=optical(4), label=one_hot([5] * 4)), bare])
    assert (chips.label.tolist(), len(chips.classes)) == ([5] * 4 + [-1] * 4, 17)


def test_two_radar_bands_and_numbers_as_classes(tmp_path):
    data = {"sen1": decibels(6), "sen2": optical(6), "label": np.array([100, -1, 7, 7, 100, 2], np.int16)}
    source = np.array([b"x", b"x", "é".encode(), b"y", b"y", b"y"])
    chips = read_hdf5(stacked(tmp_path / "a.h5", source=source, **data))
    assert [band.name for band in chips.bands] == ["VV", "VH", *TEN]
    assert chips.images[:][:, :2].tolist() == np.moveaxis(data["sen1"], -1, 1).tolist()
    assert chips.classes == ("2", "7", "100")
    assert chips.label.tolist() == [2, -1, 1, 1, 2, 0]
    assert len(chips.notes) == 1
    assert "own numbers, no Local Climate Zones" in chips.notes[0]
    assert hdf5_groups(tmp_path / "a.h5").tolist() == ["x", "x", "é", "y", "y", "y"]
    other = stacked(tmp_path / "b.h5", label=np.array([3, 100]), **{k: data[k][:2] for k in ("sen1", "sen2")})
    joined = read_hdf5([tmp_path / "a.h5", other])
    assert (joined.classes, joined.label[-2:].tolist()) == (("2", "3", "7", "100"), [1, 3])
    assert hdf5_groups(other) is None
    assert hdf5_groups([tmp_path / "a.h5", other]) is None
    names = np.array([*"uvwxyé"], dtype=h5py.string_dtype())
    for source_there, groups in ((names, [*"uvwxyé"]), (np.arange(6), [*"012345"])):
        path = tmp_path / f"{groups[0]}.h5"
        assert hdf5_groups(stacked(path, source=source_there, **data)).tolist() == groups
    with pytest.raises(ImageError, match=r"c\.h5 has the shape \(3,\) but there are 6 patches: name one"):
        hdf5_groups(stacked(tmp_path / "c.h5", source=source[:3], **data))


@pytest.mark.parametrize(("key", "names"), [("sen1", EIGHT), ("sen2", TEN)])
def test_one_sensor_alone(tmp_path, key, names):
    both = read_hdf5(so2sat(tmp_path / "a.h5", 3))
    data = {"sen1": eight(3), "sen2": optical(3)}
    chips = read_hdf5(stacked(tmp_path / "b.h5", **{key: data[key]}))
    assert [band.name for band in chips.bands] == names
    assert (chips.images[:] == both.images[:][:, :8] if key == "sen1" else both.images[:][:, 8:]).all()


def test_geobench_is_the_same_as_so2sat_in_the_order_of_its_parts_and_unpickles_nothing(tmp_path):
    chips = read_hdf5(geobench(tmp_path / "m-so2sat"))
    assert chips.name.tolist() == [
        f"m-so2sat/{part}/id_{i:04}"
        for part, some in (("train", (3, 4, 5)), ("valid", (1, 2)), ("test", (0,)))
        for i in some
    ]
    plain = read_hdf5(so2sat(tmp_path / "a.h5", 6))
    assert chips.bands == plain.bands
    assert (chips.images[:] == plain.images[[3, 4, 5, 1, 2, 0]]).all()
    assert chips.label.tolist() == [16, 16, 16, 0, 16, 0]
    assert chips.classes == plain.classes
    assert (chips.notes, hdf5_groups(tmp_path / "m-so2sat")) == ((), None)
    assert not (tmp_path / "sprung").exists()
    assert (pickle.loads(pickle.dumps(chips.images))[1:3] == chips.images[1:3]).all()


def test_geobench_without_the_files_beside_the_patches(tmp_path):
    chips = read_hdf5(geobench(tmp_path / "bare", labels=False, parts=False, radar=False))
    assert chips.name.tolist() == [f"bare/id_{i:04}" for i in range(6)]
    assert (chips.label.tolist(), chips.classes) == ([-1] * 6, ())
    assert [band.name for band in chips.bands] == TEN
    assert chips.notes == (
        f"6 patches in {tmp_path / 'bare'} have no class in label_map.json; the one that is pickled in the "
        "patch is not read.",
    )
    folder = geobench(tmp_path / "some")
    (folder / "default_partition.json").write_text('{"train": ["id_0004"], "valid": [], "test": ["id_0001"]}')
    chips = read_hdf5(folder)
    assert chips.name.tolist() == ["some/train/id_0004", "some/test/id_0001"]
    assert chips.label.tolist() == [16, 0]
    assert chips.notes == (f"4 patches in {folder} are in no part and were left out.",)


# -- indexing ----------------------------------------------------------------------------------

MASK = np.arange(40) % 3 == 1
WHICH = {
    "place": 7,
    "from the end": -2,
    "numpy place": np.int32(3),
    "backwards": np.array([39, 2, 17]),
    "repeats": np.array([5, 3, 5, 5, 0]),
    "list": [4, -1],
    "table": np.array([[1, 2], [2, 30]]),
    "mask": MASK,
    "slice": slice(3, 30, 4),
    "reversed": slice(None, None, -1),
    "none": np.array([], dtype=np.int64),
    "empty slice": slice(5, 5),
    "all": slice(None),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("how", WHICH)
def test_indexed_like_an_array(tmp_path, monkeypatch, how, compressed):
    monkeypatch.setattr("jido.data.hdf5.AT_ONCE", 7)
    data = {"sen1": decibels(40), "sen2": optical(40)}
    array = np.moveaxis(np.concatenate([data["sen1"], data["sen2"]], axis=-1), -1, 1)
    parts = [{key: one[part] for key, one in data.items()} for part in (slice(25), slice(25, 40))]
    paths = [stacked(tmp_path / f"{i}.h5", compressed, **part) for i, part in enumerate(parts)]
    images, which = read_hdf5(paths).images, WHICH[how]
    assert images[which].shape == array[which].shape
    assert (images[which] == array[which]).all()
    if np.ndim(array[which]) == 4:
        view = images.view(which)
        assert view.shape == array[which].shape
        assert (view[::-1] == array[which][::-1]).all()


def test_indexed_beyond_its_end_or_by_bands_it_says_so(tmp_path):
    images = read_hdf5(so2sat(tmp_path / "a.h5", 5)).images
    for wrong in (5, -6, [0, 9], (slice(None), 3), np.array([0.5]), np.ones(4, dtype=bool)):
        with pytest.raises(IndexError):
            images[wrong]
    assert len(list(images)) == 5


def test_only_what_is_asked_for_is_read(tmp_path, read_rows):
    path = so2sat(tmp_path / "a.h5", 1000)
    chips = read_hdf5(path)
    assert sum(n for name, _, n in read_rows if name == "/sen1") == 200
    assert sum(n for name, _, n in read_rows if name == "/sen2") == 200
    assert {min(first for _, first, _ in read_rows), max(first for _, first, _ in read_rows)} == {0, 999}
    read_rows.clear()
    part = chips.subset(np.arange(999, -1, -2))
    assert read_rows == []
    assert isinstance(part.images, HDF5Images)
    assert (len(part), part.name[0], part.label[0]) == (500, "a/999", 999 % 17)
    again = part.subset(np.array([True, False] * 250))
    assert again.name[1] == "a/995"
    kept = again.images[[1, 0, 1]]
    assert sorted(read_rows) == [(key, row, 1) for key in ("/sen1", "/sen2") for row in (995, 999)]
    assert (kept == chips.images[[995, 999, 995]]).all()
    read_rows.clear()
    chips.images[[10, 11, 12, 500]]
    assert sorted(read_rows)[:2] == [("/sen1", 10, 3), ("/sen1", 500, 1)]


def test_a_compressed_chunk_is_opened_once(tmp_path, read_rows):
    images = read_hdf5(stacked(tmp_path / "a.h5", compressed=True, sen2=optical(64))).images
    read_rows.clear()
    images[[63, 1, 14, 1, 50]]
    assert read_rows == [("/sen2", 1, 14), ("/sen2", 50, 14)]


def test_moments_are_those_of_the_same_images_in_memory(tmp_path):
    sen1 = eight(12)
    sen1[4] = 0
    chips = read_hdf5(so2sat(tmp_path / "a.h5", 12, sen1=sen1))
    memory, which = replace(chips, images=chips.images[:]), np.array([4, 0, 7, 11])
    assert isinstance(memory.subset(which).images, np.ndarray)
    for lazy, there in zip(chips.moments(which, at_once=3), memory.moments(which), strict=True):
        np.testing.assert_allclose(lazy, there, rtol=1e-5)
    for lazy, there in zip(chips.subset(which).moments(np.arange(4)), memory.moments(which), strict=True):
        np.testing.assert_allclose(lazy, there, rtol=1e-5)


# -- processes and threads ---------------------------------------------------------------------


def test_pickled_it_holds_no_file_and_reads_the_same(tmp_path, read_rows):
    images = read_hdf5(so2sat(tmp_path / "a.h5", 300)).images
    kept = images[[2, 290]]
    read_rows.clear()
    there = pickle.loads(pickle.dumps(images.view([2, 290])))
    assert len(pickle.dumps(images.view([2, 290]))) < 3000
    assert read_rows == []
    assert (there[:] == kept).all()


def _total(images):
    return float(images[[1, 3]].sum())


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_opens_the_file_for_itself(tmp_path, monkeypatch):
    images = read_hdf5(so2sat(tmp_path / "a.h5", 9)).images
    kept = _total(images)  # open now
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_total, (images,)).get(30) == kept
    opened, whole = [], h5py.File
    monkeypatch.setattr(h5py, "File", lambda *given: opened.append(given) or whole(*given))
    assert _total(images) == kept
    assert opened == []
    monkeypatch.setattr("jido.data.hdf5_files.os.getpid", lambda: -7)  # as in a child
    assert [_total(images), _total(images)] == [kept, kept]
    assert len(opened) == 1


def test_threads_read_at_once_and_share_one_open_file(tmp_path, monkeypatch):
    array = optical(60)
    images = read_hdf5(stacked(tmp_path / "a.h5", compressed=True, sen2=array)).images
    images, opened, whole = pickle.loads(pickle.dumps(images)), [], h5py.File  # not open yet

    def slow(*given):
        opened.append(given)
        time.sleep(0.1)
        return whole(*given)

    monkeypatch.setattr(h5py, "File", slow)
    draws = [np.random.default_rng(seed).integers(0, 60, 20) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        for which, found in zip(draws, pool.map(images.__getitem__, draws), strict=True):
            assert (found == np.moveaxis(array[which], -1, 1)).all()
    assert len(opened) == 1


# -- what is missing ---------------------------------------------------------------------------


def test_a_sensor_without_numbers_is_missing_and_only_where_it_is_so(tmp_path):
    sen1, sen2 = eight(8).astype(np.float64), optical(8)
    sen1[0], sen1[1], sen1[2, 0], sen1[3, 0, 0, 4:6] = 0, np.nan, np.inf, (0, -np.inf)
    sen1[4, 0, 0] = 1e300  # more than float32 holds
    sen1[5], sen1[5, 0] = 0, np.nan
    sen2[6], sen2[7, ..., 3] = 0, 0
    images = read_hdf5(so2sat(tmp_path / "a.h5", 8, sen1=sen1, sen2=sen2)).images[:]
    gone = np.isnan(images)
    assert gone[[0, 1, 5], :8].all()
    assert not gone[[0, 1, 5], 8:].any()
    assert gone[2, :8, 0].all()
    assert not gone[2, :8, 1:].any()
    assert (round(float(images[3, 4, 0, 0]), 4), gone[3, 5, 0, 0], gone[3].sum()) == (-60, True, 1)
    assert gone[4, :8, 0, 0].all()
    assert gone[4].sum() == 8
    assert gone[6, 8:].all()
    assert not gone[6, :8].any()
    assert (images[7, 11] == 0).all()
    assert not np.isinf(images).any()


def test_bands_that_show_nothing_are_noted(tmp_path):
    sen2 = optical(5)
    sen2[..., 2], sen2[..., 4] = 0.3, np.nan
    chips = read_hdf5(so2sat(tmp_path / "a.h5", 5, sen1=np.zeros((5, SIDE, SIDE, 8)), sen2=sen2))
    says = (
        f"{', '.join(EIGHT)}, B04, B06 in {tmp_path / 'a.h5'}: no data, or one number all over the 5 patches"
    )
    assert chips.notes == (f"{says} looked at.",)
    assert np.isnan(chips.images[2][:8]).all()
    assert [part.family for part in chips.radiometry.parts] == ["optical"]


# -- units -------------------------------------------------------------------------------------


def test_digital_numbers_and_linear_power_are_converted_when_said(tmp_path):
    plain = read_hdf5(stacked(tmp_path / "a.h5", sen1=decibels(4), sen2=optical(4)))
    numbers = np.rint(optical(4) * 10_000).astype(np.uint16)
    told = read_hdf5(stacked(tmp_path / "b.h5", sen1=linear(4), sen2=numbers), radar="linear", optical="dn")
    np.testing.assert_allclose(told.images[:][:, :2], plain.images[:][:, :2], atol=1e-4)
    np.testing.assert_allclose(told.images[:][:, 2:], plain.images[:][:, 2:], atol=5.1e-5)
    assert told.bands == plain.bands
    assert [part.likely for part in told.radiometry.parts] == [part.likely for part in plain.radiometry.parts]
    so2sat(tmp_path / "c.h5", 4)
    same = (read_hdf5(tmp_path / "c.h5", radar=radar).images[:] for radar in ("dB", "linear"))
    assert np.array_equal(*same)


DN, LINEAR = {"optical": "dn"}, {"radar": "linear"}
UNITS = {
    "digital numbers": ({"sen2": 10_000 * optical(9)}, {}, "looks like digital numbers, .*give optical='dn'"),
    "dark digital numbers": ({"sen2": 600 * optical(9)}, {}, "sen2 .*digital numbers"),
    "reflectance": ({"sen2": optical(9)}, DN, "looks like reflectance, .*leave optical='dn' away"),
    "standardised": ({"sen2": drawn(0, 9, 10)}, {}, "median of .* looks like nothing known, not like refl"),
    "standardised, said dn": ({"sen2": drawn(0, 9, 10)}, DN, "looks like nothing known"),
    "percent": ({"sen2": 100 * optical(9)}, {}, "looks like nothing known"),
    "linear": ({"sen1": linear(9)}, {}, "VV in .*looks like linear power, .*give radar='linear'"),
    "dB": ({"sen1": decibels(9)}, LINEAR, "VV in .*looks like dB, .*leave radar='linear' away"),
    "counts": ({"sen1": 1000 * linear(9)}, {}, "looks like nothing known, not like dB"),
    "standard radar": ({"sen1": drawn(0, 9, 2)}, {}, "looks like nothing known, not like dB"),
    "one of two linear": (
        {"sen1": np.stack([decibels(9)[..., 0], linear(9)[..., 1]], axis=-1)}, {}, "VH in .*linear power"
    ),
    "eight in dB": (
        {"sen1": np.where(np.arange(8) // 2 == 2, decibels(9)[..., :1] - 3, eight(9))}, {},
        "VH in .*looks like dB, not like linear power: .*eight bands of So2Sat in linear scale",
    ),
    "exchanged in a few": (
        {"sen1": decibels(9)[..., ::-1] * (np.arange(9) < 3)[:, None, None, None]}, {}, "VH is above VV"
    ),
    "exchanged": ({"sen1": decibels(9)[..., ::-1]}, {}, "VH is above VV .*exchange"),
    "eight exchanged": ({"sen1": eight(9)[..., [0, 1, 2, 3, 5, 4, 6, 7]]}, {}, "VH is above VV .*exchange"),
    "no such unit": ({"sen2": optical(9)}, {"optical": "DN"}, "optical 'DN': give radar as 'dB' or 'linear'"),
    "nor such": ({"sen2": optical(9)}, {"radar": "power"}, "radar is 'power'"),
}  # fmt: skip


@pytest.mark.parametrize("how", UNITS)
def test_numbers_that_are_something_else_are_refused(tmp_path, how):
    data, options, says = UNITS[how]
    whole = {"sen1": decibels(9) if "radar" not in options else linear(9), "sen2": optical(9)}
    if "optical" in options:
        whole.pop("sen2")
    with pytest.raises(ImageError, match=says) as caught:
        read_hdf5(stacked(tmp_path / "a.h5", **whole | data), **options)
    one_sentence(caught.value, None if "such" in how else tmp_path / "a.h5")


def test_the_second_file_is_judged_too(tmp_path):
    good = stacked(tmp_path / "good.h5", sen2=optical(5), label=np.arange(5))
    assert read_hdf5(good).notes
    bad = stacked(tmp_path / "bad.h5", sen2=10_000 * optical(5))
    with pytest.raises(ImageError, match=r"bad\.h5 has a median of"):
        read_hdf5([good, bad])


def test_dark_bright_and_empty_scenes_are_taken(tmp_path):
    """Water, snow under cloud and open sea: what the limits must let pass."""
    water, snow = 0.1 * optical(9) - 0.01, 6 * optical(9)
    sea = decibels(9) + np.array([-16, -16], np.float32)
    for name, data in {
        "water": {"sen1": sea, "sen2": water},
        "snow": {"sen1": decibels(9) + 5, "sen2": snow.clip(0, 1.3)},
        "empty": {"sen1": np.zeros((9, SIDE, SIDE, 2)), "sen2": np.full((9, SIDE, SIDE, 10), np.nan)},
    }.items():
        chips = read_hdf5(stacked(tmp_path / f"{name}.h5", **data))
        assert bool(chips.notes) == (name == "empty")
    dark = stacked(tmp_path / "dark.h5", sen2=np.rint(10_000 * water.clip(0)))
    assert np.nanmedian(read_hdf5(dark, optical="dn").images[:]) < 0.02
    with pytest.raises(ImageError, match="digital numbers"):
        read_hdf5(dark)


@pytest.mark.parametrize("holds", ["amplitude", "product", "linear power"])
def test_curves_rise_and_have_no_heavy_tail(holds):
    numbers = np.concatenate([-np.logspace(4, -7, 99), [0], np.logspace(-7, 4, 99)]).astype(np.float32)
    made = CURVES[holds](numbers)
    assert made.dtype == np.float32
    if holds == "linear power":
        np.testing.assert_allclose(made[:100], -60, rtol=1e-6)
        assert (np.diff(made[numbers > 1e-6]) > 0).all()
        np.testing.assert_allclose(CURVES[holds](np.float32([0.01, 1, 100])), [-20, 0, 20], atol=1e-5)
    else:
        assert (np.diff(made) > 0).all()
        np.testing.assert_allclose(made, -made[::-1], rtol=1e-6)
        assert made[-1] < 15
        small = np.float32(1e-4)
        np.testing.assert_allclose(
            CURVES[holds](small), small * (10 if holds == "amplitude" else 100), rtol=1e-3
        )


# -- what is bad -------------------------------------------------------------------------------


def one_sentence(error, path):
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert ": " in text.replace(str(path), "")  # what to do
    assert path is None or str(path) in text


def soft(n=9):
    label = one_hot(np.zeros(n, dtype=int))
    label[2, :2] = 0.5
    return label


def double(n=9):
    label = one_hot(np.zeros(n, dtype=int))
    label[2, 4] = 1
    return label


BAD = {
    "no patches": ({"images": optical(9)}, r"no data set sen1 or sen2 \(it has images\)"),
    "nothing": ({}, r"no data set sen1 or sen2 \(it has none\): give a file of So2Sat"),
    "lengths": ({"sen1": eight(8), "sen2": optical(9)}, r"differ in number.*sen1 \(8, 8, 8, 8\), sen2 \(9,"),
    "labels": ({"sen2": optical(9), "label": one_hot([1] * 7)}, r"differ in number.*label \(7, 17\)"),
    "none": ({"sen2": optical(9)[:0]}, "there are none"),
    "sizes": ({"sen1": eight(9, side=4), "sen2": optical(9)}, "differ in size: bring them to one grid"),
    "13 bands": ({"sen2": drawn(0, 9, 13)}, "sen2 in .* has 13 bands but needs 10"),
    "3 radar bands": ({"sen1": drawn(0, 9, 3)}, "sen1 in .* has 3 bands but needs 2 or 8"),
    "channels first": ({"sen2": optical(9).transpose(0, 3, 1, 2)}, r"of the shape \(9, 10, 8, 8\): give"),
    "flat": (
        {"sen2": optical(9)[..., 0]},
        r"of the shape \(9, 8, 8\): give reflectance or backscatter as \(patches, side",
    ),
    "scalar": ({"sen2": np.float32(1)}, r"of the shape \(\)"),
    "bytes": ({"sen2": (500 * optical(9)).astype(np.uint8)}, "sen2 in .* is uint8 of the shape"),
    "words": ({"sen2": np.full((9, 8, 8, 10), b"x")}, "give reflectance or backscatter as"),
    "soft label": ({"sen2": optical(9), "label": soft()}, "neither one-hot in 17 columns nor one whole"),
    "two classes": ({"sen2": optical(9), "label": double()}, "neither one-hot"),
    "ten classes": ({"sen2": optical(9), "label": np.eye(10)[:9]}, r"label .*\(9, 10\) is neither one-hot"),
    "fractions": ({"sen2": optical(9), "label": np.arange(9) / 2}, "neither one-hot"),
    "NaN label": ({"sen2": optical(9), "label": np.full((9, 17), np.nan)}, "neither one-hot"),
}


@pytest.mark.parametrize("how", BAD)
def test_other_layouts_are_refused_in_words(tmp_path, how):
    data, says = BAD[how]
    path = stacked(tmp_path / "a.h5", **data)
    with pytest.raises(ImageError, match=says) as caught:
        read_hdf5(path)
    one_sentence(caught.value, path)


def test_files_that_cannot_be_read_are_refused_in_words(tmp_path):
    path = so2sat(tmp_path / "a.h5")
    whole = path.read_bytes()
    for data, says in [
        (whole[: len(whole) // 2], "is damaged or cut short .*: copy or download it again"),
        (whole[:40], "is damaged or cut short"),
        (b"", "is no HDF5 file, or is empty"),
        (b"PK\x03\x04 something else", "is no HDF5 file"),
    ]:
        path.write_bytes(data)
        for read in (read_hdf5, hdf5_groups):
            with pytest.raises(ImageError, match=says) as caught:
                read(path)
            one_sentence(caught.value, path)
    path.unlink()
    with pytest.raises(ImageError, match=r"There is no file .*a\.h5: give"):
        read_hdf5(path)
    with pytest.raises(ImageError, match="No file is given"):
        read_hdf5([])
    with pytest.raises(ImageError, match=r"a\.h5 is given twice: give each"):
        read_hdf5([path, tmp_path / "." / "a.h5"])


def test_a_patch_that_was_damaged_is_refused_when_it_is_reached(tmp_path):
    path = stacked(tmp_path / "a.h5", compressed=True, sen2=optical(300))
    with h5py.File(path) as file:  # a chunk of 16 patches that the first look does not reach in full
        offset = file["sen2"].id.get_chunk_info_by_coord((288, 0, 0, 0)).byte_offset
    images = read_hdf5(path).images
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 60)
    images = pickle.loads(pickle.dumps(images))
    assert np.isfinite(images[:288]).all()
    with pytest.raises(ImageError, match=r"a\.h5 is damaged or cut short") as caught:
        images[290]
    one_sentence(caught.value, path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    path = so2sat(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImageError, match=r'pip install "jido\[data\]"'):
        read_hdf5(path)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    first = so2sat(tmp_path / "a.h5", 3)
    for other, says in [
        (stacked(tmp_path / "b.h5", sen2=optical(3)), "other bands"),
        (
            stacked(tmp_path / "c.h5", sen1=eight(3, side=4), sen2=optical(3, side=4)),
            "patches of another size",
        ),
        (so2sat(tmp_path / "d.h5", 3, label=np.array([1, 2, 3])), "labels of different kinds"),
    ]:
        with pytest.raises(ImageError, match=says) as caught:
            read_hdf5([first, other])
        one_sentence(caught.value, first)


def test_bad_folders_of_geobench_are_refused(tmp_path):
    folder = geobench(tmp_path / "m")
    parts, labels = folder / "default_partition.json", folder / "label_map.json"
    good = parts.read_text()
    for text, says in [
        ('{"train": ["id_0001", "id_9"]}', "1 of its patches have no file"),
        ('{"train": ["id_0001"], "test": ["id_0001"]}', "id_0001 is in it twice"),
        ('{"train": ["id_00', "holds no lists of names"),
        ("[1, 2]", "holds no lists of names"),
    ]:
        parts.write_text(text)
        with pytest.raises(ImageError, match=says) as caught:
            read_hdf5(folder)
        one_sentence(caught.value, folder)
    parts.write_text(good)
    for key in ("17", "G", "-1"):
        labels.write_text(json.dumps({key: ["id_0001"]}))
        with pytest.raises(ImageError, match=f"has a class '{key}': call LCZ 1 to G 0 to 16"):
            read_hdf5(folder)
    labels.unlink()
    with h5py.File(folder / "id_0002.hdf5", "r+") as file:
        del file["08 - NIR"]
    with pytest.raises(ImageError, match=r"id_0002\.hdf5 has no '08 - NIR' of 8 x 8 pixels"):
        read_hdf5(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImageError, match="no whole folder of GEO-Bench"):
        read_hdf5(empty)
    so2sat(tmp_path / "files/training.h5", 3)
    with pytest.raises(ImageError, match="name the files one by one if they are of So2Sat"):
        read_hdf5(tmp_path / "files")
    with pytest.raises(ImageError, match="the whole folder of GEO-Bench"):
        read_hdf5(folder / "id_0001.hdf5")


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="s1s2_patches is not at ../shared/data")
def test_real_patches_are_as_h5py_reads_them():
    chips, groups = read_hdf5(REAL), hdf5_groups(REAL)
    assert chips.images.shape == (528, 12, 32, 32)
    assert chips.classes == ("1", "2", "4", "5", "6", "7", "9", "100", "101")
    counts = [27, 29, 31, 89, 11, 1, 49, 35, 195, 61]  # as the README of the data says
    assert np.bincount(chips.label + 1).tolist() == counts
    assert len(np.unique(groups)) == 9
    assert len(chips.notes) == 1
    which = np.random.default_rng(0).permutation(528)
    with h5py.File(REAL) as file:
        there = np.concatenate([file["sen1"][:], file["sen2"][:]], axis=-1)
    assert (chips.images[which] == np.moveaxis(there[which], -1, 1)).all()
    assert [part.likely for part in chips.radiometry.parts] == [["decibels"], ["reflectance"]]


@pytest.mark.skipif(not REAL.exists(), reason="s1s2_patches is not at ../shared/data")
def test_real_scenes_are_refused_in_another_unit_one_by_one(tmp_path):
    groups = hdf5_groups(REAL)
    with h5py.File(REAL) as file:
        whole = {key: file[key][:] for key in ("sen1", "sen2")}
    for number, scene in enumerate(np.unique(groups)):
        sen1, sen2 = (numbers[groups == scene][:9] for numbers in whole.values())
        start, power, counts = tmp_path / f"scene_{number}", 10 ** (sen1 / 10), np.rint(sen2 * 10_000)
        right = stacked(start / "0.h5", sen1=sen1, sen2=sen2)
        assert len(read_hdf5(right)) == 9
        for path, options, says in [
            (right, DN, "looks like reflectance, not like digital numbers"),
            (right, LINEAR, "looks like dB, not like linear power"),
            (stacked(start / "1.h5", sen1=power, sen2=sen2), {}, "looks like linear power"),
            (stacked(start / "2.h5", sen1=sen1, sen2=counts), {}, "looks like digital numbers"),
        ]:
            with pytest.raises(ImageError, match=says):
                read_hdf5(path, **options)
        told = read_hdf5(stacked(start / "3.h5", sen1=power, sen2=counts), **DN, **LINEAR).images[:]
        np.testing.assert_allclose(told[:, :2], sen1.transpose(0, 3, 1, 2), atol=1e-3)
        np.testing.assert_allclose(told[:, 2:], sen2.transpose(0, 3, 1, 2), atol=5.1e-5)
