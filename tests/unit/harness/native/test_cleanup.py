"""A native process ends with its context, whatever ends that, and is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from stackemu.harness.native.errors import NativeError
from stackemu.harness.native.process import NativeProcess


def assert_gone(pid: int) -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_leaving_the_context_ends_it(native_host):
    with NativeProcess() as process:
        pid = process.pid

    assert_gone(pid)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_ends_it(native_host, error):
    process = NativeProcess()
    pid = process.pid

    def fail() -> None:
        with process:
            raise error

    with pytest.raises(error):
        fail()
    assert_gone(pid)


def test_an_interrupt_in_the_middle_of_a_run_ends_it(bench):
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def run() -> None:
        with process:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            process.run_steps(10**9)

    process = bench.prepare("eb fe | jmp 0x80010000")
    pid = process.pid
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        signal.signal(signal.SIGALRM, before)

    assert_gone(pid)


def test_a_failed_start_leaves_nothing(native_host, monkeypatch):
    started = []
    spawn = os.posix_spawn
    monkeypatch.setattr(os, "posix_spawn", lambda *args, **more: started.append(spawn(*args, **more)) or started[-1])

    with pytest.raises(OverflowError):
        NativeProcess(cpu_seconds=1 << 70)

    assert len(started) == 1
    assert_gone(started[0])


def test_closing_twice_is_harmless_and_use_after_it_is_told(native_host):
    process = NativeProcess()
    process.close()
    process.close()

    for use in (
        lambda: process.map(0x10000, 0x1000),
        lambda: process.read(0x10000, 1),
        lambda: process.write(0x10000, b"a"),
        lambda: process.registers,
        lambda: process.step(),
    ):
        with pytest.raises(NativeError, match="closed"):
            use()


def test_closing_after_the_process_was_waited_for_is_harmless(native_host):
    with NativeProcess() as process:
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)


def test_it_ends_with_a_program_that_is_killed(native_host):
    program = (
        "import os, signal\n"
        "from stackemu.harness.native.process import NativeProcess\n"
        "print(NativeProcess().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    pid = int(ended.stdout)
    assert ended.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(pid)


def runs(pid: int) -> bool:
    """Return whether the process exists and is not merely waiting to be collected by the host's init."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
