"""Pictures of errors and predictions on tiles: figures 6 and 11-13 of the two-stage paper.

The paper is that of :mod:`jido.methods.figures.history`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jido.data.tiles import Tiles, batches, unpacked
from jido.geo import Band
from jido.methods.figures.curves import save
from jido.methods.figures.pieces import Piece, Said, Stage2, distinct, united

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = 128
"""Where there is no data, and a band that is the same everywhere."""

PERCENTILES = (2, 98)
BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 70, 50), (70, 130, 255)
OUTLINE = "#F0E442"
"""Yellow of Okabe and Ito: stands out on fields, roofs and black."""

CLOSEST = 48
"""Least side of a zoomed crop in pixels: less shows no surroundings."""

WIDTH = 2.35
"""Of a panel in inches: a tile of 256 pixels comes out about pixel by pixel."""


def to_rgb(pixels: np.ndarray, bands: Sequence[Band]) -> np.ndarray:
    """An image (C, H, W) with NaN = no data as colours uint8 (H, W, 3).

    Shown are the bands called red, green and blue, else the first three, else the first one in grey. Whole
    numbers of 0-255 are shown as they are; anything else is stretched, each band from its 2nd to its 98th
    percentile. No data is grey.
    """
    named = [
        next((i for i, band in enumerate(bands) if name in (band.common_name, band.name.lower())), None)
        for name in ("red", "green", "blue")
    ]
    first = [0, 1, 2] if len(pixels) >= 3 else [0, 0, 0]
    shown = pixels[[i for i in named if i is not None] if None not in named else first]
    known = np.isfinite(shown).all(axis=0)
    values = shown[:, known].astype(np.float64)
    eight_bit = values.size and (values % 1 == 0).all() and values.min() >= 0 and 1 < values.max() <= 255
    if values.size and not eight_bit:
        low, high = np.percentile(values, PERCENTILES, axis=1)[:, :, None]
        span = np.where(high > low, high - low, np.inf)
        values = np.where(high > low, 255 * (values - low) / span, GREY)
    picture = np.full((*known.shape, 3), GREY, dtype=np.uint8)
    picture[known] = np.clip(np.rint(values), 0, 255).T
    return picture


def error_gallery(
    tiles: Tiles,
    errors: np.ndarray,
    path: str | Path,
    *,
    which: np.ndarray | None = None,
    count: int = 6,
    seed: int = 0,
) -> Path:
    """Tiles with the most accumulated errors: misses above, false alarms below (figure 6).

    Tiles that overlap one that is shown already are left out.

    Args:
        tiles: N tiles.
        errors: (N, S * S / 8) uint8, packed bits, 1 = was wrong at least once.
        path: of the PNG.
        which: places of the tiles that errors were accumulated on, all without it: the shares are of them.
        count: tiles for each of the two.
        seed: says which of the tiles with equally many errors come first.

    Raises:
        ValueError: when there is not one row of errors for every tile.
        OutputError: when the file cannot be written.
    """
    if errors.shape != tiles.masks.shape:
        raise ValueError(f"Errors {errors.shape} do not fit the masks of the tiles {tiles.masks.shape}.")
    which = np.arange(len(tiles)) if which is None else which
    sums = np.zeros((3, len(tiles)), dtype=np.int64)  # FN, FP, target
    for some in batches(which, 1024):
        wrong, mask = errors[some], tiles.masks[some]
        for row, bits in zip(sums, (wrong & mask, wrong & ~mask, mask), strict=True):
            row[some] = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    if not sums[:2].any():
        return save(_words(f"No errors were accumulated on these {len(which)} tiles."), Path(path))
    missed, false, target = (int(pixels) for pixels in sums.sum(axis=1))
    others = len(which) * tiles.side**2 - target
    texts = [
        f"(a) FN, misses: errors inside the target, {_percent(missed, target)} of its pixels",
        f"(b) FP, false alarms: errors outside the target, {_percent(false, others)} of the pixels there",
    ]
    chosen = [_worst(tiles, pixels, count, seed) for pixels in sums[:2]]
    columns, heights = max(3, *map(len, chosen)), [6.5 if len(shown) else 0.7 for shown in chosen]
    figure = _figure(columns * 1.9, sum(heights), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    for part, shown, text, inside in zip(parts, chosen, texts, (True, False), strict=True):
        part.suptitle(text if len(shown) else f"{text[:3]} no {text[4:6]}", fontsize=11)
        if len(shown):
            axes = part.subplots(3, columns, squeeze=False)
            _show_errors(axes, tiles, shown, unpacked(errors[shown], tiles.side), inside=inside)
    return save(figure, Path(path))


def _worst(tiles: Tiles, pixels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of the tiles with the most pixels in error, without doubles and those that have none."""
    order = np.random.default_rng(seed).permutation(len(tiles))
    ranked = order[np.argsort(-pixels[order], kind="stable")]
    ranked = ranked[pixels[ranked] > 0]
    whole = ((int(tile), (0, 0, tiles.side, tiles.side)) for tile in ranked)
    return ranked[list(islice(distinct(tiles, whole), count))]


