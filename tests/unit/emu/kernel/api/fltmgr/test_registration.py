"""A minifilter's life: what registering makes known, and what unregistering ends."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.api.fltmgr.objects import Filters, new_instance

CODE = 0xA5DE1000
PRE, POST, CLEANUP = CODE + 0x10, CODE + 0x20, CODE + 0x30
UNLOAD, SETUP, QUERY_TEARDOWN, TEARDOWN_START, TEARDOWN_COMPLETE = (CODE + 0x100 + 0x10 * index for index in range(5))
INVALID_PARAMETER, DO_NOT_ATTACH, DO_NOT_DETACH, NAME_COLLISION = 0xC000000D, 0xC01C000F, 0xC01C0010, 0xC01C0012
FILTER_UNLOAD, MANUAL_TEARDOWN, MANUAL_ATTACHMENT = 2, 1, 2


def register(
    kernel: Any, *, version: int = 0x0203, size: int = 60, contexts: bytes = b"", teardown: bool = True
) -> int:
    """Register a filter of IRP_MJ_CREATE, READ and CLEANUP; returns the status and leaves the filter at `out`."""
    operations = struct.pack("<B3xIIII", 0, 0, PRE, POST, 0) + struct.pack("<B3xIIII", 3, 1, PRE, 0, 0)
    operations += struct.pack("<B3xIIII", 0x80, 0, 0, 0, 0) + struct.pack("<B3xIIII", 18, 0, PRE, POST, 0)
    lines = contexts + struct.pack("<H", 0xFFFF)
    later = (QUERY_TEARDOWN, TEARDOWN_START, TEARDOWN_COMPLETE) if teardown else (0, 0, 0)
    callbacks = struct.pack("<11I", UNLOAD, SETUP, *later, *[0] * 6)
    head = struct.pack("<HHIII", size, version, 0, kernel.text(lines), kernel.text(operations))
    registration = kernel.text(head + callbacks)
    return int(kernel.call("FltRegisterFilter", 0, registration, kernel.text(bytes(4))))


def context_line(kind: int, size: int, cleanup: int = CLEANUP, flags: int = 0) -> bytes:
    """FLT_CONTEXT_REGISTRATION."""
    return struct.pack("<HHIIIIII", kind, flags, cleanup, size, 0x6C746C46, 0, 0, 0)


def _roles(kernel: Any) -> set[tuple[int, str]]:
    return {(root.address, root.role) for root in kernel.roots}


def test_every_registered_callback_becomes_a_root(kernel: Any) -> None:
    assert register(kernel, contexts=context_line(2, 0x20)) == 0
    assert _roles(kernel) == {
        (UNLOAD, "FilterUnloadCallback"),
        (SETUP, "InstanceSetupCallback"),
        (QUERY_TEARDOWN, "InstanceQueryTeardownCallback"),
        (TEARDOWN_START, "InstanceTeardownStartCallback"),
        (TEARDOWN_COMPLETE, "InstanceTeardownCompleteCallback"),
        (CLEANUP, "instance context cleanup"),
        (PRE, "IRP_MJ_CREATE pre-operation"),
        (POST, "IRP_MJ_CREATE post-operation"),
        (PRE, "IRP_MJ_READ pre-operation"),
    }, "operations end at IRP_MJ_OPERATION_END"


def test_a_registration_of_another_major_version_is_refused(kernel: Any) -> None:
    assert register(kernel, version=0x0300) == INVALID_PARAMETER
    assert not kernel.roots


def test_setup_gets_an_instance_on_a_volume_and_teardown_one_of_the_documented_reasons(kernel: Any) -> None:
    register(kernel)
    by_address = {root.address: root for root in kernel.roots}
    related, flags, device, system = kernel.arguments(by_address[SETUP]).stack
    size, _, filter_, volume, instance, file, transaction = struct.unpack("<HHIIIII", kernel.host.read(related, 24))
    assert (size, file, transaction) == (24, 0, 0)
    assert 0 not in (filter_, volume, instance)
    assert (flags & ~0xF, device, system) == (0, 8, 2), "a disk file system, NTFS"
    assert kernel.arguments(by_address[TEARDOWN_START]).stack[1] in (1, 2, 4, 8, 16)
    assert kernel.arguments(by_address[UNLOAD]).stack in ((0,), (1,))


def test_unregistering_tears_instances_down_with_both_callbacks_and_only_once(kernel: Any) -> None:
    register(kernel)
    filter_ = kernel.state.of(Filters).filter
    instance = new_instance(kernel.context())
    kernel.call("FltUnregisterFilter", filter_)
    assert [address for address, _ in kernel.host.invoked] == [TEARDOWN_START, TEARDOWN_COMPLETE]
    related, reason = kernel.host.invoked[0][1]
    assert reason == FILTER_UNLOAD
    assert kernel.context().u32(related + 12) == instance
    kernel.call("FltUnregisterFilter", filter_)
    assert [*kernel.state.records.notes] == [f"FltUnregisterFilter: {filter_:#010x} was unregistered before"]


def test_unregistering_with_references_waits_which_is_noted(kernel: Any) -> None:
    register(kernel)
    volume = kernel.state.of(Filters).instances.setdefault(new_instance(kernel.context()), 0)
    out = kernel.text(bytes(4))
    kernel.call("FltGetVolumeFromInstance", next(iter(kernel.state.of(Filters).instances)), out)
    assert kernel.context().u32(out) == volume
    kernel.call("FltUnregisterFilter", kernel.state.of(Filters).filter)
    assert [*kernel.state.records.notes] == [f"FltUnregisterFilter: waits for {volume:#010x}, which is referenced"]


def test_a_reference_too_few_is_noted(kernel: Any) -> None:
    context = kernel.context()
    volume = context.state(Filters).instances[new_instance(context)]
    kernel.call("FltObjectReference", volume)
    kernel.call("FltObjectDereference", volume)
    assert not kernel.state.records.notes
    kernel.call("FltObjectDereference", volume)
    assert [*kernel.state.records.notes] == [
        f"FltObjectDereference: {volume:#010x} is dereferenced more often than referenced"
    ]


def test_attaching_asks_setup_and_gives_a_referenced_instance(kernel: Any) -> None:
    register(kernel)
    volume, out = 0x85700000, kernel.text(bytes(4))
    assert kernel.call("FltAttachVolume", 0, volume, 0, out) == 0
    instance = kernel.context().u32(out)
    assert kernel.state.of(Filters).instances[instance] == volume
    assert kernel.state.of(Filters).references[instance] == 1
    (address, arguments), *more = kernel.host.invoked
    assert (address, arguments[1], more) == (SETUP, MANUAL_ATTACHMENT, [])
    assert kernel.call("FltAttachVolume", 0, volume, 0, out) == NAME_COLLISION


def test_setup_may_decline_an_attachment(kernel: Any) -> None:
    register(kernel)
    kernel.host.code[SETUP] = lambda *_: 0xC01C000F
    assert kernel.call("FltAttachVolume", 0, 0x85700000, 0, 0) == DO_NOT_ATTACH
    assert not kernel.state.of(Filters).instances


@pytest.mark.parametrize(
    ("teardown", "answer", "status", "called"),
    [
        (True, 0, 0, [QUERY_TEARDOWN, TEARDOWN_START, TEARDOWN_COMPLETE]),
        (True, DO_NOT_DETACH, DO_NOT_DETACH, [QUERY_TEARDOWN]),
        (False, 0, DO_NOT_DETACH, []),
    ],
)
def test_detaching_takes_the_consent_of_the_driver(
    kernel: Any, teardown: bool, answer: int, status: int, called: list[int]
) -> None:
    register(kernel, teardown=teardown)
    context = kernel.context()
    instance = new_instance(context)
    kernel.host.code[QUERY_TEARDOWN] = lambda *_: answer
    assert kernel.call("FltDetachVolume", 0, context.state(Filters).instances[instance], 0) == status
    assert [address for address, _ in kernel.host.invoked] == called
    assert (instance in kernel.state.of(Filters).instances) == bool(status)
    if not status:
        assert kernel.host.invoked[1][1][1] == MANUAL_TEARDOWN
