"""Locks for minifilters: resources, byte-range locks and oplocks, as the kernel has them, on callback data.

Pages of FltAcquireResourceExclusive, FltProcessFileLock, FltCheckLockForReadAccess, FltCheckOplock and
FltOplockFsctrl in the WDK. Where the kernel's functions work on IRPs, these answer with what the pre-operation
callback is to return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from stackemu.emu.kernel.api import file_locks, oplocks, resources
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.file_locks import STATUS_INVALID_DEVICE_REQUEST
from stackemu.emu.kernel.api.fltmgr.operations import make_operation
from stackemu.emu.kernel.api.fltmgr.parameters import CREATE, LOCK_CONTROL, READ, WRITE
from stackemu.emu.kernel.api.oplocks import (
    STATUS_CANCELLED,
    STATUS_OPLOCK_BREAK_IN_PROGRESS,
    STATUS_OPLOCK_NOT_GRANTED,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.kernel.roots import Root, Words

SUCCESS_WITH_CALLBACK, PENDING, COMPLETE = 0, 2, 4
"""FLT_PREOP_CALLBACK_STATUS."""
STATUS_PENDING = 0x103
_LOCK, _UNLOCK_SINGLE, _UNLOCK_ALL, _UNLOCK_ALL_BY_KEY = 1, 2, 3, 4
_LENGTH, _KEY, _BYTE_OFFSET, _PROCESS, _FAIL_IMMEDIATELY, _EXCLUSIVE = 0, 4, 8, 16, 20, 21
"""Offsets in FLT_PARAMETERS.LockControl."""
_COMPLETE_IF_OPLOCKED = 1
_OPLOCK_COMPLETION = "flt-oplock-complete"


def _run(call: ApiCall, behaviour: Callable[[ApiCall], None], *arguments: int) -> int:
    """Do what another function does with these arguments, in this call's name; returns its result."""
    inner = replace(call, arguments=(*arguments, *([0] * 12)), eax=0)
    behaviour(inner)
    return inner.eax


def _block(call: ApiCall, data: View) -> View:
    return call.view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])


# -- byte-range locks --


def _initialize_lock(call: ApiCall) -> None:
    """FltInitializeFileLock(FileLock): a lock without routines."""
    _run(call, file_locks.BEHAVIOURS["FsRtlInitializeFileLock"], call.arguments[0])


def _process_lock(call: ApiCall) -> None:
    """(FileLock, CallbackData, Context): the operation is completed, or pended until a lock is free."""
    lock, address, context = call.arguments[:3]
    data = call.view("FLT_CALLBACK_DATA", address)
    status = _request(call, lock, _block(call, data), context)
    if status == STATUS_PENDING:
        call.eax = PENDING
        return
    data["IoStatus.Status"], data["IoStatus.Information"] = status, 0
    call.eax = COMPLETE
    routine = call.u32(lock)
    if call.kernel.image.is_code(routine - call.kernel.image.base):
        call.invoke(routine, context, address)


def _request(call: ApiCall, lock: int, block: View, context: int) -> int:
    """Carry out a request for locks; returns its status."""
    if block["MajorFunction"] != LOCK_CONTROL:
        return STATUS_INVALID_DEVICE_REQUEST
    at, file, minor = block.at("Parameters"), block["TargetFileObject"], block["MinorFunction"]
    length, key = call.u32(at + _LENGTH), call.u32(at + _KEY)
    process, offset = call.u32(at + _PROCESS) or current_process(call), at + _BYTE_OFFSET
    if minor == _LOCK:
        how = (call.u8(at + _FAIL_IMMEDIATELY), call.u8(at + _EXCLUSIVE))
        outcome = call.allocate(8)
        _run(call, file_locks.BEHAVIOURS["FsRtlPrivateLock"], lock, file, offset, length, process, key, *how, outcome)
        return call.u32(outcome)
    if minor == _UNLOCK_SINGLE:
        single = file_locks.BEHAVIOURS["FsRtlFastUnlockSingle"]
        return _run(call, single, lock, file, offset, length, process, key, context)
    if minor == _UNLOCK_ALL:
        return _run(call, file_locks.BEHAVIOURS["FsRtlFastUnlockAll"], lock, file, process, context)
    if minor == _UNLOCK_ALL_BY_KEY:
        return _run(call, file_locks.BEHAVIOURS["FsRtlFastUnlockAllByKey"], lock, file, process, key, context)
    return STATUS_INVALID_DEVICE_REQUEST


def _check_lock(name: str) -> Callable[[ApiCall], None]:
    """(FileLock, CallbackData): whether a read or write may go on."""

    def behaviour(call: ApiCall) -> None:
        lock, address = call.arguments[:2]
        block = _block(call, call.view("FLT_CALLBACK_DATA", address))
        length = call.allocate(8)
        call.put_u32(length, block["Parameters.ReadWrite.Length"])
        offset, key = block.at("Parameters.ReadWrite.ByteOffset"), block["Parameters.ReadWrite.Key"]
        owner = (key, block["TargetFileObject"], current_process(call))
        call.eax = _run(call, file_locks.BEHAVIOURS[name], lock, offset, length, *owner)

    return behaviour


