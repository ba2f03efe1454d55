"""Every label format, everything that is mended and said, everything that is refused."""

import zipfile
from collections import Counter
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import LabelsError, OutputError
from jido.io.vectors import read_labels, write_labels
from jido.labels import Labels, lcz_scheme

HONG_KONG = Path(__file__).parents[1] / "../shared/data/lcz_hongkong"
UTM = "EPSG:32649"
BOW_TIE = shapely.Polygon(
    [(0, 0), (100, 100), (100, 0), (0, 100)]
)  # crosses itself: two triangles of 2500 m2


def square(x, y=0.0, side=1.0):
    return shapely.box(x, y, x + side, y + side)


def ring(polygon, z=""):
    return " ".join(f"{x},{y}{z}" for x, y in polygon.exterior.coords)


def placemark(polygon, name="p", z=""):
    holes = "".join(
        f"<innerBoundaryIs><LinearRing><coordinates>{ring(shapely.Polygon(hole))}</coordinates>"
        "</LinearRing></innerBoundaryIs>"
        for hole in polygon.interiors
    )
    return (
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>{ring(polygon, z)}"
        f"</coordinates></LinearRing></outerBoundaryIs>{holes}</Polygon></Placemark>"
    )


def folder(name, *content):
    return f"<Folder><name>{name}</name>{''.join(content)}</Folder>"


def kml(path, *content):
    text = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>town</name>{"".join(content)}</Document></kml>'
    path.write_text(text, encoding="utf-8")
    return path


def table(path, geometry, crs=UTM, **columns):
    layer = columns.pop("layer", None)
    frame = geopandas.GeoDataFrame(columns, geometry=list(geometry), crs=crs)
    frame.to_file(path, engine="pyogrio", **({"layer": layer} if layer else {}))
    return path


def raster(path, values, *, crs=UTM, **profile):
    values = values if values.ndim == 3 else values[None]
    transform = rasterio.transform.from_origin(500_000, 2_000_000, 100, 100)
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(
        path, "w", dtype=values.dtype, crs=crs, transform=transform, **shape, **profile
    ) as sink:
        sink.write(values)
    return path


def said(labels):
    return {note.code: note for note in labels.notes}


# -- KML and KMZ -------------------------------------------------------------------------------


def test_kml_reads_every_folder_nested_repeated_and_empty(tmp_path):
    path = kml(
        tmp_path / "areas.kml",
        folder(
            "training areas",
            folder("1", placemark(square(0)), placemark(square(2))),
            folder("LCZ 3", placemark(square(4), name="2")),  # the folder wins over the name
            folder("1", placemark(square(6))),
            folder("A", placemark(square(8))),
            folder("G"),
            folder("7"),
        ),
    )
    labels = read_labels(path)
    assert labels.codes.tolist() == [1, 1, 3, 1, 11]
    assert [g.bounds[0] for g in labels.geometry] == [0, 2, 4, 6, 8]
    assert len(set(labels.groups.tolist())) == 5
    assert labels.crs == CRS("EPSG:4326")
    assert list(said(labels)) == ["empty-folder"]
    assert "G, 7" in said(labels)["empty-folder"].message


def test_kml_one_folder_of_named_placemarks(tmp_path):
    path = kml(tmp_path / "a.kml", placemark(square(0), name="lcz 2"), placemark(square(2), name="Water"))
    assert read_labels(path).codes.tolist() == [2, 17]


def test_kml_layer_and_class_field(tmp_path):
    path = kml(
        tmp_path / "a.kml",
        folder("1", placemark(square(0), name="5")),
        folder("2", placemark(square(3), name="6")),
    )
    assert read_labels(path, layer="2").codes.tolist() == [2]
    assert read_labels(path, class_field="Name").codes.tolist() == [5, 6]
    with pytest.raises(LabelsError, match="no folder '9', only 1, 2"):
        read_labels(path, layer="9")


def test_kmz_is_its_kml(tmp_path):
    inner = kml(tmp_path / "doc.kml", folder("1", placemark(square(0))), folder("B", placemark(square(3))))
    with zipfile.ZipFile(tmp_path / "areas.kmz", "w") as archive:
        archive.write(inner, "doc.kml")
    assert read_labels(tmp_path / "areas.kmz").codes.tolist() == [1, 12]


