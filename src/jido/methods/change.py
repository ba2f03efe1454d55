"""Flood or damage from before and after: any of the ways to learn, judged on events that were held out.

An event that has not been seen is what counts: on xBD a net loses half its score there (Kim et al. 2022,
Frontiers in Environmental Science 10:969758; xView2). So each event is predicted by models that have not seen
it; from these answers come figures, threshold, intervals of cells and the confidence to be asked for. The
model of the maps then learns from all events.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jido.data.tiles import Tiles
from jido.errors import FoldsError, ImageError, LabelsError, ModelError
from jido.geo import Band, block_sum
from jido.io import Progress
from jido.labels import ClassScheme, Folds, binary_scheme, group_kfold
from jido.methods.change_config import ChangeConfig
from jido.methods.change_net import ChangeTraining
from jido.methods.change_trees import ChangeTrees, fit_trees, moved
from jido.methods.judging import ACCEPTED_ERROR
from jido.methods.net import NetModel, require_stride
from jido.stats.abstention import group_accept_threshold
from jido.stats.binary import (
    BINS,
    average_precision_figure,
    best_threshold,
    binary_figures,
    counts_at,
    score_histogram,
)
from jido.stats.event_shares import fit_event_shares
from jido.stats.intervals import Figure

TRUST = 0.9
"""Chance that a new event keeps to the error that is promised."""

NEIGHBOURS = 4
"""Cells along a side of the squares that tell how far neighbours err alike."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models said of events that they had not seen.

    Args:
        score: (N, s, s) float32 of each tile: pixels, or cells; NaN = no data.
        truth: (N, s, s) share of target, 0 or 1 for pixels.
        event: (N,) of each tile.
        cell: pixels along a side of a cell that is judged, in units of ``score``.
    """

    score: np.ndarray
    truth: np.ndarray
    event: np.ndarray
    cell: int

    def histograms(self, least: float) -> np.ndarray:
        """Histograms (E, 2, BINS) of scores by event; ``least``: share from which a cell counts."""
        return np.stack([self._histogram(self.event == name, least) for name in np.unique(self.event)])

    def _histogram(self, which: np.ndarray, least: float) -> np.ndarray:
        score, truth = self.score[which], self.truth[which]
        known = np.isfinite(score)
        if not known.any():
            return np.zeros((2, BINS), dtype=np.int64)
        return score_histogram(score[known], truth[known] >= least)

    def cells(self, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Said and true shares (N, r, c) of cells, their pixels with data, and the number of their square."""
        known = np.isfinite(self.score)
        said = (self.score >= threshold) & known
        n = np.stack([block_sum(one.astype(np.float32), self.cell) for one in known])
        sums = [
            np.stack([block_sum(one.astype(np.float32), self.cell) for one in part])
            for part in (said, np.where(known, self.truth, 0))
        ]
        with np.errstate(invalid="ignore"):
            shares = [np.where(n > 0, part / n, np.nan) for part in sums]
        number, row, col = np.indices(n.shape)
        _, square = np.unique(
            np.stack([number, row // NEIGHBOURS, col // NEIGHBOURS]).reshape(3, -1),
            axis=1,
            return_inverse=True,
        )
        return shares[0], shares[1], n, square.reshape(n.shape)


def fit_change(
    tiles: Tiles,
    train: np.ndarray,
    config: ChangeConfig,
    *,
    scheme: ClassScheme,
    progress: Progress | None = None,
) -> ChangeTrees | NetModel:
    """A model of the tiles at the places ``train``, not yet judged."""
    if config.method in ("net", "cells"):
        return ChangeTraining(tiles, train, config).run(progress=progress).model(scheme)
    trees = fit_trees(tiles, train, config)
    return ChangeTrees(
        trees, config, tiles.bands, scheme, tiles.pixel_m, labels=tiles.labels, radiometry=tiles.radiometry
    )


def scores(model: ChangeTrees | NetModel, image: np.ndarray) -> np.ndarray:
    """Score of the target (S, S), or of each cell, of an image (C, S, S); beyond it there is no data."""
    rim = model.halo
    wide = np.pad(image, ((0, 0), (rim, rim), (rim, rim)), constant_values=np.nan)
    found = model.predict(wide[None])[0, 1]
    if model.stride == 1:
        found = np.where(np.isfinite(image).any(axis=0), found, np.nan)
    return found


def judge_change(
    model: ChangeTrees | NetModel, tiles: Tiles, which: np.ndarray, config: ChangeConfig
) -> HeldOut:
    """What a model says of tiles that it has not seen, at the places ``which``."""
    side = model.stride
    said = np.stack([scores(model, image) for place in which for image in tiles.pixels(place[None])])
    truth = tiles.mask(which).astype(np.float32)
    if side > 1:
        truth = np.stack([block_sum(one, side) / side**2 for one in truth])
    return HeldOut(said.astype(np.float32), truth, tiles.group[which], max(config.cell // side, 1))


def two_dates(bands: Sequence[Band]) -> bool:
    """Whether bands are those of one date, ``NAME@1``, and then the same of another, ``NAME@2``."""
    stems, dates = (
        zip(*(band.name.rpartition("@")[::2] for band in bands), strict=True) if bands else ((), ())
    )
    half = len(stems) // 2
    return half > 0 and stems[:half] == stems[half:] and dates == ("1",) * half + ("2",) * half


def event_folds(tiles: Tiles, config: ChangeConfig) -> Folds:
    """Folds that keep every event whole; each event is in as many as there are, up to the number asked for.

    Raises:
        FoldsError: when there is one event only.
    """
    events = np.unique(tiles.group)
    if len(events) < 2:
        raise FoldsError(
            "All pairs are of one event, so nobody can tell what the model is worth on another: give pairs "
            "of several events with --groups FILE:COLUMN, or --folds 0 for a map without figures."
        )
    target = (tiles.shares() > 0).astype(np.int64)
    return group_kfold(tiles.group, target, k=min(config.folds, len(events)), seed=config.seed)


def train_change(
    tiles: Tiles,
    config: ChangeConfig,
    *,
    scheme: ClassScheme | None = None,
    known: bool = True,
    progress: Progress | None = None,
) -> ChangeTrees | NetModel:
    """Judge a way to learn on events that were held out, then learn from all of them.

    Args:
        tiles: of two dates: bands before, then as many after.
        config: the settings.
        scheme: background and target.
        known: whether the groups of the tiles are events; else the figures are said to be too good.
        progress: told how far it is.

    Raises:
        LabelsError: when there is no target.
        FoldsError: when there is one event only.
        ImageError: when the bands of both dates differ, or do not suit the method.
        ModelError: when cells do not fit the tiles.
    """
    begun = time.perf_counter()
    if not two_dates(tiles.bands):
        raise ImageError(
            f"The images before and after have other bands ({', '.join(band.name for band in tiles.bands)} "
            "together): give the same bands of both dates, in the same order."
        )
    require_cells(config, tiles.side)
    scheme = scheme or (tiles.labels.scheme if tiles.labels else binary_scheme("flooded"))
    if not (tiles.shares() > 0).any():
        raise LabelsError("No tile has any target: give masks of what is looked for.")
    evaluation: dict[str, Any] = {}
    threshold, below = 0.5, 0.0
    if config.folds:
        folds = event_folds(tiles, config)
        held = held_out(tiles, folds, config, scheme=scheme, progress=progress)
        evaluation = told(held, folds, config, known=known)
        threshold, below = evaluation["threshold"], evaluation.get("unsure", {}).get("below", 0.0)
    model = fit_change(tiles, np.arange(len(tiles)), config, scheme=scheme, progress=progress)
    if evaluation:
        evaluation["seconds"] = round(time.perf_counter() - begun, 2)
    if isinstance(model, NetModel):
        settings = model.config.model_copy(update={"threshold": threshold})
        return replace(model, config=settings, evaluation=evaluation, abstain_below=below)
    return replace(model, threshold=threshold, evaluation=evaluation, abstain_below=below)


def require_cells(config: ChangeConfig, side: int) -> None:
    """Refuse cells that do not fit tiles of ``side`` pixels, or the windows of a net for cells.

    Raises:
        ModelError: when they do not.
    """
    if config.cell > side:
        raise ModelError(
            f"Cells of {config.cell} pixels do not fit tiles of {side}: give fewer with --pixels."
        )
    if config.method == "cells":
        require_stride(config.patch, config.cell)


def held_out(
    tiles: Tiles, folds: Folds, config: ChangeConfig, *, scheme: ClassScheme, progress: Progress | None = None
) -> HeldOut:
    """Every tile as it is seen by a model that has not seen its event."""
    parts: list[tuple[np.ndarray, HeldOut]] = []
    for number, (train, test) in enumerate(folds, start=1):
        model = fit_change(tiles, train, config, scheme=scheme)
        parts.append((test, judge_change(model, tiles, test, config)))
        if progress:
            progress("judging on events held out", number, folds.k)
    order = np.argsort(np.concatenate([test for test, _ in parts]))
    score, truth, event = (
        np.concatenate([getattr(one, name) for _, one in parts])[order]
        for name in ("score", "truth", "event")
    )
    return HeldOut(score, truth, event, parts[0][1].cell)


def told(held: HeldOut, folds: Folds, config: ChangeConfig, *, known: bool = True) -> dict[str, Any]:
    """All that held-out events say: figures, threshold, shares of cells, confidence; JSON-ready.

    With too few events to promise anything of a new one (9), or where nobody knows the events, the map never
    says "unsure".

    Threshold and figures come from the same events: one number chosen from thousands of pixels.
    """
    histograms = held.histograms(config.least)
    threshold = best_threshold(histograms.sum(0))
    level = 0.95 if known else None
    metrics: dict[str, Figure] = binary_figures(counts_at(histograms, threshold), level=level)
    metrics["pr_auc"] = average_precision_figure(histograms, level=level)
    said, true, n, square = held.cells(threshold)
    event = np.broadcast_to(held.event[:, None, None], said.shape)
    metrics["cell_f1"] = cell_f1(said, true, event, least=config.least, level=level)
    shares = fit_event_shares(
        said.ravel(),
        true.ravel(),
        event.ravel(),
        pixels=n.ravel(),
        patches=square.ravel(),
        threshold=0.5,  # that of the maps: odds are divided by the one chosen here
    )
    seen = np.isfinite(held.score)
    of = np.broadcast_to(held.event[:, None, None], seen.shape)[seen]
    on_map = moved(held.score[seen], threshold)
    below, kept = group_accept_threshold(
        np.maximum(on_map, 1 - on_map), (on_map >= 0.5) == (held.truth[seen] >= config.least), of,
        error=ACCEPTED_ERROR, trust=TRUST,
    )  # fmt: skip
    promised = {"below": below, "share": 1 - kept, "aimed_error": ACCEPTED_ERROR, "trust": TRUST}
    kind = "by event" if known else "by image, which may show one event"
    return {
        "metrics": metrics,
        "folds": {**folds.to_dict(), "kind": kind, "leaks": not known},
        "groups": len(np.unique(held.event)),
        "judged_on": f"{folds.k} folds of {'events' if known else 'images'}",
        "tiles": {"the folds, and for the map": len(held.event)},
        "threshold": threshold,
        "judged_cells": {"side": held.cell, "least": config.least},
        "event_shares": shares.to_dict(),
        **({"unsure": promised} if kept and known else {}),
    }


def cell_f1(
    said: np.ndarray, true: np.ndarray, event: np.ndarray, *, least: float, level: float | None = 0.95
) -> Figure:
    """F1 of cells that count as target, with its interval over events."""
    seen = np.isfinite(said) & np.isfinite(true)
    one, other = said[seen] >= least, true[seen] >= least
    counts = [
        [(one & other & here).sum(), (one & ~other & here).sum(), (~one & other & here).sum(), 0]
        for here in (event[seen] == name for name in np.unique(event))
    ]
    found = binary_figures(np.array(counts), level=level)["iou"]
    ends = {key: _f1(value) for key, value in found.items()}
    return Figure(value=ends["value"], lower=ends["lower"], upper=ends["upper"])


def _f1(iou: Any) -> float | None:
    """F1 = 2 IoU / (1 + IoU), which keeps order, so ends of an interval too."""
    return None if iou is None else float(2 * iou / (1 + iou))
