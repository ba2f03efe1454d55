"""From labelled spectra to a judged model of floating debris."""

from __future__ import annotations

from typing import Any

import numpy as np

from jido.data.spectra import Spectra
from jido.errors import LabelsError, ModelError
from jido.geo.radiometry import Radiometry, Stated, describe
from jido.io import Progress
from jido.labels import Folds
from jido.methods.debris import DEBRIS, MIXED, SCHEME, DebrisConfig, DebrisModel, Rows, fit, held_out, rows_of
from jido.methods.debris import scene_folds as folds_of
from jido.methods.debris_features import require_bands
from jido.methods.debris_image import UNKNOWN, correction_name, platform_name
from jido.stats import accept_threshold, calibration, judged
from jido.stats.abstention import group_accept_threshold
from jido.stats.binary import average_precision_figure, score_histogram

OPTIMISTIC = (
    "The table names no scene, so spectra of one scene stand on both sides of the split: the figures are "
    "optimistic, and nothing is promised for a new scene."
)


def train_debris(
    spectra: Spectra,
    *,
    config: DebrisConfig | None = None,
    target: str = "",
    correction: str = UNKNOWN,
    platform: str = MIXED,
    progress: Progress | None = None,
) -> DebrisModel:
    """Judge a classifier on scenes left out, then fit the one for maps on all spectra.

    Args:
        spectra: with classes; without scenes the figures leak, and ``evaluation`` says so.
        config: settings; the default ones without it.
        target: class that is debris; the one called as in :data:`~jido.methods.debris.DEBRIS` without it.
        correction: atmospheric correction of the spectra, which images must share.
        platform: ``S2A``, ``S2B`` or :data:`~jido.methods.debris.MIXED`.
        progress: told how many folds are done.

    Raises:
        LabelsError: without debris, with nothing else, with numbers that are no reflectance, or one scene.
        ModelError: when FDI needs a band that is missing.
    """
    config = config or DebrisConfig()
    require_bands(spectra.bands, spectra.image)
    radiometry = _reflectance(spectra)
    names = tuple(np.unique(spectra.classes.astype(str)).tolist())
    debris = debris_class(names, target, spectra.image)
    _require_scenes(spectra, debris)
    rows, leaks = rows_of(spectra, names, debris, config), spectra.scenes is None
    folds = folds_of(rows, leaks=leaks, k=config.folds, seed=config.seed)
    held = held_out(rows, folds, config, progress=progress)
    evaluation = judge(rows, held[:, rows.target], folds, config)
    evaluation["spectra"] = {name: int((rows.material == i).sum()) for i, name in enumerate(names)}
    evaluation["table"] = spectra.image
    return DebrisModel(
        config=config,
        fitted=fit(rows, np.arange(len(rows.material)), config),
        names=names,
        target=debris,
        bands=spectra.bands,
        correction=correction_name(correction),
        platform=platform if platform == MIXED else platform_name(platform),
        evaluation=evaluation,
        abstain_below=evaluation["unsure"]["below"],
        radiometry=radiometry,
    )


def judge(rows: Rows, said: np.ndarray, folds: Folds, config: DebrisConfig) -> dict[str, Any]:
    """Figures of held-out probabilities of debris (n,), JSON-ready, with the promise of an abstention.

    The threshold is :func:`~jido.stats.abstention.group_accept_threshold`; without scenes it is that at which
    the share of wrong rows was as aimed at, and no promise.
    """
    truth, answer = rows.truth, said >= 0.5
    found = judged(truth.astype(int), answer.astype(int), rows.scenes, SCHEME, interval=not folds.leaks)
    groups = np.unique(rows.scenes, return_inverse=True)[1]
    histograms = np.stack(
        [score_histogram(said[groups == g], truth[groups == g]) for g in range(groups.max() + 1)]
    )
    level = None if folds.leaks else 0.95
    found["metrics"]["pr_auc"] = average_precision_figure(histograms, level=level, seed=config.seed)
    confidence, right = np.maximum(said, 1 - said), answer == truth
    if folds.leaks:
        below, share = accept_threshold(confidence, right, error=config.error)
    else:
        below, share = group_accept_threshold(
            confidence, right, rows.scenes, error=config.error, trust=config.trust
        )
    promise = {"aimed_error": config.error, "trust": None if folds.leaks else config.trust}
    figures = calibration(np.column_stack([1 - said, said]), truth.astype(np.int64))
    return {
        **found,
        "folds": folds.to_dict(),
        "calibration": {**figures, "kind": "platt" if config.calibrate else "none"},
        "judged_on": "spectra" if folds.leaks else "spectra of scenes left out",
        "optimistic": folds.leaks,
        "unsure": {"below": below, "share": 1 - share, **promise},
    }


def debris_class(names: tuple[str, ...], target: str, image: str) -> str:
    """The class that is debris.

    Raises:
        LabelsError: when no class is called so, or there is no other one.
    """
    wanted = (target.strip().casefold(),) if target else DEBRIS
    found = [name for name in names if name.casefold() in wanted]
    if not found:
        asked = f"no class {target!r}" if target else f"no class called {', '.join(DEBRIS[:3])}"
        raise LabelsError(f"{image} has {asked}, only {', '.join(names)}: name it with --debris.")
    if len(names) < 2:
        raise LabelsError(f"All spectra of {image} are {found[0]}: add spectra of water and other matter.")
    return found[0]


def _require_scenes(spectra: Spectra, debris: str) -> None:
    held = spectra.classes.astype(str) == debris
    if spectra.scenes is None:
        return
    scenes, with_debris = len(np.unique(spectra.scenes)), len(np.unique(spectra.scenes[held]))
    if scenes < 3 or with_debris < 2:
        raise LabelsError(
            f"{spectra.image} has {scenes} scenes, {with_debris} of them with {debris}: scenes are held "
            "out, so give at least 3, 2 of them with it."
        )


def _reflectance(spectra: Spectra) -> Radiometry:
    """What the numbers are; refuses what is no reflectance."""
    stated = [Stated(image=spectra.image)] * len(spectra.bands)
    found = describe(spectra.values.T.astype(np.float32), spectra.bands, stated)
    high = float(np.abs(spectra.values).max())
    kinds = [part.likely[0] if part.kinds else "numbers of no known kind" for part in found.parts]
    if high > 10 or (kinds and kinds[0] in ("reflectance + 0.1", "8-bit numbers")):
        raise LabelsError(
            f"The numbers of {spectra.image} look like {kinds[0]} (highest {high:g}), and FDI needs "
            "reflectance (0..1): divide by the scale of the product, its offset taken off."
        )
    if not found.parts:
        raise ModelError(f"{spectra.image} holds no numbers: give spectra.")
    said = [Stated(image=spectra.image, unit="reflectance")] * len(spectra.bands)
    return describe(spectra.values.T.astype(np.float32), spectra.bands, said)
