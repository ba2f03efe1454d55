"""Which labels look wrong: what models that had not seen them say of their cells.

A label is doubted when held-out probabilities give its class less than they give the other labels of
that class: the self-confidence of confident learning, measured from the mean of its class (Northcutt et
al. 2021, doi 10.1613/jair.1.12125). A class that is hard everywhere is then no reason to doubt one label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

PRIOR = 8
"""Labels of any class whose mean stands beside the other labels of a class: few of these say little.

Chosen on 44 draws in 14 simulated cities of 80 polygons, a tenth of them with another class; 4 to 64 do as
well.
"""

LISTED = 25
"""Labels that are worth a second look at once."""


class LabelQuality(NamedTuple):
    """What held-out models say of labels, float64 or int64 (n,); NaN and -1 of labels without cells.

    Args:
        said: place of the class with the highest mean probability over the cells of the label.
        confidence: that probability.
        given: mean probability of the label's own class.
        suspicion: 0..1, how far ``given`` stays below that of other labels of the class; 0 when it does not.
    """

    said: np.ndarray
    confidence: np.ndarray
    given: np.ndarray
    suspicion: np.ndarray


def label_quality(held: np.ndarray, y: np.ndarray, item: np.ndarray, n: int) -> LabelQuality:
    """Judge labels by held-out probabilities of their cells.

    Args:
        held: (cells, K) probabilities by models that had not seen the label of the cell.
        y: (cells,) place of the class of the label.
        item: (cells,) place of the label.
        n: number of labels.
    """
    cells = np.bincount(item, minlength=n)
    covered = np.flatnonzero(cells)
    sums = np.stack([np.bincount(item, weights=column, minlength=n) for column in held.T], axis=1)
    mean = sums[covered] / cells[covered, None]
    place = np.zeros(n, dtype=np.int64)
    place[item] = y
    own = place[covered]
    said = np.full(n, -1)
    confidence, given, suspicion = np.full((3, n), np.nan)
    said[covered], confidence[covered] = mean.argmax(axis=1), mean.max(axis=1)
    given[covered] = mean[np.arange(len(own)), own]
    suspicion[covered] = np.maximum(_expected(given[covered], own) - given[covered], 0)
    return LabelQuality(said, confidence, given, suspicion)


def _expected(given: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Mean self-confidence of the other labels of the class, with the mean of all as :data:`PRIOR` more."""
    number, total = np.bincount(own)[own], np.bincount(own, weights=given)[own]
    return (total - given + PRIOR * given.mean()) / (number - 1 + PRIOR)


def suspicious(polygons: Sequence[Mapping[str, Any]], *, most: int = LISTED) -> list[dict[str, Any]]:
    """Labels to look at again, the most suspicious first, from the rows of an evaluation.

    Held-out models have to say another class, and as surely as they say it of the labels of that class:
    an off-diagonal entry of the confident joint (Northcutt et al. 2021, equation 2).

    Args:
        polygons: ``evaluation["polygons"]``; of models that older versions have judged none is found.
        most: rows at most.
    """
    rows = [dict(row) for row in polygons if "suspicion" in row]
    given: dict[str, list[float]] = {}
    for row in rows:
        given.setdefault(row["class"], []).append(row["given"])
    sure = {label: float(np.mean(values)) for label, values in given.items()}
    found = [r for r in rows if r["said"] != r["class"] and r["confidence"] >= sure.get(r["said"], 1.0)]
    return sorted(found, key=lambda row: -row["suspicion"])[:most]
