"""Interlocked operations and lists, against C's arithmetic and wdm.h's structures."""

from __future__ import annotations

import struct
from typing import Any


def _word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def test_increment_and_decrement_return_the_new_value_and_wrap(kernel: Any) -> None:
    counter = kernel.text(struct.pack("<I", 0xFFFFFFFF))
    assert kernel.call("InterlockedIncrement", counter) == 0
    assert kernel.call("InterlockedDecrement", counter) == 0xFFFFFFFF
    assert _word(kernel, counter) == 0xFFFFFFFF


def test_exchanges_return_the_value_before(kernel: Any) -> None:
    target = kernel.text(struct.pack("<I", 5))
    assert kernel.call("InterlockedExchangeAdd", target, 3) == 5
    assert kernel.call("InterlockedCompareExchange", target, 1, 5) == 8
    assert kernel.call("InterlockedCompareExchange", target, 1, 8) == 8
    assert kernel.call("InterlockedExchange", target, 9) == 1
    assert _word(kernel, target) == 9


def test_64_bits_are_compared_and_exchanged_by_address(kernel: Any) -> None:
    target, exchange, comparand = (kernel.text(struct.pack("<Q", value)) for value in (1 << 40, 7, 1 << 40))
    assert kernel.call64("ExInterlockedCompareExchange64", target, exchange, comparand, 0) == 1 << 40
    assert kernel.host.read(target, 8) == struct.pack("<Q", 7)


def test_a_large_integer_is_added_by_value(kernel: Any) -> None:
    target = kernel.text(struct.pack("<q", 0xFFFFFFFF))
    assert kernel.call64("ExInterlockedAddLargeInteger", target, 1, 0, 0) == 0xFFFFFFFF
    assert kernel.host.read(target, 8) == struct.pack("<q", 1 << 32)


def test_a_doubly_linked_list_keeps_order_and_tells_emptiness(kernel: Any) -> None:
    head, first, second = (kernel.text(bytes(8)) for _ in range(3))
    kernel.host.write(head, struct.pack("<II", head, head))
    assert kernel.call("ExfInterlockedInsertTailList", head, first, 0) == 0
    assert kernel.call("ExfInterlockedInsertTailList", head, second, 0) == first
    assert kernel.host.read(first, 8) == struct.pack("<II", second, head)
    assert [kernel.call("ExfInterlockedRemoveHeadList", head, 0) for _ in range(3)] == [first, second, 0]
    assert kernel.host.read(head, 8) == struct.pack("<II", head, head)


def test_a_sequenced_list_is_last_in_first_out_with_depth_and_sequence(kernel: Any) -> None:
    header, first, second = (kernel.text(bytes(8)) for _ in range(3))
    assert kernel.call("InterlockedPushEntrySList", header, first) == 0
    assert kernel.call("ExInterlockedPushEntrySList", header, second, 0) == first
    assert struct.unpack("<IHH", kernel.host.read(header, 8)) == (second, 2, 2)
    assert kernel.call("InterlockedPopEntrySList", header) == second
    assert kernel.call("ExInterlockedFlushSList", header) == first
    assert struct.unpack("<IHH", kernel.host.read(header, 8)) == (0, 0, 4)
    assert kernel.call("InterlockedPopEntrySList", header) == 0
