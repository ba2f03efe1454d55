"""``jido lcz pretrain``: an encoder learns from images without labels."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import note, print_json, progress_bar
from jido.cli.options import (
    Config,
    Crs,
    Images,
    JsonFlag,
    Preset,
    PresetChoice,
    Quiet,
    Resample,
    Restart,
    Seed,
)

HDF5 = (".h5", ".hdf5")
"""How names of files of patches end."""


class PretextMethod(StrEnum):
    """Ways to learn without labels."""

    ssmmrl = "ssmmrl"
    byol = "byol"
    simclr = "simclr"
    moco = "moco"
    dino = "dino"
    mae = "mae"
    data2vec = "data2vec"


def pretrain(
    images: Images,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the encoder package.")],
    method: Annotated[
        PretextMethod | None, typer.Option("--method", help="How to learn; ssmmrl without it.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Times every window is seen; the preset's without."),
    ] = None,
    windows: Annotated[
        int | None, typer.Option("--windows", min=1, help="Drawn from the images; the preset's without.")
    ] = None,
    config: Config = None,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    seed: Seed = 0,
    crs: Crs = None,
    resample: Resample = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Learn from images without labels, write an encoder for jido lcz train --encoder.

    Images on one grid are one place: sensors, and dates where they have the same bands. Images on other
    grids are other places. Files of patches (.h5, as So2Sat has them) are taken, too.
    """
    from contextlib import ExitStack

    from jido.data.hdf5 import read_hdf5
    from jido.io import require_package_place, working_folder
    from jido.methods.pretrain import load_config, open_places, pretrain_chips
    from jido.methods.pretrain import pretrain as learn

    require_package_place(output)
    given = {"epochs": epochs, "windows": windows, "method": method.value if method else None}
    settings = load_config(
        config,
        preset=preset.value,
        given={key: value for key, value in given.items() if value is not None},
        seed=seed,
    )
    with ExitStack() as stack:
        if all(path.suffix.lower() in HDF5 for path in images):
            chips = read_hdf5(images)
            notes, source = chips.notes, partial(pretrain_chips, chips, names=[path.name for path in images])
        else:
            scenes = open_places(images, crs=crs, resample=resample, stack=stack)
            notes = tuple(text for scene in scenes for text in scene.notes)
            source = partial(learn, scenes)
        for text in notes:
            note(text, quiet=quiet)
        work = stack.enter_context(working_folder(output, restart=restart))
        progress = stack.enter_context(progress_bar(quiet=quiet or json))
        package = source(settings, work=work, progress=progress)
        package.save(output)
    last = package.history[-1]
    if json:
        seconds = sum(row["seconds"] for row in package.history)
        print_json({"encoder": str(output), "last": last, "epochs": len(package.history), "seconds": seconds})
        return
    print(
        f"{settings.method}, {len(package.history)} epochs: loss {last['loss']:.3f}, spread "
        f"{last['spread']:.2f} (collapsed: below 0.1), rank {last['rank']:.0f}, "
        f"{last['patches_per_second']:.0f} windows a second."
    )
    print(f"Encoder package: {output}")
