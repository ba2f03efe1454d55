"""The package of an encoder that has learned without labels: what ``jido lcz pretrain`` writes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.pool import Pool
from jido.data.sheets import PIXEL_TOLERANCE
from jido.data.stack import Stack
from jido.errors import ModelError
from jido.geo import Band
from jido.geo.radiometry import Part, Radiometry, compare
from jido.io import TENSORS, file_sha256, json_text, load_tensors, replacing, write_tensors
from jido.io.package import CARD, CONFIG, ENCODER, FORMAT, METRICS, read_config, require_package_place
from jido.methods.selfsup import encoded
from jido.nets import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from jido.methods.selfsup import Pretraining
    from jido.nets.encoders import Encoder


@dataclass(frozen=True, eq=False)
class EncoderPackage:
    """An encoder with what it has learned from.

    Args:
        weights: its tensors by name.
        settings: what builds it: kind, width, ...
        sensors: number of bands of each sensor, in the order in which it takes them.
        bands: of one date.
        side: of the patches in pixels.
        pixel_m: height and width of a pixel in metres; ``None`` where nobody knows.
        config: settings of the training.
        history: a row per epoch.
        radiometry: what the numbers of the images mean, one for each place; may be empty.
        images: names of the image files.
    """

    weights: dict[str, np.ndarray]
    settings: dict[str, Setting]
    sensors: dict[str, int]
    bands: tuple[Band, ...]
    side: int
    pixel_m: tuple[float, float] | None
    config: dict[str, Any]
    history: list[dict[str, Any]]
    radiometry: tuple[Radiometry, ...] = ()
    images: tuple[str, ...] = ()
    package: str = field(default="")

    @classmethod
    def of(cls, training: Pretraining, **facts: Any) -> EncoderPackage:
        """A finished training as a package; ``facts``: pixel_m, radiometry, images."""
        encoder, stack = training.encoder, training.pool.stack
        return cls(
            weights={name: t.detach().cpu().contiguous().numpy() for name, t in encoder.state_dict().items()},
            settings=training.encoder_settings,
            sensors=stack.sensors,
            bands=stack.bands,
            side=training.pool.side,
            config=training.config.model_dump(mode="json"),
            history=training.rows,
            **facts,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder: weights as safetensors, config, history, card; an older package is replaced.

        Raises:
            OutputError: when the place cannot be written.
        """
        require_package_place(folder)
        with replacing(folder, folder=True) as fresh:
            fresh.mkdir()
            write_tensors(self.weights, fresh / TENSORS)
            facts = {
                "format": FORMAT,
                "method": ENCODER,
                "settings": self.settings,
                "sensors": self.sensors,
                "bands": [asdict(band) for band in self.bands],
                "side": self.side,
                "pixel_m": self.pixel_m,
                "config": self.config,
                "radiometry": [one.to_dict() for one in self.radiometry],
                "images": self.images,
                "sha256": file_sha256(fresh / TENSORS),
            }
            (fresh / CONFIG).write_text(json_text(facts, indent=2), encoding="utf-8")
            (fresh / METRICS).write_text(json_text({"history": self.history}, indent=2), encoding="utf-8")
            (fresh / CARD).write_text(self._card(Path(folder).name), encoding="utf-8")

    def _card(self, name: str) -> str:
        last = self.history[-1] if self.history else {}
        sensors = ", ".join(f"{sensor} ({count} bands)" for sensor, count in self.sensors.items())
        words = (
            f"An encoder of {sensors}, patches of {self.side} x {self.side} pixels, that has learned without "
            f"labels by {self.config.get('method')} for {len(self.history)} epochs. It maps nothing alone: "
            "jido lcz train IMAGE... --labels LABELS --method ssmmrl --encoder this folder."
        )
        told = ", ".join(f"{key} {last[key]:.4g}" for key in ("loss", "spread", "rank") if key in last)
        return f"# {name}\n\n{textwrap.fill(words, 100)}\n\nLast epoch: {told}.\n"

    @classmethod
    def load(cls, folder: str | Path) -> EncoderPackage:
        """Read a package written by :meth:`save`; runs no code from it.

        Raises:
            ModelError: when the folder is none, is damaged, or holds a model that is no encoder.
        """
        facts = read_config(folder)
        if facts["method"] != ENCODER:
            raise ModelError(
                f"{folder} holds no encoder but a model of method {facts['method']!r}: make one with jido "
                "lcz pretrain."
            )
        try:
            return cls(
                weights=load_tensors(folder),
                settings=dict(facts["settings"]),
                sensors={str(name): int(count) for name, count in facts["sensors"].items()},
                bands=tuple(Band.from_dict(band) for band in facts["bands"]),
                side=int(facts["side"]),
                pixel_m=None if facts["pixel_m"] is None else tuple(facts["pixel_m"]),
                config=dict(facts["config"]),
                history=[],
                radiometry=tuple(Radiometry.from_dict(one) for one in facts["radiometry"]),
                images=tuple(facts["images"]),
                package=str(folder),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise ModelError(f"{folder} holds facts that cannot be used: pretrain again.") from err

    def require_fit(
        self, stack: Stack, radiometry: Radiometry | None, pixel_m: tuple[float, float] | None
    ) -> None:
        """Refuse images that the encoder has not learned from the like of.

        A sensor may be missing, but each that is there has the bands of the encoder.

        Raises:
            ModelError: for other bands, pixels of another size, and numbers that mean something else.
        """
        if self.pixel_m and pixel_m and not np.allclose(self.pixel_m, pixel_m, rtol=PIXEL_TOLERANCE):
            raise ModelError(
                f"The encoder {self.package} has learned from pixels of {self.pixel_m[0]:g} m, those of the "
                f"images have {pixel_m[0]:g} m: give images of that resolution, or pretrain on theirs."
            )
        wanted = [(band.sensor, band.name) for band in self.bands]
        here = [(band.sensor, band.name) for band in stack.bands]
        mine = [one for one in wanted if (one[0] or "image") in stack.sensors]
        if here != mine:
            raise ModelError(
                f"The encoder {self.package} has learned from the bands {_told(wanted)}, the images have "
                f"{_told(here)}: give the same bands of a sensor, in the same order, or leave out the whole "
                "sensor."
            )
        if self.settings.get("kind") == "tokens" and stack.sensors != self.sensors:
            raise ModelError(
                f"The encoder {self.package} sees all its sensors at once: give images of "
                f"{', '.join(self.sensors)}, or pretrain with --method ssmmrl."
            )
        for part in _parts(radiometry) if radiometry else []:
            known = [
                there
                for one in self.radiometry
                for there in _parts(one)
                if there.family == part.family and there.bands.keys() & part.bands.keys()
            ]
            found = [compare(Radiometry((there,)), Radiometry((part,))) for there in known]
            wrong = [[one.sentence for one in some if one.refuses] for some in found]
            if wrong and all(wrong):  # like none of the images that it has learned from
                raise ModelError(wrong[0][0].replace("give --convert, or ", "give "))

    def tensors(self) -> dict[str, Tensor]:
        """The weights as torch has them."""
        import torch

        return {name: torch.from_numpy(value) for name, value in self.weights.items()}

    def encoder(self, sensors: Mapping[str, int] | None = None) -> Encoder:
        """The net with its weights, for images of all its sensors or of some.

        Raises:
            ModelError: when weights and settings do not belong together.
        """
        from jido.nets.encoders import build_encoder

        settings, held = dict(self.settings), self.tensors()
        net = build_encoder(str(settings.pop("kind")), sensors or self.sensors, **settings)
        try:
            net.load_state_dict({name: held[name] for name in net.state_dict()})
        except (KeyError, RuntimeError) as err:
            raise ModelError(
                "The weights of the encoder are not those of its settings: pretrain again."
            ) from err
        return net

    def vectors(self, pool: Pool, which: np.ndarray | None = None) -> np.ndarray:
        """What the encoder says of patches: features for a forest, a linear probe, neighbours.

        Args:
            pool: patches with the bands of the encoder; of all it has learned from or of some sensors.
            which: places of the patches that are asked for, all without it.

        Returns:
            (n, D) float32, the mean over the dates that are there.

        Raises:
            ModelError: when the patches have other bands.
        """
        self.require_fit(pool.stack, None, None)
        places = np.arange(len(pool)) if which is None else which
        return encoded(self.encoder(pool.stack.sensors), pool, places)


def _parts(radiometry: Radiometry) -> list[Part]:
    """What the numbers of each image are, with names of bands without the ``@place`` of their date."""
    return [
        replace(part, bands={name.partition("@")[0]: held for name, held in part.bands.items()})
        for part in radiometry.parts
    ]


def _told(bands: list[tuple[str, str]]) -> str:
    return ", ".join(name for _, name in bands)
