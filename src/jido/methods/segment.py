"""From tiles with masks to a segmentation model whose figures are those of tiles it has not seen."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jido.data.splits import Split
from jido.data.tiles import Tiles
from jido.io import Progress
from jido.labels import ClassScheme, binary_scheme
from jido.methods.errors import ErrorMask
from jido.methods.net import NetConfig, NetModel
from jido.methods.stage import PRECONDITION, Data, Stage
from jido.methods.two_stage import TwoStage, TwoStageConfig, require_net
from jido.stats.binary import (
    average_precision_figure,
    best_threshold,
    binary_figures,
    binary_summary,
    counts_at,
)
from jido.stats.intervals import Figure

LOG = logging.getLogger("jido")

SEEN = 8
"""Pixels that tiles of a map share, for each pixel of a U-Net's coarsest grid: it hardly sees further."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Figures of one stage: the threshold was chosen on validation tiles, the rest is on others.

    Args:
        stage: with the weights of the epoch with the best validation IoU.
        threshold: score from which a pixel is target.
        metrics: iou, precision, recall, fn_tp, fp_tp and pr_auc with intervals over groups.
        groups: number of groups that the figures rest on.
        validation_iou: at that threshold, on the tiles that chose it.
        validation_recall: the same.
    """

    stage: Stage
    threshold: float
    metrics: dict[str, Figure]
    groups: int
    validation_iou: float
    validation_recall: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a training gives.

    Args:
        model: of the last stage.
        first: stage 1, judged.
        second: stage 2, judged; ``None`` for one stage.
        judged: places of the tiles that the figures are of.
        errors: what stage 2 has learned; ``None`` for one stage.
        rows: the history, a row per epoch.
    """

    model: NetModel
    first: Judged
    second: Judged | None
    judged: np.ndarray
    errors: ErrorMask | None
    rows: list[dict[str, Any]] = field(default_factory=list)


def judge(
    stage: Stage, judged: np.ndarray, *, recall: float | None = None, level: float | None = 0.95
) -> Judged:
    """The best epoch and the threshold from validation tiles, figures from other ones.

    Args:
        stage: trained.
        judged: places of the tiles to judge on.
        recall: that the threshold must reach on validation pixels; the best IoU without it.
        level: coverage that intervals aim at; ``None`` claims none.
    """
    stage.take_best()
    chosen = stage.histograms(stage.data.validation).sum(0)
    threshold = best_threshold(chosen, recall=recall)
    histograms = stage.histograms(judged)
    metrics = binary_figures(counts_at(histograms, threshold), level=level)
    metrics["pr_auc"] = average_precision_figure(histograms, level=level)
    on_validation = {key: float(value) for key, value in binary_summary(counts_at(chosen, threshold)).items()}
    if recall is not None and on_validation["recall"] < recall:
        LOG.warning(
            "A recall of %g is not reached: %.3f at the lowest threshold.", recall, on_validation["recall"]
        )
    return Judged(stage, threshold, metrics, len(histograms), on_validation["iou"], on_validation["recall"])


def train_segmentation(
    tiles: Tiles,
    split: Split,
    *,
    config: TwoStageConfig,
    work: Path,
    scheme: ClassScheme | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Train one stage or two, choose epoch and threshold on validation tiles, judge on test tiles.

    Args:
        tiles: images and masks.
        split: which tiles are for training, validation and test. Without test tiles the figures
            are those of the validation tiles, and are said to be.
        config: the settings. One stage has as many epochs as two have together.
        work: an existing folder for checkpoints: what was cut off goes on from there.
        scheme: background and target; the labels' own, or :func:`~jido.labels.binary_scheme`.
        progress: told the epochs.
    """
    start = time.perf_counter()
    require_net(config, tiles.side)
    part = split.part
    data = Data(tiles, np.flatnonzero(part == "train"), np.flatnonzero(part == "val"))
    judged = np.flatnonzero(part == "test")
    tested = len(judged) > 0
    judged = judged if tested else data.validation
    method = TwoStage(data, config, work, progress=progress)
    scheme = scheme or (tiles.labels.scheme if tiles.labels else binary_scheme())
    if config.stages == 2 and config.out_of_fold:
        method.folds()  # too few groups are refused before hours of stage 1
    errors, how = None, {"recall": config.recall, "level": None if split.leaks else 0.95}
    if config.stages == 1:
        plain = method.stage_one(collect=False, until=config.until + config.epochs)
        first, second = judge(plain, judged, **how), None
    else:
        one = method.stage_one()
        errors = method.out_of_fold() if config.out_of_fold else one.errors
        two = method.stage_two(one, errors)
        first, second = (judge(stage, judged, **how) for stage in (one, two))
    last = second or first
    evaluation: dict[str, Any] = {
        "metrics": last.metrics,
        "folds": {"kind": split.kind, "k": 1, "leaks": split.leaks, "buffer_m": 0.0},
        "groups": last.groups,
        "judged_on": "test tiles" if tested else "the validation tiles that chose epoch and threshold",
        "tiles": {name: int(np.count_nonzero(part == name)) for name in ("train", "val", "test")},
        "target_share": round(float(tiles.shares().mean()), 6),
        "best_epoch": last.stage.best["epoch"],
        "validation_iou": last.validation_iou,
        "validation_recall": last.validation_recall,
        "stages": config.stages,
        "device": str(last.stage.learner.device),
        "seconds": round(time.perf_counter() - start, 2),
    }
    rows = list(first.stage.rows)
    if second and errors:
        onset = first.stage.onset_iou
        evaluation["first_stage"] = {
            "metrics": first.metrics,
            "validation_iou": first.validation_iou,
            "train_iou_at_onset": onset,
            "precondition_met": onset is not None and onset >= PRECONDITION,
            "cfdr": errors.ratio(data.train),
        }
        rows += second.stage.rows
    model = net_model(last, tiles, config, scheme, evaluation)
    return Segmentation(model, first, second, judged, errors, rows)


def net_model(
    judged: Judged, tiles: Tiles, config: TwoStageConfig, scheme: ClassScheme, evaluation: dict[str, Any]
) -> NetModel:
    """A judged stage as a model for maps."""
    stage, overlap = judged.stage, SEEN * 2**config.depth
    settings = {
        "in_channels": len(tiles.bands),
        "out_channels": 1 + len(stage.heads),
        "width": config.width,
        "depth": config.depth,
    }
    return NetModel(
        net=stage.learner.net,
        config=NetConfig(
            net=config.net,
            settings=settings,
            mean=tuple(stage.data.mean.tolist()),
            sd=tuple(stage.data.sd.tolist()),
            precision=config.precision,
            tile=max(tiles.side, 4 * overlap),
            overlap=overlap,
            heads=stage.heads,
            combine=config.combine,
            threshold=judged.threshold,
        ),
        bands=tiles.bands,
        scheme=scheme,
        pixel_m=tiles.pixel_m,
        labels=tiles.labels,
        evaluation=evaluation,
        radiometry=tiles.radiometry,
    )
