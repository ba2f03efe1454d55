"""Images in folders of a class: read where they lie, alike in all, and what is bad is named."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from jido.data.chip_reading import read_chips, stream_chips
from jido.data.places import lonlat_column
from jido.errors import ImageError, LabelsError
from jido.io.images import find_images

EUROSAT = Path(__file__).parents[2] / "shared/data/eurosat"
SIDE = 16

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def noise(seed, bands=3, dtype=np.uint8, side=SIDE):
    pixels = np.random.default_rng(seed).integers(1, 200, (bands, side, side))
    return (pixels * (200 if dtype == np.uint16 else 1)).astype(dtype)


def packed(pixels, form="PNG", **options):
    """The bytes of an image (C, y, x) of 8 bits."""
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "CMYK" if form == "JPEG" else "RGBA"}
    image = Image.frombytes(modes[len(pixels)], pixels.shape[:0:-1], pixels.transpose(1, 2, 0).tobytes())
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def by_gdal(path, pixels, driver="GTiff", names=(), **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as sink:
        sink.write(pixels)
        if names:
            sink.descriptions = names
    return path


def put(folder, files):
    """Files of a folder: path -> bytes."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path, files):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def two_classes(each=3, **options):
    """PNGs of two classes; number i of class k holds noise(10 k + i)."""
    return {
        f"{folder}/{folder}_{i}.png": packed(noise(10 * k + i, **options))
        for k, folder in enumerate(("lake", "wood"))
        for i in range(each)
    }


def by_name(chips):
    return {str(name): (chips.images[i], chips.label[i]) for i, name in enumerate(chips.name)}


# -- where images lie --------------------------------------------------------------------------


def test_folder_zip_and_tar_give_the_same(tmp_path):
    files = two_classes()
    kept = by_name(read_chips([put(tmp_path / "data", files)]))
    assert list(kept) == sorted(files)
    for k, folder in enumerate(("lake", "wood")):
        for i in range(3):
            pixels, label = kept[f"{folder}/{folder}_{i}.png"]
            assert label == k
            assert (pixels == noise(10 * k + i)).all()
    for archive in (
        zipped(tmp_path / "a.zip", files),
        tarred(tmp_path / "a.tar", files),
        tarred(tmp_path / "a.tar.gz", files),
    ):
        found = by_name(read_chips([archive]))
        assert found.keys() == kept.keys()
        assert all((found[name][0] == kept[name][0]).all() for name in kept)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["data"]


def test_the_class_is_the_folder_however_deep_and_names_tell_images_apart(tmp_path):
    deep = {f"EuroSAT/2750/{name}": data for name, data in two_classes().items()}
    chips = read_chips([zipped(tmp_path / "a.zip", deep)])
    assert chips.classes == ("lake", "wood")
    assert chips.name[0] == "EuroSAT/2750/lake/lake_0.png"
    folder = put(tmp_path / "data", two_classes())
    chips = read_chips([folder / "wood", folder / "lake"])  # class folders themselves
    assert chips.classes == ("lake", "wood")
    assert chips.name.tolist()[::3] == ["wood/wood_0.png", "lake/lake_0.png"]
    chips = read_chips([folder, folder / "wood", folder / "wood" / "wood_0.png"])  # each once
    assert len(chips) == 6
    other = zipped(tmp_path / "b.zip", two_classes())
    names = read_chips([folder, other]).name.tolist()
    assert sorted(names)[::6] == ["b.zip/lake/lake_0.png", "data/lake/lake_0.png"]
    assert len(set(names)) == 12


def test_train_and_test_folders_hold_the_same_classes(tmp_path):
    files = {f"{part}/{name}": data for part in ("train", "test") for name, data in two_classes().items()}
    chips = read_chips([put(tmp_path, files)])
    assert chips.classes == ("lake", "wood")
    assert len(chips) == 12


