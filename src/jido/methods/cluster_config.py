"""Settings of the clustering of tiles."""

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


class ClusterConfig(BaseModel):
    """Settings of a clustering.

    440 tiles of 64 pixels from scratch: 40 seconds on one core, most of it in the 20 epochs. The published
    code (Ahn et al. 2023) has 20 epochs, batches of 32 and 50 groups as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    k_urban: PositiveInt | None = Field(None, description="clusters of urban tiles; the silhouette's without")
    k_rural: PositiveInt | None = Field(None, description="clusters of rural tiles; the silhouette's without")
    k_least: int = Field(4, ge=2, description="fewest clusters of a kind that the silhouette may choose")
    k_most: int = Field(16, ge=2, description="most clusters of a kind that the silhouette may choose")
    dims: PositiveInt = Field(
        256, description="directions of the vectors that are kept and whitened, at most"
    )
    tiles_per_dim: PositiveInt = Field(
        25,
        description="tiles of a kind for each direction: with fewer, whitening makes all tiles equally far",
    )
    starts: PositiveInt = Field(10, description="of k-means; the one with the least spread inside counts")
    side: PositiveInt = Field(64, description="of a tile in pixels for the net; larger tiles are averaged")
    net: dict[str, Setting] = Field(
        default_factory=dict, description="of the compact net from scratch: width, stages, blocks"
    )
    epochs: NonNegativeInt = Field(20, description="clusterings that the net learns; 0: it stays as it is")
    least_steps: PositiveInt = Field(14, description="batches of an epoch, also where there are few tiles")
    most_steps: PositiveInt = Field(200, description="batches of an epoch, also where there are many tiles")
    batch: int = Field(32, ge=2, description="tiles in a batch, each seen twice")
    groups: int = Field(50, ge=2, description="that the net learns, at most one for 10 tiles")
    agreement: NonNegativeFloat = Field(1.0, description="weight of the distance of two views")
    views: dict[str, float] = Field(
        default_factory=lambda: {"band_dropout": 0.0}, description="how far two views differ"
    )
    learning_rate: PositiveFloat = 1e-3
    head_rate: PositiveFloat = Field(1e-2, description="learning rate of the head, which is new every epoch")
    weight_decay: NonNegativeFloat = 0.05
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: NonNegativeInt = 0

    def dims_of(self, count: int) -> int:
        """Directions of the vectors of so many tiles that are kept, 2 or more."""
        return min(self.dims, max(count // self.tiles_per_dim, 2))

    def asked(self, kind: str) -> int | None:
        """How many clusters of a kind are asked for."""
        return {"urban": self.k_urban, "rural": self.k_rural}.get(kind)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 2, "side": 32, "net": {"width": 8}, "starts": 3, "least_steps": 4},
    "cpu": {},
    "full": {
        "epochs": 40,
        "side": 128,
        "net": {"width": 64, "stages": 3},
        "least_steps": 50,
        "most_steps": 1000,
    },
}


def load_cluster_config(
    path: str | Path | None = None,
    *,
    preset: str = "cpu",
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> ClusterConfig:
    """Settings of a preset, overruled by those of a TOML file and by what is ``given``.

    Raises:
        ModelError: when the file cannot be read, holds a setting that does not exist, or leaves no k to
            choose.
    """
    config = read_settings(ClusterConfig, path, PRESETS[preset], given=given, **defaults)
    if config.k_least > config.k_most:
        raise ModelError(
            f"There is no number of clusters from {config.k_least} to {config.k_most}: give a k_least "
            "that is not above k_most."
        )
    return config
