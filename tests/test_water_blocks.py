"""Squares that are land or water throughout, and that nothing changes when they are not read again."""

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.geo import Band, Raster, lattice
from jido.indicators import water_blocks, water_scene
from jido.indicators.cells import Cells, grid_cells
from jido.indicators.water import Shore
from jido.indicators.water_blocks import LAND, MIXED, WATER, PlainBlocks, runs
from jido.indicators.water_scene import water_dates
from jido.indicators.water_signals import SIGNALS
from jido.io import write_image
from jido.io.series import open_series

NDWI = SIGNALS["ndwi"]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(water_blocks, "SIDE", 8)


def kinds(plane, signal=NDWI, threshold=0.0, tile=16):
    blocks = PlainBlocks(plane.shape)
    for one in lattice(plane.shape, tile=tile, halo=3):
        blocks.add(plane[one.read], one)
    return blocks.kinds(Shore(signal, threshold))


@pytest.mark.usefixtures("small")
def test_kinds_by_hand():
    plane = np.full((20, 32), -0.5, np.float32)
    plane[:, 16:] = 0.5  # the shore lies between two squares: both are mixed, for both hold pixels of it
    plane[17, 0] = np.nan
    expected = [[LAND, MIXED, MIXED, WATER], [LAND, MIXED, MIXED, WATER], [MIXED, MIXED, MIXED, WATER]]
    for tile in (8, 16, 24, 32):
        assert kinds(plane, tile=tile).tolist() == expected
    radar = SIGNALS["VV"]  # water is dark there
    assert kinds(np.full((8, 8), -20, np.float32), radar, -16.0).tolist() == [[WATER]]
    assert kinds(np.full((8, 8), -10, np.float32), radar, -16.0).tolist() == [[LAND]]
    assert kinds(np.zeros((8, 8), np.float32)).tolist() == [[LAND]]  # the threshold itself is no water


@pytest.mark.usefixtures("small")
def test_runs_cover_a_window_once_and_are_as_wide_as_can_be():
    grid = np.array([[LAND, LAND, MIXED, WATER], [LAND, WATER, MIXED, WATER]])
    rows = slice(2, 7)
    found = list(runs(grid, (rows, slice(3, 30))))
    assert found == [
        ((rows, slice(3, 16)), LAND),
        ((rows, slice(16, 24)), MIXED),
        ((rows, slice(24, 30)), WATER),
    ]
    both = slice(2, 12)  # two squares high: land over water is mixed
    assert [kind for _, kind in runs(grid, (both, slice(0, 32)))] == [LAND, MIXED, WATER]


def test_what_was_never_read_is_mixed():
    assert (PlainBlocks((300, 600)).kinds(Shore(NDWI, 0.0)) == MIXED).all()


def lakes(folder, *, clouds):
    """400 x 600 pixels with three lakes, noise, and gaps."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:400, :600]
    wet = np.zeros((400, 600), dtype=bool)
    for row, col, radius in ((90, 100, 40), (250, 460, 80), (380, 20, 30)):
        wet |= np.hypot(y - row, x - col) < radius
    green = np.where(wet, 0.08, 0.06) + 0.004 * rng.normal(size=wet.shape)
    swir = np.where(wet, 0.02, 0.25) + 0.004 * rng.normal(size=wet.shape)
    planes = np.clip([green, swir], 0.001, 1).astype(np.float32)
    if clouds:
        planes[:, np.hypot(y - 120, x - 120) < 25] = np.nan
        planes[:, 300:330, 500:] = np.nan
    box = GeoBox((400, 600), Affine(10, 0, 500_000, 0, -10, 5_000_000), CRS("EPSG:32633"))
    bands = (Band("B03", unit="reflectance"), Band("B11", unit="reflectance"))
    write_image(Raster(planes, bands, box), folder / "S2_2020-07-03.tif")
    return [folder / "S2_2020-07-03.tif"]


@pytest.mark.parametrize("clouds", [False, True])
def test_areas_are_the_same_when_all_is_read_again(clouds, tmp_path, monkeypatch):
    monkeypatch.setattr(water_blocks, "SIDE", 32)
    paths, read = lakes(tmp_path, clouds=clouds), []
    signal = water_scene.water_signal

    def counted(*args):
        plane, mixing = signal(*args)
        read.append(plane.size)
        return plane, mixing

    monkeypatch.setattr(water_scene, "water_signal", counted)
    sums = {}
    for name in ("quick", "all"):
        if name == "all":
            monkeypatch.setattr(PlainBlocks, "add", lambda *_: None)
        read.clear()
        with open_series(paths) as series:
            cells = grid_cells(series.geobox.extent, size_m=450, crs=series.geobox.crs)
            found = water_dates(series, cells, whole=False)
        sums[name] = found, sum(read)
    one, two = sums["quick"][0], sums["all"][0]
    for column in ("area_m2", "se", "coverage", "n"):
        np.testing.assert_allclose(one.column(column), two.column(column), rtol=1e-6, atol=1e-6)
    assert one.shores[0].threshold == two.shores[0].threshold
    assert sums["quick"][1] < sums["all"][1]


def test_a_lake_in_a_corner_of_a_large_image(tmp_path):
    paths = lakes(tmp_path, clouds=False)
    outline = shapely.box(500_400, 4_998_600, 501_600, 4_999_600)
    body = Cells(np.array([outline], dtype=object), np.array(["one"]), CRS("EPSG:32633"), "lake")
    with open_series(paths) as series:
        found = water_dates(series, body)
    assert found.column("area_m2")[0, 0] == pytest.approx(np.pi * 400**2, rel=0.01)
