"""Dispatch and completion routines: which device a request is for, and what a completion routine is told."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.objects import driver_object
from stackemu.emu.kernel.roots import Root
from stackemu.emu.memory import STACK_TOP

ROUTINE = 0xA5DE1100
READ, POWER, PNP = 3, 22, 27


def _word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def _device(kernel: Any) -> int:
    out = kernel.text(bytes(4))
    driver = driver_object(kernel.context()).address
    assert kernel.call("IoCreateDevice", driver, 0, 0, 0x22, 0, 0, out) == 0
    return _word(kernel, out)


def _devices_of(kernel: Any, preferred: int, major: int) -> set[int]:
    root = Root(ROUTINE, "dispatch", "irp", (preferred, major))
    return {kernel.arguments(root, Input(seed, Style.RANDOM, True)).stack[0] for seed in range(24)}


def test_power_and_plug_and_play_requests_go_to_devices_in_a_stack(kernel: Any) -> None:
    control, function = _device(kernel), _device(kernel)
    below = kernel.arguments(Root(ROUTINE, "AddDevice", "add-device")).stack[1]
    assert kernel.call("IoAttachDeviceToDeviceStack", function, below) == below
    for major in (POWER, PNP):
        assert _devices_of(kernel, control, major) == {function}
    assert _devices_of(kernel, control, READ) == {control, function}


def test_a_device_nobody_made_has_an_extension_and_a_device_below(kernel: Any) -> None:
    device, irp_address = kernel.arguments(Root(ROUTINE, "IRP_MJ_READ", "irp", (0, READ))).stack
    view = View(kernel.host, device, layout("DEVICE_OBJECT"))
    assert (view["Type"], view["StackSize"]) == (3, 2)
    assert len(kernel.host.read(view["DeviceExtension"], 0x1000)) == 0x1000
    irp = View(kernel.host, irp_address, layout("IRP"))
    assert (irp["StackCount"], irp["CurrentLocation"]) == (2, 2)


def test_the_disk_below_has_a_volume_parameter_block(kernel: Any) -> None:
    disk = kernel.arguments(Root(ROUTINE, "AddDevice", "add-device")).stack[1]
    volume = View(kernel.host, View(kernel.host, disk, layout("DEVICE_OBJECT"))["Vpb"], layout("VPB"))
    assert (volume["Type"], volume["Size"], volume["RealDevice"]) == (10, 88, disk)


def test_a_completion_routine_is_not_given_a_stack_that_is_gone(kernel: Any) -> None:
    local = STACK_TOP - 0x100
    root = Root(ROUTINE, "completion routine", "completion", (_device(kernel), local, READ))
    device, irp, context = kernel.arguments(root).stack
    assert device == root.context[0]
    assert kernel.host.read(irp, 2) == b"\6\0"
    assert context != local
    assert len(kernel.host.read(context, 0x40)) == 0x40


def test_a_driver_below_can_be_made_to_answer_with_pending(kernel: Any) -> None:
    foreign = kernel.arguments(Root(ROUTINE, "AddDevice", "add-device")).stack[1]
    irp = kernel.call("IoAllocateIrp", 1, 0)
    source = kernel.SUCCESS.with_override(Override(Place.RESULT, 8 * kernel.calls, 0x103))
    assert kernel.call("IofCallDriver", foreign, irp, source=source) == 0x103
