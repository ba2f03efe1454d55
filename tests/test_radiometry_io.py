"""The radiometry guard on files: metadata, the sample, the way into and out of a model, real images."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from jido.errors import ModelError
from jido.geo import identify
from jido.geo.radiometry import Conversion, Radiometry, Stated, compare, describe
from jido.io import Scene, describe_scene
from jido.io.radiometry import sample_pixels, stated
from jido.maps.radiometry import require_radiometry
from jido.methods.forest import ForestModel

NAMES = ("B02", "B03", "B04", "B08", "B11")
FIELDS, LAKE, TREES = [8, 12, 17, 26, 35], [3, 4, 2, 1, 0.5], [2, 4, 2.5, 28, 14]


def country(seed, *, side=128, covers=(FIELDS, LAKE, TREES)):
    """Reflectance (5, side, side) of fields, water and trees in squares of 16 pixels."""
    rng = np.random.default_rng(seed)
    squares = np.kron(rng.integers(0, len(covers), (side // 16, side // 16)), np.ones((16, 16), dtype=int))
    spectra = np.moveaxis(np.array(covers)[squares] / 100, 2, 0)
    return spectra * rng.lognormal(0, 0.2, (side, side)) * rng.lognormal(0, 0.04, spectra.shape)


def write(path, data, *, names=NAMES, tags=None, units=None, scales=None, offsets=None, nodata=None):
    """A file as other programs write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"count": len(data), "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype}
    grid = {"crs": "EPSG:32633", "transform": from_origin(5e5, 5e6, 10, 10), "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", **profile, **grid) as sink:
        sink.write(data)
        sink.descriptions = names
        sink.update_tags(**(tags or {}))
        for attribute, value in (("units", units), ("scales", scales), ("offsets", offsets)):
            if value is not None:
                setattr(sink, attribute, (value,) * len(data))
    return path


def described(path):
    with Scene([path]) as scene:
        return describe_scene(scene)


def counts(reflectance, *, offset=0):
    return np.rint(reflectance * 1e4 + offset).astype(np.uint16)


SAFE = "S2B_MSIL2A_20230705T100559_N0509_R022_T33UVR_20230705T130613"


@pytest.mark.parametrize(
    ("file", "tags", "offset", "level"),
    [
        ("a.tif", {}, None, ""),
        ("a.tif", {"PROCESSING_BASELINE": "05.09"}, True, ""),
        ("a.tif", {"PROCESSING_BASELINE": "02.14"}, False, ""),
        ("a.tif", {"BOA_ADD_OFFSET": "-1000"}, True, ""),
        ("a.tif", {"RADIO_ADD_OFFSET_B4": "0", "PROCESSING_BASELINE": "05.09"}, False, ""),
        ("a.tif", {"B4#add_offset": "0"}, None, ""),
        ("a.tif", {"PROCESSING_LEVEL": "Level-1C"}, None, "1"),
        ("a.tif", {"PRODUCT_URI": SAFE + ".SAFE"}, True, "2"),
        (SAFE + ".tif", {}, True, "2"),
        (SAFE + ".SAFE/GRANULE/B04.tif", {}, True, "2"),
        ("S2A_MSIL1C_20170705T100031_N0205_R122_T33UVR_20170705T100029.tif", {}, False, "1"),
        ("LC08_L2SP_122044_20141015_20200910_02_T1_B4.tif", {}, None, "2"),
        ("LC08_L1TP_122044_20141015_20200910_02_T1_B4.tif", {}, None, "1"),
        ("a.tif", {"DATETIME": "2023:07:05", "ACQUIRED": "2023-07-05"}, None, ""),
    ],
)
def test_metadata_is_found_where_it_stands(tmp_path, file, tags, offset, level):
    path = write(tmp_path / file, counts(country(0)), tags=tags)
    with Scene([path]) as scene:
        said = stated(scene)
    assert {(one.offset, one.level, one.dtype) for one in said} == {(offset, level, "uint16")}


def test_the_offset_that_the_file_takes_away_is_none(tmp_path):
    raw, tags = counts(country(0), offset=1000), {"PROCESSING_BASELINE": "05.09"}
    done = described(write(tmp_path / "a.tif", raw, tags=tags, scales=1e-4, offsets=-0.1)).parts[0]
    left = described(write(tmp_path / "b.tif", raw, tags=tags, scales=1e-4)).parts[0]
    assert (done.likely, left.likely) == (["reflectance"], ["reflectance + 0.1"])


