"""Any scene through any model into one map package, window by window.

Memory depends on the size of a tile, not of the scene. Tiles are predicted by several threads,
each tile by one, so the bytes of the map do not depend on how many there are.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError, ModelError, OutputError
from jido.geo import Tile, Window, coarse_valid, coarser, lattice, pixel_size_m, scaled
from jido.io import Progress, Scene, aux_xml, file_sha256, geotiff_profile, json_text, qml, replacing_together
from jido.maps.page import html_report
from jido.maps.postfilter import gaussian_filter_lcz, reach
from jido.maps.report import map_report
from jido.methods import Model

NODATA = 255
"""Of every band of a map: 0 is a value of the ``abstain`` band."""

TILE = 256
"""Side of a tile in pixels, rounded down to whole cells."""


@dataclass(frozen=True)
class MapResult:
    """What a run of the engine did.

    Args:
        path: the map.
        report: its HTML report; the same name with ``.json`` holds the facts.
        tiles: number of tiles.
        megapixels: pixels read, in millions.
        seconds: wall-clock time.
        peak_rss_mb: highest memory of the process so far, in MB.
    """

    path: Path
    report: Path
    tiles: int
    megapixels: float
    seconds: float
    peak_rss_mb: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``jido map``; ``resumed_bands`` is 0 because every run starts anew."""
        facts = asdict(self) | {"map": str(self.path), "report": str(self.report), "resumed_bands": 0}
        del facts["path"]
        return facts


def band_names(model: Model) -> tuple[str, ...]:
    """Bands of a map package; LCZ maps use the names of the LCZ Generator."""
    if model.scheme.name == "lcz":
        return ("lcz", "lczFilter", "classProbability", "abstain")
    return ("class", "confidence", "abstain")


def require_fit(model: Model, scene: Scene) -> None:
    """Refuse a scene that the model was not made for.

    Raises:
        ModelError: when bands are missing or pixels are of another size than in training.
        ImageError: when the scene is smaller than one cell.
    """
    missing = [band.name for band in model.bands if band.name not in scene.names]
    if missing:
        raise ModelError(
            f"The model reads bands {', '.join(missing)} that are missing; the images have "
            f"{', '.join(scene.names)}: give the same images, in the same order, as in training."
        )
    _require_order(model, scene)
    here = pixel_size_m(scene.geobox)
    if any(abs(a / b - 1) > 0.1 for a, b in zip(here, model.pixel_m, strict=True)):
        raise ModelError(
            f"The model was trained on pixels of {model.pixel_m[0]:.4g} x {model.pixel_m[1]:.4g} m, the "
            f"image has {here[0]:.4g} x {here[1]:.4g} m: resample the image or train on its resolution."
        )
    if 0 in tuple(coarser(scene.geobox, model.stride).shape):
        raise ImageError(f"{scene.paths[0]} is smaller than one cell of {model.stride} pixels.")


def _require_order(model: Model, scene: Scene) -> None:
    """The images of the training, but in another order or one of them twice, would give a wrong map."""
    trained = list(model.evaluation.get("images", []))
    here = [path.name for path in scene.paths]
    if len(set(trained)) == len(trained) and set(here) <= set(trained) and here != trained:
        raise ModelError(
            f"The model was trained on {', '.join(trained)}, in this order, but is given {', '.join(here)}: "
            "give every image once and in the order of the training."
        )


def _predict(model: Model, scene_data: np.ndarray, valid: np.ndarray, tile: Tile) -> np.ndarray:
    """Probabilities (K, y, x) of the core of a tile, NaN where the image has no data."""
    inner = scaled(tile.inner, model.stride)
    core = model.predict(scene_data[None])[0][(slice(None), *inner)]
    return np.where(coarse_valid(valid, model.stride)[inner], core, np.nan)


