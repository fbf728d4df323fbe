"""System services by handle: events, processes, memory, names, and what the system tells of itself.

Structures: ntddk.h, winternl.h; results: the services' pages in the WDK and the Win32 documentation.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.exports import find_api
from stackemu.emu.kernel.variables import initial_pointer, variable_address

STATUS_INVALID_INFO_CLASS = 0xC0000003
STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
STATUS_INVALID_HANDLE = 0xC0000008
STATUS_INVALID_CID = 0xC000000B
STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_OBJECT_TYPE_MISMATCH = 0xC0000024
STATUS_INVALID_PARAMETER_MIX = 0xC0000030
STATUS_INVALID_PARAMETER_4 = 0xC00000F2
STATUS_TIMEOUT = 0x102
SYNCHRONIZATION_EVENT = 1
FILE, PROCESS, EVENT = "IoFileObjectType", "PsProcessType", "ExEventObjectType"


def _word(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _attributes(kernel: Any, name: str = "") -> int:
    text = kernel.unicode(name) if name else 0
    return int(kernel.text(struct.pack("<6I", 24, 0, text, 0x200, 0, 0)))


def _create_event(kernel: Any, kind: int = SYNCHRONIZATION_EVENT, state: int = 0, name: str = "") -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("ZwCreateEvent", out, 0x1F0003, _attributes(kernel, name), kind, state) in (0, 0x40000000)
    return _word(kernel, out)


def _object(kernel: Any, handle: int, variable: str) -> tuple[int, int]:
    out = kernel.text(bytes(4))
    status = kernel.call("ObReferenceObjectByHandle", handle, 0, initial_pointer(variable), 0, out, 0)
    return status, _word(kernel, out)


def _wait(kernel: Any, handle: int) -> int:
    now = kernel.text(bytes(8))
    return int(kernel.call("ZwWaitForSingleObject", handle, 0, now))


# -- events --


def test_a_synchronization_event_lets_one_wait_through_each_time_it_is_set(kernel: Any) -> None:
    event = _create_event(kernel)
    before = kernel.text(b"\xff" * 4)
    assert _wait(kernel, event) == STATUS_TIMEOUT
    assert kernel.call("ZwSetEvent", event, before) == 0
    assert _word(kernel, before) == 0
    assert _wait(kernel, event) == 0
    assert _wait(kernel, event) == STATUS_TIMEOUT
    assert kernel.call("ZwSetEvent", event, 0) == 0
    assert kernel.call("ZwResetEvent", event, before) == 0
    assert _word(kernel, before) == 1


def test_a_named_event_is_the_same_for_all_who_open_it(kernel: Any) -> None:
    created = _create_event(kernel, name="\\BaseNamedObjects\\Ready")
    out = kernel.text(bytes(4))
    assert kernel.call("ZwOpenEvent", out, 2, _attributes(kernel, "\\BASENAMEDOBJECTS\\ready")) == 0
    assert kernel.call("ZwSetEvent", _word(kernel, out), 0) == 0
    assert _wait(kernel, created) == 0


def test_what_is_no_event_type_is_refused(kernel: Any) -> None:
    assert kernel.call("ZwCreateEvent", kernel.text(bytes(4)), 0, 0, 2, 0) == STATUS_INVALID_PARAMETER_4


def test_a_closed_handle_cannot_be_waited_for(kernel: Any) -> None:
    event = _create_event(kernel)
    kernel.call("ZwClose", event)
    assert _wait(kernel, event) == STATUS_INVALID_HANDLE


# -- types --


def test_a_handle_is_only_good_for_its_own_type(kernel: Any) -> None:
    event = _create_event(kernel)
    status, address = _object(kernel, event, EVENT)
    assert status == 0
    assert kernel.host.read(address, 4) == b"\x01\x00\x04\x00"  # SynchronizationEvent, 4 words
    assert _object(kernel, event, FILE) == (STATUS_OBJECT_TYPE_MISMATCH, 0)
    assert kernel.call("ObGetObjectType", address) == initial_pointer(EVENT)


def test_a_handle_from_elsewhere_stands_for_what_the_driver_asks_for(kernel: Any) -> None:
    status, file = _object(kernel, 0x40, FILE)
    assert status == 0
    assert kernel.host.read(file, 4) == struct.pack("<HH", 5, 128)  # IO_TYPE_FILE, its size
    assert kernel.call("ObGetObjectType", file) == initial_pointer(FILE)
    status, event = _object(kernel, 0x44, EVENT)
    assert (status, kernel.host.read(event, 4)) == (0, b"\x00\x00\x04\x00")


def test_the_first_process_is_the_one_that_the_variable_points_to(kernel: Any) -> None:
    out = kernel.text(bytes(4))
    assert kernel.call("PsLookupProcessByProcessId", 4, out) == 0
    assert _word(kernel, out) == initial_pointer("PsInitialSystemProcess")
    assert kernel.call("ObGetObjectType", _word(kernel, out)) == initial_pointer(PROCESS)


def test_callbacks_on_handles_are_told_of_the_type_that_they_are_for(kernel: Any) -> None:
    operation = kernel.text(struct.pack("<4I", variable_address("PsThreadType") or 0, 3, 0xA5DE1100, 0))
    registration = kernel.text(struct.pack("<HHIIII", 0x100, 1, 0, 0, 0x1234, operation))
    kernel.host.write(variable_address("PsThreadType") or 0, struct.pack("<I", initial_pointer("PsThreadType")))
    assert kernel.call("ObRegisterCallbacks", registration, kernel.text(bytes(4))) == 0
    _, information = kernel.arguments(kernel.roots[0]).stack
    opened, kind = struct.unpack("<II", kernel.host.read(information + 8, 8))
    assert kind == initial_pointer("PsThreadType")
    assert kernel.call("ObGetObjectType", opened) == kind


# -- processes --


def _open_process(kernel: Any, identifier: int) -> tuple[int, int]:
    out, client = kernel.text(bytes(4)), kernel.text(struct.pack("<II", identifier, 0))
    return kernel.call("ZwOpenProcess", out, 0x1FFFFF, _attributes(kernel), client), _word(kernel, out)


def test_a_process_is_opened_by_its_id_and_tells_it(kernel: Any) -> None:
    status, handle = _open_process(kernel, 4)
    assert status == 0
    information, returned = kernel.text(bytes(24)), kernel.text(bytes(4))
    assert kernel.call("ZwQueryInformationProcess", handle, 0, information, 24, returned) == 0
    assert _word(kernel, returned) == 24
    assert _word(kernel, information + 16) == 4  # UniqueProcessId
    assert _object(kernel, handle, PROCESS) == (0, initial_pointer("PsInitialSystemProcess"))


def test_a_process_needs_an_id(kernel: Any) -> None:
    assert _open_process(kernel, 0)[0] == STATUS_INVALID_CID
    assert kernel.call("ZwOpenProcess", 0, 0, _attributes(kernel), 0) == STATUS_INVALID_PARAMETER_MIX


def test_the_name_of_an_image_lies_behind_its_string(kernel: Any) -> None:
    _, handle = _open_process(kernel, 0x123)
    returned = kernel.text(bytes(4))
    call = ("ZwQueryInformationProcess", handle, 27)
    assert kernel.call(*call, 0, 0, returned) == STATUS_INFO_LENGTH_MISMATCH
    size = _word(kernel, returned)
    information = kernel.text(bytes(size))
    assert kernel.call(*call, information, size, 0) == 0
    length, maximum, buffer = struct.unpack("<HHI", kernel.host.read(information, 8))
    assert (maximum, buffer, size) == (length + 2, information + 8, length + 10)
    assert kernel.host.read(buffer, length).decode("utf-16-le").startswith("\\Device\\")
    assert kernel.call("ZwQueryInformationProcess", handle, 0x999, information, size, 0) == STATUS_INVALID_INFO_CLASS


# -- memory --


def test_memory_of_user_mode_is_whole_pages_at_an_allocation_boundary(kernel: Any) -> None:
    base, size = kernel.text(bytes(4)), kernel.text(struct.pack("<I", 0x1234))
    assert kernel.call("ZwAllocateVirtualMemory", 0xFFFFFFFF, base, 0, size, 0x3000, 4) == 0
    start = _word(kernel, base)
    assert 0x10000 <= start < 0x7FFF0000
    assert start % 0x10000 == 0
    assert _word(kernel, size) == 0x2000
    assert kernel.host.read(start, 0x2000) == bytes(0x2000)
    information = kernel.text(bytes(28))
    assert kernel.call("ZwQueryVirtualMemory", 0xFFFFFFFF, start + 0x1800, 0, information, 28, 0) == 0
    words = struct.unpack("<7I", kernel.host.read(information, 28))
    assert words == (start + 0x1000, start, 4, 0x1000, 0x1000, 4, 0x20000)


def test_memory_is_released_once(kernel: Any) -> None:
    base, size = kernel.text(bytes(4)), kernel.text(struct.pack("<I", 0x1000))
    kernel.call("ZwAllocateVirtualMemory", 0xFFFFFFFF, base, 0, size, 0x3000, 4)
    kernel.host.write(size, bytes(4))
    assert kernel.call("ZwFreeVirtualMemory", 0xFFFFFFFF, base, size, 0x8000) == 0
    assert _word(kernel, size) == 0x1000
    assert kernel.call("ZwFreeVirtualMemory", 0xFFFFFFFF, base, size, 0x8000) == 0xC00000A0
    assert "released before" in next(iter(kernel.state.records.notes))
    assert kernel.call("ZwFreeVirtualMemory", 0xFFFFFFFF, base, size, 0x1000) == STATUS_INVALID_PARAMETER_4


# -- the system --


def _system(kernel: Any, kind: int) -> bytes:
    returned = kernel.text(bytes(4))
    assert kernel.call("ZwQuerySystemInformation", kind, 0, 0, returned) == STATUS_INFO_LENGTH_MISMATCH
    size = _word(kernel, returned)
    information = kernel.text(bytes(size))
    assert kernel.call("ZwQuerySystemInformation", kind, information, size, 0) == 0
    return bytes(kernel.host.read(information, size))


@pytest.mark.parametrize(("kind", "size"), [(0, 44), (1, 12), (3, 48), (35, 2), (103, 8)])
def test_classes_of_a_fixed_size(kernel: Any, kind: int, size: int) -> None:
    assert len(_system(kernel, kind)) == size


def test_the_driver_is_one_of_the_modules(kernel: Any) -> None:
    data = _system(kernel, 11)
    (count,) = struct.unpack_from("<I", data)
    assert len(data) == 4 + 284 * count
    own = data[4 + 284 * (count - 1) :]
    base, size = struct.unpack_from("<II", own, 8)
    (name_at,) = struct.unpack_from("<H", own, 26)
    assert (base, size) == (0xA5DE0000, 0x2000)
    assert own[28 + name_at :].split(b"\0")[0] == b"sample.sys"


def test_processes_are_a_chain_with_their_names(kernel: Any) -> None:
    data = _system(kernel, 5)
    at, found = 0, {}
    while True:
        following, threads = struct.unpack_from("<II", data, at)
        length, _, buffer = struct.unpack_from("<HHI", data, at + 0x38)
        (identifier,) = struct.unpack_from("<I", data, at + 0x44)
        assert threads == 1
        found[identifier] = kernel.host.read(buffer, length).decode("utf-16-le") if length else ""
        if not following:
            break
        at += following
    assert found[0] == ""
    assert found[4] == "System"


def test_an_unknown_class_is_refused(kernel: Any) -> None:
    assert kernel.call("NtQuerySystemInformation", 0x7FFF, 0, 0, 0) == STATUS_INVALID_INFO_CLASS


# -- names --


def test_a_link_leads_to_where_the_driver_made_it(kernel: Any) -> None:
    assert kernel.call("IoCreateSymbolicLink", kernel.unicode("\\??\\Own"), kernel.unicode("\\Device\\Own")) == 0
    out = kernel.text(bytes(4))
    assert kernel.call("ZwOpenSymbolicLinkObject", out, 1, _attributes(kernel, "\\??\\OWN")) == 0
    buffer, returned = kernel.text(bytes(64)), kernel.text(bytes(4))
    string = kernel.text(struct.pack("<HHI", 0, 64, buffer))
    assert kernel.call("ZwQuerySymbolicLinkObject", _word(kernel, out), string, returned) == 0
    assert kernel.host.read(buffer, 22).decode("utf-16-le") == "\\Device\\Own"
    assert struct.unpack("<H", kernel.host.read(string, 2)) == (22,)
    small = kernel.text(struct.pack("<HHI", 0, 20, buffer))
    assert kernel.call("ZwQuerySymbolicLinkObject", _word(kernel, out), small, returned) == STATUS_BUFFER_TOO_SMALL
    assert _word(kernel, returned) == 22


def test_a_directory_is_read_entry_by_entry(kernel: Any) -> None:
    out, position = kernel.text(bytes(4)), kernel.text(bytes(4))
    assert kernel.call("ZwOpenDirectoryObject", out, 1, _attributes(kernel, "\\Device")) == 0
    buffer = kernel.text(bytes(0x100))
    names = []
    while kernel.call("ZwQueryDirectoryObject", _word(kernel, out), buffer, 0x100, 1, 0, position, 0) == 0:
        length, _, text = struct.unpack("<HHI", kernel.host.read(buffer, 8))
        names.append(kernel.host.read(text, length).decode("utf-16-le"))
        assert kernel.host.read(buffer + 16, 16) == bytes(16)
    assert len(names) == len(set(names)) > 1


@pytest.mark.parametrize(
    ("name", "pops"), [("ZwOpenThread", 16), ("ZwQuerySystemInformation", 16), ("ZwQueryDirectoryObject", 28)]
)
def test_services_pop_what_their_prototypes_say(name: str, pops: int) -> None:
    api = find_api("ntoskrnl.exe", name)
    assert api is not None
    assert api.pops == pops
