"""Where patches stand in HDF5: the layouts, a file looked into, rows read out of it. See ``hdf5.py``."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jido.errors import ImageError

AT_ONCE = 256
"""Patches that are read at once."""

LCZ = 17
"""Local Climate Zones: columns of a one-hot label, and numbers in GEO-Bench."""


class Channel(NamedTuple):
    """A band of a file: what it is called here and in GEO-Bench, and what its numbers are."""

    name: str
    data_set: str
    holds: str = "reflectance"


Channels = Mapping[str, tuple[Channel, ...]]
"""``sen1`` and ``sen2``, or the one that there is -> its bands, in the order of the file."""

SENSORS = {"sen1": "sentinel-1", "sen2": "sentinel-2"}

LAYOUTS = {
    ("sen1", 2): (Channel("VV", "", "dB"), Channel("VH", "", "dB")),
    ("sen1", 8): (
        Channel("VH_re", "01 - VH.Real", "amplitude"),
        Channel("VH_im", "02 - VH.Imaginary", "amplitude"),
        Channel("VV_re", "03 - VV.Real", "amplitude"),
        Channel("VV_im", "04 - VV.Imaginary", "amplitude"),
        Channel("VH", "05 - VH.LEE Filtered", "linear power"),
        Channel("VV", "06 - VV.LEE Filtered", "linear power"),
        Channel("VH_VV_re", "07 - VH.LEE Filtered.Real", "product"),
        Channel("VH_VV_im", "08 - VV.LEE Filtered.Imaginary", "product"),
    ),
    ("sen2", 10): (
        Channel("B02", "02 - Blue"),
        Channel("B03", "03 - Green"),
        Channel("B04", "04 - Red"),
        Channel("B05", "05 - Vegetation Red Edge"),
        Channel("B06", "06 - Vegetation Red Edge"),
        Channel("B07", "07 - Vegetation Red Edge"),
        Channel("B08", "08 - NIR"),
        Channel("B8A", "08A - Vegetation Red Edge"),
        Channel("B11", "11 - SWIR"),
        Channel("B12", "12 - SWIR"),
    ),
}
"""Data set and number of its bands -> the bands."""


@dataclass(frozen=True, eq=False)
class Found:
    """A file or folder that was looked into.

    Args:
        source: gives its patches.
        names: of the patches, unique in it.
        codes: (N,) int64 class of each patch, below 0 for none.
        lcz: codes are places among the 17 LCZ; else numbers of the file's own; ``None`` without labels.
        notes: what was found or left out, a sentence each.
    """

    source: PatchFile | PatchFolder
    names: list[str]
    codes: np.ndarray
    lcz: bool | None
    notes: tuple[str, ...] = ()


# -- one file ----------------------------------------------------------------------------------


class PatchFile:
    """A file with all patches, opened when first read and once in a process.

    Args:
        path: of the file.
        channels: its bands.
        count: patches in it.
        side: of a patch in pixels.
    """

    def __init__(self, path: Path, channels: Channels, count: int, side: int) -> None:
        self.path, self.channels, self.count, self.side = path, channels, count, side
        self._lock, self._process = threading.Lock(), 0
        self._file: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return PatchFile, (self.path, self.channels, self.count, self.side)

    def raw(self, rows: np.ndarray) -> list[np.ndarray]:
        """Numbers (n, S, S, c) float32 of each sensor, NaN for no data; rows rise, none occurs twice."""
        with self._lock, _named(self.path):
            if self._process != os.getpid():
                self._file = None  # closed before: after a fork HDF5 would go on with that of the parent
                self._file, self._process = open_hdf5(self.path), os.getpid()
            return [_without_fill(_rows(self._file[key], rows)) for key in self.channels]


def _rows(data: Any, rows: np.ndarray) -> np.ndarray:
    """Rows of a data set as float32, by stretches: neighbours, or what lies in one compressed chunk."""
    numbers = np.empty((len(rows), *data.shape[1:]), np.float32)
    stretch = rows // min(data.chunks[0], AT_ONCE) if data.chunks else rows - np.arange(len(rows))
    for some in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(stretch)) + 1):
        first, last = rows[some[0]], rows[some[-1]]
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite: no data
            numbers[some] = data[first : last + 1][rows[some] - first]
    return numbers


def _without_fill(numbers: np.ndarray) -> np.ndarray:
    """NaN for what is not finite, and for a sensor that has nothing but 0 in a patch."""
    numbers[~np.isfinite(numbers)] = np.nan
    numbers[((numbers == 0) | np.isnan(numbers)).all(axis=(1, 2, 3))] = np.nan
    return numbers


def look_into_file(path: Path, holds: Mapping[str, str]) -> Found:
    """A file in the layout of So2Sat LCZ42.

    Args:
        path: of the file.
        holds: what the numbers are that a layout says are something else.

    Raises:
        ImageError: when the file cannot be read or has another layout.
    """
    with opened(path) as file:
        held = [key for key in (*SENSORS, "label") if key in file]
        shapes: dict[str, tuple[int, ...]] = {key: getattr(file[key], "shape", ()) for key in held}
        keys = [key for key in SENSORS if key in shapes]
        if not keys:
            what = f"{path} has no data set sen1 or sen2 (it has {', '.join(list(file)[:4]) or 'none'})"
            raise ImageError(f"{what}: give a file of So2Sat LCZ42, or the whole folder of GEO-Bench.")
        channels = {}
        for key in keys:
            shape, counts = shapes[key], [n for name, n in LAYOUTS if name == key]
            dtype = getattr(file[key], "dtype", np.dtype(object))
            if len(shape) != 4 or shape[1] != shape[2] or dtype.kind not in "fiu" or dtype.itemsize == 1:
                what = f"{key} in {path} is {dtype} of the shape {shape}"
                raise ImageError(f"{what}: give reflectance or backscatter as (patches, side, side, bands).")
            if shape[3] not in counts:
                need = " or ".join(map(str, counts))
                raise ImageError(
                    f"{key} in {path} has {shape[3]} bands but needs {need}: give those of So2Sat."
                )
            channels[key] = _holding(LAYOUTS[key, shape[3]], holds)
        count, side = shapes[keys[0]][:2]
        if {shape[:1] for shape in shapes.values()} != {(count,)} or not count:
            what = f"Patches in {path} differ in number, or there are none"
            said = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
            raise ImageError(f"{what} ({said}): write as many of each.")
        if {shapes[key][1] for key in keys} != {side}:
            raise ImageError(f"Patches of sen1 and sen2 in {path} differ in size: bring them to one grid.")
        codes, lcz = _labels(path, file["label"]) if "label" in shapes else (np.full(count, -1), None)
    notes = (
        () if lcz in (True, None) else (f"Classes in {path} are its own numbers, no Local Climate Zones.",)
    )
    return Found(PatchFile(path, channels, count, side), [str(i) for i in range(count)], codes, lcz, notes)


def _labels(path: Path, label: Any) -> tuple[np.ndarray, bool]:
    """Class of each patch, and whether they are LCZ."""
    if label.ndim == 1 and label.dtype.kind in "iu":
        return label[:].astype(np.int64), False
    hot = label[:] if label.shape[1:] == (LCZ,) else np.full((1, 1), 2)
    if not np.isin(hot, (0, 1)).all() or (hot.sum(axis=1) > 1).any():
        what = f"label in {path} {label.shape} is neither one-hot in {LCZ} columns nor one whole number each"
        raise ImageError(f"{what}: write 1 in the column of the class and 0 in the others.")
    return np.where(hot.any(axis=1), hot.argmax(axis=1), -1), True


def _holding(channels: tuple[Channel, ...], holds: Mapping[str, str]) -> tuple[Channel, ...]:
    return tuple(one._replace(holds=holds.get(one.holds, one.holds)) for one in channels)


# -- a file for each patch ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PatchFolder:
    """A folder of GEO-Bench; as :class:`PatchFile`, with the file of each patch."""

    path: Path
    files: tuple[Path, ...]
    channels: Channels
    side: int

    @property
    def count(self) -> int:
        """Patches in it."""
        return len(self.files)

    def raw(self, rows: np.ndarray) -> list[np.ndarray]:
        """As :meth:`PatchFile.raw`."""
        side, found = self.side, []
        for channels in self.channels.values():
            found.append(np.empty((len(rows), side, side, len(channels)), np.float32))
        for i, row in enumerate(rows):
            with opened(self.files[row]) as file:
                for numbers, channels in zip(found, self.channels.values(), strict=True):
                    for k, channel in enumerate(channels):
                        data = file.get(channel.data_set)
                        if getattr(data, "shape", ()) != (side, side):
                            what = f"{self.files[row]} has no {channel.data_set!r} of {side} x {side} pixels"
                            raise ImageError(f"{what} as other patches have: download it again.")
                        numbers[i, ..., k] = data[:]
        return [_without_fill(numbers) for numbers in found]


def look_into_folder(path: Path, holds: Mapping[str, str]) -> Found:
    """A folder of GEO-Bench m-so2sat, in the order of ``default_partition.json``; nothing is unpickled.

    Args:
        path: of the folder.
        holds: as for :func:`look_into_file`.

    Raises:
        ImageError: when files are missing, cannot be read, or have another layout.
    """
    files = {one.stem: one for one in sorted(path.iterdir()) if one.suffix in (".hdf5", ".h5")}
    parts = _lists(path / "default_partition.json") or {"": list(files)}
    names = [(part, name) for part, some in parts.items() for name in some]
    twice = [name for name, n in Counter(name for _, name in names).items() if n > 1]
    lost = [name for _, name in names if name not in files]
    if twice or lost or not names:
        what = f"{twice[0]} is in it twice" if twice else f"{len(lost)} of its patches have no file"
        raise ImageError(f"{path} is no whole folder of GEO-Bench ({what}): download it again.")
    first = files[names[0][1]]
    with opened(first) as file:
        tables = {key: LAYOUTS[key, count] for key, count in (("sen1", 8), ("sen2", 10))}
        held = {key: [c.data_set for c in some if c.data_set in file] for key, some in tables.items()}
        if not any(held.values()):
            what = f"{first} has no band like {tables['sen2'][0].data_set!r}, as patches of GEO-Bench have"
            raise ImageError(f"{what}: name the files one by one if they are of So2Sat LCZ42.")
        side = len(file[next(name for some in held.values() for name in some)])
    channels = {key: _holding(tables[key], holds) for key, some in held.items() if some}
    place, codes = {name: i for i, (_, name) in enumerate(names)}, np.full(len(names), -1)
    labels, notes = _lists(path / "label_map.json"), []
    for key, some in labels.items():
        if not key.isdecimal() or int(key) >= LCZ:
            raise ImageError(f"label_map.json in {path} has a class {key!r}: call LCZ 1 to G 0 to 16.")
        codes[[place[name] for name in some if name in place]] = int(key)
    if len(files) > len(names):
        notes.append(f"{len(files) - len(names):,} patches in {path} are in no part and were left out.")
    if (codes < 0).any():
        what = f"{(codes < 0).sum():,} patches in {path} have no class in label_map.json"
        notes.append(f"{what}; the one that is pickled in the patch is not read.")
    source = PatchFolder(path, tuple(files[name] for _, name in names), channels, side)
    shown = ["/".join(filter(None, name)) for name in names]
    return Found(source, shown, codes, True if labels else None, tuple(notes))


def _lists(path: Path) -> dict[str, list[str]]:
    """Lists of names by key; none without the file."""
    if not path.exists():
        return {}
    try:
        return {str(key): [str(one) for one in some] for key, some in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError, TypeError) as err:
        raise ImageError(f"{path} holds no lists of names: download it again.") from err


# -- opening -----------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as h5py shows it; what cannot be read in it is an ImageError."""
    with _named(path), open_hdf5(path) as file:
        yield file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, RuntimeError) as err:
        what = f"{path} is damaged or cut short ({str(err).splitlines()[0]})"
        raise ImageError(f"{what}: copy or download it again.") from err


def open_hdf5(path: Path) -> Any:
    """The file as h5py shows it.

    Raises:
        ImageError: when there is none, it is something else, or h5py is not installed.
        OSError: when it is damaged.
    """
    try:
        import h5py
    except ImportError as err:
        raise ImageError('HDF5 files are read with an extra: pip install "jido[data]".') from err
    if not path.is_file():
        raise ImageError(f"There is no file {path}: give an HDF5 file, or a folder of GEO-Bench.")
    if not h5py.is_hdf5(path):
        raise ImageError(f"{path} is no HDF5 file, or is empty: give one in the layout of So2Sat LCZ42.")
    return h5py.File(path, "r")
