"""A pool on a real Dask cluster: a scheduler and its workers, each a process, on the loopback interface."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pool_work
import pytest
from dask_cluster import PATHS, Cluster

from stackemu.emu.errors import InputError, UsageError
from stackemu.harness.fuzz import cluster
from stackemu.harness.fuzz.package import Package
from stackemu.harness.fuzz.pool import Pool, cluster_pool
from stackemu.harness.session import open_driver
from stackemu.harness.witness import load_witness

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]
PACKAGE = Package("d1635t", b"MZ" * 500, "made.sys", None, None)

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs distributed (pip install '.[cluster]')"
)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Cluster]:
    """What starts a cluster of two workers, or another; it ends with the test."""
    running = Cluster(tmp_path)
    try:
        yield running
    finally:
        running.end()


def wait_for_workers(pool: Pool[Any, Any], count: int) -> None:
    while pool.width() != count:
        time.sleep(0.05)


def drain(pool: Pool[Any, Any], items: Sequence[Any]) -> list[tuple[Any, Any]]:
    for item in items:
        pool.submit(item)
    answers: list[tuple[Any, Any]] = []
    while len(answers) < len(items):
        answers += pool.results()
    return answers


@needs_dask
def test_a_driver_is_opened_where_it_was_never_seen(dask: Cluster, ioctl: Path) -> None:
    driver = open_driver(ioctl)
    with cluster_pool(pool_work.count_functions, Package.of(driver), dask.start()) as pool:
        wait_for_workers(pool, 2)
        answers = drain(pool, range(12))
    assert {item: answer.value for item, answer in answers} == {n: len(driver.functions) + n for n in range(12)}
    by_worker = {answer.pid for _, answer in answers}
    assert by_worker <= {worker.pid for worker in dask.workers}
    assert {answer.pid for _, answer in answers if answer.had_contents} == by_worker


@needs_dask
def test_a_worker_that_is_killed_loses_no_item(dask: Cluster, tmp_path: Path) -> None:
    signals = tmp_path / "signals"
    signals.mkdir()
    with cluster_pool(pool_work.announce, PACKAGE, dask.start()) as pool:
        wait_for_workers(pool, 2)
        for _ in range(5):
            pool.submit(str(signals))
        while len(list(signals.iterdir())) < 2:  # both are at work
            assert list(pool.results(0.01)) == []
        killed, survivor = dask.workers
        killed.send_signal(signal.SIGKILL)
        (signals / "go").touch()
        answers = [next(pool.results()) for _ in range(5)]
        wait_for_workers(pool, 1)
    assert [answer.value for _, answer in answers] == [42] * 5
    assert survivor.pid in {answer.pid for _, answer in answers}


@needs_dask
def test_an_item_that_kills_its_workers_is_lost_alone(dask: Cluster) -> None:
    address = dask.start(settings={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"})
    with cluster_pool(pool_work.die_of_negatives, PACKAGE, address) as pool:
        wait_for_workers(pool, 2)
        answers = dict(drain(pool, [1, -signal.SIGSEGV, 2]))
    assert "KilledWorker" in answers.pop(-signal.SIGSEGV).why
    assert {item: answer.value for item, answer in answers.items()} == {1: 2, 2: 4}


@needs_dask
def test_workers_of_several_threads_are_refused(dask: Cluster) -> None:
    address = dask.start(threads=[2])
    with pytest.raises(UsageError, match="runs 2 threads; start workers with --nthreads 1"):
        cluster_pool(pool_work.double, PACKAGE, address)


@needs_dask
def test_workers_of_another_release_are_refused(dask: Cluster, tmp_path: Path) -> None:
    described = tmp_path / "stackemu-0.0.1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: stackemu\nVersion: 0.0.1\n")
    address = dask.start(threads=[1], worker_path=tmp_path)
    with pytest.raises(UsageError, match=r"runs stackemu 0\.0\.1 with .*; install stackemu .* there"):
        cluster_pool(pool_work.double, PACKAGE, address)


@needs_dask
def test_workers_without_stackemu_are_refused(dask: Cluster, tmp_path: Path) -> None:
    (tmp_path / "stackemu").mkdir()
    (tmp_path / "stackemu" / "__init__.py").touch()
    address = dask.start(threads=[1], worker_path=tmp_path)
    with pytest.raises(UsageError, match="runs no stackemu that can be used; install stackemu"):
        cluster_pool(pool_work.double, PACKAGE, address)


@needs_dask
def test_a_campaign_goes_on_when_one_of_its_workers_is_killed(
    dask: Cluster,
    stackemu: Stackemu,
    command: Sequence[str],
    environment: dict[str, str],
    stackzoo: Path,
    tmp_path: Path,
) -> None:
    corpus, address = tmp_path / "corpus", dask.start()
    functions = ("--func", "ZooHidden*", "--func", "ZooSwitch", "--func", "ZooSeveralExits")
    options = ("--cluster", address, "--time", "6", "--corpus", str(corpus), "--format", "json")
    campaign = subprocess.Popen(
        [*command, "fuzz", str(stackzoo), *functions, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    while len(list((corpus / "witnesses").glob("*.json"))) < 3:
        assert campaign.poll() is None
        time.sleep(0.01)
    dask.workers[0].send_signal(signal.SIGKILL)
    known = {path.name: load_witness(path).depth for path in (corpus / "witnesses").glob("*.json")}
    output, errors = campaign.communicate(timeout=60)
    assert campaign.returncode == 0, errors
    kept = {path.name: load_witness(path).depth for path in (corpus / "witnesses").glob("*.json")}
    assert all(kept[name] >= depth for name, depth in known.items())
    assert json.loads(output)["functions"][0]["name"] == "ZooHiddenDeepPath"
    for path in (corpus / "witnesses").glob("*.json"):
        assert stackemu("replay", path).returncode == 0


OWNER = """
import sys
import pool_work
from stackemu.emu.errors import InputError
from stackemu.harness.fuzz import cluster
from stackemu.harness.fuzz.package import Package
from stackemu.harness.fuzz.pool import cluster_pool

