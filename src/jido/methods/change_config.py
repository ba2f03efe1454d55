"""Settings of what learns from before and after."""

from __future__ import annotations

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

Way = Literal["boosting", "net", "cells", "index"]


class ChangeConfig(BaseModel):
    """Settings of a training.

    72 pairs of 256 x 256 pixels on one core: ``boosting`` half a minute, ``net`` six minutes, for each fold
    and once more for the model of the maps. See ``experiments/RESULTS.md`` for the figures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Way = Field(
        "boosting",
        description="boosting: trees on pixels and their surroundings; net: U-Net; cells: a net for grid "
        "cells; index: a threshold on the change of one index",
    )
    dates: Literal["both", "after"] = Field(
        "both", description="after: the second date alone, to compare with"
    )
    folds: NonNegativeInt = Field(4, description="of events, for the figures; 0: one cannot be judged")
    seed: NonNegativeInt = 0

    radii: tuple[PositiveInt, ...] = Field((2, 7, 20), description="of surroundings in pixels (boosting)")
    trees: PositiveInt = Field(150, description="of boosting")
    leaves: PositiveInt = Field(31, description="of a tree")
    pixels: PositiveInt = Field(300_000, description="to learn from, as many of each tile (trees)")

    width: PositiveInt = Field(16, description="channels of the net at half resolution")
    depth: PositiveInt = Field(4, description="resolutions of the net")
    epochs: PositiveInt = 100
    batch: PositiveInt = 8
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.01
    mixed: float = Field(0.5, ge=0, le=1, description="share of batches in which tiles swap a rectangle")
    jitter: NonNegativeFloat = Field(
        0.0, description="spread of the logarithm of brightness, of both dates and of each apart"
    )
    loss: str = Field("bce_iou", description="one of jido.losses.LOSSES")
    average: float = Field(0.99, ge=0, lt=1, description="share of the mean of weights kept in a step")
    views: bool = Field(False, description="mean over the 8 turned and mirrored images")
    precision: Literal["fp32", "bf16"] = "bf16"

    cell: PositiveInt = Field(16, description="side of a grid cell in pixels, for figures and for cells")
    patch: PositiveInt = Field(32, description="side of what a net for cells sees, in pixels")
    least: float = Field(0.5, gt=0, le=1, description="share of target from which a cell counts as one")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"trees": 10, "pixels": 5000, "epochs": 1, "width": 4, "folds": 2, "views": False},
    "cpu": {},
    "full": {"method": "net", "width": 32, "depth": 5, "epochs": 200},
}


def load_change_config(path: str | Path | None = None, *, preset: str = "cpu", **given: Any) -> ChangeConfig:
    """Settings of a preset, overruled by those of a TOML file, and by what is ``given``.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(ChangeConfig, path, PRESETS[preset], given=given)
