"""Tiles of images with masks or polygons: nothing is lost, nothing is shifted, what is bad is named."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.data import cutting
from jido.data.cutting import cut_tiles
from jido.errors import ImageError, LabelsError
from jido.io import read_labels
from jido.labels import Labels, binary_scheme

SHARED = Path(__file__).parents[2] / "shared/data"
UTM = "EPSG:32649"

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def needs(name):
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"{name} is not at ../shared/data")


def grid(height, width, *, left=500_000.0, top=2_000_000.0, size=1.0, crs=UTM):
    return GeoBox((height, width), Affine(size, 0, left, 0, -size, top), crs)


def written(path, planes, box=None, **profile):
    """A PNG or GeoTIFF of planes (band, y, x)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = planes.shape
    if box is not None:
        profile |= {"crs": box.crs.to_wkt(), "transform": box.affine}
    driver = "PNG" if path.suffix == ".png" else "GTiff"
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width, dtype=planes.dtype, **profile
    ) as sink:
        sink.write(planes)
    return path


def noise(seed, height, width, bands=3, dtype=np.uint8):
    return np.random.default_rng(seed).integers(1, 200, (bands, height, width)).astype(dtype)


def blob(height, width):
    mask = np.zeros((1, height, width), dtype=np.uint8)
    mask[:, height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


SIZES = {"a": (40, 50), "b": (16, 35), "c": (10, 12)}


@pytest.fixture
def folders(tmp_path):
    """Three images of other sizes, one smaller than a tile, with masks of their names."""
    for seed, (name, size) in enumerate(SIZES.items()):
        written(tmp_path / "images" / f"{name}.png", noise(seed, *size))
        written(tmp_path / "masks" / f"{name}.png", blob(*size))
    return tmp_path / "images", tmp_path / "masks"


def cut(folders, work, **options):
    images, masks = folders
    return cut_tiles([images], masks=[masks], work=work, **({"side": 16} | options))


def put_together(tiles, name, what):
    """An image (C, y, x) of what stands in its tiles; where they overlap they must agree."""
    here = np.flatnonzero(tiles.source == name)
    height, width = tiles.place[here].max(axis=0) + tiles.side
    whole = np.full((what.shape[1], height, width), np.nan)
    for i in here:
        row, col = tiles.place[i]
        part = whole[:, row : row + tiles.side, col : col + tiles.side]
        seen = np.isfinite(part)
        assert (part[seen] == what[i][seen]).all()
        part[:] = what[i]
    return whole


def test_every_pixel_is_in_a_tile_and_in_its_place(folders, tmp_path):
    tiles = cut(folders, tmp_path / "work")
    everything = np.arange(len(tiles))
    assert tiles.images.dtype == np.uint8
    assert tiles.side == 16
    assert [band.name for band in tiles.bands] == ["red", "green", "blue"]
    assert (tiles.pixel_m, tiles.radiometry, tiles.labels) == (None, None, None)
    assert (tiles.group == tiles.source).all()
    for seed, (name, (height, width)) in enumerate(SIZES.items()):
        image = put_together(tiles, f"{name}.png", tiles.pixels(everything))
        assert (image[:, :height, :width] == noise(seed, height, width)).all()
        assert np.isnan(image[:, height:]).all()
        assert np.isnan(image[:, :, width:]).all()
        mask = put_together(tiles, f"{name}.png", tiles.mask(everything)[:, None])
        assert (mask[:, :height, :width] == blob(height, width)).all()
        assert not mask[:, height:].any()
        assert not mask[:, :, width:].any()


def test_an_image_of_whole_tiles_is_cut_without_overlap(tmp_path):
    image = written(tmp_path / "a.png", noise(0, 32, 48))
    tiles = cut_tiles(
        [image], masks=[written(tmp_path / "m.png", blob(32, 48))], work=tmp_path / "w", side=16
    )
    assert tiles.place.tolist() == [[row, col] for row in (0, 16) for col in (0, 16, 32)]
    assert tiles.valid is None
    assert not (tmp_path / "w" / "valid.npy").exists()


def test_numbers_keep_their_type_or_become_float32(tmp_path):
    masks = [written(tmp_path / "m" / f"{name}.tif", blob(16, 16)) for name in "ab"]
    one = written(tmp_path / "a.tif", noise(0, 16, 16, dtype=np.uint16) * 200, photometric="RGB")
    two = written(tmp_path / "b.tif", noise(1, 16, 16, dtype=np.int16), photometric="RGB")
    assert cut_tiles([one], masks=masks[:1], work=tmp_path / "1", side=16).images.dtype == np.uint16
    tiles = cut_tiles([one, two], masks=masks, work=tmp_path / "2", side=16)
    assert tiles.images.dtype == np.float32
    assert (tiles.images[0] == noise(0, 16, 16) * 200.0).all()
    scaled = written(tmp_path / "s.tif", noise(1, 16, 16))
    with rasterio.open(scaled, "r+") as sink:
        sink.scales = (0.5,) * 3
    tiles = cut_tiles([scaled], masks=masks[:1], work=tmp_path / "3", side=16)
    assert (tiles.images[0] == noise(1, 16, 16) * 0.5).all()


def test_tiles_without_data_are_left_out_and_gaps_are_kept(tmp_path):
    pixels = noise(0, 32, 48)
    pixels[:, :, 16:32] = 0
    pixels[1, 4, 4] = 0  # missing in one band
    image = written(tmp_path / "a.tif", pixels, grid(32, 48), nodata=0)
    mask = written(tmp_path / "b.tif", blob(32, 48), grid(32, 48))
    tiles = cut_tiles([image], masks=[mask], work=tmp_path / "w", side=16)
    assert tiles.place.tolist() == [[0, 0], [0, 32], [16, 0], [16, 32]]
    known = np.isfinite(tiles.pixels(np.arange(4)))
    assert np.argwhere(~known[:, 0]).tolist() == [[0, 4, 4]]
    assert tiles.pixel_m == pytest.approx((1, 1))
    assert tiles.radiometry is not None


def test_the_second_call_reads_nothing_until_something_changes(folders, tmp_path, monkeypatch):
    work = tmp_path / "work"
    first = cut(folders, work, groups=None)
    monkeypatch.setattr(cutting, "look_at", None)
    again = cut(folders, work)
    assert (again.images == first.images).all()
    assert (again.masks == first.masks).all()
    assert (again.valid == first.valid).all()
    for name in ("source", "place", "group", "bands", "pixel_m", "radiometry", "notes"):
        assert np.array_equal(getattr(again, name), getattr(first, name)), name
    with pytest.raises(TypeError):  # other options
        cut(folders, work, side=24)
    for folder in folders:
        shutil.copy(folder / "a.png", folder / "new.png")
    with pytest.raises(TypeError):  # other files
        cut(folders, work)


def test_radiometry_and_polygons_come_back_as_they_were(tmp_path):
    image = written(tmp_path / "a.tif", noise(0, 32, 32), grid(32, 32))
    labels = polygons((500_002, 1_999_980, 500_010, 1_999_990), (0, 0, 5, 5))
    first, again = (cut_tiles([image], labels=labels, work=tmp_path / "w", side=16) for _ in range(2))
    assert again.radiometry == first.radiometry
    assert again.bands == first.bands
    assert len(again.labels) == len(first.labels) == 1
    assert cut_tiles([image], labels=labels.subset([0]), work=tmp_path / "w", side=16).notes == ()


def test_what_a_failed_or_killed_cut_leaves_is_no_result(folders, tmp_path, monkeypatch):
    work = tmp_path / "work"
    first = cut(folders, work)
    kept = np.array(first.images)
    (folders[1] / "b.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"b\.png"):
        cut(folders, work)
    assert (np.load(work / "images.npy") == kept).all()  # that of before
    assert {path.name for path in work.iterdir()} == {"images.npy", "masks.npy", "valid.npy", "tiles.json"}
    written(folders[1] / "b.png", blob(*SIZES["b"]))
    (work / "tiles.json").write_text("{")
    assert (cut(folders, work).images == kept).all()


# -- polygons ----------------------------------------------------------------------------------


def polygons(*boxes, crs=UTM, code=2):
    geometry = np.array([shapely.box(*box) for box in boxes], dtype=object)
    codes = np.full(len(boxes), code)
    return Labels(geometry, codes, np.arange(len(boxes)), CRS(crs), binary_scheme("field"))


def test_polygons_in_another_crs_agree_with_a_direct_burn(tmp_path):
    box = grid(40, 50)
    image = written(tmp_path / "a.tif", noise(0, 40, 50), box)
    drawn = polygons((500_003, 1_999_965, 500_030.4, 1_999_990.3), (500_020, 1_999_950, 500_060, 1_999_975))
    labels = drawn.to_crs(CRS("EPSG:4326"))
    tiles = cut_tiles([image], labels=labels, work=tmp_path / "w", side=16)
    mask = put_together(tiles, "a.tif", tiles.mask(np.arange(len(tiles)))[:, None])[0]
    assert (mask == (labels.burn(box).codes > 0)).all()
    assert mask.sum() > 500
    assert tiles.labels.crs == labels.crs


def test_every_class_is_target_also_where_classes_overlap(tmp_path):
    image = written(tmp_path / "a.tif", noise(0, 16, 16), grid(16, 16))
    one = polygons((500_000, 1_999_992, 500_008, 2_000_000), (500_000, 1_999_992, 500_008, 2_000_000))
    two = Labels(one.geometry, np.array([1, 2]), one.groups, one.crs, one.scheme)
    assert cut_tiles([image], labels=two, work=tmp_path / "w", side=16).shares() == [0.25]


def test_polygons_outside_are_counted_and_refused_when_all_are(tmp_path):
    image = written(tmp_path / "a.tif", noise(0, 16, 16), grid(16, 16))
    inside, outside = (500_002, 1_999_990, 500_010, 1_999_998), (510_000, 1_999_990, 510_010, 1_999_998)
    tiles = cut_tiles([image], labels=polygons(inside, outside), work=tmp_path / "w", side=16)
    assert tiles.notes == ("1 of 2 polygons lie outside all images and were left out.",)
    assert len(tiles.labels) == 1
    with pytest.raises(LabelsError, match=r"None of the 1 polygons lies on an image: .*111\.09.*a\.tif"):
        cut_tiles([image], labels=polygons(outside), work=tmp_path / "v", side=16)


def test_polygons_need_images_with_a_place(tmp_path):
    image = written(tmp_path / "a.tif", noise(0, 16, 16))
    with pytest.raises(ImageError, match=r"a\.tif has no CRS: give it with --crs"):
        cut_tiles([image], labels=polygons((0, 0, 1, 1)), work=tmp_path / "w", side=16)


def test_all_features_can_be_of_one_class(tmp_path):
    import geopandas

    frame = geopandas.GeoDataFrame(
        {"osm_id": [7, None], "name": ["x", "y"]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)],
        crs=UTM,
    )
    frame.to_file(tmp_path / "a.gpkg")
    labels = read_labels(tmp_path / "a.gpkg", scheme=binary_scheme("field"), one_class=True)
    assert labels.codes.tolist() == [2, 2]
    assert len(set(labels.groups.tolist())) == 2
    with pytest.raises(LabelsError, match="unknown classes"):
        read_labels(tmp_path / "a.gpkg", scheme=binary_scheme("field"))


# -- files, folders, archives ------------------------------------------------------------------


def packed(path, folder):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, file.relative_to(folder.parent))
            archive.writestr("__MACOSX/._a.png", "no image")
            archive.writestr("read.me", "text")
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            archive.add(folder, folder.name)
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_archives_give_what_folders_give(folders, tmp_path, suffix):
    files = [packed(tmp_path / f"{folder.name}{suffix}", folder) for folder in folders]
    plain = cut(folders, tmp_path / "plain")
    tiles = cut(files, tmp_path / "work")
    assert (tiles.images == plain.images).all()
    assert (tiles.masks == plain.masks).all()
    assert (tiles.source == plain.source).all()


