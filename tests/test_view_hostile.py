"""The viewer on files made to mislead it: they lead elsewhere, claim too much, or cross the map's edge."""

from __future__ import annotations

import io
import json
import socket
import time

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("rio_tiler", reason="the extra web is not installed")

from rasterio.warp import transform
from test_view import client, write

from jido.errors import JidoError
from jido.io import read_labels
from jido.io.features import read_features, style_colours
from jido.web.export import export_view
from jido.web.layers import read_layers
from jido.web.tiles import Tiles, maxzoom
from jido.web.vectors import VERTICES
from jido.web.view import viewer

SECRET = "nobody may read this"


@pytest.fixture
def elsewhere(monkeypatch):
    """A port of somebody else, and whether anybody has knocked there; whoever does is not kept waiting."""
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with socket.create_server(("127.0.0.1", 0)) as port:
        port.setblocking(False)

        def asked():
            try:
                port.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield f"http://127.0.0.1:{port.getsockname()[1]}/", asked


@pytest.fixture
def secrets(tmp_path):
    """A raster and polygons beside the folder that is shown."""
    write(tmp_path / "secret.tif", np.full((1, 32, 32), 77, np.uint8))
    frame = geopandas.GeoDataFrame({"note": [SECRET]}, geometry=[shapely.box(9, 50, 9.1, 50.1)], crs=4326)
    frame.to_file(tmp_path / "secret.gpkg", layer="x")
    (tmp_path / "home").mkdir()
    return tmp_path / "secret.tif", tmp_path / "secret.gpkg", tmp_path / "home"


def vrt(source):
    return (
        '<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def ogr_vrt(source):
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{source}</SrcDataSource>'
        "<SrcLayer>x</SrcLayer></OGRVRTLayer></OGRVRTDataSource>"
    )


def refused_by_name_and_in_a_folder(path, says):
    with pytest.raises(JidoError, match=says):
        read_layers([path])
    write(path.parent / "good.tif", np.ones((1, 8, 8), np.uint8))
    shown = read_layers([path.parent])
    assert [layer.group for layer in shown.layers] == ["good.tif"]
    assert any(path.name in note for note in shown.notes)


# -- files that lead elsewhere ------------------------------------------------------------------


@pytest.mark.parametrize("end", [".ovr", ".msk"])
def test_overviews_and_masks_beside_a_file_lead_nowhere(secrets, elsewhere, end):
    raster, _, home = secrets
    (url, asked), image = elsewhere, write(home / "image.tif", np.ones((1, 64, 64), np.uint8))
    for source in (f"/vsicurl/{url}x.tif", raster):
        (home / f"image.tif{end}").write_text(vrt(source))
        refused_by_name_and_in_a_folder(image, "is no GeoTIFF, as overviews and masks are")
    assert not asked()


def test_a_file_that_names_its_overviews_leads_nowhere(secrets, elsewhere):
    """GDAL takes the name from the TIFF itself, and from the XML beside it."""
    raster, _, home = secrets
    (url, asked), image = elsewhere, write(home / "image.tif", np.ones((1, 64, 64), np.uint8))
    (home / "image.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{raster}</MDI></Metadata>'
        "</PAMDataset>"
    )
    refused_by_name_and_in_a_folder(image, "names another file for its overviews")
    (home / "image.tif.aux.xml").unlink()
    with rasterio.open(image, "r+") as sink:
        sink.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{url}x.tif")
    refused_by_name_and_in_a_folder(image, "names another file for its overviews")
    assert not asked()


def test_overviews_beside_a_file_are_its_own(tmp_path):
    image = write(tmp_path / "image.tif", np.ones((1, 512, 512), np.uint8))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(image, "r+") as sink:
        sink.build_overviews([2, 4])
    assert (tmp_path / "image.tif.ovr").exists()
    assert read_layers([image]).layers[0].raster.coarsest == 4


def test_a_tif_is_no_list_of_other_files(secrets, elsewhere):
    raster, _, home = secrets
    url, asked = elsewhere
    service = (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{url}${{z}}/${{x}}/${{y}}</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>9</UpperLeftY><LowerRightX>9</LowerRightX><LowerRightY>0"
        "</LowerRightY><TileLevel>5</TileLevel></DataWindow><Projection>EPSG:3857</Projection></GDAL_WMS>"
    )
    for text in (vrt(raster), service):
        (home / "image.tif").write_text(text)
        refused_by_name_and_in_a_folder(home / "image.tif", "cannot be shown")
    assert not asked()


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "kml", "kmz", "shp", "fgb", "parquet"])
def test_vectors_are_what_their_name_says(secrets, elsewhere, suffix):
    _, vectors, home = secrets
    (url, asked), path = elsewhere, home / f"fields.{suffix}"
    for source in (vectors, f"/vsicurl/{url}x.gpkg"):
        path.write_text(ogr_vrt(source))
        refused_by_name_and_in_a_folder(path, "leads to other files")
        with pytest.raises(JidoError, match="leads to other files"):
            read_labels(path, one_class=True)
    assert not asked()


