"""Reading images by window and writing them: nodata, masks, scale, stacking, resampling."""

import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import reproject, transform

from jido.errors import ImageError
from jido.geo import Raster, identify
from jido.io import Scene, read_image, write_codes, write_image
from jido.labels import lcz_scheme

LEFT, TOP = 500_000, 2_000_000
NAN = np.nan


def write(path, data, *, crs="EPSG:32649", shift=(0, 0), size=10.0, names=(), units=(), mask=None, **profile):
    """A GeoTIFF of ``data`` (band, y, x) whose corner is shifted by metres."""
    data = np.asarray(data)
    corner = Affine(size, 0, LEFT + shift[0], 0, -size, TOP + shift[1])
    scales, offsets = profile.pop("scales", None), profile.pop("offsets", None)
    colours = profile.pop("colorinterp", None)
    count, height, width = data.shape
    facts = {
        "count": count,
        "height": height,
        "width": width,
        "dtype": data.dtype,
        "crs": crs,
        "transform": corner,
    }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **facts, **profile) as sink,
    ):
        if colours:
            sink.colorinterp = colours
        sink.write(data)
        for i, name in enumerate(names, start=1):
            sink.set_band_description(i, name)
        for i, unit in enumerate(units, start=1):
            sink.set_band_unit(i, unit)
        if scales:
            sink.scales, sink.offsets = scales, offsets
        if mask is not None:
            sink.write_mask(mask)
    return path


def ramp(bands=1, height=12, width=15, dtype="uint16"):
    return np.arange(1, bands * height * width + 1).reshape(bands, height, width).astype(dtype)


# -- what is data ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_values_and_nodata_of_every_type(tmp_path, dtype):
    data = np.array([[[0, 1], [2, 100]], [[7, 0], [5, 9]]], dtype=dtype)
    image = read_image(write(tmp_path / "a.tif", data, nodata=0))
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, [[[NAN, 1], [2, 100]], [[7, NAN], [5, 9]]])
    assert image.valid.all()  # each pixel has data in one band
    assert image.geobox == GeoBox((2, 2), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32649")


def test_without_nodata_zero_is_a_value(tmp_path):
    image = read_image(write(tmp_path / "a.tif", np.zeros((1, 2, 2), "uint8")))
    np.testing.assert_array_equal(image.data, 0)


def test_nodata_of_its_own_per_band(tmp_path):
    write(tmp_path / "a.tif", np.array([[[0, 9, 1]], [[0, 9, 1]]], dtype="int16"))
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{i}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{i}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i, nodata in ((1, 0), (2, 9))
    )
    (tmp_path / "a.vrt").write_text(
        f'<VRTDataset rasterXSize="3" rasterYSize="1"><SRS>EPSG:32649</SRS>'
        f"<GeoTransform>{LEFT}, 10, 0, {TOP}, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.vrt").data, [[[NAN, 9, 1]], [[0, NAN, 1]]])


def test_nan_and_infinity_are_no_data(tmp_path):
    data = np.array([[[NAN, 1, np.inf, -np.inf]]], dtype="float32")
    for nodata in (None, NAN, -9999):
        image = read_image(write(tmp_path / "a.tif", data, nodata=nodata))
        np.testing.assert_array_equal(image.data, [[[NAN, 1, NAN, NAN]]])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_float64_nodata_beyond_float32(tmp_path):
    lowest = np.finfo(np.float64).min
    image = read_image(write(tmp_path / "a.tif", np.array([[[lowest, 1.5]]]), nodata=lowest))
    np.testing.assert_array_equal(image.data, [[[NAN, 1.5]]])


def test_alpha_is_a_mask_and_no_band(tmp_path):
    data = np.concatenate([ramp(3, 2, 2, "uint8"), [[[0, 255], [128, 0]]]]).astype("uint8")
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    image = read_image(write(tmp_path / "a.tif", data, colorinterp=colours, photometric="RGB"))
    assert image.names == ("red", "green", "blue")
    expected = data[:3].astype(np.float32)
    expected[:, [0, 1], [0, 1]] = NAN
    np.testing.assert_array_equal(image.data, expected)


def test_internal_mask(tmp_path):
    mask = np.array([[True, False], [True, True]])
    image = read_image(write(tmp_path / "a.tif", ramp(2, 2, 2), mask=mask))
    assert image.names == ("band1", "band2")
    np.testing.assert_array_equal(image.data, np.where(mask, ramp(2, 2, 2), NAN))


