"""Nightlight transfer: a net learns from daytime tiles how bright the night is, then describes tiles by it.

Jean et al. 2016, doi 10.1126/science.aaf7894: three classes of light by a mixture of Gaussians, a net from
tile to class, its pooled features averaged over the window of each survey cluster, ridge regression on them.
Nightlights are known everywhere, surveys at few places: the net learns what it looks for where labels are
free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.data.patches import normalise
from jido.data.pool import Pool
from jido.data.stack import stack_of
from jido.data.tiles import batches
from jido.errors import LabelsError, ModelError
from jido.io import Progress
from jido.methods.backbone import BackboneTuning
from jido.methods.encoder_package import EncoderPackage
from jido.methods.scene import SceneTraining
from jido.methods.scene_config import SceneConfig
from jido.methods.scene_data import SceneData
from jido.methods.tune import TuneConfig, Tuning

if TYPE_CHECKING:
    from torch import Tensor, nn

SPIKE = 0.05
"""Share of exact zeros from which on they are a class of their own: no Gaussian has their variance of 0."""

NARROWEST = 1e-4
"""Added to the variance of a Gaussian of log(1 + light), so that repeated values cannot make it 0."""

STARTS = 5
"""Beginnings of the mixture, of which the likeliest end is kept."""

FLAT = 1e-9
"""Gaussians that differ in width by less, relative to their distance, are of one width."""

RIM = 5
"""Places of a map beyond the rim of a tile, mirrored, when a finer one is asked for: our nets see so far."""

AT_ONCE = 2**20
"""Pixels that a net sees together."""


# -- classes of light --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LightClasses:
    """Classes of nightlight, from dark to bright.

    Args:
        label: (n,) int64 place of the class of each light, -1 where it is not known.
        limits: (K - 1,) lights above which the next class begins, in the unit of the lights.
        means: (K,) the middle of each class: exp(mean of log(1 + light)) - 1.
        shares: (K,) weights of the mixture, which add to 1.
    """

    label: np.ndarray
    limits: np.ndarray
    means: np.ndarray
    shares: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """What the classes are called, in an order that is alphabetical as well."""
        k = len(self.means)
        words = {1: "dark", k: "bright"} | ({2: "medium"} if k == 3 else {})
        return tuple(f"{i} {words.get(i, '')}".strip() for i in range(1, k + 1))

    def of(self, light: np.ndarray) -> np.ndarray:
        """Places (n,) int64 of the classes of other lights, -1 where one is not known."""
        found = np.searchsorted(self.limits, np.nan_to_num(light), side="left")
        return np.where(np.isfinite(light), found, -1).astype(np.int64)


def light_classes(light: np.ndarray, *, classes: int = 3, seed: int = 0) -> LightClasses:
    """Classes of light by a mixture of Gaussians of log(1 + light).

    Jean et al. fit theirs to lights of 0 to 63. Radiances of today's sensor have no such end and a long tail,
    to which a raw mixture gives a Gaussian of its own; below 1 nW/cm2/sr, where noise begins, log(1 + light)
    is nearly the light itself. Lights below 0 are noise and count as 0. Where :data:`SPIKE` of the lights or
    more are exactly 0, these are the darkest class and the others share the mixture. A class is an
    interval: the next one begins where its Gaussian, times its weight, rises above that of the last.

    Args:
        light: (n,) nightlights, NaN = not known.
        classes: K, 2 or more.
        seed: of the mixture.

    Raises:
        LabelsError: when all lights are 0 or the same, or do not fall into so many classes.
    """
    known = np.maximum(light[np.isfinite(light)].astype(np.float64), 0)
    if classes < 2:
        raise LabelsError(f"{classes} classes of light tell nothing apart: ask for 2 or more.")
    _require_lights(known, classes)
    dark = known == 0
    spike = dark.mean() >= SPIKE
    lit = np.log1p(known[~dark] if spike else known)
    means, sds, weights = _mixture(lit, classes - spike, seed)
    pairs = [slice(i, i + 2) for i in range(len(means) - 1)]
    cuts = np.array([_crossing(means[two], sds[two], weights[two]) for two in pairs])
    limits = np.expm1(np.where(cuts < lit.max(), cuts, np.nan))
    if spike:
        limits, means = np.append(0.0, limits), np.append(0.0, means)
        weights = np.append(dark.mean(), weights * (1 - dark.mean()))
    found = LightClasses(np.empty(0), limits, np.expm1(means), weights)
    found = replace(found, label=found.of(light))
    told = np.unique(found.label[found.label >= 0])
    if np.isnan(limits).any() or (np.diff(limits) <= 0).any() or len(told) < classes:
        raise LabelsError(
            f"The nightlights do not fall into {classes} classes from dark to bright: ask for fewer, or give "
            "lights of more places."
        )
    return found


def _require_lights(known: np.ndarray, classes: int) -> None:
    if not len(known):
        raise LabelsError("No nightlight is known of any tile: give lights of the places of the images.")
    different = len(np.unique(known))
    if different == 1:
        every = "0" if known[0] == 0 else f"{known[0]:g}"
        raise LabelsError(
            f"All {len(known):,} nightlights are {every}, so there is nothing to tell apart: give another "
            "year, or images of more places."
        )
    if different < classes:
        raise LabelsError(
            f"The nightlights have {different} different values, which make no {classes} classes: ask for "
            "fewer."
        )


def _mixture(values: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, standard deviations and weights (k,) of Gaussians, by rising mean."""
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(k, n_init=STARTS, reg_covar=NARROWEST, random_state=seed).fit(values[:, None])
    order = np.argsort(mixture.means_[:, 0])
    return (
        mixture.means_[order, 0],
        np.sqrt(mixture.covariances_[order, 0, 0]),
        mixture.weights_[order],
    )


