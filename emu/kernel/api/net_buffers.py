"""Network packets as NDIS 6 keeps them: NET_BUFFER_LIST, NET_BUFFER and the MDLs behind them.

Structures on 32-bit Windows after nbl.h and the pages of NET_BUFFER_LIST and NET_BUFFER in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.mdl import system_mdl
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context

NDIS_STATUS_RESOURCES = 0xC000009A
_LIST_SIZE, _BUFFER_SIZE = 0xC0, 0xA0
# NET_BUFFER_LIST
_FIRST_BUFFER, _LIST_CONTEXT, _PARENT, _LIST_POOL, _LIST_STATUS = 4, 8, 12, 16, 0x4C
# NET_BUFFER
_CURRENT_MDL, _CURRENT_OFFSET, _LENGTH, _MDL_CHAIN, _DATA_OFFSET, _BUFFER_POOL = 4, 8, 12, 16, 20, 28

MAX_MDLS = 64
"""MDLs of one chain that are followed."""
_BACKFILL = 0x40
MAX_PACKET = 1500
"""Bytes of data in a NET_BUFFER that nobody described."""
_POOL_SIZE = 0x40


def new_mdl(context: Context, data: bytes, size: int = 0) -> int:
    """Return a new MDL over a copy of `data`, or over `size` bytes that the input decides."""
    buffer = context.allocate(max(len(data), size, 1), zeroed=not size)
    context.write(buffer, data)
    return system_mdl(context, buffer, max(len(data), size)).address


def new_list(context: Context, mdl: int, offset: int, length: int, pool: int = 0) -> int:
    """Return a NET_BUFFER_LIST with one NET_BUFFER: `length` bytes from `offset` of an MDL chain on."""
    packet = context.allocate(_LIST_SIZE)
    buffer = context.allocate(_BUFFER_SIZE)
    context.put_u32(packet + _FIRST_BUFFER, buffer)
    context.put_u32(packet + _LIST_POOL, pool)
    context.put_u32(buffer + _BUFFER_POOL, pool)
    context.put_u32(buffer + _MDL_CHAIN, mdl)
    context.put_u32(buffer + _DATA_OFFSET, offset)
    context.put_u32(buffer + _LENGTH, length)
    _settle(context, buffer)
    context.state(NetBuffers).known[buffer] = None
    return packet


def _settle(context: Context, buffer: int) -> None:
    """Point CurrentMdl and its offset to where the data begins."""
    mdl, offset = context.u32(buffer + _MDL_CHAIN), context.u32(buffer + _DATA_OFFSET)
    for _ in range(MAX_MDLS):
        if not mdl:
            break
        view = context.view("MDL", mdl)
        if offset < view["ByteCount"] or not view["Next"]:
            break
        offset -= view["ByteCount"]
        mdl = view["Next"]
    context.put_u32(buffer + _CURRENT_MDL, mdl)
    context.put_u32(buffer + _CURRENT_OFFSET, offset)


def packet_bytes(context: Context) -> bytes:
    """Return a small IP packet whose protocol and length the input chooses; its lengths are right."""
    payload = bytes(range(pick(context, (0, 8, 64, 200), 1)))
    transport, number = pick(
        context,
        (
            (struct.pack(">HHIIBBHHH", 49152, 80, 1, 2, 0x50, 0x18, 8192, 0, 0), 6),
            (struct.pack(">HHHH", 53, 49152, 8 + len(payload), 0), 17),
            (struct.pack(">BBHHH", 8, 0, 0, 1, 1), 1),
        ),
        2,
    )
    if below(context, 3, 3) < 2:
        total = 20 + len(transport) + len(payload)
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 1, 0, 64, number, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    else:
        number = 58 if number == 1 else number
        header = struct.pack(
            ">IHBB16s16s", 6 << 28, len(transport) + len(payload), number, 64, b"\xfe" * 16, b"\xfd" * 16
        )
    return header + transport + payload


def new_packet(context: Context) -> int:
    """Return a NET_BUFFER_LIST that holds a packet, with room before it."""
    data = packet_bytes(context)
    return new_list(context, new_mdl(context, bytes(_BACKFILL) + data), _BACKFILL, len(data))


@dataclass(slots=True)
class NetBuffers:
    """NET_BUFFERs that are known to be well-formed."""

    known: dict[int, None] = field(default_factory=dict)


def adopt(context: Context, buffer: int) -> None:
    """Make memory that the driver takes for a NET_BUFFER a well-formed one, unless it is known already.

    Its length stays when it is one of a packet, and its data is whatever the input says.
    """
    known = context.state(NetBuffers).known
    if buffer in known:
        return
    length = context.u32(buffer + _LENGTH)
    if not 0 < length <= MAX_PACKET:
        length = MAX_PACKET
        context.put_u32(buffer + _LENGTH, length)
    mdl = new_mdl(context, b"", size=_BACKFILL + length)
    context.put_u32(buffer + _MDL_CHAIN, mdl)
    context.put_u32(buffer + _DATA_OFFSET, _BACKFILL)
    _settle(context, buffer)
    known[buffer] = None


def _contiguous(context: Context, buffer: int, size: int) -> tuple[int, bytes]:
    """Return the address of the first `size` bytes of data where they lie in one MDL, else 0, and the bytes."""
    mdl, offset = context.u32(buffer + _CURRENT_MDL), context.u32(buffer + _CURRENT_OFFSET)
    data = bytearray()
    address = 0
    for _ in range(MAX_MDLS):
        if not mdl or len(data) >= size:
            break
        view = context.view("MDL", mdl)
        part = min(size - len(data), max(0, view["ByteCount"] - offset))
        if not data and part == size:
            address = view["MappedSystemVa"] + offset
        data += context.read(view["MappedSystemVa"] + offset, part)
        mdl, offset = view["Next"], 0
    return address, bytes(data)


def _get_data(call: ApiCall) -> None:
    """NdisGetDataBuffer: a pointer into the packet, or its bytes copied to the caller's storage."""
    buffer, size, storage = call.arguments[:3]
    adopt(call, buffer)
    if size > call.u32(buffer + _LENGTH) or size > MAX_COPY:
        return
    address, data = _contiguous(call, buffer, size)
    if address:
        call.eax = address
    elif storage and len(data) == size:
        call.write(storage, data)
        call.eax = storage


