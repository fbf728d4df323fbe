"""A worker that crashes, aborts, exits or hangs costs the function that it was running, and nothing else."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import active_children

import pytest

from stackemu.harness import workers
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver
from stackemu.harness.workers import WorkerPool

MakeDriver = Callable[..., Driver]
SETTINGS = RunSettings(inputs=1, explored=0, initialise=False)
NAMES = ("first", "second", "third", "fourth", "fifth")
PUSHES = {name: count for count, name in enumerate(NAMES)}

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a worker must inherit the Measurer that these tests put in place"
)


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    """Five functions that push 0, 1, 2, 3 and 4 words."""
    return make_driver(
        {
            name: "\n".join(["50  push eax"] * pushes + ["58  pop eax"] * pushes + ["c3  ret"])
            for name, pushes in PUSHES.items()
        }
    )


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    assert active_children() == []


def measure(driver: Driver, jobs: int = 1) -> dict[str, FunctionRuns]:
    """Return the runs of every function by name; a function that comes back twice fails the test."""
    settings = RunSettings(inputs=1, explored=0, initialise=False, jobs=jobs)
    results: dict[str, FunctionRuns] = {}
    with WorkerPool(driver, settings) as pool:
        for task, runs in pool.measure([Task(function) for function in driver.functions]):
            assert task.function.name not in results
            assert task.function.rva == runs.rva
            results[task.function.name] = runs
    return results


def die_of(number: signal.Signals) -> None:
    """End this process by a signal, as a fault in the emulator would."""
    faulthandler.disable()  # pytest's, which would write the stack of every worker into the report
    os.kill(os.getpid(), number)


def dying(monkeypatch: pytest.MonkeyPatch, name: str, die: Callable[[], object]) -> None:
    """Let workers do `die` instead of measuring the function `name`."""

    class Dying(Measurer):
        def measure(self, task: Task) -> FunctionRuns:
            if task.function.name == name:
                die()
            return super().measure(task)

    monkeypatch.setattr(workers, "Measurer", Dying)


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_function_comes_back_once_with_its_own_figures(driver: Driver, jobs: int) -> None:
    owns = {name: runs.own for name, runs in measure(driver, jobs).items()}
    assert owns == {name: 4 * pushes for name, pushes in PUSHES.items()}


def test_the_number_of_processes_changes_nothing(driver: Driver) -> None:
    assert measure(driver, 3) == measure(driver, 1)


def test_one_process_measures_in_the_order_given(driver: Driver) -> None:
    assert list(measure(driver)) == list(NAMES)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("victim", ["first", "third", "fifth"])
def test_a_signal_costs_one_function(
    monkeypatch: pytest.MonkeyPatch, driver: Driver, jobs: int, number: signal.Signals, victim: str
) -> None:
    dying(monkeypatch, victim, lambda: die_of(number))
    results = measure(driver, jobs)
    assert results.pop(victim) == FunctionRuns.lost(
        driver.functions[NAMES.index(victim)].rva, f"the emulator crashed ({number.name})"
    )
    assert {name: runs.own for name, runs in results.items()} == {
        name: 4 * pushes for name, pushes in PUSHES.items() if name != victim
    }


def test_an_exit_costs_one_function(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    dying(monkeypatch, "second", lambda: os._exit(7))
    results = measure(driver)
    assert results["second"].reason == "crashed: the emulator's process ended with exit code 7"
    assert sum(runs.best is not None for runs in results.values()) == len(NAMES) - 1


def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    dying(monkeypatch, "second", lambda: time.sleep(60))
    results = measure(driver)
    assert results["second"].best is None
    assert results["second"].reason.startswith("crashed: the emulator did not answer for ")
    assert sum(runs.best is not None for runs in results.values()) == len(NAMES) - 1


def test_every_worker_dying_ends_all_the_same(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    class AlwaysDying(Measurer):
        def measure(self, task: Task) -> FunctionRuns:
            die_of(signal.SIGSEGV)
            return super().measure(task)

    monkeypatch.setattr(workers, "Measurer", AlwaysDying)
    assert {runs.reason for runs in measure(driver, 2).values()} == {"crashed: the emulator crashed (SIGSEGV)"}


def test_workers_are_ended_when_the_caller_stops_early(driver: Driver) -> None:
    with WorkerPool(driver, SETTINGS) as pool:
        next(iter(pool.measure([Task(function) for function in driver.functions])))
        assert len(active_children()) == 1


def test_workers_are_ended_when_the_caller_fails(driver: Driver) -> None:
    with pytest.raises(KeyboardInterrupt), WorkerPool(driver, SETTINGS):
        raise KeyboardInterrupt


def test_workers_end_when_the_process_that_started_them_is_gone(driver: Driver) -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.setsid()
        # Killed outright: no `__exit__`, no `finally`.
        pool = WorkerPool(driver, RunSettings(inputs=1, explored=0, initialise=False, jobs=3))
        next(iter(pool.measure([Task(function) for function in driver.functions])))
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    os.waitpid(parent, 0)
    # The workers inherited the other end: nothing more to read means that the last of them is gone.
    ready, _, _ = select.select([reader], [], [], 30)
    os.close(reader)
    with suppress(ProcessLookupError):  # as it should be: nobody is left in the group
        os.killpg(parent, signal.SIGKILL)
    assert ready == [reader]


def test_no_functions_are_no_work(driver: Driver) -> None:
    with WorkerPool(driver, SETTINGS) as pool:
        assert list(pool.measure([])) == []
