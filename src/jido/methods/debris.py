"""Floating debris from spectra: naive Bayes as published, and logistic regression on the shape of spectra.

Biermann et al. 2020 (doi 10.1038/s41598-020-62298-z) tell plastics from seawater, seaweed, timber and foam by
FDI and NDVI. Scenes differ in light, haze and water more than materials do, so folds keep scenes whole, the
penalty is chosen and probabilities are calibrated on scenes that were held out inside the training part, and
single pixels are imitated by noise on the spectra. Train with ``jido indicator debris --labels TABLE -o
MODEL``; figures: ``experiments/debris.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jido.data.spectra import Spectra
from jido.errors import ModelError
from jido.geo import Band
from jido.geo.indices import mndwi
from jido.geo.radiometry import Radiometry
from jido.io import ESTIMATOR, Package, Progress, Sample, load_estimator, package_id, write_estimator
from jido.labels import ClassScheme, Folds, group_kfold, random_pixels_leaking
from jido.methods.debris_features import (
    Arrays,
    Learner,
    calibrated,
    evidence,
    features,
    fit_calibration,
    fit_naive,
    fit_spectra,
    log_scores,
)
from jido.stats.calibrators import UNCALIBRATED

SCHEME = ClassScheme.from_dict(
    {
        "name": "debris",
        "classes": [
            {"code": 1, "label": "background", "name": "water and other matter", "color": "#9ECAE1"},
            {"code": 2, "label": "debris", "name": "floating debris", "color": "#D7301F"},
        ],
        "weights": None,
        "built": [],
    }
)
"""What a map of debris says."""

DEBRIS = ("marine debris", "debris", "plastic", "plastics", "macroplastics", "litter")
"""What the class may be called when nobody says."""

AS_IT_IS = np.array([1.0, 0.0])
"""Calibration that changes nothing."""

MIXED = "mixed"
"""Platform of spectra of both satellites; FDI then takes S2A's wavelengths, in training alone."""


