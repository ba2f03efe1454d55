"""Small maps and labelled samples of them, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.io import file_sha256
from jido.labels import ClassScheme
from jido.labels.design_sample import DesignSample, Stratum

UTM = "EPSG:32649"


def grid_of(codes: np.ndarray, *, crs: str | None = UTM, side: float = 10.0) -> GeoBox:
    """Cells of so many metres; of so many degrees where the CRS is in degrees."""
    x, y = (113.0, 22.0) if crs == "EPSG:4326" else (200_000.0, 2_500_000.0)
    return GeoBox(codes.shape, Affine(side, 0, x, 0, -side, y), crs)


def write_map(
    path: Path, codes: np.ndarray, *, planes: dict[str, np.ndarray] | None = None, **grid: Any
) -> Path:
    """A class map and further bands beside the classes; bands of probabilities are in steps of 0.4 %."""
    grid_box, planes = grid_of(codes, **grid), {"class": codes} | (planes or {})
    profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 255, "count": len(planes)}
    crs = grid_box.crs.to_wkt() if grid_box.crs else None
    height, width = codes.shape
    with rasterio.open(
        path, "w", **profile, height=height, width=width, crs=crs, transform=grid_box.affine
    ) as sink:
        sink.write(np.stack(list(planes.values())).astype(np.uint8))
        sink.descriptions = tuple(planes)
        sink.scales = tuple(0.004 if name.startswith("p_") else 1.0 for name in planes)
    return path


def sample_of(
    path: Path,
    codes: np.ndarray,
    scheme: ClassScheme,
    *,
    cell: np.ndarray,
    truth: np.ndarray,
    stratum: np.ndarray,
    strata: Sequence[Stratum],
    crs: str | None = UTM,
    side: float = 10.0,
    clusters: np.ndarray | None = None,
    **facts: Any,
) -> DesignSample:
    """A sample of a map of :func:`write_map` that one interpreter has labelled; ``truth`` holds codes."""
    grid, n = grid_of(codes, crs=crs, side=side), len(cell)
    return DesignSample(
        facts={
            "jido": "0", "made": "2025-01-01T00:00:00+00:00", "map": path.name, "sha256": file_sha256(path),
            "band": 1, "grid": {"crs": crs, "shape": list(codes.shape), "transform": list(grid.affine)[:6]},
            "kind": "simple" if len(strata) == 1 else "stratified", "cells": sum(s.cells for s in strata),
            "allocation": "given", "seed": 0, "within": None, "cluster": None, "plan": None, "notes": [],
        } | facts,
        strata=tuple(strata),
        id=np.arange(1, n + 1),
        cell=cell,
        xy=np.column_stack(grid.affine * (cell[:, 1] + 0.5, cell[:, 0] + 0.5)),
        stratum=stratum,
        cluster=np.full(n, -1) if clusters is None else clusters,
        codes=np.column_stack([truth, np.full(n, -1)]),
        confidence=np.full((n, 2), "", dtype=object),
        note=np.full(n, "", dtype=object),
        scheme=scheme,
        crs=CRS(crs) if crs else None,
    )  # fmt: skip


def by_class(
    path: Path, codes: np.ndarray, truth: np.ndarray, scheme: ClassScheme, *, each: int, **more: Any
) -> DesignSample:
    """So many cells of every class of the map, labelled with the truth."""
    rng, cells, strata = np.random.default_rng(0), [], []
    km2 = (more.get("side", 10.0) / 1000) ** 2
    for cls in scheme.classes:
        there = np.argwhere(codes == cls.code)
        cells.append(there[rng.choice(len(there), each, replace=False)])
        strata.append(Stratum(cls.label, len(there), each, len(there) * km2))
    cell = np.concatenate(cells)
    place = np.repeat(np.arange(len(strata)), each)
    said = truth[cell[:, 0], cell[:, 1]]
    return sample_of(path, codes, scheme, cell=cell, truth=said, stratum=place, strata=strata, **more)


def with_second(sample: DesignSample, codes: np.ndarray, *, sure: Sequence[str] = ("", "")) -> DesignSample:
    """The same sample with a second interpreter; ``sure`` is how sure each of the two always was."""
    confidence = np.empty((len(sample), 2), dtype=object)
    confidence[:] = np.array(sure, dtype=object)
    return replace(sample, codes=np.column_stack([sample.codes[:, 0], codes]), confidence=confidence)
