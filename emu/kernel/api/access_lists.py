"""Security descriptors and the access control lists in them, as ntifs.h lays them out.

A descriptor is 20 bytes: revision, control bits, owner, group, SACL and DACL, which are addresses, or offsets in a
self-relative one. A list is a header of 8 bytes and its entries (ACEs), each of type, flags, size, mask and SID.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.api.sids import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_PARAMETER,
    STATUS_INVALID_SID,
    is_sid,
    read_sid,
)
from stackemu.emu.kernel.call import ApiCall, Context

STATUS_UNKNOWN_REVISION = 0xC0000058
STATUS_REVISION_MISMATCH = 0xC0000059
STATUS_INVALID_ACL = 0xC0000077
STATUS_INVALID_SECURITY_DESCR = 0xC0000079
STATUS_BAD_DESCRIPTOR_FORMAT = 0xC00000E7
STATUS_ALLOTTED_SPACE_EXCEEDED = 0xC0000099
_REVISION = 1
_SIZE = 20
_SELF_RELATIVE = 0x8000
_ACL_HEADER = 8
_ACL_REVISIONS = range(2, 5)
_MAX_ACL = 0xFFFC
_ACCESS_ALLOWED = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a descriptor: its offset and the control bits that say that it is there and that it is a default."""

    offset: int
    present: int
    defaulted: int
    is_list: bool


_OWNER = _Part(4, 0, 0x1, is_list=False)
_GROUP = _Part(8, 0, 0x2, is_list=False)
_SACL = _Part(12, 0x10, 0x20, is_list=True)
_DACL = _Part(16, 0x4, 0x8, is_list=True)
_PARTS = (_OWNER, _GROUP, _SACL, _DACL)


def _control(context: Context, descriptor: int) -> int:
    return context.u16(descriptor + 2)


def _part_address(context: Context, descriptor: int, part: _Part) -> int:
    """Return where a part lies, 0 where there is none."""
    control = _control(context, descriptor)
    value = context.u32(descriptor + part.offset)
    if not value or (part.is_list and not control & part.present):
        return 0
    return (descriptor + value) & 0xFFFFFFFF if control & _SELF_RELATIVE else value


def _part_bytes(context: Context, descriptor: int, part: _Part) -> bytes:
    address = _part_address(context, descriptor, part)
    if not address:
        return b""
    data = context.read(address, context.u16(address + 2)) if part.is_list else read_sid(context, address)
    return data + bytes(-len(data) % 4)


def _create(call: ApiCall) -> None:
    descriptor, revision = call.arguments[:2]
    if revision != _REVISION:
        call.eax = STATUS_UNKNOWN_REVISION
        return
    call.write(descriptor, bytes((_REVISION,)) + bytes(_SIZE - 1))


def _set(part: _Part) -> Callable[[ApiCall], None]:
    """(descriptor[, present], part, defaulted); a self-relative descriptor can't be changed."""

    def behaviour(call: ApiCall) -> None:
        descriptor, *rest = call.arguments[: 4 if part.is_list else 3]
        is_present = bool(rest.pop(0) & 0xFF) if part.is_list else True
        address, is_default = rest[0], rest[1] & 0xFF
        control = _control(call, descriptor)
        if call.u8(descriptor) != _REVISION:
            call.eax = STATUS_UNKNOWN_REVISION
        elif control & _SELF_RELATIVE:
            call.eax = STATUS_INVALID_SECURITY_DESCR
        else:
            control &= ~(part.present | part.defaulted)
            if is_present:
                control |= part.present | (part.defaulted if is_default else 0)
            call.put_u16(descriptor + 2, control)
            call.put_u32(descriptor + part.offset, address if is_present else 0)

    return behaviour


def _get(part: _Part) -> Callable[[ApiCall], None]:
    """(descriptor[, where to tell whether it is present], where to put the address, whether it is a default)."""

    def behaviour(call: ApiCall) -> None:
        descriptor, *outs = call.arguments[: 4 if part.is_list else 3]
        control = _control(call, descriptor)
        if call.u8(descriptor) != _REVISION:
            call.eax = STATUS_UNKNOWN_REVISION
            return
        if part.is_list:
            is_present = control & part.present
            call.put_u8(outs.pop(0), int(is_present != 0))
            if not is_present:
                return
        call.put_u32(outs[0], _part_address(call, descriptor, part))
        call.put_u8(outs[1], int(control & part.defaulted != 0))

    return behaviour


def _length(call: ApiCall) -> None:
    descriptor = call.arguments[0]
    call.eax = _SIZE + sum(len(_part_bytes(call, descriptor, part)) for part in _PARTS)


def _is_valid(call: ApiCall) -> None:
    descriptor = call.arguments[0]
    if not descriptor or call.u8(descriptor) != _REVISION:
        return
    sids = (_part_address(call, descriptor, part) for part in (_OWNER, _GROUP))
    lists = (_part_address(call, descriptor, part) for part in (_SACL, _DACL))
    call.eax = int(
        all(not sid or is_sid(call, sid) for sid in sids) and all(not acl or _is_acl(call, acl) for acl in lists)
    )


def _to_self_relative(call: ApiCall) -> None:
    descriptor, destination, size = call.arguments[:3]
    control = _control(call, descriptor)
    if control & _SELF_RELATIVE:
        call.eax = STATUS_BAD_DESCRIPTOR_FORMAT
        return
    offsets, body = {}, b""
    for part in (_SACL, _DACL, _OWNER, _GROUP):
        data = _part_bytes(call, descriptor, part)
        offsets[part.offset] = _SIZE + len(body) if data else 0
        body += data
    room = call.u32(size)
    call.put_u32(size, _SIZE + len(body))
    if room < _SIZE + len(body):
        call.eax = STATUS_BUFFER_TOO_SMALL
        return
    header = struct.pack("<BBH", _REVISION, 0, control | _SELF_RELATIVE)
    call.write(destination, header + struct.pack("<4I", *(offsets[part.offset] for part in _PARTS)) + body)


