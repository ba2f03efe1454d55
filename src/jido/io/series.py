"""Images of several dates of one place, on one grid, without what clouds hide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import Window
from jido.geo.radiometry import KINDS, Conversion
from jido.io.clouds import MASK_BANDS, cloudy
from jido.io.dates import image_day, image_days
from jido.io.products import is_product
from jido.io.radiometry import describe_scene
from jido.io.raster import Scene, wkt
from jido.io.stac_grid import Bounds

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img")
"""What counts as an image in a folder."""


UNNAMED = re.compile(r"band\d+(_\d+)?")
"""What a band is called that its file gives no description."""

NAME_BANDS = "rasterio.open(FILE, 'r+').set_band_description(1, 'B04') in Python, for every band"
"""How to name bands, for errors."""

WHOLE = 0.99
"""Share of an image that a mask of clouds has to cover."""


class Dated(NamedTuple):
    """The image of a day, and where its clouds are; ``None`` when nobody says."""

    day: str
    scene: Scene
    clouds: Scene | None


class Series:
    """Images of one place by date, on the grid of the first.

    Args:
        images: in the order of their days.

    Attributes:
        correction: of every image, what its numbers were taken for.
        notes: what a reader should know.
    """

    def __init__(self, images: Sequence[Dated]) -> None:
        self.images = list(images)
        self.geobox: GeoBox = images[0].scene.geobox
        self.correction = ["unknown"] * len(images)
        self.notes = [note for one in images for note in one.scene.notes]
        if blind := [one.day for one in images if one.clouds is None]:
            self.notes.append(
                f"Nothing tells where clouds are on {_listed(blind)}: they count as ground (give --clouds)."
            )

    @property
    def days(self) -> tuple[str, ...]:
        """Days in order, ISO."""
        return tuple(one.day for one in self.images)

    def has(self, role: str) -> bool:
        """Whether every image has a band of a STAC common name."""
        return all(_named(one.scene, role) for one in self.images)

    def select(self, chosen: Sequence[int]) -> Series:
        """Some of the dates, by place; the files stay open for both."""
        part = object.__new__(Series)
        part.__dict__ |= self.__dict__ | {"notes": list(self.notes)}
        part.images, part.correction = [self.images[i] for i in chosen], [self.correction[i] for i in chosen]
        return part

    def as_reflectance(self, roles: Sequence[str], *, exact: bool) -> Series:
        """The same images with the numbers of some bands as reflectance, 0..1.

        Level-1 numbers of Landsat lack the division by the sine of the sun's elevation: ratios of bands
        do not need it, so they pass unless ``exact``.

        Args:
            roles: STAC common names.
            exact: refuse what is no reflectance for certain.

        Raises:
            ImageError: when ``exact`` and numbers are of no kind that tells reflectance.
        """
        fresh = self.select(range(len(self.images)))
        for place, (day, scene, clouds) in enumerate(self.images):
            names = [_named(scene, role) for role in roles]
            parts = [part for part in describe_scene(scene).parts if set(names) & set(part.bands)]
            convert: dict[str, Conversion] = {}
            words = []
            for part in parts:
                kind = next((KINDS[name] for name in part.likely if KINDS[name].family == "optical"), None)
                if exact and (kind is None or kind.curve == "none"):
                    raise ImageError(
                        f"The numbers of {part.image} are {kind.name if kind else 'of no known kind'}, and "
                        "this index needs reflectance (0..1): give surface reflectance, or take a "
                        "normalised difference."
                    )
                if kind is not None and kind.name != "reflectance":
                    mine = [name for name in names if name in part.bands]
                    convert |= dict.fromkeys(mine, Conversion(kind.name, "reflectance"))
                told = f"{kind.name} by {part.evidence}" if kind else "numbers of no known kind, as they are"
                words.append(f"{day}: {told}{', level ' + part.level if part.level else ''}")
            fresh.images[place] = Dated(day, scene.converted(convert), clouds)
            fresh.correction[place] = "; ".join(words) or f"{day}: no data in the sample"
        return fresh

    def read(self, place: int, window: Window, roles: Sequence[str]) -> np.ndarray:
        """Bands of a date in a window, float32 (C, y, x) in the order of their common names.

        NaN where there is no data, and where clouds hide the ground.
        """
        _, scene, clouds = self.images[place]
        image = scene.pixels(window, [_named(scene, role) for role in roles])
        if clouds is not None:
            image[:, cloudy(clouds, window)] = np.nan
        return image

    def state(self) -> list[Path]:
        """All files that are read."""
        scenes = [s for one in self.images for s in (one.scene, one.clouds) if s is not None]
        return [Path(path) for scene in scenes for path, _, _ in scene.state()]

    def close(self) -> None:
        """Close the files."""
        for one in self.images:
            one.scene.close()
            if one.clouds is not None:
                one.clouds.close()

    def __enter__(self) -> Series:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _named(scene: Scene, role: str) -> str:
    """Name of the first band of a role; empty without one."""
    return next((band.name for band in scene.bands if role in (band.common_name, band.name)), "")


def _listed(days: Sequence[str]) -> str:
    return ", ".join(days[:3]) + (f" and {len(days) - 3} more dates" if len(days) > 3 else "")


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the images in them in the order of their names.

    Raises:
        ImageError: when a folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir() or is_product(path):
            files.append(path)
            continue
        found = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES or is_product(one))
        if not found:
            raise ImageError(f"{path} holds no image ({', '.join(SUFFIXES)}): give the files.")
        files += found
    return files


def open_series(
    paths: Sequence[Path],
    *,
    dates: Sequence[str] = (),
    clouds: Sequence[Path] = (),
    crs: str | None = None,
    resample: str | None = None,
) -> Series:
    """Open images of one place by date.

    Files of one day are stacked when their bands differ. Clouds are those of a band ``SCL`` (Sentinel-2
    level 2A) or ``QA_PIXEL`` (Landsat Collection 2), wherever it stands, else those of ``clouds``.

    Args:
        paths: files and folders.
        dates: of the files in their order, ISO; read from names and tags without them.
        clouds: masks, a file for each date with the day in its name, not 0 = cloud.
        crs: of files that carry none.
        resample: one of :data:`~jido.io.RESAMPLING`, for images on other grids than the first.

    Raises:
        ImageError: when a file cannot be read, tells no date, lies on another grid, or a date comes twice.
    """
    files = image_files(paths)
    if not files:
        raise ImageError("No image was given.")
    if lost := [path for path in files if not path.exists()]:
        raise ImageError(f"{lost[0]} does not exist.")
    days = image_days(files, dates)
    masks: dict[str, Path] = {}
    for path in clouds:
        day = image_day(path)
        if not day or day in masks:
            what = f"is of {day} as {masks[day]} is" if day else "does not say of which day it is"
            raise ImageError(f"{path} {what}: give one mask a date, with the day in its name.")
        masks[day] = path
    if other := sorted(set(masks) - set(days)):
        raise ImageError(f"{masks[other[0]]} is of {other[0]}, but no image is: give the images of that day.")
    images: list[Dated] = []
    with ExitStack() as stack:
        like: GeoBox | None = None
        for day in sorted(set(days)):
            mine = [path for path, its in zip(files, days, strict=True) if its == day]
            one = _open_day(day, mine, masks.get(day), crs=crs, resample=resample, like=like)
            stack.callback(Series([one]).close)
            like = one.scene.geobox
            images.append(one)
        stack.pop_all()
    return Series(images)


def _open_day(
    day: str,
    files: list[Path],
    mask: Path | None,
    *,
    crs: str | None,
    resample: str | None,
    like: GeoBox | None,
) -> Dated:
    """The image of a day, and its clouds."""
    bands = {path: _bands(path) for path in files}
    quality = next((path for path in files if set(bands[path]) & MASK_BANDS), None)
    pictures = [path for path in files if set(bands[path]) - MASK_BANDS]
    if not pictures:
        raise ImageError(f"{files[0]} tells of clouds only: give the image of {day} too.")
    names = [name for path in pictures for name in bands[path]]
    plain = [path for path in pictures if all(UNNAMED.fullmatch(name) for name in bands[path])]
    if plain and len(pictures) > 1:
        raise ImageError(
            f"{plain[0]} does not say which band it holds, so it cannot be put together with the other files "
            f"of {day}: name its bands ({NAME_BANDS}), or give one file of named bands."
        )
    if len(set(names)) < len(names):
        raise ImageError(
            f"{day} comes twice: {pictures[0]} and {pictures[1]} have the same bands. Put tiles of one day "
            "together first (gdalbuildvrt), give STAC items with --stac, or leave one out."
        )
    scene = Scene(pictures, crs=crs, resample=resample, like=like, clouds="show")  # hidden on reading
    masked = quality if quality is not None else mask
    if masked is None:
        return Dated(day, scene, None)
    with Scene([masked], crs=crs, clouds="only") as own:
        ground = own.geobox.extent.to_crs(wkt(scene.geobox))
    common = ground.intersection(scene.geobox.extent).area / scene.geobox.extent.area
    if common < WHOLE:
        beyond = "nothing is looked at" if quality is not None else "all counts as ground"
        scene.notes.append(f"{masked.name} covers {common:.0%} of the image: beyond it {beyond}.")
    return Dated(day, scene, Scene([masked], crs=crs, resample="nearest", like=scene.geobox, clouds="only"))


def _bands(path: Path) -> tuple[str, ...]:
    with Scene([path], place_needed=False) as scene:
        return scene.names + scene.masks


def open_stac_series(
    items: Sequence[Path],
    roles: Sequence[str],
    *,
    crs: str | None = None,
    resolution: float | None = None,
    bounds: Bounds | None = None,
    resample: str | None = None,
) -> Series:
    """Open STAC items by day; items of one day are put together, clouds are those of ``scl`` or ``qa_pixel``.

    Args:
        items: JSON files of items, item collections or catalogues.
        roles: STAC common names of the bands to read.
        crs: of the grid.
        resolution: side of a pixel in units of ``crs``.
        bounds: west, south, east, north in degrees.
        resample: for bands on other grids.

    Raises:
        ImageError: when an item cannot be read, tells no date or lacks a band.
    """
    from jido.io.stac import StacScene
    from jido.io.stac_grid import requested_grid
    from jido.io.stac_items import have_band, read_items

    found = read_items(items, roles)  # once for all dates
    grid = requested_grid(found, crs, resolution, bounds)
    masked = next((name for name in ("scl", "qa_pixel") if have_band(items, name)), "")
    hidden = read_items(items, [masked]) if masked else []
    images = []
    for day in sorted({item.day for item in found}):
        scene = StacScene(items, bands=roles, like=grid, day=day, resample=resample, found=found)
        clouds = None
        if masked:
            clouds = StacScene(items, bands=[masked], like=grid, day=day, resample="nearest", found=hidden)
        images.append(Dated(day, scene, clouds))
    return Series(images)
