"""What an evaluation with few labels found: figures, fair comparisons, tables, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import FoldsError
from jido.labels import ClassScheme
from jido.stats import Figure, figure, summary
from jido.stats.intervals import MIN_GROUPS
from jido.stats.paired import MIN_DRAWS, crossed_figure
from jido.stats.words import text

BUDGET = ("budget", "per_class", "fraction")
"""Columns that say how many labels: in words, and as :func:`~jido.labels.few_labels` takes it."""


@dataclass(frozen=True, eq=False)
class LabelCurve:
    """Figures of learners over budgets of labels; :func:`jido.label_curve` makes it.

    Intervals speak of new draws of labels from the same pool and of new test groups like these
    (:func:`~jido.stats.paired.crossed_figure`), each of one budget alone. Of folds they share the limits of
    :func:`~jido.stats.intervals.cluster_bootstrap`. A split that leaks claims none.

    Args:
        rows: JSON-ready, one per learner, budget, draw and fold, in this order: ``learner``, ``budget``
            (in words), ``per_class`` or ``fraction``, ``draw``, ``fold``, ``seed``, ``samples`` and
            ``groups`` that were labelled, the figures of :func:`~jido.stats.summary`, ``seconds``.
        right: (L, B, D, G) right answers per learner, budget, draw and test group, all folds together.
        total: (G,) test samples per group.
        matrices: (L, B, D, K, K) counts, truth in rows, all folds together.
        scheme: the K classes.
        folds: what is to be said of the split; ``leaks`` whether it does.
        unit: what budgets count: ``samples`` or ``groups``.
        notes: budgets left out, and what else is not as asked, a sentence each.
    """

    rows: tuple[dict[str, Any], ...]
    right: np.ndarray
    total: np.ndarray
    matrices: np.ndarray
    scheme: ClassScheme
    folds: dict[str, Any]
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def learners(self) -> tuple[str, ...]:
        """Names in the order given."""
        return tuple(dict.fromkeys(row["learner"] for row in self.rows))

    @property
    def budgets(self) -> tuple[str, ...]:
        """In words: labels per class from few to many, then shares."""
        return tuple(dict.fromkeys(row["budget"] for row in self.rows))

    def summary(self) -> list[dict[str, Any]]:
        """One row per learner and budget: means over draws, all folds together.

        ``oa`` is a figure with its 95 % interval over draws and test groups, ``oa_sd`` the standard deviation
        over draws; the other figures are means over draws, ``samples`` and ``groups`` means over draws and
        folds, ``seconds`` those of all folds of one draw.
        """
        draws = self.right.shape[2]
        found = []
        for i, name in enumerate(self.learners):
            for j, budget in enumerate(self.budgets):
                mine = [row for row in self.rows if (row["learner"], row["budget"]) == (name, budget)]
                figures = summary(self.matrices[i, j], self.scheme)
                means = {key: figure(value.mean())["value"] for key, value in figures.items()}
                row = {"learner": name, **{key: mine[0][key] for key in BUDGET}, "draws": draws}
                row |= {key: float(np.mean([one[key] for one in mine])) for key in ("samples", "groups")}
                row |= means | {"oa": self._figure(self.right[i, j])}
                row["oa_sd"] = float(figures["oa"].std(ddof=1)) if draws > 1 else None
                row["seconds"] = sum(one["seconds"] for one in mine) / draws
                found.append(row)
        return found

    def paired(self, a: str, b: str) -> list[dict[str, Any]]:
        """One row per budget: by how many points of OA ``a`` is better than ``b``, on the same draws.

        ``points`` is the mean difference a - b over draws, 100 times the difference of OA, with its *paired*
        95 % interval over draws and test groups; ``ahead`` the number of draws in which ``a`` was better.

        Raises:
            FoldsError: for a learner that was not evaluated.
        """
        difference = self._difference(a, b)
        found = []
        for j, budget in enumerate(self.budgets):
            first = next(row for row in self.rows if row["budget"] == budget)
            apart = self._figure(difference[j], lowest=-1.0)
            row = {key: first[key] for key in BUDGET} | {"draws": self.right.shape[2]}
            row |= {"groups": len(self.total), "ahead": int((difference[j].sum(-1) > 0).sum())}
            found.append(row | {"points": _points(apart)})
        return found

    def tied_or_better(self, a: str, b: str, *, margin: float = 0.005) -> dict[str, bool | None]:
        """Whether ``a`` may be said to be at least as good as ``b``, budget by budget.

        True when the paired interval lies above 0, or holds 0 while the mean difference is no worse than
        -``margin``; ``None`` where no interval is claimed. Learners that never differ are tied. A wide
        interval makes a tie easy: it says that no difference was *shown*, so read it beside the verdict.

        Args:
            a: the learner in question.
            b: the one to reach.
            margin: of OA, 0..1: .005 is half a point.
        """
        difference, found = self._difference(a, b), dict[str, bool | None]()
        enough = (
            self.right.shape[2] >= MIN_DRAWS and len(self.total) >= MIN_GROUPS and not self.folds["leaks"]
        )
        for row, counts in zip(self.paired(a, b), difference, strict=True):
            value, lower, upper = (row["points"][end] for end in ("value", "lower", "upper"))
            if lower is None:
                found[row["budget"]] = True if enough and not counts.any() else None
            else:
                found[row["budget"]] = lower > 0 or (value >= -100 * margin and upper >= 0)
        return found

    def markdown(self, *, against: str | None = None) -> str:
        """Two tables and the notes: OA of every learner, and points that each is ahead of one of them.

        A row is a learner, a column a budget.

        Args:
            against: the learner that the others are compared with; the first without it.
        """
        names, head = self.learners, ["learner", *self.budgets]
        cells = {(row["learner"], row["budget"]): text(row["oa"]) for row in self.summary()}
        lines = ["Overall accuracy, mean of draws [95 % interval].", ""]
        lines += _table(head, {name: [cells[name, budget] for budget in self.budgets] for name in names})
        against = against or names[0]
        if others := [name for name in names if name != against]:
            lines += ["", f"Points of OA ahead of {against} on the same draws [95 % paired interval].", ""]
            ahead = {n: [text(row["points"], digits=1) for row in self.paired(n, against)] for n in others}
            lines += _table(head, ahead)
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    def draw(self, path: str | Path, *, learners: Sequence[str] | None = None) -> Path:
        """Figure of OA over the number of labels, as PNG.

        Args:
            path: of the PNG.
            learners: only these; all without it.

        Raises:
            FoldsError: for a learner that was not evaluated.
            OutputError: when the file cannot be written.
        """
        from jido.methods.figures.label_curve import draw_label_curve

        wanted = self.learners if learners is None else [self._known(name) for name in learners]
        rows = [row for row in self.summary() if row["learner"] in wanted]
        return draw_label_curve(rows, path, unit=self.unit)

    def _figure(self, counts: np.ndarray, *, lowest: float = 0.0) -> Figure:
        level = None if self.folds["leaks"] else 0.95
        return crossed_figure(counts, self.total, lowest=lowest, level=level)

    def _known(self, name: str) -> str:
        """The name of a learner that was evaluated."""
        if name not in self.learners:
            known = ", ".join(self.learners)
            raise FoldsError(f"No learner called {name!r} was evaluated: give one of {known}.")
        return name

    def _difference(self, a: str, b: str) -> np.ndarray:
        """Right answers of ``a`` minus those of ``b``, (B, D, G)."""
        places = [self.learners.index(self._known(name)) for name in (a, b)]
        return self.right[places[0]] - self.right[places[1]]

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        arrays = {"right": self.right, "total": self.total, "matrices": self.matrices}
        return {
            "rows": [dict(row) for row in self.rows],
            **{name: array.tolist() for name, array in arrays.items()},
            "scheme": self.scheme.to_dict(),
            "folds": dict(self.folds),
            "unit": self.unit,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> LabelCurve:
        """The opposite of :meth:`to_dict`."""
        return cls(
            rows=tuple(dict(row) for row in facts["rows"]),
            right=np.array(facts["right"], dtype=np.int64),
            total=np.array(facts["total"], dtype=np.int64),
            matrices=np.array(facts["matrices"], dtype=np.int64),
            scheme=ClassScheme.from_dict(dict(facts["scheme"])),
            folds=dict(facts["folds"]),
            unit=facts["unit"],
            notes=tuple(facts["notes"]),
        )


def _points(share: Figure) -> Figure:
    """A difference of shares in points, 100 times as much."""
    value, lower, upper = share["value"], share["lower"], share["upper"]
    return figure(*(np.nan if one is None else 100 * one for one in (value, lower, upper)))


def _table(head: list[str], cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, a row per learner."""
    rows = [head, ["---"] * len(head), *([name, *row] for name, row in cells.items())]
    return ["| " + " | ".join(row) + " |" for row in rows]
