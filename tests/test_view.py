"""The viewer without a browser: what it shows, what it says, and that it gives away nothing else."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import socket
import threading
import time
from collections import Counter
from urllib.parse import unquote

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("rio_tiler", reason="the extra web is not installed")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from jido.errors import JidoError
from jido.labels import lcz_scheme
from jido.web.layers import read_layers
from jido.web.rasters import Rasters, describe_raster
from jido.web.serve import address, listening, run, site, token_for
from jido.web.tiles import Tiles, tiles_over
from jido.web.view import viewer

HERE = "http://127.0.0.1"
SECRET = b"nobody may read this"


def client(app: Starlette, **options) -> TestClient:
    return TestClient(app, base_url=HERE, **options)


def write(path, data, *, crs="EPSG:32632", transform=None, nodata=None, tags=None):
    """A GeoTIFF of (band, y, x) with pixels of 10 m."""
    transform = transform or Affine(10, 0, 500_000, 0, -10, 5_600_000)
    profile = {"count": len(data), "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, **profile
    ) as sink:
        sink.write(data)
        sink.update_tags(**(tags or {}))
    return path


@pytest.fixture(scope="module")
def shown(town, town_map):
    """The viewer on a map, an image and polygons."""
    return client(viewer([town_map, town.optical, town.others]))


def by_title(page, title):
    return next(one for one in page.get("/api/layers.json").json()["layers"] if one["title"] == title)


def pixels(answer):
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    return np.array(Image.open(io.BytesIO(answer.content)))


def middle_tile(layer, zoom):
    places = tiles_over(layer["bounds"], zoom)
    x, y = places[len(places) // 2]
    return layer["tiles"].format(z=zoom, x=x, y=y)


# -- what is shown ------------------------------------------------------------------------------


def test_a_map_package_becomes_its_layers_with_official_colours(shown):
    facts = shown.get("/api/layers.json").json()
    kinds = [(one["kind"], one["title"]) for one in facts["layers"] if one["group"] == "map.tif"]
    assert kinds == [
        ("classes", "Local Climate Zones"),
        ("classes", "Local Climate Zones, smoothed"),
        ("percent", "confidence"),
        ("unsure", "unsure cells"),
        ("vector", "training labels and folds"),
    ]
    official = {c.code: c.color for c in lcz_scheme().classes}
    assert {c["code"]: c["color"] for c in facts["layers"][0]["classes"]}.items() <= official.items()
    report = facts["reports"][0]
    assert re.match(r"Overall accuracy 0\.\d+ \[", report["statement"])
    assert sum(row["share"] for row in report["areas"]) == pytest.approx(1, abs=1e-4)


def test_labels_can_be_coloured_by_class_fold_and_agreement(shown):
    labels = by_title(shown, "training labels and folds")
    assert [c["name"] for c in labels["columns"]][:1] == ["class"]
    assert {"fold", "agreement"} <= {c["name"] for c in labels["columns"]}
    features = shown.get(f"/api/features/{labels['id']}.json").json()
    assert features["found"] == features["shown"] == len(features["features"]) == labels["features"]


def test_a_value_is_that_of_the_file(shown, town_map):
    layer = by_title(shown, "Local Climate Zones")
    with rasterio.open(town_map) as source:
        data = source.read()
        for row, col in ((0, 0), (5, 17), (31, 31)):
            xs, ys = rasterio.warp.transform(source.crs, "EPSG:4326", *([v] for v in source.xy(row, col)))
            said = shown.get(f"/api/value/{layer['id']}.json?lon={xs[0]}&lat={ys[0]}").json()["values"]
            assert [v["value"] for v in said] == data[:, row, col].tolist()
            named = {c.code: f"{c.label} {c.name}" for c in lcz_scheme().classes}
            assert said[0]["text"] == named[data[0, row, col]]


def test_no_value_outside_and_no_data_inside(tmp_path):
    path = write(tmp_path / "hole.tif", np.zeros((1, 4, 4), np.uint8), nodata=0)
    page = client(viewer([path]))
    west, south, *_ = page.get("/api/layers.json").json()["bounds"]
    inside = page.get(f"/api/value/l0.json?lon={west + 1e-4}&lat={south + 1e-4}").json()["values"]
    assert [(v["value"], v["text"]) for v in inside] == [(None, "no data")]
    assert page.get("/api/value/l0.json?lon=0&lat=0").json()["values"] == []


def test_tiles_have_only_the_colours_of_the_legend_and_are_clear_outside(shown):
    layer = by_title(shown, "Local Climate Zones")
    seen = pixels(shown.get(middle_tile(layer, layer["maxzoom"] - 3))).reshape(-1, 4)
    legend = {tuple(int(c["color"][i : i + 2], 16) for i in (1, 3, 5)) for c in layer["classes"]}
    solid = {tuple(p[:3]) for p in seen[seen[:, 3] == 255].tolist()}
    assert solid
    assert solid <= legend
    assert set(seen[:, 3].tolist()) <= {0, 255}
    far = pixels(shown.get(layer["tiles"].format(z=3, x=0, y=0)))
    assert not far.any()


def test_a_tile_is_the_file_where_pixels_meet(tmp_path):
    """On the web's own grid a tile of the right zoom shows the pixels themselves."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 256, 256), dtype=np.uint8)
    zoom, x, y = 12, 2100, 1400
    side = 2 * 20037508.342789244 / 2**zoom
    place = Affine(
        side / 256, 0, x * side - 20037508.342789244, 0, -side / 256, 20037508.342789244 - y * side
    )
    path = write(tmp_path / "web.tif", rgb, crs="EPSG:3857", transform=place)
    with rasterio.open(path, "r+") as source:
        source.colorinterp = [rasterio.enums.ColorInterp[c] for c in ("red", "green", "blue")]
    tile = pixels(client(viewer([path])).get(f"/tiles/l0/{zoom}/{x}/{y}.png"))
    np.testing.assert_array_equal(tile[..., :3].transpose(2, 0, 1), rgb)


