"""Images of one class each, read where they lie: the folder that an image is in names its class."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from jido.data.chip_stock import Stock, none_left
from jido.data.chips import Chips
from jido.data.places import centres
from jido.data.sheets import Sieve
from jido.errors import ImageError, LabelsError
from jido.geo import Band, identify
from jido.geo.radiometry import Radiometry, describe
from jido.io import Progress, Scene
from jido.io.decode import Kind, decoded, no_place_needed
from jido.io.images import Place, find_images, image_bytes
from jido.io.radiometry import PIXELS, stated

LOOK = 64
"""Images that are looked at to see what is usual before all are read."""

SAMPLE = 256
"""Images whose pixels tell what the numbers are."""


def read_chips(
    paths: Sequence[str | Path],
    *,
    classes: tuple[str, ...] | None = None,
    labelled: bool = True,
    least: int = 3,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Chips:
    """All images of files, folders and archives in one array; nothing is unpacked.

    All are square, of one size, with the same bands and the same type of numbers: those of the most
    images. Alpha is dropped; where it is 0 there is no data. Colours of a palette become red, green
    and blue.

    Args:
        paths: image files, folders (with the folders in them), ``.zip``, ``.tar`` or ``.tar.gz``.
        classes: those of a model, in its order; without them the names of all folders with images.
        labelled: an image is of the class that its folder is called. Else nobody has said any.
        least: images of each class.
        skip_bad: leave out images that are damaged or unlike the others, and say so.
        progress: told how far it is.

    Raises:
        ImageError: when an image cannot be read or is unlike the others.
        LabelsError: when an image lies in no folder of a class, or a class has too few.
    """
    places, found = find_images(paths), classes or ()
    notes: tuple[str, ...] = ()
    if labelled:  # refused before anything is read
        places, found, notes = _with_class(places, found, least, Sieve(skip_bad=skip_bad))
    usual = _usual(places, skip_bad=skip_bad)
    stock = _read(places, usual, skip_bad=skip_bad, progress=progress)
    if stock.usual != usual:  # the first images were not like most
        stock = _read(places, stock.usual, skip_bad=skip_bad, progress=progress)
    stock.require_fitting()
    chips = replace(_chips(stock, _meaning(stock)), classes=found)
    if not labelled:
        return chips
    _require_enough(stock.places, {place.folder for place in places}, least)
    label = np.array([found.index(place.folder) for place in stock.places])
    return replace(chips, label=label, notes=(*notes, *chips.notes))


def stream_chips(
    paths: Sequence[str | Path],
    *,
    at_once: int = 1024,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Iterator[Chips]:
    """Images as :func:`read_chips` gives them without classes, some at a time.

    What is usual is what most of the first 64 are. Notes come with the images before which they arose; when
    all of some have been left out, there are notes alone.

    Args:
        paths: as for :func:`read_chips`.
        at_once: images in memory.
        skip_bad: as for :func:`read_chips`.
        progress: told how far it is.

    Raises:
        ImageError: as :func:`read_chips`, when an image is reached.
    """
    places = find_images(paths)
    usual, meaning = _usual(places, skip_bad=skip_bad), None
    images, sieve = image_bytes(places), Sieve(skip_bad=skip_bad)
    for start in range(0, len(places), at_once):
        stock = Stock(usual, min(at_once, len(places) - start), skip_bad=skip_bad)
        stock.read(islice(images, at_once), progress, done=start, total=len(places))
        stock.require_fitting(some=False)
        sieve.notes += stock.sieve.notes
        if stock.places or meaning:
            meaning = meaning or _meaning(stock)
            yield replace(_chips(stock, meaning), notes=tuple(sieve.notes))
            sieve.notes.clear()
    if meaning is None:
        raise none_left(sieve)


# -- classes -----------------------------------------------------------------------------------


def _with_class(
    places: Sequence[Place], classes: tuple[str, ...], least: int, sieve: Sieve
) -> tuple[list[Place], tuple[str, ...], tuple[str, ...]]:
    """Images in folders of a class, the classes, and what was left out."""
    for place in places:
        if not place.folder:
            what = f"{place} lies in no folder of a class"
            sieve.drop(LabelsError(f"{what}: put it into a folder that is called like its class."))
    count = Counter(place.folder for place in places if place.folder)
    for folder in sorted(count.keys() - set(classes or count)):
        what = f"{count[folder]:,} images lie in the folder {folder!r}, which is none of the classes"
        sieve.drop(LabelsError(f"{what} {', '.join(classes)}: give it the name of its class."))
    found = classes or tuple(sorted(count))
    if not count:
        raise none_left(sieve)
    if len(found) < 2:
        raise LabelsError(
            f"All {len(places):,} images lie in one folder ({', '.join(found)}), so there is nothing to tell "
            "apart: give folders of 2 classes or more."
        )
    kept = [place for place in places if place.folder in found]
    _require_enough(kept, {place.folder for place in kept}, least)
    return kept, found, tuple(sieve.notes)


def _require_enough(places: Sequence[Place], folders: Iterable[str], least: int) -> None:
    count = Counter(place.folder for place in places)
    for folder in sorted(folders):
        if count[folder] < least:
            what = f"The class {folder!r} has {count[folder]} images but needs {least}"
            raise LabelsError(
                f"{what}, some for training, validation and test each: add images, or take it away."
            )


# -- reading -----------------------------------------------------------------------------------


def _read(places: Sequence[Place], kind: Kind, *, skip_bad: bool, progress: Progress | None) -> Stock:
    stock = Stock(kind, len(places), skip_bad=skip_bad)
    stock.read(image_bytes(places), progress, total=len(places))
    return stock


def _usual(places: Sequence[Place], *, skip_bad: bool) -> Kind:
    """What most of the first images are."""
    sieve, kinds = Sieve(skip_bad=skip_bad), []
    with no_place_needed(), closing(decoded(image_bytes(places), expected=None)) as images:
        for one in images:
            if isinstance(one, ImageError):
                sieve.drop(one)
            else:
                kinds.append(one.kind)
            if len(kinds) == LOOK:
                break
    if not kinds:
        raise none_left(sieve)
    return Counter(kinds).most_common(1)[0][0]


# -- what they are -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Meaning:
    """What is the same in all images."""

    bands: tuple[Band, ...]
    pixel_m: tuple[float, float] | None
    radiometry: Radiometry | None


def _meaning(stock: Stock) -> _Meaning:
    """Told by the first image with a place on Earth, and by pixels of all of them."""
    sizes = stock.pixel_sizes()
    first = next((i for i, size in enumerate(sizes) if size is not None), 0)
    with _as_file(stock.places[first]) as path, Scene([path], place_needed=False) as scene:
        bands = scene.bands if scene.names == stock.kind.bands else identify(stock.kind.bands)
        if sizes[first] is None or scene.names != stock.kind.bands:
            return _Meaning(bands, sizes[first], None)
        return _Meaning(bands, sizes[first], describe(_sample(stock.images), bands, stated(scene)))


@contextmanager
def _as_file(place: Place) -> Iterator[Path]:
    """An image as a file of its own name."""
    if not place.member:
        yield place.source
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PurePosixPath(place.name).name
        _, data = next(image_bytes([place]))
        if isinstance(data, ImageError):
            raise data
        path.write_bytes(data)
        yield path


def _sample(images: np.ndarray) -> np.ndarray:
    """Pixels float32 (C, n) of images spread over all of them."""
    some = images[np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))].astype(np.float32)
    pixels = some.transpose(1, 0, 2, 3).reshape(some.shape[1], -1)
    return pixels[:, :: -(-pixels.shape[1] // PIXELS)]


def _chips(stock: Stock, meaning: _Meaning) -> Chips:
    return Chips(
        images=stock.images,
        label=np.full(len(stock.places), -1, dtype=np.int64),
        name=np.array([place.name for place in stock.places]),
        classes=(),
        bands=meaning.bands,
        lonlat=centres(stock.grounds, stock.shape),
        pixel_m=meaning.pixel_m,
        radiometry=meaning.radiometry,
        notes=tuple(stock.sieve.notes),
    )
