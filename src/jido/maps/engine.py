"""Any scene through any model into one map package, in a memory that does not grow with the scene.

Tiles of one lattice are predicted, blended and written in bands of rows (:mod:`jido.maps.tasks`) by
threads (:mod:`jido.maps.executors`) or by a Dask cluster (:mod:`jido.maps.cluster`); finished bands
are kept on disk, so that a second start goes on (:mod:`jido.maps.run`). The bytes of the map are the
same whoever did the work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from jido.errors import ImageError, ModelError, OutputError
from jido.geo import coarser, pixel_size_m
from jido.io import (
    Plane,
    Progress,
    Scene,
    aux_xml,
    clear_leftovers,
    describe_rows,
    file_sha256,
    json_text,
    peak_rss_mb,
    qml,
    replacing_together,
    smaller_levels,
    write_cog,
)
from jido.maps.cluster import cluster, in_cluster
from jido.maps.executors import TileDone, Work, in_threads
from jido.maps.page import html_report
from jido.maps.plan import Plan
from jido.maps.postfilter import RADIUS_M, gaussian_filter_lcz, reach
from jido.maps.radiometry import require_radiometry
from jido.maps.report import SIZE_NOT_CHECKED, map_report
from jido.maps.run import LOG, Run, fingerprint, open_run, require_unchanged
from jido.maps.tasks import NODATA, QUANTA, Done
from jido.methods import Model, NeedsReadying

FILTER_ROWS = 256
"""Rows that go through the LCZ filter at a time."""


@dataclass(frozen=True)
class MapResult:
    """What a run of the engine did.

    Args:
        path: the map.
        report: its HTML report; the same name with ``.json`` holds the facts.
        tiles: number of tiles.
        megapixels: pixels of the scene, in millions.
        seconds: wall-clock time of this run.
        peak_rss_mb: highest memory of this process so far, in MB.
        resumed_bands: bands of rows that an earlier run had finished.
    """

    path: Path
    report: Path
    tiles: int
    megapixels: float
    seconds: float
    peak_rss_mb: float
    resumed_bands: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``jido map``."""
        facts = asdict(self) | {"map": str(self.path), "report": str(self.report)}
        del facts["path"]
        return facts


def band_names(model: Model) -> tuple[str, ...]:
    """Bands of a map package; LCZ maps use the names of the LCZ Generator."""
    if model.scheme.name == "lcz" and set(model.scheme.codes) <= RADIUS_M.keys():
        return ("lcz", "lczFilter", "classProbability", "abstain")
    return ("class", "confidence", "abstain")


def require_fit(model: Model, scene: Scene) -> None:
    """Refuse a scene that the model was not made for.

    Raises:
        ModelError: when bands are missing, pixels are of another size than in training, or the image has
            to be made ready by a command of the model's own.
        ImageError: when the scene is smaller than one cell, or has no CRS and a size in metres is needed.
    """
    if isinstance(model, NeedsReadying) and model.not_ready:
        raise ModelError(model.not_ready)
    missing = [band.name for band in model.bands if band.name not in scene.names]
    if missing and spared(model, missing):
        LOG.warning("The map is made without %s, as the model can: it will be less sure.", ", ".join(missing))
    elif missing:
        raise ModelError(
            f"The model reads bands {', '.join(missing)} that are missing; the images have "
            f"{', '.join(scene.names)}: give the same images, in the same order, as in training."
        )
    _require_sensor(model, scene)
    _require_order(model, scene)
    _require_pixels(model, scene)
    if 0 in tuple(coarser(scene.geobox, model.stride).shape):
        raise ImageError(
            f"{scene.paths[0]} is smaller than one cell of {model.stride} pixels: give a larger image."
        )


def spared(model: Model, missing: list[str]) -> bool:
    """Whether a model can do without these bands: whole sensors of it, while another is left."""
    groups = [group for group in model.sensors if group <= set(missing)]
    return bool(groups) and set(missing) == set().union(*groups) and len(missing) < len(model.bands)


def _require_pixels(model: Model, scene: Scene) -> None:
    """The size of pixels is that of the training, where the training knew one; the LCZ filter needs one."""
    if scene.geobox.crs is None and (model.pixel_m is not None or band_names(model)[0] == "lcz"):
        raise ImageError(
            f"{scene.paths[0]} has no CRS, so its pixels have no size in metres, which this model needs: "
            "give it with --crs EPSG:...."
        )
    if model.pixel_m is None:
        LOG.warning(SIZE_NOT_CHECKED)
        return
    here = pixel_size_m(scene.geobox)
    if any(abs(a / b - 1) > 0.1 for a, b in zip(here, model.pixel_m, strict=True)):
        raise ModelError(
            f"The model was trained on pixels of {model.pixel_m[0]:.4g} x {model.pixel_m[1]:.4g} m, the "
            f"image has {here[0]:.4g} x {here[1]:.4g} m: resample the image or train on its resolution."
        )