def _crossing(means: np.ndarray, sds: np.ndarray, weights: np.ndarray) -> float:
    """Where the second of two weighted Gaussians rises above the first; NaN where it never does."""
    a = 0.5 / sds[0] ** 2 - 0.5 / sds[1] ** 2  # a x^2 + b x + c: log of the second over the first
    b = means[1] / sds[1] ** 2 - means[0] / sds[0] ** 2
    c = 0.5 * ((means[0] / sds[0]) ** 2 - (means[1] / sds[1]) ** 2)
    c += np.log(weights[1] * sds[0] / (weights[0] * sds[1]))
    if abs(a) < FLAT * b:  # of one width: a straight line
        return float(-c / b)
    root = b**2 - 4 * a * c
    return float((-b + np.sqrt(root)) / (2 * a)) if root > 0 else np.nan


def light_chips(chips: Chips, classes: LightClasses) -> Chips:
    """The same images with their class of light as the label.

    Raises:
        LabelsError: when there is not one light for every image.
    """
    if len(classes.label) != len(chips):
        raise LabelsError(
            f"There are {len(classes.label):,} nightlights for {len(chips):,} images: give one for each, NaN "
            "where it is not known."
        )
    return replace(chips, label=classes.label, classes=classes.names)


# -- nets --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LightNet:
    """A net that has learned from light, or not at all, and describes tiles.

    Args:
        net: a scene net, or an encoder net.
        order: (C,) places of its bands among those of the images.
        mean: (C,) of each band over the training images.
        sd: (C,) standard deviation of each band.
        learned: how many tiles it has learned from.
    """

    net: nn.Module
    order: tuple[int, ...]
    mean: np.ndarray
    sd: np.ndarray
    learned: int

    def seen(self, images: np.ndarray) -> Tensor:
        """Images (n, C, S, S) as the net takes them."""
        import torch

        values, _ = normalise(images[:, list(self.order)].astype(np.float32), self.mean, self.sd)
        return torch.from_numpy(values).to(next(self.net.parameters()).device)

    def maps(self, images: Tensor) -> Tensor:
        """Answers (n, D, h, w) of the last layer of convolutions.

        Raises:
            ModelError: for a net whose last layer has no places.
        """
        net: Any = self.net
        if hasattr(net, "features"):
            return net.features(images)
        if net.dates == 1 and hasattr(net.encoder, "stems"):
            return net.encoder.stages(net.encoder.stems(images))
        raise ModelError("This encoder has no maps of its filters: take a residual one, or a scene net.")

    def vectors(self, images: Tensor) -> Tensor:
        """Pooled features (n, D)."""
        net: Any = self.net
        return self.maps(images).mean((2, 3)) if hasattr(net, "features") else net.vectors(images)


def train_on_light(
    chips: Chips,
    classes: LightClasses,
    *,
    which: np.ndarray | None = None,
    validation: np.ndarray | None = None,
    config: SceneConfig | None = None,
    work: Path,
    progress: Progress | None = None,
) -> LightNet:
    """A scene net from daytime tile to class of light, from scratch.

    Args:
        chips: N images.
        classes: of their lights, all N.
        which: places of those that it learns from; all without it. Without a light they are left out.
        validation: places of those that choose the epoch; the last one is kept without them.
        config: settings; those of the compact net without them.
        work: folder of the checkpoint: what was cut off goes on from there.
        progress: told the steps.

    Raises:
        LabelsError: when there are not as many lights as images, or one class only to learn from.
        ModelError: for settings with which no training can begin.
    """
    lit = light_chips(chips, classes)
    train, held = _with_light(lit, which), _with_light(lit, validation if validation is not None else [])
    _require_classes(lit, train)
    data = SceneData(lit, train, held)
    training = SceneTraining(data, config or SceneConfig()).run(work, progress=progress)
    return LightNet(training.learner.judged, tuple(range(len(chips.bands))), data.mean, data.sd, len(train))


