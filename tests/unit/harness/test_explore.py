"""Exploration: code behind conditions that no fixed input meets is reached, and what stays closed is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackemu.emu.symbols.function import Function
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver, open_driver

STACKZOO = Path(__file__).parents[3] / "drivers" / "stackzoo.sys"


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(STACKZOO)


def _function(driver: Driver, name: str) -> Function:
    return next(function for function in driver.functions if function.name == name)


def _runs(driver: Driver, name: str, explored: int, *, explain: bool = False) -> FunctionRuns:
    settings = RunSettings(explored=explored, initialise=False)
    return Measurer(driver, settings).measure(Task(_function(driver, name), (), explain))


def test_a_path_behind_a_magic_number_is_found(driver: Driver) -> None:
    fixed = _runs(driver, "ZooHiddenDeepPath", 0)
    explored = _runs(driver, "ZooHiddenDeepPath", 400)
    assert explored.best is not None
    assert fixed.best is not None
    assert explored.best.depth > 3000 > fixed.best.depth


def test_the_witness_of_an_explored_run_names_what_differs(driver: Driver) -> None:
    assert "=" in (_runs(driver, "ZooHiddenDeepPath", 400).witness or "").split("apis=succeed")[-1]


def test_what_was_not_reached_is_named_with_what_it_waits_for(driver: Driver) -> None:
    branches = _runs(driver, "ZooHiddenDeepPath", 0, explain=True).open_branches
    assert branches
    assert any("being" in way for branch in branches for way in branch.waits_for)


def test_nothing_is_open_in_a_function_that_ran_completely(driver: Driver) -> None:
    assert _runs(driver, "ZooTailJump", 0, explain=True).open_branches == ()
