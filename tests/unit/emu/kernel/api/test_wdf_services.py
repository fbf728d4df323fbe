"""KMDF memory, collections, strings, locks, timers, interrupts, registry keys, resources, USB and WMI.

Structures are packed here from the WDF headers for a 32-bit build, descriptors from the USB 2.0 specification.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.api.wdf.functions import BEHAVIOURS, ROLES
from stackemu.emu.kernel.exports import kmdf_functions

CALLBACK = 0xA5DE1100
GLOBALS = 0
DEVICE = 0x84100000


def word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def created(kernel: Any, name: str, *arguments: int) -> int:
    """Return the handle that a creating function puts where its last argument points to."""
    out = kernel.text(bytes(4))
    assert kernel.call(name, GLOBALS, *arguments, out) == 0
    return word(kernel, out)


def test_every_behaviour_is_one_of_the_function_table_or_of_the_loader() -> None:
    known = {api.name for api in kmdf_functions()} | {
        f"WdfVersion{suffix}" for suffix in ("Bind", "Unbind", "BindClass", "UnbindClass")
    }
    assert set(BEHAVIOURS) <= known


def test_memory_is_copied_within_its_size_only(kernel: Any) -> None:
    out, buffer_out = kernel.text(bytes(4)), kernel.text(bytes(4))
    assert kernel.call("WdfMemoryCreate", GLOBALS, 0, 0, 0x20676154, 16, out, buffer_out) == 0
    memory, buffer = word(kernel, out), word(kernel, buffer_out)
    assert kernel.call("WdfMemoryCopyFromBuffer", GLOBALS, memory, 12, kernel.text(b"abcd"), 4) == 0
    assert kernel.host.read(buffer + 12, 4) == b"abcd"
    assert kernel.call("WdfMemoryCopyFromBuffer", GLOBALS, memory, 13, kernel.text(b"abcd"), 4) == 0xC0000206
    assert kernel.call("WdfMemoryCopyToBuffer", GLOBALS, memory, 13, out, 4) == 0xC0000023
    assert kernel.call("WdfMemoryGetBuffer", GLOBALS, memory, out) == buffer
    assert word(kernel, out) == 16


def test_a_collection_keeps_the_order_of_its_items(kernel: Any) -> None:
    collection = created(kernel, "WdfCollectionCreate", 0)
    for item in (0x84100000, 0x84200000, 0x84300000):
        kernel.call("WdfCollectionAdd", GLOBALS, collection, item)
    kernel.call("WdfCollectionRemoveItem", GLOBALS, collection, 1)
    assert kernel.call("WdfCollectionGetCount", GLOBALS, collection) == 2
    assert kernel.call("WdfCollectionGetLastItem", GLOBALS, collection) == 0x84300000
    assert kernel.call("WdfCollectionGetItem", GLOBALS, collection, 2) == 0


def test_a_string_object_holds_a_copy(kernel: Any) -> None:
    string = created(kernel, "WdfStringCreate", kernel.unicode("one"), 0)
    out = kernel.text(bytes(8))
    kernel.call("WdfStringGetUnicodeString", GLOBALS, string, out)
    assert kernel.context().unicode(out) == "one"


def test_a_spin_lock_released_twice_is_noted(kernel: Any) -> None:
    lock = created(kernel, "WdfSpinLockCreate", 0)
    kernel.call("WdfSpinLockAcquire", GLOBALS, lock)
    kernel.call("WdfSpinLockRelease", GLOBALS, lock)
    assert not kernel.state.records.notes
    kernel.call("WdfSpinLockRelease", GLOBALS, lock)
    assert list(kernel.state.records.notes) == [f"WdfSpinLockRelease: WDFSPINLOCK {lock:#x} is not held"]


def test_a_spin_lock_raises_the_irql_while_it_is_held(kernel: Any) -> None:
    lock = created(kernel, "WdfSpinLockCreate", 0)
    levels = []
    for name in ("WdfSpinLockAcquire", "WdfSpinLockRelease"):
        kernel.call(name, GLOBALS, lock)
        levels.append(kernel.call("KeGetCurrentIrql"))
    assert levels == [2, 0]


@pytest.mark.parametrize(
    ("name", "config", "execution_level", "irql"),
    [
        ("WdfTimerCreate", struct.pack("<IIIII", 20, CALLBACK, 0, 0, 0), 1, 2),
        ("WdfTimerCreate", struct.pack("<IIIII", 20, CALLBACK, 0, 0, 0), 2, 0),  # WdfExecutionLevelPassive
        ("WdfDpcCreate", struct.pack("<III", 12, CALLBACK, 0), 1, 2),
        ("WdfWorkItemCreate", struct.pack("<III", 12, CALLBACK, 0), 1, 0),
    ],
)
def test_what_runs_later_runs_at_its_documented_irql(
    kernel: Any, name: str, config: bytes, execution_level: int, irql: int
) -> None:
    attributes = kernel.text(struct.pack("<8I", 32, 0, 0, execution_level, 1, DEVICE, 0, 0))
    created(kernel, name, kernel.text(config), attributes)
    (root,) = kernel.roots
    kernel.arguments(root)
    assert kernel.call("KeGetCurrentIrql") == irql


@pytest.mark.parametrize(
    ("function", "config", "role"),
    [
        ("WdfTimerCreate", struct.pack("<IIIIII", 24, CALLBACK, 0, 1, 0, 0), "EvtTimerFunc"),
        ("WdfDpcCreate", struct.pack("<III", 12, CALLBACK, 1), "EvtDpcFunc"),
        ("WdfWorkItemCreate", struct.pack("<III", 12, CALLBACK, 1), "EvtWorkItem"),
    ],
)
def test_deferred_callbacks_are_called_with_their_object(
    kernel: Any, function: str, config: bytes, role: str
) -> None:
    attributes = kernel.text(struct.pack("<8I", 32, 0, 0, 1, 1, DEVICE, 0, 0))
    handle = created(kernel, function, kernel.text(config), attributes)
    (root,) = kernel.roots
    assert root.role == role
    assert kernel.arguments(root).stack == (handle,)
    assert kernel.call(function.replace("Create", "GetParentObject"), GLOBALS, handle) == DEVICE


def test_starting_a_timer_tells_whether_it_was_running(kernel: Any) -> None:
    timer = created(kernel, "WdfTimerCreate", kernel.text(struct.pack("<IIIIII", 24, CALLBACK, 0, 1, 0, 0)), 0)
    starts = [kernel.call("WdfTimerStart", GLOBALS, timer, 0, 0) for _ in range(2)]
    assert starts == [0, 1]
    assert kernel.call("WdfTimerStop", GLOBALS, timer, 1) == 1
    assert kernel.call("WdfTimerStart", GLOBALS, timer, 0, 0) == 0


def test_an_interrupt_s_callbacks_get_its_handle_and_its_device(kernel: Any) -> None:
    words = (60, 0, 2, 0, CALLBACK, CALLBACK + 16, CALLBACK + 32, CALLBACK + 48, 0, 0, 0, 0, 0, 2, 0)
    interrupt = created(kernel, "WdfInterruptCreate", DEVICE, kernel.text(struct.pack("<15I", *words)), 0)
    roots = {root.role: root for root in kernel.roots}
    assert set(roots) == {"EvtInterruptIsr", "EvtInterruptDpc", "EvtInterruptEnable", "EvtInterruptDisable"}
    assert kernel.arguments(roots["EvtInterruptIsr"]).stack == (interrupt, 0)
    assert kernel.arguments(roots["EvtInterruptDpc"]).stack == (interrupt, DEVICE)


def test_power_callbacks_are_given_the_device_made_from_their_init(kernel: Any) -> None:
    init = kernel.call("WdfControlDeviceInitAllocate", GLOBALS, 0, 0)
    callbacks = [0] * 17
    callbacks[0], callbacks[4] = CALLBACK, CALLBACK + 16  # EvtDeviceD0Entry, EvtDevicePrepareHardware
    config = kernel.text(struct.pack("<18I", 72, *callbacks))
    kernel.call("WdfDeviceInitSetPnpPowerEventCallbacks", GLOBALS, init, config)
    device = created(kernel, "WdfDeviceCreate", kernel.text(struct.pack("<I", init)), 0)
    roots = {root.role: root for root in kernel.roots}
    assert kernel.arguments(roots["EvtDeviceD0Entry"]).stack[0] == device
    handle, raw, translated = kernel.arguments(roots["EvtDevicePrepareHardware"]).stack
    assert handle == device
    assert raw != translated
    first = kernel.call("WdfCmResourceListGetDescriptor", GLOBALS, translated, 0)
    assert kernel.host.read(first, 1) == b"\x03"  # CmResourceTypeMemory
    count = kernel.call("WdfCmResourceListGetCount", GLOBALS, translated)
    assert kernel.call("WdfCmResourceListGetDescriptor", GLOBALS, translated, count) == 0


def test_a_number_assigned_to_a_key_is_read_back(kernel: Any) -> None:
    key = created(kernel, "WdfDriverOpenParametersRegistryKey", 0, 0x20019, 0)
    kernel.call("WdfRegistryAssignULong", GLOBALS, key, kernel.unicode("Limit"), 77)
    out = kernel.text(bytes(4))
    assert kernel.call("WdfRegistryQueryULong", GLOBALS, key, kernel.unicode("LIMIT"), out) == 0
    assert word(kernel, out) == 77


def test_a_configuration_descriptor_is_as_long_as_it_says(kernel: Any) -> None:
    usb = created(kernel, "WdfUsbTargetDeviceCreate", DEVICE, 0)
    size = kernel.text(bytes(2))
    assert kernel.call("WdfUsbTargetDeviceRetrieveConfigDescriptor", GLOBALS, usb, 0, size) == 0xC0000023
    length = struct.unpack("<H", kernel.host.read(size, 2))[0]
    buffer = kernel.text(bytes(length))
    assert kernel.call("WdfUsbTargetDeviceRetrieveConfigDescriptor", GLOBALS, usb, buffer, size) == 0
    data, at, kinds = kernel.host.read(buffer, length), 0, []
    while at < length:
        kinds.append(data[at + 1])
        at += data[at]
    assert (at, struct.unpack("<H", data[2:4])[0]) == (length, length)
    assert kinds == [2, 4, 5, 5]  # configuration, interface, two endpoints


def test_a_scatter_gather_list_covers_the_transfer(kernel: Any) -> None:
    kernel.call("WdfDmaTransactionInitialize", GLOBALS, 0x84200000, CALLBACK, 1, 0, 0, 6000)
    (root,) = kernel.roots
    transaction, _, _, direction, table = kernel.arguments(root).stack
    assert (root.role, transaction, direction) == ("EvtProgramDma", 0x84200000, 1)
    count = word(kernel, table)
    assert sum(word(kernel, table + 8 + 16 * index + 8) for index in range(count)) == 6000


def test_every_callback_of_a_wmi_instance_has_a_role(kernel: Any) -> None:
    words = (32, 0x84300000, 0, 0, CALLBACK, CALLBACK + 16, CALLBACK + 32, CALLBACK + 48)
    instance = created(kernel, "WdfWmiInstanceCreate", DEVICE, kernel.text(struct.pack("<8I", *words)), 0)
    counts = {root.role: kernel.arguments(root).stack for root in kernel.roots}
    assert all(stack[0] == instance for stack in counts.values())
    assert {role: len(stack) for role, stack in counts.items()} == {
        "EvtWmiInstanceQueryInstance": 4,
        "EvtWmiInstanceSetInstance": 3,
        "EvtWmiInstanceSetItem": 4,
        "EvtWmiInstanceExecuteMethod": 6,
    }
    assert {root.kind for root in kernel.roots} <= set(ROLES)
