"""Tiles for a score: cut from images, read back, matched by year, and shown on contact sheets."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from conftest import Refused, Run, held
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.enums import ColorInterp

from jido.cli.score_tiles import chosen_cells
from jido.data.chips import Chips
from jido.data.score_tiles import (
    ScoreTiles,
    duplicates,
    parse_tile_id,
    read_tiles,
    slippy_outlines,
    tile_files,
    years_of,
)
from jido.errors import ImageError, LabelsError
from jido.geo import Band
from jido.indicators.cells import tile_cells
from jido.indicators.tile_cutting import cut_tiles, look_at_images, plan_tiles
from jido.methods.figures.contact_sheets import GAP, MARGIN, contact_sheet

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
HONG_KONG = Path(__file__).parents[2] / "shared/data/lcz_hongkong"

LEFT, TOP, PIXEL = 4_321_000, 3_214_000, 25.0
"""Of the images below, in EPSG:3035: a corner of the 1 km grid, 40 pixels a cell."""

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def noise(side: int = 120, bands: int = 3, *, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, high, (bands, side, side)).astype(np.uint8)


def write(
    path: Path,
    pixels: np.ndarray,
    *,
    left: float = LEFT,
    top: float = TOP,
    size: float = PIXEL,
    crs: str | None = "EPSG:3035",
    nodata: float | None = None,
    mask: np.ndarray | None = None,
    colours: tuple[ColorInterp, ...] = (),
) -> Path:
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    place = {"transform": Affine(size, 0, left, 0, -size, top), "crs": crs}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", dtype=pixels.dtype, nodata=nodata, **profile, **place) as sink,
    ):
        sink.write(pixels)
        if colours:
            sink.colorinterp = colours
        if mask is not None:
            sink.write_mask(mask)
    return path


@pytest.fixture
def cut(jido: Callable[..., Run], tmp_path: Path) -> Callable[..., ScoreTiles]:
    """``cut(*words)`` runs ``jido score tiles`` and reads what it has written."""

    def run(*words: object) -> ScoreTiles:
        done = jido("score", "tiles", *words, "-o", tmp_path / "tiles", "--quiet")
        assert done.code == 0, done.err
        return read_tiles(tmp_path / "tiles")

    return run


# -- cutting -----------------------------------------------------------------------------------


def test_tiles_on_the_grid_of_the_image_are_its_pixels(cut: Callable[..., ScoreTiles], tmp_path: Path):
    pixels = noise()
    tiles = cut(write(tmp_path / "a.tif", pixels), "--grid", "1km")
    assert (len(tiles), tiles.chips.side, tiles.chips.images.dtype) == (9, 40, np.uint8)
    # EEA ids: the lower left corner in km; the first cell is x 4321, y 3213
    assert set(tiles.id) == {f"1kmE{4321 + x}N{3213 - y}" for x in range(3) for y in range(3)}
    for name, image, outline in zip(tiles.id, tiles.chips.images, tiles.outline, strict=True):
        x, y = int(name[4:8]) - 4321, 3213 - int(name[9:])
        np.testing.assert_array_equal(image, pixels[:, 40 * y : 40 * y + 40, 40 * x : 40 * x + 40])
        west, south = LEFT + 1000 * x, TOP - 1000 * (y + 1)
        np.testing.assert_allclose(outline.bounds, (west, south, west + 1000, south + 1000))
    np.testing.assert_array_equal(tiles.coverage, 1)
    np.testing.assert_array_equal(tiles.n, 1600)
    assert tiles.crs == "EPSG:3035"
    assert (tiles.kind, tiles.notes, len(tiles.unseen.id)) == ("1 km grid (EPSG:3035)", (), 0)
    assert tiles.chips.pixel_m == (25, 25)


@pytest.mark.parametrize("how", ["nodata", "mask", "alpha", "float"])
def test_what_is_missing_is_counted_and_read_back_as_missing(
    cut: Callable[..., ScoreTiles], tmp_path: Path, how: str
):
    # of the cell in the upper left a quarter is missing, of its right neighbour 3/4, of the third all
    pixels, known = noise(high=255), np.ones((120, 120), dtype=bool)
    known[:20, :20] = known[:30, 40:80] = known[:40, 80:] = False
    keywords: dict[str, object] = {}
    if how == "nodata":
        pixels[:, ~known], keywords = 255, {"nodata": 255}
    elif how == "mask":
        keywords = {"mask": known}
    elif how == "alpha":
        pixels = np.concatenate([pixels, np.where(known, 255, 0)[None].astype(np.uint8)])
        keywords = {"colours": (*RGB, ColorInterp.alpha)}
    else:
        pixels = np.where(known, pixels, np.nan).astype(np.float32)
        keywords = {"nodata": np.nan}
    tiles = cut(write(tmp_path / "a.tif", pixels, **keywords), "--grid", "1km", "--min-coverage", 0.3)
    first = tiles.id.tolist().index("1kmE4321N3213")
    assert (tiles.coverage[first], tiles.n[first]) == (0.75, 1200)
    expected = np.where(known, pixels[:3], np.nan)[:, :40, :40]
    np.testing.assert_array_equal(tiles.chips.images[first], expected)
    assert len(tiles) == 7
    unseen = dict(zip(tiles.unseen.id, zip(tiles.unseen.coverage, tiles.unseen.n, strict=True), strict=True))
    assert unseen == {"1kmE4322N3213": (0.25, 400), "1kmE4323N3213": (0, 0)}
    assert tiles.unseen.outline[0].area == pytest.approx(1e6)
    with rasterio.open(tmp_path / "tiles/images/1kmE4321N3213.tif") as file:
        assert set(file.dtypes) == {"float32" if how == "float" else "uint8"}  # the type is kept
    assert not (tmp_path / "tiles/images/1kmE4322N3213.tif").exists()


def test_a_band_without_data_alone_stays_missing_alone(cut: Callable[..., ScoreTiles], tmp_path: Path):
    pixels = noise(40)
    pixels[0, 7, 9] = 0  # as black water in red
    tiles = cut(write(tmp_path / "a.tif", pixels, nodata=0), "--grid", "1km")
    assert tiles.coverage[0] == 1  # a pixel has data when any band has
    missing = np.argwhere(np.isnan(tiles.chips.images[0]))
    assert missing.tolist() == [[0, 7, 9]]


def test_images_side_by_side_are_one_mosaic(cut: Callable[..., ScoreTiles], tmp_path: Path):
    pixels = noise()
    pixels[0, 5, 65] = 0  # black in one band: the pixel is still the first image's
    whole = cut(write(tmp_path / "a.tif", pixels, nodata=0), "--grid", "1km").chips
    other = pixels[:, :, 60:].copy()
    other[:, :, :10] = 9  # it overlaps the first one, which counts
    parts = [write(tmp_path / "left.tif", pixels[:, :, :70], nodata=0)]
    parts.append(write(tmp_path / "right.tif", other, left=LEFT + 60 * PIXEL, nodata=0))
    tiles = cut(*parts, "--grid", "1km").chips
    np.testing.assert_array_equal(tiles.name, whole.name)
    np.testing.assert_array_equal(tiles.images, whole.images)
    assert np.isnan(tiles.images).sum() == 1


def test_a_mosaic_over_two_zones(tmp_path: Path):
    # pixels tell their longitude, either side of 126 E, where the zones 51 and 52 meet
    paths = []
    for name, crs, west in (("w", "EPSG:32651", 125.9), ("e", "EPSG:32652", 126.0)):
        box = GeoBox.from_bbox((west, 37.0, west + 0.1, 37.1), "EPSG:4326", resolution=0.001)
        grid = box.to_crs(crs, resolution=100)
        x, y = np.meshgrid(*(grid.coordinates[axis].values for axis in ("x", "y")))
        lon, _ = grid.crs.transformer_to_crs("EPSG:4326")(x, y)
        pixels = lon[None].astype(np.float32)
        paths.append(
            write(tmp_path / f"{name}.tif", pixels, left=grid.affine.c, top=grid.affine.f, size=100, crs=crs)
        )
    mosaic = look_at_images(paths, None)
    cells = chosen_cells("z13", "id", mosaic.extent)
    plan = plan_tiles(cells, mosaic, side=64, resample=None)
    cut_tiles(mosaic, cells, plan, tmp_path / "tiles", min_coverage=0.9)
    tiles = read_tiles(tmp_path / "tiles")
    column = (np.arange(64) + 0.5) / 64 - 0.5
    lon = tiles.chips.lonlat[:, 0, None] + 360 / 2**13 * column
    assert ((lon.min(1) < 126) & (lon.max(1) > 126)).any()  # a tile that both zones show
    expected = np.broadcast_to(lon[:, None, None], tiles.chips.images.shape)
    known = np.isfinite(tiles.chips.images)
    assert known.mean() > 0.99
    np.testing.assert_allclose(tiles.chips.images[known], expected[known], atol=6e-4)  # half a pixel


def test_images_of_the_same_ground_are_stacked(cut: Callable[..., ScoreTiles], tmp_path: Path):
    fine, coarse = noise(bands=1), noise(60, bands=1, seed=1)
    paths = [write(tmp_path / "a.tif", fine), write(tmp_path / "b.tif", coarse, size=2 * PIXEL)]
    tiles = cut(*paths, "--grid", "1km", "--resample", "nearest")
    assert tiles.chips.images.shape == (9, 2, 40, 40)
    at = tiles.id.tolist().index("1kmE4321N3213")
    np.testing.assert_array_equal(tiles.chips.images[at, 0], fine[0, :40, :40])
    np.testing.assert_array_equal(tiles.chips.images[at, 1], np.kron(coarse[0, :20, :20], np.ones((2, 2))))


def test_other_bands_beside_are_refused(refused: Refused, out: Path, tmp_path: Path):
    one = write(tmp_path / "a.tif", noise(40, bands=2))
    other = write(tmp_path / "b.tif", noise(40, bands=3), left=LEFT + 1000)
    says = (other, "lies beside", "red, green, blue and not band1, band2")
    refused("score", "tiles", one, other, "--grid", "1km", "-o", out / "t", says=says)


def test_large_pixels_are_means_of_areas(cut: Callable[..., ScoreTiles], tmp_path: Path):
    pixels = noise(160)  # 4 x 4 pixels of 6.25 m in each of 25 m
    tiles = cut(write(tmp_path / "a.tif", pixels, size=6.25), "--grid", "1km", "--side", 40)
    means = pixels.reshape(3, 40, 4, 40, 4).mean((2, 4))
    np.testing.assert_allclose(tiles.chips.images[0], means, atol=0.5 + 1e-6)  # rounded to whole numbers


def test_what_all_images_say_of_their_numbers_is_kept(cut: Callable[..., ScoreTiles], tmp_path: Path):
    paths = [write(tmp_path / f"{x}.tif", noise(40), left=LEFT + 1000 * x) for x in range(2)]
    for path, day in zip(paths, ("2016-05-01", "2016-06-01"), strict=True):
        with rasterio.open(path, "r+") as file:
            file.update_tags(PROCESSING_BASELINE="05.10", day=day)
            file.descriptions = ("B04", "B03", "B02")
    tiles = cut(*paths, "--grid", "1km")
    assert [band.common_name for band in tiles.chips.bands] == ["red", "green", "blue"]
    with rasterio.open(tmp_path / "tiles/images/1kmE4321N3213.tif") as file:
        tags = file.tags()
    assert (tags.get("PROCESSING_BASELINE"), tags.get("day")) == ("05.10", None)


@pytest.mark.parametrize(
    ("crs", "size", "grid", "side"),
    [
        ("EPSG:32652", 10, "z14", 256),  # 1.9 km on the ground: 193 pixels
        ("EPSG:32652", 10, "z13", 512),
        ("EPSG:32652", 30, "z14", 64),
        ("EPSG:3857", 9.554628535634155, "z14", 256),  # its own pixels
        ("EPSG:3035", 10, "1km", 104),  # 100 pixels, a multiple of 8
        ("EPSG:32652", 100, "1km", 32),  # not less
        ("EPSG:32652", 0.5, "1km", 512),  # not more
    ],
)
def test_sides_of_tiles(tmp_path: Path, crs: str, size: float, grid: str, side: int):
    corner = {"EPSG:3857": (14_151_200, 4_594_600), "EPSG:3035": (LEFT, TOP)}
    left, top = corner.get(crs, (340_000, 4_200_000))  # 127 E, 38 N
    path = write(tmp_path / "a.tif", noise(16), left=left, top=top, size=size, crs=crs)
    mosaic = look_at_images([path], None)
    assert plan_tiles(chosen_cells(grid, "id", mosaic.extent), mosaic, side=None, resample=None).side == side


def test_slippy_tiles_are_called_row_and_column(cut: Callable[..., ScoreTiles], tmp_path: Path):
    # the tile of the published set with row 6269 and column 13992, west edge x / 2^14 * 360 - 180
    square = slippy_outlines(["6269_13992"], zoom=14)[0]
    west, _, east, north = square.bounds
    path = write(
        tmp_path / "a.tif", noise(64), left=west, top=north, size=(east - west) / 64, crs="EPSG:3857"
    )
    tiles = cut(path, "--grid", "z14")
    assert tiles.id.tolist() == ["6269_13992"]
    assert tiles.outline[0].equals_exact(square, 1e-6)
    np.testing.assert_array_equal(tiles.chips.images[0], noise(64))
    lon, lat = tiles.chips.lonlat[0]
    assert lon == pytest.approx(13992.5 / 2**14 * 360 - 180)
    assert lat == pytest.approx(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * 6269.5 / 2**14)))), abs=1e-4)


def polygons(path: Path, crs: str = "EPSG:3035", **shapes: shapely.Geometry) -> Path:
    frame = geopandas.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:3035")
    frame.to_crs(crs).to_file(path)
    return path


def test_polygons_by_hand(cut: Callable[..., ScoreTiles], tmp_path: Path):
    # a triangle over half of the upper left km: 40 x 40 / 2 = 800 pixels, the 40 on its edge by half
    corners = [(LEFT, TOP), (LEFT + 1000, TOP), (LEFT, TOP - 1000)]
    far = shapely.box(LEFT + 9e4, TOP, LEFT + 9.1e4, TOP + 1000)
    small = shapely.box(LEFT + 1200, TOP - 1300, LEFT + 1300, TOP - 1200)  # 4 x 4 pixels
    shapes = {"a/b: c": shapely.Polygon(corners), "far": far, "small": small}
    pixels = noise()
    path = write(tmp_path / "a.tif", pixels)
    tiles = cut(path, "--grid", polygons(tmp_path / "p.gpkg", **shapes), "--id-field", "name")
    assert tiles.id.tolist() == ["a/b: c", "small"]
    np.testing.assert_allclose(tiles.n, [800, 16])
    np.testing.assert_allclose(tiles.coverage, 1)
    inside = np.arange(40)[:, None] + np.arange(40) < 40  # the edge is of it by half
    np.testing.assert_array_equal(tiles.chips.images[0], np.where(inside, pixels[:, :40, :40], np.nan))
    assert np.isfinite(tiles.chips.images[1]).sum() == 3 * 16
    # one size for all: the middle of the small one is the middle of its tile
    np.testing.assert_array_equal(tiles.chips.images[1, :, 18:22, 18:22], pixels[:, 48:52, 48:52])
    assert (tiles.unseen.id.tolist(), tiles.unseen.coverage.tolist()) == (["far"], [0])
    assert (tmp_path / "tiles/images/a%2Fb%3A c.tif").exists()


def test_polygons_in_degrees_are_cut_in_the_crs_of_the_image(cut: Callable[..., ScoreTiles], tmp_path: Path):
    square = shapely.box(LEFT + 500, TOP - 1500, LEFT + 1500, TOP - 500)
    file = polygons(tmp_path / "p.gpkg", "EPSG:4326", one=square)
    tiles = cut(write(tmp_path / "a.tif", noise()), "--grid", file, "--id-field", "name")
    assert tiles.crs == "EPSG:3035"
    assert tiles.outline[0].symmetric_difference(square).area < 50  # lines in degrees bend by 2 cm
    assert tiles.n[0] == pytest.approx(1600, rel=1e-3)


# -- bad input and places that are refused -----------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--grid", "1 mile"), ("--grid 1 mile is neither a size", "1km", "z14", "file of polygons")),
        (("--grid", "1km", "--side", "100"), ("--side 100 is no multiple of 8",)),
        (("--grid", "z31"), ("Zoom 31",)),
        (("--grid", "90km"), ("No cell was seen well enough for a tile (at best", "--min-coverage")),
    ],
)
def test_bad_words(
    refused: Refused, out: Path, tmp_path: Path, words: tuple[str, ...], says: tuple[str, ...]
):
    path = write(tmp_path / "a.tif", noise(40))
    refused("score", "tiles", path, *words, "-o", out / "tiles", says=says)


def test_bad_images_and_polygons(refused: Refused, out: Path, tmp_path: Path):
    bare = write(tmp_path / "bare.tif", noise(40), crs=None)
    refused("score", "tiles", bare, "--grid", "1km", "-o", out / "t", says=(bare, "has no CRS", "--crs"))
    good = write(tmp_path / "good.tif", noise(40))
    far = polygons(tmp_path / "far.gpkg", far=shapely.box(0, 0, 1000, 1000))
    words = ("score", "tiles", good, "--grid", far, "-o", out / "t")
    refused(*words, says=("no column 'id'", "name"))
    refused(*words, "--id-field", "name", says=("None of the 1 cells lies on the images", "CRS"))
    cut_short = tmp_path / "short.tif"
    cut_short.write_bytes(good.read_bytes()[:3000])
    refused("score", "tiles", cut_short, "--grid", "1km", "-o", out / "t", says=(cut_short, "cut short"))


def test_other_peoples_folders_are_left_alone(jido: Callable[..., Run], refused: Refused, out: Path):
    path = write(out / "a.tif", noise(40))
    words = ("score", "tiles", path, "--grid", "1km", "-o")
    refused(*words, out, says=(out, "holds a.tif", "another folder"))
    assert jido(*words, out / "tiles").code == 0
    first = held(out / "tiles")
    assert jido(*words, out / "tiles").code == 0  # what was cut may be cut again
    assert held(out / "tiles").keys() == first.keys()
    tile = out / "tiles/images/1kmE4321N3213.tif"
    refused("score", "tiles", tile, "--grid", "1km", "-o", out / "tiles", says=(tile, "would be replaced"))
    (out / "tiles/labels.csv").write_text("mine")
    refused(*words, out / "tiles", says=("holds labels.csv",))


def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path):
    mosaic = look_at_images([write(tmp_path / "a.tif", noise())], None)
    cells = chosen_cells("1km", "id", mosaic.extent)
    plan = plan_tiles(cells, mosaic, side=None, resample=None)

    def stop(what: str, done: int, total: int) -> None:
        assert (what, total) == ("cutting tiles", 9)
        if done == 5:
            raise KeyboardInterrupt

    before = held(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cut_tiles(mosaic, cells, plan, tmp_path / "new/tiles", min_coverage=0.5, progress=stop)
    assert held(tmp_path) == before


def test_ids_as_names_of_files():
    ids = ["6269_13992", "a/b", "a%2Fb", ".hidden", "서울", "what?", "end."]
    assert tile_files(ids) == [
        *("6269_13992.tif", "a%2Fb.tif", "a%252Fb.tif", "%2Ehidden.tif", "서울.tif", "what%3F.tif"),
        "end%2E.tif",
    ]
    with pytest.raises(LabelsError, match="'Bonn' and 'bonn' would name one file"):
        tile_files(["Bonn", "bonn"])
    with pytest.raises(LabelsError, match="too long for a file"):
        tile_files(["x" * 201])


# -- reading -----------------------------------------------------------------------------------


def pictures(folder: Path, names: list[str], *, side: int = 8) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(side, seed=seed).transpose(1, 2, 0)).save(path, lossless=True)
    return folder


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["1.png", "2.png"], ["1", "2"]),
        (["images/1.png", "images/2.png"], ["1", "2"]),
        (["0/1.png", "1/1.png"], ["0/1", "1/1"]),
        (["x/0/1.png", "x/1/1.png"], ["0/1", "1/1"]),  # the folder that all lie in says nothing
        (["a.png", "a.webp", "b.png"], ["a.png", "a.webp", "b"]),  # else two would have one id
        (["v1.0.png", "v1.1.png"], ["v1.0", "v1.1"]),
    ],
)
def test_ids_in_foreign_folders_and_archives(tmp_path: Path, names: list[str], ids: list[str]):
    folder = pictures(tmp_path / "set", names)
    tiles = read_tiles(folder)
    assert tiles.id.tolist() == ids
    assert (tiles.outline, tiles.crs, tiles.unseen, tiles.kind) == (None, None, None, "images of set")
    np.testing.assert_array_equal(tiles.chips.images[0], noise(8))
    np.testing.assert_array_equal(tiles.n, 64)
    np.testing.assert_array_equal(tiles.chips.label, -1)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in names:
            archive.write(folder / name, f"top/{name}")
    assert read_tiles(tmp_path / "set.zip").id.tolist() == ids


def test_ids_of_slippy_tiles_tell_places(tmp_path: Path):
    # zoom 1: row 0 is the north, column 1 the east; the middle of its half lies at atan(sinh(pi / 2))
    folder = pictures(tmp_path / "set", ["0_0.png", "0_1.png"])
    tiles = read_tiles(folder, ids_at_zoom=1)
    np.testing.assert_allclose(tiles.chips.lonlat, [[-90, 66.51326], [90, 66.51326]], atol=1e-5)
    half = 20037508.342789244
    np.testing.assert_allclose(tiles.outline[1].bounds, (0, 0, half, half))
    assert (tiles.crs, tiles.kind) == ("EPSG:3857", "slippy tiles of zoom 1")
    assert tiles.notes == ()
    (said,) = read_tiles(folder).notes
    assert "give their zoom" in said


def test_outlines_are_those_of_the_cells():
    area = GeoBox.from_bbox((126.9, 37.4, 127.1, 37.6), "EPSG:4326", resolution=0.01).extent
    cells = tile_cells(area, zoom=14)
    ids = ["{2}_{1}".format(*text.split("/")) for text in cells.ids]
    ours = slippy_outlines(ids, zoom=14)
    assert all(one.equals_exact(other, 1e-6) for one, other in zip(ours, cells.geometry, strict=True))


@pytest.mark.parametrize("text", ["", "1", "a_b", "1_2_3", "-1_2", "1_2.5", "1_ 2", "123456789_1"])
def test_what_is_no_tile_id(text: str):
    with pytest.raises(ImageError, match="is no id of a slippy tile: it is row_column"):
        parse_tile_id(text)


def test_ids_that_do_not_parse(tmp_path: Path):
    assert parse_tile_id("6259_13990") == (6259, 13990)
    folder = pictures(tmp_path / "set", ["0_1.png", "0_2.png", "other.png"])
    with pytest.raises(ImageError, match=r"no tile '0_2' at zoom 1.*end at 1: give the zoom.*--skip-bad"):
        read_tiles(folder, ids_at_zoom=1)
    tiles = read_tiles(folder, ids_at_zoom=1, skip_bad=True)
    assert tiles.id.tolist() == ["0_1"]
    assert [text.split("'")[1] for text in tiles.notes] == ["0_2", "other"]
    (folder / "0_1.png").unlink()
    with pytest.raises(ImageError, match="No tile is left"):
        read_tiles(folder, ids_at_zoom=1, skip_bad=True)


def test_missing_damaged_and_foreign_images(cut: Callable[..., ScoreTiles], tmp_path: Path):
    cut(write(tmp_path / "a.tif", noise()), "--grid", "1km")
    images = tmp_path / "tiles/images"
    lost, bad = images / "1kmE4321N3213.tif", images / "1kmE4322N3213.tif"
    shutil.copy(lost, images / "foreign.tif")
    with pytest.raises(ImageError, match=r"foreign.tif does not stand in tiles.gpkg.*--skip-bad"):
        read_tiles(tmp_path / "tiles")
    lost.unlink()
    with pytest.raises(ImageError, match=r"1kmE4321N3213.tif is missing: cut the tiles again.*--skip-bad"):
        read_tiles(tmp_path / "tiles")
    bad.write_bytes(bad.read_bytes()[:2000])
    tiles = read_tiles(tmp_path / "tiles", skip_bad=True)
    assert len(tiles) == 7
    assert not {"1kmE4321N3213", "1kmE4322N3213", "foreign"} & set(tiles.id)
    for name in (lost.name, bad.name, "foreign.tif"):
        assert sum(name in text for text in tiles.notes) == 1
    assert set(tiles.unseen.id) == {"1kmE4321N3213", "1kmE4322N3213"}
    (tmp_path / "tiles/tiles.gpkg").write_bytes(b"SQLite format 3")
    with pytest.raises(ImageError, match=r"tiles.gpkg is damaged"):
        read_tiles(tmp_path / "tiles", skip_bad=True)


# -- what comes twice, and years ---------------------------------------------------------------


def chips(images: np.ndarray, names: list[str], bands: tuple[str, ...] = ("red", "green", "blue")) -> Chips:
    known = tuple(Band(name) for name in bands)
    return Chips(images, np.full(len(images), -1), np.array(names), (), known)


def test_tiles_that_come_twice(tmp_path: Path):
    images = np.stack([noise(8, seed=seed) for seed in (0, 1, 0, 2, 0)])
    assert duplicates(chips(images, list("abcde"))) == [("a", "c", "e")]
    assert duplicates(chips(images[:2], ["a", "a"])) == [("a", "a")]
    assert duplicates(chips(images[[0, 2]], ["a", "a"])) == [("a", "a")]  # one group, not two
    missing = images[:2].astype(np.float32)
    missing[0, 0, 0, 0] = np.nan
    assert duplicates(chips(missing[[0, 1, 0]], list("abc"))) == [("a", "c")]
    folder = pictures(tmp_path / "set", ["1.png", "2.png", "3.png"])
    shutil.copy(folder / "1.png", folder / "4.png")
    (said,) = read_tiles(folder).notes
    assert said == "1 tiles are the same in every pixel as another one (1 = 4): count them once."


def test_years(tmp_path: Path):
    one = read_tiles(pictures(tmp_path / "2016", ["0_0.png", "0_1.png", "1_1.png"]), ids_at_zoom=1)
    other = read_tiles(pictures(tmp_path / "2017", ["1_1.png", "1_0.png", "0_0.png"]), ids_at_zoom=1)
    both = years_of(one, other, years=("2016", "2017"))
    assert both.id.tolist() == ["0_0", "1_1"]
    assert one.id[both.one].tolist() == other.id[both.other].tolist() == ["0_0", "1_1"]
    assert (both.only_one, both.only_other) == (("0_1",), ("1_0",))
    assert both.notes == (
        "1 places have no tile in 2017: 0_1.",
        "1 places have no tile in 2016: 1_0.",
    )
    assert years_of(one, one).notes == ()
    with pytest.raises(ImageError, match=r"No tile of 2016 has the id of one of 2017.*'0_1' and '1_0'"):
        years_of(one.subset(np.array([1])), other.subset(np.array([1])), years=("2016", "2017"))
    moved = read_tiles(tmp_path / "2017", ids_at_zoom=2)  # the same ids, a quarter of the size
    with pytest.raises(ImageError, match="'0_0' is another place in the second year"):
        years_of(one, moved)


# -- contact sheets ----------------------------------------------------------------------------


def sheet(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def rows_of_images(page: np.ndarray, side: int) -> list[int]:
    """First pixel rows of the images on a page: where the grey frame of the first column begins."""
    frame = (page[:, MARGIN - 1] == (187, 187, 187)).all(axis=1)
    return [int(y) + 1 for y in np.flatnonzero(frame & ~np.roll(frame, 1))]


def test_true_colours_and_no_data_on_a_sheet(tmp_path: Path):
    images = np.zeros((3, 3, 8, 8), dtype=np.float32)
    images[0] = np.array([255, 0, 10])[:, None, None]
    images[1, :, :, :4] = np.nan  # the other half is black
    images[2] = 77
    path = contact_sheet(chips(images, list("abc")), np.arange(3), tmp_path / "s.png", title="x", side_px=80)
    page = sheet(path)
    (top,) = rows_of_images(page, 80)
    middle = page[top + 40, [MARGIN + 40, MARGIN + 80 + GAP + 20, MARGIN + 80 + GAP + 60]]
    assert middle.tolist() == [[255, 0, 10], [128, 128, 128], [0, 0, 0]]
    assert page[top + 40, MARGIN + 2 * (80 + GAP) + 40].tolist() == [77, 77, 77]


def test_other_numbers_are_stretched_alike_on_all_sheets(tmp_path: Path):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 5000, (80, 4, 8, 8)).astype(np.float32)
    images[3], images[77] = 1234.5, 1234.5
    some = chips(images, [str(i) for i in range(80)], ("blue", "green", "red", "nir"))
    found = []
    for i in (3, 77):
        page = sheet(contact_sheet(some, np.array([i, 0]), tmp_path / f"{i}.png", title="x"))
        found.append(page[rows_of_images(page, 160)[0] + 80, MARGIN + 80].tolist())
    assert found[0] == found[1]
    # 2nd and 98th percentile of uniform 0..5000 are 100 and 4900: (1234.5 - 100) / 4800 * 255 = 60
    np.testing.assert_allclose(found[0], 60, atol=4)


def test_pages_and_nothing_overlaps(tmp_path: Path):
    names = [f"a-very-long-name-of-a-tile-that-nobody-can-fit/{i:04d}" for i in range(130)]
    some = chips(np.zeros((130, 3, 8, 8), dtype=np.uint8), names)
    captions = ["and a caption that is much too long for its image"] * 130
    title = "A title that is so long that it has to be broken into several lines of the page " * 2
    keywords = {"title": title, "captions": captions, "columns": 7, "side_px": 64}
    first = contact_sheet(some, np.arange(130), tmp_path / "s.png", **keywords)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.png", "s_2.png", "s_3.png"]
    rows = []
    for path in (first, tmp_path / "s_2.png", tmp_path / "s_3.png"):
        page = sheet(path)
        starts = rows_of_images(page, 64)
        rows.append(len(starts))
        assert (page[:, : MARGIN - 1] == 255).all()
        assert (page[:, -MARGIN + 1 :] == 255).all()  # the title too
        for column in range(6):  # between two images there is paper, whatever their names
            x = MARGIN + column * (64 + GAP) + 64
            assert (page[starts[0] - 1 :, x + 1 : x + GAP - 1] == 255).all()
    assert rows == [8, 8, 3]  # 56 + 56 + 18 images in rows of 7
    before = first.read_bytes()
    assert contact_sheet(some, np.arange(130), first, **keywords).read_bytes() == before


def test_sheets_of_nothing_and_of_too_few_captions(tmp_path: Path):
    some = chips(np.zeros((2, 3, 8, 8), dtype=np.uint8), ["a", "b"])
    page = sheet(contact_sheet(some, np.array([], dtype=int), tmp_path / "s.png", title="Cluster 7"))
    assert page.shape[0] < 150  # a title alone
    assert (page < 100).any()
    with pytest.raises(ValueError, match="2 images have 1 captions"):
        contact_sheet(some, np.arange(2), tmp_path / "t.png", title="x", captions=["one"])


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
def test_the_published_tiles(tmp_path: Path):
    one, other = (read_tiles(SISCORE / f"nk_{year}", ids_at_zoom=14) for year in (2016, 2017))
    assert (len(one), one.chips.images.shape[1:]) == (106, (3, 256, 256))
    assert years_of(one, other).notes == ()
    assert len(years_of(one, other).id) == 106
    # README: between 43 and 37.7 N a tile has 1.79 to 1.94 km a side on the ground
    lat = one.chips.lonlat[:, 1]
    width = np.array([(right - left) for left, _, right, _ in shapely.bounds(one.outline)])
    ground = width * np.cos(np.radians(lat)) / 1000
    assert 1.79 <= ground.min() <= ground.max() <= 1.94
    pairs = (SISCORE / "duplicate_tiles.csv").read_text().split()[1:]
    for i, pair in enumerate(pairs):
        for side, name in zip("ab", pair.split(","), strict=True):
            shutil.copy(SISCORE / name, tmp_path / f"{i}{side}{Path(name).suffix}")
    # eight pairs are JPEGs of the same bytes; of the ninth one is WebP without loss and one JPEG
    found = set(duplicates(read_tiles(tmp_path).chips))
    assert found == {(f"{i}a", f"{i}b") for i in range(8)}


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the Hong Kong LCZ data are not at ../shared/data")
def test_tiles_of_hong_kong_hold_its_pixels(cut: Callable[..., ScoreTiles], tmp_path: Path):
    image = HONG_KONG / "landsat8_2013-11-29.tif"
    tiles = cut(image, "--grid", "10km")
    assert 20 <= len(tiles) <= 30
    assert tiles.chips.bands[3].common_name == "red"
    with rasterio.open(image) as source:
        pixels = source.read(masked=True).filled(np.nan)
        for image, outline in zip(tiles.chips.images, tiles.outline, strict=True):
            moved = geopandas.GeoSeries([outline], crs=tiles.crs.to_wkt()).to_crs(source.crs)[0]
            inside = rasterio.features.geometry_mask([moved], pixels.shape[1:], source.transform, invert=True)
            here, there = np.nanmean(image, (1, 2)), np.nanmean(pixels[:, inside], 1)
            np.testing.assert_allclose(here, there, rtol=0.02)
