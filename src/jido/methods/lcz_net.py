"""Local Climate Zones by a net, from scratch or from an encoder that has learned without labels.

A window around each labelled cell goes through the net; folds keep every polygon whole, as for the
forest. The net of the map learns from all labels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, PositiveInt

from jido.data.pool import Pool
from jido.data.stack import stack_of
from jido.data.windows import LabelledWindows, draw_windows, labelled_windows, window_side
from jido.errors import FoldsError, LabelsError, ModelError
from jido.geo import cell_stride, coarser, pixel_size_m
from jido.io import Progress, Scene, describe_scene
from jido.labels import Folds, Labels, cap_per_group, group_kfold, require_trainable
from jido.methods.cells import touching_groups
from jido.methods.encoder_package import EncoderPackage
from jido.methods.judging import ACCEPTED_ERROR, evaluate, label_facts, polygon_agreement
from jido.methods.net import NetConfig, NetModel
from jido.methods.pretrain import in_decibels
from jido.methods.selfsup import token_side
from jido.methods.settings import read_settings
from jido.methods.tune import TuneConfig, Tuning
from jido.nets import Setting
from jido.stats.calibrators import Calibration

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 2e9
"""Bytes of windows that are held; of larger sets each polygon gives fewer cells."""

MEASURED = 2000
"""Windows at random places from which mean and spread of the bands are taken."""

MAP_WINDOWS = 8
"""Windows in a row of a tile of a map."""


class LczNetConfig(TuneConfig):
    """Settings of a net for Local Climate Zones."""

    cell: float = Field(100.0, gt=0, description="side of a map cell in metres")
    patch: PositiveInt | None = Field(
        None, description="side of a window in pixels; that of the encoder, or 320 m"
    )
    encoder: dict[str, Setting] = Field(
        default_factory=dict, description="of the encoder, from scratch: kind, width, kernels"
    )
    max_cells_per_polygon: PositiveInt = Field(100, description="training cells drawn from one polygon")
    seed: int = Field(0, ge=0)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 20, "encoder": {"width": 8}},
    "cpu": {"encoder": {"width": 32}},
    "full": {"steps": 2000, "encoder": {"width": 96, "blocks": 2}},
}


def load_config(path: str | Path | None = None, *, preset: str = "cpu", seed: int = 0) -> LczNetConfig:
    """Settings of a preset, overruled by those of a TOML file.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(LczNetConfig, path, PRESETS[preset], seed=seed)


@dataclass(frozen=True, eq=False)
class LczNet:
    """What nets for Local Climate Zones learn from: windows, and what every one of them begins with.

    Args:
        windows: around labelled cells, those of polygons that touch in one group.
        pool: the same, with mean and spread of the whole scene.
        config: the settings.
        classes: how many there are.
        encoder: settings of the encoder.
        weights: of a pretrained encoder.
    """

    windows: LabelledWindows
    pool: Pool
    config: LczNetConfig
    classes: int
    encoder: Mapping[str, Setting]
    weights: Mapping[str, Tensor] | None = None

    def tuned(self, keep: np.ndarray, *, seed: int | None = None) -> Tuning:
        """A net that has learned from the windows at the places ``keep``, each polygon capped."""
        config = self.config
        seed = config.seed if seed is None else seed
        capped = keep[cap_per_group(self.windows.item[keep], cap=config.max_cells_per_polygon, seed=seed)]
        return Tuning(
            pool=self.pool,
            y=self.windows.y,
            train=capped,
            classes=self.classes,
            encoder=self.encoder,
            weights=self.weights,
            config=config,
            seed=seed,
        ).run()


def prepare(
    scene: Scene,
    labels: Labels,
    config: LczNetConfig,
    *,
    encoder: EncoderPackage | None = None,
    progress: Progress | None = None,
) -> LczNet:
    """Read the windows around labelled cells, and what a net begins with.

    Raises:
        LabelsError: with one class only, or no label inside the image, or those of one class only.
        ModelError: when an encoder does not fit the images, or a patch does not fit the cells.
    """
    pixel_m = pixel_size_m(scene.geobox)
    stride = cell_stride(pixel_m, config.cell)
    side = config.patch or (encoder.side if encoder else window_side(pixel_m, stride))
    if encoder:
        encoder.require_fit(stack_of(scene.bands), describe_scene(scene), pixel_m)
    if side < stride or (side - stride) % 2:
        raise ModelError(
            f"A patch of {side} pixels has no cell of {stride} pixels in its middle: give "
            f"{'an odd' if stride % 2 else 'an even'} patch of {stride} pixels or more, or another cell."
        )
    require_trainable(labels)
    size = 4 * len(scene.bands) * side**2
    cap = max(int(MEMORY / (size * len(labels))), 1)
    windows = labelled_windows(
        scene, labels, cell_m=config.cell, side=side, cap=cap, seed=config.seed, progress=progress
    )
    if len(np.unique(windows.y)) < 2:
        raise LabelsError(
            f"Inside the image all labels are of class {labels.scheme.labels[windows.y[0]]}: add labels of "
            "another class there."
        )
    grid = coarser(scene.geobox, stride)
    windows = replace(windows, group=touching_groups(windows, grid))
    drawn = draw_windows(scene, max(min(MEASURED, int(MEMORY / size)), 1), side, seed=config.seed)
    settings: dict[str, Setting] = {"first_stride": 2 if side >= 24 else 1, **config.encoder}
    if config.encoder.get("kind") == "tokens":
        settings = {"side": side, "token": token_side(side), **config.encoder}
    return LczNet(
        windows=windows,
        pool=Pool(windows.images, windows.stack, Pool.of(drawn.images, drawn.stack).moments),
        config=config,
        classes=len(labels.scheme.classes),
        encoder=encoder.settings if encoder else settings,
        weights=encoder.tensors() if encoder else None,
    )


