"""From two images and a model to a map of the target that can be summed up by cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError, ModelError
from jido.geo import Band, Raster, Window, block_sum, coarser, lattice
from jido.geo.radiometry import KINDS
from jido.indicators.flood_figures import draw_change
from jido.io import Progress, Scene, describe_scene
from jido.io.clouds import cloudy
from jido.io.dates import day_in, image_day, image_days
from jido.io.masks import MaskFile, MaskValues
from jido.labels import ClassScheme
from jido.maps import map_scene
from jido.methods import Model
from jido.methods.change import two_dates
from jido.stats.event_shares import EventShares

SHOWN = 800
"""Pixels along the longer side of a picture, about."""

ABSTAIN = "abstain"

EARLIER, LATER = {"before", "pre"}, {"after", "post"}
"""Words of file names that say which date an image is of."""

NOBODY = "Nobody has judged this model on events held out, so the table has no intervals."
ONE_EVENT = (
    "The model was judged on images that may show one event (no --groups): the table has no intervals."
)


@dataclass(frozen=True, eq=False)
class TargetMap:
    """A map package as an image of one band, the probability of the target; NaN where nothing was seen.

    Args:
        scene: the map, opened.
        scheme: background and target.
        clouds: masks on the grid of the images, ``None`` without.
        stride: pixels of the images along a side of a pixel of the map.
    """

    scene: Scene
    scheme: ClassScheme
    clouds: Scene | None = None
    stride: int = 1

    @property
    def geobox(self) -> GeoBox:
        """Grid of the map."""
        return self.scene.geobox

    def read(self, window: Window | None = None) -> Raster:
        """Probability (1, y, x) of a window."""
        rows, cols = window or tuple(slice(0, int(side)) for side in self.geobox.shape)
        plane = self.scene.pixels((rows, cols), [f"p_{self.scheme.labels[1]}"])
        if self.clouds is not None:
            s = self.stride
            hidden = cloudy(
                self.clouds, (slice(rows.start * s, rows.stop * s), slice(cols.start * s, cols.stop * s))
            )
            covered = hidden.reshape(rows.stop - rows.start, s, cols.stop - cols.start, s).mean((1, 3))
            plane[:, covered >= 0.5] = np.nan
        return Raster(plane, (Band("probability"),), self.geobox[rows, cols])

    def unsure(self, window: Window) -> np.ndarray:
        """Where the map abstains, bool (y, x)."""
        return np.nan_to_num(self.scene.pixels(window, [ABSTAIN])[0]) > 0


@dataclass(frozen=True, eq=False)
class Coarse:
    """An image as means over squares of its pixels: shares of buildings on the grid of a map of cells.

    Args:
        scene: the image; its first band counts, and what has no data is 0.
        size: pixels along a side.
    """

    scene: Scene
    size: int

    @property
    def geobox(self) -> GeoBox:
        """Grid of the squares."""
        return coarser(self.scene.geobox, self.size)

    def read(self, window: Window | None = None) -> Raster:
        """Means (1, y, x) of a window."""
        rows, cols = window or tuple(slice(0, int(side)) for side in self.geobox.shape)
        under = tuple(slice(part.start * self.size, part.stop * self.size) for part in (rows, cols))
        plane = np.nan_to_num(self.scene.pixels((under[0], under[1]), self.scene.names[:1]))
        means = (block_sum(plane, self.size) / self.size**2).astype(np.float32)
        return Raster(means, (Band("buildings"),), self.geobox[rows, cols])


def pair_days(before: Path, after: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Days of both images, ISO, as far as they are known.

    Raises:
        ImageError: when the image before was taken after the other one, or days that are given are none.
    """
    days = image_days([before, after], given) if given else [image_day(path) for path in (before, after)]
    require_order(before, after, days)
    return tuple(dict.fromkeys(day for day in days if day))


def require_order(before: Path, after: Path, days: Sequence[str] | None = None) -> None:
    """Refuse a pair whose days, or names, say that it is the other way round.

    Args:
        before: the image before.
        after: the image after.
        days: of both, ISO, empty where unknown; those in the names without.

    Raises:
        ImageError: when they do.
    """
    one, two = [day_in(path.name) for path in (before, after)] if days is None else days
    if one and two and one > two:
        raise ImageError(f"{before} is of {one} and {after} of {two}: give the image before the event first.")
    first, last = (set(re.split(r"[\W_]+", path.stem.casefold())) for path in (before, after))
    if first & LATER and last & EARLIER and not first & EARLIER:
        raise ImageError(
            f"{before} was given as the image before and {after} as the one after, but their names say the "
            "opposite: give the image before the event first."
        )


def require_change(model: Model, package: Path) -> None:
    """Refuse a model that does not compare two dates.

    Raises:
        ModelError: saying what it is.
    """
    if two_dates(model.bands) and len(model.scheme.classes) == 2:
        return
    bands = [band.name for band in model.bands]
    raise ModelError(
        f"{package} does not compare two dates: it reads {', '.join(bands[:4])}{', ...' * (len(bands) > 4)} "
        f"and tells {len(model.scheme.classes)} classes apart; train one with jido indicator flood --labels."
    )