def test_an_archive_cannot_write_outside(folders, tmp_path):
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.write(folders[0] / "a.png", "../../a.png")
    with pytest.raises(ImageError, match=r"bad\.zip holds '\.\./\.\./a\.png'.*outside"):
        cut((bad, folders[1]), tmp_path / "deep" / "work")
    assert not list(tmp_path.glob("a.png"))
    tape = tmp_path / "links.tar"
    with tarfile.open(tape, "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(folders[0] / "a.png")
        archive.addfile(link)
    with pytest.raises(ImageError, match=r"links\.tar holds no image"):
        cut((tape, folders[1]), tmp_path / "work")


@pytest.mark.parametrize("name", ["cut.zip", "cut.tar.gz"])
def test_a_damaged_archive_is_named(folders, tmp_path, name):
    path = packed(tmp_path / name, folders[0])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError, match=rf"{name} cannot be unpacked"):
        cut((path, folders[1]), tmp_path / "work")
    assert not list((tmp_path / "work").rglob("*.png"))


def test_names_that_repeat_get_their_folders(tmp_path):
    for place in ("east", "west"):
        written(tmp_path / place / "images" / "1.png", noise(0, 16, 16))
        written(tmp_path / place / "masks" / "1.png", blob(16, 16) * (place == "west"))
    images, masks = ([tmp_path / place / what for place in ("east", "west")] for what in ("images", "masks"))
    tiles = cut_tiles(images, masks=masks, work=tmp_path / "w", side=16)
    assert tiles.source.tolist() == ["east/images/1.png", "west/images/1.png"]
    assert tiles.positive().tolist() == [False, True]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("siteA_suburb_images.tif", "siteA_suburb_masks.tif"),
        ("img-7.png", "mask-7.png"),
        ("image7.png", "mask7.png"),
        ("7.PNG.png", "7.png_mask.png"),
        ("A_rgb.png", "a_gt.png"),
        ("7.png", "7_label.tif"),
    ],
)
def test_masks_are_known_by_their_names(tmp_path, image, mask):
    for folder, name, other in (("i", image, "else.png"), ("m", mask, "else.png")):
        for file in (name, other):
            written(tmp_path / folder / file, noise(0, 16, 16) if folder == "i" else blob(16, 16))
    assert len(cut((tmp_path / "i", tmp_path / "m"), tmp_path / "w")) == 2


