"""``jido labels review``: correct labels, or label the points of a sample, on a page over the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_json, progress_bar, refuse_to_overwrite
from jido.cli.options import ClassField, Crs, GroupField, Host, JsonFlag, Layer, Port, Quiet, Token

if TYPE_CHECKING:
    from jido.web.review import Review
    from jido.web.review_tasks import Task


def review(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a model package, a map, or the GeoPackage of jido sample.",
            metavar="MODEL|MAP.tif|POINTS.gpkg",
        ),
    ],
    image: Annotated[
        list[Path],
        typer.Option("--image", help="What to look at; one or several.", metavar="IMAGE..."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The corrected labels; SOURCE.corrected.gpkg without it."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="File of the labels, whose columns are kept; without it those learned."
        ),
    ] = None,
    within: Annotated[
        Path | None,
        typer.Option("--within", help="Of a map of a target: polygons in which every one was labelled."),
    ] = None,
    interpreter: Annotated[
        int | None,
        typer.Option(
            "--interpreter", min=1, max=2, help="Of a sample: whose labels these are; 1 if not given."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Who decides, for the log.")] = "reviewer",
    port: Port = 0,
    host: Host = "127.0.0.1",
    token: Token = None,
    layer: Layer = None,
    class_field: ClassField = None,
    group_field: GroupField = None,
    crs: Crs = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Look at labels one by one over the image, and keep, correct or drop them; Ctrl-C ends.

    Of a model and its maps the labels that models which had not seen them doubt; of a map of a target also
    objects that no label touches, to be added. Writes a corrected copy of the labels and a log beside it.
    Of a sample its points, without the map, into the sample. Decisions are saved at once: the same command
    goes on.
    """
    from jido.io.design_sample import is_sample
    from jido.io.work import locked_folder
    from jido.web import require_web

    require_web()
    from jido.web.review import Review, review_layers
    from jido.web.review_store import ReviewLog
    from jido.web.review_tasks import places
    from jido.web.serve import run, token_for

    options = {"labels": labels, "within": within, "layer": layer, "class_field": class_field,
               "group_field": group_field, "crs": crs}  # fmt: skip
    points = is_sample(source)
    _require_options(points, interpreter, (output, *options.values()))
    if points:
        log = source.with_name(f"{source.stem}.label_{interpreter or 1}.log.csv")
    else:
        output = output or source.with_name(f"{source.stem}.corrected.gpkg")
        _require_output(output, (source, labels, within, *image))
        log = output.with_suffix(".log.csv")
    key = token_for(host, token)
    with locked_folder(log):
        task = _task(source, output, interpreter or 1, quiet=quiet or json, **options)
        shown = review_layers(image, None if points or source.is_dir() else source)
        page = Review(task, ReviewLog(log, who=name, places=places(task.items), since_written=points), shown)
        for text in shown.notes:
            note(text, quiet=quiet)
        run(page.app(key), host=host, port=port, announce=lambda url: _announce(url, page, json, quiet))
        _finish(page, quiet=quiet)


def _task(source: Path, output: Path | None, interpreter: int, *, quiet: bool, **options: Any) -> Task:
    from jido.errors import ImageError, LabelsError
    from jido.web.review_tasks import LabelReview, SampleReview

    if output is None:
        return SampleReview(source, interpreter=interpreter)
    with naming(source, ImageError, LabelsError), progress_bar(quiet=quiet) as progress:
        return LabelReview(source, output, progress=progress, **options)


def _require_options(points: bool, interpreter: int | None, of_labels: Sequence[object]) -> None:
    """Refuse options that mean nothing for what is given."""
    from jido.errors import LabelsError

    if points and any(of_labels):
        raise LabelsError(
            "The points of a sample get their labels in their own file: leave out -o, --labels, --within, "
            "--layer, --class-field, --group-field and --crs."
        )
    if interpreter and not points:
        raise LabelsError("Only the points of a sample have interpreters: leave out --interpreter.")


def _require_output(output: Path, inputs: tuple[Path | None, ...]) -> None:
    """Refuse a place where the corrected labels cannot stand, or where other labels would be lost."""
    from jido.errors import OutputError
    from jido.io import require_place

    if output.suffix.lower() != ".gpkg":
        raise OutputError(f"Corrected labels cannot be written as {output}: end the name with .gpkg.")
    refuse_to_overwrite(output, inputs)
    require_place(output)
    if output.exists() and not output.with_suffix(".log.csv").exists():
        raise OutputError(
            f"{output} exists and is of no review (no log is beside it): give another name with -o."
        )


def _announce(url: str, page: Review, json: bool, quiet: bool) -> None:
    if json:
        print_json({"url": url})
        return
    print(url)
    left = len(page.items) - len(page.decided.keys() & page.items.keys())
    note(
        f"{left} of {len(page.items)} are left to look at. Ctrl-C ends and writes what is decided.",
        quiet=quiet,
    )


def _finish(page: Review, *, quiet: bool) -> None:
    """What has come of it, on standard error: standard output has the link."""
    if not page.log.pending:
        note("Nothing new was decided, so nothing was written.", quiet=quiet)
        return
    done = page.write()
    numbers = ", ".join(f"{value} {name}" for name, value in done.items() if isinstance(value, int))
    note(f"Written: {done['output']} ({numbers})\nLog: {done['log']}", quiet=quiet)
