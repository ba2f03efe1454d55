"""What two interpreters said of the points of a sample, made one; and how far they agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from jido.labels.design_sample import CONFIDENCES, DesignSample
from jido.stats.confusion import confusion, kappa, overall_accuracy
from jido.stats.intervals import figure


def settled(sample: DesignSample) -> np.ndarray:
    """Class code (n,) of each point, -1 where nobody said one.

    Where both labelled a point and disagree the one who was surer is believed, and the first where both
    were as sure; an empty confidence is the lowest.
    """
    first, second = sample.codes.T
    sure = np.zeros(sample.codes.shape, dtype=np.int64)
    for place, name in enumerate(reversed(CONFIDENCES), start=1):
        sure[sample.confidence == name] = place
    take_second = (second >= 0) & ((first < 0) | (sure[:, 1] > sure[:, 0]))
    return np.where(take_second, second, first)


def interpreters(sample: DesignSample) -> dict[str, Any]:
    """Who labelled how many points, and how far they agree on those that both labelled.

    Returns:
        JSON-ready: ``labelled`` (points of each), ``both`` and ``differ`` (points), ``second_taken`` (points
        at which the second was believed against the first), ``agreement`` and ``kappa`` (shares of
        points, not of the map; Cohen 1960; ``None`` where no point was labelled twice).
    """
    said = sample.scheme.index(sample.codes)
    both = (said >= 0).all(axis=1)
    differ = both & (said[:, 0] != said[:, 1])
    cm = confusion(said[both, 0], said[both, 1], len(sample.scheme.classes))
    return {
        "labelled": np.count_nonzero(said >= 0, axis=0).tolist(),
        "both": int(both.sum()),
        "differ": int(differ.sum()),
        "second_taken": int(np.count_nonzero(differ & (settled(sample) == sample.codes[:, 1]))),
        "agreement": figure(float(overall_accuracy(cm)))["value"],
        "kappa": figure(float(kappa(cm)))["value"],
    }
