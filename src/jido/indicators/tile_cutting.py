"""Tiles cut from images: a square of pixels of one size for each cell of ground.

Images that cover the same ground are stacked, those that lie side by side are a mosaic. All tiles lie on
one lattice of pixels, onto which each image is resampled where a tile is read, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS, Geometry
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox

from jido.data.score_tiles import IMAGES, TABLE, tile_files
from jido.errors import ImageError
from jido.geo import Band, Window, pixel_size_m
from jido.indicators.cells import Cells
from jido.indicators.shares import Placed
from jido.indicators.table import ROUNDING
from jido.io import Progress, Scene, replacing
from jido.io.origin import Origin
from jido.io.raster import NATIVE
from jido.io.tile_files import nodata_values, write_tile, write_tile_table

LEAST, MOST, STEP = 32, 512, 8
"""Side of a tile in pixels, where it is not given."""

COARSER = 2.0
"""Times the pixel of the image from which a pixel of a tile is the mean of an area."""

HALF, SMALL = 0.5, 0.01
"""Share of a pixel inside its polygon below which it is none of it; share of a tile that is little."""


# -- the images --------------------------------------------------------------------------------


class Mosaic(NamedTuple):
    """Images that lie side by side.

    ``pieces``: files of each, stacked. ``grids``: of the first file of each. ``crs``: of files that carry
    none. ``bands``: of every piece. ``dtype``: of the tiles on disk. ``nodata``: their number without data;
    without one a mask tells. ``tags``: what all files say of their numbers.
    """

    pieces: list[list[Path]]
    grids: list[GeoBox]
    crs: str | None
    bands: tuple[Band, ...]
    dtype: str
    nodata: float | None
    tags: Mapping[str, str]

    @property
    def stored(self) -> dict[str, Any]:
        """How tiles are written."""
        return {"bands": self.bands, "dtype": self.dtype, "nodata": self.nodata, "tags": self.tags}

    def outlines(self, crs: CRS) -> np.ndarray:
        """Polygons of the pieces in some CRS, (n,)."""
        return np.array([grid.footprint(crs).geom for grid in self.grids], dtype=object)

    @property
    def extent(self) -> Geometry:
        """All ground that they cover, in the CRS of the first."""
        crs = norm_crs_or_error(self.grids[0].crs)
        outlines = self.outlines(crs) if len(self.grids) > 1 else [self.grids[0].extent.geom]
        return Geometry(shapely.union_all(outlines), crs)

    @contextmanager
    def opened(self, lattice: GeoBox, resample: str) -> Iterator[Callable[[Window], np.ndarray]]:
        """Read windows of a lattice, float32 (C, y, x): of pieces that overlap the first with data counts."""
        crs = norm_crs_or_error(lattice.crs)
        with ExitStack() as stack:
            scenes = [
                (outline, stack.enter_context(Scene(files, crs=self.crs, resample=resample, like=lattice)))
                for files, outline in zip(self.pieces, self.outlines(crs), strict=True)
                if shapely.intersects(outline, lattice.extent.geom)
            ]

            def pixels(window: Window) -> np.ndarray:
                shape = (len(self.bands), *lattice[window].shape)
                data, box = np.full(shape, np.nan, dtype=np.float32), lattice[window].extent.geom
                for outline, scene in scenes:
                    missing = np.isnan(data).all(axis=0)
                    if missing.any() and shapely.intersects(outline, box):
                        data[:, missing] = scene.pixels(window, scene.names)[:, missing]
                return data

            yield pixels


def look_at_images(images: Sequence[Path], crs: str | None) -> Mosaic:
    """See which images cover the same ground and which lie side by side.

    Numbers keep their type, unless the images differ in it or scale them, or bands of several files without
    a nodata value may end at other pixels, which no mask of all bands can say: then it is float32.

    Raises:
        ImageError: when one cannot be read, or has other bands than the others.
    """
    pieces: list[list[Path]] = []
    grids: list[GeoBox] = []
    origins: list[Origin] = []
    nodata: set[float | None] = set()
    for path in images:
        with Scene([path], crs=crs) as scene:
            same = [_same_ground(grid, scene.geobox) for grid in grids]
            if not any(same):
                pieces.append([])
                grids.append(scene.geobox)
            pieces[same.index(True) if any(same) else -1].append(path)
            origins += scene.origins()
        nodata |= set(nodata_values(path))
    dtypes = {one.dtype for one in origins}
    said = set.intersection(*(set(one.tags.items()) for one in origins))
    tags = dict(said) if "" not in dtypes else {}  # scaled numbers are others than those they speak of
    masked = len(nodata) == 1 and (nodata != {None} or max(map(len, pieces)) == 1)
    kept = len(dtypes) == 1 and dtypes <= set(NATIVE) and masked
    dtype, missing = (dtypes.pop(), nodata.pop()) if kept else ("float32", None)
    if missing is not None and not np.iinfo(dtype).min <= missing <= np.iinfo(dtype).max:
        missing = None  # which no pixel can be
    return Mosaic(pieces, grids, crs, _one_kind_of_bands(pieces, crs), dtype, missing, tags)


def _one_kind_of_bands(pieces: Sequence[Sequence[Path]], crs: str | None) -> tuple[Band, ...]:
    """The bands of every piece."""
    found: list[tuple[Band, ...]] = []
    for files in pieces:
        with Scene(files, crs=crs, resample="nearest") as scene:
            found.append(scene.bands)
        usual, here = (", ".join(band.name for band in bands) for bands in (found[0], found[-1]))
        if here != usual:
            raise ImageError(
                f"{files[0]} lies beside {pieces[0][0]} but has the bands {here} and not {usual}: give "
                "images with the same bands; only those that cover the same ground are stacked."
            )
    return found[0]


def _same_ground(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids cover the same ground up to a pixel of the coarser one."""
    pixel = max(abs(value) for grid in (one, other) for value in grid.resolution.xy)
    apart = np.abs(np.subtract(one.boundingbox.bbox, other.boundingbox.bbox)).max()
    return one.crs == other.crs and bool(apart <= pixel)