def test_kml_drops_z_and_keeps_holes(tmp_path):
    holed = shapely.difference(square(0, side=3), square(1))
    path = kml(tmp_path / "a.kml", folder("1", placemark(holed), placemark(square(5), z=",42")))
    labels = read_labels(path)
    assert labels.geometry[0].area == pytest.approx(8)
    assert not shapely.has_z(labels.geometry).any()
    assert said(labels)["z"].feature == 1


def test_kml_without_a_polygon_or_with_unknown_folders_is_refused(tmp_path):
    with pytest.raises(LabelsError, match="holds no labels"):
        read_labels(kml(tmp_path / "a.kml", folder("1"), folder("2")))
    with pytest.raises(LabelsError, match=r"unknown classes.*'trees'.*'park'.*knows 1, 2") as refused:
        read_labels(
            kml(
                tmp_path / "b.kml",
                folder("old stuff", placemark(square(0), name="trees")),
                folder("1", placemark(square(2))),
                folder("more", placemark(square(4), name="park")),
            )
        )
    assert "\n" not in str(refused.value)


# -- tables: GeoPackage, GeoJSON, Shapefile, CSV -----------------------------------------------


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_vector_formats_give_the_same_labels(tmp_path, suffix):
    path = table(
        tmp_path / f"a.{suffix}", [square(10), square(20)], crs="EPSG:4326", LCZ=["3", "G"], site=[7, 7]
    )
    labels = read_labels(path)
    assert labels.codes.tolist() == [3, 17]
    assert shapely.equals(labels.geometry, [square(10), square(20)]).all()
    assert labels.crs == CRS("EPSG:4326")
    assert labels.groups.tolist() == [0, 1]  # one site for all parts nothing
    assert labels.notes == ()
    assert read_labels(path, group_field="Site").groups.tolist() == [7, 7]


def test_zipped_shapefile(tmp_path):
    table(tmp_path / "a.shp", [square(0)], code=[4])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in tmp_path.glob("a.[sdpc][hbr]*"):
            archive.write(part, part.name)
    assert read_labels(tmp_path / "a.zip").codes.tolist() == [4]


def test_groups_are_kept_as_given(tmp_path):
    three = [square(0), square(2), square(4)]
    numbers = read_labels(table(tmp_path / "a.gpkg", three, lcz=[1, 2, 3], polygon_id=[30, 10, 30]))
    assert numbers.groups.tolist() == [30, 10, 30]
    names = read_labels(table(tmp_path / "b.gpkg", three, lcz=[1, 2, 3], city=["Lima", None, "Rome"]))
    assert names.groups.tolist() == ["Lima", "feature 1", "Rome"]
    classes = read_labels(table(tmp_path / "c.gpkg", three, site=["1", "1", "2"]), class_field="site")
    assert classes.groups.tolist() == [0, 1, 2]  # a class is no group


def test_class_column_is_the_first_that_holds_classes(tmp_path):
    path = table(tmp_path / "a.gpkg", [square(0), square(2)], type=["area", "area"], name=["1", "A"])
    assert read_labels(path).codes.tolist() == [1, 11]
    path = table(tmp_path / "b.gpkg", [square(0)], zone=["6"])
    assert read_labels(path, class_field="ZONE").codes.tolist() == [6]
    with pytest.raises(LabelsError, match="no class column among zone"):
        read_labels(path)
    with pytest.raises(LabelsError, match="no column 'zones', only zone"):
        read_labels(path, class_field="zones")
    with pytest.raises(LabelsError, match="no column 'town', only zone"):
        read_labels(path, class_field="zone", group_field="town")


def test_several_layers_need_a_choice(tmp_path):
    path = table(tmp_path / "a.gpkg", [square(0)], lcz=[1], layer="spring")
    table(path, [square(0)], lcz=[2], layer="autumn")
    with pytest.raises(LabelsError, match=r"spring, autumn.*--layer"):
        read_labels(path)
    assert read_labels(path, layer="autumn").codes.tolist() == [2]
    with pytest.raises(LabelsError, match="no layer 'summer'"):
        read_labels(path, layer="summer")


