"""STAC items as one image: names, mosaic order, nodata, scale, grids, refusals. Catalogues are made here."""

import datetime
import json
import pickle
import shutil
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from jido.errors import ImageError
from jido.geo.radiometry import Conversion
from jido.io import Scene
from jido.io.stac import StacScene

pytest.importorskip("odc.stac", reason="odc-stac is not installed (extra: stac)")
pystac = pytest.importorskip("pystac", reason="pystac is not installed (extra: stac)")

LEFT, TOP, SIZE = 500_000, 5_000_000, 10
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
]
NAN = np.nan


def grid(shape, col=0, row=0, *, zone=32632, size=SIZE, left=LEFT, top=TOP):
    """A grid whose corner lies some pixels east and south of the common corner."""
    return GeoBox(shape, Affine(size, 0, left + col * size, 0, -size, top - row * size), f"EPSG:{zone}")


def numbers(seed, bands=2, shape=(32, 32)):
    return np.random.default_rng(seed).integers(1, 10_000, (bands, *shape)).astype("uint16")


def write(path, data, box, nodata=0):
    facts = {"count": len(data), "dtype": data.dtype, "nodata": nodata}
    height, width = box.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, crs=str(box.crs), transform=box.affine, **facts
    ) as sink:
        sink.write(data)


def asset(name, box=None, **fields):
    """An asset beside its item, with its grid when one is given."""
    if box is not None:
        fields |= {"proj:shape": list(box.shape), "proj:transform": list(box.affine)[:6]}
    return pystac.Asset(f"./{name}", media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields)


def save(folder, name, box, assets):
    """An item file; says where the item lies and nothing about where it was published."""
    area = box.footprint("EPSG:4326")
    properties = {"proj:epsg": box.crs.to_epsg()}
    date = datetime.datetime(2024, 1, 1)
    bounds = list(area.boundingbox)
    item = pystac.Item(name, area.json, bounds, date, properties, stac_extensions=EXTENSIONS, assets=assets)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False)))
    return path


def edited(path, change):
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def one_per_band(folder, name, data, box, names=("red", "nir"), *, file_nodata=0, **stated):
    """An item with a file for each band."""
    assets = {}
    for band, plane in zip(names, data, strict=True):
        write(folder / f"{name}_{band}.tif", plane[None], box, file_nodata)
        assets[band] = asset(f"{name}_{band}.tif", box, **{"raster:bands": [{"nodata": 0, **stated}]})
    return save(folder, name, box, assets)


def one_file(folder, name, data, box, **fields):
    """An item with all bands in one file."""
    write(folder / f"{name}.tif", data, box)
    return save(folder, name, box, {"image": asset(f"{name}.tif", box, **fields)})


PERCENT = Conversion("reflectance in percent", "reflectance")
EO = [{"name": "B4", "common_name": "red"}, {"name": "B8", "common_name": "nir"}]


@pytest.fixture
def three(tmp_path):
    """Three overlapping items with gaps, scales and layouts of their own, and what they show."""
    data = [numbers(seed) for seed in (1, 2, 3)]
    data[0][:, 10:20, 5:28] = 0
    data[1][:, :6] = 0
    paths = [
        one_per_band(tmp_path, "a", data[0], grid((32, 32)), scale=1e-4, offset=-0.1),
        one_file(tmp_path, "b", data[1], grid((32, 32), 12, 8), **{"eo:bands": EO}),
        one_per_band(tmp_path, "c", data[2], grid((32, 32), 30, 30), scale=0.5),
    ]
    meaning = [(1e-4, -0.1), (1, 0), (0.5, 0)]
    layers = np.full((3, 2, 62, 62), NAN, np.float32)
    for layer, values, (scale, offset), (col, row) in zip(
        layers, data, meaning, [(0, 0), (12, 8), (30, 30)], strict=True
    ):
        true = values * np.float32(scale) + np.float32(offset)
        layer[:, row : row + 32, col : col + 32] = np.where(values == 0, NAN, true)
    return paths, layers


def laid_over(layers):
    image = layers[0].copy()
    for layer in layers[1:]:
        image = np.where(np.isnan(image), layer, image)
    return image


