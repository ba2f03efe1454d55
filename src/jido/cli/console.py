"""What a person sees: progress and notes on standard error, one result on standard output."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jido.errors import JidoError, LabelsError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jido.labels import Problem


def print_json(value: dict[str, Any]) -> None:
    """The one object of ``--json``."""
    from jido.io import json_text

    print(json_text(value))


@contextmanager
def naming(path: Path, *kinds: type[JidoError]) -> Iterator[None]:
    """Errors of these kinds name the file they speak of, also where the science knows no files."""
    try:
        yield
    except kinds as err:
        if str(path) in str(err):
            raise
        raise type(err)(f"{path}: {err}") from err


def refuse_to_overwrite(output: Path, inputs: Sequence[Path | None]) -> None:
    """A result must not replace what it is made from.

    Raises:
        OutputError: when ``output`` is one of the inputs.
    """
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise OutputError(f"{output} is an input of this command: give another name with -o.")


def note(text: str, *, quiet: bool = False) -> None:
    """A line on standard error."""
    if not quiet:
        print(text, file=sys.stderr)


def show_problems(problems: Sequence[Problem], *, quiet: bool = False) -> None:
    """Problems of labels, one line each, on standard error."""
    for problem in problems:
        note(f"{problem.level}: {problem.message}", quiet=quiet)


def refuse_errors(problems: Sequence[Problem]) -> None:
    """Problems that no training can live with.

    Raises:
        LabelsError: with the first of them.
    """
    for problem in problems:
        if problem.level == "error":
            raise LabelsError(problem.message)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table: first column to the left, numbers to the right."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for i, row in enumerate(cells):
        line = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(line).rstrip())
        if i == 0:
            print("  ".join("-" * w for w in widths))


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and what is said of each, wrapped to the width of the terminal."""
    indent = max(map(len, facts)) + 2
    width = max(shutil.get_terminal_size((100, 24)).columns, indent + 20)
    for name, value in facts.items():
        print(textwrap.fill(name.ljust(indent) + str(value), width, subsequent_indent=" " * indent))


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
