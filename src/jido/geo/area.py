"""Areas on the ground."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer

from jido.errors import ImageError

LONGEST = 1000.0
"""Metres; longer edges are divided before their area is measured."""

TURN = 2 * np.pi


def geodesic_area(polygons: np.ndarray, crs: CRS) -> np.ndarray:
    """Areas of polygons on the ellipsoid of their CRS, m², float64 (n,).

    The edges of a polygon are straight on the map and neither geodesics nor parallels on the earth:
    over 100 km at 50 degrees north these two lie 230 m apart, over 1 km 2 cm. So long edges are
    divided, and each piece counts as the parabola through its ends and its middle on the cylinder of
    equal areas. ``pyproj.Geod`` with finely divided edges gives the same, one polygon at a time. A
    polygon may hold a pole, cross the date line, or cover the whole earth.

    Args:
        polygons: (n,), x before y.
        crs: theirs.

    Returns:
        The areas; NaN for a polygon that lies off the earth, as the corners of some world maps do.

    Raises:
        ImageError: when the CRS has no ellipsoid.

    Source: Snyder 1987, doi 10.3133/pp1395, eq. 3-12 (authalic latitude) and 10-14, 10-15 (cylinder).
    """
    geod = crs.get_geod()
    if geod is None:
        raise ImageError(
            f"The CRS {crs.name!r} does not lie on the earth, so nothing has an area: give another."
        )
    unit = crs.axis_info[0].unit_conversion_factor * (geod.a if crs.is_geographic else 1)
    rings, polygon = shapely.get_rings(_divided(polygons, LONGEST / unit), return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    with np.errstate(invalid="ignore"):  # off the earth coordinates are infinite
        east, below = _strips(xy, crs, geod)
        one_ring = np.diff(ring) == 0
        to_left = -np.bincount(ring[1:], np.where(one_ring, below, 0), minlength=len(rings))
        turns = np.rint(np.bincount(ring[1:], np.where(one_ring, east, 0), minlength=len(rings)) / TURN)
        # a ring around a pole is open on the cylinder, whose rim closes it
        inside = np.where(shapely.is_ccw(rings), to_left, -to_left) + np.abs(turns) * TURN * _q(1.0, geod)
    shell = np.diff(polygon, prepend=-1) > 0
    return geod.a**2 / 2 * np.bincount(polygon, np.where(shell, inside, -inside), minlength=len(polygons))


def _divided(polygons: np.ndarray, longest: float) -> np.ndarray:
    """Polygons without edges longer than that; most are smaller and only need to be looked at."""
    left, bottom, right, top = shapely.bounds(polygons).T
    large = (right - left > longest) | (top - bottom > longest)
    divided = polygons.copy()
    divided[large] = shapely.segmentize(polygons[large], longest)
    return divided


@functools.lru_cache(maxsize=8)
def _to_degrees(crs: CRS, a: float, b: float) -> Transformer:
    """Longitude and latitude on the ellipsoid of a CRS; takes as long to make as thousands of points."""
    # without a datum nothing is shifted, and degrees are degrees also where the CRS counts in grads
    degrees = CRS.from_dict({"proj": "longlat", "a": a, "b": b})
    return Transformer.from_crs(crs, degrees, always_xy=True)


def _strips(xy: np.ndarray, crs: CRS, geod: Geod) -> tuple[np.ndarray, np.ndarray]:
    """From each point to the next: the way east in radians, and ∫ q dlon (a²/2 of it lies below)."""
    transform = _to_degrees(crs, geod.a, geod.b).transform
    lon, lat = np.radians(transform(*xy.T))
    middle_lon, middle_lat = np.radians(transform(*(xy[1:] + xy[:-1]).T / 2))
    east, half = _wrapped(np.diff(lon)), _wrapped(middle_lon - lon[:-1])
    q, middle = _q(np.sin(lat), geod), _q(np.sin(middle_lat), geod)
    chord = east * (q[1:] + q[:-1]) / 2
    return east, chord + 2 / 3 * (east * (middle - q[:-1]) - half * np.diff(q))


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """The angle between half a turn west and half a turn east; a small one keeps all its digits."""
    return angle - TURN * np.rint(angle / TURN)


def _q(sine: np.ndarray | float, geod: Geod) -> Any:
    """Snyder's q of a latitude: what lies between the equator and it, on the ellipsoid of axis 1."""
    e = max(np.sqrt(geod.es), 1e-9)  # a sphere is no case of its own
    return (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