# -- the mosaic --------------------------------------------------------------------------------


def test_the_first_item_with_data_gives_the_pixel(three):
    paths, layers = three
    scene = StacScene(paths, bands=["red", "nir"])
    assert scene.geobox == grid((62, 62))
    np.testing.assert_array_equal(scene.read().data, laid_over(layers))
    turned = StacScene(paths[::-1], bands=["red", "nir"], like=scene.geobox)
    np.testing.assert_array_equal(turned.read().data, laid_over(layers[::-1]))
    assert not np.array_equal(laid_over(layers), laid_over(layers[::-1]), equal_nan=True)
    assert scene.read_valid().sum() == np.isfinite(laid_over(layers)).any(axis=0).sum()


def test_windows_are_cut_from_the_whole(three):
    scene = StacScene(three[0], bands=["nir", "red"])
    whole = scene.read()
    for rows, cols in [(slice(0, 7), slice(55, 62)), (slice(9, 40), slice(3, 33)), (slice(61, 62),) * 2]:
        part = scene.read((rows, cols))
        np.testing.assert_array_equal(part.data, whole.data[:, rows, cols])
        assert part.geobox == scene.geobox[rows, cols]
        assert part.names == ("nir", "red")


def test_bands_of_two_items_are_never_mixed(tmp_path):
    first, second = numbers(1), numbers(2)
    first[0, :16] = 0
    first[:, 0] = 0
    second[1, :8] = 0
    paths = [one_per_band(tmp_path, n, d, grid((32, 32))) for n, d in (("a", first), ("b", second))]
    found = StacScene(paths, bands=["red", "nir"]).read().data
    np.testing.assert_array_equal(found[:, 16:], first[:, 16:])
    np.testing.assert_array_equal(found[:, 8:16], second[:, 8:16])  # more bands there
    np.testing.assert_array_equal(found[1, 1:8], first[1, 1:8])  # as many: the first one
    assert np.isnan(found[0, 1:8]).all()
    assert np.isnan(found[1, 0]).all()


def test_only_items_that_touch_the_window_are_opened(three):
    paths, layers = three
    scene = StacScene(paths, bands=["red", "nir"])
    (paths[0].parent / "c_red.tif").write_bytes(b"")
    np.testing.assert_array_equal(
        scene.read((slice(0, 20), slice(0, 20))).data, laid_over(layers)[:, :20, :20]
    )
    with pytest.raises(ImageError, match=r"c_red.tif is damaged or not what"):
        scene.read()


def test_an_item_beside_the_grid_is_left_out(three):
    paths, layers = three
    scene = StacScene(paths, bands=["red", "nir"], like=grid((20, 20)))
    assert [row[0].rsplit("/", 1)[-1] for row in scene.state()] == [
        *("a.json", "b.json", "c.json"),
        *("a_red.tif", "a_nir.tif", "b.tif"),
    ]
    np.testing.assert_array_equal(scene.read().data, laid_over(layers)[:, :20, :20])


# -- what the numbers mean ---------------------------------------------------------------------


def test_scale_and_offset_are_applied_once_and_said(three):
    notes = StacScene(three[0], bands=["red", "nir"]).notes
    assert notes[0] == (
        "Scale and offset were applied as the items state them: 0.0001 and -0.1 (red, nir); "
        "0.5 and 0 (red, nir); 1 and 0 (red, nir)."
    )
    assert notes[1].startswith("Some publishers state an offset that their files hold already")


def test_without_scale_the_values_are_those_of_the_plain_file(tmp_path):
    path = one_file(tmp_path, "a", numbers(1), grid((32, 32)), **{"eo:bands": EO})
    scene = StacScene([path], bands=["B4", "B8"])
    assert scene.notes == ["The items state no scale and no offset: the values are as they are stored."]
    np.testing.assert_array_equal(scene.read().data, Scene([tmp_path / "a.tif"]).read().data)


