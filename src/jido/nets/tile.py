"""A net for tiles of land of which few are labelled: what it sees is fixed, only how it judges is learned.

A few hundred labels do not carry convolutions learned from scratch. Seen are statistics of colour and
texture, and, where there are any, convolutions that have learned other classes from other images. All bands
are taken as logarithms: scenes of a mosaic differ in brightness more than town and country do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from jido.errors import ModelError
from jido.nets.blocks import Net
from jido.nets.scene import CompactNet, SceneNet

DARK = 0.1
"""Added before the logarithm, as a share of the mean of the training tiles, so that shadows are no noise."""

FLAT = 0.02
"""Least spread of a tile by which it is divided, in the unit of the training tiles' mean."""

OCTAVES = 4
"""Scales of texture: structures of about 2, 4, 8 and 16 pixels."""

STRENGTHS, COLOURS, ENDS = (0.1, 0.5, 0.75, 0.9, 0.98), (0.05, 0.25, 0.5, 0.75, 0.95), (0.5, 0.95)
"""Quantiles over a tile: of the strength of texture, of colours, of how far gradients go one way."""

NEAR, WIDE = 7, 21
"""Sides in pixels of windows in which directions are compared."""

EDGE = 0.02
"""Logarithms by which a neighbour must be brighter to count: that is above the noise of bytes."""

RING = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""The 8 neighbours of a pixel, around it."""

REACH = 6.0
"""Standard deviations beyond which a statistic says no more: a strange tile is not to outweigh all."""

AT_ONCE = 8
"""Tiles looked at together: what lies in between stays in a processor's cache."""


def texture(images: Tensor) -> Tensor:
    """Statistics (B, F) of colour and texture, nearly the same for turned and mirrored tiles.

    Of the brightness (mean of the logarithms of all bands) and of what each band but the last differs from
    it: mean, spread, and for each octave of a Laplacian pyramid (Burt and Adelson 1983, doi
    10.1109/TCOM.1983.1095851) quantiles of the local strength and how strong light and dark spots are. Of
    the bands quantiles and correlations. Of the brightness how far gradients go one way (structure tensor:
    roads and coasts do, roofs do not), and local binary patterns that turning does not change (Ojala et al.
    2002, doi 10.1109/TPAMI.2002.1017623).

    Args:
        images: (B, C, S, S) of 32 pixels or more, in units of the mean of each band over the training tiles.
    """
    values = (images.clamp(min=0) + DARK).log()
    light = values.mean(1, keepdim=True)
    maps = torch.cat([light, (values - light)[:, :-1]], 1)
    found = [maps.mean((2, 3)), maps.flatten(2).std(2), _quantiles(avg_pool2d(values, 4), COLOURS)]
    found.append(_correlations(values))
    for octave in range(OCTAVES):
        low = _blurred(maps)
        fine = maps - low
        strength = (_local(fine.square(), 9, 2 if octave else 4) + 1e-6).sqrt()
        found += [_quantiles(strength.log(), STRENGTHS), strength.mean((2, 3)).log()]
        found += [_spots(fine), _spots(-fine)]
        if octave < 2:
            found.append(_directed(maps[:, :1], NEAR))
        if octave == 0:
            found += [_directed(maps[:, :1], WIDE), _patterns(low[:, :1])]
        maps = avg_pool2d(low, 2)
    return torch.cat(found, 1)


def _quantiles(maps: Tensor, shares: tuple[float, ...]) -> Tensor:
    """(B, C * len(shares)) over height and width of (B, C, h, w), linear between neighbours."""
    flat = maps.flatten(2).sort(2).values
    places = [share * (flat.shape[2] - 1) for share in shares]
    found = [
        torch.lerp(flat[..., int(place)], flat[..., math.ceil(place)], place - int(place)) for place in places
    ]
    return torch.stack(found, 2).flatten(1)


def _correlations(values: Tensor) -> Tensor:
    """(B, C (C - 1) / 2) between the bands of (B, C, h, w); 0 where one is the same everywhere."""
    flat = values.flatten(2)
    flat = flat - flat.mean(2, keepdim=True)
    flat = flat / flat.norm(dim=2, keepdim=True).clamp(min=1e-3)
    products = (flat @ flat.transpose(1, 2)).flatten(1)
    bands = flat.shape[1]
    return products[:, [bands * i + j for i in range(bands) for j in range(i)]]


