"""From images with a class each to a scene model whose figures are those of images it has not seen."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jido.data.chip_splits import ChipSplit
from jido.data.chips import Chips
from jido.data.sheets import PIXEL_TOLERANCE
from jido.errors import FoldsError, ModelError
from jido.geo.radiometry import compare
from jido.io import Progress, replacing
from jido.labels import named_scheme
from jido.methods.judging import ACCEPTED_ERROR, unsure_facts
from jido.methods.net import NetConfig, NetModel, require_stride
from jido.methods.scene import SceneTraining, net_settings
from jido.methods.scene_config import SceneConfig
from jido.methods.scene_data import SceneData
from jido.nets.cost import cost
from jido.stats.calibrators import (
    UNCALIBRATED,
    Calibration,
    calibration_facts,
    cross_calibrated,
    fit_calibration,
)
from jido.stats.intervals import judged as figures_of

WINDOWS = 8
"""Windows in a row of a tile of a map, about."""


@dataclass(frozen=True, eq=False)
class Classification:
    """What a training gives.

    Args:
        model: for maps and predictions.
        training: with the weights of the best epoch in its net, and the history.
        judged: places of the images that the figures are of.
        said: (n, K) their calibrated probabilities.
    """

    model: NetModel
    training: SceneTraining
    judged: np.ndarray
    said: np.ndarray


def train_classification(
    chips: Chips,
    split: ChipSplit,
    *,
    config: SceneConfig,
    work: Path,
    error: float = ACCEPTED_ERROR,
    progress: Progress | None = None,
) -> Classification:
    """Train, choose the epoch and calibrate on validation images, judge on test images once.

    Args:
        chips: images with their classes.
        split: which of them are for training, validation and test. Without test images the figures are
            those of the validation images, and are said to be.
        config: the settings.
        work: an existing folder for the checkpoint: what was cut off goes on from there.
        error: share of wrong images accepted among those of which the model is sure.
        progress: told the epochs.

    Raises:
        FoldsError: when there is nothing to learn from, or nothing to judge on.
        ModelError: for settings with which no training can begin.
    """
    start = time.perf_counter()
    map_stride(config, chips.side)  # what no map can have is refused before hours of training
    chips = replace(chips, notes=(*chips.notes, *split.notes))
    train, validation, test = (np.flatnonzero(split.part == part) for part in ("train", "val", "test"))
    if not len(train) or not len(validation) + len(test):
        raise FoldsError(
            f"The split leaves {len(train)} images to learn from and {len(validation) + len(test)} to judge "
            "on: give some of both."
        )
    training = SceneTraining(SceneData(chips, train, validation), config).run(work, progress=progress)
    held, on = (
        (test, "test images") if len(test) else (validation, "the validation images that chose the epoch")
    )
    said, truth = training.probabilities(held), chips.label[held]
    turned = training.probabilities(held, views=True)
    scheme = named_scheme("scene", chips.classes)
    plain, views = (figures_of(truth, found.argmax(1), split.group[held], scheme) for found in (said, turned))
    used = (views, turned) if config.views else (plain, said)
    fitted, unsure = _calibrated(training, validation, split, error=error)
    groups = split.group[held]
    after = fitted.apply(used[1]) if len(test) else cross_calibrated(used[1], truth, groups)
    evaluation: dict[str, Any] = {
        **used[0],
        "folds": {
            "kind": split.kind,
            "k": 1,
            "leaks": split.leaks,
            "buffer_m": split.buffer_m,
            "touching": split.touching,
        },
        "judged_on": on,
        "tiles": {"train": len(train), "val": len(validation), "test": len(test)},
        "one_view": plain["metrics"],
        "eight_views": views["metrics"],
        "calibration": calibration_facts(used[1], after, truth, fitted=fitted),
        "validation_oa": training.best["oa"] if len(validation) else None,
        "best_epoch": training.best["epoch"],
        "cost": cost(training.learner.judged, chips.side)._asdict(),
        "class_weights": training.class_weights,
        "device": str(training.learner.device),
        "training_seconds": round(sum(row["seconds"] for row in training.rows), 2),
    }
    if unsure:
        evaluation["unsure"] = unsure
    evaluation["seconds"] = round(time.perf_counter() - start, 2)
    model = scene_model(training, evaluation, abstain_below=unsure.get("below", 0.0), calibration=fitted)
    return Classification(model, training, held, after)


def _calibrated(
    training: SceneTraining, validation: np.ndarray, split: ChipSplit, *, error: float
) -> tuple[Calibration, dict[str, Any]]:
    """Calibration from validation images, and which of them are unsure; nothing without such images."""
    if not len(validation):
        return UNCALIBRATED, {}
    said = training.probabilities(validation, views=training.config.views)
    truth, groups = training.data.chips.label[validation], split.group[validation]
    best = said.argmax(1)
    fitted = fit_calibration(said, truth, groups)
    confidence = fitted.apply(said)[np.arange(len(said)), best]
    words = {"ones": "images", "of": "places"}
    return fitted, unsure_facts(confidence, best == truth, groups, error=error, leaks=split.leaks, **words)


def scene_model(
    training: SceneTraining,
    evaluation: dict[str, Any],
    *,
    abstain_below: float = 0.0,
    calibration: Calibration = UNCALIBRATED,
) -> NetModel:
    """A training as a model: a class for windows of the size of its images."""
    data, config = training.data, training.config
    chips, side = data.chips, data.chips.side
    stride = map_stride(config, side)
    settings = {"in_channels": len(chips.bands), "out_channels": len(chips.classes)}
    return NetModel(
        net=training.learner.judged,
        config=NetConfig(
            net=config.net,
            settings={**settings, **net_settings(config, side)},
            mean=tuple(data.mean.tolist()),
            sd=tuple(data.sd.tolist()),
            precision=config.precision,
            patch=side,
            stride=stride,
            tile=side + (WINDOWS - 1) * stride,
            views=config.views,
        ),
        bands=chips.bands,
        scheme=named_scheme("scene", chips.classes),
        pixel_m=chips.pixel_m,
        evaluation=evaluation,
        abstain_below=abstain_below,
        radiometry=chips.radiometry,
        calibration=calibration,
    )


def map_stride(config: SceneConfig, side: int) -> int:
    """Pixels from one window of a map to the next: those of the settings, or half an image.

    Raises:
        ModelError: as :func:`~jido.methods.net.require_stride`.
    """
    if config.stride is None:
        half = max(side // 4 * 2, 1)
        return half + (side - half) % 2
    require_stride(side, config.stride)
    return config.stride


def write_predictions(model: NetModel, some: Iterable[Chips], path: str | Path) -> dict[str, int]:
    """Write a table of what a scene model says of images: a row for each.

    Columns: ``image``, ``class``, ``confidence``, ``unsure`` (0 or 1), ``lon`` and ``lat`` where an image has
    a place, and the probability of every class; all probabilities are calibrated.

    Args:
        model: of this method.
        some: images, some at a time.
        path: of a CSV file.

    Returns:
        number of images of each class.

    Raises:
        ModelError: for a model of another kind, or images that it was not made for.
        OutputError: when the file cannot be written.
    """
    side, names = model.config.patch, model.scheme.labels
    if side is None:
        raise ModelError("This model gives every pixel a class: use jido map.")
    single = model.at_stride(side)
    count = dict.fromkeys(names, 0)
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["image", "class", "confidence", "unsure", "lon", "lat", *(f"p_{name}" for name in names)]
        )
        for chips in filter(len, some):
            said = single.predict(_fitting(model, chips, side))[:, :, 0, 0]
            bests, said = said.argmax(1), model.calibration.apply(said)
            lonlat = np.full((len(chips), 2), np.nan) if chips.lonlat is None else chips.lonlat
            for name, place, best, row in zip(chips.name, lonlat, bests.tolist(), said, strict=True):
                count[names[best]] += 1
                where = [f"{value:.6f}" if np.isfinite(value) else "" for value in place]
                top = float(row[best])
                sure = [names[best], f"{top:.4f}", int(top < model.abstain_below)]
                table.writerow([name, *sure, *where, *(f"{value:.4f}" for value in row)])
    return count


def _fitting(model: NetModel, chips: Chips, side: int) -> np.ndarray:
    """Images (n, C, S, S) float32 with the bands of a model, in its order."""
    here = [band.name for band in chips.bands]
    if missing := [band.name for band in model.bands if band.name not in here]:
        raise ModelError(
            f"The model reads bands {', '.join(missing)} that are missing; the images have "
            f"{', '.join(here)}: give images like those of the training."
        )
    if chips.side != side:
        raise ModelError(
            f"The model was trained on images of {side} x {side} pixels, {chips.name[0]} has {chips.side} x "
            f"{chips.side}: cut the images to that size, or map a large one with jido map."
        )
    _require_alike(model, chips)
    return chips.images[:, [here.index(band.name) for band in model.bands]].astype(np.float32)


def _require_alike(model: NetModel, chips: Chips) -> None:
    """Refuse pixels of another size, and numbers that mean something else than those of the training."""
    there, here = model.pixel_m, chips.pixel_m
    if there and here and not np.allclose(here, there, rtol=PIXEL_TOLERANCE):
        raise ModelError(
            f"The model was trained on pixels of {there[0]:.4g} x {there[1]:.4g} m, {chips.name[0]} has "
            f"{here[0]:.4g} x {here[1]:.4g} m: resample the images or train on their resolution."
        )
    if model.radiometry and chips.radiometry:
        found = compare(model.radiometry, chips.radiometry)
        if wrong := [one for one in found if one.refuses and one.code != "constant"]:  # a lake may be flat
            raise ModelError(wrong[0].sentence.replace("give --convert, or ", "give "))  # which maps have
