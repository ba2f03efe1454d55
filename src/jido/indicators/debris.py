"""Floating debris of an image: land and clouds left out, a map of pixels, and its share by cell.

A cell's value is the share of the water seen in it that the map calls debris. Its bounds are what the map is
sure of: the lower one leaves out what is unsure, the upper one counts all of it. They are no standard error:
what holds is the promise of the model's abstention, for scenes like those of its training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from jido.errors import ImageError
from jido.geo import Window
from jido.indicators.cells import Cells
from jido.indicators.shares import CellSums, Placed, bands_of_rows, cell_sums
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import IndicatorTable, indicator_table
from jido.io import Progress, Scene
from jido.io.clouds import MASK_BANDS, cloudy
from jido.maps import MapResult, map_scene
from jido.maps.radiometry import require_radiometry
from jido.methods.debris import SCHEME, DebrisModel, is_land

DEBRIS = SCHEME.codes[1]

CALLED, SURE, POSSIBLE, PROBABILITY, LAND = range(5)
"""Places of the planes that are summed by cell."""

MUCH_LAND = 0.5
"""Share of land in an image from which a reader is warned."""

LOOKED = 4096
"""Pixels of a window that the model is asked of, until one is seen to be water."""

BOUNDS = (
    "Bounds by abstention, not a standard error: the lower one counts pixels that are surely debris, the "
    "upper one all that are debris or unsure. "
)
PROMISE = (
    "In a new scene like those of the training at most {error:.0%} of the sure answers on spectra are wrong, "
    "with a chance of {trust:.0%} (group_accept_threshold, {groups} scenes)."
)
NO_PROMISE = "Nothing is promised: {why}."
LIMITS = (
    "A patch that fills a small part of a pixel looks like water; foam, ships, glint and edges of clouds can "
    "look like debris.",
    "Probabilities are those of the mix of spectra in the training, where debris is frequent; at sea it is "
    "rare, so many pixels called debris may be none: look at them.",
    "The spectra of the training were means of regions that people drew, not pixels of an image.",
)


class WaterScene(Scene):
    """An image without what is hidden: there all bands have no data. Made by :meth:`of`."""

    _hidden: Callable[[Window], np.ndarray]

    @classmethod
    def of(cls, scene: Scene, hidden: Callable[[Window], np.ndarray]) -> WaterScene:
        """The same open files.

        Args:
            scene: the image.
            hidden: window -> bool (y, x).
        """
        made = object.__new__(cls)
        made.__dict__ |= scene.__dict__ | {"_hidden": hidden}
        return made

    def pixels(self, window: Window, names: list[str] | tuple[str, ...]) -> np.ndarray:  # type: ignore[override]
        """As of the image, NaN where it is hidden."""
        image = super().pixels(window, names)
        image[:, self._hidden(window)] = np.nan
        return image


@dataclass(frozen=True, eq=False)
class Sea:
    """An image of the sea, as a model of debris reads it.

    Args:
        model: with the bands and satellite of the image.
        scene: without land and clouds.
        land: window -> bool (y, x), what is no water.
        notes: what a reader should know.
    """

    model: DebrisModel
    scene: WaterScene
    land: Callable[[Window], np.ndarray]
    notes: tuple[str, ...]


def open_sea(
    model: DebrisModel,
    scene: Scene,
    *,
    land: Scene | None = None,
    clouds: Scene | None = None,
    convert: bool = False,
) -> Sea:
    """An image made ready: its numbers checked, land and clouds left out.

    Args:
        model: of :func:`~jido.methods.debris_image.model_for`.
        scene: the image.
        land: a mask on its grid, not 0 = land; MNDWI <= 0 without it, which takes bright clouds along.
        clouds: a mask on its grid; a band ``SCL`` of the image without it.
        convert: bring numbers of another unit to reflectance.

    Raises:
        ModelError: when the numbers are no reflectance, as of a stretched picture.
        ImageError: when MNDWI cannot be had and no mask is given.
    """
    known = len(scene.notes)
    numbers = require_radiometry(model, scene, convert=convert)
    notes = list(numbers.notes[known:])
    masks = clouds
    if masks is None and set(scene.names) & MASK_BANDS:
        masks = scene
    if masks is None:
        notes.append("Nothing tells where clouds are, but for what the model takes for cloud: give --clouds.")
    of_land = _land(numbers, land)

    def hidden(window: Window) -> np.ndarray:
        gone = of_land(window)
        return gone if masks is None else gone | cloudy(masks, window)

    return Sea(replace(model, skips=True), WaterScene.of(numbers, hidden), of_land, tuple(notes))


def _land(scene: Scene, mask: Scene | None) -> Callable[[Window], np.ndarray]:
    if mask is not None:
        known = mask
        return lambda window: np.nan_to_num(known.pixels(window, known.names[:1])[0]) != 0
    roles = {band.common_name: band.name for band in scene.bands}
    if not {"green", "swir16"} <= roles.keys():
        raise ImageError(
            f"{scene.paths[0]} lacks B03 or B11, by which land is told from water: give them, or a "
            "mask with --land."
        )
    names = [roles["green"], roles["swir16"]]
    return lambda window: is_land(*Scene.pixels(scene, window, names))


def require_water(sea: Sea) -> None:
    """Refuse an image of which no water is seen; ends at the first window that shows some.

    Raises:
        ImageError: when all is land, cloud or without data.
    """
    names, land, every = [band.name for band in sea.model.bands], 0, 0
    for window in bands_of_rows(sea.scene.geobox, pixels=1_000_000):
        image = sea.scene.pixels(window, names)
        seen = np.isfinite(image).all(axis=0)
        if seen.any():
            some = image[:, seen]
            some = some[:, :: max(some.shape[1] // LOOKED, 1)]
            if np.isfinite(sea.model.predict(some[None, :, None])).any():
                return
        land, every = land + int(sea.land(window).sum()), every + seen.size
    raise ImageError(
        f"No water is seen in {sea.scene.paths[0]}: {land / every:.0%} of its pixels are land or bright "
        "cloud (MNDWI), all others are cloud or without data: give another date."
    )


def debris_map(sea: Sea, path: Path, *, progress: Progress | None = None) -> MapResult:
    """The map of pixels, a map package: class, confidence, ``abstain``, probability of debris.

    Raises:
        ImageError: as :func:`require_water`.
        ModelError: when the image does not fit the model.
    """
    require_water(sea)
    return map_scene(sea.model, sea.scene, path, probabilities=True, progress=progress)


def debris_cells(
    sea: Sea,
    mapped: Scene,
    cells: Cells,
    *,
    value: Literal["share", "area"] = "share",
    day: str = "",
    min_coverage: float = 0.5,
    progress: Progress | None = None,
) -> IndicatorTable:
    """The share of debris of each cell, from the map of pixels.

    Args:
        sea: that was mapped.
        mapped: the map of :func:`debris_map`.
        cells: in any CRS.
        value: ``share`` of the water that was seen, or ``area`` of debris in m².
        day: of the image, ISO; empty when nobody knows.
        min_coverage: share of the water of a cell that must be seen.
        progress: told how many rows are done.

    Returns:
        A table whose bounds leave out and count what is unsure, with the columns ``debris_m2``, ``lower_m2``,
        ``upper_m2``, ``water_m2`` (seen), ``unsure`` (share), ``probability`` (mean), ``land`` (share of the
        cell). Coverage is the share of the cell's water; n counts its pixels.

    Raises:
        ImageError: when no cell lies on the image.
    """
    placed = Placed(cells, sea.scene.geobox)
    sums = cell_sums(placed, sea.scene.geobox, lambda window: _planes(sea, mapped, window), progress=progress)
    coverage, land = _coverage(sums, placed)
    water = sums.seen_m2[CALLED]
    area = {name: sums.total[place] for name, place in (("", CALLED), ("lower", SURE), ("upper", POSSIBLE))}
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {name: np.where(water > 0, part / water, np.nan) for name, part in area.items()}
        unsure = share["upper"] - share["lower"]
    of = share if value == "share" else {name: np.where(water > 0, m2, np.nan) for name, m2 in area.items()}
    more = {f"{name or 'debris'}_m2": m2 for name, m2 in area.items()}
    table = indicator_table(
        cells,
        of[""],
        np.full(len(cells), np.nan),
        coverage=coverage,
        n=sums.seen[CALLED],
        sheet=debris_sheet(sea, cells, value=value, day=day, min_coverage=min_coverage),
        bounds=(0.0, 1.0) if value == "share" else (0.0, np.inf),
        columns={
            **more,
            "water_m2": water,
            "unsure": unsure,
            "probability": sums.mean[PROBABILITY],
            "land": land,
        },
    )
    lower, upper = (np.where(table.empty, np.nan, of[name]) for name in ("lower", "upper"))
    return replace(table, lower=lower, upper=upper)


def _planes(sea: Sea, mapped: Scene, window: Window) -> list[np.ndarray]:
    code, unsure, probability = mapped.pixels(window, ["class", "abstain", "p_debris"])
    empty = np.isnan(code)
    called, doubtful = code == DEBRIS, unsure == 1
    parts = (called, called & ~doubtful, called | doubtful)
    planes = [np.where(empty, np.nan, part) for part in parts]
    return [*planes, np.where(empty, np.nan, probability), sea.land(window).astype(np.float64)]


def _coverage(sums: CellSums, placed: Placed) -> tuple[np.ndarray, np.ndarray]:
    """Share of the water of each cell that was seen, and share of land of each cell, (n,) each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(sums.inside > 0, sums.inside_m2 / sums.inside, 0)
        whole = sums.inside_m2 + np.maximum(placed.size - sums.inside, 0) * each
        land = np.where(whole > 0, np.minimum(sums.total[LAND] / whole, 1), np.nan)
        water = whole - sums.total[LAND]
        seen = np.where(water > 0.5 * each, np.minimum(sums.seen_m2[CALLED] / water, 1), 0)
    return np.nan_to_num(seen), land


