"""What a minifilter's FLT_REGISTRATION says: its tables line by line, and all its callbacks as roots.

Pages of FLT_REGISTRATION, FLT_CONTEXT_REGISTRATION and FLT_OPERATION_REGISTRATION in the WDK.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stackemu.emu.kernel.api.fltmgr.objects import FUNCTION_NAMES
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.roots import Root

_MAJOR_VERSION = 2
_OPERATION_END, _CONTEXT_END = 0x80, 0xFFFF
_MAX_ENTRIES = 256
"""Lines of a table that are read at most: a bound for hostile images."""
_SECTION_NOTIFICATION = 56
"""Offset of SectionNotificationCallback, the last field of FLT_REGISTRATION since version 0x0203."""
_CALLBACKS = {
    "FilterUnloadCallback": "flt-unload",
    "InstanceSetupCallback": "flt-instance-setup",
    "InstanceQueryTeardownCallback": "flt-instance-query-teardown",
    "InstanceTeardownStartCallback": "flt-instance-teardown",
    "InstanceTeardownCompleteCallback": "flt-instance-teardown",
    "GenerateFileNameCallback": "flt-generate-name",
    "NormalizeNameComponentCallback": "flt-normalize-name",
    "NormalizeContextCleanupCallback": "flt-normalize-cleanup",
    "TransactionNotificationCallback": "flt-transaction",
    "NormalizeNameComponentExCallback": "flt-normalize-name-ex",
}
"""Fields of FLT_REGISTRATION that are callbacks, with the kinds of their roots."""
_CONTEXT_NAMES = {
    1: "volume",
    2: "instance",
    4: "file",
    8: "stream",
    16: "stream handle",
    32: "transaction",
    64: "section",
}


def is_known(registration: View) -> bool:
    """Return whether the structure has the version that the Filter Manager knows."""
    return registration["Version"] >> 8 == _MAJOR_VERSION


def contexts(registration: View) -> Iterator[View]:
    """Yield the FLT_CONTEXT_REGISTRATION of each kind of context."""
    lines = _lines(registration, "ContextRegistration", "FLT_CONTEXT_REGISTRATION")
    return itertools.takewhile(lambda line: line["ContextType"] != _CONTEXT_END, lines)


def roots(registration: View) -> Iterator[Root]:
    """Yield every callback in its role: those of contexts, of operations, and of the filter itself."""
    for line in contexts(registration):
        yield from _of_context(line)
    operations = _lines(registration, "OperationRegistration", "FLT_OPERATION_REGISTRATION")
    for line in itertools.takewhile(lambda line: line["MajorFunction"] != _OPERATION_END, operations):
        yield from _of_operation(line)
    for field, address in callbacks(registration):
        yield Root(address, field, _CALLBACKS[field])
    if registration["Size"] > _SECTION_NOTIFICATION:
        word = registration.memory.read(registration.address + _SECTION_NOTIFICATION, 4)
        yield Root(int.from_bytes(word, "little"), "SectionNotificationCallback", "flt-section-notification")


def callbacks(registration: View) -> Iterator[tuple[str, int]]:
    """Yield field and address of the filter's own callbacks, as far as the structure's size reaches."""
    size = registration["Size"]
    for field in _CALLBACKS:
        if registration.layout.offset(field) < size:
            yield field, registration[field]


def _of_context(line: View) -> Iterator[Root]:
    kind, size = line["ContextType"], line["Size"]
    name = _CONTEXT_NAMES.get(kind, f"type {kind:#x}")
    yield Root(line["ContextCleanupCallback"], f"{name} context cleanup", "flt-context-cleanup", (kind,))
    yield Root(line["ContextAllocateCallback"], f"{name} context allocation", "flt-context-allocate", (kind, size))
    yield Root(line["ContextFreeCallback"], f"{name} context free", "flt-context-free", (kind,))


def _of_operation(line: View) -> Iterator[Root]:
    major, flags = line["MajorFunction"], line["Flags"]
    name = f"IRP_MJ_{FUNCTION_NAMES.get(major, f'{major:#04x}')}"
    yield Root(line["PreOperation"], f"{name} pre-operation", "flt-pre-operation", (major, flags))
    yield Root(line["PostOperation"], f"{name} post-operation", "flt-post-operation", (major, flags))


def _lines(registration: View, field: str, structure: str) -> Iterator[View]:
    shape = layout(structure)
    start = registration[field]
    for index in range(_MAX_ENTRIES if start else 0):
        yield View(registration.memory, start + index * shape.size, shape)
