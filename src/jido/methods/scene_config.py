"""Settings of scene classification: the recipe of each net, and how much is spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from jido.errors import ModelError
from jido.methods.settings import read_settings
from jido.nets import Setting

Optimiser = Literal["muon", "adamw", "adam", "sgd"]
NetName = Literal["compact", "balanced", "cbam", "baseline"]


class SceneConfig(BaseModel):
    """Settings of a training; the defaults are those of the compact net.

    EuroSAT RGB (18,900 images to learn from) on 2 quiet cores: 14 epochs take about 3 minutes. The
    paper's nets need a GPU: ``balanced`` has 60 times the arithmetic of ``compact`` for an image and 80
    epochs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    net: NetName = "compact"
    settings: dict[str, Setting] = Field(default_factory=dict, description="of the net, besides channels")
    epochs: PositiveInt = 14
    least_steps: NonNegativeInt = Field(0, description="small sets get more epochs, to reach so many steps")
    batch: PositiveInt = 128
    optimiser: Optimiser = Field("muon", description="muon: with AdamW for what is no inner matrix")
    learning_rate: PositiveFloat = 0.02
    small_learning_rate: PositiveFloat = Field(0.003, description="of AdamW beside muon")
    weight_decay: NonNegativeFloat = 0.05
    schedule: Literal["triangle", "cosine", "restarts", "plateau", "flat"] = "triangle"
    restart: PositiveInt = Field(
        15, description="epochs of the first cosine of restarts; each is twice as long"
    )
    patience: NonNegativeInt = Field(
        0, description="epochs without a better one that end a training; 0: none"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    average: float = Field(
        0.99, ge=0, lt=1, description="share of the mean of weights kept in a step; 0: none"
    )
    class_weights: dict[str, NonNegativeFloat] | Literal["flat", "confusion"] = Field(
        "flat", description="in the loss; confusion: from validation images after a quarter of the epochs"
    )
    augment: Literal["none", "turned", "paper"] = "turned"
    shift: NonNegativeInt = Field(4, description="pixels by which images are moved when turned")
    precision: Literal["fp32", "bf16"] = "bf16"
    judge_every: PositiveInt = Field(2, description="epochs from one look at validation images to the next")
    views: bool = Field(False, description="predict the mean over the 8 turned and mirrored images")
    stride: PositiveInt | None = Field(None, description="pixels between windows of a map; half of the image")
    seed: NonNegativeInt = 0


RECIPES: dict[NetName, dict[str, Any]] = {
    "compact": {},
    "balanced": {
        "epochs": 80,
        "batch": 64,
        "optimiser": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
        "schedule": "restarts",
        "patience": 15,
        "class_weights": "confusion",
        "label_smoothing": 0.0,
        "average": 0.0,
        "judge_every": 1,
        "augment": "paper",
    },
    "cbam": {
        "epochs": 40,
        "batch": 64,
        "optimiser": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "label_smoothing": 0.0,
        "average": 0.0,
        "judge_every": 1,
        "augment": "paper",
    },
    "baseline": {
        "epochs": 30,
        "batch": 64,
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "schedule": "plateau",
        "label_smoothing": 0.0,
        "average": 0.0,
        "judge_every": 1,
        "augment": "paper",
    },
}
"""What differs from the defaults for a net: the paper's, as far as it tells them."""

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 1, "batch": 32},
    "cpu": {},
    "full": {},
}
"""What differs for all nets."""

COMPACT: dict[str, dict[str, Any]] = {
    "smoke": {"settings": {"width": 8}},
    "cpu": {"least_steps": 1000},
    "full": {"settings": {"width": 128, "stages": 3, "blocks": 2}, "epochs": 120, "least_steps": 4000},
}
"""What differs for the compact net."""


def load_scene_config(
    path: str | Path | None = None,
    *,
    net: NetName = "compact",
    preset: str = "cpu",
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> SceneConfig:
    """``defaults``, overruled by recipe and preset, by a TOML file, and by what is ``given``.

    Raises:
        ModelError: when the file cannot be read, holds a setting that does not exist, or names another net.
    """
    chosen = RECIPES[net] | PRESETS[preset] | (COMPACT[preset] if net == "compact" else {})
    found = read_settings(SceneConfig, path, {"net": net, **chosen}, given=given, **defaults)
    if path is not None and found.net != net:
        raise ModelError(
            f"The settings in {path} are for the net {found.net!r}, which has a recipe of its own: give "
            f"--net {found.net} too."
        )
    return found
