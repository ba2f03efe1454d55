"""Where images lie on Earth: from a table or their files; how far apart they are; squares of land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError
from scipy.spatial import cKDTree

from jido.data.chips import Chips
from jido.errors import LabelsError
from jido.geo import pixel_size_m
from jido.io.decode import Ground
from jido.io.tables import column_names, image_cells, split_place

EARTH_M = 6_371_008.8
"""Mean radius of the Earth (IUGG); distances on this sphere are right to 0.6 %."""

LATITUDE, LONGITUDE = ("lat", "latitude", "y"), ("lon", "lng", "long", "longitude", "x")
"""What columns of coordinates may be called, the plainest last."""

SIDES_M = tuple(digit * 10.0**power for power in range(6, 0, -1) for digit in (5, 2, 1))
"""Sides of squares that are tried, from the largest."""

FEWEST = 60
"""Squares with images that there are at least, where that can be."""

TILES = 4
"""Sides of an image that a square has at least."""


def with_places(chips: Chips, table: str | Path | None = None, *, split: str | None = None) -> Chips:
    """Images with their places on Earth, where a table tells them.

    Args:
        chips: images; what their files tell of their places is kept where no table is given.
        table: as for :func:`lonlat_column`; it counts more than the files.
        split: ``FILE:COLUMN`` of a table that is looked into for want of another; columns called x and
            y may be of anything there, and images may be missing.

    Raises:
        LabelsError: as :func:`lonlat_column`.
    """
    names = chips.name.tolist()
    if table is not None:
        return replace(chips, lonlat=lonlat_column(table, names))
    if split is None or chips.lonlat is not None:
        return chips
    path, _ = split_place(split)
    here = {name.lower() for name in column_names(path)}
    if not all(here & set(words[:-1]) for words in (LONGITUDE, LATITUDE)):
        return chips
    lonlat = lonlat_column(path, names, complete=False)
    return replace(chips, lonlat=lonlat) if np.isfinite(lonlat).any() else chips


def lonlat_column(path: str | Path, names: Sequence[str], *, complete: bool = True) -> np.ndarray:
    """Longitude and latitude (N, 2) in degrees of images, from the columns of a table.

    Args:
        path: a table with a column of :data:`LATITUDE` and one of :data:`LONGITUDE`, in degrees of
            WGS 84; ``.csv.gz`` too.
        names: of the images.
        complete: the table must tell the place of every image; else NaN where it does not.

    Raises:
        LabelsError: when the table cannot be read, or lacks a column, an image or its coordinates.
    """
    cells = image_cells(path, (LONGITUDE, LATITUDE), names, complete=complete)
    found = np.array([[_number(text) for text in column] for column in cells]).T.reshape(-1, 2)
    said = np.array([bool(lon or lat) for lon, lat in zip(*cells, strict=True)], dtype=bool)
    wrong = said & ~(np.abs(found) <= (180, 90)).all(axis=1)  # not a number is wrong too
    if wrong.any():
        i = int(np.argmax(wrong))
        raise LabelsError(
            f"{path} says that {names[i]} lies at longitude {cells[0][i]} and latitude {cells[1][i]}: give "
            "degrees (WGS 84)."
        )
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def centres(grounds: Sequence[Ground | None], shape: tuple[int, int]) -> np.ndarray | None:
    """Longitude and latitude (N, 2) of the middles of images, NaN where unknown.

    Args:
        grounds: where each of them lies.
        shape: height and width in pixels.
    """
    middle = (shape[1] / 2, shape[0] / 2)
    xy = np.array([(np.nan, np.nan) if one is None else one.affine * middle for one in grounds])
    crs = np.array(["" if one is None else one.crs for one in grounds], dtype=object)
    lonlat = np.full((len(grounds), 2), np.nan)
    for one in set(crs.tolist()) - {""}:
        try:
            moved = Transformer.from_crs(one, "EPSG:4326", always_xy=True).transform(*xy[crs == one].T)
        except (CRSError, ProjError):
            continue  # a CRS that lies nowhere on Earth
        lonlat[crs == one] = np.transpose(moved)
    lonlat[~np.isfinite(lonlat).all(axis=1)] = np.nan
    return lonlat if np.isfinite(lonlat).any() else None


def pixel_sizes(grounds: Sequence[Ground | None], shape: tuple[int, int]) -> list[tuple[float, float] | None]:
    """Height and width of the pixels of each image in metres.

    Images of one CRS and resolution are measured once: in degrees pixels differ with the latitude
    however alike they were made.

    Args:
        grounds: where each of them lies.
        shape: height and width in pixels.
    """
    known: dict[tuple[str, float, float], tuple[float, float] | None] = {}
    sizes: list[tuple[float, float] | None] = []
    for one in grounds:
        if one is None:
            sizes.append(None)
            continue
        key = (
            one.crs,
            round(np.hypot(one.affine.a, one.affine.d), 9),
            round(np.hypot(one.affine.b, one.affine.e), 9),
        )
        if key not in known:
            try:
                known[key] = pixel_size_m(GeoBox(shape, one.affine, one.crs))
            except (CRSError, ProjError, ValueError):
                known[key] = None
        sizes.append(known[key])
    return sizes


# -- distances ---------------------------------------------------------------------------------


def nearest_m(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Metres (n,) from each of some places to the nearest of others; infinite where that is unknown.

    Args:
        here: (n, 2) longitude and latitude in degrees.
        there: (m, 2), the others.
    """
    far = np.full(len(here), np.inf)
    known, others = np.isfinite(here).all(axis=1), there[np.isfinite(there).all(axis=1)]
    if known.any() and len(others):
        chord, _ = cKDTree(_on_sphere(others)).query(_on_sphere(here[known]))
        far[known] = _arc(chord)
    return far


