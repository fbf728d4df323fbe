"""Processes of this machine, one executor each, so that what dies takes one item with it and is known."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import Any

from stackemu.harness.interrupts import interrupts_held

_CONTEXT = multiprocessing.get_context("forkserver")
"""Not fork: executors and the live view have threads, whose locks a fork would copy as they are. And not spawn:
that would import everything again, about a second for each process."""


@dataclass(slots=True)
class _Lane:
    """An executor of one process, and the last call that it was given."""

    executor: ProcessPoolExecutor
    pid: Future[int]
    call: Future[Any] | None = None

    @property
    def is_idle(self) -> bool:
        return self.call is None or self.call.done()

    def end(self) -> None:
        """Kill the process, whatever it does, and wait until it is gone."""
        with suppress(BrokenExecutor, ProcessLookupError):
            os.kill(self.pid.result(), signal.SIGKILL)
        self.executor.shutdown(wait=True, cancel_futures=True)


class LocalBackend:
    """Up to `jobs` processes; they start when there is work for them and end when this process does."""

    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)
    attempts = 2
    """One death may come from outside, such as from the system when memory is short."""

    def __init__(self, jobs: int, preload: str | None = None) -> None:
        """`preload` names the module that every process will need: it is imported once for all."""
        self._jobs = max(1, jobs)
        self._lanes: list[_Lane] = []
        _CONTEXT.set_forkserver_preload(["__main__", preload] if preload else ["__main__"])
        resource_tracker.ensure_running()  # outside: it lets interrupts through again when it has started
        with interrupts_held():
            forkserver.ensure_running()  # all processes inherit that they are held

    def width(self) -> int:
        """Return the number of processes."""
        return self._jobs

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a call made by an idle process; there is one while fewer than `width` calls are under way."""
        lane = next((lane for lane in self._lanes if lane.is_idle), None) or self._new_lane()
        try:
            lane.call = lane.executor.submit(function, *arguments)
        except BrokenExecutor:
            self._drop(lane)
            lane = self._new_lane()
            lane.call = lane.executor.submit(function, *arguments)
        return lane.call

    def give_up(self, future: Future[Any]) -> None:
        """Kill the process that makes the call."""
        for lane in [lane for lane in self._lanes if lane.call is future]:
            self._drop(lane)

    def close(self) -> None:
        """Kill all processes."""
        for lane in list(self._lanes):
            self._drop(lane)

    def _new_lane(self) -> _Lane:
        executor = ProcessPoolExecutor(1, mp_context=_CONTEXT, initializer=_begin)
        lane = _Lane(executor, executor.submit(os.getpid))
        self._lanes.append(lane)
        return lane

    def _drop(self, lane: _Lane) -> None:
        self._lanes.remove(lane)
        lane.end()


def _begin() -> None:
    """Prepare a worker: Ctrl-C is for the process that started it, and whose end is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's death; an executor's worker would wait for calls for ever after that."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
