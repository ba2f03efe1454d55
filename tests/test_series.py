"""Images of several dates: their days, their clouds, their order, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import identify
from jido.io import Scene
from jido.io.clouds import cloudy
from jido.io.dates import day_in, image_day, image_days
from jido.io.series import Series, image_files, open_series, open_stac_series

LEFT, TOP = 500_000, 5_600_000
ALL = slice(0, 8), slice(0, 8)
HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"


def write(
    path, planes, names=(), *, left=LEFT, top=TOP, size=10, crs="EPSG:32632", nodata=None, tags=None, unit=""
):
    """A GeoTIFF of planes (C, y, x) or one (y, x)."""
    planes = np.asarray(planes)
    planes = planes[None] if planes.ndim == 2 else planes
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Affine(size, 0, left, 0, -size, top)
    count, height, width = planes.shape
    facts = {"count": count, "height": height, "width": width, "dtype": planes.dtype, "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, **facts) as sink:
        sink.write(planes)
        sink.update_tags(**(tags or {}))
        for number, name in enumerate(names, start=1):
            sink.set_band_description(number, name)
            sink.set_band_unit(number, unit)
    return path


def reflectance(ndvi, *, total=0.5):
    """Red and near infrared (2, y, x) float32 whose sum is ``total``; NaN stays NaN."""
    ndvi = np.asarray(ndvi, dtype=np.float64)
    return np.stack([total * (1 - ndvi) / 2, total * (1 + ndvi) / 2]).astype(np.float32)


def image(path, ndvi, **facts):
    """An image of reflectance in which every pixel has the NDVI that is given."""
    planes = reflectance(np.broadcast_to(ndvi, (8, 8)) if np.ndim(ndvi) == 0 else ndvi)
    return write(path, planes, ("B04", "B08"), nodata=np.nan, unit="reflectance", **facts)


def ndvi_of(series, place=0, window=ALL):
    red, nir = series.read(place, window, ("red", "nir"))
    return (nir - red) / (nir + red)


# -- days --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("S2A_MSIL2A_20210705T024551_N0301_R132_T49QGE_20210706T112233.SAFE", "2021-07-05"),
        ("LC08_L2SP_121045_20131129_20200912_02_T1_SR_B4.TIF", "2013-11-29"),
        ("landsat8_2014-10-15.tif", "2014-10-15"),
        ("scene_2021_07_05_v2.tif", "2021-07-05"),
        ("tile_20211305_20210705.tif", "2021-07-05"),  # no thirteenth month
        ("20210230.tif", ""),  # no 30 February
        ("img_2021-0705.tif", ""),  # half with dashes
        ("120210705.tif", ""),  # nine digits are a number
        ("18990705.tif", ""),
    ],
)
def test_the_day_in_a_name(name, day):
    assert day_in(name) == day


def test_a_tag_tells_the_day_when_the_name_does_not(tmp_path):
    seen = {"SENSING_TIME": "2021-07-05T10:00:00", "PROCESSING_TIME": "2022-01-01"}
    assert image_day(image(tmp_path / "plain.tif", 0.5, tags=seen)) == "2021-07-05"
    assert image_day(image(tmp_path / "scene_20200801.tif", 0.5, tags=seen)) == "2020-08-01"
    made = {"PROCESSING_TIME": "2022-01-01", "TIFFTAG_DATETIME": "2022:01:01 00:00:00"}
    assert image_day(image(tmp_path / "other.tif", 0.5, tags=made)) == ""


def test_days_are_read_or_given_one_for_each(tmp_path):
    paths = [Path("b_20210805.tif"), Path("a_20210705.tif")]
    assert image_days(paths, []) == ["2021-08-05", "2021-07-05"]
    assert image_days(paths, [" 2020-01-02", "2020-01-01"]) == ["2020-01-02", "2020-01-01"]
    with pytest.raises(ImageError, match="2 images were given but 1 dates: give one for each"):
        image_days(paths, ["2021-07-05"])
    with pytest.raises(ImageError, match="not written as 2021-07-05"):
        image_days(paths, ["2021-07-05", "5.7.2021"])
    path = image(tmp_path / "image.tif", 0.5)
    with pytest.raises(ImageError, match=r"image.tif does not say when it was taken: give --dates"):
        image_days([path], [])


def test_files_and_folders(tmp_path):
    for name in ("folder/b.tif", "folder/a.TIF", "folder/notes.txt", "z.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = image_files([tmp_path / "folder", tmp_path / "z.tif"])
    assert [path.name for path in found] == ["a.TIF", "b.tif", "z.tif"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty holds no image \(.tif, .*\): give the files"):
        open_series([tmp_path / "empty"])
    with pytest.raises(ImageError, match=r"missing_20210705.tif does not exist"):
        open_series([tmp_path / "missing_20210705.tif"])
    with pytest.raises(ImageError, match=r"missing does not exist"):
        open_series([tmp_path / "missing"])


# -- clouds ------------------------------------------------------------------------------------


def hidden(path, codes, name, **facts):
    """What a mask of one row hides."""
    with Scene([write(path, np.array([codes]), (name,), **facts)]) as masks:
        return cloudy(masks, (slice(0, 1), slice(0, len(codes))))[0].tolist()


def test_scene_classes_that_hide_the_ground(tmp_path):
    # 0 no data, 1 saturated, 2 dark, 3 shadow, 4 plants, 5 bare, 6 water, 7 unclassified, 8-9 cloud,
    # 10 cirrus, 11 snow (Sentinel-2 Products Specification Document, table of the scene classification)
    shown = {2, 4, 5, 6, 7, 11}
    found = hidden(tmp_path / "scl.tif", np.arange(12, dtype=np.uint8), "SCL", nodata=0)
    assert found == [code not in shown for code in range(12)]


def test_quality_bits_that_hide_the_ground(tmp_path):
    clear, water, snow = 1 << 6, 1 << 7 | 1 << 6, 1 << 5 | 1 << 6
    confidence = 1 << 8 | 1 << 10 | 1 << 12 | 1 << 14  # low confidences hide nothing
    words = [clear | confidence, water | confidence, snow | confidence]
    words += [1 << bit | confidence for bit in range(5)]  # fill, dilated cloud, cirrus, cloud, shadow
    found = hidden(tmp_path / "qa.tif", np.array(words, dtype=np.uint16), "QA_PIXEL")
    assert found == [False] * 3 + [True] * 5
    # the words that USGS lists for clear land, cloud, shadow and cirrus
    listed = np.array([21824, 22280, 23888, 54596], dtype=np.uint16)
    assert hidden(tmp_path / "usgs.tif", listed, "QA_PIXEL") == [False, True, True, True]


def test_a_plain_mask_hides_where_it_is_not_0(tmp_path):
    assert hidden(tmp_path / "m.tif", np.array([0, 1, 255, 0], np.uint8), "clouds") == [0, 1, 1, 0]
    share = np.array([0, 0.4, 1.0, np.nan], np.float32)  # of a pixel that is cloud; not told is not cloud
    assert hidden(tmp_path / "f.tif", share, "clouds") == [False, True, True, False]


# -- a series ----------------------------------------------------------------------------------


def test_images_come_by_day_whatever_their_order(tmp_path):
    paths = [image(tmp_path / f"s_{day}.tif", n / 10) for n, day in ((7, 20210705), (6, 20210615))]
    with open_series(paths) as series:
        assert series.days == ("2021-06-15", "2021-07-05")
        np.testing.assert_allclose(ndvi_of(series, 0), 0.6, atol=1e-6)
        np.testing.assert_allclose(ndvi_of(series, 1), 0.7, atol=1e-6)
    with open_series(paths, dates=["2020-01-02", "2020-01-01"]) as series:
        assert series.days == ("2020-01-01", "2020-01-02")
        np.testing.assert_allclose(ndvi_of(series, 0), 0.6, atol=1e-6)
    assert sorted(path.name for path in series.state()) == sorted(path.name for path in paths)


def test_bands_of_one_day_in_several_files_are_one_image(tmp_path):
    red, nir = reflectance(np.full((8, 8), 0.6))
    for name, plane in (("B08", nir), ("B04", red)):
        write(tmp_path / f"20210705_{name}.tif", plane, (name,), unit="reflectance")
    with open_series([tmp_path]) as series:
        assert series.days == ("2021-07-05",)
        assert series.has("nir")
        assert series.has("red")
        assert not series.has("green")
        np.testing.assert_allclose(ndvi_of(series), 0.6, atol=1e-6)


def test_no_data_and_clouds_are_nan(tmp_path):
    ndvi = np.full((8, 8), 0.6)
    ndvi[0] = np.nan
    scl = np.full((4, 4), 4, np.uint8)
    scl[3, 3] = 9
    image(tmp_path / "a_20210705.tif", ndvi)
    write(tmp_path / "a_20210705_scl.tif", scl, ("SCL",), size=20, nodata=0)  # half as fine
    with open_series([tmp_path]) as series:
        lost = np.isnan(series.read(0, ALL, ("red", "nir")))
        part = np.isnan(series.read(0, (slice(5, 7), slice(6, 8)), ("nir",)))
    drawn = np.zeros((8, 8), bool)
    drawn[0], drawn[6:, 6:] = True, True
    np.testing.assert_array_equal(lost, [drawn, drawn])
    np.testing.assert_array_equal(part, [drawn[5:7, 6:8]])
    assert not any("clouds" in note for note in series.notes)


@pytest.mark.parametrize("names", [("B04", "B08", "SCL"), ("B4", "B5", "QA_PIXEL")])
def test_the_mask_may_be_a_band_of_the_image(tmp_path, names):
    planes = np.concatenate([reflectance(np.full((8, 8), 0.6)), np.full((1, 8, 8), 4, np.float32)])
    planes[2] = {"SCL": 4, "QA_PIXEL": 21824}[names[2]]
    planes[2, :, :3] = {"SCL": 9, "QA_PIXEL": 22280}[names[2]]
    write(tmp_path / "a_20210705.tif", planes, names)
    with open_series([tmp_path]) as series:
        assert series.has("red")
        assert series.has("nir")
        np.testing.assert_array_equal(np.isnan(ndvi_of(series)), np.arange(8) < np.full((8, 1), 3))


def test_landsat_level_2_names_are_understood(tmp_path):
    # Collection 2: reflectance = 2.75e-5 x number - 0.2; 0.1 and 0.4 make an NDVI of 0.6. QA 21824 is clear
    numbers = [np.full((8, 8), round((share + 0.2) / 2.75e-5), np.uint16) for share in (0.1, 0.4)]
    quality = np.full((8, 8), 21824, np.uint16)
    quality[:, 0] = 22280  # cloud
    names = ("SR_B4", "SR_B5", "QA_PIXEL", "ST_B10")
    path = write(tmp_path / "l_20210705.tif", np.stack([*numbers, quality, quality]), names)
    assert [band.common_name for band in identify(names)] == ["red", "nir", "", "lwir11"]
    with open_series([path]) as raw:
        series = raw.as_reflectance(("nir", "red"), exact=True)
        found = ndvi_of(series)
    np.testing.assert_allclose(found[:, 1:], 0.6, atol=1e-3)
    assert np.isnan(found[:, 0]).all()
    # Landsat 5 and 7 number otherwise: SR_B4 is near infrared there
    for older in (("SR_B1", "SR_B4", "SR_B5", "SR_B7"), ("SR_B3", "SR_B4", "ST_B6")):
        assert not any(band.sensor for band in identify(older))


def test_files_that_do_not_say_which_band_they_hold_are_refused_with_what_to_do(tmp_path):
    planes = np.full((8, 8), 0.3, np.float32)
    paths = [write(tmp_path / f"LC08_20210705_SR_B{band}.TIF", planes) for band in (4, 5)]
    with pytest.raises(ImageError, match=r"SR_B4.TIF does not say which band it holds.*set_band_description"):
        open_series(paths)
    for band, path in zip((4, 5), paths, strict=True):
        with rasterio.open(path, "r+") as sink:  # what the sentence says
            sink.set_band_description(1, f"SR_B{band}")
    with open_series(paths) as series:
        assert series.has("red")
        assert series.has("nir")


def test_masks_go_with_the_image_of_their_day(tmp_path):
    images = [image(tmp_path / f"s_{day}.tif", 0.5) for day in (20210615, 20210705)]
    mask = np.zeros((8, 8), np.uint8)
    mask[2] = 1
    late = write(tmp_path / "clouds_20210705.tif", mask)
    with open_series(images, clouds=[late]) as series:
        assert not np.isnan(ndvi_of(series, 0)).any()
        np.testing.assert_array_equal(np.isnan(ndvi_of(series, 1)), mask == 1)
        assert series.notes == [
            "Nothing tells where clouds are on 2021-06-15: they count as ground (give --clouds)."
        ]
    other = write(tmp_path / "clouds_20210706.tif", mask)
    with pytest.raises(ImageError, match=r"clouds_20210706.tif is of 2021-07-06, but no image is"):
        open_series(images, clouds=[late, other])
    (tmp_path / "more").mkdir()
    again = write(tmp_path / "more/mask_20210705.tif", mask[::-1].copy())
    with pytest.raises(ImageError, match=r"mask_20210705.tif"):  # the first one must not get lost
        open_series(images, clouds=[late, again])
    nameless = write(tmp_path / "mask.tif", mask)
    with pytest.raises(ImageError, match=r"mask.tif does not say .*name"):  # --dates does not help it
        open_series(images, clouds=[nameless])


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({}, "2021-07-05 comes twice: .*a_20210705.tif and .*b_20210705.tif have the same bands"),
        ({"left": LEFT + 5}, "another grid than the first image: give --resample"),
        ({"crs": "EPSG:32633"}, "another grid than the first image: give --resample"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, second, words):
    day = 20210705 if not second else 20210706
    paths = [image(tmp_path / "a_20210705.tif", 0.5), image(tmp_path / f"b_{day}.tif", 0.5, **second)]
    with pytest.raises(ImageError, match=words):
        open_series(paths)


def test_a_mask_alone_is_no_image(tmp_path):
    path = write(tmp_path / "scl_20210705.tif", np.full((8, 8), 4, np.uint8), ("SCL",))
    with pytest.raises(ImageError, match=r"scl_20210705.tif tells of clouds only: give the image"):
        open_series([path])


def test_another_grid_is_brought_to_the_first_when_asked(tmp_path):
    paths = [image(tmp_path / f"{day}.tif", 0.5, left=LEFT + east) for day, east in
             ((20210705, 0), (20210706, 40))]  # fmt: skip
    with open_series(paths, resample="nearest") as series:
        np.testing.assert_array_equal(np.isnan(ndvi_of(series, 1)), np.arange(8) < np.full((8, 1), 4))
        assert any("20210706.tif was resampled (nearest)" in note for note in series.notes)


def test_some_dates_of_a_series(tmp_path):
    paths = [image(tmp_path / f"{day}.tif", n / 10) for n, day in enumerate((20210705, 20210706, 20210707))]
    with open_series(paths) as series:
        part = series.select([2, 0])
        part.notes.append("only here")
        assert part.days == ("2021-07-07", "2021-07-05")
        assert "only here" not in series.notes
        np.testing.assert_allclose(ndvi_of(part, 0), 0.2, atol=1e-6)


def test_numbers_become_reflectance_and_the_sheet_says_how(tmp_path):
    true = reflectance(np.linspace(0, 0.8, 64).reshape(8, 8), total=0.4)
    shifted = "S2A_MSIL2A_20210705T024551_N0500_R132_T49QGE_20210706T112233.tif"
    numbers = {shifted: 1e4 * true + 1000, "S2_20210615.tif": 1e4 * true}
    for name, planes in numbers.items():
        write(tmp_path / name, planes.round().astype(np.uint16), ("B04", "B08"), nodata=0)
    with open_series([tmp_path]) as raw:
        series = raw.as_reflectance(("red", "nir"), exact=True)
        for place in (0, 1):
            np.testing.assert_allclose(series.read(place, ALL, ("red", "nir")), true, atol=1e-4)
        assert raw.correction == ["unknown", "unknown"]
        np.testing.assert_allclose(raw.read(0, ALL, ("red",))[0], numbers["S2_20210615.tif"][0], atol=0.6)
    assert "reflectance x 10000 by" in series.correction[0]
    assert series.correction[1] == "2021-07-05: reflectance x 10000 + 1000 by metadata, level 2"


def test_8_bit_numbers_pass_for_ratios_only(tmp_path):
    planes = np.random.default_rng(0).integers(20, 230, (2, 64, 64)).astype(np.uint8)
    path = write(tmp_path / "photo_20210705.tif", planes, ("red", "nir"))
    with open_series([path]) as series:
        assert "no known kind" in series.as_reflectance(("red", "nir"), exact=False).correction[0]
        with pytest.raises(ImageError, match="this index needs reflectance"):
            series.as_reflectance(("red", "nir"), exact=True)


def test_a_series_closes_its_files(tmp_path):
    path = image(tmp_path / "s_20210705.tif", 0.5)
    with open_series([path]) as series:
        assert isinstance(series, Series)
    with pytest.raises(Exception, match="closed"):
        ndvi_of(series)


# -- one grid for all --------------------------------------------------------------------------


def test_a_scene_on_a_given_grid(tmp_path):
    path = image(tmp_path / "s.tif", np.arange(64).reshape(8, 8) / 100)
    grid = GeoBox((4, 6), Affine(10, 0, LEFT + 30, 0, -10, TOP - 20), "EPSG:32632")
    with pytest.raises(ImageError, match=r"s.tif lies on another grid than the first image"):
        Scene([path], like=grid)
    with Scene([path], like=grid, resample="nearest") as scene, Scene([path]) as whole:
        assert scene.geobox == grid
        found, all_of_it = scene.read().data, whole.read().data
        np.testing.assert_array_equal(found[:, :, :5], all_of_it[:, 2:6, 3:8])
        assert np.isnan(found[:, :, 5]).all()
        again = pickle.loads(pickle.dumps(scene))
        assert again.geobox == grid
        np.testing.assert_array_equal(again.read().data, found)
    far = GeoBox((4, 6), Affine(10, 0, LEFT + 9000, 0, -10, TOP), "EPSG:32632")
    with pytest.raises(ImageError, match="shows another place than the first image"):
        Scene([path], like=far, resample="nearest")


# -- STAC items --------------------------------------------------------------------------------


@pytest.fixture
def items(tmp_path):
    """Writes an item of a day: red and nir with one NDVI, and a scene classification at 20 m."""
    pytest.importorskip("odc.stac", reason="odc-stac is not installed (extra: stac)")
    from test_stac import asset, edited, grid, save

    def make(name, ndvi, day, *, col=0, scl=4, masked=True):
        box, coarse = grid((8, 8), col), grid((4, 4), col // 2, size=20)
        numbers = (1e4 * reflectance(np.full((8, 8), ndvi))).round().astype(np.uint16)
        assets = {}
        for band, plane in zip(("red", "nir"), numbers, strict=True):
            write_on(tmp_path / f"{name}_{band}.tif", plane, box)
            facts = {"nodata": 0, "scale": 1e-4, "unit": "reflectance"}
            assets[band] = asset(f"{name}_{band}.tif", box, **{"raster:bands": [facts]})
        if masked:
            write_on(tmp_path / f"{name}_scl.tif", np.full((4, 4), scl, np.uint8), coarse)
            assets["scl"] = asset(f"{name}_scl.tif", coarse, **{"raster:bands": [{"nodata": 0}]})
        path = save(tmp_path, name, box, assets)
        edited(path, lambda text: text["properties"].update(datetime=day and f"{day}T10:30:00Z"))
        return path

    return make


def write_on(path, plane, box):
    from test_stac import write as write_planes

    write_planes(path, plane[None], box)


def test_items_of_a_day_are_one_image(items):
    late = [items("c", 0.3, "2021-07-05"), items("d", 0.4, "2021-07-05", col=8, scl=9)]
    early = items("b", 0.6, "2021-06-15", col=8)
    with open_stac_series([*late, early], ("red", "nir")) as series:
        assert series.days == ("2021-06-15", "2021-07-05")
        assert series.geobox.shape == (8, 16)
        window = slice(0, 8), slice(0, 16)
        west, east = np.arange(16) < 8, np.arange(16) >= 8
        for place, drawn in enumerate((np.where(east, 0.6, np.nan), np.where(west, 0.3, np.nan))):
            found = ndvi_of(series, place, window)
            np.testing.assert_allclose(found, np.broadcast_to(drawn, (8, 16)), atol=1e-3)
        part = ndvi_of(series, 1, (slice(2, 5), slice(6, 9)))
        np.testing.assert_allclose(part, [[0.3, 0.3, np.nan]] * 3, atol=1e-3)
        assert {path.name for path in series.state()} >= {"c.json", "b_red.tif", "d_scl.tif"}


def test_items_are_parsed_once_however_many_dates_there_are(items, monkeypatch):
    from jido.io import stac_items

    paths = [items(name, 0.5, f"2021-07-0{day}") for day, name in enumerate("abcd", start=1)]
    parsed, parse = [], stac_items._read_item
    monkeypatch.setattr(
        stac_items, "_read_item", lambda where, *rest: parsed.append(where) or parse(where, *rest)
    )
    with open_stac_series(paths, ("red", "nir")) as series:
        assert len(series.days) == 4
    assert len(parsed) == 2 * 4  # for the bands, and for the masks


def test_items_without_a_mask_are_taken_as_clear_and_this_is_said(items):
    with open_stac_series([items("a", 0.5, "2021-07-05", masked=False)], ("red", "nir")) as series:
        np.testing.assert_allclose(ndvi_of(series), 0.5, atol=1e-3)
        assert any(note.startswith("Nothing tells where clouds are on 2021-07-05") for note in series.notes)


def test_a_mask_that_an_item_names_but_that_is_gone_is_refused(items, tmp_path):
    path = items("a", 0.5, "2021-07-05")
    (tmp_path / "a_scl.tif").unlink()
    with pytest.raises(ImageError, match=r"a_scl.tif does not exist"):
        open_stac_series([path], ("red", "nir"))


def test_an_item_without_a_date_or_a_band_is_refused(items):
    with pytest.raises(ImageError, match=r"a.json is no STAC item .*datetime"):
        open_stac_series([items("a", 0.5, None)], ("red", "nir"))
    with pytest.raises(ImageError, match=r"b.json has no band 'swir16'"):
        open_stac_series([items("b", 0.5, "2021-07-05")], ("red", "swir16"))


@pytest.mark.skipif(not HONG_KONG.exists(), reason="lcz_hongkong is not at ../shared/data")
def test_four_dates_of_hong_kong():
    with open_series(sorted(HONG_KONG.glob("landsat8_*.tif"))[::-1]) as raw:
        assert raw.days == ("2013-11-29", "2014-10-15", "2014-11-16", "2015-10-18")
        series = raw.as_reflectance(("nir", "red"), exact=False)
        whole = slice(0, 529), slice(0, 528)
        seen = [np.isfinite(series.read(place, whole, ("red",))).mean() for place in range(4)]
    assert all("level-1 numbers" in words for words in series.correction)
    assert 0.83 < min(seen) < max(seen) < 0.89, seen  # its README: 12-16 % lie outside the swath
