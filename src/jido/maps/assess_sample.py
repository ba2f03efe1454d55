"""How good is a map, and how large are its classes, by a probability sample of its cells?

Points whose chances are known speak of the whole map; see :mod:`jido.stats.design`. The strata may be
those of another map of the same cells: they were fixed before the sample was drawn (Stehman 2014, doi
10.1080/01431161.2014.930207).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError, LabelsError
from jido.geo import same_place
from jido.io import file_sha256
from jido.labels import Labels
from jido.labels.design_sample import DesignSample
from jido.maps.areas import area_rows, count_map
from jido.maps.assess import KINDS, all_training, find_report, open_map, require_classes
from jido.maps.interpreters import settled
from jido.maps.sample_figures import (
    Points,
    all_figures,
    design_sentence,
    sample_facts,
    sample_notes,
)

SHIFT = 0.01
"""Cells by which points and corners may lie beside those of the map: what rounding does."""


def assess_sample(
    path: str | Path, sample: DesignSample, *, training: Labels | None = None, band: int = 1
) -> dict[str, Any]:
    """Accuracy of a map and areas of its classes from a labelled probability sample.

    Points without a label are left out and counted; that they err like the others of their stratum is then
    assumed. Training labels under some points do no harm: chance put the points there, so what is estimated
    is the accuracy of this map, which is made of such places too. How many there are is said, and what the
    map is worth outside of them.

    Args:
        path: a class map; it may be another than the sample was drawn from, of the same cells.
        sample: drawn by ``jido sample`` and labelled.
        training: labels the map was made from, added to those in the map's report.
        band: of the map, from 1.

    Returns:
        JSON-ready: what :func:`jido.maps.assess` gives, but ``metrics`` (``oa``, for two classes also
        ``iou``, ``precision`` and ``recall`` of the target) and ``per_class`` are estimates for the whole
        map with standard errors, ``area`` holds the rows of :func:`~jido.maps.areas.area_rows`,
        ``confusion`` counts points and ``confusion_share`` estimates shares of the map; ``independent`` is
        true, because chance and not the training has put the points, and ``overlap`` is the share of them
        inside training labels (``None`` when these are unknown). ``sample`` tells of the strata, the
        interpreters, the file drawn from, and figures of parts (``sure`` and ``unsure`` cells,
        ``outside_training``, the ``first`` and the ``second`` interpreter alone); ``notes`` are sentences
        to be read beside the figures.

    Raises:
        ImageError: when the map cannot be read, or has no class where the sample has points.
        LabelsError: when the sample is of another grid, or nobody has labelled a stratum.
    """
    _require_labels(sample)
    facts = find_report(path)
    training = all_training(facts, training, sample.scheme)
    with open_map(path, band) as source:
        _require_place(source, sample)
        other = file_sha256(Path(path)) != sample.facts["sha256"]
        points = read_points(source, band, sample, training)
        counted = count_map(source, band, sample.scheme)
    found = all_figures(sample, points)
    there = sum(s.cells for s in sample.strata)
    part = int(counted.cells.sum()) != there
    km2 = None if any(s.km2 is None for s in sample.strata) else sum(s.km2 or 0 for s in sample.strata)
    return {
        "kind": KINDS["sample"],
        "independent": True,
        "design": design_sentence(sample, points),
        "overlap": None if points.trained is None else float(points.trained[points.keep].mean()),
        "unmapped": 0,
        "held_out": facts["evaluation"].get("metrics") if facts else None,
        "held_out_folds": facts["evaluation"].get("folds") if facts else None,
        "metrics": found.metrics,
        "per_class": found.per_class,
        "confusion": found.counts,
        "confusion_share": [list(row) for row in found.estimates.matrix],
        "classes": list(sample.scheme.labels),
        "cells": int(points.keep.sum()),
        "groups": int(points.keep.sum()),
        "area": area_rows(
            sample.scheme,
            None if part else counted,
            total=float(there) if km2 is None else km2,
            unit="cells" if km2 is None else "km2",
            estimates=found.estimates,
        ),
        "sample": {
            **sample_facts(sample, points),
            "parts": found.parts,
            "other_map": other,
            "facts": {name: sample.facts.get(name) for name in DRAWN},
        },
        "notes": sample_notes(sample, points, found, other=other, part=part),
    }


DRAWN = ("map", "sha256", "band", "made", "jido", "seed", "allocation", "within", "cluster", "truth")
"""Facts of the drawing that go into a report."""


def _require_labels(sample: DesignSample) -> None:
    """Somebody must have said something, in every stratum."""
    labelled = np.bincount(sample.stratum[sample.labelled], minlength=len(sample.strata))
    if not labelled.any():
        raise LabelsError(
            f"No point of the sample of {sample.facts['map']} is labelled yet: fill in label_1 of its "
            f"{len(sample)} points, in the GeoPackage or in the CSV beside it."
        )
    whole = sum(s.cells for s in sample.strata)
    for stratum, n in zip(sample.strata, labelled.tolist(), strict=True):
        if stratum.cells and not n and sample.kind != "clusters":
            raise LabelsError(
                f"No point of stratum {stratum.name!r} ({stratum.drawn} drawn, "
                f"{stratum.cells / whole * 100:.1f} % of the map) has a label, so the sample does not speak "
                "of the whole map: label some of them."
            )


def _require_place(source: rasterio.DatasetReader, sample: DesignSample) -> None:
    """The cells of the map are those that the sample was drawn from."""
    drawn, name = sample.facts["grid"], sample.facts["map"]
    grid = GeoBox(source.shape, source.transform, source.crs.to_wkt() if source.crs else None)
    theirs = GeoBox(drawn["shape"], rasterio.Affine(*drawn["transform"]), drawn["crs"])
    if tuple(grid.shape) != tuple(theirs.shape) or not same_place(grid, theirs, cells=SHIFT):
        raise LabelsError(
            f"The sample was drawn from {name} (sha256 {sample.facts['sha256'][:12]}), which lies on "
            f"another grid ({_words(theirs)}) than {source.name} ({_words(grid)}): give the map it was drawn "
            "from, or one of the same cells."
        )
    outside = ((sample.cell < 0) | (sample.cell >= source.shape)).any(axis=1)
    if outside.any():
        raise LabelsError(
            f"Point {sample.id[outside][0]} of the sample lies outside {source.name}: take row and column "
            "from the GeoPackage that jido sample wrote."
        )


def _words(grid: GeoBox) -> str:
    name, affine = grid.crs.proj.name if grid.crs else "no CRS", grid.affine
    height, width = grid.shape
    return (
        f"{height} x {width} cells of {affine.a:g} x {abs(affine.e):g}, corner {affine.c:.12g} "
        f"{affine.f:.12g}, {name}"
    )


def read_points(
    source: rasterio.DatasetReader, band: int, sample: DesignSample, training: Labels | None = None
) -> Points:
    """What the map says at the points of a sample, and what people say.

    Raises:
        ImageError: when the map has no class there.
    """
    names = list(source.descriptions)
    bands = [band, *([names.index("abstain") + 1] if "abstain" in names else [])]
    values = np.array(
        [source.read(bands, window=DiskWindow(col, row, 1, 1))[:, 0, 0] for row, col in sample.cell.tolist()]
    )
    codes = values[:, 0]
    empty = ~np.isfinite(codes) | (codes == source.nodata) | (codes == 0)
    if empty.any():
        raise ImageError(
            f"{source.name} has no class at {empty.sum()} of {len(sample)} points of the sample, which was "
            f"drawn from {sample.facts['map']}: give a map of the same cells."
        )
    require_classes(source, band, codes, sample.scheme)
    truth = sample.scheme.index(settled(sample))
    return Points(
        keep=truth >= 0,
        mapped=sample.scheme.index(codes),
        truth=truth,
        unsure=values[:, 1] == 1 if len(bands) > 1 else None,
        trained=None if training is None else _trained(sample, training),
    )


def with_truth(sample: DesignSample, path: str | Path) -> DesignSample:
    """The sample labelled by a class raster that knows better than the map, as a simulation does.

    Points outside of it, and where it has no class, have no label.

    Raises:
        ImageError: when it cannot be read, or holds other classes than the sample.
    """
    with open_map(path, 1) as source:
        xy = sample.xy
        if source.crs and sample.crs:
            theirs = CRS(source.crs.to_wkt())
            xy = np.column_stack(sample.crs.transformer_to_crs(theirs, always_xy=True)(*xy.T))
        values = source.sample(xy, indexes=1, masked=True)
        codes = np.array([value.filled(0)[0] for value in values], dtype=np.float64)
        known = np.isfinite(codes) & (codes != 0)
        require_classes(source, 1, codes[known], sample.scheme)
    said = np.full(sample.codes.shape, -1)
    said[known, 0] = codes[known]
    return replace(sample, codes=said, facts=sample.facts | {"truth": Path(path).name})


def _trained(sample: DesignSample, training: Labels) -> np.ndarray:
    """Bool (n,): points inside training labels."""
    inside = np.zeros(len(sample), dtype=bool)
    if sample.crs is not None:
        geometry = training.to_crs(sample.crs).geometry
        hit, _ = shapely.STRtree(geometry).query(shapely.points(sample.xy), predicate="intersects")
        inside[hit] = True
    return inside
