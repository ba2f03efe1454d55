"""The method sheet: what a reader of the table has to know to use or to refute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

from jido.errors import JidoError

_HEADINGS = {
    "formula": "Formula",
    "source": "Source",
    "unit": "Unit",
    "bands": "Bands",
    "correction": "Correction of the images",
    "dates": "Dates",
    "nodata_rule": "What counts as not seen",
    "min_coverage": "Least share of a cell to be seen",
    "error_model": "Error model",
    "level": "Level of the intervals",
    "cells": "Cells",
    "weights": "Weights",
    "dependence": "Dependence of errors",
    "benchmark": "Benchmark",
    "limits": "Limits",
    "numbers": "Fitted numbers",
}


_NEEDED = {"indicator", "formula", "source", "unit", "correction", "nodata_rule", "error_model", "cells"}


@dataclass(frozen=True)
class MethodSheet:
    """How an indicator was measured.

    Args:
        indicator: ``green share``.
        formula: in words and signs: ``NDVI = (nir - red) / (nir + red); share of area with NDVI > 0.4``.
        source: paper and equation, or DOI.
        unit: of the value: ``share``, ``m²``, ``K``.
        bands: names as in the images.
        correction: surface reflectance, offset, atmospheric correction; ``unknown`` is an answer too.
        dates: of the images, ISO; kept in order.
        nodata_rule: what counts as not seen.
        error_model: named, with its source; never sd/sqrt(n) over pixels.
        cells: kind of the cells.
        min_coverage: share of a cell, 0..1, below which its row is empty.
        level: of the intervals.
        weights: of an aggregated table.
        dependence: of the errors of cells, of an aggregated table.
        benchmark: source of published figures.
        limits: what the interval does not know.
        numbers: what was fitted: correlation length, thresholds.

    Raises:
        JidoError: when a text is missing, a date is none or comes twice, or a share is out of range.
    """

    indicator: str
    formula: str
    source: str
    unit: str
    bands: tuple[str, ...]
    correction: str
    dates: tuple[str, ...]
    nodata_rule: str
    error_model: str
    cells: str
    min_coverage: float = 0.5
    level: float = 0.95
    weights: str = ""
    dependence: str = ""
    benchmark: str = ""
    limits: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if empty := [name for name in sorted(_NEEDED) if not getattr(self, name).strip()]:
            raise JidoError(f"The method sheet says nothing of {', '.join(empty)}: write 'unknown' at least.")
        if not 0 < self.min_coverage <= 1 or not 0 < self.level < 1:
            raise JidoError(
                f"min_coverage is above 0 and up to 1, level between 0 and 1, not {self.min_coverage} "
                f"and {self.level}."
            )
        object.__setattr__(self, "dates", _dates(self.dates))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; empty fields stay in."""
        return asdict(self) | {"numbers": dict(self.numbers)}

    def to_markdown(self) -> str:
        """A page for people; fields without content are left out."""
        lines = [f"# {self.indicator}", ""]
        for name, heading in _HEADINGS.items():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                value = tuple(f"{key}: {number:g}" for key, number in value.items())
            if isinstance(value, tuple):
                value = "\n".join(f"- {item}" for item in value)
            if str(value):
                lines += [f"## {heading}", str(value), ""]
        return "\n".join(lines)


def _dates(given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        known = sorted(date.fromisoformat(text) for text in given)
    except ValueError as err:
        raise JidoError(f"A date is not written as 2021-07-31 ({err}).") from err
    if twice := [one for one, two in pairwise(known) if one == two]:
        raise JidoError(f"The date {twice[0]} comes twice: drop one image, or put its tiles together first.")
    return tuple(day.isoformat() for day in known)