def _show_errors(
    axes: np.ndarray, tiles: Tiles, which: np.ndarray, errors: np.ndarray, *, inside: bool
) -> None:
    """A column per tile: image, image with the target, errors inside or outside of the target."""
    for column, tile, mask, error in zip(axes.T, which, tiles.mask(which), errors, strict=False):
        image, wrong = to_rgb(tiles.pixels(np.array([tile]))[0], tiles.bands), error & (mask == inside)
        for axis, picture in zip(column, (image, image, _paint(wrong)), strict=True):
            axis.imshow(picture)
        _outline(column[1], mask)
        _outline(column[2], mask, width=0.6)
        column[0].set_title(_named(tiles, int(tile)), fontsize=8)
        column[2].set_xlabel(f"{np.count_nonzero(wrong)} px", fontsize=8)
    for axis, name in zip(axes[:, 0], ("image", "target outline", "errors"), strict=True):
        axis.set_ylabel(name)
    _bare(axes.ravel())
    for axis in axes[:, len(which) :].ravel():
        axis.set_visible(False)


def stages_picture(
    tiles: Tiles, which: np.ndarray, truth: np.ndarray, stage1: np.ndarray, stage2: Stage2, path: str | Path
) -> Path:
    """A row per tile: image, truth, stage 1, stage 2 (figure 11); with the IoU of that tile alone.

    In stage 2 the target channel is white, the error channel red, and both together blue.

    Args:
        tiles: where the images come from.
        which: (n,) places of the tiles that are shown, one a row.
        truth: bool (n, S, S).
        stage1: what stage 1 says, bool (n, S, S).
        stage2: the target and the error channel, bool (n, S, S) each, or what it says in one array.
        path: of the PNG.

    Raises:
        OutputError: when the file cannot be written.
    """
    if not len(which):
        return save(_words("No tiles were chosen."), Path(path))
    figure, axes = _grid(len(which), ("image", "ground truth", "stage 1", "stage 2"))
    for number, row in enumerate(axes):
        _show_tile(row, tiles, int(which[number]), truth[number], stage1[number], _one(stage2, number))
        for axis, says in zip(row[2:], (stage1[number], united(_one(stage2, number))), strict=True):
            both, either = (truth[number] & says).sum(), (truth[number] | says).sum()
            axis.set_xlabel(f"IoU {both / either:.2f}" if either else "no target, none predicted", fontsize=8)
    _legend(figure, stage2)
    return save(figure, Path(path))


def recovered_picture(
    tiles: Tiles,
    which: np.ndarray,
    says: Callable[[np.ndarray], Said],
    pieces: Sequence[Piece],
    path: str | Path,
    *,
    count: int = 4,
) -> Path:
    """The largest targets that stage 1 missed and stage 2 found, each with a zoom (figure 12).

    Of targets that several overlapping tiles show, one is drawn.

    Args:
        tiles: where the images come from.
        which: (N,) places of the tiles that were looked at.
        says: places (n,) -> what is said of these tiles.
        pieces: that :func:`~jido.methods.figures.pieces.largest_pieces` found in them.
        path: of the PNG.
        count: pieces that are drawn, at most.

    Raises:
        OutputError: when the file cannot be written.
    """
    none = f"On these {len(which)} tiles stage 2 recovered none of the targets\nthat stage 1 had missed."
    names = ("GT: {0.pixels} px", "stage 1 found {0.found1:.0%}", "stage 2 found {0.found2:.0%}")
    shown = _new(tiles, which, pieces, count)
    return _pieces_picture(tiles, which, says, shown, path, none=none, names=names)


def false_positives_picture(
    tiles: Tiles,
    which: np.ndarray,
    says: Callable[[np.ndarray], Said],
    pieces: Sequence[Piece],
    path: str | Path,
    *,
    count: int = 4,
) -> Path:
    """The largest predictions of stage 2 that touch no truth, each with a zoom (figure 13).

    Some may be targets that the labels lack. Arguments as in :func:`recovered_picture`.

    Raises:
        OutputError: when the file cannot be written.
    """
    none = f"On these {len(which)} tiles stage 2 has no false alarm:\nall that it predicts touches a target."
    names = ("no target there", "stage 1 says so on {0.found1:.0%}", "false alarm of {0.pixels} px")
    shown = _new(tiles, which, pieces, count)
    return _pieces_picture(tiles, which, says, shown, path, none=none, names=names)


