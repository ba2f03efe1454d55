"""The log of a review: a CSV to which every decision is added at once, and from which a review goes on."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jido.errors import JidoError, LabelsError, OutputError

COLUMNS = ("when", "who", "item", "decision", "before", "after", "confidence", "note", "lon", "lat")
"""Of the log; ``decision`` is also ``undo`` (the last one that stands is taken back) and ``written``."""

LONGEST_NOTE = 500
"""Letters of a note."""

MOST_STEPS = 100_000
"""Decisions of one review; a person makes some thousand."""

LONGEST_NAME = 60
"""Letters of the name of a person."""


@dataclass(frozen=True)
class Decision:
    """What a person says of an item.

    Args:
        item: its id.
        decision: ``keep``, ``relabel``, ``drop``, ``add``, ``skip``, or ``label`` of a point.
        after: label of the class that it is now; empty where it is none.
        confidence: how sure one is of a point.
        note: in one's own words.
    """

    item: str
    decision: str
    after: str = ""
    confidence: str = ""
    note: str = ""


@dataclass(frozen=True)
class Place:
    """What tells an item of one review from that of another: class before, longitude and latitude."""

    before: str
    lon: float
    lat: float

    @property
    def text(self) -> tuple[str, str, str]:
        """As it stands in the log."""
        return self.before, f"{self.lon:.5f}", f"{self.lat:.5f}"


class ReviewLog:
    """Decisions, each on disk before it counts.

    Args:
        path: of the log; made with the first decision.
        who: the name of the person.
        places: item -> what it is, of all items that may be decided.
        since_written: leave aside what was decided before the last ``written``: it stands in another file
            now, which may have changed since.

    Raises:
        LabelsError: when the log is of other items.
        OutputError: when it cannot be read.
    """

    def __init__(
        self, path: Path, *, who: str, places: Mapping[str, Place], since_written: bool = False
    ) -> None:
        self.path = path
        self.who = " ".join(who.split())[:LONGEST_NAME]
        self._places = places
        self._lock = threading.Lock()
        self._steps: list[Decision] = []
        self._elsewhere = 0  # so many of the first steps were in the other file before this process began
        self._back: dict[str, Decision | None] = {}  # items of which one of these was taken back since
        self._pending = False
        for row in self._rows():
            self._replay(row, since_written=since_written)

    @property
    def decided(self) -> dict[str, Decision | None]:
        """Item -> the last thing said of it that was not taken back.

        ``None`` where nothing of it stands, though the other file still says something.
        """
        with self._lock:
            return self._back | {step.item: step for step in self._steps[self._elsewhere :]}

    @property
    def pending(self) -> bool:
        """Whether something was decided or taken back that does not stand in another file yet."""
        return self._pending

    def decide(self, decision: Decision) -> None:
        """Add a decision.

        Raises:
            JidoError: when there are too many.
            OutputError: when it cannot be written; it then does not count.
        """
        with self._lock:
            if len(self._steps) >= MOST_STEPS:
                raise JidoError(f"A review has at most {MOST_STEPS:,} decisions: begin another one.")
            self._append(decision)
            self._steps.append(decision)

    def undo(self) -> str | None:
        """Take the last decision back; the item it was of, ``None`` when none is left."""
        with self._lock:
            if len(self._steps) <= self._elsewhere:
                return None
            self._append(Decision(self._steps[-1].item, "undo"))
            return self._take_back()

    def written(self) -> None:
        """Note that all decisions stand in another file."""
        with self._lock:
            self._append(Decision("", "written"))

    def _take_back(self) -> str:
        item = self._steps.pop().item
        if len(self._steps) < self._elsewhere:
            self._elsewhere -= 1
            self._back[item] = next((step for step in reversed(self._steps) if step.item == item), None)
        return item

    def _replay(self, row: dict[str, str], *, since_written: bool) -> None:
        decision, item = row["decision"], row["item"]
        self._pending = decision != "written"
        if decision == "written":
            if since_written:
                self._elsewhere, self._back = len(self._steps), {}
        elif decision == "undo":
            if self._steps:
                self._take_back()
        elif item not in self._places or self._places[item].text != (row["before"], row["lon"], row["lat"]):
            raise LabelsError(
                f"{self.path} is the log of another review ({item} is another one there): give another name "
                "with -o, or move the log away."
            )
        else:
            self._steps.append(Decision(item, decision, row["after"], row["confidence"], row["note"]))

    def _rows(self) -> list[dict[str, str]]:
        """All rows; one that was cut off in the middle is taken away."""
        if not self.path.exists():
            return []
        try:
            text = self.path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if len(whole) < len(text):
                os.truncate(self.path, len(whole))
            rows = list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"), newline="")))
        except (OSError, ValueError, csv.Error) as err:
            raise OutputError(f"{self.path} cannot be read as the log of a review: move it away.") from err
        if any(set(row) != set(COLUMNS) or None in row.values() for row in rows):
            raise OutputError(
                f"{self.path} is no log of a review: move it away, or give another name with -o."
            )
        return [{name: cell.removeprefix("'") for name, cell in row.items()} for row in rows]

    def _append(self, decision: Decision) -> None:
        place = self._places[decision.item].text if decision.item else ("", "", "")
        before, lon, lat = place
        when = datetime.now(UTC).isoformat(timespec="seconds")
        said = (decision.item, decision.decision, before, decision.after, decision.confidence, decision.note)
        texts = map(_shielded, (self.who, *said))
        line = io.StringIO()
        rows = csv.writer(line, lineterminator="\n")
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size:
            rows.writerow(COLUMNS)
        rows.writerow((when, *texts, lon, lat))
        try:
            with self.path.open("ab") as file:
                file.write(line.getvalue().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            with suppress(OSError):
                os.truncate(self.path, size)
            raise OutputError(
                f"Cannot write {self.path}: {err.strerror}; make room, then decide again."
            ) from err
        self._pending = decision.decision != "written"


def _shielded(text: str) -> str:
    """Text that a spreadsheet does not take for a formula (CWE-1236); ``'`` goes when it is read again."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "'")) else text
