"""Plug and Play and driver objects: notifications, interfaces, properties, extensions, remove locks."""

from __future__ import annotations

import struct
import uuid
from typing import Any

ROUTINE, CONTEXT = 0xA5DE1100, 0x1234
DISK = uuid.UUID("53f56307-b6bf-11d0-94f2-00a0c91efb8b")
ARRIVAL = uuid.UUID("cb3a4004-46f0-11d0-b08f-00609713053f")
QUERY_REMOVE = uuid.UUID("cb3a4006-46f0-11d0-b08f-00609713053f")
DELETE_PENDING = 0xC0000056


def _word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def _string(kernel: Any, address: int) -> str:
    length, maximum, buffer = struct.unpack("<HHI", kernel.host.read(address, 8))
    assert length <= maximum
    return str(kernel.host.read(buffer, length).decode("utf-16-le"))


def test_an_interface_arrives_with_its_class_and_link(kernel: Any) -> None:
    """DEVICE_INTERFACE_CHANGE_NOTIFICATION: Version, Size, Event, InterfaceClassGuid, SymbolicLinkName."""
    entry = kernel.text(bytes(4))
    guid = kernel.text(DISK.bytes_le)
    assert kernel.call("IoRegisterPlugPlayNotification", 2, 0, guid, 0, ROUTINE, CONTEXT, entry) == 0
    assert _word(kernel, entry)
    kernel.host.write(guid, bytes(16))  # the caller's GUID need not live on
    structure, context = kernel.arguments(kernel.roots[0]).stack
    version, size, event, subject, link = struct.unpack("<HH16s16sI", kernel.host.read(structure, 40))
    assert (version, size, context) == (1, 40, CONTEXT)
    assert (uuid.UUID(bytes_le=event), uuid.UUID(bytes_le=subject)) == (ARRIVAL, DISK)
    assert _string(kernel, link).endswith(f"{{{DISK}}}")


def test_a_targets_removal_is_asked_for_with_its_file(kernel: Any) -> None:
    file = kernel.text(bytes(128))
    kernel.call("IoRegisterPlugPlayNotification", 3, 0, file, 0, ROUTINE, 0, kernel.text(bytes(4)))
    structure, _ = kernel.arguments(kernel.roots[0]).stack
    _, size, event, subject = struct.unpack("<HH16sI", kernel.host.read(structure, 24))
    assert (size, uuid.UUID(bytes_le=event), subject) == (24, QUERY_REMOVE, file)


def test_an_interface_is_named_by_its_class_and_reference(kernel: Any) -> None:
    link = kernel.text(bytes(8))
    reference = kernel.unicode("left")
    assert kernel.call("IoRegisterDeviceInterface", 0, kernel.text(DISK.bytes_le), reference, link) == 0
    assert _string(kernel, link).startswith("\\??\\")
    assert _string(kernel, link).endswith(f"{{{DISK}}}\\left")


def test_a_property_says_how_much_room_it_takes(kernel: Any) -> None:
    needed = kernel.text(bytes(4))
    assert kernel.call("IoGetDeviceProperty", 0, 11, 2, kernel.text(bytes(2)), needed) == 0xC0000023
    size = _word(kernel, needed)
    buffer = kernel.text(bytes(size))
    assert kernel.call("IoGetDeviceProperty", 0, 11, size, buffer, needed) == 0
    assert kernel.host.read(buffer, size).decode("utf-16-le").endswith("\0")
    assert kernel.call("IoGetDeviceProperty", 0, 99, size, buffer, needed) == 0xC00000F0


def test_resource_properties_are_whole_lists(kernel: Any) -> None:
    buffer, needed = kernel.text(bytes(256)), kernel.text(bytes(4))
    assert kernel.call("IoGetDeviceProperty", 0, 21, 256, buffer, needed) == 0
    count, partial = struct.unpack("<I12xI", kernel.host.read(buffer, 20))
    assert (count, _word(kernel, needed)) == (1, 20 + 16 * partial)
    assert kernel.call("IoGetDeviceProperty", 0, 20, 256, buffer, needed) == 0
    assert _word(kernel, buffer) == _word(kernel, needed)


def test_a_client_has_one_extension_of_a_driver_object(kernel: Any) -> None:
    driver, client, out = 0x85000000, 7, kernel.text(bytes(4))
    allocate = "IoAllocateDriverObjectExtension"
    assert kernel.call("IoGetDriverObjectExtension", driver, client) == 0
    assert kernel.call(allocate, driver, client, 16, out) == 0
    extension = _word(kernel, out)
    assert kernel.host.read(extension, 16) == bytes(16)
    assert kernel.call("IoGetDriverObjectExtension", driver, client) == extension
    assert kernel.call(allocate, driver, client, 16, out) == 0xC0000035


def test_reinitialization_counts_its_calls_from_one(kernel: Any) -> None:
    kernel.call("IoRegisterDriverReinitialization", 0, ROUTINE, CONTEXT)
    driver, context, count = kernel.arguments(kernel.roots[0]).stack
    assert struct.unpack("<H", kernel.host.read(driver, 2))[0] == 4  # IO_TYPE_DRIVER
    assert (context, count) == (CONTEXT, 1)


def test_a_device_that_is_being_removed_gives_no_more_locks(kernel: Any) -> None:
    lock = kernel.text(b"\xff" * 24)
    kernel.call("IoInitializeRemoveLockEx", lock, 0x20202020, 0, 0, 24)
    assert kernel.call("IoAcquireRemoveLockEx", lock, 1, 0, 0, 24) == 0
    assert struct.unpack("<BxxxI", kernel.host.read(lock, 8)) == (0, 2)
    kernel.call("IoReleaseRemoveLockAndWaitEx", lock, 1, 24)
    assert struct.unpack("<BxxxI", kernel.host.read(lock, 8)) == (1, 0)
    assert kernel.call("IoAcquireRemoveLockEx", lock, 1, 0, 0, 24) == DELETE_PENDING