def test_one_image_and_one_mask_belong_together(tmp_path):
    files = written(tmp_path / "this.png", noise(0, 16, 16)), written(tmp_path / "that.png", blob(16, 16))
    assert len(cut(files, tmp_path / "w")) == 1


# -- what is bad -------------------------------------------------------------------------------


def test_an_image_without_mask_is_named_or_left_out(folders, tmp_path):
    (folders[1] / "b.png").rename(folders[1] / "z.png")
    with pytest.raises(
        ImageError, match=r"b\.png has no mask.*z\.png is a mask without an image.*--skip-bad"
    ):
        cut(folders, tmp_path / "w")
    tiles = cut(folders, tmp_path / "w", skip_bad=True)
    assert set(tiles.source) == {"a.png", "c.png"}
    assert [note.split("/")[-1] for note in tiles.notes[1:]] == [
        "b.png has no mask of its name.",
        "z.png is a mask without an image of its name.",
    ]


def test_names_that_fit_nothing_are_shown(folders, tmp_path):
    for i, path in enumerate(sorted(folders[1].iterdir())):
        path.rename(folders[1] / f"other{i}.png")
    with pytest.raises(LabelsError, match=r"No mask is named like an image: images are a\.png.*other0\.png"):
        cut(folders, tmp_path / "w")
    with pytest.raises(LabelsError, match=r"a\.png is among the images and among the masks"):
        cut((folders[0], folders[0]), tmp_path / "w")


