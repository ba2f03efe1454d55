"""What a method has learned, on disk: an estimator as skops, the tensors of a net as safetensors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import JidoError, ModelError
from jido.io.files import file_sha256
from jido.io.package import first_line, read_config

TRUSTED = [
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
"""Types beyond skops' own list that trees need: arrays alone. A constant: never read from the file itself."""

ESTIMATOR, TENSORS = "model.skops", "model.safetensors"


def write_estimator(estimator: object, path: Path) -> None:
    """Write a scikit-learn estimator, deflated."""
    import skops.io

    skops.io.dump(estimator, path, compression=8, compresslevel=6)  # 8: deflated


def load_estimator(folder: str | Path) -> Any:
    """The scikit-learn estimator of a model package; runs no code from it.

    Raises:
        ModelError: when it is missing, was changed, was written with another scikit-learn, or holds
            types that are not trusted.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    file = _unchanged(folder, ESTIMATOR)
    built_with = read_config(folder)["versions"].get("scikit-learn", "(unknown)")
    here = importlib.metadata.version("scikit-learn")
    if built_with != here:
        raise ModelError(
            f"{folder} was trained with scikit-learn {built_with} but {here} is installed: "
            f"pip install scikit-learn=={built_with}, or train it again."
        )
    try:
        return skops.io.load(file, trusted=TRUSTED)
    except UntrustedTypesFoundException as err:
        raise ModelError(
            f"{file} holds types that Jido does not trust and was not loaded: train the model again."
        ) from err
    except JidoError:
        raise
    except Exception as err:
        raise ModelError(f"{file} cannot be read ({first_line(err)}): train the model again.") from err


def write_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Write named arrays; they must be contiguous in C order."""
    import safetensors.numpy

    path.write_bytes(safetensors.numpy.save(dict(tensors)))


def load_tensors(folder: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a model package.

    Raises:
        ModelError: when they are missing, were changed or cannot be read.
    """
    try:
        import safetensors.numpy
    except ModuleNotFoundError as err:
        raise ModelError('Neural networks need torch: pip install "jido[deep]".') from err
    file = _unchanged(folder, TENSORS)
    try:
        return safetensors.numpy.load_file(file)
    except (safetensors.SafetensorError, KeyError, ValueError) as err:
        raise ModelError(f"{file} cannot be read ({first_line(err)}): train the model again.") from err


def _unchanged(folder: str | Path, name: str) -> Path:
    file = Path(folder) / name
    if not file.exists() or file_sha256(file) != read_config(folder)["sha256"]:
        raise ModelError(
            f"{file} is missing, cut short or was changed since training: copy the package again or train "
            "the model again."
        )
    return file
