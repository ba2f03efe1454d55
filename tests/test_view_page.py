"""The viewer as people see it: in Chromium, with the mouse, by the keyboard, and without the internet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from affine import Affine

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("rio_tiler", reason="the extra web is not installed")

from browser import asked, browsing, elsewhere, serious, serving, until
from starlette.staticfiles import StaticFiles

from jido.io import aux_xml
from jido.labels import ClassScheme, LandClass
from jido.web.export import export_view
from jido.web.view import viewer

SCHEME = ClassScheme(
    "own", (LandClass(1, "w", "Water", "#2166AC"), LandClass(2, "f", "Forest <b>", "#1B7837"))
)  # names of files are text, never markup
READY = "document.documentElement.hasAttribute('data-ready')"


class Shown(NamedTuple):
    """A page on a map of two classes and two images of the same ground."""

    page: Any
    address: str
    seen: list[str]
    errors: list[str]
    codes: np.ndarray


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A map, its codes, and two images with a day in their name."""
    folder = tmp_path_factory.mktemp("page")
    place = {"crs": "EPSG:32632", "transform": Affine(100, 0, 500_000, 0, -100, 5_600_000)}
    profile = {"driver": "GTiff", "width": 32, "height": 32, "nodata": 255, "dtype": "uint8", **place}
    codes = np.where(np.arange(32)[None] < 16, 1, 2).astype(np.uint8).repeat(32, axis=0)
    with rasterio.open(folder / "map.tif", "w", count=3, **profile) as sink:
        sink.write(np.stack([codes, np.full((32, 32), 80, np.uint8), (codes == 2).astype(np.uint8)]))
        for i, name in enumerate(("class", "confidence", "abstain"), start=1):
            sink.set_band_description(i, name)
    (folder / "map.tif.aux.xml").write_text(aux_xml(SCHEME, (1,)), encoding="utf-8")
    days = []
    for day, level in (("20210601", 40), ("20210701", 200)):
        days.append(folder / f"image_{day}.tif")
        with rasterio.open(days[-1], "w", count=3, **profile) as sink:
            sink.write(
                np.arange(level, level + 3 * 1024, dtype=np.uint32).reshape(3, 32, 32).astype(np.uint8) // 2
            )
    return [folder / "map.tif", *days], codes


@pytest.fixture(scope="module")
def place(files):
    """A browser and the address of the viewer; one of each for all tests."""
    with serving(viewer(files[0])) as address, browsing() as browser:
        yield browser, address


@pytest.fixture
def shown(place, files, request) -> Iterator[Shown]:
    browser, address = place
    page = browser.new_page(**{"viewport": {"width": 1000, "height": 640}, **getattr(request, "param", {})})
    seen, errors = asked(page), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(address)
    until(page, READY, seconds=60)
    yield Shown(page, address, seen, errors, files[1])
    page.close()
    assert errors == []
    assert elsewhere(seen, address) == []


def on_map(page, lon, lat):
    """Where a place is on the screen."""
    box = page.locator("#map").bounding_box()
    at = until(page, "location.hash")
    zoom, middle_lat, middle_lon = map(float, at[4:].split("/")[:3])
    x, y = (mercator(lon, lat, zoom)[i] - mercator(middle_lon, middle_lat, zoom)[i] for i in (0, 1))
    return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y


def mercator(lon, lat, zoom):
    scale = 512 * 2**zoom
    return scale * (lon / 360 + 0.5), scale * (0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi))


def lonlat(files, row, col):
    from rasterio.warp import transform

    with rasterio.open(files[0][0]) as source:
        (lon,), (lat,) = transform(source.crs, "EPSG:4326", *([v] for v in source.xy(row, col)))
    return lon, lat


def test_the_page_shows_the_map_with_its_legend(shown):
    page = shown.page
    assert page.title() == "map.tif and 2 more · Jido"
    assert page.locator("#layer-l0 .legend li").all_inner_texts() == ["w Water", "f Forest <b>"]
    swatches = page.locator("#layer-l0 .swatch").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert swatches == ["rgb(33, 102, 172)", "rgb(27, 120, 55)"]
    assert any("/tiles/l0/" in url for url in shown.seen)
    assert not any("/tiles/l1/" in url for url in shown.seen)  # what is not shown is not asked for
    assert serious(page) == []


def test_a_click_says_what_the_file_says(shown, files):
    page = shown.page
    for row, col in ((3, 4), (20, 15), (20, 16)):
        page.locator("#here").evaluate("here => here.replaceChildren()")
        page.mouse.click(*on_map(page, *lonlat(files, row, col)))
        table = page.locator("#here table").first
        table.wait_for()
        rows = dict(row.split("\t") for row in table.inner_text().splitlines()[1:])
        name = "w Water" if shown.codes[row, col] == 1 else "f Forest <b>"
        unsure = "sure" if shown.codes[row, col] == 1 else "unsure"
        assert {k: v.strip() for k, v in rows.items()} == {
            "class": name,
            "confidence": "80 %",
            "abstain": unsure,
        }


