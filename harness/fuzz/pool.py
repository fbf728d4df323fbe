"""Items of work handed to processes, here or on a cluster; whatever dies of one item loses nothing else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stackemu.emu.errors import StackemuError
from stackemu.harness.fuzz.local import LocalBackend
from stackemu.harness.fuzz.package import MissingPackageError, Package

PATIENCE = 120.0
"""Seconds after which an item that has not come back is taken for hung and given up."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Lost:
    """What comes back in place of an item's result when there will be none."""

    why: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A worker's answer that it does not have the package's contents: the item has to come with them."""


class Backend(Protocol):
    """What runs calls in other processes: `concurrent.futures` executors, and what these do not tell."""

    @property
    def deaths(self) -> tuple[type[BaseException], ...]:
        """The errors of a future whose process died."""

    @property
    def attempts(self) -> int:
        """How many processes have to die of an item before it is the item's fault."""

    def width(self) -> int:
        """Return how many calls can run at once; it changes as workers come and go."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a call made; not more than `width` are under way, or one where that is 0."""

    def give_up(self, future: Future[Any]) -> None:
        """End a call that takes too long, and what else is needed for others to run in its place."""

    def close(self) -> None:
        """End everything that runs."""


def local_pool(work: Callable[[Package, T], R | Missing], package: Package, jobs: int = 1) -> Pool[T, R]:
    """Return a pool of `jobs` processes of this machine."""
    return Pool(LocalBackend(jobs, preload=work.__module__), work, package)


def cluster_pool(work: Callable[[Package, T], R | Missing], package: Package, address: str) -> Pool[T, R]:
    """Return a pool of the workers of a Dask cluster; `address` is its scheduler's.

    Raises:
        UsageError: the cluster cannot be used from here, or not for this work.
        InputError: the cluster cannot be reached.
    """
    from stackemu.harness.fuzz.cluster import DaskBackend  # not needed, and slow to import, without a cluster

    return Pool(DaskBackend(address), work, package)


@dataclass(slots=True)
class _Errand(Generic[T]):
    """An item on its way: with or without the package's contents, and how many processes died of it."""

    item: T
    package: Package
    deaths: int = 0
    deadline: float = 0.0
    """When it is given up, on the clock of `time.monotonic`."""


class Pool(Generic[T, R]):
    """Runs `work(package, item)` for items in other processes; results come in the order they are ready.

    The package's contents go only where they are missing: every item is tried without them first.
    """

    def __init__(
        self,
        backend: Backend,
        work: Callable[[Package, T], R | Missing],
        package: Package,
        patience: float = PATIENCE,
    ) -> None:
        """`work` is a function of a module; an item that takes more than `patience` seconds is given up."""
        self._backend = backend
        self._work = work
        self._package = package
        self._bare = package.bare
        self._patience = patience
        self._waiting: deque[_Errand[T]] = deque()
        self._under_way: dict[Future[R | Missing | Lost], _Errand[T]] = {}
        self._finished: deque[tuple[T, R | Lost]] = deque()

    def __enter__(self) -> Pool[T, R]:
        """Return the pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs; what is under way is dropped."""
        self._backend.close()

    def width(self) -> int:
        """Return how many items should be under way to keep every worker busy."""
        return self._backend.width()

    def submit(self, item: T) -> None:
        """Have an item done."""
        self._waiting.append(_Errand(item, self._bare))
        self._send()

    def results(self, timeout: float | None = None) -> Iterator[tuple[T, R | Lost]]:
        """Yield each finished item with its result, once; wait up to `timeout` seconds for the first.

        Nothing is yielded when the time is over, or nothing is under way. Exceptions of `work` other than
        `StackemuError`, which makes the item a lost one, are raised here.
        """
        self._wait(None if timeout is None else time.monotonic() + timeout)
        while self._finished:
            yield self._finished.popleft()

    def _wait(self, end: float | None) -> None:
        """Return when an item is finished, when nothing is under way, or at `end`."""
        while not self._finished and self._under_way:
            deadlines = [errand.deadline for errand in self._under_way.values()]
            until = min(deadlines if end is None else [*deadlines, end])
            done, _ = wait(self._under_way, max(0.0, until - time.monotonic()), FIRST_COMPLETED)
            for future in done:
                self._settle(future, self._under_way.pop(future))
            self._give_up_late_ones()
            self._send()
            if end is not None and time.monotonic() >= end:
                return

    def _send(self) -> None:
        while self._waiting and len(self._under_way) < max(1, self._backend.width()):
            errand = self._waiting.popleft()
            errand.deadline = time.monotonic() + self._patience
            future = self._backend.submit(_attempt, self._work, errand.package, errand.item)
            self._under_way[future] = errand

    def _settle(self, future: Future[R | Missing | Lost], errand: _Errand[T]) -> None:
        try:
            answer = future.result()
        except self._backend.deaths as death:
            errand.deaths += 1
            if errand.deaths < self._backend.attempts:
                self._waiting.appendleft(errand)
                return
            answer = Lost(f"the process that ran it died ({type(death).__name__})")
        except CancelledError:
            answer = Lost("the connection to what ran it was lost")
        if not isinstance(answer, Missing):
            self._finished.append((errand.item, answer))
        elif errand.package is self._package:
            self._finished.append((errand.item, Lost("the worker could not use the driver that it was sent")))
        else:
            errand.package = self._package
            self._waiting.appendleft(errand)

    def _give_up_late_ones(self) -> None:
        now = time.monotonic()
        for future, errand in list(self._under_way.items()):
            if errand.deadline <= now and not future.done():
                del self._under_way[future]
                self._backend.give_up(future)
                self._finished.append((errand.item, Lost(f"there was no answer for {self._patience:.0f} s")))


def _attempt(work: Callable[[Package, T], R | Missing], package: Package, item: T) -> R | Missing | Lost:
    """Do an item in a worker. What it cannot do for a reason that it knows is its answer, not its end."""
    try:
        return work(package, item)
    except MissingPackageError:
        return Missing()
    except StackemuError as error:
        return Lost(str(error))
