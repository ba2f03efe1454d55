"""How good is a map, and does the reference have the right to say so?"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as DiskWindow

from jido.errors import ImageError, LabelsError
from jido.geo import lattice
from jido.io import file_sha256
from jido.labels import ClassScheme, Labels
from jido.maps.report import labels_from_features
from jido.stats import judged

BLOCK = 1024
"""Side in cells of the windows in which a map is compared with its reference."""

RESUBSTITUTION = "resubstitution, not accuracy"

KINDS = {"sample": "probability sample", "groups": "held-out groups", "agreement": "agreement only"}
"""What a reference may be, and so what it has the right to say: see ``design`` of a result."""


class Compared(NamedTuple):
    """Reference cells of a map: places of truth and map class, group, and "trained on it".

    ``unmapped``: number of reference cells left out because the map has no data there.
    """

    truth: np.ndarray
    prediction: np.ndarray
    group: np.ndarray
    trained: np.ndarray
    unmapped: int


def find_report(path: str | Path) -> dict[str, Any] | None:
    """The facts of a map made by Jido, or ``None``; see :func:`find_report_file`."""
    found = find_report_file(path)
    return found[1] if found else None


def find_report_file(path: str | Path) -> tuple[Path, dict[str, Any]] | None:
    """The report beside a map that was written for exactly these bytes, and the facts in it.

    Whatever the two are called now: a report of another map would vouch for labels that it has never seen.
    """
    path = Path(path)
    beside = sorted(path.parent.glob("*report.json"))
    if not beside or not path.is_file():
        return None
    sha256 = file_sha256(path)
    for candidate in beside:
        try:
            facts = json.loads(candidate.read_text(encoding="utf-8"))
            if facts["sha256"] == sha256 and {"training", "evaluation"} <= facts.keys():
                return candidate, facts
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # somebody else's report
    return None


def _blocks(
    source: rasterio.DatasetReader, band: int, reference: Labels, training: Labels | None
) -> Iterator[Compared]:
    """Cells with a reference, window by window."""
    grid = _grid(source)
    scheme = reference.scheme
    learned = _points_inside(reference, training)
    for tile in lattice(source.shape, tile=BLOCK):
        item = reference.burn(grid[tile.core]).item
        codes = source.read(band, window=DiskWindow.from_slices(*tile.core))
        said = item >= 0
        keep = said & np.isfinite(codes) & (codes != source.nodata) & (codes != 0)
        if not said.any():
            continue
        require_classes(source, band, codes[keep], scheme)
        trained = learned[item[keep]]
        if training is not None:
            trained = trained | covered(training, grid[tile.core])[keep]
        chosen = item[keep]
        yield Compared(
            truth=scheme.index(reference.codes[chosen]),
            prediction=scheme.index(codes[keep]),
            group=reference.groups[chosen].astype(str),
            trained=trained,
            unmapped=int(np.count_nonzero(said & ~keep)),
        )


def covered(labels: Labels, grid: GeoBox) -> np.ndarray:
    """Bool (y, x): cells whose centre lies in one of the geometries, also where classes contradict."""
    from rasterio.features import rasterize

    near = shapely.intersects(labels.geometry, shapely.box(*grid.boundingbox.bbox))
    if not near.any():
        return np.zeros(tuple(grid.shape), dtype=bool)
    shapes = [(geometry, 1) for geometry in labels.geometry[near]]
    burned = rasterize(shapes, out_shape=tuple(grid.shape), transform=grid.affine, dtype=np.uint8)
    return burned > 0


def _points_inside(reference: Labels, training: Labels | None) -> np.ndarray:
    """Bool (n,): points of the reference inside a training geometry, wherever their cell's centre is."""
    inside = np.zeros(len(reference), dtype=bool)
    if training is not None:
        points = np.flatnonzero(shapely.get_dimensions(reference.geometry) == 0)
        hit, _ = shapely.STRtree(training.geometry).query(reference.geometry[points], predicate="intersects")
        inside[points[hit]] = True
    return inside


def _grid(source: rasterio.DatasetReader) -> GeoBox:
    if source.crs is None:
        raise ImageError(
            f"{source.name} has no CRS, so no reference finds its place on it: write it with one; only a "
            "map of two classes can be compared with a mask of its size."
        )
    return GeoBox(source.shape, source.transform, source.crs.to_wkt())


def require_classes(
    source: rasterio.DatasetReader, band: int, codes: np.ndarray, scheme: ClassScheme
) -> None:
    """Cells of unknown codes would drop out of the figures and make them too good."""
    unknown = np.unique(codes[scheme.index(codes) < 0])
    if len(unknown):
        some = ", ".join(f"{code:g}" for code in unknown[:5].tolist())
        raise ImageError(
            f"{source.name} holds {some} in band {band}, which is no class of {scheme.name!r} (codes "
            f"{scheme.codes[0]} to {scheme.codes[-1]}): give a class map, or its class band with --band."
        )


