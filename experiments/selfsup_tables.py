"""What the rows of the experiment of learning without labels say, in tables and in words."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

import jido


def verdict(curve: jido.LabelCurve, readout: str) -> str:
    """In words: where SSMMRL is first or tied with all that have the same readout, or behind scratch."""
    ours = f"SSMMRL, {readout}"
    rivals = [name for name in curve.learners if name.endswith(f", {readout}") and name != ours]
    rivals = [name for name in rivals if not name.startswith("SSMMRL")]
    against = {name: curve.tied_or_better(ours, name) for name in (*rivals, "CNN from scratch")}
    lines = []
    for budget in curve.budgets:
        behind = [name for name, found in against.items() if found[budget] is False]
        unknown = [name for name, found in against.items() if found[budget] is None]
        said = f"behind {', '.join(behind)}" if behind else "first or tied"
        lines.append(f"{budget}: {'no interval' if unknown else said}")
    return f"{ours} among all of this readout and the CNN from scratch: " + "; ".join(lines) + "."


def by_part(curve: jido.LabelCurve, part: np.ndarray) -> list[dict[str, Any]]:
    """Overall accuracy in each part of the test patches, in all of them, and kappa there.

    Of one split whose patches are groups.
    """
    where = {f"{name}, {(part == name).sum()}": part == name for name in np.unique(part)}
    where[f"pooled, {len(part)}"] = np.ones(len(part), bool)
    draws = curve.right.reshape(-1, len(part))
    return [
        {
            **{key: row[key] for key in ("learner", "budget")},
            **{name: float(right[mask].mean()) for name, mask in where.items()},
            "kappa, pooled": row["kappa"],
        }
        for row, right in zip(curve.rows, draws, strict=True)
    ]


def time_to(rows: list[dict[str, Any]]) -> None:
    """Seconds until the k-NN probe has what the worst, and the middle one, of all trainings has in the end.

    ``None`` where it never has.
    """
    ends = [row["knn"] for row in rows if row.get("knn")]
    for name, mark in (("seconds_to_lowest", min), ("seconds_to_median", median)):
        for row in rows:
            reached = [second for second, value in row.get("curve", []) if ends and value >= mark(ends)]
            row[name] = reached[0] if reached else None
