"""Nets that have learned from other people's photographs, as encoders of tiles: an optional extra."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jido.errors import ModelError
from jido.methods.tune import Tuning
from jido.nets import build_net

if TYPE_CHECKING:
    from torch import nn

    from jido.nets.encoders import EncoderNet
    from jido.train import Learner


def backbone(name: str, *, bands: int) -> nn.Module:
    """A net of the timm package with its own weights, without its classes: images -> vectors.

    timm fits the first layer to other numbers of bands than three. It fetches weights that are not on the
    machine, and answers for where they come from.

    Args:
        name: as timm has it, ``resnet18.a1_in1k``.
        bands: of the images.

    Raises:
        ModelError: without timm, for a name that it does not have, and for weights that cannot be fetched.
    """
    try:
        import timm
    except ModuleNotFoundError as err:
        raise ModelError(
            f'The net {name!r} is one of timm, which is missing: pip install "jido[backbones]", or take an '
            "encoder of jido lcz pretrain."
        ) from err
    try:
        return timm.create_model(name, pretrained=True, in_chans=bands, num_classes=0)
    except (RuntimeError, ValueError, OSError) as err:
        reason = str(err).splitlines()[0].rstrip(". ")
        raise ModelError(
            f"timm gives no net {name!r} ({reason}): name one of timm.list_pretrained()."
        ) from err


@dataclass(eq=False)
class BackboneTuning(Tuning):
    """Tuning that begins with a net of timm; its learning rate is that of a pretrained encoder.

    Args:
        name: of the net.
    """

    name: str = ""

    @cached_property
    def learner(self) -> Learner:
        """The net, its loss and its optimiser."""
        import torch

        from jido.train import Learner, seeded, triangle

        config = self.config
        with seeded(self.seed):
            net = self._net()
        if not config.encoder_rate:
            net.freeze()
        parts = ((net.encoder, config.encoder_rate), (net.head, 1.0))
        groups = [{"params": list(p.parameters()), "lr": config.learning_rate * r} for p, r in parts if r]
        return Learner(
            net,
            torch.nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
            optimisers=lambda _: [torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)],
            schedule=lambda step: triangle(step / config.steps),
            average=config.average,
            precision=config.precision,
        )

    def _net(self) -> EncoderNet:
        """An encoder net around the one of timm.

        Raises:
            ModelError: when that takes no images of this size, or gives no vectors.
        """
        import torch

        bands, side = self.pool.images.shape[1], self.pool.side
        inner = backbone(self.name, bands=bands).eval()
        try:
            with torch.inference_mode():
                (width,) = inner(torch.zeros(1, bands, side, side)).shape[1:]
        except (AssertionError, RuntimeError, ValueError) as err:
            raise ModelError(
                f"The net {self.name!r} gives no vectors of images of {side} x {side} pixels: take another "
                "net, or larger images."
            ) from err
        small = {"sensors": f"image:{bands}", "width": 1, "stages": 1, "kernels": 1}
        net: EncoderNet = build_net("encoder", in_channels=bands, out_channels=self.classes, **small)  # type: ignore[assignment, arg-type]
        net.encoder, net.head = inner, torch.nn.Linear(width, self.classes)  # type: ignore[assignment]
        return net
