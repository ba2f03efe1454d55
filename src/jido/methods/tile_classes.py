"""Urban, rural or uninhabited: the class of tiles of which people have labelled a few, with soft labels.

The first step of Ahn et al. 2023 (Nature Communications, s41467-023-42122-8): a mean teacher learns from
shares of annotators and from tiles without a label. The net that sees is learned there and fixed here: see
:mod:`jido.nets.tile`.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import entr

from jido.data.chips import Chips
from jido.data.places import EARTH_M, square_side_m, squares, usual_distance_m
from jido.data.tiles import batches
from jido.errors import LabelsError, ModelError
from jido.io import Progress, replacing
from jido.labels import ClassScheme, Folds, group_kfold
from jido.labels.scheme import named_scheme
from jido.methods.net import NetConfig, NetModel
from jido.methods.tile_classes_config import TileClassesConfig
from jido.methods.tile_classes_labels import CLASSES, SoftLabels
from jido.methods.tile_classes_net import judging_net
from jido.methods.tile_classes_seen import Looking, fresh_net, net_settings, precision
from jido.stats import calibration
from jido.stats.intervals import judged

IN_A_ROW = 8
"""Tiles in a row of what a map predicts at once: 64 windows, as many as are judged together."""

UNKNOWN = "random tiles (leaking: nobody knows where they lie, so neighbours may stand on both sides)"

TOGETHER = 1.5
"""Sides of a tile up to which the middles of tiles that touch are apart."""


@dataclass(frozen=True, eq=False)
class TileClasses:
    """What a training gives.

    Args:
        model: for further tiles, and for maps.
        chips: the tiles that it was trained on.
        said: (N, 3) probabilities of all of them, in the order of the classes.
        labels: what people said.
        held: (n, 3) probabilities of the labelled tiles, each by a model that had not seen its label.
    """

    model: NetModel
    chips: Chips
    said: np.ndarray
    labels: SoftLabels
    held: np.ndarray

    @property
    def evaluation(self) -> dict[str, Any]:
        """All figures of the held-out tiles, JSON-ready."""
        return self.model.evaluation

    def probabilities(self, chips: Chips) -> np.ndarray:
        """Probabilities (N, 3) float32 of other tiles: :func:`tile_probabilities`."""
        return tile_probabilities(self.model, chips)


def train_tile_classes(
    chips: Chips,
    labels: SoftLabels,
    *,
    config: TileClassesConfig,
    work: Path,
    encoder: NetModel | None = None,
    folds: int = 5,
    progress: Progress | None = None,
) -> TileClasses:
    """Learn the classes of tiles and say what that is worth on labelled tiles that were held out.

    Args:
        chips: all tiles, with or without a label.
        labels: of some of them.
        config: the settings.
        work: an existing folder: what was seen of tiles is kept there, and a second start goes on with it.
        encoder: a compact scene model of the same bands, by which tiles are seen, too.
        folds: number of folds of the labelled tiles.
        progress: told how far it is.

    Raises:
        LabelsError: for labels of tiles that are not there, and of fewer than two classes.
        FoldsError: when there are fewer labelled tiles, or places of them, than folds.
        ImageError: for tiles that are too small or have bands that cannot be taken as logarithms.
        ModelError: when the encoder does not fit.
    """
    start = time.perf_counter()
    places = labels.places(chips.name)
    require_classes(labels)
    parts = tile_folds(chips, labels, k=folds, seed=config.seed)
    looked = look(chips, places, config, work=work, encoder=encoder, progress=progress)
    share = np.full((len(looked.which), len(CLASSES)), np.nan)
    share[: len(labels)] = labels.share
    held = np.empty((len(labels), len(CLASSES)), np.float32)
    for i, (train, test) in enumerate(parts):
        kept = np.concatenate([train, np.arange(len(labels), len(share))])
        net = judging_net(looked.net, looked.seen[:, kept], share[kept], config)
        held[test] = _judged(net, looked.seen[0, test])
        if progress:
            progress("learning the classes", i + 1, folds + 1)
    net = judging_net(looked.net, looked.seen, share, config)
    if progress:
        progress("learning the classes", folds + 1, folds + 1)
    evaluation = evaluated(held, labels, parts) | {
        "tiles": {"train": len(labels), "without a label": len(share) - len(labels)},
        "encoder": None if encoder is None else encoder.package,
        "seconds": round(time.perf_counter() - start, 2),
    }
    model = _model(net, chips, looked.moments, config, encoder, evaluation)
    return TileClasses(model, chips, _judged(net, looked.plain), labels, held)


@dataclass(frozen=True, eq=False)
class Looked:
    """What a net saw of tiles.

    Args:
        net: that saw them.
        moments: mean and standard deviation (C,) of the bands.
        which: places of the tiles that are learned from, those with labels first.
        seen: (V, n, F) of these.
        plain: (N, F) of all tiles as they are.
    """

    net: Any
    moments: tuple[np.ndarray, np.ndarray]
    which: np.ndarray
    seen: np.ndarray
    plain: np.ndarray


def look(
    chips: Chips,
    labelled: np.ndarray,
    config: TileClassesConfig,
    *,
    work: Path,
    encoder: NetModel | None = None,
    progress: Progress | None = None,
) -> Looked:
    """See all tiles once, and those that are learned from in further views.

    Args:
        chips: all tiles.
        labelled: places of those with a label.
        config: the settings.
        work: an existing folder for what has been seen.
        encoder: as for :func:`train_tile_classes`.
        progress: told the tiles.

    Raises:
        ImageError: as :func:`train_tile_classes`.
        ModelError: as :func:`train_tile_classes`.
    """
    others = np.setdiff1d(np.arange(len(chips)), labelled)
    rng = np.random.default_rng(config.seed)
    some = np.sort(rng.choice(others, min(config.unlabelled, len(others)), replace=False))
    which = np.concatenate([labelled, some])
    moments = chips.moments(which)
    net = fresh_net(config, chips, encoder, moments)
    looking = Looking(net, chips, moments, config, work)
    plain = looking.vectors(np.arange(len(chips)), 0, progress=progress)
    views = [looking.vectors(which, view, progress=progress) for view in range(1, config.views)]
    return Looked(net, moments, which, np.stack([plain[which], *views]), plain)


def require_classes(labels: SoftLabels) -> None:
    """Refuse labels from which no classes can be learned.

    Raises:
        LabelsError: when fewer than two classes have two tiles or more.
    """
    count = np.bincount(labels.label, minlength=len(CLASSES))
    if np.count_nonzero(count >= 2) < 2:
        told = ", ".join(f"{n} {name}" for name, n in zip(CLASSES, count.tolist(), strict=True))
        raise LabelsError(
            f"The labelled tiles are {told}: label more, so that two classes have two tiles at least."
        )


def _judged(net: Any, raw: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) float32 of what was seen, (n, F)."""
    import torch

    with torch.inference_mode():
        vectors = net.features.standard(torch.from_numpy(raw))
        return net.head(vectors[..., None, None]).exp().numpy()


