"""How good is a map of two classes, a target and its background, cell by cell?

Other than in :mod:`jido.maps.assess` the reference is complete: what it does not call target is
background. So every cell is judged, and the area of the target can be compared too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError, LabelsError
from jido.geo import Window, lattice, pixel_size_m, same_place
from jido.io import mask_target
from jido.io.masks import MaskFile, Target
from jido.labels import ClassScheme, Labels
from jido.maps.assess import (
    BLOCK,
    KINDS,
    RESUBSTITUTION,
    all_training,
    covered,
    find_report,
    open_map,
    require_classes,
)
from jido.stats import cluster_bootstrap
from jido.stats.binary import binary_figures

GROUP = 256
"""Side in cells of the squares that count as one piece of evidence, at most; an eighth of small maps."""

SHIFT = 0.01
"""Cells by which the corners of a mask may lie beside those of the map: what rounding does."""

UNKNOWN = 255
"""Of a cell of which a reference says nothing."""

Said = Callable[[Window], np.ndarray]
"""Gives uint8 (y, x) of a window: 1 target, 0 background, else nothing is said."""


class Tallied(NamedTuple):
    """Cells of a map and its reference, counted.

    ``counts``: (G, 4) true positives, false positives, false negatives, true negatives of every
    square with a judged cell. ``trained``: judged cells in training geometries. ``unmapped``: target
    cells of the reference where the map has no data.
    """

    counts: np.ndarray
    trained: int
    unmapped: int


def assess_binary(
    path: str | Path,
    reference: Labels | str | Path,
    scheme: ClassScheme,
    *,
    within: Labels | None = None,
    training: Labels | None = None,
    band: int = 1,
    target: Sequence[str] = (),
) -> dict[str, Any]:
    """Compare a map of two classes with polygons of the target, or with a mask on its cells.

    Args:
        path: a class map, which needs no CRS where the reference is a mask.
        reference: polygons of the target, whatever their classes: all cells outside them are background;
            or a mask of the same size and grid, in which 0 is background and never "no label".
        scheme: the two classes of the map, the target last.
        within: judge only cells inside these polygons.
        training: labels the map was made from, added to those in the map's report. With neither,
            ``independent`` is ``None`` and no interval is claimed.
        band: of the map, from 1.
        target: values or colours of the target in the mask, where nobody can tell.

    Returns:
        JSON-ready: what :func:`jido.maps.assess` gives, but ``metrics`` are ``iou``, ``precision``,
        ``recall``, ``fn_tp``, ``fp_tp`` and ``oa``; ``groups`` are squares of ``block`` x ``block``
        cells, because polygons of the target leave its background in one piece; ``area`` holds
        ``mapped_m2`` and ``reference_m2`` of the target in the cells judged (counted cells, ``None``
        without CRS). No figures are given for what lies outside the training labels: training has
        seen the background around them, too.

    Raises:
        ImageError: when the map or the mask cannot be read, the map holds other things than the two
            classes, or has no CRS and polygons are given.
        LabelsError: when the reference lies elsewhere, has points, or is no mask of the size and grid of
            the map.
    """
    facts = find_report(path)
    training = all_training(facts, training, scheme)
    with ExitStack() as stack:
        source = stack.enter_context(open_map(path, band))
        crs = source.crs.to_wkt() if source.crs else None
        grid = GeoBox(source.shape, source.transform, crs)
        if isinstance(reference, Labels):
            complete = "everything outside the polygons is background"
            said = _polygons(reference, grid, path)
        else:
            complete = "the mask says target or background of every cell"
            known = mask_target(reference, target)
            said = _mask(stack.enter_context(MaskFile(reference, by_value=known.by_value)), known, grid, path)
        if within is not None:
            complete += ", and only cells inside the polygons given for that are judged"
            said = _only(said, within, grid, path)
        side = min(GROUP, ceil(max(grid.shape) / 8))
        learned = _placed(training, grid, path) if training is not None and crs else None
        found = _tally(source, band, said, learned, scheme, grid, side)
    if not len(found.counts):
        raise LabelsError(f"The reference says nothing of any cell of {path}: do both show the same place?")
    tp, fp, fn, tn = (int(n) for n in found.counts.sum(0))
    overlap = found.trained / (tp + fp + fn + tn)
    independent = None if learned is None else overlap == 0
    matrices = found.counts[:, [3, 1, 2, 0]].reshape(-1, 2, 2)
    level = 0.95 if independent else None
    cell_m2 = float(np.prod(pixel_size_m(grid))) if crs else None
    return {
        "kind": KINDS["groups" if independent else "agreement"],
        "independent": independent,
        "design": f"{_design(independent, side)}; {complete}",
        "overlap": overlap,
        "unmapped": found.unmapped,
        "held_out": facts["evaluation"].get("metrics") if facts else None,
        "held_out_folds": facts["evaluation"].get("folds") if facts else None,
        "metrics": {
            **binary_figures(found.counts, level=level),
            "oa": cluster_bootstrap(matrices, scheme, level=level)["oa"],
        },
        "confusion": matrices.sum(0).tolist(),
        "classes": list(scheme.labels),
        "cells": tp + fp + fn + tn,
        "groups": len(found.counts),
        "block": side,
        "area": {
            "mapped_m2": cell_m2 and (tp + fp) * cell_m2,
            "reference_m2": cell_m2 and (tp + fn) * cell_m2,
        },
    }


def _placed(labels: Labels, grid: GeoBox, path: str | Path) -> Labels:
    """Polygons in the CRS of the map."""
    if grid.crs is None:
        height, width = grid.shape
        raise ImageError(
            f"{path} has no CRS, so no polygon finds its place on it: give a mask of its {height} x {width} "
            "cells (rows x columns), such as a PNG, and neither --within nor --training."
        )
    return labels.to_crs(grid.crs)


def _polygons(reference: Labels, grid: GeoBox, path: str | Path) -> Said:
    here = _placed(reference, grid, path)
    if (shapely.get_dimensions(here.geometry) == 0).any():
        raise LabelsError(
            "The reference holds points, and not everything outside of points is background: give polygons, "
            "or points with both classes."
        )
    if not shapely.intersects(here.geometry, shapely.box(*grid.boundingbox.bbox)).any():
        raise LabelsError(f"The reference has no polygon inside {path}: do both show the same place?")
    return lambda window: covered(here, grid[window]).astype(np.uint8)


def _mask(mask: MaskFile, target: Target, grid: GeoBox, path: str | Path) -> Said:
    (height, width), (rows, cols) = mask.shape, grid.shape
    if (height, width) != (rows, cols):
        raise LabelsError(
            f"{mask.path} has {height} x {width} cells (rows x columns) and {path} has {rows} x {cols}: give "
            "a mask on the cells of the map."
        )
    if not same_place(mask.geobox, grid, cells=SHIFT):
        raise LabelsError(
            f"{mask.path} has {height} x {width} cells as {path}, but lies on another grid "
            f"({_words(mask.geobox)} and not {_words(grid)}): write it on the grid of the map."
        )

    def said(window: Window) -> np.ndarray:
        codes, known = mask.codes(window)
        known |= codes == 0  # also where the file calls 0 nodata
        return np.where(known, mask.read(window, target).astype(np.uint8), np.uint8(UNKNOWN))

    return said


def _words(grid: GeoBox) -> str:
    name, affine = grid.crs.proj.name if grid.crs else "no CRS", grid.affine
    return f"{name}, corner {affine.c:.12g} {affine.f:.12g}, cells of {affine.a:g} x {abs(affine.e):g}"


def _only(said: Said, within: Labels, grid: GeoBox, path: str | Path) -> Said:
    here = _placed(within, grid, path)
    return lambda window: np.where(covered(here, grid[window]), said(window), np.uint8(UNKNOWN))


def _tally(
    source: rasterio.DatasetReader,
    band: int,
    said: Said,
    training: Labels | None,
    scheme: ClassScheme,
    grid: GeoBox,
    side: int,
) -> Tallied:
    """Counts by squares; holds one window of the map at a time."""
    rows, cols = (ceil(n / side) for n in grid.shape)
    counts = np.zeros(rows * cols * 4, dtype=np.int64)
    trained = unmapped = 0
    for tile in lattice((grid.shape.y, grid.shape.x), tile=BLOCK):
        truth = said(tile.core)
        codes = source.read(band, window=DiskWindow.from_slices(*tile.core))
        mapped = np.isfinite(codes) & (codes != source.nodata) & (codes != 0)
        keep = mapped & (truth != UNKNOWN)
        unmapped += int(np.count_nonzero((truth == 1) & ~mapped))
        require_classes(source, band, codes[keep], scheme)
        target, found = truth[keep] == 1, codes[keep] == scheme.codes[-1]
        kind = np.where(target, np.where(found, 0, 2), np.where(found, 1, 3))
        y, x = np.nonzero(keep)
        square = (y + tile.core[0].start) // side * cols + (x + tile.core[1].start) // side
        counts += np.bincount(square * 4 + kind, minlength=len(counts))
        if training is not None:
            trained += int(np.count_nonzero(covered(training, grid[tile.core]) & keep))
    by_square = counts.reshape(-1, 4)
    return Tallied(by_square[by_square.any(axis=1)], trained, unmapped)


def _design(independent: bool | None, side: int) -> str:
    if independent is False:
        return RESUBSTITUTION
    if independent is None:
        return "agreement only: independence unknown (no training labels at hand), so no interval is claimed"
    return f"held-out groups: accuracy in the cells judged, interval over squares of {side} x {side} of them"
