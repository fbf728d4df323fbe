"""Worker processes that measure functions; one that dies costs the function it was running, nothing else."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from stackemu.harness.bring_up import BringUp
from stackemu.harness.interrupts import interrupts_held
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver

PATIENCE = 120.0
"""Seconds after which a worker that has not answered is taken for hung and ended."""

_CONTEXT = multiprocessing.get_context()


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None


class WorkerPool:
    """Processes that measure functions of one driver, `settings.jobs` of them at most."""

    def __init__(self, driver: Driver, settings: RunSettings) -> None:
        """Start the first worker and wait until it has brought the driver up.

        A driver that takes the emulator down with it while it is brought up is measured without that.
        """
        self._driver = driver
        self._settings = settings
        self._workers: list[_Worker] = []
        self.bring_up = self._first_bring_up()

    def __enter__(self) -> WorkerPool:
        """Return the pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers."""
        for worker in self._workers:
            _end(worker)

    def _first_bring_up(self) -> BringUp:
        worker = _start(self._driver, self._settings)
        try:
            if not worker.connection.poll(PATIENCE):
                raise EOFError
            result: BringUp = worker.connection.recv()
        except (EOFError, OSError):
            _end(worker)
            self._settings = replace(self._settings, initialise=False)
            return BringUp("crashed", None, _epitaph(worker.process, was_late=worker.process.exitcode is None))
        self._workers.append(worker)
        return result

    def measure(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, FunctionRuns]]:
        """Yield each task with its runs as they are finished, in no particular order.

        A process that crashes or hangs is replaced; its function comes back with `crashed` as its reason.
        """
        pending = list(reversed(tasks))
        while pending or any(worker.task for worker in self._workers):
            while pending and len(self._workers) < max(1, min(self._settings.jobs, len(tasks))):
                self._workers.append(_start(self._driver, self._settings))
            for worker in self._workers:
                if worker.task is None and pending:
                    worker.task = pending.pop()
                    _send(worker)
            yield from self._collect()

    def _collect(self) -> Iterator[tuple[Task, FunctionRuns]]:
        """Wait for at least one busy worker and yield what came back; the dead are removed."""
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        ready = wait(list(busy), timeout=PATIENCE)
        late = list(busy) if not ready else []
        for connection in [*ready, *late]:
            worker = busy[connection]  # type: ignore[index]
            task = worker.task
            assert task is not None  # noqa: S101 -- only busy workers are waited for
            try:
                if connection in late:
                    raise EOFError
                answer = worker.connection.recv()
            except (EOFError, OSError):
                self._workers.remove(worker)
                _end(worker)
                answer = FunctionRuns.lost(task.function.rva, _epitaph(worker.process, connection in late))
            if isinstance(answer, BringUp):
                continue  # the same as the first worker's: it depends on nothing but the settings
            worker.task = None
            yield task, answer


def _epitaph(process: BaseProcess, was_late: bool) -> str:
    if was_late:
        return f"the emulator did not answer for {PATIENCE:.0f} s"
    code = process.exitcode
    if code is not None and code < 0:
        return f"the emulator crashed ({signal.Signals(-code).name})"
    return f"the emulator's process ended with exit code {code}"


def _start(driver: Driver, settings: RunSettings) -> _Worker:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(driver, settings, there, here), daemon=True)
    with interrupts_held():
        process.start()
    there.close()
    return _Worker(process, here)


def _send(worker: _Worker) -> None:
    try:
        worker.connection.send(worker.task)
    except OSError:
        return  # the worker is dead: reading from it will say so


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _serve(driver: Driver, settings: RunSettings, connection: Connection, other_side: Connection) -> None:
    """Measure functions until the other side closes the connection, or its process is gone."""
    other_side.close()  # a copy held here would keep the connection open after the parent's death
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    measurer = Measurer(driver, settings)
    connection.send(measurer.bring_up)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(measurer.measure(task))