def test_scale_and_offset_are_applied_but_not_to_nodata(tmp_path):
    data = np.array([[[0, 1000, 6000]], [[0, 10, 20]]], dtype="uint16")
    path = write(tmp_path / "a.tif", data, nodata=0, scales=(1e-4, 1.0), offsets=(-0.1, 200.0))
    np.testing.assert_allclose(read_image(path).data, [[[NAN, 0, 0.5]], [[NAN, 210, 220]]], atol=1e-7)


# -- names -------------------------------------------------------------------------------------


def test_names_and_units_come_from_the_file(tmp_path):
    path = write(tmp_path / "a.tif", ramp(2), names=("B04", "B08"), units=("reflectance", ""))
    bands = read_image(path).bands
    assert [(b.name, b.sensor, b.unit) for b in bands] == [
        ("B04", "sentinel-2", "reflectance"),
        ("B08", "sentinel-2", ""),
    ]


def test_names_that_occur_twice_in_a_file_are_told_apart(tmp_path):
    image = read_image(write(tmp_path / "a.tif", ramp(3), names=("x", "x", "y")))
    assert image.names == ("x_1", "x_2", "y_3")


def test_stack_keeps_the_order_of_files_and_bands(tmp_path):
    one = write(tmp_path / "1.tif", ramp(2), names=("B2", "B3"))
    two = write(tmp_path / "2.tif", ramp(1) + 1000, names=("VV",))
    three = write(tmp_path / "3.tif", ramp(1) + 2000, names=("B2",))
    with Scene([one, two, three]) as scene:
        image = scene.read()
        assert scene.names == image.names == ("B2@1", "B3@1", "VV@2", "B2@3")
        assert scene.notes == []
    with Scene([three, one]) as scene:
        assert scene.names == ("B2@1", "B2@2", "B3@2")
        np.testing.assert_array_equal(scene.read().band("B3@2"), ramp(2)[1])
    np.testing.assert_array_equal(image.data, np.concatenate([ramp(2), ramp(1) + 1000, ramp(1) + 2000]))


# -- windows -----------------------------------------------------------------------------------


def test_a_window_is_a_slice_of_the_whole(tmp_path):
    one = write(tmp_path / "1.tif", ramp(2, 70, 90), nodata=77, tiled=True, blockxsize=32, blockysize=32)
    two = write(tmp_path / "2.tif", ramp(1, 70, 90, "float64"), shift=(-33, 47), nodata=5)
    with Scene([one, two], resample="bilinear") as scene:
        whole = scene.read()
        for window in (
            np.s_[0:70, 0:90],
            np.s_[0:1, 0:1],
            np.s_[31:33, 60:90],
            np.s_[69:70, 12:13],
            np.s_[10:64, 3:80],
        ):
            part = scene.read(window)
            np.testing.assert_array_equal(part.data, whole.data[:, *window])
            assert part.geobox == whole.geobox[window]
        np.testing.assert_array_equal(scene.read_valid(), whole.valid)


def test_read_valid_is_any_band_over_several_windows(tmp_path):
    data = np.zeros((2, 5, 2100), "uint8")
    data[0, 0, 0] = data[1, 4, 2099] = data[1, 2, 1024] = 1
    with Scene([write(tmp_path / "a.tif", data, nodata=0)]) as scene:
        told = []
        valid = scene.read_valid(progress=lambda *a: told.append(a))
    assert np.argwhere(valid).tolist() == [[0, 0], [2, 1024], [4, 2099]]
    assert told[-1] == ("reading the image", 3, 3)


# -- other grids -------------------------------------------------------------------------------


def test_the_same_grid_is_read_as_it_is(tmp_path):
    one = write(tmp_path / "1.tif", ramp())
    noise = np.random.default_rng(0).normal(size=(1, 12, 15))
    two = write(tmp_path / "2.tif", noise, shift=(1e-6, -1e-6))  # rounding of other software
    with Scene([one, two], resample="bilinear") as scene:
        np.testing.assert_array_equal(scene.read().data[1], noise[0].astype(np.float32))
        assert scene.notes == []


