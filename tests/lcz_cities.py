"""Two simulated cities on disk, for the tests of nets for Local Climate Zones; nobody changes the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.data import simulate_city
from jido.geo import Raster
from jido.io import read_image, write_image, write_labels

PRETRAIN = """
patch = 16
windows = 48
batch = 16
epochs = 2
encoder = {width = 4, kernels = 2}
settings = {hidden = 16, projected = 8}
"""
TRAIN = """
patch = 16
steps = 6
batch = 16
encoder = {width = 4, kernels = 2}
"""
OPTICAL = ("B02", "B04", "B08", "B11")


class Cities(NamedTuple):
    """Sentinel-1 and Sentinel-2 of two cities, polygons of the first, and settings of tiny nets.

    ``full`` has the ten bands of the first city, ``s2`` the four of :data:`OPTICAL`.
    """

    s1: Path
    s2: Path
    other_s1: Path
    other_s2: Path
    full: Path
    polygons: Path
    tiny_pretrain: Path
    tiny_train: Path

    @property
    def images(self) -> tuple[Path, Path]:
        return self.s1, self.s2

    @property
    def others(self) -> tuple[Path, Path]:
        return self.other_s1, self.other_s2


def make_cities(folder: Path) -> Cities:
    """32 x 32 cells each; the images of both have the same names."""
    names = "one/s1.tif one/s2.tif two/s1.tif two/s2.tif full.tif polygons.gpkg pretrain.toml train.toml"
    files = Cities(*(folder / name for name in names.split()))
    for seed, (radar, optical) in enumerate((files.images, files.others)):
        city = simulate_city(seed, cells=32)
        radar.parent.mkdir()
        write_image(city.radar, radar)
        write_image(city.optical.select(OPTICAL), optical)
        if seed == 0:
            write_image(city.optical, files.full)
            write_labels(city.polygons(36, seed=0), files.polygons)
    files.tiny_pretrain.write_text(PRETRAIN)
    files.tiny_train.write_text(TRAIN)
    return files


def changed(
    image: Path,
    path: Path,
    *,
    data: np.ndarray | None = None,
    bands: Sequence[str] = (),
    side: int | None = None,
    every: int = 1,
) -> Path:
    """A copy of an image with other numbers (its unit is then unsaid), of some bands, smaller or coarser."""
    raster = read_image(image)
    raster = raster if data is None else Raster(data.astype(np.float32), unsaid(raster), raster.geobox)
    raster = raster.select(bands) if bands else raster
    pixels, place = raster.data[:, :side:every, :side:every], raster.geobox.affine
    box = GeoBox(pixels.shape[1:], place * Affine.scale(every), raster.geobox.crs)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(Raster(np.ascontiguousarray(pixels), raster.bands, box), path)
    return path


def unsaid(raster: Raster) -> tuple:
    return tuple(replace(band, unit="") for band in raster.bands)


def power(image: Path, path: Path) -> Path:
    """Radar in linear power."""
    return changed(image, path, data=10 ** (read_image(image).data / 10))


def pretrain(cities: Cities, output: Path, *options: object, images: Iterable[Path] = ()) -> tuple:
    """The words of ``jido lcz pretrain``, of a tiny encoder."""
    return ("lcz", "pretrain", *(images or cities.images), "-o", output,
            "--config", cities.tiny_pretrain, *options)  # fmt: skip


def train(
    cities: Cities, output: Path, *options: object, images: Iterable[Path] = (), config: Path | None = None
) -> tuple:
    """The words of ``jido lcz train``, of a tiny net."""
    return ("lcz", "train", *(images or cities.images), "--labels", cities.polygons, "-o", output,
            "--folds", 2, "--config", config or cities.tiny_train, *options)  # fmt: skip
