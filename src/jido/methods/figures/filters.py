"""What single filters of a net answer to: figure 2 of Jean et al. 2016, doi 10.1126/science.aaf7894."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jido.data.chips import Chips
from jido.methods.figures.curves import save
from jido.methods.figures.pictures import to_rgb
from jido.methods.figures.scene_pictures import GAMMA

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

PINK = (255, 40, 170)
"""What lights up, as in the paper; neither fields nor roofs nor water have this colour."""

OPAQUE = 0.75
"""Of the pink where a filter answers most."""

ROWS = ("tile", "answer", "overlay")

SIDE = 1.05
"""Of a picture in inches."""

SIMILAR = 0.8
"""Filters whose features correlate more than this tell the same; the second of them is not chosen."""


def telling_filters(features: np.ndarray, light: np.ndarray, *, count: int = 4) -> np.ndarray:
    """Filters that are worth a look: bright ones, dark ones, and what else differs from these.

    In turn the filter whose features correlate most with light, the one that correlates least, and the
    one that those chosen so far explain least; never one that correlates with a chosen one by more than
    :data:`SIMILAR`, as long as there are others. Filters that never answer are left out.

    Args:
        features: (N, D) of tiles.
        light: (N,) nightlights, NaN = not known.
        count: how many are wanted.

    Returns:
        Places (count,) of the filters, fewer where fewer answer.
    """
    known = np.isfinite(light)
    spread = features[known].std(axis=0)
    alive = np.flatnonzero(spread > 0)
    z = (features[known][:, alive] - features[known][:, alive].mean(axis=0)) / spread[alive]
    dim = np.log1p(np.maximum(light[known], 0))
    r = z.T @ (dim - dim.mean()) / (len(dim) * max(float(dim.std()), 1e-12))
    likeness = np.abs(z.T @ z) / len(z)
    chosen: list[int] = []
    while len(chosen) < min(count, len(alive)):
        nearest = likeness[chosen].max(axis=0) if chosen else np.zeros(len(alive))
        wish = (r, -r, -nearest)[len(chosen) % 3]
        free = nearest <= SIMILAR
        free = free if free.any() else ~np.isin(np.arange(len(alive)), chosen)
        chosen.append(int(np.where(free, wish, -np.inf).argmax()))
    return alive[chosen]


def correlations(features: np.ndarray, light: np.ndarray, filters: Sequence[int]) -> list[float]:
    """Correlation of the features of some filters with log(1 + light)."""
    known = np.isfinite(light)
    dim = np.log1p(np.maximum(light[known], 0))
    return [float(np.corrcoef(features[known, i], dim)[0, 1]) for i in filters]


def filter_figure(
    chips: Chips,
    features: np.ndarray,
    maps: Callable[[np.ndarray], np.ndarray],
    path: str | Path,
    *,
    filters: Sequence[int],
    names: Mapping[int, str] | None = None,
    tops: int = 4,
    title: str = "",
) -> Path:
    """The tiles that a filter answers to most, where in them it does, and both on top of each other.

    A panel for each filter: above tiles, in the middle its answers from 0 (black) to the highest of the
    panel, below the tile with the answer in pink.

    Args:
        chips: N tiles.
        features: (N, D) pooled answers, by which tiles are ranked.
        maps: places (n,) of tiles -> answers (n, D, h, w), 0 or more.
        path: of the PNG.
        filters: places of the filters among D, a panel each.
        names: of filters, what is to stand above their panels beside their number.
        tops: tiles of a panel.
        title: of the figure.

    Raises:
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = min(len(filters), 2)
    lines = -(-len(filters) // columns)
    size = (columns * (tops * SIDE + 0.75), lines * (3 * SIDE + 0.5) + 0.45 * bool(title))
    figure = Figure(figsize=size, layout="constrained")
    parts: Any = figure.subfigures(lines, columns, squeeze=False, wspace=0.04, hspace=0.04)
    for number, part in zip(filters, parts.ravel(), strict=False):
        best = np.argsort(-features[:, number], kind="stable")[:tops]
        answers = maps(best)[:, number]
        part.suptitle(f"filter {number}{(names or {}).get(number, '')}", fontsize=10)
        _panel(part, chips, best, answers)
    if title:
        figure.suptitle(title, fontsize=11)
    return save(figure, Path(path))


def _panel(part: SubFigure, chips: Chips, which: np.ndarray, answers: np.ndarray) -> None:
    """Tiles, answers (n, h, w) and overlays of one filter."""
    axes = part.subplots(3, len(which), squeeze=False)
    colours = _colours(chips, which)
    shares = answers / max(float(answers.max()), 1e-12)
    for column, picture, share in zip(axes.T, colours, shares, strict=True):
        fine = enlarged(share, chips.side)
        column[0].imshow(picture)
        column[1].imshow(share, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        column[2].imshow(lit(picture, fine))
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, name in zip(axes[:, 0], ROWS, strict=True):
        axis.set_ylabel(name, fontsize=8)


def _colours(chips: Chips, which: np.ndarray) -> np.ndarray:
    """Colours uint8 (n, S, S, 3), stretched and brightened together: one colour is one number in all."""
    images = chips.images[which].astype(np.float32)
    n, bands, side, _ = images.shape
    strip = images.transpose(1, 0, 2, 3).reshape(bands, n * side, side)
    colours = to_rgb(strip, chips.bands).reshape(n, side, side, 3)
    return np.rint(255 * (colours / 255) ** GAMMA).astype(np.uint8)


def enlarged(share: np.ndarray, side: int) -> np.ndarray:
    """Answers (h, w) at the size of the tile (side, side): each lies in the middle of what it saw."""
    from scipy.ndimage import map_coordinates

    height, width = share.shape
    at = np.arange(side) + 0.5
    grid = np.meshgrid(at * height / side - 0.5, at * width / side - 0.5, indexing="ij")
    return map_coordinates(share.astype(np.float64), grid, order=1, mode="nearest")


def lit(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A picture uint8 (H, W, 3) under pink, as opaque as ``share`` (H, W), 0..1, is high; grey elsewhere."""
    grey = np.repeat(colours.mean(axis=-1, keepdims=True), 3, axis=-1)
    part = np.clip(share, 0, 1)[..., None]
    under = 0.5 * grey + 0.5 * colours
    return np.clip(under * (1 - OPAQUE * part) + np.array(PINK) * OPAQUE * part, 0, 255).astype(np.uint8)