@pytest.mark.parametrize(
    "other", [{"shift": (5, 0)}, {"shift": (0, 0.001)}, {"size": 20.0}, {"crs": "EPSG:32650"}]
)
def test_another_grid_is_refused_without_resample(tmp_path, other):
    one, two = write(tmp_path / "1.tif", ramp()), write(tmp_path / "2.tif", ramp(), **other)
    message = f"{two} lies on another grid than {one}: give --resample nearest|bilinear|cubic|average"
    with pytest.raises(ImageError, match=re.escape(message)):
        Scene([one, two])


def test_whole_pixel_shift_is_moved_exactly_and_leaves_nodata_behind(tmp_path):
    one = write(tmp_path / "1.tif", ramp(dtype="uint8"))
    two = write(tmp_path / "2.tif", ramp(), shift=(30, -20))
    with Scene([one, two], resample="nearest") as scene:
        moved = scene.read().data[1]
        assert scene.notes == ["2.tif was resampled (nearest) to the grid of 1.tif."]
    np.testing.assert_array_equal(moved[2:, 3:], ramp()[0, :-2, :-3])
    assert np.isnan(moved[:2]).all()
    assert np.isnan(moved[:, :3]).all()


FILES_THAT_END = {
    "plain": {},
    "nodata": {"nodata": 4},
    "scaled": {"scales": (0.5,), "offsets": (7.0,)},
    "nodata and scaled": {"nodata": 4, "scales": (0.5,), "offsets": (7.0,)},
    "masked": {"mask": ramp()[0] != 4},
}


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("kind", FILES_THAT_END)
def test_outside_a_resampled_image_is_no_data_not_zero(tmp_path, kind, resample):
    one = write(tmp_path / "1.tif", ramp())
    two = write(
        tmp_path / "2.tif", ramp(), shift=(55, -45), names=("x",), units=("K",), **FILES_THAT_END[kind]
    )
    with Scene([one, two], resample=resample) as scene:
        moved = scene.read().data[1]
        assert scene.names == ("band1", "x")
        assert scene.bands[1].unit == "K"
    assert np.isnan(moved[:4]).all()
    assert np.isnan(moved[:, :5]).all()
    assert np.isfinite(moved[7:, 10:]).all()
    if "scaled" in kind:
        assert np.nanmin(moved) >= 7.4
    assert np.nanmax(moved) <= ramp().max()


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "cubic", "average"])
def test_a_gap_in_one_band_is_none_in_the_others(tmp_path, resample):
    data = ramp(3)
    data[0, 6, 7] = 0
    data[:, 9, 9] = 0
    one, two = write(tmp_path / "1.tif", ramp()), write(tmp_path / "2.tif", data, shift=(10, 0), nodata=0)
    with Scene([one, two], resample=resample) as scene:
        moved = scene.read().data[1:]
    assert np.isnan(moved[0, 6, 8])
    assert np.isnan(moved[:, 9, 10]).all()
    np.testing.assert_array_equal(moved[1:, 6, 8], ramp(3)[1:, 6, 7])
    assert np.isnan(moved[:, :, 1:]).sum() == 1 + 3


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "cubic", "average"])
def test_another_utm_zone_as_rasterio_warps_it(tmp_path, resample):
    """The neighbour zone is turned against ours; the reference is warped without approximation."""
    y, x = np.mgrid[:60, :60]
    smooth = (1000 + 200 * np.sin(x / 9) + 150 * np.cos(y / 7)).astype(np.float32)[None]
    (east,), (north,) = transform("EPSG:32649", "EPSG:32650", [LEFT], [TOP])
    shift = (east - LEFT - 50, north - TOP + 90)
    one = write(tmp_path / "1.tif", np.ones((1, 50, 50), "uint8"))
    two = write(tmp_path / "2.tif", smooth, crs="EPSG:32650", shift=shift, nodata=-1, size=12.0)
    with Scene([one, two], resample=resample) as scene:
        moved = scene.read().data[1]
    expected = np.full((50, 50), NAN, np.float32)
    with rasterio.open(two) as source, rasterio.open(one) as grid:
        reproject(
            source.read(1), expected, src_transform=source.transform, src_crs=source.crs, src_nodata=-1,
            dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=NAN, tolerance=0,
            resampling=Resampling[resample],
        )  # fmt: skip
    assert np.isfinite(moved).mean() > 0.8
    same = np.isfinite(moved) & np.isfinite(expected)
    assert (np.isfinite(moved) == np.isfinite(expected)).mean() > 0.98
    # GDAL's default lets the position be off by an eighth of a pixel; the picture changes by 35 a pixel
    allowed = 36 if resample == "nearest" else 36 / 8
    assert np.abs(moved - expected)[same].max() <= allowed
    assert np.abs(moved - expected)[same].mean() < 1


