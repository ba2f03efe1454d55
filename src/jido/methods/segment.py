"""From tiles with masks to a segmentation model whose figures are those of tiles it has not seen."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jido.data.splits import PARTS, Split
from jido.data.tiles import Tiles
from jido.io import Progress, replacing
from jido.labels import ClassScheme, binary_scheme
from jido.methods.errors import ErrorMask
from jido.methods.judging import ACCEPTED_ERROR
from jido.methods.net import NetConfig, NetModel
from jido.methods.segment_trust import Trust, trust_of
from jido.methods.stage import PRECONDITION, Data, Stage, StageConfig
from jido.methods.two_stage import CASES, Case, TwoStage, TwoStageConfig, require_cases, require_net
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
        trust: what the same tiles teach of probabilities.
    """

    stage: Stage
    threshold: float
    metrics: dict[str, Figure]
    groups: int
    validation_iou: float
    validation_recall: float
    trust: Trust


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
    stage: Stage,
    judged: np.ndarray,
    *,
    recall: float | None = None,
    level: float | None = 0.95,
    error: float = ACCEPTED_ERROR,
) -> Judged:
    """The best epoch, threshold and calibration from validation tiles, figures from other ones.

    Args:
        stage: trained.
        judged: places of the tiles to judge on.
        recall: that the threshold must reach on validation pixels; the best IoU without it.
        level: coverage that intervals aim at; ``None`` claims none, and promises nothing.
        error: share of wrong ones accepted among the pixels of the target of which maps are sure.
    """
    stage.take_best()
    validation = stage.histograms(stage.data.validation)
    chosen = validation.sum(0)
    threshold = best_threshold(chosen, recall=recall)
    histograms = stage.histograms(judged)
    others = None if np.isin(judged, stage.data.validation).any() else histograms
    trust = trust_of(validation, others, threshold, error=None if level is None else error)
    metrics = binary_figures(counts_at(histograms, threshold), level=level)
    metrics["pr_auc"] = average_precision_figure(histograms, level=level)
    on_validation = {key: float(value) for key, value in binary_summary(counts_at(chosen, threshold)).items()}
    if recall is not None and on_validation["recall"] < recall:
        LOG.warning(
            "A recall of %g is not reached: %.3f at the lowest threshold.", recall, on_validation["recall"]
        )
    found = on_validation["iou"], on_validation["recall"]
    return Judged(stage, threshold, metrics, len(histograms), *found, trust)


class _Stages(NamedTuple):
    """What one training of the method gives."""

    first: Judged
    second: Judged | None
    errors: ErrorMask | None

    @property
    def last(self) -> Judged:
        """The stage that makes the maps."""
        return self.second or self.first

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history of both."""
        return self.first.stage.rows + (self.second.stage.rows if self.second else [])


def train_segmentation(
    tiles: Tiles,
    split: Split,
    *,
    config: TwoStageConfig,
    work: Path,
    scheme: ClassScheme | None = None,
    error: float = ACCEPTED_ERROR,
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
        error: share of wrong ones accepted among the pixels of the target of which maps are sure.
        progress: told the epochs.
    """
    start = time.perf_counter()
    require_net(config, tiles.side)
    data = Data(tiles, split.places("train"), split.places("val"))
    found = _trained(TwoStage(data, config, work, progress=progress), split, error=error)
    return _segmentation(found, split, found.rows, scheme=scheme, start=start)


def train_cases(
    tiles: Tiles,
    split: Split,
    *,
    config: TwoStageConfig,
    work: Path,
    cases: Mapping[str, Case] = CASES,
    scheme: ClassScheme | None = None,
    error: float = ACCEPTED_ERROR,
    progress: Progress | None = None,
) -> Segmentation:
    """Train all cases of the paper, which share what they can of stage 1, for its table 2 and figure 5.

    The model is that of the case with the best validation IoU, ``evaluation["cases"]`` has the figures
    of all, and the history holds each run once.

    Args:
        tiles: images and masks.
        split: as for :func:`train_segmentation`.
        config: the settings, of two stages; the cases set the epochs of stage 1.
        work: an existing folder; every case keeps its checkpoints in a folder of its name.
        cases: by name, ``BRANCH_ONSET-UNTIL``; of one branch those with fewer epochs first.
        scheme: background and target.
        error: as for :func:`train_segmentation`.
        progress: told the epochs.

    Raises:
        ModelError: for one stage, and for cases that have no stage 1 in common.
    """
    start = time.perf_counter()
    require_cases(config, cases)
    require_net(config, tiles.side)
    data, folder = Data(tiles, split.places("train"), split.places("val")), work
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    facts: dict[str, dict[str, Any]] = {}
    best: list[tuple[str, _Stages]] = []  # nets and errors of all others are let go
    for name, case in cases.items():
        folder = _begun(work / name, before=folder, branch=case.branch)
        method = TwoStage(data, config.case(name, cases), folder, progress=progress)
        found = _trained(method, split, name=name, error=error)
        rows |= {(row["run"], row["epoch"]): row for row in found.rows}
        told = {key: getattr(found.last, key) for key in ("metrics", "validation_iou", "threshold")}
        facts[name] = {
            **told,
            "best_epoch": found.last.stage.best["epoch"],
            "first_stage": _first_stage(found),
        }
        best = [max([*best, (name, found)], key=lambda one: one[1].last.validation_iou)]
    [(chosen, found)] = best
    history = sorted(rows.values(), key=lambda row: row["stage"])
    further = {"case": chosen, "cases": facts}
    return _segmentation(found, split, history, scheme=scheme, start=start, further=further)