def _blurred(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) without what is smaller than two pixels: binomial weights 1 4 6 4 1, both ways."""
    wide = pad(maps, (2, 2, 2, 2), mode="reflect")
    for _ in range(4):  # the weights are those of four means of 2 x 2
        wide = avg_pool2d(wide, 2, 1)
    return wide


def _local(maps: Tensor, side: int, stride: int) -> Tensor:
    """Means over odd windows of ``side`` pixels, every ``stride`` pixels; smaller ones in small maps."""
    side = min(side, (maps.shape[-1] - 1) // 2 * 2 + 1)
    return avg_pool2d(pad(maps, (side // 2,) * 4, mode="reflect"), side, stride)


def _spots(fine: Tensor) -> Tensor:
    """Strength (B, C) of what is brighter than its surroundings; few strong ones count more."""
    return (fine.clamp(min=0).pow(3).mean((2, 3)) + 1e-9).log() / 3


def _directed(light: Tensor, side: int) -> Tensor:
    """(B, 6) of (B, 1, h, w): coherence of gradients in windows, and quantiles of both kinds of gradient."""
    across = light[..., 1:-1, 2:] - light[..., 1:-1, :-2]
    down = light[..., 2:, 1:-1] - light[..., :-2, 1:-1]
    products = torch.cat([across.square(), down.square(), across * down], 1)
    xx, yy, xy = _local(products, side, 4).split(1, 1)
    total = xx + yy + 1e-6
    along = ((xx - yy).square() + 4 * xy.square()).sqrt()
    coherence = along / total
    both = torch.cat([coherence.mean((2, 3)), coherence.flatten(2).std(2)], 1)
    rest = (_quantiles((part + 1e-6).log(), ENDS) for part in ((total - along).clamp(min=0), along))
    return torch.cat([both, *rest], 1)


def _patterns(light: Tensor) -> Tensor:
    """Shares (B, 10) of pixels with 0 to 8 brighter neighbours in a row around them, and of all others."""
    height, width = light.shape[2:]
    wide = pad(light, (1, 1, 1, 1), mode="reflect")
    brighter = torch.stack(
        [wide[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width] > light + EDGE for y, x in RING]
    )
    changes = (brighter != brighter.roll(1, 0)).sum(0)
    pattern = torch.where(changes <= 2, brighter.sum(0), 9)
    return torch.cat([(pattern == i).float().mean((2, 3)) for i in range(10)], 1)


class TileVectors(nn.Module):
    """What is seen of tiles, as vectors with mean 0 and standard deviation 1 over the labelled tiles.

    Args:
        in_channels: bands.
        side: pixels to which larger tiles are averaged.
        body: convolutions (B, C, h, w) -> (B, D, h', w') that stay as they are; none without them.
        channels: D.

    Attributes:
        level: (C,) mean of each band over the training tiles, in units of its standard deviation.
        centre: (F,) mean of each number over the labelled tiles.
        spread: (F,) its standard deviation.
    """

    level: Tensor
    centre: Tensor
    spread: Tensor
    least = 32

    def __init__(
        self, in_channels: int, *, side: int, body: nn.Module | None = None, channels: int = 0
    ) -> None:
        super().__init__()
        self.side, self.body = side, body
        self.register_buffer("level", torch.ones(in_channels))
        if body is not None:
            body.requires_grad_(False).eval()
        with torch.inference_mode():  # on the processor also where a net without memory is built
            some = torch.ones(1, in_channels, self.least, self.least, device="cpu")
            self.statistics = texture(some).shape[1]
        self.out_channels = self.statistics + 2 * channels
        self.register_buffer("centre", torch.zeros(self.out_channels))
        self.register_buffer("spread", torch.ones(self.out_channels))

    def train(self, mode: bool = True) -> TileVectors:
        """As of every Module; the convolutions are never in training."""
        super().train(mode)
        if self.body is not None:
            self.body.eval()
        return self

    def raw(self, images: Tensor) -> Tensor:
        """Vectors (B, F) float32, not yet standardised, of images (B, C, S, S) that are normalised."""
        if images.shape[-1] > self.side:
            images = interpolate(images, size=(self.side, self.side), mode="area")
        if len(images) <= AT_ONCE:
            return self._seen(images)
        return torch.cat([self._seen(some) for some in images.split(AT_ONCE)])

    def _seen(self, images: Tensor) -> Tensor:
        level = self.level[:, None, None]
        with torch.autocast(images.device.type, enabled=False):
            images = images.float()
            found = [texture((images + level) / level)]
        if self.body is not None:
            spread = images.flatten(2).std(2)[..., None, None]
            alike = (images - images.mean((2, 3), keepdim=True)) / torch.maximum(spread, FLAT * level)
            odd = images.shape[-1] % 2
            alike = pad(alike, (0, odd, 0, odd), mode="replicate")
            answers = self.body(alike.contiguous(memory_format=torch.channels_last)).float()
            found += [answers.mean((2, 3)), answers.flatten(2).std(2)]
        return torch.cat(found, 1)

    def standard(self, raw: Tensor) -> Tensor:
        """Vectors (B, F) standardised, and cut to :data:`REACH`."""
        return ((raw - self.centre) / self.spread).clamp(-REACH, REACH)

    def forward(self, images: Tensor) -> Tensor:
        """(B, F, 1, 1): a map of one pixel, as convolutions would give."""
        return self.standard(self.raw(images))[..., None, None]


class TileHead(Net):
    """Classes of vectors (B, F, 1, 1) by one hidden layer.

    Args:
        in_channels: F.
        out_channels: classes.
        hidden: units of the layer.
        dropout: share of the numbers, and of the units, that a step of the training does not see.
    """

    per_pixel, divisor = False, 1

    def __init__(
        self, in_channels: int, out_channels: int, *, hidden: int = 128, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(in_channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, out_channels),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits (B, out_channels)."""
        with torch.autocast(vectors.device.type, enabled=False):
            return self.layers(vectors.float())


