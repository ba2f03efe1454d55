"""STAC items as one image: read by window with odc-stac, mosaicked, on the grid that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox, geobox_union_conservative
from odc.geo.geom import BoundingBox, bbox_union, box
from pyproj.exceptions import CRSError
from rasterio.errors import RasterioError

from jido.errors import ImageError
from jido.geo import Raster, Window, identify
from jido.io.raster import RESAMPLING, Scene, _sentence
from jido.io.stac_items import Plane, StacItem, is_remote, read_items

Bounds = tuple[float, float, float, float]


class StacScene(Scene):
    """Images that STAC items name, as one image on one grid, read by window.

    A pixel comes whole from one item, never with bands of two: from the item with data in most of the
    bands there, and from the first one given where several have equally many. Items of different dates
    are therefore given in the order in which they are preferred.

    The grid is ``like``, or ``crs`` and ``resolution``, or the one that all items share (the finest of
    the bands asked for). Bands on the pixels of the grid are read as they are; others are refused unless
    ``resample`` names the method. Without resampling any window gives the same pixels; with it, GDAL
    places them to an eighth of a pixel, and windows of other sizes may differ by that much.

    Nodata is that of the file, else that of the item. Scale and offset are those of the item (raster
    extension, STAC 1.1 bands); ``notes`` tells which were applied. Those inside a file, its mask and its
    alpha band are not read.

    Args:
        items: JSON files of items, item collections or catalogues; earlier ones lie on top.
        bands: names the model reads: asset keys, ``key.2`` for the second band of an asset, band
            names or common names (``red``), in any case.
        crs: of the grid, ``EPSG:32649``.
        resolution: side of a pixel in units of ``crs``.
        bounds: what to read: west, south, east, north in degrees of longitude and latitude.
        like: the grid itself, instead of ``crs``, ``resolution`` and ``bounds``.
        resample: one of :data:`~jido.io.RESAMPLING`, for bands on other grids.

    Raises:
        ImageError: when the ``stac`` extra, an item, a band or a file is missing, when the items
            have no common grid and none is given, or when they lie outside it.
    """

    def __init__(
        self,
        items: Sequence[str | Path],
        *,
        bands: Sequence[str],
        crs: str | None = None,
        resolution: float | None = None,
        bounds: Bounds | None = None,
        like: GeoBox | None = None,
        resample: str | None = None,
    ) -> None:
        if not items or not bands:
            raise ImageError("No STAC item was given, or no band to read from it.")
        if resample is not None and resample not in RESAMPLING:
            raise ImageError(f"--resample {resample!r} is not one of {', '.join(RESAMPLING)}.")
        self.paths = [Path(path) for path in items]
        self._files = [str(path.resolve()) for path in self.paths]
        self._again = partial(
            StacScene,
            self._files,
            bands=bands,
            crs=crs,
            resolution=resolution,
            bounds=bounds,
            like=like,
            resample=resample,
        )
        self._stack = ExitStack()
        found = read_items(self.paths, bands)
        self.geobox = like if like is not None else _grid(found, crs, resolution, bounds)
        self._items = [(item, place) for item in found if (place := _place(item, self.geobox))]
        if not self._items:
            raise ImageError(f"{self.paths[0]} shows another place than the grid or the bounds asked for.")
        self._resample = resample or "nearest"
        self.notes = [*self._require_grid(resample), *_scale_notes([item for item, _ in self._items], bands)]
        units = [plane.unit for plane in self._items[0][0].planes]
        self.bands = tuple(replace(b, unit=unit) for b, unit in zip(identify(bands), units, strict=True))
        logging.getLogger("odc.loader").setLevel(logging.CRITICAL)  # what fails is raised, and said once

    @property
    def _planes_read(self) -> list[Plane]:
        return [plane for item, _ in self._items for plane in item.planes]

    def _require_grid(self, resample: str | None) -> list[str]:
        """A note on what is resampled; refuses bands on other grids without a stated method."""
        planes = self._planes_read
        other = [plane for plane in planes if _common([self.geobox, plane.grid]) is None]
        if not other:
            return []
        if resample is None:
            raise ImageError(
                f"{other[0].uri} lies on another grid than the one asked for, or its item states none: "
                f"give --resample {'|'.join(RESAMPLING)} to bring it there."
            )
        return [f"{len(other)} of {len(planes)} bands of the items were resampled ({resample}) to the grid."]

    def read(self, window: Window | None = None) -> Raster:
        """The pixels of a window (all without one); opens only the items that touch it.

        Raises:
            ImageError: when a file is damaged or not what its item says.
        """
        height, width = self.geobox.shape
        rows, cols = window or (slice(0, height), slice(0, width))
        image = np.full((len(self.bands), rows.stop - rows.start, cols.stop - cols.start), np.nan, np.float32)
        touching = (item for item, (down, across) in self._items if _meet(down, rows) and _meet(across, cols))
        for item in touching:
            fresh = self._read_item(item, self.geobox[rows, cols])
            better = np.isfinite(fresh).sum(axis=0) > np.isfinite(image).sum(axis=0)
            np.copyto(image, fresh, where=better)
            if np.isfinite(image).all():
                break
        return Raster(image, self.bands, self.geobox[rows, cols])

    def _read_item(self, item: StacItem, grid: GeoBox) -> np.ndarray:
        """Bands of an item on a grid, float32 (band, y, x)."""
        from odc.loader import RasterLoadParams, RasterSource, RioDriver

        driver = RioDriver()
        state = driver.new_load(grid)
        remote = any(is_remote(plane.uri) for plane in item.planes)
        data = np.full((len(item.planes), *grid.shape), np.nan, dtype=np.float32)
        # a local file may have files beside it, which the settings for remote ones do not look for
        with driver.restore_env(driver.capture_env() if remote else {}, state) as context:
            for image, plane in zip(data, item.planes, strict=True):
                how = RasterLoadParams(
                    dtype="float32",
                    fill_value=np.nan,
                    src_nodata_fallback=plane.nodata,
                    resampling=self._resample,
                )
                try:
                    source = driver.open(RasterSource(plane.uri, plane.number), context)
                    roi, pixels = source.read(how, grid)
                except (RasterioError, ValueError, AssertionError) as err:
                    raise _unreadable(plane, item, err) from err
                image[roi] = pixels * np.float32(plane.scale) + np.float32(plane.offset)
        data[~np.isfinite(data)] = np.nan
        return data

    def state(self) -> list[tuple[str, int, int]]:
        """Full path, size in bytes and time of the last change in ns of items and images.

        What is remote has neither size nor time, and its address is given without the query, which
        may hold a key.
        """
        named = [
            *self._files,
            *(item.path for item, _ in self._items),
            *(plane.uri for plane in self._planes_read),
        ]
        return [_state(uri) for uri in dict.fromkeys(named)]

    def __reduce__(self) -> tuple[Callable[..., Scene], tuple[object, ...]]:
        """Another process reads the items for itself."""
        return self._again, ()


def _state(uri: str) -> tuple[str, int, int]:
    if is_remote(uri):
        return uri.partition("?")[0], 0, 0
    try:
        stat = Path(uri).stat()
    except OSError as err:
        raise ImageError(f"{uri} cannot be read any more ({err.strerror}).") from err
    return str(Path(uri).resolve()), stat.st_size, stat.st_mtime_ns


def _unreadable(plane: Plane, item: StacItem, err: Exception) -> ImageError:
    uri = plane.uri.partition("?")[0]
    reason = _sentence(err) or "it is not georeferenced"
    return ImageError(f"{uri} is damaged or not what {item.path} says ({reason}): get it again.")


def _common(grids: Sequence[GeoBox | None]) -> GeoBox | None:
    """A grid that holds the pixels of all grids; ``None`` when they do not fit or one is not known."""
    known = [grid for grid in grids if grid is not None]
    try:
        return geobox_union_conservative(known) if len(known) == len(grids) else None
    except ValueError:
        return None


def _grid(
    items: Sequence[StacItem], crs: str | None, resolution: float | None, bounds: Bounds | None
) -> GeoBox:
    """The grid asked for; the one that the items share is kept where it agrees with that."""
    shared = _common([item.grid for item in items])
    system = _crs(crs, shared)
    if resolution is not None:
        _require_resolution(resolution, system)
    if shared is not None and system == shared.crs:
        size = abs(shared.resolution.x), abs(shared.resolution.y)
        if resolution is None or size == (resolution, resolution):
            return shared if bounds is None else shared.enclosing(_region(items, system, bounds))
    if resolution is None:
        raise ImageError(f"The items have no common grid in {system}: give --resolution in its units.")
    return GeoBox.from_bbox(_region(items, system, bounds), resolution=resolution)


def _crs(crs: str | None, shared: GeoBox | None) -> CRS:
    if crs is None:
        if shared is None or shared.crs is None:
            raise ImageError(
                "The items state no grid, or different ones: give --crs EPSG:.... and --resolution."
            )
        return shared.crs
    try:
        return CRS(crs)
    except CRSError as err:
        raise ImageError(f"--crs {crs!r} is none: give one such as EPSG:32649.") from err


def _require_resolution(resolution: float, crs: CRS) -> None:
    """Refuse metres that are meant for degrees, and the other way round."""
    unit, low, high = ("degrees", 0.0, 1.0) if crs.geographic else ("metres", 0.01, np.inf)
    if not low < resolution < high:
        raise ImageError(
            f"--resolution {resolution:g} cannot be the side of a pixel in {unit}, the unit of {crs}: "
            f"give one such as {'0.0001' if crs.geographic else '10'}, or another --crs."
        )


def _region(items: Sequence[StacItem], crs: CRS, bounds: Bounds | None) -> BoundingBox:
    """What is to be read, in a CRS: the bounds, or else all that the items show."""
    if bounds is None:
        return bbox_union(_footprint(item, crs) for item in items)
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ImageError(
            f"--bounds {west:g} {south:g} {east:g} {north:g} are not west, south, east, north in "
            "degrees of longitude and latitude."
        )
    return box(*bounds, "EPSG:4326").to_crs(crs, resolution=(east - west) / 100).boundingbox


def _footprint(item: StacItem, crs: CRS) -> BoundingBox:
    """Box around what an item shows, in a CRS."""
    shape = item.parsed.safe_geometry(crs)
    if shape is None:
        raise ImageError(f"{item.path} does not state where it lies (no geometry): correct it.")
    return shape.boundingbox


def _place(item: StacItem, grid: GeoBox) -> Window | None:
    """Rows and columns of a grid that an item may touch, ``None`` when it lies beside."""
    if grid.crs is None:
        raise ImageError("A grid without CRS cannot hold STAC items: give one with a CRS.")
    found = grid.project(_footprint(item, grid.crs).polygon).boundingbox
    # footprints are drawn with few points, and may run a pixel or two beside the image
    down = slice(int(found.bottom) - 2, int(found.top) + 2)
    across = slice(int(found.left) - 2, int(found.right) + 2)
    height, width = grid.shape
    return (down, across) if _meet(down, slice(0, height)) and _meet(across, slice(0, width)) else None


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _scale_notes(items: Sequence[StacItem], bands: Sequence[str]) -> list[str]:
    """Which scale and offset were applied to which bands, a sentence for the user."""
    applied: dict[tuple[float, float], dict[str, None]] = {}
    for item in items:
        for name, plane in zip(bands, item.planes, strict=True):
            applied.setdefault((plane.scale, plane.offset), {})[name] = None
    if set(applied) == {(1.0, 0.0)}:
        return ["The items state no scale and no offset: the values are as they are stored."]
    parts = [
        f"{scale:g} and {offset:g} ({', '.join(names)})" for (scale, offset), names in sorted(applied.items())
    ]
    notes = [f"Scale and offset were applied as the items state them: {'; '.join(parts)}."]
    if any(offset for _, offset in applied):
        notes.append("Some publishers state an offset that their files hold already: look at the values.")
    return notes
