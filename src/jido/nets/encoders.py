"""Encoders for any set of sensors: a stack of image patches in, a vector out, for patches from 8 pixels on.

Nawaz et al. 2025 (SSMMRL), doi 10.3390/rs17081335, say that their encoder takes stacked radar and
multispectral bands and adapts to the size of its input by dynamic convolution. Its layers are not
published; these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jido.errors import ModelError
from jido.nets.blocks import Net, conv_bn
from jido.nets.dynamic import DynamicConv2d
from jido.nets.settings import Setting


def parse_sensors(text: str) -> dict[str, int]:
    """Number of bands of each sensor, in the order in which they are stacked, of ``"s1:2 s2:10"``.

    Raises:
        ModelError: when it is none.
    """
    try:
        found = {name: int(count) for name, count in (part.split(":") for part in text.split())}
    except ValueError:
        found = {}
    named = all(name and "." not in name for name in found)  # torch has no parts of other names
    if not found or not named or min(found.values()) < 1 or len(found) < len(text.split()):
        raise ModelError(f"{text!r} names no sensors: write each with its number of bands, 's1:2 s2:10'.")
    return found


def present(part: Tensor) -> Tensor:
    """Bool (B,): images (B, C, h, w) that are not all 0, which is what missing data becomes."""
    return part.flatten(1).abs().amax(1) > 0


class Encoder(nn.Module):
    """Vectors (B, ``out_channels``) of stacked bands (B, C, H, W) of one date."""

    out_channels: int


class SensorStems(nn.Module):
    """A stem for each sensor, and the mean of those that are there.

    A sensor whose normalised values are all 0 in an image is missing there. Where all of several are missing
    the result is 0.

    Args:
        sensors: number of bands of each, in the order in which they are stacked.
        width: channels of the result.
        stride: by which height and width are divided.
    """

    def __init__(self, sensors: Mapping[str, int], width: int, *, stride: int) -> None:
        super().__init__()
        self.counts = tuple(sensors.values())
        self.stems = nn.ModuleDict({n: conv_bn(count, width, stride=stride) for n, count in sensors.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h / stride, w / stride) of stacked bands (B, C, h, w)."""
        if len(self.stems) == 1:
            return next(iter(self.stems.values()))(x)
        parts = x.split(self.counts, dim=1)
        there = torch.stack([present(part) for part in parts]).to(x.dtype)  # (sensors, B)
        share = (there / there.sum(0).clamp(min=1))[:, :, None, None, None]
        seen = [stem(part) for part, stem in zip(parts, self.stems.values(), strict=True)]
        return sum(one * weight for one, weight in zip(seen, share, strict=True))


class Block(nn.Module):
    """Two convolutions, plain or dynamic, and a short cut around them.

    Args:
        channels: that come in and go out.
        kernels: that are mixed; 1: plain convolutions.
    """

    def __init__(self, channels: int, *, kernels: int) -> None:
        super().__init__()

        def conv() -> nn.Module:
            if kernels > 1:
                return DynamicConv2d(channels, channels, kernels=kernels)
            return nn.Conv2d(channels, channels, 3, padding=1, bias=False)

        self.body = nn.Sequential(
            conv(), nn.BatchNorm2d(channels), nn.ReLU(inplace=True), conv(), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w)."""
        return torch.relu(x + self.body(x))


class SensorEncoder(Encoder):
    """Residual stages behind a stem for each sensor, and the mean over the patch.

    Args:
        sensors: number of bands of each, in the order in which they are stacked.
        width: channels of the first stage; they double with every stage.
        stages: each but the first halves height and width.
        blocks: residual blocks of a stage.
        first_stride: of the stems; 2 for patches of 24 pixels and more.
        kernels: of a dynamic convolution; 1: all convolutions are plain.
        dynamic: how many stages, from the last, have dynamic convolutions.
    """

    def __init__(
        self,
        sensors: Mapping[str, int],
        *,
        width: int = 64,
        stages: int = 3,
        blocks: int = 1,
        first_stride: int = 1,
        kernels: int = 4,
        dynamic: int = 1,
    ) -> None:
        super().__init__()
        if min(width, stages, blocks, first_stride, kernels) < 1:
            raise ModelError("An encoder needs width, stages, blocks, first_stride and kernels of 1 or more.")
        self.out_channels = width * 2 ** (stages - 1)
        self.stems = SensorStems(sensors, width, stride=first_stride)
        parts: list[nn.Module] = []
        for stage in range(stages):
            n = width * 2**stage
            mixed = kernels if stage >= stages - dynamic else 1
            parts += [conv_bn(n // 2, n, stride=2)] if stage else []
            parts += [Block(n, kernels=mixed) for _ in range(blocks)]
        self.stages = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, out_channels)."""
        return self.stages(self.stems(x)).mean((2, 3))


