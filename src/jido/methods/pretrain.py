"""Learning without labels from scenes: windows are drawn, an encoder learns, its package is written."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from jido.data.chips import Chips
from jido.data.pool import Pool
from jido.data.sheets import PIXEL_TOLERANCE
from jido.data.stack import stack_of
from jido.data.windows import draw_windows, window_side
from jido.errors import ImageError, ModelError
from jido.geo import cell_stride, pixel_size_m, same_place
from jido.geo.radiometry import Conversion
from jido.io import Progress, Scene, describe_scene
from jido.io.raster import wkt
from jido.methods.encoder_package import EncoderPackage
from jido.methods.selfsup import PretrainConfig, Pretraining, task_of, view_settings
from jido.methods.settings import read_settings

MEMORY = 4e9
"""Bytes of windows that are drawn at most: they are held once, up to 512 of them twice to be measured."""

SAME = 0.5
"""Share of an image that must lie on another one's ground for both to show one place."""

LOG = logging.getLogger("jido")

CELL_M = 100.0
"""Side of a map cell in metres for which windows are even or odd."""

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 2, "batch": 32, "windows": 128, "encoder": {"width": 8}},
    "cpu": {"epochs": 40, "windows": 8_000, "encoder": {"width": 32}},
    "full": {"epochs": 200, "windows": 200_000, "batch": 512, "encoder": {"width": 96, "blocks": 2}},
}


