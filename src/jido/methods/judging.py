"""What held-out predictions of labelled cells are worth, whatever the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from odc.geo import CRS

from jido.data.labelled import LabelledCells
from jido.labels import ClassScheme, Folds, Labels
from jido.stats import accept_threshold, judged

ACCEPTED_ERROR = 0.10
"""Share of wrong cells among those the map does not call "unsure", aimed at on held-out polygons."""


def evaluate(samples: LabelledCells, held: np.ndarray, folds: Folds, scheme: ClassScheme) -> dict[str, Any]:
    """All figures of held-out probabilities (n, K): JSON-ready; no interval is claimed for what leaks."""
    prediction = held.argmax(1)
    threshold, kept = accept_threshold(held.max(1), prediction == samples.y, error=ACCEPTED_ERROR)
    return {
        **judged(samples.y, prediction, samples.group, scheme, interval=not folds.leaks),
        "folds": folds.to_dict(),
        "unsure": {"below": threshold, "share": 1 - kept, "aimed_error": ACCEPTED_ERROR},
    }


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
    """Per label: class, a point in it, fold, cells covered, and the share of them that its fold got right.

    A polygon that nobody else's labels confirm stands first: look at it again.
    """
    right = held.argmax(1) == samples.y
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
        }
        for i in np.flatnonzero(cells)
    ]
    return sorted(rows, key=lambda row: (row["agreement"], -row["cells"]))