def _retreat(call: ApiCall) -> None:
    """NdisRetreatNetBufferDataStart: room before the data, from the offset or from a new MDL."""
    buffer, delta = call.arguments[:2]
    adopt(call, buffer)
    offset = call.u32(buffer + _DATA_OFFSET)
    if delta > offset:
        if not call.succeeds or delta > MAX_COPY:
            call.eax = NDIS_STATUS_RESOURCES
            return
        mdl = new_mdl(call, bytes(delta + call.arguments[2] % MAX_COPY))
        call.put_u32(mdl, call.u32(buffer + _MDL_CHAIN))
        call.put_u32(buffer + _MDL_CHAIN, mdl)
        offset += call.view("MDL", mdl)["ByteCount"]
    _move(call, buffer, offset - delta, call.u32(buffer + _LENGTH) + delta)


def _advance(call: ApiCall) -> None:
    buffer, delta = call.arguments[:2]
    adopt(call, buffer)
    _move(call, buffer, call.u32(buffer + _DATA_OFFSET) + delta, call.u32(buffer + _LENGTH) - delta)


def _move(call: ApiCall, buffer: int, offset: int, length: int) -> None:
    call.put_u32(buffer + _DATA_OFFSET, offset)
    call.put_u32(buffer + _LENGTH, length)
    _settle(call, buffer)


def _whole_list(move: Callable[[ApiCall], None]) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that moves the start of every packet of a list."""

    def behaviour(call: ApiCall) -> None:
        buffer = call.u32(call.arguments[0] + _FIRST_BUFFER)
        if buffer:
            call.arguments = (buffer, *call.arguments[1:])
            move(call)

    return behaviour


def _allocate_pool(call: ApiCall) -> None:
    call.eax = call.allocate(_POOL_SIZE) if call.succeeds else 0


def _allocate_list(pool: int, mdl: int, offset: int, length: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that makes a list; the numbers are its parameters' positions."""

    def behaviour(call: ApiCall) -> None:
        if call.succeeds:
            words = call.arguments
            call.eax = new_list(call, words[mdl], words[offset], words[length], words[pool])

    return behaviour


def _allocate_empty_list(call: ApiCall) -> None:
    if call.succeeds:
        call.eax = call.allocate(_LIST_SIZE)
        call.put_u32(call.eax + _LIST_POOL, call.arguments[0])


def _clone(call: ApiCall) -> None:
    """NdisAllocateCloneNetBufferList: another list over the same data."""
    original = call.arguments[0]
    buffer = call.u32(original + _FIRST_BUFFER)
    if not call.succeeds or not buffer:
        return
    fields = [call.u32(buffer + at) for at in (_MDL_CHAIN, _DATA_OFFSET, _LENGTH)]
    call.eax = new_list(call, fields[0], fields[1], fields[2], call.arguments[1])
    call.put_u32(call.eax + _PARENT, original)


def _nothing(_call: ApiCall) -> None:
    """Freeing, and handing packets on to other drivers, changes nothing that the driver may look at."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "NdisGetDataBuffer": _get_data,
    "NdisRetreatNetBufferDataStart": _retreat,
    "NdisAdvanceNetBufferDataStart": _advance,
    "NdisRetreatNetBufferListDataStart": _whole_list(_retreat),
    "NdisAdvanceNetBufferListDataStart": _whole_list(_advance),
    "NdisAllocateNetBufferListPool": _allocate_pool,
    "NdisAllocateNetBufferPool": _allocate_pool,
    "NdisAllocateNetBufferAndNetBufferList": _allocate_list(0, 3, 4, 5),
    "NdisAllocateNetBufferList": _allocate_empty_list,
    "NdisAllocateCloneNetBufferList": _clone,
    **dict.fromkeys(
        (
            "NdisFreeNetBufferListPool",
            "NdisFreeNetBufferPool",
            "NdisFreeNetBuffer",
            "NdisFreeNetBufferList",
            "NdisFreeCloneNetBufferList",
            "NdisFSendNetBufferLists",
            "NdisFSendNetBufferListsComplete",
            "NdisFIndicateReceiveNetBufferLists",
            "NdisFReturnNetBufferLists",
            "NdisMSendNetBufferListsComplete",
            "NdisMIndicateReceiveNetBufferLists",
            "NdisSendNetBufferLists",
            "NdisReturnNetBufferLists",
        ),
        _nothing,
    ),
}
