"""The KMDF framework's objects: contexts by type, the tree of parents, deletion, the driver object.

Structures are packed here from wdfobject.h and wdfdriver.h; their sizes are those of a 32-bit build.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.exports import kmdf_functions

CALLBACK, OTHER_CALLBACK = 0xA5DE1100, 0xA5DE1200
GLOBALS = 0


def attributes(
    kernel: Any, *, cleanup: int = 0, destroy: int = 0, parent: int = 0, override: int = 0, info: int = 0
) -> int:
    """Return the address of a WDF_OBJECT_ATTRIBUTES."""
    return kernel.text(struct.pack("<8I", 32, cleanup, destroy, 1, 1, parent, override, info))


def context_type(kernel: Any, size: int) -> int:
    """Return the address of a WDF_OBJECT_CONTEXT_TYPE_INFO that is its own unique type."""
    address = kernel.text(bytes(20))
    kernel.host.write(address, struct.pack("<5I", 20, 0, size, address, 0))
    return address


def word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


def create(kernel: Any, given: int = 0) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("WdfObjectCreate", GLOBALS, given, out) == 0
    return word(kernel, out)


def test_the_function_table_counts_every_argument_once() -> None:
    """On x86 each argument takes a word, 64-bit ones two; DriverGlobals comes first."""
    sizes = {api.name: api.stack_bytes for api in kmdf_functions()}
    assert sizes["WdfMemoryCreate"] == 7 * 4
    assert sizes["WdfDmaTransactionInitialize"] == 7 * 4
    assert sizes["WdfTimerStart"] == 2 * 4 + 8


def test_a_context_is_found_by_its_type_and_starts_as_zeros(kernel: Any) -> None:
    first, second = context_type(kernel, 24), context_type(kernel, 8)
    handle = create(kernel, attributes(kernel, info=first))
    area = kernel.call("WdfObjectGetTypedContextWorker", GLOBALS, handle, first)
    assert area
    assert kernel.host.read(area, 24) == bytes(24)
    assert kernel.call("WdfObjectGetTypedContextWorker", GLOBALS, handle, second) == 0
    assert kernel.call("WdfObjectContextGetObject", GLOBALS, area) == handle


def test_allocating_a_context_twice_reports_the_first_one(kernel: Any) -> None:
    info, out, handle = context_type(kernel, 16), kernel.text(bytes(4)), create(kernel)
    given = attributes(kernel, info=info)
    assert kernel.call("WdfObjectAllocateContext", GLOBALS, handle, given, out) == 0
    area = word(kernel, out)
    assert kernel.call("WdfObjectAllocateContext", GLOBALS, handle, given, out) == 0x40000000
    assert word(kernel, out) == area


def test_deletion_cleans_up_children_before_their_parent(kernel: Any) -> None:
    parent = create(kernel, attributes(kernel, cleanup=CALLBACK, destroy=CALLBACK))
    child = create(kernel, attributes(kernel, cleanup=OTHER_CALLBACK, parent=parent))
    kernel.call("WdfObjectDelete", GLOBALS, parent)
    assert kernel.host.invoked == [(OTHER_CALLBACK, (child,)), (CALLBACK, (parent,)), (CALLBACK, (parent,))]


def test_a_reference_postpones_the_destroy_callback_only(kernel: Any) -> None:
    handle = create(kernel, attributes(kernel, cleanup=CALLBACK, destroy=OTHER_CALLBACK))
    kernel.call("WdfObjectReferenceActual", GLOBALS, handle, 0, 0, 0)
    kernel.call("WdfObjectDelete", GLOBALS, handle)
    assert kernel.host.invoked == [(CALLBACK, (handle,))]
    kernel.call("WdfObjectDereferenceActual", GLOBALS, handle, 0, 0, 0)
    assert kernel.host.invoked[1:] == [(OTHER_CALLBACK, (handle,))]


def test_a_handle_that_nobody_made_has_every_context_that_is_asked_for(kernel: Any) -> None:
    info = context_type(kernel, 64)
    area = kernel.call("WdfObjectGetTypedContextWorker", GLOBALS, 0x86000100, info)
    assert area
    assert kernel.call("WdfObjectGetTypedContextWorker", GLOBALS, 0x86000100, info) == area


def bind(kernel: Any) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("WdfVersionBind", 0, 0, 0, out, library="wdfldr.sys") == 0
    return word(kernel, out)


@pytest.mark.parametrize(
    ("size", "roots"), [(20, ["EvtDriverDeviceAdd", "EvtDriverUnload"]), (8, ["EvtDriverDeviceAdd"])]
)
def test_the_driver_object_takes_the_callbacks_within_the_config_s_size(
    kernel: Any, size: int, roots: list[str]
) -> None:
    globals_, out = bind(kernel), kernel.text(bytes(4))
    config = kernel.text(struct.pack("<5I", size, CALLBACK, OTHER_CALLBACK, 0, 0x2061_6261))
    assert kernel.call("WdfDriverCreate", globals_, 0, 0, 0, config, out) == 0
    assert [root.role for root in kernel.roots] == roots
    assert word(kernel, globals_) == word(kernel, out)  # WdfGetDriver() reads WdfDriverGlobals->Driver
    assert kernel.call("WdfDriverCreate", globals_, 0, 0, 0, config, out) == 0xC0000183


def test_a_failed_creation_leaves_the_handle_alone(kernel: Any) -> None:
    out = kernel.text(struct.pack("<I", 0x1234))
    assert kernel.call("WdfObjectCreate", GLOBALS, 0, out, source=kernel.FAILURE) & 0x80000000
    assert word(kernel, out) == 0x1234


@pytest.mark.parametrize(("flags", "unload", "displaced"), [(0, 0, 1), (1, 0, 0), (1, CALLBACK, 1), (2, 0, 0)])
def test_a_driver_that_can_be_unloaded_gets_an_unload_routine(
    kernel: Any, flags: int, unload: int, displaced: int
) -> None:
    """Non-PnP drivers (1) and those that keep their dispatch table (2) are unloaded only with EvtDriverUnload."""
    globals_ = bind(kernel)
    config = kernel.text(struct.pack("<5I", 20, 0, unload, flags, 0))
    assert kernel.call("WdfDriverCreate", globals_, 0, 0, 0, config, 0) == 0
    assert kernel.host.read(globals_ + 44, 1)[0] == displaced


def test_a_library_that_is_not_there_binds_nothing(kernel: Any) -> None:
    out = kernel.text(bytes(4))
    status = kernel.call("WdfVersionBind", 0, 0, 0, out, source=kernel.FAILURE, library="wdfldr.sys")
    assert status >= 0x80000000
    assert word(kernel, out) == 0
