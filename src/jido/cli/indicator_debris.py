"""``jido indicator debris``: floating debris of an image by cell, and training from labelled spectra."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, progress_bar, refuse_to_overwrite
from jido.cli.indicator_parts import (
    CellsFile,
    Grid,
    GridCrs,
    IdField,
    MinCoverage,
    Zoom,
    beside,
    chosen_cells,
    facts_of,
    in_words,
    refuse_inputs,
    stem_and_formats,
    written,
)
from jido.cli.options import Crs, JsonFlag, Quiet, Resample, Seed

if TYPE_CHECKING:
    from jido.indicators.cells import Cells
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress, Scene

MAP_ENDS = (".map.tif", ".map.tif.aux.xml", ".map.qml", ".map.report.html", ".map.report.json", ".map.png")
"""Ends of the files of the map of pixels."""


class LearnerChoice(StrEnum):
    """What tells debris from other matter."""

    spectra = "spectra"
    naive = "naive"


class DebrisValue(StrEnum):
    """What stands in the column ``value``."""

    share = "share"
    area = "area"


def debris(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The table, .gpkg, .parquet or .csv, any other name for all; or the model."
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image of one date, its files stacked in this order.", metavar="IMAGE..."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model package to look with.", metavar="PKG")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Train instead: table of spectra, B1..B12 in reflectance, its columns of class and scene.",
            metavar="TABLE[:CLASS[:SCENE]]",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option("--debris", help="With --labels: the class that is debris.", metavar="CLASS")
    ] = "",
    learner: Annotated[
        LearnerChoice,
        typer.Option("--learner", help="With --labels: all bands, or FDI and NDVI as in Biermann 2020."),
    ] = LearnerChoice.spectra,
    error: Annotated[
        float,
        typer.Option(
            "--error", help="With --labels: share of wrong sure answers in a new scene.", min=0.01, max=0.5
        ),
    ] = 0.05,
    correction: Annotated[
        str,
        typer.Option(
            "--correction", help="Atmospheric correction, acolite-rayleigh, L2A, ...; else from the files."
        ),
    ] = "",
    platform: Annotated[
        str, typer.Option("--platform", help="S2A or S2B; else from the files.", metavar="S2A|S2B")
    ] = "",
    land: Annotated[
        Path | None,
        typer.Option("--land", help="Mask, not 0 = land; MNDWI <= 0 without it.", metavar="RASTER"),
    ] = None,
    clouds: Annotated[
        Path | None,
        typer.Option(
            "--clouds", help="Mask, not 0 = cloud, or SCL; found in the image without it.", metavar="RASTER"
        ),
    ] = None,
    value: Annotated[
        DebrisValue, typer.Option("--value", help="Share of the water seen, or area in m².")
    ] = DebrisValue.share,
    day: Annotated[str, typer.Option("--date", help="Day of the image; else from names and tags.")] = "",
    convert: Annotated[
        bool, typer.Option("--convert", help="Bring numbers of another unit to reflectance.")
    ] = False,
    cells: CellsFile = None,
    id_field: IdField = "id",
    grid: Grid = 1000.0,
    grid_crs: GridCrs = None,
    zoom: Zoom = None,
    min_coverage: MinCoverage = 0.5,
    crs: Crs = None,
    resample: Resample = None,
    seed: Seed = 0,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Floating debris of every cell of a Sentinel-2 image, with a map of pixels that says where it is unsure.

    With --labels and no image: train a model on spectra and judge it on scenes left out. Model and image must
    be corrected for the atmosphere alike. Land and clouds are left out.
    """
    from jido.errors import ImageError, ModelError

    if labels is not None:
        if images or model:
            raise ModelError(
                "--labels trains a model: leave out images and --model, and look with it afterwards."
            )
        as_published = learner is LearnerChoice.naive
        settings = {"learner": learner.value, "calibrate": not as_published, "error": error, "seed": seed}
        how = {"target": target, "correction": correction, "platform": platform}
        _train(labels, output, settings, how, json=json, quiet=quiet)
        return
    if not images:
        raise ImageError("No image was given: give one with --model PKG, or train with --labels TABLE.")
    if model is None:
        raise ModelError("A model is needed: give --model PKG, or train one with --labels TABLE -o PKG.")
    with ExitStack() as stack:
        scene, place, masks = _opened(
            stack, images, land, clouds, crs=crs, resample=resample,
            cells=(cells, id_field), grid={"grid": grid, "grid_crs": grid_crs, "zoom": zoom},
        )  # fmt: skip
        _refuse(output, scene, [cells, land, clouds, model / "config.json"])
        stated = {"correction": correction, "platform": platform, "day": day}
        progress = stack.enter_context(progress_bar(quiet=quiet or json))
        table, files, notes = _found(
            model, scene, place, output, masks, stated,
            value=value.value, convert=convert, min_coverage=min_coverage, progress=progress,
        )  # fmt: skip
    for text in [*notes, *place.notes]:
        note(text, quiet=quiet)
    _report(table, files, notes, json=json)


def _train(
    labels: str, output: Path, settings: dict[str, Any], how: dict[str, str], *, json: bool, quiet: bool
) -> None:
    from jido.data.spectra import read_spectra
    from jido.io import require_package_place
    from jido.methods.debris import MIXED, DebrisConfig
    from jido.methods.debris_train import OPTIMISTIC, train_debris

    require_package_place(output)
    file, classes, scenes = _columns(labels)
    spectra = read_spectra(file, classes=classes, scenes=scenes)
    if spectra.scenes is None:
        note(f"warning: {OPTIMISTIC}", quiet=quiet)
    if not how["correction"]:
        note(
            "warning: no --correction was stated, so images of any will be taken by this model.", quiet=quiet
        )
    with progress_bar(quiet=quiet or json) as progress:
        model = train_debris(
            spectra,
            config=DebrisConfig(**settings),
            target=how["target"],
            correction=how["correction"],
            platform=how["platform"] or MIXED,
            progress=progress,
        )
    model.save(output)
    told = ("metrics", "folds", "unsure", "optimistic", "spectra")
    if json:
        facts = {"correction": model.correction, "platform": model.platform}
        print_json({"model": str(output), **facts, **{name: model.evaluation[name] for name in told}})
        return
    _print_training(model.evaluation)
    print(f"Atmospheric correction: {model.correction}, platform: {model.platform}\nModel package: {output}")


