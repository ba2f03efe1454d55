"""Patches of Sentinel-1 and Sentinel-2 in HDF5, each read when it is asked for: So2Sat LCZ42 and its kin.

So2Sat LCZ42, versions 2, 3 and 4 (Zhu et al. 2020, doi 10.1109/MGRS.2020.2964708): a file with ``sen1``
(N, S, S, 8), ``sen2`` (N, S, S, 10) and ``label`` (N, 17). The same with VV and VH as ``sen1`` and whole
numbers as ``label`` (N,). GEO-Bench m-so2sat (Lacoste et al. 2023, arXiv 2306.03831): a folder with a file
for each patch and a data set for each band.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jido.data.chips import Chips
from jido.data.hdf5_files import (
    AT_ONCE,
    SENSORS,
    Channels,
    Found,
    PatchFile,
    PatchFolder,
    look_into_file,
    look_into_folder,
    opened,
)
from jido.data.tiles import batches
from jido.errors import ImageError
from jido.geo import Band, band_table
from jido.geo.radiometry import Radiometry, Stated, describe
from jido.io.radiometry import PIXELS
from jido.labels import lcz_scheme

SAMPLE = 200
"""Patches of a file, spread over it, that tell what its numbers are."""

PIXEL_M = (10.0, 10.0)
"""All of these layouts are on the 10 m grid of Sentinel-2."""

CURVES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "dB": lambda numbers: numbers,
    "linear power": lambda numbers: 10 * np.log10(np.maximum(numbers, 1e-6)),
    "amplitude": lambda numbers: np.arcsinh(numbers / 0.1),
    "product": lambda numbers: np.arcsinh(numbers / 0.01),
    "reflectance": lambda numbers: numbers,
    "digital numbers": lambda numbers: numbers / 10_000,
}
"""What the numbers of a band are in the file -> what is made of them.

