"""Tasks of a map in this process: one thread reads and blends, others predict."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from jido.io import Scene, keep_memory
from jido.maps.plan import Plan
from jido.maps.tasks import Answer, Done, blend, predicted
from jido.methods import Model

AHEAD_BYTES = 16_000_000
"""Pixels read ahead for each thread, so that none waits while a band of rows is written."""

TileDone = Callable[[int], None]
"""Told how many more tiles are done."""


@dataclass(frozen=True, eq=False)
class Work:
    """All that a task needs to know but its number."""

    model: Model
    scene: Scene
    plan: Plan
    probabilities: bool = False


def threads_of(asked: int | None) -> int:
    """Threads that predict: as asked, else one for each core."""
    return asked or os.cpu_count() or 1


def in_threads(
    work: Work, tasks: Iterable[int], *, threads: int | None, tick: TileDone
) -> Generator[Done, None, None]:
    """Tasks one after the other; this thread reads and blends, ``threads`` others predict."""
    with closing(answered(work, tasks, threads=threads_of(threads))) as all_answers:
        for task, answers in all_answers:

            def counted(answers: Iterator[Answer] = answers) -> Iterator[Answer]:
                for answer in answers:
                    yield answer
                    tick(1)

            yield blend(work.model, work.plan, task, counted(), probabilities=work.probabilities)


def answered(
    work: Work, tasks: Iterable[int], *, threads: int
) -> Generator[tuple[int, Iterator[Answer]], None, None]:
    """Tasks and their tiles with probabilities: this thread reads, ``threads`` others predict."""
    keep_memory()
    bytes_of_one = 4 * work.plan.batch * len(work.model.bands) * work.plan.tile**2
    ahead = threads * min(max(AHEAD_BYTES // bytes_of_one, 2), 12) if threads > 1 else 0  # one: at a time
    with ThreadPoolExecutor(threads, initializer=one_thread) as pool:
        yield from predicted(work.model, work.scene, work.plan, tasks, pool=pool, ahead=ahead)


def one_thread() -> None:
    """One thread within torch for the calling thread, where a model has loaded it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
