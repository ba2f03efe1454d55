"""What experts answered, step by step, in one SQLite file: saved as it is said, and never overwritten."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jido.errors import JidoError, LabelsError, OutputError

ANSWERS = "answers.sqlite"
"""The file in the folder of an order; ``-wal`` and ``-shm`` stand beside it while it is open."""

MOST_STEPS = 20_000
"""Of one expert; a person makes some hundred."""

MOST_EXPERTS = 100

LONGEST_NAME = 60
"""Letters of the name of an expert."""

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS expert (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS step (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    expert INTEGER NOT NULL REFERENCES expert (id),
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS step_of ON step (expert, undone, id);
"""


class StaleError(JidoError):
    """Somebody answered on a page that did not show the last answer, in another window say."""


class Expert(NamedTuple):
    """Who answers; the token stands in the link."""

    id: int
    name: str
    token: str


class Step(NamedTuple):
    """One thing that an expert did: ``kind`` is answer, rows or settle. The file also has when, in UTC."""

    id: int
    kind: str
    body: dict[str, Any]


class RankStore:
    """The answers of all experts.

    The file is made when it is not there, readable for its owner alone, as it holds the tokens.

    Args:
        path: of the file, in an existing folder.
        clusters: a mark of the clusters; the same numbers may be names of other tiles another time.

    Raises:
        LabelsError: when the file holds answers on other clusters.
        OutputError: when the place cannot be written or the file is of another kind.
    """

    def __init__(self, path: Path, *, clusters: str) -> None:
        self.path = path
        try:
            path.touch(mode=0o600)
        except OSError as err:
            raise OutputError(f"Cannot write {path}: {err.strerror}; choose another place with -o.") from err
        with self._base() as base:
            base.execute("PRAGMA journal_mode = WAL")
            base.executescript(_TABLES)
            base.execute("INSERT OR IGNORE INTO about VALUES ('clusters', ?)", (clusters,))
            base.execute("INSERT OR IGNORE INTO about VALUES ('owner', ?)", (secrets.token_urlsafe(18),))
        if self._about("clusters") != clusters:
            raise LabelsError(
                f"{path} holds answers on clusters of other tiles: give their clusters, or another folder "
                "with -o."
            )

    @contextmanager
    def _base(self, *, change: bool = False) -> Iterator[sqlite3.Connection]:
        """The file; with ``change`` in one transaction that nobody else writes in."""
        try:
            with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as base:
                if not change:
                    yield base
                    return
                base.execute("BEGIN IMMEDIATE")
                try:
                    yield base
                except BaseException:
                    base.execute("ROLLBACK")
                    raise
                base.execute("COMMIT")
        except sqlite3.Error as err:
            raise OutputError(
                f"{self.path} cannot be read or written ({err}): make room, or choose another folder with -o."
            ) from err

    def _about(self, name: str) -> str:
        with self._base() as base:
            return str(base.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()[0])

    @property
    def owner(self) -> str:
        """The token of who asks the experts."""
        return self._about("owner")

    def set_owner(self, token: str) -> None:
        """Choose that token instead of the one that was made."""
        with self._base() as base:
            base.execute("UPDATE about SET value = ? WHERE name = 'owner'", (token,))

    @property
    def experts(self) -> list[Expert]:
        """All of them, as they were added."""
        with self._base() as base:
            return [Expert(*row) for row in base.execute("SELECT id, name, token FROM expert ORDER BY id")]

    def add_experts(self, names: Sequence[str]) -> None:
        """Add those who are not there yet, each with a token of their own.

        Raises:
            LabelsError: when there are too many.
        """
        with self._base(change=True) as base:
            for name in names:
                row = (name, secrets.token_urlsafe(18))
                base.execute("INSERT OR IGNORE INTO expert (name, token) VALUES (?, ?)", row)
            if base.execute("SELECT count(*) FROM expert").fetchone()[0] > MOST_EXPERTS:
                raise LabelsError(f"More than {MOST_EXPERTS} experts are asked: use several folders.")

    def steps(self, expert: Expert) -> tuple[list[Step], int]:
        """What an expert did and did not undo, in order; and the number of changes so far."""
        with self._base() as base:
            query = "SELECT id, kind, body, undone FROM step WHERE expert = ? ORDER BY id"
            rows = base.execute(query, (expert.id,)).fetchall()
        held = [Step(id_, kind, json.loads(body)) for id_, kind, body, undone in rows if not undone]
        return held, 2 * len(rows) - len(held)

    def add(self, expert: Expert, kind: str, body: Mapping[str, Any], *, seen: int) -> None:
        """Save a step.

        Args:
            expert: whose.
            kind: of the step.
            body: what JSON can hold.
            seen: number of changes that the page had seen.

        Raises:
            StaleError: when there were more.
            LabelsError: when there are too many steps.
        """
        with self._base(change=True) as base:
            _require_seen(base, expert, seen)
            if seen >= MOST_STEPS:
                raise LabelsError(f"{expert.name} has made {MOST_STEPS:,} steps, which is the limit.")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            base.execute(
                "INSERT INTO step (expert, at, kind, body) VALUES (?, ?, ?, ?)",
                (expert.id, now, kind, json.dumps(body)),
            )

    def undo(self, expert: Expert, *, seen: int) -> None:
        """Take back the last step; nothing happens where there is none.

        Raises:
            StaleError: as :meth:`add`.
        """
        with self._base(change=True) as base:
            _require_seen(base, expert, seen)
            base.execute(
                "UPDATE step SET undone = 1 WHERE id = "
                "(SELECT max(id) FROM step WHERE expert = ? AND undone = 0)",
                (expert.id,),
            )


def expert_names(text: str) -> tuple[str, ...]:
    """Names with commas between them.

    Raises:
        LabelsError: for names that cannot stand behind a line of ``experts.txt``.
    """
    names = tuple(dict.fromkeys(" ".join(name.split()) for name in text.split(",") if name.strip()))
    for name in names:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise LabelsError(
                f"{name[:LONGEST_NAME]!r} is no name of an expert: give up to {LONGEST_NAME} letters, commas "
                "between names."
            )
    return names


def require_token(token: str | None) -> None:
    """Refuse a token that cannot stand in a link or is soon guessed.

    Raises:
        LabelsError: naming what it may be.
    """
    if token is not None and not re.fullmatch(r"[\w-]{8,100}", token, re.ASCII):
        raise LabelsError("A token has 8 to 100 letters, digits, - and _: give another --token, or none.")


def _changes(base: sqlite3.Connection, expert: Expert) -> int:
    """Steps made and undone: it grows with each change."""
    row = base.execute("SELECT count(*) + total(undone) FROM step WHERE expert = ?", (expert.id,)).fetchone()
    return int(row[0])


def _require_seen(base: sqlite3.Connection, expert: Expert, seen: int) -> None:
    if _changes(base, expert) != seen:
        raise StaleError("Your answers changed in another window: look at the page again, then answer.")
