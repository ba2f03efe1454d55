"""Models and scenes whose right answer is known, for the tests of the map engine."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.geo import Band, Raster, block_mean_sd, neighbourhood_mean_sd
from jido.io import write_image
from jido.labels import ClassScheme, Labels, LandClass
from jido.stats import figure, per_class
from jido.stats.calibrators import UNCALIBRATED, Calibration

UTM = CRS("EPSG:32649")
NAN = np.nan


def scheme_of(k):
    """``k`` classes with the codes 11, 12, ...: a code is never the place of its class."""
    return ClassScheme(
        "cover", tuple(LandClass(11 + i, f"c{i}", f"class {i}", f"#0000{i:02X}") for i in range(k))
    )


def evaluation_of(scheme):
    """The figures a report asks for; here nobody judged anything."""
    cm = np.zeros((len(scheme.classes),) * 2, int)
    return {
        "metrics": {"oa": figure(0.5)},
        "folds": {"kind": "none", "k": 2, "leaks": False, "buffer_m": 0.0},
        "confusion": cm.tolist(),
        "classes": list(scheme.labels),
        "per_class": per_class(cm[None], scheme),
        "polygons": [],
        "cells": 0,
        "groups": 0,
        "unsure": {"below": 0.5, "share": 0.0, "aimed_error": 0.1},
    }


@dataclass(frozen=True, eq=False)
class Echo:
    """Gives back the place that the scene itself holds: one-hot, ``certainty`` on the class."""

    scheme: ClassScheme = field(default_factory=lambda: scheme_of(5))
    stride: int = 1
    halo: int = 0
    bands: tuple = (Band("place"),)
    pixel_m: tuple = (10.0, 10.0)
    abstain_below: float = 0.0
    certainty: float = 1.0
    tile: int = 256
    overlap: int = 0
    sensors: tuple[frozenset[str], ...] = ()
    batch: int = 1
    package: dict | None = None
    radiometry: None = None
    calibration: Calibration = UNCALIBRATED

    @property
    def labels(self):
        square = np.array([shapely.box(500_000, 1_999_900, 500_100, 2_000_000)])
        return Labels(square, np.array([self.scheme.codes[0]]), np.array(["g"]), UTM, self.scheme)

    @property
    def evaluation(self):
        return evaluation_of(self.scheme)

    def predict(self, batch):
        k, rim = len(self.scheme.classes), slice(self.halo, batch.shape[-1] - self.halo)
        mean, _ = block_mean_sd(batch[:, 0, rim, rim], self.stride)
        place = np.rint(np.nan_to_num(mean)).astype(int)
        rest = (1 - self.certainty) / (k - 1)
        one_hot = np.eye(k, dtype=np.float32)[place]
        return np.moveaxis(one_hot * (self.certainty - rest) + rest, -1, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Around(Echo):
    """Probabilities that hang on every pixel within the halo, to the bit."""

    def predict(self, batch):
        means, spreads = block_mean_sd(batch[:, 0], self.stride)
        rim = self.halo // self.stride
        rim = slice(rim, means.shape[-1] - rim)
        out = []
        for mean, spread in zip(means, spreads, strict=True):
            near, wide = neighbourhood_mean_sd(mean, self.halo // self.stride)
            a = np.nan_to_num(near) / 5
            b = np.nan_to_num(wide + spread) / 50
            out.append([plane[rim, rim] for plane in (a, b, 1 - a - b, 0 * a, 0 * a)])
        return np.array(out, dtype=np.float32)


def grid(height, width, size=10.0, crs=UTM):
    return GeoBox((height, width), Affine(size, 0, 500_000, 0, -size, 2_000_000), crs)


def raster_of(place):
    return Raster(np.asarray(place, np.float32)[None], (Band("place"),), grid(*np.shape(place)))


def places(seed, shape, k=5, gaps=0.0):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, k, shape).astype(np.float32)
    place[rng.random(shape) < gaps] = NAN
    return place


def enlarged(cells, stride, rest=(0, 0)):
    """Every cell as stride x stride pixels, and a rest of pixels that make no cell."""
    return np.pad(np.kron(cells, np.ones((stride, stride))), ((0, rest[0]), (0, rest[1])), constant_values=4)


def save(tmp_path, place, name="scene.tif"):
    write_image(raster_of(place), tmp_path / name)
    return tmp_path / name


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