Power becomes dB, not below -60. Real and imaginary parts, of an amplitude or of the product of two, become
``asinh(x / s)``: monotone, keeps the sign, as good as linear below s and logarithmic above, which takes
the heavy tails away. s is the amplitude, or the power, of -20 dB.
"""

SIGNED = ("amplitude", "product")
"""Kinds of numbers that have no unit once they are read, and no plausible range."""

REMEDIES = {
    ("reflectance", "digital numbers"): "give optical='dn' (--optical dn) to have them divided by 10,000",
    ("digital numbers", "reflectance"): "leave optical='dn' away (--optical dn)",
    ("dB", "linear power"): "give radar='linear' (--radar linear) to have dB made of them",
    (
        "linear power",
        "dB",
    ): "leave radar='linear' away (--radar linear), or give the eight bands of So2Sat in linear scale",
}
"""What numbers should be, what they look like -> what to do."""


def read_hdf5(
    path: str | Path | Sequence[str | Path],
    *,
    radar: Literal["dB", "linear"] = "dB",
    optical: Literal["reflectance", "dn"] = "reflectance",
) -> Chips:
    """Patches of files and folders as images that are read when they are asked for.

    Radar is given in dB and optical bands in reflectance, whatever the file holds (see :data:`CURVES`).
    What it holds is checked on 200 patches of each file. Where a patch has nothing but 0 or NaN from a
    sensor, the sensor is missing: NaN. The classes of ``label`` (N, 17) are the Local Climate Zones, those
    of whole numbers these numbers. Patches are called ``FILE/PLACE``, or ``FOLDER/PART/SAMPLE`` in
    GEO-Bench, whose labels are taken from ``label_map.json``: those in the patches are pickled.

    Args:
        path: file, GEO-Bench folder, or several of them, whose patches are joined in this order.
        radar: what ``sen1`` holds where it is VV and VH alone; the eight of So2Sat are always linear.
        optical: what ``sen2`` holds: reflectance (0..2.8) or digital numbers (reflectance x 10,000).

    Returns:
        Chips whose ``images`` are :class:`HDF5Images`, as are those of their subsets.

    Raises:
        ImageError: when a file cannot be read, has another layout, or holds other numbers than stated.
    """
    if radar not in ("dB", "linear") or optical not in ("reflectance", "dn"):
        what = f"radar is {radar!r} and optical {optical!r}"
        raise ImageError(f"{what}: give radar as 'dB' or 'linear', optical as 'reflectance' or 'dn'.")
    holds = {"dB": "linear power"} if radar == "linear" else {}
    holds |= {"reflectance": "digital numbers"} if optical == "dn" else {}
    paths = _paths(path)
    found = [(look_into_folder if one.is_dir() else look_into_file)(one, holds) for one in paths]
    _require_alike(found)
    label, classes = _classes(found)
    notes, samples = [note for one in found for note in one.notes], []
    for source in (one.source for one in found):
        raw = source.raw(np.unique(np.linspace(0, source.count - 1, SAMPLE).astype(np.int64)))
        notes += _checked(source, raw)
        samples.append(_converted(source.channels, raw))
    names = zip(_told_apart(paths), found, strict=True)
    channels = found[0].source.channels
    return Chips(
        images=HDF5Images([one.source for one in found]),
        label=label,
        name=np.array([f"{start}/{name}" for start, one in names for name in one.names]),
        classes=classes,
        bands=_bands(channels),
        pixel_m=PIXEL_M,
        radiometry=_radiometry(channels, np.concatenate(samples), ", ".join(one.name for one in paths)),
        notes=tuple(notes),
    )


def hdf5_groups(path: str | Path | Sequence[str | Path]) -> np.ndarray | None:
    """Scene (N,) str that each patch was cut from, as ``source`` says; ``None`` where a file does not.

    Args:
        path: as for :func:`read_hdf5`.

    Raises:
        ImageError: when a file cannot be read, or does not name one scene for each patch.
    """
    groups = []
    for one in _paths(path):
        if one.is_dir():
            return None
        with opened(one) as file:
            if "source" not in file:
                return None
            source, count = file["source"], next((len(file[key]) for key in SENSORS if key in file), 0)
            shape = getattr(source, "shape", ())
            if shape != (count,):
                what = f"source in {one} has the shape {shape} but there are {count:,} patches"
                raise ImageError(f"{what}: name one scene for each.")
            text = source.dtype.kind in "SO"
            groups.append(np.array(source.asstr("utf-8", "replace")[:] if text else source[:], dtype=str))
    return np.concatenate(groups)


# -- images ------------------------------------------------------------------------------------


class HDF5Images:
    """Images (N, C, S, S) float32 in files: indexed like an array, read when indexed.

    The first axis alone is indexed: by places in any order and with repeats, masks, slices. May be pickled
    and used by threads and processes; a process opens the files for itself.

    Args:
        sources: files and folders with the same bands, one after the other.
        rows: place of each image among the patches of all of them; every one without it.
    """

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(self, sources: Sequence[PatchFile | PatchFolder], rows: np.ndarray | None = None) -> None:
        self._sources = tuple(sources)
        self._starts = np.cumsum([0, *(source.count for source in sources)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, S, S)."""
        side, channels = self._sources[0].side, self._sources[0].channels
        return len(self._rows), sum(map(len, channels.values())), side, side

    @property
    def size(self) -> int:
        """How many numbers all images hold."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"HDF5Images{self.shape}"

    def view(self, which: Any) -> HDF5Images:
        """Some of the images, by mask, places or slice, still unread."""
        return HDF5Images(self._sources, self._rows[which])

    def __getitem__(self, which: Any) -> np.ndarray:
        wanted = np.asarray(self._rows[which])
        rows, order = np.unique(wanted.ravel(), return_inverse=True)
        images = np.empty((len(rows), *self.shape[1:]), np.float32)
        holder = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(holder):
            source, start = self._sources[number], self._starts[number]
            for some in batches(np.flatnonzero(holder == number), AT_ONCE):
                images[some] = _converted(source.channels, source.raw(rows[some] - start))
        if not np.array_equal(order, np.arange(len(rows))):
            images = images[order]
        return images.reshape(*wanted.shape, *self.shape[1:])


def _converted(channels: Channels, raw: Sequence[np.ndarray]) -> np.ndarray:
    """Images (n, C, S, S) float32 of the numbers (n, S, S, c) of each sensor in a file."""
    pairs = zip(channels.values(), raw, strict=True)
    return np.stack([CURVES[c.holds](one[..., i]) for some, one in pairs for i, c in enumerate(some)], axis=1)


# -- what they are -----------------------------------------------------------------------------


def _paths(path: str | Path | Sequence[str | Path]) -> list[Path]:
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    twice = [str(one) for one, n in Counter(one.resolve() for one in paths).items() if n > 1]
    if twice or not paths:
        what = f"{twice[0]} is given twice" if twice else "No file is given"
        raise ImageError(f"{what}: give each HDF5 file once.")
    return paths


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """Names of files that are all different: without what they end in, else with folders before them."""
    names, parts, depth = [path.stem for path in paths], [path.resolve().parts for path in paths], 0
    while len(set(names)) < len(names):
        depth += 1
        names = ["/".join(one[-depth:]) for one in parts]
    return names


def _require_alike(found: Sequence[Found]) -> None:
    first = found[0].source
    for one in found[1:]:
        if (one.source.channels, one.source.side) != (first.channels, first.side):
            what = f"{one.source.path} has other bands than {first.path}, or patches of another size"
            raise ImageError(f"{what}: read them one by one.")
    if {True, False} <= {one.lcz for one in found}:
        raise ImageError(f"{first.path} and the others have labels of different kinds: read them one by one.")


def _classes(found: Sequence[Found]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Place (N,) of the class of each patch, and the classes."""
    codes = np.concatenate([one.codes for one in found])
    if any(one.lcz for one in found):
        return codes, lcz_scheme().labels
    known = np.unique(codes[codes >= 0])
    return np.where(codes >= 0, np.searchsorted(known, codes), -1), tuple(map(str, known))