@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_nodata_that_only_the_item_states_is_no_data(tmp_path, resample):
    data = np.full((2, 32, 32), 1000, "uint16")
    data[:, :, 16:] = 0
    path = one_per_band(tmp_path, "a", data, grid((32, 32)), file_nodata=None)
    same = StacScene([path], bands=["red", "nir"]).read().data
    np.testing.assert_array_equal(same, np.where(data == 0, NAN, data))
    coarse = StacScene([path], bands=["red", "nir"], crs="EPSG:32632", resolution=15, resample=resample)
    found = coarse.read().data
    assert set(found[np.isfinite(found)]) == {1000}  # no zero is mixed into a neighbour
    assert 0.4 < np.isnan(found).mean() < 0.6


@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_a_band_without_data_does_not_count_on_the_others(tmp_path, resample):
    data = np.full((2, 32, 32), 1000, "uint16")
    data[0, :, 16:] = 0
    path = one_file(tmp_path, "a", data, grid((32, 32)), **{"eo:bands": EO})
    asked = {"crs": "EPSG:32632", "resolution": 15, "resample": resample}
    together = StacScene([path], bands=["red", "nir"], **asked).read().data
    for plane, name in zip(together, ("red", "nir"), strict=True):
        np.testing.assert_array_equal(plane, StacScene([path], bands=[name], **asked).read().data[0])
    assert set(together[np.isfinite(together)]) == {1000}


def test_version_1_1_states_bands_and_units(tmp_path):
    shared = {"nodata": 0, "unit": "reflectance", "raster:scale": 0.1}
    bands = [{"name": "x", "eo:common_name": "red"}, {"name": "y", "raster:scale": 0.2, "unit": "K"}]
    path = one_file(tmp_path, "a", numbers(1), grid((32, 32)), bands=bands, **shared)
    text = json.loads(path.read_text()) | {"stac_version": "1.1.0"}
    path.write_text(json.dumps(text))
    scene = StacScene([path], bands=["Red", "image.2"])
    np.testing.assert_allclose(scene.read().data, numbers(1) * np.array([0.1, 0.2])[:, None, None], rtol=1e-6)
    assert [band.unit for band in scene.bands] == ["reflectance", "K"]


def sentinel(folder, name, **properties):
    path = one_per_band(folder, name, numbers(1), grid((32, 32)), data_type="uint16", unit="DN")
    edited(path, lambda text: text["properties"].update(properties))
    return path


def test_sentinel_2_with_and_without_the_offset_is_no_mosaic(tmp_path):
    old = sentinel(tmp_path, "old", **{"s2:processing_baseline": "03.01"})
    new = sentinel(tmp_path, "new", **{"s2:processing_baseline": "05.09"})
    with pytest.raises(ImageError, match=r"new.json has 1000 added .*, .*old.json has not: map them apart"):
        StacScene([old, new], bands=["red"])
    StacScene([new, sentinel(tmp_path, "other")], bands=["red"])
    taken = {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}
    StacScene([old, sentinel(tmp_path, "taken", **taken)], bands=["red"])
    edited(new, lambda text: text["assets"]["red"]["raster:bands"][0].update(offset=-1000))
    StacScene([old, new], bands=["red"])


def test_origins_tell_what_the_first_item_says(tmp_path):
    new = sentinel(tmp_path, "new", **{"s2:processing_baseline": "05.09"})
    edited(new, lambda text: text["assets"]["nir"]["raster:bands"][0].update(offset=-1000))
    red, nir = StacScene([new, sentinel(tmp_path, "other")], bands=["red", "nir"]).origins()
    assert (red.image, red.place, red.unit) == ("new.json", str(tmp_path / "new_red.tif"), "DN")
    assert red.tags["s2:processing_baseline"] == "05.09"
    assert red.tags["id"] == "new"
    assert [(one.dtype, one.without_offset) for one in (red, nir)] == [("uint16", False), ("", True)]


# -- names -------------------------------------------------------------------------------------


