"""Power management: what PoRequestPowerIrp and its kin promise."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.kernel.layouts import View, layout

ROUTINE, CONTEXT = 0xA5DE1100, 0x1234
PENDING = 0x103
SET_POWER, D0, D3 = 2, 1, 4


def _word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def _device(kernel: Any) -> int:
    out = kernel.text(bytes(4))
    driver = kernel.context().new("DRIVER_OBJECT").address
    assert kernel.call("IoCreateDevice", driver, 0, 0, 0x22, 0, 0, out) == 0
    return _word(kernel, out)


def test_a_power_irp_is_sent_later_and_its_end_reported(kernel: Any) -> None:
    device, out = _device(kernel), kernel.text(bytes(4))
    assert kernel.call("PoRequestPowerIrp", device, SET_POWER, D3, ROUTINE, CONTEXT, out) == PENDING
    irp = View(kernel.host, _word(kernel, out), layout("IRP"))
    assert irp["Type"] == 6
    given, minor, state, context, block = kernel.arguments(kernel.roots[0]).stack
    assert (given, minor, state, context) == (device, SET_POWER, D3, CONTEXT)
    assert _word(kernel, block) == 0


def test_only_power_irps_that_drivers_may_send_are_requested(kernel: Any) -> None:
    power_sequence = 1
    assert kernel.call("PoRequestPowerIrp", _device(kernel), power_sequence, D0, ROUTINE, 0, 0) == 0xC00000F0
    assert kernel.roots == []


def test_setting_a_state_returns_the_one_before(kernel: Any) -> None:
    states = [kernel.call("PoSetPowerState", 7, kind, state) for kind, state in ((1, D0), (1, D3), (0, 2), (1, D0))]
    assert states == [0, D0, 0, D3]


def test_a_setting_comes_with_its_guid_and_a_value(kernel: Any) -> None:
    guid = kernel.text(bytes(range(16)))
    assert kernel.call("PoRegisterPowerSettingCallback", 0, guid, ROUTINE, CONTEXT, 0) == 0
    setting, value, length, context = kernel.arguments(kernel.roots[0]).stack
    assert kernel.host.read(setting, 16) == bytes(range(16))
    assert (length, context) == (4, CONTEXT)
    assert len(kernel.host.read(value, length)) == length


def test_the_framework_calls_each_callback_with_its_arguments(kernel: Any) -> None:
    """PO_FX_DEVICE_V1: Version, ComponentCount, six callbacks, DeviceContext."""
    callbacks = [ROUTINE + 16 * index for index in range(6)]
    device, out = kernel.text(struct.pack("<9I", 1, 1, *callbacks, CONTEXT)), kernel.text(bytes(4))
    assert kernel.call("PoFxRegisterDevice", 0, device, out) == 0
    assert _word(kernel, out)
    assert [root.address for root in kernel.roots] == callbacks
    for root, count in zip(kernel.roots, (2, 2, 3, 1, 1, 7), strict=True):
        words = kernel.arguments(root).stack
        assert words[0] == CONTEXT
        assert len(words) >= count
    assert kernel.arguments(kernel.roots[0]).stack[1] == 0  # the only component
