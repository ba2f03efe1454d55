"""``jido model``: what a model package is worth elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import print_facts, print_json
from jido.cli.options import JsonFlag, Quiet

app = typer.Typer(help="Verify and export model packages.", no_args_is_help=True)

Package = Annotated[Path, typer.Argument(help="Folder of a model package.", metavar="MODEL")]


@app.callback()
def _noun() -> None:
    """Verify and export model packages."""


@app.command("verify")
def verify(model: Package, json: JsonFlag = False, quiet: Quiet = False) -> None:
    """Predict the sample in the package again and compare; exit code 2 when the answer is another."""
    from dataclasses import asdict

    from jido.methods.verify import verify_model

    found = verify_model(model)
    if json:
        print_json({"model": str(model), **asdict(found)})
    else:
        print(
            f"{model} says what it said when it was saved: {found.probabilities} probabilities differ by at "
            f"most {found.difference:.2g} ({found.tolerance:g} is allowed)."
        )


@app.command("export")
def export(
    model: Package,
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write, .onnx.")],
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Write a net as ONNX, with normalisation inside, and print what it takes and gives."""
    from jido.io import require_place
    from jido.methods import load_model
    from jido.methods.export import export_onnx

    require_place(output)
    contract = export_onnx(load_model(model), output)
    if json:
        print_json({"onnx": str(output), **contract})
    else:
        print_facts(contract)
        print(f"ONNX: {output}")
