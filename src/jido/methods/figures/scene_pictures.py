"""Pictures of classified images: right and wrong ones, and what the net looked at."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jido.data.tiles import batches
from jido.io.html import png_of_pixels
from jido.methods.classify import Classification
from jido.methods.figures.pictures import to_rgb

if TYPE_CHECKING:
    from jido.nets.scene import SceneNet

MOST = 12
"""Right and wrong images that are shown, each."""

LARGEST = 160
"""Side in pixels from which on shown images are thinned out."""

AT_ONCE = 8
"""Images that the net looks at together: the paper's nets need much memory for large ones."""

GAMMA = 0.7
"""Lifts what is dark: beside bright roofs a lake or a forest would be black."""

OPAQUE = 0.7
"""Of the colours of Grad-CAM where it is highest."""

STYLE = """\
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(var(--card), 1fr)); }
.card { margin: 0; padding: .5rem; border: 1px solid #8884; border-radius: 6px; break-inside: avoid;
  min-width: 0; }
.card > div { display: flex; gap: .35rem; }
.card figure { margin: 0; flex: 1 1 0; min-width: 0; max-width: 150px; }
.card img { width: 100%; display: block; aspect-ratio: 1; print-color-adjust: exact; }
.card figure figcaption { font-size: .72rem; line-height: 1.3; opacity: .8; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; }
.card > figcaption { font-size: .85rem; line-height: 1.35; margin-bottom: .35rem; overflow-wrap: anywhere; }
.card small { opacity: .7; }
"""


class Shown(NamedTuple):
    """Images of the gallery, in order; all arrays have n rows.

    Args:
        at: places among the judged images.
        truth: places of the true classes.
        said: places of the classes that were said.
        confidence: their probabilities, 0..1.
    """

    at: np.ndarray
    truth: np.ndarray
    said: np.ndarray
    confidence: np.ndarray


def right_and_wrong(said: np.ndarray, truth: np.ndarray, *, most: int = MOST) -> tuple[Shown, Shown]:
    """Which images are shown: of the right ones the surest of each class, of the wrong ones the surest.

    Args:
        said: (n, K) probabilities.
        truth: (n,) places of the true classes.
        most: images of either. Of more classes than that, some are left out evenly.
    """
    best, confidence = said.argmax(1), said.max(1)
    order = np.argsort(-confidence, kind="stable")
    right, wrong = (order[(best == truth)[order] == wanted] for wanted in (True, False))
    _, first = np.unique(truth[right], return_index=True)  # the surest of each class
    some = np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).round().astype(int))
    chosen = right[first[some]], wrong[:most]
    one, other = (Shown(at, truth[at], best[at], confidence[at]) for at in chosen)
    return one, other


def gallery(result: Classification, shown: Shown, *, both: bool) -> str:
    """A card for each image: the image, Grad-CAM of the class that was said, and attention if there is any.

    Args:
        result: with the net, which is left as it is.
        shown: the images.
        both: also Grad-CAM of the true class.
    """
    import torch

    from jido.nets.evidence import attention_map, grad_cam

    net: SceneNet = result.training.learner.judged  # type: ignore[assignment]
    data = result.training.data
    classes = data.chips.classes
    places = result.judged[shown.at]
    place = next(net.parameters()).device
    cams: list[list[np.ndarray]] = [[], []]
    seen: list[np.ndarray] = []
    for some in batches(np.arange(len(places)), AT_ONCE):
        images = data.normalised(data.raw(places[some], place))
        for maps, wanted in zip(cams, (shown.said, shown.truth) if both else (shown.said,), strict=False):
            maps.extend(grad_cam(net, images, torch.from_numpy(wanted[some])).cpu().numpy())
        attention = attention_map(net, images)
        if attention is not None:
            seen.extend(attention.cpu().numpy())
    cards = []
    for i, colours in enumerate(true_colours(result, places)):
        said, truth = classes[shown.said[i]], classes[shown.truth[i]]
        pictures = [("image", colours), (f"for {said}", warm(colours, cams[0][i]))]
        if both:
            pictures.append((f"for {truth}", warm(colours, cams[1][i])))
        if seen:
            span = f"{seen[i].min():.2f}–{seen[i].max():.2f}".replace("0.", ".")
            pictures.append((f"attention {span}", let_through(colours, seen[i])))
        words = f"{html.escape(truth)} → " if both else ""
        name = html.escape(str(data.chips.name[places[i]]))
        words += f"<b>{html.escape(said)}</b>, {shown.confidence[i]:.3f}<br><small>{name}</small>"
        cards.append(_card(words, pictures))
    panels = 2 + both + bool(seen)
    return f'<div class="cards" style="--card:{max(100 * panels, 220)}px">{"".join(cards)}</div>'


def true_colours(result: Classification, places: np.ndarray) -> np.ndarray:
    """Colours uint8 (n, s, s, 3) of images, stretched together: the same colour is the same number in all.

    Bands and stretch are those of :func:`~jido.methods.figures.pictures.to_rgb`, 2nd to 98th percentile.
    Dark ones are then brightened by :data:`GAMMA`.
    """
    data = result.training.data
    raw = _thin(data.chips.images[places]).astype(np.float32)
    # normalised values are no whole numbers, so that dark images of 8 bits are stretched as well
    values = (raw - data.mean[:, None, None]) / data.sd[:, None, None]
    n, bands, side, _ = values.shape
    strip = values.transpose(1, 0, 2, 3).reshape(bands, n * side, side)
    colours = to_rgb(strip, data.chips.bands).reshape(n, side, side, 3)
    return np.rint(255 * (colours / 255) ** GAMMA).astype(np.uint8)


def warm(colours: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A grey image with warm colours where ``heat`` (H, W), 0..1, is high."""
    from matplotlib import colormaps

    part = _thin(heat)
    return _mixed(_grey(colours), 255 * colormaps["inferno"](part)[..., :3], OPAQUE * part[..., None])


def let_through(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A grey image under colours from the lowest (blue) to the highest (yellow) of ``share`` (H, W)."""
    from matplotlib import colormaps

    part = _thin(share)
    part = (part - part.min()) / max(float(np.ptp(part)), 1e-6)
    return _mixed(_grey(colours), 255 * colormaps["viridis"](part)[..., :3], 0.6)


def _thin(images: np.ndarray) -> np.ndarray:
    """Images (..., S, S) with no more than :data:`LARGEST` pixels a side."""
    step = -(-images.shape[-1] // LARGEST)
    return images[..., ::step, ::step]


def _grey(colours: np.ndarray) -> np.ndarray:
    return np.repeat(colours.mean(-1, keepdims=True), 3, axis=-1)


def _mixed(under: np.ndarray, over: np.ndarray, opaque: np.ndarray | float) -> np.ndarray:
    return np.clip(under * (1 - opaque) + over * opaque, 0, 255).astype(np.uint8)


def _card(words: str, pictures: list[tuple[str, np.ndarray]]) -> str:
    """``words`` is HTML."""
    parts = ""
    for name, colours in pictures:
        said = html.escape(name, quote=True)
        image = f'<img alt="{said}" src="{png_of_pixels(colours)}">'
        parts += f'<figure title="{said}">{image}<figcaption>{said}</figcaption></figure>'
    return f'<figure class="card"><figcaption>{words}</figcaption><div>{parts}</div></figure>'
