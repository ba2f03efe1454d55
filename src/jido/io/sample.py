"""An image and what a model said of it when it was saved: it must say the same wherever it is loaded."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from jido.errors import ModelError

SAMPLE = "sample.npz"


@dataclass(frozen=True, eq=False)
class Sample:
    """What a model package holds to be verified with.

    Args:
        image: (B, C, H, W) float32, NaN = missing.
        probabilities: what the model said, (B, K, y, x) float32.
        tolerance: how far a probability may lie from the stored one on another machine.
    """

    image: np.ndarray
    probabilities: np.ndarray
    tolerance: float

    def write(self, folder: Path) -> None:
        """Write the sample of a model package: plain arrays, no pickle."""
        np.savez_compressed(folder / SAMPLE, **asdict(self))

    @classmethod
    def read(cls, folder: str | Path) -> Sample:
        """Read the sample of a model package.

        Raises:
            ModelError: when it has none, or a damaged one.
        """
        path = Path(folder) / SAMPLE
        try:
            with np.load(path) as held:
                return cls(held["image"], held["probabilities"], float(held["tolerance"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as err:
            raise ModelError(
                f"{path} is missing or damaged, so there is nothing to compare with: train the model again."
            ) from err
