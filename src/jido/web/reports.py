"""What the report of a map says, found beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jido.maps.assess import find_report
from jido.maps.report import area_text, statement
from jido.stats.words import NAMES, text
from jido.web.rasters import RasterFile


@dataclass(frozen=True, eq=False)
class Report:
    """The facts of ``MAP.report.json``.

    Args:
        facts: as :func:`~jido.maps.report.map_report` wrote them.
    """

    facts: dict[str, Any]

    @property
    def training(self) -> dict[str, Any] | None:
        """The training labels as GeoJSON in degrees."""
        training = self.facts.get("training")
        return training if training and training.get("features") else None

    def cells(self, label: str) -> int:
        """How many cells have a class."""
        return next((row["cells"] for row in self.facts["pixel_count_area"] if row["class"] == label), 0)

    def to_dict(self) -> dict[str, Any]:
        """What a page shows of it, in words."""
        evaluation = self.facts["evaluation"]
        colours = {c["label"]: c["color"] for c in self.facts["scheme"]["classes"]}
        judged = {row["class"]: row for row in evaluation.get("per_class", [])}
        areas = [
            {
                "color": colours[row["class"]],
                "class": " ".join(dict.fromkeys([row["class"], row["name"]])),
                "area": area_text(None if row["km2"] is None else row["km2"] * 1e6),
                "cells": row["cells"],
                "share": row["share"],
                "users": text(judged[row["class"]]["users_accuracy"], digits=2) if judged else "",
                "producers": text(judged[row["class"]]["producers_accuracy"], digits=2) if judged else "",
            }
            for row in self.facts["pixel_count_area"]
            if row["cells"]
        ]
        figures = [
            {"name": NAMES.get(name, name), "text": text(figure)}
            for name, figure in evaluation.get("metrics", {}).items()
        ]
        return {
            "map": self.facts["map"],
            "statement": statement(evaluation),
            "leaks": bool(evaluation and evaluation["folds"]["leaks"]),
            "figures": figures,
            "areas": sorted(areas, key=lambda row: -row["cells"]),
            "made": f"{self.facts['made'][:10]} by Jido {self.facts['jido']}",
            "images": self.facts["images"],
            "notes": self.facts["notes"],
        }


MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a report raises that was written by another version, or by hand."""


def read_report(file: RasterFile) -> Report | None:
    """The report that was written for exactly this map and lies beside it; else ``None``."""
    facts = find_report(file.path)
    try:
        if facts is None or tuple(facts["grid"]["shape"]) != file.shape:
            return None
        Report(facts).to_dict()
    except MALFORMED:
        return None
    return Report(facts)


SHEET = {"indicator": "Indicator", "unit": "Unit", "formula": "Formula", "dates": "Dates", "cells": "Cells",
         "error_model": "Error model", "limits": "Limits", "source": "Source"}  # fmt: skip
"""What a page shows of a method sheet, and what it calls it."""


def read_sheet(path: Path) -> dict[str, str]:
    """The method sheet ``STEM.method.json`` beside a table or map of an indicator, in words; else empty."""
    try:
        facts = json.loads(path.with_suffix(".method.json").read_text(encoding="utf-8"))
        found = {name: facts.get(key) for key, name in SHEET.items()}
    except (OSError, ValueError, AttributeError):
        return {}
    words = {
        name: " ".join(map(str, v)) if isinstance(v, list) else str(v or "") for name, v in found.items()
    }
    return {name: text for name, text in words.items() if text}