def test_hidden_files_and_links_do_not_count(tmp_path):
    more = {
        "__MACOSX/lake/._lake_0.png": b"x",
        ".hidden/a.png": b"x",
        "lake/.a.png": b"x",
        "readme.txt": b"x",
    }
    path = zipped(tmp_path / "a.zip", two_classes() | more)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("lake/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert len(read_chips([path])) == 6
    tape = tarred(tmp_path / "a.tar", {f"./{name}": data for name, data in (two_classes() | more).items()})
    with tarfile.open(tape, "a") as archive:
        link = tarfile.TarInfo("lake/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read_chips([tape]).name[0] == "lake/lake_0.png"
    assert len(read_chips([tape])) == 6
    assert len(read_chips([put(tmp_path / "data", two_classes() | more)])) == 6


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_occur_twice_in_an_archive_or_were_packed_on_windows(tmp_path):
    path = zipped(tmp_path / "a.zip", {name.replace("/", "\\"): data for name, data in two_classes().items()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("lake/lake_0.png", packed(noise(99)))
    chips = read_chips([path])
    assert sorted(chips.name) == sorted(two_classes())
    assert (by_name(chips)["lake/lake_0.png"][0] == noise(99)).all()


@pytest.mark.parametrize("name", ["../lake/x.png", "/lake/x.png", "lake/../../x.png", "C:\\lake\\x.png"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_that_leads_out_of_itself_is_refused(tmp_path, pack, name):
    path = pack(tmp_path / f"a.{'zip' if pack is zipped else 'tar'}", {name: packed(noise(0))})
    with pytest.raises(ImageError, match=r"a\.\w+ holds '.*x\.png', which would be written outside"):
        read_chips([path])


def test_missing_empty_and_broken_inputs_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.zip does not exist"):
        read_chips([tmp_path / "gone.zip"])
    with pytest.raises(ImageError, match=r"holds no image: give a file, folder or archive"):
        read_chips([put(tmp_path / "e", {"a/readme.txt": b""})])
    whole = zipped(tmp_path / "a.zip", two_classes()).read_bytes()
    with pytest.raises(ImageError, match=r"cut\.zip cannot be read \(.*\): get it again"):
        read_chips([put(tmp_path, {"cut.zip": whole[:-40]}) / "cut.zip"])
    whole = tarred(tmp_path / "a.tar.gz", two_classes()).read_bytes()
    with pytest.raises(ImageError, match=r"cut\.tar\.gz cannot be read \(.*\): get it again"):
        read_chips([put(tmp_path, {"cut.tar.gz": whole[: len(whole) // 2]}) / "cut.tar.gz"])


def test_a_member_with_a_wrong_checksum_is_named_with_its_place(tmp_path):
    path = zipped(tmp_path / "a.zip", {"notes.txt": b"x"} | two_classes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("lake/lake_1.png")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"lake/lake_1\.png \(member 3 of .*a\.zip\) .* --skip-bad"):
        read_chips([path])
    chips = read_chips([path], least=2, skip_bad=True)
    assert len(chips) == 5
    assert chips.notes[0].startswith("Left out: lake/lake_1.png (member 3 of")


# -- what is in them ---------------------------------------------------------------------------


def test_eight_bits_stay_as_pillow_reads_them(tmp_path):
    for form in ("JPEG", "PNG", "WEBP"):
        files = {
            f"{k}/{i}.{form.lower().replace('jpeg', 'jpg')}": packed(noise(5 * k + i), form)
            for k in range(2)
            for i in range(3)
        }
        chips = read_chips([zipped(tmp_path / f"{form}.zip", files)])
        assert chips.images.dtype == np.uint8
        assert [band.name for band in chips.bands] == ["red", "green", "blue"]
        assert (chips.lonlat, chips.pixel_m, chips.radiometry, chips.notes) == (None, None, None, ())
        for image, data in zip(chips.images, files.values(), strict=True):
            assert (image == np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)).all()


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    files = {}
    for bands in (1, 3):
        for k in range(2):
            for i in range(3):
                path = tmp_path / f"{bands}" / f"{k}" / f"{i}.png"
                files[path] = noise(5 * k + i, bands, np.uint16)
                by_gdal(path, files[path], driver="PNG")
        chips = read_chips([tmp_path / f"{bands}"])
        assert chips.images.dtype == np.uint16
        assert chips.images.max() > 255
        for path, image in zip(sorted((tmp_path / f"{bands}").rglob("*.png")), chips.images, strict=True):
            assert (image == files[path]).all()


def test_palettes_greys_and_alpha(tmp_path):
    table = noise(3, side=16).reshape(3, -1).T  # 256 colours
    number = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(number, "P")
    image.putpalette(table.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    files = two_classes() | {"lake/palette.png": file.getvalue()}
    opaque = np.concatenate([noise(1), np.full((1, SIDE, SIDE), 255, dtype=np.uint8)])
    files["lake/opaque.png"] = packed(opaque)
    chips = read_chips([put(tmp_path / "1", files)])
    found = by_name(chips)
    assert chips.images.dtype == np.uint8
    assert (found["lake/palette.png"][0] == table.T.reshape(3, 16, 16)).all()
    assert (found["lake/opaque.png"][0] == noise(1)).all()
    clear = opaque.copy()
    clear[3, :4], clear[3, 4:8] = 0, 100
    chips = read_chips([put(tmp_path / "2", files | {"wood/clear.png": packed(clear)})])
    assert chips.images.dtype == np.float32
    found = by_name(chips)
    assert np.isnan(found["wood/clear.png"][0][:, :4]).all()
    assert (found["wood/clear.png"][0][:, 4:] == noise(1)[:, 4:]).all()
    assert (found["lake/lake_0.png"][0] == noise(0)).all()
    grey = read_chips([put(tmp_path / "3", two_classes(bands=1))])
    assert grey.images.shape == (6, 1, SIDE, SIDE)
    grey = read_chips([put(tmp_path / "4", two_classes(bands=2))])  # grey and alpha
    assert grey.images.shape == (6, 1, SIDE, SIDE)


S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@pytest.mark.parametrize("archive", [False, True])
def test_geotiffs_bring_bands_place_and_what_the_numbers_are(tmp_path, archive):
    files = {}
    for k, folder in enumerate(("lake", "wood")):
        for i in range(3):
            left, crs = 500_000 + 160 * (3 * k + i), "EPSG:32633" if k else "EPSG:32632"
            path = tmp_path / "data" / folder / f"{i}.tif"
            place = {"crs": crs, "transform": Affine(10, 0, left, 0, -10, 5_000_000)}
            by_gdal(path, noise(5 * k + i, 13, np.uint16), names=S2, nodata=200 * 7, **place)
            files[f"{folder}/{i}.tif"] = path.read_bytes()
    chips = read_chips([zipped(tmp_path / "a.zip", files) if archive else tmp_path / "data"])
    assert [band.name for band in chips.bands] == list(S2)
    assert {band.sensor for band in chips.bands} == {"sentinel-2"}
    assert chips.pixel_m == (10, 10)
    assert chips.radiometry is not None
    assert set(chips.radiometry.parts[0].bands) == set(S2)
    assert chips.lonlat[3] == pytest.approx([15 + 560 / 78_800, 45.15], abs=1e-2)
    step = np.diff(chips.lonlat[:3, 0])
    assert step == pytest.approx([160 / 78_800] * 2, rel=0.01)  # a degree has 78.8 km at 45 north
    assert chips.images.dtype == np.float32  # something is missing
    expected = noise(0, 13, np.uint16).astype(np.float32)
    expected[expected == 200 * 7] = np.nan
    assert np.array_equal(chips.images[0], expected, equal_nan=True)


def test_scale_and_colour_table_of_a_tiff_are_applied(tmp_path):
    for k in range(2):
        for i in range(3):
            path = by_gdal(tmp_path / "s" / f"{k}" / f"{i}.tif", noise(i, 2))
            with rasterio.open(path, "r+") as sink:
                sink.scales = (0.5, 2.0)
            path = by_gdal(tmp_path / "p" / f"{k}" / f"{i}.tif", noise(i, 1), photometric="palette")
            with rasterio.open(path, "r+") as sink:
                sink.write_colormap(1, {j: (j, 255 - j, 7, 255) for j in range(256)})
    scaled = read_chips([tmp_path / "s"])
    assert scaled.images.dtype == np.float32
    assert (scaled.images[0] == noise(0, 2) * np.array([0.5, 2], dtype=np.float32)[:, None, None]).all()
    colours = read_chips([tmp_path / "p"])
    number = noise(0, 1)[0]
    assert (colours.images[0] == [number, 255 - number, np.full_like(number, 7)]).all()
    assert [band.name for band in colours.bands] == ["red", "green", "blue"]


# -- what is bad -------------------------------------------------------------------------------


def jpeg(**options):
    return packed(noise(0, side=32), "JPEG", **options)


CUT = {
    "cut": jpeg()[:-150],
    "cut, then ended as if whole": jpeg()[:-150] + b"\xff\xd9",
    "progressive, cut, ended": jpeg(progressive=True)[:-400] + b"\xff\xd9",
    "grey, cut, ended": packed(noise(0, 1, side=32), "JPEG")[:-150] + b"\xff\xd9",
    "no image": b"\xff\xd8\xff\xe0 something else",
    "png": packed(noise(0, side=32))[:-200],
    "webp": packed(noise(0, side=32), "WEBP")[:-200],
    "text": b"no image at all",
    "empty": b"",
    "virtual": b'<VRTDataset rasterXSize="16" rasterYSize="16"><SRS></SRS></VRTDataset>',
}


@pytest.mark.parametrize("how", CUT)
def test_damaged_images_are_refused_with_their_place_or_left_out(tmp_path, how):
    bands = 1 if how.startswith("grey") else 3
    files = {name: packed(noise(i, bands, side=32), "JPEG") for i, name in enumerate(two_classes())}
    names = list(files)
    files["lake/lake_1.png"] = CUT[how]
    path = zipped(tmp_path / "a.zip", files)
    with pytest.raises(
        ImageError, match=r"lake/lake_1\.png \(member 2 of .*a\.zip\) is damaged or cut short"
    ):
        read_chips([path])
    chips = read_chips([path], least=2, skip_bad=True)
    assert chips.name.tolist() == [name for name in names if name != "lake/lake_1.png"]
    assert np.bincount(chips.label).tolist() == [2, 3]
    assert len(chips.notes) == 1
    assert "lake/lake_1.png (member 2 of" in chips.notes[0]
    with pytest.raises(LabelsError, match=r"class 'lake' has 2 images but needs 3"):
        read_chips([path], skip_bad=True)


def test_a_tiff_that_was_cut_short_is_refused(tmp_path):
    for i in range(3):
        by_gdal(tmp_path / "a" / f"{i}.tif", noise(i, 5))
        last = by_gdal(tmp_path / "b" / f"{i}.tif", noise(i, 5))
    last.write_bytes(last.read_bytes()[:-300])
    with pytest.raises(ImageError, match=r"b/2\.tif is damaged or cut short"):
        read_chips([tmp_path])


def test_flat_grey_jpegs_are_whole(tmp_path):
    grey = packed(np.full((3, 16, 16), 128, dtype=np.uint8), "JPEG")
    chips = read_chips([zipped(tmp_path / "a.zip", {f"{k}/{i}.jpg": grey for k in "ab" for i in range(3)})])
    assert (chips.images == 128).all()


ODD = {
    "grey": (packed(noise(0, 1)), "1 band of 16 x 16 pixels in uint8"),
    "other size": (packed(noise(0, side=24)), "3 bands of 24 x 24 pixels in uint8"),
    "inks": (packed(noise(0, 4), "JPEG"), r"inks of a print \(CMYK\): save it with red"),
}


@pytest.mark.parametrize("how", ODD)
def test_images_unlike_the_others_are_refused_or_left_out(tmp_path, how):
    data, says = ODD[how]
    folder = put(tmp_path, two_classes() | {"lake/0.png": data})  # the first one
    with pytest.raises(ImageError, match=rf"lake/0\.png .*{says}.*--skip-bad"):
        read_chips([folder])
    if how != "inks":
        with pytest.raises(ImageError, match="but most have 3 bands of 16 x 16 pixels in uint8"):
            read_chips([folder])
    chips = read_chips([folder], skip_bad=True)
    assert len(chips) == 6
    assert len(chips.notes) == 1


def test_eight_and_sixteen_bits_do_not_mix_and_neither_do_orders_of_bands(tmp_path):
    put(tmp_path / "1", two_classes())
    by_gdal(tmp_path / "1/wood/w.png", noise(1, 3, np.uint16), driver="PNG")
    with pytest.raises(ImageError, match=r"w\.png has 3 bands .* in uint16 but most have .* uint8"):
        read_chips([tmp_path / "1"])
    for k in "ab":
        for i in range(3):
            by_gdal(tmp_path / "2" / k / f"{i}.tif", noise(i, 2), names=("B4", "B8"))
    by_gdal(tmp_path / "2/a/9.tif", noise(9, 2), names=("B8", "B4"))
    with pytest.raises(ImageError, match=r"9\.tif has the bands B8, B4 but most have the bands B4, B8"):
        read_chips([tmp_path / "2"])


def test_the_usual_is_what_most_are_not_what_the_first_are(tmp_path):
    files = {f"a/{i:03}.png": packed(noise(i, side=8)) for i in range(70)}
    files |= {f"b/{i:03}.png": packed(noise(i)) for i in range(75)}
    path = zipped(tmp_path / "a.zip", files | {"a/x.png": packed(noise(0))})
    with pytest.raises(ImageError, match=r"a/000\.png .* 8 x 8 .* but most have .* 16 x 16"):
        read_chips([path])
    chips = read_chips([path], skip_bad=True, least=1)
    assert (len(chips), len(chips.notes), chips.side) == (76, 70, 16)


def test_pixels_of_another_size_and_images_that_are_not_square_are_refused(tmp_path):
    for k in "ab":
        for i in range(3):
            size = 20 if (k, i) == ("b", 1) else 10
            place = {"crs": "EPSG:32632", "transform": Affine(size, 0, 5e5, 0, -size, 5e6)}
            by_gdal(tmp_path / "1" / k / f"{i}.tif", noise(i), **place)
    with pytest.raises(ImageError, match=r"b/1\.tif has pixels of 20 m but most have 10 m"):
        read_chips([tmp_path / "1"])
    chips = read_chips([tmp_path / "1"], skip_bad=True, least=2)
    assert (len(chips), len(chips.lonlat), chips.pixel_m) == (5, 5, (10, 10))
    put(tmp_path / "2", {f"{k}/{i}.png": packed(noise(i)[:, :8]) for k in "ab" for i in range(3)})
    with pytest.raises(ImageError, match=r"have 16 x 8 pixels .*: give square ones"):
        read_chips([tmp_path / "2"])


def test_what_is_too_large_for_one_class_is_refused_unread(tmp_path):
    file = io.BytesIO()
    Image.new("L", (5000, 10)).save(file, "PNG")
    with pytest.raises(ImageError, match=r"x\.png has 5000 x 10 pixels, too many for one class"):
        read_chips([put(tmp_path, {"x.png": file.getvalue()})], labelled=False)


def test_folders_that_are_no_classes_are_refused(tmp_path):
    folder = put(tmp_path / "1", two_classes() | {"loose.png": packed(noise(0))})
    with pytest.raises(LabelsError, match=r"loose\.png lies in no folder of a class: put it into"):
        read_chips([folder])
    chips = read_chips([folder], skip_bad=True)
    assert (len(chips), chips.classes) == (6, ("lake", "wood"))
    with pytest.raises(LabelsError, match=r"x\.png \(member 7 of .*a\.zip\) lies in no folder"):
        read_chips([zipped(tmp_path / "a.zip", two_classes() | {"x.png": packed(noise(0))})])
    with pytest.raises(ImageError, match=r"No image is left\. Left out: .*x\.png"):
        read_chips([zipped(tmp_path / "b.zip", {"x.png": packed(noise(0))})], skip_bad=True)
    with pytest.raises(LabelsError, match=r"All 3 images lie in one folder \(lake\).*2 classes or more"):
        read_chips([folder / "lake"])
    few = put(tmp_path / "2", two_classes(each=2))
    with pytest.raises(LabelsError, match=r"class 'lake' has 2 images but needs 3"):
        read_chips([few])
    assert len(read_chips([few], least=1)) == 4


def test_classes_of_a_model_keep_their_order(tmp_path):
    folder = put(tmp_path, two_classes())
    chips = read_chips([folder], classes=("wood", "town", "lake"))
    assert chips.classes == ("wood", "town", "lake")
    assert chips.label.tolist() == [2, 2, 2, 0, 0, 0]
    with pytest.raises(
        LabelsError, match=r"3 images lie in the folder 'lake', which is none of .* wood, town:"
    ):
        read_chips([folder], classes=("wood", "town"))


# -- without classes ---------------------------------------------------------------------------


def test_a_stream_gives_all_images_some_at_a_time(tmp_path):
    files = {f"{i}.png": packed(noise(i)) for i in range(7)} | {"3.png": packed(noise(3, 1))}
    path = tarred(tmp_path / "a.tar.gz", files)
    told = []
    with pytest.raises(ImageError, match=r"3\.png \(member 4 of .* has 1 band"):
        list(stream_chips([path], at_once=3))
    pieces = list(stream_chips([path], at_once=3, skip_bad=True, progress=lambda *said: told.append(said)))
    assert [len(piece) for piece in pieces] == [3, 2, 1]
    assert [len(piece.notes) for piece in pieces] == [0, 1, 0]
    assert told[-1] == ("reading the images", 7, 7)
    assert all((piece.label == -1).all() and piece.classes == () for piece in pieces)
    assert [name for piece in pieces for name in piece.name] == [f"{i}.png" for i in (0, 1, 2, 4, 5, 6)]
    whole = read_chips([path], labelled=False, skip_bad=True)
    assert (np.concatenate([piece.images for piece in pieces]) == whole.images).all()
    assert (whole.label == -1).all()


# -- places from a table -----------------------------------------------------------------------


def table(path, text):
    (gzip.open if path.suffix == ".gz" else open)(path, "wt").write(text)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv"])
def test_places_of_images_are_read_from_a_table(tmp_path, name):
    text = "image,Longitude,LAT\nb.jpg,10.5,-3\nEuroSAT/lake/a.jpg,-179,48.25\n"
    path = table(tmp_path / name, text.replace(",", "\t") if name == "t.tsv" else text)
    assert lonlat_column(path, ["lake/a.png", "2750/lake/b.png"]).tolist() == [[-179, 48.25], [10.5, -3]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,lat\na,1\nb,2\n", r"t\.csv has no column 'lon' or 'lng' or .* only image, lat"),
        ("image,x,y\na,1,2\n", r"t\.csv lacks b of 2 images"),
        ("image,x,y\na,1,2\nb,1,\n", r"says nothing of b in column 'y'"),
        ("image,x,y\na,1,2\nb,500000,4000000\n", r"says that b lies at longitude 500000 and .* give degrees"),
        ("image,x,y\na,1,2\nb,east,4\n", r"says that b lies at longitude east and latitude 4: give degrees"),
        ("image,x,y\na,1,2\nb,3,4\nb,5,4\n", r"says '3' and '5' of b in column 'x'"),
    ],
)
def test_bad_tables_of_places_are_refused(tmp_path, text, says):
    with pytest.raises(LabelsError, match=says):
        lonlat_column(table(tmp_path / "t.csv", text), ["a", "b"])


def test_an_end_that_two_images_share_names_neither(tmp_path):
    path = table(tmp_path / "t.csv", "image,x,y\n1.jpg,1,2\nwood/2.jpg,3,4\nlake/2.jpg,5,6\n")
    assert lonlat_column(path, ["lake/2.jpg", "a/wood/2.jpg"]).tolist() == [[5, 6], [3, 4]]
    with pytest.raises(LabelsError, match="lacks lake/1, wood/1"):
        lonlat_column(path, ["lake/1", "wood/1"])


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not EUROSAT.exists(), reason="eurosat is not at ../shared/data")
def test_half_of_eurosat_is_as_pillow_reads_it():
    path = EUROSAT / "eurosat_rgb_a.zip"
    chips = read_chips([path])
    counts = [1500, 1500, 1500, 1250, 1250, 1000, 1250, 1500, 1250, 1500]
    assert np.bincount(chips.label).tolist() == counts
    assert chips.images.shape == (13_500, 3, 64, 64)
    assert chips.images.dtype == np.uint8
    assert chips.classes[::9] == ("AnnualCrop", "SeaLake")
    assert not chips.notes
    with zipfile.ZipFile(path) as archive:
        for i in range(0, 13_500, 500):
            one = np.asarray(Image.open(io.BytesIO(archive.read(str(chips.name[i])))))
            assert (chips.images[i] == one.transpose(2, 0, 1)).all()
    assert str(find_images([path])[1233]).startswith("Highway/Highway_247.jpg (member 1,234 of ")