def test_the_keyboard_does_what_the_mouse_does(shown):
    page = shown.page
    page.locator("#map canvas").focus()
    before = page.evaluate("location.hash")
    page.keyboard.press("ArrowRight")
    until(page, f"location.hash !== '{before}'")
    page.keyboard.press("Enter")
    page.locator("#here table").first.wait_for()
    assert "° N" in page.locator("#here-place").inner_text()
    page.locator("#layer-l1 input").first.focus()
    page.keyboard.press("Space")
    page.locator("#layer-l1 .ramp").wait_for()
    opacity = page.locator("#opacity-l1")
    opacity.focus()
    page.keyboard.press("Home")
    assert opacity.input_value() == "0"


def test_two_layers_are_compared_at_a_divider(shown, files):
    page = shown.page
    page.get_by_label("Compare with").select_option("l3")
    divider = page.get_by_role("slider", name="Divider")
    divider.wait_for()
    until(page, "performance.getEntriesByType('resource').some(one => one.name.includes('/tiles/l3/'))")
    divider.focus()
    cut = "document.getElementById('over').style.clipPath"
    half = page.evaluate(cut)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert divider.input_value() == "47"
    assert page.evaluate(cut) != half
    assert divider.get_attribute("aria-valuetext").startswith("47 %")
    page.keyboard.press("Home")  # all of it is to the right now
    page.mouse.click(*on_map(page, *lonlat(files, 10, 10)))
    page.get_by_role("heading", name="image_20210601.tif", exact=True).nth(1).wait_for()
    page.get_by_label("Compare with").select_option("")
    assert page.locator("#divider").is_hidden()


def test_the_slider_goes_through_the_days(shown):
    page = shown.page
    page.get_by_label("Day").focus()
    page.keyboard.press("End")
    assert page.locator("#time-day").inner_text() == "2021-07-01"
    page.locator("#layer-l4 input").first.wait_for()
    assert page.locator("#layer-l4 input").first.is_checked()
    page.keyboard.press("Home")
    assert not page.locator("#layer-l4 input").first.is_checked()
    assert page.locator("#layer-l3 input").first.is_checked()


def test_bands_of_an_image_are_chosen(shown):
    page = shown.page
    page.locator("#layer-l3 input").first.check()
    page.get_by_label("Bands of image_20210601.tif").select_option("one")
    until(page, "performance.getEntriesByType('resource').some(one => one.name.includes('&bands=1'))")
    page.locator("#layer-l3 .ramp").wait_for()


@pytest.mark.parametrize("shown", [{"color_scheme": "dark"}], indirect=True)
def test_dark_is_dark_and_can_be_changed(shown):
    page = shown.page
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(29, 35, 42)"
    assert serious(page) == []
    page.get_by_role("button", name="Colours: auto").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Colours: light").click()
    assert page.evaluate(paper) == "rgb(29, 35, 42)"


COVERED = """(() => {
    const one = document.activeElement, map = document.getElementById("stage");
    const box = one.getBoundingClientRect();
    const seen = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return map.contains(seen) && !map.contains(one);
})()"""


@pytest.mark.parametrize("shown", [{"viewport": {"width": 360, "height": 640}}], indirect=True)
def test_on_a_telephone_and_enlarged_everything_can_be_reached(shown):
    """Nothing beside the screen, and what has the focus not beneath the map (WCAG 2.2, 2.4.11)."""
    page = shown.page
    assert serious(page) == []
    for width, height in ((360, 640), (640, 400)):  # the second is a small screen at 200 %
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        steps = 0
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement !== document.body"):  # the end
            assert not page.evaluate(COVERED), steps
            steps += 1
            assert steps < 60
            page.keyboard.press("Tab")
        assert steps > 8


def test_behind_a_prefix_everything_is_found(place, files):
    """As behind JupyterHub, whose proxy takes the prefix off before it asks us."""
    browser, _ = place
    inner = viewer(files[0], token="a-long-token")

    async def proxy(scope, receive, send):
        assert scope["path"].startswith("/user/kim/proxy/8000/")
        path = scope["path"].removeprefix("/user/kim/proxy/8000")
        headers = [(k, v) for k, v in scope["headers"] if k != b"host"] + [(b"host", b"hub.example")]
        await inner(scope | {"path": path, "raw_path": path.encode(), "headers": headers}, receive, send)

    with serving(proxy) as address:
        page = browser.new_page()
        failed = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{address}user/kim/proxy/8000/?token=a-long-token")
        until(page, READY, seconds=60)
        assert "token" not in page.url
        assert failed == []
        page.context.close()


def test_an_exported_page_needs_only_a_file_server(place, files, tmp_path):
    browser, _ = place
    export_view(files[0], tmp_path / "site", max_bytes=10_000_000)
    with serving(StaticFiles(directory=tmp_path, html=True)) as address:
        page = browser.new_page()
        seen, failed = asked(page), []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{address}site/")
        until(page, READY, seconds=60)
        page.mouse.click(*on_map(page, *lonlat(files, 20, 15)))
        page.locator("#here table").first.wait_for()
        assert "w Water" in page.locator("#here table").first.inner_text()
        assert failed == []
        assert elsewhere(seen, address) == []
        page.close()
