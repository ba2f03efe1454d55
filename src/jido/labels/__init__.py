"""What people say is where: class schemes, labels, splits that do not leak."""

from jido.labels.check import LabelReport, check_labels, require_trainable
from jido.labels.folds import (
    Folds,
    cap_per_group,
    few_labels,
    group_kfold,
    leave_one_group_out,
    random_pixels_leaking,
    spatial_blocks,
)
from jido.labels.labels import Burned, Labels, Problem
from jido.labels.scheme import ClassScheme, LandClass, binary_scheme, lcz_scheme, named_scheme

__all__ = [
    "Burned",
    "ClassScheme",
    "Folds",
    "LabelReport",
    "Labels",
    "LandClass",
    "Problem",
    "binary_scheme",
    "cap_per_group",
    "check_labels",
    "few_labels",
    "group_kfold",
    "lcz_scheme",
    "leave_one_group_out",
    "named_scheme",
    "random_pixels_leaking",
    "require_trainable",
    "spatial_blocks",
]
