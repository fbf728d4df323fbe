"""Handles of any kind: closed once, duplicated to the same object."""

from __future__ import annotations

from typing import Any

import pytest

STATUS_INVALID_HANDLE = 0xC0000008
OBJ_KERNEL_HANDLE = 0x200
DUPLICATE_CLOSE_SOURCE = 1
CURRENT_PROCESS = 0xFFFFFFFF


def _open(kernel: Any, address: int) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("ObOpenObjectByPointer", address, OBJ_KERNEL_HANDLE, 0, 0, 0, 0, out) == 0
    return int.from_bytes(kernel.host.read(out, 4), "little")


def _object(kernel: Any, handle: int) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("ObReferenceObjectByHandle", handle, 0, 0, 0, out, 0) == 0
    return int.from_bytes(kernel.host.read(out, 4), "little")


def _duplicate(kernel: Any, handle: int, options: int = 0) -> int:
    out = kernel.text(bytes(4))
    call = (CURRENT_PROCESS, handle, CURRENT_PROCESS, out, 0, OBJ_KERNEL_HANDLE, options)
    assert kernel.call("ZwDuplicateObject", *call) == 0
    return int.from_bytes(kernel.host.read(out, 4), "little")


@pytest.mark.parametrize("name", ["ZwClose", "NtClose"])
def test_a_handle_is_closed_once_whatever_the_input_says(kernel: Any, name: str) -> None:
    handle = _open(kernel, kernel.text(bytes(16)))
    assert kernel.call(name, handle, source=kernel.FAILURE) == 0
    assert kernel.call(name, handle) == STATUS_INVALID_HANDLE
    assert list(kernel.state.records.notes) == [f"{name}: the handle {handle:#x} was closed before"]
    assert kernel.call(name, 0) == STATUS_INVALID_HANDLE


def test_a_duplicate_stands_for_the_same_object_and_outlives_its_source(kernel: Any) -> None:
    address = kernel.text(bytes(16))
    source = _open(kernel, address)
    duplicate = _duplicate(kernel, source)
    assert duplicate != source
    assert duplicate & 0x80000000
    assert kernel.call("ZwClose", source) == 0
    assert _object(kernel, duplicate) == address
    moved = _duplicate(kernel, duplicate, DUPLICATE_CLOSE_SOURCE)
    assert kernel.call("ZwClose", duplicate) == STATUS_INVALID_HANDLE
    assert _object(kernel, moved) == address


def test_a_duplicate_of_a_handle_from_elsewhere_stands_for_what_that_handle_does(kernel: Any) -> None:
    assert _object(kernel, _duplicate(kernel, 0x4C)) == _object(kernel, 0x4C)
