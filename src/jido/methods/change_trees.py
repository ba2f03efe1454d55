"""Trees on pixels of two dates: with their surroundings, or on one index that tells water.

``boosting``: values before, after and their difference, mean and spread of both dates over three squares,
and boosted trees (Friedman 2001, doi 10.1214/aos/1013203451; scikit-learn's histogram form): quick to learn,
hard to beat with few pairs. ``index``: a tree of two questions on MNDWI, NDWI or backscatter before, after
and changed: the cheap rival, a threshold that is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from jido.data.tiles import Tiles
from jido.errors import ImageError, ModelError
from jido.geo import INDICES, Band, neighbourhood_mean_sd
from jido.geo.radiometry import Radiometry
from jido.io import ESTIMATOR, Package, Sample, load_estimator, package_id, write_estimator
from jido.labels import ClassScheme, Labels
from jido.methods.change_config import ChangeConfig
from jido.stats.calibrators import UNCALIBRATED

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.tree import DecisionTreeClassifier

LEAST_IN_LEAF = 200
"""Pixels of a leaf: neighbours are alike, so fewer would be one field."""

SMOOTHED = 2
"""Radius in pixels of the square over which backscatter is averaged: speckle is no change."""


def change_features(image: np.ndarray, bands: Sequence[Band], config: ChangeConfig) -> np.ndarray:
    """Features (F, H, W) float32 of an image (2 B, H, W), those before, then those after; NaN = no data.

    ``boosting``: the bands of each date, after less before, then mean and standard deviation of each band
    over the squares of ``2 radius + 1`` pixels. ``index``: :func:`water_signal` of each date, after less
    before. With ``dates`` of ``after`` only those of the second date.

    Raises:
        ImageError: for ``index``, when no band tells water.
    """
    before, after = np.split(image, 2)
    planes = [after] if config.dates == "after" else [before, after]
    if config.method == "index":
        planes = [water_signal(plane, bands[len(before) :])[None] for plane in planes]
    found = [*planes, *([planes[1] - planes[0]] if len(planes) == 2 else [])]
    for radius in config.radii if config.method == "boosting" else ():
        around = [neighbourhood_mean_sd(band, radius) for plane in planes for band in plane]
        found += [np.stack([mean for mean, _ in around]), np.stack([sd for _, sd in around])]
    return np.concatenate(found).astype(np.float32, copy=False)


def water_signal(image: np.ndarray, bands: Sequence[Band]) -> np.ndarray:
    """What tells water at one date, (H, W), higher for water: MNDWI, NDWI, or -VV in decibels, averaged.

    Args:
        image: (B, H, W).
        bands: of that date.

    Raises:
        ImageError: when there is neither.
    """
    place = {band.common_name: i for i, band in enumerate(bands) if band.common_name}
    for name in ("mndwi", "ndwi"):
        index = INDICES[name]
        if all(band in place for band in index.bands):
            return index.function(*(image[place[band]] for band in index.bands))
    radar = [i for i, band in enumerate(bands) if band.name.partition("@")[0].upper() == "VV"]
    if radar:
        power, _ = neighbourhood_mean_sd(np.power(10, image[radar[0]] / 10), SMOOTHED)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(power > 0, -10 * np.log10(power), np.nan)
    raise ImageError(
        f"An index of water needs green and infrared, or VV, but the bands are "
        f"{', '.join(band.name.partition('@')[0] for band in bands)}: take --method boosting."
    )


def fit_trees(
    tiles: Tiles, train: np.ndarray, config: ChangeConfig
) -> HistGradientBoostingClassifier | DecisionTreeClassifier:
    """Trees from some pixels of the tiles at the places ``train``, as many of each tile.

    Raises:
        ModelError: when the pixels are all target, or none is.
        ImageError: for an index, when images have 8-bit numbers, which are stretched for a screen and no
            reflectance, or no band tells water.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.tree import DecisionTreeClassifier

    if config.method == "index" and tiles.images.dtype == np.uint8:
        raise ImageError(
            "The images have 8-bit numbers, stretched for a screen: an index needs reflectance or decibels, "
            "so take --method boosting, or the original images."
        )
    features, y = _drawn(tiles, train, config)
    if y.all() or not y.any():
        raise ModelError("The pixels to learn from are all of one kind: give pairs with target and without.")
    least = min(LEAST_IN_LEAF, len(y) // 20 + 1)
    if config.method == "index":
        tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=least, random_state=config.seed)
        return tree.fit(np.nan_to_num(features, nan=MISSING), y)
    trees = HistGradientBoostingClassifier(
        max_iter=config.trees,
        learning_rate=0.08,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=least,
        l2_regularization=1.0,
        random_state=config.seed,
    )
    return trees.fit(features, y)


MISSING = -9.0
"""An index where there is no data: lower than any, which is dry."""


