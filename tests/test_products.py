"""Archives as agencies deliver them: one image with named bands in known units, whatever lies on disk."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from product_files import (
    LEFT,
    TOP,
    make_landsat,
    make_radar,
    make_safe,
    packed,
    s2_numbers,
    s2_side,
    write_band,
)
from stubs import Echo

from jido.errors import ImageError, ModelError
from jido.geo import identify
from jido.io import Scene, describe_scene, write_labels
from jido.io.archives import list_images
from jido.io.dates import image_day
from jido.io.products import find_product
from jido.io.series import image_files, open_series
from jido.maps.engine import require_fit

ODD = (slice(3, 40), slice(17, 60))
"""A window that begins and ends inside of pixels of 20 and 60 m."""


def cloud(rows=10, code=9):
    scl = np.full((48, 48), 4, "uint8")
    scl[:rows, :rows] = code
    return scl


def fine(numbers, offset=0):
    """Reflectance of numbers on the grid of 10 m."""
    side = s2_side
    return {
        band: np.kron(data, np.ones((side(band) // 10,) * 2)).astype("float64") / 1e4 + offset / 1e4
        for band, data in numbers.items()
    }


def error(*paths, **how):
    with pytest.raises(ImageError) as told, Scene(paths, **how) as scene:
        scene.read()
    text = str(told.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# -- Sentinel-2 --------------------------------------------------------------------------------


def test_a_folder_a_zip_and_its_metadata_file_are_one_image(tmp_path):
    numbers = s2_numbers()
    folder = make_safe(tmp_path, numbers, scl=cloud())
    before = sorted(tmp_path.rglob("*"))
    archive = packed(folder, tmp_path / f"{folder.name}.zip")
    truth = fine(numbers, offset=-1000)
    for path in (folder, archive, folder / "MTD_MSIL2A.xml"):
        with Scene([path]) as scene:
            image = scene.read()
            assert scene.geobox == GeoBox.from_bbox(
                (LEFT, TOP - 960, LEFT + 960, TOP), "EPSG:32649", resolution=10
            )
            assert image.names == tuple(band for band in numbers if band != "B10")
            assert {(band.sensor, band.unit) for band in image.bands} == {("sentinel-2", "reflectance")}
            assert image.bands[1].wavelength_nm == 492.4
            for plane, name in zip(image.data, image.names, strict=True):
                assert np.isnan(plane[:20, :20]).all()
                plane[:20, :20] = truth[name][:20, :20]
                np.testing.assert_allclose(plane, truth[name], atol=1e-6)
            part = scene.read(ODD).data
            clear = ~np.isnan(part)
            np.testing.assert_array_equal(part[clear], image.data[:, *ODD][clear])
            assert image_day(path) == "2021-07-05"
    assert sorted(set(tmp_path.rglob("*")) - {archive}) == before  # nothing is unpacked


def test_nodata_is_band_by_band_and_clouds_can_be_shown(tmp_path):
    numbers = s2_numbers()
    numbers["B04"][50:60] = 0
    folder = make_safe(tmp_path, numbers, scl=cloud())
    with Scene([folder], clouds="show") as scene:
        image = scene.read()
        assert not scene.notes
    red, rest = image.data[image.names.index("B04")], np.delete(image.data, image.names.index("B04"), axis=0)
    np.testing.assert_array_equal(np.isnan(red), np.arange(96)[:, None].repeat(96, 1) // 10 == 5)
    assert not np.isnan(rest).any()
    with Scene([folder], clouds="only") as scene:
        assert scene.names == ("SCL",)
        np.testing.assert_array_equal(scene.read().data[0], cloud())


@pytest.mark.parametrize("code", range(12))
def test_classes_that_hide_the_ground(tmp_path, code):
    folder = make_safe(tmp_path, s2_numbers(["B04", "B8A"]), scl=cloud(48, code))
    with Scene([folder]) as scene:
        assert np.isnan(scene.read().data).all() == (code in (0, 1, 3, 8, 9, 10))


@pytest.mark.parametrize(("baseline", "offset"), [("02.14", None), ("04.00", -1000), ("05.11", -1000)])
@pytest.mark.parametrize("level", ["1C", "2A"])
def test_all_baselines_and_levels_become_reflectance(tmp_path, level, baseline, offset):
    numbers = s2_numbers(["B02", "B03", "B04", "B08", "B10", "B12"])
    folder = make_safe(tmp_path, numbers, level=level, baseline=baseline, offset=offset)
    truth = fine(numbers, offset or 0)
    with Scene([folder]) as scene:
        assert ("B10" in scene.names) == (level == "1C")
        for plane, name in zip(scene.read().data, scene.names, strict=True):
            np.testing.assert_allclose(plane, truth[name], atol=1e-6)
        (part,) = describe_scene(scene).parts
        assert (part.likely, part.evidence, part.level) == (["reflectance"], "metadata", level[0])
        assert f"Level-{level}" in part.stated
        assert any("no SCL" in note for note in scene.notes) == (level == "1C")


@pytest.mark.parametrize("level", ["1C", "2A"])
def test_what_was_too_bright_to_be_measured_has_no_data(tmp_path, level):
    """65535 is no reflectance of 6.45, also in the copies of a coarser band."""
    numbers = s2_numbers(["B04", "B11"])
    numbers["B04"][5, 7] = numbers["B11"][3, 4] = 65_535
    with Scene([make_safe(tmp_path, numbers, level=level)], clouds="show") as scene:
        red, infrared = np.isnan(scene.read().data)
    assert np.argwhere(red).tolist() == [[5, 7]]
    assert np.argwhere(infrared).tolist() == [[6, 8], [6, 9], [7, 8], [7, 9]]


def test_an_offset_is_that_of_its_own_band(tmp_path):
    numbers = s2_numbers(["B08", "B8A"])
    folder = make_safe(tmp_path, numbers)
    metadata = folder / "MTD_MSIL2A.xml"
    text = metadata.read_text().replace('band_id="8">-1000<', 'band_id="8">-500<')  # 7 is B08, 8 is B8A
    metadata.write_text(text)
    with Scene([folder]) as scene:
        wide, narrow = scene.read().data
    np.testing.assert_allclose(wide, fine(numbers, -1000)["B08"], atol=1e-6)
    np.testing.assert_allclose(narrow, fine(numbers, -500)["B8A"], atol=1e-6)


def test_products_of_two_baselines_are_stacked_each_by_its_own_offset(tmp_path):
    numbers = s2_numbers(["B04", "B08"])
    new = make_safe(tmp_path, {band: data + 1000 for band, data in numbers.items()})
    old = make_safe(tmp_path, numbers, baseline="02.14", offset=None, day="20190705")
    with Scene([old, new]) as scene:
        assert scene.names == ("B04@1", "B08@1", "B04@2", "B08@2")
        image = scene.read().data
        np.testing.assert_allclose(image[:2], image[2:], atol=1e-6)
        (note,) = [note for note in scene.notes if "baselines differ" in note]
        assert f"{old.name}: 0" in note
        assert f"{new.name}: -1000" in note


@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_a_mask_goes_with_its_product_to_another_grid(tmp_path, resample):
    folder = make_safe(tmp_path, s2_numbers(["B04", "B08"]), scl=cloud())
    grid = GeoBox.from_bbox((LEFT + 60, TOP - 960, LEFT + 960, TOP), "EPSG:32649", resolution=30)
    with Scene([folder], like=grid, resample=resample) as scene:
        hidden = np.isnan(scene.read().data)
    expected = np.zeros((32, 30), bool)
    expected[:7, :5] = True  # 200 m: the centre of the seventh row lies at 195 m
    np.testing.assert_array_equal(hidden, np.stack([expected] * 2))


def test_another_process_opens_the_same_image(tmp_path):
    archive = packed(make_safe(tmp_path, s2_numbers(["B04", "B12"]), scl=cloud()), tmp_path / "a.zip")
    with Scene([archive], clouds="show") as scene, pickle.loads(pickle.dumps(scene)) as other:
        np.testing.assert_array_equal(scene.read().data, other.read().data)
        assert [path for path, _, _ in scene.state()] == [str(archive)]


# -- Landsat -----------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", [("txt",), ("xml",), ("json",), ("txt", "xml", "json")])
@pytest.mark.parametrize("pack", [False, True])
def test_landsat_8_level_2(tmp_path, formats, pack):
    """Level-1 factors stand in the same file under the same keys."""
    path = make_landsat(tmp_path, formats=formats)
    path = packed(path, tmp_path / "any.tar", inside=False) if pack else path
    with Scene([path]) as scene:
        assert scene.names == ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B10")
        assert [band.unit for band in scene.bands] == ["reflectance"] * 7 + ["K"]
        values = scene.read().data
        parts = describe_scene(scene).parts
    truth = [(10_000 + 100 * n) * 2.75e-05 - 0.2 for n in range(1, 8)] + [11_000 * 0.00341802 + 149]
    np.testing.assert_allclose(values[:, 5, 5], truth, rtol=1e-6)
    assert [(part.likely, part.level) for part in parts] == [(["reflectance"], "2"), (["kelvin"], "2")]
    assert image_day(path) == "2021-07-05"


@pytest.mark.parametrize(
    ("craft", "names", "roles"),
    [
        (5, "B1 B2 B3 B4 B5 B6 B7", "blue green red nir swir16 lwir swir22"),
        (7, "B1 B2 B3 B4 B5 B6 B7", "blue green red nir swir16 lwir swir22"),
        (9, "B1 B2 B3 B4 B5 B6 B7 B10", "coastal blue green red nir swir16 swir22 lwir11"),
    ],
)
def test_what_a_number_means_is_the_sensors(tmp_path, craft, names, roles):
    with Scene([make_landsat(tmp_path, craft=craft)]) as scene:
        assert " ".join(scene.names) == names
        assert " ".join(band.common_name for band in scene.bands) == roles


def test_level_1_is_divided_by_the_sine_of_the_sun(tmp_path):
    with Scene([make_landsat(tmp_path, level="L1TP")]) as scene:
        assert scene.names == ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9")
        expected = [
            ((10_000 + 100 * n) * 2e-5 - 0.1) / 0.5 for n in (1, 2, 3, 4, 5, 6, 7, 9)
        ]  # sin 30 degrees
        np.testing.assert_allclose(scene.read().data[:, 0, 0], expected, rtol=1e-5)
        assert "B8, B10" in scene.notes[0]
        assert describe_scene(scene).parts[0].level == "1"


def test_bits_that_hide_the_ground(tmp_path):
    qa = np.zeros((32, 32), "uint16")
    qa[0, :16] = 1 << np.arange(16)
    with Scene([make_landsat(tmp_path, qa=qa)]) as scene:
        hidden = np.isnan(scene.read().data).all(axis=0)
    assert np.flatnonzero(hidden).tolist() == [0, 1, 2, 3, 4]


def test_a_model_of_landsat_8_does_not_read_landsat_5(tmp_path):
    nir = identify(["B5", "B6", "B7", "B10"])[:1]
    with (
        Scene([make_landsat(tmp_path, craft=5)]) as scene,
        pytest.raises(ModelError, match=r"B5 is nir .* swir16"),
    ):
        require_fit(Echo(bands=nir, pixel_m=(30.0, 30.0)), scene)
    with Scene([make_landsat(tmp_path, craft=9)]) as scene:
        require_fit(Echo(bands=nir, pixel_m=(30.0, 30.0)), scene)


# -- radar -------------------------------------------------------------------------------------


def test_a_pair_of_polarisations_is_one_image_and_dates_stay_apart(tmp_path):
    first, second = make_radar(tmp_path), make_radar(tmp_path, day="20210717", seed=1)
    with Scene([*reversed(first), *second]) as scene:
        assert scene.names == ("VV@1", "VH@1", "VV@2", "VH@2")
        assert scene.bands[0].sensor == "sentinel-1"
        for plane, path in zip(scene.read().data, (*first, *second), strict=True):
            with rasterio.open(path) as source:
                np.testing.assert_array_equal(plane, source.read(1))
        assert {part.family for part in describe_scene(scene).parts} == {"radar"}
        assert {path for path, _, _ in scene.state()} == {str(path) for path in (*first, *second)}
    with Scene(first[:1]) as scene:
        assert scene.names == ("VV",)


def test_a_folder_of_a_pair_leaves_what_belongs_to_it_out(tmp_path):
    vv, _ = make_radar(tmp_path / "rtc")
    write_band(tmp_path / "rtc" / vv.name.replace("VV", "inc_map"), np.ones((96, 96), "float32"), 10)
    for path in (tmp_path / "rtc", packed(tmp_path / "rtc", tmp_path / "rtc.zip")):
        with Scene([path]) as scene:
            assert scene.names == ("VV", "VH")
    write_band(tmp_path / "rtc" / "other.tif", np.ones((96, 96), "float32"), 10)
    assert "without a" in error(tmp_path / "rtc")


def test_an_image_that_is_given_twice_is_there_twice(tmp_path):
    """As before and after of a change that there was none of."""
    vv, vh = make_radar(tmp_path)
    with Scene([vv, vh, vv, vh]) as scene:
        assert scene.names == ("VV@1", "VH@1", "VV@2", "VH@2")
    plain = write_band(tmp_path / "plain.tif", np.ones((4, 4), "float32"), 10)
    with Scene([plain, plain]) as scene:
        assert scene.names == ("band1@1", "band1@2")


@pytest.mark.parametrize("number", ["float32", "uint16"])
def test_what_a_mask_inside_of_a_file_hides_has_no_data_in_a_pair_either(tmp_path, number):
    hidden = np.zeros((96, 96), bool)
    hidden[:10, 20:] = True
    files = [
        write_band(tmp_path / f"a_{name}.tif", np.full((96, 96), level, number), 10)
        for name, level in (("VV", 7), ("VH", 3))
    ]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        for file in files:
            with rasterio.open(file, "r+") as sink:
                sink.write_mask(~hidden)
    with Scene(files) as scene:
        for plane, level in zip(scene.read().data, (7, 3), strict=True):
            np.testing.assert_array_equal(np.isnan(plane), hidden)
            assert (plane[~hidden] == level).all()


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.6, 0.01])
@pytest.mark.parametrize("pack", [False, True])
def test_a_band_that_is_cut_short(tmp_path, keep, pack):
    folder = make_safe(tmp_path, s2_numbers(["B04", "B08"]))
    band = next(folder.rglob("*B04_10m.jp2"))
    data = band.read_bytes()
    band.write_bytes(data[: int(keep * len(data))])
    text = error(packed(folder, tmp_path / "a.zip") if pack else folder)
    assert "B04_10m.jp2" in text
    assert "get it again" in text


def test_what_the_metadata_names_has_to_be_there(tmp_path):
    folder = make_safe(tmp_path)
    for band in ("B03_10m", "B11_20m"):
        next(folder.rglob(f"*{band}.jp2")).unlink()
    assert "lacks B03, B11" in error(folder)
    landsat = make_landsat(tmp_path)
    next(landsat.glob("*SR_B4.TIF")).unlink()
    assert "lacks B4, " in error(landsat)
    assert "lacks B4, " in error(packed(landsat, tmp_path / "a.tar"))


def test_without_metadata(tmp_path):
    folder = make_safe(tmp_path, s2_numbers(["B04"]))
    (folder / "MTD_MSIL2A.xml").unlink()
    assert "no MTD_MSIL1C.xml or MTD_MSIL2A.xml" in error(folder)
    assert "no MTD_MSIL1C.xml or MTD_MSIL2A.xml" in error(packed(folder, tmp_path / "a.zip"))
    landsat = make_landsat(tmp_path, formats=())
    assert "no *_MTL.txt" in error(landsat)
    assert "no *_MTL.txt" in error(packed(landsat, tmp_path / "a.tar", inside=False))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("</n1:General_Info>", "", "is damaged or cut short"),
        ("05.00</PROC", "five</PROC", "wrongly"),
        ('unit="none">10000<', 'unit="none">0<', "BOA_QUANTIFICATION_VALUE '0'"),
        ('unit="none">10000<', 'unit="none">inf<', "BOA_QUANTIFICATION_VALUE 'inf'"),
        ('id="3">-1000<', 'id="3">nan<', "states no BOA_ADD_OFFSET of B04, without"),
        (
            '<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>',
            "",
            "states no BOA_ADD_OFFSET of B04, without",
        ),
        ("PROCESSING_LEVEL", "LEVEL", "states no PROCESSING_LEVEL"),
        ("BOA_ADD_OFFSET ", "BOA_ADD ", "is damaged"),
        ("IMAGE_FILE", "IMAGES", "names no band files"),
        ("GRANULE/", "../../GRANULE/", "lacks B04, SCL"),
    ],
)
def test_metadata_that_is_wrong(tmp_path, old, new, says):
    folder = make_safe(tmp_path, s2_numbers(["B04"]))
    metadata = folder / "MTD_MSIL2A.xml"
    assert old in metadata.read_text()
    metadata.write_text(metadata.read_text().replace(old, new))
    assert says in error(folder)


def test_names_of_the_first_level_2_products(tmp_path):
    numbers = s2_numbers(["B04"])
    folder = make_safe(tmp_path, numbers, baseline="02.06", offset=None)
    metadata = folder / "MTD_MSIL2A.xml"
    text = metadata.read_text().replace("BOA_QUANTIFICATION", "L2A_BOA_QUANTIFICATION")
    for name in ("PRODUCT_URI", "IMAGE_FILE"):
        text = text.replace(f"{name}>", f"{name}_2A>")
    metadata.write_text(text)
    with Scene([folder]) as scene:
        np.testing.assert_allclose(scene.read().data[0], fine(numbers)["B04"], atol=1e-6)


def test_a_new_baseline_without_an_offset_is_refused(tmp_path):
    assert "states no BOA_ADD_OFFSET" in error(make_safe(tmp_path, s2_numbers(["B04"]), offset=None))


def test_landsat_metadata_that_is_wrong(tmp_path):
    folder = make_landsat(tmp_path, formats=("txt",))
    (metadata,) = folder.glob("*_MTL.txt")
    good = metadata.read_text()
    for old, new, says in (
        ("2.75e-05", "many", "no factors of B1"),
        ("2.75e-05", "nan", "no factors of B1"),
        ("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "OTHER", "no factors of B10"),
        ("LANDSAT_8", "LANDSAT_3", "is not of Landsat 4 to 9"),
        ("PRODUCT_CONTENTS", "PRODUCT_METADATA", "is not of Landsat 4 to 9"),
    ):
        metadata.write_text(good.replace(old, new))
        assert says in error(folder)
    night = make_landsat(tmp_path, level="L1GT", formats=("json",))
    (metadata,) = night.glob("*_MTL.json")
    metadata.write_text(metadata.read_text().replace('"30.0"', '"-12.5"'))
    assert "no elevation of the sun above 0" in error(night)


def test_archives_that_are_none_or_several(tmp_path):
    one, two = (make_safe(tmp_path / "in", s2_numbers(["B04"]), day=day) for day in ("20210705", "20210710"))
    both = packed(tmp_path / "in", tmp_path / "both.zip", inside=False)
    for path in (both, tmp_path / "in"):
        text = error(path)
        assert "holds 2 products" in text
        assert one.name in text
        assert two.name in text
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as sink:
        sink.writestr("read.me", "nothing")
    assert "is an archive without a" in error(tmp_path / "plain.zip")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as sink:
        sink.writestr("../../MTD_MSIL2A.xml", "<a/>")
    assert "outside of its folder" in error(tmp_path / "evil.zip")
    (tmp_path / "no.zip").write_bytes(b"none")
    assert "cannot be read" in error(tmp_path / "no.zip")
    (tmp_path / "empty").mkdir()
    assert "is a folder without a" in error(tmp_path / "empty")
    whole = packed(make_landsat(tmp_path), tmp_path / "whole.tar", inside=False)
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "cannot be read" in error(tmp_path / "cut.tar")
    assert "compressed as a whole" in error(
        shutil.make_archive(str(tmp_path / "a"), "gztar", tmp_path / "in")
    )


def test_a_locked_archive(tmp_path):
    archive = packed(make_safe(tmp_path, s2_numbers(["B04"])), tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    for place in [i for i in range(len(data) - 4) if data[i : i + 4] in (b"PK\x03\x04", b"PK\x01\x02")]:
        data[place + (6 if data[place + 2] == 3 else 8)] |= 1  # the flag that says so
    archive.write_bytes(data)
    assert "password" in error(archive)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_radar_that_does_not_fit(tmp_path):
    vv, vh = make_radar(tmp_path)
    _, later = make_radar(tmp_path, day="20210717")
    assert "are no pair" in error(vv, later)
    assert "holds several radar images" in error(tmp_path)
    with rasterio.open(vh) as source:
        write_band(vh, source.read(1), 10, left=LEFT + 5)
    assert "lies on another grid" in error(vv, vh)
    with rasterio.open(vv, "w", driver="GTiff", width=8, height=8, count=2, dtype="uint8"):
        pass
    assert "has 2 bands" in error(vv, vh)
    write_band(vv, np.ones((96, 96), "float32"), 1, left=0, top=0, crs=None)
    assert "is not georeferenced: correct the image for the terrain first" in error(vv, vh)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_grd_along_the_orbit_names_the_correction_that_it_needs(tmp_path):
    folder = tmp_path / "S1A_IW_GRDH_1SDV_20210705T095012_20210705T095037_038642_048F3E_1A2B.SAFE"
    for kind, number in (("vv", 1), ("vh", 2)):
        name = f"s1a-iw-grd-{kind}-20210705t095012-20210705t095037-038642-048f3e-00{number}.tiff"
        path = folder / "measurement" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", driver="GTiff", width=32, height=32, count=1, dtype="uint16") as sink:
            sink.write(np.ones((1, 32, 32), "uint16"))
    (folder / "manifest.safe").write_text("<xfdu:XFDU/>")
    assert "Range-Doppler terrain correction" in error(folder)
    assert "Range-Doppler terrain correction" in error(packed(folder, tmp_path / "grd.zip"))


# -- where products go -------------------------------------------------------------------------


def test_series_take_the_mask_of_each_product(tmp_path):
    """Days are those of the metadata where a file was named anew, and water is told from clouds."""
    june = make_safe(tmp_path / "in", s2_numbers(["B04", "B08"]), scl=cloud(), day="20210605")
    packed(june, tmp_path / "june.zip")
    shutil.rmtree(tmp_path / "in")
    july = make_safe(tmp_path, s2_numbers(["B04", "B08"], seed=1), scl=cloud(20))
    assert image_files([tmp_path]) == [july, tmp_path / "june.zip"]
    with open_series([tmp_path]) as series:
        assert series.days == ("2021-06-05", "2021-07-05")
        assert not series.notes
        whole = (slice(0, 96), slice(0, 96))
        hidden = [np.isnan(series.read(place, whole, ["red", "nir"])).all(axis=0).sum() for place in (0, 1)]
        assert hidden == [20 * 20, 40 * 40]
        assert series.images[0].clouds.names == ("SCL",)


def test_a_product_is_one_of_a_list_of_images(tmp_path):
    folder = make_safe(tmp_path, s2_numbers(["B04", "B08"]))
    archive = packed(folder, tmp_path / "a.zip")
    listed = list_images([folder, archive], work=tmp_path / "work")
    assert [one.path for one in listed] == [folder, archive]
    assert not (tmp_path / "work").exists()


def test_other_files_are_no_products(tmp_path):
    image = write_band(tmp_path / "a.tif", np.ones((8, 8), "uint8"), 10)
    assert find_product(image) is None
    assert find_product(tmp_path / "none.zip") is None


@pytest.fixture(scope="module")
def town_products(tmp_path_factory):
    """A simulated town as level 2A with a cloud, and as 1C; its polygons."""
    from jido import simulate_city

    folder = tmp_path_factory.mktemp("products")
    city = simulate_city(0, cells=32)
    grid = city.optical.geobox
    place = {"left": grid.affine.c, "top": grid.affine.f, "crs": str(grid.crs)}
    numbers = {}
    for band in city.optical.select(["B02", "B03", "B04", "B08", "B11"]).bands:
        plane = city.optical.select([band.name]).data[0] * 1e4 + 1000
        step = s2_side(band.name) // 10
        rows, cols = (side // step for side in plane.shape)
        numbers[band.name] = np.rint(plane.reshape(rows, step, cols, step).mean((1, 3))).astype("uint16")
    scl = np.full((160, 160), 4, "uint8")
    scl[:20, :25] = 8
    two = make_safe(folder, numbers, scl=scl, **place)
    write_labels(city.polygons(36, seed=0), folder / "polygons.gpkg")
    return packed(two, folder / f"{two.name}.zip"), make_safe(folder, numbers, level="1C", **place), folder


def test_from_a_product_to_a_map(jido, town_products, tmp_path):
    """The same model maps the archive with its cloud left out or taken in; level 1C is refused in words."""
    archive, level_1, folder = town_products
    model = tmp_path / "model"
    labels = folder / "polygons.gpkg"
    options = ("--labels", labels, "--preset", "smoke", "--folds", "2", "-o", model)
    trained = jido("lcz", "train", archive, *options)
    assert trained.code == 0
    assert "Clouds and their shadows count as not seen" in trained.err
    maps = {}
    for name, options in (("hidden", ()), ("shown", ("--keep-clouds",))):
        made = jido("map", model, archive, "-o", tmp_path / f"{name}.tif", *options)
        assert made.code == 0
        with rasterio.open(tmp_path / f"{name}.tif") as source:
            maps[name] = source.read(1)
    empty = maps["hidden"] == 255
    np.testing.assert_array_equal(np.argwhere(empty), np.argwhere(np.ones((4, 5))))
    assert (maps["shown"] != 255).all()
    np.testing.assert_array_equal(maps["hidden"][8:], maps["shown"][8:])  # cells beside it see the cloud
    wrong = jido("map", model, level_1, "-o", tmp_path / "x.tif")
    assert wrong.code == 2
    assert "says processing level 1" in wrong.err
    assert not (tmp_path / "x.tif").exists()


def test_green_of_a_product(jido, town_products, tmp_path):
    archive, _, _ = town_products
    made = jido("indicator", "green", archive, "-o", tmp_path / "green", "--grid", "500", "--json", "-q")
    assert made.code == 0
    assert 0 < made.json["summary"]["share"]["value"] < 1
    sheet = (tmp_path / "green.method.md").read_text()
    assert "2021-07-05: reflectance by metadata" in sheet
    assert "--keep-clouds" not in sheet