# -- refusals ----------------------------------------------------------------------------------


def test_refusals(tmp_path):
    with pytest.raises(ImageError, match="No image was given"):
        Scene([])
    with pytest.raises(ImageError, match=r"none\.tif does not exist"):
        Scene([tmp_path / "none.tif"])
    good = write(tmp_path / "a.tif", ramp())
    with pytest.raises(ImageError, match="'lanczos' is not one of nearest"):
        Scene([good], resample="lanczos")
    bare = write(tmp_path / "b.tif", ramp(), crs=None)
    with pytest.raises(ImageError, match="has no CRS: give it with --crs"):
        Scene([bare])
    with Scene([good, bare], crs="EPSG:32649") as scene:  # the CRS is for those that carry none
        assert scene.geobox.crs == "EPSG:32649"
        assert scene.read().data.shape == (2, 12, 15)


# -- writing -----------------------------------------------------------------------------------


def test_write_image_and_read_it_back(tmp_path):
    data = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
    data[0, 0, 0] = NAN
    box = GeoBox((7, 9), Affine(10, 0, LEFT, 0, -20, TOP), "EPSG:32649")
    image = Raster(data, identify(["B04", "B08"]), box)
    write_image(image, tmp_path / "new" / "a.tif")
    back = read_image(tmp_path / "new" / "a.tif")
    np.testing.assert_array_equal(back.data, data)
    assert back.bands == image.bands
    assert back.geobox == box
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.tif"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_whole_numbers_are_written_as_such_or_refused(tmp_path, dtype):
    data = np.array([[[1, 255], [NAN, 7]]], dtype=np.float32)
    box = GeoBox((2, 2), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32649")
    bands = identify(["B04"])
    write_image(Raster(data, bands, box), tmp_path / "a.tif", dtype=dtype)
    with rasterio.open(tmp_path / "a.tif") as source:
        assert (source.dtypes, source.nodata) == ((dtype,), 0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, data)
    for wrong in (0, 0.5, -1, 70_000):
        with pytest.raises(ValueError, match=f"written as {dtype}"):
            write_image(Raster(data + wrong - data[0, 0, 0], bands, box), tmp_path / "b.tif", dtype=dtype)
    assert not (tmp_path / "b.tif").exists()


def test_write_codes_carries_the_palette(tmp_path):
    codes = np.array([[0, 1], [17, 8]], np.uint8)
    box = GeoBox((2, 2), Affine(100, 0, LEFT, 0, -100, TOP), "EPSG:32649")
    write_codes(codes, box, tmp_path / "a.tif", scheme=lcz_scheme())
    with rasterio.open(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(source.read(1), codes)
        assert source.nodata == 0
        assert source.colormap(1)[17] == (0x6A, 0x6A, 0xFF, 255)


def test_resampling_keeps_a_band_where_another_one_has_no_data(tmp_path):
    """Nodata of one band alone must neither take the others away nor mix with them."""
    from rasterio import Affine

    data = np.full((2, 20, 20), 1000, np.uint16)
    data[0, :, :10] = 1
    profile = {
        "driver": "GTiff",
        "width": 20,
        "height": 20,
        "count": 2,
        "dtype": "uint16",
        "crs": "EPSG:32649",
    }
    with rasterio.open(
        tmp_path / "grid.tif", "w", **profile, transform=Affine(10, 0, 0, 0, -10, 200)
    ) as sink:
        sink.write(data)
    shifted = Affine(10, 0, 5, 0, -10, 205)
    with rasterio.open(tmp_path / "two.tif", "w", **profile, nodata=1, transform=shifted) as sink:
        sink.write(data)
    with Scene([tmp_path / "grid.tif", tmp_path / "two.tif"], resample="bilinear") as scene:
        found = scene.read().data[2:]
    assert np.isnan(found[0, 5, 5])
    assert found[1, 5, 5] == 1000
    inside = np.isfinite(found)
    assert (found[inside] == 1000).all()
    assert inside[1, 2:-2, 2:-2].all()
