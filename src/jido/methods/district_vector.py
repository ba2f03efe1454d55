"""Statistics of districts from their tiles: a vector of fixed length for any number of tiles, and trees.

READ (Han et al., AAAI 2020): what an encoder says of the tiles of a district is reduced to a few
dimensions by PCA; the district is then described by their mean, their spread, the number of tiles, the
correlation of every two dimensions, and all terms of degree two of these; boosted trees learn the
statistic. The spread is what a plain mean loses: a town with villages around it and a plain of middling
farms can have the same mean. The authors report R2 .96 for the population density of South Korea.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jido.errors import LabelsError, ModelError
from jido.io import ESTIMATOR, file_sha256, json_text, load_estimator, read_config, replacing, write_estimator
from jido.io.package import CARD, CONFIG, FORMAT, METRICS, require_package_place
from jido.labels import Folds, group_kfold
from jido.stats.regression import Resampling
from jido.stats.survey import agreement
from jido.stats.words import text

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingRegressor

METHOD = "district"

FEWEST = 20
"""Districts with a figure: 19 held-out errors at least make a 95 % interval."""

Terms = Literal["means", "statistics", "squares"]


class DistrictConfig(BaseModel):
    """Settings of the vector and of the trees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explained: float = Field(0.9, gt=0, le=1, description="share of the variance of tiles to be kept")
    most_dims: int = Field(5, ge=1, description="dimensions at most, whatever they explain")
    terms: Terms = Field("squares", description="means and count; with spread and correlations; degree 2")
    trees: int = Field(200, ge=1)
    learning_rate: float = Field(0.05, gt=0, le=1)
    depth: int = Field(3, ge=1)
    min_samples_leaf: int = Field(5, ge=1)
    max_features: float = Field(0.3, gt=0, le=1, description="share of the columns tried at a node")
    subsample: float = Field(0.7, gt=0, le=1, description="share of the districts that each tree sees")
    folds: int = Field(5, ge=2)
    level: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    seed: int = Field(0, ge=0)


