"""A trained net as a model: for every pixel, or for the middle of a window that slides over the image.

Whoever trains a net wraps it in :class:`NetModel`; maps, packages and export need no more. Results
are the same bytes for the same images in every thread, because every prediction has one thread and
a net sees arrays of one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from jido.data.patches import fill_gaps, normalise
from jido.data.stack import stack_of
from jido.errors import ModelError
from jido.geo import Band
from jido.geo.radiometry import Radiometry
from jido.io import TENSORS, Package, Sample, load_tensors, mlm_item, package_id, write_tensors
from jido.labels import ClassScheme, Labels
from jido.nets import Combine, Head, Setting, load_net
from jido.stats.calibrators import UNCALIBRATED, Calibration

if TYPE_CHECKING:
    from torch import Tensor

    from jido.nets.blocks import Net

WINDOWS = 64
"""Windows judged together: what fits the cache of a core, always as many."""

TOLERANCE = {"fp32": 1e-4, "bf16": 0.02}
"""How far a probability may lie from the stored one on another machine; bf16 has 8 bits."""


class NetConfig(BaseModel):
    """What a net is and how it wants its images.

    Raises:
        ModelError: when the windows of a patch net do not lie evenly around their cells.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    net: str = Field(description="name of the net: unet, patch")
    settings: dict[str, Setting] = Field(description="what builds it: channels, depth, width")
    mean: tuple[FiniteFloat, ...] = Field(description="of each band over the training pixels")
    sd: tuple[FiniteFloat, ...] = Field(description="standard deviation of each band, above 0")
    precision: Literal["fp32", "bf16"] = "fp32"
    patch: PositiveInt | None = Field(None, description="side of a window in pixels; none: every pixel")
    stride: PositiveInt = Field(1, description="pixels from one window to the next: side of a map cell")
    tile: PositiveInt = Field(256, description="side in pixels of what is predicted at once")
    overlap: NonNegativeInt = Field(64, description="pixels that tiles of a net with a class per pixel share")
    batch: PositiveInt = Field(1, description="tiles predicted together")
    heads: tuple[Head, ...] = Field(
        (), description="what outputs after the first, the target, have learned: see jido.nets.heads"
    )
    combine: Combine = Field("union", description="how heads count")
    views: bool = Field(False, description="mean over the 8 turned and mirrored images or windows")
    threshold: float = Field(0.5, gt=0, lt=1, description="score from which a pixel is target; becomes .5")

    @model_validator(mode="after")
    def _even(self) -> NetConfig:
        window = self.patch or 1
        if window < self.stride or (window - self.stride) % 2:
            raise ModelError(
                f"A window of {window} pixels every {self.stride} has no whole rim of (patch - stride) / 2 "
                "pixels: choose both even or both odd, and a patch that is not smaller than the stride."
            )
        if len(self.mean) != len(self.sd) or min(self.sd, default=0) <= 0:
            raise ModelError("A net needs a mean and a standard deviation above 0 for each of its bands.")
        return self


