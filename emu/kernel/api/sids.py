"""Security identifiers and LUIDs: made, measured, compared, copied, written as text.

A SID is its revision, the number of its subauthorities, six bytes of authority and the subauthorities (ntifs.h).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.api.strings import STATUS_BUFFER_OVERFLOW, Counted, allocate_text, set_text
from stackemu.emu.kernel.call import ApiCall, Context

SID_REVISION = 1
MAX_SUB_AUTHORITIES = 15
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_NO_MEMORY = 0xC0000017
STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_INVALID_SID = 0xC0000078
_HEADER = 8
_GENERIC_RIGHTS = (31, 30, 29, 28)
"""Bits of GENERIC_READ, _WRITE, _EXECUTE and _ALL, in the order of a GENERIC_MAPPING."""


def sid_size(count: int) -> int:
    """Return the bytes of a SID with a number of subauthorities."""
    return _HEADER + 4 * count


def sid_length(context: Context, address: int) -> int:
    """Return the bytes of the SID at an address."""
    return sid_size(context.u8(address + 1))


def read_sid(context: Context, address: int) -> bytes:
    """Return the SID at an address."""
    return context.read(address, sid_length(context, address))


def is_sid(context: Context, address: int) -> bool:
    """Return whether there is a SID at an address, as far as its header tells."""
    if not address:
        return False
    revision, count = context.read(address, 2)
    return revision & 0xF == SID_REVISION and count <= MAX_SUB_AUTHORITIES


def sid_text(sid: bytes) -> str:
    """Return the usual notation of a SID, such as S-1-5-18."""
    authority = int.from_bytes(sid[2:8], "big")
    head = f"{authority}" if authority < 1 << 32 else f"0x{authority:X}"
    return "-".join(["S", str(sid[0]), head, *(str(one) for (one,) in struct.iter_unpack("<I", sid[8:]))])


def _length(call: ApiCall) -> None:
    call.eax = sid_length(call, call.arguments[0])


def _required_length(call: ApiCall) -> None:
    call.eax = sid_size(call.arguments[0])


def _initialize(call: ApiCall) -> None:
    sid, authority, count = call.arguments[:3]
    count &= 0xFF
    if count > MAX_SUB_AUTHORITIES:
        call.eax = STATUS_INVALID_PARAMETER
        return
    call.write(sid, bytes((SID_REVISION, count)) + call.read(authority, 6))


def _initialize_with(call: ApiCall) -> None:
    """RtlInitializeSidEx: the subauthorities follow as arguments."""
    _initialize(call)
    sid, _, count = call.stack_words[:3]
    if not call.eax:
        call.write(sid + _HEADER, struct.pack(f"<{count & 0xFF}I", *_variable_words(call, 3, count & 0xFF)))


def _variable_words(call: ApiCall, first: int, count: int) -> tuple[int, ...]:
    words = call.stack_words[first : first + count]
    missing = count - len(words)
    if not missing:
        return words
    rest = call.host.registers()["ESP"] + 4 + 4 * len(call.stack_words)
    return (*words, *struct.unpack(f"<{missing}I", call.read(rest, 4 * missing)))


def _allocate(call: ApiCall) -> None:
    """RtlAllocateAndInitializeSid(authority, count, eight subauthorities, where to put the address)."""
    authority, count, *sub_authorities = call.arguments[:10]
    count &= 0xFF
    if count > 8:
        call.eax = STATUS_INVALID_SID
        return
    sid = allocate_pool(call, sid_size(count)) if call.succeeds else 0
    if not sid:
        call.eax = STATUS_NO_MEMORY
        return
    body = struct.pack(f"<{count}I", *sub_authorities[:count])
    call.write(sid, bytes((SID_REVISION, count)) + call.read(authority, 6) + body)
    call.put_u32(call.arguments[10], sid)


def _free(call: ApiCall) -> None:
    free_pool(call, call.arguments[0])


def _sub_authority(call: ApiCall) -> None:
    call.eax = call.arguments[0] + sid_size(call.arguments[1])


def _part(offset: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = call.arguments[0] + offset

    return behaviour


def _is_valid(call: ApiCall) -> None:
    call.eax = int(is_sid(call, call.arguments[0]))


def _copy(call: ApiCall) -> None:
    room, destination, source = call.arguments[:3]
    sid = read_sid(call, source)
    if len(sid) > room:
        call.eax = STATUS_BUFFER_TOO_SMALL
        return
    call.write(destination, sid)


def _equal(*, ignores_last: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        first, second = (read_sid(call, address) for address in call.arguments[:2])
        cut = -4 if ignores_last and len(first) > _HEADER else None
        call.eax = int(len(first) == len(second) and first[:cut] == second[:cut])

    return behaviour


def _to_string(call: ApiCall) -> None:
    string, sid, allocates = call.arguments[:3]
    if not is_sid(call, sid):
        call.eax = STATUS_INVALID_SID
        return
    text = sid_text(read_sid(call, sid)).encode("utf-16-le")
    if allocates & 0xFF:
        allocate_text(call, string, text, 2)
    elif len(text) > Counted.at(call, string).maximum:
        call.eax = STATUS_BUFFER_OVERFLOW
    else:
        set_text(call, string, text, 2)


def _copy_luid(call: ApiCall) -> None:
    call.put_u64(call.arguments[0], call.u64(call.arguments[1]))


def _equal_luid(call: ApiCall) -> None:
    call.eax = int(call.u64(call.arguments[0]) == call.u64(call.arguments[1]))


def _map_generic(call: ApiCall) -> None:
    """RtlMapGenericMask puts the rights that a GENERIC_MAPPING lists in place of the generic ones."""
    out, mapping = call.arguments[:2]
    mask = call.u32(out)
    rights = struct.unpack("<4I", call.read(mapping, 16))
    for bit, specific in zip(_GENERIC_RIGHTS, rights, strict=True):
        if mask >> bit & 1:
            mask = mask & ~(1 << bit) | specific & 0x0FFFFFFF
    call.put_u32(out, mask)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlLengthSid": _length,
    "RtlLengthRequiredSid": _required_length,
    "RtlInitializeSid": _initialize,
    "RtlInitializeSidEx": _initialize_with,
    "RtlAllocateAndInitializeSid": _allocate,
    "RtlFreeSid": _free,
    "RtlSubAuthoritySid": _sub_authority,
    "RtlSubAuthorityCountSid": _part(1),
    "RtlIdentifierAuthoritySid": _part(2),
    "RtlValidSid": _is_valid,
    "RtlCopySid": _copy,
    "RtlEqualSid": _equal(),
    "RtlEqualPrefixSid": _equal(ignores_last=True),
    "RtlConvertSidToUnicodeString": _to_string,
    "RtlCopyLuid": _copy_luid,
    "RtlEqualLuid": _equal_luid,
    "RtlMapGenericMask": _map_generic,
}
