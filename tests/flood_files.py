"""Simulated floods as files: pairs with masks of four events, and a fifth event to map."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pandas
import shapely
from conftest import Run, said_by
from rasterio.features import shapes

from jido.data.floods import Flood, simulate_flood
from jido.geo import Band, Raster
from jido.io import Scene, write_codes, write_image
from jido.labels import binary_scheme

SIDE = 160  # pixels of what is cut out of a simulated city, 16 of its cells
BANDS = ["B02", "B03", "B04", "B08"]
GRID = ("--grid", 400)
QUICK = "radii = [3]\ntrees = 20\n"


class Floods(NamedTuple):
    """Files that nobody changes."""

    before: Path
    after: Path
    masks: Path
    events: Path
    config: Path
    new: tuple[Path, Path]
    truth: Path
    people: Path
    built: Path
    polygons: Path

    @property
    def training(self) -> tuple[object, ...]:
        """The words of a training, without its package."""
        return (
            "indicator", "flood", self.before, self.after, "--labels", self.masks, "--preset", "smoke",
            "--tile", 64, "--config", self.config,
        )  # fmt: skip


def cut(raster: Raster, corner: tuple[int, int], *, bands: list[str] | None = None, scale: int = 1) -> Raster:
    """The part of :data:`SIDE` pixels from a corner; ``scale``: pixels of the images in one of the raster."""
    rows, cols = (slice(place // scale, (place + SIDE) // scale) for place in corner)
    whole = raster.select(bands) if bands else raster
    return Raster(whole.data[:, rows, cols], whole.bands, whole.geobox[rows, cols])


def corner_of(flood: Flood) -> tuple[int, int]:
    """The corner, in steps of a cell, of the part whose flooded share is nearest to a third."""
    places = [(y, x) for y in range(0, 161, 20) for x in range(0, 161, 20)]
    shares = [flood.flooded[y : y + SIDE, x : x + SIDE].mean() for y, x in places]
    return places[int(np.argmin(np.abs(np.array(shares) - 0.33)))]


def write_floods(folder: Path) -> Floods:
    """Simulate and write all of them."""
    files = Floods(
        *(folder / name for name in ("before", "after", "mask")), folder / "events.csv",
        folder / "quick.toml", (folder / "sim_2019-10-28.tif", folder / "sim_2019-12-08.tif"),
        *(folder / name for name in ("truth.tif", "people.tif", "built.tif", "all.gpkg")),
    )  # fmt: skip
    for part in files[:3]:
        part.mkdir(parents=True)
    files.config.write_text(QUICK)
    rows, outlines = ["image,event"], []
    for seed in range(5):
        flood = simulate_flood(seed, cells=32)
        corner = corner_of(flood)
        pair = [cut(image, corner, bands=BANDS) for image in (flood.before, flood.after)]
        flooded = flood.flooded[tuple(slice(place, place + SIDE) for place in corner)]
        if seed == 4:
            for image, path in zip(pair, files.new, strict=True):
                write_image(image, path)
            write_image(cut(flood.population, corner, scale=10), files.people)
            built = flood.buildings[tuple(slice(place, place + SIDE) for place in corner)]
            write_image(Raster(built[None], flood.population.bands, pair[0].geobox), files.built)
            truth = files.truth
        else:
            for image, part, word in zip(pair, files[:2], ("before", "after"), strict=True):
                write_image(image, part / f"e{seed}_{word}.tif")
            rows.append(f"e{seed}_before.tif,event {seed}")
            truth = files.masks / f"e{seed}_mask.tif"
            outlines.append((flooded, pair[0].geobox))
        write_codes(1 + flooded.astype(np.uint8), pair[0].geobox, truth, scheme=binary_scheme("flooded"))
    files.events.write_text("\n".join(rows) + "\n")
    _write_polygons(outlines, files.polygons)
    return files


def _write_polygons(outlines: list[tuple[np.ndarray, object]], path: Path) -> None:
    """The flooded ground of all training events as polygons in one CRS."""
    frames = []
    for flooded, grid in outlines:
        found = [
            shapely.geometry.shape(shape)
            for shape, code in shapes(flooded.astype(np.uint8), transform=grid.affine)
            if code
        ]
        frames.append(geopandas.GeoDataFrame(geometry=found, crs=grid.crs.to_wkt()).to_crs("EPSG:4326"))
    geopandas.GeoDataFrame(pandas.concat(frames, ignore_index=True)).to_file(path)


def rows(path: Path) -> list[dict[str, float]]:
    """A table of numbers; what is empty is NaN, ids are left out."""
    with path.open(newline="") as lines:
        table = list(csv.DictReader(lines))
    return [{key: float(cell or "nan") for key, cell in row.items() if key != "id"} for row in table]


def column(path: Path, name: str) -> np.ndarray:
    return np.array([row[name] for row in rows(path)])


def changed(raster: Raster, path: Path, data: np.ndarray, *, unit: str | None = None, **how: str) -> Path:
    """The same image with other numbers."""
    bands = tuple(
        band if unit is None else Band(band.name, band.sensor, band.common_name, unit=unit)
        for band in raster.bands
    )
    write_image(Raster(data.astype(np.float32), bands, raster.geobox), path, **how)
    return path


def whole(path: Path) -> Raster:
    with Scene([path]) as scene:
        return scene.read()


def map_flood(floods: Floods, package: Path, folder: Path) -> tuple[Path, Run]:
    """All that can be asked of a pair with a place."""
    with Scene(floods.new) as scene:
        grid = scene.geobox
    halves = [grid[:, : SIDE // 2], grid[:, SIDE // 2 :]]
    frame = geopandas.GeoDataFrame(
        {"id": ["west", "east"]}, geometry=[half.extent.geom for half in halves], crs=grid.crs.to_wkt()
    )
    frame.to_file(folder / "halves.gpkg")
    return folder / "out", said_by(
        "indicator", "flood", *floods.new, "--model", package, *GRID, "--population", floods.people,
        "--districts", folder / "halves.gpkg", "--top", 3, "-o", folder / "out/f", "--json",
    )  # fmt: skip
