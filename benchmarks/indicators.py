"""What indicators of a large scene cost, against reading it once.

``python benchmarks/indicators.py [--side 10980] [--json]`` writes a scene of four bands as Sentinel-2 has
them into a temporary folder, then measures green and water of 1 km cells. On a quiet machine; on a busy one
the CPU seconds tell more. A second core reads while the first one computes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

from jido.indicators.cells import grid_cells
from jido.indicators.green import GreenConfig, green
from jido.indicators.shares import bands_of_rows
from jido.indicators.water_scene import water_dates
from jido.io import peak_rss_mb
from jido.io.series import open_series


def scene(side: int) -> list[dict[str, Any]]:
    """Time of green and of water over a large scene, against reading it once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "S2_2021-07-05.tif"
        writer = get_context("spawn").Process(target=write_scene, args=(path, side))
        writer.start()  # in a process of its own: its memory is not that of the indicators
        writer.join()
        rows: list[dict[str, Any]] = []
        with open_series([path]) as series:
            image, cells = series.images[0].scene, grid_cells(series.geobox.extent)
            tasks: dict[str, Callable[[], object]] = {
                "read": lambda: sum(image.pixels(w, image.names).size for w in bands_of_rows(image.geobox)),
                "green": lambda: green(series, cells, GreenConfig()),
                "water": lambda: water_dates(series, cells, whole=False),
            }
            for name, task in tasks.items():
                start, busy = time.perf_counter(), time.process_time()
                task()
                found = {"seconds": time.perf_counter() - start, "CPU seconds": time.process_time() - busy}
                rows.append({"task": name} | {clock: round(took, 1) for clock, took in found.items()})
                for clock, times in (("seconds", "times reading"), ("CPU seconds", "CPU times reading")):
                    rows[-1][times] = round(rows[-1][clock] / max(rows[0][clock], 0.1), 2)
                rows[-1] |= {"megapixels": round(side**2 / 1e6, 1), "peak MB": round(peak_rss_mb())}
    return rows


def write_scene(path: Path, side: int) -> None:
    """Green, red, near and short-wave infrared as Sentinel-2 numbers: smooth land with noise, and lakes."""
    rng, names = np.random.default_rng(0), ("B03", "B04", "B08", "B11")
    low = ndimage.zoom(rng.normal(size=(60, 60)), side / 60, order=1)[:side, :side].astype(np.float32)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 4, "dtype": "uint16", "nodata": 0,
               "crs": "EPSG:32633", "transform": Affine(10, 0, 499_980, 0, -10, 5_000_040), "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}  # fmt: skip
    with rasterio.open(path, "w", **profile) as sink:
        for band, (name, land, water, gain) in enumerate(
            zip(names, (800, 700, 2500, 1800), (700, 500, 300, 150), (100, -200, 600, 300), strict=True),
            start=1,
        ):
            numbers = np.where(low < -1.3, water, land + gain * low) + 80 * rng.normal(size=low.shape)
            sink.write(np.clip(numbers, 1, 10_000).astype(np.uint16), band)
            sink.set_band_description(band, name)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_980)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = scene(args.side)
    if args.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{name} {part}" for name, part in row.items()))


if __name__ == "__main__":
    main()