@pytest.mark.parametrize(
    "crs",
    [
        '{"type": "link", "properties": {"href": "%s"}}',
        '{"type": "l\\u0069nk", "properties": {"href": "%s"}}',
        "{'type': 'LINK', 'properties': {'href': '%s'}}",
    ],
)
def test_geojson_asks_nobody_for_its_crs(elsewhere, tmp_path, crs):
    url, asked = elsewhere
    point = '{"type": "Point", "coordinates": [9, 50]}'
    feature = f'{{"type": "Feature", "properties": {{"u": "\\u0069"}}, "geometry": {point}}}'
    text = '{"type": "FeatureCollection", "crs": %s, "features": [%s]}'
    (tmp_path / "a.geojson").write_text(text % (crs % f"{url}crs", feature))
    for read in (read_features, read_labels):
        with pytest.raises(JidoError, match="takes its CRS from an address"):
            read(tmp_path / "a.geojson")
    assert not asked()
    own = '{"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}'
    (tmp_path / "a.geojson").write_text(text % (own, feature.replace('"u"', '"link"')))
    assert len(read_features(tmp_path / "a.geojson")["a"]) == 1


# -- files that lie -----------------------------------------------------------------------------


def test_a_raster_that_claims_the_world_is_opened_at_once(tmp_path):
    """10^12 pixels of which none is in the file."""
    path, side = tmp_path / "bomb.tif", 1_000_000
    facts = {
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:32632",
        "transform": Affine(0.1, 0, 5e5, 0, -0.1, 5.6e6),
    }
    with rasterio.open(path, "w", driver="GTiff", width=side, height=side, tiled=True, blockxsize=4096,
                       blockysize=4096, sparse_ok=True, BIGTIFF="YES", **facts):  # fmt: skip
        pass
    assert path.stat().st_size < 1e6
    begun = time.process_time()
    page = client(viewer([path]))
    layer = page.get("/api/layers.json").json()["layers"][0]
    assert layer["minzoom"] > 10
    for zoom in (0, layer["minzoom"] - 1):
        assert page.get(f"/tiles/l0/{zoom}/0/0.png").status_code == 404
    assert page.get("/api/stretch/l0.json?bands=1").status_code == 200
    assert time.process_time() - begun < 5


def test_of_many_features_the_largest_are_sent(tmp_path, monkeypatch):
    monkeypatch.setattr("jido.web.vectors.MOST", 3)
    cells = [shapely.box(9 + i, 50, 9 + i + (i + 1) / 50, 50.1) for i in (4, 0, 3, 1, 2)]
    geopandas.GeoDataFrame({"a": range(5)}, geometry=cells, crs=4326).to_file(tmp_path / "a.gpkg")
    table = read_layers([tmp_path / "a.gpkg"]).layers[0].table
    told = table.geojson()
    assert (told["found"], told["shown"]) == (5, 3)
    assert [one["properties"]["a"] for one in told["features"]] == [0, 2, 4]
    assert [shapely.from_geojson(json.dumps(one["geometry"])).bounds[0] for one in told["features"]] == [
        13,
        12,
        11,
    ]
    assert VERTICES > 3 * 5


def test_a_style_without_colours_is_no_style(tmp_path):
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(9, 50, 9.1, 50.1)], crs=4326).to_file(
        tmp_path / "a.gpkg"
    )
    style = (
        "<qgis><renderer-v2><categories><category symbol='0' label='w x'/><category symbol='1' label='f'/>"
        "</categories><symbols><symbol name='0'><Option name='color' value='%s'/></symbol>"
        "<symbol name='1'><Option name='color' value='1,2,3,255'/></symbol></symbols></renderer-v2></qgis>"
    )
    for value, found in (
        ("red", {}),
        ("1,2", {}),
        ("-1,2,3", {}),
        ("999,0,0", {}),
        ("255,0,9,1", {"w": "#FF0009"}),
    ):
        frame = geopandas.pd.DataFrame({"styleQML": [style % value]})
        import pyogrio

        pyogrio.write_dataframe(frame, tmp_path / "a.gpkg", layer="layer_styles", append=False)
        assert style_colours(tmp_path / "a.gpkg") == {**found, "f": "#010203"}


def test_a_report_that_was_written_by_hand_stops_nothing(tmp_path, town_map):
    for name in ("map.tif", "map.tif.aux.xml"):
        (tmp_path / name).write_bytes(town_map.with_name(name).read_bytes())
    facts = json.loads(town_map.with_name("map.report.json").read_text())
    facts["training"]["features"][0]["properties"].pop("code")
    (tmp_path / "map.report.json").write_text(json.dumps(facts))
    shown = read_layers([tmp_path / "map.tif"])
    assert [layer.kind for layer in shown.layers][-1] == "unsure"
    assert any("training labels that cannot be read" in note for note in shown.notes)
    facts["evaluation"]["metrics"] = []
    (tmp_path / "map.report.json").write_text(json.dumps(facts))
    assert read_layers([tmp_path / "map.tif"]).layers[0].report is None


# -- the edge of the map, and other grids -------------------------------------------------------

