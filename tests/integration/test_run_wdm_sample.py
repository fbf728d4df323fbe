"""`stackemu run` on ioctl.sys: a driver of the Windows Driver Model comes alive and its own paths run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Survey = Callable[..., dict[str, Any]]

ROLES = {
    "DriverEntry": {"DriverEntry"},
    "IoctlUnload": {"DriverUnload"},
    "IoctlCreateClose": {"IRP_MJ_CREATE", "IRP_MJ_CLOSE"},
    "IoctlCleanup": {"IRP_MJ_CLEANUP"},
    "IoctlRead": {"IRP_MJ_READ"},
    "IoctlWrite": {"IRP_MJ_WRITE"},
    "IoctlDeviceControl": {"IRP_MJ_DEVICE_CONTROL"},
    "IoctlCancelRead": {"cancel routine"},
    "IoctlTimerDpc": {"DPC", "timer DPC"},
    "IoctlSaveStatistics": {"work item"},
}
"""What the kernel calls, read off DriverEntry, IoctlRead and IoctlDeviceControl in drivers/ioctl."""


@pytest.fixture(scope="module")
def measured(survey: Survey, ioctl: Path) -> dict[str, Any]:
    return survey(ioctl)


@pytest.fixture(scope="module")
def functions(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {function["name"]: function for function in measured["functions"]}


def test_driver_entry_succeeds(measured: dict[str, Any]) -> None:
    assert measured["initialisation"]["outcome"] == "returned"
    assert measured["initialisation"]["status"] == 0


def test_every_root_is_found_and_runs_in_its_roles(functions: dict[str, dict[str, Any]]) -> None:
    assert {name: {one["role"] for one in f["roles"]} for name, f in functions.items() if f["roles"]} == ROLES


def test_every_role_ends_by_returning(functions: dict[str, dict[str, Any]]) -> None:
    ended = {one["outcome"] for function in functions.values() for one in function["roles"]}
    assert ended == {"returned"}


def test_nearly_all_blocks_are_seen(functions: dict[str, dict[str, Any]]) -> None:
    blocks = [function["measured"] for function in functions.values()]
    assert sum(one["blocks_seen"] for one in blocks) >= 0.95 * sum(one["blocks"] for one in blocks)


def test_an_exception_on_user_memory_runs_the_filter_on_the_drivers_stack(
    functions: dict[str, dict[str, Any]],
) -> None:
    chain = [frame["function"] for frame in functions["IoctlNeither"]["measured"]["chain"]]
    assert chain[0] == "IoctlNeither"
    assert chain[-2:] == ["__except_handler3", "?filt$0@0@IoctlNeither@@"]


def test_the_deepest_control_code_is_the_one_with_a_copy_on_the_stack(functions: dict[str, dict[str, Any]]) -> None:
    chain = [frame["function"] for frame in functions["IoctlDeviceControl"]["measured"]["chain"]]
    assert chain[:2] == ["IoctlDeviceControl", "IoctlNeither"]
