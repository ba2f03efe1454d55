"""The methods, one readable file each: Config, fit, Model."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jido.errors import ModelError
from jido.geo import Band
from jido.geo.radiometry import Radiometry
from jido.io import read_config
from jido.io.package import ENCODER, SCORE
from jido.labels import ClassScheme, Labels
from jido.stats.calibrators import Calibration

MODELS = {
    "change": "jido.methods.change_trees:ChangeTrees",
    "debris": "jido.methods.debris:DebrisModel",
    "forest": "jido.methods.forest:ForestModel",
    "net": "jido.methods.net:NetModel",
}
"""Method name in a model package -> the class that loads it."""


class Model(Protocol):
    """What the map engine asks of a model.

    ``predict`` takes images (B, C, H, W) float32 with the given ``bands``, NaN = missing, and
    gives probabilities (B, K, (H - 2 halo) / stride, (W - 2 halo) / stride) in the order of
    ``scheme``: the halo is what a cell at the rim needs to see and gets no answer itself. The
    engine always gives ``batch`` images of one size. Lengths are in pixels:

    - ``stride``: side of a cell of the map; 1 for a pixel model.
    - ``halo``: read around the cells of a tile.
    - ``tile``: side of what is read for a tile, halo included, unless the user gives another.
    - ``overlap``: what the cells of neighbouring tiles share and is blended, unless given.

    ``package`` names the package that the model was loaded from, with its hashes; ``None`` for a
    model fresh from training. ``radiometry`` says what the numbers of the training images mean,
    ``None`` where nobody knows. ``labels`` may be ``None`` where training had no geometries, and
    ``pixel_m`` where its images had no place on Earth: the size of pixels is then not checked.
    ``sensors`` names the bands of each sensor that images may lack as a whole; empty where they may not.
    ``calibration`` is what a map does to the blended probabilities: the class stays, its confidence,
    ``abstain_below`` and the probabilities that are written are calibrated.
    """

    @property
    def bands(self) -> tuple[Band, ...]: ...  # noqa: D102
    @property
    def scheme(self) -> ClassScheme: ...  # noqa: D102
    @property
    def labels(self) -> Labels | None: ...  # noqa: D102
    @property
    def pixel_m(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def evaluation(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def abstain_below(self) -> float: ...  # noqa: D102
    @property
    def calibration(self) -> Calibration: ...  # noqa: D102
    @property
    def package(self) -> dict[str, str] | None: ...  # noqa: D102
    @property
    def radiometry(self) -> Radiometry | None: ...  # noqa: D102
    @property
    def sensors(self) -> tuple[frozenset[str], ...]: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102
    @property
    def halo(self) -> int: ...  # noqa: D102
    @property
    def tile(self) -> int: ...  # noqa: D102
    @property
    def overlap(self) -> int: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102

    def predict(self, batch: np.ndarray) -> np.ndarray: ...  # noqa: D102


@runtime_checkable
class NeedsReadying(Protocol):
    """A model whose image a command of its own checks and makes ready; the map engine maps none before.

    ``not_ready`` says what is lacking and which command does it; it is empty once that is done.
    """

    @property
    def not_ready(self) -> str: ...  # noqa: D102


def load_model(folder: str | Path) -> Model:
    """The model of a package folder, whatever its method.

    Raises:
        ModelError: when the folder is no package or its method is not known.
    """
    method = read_config(folder)["method"]
    if method == ENCODER:
        raise ModelError(
            f"{folder} holds an encoder, which knows no classes: train with it, jido lcz train --encoder."
        )
    if method == SCORE:
        raise ModelError(f"{folder} gives whole tiles a score, and no pixel a class: use jido score map.")
    if method not in MODELS:
        raise ModelError(f"{folder} holds a model of unknown method {method!r}: update jido.")
    module, name = MODELS[method].split(":")
    return getattr(importlib.import_module(module), name).load(folder)