@pytest.mark.parametrize("header", ["lon,lat,lcz", "Latitude;Longitude;Class;site", "X\tY\tcode"])
def test_csv_points(tmp_path, header):
    separator = next(s for s in ",;\t" if s in header)
    cells = {"lon": 11.5, "lat": 48, "longitude": 11.5, "latitude": 48, "x": 11.5, "y": 48}
    lines = [header]
    for code, site in (("5", "a"), ("E", "b")):
        row = cells | {"lcz": code, "class": code, "code": code, "site": site}
        lines.append(separator.join(str(row[name.lower()]) for name in header.split(separator)))
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    if "X" in header:
        with pytest.raises(LabelsError, match="no CRS: give it with --crs"):
            read_labels(path)
    labels = read_labels(path, crs=UTM)
    assert labels.codes.tolist() == [5, 15]
    assert labels.groups.tolist() == (["a", "b"] if "site" in header else [0, 1])
    assert labels.geometry[0] == shapely.Point(11.5, 48)
    assert labels.crs == CRS(UTM if "X" in header else "EPSG:4326")


def test_csv_that_holds_no_points_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    for text, match in (
        ("a,b\n1,2\n", "points need lon and lat"),
        ("lon,lat,lcz\nabc,2,1\n", "column 'lon' holds something that is no number"),
        ("", "cannot be read as labels"),
        ("lon,lat,lcz\n", "holds no labels"),
    ):
        path.write_text(text)
        with pytest.raises(LabelsError, match=match):
            read_labels(path)


# -- label rasters -----------------------------------------------------------------------------


def test_raster_becomes_pieces_and_burns_back(tmp_path):
    values = np.zeros((8, 8), dtype=np.uint8)
    values[0:3, 0:3] = 1
    values[1, 1] = 2  # a hole of another class
    values[3, 3] = 1  # touches the first piece at a corner: another polygon, the same group
    values[6:8, 0:2] = 17
    values[7, 7] = 255
    path = raster(tmp_path / "labels.tif", values, nodata=255)
    labels = read_labels(path)
    ones = labels.codes == 1
    assert Counter(labels.codes.tolist()) == {1: 2, 2: 1, 17: 1}
    assert len(set(labels.groups[ones].tolist())) == 1
    assert len(set(labels.groups.tolist())) == 3
    assert labels.notes == ()
    geobox = GeoBox((8, 8), rasterio.transform.from_origin(500_000, 2_000_000, 100, 100), UTM)
    np.testing.assert_array_equal(labels.burn(geobox).codes, np.where(values == 255, 0, values))


def test_raster_bands_and_values_that_are_no_labels_are_refused(tmp_path):
    with pytest.raises(LabelsError, match=r"bands band1, band2.*--layer"):
        read_labels(raster(tmp_path / "two.tif", np.ones((2, 4, 4), dtype=np.uint8)))
    assert len(read_labels(tmp_path / "two.tif", layer="band2")) == 1
    with pytest.raises(LabelsError, match=r"unknown classes as values of the raster: '0.5', '99.0'"):
        read_labels(raster(tmp_path / "ndvi.tif", np.array([[0.5, 99], [np.nan, 1]], dtype=np.float32)))
    with pytest.raises(LabelsError, match="holds no labels"):
        read_labels(raster(tmp_path / "empty.tif", np.zeros((4, 4), dtype=np.uint8)))
    with pytest.raises(LabelsError, match="no CRS"):
        read_labels(raster(tmp_path / "bare.tif", np.ones((4, 4), dtype=np.uint8), crs=None))
    assert read_labels(tmp_path / "bare.tif", crs=UTM).crs == CRS(UTM)


# -- mended and said ---------------------------------------------------------------------------


def test_multipart_is_split_and_keeps_one_group(tmp_path):
    both = shapely.MultiPolygon([square(0), square(5)])
    labels = read_labels(table(tmp_path / "a.gpkg", [square(9), both], lcz=[1, 2]))
    assert labels.codes.tolist() == [1, 2, 2]
    assert labels.groups.tolist() == [0, 1, 1]
    assert (shapely.get_type_id(labels.geometry) == 3).all()
    assert said(labels)["multipart"].feature == 1