def usual_distance_m(lonlat: np.ndarray) -> float | None:
    """Most frequent distance from one place to the next, the side of images that were cut side by side.

    The half-sample mode: of the sorted distances the half that lies closest together, and of that the
    half, until two are left.

    Args:
        lonlat: (N, 2) in degrees; places that are given twice count once.

    Returns:
        Metres, ``None`` for fewer than two places.

    Source: Bickel and Frühwirth 2006, doi 10.1016/j.csda.2005.07.011.
    """
    places = np.unique(lonlat[np.isfinite(lonlat).all(axis=1)], axis=0)
    if len(places) < 2:
        return None
    xyz = _on_sphere(places)
    chord, _ = cKDTree(xyz).query(xyz, k=2)
    distances = np.sort(_arc(chord[:, 1]))
    while len(distances) > 2:
        half = (len(distances) + 1) // 2
        start = int(np.argmin(distances[half - 1 :] - distances[: len(distances) - half + 1]))
        distances = distances[start : start + half]
    return float(distances.mean())


def _on_sphere(lonlat: np.ndarray) -> np.ndarray:
    """Points (n, 3) on the sphere of radius 1."""
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _arc(chord: np.ndarray) -> np.ndarray:
    return 2 * EARTH_M * np.arcsin(np.minimum(chord / 2, 1))


# -- squares -----------------------------------------------------------------------------------


def squares(lonlat: np.ndarray, side_m: float) -> np.ndarray:
    """Number (N,) of the square of land that each place lies in, from 0; -1 where the place is unknown.

    Squares lie in rows along the equator, each row with the length of its own parallel: they are
    squares of one area at every latitude, and need no projection.

    Args:
        lonlat: (N, 2) in degrees.
        side_m: of a square in metres.
    """
    number = np.full(len(lonlat), -1)
    known = np.isfinite(lonlat).all(axis=1)
    lon, lat = np.radians(lonlat[known]).T
    row = np.floor(EARTH_M * lat / side_m)
    across = EARTH_M * np.cos((row + 0.5) * side_m / EARTH_M)
    corner = np.stack([row, np.floor(across * lon / side_m)], axis=1)
    number[known] = np.unique(corner, axis=0, return_inverse=True)[1].reshape(-1)
    return number


def square_side_m(lonlat: np.ndarray, ground_m: float) -> float:
    """Side of squares: the largest of :data:`SIDES_M` with 60 squares, but 4 images at least.

    Args:
        lonlat: (N, 2) in degrees.
        ground_m: side of an image in metres.
    """
    for side in SIDES_M:
        if side > TILES * ground_m and squares(lonlat, side).max(initial=-1) + 1 >= FEWEST:
            return side
    return TILES * ground_m