def test_metadata_that_cannot_be_right_is_named(tmp_path):
    trained = described(write(tmp_path / "a.tif", country(0).astype(np.float32), units="reflectance"))
    here = described(write(tmp_path / "b.tif", counts(country(1)), units="reflectance"))
    (found,) = compare(trained, here)
    assert found.code == "scale"
    assert "although the metadata says unit reflectance" in found.sentence


def test_the_sample_is_small_and_the_same_every_time(tmp_path):
    path = write(tmp_path / "a.tif", counts(country(0, side=1600)))
    with Scene([path]) as scene:
        windows, read = [], scene.read
        scene.read = lambda window: windows.append(window) or read(window)
        first = sample_pixels(scene)
        assert len(windows) == 64
        assert max(rows.stop - rows.start for rows, _ in windows) == 64
        np.testing.assert_array_equal(sample_pixels(scene), first)
    assert first.shape == (5, 65536)


def test_a_speck_of_data_in_an_empty_scene_is_found(tmp_path):
    data = np.zeros((5, 1600, 1600), dtype=np.uint16)
    data[:, 700:900, 300:500] = counts(country(0, side=208))[:, :200, :200]
    part = described(write(tmp_path / "a.tif", data, nodata=0)).parts[0]
    assert part.likely == ["reflectance x 10000"]


def test_a_scene_without_data_has_no_radiometry(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((5, 64, 64), dtype=np.uint16), nodata=0)
    assert described(path).parts == ()


def test_a_scene_of_nothing_but_zeros_is_refused(trained, tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((5, 64, 64), dtype=np.uint16))
    with Scene([path]) as scene, pytest.raises(ModelError, match="same value"):
        require_radiometry(trained, scene, convert=True)


def test_an_image_smaller_than_a_window(tmp_path):
    assert (
        described(write(tmp_path / "a.tif", counts(country(0, side=16)))).parts[0].bands["B08"].count == 256
    )


@pytest.fixture
def trained(tmp_path):
    """A model that knows the radiometry of its training: reflectance."""
    path = write(tmp_path / "training.tif", country(0).astype(np.float32))
    return SimpleNamespace(radiometry=described(path))


def test_a_scene_of_other_numbers_is_refused_in_words(trained, tmp_path):
    path = write(tmp_path / "counts.tif", counts(country(1), offset=1000))
    with Scene([path]) as scene, pytest.raises(ModelError) as error:
        require_radiometry(trained, scene, convert=False)
    for text in ("B02", "counts.tif", "reflectance x 10000 + 1000", "whole numbers", "--convert"):
        assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_convert_brings_the_numbers_back(trained, tmp_path):
    reflectance = country(1)
    data = counts(reflectance, offset=1000)
    data[:, :10, :10] = 0
    path = write(tmp_path / "counts.tif", data, nodata=0)
    with Scene([path]) as scene:
        converted = require_radiometry(trained, scene, convert=True)
        whole, part = converted.read().data, converted.pixels((slice(9, 12), slice(9, 12)), ["B08", "B02"])
        assert np.isnan(whole[:, :10, :10]).all()
        np.testing.assert_allclose(whole[:, 10:], reflectance[:, 10:], atol=6e-5)
        np.testing.assert_array_equal(part, whole[[3, 0], 9:12, 9:12])
        assert {band.unit for band in converted.bands} == {"reflectance"}
        assert any("converted to reflectance" in note for note in converted.notes)
        assert (scene.notes, scene.conversions, scene.read().data[0, 10, 10]) == ([], {}, data[0, 10, 10])
        assert require_radiometry(trained, converted, convert=False).notes == converted.notes


def test_a_converted_scene_goes_to_another_process(tmp_path):
    path = write(tmp_path / "counts.tif", counts(country(1)))
    change = Conversion("reflectance x 10000", "reflectance")
    with Scene([path]) as scene:
        converted = scene.converted(dict.fromkeys(NAMES, change))
        with pickle.loads(pickle.dumps(converted)) as other:
            np.testing.assert_array_equal(other.read().data, converted.read().data)
            assert other.bands == converted.bands


