"""A probability sample: who is drawn with which chance, what interpreters see, what comes back."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod

import jido as package
from jido.errors import JidoError, LabelsError, OutputError
from jido.io import aux_xml
from jido.io.design_sample import is_sample, read_pairs, read_sample, write_sample
from jido.labels import ClassScheme, lcz_scheme
from jido.maps.assess_sample import assess_sample, with_truth
from jido.maps.sample import Clusters, draw_sample
from jido.maps.sample_cells import row_areas

NODATA = 255
TEN_METRES = Affine(10, 0, 500_000, 0, -10, 5_300_000)
NAMES = {2: "forest", 5: "water", 9: "town"}
KML = {"k": "http://www.opengis.net/kml/2.2"}


def write(path: Path, codes: np.ndarray, **profile: object) -> Path:
    height, width = codes.shape
    defaults = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": codes.dtype,
                "nodata": NODATA, "crs": "EPSG:32632", "transform": TEN_METRES}  # fmt: skip
    with rasterio.open(path, "w", **defaults | profile) as sink:
        sink.write(codes, 1)
    return path


def scene() -> np.ndarray:
    """60 x 50 cells of three classes, one of them rare; some without data, some with code 0."""
    random = np.random.default_rng(0)
    codes = np.kron(random.choice([2, 5], (20, 25), p=[0.7, 0.3]), np.ones((3, 2), dtype=int))
    codes[30:33, 10:13] = 9
    codes[:7, :5] = NODATA
    codes[50:, 40:] = 0
    return codes.astype(np.uint8)


CODES = scene()
MAPPED = (CODES != NODATA) & (CODES != 0)


@pytest.fixture
def map_(tmp_path: Path) -> Path:
    return write(tmp_path / "map.tif", CODES)


def draw(path: Path, **options: object):
    return draw_sample(path, **{"n": 120, "classes": NAMES} | options)


def spread(found) -> dict[str, tuple[int, int]]:
    return {s.name: (s.cells, s.drawn) for s in found.strata}


# -- who is drawn ------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", ["equal", "proportional", "neyman"])
def test_strata_are_the_classes_and_points_lie_in_theirs(map_, allocation):
    found = draw(map_, allocation=allocation, n=100)
    cells = {name: int((code == CODES).sum()) for code, name in NAMES.items()}
    assert {name: n for name, (n, _) in spread(found).items()} == cells
    assert sum(drawn for _, drawn in spread(found).values()) == len(found) == 100
    said = CODES[tuple(found.cell.T)]
    assert [NAMES[code] for code in said.tolist()] == [found.strata[k].name for k in found.stratum.tolist()]
    assert len(np.unique(found.cell, axis=0)) == 100
    np.testing.assert_array_equal(found.xy, [TEN_METRES * (c + 0.5, r + 0.5) for r, c in found.cell.tolist()])
    np.testing.assert_allclose((1 / found.inclusion).sum(), MAPPED.sum())
    assert (found.codes == -1).all()


def test_a_rare_stratum_is_drawn_whole_and_it_is_said(map_):
    found = draw(map_, least=20)
    assert spread(found)["town"] == (9, 9)
    whole, zeros = found.facts["notes"]
    assert whole == "Stratum town holds 9 cells: all of them are in the sample."
    assert zeros.startswith("100 cells hold the code 0, which is no class: no figure of the sample speaks of")


def test_code_0_is_told_where_one_draws(map_, tmp_path):
    """The corner with code 0 begins in row 50 and column 40."""
    there = tmp_path / "there.gpkg"
    square = shapely.box(*(TEN_METRES * (0, 55)), *(TEN_METRES * (41, 0)))
    pyogrio.raw.write(there, shapely.to_wkb([square]), [], [], geometry_type="Polygon", crs="EPSG:32632")
    assert "5 cells hold the code 0" in draw(map_, within=there).facts["notes"][-1]
    clear = write(tmp_path / "clear.tif", np.where(CODES == 0, NODATA, CODES).astype(np.uint8))
    assert draw(clear, least=9).facts["notes"] == [
        "Stratum town holds 9 cells: all of them are in the sample."
    ]
    assert min(drawn for _, drawn in spread(draw(map_)).values()) == 9  # half of 120 in equal parts is 20


def test_the_draw_knows_the_seed_and_not_the_blocks_of_the_file(map_, tmp_path):
    tiled = write(tmp_path / "tiled.tif", CODES, tiled=True, blockxsize=16, blockysize=16)
    for options in ({}, {"strata": "none"}, {"clusters": Clusters(8, 3)}):
        first, again, other = draw(map_, **options), draw(tiled, **options), draw(map_, seed=1, **options)
        np.testing.assert_array_equal(first.cell, again.cell)
        assert not np.array_equal(first.cell, other.cell)


def test_strips_do_not_change_the_draw(map_, monkeypatch):
    whole = [draw(map_, **o).cell for o in ({}, {"clusters": Clusters(8, 3)}, {"strata": str(map_)})]
    monkeypatch.setattr("jido.io.classmap.STRIP", 150)  # three rows at a time
    parts = [draw(map_, **o).cell for o in ({}, {"clusters": Clusters(8, 3)}, {"strata": str(map_)})]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "options", [{"n": 60}, {"n": 60, "clusters": Clusters(7, 4)}], ids=["stratified", "clusters"]
)
def test_every_cell_is_drawn_with_its_inclusion_probability(tmp_path, options):
    small = write(tmp_path / "small.tif", CODES[20:44, 3:33])
    times, chance = np.zeros((24, 30)), np.zeros((24, 30))
    draws = 120
    for seed in range(draws):
        found = draw(small, seed=seed, **options)
        times[tuple(found.cell.T)] += 1
        chance[tuple(found.cell.T)] = found.inclusion
    assert (chance > 0).all()
    off = (times / draws - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-9) / draws)
    assert np.abs(off).max() < 5
    assert np.sqrt((off**2)[chance < 1].mean()) == pytest.approx(1, abs=0.15)


def test_clusters_are_squares_of_the_lattice_and_smaller_at_the_rim(map_):
    found = draw(map_, n=100, clusters=Clusters(8, 5))
    cluster = found.facts["cluster"]
    assert found.kind == "clusters"
    assert cluster["drawn"] == 20
    square = [tuple(s) for s in (found.cell // 8).tolist()]
    for k, size in enumerate(cluster["sizes"]):
        mine = {s for s, c in zip(square, found.cluster.tolist(), strict=True) if c == k}
        ((row, col),) = mine
        assert MAPPED[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8].sum() == size
        assert (found.cluster == k).sum() == min(5, size)
    some = {(r // 8, c // 8) for r, c in zip(*np.nonzero(MAPPED), strict=True)}
    assert cluster["clusters"] == len(some)


def test_a_simple_random_sample_has_one_stratum(map_):
    found = draw(map_, strata="none")
    assert found.kind == "simple"
    assert spread(found) == {"all": (int(MAPPED.sum()), 120)}


def test_the_number_of_points_follows_from_the_standard_error(map_):
    # p (1 - p) / se² = 0.16 / 0.0009 = 177.8 and with N = 2865 cells known one by one less
    n = 0.16 / (0.0009 + 0.16 / MAPPED.sum())
    found = draw(map_, strata="none", n=None, se=0.03)
    assert len(found) == int(np.ceil(n))
    assert found.facts["plan"]["source"] == "a guess of 0.8"
    assert found.facts["plan"]["se"]["oa"] == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize("rule", ["proportional", "neyman", "equal"])
@pytest.mark.parametrize("wished", [0.03, 0.01, 0.0005])
def test_a_standard_error_is_reached_whatever_the_least_takes(map_, rule, wished):
    """With Var = Σ W² p (1 - p) (1 / n - 1 / N), and without one point less than it takes."""
    right = {"forest": 0.98, "water": 0.6, "town": 0.9}
    found = draw(map_, n=None, se=wished, allocation=rule, accuracies=right)
    cells, drawn = np.array(list(spread(found).values())).T
    p = np.array([right[name] for name in spread(found)])
    reached = np.sqrt(((cells / cells.sum()) ** 2 * p * (1 - p) * (1 / drawn - 1 / cells)).sum())
    assert reached <= wished
    assert found.facts["plan"]["se"]["oa"] == pytest.approx(reached)
    fewer = draw(map_, n=len(found) - 1, allocation=rule, accuracies=right)
    assert fewer.facts["plan"]["se"]["oa"] > wished


def test_neyman_draws_by_the_held_out_figures_of_the_map(map_):
    look = {"color": "#123456"}
    named = [{"code": code, "label": name, "name": name, **look} for code, name in NAMES.items()]
    rows = [
        {"class": "forest", "users_accuracy": {"value": 1.0}},
        {"class": "water", "users_accuracy": {"value": 0.5}},
    ]
    facts = {
        "sha256": hashlib.sha256(map_.read_bytes()).hexdigest(),
        "training": None,
        "evaluation": {"per_class": rows},
        "scheme": {"name": "own", "weights": None, "built": [], "classes": named},
    }
    (map_.parent / "report.json").write_text(json.dumps(facts))
    found = draw_sample(map_, n=200, allocation="neyman", least=2)
    plan = found.facts["plan"]
    assert plan["accuracy"] == {"forest": 0.95, "water": 0.5, "town": 0.8}
    assert plan["source"] == "held-out labels of the model; 0.8 where nothing is known"
    cells, drawn = np.array(list(spread(found).values())).T
    spreads = np.sqrt(np.array([0.95 * 0.05, 0.25, 0.16]))
    np.testing.assert_allclose(drawn, 200 * cells * spreads / (cells * spreads).sum(), atol=1.5)
    given = draw_sample(map_, n=200, allocation="neyman", least=2, accuracies={"forest": 0.6})
    assert given.facts["plan"]["accuracy"] == {"forest": 0.6, "water": 0.8, "town": 0.8}


def test_points_by_stratum_can_be_given(map_):
    found = draw(map_, n=None, allocation={"forest": 10, "water": 20, "town": 5})
    assert [s.drawn for s in found.strata] == [10, 20, 5]
    assert found.facts["allocation"] == "given"


def test_expected_areas_are_those_of_the_binomial_for_two_classes(tmp_path):
    codes = np.where(np.arange(40)[:, None] < 10, 1, 2) * np.ones((1, 30))
    path = write(tmp_path / "two.tif", codes.astype(np.uint8))
    found = draw(
        path, classes={1: "a", 2: "b"}, n=None, allocation={"a": 50, "b": 80}, accuracies={"a": 0.7, "b": 0.9}
    )
    se = np.sqrt(0.25**2 * 0.21 * (1 / 50 - 1 / 300) + 0.75**2 * 0.09 * (1 / 80 - 1 / 900))
    expected = found.facts["plan"]["se"]
    assert expected["oa"] == pytest.approx(se)
    assert expected["area_share"] == {"a": pytest.approx(se), "b": pytest.approx(se)}
    assert expected["users_accuracy"]["a"] == pytest.approx(np.sqrt(0.21 * (1 / 50 - 1 / 300)))


# -- where -------------------------------------------------------------------------------------


def test_strata_of_a_raster_and_of_polygons_are_the_same(map_, tmp_path):
    zones = np.repeat([[0, 1, NODATA]], [20, 20, 10], axis=1).repeat(60, axis=0).astype(np.uint8)
    raster = write(tmp_path / "zones.tif", zones)
    boxes = [shapely.box(500_000 + 200 * k, 5_299_400, 500_200 + 200 * k, 5_300_000) for k in (0, 1)]
    polygons = tmp_path / "zones.gpkg"
    pyogrio.raw.write(polygons, shapely.to_wkb(boxes), [np.array(["0", "1"], dtype=object)], ["zone"],
                      geometry_type="Polygon", crs="EPSG:32632", driver="GPKG")  # fmt: skip
    first = draw(map_, strata=raster)
    second = draw(map_, strata=polygons, strata_field="zone")
    assert spread(first) == spread(second)
    assert list(spread(first)) == ["0", "1", "outside"]
    np.testing.assert_array_equal(first.cell, second.cell)
    np.testing.assert_array_equal(first.stratum, first.cell[:, 1] // 20)
    inside = draw(map_, strata="none", within=polygons)
    assert (inside.cell[:, 1] < 40).all()
    assert inside.facts["cells"] == MAPPED[:, :40].sum()
    assert inside.facts["within"] == "zones.gpkg"


def test_a_stratum_beyond_the_last_number_is_refused(map_, tmp_path):
    """65536 stands for cells without a stratum inside of Jido."""
    zones = write(tmp_path / "zones.tif", np.where(CODES == 2, 65_536, 1).astype(np.int32), nodata=-1)
    with pytest.raises(LabelsError, match="holds 65536: number strata from 0 to 65535"):
        draw(map_, strata=zones)


def test_two_of_one_name_are_refused(map_, tmp_path):
    """A file of points knows strata by their names: both would come back as one."""
    with pytest.raises(LabelsError, match="Two classes are called 'Water'"):
        draw(map_, classes={2: "Water", 5: "water", 9: "town"})
    zones = write(tmp_path / "zones.tif", np.where(CODES == 2, 1, 2).astype(np.uint8))
    named = [{"code": code, "label": "low", "name": "low", "color": "#123456"} for code in (1, 2)]
    scheme = ClassScheme.from_dict({"name": "z", "classes": named, "weights": None, "built": []})
    zones.with_name("zones.tif.aux.xml").write_text(aux_xml(scheme, (1,)), encoding="utf-8")
    with pytest.raises(LabelsError, match="Two strata are called 'low'"):
        draw(map_, strata=zones)


def test_areas_are_those_on_the_ground(map_, tmp_path):
    assert sum(s.km2 for s in draw(map_).strata) == pytest.approx(MAPPED.sum() * 1e-4)
    degrees = write(
        tmp_path / "degrees.tif", CODES, crs="EPSG:4326", transform=Affine(0.5, 0, 10, 0, -0.5, 70)
    )
    row, _ = np.nonzero(MAPPED)
    geod, areas = Geod(ellps="WGS84"), {}
    for r in np.unique(row).tolist():
        edge = np.linspace(0, 0.5, 50)
        ring = (np.r_[edge, edge[::-1]], np.r_[np.full(50, 70 - r / 2), np.full(50, 69.5 - r / 2)])
        areas[r] = abs(geod.polygon_area_perimeter(*ring)[0]) / 1e6
    found = sum(s.km2 for s in draw(degrees).strata)
    assert found == pytest.approx(sum(areas[r] for r in row.tolist()), rel=1e-4)
    assert draw(degrees).crs.epsg == CRS("EPSG:4326").to_epsg()


@pytest.mark.parametrize(
    ("crs", "transform", "where"),
    [
        ("EPSG:4326", Affine(1, 0, 10, 0, -2, 80), "degrees"),
        ("EPSG:3857", Affine(1e5, 0, 1e6, 0, -3e5, 1.55e7), "this projection"),
    ],
)
def test_cells_of_unequal_area_count_by_it(tmp_path, crs, transform, where):
    """A map that is right in its northern half alone: 80° to 40° and 40° to 0°, or about so."""
    codes = np.full((40, 40), 2, np.uint8)
    path = write(tmp_path / "map.tif", codes, crs=crs, transform=transform)
    truth = write(tmp_path / "truth.tif", np.repeat([2, 5], 20)[:, None].repeat(40, 1).astype(np.uint8),
                  crs=crs, transform=transform)  # fmt: skip
    rows = row_areas(GeoBox((40, 40), transform, crs))
    right = rows[:20].sum() / rows.sum()
    assert abs(right - 0.5) > 0.1
    drawn = draw(path, n=1600, clusters=Clusters(4, 16))  # everything
    found = assess_sample(path, with_truth(drawn, truth))
    assert found["metrics"]["oa"]["value"] == pytest.approx(right)
    assert any(f"Cells in {where} differ in area: each counts by its own." in note for note in found["notes"])
    halves = write(tmp_path / "halves.tif", np.repeat([1, 3], 20)[:, None].repeat(40, 1).astype(np.uint8),
                   crs=crs, transform=transform)  # fmt: skip
    found = assess_sample(path, with_truth(draw(path, strata=halves), truth))
    assert found["metrics"]["oa"]["value"] == pytest.approx(right)


def test_a_map_without_a_place_on_earth_is_sampled_by_rows_and_columns(tmp_path):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write(tmp_path / "photo_map.tif", CODES, crs=None, transform=Affine.identity())
    files = write_sample(draw(path), tmp_path / "points.gpkg")
    assert [file.name for file in files] == ["points.gpkg", "points.csv", "points.form.html"]
    with files[1].open(encoding="utf-8-sig") as file:
        assert next(file).startswith("id,row,col,label_1")
    again = read_sample(files[0])
    assert again.crs is None
    assert {s.km2 for s in again.strata} == {None}


# -- files -------------------------------------------------------------------------------------


@pytest.fixture
def points(map_: Path) -> Path:
    """A sample with its forms."""
    return write_sample(draw(map_), map_.parent / "points.gpkg")[0]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, change, **options: str) -> Path:
    """The form of a sample, filled in row by row."""
    rows = table(path.with_suffix(".csv"))
    filled = [row | change(k, row) for k, row in enumerate(rows)]
    form = path.with_name("filled.csv")
    with form.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(filled)
    return form


@pytest.mark.parametrize("options", [{}, {"strata": "none"}, {"clusters": Clusters(8, 5)}])
def test_what_was_drawn_is_read_again(map_, options):
    drawn = draw(map_, **options)
    path = write_sample(drawn, map_.parent / "again.gpkg")[0]
    for again in (read_sample(path), read_sample(path.with_suffix(".csv"))):
        for name in ("id", "cell", "xy", "stratum", "cluster", "codes", "confidence", "note", "inclusion"):
            np.testing.assert_array_equal(getattr(again, name), getattr(drawn, name))
        assert again.strata == drawn.strata
        assert again.scheme.to_dict() == drawn.scheme.to_dict()
        assert again.facts == json.loads(json.dumps(drawn.facts))
        assert again.crs == drawn.crs


def test_what_interpreters_said_is_read_again(points):
    drawn = read_sample(points)
    codes = np.random.default_rng(0).choice([-1, 2, 5, 9], (120, 2))
    confidence = np.where(codes > 0, "medium", "").astype(object)
    note = np.array(['reed, or "water"?' if k % 7 == 0 else "" for k in range(120)], dtype=object)
    said = replace(drawn, codes=codes, confidence=confidence, note=note)
    path = write_sample(said, points.with_name("said.gpkg"))[0]
    for again in (
        read_sample(path),
        read_sample(path.with_suffix(".csv")),
        read_sample(points, form=path.with_suffix(".csv")),
    ):
        np.testing.assert_array_equal(again.codes, codes)
        np.testing.assert_array_equal(again.confidence, confidence)
        np.testing.assert_array_equal(again.note, note)
        np.testing.assert_array_equal(again.labelled, (codes > 0).any(axis=1))


def test_interpreters_see_neither_class_nor_stratum_nor_chance(points):
    fields = set(pyogrio.read_info(points, layer="sample")["fields"])
    blank = {"label_1", "confidence_1", "label_2", "confidence_2", "note"}
    assert fields == {"id", "lon", "lat", "row", "col"} | blank
    rows = table(points.with_suffix(".csv"))
    assert set(rows[0]) == {"id", "lon", "lat"} | blank
    assert {row[name] for row in rows for name in blank} == {""}
    # the order tells nothing either: neighbours in it are not of one stratum more often than any two
    found = read_sample(points)
    same = (np.diff(found.stratum) == 0).mean()
    shares = np.bincount(found.stratum) / 120
    assert same == pytest.approx((shares**2).sum(), abs=0.15)
    page = points.with_suffix(".form.html").read_text()
    assert page.count("<span class='box'>") == 3 * 120
    for text in ("outside", "stratum", "inclusion"):
        assert text not in page


def test_a_globe_shows_the_cell_around_each_point(points):
    found = read_sample(points)
    marks = ET.parse(points.with_suffix(".kml")).getroot().findall(".//k:Placemark", KML)
    assert [mark.findtext("k:name", "", KML) for mark in marks] == [str(k) for k in range(1, 121)]
    text = marks[4].findtext(".//k:LinearRing/k:coordinates", "", KML)
    ring = [tuple(map(float, pair.split(","))) for pair in text.split()]
    move = found.crs.transformer_to_crs("EPSG:4326", always_xy=True)
    x, y = found.xy[4]
    corners = [move(x + dx, y + dy) for dx, dy in ((-5, 5), (5, 5), (5, -5), (-5, -5), (-5, 5))]
    np.testing.assert_allclose(ring, corners, atol=1e-6)


def test_labels_are_read_however_they_are_written(points):
    ways = ["Water", " water ", "5", "5.0", "WATER"]
    form = fill(points, lambda k, row: {"label_1": ways[k % 5], "confidence_1": "H"}, delimiter=";")
    found = read_sample(points, form=form)
    assert (found.codes[:, 0] == 5).all()
    assert (found.codes[:, 1] == -1).all()
    assert (found.confidence[:, 0] == "high").all()


def test_a_form_in_another_order_or_with_rows_missing_is_found_by_id(points):
    rows = table(points.with_suffix(".csv"))[::-1][20:]
    form = points.with_name("part.csv")
    form.write_text(
        "id,label_1,confidence_1,label_2,confidence_2,note\n"
        + "".join(f"{row['id']},town,,,,\n" for row in rows)
    )
    found = read_sample(points, form=form)
    np.testing.assert_array_equal(found.codes[:, 0] == 9, found.id <= 100)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"label_1": "sea"},
            "label_1 of point 4 is 'sea', which is no class: write one of forest, water, town",
        ),
        ({"label_2": "forest edge"}, "label_2 of point 4 is 'forest edge', which is no class"),
        (
            {"confidence_1": "very"},
            "confidence_1 of point 4 is 'very', not how sure one is: write high, medium",
        ),
        ({"id": "3"}, "has the id 3 more than once"),
        ({"id": "900"}, "has the id 900, which the sample does not have"),
        ({"id": "x"}, "row 4 has the id 'x', which is no whole number"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_row(points, change, says):
    form = fill(points, lambda k, row: change if k == 3 else {})
    with pytest.raises(LabelsError, match=says):
        read_sample(points, form=form)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("design", "update design set value = '{}'"),
        ("chances", "update chances set stratum = 'nowhere' where id = 3"),
        ("chances", "update chances set stratum = 'water'"),
        ("sample", "update sample set row = null where id = 3"),
    ],
)
def test_a_sample_whose_chances_were_changed_is_refused(points, table, change):
    with closing(sqlite3.connect(points)) as package, package:
        triggers = package.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:  # of the spatial index, which plain SQLite does not have
            package.execute(f'drop trigger "{name}"')
        package.execute(change)
    with pytest.raises(LabelsError, match=f"the table '{table}' was changed; get the file again"):
        read_sample(points)


def test_a_form_needs_its_package_and_its_columns(points, tmp_path):
    form = fill(points, lambda k, row: {})
    with pytest.raises(
        LabelsError, match=r"filled.csv is a form whose GeoPackage filled.gpkg is not beside it"
    ):
        read_sample(form)
    (tmp_path / "bare.csv").write_text("id,lon,lat\n1,2,3\n")
    with pytest.raises(LabelsError, match="has no column 'label_1', only id, lon, lat"):
        read_sample(points, form=tmp_path / "bare.csv")
    (tmp_path / "other.gpkg").write_bytes(points.read_bytes()[:300])
    with pytest.raises(LabelsError, match=r"other\.gpkg is no sample of Jido"):
        read_sample(tmp_path / "other.gpkg")
    assert [is_sample(p) for p in (points, points.with_suffix(".csv"), form, tmp_path / "other.gpkg")] == [
        True, True, False, False]  # fmt: skip


def test_labels_of_people_are_never_written_over(points):
    before = points.read_bytes()
    with pytest.raises(OutputError, match=r"points\.gpkg exists and may hold labels of interpreters"):
        write_sample(read_sample(points), points)
    points.unlink()
    with pytest.raises(OutputError, match=r"points\.csv exists"):
        write_sample(draw(points.with_name("map.tif")), points)
    points.write_bytes(before)
    assert read_sample(points).kind == "stratified"


def test_pairs_are_read_from_text_and_from_a_table(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("class;points\nLCZ A;50\n3;20\n")
    assert read_pairs(str(path)) == read_pairs("LCZ A=50, 3=20") == {"LCZ A": "50", "3": "20"}
    for text, says in (("A", "not like A=50,B=100"), ("A=1,A=2", "names something twice")):
        with pytest.raises(LabelsError, match=says):
            read_pairs(text)


# -- the command -------------------------------------------------------------------------------


def test_the_command_says_what_was_drawn_and_what_to_do_next(jido, map_, out):
    classes = "2=forest,5=water,9=town"
    run = jido("sample", map_, "-n", 120, "--classes", classes, "-o", out / "points.gpkg", "--quiet")
    assert run.code == 0, run.err
    assert (
        "120 points in 3 strata, allocation proportional, from the 2,865 mapped cells of map.tif." in run.out
    )
    assert f"jido assess {map_} --reference {out / 'points.csv'}" in run.out
    told = jido("sample", map_, "-n", 120, "--classes", classes, "-o", out / "two.gpkg", "--json").json
    assert told["points"] == 120
    assert told["strata"][2] == {"name": "town", "cells": 9, "drawn": 9, "km2": pytest.approx(9e-4)}
    np.testing.assert_array_equal(read_sample(out / "two.gpkg").cell, read_sample(out / "points.gpkg").cell)
    assert package.read_sample(out / "two.gpkg").facts["seed"] == 0


def test_clusters_and_plans_are_told(jido, map_, out):
    lcz = ("--classes", "lcz", "-o")
    run = jido("sample", map_, "-n", 60, "--clusters", 8, "--per-cluster", 4, *lcz, out / "a.gpkg")
    assert "points in 15 of" in run.out
    assert "squares of 8 x 8 cells, two stages" in run.out
    run = jido("sample", map_, "--standard-error", 0.04, "--strata", "none", *lcz, out / "b.gpkg")
    assert "simple random" in run.out
    assert "To expect: overall accuracy ± 0.0" in run.out


def test_classes_beside_the_map_are_known(jido, map_, out):
    map_.with_name("map.tif.aux.xml").write_text(aux_xml(lcz_scheme(), (1,)), encoding="utf-8")
    told = jido("sample", map_, "-n", 60, "-o", out / "points.gpkg", "--json").json
    assert [row["name"] for row in told["strata"]] == ["2", "5", "9"]
    assert read_sample(out / "points.gpkg").scheme.labels == lcz_scheme().labels


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-n", 5), "5 points do not give each of 3 strata 2: ask for 6 or more"),
        (("-n", 9000), "There are 2,865 mapped cells to draw 9,000 points from"),
        ((), "Give the number of points, or the standard error"),
        (("-n", 90, "--standard-error", 0.1), "one of them"),
        (("-n", 90, "--allocation", "best"), "equal, proportional, neyman"),
        (("--allocation", "forest=9,lake=3"), "no stratum 'lake': the map has forest, water, town"),
        (("--allocation", "forest=9"), "Stratum water is to get 0 points"),
        (("--allocation", "forest=9,water=2.5"), "no number of points"),
        (("-n", 90, "--expected-accuracy", "forest=1.2"), "lies between 0 and 1, not at 1.2"),
        (("-n", 90, "--expected-accuracy", "forest"), "not like A=50,B=100"),
        (("-n", 400, "--clusters", 8, "--per-cluster", 4), "are 100 squares, and the map has"),
        (("-n", 4, "--clusters", 8, "--per-cluster", 4), "are 1 squares"),
        (("-n", 40, "--clusters", 3, "--per-cluster", 10), "1 to side x side cells"),
        (("-n", 40, "--clusters", 3), "both or neither"),
        (("-n", 40, "--clusters", 3, "--per-cluster", 2, "--allocation", "equal"), "leave out strata, alloc"),
        (("-n", 90, "--seed", -1), "--seed"),
        (("--standard-error", 0.02, "--clusters", 3, "--per-cluster", 2), "not known beforehand"),
        (("-n", 90, "--strata", "nothing.tif"), "nothing.tif does not exist"),
        (("-n", 90, "--band", 4), "no band 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(refused, map_, out, options, says):
    refused(
        "sample", map_, *options, "--classes", "2=forest,5=water,9=town", "-o", out / "p.gpkg", says=(says,)
    )


def test_what_is_no_class_map_is_refused(refused, map_, out, tmp_path):
    go = ("-n", 90, "-o", out / "p.gpkg")
    refused("sample", map_, *go, says=("does not say what its classes are called",))
    refused("sample", map_, *go, "--classes", "2=forest", says=("holds 5, 9, which is no class",))
    floats = write(tmp_path / "p.tif", (CODES / 300).astype(np.float32), nodata=None)
    refused("sample", floats, *go, "--classes", "lcz", says=("classes are whole numbers",))
    noise = np.random.default_rng(0).integers(0, 9000, (40, 40), dtype=np.uint16)
    image = write(tmp_path / "image.tif", noise, nodata=None)
    refused("sample", image, *go, "--classes", "lcz", says=("and more, which is no class of 'lcz'",))
    empty = write(tmp_path / "empty.tif", np.zeros_like(CODES))
    refused("sample", empty, *go, "--classes", "lcz", says=("has no mapped cell to draw from",))
    other = write(tmp_path / "other.tif", CODES, transform=TEN_METRES * Affine.translation(0.5, 0))
    lcz = (*go, "--classes", "lcz")
    refused("sample", map_, *lcz, "--strata", other, says=("has other cells than the map",))
    refused("sample", map_, *lcz, "--strata", floats, says=("p.tif holds no strata",))
    (out / "q.csv").write_text("mine")
    refused("sample", map_, "-n", 90, "-o", out / "q.gpkg", says=("q.csv exists",))
    refused("sample", map_, "-n", 90, "-o", out / "q.shp", says=("end the name with .gpkg",))


def test_a_wish_for_both_is_refused_in_python(map_):
    with pytest.raises(JidoError, match="10 in all: leave out"):
        draw(map_, n=20, allocation={"forest": 5, "water": 5})