def _begun(folder: Path, *, before: Path, branch: str) -> Path:
    """The folder of a case, begun with what the case before it has of stage 1.

    They cannot have one checkpoint: B_100-300 goes on beyond epoch 250, where B_100-250 must find it again
    when the run was cut off.
    """
    if not folder.exists():
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            for pattern in ("stage1.pt", f"{branch}.pt", "fold*.pt"):
                for path in before.glob(pattern):
                    shutil.copy(path, fresh)
    return folder


def _trained(method: TwoStage, split: Split, *, error: float, name: str = "stage 2") -> _Stages:
    """The stages that the settings ask for, trained and judged; ``name``: of stage 2 in the history."""
    config, judged = method.config, _judged_places(split)
    level = None if split.leaks else 0.95
    judging = partial(judge, judged=judged, recall=config.recall, level=level, error=error)
    if config.stages == 1:
        plain = method.stage_one(collect=False, until=config.until + config.epochs)
        return _Stages(judging(plain), None, None)
    if config.out_of_fold:
        method.folds()  # too few groups are refused before hours of stage 1
    one = method.stage_one()
    errors = method.out_of_fold() if config.out_of_fold else one.errors
    two = method.stage_two(one, errors, name=name)
    first, second = map(judging, (one, two))
    return _Stages(first, second, errors)


def _judged_places(split: Split) -> np.ndarray:
    """Places of the test tiles; of the validation tiles where there are none."""
    return split.places("test" if "test" in split.part else "val")


def _first_stage(found: _Stages) -> dict[str, Any]:
    """Figures of stage 1, and of the errors that stage 2 has learned."""
    stage, onset = found.first.stage, found.first.stage.onset_iou
    return {
        "metrics": found.first.metrics,
        "validation_iou": found.first.validation_iou,
        "train_iou_at_onset": onset,
        "precondition_met": onset is not None and onset >= PRECONDITION,
        "cfdr": None if found.errors is None else found.errors.ratio(stage.data.train),
    }


def _segmentation(
    found: _Stages,
    split: Split,
    rows: list[dict[str, Any]],
    *,
    scheme: ClassScheme | None,
    start: float,
    further: Mapping[str, Any] | None = None,
) -> Segmentation:
    """What was trained as a model, with what is told of it and ``further`` facts."""
    last, tested = found.last, "test" in split.part
    config, tiles = last.stage.config, last.stage.data.tiles
    evaluation: dict[str, Any] = {
        "metrics": last.metrics,
        "folds": {"kind": split.kind, "k": 1, "leaks": split.leaks, "buffer_m": 0.0},
        "groups": last.groups,
        "judged_on": "test tiles" if tested else "the validation tiles that chose epoch and threshold",
        "tiles": {name: len(split.places(name)) for name in PARTS},
        "target_share": round(float(tiles.shares().mean()), 6),
        "best_epoch": last.stage.best["epoch"],
        "validation_iou": last.validation_iou,
        "validation_recall": last.validation_recall,
        "calibration": last.trust.figures,
        **({"unsure": last.trust.unsure} if last.trust.unsure else {}),
        "stages": 2 if found.second else 1,
        "device": str(last.stage.learner.device),
        "seconds": round(time.perf_counter() - start, 2),
        **(further or {}),
    }
    if found.second:
        evaluation["first_stage"] = _first_stage(found)
    scheme = scheme or (tiles.labels.scheme if tiles.labels else binary_scheme())
    model = net_model(last, tiles, config, scheme, evaluation)
    return Segmentation(model, found.first, found.second, _judged_places(split), found.errors, rows)


def net_model(
    judged: Judged, tiles: Tiles, config: StageConfig, scheme: ClassScheme, evaluation: dict[str, Any]
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
        abstain_below=judged.trust.unsure.get("below", 0.0),
        radiometry=tiles.radiometry,
        calibration=judged.trust.calibration,
    )
