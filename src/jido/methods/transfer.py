"""From what images show to what a survey found: ridge regression under honest folds, beside its floors.

The last step of Jean et al. 2016, doi 10.1126/science.aaf7894: features of survey clusters, standardised
inside each training part, a penalty chosen by inner folds, figures of held-out clusters alone. Nightlights by
themselves do nearly as well as most nets (k-NN on one number: r² .665 over 19,669 clusters in 23 countries,
the net of Yeh et al. .703, from their published predictions), so no figure is told without that floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jido.data.places import EARTH_M, square_side_m, squares
from jido.data.survey import RURAL_M, Survey
from jido.errors import FoldsError
from jido.labels import Folds, group_kfold
from jido.stats.conformal import group_conformal, highest_level
from jido.stats.regression import Resampling
from jido.stats.ridge import ALPHAS, nested_constant, nested_neighbours, nested_ridge
from jido.stats.survey import Agreement, agreement, agreement_inside

CONSTANT, NEIGHBOURS = "constant", "nightlight, nearest neighbours"
"""What the floors are called."""


@dataclass(frozen=True, eq=False)
class SurveyFolds:
    """Which clusters are tested together, and what is one piece of evidence.

    Args:
        folds: by country or by square of land; training clusters near a test cluster are left out.
        group: (n,) number of the country or square of each cluster.
    """

    folds: Folds
    group: np.ndarray


def survey_folds(
    survey: Survey, *, k: int = 5, buffer_m: float = 2 * RURAL_M, block_m: float | None = None, seed: int = 0
) -> SurveyFolds:
    """Folds that keep countries whole where there are two or more, else squares of land.

    Args:
        survey: n clusters.
        k: number of folds; fewer where there are fewer countries.
        buffer_m: training clusters nearer than this to a test cluster are left out: their windows overlap.
        block_m: side of a square; the largest with which there are 60, without it. Given, countries do
            not count.
        seed: of the draw.

    Raises:
        FoldsError: when all clusters lie in one square.
    """
    country = survey.country
    if country is not None and len(np.unique(country)) > 1 and block_m is None:
        group, kind = np.unique(country, return_inverse=True)[1], "countries kept whole"
    else:
        side = block_m or square_side_m(survey.lonlat, 2 * RURAL_M)
        group, kind = squares(survey.lonlat, side), f"squares of {side / 1000:g} km kept whole"
    count = len(np.unique(group))
    if count < 2:
        raise FoldsError("All clusters lie in one square: give smaller squares, or clusters of more places.")
    drawn = group_kfold(group, np.zeros(len(group)), k=min(k, count), seed=seed)
    folds = Folds(drawn.fold, kind, xy=on_sphere_m(survey.lonlat), buffer=buffer_m)
    return SurveyFolds(folds, group)


def on_sphere_m(lonlat: np.ndarray) -> np.ndarray:
    """Points (n, 3) in metres on the sphere of places (n, 2) in degrees: near ones are as far as they are."""
    lon, lat = np.radians(lonlat).T
    ball = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    return EARTH_M * np.stack(ball, axis=1)


def ridge_in_range(
    x: np.ndarray,
    y: np.ndarray,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    groups: np.ndarray,
    alphas: tuple[float, ...] = ALPHAS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Nested ridge regression that never sees a feature outside the range of its training rows.

    A feature that hardly any training tile has is of tiny spread there; standardised by it, a tile elsewhere
    may lie thousands of standard deviations out and decide the figure alone. So features are cut off at the
    lowest and highest value of the training rows. (2,048 random features of EuroSAT, one band of longitude:
    a tile at 9,463 standard deviations, R² of population -17.0; cut off .66.)

    Args:
        x: (n, D) features.
        y: (n,) outcome.
        pairs: training and test rows.
        groups: (n,) what inner folds keep whole.
        alphas: penalties among which inner folds choose.
        seed: of the inner folds.

    Returns:
        Predictions (n,), NaN where a row is in no test part, and the penalty of each pair.

    Raises:
        JidoError: as :func:`~jido.stats.ridge.nested_ridge`.
        FoldsError: as there.
    """
    predicted, chosen = np.full(len(y), np.nan), []
    for train, test in pairs:
        known = np.clip(x, np.fmin.reduce(x[train]), np.fmax.reduce(x[train]))
        found = nested_ridge(known, y, [(train, test)], alphas=alphas, groups=groups, seed=seed)
        predicted[test] = found.predicted[test]
        chosen.append(found.chosen[0])
    return predicted, np.array(chosen)


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to predict the survey, judged on clusters that it has not seen.

    Args:
        predicted: (n,) in the unit of the survey.
        chosen: penalty, or number of neighbours, of each fold.
        pooled: r² and R² over all clusters.
        inside: the same among the ``urban`` and among the ``rural``; empty where nobody says which is which.
        half: half width of the interval of a cluster in a new group, at the level of the transfer.
    """

    predicted: np.ndarray
    chosen: np.ndarray
    pooled: Agreement
    inside: dict[str, Agreement]
    half: float


@dataclass(frozen=True, eq=False)
class Transfer:
    """All ways to predict a survey.

    Args:
        arms: by name: the features that were given, then the floors.
        level: share of clusters in new groups that the intervals aim to hold.
        kind: of the folds, in words.
        notes: what was lowered or left out, a sentence each.
    """

    arms: dict[str, Arm]
    level: float
    kind: str
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[dict[str, object]]:
        """A row for each arm and each part of the clusters: n, r² and R² with their intervals."""
        for name, arm in self.arms.items():
            for part, found in {"all": arm.pooled, **arm.inside}.items():
                yield {
                    "arm": name,
                    "part": part,
                    "n": found.n,
                    "r2": found.squared_pearson,
                    "R2": found.r_squared,
                    "half": arm.half,
                }


def transfer(
    features: Mapping[str, np.ndarray],
    survey: Survey,
    folds: SurveyFolds,
    *,
    light: np.ndarray | None = None,
    alphas: tuple[float, ...] = ALPHAS,
    level: float = 0.9,
    draws: int = 2000,
    seed: int = 0,
) -> Transfer:
    """Ridge regression on each set of features, the nightlight floor and the constant, under the same folds.

    With a light, each set of features also gets it as a further column, log(1 + light): what images add to
    it is what a user of them gains.

    Args:
        features: name -> (n, D) features of the clusters, averaged over their windows.
        survey: n clusters.
        folds: of :func:`survey_folds`.
        light: (n,) mean nightlight of the windows, 0 or more.
        alphas: penalties among which inner folds choose.
        level: share of clusters in new groups that the intervals aim to hold; lowered, with a note, to what
            so few groups can promise.
        draws: of the bootstrap over groups.
        seed: of inner folds and bootstrap.

    Raises:
        JidoError: when arrays are not of one length, or numbers are missing.
        FoldsError: when a fold leaves nothing to learn from.
    """
    y, pairs = survey.value, list(folds.folds)
    sets = dict(features)
    if light is not None:
        dim = np.log1p(np.maximum(light, 0))[:, None]
        sets |= {f"{name} + nightlight": np.hstack([x, dim]) for name, x in features.items()}
    said = {
        name: ridge_in_range(x, y, pairs, groups=folds.group, alphas=alphas, seed=seed)
        for name, x in sets.items()
    }
    floors = {CONSTANT: nested_constant(y, pairs)}
    if light is not None:
        near = nested_neighbours(light, y, pairs, groups=folds.group, seed=seed)
        floors = {NEIGHBOURS: near, **floors}
    said |= {name: (one.predicted, one.chosen) for name, one in floors.items()}
    groups = len(np.unique(folds.group))
    reached = min(level, highest_level(groups))
    notes = [f"{groups} groups promise intervals of {reached:.3f} at most."] if reached < level else []
    kinds = None if survey.urban is None else np.where(survey.urban, "urban", "rural")
    redrawn = Resampling(groups=folds.group, draws=draws, seed=seed)

    def judged(predicted: np.ndarray, chosen: np.ndarray) -> Arm:
        pooled, inside = agreement(y, predicted, resampling=redrawn), {}
        if kinds is not None:
            inside = agreement_inside(y, predicted, kinds, resampling=redrawn)
        half = group_conformal(y - predicted, folds.group, level=reached)
        return Arm(predicted, chosen, pooled, inside, half)

    arms = {name: judged(*one) for name, one in said.items()}
    return Transfer(arms, reached, folds.folds.kind, tuple(notes))
