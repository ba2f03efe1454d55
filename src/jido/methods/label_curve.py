"""How many labels does a method need? Learners side by side on the same small labelled sets.

Subsets grow: within a draw a smaller labelled set is part of the larger one, and every learner sees the
same sets, so that a difference is one of learners and not of luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import FoldsError, LabelsError
from jido.io import Progress
from jido.labels import ClassScheme, Folds, few_labels, named_scheme
from jido.methods.label_learners import Learn, fine_tuned, forest, linear_probe, nearest_neighbours
from jido.methods.label_result import LabelCurve
from jido.methods.label_rows import KeptRows, Task
from jido.stats import figure, summary

__all__ = [
    "LabelCurve",
    "Learn",
    "draw_seed",
    "fine_tuned",
    "forest",
    "label_curve",
    "linear_probe",
    "nearest_neighbours",
]

BUDGETS: tuple[int | float, ...] = (1, 5, 10, 50, 0.01, 0.05, 0.10, 1.0)
"""Labels per class (whole numbers), then shares of each class: 1 is one label per class, 1.0 all labels."""

Splits = list[tuple[np.ndarray, np.ndarray]]


def label_curve(
    learners: Mapping[str, Learn],
    y: np.ndarray,
    *,
    folds: Folds | tuple[np.ndarray, np.ndarray],
    groups: np.ndarray | None = None,
    budgets: Sequence[int | float] = BUDGETS,
    draws: int = 3,
    seed: int = 0,
    scheme: ClassScheme | None = None,
    leaking: bool = False,
    keep: str | Path | None = None,
    progress: Progress | None = None,
) -> LabelCurve:
    """Compare learners by how many labels they need.

    A learner is told *places* in your data and nothing else, so it may be anything: a linear probe on
    features or a fine-tuned net (:mod:`~jido.methods.label_learners` has them ready), or a closure of your
    own. It is called with the places (n,) of the labelled samples in rising order,
    their classes (n,), the places (m,) to judge, and a seed; it returns probabilities (m, K), of which the
    highest counts::

        tuned = fine_tuned(pool, num_classes=10, encoder=package.settings, weights=package.tensors())
        probe = linear_probe(package.vectors(pool), num_classes=10)
        curve = jido.label_curve({"tuned": tuned, "probe": probe, "mine": mine}, y, folds=folds)
        print(curve.markdown(against="probe"))

    Args:
        learners: name -> learner.
        y: (n,) class of each sample, places 0..K-1 in ``scheme``.
        folds: places of the training samples, from which labelled ones are drawn, and of the test samples;
            or any :class:`~jido.labels.Folds`, whose answers are put together.
        groups: (n,) what is labelled and judged as a whole (polygon, scene); every sample alone without it.
        budgets: whole numbers are labelled groups per class, numbers with a point shares of each class.
        draws: how often labelled sets are drawn; an interval needs 3 at least.
        seed: of the draws; learners get a number made from it and the draw.
        scheme: the K classes; ``0``, ``1``, ... without it.
        leaking: allow groups on both sides of the split; no interval is claimed then.
        keep: JSON-lines file for finished rows: an evaluation that was cut off, or has got another budget,
            draw or learner, goes on from it. A row is found again by the name of its learner, the labelled
            and test samples with their classes and groups, and the seed. **Of a learner the name is all that
            is known**: give a changed learner, or changed features, another name or another file.
        progress: told how far it is.

    Raises:
        LabelsError: when ``y`` is not one class place per sample, or holds fewer than 2 classes.
        FoldsError: when the split does not fit or leaks, for budgets and draws that cannot be, and without
            a learner.
        ModelError: when a learner returns anything but finite numbers (m, K).
        OutputError: when ``keep`` holds other things or cannot be written.
    """
    if not learners or draws < 1 or seed < 0:
        raise FoldsError(
            f"{len(learners)} learners, {draws} draws and the seed {seed} were given: give 1 or more of "
            "both, and a seed from 0."
        )
    y, scheme = _classes(y, scheme)
    number = _numbers(groups, len(y))
    unit, k = "samples" if groups is None else "groups", len(scheme.classes)
    splits, facts = _splits(folds, number, leaking=leaking)
    chosen, notes = _plan(splits, number, y, [Budget.of(one) for one in budgets], unit)
    kept = KeptRows(keep)
    tested, times = np.unique(np.concatenate([number[test] for _, test in splits]), return_counts=True)
    shape = (len(learners), len(chosen), draws)
    right, matrices = np.zeros((*shape, len(tested)), np.int64), np.zeros((*shape, k, k), np.int64)
    rows: dict[tuple[int, ...], dict[str, Any]] = {}
    made: dict[str, str] = {}
    every = product(range(draws), range(len(splits)), range(len(chosen)))
    for draw, fold, j in every:
        (train, test), budget, own = splits[fold], chosen[j], draw_seed(seed, draw)
        labelled = train[budget.draw(number[train], y[train], own)]
        judged, inverse = np.unique(number[test], return_inverse=True)
        task = Task(labelled, test, y, inverse, k, own)
        if (other := made.setdefault(task.digest, str(budget))) != str(budget):
            notes[f"{budget} is the same labelled set as {other} (fold {fold}): one run serves both."] = None
        sizes = {"samples": len(labelled), "groups": len(np.unique(number[labelled]))}
        for i, (name, learn) in enumerate(learners.items()):
            found = kept.answer(name, learn, task)
            matrix = np.array(found["confusion"])
            matrices[i, j, draw] += matrix
            right[i, j, draw, np.searchsorted(tested, judged)] += found["right"]
            figures = {key: figure(float(one))["value"] for key, one in summary(matrix, scheme).items()}
            about = {"learner": name, **budget.columns(), "draw": draw, "fold": fold, "seed": own}
            rows[i, j, draw, fold] = {**about, **sizes, **figures, "seconds": found["seconds"]}
            if progress:
                progress("learning from few labels", len(rows), int(np.prod(shape)) * len(splits))
    return LabelCurve(
        rows=tuple(row for _, row in sorted(rows.items())),
        right=right,
        total=times,
        matrices=matrices,
        scheme=scheme,
        folds=facts,
        unit=unit,
        notes=tuple(notes),
    )


def draw_seed(seed: int, draw: int) -> int:
    """What learners are given in a draw: the draws of two seeds have nothing in common."""
    return int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])


@dataclass(frozen=True)
class Budget:
    """How many labels: so many per class, or a share of each class."""

    per_class: int | None = None
    fraction: float | None = None

    @classmethod
    def of(cls, given: object) -> Budget:
        """From 5 (per class) or .05 (of each class).

        Raises:
            FoldsError: for anything else.
        """
        if isinstance(given, int | np.integer) and not isinstance(given, bool) and given >= 1:
            return cls(per_class=int(given))
        if isinstance(given, float | np.floating) and 0 < given <= 1:
            return cls(fraction=float(given))
        raise FoldsError(
            f"{given!r} is no budget of labels: give whole numbers from 1 (per class) or shares with a point "
            "up to 1.0 (of each class)."
        )

    def __str__(self) -> str:
        return f"{self.per_class} per class" if self.fraction is None else f"{100 * self.fraction:g} %"

    def columns(self) -> dict[str, Any]:
        """What a row says of it."""
        return {"budget": str(self), "per_class": self.per_class, "fraction": self.fraction}

    def draw(self, groups: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        """Bool (n,): the samples that are labelled."""
        return few_labels(groups, y, per_class=self.per_class, fraction=self.fraction, seed=seed)

    def size(self, groups: np.ndarray, y: np.ndarray) -> int:
        """Number of groups that are labelled, in any draw."""
        return len(np.unique(groups[self.draw(groups, y, 0)]))

    def one_less(self, groups: np.ndarray, y: np.ndarray) -> int:
        """:meth:`size` with one label per class less."""
        fewer = (self.per_class or 1) - 1
        return Budget(per_class=fewer).size(groups, y) if fewer else 0


def _classes(y: np.ndarray, scheme: ClassScheme | None) -> tuple[np.ndarray, ClassScheme]:
    """Class places as int64, and the scheme."""
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(np.unique(y)) < 2:
        raise LabelsError(
            f"y has the shape {y.shape}, the type {y.dtype} and {len(np.unique(y))} different values: give "
            "whole numbers (n,) with 2 classes or more."
        )
    k = int(y.max()) + 1 if scheme is None else len(scheme.classes)
    if y.min() < 0 or y.max() >= k:
        raise LabelsError(
            f"y holds values from {y.min()} to {y.max()}, places of {k} classes go from 0 to {k - 1}: drop "
            "samples without a class, and turn codes into places with scheme.index."
        )
    return y.astype(np.int64), scheme or named_scheme("classes", [str(i) for i in range(k)])


def _numbers(groups: np.ndarray | None, n: int) -> np.ndarray:
    """Number of each sample's group, 0..G-1."""
    if groups is None:
        return np.arange(n)
    number = np.unique(np.asarray(groups), return_inverse=True)[1]
    if number.shape != (n,):
        raise FoldsError(f"{number.size} groups were given for {n} samples: give the group of every sample.")
    return number


