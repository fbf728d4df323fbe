"""Windows Management Instrumentation as drivers provide and use it; wmilib's helpers for its IRPs.

Pages of IoWMIRegistrationControl, IoWMIWriteEvent, IoWMIQueryAllData and WmiCompleteRequest in the WDK;
WNODE_HEADER: wmistr.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.irps import complete, is_irp
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.pool import free_pool
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_BUFFER_TOO_SMALL = 0xC0000023
_HEADER = struct.Struct("<IIQQ16sII")
"""BufferSize, ProviderId, HistoricalContext, TimeStamp, Guid, ClientContext, Flags."""
_ALL_DATA, _SINGLE_INSTANCE, _EVENT_ITEM = 0x1, 0x2, 0x8
_DATA_SIZE = 0x40
_BLOCK_SIZE = 0x40


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _write_event(call: ApiCall) -> None:
    """The system frees the event, but not when it could not take it."""
    if not call.succeeds:
        call.fail()
        return
    call.u32(call.arguments[0])
    free_pool(call, call.arguments[0])


def _node(flags: int) -> bytes:
    """Return a WNODE with one instance of data: DataBlockOffset, InstanceCount, then offset and length."""
    start = _HEADER.size + 16
    header = _HEADER.pack(start + _DATA_SIZE, 0, 0, 0, bytes(16), 0, flags)
    return header + struct.pack("<IIII", start, 1, start, _DATA_SIZE) + bytes(_DATA_SIZE)


def _query(flags: int, size_at: int) -> Callable[[ApiCall], None]:
    """IoWMIQueryAllData and IoWMIQuerySingleInstance say how much they need when the buffer is too small."""

    def behaviour(call: ApiCall) -> None:
        size_inout, out = call.arguments[size_at : size_at + 2]
        limit_irql(call, PASSIVE_LEVEL)
        if not call.succeeds:
            call.fail()
            return
        data = _node(flags)
        size = call.u32(size_inout)
        call.put_u32(size_inout, len(data))
        if size < len(data) or not out:
            call.complete(STATUS_BUFFER_TOO_SMALL)
            return
        call.write(out, data)

    return behaviour


def _open_block(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()
        return
    call.put_u32(call.arguments[2], call.allocate(_BLOCK_SIZE))


def _set_callback(call: ApiCall) -> None:
    _object, callback, context = call.arguments[:3]
    if not call.succeeds:
        call.fail()
        return
    call.root(callback, "WMI notification", "wmi-notification", context)


def _notification(context: Context, root: Root) -> Words:
    """(Wnode, Context)."""
    data = _node(_EVENT_ITEM | _ALL_DATA)
    address = context.allocate(len(data))
    context.write(address, data)
    return Words((address, root.context[0]))


def _complete_request(call: ApiCall) -> None:
    """WmiCompleteRequest completes the IRP; a buffer that is too small is answered with the size needed."""
    _device, address, status, used, _boost = call.arguments[:5]
    if is_irp(call, address):
        irp = call.view("IRP", address)
        irp["IoStatus.Status"] = status
        irp["IoStatus.Information"] = used if not status & 0x80000000 else 0
        complete(call, irp)
    call.complete(status)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoWMIRegistrationControl": _status,
    "IoWMIWriteEvent": _write_event,
    "IoWMIOpenBlock": _open_block,
    "IoWMIQueryAllData": _query(_ALL_DATA, 1),
    "IoWMIQuerySingleInstance": _query(_SINGLE_INSTANCE, 2),
    "IoWMISetSingleInstance": _status,
    "IoWMISetSingleItem": _status,
    "IoWMISetNotificationCallback": _set_callback,
    "WmiCompleteRequest": _complete_request,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"wmi-notification": _notification}
