"""What held-out predictions of labelled cells are worth, whatever the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from odc.geo import CRS

from jido.data.labelled import LabelledCells
from jido.labels import ClassScheme, Folds, Labels
from jido.stats import accept_threshold, judged
from jido.stats.abstention import pooled_accept_threshold
from jido.stats.calibrators import calibration_facts, cross_calibrated, fit_calibration
from jido.stats.label_quality import label_quality

ACCEPTED_ERROR = 0.10
"""Share of wrong cells accepted among those the map does not call "unsure"."""

TRUST = 0.9
"""Chance that new groups keep to it."""


def evaluate(
    samples: LabelledCells,
    held: np.ndarray,
    folds: Folds,
    scheme: ClassScheme,
    *,
    error: float = ACCEPTED_ERROR,
) -> dict[str, Any]:
    """All figures of held-out probabilities (n, K): JSON-ready; nothing is claimed or promised of what leaks.

    ``calibration`` has the figures of probabilities that were calibrated on other groups, and under
    ``fitted`` the calibration of the map, fitted on all of them. ``unsure``: see :func:`unsure_facts`.
    """
    said, y, group = held.argmax(1), samples.y, samples.group
    fitted = fit_calibration(held, y, group)
    after = cross_calibrated(held, y, group)
    confidence = fitted.apply(held)[np.arange(len(y)), said]
    return {
        **judged(y, said, group, scheme, interval=not folds.leaks),
        "folds": folds.to_dict(),
        "calibration": calibration_facts(held, after, y, fitted=fitted),
        "unsure": unsure_facts(confidence, said == y, group, error=error, leaks=folds.leaks),
    }


def unsure_facts(
    confidence: np.ndarray,
    right: np.ndarray,
    groups: np.ndarray,
    *,
    error: float,
    leaks: bool = False,
    ones: str = "cells",
    of: str = "polygons",
) -> dict[str, Any]:
    """From which confidence on a map is sure, and what that promises; JSON-ready.

    Args:
        confidence: (n,) calibrated, of the class that was said.
        right: (n,) bool.
        groups: (n,) of each sample.
        error: share of wrong ones accepted among the sure.
        leaks: whether neighbours of a group were seen in training: then nothing is promised.
        ones: what the samples are, in words.
        of: what the groups are, in words.

    Returns:
        ``below``: confidence under which the map says "unsure", above 1 where it always does; ``share`` of
        the samples below it; ``aimed_error``; ``trust``: the chance with which
        :func:`~jido.stats.abstention.pooled_accept_threshold` promises it, ``None`` where it promises nothing
        and the threshold is that of :func:`~jido.stats.abstention.accept_threshold`; ``promise``: in words.
    """
    below, sure = (
        (0.0, 0.0) if leaks else pooled_accept_threshold(confidence, right, groups, error=error, trust=TRUST)
    )
    trust = TRUST if sure else None
    if not sure:
        below, sure = accept_threshold(confidence, right, error=error)
    most, left = f"{error * 100:g} %", f"{sure * 100:.0f} %"
    if trust:
        words = promise(error, ones=ones, of=of) + f" {left} of the held-out {ones} are sure."
    elif sure:
        why = f"too few {of}, or too many of them wrong where the model is surest"
        words = (
            f"{left} of the held-out {ones} are sure, and up to {most} of these were wrong. For new ones "
            f"that is an aim, not a promise: {'the split leaks' if leaks else why}."
        )
    else:
        words = f"More than {most} were wrong even of the surest {ones}, so the map is unsure everywhere."
    return {"below": below, "share": 1 - sure, "aimed_error": error, "trust": trust, "promise": words}


def promise(error: float, *, ones: str, of: str) -> str:
    """What :func:`~jido.stats.abstention.pooled_accept_threshold` promises, in words."""
    return (
        f"With a chance of {TRUST * 100:.0f} % at most {error * 100:g} % of the sure {ones} of as many new "
        f"{of} like these are wrong, all of them taken together; in a single one more may be."
    )


def label_facts(samples: LabelledCells, labels: Labels, drawn: int) -> dict[str, int]:
    """How many labels were given, gave no cell, and were judged with one that they touch.

    Args:
        samples: their cells, those that touch in one group.
        labels: all of them.
        drawn: number of groups before those that touch were joined.
    """
    return {
        "given": len(labels),
        "without_cells": len(labels) - len(np.unique(samples.item)),
        "merged_groups": drawn - len(np.unique(samples.group)),
    }


def polygon_agreement(
    samples: LabelledCells, held: np.ndarray, folds: Folds, labels: Labels
) -> list[dict[str, Any]]:
    """Per label: class, a point in it, fold, cells covered, and what models that had not seen it say of it.

    ``agreement`` is the share of its cells that its fold got right, ``said`` the class with the highest mean
    probability and ``confidence`` that probability, ``given`` the one of its own class, ``suspicion`` that
    of :func:`~jido.stats.label_quality.label_quality`. The most suspicious stands first: look at it again.
    """
    right = held.argmax(1) == samples.y
    quality = label_quality(held, samples.y, samples.item, len(labels))
    cells = np.bincount(samples.item, minlength=len(labels))
    agree = np.bincount(samples.item, weights=right, minlength=len(labels))
    fold = np.zeros(len(labels), dtype=np.int64)
    fold[samples.item] = folds.fold
    names = dict(zip(labels.scheme.codes, labels.scheme.labels, strict=True))
    lonlat = shapely.get_coordinates(
        shapely.point_on_surface(labels.to_crs(CRS("EPSG:4326")).geometry)
    ).round(5)
    rows = [
        {
            "item": int(i),
            "group": str(labels.groups[i]),
            "class": names[int(labels.codes[i])],
            "lon": float(lonlat[i, 0]),
            "lat": float(lonlat[i, 1]),
            "fold": int(fold[i]),
            "cells": int(cells[i]),
            "agreement": round(float(agree[i] / cells[i]), 4),
            "said": labels.scheme.labels[quality.said[i]],
            "confidence": round(float(quality.confidence[i]), 4),
            "given": round(float(quality.given[i]), 4),
            "suspicion": round(float(quality.suspicion[i]), 4),
        }
        for i in np.flatnonzero(cells)
    ]
    return sorted(rows, key=lambda row: (-row["suspicion"], row["agreement"], -row["cells"]))
