"""Buffers of operations: where parameters describe them, locked, and memory for others in their place."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.user_memory import user_buffer

READ, WRITE, QUERY_INFORMATION, CLEANUP, DEVICE_CONTROL = 3, 4, 5, 18, 14
INVALID_PARAMETER = 0xC000000D
IO_READ, IO_WRITE, IO_MODIFY = 0, 1, 2


def _decode(kernel: Any, operations: Any, data: Any) -> tuple[int, tuple[int, ...]]:
    """The status, and offsets in the parameters of MDL, buffer and length, with the access."""
    places = [kernel.text(b"\xcc" * 4) for _ in range(4)]
    status = kernel.call("FltDecodeParameters", data.address, *places)
    values = [kernel.context().u32(place) for place in places]
    start = operations.block(data).at("Parameters")
    return status, (*(value - start if value else -1 for value in values[:3]), values[3])


@pytest.mark.parametrize(
    ("major", "parameters", "expected"),
    [
        (READ, b"", (20, 16, 0, IO_WRITE)),
        (WRITE, b"", (20, 16, 0, IO_READ)),
        (QUERY_INFORMATION, b"", (-1, 8, 0, IO_WRITE)),
        (DEVICE_CONTROL, struct.pack("<III", 0, 0, 0x222000), (-1, 12, 0, IO_MODIFY)),
        (DEVICE_CONTROL, struct.pack("<III", 0, 0, 0x222003), (20, 16, 0, IO_WRITE)),
        (DEVICE_CONTROL, struct.pack("<III", 0, 0, 0x222001), (20, 16, 0, IO_READ)),
    ],
)
def test_parameters_are_decoded_to_their_addresses(
    kernel: Any, operations: Any, major: int, parameters: bytes, expected: tuple[int, ...]
) -> None:
    assert _decode(kernel, operations, operations.make(major, parameters=parameters)) == (0, expected)


def test_an_operation_without_a_buffer_has_nothing_to_decode(kernel: Any, operations: Any) -> None:
    assert _decode(kernel, operations, operations.make(CLEANUP))[0] == INVALID_PARAMETER
    assert kernel.call("FltLockUserBuffer", operations.make(CLEANUP).address) == INVALID_PARAMETER


def test_a_locked_buffer_has_an_mdl_in_the_parameters(kernel: Any, operations: Any) -> None:
    buffer = user_buffer(kernel.context(), 0x100)
    data = operations.make(READ, parameters=struct.pack("<IIQII", 0x100, 0, 0, buffer, 0))
    assert kernel.call("FltLockUserBuffer", data.address) == 0
    mdl = kernel.context().view("MDL", operations.block(data)["Parameters.ReadWrite.MdlAddress"])
    assert (mdl["StartVa"] + mdl["ByteOffset"], mdl["ByteCount"]) == (buffer, 0x100)
    assert mdl["MdlFlags"] & 2, "MDL_PAGES_LOCKED"
    assert kernel.call("FltLockUserBuffer", data.address) == 0
    assert operations.block(data)["Parameters.ReadWrite.MdlAddress"] == mdl.address


def test_aligned_pool_is_freed_with_its_tag(kernel: Any) -> None:
    address = kernel.call("FltAllocatePoolAlignedWithTag", 0, 1, 0x2000, 0x41414141)
    kernel.call("FltFreePoolAlignedWithTag", 0, address, 0x42424242)
    assert [*kernel.state.records.notes] == [
        f"FltFreePoolAlignedWithTag: {address:#010x} was allocated with tag 'AAAA', freed with 'BBBB'"
    ]