def tune_on_light(
    chips: Chips,
    classes: LightClasses,
    encoder: EncoderPackage | str,
    *,
    which: np.ndarray | None = None,
    config: TuneConfig | None = None,
    seed: int = 0,
) -> LightNet:
    """An encoder that has learned from other things learns the classes of light.

    With ``encoder_rate`` 0 it stays as it is, and so do its features: the lights then change nothing.

    Args:
        chips: N images of one date.
        classes: of their lights, all N.
        encoder: of ``jido lcz pretrain``, or the name of a net of the timm package with its own weights.
        which: places of the images that it learns from; all without it.
        config: settings.
        seed: of everything.

    Raises:
        LabelsError: as :func:`train_on_light`.
        ModelError: when the encoder does not fit the images, has no weights, or timm is missing.
    """
    lit, stack = light_chips(chips, classes), stack_of(chips.bands)
    train = _with_light(lit, which)
    _require_classes(lit, train)
    settings: dict[str, Any] = {"y": lit.label, "train": train, "classes": len(lit.classes), "seed": seed}
    pool = Pool.of(_Ordered(chips, stack.order), stack, which=which)
    settings |= {"pool": pool, "config": config or TuneConfig()}
    if isinstance(encoder, str):
        tuning: Tuning = BackboneTuning(encoder={}, name=encoder, **settings)
    else:
        encoder.require_fit(stack, chips.radiometry, chips.pixel_m)
        tuning = Tuning(encoder=encoder.settings, weights=encoder.tensors(), **settings)
    return LightNet(tuning.run().learner.judged, stack.order, *pool.moments, len(train))


def features(chips: Chips, net: LightNet, *, which: np.ndarray | None = None) -> np.ndarray:
    """Penultimate features of tiles, pooled over each: float32 (n, D), in float32 on any device.

    Args:
        chips: images with the bands that the net has learned from.
        net: of :func:`train_on_light` or :func:`tune_on_light`.
        which: places of the images; all without it.
    """
    places = np.arange(len(chips)) if which is None else which
    return np.concatenate(list(_looked(chips, net, places, "vectors")))


def activation_maps(chips: Chips, net: LightNet, which: np.ndarray, *, finer: int = 1) -> np.ndarray:
    """What each filter of the last layer answers to at each place of some tiles.

    A layer of 4 x 4 places shows little. The finer maps are put together from those of the tile mirrored at
    its rim and moved by parts of a place (shift and stitch: Long et al. 2015, section 3.2, doi
    10.1109/CVPR.2015.7298965); so no filter answers to the rim itself.

    Args:
        chips: images with the bands that the net has learned from.
        net: a scene net or one with a residual encoder.
        which: places of the images.
        finer: the maps have so many times more rows and columns; 1: as the layer has them, rim and all.

    Returns:
        float32 (n, D, h * finer, w * finer).

    Raises:
        ModelError: for a net whose last layer has no places.
    """
    plain = np.concatenate(list(_looked(chips, net, which, "maps")))
    if finer == 1:
        return plain
    (count, depth, across, _), side = plain.shape, chips.side
    stride = side // across
    rim = RIM * stride
    images = np.pad(chips.images[which], [(0, 0), (0, 0), *[(rim + stride,) * 2] * 2], mode="reflect")
    found = np.empty((count, depth, across, finer, across, finer), np.float32)
    moves = [stride + (2 * k + 1 - finer) * stride // (2 * finer) for k in range(finer)]
    inner = slice(RIM, RIM + across)
    for (i, down), (j, right) in product(enumerate(moves), repeat=2):
        part = images[:, :, down : down + side + 2 * rim, right : right + side + 2 * rim]
        moved = replace(chips, images=part)
        maps = np.concatenate(list(_looked(moved, net, np.arange(count), "maps")))
        found[:, :, :, i, :, j] = maps[:, :, inner, inner]
    return found.reshape(count, depth, across * finer, across * finer)


def _looked(chips: Chips, net: LightNet, places: np.ndarray, what: str) -> Iterator[np.ndarray]:
    """Answers of a net to images, some at a time."""
    import torch

    net.net.eval()
    for some in batches(places, max(AT_ONCE // chips.side**2, 1)):
        with torch.inference_mode():
            yield getattr(net, what)(net.seen(chips.images[some])).float().cpu().numpy()


def _with_light(chips: Chips, which: Any) -> np.ndarray:
    """Places of images, without those whose light is not known."""
    places = np.arange(len(chips)) if which is None else np.asarray(which, dtype=np.int64)
    return places[chips.label[places] >= 0]


def _require_classes(chips: Chips, train: np.ndarray) -> None:
    if len(found := np.unique(chips.label[train])) < 2:
        told = f"of class {chips.classes[found[0]]!r}" if len(found) else "without a light"
        raise LabelsError(f"All {len(train):,} tiles to learn from are {told}: give tiles of more places.")


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Images with their bands in the order of a stack, read as they are indexed."""

    chips: Chips
    order: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.chips)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.chips.images.shape

    def __getitem__(self, which: np.ndarray) -> np.ndarray:
        return self.chips.images[which][:, list(self.order)]