# -- oplocks --


@dataclass(frozen=True, slots=True)
class _Places:
    """Which arguments of a function are which; the routines follow their context."""

    context: int
    flags: int | None


def _check_oplock(places: _Places) -> Callable[[ApiCall], None]:
    """(Oplock, CallbackData, [Flags,] Context, WaitCompletionRoutine, PrePostCallbackDataRoutine).

    The input says whether somebody else's oplock must be broken first; without a routine the call waits for that.
    """

    def behaviour(call: ApiCall) -> None:
        address = call.arguments[1]
        context, completion, post = call.arguments[places.context : places.context + 3]
        flags = call.arguments[places.flags] if places.flags is not None else 0
        data = call.view("FLT_CALLBACK_DATA", address)
        if not call.succeeds:
            data["IoStatus.Status"] = STATUS_CANCELLED
            call.eax = COMPLETE
        elif not pick(call, (False, True)):
            call.eax = SUCCESS_WITH_CALLBACK
        elif flags & _COMPLETE_IF_OPLOCKED:
            data["IoStatus.Status"] = STATUS_OPLOCK_BREAK_IN_PROGRESS
            call.eax = SUCCESS_WITH_CALLBACK
        elif completion:
            major = _block(call, data)["MajorFunction"]
            call.root(completion, f"{call.name} completion", _OPLOCK_COMPLETION, major, context)
            if call.kernel.image.is_code(post - call.kernel.image.base):
                call.invoke(post, address, context)
            call.eax = PENDING

    return behaviour


def _oplock_done(context: Context, root: Root) -> Words:
    """(CallbackData, Context): the operation may go on, or was cancelled meanwhile."""
    major, argument = root.context
    operation = make_operation(context, major if major in (CREATE, READ, WRITE) else CREATE)
    operation.data["IoStatus.Status"] = 0 if context.succeeds else STATUS_CANCELLED
    return Words((operation.data.address, argument))


def _oplock_control(call: ApiCall) -> None:
    """FltOplockFsctrl(Oplock, CallbackData, ...): pended until the oplock breaks, or completed as not granted."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[1])
    if call.succeeds:
        call.eax = PENDING
        return
    data["IoStatus.Status"], data["IoStatus.Information"] = STATUS_OPLOCK_NOT_GRANTED, 0
    call.eax = COMPLETE


_SAME: Mapping[str, Callable[[ApiCall], None]] = {
    "FltAcquireResourceExclusive": resources.BEHAVIOURS["ExEnterCriticalRegionAndAcquireResourceExclusive"],
    "FltAcquireResourceShared": resources.BEHAVIOURS["ExEnterCriticalRegionAndAcquireResourceShared"],
    "FltReleaseResource": resources.BEHAVIOURS["ExReleaseResourceAndLeaveCriticalRegion"],
    "FltAllocateFileLock": file_locks.BEHAVIOURS["FsRtlAllocateFileLock"],
    "FltFreeFileLock": file_locks.BEHAVIOURS["FsRtlFreeFileLock"],
    "FltUninitializeFileLock": file_locks.BEHAVIOURS["FsRtlUninitializeFileLock"],
    "FltInitializeOplock": oplocks.BEHAVIOURS["FsRtlInitializeOplock"],
    "FltUninitializeOplock": oplocks.BEHAVIOURS["FsRtlUninitializeOplock"],
    "FltOplockIsFastIoPossible": oplocks.BEHAVIOURS["FsRtlOplockIsFastIoPossible"],
    "FltOplockIsSharedRequest": oplocks.BEHAVIOURS["FsRtlOplockIsSharedRequest"],
    "FltOplockKeysEqual": oplocks.BEHAVIOURS["FsRtlOplockKeysEqual"],
    "FltCurrentOplock": oplocks.BEHAVIOURS["FsRtlCurrentOplock"],
    "FltCurrentOplockH": oplocks.BEHAVIOURS["FsRtlCurrentOplockH"],
    "FltCurrentBatchOplock": oplocks.BEHAVIOURS["FsRtlCurrentBatchOplock"],
}
"""Functions that are the kernel's under other names."""
_WITH_FLAGS = _Places(context=3, flags=2)
_WITHOUT_FLAGS = _Places(context=2, flags=None)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **_SAME,
    "FltInitializeFileLock": _initialize_lock,
    "FltProcessFileLock": _process_lock,
    "FltCheckLockForReadAccess": _check_lock("FsRtlFastCheckLockForRead"),
    "FltCheckLockForWriteAccess": _check_lock("FsRtlFastCheckLockForWrite"),
    "FltCheckOplock": _check_oplock(_WITHOUT_FLAGS),
    "FltCheckOplockEx": _check_oplock(_WITH_FLAGS),
    "FltOplockBreakH": _check_oplock(_WITH_FLAGS),
    "FltOplockBreakToNone": _check_oplock(_WITHOUT_FLAGS),
    "FltOplockBreakToNoneEx": _check_oplock(_WITH_FLAGS),
    "FltOplockFsctrl": _oplock_control,
    "FltOplockFsctrlEx": _oplock_control,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {_OPLOCK_COMPLETION: _oplock_done}