def test_a_small_map_is_quick_on_the_tile_of_the_whole_earth(town_map):
    """Warping all of that tile at the resolution of the map took more than a minute."""
    layers = read_layers([town_map])
    begun = time.process_time()
    Tiles(layers.rasters).tile(layers.layers[0], 0, 0, 0, bands=(1,), stretch=None)
    assert time.process_time() - begun < 5


def test_bands_and_stretch_are_chosen(shown):
    layer = by_title(shown, "image")
    assert layer["combinations"]["true colour"] == [3, 2, 1]
    url = middle_tile(layer, layer["maxzoom"] - 2)
    usual = pixels(shown.get(url))
    assert (pixels(shown.get(f"{url}&bands=3,2,1")) == usual).all()
    assert (pixels(shown.get(f"{url}&bands=4,3,2")) != usual).any()
    dark = pixels(shown.get(f"{url}&stretch=5,6,5,6,5,6"))  # reflectance is far below 5
    assert not dark[..., :3].any()
    assert (dark[..., 3] == usual[..., 3]).all()
    limits = shown.get(f"/api/stretch/{layer['id']}.json?bands=4").json()["bands"]
    assert [b["band"] for b in limits] == [4]
    assert limits[0]["low"] < limits[0]["high"]
    assert len(limits[0]["counts"]) == 32


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("bands=0", "bands= takes one or three"),
        ("bands=1,2", "bands= takes one or three"),
        ("bands=1,2,9", "bands= takes one or three"),
        ("bands=../..", "bands= takes one or three"),
        ("stretch=1,1,1,1,1,1", "darkest and the brightest"),
        ("stretch=nan,1,0,1,0,1", "stretch= takes 6 numbers"),
        ("stretch=0,1", "stretch= takes 6 numbers"),
    ],
)
def test_wrong_bands_are_refused_in_words(shown, query, says):
    layer = by_title(shown, "image")
    answer = shown.get(f"{middle_tile(layer, 10)}&{query}")
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_a_table_of_an_indicator_has_a_ramp_and_its_sheet(tmp_path):
    cells = [shapely.box(9 + i / 100, 50, 9.01 + i / 100, 50.01) for i in range(40)]
    value = np.where(np.arange(40) == 7, np.nan, np.arange(40.0))
    frame = geopandas.GeoDataFrame({"id": range(40), "value": value, "n": 3}, geometry=cells, crs=4326)
    frame.to_file(tmp_path / "green.gpkg")
    frame.to_parquet(tmp_path / "green.parquet")
    (tmp_path / "green.method.json").write_text(json.dumps({"indicator": "green", "unit": "share"}))
    page = client(viewer([tmp_path]))
    facts = page.get("/api/layers.json").json()
    assert [one["group"] for one in facts["layers"]] == ["green.gpkg"]  # the same rows only once
    column = facts["layers"][0]["columns"][0]
    assert column["name"] == "value"
    assert 0 <= column["low"] < column["high"] <= 39
    assert facts["sheets"][0]["rows"] == {"Indicator": "green", "Unit": "share"}
    features = page.get("/api/features/l0.json").json()["features"]
    assert features[7]["properties"]["value"] is None
    box = page.get("/api/features/l0.json?bbox=9.055,50,9.065,50.01&zoom=10").json()
    assert [f["properties"]["value"] for f in box["features"]] == [5, 6]


