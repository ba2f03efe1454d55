"""From orthophotos with masks or polygons to tiles: any size, any CRS, files, folders or archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jido.data.pairing import pair_dates, pair_masks, require_paired
from jido.data.sheets import Polygons, Sheet, Sieve, fitting, join_overlapping, look_at
from jido.data.store import (
    IMAGES,
    MASKS,
    RECORD,
    VALID,
    GrowingArray,
    cutting_key,
    labels_key,
    stored_tiles,
    tiles_record,
)
from jido.data.tiles import POSITIVE_SHARE, Tiles, packed
from jido.errors import ImageError, LabelsError
from jido.geo import Window
from jido.io import Progress, Scene, clear_leftovers, describe_scene, json_text, replacing_together
from jido.io.archives import Listed, damage_is_an_error, input_state, list_images
from jido.io.masks import MaskFile, MaskValues, Target
from jido.io.raster import NATIVE
from jido.io.tables import image_column, split_place
from jido.labels import Labels


class _Cut(NamedTuple):
    """A tile: number of its image, row and column of its first pixel, target pixels, all of it known."""

    sheet: int
    row: int
    col: int
    hits: int
    whole: bool


def cut_tiles(
    images: Sequence[str | Path],
    *,
    work: str | Path,
    after: Sequence[str | Path] | None = None,
    masks: Sequence[str | Path] | None = None,
    labels: Labels | None = None,
    side: int = 256,
    target: Sequence[str] = (),
    groups: str | None = None,
    crs: str | None = None,
    positive_share: float = POSITIVE_SHARE,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Tiles:
    """Tiles of images, every ``side`` pixels from the upper left, kept on disk.

    The last row and column are shifted inwards, so that all of an image is in some tile; what an
    image smaller than a tile does not fill has no data. Tiles without any data are left out. With
    the same inputs and options a second call gives the same tiles without reading an image. Needs
    memory for some tiles, however large the images are.

    Args:
        images: files, folders or archives (:func:`~jido.io.archives.list_images`).
        work: folder for ``images.npy``, ``masks.npy``, ``valid.npy`` (where something is missing),
            ``tiles.json`` and unpacked archives.
        after: images of a second date, named like ``images`` and on their grids: bands ``NAME@1`` are
            before, ``NAME@2`` after.
        masks: files, folders or archives of masks that are named like their images, or
        labels: polygons in any CRS; every class is target.
        side: of a tile in pixels, a multiple of 8.
        target: values or colours of the target in masks that hold more than two.
        groups: ``FILE:COLUMN``, what must not be split between training and test; the image without.
            Groups that show the same ground are joined.
        crs: CRS of images that carry none, for polygons.
        positive_share: one tile at least must have more target than this share of its pixels.
        skip_bad: leave out images and masks that cannot be read or do not fit, and say so.
        progress: told how far it is.

    Raises:
        ImageError: when an image or a mask cannot be read, or does not fit its partner or the others.
        LabelsError: when there is no target, polygons lie elsewhere, or names do not fit.
        OutputError: when ``work`` cannot be written.
    """
    if (masks is None) == (labels is None):
        raise LabelsError("Give either masks or polygons with the images, and not both.")
    if side < 8 or side % 8:
        raise ImageError(f"Tiles of {side} pixels cannot be cut: give a multiple of 8 such as --tile 256.")
    work = Path(work)
    inputs = {"images": input_state(images), "masks": input_state(masks or ())}
    if after is not None:
        inputs["after"] = input_state(after)
    inputs["groups"] = input_state([split_place(groups)[0]]) if groups else []
    options = {"side": side, "target": list(target), "groups": groups, "crs": crs, "skip_bad": skip_bad}
    key = cutting_key(inputs, **options, labels=labels_key(labels))
    if (found := stored_tiles(work, key=key, labels=labels)) is not None:
        return found
    places = [work / name for name in (IMAGES, MASKS, VALID, RECORD)]
    clear_leftovers(*places)
    sieve, values = Sieve(skip_bad=skip_bad), None if masks is None else MaskValues(target)
    with damage_is_an_error():
        items = list_images(images, work=work)
        later = {} if after is None else _later(items, list_images(after, work=work), sieve)
        pairs = _pairs([item for item in items if after is None or item.name in later], masks, work, sieve)
        column = image_column(groups, [item.name for item, _ in pairs]) if groups else {}
        sheets = _looked_at(pairs, later, values, crs, sieve, progress)
        named = [column.get(sheet.item.name, sheet.item.name) for sheet in sheets]
        group, notes = join_overlapping(sheets, named)
        truth = _Truth(
            None if values is None else values.target(), None if labels is None else Polygons(labels)
        )
        notes = [*truth.find(sheets), *notes]
        with replacing_together(*places) as fresh:
            cuts = _cut(sheets, truth, side, fresh, crs, sieve, progress)
            _require_positive(cuts, side, labels, positive_share)
            record = tiles_record(
                key=key,
                images=[sheet.item.name for sheet in sheets],
                groups=group,
                groups_as_named=None if group == named else named,
                tiles=[(cut.sheet, cut.row, cut.col) for cut in cuts],
                complete=all(cut.whole for cut in cuts),
                bands=sheets[0].bands,
                touching=truth.touching,
                notes=[*notes, *sieve.notes],
                **_meaning(sheets, crs),
            )
            fresh[-1].write_text(json_text(record), encoding="utf-8")
    if record["complete"]:
        (work / VALID).unlink()
    tiles = stored_tiles(work, key=key, labels=labels)
    if tiles is None:
        raise ImageError(f"The tiles in {work} were changed while they were written: start again.")
    return tiles


class _Truth(NamedTuple):
    """What says where the target is: masks, or polygons."""

    target: Target | None
    polygons: Polygons | None

    def find(self, sheets: Sequence[Sheet]) -> list[str]:
        """What there is to say of it, in sentences."""
        if self.polygons is not None:
            return self.polygons.find(sheets)
        return [] if self.target is None else [self.target.note]

    @property
    def touching(self) -> np.ndarray | None:
        """Places of the polygons that lie on images."""
        return None if self.polygons is None else np.flatnonzero(self.polygons.touching)

    @contextmanager
    def on(self, sheet: Sheet) -> Iterator[Callable[[Window], np.ndarray]]:
        """A function that gives the target bool (y, x) of a window of an image."""
        if self.polygons is not None:
            yield self.polygons.on(sheet.geobox)
        elif self.target is not None and sheet.mask is not None:
            target = self.target
            with MaskFile(sheet.mask, by_value=target.by_value) as file:
                yield lambda window: file.read(window, target)


def _pairs(
    items: Sequence[Listed], masks: Sequence[str | Path] | None, work: Path, sieve: Sieve
) -> list[tuple[Listed, Path | None]]:
    """Images with their masks; without any for polygons."""
    if masks is None:
        return [(item, None) for item in items]
    pairs, left = pair_masks(items, list_images(masks, work=work))
    if left:
        require_paired(left, sieve)
    return [(item, mask.path) for item, mask in pairs]


def _later(before: Sequence[Listed], after: Sequence[Listed], sieve: Sieve) -> dict[str, Path]:
    """Name of an image -> the one of the second date."""
    pairs, left = pair_dates(before, after)
    if left:
        require_paired(left, sieve)
    return {item.name: other.path for item, other in pairs}


def _looked_at(
    pairs: Sequence[tuple[Listed, Path | None]],
    later: Mapping[str, Path],
    values: MaskValues | None,
    crs: str | None,
    sieve: Sieve,
    progress: Progress | None,
) -> list[Sheet]:
    """Images that can be opened and fit each other; their masks are looked through."""
    sheets = []
    for done, (item, mask) in enumerate(pairs, start=1):
        try:
            sheet = look_at(item, mask, after=later.get(item.name), crs=crs, place_needed=values is None)
            if values is not None and mask is not None:
                values.add(mask)
            sheets.append(sheet)
        except (ImageError, LabelsError) as err:
            sieve.drop(err)
        if progress:
            progress("looking at the images", done, len(pairs))
    return fitting(sheets, sieve)


def _cut(
    sheets: Sequence[Sheet],
    truth: _Truth,
    side: int,
    fresh: Sequence[Path],
    crs: str | None,
    sieve: Sieve,
    progress: Progress | None,
) -> list[_Cut]:
    """Write the tiles of all images; an image that turns out to be damaged leaves none."""
    dtypes = {sheet.dtype for sheet in sheets}
    dtype = min(dtypes) if len(dtypes) == 1 and dtypes <= set(NATIVE) else "float32"
    windows = [list(tile_windows((sheet.geobox.shape.y, sheet.geobox.shape.x), side)) for sheet in sheets]
    total, done = sum(map(len, windows)), 0
    cuts: list[_Cut] = []
    bits = (side * side // 8,)
    with (
        GrowingArray(fresh[0], (len(sheets[0].bands), side, side), dtype) as images,
        GrowingArray(fresh[1], bits, "uint8") as masks,
        GrowingArray(fresh[2], bits, "uint8") as valid,
    ):
        for number, sheet in enumerate(sheets):
            before = len(cuts)
            try:
                with Scene(sheet.paths, crs=crs, place_needed=False) as scene, truth.on(sheet) as look:
                    for window in windows[number]:
                        pixels = scene.pixels(window, scene.names)
                        known = np.isfinite(pixels).all(axis=0)
                        done += 1
                        if progress:
                            progress("cutting tiles", done, total)
                        if not known.any():
                            continue
                        mask = _filled(look(window) & known, side)
                        images.append(_filled(np.where(known, pixels, 0), side))
                        masks.append(packed(mask[None])[0])
                        valid.append(packed(_filled(known, side)[None])[0])
                        whole = bool(known.all()) and known.shape == (side, side)
                        first = (window[0].start, window[1].start)
                        cuts.append(_Cut(number, *first, int(np.count_nonzero(mask)), whole))
            except ImageError as err:
                sieve.drop(err)
                done = sum(map(len, windows[: number + 1]))
                del cuts[before:]
                for array in (images, masks, valid):
                    array.cut(before)
    return cuts


def tile_windows(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Windows of an image, row by row; the last ones are shifted inwards, none is larger than it."""
    rows, cols = ([*range(0, length - side, side), max(length - side, 0)] for length in shape)
    for row in rows:
        for col in cols:
            yield slice(row, min(row + side, shape[0])), slice(col, min(col + side, shape[1]))


