"""Buffers of operations: where they are described, locking them, swapping them, memory with an alignment.

Pages of FltDecodeParameters, FltLockUserBuffer, FltGetSwappedBufferMdlAddress, FltGetNewSystemBufferAddress and
FltAllocatePoolAlignedWithTag in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.operations import SYSTEM_BUFFER
from stackemu.emu.kernel.api.fltmgr.parameters import (
    BUFFERS,
    DEVICE_CONTROL,
    FILE_SYSTEM_CONTROL,
    INTERNAL_DEVICE_CONTROL,
)
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl, system_mdl
from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.call import USER_END, ApiCall
from stackemu.emu.kernel.layouts import View

_READ_ACCESS, _WRITE_ACCESS, _MODIFY_ACCESS = range(3)
"""LOCK_OPERATION."""
_NEW_SYSTEM_BUFFER = 0x100000
"""FLTFL_CALLBACK_DATA_NEW_SYSTEM_BUFFER."""
_CONTROLS = frozenset({FILE_SYSTEM_CONTROL, DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL})
_METHOD_BUFFERED, _METHOD_IN_DIRECT = 0, 1
_MAX_SWAPPED = 0x1000


class Places(NamedTuple):
    """Addresses of an operation's length, buffer and MDL (0: it never has one), and what is done to the buffer."""

    length: int
    buffer: int
    mdl: int
    access: int


def places_of(block: View) -> Places | None:
    """Return where the parameters of an operation describe its buffer, None when they describe none."""
    parameters, major = block.at("Parameters"), block["MajorFunction"]
    if major in _CONTROLS:
        return _control_places(block, parameters)
    known = BUFFERS.get(major)
    if known is None:
        return None
    mdl = parameters + known.mdl if known.mdl is not None else 0
    access = _WRITE_ACCESS if known.is_written else _READ_ACCESS
    return Places(parameters + known.length, parameters + known.buffer, mdl, access)


def _control_places(block: View, parameters: int) -> Places:
    """Buffered controls have one buffer for both ways, direct ones an MDL for the output, the rest both."""
    method = block["Parameters.FileSystemControl.FsControlCode"] & 3
    if method == _METHOD_BUFFERED:
        return Places(parameters, parameters + 12, 0, _MODIFY_ACCESS)
    access = _READ_ACCESS if method == _METHOD_IN_DIRECT else _WRITE_ACCESS
    return Places(parameters, parameters + 16, parameters + 20, access)


def _block(call: ApiCall) -> View:
    return call.view("FLT_IO_PARAMETER_BLOCK", call.view("FLT_CALLBACK_DATA", call.arguments[0])["Iopb"])


def _decode(call: ApiCall) -> None:
    """(CallbackData, MdlAddressPointer, Buffer, Length, DesiredAccess): addresses of parameters, each optional."""
    _data, mdl_out, buffer_out, length_out, access_out = call.arguments[:5]
    places = places_of(_block(call))
    if places is None:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    call.put_optional(mdl_out, places.mdl)
    call.put_optional(buffer_out, places.buffer)
    call.put_optional(length_out, places.length)
    call.put_optional(access_out, places.access)


def _lock(call: ApiCall) -> None:
    """FltLockUserBuffer(CallbackData) puts an MDL into the parameters, unless there is one already."""
    limit_irql(call, APC_LEVEL)
    places = places_of(_block(call))
    if places is None or not places.mdl:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    length, buffer = call.u32(places.length), call.u32(places.buffer)
    if not length or call.u32(places.mdl):
        return
    if not call.succeeds:
        call.fail()
        return
    if call.view("FLT_CALLBACK_DATA", call.arguments[0])["Flags"] & SYSTEM_BUFFER or buffer >= USER_END:
        mdl = system_mdl(call, buffer, length)
    else:
        mdl = make_mdl(call, buffer, length)
        lock_pages(call, mdl, is_written=places.access != _READ_ACCESS)
    call.put_u32(places.mdl, mdl.address)


def _swapped_mdl(call: ApiCall) -> None:
    """FltGetSwappedBufferMdlAddress: of the buffer that the driver put in before, when it did."""
    limit_irql(call, DISPATCH_LEVEL)
    places = places_of(_block(call))
    if places is None or not pick(call, (False, True)):
        return
    mdl = call.u32(places.mdl) if places.mdl else 0
    length = min(call.u32(places.length), _MAX_SWAPPED)
    call.eax = mdl or (system_mdl(call, call.allocate(length, zeroed=False), length).address if length else 0)


def _new_system_buffer(call: ApiCall) -> None:
    """FltGetNewSystemBufferAddress: the buffer now in the parameters, when it has replaced the driver's."""
    data = call.view("FLT_CALLBACK_DATA", call.arguments[0])
    places = places_of(_block(call))
    if places is not None and data["Flags"] & _NEW_SYSTEM_BUFFER:
        call.eax = call.u32(places.buffer)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _allocate(call: ApiCall) -> None:
    """FltAllocatePoolAlignedWithTag(Instance, PoolType, NumberOfBytes, Tag): aligned as pool is."""
    _instance, _pool, size, tag = call.arguments[:4]
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.eax = allocate_pool(call, size, tag)


def _free(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    free_pool(call, *call.arguments[1:3])


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltDecodeParameters": _decode,
    "FltLockUserBuffer": _lock,
    "FltGetSwappedBufferMdlAddress": _swapped_mdl,
    "FltRetainSwappedBufferMdlAddress": _nothing,
    "FltGetNewSystemBufferAddress": _new_system_buffer,
    "FltAllocatePoolAlignedWithTag": _allocate,
    "FltFreePoolAlignedWithTag": _free,
}