def test_days_come_from_names(tmp_path):
    for day in ("20210601", "20210701"):
        write(tmp_path / f"S2_{day}.tif", np.ones((1, 8, 8), np.uint8))
    layers = client(viewer([tmp_path])).get("/api/layers.json").json()["layers"]
    assert [(one["day"], one["visible"]) for one in layers] == [("2021-06-01", False), ("2021-07-01", True)]


def test_an_image_without_a_place_lies_on_a_plane(tmp_path):
    data = np.arange(48 * 64, dtype=np.uint16).reshape(1, 48, 64)
    path = tmp_path / "photo.png"
    Image.fromarray(data[0]).save(path)
    page = client(viewer([path]))
    assert not page.get("/api/layers.json").json()["placed"]
    metre = 180 / 20037508.342789244
    said = page.get(f"/api/value/l0.json?lon={10.5 * metre}&lat={-20.5 * metre}").json()
    assert said["values"][0]["value"] == data[0, 20, 10]
    layer = by_title(page, "image")
    assert pixels(page.get(middle_tile(layer, layer["maxzoom"])))[..., 3].any()


def test_a_large_scene_without_overviews_is_shown_from_a_preview(tmp_path, monkeypatch):
    monkeypatch.setattr("jido.web.rasters.PREVIEW", 64)
    monkeypatch.setattr("jido.web.rasters.DIRECT", 512)
    monkeypatch.setattr("jido.web.layers.QUICK", 512)
    rows = np.linspace(0, 200, 1024).astype(np.uint8)
    path = write(tmp_path / "large.tif", np.broadcast_to(rows[:, None], (1, 1024, 1024)).copy())
    page = client(viewer([path]))
    facts = page.get("/api/layers.json").json()
    assert "rio cogeo create large.tif" in facts["notes"][0]
    file, rasters = describe_raster(path), Rasters()
    assert file.coarse(file.maxzoom - 3)
    assert rasters.source(file, (1,), file.maxzoom - 3)[0].startswith("/vsimem/")
    assert rasters.source(file, (1,), file.maxzoom) == (str(path), (1,))
    assert pixels(page.get(middle_tile(facts["layers"][0], file.maxzoom - 3)))[..., 3].any()


def test_a_damaged_file_is_an_error_in_words(tmp_path):
    path = write(tmp_path / "cut.tif", np.ones((1, 512, 512), np.float32))
    layer = client(viewer([path])).get("/api/layers.json").json()["layers"][0]
    app = viewer([path])
    path.write_bytes(path.read_bytes()[:3000])
    answer = client(app).get(middle_tile(layer, layer["maxzoom"]))
    assert answer.status_code == 400
    assert "cut.tif is damaged or cut short" in answer.json()["error"]