def probabilities_by_tile(
    model: Model, scene: Scene, *, tile: int = TILE, workers: int = 1
) -> Iterator[tuple[Window, np.ndarray]]:
    """Window of cells and probabilities (K, y, x) of every tile, in lattice order.

    Reading runs in the calling thread, prediction in ``workers`` threads, at most twice as many
    tiles are held as there are threads.
    """
    stride = model.stride
    grid = coarser(scene.geobox, stride)
    side = max(tile // stride, 1) * stride
    shape = (grid.shape.y * stride, grid.shape.x * stride)
    names = [band.name for band in model.bands]
    waiting: deque[tuple[Window, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for one in lattice(shape, tile=side, halo=model.halo):
                raster = scene.read(one.read).select(names)
                job = pool.submit(_predict, model, raster.data, raster.valid, one)
                waiting.append((scaled(one.core, stride), job))
                if len(waiting) >= 2 * workers:
                    window, job = waiting.popleft()
                    yield window, job.result()
            while waiting:
                window, job = waiting.popleft()
                yield window, job.result()
        finally:
            for _, job in waiting:
                job.cancel()


def _planes(model: Model, probability: np.ndarray) -> dict[str, np.ndarray]:
    """Class code, confidence in % and abstention of a tile, uint8 with :data:`NODATA`."""
    empty = np.isnan(probability[0])
    confidence = probability.max(axis=0)
    codes = np.array(model.scheme.codes, dtype=np.uint8)[np.nan_to_num(probability).argmax(axis=0)]
    with np.errstate(invalid="ignore"):
        percent = np.rint(confidence * 100)
        unsure = confidence < model.abstain_below
    planes = {"class": codes, "confidence": np.nan_to_num(percent), "abstain": unsure}
    return {k: np.where(empty, NODATA, v).astype(np.uint8) for k, v in planes.items()}


def _write_scratch(
    path: Path,
    model: Model,
    scene: Scene,
    grid: GeoBox,
    *,
    tile: int,
    workers: int,
    progress: Progress | None,
) -> int:
    """The map as a plain GeoTIFF; gives the number of tiles."""
    names = band_names(model)
    lcz = names[0] == "lcz"
    profile = geotiff_profile(grid, count=len(names), dtype="uint8", nodata=NODATA)
    profile |= {"compress": "none", "predictor": 1, "photometric": "MINISBLACK", "alpha": "NO"}
    # by pixel, writing one band into a block left sparse (all nodata) would give the others 0
    profile["interleave"] = "band"
    side = max(tile // model.stride, 1)
    total = -(-grid.shape.y // side) * -(-grid.shape.x // side)
    done, seen = 0, False
    with rasterio.open(path, "w+", **profile) as sink:
        for i, name in enumerate(names, start=1):
            sink.set_band_description(i, name)
        for done, (window, probability) in enumerate(
            probabilities_by_tile(model, scene, tile=tile, workers=workers), start=1
        ):
            planes = _planes(model, probability)
            seen |= bool((planes["class"] != NODATA).any())
            order = ("class", "class", "confidence", "abstain") if lcz else tuple(planes)
            sink.write(np.stack([planes[k] for k in order]), window=DiskWindow.from_slices(*window))
            if progress:
                progress("predicting tiles", done, total)
        if not seen:
            raise ImageError(
                f"{scene.paths[0]} has no data at all (every pixel is nodata): give other images."
            )
        if lcz:
            _filter_band(sink, grid)
    return done


def _filter_band(sink: rasterio.io.DatasetWriter, grid: GeoBox) -> None:
    """Band 2 = band 1 through the LCZ filter, by windows."""
    cell_m = pixel_size_m(grid)
    for one in lattice((grid.shape.y, grid.shape.x), tile=TILE, halo=reach(min(cell_m))):
        codes = sink.read(1, window=DiskWindow.from_slices(*one.read))
        filtered = gaussian_filter_lcz(codes, cell_m=cell_m, nodata=NODATA)[one.inner]
        sink.write(filtered, 2, window=DiskWindow.from_slices(*one.core))


def _single_band(source: Path, target: Path, model: Model) -> None:
    """The class band alone, with the palette inside."""
    with rasterio.open(source) as full:
        profile = full.profile | {"count": 1}
        with rasterio.open(target, "w", **profile) as sink:
            for _, window in full.block_windows(1):
                sink.write(full.read(1, window=window), 1, window=window)
            sink.set_band_description(1, full.descriptions[0])
            sink.write_colormap(1, model.scheme.palette)


def _to_cog(source: Path, target: Path) -> None:
    """One Cloud-Optimised GeoTIFF with overviews, the same bytes every time."""
    from rasterio.shutil import copy

    copy(
        source,
        target,
        driver="COG",
        compress="DEFLATE",
        predictor="NO",
        blocksize=512,
        overview_resampling="NEAREST",
        num_threads="ALL_CPUS",
        bigtiff="IF_SAFER",
    )


def map_scene(
    model: Model,
    scene: Scene,
    path: str | Path,
    *,
    report: str | Path | None = None,
    model_id: dict[str, Any] | None = None,
    single_band: bool = False,
    tile: int = TILE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> MapResult:
    """Map a scene: one COG, colours beside it, ``report.json`` and ``report.html``.

    Nodata in gives nodata out; a cell has data when at least half of its pixels have. Everything
    is written beside and moved at the end, so a failed run leaves what stood there.

    Args:
        model: the model.
        scene: the images, on one grid.
        path: of the map, ``.tif``.
        report: path of the HTML report; ``MAP.report.html`` beside the map without it.
        model_id: name and hash of the model package, for the report.
        single_band: write the class alone, with the palette inside the file.
        tile: side of a tile in pixels.
        workers: predicting threads; all cores without it.
        progress: told how far it is.

    Raises:
        ModelError: when the scene does not fit the model.
        ImageError: when an image is damaged or has no data at all.
        OutputError: when the map cannot be written.
    """
    start = time.perf_counter()
    require_fit(model, scene)
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{path} is no name for a GeoTIFF: end it with .tif.")
    html = Path(report) if report else path.with_suffix(".report.html")
    grid = coarser(scene.geobox, model.stride)
    beside = (
        html,
        html.with_suffix(".json"),
        path.with_name(path.name + ".aux.xml"),
        path.with_suffix(".qml"),
    )
    with replacing_together(path, *beside) as (fresh, fresh_html, fresh_json, fresh_aux, fresh_qml):
        scratch = fresh.with_name(f"scratch.{path.name}")
        tiles = _write_scratch(
            scratch,
            model,
            scene,
            grid,
            tile=tile,
            workers=workers or os.cpu_count() or 1,
            progress=progress,
        )
        plain = scratch
        if single_band:
            plain = fresh.with_name(f"single.{path.name}")
            _single_band(scratch, plain, model)
        _to_cog(plain, fresh)
        facts = map_report(
            model, scene, scratch, name=path.name, sha256=file_sha256(fresh), model_id=model_id
        )
        fresh_json.write_text(json_text(facts) + "\n", encoding="utf-8")
        fresh_html.write_text(html_report(facts, model, scratch), encoding="utf-8")
        fresh_aux.write_text(aux_xml(model.scheme, _class_bands(model, single_band)), encoding="utf-8")
        fresh_qml.write_text(qml(model.scheme, band=1), encoding="utf-8")
    pixels = scene.geobox.shape.y * scene.geobox.shape.x
    return MapResult(
        path=path,
        report=html,
        tiles=tiles,
        megapixels=round(pixels / 1e6, 3),
        seconds=round(time.perf_counter() - start, 2),
        peak_rss_mb=round(_peak_rss_mb(), 1),
    )


def _class_bands(model: Model, single_band: bool) -> tuple[int, ...]:
    return (1, 2) if model.scheme.name == "lcz" and not single_band else (1,)


def _peak_rss_mb() -> float:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