# -- access control lists --


def _is_acl(context: Context, address: int) -> bool:
    revision, _, size, _ = struct.unpack("<BBHH", context.read(address, 6))
    return revision in _ACL_REVISIONS and size >= _ACL_HEADER


def _entries(context: Context, acl: int) -> tuple[list[tuple[int, int]], int]:
    """Return address and size of each entry, and the address behind the last; those that leave the list are none."""
    end = acl + context.u16(acl + 2)
    at, found = acl + _ACL_HEADER, []
    for _ in range(context.u16(acl + 4)):
        size = context.u16(at + 2) if at + 4 <= end else 0
        if size < 4 or at + size > end:
            break
        found.append((at, size))
        at += size
    return found, at


def _create_acl(call: ApiCall) -> None:
    acl, size, revision = call.arguments[:3]
    if size < _ACL_HEADER:
        call.eax = STATUS_BUFFER_TOO_SMALL
    elif revision not in _ACL_REVISIONS or size > _MAX_ACL + 3:
        call.eax = STATUS_INVALID_PARAMETER
    else:
        call.write(acl, struct.pack("<BBHHH", revision, 0, size & ~3, 0, 0))


def _add(call: ApiCall, revision: int, entries: bytes, count: int, index: int = 0xFFFFFFFF) -> None:
    """Put entries into the list that is the call's first argument, before the one at `index`."""
    acl = call.arguments[0]
    known, end = _entries(call, acl)
    if end + len(entries) > acl + call.u16(acl + 2):
        call.eax = STATUS_ALLOTTED_SPACE_EXCEEDED
        return
    at = known[index][0] if index < len(known) else end
    call.write(at, entries + (call.read(at, end - at) if end > at else b""))
    call.put_u8(acl, max(call.u8(acl), revision))
    call.put_u16(acl + 4, len(known) + count)


def _add_allowed(call: ApiCall, revision: int, flags: int, mask: int, sid: int) -> None:
    if not is_sid(call, sid):
        call.eax = STATUS_INVALID_SID
    elif not _is_acl(call, call.arguments[0]):
        call.eax = STATUS_INVALID_ACL
    elif revision not in _ACL_REVISIONS:
        call.eax = STATUS_REVISION_MISMATCH
    else:
        body = read_sid(call, sid)
        head = struct.pack("<BBHI", _ACCESS_ALLOWED, flags & 0xFF, 8 + len(body), mask)
        _add(call, revision, head + body, 1)


def _add_access_allowed(call: ApiCall) -> None:
    _, revision, mask, sid = call.arguments[:4]
    _add_allowed(call, revision, 0, mask, sid)


def _add_access_allowed_ex(call: ApiCall) -> None:
    _, revision, flags, mask, sid = call.arguments[:5]
    _add_allowed(call, revision, flags, mask, sid)


def _add_entries(call: ApiCall) -> None:
    """RtlAddAce(list, revision, index, entries, their size)."""
    acl, revision, index, source, size = call.arguments[:5]
    entries = call.read(source, min(size, _MAX_ACL))
    at, count = 0, 0
    while at + 4 <= len(entries):
        length = int.from_bytes(entries[at + 2 : at + 4], "little")
        if length < 4:
            break
        at, count = at + length, count + 1
    if not _is_acl(call, acl) or at != len(entries):
        call.eax = STATUS_INVALID_PARAMETER
        return
    _add(call, revision, entries, count, index)


def _get_entry(call: ApiCall) -> None:
    acl, index, out = call.arguments[:3]
    entries, _ = _entries(call, acl) if _is_acl(call, acl) else ([], 0)
    if index >= len(entries):
        call.eax = STATUS_INVALID_PARAMETER
        return
    call.put_u32(out, entries[index][0])


def _delete_entry(call: ApiCall) -> None:
    acl, index = call.arguments[:2]
    entries, end = _entries(call, acl) if _is_acl(call, acl) else ([], 0)
    if index >= len(entries):
        call.eax = STATUS_INVALID_PARAMETER
        return
    at, size = entries[index]
    rest = end - at - size
    call.write(at, (call.read(at + size, rest) if rest else b"") + bytes(size))
    call.put_u16(acl + 4, len(entries) - 1)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlCreateSecurityDescriptor": _create,
    "RtlSetDaclSecurityDescriptor": _set(_DACL),
    "RtlSetSaclSecurityDescriptor": _set(_SACL),
    "RtlSetOwnerSecurityDescriptor": _set(_OWNER),
    "RtlSetGroupSecurityDescriptor": _set(_GROUP),
    "RtlGetDaclSecurityDescriptor": _get(_DACL),
    "RtlGetSaclSecurityDescriptor": _get(_SACL),
    "RtlGetOwnerSecurityDescriptor": _get(_OWNER),
    "RtlGetGroupSecurityDescriptor": _get(_GROUP),
    "RtlLengthSecurityDescriptor": _length,
    "RtlValidSecurityDescriptor": _is_valid,
    "RtlAbsoluteToSelfRelativeSD": _to_self_relative,
    "RtlCreateAcl": _create_acl,
    "RtlAddAccessAllowedAce": _add_access_allowed,
    "RtlAddAccessAllowedAceEx": _add_access_allowed_ex,
    "RtlAddAce": _add_entries,
    "RtlGetAce": _get_entry,
    "RtlDeleteAce": _delete_entry,
}
