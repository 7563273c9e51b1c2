"""Who carries out the pieces of an evaluation: this process, processes beside it, or a cluster.

A piece is an importable function and one argument of bytes, and its result depends on nothing else:
if the process that has it dies, the scheduler gives it to another one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from phosphene.analysis.rounds import Result
from phosphene.errors import PhospheneError

if TYPE_CHECKING:
    from distributed import Client

Work = Callable[[bytes], Result]
Done = Callable[[int], None]
PATIENCE = 60.0
"""Seconds in which a scheduler must answer, and its first worker be there."""
LOOPBACK = "127.0.0.1"
CONFIG = {
    "distributed.admin.tick.limit": "1h",  # A process may be busy; that is no news.
    "distributed.worker.memory.target": False,  # Mapped files look like used memory.
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "logging.distributed": "critical",
}


class Workers(Protocol):
    """Whoever carries out pieces of work."""

    words: str
    """Who that is, for the operator."""

    def run(self, work: Work, orders: Sequence[bytes], done: Done) -> list[Result]:
        """Return the results in order; ``done`` is told how many there are."""
        ...


class InTurn:
    """The calling process, one piece after the other."""

    def __init__(self, why: str = "") -> None:
        self.words = "one fold after the other, in this process" + (f": {why}" if why else "")

    def run(self, work: Work, orders: Sequence[bytes], done: Done) -> list[Result]:
        """Return the results in order."""
        results = []
        for number, order in enumerate(orders, start=1):
            results.append(work(order))
            done(number)
        return results


class Cluster:
    """The workers of a Dask scheduler."""

    def __init__(self, client: "Client", words: str) -> None:
        self._client = client
        self.words = words

    def run(self, work: Work, orders: Sequence[bytes], done: Done) -> list[Result]:
        """Return the results in order; ``PhospheneError`` if a piece keeps killing workers."""
        from distributed import KilledWorker, as_completed

        futures = self._client.map(work, orders, pure=False)
        try:
            for number, _ in enumerate(as_completed(futures), start=1):
                done(number)
            results: list[Any] = self._client.gather(futures)
        except KilledWorker as error:
            raise PhospheneError(
                f"several workers died of the same piece of work, of too little memory perhaps: "
                f"{error}"
            ) from None
        return results


@contextmanager
def workers(cluster: str = "local", n_workers: int | None = None) -> Iterator[Workers]:
    """Yield those who work: ``local`` processes, ``none`` but this one, or a scheduler's.

    ``n_workers`` is how many local processes there are; by default one for each core. Raises
    ``PhospheneError`` if the scheduler is not there, or has no workers.
    """
    n_workers = n_workers or len(os.sched_getaffinity(0))
    if cluster == "none" or (cluster == "local" and n_workers < 2):
        yield InTurn()
    elif find_spec("distributed") is None:
        if cluster != "local":
            raise PhospheneError(f"--cluster {cluster} needs phosphene[parallel] to be installed")
        yield InTurn("phosphene[parallel] is not installed")
    elif cluster == "local":
        with _local(n_workers) as found:
            yield found
    else:
        with _elsewhere(cluster) as found:
            yield found


@contextmanager
def _local(n_workers: int) -> Iterator[Cluster]:
    """Yield processes of this computer: on the loopback interface, encrypted, no dashboard."""
    import dask

    with dask.config.set(CONFIG):
        from distributed import Client, LocalCluster
        from distributed.security import Security

        with (
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                host=LOOPBACK,
                security=Security.temporary(),
                dashboard_address=None,
                memory_limit=0,
            ) as processes,
            Client(processes) as client,
        ):
            yield Cluster(client, f"in {n_workers} processes of this computer")


@contextmanager
def _elsewhere(address: str) -> Iterator[Cluster]:
    import dask

    with dask.config.set(CONFIG):
        from distributed import Client

        try:
            client = Client(address, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise PhospheneError(f"no Dask scheduler answers at {address}: {error}") from None
        with client:
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError:
                raise PhospheneError(f"the scheduler at {address} has no workers") from None
            n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
            yield Cluster(client, f"in {n_workers} processes of the cluster {address}")
