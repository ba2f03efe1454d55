"""From a class map to the polygons of its objects, in a memory that does not grow with the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from jido.errors import ImageError
from jido.geo import Objects, geodesic_area, pixel_size_m, trace_objects
from jido.io import ClassMap, Progress, polygon_file, polygon_qml


@dataclass(frozen=True)
class PolygonsResult:
    """What was written.

    Args:
        path: the file.
        objects: number of polygons in it.
        area_m2: their area on the ground; ``None`` where the map has no place on Earth.
        dropped: number of objects that were too small or nowhere sure enough.
        dropped_area_m2: their area, or ``None``.
        target: name of the class that alone was written because the map knows it and its background;
            ``None`` where classes were asked for, or the map has others.
    """

    path: Path
    objects: int
    area_m2: float | None
    dropped: int
    dropped_area_m2: float | None
    target: str | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``jido polygons``."""
        facts = {"polygons": str(self.path)} | asdict(self)
        del facts["path"]
        return facts


def polygonise(
    path: str | Path,
    out: str | Path,
    *,
    band: int | None = None,
    classes: Sequence[str] = (),
    min_area: float = 0.0,
    min_peak: float = 0.0,
    simplify: float = 0.0,
    progress: Progress | None = None,
) -> PolygonsResult:
    """Write the objects of a class map as polygons: GeoPackage with its style inside, or GeoParquet.

    An object is a 4-connected set of cells of one class; cells without data belong to none. The map
    is read in strips, and yet every object comes out whole, with the vertices that it has when the
    whole map is polygonised at once. Columns: ``class`` (code), ``label``, ``name``,
    ``mean_probability`` and ``max_probability`` (mean and highest confidence of the cells, 0..1; null
    where the map has none for this band) and ``area_m2`` (on the ellipsoid). A map without CRS gives
    polygons in its own coordinates (columns and rows of the image, rows counted downwards) and null for
    ``area_m2``.

    Args:
        path: a map of Jido, or a raster of whole numbers in one band.
        out: ``.gpkg``, or ``.parquet`` (needs pyarrow).
        band: of the classes, from 1; without it that of a map package, or the only one.
        classes: codes, labels or names of those to write; without it the target of a map of a target
            and its background, and all of any other.
        min_area: m²; smaller objects are dropped and counted, what they covered is left empty.
        min_peak: 0..1; objects whose highest confidence is lower are dropped and counted. Together with the
            threshold that made the map this is hysteresis thresholding: many weak cells are no object
            unless one of them is sure (:func:`jido.geo.hysteresis`).
        simplify: metres by which an outline may leave the steps of the cells (Douglas-Peucker; one cell
            makes slopes smooth). Every polygon is simplified alone, so neighbours may overlap and
            leave gaps, and one that would cross itself stays as it is; ``area_m2`` stays that of the cells.
        progress: told how far it is.

    Raises:
        ImageError: when the map cannot be read, has no such class, or lacks the CRS or the confidence
            that an option needs.
        OutputError: when the file cannot be written; what stood there stays.
    """
    tally = np.zeros((2, 2))  # written and dropped: number, m²
    seen: set[int] = set()
    with ClassMap(path, band=band) as source, polygon_file(out, source.crs) as file:
        _require(source, metres=bool(min_area or simplify), confidence=bool(min_peak))
        target = None if classes else source.target
        only = source.codes(classes) if target is None else [target.code]
        strips = source.strips(only=only, progress=progress)
        for objects in trace_objects(strips, width=source.grid.shape.x):
            polygons = on_map(objects.polygons, source.grid)
            area = geodesic_area(polygons, source.crs) if source.crs else np.full(len(polygons), np.nan)
            small = (area < min_area) | (objects.peaks / 100 < min_peak)
            tally += [[np.sum(~small), np.sum(area[~small])], [np.sum(small), np.sum(area[small])]]
            if simplify:
                polygons = on_map(_simplified(objects.polygons, source.grid, simplify), source.grid)
            kept = Objects(*(column[~small] for column in objects))
            file.write(polygons[~small], _columns(kept, source) | {"area_m2": area[~small]})
            seen.update(kept.codes.tolist())
        file.set_style(polygon_qml(map(source.land_class, sorted(seen)), column="class"))
        areas = tally[:, 1].tolist() if source.crs else [None, None]
    (number, dropped), (area_m2, dropped_area_m2) = tally[:, 0].astype(int).tolist(), areas
    name = None if target is None else target.name
    return PolygonsResult(Path(out), number, area_m2, dropped, dropped_area_m2, name)


def _require(source: ClassMap, *, metres: bool, confidence: bool) -> None:
    """Refuse options that the map has no ground for."""
    if metres and source.crs is None:
        raise ImageError(
            f"{source.path} has no CRS, so nothing in it has a size in metres: leave out --min-area and "
            "--simplify."
        )
    if confidence and not source.has_confidence:
        raise ImageError(f"{source.path} holds no confidence for this band: leave out --min-peak.")


def on_map(polygons: np.ndarray, grid: GeoBox) -> np.ndarray:
    """Polygons in columns and rows of a grid, in its CRS."""
    return shapely.transform(polygons, lambda xy: np.column_stack(grid.affine * tuple(xy.T)))


def _simplified(polygons: np.ndarray, grid: GeoBox, tolerance: float) -> np.ndarray:
    """Polygons in columns and rows with fewer of their vertices; the tolerance is in metres."""
    height, width = pixel_size_m(grid)
    metres = shapely.transform(polygons, lambda xy: xy * (width, height))
    fewer = shapely.transform(shapely.simplify(metres, tolerance), lambda xy: np.rint(xy / (width, height)))
    return np.where(shapely.is_valid(fewer), fewer, polygons)  # a new edge may hit a corner


def _columns(objects: Objects, source: ClassMap) -> dict[str, np.ndarray]:
    """What is written of objects, area aside."""
    codes, place = np.unique(objects.codes, return_inverse=True)
    classes = [source.land_class(code) for code in codes.tolist()]
    mean, highest = objects.totals / (100 * objects.cells), objects.peaks / 100
    unknown = np.full(len(mean), np.nan)
    return {
        "class": objects.codes,
        "label": np.array([cls.label for cls in classes], dtype=object)[place],
        "name": np.array([cls.name for cls in classes], dtype=object)[place],
        "mean_probability": mean if source.has_confidence else unknown,
        "max_probability": highest if source.has_confidence else unknown,
    }
