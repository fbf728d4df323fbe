"""Memory, objects and security: what is checked, found and called back."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.call import Raised

ROUTINE, OTHER = 0xA5DE1100, 0xA5DE1200
ACCESS_VIOLATION, MISALIGNMENT = 0xC0000005, 0x80000002


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


@pytest.mark.parametrize(
    ("address", "size", "alignment", "status"),
    [
        (0x00300000, 0x100, 4, None),
        (0x85120000, 0, 1, None),  # nothing to probe
        (0x00300001, 4, 4, MISALIGNMENT),
        (0x85120001, 4, 4, MISALIGNMENT),  # the alignment comes first
        (0x85120000, 4, 4, ACCESS_VIOLATION),
        (0x7FFEFFFC, 4, 4, None),
        (0x7FFEFFFC, 8, 4, ACCESS_VIOLATION),
        (0x00300000, 0xFFFFFFFF, 1, ACCESS_VIOLATION),  # wraps around
    ],
)
def test_probing_raises_by_the_rules(
    kernel: Any, address: int, size: int, alignment: int, status: int | None
) -> None:
    for name in ("ProbeForRead", "ProbeForWrite"):
        if status is None:
            kernel.call(name, address, size, alignment)
            continue
        with pytest.raises(Raised) as raised:
            kernel.call(name, address, size, alignment)
        assert raised.value.status == status


def test_a_read_only_user_page_fails_probing_for_write_only(kernel: Any) -> None:
    kernel.call("ProbeForRead", 0x00300000, 4, 4, source=kernel.FAILURE)
    with pytest.raises(Raised):
        kernel.call("ProbeForWrite", 0x00300000, 4, 4, source=kernel.FAILURE)


def test_device_memory_keeps_its_offset_in_the_page_and_is_unmapped_once(kernel: Any) -> None:
    address = kernel.call("MmMapIoSpace", 0xFEB00123, 0, 0x100, 0)
    assert address & 0xFFF == 0x123
    for _ in range(2):
        kernel.call("MmUnmapIoSpace", address, 0x100)
    assert "unmapped before" in next(iter(kernel.state.records.notes))


def test_null_is_no_valid_address(kernel: Any) -> None:
    assert [kernel.call("MmIsAddressValid", address) for address in (0, 0x85120000)] == [0, 1]


def test_a_handle_leads_to_the_object_it_was_opened_for(kernel: Any) -> None:
    out, thing = kernel.text(bytes(8)), kernel.text(bytes(16))
    assert kernel.call("ObOpenObjectByPointer", thing, 0x200, 0, 0, 0, 0, out) == 0
    handle = _u32(kernel, out)
    assert kernel.call("ObIsKernelHandle", handle) == 1
    assert kernel.call("ObReferenceObjectByHandle", handle, 0x1F, 0, 0, out, 0) == 0
    assert _u32(kernel, out) == thing
    assert kernel.call("ObReferenceObjectByHandle", handle, 0, 0, 0, out, 0, source=kernel.FAILURE) >= 0xC0000000
    assert _u32(kernel, out) == 0


def test_an_objects_name_lies_behind_its_descriptor_or_its_length_is_said(kernel: Any) -> None:
    out = kernel.text(bytes(0x200))
    assert kernel.call("ObQueryNameString", 0x85120000, out, 8, out + 0x1F0) == 0xC0000004
    needed = _u32(kernel, out + 0x1F0)
    assert kernel.call("ObQueryNameString", 0x85120000, out, needed, out + 0x1F0) == 0
    length, maximum, buffer = struct.unpack("<HHI", kernel.host.read(out, 8))
    assert (maximum, buffer, needed) == (length + 2, out + 8, 8 + length + 2)


def test_handle_callbacks_get_an_operation_on_a_process_or_a_thread(kernel: Any) -> None:
    kind, out = kernel.text(struct.pack("<I", 0x80551234)), kernel.text(bytes(4))
    operations = kernel.text(struct.pack("<IIII", kind, 3, ROUTINE, OTHER))
    registration = kernel.text(struct.pack("<HHHHIII", 0x100, 1, 0, 0, 0, 0x55, operations))
    assert kernel.call("ObRegisterCallbacks", registration, out) == 0
    before, after = kernel.roots
    context, information = kernel.arguments(before).stack
    operation, _flags, thing, seen_kind, _, parameters = struct.unpack("<6I", kernel.host.read(information, 24))
    assert (context, operation, seen_kind) == (0x55, 1, 0x80551234)
    assert thing > 0x80000000
    desired, original = struct.unpack("<II", kernel.host.read(parameters, 8))
    assert desired == original != 0
    _, information = kernel.arguments(after, kernel.FAILURE).stack
    assert _u32(kernel, information + 20) >= 0xC0000000  # ReturnStatus


def test_kernel_mode_passes_access_checks_that_a_user_may_fail(kernel: Any) -> None:
    out = kernel.text(bytes(8))
    for mode, source, granted in ((0, kernel.FAILURE, 1), (1, kernel.SUCCESS, 1), (1, kernel.FAILURE, 0)):
        arguments = (0, 0, 0, 0x3, 0x10, 0, 0, mode, out, out + 4)
        assert kernel.call("SeAccessCheck", *arguments, source=source) == granted
        expected = (0x13, 0) if granted else (0, 0xC0000022)
        assert struct.unpack("<II", kernel.host.read(out, 8)) == expected
        assert kernel.call("SeSinglePrivilegeCheck", 7, 0, mode, source=source) == granted


def test_a_tokens_user_is_a_sid_behind_the_answer(kernel: Any) -> None:
    out = kernel.text(bytes(4))
    assert kernel.call("SeQueryInformationToken", 0x85120000, 1, out) == 0
    sid = _u32(kernel, _u32(kernel, out))
    assert kernel.call("RtlValidSid", sid) == 1
    assert kernel.call("ExFreePool", _u32(kernel, out)) == 0
    assert kernel.state.records.notes == {}
