"""Water on a labelled chip, a simulated lake, and intervals in unseen cities.

python experiments/indicators.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--out DIR] [--json]

The green study, the 81 lakes and Hong Kong's heat have scripts of their own (green_happiness.py,
water_lakes.py, heat_hongkong.py), and so has the time that a large scene takes (benchmarks/indicators.py).
Finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, write_results
from scipy import ndimage

from jido.data import simulate_city
from jido.data.lakes import simulate_lake
from jido.geo import INDICES, Band, Raster
from jido.indicators.cells import Cells, grid_cells
from jido.indicators.green import GreenConfig, green
from jido.indicators.shares import Placed, cell_sums
from jido.indicators.water import fixed_shore, water_plane
from jido.indicators.water_scene import RADAR, water_dates, water_signal
from jido.indicators.water_signals import SIGNALS
from jido.io import read_image, write_image
from jido.io.series import open_series

HERE = Path(__file__).resolve().parent
SIZES = {"smoke": (2, 2), "cpu": (20, 8), "full": (100, 24)}
"""Cities, and dates of a lake."""


def chip(data: Path) -> list[dict[str, Any]]:
    """IoU with the hand label, per method, with the threshold of the shores and with the published one."""
    label = read_image(data / "Spain_7370579_LabelHand.tif").data[0]
    known, truth, rows = label >= 0, label == 1, []
    for method in SIGNALS:
        name = "S1Hand" if method in RADAR else "S2Hand"
        with open_series([data / f"Spain_7370579_{name}.tif"], dates=["2019-01-01"]) as series:
            place = np.array([series.geobox.extent.geom])
            whole = Cells(place, np.array(["chip"]), series.geobox.crs, "chip")
            found = water_dates(series, whole, method=method)
            bands = () if method in RADAR else INDICES[method].bands
            read = series.as_reflectance(bands, exact=False) if bands else series
            plane, _ = water_signal(read, 0, method, (slice(0, 512), slice(0, 512)))
        for rule, shore in (("shores", found.shores[0]), ("published", fixed_shore(SIGNALS[method]))):
            wet = (water_plane(plane, shore) == 1) & known
            rows.append({
                "method": method, "threshold by": rule, "threshold": round(shore.threshold, 3),
                "IoU": round(float((wet & truth).sum() / (wet | truth & known).sum()), 4),
            })  # fmt: skip
    return rows


def lake(seed: int, dates: int) -> dict[str, Any]:
    """A shrinking lake at 10 % cloud: how far its areas are off, and whether intervals hold the truth."""
    made = simulate_lake(seed, pixels=128, years=dates // 2, dates_a_year=2, cloud=0.1)
    with tempfile.TemporaryDirectory() as folder:
        for place, day in enumerate(made.dates.astype(str)):
            image = made.image(place)
            write_image(image, Path(folder) / f"S2_{day}.tif")
            mask = np.where(made.clouds(place), 1, np.nan)[None].astype(np.float32)
            clouds = Raster(mask, (Band("clouds"),), image.geobox)
            write_image(clouds, Path(folder) / f"c_{day}.tif", dtype="uint8")
        paths, masks = sorted(Path(folder).glob("S2*")), sorted(Path(folder).glob("c_*"))
        with open_series(paths, clouds=masks) as series:
            outline = np.array([made.outline().buffer(30)])
            found = water_dates(series, Cells(outline, np.array(["lake"]), series.geobox.crs, "lake"))
    area, se = found.column("area_m2")[:, 0], found.column("se")[:, 0]
    off = area / made.area_m2 - 1
    held = float((np.abs(area - made.area_m2) <= 1.96 * se).mean())
    figures = {"mean error": float(np.abs(off).mean()), "bias": float(off.mean()), "held": held}
    return {"dates": len(off)} | {name: round(figure, 4) for name, figure in figures.items()}


def city(seed: int) -> dict[str, Any]:
    """NDVI of an unseen city on 4 dates with correlated noise: do intervals hold what is under the noise?"""
    made, rng = simulate_city(seed, cells=64), np.random.default_rng([seed, 5])
    image = made.optical.select(["B04", "B08"])
    red, nir = np.clip(image.data, 0.01, 1)
    held: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for day in range(1, 5):
            noise = ndimage.gaussian_filter(rng.normal(size=red.shape), 4) * 8 * np.sqrt(np.pi) * 0.05
            seen = np.stack([red, nir * np.exp(noise)]).astype(np.float32)
            write_image(Raster(seen, image.bands, image.geobox), Path(folder) / f"S2_2021-07-{day:02}.tif")
        with open_series(sorted(Path(folder).glob("*.tif"))) as series:
            cells = grid_cells(series.geobox.extent, size_m=640, crs=series.geobox.crs)
            for value in ("ndvi", "share"):
                table, _ = green(series, cells, GreenConfig(value=value, months=(7,)), seed=seed)
                held[value] = inside(table, cells, image, value)
    return {name: round(float(np.mean(hits)), 3) for name, hits in held.items()} | {
        "cells": len(held["ndvi"])
    }


def inside(table: Any, cells: Cells, image: Raster, value: str) -> list[bool]:
    """Whether each cell's interval holds the figure of the image without noise."""
    red, nir = np.clip(image.data, 0.01, 1)
    ndvi = (nir - red) / (nir + red)
    plane = ndvi if value == "ndvi" else (ndvi > 0.4).astype(np.float32)
    placed = Placed(cells, image.geobox)
    truth = cell_sums(placed, image.geobox, lambda w: plane[None][(slice(None), *w)]).mean[0]
    kept = ~table.empty & np.isfinite(truth)
    return ((table.lower <= truth + 1e-9) & (truth <= table.upper + 1e-9))[kept].tolist()


def main() -> None:
    """All rows, and their tables in RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data" / "water")
    parser.add_argument("--out", type=Path, default=HERE.parent / "runs" / "indicators")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cities, dates = SIZES[args.preset]
    rows = Rows(args.out / args.preset / "rows.jsonl")

    def kept(settings: dict[str, Any], make: Callable[[], Any]) -> Any:
        return (rows.get(settings) or rows.add(settings, {"found": make()}))["found"]

    told: dict[str, list[dict[str, Any]]] = {}
    if args.data.exists():
        told["chip"] = kept({"row": "chip"}, lambda: chip(args.data))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    told["lakes"] = [
        {"seed": s} | kept({"row": "lake", "seed": s, "dates": dates}, lambda s=s: lake(s, dates))
        for s in seeds
    ]
    every = [kept({"row": "city", "seed": s}, lambda s=s: city(s)) for s in range(cities)]
    mean = {name: round(float(np.mean([one[name] for one in every])), 3) for name in ("ndvi", "share")}
    told["cities"] = [{"cities": cities, "cells": sum(one["cells"] for one in every)} | mean]
    if args.json:
        print(json.dumps(told))
        return
    text = "\n\n".join(table(part) for part in told.values())
    print(text)
    if args.preset != "smoke":
        write_results(
            "indicators", f"{text}\n\n`python experiments/indicators.py --preset {args.preset}`; 2 cores."
        )


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    head = [*rows[0]]
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