def test_bands_of_several_images_are_judged_by_their_image(tmp_path):
    one, two = (write(tmp_path / f"{i}.tif", counts(country(i))) for i in range(2))
    newer = write(tmp_path / "newer.tif", counts(country(2), offset=1000))
    with Scene([one, two]) as training, Scene([one, newer]) as scene:
        model = SimpleNamespace(radiometry=describe_scene(training))
        converted = require_radiometry(model, scene, convert=True)
        assert sorted(converted.conversions) == [f"{name}@2" for name in NAMES]
        np.testing.assert_allclose(converted.read().data[5:], scene.read().data[5:] - 1000)


def test_what_cannot_be_converted_is_refused_all_the_same(trained, tmp_path):
    path = write(tmp_path / "swapped.tif", country(1)[[3, 1, 2, 0, 4]].astype(np.float32))
    with Scene([path]) as scene, pytest.raises(ModelError, match="band descriptions"):
        require_radiometry(trained, scene, convert=True)


def test_an_old_model_gets_a_note(tmp_path):
    with Scene([write(tmp_path / "a.tif", counts(country(0)))]) as scene:
        checked = require_radiometry(SimpleNamespace(radiometry=None), scene, convert=False)
    assert "was not checked" in checked.notes[0]


def test_a_package_keeps_the_radiometry(model, town, tmp_path):
    loaded = ForestModel.load(model)
    with Scene(town.images) as scene:
        assert loaded.radiometry == describe_scene(scene)
        assert require_radiometry(loaded, scene, convert=False).notes == []
    assert [part.likely for part in loaded.radiometry.parts] == [["decibels"], ["reflectance"]]


@pytest.mark.parametrize("facts", [{}, {"parts": [{}]}, {"parts": 1}, [], {"parts": [{"bands": 1}]}])
def test_damaged_facts_are_errors_that_loading_knows(facts):
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        Radiometry.from_dict(facts)


SHARED = Path(__file__).parents[2] / "shared/data"


def real(name):
    """Marks a test that needs a folder of real data."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"{name} is not at ../shared/data")


@real("water")
def test_real_level_1c_counts_and_decibels():
    optical = described(SHARED / "water/Spain_7370579_S2Hand.tif").parts[0]
    assert (optical.likely, optical.haze) == (["reflectance x 10000"], True)
    assert described(SHARED / "water/Spain_7370579_S1Hand.tif").parts[0].likely == ["decibels"]


@real("lcz_hongkong")
def test_real_landsat_counts_of_four_dates_agree():
    dates = [described(path) for path in sorted((SHARED / "lcz_hongkong").glob("landsat8_*.tif"))]
    for one in dates:
        assert [part.likely for part in one.parts] == [["level-1 numbers"], ["level-1 thermal numbers"]]
        assert {part.level for part in one.parts} == {"1"}
        assert [wrong for other in dates for wrong in compare(other, one) if wrong.refuses] == []


@real("buildings_uganda")
def test_real_drone_images_agree():
    one, two = (described(path) for path in sorted((SHARED / "buildings_uganda").glob("*_images.tif")))
    assert one.parts[0].likely == ["8-bit numbers"]
    assert compare(one, two) == compare(two, one) == []


def patches():
    """Radar and optical pixels of the nine scenes, by name."""
    import h5py

    names = identify(["VV", "VH", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"])
    with h5py.File(SHARED / "s1s2_patches/s1s2_patches_real.h5") as file:
        source = file["source"][:]
        for scene in np.unique(source):
            place = np.flatnonzero(source == scene)
            pixels = np.concatenate([file["sen1"][place], file["sen2"][place]], axis=-1).reshape(-1, 12).T
            yield scene.decode(), describe(pixels[:, ::2], names, [Stated(image=scene.decode())] * 12)


@real("s1s2_patches")
def test_of_nine_real_scenes_only_the_one_with_the_offset_is_refused():
    scenes = dict(patches())
    offset = next(name for name in scenes if "433D_629L" in name)  # smallest reflectance 0.1045
    for name, one in scenes.items():
        assert [part.likely[0] for part in one.parts] == [
            "decibels", "reflectance + 0.1" if name == offset else "reflectance"
        ]  # fmt: skip
        for other, there in scenes.items():
            codes = {wrong.code for wrong in compare(there, one) if wrong.refuses}
            told = {"offset"} if offset in (name, other) and name != other else set()
            assert codes == told or (codes == set() and "38D_378R" in name + other)  # bright desert