# -- the vector --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Dims:
    """Principal components of the features of tiles, each of variance 1 over the tiles they come from.

    Args:
        centre: mean of each feature, (D,).
        axes: weights of the features in each dimension, (dims, D).
        explained: share of the variance of the tiles that they keep.
    """

    centre: np.ndarray
    axes: np.ndarray
    explained: float

    def __len__(self) -> int:
        return len(self.axes)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (N, D) of tiles in these dimensions, (N, dims)."""
        if features.ndim != 2 or features.shape[1] != len(self.centre):
            raise ModelError(
                f"The features have the shape {features.shape}, but the dimensions are of "
                f"{len(self.centre)} features: give those of the same encoder."
            )
        return np.asarray((features - self.centre) @ self.axes.T)


def fit_dims(features: np.ndarray, *, explained: float = 0.9, most: int = 5) -> Dims:
    """As few principal components as keep a share of the variance, but not more than ``most``.

    Args:
        features: of tiles, (N, D); tiles with a NaN are left out.
        explained: share, 0..1.
        most: dimensions.

    Raises:
        LabelsError: when fewer than two tiles have features, or all are alike.
    """
    known = features[np.isfinite(features).all(axis=1)].astype(np.float64)
    if len(known) < 2:
        raise LabelsError(f"{len(known)} of {len(features)} tiles have features: at least 2 are needed.")
    centre = known.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(known, rowvar=False, ddof=1).reshape(len(centre), -1))
    variance, axes = np.maximum(variance[::-1], 0), axes[:, ::-1]
    if not variance[0] > 1e-12 * max(float((centre**2).max()), 1e-300):
        raise LabelsError(f"The features of all {len(known)} tiles are alike: nothing tells them apart.")
    kept = np.cumsum(variance) / variance.sum()
    dims = min(int(np.searchsorted(kept, explained - 1e-12)) + 1, most, int((variance > 0).sum()))
    chosen = axes[:, :dims]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(dims)])  # else left to chance
    return Dims(centre, (chosen / np.sqrt(variance[:dims])).T, float(kept[dims - 1]))


def district_vectors(
    features: np.ndarray, district: np.ndarray, *, dims: Dims, terms: Terms = "squares"
) -> tuple[np.ndarray, np.ndarray]:
    """A row for each district, whatever its number of tiles.

    Columns: mean of each dimension; its spread, the standard deviation (n - 1), NaN for one tile;
    correlations of dimensions 0 1, 0 2, ..., NaN for fewer than three; log of the number of tiles; squares
    and products of all these, a row of the upper triangle after the other.

    Args:
        features: of tiles, (N, D); tiles with a NaN are left out.
        district: of each tile, (N,).
        dims: in which they are described.
        terms: how much of the vector: means and count alone, with spread and correlations, with all
            squares and products of these (READ).

    Returns:
        Names of the districts that have tiles, sorted (G,), and their vectors float64 (G, P).

    Raises:
        LabelsError: when no tile has features, or the lists differ in length.
    """
    if len(features) != len(district):
        raise LabelsError(f"{len(features)} tiles have {len(district)} districts: give one for each.")
    known = np.isfinite(features).all(axis=1)
    if not known.any():
        raise LabelsError(f"None of {len(features)} tiles has features: give what an encoder says of them.")
    names, owner = np.unique(np.asarray(district)[known], return_inverse=True)
    tiles, count = dims(features[known]), np.bincount(owner).astype(np.float64)
    mean = _by_district(tiles, owner) / count[:, None]
    columns = [mean]
    if terms != "means":
        columns += _spread(tiles - mean[owner], owner, count)
    base = np.column_stack([*columns, np.log(count)])
    if terms == "squares":
        one, two = np.triu_indices(base.shape[1])
        base = np.column_stack([base, base[:, one] * base[:, two]])
    return names, base


def _by_district(tiles: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Sums (G, k) over the tiles (N, k) of each district."""
    sums = np.zeros((owner.max() + 1, tiles.shape[1]))
    np.add.at(sums, owner, tiles)
    return sums


def _spread(apart: np.ndarray, owner: np.ndarray, count: np.ndarray) -> list[np.ndarray]:
    """Standard deviations (G, dims) and correlations (G, pairs) of departures (N, dims) from the mean."""
    left = np.where(count > 1, count - 1, np.nan)[:, None]
    sd = np.sqrt(_by_district(apart**2, owner) / left)
    one, two = np.triu_indices(apart.shape[1], 1)
    both = sd[:, one] * sd[:, two]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = _by_district(apart[:, one] * apart[:, two], owner) / left / both
    return [sd, np.where((count[:, None] > 2) & (both > 0), np.clip(r, -1, 1), np.nan)]


