"""What a spectrum says of floating matter: its shape, its indices, and a classifier that is a few arrays.

Both learners are fitted by scikit-learn and kept as plain arrays, so that a map needs no estimator: the
Gaussian naive Bayes of Biermann et al. 2020 (doi 10.1038/s41598-020-62298-z) on FDI and NDVI, and a
multinomial logistic regression on the logarithms of all bands and ratios of pairs, which brightness and haze
shift less than they shift the bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from jido.errors import ModelError
from jido.geo import SENTINEL_2_NM, Band, Wavelengths
from jido.geo.indices import fdi, fdi_740, ndvi

Learner = Literal["spectra", "naive"]
Arrays = Mapping[str, np.ndarray]

NEEDED = ("red", "rededge075", "nir", "swir16")
"""Common names without which there is neither NDVI nor FDI."""

PAIRS = (
    ("nir", "red"), ("green", "nir"), ("green", "swir16"), ("nir", "nir08"), ("nir", "rededge075"),
    ("red", "rededge071"), ("blue", "red"), ("nir", "swir16"),
)  # fmt: skip
"""Common names of bands whose normalised difference is a feature, where the spectra have both."""

DARKEST = 1e-3
"""Reflectance below which a band says no more: what atmospheric correction and noise leave of nothing."""


def require_bands(bands: Sequence[Band], where: str) -> None:
    """Refuse spectra from which no FDI can be made.

    Raises:
        ModelError: naming the bands that are missing.
    """
    held = {band.common_name for band in bands}
    names = dict(zip(NEEDED, ("B04", "B06", "B08", "B11"), strict=True))
    if missing := [names[role] for role in NEEDED if role not in held]:
        raise ModelError(
            f"FDI and NDVI need bands B04, B06, B08 and B11 of Sentinel-2; {where} lacks "
            f"{', '.join(missing)}: add it."
        )


def features(values: np.ndarray, bands: Sequence[Band], *, learner: Learner, platform: str) -> np.ndarray:
    """Features of spectra, float32 (..., F).

    Args:
        values: reflectance 0..1, (..., C) in the order of ``bands``.
        bands: of Sentinel-2, those of :data:`NEEDED` among them.
        learner: ``naive``: FDI and NDVI; ``spectra``: logarithms of the bands, both FDI, :data:`PAIRS`.
        platform: of :data:`~jido.geo.SENTINEL_2_NM`, whose wavelengths FDI takes.

    Raises:
        ImageError: when a number is far beyond reflectance.
    """
    nm: Wavelengths = SENTINEL_2_NM[platform]
    plane = {band.common_name: values[..., i] for i, band in enumerate(bands)}
    of_line = [plane[role] for role in ("nir", "rededge075", "swir16")]
    if learner == "naive":
        found = [fdi(*of_line, nm=nm), ndvi(plane["nir"], plane["red"])]
        return np.stack(found, axis=-1).astype(np.float32)
    light = np.maximum(values, DARKEST)
    seen = {band.common_name: light[..., i] for i, band in enumerate(bands)}
    ratios = [(seen[a] - seen[b]) / (seen[a] + seen[b]) for a, b in PAIRS if a in seen and b in seen]
    more = np.stack([fdi(*of_line, nm=nm), fdi_740(*of_line, nm=nm), *ratios], axis=-1)
    return np.concatenate([np.log(light), more], axis=-1).astype(np.float32)


# -- learners ----------------------------------------------------------------------------------


def fit_naive(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Gaussian naive Bayes of features (n, F) and places of classes (n,) as arrays; every class occurs."""
    from sklearn.naive_bayes import GaussianNB

    fitted = GaussianNB().fit(x.astype(np.float64), y)
    return {"mean": fitted.theta_, "variance": fitted.var_, "log_prior": np.log(fitted.class_prior_)}


def fit_spectra(x: np.ndarray, y: np.ndarray, *, strength: float) -> dict[str, np.ndarray]:
    """Multinomial logistic regression of standardised features as arrays; every class occurs.

    Args:
        x: (n, F).
        y: (n,) places of classes.
        strength: inverse of the penalty, ``C`` of scikit-learn.
    """
    from sklearn.linear_model import LogisticRegression

    x = x.astype(np.float64)
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    fitted = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit((x - centre) / spread, y)
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # of two classes only the second one is kept
        weights, bias = np.vstack([0 * weights, weights]), np.append(0, bias)
    return {"centre": centre, "spread": spread, "weights": weights, "bias": bias}


def log_scores(arrays: Arrays, x: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities of classes, (..., K), of features (..., F)."""
    if "variance" in arrays:
        apart = x[..., None, :] - arrays["mean"]
        size = np.log(2 * np.pi * arrays["variance"]).sum(axis=1)
        joint = arrays["log_prior"] - 0.5 * (size + (apart**2 / arrays["variance"]).sum(axis=-1))
    else:
        joint = (x - arrays["centre"]) / arrays["spread"] @ arrays["weights"].T + arrays["bias"]
    top = joint.max(axis=-1, keepdims=True)
    return np.asarray(joint - top - np.log(np.exp(joint - top).sum(axis=-1, keepdims=True)))


def evidence(scores: np.ndarray, target: int) -> np.ndarray:
    """Log odds of one class against all others together, (...), from :func:`log_scores` (..., K)."""
    others = np.delete(scores, target, axis=-1)
    top = others.max(axis=-1)
    return np.asarray(scores[..., target] - top - np.log(np.exp(others - top[..., None]).sum(axis=-1)))


def calibrated(odds: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Probability from log odds, 1 / (1 + exp(-(slope odds + shift))), shape as given."""
    slope, shift = calibration
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * odds + shift, -60, 60))))


def fit_calibration(odds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Slope and shift (2,) that make held-out log odds probabilities.

    Platt 1999 ("Probabilistic outputs for support vector machines"), with his targets (n + 1) / (n + 2) and
    1 / (n + 2) for 1 and 0, which keep few samples from promising certainty. Newton's method; a slope below 0
    would turn the order round and is held at 0.05.

    Args:
        odds: (n,) of samples whose scene the model has not seen.
        truth: (n,) bool.
    """
    hits, rest = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (hits + 1) / (hits + 2), 1 / (rest + 2))
    design = np.column_stack([np.clip(odds, -60, 60), np.ones(len(odds))])
    found = np.array([1.0, 0.0])
    for _ in range(50):
        said = calibrated(design[:, 0], found)
        slope = design.T @ (said - target) + 1e-3 * (found - (1.0, 0.0))
        bend = (design * (said * (1 - said))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        found = found - step * min(1.0, 2 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return np.array([max(found[0], 0.05), found[1]])
