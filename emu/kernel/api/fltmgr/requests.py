"""What a minifilter asks about an operation and changes of it: who requested it, how it runs, that it was changed.

Pages of FltGetRequestorProcess, FltIsOperationSynchronous, FltSetCallbackDataDirty, FltSetCancelCompletion and
FltRequestOperationStatusCallback in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.objects import FUNCTION_NAMES, related_objects
from stackemu.emu.kernel.api.fltmgr.operations import IRP_OPERATION, POST_OPERATION, make_operation
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.api.open_files import FO_SYNCHRONOUS_IO
from stackemu.emu.kernel.api.threads import CURRENT_PROCESS_ID
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.kernel.roots import Root, Words

DIRTY = 0x80000000
"""FLTFL_CALLBACK_DATA_DIRTY."""
STATUS_CANCELLED, STATUS_UNSUCCESSFUL, STATUS_NOT_FOUND = 0xC0000120, 0xC0000001, 0xC0000225
STATUS_PENDING, STATUS_OPLOCK_BREAK_IN_PROGRESS = 0x103, 0x108
_IRP_SYNCHRONOUS = 0x4 | 0x40
"""IRP_SYNCHRONOUS_API, IRP_SYNCHRONOUS_PAGING_IO."""
_NO_SESSION = 0xFFFFFFFF
_DIRECTORY_KEY = 1
_GUID_SIZE = 16
_NORMAL_PRIORITY = 2
"""IoPriorityNormal."""
_PRIORITY_INFO_SIZE, _THREAD_PRIORITY = 16, 0xFFFF
"""IO_PRIORITY_INFO: Size, ThreadPriority, PagePriority, IoPriority."""


def _data_flags(call: ApiCall) -> int:
    return call.view("FLT_CALLBACK_DATA", call.arguments[0])["Flags"]


# -- who --


def _process(call: ApiCall) -> None:
    """NULL for an operation whose thread belongs to no process any more."""
    call.u32(call.arguments[0])
    call.eax = current_process(call) if call.succeeds else 0


def _process_id(call: ApiCall) -> None:
    call.u32(call.arguments[0])
    call.eax = CURRENT_PROCESS_ID if call.succeeds else 0


def _session(call: ApiCall) -> None:
    out = call.arguments[1]
    call.put_u32(out, pick(call, (1, 0)) if call.succeeds else _NO_SESSION)
    if not call.succeeds:
        call.complete(STATUS_UNSUCCESSFUL)


def _is_32_bit(call: ApiCall) -> None:
    """All processes of a 32-bit system are."""
    call.eax = 1


# -- how --


def _is_directory(call: ApiCall) -> None:
    """FltIsDirectory(FileObject, Instance, IsDirectory)."""
    limit_irql(call, PASSIVE_LEVEL)
    if call.succeeds:
        call.put_u8(call.arguments[2], pick(call, (0, 1), _DIRECTORY_KEY))
    else:
        call.fail()


def _is_synchronous(call: ApiCall) -> None:
    """Fast I/O and callbacks of the memory manager always; IRPs by their flags and their file's."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[0])
    block = call.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])
    file = block["TargetFileObject"]
    call.eax = int(
        not data["Flags"] & IRP_OPERATION
        or bool(block["IrpFlags"] & _IRP_SYNCHRONOUS)
        or bool(file and call.view("FILE_OBJECT", file)["Flags"] & FO_SYNCHRONOUS_IO)
    )


def _irp_name(call: ApiCall) -> None:
    """FltGetIrpName(IrpMajorCode) returns a string that nobody frees."""
    text = f"IRP_MJ_{FUNCTION_NAMES.get(call.arguments[0] & 0xFF, 'UNKNOWN')}".encode() + b"\0"
    call.eax = call.allocate(len(text))
    call.write(call.eax, text)


# -- changes --