GRIDS = {
    "south": ("EPSG:32734", Affine(100, 0, 300_000, 0, -100, 6_200_000)),
    "degrees": ("EPSG:4326", Affine(0.01, 0, 36, 0, -0.01, -1)),
    "turned": ("EPSG:32632", Affine(500, 0, 5e5, 0, 500, 5.6e6) * Affine.rotation(30) * Affine.scale(1, -1)),
    "south up": ("EPSG:32632", Affine(100, 0, 500_000, 0, 100, 5_600_000)),
    "mirrored": ("EPSG:32632", Affine(-100, 0, 500_000, 0, -100, 5_600_000)),
    "polar": ("EPSG:3413", Affine(20_000, 0, -300_000, 0, -20_000, -1_000_000)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_values_and_tiles_are_those_of_the_cell_up_to_its_borders(tmp_path, grid):
    crs, place = GRIDS[grid]
    data = (np.random.default_rng(0).permutation(1024) % 250 + 1).reshape(1, 32, 32).astype(np.uint8)
    path = write(tmp_path / "map.tif", data, crs=crs, transform=place)
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, {i: (i, 255 - i, 7, 255) for i in range(256)})
    shown = read_layers([path])
    (layer,), tiles = shown.layers, Tiles(shown.rasters)
    zoom = maxzoom(layer)
    for row, col in [(0, 0), (0, 31), (31, 0), (31, 31), *np.random.default_rng(1).integers(0, 32, (12, 2))]:
        for part in (0.02, 0.5, 0.98):
            x, y = place * (col + part, row + part)
            (lon,), (lat,) = transform(crs, "EPSG:4326", [x], [y])
            assert shown.rasters.values(layer.raster, lon, lat) == [data[0, row, col]]
        (lon,), (lat,) = transform(crs, "EPSG:4326", *([v] for v in place * (col + 0.5, row + 0.5)))
        at = (lon / 360 + 0.5) * 2**zoom, (0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)) * 2**zoom
        made = tiles.tile(layer, zoom, int(at[0]), int(at[1]), bands=(1,), stretch=None)
        pixel = Image.open(io.BytesIO(made)).getpixel((int(at[0] % 1 * 256), int(at[1] % 1 * 256)))
        assert pixel == (data[0, row, col], 255 - data[0, row, col], 7, 255)


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:32760", Affine(1000, 0, 816_000, 0, -1000, 8_000_000)),  # Fiji
        ("EPSG:4326", Affine(0.5, 0, 170, 0, -0.5, 10)),
        ("EPSG:4326", Affine(1, 0, 200, 0, -1, 10)),  # counted from 0 to 360
    ],
)
def test_what_crosses_180_degrees_is_refused_in_words(tmp_path, crs, place):
    path = write(tmp_path / "fiji.tif", np.ones((1, 32, 32), np.uint8), crs=crs, transform=place)
    with pytest.raises(JidoError, match="crosses 180 degrees of longitude"):
        read_layers([path])


def test_the_whole_earth_is_shown_also_when_its_edge_is_rounded(tmp_path):
    for west in (-180, -180.00001, -180.5):  # the last one counts from the centre of the first pixel
        path = write(tmp_path / "earth.tif", np.ones((1, 180, 360), np.uint8), crs="EPSG:4326",
                     transform=Affine(1, 0, west, 0, -1, 90))  # fmt: skip
        assert read_layers([path]).layers[0].bounds == (-180, -85.05, pytest.approx(180, abs=0.6), 85.05)


def test_metres_that_are_called_degrees_are_refused(tmp_path):
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(5e5, 5e6, 5.1e5, 5.1e6)], crs=4326)
    frame.to_file(tmp_path / "a.gpkg")
    with pytest.raises(JidoError, match="coordinates that do not fit its CRS"):
        read_layers([tmp_path / "a.gpkg"])


@pytest.mark.parametrize("quick", [4096, 1024])
def test_a_class_of_one_cell_has_its_colour(tmp_path, monkeypatch, quick):
    """Also where not all cells are looked at before the page is shown."""
    monkeypatch.setattr("jido.web.layers.QUICK", quick)
    data = np.ones((1, 2400, 2400), np.uint8)
    data[0, 1001, 1003] = 7
    path = write(tmp_path / "map.tif", data)
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, {1: (9, 9, 9, 255), 7: (200, 0, 0, 255)})
    layer = read_layers([path]).layers[0]
    assert [(c.code, c.color) for c in layer.classes] == [(1, "#090909"), (7, "#C80000")]


# -- what is asked and written ------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.2:80", "127.9.9.9"])
def test_all_addresses_of_this_machine_are_its_own(tmp_path, host):
    """``--host 127.0.0.2`` needs no token, so its page must answer."""
    page = client(viewer([write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))]))
    assert page.get("/api/layers.json", headers={"host": host}).status_code == 200


def test_an_export_never_replaces_what_it_shows(tmp_path):
    image = write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))
    export_view([image], tmp_path / "page")
    inside = tmp_path / "page" / "image.tif"
    image.rename(inside)
    with pytest.raises(JidoError, match=r"lies in .*page, which is replaced"):
        export_view([inside], tmp_path / "page")
    assert inside.exists()