def test_self_crossing_ring_is_mended(tmp_path):
    flat = shapely.Polygon([(0, 0), (9, 0), (0, 0)])  # encloses nothing
    labels = read_labels(table(tmp_path / "a.gpkg", [square(300), BOW_TIE, flat], lcz=[1, 2, 3]))
    assert shapely.is_valid(labels.geometry).all()
    assert labels.codes.tolist() == [1, 2, 2]
    assert labels.groups.tolist() == [0, 1, 1]
    assert shapely.area(labels.geometry[1:]).sum() == pytest.approx(2 * 2500)
    assert said(labels)["invalid"].message.endswith(": 2.")
    assert said(labels)["empty-geometry"].feature == 2


def test_duplicates_are_dropped_but_not_contradictions(tmp_path):
    turned = shapely.Polygon(square(0).exterior.coords[::-1])
    labels = read_labels(table(tmp_path / "a.gpkg", [square(0), turned, square(0)], lcz=[1, 1, 2]))
    assert labels.codes.tolist() == [1, 2]
    assert said(labels)["duplicate"].feature == 1


def test_empty_geometries_and_missing_classes_are_dropped(tmp_path):
    geometry = [None, shapely.Polygon(), square(0), square(2), square(4)]
    labels = read_labels(table(tmp_path / "a.gpkg", geometry, lcz=["1", "no class", "2", None, " "]))
    assert labels.codes.tolist() == [2]
    assert labels.groups.tolist() == [2]
    assert said(labels)["empty-geometry"].message.endswith(": 2.")
    assert said(labels)["no-class"].message.endswith(": 2.")


@pytest.mark.parametrize(
    ("written", "codes", "coding"),
    [
        ([1, 11, 17], [1, 11, 17], None),
        (["10", "A", "Water"], [10, 11, 17], None),
        ([2.0, 101.0, 107.0], [2, 11, 17], "codes 101-107"),
        ([31, 40, 41], [1, 10, 15], r"WRF codes (+30)"),
        ([51, 60, 61], [1, 10, 15], r"WRF codes (+50)"),
    ],
)
def test_codings_are_recoded_and_said(tmp_path, written, codes, coding):
    path = table(tmp_path / "a.gpkg", [square(0), square(2), square(4)], lcz=written)
    labels = read_labels(path)
    assert labels.codes.tolist() == codes
    assert list(said(labels)) == ([] if coding is None else ["coding"])
    if coding:
        assert coding in said(labels)["coding"].message
        assert said(labels)["coding"].message.endswith(f"features: {sum(c > 17 for c in written)}.")


# -- refused -----------------------------------------------------------------------------------


def test_unknown_classes_are_listed_all_at_once(tmp_path):
    path = table(tmp_path / "a.gpkg", [square(0), square(2), square(4)], lcz=["1", "marsh", "18"])
    with pytest.raises(LabelsError, match=r"column 'lcz': 'marsh', '18'; the scheme 'lcz' knows 1, 2, "):
        read_labels(path)
    water = lcz_scheme().subset([17])
    with pytest.raises(LabelsError, match=r"unknown classes.*'1'.*knows G"):
        read_labels(table(tmp_path / "b.gpkg", [square(0)], lcz=["1"]), scheme=water)


def test_lines_are_refused(tmp_path):
    line = shapely.LineString([(0, 0), (1, 1)])
    with pytest.raises(LabelsError, match=r"lines among its labels \(1\): draw polygons"):
        read_labels(table(tmp_path / "a.gpkg", [square(0), line], lcz=[1, 2]))
    mixed = shapely.GeometryCollection([square(0), line])
    with pytest.raises(LabelsError, match="lines"):
        read_labels(table(tmp_path / "b.gpkg", [mixed], lcz=[1]))


