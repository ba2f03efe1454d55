"""The command line: parse, one API call, one printed result. Heavy imports stand in the commands."""

from __future__ import annotations

import json
import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from jido.cli import (
    assess,
    data,
    demo,
    doctor,
    export,
    indicator,
    labels,
    lcz,
    mapping,
    model,
    polygons,
    sample,
    scene,
    score,
    segment,
    view,
)
from jido.errors import JidoError

app = typer.Typer(
    name="jido",
    help="Satellite and aerial images plus few labels in, maps whose accuracy is stated out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("map")(mapping.map_)
app.command("assess")(assess.assess)
app.command("polygons")(polygons.polygons)
app.command("kmz")(export.kmz)
app.command("canopy")(export.canopy)
app.command("sample")(sample.sample)
app.command("view")(view.view)
app.add_typer(data.app, name="data")
app.add_typer(indicator.app, name="indicator")
app.add_typer(labels.app, name="labels")
app.add_typer(lcz.app, name="lcz")
app.add_typer(model.app, name="model")
app.add_typer(scene.app, name="scene")
app.add_typer(score.app, name="score")
app.add_typer(segment.app, name="segment")

UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]
"""click's, for wrong usage of any kind; typer may bring a click of its own."""

REFUSED = 2
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes."""


class _OnStandardError(logging.Handler):
    """Lines on standard error as it is when they are written: above a progress bar, not inside it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit code 2."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    log = logging.getLogger("jido")
    if not log.handlers:
        log.addHandler(_OnStandardError())
    log.setLevel(logging.WARNING if {"--quiet", "-q"} & set(sys.argv) else logging.INFO)
    try:
        # typer prints a panel for wrong usage; for machines it becomes an error like the others
        sys.exit(app(standalone_mode="--json" not in sys.argv))
    except JidoError as err:
        _give_up(str(err), REFUSED)
    except UsageError as err:
        _give_up(err.format_message(), REFUSED)
    except SystemExit as end:
        if end.code not in STOPPED:
            raise
        _give_up("Stopped; nothing half-written was left.", end.code)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C and ``kill`` unwind like an error, so that scratch files go."""
    raise SystemExit(128 + number)


def _give_up(message: str, code: int) -> NoReturn:
    if "--json" in sys.argv:
        print(json.dumps({"error": message}, ensure_ascii=False))
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(code)