# -- the lattice -------------------------------------------------------------------------------


class Plan(NamedTuple):
    """Where tiles are cut.

    ``lattice``: pixels of all tiles. ``windows``: of each cell, ``None`` where no image is. ``side``: of a
    tile in pixels. ``pixel_m``: height and width of a pixel in metres. ``square``: cells fill their tiles.
    ``resample``: how. ``notes``: what should be known.
    """

    lattice: GeoBox
    windows: list[Window | None]
    side: int
    pixel_m: tuple[float, float]
    square: bool
    resample: str
    notes: list[str]


def plan_tiles(cells: Cells, mosaic: Mosaic, *, side: int | None, resample: str | None) -> Plan:
    """A square of one size around the middle of each cell, on one lattice of pixels.

    Args:
        cells: in a CRS that does not count in degrees.
        mosaic: the images.
        side: of a tile in pixels; without it such that a pixel is about one of the images, a multiple of 8
            from 32 to 512. Slippy tiles have a power of two, 256 at zoom 14 of images of 10 m.
        resample: without it bilinear, or average where pixels of tiles are larger by :data:`COARSER`.

    Raises:
        ImageError: when no cell lies on an image, or ``side`` is no multiple of 8.
    """
    if side is not None and side % STEP:
        raise ImageError(f"--side {side} is no multiple of {STEP}: give one, such as 128.")
    on_image = shapely.intersects(cells.geometry, shapely.union_all(mosaic.outlines(cells.crs)))
    if not on_image.any():
        raise ImageError(f"None of the {len(cells)} cells lies on the images: check the CRS of both.")
    left, bottom, right, top = shapely.bounds(cells.geometry[on_image]).T
    width = float(max((right - left).max(), (top - bottom).max()))
    here = _pixel_in(mosaic.grids[0], cells.crs)
    side = side or _usual_side(width / here, power="slippy" in cells.kind)
    pixel = width / side
    col, row = (
        np.rint((middle - middle.min()) / pixel).astype(int)
        for middle in ((left + right) / 2, -(top + bottom) / 2)
    )
    west, north = ((left + right).min() - width) / 2, ((top + bottom).max() + width) / 2
    shape = int(row.max()) + side, int(col.max()) + side
    lattice = GeoBox(shape, Affine(pixel, 0, west, 0, -pixel, north), cells.crs)
    windows: list[Window | None] = [None] * len(cells)
    for i, y, x in zip(np.flatnonzero(on_image), row.tolist(), col.tolist(), strict=True):
        windows[i] = slice(y, y + side), slice(x, x + side)
    square = bool(np.allclose(shapely.area(cells.geometry), width**2, rtol=1e-6))
    how = resample or ("average" if pixel >= COARSER * here else "bilinear")
    size = pixel_size_m(lattice[windows[int(np.flatnonzero(on_image)[0])]])
    notes = _plan_notes(pixel / here, shapely.area(cells.geometry[on_image]).min() / width**2)
    return Plan(lattice, windows, side, size, square, how, notes)