def _bands(channels: Channels) -> tuple[Band, ...]:
    known = {(band.sensor, band.name): band for band in band_table()}
    keys = [(SENSORS[key], channel.name) for key, some in channels.items() for channel in some]
    return tuple(known.get((sensor, name), Band(name, sensor)) for sensor, name in keys)


def _radiometry(channels: Channels, images: np.ndarray, where: str) -> Radiometry:
    told = [i for i, c in enumerate(c for some in channels.values() for c in some) if c.holds not in SIGNED]
    pixels = images.transpose(1, 0, 2, 3).reshape(images.shape[1], -1)[told]
    bands = [_bands(channels)[i] for i in told]
    return describe(pixels[:, :: -(-pixels.shape[1] // PIXELS)], bands, [Stated(image=where)] * len(told))


def _checked(source: PatchFile | PatchFolder, raw: Sequence[np.ndarray]) -> list[str]:
    """Refuse numbers that are not what they are taken for; say which bands show nothing."""
    flat, radar = [], {}
    for (key, channels), numbers in zip(source.channels.items(), raw, strict=True):
        told: dict[tuple[str, str], list[np.ndarray]] = {}
        for channel, band in zip(channels, np.moveaxis(numbers, -1, 0), strict=True):
            values = band[np.isfinite(band)]
            if not len(values) or values.min() == values.max():
                flat.append(channel.name)
                continue
            if channel.name in ("VV", "VH"):
                radar[channel.name] = band
            if channel.holds not in SIGNED:  # a dark optical band is judged with the others
                name = channel.name if key == "sen1" else key
                told.setdefault((name, channel.holds), []).append(values)
        for (name, holds), some in told.items():
            _require(name, source.path, np.concatenate(some), holds)
    above = radar["VH"] - radar["VV"] if len(radar) == 2 else np.zeros(0)
    if np.nan_to_num(np.sign(above)).sum() > 0:  # in more pixels than not
        raise ImageError(f"VH is above VV in {source.path}, as nowhere: exchange these two bands of sen1.")
    what = f"{', '.join(flat)} in {source.path}: no data, or one number"
    return [f"{what} all over the {len(raw[0]):,} patches looked at."] if flat else []


def _require(name: str, path: Path, values: np.ndarray, holds: str) -> None:
    """Refuse numbers of a band, or of all optical ones, that look like something else."""
    low, middle, high = np.quantile(values, (0.01, 0.5, 0.99))
    looks = ""
    if holds in ("reflectance", "digital numbers"):
        if low >= -0.2 and middle <= 2 and high <= 3:
            looks = "reflectance"
        elif low >= -1000 and middle > 10 and high > 100:
            looks = "digital numbers"
    elif low >= -0.01 and middle <= 1.5:
        looks = "linear power"
    elif -100 < low < -5 and middle <= 30:  # no radar image is without a dark pixel
        looks = "dB"
    if looks != holds:
        what = f"{name} in {path} has a median of {middle:.4g} and looks like {looks or 'nothing known'}"
        remedy = REMEDIES.get((holds, looks), "give numbers like those of So2Sat LCZ42")
        raise ImageError(f"{what}, not like {holds}: {remedy}.")
