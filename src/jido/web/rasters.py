"""Open rasters for many small reads at once: a stock of open files, and previews of large ones."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window
from rio_tiler.errors import NoOverviewWarning
from rio_tiler.io import Reader

from jido.errors import ImageError
from jido.io.raster import band_names, read_planes, sentence

IDLE = 48
"""Files that wait open for the next tile."""

PREVIEW = 2048
"""Longest side in pixels of the picture of a scene without overviews."""

PREVIEWS = 4
"""Such pictures that are kept."""

TOO_LARGE = 120_000
"""Pixels along a side from which on a scene without overviews has no preview: reading it takes minutes."""

DIRECT = 4096
"""Pixels of the source along a side of a tile that are read where no overview helps."""

PLANE = "EPSG:3857"
"""Images without a place on Earth lie on a plane: a pixel is a unit, rows go down from 0."""

WORLD = (-180.0, -85.05, 180.0, 85.05)
"""What web Mercator shows, in degrees."""


SIDECARS = (".ovr", ".OVR", ".msk", ".MSK")
"""Ends of the names of overviews and masks beside a file."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins."""


@dataclass(frozen=True, eq=False)
class RasterFile:
    """What a page needs to know of a raster.

    Args:
        path: where it lies.
        bands: names, in the order of the file.
        dtype: of the first band.
        shape: (height, width).
        bounds: west, south, east, north in degrees, or on the plane as if it were web Mercator.
        extent: left, bottom, right, top in metres of web Mercator.
        maxzoom: at which a pixel of a tile is about one of the file.
        coarsest: how much coarser the last overview is; 1 without overviews.
        placed: whether it has a place on Earth.
        palette: value -> (red, green, blue, alpha), of band 1; empty without one.
        colours: whether the file says that its bands are red, green and blue.
        scales: (factor, offset) that make a number of each band the quantity it stands for.
    """

    path: Path
    bands: tuple[str, ...]
    dtype: str
    shape: tuple[int, int]
    bounds: tuple[float, float, float, float]
    extent: tuple[float, float, float, float]
    maxzoom: int
    coarsest: int
    placed: bool
    palette: dict[int, tuple[int, ...]]
    colours: bool
    scales: tuple[tuple[float, float], ...]

    @property
    def minzoom(self) -> int:
        """Below it nothing is shown, since that would mean to read the whole of a huge file."""
        whole = max(self.shape) <= TOO_LARGE or self.coarsest > 1
        return 0 if whole else max(self.maxzoom - (DIRECT // 256).bit_length() + 1, 0)

    def coarse(self, zoom: int) -> bool:
        """Whether tiles of that zoom would read much more than they show."""
        if max(self.shape) / self.coarsest <= PREVIEW:
            return False
        return 256 * 2 ** (self.maxzoom - zoom) / self.coarsest > DIRECT


def describe_raster(path: Path, *, geotiff_only: bool = False) -> RasterFile:
    """Read what is said about a raster, no pixels.

    Args:
        path: of the file.
        geotiff_only: refuse other formats, of which some (VRT) lead to other files.

    Raises:
        ImageError: when it cannot be read as a raster, lies nowhere on Earth, or leads elsewhere for its
            overviews.
    """
    driver = "GTiff" if geotiff_only else None
    try:
        _require_own_overviews(path, driver)
        opened = _open(str(path), driver=driver)
    except RasterioError as err:
        raise ImageError(f"{path} cannot be shown ({sentence(err)}): give an image or a map.") from err
    with closing(opened):
        source = opened.source
        bounds = transform_bounds(source.crs, "EPSG:4326", *source.bounds, densify_pts=21)
        if not np.isfinite(bounds).all():
            raise ImageError(f"{path} has coordinates that do not fit its CRS: correct the CRS in the file.")
        clipped = _clipped(path, source, bounds)
        try:
            palette = source.colormap(1)
        except ValueError:
            palette = {}
        names = [str(colour.name) for colour in source.colorinterp]
        own = opened.files[0]
        return RasterFile(
            path=path,
            bands=tuple(band_names(own, own.indexes)),
            dtype=str(own.dtypes[0]),
            shape=(own.height, own.width),
            bounds=clipped,
            extent=transform_bounds("EPSG:4326", PLANE, *clipped),
            maxzoom=min(int(opened.reader.maxzoom), 22),
            coarsest=max(own.overviews(1), default=1),
            placed=own.crs is not None or bool(own.gcps[0]),
            palette=palette,
            colours=names[:3] == ["red", "green", "blue"],
            scales=tuple(zip(own.scales, own.offsets, strict=True)),
        )


def _clipped(
    path: Path, source: rasterio.DatasetReader | WarpedVRT, bounds: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Bounds as far as web Mercator reaches."""
    west, south, east, north = bounds
    pixel = abs(source.res[0]) if source.crs.is_geographic else 0.0  # centres at 180: half a pixel over
    if west > east or west < WORLD[0] - pixel or east > WORLD[2] + pixel:
        raise ImageError(
            f"{path} crosses 180 degrees of longitude, where the page ends: cut it there into two files with "
            "longitudes from -180 to 180."
        )
    return max(west, WORLD[0]), max(south, WORLD[1]), min(east, WORLD[2]), min(north, WORLD[3])


def _require_own_overviews(path: Path, driver: str | None) -> None:
    """Refuse overviews and masks outside of a file and its neighbours.

    GDAL follows a name of theirs in the file or beside it wherever it leads, to other files or the internet.
    """
    for beside in (path.with_name(f"{path.name}{end}") for end in SIDECARS):
        if beside.is_file():
            with beside.open("rb") as file:
                if file.read(4) not in TIFF:
                    raise ImageError(f"{beside} is no GeoTIFF, as overviews and masks are: take it away.")
            _require_own_overviews(beside, "GTiff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver=driver) as source:
            if "OVERVIEW_FILE" in source.tags(ns="OVERVIEWS"):
                raise ImageError(
                    f"{path} names another file for its overviews: copy it without them (gdal_translate)."
                )


class OpenRaster(NamedTuple):
    """An open file; it may be used and closed by other threads than the one that opened it."""

    name: str
    reader: Reader
    files: tuple[rasterio.DatasetReader | WarpedVRT, ...]

    @property
    def source(self) -> rasterio.DatasetReader | WarpedVRT:
        """What is read: the file, or the file on the plane, or as its ground control points place it."""
        return self.reader.dataset or self.files[-1]

    def close(self) -> None:
        """No more is read."""
        self.reader.close()
        for file in reversed(self.files):
            file.close()


def _open(path: str, *, driver: str | None = None) -> OpenRaster:
    """A file; without a place on Earth as if it lay on the plane."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.simplefilter("ignore", NoOverviewWarning)  # the page says it
        source = rasterio.open(path, driver=driver)
        if source.crs is not None or source.gcps[0]:
            return OpenRaster(path, Reader(None, dataset=source), (source,))
        place = source.transform if source.transform.e < 0 else Affine.scale(1, -1) * source.transform
        grid = {"transform": place, "width": source.width, "height": source.height}
        plane = WarpedVRT(source, src_crs=PLANE, crs=PLANE, src_transform=place, add_alpha=False, **grid)
        return OpenRaster(path, Reader(None, dataset=plane), (source, plane))


class Rasters:
    """A stock of open files: GDAL lets only one thread at a time use one, so there are several of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[OpenRaster] = []  # the last used at the end
        self._previews: OrderedDict[tuple[Path, tuple[int, ...]], MemoryFile] = OrderedDict()
        self._making = threading.Lock()

    @contextmanager
    def take(self, path: str | Path) -> Iterator[OpenRaster]:
        """A file, for one thread, until the block ends.

        Raises:
            ImageError: when it cannot be opened, or is damaged where the block reads.
        """
        opened = self._waiting(str(path))
        try:
            opened = opened or _open(str(path))
            yield opened
        except RasterioError as err:
            if opened:
                opened.close()
            text = f"{Path(path).name} is damaged or cut short ({sentence(err)}): get it again."
            raise ImageError(text) from err
        with self._lock:
            self._idle.append(opened)
            surplus = [self._idle.pop(0)] if len(self._idle) > IDLE else []
        for one in surplus:
            one.close()

    def _waiting(self, path: str) -> OpenRaster | None:
        with self._lock:
            found = next((one for one in reversed(self._idle) if one.name == path), None)
            if found:
                self._idle.remove(found)
        return found

    def source(self, file: RasterFile, bands: tuple[int, ...], zoom: int) -> tuple[str, tuple[int, ...]]:
        """What to read tiles of a zoom from: the file and its bands, or a preview and all of its bands."""
        if not file.coarse(zoom) or max(file.shape) > TOO_LARGE:
            return str(file.path), bands
        return self.preview(file, bands), tuple(range(1, len(bands) + 1))

    def preview(self, file: RasterFile, bands: tuple[int, ...]) -> str:
        """The path in memory of some bands with fewer pixels; the first call may take seconds.

        It goes when other previews are made, so open it at once.
        """
        key = (file.path, bands)
        with self._making:  # one at a time, and nobody makes the same twice
            if key not in self._previews:
                self._previews[key] = self._made(file, bands)
            self._previews.move_to_end(key)
            while len(self._previews) > PREVIEWS:
                self._previews.popitem(last=False)
            return str(self._previews[key].name)

    def _made(self, file: RasterFile, bands: tuple[int, ...]) -> MemoryFile:
        with self.take(file.path) as opened:
            source = opened.source
            shrink = max(max(source.shape) / PREVIEW, 1)
            shape = tuple(max(round(side / shrink), 1) for side in source.shape)
            data = source.read(list(bands), out_shape=(len(bands), *shape))
            mask = source.dataset_mask(out_shape=shape)
            scale = Affine.scale(source.width / shape[1], source.height / shape[0])
            facts = {"crs": source.crs, "transform": source.transform * scale, "nodata": source.nodata}
        memory = MemoryFile()
        with memory.open(driver="GTiff", height=shape[0], width=shape[1], count=len(bands), dtype=data.dtype,
                         **facts) as sink:  # fmt: skip
            sink.write(data)
            if facts["nodata"] is None and not mask.all():
                sink.write_mask(mask)
        return memory

    def sample(self, file: RasterFile, bands: tuple[int, ...], *, side: int = 512) -> np.ndarray:
        """Some pixels of bands, float64 (C, y, x), NaN without data, scaled as the file states."""
        path, planes = self.source(file, bands, 0) if file.coarsest == 1 else (str(file.path), bands)
        with self.take(path) as opened:
            height, width = opened.source.shape
            window = Window(0, 0, width, height)
            if max(height, width) > TOO_LARGE and file.coarsest == 1:  # the middle must do
                window = Window(width // 2, height // 2, min(width // 2, PREVIEW), min(height // 2, PREVIEW))
            shrink = max(max(window.height, window.width) / side, 1)
            shape = tuple(max(round(n / shrink), 1) for n in (window.height, window.width))
            block = opened.source.read(
                list(planes), window=window, out_shape=(len(bands), *shape), masked=True
            )
        return scaled(block, [file.scales[band - 1] for band in bands])

    def codes(self, file: RasterFile, band: int) -> set[int]:
        """All values of a band that has whole numbers; reads the whole of it."""
        with self.take(file.path) as opened:
            values = opened.source.read(band, masked=True).compressed()
        return {int(value) for value in np.unique(values[np.isfinite(values)])}

    def values(self, file: RasterFile, lon: float, lat: float) -> np.ndarray | None:
        """The value of every band at a place, float32 (C,), NaN without data; ``None`` outside."""
        with self.take(file.path) as opened:
            source = opened.source
            (x,), (y,) = transform("EPSG:4326", source.crs, [lon], [lat])
            col, row = (int(np.floor(v)) if np.isfinite(v) else -1 for v in ~source.transform * (x, y))
            if not (0 <= row < source.height and 0 <= col < source.width):
                return None
            planes = list(range(1, len(file.bands) + 1))
            return read_planes(file.path.name, source, planes, Window(col, row, 1, 1))[:, 0, 0]


def scaled(block: np.ma.MaskedArray, scales: Sequence[tuple[float, float]]) -> np.ndarray:
    """Numbers of a file (C, y, x) as the quantities they stand for, float64, NaN without data."""
    data = np.ma.filled(block.astype(np.float64), np.nan)
    factors, offsets = np.array(scales).T[:, :, None, None]
    data = data * factors + offsets
    data[~np.isfinite(data)] = np.nan
    return data