def train_lcz_net(
    scene: Scene,
    labels: Labels,
    *,
    config: LczNetConfig | None = None,
    encoder: EncoderPackage | None = None,
    folds: int = 5,
    error: float = ACCEPTED_ERROR,
    progress: Progress | None = None,
) -> NetModel:
    """Judge nets on folds by polygon, then train the one for the map on all labels.

    Args:
        scene: the images: sensors on one date, or on several.
        labels: polygons or points with classes and groups.
        config: settings; the default ones without it.
        encoder: where the nets begin; from scratch without it.
        folds: number of folds, each polygon in one of them.
        error: share of wrong cells accepted among those of which maps are sure.
        progress: told how far it is.

    Raises:
        LabelsError: with one class only, or no label inside the image, or those of one class only.
        FoldsError: with fewer polygons than folds, or all of them in one place.
        ModelError: when the encoder does not fit the images.
    """
    config = config or LczNetConfig()
    start = time.perf_counter()
    scene = in_decibels(scene)
    ready = prepare(scene, labels, config, encoder=encoder, progress=progress)
    windows = ready.windows
    split = apart(group_kfold(windows.group, windows.y, k=folds, seed=config.seed), windows, scene)
    held = np.zeros((len(windows), ready.classes), dtype=np.float32)
    for i, (train, test) in enumerate(split, start=1):
        if not len(train):
            raise FoldsError(
                f"All labelled cells lie within {split.buffer:.0f} m of those of fold {i}, so their windows "
                "show each other: draw polygons in more places, or take a smaller patch."
            )
        held[test] = ready.tuned(train).probabilities(test)
        if progress:
            progress("judging on folds", i, split.k + 1)
    evaluation = evaluate(windows, held, split, labels.scheme, error=error)
    evaluation["polygons"] = polygon_agreement(windows, held, split, labels)
    evaluation["images"] = [path.name for path in scene.paths]
    evaluation["labels"] = label_facts(windows, labels, len(np.unique(labels.groups[windows.item])))
    if encoder:
        evaluation["encoder"] = {
            "name": Path(encoder.package).name,
            "method": encoder.config.get("method"),
            "images": list(encoder.images),
            "saw_images": bool(set(encoder.images) & {path.name for path in scene.paths}),
        }
    last = ready.tuned(np.arange(len(windows)))
    if progress:
        progress("judging on folds", split.k + 1, split.k + 1)
    evaluation["seconds"] = round(time.perf_counter() - start, 2)
    return lcz_model(last, ready, scene, labels, evaluation)


def apart(folds: Folds, windows: LabelledWindows, scene: Scene) -> Folds:
    """The same folds, without training cells whose window shows the middle of a held-out cell."""
    pixel = np.abs([scene.geobox.resolution.x, scene.geobox.resolution.y])
    metres = windows.xy / pixel * pixel_size_m(scene.geobox)[::-1]
    reach = windows.side / 2**0.5 * max(pixel_size_m(scene.geobox))  # half the diagonal
    return replace(folds, xy=metres, buffer=reach)


def lcz_model(
    tuning: Tuning, ready: LczNet, scene: Scene, labels: Labels, evaluation: dict[str, Any]
) -> NetModel:
    """A trained net as a model for maps."""
    config, pool, pixel_m = ready.config, ready.pool, pixel_size_m(scene.geobox)
    stride = cell_stride(pixel_m, config.cell)
    mean, sd = pool.moments
    windows = MAP_WINDOWS if stride > 1 else 64
    return NetModel(
        net=tuning.learner.judged,
        config=NetConfig(
            net="encoder",
            settings={**tuning.net_settings, "out_channels": ready.classes},
            mean=tuple(mean.tolist()),
            sd=tuple(sd.tolist()),
            precision=config.precision,
            patch=pool.side,
            stride=stride,
            tile=pool.side + (windows - 1) * stride,
        ),
        bands=tuple(scene.bands[place] for place in pool.stack.order),
        scheme=labels.scheme,
        pixel_m=pixel_m,
        labels=labels,
        evaluation=evaluation,
        abstain_below=evaluation["unsure"]["below"],
        radiometry=describe_scene(scene),
        calibration=Calibration.from_dict(evaluation["calibration"]["fitted"]),
    )