def _set_dirty(call: ApiCall) -> None:
    """Changes in a post-operation callback go nowhere: its parameters are thrown away."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[0])
    limit_irql(call, DISPATCH_LEVEL)
    data["Flags"] |= DIRTY


def _clear_dirty(call: ApiCall) -> None:
    data = call.view("FLT_CALLBACK_DATA", call.arguments[0])
    data["Flags"] &= ~DIRTY


def _is_dirty(call: ApiCall) -> None:
    call.eax = int(bool(_data_flags(call) & DIRTY))


def _set_status(call: ApiCall) -> None:
    call.u32(call.arguments[0])
    if not call.succeeds:
        call.fail()


# -- canceling --


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.u32(call.arguments[0])
        call.eax = pick(call, values)

    return behaviour


def _set_cancel(call: ApiCall) -> None:
    """FltSetCancelCompletion(CallbackData, CanceledCallback) fails when the operation is canceled already."""
    address, routine = call.arguments[:2]
    data = call.view("FLT_CALLBACK_DATA", address)
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds:
        call.complete(STATUS_CANCELLED)
        return
    major = call.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])["MajorFunction"]
    call.root(routine, "canceled-I/O callback", "flt-canceled", major)


def _clear_cancel(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds:
        call.complete(STATUS_CANCELLED)


def _canceled(context: Context, root: Root) -> Words:
    """(CallbackData): of an operation of the kind that the callback was set for."""
    operation = make_operation(context, root.context[0])
    operation.data["Flags"] |= IRP_OPERATION
    set_irql(context, pick(context, (PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL)))
    return Words((operation.data.address,))


# -- the file system's own status --


def _request_status(call: ApiCall) -> None:
    """FltRequestOperationStatusCallback(Data, CallbackRoutine, RequesterContext): of IRPs, before the operation."""
    address, routine, context = call.arguments[:3]
    data = call.view("FLT_CALLBACK_DATA", address)
    limit_irql(call, APC_LEVEL)
    if data["Flags"] & POST_OPERATION or not data["Flags"] & IRP_OPERATION:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    if not call.succeeds:
        call.fail()
        return
    major = call.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])["MajorFunction"]
    call.root(routine, "operation status callback", "flt-operation-status", major, context)


def _operation_status(context: Context, root: Root) -> Words:
    """(FltObjects, IopbSnapshot, OperationStatus, RequesterContext)."""
    major, requester = root.context
    operation = make_operation(context, major)
    related = related_objects(context, operation.block["TargetInstance"])
    related["FileObject"] = operation.block["TargetFileObject"]
    status = pick(context, (0, STATUS_PENDING, STATUS_OPLOCK_BREAK_IN_PROGRESS, STATUS_CANCELLED))
    return Words((related.address, operation.block.address, status, requester))


# -- priorities and activities --


def _priority(call: ApiCall) -> None:
    call.eax = pick(call, (_NORMAL_PRIORITY, 0, 1, 3))


def _priority_info(call: ApiCall) -> None:
    """FltRetrieveIoPriorityInfo(Data, FileObject, Thread, PriorityInfo): IoInitializePriorityInfo sets its Size."""
    out = call.arguments[3]
    if call.u32(out) != _PRIORITY_INFO_SIZE:
        call.complete(STATUS_INVALID_PARAMETER)
    elif call.succeeds:
        for at, value in ((4, _THREAD_PRIORITY), (8, pick(call, (0, 1, 5))), (12, _NORMAL_PRIORITY)):
            call.put_u32(out + at, value)
    else:
        call.fail()


def _apply_priority(call: ApiCall) -> None:
    """FltApplyPriorityInfoThread(InputPriorityInfo, OutputPriorityInfo, Thread): the output may be null."""
    source, out = call.arguments[:2]
    before = call.read(source, _PRIORITY_INFO_SIZE)
    if not call.succeeds:
        call.fail()
    elif out:
        call.write(out, before)


def _activity(call: ApiCall) -> None:
    """FltGetActivityIdCallbackData(CallbackData, Guid): an operation that nobody traces has none."""
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.write(call.arguments[1], b"".join(call.draw(key).to_bytes(4, "little") for key in range(4)))
    else:
        call.complete(STATUS_NOT_FOUND)


def _set_activity(call: ApiCall) -> None:
    """FltSetActivityIdCallbackData(CallbackData, Guid): null takes the activity away."""
    if call.arguments[1]:
        call.read(call.arguments[1], _GUID_SIZE)
    _set_status(call)


def _propagate_activity(call: ApiCall) -> None:
    """FltPropagateActivityIdToThread(CallbackData, PropagateId, OriginalId): the thread had no activity before."""
    _data, identifier, original_out = call.arguments[:3]
    if not call.succeeds:
        call.fail()
        return
    call.write(identifier, b"".join(call.draw(key).to_bytes(4, "little") for key in range(4)))
    call.put_u32(original_out, 0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltGetRequestorProcess": _process,
    "FltGetRequestorProcessId": _process_id,
    "FltGetRequestorProcessIdEx": _process_id,
    "FltGetRequestorSessionId": _session,
    "FltIs32bitProcess": _is_32_bit,
    "FltIsDirectory": _is_directory,
    "FltIsOperationSynchronous": _is_synchronous,
    "FltGetIrpName": _irp_name,
    "FltSetCallbackDataDirty": _set_dirty,
    "FltClearCallbackDataDirty": _clear_dirty,
    "FltIsCallbackDataDirty": _is_dirty,
    "FltIsIoCanceled": _choice(0, 1),
    "FltCancelIo": _choice(1, 0),
    "FltSetCancelCompletion": _set_cancel,
    "FltClearCancelCompletion": _clear_cancel,
    "FltRequestOperationStatusCallback": _request_status,
    "FltGetIoPriorityHint": _priority,
    "FltGetIoPriorityHintFromCallbackData": _priority,
    "FltGetIoPriorityHintFromFileObject": _priority,
    "FltGetIoPriorityHintFromThread": _priority,
    "FltSetIoPriorityHintIntoCallbackData": _set_status,
    "FltSetIoPriorityHintIntoFileObject": _set_status,
    "FltSetIoPriorityHintIntoThread": _set_status,
    "FltRetrieveIoPriorityInfo": _priority_info,
    "FltApplyPriorityInfoThread": _apply_priority,
    "FltGetIoAttributionHandleFromCallbackData": _choice(0),
    "FltPropagateActivityIdToThread": _propagate_activity,
    "FltGetActivityIdCallbackData": _activity,
    "FltSetActivityIdCallbackData": _set_activity,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "flt-canceled": _canceled,
    "flt-operation-status": _operation_status,
}
