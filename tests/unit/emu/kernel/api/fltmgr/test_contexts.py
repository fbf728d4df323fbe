"""Contexts: how long they live, what they are tied to, and what is said of mistakes with their references."""

from __future__ import annotations

import struct
from typing import Any

import pytest

CLEANUP = 0xA5DE1200
INSTANCE_CONTEXT, STREAM_CONTEXT = 2, 8
REPLACE_IF_EXISTS, KEEP_IF_EXISTS = 0, 1
INSTANCE, OTHER_INSTANCE, FILE = 0x85600000, 0x85610000, 0x85620000
NOT_FOUND, ALREADY_DEFINED, ALREADY_LINKED, ALLOCATION_NOT_FOUND = 0xC0000225, 0xC01C0002, 0xC01C001C, 0xC01C0016


@pytest.fixture
def registered(kernel: Any) -> Any:
    """A kernel whose driver registered instance contexts of 32 bytes, and stream contexts of up to 64."""
    lines = struct.pack("<HHIIIIII", INSTANCE_CONTEXT, 0, CLEANUP, 32, 0, 0, 0, 0)
    lines += struct.pack("<HHIIIIII", STREAM_CONTEXT, 1, CLEANUP, 64, 0, 0, 0, 0) + struct.pack("<H", 0xFFFF)
    head = struct.pack("<HHIII", 56, 0x0203, 0, kernel.text(lines), 0)
    kernel.call("FltRegisterFilter", 0, kernel.text(head + bytes(44)), kernel.text(bytes(4)))
    return kernel


def _allocate(kernel: Any, kind: int = INSTANCE_CONTEXT, size: int = 32) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("FltAllocateContext", 0, kind, size, 1, out) == 0
    return int(kernel.context().u32(out))


def _cleaned(kernel: Any) -> list[int]:
    return [arguments[0] for address, arguments in kernel.host.invoked if address == CLEANUP]


def _get(kernel: Any, instance: int = INSTANCE) -> tuple[int, int]:
    out = kernel.text(b"\xcc" * 4)
    status = kernel.call("FltGetInstanceContext", instance, out)
    return status, kernel.context().u32(out)


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [
        (INSTANCE_CONTEXT, 32, 0),
        (INSTANCE_CONTEXT, 31, ALLOCATION_NOT_FOUND),
        (STREAM_CONTEXT, 64, 0),
        (STREAM_CONTEXT, 8, 0),
        (STREAM_CONTEXT, 65, ALLOCATION_NOT_FOUND),
        (1, 32, ALLOCATION_NOT_FOUND),
    ],
)
def test_only_registered_types_and_sizes_are_allocated(registered: Any, kind: int, size: int, status: int) -> None:
    out = registered.text(b"\xcc" * 4)
    assert registered.call("FltAllocateContext", 0, kind, size, 1, out) == status
    assert bool(registered.context().u32(out)) == (status == 0)


def test_the_last_release_cleans_up_once(registered: Any) -> None:
    context = _allocate(registered)
    registered.call("FltReferenceContext", context)
    registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == []
    registered.call("FltReleaseContext", context)
    assert registered.host.invoked == [(CLEANUP, (context, INSTANCE_CONTEXT))]
    registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == [context]
    assert [*registered.state.records.notes] == [f"FltReleaseContext: context {context:#010x} was freed before"]


def test_the_object_holds_a_reference_until_the_tie_is_broken(registered: Any) -> None:
    context = _allocate(registered)
    assert registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, context, 0) == 0
    registered.call("FltReleaseContext", context)
    assert _get(registered) == (0, context)
    registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == []
    assert registered.call("FltDeleteInstanceContext", INSTANCE, 0) == 0
    assert _cleaned(registered) == [context]
    assert not registered.state.records.notes


def test_deleting_hands_the_reference_over_when_the_driver_asks_for_the_context(registered: Any) -> None:
    context, old = _allocate(registered), registered.text(bytes(4))
    registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, context, 0)
    registered.call("FltReleaseContext", context)
    assert registered.call("FltDeleteInstanceContext", INSTANCE, old) == 0
    assert (registered.context().u32(old), _cleaned(registered)) == (context, [])
    assert registered.call("FltDeleteInstanceContext", INSTANCE, old) == NOT_FOUND
    registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == [context]


def test_a_context_is_tied_to_one_object_only(registered: Any) -> None:
    context = _allocate(registered)
    registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, context, 0)
    assert registered.call("FltSetInstanceContext", OTHER_INSTANCE, REPLACE_IF_EXISTS, context, 0) == ALREADY_LINKED


def test_keeping_returns_the_context_that_was_there_with_a_reference(registered: Any) -> None:
    first, second, old = _allocate(registered), _allocate(registered), registered.text(bytes(4))
    registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, first, 0)
    registered.call("FltReleaseContext", first)
    assert registered.call("FltSetInstanceContext", INSTANCE, KEEP_IF_EXISTS, second, old) == ALREADY_DEFINED
    assert registered.context().u32(old) == first
    registered.call("FltReleaseContext", first)
    registered.call("FltReleaseContext", second)
    assert _cleaned(registered) == [second]
    assert _get(registered) == (0, first)


def test_replacing_drops_the_old_context_unless_the_driver_wants_it(registered: Any) -> None:
    first, second = _allocate(registered), _allocate(registered)
    for context in (first, second):
        registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, context, 0)
        registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == [first]
    assert _get(registered) == (0, second)


def test_a_tied_context_that_is_released_too_often_is_noted(registered: Any) -> None:
    context = _allocate(registered)
    registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, context, 0)
    registered.call("FltReleaseContext", context)
    registered.call("FltReleaseContext", context)
    assert [*registered.state.records.notes] == [
        f"FltReleaseContext: context {context:#010x} is released more often than referenced"
    ]


def test_an_object_without_a_context_answers_not_found_and_null(registered: Any) -> None:
    assert _get(registered) == (NOT_FOUND, 0)


def test_several_contexts_come_and_go_together(registered: Any) -> None:
    instance, stream = _allocate(registered), _allocate(registered, STREAM_CONTEXT, 16)
    registered.call("FltSetInstanceContext", INSTANCE, REPLACE_IF_EXISTS, instance, 0)
    registered.call("FltSetStreamContext", INSTANCE, FILE, REPLACE_IF_EXISTS, stream, 0)
    related = registered.text(struct.pack("<HHIIIII", 24, 0, 0, 0, INSTANCE, FILE, 0))
    found = registered.text(b"\xcc" * 24)
    registered.call("FltGetContexts", related, INSTANCE_CONTEXT | STREAM_CONTEXT, found)
    order = struct.unpack("<6I", registered.host.read(found, 24))
    assert order == (0, instance, 0, stream, 0, 0), "volume, instance, file, stream, stream handle, transaction"
    registered.call("FltReleaseContexts", found)
    assert registered.host.read(found, 24) == bytes(24)
    for context in (instance, stream):
        registered.call("FltReleaseContext", context)
    assert _cleaned(registered) == []
    assert not registered.state.records.notes
