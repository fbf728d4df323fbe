"""Every item comes back once: with its result, or with why there is none; whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pool_work
import pytest

from stackemu.harness.fuzz.local import LocalBackend
from stackemu.harness.fuzz.package import Package
from stackemu.harness.fuzz.pool import Lost, Pool, local_pool

PACKAGE = Package("d1635t", b"MZ" * 500, "made.sys", None, None)
FATAL = [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL]


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert active_children() == []


def drain(pool: Pool[Any, Any], items: Sequence[Any]) -> dict[Any, Any]:
    """Submit all items and return what came back for each; one that comes back twice fails the test."""
    for item in items:
        pool.submit(item)
    answers: dict[Any, Any] = {}
    while len(answers) < len(items):
        for item, answer in pool.results():
            assert item not in answers
            answers[item] = answer
    assert list(pool.results()) == []
    return answers


def values(answers: dict[Any, Any]) -> dict[Any, int | None]:
    return {item: None if isinstance(answer, Lost) else answer.value for item, answer in answers.items()}


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_comes_back_once_with_its_own_result(jobs: int) -> None:
    with local_pool(pool_work.double, PACKAGE, jobs) as pool:
        assert pool.width() == jobs
        answers = drain(pool, range(20))
    assert values(answers) == {number: 2 * number for number in range(20)}
    pids = {answer.pid for answer in answers.values()}
    assert os.getpid() not in pids
    assert len(pids) <= jobs


def test_as_many_processes_as_jobs_work_at_once(tmp_path: Path) -> None:
    with local_pool(pool_work.announce, PACKAGE, 2) as pool:
        for _ in range(3):
            pool.submit(str(tmp_path))
        while len(list(tmp_path.glob("begun-*"))) < 2:
            assert list(pool.results(0.01)) == []
        (tmp_path / "go").touch()
        pids = {next(pool.results())[1].pid for _ in range(3)}
    assert len(pids) == 2


def test_without_work_there_are_no_results_to_wait_for() -> None:
    with local_pool(pool_work.double, PACKAGE) as pool:
        assert list(pool.results()) == []


def test_results_that_were_not_taken_come_the_next_time() -> None:
    with local_pool(pool_work.double, PACKAGE) as pool:
        pool.submit(1)
        pool.submit(2)
        first = next(pool.results())
        second = next(pool.results())
    assert sorted([first[0], second[0]]) == [1, 2]


def test_items_can_be_submitted_while_results_are_read() -> None:
    seen = []
    with local_pool(pool_work.double, PACKAGE) as pool:
        pool.submit(1)
        while len(seen) < 5:
            for _, answer in pool.results():
                seen.append(answer.value)
                pool.submit(answer.value)
    assert seen == [2, 4, 8, 16, 32]


class TestContents:
    @pytest.mark.parametrize("name", ["measure", "raise_missing"])
    def test_they_are_sent_once_to_a_process(self, name: str) -> None:
        with local_pool(getattr(pool_work, name), PACKAGE) as pool:
            answers = drain(pool, range(10))
        assert values(answers) == {number: 1000 + number for number in range(10)}
        assert sum(answer.had_contents for answer in answers.values()) == 1

    def test_they_are_not_sent_where_they_are_not_missing(self) -> None:
        with local_pool(pool_work.double, PACKAGE) as pool:
            assert not any(answer.had_contents for answer in drain(pool, range(3)).values())

    def test_a_worker_that_misses_them_all_the_same_loses_the_item(self) -> None:
        with local_pool(pool_work.never_there, PACKAGE) as pool:
            assert drain(pool, [1]) == {1: Lost("the worker could not use the driver that it was sent")}


class TestDeaths:
    @pytest.mark.parametrize("jobs", [1, 2])
    @pytest.mark.parametrize("number", FATAL, ids=lambda number: number.name)
    def test_only_the_item_that_kills_a_process_is_lost(self, number: int, jobs: int) -> None:
        with local_pool(pool_work.die_of_negatives, PACKAGE, jobs) as pool:
            answers = drain(pool, [1, 2, -number, 3, 4])
        assert values(answers) == {1: 2, 2: 4, -number: None, 3: 6, 4: 8}
        assert "died" in answers[-number].why

    def test_an_exit_is_a_death(self) -> None:
        with local_pool(pool_work.exit_at_zero, PACKAGE) as pool:
            assert values(drain(pool, [0, 1])) == {0: None, 1: 2}

    def test_a_process_killed_from_outside_loses_nothing(self, tmp_path: Path) -> None:
        once = tmp_path / "once"
        once.touch()
        with local_pool(pool_work.die_once, PACKAGE) as pool:
            assert values(drain(pool, [str(once)])) == {str(once): 2}
        assert not once.exists()

    def test_all_items_killing_ends_all_the_same(self) -> None:
        killers = [-number for number in FATAL]
        with local_pool(pool_work.die_of_negatives, PACKAGE, 2) as pool:
            assert values(drain(pool, killers)) == dict.fromkeys(killers)

    def test_an_item_that_hangs_is_given_up(self) -> None:
        with local_pool(pool_work.double, PACKAGE) as warm:  # the server that forks workers takes its time to start
            drain(warm, [1])
        with Pool(LocalBackend(1), pool_work.hang_at_zero, PACKAGE, patience=3) as pool:
            answers = drain(pool, [0, 1])
        assert answers[0] == Lost("there was no answer for 3 s")
        assert answers[1].value == 2

    def test_what_still_runs_at_the_end_is_killed(self, tmp_path: Path) -> None:
        with local_pool(pool_work.announce, PACKAGE) as pool:
            pool.submit(str(tmp_path))
            while not list(tmp_path.iterdir()):
                assert list(pool.results(0.01)) == []
        # That the process is gone is what `_no_process_is_left` sees.


class TestRefusals:
    def test_an_input_that_a_worker_cannot_use_is_lost_with_its_reason(self) -> None:
        with local_pool(pool_work.refuse, PACKAGE) as pool:
            assert drain(pool, [5]) == {5: Lost("driver.sys: no 5")}

    def test_a_mistake_in_the_work_is_raised(self) -> None:
        with local_pool(pool_work.fail, PACKAGE) as pool:
            pool.submit(1)
            with pytest.raises(ZeroDivisionError):
                list(pool.results())


OWNER = """
import os, sys, time
import pool_work
from stackemu.harness.fuzz.package import Package
from stackemu.harness.fuzz.pool import local_pool