def require_seen(clouds: Scene) -> float:
    """The share of the images that clouds hide.

    Raises:
        ImageError: when it is all of them.
    """
    height, width = (int(side) for side in clouds.geobox.shape)
    hidden = sum(int(cloudy(clouds, tile.core).sum()) for tile in lattice((height, width), tile=1024))
    if hidden == height * width:
        raise ImageError(f"{clouds.paths[0]} hides all of the images: give dates that show the ground.")
    return hidden / (height * width)


def numbers_of(scene: Scene) -> str:
    """What the numbers of the images are taken for, for the method sheet."""
    words = []
    for part in describe_scene(scene).parts:
        kind = " or ".join(KINDS[name].name for name in part.likely) or "numbers of no known kind"
        level = f", level {part.level}" if part.level else ""
        words.append(f"{part.image}: {kind} by {part.evidence}{level}")
    return "; ".join(words) or "unknown"


def why_no_interval(model: Model) -> str:
    """A sentence where a table of this model has no intervals, else nothing."""
    if shares_of(model) is not None:
        return ""
    return ONE_EVENT if model.evaluation else NOBODY


def shares_of(model: Model) -> EventShares | None:
    """What held-out events say of cells; ``None`` where nobody has judged the model on events."""
    facts = model.evaluation
    if "event_shares" not in facts or facts["folds"]["leaks"]:
        return None
    return EventShares.from_dict(facts["event_shares"])


def map_change(
    model: Model,
    scene: Scene,
    path: Path,
    *,
    convert: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> Path:
    """A map package of the target, with the probability of each class beside it.

    Raises:
        ModelError: when the model is no change model or the images do not fit it.
        ImageError: when there is no data at all.
    """
    return map_scene(
        model, scene, path, probabilities=True, convert=convert, restart=restart, progress=progress
    ).path


def true_mask(path: Path, target: Sequence[str], scene: Scene) -> np.ndarray:
    """What is true, bool (Y, X), of a mask on the grid of the images.

    Args:
        path: two values or colours, or what ``target`` names of more.
        target: as for training.
        scene: the images.

    Raises:
        ImageError: when the mask has another size.
        LabelsError: when nobody knows what of it is the target.
    """
    values = MaskValues(target)
    values.add(path)
    said = values.target()
    with MaskFile(path, by_value=said.by_value) as file:
        height, width = (int(side) for side in scene.geobox.shape)
        if file.shape != (height, width):
            raise ImageError(
                f"{path} has {file.shape[1]} x {file.shape[0]} pixels, the images {width} x {height}: give a "
                "mask on their grid."
            )
        return file.read((slice(0, height), slice(0, width)), said)


def draw_map(
    scene: Scene, found: TargetMap, path: Path, *, title: str = "", truth: np.ndarray | None = None
) -> Path:
    """Before, after, prediction and uncertainty as a picture, thinned out where the images are large.

    Args:
        scene: both dates.
        found: the map.
        path: of the PNG.
        title: above it.
        truth: (Y, X) of 0 and 1 on the grid of the images, for a panel of its own.
    """
    height, width = (int(side) for side in found.geobox.shape)
    step = max(1, -(-max(height, width) // SHOWN))
    s = found.stride
    image, plane, doubt = _thinned(scene, found, step)
    before, after = np.split(image, 2)
    bands = tuple(band.renamed(band.name.partition("@")[0]) for band in scene.bands[len(before) :])
    seen = truth if truth is None else truth[: height * s, : width * s][:: s * step, :: s * step]
    some = doubt.any() and not doubt.all()
    return draw_change(
        before, after, plane, path, bands=bands, truth=seen, unsure=doubt if some else None, title=title,
        target=found.scheme.labels[1],
    )  # fmt: skip


def _thinned(scene: Scene, found: TargetMap, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every ``step``-th pixel of the map, of the images under it, and of where the map abstains."""
    height, width = (int(side) for side in found.geobox.shape)
    shape = (-(-height // step), -(-width // step))
    image = np.full((len(scene.bands), *shape), np.nan, dtype=np.float32)
    plane, doubt = np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=bool)
    s = found.stride
    for tile in lattice((height, width), tile=512 // step * step or step):
        rows, cols = tile.core
        here = tuple(slice(part.start // step, -(-part.stop // step)) for part in (rows, cols))
        under = (slice(rows.start * s, rows.stop * s), slice(cols.start * s, cols.stop * s))
        image[(slice(None), *here)] = scene.pixels(under, scene.names)[:, :: s * step, :: s * step]
        plane[here] = found.read((rows, cols)).data[0, ::step, ::step]
        doubt[here] = found.unsure((rows, cols))[::step, ::step]
    return image, plane, doubt
