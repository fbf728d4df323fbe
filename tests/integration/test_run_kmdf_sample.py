"""`stackemu run` on echo.sys: a driver of the Kernel-Mode Driver Framework is bound, started and called back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Survey = Callable[..., dict[str, Any]]

ECHO = Path(__file__).resolve().parents[2] / "drivers" / "echo.sys"

ROLES = {
    "FxDriverEntry": {"DriverEntry"},
    "FxStubDriverUnload": {"DriverUnload"},
    "EchoEvtDriverUnload": {"EvtDriverUnload"},
    "EchoEvtDriverCleanup": {"EvtCleanupCallback"},
    "EchoEvtDeviceAdd": {"EvtDriverDeviceAdd"},
    "EchoEvtDeviceCleanup": {"EvtCleanupCallback"},
    "EchoEvtPrepareHardware": {"EvtDevicePrepareHardware"},
    "EchoEvtReleaseHardware": {"EvtDeviceReleaseHardware"},
    "EchoEvtStoreDestroy": {"EvtDestroyCallback"},
    "EchoEvtD0Entry": {"EvtDeviceD0Entry"},
    "EchoEvtD0Exit": {"EvtDeviceD0Exit"},
    "EchoEvtSelfManagedIoStart": {"EvtDeviceSelfManagedIoInit", "EvtDeviceSelfManagedIoRestart"},
    "EchoEvtSelfManagedIoSuspend": {"EvtDeviceSelfManagedIoSuspend"},
    "EchoEvtSelfManagedIoFlush": {"EvtDeviceSelfManagedIoFlush"},
    "EchoEvtSelfManagedIoCleanup": {"EvtDeviceSelfManagedIoCleanup"},
    "EchoEvtFileCreate": {"EvtDeviceFileCreate"},
    "EchoEvtFileCleanup": {"EvtFileCleanup"},
    "EchoEvtFileClose": {"EvtFileClose"},
    "EchoEvtIoRead": {"EvtIoRead"},
    "EchoEvtIoWrite": {"EvtIoWrite"},
    "EchoEvtIoDeviceControl": {"EvtIoDeviceControl"},
    "EchoEvtIoStop": {"EvtIoStop"},
    "EchoEvtIoCanceledOnQueue": {"EvtIoCanceledOnQueue"},
    "EchoEvtRequestCancel": {"EvtRequestCancel"},
    "EchoEvtTimer": {"EvtTimerFunc"},
    "EchoEvtDpc": {"EvtDpcFunc"},
    "EchoEvtWorkItem": {"EvtWorkItem"},
}
"""What the kernel and the framework call, read off the configurations that drivers/echo/*.c passes."""


def compiler_frames() -> dict[str, int]:
    """Return what clang says of each function's frame: lines of `file:line:column:_name@bytes`, size, kind."""
    lines = [line.split("\t") for line in ECHO.with_suffix(".su").read_text().splitlines()]
    return {place.rsplit(":", 1)[1].lstrip("\x01_").split("@")[0]: int(size) for place, size, _ in lines}


@pytest.fixture(scope="module")
def measured(survey: Survey) -> dict[str, Any]:
    return survey(ECHO)


@pytest.fixture(scope="module")
def functions(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {function["name"]: function for function in measured["functions"]}


def chain(function: dict[str, Any]) -> list[str]:
    return [frame["function"] for frame in function["measured"]["chain"]]


def test_driver_entry_succeeds(measured: dict[str, Any]) -> None:
    assert measured["initialisation"]["outcome"] == "returned"
    assert measured["initialisation"]["status"] == 0


def test_every_callback_is_found_and_runs_in_its_role(functions: dict[str, dict[str, Any]]) -> None:
    assert {name: {one["role"] for one in f["roles"]} for name, f in functions.items() if f["roles"]} == ROLES


def test_every_function_and_every_role_ends_by_returning(functions: dict[str, dict[str, Any]]) -> None:
    ended = {name: f["measured"]["outcome"] for name, f in functions.items()}
    assert ended == dict.fromkeys(functions, "returned")
    assert {one["outcome"] for f in functions.values() for one in f["roles"]} == {"returned"}


def test_every_verdict_is_exact(functions: dict[str, dict[str, Any]]) -> None:
    assert {name: f["verdict"] for name, f in functions.items()} == dict.fromkeys(functions, "exact")


def test_nearly_all_blocks_are_seen(functions: dict[str, dict[str, Any]]) -> None:
    blocks = [function["measured"] for function in functions.values()]
    assert sum(one["blocks_seen"] for one in blocks) >= 0.95 * sum(one["blocks"] for one in blocks)


def test_frames_are_those_that_the_compiler_says(functions: dict[str, dict[str, Any]]) -> None:
    assert {name: f["static"]["frame"] for name, f in functions.items()} == compiler_frames()


def test_binding_leads_from_the_stub_through_driver_entry(functions: dict[str, dict[str, Any]]) -> None:
    assert chain(functions["FxDriverEntry"]) == ["FxDriverEntry", "DriverEntry", "EchoReadDelay"]


def test_a_write_goes_deepest_through_its_copy_on_the_stack(functions: dict[str, dict[str, Any]]) -> None:
    assert chain(functions["EchoEvtIoWrite"]) == ["EchoEvtIoWrite", "EchoKeep"]
    assert functions["EchoKeep"]["measured"]["own"] > 2048


def test_a_control_code_is_found_behind_its_number(functions: dict[str, dict[str, Any]]) -> None:
    # IOCTL_ECHO_CHECKSUM needs 1 KiB for its table and four bytes of output.
    assert chain(functions["EchoEvtIoDeviceControl"])[:3] == [
        "EchoEvtIoDeviceControl",
        "EchoChecksumRequest",
        "EchoChecksum",
    ]


def test_deleting_an_object_runs_its_callback_on_the_drivers_stack(functions: dict[str, dict[str, Any]]) -> None:
    assert chain(functions["EchoEvtReleaseHardware"])[0] == "EchoEvtReleaseHardware"
    assert chain(functions["EchoEvtReleaseHardware"])[-1] == "EchoEvtStoreDestroy"