def test_a_mask_of_another_size_is_named_with_both_sizes(folders, tmp_path):
    written(folders[1] / "a.png", blob(40, 40))
    with pytest.raises(ImageError, match=r"masks/a\.png has 40 x 40 pixels .*images/a\.png has 50 x 40"):
        cut(folders, tmp_path / "w")


@pytest.mark.parametrize("other", [{"left": 500_000.5}, {"size": 0.5}, {"crs": "EPSG:32650"}])
def test_a_mask_on_another_grid_is_named(tmp_path, other):
    image = written(tmp_path / "a.tif", noise(0, 16, 16), grid(16, 16))
    mask = written(tmp_path / "m.tif", blob(16, 16), grid(16, 16, **other))
    with pytest.raises(ImageError, match=r"m\.tif \(16 x 16 pixels.*on another grid .*a\.tif"):
        cut((image, mask), tmp_path / "w")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", [b"no image", None])
def test_one_bad_file_is_named_or_left_out(folders, tmp_path, which, damage):
    """A PNG that is cut short opens, and breaks when its last rows are read."""
    bad = folders[which] / "a.png"
    if which:
        written(bad, np.random.default_rng(0).integers(0, 2, (1, 40, 50)).astype(np.uint8))
    bad.write_bytes(damage or bad.read_bytes()[:-100])
    with pytest.raises(ImageError, match=rf"{folders[which].name}/a\.png is .*--skip-bad"):
        cut(folders, tmp_path / "w")
    tiles = cut(folders, tmp_path / "w", skip_bad=True)
    assert set(tiles.source) == {"b.png", "c.png"}
    assert len(tiles.images) == len(tiles.masks) == len(tiles.valid) == len(tiles) == 4
    assert tiles.notes[-1].startswith(f"Left out: {bad}")
    image = put_together(tiles, "b.png", tiles.pixels(np.arange(4)))
    assert (image == noise(1, *SIZES["b"])).all()