def test_names_are_keys_then_band_names_then_common_names(tmp_path):
    box, data = grid((8, 8)), numbers(1, 7, (8, 8))
    files = {"B4": 0, "B4_20m": 1, "visual": 2, "preview": 3, "nir": 4, "b8": 5}
    assets = {}
    for key, i in files.items():
        write(tmp_path / f"{key}.tif", data[i : i + 2], box)
        assets[key] = asset(f"{key}.tif", box, **{"eo:bands": [{"name": key, "common_name": "red"}]})
    assets["B4"].extra_fields["gsd"], assets["B4_20m"].extra_fields["gsd"] = 10, 20
    assets["visual"].extra_fields["eo:bands"] = [
        {"name": "tci1", "common_name": "red"},
        {"name": "tci2", "common_name": "green"},
    ]
    assets["preview"].roles = ["overview"]
    assets["b8"].extra_fields["eo:bands"] = [{"name": "nir", "common_name": "nir"}]
    path = save(tmp_path, "a", box, assets)

    def first(name):
        return StacScene([path], bands=[name]).read().data[0]

    np.testing.assert_array_equal(first("b4"), data[0])
    np.testing.assert_array_equal(first("RED"), data[0])  # not the picture, not the coarser one
    np.testing.assert_array_equal(first("green"), data[3])
    np.testing.assert_array_equal(first("visual.2"), data[3])
    np.testing.assert_array_equal(first("nir"), data[4])
    with pytest.raises(ImageError, match=r"no band 'swir', it has B4 \(red\), .*visual.1 \(red\), .*: give"):
        first("swir")
    with pytest.raises(ImageError, match="no band 'preview'"):
        first("preview")


def test_two_bands_that_answer_equally_well_are_refused(tmp_path):
    box = grid((8, 8))
    write(tmp_path / "x.tif", numbers(1, 1, (8, 8)), box)
    red = {"eo:bands": [{"name": "x", "common_name": "red"}]}
    path = save(tmp_path, "a", box, {key: asset("x.tif", box, **red) for key in ("p", "q")})
    with pytest.raises(ImageError, match=r"several bands 'red' \(assets p, q\): use the name"):
        StacScene([path], bands=["red"])


# -- grids -------------------------------------------------------------------------------------


def slope(box):
    """An image that is a plane in metres of zone 32, whatever grid it is seen on."""
    height, width = box.shape
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = box.affine * (cols, rows)
    x, y = Transformer.from_crs(str(box.crs), "EPSG:32632", always_xy=True).transform(x, y)
    return (5000 + (x - LEFT) / 2 + (TOP - y)).astype("float32")


@pytest.mark.parametrize(("resample", "error"), [("nearest", 12), ("bilinear", 2), ("average", 12)])
def test_another_zone_is_brought_to_the_grid(tmp_path, resample, error):
    there = grid((160, 160), zone=32633, left=28_000, top=5_018_000)
    true = slope(there)
    path = one_file(tmp_path, "a", true[None], there, **{"raster:bands": [{"scale": 2}]})
    here = grid((40, 50), 20, 30)
    scene = StacScene([path], bands=["image"], like=here, resample=resample)
    assert scene.notes[0] == f"1 of 1 bands of the items were resampled ({resample}) to the grid."
    found = scene.read().data[0] / 2
    assert np.isfinite(found).mean() > 0.9
    assert np.nanmax(np.abs(found - slope(here))) < error


def test_the_shared_grid_is_kept_inside_bounds(three):
    paths, layers = three
    to_degrees = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(LEFT + 104, TOP - 296)
    east, north = to_degrees.transform(LEFT + 206, TOP - 154)
    scene = StacScene(paths, bands=["red", "nir"], bounds=(west, south, east, north))
    assert scene.geobox == grid((15, 11), 10, 15)
    np.testing.assert_array_equal(scene.read().data, laid_over(layers)[:, 15:30, 10:21])
    asked = StacScene(paths, bands=["red", "nir"], crs="EPSG:32632", resolution=10)
    assert asked.geobox == grid((62, 62))


