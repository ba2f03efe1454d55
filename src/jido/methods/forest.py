"""The WUDAPT way, the honest baseline: pixel features, a forest, folds by polygon.

Bands, spectral indices, and mean and spread of both over a neighbourhood go into a forest of
extremely randomised trees (Geurts et al. 2006, doi 10.1007/s10994-006-6226-1: a random forest
whose thresholds are drawn, which carried over to new polygons better and fits faster). The forest
of the map learns from all labels; its accuracy is judged on folds that keep every polygon whole.
Source of the way: the LCZ Generator, Demuzere et al. 2021, doi 10.3389/fenvs.2021.637455.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from jido.errors import LabelsError, ModelError
from jido.geo import Band, block_sum, cell_grid, cell_stride, pixel_size_m
from jido.geo.radiometry import Radiometry
from jido.io import (
    ESTIMATOR,
    Package,
    Progress,
    Sample,
    Scene,
    describe_scene,
    load_estimator,
    package_id,
    write_estimator,
)
from jido.labels import (
    ClassScheme,
    Folds,
    Labels,
    cap_per_group,
    group_kfold,
    random_pixels_leaking,
    require_trainable,
)
from jido.methods.cells import CellConfig, Samples, cell_features, sample_cells, touching_groups
from jido.methods.judging import ACCEPTED_ERROR, evaluate, label_facts, polygon_agreement
from jido.methods.settings import read_settings
from jido.stats.calibrators import UNCALIBRATED, Calibration

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier


class ForestConfig(CellConfig):
    """Settings of the forest.

    ``jido lcz train IMAGE... --labels LABELS --method forest``; see ``experiments/RESULTS.md`` for
    the figures it reaches and the hardware.
    """

    trees: int = Field(300, ge=1)
    min_samples_leaf: int = Field(2, ge=1)
    max_features: Literal["sqrt", "log2"] | Annotated[float, Field(gt=0, le=1)] = Field(
        "sqrt", description="features tried at a node: a rule, or a share of all"
    )
    max_pixels_per_polygon: int = Field(100, ge=1, description="training pixels drawn from one polygon")
    seed: int = Field(0, ge=0)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"trees": 30},
    "cpu": {},
    "full": {"trees": 1000},
}


def load_config(path: str | Path | None = None, *, preset: str = "cpu", seed: int = 0) -> ForestConfig:
    """Settings of a preset, overruled by those of a TOML file (where ``seed`` may stand too).

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(ForestConfig, path, PRESETS[preset], seed=seed)


def fit_forest(samples: Samples, keep: np.ndarray, config: ForestConfig) -> ExtraTreesClassifier:
    """A forest from the samples at the places ``keep``, each polygon capped. Seeded."""
    from sklearn.ensemble import ExtraTreesClassifier

    capped = keep[cap_per_group(samples.item[keep], cap=config.max_pixels_per_polygon, seed=config.seed)]
    forest = ExtraTreesClassifier(
        n_estimators=config.trees,
        min_samples_leaf=config.min_samples_leaf,
        max_features=config.max_features,
        random_state=config.seed,
        n_jobs=-1,
    )
    forest.fit(samples.features[capped], samples.y[capped])
    return forest.set_params(n_jobs=1)  # repeatable prediction: sums in one order


def probabilities(forest: ExtraTreesClassifier, features: np.ndarray, k: int) -> np.ndarray:
    """Class probabilities (n, K) float32 over the whole scheme; classes never seen have 0."""
    full = np.zeros((len(features), k), dtype=np.float32)
    full[:, forest.classes_] = forest.predict_proba(features)
    return full


def held_out(
    samples: Samples, folds: Folds, config: ForestConfig, k: int, *, progress: Progress | None = None
) -> np.ndarray:
    """Probabilities (n, K) of every sample from a forest that has not seen its fold."""
    out = np.zeros((len(samples.y), k), dtype=np.float32)
    for i, (train, test) in enumerate(folds, start=1):
        out[test] = probabilities(fit_forest(samples, train, config), samples.features[test], k)
        if progress:
            progress("judging on folds", i, folds.k)
    return out


