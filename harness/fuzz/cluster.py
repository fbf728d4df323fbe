"""Workers of a Dask cluster (`dask.distributed`), on any number of machines, behind one executor.

The scheduler gives the calls of a worker that is gone to others; only a call that several workers died of
comes back as `KilledWorker`. Needs the extra `stackemu[cluster]`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stackemu.emu.errors import InputError, UsageError
from stackemu.harness.release import release

if TYPE_CHECKING:
    from distributed import Client

CONNECT_TIMEOUT = 10.0
"""Seconds that the scheduler, and then the first of its workers, have to answer."""
_REFRESH = 1.0
"""Seconds between two questions about who the workers are."""
_SETTINGS = {
    # A driver's contents go to each worker once, however large they are: that is no mistake to warn of.
    "distributed.admin.large-graph-warning-threshold": "1GiB",
}
_REMEDY = "start it (`dask scheduler`) and workers (`dask worker ADDRESS --nthreads 1`)"


class DaskBackend:
    """All workers of the cluster whose scheduler is at `address`."""

    attempts = 1
    """Dask itself has tried other workers before it calls a call lost."""

    def __init__(self, address: str) -> None:
        """Connect, and see that workers can be used.

        Raises:
            UsageError: `distributed` is not installed, or a worker cannot be used for this work.
            InputError: there is no scheduler at the address, or it has no workers.
        """
        self._address = address
        self._client = _connect(address)
        self._known: frozenset[str] = frozenset()
        """The workers whose release is known to be this one."""
        try:
            self._width = self._ask()
            self._executor = self._client.get_executor(pure=False)
        except BaseException:
            self._client.close()
            raise
        self._asked = time.monotonic()

    @property
    def deaths(self) -> tuple[type[BaseException], ...]:
        """The error of a call that took several workers with it."""
        from distributed import KilledWorker

        return (KilledWorker,)

    def width(self) -> int:
        """Return the number of workers; not older than a second."""
        if time.monotonic() - self._asked > _REFRESH:
            self._width = self._ask()
            self._asked = time.monotonic()
        return self._width

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a call made by a worker."""
        with _scheduler_errors(self._address):
            future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def give_up(self, future: Future[Any]) -> None:
        """Forget a call; its worker is back when the call ends, which cannot be forced from here."""
        future.cancel()

    def close(self) -> None:
        """Drop what is under way and leave the cluster to others."""
        self._executor.shutdown(wait=False)
        self._client.close()

    def _ask(self) -> int:
        with _scheduler_errors(self._address):
            threads: dict[str, int] = self._client.nthreads()
        for worker, count in threads.items():
            if count != 1:
                # An emulated machine belongs to one thread, and two in a process would also halve the rate.
                raise UsageError(f"the worker {worker} runs {count} threads; start workers with --nthreads 1")
        self._known &= threads.keys()
        self._known |= self._of_this_release(threads.keys() - self._known)
        return len(threads)

    def _of_this_release(self, workers: Set[str]) -> frozenset[str]:
        """Return the workers that say so: figures of another release would not replay here.

        A worker that is gone meanwhile says nothing.

        Raises:
            UsageError: a worker runs another release, or none.
        """
        if not workers:
            return frozenset()
        here = release()
        with _scheduler_errors(self._address):
            answers = self._client.run(release, workers=sorted(workers), on_error="return")
        present = {worker: there for worker, there in answers.items() if not isinstance(there, OSError)}
        for worker, there in present.items():
            if there != here:
                found = there if isinstance(there, str) else "no stackemu that can be used"
                raise UsageError(f"the worker {worker} runs {found}; install {here} there")
        return frozenset(present)


def _connect(address: str) -> Client:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UsageError("--cluster needs Dask; install stackemu[cluster]") from error
    # What Dask would log on the standard error is either said in our own words or of no interest to the user.
    for logger in ("distributed", "distributed.client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
    dask.config.set(_SETTINGS)
    with _scheduler_errors(address):
        asyncio.run(_probe(address))
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, name="stackemu")
        try:
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
        except BaseException as error:
            client.close()
            if isinstance(error, TimeoutError):
                raise InputError(address, "the scheduler has no workers", _REMEDY) from error
            raise
    return client


async def _probe(address: str) -> None:
    """Connect once before a client does: its own attempt never ends where something else than Dask listens."""
    from distributed import Security
    from distributed.comm import connect

    arguments = Security().get_connection_args("client")
    try:
        comm = await asyncio.wait_for(connect(address, timeout=CONNECT_TIMEOUT, **arguments), CONNECT_TIMEOUT)
    except TypeError as error:  # an address with TLS where Dask's configuration names no certificates
        raise ValueError(str(error)) from error
    comm.abort()


@contextmanager
def _scheduler_errors(address: str) -> Iterator[None]:
    """Turn what Dask raises about a scheduler that cannot be talked to into an `InputError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError and CommClosedError are OSErrors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(address, f"no Dask scheduler answers there ({reason})", _REMEDY) from error