def load_config(
    path: str | Path | None = None,
    *,
    preset: str = "cpu",
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> PretrainConfig:
    """Settings of a preset, overruled by those of a TOML file and by what is ``given``.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(PretrainConfig, path, PRESETS[preset], given=given, **defaults)


def require_torch() -> None:
    """What learns without labels, and what begins with it, are neural networks.

    Raises:
        ModelError: without torch.
    """
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError as err:
        raise ModelError('Neural networks need torch: pip install "jido[deep]".') from err


def require_settings(config: PretrainConfig, sensors: Mapping[str, int], side: int) -> None:
    """Refuse settings of the method, of its encoder and of views before patches are read; takes no memory.

    Args:
        config: the settings.
        sensors: number of bands of each, in the order in which they are stacked.
        side: of the patches in pixels.

    Raises:
        ModelError: for settings that there are not, or that do not fit the patches; without torch.
    """
    require_torch()
    import torch

    view_settings(config)
    with torch.device("meta"):
        task_of(config, sensors, side)


def pretrain(
    scenes: Sequence[Scene], config: PretrainConfig, *, work: Path, progress: Progress | None = None
) -> EncoderPackage:
    """Learn from windows of scenes without labels.

    Every scene is one place, with all its sensors and dates, and is normalised by itself. All have the same
    sensors and the same number of dates.

    Args:
        scenes: the images, one for each place.
        config: the settings.
        work: an existing folder for the checkpoint: what was cut off goes on from there.
        progress: told how far it is.

    Raises:
        ImageError: when scenes differ in bands, dates or pixels, or hold too little data.
        ModelError: for settings that cannot be used, before anything is read; for fewer windows than a batch.
    """
    pixel_m = pixel_size_m(scenes[0].geobox)
    side = config.patch or window_side(pixel_m, cell_stride(pixel_m, CELL_M))
    require_settings(config, stack_of(scenes[0].bands).sensors, side)
    scenes = [in_decibels(scene) for scene in scenes]
    require_alike(scenes)
    size = 4 * len(scenes[0].bands) * side**2
    each = -(-min(config.windows, max(int(MEMORY / size), 1)) // len(scenes))
    stack, count = stack_of(scenes[0].bands), 0
    images = np.empty((each * len(scenes), len(stack.order), side, side), np.float32)
    for i, scene in enumerate(scenes):
        drawn = draw_windows(
            scene, each, side, seed=config.seed + i, into=images[count:], progress=progress
        ).images
        mean, sd = Pool.of(drawn, stack).moments
        drawn -= mean[:, None, None]
        drawn /= sd[:, None, None]
        count += len(drawn)
    nothing = np.zeros(images.shape[1], np.float32)
    training = Pretraining(Pool(images[:count], stack, (nothing, nothing + 1)), config)
    return EncoderPackage.of(
        training.run(work, progress=progress),
        pixel_m=pixel_m,
        radiometry=tuple(describe_scene(scene) for scene in scenes),
        images=tuple(path.name for scene in scenes for path in scene.paths),
    )


def pretrain_chips(
    chips: Chips,
    config: PretrainConfig,
    *,
    work: Path,
    names: Sequence[str] = (),
    progress: Progress | None = None,
) -> EncoderPackage:
    """Learn from small images, whatever their classes; those of HDF5 files are read as they are needed.

    Args:
        chips: the images.
        config: the settings; ``windows`` and ``patch`` do not count.
        work: an existing folder for the checkpoint.
        names: of the files.
        progress: told how far it is.

    Raises:
        ModelError: for settings that cannot be used, before anything is read; for fewer images than a batch.
    """
    require_settings(config, stack_of(chips.bands).sensors, chips.side)
    training = Pretraining(Pool.of_chips(chips), config)
    return EncoderPackage.of(
        training.run(work, progress=progress),
        pixel_m=chips.pixel_m,
        radiometry=() if chips.radiometry is None else (chips.radiometry,),
        images=tuple(names),
    )


def in_decibels(scene: Scene) -> Scene:
    """The scene, radar read in decibels where its numbers are linear power: nets want no heavy tails."""
    linear = {
        name: Conversion("linear power", "decibels")
        for part in describe_scene(scene).parts
        if part.family == "radar" and part.likely[:1] == ["linear power"]
        for name in part.bands
    }
    stack = stack_of(scene.bands)
    dates = "1 date" if stack.dates == 1 else f"{stack.dates} dates"
    LOG.info("%s is read as %s of %s bands.", scene.paths[0].name, dates, stack.text)
    if not linear:
        return scene
    LOG.info("Radar is linear power and is read in decibels: %s.", ", ".join(linear))
    return scene.converted(linear)


def require_alike(scenes: Sequence[Scene]) -> None:
    """Refuse places that differ in sensors, bands, dates or the size of pixels.

    Raises:
        ImageError: naming the first that differs.
    """
    first, *others = scenes
    stack, size = stack_of(first.bands), pixel_size_m(first.geobox)
    for scene in others:
        other, here = stack_of(scene.bands), pixel_size_m(scene.geobox)
        told = f"{scene.paths[0]} lies at another place than {first.paths[0]}"
        if (other.text, other.dates) != (stack.text, stack.dates):
            raise ImageError(
                f"{told} and has {other.dates} dates of {other.text}, not {stack.dates} of {stack.text}: "
                "give the same sensors and as many dates of every place, or --resample where images of one "
                "place lie on different grids."
            )
        names = [", ".join(band.name for band in one.bands) for one in (other, stack)]
        if names[0] != names[1]:
            raise ImageError(
                f"{told} and has the bands {names[0]}, not {names[1]}: give the same bands, in one order, of "
                "every place."
            )
        if not np.allclose(here, size, rtol=PIXEL_TOLERANCE):
            raise ImageError(
                f"{told} and has pixels of {here[0]:g} m, not {size[0]:g} m: bring all to one resolution."
            )


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Whether images need no resampling to lie on each other, rounding of their corners aside."""
    return one.shape == other.shape and same_place(one, other, cells=1e-6)


def _same_ground(one: GeoBox, other: GeoBox) -> bool:
    """Whether half of the smaller of two images lies on the other."""
    first, second = one.extent.geom, other.extent.to_crs(wkt(one)).geom
    return first.intersection(second).area >= SAME * min(first.area, second.area)


def open_places(
    paths: Sequence[Path], *, crs: str | None = None, resample: str | None = None, stack: ExitStack
) -> list[Scene]:
    """Images sorted into places: those on one grid, or that overlap when they may be resampled, are one.

    Args:
        paths: image files.
        crs: of images that carry none.
        resample: method for images on other grids that show the same place.
        stack: closes the files.

    Raises:
        ImageError: for a file that cannot be read.
    """
    places: list[tuple[Any, list[Path]]] = []
    for path in paths:
        with Scene([path], crs=crs) as one:
            box = one.geobox
        for grid, members in places:
            if _same_grid(grid, box) or (resample and _same_ground(grid, box)):
                members.append(path)
                break
        else:
            places.append((box, [path]))
    return [stack.enter_context(Scene(some, crs=crs, resample=resample)) for _, some in places]
