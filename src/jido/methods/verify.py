"""Does a model package still say what it said when it was saved?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jido.errors import ModelError
from jido.io import Sample
from jido.methods import load_model


@dataclass(frozen=True)
class Verified:
    """A package that was asked again.

    Args:
        difference: the largest one between a probability and the stored one.
        tolerance: the largest one allowed; another processor may round otherwise.
        probabilities: how many were compared.
    """

    difference: float
    tolerance: float
    probabilities: int


def verify_model(folder: str | Path) -> Verified:
    """Predict the sample that a model package holds, and compare.

    Raises:
        ModelError: when the package cannot be loaded, holds no sample, or says something else now.
    """
    model, sample = load_model(folder), Sample.read(folder)
    found = model.predict(sample.image) if sample.image.shape[1] == len(model.bands) else np.empty(0)
    if found.shape != sample.probabilities.shape:
        raise ModelError(
            f"{folder} holds a sample that is not its own: copy the package again or train the model again."
        )
    difference = float(np.abs(found - sample.probabilities).max())
    if not difference <= sample.tolerance:  # NaN is no agreement
        raise ModelError(
            f"{folder} does not say what it said when it was saved: probabilities differ by up to "
            f"{difference:.2g}, {sample.tolerance:g} is allowed: install the versions named in config.json, "
            "copy the package again or train the model again."
        )
    return Verified(difference, sample.tolerance, found.size)
