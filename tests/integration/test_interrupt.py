"""Ctrl-C during a long run: it ends at once, says so in one line, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupted_run_leaves_no_file_and_no_process(
    command: Sequence[str], environment: dict[str, str], stackzoo: Path, tmp_path: Path
) -> None:
    target = tmp_path / "result.json"
    process = subprocess.Popen(
        [*command, "run", str(stackzoo), "--inputs", "1000000", "--jobs", "2", "--format", "json", "-o", str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # Whoever runs the tests in the background made SIGINT ignored, and the command would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 30
    while len(_children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = _children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "stackemu: interrupted"
    assert "Traceback" not in errors
    assert not target.exists()
    assert list(tmp_path.iterdir()) == []
    assert len(workers) == 2
    assert [pid for pid in workers if _is_alive(pid)] == []


def _children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