def _pixel_in(grid: GeoBox, crs: CRS) -> float:
    """Side of a pixel in the middle of a grid in units of another CRS: of a square of its area."""
    a, (x, y) = grid.affine, grid.extent.centroid.coords[0]
    move = norm_crs_or_error(grid.crs).transformer_to_crs(crs)
    x, y = move(x + np.array([0, a.a, a.b]), y + np.array([0, a.d, a.e]))
    across, down = np.array([x[1] - x[0], y[1] - y[0]]), np.array([x[2] - x[0], y[2] - y[0]])
    return float(np.sqrt(abs(across[0] * down[1] - across[1] * down[0])))


def _usual_side(pixels: float, *, power: bool) -> int:
    """Side of a tile for a cell of so many pixels of the image: up to a tenth fewer, or more."""
    side = 2 ** math.ceil(math.log2(0.9 * pixels)) if power else STEP * math.floor(pixels / STEP + 0.5)
    return min(max(side, LEAST), MOST)


def _plan_notes(coarser: float, smallest: float) -> list[str]:
    """What should be known of a plan.

    Args:
        coarser: pixel of a tile in pixels of the image.
        smallest: share of its tile that the smallest cell fills.
    """
    notes = []
    if coarser < 1 / COARSER:
        notes.append(f"Pixels of tiles are {1 / coarser:.1f} times finer than the image's and show no more.")
    if coarser > COARSER:
        notes.append(f"Pixels of tiles are {coarser:.1f} times coarser than the image's: --side gives more.")
    if smallest < SMALL:
        notes.append(
            f"All tiles have the scale of the largest cell; the smallest fills {smallest:.1%} of its own."
        )
    return notes


# -- the tiles ---------------------------------------------------------------------------------


def cut_tiles(
    mosaic: Mosaic,
    cells: Cells,
    plan: Plan,
    output: Path,
    *,
    min_coverage: float,
    progress: Progress | None = None,
) -> int:
    """Write a folder of tiles, or nothing; how many tiles it holds.

    Raises:
        ImageError: when an image is damaged, or too little was seen of every cell.
        LabelsError: when two ids would name one file.
        OutputError: when the folder cannot be written.
    """
    files = tile_files(cells.ids)
    coverage, n, image = np.zeros(len(cells)), np.zeros(len(cells)), np.full(len(cells), None)
    there = [(*(part.start for part in window), i) for i, window in enumerate(plan.windows) if window]
    with replacing(output, folder=True) as fresh, mosaic.opened(plan.lattice, plan.resample) as read:
        (fresh / IMAGES).mkdir(parents=True)
        for done, (_, _, i) in enumerate(sorted(there), start=1):  # in the order of the pixels on disk
            box, pixels = plan.lattice[plan.windows[i]], read(plan.windows[i])
            share, size = _share(cells.select(np.array([i])), box, square=plan.square)
            n[i] = share[np.isfinite(pixels).any(axis=0)].sum()
            coverage[i] = min(n[i] / size, 1)
            pixels[:, share < HALF] = np.nan
            if coverage[i] >= min_coverage - ROUNDING and np.isfinite(pixels).any():
                image[i] = files[i]
                write_tile(pixels, box, fresh / IMAGES / files[i], **mosaic.stored)
            if progress:
                progress("cutting tiles", done, len(there))
        written = sum(name is not None for name in image)
        if not written:
            raise ImageError(
                f"No cell was seen well enough for a tile (at best {coverage.max():.0%} of it): lower "
                "--min-coverage, or choose smaller cells."
            )
        columns = {"id": cells.ids, "coverage": coverage, "n": n, "image": image}
        write_tile_table(columns, cells.geometry, cells.crs, fresh / TABLE, kind=cells.kind)
    return written


def _share(cell: Cells, box: GeoBox, *, square: bool) -> tuple[np.ndarray, float]:
    """Share (y, x) of each pixel of a tile that lies in its cell, and the size of the cell in pixels."""
    if square:
        return np.ones(box.shape), float(np.prod(box.shape))
    placed = Placed(cell, box)
    found = placed.shares((slice(0, box.shape.y), slice(0, box.shape.x)))
    plane = np.zeros(box.shape)
    plane[found.row, found.col] = found.share
    for row, start, stop, share in zip(found.run_row, found.start, found.stop, found.run_share, strict=True):
        plane[row, start:stop] = share
    return plane, float(placed.size[0])
