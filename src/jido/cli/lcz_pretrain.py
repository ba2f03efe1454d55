"""``jido lcz pretrain``: an encoder learns from images without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

GEOBENCH = ("label_map.json", "default_partition.json")
"""What tells a folder of GEO-Bench, which has a file for each patch."""


class PretextMethod(StrEnum):
    """Ways to learn without labels."""

    ssmmrl = "ssmmrl"
    byol = "byol"
    simclr = "simclr"
    moco = "moco"
    dino = "dino"
    mae = "mae"
    data2vec = "data2vec"


class RadarNumbers(StrEnum):
    """What ``sen1`` of a file of patches holds."""

    decibels = "dB"
    linear = "linear"


class OpticalNumbers(StrEnum):
    """What ``sen2`` of a file of patches holds."""

    reflectance = "reflectance"
    dn = "dn"


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
    radar: Annotated[
        RadarNumbers | None,
        typer.Option("--radar", case_sensitive=False, help="Of .h5: what VV and VH of sen1 are; dB without."),
    ] = None,
    optical: Annotated[
        OpticalNumbers | None,
        typer.Option("--optical", help="Of .h5: what sen2 is; reflectance without it, dn is that x 10,000."),
    ] = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Learn from images without labels, write an encoder for jido lcz train --encoder.

    Images on one grid are one place: sensors, and dates where they have the same bands. Images on other
    grids are other places. Files of patches (.h5, as So2Sat has them) and folders of GEO-Bench are taken in
    place of images, all of their patches as they are.
    """
    from contextlib import ExitStack

    from jido.data.hdf5 import read_hdf5
    from jido.io import require_package_place, working_folder
    from jido.methods.pretrain import load_config, open_places, pretrain_chips, require_torch
    from jido.methods.pretrain import pretrain as learn

    require_package_place(output)
    require_torch()
    patches = _holds_patches(images)
    given = {"epochs": epochs, "windows": windows, "method": method.value if method else None}
    settings = load_config(
        config,
        preset=preset.value,
        given={key: value for key, value in given.items() if value is not None},
        seed=seed,
    )
    numbers = {"radar": radar, "optical": optical}
    if patches:
        drawn = windows or settings.windows != load_config(preset=preset.value).windows
        said = {"windows (--windows)": drawn, "patch": settings.patch, "--crs": crs, "--resample": resample}
        _refuse(said, f"{images[0]} holds patches, all of which are taken as they are")
    else:
        said = {f"--{name}": value for name, value in numbers.items()}
        _refuse(said, f"{images[0]} is no file of patches, and what its numbers are is found out")
    with ExitStack() as stack:
        if patches:
            chips = read_hdf5(images, **{name: one for name, one in numbers.items() if one})  # type: ignore[arg-type]
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


def _holds_patches(images: Sequence[Path]) -> bool:
    """Whether files or folders of patches are given.

    Raises:
        ImageError: when images of places are given with them.
    """
    from jido.errors import ImageError

    found = {
        path.suffix.lower() in HDF5 or any((path / name).is_file() for name in GEOBENCH): path
        for path in images
    }
    if len(found) > 1:
        raise ImageError(
            f"{found[True]} holds patches and {found[False]} is an image of a place: give one kind alone."
        )
    return True in found


def _refuse(said: Mapping[str, object], why: str) -> None:
    """Settings that would have no effect.

    Raises:
        ImageError: naming those that were said.
    """
    from jido.errors import ImageError

    if wrong := [name for name, value in said.items() if value]:
        raise ImageError(f"{why}: leave out {', '.join(wrong)}.")
