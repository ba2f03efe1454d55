"""Settings of the three classes of tiles: how they are seen, how their classes are learned."""

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

from jido.methods.settings import read_settings


class TileClassesConfig(BaseModel):
    """Settings; weights of the mean teacher are those of Ahn et al. 2023 (s41467-023-42122-8).

    600 labelled and 643 other tiles of 256 x 256 pixels: 5 minutes on one core of a laptop for seeing all of
    them four times, and 5 seconds for each training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: Literal["both", "net", "linear"] = Field(
        "both", description="mean teacher net and logistic regression, or one of them"
    )
    side: PositiveInt = Field(256, description="pixels to which larger tiles are averaged")
    views: PositiveInt = Field(
        4, description="times that a tile is seen in training, changed but for the first"
    )
    unlabelled: NonNegativeInt = Field(1000, description="other tiles that are learned from, at most")
    shift: float = Field(0.125, ge=0, lt=1, description="share of its side by which a view is moved")
    brightness: NonNegativeFloat = Field(0.2, description="of a view, spread of its logarithm")
    colour: NonNegativeFloat = Field(0.05, description="of each band, spread of its logarithm")
    contrast: NonNegativeFloat = Field(0.1, description="of a view, spread of the logarithm of an exponent")
    sharpened: float = Field(
        0.75,
        ge=0,
        le=1,
        description="part of the target that is the most frequent answer; the rest is shares",
    )
    strength: PositiveFloat = Field(
        0.3, description="C of the logistic regression, the inverse of its penalty"
    )
    hidden: PositiveInt = Field(128, description="units of the net's hidden layer")
    consistency: NonNegativeFloat = Field(12.5, description="weight of agreement with the teacher; 0: none")
    ramp_up: NonNegativeInt = Field(20, description="epochs until it has its full weight")
    teacher: float = Field(
        0.999, ge=0, lt=1, description="share of its weights that the teacher keeps in a step"
    )
    epochs: PositiveInt = 60
    least_steps: NonNegativeInt = Field(400, description="few labels get more epochs, to reach so many steps")
    batch: PositiveInt = Field(64, description="labelled tiles of a step; as many others come with them")
    learning_rate: PositiveFloat = 5e-3
    weight_decay: NonNegativeFloat = 0.05
    seed: NonNegativeInt = 0


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"views": 1, "unlabelled": 32, "side": 64, "epochs": 2, "least_steps": 0, "ramp_up": 1},
    "cpu": {},
    "full": {"views": 8, "unlabelled": 10_000},
}


def load_tile_classes_config(
    path: str | Path | None = None,
    *,
    preset: str = "cpu",
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> TileClassesConfig:
    """Settings of a preset, overruled by those of a TOML file and by what is ``given``.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(TileClassesConfig, path, PRESETS[preset], given=given, **defaults)