@pytest.mark.parametrize("name", ["a.kml", "a.kmz", "a.gpkg", "a.geojson", "a.shp", "a.tif", "a.docx", "a"])
def test_garbage_is_refused_in_one_sentence_and_nothing_leaks(tmp_path, name, capfd, recwarn):
    path = tmp_path / name
    with pytest.raises(LabelsError, match="does not exist"):
        read_labels(path)
    path.write_bytes(b"\x00this is no label file\n" * 9)
    with pytest.raises(LabelsError, match=r"cannot be read as labels.*give KML, KMZ, GeoPackage") as refused:
        read_labels(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_crs_missing_unknown_or_belied_is_refused(tmp_path):
    bare = table(tmp_path / "a.shp", [square(0)], crs=None, lcz=[1])
    with pytest.raises(LabelsError, match=r"no CRS: give it with --crs EPSG:"):
        read_labels(bare)
    assert read_labels(bare, crs=UTM).crs == CRS(UTM)
    with pytest.raises(LabelsError, match="'mars' is no CRS"):
        read_labels(bare, crs="mars")
    metres = table(tmp_path / "b.geojson", [square(500_000)], crs="EPSG:4326", lcz=[1])
    with pytest.raises(LabelsError, match=r"says degrees .* holds \(500000, 0\)"):
        read_labels(metres)


def test_crs_of_the_file_counts(tmp_path):
    path = table(tmp_path / "a.gpkg", [square(0)], lcz=[1])
    assert read_labels(path, crs="EPSG:4326").crs == CRS(UTM)


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    geometry = np.array([shapely.box(500_000, 0, 500_100, 100), shapely.Point(500_500, 50)], dtype=object)
    labels = Labels(geometry, np.array([3, 17]), np.array(["a", "b"]), CRS(UTM), lcz_scheme())
    path = tmp_path / f"out.{suffix}"
    write_labels(labels, path)
    back = read_labels(path)
    assert back.codes.tolist() == [3, 17]
    assert back.groups.tolist() == ["a", "b"]
    assert back.crs == CRS(UTM if suffix == "gpkg" else "EPSG:4326")
    moved = back.to_crs(CRS(UTM)).geometry
    assert shapely.hausdorff_distance(moved, geometry).max() < 0.02  # GeoJSON keeps 7 decimals of a degree


def test_other_suffixes_are_not_written(tmp_path):
    labels = Labels(np.array([square(0)]), np.array([1]), np.array([1]), CRS(UTM), lcz_scheme())
    with pytest.raises(OutputError, match=r"end the name with \.gpkg or \.geojson"):
        write_labels(labels, tmp_path / "out.shp")
    assert not list(tmp_path.iterdir())


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not HONG_KONG.exists(), reason="the Hong Kong LCZ data are not at ../shared/data")
@pytest.mark.parametrize("name", ["hong_kong_lcz.kml", "hong_kong_lcz.gpkg", "lcz_gt.tif"])
def test_hong_kong_is_read_whole_and_burns_to_the_published_raster(name):
    labels = read_labels(HONG_KONG / name)
    with rasterio.open(HONG_KONG / "lcz_gt.tif") as source:
        truth = source.read(1)
        geobox = GeoBox(source.shape, source.transform, source.crs.to_wkt())
    counts = Counter(labels.codes.tolist())
    assert [counts[code] for code in range(1, 18)] == [
        26,
        11,
        14,
        19,
        8,
        13,
        0,
        9,
        0,
        9,
        14,
        15,
        9,
        16,
        0,
        0,
        10,
    ]
    assert len(set(labels.groups.tolist())) == (172 if name.endswith("tif") else 173)
    np.testing.assert_array_equal(labels.burn(geobox).codes, truth)


def test_pins_among_polygons_of_a_kml_are_dropped_and_said(tmp_path):
    ring = "<coordinates>{0},0 {1},0 {1},1 {0},1 {0},0</coordinates>"
    polygon = "<Polygon><outerBoundaryIs><LinearRing>" + ring + "</LinearRing></outerBoundaryIs></Polygon>"
    pin = "<Point><coordinates>5,5</coordinates></Point>"
    folders = "".join(
        f"<Folder><name>{name}</name>"
        + "".join(f"<Placemark><name>{name}</name>{shape}</Placemark>" for shape in shapes)
        + "</Folder>"
        for name, shapes in (("1", [polygon.format(0, 1), pin]), ("2", [polygon.format(2, 3)]))
    )
    path = tmp_path / "a.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>')
    labels = read_labels(path)
    assert labels.codes.tolist() == [1, 2]
    assert [note.code for note in labels.notes] == ["pin"]


def test_names_with_a_hyphen_are_classes_too():
    scheme = lcz_scheme()
    assert [scheme.parse(t)[0] for t in ("Compact high-rise", "Bush or scrub", "Bare rock or paved")] == [
        1,
        13,
        15,
    ]