def test_tiles_are_kept_up_to_a_limit(tmp_path, monkeypatch):
    path = write(tmp_path / "image.tif", np.arange(4096, dtype=np.uint16).reshape(1, 64, 64))
    layers = read_layers([path])
    tiles, layer = Tiles(layers.rasters), layers.layers[0]
    x, y = tiles_over(layer.bounds, 14)[0]
    first = tiles.tile(layer, 14, x, y, bands=(1,), stretch=None)
    monkeypatch.setattr(layers.rasters, "take", None)  # nothing is read again
    assert tiles.tile(layer, 14, x, y, bands=(1,), stretch=None) is first
    monkeypatch.undo()
    monkeypatch.setattr("jido.web.tiles.CACHE", len(first))
    tiles.tile(layer, 14, x, y, bands=(1,), stretch=((0.0, 9.0),))
    assert len(tiles._kept) <= 1


# -- paths --------------------------------------------------------------------------------------


def test_paths_that_show_nothing_are_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "text.gpkg").write_text("no polygons")
    refused("view", tmp_path / "nowhere.tif", says=("nowhere.tif does not exist",))
    refused("view", tmp_path / "empty", says=("holds nothing that can be shown",))
    refused("view", tmp_path / "text.tif", says=("text.tif cannot be shown",))
    refused("view", tmp_path / "text.gpkg", says=("text.gpkg cannot be read as polygons",))
    refused("view", tmp_path / "empty", "--token", "short", says=("8 to 200 characters",))


def test_in_a_folder_links_out_of_it_and_models_are_left_out(tmp_path, model):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    write(outside / "secret.tif", np.ones((1, 8, 8), np.uint8))
    write(inside / "mine.tif", np.ones((1, 8, 8), np.uint8))
    (inside / "link.tif").symlink_to(outside / "secret.tif")
    (inside / "folder").symlink_to(outside)
    (inside / "model").symlink_to(model)
    (inside / "vrt.tif").write_text(
        f'<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{outside / 'secret.tif'}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    facts = client(viewer([inside])).get("/api/layers.json").json()
    assert [one["group"] for one in facts["layers"]] == ["mine.tif"]
    assert any("link.tif is a link that leads out" in note for note in facts["notes"])
    assert any("vrt.tif cannot be shown" in note for note in facts["notes"])


# -- who may ask --------------------------------------------------------------------------------


def test_every_answer_has_the_guards_headers(shown):
    for path in ("/", "/static/view.css", "/api/layers.json", "/nowhere", "/tiles/l0/1/0/0.png"):
        headers = shown.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"])
def test_another_name_for_this_machine_is_turned_away(shown, host):
    assert shown.get("/api/layers.json", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:8000"])
def test_this_machine_is_let_in(shown, host):
    assert shown.get("/api/layers.json", headers={"host": host}).status_code == 200


def test_with_a_token_nothing_is_told_without_it(tmp_path):
    path = write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))
    app = viewer([path], token="a-long-token")
    for url in ("/", "/api/layers.json", "/tiles/l0/1/0/0.png", "/static/view.js", "/?token=wrong-token"):
        answer = client(app).get(url)
        assert answer.status_code == 403
        assert "open the link that the terminal shows" in answer.json()["error"]
    page = client(app, follow_redirects=False)
    link = page.get("/?token=a-long-token", headers={"host": "planner.example:8000"})
    assert (link.status_code, link.headers["location"]) == (303, "./")
    assert "HttpOnly" in link.headers["set-cookie"]
    page = client(app)
    assert "<title>Jido</title>" in page.get("/?token=a-long-token").text  # the cookie goes with the redirect
    assert page.get("/api/layers.json").status_code == 200


def test_other_addresses_need_a_token():
    assert token_for("127.0.0.1", None) is None
    assert token_for("::1", None) is None
    assert len(token_for("0.0.0.0", None)) >= 24
    with pytest.raises(JidoError, match="need a token"):
        run(site([]), host="0.0.0.0")


