"""Map cells that have labels, whatever a method sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import cell_stride, coarser, pixel_size_m
from jido.io import Scene


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledCells:
    """Labelled cells of a scene.

    Args:
        y: (n,) place of the class in the scheme.
        item: (n,) place of the label that a cell comes from.
        group: (n,) what must not be split.
        xy: (n, 2) cell centres in the CRS of the image.
    """

    y: np.ndarray
    item: np.ndarray
    group: np.ndarray
    xy: np.ndarray


def whole_cells(scene: Scene, cell_m: float) -> tuple[int, GeoBox]:
    """Pixels along a map cell of ``cell_m`` metres, and the grid of the cells.

    Raises:
        ImageError: when the image is smaller than a cell.
    """
    stride = cell_stride(pixel_size_m(scene.geobox), cell_m)
    grid = coarser(scene.geobox, stride)
    if 0 in tuple(grid.shape):
        raise ImageError(f"{scene.paths[0]} is smaller than one cell of {cell_m:g} m.")
    return stride, grid