class DebrisConfig(BaseModel):
    """Settings of a model of floating debris.

    ``jido indicator debris --labels TABLE -o MODEL``; ``experiments/RESULTS.md`` has the figures it reaches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learner: Learner = "spectra"
    strengths: tuple[float, ...] = Field((10.0, 100.0), min_length=1, description="C, tried on inner folds")
    noises: tuple[float, ...] = Field((0.0, 0.001, 0.002), min_length=1, description="reflectance, tried too")
    copies: int = Field(4, ge=0, description="of each spectrum, with noise: pixels are noisier than means")
    brightness: float = Field(0.05, ge=0, description="standard deviation of the logarithm of brightness")
    calibrate: bool = True
    folds: int = Field(11, ge=2)
    inner: int = Field(3, ge=2)
    error: float = Field(0.05, gt=0, lt=1, description="share of wrong answers in a new scene")
    trust: float = Field(0.9, gt=0, lt=1, description="chance that a new scene keeps to it")
    pixel_m: float = Field(10.0, gt=0)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A classifier of materials.

    Args:
        arrays: of :func:`~jido.methods.debris_features.log_scores`.
        calibration: slope and shift of the log odds of debris.
        chosen: strength and noise; nothing was to choose for the naive one.
    """

    arrays: Arrays
    calibration: np.ndarray
    chosen: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Rows:
    """Spectra as a learner takes them: features of the clean ones, and of copies with noise.

    Args:
        clean: (n, F).
        noisy: standard deviation of the noise -> (copies + 1, n, F), the clean ones first.
        material: (n,) place of the class.
        target: place of debris.
        scenes: (n,) what must not be split.
    """

    clean: np.ndarray
    noisy: Mapping[float, np.ndarray]
    material: np.ndarray
    target: int
    scenes: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Bool (n,): debris."""
        return np.asarray(self.material == self.target)


def rows_of(spectra: Spectra, names: tuple[str, ...], target: str, config: DebrisConfig) -> Rows:
    """Features of spectra; the noise is seeded.

    Args:
        spectra: with classes that are all among ``names``.
        names: of the materials, sorted.
        target: the one that is debris.
        config: settings.
    """
    values, n = spectra.values, len(spectra)
    naive = config.learner == "naive"
    noisy = {}
    for noise in (0.0,) if naive else config.noises:
        rng, copies = np.random.default_rng(config.seed), 0 if naive else config.copies
        light = np.exp(rng.normal(0, config.brightness, (copies, n, 1)))
        more = values * light + rng.normal(0, 1, (copies, *values.shape)) * noise
        every = np.concatenate([values[None], more])
        noisy[noise] = features(every, spectra.bands, learner=config.learner, platform="S2A")
    material = np.searchsorted(np.array(names), spectra.classes.astype(str))
    scenes = np.arange(n) if spectra.scenes is None else spectra.scenes
    return Rows(next(iter(noisy.values()))[0], noisy, material, names.index(target), scenes)


def _fit(rows: Rows, train: np.ndarray, learner: Learner, chosen: tuple[float, float]) -> Arrays:
    """One learner on some of the rows; a material that they lack gets no chance."""
    known, place = np.unique(rows.material[train], return_inverse=True)
    if learner == "naive":
        arrays = fit_naive(rows.clean[train], place)
    else:
        strength, noise = chosen
        x = rows.noisy[noise][:, train]
        arrays = fit_spectra(x.reshape(-1, x.shape[-1]), np.tile(place, len(x)), strength=strength)
    lacking = {"variance": 1.0, "mean": 0.0, "weights": 0.0, "log_prior": -np.inf, "bias": -np.inf}
    for name in lacking.keys() & arrays.keys():
        whole = np.full((int(rows.material.max()) + 1, *arrays[name].shape[1:]), lacking[name])
        whole[known] = arrays[name]
        arrays[name] = whole
    return arrays


def fit(rows: Rows, train: np.ndarray, config: DebrisConfig) -> Fitted:
    """A classifier from the rows ``train`` alone: settings and calibration come from inner folds by scene."""
    scenes, truth = rows.scenes[train], rows.truth[train]
    k = min(config.inner, len(np.unique(scenes)))
    naive = config.learner == "naive"
    settings = [(0.0, 0.0)] if naive else list(product(config.strengths, config.noises))
    if k < 2 or (len(settings) == 1 and not config.calibrate):
        return Fitted(_fit(rows, train, config.learner, settings[-1]), AS_IT_IS, settings[-1])
    held = {chosen: np.zeros(len(train)) for chosen in settings}
    for inside, outside in group_kfold(scenes, truth.astype(int), k=k, seed=config.seed):
        for chosen, odds in held.items():
            arrays = _fit(rows, train[inside], config.learner, chosen)
            odds[outside] = evidence(log_scores(arrays, rows.clean[train[outside]]), rows.target)
    losses, calibrations = {}, {}
    for chosen, odds in held.items():
        calibrations[chosen] = fit_calibration(odds, truth) if config.calibrate else AS_IT_IS
        said = calibrated(odds, calibrations[chosen])
        losses[chosen] = float(-np.log(np.where(truth, said, 1 - said)).mean())
    best = min(losses, key=lambda chosen: losses[chosen])
    return Fitted(_fit(rows, train, config.learner, best), calibrations[best], best)


def materials(fitted: Fitted, x: np.ndarray, target: int) -> np.ndarray:
    """Probabilities (..., K) of features (..., F): debris calibrated, the others share the rest."""
    scores = log_scores(fitted.arrays, x)
    odds = evidence(scores, target)
    debris = calibrated(odds, fitted.calibration)
    rest = np.exp(scores) * ((1 - debris) * (1 + np.exp(np.clip(odds, -60, 60))))[..., None]
    rest[..., target] = debris
    return np.asarray(rest / rest.sum(axis=-1, keepdims=True))


def scene_folds(rows: Rows, *, leaks: bool, k: int, seed: int) -> Folds:
    """Folds that keep scenes whole; of spectra without scenes, rows at random, marked as leaking."""
    if leaks:
        return random_pixels_leaking(len(rows.material), k=k, seed=seed)
    k = min(k, len(np.unique(rows.scenes)))
    return replace(group_kfold(rows.scenes, rows.truth.astype(int), k=k, seed=seed), kind="scenes kept whole")


def held_out(
    rows: Rows, folds: Folds, config: DebrisConfig, *, progress: Progress | None = None
) -> np.ndarray:
    """Probabilities of materials (n, K) of every row, from classifiers that have not seen its fold."""
    found = np.zeros((len(rows.material), int(rows.material.max()) + 1))
    for done, (train, test) in enumerate(folds, start=1):
        found[test] = materials(fit(rows, train, config), rows.clean[test], rows.target)
        if progress:
            progress("judging on scenes left out", done, folds.k)
    return found


@dataclass(frozen=True, eq=False)
class DebrisModel:
    """A classifier of floating matter with all that a map needs to know about it.

    Args:
        config: settings.
        fitted: the classifier.
        names: materials, sorted.
        target: the one that is debris.
        bands: what it reads, in order.
        correction: atmospheric correction of the spectra, ``unknown`` where nobody knows.
        platform: satellite of the spectra, ``S2A``, ``S2B`` or :data:`MIXED`.
        evaluation: figures on held-out scenes.
        abstain_below: confidence under which the map says "unsure".
        radiometry: what the numbers of the spectra mean.
        package: name and hashes of the package that it was loaded from.
        image_platform: satellite of the image to be mapped, whose wavelengths FDI takes; empty while no image
            was checked (:func:`~jido.methods.debris_image.model_for`), and FDI takes those of S2A then.
        image_correction: of the image to be mapped.
        skips: no answer for what it takes for cloud or cloud shadow; set where land is left out, too
            (:func:`~jido.indicators.debris.open_sea`).
    """

    config: DebrisConfig
    fitted: Fitted
    names: tuple[str, ...]
    target: str
    bands: tuple[Band, ...]
    correction: str
    platform: str
    evaluation: dict[str, Any]
    abstain_below: float
    radiometry: Radiometry | None
    package: dict[str, str] | None = None
    image_platform: str = ""
    image_correction: str = "unknown"
    skips: bool = False

    scheme = SCHEME
    labels = None
    sensors = ()
    stride = 1
    halo = 0
    tile = 256
    overlap = 0
    batch = 1
    calibration = UNCALIBRATED  # what it says is calibrated

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Height and width of a pixel: how much of it debris fills depends on it."""
        return (self.config.pixel_m, self.config.pixel_m)

    @property
    def not_ready(self) -> str:
        """Why it may not map an image yet; empty once the image was checked and land is left out."""
        if self.image_platform and self.skips:
            return ""
        return (
            "A model of floating debris maps no image before its atmospheric correction and satellite are "
            "checked and land is left out: use jido indicator debris IMAGE --model PKG."
        )

    @property
    def clouds(self) -> list[int]:
        """Places of the materials that hide the water."""
        return [i for i, name in enumerate(self.names) if "cloud" in name.casefold()]

    def materials(self, values: np.ndarray) -> np.ndarray:
        """Probabilities of :attr:`names` (..., K) of spectra (..., C) in the order of the bands."""
        x = features(values, self.bands, learner=self.config.learner, platform=self.image_platform or "S2A")
        return materials(self.fitted, x, self.names.index(self.target))

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities of background and debris (B, 2, H, W) float32 of images (B, C, H, W), NaN = missing.

        A pixel that lacks a band has no answer.
        """
        values = np.moveaxis(batch, 1, -1)
        seen = np.isfinite(values).all(axis=-1)
        found = np.full((*seen.shape, 2), np.nan, dtype=np.float32)
        if seen.any():
            said = self.materials(values[seen])
            debris = said[:, self.names.index(self.target)].astype(np.float32)
            if self.skips and self.clouds:
                debris[np.isin(said.argmax(axis=1), self.clouds)] = np.nan
            found[seen] = np.stack([1 - debris, debris], axis=-1)
        return np.moveaxis(found, -1, 1)

    def save(self, folder: str | Path) -> None:
        """Write a model package: arrays as skops (no pickle), settings, figures, card."""
        arrays = {**self.fitted.arrays, "calibration": self.fitted.calibration}
        Package(
            method="debris",
            config=self.config.model_dump(mode="json"),
            bands=self.bands,
            scheme=SCHEME,
            pixel_m=self.pixel_m,
            labels=None,
            evaluation=self.evaluation,
            extra={
                "materials": list(self.names),
                "target": self.target,
                "atmospheric_correction": self.correction,
                "platform": self.platform,
                "chosen": list(self.fitted.chosen),
                "abstain_below": self.abstain_below,
            },
            radiometry=self.radiometry,
        ).save(
            folder, weights=ESTIMATOR, write=lambda path: write_estimator(arrays, path), sample=self._sample()
        )

    def _sample(self) -> Sample:
        """Random, plausible spectra of the sea, and what the model says of them."""
        image = np.random.default_rng(0).uniform(0.01, 0.1, (1, len(self.bands), 8, 8)).astype(np.float32)
        return Sample(image, self.predict(image), tolerance=1e-3)

    @classmethod
    def load(cls, folder: str | Path) -> DebrisModel:
        """Read a model package written by :meth:`save`; runs no code from it."""
        package = Package.load(folder)
        if package.method != "debris":
            raise ModelError(f"{folder} holds a model of method {package.method!r}, not 'debris'.")
        held, facts = load_estimator(folder), package.extra
        try:
            arrays = {name: np.asarray(part, dtype=np.float64) for name, part in held.items()}
            strength, noise = map(float, facts["chosen"])
            fitted = Fitted(arrays, arrays.pop("calibration"), (strength, noise))
            return cls(
                config=DebrisConfig(**package.config),
                fitted=fitted,
                names=tuple(facts["materials"]),
                target=facts["target"],
                bands=package.bands,
                correction=facts["atmospheric_correction"],
                platform=facts["platform"],
                evaluation=package.evaluation,
                abstain_below=float(facts["abstain_below"]),
                radiometry=package.radiometry,
                package=package_id(folder),
            )
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as err:
            raise ModelError(f"{folder} holds settings that cannot be used: train the model again.") from err


def is_land(green: np.ndarray, swir16: np.ndarray) -> np.ndarray:
    """Where MNDWI is 0 or below: land, some clouds and some ships; nowhere without data.

    Floating mats stay well above: .26 and more in MARIDA. NDWI would not do: all Sargassum and a third of the
    debris there are brighter in NIR than in green.

    Args:
        green: B3, reflectance, any shape.
        swir16: B11.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(mndwi(np.maximum(green, 0), np.maximum(swir16, 0)) <= 0)
