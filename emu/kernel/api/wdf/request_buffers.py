"""The buffers of a request: as system memory, as WDFMEMORY, as MDL, and the user's own addresses.

How each function treats the methods of passing buffers is said in "Accessing Data Buffers in WDF Drivers"
(learn.microsoft.com).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.mdl import system_mdl
from stackemu.emu.kernel.api.wdf.handles import WdfObject, find, make
from stackemu.emu.kernel.api.wdf.requests import (
    IOCTLS,
    MAX_LENGTH,
    METHOD_BUFFERED,
    METHOD_NEITHER,
    READ,
    REQUEST,
    WRITE,
    length,
    method,
)
from stackemu.emu.kernel.api.wdf.shapes import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    Behaviour,
)
from stackemu.emu.kernel.call import MAX_COPY, USER_END, ApiCall, Context

_USER_BUFFERS = {"input": 0x00A10000, "output": 0x00A80000}
"""Where user mode's buffers lie; they come into being when touched."""
_STATUS_ACCESS_VIOLATION = 0xC0000005


@dataclass(frozen=True, slots=True)
class Buffer:
    """A request's buffer in system memory, in bytes."""

    address: int
    size: int


def buffer_of(context: Context, request: WdfObject, which: str, minimum: int = 0) -> Buffer | int:
    """Return the `input` or `output` buffer mapped for the kernel, or the NTSTATUS that says why there is none."""
    passing = method(request)
    if passing == METHOD_NEITHER or not _has(request, which):
        return STATUS_INVALID_DEVICE_REQUEST
    size = length(context, request, which, minimum)
    if size == 0 or size < minimum:
        return STATUS_BUFFER_TOO_SMALL
    name = f"{which} buffer"
    if not request.get(name):
        other = "output" if which == "input" else "input"
        room = max(size, length(context, request, other)) if passing == METHOD_BUFFERED else size
        address = context.allocate(min(room, MAX_COPY), zeroed=False)
        request.values[name] = address
        if passing == METHOD_BUFFERED:  # one system buffer carries both ways
            request.values[f"{other} buffer"] = address
    return Buffer(request.get(name), size)


def _has(request: WdfObject, which: str) -> bool:
    """Return whether requests of this type have such a buffer at all."""
    kind = request.values.get("type")
    return not (kind == READ and which == "input") and not (kind == WRITE and which == "output")


def _retrieve_buffer(which: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        handle, minimum, out, size_out = call.arguments[1:5]
        if not call.succeeds:
            call.fail()
            return
        found = buffer_of(call, find(call, handle, REQUEST), which, minimum)
        if isinstance(found, int):
            call.complete(found)
            return
        call.put_u32(out, found.address)
        call.put_optional(size_out, found.size)

    return behave


def _retrieve_object(which: str, kind: str, make_over: Callable[[ApiCall, Buffer, int], int]) -> Behaviour:
    """(Request, *Out): what stands for the buffer, made once by `make_over` for the request with a handle."""

    def behave(call: ApiCall) -> None:
        request = find(call, call.arguments[1], REQUEST)
        if not call.succeeds:
            call.fail()
            return
        found = buffer_of(call, request, which)
        if isinstance(found, int):
            call.complete(found)
            return
        name = f"{which} {kind}"
        if not request.get(name):
            request.values[name] = make_over(call, found, request.handle)
        call.put_u32(call.arguments[2], request.get(name))

    return behave


def _memory(call: ApiCall, buffer: Buffer, request: int) -> int:
    return memory_over(call, buffer, request).handle


def _mdl(call: ApiCall, buffer: Buffer, _request: int) -> int:
    return system_mdl(call, buffer.address, buffer.size).address


def memory_over(context: Context, buffer: Buffer, parent: int) -> WdfObject:
    """Return a new WDFMEMORY over a buffer."""
    made = make(context, "WDFMEMORY", parent)
    made.values.update({"buffer": buffer.address, "size": buffer.size})
    return made


def _retrieve_user(which: str) -> Behaviour:
    """Only requests of METHOD_NEITHER have user addresses; these are where user mode may write meanwhile."""

    def behave(call: ApiCall) -> None:
        handle, minimum, out, size_out = call.arguments[1:5]
        request = find(call, handle, REQUEST)
        if not call.succeeds:
            call.fail()
            return
        is_open = method(request) in (METHOD_NEITHER, None) or request.get("type") in IOCTLS
        if not is_open or not _has(request, which):
            call.complete(STATUS_INVALID_DEVICE_REQUEST)
            return
        size = length(call, request, which, minimum)
        if size == 0 or size < minimum:
            call.complete(STATUS_BUFFER_TOO_SMALL)
            return
        request.values[f"user {which}"] = _USER_BUFFERS[which]
        call.put_u32(out, _USER_BUFFERS[which])
        call.put_optional(size_out, size)

    return behave


def _probe_and_lock(call: ApiCall) -> None:
    """Both functions fail for addresses outside user mode; the memory object shows a kernel mapping."""
    handle, address, size, out = call.arguments[1:5]
    if not call.succeeds:
        call.fail()
        return
    if not address or address + size > USER_END:
        call.complete(_STATUS_ACCESS_VIOLATION)
        return
    room = min(size, MAX_COPY)
    mapped = call.allocate(room, zeroed=False)
    if room <= MAX_LENGTH:
        call.write(mapped, call.read(address, room) if room else b"")
    call.put_u32(out, memory_over(call, Buffer(mapped, size), handle).handle)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfRequestRetrieveInputBuffer": _retrieve_buffer("input"),
    "WdfRequestRetrieveOutputBuffer": _retrieve_buffer("output"),
    "WdfRequestRetrieveInputMemory": _retrieve_object("input", "memory", _memory),
    "WdfRequestRetrieveOutputMemory": _retrieve_object("output", "memory", _memory),
    "WdfRequestRetrieveInputWdmMdl": _retrieve_object("input", "mdl", _mdl),
    "WdfRequestRetrieveOutputWdmMdl": _retrieve_object("output", "mdl", _mdl),
    "WdfRequestRetrieveUnsafeUserInputBuffer": _retrieve_user("input"),
    "WdfRequestRetrieveUnsafeUserOutputBuffer": _retrieve_user("output"),
    "WdfRequestProbeAndLockUserBufferForRead": _probe_and_lock,
    "WdfRequestProbeAndLockUserBufferForWrite": _probe_and_lock,
}