def land_note(table: IndicatorTable) -> str:
    """A warning where much of the cells is land; empty elsewhere."""
    land, area = table.columns["land"], table.cells.area_m2
    known = np.isfinite(land)
    share = float((land[known] * area[known]).sum() / area[known].sum()) if known.any() else 0.0
    if share <= MUCH_LAND:
        return ""
    return (
        f"warning: {share:.0%} of the cells is land (or bright cloud, by MNDWI): debris on beaches is not "
        "counted, and water beside land is mixed with it."
    )


def debris_sheet(sea: Sea, cells: Cells, *, value: str, day: str, min_coverage: float) -> MethodSheet:
    """How debris was measured."""
    model, unsure = sea.model, sea.model.evaluation.get("unsure", {})
    naive = model.config.learner == "naive"
    what = (
        "Gaussian naive Bayes on FDI and NDVI"
        if naive
        else "logistic regression on the shape of the spectrum"
    )
    why = "nobody has judged the model"
    if unsure:
        why = "its spectra name no scene" if unsure["trust"] is None else "too few scenes, or too many errors"
    promised = bool(unsure) and unsure["trust"] is not None and model.abstain_below <= 1
    error = (
        PROMISE.format(error=unsure["aimed_error"], trust=unsure["trust"], groups=model.evaluation["groups"])
        if promised
        else NO_PROMISE.format(why=why)
    )
    return MethodSheet(
        indicator=f"floating debris ({value})",
        formula=f"{what}, pixels with a probability of debris of at least 1/2; FDI = B8 - (B6 + (B11 - B6) "
        "(nir - red) / (swir - red) 10) with the wavelengths of " + model.image_platform,
        source="Biermann et al. 2020, doi 10.1038/s41598-020-62298-z",
        unit="share" if value == "share" else "m²",
        bands=tuple(band.name for band in model.bands),
        correction=f"image: {model.image_correction}; spectra of the training: {model.correction}",
        dates=(day,) if day else (),
        nodata_rule=" ".join(["Land (mask or MNDWI <= 0), clouds and pixels that lack a band.", *sea.notes]),
        error_model=BOUNDS + error,
        cells=cells.kind,
        min_coverage=min_coverage,
        level=unsure["trust"] if promised else 0.95,
        limits=LIMITS,
        numbers={"unsure below": model.abstain_below},
    )


def totals(table: IndicatorTable) -> Mapping[str, dict[str, float | None]]:
    """Debris of all water seen in cells, empty ones too: area in m² and share, with bounds."""
    water = float(table.columns["water_m2"].sum())
    m2 = (float(table.columns[f"{end}_m2"].sum()) for end in ("debris", "lower", "upper"))
    area: dict[str, float | None] = dict(zip(("value", "lower", "upper"), m2, strict=True))
    share = {name: (part or 0.0) / water if water > 0 else None for name, part in area.items()}
    return {"area_m2": area, "share": share}
