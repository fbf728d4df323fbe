"""Communication ports: connections of user-mode programs to a minifilter, and messages both ways.

Pages of FltCreateCommunicationPort, FltSendMessage, FltCloseClientPort and "Communication Between User Mode and
Kernel Mode" in the WDK. What programs send is theirs: buffers lie in user mode, unaligned and unchecked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.files import fill
from stackemu.emu.kernel.api.fltmgr.objects import new_object
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.user_memory import user_buffer

STATUS_TIMEOUT, STATUS_PORT_DISCONNECTED, STATUS_THREAD_IS_TERMINATING = 0x102, 0xC0000037, 0xC000004B
_CONNECT, _DISCONNECT, _MESSAGE = "flt-connect", "flt-disconnect", "flt-message"
_CONTEXT_SIZES, _MESSAGE_SIZES, _REPLY_SIZES = (0, 4, 0x40), (0x40, 4, 8, 0x400, 1, 0), (0x40, 0, 4, 0x1000)
"""Bytes that programs pass to FilterConnectCommunicationPort and FilterSendMessage."""
_COOKIE_SIZE = 0x100


@dataclass(slots=True)
class Ports:
    """Server ports that are open, and those that were closed, by address."""

    open: dict[int, None] = field(default_factory=dict)
    closed: dict[int, None] = field(default_factory=dict)


def _create(call: ApiCall) -> None:
    """(Filter, ServerPort, ObjectAttributes, ServerPortCookie, Connect, Disconnect, Message, MaxConnections)."""
    _filter, out, attributes, cookie, connect, disconnect, message = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"])
    if not call.succeeds:
        call.put_u32(out, 0)
        call.fail()
        return
    call.root(connect, "ConnectNotifyCallback", _CONNECT, cookie)
    call.root(disconnect, "DisconnectNotifyCallback", _DISCONNECT)
    call.root(message, "MessageNotifyCallback", _MESSAGE)
    port = new_object(call)
    call.state(Ports).open[port] = None
    call.put_u32(out, port)


def _close(call: ApiCall) -> None:
    """No more connections; those that exist stay."""
    port, ports = call.arguments[0], call.state(Ports)
    limit_irql(call, PASSIVE_LEVEL)
    if port in ports.closed:
        call.note(f"{call.name}: {port:#010x} was closed before")
    if port in ports.open:
        del ports.open[port]
        ports.closed[port] = None


def _close_client(call: ApiCall) -> None:
    """FltCloseClientPort(Filter, ClientPort) sets the driver's pointer to NULL."""
    call.put_u32(call.arguments[1], 0)


def _send(call: ApiCall) -> None:
    """(Filter, ClientPort, SenderBuffer, its length, ReplyBuffer, ReplyLength, Timeout): the last three optional."""
    _filter, port_at, message, size, reply, size_at, timeout = call.arguments[:7]
    limit_irql(call, APC_LEVEL)
    if not call.u32(port_at):
        call.complete(STATUS_PORT_DISCONNECTED)
        return
    if size:
        call.read(message, min(size, MAX_COPY))
    if not call.succeeds:
        reasons = (STATUS_PORT_DISCONNECTED, STATUS_THREAD_IS_TERMINATING, call.failure())
        call.complete(pick(call, (STATUS_TIMEOUT, *reasons) if timeout else reasons))
        return
    if reply:
        room = call.u32(size_at)
        answered = pick(call, (room, room, room // 2, 0), 1)
        fill(call, reply, answered)
        call.put_u32(size_at, answered)


# -- the kernel's calls --


def _connect(context: Context, root: Root) -> Words:
    """(ClientPort, ServerPortCookie, ConnectionContext, SizeOfContext, ConnectionPortCookie)."""
    size = pick(context, _CONTEXT_SIZES)
    address = context.allocate(size, zeroed=False) if size else 0
    return Words((new_object(context), root.context[0], address, size, context.allocate(4)))


def _cookie(context: Context) -> int:
    """Return what the driver's connect callback left for the connection: nothing, or memory of its own."""
    return pick(context, (0, context.allocate(_COOKIE_SIZE, zeroed=False)), 2)


def _disconnect(context: Context, _root: Root) -> Words:
    """(ConnectionCookie)."""
    return Words((_cookie(context),))


def _message(context: Context, _root: Root) -> Words:
    """(PortCookie, InputBuffer, its length, OutputBuffer, its length, ReturnOutputBufferLength)."""
    size, room = pick(context, _MESSAGE_SIZES), pick(context, _REPLY_SIZES, 1)
    source = user_buffer(context, size) if size else 0
    target = user_buffer(context, room) if room else 0
    return Words((_cookie(context), source, size, target, room, context.allocate(4)))


# -- who may connect --

_ADMINISTRATORS = bytes((1, 2, 0, 0, 0, 0, 0, 5)) + struct.pack("<II", 32, 544)
_SYSTEM = bytes((1, 1, 0, 0, 0, 0, 0, 5)) + struct.pack("<I", 18)
_DESCRIPTOR_SIZE, _DACL_PRESENT = 20, 4


def _entry(access: int, sid: bytes) -> bytes:
    """ACCESS_ALLOWED_ACE."""
    return struct.pack("<BBHI", 0, 0, 8 + len(sid), access) + sid


def _build_descriptor(call: ApiCall) -> None:
    """FltBuildDefaultSecurityDescriptor(SecurityDescriptor, DesiredAccess): for administrators and the system."""
    out, access = call.arguments[:2]
    limit_irql(call, PASSIVE_LEVEL)
    entries = _entry(access, _ADMINISTRATORS) + _entry(access, _SYSTEM)
    size = _DESCRIPTOR_SIZE + 8 + len(entries)
    address = allocate_pool(call, size) if call.succeeds else 0
    call.put_u32(out, address)
    if not address:
        call.fail()
        return
    head = struct.pack("<BBHIIII", 1, 0, _DACL_PRESENT, 0, 0, 0, address + _DESCRIPTOR_SIZE)
    call.write(address, head + struct.pack("<BBHHH", 2, 0, 8 + len(entries), 2, 0) + entries)


def _free_descriptor(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    free_pool(call, call.arguments[0])


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltCreateCommunicationPort": _create,
    "FltCloseCommunicationPort": _close,
    "FltCloseClientPort": _close_client,
    "FltSendMessage": _send,
    "FltBuildDefaultSecurityDescriptor": _build_descriptor,
    "FltFreeSecurityDescriptor": _free_descriptor,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    _CONNECT: _connect,
    _DISCONNECT: _disconnect,
    _MESSAGE: _message,
}