def test_the_finest_band_gives_the_grid(tmp_path):
    fine, coarse = grid((32, 32)), grid((16, 16), size=20)
    write(tmp_path / "fine.tif", numbers(1, 1), fine)
    write(tmp_path / "coarse.tif", numbers(2, 1, (16, 16)), coarse)
    assets = {"red": asset("fine.tif", fine), "swir": asset("coarse.tif", coarse)}
    path = save(tmp_path, "a", fine, assets)
    with pytest.raises(ImageError, match=r"coarse.tif lies on another grid .*: give --resample nearest"):
        StacScene([path], bands=["red", "swir"])
    scene = StacScene([path], bands=["swir", "red"], resample="nearest")
    assert scene.geobox == fine
    np.testing.assert_array_equal(scene.read().data[0], numbers(2, 1, (16, 16))[0].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"crs": "EPSG:32633"}, "no common grid in EPSG:32633: give --resolution"),
        ({"crs": "EPSG:4326", "resolution": 10}, "10 cannot be the side of a pixel in degrees.*0.0001"),
        ({"resolution": 0.0001}, "0.0001 cannot be the side of a pixel in metres, the unit of EPSG:32632"),
        ({"resolution": 0}, "--resolution 0 cannot"),
        ({"resolution": -10}, "--resolution -10 cannot"),
        ({"crs": "nonsense", "resolution": 10}, "--crs 'nonsense' is none"),
        ({"bounds": (500_000, 4_999_000, 501_000, 5_000_000)}, "not west, south, east, north"),
        ({"bounds": (9.1, 45, 9.0, 46)}, "not west, south, east, north"),
        ({"bounds": (20, 45, 20.01, 45.01)}, "shows another place than the grid or the bounds"),
        ({"like": grid((8, 8), 9000, 0)}, "shows another place"),
        ({"like": grid((8, 8), 0.5, 0)}, "lies on another grid .*--resample"),
        ({"resample": "fancy"}, "--resample 'fancy' is not one of"),
        ({"bands": []}, "or no band to read"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(tmp_path, asked, message):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    with pytest.raises(ImageError, match=message):
        StacScene([path], **({"bands": ["red", "nir"]} | asked))


def test_items_without_a_common_grid_need_one(tmp_path):
    first = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    shifted = one_per_band(tmp_path, "b", numbers(2), grid((32, 32), 10.5, 0))
    with pytest.raises(ImageError, match="different ones: give --crs"):
        StacScene([first, shifted], bands=["red"])
    write(tmp_path / "c.tif", numbers(3), grid((32, 32)))
    bare = save(tmp_path, "c", grid((32, 32)), {"image": asset("c.tif", **{"eo:bands": EO})})
    with pytest.raises(ImageError, match="state no grid"):
        StacScene([bare], bands=["red"])
    asked = {"bands": ["red"], "crs": "EPSG:32632", "resolution": 10}
    with pytest.raises(ImageError, match="or its item states none: give --resample"):
        StacScene([bare], **asked)
    found = StacScene([bare], **asked, resample="nearest").read().data
    np.testing.assert_array_equal(found[:, 1:-1, 1:-1], numbers(3)[:1, 1:-1, 1:-1])


# -- files -------------------------------------------------------------------------------------


def test_collections_and_catalogues_are_read_in_order(three):
    paths, layers = three
    folder = paths[0].parent
    texts = [json.loads(path.read_text()) for path in paths]
    for name, text in {
        "items": {"type": "FeatureCollection", "features": texts},
        "leaf": {"type": "Collection", "links": [{"rel": "item", "href": "./b.json"}]},
        "root": {
            "type": "Catalog",
            "links": [
                {"rel": "root", "href": "./root.json"},
                {"rel": "item", "href": "a.json"},
                {"rel": "child", "href": "./leaf.json"},
                {"rel": "item", "href": str(paths[2])},
            ],
        },
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(text))
        if name != "leaf":
            scene = StacScene([folder / f"{name}.json"], bands=["red", "nir"])
            np.testing.assert_array_equal(scene.read().data, laid_over(layers))


def test_files_lie_beside_the_item_wherever_it_was_published(tmp_path):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    text = json.loads(path.read_text())
    text["links"] = [{"rel": "self", "href": "https://example.com/far/a.json"}]
    path.write_text(json.dumps(text))
    np.testing.assert_array_equal(StacScene([path], bands=["nir"]).read().data, numbers(1)[1:])


def test_a_remote_image_is_named_without_its_key(tmp_path):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    text = json.loads(path.read_text())
    text["assets"]["red"]["href"] = "https://example.com/red.tif?sig=secret"
    path.write_text(json.dumps(text))
    scene = StacScene([path], bands=["red", "nir"])
    size = (tmp_path / "a_nir.tif").stat()
    assert scene.state() == [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns),
        ("https://example.com/red.tif", 0, 0),
        (str(tmp_path / "a_nir.tif"), size.st_size, size.st_mtime_ns),
    ]


