"""Rows of an experiment that survive an interruption, and their place in RESULTS.md."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("RESULTS.md")


class Rows:
    """Finished rows in a JSON-lines file, found again by the hash of their settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.done = {row["key"]: row for row in map(json.loads, filter(None, lines))}

    @staticmethod
    def key(settings: dict[str, Any]) -> str:
        """Hash of the settings of a row."""
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def get(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """The finished row with these settings, or ``None``."""
        return self.done.get(self.key(settings))

    def add(self, settings: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
        """Append a finished row; it is on disk when this returns."""
        row = {"key": self.key(settings), **settings, **figures}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.done[row["key"]] = row
        return row


def mean_table(
    rows: list[dict[str, Any]], by: Sequence[str], figures: Sequence[str], *, digits: int = 3
) -> str:
    """Markdown: a line for all rows that agree in ``by``, with means of the figures.

    Standard deviations where there are three rows or more; a figure that is ``None`` has no say.
    """
    head = [*by, "rows", *figures]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for key in dict.fromkeys(tuple(row[name] for name in by) for row in rows):
        mine = [row for row in rows if tuple(row[name] for name in by) == key]
        cells = ["" if part is None else str(part) for part in key] + [str(len(mine))]
        for name in figures:
            values = [row[name] for row in mine if row.get(name) is not None]
            spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 2 else ""
            cells.append(f"{statistics.mean(values):.{digits}f}{spread}" if values else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def some_of(parser: argparse.ArgumentParser, given: str, known: Iterable[str]) -> list[str]:
    """The names of an option, separated by semicolons; the parser ends the program where one is not known."""
    names, known = [name.strip() for name in given.split(";") if name.strip()], list(known)
    if wrong := sorted({*names} - {*known}):
        parser.error(f"there is no {', '.join(wrong)}: give some of {'; '.join(known)}")
    return names


def write_results(section: str, text: str) -> None:
    """Put ``text`` between the marks of ``section`` in RESULTS.md."""
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    old = RESULTS.read_text(encoding="utf-8")
    if start not in old or end not in old:
        raise ValueError(f"RESULTS.md has no section marked {start}.")
    new = re.sub(
        re.escape(start) + ".*?" + re.escape(end),
        lambda _: f"{start}\n{text.strip()}\n{end}",
        old,
        flags=re.DOTALL,
    )
    RESULTS.write_text(new, encoding="utf-8")