# -- what it is worth --------------------------------------------------------------------------


def tile_folds(chips: Chips, labels: SoftLabels, *, k: int, seed: int) -> Folds:
    """Folds of labelled tiles: whole squares of land with a gap where places are known, else tiles at random.

    Tiles that are the same in every pixel stay together.

    Args:
        chips: the tiles.
        labels: of some of them.
        k: number of folds.
        seed: of the draw.

    Raises:
        FoldsError: when there are fewer squares, or tiles, than folds.
        LabelsError: for labels of tiles that are not there.
    """
    places = labels.places(chips.name)
    lonlat = None if chips.lonlat is None else chips.lonlat[places]
    ground = None if chips.lonlat is None else usual_distance_m(chips.lonlat)
    if lonlat is None or ground is None or not np.isfinite(lonlat).all():
        same = [hashlib.blake2b(np.ascontiguousarray(chips.images[i : i + 1]).data).digest() for i in places]
        found = group_kfold(np.array(same), labels.label, k=k, seed=seed)
        return Folds(found.fold, kind=UNKNOWN, leaks=True)
    side = square_side_m(lonlat, ground)
    found = group_kfold(squares(lonlat, side), labels.label, k=k, seed=seed)
    lon, lat = np.radians(lonlat).T
    xyz = EARTH_M * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    gap = TOGETHER * ground
    kind = f"squares of {side / 1000:g} km, tiles that touch left out"
    return Folds(found.fold, kind=kind, xy=xyz, buffer=gap)


