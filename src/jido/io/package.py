"""The model package: one folder that holds all a map needs to know, and no pickle."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import JidoError, LabelsError, ModelError, OutputError
from jido.geo import Band
from jido.io.files import file_sha256, json_text, replacing, require_place
from jido.io.vectors import read_written, write_labels
from jido.labels import ClassScheme, Labels, LandClass

FORMAT = 1
"""Version of the folder's layout; a newer one is refused."""

TRUSTED = ["sklearn.tree._tree.Tree"]
"""Types beyond skops' own list that a forest needs. A constant: never read from the file itself."""

ESTIMATOR, CONFIG, LABELS, METRICS, CARD = (
    "model.skops",
    "config.json",
    "training.gpkg",
    "metrics.json",
    "README.md",
)

_FACTS = ("format", "method", "config", "bands", "scheme", "pixel_m", "versions", "sha256")
"""What ``config.json`` says of every model, whatever its method."""


@dataclass(frozen=True, eq=False)
class Package:
    """What every model package says, whatever the method.

    Args:
        method: name of the method that reads it (``forest``).
        config: settings of the method.
        bands: what the model reads, in order.
        scheme: classes, in the order of the probability planes.
        pixel_m: height and width in metres of the training pixels.
        labels: the training labels.
        evaluation: held-out figures and folds.
        extra: more facts of the method (stride, halo, thresholds).
        versions: of the libraries that wrote the package; filled when saved.
    """

    method: str
    config: dict[str, Any]
    bands: tuple[Band, ...]
    scheme: ClassScheme
    pixel_m: tuple[float, float]
    labels: Labels
    evaluation: dict[str, Any]
    extra: dict[str, Any]
    versions: dict[str, str] | None = None

    def save(self, folder: str | Path, *, estimator: object) -> None:
        """Write the folder with a scikit-learn estimator in it; an older package is replaced.

        Raises:
            OutputError: when the place cannot be written, the disk is full, or a folder that is
                not empty and no model package stands there.
        """
        import skops.io

        require_package_place(folder)
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            skops.io.dump(estimator, fresh / ESTIMATOR, compression=8, compresslevel=6)  # 8: deflated
            write_labels(self.labels, fresh / LABELS)
            facts = {
                "format": FORMAT,
                "method": self.method,
                "config": self.config,
                "bands": [asdict(band) for band in self.bands],
                "scheme": _scheme_to_dict(self.scheme),
                "pixel_m": self.pixel_m,
                **self.extra,
                "versions": _versions(),
                "sha256": file_sha256(fresh / ESTIMATOR),
            }
            _write_json(fresh / CONFIG, facts)
            _write_json(fresh / METRICS, self.evaluation)
            (fresh / CARD).write_text(self._card(), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, *, estimator: bool) -> tuple[Package, Any]:
        """Read a folder; with ``estimator`` also the scikit-learn estimator in it.

        Raises:
            ModelError: when it is no package, is newer than this Jido, is damaged, or its
                estimator holds types that are not trusted.
        """
        folder = Path(folder)
        facts = read_config(folder)
        try:
            scheme = _scheme_from_dict(facts["scheme"])
            package = cls(
                method=facts["method"],
                config=facts["config"],
                bands=tuple(Band(**{**b, "valid_range": _pair(b["valid_range"])}) for b in facts["bands"]),
                scheme=scheme,
                pixel_m=(facts["pixel_m"][0], facts["pixel_m"][1]),
                labels=read_written(folder / LABELS, scheme),
                evaluation=json.loads((folder / METRICS).read_text(encoding="utf-8")),
                extra={key: value for key, value in facts.items() if key not in _FACTS},
                versions=facts["versions"],
            )
        except (LabelsError, OSError, ValueError, LookupError, TypeError) as err:
            raise ModelError(f"{folder} is damaged ({_first_line(err)}): train the model again.") from err
        return package, _load_estimator(folder, facts) if estimator else None

    def _card(self) -> str:
        figures = self.evaluation["metrics"]
        folds = self.evaluation["folds"]
        rows = "\n".join(
            f"| {name} | {_text(v['value'])} | {_text(v['lower'])} - {_text(v['upper'])} |"
            for name, v in figures.items()
        )
        classes = ", ".join(f"{c.label} {c.name}" for c in self.scheme.classes)
        return (
            f"# Model package: {self.method}\n\n"
            f"Reads {len(self.bands)} bands of {self.pixel_m[0]:g} x {self.pixel_m[1]:g} m: "
            f"{', '.join(b.name for b in self.bands)}.\n\nClasses ({self.scheme.name}): {classes}.\n\n"
            f"Judged on {folds['k']} folds, {folds['kind']}"
            f"{' - THIS SPLIT LEAKS' if folds['leaks'] else ''}; 95 % intervals over whole polygons: "
            "they speak of new polygons drawn like these, not of every cell of a map.\n\n"
            f"| figure | held out | 95 % interval |\n|---|---|---|\n{rows}\n\n"
            "`training.gpkg` holds the training labels: scoring a map on them is resubstitution, "
            "not accuracy. `model.skops` holds the estimator without pickle.\n"
        )