@dataclass(frozen=True, eq=False)
class NetModel:
    """A trained net with all that a map needs to know about it.

    Args:
        net: the net, taken over: it is moved to the processor and set to evaluation.
        config: its settings.
        bands: the bands it reads, in order.
        scheme: its classes, the order of the probability planes. A net with one output tells the
            second of two classes from the first.
        pixel_m: height and width in metres of the pixels it was trained on; ``None`` where the images had
            no place on Earth.
        labels: the training labels, ``None`` where training had no geometries.
        evaluation: held-out figures, as in ``metrics.json``; empty when nobody has judged it.
        abstain_below: confidence under which the map says "unsure".
        package: name and hashes of the package it was loaded from.
        radiometry: what the numbers of the training images mean; ``None`` where nobody knows.
        calibration: what maps do to its probabilities; nothing in old packages.

    Raises:
        ModelError: when net, config, bands and classes do not fit together.
    """

    net: Net
    config: NetConfig
    bands: tuple[Band, ...]
    scheme: ClassScheme
    pixel_m: tuple[float, float] | None
    labels: Labels | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    abstain_below: float = 0.0
    package: dict[str, str] | None = None
    radiometry: Radiometry | None = None
    calibration: Calibration = UNCALIBRATED
    _quick: Net = field(init=False, repr=False)  # what predicts

    def __post_init__(self) -> None:
        import torch

        from jido.nets.blocks import folded

        self._require_fit()
        net: Any = self.net.eval().cpu().float()  # torch's annotations do not know memory_format here
        net.to(memory_format=torch.channels_last)
        object.__setattr__(self, "_quick", folded(net))

    def _require_fit(self) -> None:
        net, config, k = self.net, self.config, len(self.scheme.classes)
        if not net.in_channels == len(config.mean) == len(self.bands):
            raise ModelError(
                f"The net reads {net.in_channels} bands and has the mean of {len(config.mean)}, but "
                f"{len(self.bands)} bands are named: give as many."
            )
        if net.out_channels != k and (net.out_channels - len(config.heads), k) != (1, 2):
            raise ModelError(
                f"The net has {net.out_channels} outputs for {k} classes: give one for each, or one for two "
                "and one for each error head."
            )
        if net.per_pixel != (config.patch is None) or (config.patch or 0) % net.divisor:
            wanted = "no patch" if net.per_pixel else f"a patch divisible by {net.divisor}"
            raise ModelError(f"The net {config.net!r} takes {wanted}, not {config.patch}.")

    @property
    def sensors(self) -> tuple[frozenset[str], ...]:
        """Names of the bands of each sensor of which an image may lack all, while another sensor is there."""
        if self.config.net != "encoder":
            return ()
        stack = stack_of(self.bands)
        names = [
            [self.bands[i].name for i in stack.order if (self.bands[i].sensor or "image") == sensor]
            for sensor in stack.sensors
        ]
        return tuple(map(frozenset, names)) if len(names) > 1 else ()

    @property
    def stride(self) -> int:
        """Pixels per cell."""
        return self.config.stride

    @property
    def halo(self) -> int:
        """Pixels around a cell that its window sees; 0 for a net with a class per pixel."""
        return ((self.config.patch or 1) - self.stride) // 2

    @property
    def tile(self) -> int:
        """Side in pixels of what is read for a tile, halo included."""
        return self.config.tile

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share and blend; a window has one answer, whatever the tile."""
        return 0 if self.config.patch else self.config.overlap

    @property
    def batch(self) -> int:
        """Tiles predicted together."""
        return self.config.batch

    def at_stride(self, stride: int) -> NetModel:
        """The same model with another number of pixels from one window to the next.

        Raises:
            ModelError: for a net with a class per pixel, and a stride that does not suit its windows.
        """
        if self.config.patch is None:
            raise ModelError(
                "This model gives every pixel its class, so it has no windows and no stride: leave it out."
            )
        require_stride(self.config.patch, stride)
        tile = self.config.patch + (self.tile - self.config.patch) // self.stride * stride
        config = NetConfig(**self.config.model_dump() | {"stride": stride, "tile": tile})
        return replace(self, config=config)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities (B, K, (H - 2 halo) / stride, (W - 2 halo) / stride) float32 of images (B, C, H, W).

        NaN in ``batch`` is missing data, for which the net is given the mean; gaps of windows are first
        filled up (:func:`~jido.data.patches.fill_gaps`). Any height and width will do: a class per pixel is
        found on an image padded with the mean.
        """
        mean, sd = (np.array(values, dtype=np.float32) for values in (self.config.mean, self.config.sd))
        if self.config.patch is None:
            return self._pixels(normalise(batch, mean, sd)[0])
        return self._windows(batch, mean, sd, self.config.patch)

    def _pixels(self, values: np.ndarray) -> np.ndarray:
        height, width = values.shape[2:]
        below, right = (-side % self.net.divisor for side in (height, width))
        if below or right:
            values = np.pad(values, ((0, 0), (0, 0), (0, below), (0, right)))
        return self._judged(values)[:, :, :height, :width]

    def _windows(self, batch: np.ndarray, mean: np.ndarray, sd: np.ndarray, side: int) -> np.ndarray:
        view = np.lib.stride_tricks.sliding_window_view(batch, (side, side), axis=(2, 3))
        windows = view[:, :, :: self.stride, :: self.stride].transpose(0, 2, 3, 1, 4, 5)  # (B, y, x, C, p, p)
        places = np.indices(windows.shape[:3]).reshape(3, -1).T
        found, gaps = [], not np.isfinite(batch).all()
        for some in np.split(places, range(WINDOWS, len(places), WINDOWS)):
            chunk = np.zeros((WINDOWS, *windows.shape[3:]), dtype=np.float32)
            chunk[: len(some)] = windows[tuple(some.T)]
            if gaps:
                fill_gaps(chunk)
            found.append(self._judged(normalise(chunk, mean, sd)[0])[: len(some)])
        return np.concatenate(found).reshape(*windows.shape[:3], -1).transpose(0, 3, 1, 2)

    def _judged(self, values: np.ndarray) -> np.ndarray:
        import torch

        images = torch.from_numpy(values).contiguous(memory_format=torch.channels_last)
        bf16 = self.config.precision == "bf16"
        with one_thread(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if not self.config.views:
                return self.probabilities(self._quick(images)).contiguous().numpy()
            from jido.train import all_symmetries, back_from_symmetries

            seen = [self.probabilities(self._quick(view)) for view in all_symmetries(images)]
            if self.config.patch is None:
                return back_from_symmetries(seen).mean(0).contiguous().numpy()
            return torch.stack(seen).mean(0).numpy()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (B, K, ...) float32 of what the net gives, (B, out_channels, ...)."""
        import torch

        from jido.nets.heads import moved, target_score

        config = self.config
        if self.net.out_channels - len(config.heads) > 1:
            return logits.float().softmax(dim=1)
        target = moved(target_score(logits, config.heads, config.combine), config.threshold)[:, None]
        return torch.cat([1 - target, target], dim=1)

    def save(self, folder: str | Path) -> None:
        """Write a model package: weights as safetensors, config, STAC item, labels, figures, card."""
        config, state = self.config, self.net.state_dict()
        tensors = {name: value.contiguous().numpy() for name, value in state.items()}
        item = mlm_item(
            Path(folder).name,
            net=config.net,
            settings=config.settings,
            parameters=sum(weight.numel() for weight in self.net.parameters()),
            bands=self.bands,
            mean=config.mean,
            sd=config.sd,
            scheme=self.scheme,
            window=config.patch,
            batch=self.batch,
        )
        Package(
            method="net",
            config=config.model_dump(mode="json"),
            bands=self.bands,
            scheme=self.scheme,
            pixel_m=self.pixel_m,
            labels=self.labels,
            evaluation=self.evaluation,
            extra={
                "stride": self.stride,
                "halo": self.halo,
                "abstain_below": self.abstain_below,
                "calibration": self.calibration.to_dict(),
            },
            radiometry=self.radiometry,
        ).save(
            folder,
            weights=TENSORS,
            write=lambda path: write_tensors(tensors, path),
            sample=self._sample(),
            item=item,
        )

    def _sample(self) -> Sample:
        """Noise as bright as the training pixels, with a gap, and what the net says of it."""
        config, side = self.config, 2 * (self.halo + self.stride) if self.config.patch else 64
        noise = np.random.default_rng(0).normal(config.mean, config.sd, (1, side, side, len(self.bands)))
        image = noise.transpose(0, 3, 1, 2).astype(np.float32)
        image[:, 0, : side // 4, : side // 4] = np.nan
        return Sample(image, self.predict(image), TOLERANCE[config.precision])

    @classmethod
    def load(cls, folder: str | Path) -> NetModel:
        """Read a model package written by :meth:`save`; runs no code from it.

        Raises:
            ModelError: when it is damaged, its weights are of another net, or torch is missing.
        """
        package = Package.load(folder)
        if package.method != "net":
            raise ModelError(f"{folder} holds a model of method {package.method!r}, not 'net'.")
        tensors = load_tensors(folder)
        try:
            config = NetConfig(**package.config)
            return cls(
                net=load_net(config.net, tensors, **config.settings),
                config=config,
                bands=package.bands,
                scheme=package.scheme,
                pixel_m=package.pixel_m,
                labels=package.labels,
                evaluation=package.evaluation,
                abstain_below=float(package.extra["abstain_below"]),
                package=package_id(folder),
                radiometry=package.radiometry,
                calibration=Calibration.from_dict(package.extra.get("calibration")),
            )
        except ModelError as err:
            raise ModelError(f"{folder}: {err}") from err
        except (ValidationError, KeyError, TypeError, ValueError) as err:
            raise ModelError(f"{folder} holds settings that cannot be used: train the model again.") from err


def require_stride(window: int, stride: int) -> None:
    """Refuse a number of pixels from one window to the next with which they lie unevenly around their cells.

    Args:
        window: side of a window in pixels.
        stride: the number.

    Raises:
        ModelError: saying which would do.
    """
    if stride > window or (window - stride) % 2:
        raise ModelError(
            f"Windows of {window} x {window} pixels cannot have a stride of {stride}: give an "
            f"{'odd' if window % 2 else 'even'} number up to {window}."
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for what the calling thread asks of torch: sums in one order, on any machine.

    Setting it throws away what oneDNN has prepared, 3 % of a small net's time: whoever predicts
    much sets it once in its own threads.
    """
    import torch

    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)
