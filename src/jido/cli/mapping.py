"""``jido map``: a model and images in, a map package out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_json, progress_bar, refuse_to_overwrite
from jido.cli.options import Crs, Images, JsonFlag, KeepClouds, Quiet, Resample, Restart

if TYPE_CHECKING:
    from jido.io import Scene
    from jido.io.raster import Clouds
    from jido.maps import Estimate
    from jido.methods import Model


def map_(
    model: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    images: Images,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The map, a GeoTIFF.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what it would take, from a probe of 10 seconds.")
    ] = False,
    stac: Annotated[
        bool, typer.Option("--stac", help="The images are STAC items, mosaicked; the first ones on top.")
    ] = False,
    crs: Crs = None,
    resolution: Annotated[
        float | None, typer.Option("--resolution", help="With --stac: side of a pixel in units of --crs.")
    ] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bounds", help="With --stac: west south east north in degrees."),
    ] = None,
    resample: Resample = None,
    keep_clouds: KeepClouds = False,
    convert: Annotated[
        bool, typer.Option("--convert", help="Bring images of another unit or processing to the training's.")
    ] = False,
    overlap: Annotated[
        int | None, typer.Option("--overlap", help="Pixels that tiles share and that are blended.")
    ] = None,
    tile: Annotated[
        int | None, typer.Option("--tile", help="Side in pixels of what is read at once.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help="Pixels between windows, the side of a cell, for scene models."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads that predict; one for each core.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Start a Dask cluster of N processes here.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Dask scheduler whose workers see the same files.")
    ] = None,
    restart: Restart = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a band per class, in steps of 0.4 %.")
    ] = False,
    single_band: Annotated[
        bool, typer.Option("--single-band", help="Write the class alone, palette inside the file.")
    ] = False,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Map a scene: one Cloud-Optimised GeoTIFF with its colours, report.json and report.html.

    A run that was cut off goes on where it stood when the same command is given again. A model trained on
    images without CRS (JPEG, PNG) maps such images too; areas are then numbers of cells.
    """
    from jido.errors import ModelError, OutputError
    from jido.io import require_place
    from jido.maps import estimate_map, map_scene
    from jido.methods import load_model
    from jido.methods.net import NetModel

    if output is None and not plan:
        raise OutputError("The map needs a name: give it with -o map.tif, or ask for --plan only.")
    if output is not None:
        require_place(output)
    loaded = load_model(model)
    if stride is not None:
        if not isinstance(loaded, NetModel):
            raise ModelError(f"{model} is no net, so its cells cannot be changed: leave out --stride.")
        with naming(model, ModelError):
            loaded = loaded.at_stride(stride)
    how: dict[str, Any] = {
        "tile": tile,
        "overlap": overlap,
        "threads": threads,
        "workers": workers,
        "convert": convert,
        "probabilities": probabilities,
    }
    grid = {"crs": crs, "resample": resample}
    clouds: Clouds = "show" if keep_clouds else "hide"
    with _opened(
        loaded, images, grid, stac=stac, resolution=resolution, bounds=bounds, clouds=clouds
    ) as scene:
        if output is not None:
            refuse_to_overwrite(output, [*images, *(Path(place) for place, _, _ in scene.state())])
        for text in scene.notes:
            note(text, quiet=quiet)
        with naming(model, ModelError), progress_bar(quiet=quiet or json or plan) as progress:
            if plan or output is None:
                estimate = estimate_map(loaded, scene, **how)
                print_json(estimate.to_dict()) if json else _print_estimate(estimate)
                return
            how |= {"scheduler": scheduler, "single_band": single_band, "restart": restart}
            result = map_scene(loaded, scene, output, progress=progress, **how)
    if json:
        print_json(result.to_dict())
        return
    print(f"Map: {result.path}\nReport: {result.report}")
    gone_on = f", gone on after {result.resumed_bands} finished strips" if result.resumed_bands else ""
    print(
        f"{result.tiles} tiles, {result.megapixels:g} megapixels, {result.seconds:g} s, "
        f"peak {result.peak_rss_mb:.0f} MB{gone_on}"
    )


def _opened(
    model: Model,
    images: list[Path],
    grid: dict[str, Any],
    *,
    stac: bool,
    resolution: float | None,
    bounds: tuple[float, float, float, float] | None,
    clouds: Clouds,
) -> Scene:
    """The images, or the mosaic of the items."""
    from jido.errors import ImageError
    from jido.io import Scene

    if stac:
        from jido.io.stac import StacScene

        names = [band.name for band in model.bands]
        return StacScene(images, bands=names, resolution=resolution, bounds=bounds, **grid)
    if resolution is not None or bounds is not None:
        raise ImageError("--resolution and --bounds go with --stac; other images have a grid of their own.")
    return Scene(images, **grid, place_needed=model.pixel_m is not None, clouds=clouds)


def _print_estimate(estimate: Estimate) -> None:
    hours, rest = divmod(round(estimate.seconds), 3600)
    worker = f", {estimate.worker_memory_mb:.0f} MB each worker" if estimate.worker_memory_mb else ""
    rows, cols = estimate.cells
    print(
        f"{estimate.tiles} tiles ({estimate.tiles_with_data} with data), "
        f"{estimate.megapixels:g} megapixels, {rows} x {cols} cells\n"
        f"memory {estimate.memory_mb:.0f} MB{worker}, disk up to {estimate.disk_mb:.0f} MB\n"
        f"{estimate.tiles_per_s or '-'} tiles/s in the probe, {hours} h {rest // 60} min {rest % 60} s in all"
    )
