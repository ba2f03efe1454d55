"""The facts of a map: what ``report.json`` holds, and how its figures are put in words."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.geo import pixel_size_m
from jido.io import Scene
from jido.labels import ClassScheme, Labels
from jido.maps.tasks import Counts
from jido.methods import Model
from jido.stats import Figure
from jido.stats.words import NAMES, text

SIZE_NOT_CHECKED = (
    "The model was trained on images without a place on Earth: the size of pixels is not checked."
)
NO_PLACE = "The image has no place on Earth: areas are numbers of cells, coordinates those of its pixels."


def area_text(m2: float | None) -> str:
    """``1.25 km²``, below that in ha or m², ``–`` where nothing has an area."""
    if m2 is None:
        return "–"
    if m2 and m2 < 10_000:
        return f"{m2:,.0f} m²"
    return f"{m2 / 1e4:,.2f} ha" if 0 < m2 < 1e6 else f"{m2 / 1e6:,.2f} km²"


def area_unit(areas: Sequence[dict[str, Any]]) -> tuple[str, float]:
    """In what to write rows of :func:`~jido.maps.areas.area_rows`, and by what to multiply them.

    km², hectares for less than 10 km² in all, or cells.
    """
    if areas[0]["unit"] == "cells":
        return "cells", 1.0
    total = sum(row["pixel_count"] or (row["estimate"] or {"value": 0})["value"] for row in areas)
    return ("km²", 1.0) if total >= 10 else ("ha", 100.0)


def area_number(value: float | None, times: float) -> str:
    """A number of such a row; ``–`` where there is none."""
    return "–" if value is None else f"{value * times:,.2f}"


def area_figure(figure: Figure | None, times: float) -> str:
    """``1.25 [1.02, 1.51]``, in the unit of :func:`area_unit`."""
    if figure is None:
        return "–"
    value, lower, upper = (area_number(figure[key], times) for key in ("value", "lower", "upper"))
    return value if figure["lower"] is None else f"{value} [{lower}, {upper}]"


def map_report(
    model: Model,
    scene: Scene,
    grid: GeoBox,
    counted: Counts,
    cells: Mapping[int, int],
    *,
    name: str,
    sha256: str,
    bands: Sequence[str],
) -> dict[str, Any]:
    """All facts of a map, JSON-ready, with the training geometries in EPSG:4326.

    ``counted`` is what was seen in the images, ``cells`` how many cells have each class code,
    ``sha256`` the hash of the COG, ``bands`` the names of those in it. Without a place on Earth the
    CRS of the grid and all ``km2`` are ``None``.
    """
    placed = grid.crs is not None
    box = {
        "crs": _crs_text(grid.crs) if grid.crs else None,
        "shape": tuple(grid.shape),
        "transform": list(grid.affine)[:6],
    }
    cell_km2 = float(np.prod(pixel_size_m(scene.geobox))) * model.stride**2 / 1e6 if placed else None
    mapped = sum(cells.values())
    area = [
        {
            "class": c.label,
            "name": c.name,
            "cells": cells.get(c.code, 0),
            "km2": None if cell_km2 is None else round(cells.get(c.code, 0) * cell_km2, 8),
            "share": round(cells.get(c.code, 0) / mapped, 6),
        }
        for c in model.scheme.classes
    ]
    return {
        "map": name,
        "sha256": sha256,
        "jido": importlib.metadata.version("jido"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "grid": box,
        "bands": list(bands),
        "images": [path.name for path in scene.paths],
        "notes": [
            *scene.notes,
            *[SIZE_NOT_CHECKED] * (model.pixel_m is None),
            *[NO_PLACE] * (not placed),
        ],
        "model": model.package or {},
        "missing": {
            "empty_pixels": counted.empty_pixels,
            "partial_pixels": counted.partial_pixels,
            "unanswered_cells": counted.cells_with_data - mapped,
        },
        "scheme": model.scheme.to_dict(),
        "pixel_count_area": area,
        "evaluation": model.evaluation,
        "calibration": calibration_of(model),
        "training": training_features(model.labels) if model.labels else None,
    }


def calibration_of(model: Model) -> dict[str, Any] | None:
    """What was done to its probabilities; ``None`` where nobody has looked whether they are true."""
    kind = model.evaluation.get("calibration", {}).get("kind")  # a model may have done it by itself
    return model.calibration.to_dict() | {"kind": kind} if kind else None


def _crs_text(crs: CRS) -> str:
    """``EPSG:32649`` where there is such a number, else WKT."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs)


