import json

import numpy as np
import pytest
import shapely
from odc.geo import CRS

from jido.errors import JidoError, OutputError
from jido.indicators.aggregate import Dependence, aggregate, overlaps
from jido.indicators.cells import Cells
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import indicator_table

LAEA = CRS("EPSG:3035")
X, Y = 4_321_000, 3_210_000


def sheet(**changes):
    words = {
        "indicator": "green share",
        "formula": "share of area with NDVI > 0.4",
        "source": "Rouse et al. 1974",
        "unit": "share",
        "bands": ("B08", "B04"),
        "correction": "L2A, offset -1000 applied",
        "dates": ("2021-07-02", "2021-06-01"),
        "nodata_rule": "clouds of SCL 8, 9, 10",
        "error_model": "correlogram",
        "cells": "1 km grid (EPSG:3035)",
    }
    return MethodSheet(**{**words, **changes})


def squares(n, *, side=1000, name="c"):
    boxes = [shapely.box(X + i * side, Y, X + (i + 1) * side, Y + 1000) for i in range(n)]
    return Cells(np.array(boxes), np.array([f"{name}{i}" for i in range(n)], dtype=object), LAEA, "row")


def table(value, se, *, coverage=None, **kw):
    k = len(value)
    coverage = np.ones(k) if coverage is None else np.array(coverage)
    return indicator_table(
        squares(k), np.array(value), np.array(se), coverage=coverage, n=np.full(k, 100), sheet=sheet(), **kw
    )


def test_too_little_seen_is_empty_and_never_zero():
    made = table([0.2, 0.2, 0.2], [0.1, 0.1, 0.1], coverage=[0.49, 0.5, np.nan])
    np.testing.assert_array_equal(made.empty, [True, False, True])
    for column in (made.value, made.lower, made.upper, made.se):
        assert np.isnan(column[[0, 2]]).all()
    np.testing.assert_array_equal(made.coverage, [0.49, 0.5, 0])


def test_interval_by_hand_and_within_bounds():
    made = table([0.5, 0.05], [0.1, 0.1], bounds=(0, 1))
    np.testing.assert_allclose(made.lower, [0.5 - 1.959964 * 0.1, 0], rtol=1e-6)
    np.testing.assert_allclose(made.upper, [0.5 + 1.959964 * 0.1, 0.05 + 0.1959964], rtol=1e-6)
    few = table([0.5, 0.5], [0.1, np.nan], freedom=np.array([4.0, np.inf]))
    np.testing.assert_allclose(few.upper, [0.5 + 2.776445 * 0.1, np.nan], rtol=1e-6)


def test_weights_by_hand():
    made = table([1.0, 4.0], [0.3, 0.4])
    district = squares(1, side=2000, name="d")
    out = aggregate(made, district, dependence=Dependence(), field_length_m=0, weights=np.array([1.0, 3.0]))
    np.testing.assert_allclose(out.value, [3.25])  # (1 * 1 + 3 * 4) / 4
    np.testing.assert_allclose(out.se, [np.hypot(0.25 * 0.3, 0.75 * 0.4)])
    same = aggregate(
        made, district, dependence=Dependence(shared=1), field_length_m=0, weights=np.array([1.0, 3.0])
    )
    np.testing.assert_allclose(same.se, [0.25 * 0.3 + 0.75 * 0.4])
    np.testing.assert_allclose(same.coverage, [1], rtol=1e-5)


def test_correlation_falls_with_distance_by_hand():
    places = np.array([[0.0, 0, 0], [1000.0, 0, 0]])
    near = Dependence(shared=0.2, length_m=500)
    rho = 0.2 + 0.8 * np.exp(-2)
    np.testing.assert_allclose(near.variance(np.array([1.0, 2.0]), places), 1 + 4 + 2 * 2 * rho)


def test_correlated_errors_do_not_average_out():
    made = table([0.5] * 40, [0.1] * 40)
    district = squares(1, side=40_000, name="d")
    free, tied = (
        aggregate(made, district, dependence=Dependence(length_m=m), field_length_m=0).se[0]
        for m in (0, 5000)
    )
    np.testing.assert_allclose(free, 0.1 / np.sqrt(40), rtol=1e-6)
    assert tied > 2.5 * free


def test_a_cell_on_the_border_counts_by_its_part():
    made = table([1.0, 2.0, 9.0], [0.1, 0.1, 0.1])
    district = Cells(np.array([shapely.box(X, Y, X + 1250, Y + 1000)]), np.array(["d"]), LAEA, "districts")
    np.testing.assert_allclose(overlaps(made.cells, district).toarray(), [[1, 0.25, 0]])
    out = aggregate(made, district, dependence=Dependence(), field_length_m=0)
    np.testing.assert_allclose(out.value, [(1 + 0.25 * 2) / 1.25], rtol=1e-5)
    np.testing.assert_allclose(out.n, [125])