def _filled(array: np.ndarray, side: int) -> np.ndarray:
    """An array (..., y, x) at the upper left of one (..., side, side) of zeros."""
    rows, cols = (side - length for length in array.shape[-2:])
    return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(0, rows), (0, cols)]) if rows or cols else array


def _require_positive(cuts: Sequence[_Cut], side: int, labels: Labels | None, share: float) -> None:
    if any(cut.hits > share * side**2 for cut in cuts):
        return
    if not cuts:
        raise ImageError(
            "None of the images has a pixel with data, so there are no tiles: give other images."
        )
    if any(cut.hits for cut in cuts):
        raise LabelsError(
            f"None of the {len(cuts)} tiles has more than {100 * share:g}% of target: give smaller tiles "
            "with --tile, or images with more of it."
        )
    what = "masks" if labels is None else "polygons"
    raise LabelsError(f"None of the {len(cuts)} tiles has a target pixel: give {what} of what is looked for.")


def _meaning(sheets: Sequence[Sheet], crs: str | None) -> dict[str, Any]:
    """Size of pixels and what the numbers mean, told by the first image with a place on Earth."""
    placed = [sheet for sheet in sheets if sheet.pixel_m is not None]
    if not placed:
        return {"pixel_m": None, "radiometry": None}
    with Scene(placed[0].paths, crs=crs) as scene:
        return {"pixel_m": placed[0].pixel_m, "radiometry": describe_scene(scene)}
