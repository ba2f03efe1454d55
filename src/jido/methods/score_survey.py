"""A score for tiles from a survey: an ensemble of ridge regressions on the windows of displaced clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jido.data.survey import Survey, window_weights
from jido.errors import LabelsError
from jido.methods.siscore import Ensemble, SiscoreConfig, scale_of, standardised
from jido.methods.transfer import SurveyFolds, Transfer, survey_folds, transfer
from jido.stats.ridge import fit_ridge

LEAST_SURVEYED = 30
"""Survey clusters inside the imagery that a line needs."""

OURS = "features of the tiles"
"""What the line is called beside its floors."""


@dataclass(frozen=True, eq=False)
class SurveyTraining:
    """What came out of a training.

    Args:
        ensemble: the scores.
        transfer: how the line and its floors predict clusters of groups that they have not seen.
        half: half width of the interval of a cluster in a new group.
        notes: what was left out, a sentence each.
    """

    ensemble: Ensemble
    transfer: Transfer
    half: float
    notes: tuple[str, ...]


def train_on_survey(
    features: np.ndarray,
    lonlat: np.ndarray,
    survey: Survey,
    *,
    config: SiscoreConfig,
    light: np.ndarray | None = None,
    tile_m: float = 0.0,
) -> SurveyTraining:
    """Learn what a survey found from the tiles in the windows of its clusters.

    Members learn from groups (countries, or squares of land) drawn with replacement; the penalty is that
    which inner folds by group choose.

    Args:
        features: (N, D) of tiles; tiles with NaN are in no window.
        lonlat: (N, 2) of the middles of the tiles.
        survey: clusters with the target.
        config: settings: members, level, seed.
        light: (N,) nightlight of the tiles, for the floor.
        tile_m: side of a tile in metres.

    Raises:
        LabelsError: when no cluster or fewer than :data:`LEAST_SURVEYED` lie inside the imagery.
        FoldsError: when they all lie in one place.
    """
    known = np.isfinite(features).all(1)
    if not known.any():
        raise LabelsError("No tile has data: give other images.")
    mean, sd = scale_of(features[known])
    seen = standardised(features[known], mean, sd)
    windows = window_weights(survey.lonlat, lonlat[known], urban=survey.urban, tile_m=tile_m)
    inside = survey.subset(windows.inside, notes=windows.notes)
    if len(inside) < LEAST_SURVEYED:
        raise LabelsError(
            f"{len(inside)} survey clusters lie inside the imagery, which is too few to learn from: give "
            f"{LEAST_SURVEYED} or more."
        )
    x = windows.averaged(seen)
    folds = survey_folds(inside, seed=config.seed)
    dim = None if light is None else windows.averaged(np.nan_to_num(light[known]))
    dark = () if light is None else _dark(light[known])
    judged = transfer({OURS: x}, inside, folds, light=dim, level=config.level, seed=config.seed)
    weight, bias = _members(x, inside.value, folds, config)
    ensemble = Ensemble(mean, sd, weight, bias, (-np.inf, np.inf))
    notes = (*inside.notes, *dark, *judged.notes)
    return SurveyTraining(ensemble, judged, judged.arms[OURS].half, notes)


def _dark(light: np.ndarray) -> tuple[str, ...]:
    """A word on nightlights that tell little."""
    if not np.nan_to_num(light).any():
        return ("No tile has any nightlight, so the floor of nightlights is a constant.",)
    lost = np.count_nonzero(np.isnan(light))
    return (f"{lost:,} tiles lie outside the nightlights and count as dark.",) if lost else ()


def _members(
    x: np.ndarray, y: np.ndarray, folds: SurveyFolds, config: SiscoreConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (M, D) and bias (M,) of lines through redrawn groups."""
    whole = fit_ridge(x, y, groups=folds.group, seed=config.seed)
    rng = np.random.default_rng(config.seed)
    groups = [np.flatnonzero(folds.group == one) for one in np.unique(folds.group)]
    weights, biases = [], []
    for _ in range(config.members):
        rows = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        line = fit_ridge(x[rows], y[rows], alphas=(whole.alpha,))
        weight = line.coef / line.sd
        weights.append(weight)
        biases.append(line.intercept - float(weight @ line.mean))
    return np.array(weights), np.array(biases)