def test_empty_cells_lower_coverage_widen_the_interval_and_are_no_zeros():
    value, se = [0.4, 0.6, 0.5, 0.5], [0.01] * 4
    district = squares(1, side=4000, name="d")
    whole = aggregate(table(value, se), district, dependence=Dependence(), field_length_m=0)
    holes = aggregate(
        table(value, se, coverage=[1, 1, 0.1, 0.1]), district, dependence=Dependence(), field_length_m=0
    )
    np.testing.assert_allclose(holes.value, [0.5])
    np.testing.assert_allclose(holes.coverage, [0.5], rtol=1e-5)
    # u = 1/2; variance of values .01 / (1 - 1/2); contrast (1/2, 1/2, -1/2, -1/2): sum of squares 1
    np.testing.assert_allclose(holes.se, [np.sqrt(0.01**2 / 2 + 0.25 * 0.02)], rtol=1e-5)
    assert whole.se[0] < holes.se[0]
    dark = aggregate(
        table(value, se, coverage=[1, 0, 0.1, 0.1]), district, dependence=Dependence(), field_length_m=0
    )
    assert dark.empty.all()


def test_a_district_beyond_the_cells_is_not_covered_there():
    out = aggregate(
        table([0.4, 0.6], [0.1, 0.1]),
        squares(1, side=4000, name="d"),
        dependence=Dependence(),
        field_length_m=0,
    )
    np.testing.assert_allclose(out.coverage, [0.5], rtol=1e-5)


def test_the_country_is_the_sum_of_its_districts():
    made = table([1.0, 2, 3, 6], [0.1] * 4)
    districts = aggregate(
        made, squares(2, side=2000, name="d"), dependence=Dependence(), field_length_m=0, total=True
    )
    country = aggregate(
        made, squares(1, side=4000, name="k"), dependence=Dependence(), field_length_m=0, total=True
    )
    np.testing.assert_allclose(districts.value, [3e6, 9e6], rtol=1e-5)
    np.testing.assert_allclose(country.value, [12e6], rtol=1e-5)
    np.testing.assert_allclose(country.se**2, (districts.se**2).sum(), rtol=1e-5)


def test_benchmark_stands_beside():
    made = table([0.5, 0.5, 0.5], [0.1] * 3).benchmark({"c0": 0.45, "c1": 0.9}, source="UNICEF 2022")
    np.testing.assert_allclose(made.columns["difference"], [0.05, -0.4, np.nan])
    np.testing.assert_allclose(made.columns["agrees"], [1, 0, np.nan])
    with pytest.raises(JidoError, match="'Seoul'"):
        made.benchmark({"Seoul": 1.0}, source="x")


def test_files_hold_the_same_rows_and_empties_are_null(tmp_path):
    geopandas = pytest.importorskip("geopandas")
    pytest.importorskip("pyarrow")
    import pandas

    made = table([0.5, 0.25], [0.1, 0.1], coverage=[1, 0.2])
    files = made.write(tmp_path / "green")
    assert [f.name for f in files] == [
        "green.gpkg", "green.parquet", "green.csv", "green.method.json", "green.method.md",
    ]  # fmt: skip
    frames = [geopandas.read_file(files[0]), geopandas.read_parquet(files[1]), pandas.read_csv(files[2])]
    for frame in frames:
        assert frame["id"].tolist() == ["c0", "c1"]
        np.testing.assert_allclose(frame["value"], [0.5, np.nan])
        np.testing.assert_allclose(frame["coverage"], [1, 0.2])
    assert frames[0].crs.to_epsg() == 3035
    assert frames[1].crs.to_epsg() == 3035
    last = files[2].read_text().splitlines()[-1].split(",")
    assert last[0] == "c1"
    assert last[3:7] == ["", "", "", "0.2"]
    method = json.loads(files[3].read_text())
    assert method["dates"] == ["2021-06-01", "2021-07-02"]
    assert method["error_model"] == "correlogram"
    assert "NDVI > 0.4" in files[4].read_text()


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    made = table([0.5], [0.1])
    made.write(tmp_path / "green", formats=("csv",))
    before = sorted(p.name for p in tmp_path.iterdir())
    old = (tmp_path / "green.csv").read_text()
    monkeypatch.setattr("jido.io.cell_table.json_text", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        table([0.9], [0.1]).write(tmp_path / "green", formats=("csv",))
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "green.csv").read_text() == old
    with pytest.raises(OutputError, match="'xls'"):
        made.write(tmp_path / "green", formats=("xls",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"error_model": " "}, "error_model"),
        ({"dates": ("2021-06-01", "2021-06-01")}, "twice"),
        ({"dates": ("1.6.2021",)}, "2021-07-31"),
        ({"min_coverage": 0.0}, "min_coverage"),
    ],
)
def test_a_sheet_that_says_too_little_is_refused(change, words):
    with pytest.raises(JidoError, match=words):
        sheet(**change)
