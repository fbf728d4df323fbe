"""Pool: what the WDK's pages of the ExAllocatePool family promise, and what the driver does wrong."""

from __future__ import annotations

from typing import Any

import pytest

from stackemu.emu.kernel.call import Raised

TAG = int.from_bytes(b"Test", "little")
NON_PAGED, PAGED, FAIL_INSTEAD_OF_RAISE = 0, 1, 8
FLAG_NON_PAGED, FLAG_RAISE, FLAG_UNINITIALIZED = 0x40, 0x20, 0x2


def _notes(kernel: Any) -> list[str]:
    return list(kernel.state.records.notes)


def test_blocks_below_a_page_are_aligned_to_8_bytes_and_do_not_overlap(kernel: Any) -> None:
    first, second = (kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG) for _ in range(2))
    assert first % 8 == second % 8 == 0
    assert second >= first + 24


def test_blocks_of_a_page_or_more_are_page_aligned(kernel: Any) -> None:
    kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG)
    assert kernel.call("ExAllocatePoolWithTag", NON_PAGED, 0x1000, TAG) % 0x1000 == 0


def test_what_no_pool_can_hold_is_refused(kernel: Any) -> None:
    assert kernel.call("ExAllocatePoolWithTag", NON_PAGED, 0xFFFFFFF0, TAG) == 0


@pytest.mark.parametrize("name", ["ExAllocatePoolWithTag", "ExAllocatePoolWithTagPriority"])
def test_a_failed_allocation_is_null(kernel: Any, name: str) -> None:
    assert kernel.call(name, NON_PAGED, 24, TAG, source=kernel.FAILURE) == 0


def test_quota_variants_raise_unless_told_to_return_null(kernel: Any) -> None:
    with pytest.raises(Raised) as raised:
        kernel.call("ExAllocatePoolWithQuotaTag", PAGED, 24, TAG, source=kernel.FAILURE)
    assert raised.value.status == 0xC000009A
    kind = PAGED | FAIL_INSTEAD_OF_RAISE
    assert kernel.call("ExAllocatePoolWithQuotaTag", kind, 24, TAG, source=kernel.FAILURE) == 0


def test_pool2_takes_64_bits_of_flags_and_zeroes(kernel: Any) -> None:
    kernel.host.write(0x85000000, b"\xcc" * 0x100)
    address = kernel.call("ExAllocatePool2", FLAG_NON_PAGED, 0, 24, TAG)
    assert kernel.host.read(address, 24) == bytes(24)
    address = kernel.call("ExAllocatePool2", FLAG_NON_PAGED | FLAG_UNINITIALIZED, 0, 24, TAG)
    assert kernel.host.read(address, 24) == b"\xcc" * 24


def test_pool2_raises_only_when_asked_to(kernel: Any) -> None:
    assert kernel.call("ExAllocatePool2", FLAG_NON_PAGED, 0, 24, TAG, source=kernel.FAILURE) == 0
    with pytest.raises(Raised):
        kernel.call("ExAllocatePool2", FLAG_NON_PAGED | FLAG_RAISE, 0, 24, TAG, source=kernel.FAILURE)


def test_pool2_wants_a_tag_a_size_and_a_place(kernel: Any) -> None:
    assert kernel.call("ExAllocatePool2", FLAG_NON_PAGED, 0, 24, 0) == 0
    assert kernel.call("ExAllocatePool2", FLAG_NON_PAGED, 0, 0, TAG) == 0
    assert kernel.call("ExAllocatePool2", 0, 0, 24, TAG) == 0


def test_freeing_twice_is_noted(kernel: Any) -> None:
    address = kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG)
    kernel.call("ExFreePoolWithTag", address, TAG)
    assert _notes(kernel) == []
    kernel.call("ExFreePool", address)
    assert _notes(kernel) == [f"ExFreePool: {address:#010x} was freed before"]


def test_freeing_under_another_tag_is_noted_unless_no_tag_is_named(kernel: Any) -> None:
    first, second = (kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG) for _ in range(2))
    kernel.call("ExFreePoolWithTag", first, 0)
    kernel.call("ExFreePoolWithTag", second, int.from_bytes(b"Best", "little"))
    assert _notes(kernel) == [f"ExFreePoolWithTag: {second:#010x} was allocated with tag 'Test', freed with 'Best'"]


def test_freeing_what_is_no_pool_is_noted_but_memory_nobody_typed_is_not(kernel: Any) -> None:
    kernel.call("ExFreePool", 0x86000100)
    assert _notes(kernel) == []
    block = kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG)
    kernel.call("ExFreePool", 0xA5DE1000)
    kernel.call("ExFreePool", block + 8)
    assert _notes(kernel) == [
        "ExFreePool: 0xa5de1000 is part of the driver's image, never allocated",
        f"ExFreePool: {block + 8:#010x} lies inside the block at {block:#010x}",
    ]


def test_paged_pool_at_dispatch_level_is_noted(kernel: Any) -> None:
    kernel.call("KeRaiseIrqlToDpcLevel")
    kernel.call("ExAllocatePoolWithTag", NON_PAGED, 24, TAG)
    assert _notes(kernel) == []
    kernel.call("ExAllocatePoolWithTag", PAGED, 24, TAG)
    assert _notes(kernel) == ["ExAllocatePoolWithTag: paged pool asked for at IRQL 2, allowed up to 1"]