def test_the_odd_image_is_named(tmp_path):
    for name, bands, size in (("a", 3, 1.0), ("b", 3, 1.05), ("c", 3, 1.0), ("odd", 3, 1.3)):
        written(tmp_path / "i" / f"{name}.tif", noise(0, 16, 16, bands), grid(16, 16, size=size))
        written(tmp_path / "m" / f"{name}.tif", blob(16, 16))
    folders = tmp_path / "i", tmp_path / "m"
    with pytest.raises(ImageError, match=r"odd\.tif has pixels of 1\.3 m but the others have 1\.05 m"):
        cut(folders, tmp_path / "w")
    written(folders[0] / "odd.tif", noise(0, 16, 16, 5), grid(16, 16))
    with pytest.raises(
        ImageError, match=r"odd\.tif has the bands .*band4.* but .*a\.tif, have the bands red,"
    ):
        cut(folders, tmp_path / "w")
    tiles = cut(folders, tmp_path / "w", skip_bad=True)
    assert set(tiles.source) == {"a.tif", "b.tif", "c.tif"}


def test_images_of_8_and_of_16_bits_are_not_mixed(tmp_path):
    for name, dtype in (("a", np.uint8), ("b", np.uint8), ("odd", np.uint16)):
        written(tmp_path / "i" / f"{name}.tif", noise(0, 16, 16, dtype=dtype), photometric="RGB")
        written(tmp_path / "m" / f"{name}.tif", blob(16, 16))
    folders = tmp_path / "i", tmp_path / "m"
    with pytest.raises(ImageError, match=r"odd\.tif has .*more than 8 bits but .*a\.tif, have 8-bit .*-ot"):
        cut(folders, tmp_path / "w")
    tiles = cut(folders, tmp_path / "w", skip_bad=True)
    assert set(tiles.source) == {"a.tif", "b.tif"}
    assert tiles.images.dtype == np.uint8