@contextmanager
def open_map(path: str | Path, band: int) -> Iterator[rasterio.DatasetReader]:
    """A map open for reading; it may have no place on Earth.

    Raises:
        ImageError: when it cannot be read or has no such band.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map of a plain image
            source = rasterio.open(path)
        with source:
            if band not in source.indexes:
                raise ImageError(
                    f"{path} has {source.count} bands, no band {band}: choose another with --band."
                )
            yield source
    except RasterioError as err:
        raise ImageError(f"{path} is not a map that can be read ({err}): give a class map.") from err


def compare(
    path: str | Path, reference: Labels, *, training: Labels | None = None, band: int = 1
) -> Compared:
    """Read the map where the reference says something; memory holds one window and these cells.

    Raises:
        ImageError: when the map cannot be read or holds other things than classes.
        LabelsError: when the reference says nothing inside the map.
    """
    with open_map(path, band) as source:
        here = reference.to_crs(_grid(source).crs)
        parts = list(_blocks(source, band, here, training and training.to_crs(here.crs)))
    if not any(len(part.truth) for part in parts):
        raise LabelsError(f"The reference has no labelled cell inside {path}: do both show the same place?")
    return Compared(
        truth=np.concatenate([part.truth for part in parts]),
        prediction=np.concatenate([part.prediction for part in parts]),
        group=np.concatenate([part.group for part in parts]),
        trained=np.concatenate([part.trained for part in parts]),
        unmapped=sum(part.unmapped for part in parts),
    )


def assess(
    path: str | Path, reference: Labels, *, training: Labels | None = None, band: int = 1
) -> dict[str, Any]:
    """Compare a map with a reference and say what the figures mean.

    A map must not be scored on the labels it was trained with: cells of the reference inside the
    training geometries are found, and even one makes the reference dependent. The figures are
    then called resubstitution and carry no interval; those of the groups that lie wholly outside, if
    there are any, stand beside them under ``outside_training``.

    Args:
        path: a class map.
        reference: labels with groups.
        training: labels the map was made from, added to those in the map's report. With neither,
            ``independent`` is ``None`` and no interval is claimed.
        band: of the map, from 1.

    Returns:
        JSON-ready: ``kind`` (of :data:`KINDS`), ``independent``, ``design``, ``metrics``, ``area``
        (``None``: areas with intervals need a probability sample), ``confusion``, ``classes``,
        ``held_out`` (the fold figures of the model), ``overlap`` (share of reference cells inside
        training labels) and ``unmapped`` (reference cells where the map has no data).
    """
    facts = find_report(path)
    training = all_training(facts, training, reference.scheme)
    cells = compare(path, reference, training=training, band=band)
    overlap = float(cells.trained.mean())
    independent = None if training is None else overlap == 0
    chosen = _single_points(reference)
    claimed = independent is True and not chosen
    result: dict[str, Any] = {
        "kind": KINDS["groups" if claimed else "agreement"],
        "independent": independent,
        "design": _design(independent, points=chosen),
        "overlap": overlap,
        "unmapped": cells.unmapped,
        "held_out": facts["evaluation"].get("metrics") if facts else None,
        "held_out_folds": facts["evaluation"].get("folds") if facts else None,
        **judged(cells.truth, cells.prediction, cells.group, reference.scheme, interval=claimed),
        "area": None,
    }
    strange = ~np.isin(cells.group, np.unique(cells.group[cells.trained]))
    if independent is False and strange.any():
        rest = (cells.truth[strange], cells.prediction[strange], cells.group[strange])
        result["outside_training"] = judged(*rest, reference.scheme, interval=not chosen)
    return result


def all_training(facts: dict[str, Any] | None, more: Labels | None, scheme: ClassScheme) -> Labels | None:
    """The training labels in the report of a map and those that a person names."""
    if facts is None or facts["training"] is None:
        return more
    learned = labels_from_features(facts["training"], scheme)
    return learned if more is None else _together(learned, more)


def _together(first: Labels, second: Labels) -> Labels:
    """Both sets of labels, in the CRS of the first."""
    second = second.to_crs(first.crs)
    return replace(
        first,
        geometry=np.concatenate([first.geometry, second.geometry]),
        codes=np.concatenate([first.codes, second.codes]),
        groups=np.concatenate([first.groups, second.groups]),
    )


def _single_points(reference: Labels) -> bool:
    """Whether it is points, each a group of its own, which somebody may take for a random sample."""
    alone = len(np.unique(reference.groups.astype(str))) == len(reference)
    return alone and bool((shapely.get_dimensions(reference.geometry) == 0).all())


def _design(independent: bool | None, *, points: bool) -> str:
    if independent is False:
        return RESUBSTITUTION
    if points:
        return (
            "agreement only: nobody knows what chance these points had of being chosen, so no interval is "
            "claimed; jido sample draws points that speak of the whole map"
        )
    if independent is None:
        return "agreement only: independence unknown (no training labels at hand), so no interval is claimed"
    return (
        "held-out groups: labels placed by choice, so this is accuracy over labels like these, with an "
        "interval over their groups; it does not speak of every cell of the map"
    )
