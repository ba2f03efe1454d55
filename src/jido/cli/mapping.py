"""``jido map``: a model and images in, a map package out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import naming, note, print_json, progress_bar, refuse_to_overwrite
from jido.cli.options import Crs, Images, JsonFlag, Quiet, Resample


def map_(
    model: Annotated[Path, typer.Argument(help="Folder of a model package.")],
    images: Images,
    output: Annotated[Path, typer.Option("--output", "-o", help="The map, a GeoTIFF.")],
    overlap: Annotated[
        int | None, typer.Option("--overlap", help="Pixels that tiles share and that are blended.")
    ] = None,
    tile: Annotated[int | None, typer.Option("--tile", help="Side in pixels of what is read at once.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Start a Dask cluster of N processes here.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Dask scheduler whose workers see the same files.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Predicting threads without Dask; all cores.")
    ] = None,
    single_band: Annotated[
        bool, typer.Option("--single-band", help="Write the class alone, palette inside the file.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a band per class, in steps of 0.4 %.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what a run that was cut off had finished.")
    ] = False,
    crs: Crs = None,
    resample: Resample = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Map a scene: one Cloud-Optimised GeoTIFF with its colours, report.json and report.html.

    A run that was cut off goes on where it stood when the same command is given again.
    """
    from jido.errors import ModelError
    from jido.io import Scene, require_place
    from jido.maps import map_scene
    from jido.methods import load_model

    refuse_to_overwrite(output, images)
    require_place(output)
    loaded = load_model(model)
    with Scene(images, crs=crs, resample=resample) as scene:
        for text in scene.notes:
            note(text, quiet=quiet)
        with naming(model, ModelError), progress_bar(quiet=quiet or json) as progress:
            result = map_scene(
                loaded,
                scene,
                output,
                single_band=single_band,
                probabilities=probabilities,
                tile=tile,
                overlap=overlap,
                threads=threads,
                workers=workers,
                scheduler=scheduler,
                restart=restart,
                progress=progress,
            )
    if json:
        print_json(result.to_dict())
    else:
        print(f"Map: {result.path}\nReport: {result.report}")
        print(
            f"{result.tiles} tiles, {result.megapixels:g} megapixels, {result.seconds:g} s, "
            f"peak {result.peak_rss_mb:.0f} MB"
        )
