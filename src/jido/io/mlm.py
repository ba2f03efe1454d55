"""A STAC item that describes a net to other tools, with the machine learning model extension (MLM)."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jido.geo import Band
from jido.io.weights import TENSORS
from jido.labels import ClassScheme

if TYPE_CHECKING:
    from pystac.extensions.mlm import ModelInput, ModelOutput


def mlm_item(
    name: str,
    *,
    net: str,
    settings: Mapping[str, int | float | str],
    parameters: int,
    bands: Sequence[Band],
    mean: Sequence[float],
    sd: Sequence[float],
    scheme: ClassScheme,
    window: int | None,
    batch: int,
) -> dict[str, Any] | None:
    """The item as JSON, or ``None`` where the packages that make one are not installed.

    Source: https://github.com/stac-extensions/mlm, version 1.4.0.

    Args:
        name: of the model package.
        net: name of the net.
        settings: what built it.
        parameters: how many numbers it has learned.
        bands: what it reads, in order.
        mean: of each band, taken off before the net.
        sd: of each band, divided by before the net.
        scheme: its classes.
        window: side in pixels of what gets one class; ``None`` when every pixel gets one.
        batch: images predicted together.
    """
    try:
        import pystac
        from pystac.extensions.mlm import AssetGeneralMLMExtension, Hyperparameters, MLMExtension, TaskType
    except ModuleNotFoundError:
        return None
    task = TaskType.SEMANTIC_SEGMENTATION if window is None else TaskType.SCENE_CLASSIFICATION
    item = pystac.Item(name, geometry=None, bbox=None, datetime=datetime.now(UTC), properties={})
    MLMExtension.ext(item, add_if_missing=True).apply(
        name=f"Jido {net}",
        architecture=net,
        tasks=[task],
        input=[_input(bands, mean, sd, window or -1)],
        output=[_output(scheme, task, per_pixel=window is None)],
        framework="PyTorch",
        framework_version=importlib.metadata.version("torch"),
        total_parameters=parameters,
        batch_size_suggestion=batch,
        hyperparameters=Hyperparameters.create(**settings),
    )
    item.add_asset("weights", pystac.Asset(TENSORS, roles=["mlm:model", "mlm:weights"]))
    for holder in (item.properties, item.assets["weights"].extra_fields):  # MLM and STAC 1.1 ask for one each
        holder["bands"] = [{"name": band.name} for band in bands]
    AssetGeneralMLMExtension.ext(item.assets["weights"]).apply(artifact_type="safetensors")
    return item.to_dict()


def _input(bands: Sequence[Band], mean: Sequence[float], sd: Sequence[float], side: int) -> ModelInput:
    from pystac.extensions.mlm import InputStructure, ModelInput, ValueScaling, ValueScalingType
    from pystac.extensions.raster import DataType

    made = ModelInput.create(
        name="image",
        bands=[band.name for band in bands],
        input=InputStructure.create(
            [-1, len(bands), side, side], ["batch", "bands", "height", "width"], DataType.FLOAT32
        ),
        description="Band values in the units of training, scaled; 0 after scaling where there is no data.",
    )
    made.properties["value_scaling"] = [  # the setter takes one for all bands, the schema one for each
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=m, stddev=s).to_dict()
        for m, s in zip(mean, sd, strict=True)
    ]
    return made


def _output(scheme: ClassScheme, task: str, *, per_pixel: bool) -> ModelOutput:
    from pystac.extensions.classification import Classification
    from pystac.extensions.mlm import ModelOutput, ResultStructure, TaskType
    from pystac.extensions.raster import DataType

    sides = ["height", "width"] if per_pixel else []
    return ModelOutput.create(
        name="probabilities",
        tasks=[TaskType(task)],
        result=ResultStructure.create(
            [-1, len(scheme.classes), *(-1 for _ in sides)], ["batch", "class", *sides], DataType.FLOAT32
        ),
        classes=[
            Classification.create(c.code, c.name, name=c.label, color_hint=c.color.lstrip("#"))
            for c in scheme.classes
        ],
    )
