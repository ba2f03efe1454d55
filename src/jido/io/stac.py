"""STAC items as one image: read by window with odc-stac, mosaicked, on the grid that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from jido.errors import ImageError
from jido.geo import Window, identify
from jido.io.origin import Origin
from jido.io.raster import RESAMPLING, Scene, sentence
from jido.io.stac_grid import Bounds, common_grid, meet, place_on, requested_grid
from jido.io.stac_items import StacBand, StacItem, is_remote, read_items, require_one_baseline

if TYPE_CHECKING:
    from odc.loader import RasterLoadParams, RasterSource


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
        day: only items of this day, as ISO text.
        resample: one of :data:`~jido.io.RESAMPLING`, for bands on other grids.
        found: what :func:`~jido.io.stac_items.read_items` gave for these items and bands, not to read them
            again.

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
        day: str | None = None,
        resample: str | None = None,
        found: Sequence[StacItem] | None = None,
    ) -> None:
        if not items or not bands:
            raise ImageError("No STAC item was given, or no band to read from it.")
        if resample is not None and resample not in RESAMPLING:
            raise ImageError(f"--resample {resample!r} is not one of {', '.join(RESAMPLING)}.")
        self.paths = [Path(path) for path in items]
        self._json = [str(path.resolve()) for path in self.paths]
        self._again = partial(
            StacScene,
            self._json,
            bands=bands,
            crs=crs,
            resolution=resolution,
            bounds=bounds,
            like=like,
            day=day,
            resample=resample,
        )
        self.conversions = {}
        self._stack = ExitStack()
        found = read_items(self.paths, bands) if found is None else found
        found = [item for item in found if day in (None, item.day)]
        self.geobox = like if like is not None else requested_grid(found, crs, resolution, bounds)
        self._items = [(item, place) for item in found if (place := place_on(item, self.geobox))]
        if not self._items:
            raise ImageError(f"{self.paths[0]} shows another place than the grid or the bounds asked for.")
        require_one_baseline([item for item, _ in self._items])
        self._resample = resample
        self.notes = [*self._require_grid(resample), *_scale_notes([item for item, _ in self._items], bands)]
        units = [band.unit for band in self._items[0][0].bands]
        self.bands = tuple(replace(b, unit=unit) for b, unit in zip(identify(bands), units, strict=True))
        logging.getLogger("odc.loader").setLevel(logging.CRITICAL)  # what fails is raised, and said once

    @property
    def _bands_read(self) -> list[StacBand]:
        return [band for item, _ in self._items for band in item.bands]

    def _require_grid(self, resample: str | None) -> list[str]:
        """A note on what is resampled; refuses bands on other grids without a stated method."""
        other = [band for band in self._bands_read if common_grid([self.geobox, band.grid]) is None]
        if not other:
            return []
        if resample is None:
            raise ImageError(
                f"{other[0].uri} lies on another grid than the one asked for, or its item states none: "
                f"give --resample {'|'.join(RESAMPLING)} to bring it there."
            )
        every = len(self._bands_read)
        return [f"{len(other)} of {every} bands of the items were resampled ({resample}) to the grid."]

    def pixels(self, window: Window, names: Sequence[str]) -> np.ndarray:
        """Some bands of a window, float32 (C, y, x) in the order of ``names``, NaN = no data.

        Opens only the items that touch the window.

        Raises:
            ImageError: when a file is damaged or not what its item says.
        """
        rows, cols = window
        grid = self.geobox[rows, cols]
        image = np.full((len(self.bands), *grid.shape), np.nan, dtype=np.float32)
        touching = (item for item, (down, across) in self._items if meet(down, rows) and meet(across, cols))
        for item in touching:
            fresh = self._read_item(item, grid)
            better = np.isfinite(fresh).sum(axis=0) > np.isfinite(image).sum(axis=0)
            np.copyto(image, fresh, where=better)
            if np.isfinite(image).all():
                break
        return self._finished(dict(zip(self.names, image, strict=True)), names, window)

    def _read_item(self, item: StacItem, grid: GeoBox) -> np.ndarray:
        """Bands of an item on a grid, float32 (band, y, x)."""
        from odc.loader import RioDriver

        driver = RioDriver()
        remote = any(is_remote(band.uri) for band in item.bands)
        data = np.full((len(item.bands), *grid.shape), np.nan, dtype=np.float32)
        # a local file may have files beside it, which the settings for remote ones do not look for
        with driver.restore_env(driver.capture_env() if remote else {}, driver.new_load(grid)) as context:
            # GDAL resamples bands together as if data in one were data in all
            for places in item.files(together=self._resample is None):
                source, how = _request(item.bands[places[0]], self._resample or "nearest")
                numbers = [item.bands[place].number for place in places]
                try:
                    (rows, cols), pixels = driver.open(source, context).read(how, grid, selection=numbers)
                except (RasterioError, ValueError, IndexError, AssertionError) as err:
                    raise _unreadable(source.uri, item, err) from err
                for place, plane in zip(places, pixels, strict=True):
                    band = item.bands[place]
                    data[place, rows, cols] = plane * np.float32(band.scale) + np.float32(band.offset)
        data[~np.isfinite(data)] = np.nan
        return data

    def state(self) -> list[tuple[str, int, int]]:
        """Full path, size in bytes and time of the last change in ns of items and images.

        What is remote has neither size nor time, and its address is given without the query, which
        may hold a key.
        """
        named = [
            *self._json,
            *(item.path for item, _ in self._items),
            *(band.uri for band in self._bands_read),
        ]
        return [_state(uri) for uri in dict.fromkeys(named)]

    def origins(self) -> list[Origin]:
        """What the first item says of each band; items that contradict each other were refused."""
        return self._items[0][0].origins


def _state(uri: str) -> tuple[str, int, int]:
    if is_remote(uri):
        return uri.partition("?")[0], 0, 0
    try:
        stat = Path(uri).stat()
    except OSError as err:
        raise ImageError(f"{uri} cannot be read any more ({err.strerror}).") from err
    return str(Path(uri).resolve()), stat.st_size, stat.st_mtime_ns


def _request(band: StacBand, resample: str) -> tuple[RasterSource, RasterLoadParams]:
    """What odc-stac is asked for: some bands of a file, float32 (band, y, x)."""
    from odc.loader import RasterBandMetadata, RasterLoadParams, RasterSource

    source = RasterSource(band.uri, 0, meta=RasterBandMetadata(dims=("band", "y", "x")))
    how = RasterLoadParams("float32", fill_value=np.nan, src_nodata_fallback=band.nodata, resampling=resample)
    return source, how


def _unreadable(uri: str, item: StacItem, err: Exception) -> ImageError:
    silent = {AssertionError: "it is not georeferenced", IndexError: "it has fewer bands"}
    reason = silent.get(type(err)) or sentence(err)
    return ImageError(
        f"{uri.partition('?')[0]} is damaged or not what {item.path} says ({reason}): get it again."
    )


def _scale_notes(items: Sequence[StacItem], bands: Sequence[str]) -> list[str]:
    """Which scale and offset were applied to which bands, a sentence for the user."""
    applied: dict[tuple[float, float], dict[str, None]] = {}
    for item in items:
        for name, band in zip(bands, item.bands, strict=True):
            applied.setdefault((band.scale, band.offset), {})[name] = None
    if set(applied) == {(1.0, 0.0)}:
        return ["The items state no scale and no offset: the values are as they are stored."]
    parts = [
        f"{scale:g} and {offset:g} ({', '.join(names)})" for (scale, offset), names in sorted(applied.items())
    ]
    notes = [f"Scale and offset were applied as the items state them: {'; '.join(parts)}."]
    if any(offset for _, offset in applied):
        notes.append("Some publishers state an offset that their files hold already: look at the values.")
    return notes
