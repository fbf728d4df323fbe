"""Lookaside lists, with the fields that wdm.h's inline functions read."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.function_pointers import function_pointer
from stackemu.emu.kernel.stubs import StubTable

TAG = int.from_bytes(b"Look", "little")
ALLOCATE, FREE = 0xA5DE1100, 0xA5DE1200
DEPTH, TYPE, FUNCTIONS = 8, 28, 40


def _list(kernel: Any, allocate: int = 0, free: int = 0) -> int:
    lookaside = int(kernel.text(b"\xcc" * 0x80))
    kernel.call("ExInitializePagedLookasideList", lookaside, allocate, free, 0, 40, TAG, 0)
    return lookaside


def test_the_fields_that_inlined_code_reads(kernel: Any) -> None:
    lookaside = _list(kernel)
    assert kernel.host.read(lookaside, 8) == bytes(8)
    assert struct.unpack("<HH", kernel.host.read(lookaside + DEPTH, 4)) == (4, 256)
    assert struct.unpack("<III", kernel.host.read(lookaside + TYPE, 12)) == (1, TAG, 40)


def test_without_functions_of_the_drivers_own_the_pools_are_pointed_to(kernel: Any) -> None:
    allocate, free = struct.unpack("<II", kernel.host.read(_list(kernel) + FUNCTIONS, 8))
    stubs = StubTable(kernel.state.image)
    names = [stubs.stubs[stubs.index_at(address)].name for address in (allocate, free)]
    assert names == ["ExAllocatePoolWithTag", "ExFreePool"]


@pytest.mark.parametrize(("field", "pops"), [("AllocateEx", 16), ("FreeEx", 8)])
def test_functions_of_the_extended_list_pop_what_their_prototypes_say(kernel: Any, field: str, pops: int) -> None:
    stubs = StubTable(kernel.state.image)
    stub = stubs.stubs[stubs.index_at(function_pointer(f"LOOKASIDE_LIST_EX.{field}"))]
    assert (stub.name, stub.pops) == (f"LOOKASIDE_LIST_EX.{field}", pops)


def test_freed_blocks_are_kept_up_to_the_depth_and_used_again(kernel: Any) -> None:
    lookaside = _list(kernel)
    blocks = [kernel.call("ExAllocateFromPagedLookasideList", lookaside) for _ in range(5)]
    assert len(set(blocks)) == 5
    for block in blocks:
        kernel.call("ExFreeToPagedLookasideList", lookaside, block)
    assert struct.unpack("<H", kernel.host.read(lookaside + 4, 2)) == (4,)
    assert kernel.call("ExAllocateFromPagedLookasideList", lookaside, source=kernel.FAILURE) == blocks[3]


def test_the_drivers_own_functions_are_called_and_are_roots(kernel: Any) -> None:
    kernel.host.code[ALLOCATE] = lambda *_: 0x86000100
    lookaside = _list(kernel, ALLOCATE, FREE)
    assert kernel.call("ExAllocateFromPagedLookasideList", lookaside) == 0x86000100
    kernel.call("ExFreeToPagedLookasideList", lookaside, 0x86000100)
    kernel.call("ExDeletePagedLookasideList", lookaside)
    assert kernel.host.invoked == [(ALLOCATE, (1, 40, TAG)), (FREE, (0x86000100,))]
    assert [kernel.arguments(root).stack[0] for root in kernel.roots][:1] == [1]


def test_functions_of_an_extended_list_are_given_the_list(kernel: Any) -> None:
    lookaside = kernel.text(bytes(0x80))
    assert kernel.call("ExInitializeLookasideListEx", lookaside, ALLOCATE, FREE, 0x200, 0, 40, TAG, 0) == 0
    assert kernel.arguments(kernel.roots[0]).stack == (0x200, 40, TAG, lookaside)
    assert kernel.arguments(kernel.roots[1]).stack[1:] == (lookaside,)