class TokenEncoder(Encoder):
    """A small vision transformer over all bands at once (Dosovitskiy et al. 2021, arXiv 2010.11929).

    Args:
        sensors: number of bands of each, in the order in which they are stacked.
        side: of the patches in pixels for which positions are learned; interpolated for others.
        token: side of a token in pixels.
        width: of a token's vector, a multiple of 32.
        depth: layers.
    """

    def __init__(
        self, sensors: Mapping[str, int], *, side: int = 32, token: int = 4, width: int = 128, depth: int = 4
    ) -> None:
        super().__init__()
        if width % 32 or min(width, token, depth) < 1 or side < token:
            raise ModelError("A token encoder needs a width divisible by 32 and patches of a token or more.")
        self.out_channels, self.token = width, token
        self.embed = nn.Conv2d(sum(sensors.values()), width, token, stride=token)
        across = -(-side // token)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, across, across))
        self.layers = Layers(width, depth)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, n, width) with their places, before the layers, of patches (B, C, H, W)."""
        found = self.embed(whole_tokens(x, self.token))
        return (found + self.places(found.shape[2:])).flatten(2).transpose(1, 2)

    def places(self, size: Sequence[int]) -> Tensor:
        """What is added to tokens (B, width, h, w) for their places, (1, width, h, w)."""
        if self.place.shape[2:] == size:
            return self.place
        return nn.functional.interpolate(self.place, size, mode="bilinear")

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, out_channels): the mean over the tokens."""
        return self.layers(self.tokens(x)).mean(1)


class Layers(nn.TransformerEncoder):
    """Transformer layers with heads of 32 channels, normalised before each part and at the end.

    On processors attention is made of plain products: for so few tokens a step takes 2/3 of the time that
    it takes with the fused kernel.

    Args:
        width: channels of a token, a multiple of 32.
        depth: layers.
    """

    def __init__(self, width: int, depth: int) -> None:
        layer = nn.TransformerEncoderLayer(
            width, width // 32, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        super().__init__(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, n, width) of tokens (B, n, width)."""
        with sdpa_kernel(SDPBackend.MATH) if x.device.type == "cpu" else nullcontext():
            return super().forward(x)


def whole_tokens(x: Tensor, token: int) -> Tensor:
    """Images padded with 0 below and to the right, to whole tokens."""
    below, right = (-length % token for length in x.shape[2:])
    return nn.functional.pad(x, (0, right, 0, below))


ENCODERS = {"residual": SensorEncoder, "tokens": TokenEncoder}
"""Kind in a config -> class of the encoder."""


def build_encoder(kind: str, sensors: Mapping[str, int], **settings: Setting) -> Encoder:
    """A fresh encoder by the name of its kind.

    Raises:
        ModelError: for an unknown kind, and settings that it does not have.
    """
    if kind not in ENCODERS:
        raise ModelError(f"There is no encoder {kind!r}: use one of {', '.join(ENCODERS)}.")
    try:
        return ENCODERS[kind](sensors, **settings)
    except TypeError as err:
        raise ModelError(f"The encoder {kind!r} cannot be built ({err}): correct its settings.") from err


class EncoderNet(Net):
    """An encoder and a dense layer: a class for a patch that was seen on one or several dates.

    Every date goes through the encoder; the vectors of those that are there are averaged.

    Args:
        in_channels: bands of all dates and sensors: those of the first date, then of the second.
        out_channels: classes.
        sensors: of one date, as :func:`parse_sensors` takes them.
        dates: how many.
        kind: of the encoder, one of :data:`ENCODERS`.
        settings: of the encoder.
    """

    per_pixel, divisor = False, 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        sensors: str,
        dates: int = 1,
        kind: str = "residual",
        **settings: Setting,
    ) -> None:
        super().__init__()
        found = parse_sensors(sensors)
        if dates * sum(found.values()) != in_channels:
            raise ModelError(
                f"{dates} dates of the sensors {sensors!r} have {dates * sum(found.values())} bands, not "
                f"{in_channels}."
            )
        self.in_channels, self.out_channels, self.dates = in_channels, out_channels, dates
        self.encoder = build_encoder(kind, found, **settings)
        self.head = nn.Linear(self.encoder.out_channels, out_channels)
        self.frozen = False

    def freeze(self) -> None:
        """The encoder stays as it is, with the means and spreads of its batch normalisations."""
        self.frozen = True
        self.encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> EncoderNet:
        """As of every Module; a frozen encoder is never in training."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def vectors(self, x: Tensor) -> Tensor:
        """What the encoder sees in patches (B, in_channels, H, W): (B, D)."""
        return over_dates(self.encoder, x.unflatten(1, (self.dates, -1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels) of patches (B, in_channels, H, W)."""
        return self.head(self.vectors(x))


def over_dates(encoder: Encoder, x: Tensor) -> Tensor:
    """Vectors (B, D): the mean over the dates of patches (B, dates, C, H, W) that are there."""
    if x.shape[1] == 1:
        return encoder(x[:, 0])
    each = x.flatten(0, 1)
    there = present(each).view(*x.shape[:2], 1)
    return (encoder(each).view(*x.shape[:2], -1) * there).sum(1) / there.sum(1).clamp(min=1)
