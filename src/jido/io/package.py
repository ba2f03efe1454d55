"""The model package: one folder that holds all a map needs to know, and no pickle."""

from __future__ import annotations

import importlib.metadata
import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jido.errors import LabelsError, ModelError, OutputError
from jido.geo import Band
from jido.geo.radiometry import Radiometry
from jido.io.files import file_sha256, json_text, replacing, require_place
from jido.io.sample import SAMPLE, Sample
from jido.io.vectors import read_written, write_labels
from jido.labels import ClassScheme, Labels

WIDTH = 100
"""Columns of the model card."""

FORMAT = 1
"""Version of the folder's layout; a newer one is refused."""

WEIGHTS = {"model.skops": ("scikit-learn", "skops"), "model.safetensors": ("torch", "safetensors")}
"""What a method has learned: the file it may be in, and the libraries that read it."""

CONFIG, LABELS, METRICS, CARD, ITEM = (
    "config.json",
    "training.gpkg",
    "metrics.json",
    "README.md",
    "item.json",
)

_FILES = (*WEIGHTS, CONFIG, LABELS, METRICS, CARD, ITEM, SAMPLE)

_FACTS = (
    "format",
    "method",
    "config",
    "bands",
    "scheme",
    "pixel_m",
    "training_labels",
    "radiometry",
    "versions",
    "sha256",
)
"""What ``config.json`` says of every model, whatever its method."""

ENCODER = "encoder"
"""Method of what has learned without labels: a start for nets, no model by itself."""

SCORE = "score"
"""Method of what gives whole tiles a number: no classes either."""

_OTHER_FACTS = {
    ENCODER: ("format", "method", "config", "settings", "sensors", "bands", "side", "sha256"),
    SCORE: ("format", "method", "config", "features", "target", "bounds", "level", "sha256"),
}
"""The same of methods without classes."""


