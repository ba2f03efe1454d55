"""Which pixels clouds hide, by the masks that come with images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from jido.geo import Window

SCL = (0, 1, 3, 8, 9, 10)
"""Sentinel-2 scene classes that do not show the ground: no data, saturated, cloud shadow, clouds, cirrus.

Sentinel-2 Products Specification Document, level-2A scene classification."""

QA_BITS = 0b11111
"""Landsat Collection 2 QA_PIXEL: fill, dilated cloud, cirrus, cloud, shadow (USGS LSDS-1619, table 6-3)."""

MASK_BANDS = frozenset({"SCL", "scl", "QA_PIXEL", "qa_pixel"})
"""Names of bands that tell of clouds."""


class Masks(Protocol):
    """An image that tells of clouds, such as a :class:`~jido.io.Scene`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its bands."""

    def pixels(self, window: Window, names: Sequence[str]) -> np.ndarray:
        """Some bands of a window, float32 (C, y, x), NaN = no data."""


def cloudy(masks: Masks, window: Window) -> np.ndarray:
    """Hidden pixels of a window, bool (y, x).

    A band of another name than :data:`MASK_BANDS` hides where it is not 0.
    """
    name = next((name for name in masks.names if name in MASK_BANDS), masks.names[0])
    return hidden(masks.pixels(window, [name])[0], name)


def hidden(codes: np.ndarray, name: str) -> np.ndarray:
    """Where codes of a band of masks hide the ground, bool (y, x).

    Args:
        codes: float32 (y, x), NaN where there are none.
        name: of the band; see :func:`cloudy`.
    """
    unseen = np.isnan(codes)
    known = np.where(unseen, 0, codes)
    whole = known.astype(np.int64)
    if name.upper() == "SCL":
        return np.isin(whole, SCL)
    if name.upper() == "QA_PIXEL":
        return unseen | ((whole & QA_BITS) > 0)
    return known != 0
