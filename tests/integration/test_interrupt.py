"""Ctrl-C, and other signals that end a long run: it ends at once and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

LONG = ("--inputs", "200000", "--jobs", "2", "--format", "json")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


@pytest.fixture
def process(
    command: Sequence[str], environment: dict[str, str], stackzoo: Path, target: Path
) -> Iterator[subprocess.Popen[str]]:
    """A run that would take hours, with its workers started, in a process group of its own."""
    with subprocess.Popen(
        [*command, "run", str(stackzoo), *LONG, "-o", str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # Whoever runs the tests in the background made SIGINT ignored, and the command would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as started:
        deadline = time.monotonic() + 30
        while len(_children(started.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield started
        with suppress(ProcessLookupError):  # as it should be: nobody is left in the group
            os.killpg(started.pid, signal.SIGKILL)


def test_ctrl_c_is_said_in_one_line(process: subprocess.Popen[str], target: Path) -> None:
    workers = _children(process.pid)
    # A terminal sends it to the whole group.
    os.killpg(process.pid, signal.SIGINT)
    # Workers hold the same pipes: nothing more to read means that they are gone.
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (130, "", "stackemu: interrupted\n")
    assert len(workers) == 2
    assert [pid for pid in workers if _is_alive(pid)] == []
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda it: str(it)
)
def test_a_signal_to_the_command_alone_ends_its_workers_too(
    process: subprocess.Popen[str], target: Path, number: signal.Signals, code: int
) -> None:
    target.write_text("an older result")
    workers = _children(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert [pid for pid in workers if _is_alive(pid)] == []
    assert [path.name for path in target.parent.iterdir()] == ["result.json"]
    assert target.read_text() == "an older result"


def _children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
