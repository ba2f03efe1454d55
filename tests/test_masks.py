"""What is taken as target in masks as people write them, and what is refused."""

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from jido.errors import ImageError, LabelsError
from jido.io.archives import damage_is_an_error
from jido.io.masks import MaskFile, MaskValues

ALL = (slice(0, 32), slice(0, 32))
SQUARE = np.zeros((32, 32), dtype=bool)
SQUARE[4:12, 8:24] = True
EMPTY = np.zeros_like(SQUARE)

BOX = GeoBox.from_bbox((500_000, 2_000_000, 500_032, 2_000_032), "EPSG:32649", resolution=1)


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def written(path, planes, *, palette=None, placed=False, **profile):
    """A small file in the format of its suffix: planes (y, x) or (band, y, x)."""
    planes = planes if planes.ndim == 3 else planes[None]
    driver = {".png": "PNG", ".jpg": "JPEG", ".tif": "GTiff"}[path.suffix]
    if placed:
        profile |= {"crs": "EPSG:32649", "transform": BOX.affine}
    count, height, width = planes.shape
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width, dtype=planes.dtype, **profile
    ) as sink:
        sink.write(planes)
        if palette:
            sink.write_colormap(1, palette)
    return path


def grey(mask, low, high, dtype=np.uint8):
    return np.where(mask, high, low).astype(dtype)


def coloured(mask, background, target):
    return np.where(mask, np.array(target)[:, None, None], np.array(background)[:, None, None]).astype(
        np.uint8
    )


def target_of(*paths, target=()):
    values = MaskValues(target)
    for path in paths:
        values.add(path)
    return values.target()


def read(path, target):
    with MaskFile(path, by_value=target.by_value) as file:
        return file.read(ALL, target)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (1, 2), (7, 40)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_larger_of_two_values_is_the_target(tmp_path, low, high, suffix):
    path = written(tmp_path / f"a{suffix}", grey(SQUARE, low, high))
    other = written(tmp_path / f"b{suffix}", grey(EMPTY, low, high))
    target = target_of(other, path)
    assert (read(path, target) == SQUARE).all()
    assert not read(other, target).any()
    assert f"the value {high} of the values {low}, {high}" in target.note
    assert "6.2%" in target.note  # 128 of 2048 pixels


def test_floats_and_the_only_value_beside_nodata(tmp_path):
    whole = written(tmp_path / "a.tif", grey(SQUARE, 0, 1, np.float32))
    assert (read(whole, target_of(whole)) == SQUARE).all()
    gap = written(tmp_path / "b.tif", grey(SQUARE, 0, 1), nodata=0, placed=True)
    assert (read(gap, target_of(gap)) == SQUARE).all()
    nan = written(tmp_path / "c.tif", grey(SQUARE, np.nan, 1, np.float32))
    assert (read(nan, target_of(nan)) == SQUARE).all()


def test_nodata_is_not_target(tmp_path):
    codes = grey(SQUARE, 0, 1)
    codes[20:, :] = 255
    path = written(tmp_path / "a.tif", codes, nodata=255, placed=True)
    assert (read(path, target_of(path)) == SQUARE).all()


def test_a_grey_jpeg_is_target_above_the_middle(tmp_path):
    noisy = np.random.default_rng(0).normal(grey(SQUARE, 0, 255, float), 12).clip(0, 255).astype(np.uint8)
    path = written(tmp_path / "a.jpg", noisy)
    target = target_of(path, written(tmp_path / "b.jpg", grey(EMPTY, 0, 255)))
    assert (read(path, target) == SQUARE).all()
    assert "above 127" in target.note
    rgb = written(tmp_path / "c.jpg", np.stack([noisy] * 3))
    assert (read(rgb, target_of(rgb)) == SQUARE).all()


def test_a_jpeg_in_a_geotiff_is_a_jpeg_too(tmp_path):
    noisy = np.random.default_rng(0).normal(grey(SQUARE, 0, 255, float), 12).clip(0, 255).astype(np.uint8)
    path = written(tmp_path / "a.tif", noisy, compress="jpeg", placed=True)
    assert (read(path, target_of(path)) == SQUARE).all()


def test_noise_in_a_mask_stored_without_loss_is_asked_for(tmp_path):
    noisy = np.random.default_rng(0).normal(grey(SQUARE, 0, 255, float), 12).clip(0, 255).astype(np.uint8)
    with pytest.raises(LabelsError, match=r"hold the values .* and \d+ more .*a\.png.*--target"):
        target_of(written(tmp_path / "a.png", noisy))
    exact = written(tmp_path / "b.png", grey(SQUARE, 0, 1))
    with pytest.raises(LabelsError, match="which of them are the target"):  # 1 would be lost below 127
        target_of(written(tmp_path / "a.jpg", noisy), exact)