if __name__ == "__main__":
    with local_pool(pool_work.announce, Package("digest", b"", "made.sys", None, None), 2) as pool:
        for _ in range(2):
            pool.submit(sys.argv[1])
        try:
            while True:
                list(pool.results(1))
        except KeyboardInterrupt:
            os.write(1, b"interrupted")
"""


class TestOwner:
    """The process that has the pool, with two of its workers at work."""

    @pytest.fixture
    def owner(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        (tmp_path / "begun").mkdir()
        script = tmp_path / "owner.py"
        script.write_text(OWNER)
        paths = os.pathsep.join(filter(None, sys.path))
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "begun")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,
            # Whoever runs the tests in the background made SIGINT ignored, and the process would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            while len(list((tmp_path / "begun").iterdir())) < 2:
                assert process.poll() is None
                time.sleep(0.01)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def test_its_workers_end_when_it_is_killed(self, owner: subprocess.Popen[str]) -> None:
        owner.kill()
        # Its workers hold the other ends: that there is nothing more to read means that the last is gone.
        # What stands on the standard error by then is Python's tracker removing the semaphores left behind.
        assert owner.communicate(timeout=30)[0] == ""

    def test_an_interrupt_reaches_it_alone(self, owner: subprocess.Popen[str]) -> None:
        os.killpg(owner.pid, signal.SIGINT)  # as Ctrl-C does
        assert owner.communicate(timeout=30) == ("interrupted", "")
        assert owner.returncode == 0


class Recorded(LocalBackend):
    """A backend that says how wide it is, and notes how many calls were under way at most."""

    def __init__(self, width: int) -> None:
        super().__init__(4)
        self.announced = width
        self.calls: list[Future[Any]] = []
        self.most = 0

    def width(self) -> int:
        return self.announced

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.calls.append(super().submit(function, *arguments))
        self.most = max(self.most, sum(not call.done() for call in self.calls))
        return self.calls[-1]


@pytest.mark.parametrize(("width", "most"), [(0, 1), (1, 1), (2, 2)])
def test_no_more_items_are_handed_out_than_there_is_room_for(width: int, most: int) -> None:
    backend = Recorded(width)
    with Pool(backend, pool_work.double, PACKAGE) as pool:
        assert len(drain(pool, range(6))) == 6
    assert 1 <= backend.most <= most