def test_another_process_reads_the_same(three, tmp_path, monkeypatch):
    paths, _ = three
    monkeypatch.chdir(paths[0].parent)
    scene = StacScene(
        [path.name for path in paths], bands=["red", "nir"], crs="EPSG:3035", resolution=15, resample="cubic"
    )
    text = pickle.dumps(scene)
    monkeypatch.chdir("/")
    with pickle.loads(text) as again:
        assert again.geobox == scene.geobox
        assert again.notes == scene.notes
        assert again.state() == scene.state()
        np.testing.assert_array_equal(again.read().data, scene.read().data)
    changed = pickle.loads(pickle.dumps(scene.converted({"red": PERCENT})))
    np.testing.assert_allclose(changed.read().band("red"), scene.read().band("red") / 100, rtol=1e-6)
    alike = pickle.loads(pickle.dumps(StacScene(scene.state()[0][:1], bands=["nir"], like=grid((9, 9)))))
    assert alike.geobox == grid((9, 9))


def test_a_change_of_an_image_is_seen(three):
    scene = StacScene(three[0], bands=["red", "nir"])
    before, image = scene.state(), three[0][0].parent / "a_red.tif"
    write(image, numbers(9, 1), grid((32, 32)))
    assert scene.state() != before
    image.unlink()
    with pytest.raises(ImageError, match=r"a_red.tif cannot be read any more"):
        scene.state()


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "a.json does not exist"),
        (lambda p: p.write_bytes(b"\x89PNG\xff"), "a.json is no STAC file"),
        (lambda p: p.write_text("[]"), "a.json is no STAC file"),
        (lambda p: p.write_text('{"type": "Other"}'), "a.json is no STAC file"),
        (lambda p: p.write_text('{"type": "Feature", "properties": {}}'), "no STAC item that can be"),
        (lambda p: p.write_text('{"type": "Catalog", "links": []}'), "holds no items"),
        (lambda p: edited(p, lambda t: t.update(assets={})), "has no assets"),
        (lambda p: edited(p, lambda t: t["assets"]["red"].update(scale="x")), "scale that is no number"),
        (lambda p: (p.parent / "a_red.tif").unlink(), "a_red.tif does not exist, but .*a.json names it"),
    ],
)
def test_files_that_are_no_stac_are_refused(tmp_path, damage, message):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    edited(path, lambda text: text["assets"]["red"].pop("raster:bands"))
    damage(path)
    with pytest.raises(ImageError, match=message):
        StacScene([path], bands=["red", "nir"])


def cut(path):
    path.write_bytes(path.read_bytes()[:1500])


def bare(path):
    with rasterio.open(path, "w", driver="GTiff", height=32, width=32, count=1, dtype="uint16") as sink:
        sink.write(numbers(1, 1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("damage", [cut, bare, lambda path: shutil.copy(__file__, path)])
def test_a_damaged_image_is_named_once(tmp_path, capfd, damage):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    scene = StacScene([path], bands=["red", "nir"])
    damage(tmp_path / "a_red.tif")
    with pytest.raises(ImageError, match=r"a_red.tif is damaged or not what .*a.json says \(.+\): get it"):
        scene.read()
    assert capfd.readouterr().err == ""


def test_a_band_number_beyond_the_file_is_refused(tmp_path):
    path = one_file(tmp_path, "a", numbers(1), grid((32, 32)), **{"eo:bands": [*EO, {"name": "B11"}]})
    with pytest.raises(ImageError, match=r"a.tif is damaged or not what .*fewer bands"):
        StacScene([path], bands=["B11"]).read()


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    path = one_per_band(tmp_path, "a", numbers(1), grid((32, 32)))
    monkeypatch.setitem(sys.modules, "odc.stac", None)
    with pytest.raises(ImageError, match=r'pip install "jido\[stac\]"'):
        StacScene([path], bands=["red"])
