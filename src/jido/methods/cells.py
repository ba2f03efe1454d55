"""Labelled cells: what a pixel classifier sees of every map cell, and which cells have labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from jido.data.labelled import LabelledCells, whole_cells
from jido.errors import ImageError, LabelsError
from jido.geo import (
    INDICES,
    Band,
    block_mean_sd,
    coarse_valid,
    lattice,
    neighbourhood_mean_sd,
    scaled,
)
from jido.io import Progress, Scene
from jido.labels import Labels

TILE = 256
"""Side in pixels of the tiles in which features are computed."""

FEATURE_INDICES = ("ndvi", "ndwi", "mndwi", "ndbi", "bsi")
"""Indices of a cell, in order. A trained forest counts on them: one more index is no feature of it."""


class CellConfig(BaseModel):
    """What the features of a cell are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: float = Field(100.0, gt=0, description="side of a map cell in metres; finer pixels are averaged")
    indices: bool = Field(True, description="add NDVI, NDWI, MNDWI, NDBI, BSI where the bands allow")
    radii: tuple[PositiveInt, ...] = Field((1,), description="neighbourhood radii in cells")


def _suffix(name: str) -> str:
    """``B2@3`` -> ``@3``: which image of a stack a band belongs to."""
    return name[name.index("@") :] if "@" in name else ""


def _index_planes(means: np.ndarray, bands: Sequence[Band]) -> list[np.ndarray]:
    """Every index that the bands of one image of the stack allow, (Y, X) each.

    Two sensors are two images even where no name occurs twice (``B04`` and ``B4``).
    """
    planes = []
    images = [(band.sensor, _suffix(band.name)) for band in bands]
    for image in dict.fromkeys(images):
        of_image = {
            band.common_name: means[i]
            for i, band in enumerate(bands)
            if band.common_name and images[i] == image
        }
        for index in (INDICES[name] for name in FEATURE_INDICES):
            if all(name in of_image for name in index.bands):
                planes.append(index.function(*(of_image[name] for name in index.bands)))
    return planes


def _filled_from_other_dates(means: np.ndarray, bands: Sequence[Band]) -> np.ndarray:
    """Where one image of a stack has no data, the median of the same band of the other images.

    A forest that saw few gaps in training sends cells with gaps to arbitrary classes; at the edge
    of a swath that would be a stripe in the map. Bands of unknown sensors are left as they are.
    """
    filled = means.copy()
    kinds = [(band.sensor, band.name.removesuffix(_suffix(band.name))) for band in bands]
    for kind in {kind for kind in kinds if kind[0] and kinds.count(kind) > 1}:
        same = [i for i, other in enumerate(kinds) if other == kind]
        ordered = np.sort(means[same], axis=0)  # NaN last; np.nanmedian warns where no image has data
        count = np.isfinite(ordered).sum(axis=0)
        lower, upper = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(same) - 1)
        middle = (np.take_along_axis(ordered, np.stack([lower, upper]), axis=0)).mean(axis=0)
        for i in same:
            filled[i] = np.where(np.isnan(means[i]), middle, means[i])
    return filled


def cell_features(data: np.ndarray, bands: Sequence[Band], config: CellConfig, stride: int) -> np.ndarray:
    """Features of every cell of an image (C, H, W): float32 (F, H // stride, W // stride).

    Band means over the cell (and their spread when a cell has several pixels), indices of the
    means, and mean and spread of all these over each neighbourhood; NaN where there is no data.
    A band that one of several images lacks is taken from the others.
    """
    means, spreads = block_mean_sd(data, stride)
    means = _filled_from_other_dates(means, bands)
    indices = _index_planes(means, bands) if config.indices else []
    core = [*means, *indices]
    planes = core if stride == 1 else [*core, *spreads]
    around = [moment for r in config.radii for plane in core for moment in neighbourhood_mean_sd(plane, r)]
    return np.stack([plane.astype(np.float32, copy=False) for plane in [*planes, *around]])


@dataclass(frozen=True, eq=False)
class Samples(LabelledCells):
    """Features float32 (n, F) of labelled cells."""

    features: np.ndarray


def sample_cells(
    scene: Scene, labels: Labels, config: CellConfig, *, progress: Progress | None = None
) -> Samples:
    """Features of every labelled cell with data; only tiles that hold labels are read.

    Raises:
        ImageError: when the image is smaller than a cell, or no labelled cell has data.
        LabelsError: when no label lies inside the image.
    """
    stride, grid = whole_cells(scene, config.cell)
    shape = (grid.shape.y * stride, grid.shape.x * stride)
    halo = max(config.radii, default=0) * stride
    tiles = list(lattice(shape, tile=max(TILE // stride, 1) * stride, halo=halo))
    here = labels.to_crs(grid.crs)
    parts = []
    for done, tile in enumerate(tiles, start=1):
        box = grid[scaled(tile.core, stride)]
        item = here.burn(box).item
        if (item >= 0).any():
            raster = scene.read(tile.read)
            inner = scaled(tile.inner, stride)
            keep = (item >= 0) & coarse_valid(raster.valid, stride)[inner]
            features = cell_features(raster.data, raster.bands, config, stride)[:, *inner][:, keep].T
            rows, cols = np.nonzero(keep)
            xy = np.column_stack(_centres(box, rows, cols))
            parts.append((features, item[keep], xy))
        if progress:
            progress("reading labelled cells", done, len(tiles))
    if not parts:
        raise LabelsError(
            "No label lies inside the image: check the CRS of the labels and that both show the same place."
        )
    features, item, xy = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(item):
        raise ImageError(
            f"{scene.paths[0]} has no data under any label (all nodata there): use images that cover them."
        )
    return Samples(
        features, y=labels.scheme.index(labels.codes[item]), item=item, group=labels.groups[item], xy=xy
    )


def _centres(grid: GeoBox, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X and y of cell centres in the CRS of the grid."""
    a = grid.affine
    x, y = cols + 0.5, rows + 0.5
    return a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f


def touching_groups(samples: LabelledCells, grid: GeoBox) -> np.ndarray:
    """Groups (n,) in which labels of one class that touch, or nearly so, belong together.

    Halves of a polygon, or one point per cell, are neighbours of each other: were they judged apart,
    each would be judged by the other. Cells touch along an edge or at a corner.
    """
    names, number = np.unique(samples.group, return_inverse=True)
    place = samples.xy / np.abs([grid.resolution.x, grid.resolution.y])
    pairs = cKDTree(place).query_pairs(1.01, p=np.inf, output_type="ndarray")
    pairs = number[pairs[samples.y[pairs[:, 0]] == samples.y[pairs[:, 1]]]]
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(names), len(names)))
    _, merged = connected_components(links, directed=False)
    first = np.full(merged.max() + 1, -1)
    first[merged[::-1]] = np.arange(len(names))[::-1]  # a merged group keeps the first of its names
    return names[first[merged]][number]
