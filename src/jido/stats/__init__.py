"""Figures from confusion matrices, and intervals that respect groups; all else is imported from its file."""

from jido.stats.abstention import accept_threshold
from jido.stats.calibration import calibration, reliability
from jido.stats.confusion import (
    confusion,
    confusion_by_group,
    f1_macro,
    f1_per_class,
    kappa,
    mcc,
    oa_built,
    oa_built_natural,
    oa_weighted,
    overall_accuracy,
    producers_accuracy,
    summary,
    users_accuracy,
)
from jido.stats.intervals import Figure, cluster_bootstrap, figure, judged, per_class

__all__ = [
    "Figure",
    "accept_threshold",
    "calibration",
    "cluster_bootstrap",
    "confusion",
    "confusion_by_group",
    "f1_macro",
    "f1_per_class",
    "figure",
    "judged",
    "kappa",
    "mcc",
    "oa_built",
    "oa_built_natural",
    "oa_weighted",
    "overall_accuracy",
    "per_class",
    "producers_accuracy",
    "reliability",
    "summary",
    "users_accuracy",
]
