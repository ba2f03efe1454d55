"""Tiles that a score is given to: an image per cell of ground, and where each of them lies.

A folder of them holds ``images/FILE.tif``, all of one size, and ``tiles.gpkg``: a row per cell with ``id``,
``coverage``, ``n``, ``image`` (the file, empty where too little was seen for a tile) and its outline.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import shapely
from odc.geo import CRS

from jido.data.chip_reading import read_chips
from jido.data.chips import Chips
from jido.data.sheets import Sieve
from jido.data.tiles import batches
from jido.errors import ImageError, LabelsError
from jido.io import Progress
from jido.io.tile_files import read_tile_table

IMAGES, TABLE = "images", "tiles.gpkg"
"""What a folder of tiles holds."""

COLUMNS = ("id", "coverage", "n", "image")
"""Columns of the table."""

LONGEST = 200
"""Bytes of the name of a file; most systems take 255 with what is added while it is written."""

MERCATOR_HALF = 20037508.342789244
"""Half the width of the world in web Mercator, m."""

SHOWN = 3
"""Ids that a sentence lists, at most."""


@dataclass(frozen=True, eq=False)
class Unseen:
    """Cells without a tile: of too little of them there was data.

    Args:
        id: (M,) text.
        outline: (M,) polygons in the CRS of the tiles.
        coverage: (M,) share of each that was seen.
        n: (M,) pixels with data, counted by their share in the cell.
    """

    id: np.ndarray
    outline: np.ndarray
    coverage: np.ndarray
    n: np.ndarray


@dataclass(frozen=True, eq=False)
class ScoreTiles:
    """N tiles and their places.

    Args:
        chips: the images; ``name`` is the id of each, different for all, and no class is known.
        outline: (N,) polygons, ``None`` where nobody knows where the tiles lie.
        crs: of the outlines.
        coverage: (N,) share of each cell that was seen, 0..1.
        n: (N,) pixels with data, counted by their share in the cell.
        kind: of the cells in words: ``slippy tiles of zoom 14``.
        unseen: cells without a tile, where a table tells of any.
        notes: what was found or left out, a sentence each.
    """

    chips: Chips
    outline: np.ndarray | None
    crs: CRS | None
    coverage: np.ndarray
    n: np.ndarray
    kind: str
    unseen: Unseen | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.chips)

    @property
    def id(self) -> np.ndarray:
        """(N,) text."""
        return self.chips.name

    def subset(self, which: np.ndarray) -> ScoreTiles:
        """Some of the tiles, by mask or place."""
        outline = None if self.outline is None else self.outline[which]
        chips, coverage, n = self.chips.subset(which), self.coverage[which], self.n[which]
        return replace(self, chips=chips, outline=outline, coverage=coverage, n=n)


# -- reading -----------------------------------------------------------------------------------


def read_tiles(
    path: str | Path,
    *,
    ids_at_zoom: int | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> ScoreTiles:
    """Tiles of a folder that ``jido score tiles`` has made, or of any folder or archive of images.

    The id of a tile is its path in the folder or archive without suffix, and without the folders that
    all of them lie in. In a folder of ours ids, outlines, coverage and n come from its table.

    Args:
        path: a folder, ``.zip``, ``.tar`` or ``.tar.gz``.
        ids_at_zoom: the ids are ``row_column`` of slippy tiles of this zoom, as those of the published
            set are at 14; this tells where they lie.
        skip_bad: leave out images that are damaged, missing, unlike the others, or whose id tells no
            place though it should, and say so.
        progress: told how far it is.

    Raises:
        ImageError: when an image cannot be read, is unlike the others, is missing, or has a bad id.
    """
    path, sieve = Path(path), Sieve(skip_bad=skip_bad)
    ours = (path / TABLE).is_file()
    chips = read_chips(
        [path / IMAGES if ours else path], labelled=False, skip_bad=skip_bad, progress=progress
    )
    tiles = _with_table(chips, path, sieve) if ours else _without_table(chips, path, ids_at_zoom, sieve)
    return replace(tiles, notes=(*chips.notes, *tiles.notes, *sieve.notes, *_same_notes(tiles.chips)))


def _with_table(chips: Chips, path: Path, sieve: Sieve) -> ScoreTiles:
    """Images of a folder of ours, in the order of its table."""
    frame, kind = read_tile_table(path / TABLE)
    if lost := [name for name in COLUMNS if name not in frame.columns]:
        raise ImageError(f"{path / TABLE} has no column {lost[0]!r}: cut the tiles again.")
    place = {PurePosixPath(name).name: i for i, name in enumerate(chips.name.tolist())}
    at = np.full(len(frame), -1)
    for row, file in enumerate(frame["image"]):
        if isinstance(file, str):
            at[row] = place.pop(file, -1)
            if at[row] < 0 and not any(f"{path / IMAGES / file} " in text for text in chips.notes):
                sieve.drop(ImageError(f"{path / IMAGES / file} is missing: cut the tiles again."))
    for file in place:
        sieve.drop(ImageError(f"{path / IMAGES / file} does not stand in {TABLE}: take it away."))
    has = at >= 0
    if not has.any():
        raise ImageError(f"No tile is left in {path}. {sieve.notes[0]}")
    ids, coverage, n = (frame[name].to_numpy() for name in COLUMNS[:3])
    outline = frame.geometry.to_numpy()
    unseen = Unseen(ids[~has].astype(object), outline[~has], coverage[~has], n[~has])
    named = replace(chips.subset(at[has]), name=ids[has].astype(str))
    kind = kind or f"cells of {path.name}"
    return ScoreTiles(named, outline[has], CRS(frame.crs), coverage[has], n[has], kind, unseen)


def _without_table(chips: Chips, path: Path, zoom: int | None, sieve: Sieve) -> ScoreTiles:
    """Images of any folder or archive."""
    chips = replace(chips, name=np.array(_ids(chips.name.tolist())))
    outline, kind = None, f"images of {path.name}"
    if zoom is not None:
        chips, outline = _placed(chips, zoom, sieve)
        kind = f"slippy tiles of zoom {zoom}"
    n = _pixels_with_data(chips)
    crs = None if outline is None else CRS("EPSG:3857")
    tiles = ScoreTiles(chips, outline, crs, n / chips.side**2, n, kind)
    if zoom is None and all(_SLIPPY.fullmatch(_last(name)) for name in chips.name.tolist()):
        said = "The ids look like rows and columns of slippy tiles: give their zoom to know where they lie."
        return replace(tiles, notes=(said,))
    return tiles


def _ids(names: Sequence[str]) -> list[str]:
    """Paths without suffix and without the folders that all lie in; the suffix stays where it is needed."""
    parts = [PurePosixPath(name).parts for name in names]
    shared = min(len(path) for path in parts) - 1
    while len({path[:shared] for path in parts}) > 1:
        shared -= 1
    whole = ["/".join(path[shared:]) for path in parts]
    bare = [str(PurePosixPath(name).with_suffix("")) for name in whole]
    count: dict[str, int] = defaultdict(int)
    for name in bare:
        count[name] += 1
    return [full if count[name] > 1 else name for full, name in zip(whole, bare, strict=True)]


def _pixels_with_data(chips: Chips) -> np.ndarray:
    """Pixels (N,) with data in some band."""
    if chips.images.dtype.kind != "f":
        return np.full(len(chips), float(chips.side**2))
    some = batches(np.arange(len(chips)), 256)
    return np.concatenate([np.isfinite(chips.images[s]).any(1).sum((1, 2)) for s in some]).astype(float)


# -- names of files -----------------------------------------------------------------------------


def tile_files(ids: Iterable[object]) -> list[str]:
    """Names of the files of tiles: their ids, with what no file name can hold as ``%2F``.

    Raises:
        LabelsError: when an id is too long, or two differ in capitals alone, which some systems drop.
    """
    files: list[str] = []
    seen: dict[str, str] = {}
    for text in map(str, ids):
        safe = re.sub(r'[\x00-\x1f"%*/:<>?\\|]|^\.|[. ]$', lambda odd: f"%{ord(odd[0]):02X}", text)
        if len(safe.encode()) > LONGEST:
            raise LabelsError(f"The id {text!r} is too long for a file: choose other ids with --id-field.")
        if (other := seen.setdefault(safe.casefold(), text)) != text:
            raise LabelsError(f"The ids {other!r} and {text!r} would name one file: choose other ids.")
        files.append(f"{safe}.tif")
    return files


# -- ids of slippy tiles -----------------------------------------------------------------------

_SLIPPY = re.compile(r"(\d{1,8})_(\d{1,8})")


def parse_tile_id(text: str) -> tuple[int, int]:
    """Row (from the north) and column (from the west) of a slippy tile called ``row_column``.

    Raises:
        ImageError: when the text is no such id.
    """
    found = _SLIPPY.fullmatch(text)
    if found is None:
        raise ImageError(
            f"{text!r} is no id of a slippy tile: it is row_column, such as 6259_13990, row from the north."
        )
    return int(found[1]), int(found[2])


def slippy_outlines(ids: Sequence[str], *, zoom: int) -> np.ndarray:
    """Squares (N,) in web Mercator (EPSG:3857) of slippy tiles called ``row_column``.

    Raises:
        ImageError: when one is no such id, or there is no such tile at this zoom.
    """
    where = np.array([_on_earth(text, zoom) for text in ids], dtype=np.float64).reshape(-1, 2)
    side = 2 * MERCATOR_HALF / 2**zoom
    north, west = MERCATOR_HALF - side * where[:, 0], side * where[:, 1] - MERCATOR_HALF
    boxes: np.ndarray = shapely.box(west, north - side, west + side, north)
    return boxes


def _on_earth(text: str, zoom: int) -> tuple[int, int]:
    row, column = parse_tile_id(text)
    if max(row, column) >= 2**zoom:
        raise ImageError(
            f"There is no tile {text!r} at zoom {zoom}, where rows and columns end at {2**zoom - 1}: give "
            "the zoom that the tiles were cut at."
        )
    return row, column


def _placed(chips: Chips, zoom: int, sieve: Sieve) -> tuple[Chips, np.ndarray]:
    """Tiles whose ids tell where they lie, with their middles and outlines."""
    kept = []
    for i, name in enumerate(chips.name.tolist()):
        try:
            _on_earth(_last(name), zoom)
            kept.append(i)
        except ImageError as err:
            sieve.drop(err)
    if not kept:
        raise ImageError(f"No tile is left. {sieve.notes[0]}")
    chips = chips.subset(np.array(kept))
    names = [_last(name) for name in chips.name.tolist()]
    row, column = (np.array([parse_tile_id(name) for name in names]).T + 0.5) / 2**zoom
    lonlat = np.column_stack([360 * column - 180, np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * row))))])
    return replace(chips, lonlat=lonlat), slippy_outlines(names, zoom=zoom)


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


# -- what comes twice --------------------------------------------------------------------------


def duplicates(chips: Chips) -> list[tuple[str, ...]]:
    """Groups of ids whose tiles are the same in every pixel, and ids that come twice.

    Tiles of one colour alone are the same too.
    """
    groups: dict[bytes, list[str]] = defaultdict(list)
    ids: dict[str, int] = defaultdict(int)
    for i, name in enumerate(chips.name.tolist()):
        (image,) = chips.images[i : i + 1]
        groups[hashlib.blake2b(np.ascontiguousarray(image).data).digest()].append(name)
        ids[name] += 1
    same = [tuple(names) for names in groups.values() if len(names) > 1]
    return same + [(name,) * n for name, n in ids.items() if n > 1 and (name,) * n not in same]


def _same_notes(chips: Chips) -> tuple[str, ...]:
    same = duplicates(chips)
    if not same:
        return ()
    more = sum(map(len, same)) - len(same)
    shown = _listed([" = ".join(names) for names in same])
    return (f"{more} tiles are the same in every pixel as another one ({shown}): count them once.",)


# -- years -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SamePlaces:
    """Tiles of the same places in two years.

    Args:
        id: (K,) of the places that both years show, in the order of the first.
        one: (K,) places of their tiles in the first year.
        other: (K,) in the second year.
        only_one: ids that the second year lacks.
        only_other: ids that the first year lacks.
        notes: the same in a sentence each.
    """

    id: np.ndarray
    one: np.ndarray
    other: np.ndarray
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]
    notes: tuple[str, ...]


def years_of(
    one: ScoreTiles, other: ScoreTiles, *, years: tuple[str, str] = ("the first year", "the second year")
) -> SamePlaces:
    """Match the tiles of two years by their ids.

    Raises:
        ImageError: when no place has a tile in both, or an id means another place in the other year.
    """
    here, there = ({name: i for i, name in enumerate(year.id.tolist())} for year in (one, other))
    both = [name for name in here if name in there]
    if not both:
        raise ImageError(
            f"No tile of {years[0]} has the id of one of {years[1]} (such as {next(iter(here))!r} and "
            f"{next(iter(there))!r}): cut both over the same cells."
        )
    first, second = (np.array([year[name] for name in both]) for year in (here, there))
    if one.outline is not None and other.outline is not None and one.crs == other.crs:
        ends = shapely.bounds(one.outline[first]), shapely.bounds(other.outline[second])
        side = (ends[0][:, 2:] - ends[0][:, :2]).max(axis=1)
        if (moved := np.flatnonzero(np.abs(ends[0] - ends[1]).max(axis=1) > 1e-3 * side)).size:
            raise ImageError(
                f"{both[moved[0]]!r} is another place in {years[1]}: cut both over the same cells."
            )
    only = (
        tuple(name for name in here if name not in there),
        tuple(name for name in there if name not in here),
    )
    notes = tuple(
        f"{len(lost):,} places have no tile in {year}: {_listed(lost)}."
        for lost, year in zip(only, reversed(years), strict=True)
        if lost
    )
    return SamePlaces(np.array(both), first, second, only[0], only[1], notes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
