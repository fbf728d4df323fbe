"""A worker process that dies costs the function it was measuring, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from stackemu.harness import workers
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import open_driver
from stackemu.harness.survey import run_survey


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize("jobs", [1, 2])
def test_only_the_function_that_killed_its_worker_is_lost(
    monkeypatch: pytest.MonkeyPatch, passthrough: Path, jobs: int
) -> None:
    class Dying(Measurer):
        def measure(self, task: Task) -> FunctionRuns:
            if task.function.name == "PtFormatTime":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().measure(task)

    monkeypatch.setattr(workers, "Measurer", Dying)
    driver = open_driver(passthrough)
    result = run_survey(driver, driver.functions, RunSettings(jobs=jobs, explored=0), lambda *_: None)
    lost = [one for one in result.functions if one.measured is None]
    assert [one.name for one in lost] == ["PtFormatTime"]
    assert lost[0].verdict == "not-run"
    assert "SIGKILL" in (lost[0].why or "")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_driver_that_cannot_be_brought_up_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, passthrough: Path
) -> None:
    class DyingEarly(Measurer):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            if self._settings.initialise:
                os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(workers, "Measurer", DyingEarly)
    driver = open_driver(passthrough)
    result = run_survey(driver, driver.functions, RunSettings(explored=0), lambda *_: None)
    assert result.initialisation is not None
    assert result.initialisation.outcome == "crashed"
    assert result.summary.measured == result.summary.functions
