"""What tests of flooded cells share: a plane of 100 m pixels, squares on it, what held-out events say."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.geo import Band, Raster
from jido.indicators.cells import Cells
from jido.stats.event_shares import LEVELS, EventShares

LAEA = CRS("EPSG:3035")
X, Y = 4_321_000, 3_210_000
NAN = np.nan


def raster(plane):
    """Pixels of 100 m from (X, Y) down, on an equal-area map."""
    plane = np.asarray(plane, dtype=np.float32)
    place = Affine(100, 0, X, 0, -100, Y)
    return Raster(plane[None], (Band("target"),), GeoBox(plane.shape, place, LAEA))


def squares(count, *, side=200):
    """A row of squares from the upper left corner; 200 m are 2 x 2 pixels, 4 ha."""
    boxes = [shapely.box(X + i * side, Y - side, X + (i + 1) * side, Y) for i in range(count)]
    return Cells(np.array(boxes), np.array([f"c{i}" for i in range(count)], dtype=object), LAEA, "squares")


def shares_of(**change):
    """Held-out events: t = .1 (1 - p) + .8 p; only the event errs, beta by .2; no stretch."""
    facts = {
        "mean": (0.1, 0.8, 0.0),
        "between": ((0.0, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.0)),
        "within": (0.0,) * 7,
        "stretch": {str(level): (1.0, 1.0, 1.0, 1.0) for level in LEVELS},
        "clump": 1.0,
        "pixels": 4.0,
        "events": 4,
        "cells": 400,
    }
    return EventShares(**(facts | change))
