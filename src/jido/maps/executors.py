"""Who does the tasks of a map: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from jido.errors import ClusterError, JidoError
from jido.io import Scene, keep_memory
from jido.maps.plan import Plan
from jido.maps.run import environment
from jido.maps.tasks import Done, blend, predicted, run_task
from jido.methods import Model

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

TileDone = Callable[[int], None]
"""Told how many more tiles are done."""

CONNECT_S = 10
"""Seconds that a scheduler has to answer."""


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


def in_threads(work: Work, tasks: Iterable[int], *, threads: int | None, tick: TileDone) -> Iterator[Done]:
    """Tasks one after the other; this thread reads and blends, ``threads`` others predict."""
    keep_memory()
    model, plan = work.model, work.plan
    threads = threads_of(threads)
    with ThreadPoolExecutor(threads, initializer=one_thread) as pool:
        for task, answers in predicted(
            model,
            work.scene,
            plan,
            tasks,
            pool=pool,
            ahead=2 * threads - 2,  # one thread: one at a time
        ):

            def counted(answers: Iterator[Any] = answers) -> Iterator[Any]:
                for answer in answers:
                    yield answer
                    tick(1)

            yield blend(model, plan, task, counted(), probabilities=work.probabilities)


def one_thread() -> None:
    """One thread within torch for the calling thread, where a model has loaded it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def cluster(*, workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """A client of the Dask scheduler at an address, or of a cluster of this machine that ends with it.

    Raises:
        ClusterError: when Dask is not installed or the scheduler does not answer.
    """
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as err:
        raise ClusterError('Workers need Dask: pip install "jido[dask]".') from err
    if scheduler is None:
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # a limit would stop workers long before the machine is short
                dashboard_address=":0",  # any free port: the usual one may be taken
                silence_logs=logging.CRITICAL,  # what goes wrong is raised
            ) as local,
            Client(local) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as err:
        raise ClusterError(
            f"The scheduler {scheduler} does not answer within {CONNECT_S} s: start it with "
            "'dask scheduler', or map with --workers N on this machine."
        ) from err
    with client:
        yield client


def in_cluster(work: Work, tasks: Iterable[int], *, client: Client, tick: TileDone) -> Iterator[Done]:
    """Tasks on the workers of a cluster, in order; each worker gets the model and the images once.

    Dask does the task of a lost worker again elsewhere. Twice as many tasks as there are workers
    are under way.
    """
    from distributed import KilledWorker

    name = f"jido-{uuid.uuid4().hex}"
    client.register_plugin(_plugin(work), name=name)
    waiting: deque[Future] = deque()
    queue = iter(tasks)
    try:
        while True:
            room = 2 * max(len(client.nthreads()), 1) - len(waiting)
            for task in islice(queue, max(room, 0)):
                key = f"{name}-{task}"
                waiting.append(client.submit(_on_worker, name, task, key=key, pure=False, priority=-task))
            if not waiting:
                return
            future = waiting.popleft()
            done = future.result()
            tick(done.tiles)
            yield done
            future.release()
    except KilledWorker as err:
        raise ClusterError(
            "A band of the map lost its worker again and again, mostly for want of memory: "
            "give fewer --workers or smaller tiles."
        ) from err
    except JidoError:
        raise
    except OSError as err:
        raise ClusterError(
            f"The connection to the scheduler was lost ({err}): start again to go on."
        ) from err
    finally:
        client.cancel(list(waiting), force=True)
        client.unregister_worker_plugin(name)


def _plugin(work: Work) -> Any:
    """A Dask plugin that holds the work on every worker, also on those that come later."""
    from distributed import WorkerPlugin

    class Holder(WorkerPlugin):
        def __init__(self, work: Work, here: dict[str, Any]) -> None:
            self.work, self.here = work, here

        def setup(self, worker: Worker) -> None:
            keep_memory()
            self.differs = [name for name, value in environment().items() if value != self.here[name]]

    return Holder(work, environment())


def _on_worker(name: str, task: int) -> Done:
    from distributed import get_worker

    holder: Any = get_worker().plugins[name]
    if holder.differs:
        raise ClusterError(
            f"A worker differs from this machine in {', '.join(holder.differs)}, so its part of the map "
            "would: give workers of one kind."
        )
    one_thread()
    work = holder.work
    return run_task(work.model, work.scene, work.plan, task, probabilities=work.probabilities)
