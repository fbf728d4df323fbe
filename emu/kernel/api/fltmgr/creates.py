"""What travels with a create, and waits and notifications on callback data: extra create parameters and the like.

Pages of FltGetEcpListFromCallbackData, FltFindExtraCreateParameter, FltCancellableWaitForSingleObject and
FltNotifyFilterChangeDirectory in the WDK. They are the kernel's own functions on callback data instead of IRPs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from stackemu.emu.kernel.api import directory_notifications, extra_create_parameters, waits
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall

STATUS_CANCELLED, STATUS_NOT_FOUND = 0xC0000120, 0xC0000225
_ECP_FUNCTIONS = (
    "AllocateExtraCreateParameter",
    "AllocateExtraCreateParameterFromLookasideList",
    "AllocateExtraCreateParameterList",
    "FreeExtraCreateParameter",
    "FreeExtraCreateParameterList",
    "InitExtraCreateParameterLookasideList",
    "DeleteExtraCreateParameterLookasideList",
    "InsertExtraCreateParameter",
    "FindExtraCreateParameter",
    "RemoveExtraCreateParameter",
    "GetNextExtraCreateParameter",
    "AcknowledgeEcp",
    "PrepareToReuseEcp",
    "IsEcpAcknowledged",
    "IsEcpFromUserMode",
)
_KERNEL_MODE, _EXECUTIVE = 0, 0
_FILE_STAT = 1
"""QoCFileStatInformation, the one class of information that file systems here add to a create."""
_FILE_ID, _TIME, _ARCHIVE, _ACCESS = 0x0001_0000_0000_2A5C, 0x01CC_0000_0000_0000, 0x20, 0x12019F


def _without_filter(behaviour: Callable[[ApiCall], None]) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that has a filter before the arguments of the kernel's function."""

    def shifted(call: ApiCall) -> None:
        inner = replace(call, arguments=call.arguments[1:])
        behaviour(inner)
        call.eax = inner.eax

    return shifted


# -- waits that end with the operation --


def _wait_for_one(call: ApiCall) -> None:
    """(Object, Timeout, CallbackData): STATUS_CANCELLED when the operation is canceled or its thread ends."""
    target, timeout = call.arguments[:2]
    _wait(call, "KeWaitForSingleObject", (target, _EXECUTIVE, _KERNEL_MODE, 0, timeout))


def _wait_for_many(call: ApiCall) -> None:
    """(Count, ObjectArray, WaitType, Timeout, WaitBlockArray, CallbackData)."""
    count, array, kind, timeout, blocks = call.arguments[:5]
    _wait(call, "KeWaitForMultipleObjects", (count, array, kind, _EXECUTIVE, _KERNEL_MODE, 0, timeout, blocks))


def _wait(call: ApiCall, name: str, arguments: tuple[int, ...]) -> None:
    limit_irql(call, APC_LEVEL, "waits")
    if not call.succeeds:
        call.complete(STATUS_CANCELLED)
        return
    inner = replace(call, arguments=arguments)
    waits.BEHAVIOURS[name](inner)
    call.eax = inner.eax


# -- information that comes with a create --


def _request_information(call: ApiCall) -> None:
    """FltRequestFileInfoOnCreateCompletion(Filter, Data, InfoClassFlags)."""
    if not call.succeeds:
        call.fail()


def _information(call: ApiCall) -> bytes | None:
    """Return FILE_STAT_INFORMATION when the file system said it in passing."""
    if call.arguments[2] != _FILE_STAT or not call.succeeds or not pick(call, (True, False)):
        return None
    return struct.pack("<QQQQQQQIIII", _FILE_ID, *[_TIME] * 4, 0x1000, 0x234, _ARCHIVE, 0, 1, _ACCESS)


def _put_information(call: ApiCall, data: bytes) -> int:
    address = call.allocate(len(data))
    call.write(address, data)
    return address


def _retrieve(call: ApiCall) -> None:
    """FltRetrieveFileInfoOnCreateCompletion(Filter, Data, InfoClass, Size) returns the structure or NULL."""
    data = _information(call)
    if data is not None:
        call.put_u32(call.arguments[3], len(data))
        call.eax = _put_information(call, data)


def _retrieve_ex(call: ApiCall) -> None:
    """(Filter, Data, InfoClass, RetInfoSize, RetInfoBuffer)."""
    size_out, buffer_out = call.arguments[3:5]
    data = _information(call)
    if data is None:
        call.complete(STATUS_NOT_FOUND)
        return
    call.put_u32(size_out, len(data))
    call.put_u32(buffer_out, _put_information(call, data))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **{f"Flt{name}": _without_filter(extra_create_parameters.BEHAVIOURS[f"FsRtl{name}"]) for name in _ECP_FUNCTIONS},
    "FltGetEcpListFromCallbackData": _without_filter(extra_create_parameters.BEHAVIOURS["FsRtlGetEcpListFromIrp"]),
    "FltSetEcpListIntoCallbackData": _without_filter(extra_create_parameters.BEHAVIOURS["FsRtlSetEcpListIntoIrp"]),
    "FltNotifyFilterChangeDirectory": directory_notifications.BEHAVIOURS["FsRtlNotifyFilterChangeDirectory"],
    "FltCancellableWaitForSingleObject": _wait_for_one,
    "FltCancellableWaitForMultipleObjects": _wait_for_many,
    "FltRequestFileInfoOnCreateCompletion": _request_information,
    "FltRetrieveFileInfoOnCreateCompletion": _retrieve,
    "FltRetrieveFileInfoOnCreateCompletionEx": _retrieve_ex,
}
