"""A minifilter's life: FltRegisterFilter to FltUnregisterFilter, and the callbacks of its instances.

Pages of FLT_REGISTRATION, FltRegisterFilter, FltStartFiltering, FltUnregisterFilter and of the PFLT_INSTANCE_ and
PFLT_FILTER_UNLOAD_ callbacks in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.contexts import context_of_kind, drop_all
from stackemu.emu.kernel.api.fltmgr.messages import Ports
from stackemu.emu.kernel.api.fltmgr.objects import (
    FUNCTION_NAMES,
    ContextKind,
    Filters,
    new_instance,
    new_object,
    related_objects,
)
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.roots import Root, Words

_MAJOR_VERSION = 2
_OPERATION_END, _CONTEXT_END = 0x80, 0xFFFF
_MAX_ENTRIES = 256
"""Lines of a registration table that are read at most."""
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
_FILTER_UNLOAD = 2
"""FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD."""
_TEARDOWN_REASONS = (1, _FILTER_UNLOAD, 4, 8, 16)
"""Manual, filter unload, mandatory filter unload, volume dismount, internal error."""
_SETUP_FLAGS = (1, 5, 2, 1 | 8)
"""Automatic attachment, of a newly mounted volume, manual attachment, of a detached volume."""
_VOLUMES = ((8, 2), (8, 3), (0x14, 6), (3, 4), (8, 1), (0x14, 0))
"""FILE_DEVICE_ type and FLT_FSTYPE_: NTFS and FAT on disks, LANMAN on the network, CDFS, raw, unknown."""
_TRANSACTION_NOTIFICATIONS = (2, 8, 1, 4, 0x40000000)
"""Prepare, rollback, pre-prepare, commit, commit finalize (TRANSACTION_NOTIFY_)."""


# -- registering --


def _register(call: ApiCall) -> None:
    _driver, address, out = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    registration = call.view("FLT_REGISTRATION", address)
    if registration["Version"] >> 8 != _MAJOR_VERSION:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    if not call.succeeds:
        call.fail()
        return
    filters = call.state(Filters)
    filters.filter = filters.filter or new_object(call)
    filters.is_unregistered = filters.is_filtering = False
    _read_contexts(call, filters, registration["ContextRegistration"])
    _read_operations(call, registration["OperationRegistration"])
    size = registration["Size"]
    for field, kind in _CALLBACKS.items():
        if registration.layout.offset(field) < size:
            filters.callbacks[field] = registration[field]
            call.root(registration[field], field, kind)
    if size > _SECTION_NOTIFICATION:
        routine = call.u32(address + _SECTION_NOTIFICATION)
        call.root(routine, "SectionNotificationCallback", "flt-section-notification")
    call.put_u32(out, filters.filter)


def _read_contexts(call: ApiCall, filters: Filters, address: int) -> None:
    for index in range(_MAX_ENTRIES if address else 0):
        line = call.view("FLT_CONTEXT_REGISTRATION", address + index * layout("FLT_CONTEXT_REGISTRATION").size)
        kind = line["ContextType"]
        if kind == _CONTEXT_END:
            return
        name = _CONTEXT_NAMES.get(kind, f"type {kind:#x}")
        known = ContextKind(
            size=line["Size"],
            tag=line["PoolTag"],
            flags=line["Flags"],
            cleanup=line["ContextCleanupCallback"],
            allocate=line["ContextAllocateCallback"],
            free=line["ContextFreeCallback"],
        )
        filters.contexts.setdefault(kind, []).append(known)
        call.root(known.cleanup, f"{name} context cleanup", "flt-context-cleanup", kind)
        call.root(known.allocate, f"{name} context allocation", "flt-context-allocate", kind, known.size)
        call.root(known.free, f"{name} context free", "flt-context-free", kind)


def _read_operations(call: ApiCall, address: int) -> None:
    for index in range(_MAX_ENTRIES if address else 0):
        line = call.view("FLT_OPERATION_REGISTRATION", address + index * layout("FLT_OPERATION_REGISTRATION").size)
        major = line["MajorFunction"]
        if major == _OPERATION_END:
            return
        name = f"IRP_MJ_{FUNCTION_NAMES.get(major, f'{major:#04x}')}"
        call.root(line["PreOperation"], f"{name} pre-operation", "flt-pre-operation", major, line["Flags"])
        call.root(line["PostOperation"], f"{name} post-operation", "flt-post-operation", major, line["Flags"])


def _start(call: ApiCall) -> None:
    """Instances come into being afterwards: InstanceSetupCallback is called for each volume."""
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    call.state(Filters).is_filtering = True


def _unregister(call: ApiCall) -> None:
    """Tears down the instances that are left, in the caller's context, and deletes their contexts."""
    limit_irql(call, PASSIVE_LEVEL)
    filters = call.state(Filters)
    if filters.is_unregistered:
        call.note(f"FltUnregisterFilter: {call.arguments[0]:#010x} was unregistered before")
        return
    filters.is_unregistered, filters.is_filtering = True, False
    _note_leftovers(call, filters)
    for instance in list(filters.instances):
        tear_down(call, instance, _FILTER_UNLOAD)
    drop_all(call)


