"""What urban climate models are told of a Local Climate Zone: the parameters of its canopy."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from jido.labels.scheme import ClassScheme

UNITS = {
    "building_fraction": "share",
    "height_m": "m",
    "h_w": "height of buildings / width of streets",
    "urban_fraction": "share",
}
"""Canopy parameter (a column of ``lcz_canopy.csv``) -> unit."""


def canopy_parameters(scheme: ClassScheme) -> dict[str, np.ndarray]:
    """Parameter of :data:`UNITS` -> value of each class of the LCZ scheme, (K,).

    Source: look-up table of w2w (MIT), which goes back to Stewart and Oke 2012, doi
    10.1175/BAMS-D-11-00019.1; heights are the middle of the range of the class.
    """
    text = resources.files(__package__).joinpath("lcz_canopy.csv").read_text(encoding="utf-8")
    rows = {int(row["code"]): row for row in csv.DictReader(text.splitlines())}
    return {name: np.array([float(rows[code][name]) for code in scheme.codes]) for name in UNITS}
