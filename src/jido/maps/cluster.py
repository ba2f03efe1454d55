"""Tasks of a map on the workers of a Dask cluster: on this machine, or wherever a scheduler knows some."""

from __future__ import annotations

import copy
import logging
import signal
import threading
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from jido.errors import ClusterError, JidoError
from jido.io import keep_memory
from jido.maps.executors import TileDone, Work, one_thread
from jido.maps.run import environment
from jido.maps.tasks import Done, run_task

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

CONNECT_S = 10
"""Seconds that a scheduler has to answer, and to know a worker."""


@contextmanager
def cluster(*, workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """A client of the Dask scheduler at an address, or of a cluster of this machine that ends with it.

    Workers of this machine are fresh Python processes: a script that asks for them keeps its own
    work under ``if __name__ == "__main__":``.

    Raises:
        ClusterError: when Dask is not installed, both or neither are given, the scheduler does not
            answer or has no worker, or workers cannot be started.
    """
    if (workers is None) == (scheduler is None) or (workers is not None and workers < 1):
        raise ClusterError("Give either --workers, 1 or more, or the address of a --scheduler, not both.")
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as err:
        raise ClusterError('Workers need Dask: pip install "jido[dask]".') from err
    if scheduler is not None:
        with _connected(Client, scheduler) as client:
            yield client
        return
    try:
        with _deaf_to_ctrl_c():
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # a limit would stop workers long before the machine is short
                dashboard_address=":0",  # any free port: the usual one may be taken
                silence_logs=logging.CRITICAL,  # what goes wrong is raised
            )
    except RuntimeError as err:
        raise ClusterError(
            "Workers cannot be started from here: put the call under if __name__ == '__main__': in a "
            "file, for each worker is a Python of its own that reads it."
        ) from err
    with local, Client(local) as client:
        yield client


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes and threads begun here do not hear Ctrl-C, which a terminal sends to all of them.

    Workers end with this process; each of them would print a traceback of its own first. What is
    pressed meanwhile is heard at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # started later it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _connected(client_type: type[Client], address: str) -> Client:
    try:
        client = client_type(address, timeout=CONNECT_S)
    except (OSError, ValueError) as err:
        raise ClusterError(
            f"The scheduler {address} does not answer within {CONNECT_S} s: start it with "
            "'dask scheduler', or map with --workers N on this machine."
        ) from err
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as err:
        client.close()
        raise ClusterError(
            f"The scheduler {address} has no worker: start one with 'dask worker {address}'."
        ) from err
    return client


def in_cluster(
    work: Work, tasks: Iterable[int], *, client: Client, tick: TileDone
) -> Generator[Done, None, None]:
    """Tasks on the workers of a cluster, in order; each worker gets the model and the images once.

    Dask does the task of a lost worker again elsewhere. Twice as many tasks as there are workers
    are under way. Close it before the client, so that the workers let go of the model.
    """
    from distributed import KilledWorker

    name = f"jido-{uuid.uuid4().hex}"
    waiting: deque[Future] = deque()
    queue = iter(tasks)
    try:
        client.register_plugin(_plugin(work), name=name)
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
    except (OSError, CancelledError) as err:
        raise ClusterError(
            "The connection to the scheduler was lost: start the same command again to go on."
        ) from err
    finally:
        with suppress(Exception):  # the cluster may be gone
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
            self.own = threading.local()

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
    try:
        if not hasattr(holder.own, "scene"):  # a worker may have threads, an open file must not
            holder.own.scene = copy.copy(work.scene)
        return run_task(work.model, holder.own.scene, work.plan, task, probabilities=work.probabilities)
    except JidoError as err:
        alone = type(err)(str(err))
    raise alone  # without what caused it, which may not travel