def test_what_changes_something_must_come_from_the_page_and_be_small():
    async def store(request: Request) -> JSONResponse:
        return JSONResponse(len(await request.body()))

    page = client(site([Route("/store", store, methods=["POST"])]))
    assert page.post("/store", content=b"x" * 99).json() == 99
    assert page.post("/store", headers={"origin": HERE}).status_code == 200
    assert page.post("/store", headers={"origin": "http://evil.example"}).status_code == 403
    assert page.post("/store", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert page.post("/store", content=b"x" * (1 << 19)).status_code == 413
    assert page.post("/store", content=iter([b"x" * (1 << 17)] * 4)).status_code == 413
    assert page.get("/store?" + "x" * 3000).status_code == 414


def test_a_failure_is_told_in_the_terminal_only(caplog):
    def fail(request: Request) -> None:
        raise RuntimeError("secret detail")

    answer = client(site([Route("/fail", fail)])).get("/fail")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_taken_port_is_one_sentence(refused, tmp_path):
    path = write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        refused("view", path, "--port", port, says=(f"127.0.0.1:{port} cannot be used", "--port"))
    assert address("::1", 80) == "http://[::1]:80/"


def test_the_command_says_where_and_ends_on_ctrl_c(jido, tmp_path, monkeypatch):
    path = write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))
    asked = []

    def stop(server, sockets: list[socket.socket]) -> None:
        asked.append(sockets[0].getsockname())
        raise SystemExit(130)

    monkeypatch.setattr("uvicorn.Server.run", stop)
    said = jido("view", path, "--json")
    assert said.code == 0
    assert said.json == {"url": f"http://127.0.0.1:{asked[0][1]}/"}
    said = jido("view", path, "--host", "0.0.0.0", "--token", "a-long-token")
    assert said.out.endswith("/?token=a-long-token\n")


# -- nothing else can be read -------------------------------------------------------------------


def fuzzed(rng, ids):
    """An address of ours, damaged."""
    bits = ["..", ".", "%2e%2e", "%2e%2e%2f", "..%2f", "..%5c", "%00", "\\", "//", "etc/passwd", "secret.txt",
            "%252e%252e%252f", "file:///", "/vsimem/", "~", "l0", "l99", "-1", "0", "1e9", "9" * 20,
            "view.css", "%c0%ae%c0%ae/", "....//", "static", "tiles", "api", ".png", ".json", "é",
            "%F0%9F%98%80", "0x10", "NaN", " ", "%20", "?", "#", "&", "bands=", "stretch=1,2", "lon=",
            "secret.tif"]  # fmt: skip
    start = rng.choice(["/static/", "/tiles/", f"/tiles/{rng.choice(ids)}/", "/api/value/", "/api/features/",
                        "/api/stretch/", "/", "/tiles/l0/3/"])  # fmt: skip
    if rng.random() < 0.35:  # almost right
        z, x, y = (rng.choice([0, 1, 9, 14, 22, 23, 40, -1, 2**31, 10**18]) for _ in range(3))
        query = rng.choice(
            ["", "?bands=1", "?bands=9,9,9", "?stretch=1,0", "?stretch=inf,1", "?bands=%00", "?v=/etc"]
        )
        return f"/tiles/{rng.choice([*ids, 'l99', '..'])}/{z}/{x}/{y}.png{query}"
    if rng.random() < 0.2:
        lon, lat = (rng.choice(["9.0", "nan", "1e400", "", "-181", "0", "x", "9,9"]) for _ in range(2))
        return f"/api/value/{rng.choice(ids)}.json?lon={lon}&lat={lat}&bbox={lat}&zoom={lon}"
    joint = rng.choice(["/", "", "%2f"])
    return start + joint.join(rng.choice(bits) for _ in range(rng.randint(1, 5)))


def test_ten_thousand_damaged_requests_get_nothing_else(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (home / "secret.txt").write_bytes(SECRET)
    write(tmp_path / "secret.tif", np.full((1, 8, 8), 77, np.uint8), tags={"note": SECRET.decode()})
    write(home / "image.tif", np.ones((2, 16, 16), np.uint8))
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(9, 50, 9.1, 50.1)], crs=4326).to_file(
        home / "a.gpkg"
    )
    app = viewer([home])
    rng, got = random.Random(0), Counter()

    async def ask_all() -> None:
        for _ in range(10_000):
            path, _, query = fuzzed(rng, ["l0", "l1"]).partition("?")
            status, body = await asked(app, path, query)
            got[status] += 1
            assert status in (200, 400, 404, 405), (path, query)
            assert SECRET not in body, (path, query)
            assert status == 200 or "error" in json.loads(body), (path, query)

    asyncio.run(ask_all())
    assert got[404] > 1000
    assert got[200] > 50  # the fuzz also asks what there is


