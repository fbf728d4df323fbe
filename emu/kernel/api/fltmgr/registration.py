"""A minifilter's life: FltRegisterFilter to FltUnregisterFilter, and the callbacks of its instances.

Pages of FLT_REGISTRATION, FltRegisterFilter, FltStartFiltering, FltUnregisterFilter and of the PFLT_INSTANCE_ and
PFLT_FILTER_UNLOAD_ callbacks in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr import registration_tables
from stackemu.emu.kernel.api.fltmgr.contexts import context_of_kind, drop_all
from stackemu.emu.kernel.api.fltmgr.messages import Ports
from stackemu.emu.kernel.api.fltmgr.objects import (
    ContextKind,
    Filters,
    new_instance,
    new_object,
    related_objects,
)
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

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
    if not registration_tables.is_known(registration):
        call.complete(STATUS_INVALID_PARAMETER)
        return
    if not call.succeeds:
        call.fail()
        return
    filters = call.state(Filters)
    filters.filter = filters.filter or new_object(call)
    filters.is_unregistered = filters.is_filtering = False
    for line in registration_tables.contexts(registration):
        filters.contexts.setdefault(line["ContextType"], []).append(_context_kind(line))
    filters.callbacks.update(registration_tables.callbacks(registration))
    for root in registration_tables.roots(registration):
        call.kernel.add_root(root)
    call.put_u32(out, filters.filter)


def _context_kind(line: View) -> ContextKind:
    return ContextKind(
        size=line["Size"],
        tag=line["PoolTag"],
        flags=line["Flags"],
        cleanup=line["ContextCleanupCallback"],
        allocate=line["ContextAllocateCallback"],
        free=line["ContextFreeCallback"],
    )


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