cluster.CONNECT_TIMEOUT = 4.0
try:
    with cluster_pool(pool_work.double, Package("digest", b"", "made.sys", None, None), sys.argv[1]) as pool:
        while True:
            pool.submit(pool.width())
            print(len(list(pool.results())), flush=True)
except InputError as error:
    print(error)
"""


@needs_dask
def test_the_end_of_the_scheduler_is_told_in_one_line(dask: Cluster) -> None:
    address = dask.start(threads=[1])
    with cluster_pool(pool_work.double, PACKAGE, address):
        pass  # that it opened means that the worker is there
    command = [sys.executable, "-c", OWNER, address]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "1\n"
        assert dask.scheduler is not None
        dask.scheduler.kill()
        out, err = owner.communicate(timeout=60)
    assert "no Dask scheduler answers there" in out.splitlines()[-1]
    assert (owner.returncode, err) == (0, "")


@needs_dask
def test_a_scheduler_without_workers_is_refused(dask: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    address = dask.start(threads=[])
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 3.0)
    with pytest.raises(InputError, match="the scheduler has no workers"):
        cluster_pool(pool_work.double, PACKAGE, address)


@contextmanager
def silent_port() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as unused:  # bound, so that nobody else gets it, but it does not listen
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


@contextmanager
def no_address() -> Iterator[str]:
    yield "abc://nowhere"


@needs_dask
@pytest.mark.parametrize("place", [silent_port, closed_port, no_address])
def test_where_no_scheduler_is_one_line_says_so(monkeypatch: pytest.MonkeyPatch, place: Callable[[], Any]) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    with place() as address, pytest.raises(InputError, match="no Dask scheduler answers there") as raised:
        cluster_pool(pool_work.double, PACKAGE, address)
    assert str(raised.value).startswith(f"{address}: ")
    assert "\n" not in str(raised.value)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)  # what an import finds when it is not installed
    with pytest.raises(UsageError, match=r"install stackemu\[cluster\]"):
        cluster_pool(pool_work.double, PACKAGE, "127.0.0.1:8786")