async def asked(app: Starlette, path: str, query: str) -> tuple[int, bytes]:
    """Status and body, from a request that no library has tidied up; paths are decoded, as by uvicorn."""
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": "",
             "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(),
             "headers": [(b"host", b"localhost")]}  # fmt: skip
    sent: list[dict] = []

    async def receive() -> dict:
        if not sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_raw_paths_reach_no_file(tmp_path):
    """What an HTTP library would tidy up, sent as it is."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    path = write(tmp_path / "image.tif", np.ones((1, 8, 8), np.uint8))
    from jido.web.serve import server

    runner = server(viewer([path]))
    with listening("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        port = sock.getsockname()[1]
        for raw in ("/static/../serve.py", "/static/%2e%2e/serve.py", "/../secret.txt", "//etc/passwd",
                    f"/static/{tmp_path}/secret.txt", "/static/..%2fview.py"):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
                line.sendall(f"GET {raw} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda line=line: line.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 404"), raw
            assert SECRET not in answer
        runner.should_exit = True
        thread.join(timeout=10)


# -- what is sent -------------------------------------------------------------------------------


def test_vendored_files_are_packed_and_asked_for_only_once(shown):
    answer = shown.get("/static/maplibre-gl.mjs", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/javascript")
    again = shown.get("/static/maplibre-gl.mjs", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    licence = shown.get("/static/maplibre-gl.LICENSE.txt").text
    assert "MapLibre contributors" in licence


def test_the_page_asks_for_nothing_but_its_own_files(shown):
    page = shown.get("/").text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?/", page)
    assert "<script>" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)


# -- as a folder --------------------------------------------------------------------------------


def test_an_export_is_the_same_page_with_its_tiles(jido, tmp_path, town, town_map):
    folder = tmp_path / "page"
    said = jido("view", town_map, town.others, "--export", folder, "--json", "--quiet")
    assert said.code == 0
    assert said.json["files"] == sum(path.is_file() for path in folder.rglob("*"))
    assert said.json["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    facts = json.loads((folder / "api/layers.json").read_text())
    assert facts["static"]
    app = client(viewer([town_map, town.others]))
    for layer in facts["layers"]:
        if layer["kind"] == "vector":
            assert (folder / f"api/features/{layer['id']}.json").is_file()
            continue
        for zoom in range(layer["minzoom"], layer["maxzoom"] + 1):
            for x, y in tiles_over(layer["bounds"], zoom):
                url = layer["tiles"].format(z=zoom, x=x, y=y)
                assert (folder / url).read_bytes() == app.get(f"/{url}").content
    assert not list((folder / "static").glob("rank*"))
    assert jido("view", town_map, "--export", folder, "--quiet").code == 0  # an earlier export is replaced


def test_an_export_is_bounded_and_says_what_is_missing(jido, tmp_path, town):
    said = jido("view", town.optical, "--export", tmp_path / "small", "--max-mb", 1, "--json")
    assert said.json["bytes"] < 4e6  # with the page itself
    assert any("coarser than they could be" in text for text in said.json["missing"])
    assert "MB in" in said.err


def test_an_export_replaces_nothing_of_the_users(refused, out, town_map):
    refused("view", town_map, "--export", out, says=("holds something else than an exported page",))


def test_many_tiles_at_once_are_all_answered(town):
    app = viewer([town.optical])
    layer = by_title(client(app), "image")
    zoom = layer["maxzoom"]
    urls = [layer["tiles"].format(z=zoom, x=x, y=y) for x, y in tiles_over(layer["bounds"], zoom)[:50]]

    async def ask_all() -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(asked(app, *f"/{url}".split("?")) for url in urls))

    answers = asyncio.run(ask_all())
    assert [status for status, _ in answers] == [200] * len(urls)
    assert all(body.startswith(b"\x89PNG") for _, body in answers)
