"""Work that a minifilter puts off: work items, operations that it pends and completes, completion when it is safe.

Pages of FltQueueDeferredIoWorkItem, FltQueueGenericWorkItem, FltDoCompletionProcessingWhenSafe and
FltCompletePendedPreOperation in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.fltmgr.objects import FUNCTION_NAMES, filter_object
from stackemu.emu.kernel.api.fltmgr.operations import IRP_OPERATION, finish, operation_and_objects
from stackemu.emu.kernel.api.fltmgr.parameters import READ, WRITE
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, current_irql, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

STATUS_FLT_NOT_SAFE_TO_POST_OPERATION = 0xC01C0006
FINISHED_PROCESSING, MORE_PROCESSING_REQUIRED = 0, 1
"""FLT_POSTOP_CALLBACK_STATUS."""
_FLUSH_BUFFERS = 9
_COMPLETED_BY_STORAGE = frozenset({READ, WRITE, _FLUSH_BUFFERS})
"""Operations whose completion must not wait for a worker thread: the storage stack may be waiting for them."""
_PAGING_IO = 0x2
"""IRP_PAGING_IO."""
_ITEM_SIZE = 0x40
_DEFERRED, _GENERIC, _SAFE = "flt-deferred-work", "flt-generic-work", "flt-safe-completion"


@dataclass(slots=True)
class WorkItems:
    """Work items of both kinds that were allocated, and those that were freed; operations completed by the driver."""

    live: dict[int, None] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)
    completed: dict[int, None] = field(default_factory=dict)


# -- work items --


def _allocate(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.eax = call.allocate(_ITEM_SIZE)
        call.state(WorkItems).live[call.eax] = None


def _free(call: ApiCall) -> None:
    item, items = call.arguments[0], call.state(WorkItems)
    limit_irql(call, DISPATCH_LEVEL)
    _note_freed(call, item)
    if item in items.live:
        del items.live[item]
        items.freed[item] = None


def _note_freed(call: ApiCall, item: int) -> None:
    if item in call.state(WorkItems).freed:
        call.note(f"{call.name}: {item:#010x} was freed before")


def _block(context: Context, data: View) -> View:
    return context.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])


def _can_be_posted(call: ApiCall, data: View) -> bool:
    """Fast I/O and paging I/O cannot go to a worker thread."""
    return bool(data["Flags"] & IRP_OPERATION) and not _block(call, data)["IrpFlags"] & _PAGING_IO


def _queue_deferred(call: ApiCall) -> None:
    """(FltWorkItem, Data, WorkerRoutine, QueueType, Context)."""
    item, address, routine, _queue, context = call.arguments[:5]
    data = call.view("FLT_CALLBACK_DATA", address)
    limit_irql(call, DISPATCH_LEVEL)
    _note_freed(call, item)
    if not _can_be_posted(call, data):
        call.complete(STATUS_FLT_NOT_SAFE_TO_POST_OPERATION)
        return
    if not call.succeeds:
        call.fail()
        return
    call.root(routine, "deferred I/O work item", _DEFERRED, item, _block(call, data)["MajorFunction"], context)


def _queue_generic(call: ApiCall) -> None:
    """(FltWorkItem, FltObject, WorkerRoutine, QueueType, Context)."""
    item, target, routine, _queue, context = call.arguments[:5]
    limit_irql(call, DISPATCH_LEVEL)
    _note_freed(call, item)
    if call.succeeds:
        call.root(routine, "generic work item", _GENERIC, item, target, context)
    else:
        call.fail()


def _deferred(context: Context, root: Root) -> Words:
    """(FltWorkItem, CallbackData, Context): an IRP of the kind that was queued."""
    item, major, argument = root.context
    operation, _related = operation_and_objects(context, major)
    operation.data["Flags"] = operation.data["Flags"] & ~0xF | IRP_OPERATION
    return Words((item, operation.data.address, argument))


def _generic(context: Context, root: Root) -> Words:
    """(FltWorkItem, FltObject, Context)."""
    item, target, argument = root.context
    return Words((item, target or filter_object(context), argument))


# -- completing --


def _complete_when_safe(call: ApiCall) -> None:
    """(Data, FltObjects, CompletionContext, Flags, SafePostCallback, RetPostOperationStatus).

    At a level where paged memory may be touched the callback runs at once, else in a worker thread if it may.
    """
    address, related, context, flags, routine, status_out = call.arguments[:6]
    data = call.view("FLT_CALLBACK_DATA", address)
    limit_irql(call, DISPATCH_LEVEL)
    major = _block(call, data)["MajorFunction"]
    if major in _COMPLETED_BY_STORAGE:
        call.note(f"{call.name}: called for IRP_MJ_{FUNCTION_NAMES[major]}, which can deadlock")
    call.put_u32(status_out, FINISHED_PROCESSING)
    if current_irql(call) <= APC_LEVEL:
        status = call.invoke(routine, address, related, context, flags)
        call.put_u32(status_out, status)
        call.eax = 1
    elif _can_be_posted(call, data) and call.succeeds:
        call.root(routine, "safe post-operation callback", _SAFE, major, context, flags)
        call.put_u32(status_out, MORE_PROCESSING_REQUIRED)
        call.eax = 1


def _safe(context: Context, root: Root) -> Words:
    """(Data, FltObjects, CompletionContext, Flags), in a worker thread."""
    major, completion, flags = root.context
    operation, related = operation_and_objects(context, major)
    finish(context, operation)
    return Words((operation.data.address, related.address, completion, flags))


def _complete_pended(call: ApiCall) -> None:
    """FltCompletePendedPreOperation and FltCompletePendedPostOperation let an operation that was held go on."""
    address, items = call.arguments[0], call.state(WorkItems)
    call.u32(address)
    limit_irql(call, DISPATCH_LEVEL)
    if address in items.completed:
        call.note(f"{call.name}: {address:#010x} was completed before")
    items.completed[address] = None


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltAllocateDeferredIoWorkItem": _allocate,
    "FltAllocateGenericWorkItem": _allocate,
    "FltFreeDeferredIoWorkItem": _free,
    "FltFreeGenericWorkItem": _free,
    "FltQueueDeferredIoWorkItem": _queue_deferred,
    "FltQueueGenericWorkItem": _queue_generic,
    "FltDoCompletionProcessingWhenSafe": _complete_when_safe,
    "FltCompletePendedPreOperation": _complete_pended,
    "FltCompletePendedPostOperation": _complete_pended,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    _DEFERRED: _deferred,
    _GENERIC: _generic,
    _SAFE: _safe,
}