def test_a_mask_that_is_none_is_named_or_left_out(folders, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (3, *SIZES["a"])).astype(np.uint8)
    written(folders[1] / "a.png", photo)
    with pytest.raises(LabelsError, match=r"a\.png holds more than 1024 different values.*--skip-bad"):
        cut(folders, tmp_path / "w")
    tiles = cut(folders, tmp_path / "w", skip_bad=True)
    assert set(tiles.source) == {"b.png", "c.png"}
    assert tiles.notes[-1].startswith(f"Left out: {folders[1] / 'a.png'} holds more than")


@pytest.fixture
def neighbours(tmp_path):
    """Four images side by side: a and b overlap by half, b and c by half, d lies elsewhere."""
    for name, left in (("a", 0), ("b", 8), ("c", 16), ("d", 100)):
        written(tmp_path / "i" / f"{name}.tif", noise(0, 16, 16), grid(16, 16, left=500_000 + left))
        written(tmp_path / "m" / f"{name}.tif", blob(16, 16))
    return tmp_path / "i", tmp_path / "m"


def test_images_of_one_ground_are_one_group(neighbours, tmp_path):
    for _ in range(2):  # the second time from disk
        tiles = cut(neighbours, tmp_path / "w")
        assert tiles.group.tolist() == ["a.tif", "a.tif", "a.tif", "d.tif"]
        assert tiles.group_as_named.tolist() == ["a.tif", "b.tif", "c.tif", "d.tif"]
        assert tiles.notes[-1].startswith("a.tif and b.tif show the same ground: 4 groups became 2")
        assert tiles.subset([3, 0]).group_as_named.tolist() == ["d.tif", "a.tif"]


def test_named_groups_of_one_ground_are_one_group(neighbours, tmp_path):
    file = table(tmp_path / "g.csv", "image,site\na,X\nb,X\nc,Y\nd,Y\n")
    tiles = cut(neighbours, tmp_path / "w", groups=f"{file}:site")
    assert tiles.group.tolist() == ["X"] * 4
    file = table(tmp_path / "g.csv", "image,site\na,X\nb,X\nc,X\nd,Y\n")
    tiles = cut(neighbours, tmp_path / "w", groups=f"{file}:site")
    assert (tiles.group.tolist(), tiles.group_as_named) == (["X", "X", "X", "Y"], None)


def test_images_whose_rims_touch_stay_apart(tmp_path):
    for name, left in (("a", 500_000), ("b", 500_016)):
        written(tmp_path / "i" / f"{name}.tif", noise(0, 16, 16), grid(16, 16, left=left))
        written(tmp_path / "m" / f"{name}.tif", blob(16, 16))
    assert cut((tmp_path / "i", tmp_path / "m"), tmp_path / "w").group_as_named is None


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.zeros((1, 64, 64), np.uint8), "no target pixel, only the value 0"),
        (np.eye(64, dtype=np.uint8)[None] * (np.arange(64) == 7), "more than 0.1%"),
    ],
)
def test_no_positive_tile_is_refused(tmp_path, mask, says):
    files = written(tmp_path / "a.png", noise(0, 64, 64)), written(tmp_path / "m.png", mask)
    with pytest.raises(LabelsError, match=says):
        cut(files, tmp_path / "w", side=64)
    assert not (tmp_path / "w" / "tiles.json").exists()


def test_options_that_make_no_sense_are_refused(folders, tmp_path):
    with pytest.raises(LabelsError, match="either masks or polygons"):
        cut_tiles([folders[0]], work=tmp_path)
    with pytest.raises(ImageError, match="multiple of 8"):
        cut(folders, tmp_path, side=20)
    with pytest.raises(ImageError, match="nowhere does not exist"):
        cut((tmp_path / "nowhere", folders[1]), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty holds no image"):
        cut((tmp_path / "empty", folders[1]), tmp_path)


# -- groups ------------------------------------------------------------------------------------


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".png", ""])
@pytest.mark.parametrize(("name", "mark"), [("g.csv", ","), ("g.csv", ";"), ("g.tsv", "\t")])
def test_groups_come_from_a_table(folders, tmp_path, suffix, name, mark):
    rows = [
        f"{i}{mark}{image}{suffix}{mark} {site}"
        for i, (image, site) in enumerate(zip("abc", "XXY", strict=True))
    ]
    file = table(tmp_path / name, "\n".join([f"n{mark}Image{mark}Site", *rows]))
    tiles = cut(folders, tmp_path / "w", groups=f"{file}:site")
    assert {(s, g) for s, g in zip(tiles.source, tiles.group, strict=True)} == {
        ("a.png", "X"),
        ("b.png", "X"),
        ("c.png", "Y"),
    }


