"""From labelled points of a probability sample to figures, and to the sentences that go with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.labels.design_sample import DesignSample
from jido.maps.interpreters import interpreters
from jido.maps.report import percent
from jido.maps.sample_cells import row_areas
from jido.stats.confusion import confusion
from jido.stats.design import stratified_accuracy
from jido.stats.design_clusters import cluster_accuracy
from jido.stats.design_ratios import DesignEstimates, DesignFigure

MISSING = 0.2
"""Share of points without a label from which on figures carry a warning."""

SEEN = 0.05
"""Share of a stratum in the sample up to which it counts as endless (Cochran 1977, section 2.6)."""

Estimate = Callable[[np.ndarray, np.ndarray, int], DesignEstimates]
"""From places on the map and of the truth (of the kept points) and K to what the sample says."""


class Points(NamedTuple):
    """Points of a sample (n,), on the map.

    Args:
        keep: bool, whether somebody labelled them.
        mapped: place of the class on the map.
        truth: place of the true class; -1 without a label.
        unsure: bool, whether the map abstains; ``None`` where it does not say.
        trained: bool, whether they lie inside training labels; ``None`` where these are unknown.
    """

    keep: np.ndarray
    mapped: np.ndarray
    truth: np.ndarray
    unsure: np.ndarray | None
    trained: np.ndarray | None


@dataclass(frozen=True)
class SampleFigures:
    """What a sample says, see :func:`jido.maps.assess_sample`."""

    estimates: DesignEstimates
    metrics: dict[str, DesignFigure]
    per_class: list[dict[str, Any]]
    counts: list[list[int]]
    parts: dict[str, DesignFigure | None]


def all_figures(sample: DesignSample, points: Points) -> SampleFigures:
    """Every figure of a sample.

    Raises:
        JidoError: when a stratum has no labelled point.
    """
    k, keep = len(sample.scheme.classes), points.keep
    estimate = _estimator(sample, keep)
    mapped, truth = points.mapped[keep], points.truth[keep]
    found = estimate(mapped, truth, k)
    counts = confusion(truth, mapped, k)
    metrics = {"oa": found.oa}
    if k == 2:
        either = (mapped == 1) | (truth == 1)
        iou = _share(estimate, either, (mapped == 1) & (truth == 1))
        metrics = {"iou": iou, "precision": found.users[1], "recall": found.producers[1]} | metrics
    per_class = [
        {
            "class": cls.label,
            "name": cls.name,
            "truth": int(counts[place].sum()),
            "predicted": int(counts[:, place].sum()),
            "producers_accuracy": found.producers[place],
            "users_accuracy": found.users[place],
        }
        for place, cls in enumerate(sample.scheme.classes)
    ]
    return SampleFigures(found, metrics, per_class, counts.tolist(), _parts(sample, points, estimate))


def _estimator(sample: DesignSample, keep: np.ndarray) -> Estimate:
    """How the design of a sample turns labels of these points into estimates.

    Strata count by their cells; where cells differ in area, by their area, and so does each cell of a
    cluster. That cells are drawn without replacement counts from :data:`SEEN` on.
    """
    area = unequal_areas(sample)
    if sample.kind == "clusters":
        drawn, cluster = np.unique(sample.cluster[keep], return_inverse=True)
        sizes = sample.cluster_sizes[drawn]
        of = None if area is None else area[keep]
        return lambda mapped, truth, k: cluster_accuracy(mapped, truth, cluster, sizes, area=of, classes=k)
    used, stratum = np.unique(sample.stratum[keep], return_inverse=True)
    strata = [sample.strata[i] for i in used]
    size = np.array([s.cells if area is None else s.km2 for s in strata], dtype=np.float64)
    finite = area is None and bool((np.bincount(stratum) > SEEN * size).any())
    return lambda mapped, truth, k: stratified_accuracy(
        mapped, truth, stratum, size, classes=k, finite=finite
    )


def unequal_areas(sample: DesignSample) -> np.ndarray | None:
    """Area in km² of the cell of each point (n,); ``None`` where all cells of the map are as large."""
    grid = sample.facts["grid"]
    rows = row_areas(GeoBox(grid["shape"], Affine(*grid["transform"]), sample.crs))
    return None if rows is None or not np.ptp(rows) else rows[sample.cell[:, 0]]


def _share(estimate: Estimate, part: np.ndarray, right: np.ndarray) -> DesignFigure:
    """Of a part of the map the share where something holds: the user's accuracy of a class made for that."""
    return estimate((~part).astype(np.int64), (~(part & right)).astype(np.int64), 2).users[0]


def _parts(sample: DesignSample, points: Points, estimate: Estimate) -> dict[str, DesignFigure | None]:
    """Overall accuracy of parts of the map, and by either interpreter alone."""
    keep = points.keep
    right = points.mapped[keep] == points.truth[keep]
    found: dict[str, DesignFigure | None] = {}
    if points.unsure is not None:
        unsure = points.unsure[keep]
        found |= {"sure": _share(estimate, ~unsure, right), "unsure": _share(estimate, unsure, right)}
    if points.trained is not None and points.trained[keep].any():
        found["outside_training"] = _share(estimate, ~points.trained[keep], right)
    said = sample.scheme.index(sample.codes)
    if (said >= 0).all(axis=1).any():
        for place, name in enumerate(("first", "second")):
            found[name] = _alone(sample, points, said[:, place])
    return found


