"""Images gathered in one array while they are decoded; those that are unlike the others are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np

from jido.data.places import pixel_sizes
from jido.data.sheets import PIXEL_TOLERANCE, Sieve
from jido.errors import ImageError
from jido.io import Progress
from jido.io.decode import Ground, Kind, Read, decoded, no_place_needed
from jido.io.images import Place
from jido.io.raster import NATIVE


def none_left(sieve: Sieve) -> ImageError:
    """What to say when all have been left out."""
    return ImageError(f"No image is left. {sieve.notes[0] if sieve.notes else ''}".strip())


class Stock:
    """Images of one kind in one array, and those that were of another.

    Args:
        kind: what is expected.
        room: images that there is room for.
        skip_bad: leave out what is damaged or unlike the others.
    """

    def __init__(self, kind: Kind, room: int, *, skip_bad: bool) -> None:
        self.kind, self.sieve = kind, Sieve(skip_bad=skip_bad)
        self._room = self._array(room, kind.dtype if kind.dtype in NATIVE else "float32")
        self.places: list[Place] = []
        self.grounds: list[Ground | None] = []
        self.odd: list[tuple[Place, Kind]] = []

    def _array(self, room: int, dtype: str) -> np.ndarray:
        shape = (room, len(self.kind.bands), self.kind.height, self.kind.width)
        try:
            return np.empty(shape, dtype)
        except MemoryError as err:
            size = np.prod(shape, dtype=float) * np.dtype(dtype).itemsize / 1e9
            raise ImageError(
                f"{room:,} images, {self.kind}, need {size:,.1f} GB of memory: give fewer or smaller ones."
            ) from err

    def read(
        self, images: Iterable[Read], progress: Progress | None, *, done: int = 0, total: int = 0
    ) -> None:
        """Take in images until there are no more."""
        seen: list[Place] = []  # what is decoded comes in the order of what was read

        def noted() -> Iterator[Read]:
            for place, data in images:
                seen.append(place)
                yield place, data

        with no_place_needed(), closing(decoded(noted(), expected=self.kind)) as found:
            for i, one in enumerate(found):
                if isinstance(one, ImageError):
                    self.sieve.drop(one)
                elif one.pixels is None:
                    self.odd.append((seen[i], one.kind))
                else:
                    self._add(seen[i], one.pixels, one.ground)
                if progress:
                    progress("reading the images", done + i + 1, total)

    def _add(self, place: Place, pixels: np.ndarray, ground: Ground | None) -> None:
        if not np.can_cast(pixels.dtype, self._room.dtype):  # the first one with something missing
            before = self._room
            self._room = self._array(len(before), "float32")
            self._room[: len(self.places)] = before[: len(self.places)]
        self._room[len(self.places)] = pixels
        self.places.append(place)
        self.grounds.append(ground)

    @property
    def images(self) -> np.ndarray:
        """(n, C, y, x)."""
        return self._room[: len(self.places)]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.kind.height, self.kind.width

    @property
    def usual(self) -> Kind:
        """What most of the images are."""
        count = Counter({self.kind: len(self.places)}) + Counter(kind for _, kind in self.odd)
        return count.most_common(1)[0][0] if count else self.kind

    def require_fitting(self, *, some: bool = True) -> None:
        """Refuse images of other kinds or with other pixels, or leave them out.

        Raises:
            ImageError: naming the first.
        """
        if self.kind.height != self.kind.width:
            size = f"{self.kind.width} x {self.kind.height}"
            raise ImageError(f"The images have {size} pixels (width x height): give square ones.")
        for place, kind in self.odd:
            self.sieve.drop(_unlike(place, kind, self.kind))
        self._require_one_size()
        if some and not self.places:
            raise none_left(self.sieve)

    def pixel_sizes(self) -> list[tuple[float, float] | None]:
        """Height and width of the pixels of each image in metres."""
        return pixel_sizes(self.grounds, self.shape)

    def _require_one_size(self) -> None:
        sizes = np.array([np.sqrt(np.prod(size or np.nan)) for size in self.pixel_sizes()])
        known = np.sort(sizes[np.isfinite(sizes)])
        if not len(known):
            return
        middle = known[len(known) // 2]
        odd = np.abs(sizes / middle - 1) > PIXEL_TOLERANCE
        for i in np.flatnonzero(odd):
            has = f"{self.places[i]} has pixels of {sizes[i]:.3g} m but most have {middle:.3g} m"
            self.sieve.drop(ImageError(f"{has}: bring all to one size."))
        if odd.any():
            kept = np.flatnonzero(~odd)
            self._room = self.images[kept]
            self.places, self.grounds = [self.places[i] for i in kept], [self.grounds[i] for i in kept]


def _unlike(place: Place, kind: Kind, usual: Kind) -> ImageError:
    here, there = str(kind), str(usual)
    if here == there:
        here, there = (f"the bands {', '.join(one.bands)}" for one in (kind, usual))
    return ImageError(f"{place} has {here} but most have {there}: give images of one kind.")
