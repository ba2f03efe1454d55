"""Numbers that describe a tile, by filters drawn at random or by a net that has learned something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jido.data.chips import Chips
from jido.data.tiles import batches
from jido.errors import ImageError, ModelError
from jido.geo.radiometry import Radiometry, Stated, compare, describe
from jido.methods.cluster_start import shrunk
from jido.methods.nightlights import LightNet
from jido.methods.nightlights import features as net_features
from jido.methods.random_features import RandomFilters, draw_filters, random_features
from jido.nets import load_net

RANDOM, NET = "random", "net"
"""Kinds of features."""

PIXEL_TOLERANCE = 0.1
"""Pixels of another size by more than this show other things to filters."""

AT_ONCE = 256
"""Tiles made smaller together."""

SAMPLE, APART = 64, 4
"""Tiles, and rows and columns of them, whose pixels tell what the numbers are."""

_NET = "net."
"""Before the names of a net's weights among the arrays of a package."""


@dataclass(frozen=True, eq=False)
class TileFeatures:
    """Filters, or a net, with what is needed to see new tiles alike.

    Args:
        source: the filters, or the net.
        bands: names of the bands that it sees.
        side: of the tiles in pixels; larger ones are averaged to this.
        pixel_m: height and width in metres of a pixel after that, ``None`` where nobody knows.
        radiometry: what the numbers of the tiles mean.
        facts: what builds the net besides its weights; empty for filters.
    """

    source: RandomFilters | LightNet
    bands: tuple[str, ...]
    side: int
    pixel_m: tuple[float, float] | None
    radiometry: Radiometry
    facts: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """``random`` or ``net``."""
        return RANDOM if isinstance(self.source, RandomFilters) else NET

    def of(self, chips: Chips) -> np.ndarray:
        """Features (N, D) float32 of tiles; NaN for tiles without data.

        Of answers of random filters the square root is taken: few strong answers would drown the others.

        Args:
            chips: tiles that :meth:`require_fit` has let through.
        """
        small = averaged(chips, self.side)
        if isinstance(self.source, RandomFilters):
            return np.sqrt(random_features(small, self.source))
        found = net_features(small, self.source)
        if small.images.dtype.kind == "f":
            for some in batches(np.arange(len(small)), AT_ONCE):
                found[some[~np.isfinite(small.images[some]).any((1, 2, 3))]] = np.nan
        return found

    def require_fit(self, chips: Chips) -> None:
        """Refuse tiles that would not be seen as those of the training were.

        Raises:
            ImageError: when they have other bands, fewer pixels, pixels of another size, or numbers that
                mean something else.
        """
        names = tuple(band.name for band in chips.bands)
        if names != self.bands:
            raise ImageError(
                f"The score was learned from the bands {', '.join(self.bands)}, the tiles have "
                f"{', '.join(names)}: give tiles of the same bands in that order."
            )
        here = _pixel_m(chips, self.side)
        if self.pixel_m and here and not np.allclose(self.pixel_m, here, PIXEL_TOLERANCE):
            raise ImageError(
                f"The score was learned from tiles of {self.side} pixels of {self.pixel_m[0]:.3g} m, these "
                f"have {min(chips.side, self.side)} of {here[0]:.3g} m: cut tiles that are as large on the "
                "ground, with pixels of that size or smaller."
            )
        if chips.side < self.side and not (self.pixel_m and here):
            raise ImageError(
                f"The score was learned from tiles of {self.side} pixels a side, these have {chips.side}: "
                "give tiles of as many pixels or more, of as much ground."
            )
        found = compare(self.radiometry, meaning(chips))
        if wrong := [one for one in found if one.refuses and one.code != "constant"]:  # a lake may be flat
            raise ImageError(wrong[0].sentence.replace("give --convert, or ", "give "))

    # -- packages ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready facts; :meth:`arrays` holds the rest."""
        pixel = None if self.pixel_m is None else list(self.pixel_m)
        return {
            "kind": self.kind,
            "bands": list(self.bands),
            "side": self.side,
            "pixel_m": pixel,
            "radiometry": self.radiometry.to_dict(),
            "net": dict(self.facts),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Filters, or weights of the net."""
        if isinstance(self.source, RandomFilters):
            return self.source.arrays()
        weights = self.source.net.state_dict()
        held = {f"{_NET}{name}": value.contiguous().numpy() for name, value in weights.items()}
        return held | {"mean": np.asarray(self.source.mean), "sd": np.asarray(self.source.sd)}

    @classmethod
    def of_package(cls, facts: Mapping[str, Any], held: Mapping[str, np.ndarray]) -> TileFeatures:
        """The opposite of :meth:`to_dict` and :meth:`arrays`.

        Raises:
            ModelError: when the net cannot be built.
        """
        source: RandomFilters | LightNet
        if facts["kind"] == RANDOM:
            source = RandomFilters.of_arrays(held)
        else:
            weights = {k.removeprefix(_NET): held[k] for k in held if k.startswith(_NET)}
            net = load_net(facts["net"]["name"], weights, **facts["net"]["settings"]).eval()
            order = tuple(range(len(facts["bands"])))
            source = LightNet(net, order, held["mean"], held["sd"], learned=0)
        pixel = None if facts["pixel_m"] is None else tuple(facts["pixel_m"])
        radiometry = Radiometry.from_dict(facts["radiometry"])
        return cls(source, tuple(facts["bands"]), int(facts["side"]), pixel, radiometry, facts["net"])


def random_tile_features(chips: Chips, *, count: int, side: int, seed: int) -> TileFeatures:
    """Features by patches of the tiles themselves: no training, no labels (MOSAIKS).

    Args:
        chips: the tiles.
        count: filters; each gives two features.
        side: pixels to which larger tiles are averaged.
        seed: of the draws.
    """
    small = averaged(chips, side)
    bands = tuple(band.name for band in chips.bands)
    filters, seen = draw_filters(small, count=count, seed=seed), meaning(chips)
    return TileFeatures(filters, bands, small.side, _pixel_m(chips, side), seen, {})


def averaged(chips: Chips, side: int) -> Chips:
    """Tiles of at most ``side`` pixels, by means over what has data; NaN where nothing has."""
    if chips.side <= side:
        return chips
    small = np.empty((*chips.images.shape[:2], side, side), _number_type(chips))
    for some in batches(np.arange(len(chips)), AT_ONCE):
        images = chips.images[some].astype(np.float32)
        mean = shrunk(images, side)
        if small.dtype.kind == "f":
            seen = shrunk(np.isfinite(images).astype(np.float32), side)
            mean = np.where(seen > 0, mean, np.nan)
        small[some] = mean if small.dtype.kind == "f" else mean.round()
    return replace(chips, images=small)


def _number_type(chips: Chips) -> np.dtype:
    """Bytes stay bytes, whose range is known; others become float32."""
    kept: np.dtype = chips.images.dtype
    return kept if kept == np.uint8 else np.dtype(np.float32)


def net_tile_features(package: str | Path, chips: Chips) -> TileFeatures:
    """Features of the last layer of convolutions of a scene model, such as that of ``jido score label``.

    Args:
        package: folder of a model of ``jido score label`` or ``jido scene train``.
        chips: the tiles that it will see.

    Raises:
        ModelError: when it is no such model.
        ImageError: as :meth:`TileFeatures.require_fit`.
    """
    from jido.methods import load_model
    from jido.methods.net import NetModel

    model = load_model(package)
    if not isinstance(model, NetModel) or not hasattr(model.net, "features"):
        raise ModelError(
            f"{package} is no model of whole tiles: give one of jido score label or scene train."
        )
    known, side = tuple(band.name for band in model.bands), model.config.patch or chips.side
    config = model.config
    mean, sd = (np.array(values, np.float32) for values in (config.mean, config.sd))
    net = LightNet(model.net, tuple(range(len(known))), mean, sd, learned=0)
    facts = {"name": config.net, "settings": dict(config.settings)}
    pixel_m, seen = model.pixel_m or _pixel_m(chips, side), model.radiometry or meaning(chips)
    features = TileFeatures(net, known, side, pixel_m, seen, facts)
    features.require_fit(chips)
    return features


def meaning(chips: Chips) -> Radiometry:
    """What the numbers of tiles mean: as their files say, else as their pixels look."""
    if chips.radiometry is not None:
        return chips.radiometry
    some = np.unique(np.linspace(0, len(chips) - 1, SAMPLE).astype(np.int64))
    pixels = chips.images[some][:, :, ::APART, ::APART].astype(np.float32)
    flat = pixels.transpose(1, 0, 2, 3).reshape(pixels.shape[1], -1)
    kept: np.dtype = chips.images.dtype
    said = Stated(image="the tiles", dtype=kept.name if kept.kind in "iu" else "")
    return describe(flat, chips.bands, [said] * len(flat))


def _pixel_m(chips: Chips, side: int) -> tuple[float, float] | None:
    """Height and width of a pixel once larger tiles are averaged to ``side`` pixels."""
    if chips.pixel_m is None:
        return None
    times = max(chips.side / side, 1.0)
    return times * chips.pixel_m[0], times * chips.pixel_m[1]
