"""Settings of a score that respects experts' orders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jido.methods.settings import read_settings

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"members": 3, "filters": 32, "epochs": 3},
    "cpu": {},
    "full": {"members": 100, "filters": 512},
}


class SiscoreConfig(BaseModel):
    """Settings; those without a source were chosen on held-out clusters (experiments/poverty.py).

    Args:
        features: ``random`` filters, or ``net``, the last layer of a model that is given.
        filters: how many random ones; two features each.
        side: pixels to which larger tiles are averaged before random filters see them.
        members: of the ensemble.
        level: of the intervals.
        sharpness: of soft ranks (the paper: 30).
        spread: price of the variance inside clusters (the paper: 4).
        tiles: of a cluster in a step (the paper: 20).
        epochs: rounds after which the order of unseen clusters is looked at.
        steps: of a round.
        learning_rate: of Adam.
        weight_decay: of the weights.
        resample: whether members draw experts, clusters and tiles; else they differ by seed alone.
        seed: of everything.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Literal["random", "net"] = "random"
    filters: int = Field(256, ge=1)
    side: int = Field(128, ge=8)
    members: int = Field(40, ge=2)
    level: float = Field(0.95, gt=0, lt=1)
    sharpness: float = Field(10.0, gt=0)
    spread: float = Field(4.0, ge=0)
    tiles: int = Field(20, ge=2)
    epochs: int = Field(10, ge=1)
    steps: int = Field(30, ge=1)
    learning_rate: float = Field(0.01, gt=0, le=1)
    weight_decay: float = Field(0.1, ge=0)
    resample: bool = True
    seed: int = Field(0, ge=0)


def load_siscore_config(
    path: str | Path | None, *, preset: str, given: Mapping[str, Any] | None = None
) -> SiscoreConfig:
    """The settings of a preset, overruled by a TOML file, overruled by what is given.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(SiscoreConfig, path, PRESETS[preset], given=given)