class BothHeads(nn.Module):
    """The mean of the probabilities of a :class:`TileHead` and of a linear layer on the statistics alone.

    Args:
        vectors: what they judge.
        out_channels: classes.
        hidden: units of the head's layer.
        use: ``both``, ``net`` or ``linear``: whose answer it is.
    """

    def __init__(self, vectors: TileVectors, out_channels: int, *, hidden: int, use: str) -> None:
        super().__init__()
        if use not in ("both", "net", "linear"):
            raise ModelError(f"There is no answer of {use!r}: use both, net or linear.")
        self.use = use
        self.net = TileHead(vectors.out_channels, out_channels, hidden=hidden)
        self.linear = nn.Linear(vectors.statistics, out_channels)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logarithms of probabilities (B, out_channels) of vectors (B, F, 1, 1)."""
        with torch.autocast(vectors.device.type, enabled=False):
            flat = vectors.flatten(1).float()
            found = [self.net(vectors)] if self.use != "linear" else []
            if self.use != "net":
                found.append(self.linear(flat[:, : self.linear.in_features]))
            return torch.stack([one.softmax(1) for one in found]).mean(0).clamp(min=1e-12).log()


class TileNet(SceneNet):
    """A class for a tile, from what :class:`TileVectors` sees and :class:`BothHeads` judges.

    Args:
        in_channels: bands.
        out_channels: classes.
        side: pixels to which larger tiles are averaged.
        hidden: units of the hidden layer.
        use: ``both`` heads, ``net`` or ``linear``.
        width: of the compact net whose convolutions are seen by, too; 0: none.
        stages: of it.
        blocks: of it.
        attention: of it.
    """

    least = TileVectors.least
    features: TileVectors
    head: BothHeads

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        side: int = 256,
        hidden: int = 128,
        use: str = "both",
        width: int = 0,
        stages: int = 2,
        blocks: int = 1,
        attention: str = "none",
    ) -> None:
        super().__init__(in_channels, out_channels)
        body, channels = None, 0
        if width:
            settings = {"width": width, "stages": stages, "blocks": blocks}
            body = CompactNet(in_channels, out_channels, attention=attention, **settings).features
            channels = width * 2**stages
        self.features = TileVectors(in_channels, side=side, body=body, channels=channels)
        self.head = BothHeads(self.features, out_channels, hidden=hidden, use=use)