def _print_training(evaluation: dict[str, Any]) -> None:
    from jido.cli.lcz import print_training
    from jido.methods.debris_train import OPTIMISTIC

    print_training(evaluation)
    unsure = evaluation["unsure"]
    if unsure["below"] > 1:
        print(f"No confidence keeps errors to {unsure['aimed_error']:.0%}: maps will be unsure everywhere.")
    elif unsure["trust"] is None:
        print(OPTIMISTIC)
    else:
        print(
            f"In a new scene at most {unsure['aimed_error']:.0%} of sure answers are wrong, with a chance of "
            f"{unsure['trust']:.0%}; {1 - unsure['share']:.0%} of the spectra of a scene are answered."
        )


def _columns(text: str) -> tuple[Path, str, str]:
    """File, column of the class and of the scene of ``TABLE[:CLASS[:SCENE]]``; empty where not named."""
    if Path(text).exists():
        return Path(text), "", ""
    parts = text.rsplit(":", 2)
    for count in (3, 2):
        file = ":".join(parts[: len(parts) - count + 1])
        if len(parts) >= count and Path(file).exists():
            named = parts[len(parts) - count + 1 :]
            return Path(file), named[0], named[1] if count == 3 else ""
    return Path(parts[0]), "", ""


def _opened(
    stack: ExitStack,
    images: list[Path],
    land: Path | None,
    clouds: Path | None,
    *,
    crs: str | None,
    resample: str | None,
    cells: tuple[Path | None, str],
    grid: dict[str, Any],
) -> tuple[Scene, Cells, dict[str, Scene | None]]:
    """The image, the cells, and the masks on its grid."""
    from jido.io import Scene

    scene = stack.enter_context(Scene(images, crs=crs, resample=resample))
    place = chosen_cells(*cells, extent=scene.geobox.extent, **grid)
    masks = {
        name: stack.enter_context(Scene([path], crs=crs, like=scene.geobox, resample="nearest"))
        if path
        else None
        for name, path in (("land", land), ("clouds", clouds))
    }
    return scene, place, masks


def _refuse(output: Path, scene: Scene, inputs: list[Path | None]) -> None:
    """None of the files that are written may be one that is read."""
    from jido.io import require_place

    require_place(output)
    read = [*(Path(path) for path, _, _ in scene.state()), *inputs]
    refuse_inputs(output, read)
    stem, _ = stem_and_formats(output)
    for end in MAP_ENDS:
        refuse_to_overwrite(stem.with_name(stem.name + end), read)


def _found(
    package: Path,
    scene: Scene,
    place: Cells,
    output: Path,
    masks: dict[str, Scene | None],
    stated: dict[str, str],
    *,
    value: Any,
    convert: bool,
    min_coverage: float,
    progress: Progress | None,
) -> tuple[IndicatorTable, list[Path], list[str]]:
    """Map, picture and table of an image, written together; and what a reader should know."""
    from dataclasses import replace

    from jido.cli.console import naming
    from jido.errors import ModelError
    from jido.indicators.debris import debris_cells, debris_map, land_note, open_sea
    from jido.indicators.debris_picture import draw_debris
    from jido.io import Scene as Opened
    from jido.io.dates import image_day, image_days
    from jido.io.files import replacing_run
    from jido.methods.debris import DebrisModel
    from jido.methods.debris_image import model_for

    day = image_days(scene.paths[:1], [stated["day"]])[0] if stated["day"] else image_day(scene.paths[0])
    with naming(package, ModelError):
        loaded, notes = model_for(
            DebrisModel.load(package), scene, correction=stated["correction"], platform=stated["platform"]
        )
        sea = open_sea(loaded, scene, land=masks["land"], clouds=masks["clouds"], convert=convert)
        sea = replace(sea, notes=(*notes, *sea.notes))
        stem, _ = stem_and_formats(output)
        with replacing_run(output) as fresh:
            made = debris_map(sea, fresh.with_name(f"{stem.name}.map.tif"), progress=progress)
            with Opened([made.path]) as mapped:
                table = debris_cells(
                    sea, mapped, place, value=value, day=day, min_coverage=min_coverage, progress=progress
                )
                files = written(table, fresh)
                draw_debris(sea, mapped, fresh.with_name(f"{stem.name}.map.png"))
    more = [stem.with_name(stem.name + end) for end in MAP_ENDS]
    return table, [*beside(output, files), *more], [*sea.notes, *filter(None, [land_note(table)])]


def _report(table: IndicatorTable, files: list[Path], notes: list[str], *, json: bool) -> None:
    from jido.indicators.debris import totals

    summary = {"debris": totals(table), "unit": table.sheet.unit, "dates": list(table.sheet.dates)}
    facts = facts_of(table, files, summary | {"notes": notes})
    if json:
        print_json(facts)
        return
    found = totals(table)
    print(f"debris: {in_words(found['area_m2'])} m², {in_words(found['share'])} of the water seen")
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little water seen)")
    print(f"Files: {', '.join(path.name for path in files)} in {files[0].resolve().parent}")