def _note_leftovers(call: ApiCall, filters: Filters) -> None:
    """Ports that are open and objects that are referenced keep the filter from going away."""
    for port in call.state(Ports).open:
        call.note(f"FltUnregisterFilter: the port {port:#010x} is still open")
    for address, count in filters.references.items():
        if count:
            call.note(f"FltUnregisterFilter: waits for {address:#010x}, which is referenced")


def tear_down(call: ApiCall, instance: int, reason: int) -> None:
    """End an instance's life: the driver is told before and after its operations have drained."""
    filters = call.state(Filters)
    related = related_objects(call, instance, has_file=False).address
    for field in ("InstanceTeardownStartCallback", "InstanceTeardownCompleteCallback"):
        if filters.callbacks.get(field):
            call.invoke(filters.callbacks[field], related, reason)
    drop_all(call, instance)
    filters.instances.pop(instance, None)


# -- the kernel's calls --


def _setup(context: Context, _root: Root) -> Words:
    """(FltObjects, Flags, VolumeDeviceType, VolumeFilesystemType): for a new instance on a new volume."""
    related = related_objects(context, new_instance(context), has_file=False)
    device, system = pick(context, _VOLUMES)
    return Words((related.address, pick(context, _SETUP_FLAGS, 1), device, system))


def _query_teardown(context: Context, _root: Root) -> Words:
    """(FltObjects, Flags): no flags are defined."""
    return Words((related_objects(context, has_file=False).address, 0))


def _teardown(context: Context, _root: Root) -> Words:
    """(FltObjects, Reason)."""
    return Words((related_objects(context, has_file=False).address, pick(context, _TEARDOWN_REASONS)))


def _unload(context: Context, _root: Root) -> Words:
    """(Flags): FLTFL_FILTER_UNLOAD_MANDATORY, or none."""
    return Words((pick(context, (0, 1)),))


def _transaction(context: Context, _root: Root) -> Words:
    """(FltObjects, TransactionContext, NotificationMask)."""
    related = related_objects(context)
    related["Transaction"] = new_object(context)
    related["TransactionContext"] = 1
    return Words((related.address, context_of_kind(context, 32), pick(context, _TRANSACTION_NOTIFICATIONS)))


def _cleanup(context: Context, root: Root) -> Words:
    """(Context, ContextType), at a level at which paged memory may be touched."""
    set_irql(context, pick(context, (PASSIVE_LEVEL, APC_LEVEL)))
    return Words((context_of_kind(context, root.context[0]), root.context[0]))


def _allocate(_context: Context, root: Root) -> Words:
    """(PoolType, Size, ContextType)."""
    kind, size = root.context
    return Words((1, size if size != 0xFFFFFFFF else 0x100, kind))


def _free(context: Context, root: Root) -> Words:
    """(Pool, ContextType)."""
    return Words((context_of_kind(context, root.context[0]), root.context[0]))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltRegisterFilter": _register,
    "FltStartFiltering": _start,
    "FltUnregisterFilter": _unregister,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "flt-instance-setup": _setup,
    "flt-instance-query-teardown": _query_teardown,
    "flt-instance-teardown": _teardown,
    "flt-unload": _unload,
    "flt-transaction": _transaction,
    "flt-context-cleanup": _cleanup,
    "flt-context-allocate": _allocate,
    "flt-context-free": _free,
}
