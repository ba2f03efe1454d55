"""The main job on a simulated city: from files to an assessed map."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jido.data import City, simulate_city
from jido.io import Progress, Scene, write_codes, write_image, write_labels
from jido.labels import Labels
from jido.maps.assess import assess
from jido.maps.engine import map_scene
from jido.methods import load_model
from jido.methods.forest import ForestConfig, train_forest
from jido.stats import figure

POLYGONS = 120
"""Training polygons of the demo: a good week's work of one person."""


def _write_inputs(city: City, folder: Path, *, seed: int) -> tuple[Labels, Labels]:
    """Images, training polygons, other polygons, and the truth nobody has in real life."""
    training = city.polygons(POLYGONS, seed=seed)
    others = city.polygons(POLYGONS, seed=seed + 1, avoid=training)
    write_image(city.radar, folder / "sentinel1.tif")
    write_image(city.optical, folder / "sentinel2.tif")
    write_labels(training, folder / "training.gpkg")
    write_labels(others, folder / "other_polygons.gpkg")
    write_codes(city.lcz, city.grid, folder / "truth.tif", scheme=training.scheme)
    return training, others


def _whole_map(path: Path, city: City) -> float:
    """Share of all cells with the right class: known here because the city is simulated."""
    import rasterio

    with rasterio.open(path) as source:
        codes = source.read(1)
    return float((codes == city.lcz)[codes != 255].mean())


def run_demo(folder: str | Path, *, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Simulate, train, map and judge in four ways; everything lands in ``folder``.

    Returns:
        JSON-ready: ``map``, ``report``, ``model``, ``inputs``, ``seconds`` and ``judged``, rows of
        ``by`` (words) and ``oa`` (figure).
    """
    start = time.perf_counter()
    folder = Path(folder)
    inputs = folder / "input"
    city = simulate_city(seed)
    training, others = _write_inputs(city, inputs, seed=seed)
    images = [inputs / "sentinel1.tif", inputs / "sentinel2.tif"]
    with Scene(images) as scene:
        model = train_forest(
            scene, training, config=ForestConfig(seed=seed), leaky_too=True, progress=progress
        )
        model.save(folder / "model")
        made = map_scene(
            load_model(folder / "model"),
            scene,
            folder / "map.tif",
            report=folder / "report.html",
            progress=progress,
        )
    return {
        "map": str(made.path),
        "report": str(made.report),
        "model": str(folder / "model"),
        "inputs": str(inputs),
        "seconds": round(time.perf_counter() - start, 1),
        "judged": [
            {"by": "held-out polygons (5 folds): the honest one", "oa": model.evaluation["metrics"]["oa"]},
            {"by": "other polygons of the same city", "oa": assess(made.path, others)["metrics"]["oa"]},
            {"by": "every cell (known only in a simulation)", "oa": figure(_whole_map(made.path, city))},
            {"by": "random pixels: LEAKS, too good", "oa": model.evaluation["leaky"]["metrics"]["oa"]},
            {
                "by": "its own training polygons: no accuracy",
                "oa": assess(made.path, training)["metrics"]["oa"],
            },
        ],
    }
