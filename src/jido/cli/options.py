"""Options that recur, defined once: they mean the same in every command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[
    list[Path],
    typer.Argument(
        help="Image files and products (.SAFE, Landsat), stacked in this order.", metavar="IMAGE..."
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Seed = Annotated[int, typer.Option("--seed", help="Of every random draw.")]
OwnSeed = Annotated[int | None, typer.Option("--seed", min=0, help="Of every draw; 0 without it.")]
AcceptedError = Annotated[
    float,
    typer.Option("--error", help="Share of wrong answers accepted where maps are sure.", min=0.01, max=0.5),
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings of the method.")]
SkipBadTiles = Annotated[bool, typer.Option("--skip-bad", help="Leave out damaged tiles, and say so.")]
Restart = Annotated[bool, typer.Option("--restart", help="Discard what a run that was cut off has done.")]
Crs = Annotated[
    str | None, typer.Option("--crs", help="CRS of files that carry none, EPSG:32649.", metavar="CRS")
]
KeepClouds = Annotated[
    bool,
    typer.Option("--keep-clouds", help="Of products: take in what SCL or QA_PIXEL calls cloud or shadow."),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.", metavar="N")]
Host = Annotated[
    str, typer.Option("--host", help="Address to listen at; all but loopback need the token in the link.")
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="What a browser must bring; made where it is needed.", metavar="TEXT"),
]
Layer = Annotated[
    str | None, typer.Option("--layer", help="Layer of the labels, where a file has several.", metavar="NAME")
]
ClassField = Annotated[
    str | None, typer.Option("--class-field", help="Column that holds the class.", metavar="NAME")
]
GroupField = Annotated[
    str | None,
    typer.Option("--group-field", help="Column that tells what must not be split.", metavar="NAME"),
]


class ResampleChoice(StrEnum):
    """Methods for images on other grids."""

    nearest = "nearest"
    bilinear = "bilinear"
    cubic = "cubic"
    average = "average"


Resample = Annotated[
    ResampleChoice | None,
    typer.Option("--resample", help="Bring images on other grids to the grid of the first one."),
]


class PresetChoice(StrEnum):
    """How much to spend."""

    smoke = "smoke"
    cpu = "cpu"
    full = "full"


Preset = Annotated[
    PresetChoice, typer.Option("--preset", help="How much to spend: seconds, a laptop, a server.")
]
