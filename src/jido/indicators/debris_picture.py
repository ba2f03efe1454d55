"""A picture of a map of debris: the image, what the map says, how sure it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jido.geo import Window
from jido.indicators.debris import DEBRIS, Sea
from jido.io import Scene
from jido.methods.figures.curves import save

SIDE = 700
"""Pixels of the longer side of a panel, at most."""

KINDS = (("#BDBDBD", "land, cloud, no data"), ("#DEEBF7", "water and other matter"), ("#FDAE61", "unsure"),
         ("#D7301F", "debris"))  # fmt: skip


def draw_debris(sea: Sea, mapped: Scene, target: Path) -> Path:
    """True colour, map and probability side by side, as PNG.

    Of pixels that fall on one point of the picture the likeliest debris is shown, so that single pixels stay
    visible; it shows places, not areas.

    Args:
        sea: that was mapped.
        mapped: its map.
        target: the file.

    Raises:
        OutputError: when it cannot be written.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colour, kind, probability = _overview(sea, mapped)
    figure = Figure(figsize=(15, 5.4), layout="constrained")
    one, two, three = figure.subplots(1, 3)
    one.imshow(colour, interpolation="nearest")
    one.set_title("image (red, green, blue; stretched)", fontsize=10)
    two.imshow(kind, cmap=ListedColormap([c for c, _ in KINDS]), vmin=0, vmax=3, interpolation="nearest")
    two.set_title("map", fontsize=10)
    two.legend(
        handles=[Patch(color=c, label=name) for c, name in KINDS],
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=4, frameon=False,
    )  # fmt: skip
    drawn = three.imshow(probability, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    three.set_facecolor("#BDBDBD")
    three.set_title("probability of debris (in the mix of the training)", fontsize=10)
    figure.colorbar(drawn, ax=three, shrink=0.8)
    for axes in (one, two, three):
        axes.set(xticks=[], yticks=[])
    return save(figure, target)


def _overview(sea: Sea, mapped: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (y, x, 3) 0..1, kinds (y, x) of :data:`KINDS`, probability (y, x), NaN = no answer."""
    height, width = mapped.geobox.shape
    step = max(-(-max(height, width) // SIDE), 1)
    rows = max(1024 // step, 1) * step
    names = _colours(sea.scene)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for top in range(0, height, rows):
        window: Window = slice(top, min(top + rows, height)), slice(0, width)
        code, unsure, chance = mapped.pixels(window, ["class", "abstain", "p_debris"])
        kind = np.where(np.isnan(code), 0, np.where(unsure == 1, 2, np.where(code == DEBRIS, 3, 1)))
        light = Scene.pixels(sea.scene, window, names)[:, ::step, ::step]
        parts.append((light, _largest(kind.astype(np.float64), step), _largest(chance, step)))
    light, kind, chance = (np.concatenate(each, axis=-2) for each in zip(*parts, strict=True))
    return np.moveaxis(_stretched(light), 0, -1), kind, chance


def _colours(scene: Scene) -> list[str]:
    roles = {band.common_name: band.name for band in scene.bands}
    grey = next(iter(scene.names))
    return [roles.get(role, roles.get("green", grey)) for role in ("red", "green", "blue")]


def _largest(plane: np.ndarray, step: int) -> np.ndarray:
    """Of each square of pixels the largest, NaN where none is known; (y, x) -> fewer."""
    height, width = (-(-side // step) * step for side in plane.shape)
    whole = np.full((height, width), -np.inf)
    whole[: plane.shape[0], : plane.shape[1]] = np.where(np.isnan(plane), -np.inf, plane)
    top = whole.reshape(height // step, step, width // step, step).max(axis=(1, 3))
    return np.where(np.isinf(top), np.nan, top)


def _stretched(light: np.ndarray) -> np.ndarray:
    """Planes (3, y, x) between their 2nd and 98th percentiles as 0..1; white without data."""
    if not np.isfinite(light).any():
        return np.ones_like(light)
    low, high = np.nanquantile(light, (0.02, 0.98))
    return np.nan_to_num(np.clip((light - low) / max(high - low, 1e-6), 0, 1), nan=1.0)