def evaluated(held: np.ndarray, labels: SoftLabels, folds: Folds) -> dict[str, Any]:
    """All figures of held-out probabilities, JSON-ready.

    Args:
        held: (n, 3) of the labelled tiles.
        labels: what people said of them. The class is the largest share.
        folds: in which they were held out.

    Returns:
        Those of :func:`~jido.stats.intervals.judged`, ``calibration``, ``cross_entropy`` against the shares
        beside its least possible value, the entropy of the shares, and ``agreement``: how often an annotator
        drawn at random is expected to say the class.
    """
    truth, group = labels.label, np.arange(len(labels))
    return {
        **judged(truth, held.argmax(1), group, tile_scheme()),
        "folds": folds.to_dict(),
        "judged_on": "held-out tiles",
        "calibration": calibration(held, truth),
        "cross_entropy": cross_entropy(held, labels.share),
        "least_cross_entropy": float(entr(labels.share).sum(1).mean()),
        "agreement": labels.agreement,
        "ties": labels.ties,
    }


def cross_entropy(said: np.ndarray, share: np.ndarray) -> float:
    """Mean cross-entropy in nats of probabilities (n, K) against shares (n, K)."""
    return float(-(share * np.log(np.maximum(said, 1e-7))).sum(1).mean())


# -- the model ---------------------------------------------------------------------------------


def tile_scheme() -> ClassScheme:
    """The three classes, codes 1 to 3."""
    return named_scheme("tiles", CLASSES)


def _model(
    net: Any,
    chips: Chips,
    moments: tuple[np.ndarray, np.ndarray],
    config: TileClassesConfig,
    encoder: NetModel | None,
    evaluation: dict[str, Any],
) -> NetModel:
    side = chips.side
    return NetModel(
        net=net,
        config=NetConfig(
            net="tile",
            settings=net_settings(config, chips, encoder),
            mean=tuple(moments[0].tolist()),
            sd=tuple(moments[1].tolist()),
            precision=precision(net),
            patch=side,
            stride=side,
            tile=IN_A_ROW * side,
        ),
        bands=chips.bands,
        scheme=tile_scheme(),
        pixel_m=chips.pixel_m,
        evaluation=evaluation,
        radiometry=chips.radiometry,
    )


def tile_probabilities(model: NetModel, chips: Chips) -> np.ndarray:
    """Probabilities (N, K) float32 of tiles by a model of whole tiles.

    Args:
        model: of :func:`train_tile_classes`, or a package of it that was loaded.
        chips: tiles with its bands, of its size.

    Raises:
        ModelError: when they have others.
    """
    here, wanted = ([band.name for band in some] for some in (chips.bands, model.bands))
    if here != wanted or chips.side != model.config.patch:
        raise ModelError(
            f"The model was trained on tiles of {model.config.patch} pixels with the bands "
            f"{', '.join(wanted)}; these have {chips.side} and {', '.join(here)}: cut tiles alike."
        )
    single = model.at_stride(chips.side)
    found = [np.empty((0, len(model.scheme.classes)), np.float32)]
    for some in batches(np.arange(len(chips)), IN_A_ROW**2):
        found.append(single.predict(chips.images[some].astype(np.float32))[:, :, 0, 0])
    return np.concatenate(found)


def write_classes(names: Sequence[str], said: np.ndarray, path: str | Path) -> dict[str, int]:
    """A table with a row for each tile: id, a probability for each class, and the class.

    Args:
        names: ids of the tiles.
        said: (N, 3) probabilities.
        path: of a CSV file.

    Returns:
        number of tiles of each class.

    Raises:
        OutputError: when it cannot be written.
    """
    count = dict.fromkeys(CLASSES, 0)
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", *CLASSES, "class"])
        for name, row in zip(names, said, strict=True):
            best = CLASSES[int(row.argmax())]
            count[best] += 1
            table.writerow([name, *(f"{value:.4f}" for value in row), best])
    return count
