"""Whether a scene would look just like the training if its numbers or bands were something else.

A strong sign, as another landscape looks like the training in no unit and in no order of bands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from jido.geo.radiometry.kinds import KINDS, Conversion
from jido.geo.radiometry.plausible import Q5, Q95
from jido.geo.radiometry.record import Part

ALIKE = 0.06
"""Distance up to which two scenes look like one landscape."""

UNLIKE = 0.1
"""Distance from which they do not, when it is also four times the other one."""


def quantiles(part: Part, names: Sequence[str]) -> np.ndarray:
    """Quantiles (C, 9) of bands."""
    return np.array([part.bands[name].quantiles for name in names])


def distances(trained: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Mean distance (C, C) of the inner quantiles of band i of one and band j of the other.

    In units of the mean span of the bands of the first from 5 % to 95 %. Both are quantiles (C, 9).
    """
    trained, here = trained[:, Q5 : Q95 + 1], here[:, Q5 : Q95 + 1]
    span = np.mean(trained[:, -1] - trained[:, 0])
    apart = np.abs(here[None] - trained[:, None]).mean(axis=2)
    return np.divide(apart, span, out=np.full(apart.shape, np.inf), where=span > 0)


def _strikes(as_given: float, changed: float) -> bool:
    return changed < ALIKE and as_given > max(UNLIKE, 4 * changed)


def alike_as(trained: Part, here: Part, names: Sequence[str]) -> Conversion | None:
    """The conversion that makes the scene look just like the training, which it does not as it is."""
    there, seen = quantiles(trained, names), quantiles(here, names)
    changes = [
        Conversion(source, target)
        for target in trained.likely
        for source in here.kinds
        if source != target and "none" not in (KINDS[source].curve, KINDS[target].curve)
    ]
    apart = [float(np.diag(distances(there, change.apply(seen))).mean()) for change in changes]
    if not changes or not _strikes(float(np.diag(distances(there, seen)).mean()), min(apart)):
        return None
    return changes[int(np.argmin(apart))]


def exchanged(
    trained: Part, here: Part, names: Sequence[str], conversion: Conversion | None
) -> list[tuple[str, str]]:
    """Bands that look exchanged: pairs of the name in the image and the name in training.

    The scene, converted where that is needed, must look just like the training once bands are
    exchanged: in the quantiles of all bands and in the correlation between them.
    """
    if not (trained.correlation and here.correlation):
        return []
    seen = quantiles(here, names)
    cost = distances(quantiles(trained, names), conversion.apply(seen) if conversion else seen)
    if not np.isfinite(cost).all():
        return []
    found = linear_sum_assignment(cost)[1].tolist()
    apart = np.abs(_correlation(trained, names) - _correlation(here, [names[i] for i in found])).mean()
    as_named = np.diag(cost)
    if apart > 0.2 or not _strikes(as_named.mean(), cost[np.arange(len(found)), found].mean()):
        return []
    return [(names[j], names[i]) for i, j in enumerate(found) if i != j and as_named[i] > UNLIKE]


def _correlation(part: Part, names: Sequence[str]) -> np.ndarray:
    places = [list(part.bands).index(name) for name in names]
    return np.array(part.correlation)[np.ix_(places, places)]
