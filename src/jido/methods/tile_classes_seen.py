"""How tiles are seen: once as they are, and in views changed in place, brightness and colour.

What is seen is fixed, so it is computed once for all folds and epochs, and kept on disk while it lasts.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.patches import normalise
from jido.data.tiles import batches
from jido.errors import ImageError, ModelError
from jido.io import Progress
from jido.methods.net import NetModel
from jido.methods.tile_classes_config import TileClassesConfig
from jido.methods.tile_classes_labels import CLASSES
from jido.nets import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from jido.nets.tile import TileNet
    from jido.train.loop import Precision

CHUNK = 64
"""Tiles looked at between two checkpoints."""

PIXELS = 2**22
"""Numbers of all bands that are changed together."""


def net_settings(config: TileClassesConfig, chips: Chips, encoder: NetModel | None) -> dict[str, Setting]:
    """What builds the net.

    Raises:
        ModelError: when the encoder is of another kind or of other bands.
    """
    settings: dict[str, Setting] = {
        "in_channels": len(chips.bands),
        "out_channels": len(CLASSES),
        "side": config.side,
        "hidden": config.hidden,
        "use": config.use,
    }
    if encoder is None:
        return settings
    if encoder.config.net != "compact":
        raise ModelError(
            f"The encoder is a net {encoder.config.net!r}: give a compact one, of jido scene train."
        )
    there, here = ([band.name for band in some] for some in (encoder.bands, chips.bands))
    if there != here:
        raise ModelError(
            f"The encoder reads the bands {', '.join(there)}, the tiles have {', '.join(here)}: give tiles "
            "of the same bands in that order, or no encoder."
        )
    kept = ("width", "stages", "blocks", "attention")
    own = {name: value for name, value in encoder.config.settings.items() if name in kept}
    return settings | {"width": 32} | own


def fresh_net(
    config: TileClassesConfig, chips: Chips, encoder: NetModel | None, moments: tuple[np.ndarray, np.ndarray]
) -> TileNet:
    """A net that sees and does not judge yet.

    Args:
        config: the settings.
        chips: the tiles.
        encoder: a compact scene model whose convolutions it sees by, too.
        moments: mean and standard deviation (C,) of each band.

    Raises:
        ImageError: for bands whose mean is not above 0, and for tiles that are too small.
        ModelError: as :func:`net_settings`.
    """
    import torch

    from jido.nets.tile import TileNet
    from jido.train import seeded

    mean, sd = moments
    if not (mean > 0).all():
        band = chips.bands[int(np.argmin(mean))].name
        raise ImageError(
            f"The band {band!r} has a mean of {mean.min():.3g}, but tiles are seen by logarithms: give "
            "reflectance, digital numbers or colours, all above 0."
        )
    if (side := min(chips.side, config.side)) < TileNet.least:
        raise ImageError(
            f"Tiles of {side} pixels are too small: give {TileNet.least} or more, or a larger side."
        )
    with seeded(config.seed):
        net = TileNet(**net_settings(config, chips, encoder))  # type: ignore[arg-type]
    net.features.level.copy_(torch.from_numpy(mean / sd))
    if encoder is not None and net.features.body is not None:
        net.features.body.load_state_dict(encoder.net.features.state_dict())  # type: ignore[union-attr]
    return net.eval()


def precision(net: TileNet) -> Precision:
    """In which a net sees: convolutions in bf16, statistics always in fp32."""
    return "fp32" if net.features.body is None else "bf16"


@dataclass(frozen=True, eq=False)
class Looking:
    """Tiles and how they are seen.

    Args:
        net: that sees them.
        chips: all tiles.
        moments: mean and standard deviation (C,) by which they are normalised.
        config: the settings.
        work: an existing folder for what has been seen.
    """

    net: TileNet
    chips: Chips
    moments: tuple[np.ndarray, np.ndarray]
    config: TileClassesConfig
    work: Path

    def vectors(self, which: np.ndarray, view: int, *, progress: Progress | None = None) -> np.ndarray:
        """What the net sees of tiles in one view, (n, F) float32; goes on where it was cut off.

        Args:
            which: places of the tiles.
            view: 0: as they are; else changed, each number in another way.
            progress: told the tiles.
        """
        folder = self.work / f"seen-{self._key(which, view)}"
        folder.mkdir(exist_ok=True)
        found = []
        for start in range(0, len(which), CHUNK):
            file = folder / f"{start}.npy"
            if not file.exists():
                seen = self._seen(which[start : start + CHUNK], view, start)
                fresh = file.with_suffix(".new.npy")
                np.save(fresh, seen)
                fresh.replace(file)
            found.append(np.load(file))
            if progress:
                progress(f"looking at the tiles, view {view + 1}", min(start + CHUNK, len(which)), len(which))
        return np.concatenate(found) if found else np.empty((0, self.net.features.out_channels), np.float32)

    def _seen(self, which: np.ndarray, view: int, start: int) -> np.ndarray:
        import torch

        draws = torch.Generator().manual_seed((self.config.seed * 1_009 + view) * 1_000_003 + start)
        some = max(PIXELS // math.prod(self.chips.images.shape[1:]), 1)
        quick = precision(self.net) == "bf16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=quick):
            parts = [self.net.features.raw(self.drawn(part, view, draws)) for part in batches(which, some)]
        return torch.cat(parts).numpy()

    def drawn(self, which: np.ndarray, view: int, draws: Any) -> Tensor:
        """Normalised images (n, C, S, S) of a view.

        Args:
            which: places of the tiles.
            view: 0: as they are; else turned, mirrored, moved, and changed in brightness and colour.
            draws: torch's generator.
        """
        import torch

        from jido.train import turned_and_shifted

        images = self.chips.images[which]
        seen = torch.from_numpy(images if images.dtype == np.uint8 else images.astype(np.float32))
        if view:
            shift = int(self.config.shift * self.chips.side)
            seen = self._changed(turned_and_shifted(seen, shift=shift, generator=draws).float(), draws)
        return torch.from_numpy(normalise(seen.float().numpy(), *self.moments)[0])

    def _changed(self, images: Tensor, draws: Any) -> Tensor:
        """Other light: a power and a factor for all bands of an image, a further factor for each."""
        import torch

        config, mean = self.config, torch.from_numpy(self.moments[0])[:, None, None]

        def spread(by: float, bands: int) -> Tensor:
            return (by * torch.randn(len(images), bands, 1, 1, generator=draws)).exp()

        power, gain = spread(config.contrast, 1), spread(config.brightness, 1)
        return (images / mean).clamp(min=0) ** power * gain * spread(config.colour, len(mean)) * mean

    def _key(self, which: np.ndarray, view: int) -> str:
        """Hash of the tiles and of all that changes how they are seen."""
        names = {"side"} | ({"shift", "brightness", "colour", "contrast", "seed"} if view else set())
        facts = self.config.model_dump(mode="json", include=names)
        digest = hashlib.blake2b(json.dumps([facts, view, CHUNK], sort_keys=True).encode(), digest_size=12)
        for moment in self.moments:
            digest.update(moment.tobytes())
        for weight in self.net.features.state_dict().values():
            digest.update(weight.contiguous().numpy().tobytes())
        for some in batches(which, 1024):
            digest.update(np.ascontiguousarray(self.chips.images[some]).data)
        return digest.hexdigest()