def _pieces_picture(
    tiles: Tiles,
    which: np.ndarray,
    says: Callable[[np.ndarray], Said],
    pieces: Sequence[Piece],
    path: str | Path,
    *,
    none: str,
    names: Sequence[str],
) -> Path:
    """A row per piece: the whole tile four times with a box around the piece, and the box enlarged."""
    from matplotlib.patches import Rectangle

    if not pieces:
        return save(_words(none), Path(path))
    places = which[[piece.tile for piece in pieces]]
    truth, stage1, stage2 = says(places)
    figure, axes = _grid(len(pieces), ("image", "ground truth", "stage 1", "stage 2", "zoom"))
    for number, (row, piece) in enumerate(zip(axes, pieces, strict=True)):
        _show_tile(row, tiles, int(places[number]), truth[number], stage1[number], _one(stage2, number))
        for axis, name in zip(row[1:4], names, strict=True):
            axis.set_xlabel(name.format(piece).replace("%", " %"), fontsize=8)
        top, left, side = _around(piece.box, tiles.side)
        for axis in row[:4]:
            box = Rectangle((left - 0.5, top - 0.5), side, side, fill=False, edgecolor=OUTLINE, linewidth=1.2)
            axis.add_patch(box)
        row[4].imshow(to_rgb(tiles.pixels(places[[number]])[0], tiles.bands))
        _outline(row[4], piece.inside)
        row[4].set(xlim=(left - 0.5, left + side - 0.5), ylim=(top + side - 0.5, top - 0.5))
        metres = f", {side * tiles.pixel_m[1]:.0f} m" if tiles.pixel_m else ""
        row[4].set_xlabel(f"{side} px{metres} wide", fontsize=8)
    _legend(figure, stage2)
    return save(figure, Path(path))


def _new(tiles: Tiles, which: np.ndarray, pieces: Sequence[Piece], count: int) -> list[Piece]:
    boxes = ((int(which[piece.tile]), piece.box) for piece in pieces)
    return [pieces[number] for number in islice(distinct(tiles, boxes), count)]


def _show_tile(
    row: np.ndarray, tiles: Tiles, tile: int, truth: np.ndarray, stage1: np.ndarray, stage2: Stage2
) -> None:
    """Image, truth, stage 1 and stage 2 of one tile in the first four panels of a row."""
    image = to_rgb(tiles.pixels(np.array([tile]))[0], tiles.bands)
    for axis, picture in zip(row, (image, _paint(truth), _paint(stage1), _paint(stage2)), strict=False):
        axis.imshow(picture)
    row[0].set_ylabel(_named(tiles, tile), fontsize=8)


def _one(stage2: Stage2, number: int) -> Stage2:
    return stage2[number] if isinstance(stage2, np.ndarray) else (stage2[0][number], stage2[1][number])


def _paint(says: Stage2) -> np.ndarray:
    """Colours uint8 (S, S, 3): white on black, and red and blue for the second of two channels."""
    target, error = (says, np.zeros_like(says)) if isinstance(says, np.ndarray) else says
    table = np.array([BLACK, WHITE, RED, BLUE], dtype=np.uint8)
    return table[target + 2 * error.astype(np.uint8)]


def _outline(axis: Axes, mask: np.ndarray, *, width: float = 1.0) -> None:
    """The border of a mask as a line; it is closed where the mask touches the edge of the tile."""
    if mask.any():
        at = np.arange(-1, len(mask) + 1)
        axis.contour(at, at, np.pad(mask, 1).astype(float), levels=[0.5], colors=[OUTLINE], linewidths=width)
        axis.set(xlim=(-0.5, len(mask) - 0.5), ylim=(len(mask) - 0.5, -0.5))


def _around(box: tuple[int, int, int, int], side: int) -> tuple[int, int, int]:
    """Top, left and side of a square around a box with some surroundings, inside the tile."""
    top, left, bottom, right = box
    width = min(max(int(1.6 * max(bottom - top, right - left)), CLOSEST), side)
    starts = [(low + high - width) // 2 for low, high in ((top, bottom), (left, right))]
    return min(max(starts[0], 0), side - width), min(max(starts[1], 0), side - width), width


def _grid(lines: int, names: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """A row of panels per line, the names above the first one."""
    figure = _figure(WIDTH * len(names) + 0.4, (WIDTH + 0.2) * lines + 0.7, layout="compressed")
    axes = figure.subplots(lines, len(names), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, fontsize=11)
    _bare(axes.ravel())
    return figure, axes


def _figure(width: float, height: float, *, layout: Literal["compressed", "constrained"]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def _words(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = _figure(7, 2, layout="constrained")
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11)
    return figure


def _bare(axes: np.ndarray) -> None:
    for axis in axes:
        axis.set(xticks=[], yticks=[])


def _legend(figure: Figure, stage2: Stage2) -> None:
    from matplotlib.patches import Patch

    channels = {"target": WHITE}
    if not isinstance(stage2, np.ndarray):
        channels = {"target channel": WHITE, "error channel": RED, "both channels of stage 2": BLUE}
    patches = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="black", label=name)
        for name, (red, green, blue) in channels.items()
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _named(tiles: Tiles, tile: int) -> str:
    """Name of the image, without its folders and not too long, and where in it the tile is."""
    name = PurePath(str(tiles.source[tile])).name
    name = name if len(name) <= 26 else f"{name[:12]}…{name[-13:]}"
    row, column = tiles.place[tile]
    return f"{name}\nrow {row}, col {column}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %" if whole else "0 %"
