"""A net for other programs: ONNX, with normalisation and probabilities inside the graph."""

from __future__ import annotations

import importlib.metadata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from jido.errors import ModelError, OutputError
from jido.io import replacing
from jido.methods import Model
from jido.methods.net import NetModel

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 17
"""Version of the ONNX operators: of 2022, so that old runtimes read it too."""


def _contract(model: NetModel) -> dict[str, str]:
    """What an exported net takes and gives, in words."""
    patch = model.config.patch
    sides, rule = f"{patch}, {patch}", f"windows of {patch} x {patch} pixels"
    if patch is None:
        sides, rule = "height, width", f"height and width divisible by {model.net.divisor}"
    cells = ", height, width" if patch is None else ""
    return {
        "opset": str(OPSET),
        "input": f"image float32 (batch, {len(model.bands)}, {sides}), {rule}; values as in training, before "
        "scaling; NaN = no data" + (", but for rims: the nearest value" if patch else ""),
        "bands": ", ".join(band.name for band in model.bands),
        "output": f"probabilities float32 (batch, {len(model.scheme.classes)}{cells})",
        "classes": ", ".join(f"{c.code} {c.name}" for c in model.scheme.classes),
        "jido": importlib.metadata.version("jido"),
    }


def export_onnx(model: Model, path: str | Path) -> dict[str, str]:
    """Write a net as ONNX; gives what it takes and gives, which stands in its metadata too.

    The graph computes in float32, also for a net that Jido runs in bf16. Bands and classes are in order.

    Raises:
        ModelError: for a model that is no net, or without onnx.
        OutputError: when the name does not end in .onnx, or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".onnx":
        raise OutputError(f"{path} is no name for an ONNX file: end it with .onnx.")
    if not isinstance(model, NetModel):
        raise ModelError("Only nets can be exported as ONNX: give the package of a net.")
    try:
        import onnx
    except ModuleNotFoundError as err:
        raise ModelError('Export needs onnx: pip install "jido[onnx]".') from err
    contract = _contract(model)
    with replacing(path) as fresh:
        _write_graph(model, fresh)
        made = onnx.load(fresh)
        onnx.helper.set_model_props(made, contract)
        onnx.save(made, fresh)
    return contract


def _write_graph(model: NetModel, path: Path) -> None:
    import torch

    side = model.config.patch or 8 * model.net.divisor
    sides = {2: "height", 3: "width"} if model.config.patch is None else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs one more package
        torch.onnx.export(
            _whole(model),
            (torch.zeros(1, len(model.bands), side, side),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_axes={name: {0: "batch", **sides} for name in ("image", "probabilities")},
        )


def _whole(model: NetModel) -> nn.Module:
    """From band values to probabilities, as :meth:`NetModel.predict` does it around the net."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.net
            self.mean, self.sd = (
                torch.tensor(values)[:, None, None] for values in (model.config.mean, model.config.sd)
            )

        def forward(self, image: Tensor) -> Tensor:
            known = torch.where(torch.isfinite(image), image, self.mean)
            return model.probabilities(self.net((known - self.mean) / self.sd))

    return Whole().eval()