def test_the_rarer_of_two_colours_is_the_target(tmp_path):
    rgb = written(tmp_path / "a.png", coloured(SQUARE, (255, 255, 255), (200, 30, 0)))
    target = target_of(rgb)
    assert (read(rgb, target) == SQUARE).all()
    assert "the colour #C81E00 of the value 255 and the colour #C81E00" in target.note
    two = written(tmp_path / "b.png", coloured(SQUARE, (0, 0, 90), (200, 30, 0)))
    assert (read(two, target_of(two)) == SQUARE).all()


def test_black_and_white_in_colour_are_values(tmp_path):
    """The target may fill most of the masks."""
    path = written(tmp_path / "a.png", coloured(~SQUARE, (0, 0, 0), (255, 255, 255)))
    assert (read(path, target_of(path)) == ~SQUARE).all()


def test_alpha_of_zero_is_not_target(tmp_path):
    alpha = grey(SQUARE, 0, 255)
    alpha[4:6] = 0
    rgba = np.concatenate([coloured(SQUARE, (0, 0, 0), (255, 255, 255)), alpha[None]])
    path = written(tmp_path / "a.png", rgba)
    found = read(path, target_of(path))
    assert (found == SQUARE & (alpha > 0)).all()


def test_a_palette_counts_by_colour_or_by_number_when_numbers_are_asked_for(tmp_path):
    palette = {0: (0, 0, 0), 1: (200, 30, 0), 2: (0, 0, 250)}
    codes = grey(SQUARE, 0, 1)
    path = written(tmp_path / "a.png", codes, palette=palette)
    assert (read(path, target_of(path)) == SQUARE).all()
    codes[20:24] = 2
    three = written(tmp_path / "b.png", codes, palette=palette)
    with pytest.raises(LabelsError, match="the value 0 and the colours #0000FA, #C81E00"):
        target_of(three)
    assert (read(three, target_of(three, target=["#C81E00"])) == SQUARE).all()
    assert (read(three, target_of(three, target=["1"])) == SQUARE).all()
    assert (read(three, target_of(three, target=["1,2"])) == (codes > 0)).all()


def test_more_values_are_asked_for(tmp_path):
    codes = grey(SQUARE, 0, 1)
    first = written(tmp_path / "a.png", codes)
    third = codes.copy()
    third[0] = 3
    odd = written(tmp_path / "b.png", third)
    with pytest.raises(LabelsError, match=r"the values 0, 1, 3 \(3 first in .*b\.png\).*--target 3"):
        target_of(first, odd)
    target = target_of(first, odd, target=["1", "3"])
    assert (read(odd, target) == (third > 0)).all()
    assert "the values 1, 3 of the values 0, 1, 3" in target.note
    only = target_of(first, odd, target=["3"])
    assert not read(first, only).any()


@pytest.mark.parametrize(
    ("values", "target", "says"),
    [
        ((0, 0), (), "hold no target pixel, only the value 0"),
        ((1, 1), (), "hold the value 1 everywhere"),
        ((0, 1), ("7",), "the value 7 not among the values 0, 1"),
        ((0, 1), ("#FF0000",), "the colour #FF0000 not among"),
        ((0, 1), ("red",), "--target red is neither"),
        ((0, 1), ("1", "#FF0000"), "mixes values and colours"),
    ],
)
def test_masks_without_target_are_refused(tmp_path, values, target, says):
    with pytest.raises(LabelsError, match=says):
        target_of(written(tmp_path / "a.png", grey(SQUARE, *values)), target=target)


def test_a_jpeg_without_target_is_refused(tmp_path):
    noisy = np.random.default_rng(0).integers(0, 6, (32, 32)).astype(np.uint8)
    with pytest.raises(LabelsError, match="hold no target pixel"):
        target_of(written(tmp_path / "a.jpg", noisy))


def test_photos_are_no_masks(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    with pytest.raises(LabelsError, match=r"a\.png holds more than 1024 different values"):
        target_of(written(tmp_path / "a.png", photo))
    five = written(tmp_path / "b.tif", np.zeros((5, 32, 32), np.uint8))
    with pytest.raises(ImageError, match=r"b\.tif has 5 bands of uint8"):
        target_of(five)
    jpeg = coloured(SQUARE, (0, 0, 90), (200, 30, 0))
    with pytest.raises(LabelsError, match="save masks as PNG"):
        target_of(written(tmp_path / "c.jpg", jpeg))


def test_a_damaged_mask_is_named_and_does_not_count(tmp_path):
    whole = written(tmp_path / "a.png", grey(SQUARE, 0, 1))
    noise = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(np.uint8)
    cut = written(tmp_path / "b.png", noise + 3)
    cut.write_bytes(cut.read_bytes()[:-40])
    values = MaskValues()
    values.add(whole)
    with damage_is_an_error(), pytest.raises(ImageError, match=r"b\.png is damaged or cut short"):
        values.add(cut)
    assert "the value 1 of the values 0, 1" in values.target().note
