"""The host's own processor as an oracle: every function's deepest run, instruction by instruction.

The emulator is Unicorn's; the processor knows nothing of it. What they share is the run's memory and what the
emulated kernel answered.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackemu.harness.native.availability import why_not
from stackemu.harness.native.comparison import Comparison, Result
from stackemu.harness.replay import Replayer, open_witnessed
from stackemu.harness.witness import load_witness

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]

UNAVAILABLE = why_not()
pytestmark = pytest.mark.skipif(UNAVAILABLE is not None, reason=UNAVAILABLE or "")


def compared(stackemu: Stackemu, driver: Path, witnesses: Path, *options: str) -> Iterator[tuple[str, Comparison]]:
    """Measure a driver, and repeat the deepest run of each of its functions on the processor."""
    stackemu("run", driver, "--witnesses", witnesses, *options)
    known = [load_witness(path) for path in sorted(witnesses.iterdir())]
    first = known[0]
    replayer = Replayer(open_witnessed(first, None, None), first.seed, first.budget, first.initialise)
    for witness in known:
        assert replayer.replay(witness).is_same, witness.function
        yield witness.function, replayer.natively(witness)


def test_the_processor_agrees_on_the_samples(stackemu: Stackemu, sample: Path, tmp_path: Path) -> None:
    results = dict(compared(stackemu, sample, tmp_path / "witnesses"))
    counts = Counter(one.result for one in results.values())
    assert {name: one.why for name, one in results.items() if one.result is Result.DIFFERS} == {}
    assert counts[Result.AGREES] >= 0.95 * len(results)
    assert sum(one.instructions for one in results.values()) > 10 * len(results)


def test_the_processor_agrees_on_a_driver_of_msvcs(stackemu: Stackemu, windivert32: Path, tmp_path: Path) -> None:
    results = dict(compared(stackemu, windivert32, tmp_path / "witnesses", "--effort", "quick"))
    assert {name: one.why for name, one in results.items() if one.result is Result.DIFFERS} == {}
    assert sum(one.result is Result.AGREES for one in results.values()) >= 30


@pytest.fixture
def witness(stackemu: Stackemu, ioctl: Path, tmp_path: Path) -> Path:
    stackemu("run", ioctl, "--func", "IoctlKeep", "--effort", "quick", "--witnesses", tmp_path)
    (written,) = tmp_path.iterdir()
    return written


def test_a_witness_is_replayed_from_the_command_line(stackemu: Stackemu, witness: Path) -> None:
    done = stackemu("replay", witness, "--native", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    shown, known = json.loads(done.stdout), json.loads(witness.read_text())
    assert (shown["own"], shown["depth"], shown["same"]) == (known["own"], known["depth"], True)
    assert shown["native"]["result"] == "agrees"


def test_figures_that_have_changed_fail(stackemu: Stackemu, witness: Path) -> None:
    known = json.loads(witness.read_text())
    witness.write_text(json.dumps(known | {"depth": known["depth"] + 4}))
    done = stackemu("replay", witness)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"depth {known['depth'] + 4}, returned have become" in done.stderr


def test_another_image_is_refused(stackemu: Stackemu, witness: Path, stackzoo: Path) -> None:
    done = stackemu("replay", witness, "--driver", stackzoo)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the witness belongs to another image" in done.stderr


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"schema": "stackemu.witness/2"}', b"[" * 100_000])
def test_what_is_no_witness_is_refused(stackemu: Stackemu, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "witness.json"
    path.write_bytes(content)
    done = stackemu("replay", path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "not a witness" in done.stderr


def test_a_trace_tells_the_calls_with_the_stack_at_each(stackemu: Stackemu, witness: Path) -> None:
    done = stackemu("replay", witness, "--trace")
    assert (done.returncode, done.stderr) == (0, "")
    head, outer, *inner = done.stdout.splitlines()
    assert head == "begins  deepest  call"
    assert outer.split() == ["0", str(json.loads(witness.read_text())["depth"]), "IoctlKeep"]
    # control.c: the lock is taken, the bytes are copied, the lock is given back.
    assert [line.split()[2] for line in inner] == ["KfAcquireSpinLock", "_memcpy", "memcpy", "KfReleaseSpinLock"]


def test_the_history_of_esp_reaches_what_was_measured(stackemu: Stackemu, witness: Path, tmp_path: Path) -> None:
    target = tmp_path / "esp.csv"
    done = stackemu("replay", witness, "--trace=esp", "-o", target)
    assert (done.returncode, done.stdout) == (0, "")
    rows = [line.split(",") for line in target.read_text().splitlines()[1:]]
    # A call's own push is seen before the instruction that it leads to, which the kernel's stubs do not have.
    assert json.loads(witness.read_text())["depth"] - max(int(row[4]) for row in rows) in (0, 4)
