"""Area of every class of a map: counted cells, what its probabilities expect, and what a sample says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.windows import Window as DiskWindow

from jido.geo import lattice
from jido.io.classmap import CONFIDENCE
from jido.labels import ClassScheme
from jido.maps.assess import BLOCK, require_classes
from jido.stats.design_ratios import DesignEstimates


class Counted(NamedTuple):
    """Cells of a map.

    ``cells``: (K,) of every class. ``expected``: (K,) sums of the probabilities of every class over the
    mapped cells, in cells; ``None`` where the map holds none.
    """

    cells: np.ndarray
    expected: np.ndarray | None


def count_map(source: rasterio.DatasetReader, band: int, scheme: ClassScheme) -> Counted:
    """Count a whole map; memory holds one window of it.

    Probabilities are those of the bands ``p_LABEL``; for two classes also the confidence of the class.
    """
    more = _probability_bands(source, band, scheme)
    k = len(scheme.classes)
    cells, expected = np.zeros(k, np.int64), np.zeros(k)
    for tile in lattice(source.shape, tile=BLOCK):
        planes = source.read([band, *more], window=DiskWindow.from_slices(*tile.core))
        codes = planes[0]
        mapped = np.isfinite(codes) & (codes != source.nodata) & (codes != 0)
        require_classes(source, band, codes[mapped], scheme)
        place = scheme.index(codes[mapped])
        cells += np.bincount(place, minlength=k)
        if len(more) == k:
            expected += planes[1:, mapped].sum(axis=1) * np.array([source.scales[b - 1] for b in more])
        elif more:
            sure = np.bincount(place, planes[1, mapped] / 100, minlength=k)
            expected += sure + np.bincount(1 - place, 1 - planes[1, mapped] / 100, minlength=k)
    return Counted(cells, expected if more else None)


def _probability_bands(source: rasterio.DatasetReader, band: int, scheme: ClassScheme) -> list[int]:
    """Bands with the probability of every class, or the one with the confidence of two; else none."""
    names = list(source.descriptions)
    planes = [f"p_{label}" for label in scheme.labels]
    if set(planes) <= set(names):
        return [names.index(name) + 1 for name in planes]
    confidence = CONFIDENCE.get(names[band - 1] or "")
    if len(scheme.classes) == 2 and confidence in names:
        return [names.index(confidence) + 1]
    return []


def area_rows(
    scheme: ClassScheme,
    counted: Counted | None,
    *,
    total: float,
    unit: str,
    estimates: DesignEstimates | None = None,
) -> list[dict[str, Any]]:
    """A row for every class.

    Args:
        scheme: the classes.
        counted: the map; ``None`` where the sample is of another part of it than was counted.
        total: area of all that was counted or sampled.
        unit: of ``total``: ``km2``, or ``cells`` where nothing has an area.
        estimates: of a probability sample.

    Returns:
        Rows of ``class``, ``name``, ``unit``, ``pixel_count`` (with the errors of the map in it),
        ``expected`` (sum of probabilities), and ``estimate`` and ``share`` (what a sample says of the truth,
        with interval). What is not known is ``None``.
    """
    areas = estimates.areas_in(total) if estimates else None
    return [
        {
            "class": cls.label,
            "name": cls.name,
            "unit": unit,
            "pixel_count": _part(counted.cells, place, total) if counted else None,
            "expected": _part(counted.expected, place, total) if counted else None,
            "estimate": areas[place] if areas else None,
            "share": estimates.areas[place] if estimates else None,
        }
        for place, cls in enumerate(scheme.classes)
    ]


def _part(cells: np.ndarray | None, place: int, total: float) -> float | None:
    return None if cells is None else float(cells[place] / cells.sum() * total)
