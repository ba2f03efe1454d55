"""Jido: satellite and aerial images plus few labels in, maps whose accuracy is stated out.

Names are loaded when first used, so ``import jido`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "Band": "jido.geo",
    "ClassScheme": "jido.labels",
    "Folds": "jido.labels",
    "ForestConfig": "jido.methods.forest",
    "JidoError": "jido.errors",
    "LabelCurve": "jido.methods.label_curve",
    "Labels": "jido.labels",
    "NetConfig": "jido.methods.net",
    "NetModel": "jido.methods.net",
    "Raster": "jido.geo",
    "Scene": "jido.io",
    "SceneConfig": "jido.methods.scene_config",
    "TwoStageConfig": "jido.methods.two_stage",
    "assess": "jido.maps",
    "assess_sample": "jido.maps",
    "check_labels": "jido.labels",
    "draw_sample": "jido.maps.sample",
    "label_curve": "jido.methods.label_curve",
    "lcz_scheme": "jido.labels",
    "load_model": "jido.methods",
    "map_scene": "jido.maps",
    "polygonise": "jido.maps",
    "read_chips": "jido.data.chip_reading",
    "read_image": "jido.io",
    "read_labels": "jido.io",
    "read_sample": "jido.io.design_sample",
    "simulate_city": "jido.data",
    "simulate_fields": "jido.data",
    "split_chips": "jido.data.chip_splits",
    "train_classification": "jido.methods.classify",
    "train_forest": "jido.methods.forest",
    "train_segmentation": "jido.methods.segment",
    "write_sample": "jido.io.design_sample",
}
"""Public name -> the module that holds it."""

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'jido' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
