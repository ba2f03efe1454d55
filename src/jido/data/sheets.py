"""The images that tiles are cut from: opened once to see what they are and whether they fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jido.errors import ImageError, JidoError, LabelsError
from jido.geo import Band, Window, pixel_size_m, same_place
from jido.io import Scene
from jido.io.archives import Listed
from jido.io.masks import MaskFile
from jido.labels import Labels

PIXEL_TOLERANCE = 0.1
"""Pixels of all images are of one size up to this share of it."""

SHIFT = 0.1
"""Pixels by which the grids of an image and its mask may differ."""

SHARED = 0.02
"""Two images show the same ground when they share more than this of the smaller one."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is known of an image before its pixels are read.

    Args:
        item: where it is.
        after: the image of a second date, stacked on the first; ``None`` where there is one date.
        mask: its mask, ``None`` where polygons say what is target.
        geobox: its grid, without CRS where it has no place on Earth.
        bands: its bands.
        dtype: of its numbers on disk, empty when they differ between bands or are scaled on reading.
        pixel_m: height and width of a pixel in metres, ``None`` without a place.
    """

    item: Listed
    after: Path | None
    mask: Path | None
    geobox: GeoBox
    bands: tuple[Band, ...]
    dtype: str
    pixel_m: tuple[float, float] | None

    @property
    def paths(self) -> list[Path]:
        """Of its dates, in order."""
        return [self.item.path] if self.after is None else [self.item.path, self.after]


class Sieve:
    """Refuses what is bad, or leaves it out and says so.

    Args:
        skip_bad: leave out.
    """

    def __init__(self, *, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.notes: list[str] = []

    def drop(self, err: JidoError) -> None:
        """Something is bad."""
        if not self.skip_bad:
            raise type(err)(f"{str(err).rstrip('.')}, or leave such files out with --skip-bad.") from err
        self.notes.append(f"Left out: {err}")


def look_at(
    item: Listed, mask: Path | None, *, after: Path | None = None, crs: str | None, place_needed: bool
) -> Sheet:
    """Open an image and its mask and see whether they fit each other.

    Raises:
        ImageError: when one of them cannot be read, or they are of other sizes or on other grids.
    """
    paths = [item.path] if after is None else [item.path, after]
    with Scene(paths, crs=crs, place_needed=place_needed) as scene:
        dtypes = {origin.dtype for origin in scene.origins()}
        box = scene.geobox
        pixel_m = None if box.crs is None else pixel_size_m(box)
        sheet = Sheet(item, after, mask, box, scene.bands, min(dtypes) if len(dtypes) == 1 else "", pixel_m)
    if mask is not None:
        with MaskFile(mask) as file:
            _require_one_grid(sheet, file)
    return sheet


def _require_one_grid(sheet: Sheet, mask: MaskFile) -> None:
    one, other = sheet.geobox, mask.geobox
    here, there = (f"{box.shape.x} x {box.shape.y}" for box in (one, other))
    if one.shape != other.shape:
        raise ImageError(
            f"{mask.path} has {there} pixels but its image {sheet.item.path} has {here} (width x height): "
            "give a mask on the grid of its image"
        )
    if one.crs is None or other.crs is None:
        return
    if not same_place(other, one, cells=SHIFT):
        raise ImageError(
            f"{mask.path} ({there} pixels, {other.crs}) lies on another grid than its image "
            f"{sheet.item.path} ({here} pixels, {one.crs}): bring it to the grid of its image"
        )


def fitting(sheets: Sequence[Sheet], sieve: Sieve) -> list[Sheet]:
    """The images that have the bands, the number type and the size of pixels of the most.

    Raises:
        ImageError: naming the odd one.
    """
    if not sheets:
        raise ImageError(
            f"No image is left to cut tiles from. {sieve.notes[0] if sieve.notes else ''}".strip()
        )
    kept = _alike(sheets, _named_bands, sieve, remedy="give images with the same bands")
    kept = _alike(
        kept, _number_type, sieve, remedy="write all with one number type (gdal_translate -ot -scale)"
    )
    sizes = [float(np.sqrt(np.prod(sheet.pixel_m))) for sheet in kept if sheet.pixel_m is not None]
    if not sizes:
        return kept
    middle = float(np.sort(sizes)[len(sizes) // 2])
    return [sheet for sheet in kept if _one_size(sheet, middle, sieve)]


def _alike(
    sheets: Sequence[Sheet], said: Callable[[Sheet], str], sieve: Sieve, *, remedy: str
) -> list[Sheet]:
    """The images that have what the most have; the others are refused."""
    usual = Counter(map(said, sheets)).most_common(1)[0][0]
    kept = [sheet for sheet in sheets if said(sheet) == usual]
    for sheet in sheets:
        if said(sheet) != usual:
            sieve.drop(
                ImageError(
                    f"{sheet.item.path} has {said(sheet)} but the others, such as {kept[0].item.path}, have "
                    f"{usual}: {remedy}."
                )
            )
    return kept


def _named_bands(sheet: Sheet) -> str:
    return f"the bands {', '.join(band.name for band in sheet.bands)}"


def _number_type(sheet: Sheet) -> str:
    """Kinds of numbers that no net can read side by side: brightness for a screen, and what was measured."""
    narrow = sheet.dtype in ("uint8", "int8")
    return "8-bit numbers" if narrow else "numbers that are scaled or have more than 8 bits"


def _one_size(sheet: Sheet, middle: float, sieve: Sieve) -> bool:
    size = middle if sheet.pixel_m is None else float(np.sqrt(np.prod(sheet.pixel_m)))
    fits = abs(size / middle - 1) <= PIXEL_TOLERANCE
    if not fits:
        sieve.drop(
            ImageError(
                f"{sheet.item.path} has pixels of {size:.3g} m but the others have {middle:.3g} m: bring all "
                "to one size."
            )
        )
    return fits


def join_overlapping(sheets: Sequence[Sheet], groups: Sequence[str]) -> tuple[list[str], list[str]]:
    """Groups of images that show the same ground become one, for a split must not part them.

    Args:
        sheets: the images; those without a place on Earth stay as they are.
        groups: of each image.

    Returns:
        The group of each image, the first name of those that were joined; and a note where some were.
    """
    placed = np.array([i for i, sheet in enumerate(sheets) if sheet.geobox.crs is not None], dtype=np.int64)
    degrees = CRS("EPSG:4326")
    extents = np.array([sheets[int(i)].geobox.extent.to_crs(degrees).geom for i in placed], dtype=object)
    one, other = shapely.STRtree(extents).query(extents, predicate="intersects")
    names, number = np.unique(groups, return_inverse=True)
    shared = shapely.area(shapely.intersection(extents[one], extents[other]))
    smaller = np.minimum(shapely.area(extents[one]), shapely.area(extents[other]))
    parted = number[placed[one]] != number[placed[other]]
    one, other = (placed[side[parted & (shared > SHARED * smaller)]] for side in (one, other))
    links = coo_array((np.ones(len(one)), (number[one], number[other])), shape=(len(names),) * 2)
    count, part = connected_components(links, directed=False)
    if count == len(names):
        return list(groups), []
    _, first = np.unique(part, return_index=True)
    note = (
        f"{sheets[one[0]].item.name} and {sheets[other[0]].item.name} show the same ground: {len(names)} "
        f"groups became {count}, so that what overlaps stays together."
    )
    return names[first[part[number]]].tolist(), [note]


class Polygons:
    """Polygons that say where the target is, whatever their classes, on the grids of many images.

    Args:
        labels: the polygons.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = replace(labels, codes=np.full(len(labels), labels.scheme.codes[-1]))
        self._moved: dict[str, tuple[Labels, shapely.STRtree]] = {}
        self.touching = np.zeros(len(labels), dtype=bool)

    def _in(self, crs: CRS | None) -> tuple[Labels, shapely.STRtree]:
        if str(crs) not in self._moved:
            moved = self._labels.to_crs(crs)
            self._moved[str(crs)] = moved, shapely.STRtree(moved.geometry)
        return self._moved[str(crs)]

    def find(self, sheets: Sequence[Sheet]) -> list[str]:
        """See which polygons lie on images; a note where some do not.

        Raises:
            LabelsError: when none does.
        """
        for sheet in sheets:
            _, tree = self._in(sheet.geobox.crs)
            self.touching[tree.query(sheet.geobox.extent.geom, predicate="intersects")] = True
        count, outside = len(self.touching), np.count_nonzero(~self.touching)
        if outside == count:
            raise LabelsError(
                f"None of the {count} polygons lies on an image: {_around(self._labels)}, "
                f"{sheets[0].item.path} {_lonlat(sheets[0].geobox.extent.to_crs('EPSG:4326').geom)}: "
                "give polygons of the same place, or their CRS."
            )
        if not outside:
            return []
        return [f"{outside} of {count} polygons lie outside all images and were left out."]

    def on(self, geobox: GeoBox) -> Callable[[Window], np.ndarray]:
        """A function that burns a window of a grid: bool (y, x)."""
        labels, tree = self._in(geobox.crs)

        def burn(window: Window) -> np.ndarray:
            part = geobox[window]
            found = tree.query(shapely.box(*part.boundingbox.bbox))
            if not len(found):
                return np.zeros(tuple(part.shape), dtype=bool)
            return labels.subset(found).burn(part).codes > 0

        return burn


def _around(labels: Labels) -> str:
    with suppress(ValueError):  # coordinates that are none in their CRS
        geometry = labels.to_crs(CRS("EPSG:4326")).geometry
        return f"they lie {_lonlat(shapely.box(*shapely.total_bounds(geometry)))}"
    return "they lie nowhere"


def _lonlat(extent: shapely.Geometry) -> str:
    x, y = extent.centroid.coords[0]
    return f"at longitude {x:.4f} and latitude {y:.4f}"
