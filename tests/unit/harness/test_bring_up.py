"""Bringing drivers up: DriverEntry, the roots that it registers, the state that later runs start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackemu.harness.bring_up import BringUp
from stackemu.harness.measure import Measurer
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import open_driver

DRIVERS = Path(__file__).parents[3] / "drivers"


@pytest.fixture(scope="module")
def stackzoo() -> BringUp:
    return Measurer(open_driver(DRIVERS / "stackzoo.sys"), RunSettings()).bring_up


def test_driver_entry_succeeds(stackzoo: BringUp) -> None:
    assert (stackzoo.outcome, stackzoo.status, stackzoo.why) == ("returned", 0, None)


def test_the_driver_objects_tables_become_roots(stackzoo: BringUp) -> None:
    roles = {root.role for root in stackzoo.roots}
    assert {"IRP_MJ_CREATE", "IRP_MJ_CLOSE", "IRP_MJ_DEVICE_CONTROL", "DriverUnload"} <= roles


def test_nothing_runs_before_the_functions_when_that_is_not_wanted() -> None:
    measurer = Measurer(open_driver(DRIVERS / "stackzoo.sys"), RunSettings(initialise=False))
    assert measurer.bring_up == BringUp.skipped(None)