@dataclass(frozen=True, eq=False)
class ForestModel:
    """A trained forest with all that a map needs to know about it.

    Args:
        forest: the scikit-learn forest.
        config: its settings.
        bands: the bands it reads, in order.
        scheme: its classes, the order of the probability planes.
        pixel_m: height and width in metres of the pixels it was trained on.
        labels: the training labels, so that nobody scores the map on them unawares.
        evaluation: figures on held-out polygons, as in ``metrics.json``.
        abstain_below: confidence under which the map says "unsure".
        package: name and hashes of the package it was loaded from.
        radiometry: what the numbers of the training images mean; ``None`` in old packages.
        calibration: what maps do to its probabilities; nothing in old packages.
    """

    forest: ExtraTreesClassifier
    config: ForestConfig
    bands: tuple[Band, ...]
    scheme: ClassScheme
    pixel_m: tuple[float, float]
    labels: Labels
    evaluation: dict[str, Any]
    abstain_below: float
    package: dict[str, str] | None = None
    radiometry: Radiometry | None = None
    calibration: Calibration = UNCALIBRATED

    @property
    def stride(self) -> int:
        """Pixels per cell."""
        return cell_stride(self.pixel_m, self.config.cell)

    @property
    def halo(self) -> int:
        """Pixels around a cell that have a say in its class."""
        return max(self.config.radii, default=0) * self.stride

    @property
    def tile(self) -> int:
        """Pixels along a tile: 128 cells, but not more than 256 pixels, and the halo."""
        return min(max(256 // self.stride, 1), 128) * self.stride + 2 * self.halo

    sensors = ()  # a forest needs them all
    overlap = 0  # a cell has one answer, wherever the tile begins
    batch = 1

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities (B, K, (H - 2 halo) / stride, (W - 2 halo) / stride) float32 of images (B, C, H, W).

        NaN in ``batch`` is missing data, handled band by band; a cell is judged with the
        neighbours that have data, and one without any data has NaN. Repeatable to the bit.
        """
        return np.stack([self._predict_one(image) for image in batch])

    def _predict_one(self, image: np.ndarray) -> np.ndarray:
        rim = self.halo // self.stride
        features = cell_features(image, self.bands, self.config, self.stride)
        features = features[:, rim : features.shape[1] - rim, rim : features.shape[2] - rim]
        core = image[:, self.halo : image.shape[1] - self.halo, self.halo : image.shape[2] - self.halo]
        seen = block_sum(np.isfinite(core).any(axis=0), self.stride) > 0
        found = np.full((len(self.scheme.classes), *seen.shape), np.nan, dtype=np.float32)
        if seen.any():
            found[:, seen] = probabilities(self.forest, features[:, seen].T, len(found)).T
        return found

    def save(self, folder: str | Path) -> None:
        """Write a model package: forest as skops (no pickle), config, labels, figures, card."""
        Package(
            method="forest",
            config=self.config.model_dump(mode="json"),
            bands=self.bands,
            scheme=self.scheme,
            pixel_m=self.pixel_m,
            labels=self.labels,
            evaluation=self.evaluation,
            extra={
                "stride": self.stride,
                "halo": self.halo,
                "abstain_below": self.abstain_below,
                "calibration": self.calibration.to_dict(),
            },
            radiometry=self.radiometry,
        ).save(
            folder,
            weights=ESTIMATOR,
            write=lambda path: write_estimator(self.forest, path),
            sample=self._sample(),
        )

    def _sample(self) -> Sample:
        """A few cells of random, plausible values, and what the forest says of them."""
        side = 4 + 2 * self.halo // self.stride
        low, high = np.array([band.valid_range or (0, 1) for band in self.bands]).T[..., None, None]
        cells = np.random.default_rng(0).uniform(low, high, (len(self.bands), side, side))
        image = cells.repeat(self.stride, 1).repeat(self.stride, 2)[None].astype(np.float32)
        # on another machine a value beside a threshold may fall to its other side, in a tree or two
        return Sample(image, self.predict(image), tolerance=0.01)

    @classmethod
    def load(cls, folder: str | Path) -> ForestModel:
        """Read a model package written by :meth:`save`; runs no code from it."""
        package = Package.load(folder)
        if package.method != "forest":
            raise ModelError(f"{folder} holds a model of method {package.method!r}, not 'forest'.")
        try:
            config, abstain_below = ForestConfig(**package.config), float(package.extra["abstain_below"])
        except (ValidationError, KeyError, TypeError, ValueError) as err:
            raise ModelError(f"{folder} holds settings that cannot be used: train the model again.") from err
        if package.labels is None or package.pixel_m is None:
            raise ModelError(f"{folder} lacks training labels or the size of pixels: train it again.")
        return cls(
            forest=load_estimator(folder).set_params(n_jobs=1),
            config=config,
            bands=package.bands,
            scheme=package.scheme,
            pixel_m=package.pixel_m,
            labels=package.labels,
            evaluation=package.evaluation,
            abstain_below=abstain_below,
            package=package_id(folder),
            radiometry=package.radiometry,
            calibration=Calibration.from_dict(package.extra.get("calibration")),
        )


def train_forest(
    scene: Scene,
    labels: Labels,
    *,
    config: ForestConfig | None = None,
    folds: int = 5,
    leaky_too: bool = False,
    error: float = ACCEPTED_ERROR,
    progress: Progress | None = None,
) -> ForestModel:
    """Judge a forest on folds by polygon, then fit the one for the map on all labels.

    Args:
        scene: the images.
        labels: polygons or points with classes and groups.
        config: settings; the default ones without it.
        folds: number of folds, each polygon in one of them.
        leaky_too: also give the figure of a random pixel split, marked as leaking.
        error: share of wrong cells accepted among those of which maps are sure.
        progress: told how far it is.

    Raises:
        LabelsError: with one class only, or no label inside the image, or those of one class only.
        FoldsError: with fewer polygons than folds.
    """
    config = config or ForestConfig()
    start = time.perf_counter()
    pixel_m = pixel_size_m(scene.geobox)
    require_trainable(labels)
    samples = sample_cells(scene, labels, config, progress=progress)
    if len(np.unique(samples.y)) < 2:
        raise LabelsError(
            f"Inside the image all labels are of class {labels.scheme.labels[samples.y[0]]}: "
            "add labels of another class there."
        )
    k = len(labels.scheme.classes)
    drawn = len(np.unique(samples.group))
    samples = replace(samples, group=touching_groups(samples, cell_grid(scene.geobox, config.cell)))
    split = group_kfold(samples.group, samples.y, k=folds, seed=config.seed)
    held = held_out(samples, split, config, k, progress=progress)
    evaluation = evaluate(samples, held, split, labels.scheme, error=error)
    evaluation["polygons"] = polygon_agreement(samples, held, split, labels)
    evaluation["images"] = [path.name for path in scene.paths]
    evaluation["labels"] = label_facts(samples, labels, drawn)
    if leaky_too:
        pixels = random_pixels_leaking(len(samples.y), k=folds, seed=config.seed)
        leaky = evaluate(
            samples, held_out(samples, pixels, config, k, progress=progress), pixels, labels.scheme
        )
        evaluation["leaky"] = {key: leaky[key] for key in ("metrics", "folds")}
    forest = fit_forest(samples, np.arange(len(samples.y)), config)
    evaluation["seconds"] = round(time.perf_counter() - start, 2)
    return ForestModel(
        forest=forest,
        config=config,
        bands=scene.bands,
        scheme=labels.scheme,
        pixel_m=pixel_m,
        labels=labels,
        evaluation=evaluation,
        abstain_below=evaluation["unsure"]["below"],
        radiometry=describe_scene(scene),
        calibration=Calibration.from_dict(evaluation["calibration"]["fitted"]),
    )