def _drawn(tiles: Tiles, train: np.ndarray, config: ChangeConfig) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, F) and truth (n,) of pixels with data, as many of each tile."""
    rng = np.random.default_rng(config.seed)
    each = -(-config.pixels // len(train))
    features, truth = [], []
    for place in train:
        [image], [mask] = tiles.pixels(place[None]), tiles.mask(place[None])
        known = np.flatnonzero(np.isfinite(image).any(axis=0))
        drawn = rng.choice(known, min(each, len(known)), replace=False)
        planes = change_features(image, tiles.bands, config)
        features.append(planes.reshape(len(planes), -1)[:, drawn].T)
        truth.append(mask.ravel()[drawn])
    return np.concatenate(features), np.concatenate(truth)


def moved(score: np.ndarray, threshold: float) -> np.ndarray:
    """Scores 0..1 with their odds divided by those of the threshold, which so becomes .5."""
    up, down = score * (1 - threshold), (1 - score) * threshold
    return up / (up + down)


def two_planes(score: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities (2, H, W) float32 of background and target; the threshold becomes .5."""
    target = moved(score, threshold).astype(np.float32)
    return np.stack([1 - target, target])


@dataclass(frozen=True, eq=False)
class ChangeTrees:
    """Trained trees with all that a map needs to know about them.

    Args:
        trees: the scikit-learn classifier.
        config: its settings.
        bands: of both dates, ``NAME@1`` before and ``NAME@2`` after.
        scheme: background and target.
        pixel_m: height and width in metres of the training pixels; ``None`` where they had no place on Earth.
        threshold: probability from which a pixel is target; becomes .5.
        evaluation: figures on events that were held out.
        abstain_below: confidence under which the map says "unsure".
        labels: polygons that it has learned from, ``None`` for masks.
        package: name and hashes of the package it was loaded from.
        radiometry: what the numbers of the training images mean; ``None`` where nobody knows.
    """

    trees: HistGradientBoostingClassifier | DecisionTreeClassifier
    config: ChangeConfig
    bands: tuple[Band, ...]
    scheme: ClassScheme
    pixel_m: tuple[float, float] | None
    threshold: float = 0.5
    evaluation: dict[str, Any] = field(default_factory=dict)
    abstain_below: float = 0.0
    labels: Labels | None = None
    package: dict[str, str] | None = None
    radiometry: Radiometry | None = None

    sensors = ()
    stride, overlap, batch = 1, 0, 1
    calibration = UNCALIBRATED  # intervals of cells set right what the threshold has moved

    @property
    def halo(self) -> int:
        """Pixels around a pixel that have a say in its class."""
        return SMOOTHED if self.config.method == "index" else max(self.config.radii, default=0)

    @property
    def tile(self) -> int:
        """Side in pixels of what is read for a tile, halo included."""
        return 256 + 2 * self.halo

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities (B, 2, H - 2 halo, W - 2 halo) float32 of images (B, C, H, W); NaN without data."""
        return np.stack([self._predict_one(image) for image in batch])

    def _predict_one(self, image: np.ndarray) -> np.ndarray:
        rim = self.halo
        score = self.scores(image)[rim : image.shape[1] - rim, rim : image.shape[2] - rim]
        return two_planes(score, self.threshold)

    def scores(self, image: np.ndarray) -> np.ndarray:
        """Probability (H, W) float32 of the target at each pixel of (C, H, W), as the trees say it."""
        seen = np.isfinite(image).any(axis=0)
        planes = change_features(image, self.bands, self.config)
        if self.config.method == "index":
            planes = np.nan_to_num(planes, nan=MISSING)
        found = np.full(seen.shape, np.nan, dtype=np.float32)
        if seen.any():
            found[seen] = self.trees.predict_proba(planes[:, seen].T)[:, 1]
        return found

    def save(self, folder: str | Path) -> None:
        """Write a model package: trees as skops (no pickle), config, figures, card."""
        Package(
            method="change",
            config=self.config.model_dump(mode="json"),
            bands=self.bands,
            scheme=self.scheme,
            pixel_m=self.pixel_m,
            labels=self.labels,
            evaluation=self.evaluation,
            extra={"threshold": self.threshold, "abstain_below": self.abstain_below},
            radiometry=self.radiometry,
        ).save(
            folder,
            weights=ESTIMATOR,
            write=lambda path: write_estimator(self.trees, path),
            sample=self._sample(),
        )

    def _sample(self) -> Sample:
        """Noise between the bounds of the bands, and what the trees say of it."""
        low, high = np.array([band.valid_range or (0, 255) for band in self.bands]).T[..., None, None]
        side = 2 * self.halo + 8
        noise = np.random.default_rng(0).uniform(low, high, (len(self.bands), side, side))
        image = noise[None].astype(np.float32)
        return Sample(image, self.predict(image), tolerance=0.05)

    @classmethod
    def load(cls, folder: str | Path) -> ChangeTrees:
        """Read a model package written by :meth:`save`; runs no code from it.

        Raises:
            ModelError: when it is damaged or of another method.
        """
        package = Package.load(folder)
        if package.method != "change":
            raise ModelError(f"{folder} holds a model of method {package.method!r}, not 'change'.")
        try:
            return cls(
                trees=load_estimator(folder),
                config=ChangeConfig(**package.config),
                bands=package.bands,
                scheme=package.scheme,
                pixel_m=package.pixel_m,
                threshold=float(package.extra["threshold"]),
                evaluation=package.evaluation,
                abstain_below=float(package.extra["abstain_below"]),
                labels=package.labels,
                package=package_id(folder),
                radiometry=package.radiometry,
            )
        except (ValidationError, KeyError, TypeError, ValueError) as err:
            raise ModelError(f"{folder} holds settings that cannot be used: train the model again.") from err
