"""What a report of a map's accuracy holds that one can sign: the assessment and all that it rests on."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from jido.geo import pixel_size_m
from jido.io import file_sha256
from jido.labels import ClassScheme, lcz_scheme
from jido.labels.design_sample import DesignSample
from jido.maps.areas import area_rows, count_map
from jido.maps.assess import find_report, open_map
from jido.maps.assess_sample import read_points
from jido.maps.reference import Reference, find_scheme

SOURCES = {
    "Olofsson et al. 2014": "Good practices for estimating area and assessing accuracy of land change. "
    "Remote Sensing of Environment 148, 42-57. doi 10.1016/j.rse.2014.02.015",
    "Stehman 2014": "Estimating area and map accuracy for stratified random sampling when the strata are "
    "different from the map classes. International Journal of Remote Sensing 35(13), 4923-4939. doi "
    "10.1080/01431161.2014.930207",
    "Stehman and Foody 2019": "Key issues in rigorous accuracy assessment of land cover products. Remote "
    "Sensing of Environment 231, 111199. doi 10.1016/j.rse.2019.05.018",
}
"""What the estimates of a probability sample rest on."""

HELD_OUT = {
    "Hesterberg 2015": "What teachers should know about the bootstrap. The American Statistician 69(4), "
    "371-386. doi 10.1080/00031305.2015.1089789"
}
"""What an interval over groups rests on."""

SHOWN = ("metrics", "groups", "cells", "folds", "judged_on", "encoder", "leaky", "calibration", "unsure",
         "polygons", "confusion", "classes", "tiles")  # fmt: skip
"""Of the evaluation of a model what a report shows."""


def scheme_of(path: str | Path, reference: Reference) -> ClassScheme:
    """The classes that a map was judged by."""
    if reference.complete is not None:
        return reference.complete
    if not isinstance(reference.labels, Path):
        return reference.labels.scheme
    return find_scheme(path) or lcz_scheme()


def signed_facts(
    path: str | Path, reference: Reference, result: dict[str, Any], *, source: str | Path, band: int = 1
) -> dict[str, Any]:
    """All facts of the report, JSON-ready: the result, and all that it rests on.

    Args:
        path: the map.
        reference: what it was judged by.
        result: of :meth:`Reference.judge`.
        source: the file of the reference.
        band: of the map.

    Returns:
        ``result`` with ``areas`` (rows of :func:`~jido.maps.areas.area_rows`, whatever the reference),
        ``points`` of a sample (one by one, so that everybody can compute the figures again), ``map``,
        ``reference``, ``model`` and ``model_evaluation`` (``None`` for a map without its report),
        ``software``, ``sources`` and ``written``.

    Raises:
        ImageError: when the map cannot be read.
    """
    facts = find_report(path)
    scheme = scheme_of(path, reference)
    sample = reference.labels if isinstance(reference.labels, DesignSample) else None
    with open_map(path, band) as opened:
        grid = GeoBox(opened.shape, opened.transform, opened.crs.to_wkt() if opened.crs else None)
        bands = [name or f"band {i}" for i, name in enumerate(opened.descriptions, start=1)]
        areas = result["area"] if sample else _areas(opened, band, scheme, grid)
        points = {"points": _points(opened, band, sample)} if sample else {}
    evaluation = facts["evaluation"] if facts else {}
    return {
        **result,
        "areas": areas,
        **points,
        "map": {
            "name": Path(path).name,
            "sha256": file_sha256(Path(path)),
            "band": bands[band - 1],
            "bands": bands,
            "crs": grid.crs.proj.name if grid.crs else None,
            "shape": tuple(grid.shape),
            "cell_m": pixel_size_m(grid) if grid.crs else None,
            "images": facts["images"] if facts else None,
            "made": facts["made"] if facts else None,
            "jido": facts["jido"] if facts else None,
            "calibration": facts.get("calibration") if facts else None,
        },
        "reference": {"name": Path(source).name, "sha256": _sha256(Path(source))},
        "model": facts["model"] if facts else None,
        "model_evaluation": {name: evaluation[name] for name in SHOWN if name in evaluation} or None,
        "software": software(),
        "sources": SOURCES if sample else HELD_OUT,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _points(opened: rasterio.DatasetReader, band: int, sample: DesignSample) -> list[dict[str, Any]]:
    """The points with the class on the map and the one they were given, ``None`` without a label."""
    points, labels = read_points(opened, band, sample), sample.scheme.labels
    drawn = (sample.id, sample.cell, sample.xy, sample.stratum, sample.inclusion)
    return [
        {
            "id": i,
            "row": row,
            "col": col,
            "x": x,
            "y": y,
            "stratum": sample.strata[stratum].name,
            "inclusion": inclusion,
            "map": labels[mapped],
            "reference": labels[truth] if truth >= 0 else None,
        }
        for i, (row, col), (x, y), stratum, inclusion, mapped, truth in zip(
            *(column.tolist() for column in (*drawn, points.mapped, points.truth)), strict=True
        )
    ]


def _areas(
    opened: rasterio.DatasetReader, band: int, scheme: ClassScheme, grid: GeoBox
) -> list[dict[str, Any]]:
    counted = count_map(opened, band, scheme)
    total, unit = float(counted.cells.sum()), "cells"
    if grid.crs:
        total, unit = total * float(np.prod(pixel_size_m(grid))) / 1e6, "km2"
    return area_rows(scheme, counted, total=total, unit=unit)


def _sha256(path: Path) -> str | None:
    """``None`` for a folder or what GDAL alone can open."""
    return file_sha256(path) if path.is_file() else None


def software() -> dict[str, str]:
    """Versions of what makes the figures."""
    names = ("jido", "numpy", "scipy", "rasterio")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
        "GDAL": rasterio.__gdal_version__,
    }
