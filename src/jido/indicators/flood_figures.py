"""A change on one row: before, after, truth, prediction, and how sure the map is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jido.errors import ImageError
from jido.geo import Band
from jido.methods.figures.curves import save
from jido.methods.figures.pictures import to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIT, FALSE, MISSED, NOT = "#0072B2", "#E69F00", "#CC79A7", "#F2F2F2"
"""Blue, orange and purple of Okabe and Ito, which the colour-blind tell apart; near white for the rest."""

UNSEEN = "#808080"
RAMP = "cividis"
WIDTH = 2.6
"""Of a panel in inches."""

_ALONE = (NOT, HIT, UNSEEN)
_JUDGED = (NOT, HIT, FALSE, MISSED, UNSEEN)

BRIGHTEST = 4.0
"""Distances from the median to the upper quartile above it, beyond which all is white."""


def draw_change(
    before: np.ndarray,
    after: np.ndarray,
    probability: np.ndarray,
    path: str | Path,
    *,
    bands: Sequence[Band] = (),
    truth: np.ndarray | None = None,
    unsure: np.ndarray | None = None,
    threshold: float = 0.5,
    title: str = "",
    target: str = "flooded",
) -> Path:
    """Before | after | truth | prediction | uncertainty as PNG; without a truth its panel is left out.

    With a truth the prediction shows hits, false alarms and misses in three colours. The uncertainty is
    ``unsure``, or without it 1 - |2 p - 1|: 0 where the map is sure, 1 where it says one half.

    Args:
        before: image (C, H, W), NaN = no data.
        after: the same of the later date.
        probability: (H, W) 0..1 of the target; NaN = not seen.
        path: of the PNG.
        bands: of each image; the first three without.
        truth: (H, W) of 0 and 1; NaN = not known.
        unsure: (H, W) 0..1, such as the share of members that disagree, or bool where the map abstains.
        threshold: of the probability, from which on the target is predicted.
        title: above the row.
        target: in a word.

    Raises:
        ImageError: when the pictures are not of one size.
        OutputError: when the file cannot be written.
    """
    from matplotlib.figure import Figure

    planes = [part for part in (probability, truth, unsure) if part is not None]
    sizes = {np.shape(part)[-2:] for part in (before, after, *planes)}
    if len(sizes) > 1 or np.ndim(before) != 3 or np.ndim(after) != 3:
        raise ImageError(
            f"before {np.shape(before)}, after {np.shape(after)} and the map {np.shape(probability)} are not "
            "of one size: images are (bands, height, width), maps (height, width)."
        )
    panels = 4 + (truth is not None)
    height, width = np.shape(probability)
    figure = Figure(figsize=(WIDTH * panels, WIDTH * height / width + 0.9), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis, image, name in zip(axes, (before, after), ("before", "after"), strict=False):
        axis.imshow(to_rgb(_dimmed(np.asarray(image, dtype=np.float64)), bands))
        axis.set_title(name, fontsize=10)
    if truth is not None:
        known = np.where(np.isnan(np.asarray(truth, dtype=np.float64)), 2, np.nan_to_num(truth) > 0)
        _classes(axes[2], known, _ALONE)
        axes[2].set_title(f"truth: {target}", fontsize=10)
    _prediction(axes[-2], np.asarray(probability, dtype=np.float64), truth, threshold, target)
    shown = 1 - np.abs(2 * probability - 1) if unsure is None else np.asarray(unsure, dtype=np.float64)
    axes[-1].set_facecolor(UNSEEN)
    drawn = axes[-1].imshow(shown, cmap=RAMP, vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(drawn, ax=axes[-1], shrink=0.7, ticks=[0, 0.5, 1])
    abstains = unsure is not None and np.asarray(unsure).dtype == bool
    axes[-1].set_title("unsure (1)" if abstains else "uncertainty", fontsize=10)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    _legend(figure, _words(target, judged=truth is not None))
    if title:
        figure.suptitle(title, fontsize=10)
    return save(figure, Path(path))


def _dimmed(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) without what clouds and roofs are brighter than the rest, which leaves ground dark.

    Pictures of 8 bits stay as they are.
    """
    known = image[:, np.isfinite(image).all(axis=0)]
    if not known.size or ((known % 1 == 0).all() and 0 <= known.min() <= known.max() <= 255):
        return image
    middle, upper = np.percentile(known, (50, 75), axis=1)[..., None, None]
    return np.where(upper > middle, np.minimum(image, middle + BRIGHTEST * (upper - middle)), image)


def _words(target: str, *, judged: bool) -> list[tuple[str, str]]:
    """Colours and what they mean."""
    if not judged:
        return list(zip(_ALONE, (f"not {target}", target, "not seen"), strict=True))
    said = (f"not {target}", f"{target}, found", "false alarm", "missed", "not seen or known")
    return list(zip(_JUDGED, said, strict=True))


def _prediction(
    axis: Axes, probability: np.ndarray, truth: np.ndarray | None, threshold: float, target: str
) -> None:
    said, seen = np.nan_to_num(probability) >= threshold, np.isfinite(probability)
    if truth is None:
        _classes(axis, np.where(seen, said, 2), _ALONE)
        axis.set_title(f"prediction: {target}", fontsize=10)
        return
    known = np.isfinite(np.asarray(truth, dtype=np.float64)) & seen
    true = np.nan_to_num(truth) > 0
    kind = np.select([~known, said & true, said & ~true, ~said & true], [4, 1, 2, 3], default=0)
    _classes(axis, kind, _JUDGED)
    both, either = int((known & said & true).sum()), int((known & (said | true)).sum())
    name = f"prediction, IoU {both / either:.2f}" if either else f"prediction: none {target}, none said"
    axis.set_title(name, fontsize=10)


def _classes(axis: Axes, kind: np.ndarray, colours: Sequence[str]) -> None:
    from matplotlib.colors import to_rgb as colour

    axis.imshow(np.array([colour(name) for name in colours])[kind.astype(int)], interpolation="nearest")


def _legend(figure: object, names: list[tuple[str, str]]) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if isinstance(figure, Figure):
        patches = [Patch(facecolor=colour, edgecolor="0.4", label=name) for colour, name in names]
        figure.legend(
            handles=patches, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9
        )
