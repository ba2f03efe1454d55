"""The command line: parse, one API call, one printed result. Heavy imports stand in the commands."""

from __future__ import annotations

import json
import sys

import typer

from jido.cli import assess, demo, doctor, labels, lcz, mapping
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
app.add_typer(labels.app, name="labels")
app.add_typer(lcz.app, name="lcz")


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit code 2."""
    try:
        app()
    except JidoError as err:
        if "--json" in sys.argv:
            print(json.dumps({"error": str(err)}, ensure_ascii=False))
        print(f"Error: {err}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. Nothing half-written was left.", file=sys.stderr)
        sys.exit(130)