def _require_sensor(model: Model, scene: Scene) -> None:
    """Landsat 4 to 7 number their bands otherwise than 8 and 9: one name may be two colours."""
    here = {band.name: band for band in scene.bands}
    for band in model.bands:
        other = here.get(band.name, band)
        landsat = all(sensor.startswith("landsat") for sensor in (band.sensor, other.sensor))
        if landsat and band.common_name != other.common_name:
            raise ModelError(
                f"Band {band.name} is {band.common_name} in the images of the training ({band.sensor}) but "
                f"{other.common_name} in these ({other.sensor}): give images of the sensor of the training."
            )


def _require_order(model: Model, scene: Scene) -> None:
    """The images of the training, but in another order or one of them twice, would give a wrong map."""
    trained = list(model.evaluation.get("images", []))
    here = [path.name for path in scene.paths]
    in_order = [name for name in trained if name in here]  # the image of a sensor may be lacking
    if len(set(trained)) == len(trained) and set(here) <= set(trained) and here != in_order:
        raise ModelError(
            f"The model was trained on {', '.join(trained)}, in this order, but is given {', '.join(here)}: "
            "give every image once and in the order of the training."
        )


def band_planes(model: Model, *, probabilities: bool) -> list[Plane]:
    """The bands of a map: a choice of the planes that a task gives (``tasks.planes_of``)."""
    names = band_names(model)
    # the filtered class stands in a plane behind the others until it is known
    labels = model.scheme.labels if probabilities else ()
    extra = [Plane(f"p_{label}", 3 + i, scale=1 / QUANTA) for i, label in enumerate(labels)]
    order = [0, 3 + len(extra), 1, 2] if names[0] == "lcz" else [0, 1, 2]
    return [Plane(name, source) for name, source in zip(names, order, strict=True)] + extra


def _filter_band(run: Run, grid: GeoBox) -> None:
    """The last plane = the class through the LCZ filter, by bands of rows."""
    cell_m = pixel_size_m(grid)
    height, bands, _ = run.shape
    halo = reach(min(cell_m))
    for y in range(0, height, FILTER_ROWS):
        first, last = max(y - halo, 0), min(y + FILTER_ROWS, height)
        codes = run.read(slice(first, min(last + halo, height)))[:, 0]
        filtered = gaussian_filter_lcz(codes, cell_m=cell_m, nodata=NODATA)
        run.write(y, filtered[y - first : last - first, None], band=bands - 1)


@contextmanager
def _executed(
    work: Work,
    tasks: range,
    *,
    threads: int | None,
    workers: int | None,
    scheduler: str | None,
    tick: TileDone,
) -> Iterator[Iterator[Done]]:
    """The tasks done by whom the options name."""
    if workers is None and scheduler is None:
        with closing(in_threads(work, tasks, threads=threads, tick=tick)) as results:
            yield results
        return
    with (
        cluster(workers=workers, scheduler=scheduler) as client,
        closing(in_cluster(work, tasks, client=client, tick=tick)) as results,
    ):
        yield results


def _predict_rows(work: Work, run: Run, facts: dict[str, Any], progress: Progress | None, **who: Any) -> None:
    """All tasks that the run lacks, written and recorded in order."""
    plan = work.plan
    total = plan.tiles[0] * plan.tiles[1]
    done = len([row for task in range(run.tasks) for row in plan.tile_rows(task)]) * plan.tiles[1]

    def tick(tiles: int) -> None:
        nonlocal done
        done += tiles
        if progress:
            progress("predicting tiles", done, total)

    with _executed(work, range(run.tasks, plan.tasks), tick=tick, **who) as results:
        for result in results:
            require_unchanged(work.scene, facts)
            run.add(plan, result, work.model, probabilities=work.probabilities)