def _alone(sample: DesignSample, points: Points, said: np.ndarray) -> DesignFigure | None:
    """Overall accuracy by one interpreter, who must have labelled points of every stratum."""
    mine = said >= 0
    if len(np.unique(sample.stratum[mine])) < len(np.unique(sample.stratum[points.keep])):
        return None
    return _estimator(sample, mine)(points.mapped[mine], said[mine], len(sample.scheme.classes)).oa


def strata_rows(sample: DesignSample, points: Points) -> list[dict[str, Any]]:
    """What was drawn and labelled in every stratum, and what has no label."""
    labelled = np.bincount(sample.stratum[points.keep], minlength=len(sample.strata)).tolist()
    return [
        {
            "name": s.name,
            "cells": s.cells,
            "km2": s.km2,
            "drawn": s.drawn,
            "labelled": n,
            "missing": s.drawn - n,
        }
        for s, n in zip(sample.strata, labelled, strict=True)
    ]


def sample_facts(sample: DesignSample, points: Points) -> dict[str, Any]:
    """How a sample was drawn and who labelled it, JSON-ready."""
    return {
        "kind": sample.kind,
        "how": how_drawn(sample),
        "points": len(sample),
        "labelled": int(points.keep.sum()),
        "strata": strata_rows(sample, points),
        "interpreters": interpreters(sample),
    }


def how_drawn(sample: DesignSample) -> str:
    """``stratified by class``, ``stratified by 3 strata``, ``in 40 clusters``; empty for a simple sample."""
    if sample.kind == "clusters":
        return f"in {sample.facts['cluster']['drawn']} clusters"
    if sample.kind == "simple":
        return ""
    by_class = {s.name for s in sample.strata} <= set(sample.scheme.labels)
    return f"stratified by {'class' if by_class else f'{len(sample.strata)} strata'}"


def design_sentence(sample: DesignSample, points: Points) -> str:
    """What kind of reference a sample is, and how it was used."""
    how = how_drawn(sample)
    return (
        f"probability sample: {points.keep.sum():,} random points{', ' * bool(how)}{how}; figures are "
        "estimates for the whole map with 95 % intervals (Olofsson et al. 2014, Stehman 2014)"
    )


def sample_notes(
    sample: DesignSample, points: Points, found: SampleFigures, *, other: bool, part: bool
) -> list[str]:
    """Sentences to be read beside the figures.

    Args:
        sample: the sample.
        points: its points.
        found: its figures.
        other: whether the map is another than it was drawn from.
        part: whether it speaks of other cells than all that are mapped.
    """
    said = list(sample.facts.get("notes") or [])
    if other:
        said.append(
            f"The sample was drawn from another map of the same cells, {sample.facts['map']} (sha256 "
            f"{sample.facts['sha256'][:12]}): its strata were fixed before, so it may judge this one too."
        )
    if part:
        inside = sample.facts.get("within")
        said.append(
            f"All figures are of the {sum(s.cells for s in sample.strata):,} cells that could be drawn"
            f"{f' (inside {inside})' if inside else ''}, not of the whole map: its cells are not counted."
        )
    if unequal_areas(sample) is not None:
        where = "degrees" if sample.crs and sample.crs.geographic else "this projection"
        how = "strata count by their area, cells of one stratum as if they were equally large"
        how = "each counts by its own" if sample.kind == "clusters" else how
        said.append(f"Cells in {where} differ in area: {how}.")
    said += _missing(sample, points)
    names = [sample.strata[i].name for i in np.unique(sample.stratum[points.keep])]
    said += [_named(note, names) for note in found.estimates.notes]
    return said + _trained(points, found) + _differ(sample)


def _named(note: str, names: list[str]) -> str:
    """The estimators know strata by their place."""
    return re.sub(r"([Ss]tratum) (\d+)", lambda m: f"{m[1]} {names[int(m[2])]!r}", note)


def _missing(sample: DesignSample, points: Points) -> list[str]:
    rows = strata_rows(sample, points)
    missing, drawn = sum(row["missing"] for row in rows), sum(row["drawn"] for row in rows)
    if not missing:
        return []
    where = ", ".join(f"{row['name']} {row['missing']}" for row in rows if row["missing"])
    where = f" ({where})" if len(rows) > 1 else ""
    many = "Warning: " if missing > MISSING * drawn else ""
    return [
        f"{many}{missing} of {drawn} points ({missing / drawn * 100:.1f} %) have no label and are left "
        f"out{where}; the figures assume that these are like the labelled ones of their stratum."
    ]


def _trained(points: Points, found: SampleFigures) -> list[str]:
    if points.trained is None:
        return ["Training labels of this map are unknown: whether points lie inside them was not checked."]
    share = points.trained[points.keep].mean()
    if not share:
        return []
    outside = found.parts["outside_training"]
    rest = f"; outside of them the map is right on {percent(outside)}" if outside and outside["value"] else ""
    return [
        f"{share * 100:.1f} % of the points lie inside training labels. That does not bias the estimate, "
        f"which is of this map and all that is on it, not of new places{rest}."
    ]


def _differ(sample: DesignSample) -> list[str]:
    facts = interpreters(sample)
    if not facts["differ"]:
        return []
    return [
        f"The interpreters disagree on {facts['differ']} of the {facts['both']} points that both labelled: "
        "the surer one was believed, the first where both were as sure (the second at "
        f"{facts['second_taken']}). What either alone says stands beside."
    ]
