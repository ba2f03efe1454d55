"""One run of one learner in an evaluation with few labels, and the file that keeps finished ones."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jido.errors import ModelError, OutputError
from jido.io import json_text, require_place
from jido.methods.label_learners import Learn
from jido.stats import confusion

FIRST = '{"key": '
"""How a line of the file begins; one that begins so and cannot be read was cut off."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a learner is asked once.

    Args:
        labelled: (n,) places of the labelled samples, in rising order.
        test: (m,) places of the samples to judge.
        y: classes of all samples.
        groups: (m,) number of the group of each sample to judge, 0..G-1.
        num_classes: K.
        seed: that the learner is given.
    """

    labelled: np.ndarray
    test: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    num_classes: int
    seed: int

    @cached_property
    def digest(self) -> str:
        """Hash of all that the answer depends on, the learner aside."""
        found = hashlib.sha256(f"{self.num_classes} {self.seed}".encode())
        for part in (self.labelled, self.y[self.labelled], self.test, self.y[self.test], self.groups):
            found.update(f" {len(part)} ".encode() + part.astype("<i8").tobytes())
        return found.hexdigest()[:32]

    def run(self, name: str, learn: Learn) -> dict[str, Any]:
        """Ask a learner: its ``confusion`` (K, K), the number it got ``right`` in each group, ``seconds``.

        Raises:
            ModelError: when it returns anything but finite numbers (m, K).
        """
        start = time.perf_counter()
        said = np.asarray(learn(self.labelled.copy(), self.y[self.labelled], self.test.copy(), self.seed))
        seconds = time.perf_counter() - start
        wanted = (len(self.test), self.num_classes)
        if said.shape != wanted:
            raise ModelError(
                f"The learner {name!r} returned an array of shape {said.shape}: return probabilities "
                f"{wanted}, a row per sample to judge and a column per class."
            )
        if said.dtype.kind not in "fiub" or not np.isfinite(said).all():
            raise ModelError(
                f"The learner {name!r} returned what is no finite number with {len(self.labelled)} labelled "
                "samples: look for missing values in its features and for a loss that diverged."
            )
        truth, prediction = self.y[self.test], said.argmax(axis=1)
        return {
            "seconds": round(seconds, 4),
            "confusion": confusion(truth, prediction, self.num_classes).tolist(),
            "right": np.bincount(self.groups, truth == prediction).astype(int).tolist(),
        }


class KeptRows:
    """Answers of learners by name and task, in a JSON-lines file; in memory alone without one.

    Raises:
        OutputError: when the file holds other things, or cannot be read or written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self.rows: dict[str, dict[str, Any]] = {}
        self.gap = ""  # a line that was cut off is closed first
        if self.path is None:
            return
        require_place(self.path)
        if self.path.exists():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        try:
            found = path.read_text(encoding="utf-8")
            for line in filter(None, found.split("\n")):
                if not FIRST.startswith(line[: len(FIRST)]):
                    raise ValueError
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                self.rows[row["key"]] = row
        except (OSError, ValueError) as err:
            raise OutputError(
                f"{path} holds other things than rows of label_curve: give another file with keep."
            ) from err
        self.gap = "" if found.endswith("\n") or not found else "\n"

    def answer(self, name: str, learn: Learn, task: Task) -> dict[str, Any]:
        """What a learner says of a task, asked only if it is not known; it is on disk when this returns.

        Raises:
            ModelError: as :meth:`Task.run`.
            OutputError: when the file cannot be written.
        """
        key = hashlib.sha256(json.dumps([name, task.digest]).encode()).hexdigest()[:32]
        if key in self.rows:
            return self.rows[key]
        row = {"key": key, "learner": name, **task.run(name, learn)}
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(self.gap + json_text(row) + "\n")
            except OSError as err:
                raise OutputError(f"Cannot write {self.path}: {err.strerror}; make room.") from err
            self.gap = ""
        self.rows[key] = row
        return row