def map_scene(
    model: Model,
    scene: Scene,
    path: str | Path,
    *,
    report: str | Path | None = None,
    single_band: bool = False,
    probabilities: bool = False,
    tile: int | None = None,
    overlap: int | None = None,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    convert: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> MapResult:
    """Map a scene: one COG, colours beside it, ``report.json`` and ``report.html``.

    Nodata in gives nodata out; a cell has data when at least half of its pixels have. The files
    are written beside and moved at the end, so what stood there stays until the map is whole. A
    run that was cut off goes on where it stood, with the same bytes in the end, as long as model,
    images, options, libraries and processor are the same; else it begins anew and logs what changed.

    A scene without CRS (``Scene(..., place_needed=False)``) is taken by a model that has no ``pixel_m``;
    its map has no CRS either and lies on the pixels of the image.

    Args:
        model: the model.
        scene: the images, on one grid.
        path: of the map, ``.tif``.
        report: path of the HTML report; ``MAP.report.html`` beside the map without it.
        single_band: write the class alone, with the palette inside the file.
        probabilities: add a band per class, ``p_LABEL``, in steps of 0.4 %.
        tile: side in pixels of what is read for a tile; the model's own without it.
        overlap: pixels that neighbouring tiles share and that are blended; the model's own without it.
        threads: predicting threads of this process; all cores without it.
        workers: start a Dask cluster of so many processes on this machine instead.
        scheduler: address of a Dask scheduler whose workers see the same files.
        convert: bring images of another unit or processing to that of the training, where it can be done.
        restart: leave what an earlier run had finished.
        progress: told how far it is.

    Raises:
        ModelError: when the scene does not fit the model (bands, pixel size, radiometry), or the tiles
            do not.
        ImageError: when an image is damaged, changes meanwhile, or has no data at all.
        ClusterError: when the workers cannot be reached.
        OutputError: when the map cannot be written.
    """
    start = time.perf_counter()
    if single_band and probabilities:
        raise OutputError("A single band holds no probabilities: leave out one of the two options.")
    require_fit(model, scene)
    known = len(scene.notes)
    scene = require_radiometry(model, scene, convert=convert)
    for text in scene.notes[known:]:
        LOG.info(text)
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{path} is no name for a GeoTIFF: end it with .tif.")
    grid = coarser(scene.geobox, model.stride)
    plan = Plan.of(model, (grid.shape.y, grid.shape.x), tile=tile, overlap=overlap)
    planes = band_planes(model, probabilities=probabilities)
    facts = fingerprint(model, scene, plan, {"probabilities": probabilities})
    work = Work(model, scene, plan, probabilities)
    with open_run(path, (grid.shape.y, len(planes), grid.shape.x), facts, restart=restart) as run:
        _predict_rows(work, run, facts, progress, threads=threads, workers=workers, scheduler=scheduler)
        if not run.cells:
            run.discard()
            if run.counts.cells_with_data:
                raise ModelError("The model gave no finite number for any cell: train it again.")
            raise ImageError(
                f"{scene.paths[0]} has no data at all (every pixel is nodata): give other images."
            )
        if planes[0].name == "lcz":
            _filter_band(run, grid)
        html = _write_package(model, scene, run, grid, planes, path, report, single_band=single_band)
        resumed = run.resumed
    return MapResult(
        path=path,
        report=html,
        tiles=plan.tiles[0] * plan.tiles[1],
        megapixels=round(scene.geobox.shape.y * scene.geobox.shape.x / 1e6, 3),
        seconds=round(time.perf_counter() - start, 2),
        peak_rss_mb=round(peak_rss_mb(), 1),
        resumed_bands=resumed,
    )


def _write_package(
    model: Model,
    scene: Scene,
    run: Run,
    grid: GeoBox,
    planes: list[Plane],
    path: Path,
    report: str | Path | None,
    *,
    single_band: bool,
) -> Path:
    """Finished rows to a COG, its colours and its report; gives the path of the report."""
    run.flush()
    html = Path(report) if report else path.with_suffix(".report.html")
    lcz = planes[0].name == "lcz" and not single_band
    full, chosen = run.folder / "map.vrt", run.folder / "chosen.vrt"
    single = [Plane(planes[0].name, 0, palette=model.scheme.palette)]
    levels = smaller_levels(run.bytes, run.shape)
    written = single if single_band else planes
    for file, bands in ((full, planes), (chosen, written)):
        describe_rows(file, levels, grid, bands, per_row=run.shape[1], nodata=NODATA)
    beside = (
        html,
        html.with_suffix(".json"),
        path.with_name(path.name + ".aux.xml"),
        path.with_suffix(".qml"),
    )
    clear_leftovers(path, *beside)
    with replacing_together(path, *beside) as (fresh, fresh_html, fresh_json, fresh_aux, fresh_qml):
        write_cog(chosen, fresh)
        names = [plane.name for plane in written]
        sha256 = file_sha256(fresh)
        facts = map_report(
            model, scene, grid, run.counts, run.cells, name=path.name, sha256=sha256, bands=names
        )
        fresh_json.write_text(json_text(facts) + "\n", encoding="utf-8")
        fresh_html.write_text(html_report(facts, model, full), encoding="utf-8")
        fresh_aux.write_text(aux_xml(model.scheme, (1, 2) if lcz else (1,)), encoding="utf-8")
        fresh_qml.write_text(qml(model.scheme, band=1), encoding="utf-8")
    return html
