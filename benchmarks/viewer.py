"""How fast the viewer is on a scene of 20,000 x 20,000 pixels, and what a page weighs.

    python benchmarks/viewer.py [--json] [--side 20000] [--scene FILE]

Makes a Cloud-Optimised GeoTIFF (3 bands of bytes) in a temporary folder, serves it from a process of its own
as `jido view` does, and measures from another one: single tiles at random places and zooms, 50 tiles at once,
the bytes of the page as sent, and the first view in Chromium where that and Playwright are installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

AIMS = {
    "first_view_s": 2.0,
    "tile_median_ms": 150.0,
    "errors_of_50_at_once": 0,
    "page_mb": 0.8,
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def make_scene(path: Path, side: int) -> None:
    """A COG of hills and noise, written by strips: it packs about as well as a real image."""
    import rasterio
    from rasterio.shutil import copy

    rng = np.random.default_rng(0)
    plain = path.with_name("plain.tif")
    place = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_600_000)
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32632",
    }
    waves = 60 * np.sin(np.arange(side) / 700)[None]
    with rasterio.open(
        plain, "w", transform=place, tiled=True, blockxsize=512, blockysize=512, **profile
    ) as sink:
        for top in range(0, side, 512):
            rows = min(512, side - top)
            hills = 110 + waves + 40 * np.cos(np.arange(top, top + rows) / 500)[:, None]
            for band in (1, 2, 3):
                noise = rng.integers(0, 8 * band, (rows, side), dtype=np.uint8)
                sink.write((hills + noise).astype(np.uint8), band, window=((top, top + rows), (0, side)))
        sink.colorinterp = [rasterio.enums.ColorInterp[name] for name in ("red", "green", "blue")]
    copy(
        plain,
        path,
        driver="COG",
        compress="DEFLATE",
        level=1,
        predictor="YES",
        blocksize=512,
        bigtiff="IF_SAFER",
    )
    plain.unlink()


def serve(scene: Path) -> tuple[subprocess.Popen[str], str, float]:
    """`jido view` in a process, its address, and how long it took to answer."""
    begun = time.perf_counter()
    program = "from jido.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "view", str(scene), "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"], time.perf_counter() - begun


def get(url: str) -> tuple[int, int, float]:
    """Status, bytes and seconds of one request."""
    begun = time.perf_counter()
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, len(answer.read()), time.perf_counter() - begun


def random_tiles(layer: dict[str, Any], count: int, rng: np.random.Generator) -> list[str]:
    """Addresses of different tiles inside the scene, of zooms from the whole of it to single pixels."""
    from jido.web.tiles import tiles_over

    first = max(z for z in range(25) if len(tiles_over(tuple(layer["bounds"]), z)) <= 4)
    found: dict[str, None] = {}
    while len(found) < count:
        zoom = int(rng.integers(first, layer["maxzoom"] + 1))
        places = tiles_over(tuple(layer["bounds"]), zoom)
        x, y = places[rng.integers(len(places))]
        found[layer["tiles"].format(z=zoom, x=x, y=y)] = None
    return list(found)


def first_view(url: str) -> float | None:
    """Seconds from the address to a map that is drawn, the second time (the browser is then awake)."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if CHROMIUM is None:
        return None
    taken = 0.0
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader", "--no-first-run"]
        )
        for _ in range(2):
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            begun = time.perf_counter()
            page.goto(url)
            page.locator("html[data-ready]").wait_for(state="attached", timeout=60_000)
            taken = time.perf_counter() - begun
            page.context.close()
        browser.close()
    return taken


def page_weight(url: str) -> tuple[float, float]:
    """Megabytes of the page and all that it loads but tiles: as sent, and unpacked."""
    names = {"": None, "api/layers.json": None}
    for name in ("view.js", "view.css", "maplibre-gl.css", "maplibre-gl.mjs", "maplibre-gl-worker.mjs"):
        names[f"static/{name}"] = None
    sent = plain = 0
    todo = list(names)
    while todo:
        name = todo.pop()
        request = urllib.request.Request(url + name, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
            sent += len(body)
            body = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
            plain += len(body)
        if name.startswith("static/view"):  # its modules
            found = {f"static/{one}" for one in re.findall(r"from \"\./([\w.-]+)\"", body.decode())}
            todo += [one for one in found if one not in names]
            names |= dict.fromkeys(found)
    return sent / 1e6, plain / 1e6


def measure(scene: Path) -> dict[str, float | None]:
    """All figures."""
    process, url, start = serve(scene)
    try:
        view = first_view(url)
        with urllib.request.urlopen(url + "api/layers.json") as answer:
            layer = json.load(answer)["layers"][0]
        rng = np.random.default_rng(1)
        urls = random_tiles(layer, 150, rng)
        single = [get(url + one)[2] for one in urls[:100]]
        begun = time.perf_counter()
        with ThreadPoolExecutor(50) as pool:
            many = list(pool.map(lambda one: get(url + one), urls[100:]))
        seconds = time.perf_counter() - begun
        sent, plain = page_weight(url)
    finally:
        process.terminate()
        process.wait(timeout=20)
    return {
        "start_s": start,
        "first_view_s": view,
        "tile_median_ms": 1000 * statistics.median(single),
        "tile_p95_ms": 1000 * statistics.quantiles(single, n=20)[-1],
        "errors_of_50_at_once": sum(status != 200 for status, _, _ in many),
        "50_at_once_s": seconds,
        "page_mb": sent,
        "page_unpacked_mb": plain,
    }


def main() -> None:
    """Print a table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--scene", type=Path, help="take this scene instead of making one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = options.scene or Path(folder) / "scene.tif"
        if options.scene is None:
            make_scene(scene, options.side)
        figures = measure(scene)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        aim = f"   aim: {AIMS[name]:g}" if name in AIMS else ""
        print(f"{name:24} {'not measured' if value is None else f'{value:.3f}'}{aim}")


if __name__ == "__main__":
    main()
