"""Worker processes that measure functions; one that dies costs the function it was running, nothing else."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from stackemu.emu.symbols.function import Function
from stackemu.harness.measure import FunctionRuns, Measurer, RunSettings
from stackemu.harness.session import Driver

PATIENCE = 120.0
"""Seconds after which a worker that has not answered is taken for hung and ended."""

_CONTEXT = multiprocessing.get_context()


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    function: Function | None = None


def measure_all(
    driver: Driver, functions: Sequence[Function], settings: RunSettings
) -> Iterator[tuple[Function, FunctionRuns]]:
    """Yield each function with its runs as they are finished, in no particular order.

    Work is spread over `settings.jobs` processes. A process that crashes or hangs is replaced; its function
    comes back with `crashed` set.
    """
    pending = list(reversed(functions))
    workers: list[_Worker] = []
    try:
        while pending or any(worker.function for worker in workers):
            while pending and len(workers) < max(1, min(settings.jobs, len(functions))):
                workers.append(_start(driver, settings))
            for worker in workers:
                if worker.function is None and pending:
                    worker.function = pending.pop()
                    _send(worker)
            yield from _collect(workers)
    finally:
        for worker in workers:
            _end(worker)


def _collect(workers: list[_Worker]) -> Iterator[tuple[Function, FunctionRuns]]:
    """Wait for at least one busy worker and yield what came back; the dead are removed."""
    busy = {worker.connection: worker for worker in workers if worker.function is not None}
    ready = wait(list(busy), timeout=PATIENCE)
    late = list(busy) if not ready else []
    for connection in [*ready, *late]:
        worker = busy[connection]  # type: ignore[index]
        function = worker.function
        assert function is not None  # noqa: S101 -- only busy workers are waited for
        worker.function = None
        try:
            if connection in late:
                raise EOFError
            runs = worker.connection.recv()
        except (EOFError, OSError):
            workers.remove(worker)
            _end(worker)
            runs = FunctionRuns.lost(function.rva, _epitaph(worker.process, connection in late))
        yield function, runs


def _epitaph(process: BaseProcess, was_late: bool) -> str:
    if was_late:
        return f"the emulator did not answer for {PATIENCE:.0f} s"
    code = process.exitcode
    if code is not None and code < 0:
        return f"the emulator crashed ({signal.Signals(-code).name})"
    return f"the emulator's process ended with exit code {code}"


def _start(driver: Driver, settings: RunSettings) -> _Worker:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(driver, settings, there), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _send(worker: _Worker) -> None:
    try:
        worker.connection.send(worker.function)
    except OSError:
        return  # the worker is dead: reading from it will say so


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _serve(driver: Driver, settings: RunSettings, connection: Connection) -> None:
    """Measure functions until the other side closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    measurer = Measurer(driver, settings)
    while True:
        try:
            function = connection.recv()
        except EOFError:
            return
        connection.send(measurer.measure(function))
