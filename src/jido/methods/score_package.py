"""The package of a score: features, an ensemble of linear scores, and what they rest on."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches
from jido.errors import ModelError
from jido.io import TENSORS, Progress, file_sha256, json_text, load_tensors, replacing, write_tensors
from jido.io.package import CARD, CONFIG, FORMAT, METRICS, SCORE, WIDTH, read_config, require_package_place
from jido.methods.siscore import Ensemble
from jido.methods.tile_features import TileFeatures
from jido.stats.intervals import member_interval

DEVELOPMENT = "development score"
"""What a score that respects experts' orders is called; others are called like a column of a survey."""

AT_ONCE = 256
"""Tiles described together, between two steps of the progress bar."""

_PARTS = ("mean", "sd", "weight", "bias")
"""Arrays of an ensemble."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of N tiles; NaN for tiles without data.

    Args:
        score: (N,) mean of the members.
        lower: (N,) of the interval.
        upper: (N,) of the interval.
        members: (M, N).
    """

    score: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    members: np.ndarray


@dataclass(frozen=True, eq=False)
class ScoreModel:
    """A score for tiles.

    Args:
        features: how tiles are described.
        ensemble: linear scores of what describes them.
        target: what is scored: :data:`DEVELOPMENT`, or a column of a survey.
        level: of the intervals.
        half: half width of the interval of a survey cluster in a group that was not seen, as held-out groups
            have told it; tiles get the same, though a survey tells nothing of a single tile. Without it the
            interval is that of one further member: what another study would say, with other experts,
            clusters and tiles (:func:`~jido.stats.intervals.member_interval`).
        config: settings of the training.
        evaluation: what held-out clusters or groups told.
        facts: more to be said: experts, files, what intervals know nothing of.
    """

    features: TileFeatures
    ensemble: Ensemble
    target: str
    level: float
    half: float | None
    config: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest possible score."""
        return self.ensemble.bounds

    def described(self, chips: Chips, *, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Features (n, D) of tiles, :data:`AT_ONCE` after the other.

        Raises:
            ImageError: when the tiles have other bands, pixels of another size, or numbers that mean
                something else.
        """
        self.features.require_fit(chips)
        for some in batches(np.arange(len(chips)), AT_ONCE):
            yield self.features.of(chips.subset(some))
            if progress:
                progress("scoring tiles", int(some[-1]) + 1, len(chips))

    def scores(
        self, chips: Chips, *, features: np.ndarray | None = None, progress: Progress | None = None
    ) -> Scores:
        """Scores of tiles with their intervals.

        Args:
            chips: the tiles.
            features: what :meth:`described` says of them, where that is known.
            progress: told the tiles.

        Raises:
            ImageError: as :meth:`described`.
        """
        parts = self.described(chips, progress=progress) if features is None else (features,)
        members = np.concatenate([self.ensemble.members(part) for part in parts], axis=1)
        mean, lower, upper, _ = member_interval(members, level=self.level, bounds=self.bounds)
        if self.half is not None:
            lower, upper = (np.clip(mean + sign * self.half, *self.bounds) for sign in (-1, 1))
        return Scores(mean, lower, upper, members)

    # -- the folder ----------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the folder: arrays as safetensors, config, figures, card; an older package is replaced.

        Raises:
            OutputError: when the place cannot be written.
        """
        require_package_place(folder)
        arrays = {f"features.{name}": value for name, value in self.features.arrays().items()}
        arrays |= {f"score.{name}": np.asarray(getattr(self.ensemble, name)) for name in _PARTS}
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            write_tensors({k: np.asarray(v, order="C") for k, v in arrays.items()}, fresh / TENSORS)
            facts = {
                "format": FORMAT,
                "method": SCORE,
                "config": dict(self.config),
                "features": self.features.to_dict(),
                "target": self.target,
                "bounds": [end if np.isfinite(end) else None for end in self.bounds],
                "level": self.level,
                "half": self.half,
                "facts": dict(self.facts),
                "sha256": file_sha256(fresh / TENSORS),
            }
            (fresh / CONFIG).write_text(json_text(facts, indent=1), encoding="utf-8")
            (fresh / METRICS).write_text(json_text(dict(self.evaluation), indent=1), encoding="utf-8")
            (fresh / CARD).write_text(self._card(Path(folder).name), encoding="utf-8")

    def _card(self, name: str) -> str:
        known = self.features
        pixel = f" of {known.pixel_m[0]:.3g} m" if known.pixel_m else ""
        words = (
            f"Gives tiles of {known.side} x {known.side} pixels{pixel} ({', '.join(known.bands)}) a number: "
            f"{self.target}. {len(self.ensemble.bias)} linear scores on features of kind {known.kind!r}. It "
            "gives no pixel a class. jido score map this_folder TILES -o OUT."
        )
        truth = (
            "It respects the order that people gave to clusters of tiles; how well that order measures what "
            "it is called, only a survey can tell."
            if self.target == DEVELOPMENT
            else "How well it predicts the survey in groups that it has not seen stands in metrics.json. The "
            "intervals are those of a survey cluster in such a group; of a single tile no survey tells."
        )
        return f"# {name}\n\n{textwrap.fill(words, WIDTH)}\n\n{textwrap.fill(truth, WIDTH)}\n"

    @classmethod
    def load(cls, folder: str | Path) -> ScoreModel:
        """Read a package written by :meth:`save`; runs no code from it.

        Raises:
            ModelError: when the folder is none, is damaged, or holds a model of another kind.
        """
        facts = read_config(folder)
        if facts["method"] != SCORE:
            raise ModelError(
                f"{folder} gives tiles no score (method {facts['method']!r}): make one with jido score train."
            )
        held = load_tensors(folder)
        try:
            evaluation = json.loads((Path(folder) / METRICS).read_text(encoding="utf-8"))
            low, high = facts["bounds"]
            bounds = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
            arrays = {k.removeprefix("features."): v for k, v in held.items() if k.startswith("features.")}
            return cls(
                features=TileFeatures.of_package(facts["features"], arrays),
                ensemble=Ensemble(**{name: held[f"score.{name}"] for name in _PARTS}, bounds=bounds),
                target=str(facts["target"]),
                level=float(facts["level"]),
                half=None if facts.get("half") is None else float(facts["half"]),
                config=dict(facts["config"]),
                evaluation=dict(evaluation),
                facts=dict(facts.get("facts", {})),
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as err:
            raise ModelError(f"{folder} holds facts that cannot be used: train the score again.") from err