def _splits(
    folds: Folds | tuple[np.ndarray, np.ndarray], groups: np.ndarray, *, leaking: bool
) -> tuple[Splits, dict[str, Any]]:
    """Places of training and test samples per fold, and what is to be said of the split."""
    n = len(groups)
    if isinstance(folds, Folds):
        if len(folds.fold) != n:
            raise FoldsError(
                f"The folds are of {len(folds.fold)} samples and y of {n}: give the same samples."
            )
        splits, facts = list(folds), folds.to_dict()
    else:
        splits, facts = [folds], {"kind": "one split given", "k": 1, "leaks": False, "buffer_m": 0.0}
    splits = [(np.sort(_places(train, n)), _places(test, n)) for train, test in splits]
    shared = sum(len(np.intersect1d(groups[train], groups[test])) for train, test in splits)
    facts["leaks"] = bool(facts["leaks"] or shared)
    if facts["leaks"] and not leaking:
        what = f"{shared} groups stand" if shared else "Neighbouring samples stand"
        raise FoldsError(
            f"{what} in training and in test ({facts['kind']}): split by group, or say leaking=True to have "
            "figures that are too good."
        )
    return splits, facts


def _places(side: np.ndarray, n: int) -> np.ndarray:
    """Places of samples, once they are known to be some."""
    side = np.asarray(side)
    if side.ndim != 1 or side.dtype.kind not in "iu" or not len(side):
        raise FoldsError(
            f"A side of the split has the shape {side.shape} and the type {side.dtype}: give the places (n,) "
            "of 1 sample or more, np.flatnonzero of a mask."
        )
    if side.min() < 0 or side.max() >= n or len(np.unique(side)) < len(side):
        raise FoldsError(
            f"A side of the split holds places from {side.min()} to {side.max()}, {len(np.unique(side))} "
            f"different ones of {len(side)}: give each once, from 0 to {n - 1}."
        )
    return side.astype(np.int64)


