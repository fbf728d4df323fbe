"""WdfObject functions: contexts by type, references, deletion, locks of objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import (
    add_context,
    attributes,
    delete,
    find,
    framework,
    release,
    typed_context,
)
from stackemu.emu.kernel.api.wdf.shapes import creator, nothing, status_only
from stackemu.emu.kernel.api.wdf.structures import CONTEXT_TYPE_INFO, config
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

_STATUS_OBJECT_NAME_EXISTS = 0x40000000


def _get_typed_context(call: ApiCall) -> None:
    call.eax = typed_context(call, *call.arguments[1:3])


def _allocate_context(call: ApiCall) -> None:
    """WdfObjectAllocateContext; an object has one context of a type, a second request is told that it exists."""
    if not call.succeeds:
        call.fail()
        return
    handle, given_address, out = call.arguments[1:4]
    owner = find(call, handle, "WDFOBJECT")
    given = attributes(call, given_address)
    type_address = given["ContextTypeInfo"]
    unique = config(call, type_address, CONTEXT_TYPE_INFO)["UniqueType"] or type_address
    if unique in owner.contexts:
        call.put_optional(out, owner.contexts[unique])
        call.complete(_STATUS_OBJECT_NAME_EXISTS)
        return
    call.put_optional(out, add_context(call, owner, given))


def _context_get_object(call: ApiCall) -> None:
    area = call.arguments[1]
    owners = framework(call).owners
    if area not in owners:
        owners[area] = find(call, area, "WDFOBJECT").handle
    call.eax = owners[area]


def _reference(call: ApiCall) -> None:
    find(call, call.arguments[1], "WDFOBJECT").references += 1


def _dereference(call: ApiCall) -> None:
    owner = find(call, call.arguments[1], "WDFOBJECT")
    if owner.references <= 1 and not owner.is_deleted and not owner.is_foreign:
        call.note(f"{call.name}: {owner.kind} {owner.handle:#x} has no reference left to take away")
    release(call, owner)


def _delete(call: ApiCall) -> None:
    doomed = find(call, call.arguments[1], "WDFOBJECT")
    if doomed.is_deleted:
        call.note(f"{call.name}: {doomed.kind} {doomed.handle:#x} was deleted before")
    delete(call, doomed)


def _acquire(call: ApiCall) -> None:
    find(call, call.arguments[1], "WDFOBJECT").values["locked"] = 1


def _release(call: ApiCall) -> None:
    find(call, call.arguments[1], "WDFOBJECT").values["locked"] = 0


def _handle_role(kind: str) -> Callable[[Context, Root], Words]:
    def build(context: Context, root: Root) -> Words:
        return Words((find(context, root.context[0], kind).handle,))

    return build


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfObjectGetTypedContextWorker": _get_typed_context,
    "WdfObjectAllocateContext": _allocate_context,
    "WdfObjectContextGetObject": _context_get_object,
    "WdfObjectReferenceActual": _reference,
    "WdfObjectDereferenceActual": _dereference,
    "WdfObjectCreate": creator("WDFOBJECT", attributes=1, result=2),
    "WdfObjectDelete": _delete,
    "WdfObjectQuery": status_only,
    "WdfObjectAcquireLock": _acquire,
    "WdfObjectReleaseLock": _release,
    "WdfVerifierDbgBreakPoint": nothing,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    name: _handle_role("WDFOBJECT") for name in ("EvtCleanupCallback", "EvtDestroyCallback")
}
