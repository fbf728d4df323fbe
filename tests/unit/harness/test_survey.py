"""A driver surveyed: static figures, runs and verdicts joined into one document."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from stackemu.harness import workers
from stackemu.harness.measure import Measurer
from stackemu.harness.results import ChainFrame, Measurement, from_json, to_json
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver
from stackemu.harness.static_survey import static_survey
from stackemu.harness.survey import run_survey

MakeDriver = Callable[..., Driver]
SETTINGS = RunSettings(inputs=2, explored=0, initialise=False)

# outer: push 4 and call 4, own 8; inner: two pushes, own 8, so that outer's depth is 16.
OUTER = """
50            push eax
e8<inner>     call
58            pop eax
c3            ret
"""
INNER = """
56            push esi
57            push edi
5f            pop edi
5e            pop esi
c3            ret
"""


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    return make_driver({"outer": OUTER, "inner": INNER})


@pytest.fixture
def document(driver: Driver) -> Measurement:
    return run_survey(driver, driver.functions, SETTINGS, lambda *_: None)


def test_figures_of_both_sides_and_their_verdict(document: Measurement) -> None:
    outer, inner = document.functions
    assert outer.measured is not None
    assert inner.measured is not None
    assert (outer.static.own, outer.measured.own, outer.measured.depth, outer.verdict) == (8, 8, 16, "exact")
    assert (inner.static.own, inner.measured.own, inner.measured.depth, inner.verdict) == (8, 8, 8, "exact")
    assert outer.measured.chain == (ChainFrame(function="outer", bytes=8), ChainFrame(function="inner", bytes=8))


def test_functions_keep_the_order_that_they_were_given_in(driver: Driver) -> None:
    document = run_survey(driver, driver.functions[::-1], SETTINGS, lambda *_: None)
    assert [one.name for one in document.functions] == ["inner", "outer"]


def test_only_the_functions_given_are_in_the_document(driver: Driver) -> None:
    document = run_survey(driver, driver.functions[:1], SETTINGS, lambda *_: None)
    assert [one.name for one in document.functions] == ["outer"]
    assert document.summary.functions == 1


def test_the_summary_counts(document: Measurement) -> None:
    summary = document.summary
    assert (summary.functions, summary.measured) == (2, 2)
    assert (summary.outcomes, summary.verdicts) == ({"returned": 2}, {"exact": 2})
    assert (summary.deepest, summary.deepest_bytes) == ("outer", 16)


def test_the_document_names_what_its_figures_depend_on(document: Measurement, driver: Driver) -> None:
    assert document.driver.sha256 == driver.image.sha256
    assert document.driver.base == driver.image.base
    assert (document.settings["seed"], document.settings["inputs"]) == (0, 2)


def test_the_document_survives_saving(document: Measurement) -> None:
    assert from_json(to_json(document)) == document


def test_progress_counts_up_to_the_total(driver: Driver) -> None:
    seen: list[tuple[int, int, str]] = []
    run_survey(driver, driver.functions, SETTINGS, lambda *step: seen.append(step))
    assert seen == [(1, 2, "outer"), (2, 2, "inner")]


def test_static_figures_are_those_of_a_static_survey(driver: Driver, document: Measurement) -> None:
    static = static_survey(driver, driver.functions)
    assert [one.static for one in static.functions] == [one.static for one in document.functions]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a worker must inherit the Measurer put in place here")
def test_a_function_whose_worker_died_keeps_its_static_figures(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Measurer):
        def measure(self, task: Task) -> FunctionRuns:
            if task.function.name == "inner":
                os._exit(1)
            return super().measure(task)

    monkeypatch.setattr(workers, "Measurer", Dying)
    outer, inner = run_survey(driver, driver.functions, SETTINGS, lambda *_: None).functions
    assert outer.verdict == "exact"
    assert (inner.measured, inner.static.own, inner.verdict) == (None, 8, "not-run")
    assert inner.why == "crashed: the emulator's process ended with exit code 1"