def read_config(folder: str | Path) -> dict[str, Any]:
    """``config.json`` of a model package.

    Raises:
        ModelError: when the folder is no model package or is newer than this Jido.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        version = int(facts["format"])
    except OSError as err:
        raise ModelError(
            f"{folder} is no model package (no {CONFIG} to be read in it): give the folder that was "
            "named with -o in training."
        ) from err
    except (ValueError, LookupError, TypeError) as err:
        raise ModelError(f"{folder / CONFIG} is damaged: train the model again.") from err
    if version > FORMAT:
        raise ModelError(f"{folder} was written by a newer Jido (format {version}): update jido.")
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        raise ModelError(f"{folder / CONFIG} lacks {', '.join(missing)}: train the model again.")
    return facts


def require_package_place(folder: str | Path) -> None:
    """Refuse a place where no model package can be written, or where other files would be lost.

    Raises:
        OutputError: when a file stands there, or a folder that holds more than a model package.
    """
    folder = Path(folder)
    require_place(folder, folder=True)
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in held if name not in (ESTIMATOR, CONFIG, LABELS, METRICS, CARD)]
    if foreign or (held and not _is_package(folder)):
        raise OutputError(
            f"{folder} exists and holds what is no model package ({(foreign or held)[0]}): "
            "give the name of a new folder with -o."
        )


def _is_package(folder: Path) -> bool:
    try:
        read_config(folder)
    except ModelError:
        return False
    return True


def package_id(folder: str | Path) -> dict[str, str]:
    """``name``, ``method`` and ``sha256`` of a model package, for the reports of its maps."""
    facts = read_config(folder)
    return {"name": Path(folder).resolve().name, "method": facts["method"], "sha256": facts["sha256"]}


def _load_estimator(folder: Path, facts: dict[str, Any]) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    file = folder / ESTIMATOR
    if not file.exists() or file_sha256(file) != facts["sha256"]:
        raise ModelError(f"{file} is missing or was changed since training: train the model again.")
    built_with, here = (
        facts["versions"].get("scikit-learn", "(unknown)"),
        importlib.metadata.version("scikit-learn"),
    )
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
        raise ModelError(f"{file} cannot be read ({_first_line(err)}): train the model again.") from err


def _versions() -> dict[str, str]:
    names = ("jido", "numpy", "scikit-learn", "skops", "rasterio")
    return {name: importlib.metadata.version(name) for name in names}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json_text(value, indent=1) + "\n", encoding="utf-8")


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")


def _pair(value: list[float] | None) -> tuple[float, float] | None:
    return None if value is None else (value[0], value[1])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _scheme_to_dict(scheme: ClassScheme) -> dict[str, Any]:
    return {
        "name": scheme.name,
        "classes": [asdict(c) for c in scheme.classes],
        "weights": None if scheme.weights is None else scheme.weights.tolist(),
        "built": sorted(scheme.built),
    }


def _scheme_from_dict(facts: dict[str, Any]) -> ClassScheme:
    classes = tuple(LandClass(**c) for c in facts["classes"])
    return ClassScheme(
        name=facts["name"],
        classes=classes,
        weights=None if facts["weights"] is None else np.array(facts["weights"]),
        built=frozenset(facts["built"]),
        codings={"codes": {str(c.code): c.code for c in classes}},
    )