def _plan(
    splits: Splits, number: np.ndarray, y: np.ndarray, asked: Sequence[Budget], unit: str
) -> tuple[list[Budget], dict[str, None]]:
    """The budgets that every fold can serve, few labels first, and what is to be said of the others."""
    left = list({str(one): one for one in asked}.values())
    left.sort(key=lambda one: (one.fraction is not None, one.per_class or one.fraction))
    notes: dict[str, None] = {}
    for fold, (train, _) in enumerate(splits):
        pool, where = (number[train], y[train]), f"training {unit} in fold {fold}"
        classes, last = Budget(per_class=1).size(*pool), 0
        if classes < 2:
            raise FoldsError(f"The {where} are of one class: give a split with more.")
        for budget in tuple(left):
            size, why = budget.size(*pool), ""
            if budget.fraction is None:
                having = size - budget.one_less(*pool)  # each class that has so many adds one
                if not having:
                    why = f"no class has so many {where}"
                elif having < classes:
                    fewer = f"{classes - having} of {classes} classes have fewer {where}"
                    notes[f"{budget}: {fewer} and give all of them."] = None
            elif size == classes and 2 * budget.fraction * len(np.unique(pool[0])) < classes:
                why = f"it is less than half a label per class of the {where}"
            elif size == last:
                why = f"it is the same as a smaller share of the {where}"
            else:
                last = size
            if why:
                left.remove(budget)
                notes[f"{budget} is left out: {why}."] = None
    if not left:
        raise FoldsError(f"No budget can be served ({' '.join(notes)}): ask for fewer labels.")
    return left, notes
