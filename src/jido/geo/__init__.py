"""Grids, images in memory, bands and indices. Opens no file, knows no torch."""

from jido.geo.area import geodesic_area
from jido.geo.bands import Band, band_table, identify, unique_names
from jido.geo.blocks import (
    block_mean_sd,
    block_sum,
    cell_grid,
    cell_stride,
    coarse_valid,
    coarser,
    neighbourhood_mean_sd,
)
from jido.geo.clean import drop_small, hysteresis
from jido.geo.indices import INDICES, SENTINEL_2_NM, Index, Wavelengths
from jido.geo.lattice import Tile, lattice, scaled
from jido.geo.objects import NO_CLASS, Objects, trace_objects
from jido.geo.raster import Raster, Window, pixel_size_m, same_place

__all__ = [
    "INDICES",
    "NO_CLASS",
    "SENTINEL_2_NM",
    "Band",
    "Index",
    "Objects",
    "Raster",
    "Tile",
    "Wavelengths",
    "Window",
    "band_table",
    "block_mean_sd",
    "block_sum",
    "cell_grid",
    "cell_stride",
    "coarse_valid",
    "coarser",
    "drop_small",
    "geodesic_area",
    "hysteresis",
    "identify",
    "lattice",
    "neighbourhood_mean_sd",
    "pixel_size_m",
    "same_place",
    "scaled",
    "trace_objects",
    "unique_names",
]
