"""What a person sees: progress and notes on standard error, one result on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from jido.labels import Problem


def print_json(value: dict[str, Any]) -> None:
    """The one object of ``--json``."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def note(text: str, *, quiet: bool = False) -> None:
    """A line on standard error."""
    if not quiet:
        print(text, file=sys.stderr)


def show_problems(problems: Sequence[Problem], *, quiet: bool = False) -> None:
    """Problems of labels, one line each, on standard error."""
    for problem in problems:
        note(f"{problem.level}: {problem.message}", quiet=quiet)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table: first column to the left, numbers to the right."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for i, row in enumerate(cells):
        line = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(line).rstrip())
        if i == 0:
            print("  ".join("-" * w for w in widths))


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A callback ``(what, done, total)`` that draws a bar with an ETA; ``None`` when quiet."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    device = f"cpu, {os.cpu_count()} threads"
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn(f"[dim]{device}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield update
