"""Made-up spectra of the sea by scene, and an image of it; round values, no substitute for real ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.data.spectra import Spectra
from jido.geo import Raster, identify

NAMES = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
# reflectance in 1/1000
MATERIALS = {
    "Water": (50, 48, 36, 22, 18, 15, 15, 12, 12, 6, 4),
    "Marine Debris": (55, 60, 55, 54, 48, 46, 50, 66, 52, 24, 16),
    "Sargassum": (45, 42, 52, 50, 95, 120, 145, 150, 140, 22, 13),
    "Foam": (90, 105, 100, 92, 84, 80, 78, 95, 74, 30, 18),
    "Ship": (110, 115, 118, 120, 121, 122, 124, 130, 126, 112, 92),
    "Clouds": (220, 225, 230, 235, 240, 245, 250, 255, 258, 200, 160),
}
LAND = (60, 65, 85, 80, 140, 220, 260, 280, 290, 210, 120)


def spectra(seed: int = 0, *, scenes: int = 14) -> Spectra:
    """Two spectra of each material in every scene, which has a light and a haze of its own."""
    rng = np.random.default_rng(seed)
    values, classes, names = [], [], []
    for scene in range(scenes):
        light, haze = rng.normal(1, 0.1), np.linspace(1, 0.2, len(NAMES)) * rng.normal(0, 0.004)
        for name, means in MATERIALS.items():
            for _ in range(2):
                mean = np.array(means) / 1000
                values.append(mean * light * rng.normal(1, 0.08) + haze + rng.normal(0, 0.002, len(NAMES)))
                classes.append(name)
                names.append(f"scene {scene}")
    text = (np.array(part, dtype=object) for part in (classes, names))
    return Spectra(np.array(values), identify(NAMES), *text, "made-up.csv")


def write_table(found: Spectra, path: Path, *, scene: bool = True) -> Path:
    """The spectra as a CSV with the columns class, scene, B1 .. B12."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["class", *(["scene"] * scene), *(b.name.replace("B0", "B") for b in found.bands)])
        for material, name, row in zip(found.classes, found.scenes, found.values, strict=True):
            table.writerow([material, *([name] * scene), *row])
    return path


def sea(seed: int = 5, *, side: int = 160, fill: str = "Water") -> tuple[Raster, np.ndarray]:
    """An image of 10 m pixels with a patch of each material and a strip of land, and what is where.

    Returns:
        The image, and names of the materials (y, x); ``land`` among them.
    """
    rng = np.random.default_rng(seed)
    what = np.full((side, side), fill, dtype=object)
    if fill == "Water":
        for place, name in enumerate(MATERIALS):
            top = 8 + 24 * place
            what[top : top + 8, 60:90] = name
        what[:, :20] = "land"
    means = {name: np.array(row) / 1000 for name, row in {**MATERIALS, "land": LAND}.items()}
    pixels = np.array([means[name] for name in what.ravel()]).reshape(side, side, len(NAMES))
    pixels = pixels + rng.normal(0, 0.0015, pixels.shape)
    grid = GeoBox((side, side), Affine(10, 0, 300_000, 0, -10, 1_700_000), "EPSG:32616")
    data = np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(np.float32)
    return Raster(data, identify(NAMES), grid), what