# -- the trees ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DistrictModel:
    """Boosted trees on district vectors, with what was found on districts held out.

    Args:
        config: settings.
        dims: of the tiles.
        fill: medians of the columns, for what a district of few tiles lacks, (P,).
        trees: the estimator of scikit-learn.
        reach: half the width of the interval of a new district.
        evaluation: figures on held-out districts, floors, folds, and ``held_out``: district -> what trees
            that had not seen it said of it; JSON-ready.
    """

    config: DistrictConfig
    dims: Dims
    fill: np.ndarray
    trees: GradientBoostingRegressor
    reach: float
    evaluation: dict[str, Any]

    def predict(
        self, features: np.ndarray, district: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Names, statistic, lower and upper (G,) of districts, from features (N, D) of their tiles.

        The interval is value +- a quantile of the errors on districts held out in training, the jackknife of
        Barber et al. 2021 (doi 10.1214/20-AOS1965) with folds: usually right, without a guarantee. It speaks
        of districts like those of the training.
        """
        names, vectors = district_vectors(features, district, dims=self.dims, terms=self.config.terms)
        value = self.trees.predict(_filled(vectors, self.fill))
        return names, value, value - self.reach, value + self.reach

    def save(self, folder: str | Path) -> None:
        """Write a folder: trees and dimensions as skops (no pickle), settings, figures, card."""
        require_package_place(folder)
        learned = {"centre": self.dims.centre, "axes": self.dims.axes, "fill": self.fill, "trees": self.trees}
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            write_estimator(learned, fresh / ESTIMATOR)
            facts = {
                "format": FORMAT,
                "method": METHOD,
                "config": self.config.model_dump(mode="json"),
                **dict.fromkeys(("bands", "scheme", "pixel_m", "training_labels", "radiometry")),  # no image
                "explained": self.dims.explained,
                "reach": self.reach,
                "versions": {name: importlib.metadata.version(name) for name in ("jido", "scikit-learn")},
                "sha256": file_sha256(fresh / ESTIMATOR),
            }
            (fresh / CONFIG).write_text(json_text(facts, indent=1) + "\n", encoding="utf-8")
            (fresh / METRICS).write_text(json_text(self.evaluation, indent=1) + "\n", encoding="utf-8")
            on, found = self.evaluation["districts"], text(self.evaluation["metrics"]["R2"])
            words = f"A statistic of districts from features of their tiles, learned from {on} districts."
            card = f"# Model package: {METHOD}\n\n{words}\n\nR2 on districts held out: {found}.\n"
            (fresh / CARD).write_text(card, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> DistrictModel:
        """Read what :meth:`save` has written; runs no code from it.

        Raises:
            ModelError: when it is no such folder, was changed, or needs another scikit-learn.
        """
        facts = read_config(folder)
        if facts["method"] != METHOD:
            raise ModelError(f"{folder} holds a model of method {facts['method']!r}, not {METHOD!r}.")
        learned = load_estimator(folder)
        try:
            return cls(
                config=DistrictConfig(**facts["config"]),
                dims=Dims(learned["centre"], learned["axes"], float(facts["explained"])),
                fill=learned["fill"],
                trees=learned["trees"],
                reach=float("nan" if facts["reach"] is None else facts["reach"]),
                evaluation=json.loads((Path(folder) / METRICS).read_text(encoding="utf-8")),
            )
        except (ValidationError, OSError, KeyError, TypeError, ValueError) as err:
            raise ModelError(f"{folder} holds facts that cannot be used: train it again.") from err


def train_districts(
    features: np.ndarray,
    district: np.ndarray,
    figures: Mapping[str, float],
    *,
    groups: Mapping[str, str] | None = None,
    config: DistrictConfig | None = None,
) -> DistrictModel:
    """Judge on folds that keep groups of districts whole, then learn from all districts with a figure.

    PCA, medians and trees are learned anew in every fold, from its training districts alone.

    Args:
        features: of tiles, (N, D); tiles with a NaN are left out.
        district: of each tile, (N,).
        figures: district -> its statistic; a NaN is no figure. Districts without one teach nothing.
        groups: district -> what must not be split, such as its province; without it each is by itself,
            and neighbours that are alike make the figures too good for new regions.
        config: settings; the default ones without it.

    Raises:
        LabelsError: with fewer than :data:`FEWEST` districts that have tiles and a figure, one without a
            group, or figures that are all the same.
        FoldsError: with fewer groups than folds.
    """
    config = config or DistrictConfig()
    known = _Districts.of(features, district, figures)
    names, y = known.names, known.figure
    group, kind = names, "districts kept whole"
    if groups is not None:
        if lost := [name for name in names if name not in groups]:
            raise LabelsError(f"The district {str(lost[0])!r} has no group: give one for each district.")
        group, kind = np.array([groups[name] for name in names]), "groups of districts kept whole"
    folds = replace(group_kfold(group, np.zeros(len(y)), k=config.folds, seed=config.seed), kind=kind)
    held, plain = (
        _held_out(known, folds, config.model_copy(update={"terms": terms}))
        for terms in (config.terms, "means")
    )
    again = Resampling(groups=group, level=config.level)
    found, floor = (agreement(y, said, resampling=again) for said in (held, plain))
    evaluation = {
        "metrics": {"r2": found.squared_pearson, "R2": found.r_squared},
        "floors": {
            "means and number of tiles alone": {"r2": floor.squared_pearson, "R2": floor.r_squared},
        },
        "folds": folds.to_dict(),
        "districts": len(names),
        "groups": len(np.unique(group)),
        "tiles": len(known.features),
        "held_out": dict(zip(names.tolist(), held.tolist(), strict=True)),
    }
    return DistrictModel(config, *_fit(known, config), _reach(np.abs(y - held), config.level), evaluation)


@dataclass(frozen=True, eq=False)
class _Districts:
    """Districts with a figure by name (G,), and their tiles (N, D)."""

    features: np.ndarray
    district: np.ndarray
    names: np.ndarray
    figure: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, district: np.ndarray, figures: Mapping[str, float]) -> _Districts:
        """Those that can teach; refuses too few."""
        district = np.asarray(district).astype(str)
        used = np.isfinite(features).all(axis=1)
        used &= np.isfinite([figures.get(name, np.nan) for name in district])
        names = np.unique(district[used])
        if len(names) < FEWEST:
            raise LabelsError(
                f"{len(names)} districts have both tiles and a figure, but boosted trees need {FEWEST} at "
                "least to be judged: give smaller districts, or set mean scores beside the figures."
            )
        figure = np.array([figures[name] for name in names], dtype=np.float64)
        if np.ptp(figure) == 0:
            raise LabelsError(
                f"The figure of all {len(names)} districts is {figure[0]:g}: nothing is to learn."
            )
        return cls(features[used], district[used], names, figure)

    def select(self, places: np.ndarray) -> _Districts:
        """Some of them, in order of their names."""
        names = self.names[places]
        here = np.isin(self.district, names)
        return _Districts(self.features[here], self.district[here], names, self.figure[places])


def _held_out(known: _Districts, folds: Folds, config: DistrictConfig) -> np.ndarray:
    """What trees that have not seen a district say of it, (G,)."""
    held = np.full(len(known.names), np.nan)
    for train, test in folds:
        dims, fill, trees = _fit(known.select(train), config)
        asked = known.select(test)
        _, vectors = district_vectors(asked.features, asked.district, dims=dims, terms=config.terms)
        held[test] = trees.predict(_filled(vectors, fill))
    return held


def _fit(known: _Districts, config: DistrictConfig) -> tuple[Dims, np.ndarray, GradientBoostingRegressor]:
    """Dimensions, medians and trees."""
    from sklearn.ensemble import GradientBoostingRegressor

    dims = fit_dims(known.features, explained=config.explained, most=config.most_dims)
    _, vectors = district_vectors(known.features, known.district, dims=dims, terms=config.terms)
    seen = np.isfinite(vectors)
    fill = np.array([np.median(c[k]) if k.any() else 0.0 for c, k in zip(vectors.T, seen.T, strict=True)])
    trees = GradientBoostingRegressor(
        n_estimators=config.trees,
        learning_rate=config.learning_rate,
        max_depth=config.depth,
        min_samples_leaf=config.min_samples_leaf,
        max_features=config.max_features,
        subsample=config.subsample,
        random_state=config.seed,
    )
    return dims, fill, trees.fit(_filled(vectors, fill), known.figure)


def _filled(vectors: np.ndarray, fill: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(vectors), vectors, fill)


def _reach(errors: np.ndarray, level: float) -> float:
    """The quantile of errors (n,) that a further one stays below at this level; NaN from too few."""
    place = int(np.ceil((len(errors) + 1) * level))
    return float(np.sort(errors)[place - 1]) if place <= len(errors) else float("nan")