@dataclass(frozen=True, eq=False)
class Package:
    """What every model package says, whatever the method.

    Args:
        method: name of the method that reads it (``forest``, ``net``).
        config: settings of the method.
        bands: what the model reads, in order.
        scheme: classes, in the order of the probability planes.
        pixel_m: height and width in metres of the training pixels; ``None`` where the images had no
            place on Earth, so that nobody can check the size of pixels.
        labels: the training labels, ``None`` where training had no geometries.
        evaluation: held-out figures and folds; empty where nobody has judged the model.
        extra: more facts of the method (stride, halo, thresholds).
        radiometry: what the numbers of the training images mean; ``None`` where nobody knows.
        versions: of the libraries that wrote the package; filled when saved.
    """

    method: str
    config: dict[str, Any]
    bands: tuple[Band, ...]
    scheme: ClassScheme
    pixel_m: tuple[float, float] | None
    labels: Labels | None
    evaluation: dict[str, Any]
    extra: dict[str, Any]
    radiometry: Radiometry | None = None
    versions: dict[str, str] | None = None

    def save(
        self,
        folder: str | Path,
        *,
        weights: str,
        write: Callable[[Path], None],
        sample: Sample,
        item: dict[str, Any] | None = None,
    ) -> None:
        """Write the folder; an older package is replaced.

        Args:
            folder: where to.
            weights: a file name of :data:`WEIGHTS`.
            write: writes what was learned to the path it is given.
            sample: what :func:`jido.methods.verify.verify_model` compares with.
            item: STAC item that describes the model.

        Raises:
            OutputError: when the place cannot be written, the disk is full, or a folder that is
                not empty and no model package stands there.
        """
        require_package_place(folder)
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            write(fresh / weights)
            sample.write(fresh)
            if self.labels is not None:
                write_labels(self.labels, fresh / LABELS)
            facts = {
                "format": FORMAT,
                "method": self.method,
                "config": self.config,
                "bands": [asdict(band) for band in self.bands],
                "scheme": self.scheme.to_dict(),
                "pixel_m": self.pixel_m,
                "training_labels": self.labels is not None,
                "radiometry": self.radiometry.to_dict() if self.radiometry else None,
                **self.extra,
                "versions": _versions(WEIGHTS[weights]),
                "sha256": file_sha256(fresh / weights),
            }
            _write_json(fresh / CONFIG, facts)
            _write_json(fresh / METRICS, self.evaluation)
            if item is not None:
                _write_json(fresh / ITEM, item)
            (fresh / CARD).write_text(self._card(weights, item), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Package:
        """Read a folder, but for what was learned: ``jido.io.weights`` reads that.

        Raises:
            ModelError: when it is no package, is newer than this Jido, or is damaged.
        """
        folder = Path(folder)
        facts = read_config(folder)
        try:
            scheme = ClassScheme.from_dict(facts["scheme"])
            return cls(
                method=facts["method"],
                config=facts["config"],
                bands=tuple(map(Band.from_dict, facts["bands"])),
                scheme=scheme,
                pixel_m=_pair(facts["pixel_m"]),
                labels=read_written(folder / LABELS, scheme) if facts["training_labels"] else None,
                evaluation=json.loads((folder / METRICS).read_text(encoding="utf-8")),
                radiometry=Radiometry.from_dict(facts["radiometry"]) if facts["radiometry"] else None,
                extra={key: value for key, value in facts.items() if key not in _FACTS},
                versions=facts["versions"],
            )
        except (LabelsError, OSError, ValueError, LookupError, TypeError, AttributeError) as err:
            raise ModelError(f"{folder} is damaged ({first_line(err)}): train the model again.") from err

    def _card(self, weights: str, item: dict[str, Any] | None) -> str:
        classes = ", ".join(" ".join(dict.fromkeys([c.label, c.name])) for c in self.scheme.classes)
        size = " (trained on images without a place on Earth: the size of pixels is not checked)"
        if self.pixel_m is not None:
            size = f" of {self.pixel_m[0]:g} x {self.pixel_m[1]:g} m"
        labels = (
            "There are no training labels in it.\n"
            if self.labels is None
            else "`training.gpkg` holds the training labels: scoring a map on them is resubstitution, not "
            "accuracy.\n"
        )
        bands = ", ".join(b.name for b in self.bands)
        return _wrapped(
            f"# Model package: {self.method}\n\n"
            f"Reads {len(self.bands)} bands{size}: {bands}.\n\nClasses ({self.scheme.name}): {classes}.\n\n"
            f"{self._accuracy()}\n{labels}`{weights}` holds what was learned, without pickle. "
            f"`{SAMPLE}` is an image and what the model said of it: `jido model verify` asks again."
            f"{'' if item else ' No `item.json` (STAC): that is made for nets, with jido[stac].'}\n"
        )

    def _accuracy(self) -> str:
        if not self.evaluation:
            return "Nobody has judged how accurate it is.\n"
        folds = self.evaluation["folds"]
        rows = "\n".join(
            f"| {name} | {_text(figure['value'])} | {_interval(figure)} |"
            for name, figure in self.evaluation["metrics"].items()
        )
        on, things = f"{folds['k']} folds", "polygons"
        if "judged_on" in self.evaluation:
            on, things = self.evaluation["judged_on"], "groups"
        return (
            f"Judged on {on}, {folds['kind']}{' - THIS SPLIT LEAKS' if folds['leaks'] else ''}; 95 % "
            f"intervals over whole {things}: they speak of new {things} like these, not of every cell of a "
            "map.\n\n"
            f"| figure | held out | 95 % interval |\n|---|---|---|\n{rows}\n"
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
    wanted = _OTHER_FACTS.get(facts.get("method"), _FACTS)
    missing = [name for name in wanted if name not in facts]
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
    foreign = [name for name in held if name not in _FILES]
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
    """``name``, ``method``, ``sha256`` of what was learned and ``config_sha256`` of a model package."""
    facts = read_config(folder)
    return {
        "name": Path(folder).resolve().name,
        "method": facts["method"],
        "sha256": facts["sha256"],
        "config_sha256": file_sha256(Path(folder) / CONFIG),
    }


def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("jido", "numpy", "rasterio", *libraries)}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json_text(value, indent=1) + "\n", encoding="utf-8")


def _wrapped(text: str) -> str:
    """Markdown in lines that fit a terminal; tables stay as they are."""
    lines = (line if line.startswith("|") else textwrap.fill(line, WIDTH) for line in text.splitlines())
    return "\n".join(lines) + "\n"


def first_line(err: Exception) -> str:
    """What an error of somebody else's says, short enough for a sentence of ours."""
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")


def _pair(value: list[float] | None) -> tuple[float, float] | None:
    return None if value is None else (value[0], value[1])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(figure: dict[str, float | None]) -> str:
    """Both ends, or a dash where none is claimed."""
    known = figure["lower"] is not None and figure["upper"] is not None
    return f"{_text(figure['lower'])} - {_text(figure['upper'])}" if known else _text(None)
