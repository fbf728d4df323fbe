"""The command as a user runs it: a process of its own. And the drivers that it is run on."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stackemu.harness import cli

ROOT = Path(__file__).resolve().parents[2]
RUN_MAIN = "from stackemu.harness.cli import main; main()"

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]


class Ended(NamedTuple):
    """How a command ended that ran in this process."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]
Survey = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def command() -> Sequence[str]:
    """The words that start stackemu: the installed console script, else this interpreter's `main()`."""
    script = Path(sys.executable).with_name("stackemu")
    return [str(script)] if script.is_file() else [sys.executable, "-c", RUN_MAIN]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment without what would change the width or the colour of reports."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}


@pytest.fixture(scope="session")
def stackemu(command: Sequence[str], environment: dict[str, str]) -> Stackemu:
    """Run stackemu with arguments; returns the finished process with its text output."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    return run


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run `main()` in this process, for tests that need it hundreds of times; what it raises goes through."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["stackemu", *map(str, arguments)])
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def survey(stackemu: Stackemu) -> Survey:
    """Return the document of `run DRIVER --format json` with more options; each is run once a session."""

    @functools.cache
    def run(driver: Path, *options: str) -> dict[str, Any]:
        done = stackemu("run", driver, "--format", "json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    return run


def _of_pydivert(name: str) -> Path:
    # The package itself can only be imported on Windows; its files are enough.
    spec = importlib.util.find_spec("pydivert")
    path = Path(spec.origin if spec and spec.origin else "").parent / "windivert_dll" / name
    if not path.is_file():
        pytest.skip("needs the wheel pydivert 2.1.0 (pip install pydivert==2.1.0)")
    return path


@pytest.fixture(scope="session")
def windivert32() -> Path:
    """WinDivert32.sys 1.3: MSVC, KMDF and WFP, no symbols."""
    return _of_pydivert("WinDivert32.sys")


@pytest.fixture(scope="session")
def windivert64() -> Path:
    """The same driver for x64."""
    return _of_pydivert("WinDivert64.sys")


@pytest.fixture(scope="session")
def passthrough() -> Path:
    """drivers/passthrough.sys, a minifilter, with its private PDB beside it."""
    return ROOT / "drivers" / "passthrough.sys"


@pytest.fixture(scope="session")
def stackzoo() -> Path:
    """drivers/stackzoo.sys, one function for each way to use a stack, with its private PDB beside it."""
    return ROOT / "drivers" / "stackzoo.sys"


@pytest.fixture(scope="session")
def ioctl() -> Path:
    """drivers/ioctl.sys, a device of the Windows Driver Model, with its private PDB beside it."""
    return ROOT / "drivers" / "ioctl.sys"


@pytest.fixture(scope="session")
def echo() -> Path:
    """drivers/echo.sys, a driver of the Kernel-Mode Driver Framework, with its private PDB beside it."""
    return ROOT / "drivers" / "echo.sys"


@pytest.fixture(scope="session", params=["passthrough", "ioctl", "echo", "stackzoo"])
def sample(request: pytest.FixtureRequest) -> Path:
    """Each of the sample drivers in turn."""
    driver: Path = request.getfixturevalue(request.param)
    return driver
