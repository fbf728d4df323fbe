"""Sections for data scans, waits that end with their operation, information that comes with a create."""

from __future__ import annotations

import struct
from typing import Any

import pytest

SECTION_CONTEXT, CLEANUP = 64, 0xA5DE1200
INSTANCE, FILE = 0x85600000, 0x85610000
CANCELLED, TIMEOUT, NOT_FOUND = 0xC0000120, 0x102, 0xC0000225


def test_a_section_holds_its_context_until_it_is_closed(kernel: Any) -> None:
    line = struct.pack("<HHIIIIIIH", SECTION_CONTEXT, 0, CLEANUP, 16, 0, 0, 0, 0, 0xFFFF)
    registration = kernel.text(struct.pack("<HHIII", 56, 0x0203, 0, kernel.text(line), 0) + bytes(44))
    out = kernel.text(bytes(16))
    kernel.call("FltRegisterFilter", 0, registration, out)
    kernel.call("FltAllocateContext", 0, SECTION_CONTEXT, 16, 1, out)
    context = kernel.context().u32(out)
    arguments = (INSTANCE, FILE, context, 0xF0005, 0, 0, 2, 0x8000000, 0, out, out + 4, out + 8)
    assert kernel.call("FltCreateSectionForDataScan", *arguments) == 0
    assert 0 not in struct.unpack("<II", kernel.host.read(out, 8))
    kernel.call("FltReleaseContext", context)
    assert kernel.host.invoked == []
    assert kernel.call("FltGetSectionContext", INSTANCE, FILE, out) == 0
    kernel.call("FltReleaseContext", context)
    assert kernel.call("FltCloseSectionForDataScan", context) == 0
    assert kernel.host.invoked == [(CLEANUP, (context, SECTION_CONTEXT))]
    assert not kernel.state.records.notes


def test_a_wait_ends_with_its_operation(kernel: Any, operations: Any) -> None:
    event, now = kernel.text(bytes(16)), kernel.text(bytes(8))
    kernel.call("KeInitializeEvent", event, 0, 0)
    data = operations.make(3).address
    assert kernel.call("FltCancellableWaitForSingleObject", event, now, data) == TIMEOUT
    assert kernel.call("FltCancellableWaitForSingleObject", event, 0, data, source=kernel.FAILURE) == CANCELLED
    kernel.call("KeSetEvent", event, 0, 0)
    assert kernel.call("FltCancellableWaitForSingleObject", event, now, data) == 0


@pytest.mark.parametrize(("kind", "size"), [(1, 72), (2, 0)])
def test_file_information_comes_with_a_create_where_the_file_system_has_it(
    kernel: Any, operations: Any, kind: int, size: int
) -> None:
    data, out = operations.make(0).address, kernel.text(bytes(8))
    status = kernel.call("FltRetrieveFileInfoOnCreateCompletionEx", 0, data, kind, out, out + 4)
    assert status == (0 if size else NOT_FOUND)
    assert kernel.context().u32(out) == size, "FILE_STAT_INFORMATION has 72 bytes"