def test_a_table_of_any_kind_is_read(folders, tmp_path):
    import pandas
    import pyogrio

    frame = pandas.DataFrame({"image": list("abc"), "site": [1, 1, 2]})
    pyogrio.write_dataframe(frame, tmp_path / "t.gpkg")
    assert set(cut(folders, tmp_path / "w", groups=f"{tmp_path}/t.gpkg:site").group) == {"1", "2"}


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("image,site\na,1\nb,2\n", "site", r"g\.csv lacks c\.png of 3 images; .* in column 'image'"),
        (
            "image,site\nx,1\n",
            "site",
            r"lacks a\.png, b\.png, c\.png of 3 .* in any of its columns image, site",
        ),
        ("image,site\na,1\nb,2\nc,\n", "site", r"says nothing of c\.png in column 'site'"),
        ("image,site\na,1\nb,2\nc,3\nc,4\n", "site", r"says '3' and '4' of c\.png"),
        ("image,site\na,1\nb,2\nc,3\n", "city", r"g\.csv has no column 'city', only image, site"),
    ],
)
def test_bad_tables_are_refused(folders, tmp_path, text, column, says):
    file = table(tmp_path / "g.csv", text)
    with pytest.raises(LabelsError, match=says):
        cut(folders, tmp_path / "w", groups=f"{file}:{column}")


def test_a_place_in_a_table_is_split_at_the_last_colon():
    from jido.io.tables import split_place

    assert split_place(r"C:\x.csv:col") == (Path(r"C:\x.csv"), "col")
    for text in ("sites.csv", r"C:\x.csv", "sites.csv:", ":site"):
        with pytest.raises(LabelsError, match="FILE:COLUMN"):
            split_place(text)


# -- real data ---------------------------------------------------------------------------------


@needs("courts")
def test_courts_have_the_known_tiles(tmp_path):
    courts = SHARED / "courts"
    images, masks = (
        [courts / part / what for part in ("train", "val", "test")] for what in ("images", "masks")
    )
    tiles = cut_tiles(images, masks=masks, work=tmp_path, groups=f"{courts / 'tiles.csv'}:source_image")
    part = np.concatenate([np.full(n, name) for name, n in (("train", 430), ("val", 158), ("test", 154))])
    counts = {name: np.count_nonzero(tiles.positive()[part == name]) for name in ("train", "val", "test")}
    assert counts == {"train": 251, "val": 86, "test": 90}
    assert (len(tiles), len(np.unique(tiles.group))) == (742, 168)
    assert tiles.images.dtype == np.uint8
    assert tiles.valid is None


@needs("buildings_uganda")
def test_polygons_of_buildings_equal_their_masks(tmp_path):
    folder = SHARED / "buildings_uganda"
    images = [folder / "siteA_suburb_images.tif"]
    labels = read_labels(folder / "labels.geojson", scheme=binary_scheme("building"), one_class=True)
    burnt = cut_tiles(images, labels=labels, work=tmp_path / "p")
    masked = cut_tiles(images, masks=[folder / "siteA_suburb_masks.tif"], work=tmp_path / "m")
    assert len(burnt) == 96
    assert (burnt.masks == masked.masks).all()
    assert len(burnt.labels) == 108
    assert burnt.pixel_m == pytest.approx((0.0746, 0.0746), rel=0.01)
