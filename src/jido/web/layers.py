"""From paths to layers: what a file shows, what it is called, and in which colours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import ImageError, JidoError
from jido.geo import identify
from jido.io import read_classes
from jido.io.classmap import CONFIDENCE
from jido.io.dates import day_in, image_day
from jido.io.features import VECTORS
from jido.labels import LandClass, lcz_scheme
from jido.web.colours import own_colour
from jido.web.rasters import RasterFile, Rasters, describe_raster
from jido.web.reports import MALFORMED, Report, read_report, read_sheet
from jido.web.vectors import VectorTable, labels_table, vector_tables

RASTERS = (".tif", ".tiff")
"""What is looked for in a folder; other formats are shown when they are named."""

MOST = 80
"""Files of a folder that are shown."""

DEPTH = 4
"""Folders within folders that are looked into."""

INDICATOR = {"value", "lower", "upper"}
"""Bands of the map of an indicator."""

QUICK = 4096
"""Pixels along a side up to which a scene needs no overviews."""

CLASS_BANDS = (*CONFIDENCE, "lczFilter")
PACKAGE = ("config.json", "metrics.json")
"""What only a model package holds; its files are no results to look at."""

NAMES = {
    "lcz": "Local Climate Zones",
    "lczFilter": "Local Climate Zones, smoothed",
    "class": "classes",
    "classProbability": "confidence",
    "confidence": "confidence",
    "abstain": "unsure cells",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """One line of the list.

    Args:
        id: by which a page asks for it.
        title: what it shows.
        group: the file it is of.
        kind: ``classes``, ``percent``, ``share``, ``unsure``, ``cells``, ``image``, or ``vector``.
        raster: where its pixels are.
        bands: of them, from 1, that are shown first; one, or red, green and blue.
        classes: of a class map.
        table: its features.
        day: ISO, empty when unknown.
        report: of the map that it belongs to.
        named: whether its file was named, not found in a folder.
        sheet: the method sheet of an indicator.
    """

    id: str
    title: str
    group: str
    kind: str
    raster: RasterFile | None = None
    bands: tuple[int, ...] = (1,)
    classes: tuple[LandClass, ...] = ()
    table: VectorTable | None = None
    day: str = ""
    report: Report | None = None
    named: bool = False
    sheet: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        shown = self.raster or self.table
        if shown is None:
            raise ValueError("A layer shows a raster or a table.")
        return shown.bounds

    @property
    def placed(self) -> bool:
        """Whether it has a place on Earth."""
        shown = self.raster or self.table
        return shown is not None and shown.placed


@dataclass(frozen=True, eq=False)
class Layers:
    """All that a page shows, what it is called, and what was left out and why."""

    title: str
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    rasters: Rasters


def read_layers(paths: Sequence[Path]) -> Layers:
    """The layers of files and folders, in the order given.

    A folder gives the rasters (GeoTIFF) and vectors in it; links that lead out of it are not followed.

    Raises:
        JidoError: when a path does not exist, a named file cannot be shown, or nothing is left to show.
    """
    rasters = Rasters()
    found: list[Layer] = []
    notes: list[str] = []
    for path in paths:
        if not path.exists():
            raise ImageError(f"{path} does not exist.")
        if not path.is_dir():
            found += _of_file(path, path.name, rasters, notes, named=True)
            continue
        files = list(_inside(path, notes))
        if len(files) > MOST:
            notes.append(
                f"{path} holds {len(files)} files: the first {MOST} are shown, name others one by one."
            )
        for file in files[:MOST]:
            try:
                found += _of_file(file, file.relative_to(path).as_posix(), rasters, notes, named=False)
            except JidoError as err:  # a folder holds many things
                notes.append(str(err))
    if any(one.placed for one in found) and (lost := [one for one in found if not one.placed]):
        notes.append(f"{lost[0].group} has no place on Earth and is not shown with files that have one.")
        found = [one for one in found if one.placed]
    if not found:
        raise ImageError(f"{paths[0]} holds nothing that can be shown: give maps, images or polygons.")
    numbered = [replace(one, id=f"l{number}") for number, one in enumerate(found)]
    return Layers(_title(paths), tuple(numbered), tuple(dict.fromkeys(notes)), rasters)


def _title(paths: Sequence[Path]) -> str:
    names = [path.resolve().name for path in paths]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _inside(folder: Path, notes: list[str]) -> Iterator[Path]:
    """Files of a folder that can be shown, links out of it and model packages aside."""
    home = folder.resolve()
    for place, folders, names in os.walk(folder):  # follows no link to a folder
        here = Path(place)
        deep = len(here.relative_to(folder).parts) >= DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        if all((here / name).exists() for name in PACKAGE):
            folders[:] = []
            continue
        stems: set[str] = set()
        for name in sorted(names, key=lambda name: (Path(name).suffix == ".parquet", name)):
            path = here / name
            suffix = path.suffix.lower()
            if name.startswith(".") or suffix not in (*RASTERS, *VECTORS) or suffix == ".json":
                continue
            if not path.resolve().is_relative_to(home):
                notes.append(f"{path} is a link that leads out of {folder} and is not followed.")
            elif suffix != ".parquet" or path.stem not in stems:  # the same rows in another format
                stems.add(path.stem)
                yield path


def _of_file(path: Path, group: str, rasters: Rasters, notes: list[str], *, named: bool) -> list[Layer]:
    if path.suffix.lower() in VECTORS:
        base = Layer("", "", group, "vector", day=day_in(path.name), named=named, sheet=read_sheet(path))
        return [replace(base, title=table.title, table=table) for table in vector_tables(path)]
    file = describe_raster(path, geotiff_only=not named or path.suffix.lower() in RASTERS)
    if file.coarsest == 1 and max(file.shape) > QUICK:
        notes.append(
            f"{group} has no overviews and is shown slowly: `rio cogeo create {path.name} fast.tif` makes a "
            "file that has them."
        )
    return _of_raster(file, group, rasters, notes)


def _of_raster(file: RasterFile, group: str, rasters: Rasters, notes: list[str]) -> list[Layer]:
    report = read_report(file)
    named = read_classes(file.path)
    day = image_day(file.path)
    base = Layer("", group, group, "image", raster=file, day=day, report=report, sheet=read_sheet(file.path))
    layers, rest = [], []
    for band, name in enumerate(file.bands, start=1):
        one = replace(base, title=NAMES.get(name, name), bands=(band,))
        if name in CLASS_BANDS or (band == 1 and (named or _is_palette(file) or _is_mask(file, rasters))):
            classes = _classes(one, named, rasters)
            layers.append(replace(one, kind="classes", classes=classes, title=NAMES.get(name, "classes")))
        elif name in CONFIDENCE.values() and layers:
            layers.append(replace(one, kind="percent"))
        elif name == "abstain" and layers:
            layers.append(replace(one, kind="unsure"))
        else:
            rest.append(band)
    if layers and rest and all(file.bands[band - 1].startswith("p_") for band in rest):
        layers.append(replace(base, title="probability", kind="share", bands=(rest[0],)))
    elif set(file.bands) >= INDICATOR:
        layers.append(replace(base, title="indicator", kind="cells"))
    elif rest:
        layers.append(replace(base, title="image", bands=first_bands(file)))
    return [*layers, *_of_training(report, group, notes)]


def _of_training(report: Report | None, group: str, notes: list[str]) -> list[Layer]:
    if report is None or not report.training:
        return []
    try:
        table = labels_table(report)
    except MALFORMED:
        notes.append(f"The report of {group} names training labels that cannot be read: they are left out.")
        return []
    return [Layer("", "training labels and folds", group, "vector", table=table)]


def _is_palette(file: RasterFile) -> bool:
    return bool(file.palette) and len(file.bands) == 1


def _is_mask(file: RasterFile, rasters: Rasters) -> bool:
    """Whether it is one band of bytes of which some are 0 and all others the same."""
    quick = file.coarsest > 1 or max(file.shape) <= QUICK
    if len(file.bands) > 1 or file.dtype != "uint8" or not quick:
        return False
    values = np.unique(rasters.sample(file, (1,)))
    return bool(len(values[np.isfinite(values)]) == 2 and values[0] == 0)


def _classes(layer: Layer, named: dict[int, LandClass], rasters: Rasters) -> tuple[LandClass, ...]:
    """Classes by code: as named beside the file, as LCZ, or by the palette; only those that occur."""
    file = layer.raster
    if file is None:
        return ()
    name = file.bands[layer.bands[0] - 1]
    if not named and name in ("lcz", "lczFilter"):
        named = {c.code: c for c in lcz_scheme().classes}
    if layer.report:
        seen = {code for code in named if layer.report.cells(named[code].label)}
        return tuple(named[code] for code in sorted(seen or named))
    if max(file.shape) <= QUICK:
        codes = rasters.codes(file, layer.bands[0])
    else:  # what is rare may lie between the pixels that are looked at
        data = rasters.sample(file, layer.bands, side=1024)
        codes = {int(code) for code in np.unique(data[np.isfinite(data)])}
        codes |= named.keys() or {code for code in file.palette if any(file.palette[code][:3])}
    if named:
        return tuple(named[code] for code in sorted(codes & named.keys())) or tuple(named.values())
    if not file.palette and len(codes) == 2:
        codes -= {min(codes)}  # of a mask what it marks
    shown = sorted(code for code in codes if code not in file.palette or file.palette[code][3] > 0)
    return tuple(_unnamed(file, code, place) for place, code in enumerate(shown))


def _unnamed(file: RasterFile, code: int, place: int) -> LandClass:
    red, green, blue = file.palette.get(code, (0, 0, 0))[:3]
    colour = f"#{red:02X}{green:02X}{blue:02X}" if code in file.palette else own_colour(place)
    return LandClass(code, str(code), "", colour)


COMBINATIONS = {
    "true colour": ("red", "green", "blue"),
    "vegetation in red": ("nir", "red", "green"),
    "built-up and bare": ("swir16", "nir", "red"),
}
"""Names of three bands each, by STAC's common names."""


def combinations(file: RasterFile) -> dict[str, tuple[int, int, int]]:
    """Three bands that go together, by what they show; only those that the file has."""
    common = {
        band.common_name: place for place, band in reversed(list(enumerate(identify(file.bands), start=1)))
    }
    common |= {name: place for place, name in enumerate(file.bands, 1) if name in ("red", "green", "blue")}
    if file.colours:
        common |= {"red": 1, "green": 2, "blue": 3}
    return {
        title: (common[a], common[b], common[c])
        for title, (a, b, c) in COMBINATIONS.items()
        if {a, b, c} <= common.keys()
    }


def first_bands(file: RasterFile) -> tuple[int, ...]:
    """Red, green and blue where they are known, else the first three, else one."""
    known: dict[str, Any] = combinations(file)
    if known:
        return tuple(next(iter(known.values())))
    return (1, 2, 3) if len(file.bands) == 3 else (1,)
