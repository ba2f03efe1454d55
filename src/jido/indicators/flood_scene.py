"""From two images and a model to a map of the target that can be summed up by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import Band, Raster, Window, lattice
from jido.indicators.flood_figures import draw_change
from jido.io import Progress, Scene
from jido.io.clouds import cloudy
from jido.io.dates import image_day, image_days
from jido.labels import ClassScheme
from jido.maps import map_scene
from jido.methods import Model
from jido.stats.event_shares import EventShares

SHOWN = 800
"""Pixels along the longer side of a picture, about."""

ABSTAIN = "abstain"


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


def pair_days(before: Path, after: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Days of both images, ISO, as far as they are known.

    Raises:
        ImageError: when the image before was taken after the other one, or days that are given are none.
    """
    days = image_days([before, after], given) if given else [image_day(path) for path in (before, after)]
    if all(days) and days[0] > days[1]:
        raise ImageError(
            f"{before} is of {days[0]} and {after} of {days[1]}: give the image before the event first."
        )
    return tuple(dict.fromkeys(day for day in days if day))


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
    half = len(before)
    bands = tuple(band.renamed(band.name.partition("@")[0]) for band in scene.bands[half:])
    seen = truth if truth is None else truth[: height * s, : width * s][:: s * step, :: s * step]
    return draw_change(
        before, after, plane, path, bands=bands, truth=seen, unsure=doubt if doubt.any() and not doubt.all() else None,
        title=title, target=found.scheme.labels[1],
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
