"""Areas on the ground."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer

from jido.errors import ImageError

LONGEST = 1000.0
"""Metres; longer edges are divided before their area is measured."""


def geodesic_area(polygons: np.ndarray, crs: CRS) -> np.ndarray:
    """Areas of polygons on the ellipsoid of their CRS, m², float64 (n,).

    The edges of a polygon are straight on the map and not on the earth: over 100 km at 50 degrees
    north a geodesic leaves the parallel by 230 m, over 1 km by 2 cm. So long edges are divided; then
    the area is summed on the cylinder of equal areas, for all polygons at once. ``pyproj.Geod``, one
    polygon at a time, gives the same. A polygon may hold a pole, cross the date line, or cover the
    whole earth.

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
        lon, q, q_pole = _on_cylinder(xy, crs, geod)
        east = np.where(np.diff(ring) == 0, np.diff(lon), 0)
        east -= 2 * np.pi * np.rint(east / (2 * np.pi))  # small steps keep all their digits
        to_left = np.bincount(ring[1:], -east * (q[1:] + q[:-1]) / 2, minlength=len(rings))
        around = np.rint(np.bincount(ring[1:], east, minlength=len(rings)) / (2 * np.pi))  # a pole
    inside = np.where(shapely.is_ccw(rings), to_left, -to_left) + 2 * np.pi * q_pole * np.abs(around)
    shell = np.diff(polygon, prepend=-1) > 0
    return geod.a**2 / 2 * np.bincount(polygon, np.where(shell, inside, -inside), minlength=len(polygons))


def _divided(polygons: np.ndarray, longest: float) -> np.ndarray:
    """Polygons without edges longer than that; most are smaller and only need to be looked at."""
    left, bottom, right, top = shapely.bounds(polygons).T
    large = (right - left > longest) | (top - bottom > longest)
    divided = polygons.copy()
    divided[large] = shapely.segmentize(polygons[large], longest)
    return divided


def _on_cylinder(xy: np.ndarray, crs: CRS, geod: Geod) -> tuple[np.ndarray, np.ndarray, float]:
    """Longitude in radians, Snyder's q, and q of the pole: the area east of a meridian is a²/2 ∫ q dlon."""
    # without a datum nothing is shifted, and degrees are degrees also where the CRS counts in grads
    degrees = CRS.from_dict({"proj": "longlat", "a": geod.a, "b": geod.b})
    lon, lat = Transformer.from_crs(crs, degrees, always_xy=True).transform(*xy.T)
    e = max(np.sqrt(geod.es), 1e-9)  # a sphere is no case of its own

    def q(sine: np.ndarray | float) -> np.ndarray:
        return (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)

    return np.radians(lon), q(np.sin(np.radians(lat))), float(q(1.0))
