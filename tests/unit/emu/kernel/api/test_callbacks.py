"""Callback objects, bugcheck callbacks and registry callbacks."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.inputs import Input, Override, Place, Style

ROUTINE, OTHER = 0xA5DE1100, 0xA5DE1200
HIGH_LEVEL = 31


def _object(kernel: Any, name: str) -> int:
    attributes = kernel.text(struct.pack("<IIIIII", 24, 0, kernel.unicode(name), 0x40, 0, 0))
    out = kernel.text(bytes(4))
    assert kernel.call("ExCreateCallback", out, attributes, 1, 1) == 0
    return int(struct.unpack("<I", kernel.host.read(out, 4))[0])


def test_one_name_is_one_object(kernel: Any) -> None:
    assert _object(kernel, "\\Callback\\Sample") == _object(kernel, "\\callback\\sample")
    assert _object(kernel, "\\Callback\\Other") != _object(kernel, "\\Callback\\Sample")


def test_notifying_calls_everyone_registered_in_order(kernel: Any) -> None:
    owner = _object(kernel, "\\Callback\\Sample")
    first = kernel.call("ExRegisterCallback", owner, ROUTINE, 1)
    kernel.call("ExRegisterCallback", owner, OTHER, 2)
    kernel.call("ExNotifyCallback", owner, 8, 9)
    kernel.call("ExUnregisterCallback", first)
    kernel.call("ExNotifyCallback", owner, 8, 9)
    assert kernel.host.invoked == [(ROUTINE, (1, 8, 9)), (OTHER, (2, 8, 9)), (OTHER, (2, 8, 9))]


def test_a_power_state_callback_is_told_a_known_event(kernel: Any) -> None:
    kernel.call("ExRegisterCallback", _object(kernel, "\\Callback\\PowerState"), ROUTINE, 7)
    (root,) = kernel.roots
    assert root.role == "callback \\Callback\\PowerState"
    context, event, argument = kernel.arguments(root).stack
    assert context == 7
    assert event in (1, 2, 3)
    assert argument in (0, 1)


def test_a_bugcheck_callback_is_registered_once_and_runs_at_high_level(kernel: Any) -> None:
    record = kernel.text(bytes(32))
    arguments = (record, ROUTINE, 0x86000100, 64, 0)
    assert [kernel.call("KeRegisterBugCheckCallback", *arguments) for _ in range(2)] == [1, 0]
    assert kernel.arguments(kernel.roots[0]).stack == (0x86000100, 64)
    assert kernel.host.read(0xFFDFF024, 1) == bytes((HIGH_LEVEL,))
    assert [kernel.call("KeDeregisterBugCheckCallback", record) for _ in range(2)] == [1, 0]


def test_a_secondary_dump_callback_is_given_a_buffer_with_its_size(kernel: Any) -> None:
    record = kernel.text(bytes(28))
    kernel.call("KeRegisterBugCheckReasonCallback", record, ROUTINE, 2, 0)
    reason, given, data, size = kernel.arguments(kernel.roots[0]).stack
    assert (reason, given, size) == (2, record, 36)  # sizeof(KBUGCHECK_SECONDARY_DUMP_DATA)
    buffer, length, maximum = struct.unpack("<III", kernel.host.read(data, 12))
    assert buffer
    assert 0 < length <= maximum


def _registry_call(kernel: Any, kind: int) -> tuple[int, ...]:
    """Return the words of the structure that a registry callback is told of this class with."""
    source = Input(0, Style.ZEROS, True, (Override(Place.RESULT, kernel.calls * 8, kind),))
    _, told, address = kernel.arguments(kernel.roots[0], source).stack
    assert told == kind
    return struct.unpack("<19I", kernel.host.read(address, 76))


def _string(kernel: Any, address: int) -> str:
    length, _, buffer = struct.unpack("<HHI", kernel.host.read(address, 8))
    return str(kernel.host.read(buffer, length).decode("utf-16-le"))


def test_registry_callbacks_are_unregistered_by_the_cookie_they_got(kernel: Any) -> None:
    cookie = kernel.text(bytes(8))
    kernel.call("CmRegisterCallbackEx", ROUTINE, 0, 0, 0x33, cookie, 0)
    low, high = struct.unpack("<II", kernel.host.read(cookie, 8))
    assert kernel.call("CmUnRegisterCallback", low, high) == 0
    assert kernel.call("CmUnRegisterCallback", low, high) == 0xC000000D
    assert kernel.arguments(kernel.roots[0]).stack[0] == 0x33


def test_setting_a_value_tells_its_name_and_data(kernel: Any) -> None:
    kernel.call("CmRegisterCallback", ROUTINE, 0, kernel.text(bytes(8)))
    _, name, _, kind, data, size, *_ = _registry_call(kernel, 1)  # RegNtPreSetValueKey
    assert _string(kernel, name) == "Start"
    assert kind == 1  # REG_SZ
    assert kernel.host.read(data, size).decode("utf-16-le").endswith("\0")


def test_creating_a_key_tells_its_name_and_version(kernel: Any) -> None:
    kernel.call("CmRegisterCallback", ROUTINE, 0, kernel.text(bytes(8)))
    words = _registry_call(kernel, 26)  # RegNtPreCreateKeyEx: REG_CREATE_KEY_INFORMATION_V1
    assert _string(kernel, words[0]).startswith("\\REGISTRY\\")
    assert words[14] == 1


def test_after_an_operation_its_own_structure_is_told_again(kernel: Any) -> None:
    kernel.call("CmRegisterCallback", ROUTINE, 0, kernel.text(bytes(8)))
    key, status, before, *_ = _registry_call(kernel, 16)  # RegNtPostSetValueKey
    assert status == 0
    assert struct.unpack("<I", kernel.host.read(before, 4)) == (key,)