def training_features(labels: Labels) -> dict[str, Any]:
    """The training labels as GeoJSON in longitude and latitude."""
    here = labels.to_crs(CRS("EPSG:4326"))
    features = [
        {
            "type": "Feature",
            "properties": {"code": int(code), "group": str(group)},
            "geometry": json.loads(shapely.to_geojson(geometry)),
        }
        for geometry, code, group in zip(here.geometry, here.codes, here.groups, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def labels_from_features(collection: dict[str, Any], scheme: ClassScheme) -> Labels:
    """The opposite of :func:`training_features`."""
    features = collection["features"]
    geometry = np.array([shapely.from_geojson(json.dumps(f["geometry"])) for f in features], dtype=object)
    codes = np.array([f["properties"]["code"] for f in features], dtype=np.int64)
    groups = np.array([f["properties"]["group"] for f in features], dtype=object)
    return Labels(geometry, codes, groups, CRS("EPSG:4326"), scheme)


def statement(evaluation: dict[str, Any]) -> str:
    """The accuracy of a model in one sentence."""
    if not evaluation:
        return "Nobody has judged this model: how good the map is, is not known."
    folds, metrics = evaluation["folds"], evaluation["metrics"]
    name = "iou" if "iou" in metrics else "oa"
    groups = f"{evaluation['groups']} group{'s' * (evaluation['groups'] != 1)}"
    if "judged_on" in evaluation:
        on, kind = judged_on(evaluation), folds["kind"]
        how = f"; split: {kind}" if "(" in kind else f" ({kind})"
        return f"{NAMES[name]} {text(metrics[name])}, judged on {on}: {groups}{how}."
    seen = evaluation.get("encoder", {}).get("saw_images")
    more = " Its encoder has seen these images, without labels (transductive)." if seen else ""
    return (
        f"{NAMES[name]} {text(metrics[name])} on {groups} of labels, each judged by "
        f"a model that had not seen it ({folds['k']} folds, {folds['kind']}).{more}"
    )


def percent(figure: Figure) -> str:
    """``81.2 % [77.0, 84.7]``, without brackets where no interval is claimed, ``–`` if not defined."""
    value, lower, upper = figure["value"], figure["lower"], figure["upper"]
    if value is None:
        return "–"
    bounds = "" if lower is None or upper is None else f" [{lower * 100:.1f}, {upper * 100:.1f}]"
    return f"{value * 100:.1f} %{bounds}"


def accuracy_sentence(result: dict[str, Any]) -> str:
    """What an assessment says of a map, in one sentence.

    Args:
        result: of :func:`jido.maps.assess`, :func:`~jido.maps.assess_binary`, or
            :func:`~jido.maps.assess_sample`.
    """
    if "sample" in result:
        return _of_sample(result)
    oa, cells = percent(result["metrics"]["oa"]), f"{result['cells']:,}"
    if result["independent"] is False:
        return (
            f"No accuracy: {result['overlap'] * 100:.1f} % of the {cells} cells of the reference lie inside "
            f"labels that the map has learned; it repeats {oa} of them."
        )
    many = "s" * (result["groups"] != 1)
    groups = f"{result['groups']} group{many} of labels"
    if "block" in result:
        groups = f"{result['groups']} square{many} of {result['block']} x {result['block']} cells"
    if result["metrics"]["oa"]["lower"] is None:
        return (
            f"The map agrees with the reference on {oa} of {cells} cells in {groups}{_of_target(result)}; no "
            "interval is claimed."
        )
    return (
        f"On {cells} cells in {groups} that it has not learned from, the map is right on {oa}"
        f"{_of_target(result)}; this speaks of places chosen like these, not of every cell of the map."
    )


def _of_sample(result: dict[str, Any]) -> str:
    sample, drawn = result["sample"], result["sample"]["facts"]
    people = "two interpreters" if all(sample["interpreters"]["labelled"]) else "one interpreter"
    how = f", {sample['how']}," if sample["how"] else ""
    of = f"another map of the same cells ({drawn['map']})" if sample["other_map"] else "the map"
    there = "its area"
    if drawn["within"]:
        of, there = f"{of} inside {drawn['within']}", "that area"
    return (
        f"On {result['cells']:,} random points{how} drawn from {of} and labelled by "
        f"{drawn['truth'] or people}, the map is right on {percent(result['metrics']['oa'])} of "
        f"{there}{_of_target(result)}."
    )


def _of_target(result: dict[str, Any]) -> str:
    """What overall accuracy hides where background is most of the map."""
    if "iou" not in result["metrics"]:
        return ""
    target = result["classes"][1]
    precision, recall = (percent(result["metrics"][name]) for name in ("precision", "recall"))
    return f"; of what it calls {target} {precision} is so, and of all {target} it finds {recall}"


def judged_on(evaluation: dict[str, Any]) -> str:
    """What the figures of a model with one split are of, with their number where it is known.

    ``4,050 test images``, ``test tiles``, ``the validation tiles that chose epoch and threshold``.
    """
    on = evaluation["judged_on"]
    return f"{evaluation['cells']:,} {on.removeprefix('the ')}" if "cells" in evaluation else on
