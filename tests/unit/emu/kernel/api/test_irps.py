"""IRPs go down and come back up: dispatch routines, completion routines, cancel routines, and who owns what."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.call import USER_END, Bugcheck
from stackemu.emu.kernel.driver_roots import driver_object_roots
from stackemu.emu.kernel.objects import driver_object
from stackemu.emu.kernel.roots import Root

DISPATCH, COMPLETION, CANCEL, START_IO = 0xA5DE1100, 0xA5DE1200, 0xA5DE1300, 0xA5DE1400
STATUS_PENDING, MORE_PROCESSING_REQUIRED = 0x103, 0xC0000016
IRQL = 0xFFDFF024
READ, WRITE, DEVICE_CONTROL, PNP = 3, 4, 14, 27
ON_ALL = 0xE0


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _device(kernel: Any, name: str = "", extension: int = 0x40) -> int:
    """Return a device of the driver, made with a name or without."""
    out = kernel.text(bytes(4))
    driver = driver_object(kernel.context()).address
    assert kernel.call("IoCreateDevice", driver, extension, kernel.unicode(name), 0x22, 0x100, 0, out) == 0
    return _u32(kernel, out)


def _view(kernel: Any, structure: str, address: int) -> Any:
    return kernel.context().view(structure, address)


def _location(kernel: Any, irp: int) -> Any:
    return _view(kernel, "IO_STACK_LOCATION", _view(kernel, "IRP", irp)["Tail.Overlay.CurrentStackLocation"])


def _send(kernel: Any, irp: int, device: int, major: int = DEVICE_CONTROL, **options: Any) -> int:
    """Set the next stack location up as IoSetCompletionRoutine does, and send the IRP."""
    below = _location(kernel, irp).address - 36
    kernel.host.write(below, bytes((major, 0, 0, ON_ALL)))
    kernel.host.write(below + 28, struct.pack("<II", COMPLETION, 0x1234))
    return int(kernel.call("IofCallDriver", device, irp, **options))


def _foreign(kernel: Any) -> int:
    out = kernel.text(bytes(8))
    assert kernel.call("IoGetDeviceObjectPointer", kernel.unicode("\\Device\\Other"), 0, out, out + 4) == 0
    return _u32(kernel, out + 4)


def test_a_new_irp_has_its_stack_behind_it_and_nobody_has_it_yet(kernel: Any) -> None:
    irp = _view(kernel, "IRP", kernel.call("IoAllocateIrp", 3, 0))
    assert (irp["Type"], irp["Size"], irp["StackCount"], irp["CurrentLocation"]) == (6, 112 + 3 * 36, 3, 4)
    assert irp["Tail.Overlay.CurrentStackLocation"] == irp.address + 112 + 3 * 36
    assert kernel.call("IoAllocateIrp", 3, 0, source=kernel.FAILURE) == 0


def test_the_drivers_own_device_gets_the_irp_through_its_dispatch_routine(kernel: Any) -> None:
    device = _device(kernel)
    driver = driver_object(kernel.context())
    kernel.host.write(driver.at("MajorFunction") + 4 * DEVICE_CONTROL, struct.pack("<I", DISPATCH))
    kernel.host.code[DISPATCH] = lambda _device, irp: _location(kernel, irp)["DeviceObject"]
    irp = kernel.call("IoAllocateIrp", 2, 0)
    assert _send(kernel, irp, device) == device
    assert kernel.host.invoked == [(DISPATCH, (device, irp))]


@pytest.mark.parametrize(("succeeds", "is_error"), [(True, False), (False, True)])
def test_a_lower_driver_completes_at_once_and_the_completion_routine_sees_how(
    kernel: Any, succeeds: bool, is_error: bool
) -> None:
    device, seen = _foreign(kernel), []

    def completion(device: int, irp: int, context: int) -> int:
        seen.append((device, context, _view(kernel, "IRP", irp)["IoStatus.Status"]))
        return 0

    kernel.host.code[COMPLETION] = completion
    irp = kernel.call("IoAllocateIrp", 1, 0)
    status = _send(kernel, irp, device, source=kernel.SUCCESS if succeeds else kernel.FAILURE)
    assert seen == [(0, 0x1234, status)]
    assert (status >= 0xC0000000) == is_error


def test_a_completion_routine_that_wants_the_irp_back_stops_its_way_up(kernel: Any) -> None:
    kernel.host.code[COMPLETION] = lambda *_: MORE_PROCESSING_REQUIRED
    irp = kernel.call("IoAllocateIrp", 2, 0)
    view = _view(kernel, "IRP", irp)
    view["CurrentLocation"] -= 1  # as a driver in the middle of a stack has it
    view["Tail.Overlay.CurrentStackLocation"] -= 36
    _send(kernel, irp, _foreign(kernel))
    assert view["CurrentLocation"] == 2
    kernel.call("IofCompleteRequest", irp, 0)  # legal: it is the driver's again
    assert kernel.state.records.notes == {}


def test_completion_skips_routines_that_did_not_ask_for_the_outcome_and_passes_pending_on(kernel: Any) -> None:
    irp = kernel.call("IoAllocateIrp", 2, 0)
    view = _view(kernel, "IRP", irp)
    view["CurrentLocation"] -= 2
    view["Tail.Overlay.CurrentStackLocation"] -= 72
    location = _location(kernel, irp)
    location["Control"] = 0x80 | 1  # SL_INVOKE_ON_ERROR, SL_PENDING_RETURNED
    location["CompletionRoutine"] = COMPLETION
    kernel.call("IofCompleteRequest", irp, 0)
    assert kernel.host.invoked == []
    assert _view(kernel, "IO_STACK_LOCATION", location.address + 36)["Control"] == 1


def test_an_irp_without_a_location_left_and_one_completed_twice_stop_the_system(kernel: Any) -> None:
    irp = kernel.call("IoAllocateIrp", 1, 0)
    view = _view(kernel, "IRP", irp)
    view["CurrentLocation"] = 1
    with pytest.raises(Bugcheck) as bugcheck:
        kernel.call("IofCallDriver", _foreign(kernel), irp)
    assert bugcheck.value.code == 0x35
    kernel.call("IofCompleteRequest", irp, 0)
    with pytest.raises(Bugcheck) as bugcheck:
        kernel.call("IofCompleteRequest", irp, 0)
    assert bugcheck.value.code == 0x44


def test_a_built_control_request_carries_its_buffers_by_its_method_and_reports_to_its_caller(kernel: Any) -> None:
    device, data, event, block = _foreign(kernel), kernel.text(b"abcd"), kernel.text(bytes(16)), kernel.text(bytes(8))

    def build(code: int) -> Any:
        return _view(
            kernel,
            "IRP",
            kernel.call("IoBuildDeviceIoControlRequest", code, device, data, 4, data, 4, 0, event, block),
        )

    buffered = build(0x222000)
    assert kernel.host.read(buffered["AssociatedIrp.SystemBuffer"], 4) == b"abcd"
    direct = build(0x222002)
    assert _view(kernel, "MDL", direct["MdlAddress"])["ByteCount"] == 4
    neither = build(0x222003)
    assert (neither["UserBuffer"], neither["AssociatedIrp.SystemBuffer"]) == (data, 0)
    assert kernel.call("IofCallDriver", device, neither.address) == 0
    assert struct.unpack("<II", kernel.host.read(block, 8)) == (0, 4)
    assert _u32(kernel, event + 4) == 1


def test_cancelling_runs_the_cancel_routine_once_at_dispatch_level(kernel: Any) -> None:
    device, irp = _device(kernel), kernel.call("IoAllocateIrp", 1, 0)
    view, levels = _view(kernel, "IRP", irp), []
    view["CurrentLocation"] -= 1
    view["Tail.Overlay.CurrentStackLocation"] -= 36
    _location(kernel, irp)["DeviceObject"] = device
    view["CancelRoutine"] = CANCEL
    kernel.host.code[CANCEL] = lambda *_: levels.append(kernel.host.read(IRQL, 1)[0]) or 0
    assert [kernel.call("IoCancelIrp", irp) for _ in range(2)] == [1, 0]
    assert kernel.host.invoked == [(CANCEL, (device, irp))]
    assert (levels, view["Cancel"], view["CancelRoutine"]) == ([2], 1, 0)


def test_a_cancel_routine_set_in_memory_is_a_root(kernel: Any) -> None:
    irp = kernel.call("IoAllocateIrp", 1, 0)
    _view(kernel, "IRP", irp)["CancelRoutine"] = CANCEL
    kernel.call("IoReleaseCancelSpinLock", 0)
    assert [(root.address, root.role) for root in kernel.roots] == [(CANCEL, "cancel routine")]
    device, cancelled = kernel.arguments(kernel.roots[0]).stack
    assert _view(kernel, "DEVICE_OBJECT", device)["Type"] == 3
    assert cancelled == irp
    assert (_view(kernel, "IRP", irp)["Cancel"], _view(kernel, "IRP", irp)["CancelRoutine"]) == (1, 0)


def test_a_cancel_routine_whose_request_is_gone_is_given_another(kernel: Any) -> None:
    irp = kernel.call("IoAllocateIrp", 1, 0)
    _view(kernel, "IRP", irp)["CancelRoutine"] = CANCEL
    kernel.call("IoReleaseCancelSpinLock", 0)
    kernel.call("IoFreeIrp", irp)
    cancelled = kernel.arguments(kernel.roots[0]).stack[1]
    assert cancelled != irp
    assert _view(kernel, "IRP", cancelled)["Cancel"] == 1


def test_packets_wait_for_the_device_and_are_started_in_turn(kernel: Any) -> None:
    device = _device(kernel)
    driver_object(kernel.context())["DriverStartIo"] = START_IO
    first, second = (kernel.call("IoAllocateIrp", 1, 0) for _ in range(2))
    for irp in (first, second):
        kernel.call("IoStartPacket", device, irp, 0, 0)
    assert kernel.host.invoked == [(START_IO, (device, first))]
    kernel.call("IoStartNextPacket", device, 0)
    assert kernel.host.invoked[1:] == [(START_IO, (device, second))]
    kernel.call("IoStartNextPacket", device, 0)
    assert len(kernel.host.invoked) == 2
    assert _view(kernel, "DEVICE_OBJECT", device)["CurrentIrp"] == 0


def test_a_cancel_safe_queue_runs_on_the_drivers_callbacks_under_its_lock(kernel: Any) -> None:
    names = ("insert", "remove", "peek", "acquire", "release", "complete")
    callbacks = [0xA5DE1500 + 16 * index for index in range(6)]
    irp, queue, calls = kernel.call("IoAllocateIrp", 1, 0), kernel.text(bytes(32)), []
    view = _view(kernel, "IRP", irp)
    view["CurrentLocation"] -= 1
    view["Tail.Overlay.CurrentStackLocation"] -= 36
    for name, address in zip(names, callbacks, strict=True):
        kernel.host.code[address] = lambda *_, name=name: calls.append(name) or (irp if name == "peek" else 0)
    assert kernel.call("IoCsqInitialize", queue, *callbacks) == 0
    kernel.call("IoCsqInsertIrp", queue, irp, 0)
    assert calls == ["acquire", "insert", "release"]
    assert _location(kernel, irp)["Control"] == 1  # pending
    calls.clear()
    assert kernel.call("IoCsqRemoveNextIrp", queue, 0) == irp
    assert calls == ["acquire", "peek", "remove", "release"]
    assert [root.role for root in kernel.roots][:2] == ["CsqInsertIrp", "CsqRemoveIrp"]


# -- roles --


def test_the_driver_objects_tables_become_roots_with_their_roles(kernel: Any) -> None:
    device = _device(kernel)
    driver = driver_object(kernel.context())
    kernel.host.write(driver.at("MajorFunction") + 4 * READ, struct.pack("<I", DISPATCH))
    driver_object_roots(kernel.context())
    (root,) = kernel.roots
    assert root == Root(DISPATCH, "IRP_MJ_READ", "irp", (device, READ))
    given, irp = kernel.arguments(root).stack
    location = _location(kernel, irp)
    assert (given, location["MajorFunction"], location["DeviceObject"]) == (device, READ, device)
    assert _view(kernel, "FILE_OBJECT", location["FileObject"])["Type"] == 5


@pytest.mark.parametrize("flags", [0x4, 0x10, 0])
def test_a_read_is_described_as_the_devices_flags_ask(kernel: Any, flags: int) -> None:
    device = _device(kernel)
    _view(kernel, "DEVICE_OBJECT", device)["Flags"] = flags
    _, irp = kernel.arguments(Root(DISPATCH, "", "irp", (device, READ))).stack
    view, length = _view(kernel, "IRP", irp), _location(kernel, irp)["Parameters.Read.Length"]
    assert length == 0x100
    assert bool(view["AssociatedIrp.SystemBuffer"]) == (flags == 0x4)
    assert bool(view["MdlAddress"]) == (flags == 0x10)
    assert (0 < view["UserBuffer"] < USER_END) == (flags == 0)


@pytest.mark.parametrize("method", range(4))
def test_a_control_code_of_the_inputs_choice_gets_the_buffers_of_its_method(kernel: Any, method: int) -> None:
    root = Root(DISPATCH, "", "irp", (_device(kernel), DEVICE_CONTROL))
    kernel.state.keep()
    kernel.state.reset()
    _, first = kernel.arguments(root).stack
    cell = _location(kernel, first).at("Parameters.DeviceIoControl.IoControlCode")
    override = Override(Place.MEMORY, cell, 0x80002000 | method)
    kernel.state.reset()
    _, irp = kernel.arguments(root, Input(0, Style.ZEROS, True, (override,))).stack
    view, location = _view(kernel, "IRP", irp), _location(kernel, irp)
    assert location["Parameters.DeviceIoControl.IoControlCode"] == 0x80002000 | method
    assert bool(view["AssociatedIrp.SystemBuffer"]) == (method != 3)
    assert bool(view["MdlAddress"]) == (method in (1, 2))
    assert bool(location["Parameters.DeviceIoControl.Type3InputBuffer"]) == (method == 3)


def test_a_started_device_is_given_its_resources_in_kernel_mode(kernel: Any) -> None:
    _, irp = kernel.arguments(Root(DISPATCH, "", "irp", (_device(kernel), PNP))).stack
    view, location = _view(kernel, "IRP", irp), _location(kernel, irp)
    assert (location["MinorFunction"], view["RequestorMode"], view["IoStatus.Status"]) == (0, 0, 0xC00000BB)
    resources = location["Parameters.StartDevice.AllocatedResources"]
    assert _u32(kernel, resources) == 1


def test_an_irp_comes_back_to_the_location_of_who_sent_it(kernel: Any) -> None:
    device = _device(kernel)
    given, irp, context = kernel.arguments(Root(COMPLETION, "", "completion", (device, 0x55, READ))).stack
    assert (given, context) == (device, 0x55)
    assert _location(kernel, irp)["DeviceObject"] == device
    given, irp, _ = kernel.arguments(Root(COMPLETION, "", "completion", (0, 0x55, READ))).stack
    view = _view(kernel, "IRP", irp)
    assert (given, view["CurrentLocation"]) == (0, view["StackCount"] + 1)
