"""Permanent and seasonal water: months by hand, years, the columns and the command's table."""

import csv

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import JidoError
from jido.geo import Band, Raster
from jido.indicators.cells import Cells
from jido.indicators.water_months import WaterMonths, YearWater, judged_years, year_columns
from jido.indicators.water_scene import water_dates
from jido.indicators.water_tables import PERMANENT, water_shares, water_sheet
from jido.io import write_image
from jido.io.series import open_series

NAN = np.nan
UTM = CRS("EPSG:32633")


def taken(days, water):
    months = WaterMonths(water.shape[1:])
    for day, plane in zip(days, water, strict=True):
        months.take(day, plane)
    return months


def test_permanent_and_seasonal_by_hand():
    days = [f"2020-{month:02}-{day:02}" for month in range(1, 9) for day in (5, 20)]
    water = np.zeros((16, 1, 6))
    water[:, 0, 0] = 1  # always
    water[0:8, 0, 1] = 1  # January to April
    water[::2, 0, 2] = 1  # every other date: half of each month is enough
    water[:, 0, 3] = 1
    water[6:, 0, 3] = NAN  # seen in three months only
    water[:4, 0, 4] = NAN  # clouds, then always dry
    water[:, 0, 5] = 1
    water[4, 0, 5] = NAN  # one date under clouds: the other one of its month was water
    kinds = taken(days, water).kinds()
    np.testing.assert_array_equal(kinds[0], [[1, 0, 1, NAN, 0, 1]])
    np.testing.assert_array_equal(kinds[1], [[0, 1, 0, NAN, 0, 0]])
    assert taken(days, water).kinds(min_months=3)[0, 0, 3] == 1


@pytest.mark.parametrize("days", [("2020-01-01", "2021-01-01"), ("2020-03-01", "2020-01-01")])
def test_dates_of_several_years_or_out_of_order_are_refused(days):
    with pytest.raises(JidoError, match=f"{days[1]} does not follow 2020-0. in one year"):
        taken(days, np.ones((2, 3, 3)))


def test_a_year_is_judged_when_it_has_dates_in_six_months():
    half = [f"2020-{month:02}-01" for month in range(1, 7)]
    twice = [f"2021-{month:02}-{day:02}" for month in range(1, 6) for day in (1, 15)]
    assert judged_years([*half, *twice]) == {2020: 5}
    assert judged_years([*half, *twice], min_months=5) == {2020: 5, 2021: 15}


def test_columns_are_shares_of_what_was_judged_or_areas_and_empty_where_too_little_was():
    years = [YearWater(2020, np.array([30.0, 4, 0]), np.array([10.0, 0, 0]), np.array([80.0, 9, 0]))]
    area = np.array([100.0, 20, 20])
    shares = year_columns(years, area, min_coverage=0.5, unit="share")
    np.testing.assert_allclose(shares["permanent_2020"], [0.375, NAN, NAN])
    np.testing.assert_allclose(shares["seasonal_2020"], [0.125, NAN, NAN])
    areas = year_columns(years, area, min_coverage=0.4, unit="m²")
    np.testing.assert_allclose(areas["permanent_m2_2020"], [30, 4, NAN])
    assert list(areas) == ["permanent_m2_2020", "seasonal_m2_2020"]


def months_of_a_lake(folder, months):
    """40 x 40 pixels, water in 20 x 20 of them; from May a fringe of 4 pixels around it, too."""
    box = GeoBox((40, 40), Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
    bands = (Band("B03", unit="reflectance"), Band("B11", unit="reflectance"))
    for month in months:
        wide = 4 if month >= 5 else 0
        wet = np.zeros((40, 40), dtype=bool)
        wet[10 - wide : 30 + wide, 10 - wide : 30 + wide] = True
        planes = np.stack([np.where(wet, 0.08, 0.06), np.where(wet, 0.02, 0.25)]).astype(np.float32)
        write_image(Raster(planes, bands, box), folder / f"S2_2020-{month:02}-03.tif")
    cells = np.array([shapely.box(500_000, 4_999_600, 500_400, 5_000_000)], dtype=object)
    return sorted(folder.glob("*.tif")), Cells(cells, np.array(["all"]), UTM, "one cell")


def test_the_table_of_water_tells_permanent_from_seasonal(tmp_path):
    paths, cells = months_of_a_lake(tmp_path, range(1, 9))
    with open_series(paths) as series:
        found = water_dates(series, cells, threshold=0.0, whole=False)
    sheet = water_sheet(found, method="mndwi", fixed=0.0, min_coverage=0.5, value="share")
    columns = water_shares(found, sheet).columns
    np.testing.assert_allclose(columns["permanent_2020"], [20**2 / 40**2], rtol=1e-5)
    np.testing.assert_allclose(columns["seasonal_2020"], [(28**2 - 20**2) / 40**2], rtol=1e-5)
    assert PERMANENT in sheet.limits
    with open_series(paths[:5]) as series:  # five months do not tell
        few = water_dates(series, cells, threshold=0.0, whole=False)
    assert few.years == ()


def test_the_table_of_lakes_has_both_in_square_metres(jido, tmp_path):
    (tmp_path / "in").mkdir()
    paths, cells = months_of_a_lake(tmp_path / "in", range(2, 10))
    outline = tmp_path / "in" / "lake.gpkg"
    geopandas.GeoDataFrame({"id": ["one"]}, geometry=list(cells.geometry), crs="EPSG:32633").to_file(outline)
    run = jido("indicator", "water", *paths, "--bodies", outline, "--threshold", 0, "-o", tmp_path / "w.csv")
    assert run.code == 0, run.err
    with (tmp_path / "w.csv").open(newline="") as lines:
        (lake,) = csv.DictReader(lines)
    # the scale of the map is 0.9996 here
    assert float(lake["permanent_m2_2020"]) == pytest.approx(200**2 / 0.9996**2, rel=1e-4)
    assert float(lake["seasonal_m2_2020"]) == pytest.approx((280**2 - 200**2) / 0.9996**2, rel=1e-4)
