"""Neural networks: tensors in, tensors out. They know nothing of files, bands or classes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from jido.errors import ModelError
from jido.nets.settings import Setting

if TYPE_CHECKING:
    import numpy as np

    from jido.nets.blocks import Net

Head = Literal["error", "missed", "false_alarm"]
"""What an output after the first, the target, has learned: see :mod:`jido.nets.heads`."""

Combine = Literal["union", "mean", "signed", "target"]
"""How heads count for the score of the target."""

NETS = {
    "unet": "jido.nets.unet:UNet",
    "resunet": "jido.nets.unet:ResUNet",
    "patch": "jido.nets.patch:PatchNet",
    "compact": "jido.nets.scene:CompactNet",
    "balanced": "jido.nets.scene:BalancedNet",
    "cbam": "jido.nets.scene:CBAMNet",
    "baseline": "jido.nets.scene:BaselineNet",
    "encoder": "jido.nets.encoders:EncoderNet",
    "tile": "jido.nets.tile:TileNet",
    "change_unet": "jido.nets.change:ChangeUNet",
    "change_patch": "jido.nets.change:ChangePatchNet",
}
"""Name in a config -> the class of the net."""


def build_net(name: str, **settings: Setting) -> Net:
    """A net with fresh weights, drawn from torch's random numbers.

    Args:
        name: one of :data:`NETS`.
        settings: what the net's constructor takes.

    Raises:
        ModelError: without torch, for an unknown name, or for settings the net does not have.
    """
    net = _net_class(name)
    try:
        return net(**settings)
    except (TypeError, ValueError, RuntimeError) as err:  # of torch: sizes below 0 or beyond the memory
        reason = str(err).splitlines()[0].rstrip(". ")
        raise ModelError(f"The net {name!r} cannot be built ({reason}): correct its settings.") from err


def load_net(name: str, weights: Mapping[str, np.ndarray], **settings: Setting) -> Net:
    """A net with these weights, by name; draws no random number.

    Raises:
        ModelError: as :func:`build_net`, and for weights of another net.
    """
    _net_class(name)
    import torch

    with torch.device("meta"):
        net = build_net(name, **settings)
    found = {key: torch.tensor(value) for key, value in weights.items()}
    kinds = [{key: (*t.shape, t.dtype) for key, t in state.items()} for state in (net.state_dict(), found)]
    for key in sorted(kinds[0].keys() | kinds[1].keys()):
        wanted, given = (kind.get(key, "nothing") for kind in kinds)
        if wanted != given:
            raise ModelError(f"The weights are of another net ({key} is {given}, not {wanted}): train again.")
    net.load_state_dict(found, assign=True)
    return net


def _net_class(name: str) -> Callable[..., Net]:
    if name not in NETS:
        raise ModelError(f"There is no net {name!r}: use one of {', '.join(NETS)}, or update jido.")
    module, attribute = NETS[name].split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as err:
        raise ModelError('Neural networks need torch: pip install "jido[deep]".') from err
